"""Certificates of our own doors, and what TLS says when it fails.

A pair is read and tried out before anything is served with it. ``ServerTls`` is what a listening port asks
for every new connection, so that a renewed pair takes effect without closing a port or a connection.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal, cast

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no stubs

from gateway.model import SECOND, Instant

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
MAX_CHAIN = 16  # certificates in one file; a chain of the public web has two to four


class UnusablePair(Exception):
    """Nothing can be served with a certificate and its key: *at* fault, *what* is wrong, the *remedy*.

    Nothing of the key is in it.
    """

    def __init__(self, at: Literal["cert", "key"], what: str, remedy: str) -> None:
        super().__init__(f"{what} {remedy}")
        self.at: Literal["cert", "key"] = at
        self.what = what
        self.remedy = remedy


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A pair that TLS 1.2 and 1.3 can be served with. *pem* is the file of the certificate as it was read,
    *names* are whom it is for; it counts from *begins* to *ends*."""

    pem: bytes
    names: tuple[str, ...]
    begins: Instant
    ends: Instant
    options: Any

    def __repr__(self) -> str:
        return f"Certificate({', '.join(self.names)})"


def read_certificate(pem: bytes, key: str) -> Certificate:
    """The pair of a PEM file (the server's certificate first, then those that lead to its root) and of a PEM
    private key without a passphrase. Raises UnusablePair."""
    found = PEM.findall(pem)
    if not found:
        raise UnusablePair(
            "cert", "holds no PEM certificate.", "Write the path of a file with BEGIN CERTIFICATE in it."
        )
    if len(found) > MAX_CHAIN:
        raise UnusablePair(
            "cert", f"holds more than {MAX_CHAIN} certificates.", "Keep the server's own and its chain."
        )
    try:
        leaf, *chain = map(x509.load_pem_x509_certificate, found)
        names = _names(leaf)
    except ValueError:
        raise UnusablePair("cert", "holds a damaged certificate.", "Copy the file again.") from None
    try:
        private: Any = load_pem_private_key(key.encode(), None)
    except TypeError:
        raise UnusablePair(
            "key", "the key has a passphrase.", "Take it off: openssl pkey -in KEY -out KEY.plain"
        ) from None
    except Exception:  # whatever a parser says of a key may quote it
        raise UnusablePair(
            "key", "this is no private key in PEM.", "It begins with BEGIN PRIVATE KEY."
        ) from None
    if private.public_key() != leaf.public_key():
        its = [n for n, one in enumerate(chain, 2) if one.public_key() == private.public_key()]
        remedy = "Write the key that it was made with."
        if its:
            remedy = f"It belongs to number {its[0]} of the file: put that one first."
        raise UnusablePair("key", "the key does not belong to the first certificate of the file.", remedy)
    ours: Any = leaf, chain  # Twisted's types still name pyOpenSSL's own, which warns of them
    options = CertificateOptions(
        privateKey=private, certificate=ours[0], extraCertChain=ours[1], raiseMinimumTo=TLSVersion.TLSv1_2
    )
    try:
        options.getContext()  # made now and kept: what OpenSSL refuses is known before anybody connects
    except (SSL.Error, crypto.Error, ValueError) as error:
        raise UnusablePair(
            "cert", f"cannot be used: {words(error)}.", "Have it made with RSA 2048 or P-256."
        ) from None
    return Certificate(
        pem=pem,
        names=names,
        begins=_instant(leaf.not_valid_before_utc),
        ends=_instant(leaf.not_valid_after_utc),
        options=options,
    )


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Whom it is for: names and addresses, or what it calls itself if it has neither."""
    try:
        told = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (leaf.subject.rfc4514_string(),)
    return (
        *told.get_values_for_type(x509.DNSName),
        *map(str, told.get_values_for_type(x509.IPAddress)),
    )


def _instant(at: datetime) -> Instant:
    return Instant(int(at.timestamp()) * SECOND)


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """What a port serves with: the *certificate* of the moment counts from the next connection on."""

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        connection: SSL.Connection = self.certificate.options.serverConnectionForTLS(protocol)
        return connection


class SecuredFactory(TLSMemoryBIOFactory):
    """*factory* under TLS. Where it builds no protocol there is no connection; Twisted 26.10 alone breaks."""

    def __init__(self, tls: ServerTls, factory: Any, clock: Any) -> None:
        super().__init__(cast(Any, tls), False, factory, clock)

    def buildProtocol(self, addr: Any) -> Any:
        behind = self.wrappedFactory.buildProtocol(addr)
        return None if behind is None else self.protocol(self, behind)


def words(error: BaseException | None) -> str:
    """What went wrong, for people; OpenSSL and service-identity keep it in lists."""
    if isinstance(error, VerificationError):
        return "its certificate is for another name"
    if isinstance(error, SSL.Error | crypto.Error) and error.args and isinstance(error.args[0], list):
        return "; ".join(str(entry[-1]) for entry in error.args[0]) or "TLS failed"
    return str(error) or type(error).__name__
