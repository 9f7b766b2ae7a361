"""Disposition notifications (RFC 8098): what a reader's mail program says became of a message.

`read` is for whatever comes to the address that asked (`mail.Letter.tell_read`): it never fails, and what is
no notification is None. Displayed means that the text was on a screen before somebody, the most a mail can
prove; deleted, that it was thrown away without. A program sends none unless it wants to.
"""

import re
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from protocols.smtp import mime
from protocols.smtp.mime import MAX_FIELD, clean
from protocols.smtp.report import address_in, brought_back, inside
from protocols.text import decoded


class Disposition(Enum):
    """What became of it (RFC 8098 3.2.6.2)."""

    DISPLAYED = "displayed"  # shown to somebody
    DISPATCHED = "dispatched"  # sent on, printed, faxed; shown to nobody
    PROCESSED = "processed"  # by a rule; shown to nobody
    DELETED = "deleted"  # and perhaps never shown


class Mode(Enum):
    """Who did it: a person, or a program by itself."""

    MANUAL = "manual"
    AUTOMATIC = "automatic"


class Notification(Struct, frozen=True, kw_only=True):
    """One notification. Texts and addresses are as reported and may be anything printable.

    *message_id*: of our message, as named, or else of the message brought back. *action*, *sending*: who
    caused the disposition, and who the notification; None where it is not said. *modifiers*: ``error`` and
    others. *error*: what went wrong, if anything did.
    """

    disposition: Disposition
    message_id: str | None = None
    final: str = ""
    original: str | None = None
    action: Mode | None = None
    sending: Mode | None = None
    modifiers: tuple[str, ...] = ()
    error: str = ""
    agent: str = ""


_DISPOSITION = re.compile(
    r"(?:(manual|automatic)-action */ *mdn-sent-(manual|automatic)(?:ly|ally)? *; *)?"
    r"(displayed|dispatched|processed|deleted) *(?:[/;] *([a-z0-9, -]*))?",
    re.ASCII | re.IGNORECASE,
)


def read(data: bytes) -> Notification | None:
    """The notification in the message *data*, with LF or CR LF; None if it is none."""
    notification: Notification | None = None
    message_id: str | None = None
    for part in inside(data, "disposition-notification"):
        if part.kind in _KINDS and notification is None:
            notification = _notification(mime.fields(decoded(part.body()).lstrip("\n")))
            if notification is None or notification.message_id:
                return notification
        elif notification:
            message_id = message_id or brought_back(part)
    if notification is None or message_id is None:
        return notification
    return replace(notification, message_id=message_id)


_KINDS = ("message/disposition-notification", "message/global-disposition-notification")


def _notification(fields: dict[str, str]) -> Notification | None:
    said = re.sub(r"\([^()]*\)", " ", fields.get("disposition", ""))
    found = _DISPOSITION.fullmatch(" ".join(said.split()))
    if not found:
        return None
    action, sending, disposition, modifiers = found.groups()
    words = (word.strip().lower() for word in (modifiers or "").split(","))
    return Notification(
        disposition=Disposition(disposition.lower()),
        message_id=fields.get("original-message-id", "")[:MAX_FIELD] or None,
        final=address_in(fields.get("final-recipient")) or "",
        original=address_in(fields.get("original-recipient")),
        action=Mode(action.lower()) if action else None,
        sending=Mode(sending.lower()) if sending else None,
        modifiers=tuple(word for word in words if word),
        error=clean(fields.get("error") or fields.get("failure") or fields.get("warning") or ""),
        agent=clean(fields.get("reporting-ua", "")),
    )
