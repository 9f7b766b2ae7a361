"""Power loss at every point of a run (F06): ``python -m tests.crash.power --images 10000``.

A child process lives one life of a store (``power_life``) under a recorder of writes and syncs; the record is
replayed on a model of a disk (``power_record``), which makes images of what a power loss leaves. Each image is
opened as the gateway opens its store, and must be the record as it stood after one of its commits: not before
the last one that was acknowledged, nothing of a commit without the rest. The next life begins on such an
image, so that recovery is cut off too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from gateway.env.real import RealFiles
from gateway.errors import StoreRefused
from tests.contract.store_case import FAX, WEB, SqliteCase
from tests.crash.power_life import LEVELS, digest
from tests.crash.power_record import (
    RENAME,
    SYNC,
    TRUNCATE,
    UNLINK,
    Call,
    How,
    files_of,
    is_ignored,
    points,
    put_files,
    read_record,
    shim,
)
from tests.gateway.store_env import StoreEnv, run

LIVES = 3  # of one chain: each but the first begins on what a power loss left of the one before
CHAIN = 5_000  # images of one chain
RECENT = 3  # commits whose units are asked for through the store's own questions; the digest covers all


# ---------------------------------------------------------------- what was promised


@dataclass(frozen=True)
class Unit:
    """A unit that was acknowledged at *place* of the record, when commit number *commit* was the last."""

    place: int
    commit: int
    facts: dict[str, Any]


@dataclass
class Said:
    """What a life said: the digest after each commit and where in the record, and what it acknowledged."""

    digests: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    begun: list[frozenset[int]] = field(default_factory=list)

    def hear(self, place: int, line: dict[str, Any]) -> None:
        if "commit" in line:
            self.digests.append(line["commit"])
            self.places.append(place)
            self.begun.append(self.begun[-1] if self.begun else frozenset())
            return
        now = frozenset(line.pop("begun"))
        if not self.units:  # the life began with this
            self.begun = [now] * len(self.begun)
        self.begun[-1] = now
        self.units.append(Unit(place, len(self.digests) - 1, line))

    def acknowledged(self, place: int) -> list[Unit]:
        """The units acknowledged before *place*."""
        return self.units[: bisect_left(self.units, place, key=lambda unit: unit.place)]

    def committed(self, place: int) -> int:
        """How many commits had been made, or begun, at *place*."""
        return min(bisect_left(self.places, place) + 1, len(self.digests))


@dataclass(frozen=True)
class Life:
    """A recorded life: the *files* it began with, its calls, and what it said."""

    folder: Path
    files: dict[str, bytes]
    calls: list[Call]
    said: Said


def record(folder: Path, library: Path, files: dict[str, bytes], seed: int, number: int, level: str) -> Life:
    """Have a child live on *files* under the recorder; raises if the record is not the whole truth."""
    work, kept = folder / "work", folder / "record"
    work.mkdir(exist_ok=True)
    kept.unlink(missing_ok=True)
    put_files(work, files)
    command = [sys.executable, "-m", "tests.crash.power_life", work, "--synchronous", level]
    command += ["--seed", str(seed * 100 + number), "--start", str(1500 * number + 60)]
    command += ["--killed"] if number % 2 else []
    shims = {"LD_PRELOAD": str(library), "RECORD_FOLDER": str(work), "RECORD_TO": str(kept)}
    home = Path(__file__).parents[2]
    subprocess.run(command, cwd=home, env={**os.environ, **shims, "PYTHONPATH": str(home)}, check=True)
    calls, said = read_record(kept), Said()
    for place, disk in points(calls, files, work):
        if disk.said.pending:
            said.hear(place - 1, json.loads(disk.said.pending.pop().data))
    assert {name: file.content() for name, file in disk.live.items() if not is_ignored(name)} == files_of(
        work
    )
    return Life(work, files, calls, said)


# ---------------------------------------------------------------- the oracle


@dataclass(frozen=True)
class Finding:
    """What became of an image. *lost*: acknowledged units that are gone; *why*: None if all is well."""

    looked_for: int = 0
    lost: int = 0
    why: str | None = None
    digest: str = ""


def examine(folder: Path, said: Said, place: int, chance: Random) -> Finding:
    """Open the image in *folder*, that of a power loss at *place*, and hold it against what was said."""
    units = said.acknowledged(place)
    least = units[-1].commit if units else 0
    env = StoreEnv(chance.randrange(1 << 32))
    env.files = RealFiles()  # type: ignore[assignment]
    env.clock.advance(10_000.0)
    try:
        case = SqliteCase(env, folder)
    except (StoreRefused, sqlite3.Error) as refused:
        return Finding(len(units), len(units), f"unopenable: {refused}")
    try:
        db = case.store._writer._tx.db  # type: ignore[attr-defined]
        unsound = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if unsound != "ok":
            return Finding(len(units), 0, f"unsound: {unsound}")
        found = digest(db)
        stands = [number for number in range(said.committed(place)) if said.digests[number] == found]
        if not stands:
            return Finding(len(units), 0, "half: it is the record as of none of its commits")
        if stands[-1] < least:
            lost = [unit for unit in units if unit.commit > stands[-1]]
            return Finding(len(units), len(lost), f"lost: {lost[0].facts} and {len(lost) - 1} more")
        why = _asked(case, said, stands[-1], units, chance)
        return Finding(len(units), int(why is not None and why.startswith("lost")), why, found)
    finally:
        case.abandon()


def _asked(case: SqliteCase, said: Said, stands: int, units: list[Unit], chance: Random) -> str | None:
    """What the store's own questions give away; None if it answers as it must."""
    old = [unit for unit in units if unit.commit <= stands - RECENT and "id" in unit.facts]
    new = [unit for unit in units if unit.commit > stands - RECENT and "id" in unit.facts]
    for unit in [*chance.sample(old, min(2, len(old))), *new]:
        facts = unit.facts
        row = run(case.store.records.message(facts["id"], client=None))
        if row is None:
            return f"lost: {facts}"
        if row.content is None or row.content.text != facts["text"]:
            return f"half: another text than {facts}"
        there = {"legs": len(row.deliveries), "events": len(row.timeline), "level": row.level}
        if any(there[name] < facts[name] for name in there):
            return f"half: {facts} is now {there}"
    case.hold(WEB, FAX)
    interrupted = {
        begun.delivery
        for link in (WEB, FAX)
        for begun in run(case.store.work.interrupted(link, case.fences[link]))
    }
    if interrupted != said.begun[stands]:
        return f"begun: {sorted(interrupted)} are found, {sorted(said.begun[stands])} were begun"
    case.lapse()
    accepted = case.accept()
    if [one.delivery for one in case.begin(limit=1)] == [] or case.row(accepted).content is None:
        return "stuck: it takes nothing new"
    return None


# ---------------------------------------------------------------- images


@dataclass
class Report:
    """The sum of many images."""

    images: int = 0
    calls: int = 0
    lives: int = 0
    commits: int = 0
    acknowledged: int = 0
    looked_for: int = 0
    lost: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def count(self, kind: str) -> int:
        """Images that failed in this way: lost, half, unsound, begun, unopenable, stuck."""
        return sum(f" {kind}: " in failure for failure in self.failures)


def candidates(life: Life, wanted: int, chance: Random) -> list[tuple[int, int, How]]:
    """Which images to make of a life, in order: the place in the record, a number, and how.

    At every call something is torn, and around syncs and changes of names more, and all that is unsynced is
    dropped or kept. If that is too many, a sample of it; if too few, more is torn anywhere.
    """
    found: list[tuple[int, int, How]] = []
    everywhere = range(len(life.calls) + 1)
    for place in everywhere:
        around = {call.what for call in life.calls[max(place - 1, 0) : place + 1]}
        pressing = bool(around & {SYNC, RENAME, UNLINK, TRUNCATE})
        found += [(place, number, "torn") for number in range(4 if pressing else 1)]
        found += [(place, 0, "dropped"), (place, 0, "kept")] if pressing else []
    if len(found) > wanted:
        return sorted(chance.sample(found, wanted))
    more = range(10, 10 + wanted - len(found))
    return sorted([*found, *((chance.choice(everywhere), number, "torn") for number in more)])


def images(
    life: Life, wanted: int, seed: str, seen: set[bytes]
) -> Iterator[tuple[int, str, dict[str, bytes]]]:
    """About *wanted* images that were not *seen*, each with its place and its name."""
    chosen = deque(candidates(life, wanted, Random(f"{seed} places")))
    for place, disk in points(life.calls, life.files, life.folder):
        while chosen and chosen[0][0] == place:
            _, number, how = chosen.popleft()
            if how != "dropped" and disk.settled:
                continue
            name = f"{seed} call {place} {how} {number}"
            image = disk.image(how, Random(name))
            key = blake2b(repr(len(life.said.acknowledged(place))).encode(), digest_size=16)
            for file, content in image.items():
                key.update(f"{file} {len(content)} ".encode() + content)
            if key.digest() not in seen:
                seen.add(key.digest())
                yield place, name, image


def chain(seed: int, wanted: int, level: str, keep: Path | None) -> Report:
    """*wanted* images of a chain of lives, or some fewer."""
    report, seen = Report(), set[bytes]()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        folder = Path(made).resolve()
        library = shim("record", folder)
        image_folder = folder / "image"
        image_folder.mkdir()
        files: dict[str, bytes] = {}
        expected: str | None = None
        for number in range(LIVES):
            life = record(folder, library, files, seed, number, level)
            assert expected in (None, life.said.digests[0]), "an image opened twice is not the same"
            report.add(
                Report(
                    lives=1,
                    calls=len(life.calls),
                    commits=len(life.said.digests),
                    acknowledged=len(life.said.units),
                )
            )
            chance = Random(f"{seed} {number}")
            share = max(wanted - report.images, 1) * 5 // (LIVES - number) // 4  # some are the same
            good = 0
            for place, name, image in images(life, share, f"seed {seed} life {number}", seen):
                put_files(image_folder, image)
                finding = examine(image_folder, life.said, place, Random(name))
                report.add(Report(images=1, looked_for=finding.looked_for, lost=finding.lost))
                if finding.why is not None:
                    report.failures.append(f"{name}: {finding.why}")
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        shutil.copytree(image_folder, keep / name.replace(" ", "-"))
                        put_files(keep / name.replace(" ", "-"), image)
                elif finding.digest and life.said.units and place > life.said.units[0].place:
                    good += 1
                    if chance.random() < 1 / good:
                        next_files, next_expected = image, finding.digest
            if good:
                files, expected = next_files, next_expected
            else:
                files, expected = {}, None
    return report


def power(
    wanted: int, seed: int = 1, *, level: str = "FULL", jobs: int = 1, keep: Path | None = None
) -> Report:
    """At least *wanted* different images, from chains of lives with seeds from *seed* on."""
    report = Report()
    with ProcessPoolExecutor(jobs) as pool:
        while report.images < wanted:
            left = wanted - report.images
            chains = max(1, -(-left // CHAIN))
            share = -(-left // chains)
            for one in pool.map(
                partial(chain, wanted=share, level=level, keep=keep), range(seed, seed + chains)
            ):
                report.add(one)
            seed += chains
    return report


def table(report: Report, seed: int, level: str, seconds: float) -> str:
    """What was found, and where and when."""
    rows = {
        "crash images, all different": report.images,
        "recorded lives (calls, commits)": f"{report.lives} ({report.calls:,}, {report.commits:,})",
        "units acknowledged": report.acknowledged,
        "acknowledged units looked for": report.looked_for,
        "acknowledged units lost": report.lost,
        "images that lost one": report.count("lost"),
        "images with half a unit": report.count("half"),
        "images that fail integrity_check": report.count("unsound"),
        "images with wrong interrupted()": report.count("begun"),
        "images that do not open": report.count("unopenable"),
        "images that take nothing new": report.count("stuck"),
        "synchronous": level,
        "seed": seed,
        "took": f"{seconds:.0f} s",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "versions": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    return "\n".join(
        f"{name:34} {value:,}" if isinstance(value, int) and name != "seed" else f"{name:34} {value}"
        for name, value in rows.items()
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """1 if an image failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--synchronous", choices=LEVELS, default="FULL", help="others must lose something")
    options.add_argument("--jobs", type=int, default=2, help="chains at a time")
    options.add_argument("--keep", type=Path, help="copy images that fail to this folder")
    chosen = options.parse_args(arguments)
    started = time.monotonic()
    report = power(chosen.images, chosen.seed, level=chosen.synchronous, jobs=chosen.jobs, keep=chosen.keep)
    for failure in report.failures[:20]:
        print(failure[:300])
    print(table(report, chosen.seed, chosen.synchronous, time.monotonic() - started))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
