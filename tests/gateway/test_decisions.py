"""The pure rooms: what follows an outcome, how fast, which way, which words."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.app.adapters import specs
from gateway.lifecycle import LIFE, Happening, State, after
from gateway.model import (
    Content,
    DeliveryKey,
    Instant,
    LinkName,
    MessageClass,
    MessageKey,
    PublicId,
    Trouble,
    later,
)
from gateway.outcome import About, InDoubt, Later, Level, NotSent, Outcome, Refused, Taken
from gateway.pacing import Breaker, Bucket, Pace, RetryBudget
from gateway.retry import Policy, decide, wait_after
from gateway.route import NoSuchTarget, Outlook, expand, legs
from gateway.settings import load
from gateway.settings.types import Breaker as BreakerSettings
from gateway.settings.types import Rate, Settings
from gateway.store.base import Begun

NOW = Instant(1_800_000_000_000_000)
CRITICAL = Policy(
    waits=(0.0, 5.0, 10.0, 20.0, 30.0),
    next_leg_after=10.0,
    in_doubt="resend",
    resend_after=60.0,
    max_tries=None,
    costly=False,
)


def begun(**changes: object) -> Begun:
    """A delivery that was begun a second ago, for the first time."""
    value = Begun(
        delivery=DeliveryKey(1),
        message=MessageKey(2),
        incident=None,
        public_id=PublicId("0" * 26),
        ref=None,
        client="monitoring",
        content=Content(text="x"),
        message_class=MessageClass.CRITICAL,
        person=None,
        device=None,
        address="5551212",
        link=LinkName("spok.web"),
        correlation="c",
        tries=0,
        connects=0,
        doubts=0,
        dup_risk=False,
        opened_at=later(NOW, -2),
        begun_at=later(NOW, -1),
        deadline=later(NOW, 900),
    )
    return msgspec.structs.replace(value, **changes)


# ---------------------------------------------------------------- retry


OUTCOMES: list[Outcome] = [
    Taken(),
    *(Refused(about=about, code="550", why="no") for about in About),
    *(Later(about=about, code="421", why="later") for about in About),
    NotSent(code="connect", why="refused"),
    InDoubt(code="no-answer", why="silence"),
    InDoubt(code="adapter-broke", why="bug"),
]


@given(
    st.sampled_from(OUTCOMES),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.floats(0, 0.999),
)
@settings(max_examples=200)
def test_every_verdict_is_an_arrow_of_the_life_cycle(
    outcome: Outcome, tries: int, connects: int, doubts: int, chance: float
) -> None:
    """Whatever a carrier answers and however often we tried, what follows is in the table of states."""
    verdict = decide(outcome, begun(tries=tries, connects=connects, doubts=doubts), CRITICAL, NOW, chance)
    reached = after(State.BEGUN, verdict.happening)
    assert (reached in (State.WAITING, State.DOUBT)) == (verdict.due is not None)
    assert (reached is State.DOUBT) == (verdict.then is not None)
    assert verdict.tries + verdict.connects + verdict.doubts == 1


def test_only_a_positive_answer_is_taken() -> None:
    """Nothing but Taken ever leads to taken at once."""
    taken = [o for o in OUTCOMES if decide(o, begun(), CRITICAL, NOW, 0.5).happening is Happening.TAKEN]
    assert taken == [Taken()]


def test_a_failed_connect_is_not_counted_as_a_try() -> None:
    """Tries of connecting and tries of sending are counted apart."""
    verdict = decide(NotSent(code="connect", why="refused"), begun(), CRITICAL, NOW, 0.5)
    assert (verdict.tries, verdict.connects) == (0, 1)


def test_waits_between_tries_of_a_critical_page() -> None:
    """0, 5, 10, 20, 30, 30… s; each but the first varies by a fifth."""
    assert [wait_after(CRITICAL.waits, n, 0.5) for n in range(1, 8)] == [0, 5, 10, 20, 30, 30, 30]
    assert wait_after(CRITICAL.waits, 3, 0.0) == 8.0
    assert wait_after(CRITICAL.waits, 3, 1.0) == pytest.approx(12.0)


def test_at_most_one_retry_a_second() -> None:
    """A first wait of 0 s still leaves a second between two tries for the same person."""
    verdict = decide(NotSent(code="x", why="x"), begun(begun_at=NOW), CRITICAL, NOW, 0.5)
    assert verdict.due == later(NOW, 1)


def test_the_carriers_own_time_is_respected() -> None:
    """A “later” that names a time is not tried before."""
    outcome = Later(about=About.PAGE, code="554", why="busy", not_before=later(NOW, 77))
    assert decide(outcome, begun(), CRITICAL, NOW, 0.5).due == later(NOW, 77)


def test_too_many_laters_fail_the_page() -> None:
    """With max_tries 3 the third “later” is the last."""
    policy = msgspec.structs.replace(CRITICAL, max_tries=3)
    outcome = Later(about=About.PAGE, code="554", why="busy")
    assert decide(outcome, begun(tries=1), policy, NOW, 0.5).happening is Happening.LATER
    assert decide(outcome, begun(tries=2), policy, NOW, 0.5).happening is Happening.LATER_TOO_OFTEN


@pytest.mark.parametrize(
    ("policy", "last", "then", "wait"),
    [
        ({"in_doubt": "resend"}, True, "resend", 0.0),
        ({"in_doubt": "resend"}, False, "resend", 10.0),
        ({"in_doubt": "resend_after"}, True, "resend", 60.0),
        ({"in_doubt": "assume"}, True, "assume", 60.0),
        ({"in_doubt": "hold"}, True, "hold", 0.0),
        ({"costly": True}, True, "hold", 0.0),
    ],
)
def test_doubt_by_policy(policy: dict[str, object], last: bool, then: str, wait: float) -> None:
    """Resend, resend after a wait for late proof, assume, or ask a person: as the class and link say."""
    verdict = decide(
        InDoubt(code="no-answer", why="silence"),
        begun(last=last),
        msgspec.structs.replace(CRITICAL, **policy),
        NOW,
        0.5,
    )
    assert (verdict.then, verdict.due) == (then, later(NOW, wait))


def test_doubts_are_capped_per_link_and_per_chain() -> None:
    """The second doubt on a link, or the fourth in a chain, asks a person instead of sending again."""
    doubt = InDoubt(code="no-answer", why="silence")
    assert decide(doubt, begun(doubts=0, copies_before=2), CRITICAL, NOW, 0.5).then == "resend"
    assert decide(doubt, begun(doubts=1), CRITICAL, NOW, 0.5).then == "hold"
    assert decide(doubt, begun(doubts=0, copies_before=3), CRITICAL, NOW, 0.5).then == "hold"


def test_a_page_that_breaks_its_adapter_three_times_is_quarantined() -> None:
    """Our own bug on one page must not stop the lane for others."""
    broke = InDoubt(code="adapter-broke", why="bug")
    thens = [decide(broke, begun(doubts=n), CRITICAL, NOW, 0.5).then for n in range(3)]
    assert thens == ["resend", "resend", "quarantine"]


def test_every_state_and_happening_of_the_table_is_used() -> None:
    """The table has no dead rows: each state but taken, failed, expired, cancelled can be left."""
    assert {state for state, _ in LIFE} == {State.WAITING, State.BEGUN, State.DOUBT, State.HELD}
    assert {happening for _, happening in LIFE} == set(Happening)


# ---------------------------------------------------------------- pacing


def test_a_rate_allows_its_burst_then_its_average() -> None:
    """60/min: sixty at once, then one a second; not one more."""
    bucket = Bucket(Rate(count=60, per=60), NOW)
    assert bucket.left(NOW) == 60
    bucket.take(60)
    assert bucket.left(NOW) == 0
    assert bucket.next_at(NOW) == later(NOW, 1)
    assert bucket.left(later(NOW, 1)) == 1
    assert bucket.left(later(NOW, 10_000)) == 60


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200))
@settings(max_examples=50)
def test_a_rate_is_never_exceeded(gaps: list[float]) -> None:
    """Whatever the rhythm of asking, no window of ten seconds sees more than the burst and ten seconds' worth."""
    bucket = Bucket(Rate(count=5, per=1), NOW)
    at, taken = NOW, []
    for gap in gaps:
        at = later(at, gap)
        if bucket.left(at):
            bucket.take()
            taken.append(at)
    for start in taken:
        assert sum(start <= t < later(start, 10) for t in taken) <= 5 + 50


def test_pressing_pages_use_a_window_at_once_and_ordinary_ones_never_more_than_their_share() -> None:
    """60/min: it begins with one, as nobody knows what went before; after a minute sixty pressing pages may go,
    and then none for a minute. Ordinary ones go one a second, so a pressing one waits for a second at most."""
    pace = Pace(Rate(count=60, per=60), NOW)
    assert pace.left(NOW) == 1
    pace.take(NOW, 1, 0)
    assert pace.next_at(NOW, ordinary=False) == later(NOW, 1)
    now = later(NOW, 61)
    assert (pace.left(now), pace.left(now, ordinary=True)) == (60, 1)
    pace.take(now, 60, 0)
    pace.give_back(1, 0)
    assert pace.left(now) == 1
    pace.take(now, 1, 0)
    assert pace.next_at(now, ordinary=False) == later(now, 60)
    pace = Pace(Rate(count=60, per=60), NOW)
    for second in range(200):
        now = later(NOW, second)
        assert pace.left(now, ordinary=True) == 1
        pace.take(now, 1, 1)
        assert pace.next_at(now, ordinary=False) <= later(now, 1)


@given(
    st.lists(st.tuples(st.floats(0, 0.5), st.booleans(), st.integers(1, 9)), min_size=1, max_size=200),
    st.integers(1, 40),
)
@settings(max_examples=100)
def test_a_carriers_limit_holds_in_every_window(asked: list[tuple[float, bool, int]], count: int) -> None:
    """Whatever the rhythm, and whatever mixture: no second sees more than *count*; and what waits may go at the
    moment that is said."""
    pace = Pace(Rate(count=count, per=1), NOW)
    at, taken = NOW, []
    for gap, ordinary, most in asked:
        at = later(at, gap)
        pages = min(most, pace.left(at, ordinary=ordinary))
        pace.take(at, pages, pages if ordinary else 0)
        taken += [at] * pages
        again = pace.next_at(at, ordinary=ordinary)
        assert again <= later(at, 1.001)
        assert deepcopy(pace).left(later(again, 0.000_002), ordinary=ordinary)
    for start in taken:
        assert sum(start <= t < later(start, 1) for t in taken) <= count


def test_a_link_that_failed_is_last_for_a_while() -> None:
    """15 s after its last failure; longer after each fall that follows soon; a calm while, and it counts anew."""
    breaker = Breaker(BreakerSettings())
    assert breaker.last_until == 0
    at, lasts = NOW, []
    for _ in range(5):
        breaker.failed(at)
        at = later(at, 3)
        breaker.failed(at)  # the same fall
        lasts.append((breaker.last_until - at) // 1_000_000)
        breaker.succeeded(at)
        at = breaker.last_until
    assert lasts == [15, 30, 60, 120, 120]
    at = later(at, 121)
    breaker.failed(at)
    assert breaker.last_until == later(at, 15)


def test_five_failures_in_a_row_rest_the_link() -> None:
    """15, 30, 60, 120 s; one success and it counts anew."""
    breaker = Breaker(BreakerSettings())
    assert [breaker.failed(NOW) for _ in range(5)] == [False] * 4 + [True]
    rests = []
    at = NOW
    for _ in range(5):
        assert breaker.rests_until is not None
        rests.append((breaker.rests_until - at) // 1_000_000)
        at = breaker.rests_until
        assert not breaker.resting(at)
        assert breaker.half_open
        breaker.failed(at)
    assert rests == [15, 30, 60, 120, 120]
    breaker.succeeded(at)
    assert breaker.rests_until is None
    assert not breaker.failed(at)


def test_half_of_twenty_in_a_minute_rest_the_link() -> None:
    """Failures need not be in a row if they are many."""
    breaker = Breaker(BreakerSettings(failures=100))
    opened = []
    for n in range(20):
        breaker.succeeded(later(NOW, n)) if n % 2 else opened.append(breaker.failed(later(NOW, n)))
    opened.append(breaker.failed(later(NOW, 20)))
    assert opened[-1]
    assert not any(opened[:-1])


def test_three_unanswered_submits_rest_the_link() -> None:
    """Silence is worse than a refused connection."""
    breaker = Breaker(BreakerSettings())
    assert [breaker.failed(NOW, unanswered=True) for _ in range(3)] == [False, False, True]


def test_retries_are_budgeted() -> None:
    """No more than ten retries a minute when little is sent for the first time."""
    budget = RetryBudget()
    dues = [budget.spread(later(NOW, 1), NOW) for _ in range(40)]
    for start in dues:
        assert sum(start <= due < later(start, 60) for due in dues) <= 10


def test_level_only_says_what_was_heard() -> None:
    """A carrier that took a page has it: that is handed_over and nothing more."""
    verdict = decide(Taken(), begun(), CRITICAL, NOW, 0.5)
    assert verdict.level is Level.HANDED_OVER


# ---------------------------------------------------------------- route


ROUTE_SETTINGS = """
clients: {switchboard: {token_sha256: [%s], may_page: [alice]}}
carriers:
  spok: {links: {web: {adapter: snpp, at: "127.0.0.1:444"}, phone: {adapter: snpp, at: "127.0.0.1:445", path: phone}}}
  mail: {links: {relay: {adapter: snpp, at: "127.0.0.1:446"}}}
plans: {staff: {critical: [pager + mobile, mail], urgent: [mail], normal: [mail], bulk: [mail]}}
defaults: {people: {plan: staff}}
people:
  alice: {name: Alice, codes: [4711], devices: {pager: "spok:1", mobile: "spok:2", mail: "mail:a"}}
  bob: {name: Bob, devices: {mail: "mail:b"}}
groups: {inner: [bob], outer: [alice, inner, bob]}
""" % ("a" * 64)


def route_settings() -> Settings:
    def read(path: Path) -> bytes:
        raise FileNotFoundError(path)

    return load(ROUTE_SETTINGS, specs(), file="route.yaml", read=read, environ={})


def people_of(target: str) -> list[str | None]:
    found = expand(route_settings(), target, "#/to/0")
    assert isinstance(found, tuple)
    return [one.person for one in found]


def test_a_person_is_found_by_name_and_by_code() -> None:
    """Switchboards and nurse-call systems page by number."""
    assert people_of("alice") == people_of("4711") == ["alice"]


def test_nested_groups_name_everybody_once() -> None:
    """Whoever is in a group twice is paged once."""
    assert people_of("outer") == ["alice", "bob"]


def test_legs_follow_the_plan_and_the_file() -> None:
    """Devices in the order of the plan for the class, each with its carrier's links in file order."""
    found = expand(route_settings(), "alice", "#")
    assert isinstance(found, tuple)

    def plan(which: MessageClass, **troubles: Trouble) -> list[tuple[int, int, str]]:
        outlook = Outlook(troubles={LinkName(f"spok.{name}"): why for name, why in troubles.items()})
        return [(leg.item, leg.chain, leg.link) for leg in legs(route_settings(), found, which, outlook)]

    assert plan(MessageClass.CRITICAL) == [
        (0, 0, "spok.web"),
        (0, 0, "spok.phone"),
        (0, 1, "spok.web"),
        (0, 1, "spok.phone"),
        (1, 0, "mail.relay"),
    ]
    assert plan(MessageClass.NORMAL) == [(0, 0, "mail.relay")]
    for trouble in get_args(Trouble):
        resting = plan(MessageClass.CRITICAL, web=trouble)
        assert resting[:2] == [(0, 0, "spok.phone"), (0, 0, "spok.web")]
    both = plan(MessageClass.CRITICAL, web="rests", phone="failed")
    assert both[:2] == [(0, 0, "spok.phone"), (0, 0, "spok.web")]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("nobody", "unknown-target"),
        ("0", "unknown-target"),
        ("fax:1", "unknown-target"),
        ("spok:", "address.empty"),
        ("spok:1\n", "address.control_char"),
        ("spok:５５５", "address.not_ascii"),
        ("spok:" + "1" * 300, "address.too_long"),
    ],
)
def test_what_cannot_be_paged_says_why(target: str, code: str) -> None:
    """Each mistake has its own stable code."""
    found = expand(route_settings(), target, "#/to/0")
    assert isinstance(found, NoSuchTarget)
    assert (found.fault.code, found.fault.pointer) == (code, "#/to/0")
