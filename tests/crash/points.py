"""``kill -9`` at every durability point (docs/explanation/promises.md), again and again over one store.

    python -m tests.crash.points [--times 100] [name ...]

Each function is one row of the table: it makes the gateway kill itself at its point, starts it again, and
asserts what the promise says. ``tests/crash/test_points.py`` runs the same functions a few times.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

from tests.crash.rig import Rig, until

_numbers = count(1)


def _text(name: str) -> str:
    return f"{name} page {next(_numbers)} of {time.time_ns():x}"


def _restarted(rig: Rig, failpoint: str) -> None:
    """The gateway under *failpoint*, whatever ran before."""
    rig.gateway.kill()
    rig.start(failpoint)


def _id_of(rig: Rig, key: str) -> str:
    with rig.record() as db:
        rows = db.execute(
            "SELECT public_id FROM message JOIN idempotency ON message = message.key WHERE idempotency.key = ?",
            (key,),
        ).fetchall()
    assert len(rows) == 1, f"{len(rows)} messages under one idempotency key"
    return str(rows[0][0])


def _nothing_more(rig: Rig, to: str) -> None:
    """Everything that was due when this was called has been sent: a later page of a lower class came through."""
    later = rig.submit(to, _text("after"), "bulk")
    assert later.status == 202, later.json
    assert rig.status(later.json["id"], wait=20, level="handed_over")["level"] == "handed_over"


def t1(rig: Rig) -> None:
    """Killed after the message is on disk and before the answer: the repeat gets that answer, and one page goes."""
    text, key = _text("T1"), f"t1-{next(_numbers)}-{time.time_ns()}"
    _restarted(rig, "T1:1")
    rig.submit_to_death("solo:5550101", text, key=key)
    rig.start()
    again = rig.submit("solo:5550101", text, key=key)
    assert again.status == 202, again.json
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.json["id"] == _id_of(rig, key)
    assert rig.status(again.json["id"], wait=20)["outcome"] == "confirmed"
    assert rig.count("SELECT count(*) FROM message WHERE content ->> 'text' = ?", text) == 1
    # a lane that was looking may have begun it in the commit that accepted it: then the one page says so
    assert [copy.removesuffix(" (copy 2)") for copy in rig.copies(text)] == [text]


def t2(rig: Rig) -> None:
    """Killed between begin and the first byte: nothing was sent, one copy goes after the restart."""
    for to in ("solo:5550102", "duo:5550102"):
        text, key = _text("T2"), f"t2-{next(_numbers)}-{time.time_ns()}"
        _restarted(rig, "T2:1")
        rig.submit_to_death(to, text, key=key)
        assert rig.copies(text) == []
        rig.start()
        assert rig.status(_id_of(rig, key), wait=20)["outcome"] == "confirmed"
        assert len(rig.copies(text)) == 1


def sent(rig: Rig) -> None:
    """Killed after the carrier's yes and before that is on disk: at most two copies, the second marked."""
    for to in ("solo:5550103", "duo:5550103"):
        text, key = _text("sent"), f"sent-{next(_numbers)}-{time.time_ns()}"
        _restarted(rig, "sent:1")
        rig.submit_to_death(to, text, key=key)
        assert rig.copies(text) == [text]
        rig.start()
        assert rig.status(_id_of(rig, key), wait=20)["outcome"] == "confirmed"
        assert rig.copies(text) == [text, f"{text} (copy 2)"]


def t3(rig: Rig) -> None:
    """Killed after the carrier's yes is on disk: it is known, nothing goes again."""
    for to in ("solo:5550104", "duo:5550104"):
        text, key = _text("T3"), f"t3-{next(_numbers)}-{time.time_ns()}"
        _restarted(rig, "T3:1")
        rig.submit_to_death(to, text, key=key)
        rig.start()
        assert rig.status(_id_of(rig, key), wait=20)["outcome"] == "confirmed"
        _nothing_more(rig, to)
        assert rig.copies(text) == [text]


def t4(rig: Rig) -> None:
    """Killed after a receipt is on disk and before its sender is told: it is told again and kept once."""
    text = _text("T4")
    rig.gateway.kill()
    rig.start()
    id_ = rig.submit("two:5550105", text).json["id"]
    assert rig.status(id_, wait=20, level="handed_over")["level"] == "handed_over"
    receipts = (
        "SELECT count(*) FROM receipt JOIN message ON message.key = receipt.message WHERE public_id = ?"
    )
    for nth in range(1, 10):  # pages of earlier turns may be asked about first
        rig.gateway.kill()
        rig.start(f"T4:{nth}", ready=False)
        assert rig.gateway.ended() == -signal.SIGKILL, rig.gateway.tail()
        if rig.count(receipts, id_):
            break
    asked = (
        "SELECT coalesce(sum(asked), 0) FROM carrier_ref JOIN delivery ON delivery.key = delivery JOIN message"
        " ON message.key = message WHERE public_id = ?"
    )
    before = rig.count(asked, id_)
    rig.start()
    until(lambda: rig.count(asked, id_) > before, "the carrier is asked again")
    assert rig.count(receipts, id_) == 1
    status = rig.status(id_)
    assert status["level"] == "read"
    assert sum(event["what"] == "level" for event in status["timeline"]) == 1
    assert rig.copies(text) == [text]


def t5(rig: Rig) -> None:
    """Killed when the next leg is on disk: it is opened once, and what an earlier person was told stands."""
    text, key = _text("T5"), f"t5-{next(_numbers)}-{time.time_ns()}"
    rig.carriers["a"].kill()
    try:
        _restarted(rig, "T5:1")
        rig.submit_to_death("duo:5550106", text, key=key)
        id_ = _id_of(rig, key)
        legs = "SELECT count(*) FROM delivery JOIN message ON message.key = message WHERE public_id = ?"
        assert rig.count(legs, id_) == 2
        rig.start()
        assert rig.status(id_, wait=20)["outcome"] == "confirmed"
        assert rig.count(legs, id_) == 2
        assert len(rig.copies(text)) == 1
    finally:
        rig.start_carriers("a")


def acknowledged(rig: Rig) -> None:
    """Killed when a person has been told "you have it": she still has it, and nobody else is paged."""
    text = _text("acknowledged")
    rig.gateway.kill()
    rig.start()
    submitted = rig.submit("alice", text, "critical")
    assert submitted.status == 202, submitted.json
    id_ = submitted.json["id"]
    rig.status(id_, wait=20, level="handed_over")
    told = rig.call("POST", f"/v1/messages/{id_}/acknowledge", {"by": "alice"})
    rig.gateway.kill()
    assert told.status == 200, told.json
    rig.start()
    status = rig.status(id_)
    assert (status["accepted_by"], status["outcome"], status["level"]) == (
        "alice",
        "confirmed",
        "acknowledged",
    )
    _nothing_more(rig, "duo:5550001")
    assert rig.copies(text) == [text]


def t6(rig: Rig) -> None:
    """Killed when "suspend this link" is on disk: the link is off after the restart, until it is resumed."""
    text = _text("T6")
    _restarted(rig, "T6:1")
    with contextlib.suppress(OSError, http.client.HTTPException):
        rig.call("POST", "/v1/links/duo.a/suspend", {"why": "drill"}, as_operator=True)
    assert rig.gateway.ended() == -signal.SIGKILL
    rig.start()
    link = next(
        one for one in rig.call("GET", "/v1/links", as_operator=True).json["links"] if one["link"] == "duo.a"
    )
    assert link["mode"] == "suspended"
    submitted = rig.submit("duo:5550107", text)
    assert rig.status(submitted.json["id"], wait=20)["outcome"] == "confirmed"
    with rig.record() as db:
        rows = db.execute(
            "SELECT link FROM delivery JOIN lane USING (lane) JOIN message ON message.key = message"
            " WHERE public_id = ? AND state = 4",
            (submitted.json["id"],),
        ).fetchall()
    assert rows == [("duo.b",)]
    assert rig.call("POST", "/v1/links/duo.a/resume", {}, as_operator=True).status == 200


def cancelled(rig: Rig) -> None:
    """Killed when a sender has been told "stopped": it stays stopped and no page goes."""
    text = _text("cancelled")
    rig.gateway.kill()
    rig.carriers["a"].kill()
    try:
        rig.start()
        submitted = rig.submit("solo:5550108", text)
        told = rig.call("POST", f"/v1/messages/{submitted.json['id']}/cancel", {})
        rig.gateway.kill()
        assert told.status == 200, told.json
    finally:
        rig.start_carriers("a")
    rig.start()
    assert rig.status(submitted.json["id"])["outcome"] == "cancelled"
    _nothing_more(rig, "solo:5550108")
    assert rig.copies(text) == []


POINTS: dict[str, Callable[[Rig], None]] = {
    "T1": t1,
    "T2": t2,
    "sent": sent,
    "T3": t3,
    "T4": t4,
    "T5": t5,
    "acknowledged": acknowledged,
    "T6": t6,
    "cancelled": cancelled,
}


def main() -> int:
    """The table; 1 if anything was not as promised."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--times", type=int, default=100)
    options.add_argument("names", nargs="*", default=list(POINTS), metavar="name")
    chosen = options.parse_args()
    wrong: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, Rig(Path(folder)) as rig:
        rig.start_carriers()
        for name in chosen.names:
            began = time.monotonic()
            for turn in range(chosen.times):
                try:
                    POINTS[name](rig)
                except AssertionError as error:
                    wrong[name] += 1
                    print(f"{name}, time {turn + 1}: {error}", file=sys.stderr, flush=True)
            as_promised = chosen.times - wrong[name]
            print(
                f"{name:14}{as_promised:5} of {chosen.times} as promised  {time.monotonic() - began:7.1f} s"
                f"  {POINTS[name].__doc__}",
                flush=True,
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
