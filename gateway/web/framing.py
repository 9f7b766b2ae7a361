"""Where a request begins and ends: bytes in, requests or flaws out. No clock, no transport.

`Reader` cuts exact pieces (a head, a body, a chunk) out of the stream and feeds each to `httptools`.
Every limit and every octet of a head is judged here, by position, so that a flaw does not depend on
how the network cut the bytes; see `first_flaw`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, TypeAlias
from urllib.parse import parse_qs, unquote_to_bytes

import httptools
from msgspec import Struct

from gateway.web.messages import Fields, Limits, Peer, Request

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # RFC 9110 5.6.2
LINE = rb"(" + TOKEN + rb") ([\x21\x22\x24-\x7e]++) HTTP/1\.([01])\r\n"  # no fragment: RFC 9112 3.2
FIELD = TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n"  # RFC 9110 5.5; no folding: RFC 9112 5.2

_HEAD = re.compile(LINE + rb"(?:" + FIELD + rb")*+\r\n")
_LINE = re.compile(LINE)
_FIELD = re.compile(FIELD)
_OTHER_VERSION = re.compile(TOKEN + rb" \S+ HTTP/(?!1\.[01]\r)\d+\.\d+\r\n")
_BLANK = re.compile(rb"(?:\r\n)+")
_ABSOLUTE = re.compile(rb"(?i:https?)://[^/?@]+([/?].*)?")  # RFC 9112 3.2.2; no user information
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]*")  # RFC 3986 3.2.2 and a port
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UPGRADE_H2C = re.compile(rb"\r\n(?i:upgrade):[ \t]*(?i:h2c)[ \t]*(?=\r\n)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t\x20-\x7e\x80-\xff]*+)?\r\n")  # RFC 9112 7.1

MAX_CHUNK_LINE: Final = 256  # ours: extensions mean nothing to us; the longest in use (AWS) has 100
MAX_QUERY_FIELDS: Final = 100

# Fields of which a second one would leave open which of the two holds.
SINGLE: Final = frozenset(
    (b"host", b"content-type", b"content-encoding", b"authorization", b"expect", b"idempotency-key")
)


class Flaw(Struct, frozen=True, kw_only=True):
    """Why a request is refused; the connection ends after the answer."""

    status: int
    code: str
    detail: str
    headers: Fields = ()


class Waits(Enum):
    """The client waits for ``100 Continue`` before it sends a body that we would take."""

    FOR_CONTINUE = auto()


Event: TypeAlias = Request | Flaw | Waits


def malformed(detail: str) -> Flaw:
    """The bytes are not HTTP/1.1 as we accept it."""
    return Flaw(status=400, code="malformed-request", detail=detail)


def first_flaw(data: bytes, limits: Limits) -> Flaw | None:
    """The first thing wrong in *data*, a head or the beginning of one.

    Decided line by line when a line ends or outgrows its limit: more bytes never change the verdict.
    """
    at = lines = 0
    while at < len(data):
        newline = data.find(b"\n", at)
        stop = newline + 1 if newline >= 0 else len(data)
        if lines == 0 and stop - at > limits.request_line + 2:
            return Flaw(
                status=414,
                code="request-line-too-long",
                detail=f"The request line is longer than {limits.request_line} bytes.",
            )
        if stop > limits.max_head:
            return Flaw(
                status=431, code="head-too-large", detail=f"The head is larger than {limits.max_head} bytes."
            )
        if newline < 0:
            return None
        line = data[at:stop]
        if lines and line == b"\r\n":
            return None
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            return malformed("A line of the head does not end with CR LF, or has a CR or LF inside.")
        if lines == 0 and not _LINE.fullmatch(line):
            if _OTHER_VERSION.fullmatch(line):
                return Flaw(status=505, code="http-version", detail="Only HTTP/1.1 and HTTP/1.0 are spoken.")
            return malformed("The request line is not 'method target HTTP/1.1'.")
        if lines and not _FIELD.fullmatch(line):
            return malformed(
                f"Header line {lines} is not 'name: value' (folded lines and control characters are refused)."
            )
        if lines > limits.max_headers:
            return Flaw(
                status=431,
                code="too-many-headers",
                detail=f"The head has more than {limits.max_headers} header fields.",
            )
        lines += 1
        at = stop
    return None


class _Phase(Enum):
    HEAD = auto()
    LENGTH = auto()
    CHUNKS = auto()


class Reader:
    """The requests of one connection, one after the other.

    `receive` bytes, then call `next` until it says None: nothing whole is there yet. After a Flaw the
    stream cannot be understood any more; do not ask again. `http11` and `keep_alive` belong to the request
    returned last.
    """

    def __init__(self, limits: Limits, peer: Peer = Peer(), make_id: Callable[[], str] = str) -> None:  # noqa: B008  frozen
        self.http11 = True
        self.keep_alive = True
        self._limits = limits
        self._peer = peer
        self._make_id = make_id
        self._parser = httptools.HttpRequestParser(self)
        self._buffer = b""
        self._phase = _Phase.HEAD
        self._left = 0  # bytes of the body, or of the chunk with its CR LF, still to come
        self._chunks = 0
        self._last_chunk = False
        self._start_over()

    def _start_over(self) -> None:
        self._fields: dict[bytes, bytes] = {}
        self._twice = b""
        self._complete = False
        self._body: bytes | bytearray = b""

    @property
    def waiting(self) -> int:
        """Bytes received and not yet looked at."""
        return len(self._buffer)

    @property
    def held(self) -> int:
        """Bytes of the body of the request that is under way."""
        return len(self._body)

    @property
    def begun(self) -> bool:
        """Part of a request has come."""
        return self._phase is not _Phase.HEAD or bool(self._buffer)

    def close(self) -> None:
        """Let go of the parser, which holds on to us."""
        del self._parser

    def receive(self, data: bytes) -> None:
        """More bytes from the client."""
        self._buffer = self._buffer + data if self._buffer else data

    def next(self) -> Event | None:
        """The next whole request, a flaw, a wish for ``100 Continue``, or None: wait for more bytes."""
        if self._phase is _Phase.HEAD:
            event = self._take_head()
            if event is not None or self._phase is _Phase.HEAD:
                return event
        return self._take_length() if self._phase is _Phase.LENGTH else self._take_chunks()

    # What httptools calls while it is fed.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        value = value.strip(b" \t")  # httptools leaves the blanks at the end
        if name in self._fields:
            if name in SINGLE:
                self._twice = name
            value = self._fields[name] + b", " + value
        self._fields[name] = value

    def on_body(self, piece: bytes) -> None:
        if not self._body:
            self._body = piece
        elif isinstance(self._body, bytearray):
            self._body += piece
        else:
            self._body = bytearray(self._body) + piece

    def on_message_complete(self) -> None:
        self._complete = True

    # The pieces we cut.

    def _feed(self, piece: bytes, *, ends: bool) -> Flaw | None:
        """Give *piece* to httptools, which must agree whether the message *ends* with it."""
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserInvalidMethodError:
            return Flaw(status=501, code="method-unknown", detail="The method is not known here.")
        except httptools.HttpParserError as error:
            return malformed(f"{error}.")
        if self._complete is not ends:
            return malformed("The end of the request is ambiguous.")
        return None

    def _take_head(self) -> Event | None:
        buffer, limits = self._buffer, self._limits
        if not buffer:
            return None
        if buffer.startswith(b"\r\n"):  # RFC 9112 2.2: left over from a careless client
            blank = _BLANK.match(buffer)
            assert blank is not None
            buffer = self._buffer = buffer[blank.end() :]
        end = buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return first_flaw(buffer, limits) if buffer else None
        head = buffer[:end]
        line = _HEAD.fullmatch(head)
        if (
            line is None
            or end > limits.max_head
            or line.end(3) > limits.request_line
            or head.count(b"\r\n") > limits.max_headers + 2
        ):
            return first_flaw(head, limits) or malformed("The head cannot be understood.")
        self._buffer = buffer[end:]
        self._start_over()
        self.http11 = line[3] == b"1"
        return self._target(line[1], line[2]) or self._read_fields(head)

    def _target(self, method: bytes, target: bytes) -> Flaw | None:
        if method == b"CONNECT":
            return malformed("CONNECT is not offered.")
        if not target.startswith(b"/"):
            if absolute := _ABSOLUTE.fullmatch(target):
                target = absolute[1] or b"/"
                target = target if target.startswith(b"/") else b"/" + target
            elif (method, target) != (b"OPTIONS", b"*"):
                return malformed("The request target is neither a path nor an http URL.")
        path, _, query = target.partition(b"?")
        self._query: dict[str, list[str]] = {}
        try:
            if b"%" in target and _BAD_ESCAPE.search(target):
                raise ValueError(target)
            self._path = path.decode() if b"%" not in path else unquote_to_bytes(path).decode()
            if query:
                self._query = parse_qs(
                    query.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS
                )
        except ValueError:
            return malformed(
                f"The request target is not percent-encoded UTF-8 with up to {MAX_QUERY_FIELDS} query fields."
            )
        if b"%" in path and _CONTROL.search(self._path):
            return malformed("The path contains a control character.")
        self._method = method.decode()
        return None

    def _read_fields(self, head: bytes) -> Flaw | Waits | None:
        """Feed the head, then decide from the fields how the body is framed and whether we take it."""
        fields = self._fields
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserInvalidMethodError:
            return Flaw(status=501, code="method-unknown", detail="The method is not known here.")
        except httptools.HttpParserError as error:
            return malformed(f"{error}.")
        except httptools.HttpParserUpgrade:
            # Java's HttpClient and `curl --http2` offer HTTP/2 with their first request. RFC 9110 7.8:
            # the offer may be ignored. The parser has stepped over the request: show it without the offer.
            plain = _UPGRADE_H2C.sub(b"", head, count=1)
            if plain == head:
                return malformed("Upgrade is not offered.")
            self._start_over()
            return self._read_fields(plain)

        if self._twice:
            return malformed(f"The header field {self._twice.decode()} is there twice.")
        host = fields.get(b"host")
        if (host is None and self.http11) or (host is not None and not _HOST.fullmatch(host)):
            return malformed("The header field host is missing or not a host.")  # RFC 9112 3.2
        coding = fields.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or not self.http11):
            return malformed("The only transfer coding is 'chunked', in HTTP/1.1.")
        length = int(fields.get(b"content-length", b"0"))  # digits only: httptools has seen to that
        if self._complete is bool(length or coding):
            return malformed("The end of the request is ambiguous.")
        if fields.get(b"content-encoding", b"identity").lower() != b"identity":
            return Flaw(
                status=415,
                code="content-encoding",
                detail="Compressed bodies are not taken.",
                headers=(("Accept-Encoding", "identity"),),  # RFC 9110 15.5.16
            )
        if length > self._limits.max_body:
            return self._too_large()
        expect = fields.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            return Flaw(status=417, code="expectation", detail="The only expectation met is 100-continue.")
        self._left = length
        self._chunks = 0
        self._last_chunk = False
        self._phase = _Phase.CHUNKS if coding else _Phase.LENGTH
        if expect is not None and self.http11 and not self._complete:
            return Waits.FOR_CONTINUE
        return None

    def _too_large(self) -> Flaw:
        limit = self._limits.max_body
        return Flaw(status=413, code="body-too-large", detail=f"The body is larger than {limit} bytes.")

    def _take_length(self) -> Event | None:
        if self._left:
            piece = self._cut(self._left)
            self._left -= len(piece)
            if piece and (flaw := self._feed(piece, ends=not self._left)):
                return flaw
            if self._left:
                return None
        return self._whole()

    def _take_chunks(self) -> Event | None:
        limits = self._limits
        while self._buffer:
            if self._left:  # data of a chunk and its CR LF, which httptools checks
                piece = self._cut(self._left)
                self._left -= len(piece)
                if flaw := self._feed(piece, ends=False):
                    return flaw
            elif self._last_chunk:
                if not b"\r\n".startswith(self._buffer[:2]):
                    return malformed("Trailer fields are not taken.")
                if len(self._buffer) < 2:
                    return None
                return self._feed(self._cut(2), ends=True) or self._whole()
            else:
                line = self._buffer[: self._buffer.find(b"\n", 0, MAX_CHUNK_LINE) + 1]
                if not line and len(self._buffer) < MAX_CHUNK_LINE:
                    return None
                size = _CHUNK.fullmatch(line)
                self._chunks += 1
                if size is None or self._chunks > limits.max_chunks:
                    return malformed(
                        f"A chunk has no size in hex, or there are more than {limits.max_chunks} chunks."
                    )
                self._left = int(size[1], 16)
                if len(self._body) + self._left > limits.max_body:
                    return self._too_large()
                self._last_chunk = not self._left
                self._left += 2 if self._left else 0
                if flaw := self._feed(self._cut(len(line)), ends=False):
                    return flaw
        return None

    def _cut(self, count: int) -> bytes:
        piece, self._buffer = self._buffer[:count], self._buffer[count:]
        return piece

    def _whole(self) -> Request:
        connection = self._fields.get(b"connection")
        self.keep_alive = self.http11
        if connection is not None:  # RFC 9112 9.3
            wishes = [wish.strip() for wish in connection.lower().split(b",")]
            self.keep_alive = b"close" not in wishes and (self.http11 or b"keep-alive" in wishes)
        self._phase = _Phase.HEAD
        body, self._body = bytes(self._body), b""
        return Request(
            method=self._method,
            path=self._path,
            query=self._query,
            fields=self._fields,
            body=body,
            peer=self._peer,
            make_id=self._make_id,
        )
