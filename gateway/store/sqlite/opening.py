"""Opening and closing the database file: who may, whether it is sound, whether it is the newest.

Everything here runs in the writer's thread. A database that may not be opened raises StoreRefused, which
says what to do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from gateway.env import Env
from gateway.errors import StoreRefused
from gateway.settings.types import Durability
from gateway.store.sqlite.tx import Tx, highest

APPLICATION = 0x47574159  # "GWAY", in the file's header: not somebody else's database
CACHE = 64 << 10  # KiB of pages a connection keeps
PATIENCE = 5000  # ms for another program that holds a lock for a moment: a backup, somebody with a shell
CHECKED_FIRST = 64 << 20  # bytes of database that are checked before it is used: about half a second
DISK = 74  # exit codes of sysexits.h
IN_USE = 75
VERSIONS = 78


class Opened:
    """A database that was opened by this process."""

    def __init__(self, path: Path, lock: int, tx: Tx) -> None:
        self.path, self.lock, self.tx = path, lock, tx
        self.boot = 0
        self.database = ""
        self.durability: Literal["disk", "unsafe"] = "disk"
        self.recovered: str | None = None
        self.checked = True


def full(error: BaseException | None) -> bool:
    """Whether there was no room on the disk."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_FULL or (
        isinstance(error, OSError) and error.errno == errno.ENOSPC
    )


class Note(msgspec.Struct, kw_only=True):
    """The side file: which database was last seen here, and how far it was. ``closed``: properly."""

    database: str
    boot: int
    key: int
    closed: bool = False


def migrations() -> dict[int, str]:
    """The numbered SQL files of this package."""
    files = resources.files("gateway.store.sqlite").iterdir()
    return {
        int(file.name[:4]): file.read_text() for file in sorted(files, key=str) if file.name.endswith(".sql")
    }


def open_database(
    path: Path,
    env: Env,
    durability: Durability,
    *,
    adopt_older: bool = False,
    steps: dict[int, str] | None = None,
) -> Opened:
    """Lock, check, upgrade and open *path*; *steps* are the migrations (the package's own)."""
    lock = _lock(path)
    try:
        return _open(path, env, durability, adopt_older, steps or migrations(), lock)
    except sqlite3.DatabaseError as error:
        os.close(lock)
        what = "Make room." if full(error) else "Restore a backup of it."
        raise StoreRefused(f"{path}: {error}. {what}", DISK) from error
    except OSError as error:
        os.close(lock)
        raise StoreRefused(f"{path} cannot be opened: {error.strerror}", DISK) from error
    except BaseException:
        os.close(lock)
        raise


def _open(
    path: Path, env: Env, durability: Durability, adopt_older: bool, steps: dict[int, str], lock: int
) -> Opened:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # its log and index get the same mode
    tail = _Tail(path.with_name(path.name + "-wal"))
    db = connect(path)
    try:
        damage = tail.lost(db)
        meta = _meta(db)
        note = _note(env, path)
        if note is not None and not adopt_older and _older(db, meta, note):
            raise StoreRefused(
                f"{path} is an older copy than the one that was last in use here: what happened since would"
                " be forgotten, and pages could go out twice. To use it all the same, start with"
                " --adopt-older." + (f" ({damage})" if damage else ""),
                VERSIONS,
            )
        _upgrade(db, path, steps)
        checked = path.stat().st_size <= CHECKED_FIRST
        if checked and (found := sound(db)) != "ok":
            raise StoreRefused(f"{path} is damaged: {found}. Restore a backup of it.", DISK)
        opened = Opened(path, lock, Tx(db, env, f"{os.getpid()}-{env.random.getrandbits(64):016x}"))
        opened.checked = checked
        opened.durability = _durability(db, durability)
        if damage is not None:
            opened.recovered = damage
        elif "boot" in meta and meta.get("closed") != meta["boot"]:
            opened.recovered = "the last run was not closed; everything it had promised is there"
        opened.database = meta.get("database") or f"{env.random.getrandbits(128):032x}"
        opened.boot = max(meta.get("boot", 0), note.boot if note else 0) + 1
        with db:
            db.execute("BEGIN IMMEDIATE")
            for name, value in (("database", opened.database), ("boot", opened.boot)):
                db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))
        leave_note(env, opened)
    except BaseException:
        db.close()
        raise
    return opened


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in this thread; the one that reads cannot write."""
    mode = "ro" if read_only else "rw"
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, cached_statements=512
    )
    for pragma in (f"busy_timeout={PATIENCE}", f"cache_size=-{CACHE}", "trusted_schema=OFF"):
        db.execute(f"PRAGMA {pragma}")
    if read_only:
        db.execute("PRAGMA query_only=ON")
        return db
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "wal_autocheckpoint=0",  # the writer chooses the moment
        "journal_size_limit=67108864",
    ):
        db.execute(f"PRAGMA {pragma}")
    return db


def sound(db: sqlite3.Connection) -> str:
    """``ok``, or the first thing that is wrong with the file."""
    return str(db.execute("PRAGMA quick_check(1)").fetchone()[0])


def _lock(path: Path) -> int:
    name = path.with_name(path.name + ".lock")
    try:
        handle = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreRefused(
            f"{path.parent} cannot be written: {error.strerror}. The store needs a folder of its own.", DISK
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise StoreRefused(f"{name} cannot be locked: {error.strerror}", DISK) from error
        raise StoreRefused(f"{path} is in use by process {owner}. Stop that one first.", IN_USE) from None
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
    except OSError as error:
        os.close(handle)
        raise StoreRefused(f"{name} cannot be written: {error.strerror}", DISK) from error
    return handle


def _upgrade(db: sqlite3.Connection, path: Path, steps: dict[int, str]) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    ours = db.execute("PRAGMA application_id").fetchone()[0]
    newest = max(steps)
    if ours not in (0, APPLICATION) or (
        ours == 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    ):
        raise StoreRefused(f"{path} is a database of another program.", VERSIONS)
    if version > newest:
        raise StoreRefused(
            f"{path} has version {version} of the schema, this program knows {newest}."
            f" Use the newer program, or restore the copy it made ({path.name}.before-{newest + 1}).",
            VERSIONS,
        )
    if 0 < version < newest:
        copy = path.with_name(f"{path.name}.before-{newest}")
        copy.unlink(missing_ok=True)
        backup(db, copy)
    for step in sorted(step for step in steps if step > version):
        db.execute("BEGIN IMMEDIATE")
        for statement in _statements(steps[step]):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {step}")
        db.execute("COMMIT")


def backup(db: sqlite3.Connection, copy: Path) -> None:
    """A consistent copy of the database, complete on disk when this returns."""
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    db.execute("VACUUM INTO ?", (str(copy),))
    handle = os.open(copy, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _statements(script: str) -> list[str]:
    found, text = [], ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found


def _durability(db: sqlite3.Connection, durability: Durability) -> Literal["disk", "unsafe"]:
    journal = db.execute("PRAGMA journal_mode").fetchone()[0]
    synchronous = db.execute("PRAGMA synchronous").fetchone()[0]
    if journal == "wal" and synchronous >= 2:
        return "disk"
    if durability.allow_unsafe:
        return "unsafe"
    raise StoreRefused(
        f"the database does not sync (journal_mode {journal}, synchronous {synchronous}): what was promised"
        " could be lost. Use another file system, or set durability.allow_unsafe.",
        DISK,
    )


def _meta(db: sqlite3.Connection) -> dict[str, Any]:
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone():
        return {}
    return dict(db.execute("SELECT name, value FROM meta").fetchall())


def _older(db: sqlite3.Connection, meta: dict[str, Any], note: Note) -> bool:
    """Whether the side file has seen more than the database has."""
    if meta.get("database") != note.database or meta["boot"] < note.boot:
        return True
    unclosed = note.closed and meta["boot"] == note.boot and meta.get("closed") != note.boot
    return unclosed or highest(db) < note.key


def _note(env: Env, path: Path) -> Note | None:
    try:
        return msgspec.json.decode(env.files.read(path.with_name(path.name + ".boot")), type=Note)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def leave_note(env: Env, opened: Opened, *, closed: bool = False) -> None:
    """Write the side file; everything it names is committed."""
    note = Note(database=opened.database, boot=opened.boot, key=highest(opened.tx.db), closed=closed)
    env.files.replace(opened.path.with_name(opened.path.name + ".boot"), msgspec.json.encode(note))


def close_database(env: Env, opened: Opened) -> None:
    """Mark as properly closed, fold the log into the database, give up the lock."""
    db = opened.tx.db
    with contextlib.closing(db):
        db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('closed', ?)", (opened.boot,))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        leave_note(env, opened, closed=True)
    os.close(opened.lock)


class _Tail:
    """What the write-ahead log holds before SQLite looks at it, to say afterwards what did not count.

    The format is that of https://www.sqlite.org/fileformat2.html#walformat.
    """

    def __init__(self, wal: Path) -> None:
        self._broken_header = False
        self._commits: list[int] = []  # numbers of the frames that end a commit, from 1
        try:
            file = wal.open("rb")
        except FileNotFoundError:
            return
        with file:
            head = file.read(32)
            size = os.fstat(file.fileno()).st_size
            if size <= 32:  # a header is synced before anything is written behind it: there was no commit
                return
            if not _whole_header(head):
                self._broken_header = True
                return
            page, salt1, salt2 = int.from_bytes(head[8:12], "big"), head[16:20], head[20:24]
            for number in range((size - 32) // (page + 24)):
                file.seek(32 + number * (page + 24))
                frame = file.read(24)
                # both differ in frames left over from before the log was begun anew
                if (frame[8:12] == salt1 or frame[12:16] == salt2) and any(frame[4:8]):
                    self._commits.append(number + 1)

    def lost(self, db: sqlite3.Connection) -> str | None:
        """What to tell people if commits at the end of the log could not be read."""
        counted = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        beyond = sum(number > counted for number in self._commits)
        if not self._broken_header and not beyond:
            return None
        lost = "all of it was" if self._broken_header else f"{beyond} commits were"
        return f"the log was damaged: the record stands as of the last whole commit, {lost} left out"


def _whole_header(head: bytes) -> bool:
    order: Literal["big", "little"] = "big" if head[3] & 1 else "little"
    one = two = 0
    for at in range(0, 24, 8):
        one = (one + int.from_bytes(head[at : at + 4], order) + two) & 0xFFFF_FFFF
        two = (two + int.from_bytes(head[at + 4 : at + 8], order) + one) & 0xFFFF_FFFF
    return head[:3] == b"\x37\x7f\x06" and head[24:32] == one.to_bytes(4, "big") + two.to_bytes(4, "big")
