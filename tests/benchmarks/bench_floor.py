"""The bare statements of T1 to T3 with the store's own schema and pragmas, their values made before: what SQLite
and its commits cost, to compare ``bench_store`` with. python -m tests.benchmarks.bench_floor
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from gateway.store import sqlite
from gateway.store.sqlite.opening import connect
from tests.benchmarks.daemon import machine

BATCH = 64
BATCHES = 500
AT = 1_795_251_600_000_000
CONTENT = '{"text":"Disk 93% full on db1, /var is filling, please have a look at it soon, thank you"}'
DATA = '{"link":"spok.web","outcome":"taken","code":"250","why":"SEND: ok","began":1795251600000000}'


def rows(width: int) -> str:
    return ",".join(["(" + ",".join("?" * width) + ")"] * BATCH)


MESSAGE = (
    f"INSERT INTO message (key, public_id, client, recipients, content, class, until, at) VALUES {rows(8)}"
)
DELIVERY = (
    "INSERT INTO delivery (key, message, lane, class, leg, last, address, due, deadline, opened_at, changed_at,"
    f" checksum) VALUES {rows(12)}"
)
BEGIN = (
    f"WITH j (k, name) AS (VALUES {rows(2)}) UPDATE delivery SET state = 1, begun_at = ?, changed_at = ?,"
    " fence = ?, correlation = j.name FROM j WHERE key = j.k AND state = 0"
)
CONCLUDE = (
    f"WITH j (k, code) AS (VALUES {rows(2)}) UPDATE delivery SET state = 4, due = NULL, tries = tries + 1,"
    " level = 1, code = j.code, changed_at = ? FROM j WHERE key = j.k AND state = 1"
)
EVENT = f"INSERT INTO event (subject, n, at, kind, delivery, data) VALUES {rows(6)}"


def main() -> None:
    """Print CPU µs a message of each point."""
    spent = [0.0, 0.0, 0.0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "floor.db"
        path.touch()
        db = connect(path)
        db.executescript((Path(sqlite.__file__).parent / "0001.sql").read_text())
        key = 1
        for batch in range(BATCHES):
            keys = range(key, key + 2 * BATCH, 2)
            key += 2 * BATCH
            messages, deliveries, begun, concluded, events = [], [], [], [], []
            for k in keys:
                messages += [k, f"01{k:024d}", "monitoring", '["spok:5551212"]', CONTENT, 2, 1, AT + k]
                deliveries += [
                    k + 1,
                    k,
                    1,
                    2,
                    0,
                    1,
                    "5551212",
                    AT + k,
                    AT + 10**11 + k,
                    AT + k,
                    AT + k,
                    k * 7919,
                ]
                begun += [k + 1, f"abc{k}"]
                concluded += [k + 1, "250"]
                events += [k, 2, AT + k, "attempt", k + 1, DATA]
            points = (
                ((MESSAGE, messages), (DELIVERY, deliveries)),
                ((BEGIN, [*begun, 1, 1, 1]),),
                ((CONCLUDE, [*concluded, 1]), (EVENT, events)),
            )
            for number, statements in enumerate(points):
                started = time.process_time()
                db.execute("BEGIN IMMEDIATE")
                for statement, values in statements:
                    db.execute(statement, values)
                db.execute("COMMIT")
                spent[number] += time.process_time() - started
            if batch % 50 == 49:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        db.close()
    each = [one / (BATCH * BATCHES) * 1e6 for one in spent]
    print(machine())
    print(
        "bare T1, T2, T3: "
        + ", ".join(f"{one:.1f}" for one in each)
        + f"; together {sum(each):.1f} us CPU a message"
    )


if __name__ == "__main__":
    main()
