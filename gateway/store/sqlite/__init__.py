"""The record in one SQLite file: one thread writes, one reads, the reactor does neither."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from twisted.internet.defer import Deferred

from gateway.env import Env
from gateway.settings.types import Durability
from gateway.store import base
from gateway.store.sqlite.check import Check
from gateway.store.sqlite.desk import DeskRoom
from gateway.store.sqlite.evidence import EvidenceRoom
from gateway.store.sqlite.housekeeping import Housekeeping
from gateway.store.sqlite.intake import Intake
from gateway.store.sqlite.opening import Opened
from gateway.store.sqlite.pursuit import PursuitRoom
from gateway.store.sqlite.reader import ReadThread
from gateway.store.sqlite.records import Records
from gateway.store.sqlite.work import Work
from gateway.store.sqlite.writer import Writer


class SqliteStore:
    """One database file, opened by ``open_store``."""

    def __init__(self, writer: Writer, reader: ReadThread, opened: Opened, check: Check | None) -> None:
        self.intake: base.Intake = Intake(writer, reader)
        self.work: base.Work = Work(writer, reader)
        self.evidence: base.EvidenceRoom = EvidenceRoom(writer)
        self.pursuit: base.PursuitRoom = PursuitRoom(writer, reader)
        self.desk: base.DeskRoom = DeskRoom(writer)
        self.records: base.Records = Records(reader, lambda: writer.backlog)
        self.housekeeping: base.Housekeeping = Housekeeping(writer)
        self.boot: int = opened.boot
        self.durability: Literal["disk", "unsafe"] = opened.durability
        self.recovered: str | None = opened.recovered
        self.failed: Deferred[str] = writer.failed
        self._writer = writer
        self._reader = reader
        self._check = check

    @property
    def oldest_commit_age(self) -> float:
        return self._writer.oldest_commit_age

    async def close(self) -> None:
        if self._check is not None:
            await self._check.close()
        await self._reader.close()
        await self._writer.close()


async def open_store(
    path: Path, env: Env, *, durability: Durability, adopt_older: bool = False
) -> SqliteStore:
    """Open the database file *path*, which is made if it is not there; its folder must be.

    StoreRefused if another process has it, if it is damaged, too new, older than the one last seen here
    (unless *adopt_older*), or does not sync (unless durability.allow_unsafe).
    """
    writer = Writer(env, path, durability)
    opened = await writer.open(adopt_older=adopt_older)
    reader = ReadThread(env, path, writer)
    return SqliteStore(writer, reader, opened, None if opened.checked else Check(env, path, writer))
