"""The record in memory: plain dicts, obviously right; the model that the other engines are measured by.

It is the store of the simulator and of fast tests. What a method has returned survives ``crash``; a unit
that was under way when the process died did not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from gateway.adapters.base import Evidence
from gateway.env import Env
from gateway.errors import Conflict, StoreFailed, StoreFull
from gateway.lifecycle import FINAL, OPEN, Happening, State, after
from gateway.model import (
    DeliveryKey,
    IncidentKey,
    Instant,
    LinkName,
    MessageClass,
    MessageKey,
    PublicId,
    checksum,
    later,
)
from gateway.outcome import CarrierRef, Level
from gateway.store import base, units
from gateway.store.base import (
    Advance,
    Begun,
    Concluded,
    Enquiry,
    EventRow,
    Facts,
    Gone,
    IncidentRow,
    LaneCount,
    Lapsed,
    Matched,
    MessageRow,
    Missed,
    NewMessage,
    Stored,
    Taking,
    Telling,
)
from gateway.store.rows import (
    MANY,
    MISSED,
    NOBODY,
    SOON,
    TELLING,
    Delivery,
    Incident,
    Message,
    Noted,
    Notice,
    Receipt,
    begun_of,
    correlation,
    encoded,
    ended_at,
    ending_of,
    facts_of,
    first_event,
    moved,
    needs_you,
    shown,
    shown_incident,
    the_one,
    young,
)

R = TypeVar("R")


class _Reference(msgspec.Struct, kw_only=True):
    """A carrier's own name for something it took."""

    scope: str
    ref: str
    part: int
    delivery: DeliveryKey
    link: LinkName
    level: Level
    enquire_at: Instant | None
    asked: int
    taken_at: Instant


class _Answer(msgspec.Struct, kw_only=True):
    """What is kept under an idempotency key."""

    at: Instant
    request_hash: bytes
    stored: Stored


class MemoryBook:
    """All rows. A Book for ``units``."""

    def __init__(self) -> None:
        self.boot = 0
        self.open = 0
        self.last_key = 0
        self.messages: dict[MessageKey, Message] = {}
        self.incidents: dict[IncidentKey, Incident] = {}
        self.rows: dict[DeliveryKey, Delivery] = {}
        self.of_message: dict[MessageKey, list[DeliveryKey]] = {}
        self.events: dict[MessageKey, list[EventRow]] = {}
        self.answers: dict[tuple[str, str], _Answer] = {}
        self.receipts: dict[tuple[str, str, int, str], Receipt] = {}
        self.references: list[_Reference] = []
        self.fences: dict[LinkName, int] = {}
        self.held_links: set[LinkName] = set()
        self.modes: dict[LinkName, tuple[str, str, str | None]] = {}
        self.about: base.About = {}
        self.told: dict[int, Notice] = {}
        self.gone: dict[str, Gone] = {}
        self.last_notice = 0
        self.noted: list[Noted] = []

    def new_key(self) -> int:
        self.last_key += 1
        return self.last_key

    def message(self, key: MessageKey) -> Message | None:
        return self.messages.get(key)

    def message_named(self, key: str) -> Message | None:
        found = [row for row in self.messages.values() if row.public_id == key.lower()]
        found = found or [row for row in self.messages.values() if row.ref == key.upper()]
        return found[-1] if found else None

    def incident(self, key: IncidentKey) -> Incident | None:
        return self.incidents.get(key)

    def delivery(self, key: DeliveryKey) -> Delivery | None:
        return self.rows.get(key)

    def deliveries(self, message: MessageKey) -> list[Delivery]:
        return [self.rows[key] for key in self.of_message.get(message, ())]

    def pursued(self, incident: IncidentKey) -> list[Delivery]:
        return [row for row in self.rows.values() if row.incident == incident]

    def companions(self, incident: IncidentKey, limit: int) -> list[MessageKey]:
        found = [row.key for row in self.messages.values() if row.incident == incident]
        return sorted(found, reverse=True)[:limit]

    def on_link(self, link: LinkName, states: Sequence[State], limit: int) -> list[Delivery]:
        return [row for row in self.rows.values() if row.link == link and row.state in states][:limit]

    def pressing_on(self, link: LinkName, limit: int) -> list[Delivery]:
        found = [row for row in self.rows.values() if row.link == link and row.state is State.WAITING]
        found = [row for row in found if row.message_class.pressing]
        # a delivery that is paused has no due; SQL puts it first
        return sorted(found, key=lambda row: (row.message_class, row.due or 0, row.key))[:limit]

    def held(self, link: LinkName) -> bool:
        return link in self.held_links

    def other_open(self, incident: Incident) -> bool:
        found = None if incident.dedup is None else self.open_incident(incident.client, incident.dedup)
        return found is not None and found.key != incident.key

    def open_incident(self, client: str, dedup: str) -> Incident | None:
        for row in self.incidents.values():
            if (row.client, row.dedup) == (client, dedup) and row.ending is None:
                return row
        return None

    def save_message(self, row: Message) -> None:
        self.messages[row.key] = row

    def save_incident(self, row: Incident) -> None:
        self.incidents[row.key] = row

    def save_delivery(self, row: Delivery) -> None:
        self.rows[row.key] = row

    def add_delivery(self, row: Delivery) -> None:
        self.rows[row.key] = row
        self.of_message.setdefault(row.message, []).append(row.key)
        self.open += 1

    def event(
        self,
        subject: MessageKey,
        at: Instant,
        kind: str,
        delivery: DeliveryKey | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        mine = self.events.setdefault(subject, [])
        n = len(mine) + (1 if subject == NOBODY else 2)  # 1 is implied by the message's row
        mine.append(EventRow(n=n, at=at, kind=kind, delivery=delivery, data=data or {}))
        if self.about and kind in TELLING:
            self.noted.append(Noted(subject, n, at, kind, data or {}))

    def clients(self, messages: Iterable[MessageKey]) -> dict[MessageKey, str]:
        found = (self.messages[key] for key in sorted(messages) if key in self.messages)
        return {row.key: row.client for row in found if row.client in self.about}

    def notices(self, message: MessageKey) -> list[Notice]:
        found = [row for row in self.told.values() if row.message == message]
        return sorted(found, key=lambda row: row.seq)

    def new_notice(self) -> int:
        self.last_notice += 1
        return self.last_notice

    def notice(self, key: int) -> Notice | None:
        return self.told.get(key)

    def save_notice(self, row: Notice) -> None:
        self.told[row.key] = row

    def drop_notice(self, row: Notice) -> None:
        del self.told[row.key]

    def receipt(self, evidence: Evidence) -> Receipt | None:
        return self.receipts.get((evidence.scope, evidence.ref, evidence.part, evidence.state))

    def save_receipt(self, row: Receipt) -> None:
        evidence = row.evidence
        self.receipts[evidence.scope, evidence.ref, evidence.part, evidence.state] = row

    def named(self, evidence: Evidence, link: LinkName) -> tuple[DeliveryKey, int] | None:
        found = [one for one in self.references if (one.scope, one.ref) == (evidence.scope, evidence.ref)]
        best = max(found, key=lambda one: (one.delivery, one.part == evidence.part), default=None)
        return None if best is None else (best.delivery, best.part)

    def prove(self, evidence: Evidence, delivery: DeliveryKey, part: int) -> list[tuple[int, Level]]:
        mine = [one for one in self.references if one.delivery == delivery]
        for one in mine:
            if (one.scope, one.ref, one.part) == (evidence.scope, evidence.ref, part):
                one.level = max(one.level, evidence.level or Level.STORED)
                one.enquire_at = None if evidence.final else one.enquire_at
        return [(one.part, one.level) for one in mine]


class MemoryStore:
    """One record in memory; every room in one object, since there is nothing between them and the rows.

    *latency* seconds pass before a unit is written; *min_free* is compared with what env.files says about
    the root folder.
    """

    def __init__(
        self, env: Env, *, min_free: int = 0, latency: float = 0.0, book: MemoryBook | None = None
    ) -> None:
        self._env = env
        self._min_free = min_free
        self._latency = latency
        self._book = book or MemoryBook()
        self._book.boot += 1
        self._book.held_links.clear()
        self._book.about = {}
        self._dead = False
        self._noticed: Callable[[Iterable[str]], None] | None = None
        self._why: str | None = None
        self.boot = self._book.boot
        self.durability: Literal["disk", "unsafe"] = "disk"
        self.failed: Deferred[str] = Deferred()
        self.recovered: str | None = None
        self.intake: base.Intake = self
        self.work: base.Work = self
        self.evidence: base.EvidenceRoom = self
        self.pursuit: base.PursuitRoom = self
        self.notices: base.NoticesRoom = _Notices(self)
        self.desk: base.DeskRoom = self
        self.records: base.Records = self
        self.housekeeping: base.Housekeeping = self

    # ------------------------------------------------------------ for tests and the simulator

    def crash(self, env: Env | None = None) -> MemoryStore:
        """The process dies: a new store with what was durable. Units under way never happen."""
        self._dead = True
        book, self._book = self._book, MemoryBook()
        return MemoryStore(env or self._env, min_free=self._min_free, latency=self._latency, book=book)

    def fail(self, why: str) -> None:
        """The disk fails: nothing more is promised."""
        self._why = why
        if not self.failed.called:
            self.failed.callback(why)

    @property
    def oldest_commit_age(self) -> float:
        return 0.0

    async def close(self) -> None:
        """Nothing is left to write."""

    @property
    def units_waiting(self) -> int:
        return 0

    def room(self) -> bool:
        return not self._min_free or self._env.files.free(Path("/")) >= self._min_free

    def count_commits(self, told: Callable[[int, float], None]) -> None:
        """There are none."""

    async def _do(self, unit: Callable[[MemoryBook], R]) -> R:
        if self._latency:
            await self._env.sleep(self._latency)
        if self._dead:
            await Deferred[None]()  # nobody is there any more to whom it could be told
        if self._why is not None:
            raise StoreFailed(self._why)
        self._book.noted.clear()  # of a unit that broke
        result = unit(self._book)
        noted, self._book.noted = self._book.noted, []
        told = units.notice(self._book, noted) if noted else set()
        if told and self._noticed is not None:
            self._noticed(told)
        return result

    def _see(self) -> MemoryBook:
        if self._why is not None:
            raise StoreFailed(self._why)
        return self._book

    # ------------------------------------------------------------ Intake

    async def accept(self, new: NewMessage) -> Stored:
        if not self.room():
            raise StoreFull("the disk is nearly full")
        return await self._do(lambda book: _accept(book, new))

    async def remembered(self, client: str, key: str, now: Instant) -> tuple[bytes, Stored] | None:
        kept = self._see().answers.get((client, key))
        if kept is None or not young(kept.at, now):
            return None
        return kept.request_hash, msgspec.structs.replace(kept.stored, replay=True)

    @property
    def backlog(self) -> int:
        return self._book.open

    # ------------------------------------------------------------ Work

    async def hold(self, lanes: tuple[LinkName, ...]) -> int:
        return await self._do(lambda book: _hold(book, lanes))

    async def interrupted(self, lane: LinkName, fence: int) -> tuple[Begun, ...]:
        book = self._see()
        rows = [row for row in book.on_link(lane, (State.BEGUN,), len(book.rows)) if row.fence < fence]
        return tuple(begun_of(row, book.messages[row.message]) for row in sorted(rows, key=_order))

    async def begin(self, lane: LinkName, fence: int, *, limit: int, ordinary: int, now: Instant) -> Taking:
        return await self._do(lambda book: _begin(book, lane, fence, limit, ordinary, now))

    async def conclude(self, done: Concluded) -> bool:
        return await self._do(lambda book: _conclude(book, done))

    async def missed(self, miss: Missed) -> int:
        return await self._do(lambda book: _missed(book, miss))

    async def reached(self, lane: LinkName, fence: int, now: Instant) -> int:
        return await self._do(lambda book: _reached(book, lane, fence, now))

    async def lapse(self, now: Instant) -> Lapsed:
        return await self._do(lambda book: _lapse(book, now))

    async def next_lapse(self) -> Instant | None:
        rows = self._see().rows.values()
        ends = [row.deadline for row in rows if row.state in OPEN and row.state is not State.BEGUN]
        ends += [row.due for row in rows if row.state is State.DOUBT and row.due is not None]
        return min(ends, default=None)

    async def goes_on(self, delivery: DeliveryKey, lane: LinkName, fence: int, now: Instant) -> bool:
        book = self._see()
        row = book.rows.get(delivery)
        if row is None or (row.link, row.state, row.fence) != (lane, State.BEGUN, fence):
            return False
        return not row.stop and row.deadline > now and _owns(book, lane, fence)

    async def enquiries(self, lane: LinkName, now: Instant, limit: int) -> tuple[Enquiry, ...]:
        due = [
            (one.enquire_at, one)
            for one in self._see().references
            if one.link == lane and one.enquire_at is not None and one.enquire_at <= now
        ]
        due.sort(key=lambda pair: pair[0])
        return tuple(
            Enquiry(
                ref=CarrierRef(scope=one.scope, ref=one.ref, part=one.part, enquire_at=at),
                delivery=one.delivery,
                link=one.link,
                asked=one.asked,
                taken_at=one.taken_at,
            )
            for at, one in due[:limit]
        )

    async def next_enquiry(self, lane: LinkName) -> Instant | None:
        times = [one.enquire_at for one in self._see().references if one.link == lane]
        return min((at for at in times if at is not None), default=None)

    async def enquired(self, enquiry: Enquiry, again: Instant | None) -> None:
        await self._do(lambda book: _enquired(book, enquiry, again))

    # ------------------------------------------------------------ EvidenceRoom, PursuitRoom

    async def report(self, link: LinkName, evidence: Evidence, now: Instant) -> Matched:
        return await self._do(lambda book: units.report(book, link, evidence, now))

    async def due(self, now: Instant, limit: int) -> tuple[Facts, ...]:
        book = self._see()
        found = [
            row
            for row in book.incidents.values()
            if row.ending is None and row.due is not None and row.due <= now
        ]
        found.sort(key=lambda row: (row.message_class, row.due, row.key))
        return tuple(
            facts_of(row, book.messages[row.message], book.deliveries(row.message)) for row in found[:limit]
        )

    async def next_due(self) -> Instant | None:
        dues = [row.due for row in self._see().incidents.values() if row.ending is None]
        return min((due for due in dues if due is not None), default=None)

    async def hurry(self, links: tuple[LinkName, ...], now: Instant, limit: int) -> int:
        return await self._do(lambda book: units.hurry(book, links, now, limit))

    async def advance(self, move: Advance) -> bool:
        return await self._do(lambda book: units.advance(book, move))

    # ------------------------------------------------------------ DeskRoom

    async def acknowledge(
        self, message: MessageKey, *, by: str, note: str | None, recorded_by: str, now: Instant
    ) -> str:
        return await self._do(lambda book: units.acknowledge(book, message, by, note, recorded_by, now))

    async def cancel(self, message: MessageKey, *, by: str, why: str | None, now: Instant) -> bool:
        return await self._do(lambda book: units.cancel(book, message, by, why, now))

    async def retry(self, message: MessageKey, *, by: str, now: Instant, deadline: Instant) -> int:
        return await self._do(lambda book: units.retry(book, message, by, now, deadline))

    async def pause(self, message: MessageKey, *, by: str, now: Instant) -> int:
        return await self._do(lambda book: units.pause(book, message, by, now))

    async def resume(self, message: MessageKey, *, by: str, now: Instant) -> int:
        return await self._do(lambda book: units.resume(book, message, by, now))

    async def decide(self, message: MessageKey, *, again: bool, by: str, now: Instant) -> int:
        return await self._do(lambda book: units.decide(book, message, again, by, now))

    async def resolve(
        self, incident: IncidentKey, *, by: str, recorded_by: str, why: str | None, now: Instant
    ) -> bool:
        return await self._do(lambda book: units.resolve(book, incident, by, recorded_by, why, now))

    async def mute(
        self,
        incident: IncidentKey,
        *,
        until: Instant | None,
        even_critical: bool,
        by: str,
        recorded_by: str,
        now: Instant,
    ) -> None:
        await self._do(lambda book: units.mute(book, incident, until, even_critical, by, recorded_by, now))

    async def set_link(
        self,
        link: LinkName,
        mode: Literal["open", "suspended", "draining"],
        *,
        by: str,
        why: str | None,
        now: Instant,
    ) -> None:
        await self._do(lambda book: _set_link(book, link, mode, by, why, now))

    async def settings_changed(self, generation: int, digest: str, *, now: Instant) -> None:
        await self._do(lambda book: units.settings_changed(book, generation, digest, now))

    async def drop_link(self, link: LinkName, now: Instant) -> int:
        return await self._do(lambda book: units.drop_link(book, link, now, max(1, len(book.rows))))

    # ------------------------------------------------------------ Records

    async def message(self, key: str, *, client: str | None) -> MessageRow | None:
        row = self._see().message_named(key)
        return None if row is None or client not in (None, row.client) else self._whole(row)

    async def incident(self, key: str, *, client: str | None, limit: int) -> IncidentRow | None:
        book = self._see()
        named = [
            row
            for row in reversed(book.incidents.values())
            if row.dedup == key and client in (None, row.client)
        ]
        incident = the_one([row for row in named if row.ending is None])
        if incident is None and named:
            incident = named[0]
        if incident is None:
            found = book.message_named(key)
            if found is None or found.incident is None or client not in (None, found.client):
                return None
            incident = book.incidents[found.incident]
        keys = book.companions(incident.key, len(book.messages))
        return shown_incident(
            incident,
            book.messages[keys[-1]].public_id,
            self._whole(book.messages[incident.message]),
            [self._shown(book.messages[one], ()) for one in keys[:limit]],
            len(keys),
        )

    def _whole(self, row: Message) -> MessageRow:
        return self._shown(row, (first_event(row), *self._book.events.get(row.key, ())))

    async def messages(
        self,
        *,
        client: str | None,
        state: Literal["open", "needs_you", "ended", "all"],
        limit: int,
        before: MessageKey | None,
    ) -> tuple[MessageRow, ...]:
        book = self._see()
        found = []
        for row in reversed(book.messages.values()):
            if (before is not None and row.key >= before) or client not in (None, row.client):
                continue
            incident = None if row.incident is None else book.incidents[row.incident]
            rows = book.deliveries(row.key)
            ended = ending_of(row, incident, rows) is not None
            if {"all": True, "open": not ended, "ended": ended}.get(state, needs_you(row, incident, rows)):
                found.append(self._shown(row, ()))
        return tuple(found[:limit])

    def _shown(self, row: Message, events: Iterable[EventRow]) -> MessageRow:
        incident = None if row.incident is None else self._book.incidents[row.incident]
        return shown(row, incident, self._book.deliveries(row.key), tuple(events))

    async def counts(self, now: Instant | None = None) -> tuple[LaneCount, ...]:
        groups: dict[tuple[LinkName, State, MessageClass], list[Delivery]] = {}
        for row in self._see().rows.values():
            if row.state in OPEN:
                groups.setdefault((row.link, row.state, row.message_class), []).append(row)
        return tuple(
            LaneCount(
                link=key[0],
                state=key[1],
                message_class=key[2],
                count=len(rows),
                oldest=min(row.opened_at for row in rows),
                oldest_due=None
                if now is None
                else min(
                    (row.opened_at for row in rows if row.due is not None and row.due <= later(now, SOON)),
                    default=None,
                ),
            )
            for key, rows in sorted(groups.items())
        )

    async def link_modes(self) -> dict[LinkName, tuple[str, str, str | None]]:
        return {link: mode for link, mode in self._see().modes.items() if mode[0] != "open"}

    # ------------------------------------------------------------ Housekeeping

    async def forget_texts(self, before: Instant, limit: int) -> int:
        return await self._do(lambda book: _forget_texts(book, before, limit))

    async def forget_message(self, id_: PublicId) -> bool:
        return await self._do(lambda book: _forget_message(book, id_))

    async def forget_keys(self, before: Instant, limit: int) -> int:
        return await self._do(lambda book: _forget_keys(book, before, limit))


class _Notices:
    """For notify: a room of its own, since its words are also those of others."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def interest(self, about: base.About, noticed: Callable[[Iterable[str]], None]) -> None:
        self._store._noticed = noticed
        await self._store._do(lambda book: setattr(book, "about", about))

    async def due(self, client: str, now: Instant, limit: int) -> tuple[base.Notice, ...]:
        book = self._store._see()
        rows = [row for row in book.told.values() if row.client == client and row.due is not None]
        rows = sorted((row for row in rows if (row.due or 0) <= now), key=lambda row: (row.due or 0, row.key))
        return tuple(
            base.Notice(
                key=row.key,
                message=row.message,
                public_id=book.messages[row.message].public_id,
                client=row.client,
                n=row.n,
                seq=row.seq,
                kind=row.kind,
                at=row.at,
                tries=row.tries,
            )
            for row in rows[:limit]
        )

    async def next_due(self, client: str) -> Instant | None:
        rows = self._store._see().told.values()
        return min((row.due for row in rows if row.client == client and row.due is not None), default=None)

    async def conclude(self, telling: Telling) -> bool:
        return await self._store._do(lambda book: units.told(book, telling))

    async def reached(self, client: str, since: Instant, now: Instant) -> int:
        return await self._store._do(lambda book: _reached_again(book, client, since, now))

    async def lapse(self, before: Instant, now: Instant, limit: int) -> int:
        def lapse(book: MemoryBook) -> int:
            rows = [row for row in book.told.values() if row.state == 0 and row.at < before]
            return units.give_up(book, sorted(rows, key=lambda row: (row.at, row.key))[:limit], now)

        return await self._store._do(lapse)

    async def gone(self, client: str, gone: Gone) -> None:
        def leave(book: MemoryBook) -> None:
            book.gone[client] = gone
            book.event(NOBODY, gone.at, "receiver_gone", None, {"client": client, "why": gone.why})

        await self._store._do(leave)

    async def back(self, client: str, now: Instant) -> bool:
        def come(book: MemoryBook) -> bool:
            was = book.gone.pop(client, None) is not None
            if was:
                book.event(NOBODY, now, "receiver_back", None, {"client": client})
            return was

        return await self._store._do(come)

    async def all_gone(self) -> dict[str, Gone]:
        return dict(self._store._see().gone)


def _reached_again(book: MemoryBook, client: str, since: Instant, now: Instant) -> int:
    rows = [
        row
        for row in book.told.values()
        if row.client == client and row.due is not None and row.due > now and (row.tried or 0) >= since
    ]
    for row in rows:
        row.due = now
    return len(rows)


# ---------------------------------------------------------------- units of every message


def _accept(book: MemoryBook, new: NewMessage) -> Stored:
    name = None if new.idempotency_key is None else (new.client, new.idempotency_key)
    kept = None if name is None else book.answers.get(name)
    if kept is not None and young(kept.at, new.at):
        if kept.request_hash != new.request_hash:
            raise Conflict("this idempotency key was used for another request")
        return msgspec.structs.replace(kept.stored, replay=True)
    if any(row.public_id == new.public_id for row in book.messages.values()):
        raise Conflict("this is on record already")
    held = {row.ref for row in book.messages.values() if row.ref_held}
    ref = next((ref for ref in new.refs if ref not in held), None)
    message = Message(
        key=MessageKey(book.new_key()),
        public_id=new.public_id,
        client=new.client,
        to=new.to,
        content=encoded(new.content),
        message_class=new.message_class,
        until=new.until,
        at=new.at,
        expires=new.expires,
        ref=ref,
        ref_held=ref is not None,
    )
    book.save_message(message)
    joined = False
    legs = new.deliveries
    if new.incident is not None:
        dedup = new.incident.key
        incident = None if dedup is None else book.open_incident(new.client, dedup)
        joined = incident is not None
        if incident is None:
            incident = Incident(
                key=IncidentKey(book.new_key()),
                client=new.client,
                dedup=dedup,
                message=message.key,
                message_class=new.message_class,
                plan=new.incident.plan,
                due=new.incident.due,
                begun_at=new.at,
                step_started=new.at,
            )
        elif new.message_class < incident.message_class:
            incident.message, incident.message_class = message.key, new.message_class
            incident.plan, incident.due, incident.step_started = new.incident.plan, new.incident.due, new.at
            incident.version += 1
            incident.muted_until = None
        else:
            legs = ()
        book.save_incident(incident)
        message.incident = incident.key
        if joined:
            data = {"incident": incident.key, "goes_on_with": bool(legs)}
            book.event(message.key, new.at, "joined", None, data)
    for leg in legs:
        book.add_delivery(units.opened(leg, DeliveryKey(book.new_key()), message, new.at))
    stored = Stored(message=message.key, public_id=new.public_id, ref=ref, joined=joined, answer=new.answer)
    if name is not None:
        book.answers[name] = _Answer(at=new.at, request_hash=new.request_hash, stored=stored)
    return stored


def _hold(book: MemoryBook, lanes: tuple[LinkName, ...]) -> int:
    fence = 1 + max(book.fences.values(), default=0)
    for link in lanes:
        book.fences[link] = fence
    book.held_links.update(lanes)
    return fence


def _owns(book: MemoryBook, lane: LinkName, fence: int) -> bool:
    return lane in book.held_links and book.fences[lane] == fence


def _due(book: MemoryBook, lane: LinkName, now: Instant) -> list[Delivery]:
    rows = [
        row
        for row in book.rows.values()
        if row.link == lane and row.state is State.WAITING and row.due is not None and row.due <= now
    ]
    return sorted(rows, key=_order)


def _begin(book: MemoryBook, lane: LinkName, fence: int, limit: int, ordinary: int, now: Instant) -> Taking:
    if not _owns(book, lane, fence):
        return Taking(begun=(), next_due=None)
    begun: list[Begun] = []
    for row in _due(book, lane, now):
        if len(begun) >= limit:
            break
        if not row.message_class.pressing and ordinary <= 0:
            continue
        message = book.messages[row.message]
        if message.content is None or checksum(row.link, row.address, message.content) != row.checksum:
            row.reason = "quarantined"
            units.move(book, row, Happening.QUARANTINED, now)
            book.event(row.message, now, "quarantined", row.key)
            units.stir(book, row.incident, now)
        elif row.deadline <= now:
            units.move(book, row, Happening.DEADLINE, now)
            book.event(row.message, now, "expired", row.key)
            units.stir(book, row.incident, now)
        elif row.incident is not None and units.gives_way(book, row, now):
            continue
        else:
            units.move(book, row, Happening.BEGIN, now)
            row.begun_at, row.fence = now, fence
            if row.incident is not None:
                row.copies_before = max(row.copies_before, units.device_copies(book, row))
            row.correlation = row.correlation or correlation(message.public_id, row.key)
            ordinary -= not row.message_class.pressing
            begun.append(begun_of(row, message))
    waiting = [
        row
        for row in book.rows.values()
        if row.link == lane and row.state is State.WAITING and row.due is not None
    ]
    return Taking(
        begun=tuple(begun),
        next_due=min((row.due for row in waiting if row.due is not None), default=None),
        next_critical=min(
            (row.due for row in waiting if row.due is not None and row.message_class == 0), default=None
        ),
    )


def _conclude(book: MemoryBook, done: Concluded) -> bool:
    row = book.rows.get(done.delivery)
    if row is None or row.link != done.lane or row.state is not State.BEGUN:
        return False
    if not _owns(book, done.lane, done.fence):
        return False
    verdict = done.verdict
    state = after(row.state, verdict.happening)
    units.move(book, row, verdict.happening, done.ended)
    level = verdict.level or (Level.HANDED_OVER if state is State.TAKEN else Level.STORED)
    row.due = None if state in FINAL else verdict.due
    row.policy = verdict.then if state is State.DOUBT else None
    row.tries += verdict.tries
    row.connects += verdict.connects
    row.doubts += verdict.doubts
    row.level = max(row.level, level)
    row.reason, row.code, row.why = verdict.reason, done.code, done.why
    row.parts = done.parts or row.parts
    book.event(done.message, done.ended, "attempt", row.key, units.attempt_data(done))
    if row.stop and row.state in units.STOPPABLE:
        row.reason = "stopped"
        units.move(book, row, Happening.CANCELLED, done.ended)
        book.event(done.message, done.ended, "cancelled", row.key, {"why": row.reason})
    if verdict.happening is Happening.IN_DOUBT and row.incident is not None:
        units.doubted(book, row)
    for ref in done.refs:
        new = _Reference(
            scope=ref.scope,
            ref=ref.ref,
            part=ref.part,
            delivery=row.key,
            link=row.link,
            level=max(level, Level.HANDED_OVER),
            enquire_at=ref.enquire_at,
            asked=0,
            taken_at=done.ended,
        )
        same = (new.scope, new.ref, new.part, new.delivery)
        book.references = [
            one for one in book.references if (one.scope, one.ref, one.part, one.delivery) != same
        ]
        book.references.append(new)
    units.stir(book, row.incident, done.ended)
    names = [(ref.scope, ref.ref) for ref in done.refs]
    early = [
        receipt
        for receipt in book.receipts.values()
        if receipt.pending
        and (
            receipt.delivery == row.key
            or (receipt.delivery is None and (receipt.evidence.scope, receipt.evidence.ref) in names)
        )
    ]
    units.catch_up(book, row, early, done.ended)
    return True


def _missed(book: MemoryBook, miss: Missed) -> int:
    if not _owns(book, miss.lane, miss.fence):
        return 0
    rows = _due(book, miss.lane, miss.ended)[: miss.limit]
    for row in rows:
        units.miss(book, row, miss)
    return len(rows)


def _reached(book: MemoryBook, lane: LinkName, fence: int, now: Instant) -> int:
    if not _owns(book, lane, fence):
        return 0
    waiting = book.on_link(lane, (State.WAITING,), len(book.rows))
    rows = [row for row in waiting if row.reason == MISSED and row.due is not None and row.due > now]
    for row in rows:
        row.due, row.reason = row.opened_at, None
    return len(rows)


def _lapse(book: MemoryBook, now: Instant) -> Lapsed:
    late = [
        row
        for row in book.rows.values()
        if row.state in OPEN and row.state is not State.BEGUN and row.deadline <= now
    ]
    late.sort(key=lambda row: (row.deadline, row.key))
    for row in late:
        moved(row, Happening.DEADLINE, now)
        book.open -= 1
        if len(late) <= MANY:
            book.event(row.message, now, "expired", row.key)
    if len(late) > MANY:
        told = book.clients({row.message for row in late})
        for row in late:
            if row.message in told:
                book.event(row.message, now, "expired", row.key)
        book.event(NOBODY, now, "many_expired", None, {"n": len(late)})
    doubts = [
        row
        for row in book.rows.values()
        if row.state is State.DOUBT and row.due is not None and row.due <= now
    ]
    doubts.sort(key=lambda row: (row.due, row.key))
    for row in doubts:
        units.settle(book, row, now)
    incidents = {row.incident for row in (*late, *doubts)} - {None}
    for incident in incidents:
        units.stir(book, incident, now)
    return Lapsed(
        expired=len(late),
        settled=len(doubts),
        lanes=frozenset(row.link for row in doubts if row.state is State.WAITING),
        incidents=bool(incidents),
    )


def _enquired(book: MemoryBook, enquiry: Enquiry, again: Instant | None) -> None:
    ref = enquiry.ref
    for one in book.references:
        if (one.scope, one.ref, one.part, one.delivery) == (ref.scope, ref.ref, ref.part, enquiry.delivery):
            one.asked += 1
            one.enquire_at = again


def _set_link(book: MemoryBook, link: LinkName, mode: str, by: str, why: str | None, now: Instant) -> None:
    book.modes[link] = (mode, by, why)
    book.event(NOBODY, now, "link_mode", None, {"link": link, "mode": mode, "by": by, "why": why})


def _over(book: MemoryBook, row: Message, before: Instant) -> bool:
    incident = None if row.incident is None else book.incidents[row.incident]
    end = ended_at(row, incident, book.deliveries(row.key))
    return end is not None and end < before


def _forget_texts(book: MemoryBook, before: Instant, limit: int) -> int:
    over = [row for row in book.messages.values() if row.content is not None and _over(book, row, before)]
    for row in over[:limit]:
        row.content = None
    return len(over[:limit])


def _forget_message(book: MemoryBook, id_: PublicId) -> bool:
    message = next((row for row in book.messages.values() if row.public_id == id_), None)
    if message is None:
        return True
    if message.incident is not None:
        raise Conflict("this message is pursued")
    rows = book.deliveries(message.key)
    if any(row.state in OPEN for row in rows):
        return False
    keys = {row.key for row in rows}
    for key in keys:
        del book.rows[key]
    book.references = [one for one in book.references if one.delivery not in keys]
    book.receipts = {name: one for name, one in book.receipts.items() if one.delivery not in keys}
    book.of_message.pop(message.key, None)
    book.events.pop(message.key, None)
    del book.messages[message.key]
    return True


def _forget_keys(book: MemoryBook, before: Instant, limit: int) -> int:
    names = [name for name, kept in book.answers.items() if kept.at < before][:limit]
    for name in names:
        del book.answers[name]
    limit -= len(names)
    early = [key for key, row in book.receipts.items() if row.pending and row.at < before][:limit]
    for key in early:
        del book.receipts[key]
    limit -= len(early)
    over = [row for row in book.messages.values() if row.ref_held and _over(book, row, before)][:limit]
    for row in over:
        row.ref_held = False
    return len(names) + len(early) + len(over)


def _order(row: Delivery) -> tuple[int, int, int]:
    return row.message_class, row.due or 0, row.key
