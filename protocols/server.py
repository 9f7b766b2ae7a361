"""A server on Twisted: its connections, their transports and time limits, their number.

For every protocol whose session tells by `events` what to do, and asks what only the house behind it can
answer; knows none of them.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from math import inf
from typing import Generic, TypeVar, assert_never, cast
from typing import Protocol as Interface

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from protocols.events import Foreign, Hangup, Say
from protocols.wire import Call, Clock, Transport

Asked = TypeVar("Asked")
Asked_co = TypeVar("Asked_co", covariant=True)
Reply = TypeVar("Reply")
Reply_contra = TypeVar("Reply_contra", contravariant=True)
Action = Say | Foreign | Hangup


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds and counts; the page of each protocol names their sources."""

    idle: float = 300.0  # between two commands
    text: float = 60.0  # between two lines of a text
    whole: float = 600.0  # one text, from its first line to its last
    answer: float = 120.0  # for the application
    close: float = 5.0  # for what is written to leave, then the connection is cut
    commands: int = 5000  # lines that the session counts, per second and connection
    connections: int = 1000


class Due(Enum):
    """What a connection waits for."""

    LINE = "the client's next command"
    TEXT = "the next line of a text"
    ANSWER = "the application"
    NOTHING = "its end"


class Session(Interface[Asked_co, Reply_contra]):
    """What may be said now. Any event that is no `Action` is a question, and the last of its list."""

    lines: int  # whole lines taken so far
    allowance: int | None  # lines still allowed before it says no; None: any number

    def greet(self) -> Sequence[Action | Asked_co]: ...
    def receive(self, data: bytes) -> Sequence[Action | Asked_co]: ...
    def close(self, reply: Reply_contra) -> Sequence[Action | Asked_co]: ...
    def abandon(self) -> Sequence[Action | Asked_co]: ...


class Talk(Interface[Asked, Reply_contra]):
    """One client's conversation: its session, and who answers the questions."""

    @property
    def session(self) -> Session[Asked, Reply_contra]: ...
    @property
    def due(self) -> Due: ...
    async def answer(self, asked: Asked, peer: str, wire: Transport | None) -> Sequence[Action | Asked]:
        """Have *asked* answered and tell the session. *wire* None: the client is gone, its page is not."""


class Words(Struct, Generic[Reply], frozen=True, kw_only=True):
    """What a protocol is called in a log, and what it says to a client before it closes."""

    protocol: str
    late: Reply
    crowded: Reply
    closing: Reply


class Connection(Protocol, Generic[Asked, Reply]):
    """One client's connection."""

    log = Logger()

    def __init__(self, house: "House[Asked, Reply]", talk: Talk[Asked, Reply]) -> None:
        self._house = house
        self._talk = talk
        self._wire: Transport | None = None
        self._timer: Call | None = None
        self._paced = False
        self._lines = 0
        self._second = -inf  # when the current count of commands began
        self._text_ends: float | None = None  # the last moment for the text that is coming
        self._peer = ""

    def connectionMade(self) -> None:
        self._wire = cast(Transport, self.transport)
        self._peer = getattr(self._wire.getPeer(), "host", "")
        self._timer = self._house.clock.callLater(self._house.limits.idle, self._late)
        refusal = self._house.joined(self)
        session = self._talk.session
        self._do(session.close(refusal) if refusal else session.greet())

    def dataReceived(self, data: bytes) -> None:
        clock, limits, session = self._house.clock, self._house.limits, self._talk.session
        if self._wire and not self._paced:
            # A client that does not read its replies is not read from either. Not from the start: under TLS
            # the greeting waits for the handshake, and that must be read.
            self._paced = True
            self._wire.registerProducer(self, True)
        if (now := clock.seconds()) - self._second >= 1:
            self._second, session.allowance = now, limits.commands
        self._go_on(session.receive(data))
        if session.lines != self._lines:  # whole lines only: a drip does not keep a connection
            self._lines = session.lines
            self._wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # What has been received stays valid: a page that has come whole is still taken.
        self._wire = None
        self._stop_timer()
        self._house.left(self)

    def close(self, reply: Reply) -> None:
        """Say *reply* and close, after the answer that is due."""
        self._go_on(self._talk.session.close(reply))

    # IPushProducer: told by the transport how full its buffer is

    def pauseProducing(self) -> None:
        if self._wire:
            self._wire.pauseProducing()

    def resumeProducing(self) -> None:
        if self._wire:
            self._wire.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is closing; nothing to stop."""

    # Inside

    def _go_on(self, events: Sequence[Action | Asked]) -> None:
        if asked := self._do(events):
            # A failure of ours is logged here: nobody awaits this.
            Deferred.fromCoroutine(self._answer(asked)).addErrback(
                lambda failure: self.log.failure(
                    f"an {self._house.words.protocol} conversation broke", failure
                )
            )

    async def _answer(self, asked: Asked | None) -> None:
        while asked:
            asked = self._do(await self._talk.answer(asked, self._peer, self._wire))
            self._wait()

    def _do(self, events: Sequence[Action | Asked]) -> Asked | None:
        """Carry out *events*; the question, if they end with one."""
        for event in events:
            match event:
                case Say(data=data):
                    if self._wire:
                        self._wire.write(data)
                case Foreign(what=what):
                    protocol = self._house.words.protocol
                    self.log.info(
                        f"{{what}} came to the {protocol} port from {{peer}}", what=what, peer=self._peer
                    )
                case Hangup():
                    self._hang_up()
                case _:
                    return event
        return None

    def _hang_up(self) -> None:
        if wire := self._wire:
            self._stop_timer()
            self._timer = self._house.clock.callLater(self._house.limits.close, wire.abortConnection)
            if self._paced:
                wire.unregisterProducer()
            wire.loseConnection()

    # Time

    def _wait(self) -> None:
        """Begin anew to wait for what is due next, the client's line or the application's answer."""
        limits, due, now = self._house.limits, self._talk.due, self._house.clock.seconds()
        if due is not Due.TEXT:
            self._text_ends = None
        match due:
            case Due.LINE:
                limit = limits.idle
            case Due.TEXT:
                self._text_ends = self._text_ends or now + limits.whole
                limit = max(0.0, min(limits.text, self._text_ends - now))
            case Due.ANSWER:
                limit = limits.answer
            case Due.NOTHING:
                return
            case _:
                assert_never(due)
        if self._timer:
            self._timer.reset(limit)

    def _stop_timer(self) -> None:
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _late(self) -> None:
        self._timer = None
        words = self._house.words
        if self._talk.due is Due.ANSWER:
            self.log.error(f"no answer to an {words.protocol} question of {{peer}} in time", peer=self._peer)
            self._go_on(self._talk.session.abandon())
        else:
            self._go_on(self._talk.session.close(words.late))


class House(Factory, Generic[Asked, Reply]):
    """Answers every connection with a new talk of *begin*, up to a limit. *clock* is the steady one."""

    noisy = False

    def __init__(
        self,
        words: Words[Reply],
        clock: Clock,
        limits: Limits | None,
        begin: Callable[[], Talk[Asked, Reply]],
    ) -> None:
        self.words = words
        self.clock = clock
        self.limits = limits or Limits()
        self._begin = begin
        self._open: set[Connection[Asked, Reply]] = set()
        self._empty: list[Deferred[None]] = []
        self._refusal: Reply | None = None

    def buildProtocol(self, addr: object) -> Protocol:
        return Connection(self, self._begin())

    def joined(self, connection: Connection[Asked, Reply]) -> Reply | None:
        """A connection began. What to tell it instead of a greeting, if it is one too many or we drain."""
        self._open.add(connection)
        return self.words.crowded if len(self._open) > self.limits.connections else self._refusal

    def left(self, connection: Connection[Asked, Reply]) -> None:
        """A connection ended."""
        self._open.discard(connection)
        if not self._open:
            empty, self._empty = self._empty, []
            for waiting in empty:
                waiting.callback(None)

    def empty(self) -> Deferred[None]:
        """Fires when no connection is left."""
        empty = Deferred[None]()
        if self._open:
            self._empty.append(empty)
        else:
            empty.callback(None)
        return empty

    def drain(self) -> None:
        """Take nothing new: every connection hears that we close, after the answer that is due to it."""
        self._refusal = self.words.closing
        for connection in list(self._open):
            connection.close(self._refusal)
