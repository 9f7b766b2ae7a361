"""The JSON shapes of what callers send. Every body is checked strictly: unknown fields are refused.

Bounds that no setting moves stand here. They are ours: no standard names any.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_MESSAGES = 1000  # of a batch
MAX_TARGET = 255
MAX_INCIDENT = 255
MAX_CALLBACK = 64
MAX_URLS = 10
MAX_URL_TEXT = 100
MAX_HREF = 2048
MAX_REPLIES = 10
MAX_REPLY = 40
MAX_LABELS = 32
MAX_LABEL_NAME = 64
MAX_LABEL = 255
MAX_NAME = 100
MAX_NOTE = 1000


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all bodies are."""


class UrlBody(Body, frozen=True, kw_only=True):
    text: str
    href: Annotated[str, Meta(description="`https://` or `http://`; shown, never fetched.")]


class MessageBody(Body, frozen=True, kw_only=True):
    """A message. Only `to` and `text` are required."""

    to: Annotated[
        str | list[str],
        Meta(description="Person, group, rota, escalation or `carrier:address`; or several."),
    ]
    text: Annotated[str, Meta(description="What pagers show. New lines are kept.")]
    callback: Annotated[str | None, Meta(description="Number to call; all that a numeric pager gets.")] = None
    message_class: Annotated[
        Literal["critical", "urgent", "normal", "bulk"] | None,
        Meta(description="How much it matters; `normal` if not given, or the least urgent of yours."),
    ] = msgspec.field(default=None, name="class")
    until: Annotated[
        Literal["handed_over", "in_progress", "on_device", "read", "acknowledged"] | None,
        Meta(description="How far it must get to be done; by class and target if not given."),
    ] = None
    expires_in: Annotated[
        str | int | float | None, Meta(description='`"20m"` or seconds: then it is no longer worth having.')
    ] = None
    not_before: Annotated[str | None, Meta(description="RFC 3339 with zone: not sent earlier.")] = None
    incident: Annotated[
        str | None, Meta(description="Your name for the trouble: a repeat on an open one adds to it.")
    ] = None
    details: Annotated[str | None, Meta(description="For devices with room.")] = None
    urls: Annotated[list[UrlBody], Meta(description="For devices that can open them.")] = []
    replies: Annotated[list[str], Meta(description="Answers to choose from.")] = []
    labels: Annotated[dict[str, str], Meta(description="Yours; shown to operators.")] = {}


class ItemBody(MessageBody, frozen=True, kw_only=True):
    """A message of a batch."""

    key: Annotated[str, Meta(description="Its Idempotency-Key: 1 to 255 printable ASCII characters.")]


class BatchBody(Body, frozen=True, kw_only=True):
    """Many messages. Each is taken or refused on its own."""

    messages: Annotated[list[ItemBody], Meta(min_length=1, max_length=MAX_MESSAGES)]


class AcknowledgeBody(Body, frozen=True, kw_only=True):
    by: Annotated[str | None, Meta(description="The person who has it. A program must name one.")] = None
    note: str | None = None
    recorded_by: Annotated[str | None, Meta(description="Who wrote it down, if somebody else.")] = None


class ResolveBody(Body, frozen=True, kw_only=True):
    by: Annotated[str | None, Meta(description="The person who says so; the sender itself if not given.")] = (
        None
    )
    why: str | None = None


class MuteBody(Body, frozen=True, kw_only=True):
    for_: Annotated[
        str | int | float, Meta(description='`"30m"` or seconds, at most 24 h; 0: not muted any more.')
    ] = msgspec.field(name="for")
    by: Annotated[str | None, Meta(description="The person who wants it. A program must name one.")] = None
    even_critical: Annotated[bool, Meta(description="Needed for what is critical.")] = False


class CancelBody(Body, frozen=True, kw_only=True):
    why: str | None = None


class DecideBody(Body, frozen=True, kw_only=True):
    again: Annotated[bool, Meta(description="true: send again (may come twice); false: leave it.")]


class LinkOrder(Body, frozen=True, kw_only=True):
    why: str | None = None


class MendBody(Body, frozen=True, kw_only=True):
    path: Literal["internet", "phone", "lan", "cell"]


class CutBody(MendBody, frozen=True, kw_only=True):
    for_: Annotated[
        str | int | float | None,
        Meta(description='`"60s"` or seconds, at most 24 h; null: until it is mended.'),
    ] = msgspec.field(default=None, name="for")
    refuse: Annotated[bool, Meta(description="New connections fail at once instead of hanging.")] = False


class WebhookTestBody(Body, frozen=True, kw_only=True):
    client: Annotated[
        str | None, Meta(description="Whose webhook; your own if not given. For administrators.")
    ] = None


class NothingBody(Body, frozen=True, kw_only=True):
    """No fields: an empty body or ``{}``."""


# ---------------------------------------------------------------- query parameters


class NoQuery(Body, frozen=True, kw_only=True):
    """None are known."""


class SubmitQuery(Body, frozen=True, kw_only=True):
    dry_run: Annotated[bool, Meta(description="Answer as if, and store nothing.")] = False


class BatchQuery(Body, frozen=True, kw_only=True):
    all_or_nothing: Annotated[
        bool, Meta(description="Look at all first; if one would be refused, store none.")
    ] = False


class StatusQuery(Body, frozen=True, kw_only=True):
    wait: Annotated[
        float, Meta(ge=0, le=60, description="Seconds to wait for `until`, or for the end without it.")
    ] = 0.0
    until: Annotated[
        Literal["handed_over", "in_progress", "on_device", "read", "acknowledged"] | None,
        Meta(description="How far it must have got for the answer to come earlier."),
    ] = None


class EventsQuery(Body, frozen=True, kw_only=True):
    after: Annotated[int, Meta(ge=0, description="Only events with a greater `n`.")] = 0


class ListQuery(Body, frozen=True, kw_only=True):
    state: Annotated[Literal["open", "needs_you", "ended", "all"], Meta(description="Which messages.")] = (
        "open"
    )
    limit: Annotated[int, Meta(ge=1, le=200, description="How many at most.")] = 50
    before: Annotated[str | None, Meta(description="`next` of the page before.")] = None


class TargetsQuery(Body, frozen=True, kw_only=True):
    q: Annotated[str, Meta(max_length=100, description="Part of a name.")] = ""


class ExplainQuery(Body, frozen=True, kw_only=True):
    target: Annotated[str, Meta(max_length=MAX_TARGET, description="A name, or `carrier:address`.")]
    message_class: Annotated[
        Literal["critical", "urgent", "normal", "bulk"], Meta(description="How much it matters.")
    ] = msgspec.field(default="normal", name="class")
    at: Annotated[str | None, Meta(description="RFC 3339 with zone; now if not given.")] = None
