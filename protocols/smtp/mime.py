"""The parts of a message that somebody sent us, in bounded work. Never fails, whatever the octets are.

The walk stops at its limits while it reads, so no parser ever sees what is beyond them. Of the library only
what looks at one short header value is used.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from binascii import a2b_qp
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message

from msgspec import Struct

from protocols.text import decoded, printable

MAX_FIELD = 500  # characters kept of a text in a header (docs, "Limits")
MAX_HEADER = 65_536  # octets of one header
MESSAGES = ("message/rfc822", "message/global")  # a message inside a message

_CHARSETS = re.compile(  # those of mail; other codecs of the library are slow, or no character sets at all
    r"us-ascii|ascii|utf-8|utf-16(le|be)?|iso-8859-\d{1,2}|(windows-|cp)125\d|koi8-[ru]|macintosh"
    r"|iso-2022-(jp|kr)|shift_jis|euc-(jp|kr)|gb2312|gbk|gb18030|big5",
    re.ASCII | re.IGNORECASE,
)


class Limits(Struct, frozen=True, kw_only=True):
    """How much of a message is looked at. *inside*: the parts of messages that it brings along, too."""

    parts: int
    depth: int  # multiparts and messages inside one another
    inside: bool = False


class Part(Struct, frozen=True, kw_only=True):
    """One part. *kind*: ``type/subtype`` in lower case. *enclosed*: it is part of a message brought along."""

    kind: str
    fields: dict[str, str]
    raw: bytes
    enclosed: bool

    def parameter(self, name: str) -> str:
        """A parameter of Content-Type; empty if it has none that can be read."""
        try:
            value = _content_type(self.fields).get_param(name, "")
        except (ValueError, IndexError, TypeError):  # the library gives up on some broken ones
            return ""
        return value if isinstance(value, str) else ""

    @property
    def attached(self) -> bool:
        """It is to be saved, not shown."""
        return self.fields.get("content-disposition", "").lower().startswith("attachment")

    def body(self) -> bytes:
        """Without its transfer encoding."""
        match self.fields.get("content-transfer-encoding", "").lower():
            case "quoted-printable":
                return a2b_qp(self.raw).replace(b"\r\n", b"\n")
            case "base64":
                try:
                    return b64decode(self.raw).replace(b"\r\n", b"\n")
                except (NotBase64, ValueError):
                    return b""
            case _:
                return self.raw

    def text(self) -> str:
        """Its characters: as its charset says, else as UTF-8 or Latin-1."""
        return characters(self.body(), self.parameter("charset"))


class Beyond(Struct, frozen=True, kw_only=True):
    """Something is over its limit: what is beyond is as if it were not there."""

    what: str
    limit: int


def walk(data: bytes, limits: Limits) -> Iterator[Part | Beyond]:
    """Each part of *data*, which has LF or CR LF, outside before inside, in the order of the document."""
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    waiting = [(data, 0, False)]
    for _ in range(limits.parts):
        if not waiting:
            return
        raw, depth, enclosed = waiting.pop(0)
        header, body = split(raw)
        if len(header) > MAX_HEADER:
            yield Beyond(what="header", limit=MAX_HEADER)
        found = fields(decoded(header[:MAX_HEADER]))
        part = Part(kind=_content_type(found).get_content_type(), fields=found, raw=body, enclosed=enclosed)
        yield part
        below: list[tuple[bytes, int, bool]] = []
        if part.kind.startswith("multipart/") and (mark := part.parameter("boundary")):
            below = [(one, depth + 1, enclosed) for one in _between(body, mark, limits.parts)]
        elif part.kind in MESSAGES and limits.inside:
            below = [(part.body(), depth + 1, True)]
        if below and depth >= limits.depth:
            yield Beyond(what="nesting", limit=limits.depth)
        else:
            waiting[:0] = below
    if waiting:
        yield Beyond(what="parts", limit=limits.parts)


def split(message: bytes) -> tuple[bytes, bytes]:
    """Header and body of a *message* that has LF."""
    if message.startswith(b"\n"):
        return b"", message[1:]
    header, _, body = message.partition(b"\n\n")
    return header, body


def fields(header: str) -> dict[str, str]:
    """By name in lower case; folded lines are joined, and of two equal names the first counts."""
    found: dict[str, str] = {}
    name = ""
    for line in header.split("\n"):
        if line[:1] in (" ", "\t"):
            if name and len(found[name]) < 4 * MAX_FIELD:
                found[name] = f"{found[name]} {clean(line)}".strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name or name in found:
            name = ""
        else:
            found[name] = printable(value).strip()[: 4 * MAX_FIELD]
    return found


def clean(text: str) -> str:
    """One line of *text*, up to `MAX_FIELD` characters."""
    return printable(text).strip()[:MAX_FIELD]


def unencoded(value: str) -> str:
    """A header *value* with its encoded words (RFC 2047) read: one line, whatever was encoded in them."""
    try:
        words = decode_header(value)
    except (HeaderParseError, ValueError):
        return " ".join(clean(value).split())
    said = "".join(_word(word, charset) for word, charset in words)
    return " ".join(printable(said).split())[:MAX_FIELD]


def _word(word: str | bytes, charset: str | None) -> str:
    if isinstance(word, str):
        return word
    if charset is None:  # what stood between encoded words; the library has written it as octets so
        try:
            return word.decode("raw-unicode-escape")
        except UnicodeDecodeError:
            return decoded(word)
    return characters(word, charset)


def characters(data: bytes, charset: str) -> str:
    """*data* in *charset* if that is one of mail and fits, else as UTF-8 or Latin-1."""
    if _CHARSETS.fullmatch(charset.strip()):
        try:
            return data.decode(charset.strip())
        except (UnicodeError, LookupError):
            pass
    return decoded(data)


def _content_type(found: dict[str, str]) -> Message:
    told = Message()
    told["Content-Type"] = found.get("content-type") or "text/plain"
    return told


def _between(body: bytes, boundary: str, most: int) -> list[bytes]:
    mark = re.escape(boundary[:200].encode(errors="replace"))
    parts: list[bytes] = []
    begin: int | None = None
    for found in re.finditer(rb"(?m)^--" + mark + rb"(--)?[ \t]*(?:\n|\Z)", body):
        if begin is not None:
            parts.append(body[begin : max(begin, found.start() - 1)])
        begin = found.end()
        if found[1] or len(parts) > most:
            return parts
    if begin is not None:  # cut short
        parts.append(body[begin:])
    return parts
