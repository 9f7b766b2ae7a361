"""Client and server over loopback with real TLS: STARTTLS, and a certificate that is not trusted."""

from datetime import UTC, datetime, timedelta

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from smtp_fakes import ANN, CONTENT, US, letter, to
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory

from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.client import Conversation
from protocols.smtp.messages import Reply
from protocols.smtp.server import Caller, SmtpFactory

NAME = "mx.example.net"
LOGIN = m.Login(user=m.Secret("pager"), password=m.Secret("s3cret"))


@pytest.fixture(scope="module")
def pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)


class House:
    def __init__(self) -> None:
        self.messages: list[s.Received] = []

    async def login(self, who: Caller, asked: s.LoginAsked) -> Reply:
        return Reply(235 if asked.password == LOGIN.password else 535)

    async def recipient(self, who: Caller, asked: s.RecipientAsked) -> Reply:
        return Reply(250)

    async def message(self, who: Caller, message: s.Received) -> tuple[Reply, ...]:
        self.messages.append(message)
        return (Reply(250, ("2.0.0 queued as 1",)),)


@pytest_twisted.ensureDeferred
async def test_tls_from_the_first_byte(pem: bytes) -> None:
    """The server's greeting waits for the handshake, and a message gets through."""
    house = House()
    factory = SmtpFactory(
        house, reactor, s.ServerRules(name=m.Domain(NAME), domains=frozenset({"example.net"}))
    )
    tls = TLSMemoryBIOFactory(PrivateCertificate.loadPEM(pem).options(), False, factory)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(tls)
    trusting = optionsForClientTLS(NAME, trustRootFromCertificates([Certificate.loadPEM(pem)]))
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    conversation = Conversation(
        wrapClientTLS(trusting, endpoint), reactor, s.Manner(name=US, starttls=s.StartTls.NEVER)
    )
    try:
        assert isinstance(await conversation.open(), s.Opened)
        assert (await conversation.submit(letter())).taken == to(ANN)
        await conversation.quit()
    finally:
        await port.stopListening()
    assert len(house.messages) == 1


@pytest_twisted.ensureDeferred
async def test_starttls_auth_and_a_message_over_loopback(pem: bytes) -> None:
    """A large message gets through, and the application sees it came over TLS."""
    house = House()
    rules = s.ServerRules(
        name=m.Domain(NAME),
        domains=frozenset({"example.net"}),
        starttls=True,
        auth=True,
        tls_needed=True,
        login_needed=True,
    )
    factory = SmtpFactory(house, reactor, rules, tls=PrivateCertificate.loadPEM(pem).options())
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    content = m.Content(CONTENT + b".\r\nx\r\n" * 20_000)
    try:
        trusting = optionsForClientTLS(NAME, trustRootFromCertificates([Certificate.loadPEM(pem)]))
        for tls in (trusting, optionsForClientTLS(NAME)):
            conversation = Conversation(
                TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port),
                reactor,
                s.Manner(name=US, starttls=s.StartTls.REQUIRED),
                tls=tls,
                login=LOGIN,
            )
            opened = await conversation.open()
            if tls is trusting:
                assert isinstance(opened, s.Opened)
                result = await conversation.submit(letter(content=content))
                assert result.taken == to(ANN)
            else:
                assert isinstance(opened, s.NotOpened)
                assert opened.step == "STARTTLS"
                assert "certificate" in opened.why
            await conversation.quit()
    finally:
        await port.stopListening()
    [message] = house.messages
    assert message.content == content
    assert (message.secure, message.login) == (True, "pager")
