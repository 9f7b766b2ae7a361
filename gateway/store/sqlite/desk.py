"""What people and operators do (T5, T6)."""

from __future__ import annotations

from typing import Literal

from gateway.model import IncidentKey, Instant, LinkName, MessageKey
from gateway.store import units
from gateway.store.rows import NOBODY
from gateway.store.sqlite.tx import Tx
from gateway.store.sqlite.writer import Writer

DROP_CHUNK = 1_000  # deliveries of a removed link that one unit cancels


class DeskRoom:
    """For people."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def acknowledge(
        self, message: MessageKey, *, by: str, note: str | None, recorded_by: str, now: Instant
    ) -> str:
        return await self._writer.change(
            lambda tx: units.acknowledge(tx, message, by, note, recorded_by, now)
        )

    async def cancel(self, message: MessageKey, *, by: str, why: str | None, now: Instant) -> bool:
        return await self._writer.change(lambda tx: units.cancel(tx, message, by, why, now))

    async def resolve(
        self, incident: IncidentKey, *, by: str, recorded_by: str, why: str | None, now: Instant
    ) -> bool:
        return await self._writer.change(lambda tx: units.resolve(tx, incident, by, recorded_by, why, now))

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
        await self._writer.change(
            lambda tx: units.mute(tx, incident, until, even_critical, by, recorded_by, now)
        )

    async def retry(self, message: MessageKey, *, by: str, now: Instant, deadline: Instant) -> int:
        return await self._writer.change(lambda tx: units.retry(tx, message, by, now, deadline))

    async def pause(self, message: MessageKey, *, by: str, now: Instant) -> int:
        return await self._writer.change(lambda tx: units.pause(tx, message, by, now))

    async def resume(self, message: MessageKey, *, by: str, now: Instant) -> int:
        return await self._writer.change(lambda tx: units.resume(tx, message, by, now))

    async def decide(self, message: MessageKey, *, again: bool, by: str, now: Instant) -> int:
        return await self._writer.change(lambda tx: units.decide(tx, message, again, by, now))

    async def set_link(
        self,
        link: LinkName,
        mode: Literal["open", "suspended", "draining"],
        *,
        by: str,
        why: str | None,
        now: Instant,
    ) -> None:
        await self._writer.change(lambda tx: _set_link(tx, link, mode, by, why, now))

    async def settings_changed(self, generation: int, digest: str, *, now: Instant) -> None:
        await self._writer.change(lambda tx: units.settings_changed(tx, generation, digest, now))

    async def drop_link(self, link: LinkName, now: Instant) -> int:
        total = 0
        while some := await self._writer.change(lambda tx: units.drop_link(tx, link, now, DROP_CHUNK)):
            total += some
        return total


def _set_link(tx: Tx, link: LinkName, mode: str, by: str, why: str | None, now: Instant) -> None:
    tx.db.execute(
        "UPDATE lane SET mode = ?, by = ?, why = ?, at = ? WHERE lane = ?",
        (mode, by, why, now, tx.lane(link).number),
    )
    tx.event(NOBODY, now, "link_mode", None, {"link": link, "mode": mode, "by": by, "why": why})
