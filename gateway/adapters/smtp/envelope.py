"""The bounce address: which page a report is about stands in the address that it comes to.

``pages@bounces.example.org`` becomes ``pages+TOKEN@bounces.example.org``, the envelope sender of one page.
The token names the delivery and its copy, and a keyed hash makes sure that we wrote it: whoever has not been
sent a page cannot report about it. It works with every server that bounces, also with those without DSN.

Some servers lower-case what stands before the @, so a token is small letters, digits and hyphens, and is
read in any case.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode

import msgspec

from gateway.model import LinkName
from protocols.smtp.messages import MAX_LOCAL, Mailbox

MAC_OCTETS = 10  # 80 bit: sixteen base32 digits, and more than anybody can try at a door
_MAC = 16
_CORRELATION = 24  # store.rows: eight digits, a hyphen, a key of up to 15
_COPY = 3
MAX_BASE = MAX_LOCAL - len("+--") - _CORRELATION - _COPY - _MAC  # characters before the plus
_TOKEN = re.compile(
    rf"([0-9a-z-]{{1,{_CORRELATION}}})-([1-9][0-9]{{0,{_COPY - 1}}})-([a-z2-7]{{{_MAC}}})", re.ASCII
)


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says: the page's *correlation*, and which copy of it."""

    correlation: str
    copy: int


class BounceAddress:
    """The bounce address of one link."""

    def __init__(self, address: Mailbox, secret: str, link: LinkName) -> None:
        self.domain = address.domain.lower()
        self._address = address
        self._secret = secret.encode()
        self._link = link

    def of(self, correlation: str, copy: int) -> Mailbox:
        """The envelope sender of one copy of a page."""
        copy = min(copy, 10**_COPY - 1)
        mac = self._mac(correlation, str(copy))
        return Mailbox(f"{self._address.local}+{correlation}-{copy}-{mac}@{self._address.domain}")

    def about(self, to: Mailbox) -> About | None:
        """What *to* is about; None if it is not an address that we made for this link."""
        base, plus, token = to.local.lower().partition("+")
        found = _TOKEN.fullmatch(token)
        if (
            found is None
            or not plus
            or base != self._address.local.lower()
            or to.domain.lower() != self.domain
        ):
            return None
        correlation, copy, mac = found.groups()
        if not hmac.compare_digest(mac, self._mac(correlation, copy)):
            return None
        return About(correlation=correlation, copy=int(copy))

    def _mac(self, correlation: str, copy: str) -> str:
        said = f"{self._link}\0{correlation}\0{copy}".encode()
        digest = hmac.digest(self._secret, said, "sha256")[:MAC_OCTETS]
        return b32encode(digest).decode().lower()
