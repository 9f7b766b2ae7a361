"""What must stay cheap however much waits: the statements that every page passes seek, and never scan."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.model import Instant
from gateway.store.sqlite import notices, opening, tx, work
from tests.gateway.store_env import StoreEnv

ROOT = Path(__file__).parents[2]


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:")
    for step in opening.migrations().values():
        made.executescript(step)
    yield made
    made.close()


def plan(db: sqlite3.Connection, statement: str, values: object) -> list[str]:
    """The steps that touch a table or an index."""
    rows = db.execute("EXPLAIN QUERY PLAN " + statement, values).fetchall()  # type: ignore[arg-type]
    return [row[3] for row in rows if re.search(r"\b(delivery|message|event|[dm]) USING", row[3])]


SEEK = "SEARCH delivery USING COVERING INDEX delivery_work (lane=? AND state=? AND class=? AND due"


def test_taking_seeks_each_class_in_the_index(db: sqlite3.Connection) -> None:
    """One seek a class for what is due and for what is next: a million that wait change nothing."""
    ask = {"lane": 1, "now": 1, "limit": 1, "ordinary": 1}
    assert plan(db, work._TAKE, ask) == [f"{SEEK}<?)"] * 4
    assert plan(db, work._NEXT, (1,)) == [f"{SEEK}>?)"] * 4


def test_what_is_to_be_told_is_sought_by_client_and_time(db: sqlite3.Connection) -> None:
    """However many notices wait for a receiver that is away, the others' are found at once."""
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    notices._due(tx.Reader(db), "c", Instant(1), 4)
    notices._next_due(tx.Reader(db), "c")
    notices._lapse(tx.Tx(db, StoreEnv(), "t"), Instant(1), Instant(1), 10)  # type: ignore[arg-type]
    db.set_trace_callback(None)
    steps = [
        row[3]
        for statement in asked
        if " FROM notice" in statement
        for row in db.execute("EXPLAIN QUERY PLAN " + statement).fetchall()
    ]
    assert len(steps) == 4
    assert all("USING" in step for step in steps)
    assert not any("SCAN" in step or "TEMP" in step for step in steps)


@pytest.mark.parametrize(
    ("head", "width", "tail", "last"),
    [(work._BEGIN, 3, work._BEGIN_TAIL, 3), (work._CONCLUDE, 13, work._CONCLUDE_TAIL, 0)],
)
def test_beginning_and_concluding_update_by_key(
    db: sqlite3.Connection, head: str, width: int, tail: str, last: int
) -> None:
    """The batch drives; each row is found by its key."""
    statement = tx._statement(head, width, 4, tail)
    assert plan(db, statement, [1] * (4 * width + last)) == [
        "SEARCH delivery USING INTEGER PRIMARY KEY (rowid=?)"
    ]


def test_a_batch_is_written_by_few_statements() -> None:
    """Any number of rows is a sum of powers of two up to 64, so that few statements are ever prepared."""
    for count in range(300):
        assert sum(tx.sizes(count)) == count
        assert len(list(tx.sizes(count))) <= count // 64 + 6
        assert set(tx.sizes(count)) <= {64, 32, 16, 8, 4, 2, 1}


def test_every_event_kind_is_documented() -> None:
    """The table of docs/reference/store.md has a row for each kind that the store writes."""
    page = (ROOT / "docs/reference/store.md").read_text()
    documented = set(re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"(?m)^\| (`[a-z_`, ]+) \|", page))))
    folder = ROOT / "gateway/store"
    text = "\n".join(path.read_text() for path in sorted(folder.rglob("*.py")))
    written = set(
        re.findall(r'(?:\.event\([^"()]*(?:\([^()]*\))?[^"()]*|kind=|kind = )"([a-z_]+)"(?!:)', text)
    )
    written |= set(re.findall(r'kind = "([a-z_]+)" if .* else "([a-z_]+)"', text)[0])
    assert {"attempt", "stored", "leg_opened", "link_mode", "quarantined"} <= written
    assert written <= documented


def test_the_view_of_attempts_counts_the_tries_of_a_delivery(db: sqlite3.Connection) -> None:
    """``attempt`` shows attempts only, numbered per delivery from 1."""
    for n, kind, delivery in [(2, "attempt", 7), (3, "level", 7), (4, "attempt", 8), (5, "attempt", 7)]:
        data = '{"outcome":"taken","code":"250","why":"ok","began":5,"link":"spok.web"}'
        db.execute("INSERT INTO event VALUES (1, ?, 9, ?, ?, ?)", (n, kind, delivery, data))
    rows = db.execute("SELECT delivery, try, began, ended, outcome, code, link FROM attempt").fetchall()
    assert sorted(rows) == [
        (7, 1, 5, 9, "taken", "250", "spok.web"),
        (7, 2, 5, 9, "taken", "250", "spok.web"),
        (8, 1, 5, 9, "taken", "250", "spok.web"),
    ]
