"""F47: a far end that cannot prove who it is, or speaks too old a TLS, hears nothing of a page; the next way
is used. Over real sockets, for the links that have TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from link_fakes import surroundings
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater

from gateway.adapters.smtp import SmtpSettings
from gateway.adapters.snpp import SnppSettings
from gateway.adapters.tap import TapSettings
from gateway.adapters.wctp import WctpSettings
from gateway.app.adapters import specs
from gateway.env.real import RealEnv
from gateway.model import LinkName
from gateway.outcome import NotSent
from gateway.settings.types import LinkSettings, Secret

NAME = "pager.example.net"
DAY = timedelta(days=1)


def pair(folder: Path, name: str, *, ends: timedelta = DAY) -> Path:
    """A key and a certificate of *name*, signed by itself, in a file of that name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - 10 * DAY)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}{ends.days}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Listener(Protocol):
    """Greets, and keeps all that it is told, which under TLS is what came through it."""

    heard: bytearray
    greeting = b"220 ready\r\n"

    def connectionMade(self) -> None:
        self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if data[:4] == b"EHLO":  # a relay that offers no TLS
            self.transport.write(b"250-relay\r\n250 SIZE 1000\r\n")


class FarEnd:
    """Something that listens, with TLS or without, and what came to its ears."""

    def __init__(self, options: Any) -> None:
        self.heard = bytearray()
        self.options = options

    async def open(self) -> int:
        from twisted.internet import reactor

        heard = self.heard

        class Mine(Listener):
            def __init__(self) -> None:
                self.heard = heard

        factory = Factory.forProtocol(Mine)
        endpoint: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        if self.options is not None:
            endpoint = SSL4ServerEndpoint(reactor, 0, self.options, interface="127.0.0.1")
        self.port = await endpoint.listen(factory)
        return int(self.port.getHost().port)

    async def close(self) -> None:
        from twisted.internet import reactor

        await deferLater(reactor, 0.05, lambda: None)  # what is under way arrives
        await self.port.stopListening()


def old_tls(path: Path) -> Any:
    """A server that knows TLS 1.1 at most."""
    options = PrivateCertificate.loadPEM(path.read_bytes()).options()
    context = options.getContext()
    context.set_min_proto_version(SSL.TLS1_VERSION)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    return options


def served(path: Path) -> Any:
    return PrivateCertificate.loadPEM(path.read_bytes()).options()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest_twisted.async_yield_fixture
async def far() -> AsyncIterator[list[FarEnd]]:
    ends: list[FarEnd] = []
    yield ends
    for end in ends:
        await end.close()


BAD = ["expired", "wrong name", "unknown signer", "old version", "no TLS at all"]


def far_end(bad: str, folder: Path) -> tuple[FarEnd, Path]:
    """One that is *bad*, and the file of who is trusted."""
    if bad == "expired":
        path = pair(folder, NAME, ends=-DAY)
        return FarEnd(served(path)), path
    good = pair(folder, NAME)
    match bad:
        case "wrong name":
            other = pair(folder, "other.example.net")
            return FarEnd(served(other)), other
        case "unknown signer":
            kept = good.with_name("known.pem")
            kept.write_bytes(good.read_bytes())
            return FarEnd(served(pair(folder, NAME))), kept
        case "old version":
            return FarEnd(old_tls(good)), good
        case _:
            return FarEnd(None), good


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("adapter", ["snpp", "smtp", "wctp", "tap"])
@pytest_twisted.ensureDeferred
async def test_f47_nothing_of_a_page_goes_to_whom_we_do_not_trust(
    far: list[FarEnd], folder: Path, adapter: str, bad: str
) -> None:
    """Not sent, with a reason; zero bytes came through the TLS, and without TLS no login and no page."""
    end, trusted = far_end(bad, folder)
    far.append(end)
    opened = await link(adapter, await end.open(), trusted).open()
    assert isinstance(opened, NotSent), opened
    assert opened.why
    assert "sesame" not in opened.why
    if bad == "no TLS at all":  # what came is the beginning of a handshake
        assert b"LOGI" not in end.heard
        assert b"sesame" not in end.heard
    else:
        assert bytes(end.heard) == b""


@pytest_twisted.ensureDeferred
async def test_whom_we_trust_is_told_the_login(far: list[FarEnd], folder: Path) -> None:
    """The same far end with nothing wrong: this is what the others do not hear."""
    good = pair(folder, NAME)
    end = FarEnd(served(good))
    far.append(end)
    opening = Deferred.fromCoroutine(link("snpp", await end.open(), good).open())
    while b"LOGI" not in end.heard and not opening.called:
        await deferLater(_reactor(), 0.01, lambda: None)
    opening.cancel()
    opening.addErrback(lambda _: None)
    assert b"LOGI pages sesame" in end.heard


@pytest_twisted.ensureDeferred
async def test_f47_a_relay_that_does_not_offer_tls_any_more_is_told_nothing(
    far: list[FarEnd], folder: Path
) -> None:
    """`tls: required` and no STARTTLS in the answer: somebody may have taken it out."""
    end = FarEnd(None)
    far.append(end)
    opened = await link("smtp", await end.open(), pair(folder, NAME), tls="required").open()
    assert isinstance(opened, NotSent), opened
    assert b"AUTH" not in end.heard
    assert b"MAIL" not in end.heard


def _reactor() -> Any:
    from twisted.internet import reactor

    return reactor


def link(adapter: str, port: int, trusted: Path, tls: str | None = None) -> Any:
    from twisted.internet import reactor

    at, password = f"127.0.0.1:{port}", Secret("sesame")
    whom = {"tls_name": NAME, "ca_file": str(trusted)}
    own: Any
    match adapter:
        case "snpp":
            own = SnppSettings(at=at, tls="required", login="pages", password=password, **whom)
        case "smtp":
            sender = {"from_": "pages@example.net", "login": "pages", "password": password}
            own = SmtpSettings(at=at, tls=tls or "implicit", **sender, **whom)
        case "wctp":
            own = WctpSettings(url=f"https://{at}/wctp", sender_id="pages", security_code=password, **whom)
        case _:
            own = TapSettings(at=f"tls:{at}", password=password, **whom)
    settings = LinkSettings(adapter=adapter, open_timeout=5.0, own=own)
    around = surroundings(RealEnv(reactor))
    return specs()[adapter].make_link(LinkName("x.y"), settings, around)
