"""Who speaks another protocol on our port: known by the first octet, or by a line that is no command."""

import re

_HTTP = re.compile(rb"[A-Z]+ \S+ HTTP/[0-9]")
_PLAIN_TEXT = frozenset(range(0x20, 0x7F)) | {0x09, 0x0A, 0x0D}


def foreign_octets(first: bytes) -> str | None:
    """What *first*, the first octets of a connection, speaks if it is no line of text: TLS or binary."""
    if first[0] in _PLAIN_TEXT:
        return None
    # A TLS ClientHello begins with 0x16; no command begins with anything unprintable.
    return "TLS" if first[0] == 0x16 else "binary"


def foreign_line(line: bytes) -> str | None:
    """What a *line* speaks that is no command of ours: HTTP, or None where nobody can tell."""
    return "HTTP" if _HTTP.match(line) else None
