"""HTTP/1.1 as a client: a request at a time over a connection, and nothing that could be talked into more.

No redirects, no cookies, no compression; of an answer a bounded number of bytes is read, and each has a time
limit. ``call`` is what a webhook needs: a connection for each call, and the status counts as soon as the
head is whole. ``connect`` is for carriers, to whom it matters what was asked and what was heard whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httptools
import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import TimeoutError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.env import Address, Clock, Env, Tls
from gateway.web.messages import Fields

MAX_ANSWER = 64 * 1024  # bytes, head and body: nobody says more than that in good faith
OPEN_TIMEOUT = 10.0  # seconds to connect, TLS included
CLOSE_TIMEOUT = 5.0  # seconds for a connection to end in good order


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. Header fields by lower-case name; of a repeated one the last. *body*: what was heard of it,
    and *whole* whether that is all, by the framing of HTTP."""

    status: int
    fields: dict[str, str]
    body: bytes = b""
    whole: bool = True


class Unanswered(Exception):
    """No answer came; *args[0]* says why, for people: a sentence without the URL's path or query."""


class Unreached(Unanswered):
    """There was no connection. *why*: the reason alone."""

    def __init__(self, why: str) -> None:
        super().__init__(f"it could not be reached{why if why.startswith(' ') else f': {why}'}")
        self.why = why.strip()


def request_of(
    method: str, url: str, headers: Fields, body: bytes = b"", *, version: str = "1.1", keep: bool = False
) -> bytes:
    """The bytes of one request; *keep*: another one may follow on its connection."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"{method} {target} HTTP/{version}",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        *(f"{name}: {value}" for name, value in headers),
        *([f"Content-Length: {len(body)}"] if body else []),
        f"Connection: {'keep-alive' if keep else 'close'}",
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


async def connect(
    env: Env,
    url: str,
    *,
    limit: float = OPEN_TIMEOUT,
    refusal: Callable[[str], str | None] | None = None,
    ca_file: str | None = None,
    tls_name: str | None = None,
    watch: Callable[[bool, bytes], None] | None = None,
) -> Wire:
    """A connection to the server of *url*, within *limit* seconds; raises Unreached.

    *refusal* is asked of every address (see env.Net.client). *ca_file* replaces the platform's trust,
    *tls_name* the name that the certificate must be for. *watch* is told of all that is said: whether by us,
    and what; of an answer in one piece, when no more of it is heard.
    """
    parts = urlsplit(url)
    plain = parts.scheme == "http"
    address = Address(
        host=parts.hostname or "",
        port=parts.port or (80 if plain else 443),
        tls=None if plain else Tls(name=tls_name, ca_file=ca_file),
    )
    wire = Wire(env.clock, watch)
    try:
        await env.net.client(address, open_timeout=limit, refusal=refusal).connect(_Once(wire))
    except Exception as error:  # whatever connecting fails with is an answer that did not come
        raise Unreached(_words(error)) from None
    return wire


async def call(
    env: Env,
    method: str,
    url: str,
    headers: Fields,
    body: bytes = b"",
    *,
    limit: float,
    refusal: Callable[[str], str | None] | None = None,
    ca_file: str | None = None,
) -> Answered:
    """Send one request and return what is answered within *limit* seconds, or its beginning if its head is
    whole; raises Unanswered. *refusal*, *ca_file*: as for ``connect``.
    """
    end = env.clock.seconds() + limit
    wire = await connect(env, url, limit=min(OPEN_TIMEOUT, limit), refusal=refusal, ca_file=ca_file)
    try:
        request = request_of(method, url, headers, body)
        return await wire.ask(request, max(0.0, end - env.clock.seconds()), told=limit)
    finally:
        wire.abort()


class _Once(Factory):
    noisy = False

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def buildProtocol(self, addr: Any) -> Wire:
        return self._wire


class Wire(Protocol):
    """One connection. *lost* fires when nothing more can be asked, whoever ended it.

    What comes unasked ends it: nobody could tell what it is the answer to.
    """

    transport: Any

    def __init__(self, clock: Clock, watch: Callable[[bool, bytes], None] | None = None) -> None:
        self.lost: Deferred[None] = Deferred()
        self._clock = clock
        self._watch = watch
        self._waiting: Deferred[Answered] | None = None
        self._parser: Any = None
        self._fields: dict[str, str] = {}
        self._head: Answered | None = None
        self._body: list[bytes] = []
        self._raw: list[bytes] = []
        self._heard, self._most = 0, MAX_ANSWER
        self._complete = self._more = self._keeps = False
        self._connected = False
        self._aborting: Any = None  # an IDelayedCall, which mypy cannot read
        self._gone: list[Deferred[None]] = []

    @property
    def idle(self) -> bool:
        """Whether something may be asked now."""
        return not self.lost.called and self._waiting is None

    async def ask(
        self, request: bytes, limit: float, *, told: float | None = None, most: int = MAX_ANSWER
    ) -> Answered:
        """Write *request*, in one piece, and return what is answered within *limit* seconds (*told* to people
        as so many) in at most *most* bytes; raises Unanswered.

        An answer that is not *whole* ends the connection, and so does cancelling.
        """
        if self.lost.called:
            raise Unanswered("the connection is over")
        assert self._waiting is None, "one request at a time"
        waiting = self._waiting = Deferred(lambda _: self.abort())
        self._parser = httptools.HttpResponseParser(self)
        self._fields, self._head, self._body = {}, None, []
        self._heard, self._most, self._complete, self._more, self._keeps = 0, most, False, False, False
        if self._watch is not None:
            self._watch(True, request)
        self.transport.write(request)
        late: Any = self._clock.callLater(limit, self._late, limit if told is None else told)
        try:
            return await waiting
        finally:
            self._waiting = None
            if late.active():
                late.cancel()

    async def close(self) -> None:
        """End in good order, an answer that is awaited excepted; returns when the connection is gone."""
        if self._waiting is not None:
            self._settle("we hung up", whole=False)
            self.abort()
        self.end()
        if self._connected:
            gone: Deferred[None] = Deferred()
            self._gone.append(gone)
            await gone

    def end(self) -> None:
        """Ask nothing more: the connection ends in good order, at the latest after ``CLOSE_TIMEOUT``."""
        if self.lost.called:
            return
        if self._connected:
            self._aborting = self._clock.callLater(CLOSE_TIMEOUT, self.transport.abortConnection)
            self.transport.loseConnection()
        self.lost.callback(None)

    def abort(self) -> None:
        """Cut the connection now."""
        if self._connected:
            self.transport.abortConnection()
        if not self.lost.called:
            self.lost.callback(None)

    # Twisted calls these.

    def connectionMade(self) -> None:
        self._connected = True

    def dataReceived(self, data: bytes) -> None:
        if self.lost.called:
            return
        self._raw.append(data)
        if self._waiting is None or self._waiting.called:
            self._heard_out()
            self.abort()
            return
        self._heard += len(data)
        if self._heard > self._most:
            size = f"{self._most // 1024} KiB"
            self._settle(f"it answered more than {size} before it said a status", whole=False)
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):  # we never ask for another protocol
            if not self._complete:
                self._settle("it answered something that is not HTTP", whole=False)
                return
            self._more = True
        if self._complete:
            self._settle("", whole=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connected = False
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()
        why = "it hung up without an answer" if not self._heard else "it hung up within its answer"
        self._settle(why, whole=self._until_close)
        self.abort()
        gone, self._gone = self._gone, []
        for waiting in gone:
            waiting.callback(None)

    # httptools calls these.

    def on_message_begin(self) -> None:
        self._more = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._complete:
            self._fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        status = self._parser.get_status_code()
        if status >= 200:  # else another head follows (RFC 9110 15.2)
            self._head = Answered(status=status, fields=self._fields)
        self._fields = {}

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._complete and self._head is not None:
            self._complete, self._keeps = True, self._parser.should_keep_alive()

    # Inside

    @property
    def _until_close(self) -> bool:
        """Whether the end of the connection is the end of this answer (RFC 9112 6.3, 8)."""
        if self._head is None:
            return False
        return not self._head.fields.keys() & {"content-length", "transfer-encoding"}

    def _heard_out(self) -> None:
        raw, self._raw = self._raw, []
        if raw and self._watch is not None:
            self._watch(False, b"".join(raw))

    def _late(self, limit: float) -> None:
        self._settle(f"it did not answer within {limit:g} s", whole=False)

    def _settle(self, why: str, *, whole: bool) -> None:
        """Answer whoever waits; the connection is kept only if both sides want another request on it."""
        waiting = self._waiting
        if waiting is None or waiting.called:
            return
        self._heard_out()
        if not whole:
            self.abort()
        elif self._more or not self._keeps:
            self.end()
        if self._head is None:
            waiting.errback(Unanswered(why))
        else:
            waiting.callback(msgspec.structs.replace(self._head, body=b"".join(self._body), whole=whole))


def _words(error: Exception) -> str:
    if isinstance(error, CancelledError):
        return " in time"
    if isinstance(error, TimeoutError) and error.args:
        return str(error.args[0])  # without Twisted's word for who was impatient
    return str(error).rstrip(".") or type(error).__name__
