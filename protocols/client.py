"""A client's conversation on Twisted: its transport, its time limits, and the one answer it waits for.

For every protocol whose session tells by `events` what to do; knows none of them. No retries and no backoff:
whoever opens a conversation decides when to open another.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast
from typing import Protocol as Interface

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from protocols.events import Over, ReadyToSend, Secure, Write
from protocols.told import told
from protocols.wire import Call, Clock, Endpoint, Transport

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Action = Write | Secure | ReadyToSend | Over


class Limits(Struct, frozen=True, kw_only=True):
    """Time limits in seconds; each protocol says where it has others, and why."""

    open: float = 60.0  # connection, greeting, TLS and login together
    reply: float = 60.0  # one command
    send: float = 600.0  # what commits: silence after it is doubt
    dialogue: float = 900.0  # one message, from its first command to the answer to what commits
    close: float = 5.0  # the goodbye, and the end of the connection


class Session(Interface[Answer_co]):
    """What may be said now. Any event that is no `Action` is the answer to what was asked for."""

    @property
    def idle(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def receive(self, data: bytes) -> Sequence[Action | Answer_co]: ...
    def commit(self) -> bytes: ...
    def quit(self) -> bytes: ...
    def lose(self, why: str, *, connected: bool) -> Sequence[Action | Answer_co]:
        """It is over; *connected*: there was a connection."""


class Exchange(Generic[Answer]):
    """Carries out what *session* says, one question at a time, within *limits*.

    *end*: what a dialogue is late with, in words. *patience*: seconds for the reply to what is written now,
    if not always ``limits.reply``. *secure*: begins TLS and tells the session. *lost* fires when nothing more
    can be said, whoever ended it, and *why* tells the reason. Nothing here raises for what the server or the
    network does. Cancelling an awaited answer ends the conversation.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        session: Session[Answer],
        limits: Limits,
        *,
        end: str,
        patience: Callable[[], float] | None = None,
        secure: Callable[[Transport], Sequence[Action | Answer]] | None = None,
    ) -> None:
        self.lost: Deferred[None] = Deferred()
        self.why = ""
        self._endpoint = endpoint
        self._clock = clock
        self._session = session
        self._limits = limits
        self._late = {"open": "no conversation", "reply": "no reply", "dialogue": f"no {end}"}
        self._patience = patience or (lambda: limits.reply)
        self._secure = secure
        self._transport: Transport | None = None
        self._waiting: Deferred[Answer] | None = None
        self._timers: dict[str, Call] = {}
        self._connecting: Deferred[Any] | None = None
        self._gone: list[Deferred[None]] = []

    def open(self) -> Deferred[Answer]:
        """Connect, and all until the session is idle; within ``limits.open``."""
        answer = self._wait()
        self._start("open", self._limits.open)
        connecting = self._connecting = self._endpoint.connect(_Wires(self))
        connecting.addErrback(self._not_connected)
        return answer

    def ask(self, first: Sequence[Action | Answer], *, dialogue: bool = False) -> Deferred[Answer]:
        """Do *first* and wait for the answer; a *dialogue* has a limit of its own as a whole."""
        answer = self._wait()
        if dialogue:
            self._start("dialogue", self._limits.dialogue)
        self._do(first)
        return answer

    async def quit(self) -> None:
        """Say goodbye and close, within twice ``limits.close``; returns when the connection is gone."""
        if self._session.idle:
            self._write(self._session.quit(), self._limits.close)
        elif not self._session.closed:
            self._lose("closed by us")
        if self._transport is not None:
            gone = Deferred[None]()
            self._gone.append(gone)
            await gone

    # Inside

    def _wait(self) -> Deferred[Answer]:
        waiting = self._waiting = Deferred[Answer](self._cancelled)
        return waiting

    def _cancelled(self, answer: Deferred[Answer]) -> None:
        self._waiting = None
        self._lose("cancelled by us")

    def _write(self, data: bytes, limit: float) -> None:
        self._start("reply", limit)
        if self._transport is not None:
            self._transport.write(data)

    def _do(self, events: Sequence[Action | Answer]) -> None:
        answers: list[Answer] = []
        for event in events:
            match event:
                case Write(data=data):
                    self._write(data, self._patience())
                case Secure():
                    if self._secure and self._transport is not None:
                        self._do(self._secure(self._transport))
                case ReadyToSend():
                    self._stop("reply")
                    # Two turns of the reactor, so that it reads once: what is here before the page is
                    # committed cannot be the answer to it, and ends the conversation.
                    self._timers["turn"] = self._clock.callLater(0, self._another_turn)
                case Over(why=why):
                    self._over(why)
                case _:
                    answers = [event]
                    self._stop("reply", "open", "dialogue", "turn")
        if answers and self._waiting:
            waiting, self._waiting = self._waiting, None
            waiting.callback(answers[0])

    def _another_turn(self) -> None:
        self._timers["turn"] = self._clock.callLater(0, self._commit)

    def _commit(self) -> None:
        self._write(self._session.commit(), self._limits.send)

    def _over(self, why: str) -> None:
        self.why = why
        self._stop(*list(self._timers))
        if self._transport is not None:
            self._timers["abort"] = self._clock.callLater(self._limits.close, self._transport.abortConnection)
            self._transport.loseConnection()
        elif self._connecting:
            self._connecting.cancel()
        if not self.lost.called:
            self.lost.callback(None)

    def _lose(self, why: str) -> None:
        self._do(self._session.lose(why, connected=self._transport is not None))

    # Time

    def _start(self, name: str, limit: float) -> None:
        self._stop(name)
        why = f"{self._late[name]} within {limit:g} s"
        self._timers[name] = self._clock.callLater(limit, self._lose, why)

    def _stop(self, *names: str) -> None:
        for name in names:
            timer = self._timers.pop(name, None)
            if timer and timer.active():
                timer.cancel()

    # From the transport

    def _not_connected(self, failure: Failure) -> None:
        self._lose(f"no connection: {told(failure)}")

    def connected(self, transport: Transport) -> None:
        """The connection is there."""
        self._transport = transport
        if self._session.closed:  # too late
            transport.abortConnection()

    def received(self, data: bytes) -> None:
        """The server said *data*."""
        self._do(self._session.receive(data))

    def disconnected(self, failure: Failure) -> None:
        """The connection is gone."""
        self._lose(f"connection lost: {told(failure)}")
        self._transport = None
        self._stop("abort")
        gone, self._gone = self._gone, []
        for waiting in gone:
            waiting.callback(None)


class _Wire(Protocol):
    """Passes on what the transport tells."""

    def __init__(self, exchange: Exchange[Any]) -> None:
        self._exchange = exchange

    def connectionMade(self) -> None:
        self._exchange.connected(cast(Transport, self.transport))

    def dataReceived(self, data: bytes) -> None:
        self._exchange.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._exchange.disconnected(reason)


class _Wires(Factory):
    """Endpoints want a factory; this one builds the one protocol of a conversation."""

    noisy = False

    def __init__(self, exchange: Exchange[Any]) -> None:
        self._exchange = exchange

    def buildProtocol(self, addr: object) -> Protocol:
        return _Wire(self._exchange)
