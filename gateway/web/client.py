"""One call over HTTP/1.1: what a webhook needs of a client, and nothing that could be talked into more.

A connection for each call, no redirects, no cookies, no compression; the whole call has one time limit, and
of the answer at most ``MAX_ANSWER`` bytes are read. The status counts as soon as the head is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httptools
import msgspec
from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.env import Address, Env, Tls
from gateway.web.messages import Fields

MAX_ANSWER = 64 * 1024  # bytes, head and body: whoever reads more than the status expects some 1,000
OPEN_TIMEOUT = 10.0  # seconds to connect, TLS included


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. Header fields by lower-case name; of a repeated one the last. *body*: as far as it came."""

    status: int
    fields: dict[str, str]
    body: bytes = b""


class Unanswered(Exception):
    """No answer came; *args[0]* says why, for people: a sentence without the URL's path or query."""


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
    """Send one request and return what is answered within *limit* seconds; raises Unanswered.

    *refusal* is asked of every address (see env.Net.client). *ca_file* replaces the platform's trust.
    """
    parts = urlsplit(url)
    host, plain = parts.hostname or "", parts.scheme == "http"
    address = Address(
        host=host,
        port=parts.port or (80 if plain else 443),
        tls=None if plain else Tls(ca_file=ca_file),
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    netloc = parts.netloc.rpartition("@")[2]
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {netloc}",
        *(f"{name}: {value}" for name, value in headers),
        *([f"Content-Length: {len(body)}"] if body else []),
        "Connection: close",
    ]
    once = _Call("\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body)
    endpoint = env.net.client(address, open_timeout=min(OPEN_TIMEOUT, limit), refusal=refusal)
    end = env.clock.seconds() + limit
    try:
        await endpoint.connect(_Once(once))
    except Exception as error:  # whatever connecting fails with is an answer that did not come
        raise Unanswered(_words(error)) from None
    late: Any = env.clock.callLater(max(0.0, end - env.clock.seconds()), once.give_up, limit)
    try:
        return await once.told
    finally:
        if late.active():
            late.cancel()
        once.hang_up()


class _Once(Factory):
    noisy = False

    def __init__(self, call: _Call) -> None:
        self._call = call

    def buildProtocol(self, addr: Any) -> _Call:
        return self._call


class _Call(Protocol):
    """Sends one request and reads the head of its answer, and its body for as long as it is short."""

    transport: Any

    def __init__(self, request: bytes) -> None:
        self.told: Deferred[Answered] = Deferred(lambda _: self.hang_up())
        self._request = request
        self._parser: Any = httptools.HttpResponseParser(self)
        self._fields: dict[str, str] = {}
        self._head: Answered | None = None
        self._body: list[bytes] = []
        self._heard = 0

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._heard += len(data)
        if self.told.called:
            return
        if self._heard > MAX_ANSWER:
            self._settle("it answered more than 64 KiB before it said a status")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):  # we never ask for another protocol
            self._settle("it answered something that is not HTTP")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._settle("it hung up without an answer" if not self._heard else "it hung up within its answer")

    def give_up(self, limit: float) -> None:
        """The time is over."""
        self._settle(f"it did not answer within {limit:g} s")

    def hang_up(self) -> None:
        """Nobody waits any more."""
        if self.transport is not None:
            self.transport.abortConnection()

    # httptools calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # else another head follows (RFC 9110 15.2)
            self._head = Answered(status=status, fields=self._fields)
        self._fields = {}

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._head is not None:
            self._settle("")

    def _settle(self, why: str) -> None:
        if self.told.called:
            return
        if self._head is not None:
            self.told.callback(replace(self._head, body=b"".join(self._body)))
        else:
            self.told.errback(Unanswered(why))


def _words(error: Exception) -> str:
    if isinstance(error, CancelledError):
        return "it could not be reached in time"
    return f"it could not be reached: {str(error).rstrip('.') or type(error).__name__}"
