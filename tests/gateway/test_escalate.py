"""The ladder: next leg, stop, wait, end; for targets named directly."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.lifecycle import FINAL, State
from gateway.model import (
    DeliveryKey,
    IncidentKey,
    Instant,
    Leg,
    LinkName,
    MessageClass,
    MessageKey,
    PublicId,
    later,
)
from gateway.outcome import Level
from gateway.people.escalate import first_legs, next_move
from gateway.route import Outlook
from gateway.settings.types import ClassSettings
from gateway.store.base import Facts, LegFacts

NOW = Instant(1_800_000_000_000_000)
CLASS = ClassSettings(
    deadline=900.0,
    next_leg_after=10.0,
    waits=(0.0, 5.0),
    step_wait=120.0,
    until=Level.ACKNOWLEDGED,
    in_doubt="resend",
)
CLASSES = dict.fromkeys(MessageClass, CLASS)
CLASSES[MessageClass.NORMAL] = msgspec.structs.replace(CLASS, next_leg_after=None, step_wait=None)


def leg(
    link: str, *, item: int = 0, chain: int = 0, place: int = 0, track: int = 0, path: str = "internet"
) -> Leg:
    return Leg(
        track=track, item=item, chain=chain, place=place, person="alice", device="pager", address="1",
        link=LinkName(link), path=path,
    )  # fmt: skip


WEB, PHONE = leg("spok.web"), leg("spok.phone", place=1, path="phone")
MOBILE = leg("sms.a", chain=1)
MAIL = leg("mail.relay", item=1)


def row(index: int, state: State, **changes: object) -> LegFacts:
    value = LegFacts(
        delivery=DeliveryKey(100 + index),
        message=MessageKey(1),
        leg=index,
        link=LinkName("x.y"),
        state=state,
        level=Level.HANDED_OVER if state is State.TAKEN else Level.STORED,
        opened_at=NOW,
        concluded_at=NOW if state in FINAL else None,
        failures=0,
        doubts=0,
        setback=False,
        possibly_sent=False,
        due=NOW if state is State.WAITING else None,
        deadline=later(NOW, 900),
    )
    return msgspec.structs.replace(value, **changes)


def facts(plan: list[Leg], rows: list[LegFacts], **changes: object) -> Facts:
    value = Facts(
        incident=IncidentKey(9),
        version=3,
        message=MessageKey(1),
        public_id=PublicId("0" * 26),
        client="monitoring",
        message_class=MessageClass.CRITICAL,
        until=Level.ACKNOWLEDGED,
        plan=tuple(plan),
        legs=tuple(rows),
        begun_at=NOW,
        step_started=NOW,
        expires=None,
        accepted_by=None,
    )
    return msgspec.structs.replace(value, **changes)


def opened(move: object) -> list[int]:
    return [new.leg for new in move.open]  # type: ignore[attr-defined]


def test_while_it_is_muted_nothing_is_opened_and_nobodys_time_is_up() -> None:
    """What fell due meanwhile is done when it ends; yes, proof and the client's deadline count at once."""
    end = later(NOW, 1800)
    muted = {"muted_until": end}
    failed = facts([WEB, PHONE], [row(0, State.FAILED)], **muted)
    silent = facts([WEB], [row(0, State.TAKEN)], **muted)
    for one, then in ((failed, [1]), (silent, [])):
        move = next_move(CLASSES, one, later(NOW, 900))
        assert (move.open, move.ending, move.due) == ((), None, end)
        assert opened(next_move(CLASSES, one, end)) == then
    assert next_move(CLASSES, silent, end).ending == "unanswered"
    assert next_move(CLASSES, msgspec.structs.replace(silent, accepted_by="bob"), NOW).ending == "confirmed"
    shorter = msgspec.structs.replace(silent, expires=later(NOW, 60))
    assert next_move(CLASSES, shorter, NOW).due == later(NOW, 60)
    assert next_move(CLASSES, shorter, later(NOW, 60)).ending == "unanswered"


def test_a_copy_that_is_needless_stops_while_it_is_muted() -> None:
    """One way took it: the other need not try on."""
    one = facts([WEB, PHONE], [row(0, State.TAKEN), row(1, State.WAITING)], muted_until=later(NOW, 1800))
    assert next_move(CLASSES, one, NOW).stop == (DeliveryKey(101),)


def test_the_first_legs_are_the_first_link_of_each_device_of_the_first_item() -> None:
    """`pager + mobile, mail`: pager and mobile at once, over their first links."""
    assert first_legs((WEB, PHONE, MOBILE, MAIL)) == (0, 2)


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        (State.FAILED, {}),
        (State.EXPIRED, {}),
        (State.CANCELLED, {}),
        (State.WAITING, {"failures": 1}),
        (State.DOUBT, {"doubts": 1}),
        (State.HELD, {"doubts": 2}),
        (State.TAKEN, {"setback": True}),
    ],
)
def test_the_next_link_opens_when_the_first_got_nowhere(state: State, changes: dict[str, object]) -> None:
    """A failure, a doubt, a setback: the next link of the same device, at once."""
    assert opened(next_move(CLASSES, facts([WEB, PHONE, MAIL], [row(0, state, **changes)]), NOW)) == [1]


def test_the_next_link_opens_when_the_first_still_waits_after_ten_seconds() -> None:
    """A critical page does not wait for a carrier that does not answer."""
    waiting = facts([WEB, PHONE], [row(0, State.WAITING)])
    early = next_move(CLASSES, waiting, later(NOW, 9))
    assert opened(early) == []
    assert early.due == later(NOW, 10)
    assert opened(next_move(CLASSES, waiting, later(NOW, 10))) == [1]


def test_a_normal_page_changes_link_on_failure_only() -> None:
    """Normal and bulk do not hedge."""
    waiting = facts([WEB, PHONE], [row(0, State.WAITING)], message_class=MessageClass.NORMAL)
    assert opened(next_move(CLASSES, waiting, later(NOW, 600))) == []
    failed = facts([WEB, PHONE], [row(0, State.FAILED)], message_class=MessageClass.NORMAL)
    assert opened(next_move(CLASSES, failed, NOW)) == [1]


def test_after_a_link_that_cannot_be_reached_another_path_comes_first() -> None:
    """Critical: the phone is tried before another Internet way; if the carrier answered, or for other classes,
    the order of the file counts."""
    plan = [WEB, leg("spok.snpp", place=1), leg("spok.phone", place=2, path="phone")]
    missed = row(0, State.WAITING, failures=1, connects=1)
    assert opened(next_move(CLASSES, facts(plan, [missed]), NOW)) == [2]
    urgent = facts(plan, [missed], message_class=MessageClass.URGENT)
    assert opened(next_move(CLASSES, urgent, NOW)) == [1]
    refused = facts(plan, [row(0, State.WAITING, failures=1)])
    assert opened(next_move(CLASSES, refused, NOW)) == [1]


def test_the_newest_copy_of_a_device_counts() -> None:
    """After web and phone failed, the middle way is opened; while it waits nothing else is."""
    plan = [WEB, leg("spok.snpp", place=1), leg("spok.phone", place=2, path="phone"), MAIL]
    rows = [
        row(0, State.WAITING, failures=1, connects=1),
        row(2, State.FAILED, opened_at=later(NOW, 1)),
        row(1, State.WAITING, opened_at=later(NOW, 2)),
    ]
    assert opened(next_move(CLASSES, facts(plan, rows), later(NOW, 3))) == []
    assert opened(next_move(CLASSES, facts(plan, rows), later(NOW, 12))) == [3]


DOWN = Outlook(down=frozenset({"internet"}))


def test_when_the_internet_is_down_what_waits_goes_by_phone_at_once() -> None:
    """Critical and urgent, and only while no copy is out or under way; then the phone's fate counts."""
    plan = [WEB, leg("spok.snpp", place=1), leg("spok.phone", place=2, path="phone")]
    waiting = facts(plan, [row(0, State.WAITING)])
    move = next_move(CLASSES, waiting, NOW, DOWN)
    assert opened(move) == [2]
    assert move.open[0].why == {"why": "path_down", "path": "internet", "after": LinkName("x.y")}
    normal = facts(plan, [row(0, State.WAITING)], message_class=MessageClass.NORMAL)
    assert opened(next_move(CLASSES, normal, NOW, DOWN)) == []
    for state in (State.BEGUN, State.TAKEN):
        assert opened(next_move(CLASSES, facts(plan, [row(0, state)]), NOW, DOWN)) == []
    both = [row(0, State.WAITING), row(2, State.WAITING)]
    assert opened(next_move(CLASSES, facts(plan, both), later(NOW, 60), DOWN)) == []
    both[1] = row(2, State.FAILED)
    assert opened(next_move(CLASSES, facts(plan, both), later(NOW, 1), DOWN)) == [1]


def test_when_the_internet_is_down_new_pages_pass_it_over() -> None:
    """Whatever stands first in the plan: the first item with another way is opened by it; nobody is left out."""
    mobile, phone = leg("sms.a"), leg("spok.phone", item=1, path="phone")
    plan = (mobile, phone, MAIL)
    assert first_legs(plan, MessageClass.URGENT, DOWN) == (1,)
    assert first_legs(plan, MessageClass.NORMAL, DOWN) == (0,)
    assert first_legs((mobile, MAIL), MessageClass.CRITICAL, DOWN) == (0,)
    assert first_legs((WEB, PHONE, MOBILE, MAIL), MessageClass.CRITICAL, DOWN) == (1,)


def test_when_the_internet_is_back_what_was_passed_over_has_its_turn() -> None:
    """The device that was passed over is opened only when the others got nowhere."""
    plan = [WEB, PHONE, MOBILE]
    taken = facts(plan, [row(1, State.TAKEN)])
    assert opened(next_move(CLASSES, taken, NOW)) == []
    refused = facts(plan, [row(1, State.FAILED)])
    assert opened(next_move(CLASSES, refused, NOW)) == [0]
    both = facts(plan, [row(1, State.FAILED), row(0, State.FAILED, opened_at=later(NOW, 1))])
    assert opened(next_move(CLASSES, both, NOW)) == [2]


@pytest.mark.parametrize(
    ("state", "changes", "why"),
    [
        (State.FAILED, {}, "refused"),
        (State.EXPIRED, {}, "expired"),
        (State.CANCELLED, {"reason": "link_removed"}, "link_removed"),
        (State.WAITING, {"failures": 1}, "later"),
        (State.WAITING, {"failures": 1, "connects": 1}, "not_reached"),
        (State.WAITING, {"failures": 1, "connects": 1, "code": "maintenance"}, "maintenance"),
        (State.WAITING, {"failures": 1, "connects": 1, "code": "suspended"}, "switched_off"),
        (State.DOUBT, {"doubts": 1}, "doubt"),
        (State.TAKEN, {"setback": True}, "setback"),
        (State.WAITING, {}, "waited"),
    ],
)
def test_each_move_says_why(state: State, changes: dict[str, object], why: str) -> None:
    """What became of the way before, in the event of the next one."""
    move = next_move(CLASSES, facts([WEB, PHONE], [row(0, state, **changes)]), later(NOW, 10))
    assert (move.open[0].why["why"], move.open[0].why["after"]) == (why, "x.y")


def test_the_next_item_opens_when_all_devices_of_this_one_got_nowhere() -> None:
    """`pager + mobile, mail`: mail when neither pager nor mobile goes."""
    plan = [WEB, MOBILE, MAIL]
    one_left = facts(plan, [row(0, State.FAILED), row(1, State.WAITING)])
    assert opened(next_move(CLASSES, one_left, NOW)) == []
    assert opened(next_move(CLASSES, facts(plan, [row(0, State.FAILED), row(1, State.FAILED)]), NOW)) == [2]


def test_a_taken_copy_stops_the_other_links_of_its_device_only() -> None:
    """The phone copy is not needed when the web took it; the mobile still is."""
    rows = [row(0, State.TAKEN), row(1, State.WAITING), row(2, State.WAITING)]
    move = next_move(CLASSES, facts([WEB, PHONE, MOBILE], rows), NOW)
    assert move.stop == (DeliveryKey(101),)


def test_after_copies_were_stopped_it_looks_again() -> None:
    """With the other copy stopped only the answer is missing, and nothing else would wake the incident."""
    rows = [row(0, State.WAITING), row(1, State.TAKEN)]
    move = next_move(CLASSES, facts([WEB, PHONE], rows), later(NOW, 20))
    assert (move.stop, move.due) == ((DeliveryKey(100),), later(NOW, 20))
    rows[0] = row(0, State.CANCELLED)
    after = next_move(CLASSES, facts([WEB, PHONE], rows), later(NOW, 20))
    assert (after.stop, after.due) == ((), later(NOW, 120))


def test_what_is_begun_is_never_stopped() -> None:
    """What left us cannot be called back; it finishes."""
    rows = [row(0, State.TAKEN, level=Level.ACKNOWLEDGED), row(1, State.BEGUN), row(2, State.DOUBT)]
    move = next_move(CLASSES, facts([WEB, PHONE, MOBILE], rows), NOW)
    assert move.ending == "confirmed"
    assert move.stop == (DeliveryKey(102),)


def test_somebody_accepted() -> None:
    """An acknowledgement of any copy counts for all."""
    move = next_move(CLASSES, facts([WEB, MAIL], [row(0, State.WAITING)], accepted_by="alice"), NOW)
    assert (move.ending, move.stop) == ("confirmed", (DeliveryKey(100),))


def test_nobody_accepted() -> None:
    """The carrier took it, nobody answered within the step: unanswered, not silence."""
    taken = facts([WEB], [row(0, State.TAKEN)])
    waiting = next_move(CLASSES, taken, later(NOW, 119))
    assert (waiting.ending, waiting.due) == (None, later(NOW, 120))
    assert next_move(CLASSES, taken, later(NOW, 120)).ending == "unanswered"


def test_somebody_reached_late_still_has_time_to_answer() -> None:
    """A page that got out after ten minutes of outage does not end in the same second."""
    taken = facts([WEB], [row(0, State.TAKEN, concluded_at=later(NOW, 600))])
    assert next_move(CLASSES, taken, later(NOW, 600)).due == later(NOW, 720)


def test_everything_failed() -> None:
    """All ways refused: failed; too late: expired; stopped by hand: cancelled."""
    for state, ending in (
        (State.FAILED, "failed"),
        (State.EXPIRED, "expired"),
        (State.CANCELLED, "cancelled"),
    ):
        assert next_move(CLASSES, facts([WEB, PHONE], [row(0, state), row(1, state)]), NOW).ending == ending


def test_the_client_s_own_limit_ends_it() -> None:
    """`expires_in` bounds the incident too, whatever still waits."""
    move = next_move(CLASSES, facts([WEB], [row(0, State.WAITING)], expires=later(NOW, 60)), later(NOW, 60))
    assert (move.ending, move.stop) == ("expired", (DeliveryKey(100),))


def test_handed_over_to_everybody_is_enough_when_that_was_asked() -> None:
    """A group paged for information: done when each member's carrier has it, not before."""
    plan = [WEB, leg("spok.web", track=1)]
    half = facts(plan, [row(0, State.TAKEN), row(1, State.WAITING)], until=Level.HANDED_OVER)
    assert next_move(CLASSES, half, NOW).ending is None
    whole = facts(plan, [row(0, State.TAKEN), row(1, State.TAKEN)], until=Level.HANDED_OVER)
    assert next_move(CLASSES, whole, NOW).ending == "confirmed"


def test_copies_that_may_be_out_are_counted() -> None:
    """A leg opened after a doubt knows that its page may be a second one."""
    move = next_move(CLASSES, facts([WEB, PHONE], [row(0, State.DOUBT, doubts=1)]), NOW)
    assert move.open[0].copies_before == 1
    move = next_move(CLASSES, facts([WEB, PHONE], [row(0, State.WAITING, failures=1)]), NOW)
    assert move.open[0].copies_before == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1), st.integers(0, 2)),
        min_size=1, max_size=8, unique=True,
    ),
    st.data(),
)  # fmt: skip
@settings(max_examples=150)
def test_every_pursuit_ends(places: list[tuple[int, int, int, int]], data: st.DataObject) -> None:
    """Whatever becomes of each leg, looking when told to look ends the pursuit; no leg is opened twice."""
    plan = [leg(f"l.{n}", track=t, item=i, chain=c, place=p) for n, (t, i, c, p) in enumerate(sorted(places))]
    plan = _compact(plan)
    legs: dict[int, LegFacts] = {n: row(n, State.WAITING) for n in first_legs(tuple(plan))}
    now = NOW
    for _ in range(200):
        move = next_move(CLASSES, facts(plan, [legs[n] for n in sorted(legs)]), now)
        if move.ending is not None:
            return
        for new in move.open:
            assert new.leg not in legs
            legs[new.leg] = row(new.leg, State.WAITING, opened_at=now)
        for key in move.stop:
            index = int(key) - 100
            assert legs[index].state not in FINAL
            legs[index] = row(index, State.CANCELLED)
        unsettled = [n for n in sorted(legs) if legs[n].state not in FINAL]
        if unsettled and data.draw(st.booleans()):
            index = data.draw(st.sampled_from(unsettled))
            state = data.draw(st.sampled_from([State.TAKEN, State.FAILED, State.EXPIRED]))
            legs[index] = row(index, state, concluded_at=now)
        else:
            assert move.due is not None or move.open or move.stop or unsettled
            if not move.open and not move.stop and unsettled and move.due is None:
                legs[unsettled[0]] = row(unsettled[0], State.EXPIRED)
            now = max(now, move.due or now)
    raise AssertionError("the pursuit did not end")


def _compact(plan: list[Leg]) -> list[Leg]:
    """Number tracks, items, chains and places without gaps, as route does."""
    out = []
    for one in plan:
        same = [o for o in plan if o.track == one.track]
        items = sorted({o.item for o in same})
        in_item = [o for o in same if o.item == one.item]
        chains = sorted({o.chain for o in in_item})
        places = sorted({o.place for o in in_item if o.chain == one.chain})
        tracks = sorted({o.track for o in plan})
        out.append(
            msgspec.structs.replace(
                one,
                track=tracks.index(one.track),
                item=items.index(one.item),
                chain=chains.index(one.chain),
                place=places.index(one.place),
            )
        )
    return out
