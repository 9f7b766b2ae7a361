"""SMTP links over real TLS: STARTTLS and TLS from the first byte, always verified; and the login within."""

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
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import PrivateCertificate
from twisted.protocols.basic import LineReceiver

from gateway.adapters.smtp import SmtpSettings
from gateway.adapters.smtp.link import SmtpLink
from gateway.env.real import RealEnv
from gateway.model import LinkName
from gateway.outcome import NotSent
from gateway.settings.types import LinkSettings, Secret
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.messages import Reply
from protocols.smtp.server import Caller, SmtpFactory

NAME = "relay.example.net"
PASSWORD = "sesame-51"


class Relay:
    """Lets one login in, which must come over TLS."""

    async def login(self, who: Caller, asked: s.LoginAsked) -> Reply:
        good = who.secure and asked.password == PASSWORD
        return Reply(235) if good else Reply(535, (f"5.7.8 not with {asked.password}",))

    async def recipient(self, who: Caller, asked: s.RecipientAsked) -> Reply:
        return Reply(250)

    async def message(self, who: Caller, message: s.Received) -> tuple[Reply, ...]:
        return (Reply(250),)


class Scripted(LineReceiver):
    """A relay of the fewest words."""

    def connectionMade(self) -> None:
        self.sendLine(b"220 relay")

    def lineReceived(self, line: bytes) -> None:
        says = {b"EHLO": b"250-relay\r\n250 AUTH PLAIN", b"AUTH": b"235 welcome", b"QUIT": b"221 bye"}
        self.sendLine(says.get(line[:4], b"500 what"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of NAME, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "relay.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest_twisted.async_yield_fixture
async def ports(certificate: Path) -> AsyncIterator[dict[str, int]]:
    """A relay that offers STARTTLS, and one that has TLS from the start."""
    from twisted.internet import reactor

    options = PrivateCertificate.loadPEM(certificate.read_bytes()).options()

    rules = s.ServerRules(
        name=m.Domain(NAME),
        domains=frozenset({"example.net"}),
        starttls=True,
        auth=True,
        tls_needed=True,
        login_needed=True,
    )
    starting = SmtpFactory(Relay(), reactor, rules, tls=options)
    starts = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(starting)
    secured = SSL4ServerEndpoint(reactor, 0, options, interface="127.0.0.1")
    begins = await secured.listen(Factory.forProtocol(Scripted))
    yield {"required": starts.getHost().port, "implicit": begins.getHost().port}
    await starts.stopListening()
    await begins.stopListening()


async def opened(port: int, **keys: Any) -> Any:
    """What opening a link to *port* brings; a session is closed again."""
    from twisted.internet import reactor

    told: dict[str, Any] = {
        "at": f"127.0.0.1:{port}",
        "from_": "pages@example.net",
        "tls_name": NAME,
        "login": "pages",
        "password": Secret(PASSWORD),
    }
    settings = LinkSettings(adapter="smtp", open_timeout=10.0, own=SmtpSettings(**told | keys))
    link = SmtpLink(LinkName("mail.relay"), settings, surroundings(RealEnv(reactor)))
    session = await link.open()
    if not isinstance(session, NotSent):
        await session.close()
    return session


@pytest.mark.parametrize("tls", ["required", "implicit"])
@pytest_twisted.ensureDeferred
async def test_who_proves_to_be_the_relay_gets_the_login(
    ports: dict[str, int], certificate: Path, tls: str
) -> None:
    """And nobody else: not another name, not a signer that we do not know, not a file without certificates."""
    good = {"tls": tls, "ca_file": str(certificate)}
    session = await opened(ports[tls], **good)
    assert not isinstance(session, NotSent), session
    code = {"required": "tls", "implicit": "connect"}[tls]
    for bad in ({"tls_name": "other.example.net"}, {"ca_file": None}):
        refused = await opened(ports[tls], **good | bad)
        assert isinstance(refused, NotSent) and refused.code == code, refused
    missing = await opened(ports[tls], **good | {"ca_file": str(certificate.with_name("none.pem"))})
    assert isinstance(missing, NotSent) and "No such file" in missing.why


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_not_repeated(ports: dict[str, int], certificate: Path) -> None:
    """The relay quotes it; why the link did not open does not."""
    wrong = await opened(ports["required"], ca_file=str(certificate), password=Secret("open-sesame-52"))
    assert isinstance(wrong, NotSent)
    assert wrong.code == "login-535" and "5.7.8 not with …" in wrong.why


@pytest_twisted.ensureDeferred
async def test_a_relay_that_wants_tls_is_told_nothing_without(ports: dict[str, int]) -> None:
    """It offers no login in clear, so none is said."""
    refused = await opened(ports["required"], tls="off", tls_name=None)
    assert isinstance(refused, NotSent) and refused.code == "login", refused
