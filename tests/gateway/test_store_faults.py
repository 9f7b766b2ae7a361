"""What the record does when disk, file or neighbour misbehave: one test a row of the fault list."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.errors import StoreFailed, StoreFull, StoreRefused
from gateway.lifecycle import Happening, State
from gateway.model import MessageClass
from gateway.settings.types import Durability
from gateway.store.sqlite import open_store, opening, writer
from tests.contract.store_case import FAX, SAFE, WEB, SqliteCase
from tests.gateway.store_env import StoreEnv, run
from tests.peers import missing

ROOT = Path(__file__).parents[2]


def needs(program: str) -> str:
    """The program's path; without it the test is skipped, or fails where everything must be there."""
    found = shutil.which(program)
    if found is None:
        missing(f"{program} is not installed")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    made.mkdir()
    return made


@pytest.fixture
def case(folder: Path) -> SqliteCase:
    return SqliteCase(StoreEnv(), folder)


def child(*arguments: Any, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-m", "tests.gateway.store_child", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    """Everything a child said until it ended."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return out.split("\n")[:-1]


def promised(lines: list[str]) -> list[str]:
    return [line for line in lines if len(line) == 26 and " " not in line]


def opened(path: Path, seed: int = 2) -> SqliteCase:
    """A database that somebody else left behind."""
    case = SqliteCase.__new__(SqliteCase)
    super(SqliteCase, case).__init__(StoreEnv(seed))
    case.folder, case.durability = path.parent, SAFE
    case.open()
    return case


def known(case: SqliteCase, ids: list[str]) -> list[str]:
    return [one for one in ids if run(case.store.records.message(one, client=None)) is not None]


# ---------------------------------------------------------------- F07: a sync fails


def test_f07_every_further_call_fails(case: SqliteCase) -> None:
    """Reads and writes alike, and the failure is told once."""
    stored = case.accept()
    told: list[str] = []
    case.store.failed.addCallback(told.append)
    case.store._writer.fail("the disk is gone")  # type: ignore[attr-defined]
    for call in (case.accept, case.begin, lambda: case.row(stored), case.lapse):
        with pytest.raises(StoreFailed, match="gone"):
            call()
    assert told == ["the disk is gone"]


def test_f07_an_error_while_writing_fails_the_whole_batch(case: SqliteCase) -> None:
    """Nothing of a commit that failed was promised, and the handle is not tried again."""

    class Breaking:
        def __init__(self, db: sqlite3.Connection) -> None:
            self._db = db

        def __getattr__(self, name: str) -> Any:
            return getattr(self._db, name)

        def execute(self, statement: str, *values: Any) -> Any:
            if statement == "COMMIT":
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode, error.sqlite_errorname = (
                    sqlite3.SQLITE_IOERR_FSYNC,
                    "SQLITE_IOERR_FSYNC",
                )
                raise error
            return self._db.execute(statement, *values)

    tx = case.store._writer._tx  # type: ignore[attr-defined]
    tx.db = Breaking(tx.db)
    told = case.together(case.new(), case.new())
    assert all(isinstance(one, StoreFailed) for one in told)
    assert case.store.failed.called
    tx.db = tx.db._db
    with pytest.raises(StoreFailed):
        case.accept()


# ---------------------------------------------------------------- F09, F10: the disk is full


@contextmanager
def small_disk(tmp_path: Path, megabytes: int) -> Iterator[Path]:
    if os.geteuid() != 0:
        missing("only root may mount a small file system")
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(mount)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        missing(f"mounting is not allowed here: {made.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return filler


def test_f09_a_full_disk_refuses_new_work_and_records_results(tmp_path: Path) -> None:
    """Accepts are refused, nothing promised is lost, results of what is begun fit into the ballast, and
    accepting goes on when space returns."""
    with small_disk(tmp_path, 16) as folder:
        case = SqliteCase(StoreEnv(), folder)
        stored = [case.accept() for _ in range(50)]
        begun = case.begin(limit=50, ordinary=50)
        filler = fill(folder)
        with pytest.raises(StoreFull):
            while True:
                stored.append(case.accept())
        assert all(case.conclude(one) for one in begun)
        with pytest.raises(StoreFull):
            case.accept()
        assert not (folder / "gateway.db.ballast").exists()
        filler.unlink()
        stored.append(case.accept())
        assert (folder / "gateway.db.ballast").stat().st_size == 1 << 20
        assert not case.store.failed.called
        assert {case.row(one).ending for one in stored[:50]} == {"confirmed"}
        case.reopen()
        assert known(case, [one.public_id for one in stored]) == [one.public_id for one in stored]
        run(case.store.close())


def test_f10_a_store_on_a_full_disk_opens_and_delivers(tmp_path: Path) -> None:
    """After a kill on a full disk it starts, hands over what is stored, and refuses new work."""
    with small_disk(tmp_path, 16) as folder:
        case = SqliteCase(StoreEnv(), folder)
        stored = [case.accept(case.new(case.leg(message_class=MessageClass.CRITICAL))) for _ in range(20)]
        os.close(case.store._writer._opened.lock)  # type: ignore[attr-defined]  # as a kill does
        fill(folder)
        again = opened(folder / "gateway.db")
        with pytest.raises(StoreFull):
            while True:
                stored.append(again.accept(case.new(case.leg(message_class=MessageClass.CRITICAL))))
        for begun in again.begin(limit=len(stored)):
            assert again.conclude(begun)
        assert {again.row(one).ending for one in stored} == {"confirmed"}
        run(again.store.close())


# ---------------------------------------------------------------- F11: a folder that cannot be written


def test_f11_a_folder_that_cannot_be_written_is_refused_clearly(tmp_path: Path) -> None:
    """A missing folder and a read-only file system end the start with one clear line."""
    with pytest.raises(StoreRefused, match="cannot be written") as refused:
        run(open_store(tmp_path / "no" / "gateway.db", StoreEnv(), durability=SAFE))  # type: ignore[arg-type]
    assert refused.value.exit_code == 74
    with small_disk(tmp_path, 4) as folder:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(StoreRefused, match=r"small cannot be written: Read-only"):
            run(open_store(folder / "gateway.db", StoreEnv(), durability=SAFE))  # type: ignore[arg-type]


# ---------------------------------------------------------------- F12: the end of the log is torn


def _killed(tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder as a kill leaves it, and what was promised in order."""
    folder = tmp_path / "killed"
    folder.mkdir()
    case = SqliteCase(StoreEnv(), folder)
    ids = [case.accept().public_id for _ in range(40)]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    run(case.store.close())
    return copy, ids


def _torn(tmp_path: Path, killed: Path, ids: list[str], at: int, *, flip: bool) -> None:
    folder = tmp_path / f"torn-{at}-{flip}"
    shutil.copytree(killed, folder)
    log = folder / "gateway.db-wal"
    data = bytearray(log.read_bytes())
    if flip:
        data[at] ^= 0x10
    log.write_bytes(data if flip else data[:at])
    told = ""
    try:
        case = opened(folder / "gateway.db")
    except StoreRefused as refused:  # so much is gone that the side file knows more
        told = str(refused)
        assert "older copy" in told
        case = SqliteCase.__new__(SqliteCase)
        super(SqliteCase, case).__init__(StoreEnv(2))
        case.folder, case.durability = folder, SAFE
        case.open(adopt_older=True)
    found = known(case, ids)
    assert found == ids[: len(found)]  # whole commits, in order
    if len(found) < len(ids) and flip:
        assert "damaged" in (case.store.recovered or "") + told
    assert case.accept()
    run(case.store.close())
    shutil.rmtree(folder)


def _offsets(size: int, count: int) -> list[int]:
    random = Random(12)
    return sorted(random.randrange(size) for _ in range(count))


@pytest.mark.crash
@pytest.mark.parametrize("flip", [False, True])
def test_f12_a_torn_log_opens_at_the_last_whole_commit(tmp_path: Path, flip: bool) -> None:
    """Cut or flipped anywhere, the record stands as of a commit before the damage, and says so."""
    killed, ids = _killed(tmp_path)
    for at in _offsets((killed / "gateway.db-wal").stat().st_size, 25):
        _torn(tmp_path, killed, ids, at, flip=flip)


@pytest.mark.long
@pytest.mark.crash
@pytest.mark.parametrize("flip", [False, True])
def test_f12_a_torn_log_at_500_offsets(tmp_path: Path, flip: bool) -> None:
    """The same at ten times as many places."""
    killed, ids = _killed(tmp_path)
    for at in _offsets((killed / "gateway.db-wal").stat().st_size, 250):
        _torn(tmp_path, killed, ids, at, flip=flip)


# ---------------------------------------------------------------- F13: bits flip in stored rows


def _flips(case: SqliteCase, count: int) -> None:
    """Flip one bit at a time in what decides where a page goes and what it says."""
    random = Random(13)
    columns = [
        ("delivery", "address"),
        ("message", "content"),
        ("delivery", "lane"),
        ("delivery", "checksum"),
    ]
    columns.append(("lane", "link"))
    wanted = case.new().content
    for _ in range(count):
        stored = case.accept()
        delivery = case.delivery(stored).delivery
        table, column = columns[random.randrange(len(columns))]
        key = {"delivery": delivery, "message": stored.message}.get(
            table, case.store._writer._tx.lanes[WEB].number
        )  # type: ignore[attr-defined]
        name = "lane" if table == "lane" else "key"
        [(old,)] = case.sql(f"SELECT {column} FROM {table} WHERE {name} = ?", key)
        if isinstance(old, int):
            case.sql(f"UPDATE {table} SET {column} = ? WHERE {name} = ?", old ^ 1 << random.randrange(4), key)
        else:
            raw = bytearray(old.encode())
            raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
            case.sql(f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE {name} = ?", bytes(raw), key)
        if table == "lane":  # known by heart until the next start
            case.sql("UPDATE lane SET link = ? WHERE lane = ?", old, key)
        sent = [*case.begin(), *case.begin(FAX)]
        assert all((one.address, one.content, one.link) == ("5551212", wanted, WEB) for one in sent)
        if table != "lane":
            assert sent == []
        else:
            case.conclude(sent[0])


def test_f13_a_flipped_bit_is_never_sent(case: SqliteCase) -> None:
    """Destination, text, link and checksum: the row is quarantined with an event, its neighbours go out."""
    case.hold()
    _flips(case, 300)
    assert len(case.begin()) == 0
    good = case.accept()
    assert [one.message for one in case.begin()] == [good.message]


@pytest.mark.long
def test_f13_ten_thousand_flips(case: SqliteCase) -> None:
    """The same, ten thousand times."""
    case.hold()
    _flips(case, 10_000)


def test_f13_a_damaged_row_does_not_hold_up_its_neighbours(case: SqliteCase) -> None:
    """A row that cannot even be read is quarantined; those taken with it are begun."""
    case.hold()
    stored = [case.accept(case.pursued(refs=())) for _ in range(3)]
    case.sql("UPDATE message SET content = CAST(x'7b22ff' AS TEXT) WHERE key = ?", stored[0].message)
    case.sql("UPDATE delivery SET person = x'00ff' WHERE message = ?", stored[1].message)
    assert [one.message for one in case.begin()] == [stored[2].message]
    rows = case.sql("SELECT state, reason FROM delivery WHERE message < ? ORDER BY key", stored[2].message)
    assert rows == [(State.FAILED, "quarantined")] * 2
    assert case.store.intake.backlog == 1


# ---------------------------------------------------------------- F14: an older copy


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_f14_an_older_copy_is_refused(folder: Path, end: str, tmp_path: Path) -> None:
    """The side file remembers how far the database was; the refusal names the flag that overrides it."""
    case = SqliteCase(StoreEnv(), folder)
    case.accept()
    case.reopen()
    copy = tmp_path / "copy.db"
    tx = case.store._writer._tx  # type: ignore[attr-defined]
    opening.backup(tx.db, copy)
    stored = case.accept()
    case.reopen()
    killed = tmp_path / "killed"
    shutil.copytree(folder, killed)
    run(case.store.close())
    if end == "killed":
        folder = killed
    for name in ("gateway.db-wal", "gateway.db-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.copy(copy, folder / "gateway.db")
    with pytest.raises(StoreRefused, match="--adopt-older") as refused:
        opened(folder / "gateway.db")
    assert refused.value.exit_code == 78
    adopted = SqliteCase.__new__(SqliteCase)
    super(SqliteCase, adopted).__init__(StoreEnv(2))
    adopted.folder, adopted.durability = folder, SAFE
    adopted.open(adopt_older=True)
    assert known(adopted, [stored.public_id]) == []
    adopted.accept()
    adopted.reopen()  # from now on it is the newest
    run(adopted.store.close())


def test_f14_a_lost_side_file_is_no_reason_to_refuse(case: SqliteCase) -> None:
    """Without it nothing is known to be newer."""
    stored = case.accept()
    run(case.store.close())
    (case.folder / "gateway.db.boot").unlink()
    case.open()
    assert case.row(stored)


# ---------------------------------------------------------------- F15: a second process


@pytest.mark.crash
def test_f15_a_second_process_is_refused_with_the_owners_pid(folder: Path) -> None:
    """At once, with exit code 75; after the first is killed the next one may."""
    first = child(folder / "gateway.db", 1)
    assert first.stdout is not None
    assert first.stdout.readline() == "ready\n"
    second = child(folder / "gateway.db", 1)
    lines = said(second)
    assert second.returncode == 75
    assert f"in use by process {first.pid}" in lines[0]
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    third = child(folder / "gateway.db", 1, 3)
    assert said(third)[-1] == "done"
    assert third.returncode == 0


def test_f15_also_within_one_process(case: SqliteCase) -> None:
    """The lock is on the file, not on the process."""
    with pytest.raises(StoreRefused, match=f"in use by process {os.getpid()}") as refused:
        opened(case.folder / "gateway.db")
    assert refused.value.exit_code == 75


# ---------------------------------------------------------------- F16: copies


def test_f16_copies_made_under_load_are_consistent(case: SqliteCase, tmp_path: Path) -> None:
    """A copy is whole: every check passes and every row matches its checksum."""
    tx = case.store._writer._tx  # type: ignore[attr-defined]
    for round_ in range(5):
        for _ in range(20):
            case.accept(case.pursued(refs=()))
        for begun in case.begin(limit=7):
            case.conclude(begun, refs=case.refs(f"{round_}-{begun.delivery}"))
        copy = tmp_path / f"copy-{round_}.db"
        opening.backup(tx.db, copy)
        assert copy.stat().st_mode & 0o777 == 0o600
        db = sqlite3.connect(copy)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()
        folder = tmp_path / f"restored-{round_}"
        folder.mkdir()
        shutil.copy(copy, folder / "gateway.db")
        restored = opened(folder / "gateway.db")
        assert restored.store.intake.backlog == case.store.intake.backlog
        assert len(restored.begin(limit=999)) == 20 * (round_ + 1) - 7 * (round_ + 1)
        run(restored.store.close())


# ---------------------------------------------------------------- B89 and the rest of opening


def test_the_writer_tells_how_it_does(case: SqliteCase) -> None:
    """How long the oldest commit has been under way, how much waits behind it, and each commit when it ends."""
    told: list[tuple[int, float]] = []
    case.store.count_commits(lambda units, seconds: told.append((units, seconds)))
    worker = case.env.workers["store"]
    worker.kept = True
    for _ in range(3):
        Deferred.fromCoroutine(case.store.intake.accept(case.new()))
    case.wait(3)
    assert (case.store.oldest_commit_age, case.store.units_waiting) == (3.0, 3)
    worker.release()
    assert (case.store.oldest_commit_age, case.store.units_waiting) == (0.0, 0)
    assert [units for units, _ in told] == [3]


def test_there_is_room_while_min_free_is_free(case: SqliteCase) -> None:
    """Asked before anybody tries to submit."""
    assert case.store.room()
    run(case.store.close())
    case.durability = Durability(min_free=1 << 60)
    case.open()
    assert not case.store.room()


NEWEST = max(opening.migrations())
NEXT = NEWEST + 1


def test_b89_a_database_of_each_older_version_is_upgraded(tmp_path: Path) -> None:
    """What was accepted by an older program is there after the upgrade, and can be told of."""
    for version in range(1, NEWEST):
        path = tmp_path / str(version) / "gateway.db"
        path.parent.mkdir()
        steps = {number: step for number, step in opening.migrations().items() if number <= version}
        old = opening.open_database(path, StoreEnv(), SAFE, steps=steps)  # type: ignore[arg-type]
        old.tx.db.execute(
            "INSERT INTO message (key, public_id, client, recipients, class, until, at)"
            " VALUES (1, 'm1', 'helpdesk', '[]', 2, 1, 5)"
        )
        old.tx.next_key = 2
        opening.close_database(StoreEnv(), old)  # type: ignore[arg-type]
        case = opened(path)
        assert case.sql("SELECT client FROM message WHERE key = 1") == [("helpdesk",)]
        run(case.store.notices.interest({"helpdesk": frozenset(["cancelled"])}, lambda clients: None))
        stored = case.accept()
        assert case.cancel(stored)
        assert [one.kind for one in run(case.store.notices.due("helpdesk", case.now, 9))] == ["cancelled"]
        run(case.store.close())
        assert path.with_name(f"gateway.db.before-{NEWEST}").exists()


def test_a_record_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    """What was accepted by the first version is there after the upgrade, and can be muted."""
    env, path = StoreEnv(), tmp_path / "gateway.db"
    first = {1: opening.migrations()[1]}
    old = opening.open_database(path, env, SAFE, steps=first)  # type: ignore[arg-type]
    old.tx.db.execute(
        "INSERT INTO message (key, public_id, client, recipients, content, class, until, at, incident)"
        " VALUES (1, 'a', 'ward', '[]', NULL, 1, 5, 0, 2)"
    )
    old.tx.db.execute(
        "INSERT INTO incident (key, client, dedup, message, class, plan, begun_at, step_started)"
        " VALUES (2, 'ward', 'INC1', 1, 1, '[]', 0, 0)"
    )
    opening.close_database(env, old)  # type: ignore[arg-type]
    case = SqliteCase(env, tmp_path)
    case.mute("INC1", 60.0)
    assert case.incident("INC1").main.muted_until is not None
    run(case.store.close())


def test_b89_a_newer_schema_is_refused_with_both_versions(case: SqliteCase) -> None:
    """An older program touches nothing."""
    run(case.store.close())
    db = sqlite3.connect(case.folder / "gateway.db")
    db.execute("PRAGMA user_version = 7")
    db.close()
    before = (case.folder / "gateway.db").read_bytes()
    with pytest.raises(StoreRefused, match=rf"version 7 .* knows {NEWEST}\b") as refused:
        case.open()
    assert refused.value.exit_code == 78
    assert (case.folder / "gateway.db").read_bytes() == before


def test_b89_an_upgrade_makes_a_copy_first(case: SqliteCase) -> None:
    """Steps run in order, forward only; the copy is what the older program can go back to."""
    stored = case.accept()
    run(case.store.close())
    path = case.folder / "gateway.db"
    steps = opening.migrations() | {NEXT: "ALTER TABLE meta ADD COLUMN note TEXT; -- a fake step\n"}
    done = opening.open_database(path, case.env, SAFE, steps=steps)  # type: ignore[arg-type]
    assert done.tx.db.execute("PRAGMA user_version").fetchone() == (NEXT,)
    opening.close_database(case.env, done)  # type: ignore[arg-type]
    with pytest.raises(StoreRefused, match=rf"before-{NEXT}"):
        case.open()
    copy = case.folder / f"gateway.db.before-{NEXT}"
    assert copy.stat().st_mode & 0o777 == 0o600
    shutil.copy(copy, path)
    case.open(adopt_older=True)
    assert case.row(stored)


def test_b89_a_step_that_fails_changes_nothing(case: SqliteCase) -> None:
    """A broken step leaves the database as it was."""
    run(case.store.close())
    steps = opening.migrations() | {NEXT: "CREATE TABLE new (x);\nCREATE TABLE new (y);\n"}
    with pytest.raises(StoreRefused):
        opening.open_database(case.folder / "gateway.db", case.env, SAFE, steps=steps)  # type: ignore[arg-type]
    case.open()
    assert case.sql("SELECT count(*) FROM sqlite_schema WHERE name = 'new'") == [(0,)]


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A path that names somebody else's file."""
    db = sqlite3.connect(tmp_path / "gateway.db")
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(StoreRefused, match="another program"):
        run(open_store(tmp_path / "gateway.db", StoreEnv(), durability=SAFE))  # type: ignore[arg-type]
    (tmp_path / "text.db").write_text("not a database at all" * 100)
    with pytest.raises(StoreRefused, match="not a database"):
        run(open_store(tmp_path / "text.db", StoreEnv(), durability=SAFE))  # type: ignore[arg-type]


def test_a_damaged_database_is_refused(case: SqliteCase) -> None:
    """quick_check finds it before anything is promised."""
    for _ in range(200):
        case.accept()
    run(case.store.close())
    path = case.folder / "gateway.db"
    data = bytearray(path.read_bytes())
    data[40_000:60_000] = bytes(20_000)
    path.write_bytes(data)
    with pytest.raises(StoreRefused, match=r"damaged|malformed") as refused:
        case.open()
    assert refused.value.exit_code == 74


def test_damage_of_a_large_database_is_found_while_it_is_in_use(
    case: SqliteCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checking a large file takes seconds: it opens first, and damage stops it like a failing disk."""
    monkeypatch.setattr(opening, "CHECKED_FIRST", 0)
    stored = [case.accept() for _ in range(200)]
    case.reopen()
    assert case.row(stored[-1])
    assert not case.store.failed.called
    run(case.store.close())
    [(root,)] = _sql(
        case.folder / "gateway.db", "SELECT rootpage FROM sqlite_schema WHERE name = 'delivery_held'"
    )
    path = case.folder / "gateway.db"
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : (root - 1) * 4096 + 8] = bytes(8)
    path.write_bytes(data)
    case.open()
    assert "damaged" in str(case.store.failed.result)
    with pytest.raises(StoreFailed):
        case.accept()


def _sql(path: Path, statement: str) -> list[Any]:
    db = sqlite3.connect(path)
    found = db.execute(statement).fetchall()
    db.close()
    return found


def test_a_database_that_does_not_sync_is_refused_unless_allowed(
    case: SqliteCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read back at the start; if allowed, every status says so."""
    run(case.store.close())
    connect = opening.connect

    def careless(path: Path, **options: Any) -> sqlite3.Connection:
        db = connect(path, **options)
        db.execute("PRAGMA synchronous=NORMAL")
        return db

    monkeypatch.setattr(opening, "connect", careless)
    with pytest.raises(StoreRefused, match="allow_unsafe") as refused:
        case.open()
    assert refused.value.exit_code == 74
    case.durability = Durability(min_free=0, allow_unsafe=True)
    case.open()
    assert case.store.durability == "unsafe"


def test_a_kill_is_told_and_a_proper_end_is_not(case: SqliteCase) -> None:
    """``recovered`` says that the last run was not closed; everything promised is there."""
    stored = case.accept()
    case.begin()
    assert case.store.recovered is None
    case.crash()
    assert case.store.recovered is not None
    assert "not closed" in case.store.recovered
    assert case.row(stored)
    case.reopen()
    assert case.store.recovered is None


def test_files_are_for_their_owner_only(case: SqliteCase) -> None:
    """Pages hold names and numbers of people: no other user may read them."""
    case.accept()
    run(case.store.records.counts())
    modes = {file.name: file.stat().st_mode & 0o077 for file in case.folder.iterdir()}
    modes.pop("gateway.db.boot")  # env.files writes it
    assert set(modes.values()) == {0}


def test_forgotten_texts_are_gone_from_the_file(case: SqliteCase) -> None:
    """What was removed cannot be read from the file any more."""
    case.accept()
    (begun,) = case.begin()
    case.conclude(begun, Happening.TAKEN)
    case.wait(1)
    run(case.store.housekeeping.forget_texts(case.now, 9))
    run(case.store.close())
    assert b"bed 4" not in (case.folder / "gateway.db").read_bytes()
    assert (
        not (case.folder / "gateway.db-wal").exists()
        or b"bed 4" not in (case.folder / "gateway.db-wal").read_bytes()
    )


def test_the_log_is_folded_in_while_the_store_is_idle(case: SqliteCase) -> None:
    """A checkpoint is made after some thousand units, and the side file follows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "TIDY_AT", 10)
        stored = [case.accept() for _ in range(30)]
    note = opening._note(case.env, case.folder / "gateway.db")  # type: ignore[arg-type]
    assert note is not None
    assert note.key > stored[10].message
    busy, log, done = case.sql("PRAGMA wal_checkpoint(PASSIVE)")[0]
    assert (busy, log) == (0, done)
