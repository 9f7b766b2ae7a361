"""Reading a large database through while it is already in use.

quick_check of a million queued messages takes seconds, in which the first page could be on its way. Above
``opening.CHECKED_FIRST`` it runs beside the store, and damage that it finds stops the store (semantics 4.3).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from gateway.env import Env
from gateway.store.sqlite.opening import connect, sound
from gateway.store.sqlite.writer import Writer


class Check:
    """One check in a thread of its own."""

    def __init__(self, env: Env, path: Path, writer: Writer) -> None:
        self._path = path
        self._writer = writer
        self._db: sqlite3.Connection | None = None
        self._closing = False
        self._worker = env.worker("store-check", self._work, self._done, limit=1)
        self._worker.put(None)

    async def close(self) -> None:
        """Give up if it is not done."""
        self._closing = True
        if self._db is not None:
            self._db.interrupt()
        await self._worker.stop()

    def _work(self, _: Sequence[None]) -> list[str]:
        if self._closing:
            return ["ok"]
        self._db = db = connect(self._path, read_only=True)
        try:
            return [sound(db)]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                return ["ok"]
            raise
        finally:
            self._db = None
            db.close()

    def _done(self, _: Sequence[None], results: Sequence[str] | BaseException) -> None:
        found = str(results) if isinstance(results, BaseException) else results[0]
        if found != "ok":
            self._writer.fail(f"the database is damaged: {found}. Restore a backup of it.")
