"""What is broken inside: an adapter that raises, a row that was changed, a disk that fails."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import pursue
from gateway.lifecycle import State
from gateway.model import Instant, Page
from gateway.outcome import InDoubt, NotSent, Outcome, Taken
from gateway.people.escalate import next_move
from gateway.store.base import Advance, Facts
from gateway.store.memory import MemoryStore
from tests.stories.conftest import Tell
from tests.stories.wide import WIDE, Desk
from tests.stories.world import CRITICAL, NORMAL, ONE, PAGER, TWO, URGENT, Story


def poison(page: Page) -> Outcome | Exception:
    return ValueError("a bug of the adapter") if "poison" in page.text else Taken()


def wide(tell: Tell, desk: Desk) -> Story:
    return tell(WIDE, adapters={"wide": desk.spec()})


def test_f49_a_page_that_breaks_its_adapter_is_quarantined_after_three_times(tell: Tell) -> None:
    """It fails with an event; an adapter's bug is in the log each time (F49)."""
    desk = Desk()
    desk.says = poison
    story = wide(tell, desk)
    sent = story.page("desk:1", text="poison", message_class=URGENT)
    story.forward(minutes=10)
    assert len(desk.pages) == 3
    row = story.look(sent)
    assert (row.ending, row.deliveries[0].reason) == ("failed", "quarantined")
    assert story.events(sent, "quarantined")
    assert story.expect_failures("adapter broke") == 3


def test_f49_other_pages_go_on_meanwhile(tell: Tell) -> None:
    """The lane of a poisonous page is late by a second at the most (F49)."""
    desk = Desk()
    desk.takes = 0.1
    desk.says = poison
    story = wide(tell, desk)
    story.page("desk:1", text="poison", message_class=CRITICAL)
    for number in range(60):
        story.forward(1)
        before = len(desk.pages)
        story.page("desk:2", text=f"page {number}", message_class=NORMAL)
        assert story.wait_for(lambda b=before: len(desk.pages) > b) <= 1
    story.expect_failures("adapter broke")


def test_a_poisonous_page_alone_does_not_rest_its_link(tell: Tell) -> None:
    """Three accidents in a row are our bug and not the carrier's silence: the next page goes out at once."""
    desk = Desk()
    desk.takes = 0.1
    desk.says = poison
    story = wide(tell, desk)
    story.page("desk:1", text="poison", message_class=CRITICAL)
    story.wait_for(lambda: len(desk.pages) == 3)
    story.forward(1)
    story.page("desk:2", message_class=NORMAL)
    assert story.wait_for(lambda: len(desk.pages) == 4) <= 1
    story.expect_failures("adapter broke")


def test_what_an_accident_left_half_said_is_never_part_of_another_page(tell: Tell) -> None:
    """The conversation in which an adapter broke takes nothing more; the next page has one of its own."""
    desk = Desk()
    desk.takes = 0.1
    desk.says = poison
    story = wide(tell, desk)
    story.page("desk:1", text="poison", message_class=NORMAL)
    story.wait_for(lambda: len(desk.pages) == 1)
    story.forward(1)
    story.page("desk:2", message_class=NORMAL)
    story.wait_for(lambda: len(desk.pages) == 2)
    assert len(desk.opened) == 2
    story.expect_failures("adapter broke")


def test_an_incident_that_cannot_be_pursued_is_looked_at_once_a_minute(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own bug about one alert neither spins nor keeps the others waiting."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, refuse=True)
    looked: list[str] = []

    def broken(classes: Any, facts: Facts, now: Instant, outlook: Any) -> Advance:
        if facts.public_id == poisonous.id:
            looked.append(facts.public_id)
            raise ValueError("a bug of the ladder")
        return next_move(classes, facts, now, outlook)

    monkeypatch.setattr(pursue, "next_move", broken)
    poisonous = story.page("bob", text="poison", message_class=CRITICAL)
    other = story.page("alice", text="Cath lab 2", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 3
    before = len(looked)
    story.forward(minutes=5)
    assert before <= 3
    assert 1 <= len(looked) - before <= 12  # once a minute, and when its facts change
    assert story.look(other).deliveries
    story.expect_failures("could not be pursued")


def test_a_page_that_breaks_one_adapter_takes_the_next_way(tell: Tell) -> None:
    """A critical page does not wait for its third accident: the other device has it meanwhile."""
    desk = Desk()
    desk.says = poison
    text = WIDE.replace(
        "people:", f'  spok: {{links: {{one: {{adapter: snpp, at: "{ONE}"}}}}}}\npeople:'
    ).replace('phone: "desk:1"', f'phone: "desk:1", pager: "spok:{PAGER}"')
    story = tell(text, terminals={ONE: {}}, adapters={"wide": desk.spec()})
    sent = story.page("alice", text="poison", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 3
    story.forward(minutes=5)
    assert story.look(sent).ending == "confirmed"
    story.expect_failures("adapter broke")


def test_an_adapter_that_breaks_while_connecting_is_like_a_dead_carrier(tell: Tell) -> None:
    """Nothing was sent, so nothing is in doubt; it is tried again, more and more rarely."""
    desk = Desk()
    spec = desk.spec()
    story = tell(WIDE, adapters={"wide": spec})
    desk.reachable = False
    sent = story.page("desk:1", message_class=URGENT)
    story.forward(60)
    assert story.legs(sent)[0].state is State.WAITING
    desk.reachable = True
    assert story.wait_for(lambda: desk.pages) <= 60
    story.forward(2)
    assert story.look(sent).ending == "confirmed"


def test_while_a_link_rests_nothing_is_begun_although_nobody_hung_up(tell: Tell) -> None:
    """Three submits without an answer: the link rests 15 s although nobody hung up; then it is opened anew,
    and one page decides."""
    desk = Desk()
    desk.takes = 0.5
    desk.says = lambda page: InDoubt(code="no-answer", why="silence")
    story = wide(tell, desk)
    for number in range(40):
        story.page(f"desk:{number}", message_class=NORMAL)
    story.wait_for(lambda: story.link("desk.all").state == "resting")
    story.forward(1)
    begun = len(desk.pages)
    story.forward(12)
    assert len(desk.pages) == begun
    story.forward(6)
    assert len(desk.pages) == begun + 1
    desk.says = lambda page: Taken()
    story.forward(minutes=5)
    assert len({page.address for _, page in desk.pages}) == 40


def test_sent_before_it_is_lost_is_not_in_doubt(tell: Tell) -> None:
    """NotSent is tried again without a mark: no copy is out."""
    desk = Desk()
    desk.says = lambda page: NotSent(code="112", why="session ended")
    story = wide(tell, desk)
    sent = story.page("desk:1", message_class=CRITICAL)
    story.forward(20)
    desk.says = lambda page: Taken()
    story.forward(40)
    assert desk.pages[-1][1].text == "Cath lab 2"
    leg = story.legs(sent)[0]
    assert (leg.state, leg.doubts) == (State.TAKEN, 0)


def test_a_row_that_was_changed_is_never_sent(tell: Tell) -> None:
    """A flipped bit in a stored text: the page is quarantined with an event, not sent to whomever (F13)."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, refuse=True)
    story.weather(TWO, refuse=True)
    sent = story.page("alice", text="bed 4", message_class=NORMAL)
    story.forward(5)
    assert isinstance(story.store, MemoryStore)
    message = story.store._book.messages[story.look(sent).message]
    assert message.content is not None
    message.content = message.content.replace(b"bed 4", b"bed 5")
    other = story.page("alice", text="bed 6", message_class=NORMAL)
    story.weather(ONE)
    story.weather(TWO)
    story.forward(minutes=10)
    assert [copy.text for copy in story.copies()] == ["bed 6"]
    assert story.look(sent).ending == "failed"
    assert story.events(sent, "quarantined")
    assert story.look(other).ending == "confirmed"


def test_late_proof_settles_a_doubt(tell: Tell) -> None:
    """The carrier reports a page whose answer was lost: taken, and no third copy (F37)."""
    desk = Desk()
    desk.takes = 0.1
    desk.says = lambda page: InDoubt(code="no-answer", why="silence")
    story = wide(tell, desk)
    sent = story.page("desk:1", message_class=NORMAL)
    story.forward(10)
    assert story.legs(sent)[0].state is State.DOUBT
    _report(story, desk, desk.pages[0][1].correlation)
    story.forward(hours=1)
    row = story.look(sent)
    assert (row.ending, row.level.token, len(desk.pages)) == ("confirmed", "on_device", 1)


def test_late_proof_after_the_second_copy_was_planned(tell: Tell) -> None:
    """Proof counts too while the second copy waits: it is not sent any more."""
    desk = Desk()
    desk.takes = 0.1
    desk.says = lambda page: InDoubt(code="no-answer", why="silence")
    story = wide(tell, desk)
    sent = story.page("desk:1", message_class=NORMAL)
    story.forward(30)
    story.order("desk.all", "suspended")
    story.forward(40)
    leg = story.legs(sent)[0]
    assert (leg.state, leg.dup_risk) == (State.WAITING, True)
    _report(story, desk, desk.pages[0][1].correlation)
    story.order("desk.all", "open")
    story.forward(minutes=10)
    assert story.look(sent).ending == "confirmed"
    assert len(desk.pages) == 1


def _report(story: Story, desk: Desk, ref: str) -> None:
    from gateway.adapters.base import Evidence
    from gateway.model import LinkName
    from gateway.outcome import Level

    evidence = Evidence(scope="desk", ref=ref, state="delivered", at=story.env.now(), level=Level.ON_DEVICE)
    story.run(desk.reception.report(LinkName("desk.all"), evidence))


def test_a_disk_that_fails_stops_promises_and_sends_nothing_more(tell: Tell) -> None:
    """After the first failed write nothing is accepted and nothing is begun (4.3)."""
    from gateway.errors import StoreFailed

    story = tell(terminals={ONE: {}, TWO: {}})
    story.page("alice", text="before")
    story.forward(2)
    assert isinstance(story.store, MemoryStore)
    story.store.fail("no space, no luck")
    with pytest.raises(StoreFailed):
        story.page("alice", text="after")
    story.forward(60)
    assert [copy.text for copy in story.copies()] == ["before"]
    story.failures.clear()
