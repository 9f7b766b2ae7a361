"""Somebody sets the wall clock."""

from __future__ import annotations

import pytest

from tests.stories.conftest import Tell
from tests.stories.world import ALICE, CRITICAL, DIRECT, ONE, PAGER, TWO, URGENT

HOUR, YEARS = 3600.0, 10 * 365 * 86_400.0


@pytest.mark.parametrize("step", [HOUR, -HOUR, YEARS, -YEARS])
def test_the_wall_clock_expires_and_delays_nothing(tell: Tell, step: float) -> None:
    """An hour or ten years, forward or back: tries come when they would have, and so does the deadline (F21)."""
    quiet = _attempts(tell, 0.0)
    stepped = _attempts(tell, step)
    assert stepped == quiet


def _attempts(tell: Tell, step: float) -> list[tuple[str, float]]:
    story = tell(DIRECT, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    sent = story.page(ALICE, message_class=CRITICAL)
    story.forward(33)
    story.env.step_wall(step)
    story.forward(minutes=20)
    begun = story.env.now()
    return [(event.kind, round((begun - event.at) / 1e6, 3)) for event in story.look(sent).timeline]


def test_a_page_in_the_middle_of_many_steps_is_out_at_once(tell: Tell) -> None:
    """Twenty steps back and forth: every page is out within half a second, once."""
    story = tell(terminals={ONE: {}, TWO: {}})
    for number in range(20):
        story.env.step_wall((HOUR, -HOUR, YEARS, -YEARS)[number % 4])
        story.page("alice", text=f"page {number}", message_class=URGENT)
        assert story.wait_for(lambda n=number: story.copies(text=f"page {n}")) <= 0.5
    story.forward(hours=2)
    assert len(story.copies(PAGER)) == 20
