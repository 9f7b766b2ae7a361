"""One client: its deadlines, the order of its answers, and its end.

A connection answers one request at a time (RFC 9112 9.3.2: only safe methods may run side by side);
what the client sends ahead stays as bytes, up to a bound, then in the kernel. So there is no queue.

    (TLS)       `handshake` seconds until it is agreed on; from the first byte it counts as a connection
    TAKING      reading a request: `idle` seconds until it begins, `whole_request` until it has ended
    ANSWERING   the handler, or the sending of its answer, is under way
    CLOSING     the last answer is written: our side is shut, theirs is read and dropped for a while, so
                that the answer is not destroyed by a reset (RFC 9112 9.6)

In every state a client that does not read is cut off after `stuck_reader`.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import AsyncIterator, Coroutine
from contextvars import Context, copy_context
from enum import Enum, auto
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no stubs

from gateway.env.tls import words
from gateway.web.framing import Flaw, Reader
from gateway.web.messages import (
    Answer,
    Fields,
    Peer,
    Request,
    Response,
    Stream,
    phrase,
)

if TYPE_CHECKING:
    from gateway.web.server import HttpServer

PIECE = 64 * 1024  # a larger body is written in pieces, so that `stuck_reader` measures each of them

_OURS = frozenset(("connection", "content-length", "transfer-encoding", "date", "keep-alive", "upgrade"))
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@lru_cache(maxsize=64)
def _status_line(status: int) -> bytes:
    if not 200 <= status <= 599:
        raise ValueError(f"not the status of a final answer: {status}")
    return f"HTTP/1.1 {status} {phrase(status)}\r\n".encode("ascii")


@lru_cache(maxsize=256)
def _field_lines(headers: Fields) -> bytes:
    for name, value in headers:
        if not name or not _TOKEN.issuperset(name) or name.lower() in _OURS:
            raise ValueError(f"not a header field for a handler to set: {name!r}")
        if any(character < " " and character != "\t" for character in value):
            raise ValueError(f"control character in the header field {name}")
    return "".join([f"{name}: {value}\r\n" for name, value in headers]).encode("latin-1")


def _peer(transport: Any, address: IAddress | None) -> Peer:
    """Who is at the other end; the uid only where the kernel tells it."""
    if host := getattr(address, "host", None):
        return Peer(address=host)
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if not isinstance(handle, socket.socket) or handle.family != socket.AF_UNIX:
        return Peer()
    if sys.platform == "darwin":  # struct xucred of sys/ucred.h: version, uid, count and 16 groups
        return Peer(uid=struct.unpack_from("2I", handle.getsockopt(0, 1, 76))[1])
    _pid, uid, _gid = struct.unpack("3i", handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(uid=uid)


class _State(Enum):
    TAKING = auto()
    ANSWERING = auto()
    CLOSING = auto()


@implementer(IPushProducer, IHalfCloseableProtocol, IHandshakeListener)
class Connection(Protocol):
    """One client."""

    transport: Any  # ITransport and what TCP, unix sockets or TLS add

    def __init__(self, server: HttpServer, address: IAddress | None) -> None:
        self._server = server
        self._limits = server.limits
        self._address = address
        self._state = _State.TAKING
        self._deadline = inf
        self._timing = False  # the deadline is that of a request that has begun
        self._request: Request | None = None
        self._keep = True
        self._out: list[bytes] = []
        self._running = False
        self._turn: Any = None  # an IDelayedCall, which mypy cannot read
        self._blocked = False  # the client does not read
        self._shaking = False  # TLS is not agreed on yet
        self._unread = False  # we do not read
        self._ended = False  # the client has said that it sends no more
        self._held = 0
        self._dropped = 0
        self._writable: Deferred[None] | None = None
        self._pump: Deferred[None] | None = None

    # Twisted calls these.

    def connectionMade(self) -> None:
        self._peer = _peer(self.transport, self._address)
        self._reader = Reader(self._limits, self._peer, self._server.make_id)
        self._half_close = ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(
            self.transport
        )
        self._shaking = ISSLTransport.providedBy(self.transport)
        self._deadline = self._server.clock.seconds() + (
            self._limits.handshake if self._shaking else self._limits.idle
        )
        self.transport.registerProducer(self, True)
        self._server.entered(self, self._peer.address)

    def handshakeCompleted(self) -> None:
        """TLS is agreed on."""
        self._shaking = False
        self._deadline = self._server.clock.seconds() + self._limits.idle

    def dataReceived(self, data: bytes) -> None:
        if self._state is _State.CLOSING:
            self._dropped += len(data)
            if self._dropped > self._limits.max_body:
                self._stop_reading()
            return
        self._reader.receive(data)
        if self._state is _State.TAKING and not self._blocked and self._turn is None:
            self._go_on()
        elif self._reader.waiting > self._limits.max_ahead:
            self._stop_reading()

    def readConnectionLost(self) -> None:
        """The client sends no more. It may still wait for an answer (`printf ... | nc`) or be gone."""
        self._ended = True
        if self._state is _State.CLOSING:
            self.transport.loseConnection()
        else:
            self._nobody_waits(self._request)
            self._settle()

    def writeConnectionLost(self) -> None:
        """Our last byte is in the hands of the kernel."""
        self._deadline = self._server.clock.seconds() + self._limits.linger

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._state = _State.CLOSING
        self._ended = True
        if self._shaking and isinstance(reason.value, SSL.Error):
            self._server.unsecured(words(reason.value))
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        request, self._request = self._request, None
        self._nobody_waits(request)
        if self._writable is not None:
            self._writable.callback(None)
        self._hold(0)
        self._reader.close()
        self._server.left(self, self._peer.address)

    def pauseProducing(self) -> None:
        """The write buffer is full."""
        self._blocked = True
        self._deadline = self._server.clock.seconds() + self._limits.stuck_reader

    def resumeProducing(self) -> None:
        """The write buffer is empty."""
        self._blocked = False
        self._deadline = inf
        if self._writable is not None:
            writable, self._writable = self._writable, None
            writable.callback(None)
        elif self._state is _State.TAKING:
            self._go_on()

    def stopProducing(self) -> None:
        """The connection is lost; connectionLost follows."""

    # The server calls these.

    def look(self, now: float) -> None:
        """Act on a deadline that has passed."""
        if now < self._deadline:
            return
        if self._shaking:
            self._server.unsecured(f"not agreed on within {self._limits.handshake:g} s")
            self.abort()
        elif self._blocked or self._state is _State.CLOSING:
            self.abort()
        elif self._reader.begun:
            limit = f"{self._limits.whole_request:g}"
            self._refuse(
                Flaw(status=408, code="request-timeout", detail=f"The request took longer than {limit} s.")
            )
        else:
            self._close(wait=False)

    def drain(self) -> None:
        """No further request; say so to whoever waits for news."""
        self._nobody_waits(self._request)
        if self._state is _State.TAKING and not self._reader.begun:
            self._close(wait=False)

    def abort(self) -> None:
        """Cut the connection now."""
        self.transport.abortConnection()

    # Requests.

    def _go_on(self) -> None:
        """Answer what has come, until a request is not whole or not answered at once."""
        if self._running:
            return
        self._running = True
        for _ in range(self._limits.per_turn):
            if self._state is not _State.TAKING or self._blocked:
                break
            event = self._reader.next()
            if event is None:
                break
            if isinstance(event, Request):
                self._begin(event)
            elif isinstance(event, Flaw):
                self._refuse(event)
            else:
                self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            if self._state is _State.TAKING and self._reader.waiting and self._turn is None:
                self._turn = self._server.clock.callLater(0, self._next_turn)
        self._running = False
        self._flush()
        if self._state is not _State.CLOSING:
            if self._unread and self._reader.waiting <= self._limits.max_ahead:
                self._start_reading()
            self._settle()

    def _next_turn(self) -> None:
        self._turn = None
        self._go_on()

    def _settle(self) -> None:
        """Set the deadline for what the client owes us now."""
        if self._state is not _State.TAKING or self._blocked or self._turn is not None:
            return
        if self._ended:
            self._close()
        elif self._reader.begun:
            if not self._timing:
                self._timing = True
                self._deadline = self._server.clock.seconds() + self._limits.whole_request
            self._hold(self._reader.held)
            if self._server.held > self._limits.max_held:
                self._refuse(
                    Flaw(
                        status=503,
                        code="overloaded",
                        detail="Too many requests are being received at once.",
                        headers=(("Retry-After", "5"),),
                    )
                )
        elif self._deadline == inf:  # else the idle time runs already: empty lines do not prolong it
            self._deadline = self._server.clock.seconds() + self._limits.idle

    def _hold(self, held: int) -> None:
        self._server.held += held - self._held
        self._held = held

    def _begin(self, request: Request) -> None:
        self._state = _State.ANSWERING
        self._server.asked(self)
        self._deadline = inf
        self._timing = False
        if self._held:
            self._hold(0)
        self._keep = self._reader.keep_alive
        self._request = request
        try:
            coroutine = self._server.handler(request)
        except Exception:
            self._answer(request, self._failed(request))
        else:
            self._step(request, copy_context(), coroutine, None)

    def _step(
        self, request: Request, context: Context, coroutine: Coroutine[Any, Any, Answer], result: Any
    ) -> None:
        """Run the handler until it waits or ends.

        `Deferred.fromCoroutine` does the same for 3 µs more a request, measured; a request has 20.
        """
        try:
            if isinstance(result, Failure):
                waits_for = context.run(result.throwExceptionIntoGenerator, coroutine)
            else:
                waits_for = context.run(coroutine.send, result)
            if not isinstance(waits_for, Deferred):
                coroutine.close()
                raise TypeError(f"a handler can await Deferreds only, not {type(waits_for).__name__}")
        except StopIteration as end:
            self._answer(request, end.value)
        except Exception:  # the edge of the room: our mistake must not cost the client its answer
            self._answer(request, self._failed(request))
        else:
            waits_for.addBoth(self._wake, request, context, coroutine)

    def _wake(
        self, result: Any, request: Request, context: Context, coroutine: Coroutine[Any, Any, Answer]
    ) -> None:
        self._step(request, context, coroutine, result)
        if self._request is not request:
            self._go_on()

    def _failed(self, request: Request) -> Response:
        """Log the exception under way, once; what the client gets."""
        self._server.log.failure("request {request_id} failed", request_id=request.request_id)
        return self._server.problem(
            500, "internal-error", "The gateway failed; its log says why.", request_id=request.request_id
        )

    def _refuse(self, flaw: Flaw) -> None:
        self._server.refused[flaw.code] += 1
        answer = self._server.problem(
            flaw.status, flaw.code, flaw.detail, request_id=self._server.make_id(), headers=flaw.headers
        )
        self._keep = False
        self._out.append(self._head(answer, b"Content-Length: %d\r\n" % len(answer.body)) + answer.body)
        self._close()

    # Answers.

    def _head(self, answer: Answer, length: bytes) -> bytes:
        """The head; *length* is its framing field. ValueError: the handler set what it may not."""
        keep = self._keep and not self._server.draining
        if not keep:
            length += b"Connection: close\r\n"
        elif not self._reader.http11:
            length += b"Connection: keep-alive\r\n"
        return b"%b%b%b%b\r\n" % (
            _status_line(answer.status),
            self._server.date,
            _field_lines(answer.headers),
            length,
        )

    def _answer(self, request: Request, answer: Answer) -> None:
        if self._request is not request:
            return  # the connection was lost meanwhile
        try:
            self._say(request, answer)
        except Exception:  # not an answer, or one that cannot be put into HTTP: the handler's mistake
            self._say(request, self._failed(request))

    def _say(self, request: Request, answer: Answer) -> None:
        silent = request.method == "HEAD"
        if isinstance(answer, Stream):
            if not self._reader.http11:
                self._keep = False  # its end is the end of the connection
            self._out.append(
                self._head(answer, b"Transfer-Encoding: chunked\r\n" if self._reader.http11 else b"")
            )
            if silent:
                self._done()
                return
            pump = self._start_sending(request, answer.chunks, chunked=self._reader.http11)
            if self._request is request:
                self._pump = pump
            return
        body = answer.body
        if answer.status in (204, 304):  # RFC 9110 8.6: no length, no body
            if body:
                raise ValueError(f"a {answer.status} has no body")
            head = self._head(answer, b"")
        else:
            head = self._head(answer, b"Content-Length: %d\r\n" % len(body))
        if silent or len(body) <= PIECE:
            self._out.append(head if silent else head + body)
            self._done()
        else:
            self._out.append(head)
            self._start_sending(request, _pieces(body), chunked=False)

    def _start_sending(
        self, request: Request, chunks: AsyncIterator[bytes], *, chunked: bool
    ) -> Deferred[None]:
        self._flush()
        return Deferred.fromCoroutine(self._send(request, chunks, chunked=chunked)).addErrback(
            lambda failure: self._server.log.failure("a stream did not close", failure)
        )

    async def _send(self, request: Request, chunks: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Write *chunks* at the pace of the client, then go on with the next request."""
        try:
            async for chunk in chunks:
                if self._request is not request:
                    return
                if chunk:
                    self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if self._blocked:
                    self._writable = Deferred()
                    await self._writable
        except CancelledError:
            pass  # nobody waits any more: end in good order
        except Exception:
            self._server.log.failure("the answer to {request_id} broke off", request_id=request.request_id)
            if self._request is request:
                self.abort()  # without the last chunk: the client sees that it is not whole
            return
        finally:
            self._writable = None
            if (close := getattr(chunks, "aclose", None)) is not None:
                await close()
        if self._request is request:
            self._pump = None
            if chunked:
                self._out.append(b"0\r\n\r\n")
            self._done()
            self._go_on()

    def _done(self) -> None:
        """The answer is complete."""
        self._request = None
        if self._keep and not self._server.draining:
            self._state = _State.TAKING
            self._server.answered(self)
        else:
            self._close()

    def _nobody_waits(self, request: Request | None) -> None:
        """Tell a long poll, and end a stream. Whole answers are still written."""
        if request is not None:
            request.leave()
        if self._pump is not None:
            pump, self._pump = self._pump, None
            pump.cancel()

    # The transport.

    def _flush(self) -> None:
        if self._out:
            data, self._out = b"".join(self._out), []
            self.transport.write(data)

    def _stop_reading(self) -> None:
        if not self._unread and not self._ended:
            self._unread = True
            self.transport.pauseProducing()

    def _start_reading(self) -> None:
        self._unread = False
        if not self._ended:
            self.transport.resumeProducing()

    def _close(self, *, wait: bool = True) -> None:
        """Write what there is, shut our side, and drop what still comes until the client hangs up.

        Who has asked for nothing is not *wait*ed for: pools of idle clients notice the end late.
        """
        self._flush()
        self._state = _State.CLOSING
        self._deadline = self._server.clock.seconds() + self._limits.stuck_reader
        self._hold(0)
        self.transport.unregisterProducer()
        if self._unread:
            self._start_reading()
        if wait and self._half_close and not self._ended:
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), PIECE):
        yield body[at : at + PIECE]
