"""Incidents that are due, and the moves of pursue (T5)."""

from __future__ import annotations

from gateway.model import Instant, LinkName
from gateway.store import units
from gateway.store.base import Advance, Facts
from gateway.store.rows import facts_of
from gateway.store.sqlite.reader import ReadThread
from gateway.store.sqlite.tx import Reader
from gateway.store.sqlite.writer import Writer


class PursuitRoom:
    """For pursue."""

    def __init__(self, writer: Writer, reader: ReadThread) -> None:
        self._writer = writer
        self._reader = reader

    async def due(self, now: Instant, limit: int) -> tuple[Facts, ...]:
        return await self._reader.ask(lambda db: _due(db, now, limit))

    async def next_due(self) -> Instant | None:
        return await self._reader.ask(_next_due)

    async def hurry(self, links: tuple[LinkName, ...], now: Instant, limit: int) -> int:
        return await self._writer.change(lambda tx: units.hurry(tx, links, now, limit))

    async def advance(self, move: Advance) -> bool:
        return await self._writer.change(lambda tx: units.advance(tx, move))


def _due(db: Reader, now: Instant, limit: int) -> tuple[Facts, ...]:
    found = []
    with db.snapshot():
        for incident in db.incidents(
            "ending IS NULL AND due <= ? ORDER BY class, due, key LIMIT ?", now, limit
        ):
            message = db.message(incident.message)
            assert message is not None
            found.append(facts_of(incident, message, db.deliveries(message.key)))
    return tuple(found)


def _next_due(db: Reader) -> Instant | None:
    found: Instant | None = db.db.execute("SELECT min(due) FROM incident WHERE ending IS NULL").fetchone()[0]
    return found
