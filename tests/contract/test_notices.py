"""The contract of the room of notices: what clients are to be told, over every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.lifecycle import Happening
from gateway.model import NoticeKind, later
from gateway.outcome import Level
from gateway.store.base import Gone, Notice, Stored, Telling
from gateway.store.rows import MANY
from tests.contract.store_case import EVERYTHING, HOUR, WEB, Case, MemoryCase, SqliteCase
from tests.gateway.store_env import StoreEnv, run


@pytest.fixture(params=["memory", "sqlite"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if request.param == "memory":
        made: Case = MemoryCase(StoreEnv())
    else:
        folder = tmp_path / "store"
        folder.mkdir()
        made = SqliteCase(StoreEnv(), folder)
    interest(made)
    return made


def interest(case: Case, *about: NoticeKind, noticed: Any = lambda clients: None) -> None:
    """Client helpdesk is told of *about*, or of everything; others of nothing."""
    run(case.store.notices.interest({"helpdesk": frozenset(about) or EVERYTHING}, noticed))


def due(case: Case, client: str = "helpdesk") -> tuple[Notice, ...]:
    return run(case.store.notices.due(client, case.now, 100))


def told(case: Case, notice: Notice) -> bool:
    return run(case.store.notices.conclude(Telling(notice=notice.key, at=case.now, how="told")))


def all_told(case: Case) -> list[tuple[int, int, str]]:
    """Tell everything there is, one after the other: n, seq, kind."""
    found = []
    while notices := due(case):
        found.append((notices[0].n, notices[0].seq, notices[0].kind))
        assert told(case, notices[0])
    return found


# ---------------------------------------------------------------- which events leave one


def test_a_short_walk_is_told_once(case: Case) -> None:
    """A message that a carrier took leaves one notice: it was handed over, and that is its end."""
    stored = case.accept()
    assert due(case) == ()
    (begun,) = case.begin()
    assert due(case) == ()
    case.conclude(begun, level=Level.HANDED_OVER)
    (notice,) = due(case)
    assert (notice.public_id, notice.message) == (stored.public_id, stored.message)
    assert (notice.client, notice.n, notice.seq, notice.tries) == ("helpdesk", 2, 1, 0)
    assert (notice.kind, notice.at) == ("handed_over", case.now)


def test_who_asked_for_the_end_alone_gets_the_end(case: Case) -> None:
    """An event that means several things is told as the first of them that was asked for."""
    interest(case, "confirmed")
    case.accept()
    case.conclude(case.begin()[0])
    assert [one.kind for one in due(case)] == ["confirmed"]


def test_other_clients_leave_nothing(case: Case) -> None:
    """A client without ``tell`` is told nothing, whatever happens."""
    case.accept(case.new(client="other"))
    stored = case.accept(case.new(client="other"))
    one, _ = case.begin()
    case.conclude(one)
    case.cancel(stored)
    assert due(case, "other") == due(case) == ()


def test_a_refused_message_is_told_as_failed(case: Case) -> None:
    """Without an incident the attempt that ends it is the event."""
    case.accept()
    case.conclude(case.begin()[0], Happening.REFUSED, outcome="refused")
    assert all_told(case) == [(2, 1, "failed")]


def test_what_will_be_tried_again_is_not_told(case: Case) -> None:
    """A carrier that says "later" is no news."""
    case.accept()
    case.conclude(case.begin()[0], Happening.LATER, outcome="later", due=later(case.now, 60))
    assert due(case) == ()


def test_an_expired_message_is_told(case: Case) -> None:
    """Also when nobody did anything but wait."""
    case.accept()
    case.wait(HOUR + 1)
    case.lapse()
    assert all_told(case) == [(2, 1, "expired")]


def test_many_that_expire_at_once_are_each_told(case: Case) -> None:
    """The timelines of others share one summary; a client that is told gets each of its own."""
    for _ in range(MANY + 1):
        case.accept()
    other = case.accept(case.new(client="other"))
    case.wait(HOUR + 1)
    assert case.lapse().expired == MANY + 2
    found = run(case.store.notices.due("helpdesk", case.now, 1000))
    assert len({one.message for one in found}) == MANY + 1
    assert {one.kind for one in found} == {"expired"}
    assert case.kinds(other) == ["stored"]


def test_many_on_a_removed_link_are_each_told(case: Case) -> None:
    """The same where a link left the settings."""
    for _ in range(MANY + 1):
        case.accept()
    assert run(case.store.desk.drop_link(WEB, case.now)) == MANY + 1
    found = run(case.store.notices.due("helpdesk", case.now, 1000))
    assert len({one.message for one in found}) == MANY + 1
    assert {one.kind for one in found} == {"cancelled"}


def test_a_pursued_message_is_told_until_its_end(case: Case) -> None:
    """Handed over, on the device, read, accepted, done: numbered without a gap."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1"))
    case.report(state="arrived", level=Level.ON_DEVICE)
    case.report(state="read", level=Level.READ)
    case.acknowledge(stored)
    found = all_told(case)
    assert [(seq, kind) for _, seq, kind in found] == [
        (1, "handed_over"),
        (2, "on_device"),
        (3, "read"),
        (4, "acknowledged"),
        (5, "confirmed"),
    ]
    kinds = {event.n: event.kind for event in case.row(stored).timeline}
    assert [kinds[n] for n, _, _ in found] == ["attempt", "level", "level", "acknowledged", "ended"]


def test_nobody_answered_is_told(case: Case) -> None:
    """The loudest thing there is."""
    interest(case, "unanswered")
    case.accept(case.pursued())
    case.conclude(case.begin()[0])
    case.wait(60)
    assert case.advance(ending="unanswered")
    assert [one.kind for one in due(case)] == ["unanswered"]


def test_a_setback_and_a_decision_are_told(case: Case) -> None:
    """What went wrong after it seemed well, and what waits for a person."""
    interest(case, "setback", "needs_decision")
    case.accept()
    case.conclude(case.begin()[0], refs=case.refs("r1"))
    case.report(state="unknown pager", setback="unknown pager")
    case.accept()
    case.doubt(case.begin()[0], then="hold", due=0.0)
    case.lapse()
    assert sorted(one.kind for one in due(case)) == ["needs_decision", "setback"]


def test_a_receipt_that_came_early_is_told_after_its_attempt(case: Case) -> None:
    """Both are events of one unit, in order."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    assert case.report(state="read", level=Level.READ) == "unmatched"
    case.conclude(begun, refs=case.refs("r1"))
    assert [kind for _, _, kind in all_told(case)] == ["handed_over", "read"]
    assert case.row(stored).level is Level.READ


def test_a_cancelled_message_is_told_once(case: Case) -> None:
    """Two events, one end."""
    case.cancel(case.accept())
    assert [kind for _, _, kind in all_told(case)] == ["cancelled"]


def test_interest_can_change(case: Case) -> None:
    """A reload counts for what happens from then on."""
    case.accept()
    interest(case, "unanswered")
    case.conclude(case.begin()[0])
    assert due(case) == ()


def test_a_unit_that_is_refused_leaves_nothing(case: Case) -> None:
    """No notice without its event."""
    case.accept()
    (begun,) = case.begin()
    fence = case.fences[WEB]
    case.hold()
    case.fences[WEB] = fence
    assert not case.conclude(begun)
    assert due(case) == ()


def test_the_hint_comes_after_the_commit(case: Case) -> None:
    """Whoever waits is woken, and finds the notice."""
    found: list[tuple[set[str], int]] = []
    interest(case, noticed=lambda clients: found.append((set(clients), len(due(case)))))
    case.accept()
    (begun,) = case.begin()
    assert found == []
    case.conclude(begun)
    assert found == [({"helpdesk"}, 1)]


# ---------------------------------------------------------------- telling


def two_due(case: Case) -> Stored:
    """A message with two notices."""
    stored = case.accept(case.pursued())
    case.conclude(case.begin()[0], refs=case.refs("r1"))
    case.report(state="read", level=Level.READ)
    return stored


def test_a_message_is_told_in_order(case: Case) -> None:
    """The second notice is not due before the first was told."""
    two_due(case)
    (first,) = due(case)
    case.wait(60)
    assert [one.seq for one in due(case)] == [1]
    assert told(case, first)
    assert not told(case, first)
    assert [one.seq for one in due(case)] == [2]


def test_what_is_tried_again_holds_up_its_message_only(case: Case) -> None:
    """Another message's notice is due all the while."""
    two_due(case)
    case.accept()
    case.conclude(case.begin()[0])
    first, other = due(case)
    again = Telling(notice=first.key, at=case.now, how="later", due=later(case.now, 300), why="HTTP 500")
    assert run(case.store.notices.conclude(again))
    assert due(case) == (other,)
    assert told(case, other)
    assert run(case.store.notices.next_due("helpdesk")) == later(case.now, 300)
    case.wait(300)
    (repeat,) = due(case)
    assert (repeat.key, repeat.n, repeat.tries) == (first.key, first.n, 1)


def test_what_is_given_up_leaves_an_event_and_lets_the_next_pass(case: Case) -> None:
    """The timeline says that the client could not be told."""
    stored = two_due(case)
    (first,) = due(case)
    given_up = Telling(notice=first.key, at=case.now, how="given_up", why="HTTP 500")
    assert run(case.store.notices.conclude(given_up))
    last = case.row(stored).timeline[-1]
    data = {"kind": "handed_over", "client": "helpdesk", "of": first.n, "why": "HTTP 500"}
    assert (last.kind, last.data) == ("untold", data)
    assert [(one.seq, one.kind) for one in due(case)] == [(2, "read")]


def test_numbers_go_on_after_all_was_told(case: Case) -> None:
    """A receiver can see that it misses nothing, however long it takes."""
    stored = two_due(case)
    assert len(all_told(case)) == 2
    case.wait(100 * HOUR)
    case.acknowledge(stored)
    assert [seq for _, seq, _ in all_told(case)] == [3, 4]


def test_a_receiver_that_is_back_gets_what_it_missed(case: Case) -> None:
    """What was tried while it was away is due at once; what failed before that keeps its time."""
    for _ in range(2):
        case.accept()
    for begun in case.begin():
        case.conclude(begun)
    old, new = due(case)
    for notice in (old, new):
        case.wait(10)
        again = Telling(notice=notice.key, at=case.now, how="later", due=later(case.now, HOUR))
        assert run(case.store.notices.conclude(again))
    assert due(case) == ()
    assert run(case.store.notices.reached("helpdesk", case.now, case.now)) == 1
    assert [one.key for one in due(case)] == [new.key]


def test_old_notices_are_given_up(case: Case) -> None:
    """Whatever waits too long, due or not, with an event each."""
    stored = two_due(case)
    case.wait(10)
    case.acknowledge(stored)
    assert run(case.store.notices.lapse(later(case.now, -5), case.now, 100)) == 2
    assert case.kinds(stored)[-2:] == ["untold", "untold"]
    assert [kind for _, _, kind in all_told(case)] == ["acknowledged", "confirmed"]


def test_many_old_notices_leave_one_summary(case: Case) -> None:
    """A receiver that is gone for good does not fill the record."""
    for _ in range(MANY + 1):
        case.cancel(case.accept())
    case.wait(10)
    assert run(case.store.notices.lapse(case.now, case.now, 1000)) == MANY + 1
    assert due(case) == ()
    assert run(case.store.notices.next_due("helpdesk")) is None


def test_a_receiver_that_is_gone_is_remembered(case: Case) -> None:
    """Over restarts, until it is back."""
    gone = Gone(place="d1", why="it answered 410 Gone", at=case.now)
    run(case.store.notices.gone("helpdesk", gone))
    case.reopen()
    assert run(case.store.notices.all_gone()) == {"helpdesk": gone}
    assert run(case.store.notices.back("helpdesk", case.now))
    assert not run(case.store.notices.back("helpdesk", case.now))
    assert run(case.store.notices.all_gone()) == {}


# ---------------------------------------------------------------- a kill, anywhere


@pytest.mark.parametrize("end", ["reopen", "crash"])
def test_a_notice_survives_with_its_event(case: Case, end: str) -> None:
    """Killed after the event: it is told. Killed after telling, before that was recorded: told again, as
    the same. Killed after that: never again."""
    two_due(case)
    (first,) = due(case)
    getattr(case, end)()
    assert due(case) == (first,)
    assert told(case, first)
    getattr(case, end)()
    (second,) = due(case)
    assert (second.message, second.seq) == (first.message, 2)


@pytest.mark.parametrize("end", ["reopen", "crash"])
def test_keys_are_not_used_twice(case: Case, end: str) -> None:
    """A new notice after a restart does not take the place of one that waits."""
    two_due(case)
    getattr(case, end)()
    interest(case)
    case.cancel(case.accept())
    assert len(due(case)) == 2
    assert len(all_told(case)) == 3
