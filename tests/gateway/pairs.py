"""A CA of the tests' own, and certificates that it signs."""

from __future__ import annotations

import datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME = "pager.example"


def new_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


CA_KEY = new_key()


def key_pem(key: Any, passphrase: bytes | None = None) -> bytes:
    hidden: Any = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase)
    )
    made: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    return made


def pem(one: x509.Certificate) -> bytes:
    return one.public_bytes(serialization.Encoding.PEM)


def signed(
    key: Any, name: str = NAME, *, days: float = 90, begins: datetime.datetime | None = None, ca: bool = False
) -> x509.Certificate:
    """For *name* (by our CA, or the CA's own), from an hour before *begins* (now) to *days* after it."""
    begins = begins or datetime.datetime.now(datetime.UTC)
    by = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
    who = by if ca else x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - datetime.timedelta(hours=1))
        .not_valid_after(begins + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(CA_KEY, hashes.SHA256())


@cache
def ca_pem() -> bytes:
    """The certificate of our CA."""
    return pem(signed(CA_KEY, ca=True, days=3650))


def pair(days: float = 90, begins: datetime.datetime | None = None, name: str = NAME) -> tuple[bytes, bytes]:
    """A certificate and its key, as the contents of two files."""
    key = new_key()
    return pem(signed(key, name, days=days, begins=begins)), key_pem(key)
