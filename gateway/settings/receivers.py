"""Where a client may be told: which addresses a receiver may have, and the secrets that sign.

What is asked of a receiver is asked by the gateway, from inside the site's network. So only public addresses
are called, and those that the administrator allowed: at load for an address that stands in the file, again
for every address that its name leads to, and once more for the one that is connected to.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from gateway.settings.types import Secret

# The IANA registries of special-purpose addresses (RFC 6890 and its updates), multicast (RFC 5771, RFC 4291)
# and what embeds an IPv4 address. `is_global` of Python 3.11 takes 64:ff9b::/96 and 2002::/16 for public.
_SPECIAL = {
    "0.0.0.0/8": "this host",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared by a provider",
    "127.0.0.0/8": "this machine",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved by the IETF",
    "192.0.2.0/24": "for documentation",
    "192.31.196.0/24": "AS112",
    "192.52.193.0/24": "AMT",
    "192.88.99.0/24": "a 6to4 relay",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/96": "unspecified, this machine, or an embedded IPv4 address",
    "::ffff:0:0/96": "an embedded IPv4 address",
    "::ffff:0:0:0/96": "an embedded IPv4 address",
    "64:ff9b::/96": "an embedded IPv4 address",
    "64:ff9b:1::/48": "an embedded IPv4 address",
    "100::/64": "discarded",
    "100:0:0:1::/64": "for dummy prefixes",
    "2001::/23": "reserved by the IETF, Teredo among it",
    "2001:db8::/32": "for documentation",
    "2002::/16": "an embedded IPv4 address",
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "for documentation",
    "5f00::/16": "for segment routing",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
_NETWORKS = [(ipaddress.ip_network(network), what) for network, what in _SPECIAL.items()]

KEY_BYTES = range(24, 65)  # Standard Webhooks: a secret has 24 to 64 bytes


def refusal(address: str, allow: Iterable[str], *, plain: bool = False) -> str | None:
    """Why *address* may not be connected to, None if it may; *plain* is HTTP without TLS, which goes only
    to networks in *allow*. What is no IP address may not."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "it is not an IP address"
    if any(ip in ipaddress.ip_network(network) for network in allow):
        return None
    if plain:
        return "http goes only to networks in allow"
    if getattr(ip, "scope_id", None):
        return "it is link-local"
    return next((f"it is {what}" for network, what in _NETWORKS if ip in network), None)


def objection(url: str, allow: tuple[str, ...]) -> str | None:
    """What can be said against *url* without looking up its name."""
    parts = urlsplit(url)
    plain = parts.scheme == "http"
    if plain and not allow:
        return "http sends what it tells unprotected."
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host.rstrip(".") != "localhost" and not host.rstrip(".").endswith(".localhost"):
            return None
        host = "127.0.0.1"
    why = refusal(host, allow, plain=plain)
    return None if why is None else f"this address is not called: {why}."


def key_of(secret: Secret) -> bytes:
    """The key that *secret* stands for; empty if it is none."""
    try:
        key = base64.b64decode(secret.value.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return key if len(key) in KEY_BYTES else b""
