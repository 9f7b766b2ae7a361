"""The power fails at any point of a run. More of the same: ``python -m tests.crash.power --images 10000``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random
from shutil import which

import pytest

from tests.contract.store_case import SqliteCase
from tests.crash.power import power
from tests.crash.power_record import OPEN, SYNC, WRITE, Call, Disk
from tests.gateway.store_env import StoreEnv, run

IMAGES = 200

needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or (which("cc") is None and os.environ.get("CI") != "true"),
    reason="needs Linux and a C compiler: apt install gcc libc6-dev",
)


@needs_compiler
@pytest.mark.crash
def test_a_power_loss_loses_nothing_that_was_acknowledged() -> None:
    """Whatever of the unsynced writes is dropped or torn: the database opens, every acknowledged unit is there
    in full, no unit is there by half, and what was begun is found to be in doubt."""
    report = power(IMAGES)
    assert report.images >= IMAGES
    assert report.looked_for > 10 * IMAGES
    assert (report.failures, report.lost) == ([], 0)


@needs_compiler
@pytest.mark.crash
def test_without_a_sync_per_commit_the_last_commits_are_lost() -> None:
    """The proof that these tests can tell: synchronous=NORMAL keeps the database whole and loses what was
    acknowledged last."""
    report = power(IMAGES // 2, level="NORMAL")
    assert report.lost > 0
    assert report.count("lost") == len(report.failures)


@needs_compiler
@pytest.mark.crash
def test_without_any_sync_the_database_is_lost() -> None:
    """synchronous=OFF, which needs durability.allow_unsafe: units are lost, and databases do not open."""
    report = power(IMAGES // 2, level="OFF")
    assert report.count("lost") > 0
    assert report.count("unopenable") + report.count("unsound") + report.count("half") > 0


def test_a_log_that_was_only_just_begun_is_not_called_damaged(tmp_path: Path) -> None:
    """A power loss while the log's header was being written loses nothing, and raises no alarm."""
    case = SqliteCase(StoreEnv(), tmp_path)
    stored = case.accept()
    run(case.store.close())
    (tmp_path / "gateway.db-wal").write_bytes(bytes(32))
    case.open()
    assert case.store.recovered is None
    assert case.row(stored)


# ---------------------------------------------------------------- the model of the disk


def disk_of(*calls: Call) -> Disk:
    disk = Disk(Path("/f"), {"a": b"o" * 1024})
    for call in calls:
        disk.replay(call)
    return disk


def opened(name: str) -> Call:
    return Call(OPEN, 3, 0, 0, f"/f{name}".encode())


def written(at: int, data: bytes) -> Call:
    return Call(WRITE, 3, at, 0, data)


SYNCED = Call(SYNC, 3, 0, 0, b"")
FOLDER_SYNCED = (Call(OPEN, 4, 0, 0, b"/f"), Call(SYNC, 4, 0, 0, b""))


def test_what_was_synced_stays() -> None:
    """In the model, no power loss takes bytes that were written before the file's last sync."""
    disk = disk_of(opened("/a"), written(0, b"n" * 600), SYNCED)
    assert disk.settled
    for number in range(50):
        for how in ("dropped", "kept", "torn"):
            assert disk.image(how, Random(number)) == {"a": b"n" * 600 + b"o" * 424}


def test_what_was_not_synced_is_torn_at_sectors() -> None:
    """In the model, every subset of the sectors of an unsynced write occurs, and bytes beside it stay."""
    disk = disk_of(opened("/a"), written(100, b"n" * 800))
    found = {disk.image("torn", Random(number))["a"] for number in range(200)}
    old, first, second = b"o" * 1024, b"n" * 412, b"n" * 388
    assert found == {
        old,
        old[:100] + first + old[512:],
        old[:512] + second + old[900:],
        old[:100] + first + second + old[900:],
    }


def test_a_new_name_needs_a_sync_of_the_folder() -> None:
    """In the model, a synced file whose folder was not synced may be gone."""
    calls = opened("/b"), written(0, b"n"), SYNCED
    assert "b" not in disk_of(*calls).image("dropped", Random(1))
    assert disk_of(*calls, *FOLDER_SYNCED).image("dropped", Random(1))["b"] == b"n"


def test_behind_the_old_end_may_be_anything() -> None:
    """In the model, a file may have grown although what was written there has not come."""
    disk = disk_of(opened("/a"), written(1024, b"n" * 512))
    ends = {disk.image("torn", Random(number))["a"][1024:] for number in range(200)}
    assert {b"", bytes(512), b"n" * 512} < ends
    assert any(len(set(end)) > 2 for end in ends)
