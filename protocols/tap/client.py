"""The entry device on Twisted: a `ClientSession` with a line and time limits.

No retries and no backoff: whoever opens a call decides when to open another.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from protocols import timed
from protocols.tap import messages as m
from protocols.tap import session as s
from protocols.told import told
from protocols.wire import Clock, Endpoint

_Told = s.Opened | s.NotOpened | s.Concluded | s.Leaving
Answer = TypeVar("Answer", s.Opened | s.NotOpened, s.Concluded)


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds; the session's `Timing` has the shorter ones."""

    open: float = 90.0  # connection and logon together
    dialogue: float = 300.0  # one page, all its blocks and their resends; 111 has no end of its own
    close: float = 5.0  # for the connection to go once we have dropped it


class Conversation:
    """One call to the terminal behind *endpoint*: a modem that has dialled, a serial line, or TCP.

    *drained* tells when written octets have left the line; all times count from there. *watch* is told of all
    that is said. `open` once, then one `submit` at a time, then `quit`. *lost* fires when no page can be sent
    any more, whoever ended it, *over* when the goodbye has been said too. Nothing here raises for what the
    terminal or the line does: that is in the values returned. Who cancels an awaited call ends the
    conversation.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        manner: s.Manner | None = None,
        timing: s.Timing | None = None,
        limits: Limits | None = None,
        drained: timed.Drained = timed.at_once,
        watch: Callable[[bool, bytes], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._limits = limits or Limits()
        self._session = s.ClientSession(manner=manner, timing=timing)
        self._line = timed.Conversation[_Told](
            clock, self._session, self._told, drained=drained, close=self._limits.close, watch=watch
        )
        self._waiting: Deferred[Any] | None = None
        self.lost: Deferred[None] = Deferred()
        self.over = self._line.over
        self.over.addCallback(lambda _: self._lost())

    @property
    def left(self) -> int | None:
        """Pages that this call still takes; None: any number."""
        return self._session.left

    @property
    def refusal(self) -> m.NotSent | None:
        """Why this call takes no page any more, if it does not."""
        return self._session.refusal

    @property
    def farewell(self) -> m.Farewell:
        """What is known of the call's end so far: an RS at log-off, and why nothing more can be said."""
        return self._session.farewell

    async def open(self) -> s.Opened | s.NotOpened:
        """Connect, wake the terminal, log on; all within ``limits.open``."""
        answer: Deferred[s.Opened | s.NotOpened] = self._wait()
        connecting = self._endpoint.connect(timed.Answering(self._line))
        connecting.addErrback(self._not_connected)
        self._line.over.addCallback(lambda _: connecting.cancel())
        limit = self._limits.open
        return await self._within(limit, answer, lambda: self._line.lose(f"not logged on within {limit:g} s"))

    async def submit(self, page: m.Page) -> m.Result:
        """The whole dialogue of one page. `LocalProtocolError` if another is under way; `InvalidValue` if
        this terminal cannot take it, with nothing sent."""
        if refusal := self.refusal:
            return refusal
        events = self._session.submit(page)
        answer: Deferred[s.Concluded] = self._wait()
        self._line.do(events)
        limit = self._limits.dialogue
        concluded = await self._within(limit, answer, lambda: self._line.lose(f"no end within {limit:g} s"))
        return concluded.result

    async def quit(self) -> m.Farewell:
        """Log off and hang up; returns when the line is free again. An RS at log-off is in the value."""
        self._line.do(self._session.quit())
        if self._line.there:
            await self._line.gone
        return self._session.farewell

    # Inside

    def _wait(self) -> Deferred[Any]:
        waiting = self._waiting = Deferred(lambda _: self._cancelled())
        return waiting

    def _cancelled(self) -> None:
        self._waiting = None
        self._line.lose("cancelled by us")

    async def _within(self, limit: float, answer: Deferred[Answer], late: Callable[[], None]) -> Answer:
        timer = self._clock.callLater(limit, late)
        try:
            return await answer
        finally:
            if timer.active():
                timer.cancel()

    def _not_connected(self, failure: Failure) -> None:
        self._line.lose(f"no connection: {told(failure)}")

    def _lost(self) -> None:
        if not self.lost.called:
            self.lost.callback(None)

    def _told(self, event: _Told) -> None:
        if isinstance(event, s.Leaving):
            self._lost()
            return
        waiting, self._waiting = self._waiting, None
        if waiting:
            waiting.callback(event)
