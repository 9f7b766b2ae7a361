"""Receipts (T4)."""

from __future__ import annotations

from gateway.adapters.base import Evidence
from gateway.model import Instant, LinkName
from gateway.store import units
from gateway.store.base import Matched
from gateway.store.sqlite.writer import Writer


class EvidenceRoom:
    """For receipt."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def report(self, link: LinkName, evidence: Evidence, now: Instant) -> Matched:
        return await self._writer.change(lambda tx: units.report(tx, link, evidence, now))
