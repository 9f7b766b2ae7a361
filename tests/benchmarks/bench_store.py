"""What the record costs: CPU of T1 to T3 a message, taking behind a million, opening after a kill.

    python -m tests.benchmarks.bench_store [--queued 1000000] [--messages 64000]

Prints figures with machine and versions; asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from gateway.env import public_id
from gateway.lifecycle import Happening
from gateway.model import Content, LinkName, MessageClass, later
from gateway.outcome import CarrierRef, Level
from gateway.settings.types import Durability
from gateway.store.base import Concluded, NewDelivery, NewMessage, Verdict
from gateway.store.sqlite import SqliteStore, open_store
from tests.gateway.store_env import StoreEnv, run

WEB = LinkName("spok.web")
BATCH = 64


def new_message(env: StoreEnv, text: str) -> NewMessage:
    now = env.now()
    return NewMessage(
        public_id=public_id(env),  # type: ignore[arg-type]
        client="helpdesk",
        to=("spok:5551212",),
        content=Content(text=text),
        message_class=MessageClass.NORMAL,
        until=Level.HANDED_OVER,
        at=now,
        expires=None,
        deliveries=(
            NewDelivery(
                leg=0,
                person=None,
                device=None,
                address="5551212",
                link=WEB,
                message_class=MessageClass.NORMAL,
                due=now,
                deadline=later(now, 86_400),
            ),
        ),
    )


def together(env: StoreEnv, coroutines: list[Any]) -> list[Any]:
    """Units that ride in one commit."""
    worker = env.workers["store"]
    worker.kept = True
    told: list[Any] = []
    for one in coroutines:
        Deferred.fromCoroutine(one).addCallback(told.append)
    worker.release()
    assert len(told) == len(coroutines)
    return told


class Cost:
    """CPU and wall time of one stage, each batch by itself: a neighbour's noise only ever adds, so that the
    tenth percentile is the machine left alone."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def __enter__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.cpu.append(time.process_time() - self._cpu)
        self.wall.append(time.perf_counter() - self._wall)

    def each(self, count: int) -> tuple[float, float, float]:
        """Microseconds a message: CPU, CPU at the tenth percentile, wall."""
        quiet = sorted(self.cpu)[len(self.cpu) // 10] * len(self.cpu)
        return tuple(one / count * 1e6 for one in (sum(self.cpu), quiet, sum(self.wall)))  # type: ignore[return-value]


def show(name: str, costs: Iterable[Cost], count: int) -> None:
    cpu, quiet, wall = map(sum, zip(*(cost.each(count) for cost in costs), strict=True))
    print(f"  {name:<34} {cpu:7.2f} us CPU (tenth percentile {quiet:6.2f}), {wall:7.2f} us wall")


class Timed:
    """A connection whose statements are timed, by kind."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.costs: dict[str, Cost] = defaultdict(Cost)

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        with self.costs[sql[:60]]:
            return self.db.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)


def short_path(folder: Path, messages: int, *, refs: bool) -> None:
    """One message, one delivery, no incident, no key; batches of 64."""
    env = StoreEnv()
    store = run(open_store(folder / "short.db", env, durability=Durability(min_free=0)))  # type: ignore[arg-type]
    fence = run(store.work.hold((WEB,)))
    points = ("T1 accept", "T2 begin", "T3 conclude")
    thread = {point: Cost() for point in points}
    costs = {point: Cost() for point in points}
    worker = env.workers["store"]
    inner = worker._work
    point = points[0]

    def work(units: Any) -> Any:
        with thread[point]:
            return inner(units)

    worker._work = work
    tx = store._writer._tx
    assert tx is not None
    timed = Timed(tx.db)
    tx.db = timed  # type: ignore[assignment]
    for turn in range(messages // BATCH):
        env.clock.advance(0.004)  # ids are ordered by time, and so are their inserts
        news = [new_message(env, "x" * 100) for _ in range(BATCH)]
        point = "T1 accept"
        with costs[point]:
            together(env, [store.intake.accept(new) for new in news])
        point = "T2 begin"
        with costs[point]:
            taking = run(store.work.begin(WEB, fence, limit=BATCH, ordinary=BATCH, now=env.now()))
        assert len(taking.begun) == BATCH
        verdict = Verdict(happening=Happening.TAKEN, tries=1, level=Level.HANDED_OVER)
        dones = [
            Concluded(
                delivery=one.delivery,
                message=one.message,
                client=one.client,
                lane=WEB,
                fence=fence,
                began=one.begun_at,
                ended=env.now(),
                outcome="taken",
                code="250",
                why="message accepted",
                verdict=verdict,
                refs=(CarrierRef(scope="spok", ref=f"{turn:x}-{n:x}"),) if refs else (),
            )
            for n, one in enumerate(taking.begun)
        ]
        point = "T3 conclude"
        with costs[point]:
            together(env, [store.work.conclude(done) for done in dones])
    run(store.close())
    print(f"T1-T3, {messages} messages in batches of {BATCH}{', with carrier references' if refs else ''}:")
    for name, cost in thread.items():
        show(f"{name}, writer", [cost], messages)
    show("the writer (budget 20)", thread.values(), messages)
    show("of it within SQLite", timed.costs.values(), messages)
    show("both threads", costs.values(), messages)


def fill(path: Path, queued: int) -> None:
    """A child accepts *queued* messages and is killed."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    env = StoreEnv()
    store = run(open_store(path, env, durability=Durability(min_free=0, batch=256)))  # type: ignore[arg-type]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    for _ in range(queued // 256 + 1):
        together(env, [store.intake.accept(new_message(env, "x" * 100)) for _ in range(256)])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{store.intake.backlog} accepted in {time.perf_counter() - started:.1f} s; RSS grew by {grown / 1024:.0f} MiB"
        f" (page caches bounded at 64 MiB a connection), {grown * 1024 / store.intake.backlog:.0f} B a message"
    )
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def after_kill(path: Path, queued: int) -> None:
    """Opening after the kill with cold caches, and taking while they wait."""
    size = path.stat().st_size + path.with_name(path.name + "-wal").stat().st_size
    print(f"files: {size / 2**20:.0f} MiB, {size / queued:.0f} B a message")
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as drop:
        drop.write("3")
    env = StoreEnv()
    env.kept.add("store-check")  # it runs beside the store, in a thread of its own
    started = time.perf_counter()
    store: SqliteStore = run(open_store(path, env, durability=Durability(min_free=0)))  # type: ignore[arg-type]
    opened = time.perf_counter()
    fence = run(store.work.hold((WEB,)))
    run(store.work.interrupted(WEB, fence))
    run(store.work.lapse(env.now()))
    taking = run(store.work.begin(WEB, fence, limit=1, ordinary=1, now=env.now()))
    first = time.perf_counter()
    assert len(taking.begun) == 1
    print(
        f"open after kill -9, cold: {opened - started:.2f} s; until the first is begun {first - started:.2f} s"
    )
    takes = []
    for _ in range(50):
        began = time.perf_counter()
        run(store.work.begin(WEB, fence, limit=BATCH, ordinary=BATCH, now=env.now()))
        takes.append(time.perf_counter() - began)
    takes.sort()
    print(
        f"begin of {BATCH} with {store.intake.backlog} open: median {takes[25] * 1e3:.2f} ms, worst {takes[-1] * 1e3:.2f} ms"
    )
    began = time.perf_counter()
    run(store.records.counts())
    print(f"counts (reading connection): {(time.perf_counter() - began) * 1e3:.0f} ms")
    for state in ("open", "needs_you", "ended", "all"):
        began = time.perf_counter()
        run(store.records.messages(client=None, state=state, limit=50, before=None))  # type: ignore[arg-type]
        print(f"messages({state}): {(time.perf_counter() - began) * 1e3:.0f} ms")
    began = time.perf_counter()
    run(store.work.next_lapse())
    print(f"next_lapse: {(time.perf_counter() - began) * 1e3:.2f} ms")
    check = Cost()
    with check:
        env.workers["store-check"].release()
    print(f"quick_check, beside the store: {check.wall[0]:.2f} s, {check.cpu[0]:.2f} s CPU")
    env.clock.advance(86_401)
    began = time.perf_counter()
    gone = run(store.work.lapse(env.now())).expired
    print(f"lapse of {gone} at once: {time.perf_counter() - began:.1f} s, in units of 2,000")
    run(store.close())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--messages", type=int, default=64_000)
    chosen = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()};"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    folder = Path(tempfile.mkdtemp(prefix="bench-store-"))
    try:
        short_path(folder, chosen.messages, refs=False)
        (folder / "short.db").unlink()
        for beside in folder.iterdir():
            beside.unlink()
        short_path(folder, chosen.messages, refs=True)
        if chosen.queued:
            fill(folder / "backlog.db", chosen.queued)
            after_kill(folder / "backlog.db", chosen.queued)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
