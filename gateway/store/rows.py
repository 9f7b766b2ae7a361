"""Rows as both engines know them, and everything that can be said about them without a store.

The folds of delivery semantics 1.1 and 3 live here once, pure: how a message ended, how far it got, what a
set of receipts proves. ``units`` changes these rows; the engines keep them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from gateway.adapters.base import Evidence
from gateway.env import BASE32
from gateway.errors import Conflict
from gateway.lifecycle import FINAL, OPEN, Happening, State, after
from gateway.model import (
    Content,
    DeliveryKey,
    IncidentKey,
    Instant,
    Leg,
    LinkName,
    MessageClass,
    MessageKey,
    NoticeKind,
    PublicId,
    Ref,
    later,
)
from gateway.outcome import Level
from gateway.store.base import (
    Begun,
    DeliveryRow,
    Ending,
    EventRow,
    Facts,
    IncidentRow,
    LegFacts,
    MessageRow,
    PartsTaken,
    Then,
)

IDEMPOTENCY_KEPT = 72 * 3600.0  # s, delivery semantics 7
SOON = 60.0  # s: what is due so soon waits for its turn or its next try, not for a time that somebody chose
MANY = 100  # more expiries than this in one unit leave one summary instead of an event each
MISSED = "missed"  # the reason of what waits because its link could not be opened
NOBODY = MessageKey(0)  # the subject of events that belong to no message


class Message(msgspec.Struct, kw_only=True):
    """A message's row. *ending* is its own only if it was cancelled alone out of an incident."""

    key: MessageKey
    public_id: PublicId
    client: str
    to: tuple[str, ...]
    content: bytes | None
    message_class: MessageClass
    until: Level
    at: Instant
    expires: Instant | None = None
    incident: IncidentKey | None = None
    ref: Ref | None = None
    ref_held: bool = False
    accepted_by: str | None = None
    accepted_at: Instant | None = None
    ending: Ending | None = None


class Delivery(msgspec.Struct, kw_only=True):
    """A delivery's row. *due* None: not before somebody says so. *stop*: it was to be stopped while it was
    begun, so that what follows its attempt is the end. *policy* settles its doubt."""

    key: DeliveryKey
    message: MessageKey
    incident: IncidentKey | None
    link: LinkName
    message_class: MessageClass
    state: State = State.WAITING
    leg: int
    last: bool = True
    copies_before: int = 0
    person: str | None
    device: str | None
    address: str
    due: Instant | None
    deadline: Instant
    level: Level = Level.STORED
    tries: int = 0
    connects: int = 0
    doubts: int = 0
    dup_risk: bool = False
    possibly_sent: bool = False
    stop: bool = False
    fence: int = 0
    begun_at: Instant | None = None
    correlation: str | None = None
    policy: Then | None = None
    reason: str | None = None
    code: str | None = None
    why: str | None = None
    setback: str | None = None
    opened_at: Instant
    changed_at: Instant
    checksum: int
    parts: PartsTaken | None = None


class Incident(msgspec.Struct, kw_only=True):
    """A pursuit's row. *message* is the one whose plan is followed."""

    key: IncidentKey
    client: str
    dedup: str | None
    message: MessageKey
    message_class: MessageClass
    plan: tuple[Leg, ...]
    due: Instant | None
    begun_at: Instant
    step_started: Instant
    version: int = 1
    ending: Ending | None = None
    ended_at: Instant | None = None
    accepted_by: str | None = None
    accepted_at: Instant | None = None
    muted_until: Instant | None = None


class Receipt(msgspec.Struct, kw_only=True):
    """A piece of evidence on record. *pending*: it waits for the submit it belongs to."""

    evidence: Evidence
    link: LinkName
    at: Instant
    delivery: DeliveryKey | None = None
    message: MessageKey | None = None
    pending: bool = True


class Notice(msgspec.Struct, kw_only=True):
    """A notice's row. *due* None while it waits: an earlier one of the same message does too."""

    key: int
    message: MessageKey
    client: str
    n: int
    seq: int
    kind: NoticeKind
    at: Instant
    state: Literal[0, 1, 2] = 0
    due: Instant | None
    tries: int = 0
    tried: Instant | None = None


class Noted(msgspec.Struct, frozen=True):
    """An event from which a notice may follow."""

    subject: MessageKey
    n: int
    at: Instant
    kind: str
    data: dict[str, Any]


# ---------------------------------------------------------------- the life of one row


def moved(row: Delivery, happening: Happening, at: Instant) -> None:
    """Change *row* as *happening* does; raises ImpossibleMove and changes nothing if it may not.

    What left doubt without proof stays *possibly_sent*; a final row has no due time.
    """
    state = after(row.state, happening)
    if happening in (Happening.RESEND, Happening.DECIDED_AGAIN):
        row.dup_risk = True
    if state is State.TAKEN:
        row.possibly_sent = False
    elif row.state in (State.DOUBT, State.HELD) or row.dup_risk:
        row.possibly_sent = True
    if state in FINAL or state is State.HELD:
        row.due = None
    if state is not State.DOUBT:
        row.policy = None
    row.state = state
    row.changed_at = at


SETTLED_BY: dict[Then, Happening] = {
    "resend": Happening.RESEND,
    "assume": Happening.ASSUME,
    "hold": Happening.HOLD,
    "quarantine": Happening.QUARANTINED,
}
"""What a doubt's policy does when its time has come."""


# ---------------------------------------------------------------- ids


def correlation(public_id: PublicId, delivery: DeliveryKey) -> str:
    """Our own name for a delivery towards carriers: 40 bit of the public id's chance, then the key.

    Nobody can guess it, and it leads back to its row without an index.
    """
    return f"{public_id[-8:]}-{delivery:x}"


def delivery_of(name: str) -> tuple[DeliveryKey, int] | None:
    """The key within a name that ``correlation`` may have made, and which part it is of (model.of_part); None
    for anything else."""
    found = _CORRELATION.fullmatch(name.lower())
    return None if found is None else (DeliveryKey(int(found[1], 16)), int(found[2] or 1))


_CORRELATION = re.compile(rf"[{BASE32}]{{8}}-([0-9a-f]{{1,15}})(?:-([2-9]))?", re.ASCII)


# ---------------------------------------------------------------- folds


def ending_of(message: Message, incident: Incident | None, deliveries: Sequence[Delivery]) -> Ending | None:
    """How a message ended (delivery semantics 1.1), None while it is open.

    With an incident it is the incident's. Without: a person's yes ends it; then open while any delivery
    is; confirmed if its level was reached; unanswered if carriers took it and it was not; else the best
    of failed, expired, cancelled.
    """
    if message.ending is not None:
        return message.ending
    if incident is not None:
        return incident.ending
    if message.accepted_by is not None:
        return "confirmed"
    states = {row.state for row in deliveries}
    if states & OPEN:
        return None
    if level_of(message, incident, deliveries) >= message.until:
        return "confirmed"
    if State.TAKEN in states:  # taken without proof of a level: assumed
        return "confirmed" if message.until <= Level.HANDED_OVER else "unanswered"
    if State.FAILED in states:
        return "failed"
    return "expired" if State.EXPIRED in states else "cancelled"


def ended_at(message: Message, incident: Incident | None, deliveries: Sequence[Delivery]) -> Instant | None:
    """When it ended, None while it is open or something of it is still under way."""
    if ending_of(message, incident, deliveries) is None or any(row.state in OPEN for row in deliveries):
        return None
    ends = [row.changed_at for row in deliveries]
    ends += [message.accepted_at] if message.accepted_at is not None else []
    ends += [incident.ended_at] if incident is not None and incident.ended_at is not None else []
    return max(ends, default=message.at)


def level_of(message: Message, incident: Incident | None, deliveries: Iterable[Delivery]) -> Level:
    """How far we know a message got."""
    if message.accepted_by is not None or (incident is not None and incident.accepted_by is not None):
        return Level.ACKNOWLEDGED
    return max((row.level for row in deliveries), default=Level.STORED)


def proven(parts: Iterable[tuple[int, Level]]) -> Level:
    """What receipts prove of a page that went out in parts: the lowest part, each by its best copy."""
    best: dict[int, Level] = {}
    for part, level in parts:
        best[part] = max(level, best.get(part, Level.STORED))
    return min(best.values(), default=Level.STORED)


def reply_of(message: Message, evidence: Evidence) -> str:
    """A person's answer in words: one of the page's own replies if its number or just its words came, while
    they are kept."""
    offered = () if message.content is None else decoded(message.content).replies
    said = evidence.reply or ""
    if evidence.choice is not None and 1 <= evidence.choice <= len(offered):
        return offered[evidence.choice - 1]
    return next((one for one in offered if one.strip().casefold() == said.strip().casefold()), said)


def accepts(reply: str, words: Iterable[str]) -> bool:
    """Whether *reply*, or its first word, is one of *words*; case and a stop behind do not matter. A question
    accepts nothing."""
    said = reply.casefold().split()
    wanted = {" ".join(word.casefold().split()) for word in words}
    return bool(said) and bool({" ".join(said).rstrip(".,!"), said[0].rstrip(".,!")} & wanted)


ENDINGS = frozenset(
    {"attempt", "cancelled", "decided", "doubt_settled", "expired", "late_proof", "quarantined", "stopped"}
)
"""Kinds of events by which a message without an incident may end; one with an incident has ``ended``."""

TELLING = ENDINGS | {"acknowledged", "ended", "level", "setback"}
"""Kinds of events that a notice may follow from."""


def news_of(event: Noted, ending: Ending | None) -> tuple[NoticeKind, ...]:
    """What *event* means to the message's client, what says most first; *ending* is how the message ended
    by it, if it has none of its own that says so."""
    found: tuple[NoticeKind, ...] = ()
    level = event.data.get("level")
    match event.kind:
        case "ended":
            found = (event.data["ending"],)
        case "acknowledged" | "setback":
            found = (event.kind,)
        case "attempt" if event.data.get("outcome") == "taken":
            found = _CLIMBED.get(level or "handed_over", ("handed_over",))
        case "late_proof":
            found = ("handed_over",)
        case "level":
            reached = _CLIMBED.get(level or "", ())
            found = tuple(one for one in reached if one in (level, "on_device", "read"))
        case "doubt_settled" if event.data.get("then") == "hold":
            found = ("needs_decision",)
        case _:
            pass
    return found if ending is None else (*found, ending)


_CLIMBED: dict[str, tuple[NoticeKind, ...]] = {
    "handed_over": ("handed_over",),
    "in_progress": ("handed_over",),
    "on_device": ("on_device", "handed_over"),
    "read": ("read", "on_device", "handed_over"),
    "acknowledged": ("acknowledged", "read", "on_device", "handed_over"),
}
"""What a level means to somebody who asked for a lower one alone."""


def needs_you(message: Message, incident: Incident | None, deliveries: Sequence[Delivery]) -> bool:
    """Held, unanswered, or pursued past its first step without anybody having accepted."""
    if any(row.state is State.HELD for row in deliveries):
        return True
    ending = ending_of(message, incident, deliveries)
    if ending is not None:
        return ending == "unanswered"
    if incident is None or incident.message != message.key or message.until < Level.ACKNOWLEDGED:
        return False
    return any(row.leg < len(incident.plan) and incident.plan[row.leg].item > 0 for row in deliveries)


def facts_of(incident: Incident, message: Message, deliveries: Iterable[Delivery]) -> Facts:
    """What the next move of an incident depends on; *deliveries* are those of *message*, whose plan is
    followed."""
    return Facts(
        incident=incident.key,
        version=incident.version,
        message=message.key,
        public_id=message.public_id,
        client=incident.client,
        message_class=incident.message_class,
        until=message.until,
        plan=incident.plan,
        legs=tuple(
            LegFacts(
                delivery=row.key,
                message=row.message,
                leg=row.leg,
                link=row.link,
                state=row.state,
                level=row.level,
                opened_at=row.opened_at,
                concluded_at=row.changed_at if row.state in FINAL else None,
                failures=row.tries + row.connects,
                doubts=row.doubts,
                setback=row.setback is not None,
                possibly_sent=row.possibly_sent,
                due=row.due,
                deadline=row.deadline,
                connects=row.connects,
                reason=row.reason,
                code=row.code,
                partly=row.parts is not None and bool(row.parts.taken),
            )
            for row in sorted(deliveries, key=_key)
        ),
        begun_at=incident.begun_at,
        step_started=incident.step_started,
        expires=message.expires,
        accepted_by=incident.accepted_by,
        muted_until=incident.muted_until,
    )


def begun_of(row: Delivery, message: Message) -> Begun:
    """A begun delivery with all that an attempt needs."""
    assert message.content is not None
    assert row.correlation is not None
    assert row.begun_at is not None
    return Begun(
        delivery=row.key,
        message=row.message,
        incident=row.incident,
        public_id=message.public_id,
        ref=message.ref,
        client=message.client,
        content=decoded(message.content),
        message_class=row.message_class,
        person=row.person,
        device=row.device,
        address=row.address,
        link=row.link,
        correlation=row.correlation,
        tries=row.tries,
        connects=row.connects,
        doubts=row.doubts,
        dup_risk=row.dup_risk,
        opened_at=row.opened_at,
        begun_at=row.begun_at,
        deadline=row.deadline,
        last=row.last,
        copies_before=row.copies_before,
        parts=row.parts,
    )


def shown(
    message: Message, incident: Incident | None, deliveries: Sequence[Delivery], events: Sequence[EventRow]
) -> MessageRow:
    """A message as people are shown it; *deliveries* are its own."""
    return MessageRow(
        message=message.key,
        public_id=message.public_id,
        ref=message.ref,
        client=message.client,
        to=message.to,
        content=None if message.content is None else decoded(message.content),
        message_class=message.message_class,
        until=message.until,
        at=message.at,
        expires=message.expires,
        ending=ending_of(message, incident, deliveries),
        level=level_of(message, incident, deliveries),
        accepted_by=message.accepted_by or (incident.accepted_by if incident else None),
        accepted_at=message.accepted_at or (incident.accepted_at if incident else None),
        incident=message.incident,
        incident_key=incident.dedup if incident else None,
        incident_due=incident.due if incident else None,
        muted_until=incident.muted_until if incident else None,
        plan=incident.plan if incident else (),
        deliveries=tuple(
            DeliveryRow(
                delivery=row.key,
                leg=row.leg,
                person=row.person,
                device=row.device,
                address=row.address,
                link=row.link,
                state=row.state,
                level=row.level,
                due=row.due,
                deadline=row.deadline,
                tries=row.tries,
                connects=row.connects,
                doubts=row.doubts,
                dup_risk=row.dup_risk,
                reason=row.reason,
                code=row.code,
                why=row.why,
                setback=row.setback,
                opened_at=row.opened_at,
                changed_at=row.changed_at,
            )
            for row in sorted(deliveries, key=_key)
        ),
        timeline=tuple(events),
    )


def shown_incident(
    incident: Incident, first: PublicId, main: MessageRow, messages: Sequence[MessageRow], count: int
) -> IncidentRow:
    """A pursuit as people are shown it."""
    return IncidentRow(
        incident=incident.key,
        client=incident.client,
        key=incident.dedup,
        message_class=incident.message_class,
        begun_at=incident.begun_at,
        ending=incident.ending,
        ended_at=incident.ended_at,
        first=first,
        main=main,
        messages=tuple(messages),
        count=count,
    )


def the_one(found: Sequence[Incident]) -> Incident | None:
    """Of the open pursuits of one name, newest first, the one that is meant."""
    if len({row.client for row in found}) > 1:
        raise Conflict("several clients have one of that name; use the id of one of its messages")
    return found[0] if found else None


def first_event(message: Message) -> EventRow:
    """Event 1 of every message; implied by its row, so that accepting writes one row less."""
    data: dict[str, Any] = {"to": list(message.to), "class": message.message_class.token}
    return EventRow(n=1, at=message.at, kind="stored", delivery=None, data=data)


def young(at: Instant, now: Instant) -> bool:
    """Whether an idempotency key stored *at* still counts."""
    return now < later(at, IDEMPOTENCY_KEPT)


_CONTENT = msgspec.json.Decoder(Content)
_encode = msgspec.json.Encoder().encode


def decoded(content: bytes) -> Content:
    """What ``encoded`` was given."""
    return _CONTENT.decode(content)


def encoded(content: Content) -> bytes:
    """The form in which a content is kept and checked."""
    return _encode(content)


def _key(row: Delivery) -> int:
    return row.key
