"""Both sides of an SMTP conversation without a network, for the tests of this folder."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from protocols.smtp import messages as m
from protocols.smtp import session as s

US = m.Domain("gw.example.net")
ANN = m.Mailbox("ann@example.net")
BOB = m.Mailbox("bob@example.net")
CAT = m.Mailbox("cat@example.net")
SENDER = m.Mailbox("pager+17@gw.example.net")
CONTENT = m.Content(b"Subject: bed 4\r\n\r\nBed 4 calls\r\n")
BLOCK = CONTENT + b".\r\n"
FULL_OFFER = b"250-mx\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n"
OK = b"250 2.0.0 OK\r\n"
GO = b"354 go ahead\r\n"


def to(*addresses: m.Mailbox, **options: object) -> tuple[m.Recipient, ...]:
    return tuple(m.Recipient(address=address, **options) for address in addresses)


def letter(*addresses: m.Mailbox, **more: object) -> m.Transaction:
    recipients = more.pop("recipients", to(*(addresses or (ANN,))))
    return m.Transaction(**{"sender": SENDER, "recipients": recipients, "content": CONTENT, **more})


class Lead:
    """Our `ClientSession` led through a server whose replies are given one by one."""

    def __init__(self, *, login: m.Login | None = None, name: m.Domain = US, **manner: object) -> None:
        self.session = s.ClientSession(s.Manner(name=name, **manner), login=login)
        self.wrote: list[bytes] = []
        self.events: list[s.ClientEvent] = []
        self.secured = 0

    def hear(self, data: bytes) -> "Lead":
        self._note(self.session.receive(data))
        return self

    def lose(self) -> "Lead":
        self._note(self.session.lose("gone"))
        return self

    def submit(self, transaction: m.Transaction) -> "Lead":
        self._note(self.session.submit(transaction))
        return self

    def commit(self) -> "Lead":
        self.wrote.append(self.session.commit())
        return self

    def send(self, transaction: m.Transaction, *replies: bytes) -> m.Result:
        """Submit, hear *replies*, commit when all is entered; the result."""
        self.submit(transaction)
        for reply in replies:
            self.hear(reply)
            if self.session.phase is s.Phase.READY:
                self.commit()
        return self.result

    @property
    def result(self) -> m.Result:
        [result] = [event.result for event in self.events if isinstance(event, s.Concluded)][-1:]
        return result

    @property
    def over(self) -> bool:
        return any(isinstance(event, s.Over) for event in self.events)

    def _note(self, events: list[s.ClientEvent]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, s.Write):
                self.wrote.append(event.data)
            elif isinstance(event, s.Secure):
                self.secured += 1
                self._note(self.session.secured())


def opened(offer: bytes = b"250 mx\r\n", **how: object) -> Lead:
    """A lead that is idle; what it wrote so far is forgotten."""
    lead = Lead(**how).hear(b"220 mx ESMTP\r\n").hear(offer)
    assert lead.session.phase is s.Phase.IDLE
    lead.wrote.clear()
    return lead


class Talk:
    """A client typing at our `ServerSession`, with an application that answers at once."""

    def __init__(self, *, secure: bool = False, **rules: object) -> None:
        settings = {"name": US, "domains": frozenset({"example.net"}), **rules}
        self.session = s.ServerSession(s.ServerRules(**settings), secure=secure)
        self.messages: list[s.Received] = []
        self.asked: list[object] = []
        self.answers: dict[type, list[tuple[m.Reply, ...]]] = {}
        self.hung_up = False
        self.foreign: list[str] = []
        self.secured = 0
        self.greeting = self._run(self.session.greet())

    def will(self, question: type, *answers: m.Reply | tuple[m.Reply, ...]) -> "Talk":
        self.answers[question] = [one if isinstance(one, tuple) else (one,) for one in answers]
        return self

    def say(self, data: bytes) -> bytes:
        return self._run(self.session.receive(data))

    def codes(self, data: bytes) -> list[int]:
        """The last lines' codes."""
        return [int(line[:3]) for line in self.say(data).splitlines() if line[3:4] == b" "]

    def entered(self, *recipients: str, mail: bytes = b"MAIL FROM:<>\r\n") -> "Talk":
        """Up to 354."""
        hello = b"LHLO x\r\n" if b"LMTP" in self.greeting else b"EHLO x\r\n"
        self.say(hello + mail)
        for to in recipients or ("ann@example.net",):
            assert self.codes(b"RCPT TO:<" + to.encode() + b">\r\n") == [250]
        assert self.codes(b"DATA\r\n") == [354]
        return self

    def _run(self, events: list[s.ServerEvent]) -> bytes:
        out = b""
        while events:
            event, *events = events
            if isinstance(event, s.Say):
                out += event.data
            elif isinstance(event, s.Hangup):
                self.hung_up = True
            elif isinstance(event, s.Foreign):
                self.foreign.append(event.what)
            elif isinstance(event, s.Secure):
                self.secured += 1
                events += self.session.secured()
            else:
                assert not events, "a question is the last event"
                self.asked.append(event)
                events = self.session.answer(*self._answer(event))
        return out

    def _answer(self, event: object) -> tuple[m.Reply, ...]:
        if isinstance(event, s.MessageAsked):
            self.messages.append(event.message)
        if self.answers.get(type(event)):
            return self.answers[type(event)].pop(0)
        code = 235 if isinstance(event, s.LoginAsked) else 250
        return (m.Reply(code, ("2.0.0 OK",)),)


class Wire(StringTransport):
    """A transport that tells its protocol when it closes, and that knows abort and TLS."""

    def __init__(self, protocol: object = None) -> None:
        super().__init__()
        self.protocol = protocol
        self.aborted = False
        self.lazy = False  # loseConnection does not get through
        self.tls: list[object] = []

    def take(self) -> bytes:
        data = self.value()
        self.clear()
        return data

    def startTLS(self, options: object) -> None:
        self.tls.append(options)

    def loseConnection(self) -> None:
        self.disconnecting = True
        if not self.lazy:
            self.cut()

    def abortConnection(self) -> None:
        self.aborted = True
        self.cut()

    def cut(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol:
            protocol.connectionLost(Failure(ConnectionDone()))


class Endpoint:
    """Connects at once, never, or with a failure."""

    def __init__(self, outcome: object = None) -> None:
        self.outcome = outcome
        self.wire = Wire()
        self.cancelled = False

    def connect(self, factory: object) -> Deferred:
        if isinstance(self.outcome, Exception):
            return fail(self.outcome)
        if self.outcome == "never":
            return Deferred(lambda _: setattr(self, "cancelled", True))
        protocol = factory.buildProtocol(None)
        self.wire.protocol = protocol
        protocol.makeConnection(self.wire)
        return succeed(protocol)
