"""One life of a store, to be recorded: ``python -m tests.crash.power_life FOLDER --seed 1``.

It opens ``gateway.db`` in the folder, does some sixty units of every kind by chance, alone and many in one
commit, closes and opens again half-way, and ends properly or as if killed. After each commit it says a digest
of the whole record, and after each unit that was acknowledged what the gateway would now answer for it: one
JSON line each into the file ``says``, so that the record has them in order with the writes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from gateway.env.real import RealFiles
from gateway.lifecycle import Happening
from gateway.model import Content, LinkName, MessageKey, PublicId, later
from gateway.outcome import Level
from gateway.store.base import Begun, NewMessage, Stored
from gateway.store.sqlite.writer import TIDY
from tests.contract.store_case import FAX, WEB, SqliteCase
from tests.crash.power_record import SAYS
from tests.gateway.store_env import StoreEnv, run

UNITS = 30  # between opening and closing; a life is two of these
LEVELS = ("FULL", "NORMAL", "OFF")


def digest(db: sqlite3.Connection) -> str:
    """Of everything on record but what opening changes."""
    hashed = blake2b(digest_size=12)
    tables = db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name != 'meta' ORDER BY name"
    )
    for (table,) in tables.fetchall():
        hashed.update(repr((table, db.execute(f"SELECT * FROM {table}").fetchall())).encode())
    return hashed.hexdigest()


class LifeEnv(StoreEnv):
    """Workers that run at once, and the disk as the gateway uses it."""

    def __init__(self, seed: int, says: int) -> None:
        super().__init__(seed)
        self.files = RealFiles()  # type: ignore[assignment]
        self.says = says

    def say(self, **line: Any) -> None:
        os.write(self.says, json.dumps(line).encode() + b"\n")

    def worker(self, name: str, work: Any, done: Any, *, limit: int) -> Any:
        if name != "store":
            return super().worker(name, work, done, limit=limit)

        def work_and_say(units: Any) -> Any:
            results = work(units)
            tx = work.__self__._tx
            if tx is not None:
                with contextlib.suppress(sqlite3.ProgrammingError):  # that was the closing
                    self.say(commit=digest(tx.db))
            return results

        return super().worker(name, work_and_say, done, limit=limit)


class Life(SqliteCase):
    """The units, each followed by what it was acknowledged with."""

    env: LifeEnv

    def __init__(self, folder: Path, seed: int, synchronous: str) -> None:
        self.synchronous = synchronous
        self.chance = Random(seed)
        self.begun: dict[int, Begun] = {}
        self.texts: dict[PublicId, str] = {}
        self.keys: dict[PublicId, MessageKey] = {}
        self.refs_seen: list[tuple[str, LinkName]] = []
        self.count = 0
        self.seed = seed
        super().__init__(
            LifeEnv(seed, os.open(folder / SAYS, os.O_WRONLY | os.O_CREAT | os.O_APPEND)), folder
        )

    def open(self, **options: Any) -> None:
        super().open(**options)
        tx = self.store._writer._tx  # type: ignore[attr-defined]
        tx.db.execute(f"PRAGMA synchronous={self.synchronous}")
        self.take_over()

    def take_over(self) -> None:
        """Hold both lanes; what was begun under an earlier fence is ours to conclude."""
        self.hold(WEB, FAX)
        found = [run(self.store.work.interrupted(link, self.fences[link])) for link in (WEB, FAX)]
        here = {one.delivery: one for lane in found for one in lane}
        assert not self.begun or self.begun.keys() == here.keys(), (self.begun, here)
        self.begun = here
        for row in run(self.store.records.messages(client=None, state="all", limit=500, before=None)):
            self.keys[row.public_id] = row.message
            if row.content is not None:
                self.texts[row.public_id] = row.content.text
        self.told("hold")

    def told(self, kind: str, *ids: PublicId) -> None:
        """*kind* was acknowledged: from now on this much must be on record of each message."""
        for id_ in ids:
            row = run(self.store.records.message(id_, client=None))
            assert row is not None
            facts = {"text": self.texts[id_], "legs": len(row.deliveries), "level": int(row.level)}
            self.env.say(unit=kind, id=id_, events=len(row.timeline), begun=sorted(self.begun), **facts)
        if not ids:
            self.env.say(unit=kind, begun=sorted(self.begun))

    # ------------------------------------------------------------ units

    def some_new(self) -> NewMessage:
        self.count += 1
        text = f"{self.seed}/{self.count} " + "bed 4 " * self.chance.choice((1, 1, 10, 300))
        changes: dict[str, Any] = {"content": Content(text=text)}
        if self.chance.random() < 0.3:
            changes |= {"idempotency_key": f"{self.seed}/{self.count}", "request_hash": b"h", "answer": b"{}"}
        if self.chance.random() < 0.4:
            return self.pursued(key=self.chance.choice((None, None, "boiler", "lift")), **changes)
        link = self.chance.choice((WEB, FAX))
        return self.new(*[self.leg(link=link)] * self.chance.choice((1, 1, 3)), **changes)

    def accepted(self, news: list[NewMessage], answers: list[Stored | BaseException]) -> list[PublicId]:
        for new, stored in zip(news, answers, strict=True):
            assert isinstance(stored, Stored), stored
            self.texts[new.public_id] = new.content.text
            self.keys[new.public_id] = stored.message
        return [new.public_id for new in news]

    def accept_one(self) -> None:
        new = self.some_new()
        self.told("accept", *self.accepted([new], [self.accept(new)]))

    def accept_many(self) -> None:
        news = [self.some_new() for _ in range(self.chance.randrange(2, 9))]
        self.told("accept", *self.accepted(news, self.together(*news)))

    def begin_some(self) -> None:
        got = self.begin(self.chance.choice((WEB, FAX)), limit=self.chance.randrange(1, 5))
        self.begun |= {one.delivery: one for one in got}
        if got:
            self.told("begin", *{one.public_id for one in got})

    def conclusion(self, begun: Begun) -> Any:
        self.count += 1
        soon = later(self.now, 5)
        which = self.chance.random()
        if which < 0.5:
            self.refs_seen.append((f"r{self.seed}-{self.count}", begun.link))
            return self.done(begun, refs=self.refs(self.refs_seen[-1][0]))
        if which < 0.7:
            doubt = {"due": soon, "then": "resend", "doubts": 1, "outcome": "in_doubt"}
            return self.done(begun, Happening.IN_DOUBT, **doubt)
        if which < 0.9:
            return self.done(begun, Happening.NOT_SENT, due=soon, connects=1, outcome="not_sent")
        return self.done(begun, Happening.REFUSED, outcome="refused", transcript="> SEND\n< 550")

    def conclude_one(self) -> None:
        if self.begun:
            one = self.begun[self.chance.choice(sorted(self.begun))]
            assert run(self.store.work.conclude(self.conclusion(one)))
            del self.begun[one.delivery]
            self.told("conclude", one.public_id)

    def everything_at_once(self) -> None:
        """One commit that accepts, concludes, reports and begins."""
        worker = self.env.workers["store"]
        worker.kept = True
        news = [self.some_new() for _ in range(3)]
        over = [self.begun[key] for key in sorted(self.begun)[:3]]
        work, link = self.store.work, self.chance.choice((WEB, FAX))
        asked: list[Any] = [self.store.intake.accept(new) for new in news]
        asked += [work.conclude(self.conclusion(one)) for one in over]
        asked += [work.begin(link, self.fences[link], limit=4, ordinary=4, now=self.now)]
        waiting = [Deferred.fromCoroutine(one) for one in asked]
        worker.release()
        answers = [one.result for one in waiting]
        ids = self.accepted(news, answers[:3])
        assert answers[3:-1] == [True] * len(over), answers
        for one in over:
            del self.begun[one.delivery]
        self.begun |= {one.delivery: one for one in answers[-1].begun}
        self.told("batch", *{*ids, *(one.public_id for one in (*over, *answers[-1].begun))})

    def report_one(self) -> None:
        self.count += 1
        unknown = (f"early{self.seed}-{self.count}", WEB)
        ref, link = self.chance.choice([*self.refs_seen[-5:], unknown])
        level = Level.READ
        self.report(ref, state=self.chance.choice(("860", "870")), link=link, level=level)
        self.told("report")

    def cancel_one(self) -> None:
        id_ = self.chance.choice(sorted(self.keys))
        run(self.store.desk.cancel(self.keys[id_], by="dana", why=None, now=self.now))
        self.told("cancel", id_)

    def acknowledge_one(self) -> None:
        row = run(self.store.records.messages(client=None, state="open", limit=20, before=None))
        if row:
            one = self.chance.choice(row)
            by = {"by": "alice", "note": None, "recorded_by": "console:dana"}
            run(self.store.desk.acknowledge(one.message, now=self.now, **by))
            self.told("acknowledge", one.public_id)

    def advance_one(self) -> None:
        if facts := run(self.store.pursuit.due(later(self.now, 3600), 1)):
            leg = self.leg(leg=1, link=FAX)
            assert self.advance(open=(leg,), due=later(self.now, 30), why="next_leg")
            self.told("advance", facts[0].public_id)

    def pass_time(self) -> None:
        self.wait(self.chance.choice((1, 20, 400)))
        self.lapse()
        self.told("lapse")

    def fold(self) -> None:
        """A checkpoint, as the writer makes one when its log has grown."""
        writer = self.store._writer  # type: ignore[attr-defined]
        told: list[Any] = []
        writer.put(TIDY, writer._tidy).addBoth(told.append)
        assert told == [None]

    def units(self, count: int) -> None:
        kinds = {
            self.accept_one: 6, self.accept_many: 2, self.begin_some: 6, self.conclude_one: 6,
            self.everything_at_once: 3, self.report_one: 3, self.cancel_one: 1, self.acknowledge_one: 1,
            self.advance_one: 1, self.pass_time: 1, self.fold: 2, self.take_over: 1,
        }  # fmt: skip
        for unit in self.chance.choices(list(kinds), list(kinds.values()), k=count):
            unit()


def main() -> None:
    """Live once."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--seed", type=int, required=True)
    options.add_argument("--start", type=float, default=60.0, help="seconds on the clock")
    options.add_argument("--synchronous", choices=LEVELS, default="FULL")
    options.add_argument("--killed", action="store_true", help="do not close at the end")
    chosen = options.parse_args()
    life = Life(chosen.folder, chosen.seed, chosen.synchronous)
    life.wait(chosen.start)
    life.units(UNITS)
    life.reopen()
    life.units(UNITS)
    if chosen.killed:
        os._exit(0)
    run(life.store.close())


if __name__ == "__main__":
    main()
