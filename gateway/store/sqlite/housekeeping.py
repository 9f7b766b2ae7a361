"""Forgetting, in chunks that the writer does not notice."""

from __future__ import annotations

from gateway.errors import Conflict
from gateway.lifecycle import OPEN
from gateway.model import Instant, MessageKey, PublicId
from gateway.store.rows import Message, ended_at
from gateway.store.sqlite.tx import Tx
from gateway.store.sqlite.writer import CHANGE, Writer

LOOK = 2_000  # messages that one unit looks at: about 50 ms


class Housekeeping:
    """For housekeeping. Looks on from where the last call stopped, and from the start after the end."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._texts_after = 0
        self._refs_after = ""

    async def forget_texts(self, before: Instant, limit: int) -> int:
        total = 0
        while total < limit:
            self._texts_after, gone = await self._writer.put(
                CHANGE,
                lambda tx, after=self._texts_after, left=limit - total: _forget_texts(
                    tx, before, left, after
                ),
                first=False,
            )
            total += gone
            if not self._texts_after:
                break
        return total

    async def forget_message(self, id_: PublicId) -> bool:
        gone: bool = await self._writer.put(CHANGE, lambda tx: _forget_message(tx, id_), first=False)
        return gone

    async def forget_keys(self, before: Instant, limit: int) -> int:
        gone = await self._writer.put(CHANGE, lambda tx: _forget_keys(tx, before, limit), first=False)
        after = self._refs_after
        self._refs_after, freed = await self._writer.put(
            CHANGE, lambda tx: _free_refs(tx, before, limit - gone, after), first=False
        )
        return int(gone + freed)


def _over(tx: Tx, message: Message, before: Instant) -> bool:
    incident = None if message.incident is None else tx.incident(message.incident)
    end = ended_at(message, incident, tx.deliveries(message.key))
    return end is not None and end < before


def _forget_texts(tx: Tx, before: Instant, limit: int, after: int) -> tuple[int, int]:
    """The key to go on after (0: it was the end) and how many texts went."""
    found = tx.messages(
        "key > ? AND at < ? AND content IS NOT NULL ORDER BY key LIMIT ?", after, before, LOOK
    )
    over: list[tuple[MessageKey]] = []
    last = 0
    for message in found:
        if len(over) == limit:
            break
        last = message.key
        if _over(tx, message, before):
            over.append((message.key,))
    tx.db.executemany("UPDATE message SET content = NULL WHERE key = ?", over)
    return (last if len(found) == LOOK or len(over) == limit else 0), len(over)


def _forget_message(tx: Tx, id_: PublicId) -> bool:
    found = tx.messages("public_id = ?", id_)
    if not found:
        return True
    message = found[0]
    if message.incident is not None:
        raise Conflict("this message is pursued")
    rows = tx.deliveries(message.key)
    if any(row.state in OPEN for row in rows):
        return False
    for row in rows:
        tx.db.execute(  # by their references, which are in the key of the table
            "DELETE FROM receipt WHERE delivery = ?1 AND (scope, ref) IN"
            " (SELECT scope, ref FROM carrier_ref WHERE delivery = ?1)",
            (row.key,),
        )
        tx.db.execute("DELETE FROM carrier_ref WHERE delivery = ?", (row.key,))
    for statement in (
        "DELETE FROM delivery WHERE message = ?",
        "DELETE FROM event WHERE subject = ?",
        "DELETE FROM message WHERE key = ?",
    ):
        tx.db.execute(statement, (message.key,))
    return True


def _forget_keys(tx: Tx, before: Instant, limit: int) -> int:
    gone = tx.db.execute(
        "DELETE FROM idempotency WHERE (client, key) IN"
        " (SELECT client, key FROM idempotency WHERE at < ? ORDER BY at LIMIT ?)",
        (before, limit),
    ).rowcount
    receipts = tx.db.execute(
        "DELETE FROM receipt WHERE (scope, ref, part, state) IN"
        " (SELECT scope, ref, part, state FROM receipt WHERE pending AND at < ? ORDER BY at LIMIT ?)",
        (before, limit - gone),
    ).rowcount
    tx.pending -= receipts
    return gone + receipts


def _free_refs(tx: Tx, before: Instant, limit: int, after: str) -> tuple[str, int]:
    found = tx.messages("ref_held AND ref > ? ORDER BY ref LIMIT ?", after, LOOK)
    over = [(row.key,) for row in found if row.at < before and _over(tx, row, before)][: max(limit, 0)]
    tx.db.executemany("UPDATE message SET ref_held = 0 WHERE key = ?", over)
    return (str(found[-1].ref) if len(found) == LOOK else ""), len(over)
