"""The running daemon and its disk: failing syncs, a full disk, read-only, a second process, stop and reload."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.rig import Answer, Rig, until
from tests.peers import missing

pytestmark = pytest.mark.crash

STRACE = shutil.which("strace")
UP_AGAIN = 5.0  # seconds (faults-and-threats F07: up again ≤ 5 s)
RECOVERS = 10.0  # seconds after space returns (F09)
DRAINS = 30.0  # seconds (delivery semantics 10.4)

_numbers = itertools.count(1)


def needs(there: object, what: str) -> None:
    """Skip with a reason; in CI that is a failure."""
    if not there:
        missing(what)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of *size* of its own."""
    needs(os.geteuid() == 0, "needs root to mount a small file system")
    disk = folder / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=False)
    needs(made.returncode == 0, "needs the right to mount a small file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes every byte that is left."""
    filling = disk / "filling"
    with filling.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with filling.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x")
    return filling


def submit(rig: Rig, to: str = "solo:5550200", message_class: str = "urgent") -> Answer | None:
    """One message with a text of its own; None if nobody answers."""
    try:
        return rig.submit(to, f"page {next(_numbers)}", message_class)
    except (OSError, http.client.HTTPException):
        return None


# ---------------------------------------------------------------- the disk fails


@pytest.mark.parametrize("nth", [8, 20, 60])
def test_f07_a_sync_that_fails_ends_the_daemon(tmp_path: Path, nth: int) -> None:
    """After a sync that failed no message is accepted any more, the daemon ends with 74, and at the next start
    everything that was acknowledged is there."""
    needs(STRACE, "needs strace (Debian package strace)")
    trace = tmp_path / "trace"
    inject = [str(STRACE), "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync"]
    inject += ["-e", f"inject=fsync,fdatasync:error=EIO:when={nth}"]
    with Rig(tmp_path) as rig:
        rig.start_carriers("a")
        rig.start(prefix=inject, ready=False)
        accepted: list[str] = []
        after_a_no = 0
        refused = False
        end = time.monotonic() + 60
        while rig.gateway.alive and time.monotonic() < end:  # one after the other: no answer is on its way
            answer = submit(rig)
            if answer is None:
                time.sleep(0.02)
            elif answer.status == 202:
                accepted.append(answer.json["id"])
                after_a_no += refused
            else:
                assert answer.status == 503, answer.json
                refused = True
        assert rig.gateway.ended() == 74, rig.gateway.tail()
        assert "INJECTED" in trace.read_text()
        assert after_a_no == 0
        began = time.monotonic()
        rig.start()
        assert time.monotonic() - began < UP_AGAIN * 4  # "did not hang": the machine may be busy
        for id_ in accepted:
            assert rig.status(id_, wait=20)["outcome"] == "confirmed"


def test_f07_a_folder_that_does_not_sync_ends_the_start(tmp_path: Path) -> None:
    """SQLite says nothing of it; the gateway syncs the folder by itself, and says which folder and why."""
    needs(STRACE, "needs strace (Debian package strace)")
    trace = tmp_path / "trace"
    inject = [str(STRACE), "-f", "-y", "-o", str(trace), "-e", "trace=fsync"]
    inject += [
        "-e",
        "inject=fsync:error=EIO:when=2",
    ]  # SQLite uses fdatasync: the note's file, then its folder
    with Rig(tmp_path) as rig:
        rig.start(prefix=inject, ready=False)
        assert rig.gateway.ended() == 74, rig.gateway.tail()
        assert f"<{tmp_path}>) = -1 EIO" in re.sub(" +", " ", trace.read_text())
        assert "Input/output error" in rig.gateway.tail()


def test_f09_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """Full while pages are under way: new messages get 507, results are still recorded, nothing that was
    acknowledged is lost, and when space returns messages are taken again."""
    with (
        small_disk(tmp_path, "16m") as disk,
        Rig(tmp_path, store=disk / "gateway.db", delay=0.05, more="durability: {min_free: 512KiB}") as rig,
    ):
        rig.start_carriers("a")
        rig.start()
        accepted = []
        for _ in range(40):
            answer = submit(rig)
            assert answer is not None
            accepted.append(answer.json["id"])
        filling = fill(disk)
        refused = until(lambda: _refusal(rig, accepted), "a message is refused")
        assert refused.status == 507, refused.json
        for id_ in accepted:
            assert rig.status(id_, wait=20)["outcome"] == "confirmed"
        assert rig.gateway.alive
        filling.unlink()
        until(lambda: getattr(submit(rig), "status", 0) == 202, "messages are taken again", RECOVERS * 2)


def _refusal(rig: Rig, accepted: list[str]) -> Answer | None:
    answer = submit(rig)
    if answer is not None and answer.status == 202:
        accepted.append(answer.json["id"])
        return None
    return answer


def test_f10_a_full_disk_at_the_start(tmp_path: Path) -> None:
    """Killed with pages waiting and started on a full disk: what is stored goes out, new messages get 507."""
    with (
        small_disk(tmp_path, "16m") as disk,
        Rig(tmp_path, store=disk / "gateway.db", more="durability: {min_free: 2MiB}") as rig,
    ):
        rig.start()
        accepted = [
            answer.json["id"]
            for answer in (submit(rig, message_class="critical") for _ in range(40))
            if answer
        ]
        rig.gateway.kill()
        fill(disk)
        rig.start_carriers("a")
        rig.start(ready=False)
        answer = until(lambda: submit(rig) if rig.gateway.alive else rig.gateway.tail(), "somebody answers")
        assert isinstance(answer, Answer), answer
        assert answer.status == 507, answer.json
        for id_ in accepted:
            assert rig.status(id_, wait=20, level="handed_over")["level"] == "handed_over"


def test_f11_a_read_only_disk_at_the_start(tmp_path: Path) -> None:
    """A folder that cannot be written ends the start with 74 and one clear line."""
    with (
        small_disk(tmp_path, "16m") as disk,
        Rig(tmp_path, store=disk / "gateway.db", more="durability: {min_free: 1MiB}") as rig,
    ):
        rig.start()
        rig.gateway.kill()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        rig.start(ready=False)
        assert rig.gateway.ended() == 74, rig.gateway.tail()
        assert "Read-only file system" in rig.gateway.tail()
        assert "Traceback" not in rig.gateway.tail()


# ---------------------------------------------------------------- somebody else has it


def test_f15_a_second_daemon_on_the_same_store(tmp_path: Path) -> None:
    """The second one ends with 75 and names the first one's process; the first one goes on."""
    first_folder, second_folder = tmp_path / "first", tmp_path / "second"
    first_folder.mkdir()
    second_folder.mkdir()
    with Rig(first_folder) as first, Rig(second_folder, store=first.database) as second:
        first.start()
        second.start(ready=False)
        assert second.gateway.ended() == 75
        assert f"in use by process {first.gateway.pid}" in second.gateway.tail()
        assert first.ready()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A door that cannot open ends the start with 75 and names the port."""
    with Rig(tmp_path) as rig:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", rig.http))
            taken.listen()
            rig.start(ready=False)
            assert rig.gateway.ended() == 75
        assert str(rig.http) in rig.gateway.tail()
