"""Delivery status notifications (RFC 3464), read and written.

`read` is for whatever comes to the bounce address: it never fails, and what is no report is None. Which
message a report is about is told, in this order, by the address it came to, by its *envid*, by the
*message_id* of what it brings back; who was meant by *original* and *final*.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from binascii import a2b_qp
from collections.abc import Iterator
from datetime import datetime
from email.message import Message
from email.utils import format_datetime
from enum import Enum

from msgspec import Struct

from protocols.smtp.codec import un_utf8_xtext, xtext
from protocols.smtp.messages import Content, Domain, EnvelopeId, InvalidValue, Mailbox, MessageId
from protocols.text import decoded, printable

MAX_REPORT = (
    1_048_576  # octets looked at; what is beyond is as if it were not there. A report has 2 to 100 kB
)
MAX_DEPTH = 5  # multiparts and messages inside one another; a report has 2, in a list's wrapping 3
MAX_PARTS = 50  # of all depths together; a report has 3
MAX_HEADER = 65_536  # octets of one header
MAX_RECIPIENTS = 200  # blocks in one report; we send to 100 at once
MAX_FIELD = 500  # characters kept of a diagnostic text (docs, "Limits")


class Action(Enum):
    """What became of it (RFC 3464 2.3.3)."""

    FAILED = "failed"  # will not arrive; with a status of 4.x.x: given up in the end
    DELAYED = "delayed"  # still being tried
    DELIVERED = "delivered"  # in the mailbox
    RELAYED = "relayed"  # handed to a server that reports no success
    EXPANDED = "expanded"  # handed to several others


class RecipientReport(Struct, frozen=True, kw_only=True):
    """What is said about one recipient; addresses are as reported and may be anything printable.

    *status*: ``x.y.z`` or empty. *diagnostic*: with its type, ``smtp; 550 5.1.1 …``.
    """

    final: str
    action: Action
    status: str = ""
    original: str | None = None
    diagnostic: str = ""
    remote: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """One notification. *message_id*: of the message it brings back, if it does."""

    recipients: tuple[RecipientReport, ...]
    envid: str | None = None
    reporter: str = ""
    message_id: str | None = None


# Reading


def read(data: bytes) -> Report | None:
    """The report in the message *data*, with LF or CR LF; None if it is none."""
    data = data[:MAX_REPORT].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    blocks: list[dict[str, str]] | None = None
    message_id: str | None = None
    inside = False
    for kind, report_type, body in _walk(data):
        if kind == "multipart/report" and report_type in ("delivery-status", ""):
            inside = True
        elif not inside:
            continue
        elif kind in ("message/delivery-status", "message/global-delivery-status") and blocks is None:
            blocks = list(_blocks(body))
        elif kind in _BROUGHT_BACK and message_id is None and blocks is not None:
            said = _fields(_header_of(body)[0]).get("message-id", "")
            message_id = said[:MAX_FIELD] or None
    if not blocks:
        return None
    if "action" in blocks[0]:  # some leave out the first block, which is about the message
        blocks = [{}, *blocks]
    first, rest = blocks[0], blocks[1:]
    recipients = tuple(one for block in rest[:MAX_RECIPIENTS] if (one := _recipient(block)))
    if not recipients:
        return None
    envid = first.get("original-envelope-id")
    return Report(
        recipients=recipients,
        envid=_clean(_unquoted(envid)) if envid else None,
        reporter=first.get("reporting-mta", "").partition(";")[2].strip()[:MAX_FIELD],
        message_id=message_id,
    )


_BROUGHT_BACK = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")


_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)


def _clean(text: str) -> str:
    return printable(text).strip()[:MAX_FIELD]


def _recipient(block: dict[str, str]) -> RecipientReport | None:
    try:
        action = Action(block.get("action", "").split(" ")[0].rstrip(";").lower())
    except ValueError:
        return None
    status = _STATUS.match(block.get("status", ""))
    final = _address(block.get("final-recipient"))
    original = _address(block.get("original-recipient"))
    return RecipientReport(
        final=final or "",
        action=action,
        status=status[0] if status else "",
        original=_unquoted(original) if original else None,
        diagnostic=block.get("diagnostic-code", "")[:MAX_FIELD],
        remote=block.get("remote-mta", "").partition(";")[2].strip()[:MAX_FIELD],
    )


def _address(field: str | None) -> str | None:
    if not field:
        return None
    kind, semicolon, address = field.partition(";")
    if not semicolon:
        kind, address = "", field
    address = address.strip().removeprefix("<").removesuffix(">")
    return _clean(un_utf8_xtext(address) if kind.strip().lower() == "utf-8" else address) or None


def _unquoted(said: str) -> str:
    # Some report as xtext what they got as xtext, some do not. Only what xtext makes of an address is undone:
    # the "+18" of pager+18@… is none of it.
    return re.sub(r"\+(2B|3D|20)", lambda found: chr(int(found[1], 16)), said)


def _blocks(body: bytes) -> Iterator[dict[str, str]]:
    for chunk in re.split(r"\n(?:[ \t]*\n)+", decoded(body).strip("\n")):
        if fields := _fields(chunk):
            yield fields


def _fields(header: str) -> dict[str, str]:
    """By name in lower case; folded lines are joined, and of two equal names the first counts."""
    fields: dict[str, str] = {}
    name = ""
    for line in header.split("\n"):
        if line[:1] in (" ", "\t"):
            if name and len(fields[name]) < 4 * MAX_FIELD:
                fields[name] = f"{fields[name]} {_clean(line)}".strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name or name in fields:
            name = ""
        else:
            fields[name] = printable(value).strip()[: 4 * MAX_FIELD]
    return fields


def _header_of(data: bytes) -> tuple[str, bytes]:
    if data.startswith(b"\n"):
        return "", data[1:]
    header, _, body = data.partition(b"\n\n")
    return decoded(header[:MAX_HEADER]), body


def _walk(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Type, report-type and decoded body of each part, outside before inside; bounded, never fails."""
    waiting = [(data, 0)]
    for _ in range(MAX_PARTS):
        if not waiting:
            return
        part, depth = waiting.pop(0)
        header, body = _header_of(part)
        fields = _fields(header)
        told = Message()
        told["Content-Type"] = fields.get("content-type") or "text/plain"
        kind = told.get_content_type()
        yield kind, _parameter(told, "report-type").lower(), _decoded(body, fields)
        if depth < MAX_DEPTH and kind.startswith("multipart/") and (mark := _parameter(told, "boundary")):
            inside = _split(body, mark)
            # The order of the document, so that what a report brings back comes after what it says.
            waiting[:0] = [(one, depth + 1) for one in inside]


def _parameter(told: Message, name: str) -> str:
    try:
        value = told.get_param(name, "")
    except (ValueError, IndexError, TypeError):  # the library gives up on some broken ones
        return ""
    return value if isinstance(value, str) else ""


def _split(body: bytes, boundary: str) -> list[bytes]:
    mark = re.escape(boundary[:200].encode(errors="replace"))
    parts: list[bytes] = []
    begin: int | None = None
    for found in re.finditer(rb"(?m)^--" + mark + rb"(--)?[ \t]*(?:\n|\Z)", body):
        if begin is not None:
            parts.append(body[begin : max(begin, found.start() - 1)])
        begin = found.end()
        if found[1] or len(parts) >= MAX_PARTS:
            return parts
    if begin is not None:  # cut short
        parts.append(body[begin:])
    return parts


def _decoded(body: bytes, fields: dict[str, str]) -> bytes:
    match fields.get("content-transfer-encoding", "").lower():
        case "quoted-printable":
            return a2b_qp(body).replace(b"\r\n", b"\n")
        case "base64":
            try:
                return b64decode(body).replace(b"\r\n", b"\n")
            except (NotBase64, ValueError):
                return b""
        case _:
            return body


# Writing, for simulated carriers


class Notice(Struct, frozen=True, kw_only=True):
    """A report to write. *header*: of the message it is about, as it was received; may be empty."""

    reporter: Domain
    to: Mailbox
    message_id: MessageId
    at: datetime
    recipients: tuple[tuple[Mailbox, Action, str, str], ...]  # final, action, status, diagnostic text
    original: tuple[Mailbox, ...] = ()  # in the same order, if the sender gave ORCPT
    envid: EnvelopeId | None = None
    header: bytes = b""

    def __post_init__(self) -> None:
        if not all(_STATUS.fullmatch(status) for _, _, status, _ in self.recipients):
            raise InvalidValue("status", "is not x.y.z")


def write(notice: Notice) -> Content:
    """The notification as postfix writes one; to be sent from ``<>``. ASCII addresses only."""
    mark = "=_" + re.sub("[^A-Za-z0-9]", "", notice.message_id)[:40]
    about = [f"Reporting-MTA: dns; {notice.reporter}"]
    if notice.envid:
        about.append(f"Original-Envelope-Id: {xtext(notice.envid)}")
    about.append(f"Arrival-Date: {format_datetime(notice.at)}")
    for i, (final, action, status, diagnostic) in enumerate(notice.recipients):
        about += ["", f"Final-Recipient: rfc822; {final}"]
        if i < len(notice.original):
            about.append(f"Original-Recipient: rfc822;{xtext(notice.original[i])}")
        about += [f"Action: {action.value}", f"Status: {status}"]
        if diagnostic:
            about.append(f"Diagnostic-Code: smtp; {_clean(diagnostic)}")
    head = [
        f"Date: {format_datetime(notice.at)}",
        f"From: MAILER-DAEMON@{notice.reporter}",
        f"To: {notice.to}",
        f"Message-ID: {notice.message_id}",
        "Subject: Delivery report",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{mark}"',
        "",
        f"--{mark}",
        "Content-Type: text/plain",
        "",
        "This is a report about a message you sent.",
        "",
        f"--{mark}",
        "Content-Type: message/delivery-status",
        "",
        *about,
        "",
        f"--{mark}",
        "Content-Type: text/rfc822-headers",
        "",
    ]
    returned = re.sub(rb"\r\n|\r|\n", b"\r\n", notice.header.rstrip())
    return Content("\r\n".join(head).encode() + b"\r\n" + returned + f"\r\n\r\n--{mark}--\r\n".encode())
