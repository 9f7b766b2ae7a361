"""WCTP links over real sockets: https that is always verified, and connections that are kept or not."""

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

from gateway.adapters.wctp import WctpSettings
from gateway.adapters.wctp.link import make_link
from gateway.env.real import RealEnv
from gateway.env.tls import ServerTls, read_certificate
from gateway.model import DeliveryKey, LinkName, MessageClass, Page, PublicId, later
from gateway.outcome import NotSent, Taken
from gateway.settings.types import LinkSettings
from gateway.web import HttpServer, Request, Response
from protocols.wctp import codec
from protocols.wctp import messages as m

NAME = "wctp.example.net"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A certificate of NAME, signed by itself, and its key."""
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
    path = tmp_path_factory.mktemp("tls") / "carrier.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return path, private.decode()


class Carrier:
    """Takes every page, over https and over http."""

    def __init__(self, certificate: tuple[Path, str]) -> None:
        from twisted.internet import reactor

        self.env = RealEnv(reactor)
        self.heard: list[Request] = []
        path, key = certificate
        self.ca_file = str(path)
        self._tls = ServerTls(read_certificate(path.read_bytes(), key))
        self.server = HttpServer(
            clock=self.env.clock, handler=self._take, wall=self.env.wall, make_id=lambda: "theirs"
        )
        self.ports: list[Any] = []

    async def listen(self) -> None:
        for tls in (self._tls, None):
            self.ports.append(await self.env.net.listen("127.0.0.1:0", self.server, tls))

    async def stop(self) -> None:
        for port in self.ports:
            await port.stopListening()
        await self.server.drain(5.0)

    async def _take(self, request: Request) -> Response:
        self.heard.append(request)
        return Response(body=codec.write(m.Confirmation(result=m.success("taken"))))

    async def pages(self, count: int, *, plain: bool = False, **keys: Any) -> list[Any]:
        """What becomes of *count* pages over one session, or why there was none."""
        scheme, port = ("http", self.ports[1]) if plain else ("https", self.ports[0])
        url = f"{scheme}://127.0.0.1:{port.getHost().port}/wctp"
        told = {"url": url, "sender_id": "st-anne", "tls_name": NAME, "ca_file": self.ca_file} | keys
        own = WctpSettings(**told)
        made = make_link(
            LinkName("metro.web"),
            LinkSettings(adapter="wctp", open_timeout=10.0, own=own),
            surroundings(self.env),
        )
        session = await made.open()
        if isinstance(session, NotSent):
            return [session]
        page = Page(
            delivery=DeliveryKey(1),
            public_id=PublicId("0" * 26),
            correlation="8h2k0qzt-1",
            address="5550104477",
            text="Ward 4 bed 7",
            message_class=MessageClass.URGENT,
            expires=later(self.env.now(), 600.0),
        )
        outcomes = [await session.submit(page) for _ in range(count)]
        await session.close()
        assert session.lost.called
        return outcomes


@pytest_twisted.async_yield_fixture
async def carrier(certificate: tuple[Path, str]) -> AsyncIterator[Carrier]:
    """A carrier on two ports."""
    carrier = Carrier(certificate)
    await carrier.listen()
    yield carrier
    await carrier.stop()


@pytest_twisted.ensureDeferred
async def test_who_proves_to_be_the_carrier_gets_the_page(carrier: Carrier) -> None:
    """And nobody else: not another name, not a signer that we do not know. Nothing was sent to those."""
    assert [type(one) for one in await carrier.pages(1)] == [Taken]
    for bad in ({"tls_name": "other.example.net"}, {"ca_file": None}, {"ca_file": "/none.pem"}):
        (refused,) = await carrier.pages(1, **bad)
        assert isinstance(refused, NotSent) and refused.code == "connect", refused
    assert len(carrier.heard) == 1


@pytest.mark.parametrize("plain", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_connection_is_kept_only_where_it_is_set(carrier: Carrier, plain: bool) -> None:
    """One page and then another connection; or page after page."""
    outcomes = await carrier.pages(2, plain=plain)
    assert [type(one) for one in outcomes] == [Taken, NotSent]
    outcomes = await carrier.pages(3, plain=plain, persistent=True)
    assert [type(one) for one in outcomes] == [Taken, Taken, Taken]
    assert [one.header("connection") for one in carrier.heard] == ["close", *["keep-alive"] * 3]
