"""The HTTP server in memory: framing by the byte, order, deadlines, back-pressure, stopping."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import directlyProvides

from gateway.web import Answer, HttpServer, Limits, Peer, Request, Response, Stream, json_response
from gateway.web.framing import Flaw, Reader, first_flaw

WALL = 1_795_251_600_000_000  # 2026-11-21 09:00:00 UTC
DATE = b"Date: Sat, 21 Nov 2026 09:00:00 GMT\r\n"


class Wire(StringTransport):
    """A TCP transport that remembers how it was closed and how often it was written to."""

    def __init__(self, protocol: object) -> None:
        super().__init__()
        directlyProvides(self, ITCPTransport)
        self.protocol = protocol
        self.shut = self.aborted = False
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        super().write(data)

    def loseWriteConnection(self) -> None:
        self.shut = True
        self.protocol.writeConnectionLost()

    def abortConnection(self) -> None:
        if not self.aborted:
            self.aborted = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def open(self) -> bool:
        return not (self.shut or self.aborted or self.disconnecting)


class Client:
    def __init__(self, server: HttpServer, address: object = None) -> None:
        address = address or IPv4Address("TCP", "192.0.2.7", 5555)
        self.protocol = server.buildProtocol(address)
        self.admitted = self.protocol is not None
        if self.admitted:
            self.wire = Wire(self.protocol)
            self.protocol.makeConnection(self.wire)

    def send(self, data: bytes) -> None:
        """As the reactor does: nothing is read while we paused it or after the connection was lost."""
        if not (self.wire.aborted or self.wire.disconnecting):
            self.protocol.dataReceived(data)

    def leave(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def answers(self) -> list[tuple[int, dict[str, str], bytes]]:
        """What was written since the last call, taken apart."""
        data = self.wire.value()
        self.wire.clear()
        found = []
        while data:
            head, _, data = data.partition(b"\r\n\r\n")
            line, *lines = head.decode().split("\r\n")
            headers = dict(field.lower().split(": ", 1) for field in lines)
            body, data = (
                data[: int(headers.get("content-length", 0))],
                data[int(headers.get("content-length", 0)) :],
            )
            found.append((int(line.split()[1]), headers, body))
        return found

    def statuses(self) -> list[int]:
        return [status for status, _, _ in self.answers()]

    def problem(self) -> tuple[int, str]:
        """Status and code of the last answer."""
        status, _, body = self.answers()[-1]
        return status, json.loads(body)["code"]


async def echo(request: Request) -> Answer:
    return json_response(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "type": request.header("CONTENT-type"),
            "body": request.body.decode("latin-1"),
        }
    )


def make(handler: Callable = echo, **limits: float) -> tuple[HttpServer, Clock]:
    clock = Clock()
    ids = count(1)
    server = HttpServer(
        clock=clock,
        handler=handler,
        wall=lambda: WALL,
        make_id=lambda: f"r{next(ids)}",
        limits=Limits(**limits),
        log=Logger(namespace="web.test"),
    )
    return server, clock


@pytest.fixture
def failures() -> Iterator[list[dict]]:
    """What was logged as a failure."""
    from twisted.logger import globalLogPublisher

    seen: list[dict] = []

    def observe(event: dict) -> None:
        if event["log_level"] is LogLevel.critical:
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def talk(pieces: list[bytes], **limits: float) -> tuple[bytes, bool]:
    """What a server of its own writes when it receives *pieces*, and whether it keeps the connection."""
    server, _ = make(**limits)
    client = Client(server)
    for piece in pieces:
        client.send(piece)
    return client.wire.value(), client.wire.open


def ways(data: bytes) -> Iterator[list[bytes]]:
    """*data* whole, byte by byte, and cut in two at every position."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


HOST = b"Host: gateway\r\n"
POST = b"POST /p HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMALL = {"request_line": 60, "max_head": 200, "max_headers": 6, "max_body": 20, "max_chunks": 4}

BAD = {
    "content-length-twice": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
    "content-length-twice-the-same": (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "content-length-list": (POST + b"Content-Length: 1, 1\r\n\r\na", 400),
    "content-length-plus": (POST + b"Content-Length: +1\r\n\r\na", 400),
    "content-length-minus": (POST + b"Content-Length: -1\r\n\r\na", 400),
    "content-length-hex": (POST + b"Content-Length: 0x1\r\n\r\na", 400),
    "content-length-empty": (POST + b"Content-Length:\r\n\r\na", 400),
    "content-length-overflow": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "length-and-chunked": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked-and-length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "coding-unknown": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "coding-gzip-chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "coding-chunked-gzip": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "coding-twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "coding-identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "coding-empty": (POST + b"Transfer-Encoding:\r\n\r\n", 400),
    "coding-in-1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "cr-inside-a-value": (POST + b"X: a\rb\r\n\r\n", 400),
    "cr-at-the-end-of-a-value": (POST + b"X: a\r\r\n\r\n", 400),
    "lf-without-cr": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "lf-only": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "lf-first": (b"\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "lf-for-the-last-line": (POST + b"\nContent-Length: 1\r\n\r\na", 400),
    "nul-in-a-value": (POST + b"X: a\0b\r\n\r\n", 400),
    "control-in-a-value": (POST + b"X: a\x01\r\n\r\n", 400),
    "folded-line": (POST + b"X: a\r\n b\r\n\r\n", 400),
    "folded-first-line": (b"GET / HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n", 400),
    "space-before-the-colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "no-colon": (POST + b"Nothing\r\n\r\n", 400),
    "no-name": (POST + b": a\r\n\r\n", 400),
    "odd-name": (POST + b"X(y): a\r\n\r\n", 400),
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two-hosts": (POST + HOST + b"\r\n", 400),
    "odd-host": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "two-authorizations": (POST + b"Authorization: a\r\nAuthorization: b\r\n\r\n", 400),
    "connect": (b"CONNECT gateway:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "upgrade": (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
    "http-0.9": (b"GET /\r\n\r\n", 400),
    "http-2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "http-2": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "other-protocol": (b"GET / RTSP/1.0\r\n" + HOST + b"\r\n", 400),
    "two-spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "space-at-the-end": (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    "tab-for-space": (b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "unknown-method": (b"PAGE / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "lower-case-method": (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "target-without-slash": (b"GET a HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-with-fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-not-ascii": (b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-with-user": (b"GET http://a@b/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-other-scheme": (b"GET ftp://a/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "star-for-get": (b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "half-an-escape": (b"GET /%4 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "half-an-escape-in-the-query": (b"GET /?a=%4 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "escaped-nul": (b"GET /%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "escaped-not-utf-8": (b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "query-not-utf-8": (b"GET /?a=%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "chunk-size-sign": (CHUNKED + b"+1\r\na\r\n0\r\n\r\n", 400),
    "chunk-size-0x": (CHUNKED + b"0x1\r\na\r\n0\r\n\r\n", 400),
    "chunk-size-underscore": (CHUNKED + b"1_0\r\na\r\n0\r\n\r\n", 400),
    "chunk-size-space": (CHUNKED + b"1 \r\na\r\n0\r\n\r\n", 400),
    "chunk-size-missing": (CHUNKED + b"\r\na\r\n0\r\n\r\n", 400),
    "chunk-size-overflow": (CHUNKED + b"fffffffffffffffff\r\na", 400),
    "chunk-size-lf": (CHUNKED + b"1\na\r\n0\r\n\r\n", 400),
    "chunk-extension-lf": (CHUNKED + b"1;a\n\r\na\r\n0\r\n\r\n", 400),
    "chunk-line-endless": (CHUNKED + b"1;" + b"a" * 260, 400),
    "chunk-longer-than-said": (CHUNKED + b"1\r\nab\r\n0\r\n\r\n", 400),
    "chunk-ends-with-lf": (CHUNKED + b"1\r\na\n0\r\n\r\n", 400),
    "chunk-trailer": (CHUNKED + b"0\r\nX-Secret: y\r\n\r\n", 400),
    "chunk-trailer-cr": (CHUNKED + b"0\r\n\rX", 400),
    "chunks-too-many": (CHUNKED + b"1\r\na\r\n" * 5 + b"0\r\n\r\n", 400),
    "chunks-too-large": (CHUNKED + b"a\r\n0123456789\r\nb\r\n", 413),
    "body-too-large": (POST + b"Content-Length: 21\r\n\r\n", 413),
    "compressed-body": (POST + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n", 415),
    "other-expectation": (POST + b"Expect: tea\r\nContent-Length: 1\r\n\r\n", 417),
    "line-too-long": (b"GET /" + b"a" * 47 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "line-endless": (b"a" * 70, 414),
    "line-too-long-with-cr-inside": (b"GET /\r" + b"a" * 70, 414),
    "head-too-large": (POST + b"X: " + b"a" * 180 + b"\r\n\r\n", 431),
    "head-endless": (POST + b"X: " + b"a" * 180, 431),
    "headers-too-many": (POST + b"X: a\r\n" * 6 + b"\r\n", 431),
    "first-flaw-counts": (b"GET / HTTP/1.1\r\nX\r\n" + b"a" * 300, 400),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_framing_is_refused_and_the_connection_ends(name: str) -> None:
    """A request whose end or meaning is open to doubt is refused, however the network cut it."""
    data, status = BAD[name]
    expected = talk([data], **SMALL)
    written, kept_open = expected
    assert not kept_open
    head, _, body = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in head
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status
    for pieces in ways(data):
        assert talk(pieces, **SMALL) == expected, pieces


GOOD = {
    "get": (b"GET /a?b=c&b=d&e HTTP/1.1\r\n" + HOST + b"\r\n", "GET", "/a", ""),
    "post": (POST + b"Content-Length: 3\r\n\r\nabc", "POST", "/p", "abc"),
    "length-zero": (POST + b"Content-Length: 0\r\n\r\n", "POST", "/p", ""),
    "no-length": (POST + b"\r\n", "POST", "/p", ""),
    "chunked": (CHUNKED + b"1\r\na\r\n02;x=y\r\nbc\r\n0\r\n\r\n", "POST", "/p", "abc"),
    "chunked-empty": (CHUNKED + b"0;last\r\n\r\n", "POST", "/p", ""),
    "chunked-in-capitals": (
        POST + b"transfer-encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "POST",
        "/p",
        "0123456789",
    ),
    "empty-line-first": (b"\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", "GET", "/", ""),
    "absolute": (b"GET http://gateway:80/a HTTP/1.1\r\n" + HOST + b"\r\n", "GET", "/a", ""),
    "absolute-without-path": (b"GET HTTP://gateway?x HTTP/1.1\r\n" + HOST + b"\r\n", "GET", "/", ""),
    "options-star": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", "OPTIONS", "*", ""),
    "escapes-once": (b"GET /%C3%A4%252F+ HTTP/1.1\r\n" + HOST + b"\r\n", "GET", "/ä%2F+", ""),
    "http-2-offer-is-ignored": (
        POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
        "POST",
        "/p",
        "ok",
    ),
    "http-2-offer-chunked": (
        POST
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "POST",
        "/p",
        "ok",
    ),
    "longest-line": (b"GET /" + b"a" * 46 + b" HTTP/1.1\r\n" + HOST + b"\r\n", "GET", "/" + "a" * 46, ""),
    "largest-body": (POST + b"Content-Length: 20\r\n\r\n" + b"b" * 20, "POST", "/p", "b" * 20),
}


@pytest.mark.parametrize("name", GOOD)
def test_whole_requests_reach_the_handler(name: str) -> None:
    """A request arrives the same however it was cut, and the connection stays for the next."""
    data, method, path, body = GOOD[name]
    expected = talk([data], **SMALL)
    written, kept_open = expected
    assert kept_open
    head, _, answer = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n" + DATE)
    said = json.loads(answer)
    assert (said["method"], said["path"], said["body"]) == (method, path, body)
    for pieces in ways(data):
        assert talk(pieces, **SMALL) == expected, pieces
    twice, kept_open = talk([data + data], **SMALL)
    assert (twice, kept_open) == (written * 2, True)


def test_query_and_headers() -> None:
    """Query values keep order and emptiness; header names ignore case; repeated fields are joined."""
    seen: list[Request] = []

    async def handler(request: Request) -> Answer:
        seen.append(request)
        return Response()

    client = Client(make(handler)[0])
    client.send(
        b"GET /a?b=c&b=d%20e&f=+&g= HTTP/1.1\r\n" + HOST + b"Accept: a \t\r\nACCEPT:b\r\nX: \xe9\r\n\r\n"
    )
    request = seen[0]
    assert request.query == {"b": ["c", "d e"], "f": [" "], "g": [""]}
    assert (request.first("b"), request.first("g"), request.first("z")) == ("c", "", None)
    assert (request.header("accept"), request.header("x"), request.header("y")) == ("a, b", "é", None)
    assert request.peer == Peer(address="192.0.2.7")
    assert request.request_id == request.request_id == "r1"


def test_too_many_query_fields() -> None:
    """A query of more fields than anybody needs is refused before it is kept."""
    client = Client(make()[0])
    client.send(b"GET /?" + b"a&" * 101 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert client.problem() == (400, "malformed-request")


def test_every_refusal_is_counted_and_named() -> None:
    """An operator can see how many requests were refused, and why; each refusal has an id."""
    server, _ = make()
    client = Client(server)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    ((_, headers, body),) = client.answers()
    assert json.loads(body)["request_id"] == "r1"
    assert "server" not in headers
    assert server.refused == {"malformed-request": 1}


def test_413_offers_no_continue() -> None:
    """A client that asks first whether to send too large a body is told no."""
    client = Client(make()[0])
    client.send(POST + b"Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n")
    assert client.problem() == (413, "body-too-large")
    assert not client.wire.open


def test_100_continue() -> None:
    """A client that asks first is told to go on, once, and then answered."""
    client = Client(make()[0])
    client.send(POST + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
    assert client.wire.value() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"a")
    client.send(b"bc")
    assert client.statuses() == [100, 200]


@pytest.mark.parametrize(
    ("version", "connection", "said", "kept"),
    [
        (b"1.1", b"", None, True),
        (b"1.1", b"Connection: close\r\n", "close", False),
        (b"1.1", b"Connection: foo, Close\r\n", "close", False),
        (b"1.1", b"Connection: keep-alive, close\r\n", "close", False),
        (b"1.0", b"", "close", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", "keep-alive", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", "close", False),
    ],
)
def test_how_long_a_connection_lasts(version: bytes, connection: bytes, said: str | None, kept: bool) -> None:
    """HTTP/1.1 connections stay, HTTP/1.0 ones end, unless the client says otherwise (RFC 9112 9.3)."""
    client = Client(make()[0])
    client.send(b"GET / HTTP/" + version + b"\r\n" + HOST + connection + b"\r\n")
    assert client.wire.open is kept
    ((status, headers, _),) = client.answers()
    assert (status, headers.get("connection")) == (200, said)


def test_http_1_0_needs_no_host() -> None:
    """Old pagers' software speaks HTTP/1.0 without Host, with stray bytes CR LF after the body."""
    client = Client(make()[0])
    client.send(b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na\r\n")
    assert client.statuses() == [200]


def test_nothing_after_close_is_answered() -> None:
    """What follows a request with `Connection: close` is dropped, not answered."""
    client = Client(make()[0])
    client.send(
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n"
    )
    assert client.statuses() == [200]


# Answers.


def answered(answer: Answer, request: bytes = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n") -> tuple[bytes, bool]:
    async def handler(request: Request) -> Answer:
        return answer

    client = Client(make(handler)[0])
    client.send(request)
    return client.wire.value(), client.wire.open


def test_an_answer_to_the_byte() -> None:
    """Status, date, the handler's headers, length; nothing about ourselves."""
    written, _ = answered(Response(status=202, headers=(("Location", "/v1/messages/1"),), body=b"yes"))
    assert written == (
        b"HTTP/1.1 202 Accepted\r\n" + DATE + b"Location: /v1/messages/1\r\nContent-Length: 3\r\n\r\nyes"
    )


def test_head_has_no_body() -> None:
    """HEAD is answered with the head that GET would get."""
    head = b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n"
    assert answered(Response(body=b"yes"), head)[0].endswith(b"Content-Length: 3\r\n\r\n")
    assert answered(Response(body=b"y" * 200_000), head)[0].endswith(b"Content-Length: 200000\r\n\r\n")
    assert answered(Stream(chunks=forever()), head)[0].endswith(b"Transfer-Encoding: chunked\r\n\r\n")


def test_no_content_has_no_length() -> None:
    """204 and 304 end with their head (RFC 9110 8.6)."""
    assert answered(Response(status=204)) == (b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n", True)


@pytest.mark.parametrize(
    "answer",
    [
        Response(headers=(("X", "a\r\nSet-Cookie: b"),)),
        Response(headers=(("X\r\n", "a"),)),
        Response(headers=(("", "a"),)),
        Response(headers=(("Content-Length", "3"),)),
        Response(headers=(("connection", "close"),)),
        Response(headers=(("X", "✆"),)),
        Response(status=204, body=b"a"),
        Response(status=101),
        Response(status=999),
        Stream(status=100, chunks=None),
        None,
    ],
)
def test_an_answer_that_cannot_be_sent_is_our_mistake(answer: Answer, failures: list[dict]) -> None:
    """An answer that would break the framing never reaches the wire: the client gets a 500."""
    written, kept_open = answered(answer)
    assert written.startswith(b"HTTP/1.1 500 ")
    assert kept_open
    assert len(failures) == 1


def test_a_failing_handler_says_only_its_id(failures: list[dict]) -> None:
    """Details of our mistakes go to the log, once; the client gets an id to quote."""

    async def handler(request: Request) -> Answer:
        raise RuntimeError("the password is 1234")

    client = Client(make(handler)[0])
    client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    ((status, _, body),) = client.answers()
    assert status == 500
    assert json.loads(body)["request_id"] == "r1"
    assert b"1234" not in body
    assert [event["request_id"] for event in failures] == ["r1"]
    assert client.wire.open


def test_a_handler_that_fails_later(failures: list[dict]) -> None:
    """A failure after waiting is answered the same way; so is one before the coroutine exists."""
    later: Deferred[None] = Deferred()

    async def waits(request: Request) -> Answer:
        await later
        raise AssertionError

    client = Client(make(waits)[0])
    client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert client.statuses() == []
    later.errback(ValueError())
    assert client.statuses() == [500]

    def at_once(request: Request) -> Answer:
        raise ValueError

    client = Client(make(at_once)[0])
    client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert client.statuses() == [500]
    assert len(failures) == 2


def test_a_handler_may_await_deferreds_only(failures: list[dict]) -> None:
    """A coroutine of another world is our mistake and is answered, not waited for."""
    import asyncio

    async def handler(request: Request) -> Answer:
        await asyncio.sleep(0)
        return Response()

    client = Client(make(handler)[0])
    client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert client.statuses() == [500]
    assert len(failures) == 1


def test_contextvars_stay_with_their_request() -> None:
    """What a handler notes for its logs is there after waiting and unknown to the next request."""
    from contextvars import ContextVar

    note: ContextVar[str] = ContextVar("note", default="none")
    waits: list[Deferred[None]] = []

    async def handler(request: Request) -> Answer:
        before = note.get()
        note.set(request.path)
        waits.append(Deferred())
        await waits[-1]
        return Response(body=f"{before} {note.get()}".encode())

    server, _ = make(handler)
    one, two = Client(server), Client(server)
    one.send(b"GET /1 HTTP/1.1\r\n" + HOST + b"\r\n")
    two.send(b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n")
    for waiting in waits:
        waiting.callback(None)
    assert [client.answers()[0][2] for client in (one, two)] == [b"none /1", b"none /2"]
    assert note.get() == "none"


# Order and pace.


class Held:
    """A handler whose answers are given by the test."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Request, Deferred[Answer]]] = []

    async def __call__(self, request: Request) -> Answer:
        gives: Deferred[Answer] = Deferred()
        self.waiting.append((request, gives))
        return await gives

    def give(self, answer: Answer | None = None) -> Request:
        request, gives = self.waiting.pop(0)
        gives.callback(answer or Response(body=request.path.encode()))
        return request


def gets(*paths: str) -> bytes:
    return b"".join(b"GET %b HTTP/1.1\r\n%b\r\n" % (path.encode(), HOST) for path in paths)


def test_pipelined_requests_share_a_write() -> None:
    """What is answered in one turn of the reactor leaves in one write."""
    client = Client(make()[0])
    client.send(gets("/1", "/2", "/3"))
    assert client.wire.writes == 1
    assert [json.loads(body)["path"] for _, _, body in client.answers()] == ["/1", "/2", "/3"]


def test_pipelined_requests_are_answered_in_order() -> None:
    """A request waits for the one before it (RFC 9112 9.3.2)."""
    held = Held()
    client = Client(make(held)[0])
    client.send(gets("/1", "/2"))
    client.send(gets("/3"))
    for path in (b"/1", b"/2", b"/3"):
        assert len(held.waiting) == 1
        held.give()
        assert [body for _, _, body in client.answers()] == [path]


def test_requests_ahead_are_bounded() -> None:
    """Who sends far ahead is not read any more until the answers have caught up."""
    held = Held()
    client = Client(make(held, max_ahead=100)[0])
    client.send(gets("/1") + gets("/2") * 10)
    assert client.wire.producerState == "producing"
    client.send(gets("/2"))
    assert client.wire.producerState == "paused"
    for _ in range(12):
        held.give()
    assert client.wire.producerState == "producing"
    assert client.statuses() == [200] * 12


def test_one_client_does_not_take_the_whole_turn() -> None:
    """After so many answers the rest of a pipeline waits for the reactor's next turn."""
    server, clock = make(per_turn=2)
    client = Client(server)
    client.send(gets("/1", "/2", "/3", "/4", "/5"))
    assert len(client.answers()) == 2
    client.send(gets("/6"))
    assert client.answers() == []
    clock.advance(0)
    assert [json.loads(body)["path"] for _, _, body in client.answers()] == ["/3", "/4", "/5", "/6"]
    assert client.wire.writes == 3
    client.send(gets("/7", "/8", "/9"))
    client.leave()
    assert not clock.getDelayedCalls()


def test_a_client_that_does_not_read_gets_no_more_answers() -> None:
    """Requests of a client that leaves its answers unread are not begun; after a while it is cut off."""
    server, clock = make(stuck_reader=30)
    client = Client(server)
    client.send(gets("/1"))
    client.protocol.pauseProducing()  # as the transport does when its buffer is full
    client.send(gets("/2"))
    assert len(client.answers()) == 1
    clock.advance(29)
    client.protocol.resumeProducing()
    assert len(client.answers()) == 1
    client.protocol.pauseProducing()
    clock.advance(30)
    assert client.wire.aborted


def test_a_large_answer_is_written_at_the_client_s_pace() -> None:
    """A large body is handed to the transport in pieces, each only when there is room."""
    body = bytes(range(256)) * 1000

    async def handler(request: Request) -> Answer:
        return Response(body=body)

    server, clock = make(handler)
    client = Client(server)
    original = client.wire.write

    def full(data: bytes) -> None:
        original(data)
        if len(data) > 1000:
            client.protocol.pauseProducing()

    client.wire.write = full  # type: ignore[method-assign]
    client.send(gets("/1", "/2"))
    turns = 0
    while client.wire.value().count(b"\r\n\r\n") < 2 or len(client.wire.value()) < 2 * len(body):
        clock.advance(20)
        client.protocol.resumeProducing()
        turns += 1
    assert turns == 7  # 4 pieces each; nobody waits for room after the last
    assert [given for _, _, given in client.answers()] == [body, body]
    assert client.wire.open
    client.send(gets("/3"))
    clock.advance(30)
    assert client.wire.aborted


# Deadlines.


def test_drip_feed_is_timed_as_a_whole() -> None:
    """A request has 30 s from its first byte, however steadily it drips."""
    server, clock = make()
    client = Client(server)
    clock.advance(50)
    for byte in gets("/")[:29]:
        client.send(bytes((byte,)))
        clock.advance(1)
    assert client.wire.open
    clock.advance(1)
    assert client.problem() == (408, "request-timeout")
    assert client.wire.shut


def test_drip_feed_of_a_body() -> None:
    """The deadline holds for the body too."""
    server, clock = make()
    client = Client(server)
    client.send(POST + b"Content-Length: 100\r\n\r\n")
    for _ in range(30):
        client.send(b"a")
        clock.advance(1)
    assert client.problem() == (408, "request-timeout")


def test_idle_connections_end() -> None:
    """A connection without a request ends after a minute, silently; empty lines do not prolong it."""
    server, clock = make()
    fresh, used, noisy = Client(server), Client(server), Client(server)
    used.send(gets("/"))
    for _ in range(59):
        clock.advance(1)
        noisy.send(b"\r\n")
    assert fresh.wire.open
    assert used.wire.open
    clock.advance(1)
    assert not (fresh.wire.open or used.wire.open or noisy.wire.open)
    assert (fresh.statuses(), used.statuses(), noisy.statuses()) == ([], [200], [])


def test_each_request_starts_the_idle_time_anew() -> None:
    """A connection in use lives on."""
    server, clock = make()
    client = Client(server)
    for _ in range(5):
        clock.advance(59)
        client.send(gets("/"))
    assert client.wire.open
    client.send(gets("/")[:9])
    clock.advance(29)
    client.send(gets("/")[9:])
    clock.advance(59)
    assert client.wire.open


def test_a_slow_handler_is_our_business() -> None:
    """No deadline of the client runs while it waits for us, nor for what it sent ahead meanwhile."""
    held = Held()
    server, clock = make(held)
    client = Client(server)
    client.send(gets("/") + b"GET")
    clock.pump([1] * 100)
    held.give()
    assert client.statuses() == [200]
    clock.pump([1] * 29)
    assert client.wire.open
    clock.advance(1)
    assert client.problem() == (408, "request-timeout")


def test_the_end_waits_for_the_client_but_not_long() -> None:
    """After the last answer our side is shut; what still comes is dropped; then the connection is cut."""
    server, clock = make(max_body=1000)
    client = Client(server)
    client.send(POST + b"Content-Length: 2000\r\n\r\n")
    assert client.wire.shut
    client.send(b"a" * 900)
    assert client.wire.producerState == "producing"
    client.send(b"a" * 900)
    assert client.wire.producerState == "paused"
    clock.advance(4)
    assert not client.wire.aborted
    clock.advance(1)
    assert client.wire.aborted
    assert server.connections == 0


def test_half_received_bodies_are_bounded_together() -> None:
    """Many large uploads at once cannot fill the memory: the one that goes over is turned away."""
    server, _ = make(max_held=150)
    one, two = Client(server), Client(server)
    one.send(POST + b"Content-Length: 200\r\n\r\n" + b"a" * 100)
    two.send(POST + b"Content-Length: 200\r\n\r\n" + b"a" * 100)
    assert one.wire.open
    assert two.problem() == (503, "overloaded")
    assert server.held == 100
    one.send(b"a" * 100)
    assert one.statuses() == [200]
    assert server.held == 0
    one.send(POST + b"Content-Length: 200\r\n\r\n" + b"a" * 100)
    one.leave()
    assert server.held == 0


# Who may connect.


def test_f57_whoever_is_silent_for_longest_makes_room() -> None:
    """Beyond the limit callers that have not said a whole request are hung up on, the oldest first, and the log
    says how many, once a second."""
    server, clock = make(max_connections=2)
    first, second = Client(server), Client(server)
    first.send(gets("/"))
    second.send(b"POST / HTTP/1.1\r\nHost: x\r\n")
    third = Client(server)
    assert (first.wire.open, second.wire.open) == (True, False)
    assert server.refused["connections"] == 1
    third.send(gets("/"))
    assert third.statuses() == [200]
    clock.advance(1)


def test_f57_who_waits_for_an_answer_keeps_its_place() -> None:
    """When all are being answered a newcomer is hung up on."""

    async def waits(request: Request) -> Answer:
        await request.gone
        return Response()

    server, clock = make(waits, max_connections=2)
    first, second = Client(server), Client(server)
    first.send(gets("/"))
    second.send(gets("/"))
    assert not Client(server).admitted
    assert server.refused["connections"] == 1
    first.leave()
    assert Client(server).admitted
    clock.advance(1)


def test_too_many_connections_of_one_address() -> None:
    """One address cannot take all connections; a unix socket has no address."""
    server, _ = make(max_per_address=1)
    there, other = IPv4Address("TCP", "192.0.2.7", 1), IPv4Address("TCP", "192.0.2.8", 1)
    first = Client(server, there)
    assert not Client(server, there).admitted
    assert Client(server, other).admitted
    assert Client(server, UNIXAddress(b"")).admitted
    assert Client(server, UNIXAddress(b"")).admitted
    first.leave()
    assert Client(server, there).admitted


def test_nothing_is_left_behind() -> None:
    """With the last connection the last timer goes."""
    server, clock = make()
    client = Client(server)
    client.send(gets("/") + b"GET")
    client.leave()
    assert not clock.getDelayedCalls()
    assert server.connections == 0


# The client leaves.


def test_a_long_poll_learns_that_the_client_left() -> None:
    """`gone` fires when the client leaves; the handler runs on: what was taken is still stored."""
    heard: list[str] = []
    stored: Deferred[None] = Deferred()

    async def handler(request: Request) -> Answer:
        unused = request.gone
        await request.gone
        heard.append("gone")
        unused.cancel()
        await request.gone
        await stored
        heard.append("stored")
        return Response()

    client = Client(make(handler)[0])
    client.send(gets("/"))
    assert heard == []
    client.leave()
    assert heard == ["gone"]
    stored.callback(None)
    assert heard == ["gone", "stored"]


def test_a_client_that_only_stopped_sending_is_answered() -> None:
    """`printf ... | nc` shuts its side at once and still gets its answers; then the connection ends."""
    held = Held()
    client = Client(make(held)[0])
    client.send(gets("/1", "/2"))
    client.protocol.readConnectionLost()
    held.give()
    assert not client.wire.disconnecting
    held.give()
    assert [body for _, _, body in client.answers()] == [b"/1", b"/2"]
    assert client.wire.disconnecting


def test_a_client_that_stops_half_way() -> None:
    """Half a request followed by the end is nothing."""
    client = Client(make()[0])
    client.send(gets("/")[:20])
    client.protocol.readConnectionLost()
    assert client.wire.disconnecting
    assert client.statuses() == []


# Streams.


async def forever() -> AsyncIterator[bytes]:
    while True:
        yield b"data: tick\n\n"


class Events:
    """A stream whose chunks are given by the test."""

    def __init__(self) -> None:
        self.next: Deferred[bytes] = Deferred()
        self.ended = ""

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self.next:
                self.next = Deferred()
                yield chunk
            self.ended = "by itself"
        except CancelledError:
            self.ended = "cancelled"
            raise

    async def __call__(self, request: Request) -> Answer:
        return Stream(headers=(("Content-Type", "text/event-stream"),), chunks=self.chunks())


def test_a_stream_is_sent_as_it_comes() -> None:
    """Each chunk is on the wire when it is there; afterwards the connection goes on."""
    events = Events()
    client = Client(make(events)[0])
    client.send(gets("/1", "/2"))
    head = client.wire.value()
    assert b"Transfer-Encoding: chunked\r\n" in head
    assert b"Content-Length" not in head
    client.wire.clear()
    events.next.callback(b"data: 1\n\n")
    assert client.wire.value() == b"9\r\ndata: 1\n\n\r\n"
    client.wire.clear()
    first, events.next = events.next, Deferred()
    first.callback(b"")
    assert client.wire.value().startswith(b"0\r\n\r\nHTTP/1.1 200 OK")


def test_a_stream_over_http_1_0() -> None:
    """A client without chunked coding gets the bytes and the end of the connection."""
    events = Events()
    client = Client(make(events)[0])
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    client.wire.clear()
    events.next.callback(b"a")
    events.next.callback(b"")
    assert client.wire.value() == b"a"
    assert client.wire.shut


@pytest.mark.parametrize("how", ["leave", "readConnectionLost"])
def test_a_stream_ends_with_its_client(how: str) -> None:
    """When the client leaves, the source of the stream is told."""
    events = Events()
    client = Client(make(events)[0])
    client.send(gets("/"))
    (client.leave if how == "leave" else client.protocol.readConnectionLost)()
    assert events.ended == "cancelled"


def test_a_stream_waits_for_a_slow_client() -> None:
    """The source is not asked for more than the client takes; a stuck client is cut off."""
    asked = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            if asked == 3:
                client.protocol.pauseProducing()
            yield b"x"

    async def handler(request: Request) -> Answer:
        return Stream(chunks=source())

    server, clock = make(handler)
    client = Client(server)
    client.send(gets("/"))
    assert asked == 3
    clock.advance(30)
    assert client.wire.aborted
    assert asked == 3


def test_a_stream_that_breaks_is_seen_to_be_cut(failures: list[dict]) -> None:
    """A failure in a stream cannot become a status any more: the missing end says it."""

    async def source() -> AsyncIterator[bytes]:
        yield b"x"
        raise ValueError

    async def handler(request: Request) -> Answer:
        return Stream(chunks=source())

    client = Client(make(handler)[0])
    client.send(gets("/"))
    assert client.wire.aborted
    assert not client.wire.value().endswith(b"0\r\n\r\n")
    assert len(failures) == 1


# Stopping.


def drained(server: HttpServer, limit: float = 5.0) -> list[str]:
    done: list[str] = []
    Deferred.fromCoroutine(server.drain(limit)).addCallback(lambda _: done.append("done"))
    return done


def test_drain_without_connections() -> None:
    """An idle server has stopped at once and takes nobody in any more."""
    server, clock = make()
    assert drained(server) == ["done"]
    assert not Client(server).admitted
    assert not clock.getDelayedCalls()


def test_drain_finishes_what_was_begun() -> None:
    """Idle connections end at once; requests in flight, or half received, get their answer and the end."""
    held = Held()
    server, clock = make(held)
    idle, busy, half = Client(server), Client(server), Client(server)
    busy.send(gets("/1", "/2"))
    half.send(gets("/3")[:9])
    done = drained(server)
    assert idle.wire.disconnecting
    assert busy.wire.open
    half.send(gets("/3")[9:])
    held.give()
    held.give()
    for client, path in ((busy, b"/1"), (half, b"/3")):
        ((status, headers, body),) = client.answers()
        assert (status, headers["connection"], body) == (200, "close", path)
        assert client.wire.shut
    assert done == []
    for client in (idle, busy, half):
        client.leave()
    assert done == ["done"]
    assert not clock.getDelayedCalls()


def test_drain_ends_long_polls_and_streams() -> None:
    """Who only waits for news is told to come back, in good order."""

    async def poll(request: Request) -> Answer:
        await request.gone
        return Response(status=204)

    server, _ = make(poll)
    client = Client(server)
    client.send(gets("/"))
    drained(server)
    assert client.statuses() == [204]

    events = Events()
    server, _ = make(events)
    client = Client(server)
    client.send(gets("/"))
    drained(server)
    assert events.ended == "cancelled"
    assert client.wire.value().endswith(b"\r\n\r\n0\r\n\r\n")
    assert client.wire.shut


def test_drain_cuts_off_at_its_limit() -> None:
    """A handler that never answers does not keep the gateway from stopping."""
    server, clock = make(Held())
    client = Client(server)
    client.send(gets("/"))
    done = drained(server, limit=5.0)
    clock.advance(4.9)
    assert done == []
    clock.advance(0.1)
    assert done == ["done"]
    assert client.wire.aborted
    assert not clock.getDelayedCalls()


# Nonsense.


def read_all(pieces: list[bytes], limits: Limits) -> list[object]:
    reader = Reader(limits)
    found: list[object] = []
    for piece in pieces:
        reader.receive(piece)
        while (event := reader.next()) is not None:
            if isinstance(event, Request):
                found.append((event.method, event.path, event.fields, event.body, reader.keep_alive))
                assert len(event.body) <= limits.max_body
            else:
                found.append(event)
            if isinstance(event, Flaw):
                return found
    return found


FRAGMENTS = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"0",
        b"1",
        b"5\r\n",
        b"GET / HTTP/1.1\r\n",
        b"POST /p HTTP/1.1\r\n",
        HOST,
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n\r\n",
        b"hello",
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"X: y\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS | st.binary(max_size=6), max_size=14), st.data())
def test_nonsense_is_cut_independent(fragments: list[bytes], data: st.DataObject) -> None:
    """Whatever comes, the reader says the same however it was cut, and what it says is bounded."""
    stream = b"".join(fragments)
    limits = Limits(request_line=40, max_head=120, max_headers=4, max_body=16)
    expected = read_all([stream], limits)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read_all(pieces, limits) == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=100))
def test_a_flaw_once_found_stays(data: bytes, more: bytes) -> None:
    """More bytes never change the verdict on those before them."""
    limits = Limits(request_line=40, max_head=120, max_headers=4)
    flaw = first_flaw(data, limits)
    assert flaw is None or first_flaw(data + more, limits) == flaw


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=5))
def test_nonsense_never_breaks_the_server(pieces: list[bytes]) -> None:
    """Random bytes are answered with an error or waited on."""
    server, clock = make()
    client = Client(server)
    for piece in pieces:
        client.send(piece)
    clock.pump([1] * 70)
    assert not client.wire.open
