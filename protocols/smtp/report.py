"""Delivery status notifications (RFC 3464), read and written.

`read` is for whatever comes to the bounce address: it never fails, and what is no report is None. Which
message a report is about is told, in this order, by the address it came to, by its *envid*, by the
*message_id* of what it brings back; who was meant by *original* and *final*.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from enum import Enum

from msgspec import Struct

from protocols.smtp import mime
from protocols.smtp.codec import un_utf8_xtext, xtext
from protocols.smtp.messages import Content, Domain, EnvelopeId, InvalidValue, Mailbox, MessageId
from protocols.smtp.mime import MAX_FIELD, clean
from protocols.text import decoded

MAX_REPORT = 1_048_576  # octets looked at; the rest is as if it were not there. A report has 2 to 100 kB
LIMITS = mime.Limits(parts=50, depth=5)  # a report has 3 parts, 2 deep, and 3 in a list's wrapping
MAX_RECIPIENTS = 200  # blocks in one report; we send to 100 at once


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
    blocks: list[dict[str, str]] | None = None
    message_id: str | None = None
    for part in inside(data, "delivery-status"):
        if part.kind in ("message/delivery-status", "message/global-delivery-status") and blocks is None:
            blocks = list(_blocks(part.body()))
        elif blocks is not None:
            message_id = message_id or brought_back(part)
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
        envid=clean(_unquoted(envid)) if envid else None,
        reporter=first.get("reporting-mta", "").partition(";")[2].strip()[:MAX_FIELD],
        message_id=message_id,
    )


def inside(data: bytes, report_type: str) -> Iterator[mime.Part]:
    """What is inside of a multipart/report of that type, or of none, in *data*."""
    found = False
    for part in mime.walk(data[:MAX_REPORT], LIMITS):
        if isinstance(part, mime.Beyond):
            continue
        if part.kind == "multipart/report" and part.parameter("report-type").lower() in (report_type, ""):
            found = True
        elif found:
            yield part


def brought_back(part: mime.Part) -> str | None:
    """The Message-ID of a message that a report has as its last *part*."""
    if part.kind not in _BROUGHT_BACK:
        return None
    header = mime.split(part.body())[0][: mime.MAX_HEADER]
    return mime.fields(decoded(header)).get("message-id", "")[:MAX_FIELD] or None


_BROUGHT_BACK = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")


_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)


def _recipient(block: dict[str, str]) -> RecipientReport | None:
    try:
        action = Action(block.get("action", "").split(" ")[0].rstrip(";").lower())
    except ValueError:
        return None
    status = _STATUS.match(block.get("status", ""))
    final = address_in(block.get("final-recipient"))
    original = address_in(block.get("original-recipient"))
    return RecipientReport(
        final=final or "",
        action=action,
        status=status[0] if status else "",
        original=_unquoted(original) if original else None,
        diagnostic=block.get("diagnostic-code", "")[:MAX_FIELD],
        remote=block.get("remote-mta", "").partition(";")[2].strip()[:MAX_FIELD],
    )


def address_in(field: str | None) -> str | None:
    """The address in a field of the form ``type; address``, or without its type."""
    if not field:
        return None
    kind, semicolon, address = field.partition(";")
    if not semicolon:
        kind, address = "", field
    address = address.strip().removeprefix("<").removesuffix(">")
    return clean(un_utf8_xtext(address) if kind.strip().lower() == "utf-8" else address) or None


def _unquoted(said: str) -> str:
    # Some report as xtext what they got as xtext, some do not. Only what xtext makes of an address is undone:
    # the "+18" of pager+18@… is none of it.
    return re.sub(r"\+(2B|3D|20)", lambda found: chr(int(found[1], 16)), said)


def _blocks(body: bytes) -> Iterator[dict[str, str]]:
    for chunk in re.split(r"\n(?:[ \t]*\n)+", decoded(body).strip("\n")):
        if found := mime.fields(chunk):
            yield found


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
            about.append(f"Diagnostic-Code: smtp; {clean(diagnostic)}")
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
