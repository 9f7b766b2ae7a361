"""How long a page is worth sending, and when it may begin."""

from __future__ import annotations

import pytest

from gateway.errors import SubmissionError
from gateway.model import MessageClass
from tests.stories.conftest import Tell
from tests.stories.world import ALICE, BULK, CRITICAL, DIRECT, NORMAL, ONE, PAGER, TWO, URGENT

DEADLINES = {CRITICAL: 15 * 60, URGENT: 3600, NORMAL: 86_400, BULK: 86_400}


@pytest.mark.parametrize("message_class", list(MessageClass))
def test_a_page_expires_with_its_class(tell: Tell, message_class: MessageClass) -> None:
    """Critical after 15 min, urgent after an hour, normal and bulk after a day: open until then, expired
    within a second after, and never sent late."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    sent = story.page(ALICE, message_class=message_class)
    story.until(DEADLINES[message_class] - 1)
    assert story.look(sent).ending is None
    story.forward(2)
    assert story.look(sent).ending == "expired"
    story.weather(ONE)
    story.forward(minutes=10)
    assert story.copies() == []


def test_a_client_may_say_sooner(tell: Tell) -> None:
    """`expires_in: 90`: whatever the class allows, and over every link and device."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, refuse=True)
    story.weather(TWO, blackhole=True)
    sent = story.page("alice", message_class=NORMAL, expires_in=90.0)
    story.forward(89)
    assert story.look(sent).ending is None
    story.forward(2)
    assert story.look(sent).ending == "expired"
    story.weather(ONE)
    story.weather(TWO)
    story.forward(hours=1)
    assert story.copies() == []


def test_a_page_that_got_out_in_time_is_not_expired(tell: Tell) -> None:
    """The last second still counts; what is begun before the deadline finishes after it."""
    story = tell(DIRECT, terminals={ONE: {"delay": 30.0}})
    sent = story.page(ALICE, expires_in=20.0)
    story.forward(40)
    assert [round(copy.at) for copy in story.copies(PAGER)] == [30]
    assert story.look(sent).ending == "confirmed"


def test_a_page_waits_until_it_may_begin(tell: Tell) -> None:
    """`not_before`: on disk now, sent then; its deadline counts from there."""
    story = tell(DIRECT, terminals={ONE: {}})
    sent = story.page(ALICE, message_class=CRITICAL, not_before=story.after(3600))
    story.forward(3599)
    assert story.copies() == []
    assert story.look(sent).ending is None
    story.forward(2)
    assert len(story.copies(PAGER)) == 1
    assert story.look(sent).ending == "confirmed"


def test_a_page_for_later_survives_a_crash(tell: Tell) -> None:
    """What was accepted for tonight goes out tonight."""
    story = tell(terminals={ONE: {}, TWO: {}})
    sent = story.page("alice", message_class=URGENT, not_before=story.after(1800))
    story.crash()
    story.forward(1790)
    assert story.copies() == []
    story.forward(20)
    assert [copy.text for copy in story.copies(PAGER)] == ["Cath lab 2"]
    assert story.look(sent).ending == "confirmed"


def test_a_page_for_later_does_not_hedge_before_its_time(tell: Tell) -> None:
    """The ten seconds of a critical page's first leg begin when it may be sent."""
    story = tell(terminals={ONE: {}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL, not_before=story.after(300))
    story.forward(299)
    assert len(story.legs(sent)) == 1
    story.forward(20)
    assert len(story.copies(PAGER)) == 1
    assert [leg.link for leg in story.legs(sent)] == ["spok.one"]


@pytest.mark.parametrize("wrong", [{"expires_in": 0.0}, {"expires_in": -1.0}, {"expires_in": 8 * 86_400.0}])
def test_what_cannot_be_is_refused_at_the_door(tell: Tell, wrong: dict[str, float]) -> None:
    """A deadline in the past, or further away than is kept."""
    story = tell(DIRECT, terminals={ONE: {}})
    with pytest.raises(SubmissionError) as refused:
        story.page(ALICE, **wrong)
    assert refused.value.status == 422
    story.forward(5)
    assert story.copies() == []
