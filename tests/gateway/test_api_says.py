"""The sentences that people read: their words, never ours, and no more than was heard."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import contextlib

from api_world import PHONE, SMS, T0, WEB, Desk, delivery, event, message, settings

from gateway.api import says, standing
from gateway.api.says import around
from gateway.api.times import clock, instant_of, spell, zone_of
from gateway.lifecycle import State
from gateway.model import Instant, later, rfc3339
from gateway.outcome import Level
from gateway.settings.kinds import duration
from gateway.store.base import EventRow, MessageRow

NEVER = re.compile(
    r"\b(deliver\w*|attempt\w*|legs?|lanes?|levels?|leases?|breakers?|endpoints?|incidents?|clients?|devices?)\b",
    re.I,
)
A = around(settings(), Desk().links, later(T0, 30))
REASONS = (None, "paused", "kept_quiet", "quarantined", "assumed", "left")


def every_delivery() -> list[Any]:
    return [
        delivery(
            1,
            state=state,
            level=level,
            reason=reason,
            setback=setback,
            tries=tries,
            due=due,
            why=why,
            dup_risk=tries > 0,
            link=link,
            person=person,
        )
        for state, level, reason, setback, (tries, why), due, (link, person) in itertools.product(
            State,
            Level,
            REASONS,
            (None, "unknown pager"),
            ((0, None), (2, "busy")),
            (None, T0, later(T0, 90)),
            ((WEB, "alice"), (SMS, None)),
        )
    ]


EVENTS = (
    event(1, "stored", to=["alice"]),
    event(2, "joined", ref="7K3M"),
    *(
        event(3, "attempt", 1, 10, link=PHONE, outcome=outcome, code="x", why=why, due=T0 + 9)
        for outcome in ("taken", "refused", "later", "not_sent", "in_doubt", "")
        for why in ("no dial tone", None)
    ),
    event(3, "attempt", 1, 10, outcome="taken", warning="cut at 80 characters"),
    *(event(4, "leg_opened", 2, 10, link=WEB, why=why) for why in (*says._OPENED, None, "new word")),
    *(
        event(4, "leg_opened", 2, 10, link=WEB, why=why, after=PHONE, path=path, waited=10.0)
        for why in (*says._AFTER, "path_down", "new word")
        for path in ("", *says._PATHS, "new path")
    ),
    *(
        event(3, "attempt", 1, 10, link=PHONE, outcome="not_sent", code=code)
        for code in ("maintenance", "suspended")
    ),
    *(event(5, "level", 2, 10, level=level.token) for level in Level),
    *(event(5, "level", 2, None, level=int(level)) for level in Level),
    event(6, "setback", 2, 10, why="absent"),
    event(7, "reply", 2, 10, text="OK"),
    *(event(8, "cancelled", 2, 10, why=why) for why in (*says._NEEDLESS, "new word")),
    event(9, "stopped", 2, None, by="dana", why="false alarm"),
    event(9, "stopped", 2, None),
    event(10, "paused", 2, 10, by="dana"),
    event(11, "resumed", 2, 10, by="dana"),
    event(12, "retried", 2, 10, by="dana", link=WEB),
    event(13, "decided", 2, 10, by="alice", again=True),
    event(13, "decided", 2, 10, by="alice", again=False),
    event(14, "acknowledged", 41, None, by="alice", note="coming", recorded_by="dana (desk)"),
    event(15, "expired", 41, 10, possibly_sent=True),
    event(15, "expired", 41, 10),
    event(15, "expired", 41),
    *(event(16, "doubt_settled", 41, 10, then=then) for then in ("resend", "assume", "hold")),
    event(17, "quarantined", 41, 10),
    event(18, "late_proof", 41, 10, state="ok"),
    event(19, "pursued", 41, None, why="waited"),
    *(event(20, "ended", 41, None, ending=ending) for ending in (*says._ENDED, "new word")),
    event(21, "what_a_newer_store_writes", 41),
)


def one_message(**changes: Any) -> MessageRow:
    return message(1, "7K3M", **changes)


@pytest.mark.parametrize("row", [one_message()])
def test_no_sentence_about_a_copy_uses_our_words(row: MessageRow) -> None:
    """All states, levels and reasons: no sentence is empty or speaks of legs, lanes and levels."""
    for d in every_delivery():
        for line in (says.of_delivery(d, A), says.of_message(one_message(deliveries=(d,)), "", A)):
            assert line
            assert not NEVER.search(line), line
            assert "None" not in line


@pytest.mark.parametrize("told", EVENTS, ids=lambda e: f"{e.kind}-{e.data}"[:40])
def test_no_sentence_about_an_event_uses_our_words(told: EventRow) -> None:
    """Every kind that the store writes has words of its own."""
    line = says.of_event(told, one_message(), A)
    assert line
    assert not NEVER.search(line), line
    assert "None" not in line
    assert "_" not in line


def test_who_accepted_on_the_device_is_not_written_down_by_somebody() -> None:
    """An answer is told as an answer, with the way it came."""
    told = event(14, "acknowledged", 41, None, by="alice", recorded_by="answer over spok.web")
    assert re.fullmatch(
        r"Alice Moreau has it, by an answer over Spok.*, after .*", says.of_event(told, one_message(), A)
    )


@pytest.mark.parametrize("told", EVENTS, ids=lambda e: f"{e.kind}-{e.data}"[:40])
def test_an_event_of_which_little_is_known_still_reads(told: EventRow) -> None:
    """Data and copies may be gone; a sentence then says less."""
    bare = msgspec.structs.replace(told, data={}, delivery=None)
    line = says.of_event(bare, one_message(deliveries=()), A)
    assert line
    assert "None" not in line
    assert not re.search(r"  | [:;,.]|: *$", line), line


def test_no_sentence_about_an_ending_uses_our_words() -> None:
    """The five endings, with and without proof."""
    for ending, level, d in itertools.product(
        ("confirmed", "unanswered", "failed", "expired", "cancelled"), Level, every_delivery()[::29]
    ):
        line = says.of_message(one_message(ending=ending, level=level, deliveries=(d,)), "", A)
        assert line
        assert not NEVER.search(line), line


def test_no_sentence_about_a_link_uses_our_words() -> None:
    """Working, resting, switched off, finishing, down."""
    for status, state in itertools.product(
        A.links.values(), ("working", "idle", "resting", "suspended", "draining", "down")
    ):
        line = says.of_link(msgspec.structs.replace(status, state=state, by="sam", why="a test"), A)
        assert line
        assert not NEVER.search(line), line


def test_nobody_has_accepted_is_the_loudest_ending() -> None:
    """In capitals, with how many were paged."""
    row = one_message(ending="unanswered", deliveries=(delivery(1), delivery(2, person="bob")))
    assert says.of_message(row, "", A) == "NOBODY HAS ACCEPTED. 2 were paged, and nobody answered."


def test_a_carrier_that_has_it_is_no_proof() -> None:
    """The sentence says what is not known."""
    taken = event(2, "attempt", 1, 10, link=SMS, outcome="taken")
    line = says.of_event(taken, one_message(), A)
    assert line == "SMS took it for Alice Moreau's pager. Not proof that it got there."


@pytest.mark.parametrize("state", [State.WAITING, State.BEGUN])
def test_a_resend_says_that_it_is_a_second_copy(state: State) -> None:
    """Whoever reads it must know that it may come twice."""
    line = says.of_delivery(delivery(1, state=state, dup_risk=True), A)
    assert "second copy" in line


def test_many_people_are_counted_not_listed() -> None:
    """A page to a whole ward stays one line."""
    row = one_message(deliveries=tuple(delivery(n, person=f"p{n}", state=State.TAKEN) for n in range(50)))
    line = says.of_message(row, "", A)
    assert "And 47 more." in line


def test_next_is_the_first_that_happens_by_itself() -> None:
    """A copy that waits, a doubt that is settled, or the next person."""
    at = A.now
    row = one_message(deliveries=(delivery(10, tries=1, due=later(at, 5)),))
    assert standing.next_of(row, A) == (later(at, 5), "try again", "try 2 by Spok (web)")
    row = one_message(deliveries=(delivery(10, state=State.DOUBT, due=later(at, 7)),))
    assert standing.next_of(row, A) == (later(at, 7), "settle the doubt", "Spok (web) has not answered")
    row = one_message(deliveries=(delivery(10, state=State.FAILED, due=None),))
    assert standing.next_of(row, A) == (later(T0, 120), "page alice", "by Spok (phone), 2 of 3 in the plan")
    row = one_message(deliveries=(delivery(10, state=State.TAKEN, due=None),))
    assert standing.next_of(row, A) == (later(T0, 120), "page bob", "by SMS, 3 of 3 in the plan")
    row = one_message(deliveries=(delivery(10, reason="paused", due=None),), incident_due=None)
    assert standing.next_of(row, A) is None
    assert standing.why_of(row, A).now[-1] == "Nothing more happens by itself."


def test_progress_counts_each_person_once_at_the_best() -> None:
    """A setback takes a copy back to "saved"; who accepted counts even if others were paged."""
    row = one_message(
        deliveries=(
            delivery(10, state=State.TAKEN, level=Level.HANDED_OVER),
            delivery(11, state=State.TAKEN, level=Level.ON_DEVICE),
            delivery(12, person="bob", state=State.TAKEN, level=Level.HANDED_OVER, setback="absent"),
        ),
        accepted_by="carol",
    )
    progress = standing.progress_of(row)
    assert msgspec.structs.asdict(progress) == {
        "people": 3,
        "stored": 1,
        "handed_over": 0,
        "on_device": 1,
        "acknowledged": 1,
    }


# ------------------------------------------------------------------ times


@given(st.integers(min_value=0, max_value=253402300799_000000))
@hypothesis_settings(max_examples=100)
def test_times_written_are_read_back(at: int) -> None:
    """RFC 3339 in UTC, cut to the millisecond."""
    assert instant_of(rfc3339(Instant(at))) == at - at % 1_000


@given(st.text(max_size=30))
@hypothesis_settings(max_examples=200)
def test_any_text_is_a_time_a_duration_or_refused(text: str) -> None:
    """Nothing else than ValueError comes out."""
    for read in (instant_of, duration):
        with contextlib.suppress(ValueError):
            read(text)


def test_an_offset_is_reckoned_with() -> None:
    """The same instant, written in two zones."""
    assert instant_of("2026-11-21T03:15:00+01:00") == instant_of("2026-11-21T02:15:00Z")
    assert instant_of("2026-11-21T03:15:00") is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"),
        (48, "48 s"),
        (59.6, "1 min"),
        (370, "6 min 10 s"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_are_spelled(seconds: float, said: str) -> None:
    """Two units at most."""
    assert spell(seconds) == said


def test_times_are_shown_in_the_sites_zone_with_the_day_if_it_is_another() -> None:
    """Seconds only where they matter."""
    paris = zone_of("Europe/Paris")
    now = instant_of("2026-11-21T02:15:09Z")
    assert now is not None
    assert clock(later(now, 48), paris, now) == "03:15:57"
    assert clock(later(now, 3600), paris, now) == "04:15"
    assert clock(later(now, 86400), paris, now) == "Sun 03:15"
    assert clock(later(now, 86400 * 30), paris, now) == "2026-12-21 03:15"
    assert clock(now, zone_of("No/Where"), now) == "02:15:09"
