"""``kill -9`` at random moments under load, then a reckoning with what really reached the pagers.

    python -m tests.crash.kill [--kills 1000] [--messages 100000] [--seed 1]

Clients submit over kept connections, each message with a text and an Idempotency-Key of its own, and repeat
with the same key until they have a yes. The gateway is killed 0.1 to 2 s after it is ready (one time in four:
after its start, which it may not survive) and started again at once; one kill in four also kills and starts
a carrier. At the end the queue drains, a person answers
"send again" for every page in doubt, the gateway stops, and the record is compared with the carriers' logs.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.metadata
import json
import os
import platform
import random
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.crash.rig import TOKEN, Hung, Rig

CLIENTS = 8
STUCK = 60.0  # seconds without any progress after which a run counts as hung
ANSWER_LIMIT = 60.0  # seconds until a repeated message must have its yes, kills included
DELAY = 0.01  # seconds a carrier takes for a page: so that many are under way at any moment
TARGETS = ("duo", "duo", "solo")  # two ways in, with a pursuit; one way in, without
CLASSES = ("urgent", "normal")


@dataclass
class Reckoning:
    """What a run came to."""

    kills: int
    carrier_kills: int = 0
    submitted: int = 0
    acknowledged: int = 0
    repeats: int = 0
    lost: list[str] = field(default_factory=list)
    twice_stored: int = 0
    without_outcome: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    second_copies: int = 0
    unmarked: int = 0
    too_many: list[str] = field(default_factory=list)
    astray: int = 0
    doubts: int = 0
    overlapping_legs: int = 0
    decided: int = 0
    first_dispatch: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether a promise was."""
        wrong = self.lost, self.twice_stored, self.without_outcome, self.unmarked, self.too_many, self.astray
        return any(wrong) or self.acknowledged < self.submitted

    def table(self, seed: int) -> str:
        """For people."""
        versions = " ".join(
            f"{name} {importlib.metadata.version(name)}" for name in ("twisted", "httptools", "msgspec")
        )
        waits = sorted(self.first_dispatch) or [0.0]
        rows = [
            ("SIGKILLs of the gateway", f"{self.kills}, carriers {self.carrier_kills}"),
            ("messages acknowledged as accepted", f"{self.acknowledged} of {self.submitted}"),
            ("repeats with the same key", f"{self.repeats}"),
            ("lost", f"{len(self.lost)}"),
            ("stored twice", f"{self.twice_stored}"),
            ("without an outcome", f"{self.without_outcome}"),
            ("outcomes", ", ".join(f"{name} {n}" for name, n in sorted(self.outcomes.items()))),
            ("pages on pagers", f"{self.pages}, of them second copies {self.second_copies}"),
            ("doubts", f"{self.doubts}, legs opened while another waited {self.overlapping_legs}"),
            ("more copies than 1 + doubts", f"{len(self.too_many)}"),
            ("second copies without a mark", f"{self.unmarked}"),
            ("texts on a wrong pager", f"{self.astray}"),
            ("decided by a person", f"{self.decided}"),
            (
                "start to first hand-over",
                f"median {statistics.median(waits):.2f} s, max {waits[-1]:.2f} s, seen {len(self.first_dispatch)}",
            ),
            ("duration", f"{self.seconds:.0f} s, seed {seed}"),
            ("machine", f"{os.cpu_count()} cores, {platform.machine()}, {platform.platform(terse=True)}"),
            (
                "versions",
                f"Python {platform.python_version()} SQLite {sqlite3.sqlite_version} {versions}",
            ),
            ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ]
        return "\n".join(f"{name:36}{value}" for name, value in rows)


class Load:
    """Clients in threads, who repeat until they are told yes."""

    def __init__(self, rig: Rig, seed: int, total: int) -> None:
        self._rig, self._total = rig, total
        self._run = f"{seed}-{time.time_ns():x}"
        self._lock = threading.Lock()
        self._next = 0
        self.allowed = 0  # messages that may have been begun so far: spreads them over the kills
        self.accepted: dict[int, str] = {}
        self.repeats = 0
        self.troubles: list[str] = []
        self._threads = [threading.Thread(target=self._guarded, daemon=True) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for everybody's last yes; Hung if there is none for a while."""
        while any(thread.is_alive() for thread in self._threads):
            before = len(self.accepted)
            for thread in self._threads:
                thread.join(STUCK / CLIENTS)
            if len(self.accepted) == before and any(thread.is_alive() for thread in self._threads):
                raise Hung(f"nobody was told yes for {STUCK:g} s")

    def message(self, number: int) -> tuple[str, str, str]:
        """Target, text and class of message *number*."""
        target = f"{TARGETS[number % len(TARGETS)]}:{5550000 + number % 1000}"
        return target, f"bed {number} calls, run {self._run}", CLASSES[number % len(CLASSES)]

    def _guarded(self) -> None:
        try:
            self._submit_all()
        except Exception as error:
            self.troubles.append(repr(error))
            raise

    def _submit_all(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while True:
            with self._lock:
                if self._next >= self._total:
                    break
                number = self._next if self._next < self.allowed else None
                self._next += number is not None
            if number is None:
                time.sleep(0.01)
                continue
            end = time.monotonic() + ANSWER_LIMIT
            while True:
                try:
                    connection = connection or http.client.HTTPConnection(
                        "127.0.0.1", self._rig.http, timeout=5.0
                    )
                    if self._once(connection, number):
                        break
                except (OSError, http.client.HTTPException):  # killed under us: again, with the same key
                    if connection is not None:
                        connection.close()
                    connection = None
                if time.monotonic() > end:
                    raise Hung(f"no yes for message {number} within {ANSWER_LIMIT:g} s")
                time.sleep(0.02)
                with self._lock:
                    self.repeats += 1
        if connection is not None:
            connection.close()

    def _once(self, connection: http.client.HTTPConnection, number: int) -> bool:
        to, text, message_class = self.message(number)
        connection.request(
            "POST",
            "/v1/messages",
            json.dumps({"to": to, "text": text, "class": message_class}),
            {
                "Authorization": f"Bearer {TOKEN}",
                "Content-Type": "application/json",
                "Idempotency-Key": f"{self._run}-{number}",
            },
        )
        response = connection.getresponse()
        body = json.loads(response.read())
        if response.status == 202:
            self.accepted[number] = body["id"]
            return True
        assert response.status in (409, 503), f"{response.status} {body}"
        return False


def run(rig: Rig, *, kills: int, messages: int, seed: int, say: bool = False) -> Reckoning:
    """Kill, drain, stop, compare; Hung if something does not end."""
    chance = random.Random(seed)
    found = Reckoning(kills=kills)
    began = time.monotonic()
    rig.start_carriers()
    load = Load(rig, seed, messages)
    load.start()
    starts: list[float] = []
    for kill in range(kills):
        starts.append(time.time())
        rig.start(ready=chance.random() < 0.75)
        load.allowed = messages * (kill + 1) // kills
        time.sleep(chance.uniform(0.1, 2.0))
        assert rig.gateway.alive, f"ended by itself\n{rig.gateway.tail()}"
        rig.gateway.kill()
        if chance.random() < 0.25:
            name = chance.choice("ab")
            rig.carriers[name].kill()
            rig.carriers[name].start()
            found.carrier_kills += 1
        if say and (kill + 1) % 50 == 0:
            print(f"{kill + 1} kills, {len(load.accepted)} accepted", file=sys.stderr, flush=True)
    starts.append(time.time())
    rig.start()
    load.join()
    assert not load.troubles, load.troubles
    found.decided = drain(rig)
    rig.gateway.signal(signal.SIGTERM)
    assert rig.gateway.ended(60) == 0, rig.gateway.tail()
    found.seconds = time.monotonic() - began
    found.first_dispatch = _first_dispatches(rig, starts)
    found.submitted, found.acknowledged, found.repeats = messages, len(load.accepted), load.repeats
    _reckon(rig, load, found)
    return found


def drain(rig: Rig) -> int:
    """Wait until nothing is open; how often a person had to say "send again"."""
    decided = 0
    open_ = "SELECT count(*) FROM delivery WHERE state <= 3"
    least, end = rig.count(open_), time.monotonic() + STUCK
    while True:
        for one in rig.call("GET", "/v1/messages?state=needs_you&limit=200", as_operator=True).json[
            "messages"
        ]:
            again = rig.call("POST", f"/v1/messages/{one['id']}/decide", {"again": True}, as_operator=True)
            decided += again.json["changed"]
        left = rig.call("GET", "/v1/messages?state=open&limit=1", as_operator=True).json["messages"]
        if not left:
            return decided
        now_open = rig.count(open_)
        if now_open < least:
            least, end = now_open, time.monotonic() + STUCK
        if time.monotonic() > end:
            story = rig.call("GET", f"/v1/messages/{left[0]['id']}/why", as_operator=True).json
            raise Hung(f"still open, and nothing ended for {STUCK:g} s: {json.dumps(story)[:1500]}")
        time.sleep(0.2)


def _first_dispatches(rig: Rig, starts: list[float]) -> list[float]:
    """Seconds from each start to the first page on a pager, for the runs that lived to see one."""
    pages = sorted(datetime.fromisoformat(copy.at).timestamp() for copy in rig.truth())
    waits, place = [], 0
    for start, following in zip(starts, [*starts[1:], float("inf")], strict=True):
        while place < len(pages) and pages[place] < start:
            place += 1
        if place < len(pages) and pages[place] < following:
            waits.append(pages[place] - start)
    return waits


def _reckon(rig: Rig, load: Load, found: Reckoning) -> None:
    """Compare every message with the record and with the pagers."""
    with rig.record() as db:
        rows = db.execute(
            "SELECT m.key, m.public_id, m.content ->> 'text', i.ending, m.incident IS NOT NULL,"
            " sum(d.doubts), json_group_array(d.state)"
            " FROM message m JOIN delivery d ON d.message = m.key LEFT JOIN incident i ON i.key = m.incident"
            " GROUP BY m.key"
        ).fetchall()
        overlapping_legs = dict(
            db.execute(  # opened before the end of another leg's last attempt, or before it was stopped
                "SELECT o.subject, count(DISTINCT o.n) FROM event o JOIN event e ON e.subject = o.subject"
                " AND e.n > o.n AND e.delivery != o.delivery AND e.kind IN ('attempt', 'cancelled')"
                " WHERE o.kind = 'leg_opened' GROUP BY o.subject"
            ).fetchall()
        )
    stored: dict[str, tuple[str, int]] = {}
    for key, id_, text, ending, pursued, doubts, packed in rows:
        states = json.loads(packed)
        overlapping = overlapping_legs.get(key, 0)
        found.twice_stored += text in stored
        stored[text] = id_, doubts + overlapping
        found.doubts += doubts
        found.overlapping_legs += overlapping
        is_open = ending is None if pursued else any(state <= 3 for state in states)
        found.without_outcome += is_open
        taken = "taken" if 4 in states else "not taken"
        found.outcomes["open" if is_open else ending or taken] += 1
    pages: dict[str, list[tuple[str, str]]] = {}
    for copy in rig.truth():
        text, _, mark = copy.text.partition(" (copy ")
        pages.setdefault(text, []).append((copy.pager, mark))
    found.pages = sum(map(len, pages.values()))
    for number, id_ in load.accepted.items():
        to, text, _ = load.message(number)
        copies = pages.pop(text, [])
        if not copies or stored.get(text, ("", 0))[0] != id_:
            found.lost.append(text)
            continue
        found.second_copies += len(copies) - 1
        found.unmarked += max(0, sum(not mark for _, mark in copies) - 1)
        found.astray += sum(pager != to.partition(":")[2] for pager, _ in copies)
        if len(copies) > 1 + stored[text][1]:
            found.too_many.append(text)
    found.astray += len(pages)  # texts that nobody sent


def main() -> int:
    """The table; 1 if a promise was broken."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--kills", type=int, default=1000)
    options.add_argument("--messages", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep", type=Path, help="folder for the record and the logs; kept")
    chosen = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        rig = stack.enter_context(Rig(folder, delay=DELAY))
        found = run(rig, kills=chosen.kills, messages=chosen.messages, seed=chosen.seed, say=True)
    print(found.table(chosen.seed))
    for text in [*found.lost, *found.too_many][:20]:
        print("wrong:", text)
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
