"""One thread that writes: units gather while a commit runs, and the next commit takes them all.

Within a batch units run in the order of their kind, begins last, so that what a batch accepts can be taken
by it. A unit that breaks is undone alone. What the disk refuses stops everything (delivery semantics 4.3),
except that a full disk stops accepting first (4.4).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from gateway.env import Env
from gateway.errors import Conflict, StoreFailed, StoreFull, StoreRefused
from gateway.settings.types import Durability
from gateway.store.sqlite.opening import Opened, close_database, full, leave_note, open_database
from gateway.store.sqlite.tx import Tx

R = TypeVar("R")

BALLAST = 1 << 20  # bytes: room for the results of what is under way when the disk is full
TIDY_AT = 4_000  # units since the last checkpoint that are worth one when nobody waits: some 5 MiB of log
TIDY_ANYWAY = 50_000  # … and when somebody does: the log is read back at the next start, some 60 MiB

BROKEN = frozenset({5, 6, 7, 8, 10, 11, 14, 15, 22, 26})
"""SQLite's primary codes after which nothing may be promised: BUSY, LOCKED (another writer), NOMEM, READONLY,
IOERR, CORRUPT, CANTOPEN, PROTOCOL, NOLFS, NOTADB."""


class Kind:
    """What a unit does: *many* takes all of a batch at once and answers each, by value or exception. Kinds
    run in their *order*; one that *grows* the record is refused first when the disk is full."""

    __slots__ = ("grows", "many", "order")

    def __init__(
        self, order: int, many: Callable[[Tx, list[Any]], Sequence[Any]], *, grows: bool = False
    ) -> None:
        self.order, self.many, self.grows = order, many, grows


def _each(tx: Tx, whats: list[Any]) -> Sequence[Any]:
    """Changes are functions, each undone alone."""
    return [_alone(tx, lambda tx, one: [one[0](tx)], what) for what in whats]


CHANGE = Kind(1, _each)
TIDY = Kind(5, _each)  # outside the transaction, after it


class Unit:
    """One thing to be written, and who waits for it. *what* is a value for kinds that run as a whole, else a
    function of the transaction."""

    __slots__ = ("kind", "told", "what")

    def __init__(self, kind: Kind, what: Any) -> None:
        self.kind, self.what = kind, what
        self.told: Deferred[Any] = Deferred()


class Writer:
    """Owns the connection that writes. Only ``put`` and the plain attributes are for the reactor's thread."""

    def __init__(self, env: Env, path: Path, durability: Durability) -> None:
        self.path = path
        self.backlog = 0
        self.failed: Deferred[str] = Deferred()
        self.broken: str | None = None
        self.env = env
        self._durability = durability
        self._tx: Tx | None = None
        self._opened: Opened | None = None
        self._ballast = Ballast(path.with_name(path.name + ".ballast"), env, durability.min_free)
        self._tidying = False
        self._untidy = 0
        self._closed = False
        self._unfinished = 0
        self._commit_began = 0.0
        self._worker = env.worker("store", self._work, self._done, limit=durability.batch)

    # ------------------------------------------------------------ the reactor's side

    async def open(self, *, adopt_older: bool) -> Opened:
        """Open the database; if it is refused the thread ends."""
        try:
            opened: Opened = await self.put(TIDY, lambda: self._open(adopt_older))
        except BaseException:
            await self._worker.stop()
            raise
        return opened

    def put(self, kind: Kind, what: Any, *, first: bool = True) -> Deferred[Any]:
        """Fires when the unit is on stable storage, or fails with what was wrong with it."""
        unit = Unit(kind, what)
        if not self._unfinished:
            self._commit_began = self.env.clock.seconds()
        self._unfinished += 1
        self._worker.put(unit, first=first)
        return unit.told

    @property
    def oldest_commit_age(self) -> float:
        """Seconds since the oldest unfinished commit began (with its first unit, or with the end of the one
        before it), 0 if there is none."""
        return self.env.clock.seconds() - self._commit_began if self._unfinished else 0.0

    def change(self, what: Callable[[Tx], R]) -> Deferred[R]:
        """A unit that is a function of the transaction."""
        return self.put(CHANGE, what)

    def fail(self, why: str) -> None:
        """The disk cannot be trusted: every further unit fails."""
        if self.broken is None:
            self.broken = why
        if not self.failed.called:
            self.failed.callback(why)

    async def close(self) -> None:
        """Finish what was put, mark the record as properly closed, end the thread."""
        await self.put(TIDY, self._close)
        await self._worker.stop()

    def _done(self, units: Sequence[Unit], results: Sequence[Any] | BaseException) -> None:
        self._unfinished -= len(units)
        self._commit_began = self.env.clock.seconds()
        if isinstance(
            results, BaseException
        ):  # our bug, in the writer itself: what it left behind is unknown
            self.broken = self.broken or f"the writer broke: {results!r}"
            results = [StoreFailed(self.broken)] * len(units)
        if self.broken is not None:
            self.fail(self.broken)
        for unit, result in zip(units, results, strict=True):
            if isinstance(result, BaseException):
                unit.told.errback(result)
            else:
                unit.told.callback(result)
        if self._opened is None or self._tidying or self.broken is not None:
            return
        self._untidy += len(units)
        if self._untidy > (TIDY_AT if self._worker.waiting == 0 else TIDY_ANYWAY):
            self._tidying, self._untidy = True, 0
            self.put(TIDY, self._tidy, first=False).addErrback(lambda _: None)

    # ------------------------------------------------------------ the thread's side

    def _open(self, adopt_older: bool) -> Opened:
        try:
            opened = open_database(self.path, self.env, self._durability, adopt_older=adopt_older)
        except StoreRefused as refused:
            if not full(refused.__cause__):
                raise
            self._ballast.free()
            opened = open_database(self.path, self.env, self._durability, adopt_older=adopt_older)
        self._opened, self._tx = opened, opened.tx
        self.backlog = opened.tx.open
        self._ballast.make()
        return opened

    def _work(self, units: Sequence[Unit]) -> list[Any]:
        if self._tx is None:  # opening, and nothing else before it
            return [_outcome(unit.what) for unit in units]
        if self.broken is not None:
            return [StoreFailed(self.broken)] * len(units)
        if self._closed:  # upkeep that fell due behind the close
            return [StoreFailed("the database was closed")] * len(units)
        try:
            return self._commit(units, room=True)
        except sqlite3.Error as error:
            self._undo()
            if full(error):
                self._ballast.free()
                try:
                    return self._commit(units, room=False)
                except sqlite3.Error as again:
                    self._undo()
                    error = again
            self.broken = f"the database could not be written: {error} ({error.sqlite_errorname})"
            return [StoreFailed(self.broken)] * len(units)

    def _commit(self, units: Sequence[Unit], *, room: bool) -> list[Any]:
        tx = self._tx
        assert tx is not None
        by_kind: dict[Kind, list[int]] = {}
        for place, unit in enumerate(units):
            by_kind.setdefault(unit.kind, []).append(place)
        results: list[Any] = [None] * len(units)
        tidy = by_kind.pop(TIDY, [])
        tx.db.execute("BEGIN IMMEDIATE")
        for kind in sorted(by_kind, key=lambda kind: kind.order):
            places = by_kind[kind]
            if kind.grows and not (room and self._ballast.room()):
                answers: Sequence[Any] = [StoreFull("the disk is nearly full")] * len(places)
            else:
                answers = self._run(tx, kind, [units[place].what for place in places])
            for place, answer in zip(places, answers, strict=True):
                results[place] = answer
        tx.db.execute("COMMIT")
        self.backlog = tx.open
        for place in tidy:
            results[place] = _outcome(units[place].what)
        return results

    def _run(self, tx: Tx, kind: Kind, whats: list[Any]) -> Sequence[Any]:
        if kind is CHANGE:
            return kind.many(tx, whats)
        if len(whats) == 1:
            return [_alone(tx, kind.many, whats[0])]
        try:
            with tx.part():
                return kind.many(tx, whats)
        except sqlite3.Error as error:
            if stops_all(error):
                raise
        except Exception:  # noqa: S110  # whose it is, the second round tells
            pass
        return [_alone(tx, kind.many, what) for what in whats]

    def _undo(self) -> None:
        tx = self._tx
        assert tx is not None
        try:
            if tx.db.in_transaction:
                tx.db.execute("ROLLBACK")
            tx.reload()
        except sqlite3.Error as error:
            self.broken = self.broken or f"the database could not be read: {error}"

    def _tidy(self) -> None:
        tx = self._tx
        assert tx is not None
        assert self._opened is not None
        self._tidying = False
        tx.db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        leave_note(self.env, self._opened)

    def _close(self) -> None:
        assert self._opened is not None
        self._closed = True
        close_database(self.env, self._opened)


class Ballast:
    """A file beside the database that is given up when the disk is full, so that results still fit."""

    def __init__(self, path: Path, env: Env, min_free: int) -> None:
        self._path, self._env, self._min_free = path, env, min_free
        self._there = False

    def room(self) -> bool:
        """Whether something new may be accepted; makes the ballast again when space has returned."""
        if self._env.files.free(self._path.parent) < self._min_free:
            return False
        if not self._there:
            self.make()
        return self._there

    def make(self) -> None:
        """Reserve the space; a disk too full for it is full."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.write(handle, bytes(BALLAST))
            finally:
                os.close(handle)
            self._there = True
        except OSError:
            self.free()

    def free(self) -> None:
        """Give the space to the database."""
        self._there = False
        self._path.unlink(missing_ok=True)


def _outcome(what: Callable[[], Any]) -> Any:
    try:
        return what()
    except Exception as error:
        return error


def _alone(tx: Tx, many: Callable[[Tx, list[Any]], Sequence[Any]], what: Any) -> Any:
    try:
        with tx.part():
            return many(tx, [what])[0]
    except sqlite3.IntegrityError as error:
        return Conflict(f"this is on record already ({error})")
    except sqlite3.Error as error:
        if stops_all(error):
            raise
        return error
    except Exception as error:  # a Conflict, or our bug: of this unit alone
        return error


def stops_all(error: sqlite3.Error) -> bool:
    return full(error) or (getattr(error, "sqlite_errorcode", 0) & 0xFF) in BROKEN
