"""Accepting (T1): messages, their deliveries and incidents, for a whole batch at once."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import Conflict
from gateway.model import DeliveryKey, Instant, MessageClass, MessageKey, Ref, checksum
from gateway.store.base import NewMessage, Stored
from gateway.store.rows import encoded, young
from gateway.store.sqlite.reader import ReadThread
from gateway.store.sqlite.tx import Reader, Tx, write
from gateway.store.sqlite.writer import Kind, Writer

_plain = msgspec.json.Encoder()

_MESSAGE = (
    "INSERT INTO message (key, public_id, client, recipients, content, class, until, at, expires, incident,"
    " ref, ref_held) VALUES "
)
_DELIVERY = (
    "INSERT INTO delivery (key, message, incident, lane, class, leg, last, copies_before, person, device,"
    " address, due, deadline, opened_at, changed_at, checksum) VALUES "
)
_INCIDENT = (
    "INSERT INTO incident (key, client, dedup, message, class, plan, due, begun_at, step_started) VALUES "
)


class _Pursuit:
    """An open incident as a batch sees it: found on record or begun within the batch."""

    def __init__(self, key: int, message_class: int) -> None:
        self.key, self.message_class = key, message_class


def accept(tx: Tx, news: list[NewMessage]) -> list[Stored | BaseException]:
    results: list[Stored | BaseException] = []
    messages: list[Any] = []
    deliveries: list[Any] = []
    incidents: list[Any] = []
    answers: dict[tuple[str, str], tuple[bytes, NewMessage, Stored]] = {}
    raised: list[tuple[Any, ...]] = []
    known = _answers(tx, news)
    taken = _refs(tx, news)
    pursuits = _pursuits(tx, news)
    events: list[tuple[MessageKey, Instant, str, DeliveryKey | None, dict[str, Any]]] = []
    opened = 0
    for new in news:
        if new.idempotency_key is not None:
            answer = known.get((new.client, new.idempotency_key))
            if answer is not None and young(answer[0], new.at):
                if answer[1] == new.request_hash:
                    results.append(msgspec.structs.replace(answer[2], replay=True))
                else:
                    results.append(Conflict("this idempotency key was used for another request"))
                continue
        key = tx.next_key
        legs = new.deliveries
        incident: int | None = None
        joined = False
        tx.next_key += 1
        if new.incident is not None:
            plan = _plain.encode(new.incident.plan).decode()
            name = None if new.incident.key is None else (new.client, new.incident.key)
            pursuit = None if name is None else pursuits.get(name)
            if pursuit is None:
                incident = tx.new_key()
                incidents += (incident, new.client, new.incident.key, key, new.message_class, plan,
                              new.incident.due, new.at, new.at)  # fmt: skip
                if name is not None:
                    pursuits[name] = _Pursuit(incident, new.message_class)
            else:
                incident, joined = pursuit.key, True
                higher = new.message_class < pursuit.message_class
                if higher:
                    raised.append((key, new.message_class, plan, new.incident.due, new.at, incident))
                    pursuit.message_class = new.message_class
                else:
                    legs = ()
                events.append(
                    (MessageKey(key), new.at, "joined", None, {"incident": incident, "goes_on_with": higher})
                )
        ref = next((ref for ref in new.refs if ref not in taken), None)
        if ref is not None:
            taken.add(ref)
        content = encoded(new.content)
        messages += (key, new.public_id, new.client, _plain.encode(new.to).decode(), content.decode(),
                     int(new.message_class), int(new.until), new.at, new.expires, incident, ref,
                     0 if ref is None else 1)  # fmt: skip
        for leg in legs:
            deliveries += (tx.next_key, key, incident, tx.lane(leg.link).number, int(leg.message_class),
                           leg.leg, int(leg.last), leg.copies_before, leg.person, leg.device, leg.address,
                           leg.due, leg.deadline, new.at, new.at,
                           checksum(leg.link, leg.address, content))  # fmt: skip
            tx.next_key += 1
        opened += len(legs)
        stored = Stored(
            message=MessageKey(key), public_id=new.public_id, ref=ref, joined=joined, answer=new.answer
        )
        results.append(stored)
        if new.idempotency_key is not None:
            answers[new.client, new.idempotency_key] = new.request_hash, new, stored
            known[new.client, new.idempotency_key] = new.at, new.request_hash, stored
    tx.stored(messages[::12])
    write(tx.db, _MESSAGE, 12, messages)
    write(tx.db, _DELIVERY, 16, deliveries)
    if incidents:
        write(tx.db, _INCIDENT, 9, incidents)
    for values in raised:
        tx.db.execute(
            "UPDATE incident SET message = ?, class = ?, plan = ?, due = ?, step_started = ?,"
            " muted_until = NULL, version = version + 1 WHERE key = ?",
            values,
        )
    for (client, name_), (hash_, new, stored) in answers.items():
        tx.db.execute(
            "INSERT OR REPLACE INTO idempotency VALUES (?,?,?,?,?,?)",
            (client, name_, hash_, stored.message, new.at, new.answer),
        )
    for event in events:
        tx.event(*event)
    tx.open += opened
    return results


def answer_of(tx: Reader, client: str, key: str) -> tuple[Instant, bytes, Stored] | None:
    """What is kept under an idempotency key: when, the request's hash, the answer."""
    row = tx.db.execute(
        "SELECT i.at, i.hash, m.key, m.public_id, m.ref, i.answer, EXISTS (SELECT 1 FROM event"
        " WHERE subject = m.key AND n = 2 AND kind = 'joined') FROM idempotency i"
        " JOIN message m ON m.key = i.message WHERE i.client = ? AND i.key = ?",
        (client, key),
    ).fetchone()
    if row is None:
        return None
    at, hash_, message, public_id, ref, answer, joined = row
    stored = Stored(
        message=message, public_id=public_id, ref=ref, replay=True, joined=bool(joined), answer=answer
    )
    return at, hash_, stored


def _answers(tx: Tx, news: list[NewMessage]) -> dict[tuple[str, str], tuple[Instant, bytes, Stored]]:
    known = {}
    for new in news:
        if new.idempotency_key is not None:
            found = answer_of(tx, new.client, new.idempotency_key)
            if found is not None:
                known[new.client, new.idempotency_key] = found
    return known


def _refs(tx: Tx, news: list[NewMessage]) -> set[Ref]:
    wanted = sorted({ref for new in news for ref in new.refs})
    if not wanted:
        return set()
    rows = tx.db.execute(
        "SELECT json_group_array(ref) FROM message WHERE ref_held"
        " AND ref IN (SELECT value FROM json_each(?))",
        (_plain.encode(wanted).decode(),),
    )
    return set(msgspec.json.decode(rows.fetchone()[0]))


def _pursuits(tx: Tx, news: list[NewMessage]) -> dict[tuple[str, str], _Pursuit]:
    found = {}
    for client, name in {
        (new.client, new.incident.key)
        for new in news
        if new.incident is not None and new.incident.key is not None
    }:
        row = tx.db.execute(
            "SELECT key, class FROM incident WHERE client = ? AND dedup = ? AND ending IS NULL",
            (client, name),
        ).fetchone()
        if row is not None:
            found[client, name] = _Pursuit(*row)
    return found


ACCEPT = Kind(0, accept, grows=True)


class Intake:
    """For accept."""

    def __init__(self, writer: Writer, reader: ReadThread) -> None:
        self._writer = writer
        self._reader = reader

    async def accept(self, new: NewMessage) -> Stored:
        critical = new.message_class is MessageClass.CRITICAL
        stored: Stored = await self._writer.put(ACCEPT, new, first=critical)
        return stored

    async def remembered(self, client: str, key: str, now: Instant) -> tuple[bytes, Stored] | None:
        found = await self._reader.ask(lambda db: answer_of(db, client, key))
        return None if found is None or not young(found[0], now) else found[1:]

    @property
    def backlog(self) -> int:
        return self._writer.backlog
