"""What clients are to be told, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.model import Instant
from gateway.store import units
from gateway.store.base import About, Gone, Notice, Telling
from gateway.store.rows import NOBODY
from gateway.store.sqlite.reader import ReadThread
from gateway.store.sqlite.tx import Reader, Tx
from gateway.store.sqlite.writer import CHANGE, Writer


class NoticesRoom:
    """For notify. Nothing of it goes before other work of the writer or of the reader."""

    def __init__(self, writer: Writer, reader: ReadThread) -> None:
        self._writer = writer
        self._reader = reader

    async def interest(self, about: About, noticed: Callable[[Iterable[str]], None]) -> None:
        self._writer.noticed = noticed
        await self._writer.change(lambda tx: _interest(tx, about))

    async def due(self, client: str, now: Instant, limit: int) -> tuple[Notice, ...]:
        return await self._reader.ask(lambda db: _due(db, client, now, limit), first=False)

    async def next_due(self, client: str) -> Instant | None:
        return await self._reader.ask(lambda db: _next_due(db, client), first=False)

    async def conclude(self, telling: Telling) -> bool:
        written: bool = await self._writer.put(CHANGE, lambda tx: units.told(tx, telling), first=False)
        return written

    async def reached(self, client: str, since: Instant, now: Instant) -> int:
        count: int = await self._writer.put(CHANGE, lambda tx: _reached(tx, client, since, now), first=False)
        return count

    async def lapse(self, before: Instant, now: Instant, limit: int) -> int:
        count: int = await self._writer.put(CHANGE, lambda tx: _lapse(tx, before, now, limit), first=False)
        return count

    async def gone(self, client: str, gone: Gone) -> None:
        await self._writer.put(CHANGE, lambda tx: _gone(tx, client, gone), first=False)

    async def back(self, client: str, now: Instant) -> bool:
        was: bool = await self._writer.put(CHANGE, lambda tx: _back(tx, client, now), first=False)
        return was

    async def all_gone(self) -> dict[str, Gone]:
        return await self._reader.ask(_all_gone, first=False)


def _interest(tx: Tx, about: About) -> None:
    tx.about = about


def _due(db: Reader, client: str, now: Instant, limit: int) -> tuple[Notice, ...]:
    rows = db.rows(
        "SELECT n.key, n.message, m.public_id, n.client, n.n, n.seq, n.kind, n.at, n.tries FROM notice n"
        " JOIN message m ON m.key = n.message WHERE n.client = ? AND n.due <= ?"
        " ORDER BY n.due, n.key LIMIT ?",
        client,
        now,
        limit,
    )
    return tuple(Notice(**row) for row in rows)


def _next_due(db: Reader, client: str) -> Instant | None:
    found: Instant | None = db.db.execute(
        "SELECT min(due) FROM notice WHERE client = ? AND due IS NOT NULL", (client,)
    ).fetchone()[0]
    return found


def _reached(tx: Tx, client: str, since: Instant, now: Instant) -> int:
    return tx.db.execute(
        "UPDATE notice SET due = ?1 WHERE client = ?2 AND due > ?1 AND tried >= ?3", (now, client, since)
    ).rowcount


def _lapse(tx: Tx, before: Instant, now: Instant, limit: int) -> int:
    rows = tx.noticed("state = 0 AND at < ? ORDER BY at, key LIMIT ?", before, limit)
    return units.give_up(tx, rows, now)


def _gone(tx: Tx, client: str, gone: Gone) -> None:
    tx.db.execute("INSERT OR REPLACE INTO receiver VALUES (?,?,?,?)", (client, gone.place, gone.why, gone.at))
    tx.event(NOBODY, gone.at, "receiver_gone", None, {"client": client, "why": gone.why})


def _back(tx: Tx, client: str, now: Instant) -> bool:
    was = tx.db.execute("DELETE FROM receiver WHERE client = ?", (client,)).rowcount > 0
    if was:
        tx.event(NOBODY, now, "receiver_back", None, {"client": client})
    return was


def _all_gone(db: Reader) -> dict[str, Gone]:
    rows = db.db.execute("SELECT client, place, why, at FROM receiver").fetchall()
    return {client: Gone(place=place, why=why, at=at) for client, place, why, at in rows}
