"""What a handler is given and what it may give back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr
from twisted.internet.defer import Deferred, succeed

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""Header fields of an answer, in order."""


class Limits(Struct, frozen=True, kw_only=True):
    """Everything a client could otherwise make grow; bytes, counts and seconds.

    Deadlines are looked at once a second. *app* lowers ``max_connections`` below the descriptors it has.
    """

    request_line: int = 8 * 1024  # what nginx and Apache take; RFC 9112 3 recommends at least 8000
    max_head: int = 16 * 1024  # Node.js takes as much; the largest real head in our samples has 1 KiB
    max_headers: int = 100
    max_body: int = 1024 * 1024
    max_chunks: int = 4096  # a piece costs as much as a small request: 1 MiB by single bytes is an attack
    max_held: int = 64 * 1024 * 1024  # half-received bodies of all connections together
    max_ahead: int = 64 * 1024  # bytes of pipelined requests kept while an earlier one is answered
    per_turn: int = 64  # requests of one connection answered before the others have their turn
    max_connections: int = 1000
    max_per_address: int = 100
    whole_request: float = 30.0  # from the first byte to the last
    handshake: float = 10.0  # for TLS to be agreed on: two round trips, and a slow client's arithmetic
    idle: float = 60.0  # between requests, and before the first
    stuck_reader: float = 30.0  # for taking what fills the write buffer (64 to 128 KiB)
    linger: float = 5.0  # for the client to hang up after our last byte


class Peer(Struct, frozen=True, kw_only=True):
    """Who connected: an IP address over TCP, the user id the kernel vouches for over a unix socket."""

    address: str | None = None
    uid: int | None = None


class Request(Struct, frozen=True, kw_only=True, eq=False):
    """One whole request; its body has been received and its framing checked."""

    method: str
    path: str
    """Percent-decoded once; without the query."""
    query: dict[str, list[str]] = {}
    """Decoded query parameters, in order; empty values are kept."""
    fields: dict[bytes, bytes] = {}
    """Header fields by lower-case name; a repeated field is joined by ``, ``."""
    body: bytes = b""
    peer: Peer = Peer()
    make_id: Callable[[], str] = str
    _id: str = ""
    _left: bool = False
    _waiting: list[Deferred[None]] | None = None

    def header(self, name: str) -> str | None:
        """The value of a header field, whatever the case of *name*; octets above ASCII are Latin-1."""
        value = self.fields.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def first(self, name: str) -> str | None:
        """The first query parameter of that name."""
        values = self.query.get(name)
        return values[0] if values else None

    @property
    def request_id(self) -> str:
        """Names this request in answers and logs; made when first asked for."""
        if not self._id:
            force_setattr(self, "_id", self.make_id())
        return self._id

    @property
    def gone(self) -> Deferred[None]:
        """A new Deferred that fires when waiting longer is useless: the client left, or the server stops.

        For long polls: answer then with what there is. It never fires for a client that stays, and
        cancelling it is harmless.
        """
        if self._left:
            return succeed(None)
        fires: Deferred[None] = Deferred()
        if self._waiting is None:
            force_setattr(self, "_waiting", [])
        assert self._waiting is not None
        self._waiting.append(fires)
        return fires

    def leave(self) -> None:
        """The server says that waiting is useless from now on."""
        waiting = self._waiting or ()
        force_setattr(self, "_left", True)
        force_setattr(self, "_waiting", None)
        for fires in waiting:
            if not fires.called:
                fires.callback(None)


class Response(Struct, frozen=True, kw_only=True):
    """A whole answer. Framing fields (length, connection, date) are the server's and refused here."""

    status: int = 200
    headers: Fields = ()
    body: bytes = b""


class Stream(Struct, frozen=True, kw_only=True, eq=False):
    """An answer of unknown length, for server-sent events: each chunk is sent as it comes.

    The next chunk is asked for when the client has room. When the client leaves or the server stops,
    the iterator is cancelled (`twisted.internet.defer.CancelledError` at its await) and closed.
    """

    status: int = 200
    headers: Fields = ()
    chunks: AsyncIterator[bytes]


Answer: TypeAlias = Response | Stream

JSON: Fields = (("Content-Type", "application/json"),)
PROBLEM: Fields = (("Content-Type", "application/problem+json"),)


def json_response(value: Any, status: int = 200, headers: Fields = ()) -> Response:
    """*value* as JSON, encoded by msgspec."""
    return Response(
        status=status, headers=JSON + headers if headers else JSON, body=msgspec.json.encode(value)
    )


@lru_cache(maxsize=64)
def phrase(status: int) -> str:
    """The reason phrase of RFC 9110 15, whatever Python version speaks."""
    renamed = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
    return renamed.get(status) or HTTPStatus(status).phrase


class Problem(Protocol):
    """Makes the answer for an error; the api hands in its own, so that all its errors look the same."""

    def __call__(
        self, status: int, code: str, detail: str, *, request_id: str = "", headers: Fields = ()
    ) -> Response: ...


def problem_response(
    status: int, code: str, detail: str, *, request_id: str = "", headers: Fields = ()
) -> Response:
    """A plain problem document (RFC 9457) with our `code` and `request_id`."""
    document = {
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if request_id:
        document["request_id"] = request_id
    return Response(status=status, headers=PROBLEM + headers, body=msgspec.json.encode(document))
