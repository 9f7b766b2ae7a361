"""Both sides of a TAP call without a line, for the tests of this folder."""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from protocols.events import Hangup, Over, ReadyToSend, Say, Wait, Write
from protocols.tap import codec
from protocols.tap import messages as m
from protocols.tap import session as s
from protocols.tap.messages import Answer, Control, PagerId, answer_of

GO = b"\x1b[p\r"
ACK = b"\x06\r"
NAK = b"\x15\r"
RS = b"\x1e\r"
DROP = b"\x1b\x04\r"
HELLO = bytes.fromhex("02 35353531323334 0D 68656C6C6F20776F726C64 0D 03 353E34 0D")


def page(text: str = "hello world", pager: str = "5551234", **how: object) -> m.Page:
    return m.Page(pager=PagerId(pager), fields=codec.fields_of(text, **how))


class Entry:
    """Our `ClientSession` led through a terminal that the test plays."""

    def __init__(self, timing: s.Timing | None = None, **manner: object) -> None:
        self.session = s.ClientSession(manner=s.Manner(**manner), timing=timing)
        self.wrote: list[bytes] = []
        self.events: list[object] = []
        self.wait: float | None = None
        self.ready = False  # all but the CR has left
        self.at_once = True  # commit as soon as that is so
        self._do(self.session.begin())

    def hear(self, data: bytes) -> "Entry":
        return self._do(self.session.receive(data))

    def expire(self, times: int = 1) -> "Entry":
        for _ in range(times):
            assert self.wait is not None, "nothing is waited for"
            self._do(self.session.expired())
        return self

    def lose(self, why: str = "carrier lost") -> "Entry":
        return self._do(self.session.lose(why))

    def quit(self) -> "Entry":
        return self._do(self.session.quit())

    def commit(self) -> "Entry":
        self.ready = False
        return self._do(self.session.commit())

    def send(self, job: m.Page | None = None, *answers: bytes) -> m.Result | None:
        """Send *job*, hear *answers*; what became of it."""
        if refusal := self.session.refusal:
            return refusal
        before = len(self.results)
        self._do(self.session.submit(job or page()))
        for answer in answers:
            self.hear(answer)
        return self.results[-1] if len(self.results) > before else None

    def _do(self, events: list) -> "Entry":
        if events:
            self.wait = None
        for event in events:
            self.events.append(event)
            if isinstance(event, Write):
                self.wrote.append(event.data)
            elif isinstance(event, Wait):
                self.wait = event.seconds
            elif isinstance(event, ReadyToSend):
                self.ready = True
        if self.ready and self.at_once:
            self.commit()
        return self

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def sent(self) -> bytes:
        return b"".join(self.wrote)

    @property
    def results(self) -> list[m.Result]:
        return [event.result for event in self.of(s.Concluded)]

    @property
    def opened(self) -> s.Opened | s.NotOpened | None:
        return next((e for e in self.events if isinstance(e, s.Opened | s.NotOpened)), None)

    @property
    def over(self) -> bool:
        return bool(self.of(Over))

    @property
    def farewell(self) -> m.Farewell:
        return self.session.farewell


def logged_on(*said: bytes, **how: object) -> Entry:
    """An entry device that may send pages."""
    entry = Entry(**how)
    for data in (b"ID=", *(said or (b"110 1.8\r" + ACK, GO))):
        entry.hear(data)
    assert entry.session.phase is s.Phase.READY, entry.session.phase
    entry.wrote.clear()
    return entry


class Terminal:
    """A caller typing at our `ServerSession`, with an application that answers at once, unless *slow*."""

    def __init__(self, timing: s.ServerTiming | None = None, slow: bool = False, **rules: object) -> None:
        self.session = s.ServerSession(rules=s.ServerRules(**rules), timing=timing)
        self.pages: list[m.Received] = []
        self.answers: list[Answer] = []  # to the next pages; then 211
        self.regret: Answer | None = None
        self.asked: list[object] = []  # not answered yet
        self.slow = slow
        self.hung_up = False
        self.wait: float | None = None
        self._run(self.session.begin())

    def say(self, data: bytes) -> bytes:
        return self._run(self.session.receive(data))

    def expire(self) -> bytes:
        return self._run(self.session.expired())

    def logged_on(self) -> "Terminal":
        assert self.say(b"\r").endswith(b"ID=")
        assert self.say(b"\x1bPG1\r").endswith(ACK + GO)
        return self

    def answer(self) -> bytes:
        """The application answers what it was asked first."""
        asked = self.asked.pop(0)
        if isinstance(asked, s.LogOffAsked):
            answer = self.regret or answer_of(115, control=Control.ACK)
        else:
            answer = self.answers.pop(0) if self.answers else answer_of(211)
        return self._run(self.session.answer(answer))

    def _run(self, events: list) -> bytes:
        out = b""
        if events:
            self.wait = None
        for event in events:
            if isinstance(event, Say):
                out += event.data
            elif isinstance(event, Wait):
                self.wait = event.seconds
            elif isinstance(event, Hangup):
                self.hung_up = True
            else:
                assert event is events[-1], "a question is the last event"
                self.asked.append(event)
                if isinstance(event, s.PageAsked):
                    self.pages.append(event.page)
                if not self.slow:
                    out += self.answer()
        return out

    @property
    def texts(self) -> list[str]:
        return [page.text for page in self.pages]


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
