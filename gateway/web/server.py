"""The server: takes connections in, looks at their deadlines, and stops in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no stubs

from gateway.env import Clock
from gateway.model import Instant
from gateway.web.connection import Connection
from gateway.web.messages import Answer, Limits, Problem, Request, problem_response

SAY_EVERY = 60.0  # seconds between log lines about clients with which TLS failed

Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Answer]]


@implementer(IProtocolNegotiationFactory)
class HttpServer(ServerFactory):
    """Serves *handler* over HTTP/1.1; a Twisted factory for any stream endpoint, TLS included.

    *wall* is the clock of ``Date``; *make_id* names requests. A handler that
    raises is answered with a 500 that says nothing but the request id, which the log has too. Handlers
    are never cancelled: a page that was taken is stored whether or not its client waits for the answer.
    """

    noisy = False

    def __init__(
        self,
        *,
        clock: Clock,
        handler: Handler,
        wall: Callable[[], Instant],
        make_id: Callable[[], str],
        limits: Limits = Limits(),  # noqa: B008  frozen
        problem: Problem = problem_response,
        log: Logger | None = None,
    ) -> None:
        self.clock = clock
        self.handler = handler
        self.make_id = make_id
        self.limits = limits
        self.problem = problem
        self.log = log or Logger()
        self.draining = False
        self.held = 0
        self.refused: Counter[str] = Counter()
        """Requests refused before they reached a handler, by code; ``connections``: shed at the door;
        ``tls``: TLS could not be agreed on."""
        self.date = b""
        self._wall = wall
        self._connections: set[Connection] = set()
        self._silent: dict[Connection, None] = {}  # without a request, longest first
        self._addresses: Counter[str] = Counter()
        self._tick: Any = None  # an IDelayedCall, which mypy cannot read
        self._shed = 0
        self._unsecured = 0
        self._say_unsecured_at = 0.0
        self._empty: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def buildProtocol(self, addr: IAddress | None) -> Connection | None:
        """A connection, or None, which hangs up at once: too many, or we are stopping.

        When there is no room, whoever has owed us a request for longest makes room: callers that say nothing
        cannot keep out one who does.
        """
        host = getattr(addr, "host", None)
        if self.draining or (host is not None and self._addresses[host] >= self.limits.max_per_address):
            self._hang_up()
            return None
        if len(self._connections) >= self.limits.max_connections:
            self._hang_up()
            silent = next(iter(self._silent), None)
            if silent is None:
                return None
            del self._silent[silent]
            silent.abort()
        return Connection(self, addr)

    def _hang_up(self) -> None:
        self._shed += 1
        self.refused["connections"] += 1

    def acceptableProtocols(self) -> list[bytes]:
        """What is spoken under TLS (ALPN). Without it Twisted 26.10 fails every client that asks."""
        return [b"http/1.1", b"http/1.0"]

    async def drain(self, limit: float) -> None:
        """Stop: idle connections end, requests in flight are finished, the rest is cut off after *limit*
        seconds. Long polls and streams are told at once. The listening port is the caller's to close.
        """
        self.draining = True
        for connection in list(self._connections):
            connection.drain()
        if not self._connections:
            return
        empty: Deferred[None] = Deferred()
        self._empty.append(empty)
        late: Any = self.clock.callLater(limit, self._abort_all)
        await empty
        if late.active():
            late.cancel()

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    # What connections tell us.

    def entered(self, connection: Connection, address: str | None) -> None:
        self._connections.add(connection)
        self._silent[connection] = None
        if address is not None:
            self._addresses[address] += 1
        if self._tick is None:
            self._look()

    def left(self, connection: Connection, address: str | None) -> None:
        self._connections.discard(connection)
        self._silent.pop(connection, None)
        if address is not None:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
        if not self._connections:
            if self._tick is not None:
                self._tick.cancel()
                self._tick = None
            waiting, self._empty = self._empty, []
            for empty in waiting:
                empty.callback(None)

    def asked(self, connection: Connection) -> None:
        """A request is whole."""
        self._silent.pop(connection, None)

    def answered(self, connection: Connection) -> None:
        """The next request may come."""
        self._silent[connection] = None

    def unsecured(self, why: str) -> None:
        """TLS could not be agreed on with a client. Said at most once a minute."""
        self.refused["tls"] += 1
        self._unsecured += 1
        now = self.clock.seconds()
        if now >= self._say_unsecured_at:
            if "http request" in why:  # OpenSSL's words
                why = "plain HTTP, where https is spoken"
            self.log.warn(
                "TLS failed with {count} connections, lastly: {why}", count=self._unsecured, why=why
            )
            self._unsecured, self._say_unsecured_at = 0, now + SAY_EVERY

    def _look(self) -> None:
        """Once a second while there are connections: the date, the deadlines, what was shed."""
        self._tick = self.clock.callLater(1.0, self._look)
        self.date = f"Date: {formatdate(self._wall() / 1e6, usegmt=True)}\r\n".encode("ascii")
        if self._shed:
            self.log.warn("hung up on {count} connections: too many", count=self._shed)
            self._shed = 0
        now = self.clock.seconds()
        for connection in list(self._connections):
            connection.look(now)
