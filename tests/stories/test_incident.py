"""Several messages about one trouble."""

from __future__ import annotations

from gateway.outcome import Level
from tests.stories.conftest import Tell
from tests.stories.world import CRITICAL, NORMAL, ONE, PAGER, TWO, URGENT


def test_a_second_message_joins_and_pages_nobody(tell: Tell) -> None:
    """While the trouble is open the same key pages once; both messages end together."""
    story = tell(terminals={ONE: {}, TWO: {}})
    first = story.page("alice", message_class=CRITICAL, until=None, incident="pump-4")
    story.forward(5)
    second = story.page("alice", text="again", message_class=CRITICAL, until=None, incident="pump-4")
    assert "open already" in second.body["says"]
    story.forward(30)
    assert len(story.copies(PAGER)) == 1
    story.acknowledge(second)
    assert (story.look(first).ending, story.look(second).ending) == ("confirmed", "confirmed")


def test_a_higher_class_pages_again(tell: Tell) -> None:
    """The trouble got worse: the pager hears of it."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.page("alice", text="warm", message_class=NORMAL, until=Level.ACKNOWLEDGED, incident="fridge")
    story.forward(5)
    story.page("alice", text="hot", message_class=CRITICAL, until=None, incident="fridge")
    story.forward(5)
    assert [copy.text for copy in story.copies(PAGER)] == ["warm", "hot"]
    story.page("alice", text="hotter", message_class=URGENT, until=None, incident="fridge")
    story.forward(5)
    assert len(story.copies(PAGER)) == 2


def test_after_the_end_the_key_is_free(tell: Tell) -> None:
    """A new trouble of the same name is a new incident and pages."""
    story = tell(terminals={ONE: {}, TWO: {}})
    first = story.page("alice", message_class=CRITICAL, until=None, incident="pump-4")
    story.forward(5)
    story.acknowledge(first)
    story.page("alice", text="again", message_class=CRITICAL, until=None, incident="pump-4")
    story.forward(5)
    assert [copy.text for copy in story.copies(PAGER)] == ["Cath lab 2", "again"]


def test_joining_survives_a_crash(tell: Tell) -> None:
    """An incident is a row, not a memory."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.page("alice", message_class=CRITICAL, until=None, incident="pump-4")
    story.forward(5)
    story.crash()
    story.page("alice", text="again", message_class=CRITICAL, until=None, incident="pump-4")
    story.forward(30)
    assert len(story.copies(PAGER)) == 1
