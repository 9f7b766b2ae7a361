"""The contract of a store: every sentence of gateway/store/base.py and of delivery semantics 2, 3, 4 and 7,
over every engine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gateway.errors import Conflict, ImpossibleMove, StoreFull
from gateway.lifecycle import Happening, State
from gateway.model import Content, Instant, LinkName, MessageClass, Ref, later, of_part
from gateway.outcome import CarrierRef, Level
from gateway.store import units
from gateway.store.base import Advance, Missed, NewIncident, PartsTaken
from gateway.store.rows import accepts, correlation, delivery_of
from tests.contract.store_case import FAX, HOUR, LEGS, WEB, Case, MemoryCase, SqliteCase
from tests.gateway.store_env import START, StoreEnv, run


@pytest.fixture(params=["memory", "sqlite"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    if request.param == "memory":
        return MemoryCase(StoreEnv())
    folder = tmp_path / "store"
    folder.mkdir()
    return SqliteCase(StoreEnv(), folder)


# ---------------------------------------------------------------- accept


def test_an_accepted_message_is_on_record_with_its_first_event(case: Case) -> None:
    """What was accepted can be read at once, and its timeline starts with "stored"."""
    stored = case.accept()
    row = case.row(stored)
    assert (row.client, row.to, row.content) == ("helpdesk", ("alice",), case.new().content)
    assert (row.level, row.ending, row.plan) == (Level.STORED, None, ())
    assert [(event.n, event.kind, event.at) for event in row.timeline] == [(1, "stored", case.now)]
    assert [(one.state, one.link, one.address) for one in row.deliveries] == [(State.WAITING, WEB, "5551212")]
    assert case.store.intake.backlog == 1


@pytest.mark.parametrize("end", ["reopen", "crash"])
def test_what_was_accepted_survives(case: Case, end: str) -> None:
    """After a stop or a kill everything that was promised is there, and keys go on."""
    first = case.accept()
    before = case.row(first)
    getattr(case, end)()
    assert case.row(first) == before
    assert case.store.intake.backlog == 1
    assert case.accept().message > first.message
    assert case.store.boot == 2


def test_any_text_is_kept_to_the_character(case: Case) -> None:
    """Controls, quotes, emoji and right-to-left text come back as they were."""
    content = Content(text="\0\x1f\"'\\ é 🚑 \u202e\u2028", details="\x7f" * 3, replies=("OK", "Не могу"))
    stored = case.accept(case.new(content=content))
    assert case.row(stored).content == content
    assert case.begin()[0].content == content


def test_the_same_key_and_content_gets_the_first_answer(case: Case) -> None:
    """A repeated request creates nothing and is answered as the first time."""
    new = case.new(idempotency_key="k", request_hash=b"h", answer=b'{"id":1}')
    first = case.accept(new)
    again = case.accept(case.new(idempotency_key="k", request_hash=b"h", answer=b"other"))
    assert (again.replay, again.message, again.answer) == (True, first.message, b'{"id":1}')
    assert case.store.intake.backlog == 1
    remembered = run(case.store.intake.remembered("helpdesk", "k", case.now))
    assert remembered == (b"h", again)
    assert run(case.store.intake.remembered("other", "k", case.now)) is None


def test_the_same_key_with_other_content_is_a_conflict(case: Case) -> None:
    """A key that is used again for something else is refused, and nothing is stored."""
    case.accept(case.new(idempotency_key="k", request_hash=b"h"))
    with pytest.raises(Conflict):
        case.accept(case.new(idempotency_key="k", request_hash=b"other"))
    assert case.store.intake.backlog == 1


def test_a_key_counts_for_its_client_and_for_72_hours(case: Case) -> None:
    """Other clients may use the same key; after 72 h it means nothing."""
    first = case.accept(case.new(idempotency_key="k", request_hash=b"h"))
    other = case.accept(case.new(idempotency_key="k", request_hash=b"h", client="other"))
    assert not other.replay
    case.wait(72 * HOUR)
    assert run(case.store.intake.remembered("helpdesk", "k", case.now)) is None
    later_one = case.accept(case.new(idempotency_key="k", request_hash=b"new"))
    assert (later_one.replay, later_one.message > first.message) == (False, True)


def test_a_public_id_is_used_once(case: Case) -> None:
    """A second message of the same id is refused."""
    new = case.new()
    case.accept(new)
    with pytest.raises(Conflict):
        case.accept(new)
    assert case.store.intake.backlog == 1


def test_the_first_free_reference_is_taken(case: Case) -> None:
    """References are unique while they are held; without a free one a message has none."""
    refs = (Ref("7K3M"), Ref("4QXT"))
    taken = [case.accept(case.new(refs=refs)).ref for _ in range(3)]
    assert taken == ["7K3M", "4QXT", None]
    assert case.accept().ref is None


def test_nothing_is_accepted_below_min_free(case: Case) -> None:
    """When the disk is nearly full nothing new is promised, but results are recorded."""
    stored = case.accept()
    if isinstance(case, SqliteCase):
        case.store._writer._ballast._min_free = 1000  # type: ignore[attr-defined]
    else:
        case.store._min_free = 1000  # type: ignore[attr-defined]
    case.env.files.free_bytes = 999
    with pytest.raises(StoreFull):
        case.accept()
    (begun,) = case.begin()
    assert case.conclude(begun)
    assert case.row(stored).ending == "confirmed"
    case.env.files.free_bytes = 1000
    case.accept()


# ---------------------------------------------------------------- incidents at the door


def test_a_message_with_an_incident_is_pursued(case: Case) -> None:
    """The plan, its due time and the opened legs are facts for the next move."""
    stored = case.accept(case.pursued(key="INC1"))
    assert run(case.store.pursuit.due(case.now, 10)) == ()
    assert run(case.store.pursuit.next_due()) == later(case.now, 10)
    (facts,) = run(case.store.pursuit.due(later(case.now, 10), 10))
    assert (facts.message, facts.plan, facts.until) == (stored.message, LEGS, Level.ACKNOWLEDGED)
    assert [(leg.leg, leg.state, leg.link) for leg in facts.legs] == [(0, State.WAITING, WEB)]
    row = case.row(stored)
    assert (row.incident_key, row.plan, row.ref) == ("INC1", LEGS, "7K3M")


def test_a_second_message_for_the_same_trouble_joins(case: Case) -> None:
    """It opens no legs, and ends as the pursuit ends."""
    first = case.accept(case.pursued(key="INC1"))
    second = case.accept(case.pursued(key="INC1"))
    assert (first.joined, second.joined) == (False, True)
    assert case.row(second).deliveries == ()
    assert case.row(second).incident == case.row(first).incident
    assert case.kinds(second) == ["stored", "joined"]
    case.acknowledge(first)
    assert (case.row(second).ending, case.row(second).accepted_by) == ("confirmed", "alice")
    assert not case.accept(case.pursued(key="INC1")).joined  # that one is over


def test_keys_of_trouble_belong_to_their_client(case: Case) -> None:
    """Two clients may use the same word for different trouble."""
    case.accept(case.pursued(key="INC1"))
    assert not case.accept(case.pursued(key="INC1", client="other")).joined


def test_a_joining_message_of_higher_class_takes_the_pursuit_over(case: Case) -> None:
    """The incident goes on with its plan and class, its legs are opened, earlier moves are stale."""
    first = case.accept(case.pursued(key="INC1", message_class=MessageClass.URGENT))
    (before,) = run(case.store.pursuit.due(later(case.now, 10), 10))
    second = case.accept(case.pursued(key="INC1", plan=LEGS[:2]))
    assert second.joined
    assert len(case.row(second).deliveries) == 1
    (facts,) = run(case.store.pursuit.due(later(case.now, 10), 10))
    assert (facts.message, facts.message_class, facts.plan) == (
        second.message,
        MessageClass.CRITICAL,
        LEGS[:2],
    )
    assert facts.version > before.version
    assert {leg.message for leg in facts.legs} == {second.message}
    case.acknowledge(second)
    assert case.delivery(first).state is State.CANCELLED


def test_messages_of_one_moment_join_each_other(case: Case) -> None:
    """Within one commit the same rules hold."""
    plain = case.new(refs=(Ref("7K3M"), Ref("ZZZZ")))
    told = case.together(case.pursued(key="INC1"), case.pursued(key="INC1"), plain)
    assert [one.joined for one in told] == [False, True, False]  # type: ignore[union-attr]
    assert len({one.ref for one in told}) == 3  # type: ignore[union-attr]


def test_the_same_key_in_one_moment_counts_once(case: Case) -> None:
    """Of two requests with one key that ride in one commit, the second is the replay."""
    twins = [case.new(idempotency_key="k", request_hash=b"h") for _ in range(2)]
    first, second, other = case.together(*twins, case.new(idempotency_key="k", request_hash=b"x"))
    assert (first.replay, second.replay) == (False, True)  # type: ignore[union-attr]
    assert isinstance(other, Conflict)


# ---------------------------------------------------------------- begin


def test_begin_takes_by_class_then_due_then_key(case: Case) -> None:
    """Critical first; within a class the one that is due longest; then the one that came first."""
    case.wait(100)
    late, early = case.now, later(case.now, -50)
    classes = [MessageClass.BULK, MessageClass.NORMAL, MessageClass.NORMAL, MessageClass.CRITICAL]
    dues = [early, late, early, late]
    stored = [
        case.accept(case.new(case.leg(message_class=one, due=due)))
        for one, due in zip(classes, dues, strict=True)
    ]
    twin = case.accept(case.new(case.leg(message_class=MessageClass.NORMAL, due=early)))
    order = [one.message for one in case.begin()]
    assert order == [stored[3].message, stored[2].message, twin.message, stored[1].message, stored[0].message]


def test_begin_takes_at_most_limit_and_at_most_ordinary(case: Case) -> None:
    """The rest of a window is kept for critical and urgent."""
    for one in MessageClass:
        for _ in range(2):
            case.accept(case.new(case.leg(message_class=one)))
    assert [one.message_class for one in case.begin(limit=6, ordinary=1)] == [0, 0, 1, 1, 2]
    assert [one.message_class for one in case.begin(limit=2)] == [2, 3]
    assert len(case.begin()) == 1


def test_begin_says_when_the_next_is_due(case: Case) -> None:
    """next_due is for the whole lane, next_critical for class critical; a limit of 0 only looks."""
    fence = case.hold()
    soon, far = later(case.now, 5), later(case.now, 50)
    case.accept(case.new(case.leg(due=soon)))
    case.accept(case.new(case.leg(due=far, message_class=MessageClass.CRITICAL)))
    look = run(case.store.work.begin(WEB, fence, limit=0, ordinary=0, now=far))
    assert (look.begun, look.next_due, look.next_critical) == ((), soon, far)
    taking = run(case.store.work.begin(WEB, fence, limit=1, ordinary=1, now=far))
    assert [one.message_class for one in taking.begun] == [MessageClass.CRITICAL]
    assert (taking.next_due, taking.next_critical) == (soon, None)


def test_begin_takes_of_its_own_lane_what_is_due(case: Case) -> None:
    """Other links' deliveries and later ones stay."""
    case.accept(case.new(case.leg(link=FAX)))
    case.accept(case.new(case.leg(due=later(case.now, 1))))
    assert case.begin() == ()
    assert len(case.begin(FAX)) == 1


def test_begun_has_all_that_an_attempt_needs(case: Case) -> None:
    """And nothing is begun twice."""
    stored = case.accept(case.pursued(refs=(Ref("7K3M"),)))
    (begun,) = case.begin()
    row = case.row(stored)
    assert (begun.public_id, begun.ref, begun.client) == (stored.public_id, "7K3M", "helpdesk")
    assert (begun.address, begun.person, begun.incident) == ("5551212", "alice", row.incident)
    assert (begun.begun_at, begun.opened_at, begun.deadline) == (case.now, case.now, later(case.now, HOUR))
    assert (begun.last, begun.copies_before, begun.dup_risk) == (True, 0, False)
    assert case.delivery(stored).state is State.BEGUN
    assert case.begin() == ()


def test_what_a_leg_knows_of_other_copies_comes_back(case: Case) -> None:
    """Whether it is the last leg, and how many copies may be out, is kept with it."""
    case.accept(case.new(case.leg(last=False, copies_before=2)))
    (begun,) = case.begin()
    assert (begun.last, begun.copies_before) == (False, 2)


def test_the_correlation_is_kept_over_all_tries(case: Case) -> None:
    """Our own name for a delivery is chosen once and leads back to it."""
    case.accept()
    (first,) = case.begin()
    case.conclude(first, Happening.LATER, due=case.now, tries=1)
    (second,) = case.begin()
    assert second.correlation == first.correlation == correlation(first.public_id, first.delivery)
    assert delivery_of(first.correlation) == (first.delivery, 1)
    assert delivery_of(of_part(first.correlation, 3)) == (first.delivery, 3)
    assert second.tries == 1


def test_nothing_is_begun_at_its_deadline(case: Case) -> None:
    """The deadline is looked at last before beginning; what is past it expires there and then."""
    stored = case.accept(case.new(case.leg(deadline=later(case.now, 60))))
    other = case.accept()
    case.wait(60)
    assert [one.message for one in case.begin(limit=1)] == [other.message]
    assert case.row(stored).ending == "expired"
    assert case.kinds(stored) == ["stored", "expired"]


def test_a_delivery_whose_text_changed_is_quarantined(case: Case) -> None:
    """A wrong checksum is never sent; the row fails with an event and the pursuit goes on."""
    stored = case.accept(case.pursued())
    case.spoil(stored.message)
    assert case.begin() == ()
    assert (case.delivery(stored).state, case.delivery(stored).reason) == (State.FAILED, "quarantined")
    assert case.kinds(stored) == ["stored", "quarantined"]
    assert case.store.intake.backlog == 0
    assert len(run(case.store.pursuit.due(case.now, 10))) == 1


# ---------------------------------------------------------------- leases


def test_a_stale_fence_gets_nothing_and_writes_nothing(case: Case) -> None:
    """After another hold of the lane, the earlier owner is out."""
    stored = case.accept()
    case.accept()
    (begun,) = case.begin(limit=1)
    old = case.fences[WEB]
    case.hold(WEB)
    assert case.fences[WEB] > old
    assert run(case.store.work.begin(WEB, old, limit=9, ordinary=9, now=case.now)).begun == ()
    assert not case.conclude(begun, fence=old)
    assert case.delivery(stored).state is State.BEGUN
    miss = _miss(case, fence=old)
    assert run(case.store.work.missed(miss)) == 0


def test_a_lane_that_nobody_holds_gives_nothing(case: Case) -> None:
    """Without a lease nothing is begun, also with a fence of an earlier process."""
    case.accept()
    old = case.hold()
    case.reopen()
    assert run(case.store.work.begin(WEB, old, limit=9, ordinary=9, now=case.now)).begun == ()
    assert run(case.store.work.begin(LinkName("no.link"), 1, limit=9, ordinary=9, now=case.now)).begun == ()


def test_what_a_killed_process_had_begun_is_in_doubt_for_the_next(case: Case) -> None:
    """interrupted names it until it is concluded under the new fence; only that lane's."""
    stored = case.accept()
    case.accept(case.new(case.leg(link=FAX)))
    (begun,) = case.begin()
    case.begin(FAX)
    case.crash()
    fence = case.hold()
    (found,) = run(case.store.work.interrupted(WEB, fence))
    assert found == begun
    assert case.begin() == ()
    case.doubt(found, due=0)
    assert run(case.store.work.interrupted(WEB, fence)) == ()
    assert case.delivery(stored).state is State.DOUBT
    assert len(run(case.store.work.interrupted(FAX, fence))) == 1


# ---------------------------------------------------------------- conclude


@pytest.mark.parametrize(
    ("happening", "state", "ending"),
    [
        (Happening.TAKEN, State.TAKEN, "confirmed"),
        (Happening.REFUSED, State.FAILED, "failed"),
        (Happening.LATER_TOO_OFTEN, State.FAILED, "failed"),
        (Happening.REFUSED_LINK, State.WAITING, None),
        (Happening.NOT_SENT, State.WAITING, None),
        (Happening.LATER, State.WAITING, None),
        (Happening.IN_DOUBT, State.DOUBT, None),
    ],
)
def test_conclude_follows_the_life_cycle(
    case: Case, happening: Happening, state: State, ending: str | None
) -> None:
    """Every arrow out of begun, with what the carrier said and when the next try is due."""
    stored = case.accept()
    (begun,) = case.begin()
    due = None if ending else later(case.now, 30)
    assert case.conclude(
        begun, happening, due=due, code="421", why="busy", tries=1, connects=2, doubts=3, reason="x"
    )
    row = case.delivery(stored)
    assert (row.state, row.due, row.code, row.why, row.reason) == (state, due, "421", "busy", "x")
    assert (row.tries, row.connects, row.doubts) == (1, 2, 3)
    assert case.row(stored).ending == ending
    assert case.store.intake.backlog == (0 if ending else 1)
    assert not case.conclude(begun, happening)  # it is not begun any more


def test_an_impossible_conclusion_changes_nothing(case: Case) -> None:
    """A happening that cannot follow begun is our bug: it is raised and nothing is written."""
    stored = case.accept()
    (begun,) = case.begin()
    with pytest.raises(ImpossibleMove):
        case.conclude(begun, Happening.RESEND)
    assert case.delivery(stored).state is State.BEGUN
    assert case.conclude(begun)


def test_an_attempt_is_an_event(case: Case) -> None:
    """The timeline says over which link, how it ended, in the carrier's words, and when it began."""
    stored = case.accept()
    (begun,) = case.begin()
    case.wait(2)
    case.conclude(begun, warning="cut at 80 characters", transcript="> SEND")
    event = case.row(stored).timeline[-1]
    assert (event.n, event.kind, event.at, event.delivery) == (2, "attempt", case.now, begun.delivery)
    assert event.data == {
        "link": WEB,
        "outcome": "taken",
        "code": "250",
        "why": "ok",
        "began": begun.begun_at,
        "warning": "cut at 80 characters",
        "transcript": "> SEND",
    }


def test_events_are_numbered_under_their_message(case: Case) -> None:
    """Two deliveries of one message that end in the same commit get different numbers."""
    stored = case.accept(case.new(case.leg(), case.leg(leg=1, address="other")))
    done = [case.done(begun) for begun in case.begin()]
    for one in [case.store.work.conclude(one) for one in done]:
        run(one)
    assert [event.n for event in case.row(stored).timeline] == [1, 2, 3]


def test_conclusions_make_the_incident_due_and_earlier_moves_stale(case: Case) -> None:
    """A move that was decided before an attempt ended is not recorded."""
    case.accept(case.pursued())
    (begun,) = case.begin()
    (facts,) = run(case.store.pursuit.due(later(case.now, 10), 1))
    case.conclude(begun)
    assert len(run(case.store.pursuit.due(case.now, 1))) == 1
    assert not case.advance(version=facts.version)
    assert case.advance(due=later(case.now, 99))


def test_a_missed_connection_is_told_to_those_who_wait(case: Case) -> None:
    """connects + 1, a later due by class, an event; best first, at most limit; never past the deadline."""
    urgent = case.accept(case.new(case.leg(message_class=MessageClass.URGENT)))
    short = case.accept(case.new(case.leg(deadline=later(case.now, 5))))
    third = case.accept()
    case.hold()
    assert run(case.store.work.missed(_miss(case, limit=2))) == 2
    assert (case.delivery(urgent).due, case.delivery(urgent).connects) == (later(case.now, 1), 1)
    assert case.delivery(short).due == later(case.now, 5)
    assert (case.delivery(third).due, case.delivery(third).connects) == (case.now, 0)
    event = case.row(urgent).timeline[-1]
    assert (event.kind, event.data["outcome"]) == ("attempt", "not_sent")
    case.wait(1)
    run(case.store.work.missed(_miss(case, limit=1)))
    assert case.delivery(urgent).due == later(case.now, 2)
    case.wait(2)
    run(case.store.work.missed(_miss(case, limit=1)))
    assert case.delivery(urgent).due == later(case.now, 2)  # the last wait repeats


def _miss(case: Case, *, limit: int = 9, fence: int | None = None) -> Missed:
    return Missed(
        lane=WEB,
        fence=case.fences[WEB] if fence is None else fence,
        began=case.now,
        ended=case.now,
        code="refused",
        why="connection refused",
        waits={MessageClass.URGENT: (1.0, 2.0), MessageClass.NORMAL: (30.0,), MessageClass.CRITICAL: (0.0,)},
        limit=limit,
    )


def test_when_the_link_is_back_what_missed_it_is_due(case: Case) -> None:
    """At once; what waits for another reason waits on."""
    missed, begun_once = case.accept(), case.accept()
    case.begin(limit=0)
    run(case.store.work.missed(_miss(case, limit=1)))
    (begun,) = case.begin(limit=1)
    case.conclude(begun, Happening.LATER, outcome="later", due=later(case.now, 50))
    planned = case.accept(case.new(case.leg(due=later(case.now, 70))))
    paused = case.accept()
    run(case.store.work.missed(_miss(case, limit=1)))
    run(case.store.desk.pause(paused.message, by="dana", now=case.now))
    case.wait(10)
    assert run(case.store.work.reached(WEB, case.fences[WEB] - 1, case.now)) == 0
    assert run(case.store.work.reached(WEB, case.fences[WEB], case.now)) == 1
    assert case.delivery(missed).due == case.delivery(missed).opened_at
    assert (case.delivery(begun_once).due, case.delivery(planned).due) == (
        later(case.now, 40),
        later(case.now, 60),
    )
    assert case.delivery(paused).due is None
    assert len(case.begin()) == 1


def test_a_missed_connection_makes_the_incident_due(case: Case) -> None:
    """So that the next leg can open at once."""
    case.accept(case.pursued())
    case.hold()
    run(case.store.work.missed(_miss(case)))
    (facts,) = run(case.store.pursuit.due(case.now, 1))
    assert facts.legs[0].failures == 1


# ---------------------------------------------------------------- time


def test_deadlines_expire_what_is_not_begun(case: Case) -> None:
    """Waiting, doubt and held expire; what was begun finishes; what may be out is marked."""
    deadline = later(case.now, 60)
    stored = [case.accept(case.new(case.leg(deadline=deadline))) for _ in range(4)]
    begun = case.begin(limit=3)
    case.doubt(begun[1], due=100)
    case.doubt(begun[2], then="hold", due=0)
    case.lapse()
    assert run(case.store.work.next_lapse()) == deadline
    case.wait(60)
    lapsed = case.lapse()
    assert (lapsed.expired, lapsed.settled) == (3, 0)
    states = [case.delivery(one).state for one in stored]
    assert states == [State.BEGUN, State.EXPIRED, State.EXPIRED, State.EXPIRED]
    assert case.kinds(stored[3]) == ["stored", "expired"]
    assert run(case.store.work.next_lapse()) is None
    assert case.conclude(begun[0])


@pytest.mark.parametrize(
    ("then", "state", "level"),
    [
        ("resend", State.WAITING, Level.STORED),
        ("assume", State.TAKEN, Level.STORED),
        ("hold", State.HELD, Level.STORED),
        ("quarantine", State.FAILED, Level.STORED),
    ],
)
def test_a_doubt_is_settled_by_its_policy(case: Case, then: str, state: State, level: Level) -> None:
    """When its time has come: again with the risk of a copy, assumed, held for a person, or quarantined."""
    stored = case.accept()
    (begun,) = case.begin()
    case.doubt(begun, then=then)
    assert case.lapse().settled == 0
    case.wait(60)
    assert run(case.store.work.next_lapse()) == case.now
    lapsed = case.lapse()
    assert (lapsed.settled, lapsed.lanes) == (1, {WEB} if then == "resend" else frozenset())
    row = case.delivery(stored)
    assert (row.state, row.level, row.dup_risk, row.doubts) == (state, level, then == "resend", 1)
    if then == "resend":
        assert case.begin()[0].dup_risk
    if then == "assume":
        assert case.row(stored).ending == "confirmed"


def test_a_doubt_counts_the_copies_of_other_legs(case: Case) -> None:
    """What other legs may have brought the same person meanwhile is marked; after four nothing is resent."""
    legs = (case.leg(), case.leg(link=FAX), case.leg(person="bob", address="5551213", link=FAX))
    stored = case.accept(case.pursued(deliveries=legs))
    (first,) = case.begin()
    case.doubt(first)
    second, someone_else = case.begin(FAX)
    assert (second.copies_before, someone_else.copies_before) == (1, 0)
    case.doubt(second)
    case.doubt(someone_else, due=3000)
    case.wait(60)
    case.lapse()
    (again,) = case.begin()
    assert again.copies_before + again.doubts == 2
    case.wait(units.UNDER_WAY)
    (second_again,) = case.begin(FAX)
    assert second_again.copies_before + second_again.doubts == 3
    case.doubt(again)
    case.doubt(second_again)
    case.wait(60)
    case.lapse()
    assert [row.state for row in case.row(stored).deliveries] == [State.HELD, State.HELD, State.DOUBT]


def test_a_leg_that_is_begun_while_another_is_under_way_is_a_second_copy(case: Case) -> None:
    """Two legs of one device that both waited: whichever is begun later carries the mark, whoever was opened first;
    another device of the same person gets its own first copy. It waits for a moment, in case the other is
    answered; what hangs for longer holds it up no more."""
    legs = (case.leg(), case.leg(link=FAX), case.leg(device="phone", address="5551299", link=FAX))
    case.accept(case.pursued(deliveries=legs))
    later, other_device = case.begin(FAX)
    assert case.begin() == ()
    case.wait(units.MOMENT)
    assert case.begin() == ()
    case.wait(units.UNDER_WAY - units.MOMENT)
    (first,) = case.begin()
    assert (later.copies_before, other_device.copies_before, first.copies_before) == (0, 0, 1)


def test_a_leg_gives_way_to_another_that_was_taken_just_now(case: Case) -> None:
    """It would be a copy that nobody needs; pursuit stops it. But after a setback it goes out at once."""
    stored = case.accept(case.pursued(deliveries=(case.leg(), case.leg(link=FAX))))
    (first,) = case.begin()
    case.conclude(first, refs=(CarrierRef(scope="spok", ref="r1"),))
    assert case.begin(FAX) == ()
    case.report("r1", "failed", setback="no such pager")
    case.wait(units.MOMENT)
    (second,) = case.begin(FAX)
    assert second.copies_before == 1
    assert case.row(stored).deliveries[0].setback == "no such pager"


def test_a_decision_to_send_again_counts_them_too(case: Case) -> None:
    """Whoever decides is not bound by the limit, but the copy is marked with its number."""
    stored = case.accept(case.pursued(deliveries=(case.leg(), case.leg(link=FAX))))
    (first,) = case.begin()
    case.doubt(first, then="hold", due=0)
    (second,) = case.begin(FAX)
    case.doubt(second, then="hold", due=0)
    case.lapse()
    assert run(case.store.desk.decide(stored.message, again=True, by="dana", now=case.now)) == 2
    begun = case.begin()
    case.wait(units.UNDER_WAY)
    assert sorted(one.copies_before + one.doubts for one in (*begun, *case.begin(FAX))) == [2, 3]


def test_many_expiries_leave_one_summary(case: Case) -> None:
    """After a long pause a thousand rows expire with one event, and each row says it."""
    stored = [case.accept(case.new(case.leg(deadline=later(case.now, 60)))) for _ in range(101)]
    case.wait(60)
    assert case.lapse().expired == 101
    assert case.delivery(stored[-1]).state is State.EXPIRED
    assert case.kinds(stored[-1]) == ["stored"]
    assert case.store.intake.backlog == 0


def test_lapse_makes_incidents_due(case: Case) -> None:
    """An expired or doubtful leg is a reason for the next move."""
    case.accept(case.pursued())
    (begun,) = case.begin()
    case.doubt(begun, due=1)
    case.advance(due=later(case.now, 999))
    case.wait(1)
    assert case.lapse().incidents
    assert len(run(case.store.pursuit.due(case.now, 1))) == 1


# ---------------------------------------------------------------- receipts


def test_a_receipt_raises_the_level(case: Case) -> None:
    """Evidence is matched by the carrier's reference; the level climbs and never falls."""
    stored = case.accept()
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1"))
    assert case.report(state="on", level=Level.READ) == "matched"
    assert case.report(state="off", level=Level.ON_DEVICE) == "matched"
    row = case.row(stored)
    assert (row.level, row.deliveries[0].level) == (Level.READ, Level.READ)
    assert [event.data for event in row.timeline if event.kind == "level"] == [
        {"level": "read", "state": "on"}
    ]


def test_a_repeated_receipt_counts_once(case: Case) -> None:
    """The same word of the carrier twice is one piece of evidence; another state or part is another."""
    stored = case.accept()
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1"))
    assert [case.report(reply="OK"), case.report(reply="OK"), case.report(state="x")] == [
        "matched",
        "repeated",
        "matched",
    ]
    assert case.kinds(stored).count("reply") == 1


def test_a_receipt_may_come_before_its_submit_concludes(case: Case) -> None:
    """It is kept, and applied in the unit that brings its reference."""
    stored = case.accept()
    (begun,) = case.begin()
    assert case.report(level=Level.ON_DEVICE) == "unmatched"
    assert case.row(stored).level is Level.STORED
    case.conclude(begun, refs=case.refs("r1"))
    assert case.row(stored).level is Level.ON_DEVICE
    assert case.report(level=Level.ON_DEVICE) == "repeated"


def test_a_page_in_parts_is_as_far_as_its_last_part(case: Case) -> None:
    """The level of a delivery is the lowest of its parts."""
    stored = case.accept()
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1", "r2"))
    case.report("r1", level=Level.READ)
    assert case.row(stored).level is Level.HANDED_OVER
    case.report("r2", state="on", level=Level.ON_DEVICE)
    assert case.row(stored).level is Level.ON_DEVICE


def test_a_setback_leaves_taken_and_makes_the_incident_due(case: Case) -> None:
    """A negative receipt is a fact for the next move; the level stays."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1"))
    case.advance(due=later(case.now, 999))
    case.report(state="undeliverable", setback="unknown pager")
    row = case.delivery(stored)
    assert (row.state, row.level, row.setback) == (State.TAKEN, Level.HANDED_OVER, "unknown pager")
    (facts,) = run(case.store.pursuit.due(case.now, 1))
    assert facts.legs[0].setback


def test_a_setback_is_taken_back_by_proof_that_it_arrived(case: Case) -> None:
    """Carriers contradict themselves: undeliverable, then delivered. Both words stay in the timeline; what
    counts is that it is there."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1"))
    case.report(state="undeliverable", setback="switched off")
    case.report(state="queued", level=Level.IN_PROGRESS)
    assert case.delivery(stored).setback == "switched off"
    case.report(state="on", level=Level.ON_DEVICE)
    row = case.delivery(stored)
    assert (row.level, row.setback) == (Level.ON_DEVICE, None)
    assert [kind for kind in case.kinds(stored) if kind == "setback"] == ["setback"]


def test_a_setback_after_proof_counts_too(case: Case) -> None:
    """Delivered, then undeliverable: the level stays, and the next move knows of the setback."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1"))
    case.report(state="on", level=Level.ON_DEVICE)
    case.report(state="undeliverable", setback="unknown pager")
    row = case.delivery(stored)
    assert (row.level, row.setback) == (Level.ON_DEVICE, "unknown pager")
    assert case.report(state="on", level=Level.ON_DEVICE) == "repeated"
    assert case.delivery(stored).setback == "unknown pager"


def test_one_part_that_did_not_arrive_is_a_setback_of_the_page(case: Case) -> None:
    """Proof of the other part does not take it back."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1", "r2"))
    case.report("r1", state="undeliverable", setback="switched off")
    case.report("r2", state="on", level=Level.READ)
    row = case.delivery(stored)
    assert (row.level, row.setback) == (Level.HANDED_OVER, "switched off")


def test_an_answer_that_accepts_is_an_acknowledgement(case: Case) -> None:
    """The person whose device it is has it; the pursuit ends in the same unit."""
    stored = case.accept(case.pursued(refs=(Ref("7K3M"),)))
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1"))
    case.report(state="read", level=Level.READ, reply="On my way", accepting=("ok", "yes"))
    assert case.row(stored).accepted_by is None
    case.report(state="answer", reply="OK, Dana", accepting=("ok", "yes"))
    row = case.row(stored)
    assert (row.accepted_by, row.ending, row.level) == ("alice", "confirmed", Level.ACKNOWLEDGED)
    assert [one for one in case.kinds(stored) if one in ("reply", "acknowledged", "ended")] == [
        "reply",
        "reply",
        "acknowledged",
        "ended",
    ]


def test_an_answer_may_come_before_its_submit_concludes(case: Case) -> None:
    """It accepts when the page is on record as taken."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.report(state="read", level=Level.READ, reply="yes", accepting=("yes",))
    case.conclude(begun, refs=case.refs("r1"))
    assert case.row(stored).accepted_by == "alice"


def test_an_answer_after_the_end_stays_in_the_timeline(case: Case) -> None:
    """Nobody had it in time: it does not become accepted afterwards."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("r1"))
    case.advance(ending="unanswered", why="unanswered")
    case.report(state="read", level=Level.READ, reply="ok", accepting=("ok",))
    row = case.row(stored)
    assert (row.accepted_by, row.ending) == (None, "unanswered")
    assert case.kinds(stored)[-1] == "reply"


@pytest.mark.parametrize(
    ("reply", "accepted"),
    [
        ("OK", True),
        ("ok.", True),
        ("Yes, Dana has it", True),
        ("  on my   way ", True),
        ("ok?", False),
        ("no ok", False),
        ("okay", False),
        ("", False),
        ("?", False),
    ],
)
def test_what_accepts(reply: str, accepted: bool) -> None:
    """The whole answer or its first word; a question accepts nothing."""
    assert accepts(reply, ("ok", "yes", "On my way")) is accepted


@pytest.mark.parametrize("state", ["doubt", "held", "resent"])
def test_late_proof_settles_a_doubt(case: Case, state: str) -> None:
    """Evidence that names our own correlation proves that it was taken, wherever the doubt has got to."""
    stored = case.accept()
    (begun,) = case.begin()
    case.doubt(begun, then="hold" if state == "held" else "resend", due=0)
    if state != "doubt":
        case.lapse()
    assert case.report(begun.correlation, level=Level.HANDED_OVER) == "late"
    assert case.delivery(stored).state is State.TAKEN
    assert case.row(stored).ending == "confirmed"
    assert case.store.intake.backlog == 0
    assert case.begin() == ()


def test_proof_that_comes_while_a_copy_is_being_sent_waits_for_its_end(case: Case) -> None:
    """What is begun finishes first; then the proof counts."""
    stored = case.accept()
    (begun,) = case.begin()
    assert case.report(begun.correlation, level=Level.HANDED_OVER) == "unmatched"
    case.doubt(begun)
    assert case.delivery(stored).state is State.TAKEN


def test_evidence_of_another_link_or_a_guess_matches_nothing(case: Case) -> None:
    """A correlation counts only on the link it was sent over, and only if it is right."""
    case.accept()
    (begun,) = case.begin()
    case.doubt(begun)
    wrong = "00000000" + begun.correlation[8:]
    assert case.report(begun.correlation, link=FAX, state="a") == "unmatched"
    assert case.report(wrong, state="b") == "unmatched"
    assert case.report("not-a-name!", state="c") == "unmatched"


def test_a_level_climbs_also_after_the_end(case: Case) -> None:
    """A page that expired in doubt and turns up later is known to have got there."""
    stored = case.accept(case.new(case.leg(deadline=later(case.now, 60))))
    (begun,) = case.begin()
    case.doubt(begun, due=100)
    case.wait(60)
    case.lapse()
    assert case.report(begun.correlation, level=Level.READ) == "matched"
    row = case.row(stored)
    assert (row.deliveries[0].state, row.level, row.ending) == (State.EXPIRED, Level.READ, "confirmed")


def test_enquiries_are_due_oldest_first_until_nothing_more_will_come(case: Case) -> None:
    """A lane asks about what was taken, counts how often, and stops after the last word."""
    first, second = later(case.now, 10), later(case.now, 20)
    for at, ref in ((second, "r2"), (first, "r1")):
        case.accept()
        (begun,) = case.begin()
        case.conclude(begun, refs=case.refs(ref, enquire_at=at))
    work = case.store.work
    assert run(work.enquiries(WEB, case.now, 9)) == ()
    assert (run(work.next_enquiry(WEB)), run(work.next_enquiry(FAX))) == (first, None)
    found = run(work.enquiries(WEB, second, 9))
    assert [(one.ref.ref, one.asked, one.taken_at) for one in found] == [
        ("r1", 0, case.now),
        ("r2", 0, case.now),
    ]
    assert run(work.enquiries(FAX, second, 9)) == ()
    run(work.enquired(found[0], None))
    run(work.enquired(found[1], later(case.now, 90)))
    assert run(work.enquiries(WEB, second, 9)) == ()
    assert [one.asked for one in run(work.enquiries(WEB, later(case.now, 90), 9))] == [1]
    assert run(work.next_enquiry(WEB)) == later(case.now, 90)
    case.report("r2", level=Level.READ, final=True)
    assert run(work.enquiries(WEB, later(case.now, 90), 9)) == ()


# ---------------------------------------------------------------- pursuit


def test_a_move_opens_legs_of_the_plan(case: Case) -> None:
    """A new delivery row of the pursued message, with an event that says why."""
    stored = case.accept(case.pursued())
    assert case.advance(
        open=(case.leg(leg=1, link=FAX, copies_before=1),),
        due=later(case.now, 30),
        why="next_leg",
        detail={"n": 1},
    )
    row = case.row(stored)
    assert [(one.leg, one.link, one.state) for one in row.deliveries] == [
        (0, WEB, State.WAITING),
        (1, FAX, State.WAITING),
    ]
    event = row.timeline[-1]
    assert (event.kind, event.data["why"], event.data["link"], event.data["n"]) == (
        "leg_opened",
        "next_leg",
        FAX,
        1,
    )
    assert run(case.store.pursuit.next_due()) == later(case.now, 30)
    assert case.begin(FAX)[0].copies_before == 1
    assert case.store.intake.backlog == 2


def test_a_move_stops_deliveries_where_it_may(case: Case) -> None:
    """What waits is cancelled; what is begun finishes, and then goes no further."""
    stored = case.accept(case.pursued())
    case.advance(open=(case.leg(leg=1, link=FAX),), due=case.now, why="next_leg")
    (begun,) = case.begin()
    keys = tuple(one.delivery for one in case.row(stored).deliveries)
    assert case.advance(stop=keys, due=later(case.now, 60), why="not_needed")
    assert [one.state for one in case.row(stored).deliveries] == [State.BEGUN, State.CANCELLED]
    assert case.conclude(begun, Happening.LATER, due=case.now, tries=1)
    assert case.delivery(stored).state is State.CANCELLED


def test_a_stale_version_does_nothing(case: Case) -> None:
    """Two moves from the same facts: the second is not recorded."""
    stored = case.accept(case.pursued())
    (facts,) = run(case.store.pursuit.due(later(case.now, 10), 1))
    move = Advance(incident=facts.incident, version=facts.version, at=case.now, due=case.now)
    assert run(case.store.pursuit.advance(move))
    assert not run(case.store.pursuit.advance(msgspec.structs.replace(move, ending="failed")))
    assert case.row(stored).ending is None


@pytest.mark.parametrize("ending", ["confirmed", "unanswered", "failed", "expired"])
def test_the_ending_of_a_pursuit_is_its_messages(case: Case, ending: str) -> None:
    """It is final: nothing of it is begun any more and no move counts."""
    stored = case.accept(case.pursued(key="INC1"))
    other = case.accept(case.pursued(key="INC1"))
    (facts,) = run(case.store.pursuit.due(later(case.now, 10), 1))
    assert case.advance(ending=ending)
    assert case.row(stored).ending == case.row(other).ending == ending
    assert case.kinds(stored)[-1] == "ended"
    assert case.begin() == ()
    assert not case.store.intake.backlog
    assert run(case.store.pursuit.next_due()) is None
    late = Advance(incident=facts.incident, version=facts.version, at=case.now)
    assert not run(case.store.pursuit.advance(late))


def test_pursuits_that_wait_for_a_link_can_be_hurried(case: Case) -> None:
    """Critical and urgent, on these links, the most pressing first; what they decided before is stale."""
    bulk = case.accept(case.pursued(message_class=MessageClass.BULK))
    urgent = case.accept(case.pursued(message_class=MessageClass.URGENT))
    critical = case.accept(case.pursued())
    before = {one.message: one for one in run(case.store.pursuit.due(later(case.now, 60), 9))}
    assert run(case.store.pursuit.due(case.now, 9)) == ()
    assert run(case.store.pursuit.hurry((FAX,), case.now, 9)) == 0
    assert run(case.store.pursuit.hurry((WEB, FAX), case.now, 1)) == 1
    assert [one.message for one in run(case.store.pursuit.due(case.now, 9))] == [critical.message]
    assert run(case.store.pursuit.hurry((WEB, FAX), case.now, 9)) == 1
    assert run(case.store.pursuit.hurry((WEB, FAX), case.now, 9)) == 0
    hurried = [one.message for one in run(case.store.pursuit.due(case.now, 9))]
    assert hurried == [critical.message, urgent.message]
    assert bulk.message not in hurried
    stale = before[urgent.message]
    move = Advance(incident=stale.incident, version=stale.version, at=case.now)
    assert not run(case.store.pursuit.advance(move))


def test_a_leg_says_for_itself_why_it_is_opened(case: Case) -> None:
    """Of several legs of one move each has its reason."""
    stored = case.accept(case.pursued())
    leg = case.leg(leg=1, link=FAX, why={"why": "refused", "after": WEB})
    assert case.advance(open=(leg,), due=case.now)
    assert case.row(stored).timeline[-1].data == {
        "link": FAX, "leg": 1, "person": leg.person, "device": leg.device, "why": "refused", "after": WEB,
    }  # fmt: skip


def test_critical_incidents_come_first(case: Case) -> None:
    """Then those that are due longest; at most as many as were asked for."""
    bulk = case.accept(case.pursued(message_class=MessageClass.BULK))
    critical = case.accept(case.pursued())
    found = run(case.store.pursuit.due(later(case.now, 10), 9))
    assert [one.message for one in found] == [critical.message, bulk.message]
    assert len(run(case.store.pursuit.due(later(case.now, 10), 1))) == 1


# ---------------------------------------------------------------- people


def test_an_acknowledgement_ends_the_pursuit(case: Case) -> None:
    """The level is acknowledged, copies that wait are cancelled, what is begun finishes."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.advance(open=(case.leg(leg=1, link=FAX),), due=case.now, why="next_leg")
    assert case.acknowledge(stored) == "alice"
    row = case.row(stored)
    assert (row.ending, row.level, row.accepted_by, row.accepted_at) == (
        "confirmed",
        Level.ACKNOWLEDGED,
        "alice",
        case.now,
    )
    assert [one.state for one in row.deliveries] == [State.BEGUN, State.CANCELLED]
    event = next(event for event in row.timeline if event.kind == "acknowledged")
    assert event.data == {"by": "alice", "recorded_by": "console:dana", "note": "on my way"}
    assert case.begin(FAX) == ()
    assert case.conclude(begun, Happening.IN_DOUBT, due=case.now, then="resend", doubts=1)
    assert case.delivery(stored).state is State.CANCELLED
    assert case.lapse().settled == 0


def test_the_first_who_accepts_has_it(case: Case) -> None:
    """A repeat by anybody returns the first."""
    stored = case.accept(case.pursued())
    assert [case.acknowledge(stored), case.acknowledge(stored, "bob")] == ["alice", "alice"]
    assert case.kinds(stored).count("acknowledged") == 1


def test_an_acknowledgement_of_any_message_counts_for_the_trouble(case: Case) -> None:
    """Whoever answers a joined message has the incident."""
    first = case.accept(case.pursued(key="INC1"))
    second = case.accept(case.pursued(key="INC1"))
    case.acknowledge(second, "bob")
    assert (case.row(first).accepted_by, case.row(first).level) == ("bob", Level.ACKNOWLEDGED)
    assert case.acknowledge(first) == "bob"


def test_what_ended_without_an_answer_cannot_be_accepted(case: Case) -> None:
    """It is a conflict, and says how it ended."""
    stored = case.accept(case.pursued())
    case.advance(ending="unanswered")
    with pytest.raises(Conflict, match="unanswered"):
        case.acknowledge(stored)
    with pytest.raises(Conflict):
        case.acknowledge(msgspec.structs.replace(stored, message=99))


def test_an_acknowledgement_without_a_pursuit(case: Case) -> None:
    """A person's yes raises any message to acknowledged and stops its copies."""
    stored = case.accept()
    case.acknowledge(stored)
    assert (case.row(stored).ending, case.delivery(stored).state) == ("confirmed", State.CANCELLED)
    assert case.begin() == ()


def test_cancel_stops_what_waits_and_lets_finish_what_is_begun(case: Case) -> None:
    """False if it had ended already."""
    waiting, begun_one = case.accept(case.new(case.leg(link=FAX))), case.accept()
    (begun,) = case.begin()
    assert case.cancel(waiting)
    assert case.cancel(begun_one)
    assert (case.row(waiting).ending, case.row(begun_one).ending) == ("cancelled", None)
    assert case.begin(FAX) == ()
    case.conclude(begun)
    assert case.row(begun_one).ending == "confirmed"
    assert not case.cancel(waiting)
    assert case.kinds(waiting) == ["stored", "stopped", "cancelled"]


def test_cancelling_the_pursued_message_ends_the_pursuit(case: Case) -> None:
    """A joined message can be withdrawn alone; the pursuit goes on for the others."""
    first = case.accept(case.pursued(key="INC1"))
    second = case.accept(case.pursued(key="INC1"))
    assert case.cancel(second)
    assert (case.row(first).ending, case.row(second).ending) == (None, "cancelled")
    assert case.cancel(first)
    assert case.row(first).ending == "cancelled"
    assert run(case.store.pursuit.next_due()) is None


def test_an_incident_is_found_by_its_clients_name_or_any_message_of_it(case: Case) -> None:
    """With its messages, newest first, bounded; another client's does not exist."""
    first = case.accept(case.pursued(key="INC1"))
    second = case.accept(case.pursued(key="INC1"))
    third = case.accept(case.pursued(key="INC1", refs=()))
    row = case.incident("INC1", client="helpdesk", limit=2)
    assert (row.key, row.first, row.count) == ("INC1", first.public_id, 3)
    assert [one.public_id for one in row.messages] == [third.public_id, second.public_id]
    assert [event.kind for event in row.main.timeline] == ["stored"]
    for name in (second.public_id, second.public_id.upper(), str(second.ref), str(second.ref).lower()):
        assert case.incident(name, limit=2) == row
    for name, client in (("INC1", "other"), (second.public_id, "other"), ("INC2", None), ("", None)):
        assert run(case.store.records.incident(name, client=client, limit=2)) is None
    alone = case.accept()
    assert run(case.store.records.incident(alone.public_id, client=None, limit=2)) is None


def test_a_name_means_the_open_incident_or_the_newest(case: Case) -> None:
    """After its end a name may begin again; of several clients' open ones nobody guesses."""
    old = case.accept(case.pursued(key="INC1"))
    case.acknowledge(old)
    assert case.incident("INC1").ending == "confirmed"
    new = case.accept(case.pursued(key="INC1"))
    assert case.incident("INC1").first == new.public_id
    case.cancel(new)
    assert (case.incident("INC1").first, case.incident("INC1").ending) == (new.public_id, "cancelled")
    case.accept(case.pursued(key="INC1"))
    other = case.accept(case.pursued(key="INC1", client="ward"))
    with pytest.raises(Conflict, match="several clients"):
        case.incident("INC1")
    assert case.incident("INC1", client="ward").first == other.public_id


def test_resolving_ends_the_pursuit_and_stops_what_waits(case: Case) -> None:
    """Every message of it has ended as cancelled and says who resolved it; what is begun finishes."""
    legs = (case.leg(message_class=MessageClass.CRITICAL), case.leg(leg=1, link=FAX))
    first = case.accept(case.pursued(key="INC1", deliveries=legs))
    second = case.accept(case.pursued(key="INC1"))
    begun = case.begin()[0]
    assert case.resolve("INC1")
    assert not case.resolve("INC1")
    case.reopen()
    assert case.incident("INC1").ending == "cancelled"
    assert [one.ending for one in (case.row(first), case.row(second))] == ["cancelled"] * 2
    for stored in (first, second):
        event = next(event for event in case.row(stored).timeline if event.kind == "resolved")
        assert event.data == {"by": "dana", "recorded_by": "console", "why": "disk was changed"}
    assert case.delivery(first, 1).state is State.CANCELLED
    assert case.begin(FAX) == ()
    assert begun.delivery == case.delivery(first).delivery
    assert run(case.store.pursuit.next_due()) is None
    assert not case.accept(case.pursued(key="INC1")).joined


def test_a_mute_is_on_record_and_makes_the_incident_due(case: Case) -> None:
    """Whoever decided before it decides anew; it outlives the process; lifting it is an event too."""
    stored = case.accept(case.pursued(key="INC1", message_class=MessageClass.URGENT))
    before = run(case.store.pursuit.due(Instant(1 << 60), 1))[0]
    until = later(case.now, 1800)
    case.mute("INC1", 1800.0)
    stale = Advance(incident=before.incident, version=before.version, at=case.now, ending="failed")
    assert run(case.store.pursuit.advance(stale)) is False
    case.crash()
    facts = run(case.store.pursuit.due(case.now, 1))[0]
    assert (facts.muted_until, case.row(stored).muted_until) == (until, until)
    case.mute("INC1", None)
    assert case.row(stored).muted_until is None
    assert [(event.kind, event.data) for event in case.row(stored).timeline[1:]] == [
        ("muted", {"by": "dana", "recorded_by": "console", "until": until}),
        ("unmuted", {"by": "dana", "recorded_by": "console"}),
    ]


def test_what_is_critical_is_not_muted_by_accident(case: Case) -> None:
    """Only with even_critical; what has ended is not muted at all; a refusal changes nothing."""
    stored = case.accept(case.pursued(key="INC1"))
    with pytest.raises(Conflict, match="critical"):
        case.mute("INC1", 60.0)
    assert case.row(stored).muted_until is None
    case.mute("INC1", 60.0, even_critical=True)
    assert case.row(stored).muted_until == later(case.now, 60)
    case.mute("INC1", None)
    case.acknowledge(stored)
    with pytest.raises(Conflict, match="ended as confirmed"):
        case.mute("INC1", 60.0, even_critical=True)


def test_a_message_of_a_higher_class_ends_a_mute(case: Case) -> None:
    """What has become worse is heard; a repeat of the same class changes nothing."""
    case.accept(case.pursued(key="INC1", message_class=MessageClass.URGENT))
    case.mute("INC1", 60.0)
    case.accept(case.pursued(key="INC1", message_class=MessageClass.URGENT))
    assert case.incident("INC1").main.muted_until is not None
    worse = case.accept(case.pursued(key="INC1"))
    assert worse.joined
    assert case.incident("INC1").main.public_id == worse.public_id
    assert case.incident("INC1").main.muted_until is None


def test_retry_opens_what_ended_without_being_taken(case: Case) -> None:
    """A new delivery for each leg that failed; the pursuit is open again."""
    stored = case.accept(case.pursued())
    (begun,) = case.begin()
    case.conclude(begun, Happening.REFUSED)
    case.advance(ending="failed")
    deadline = later(case.now, 60)
    assert run(case.store.desk.retry(stored.message, by="dana", now=case.now, deadline=deadline)) == 1
    row = case.row(stored)
    assert (row.ending, [one.state for one in row.deliveries]) == (None, [State.FAILED, State.WAITING])
    assert row.deliveries[1].deadline == deadline
    assert len(run(case.store.pursuit.due(case.now, 1))) == 1
    assert run(case.store.desk.retry(stored.message, by="dana", now=case.now, deadline=deadline)) == 0
    assert len(case.begin()) == 1


def test_paused_deliveries_wait_until_they_are_continued(case: Case) -> None:
    """They are never begun, and their deadline still counts."""
    stored = case.accept()
    desk = case.store.desk
    assert run(desk.pause(stored.message, by="dana", now=case.now)) == 1
    assert run(desk.pause(stored.message, by="dana", now=case.now)) == 0
    assert (case.begin(), case.delivery(stored).reason, case.delivery(stored).due) == ((), "paused", None)
    assert run(desk.resume(stored.message, by="dana", now=case.now)) == 1
    assert len(case.begin()) == 1
    assert case.kinds(stored) == ["stored", "paused", "resumed"]


@pytest.mark.parametrize("again", [True, False])
def test_a_person_decides_about_what_is_held(case: Case, again: bool) -> None:
    """Send again, with the risk of a copy, or leave it."""
    stored = case.accept()
    (begun,) = case.begin()
    case.doubt(begun, then="hold", due=0)
    case.lapse()
    assert case.delivery(stored).state.token == "needs_decision"
    decide = case.store.desk.decide
    assert run(decide(stored.message, again=again, by="dana", now=case.now)) == 1
    assert case.row(stored).ending == (None if again else "failed")
    assert [one.dup_risk for one in case.begin()] == ([True] if again else [])
    assert run(decide(stored.message, again=again, by="dana", now=case.now)) == 0


def test_a_switched_off_link_stays_so(case: Case) -> None:
    """Modes are kept over restarts, with who and why; open is the absence of one."""
    desk = case.store.desk
    run(desk.set_link(WEB, "suspended", by="dana", why="maintenance", now=case.now))
    run(desk.set_link(FAX, "draining", by="dana", why=None, now=case.now))
    case.reopen()
    modes = run(case.store.records.link_modes())
    assert modes == {WEB: ("suspended", "dana", "maintenance"), FAX: ("draining", "dana", None)}
    run(case.store.desk.set_link(WEB, "open", by="dana", why=None, now=case.now))
    assert list(run(case.store.records.link_modes())) == [FAX]


def test_deliveries_of_a_removed_link_are_cancelled(case: Case) -> None:
    """With an event, and their incidents due so that the next leg opens; what is begun finishes."""
    pursued, plain = case.accept(case.pursued()), case.accept()
    (begun,) = case.begin(limit=1)
    other = case.accept(case.new(case.leg(link=FAX)))
    assert run(case.store.desk.drop_link(WEB, case.now)) == 1
    assert (case.delivery(plain).state, case.delivery(plain).reason) == (State.CANCELLED, "link_removed")
    assert case.delivery(pursued).state is State.BEGUN
    assert case.delivery(other).state is State.WAITING
    case.conclude(begun, Happening.LATER, due=case.now, tries=1)
    assert case.delivery(pursued).state is State.CANCELLED
    assert run(case.store.desk.drop_link(LinkName("no.link"), case.now)) == 0


def test_what_a_killed_process_had_begun_on_a_removed_link_ends(case: Case) -> None:
    """Nobody runs that lane any more: it may have been sent, and it goes no further."""
    stored = case.accept(case.pursued())
    case.begin()
    case.crash()
    assert run(case.store.desk.drop_link(WEB, case.now)) == 1
    assert case.delivery(stored).state is State.CANCELLED
    (facts,) = run(case.store.pursuit.due(case.now, 1))
    assert facts.legs[0].possibly_sent


# ---------------------------------------------------------------- looking


def test_a_message_is_found_by_id_or_reference_by_its_client(case: Case) -> None:
    """The newest with a reference; other clients see nothing."""
    first = case.accept(case.pursued())
    case.acknowledge(first)
    case.wait(25 * HOUR)
    assert run(case.store.housekeeping.forget_keys(later(case.now, -24 * HOUR), 9)) == 1
    second = case.accept(case.pursued())
    records = case.store.records
    assert (first.ref, second.ref) == ("7K3M", "7K3M")
    found = run(records.message("7k3m", client="helpdesk"))
    assert found is not None
    assert found.message == second.message
    found = run(records.message(first.public_id.upper(), client=None))
    assert found is not None
    assert found.message == first.message
    assert run(records.message("7K3M", client="other")) is None
    assert run(records.message("nothing", client=None)) is None


def test_lists_are_newest_first_and_paged(case: Case) -> None:
    """Open, ended, all; per client; without timelines."""
    stored = [case.accept(case.new(client=client)) for client in ("a", "b", "a")]
    case.cancel(stored[0])

    def keys(state: str, client: str | None = None, limit: int = 9, before: int | None = None) -> list[int]:
        rows = run(case.store.records.messages(client=client, state=state, limit=limit, before=before))  # type: ignore[arg-type]
        assert all(row.timeline == () for row in rows)
        return [stored.index(next(one for one in stored if one.message == row.message)) for row in rows]

    assert keys("all") == [2, 1, 0]
    assert keys("open") == [2, 1]
    assert keys("ended") == [0]
    assert keys("all", "a") == [2, 0]
    assert keys("all", limit=1) == [2]
    assert keys("all", limit=1, before=stored[2].message) == [1]


def test_what_needs_a_person_is_listed(case: Case) -> None:
    """Held, unanswered, or pursued past its first step without anybody having accepted."""
    held = case.accept()
    (begun,) = case.begin()
    case.doubt(begun, then="hold", due=0)
    case.lapse()
    unanswered = case.accept(case.pursued())
    case.advance(ending="unanswered")
    case.accept(case.pursued())
    pressing = case.accept(case.pursued())
    facts = next(
        one for one in run(case.store.pursuit.due(Instant(1 << 60), 9)) if one.message == pressing.message
    )
    case.advance(
        incident=facts.incident, version=facts.version, open=(case.leg(leg=2),), due=case.now, why="next_leg"
    )
    rows = run(case.store.records.messages(client=None, state="needs_you", limit=9, before=None))
    assert [row.message for row in rows] == [pressing.message, unanswered.message, held.message]


def test_counts_are_by_link_state_and_class(case: Case) -> None:
    """What is not final, and since when the oldest is open."""
    case.accept()
    case.wait(5)
    case.accept()
    case.accept(case.new(case.leg(link=FAX, message_class=MessageClass.BULK)))
    case.begin(limit=1)
    found = [
        (one.link, one.state, one.message_class, one.count, one.oldest - START)
        for one in run(case.store.records.counts())
    ]
    five = 5_000_000
    assert found == [
        (FAX, State.WAITING, MessageClass.BULK, 1, five),
        (WEB, State.WAITING, MessageClass.NORMAL, 1, five),
        (WEB, State.BEGUN, MessageClass.NORMAL, 1, 0),
    ]


# ---------------------------------------------------------------- forgetting


def test_texts_are_forgotten_after_the_end(case: Case) -> None:
    """In chunks; open messages keep theirs; the evidence stays."""
    stored = [case.accept() for _ in range(4)]
    for begun in case.begin(limit=3):
        case.conclude(begun)
    case.wait(1)
    house = case.store.housekeeping
    assert run(house.forget_texts(later(case.now, -1), 9)) == 0
    assert run(house.forget_texts(case.now, 2)) == 2
    assert run(house.forget_texts(case.now, 2)) == 1
    assert run(house.forget_texts(case.now, 2)) == 0
    assert [case.row(one).content is None for one in stored] == [True, True, True, False]
    assert case.row(stored[0]).ending == "confirmed"
    assert len(case.begin()) == 1


def test_an_ended_message_can_be_forgotten_altogether(case: Case) -> None:
    """With its deliveries, events and receipts; an open or pursued one is not touched, an unknown one is gone."""
    other = case.accept()
    stored = case.accept()
    house = case.store.housekeeping
    assert run(house.forget_message(stored.public_id)) is False
    for begun in case.begin(limit=2):
        case.conclude(begun, refs=(CarrierRef(scope="spok", ref=f"r{begun.message}"),))
    case.report(f"r{stored.message}", state="x", level=Level.READ)
    assert case.row(stored).level is Level.READ
    assert run(house.forget_message(stored.public_id)) is True
    assert run(house.forget_message(stored.public_id)) is True
    assert run(case.store.records.message(stored.public_id, client=None)) is None
    assert case.row(other).ending == "confirmed"
    assert case.report(f"r{stored.message}", state="x", level=Level.READ) == "unmatched"
    pursued = case.accept(case.pursued())
    case.acknowledge(pursued)
    with pytest.raises(Conflict):
        run(house.forget_message(pursued.public_id))
    case.reopen()
    assert run(case.store.records.message(stored.public_id, client=None)) is None
    assert case.accept().message not in (other.message, pursued.message)


def test_a_message_without_its_text_is_not_sent_again(case: Case) -> None:
    """Retry says so instead of sending something else."""
    stored = case.accept()
    (begun,) = case.begin()
    case.conclude(begun, Happening.REFUSED)
    case.wait(1)
    run(case.store.housekeeping.forget_texts(case.now, 9))
    with pytest.raises(Conflict, match="text"):
        run(case.store.desk.retry(stored.message, by="dana", now=case.now, deadline=later(case.now, 9)))


def test_keys_and_unmatched_receipts_are_forgotten(case: Case) -> None:
    """Idempotency keys, receipts that nobody asked for, and references of what ended."""
    case.accept(case.new(idempotency_key="k", request_hash=b"h"))
    ended = case.accept(case.pursued())
    case.acknowledge(ended)
    case.report("r1", state="x")
    case.wait(1)
    house = case.store.housekeeping
    assert run(house.forget_keys(case.now, 1)) == 1
    assert run(house.forget_keys(case.now, 9)) == 2
    assert run(house.forget_keys(case.now, 9)) == 0
    assert run(case.store.intake.remembered("helpdesk", "k", case.now)) is None
    assert case.report("r1", state="x") == "unmatched"
    assert case.accept(case.new(refs=(Ref("7K3M"),))).ref == "7K3M"


# ---------------------------------------------------------------- one unit never harms another


def test_a_unit_that_breaks_fails_alone(case: Case) -> None:
    """Of accepts that ride in one commit the good ones are stored."""
    twin = case.new()
    case.accept(twin)
    told = case.together(case.new(), twin, case.new())
    assert [isinstance(one, Conflict) for one in told] == [False, True, False]
    assert case.store.intake.backlog == 3


def test_accepting_into_an_incident_needs_no_key(case: Case) -> None:
    """Messages without a key for the trouble have a pursuit each."""
    new = NewIncident(key=None, plan=LEGS, due=case.now)
    stored = [case.accept(case.new(incident=new, until=Level.ACKNOWLEDGED)) for _ in range(2)]
    assert case.row(stored[0]).incident != case.row(stored[1]).incident


# ---------------------------------------------------------------- pages in parts


def in_parts(case: Case, *taken: int, doubted: tuple[int, ...] = ()) -> PartsTaken:
    return PartsTaken(7, 3).with_taken(*taken).with_doubt(*doubted)


def test_parts_that_were_taken_are_remembered(case: Case) -> None:
    """What the carrier took of a page in parts is known at the next try, after a crash, too; and the timeline
    says which are missing."""
    stored = case.accept()
    (begun,) = case.begin()
    assert begun.parts is None
    case.conclude(begun, Happening.LATER, outcome="later", due=case.now, tries=1, parts=in_parts(case, 1))
    case.crash()
    case.hold()
    (again,) = case.begin()
    assert again.parts == in_parts(case, 1)
    (event,) = [one for one in case.row(stored).timeline if one.kind == "attempt"]
    assert (event.data["parts"], tuple(event.data["missing"])) == (3, (2, 3))


def test_the_level_is_the_lowest_of_its_parts(case: Case) -> None:
    """A receipt for one part of three proves nothing of the others, even if those cannot be asked about."""
    stored = case.accept()
    (begun,) = case.begin()
    case.conclude(begun, refs=case.refs("a", "b"), parts=in_parts(case, 1, 2, 3))
    case.report("a", "read", level=Level.READ)
    case.report("b", "read", level=Level.ON_DEVICE)
    assert case.row(stored).level is Level.HANDED_OVER


def test_a_receipt_settles_the_doubt_about_its_own_part(case: Case) -> None:
    """Part two was in doubt and has arrived: only the third is still to be sent. When the last one is proven,
    too, the page was taken."""
    stored = case.accept()
    (begun,) = case.begin()
    case.conclude(
        begun,
        Happening.IN_DOUBT,
        outcome="in_doubt",
        due=later(case.now, 60),
        then="resend",
        doubts=1,
        parts=in_parts(case, 1, doubted=(2,)),
    )
    case.report(of_part(begun.correlation, 2), "delivered", level=Level.ON_DEVICE)
    assert case.delivery(stored).state is State.DOUBT
    case.wait(60)
    case.lapse()
    (again,) = case.begin()
    assert again.parts is not None
    assert again.parts.missing == (3,)
    case.conclude(
        again,
        Happening.IN_DOUBT,
        outcome="in_doubt",
        due=later(case.now, 60),
        then="hold",
        doubts=1,
        parts=again.parts.with_doubt(3),
    )
    case.report(of_part(begun.correlation, 3), "delivered", level=Level.ON_DEVICE)
    assert case.delivery(stored).state is State.TAKEN


def test_only_what_left_us_is_assumed_to_have_arrived(case: Case) -> None:
    """Where a doubt is settled by assuming, parts that were never sent are sent."""
    stored = case.accept()
    (begun,) = case.begin()
    doubt = {"outcome": "in_doubt", "due": later(case.now, 60), "then": "assume", "doubts": 1}
    case.conclude(begun, Happening.IN_DOUBT, parts=in_parts(case, 1, doubted=(2,)), **doubt)
    case.wait(60)
    case.lapse()
    (again,) = case.begin()
    assert again.parts is not None
    assert again.parts.missing == (3,)
    case.conclude(again, Happening.IN_DOUBT, parts=again.parts.with_doubt(3), **doubt)
    case.wait(60)
    case.lapse()
    assert case.delivery(stored).state is State.TAKEN


def test_a_receipt_that_comes_early_is_about_its_own_part(case: Case) -> None:
    """The carrier told of part two before we had written down that it is in doubt: it counts for part two."""
    case.accept()
    (begun,) = case.begin()
    case.report(of_part(begun.correlation, 2), "delivered", level=Level.ON_DEVICE)
    doubt = {"outcome": "in_doubt", "due": later(case.now, 60), "then": "resend", "doubts": 1}
    case.conclude(begun, Happening.IN_DOUBT, parts=in_parts(case, 1, doubted=(2,)), **doubt)
    case.wait(60)
    case.lapse()
    (again,) = case.begin()
    assert again.parts is not None
    assert again.parts.missing == (3,)
