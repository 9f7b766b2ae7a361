"""People answer, stop, hold back, and do not answer."""

from __future__ import annotations

import pytest

from gateway.lifecycle import State
from gateway.outcome import Level
from tests.stories.conftest import Tell
from tests.stories.world import ALICE, BULK, CRITICAL, DIRECT, NORMAL, ONE, PAGER, SETTINGS, TWO, URGENT

TWO_DEVICES = SETTINGS.replace(
    f'devices: {{pager: "spok:{PAGER}"}}', f'devices: {{pager: "spok:{PAGER}", spare: "spok:5550000"}}'
)


def test_an_acknowledgement_ends_it(tell: Tell) -> None:
    """Alice has it: confirmed, acknowledged, and nothing more is begun."""
    story = tell(TWO_DEVICES, terminals={ONE: {}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL, until=None)
    story.forward(30)
    story.acknowledge(sent)
    row = story.look(sent)
    assert (row.ending, row.level, row.accepted_by) == ("confirmed", Level.ACKNOWLEDGED, "alice")
    copies = len(story.copies())
    story.forward(hours=1)
    assert len(story.copies()) == copies


def test_an_acknowledgement_stops_waiting_copies_and_what_is_begun_finishes(tell: Tell) -> None:
    """The copy on its way arrives and is on record; the one that waited never leaves."""
    story = tell(terminals={ONE: {}, TWO: {"delay": 20.0}})
    story.weather(ONE, refuse=True)
    sent = story.page("both", message_class=CRITICAL, until=Level.ACKNOWLEDGED)
    story.wait_for(lambda: story.terminals[TWO].asked)
    story.forward(5)
    story.acknowledge(sent)
    acknowledged = story.now
    story.forward(1)
    story.weather(ONE)
    story.forward(hours=1)
    begun = [at for at, _ in story.terminals[TWO].asked + story.terminals[ONE].asked]
    assert max(begun) <= acknowledged
    states = [leg.state for leg in story.legs(sent)]
    assert State.WAITING not in states
    assert states.count(State.TAKEN) == len(story.copies()) == 1
    assert story.copies()[0].at > acknowledged


def test_nobody_answers(tell: Tell) -> None:
    """Two minutes after a critical page reached the pager without an answer: unanswered, loudly."""
    story = tell(terminals={ONE: {}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL, until=None)
    story.forward(119)
    assert story.look(sent).ending is None
    story.forward(4)
    row = story.look(sent)
    assert (row.ending, row.level) == ("unanswered", Level.HANDED_OVER)
    assert row.timeline[-1].kind == "ended"
    (found,) = story.run(story.store.records.messages(client=None, state="needs_you", limit=9, before=None))
    assert found.public_id == sent.id


def test_nobody_answers_a_page_that_took_the_other_link(tell: Tell) -> None:
    """The copy that waited on the first link is stopped, and the answer is still waited for, not for ever."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, blackhole=True)
    sent = story.page("alice", message_class=CRITICAL, until=None)
    story.forward(minutes=3)
    assert [leg.state for leg in story.legs(sent)] == [State.CANCELLED, State.TAKEN]
    assert story.look(sent).ending == "unanswered"


def test_a_late_carrier_leaves_the_whole_step_for_the_answer(tell: Tell) -> None:
    """Who is reached after ten minutes still has two minutes to answer."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, refuse=True)
    story.weather(TWO, refuse=True)
    sent = story.page("alice", message_class=CRITICAL, until=None)
    story.forward(minutes=10)
    story.weather(ONE)
    story.wait_for(lambda: story.copies(PAGER))
    story.forward(110)
    assert story.look(sent).ending is None
    story.acknowledge(sent)
    assert story.look(sent).ending == "confirmed"


@pytest.mark.parametrize("message_class", [CRITICAL, NORMAL, BULK])
def test_a_cancelled_page_is_not_begun(tell: Tell, message_class: object) -> None:
    """What waits never goes out, and the message ends as cancelled."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    sent = story.page(ALICE, message_class=message_class)
    story.forward(5)
    assert story.cancel(sent)
    story.weather(ONE)
    story.forward(hours=2)
    assert story.copies() == []
    assert story.look(sent).ending == "cancelled"
    assert not story.cancel(sent)


def test_a_page_that_is_begun_when_it_is_cancelled_finishes(tell: Tell) -> None:
    """The carrier has it: that is on record, and it is not tried again."""
    story = tell(DIRECT, terminals={ONE: {"delay": 10.0, "lose_answer": 0}})
    sent = story.page(ALICE, message_class=URGENT)
    story.forward(5)
    story.cancel(sent)
    story.terminal(ONE)
    story.forward(minutes=10)
    assert len(story.copies(PAGER)) == 1
    assert story.look(sent).ending == "cancelled"


def test_a_paused_page_waits_until_somebody_goes_on(tell: Tell) -> None:
    """Held back by an operator, also over a restart; then it goes out at once."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    sent = story.page(ALICE, message_class=NORMAL)
    story.forward(2)
    assert story.pause(sent) == 1
    story.weather(ONE)
    story.forward(minutes=30)
    story.crash()
    story.forward(minutes=30)
    assert story.copies() == []
    assert story.go_on(sent) == 1
    assert story.wait_for(lambda: story.copies(PAGER)) <= 1


def test_a_suspended_link_sends_nothing_and_pages_go_elsewhere(tell: Tell) -> None:
    """Switched off by a person: new pages take the other link at once."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.order("spok.one", "suspended")
    story.page("alice", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 0.5
    story.forward(minutes=5)
    assert [copy.by for copy in story.copies()] == [TWO]
    assert story.terminals[ONE].connected == []
    story.order("spok.one", "open")
    story.page("alice", text="again", message_class=CRITICAL)
    story.forward(2)
    assert [copy.by for copy in story.copies(text="again")] == [ONE]


def test_a_link_that_is_emptied_finishes_what_is_begun(tell: Tell) -> None:
    """Draining: the page under way is taken, what waits goes over the other link."""
    story = tell(terminals={ONE: {"delay": 5.0}, TWO: {}})
    first = story.page("alice", text="first", message_class=NORMAL)
    story.forward(1)
    second = story.page("alice", text="second", message_class=NORMAL)
    story.order("spok.one", "draining")
    story.forward(30)
    assert [(copy.text, copy.by) for copy in story.copies()] == [("second", TWO), ("first", ONE)]
    assert (story.look(first).ending, story.look(second).ending) == ("confirmed", "confirmed")
    story.forward(30)
    assert story.link("spok.one").sessions == 0


def test_suspended_and_alone_it_waits_and_goes_out_when_resumed(tell: Tell) -> None:
    """Without another way the page waits; resuming sends it within a second."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.order("spok.one", "suspended")
    story.page(ALICE, message_class=NORMAL)
    story.forward(minutes=50)
    assert story.copies() == []
    story.order("spok.one", "open")
    assert story.wait_for(lambda: story.copies(PAGER)) <= 1
