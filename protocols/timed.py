"""A conversation on a line that may be slow, on Twisted: bytes, waits, and when what was written has left.

For every protocol whose session tells by `events` what to do and how long to wait; knows none of them. A
network takes what we write at once; a serial line needs its time, and no wait may count before that.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar, cast
from typing import Protocol as Interface

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from protocols.events import Hangup, Over, ReadyToSend, Say, Wait, Write
from protocols.told import told
from protocols.wire import Call, Clock, Transport

Told = TypeVar("Told")
Told_co = TypeVar("Told_co", covariant=True)
Action = Write | Say | Wait | ReadyToSend | Over | Hangup
Drained = Callable[[int], Deferred[None]]
"""Given the number of octets just written: fires once they, and all before them, have left the line."""

MAX_DRAIN = 60.0  # seconds for what is written to leave; a block at 110 baud needs 25


def at_once(octets: int) -> Deferred[None]:
    """`Drained` of a network: what is written has left."""
    return succeed(None)


def paced(clock: Clock, baud: int, bits: int = 10) -> Drained:
    """`Drained` of a serial line of *baud* with *bits* for each octet, reckoned: the driver does not tell."""
    free = 0.0

    def drained(octets: int) -> Deferred[None]:
        nonlocal free
        free = max(free, clock.seconds()) + octets * bits / baud
        left: Deferred[None] = Deferred(lambda _: call.cancel())
        call = clock.callLater(free - clock.seconds(), left.callback, None)
        return left

    return drained


class Session(Interface[Told_co]):
    """What may be said now. Any event that is no `Action` is for whoever built the conversation."""

    def begin(self) -> Sequence[Action | Told_co]:
        """The line is there."""

    def receive(self, data: bytes) -> Sequence[Action | Told_co]: ...
    def expired(self) -> Sequence[Action | Told_co]:
        """The last `Wait` is over."""

    def commit(self) -> Sequence[Action | Told_co]:
        """After `ReadyToSend`: all has left the line, and what had come by then is read."""

    def lose(self, why: str) -> Sequence[Action | Told_co]:
        """The line is gone, or must be given up."""


class Conversation(Protocol, Generic[Told]):
    """Carries out what *session* says; hands all other events to *tell*, one by one.

    After `Over` or `Hangup` the connection is dropped once everything has left, within *close* seconds more.
    *over* fires with either, *gone* when there was a connection and it is no more. *watch* is told of all
    that is said: whether by us, and what.
    """

    def __init__(
        self,
        clock: Clock,
        session: Session[Told],
        tell: Callable[[Told], None],
        *,
        drained: Drained = at_once,
        close: float = 5.0,
        watch: Callable[[bool, bytes], None] | None = None,
    ) -> None:
        self.over: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self._clock = clock
        self._session = session
        self._tell = tell
        self._drained = drained
        self._close = close
        self._watch = watch
        self._wire: Transport | None = None
        self._timer: Call | None = None
        self._leaving: Deferred[None] | None = None  # fires when all that was written has left
        self._then: Callable[[], None] | None = None  # what is to be done then
        self._closing = False

    def connectionMade(self) -> None:
        self._wire = cast(Transport, self.transport)
        if self.over.called:  # too late
            self._wire.abortConnection()
            return
        self.do(self._session.begin())

    def dataReceived(self, data: bytes) -> None:
        if self._watch:
            self._watch(False, data)
        self.do(self._session.receive(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._wire = None
        self._stop()
        self._forget_leaving()
        try:
            self.do(self._session.lose(f"connection lost: {told(reason)}"))
        finally:
            self.gone.callback(None)

    def lose(self, why: str) -> None:
        """Give it up: a time limit of the caller's own has passed, or somebody cancelled."""
        self.do(self._session.lose(why))

    def do(self, events: Sequence[Action | Told]) -> None:
        """Carry out *events* in order; none: what was waited for is still due."""
        if events and not self._closing:
            self._stop()
        for event in events:
            match event:
                case Write(data=data) | Say(data=data):
                    self._write(data)
                case Wait(seconds=seconds):
                    self._after_leaving(partial(self._start, seconds, self._expired), MAX_DRAIN, self._stuck)
                case ReadyToSend():
                    # Two turns of the reactor, so that it reads once: what is here before the page is
                    # committed cannot be the answer to it.
                    commit = partial(self._start, 0, partial(self._start, 0, self._commit))
                    self._after_leaving(commit, MAX_DRAIN, self._stuck)
                case Over() | Hangup():
                    self._hang_up()
                    if not self.over.called:
                        self.over.callback(None)
                case _:
                    self._tell(event)

    @property
    def there(self) -> bool:
        """There is a connection."""
        return self._wire is not None

    # Inside

    def _write(self, data: bytes) -> None:
        if self._wire is None:
            return
        if self._watch:
            self._watch(True, data)
        self._wire.write(data)
        # The seam reckons with all that was written before, so only its last answer counts.
        self._forget_leaving()
        leaving = self._leaving = self._drained(len(data))
        leaving.addCallbacks(lambda _: self._left(leaving), lambda _: None)

    def _left(self, leaving: Deferred[None]) -> None:
        if self._leaving is leaving:
            self._leaving = None
            if then := self._then:
                self._stop()
                then()

    def _after_leaving(self, then: Callable[[], None], limit: float, late: Callable[[], None]) -> None:
        """Do *then* once all that was written has left; if it has not within *limit*, *late*."""
        if self._leaving is None:
            then()
        elif self._wire is not None:
            self._start(limit, late)
            self._then = then

    def _forget_leaving(self) -> None:
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.cancel()

    def _stuck(self) -> None:
        self._forget_leaving()
        self.lose(f"the line has not taken what we wrote within {MAX_DRAIN:g} s")

    def _hang_up(self) -> None:
        if (wire := self._wire) is None or self._closing:
            return

        def close() -> None:
            self._start(self._close, wire.abortConnection)
            wire.loseConnection()

        self._closing = True
        self._after_leaving(close, self._close, close)

    def _start(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop()
        if self._wire is not None:
            self._timer = self._clock.callLater(seconds, then)

    def _stop(self) -> None:
        self._then = None
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _expired(self) -> None:
        self.do(self._session.expired())

    def _commit(self) -> None:
        self.do(self._session.commit())


class Answering(Factory):
    """Endpoints want a factory; this one gives out the one protocol of a conversation."""

    noisy = False

    def __init__(self, conversation: Protocol) -> None:
        self._conversation = conversation

    def buildProtocol(self, addr: object) -> Protocol:
        return self._conversation
