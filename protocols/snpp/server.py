"""The server on Twisted: a `ServerSession` with a transport, time limits and an application to ask."""

from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import Protocol as Interface
from typing import assert_never, cast

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.messages import Reply
from protocols.wire import Call, Clock, Transport


class Caller(Struct, frozen=True, kw_only=True):
    """Who is talking: the address of the peer and the login, None before LOGIn."""

    address: str
    login: str | None


class Application(Interface):
    """What only the house behind the server can answer. An exception is logged and answered 554."""

    async def login(self, who: Caller, asked: s.LoginAsked) -> Reply:
        """250 or 550."""

    async def check_pager(self, who: Caller, asked: s.PagerAsked) -> Reply:
        """250, 550 or 554; for a two-way page 850, 950, 750 or 550."""

    async def send(self, who: Caller, page: m.Received) -> Reply:
        """250, 550, 554 or 421; two-way: a `tagged_reply`. Runs to its end even if the client goes."""

    async def status(self, who: Caller, asked: s.StatusAsked) -> Reply:
        """`status_reply`, or 550."""

    async def ping(self, who: Caller, asked: s.PingAsked) -> Reply:
        """820, 821, 750, 920 or 550."""

    async def kill(self, who: Caller, asked: s.KillAsked) -> Reply:
        """250 or 550."""


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds and counts; docs/protocols/snpp.md names their sources."""

    idle: float = 300.0  # between two commands
    text: float = 60.0  # between two lines of DATA
    answer: float = 120.0  # for the application
    close: float = 5.0  # for what is written to leave, then the connection is cut
    commands: int = 5000  # lines per second and connection
    connections: int = 1000


class SnppServer(Protocol):
    """One client's connection."""

    log = Logger()

    def __init__(self, house: "SnppFactory", session: s.ServerSession) -> None:
        self._house = house
        self._session = session
        self._wire: Transport | None = None
        self._timer: Call | None = None
        self._lines = 0
        self._second = -inf  # when the current count of commands began
        self._peer = ""

    def connectionMade(self) -> None:
        self._wire = cast(Transport, self.transport)
        # A client that does not read its replies is not read from either.
        self._wire.registerProducer(self, True)
        self._peer = getattr(self._wire.getPeer(), "host", "")
        self._timer = self._house.clock.callLater(self._house.limits.idle, self._late)
        refusal = self._house.joined(self)
        self._do(self._session.close(refusal) if refusal else self._session.greet())

    def dataReceived(self, data: bytes) -> None:
        clock, limits = self._house.clock, self._house.limits
        if (now := clock.seconds()) - self._second >= 1:
            self._second, self._session.allowance = now, limits.commands
        self._go_on(self._session.receive(data))
        if self._session.lines != self._lines:  # whole lines only: a drip does not keep a connection
            self._lines = self._session.lines
            self._wait()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # What has been received stays valid: a page whose SEND has come is still sent.
        self._wire = None
        self._stop_timer()
        self._house.left(self)

    def close(self, reply: Reply) -> None:
        """Say *reply* and close, after the answer that is due."""
        self._go_on(self._session.close(reply))

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

    def _go_on(self, events: list[s.ServerEvent]) -> None:
        if asked := self._do(events):
            # A failure of ours is logged here: nobody awaits this.
            Deferred.fromCoroutine(self._answer(asked)).addErrback(
                lambda failure: self.log.failure("an SNPP conversation broke", failure)
            )

    async def _answer(self, asked: s.Asked | None) -> None:
        while asked:
            reply = await self._ask(asked)
            asked = self._do(self._session.answer(reply))
            self._wait()

    async def _ask(self, asked: s.Asked) -> Reply:
        application = self._house.application
        who = Caller(address=self._peer, login=self._session.login)
        try:
            match asked:
                case s.PagerAsked():
                    return await application.check_pager(who, asked)
                case s.SendAsked(page=page):
                    return await application.send(who, page)
                case s.LoginAsked():
                    return await application.login(who, asked)
                case s.StatusAsked():
                    return await application.status(who, asked)
                case s.PingAsked():
                    return await application.ping(who, asked)
                case s.KillAsked():
                    return await application.kill(who, asked)
                case _:
                    assert_never(asked)
        except Exception:  # our bug must not cost the client its conversation
            self.log.failure("SNPP {asked} from {peer} failed", asked=type(asked).__name__, peer=self._peer)
            return Reply(554, "Technical failure")

    def _do(self, events: list[s.ServerEvent]) -> s.Asked | None:
        """Carry out *events*; the question, if they end with one."""
        for event in events:
            match event:
                case s.Say(data=data):
                    if self._wire:
                        self._wire.write(data)
                case s.Foreign(what=what):
                    self.log.info("{what} came to the SNPP port from {peer}", what=what, peer=self._peer)
                case s.Hangup():
                    self._hang_up()
                case _:
                    return event
        return None

    def _hang_up(self) -> None:
        if wire := self._wire:
            self._stop_timer()
            self._timer = self._house.clock.callLater(self._house.limits.close, wire.abortConnection)
            wire.unregisterProducer()
            wire.loseConnection()

    # Time

    def _wait(self) -> None:
        """Begin anew to wait for what is due next, the client's line or the application's answer."""
        limits = self._house.limits
        match self._session.stage:
            case s.Stage.COMMANDS:
                limit = limits.idle
            case s.Stage.TEXT:
                limit = limits.text
            case s.Stage.ASKED:
                limit = limits.answer
            case s.Stage.CLOSED:
                return
        if self._timer:
            self._timer.reset(limit)

    def _stop_timer(self) -> None:
        if self._timer and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._session.stage is s.Stage.ASKED:
            self.log.error("no answer to an SNPP question of {peer} in time", peer=self._peer)
            self._go_on(self._session.abandon())
        else:
            self._go_on(self._session.close(Reply(421, "Timeout, goodbye")))


class SnppFactory(Factory):
    """Serves *application* to every connection. *wall* is the wall clock, *clock* the steady one."""

    noisy = False

    def __init__(
        self,
        application: Application,
        clock: Clock,
        wall: Callable[[], datetime],
        *,
        rules: s.ServerRules | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.application = application
        self.clock = clock
        self.limits = limits or Limits()
        self._wall = wall
        self._rules = rules or s.ServerRules()
        self._open: set[SnppServer] = set()
        self._refusal: Reply | None = None

    def buildProtocol(self, addr: object) -> Protocol:
        return SnppServer(self, s.ServerSession(self._rules, self._wall))

    def joined(self, connection: SnppServer) -> Reply | None:
        """A connection began. What to tell it instead of a greeting, if it is one too many or we drain."""
        self._open.add(connection)
        if len(self._open) > self.limits.connections:
            return Reply(421, "Too many connections, try later")
        return self._refusal

    def left(self, connection: SnppServer) -> None:
        """A connection ended."""
        self._open.discard(connection)

    def drain(self) -> None:
        """Take nothing new: every connection hears 421, after the answer that is due to it."""
        self._refusal = Reply(421, "Service is closing, try later")
        for connection in list(self._open):
            connection.close(self._refusal)
