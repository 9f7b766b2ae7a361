"""The JSON shapes of all answers. v1 only gains fields.

Instants are RFC 3339 in UTC (``2026-11-21T02:15:09Z``; milliseconds in timelines); sentences show times in
the site's zone. Fields that hold nothing are ``null`` and not left out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.api.ports import NotReady

Class = Literal["critical", "urgent", "normal", "bulk"]
LevelToken = Literal["stored", "handed_over", "in_progress", "on_device", "read", "acknowledged"]
OutcomeToken = Literal["confirmed", "unanswered", "failed", "expired", "cancelled"]
DeliveryToken = Literal[
    "waiting",
    "kept_quiet",
    "paused",
    "begun",
    "doubt",
    "needs_decision",
    "taken",
    "failed",
    "expired",
    "cancelled",
]
Time = Annotated[str, Meta(description="RFC 3339, UTC.", extra_json_schema={"format": "date-time"})]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What all answers are."""


# ------------------------------------------------------------------ submitting


class PlanStep(Answer, frozen=True, kw_only=True):
    at: Time
    to: Annotated[str, Meta(description="Person, or address.")]
    devices: tuple[str, ...]
    why: str


class Note(Answer, frozen=True, kw_only=True):
    code: str
    detail: str


class PageShown(Answer, frozen=True, kw_only=True):
    """What would go out over one way: a text, or one for each part of it."""

    link: str
    texts: tuple[str, ...]
    cut: Annotated[bool, Meta(description="Characters of the text are missing.")]
    replaced: Annotated[int, Meta(description="Characters that the device cannot show and that are lost.")]


class Submitted(Answer, frozen=True, kw_only=True):
    """The answer to a message: it is on stable storage (unless it was a dry run)."""

    id: Annotated[str | None, Meta(description="null for a dry run.")]
    ref: Annotated[str | None, Meta(description="Four characters; only if it can be acknowledged.")]
    state: Literal["open", "ended"]
    outcome: OutcomeToken | None
    level: LevelToken
    durability: Literal["disk", "replicated", "unsafe"]
    says: str
    message_class: Class = msgspec.field(name="class")
    until: LevelToken
    expires_at: Time | None
    url: str | None
    console: str | None = None
    plan: tuple[PlanStep, ...]
    warnings: tuple[Note, ...]
    pages: Annotated[
        tuple[PageShown, ...],
        Meta(description="Of a dry run: what each way would show, but for the reference."),
    ] = ()


class BatchResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one message of a batch: an ``id``, or a ``problem``. Fields that do not apply are left
    out. *index* counts from 0."""

    index: int
    id: str | None = None
    ref: str | None = None
    replay: Annotated[bool, Meta(description="It had been stored before, under the same key.")] = False
    warnings: tuple[Note, ...] = ()
    problem: Problem | None = None


class BatchAnswer(Answer, frozen=True, kw_only=True):
    """The answer to a batch, in the order of the request."""

    accepted: int
    refused: int
    results: tuple[BatchResult, ...]


# ------------------------------------------------------------------ standing


class Progress(Answer, frozen=True, kw_only=True):
    """How many people were paged so far, each counted once, by how far it is known to have got for them."""

    people: int
    stored: int
    handed_over: int
    on_device: int
    acknowledged: int


class Next(Answer, frozen=True, kw_only=True):
    at: Time
    does: Annotated[str, Meta(description="`page bob`, `try again`, `look again`.")]
    why: str


class DeliveryStanding(Answer, frozen=True, kw_only=True):
    id: Annotated[str, Meta(description="`d0`, `d1` … in order of opening.")]
    person: str | None
    device: str | None
    link: str
    state: DeliveryToken
    level: LevelToken
    ceiling: Annotated[LevelToken | None, Meta(description="The most that this way out can ever prove.")]
    tries: int
    connects: int
    doubts: int
    due_at: Time | None
    second_copy: Annotated[bool, Meta(description="What goes out next may be a second copy.")]
    code: str | None
    setback: str | None
    says: str


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the story. Fields that do not apply are left out."""

    n: int
    at: Time
    what: str
    delivery: str | None = None
    link: str | None = None
    outcome: str | None = None
    level: LevelToken | None = None
    code: str | None = None
    by: str | None = None
    says: str


class Standing(Answer, frozen=True, kw_only=True):
    """A message in a list, or without its timeline."""

    id: str
    ref: str | None
    state: Literal["open", "ended"]
    outcome: OutcomeToken | None
    level: LevelToken
    accepted_by: Annotated[str | None, Meta(description="The person who has it.")]
    accepted_at: Time | None
    says: str
    sender: Annotated[str, Meta(description="Who submitted it.")] = msgspec.field(name="from")
    to: tuple[str, ...]
    text: Annotated[str | None, Meta(description="null once it was forgotten.")]
    message_class: Class = msgspec.field(name="class")
    until: LevelToken
    incident: str | None
    at: Time
    expires_at: Time | None
    url: str
    progress: Progress
    next: Next | None


class Status(Standing, frozen=True, kw_only=True):
    """Everything that is known about a message."""

    deliveries: tuple[DeliveryStanding, ...]
    timeline: tuple[TimelineEntry, ...]


class Messages(Answer, frozen=True, kw_only=True):
    """Newest first. *next* is the value of ``before`` for the next page, null at the end."""

    messages: tuple[Standing, ...]
    next: str | None


class Events(Answer, frozen=True, kw_only=True):
    events: tuple[TimelineEntry, ...]


class Done(Answer, frozen=True, kw_only=True):
    """The answer to every verb: how many pages it changed (0: nothing was left to do), in a sentence, and
    where the message stands now."""

    changed: int
    says: str
    message: Status


class Incident(Answer, frozen=True, kw_only=True):
    """All that was sent for one trouble. It is found by *key*, the sender's own name for it, and by the id
    or reference of any of its messages; *id* is the first one's, *says* and *until* those of the message
    whose plan is followed (the first, or the first of a higher class)."""

    id: str
    key: str | None
    state: Literal["open", "ended"]
    outcome: OutcomeToken | None
    level: LevelToken
    accepted_by: Annotated[str | None, Meta(description="The person who has it.")]
    accepted_at: Time | None
    muted_until: Annotated[Time | None, Meta(description="Nobody else is paged before.")]
    says: str
    sender: str = msgspec.field(name="from")
    message_class: Class = msgspec.field(name="class")
    until: LevelToken
    at: Annotated[Time, Meta(description="When it began.")]
    ended_at: Time | None
    next: Next | None
    count: Annotated[int, Meta(description="How many messages it has.")]
    messages: Annotated[tuple[Standing, ...], Meta(description="Newest first, at most 50.")]


class IncidentDone(Answer, frozen=True, kw_only=True):
    """The answer to every verb on an incident; *changed* is 0 if nothing was left to do."""

    changed: int
    says: str
    incident: Incident


class StoryLine(Answer, frozen=True, kw_only=True):
    at: Time
    says: str
    transcript: Annotated[
        tuple[str, ...] | None,
        Meta(description="What was said in a failed try; see `/v1/links/…/transcript`."),
    ] = None


class Why(Answer, frozen=True, kw_only=True):
    """The story of a message in sentences, oldest first, then how it stands and what comes next."""

    id: str
    ref: str | None
    story: tuple[StoryLine, ...]
    now: tuple[str, ...]


# ------------------------------------------------------------------ looking round


class Whoami(Answer, frozen=True, kw_only=True):
    client: str
    administrator: bool
    may_page: tuple[str, ...]
    classes: tuple[Class, ...]
    rate: Annotated[str | None, Meta(description="`60/min`; null: not limited.")]
    left: Annotated[int | None, Meta(description="How many at this moment; null: not limited.")]


class WebhookTested(Answer, frozen=True, kw_only=True):
    """What came of a ``webhook.test``."""

    client: str
    id: Annotated[str, Meta(description="The `webhook-id` that it had.")]
    told: Annotated[bool, Meta(description="The receiver answered with a 2xx status.")]
    status: Annotated[int | None, Meta(description="What it answered; null: nothing.")]
    seconds: float
    says: str


class Target(Answer, frozen=True, kw_only=True):
    name: str
    kind: Literal["person", "group", "carrier", "address"]
    says: Annotated[str, Meta(description="The name as people say it.")]


class Targets(Answer, frozen=True, kw_only=True):
    """In order of name, at most 200; *more* if there are others: ask with a longer ``q``."""

    targets: tuple[Target, ...]
    more: bool


class Live(Answer, frozen=True, kw_only=True):
    live: Literal[True] = True


class Ready(Answer, frozen=True, kw_only=True):
    """No details: anybody may ask."""

    ready: bool
    reasons: tuple[NotReady, ...]


class HealthAnswer(Answer, frozen=True, kw_only=True):
    ready: Annotated[bool, Meta(description="Whether new messages are taken.")]
    codes: Annotated[tuple[NotReady, ...], Meta(description="The reasons of `/readyz`.")] = ()
    reasons: tuple[str, ...]
    version: str
    generation: Annotated[int, Meta(description="Counts the settings that were loaded.")]
    durability: Literal["disk", "replicated", "unsafe"]
    started_at: Time
    up_seconds: int
    backlog: Annotated[int, Meta(description="Pages that are not finished.")]


# ------------------------------------------------------------------ administrators


class Breaker(Answer, frozen=True, kw_only=True):
    failures: int
    until: Time


class Failure(Answer, frozen=True, kw_only=True):
    at: Annotated[Time, Meta(description="Since when it has not worked.")]
    says: str
    times: Annotated[int, Meta(description="How many failures in a row were counted.")]


class Link(Answer, frozen=True, kw_only=True):
    link: str
    adapter: str
    carrier: str
    path: str
    ceiling: LevelToken
    mode: Literal["open", "suspended", "draining"]
    by: str | None
    why: str | None
    state: Literal["working", "idle", "resting", "maintenance", "suspended", "draining", "down"]
    breaker: Breaker | None
    maintenance_until: Time | None = None
    sessions: int
    waiting: Annotated[dict[str, int], Meta(description="How many pages wait for it, by class.")]
    oldest_at: Time | None
    last_taken_at: Time | None
    last_failure: Failure | None
    says: str


class Line(Answer, frozen=True, kw_only=True):
    """A modem line."""

    line: str
    pool: str
    state: Literal["ready", "in_use", "failing"]
    since: Annotated[Time | None, Meta(description="Since when it fails.")] = None
    times: Annotated[int, Meta(description="How many calls in a row failed because of it.")] = 0
    moved: Annotated[int, Meta(description="Calls that went by another line of its pool meanwhile.")] = 0
    says: str


class DownPath(Answer, frozen=True, kw_only=True):
    """A path by which no link gets out."""

    path: str
    since: Time
    says: str


class Links(Answer, frozen=True, kw_only=True):
    """Links and lines in file order."""

    links: tuple[Link, ...]
    lines: tuple[Line, ...] = ()
    down: Annotated[tuple[DownPath, ...], Meta(description="Paths by which no link gets out.")] = ()


class CutPath(Answer, frozen=True, kw_only=True):
    """A path of a demo."""

    path: Literal["internet", "phone", "lan", "cell"]
    cut: bool
    until: Annotated[Time | None, Meta(description="When it mends itself; null: it does not.")]
    links: Annotated[tuple[str, ...], Meta(description="The links that use the path.")]
    says: str


class Probed(Answer, frozen=True, kw_only=True):
    link: str
    reached: bool
    says: str
    capabilities: dict[str, str]


class LinkTranscript(Answer, frozen=True, kw_only=True):
    """The last dialogues, oldest first: when a turn began, `>` ours or `<` theirs, and what was said. Texts
    are shown by length and hash, secrets not at all, numbers masked."""

    link: str
    lines: tuple[str, ...]


class StuckItem(Answer, frozen=True, kw_only=True):
    """One thing that needs somebody, and the commands that would help."""

    what: Annotated[
        str, Meta(description="Reference or id of a message, or the name of a link, modem line or path.")
    ]
    kind: Annotated[
        Literal["message", "path", "link", "line"], Meta(description="There may be more kinds one day.")
    ]
    message_class: Class | None = msgspec.field(name="class")
    since: Time | None
    times: Annotated[int | None, Meta(description="How often in a row it failed.")] = None
    says: Annotated[str, Meta(description="What is wrong.")]
    does: Annotated[str | None, Meta(description="What the gateway does about it by itself.")] = None
    advice: Annotated[str | None, Meta(description="What to do that is no command.")] = None
    commands: tuple[str, ...]


class WaitingItem(Answer, frozen=True, kw_only=True):
    """Something that waits and is not stuck."""

    count: int
    says: str


class Stuck(Answer, frozen=True, kw_only=True):
    """What needs somebody, worst first; and what waits by itself."""

    at: Time
    zone: str
    says: str
    needs_you: tuple[StuckItem, ...]
    waiting: tuple[WaitingItem, ...]


class Reloaded(Answer, frozen=True, kw_only=True):
    generation: int
    warnings: tuple[str, ...]
    says: str


class ExplainedLeg(Answer, frozen=True, kw_only=True):
    at: Time
    person: str | None
    device: str | None
    address: str
    link: str
    why: str
    says: str


class Explained(Answer, frozen=True, kw_only=True):
    target: str
    message_class: Class = msgspec.field(name="class")
    at: Time
    plan: tuple[ExplainedLeg, ...]


# ------------------------------------------------------------------ errors


class ProblemFault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong. *pointer* is a JSON pointer into the body (``#/to/0``), ``?name`` for a
    query parameter or the name of a header."""

    pointer: str
    code: str
    detail: str
    given: str | None = None
    try_: tuple[str, ...] = msgspec.field(default=(), name="try")
    line: int | None = None
    column: int | None = None


class Problem(Answer, frozen=True, kw_only=True):
    """An error, as RFC 9457 says; sent as ``application/problem+json``.

    *retry* is whether the same request may succeed later. *stored* is false: nothing was stored or
    changed; null where that cannot be known (the disk failed): send the same Idempotency-Key again.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[ProblemFault, ...]
    retry: bool
    stored: Literal[False] | None
    request_id: str


class BatchProblem(Problem, frozen=True, kw_only=True):
    """Why nothing of a batch was stored; *results* are of the messages that were refused."""

    results: tuple[BatchResult, ...]


class ProblemKind(Answer, frozen=True, kw_only=True):
    """What a code of a problem means."""

    type: str
    title: str
    status: int
    code: str
    means: str
    retry: bool


Document = dict[str, Any]
