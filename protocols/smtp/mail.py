"""A message for a pager, built: header fields that cannot hold a line break, and one part of plain text.

Always seven bits but for addresses that need SMTPUTF8, so that every server takes it: a subject or a name
that is not plain ASCII goes as encoded words (RFC 2047), such a text as quoted-printable (RFC 2045 6.7).
"""

import re
from base64 import b64encode
from binascii import b2a_qp
from datetime import datetime
from email.utils import format_datetime
from enum import Enum

from msgspec import Struct

from protocols.smtp.messages import (
    MAX_RECIPIENTS,
    MAX_TEXT_LINE,
    Content,
    HeaderText,
    InvalidValue,
    Mailbox,
    MessageId,
)
from protocols.text import CONTROLS

MAX_TEXT = 100_000  # characters of a text; ours
_LINE = 76  # characters of a header line with an encoded word (RFC 2047 2); for the others 78 is advised
_CHUNK = 39  # octets in one encoded word, so that it fits into the line behind the name of its field


class Auto(Enum):
    """Auto-Submitted (RFC 3834 5): answered by no machine."""

    GENERATED = "auto-generated"  # an alert
    REPLIED = "auto-replied"  # an answer or a report


class Letter(Struct, frozen=True, kw_only=True):
    """What is to be said. *at*: aware. *text*: any Unicode; controls but tab and line ends become blanks.

    *to*: shown in the header, the envelope counts; empty: ``undisclosed-recipients:;``.
    *loop*: X-Pager-Loop, by which we know our own mail when it comes back. *tell_read*: where the reader's
    program is asked to say that it was shown (RFC 8098); if that is not the sender of the envelope too,
    programs ask the reader first.
    """

    sender: Mailbox
    message_id: MessageId
    at: datetime
    text: str
    name: HeaderText | None = None
    to: tuple[Mailbox, ...] = ()
    reply_to: Mailbox | None = None
    subject: HeaderText | None = None
    auto: Auto | None = Auto.GENERATED
    in_reply_to: MessageId | None = None
    loop: MessageId | None = None
    tell_read: Mailbox | None = None

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise InvalidValue("time", "has no zone")
        if len(self.text) > MAX_TEXT:
            raise InvalidValue("text", "is too long", MAX_TEXT)
        if len(self.to) > MAX_RECIPIENTS:
            raise InvalidValue("recipients", "are too many", MAX_RECIPIENTS)


def compose(letter: Letter) -> Content:
    """The message as it is sent, before dots are stuffed."""
    fields = [
        f"Date: {format_datetime(letter.at)}",
        f"From: {_from(letter)}",
        "To: " + (",\r\n ".join(letter.to) or "undisclosed-recipients:;"),
        f"Message-ID: {letter.message_id}",
    ]
    if letter.reply_to:
        fields.append(f"Reply-To: {letter.reply_to}")
    if letter.in_reply_to:
        fields += [f"In-Reply-To: {letter.in_reply_to}", f"References: {letter.in_reply_to}"]
    if letter.subject:
        fields.append(f"Subject: {_unstructured(letter.subject, len('Subject: '))}")
    if letter.auto:
        fields.append(f"Auto-Submitted: {letter.auto.value}")
    if letter.loop:
        fields.append(f"X-Pager-Loop: {letter.loop}")
    if letter.tell_read:
        fields.append(f"Disposition-Notification-To: <{letter.tell_read}>")
    charset, coding, body = _body(letter.text)
    fields += [
        "MIME-Version: 1.0",
        f"Content-Type: text/plain; charset={charset}",
        f"Content-Transfer-Encoding: {coding}",
    ]
    return Content("\r\n".join(fields).encode() + b"\r\n\r\n" + body)


def _from(letter: Letter) -> str:
    name = letter.name
    if not name:
        return letter.sender
    if _PLAIN.fullmatch(name) and len(name) <= _LINE - len("From: ") - 2:
        quoted = re.sub(r'(["\\])', r"\\\1", name)
        return f'"{quoted}"\r\n <{letter.sender}>'
    return f"{_encoded_words(name)}\r\n <{letter.sender}>"


_PLAIN = re.compile(r"[\x21-\x7e]{1,60}(?: [\x21-\x7e]{1,60})*", re.ASCII)


def _unstructured(text: str, column: int) -> str:
    """*text* folded at its blanks if it is plain; what a reader could see otherwise goes as encoded words."""
    if "=?" in text or not _PLAIN.fullmatch(text):
        return _encoded_words(text)
    out: list[str] = []
    for word in text.split(" "):
        if out and column + 1 + len(word) > _LINE:
            out.append("\r\n ")
            column = 1
        elif out:
            out.append(" ")
            column += 1
        out.append(word)
        column += len(word)
    return "".join(out)


def _encoded_words(text: str) -> str:
    chunks = [b""]
    for char in text:
        octets = char.encode()
        if len(chunks[-1]) + len(octets) > _CHUNK:
            chunks.append(b"")
        chunks[-1] += octets
    return "\r\n ".join(f"=?utf-8?b?{b64encode(chunk).decode()}?=" for chunk in chunks)


def _body(text: str) -> tuple[str, str, bytes]:
    lines = [CONTROLS.sub(_blank, line) for line in re.split("\r\n|\r|\n|\u2028|\u2029", text)]
    while lines and not lines[-1]:
        lines.pop()
    if text.isascii() and all(len(line) <= MAX_TEXT_LINE for line in lines):
        return "us-ascii", "7bit", "".join(line + "\r\n" for line in lines).encode()
    quoted = b2a_qp("".join(line + "\n" for line in lines).encode(), istext=True)
    return "utf-8", "quoted-printable", quoted.replace(b"\n", b"\r\n")


def _blank(control: re.Match[str]) -> str:
    return "\t" if control[0] == "\t" else " "
