"""Both sides of an SNPP conversation without a network, for the tests of this folder."""

from datetime import UTC, datetime

from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.messages import Recipient, Reply, Transaction

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Talk:
    """A client typing at our `ServerSession`, with an application that answers at once."""

    def __init__(self, *, greet: bool = True, **rules: object) -> None:
        self.session = s.ServerSession(s.ServerRules(**rules), lambda: NOW)
        self.pages: list[m.Received] = []
        self.asked: list[object] = []
        self.answers: dict[type, list[Reply]] = {}
        self.hung_up = False
        self.foreign: list[str] = []
        self.greeting = self._run(self.session.greet()) if greet else b""

    def will(self, question: type, *replies: Reply) -> "Talk":
        self.answers[question] = list(replies)
        return self

    def say(self, data: bytes) -> bytes:
        return self._run(self.session.receive(data))

    def codes(self, data: bytes) -> list[int]:
        return [int(line[:3]) for line in self.say(data).splitlines()]

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
            else:
                assert not events, "a question is the last event"
                self.asked.append(event)
                events = self.session.answer(self._answer(event))
        return out

    def _answer(self, event: object) -> Reply:
        if isinstance(event, s.SendAsked):
            self.pages.append(event.page)
        if self.answers.get(type(event)):
            return self.answers[type(event)].pop(0)
        two_way = isinstance(event, s.PagerAsked) and event.two_way
        if two_way or (isinstance(event, s.SendAsked) and event.page.two_way):
            return (
                Reply(850, "Unit online")
                if two_way
                else m.tagged_reply(960, "17952825640", "679086177", "OK")
            )
        return {
            s.PagerAsked: Reply(250, "Pager ID accepted"),
            s.SendAsked: Reply(250, "Message sent"),
            s.LoginAsked: Reply(250, "Login accepted"),
            s.PingAsked: Reply(821, "Unit known"),
            s.StatusAsked: Reply(550, "Unknown tag or pass code"),
            s.KillAsked: Reply(250, "Tag removed"),
        }[type(event)]


class Lead:
    """Our `ClientSession` led through a server whose replies are given one by one."""

    def __init__(self, *, login: m.Login | None = None, manner: s.Manner | None = None) -> None:
        self.session = s.ClientSession(login=login, manner=manner)
        self.wrote: list[bytes] = []
        self.events: list[s.ClientEvent] = []
        self.sent = False

    def hear(self, data: bytes) -> "Lead":
        for event in self.session.receive(data):
            self._note(event)
        return self

    def lose(self) -> "Lead":
        for event in self.session.lose("gone"):
            self._note(event)
        return self

    def submit(self, page: Transaction) -> "Lead":
        self.wrote.append(self.session.submit(page))
        return self

    def commit(self) -> "Lead":
        self.wrote.append(self.session.commit())
        self.sent = True
        return self

    def page(self, page: Transaction, *replies: bytes) -> m.Result:
        """Submit *page*, hear *replies*, and SEND when all is entered; the result."""
        self.submit(page)
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

    def _note(self, event: s.ClientEvent) -> None:
        self.events.append(event)
        if isinstance(event, s.Write):
            self.wrote.append(event.data)


def opened(greeting: bytes = b"220 ready\r\n", *more: bytes, **how: object) -> Lead:
    lead = Lead(**how)
    for data in (greeting, *more):
        lead.hear(data)
    assert lead.session.phase is s.Phase.IDLE
    return lead


def to(*pagers: str, **options: object) -> tuple[Recipient, ...]:
    return tuple(Recipient(pager=m.PagerId(pager), **options) for pager in pagers)


def page(text: str = "Disk full", *pagers: str, **more: object) -> Transaction:
    lines = tuple(m.SnppText(line) for line in text.split("\n")) if text else ()
    return Transaction(recipients=more.pop("recipients", to(*(pagers or ("5551212",)))), text=lines, **more)


class Wire(StringTransport):
    """A transport that tells its protocol when it closes, and that knows abort."""

    def __init__(self, protocol: object = None) -> None:
        super().__init__()
        self.protocol = protocol
        self.aborted = False
        self.lazy = False  # loseConnection does not get through

    def take(self) -> bytes:
        data = self.value()
        self.clear()
        return data

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
            from twisted.internet.error import ConnectionDone

            protocol.connectionLost(Failure(ConnectionDone()))


class Endpoint:
    """Connects at once, never, or with a failure."""

    def __init__(self, outcome: object = None) -> None:
        self.outcome = outcome
        self.wire = Wire()
        self.cancelled = False

    def connect(self, factory: object) -> Deferred:
        if isinstance(self.outcome, Exception):
            from twisted.internet.defer import fail

            return fail(self.outcome)
        if self.outcome == "never":
            return Deferred(lambda _: setattr(self, "cancelled", True))
        protocol = factory.buildProtocol(None)
        self.wire.protocol = protocol
        protocol.makeConnection(self.wire)
        return succeed(protocol)
