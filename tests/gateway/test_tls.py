"""The API over TLS: the pair of the settings, its renewal in flight, and clients that do not speak it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from pairs import NAME, ca_pem, key_pem, new_key, pair, pem, signed
from settings_fakes import BASE
from settings_fakes import SPECS as FAKES
from test_web_sockets import Talker, curl, until  # noqa: F401  # curl is a fixture
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from gateway.adapters.wctp import ADAPTER as WCTP
from gateway.app.tls import DoorTls
from gateway.bell import Bell
from gateway.env import Address, Tls
from gateway.env.real import RealEnv
from gateway.env.simulated import BOOT, SimulatedEnv
from gateway.errors import SettingsError
from gateway.model import Instant
from gateway.observe import Metrics
from gateway.settings import load
from gateway.settings.types import Settings
from gateway.web import Answer, HttpServer, Limits, Request, json_response

DAY = 86_400
THEN = datetime.fromtimestamp(BOOT / 1e6, UTC)
TEXT = BASE + "listen: {http: {at: 127.0.0.1:0, tls: {cert: tls/crt.pem, key: {file: tls/key.pem}}}}\n"
PUSHED = BASE + (
    'listen: {http: none, wctp: {networks: ["192.0.2.0/24"], tls: {cert: tls/crt.pem, key: {file: tls/key.pem}}}}\n'
)
SPECS = FAKES | {"wctp": WCTP}
CERT, KEY = "/etc/gateway/tls/crt.pem", "/etc/gateway/tls/key.pem"


def read_settings(files: dict[str, bytes], text: str = TEXT, now: Instant | None = None) -> Settings:
    """The settings of *text*, which stands in /etc/gateway."""

    def read(path: Path) -> bytes:
        if str(path) not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[str(path)]

    return load(text, SPECS, file="/etc/gateway/gateway.yaml", read=read, environ={}, now=now)


def mistakes(files: dict[str, bytes], now: Instant | None = None, text: str = TEXT) -> list[str]:
    """Every mistake, without the name of the file."""
    with pytest.raises(SettingsError) as caught:
        read_settings(files, text, now=now)
    return [str(one).removeprefix("/etc/gateway/gateway.yaml:") for one in caught.value.mistakes]


def both(cert: bytes, key: bytes) -> dict[str, bytes]:
    return {CERT: cert, KEY: key}


# ---------------------------------------------------------------- the settings


def test_the_certificate_lies_beside_the_settings_file() -> None:
    """A relative path starts at the file in which it is written; the key is a secret."""
    cert, key = pair()
    tls = read_settings(both(cert, key)).listen.http.tls  # type: ignore[union-attr]
    assert tls is not None
    assert tls.cert == CERT
    assert "PRIVATE" not in repr(tls)


def test_the_door_of_an_adapter_has_a_pair_of_its_own() -> None:
    """`listen.wctp.tls` is looked at as `listen.http.tls` is; each door by its own place in the file."""
    cert, key = pair(13, begins=THEN)
    found = read_settings(both(cert, key), PUSHED, now=BOOT)
    assert {door: tls.cert for door, tls in found.listen.tls().items()} == {"wctp": CERT}
    assert any(f'listen.wctp.tls.cert: the certificate of "{CERT}" ends at' in one for one in found.warnings)
    (said,) = mistakes(both(cert, pair()[1]), text=PUSHED)
    assert "listen.wctp.tls.key: the key does not belong to the first certificate" in said
    two = PUSHED.replace("http: none", "http: {tls: {cert: tls/crt.pem, key: {file: tls/key.pem}}}")
    assert [*read_settings(both(cert, key), two).listen.tls()] == ["http", "wctp"]
    keys = [one.split(": ")[1] for one in mistakes({KEY: key}, text=two)]
    assert keys == ["listen.http.tls.cert", "listen.wctp.tls.cert"]


def odd_pairs() -> list[tuple[str, dict[str, bytes], str]]:
    cert, key = pair()
    other, _ = pair()
    mine = new_key()
    chain = ca_pem() + pem(signed(mine))
    small = rsa.generate_private_key(65537, 1024)
    at_cert, at_key = "8:46: listen.http.tls.cert: ", "8:64: listen.http.tls.key: "
    return [
        (
            "no file",
            {KEY: key},
            f'{at_cert}the file "{CERT}" cannot be read (No such file or directory). '
            "Write the path of a file that the gateway may read.",
        ),
        (
            "no certificate",
            both(b"hello", key),
            f'{at_cert}the file "{CERT}" holds no PEM certificate. '
            "Write the path of a file with BEGIN CERTIFICATE in it.",
        ),
        (
            "damaged",
            both(cert.replace(b"\nMII", b"\nAAA", 1), key),
            f'{at_cert}the file "{CERT}" holds a damaged certificate. Copy the file again.',
        ),
        (
            "too many",
            both(cert * 17, key),
            f'{at_cert}the file "{CERT}" holds more than 16 certificates. '
            "Keep the server's own and its chain.",
        ),
        (
            "weak",
            both(pem(signed(small)), key_pem(small)),
            f'{at_cert}the file "{CERT}" cannot be used: ee key too small. Have it made with RSA 2048 or P-256.',
        ),
        (
            "another's key",
            both(other, key),
            f"{at_key}the key does not belong to the first certificate of the file. "
            "Write the key that it was made with.",
        ),
        (
            "chain upside down",
            both(chain, key_pem(mine)),
            f"{at_key}the key does not belong to the first certificate of the file. "
            "It belongs to number 2 of the file: put that one first.",
        ),
        (
            "no key",
            both(cert, b"hello"),
            f"{at_key}this is no private key in PEM. It begins with BEGIN PRIVATE KEY.",
        ),
        (
            "passphrase",
            both(pem(signed(mine)), key_pem(mine, b"sesame")),
            f"{at_key}the key has a passphrase. Take it off: openssl pkey -in KEY -out KEY.plain",
        ),
    ]


@pytest.mark.parametrize(
    ("files", "said"), [one[1:] for one in odd_pairs()], ids=[one[0] for one in odd_pairs()]
)
def test_a_pair_that_cannot_be_used(files: dict[str, bytes], said: str) -> None:
    """It is a mistake of the settings, with its place and what to do; nothing of the key is shown."""
    assert mistakes(files) == [said]


def test_a_certificate_that_has_ended_stops_check_and_not_the_gateway() -> None:
    """`gateway check` calls it a mistake; a start and a reload do without: that it pages matters more."""
    files = both(*pair(days=-0.01, begins=THEN))
    assert mistakes(files, now=BOOT) == [
        f'8:46: listen.http.tls.cert: the certificate of "{CERT}" ended at 2026-12-31T23:45:36Z. Renew it.'
    ]
    assert read_settings(files).warnings == ()
    early = both(*pair(begins=THEN + timedelta(days=1)))
    (said,) = mistakes(early, now=BOOT)
    assert "counts only from 2027-01-01T23:00:00Z on. Is the clock of this machine right?" in said


def test_a_certificate_that_ends_soon_is_a_warning_of_check() -> None:
    """From 14 days before its end on."""
    assert read_settings(both(*pair(days=15, begins=THEN)), now=BOOT).warnings == ()
    (said,) = read_settings(both(*pair(days=13, begins=THEN)), now=BOOT).warnings
    assert said.endswith("ends at 2027-01-14T00:00:00Z. Renew it; the gateway takes the new file by itself.")


# ---------------------------------------------------------------- renewal, on a simulated machine


class Door:
    """A door's certificate on a machine of its own, and what the log says of it."""

    def __init__(self, days: float = 90, name: str = "http", text: str = TEXT) -> None:
        self.env = SimulatedEnv()
        self.files = self.env.disk.contents
        self.text = text
        self.name = name
        self.metrics = Metrics("test")
        self.said: list[str] = []
        self.put(*pair(days, begins=THEN))
        self.settings = self.reread()
        self.tls = DoorTls(name, lambda: self.settings, self.reread, self.metrics, Bell(), self.env)
        globalLogPublisher.addObserver(self._logged)
        self.tls.start()

    def put(self, cert: bytes | None = None, key: bytes | None = None) -> None:
        for path, data in ((CERT, cert), (KEY, key)):
            if data is not None:
                self.files[Path(path)] = data

    def reread(self) -> Settings:
        return read_settings({str(path): data for path, data in self.files.items()}, self.text)

    def pass_time(self, seconds: float) -> None:
        self.env.world.clock.advance(seconds)

    @property
    def left(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "gateway_tls_certificate_expires_seconds", {"door": self.name}
        )

    def _logged(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "gateway.app.tls":
            self.said.append(formatEvent(event))

    def end(self) -> None:
        globalLogPublisher.removeObserver(self._logged)


@pytest.fixture
def door(request: pytest.FixtureRequest) -> Any:
    made = Door(getattr(request, "param", 90))
    yield made
    made.end()


def test_a_renewed_certificate_is_taken_within_a_minute(door: Door) -> None:
    """Without anybody doing anything, and it is said once."""
    before = door.tls.server.certificate
    door.pass_time(600)
    assert door.tls.server.certificate is before
    assert door.said == []
    cert, key = pair(180, begins=THEN)
    door.put(cert, key)
    door.pass_time(61)
    assert door.tls.server.certificate.pem == cert
    assert door.said == [f"certificate renewed: {NAME} until 2027-06-30T00:00:00Z"]
    assert door.left == pytest.approx(180 * DAY - 661, abs=61)
    assert door.tls.reasons == ()


def test_a_new_pair_that_does_not_fit_changes_nothing(door: Door) -> None:
    """It is an event once and a reason of health, until the key has been written too."""
    before = door.tls.server.certificate
    cert, key = pair(180, begins=THEN)
    door.put(cert)
    door.pass_time(600)
    assert door.tls.server.certificate is before
    (said,) = door.said
    assert said.startswith(
        "certificate not renewed: /etc/gateway/gateway.yaml:8:64: listen.http.tls.key: the key"
    )
    (reason,) = door.tls.reasons
    assert reason.startswith("the new certificate of the API is not used: ")
    door.put(key=key)
    door.pass_time(61)
    assert door.tls.server.certificate.pem == cert
    assert door.tls.reasons == ()


@pytest.mark.parametrize(
    "broken", [b"", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", None]
)
def test_a_certificate_that_is_gone_or_broken_changes_nothing(door: Door, broken: bytes | None) -> None:
    """What is served with is in memory."""
    before = door.tls.server.certificate
    if broken is None:
        del door.files[Path(CERT)]
    else:
        door.put(broken)
    door.pass_time(300)
    assert door.tls.server.certificate is before
    assert len(door.said) == len(door.tls.reasons) == 1


def test_a_new_certificate_that_has_ended_does_not_replace_one_that_counts(door: Door) -> None:
    """A copy of last year's file is not a renewal."""
    before = door.tls.server.certificate
    door.put(*pair(-0.01, begins=THEN))
    door.pass_time(61)
    assert door.tls.server.certificate is before
    assert door.said == ["certificate not renewed: it ended at 2026-12-31T23:45:36Z. Renew it."]


def test_the_certificate_of_an_adapters_door_is_renewed_too() -> None:
    """Under its own name in health, log and metrics."""
    door = Door(10, "wctp", PUSHED)
    try:
        assert door.tls.reasons == ("the certificate of the door wctp ends at 2027-01-11T00:00:00Z",)
        assert door.said == ["certificate of wctp ends in 10 days"]
        cert, key = pair(180, begins=THEN)
        door.put(cert, key)
        door.pass_time(61)
        assert door.tls.server.certificate.pem == cert
        assert door.left == pytest.approx(180 * DAY - 61, abs=61)
        assert door.tls.reasons == ()
    finally:
        door.end()


@pytest.mark.parametrize("door", [14.5], indirect=True)
def test_the_end_of_a_certificate_is_announced_for_two_weeks(door: Door) -> None:
    """Health gives it as a reason, the log says it once a day, the metric counts down below zero."""
    door.pass_time(3600)
    assert (door.said, door.tls.reasons) == ([], ())
    door.pass_time(DAY)
    assert set(door.said) == {"certificate of http ends in 13 days"}
    assert door.tls.reasons == ("the certificate of the API ends at 2027-01-15T12:00:00Z",)
    door.pass_time(2 * DAY)
    assert len(door.said) == 4  # it is the fourth day
    door.pass_time(12 * DAY)
    assert door.tls.reasons == ("the certificate of the API ended at 2027-01-15T12:00:00Z",)
    assert door.left is not None
    assert door.left < 0


def test_the_key_never_reaches_a_log(door: Door) -> None:
    """Not when it fits, not when it does not."""
    cert, key = pair(180, begins=THEN)
    door.put(cert)
    door.pass_time(61)
    door.put(key=key)
    door.pass_time(61)
    secret = key.splitlines()[1].decode()
    assert secret not in "".join(door.said)
    assert secret not in repr(door.tls.server.certificate)


# ---------------------------------------------------------------- on real sockets


class Served:
    """An HTTP server of ours behind TLS on loopback; its clock, that of its deadlines, is the test's."""

    def __init__(self, folder: Path) -> None:
        from twisted.internet import reactor

        self.env = RealEnv(reactor)
        self.clock = Clock()
        self.folder = folder
        self.said: list[str] = []
        self.clients: list[Talker] = []
        (folder / "tls").mkdir()
        (folder / "ca.pem").write_bytes(ca_pem())
        self.put(*pair())
        self.settings = self.reread()
        self.tls = DoorTls("http", lambda: self.settings, self.reread, Metrics("test"), Bell(), self.env)

    def put(self, cert: bytes, key: bytes) -> None:
        (self.folder / "tls" / "crt.pem").write_bytes(cert)
        (self.folder / "tls" / "key.pem").write_bytes(key)

    def reread(self) -> Settings:
        return load(TEXT, SPECS, file=str(self.folder / "g.yaml"), read=Path.read_bytes, environ={})

    async def open(self, **limits: Any) -> None:
        async def echo(request: Request) -> Answer:
            return json_response({"path": request.path})

        class Log:
            def warn(_, form: str, **fields: Any) -> None:
                self.said.append(form.format(**fields))

        self.server = HttpServer(
            clock=self.clock,
            handler=echo,
            wall=lambda: Instant(0),
            make_id=lambda: "r1",
            limits=Limits(**limits),
            log=Log(),  # type: ignore[arg-type]
        )
        self.port: Any = await self.env.net.listen("127.0.0.1:0", self.server, self.tls.server)
        self.number = self.port.getHost().port

    async def connect(self) -> Talker:
        """A client that verifies the name and our CA."""
        factory = Factory.forProtocol(Talker)
        factory.noisy = False
        tls = Tls(name=NAME, ca_file=str(self.folder / "ca.pem"))
        address = Address(host="127.0.0.1", port=self.number, tls=tls)
        talker: Talker = await self.env.net.client(address, open_timeout=20).connect(factory)
        self.clients.append(talker)
        return talker

    async def plain(self, *data: bytes) -> Talker:
        """A client that speaks no TLS."""
        from twisted.internet import reactor

        talker: Talker = await connectProtocol(
            TCP4ClientEndpoint(reactor, "127.0.0.1", self.number), Talker()
        )
        self.clients.append(talker)
        for piece in data:
            talker.transport.write(piece)
        return talker

    async def ask(self, talker: Talker) -> bytes:
        talker.heard = b""
        talker.transport.write(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: b"/v1/status" in talker.heard)
        return talker.heard

    async def close(self) -> None:
        await self.port.stopListening()
        for client in self.clients:
            client.transport.abortConnection()
        drained = Deferred.fromCoroutine(self.server.drain(0))
        self.clock.advance(0)
        await drained
        await until(lambda: all(client.lost for client in self.clients))


@pytest_twisted.async_yield_fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path)
    yield made
    await made.close()


def shown(talker: Talker) -> bytes:
    """The certificate that a client was shown."""
    found: x509.Certificate = talker.transport.getPeerCertificate().to_cryptography()
    return pem(found)


@pytest_twisted.ensureDeferred
async def test_open_connections_go_on_while_the_certificate_is_renewed(served: Served) -> None:
    """Who is connected notices nothing; who connects afterwards is shown the new one."""
    await served.open()
    before = await served.connect()
    await served.ask(before)
    first = shown(before)
    cert, key = pair()
    served.put(cert, key)
    served.tls.look()
    assert b"200 OK" in await served.ask(before)
    assert shown(before) == first
    after = await served.connect()
    assert b"200 OK" in await served.ask(after)
    assert shown(after) == cert


@pytest_twisted.ensureDeferred
async def test_curl_that_offers_http2_is_answered(served: Served, curl: Callable[..., Any]) -> None:  # noqa: F811
    """By ALPN both agree on HTTP/1.1. A server that names nothing would fail every such client."""
    await served.open()
    where = ["--resolve", f"{NAME}:{served.number}:127.0.0.1", "--cacert", str(served.folder / "ca.pem")]
    out = await curl("-v", "--http2", "--stderr", "-", *where, f"https://{NAME}:{served.number}/v1/status")
    assert '{"path":"/v1/status"}' in out
    assert "ALPN: server accepted http/1.1" in out or "ALPN, server accepted to use http/1.1" in out


@pytest_twisted.ensureDeferred
async def test_plain_http_on_the_tls_port(served: Served) -> None:
    """The client is hung up on at once; however many do so, there is one log line a minute."""
    await served.open()
    for _ in range(5):
        talker = await served.plain(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda talker=talker: talker.lost)
        assert not talker.heard.startswith(b"HTTP")
    assert served.said == ["TLS failed with 1 connections, lastly: plain HTTP, where https is spoken"]
    served.clock.advance(61)
    talker = await served.plain(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: talker.lost)
    assert served.said[1:] == ["TLS failed with 5 connections, lastly: plain HTTP, where https is spoken"]
    assert served.server.refused["tls"] == 6
    assert served.server.connections == 0


@pytest_twisted.ensureDeferred
async def test_who_only_knocks_leaves_no_log_line(served: Served) -> None:
    """Probes of load balancers connect and hang up."""
    await served.open()
    talker = await served.plain()
    await until(lambda: served.server.connections == 1)
    talker.transport.loseConnection()
    await until(lambda: served.server.connections == 0)
    assert served.said == []


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_does_not_end(served: Served) -> None:
    """It counts as a connection of its address from the first moment, and is cut off after its deadline."""
    await served.open(max_per_address=2, handshake=10.0)
    slow = [await served.plain(b"\x16\x03\x01"), await served.plain()]
    await until(lambda: served.server.connections == 2)
    third = await served.plain()
    await until(lambda: third.lost)
    served.clock.advance(9)
    assert not any(talker.lost for talker in slow)
    served.clock.advance(2)
    await until(lambda: all(talker.lost for talker in slow))
    assert "TLS failed with 1 connections, lastly: not agreed on within 10 s" in served.said
    assert b"200 OK" in await served.ask(await served.connect())


@pytest_twisted.ensureDeferred
async def test_the_deadline_of_the_handshake_ends_with_it(served: Served) -> None:
    """A connection that has come about may be idle for as long as any other."""
    await served.open(handshake=10.0, idle=60.0)
    talker = await served.connect()
    (connection,) = served.server._connections
    await until(lambda: not connection._shaking)
    served.clock.advance(50)
    assert b"200 OK" in await served.ask(talker)


@pytest_twisted.ensureDeferred
async def test_old_versions_of_tls_are_refused(served: Served) -> None:
    """TLS 1.1 and older are not spoken."""
    await served.open()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = old.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    talker = await served.plain(outgoing.read())
    await until(lambda: talker.lost)
    (said,) = served.said
    assert "unsupported protocol" in said
