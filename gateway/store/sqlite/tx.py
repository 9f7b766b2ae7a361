"""The open transaction: rows in and out of SQL, for the writer's thread only.

Batches are written by statements of 64, 32, … 1 rows of bound VALUES: one step, so that the interpreter's
lock changes hands once and not for each row, and half the work of ``json_each`` (docs/decisions, 10).
"""

# ruff: noqa: S608  # statements are made of our own words; what others sent is bound

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from gateway.adapters.base import Evidence
from gateway.env import Env
from gateway.lifecycle import OPEN, State
from gateway.model import DeliveryKey, IncidentKey, Instant, LinkName, MessageKey
from gateway.outcome import Level
from gateway.store import units
from gateway.store.base import About, EventRow
from gateway.store.rows import NOBODY, TELLING, Delivery, Incident, Message, Noted, Notice, Receipt

_MESSAGE = """key, public_id, client, recipients AS "to", content, class AS message_class, until, at, expires,
    incident, ref, ref_held, accepted_by, accepted_at, ending"""
_DELIVERY = """key, message, incident, (SELECT link FROM lane WHERE lane.lane = delivery.lane) AS link,
    class AS message_class, state, leg, last, copies_before, person, device, address, due, deadline, level,
    tries, connects, doubts, dup_risk, possibly_sent, stop, fence, begun_at, correlation, policy, reason,
    code, why, setback, opened_at, changed_at, checksum, parts"""
_INCIDENT = """key, client, dedup, message, class AS message_class, plan, due, begun_at, step_started,
    version, ending, ended_at, accepted_by, accepted_at, muted_until"""
_NOTICE = "key, message, client, n, seq, kind, at, state, due, tries, tried"
_CHANGING = (
    *("state", "due", "level", "tries", "connects", "doubts", "dup_risk", "possibly_sent", "stop", "fence"),
    *("begun_at", "correlation", "policy", "reason", "code", "why", "setback", "changed_at", "copies_before"),
)

KNOWN = 20_000  # subjects whose last event's number is kept in memory: some 2 MB

_plain = msgspec.json.Encoder()


def sizes(count: int) -> Iterator[int]:
    """*count* as a sum of 64s and smaller powers of two, so that few statements are ever prepared."""
    size = 64
    while count:
        while size > count:
            size >>= 1
        yield size
        count -= size


@lru_cache(maxsize=512)
def _statement(head: str, width: int, count: int, tail: str) -> str:
    row = "(" + ",".join("?" * width) + ")"
    return head + ",".join([row] * count) + tail


def query(
    db: sqlite3.Connection, head: str, width: int, flat: list[Any], tail: str = "", *last: Any
) -> list[tuple[Any, ...]]:
    """The first row that each *head* rows *tail* gives, for all of *flat*, *width* values a row; *last* are
    those of the tail.

    Plain ints only: an enum or a bool costs sqlite3 a search for an adapter, half a microsecond each.
    """
    at = 0
    found = []
    for count in sizes(len(flat) // width):
        part = flat[at : at + count * width]
        part += last
        found.append(db.execute(_statement(head, width, count, tail), part).fetchone())
        at += count * width
    return found


def write(db: sqlite3.Connection, head: str, width: int, flat: list[Any], tail: str = "", *last: Any) -> None:
    """Like ``query``, of what gives no rows."""
    query(db, head, width, flat, tail, *last)


def highest(db: sqlite3.Connection) -> int:
    """The highest key on record."""
    found: int = db.execute(
        "SELECT max(coalesce((SELECT max(key) FROM message), 0),"
        " coalesce((SELECT max(key) FROM delivery), 0), coalesce((SELECT max(key) FROM incident), 0))"
    ).fetchone()[0]
    return found


class Reader:
    """Rows by key, on any connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        cursor = self.db.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def messages(self, where: str, *values: Any) -> list[Message]:
        found = self.rows(f"SELECT {_MESSAGE} FROM message WHERE {where}", *values)
        for row in found:
            row["to"] = msgspec.json.decode(row["to"], type=tuple[str, ...])
            row["content"] = None if row["content"] is None else row["content"].encode()
            row["ref_held"] = bool(row["ref_held"])
        return [msgspec.convert(row, Message, builtin_types=(bytes,)) for row in found]

    def all_deliveries(self, where: str, *values: Any) -> list[Delivery]:
        found = self.rows(f"SELECT {_DELIVERY} FROM delivery WHERE {where}", *values)
        for row in found:
            for flag in ("last", "dup_risk", "possibly_sent", "stop"):
                row[flag] = bool(row[flag])
            row["parts"] = None if row["parts"] is None else msgspec.json.decode(row["parts"])
        return [msgspec.convert(row, Delivery) for row in found]

    def incidents(self, where: str, *values: Any) -> list[Incident]:
        found = self.rows(f"SELECT {_INCIDENT} FROM incident WHERE {where}", *values)
        for row in found:
            row["plan"] = msgspec.json.decode(row["plan"])
        return [msgspec.convert(row, Incident) for row in found]

    def events(self, subject: MessageKey) -> list[EventRow]:
        found = self.rows(
            "SELECT n, at, kind, delivery, data FROM event WHERE subject = ? ORDER BY n", subject
        )
        for row in found:
            row["data"] = msgspec.json.decode(row["data"])
        return [msgspec.convert(row, EventRow) for row in found]

    def noticed(self, where: str, *values: Any) -> list[Notice]:
        return [
            msgspec.convert(row, Notice)
            for row in self.rows(f"SELECT {_NOTICE} FROM notice WHERE {where}", *values)
        ]

    def receipts(self, where: str, *values: Any) -> list[Receipt]:
        found = self.rows(
            f"SELECT evidence, link, at, delivery, message, pending FROM receipt WHERE {where}",
            *values,
        )
        for row in found:
            row["evidence"] = msgspec.json.decode(row["evidence"])
            row["pending"] = bool(row["pending"])
        return [msgspec.convert(row, Receipt) for row in found]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read within is of one commit."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            self.db.execute("COMMIT")

    # the getters of a Book

    def notice(self, key: int) -> Notice | None:
        return next(iter(self.noticed("key = ?", key)), None)

    def notices(self, message: MessageKey) -> list[Notice]:
        return self.noticed("message = ? ORDER BY seq", message)

    def message(self, key: MessageKey) -> Message | None:
        return next(iter(self.messages("key = ?", key)), None)

    def message_named(self, key: str) -> Message | None:
        """By public id, or the newest with that reference."""
        found = self.messages("public_id = ?", key.lower()) or self.messages(
            "ref = ? AND ref IS NOT NULL ORDER BY key DESC LIMIT 1", key.upper()
        )
        return next(iter(found), None)

    def incident(self, key: IncidentKey) -> Incident | None:
        return next(iter(self.incidents("key = ?", key)), None)

    def delivery(self, key: DeliveryKey) -> Delivery | None:
        return next(iter(self.all_deliveries("key = ?", key)), None)

    def deliveries(self, message: MessageKey) -> list[Delivery]:
        return self.all_deliveries("message = ? ORDER BY key", message)

    def pursued(self, incident: IncidentKey) -> list[Delivery]:
        return self.all_deliveries(
            "message IN (SELECT key FROM message WHERE incident = ?) ORDER BY key", incident
        )

    def receipt(self, evidence: Evidence) -> Receipt | None:
        found = self.receipts(
            "scope = ? AND ref = ? AND part = ? AND state = ?",
            evidence.scope,
            evidence.ref,
            evidence.part,
            evidence.state,
        )
        return next(iter(found), None)


class Lane:
    """A link's number and the fence under which its work is written; *held* by this process."""

    __slots__ = ("fence", "held", "link", "number")

    def __init__(self, number: int, link: LinkName, fence: int) -> None:
        self.number, self.link, self.fence, self.held = number, link, fence, False


class Tx(Reader):
    """The writer's connection with what it knows by heart: keys, lanes, counts. A Book for ``units``."""

    def __init__(self, db: sqlite3.Connection, env: Env, owner: str) -> None:
        super().__init__(db)
        self.env = env
        self.owner = owner
        self.lanes: dict[LinkName, Lane] = {}
        self.links: dict[int, LinkName] = {}
        self.next_key = highest(db) + 1
        self.open = self.pending = 0
        self._events: list[tuple[int, Instant, str, int | None, str]] = []
        self._numbers: dict[int, int] = {}
        self.about: About = {}
        self.left_for: set[str] = set()  # clients for whom notices were left since the last commit
        self._told: set[int] = set()  # messages of clients that are told, where a batch knows them
        self._noted: list[Noted] = []
        self.reload()

    def reload(self) -> None:
        """Know again what is on record, after something was undone."""
        self._events.clear()
        self._numbers.clear()
        self._noted.clear()
        self._told.clear()
        self.load_lanes()
        self.open = self.db.execute("SELECT count(*) FROM delivery WHERE state <= 3").fetchone()[0]
        self.pending = self.db.execute("SELECT count(*) FROM receipt WHERE pending").fetchone()[0]

    def load_lanes(self) -> None:
        held = {link for link, lane in self.lanes.items() if lane.held}
        self.lanes.clear()
        self.links.clear()
        for number, link, fence in self.db.execute("SELECT lane, link, fence FROM lane").fetchall():
            self.lanes[link] = lane = Lane(number, link, fence)
            self.links[number] = link
            lane.held = link in held

    def lane(self, link: LinkName) -> Lane:
        """The lane of a link, numbered when it is first met."""
        try:
            return self.lanes[link]
        except KeyError:
            number = len(self.lanes) + 1
            self.db.execute("INSERT INTO lane (lane, link) VALUES (?, ?)", (number, link))
            self.links[number] = link
            self.lanes[link] = lane = Lane(number, link, 0)
            return lane

    @contextmanager
    def part(self) -> Iterator[None]:
        """What can be undone alone: after an exception nothing of it has happened."""
        before = self.open, self.pending, len(self._events)
        self.db.execute("SAVEPOINT part")
        try:
            yield
            self.flush()
            if self._noted:
                self._notice()
        except BaseException:
            self._noted.clear()
            self._told.clear()
            self.open, self.pending = before[0], before[1]
            del self._events[before[2] :]
            self._numbers.clear()
            if self.db.in_transaction:  # else SQLite has undone all of it already
                self.db.execute("ROLLBACK TO part")
                self.db.execute("RELEASE part")
                self.load_lanes()
            raise
        self.db.execute("RELEASE part")

    # the rest of a Book

    def new_key(self) -> int:
        key = self.next_key
        self.next_key += 1
        return key

    def companions(self, incident: IncidentKey, limit: int) -> list[MessageKey]:
        rows = self.db.execute(
            "SELECT key FROM message WHERE incident = ? ORDER BY key DESC LIMIT ?", (incident, limit)
        )
        return [MessageKey(row[0]) for row in rows.fetchall()]

    def on_link(self, link: LinkName, states: Sequence[State], limit: int) -> list[Delivery]:
        lane = self.lanes.get(link)
        found: list[Delivery] = []
        for state in states if lane is not None else ():
            # "class >= 0" makes SQLite seek by state too; see also _of_class in work
            where = "lane = ? AND state = ? AND class >= 0 AND state <= 3 LIMIT ?"
            found += self.all_deliveries(where, self.lanes[link].number, state, limit - len(found))
        return found

    def pressing_on(self, link: LinkName, limit: int) -> list[Delivery]:
        lane = self.lanes.get(link)
        if lane is None:
            return []
        where = "lane = ? AND state = 0 AND class <= 1 AND state <= 3 ORDER BY class, due, key LIMIT ?"
        return self.all_deliveries(where, lane.number, limit)

    def held(self, link: LinkName) -> bool:
        return link in self.lanes and self.lanes[link].held

    def other_open(self, incident: Incident) -> bool:
        return incident.dedup is not None and bool(
            self.incidents(
                "client = ? AND dedup = ? AND ending IS NULL AND key != ?",
                incident.client,
                incident.dedup,
                incident.key,
            )
        )

    def save_message(self, row: Message) -> None:
        self.db.execute(
            "UPDATE message SET accepted_by = ?, accepted_at = ?, ending = ? WHERE key = ?",
            (row.accepted_by, row.accepted_at, row.ending, row.key),
        )

    def save_incident(self, row: Incident) -> None:
        self.db.execute(
            "UPDATE incident SET due = ?, version = ?, ending = ?, ended_at = ?, accepted_by = ?,"
            " accepted_at = ?, message = ?, class = ?, plan = ?, step_started = ?, muted_until = ?"
            " WHERE key = ?",
            (row.due, row.version, row.ending, row.ended_at, row.accepted_by, row.accepted_at, row.message,
             row.message_class, _plain.encode(row.plan).decode(), row.step_started, row.muted_until, row.key),
        )  # fmt: skip

    def save_delivery(self, row: Delivery) -> None:
        marks = ", ".join(f"{name} = ?" for name in _CHANGING)
        values = [getattr(row, name) for name in _CHANGING]
        parts = None if row.parts is None else _plain.encode(row.parts).decode()
        self.db.execute(f"UPDATE delivery SET {marks}, parts = ? WHERE key = ?", (*values, parts, row.key))

    def add_delivery(self, row: Delivery) -> None:
        self.open += row.state in OPEN
        self.db.execute(
            "INSERT INTO delivery (key, message, incident, lane, class, leg, last, copies_before, person,"
            " device, address, due, deadline, dup_risk, opened_at, changed_at, checksum)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (row.key, row.message, row.incident, self.lane(row.link).number, row.message_class, row.leg,
             row.last, row.copies_before, row.person, row.device, row.address, row.due, row.deadline,
             row.dup_risk, row.opened_at, row.changed_at, row.checksum),
        )  # fmt: skip

    def event(
        self,
        subject: MessageKey,
        at: Instant,
        kind: str,
        delivery: DeliveryKey | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        self._events.append((subject, at, kind, delivery, _plain.encode(data or {}).decode()))

    def stored(self, messages: Sequence[int]) -> None:
        """The messages are new: event 1 of each is implied by its row."""
        self._numbers.update(dict.fromkeys(messages, 1))
        self._forget()

    def _forget(self) -> None:
        if len(self._numbers) > KNOWN:
            for subject in list(islice(self._numbers, len(self._numbers) - KNOWN // 2)):
                del self._numbers[subject]

    def flush(self) -> None:
        """Write the events that were noted. The n of each is counted under its subject from 2 (from 1 for
        nobody's): 1 is implied by the message's row. The last of recent subjects are known by heart: nobody
        else writes."""
        if not self._events:
            return
        last = self._numbers
        unknown = {event[0] for event in self._events}.difference(last)
        if unknown:
            subjects = _plain.encode(sorted(unknown)).decode()
            last.update(msgspec.json.decode(self.db.execute(_LAST_EVENTS, (subjects,)).fetchone()[0]))
        flat: list[Any] = []
        for subject, at, kind, delivery, data in self._events:
            last[subject] = n = last[subject] + 1
            flat += (subject, n, at, kind, delivery, data)
        if self.about:
            self._note(flat)
        self._events.clear()
        write(self.db, _EVENTS, 6, flat)
        self._forget()

    def concerns(self, message: MessageKey, client: str) -> None:
        """The attempts of this unit on *message*, of *client*, may be worth a notice: others are not looked
        at, so that who is told nothing costs nothing."""
        if client in self.about:
            self._told.add(message)

    def _note(self, flat: list[Any]) -> None:
        for at in range(0, len(flat), 6):
            subject, kind = flat[at], flat[at + 3]
            if kind in TELLING and (subject in self._told if kind == "attempt" else subject != NOBODY):
                data = msgspec.json.decode(flat[at + 5])
                self._noted.append(Noted(subject, flat[at + 1], flat[at + 2], kind, data))

    def _notice(self) -> None:
        noted, self._noted = self._noted, []
        self._told.clear()
        self.left_for |= units.notice(self, noted)

    def clients(self, messages: Iterable[MessageKey]) -> dict[MessageKey, str]:
        if not self.about:
            return {}
        keys = _plain.encode(sorted(messages)).decode()
        rows = self.db.execute(
            "SELECT key, client FROM message WHERE key IN (SELECT value FROM json_each(?))", (keys,)
        )
        return {MessageKey(key): client for key, client in rows.fetchall() if client in self.about}

    def new_notice(self) -> int:
        found: int = self.db.execute("SELECT coalesce(max(key), 0) + 1 FROM notice").fetchone()[0]
        return found

    def save_notice(self, row: Notice) -> None:
        self.db.execute(
            f"INSERT INTO notice ({_NOTICE}) VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (key) DO UPDATE SET"
            " state = excluded.state, due = excluded.due, tries = excluded.tries, tried = excluded.tried",
            (row.key, row.message, row.client, row.n, row.seq, row.kind, row.at, row.state, row.due,
             row.tries, row.tried),
        )  # fmt: skip

    def drop_notice(self, row: Notice) -> None:
        self.db.execute("DELETE FROM notice WHERE key = ?", (row.key,))

    def save_receipt(self, row: Receipt) -> None:
        known = self.receipt(row.evidence)
        self.pending += row.pending - (known is not None and known.pending)
        evidence = row.evidence
        self.db.execute(
            "INSERT OR REPLACE INTO receipt VALUES (?,?,?,?,?,?,?,?,?,?)",
            (evidence.scope, evidence.ref, evidence.part, evidence.state, _plain.encode(evidence).decode(),
             row.link, row.at, row.delivery, row.message, row.pending),
        )  # fmt: skip

    def named(self, evidence: Evidence, link: LinkName) -> tuple[DeliveryKey, int] | None:
        row = self.db.execute(
            "SELECT delivery, part FROM carrier_ref WHERE scope = ? AND ref = ?"
            " ORDER BY delivery DESC, part = ? DESC LIMIT 1",
            (evidence.scope, evidence.ref, evidence.part),
        ).fetchone()
        return None if row is None else (DeliveryKey(row[0]), row[1])

    def prove(self, evidence: Evidence, delivery: DeliveryKey, part: int) -> list[tuple[int, Level]]:
        self.db.execute(
            "UPDATE carrier_ref SET level = max(level, ?), enquire_at = iif(?, NULL, enquire_at)"
            " WHERE scope = ? AND ref = ? AND delivery = ? AND part = ?",
            (evidence.level or 0, evidence.final, evidence.scope, evidence.ref, delivery, part),
        )
        rows = self.db.execute("SELECT part, level FROM carrier_ref WHERE delivery = ?", (delivery,))
        return [(part, Level(level)) for part, level in rows.fetchall()]


_EVENTS = "INSERT INTO event (subject, n, at, kind, delivery, data) VALUES "
_LAST_EVENTS = (
    "SELECT json_group_array(json_array(value, coalesce("
    "(SELECT max(n) FROM event WHERE subject = value), value != 0))) FROM json_each(?)"
)
