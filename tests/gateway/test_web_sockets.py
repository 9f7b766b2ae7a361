"""The HTTP server on real sockets of this machine: bad inputs B01 to B06, curl, unix sockets, TLS, stopping.

The server's clock is the test's, so that deadlines pass without waiting.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.utils import getProcessOutputAndValue

from gateway.web import Answer, HttpServer, Limits, Request, Response, Router, Stream, json_response
from tests.peers import missing

PATIENCE = 20.0  # seconds until a test that hangs is given up


async def echo(request: Request) -> Answer:
    return json_response(
        {"method": request.method, "path": request.path, "length": len(request.body), "uid": request.peer.uid}
    )


class Site:
    """A server that listens on loopback, and its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ports: list[Any] = []
        self.clients: list[Talker] = []

    def serve(
        self, handler: Callable = echo, *, path: str | None = None, tls: Any = None, **limits: float
    ) -> None:
        from twisted.internet import reactor

        ids = count(1)
        self.server = HttpServer(
            clock=self.clock,
            handler=handler,
            wall=lambda: 0,
            make_id=lambda: f"r{next(ids)}",
            limits=Limits(**limits),
        )
        if path is not None:
            port = reactor.listenUNIX(path, self.server)
        elif tls is not None:
            port = reactor.listenSSL(0, self.server, tls, interface="127.0.0.1")
        else:
            port = reactor.listenTCP(0, self.server, interface="127.0.0.1")
        self.ports.append(port)
        self.path = path
        if path is None:
            self.port = port.getHost().port

    async def connect(self, *data: bytes) -> Talker:
        from twisted.internet import reactor

        where = (
            UNIXClientEndpoint(reactor, self.path)
            if self.path is not None
            else TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)
        )
        talker: Talker = await connectProtocol(where, Talker())
        self.clients.append(talker)
        for piece in data:
            talker.transport.write(piece)
        return talker

    @property
    def connection(self) -> Any:
        """The only connection there is."""
        (connection,) = self.server._connections
        return connection

    async def stop(self) -> None:
        for port in self.ports:
            await port.stopListening()
        for client in self.clients:
            client.transport.abortConnection()
        stopped = Deferred.fromCoroutine(self.server.drain(0))
        self.clock.advance(0)
        await stopped


class Talker(Protocol):
    """A client that keeps what it hears."""

    transport: Any

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True

    def problem(self) -> tuple[int, str]:
        head, _, body = self.heard.partition(b"\r\n\r\n")
        assert b"Connection: close" in head
        return int(head.split()[1]), json.loads(body)["code"]


async def until(true: Callable[[], object]) -> None:
    """Let the reactor turn until it is *true*."""
    from twisted.internet import reactor

    give_up = reactor.seconds() + PATIENCE
    while not true():
        assert reactor.seconds() < give_up, "gave up waiting"
        await deferLater(reactor, 0.005)


@pytest_twisted.async_yield_fixture
async def site() -> AsyncIterator[Site]:
    from twisted.internet import reactor

    before = set(reactor.getDelayedCalls())
    site = Site()
    yield site
    await site.stop()
    assert site.server.connections == 0
    await until(lambda: not set(reactor.getDelayedCalls()) - before)


HOST = b"Host: gateway\r\n"


@pytest_twisted.ensureDeferred
async def test_b01_a_huge_body_is_refused_at_its_header(site: Site) -> None:
    """300 MB are refused before the first byte of them is read; the answer arrives."""
    site.serve()
    client = await site.connect(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 300000000\r\n\r\n")
    await until(lambda: client.lost)
    assert client.problem() == (413, "body-too-large")


@pytest_twisted.ensureDeferred
async def test_b01_a_client_that_sends_on_reads_the_answer(site: Site) -> None:
    """The answer is not destroyed by a reset when the client has megabytes on the way already."""
    site.serve()
    client = await site.connect(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 300000000\r\n\r\n")
    client.transport.write(b"a" * 20_000_000)
    await until(lambda: client.heard.endswith(b"}"))
    assert client.problem() == (413, "body-too-large")
    assert site.server.held == 0
    site.clock.advance(5)
    await until(lambda: site.server.connections == 0)


@pytest_twisted.ensureDeferred
async def test_b02_a_huge_length_and_silence(site: Site) -> None:
    """Nobody waits for a body that would be refused."""
    site.serve()
    client = await site.connect(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000000\r\n\r\n")
    await until(lambda: client.heard)
    assert client.problem() == (413, "body-too-large")


@pytest_twisted.ensureDeferred
async def test_b03_a_drip_feed_ends_after_30_seconds(site: Site) -> None:
    """A byte now and then does not prolong the time that a request has."""
    site.serve()
    client = await site.connect(b"P")
    await until(lambda: site.server.connections and site.connection._reader.begun)
    for byte in b"OST / HTTP/1.1\r\nHost: gateway\r"[:29]:
        site.clock.advance(1)
        client.transport.write(bytes((byte,)))
        await until(lambda byte=byte: site.connection._reader._buffer.endswith(bytes((byte,))))
    assert client.heard == b""
    site.clock.advance(1)
    await until(lambda: client.lost)
    assert client.problem() == (408, "request-timeout")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    ],
)
@pytest_twisted.ensureDeferred
async def test_b04_ambiguous_framing(site: Site, request_: bytes) -> None:
    """A request that two readers could cut differently is refused, and what follows is not read."""
    site.serve()
    client = await site.connect(request_ + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: client.lost)
    assert client.problem() == (400, "malformed-request")
    assert client.heard.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414, "request-line-too-long")),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 500 + b"\r\n", (431, "too-many-headers")),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 20_000 + b"\r\n\r\n", (431, "head-too-large")),
    ],
)
@pytest_twisted.ensureDeferred
async def test_b05_long_lines_and_many_headers(site: Site, request_: bytes, problem: tuple[int, str]) -> None:
    """The client is told what was too long, not just hung up on."""
    site.serve()
    client = await site.connect(request_)
    await until(lambda: client.lost)
    assert client.problem() == problem


@pytest_twisted.ensureDeferred
async def test_b06_no_host(site: Site) -> None:
    """HTTP/1.1 requires Host (RFC 9112 3.2)."""
    site.serve()
    client = await site.connect(b"GET / HTTP/1.1\r\n\r\n")
    await until(lambda: client.lost)
    assert client.problem() == (400, "malformed-request")


@pytest_twisted.ensureDeferred
async def test_a_unix_socket_tells_who_connects(site: Site, tmp_path: Path) -> None:
    """Over a unix socket the kernel vouches for the user; over TCP there is no user."""
    site.serve(path=str(tmp_path / "s"))
    client = await site.connect(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: client.heard.endswith(b"}"))
    assert json.loads(client.heard.partition(b"\r\n\r\n")[2])["uid"] == os.getuid()
    client.transport.abortConnection()
    await until(lambda: client.lost)
    await until(lambda: site.server.connections == 0)
    site.serve()
    client = await site.connect(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: client.heard.endswith(b"}"))
    assert json.loads(client.heard.partition(b"\r\n\r\n")[2])["uid"] is None


@pytest_twisted.ensureDeferred
async def test_one_address_cannot_take_all_connections(site: Site) -> None:
    """The connection above the limit of its address ends at once; the others are served."""
    site.serve(max_per_address=2)
    one, two = await site.connect(), await site.connect()
    await until(lambda: site.server.connections == 2)
    three = await site.connect()
    await until(lambda: three.lost)
    assert three.heard == b""
    for client in (one, two):
        client.transport.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: one.heard.endswith(b"}") and two.heard.endswith(b"}"))
    assert site.server.refused["connections"] == 1


@pytest.mark.parametrize("kind", ["stream", "answer"])
@pytest_twisted.ensureDeferred
async def test_a_reader_that_does_not_read_is_cut_off(site: Site, kind: str) -> None:
    """What is written for a client is bounded; one that takes nothing for 30 s is cut off."""
    made = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield b"a" * 10_000

    async def handler(request: Request) -> Answer:
        return Stream(chunks=endless()) if kind == "stream" else Response(body=bytes(50_000_000))

    site.serve(handler)
    client = await site.connect()
    client.transport.pauseProducing()
    client.transport.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: site.server.connections == 1)
    connection = site.connection
    seen = -1

    def stands_still() -> bool:
        nonlocal seen
        unsent = connection.transport.dataBuffer
        before, seen = seen, len(unsent) - connection.transport.offset if connection._blocked else -1
        return seen >= 0 and seen == before

    await until(stands_still)
    assert seen < 300_000
    assert made < 5000
    site.clock.advance(29)
    assert site.server.connections == 1
    site.clock.advance(1)
    await until(lambda: site.server.connections == 0)


@pytest_twisted.ensureDeferred
async def test_a_client_that_shuts_its_side_is_answered(site: Site) -> None:
    """`printf ... | nc` is a client too."""
    later: Deferred[None] = Deferred()

    async def handler(request: Request) -> Answer:
        await later
        return await echo(request)

    site.serve(handler)
    client = await site.connect(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n")
    client.transport.loseWriteConnection()
    await until(lambda: site.server.connections and site.connection._ended)
    later.callback(None)
    await until(lambda: client.lost)
    assert client.heard.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest_twisted.ensureDeferred
async def test_a_long_poll_learns_that_its_client_hung_up(site: Site) -> None:
    """The handler hears of it although nothing was written."""
    gone: list[str] = []

    async def handler(request: Request) -> Answer:
        await request.gone
        gone.append(request.path)
        return Response()

    site.serve(handler)
    client = await site.connect(b"GET /poll HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: site.server.connections and site.connection._request)
    client.transport.abortConnection()
    await until(lambda: gone == ["/poll"])


@pytest_twisted.ensureDeferred
async def test_drain_on_real_sockets(site: Site) -> None:
    """Idle clients see the end at once, the busy one its answer first."""
    later: Deferred[None] = Deferred()

    async def handler(request: Request) -> Answer:
        await later
        return await echo(request)

    site.serve(handler)
    idle, busy = await site.connect(), await site.connect(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: sum(c._request is not None for c in site.server._connections) == 1)
    await until(lambda: site.server.connections == 2)
    stopped = Deferred.fromCoroutine(site.server.drain(5))
    await until(lambda: idle.lost)
    assert not stopped.called
    later.callback(None)
    await until(lambda: busy.lost)
    assert b"Connection: close" in busy.heard
    assert busy.heard.endswith(b"}")
    await stopped


# A real client.


@pytest.fixture
def curl() -> Callable[..., Any]:
    program = shutil.which("curl")
    if program is None:
        missing("curl is not installed")

    async def run(*arguments: str) -> str:
        out, err, code = await getProcessOutputAndValue(
            program, ("-sS", "-m", "20", "--noproxy", "*", *arguments), env={"LC_ALL": "C"}
        )
        assert code == 0, err
        return str(out.decode())

    return run


@pytest_twisted.ensureDeferred
async def test_curl(site: Site, curl: Callable[..., Any], tmp_path: Path) -> None:
    """curl gets along with us: keep-alive, HEAD, chunked uploads, HTTP/1.0, 100-continue, HTTP/2 offers."""
    site.serve()
    url = f"http://127.0.0.1:{site.port}"
    body = tmp_path / "body"
    body.write_bytes(b"a" * 1_000_000)
    show = "\n%{http_code} %{num_connects}\n"

    out = await curl("-w", show, f"{url}/a%20b", f"{url}/2")
    assert [line for line in out.splitlines() if line[:1].isdigit()] == ["200 1", "200 0"]
    assert '"path":"/a b"' in out
    assert "Content-Length: 50" in await curl("-I", url)
    assert '"length":1000000' in await curl("-X", "POST", "--data-binary", f"@{body}", url)
    chunked = ("-H", "Transfer-Encoding: chunked", "--data-binary", f"@{body}")
    assert '"length":1000000' in await curl(*chunked, url)
    assert '"length":1000000' in await curl("-0", "--data-binary", f"@{body}", url)
    assert '"length":1' in await curl("--http2", "-d", "a", url)
    expect = ("-v", "--stderr", "-", "-H", "Expect: 100-continue", "--data-binary", f"@{body}")
    assert "100 Continue" in await curl(*expect, url)

    body.write_bytes(b"a" * 3_000_000)
    refused = await curl(*expect, url)
    assert "413 Content Too Large" in refused
    assert "100 Continue" not in refused
    assert "body-too-large" in await curl("-H", "Expect:", "--data-binary", f"@{body}", url)


@pytest_twisted.ensureDeferred
async def test_curl_over_a_unix_socket(site: Site, curl: Callable[..., Any], tmp_path: Path) -> None:
    """The control socket speaks the same HTTP with the same router."""
    router = Router()
    router.add("GET", "/v1/{what}", lambda request, what: echo(request))
    site.serve(router, path=str(tmp_path / "s"))
    out = await curl("--unix-socket", str(tmp_path / "s"), "http://gateway/v1/status")
    assert json.loads(out) == {"method": "GET", "path": "/v1/status", "length": 0, "uid": os.getuid()}
    assert "not-found" in await curl("--unix-socket", str(tmp_path / "s"), "http://gateway/nothing")


def certificate() -> Any:
    """Server options with a certificate that nobody should trust."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from twisted.internet.ssl import PrivateCertificate

    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(
        Encoding.PEM
    )
    return PrivateCertificate.loadPEM(pem).options()


@pytest_twisted.ensureDeferred
async def test_curl_over_tls(site: Site, curl: Callable[..., Any], tmp_path: Path) -> None:
    """Under TLS the same holds: answers, refusals, large answers, and an orderly end."""

    async def handler(request: Request) -> Answer:
        return Response(body=bytes(3_000_000)) if request.path == "/large" else await echo(request)

    site.serve(handler, tls=certificate())
    url = f"https://127.0.0.1:{site.port}"
    body = tmp_path / "body"
    body.write_bytes(b"a" * 3_000_000)
    assert '"length":1' in await curl("-k", "-d", "a", url)
    assert '"length":1' in await curl("-k", "-0", "-d", "a", url)
    assert "body-too-large" in await curl("-k", "--data-binary", f"@{body}", url)
    await curl(
        "-k", "-o", str(tmp_path / "got"), f"{url}/large", "-o", str(tmp_path / "again"), f"{url}/large"
    )
    assert (tmp_path / "again").stat().st_size == 3_000_000
    await until(lambda: site.server.connections == 0)
