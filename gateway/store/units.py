"""What happens to the record at the pace of people, carriers' receipts and pursuits: one function a unit.

Each takes a ``Book``, the open transaction of an engine, and is atomic: it raises before it changes
anything. The paths that every message takes (accept, begin, conclude, lapse) are each engine's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol

from gateway.adapters.base import Evidence
from gateway.errors import Conflict
from gateway.lifecycle import DOUBTS_PER_CHAIN, FINAL, OPEN, Happening, State, states_before
from gateway.model import (
    DeliveryKey,
    IncidentKey,
    Instant,
    LinkName,
    MessageClass,
    MessageKey,
    checksum,
    later,
    of_part,
)
from gateway.outcome import Level
from gateway.store.base import (
    ANSWERED,
    About,
    Advance,
    Concluded,
    Ending,
    Matched,
    Missed,
    NewDelivery,
    Telling,
)
from gateway.store.rows import (
    ENDINGS,
    MANY,
    MISSED,
    NOBODY,
    SETTLED_BY,
    Delivery,
    Incident,
    Message,
    Noted,
    Notice,
    Receipt,
    accepts,
    correlation,
    delivery_of,
    ending_of,
    moved,
    news_of,
    proven,
    reply_of,
)

STOPPABLE = states_before(Happening.CANCELLED)
UNDER_WAY = 5.0  # seconds that a copy waits for the answer of another leg; ours: carriers answer within one
MOMENT = 0.5  # seconds until it looks again
TOLD = 1000  # messages of one incident whose timelines say what happened to all of it
ONE_MORE = (State.BEGUN, State.TAKEN)  # than its doubts: the copy under way, or the one that arrived


class Book(Protocol):
    """An engine's open transaction, row by row. What a getter returns may be changed and saved."""

    open: int  # deliveries that are not final

    def new_key(self) -> int: ...
    def message(self, key: MessageKey) -> Message | None: ...
    def incident(self, key: IncidentKey) -> Incident | None: ...
    def delivery(self, key: DeliveryKey) -> Delivery | None: ...
    def deliveries(self, message: MessageKey) -> list[Delivery]: ...
    def pursued(self, incident: IncidentKey) -> list[Delivery]:
        """The deliveries of all messages of an incident."""
        ...

    def companions(self, incident: IncidentKey, limit: int) -> list[MessageKey]:
        """The newest messages of an incident."""
        ...

    def on_link(self, link: LinkName, states: Sequence[State], limit: int) -> list[Delivery]: ...
    def pressing_on(self, link: LinkName, limit: int) -> list[Delivery]:
        """What waits on a link of class critical and urgent: class, then due, then key."""
        ...

    def held(self, link: LinkName) -> bool:
        """Whether this process has taken the link's lease."""
        ...

    def other_open(self, incident: Incident) -> bool:
        """Whether another incident of the same client and key is open."""
        ...

    def save_message(self, row: Message) -> None: ...
    def save_incident(self, row: Incident) -> None: ...
    def save_delivery(self, row: Delivery) -> None: ...
    def add_delivery(self, row: Delivery) -> None: ...
    def event(
        self,
        subject: MessageKey,
        at: Instant,
        kind: str,
        delivery: DeliveryKey | None = None,
        data: dict[str, Any] | None = None,
    ) -> None: ...

    def receipt(self, evidence: Evidence) -> Receipt | None: ...
    def save_receipt(self, row: Receipt) -> None: ...
    def named(self, evidence: Evidence, link: LinkName) -> tuple[DeliveryKey, int] | None:
        """The newest delivery with this carrier reference, and which part of it the reference is."""
        ...

    @property
    def about(self) -> About: ...
    def clients(self, messages: Iterable[MessageKey]) -> dict[MessageKey, str]:
        """Whose messages these are, as far as the clients are to be told of something."""
        ...

    def notices(self, message: MessageKey) -> list[Notice]:
        """Those of a message by seq; what was told long ago is left out."""
        ...

    def new_notice(self) -> int: ...
    def notice(self, key: int) -> Notice | None: ...
    def save_notice(self, row: Notice) -> None: ...
    def drop_notice(self, row: Notice) -> None: ...

    def prove(self, evidence: Evidence, delivery: DeliveryKey, part: int) -> list[tuple[int, Level]]:
        """Raise the level of one carrier reference (and ask no more if it is final); all (part, level) of
        the delivery."""
        ...


# ---------------------------------------------------------------- moves


def move(book: Book, row: Delivery, happening: Happening, at: Instant) -> None:
    """Change one delivery and save it."""
    was = row.state
    moved(row, happening, at)
    if was in OPEN and row.state in FINAL:
        book.open -= 1
    elif was in FINAL and row.state in OPEN:  # not in the table today
        book.open += 1
    book.save_delivery(row)


def stop(book: Book, rows: Iterable[Delivery], at: Instant, *, why: str) -> int:
    """Cancel what may be; what is begun finishes and then goes no further. How many this touched."""
    touched = 0
    for row in rows:
        if row.state in STOPPABLE:
            row.reason = why
            move(book, row, Happening.CANCELLED, at)
            book.event(row.message, at, "cancelled", row.key, {"why": why})
            touched += 1
        elif row.state is State.BEGUN and not row.stop:
            row.stop, row.reason = True, why
            book.save_delivery(row)
            touched += 1
    return touched


def stir(book: Book, incident: IncidentKey | None, at: Instant) -> None:
    """The facts of an open incident changed: it is due, and moves decided before are stale."""
    row = None if incident is None else book.incident(incident)
    if row is not None and row.ending is None:
        row.due = at if row.due is None else min(row.due, at)
        row.version += 1
        book.save_incident(row)


def end(book: Book, incident: Incident, ending: Ending, at: Instant, *, by: str | None = None) -> None:
    """End a pursuit: everything of it that waits stops, and every message in it is told."""
    incident.ending, incident.ended_at, incident.due = ending, at, None
    incident.version += 1
    book.save_incident(incident)
    stop(book, book.pursued(incident.key), at, why=f"incident_{ending}")
    data = {"ending": ending} | ({"by": by} if by else {})
    for message in book.companions(incident.key, TOLD):
        book.event(message, at, "ended", None, data)


def opened(new: NewDelivery, key: DeliveryKey, message: Message, at: Instant) -> Delivery:
    """The row of a leg that is opened for *message*; its content must not have been forgotten."""
    if message.content is None:
        raise Conflict("the text of this message is not kept any more")
    return Delivery(
        key=key,
        message=message.key,
        incident=message.incident,
        link=new.link,
        message_class=new.message_class,
        leg=new.leg,
        last=new.last,
        copies_before=new.copies_before,
        person=new.person,
        device=new.device,
        address=new.address,
        due=new.due,
        deadline=new.deadline,
        opened_at=at,
        changed_at=at,
        checksum=checksum(new.link, new.address, message.content),
    )


def _of(book: Book, key: MessageKey) -> tuple[Message, Incident | None, list[Delivery]]:
    message = book.message(key)
    if message is None:
        raise Conflict("there is no such message")
    incident = None if message.incident is None else book.incident(message.incident)
    return message, incident, book.deliveries(key)


# ---------------------------------------------------------------- attempts and doubts


def attempt_data(done: Concluded) -> dict[str, Any]:
    """The data of an attempt's event."""
    data: dict[str, Any] = {
        "link": done.lane,
        "outcome": done.outcome,
        "code": done.code,
        "why": done.why,
        "began": done.began,
    }
    if done.verdict.level is not None:
        data["level"] = done.verdict.level.token
    if done.warning is not None:
        data["warning"] = done.warning
    if done.transcript is not None:
        data["transcript"] = done.transcript
    if done.parts is not None:
        data |= {"parts": done.parts.of, "missing": done.parts.missing}
    return data


def miss(book: Book, row: Delivery, missed: Missed) -> None:
    """The link could not be opened: a waiting delivery waits on."""
    waits = missed.waits.get(row.message_class, (0.0,))
    row.due = min(later(missed.ended, waits[min(row.connects, len(waits) - 1)]), row.deadline)
    row.connects += 1
    row.code, row.why, row.reason = missed.code, missed.why, MISSED
    move(book, row, Happening.NOT_SENT, missed.ended)
    data = {"link": row.link, "outcome": "not_sent", "code": missed.code, "why": missed.why}
    book.event(row.message, missed.ended, "attempt", row.key, data | {"began": missed.began})
    stir(book, row.incident, missed.ended)


def other_copies(book: Book, row: Delivery) -> int:
    """Copies that other legs may have brought the same person by now, or are about to."""
    return sum(
        max(
            other.doubts + (other.state in ONE_MORE or (other.state is State.WAITING and other.dup_risk)),
            _half(other),
        )
        for other in _others(book, row)
    )


def device_copies(book: Book, row: Delivery) -> int:
    """Copies that other legs may have brought this very device by now: looked at when *row* is begun, for the
    leg before it may have been begun since *row* was opened."""
    return sum(
        max(other.doubts + (other.state in ONE_MORE), _half(other))
        for other in _others(book, row)
        if (other.device, other.address) == (row.device, row.address)
    )


def gives_way(book: Book, row: Delivery, now: Instant) -> bool:
    """Whether *row*, which could be begun, waits for a moment instead: another leg to the same device was
    begun or taken just now, so this would be a copy that nobody needs. What hangs for longer holds nothing
    up."""
    for other in _others(book, row):
        if (other.device, other.address) != (row.device, row.address):
            continue
        taken = other.state is State.TAKEN and other.setback is None
        since = other.begun_at if other.state is State.BEGUN else other.changed_at if taken else None
        if since is not None and now < later(since, UNDER_WAY):
            wait_a_moment(book, row, now)
            return True
    return False


def wait_a_moment(book: Book, row: Delivery, now: Instant) -> None:
    """*row* is looked at again soon."""
    row.due = later(now, MOMENT)
    book.save_delivery(row)


def _half(row: Delivery) -> int:
    """The copy of which a carrier took a part."""
    return int(row.parts is not None and bool(row.parts.taken))


def doubted(book: Book, row: Delivery) -> None:
    """*row* has come into doubt: legs to the same person that still wait would now bring another copy."""
    for other in _others(book, row):
        if other.state is State.WAITING:
            other.copies_before = max(other.copies_before, other_copies(book, other))
            book.save_delivery(other)


def _others(book: Book, row: Delivery) -> Iterable[Delivery]:
    whose = row.person or row.address
    return (
        other
        for other in book.deliveries(row.message)
        if other.key != row.key and (other.person or other.address) == whose
    )


def settle(book: Book, row: Delivery, now: Instant) -> None:
    """A doubt's time has come: it goes on by its policy, unless other legs have used up the copies."""
    policy = row.policy or "hold"
    if policy == "resend":
        row.copies_before = max(row.copies_before, other_copies(book, row))
        if row.copies_before + row.doubts >= DOUBTS_PER_CHAIN:
            policy = "hold"
    if policy == "assume" and row.parts is not None:
        row.parts = row.parts.with_taken(*row.parts.doubted)
        if row.parts.missing:  # they have never left us: nothing to assume
            policy = "resend"
    if policy != "resend":
        row.reason = {"assume": "assumed", "hold": "in_doubt", "quarantine": "quarantined"}[policy]
    move(book, row, SETTLED_BY[policy], now)
    if row.state is State.WAITING:
        row.due = now
        book.save_delivery(row)
    kind = "quarantined" if policy == "quarantine" else "doubt_settled"
    book.event(row.message, now, kind, row.key, {"then": policy})


# ---------------------------------------------------------------- pursuit


def hurry(book: Book, links: Sequence[LinkName], now: Instant, limit: int) -> int:
    rows = [row for link in links for row in book.pressing_on(link, limit)]
    waiting = [
        row.incident for row in rows if row.tries + row.connects or (row.due is not None and row.due <= now)
    ]
    stirred = 0
    for key in dict.fromkeys(waiting):
        incident = None if key is None else book.incident(key)
        if incident is None or incident.ending is not None:
            continue
        if incident.due is None or incident.due > now:
            stir(book, key, now)
            stirred += 1
    return stirred


def advance(book: Book, step: Advance) -> bool:
    incident = book.incident(step.incident)
    if incident is None or incident.version != step.version or incident.ending is not None:
        return False
    message = book.message(incident.message)
    assert message is not None
    rows = [opened(new, DeliveryKey(book.new_key()), message, step.at) for new in step.open]
    stopped = [row for key in step.stop if (row := book.delivery(key)) and row.incident == incident.key]
    stop(book, stopped, step.at, why=step.why or "not_needed")
    for row, new in zip(rows, step.open, strict=True):
        book.add_delivery(row)
        data = {"link": row.link, "leg": row.leg, "person": row.person, "device": row.device}
        why = {"why": step.why} | step.detail | dict(new.why)
        book.event(message.key, step.at, "leg_opened", row.key, data | why)
    if step.why and not rows and not step.ending:
        book.event(message.key, step.at, "pursued", None, {"why": step.why} | step.detail)
    if step.ending is not None:
        end(book, incident, step.ending, step.at)
    else:
        incident.due = step.due
        incident.version += 1
        book.save_incident(incident)
    return True


# ---------------------------------------------------------------- people


def acknowledge(
    book: Book, key: MessageKey, by: str, note: str | None, recorded_by: str, now: Instant
) -> str:
    message, incident, rows = _of(book, key)
    first = message.accepted_by or (incident.accepted_by if incident else None)
    if first:
        return first
    ending = ending_of(message, incident, rows)
    if ending not in (None, "confirmed"):
        raise Conflict(f"nobody accepted in time: this message has ended as {ending}")
    message.accepted_by, message.accepted_at = by, now
    book.save_message(message)
    data = {"by": by, "recorded_by": recorded_by} | ({"note": note} if note else {})
    book.event(key, now, "acknowledged", None, data)
    if incident is not None:
        incident.accepted_by, incident.accepted_at = by, now
        if incident.ending is None:
            end(book, incident, "confirmed", now, by=by)
        else:
            book.save_incident(incident)
    else:
        stop(book, rows, now, why="acknowledged")
    return by


def cancel(book: Book, key: MessageKey, by: str, why: str | None, now: Instant) -> bool:
    message, incident, rows = _of(book, key)
    if ending_of(message, incident, rows) is not None:
        return False
    book.event(key, now, "stopped", None, {"by": by} | ({"why": why} if why else {}))
    if incident is None:
        stop(book, rows, now, why="cancelled")
    elif incident.message == key:
        end(book, incident, "cancelled", now, by=by)
    else:  # one of several for the same trouble: the others go on
        message.ending = "cancelled"
        book.save_message(message)
        stop(book, rows, now, why="cancelled")
        book.event(key, now, "ended", None, {"ending": "cancelled", "by": by})
    return True


def resolve(book: Book, key: IncidentKey, by: str, recorded_by: str, why: str | None, now: Instant) -> bool:
    incident = _open_or_not(book, key)
    if incident.ending is not None:
        return False
    data = {"by": by, "recorded_by": recorded_by} | ({"why": why} if why else {})
    for message in book.companions(key, TOLD):
        book.event(message, now, "resolved", None, data)
    end(book, incident, "cancelled", now, by=by)
    return True


def mute(
    book: Book,
    key: IncidentKey,
    until: Instant | None,
    even_critical: bool,
    by: str,
    recorded_by: str,
    now: Instant,
) -> None:
    incident = _open_or_not(book, key)
    if incident.ending is not None:
        raise Conflict(f"it has ended as {incident.ending}")
    if until is not None and incident.message_class is MessageClass.CRITICAL and not even_critical:
        raise Conflict("it is critical")
    incident.muted_until = until
    book.save_incident(incident)
    data = {"by": by, "recorded_by": recorded_by}
    if until is None:
        book.event(incident.message, now, "unmuted", None, data)
    else:
        book.event(incident.message, now, "muted", None, data | {"until": until})
    stir(book, key, now)


def _open_or_not(book: Book, key: IncidentKey) -> Incident:
    incident = book.incident(key)
    if incident is None:
        raise Conflict("there is no such incident")
    return incident


def retry(book: Book, key: MessageKey, by: str, now: Instant, deadline: Instant) -> int:
    message, incident, rows = _of(book, key)
    if message.accepted_by or (incident and incident.accepted_by):
        return 0
    last = {row.leg: row for row in sorted(rows, key=lambda row: row.key)}
    again = [row for row in last.values() if row.state in FINAL and row.state is not State.TAKEN]
    for row in again:
        new = NewDelivery(
            leg=row.leg,
            person=row.person,
            device=row.device,
            address=row.address,
            link=row.link,
            message_class=row.message_class,
            due=now,
            deadline=deadline,
            last=row.last,
            copies_before=row.copies_before + row.possibly_sent,
        )
        fresh = opened(new, DeliveryKey(book.new_key()), message, now)
        fresh.dup_risk = row.possibly_sent
        book.add_delivery(fresh)
        book.event(key, now, "retried", fresh.key, {"by": by, "link": row.link, "of": row.key})
    if again and message.ending is not None:
        message.ending = None
        book.save_message(message)
    if again and incident is not None and not (incident.ending and book.other_open(incident)):
        incident.ending, incident.ended_at = None, None
        book.save_incident(incident)
        stir(book, incident.key, now)
    return len(again)


def pause(book: Book, key: MessageKey, by: str, now: Instant) -> int:
    rows = [row for row in _of(book, key)[2] if row.state is State.WAITING and row.reason != "paused"]
    for row in rows:
        row.due, row.reason = None, "paused"
        move(book, row, Happening.KEPT, now)
        book.event(key, now, "paused", row.key, {"by": by})
    return len(rows)


def resume(book: Book, key: MessageKey, by: str, now: Instant) -> int:
    rows = [row for row in _of(book, key)[2] if row.state is State.WAITING and row.reason == "paused"]
    for row in rows:
        row.due, row.reason = now, None
        move(book, row, Happening.KEPT, now)
        book.event(key, now, "resumed", row.key, {"by": by})
        stir(book, row.incident, now)
    return len(rows)


def decide(book: Book, key: MessageKey, again: bool, by: str, now: Instant) -> int:
    message, _, rows = _of(book, key)
    held = [row for row in rows if row.state is State.HELD]
    for row in held:
        if again:
            row.copies_before = max(row.copies_before, other_copies(book, row))
            move(book, row, Happening.DECIDED_AGAIN, now)
            row.due, row.reason = now, None
        else:
            row.reason = "left"
            move(book, row, Happening.DECIDED_LEAVE, now)
        book.save_delivery(row)
        book.event(key, now, "decided", row.key, {"by": by, "again": again})
    if held:
        stir(book, message.incident, now)
    return len(held)


def settings_changed(book: Book, generation: int, digest: str, now: Instant) -> None:
    """An event of nobody's: what took effect when."""
    book.event(NOBODY, now, "settings", None, {"generation": generation, "digest": digest})


def drop_link(book: Book, link: LinkName, now: Instant, limit: int) -> int:
    """At most *limit* deliveries; to be repeated until there are none."""
    for row in book.on_link(link, (State.BEGUN,), limit):
        if book.held(link):
            row.stop = True
            book.save_delivery(row)
        else:  # of an earlier process, and its lane will not come back
            row.doubts += 1
            move(book, row, Happening.IN_DOUBT, now)
    rows = sorted(book.on_link(link, STOPPABLE, limit), key=lambda row: row.key)
    for row in rows:
        row.reason = "link_removed"
        move(book, row, Happening.CANCELLED, now)
        if len(rows) <= MANY:
            book.event(row.message, now, "cancelled", row.key, {"why": "link_removed", "link": link})
    if len(rows) > MANY:
        told = book.clients({row.message for row in rows})
        for row in rows:
            if row.message in told:
                book.event(row.message, now, "cancelled", row.key, {"why": "link_removed", "link": link})
        book.event(NOBODY, now, "many_cancelled", None, {"why": "link_removed", "link": link, "n": len(rows)})
    for incident in sorted({row.incident for row in rows if row.incident is not None}):
        stir(book, incident, now)
    return len(rows)


# ---------------------------------------------------------------- what clients are told


def notice(book: Book, events: Sequence[Noted]) -> set[str]:
    """Leave the notices that follow from the events of a unit, once all else of it is done; for whom."""
    clients = book.clients({event.subject for event in events})
    last = {event.subject: event.n for event in events if event.kind in ENDINGS}
    told: set[str] = set()
    for event in events:
        client = clients.get(event.subject)
        if client is None:
            continue
        ending = None
        if event.n == last.get(event.subject):
            message, incident, rows = _of(book, event.subject)
            ending = ending_of(message, None, rows) if incident is None else None
        kind = next((one for one in news_of(event, ending) if one in book.about[client]), None)
        if kind is None:
            continue
        before = book.notices(event.subject)
        row = Notice(
            key=book.new_notice(),
            message=event.subject,
            client=client,
            n=event.n,
            seq=1 + max((one.seq for one in before), default=0),
            kind=kind,
            at=event.at,
            due=None if any(one.state == 0 for one in before) else event.at,
        )
        book.save_notice(row)
        told.add(client)
    return told


def told(book: Book, telling: Telling) -> bool:
    row = book.notice(telling.notice)
    if row is None or row.state != 0:
        return False
    row.tried = telling.at
    if telling.how == "later":
        row.tries += 1
        row.due = telling.due
        book.save_notice(row)
        return True
    if telling.how == "given_up":
        data = {"kind": row.kind, "client": row.client, "of": row.n, "why": telling.why}
        book.event(row.message, telling.at, "untold", None, data)
    _pass_on(book, row, 1 if telling.how == "told" else 2, telling.at)
    return True


def give_up(book: Book, rows: Sequence[Notice], now: Instant) -> int:
    """Notices that nobody could be told in time, in order of time."""
    for row in rows:
        if len(rows) <= MANY:
            data = {"kind": row.kind, "client": row.client, "of": row.n, "why": "too_old"}
            book.event(row.message, now, "untold", None, data)
        _pass_on(book, row, 2, now)
    if len(rows) > MANY:
        book.event(NOBODY, now, "many_untold", None, {"n": len(rows)})
    return len(rows)


def _pass_on(book: Book, row: Notice, state: Literal[1, 2], now: Instant) -> None:
    """*row* is concluded: those before it are not needed any more, and the next one is due."""
    row.state, row.due = state, None
    book.save_notice(row)
    waiting = []
    for other in book.notices(row.message):
        if other.state == 0:
            waiting.append(other)
        elif other.seq < row.seq:
            book.drop_notice(other)
    if waiting and waiting[0].due is None:
        waiting[0].due = now
        book.save_notice(waiting[0])


# ---------------------------------------------------------------- receipts


def report(book: Book, link: LinkName, evidence: Evidence, now: Instant) -> Matched:
    known = book.receipt(evidence)
    if known is not None:
        return Matched(how="repeated", message=known.message, delivery=known.delivery)
    row, part = _match(book, link, evidence)
    receipt = Receipt(evidence=evidence, link=link, at=now)
    if row is None:
        book.save_receipt(receipt)
        return Matched(how="unmatched")
    receipt.delivery, receipt.message = row.key, row.message
    receipt.pending = row.state is State.BEGUN  # its conclusion comes first, then this
    book.save_receipt(receipt)
    if receipt.pending:
        return Matched(how="unmatched", message=row.message, delivery=row.key)
    was, had = row.level, _accepted_by(book, row, evidence)
    late = _apply(book, row, part, evidence, now)
    raised = row.level if row.level > was else None
    if had is None and _accepted_by(book, row, evidence) is not None:
        raised = Level.ACKNOWLEDGED
    return Matched(
        how="late" if late else "matched",
        message=row.message,
        delivery=row.key,
        raised=raised,
        message_class=row.message_class,
        since=row.opened_at,
    )


def _accepted_by(book: Book, row: Delivery, evidence: Evidence) -> str | None:
    """Who has the message of *row*, if *evidence* is what may change that."""
    message = book.message(row.message) if evidence.reply is not None else None
    return None if message is None else message.accepted_by


def catch_up(book: Book, row: Delivery, receipts: Iterable[Receipt], now: Instant) -> None:
    """Apply receipts that came before the submit of *row* concluded."""
    for receipt in receipts:
        named = book.named(receipt.evidence, receipt.link)
        ours = delivery_of(receipt.evidence.ref) or (row.key, 1)
        part = named[1] if named and named[0] == row.key else max(ours[1], receipt.evidence.part)
        receipt.delivery, receipt.message, receipt.pending = row.key, row.message, False
        book.save_receipt(receipt)
        _apply(book, row, part, receipt.evidence, now)


def _match(book: Book, link: LinkName, evidence: Evidence) -> tuple[Delivery | None, int]:
    named = book.named(evidence, link)
    if named is not None:
        return book.delivery(named[0]), named[1]
    ours = delivery_of(evidence.ref)  # the carrier repeats our own name for it
    row = None if ours is None else book.delivery(ours[0])
    if ours is None or row is None or row.link != link:
        return None, 1
    message = book.message(row.message)
    if message is None or of_part(correlation(message.public_id, row.key), ours[1]) != evidence.ref.lower():
        return None, 1
    return row, max(ours[1], evidence.part)


def _apply(book: Book, row: Delivery, part: int, evidence: Evidence, now: Instant) -> bool:
    """Whether it was late proof. A level counts for rows that were taken, or ended without being known."""
    parts = book.prove(evidence, row.key, part)
    heard = evidence.level or Level.STORED
    late = heard >= Level.HANDED_OVER and (
        row.state in (State.DOUBT, State.HELD) or (row.state is State.WAITING and row.dup_risk)
    )
    if row.parts is not None and heard >= Level.HANDED_OVER:
        row.parts = row.parts.with_taken(part)
        late = late and not row.parts.missing  # one part proves nothing of the others
    if late:
        move(book, row, Happening.LATE_PROOF, now)
        book.event(row.message, now, "late_proof", row.key, {"state": evidence.state})
    level = proven(parts) if parts else heard
    if row.parts is not None and len({number for number, _ in parts}) < row.parts.of:
        known = Level.STORED if row.parts.missing else Level.HANDED_OVER
        level = min(level, known)  # of the other parts nothing more is known
    if row.state in FINAL and level > row.level:
        row.level = level
        if level >= Level.ON_DEVICE:  # it arrived after all, every part of it
            row.setback = None
        book.event(row.message, now, "level", row.key, {"level": level.token, "state": evidence.state})
    if evidence.setback is not None:
        row.setback = evidence.setback
        data = {"why": evidence.setback, "state": evidence.state}
        book.event(row.message, now, "setback", row.key, data)
    message = book.message(row.message)
    reply = None if evidence.reply is None or message is None else reply_of(message, evidence)
    if reply is not None:
        book.event(row.message, now, "reply", row.key, {"text": reply})
    book.save_delivery(row)
    if reply is not None and accepts(reply, evidence.accepting):
        who = row.person or f"{row.link.partition('.')[0]}:{row.address}"
        with suppress(Conflict):  # it has ended: the answer stands in the timeline
            acknowledge(book, row.message, who, None, f"{ANSWERED}{row.link}", now)
    stir(book, row.incident, now)
    return late
