"""Beginning (T2), concluding (T3) and what time does, for a whole batch at once."""

# ruff: noqa: S608  # statements are made of our own words; what others sent is bound

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from gateway.lifecycle import FINAL, Happening, State, after, states_before
from gateway.model import (
    DeliveryKey,
    IncidentKey,
    Instant,
    LinkName,
    MessageClass,
    MessageKey,
    PublicId,
    Ref,
    checksum,
)
from gateway.outcome import CarrierRef, Level
from gateway.store import units
from gateway.store.base import Begun, Concluded, Enquiry, Lapsed, Missed, PartsTaken, Taking
from gateway.store.rows import MANY, MISSED, NOBODY, correlation, decoded
from gateway.store.sqlite.reader import ReadThread
from gateway.store.sqlite.tx import Reader, Tx, query, write
from gateway.store.sqlite.writer import Kind, Writer, stops_all

NOWHERE = 0  # the number of no lane
LAPSE_CHUNK = 2_000  # deliveries that one unit expires or settles at most: about 20 ms

_plain = msgspec.json.Encoder()


# ---------------------------------------------------------------- T2


class Begin(msgspec.Struct, frozen=True):
    """The arguments of Work.begin."""

    lane: LinkName
    fence: int
    limit: int
    ordinary: int
    now: Instant


class _Due(msgspec.Struct, array_like=True, frozen=True):
    """A delivery that may be begun, as ``_TAKE`` prints it."""

    key: DeliveryKey
    message: MessageKey
    incident: IncidentKey | None
    public_id: PublicId
    ref: Ref | None
    client: str
    content: str | None
    message_class: MessageClass
    person: str | None
    device: str | None
    address: str
    correlation: str | None
    tries: int
    connects: int
    doubts: int
    dup_risk: int
    opened_at: Instant
    begun_at: Instant | None
    deadline: Instant
    last: int
    copies_before: int
    copies: int
    due: Instant | None
    checksum: int
    parts: PartsTaken | None


_COPIES = (  # units.device_copies, for the rows that have other legs
    "(SELECT coalesce(sum(max(o.doubts + (o.state IN ("
    + ", ".join(str(int(state)) for state in units.ONE_MORE)
    + ")), o.parts IS NOT NULL AND json_array_length(o.parts, '$[2]') > 0)), 0)"
    " FROM delivery o WHERE o.message = d.message AND o.key != d.key AND o.address = d.address"
    " AND o.device IS d.device)"
)
_DUE = (
    "json_array(d.key, d.message, d.incident, m.public_id, m.ref, m.client, m.content, d.class, d.person,"
    " d.device, d.address, d.correlation, d.tries, d.connects, d.doubts, d.dup_risk, d.opened_at, d.begun_at,"
    f" d.deadline, d.last, d.copies_before, iif(d.incident IS NULL, 0, {_COPIES}), d.due, d.checksum,"
    " json(d.parts))"
)
_JOINED = "FROM delivery d JOIN message m ON m.key = d.message WHERE d.key"


def _of_class(number: int, limit: str) -> str:
    # "state <= 3" is said again because only then SQLite knows that the partial index will do
    return (
        "SELECT * FROM (SELECT key, class, due FROM delivery WHERE lane = :lane AND state = 0 AND state <= 3"
        f" AND class = {number} AND due <= :now ORDER BY due, key LIMIT {limit})"
    )


_PRESSING = " UNION ALL ".join(_of_class(number, ":limit") for number in (0, 1))
_ORDINARY = " UNION ALL ".join(_of_class(number, ":ordinary") for number in (2, 3))
_FIRST = (
    f"(SELECT key FROM ({_PRESSING} UNION ALL SELECT * FROM ({_ORDINARY} ORDER BY class, due, key"
    " LIMIT :ordinary)) ORDER BY class, due, key LIMIT :limit)"
)
_TAKE = f"SELECT json_group_array(key) FROM {_FIRST}"
# without a message's row its public id is null, which is no row of a _Due
_TAKE_ROWS = (
    f"SELECT CAST(json_group_array({_DUE}) AS BLOB) FROM {_FIRST} f CROSS JOIN delivery d ON d.key = f.key"
    " LEFT JOIN message m ON m.key = d.message"
)
_NEXT = "SELECT min(due), min(due) FILTER (WHERE class = 0) FROM (" + " UNION ALL ".join(
    "SELECT * FROM (SELECT class, due FROM delivery WHERE lane = ?1 AND state = 0 AND state <= 3"
    f" AND class = {number} AND due >= 0 ORDER BY due LIMIT 1)"
    for number in MessageClass
) + ")"  # fmt: skip

_BEGIN = "WITH j (k, name, copies) AS (VALUES "
_BEGIN_TAIL = (
    ") UPDATE delivery SET state = 1, begun_at = ?, changed_at = ?, fence = ?, correlation = j.name,"
    " copies_before = j.copies FROM j"
    " WHERE key = j.k AND state = 0"
)

_rows_due = msgspec.json.Decoder(list[_Due])


def begin(tx: Tx, asked: list[Begin]) -> list[Taking]:
    results = []
    for ask in asked:
        lane = tx.lanes.get(ask.lane)
        if lane is None or lane.fence != ask.fence or not lane.held:
            results.append(Taking(begun=(), next_due=None))
            continue
        begun: list[Begun] = []
        pressing = ordinary = 0
        for _ in range(10):  # rows that cannot be begun make room for others, within reason
            wanted = ask.limit - len(begun)
            if wanted <= 0:
                break
            rows, broken = _due(
                tx,
                {
                    "lane": lane.number,
                    "now": ask.now,
                    "limit": wanted,
                    "ordinary": min(wanted, ask.ordinary - ordinary),
                },
            )
            for key in broken:
                _quarantine(tx, key, ask.now)
            devices: set[tuple[int, str, str | None]] = set()  # of pursued rows begun after *rows* were read
            good = [row for row in rows if _may_begin(tx, ask, row, devices)]
            if good:
                marks: list[Any] = []
                for row in good:
                    name = row.correlation or correlation(row.public_id, row.key)
                    copies = max(row.copies_before, row.copies)
                    begun.append(_begun(row, ask, name, copies))
                    marks += (row.key, name, copies)
                pressing += sum(row.message_class.pressing for row in good)
                ordinary = len(begun) - pressing
                write(tx.db, _BEGIN, 3, marks, _BEGIN_TAIL, ask.now, ask.now, ask.fence)
            if len(good) == len(rows) and not broken:
                break
        due, critical = tx.db.execute(_NEXT, (lane.number,)).fetchone()
        results.append(Taking(begun=tuple(begun), next_due=due, next_critical=critical))
    return results


def interrupted(tx: Reader, link: LinkName, fence: int) -> tuple[Begun, ...]:
    """Rows begun under an earlier fence; those that cannot be read any more are left out."""
    keys = tx.db.execute(
        "SELECT json_group_array(key) FROM delivery WHERE lane = (SELECT lane FROM lane WHERE link = ?)"
        " AND state = 1 AND class >= 0 AND state <= 3 AND fence < ?",
        (link, fence),
    ).fetchone()[0]
    rows, _ = _read(tx, keys)
    ask = Begin(link, fence, 0, 0, Instant(0))
    return tuple(
        _begun(
            row,
            ask,
            row.correlation or correlation(row.public_id, row.key),
            row.copies_before,  # as it was when it was begun
            begun_at=row.begun_at,
        )
        for row in rows
        if row.content is not None
    )


def _due(tx: Reader, wanted: dict[str, int]) -> tuple[list[_Due], list[int]]:
    """The rows to be taken, in order, and the keys of those that are damaged beyond reading."""
    try:
        found = tx.db.execute(_TAKE_ROWS, wanted).fetchone()[0]
        return sorted(_rows_due.decode(found), key=_order), []
    except (msgspec.MsgspecError, UnicodeError, sqlite3.Error) as error:
        _if_disk(error)
    return _read(tx, tx.db.execute(_TAKE, wanted).fetchone()[0])


def _read(tx: Reader, keys: str) -> tuple[list[_Due], list[int]]:
    """The rows of *keys* (JSON) in that order, and the keys of rows that are damaged beyond reading."""
    if keys == "[]":
        return [], []
    try:
        found = tx.db.execute(
            f"SELECT CAST(json_group_array({_DUE}) AS BLOB) {_JOINED} IN (SELECT value FROM json_each(?))",
            (keys,),
        ).fetchone()[0]
        rows = _rows_due.decode(found)
        if len(rows) == keys.count(",") + 1:
            return sorted(rows, key=_order), []
    except (msgspec.MsgspecError, UnicodeError, sqlite3.Error) as error:
        _if_disk(error)
    rows = []
    broken: list[int] = []
    for key in msgspec.json.decode(keys):  # one of them is damaged: which?
        try:
            found = tx.db.execute(f"SELECT CAST(json_array({_DUE}) AS BLOB) {_JOINED} = ?", (key,)).fetchone()
            rows += _rows_due.decode(found[0])
        except (msgspec.MsgspecError, UnicodeError, sqlite3.Error, TypeError) as error:
            _if_disk(error)
            broken.append(key)
    return sorted(rows, key=_order), broken


def _if_disk(error: Exception) -> None:
    if isinstance(error, sqlite3.Error) and stops_all(error):
        raise error


def _order(row: _Due) -> tuple[int, int, int]:
    return row.message_class, row.due or 0, row.key


def _may_begin(tx: Tx, ask: Begin, row: _Due, devices: set[tuple[int, str, str | None]]) -> bool:
    if row.content is None or checksum(ask.lane, row.address, row.content.encode()) != row.checksum:
        _quarantine(tx, row.key, ask.now)
        return False
    if row.deadline <= ask.now:
        found = tx.delivery(row.key)
        assert found is not None
        units.move(tx, found, Happening.DEADLINE, ask.now)
        tx.event(row.message, ask.now, "expired", row.key)
        units.stir(tx, row.incident, ask.now)
        return False
    if row.incident is None:
        return True
    device = (row.message, row.address, row.device)
    if device in devices or row.copies:  # as nearly never: another leg is under way, or was
        found = tx.delivery(row.key)
        assert found is not None
        if device in devices:
            units.wait_a_moment(tx, found, ask.now)
            return False
        if units.gives_way(tx, found, ask.now):
            return False
    devices.add(device)
    return True


def _quarantine(tx: Tx, key: int, now: Instant) -> None:
    """By SQL alone: other columns of the row may be unreadable."""
    message, state, incident = tx.db.execute(
        "SELECT message, state, incident FROM delivery WHERE key = ?", (key,)
    ).fetchone()
    tx.db.execute(
        "UPDATE delivery SET state = ?, reason = 'quarantined', due = NULL, changed_at = ? WHERE key = ?",
        (after(State(state), Happening.QUARANTINED), now, key),
    )
    tx.open -= 1
    if isinstance(message, int):
        tx.event(MessageKey(message), now, "quarantined", DeliveryKey(key))
    if isinstance(incident, int):
        units.stir(tx, IncidentKey(incident), now)


def _begun(row: _Due, ask: Begin, name: str, copies: int, begun_at: Instant | None = None) -> Begun:
    assert row.content is not None
    return Begun(
        delivery=row.key,
        message=row.message,
        incident=row.incident,
        public_id=row.public_id,
        ref=row.ref,
        client=row.client,
        content=decoded(row.content.encode()),
        message_class=row.message_class,
        person=row.person,
        device=row.device,
        address=row.address,
        link=ask.lane,
        correlation=name,
        tries=row.tries,
        connects=row.connects,
        doubts=row.doubts,
        dup_risk=bool(row.dup_risk),
        opened_at=row.opened_at,
        begun_at=ask.now if begun_at is None else begun_at,
        deadline=row.deadline,
        last=bool(row.last),
        copies_before=copies,
        parts=row.parts,
    )


# ---------------------------------------------------------------- T3

_CONCLUDE = (
    "WITH j (k, state, due, policy, tries, connects, doubts, level, reason, code, why, at, sent) AS (VALUES "
)
_CONCLUDE_TAIL = (
    ") UPDATE delivery SET state = j.state, due = j.due, policy = j.policy, tries = delivery.tries + j.tries,"
    " connects = delivery.connects + j.connects, doubts = delivery.doubts + j.doubts,"
    " level = max(delivery.level, j.level), reason = j.reason, code = j.code, why = j.why, changed_at = j.at,"
    " possibly_sent = iif(j.state = 4, 0, max(possibly_sent, dup_risk, j.sent))"
    " FROM j WHERE key = j.k AND delivery.state = 1"
)
_PARTS = "WITH j (k, parts) AS (VALUES "
_PARTS_TAIL = ") UPDATE delivery SET parts = j.parts FROM j WHERE key = j.k"
_REF = (
    "INSERT OR REPLACE INTO carrier_ref"
    " (scope, ref, delivery, part, lane, level, enquire_at, taken_at) VALUES "
)


_PLACES = "WITH j (k, lane) AS (VALUES "
_THERE = " FROM j JOIN delivery d ON d.key = k WHERE d.state = 1 AND d.lane = j.lane"
_SPECIAL = (
    ") SELECT count(*), json_group_array(json_array(k, j.lane, incident, stop))"
    f" FILTER (WHERE incident IS NOT NULL OR stop){_THERE}"
)
_BEGUN = f") SELECT json_group_array(json_array(k, j.lane)){_THERE}"
_USUAL: tuple[IncidentKey | None, int] = (None, 0)


def _special(
    tx: Tx, places: list[tuple[DeliveryKey, int]]
) -> dict[tuple[DeliveryKey, int], tuple[IncidentKey | None, int] | None]:
    """What is special about deliveries that are to be concluded on lanes: None for those not begun there, or
    the incident and whether they are to be stopped. Others are ``_USUAL``."""
    special: dict[tuple[DeliveryKey, int], tuple[IncidentKey | None, int] | None] = {}
    flat = [number for place in places for number in place]
    count = 0
    for part, rows in query(tx.db, _PLACES, 2, flat, _SPECIAL):
        count += part
        for key, lane, incident, stop in msgspec.json.decode(rows):
            special[key, lane] = incident, stop
    if count < len(places):
        found = query(tx.db, _PLACES, 2, flat, _BEGUN)
        begun = {(key, lane) for (rows,) in found for key, lane in msgspec.json.decode(rows)}
        special.update((place, None) for place in places if place not in begun)
    return special


def conclude(tx: Tx, dones: list[Concluded]) -> list[bool | BaseException]:
    results: list[bool | BaseException] = []
    changes: list[Any] = []
    refs: list[Any] = []
    parts: list[Any] = []
    stirred: list[tuple[IncidentKey, Instant]] = []
    late: list[Concluded] = []
    doubted: list[DeliveryKey] = []
    places: list[tuple[DeliveryKey, int]] = []
    for done in dones:
        lane = tx.lanes.get(done.lane)
        theirs = lane is not None and lane.held and lane.fence == done.fence
        places.append((done.delivery, lane.number if lane is not None and theirs else NOWHERE))
    special = _special(tx, places)
    for done, place in zip(dones, places, strict=True):
        found = special.get(place, _USUAL)
        if found is None:
            results.append(False)
            continue
        incident, stop = found
        special[place] = None  # a second result of the same attempt counts no more
        verdict = done.verdict
        state = after(State.BEGUN, verdict.happening)
        reason, due = verdict.reason, verdict.due
        tx.event(done.message, done.ended, "attempt", done.delivery, units.attempt_data(done))
        if tx.about:
            tx.concerns(done.message, done.client)
        if stop and state in units.STOPPABLE:
            reason, sent = "stopped", state is State.DOUBT
            state = after(state, Happening.CANCELLED)
            tx.event(done.message, done.ended, "cancelled", done.delivery, {"why": reason})
        else:
            sent = False
        if state in FINAL:
            due = None
            tx.open -= 1
        level = verdict.level or (Level.HANDED_OVER if state is State.TAKEN else Level.STORED)
        changes += (done.delivery, int(state), due, verdict.then if state is State.DOUBT else None,
                    verdict.tries, verdict.connects, verdict.doubts, int(level), reason, done.code,
                    done.why, done.ended, int(sent))  # fmt: skip
        for ref in done.refs:
            refs += (ref.scope, ref.ref, done.delivery, ref.part, place[1],
                     int(max(level, Level.HANDED_OVER)), ref.enquire_at, done.ended)  # fmt: skip
        if done.parts is not None:
            parts += (done.delivery, _plain.encode(done.parts).decode())
        if incident is not None:
            stirred.append((incident, done.ended))
            if verdict.happening is Happening.IN_DOUBT:
                doubted.append(done.delivery)
        if tx.pending:
            late.append(done)
        results.append(True)
    write(tx.db, _CONCLUDE, 13, changes, _CONCLUDE_TAIL)
    write(tx.db, _REF, 8, refs)
    write(tx.db, _PARTS, 2, parts, _PARTS_TAIL)
    tx.flush()
    for key in doubted:
        row = tx.delivery(key)
        assert row is not None
        units.doubted(tx, row)
    for incident, at in stirred:
        units.stir(tx, incident, at)
    for done in late:
        _catch_up(tx, done)
    return results


def _catch_up(tx: Tx, done: Concluded) -> None:
    found = tx.receipts("pending AND delivery = ?", done.delivery)
    for ref in done.refs:
        found += tx.receipts("pending AND delivery IS NULL AND scope = ? AND ref = ?", ref.scope, ref.ref)
    row = tx.delivery(done.delivery) if found else None
    if row is not None:
        units.catch_up(tx, row, found, done.ended)


# ---------------------------------------------------------------- time


_BEFORE_DEADLINE = ", ".join(str(int(state)) for state in states_before(Happening.DEADLINE))
_LATE = (
    "SELECT json_group_array(json_array(key, message, incident)) FROM (SELECT key, message, incident FROM"
    f" delivery WHERE deadline <= ? AND state <= 3 AND state IN ({_BEFORE_DEADLINE})"
    " ORDER BY deadline, key LIMIT ?)"
)
_EXPIRE = (
    "UPDATE delivery SET possibly_sent = max(possibly_sent, dup_risk, state IN (2, 3)),"
    f" state = {State.EXPIRED:d}, due = NULL, policy = NULL, changed_at = ?"
    " WHERE key IN (SELECT value FROM json_each(?))"
)


def lapse(tx: Tx, now: Instant, summary: int | None) -> tuple[Lapsed, int | None, bool]:
    """One chunk: what it did, the number of the summary event if there is one, whether there is more."""
    found = tx.db.execute(_LATE, (now, LAPSE_CHUNK)).fetchone()[0]
    late: list[tuple[DeliveryKey, MessageKey, IncidentKey | None]] = msgspec.json.decode(found)
    incidents = {incident for _, _, incident in late}
    tx.db.execute(_EXPIRE, (now, _plain.encode([key for key, _, _ in late]).decode()))
    tx.open -= len(late)
    if len(late) > MANY or (late and summary is not None):
        told = tx.clients({message for _, message, _ in late})
        for key, message, _ in late:
            if message in told:
                tx.event(message, now, "expired", key)
        summary = _summary(tx, now, len(late), summary)
    else:
        for key, message, _ in late:
            tx.event(message, now, "expired", key)
    doubts = tx.all_deliveries("state = 2 AND due <= ? ORDER BY due, key LIMIT ?", now, LAPSE_CHUNK)
    lanes = set()
    for row in doubts:
        incidents.add(row.incident)
        units.settle(tx, row, now)
        if row.state is State.WAITING:
            lanes.add(row.link)
    for incident in sorted(key for key in incidents if key is not None):
        units.stir(tx, incident, now)
    done = Lapsed(
        expired=len(late),
        settled=len(doubts),
        lanes=frozenset(lanes),
        incidents=bool(incidents - {None}),
    )
    return done, summary, LAPSE_CHUNK in (len(late), len(doubts))


def _summary(tx: Tx, now: Instant, count: int, n: int | None) -> int:
    if n is None:
        tx.event(NOBODY, now, "many_expired", None, {"n": count})
        tx.flush()
        return int(tx.db.execute("SELECT max(n) FROM event WHERE subject = 0").fetchone()[0])
    tx.db.execute(
        "UPDATE event SET data = json_set(data, '$.n', (data ->> 'n') + ?) WHERE subject = 0 AND n = ?",
        (count, n),
    )
    return n


# ---------------------------------------------------------------- the room

CONCLUDE = Kind(2, conclude)
BEGIN = Kind(4, begin)


class Work:
    """For dispatch."""

    def __init__(self, writer: Writer, reader: ReadThread) -> None:
        self._writer = writer
        self._reader = reader

    async def hold(self, lanes: tuple[LinkName, ...]) -> int:
        return await self._writer.change(lambda tx: _hold(tx, lanes))

    async def interrupted(self, lane: LinkName, fence: int) -> tuple[Begun, ...]:
        return await self._reader.ask(lambda db: interrupted(db, lane, fence))

    async def begin(self, lane: LinkName, fence: int, *, limit: int, ordinary: int, now: Instant) -> Taking:
        taking: Taking = await self._writer.put(BEGIN, Begin(lane, fence, limit, ordinary, now))
        return taking

    async def conclude(self, done: Concluded) -> bool:
        written: bool = await self._writer.put(CONCLUDE, done)
        return written

    async def missed(self, miss: Missed) -> int:
        return await self._writer.change(lambda tx: _missed(tx, miss))

    async def reached(self, lane: LinkName, fence: int, now: Instant) -> int:
        return await self._writer.change(lambda tx: _reached(tx, lane, fence, now))

    async def lapse(self, now: Instant) -> Lapsed:
        total, summary, more = Lapsed(expired=0, settled=0, lanes=frozenset(), incidents=False), None, True
        while more:
            chunk = self._writer.change(lambda tx, n=summary: lapse(tx, now, n))  # type: ignore[misc]
            one, summary, more = await chunk
            total = Lapsed(
                expired=total.expired + one.expired,
                settled=total.settled + one.settled,
                lanes=total.lanes | one.lanes,
                incidents=total.incidents or one.incidents,
            )
        return total

    async def next_lapse(self) -> Instant | None:
        return await self._reader.ask(_next_lapse)

    async def goes_on(self, delivery: DeliveryKey, lane: LinkName, fence: int, now: Instant) -> bool:
        return await self._reader.ask(lambda db: _goes_on(db, delivery, lane, fence, now))

    async def enquiries(self, lane: LinkName, now: Instant, limit: int) -> tuple[Enquiry, ...]:
        return await self._reader.ask(lambda db: _enquiries(db, lane, now, limit))

    async def next_enquiry(self, lane: LinkName) -> Instant | None:
        return await self._reader.ask(lambda db: _next_enquiry(db, lane))

    async def enquired(self, enquiry: Enquiry, again: Instant | None) -> None:
        await self._writer.change(lambda tx: _enquired(tx, enquiry, again))


def _hold(tx: Tx, links: tuple[LinkName, ...]) -> int:
    lanes = [tx.lane(link) for link in links]
    fence = 1 + max((lane.fence for lane in tx.lanes.values()), default=0)
    for lane in lanes:
        tx.db.execute("UPDATE lane SET owner = ?, fence = ? WHERE lane = ?", (tx.owner, fence, lane.number))
        lane.fence, lane.held = fence, True
    return fence


def _missed(tx: Tx, miss: Missed) -> int:
    lane = tx.lanes.get(miss.lane)
    if lane is None or not lane.held or lane.fence != miss.fence:
        return 0
    ask = {"lane": lane.number, "now": miss.ended, "limit": miss.limit, "ordinary": miss.limit}
    rows = tx.all_deliveries(
        "key IN (SELECT value FROM json_each(?)) ORDER BY class, due, key",
        tx.db.execute(_TAKE, ask).fetchone()[0],
    )
    for row in rows:
        units.miss(tx, row, miss)
    return len(rows)


def _reached(tx: Tx, link: LinkName, fence: int, now: Instant) -> int:
    lane = tx.lanes.get(link)
    if lane is None or not lane.held or lane.fence != fence:
        return 0
    return sum(  # by class: what is due already is not even looked at
        tx.db.execute(
            "UPDATE delivery SET due = opened_at, reason = NULL WHERE lane = ?2 AND state = 0 AND state <= 3"
            " AND class = ?3 AND due > ?1 AND reason = ?4",
            (now, lane.number, number, MISSED),
        ).rowcount
        for number in MessageClass
    )


def _next_lapse(db: Reader) -> Instant | None:
    found: Instant | None = db.db.execute(
        "SELECT min(at) FROM (SELECT * FROM (SELECT deadline AS at FROM delivery WHERE state <= 3"
        " AND state != 1 ORDER BY deadline LIMIT 1) UNION ALL SELECT min(due) FROM delivery WHERE state = 2)"
    ).fetchone()[0]
    return found


def _enquiries(db: Reader, link: LinkName, now: Instant, limit: int) -> tuple[Enquiry, ...]:
    rows = db.db.execute(
        "SELECT scope, ref, part, enquire_at, delivery, asked, taken_at FROM carrier_ref WHERE"
        " lane = (SELECT lane FROM lane WHERE link = ?) AND enquire_at <= ? ORDER BY enquire_at LIMIT ?",
        (link, now, limit),
    ).fetchall()
    return tuple(
        Enquiry(
            ref=CarrierRef(scope=scope, ref=ref, part=part, enquire_at=at),
            delivery=delivery,
            link=link,
            asked=asked,
            taken_at=taken_at,
        )
        for scope, ref, part, at, delivery, asked, taken_at in rows
    )


def _goes_on(db: Reader, delivery: DeliveryKey, link: LinkName, fence: int, now: Instant) -> bool:
    found = db.db.execute(
        "SELECT 1 FROM delivery d JOIN lane l ON l.lane = d.lane WHERE d.key = ? AND d.state = 1"
        " AND NOT d.stop AND d.deadline > ? AND d.fence = ? AND l.link = ? AND l.fence = d.fence",
        (delivery, now, fence, link),
    )
    return found.fetchone() is not None


def _next_enquiry(db: Reader, link: LinkName) -> Instant | None:
    found: Instant | None = db.db.execute(
        "SELECT min(enquire_at) FROM carrier_ref WHERE lane = (SELECT lane FROM lane WHERE link = ?)"
        " AND enquire_at IS NOT NULL",
        (link,),
    ).fetchone()[0]
    return found


def _enquired(tx: Tx, enquiry: Enquiry, again: Instant | None) -> None:
    ref = enquiry.ref
    tx.db.execute(
        "UPDATE carrier_ref SET asked = asked + 1, enquire_at = ? WHERE scope = ? AND ref = ?"
        " AND delivery = ? AND part = ?",
        (again, ref.scope, ref.ref, enquiry.delivery, ref.part),
    )
