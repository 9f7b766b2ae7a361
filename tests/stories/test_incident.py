"""Several messages about one trouble."""

from __future__ import annotations

import pytest

from gateway.outcome import Level
from tests.stories.conftest import Tell
from tests.stories.doors import call
from tests.stories.world import CRITICAL, NORMAL, ONE, PAGER, TWO, URGENT

MUTE = {"for": "30m", "by": "bob"}


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_a_muted_incident_pages_nobody_else_until_the_mute_ends(tell: Tell, disk: str) -> None:
    """The first way refuses, and the second is tried half an hour later; a restart does not forget it."""
    story = tell(terminals={ONE: {}, TWO: {}}, disk=disk)
    story.weather(ONE, blackhole=True)
    page = story.page("alice", message_class=URGENT, incident="INC1", until=Level.ACKNOWLEDGED)
    assert call(story, "POST", "/v1/incidents/INC1/mute", MUTE)[0] == 200
    story.forward(minutes=5)
    story.crash()
    story.forward(minutes=24)
    assert story.copies() == []
    assert story.look(page).ending is None
    story.forward(minutes=2)
    assert [copy.by for copy in story.copies()] == [TWO]
    assert [event.data["why"] for event in story.events(page, "leg_opened")] == ["path_down"]


def test_a_muted_incident_is_heard_when_it_gets_worse(tell: Tell) -> None:
    """A critical message of the same name pages at once."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, blackhole=True)
    story.page("alice", message_class=URGENT, incident="INC1", until=Level.ACKNOWLEDGED)
    call(story, "POST", "/v1/incidents/INC1/mute", MUTE)
    story.forward(minutes=5)
    story.page("alice", text="worse", message_class=CRITICAL, incident="INC1")
    story.forward(15)
    assert [copy.text for copy in story.copies()] == ["worse"]


def test_nobody_is_unanswered_while_muted_but_then(tell: Tell) -> None:
    """The pager has it and nobody answers: silence is told when the mute ends, not before."""
    story = tell(terminals={ONE: {}})
    page = story.page("alice", message_class=URGENT, incident="INC1", until=Level.ACKNOWLEDGED)
    story.forward(5)
    call(story, "POST", "/v1/incidents/INC1/mute", MUTE)
    story.forward(minutes=29)
    assert story.look(page).ending is None
    story.forward(minutes=2)
    assert story.look(page).ending == "unanswered"


def test_what_is_resolved_stops(tell: Tell) -> None:
    """Nobody else is paged, every message has ended; the next one of that name is a new trouble."""
    story = tell(terminals={ONE: {}, TWO: {}})
    for at in (ONE, TWO):
        story.weather(at, blackhole=True)
    pages = [
        story.page("both", message_class=URGENT, incident="INC1", until=Level.ACKNOWLEDGED) for _ in range(2)
    ]
    story.forward(20)
    status, answer = call(story, "POST", "/v1/incidents/INC1/resolve", {"why": "disk was changed"})
    assert (status, answer["changed"], answer["incident"]["outcome"]) == (200, 1, "cancelled")
    assert answer["incident"]["says"] == "The trouble is over, says root: disk was changed."
    for at in (ONE, TWO):
        story.weather(at)
    story.forward(minutes=10)
    assert story.copies() == []
    assert [story.look(page).ending for page in pages] == ["cancelled"] * 2
    story.page("alice", text="again", message_class=URGENT, incident="INC1", until=Level.ACKNOWLEDGED)
    story.forward(30)
    assert {copy.text for copy in story.copies()} == {"again"}


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
