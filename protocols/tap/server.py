"""The terminal on Twisted: a `ServerSession` with a line, time limits and an application to ask."""

from typing import Protocol as Interface
from typing import assert_never

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from protocols import timed
from protocols.tap import messages as m
from protocols.tap import session as s
from protocols.tap.messages import Answer, Control, answer_of
from protocols.wire import Call, Clock


class Application(Interface):
    """What only the house behind the terminal can answer. An exception is logged and drops the call."""

    async def page(self, peer: str, page: m.Received) -> Answer:
        """`answer_of` 211 for yes. Runs to its end even if the caller goes."""

    async def log_off(self, peer: str, pages: int) -> Answer | None:
        """The caller, whose *pages* were accepted, logs off. RS takes some of them back; None is goodbye."""


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds and counts; docs/protocols/tap.md names their sources."""

    answer: float = 60.0  # for the application; callers wait 10 to 45
    call: float = 900.0  # one call; then 113
    close: float = 5.0
    calls: int = 100  # at once, on one port; one more is not answered


class _Line:
    """One caller's call."""

    log = Logger()

    def __init__(self, house: "TapFactory", peer: str) -> None:
        self._house = house
        self._peer = peer
        self.session = s.ServerSession(rules=house.rules, timing=house.timing)
        self.wire = timed.Conversation[s.Asked](
            house.clock, self.session, self._asked, drained=house.drained, close=house.limits.close
        )
        self._timer: Call | None = None

    def _asked(self, asked: s.Asked) -> None:
        # A failure of ours is logged here: nobody awaits this.
        answering = Deferred.fromCoroutine(self._answer(asked))
        answering.addErrback(lambda failure: self.log.failure("a TAP call broke", failure))

    async def _answer(self, asked: s.Asked) -> None:
        timer = self._house.clock.callLater(self._house.limits.answer, self._late)
        try:
            answer = await self._ask(asked)
        except Exception:  # our bug must not be taken for a yes, nor for a no
            self.log.failure("TAP {asked} from {peer} failed", asked=type(asked).__name__, peer=self._peer)
            answer = Answer(Control.DROP)
        if timer.active():
            timer.cancel()
        self.wire.do(self.session.answer(answer))

    async def _ask(self, asked: s.Asked) -> Answer:
        application = self._house.application
        match asked:
            case s.PageAsked(page=page):
                return await application.page(self._peer, page)
            case s.LogOffAsked():
                pages = self.session.pages
                return await application.log_off(self._peer, pages) or answer_of(115, control=Control.ACK)
            case _:
                assert_never(asked)

    def _late(self) -> None:
        self.log.error("no answer to a TAP page of {peer} in time", peer=self._peer)
        self.wire.do(self.session.abandon())


class TapFactory(Factory):
    """Serves *application* to every call. *drained* tells when octets have left a serial line."""

    noisy = False

    def __init__(
        self,
        application: Application,
        clock: Clock,
        *,
        rules: s.ServerRules | None = None,
        timing: s.ServerTiming | None = None,
        limits: Limits | None = None,
        drained: timed.Drained = timed.at_once,
    ) -> None:
        self.application = application
        self.clock = clock
        self.rules = rules
        self.timing = timing
        self.limits = limits or Limits()
        self.drained = drained
        self._open: set[_Line] = set()
        self._draining = False

    def buildProtocol(self, addr: object) -> Protocol | None:
        if self._draining or len(self._open) >= self.limits.calls:
            return None  # not answered: a caller dials again elsewhere or later
        line = _Line(self, getattr(addr, "host", ""))
        self._open.add(line)
        timer = self.clock.callLater(self.limits.call, self._too_long, line)

        def gone(_: None) -> None:
            self._open.discard(line)
            if timer.active():
                timer.cancel()

        line.wire.gone.addCallback(gone)
        return line.wire

    def drain(self) -> None:
        """Take nothing new: no call is answered, every caller is dropped after the answer due to it."""
        self._draining = True
        for line in list(self._open):
            line.wire.do(line.session.close(Answer(Control.DROP)))

    def _too_long(self, line: _Line) -> None:
        line.wire.do(line.session.close(answer_of(113)))
