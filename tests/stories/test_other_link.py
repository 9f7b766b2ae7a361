"""A pager can be reached over two links: what happens when the first does not work."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stories.conftest import Tell
from tests.stories.world import CRITICAL, NORMAL, ONE, PAGER, TWO, Story

TROUBLE: dict[str, tuple[dict[str, Any], float]] = {
    # how the first link fares; within how many seconds the page is out over the other
    "refuses the connection": ({"refuse": True}, 0.5),
    "its name is unknown": ({"unknown": True}, 0.5),
    "swallows the connection": ({"blackhole": True}, 10.5),
    "answers one byte a second": ({"rate": 1.0}, 10.5),
    "hangs up at once": ({"cut_sent": 0}, 0.5),
    "hangs up in the greeting": ({"cut_heard": 10}, 0.5),
    "falls silent in the greeting": ({"cut_heard": 10, "ending": "silence"}, 10.5),
}


@pytest.mark.parametrize(("weather", "within"), TROUBLE.values(), ids=TROUBLE.keys())
def test_a_critical_page_takes_the_other_link(tell: Tell, weather: dict[str, Any], within: float) -> None:
    """Half a second after a refused connection, ten seconds after a silent one; and one copy only."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, **weather)
    sent = story.page("alice", message_class=CRITICAL)
    took = story.wait_for(lambda: story.copies(PAGER))
    assert took <= within
    story.forward(minutes=20)
    assert [copy.by for copy in story.copies(PAGER)] == [TWO]
    assert story.look(sent).ending == "confirmed"
    assert "(copy" not in story.copies(PAGER)[0].text


@pytest.mark.parametrize("weather", [{"refuse": True}, {"blackhole": True}, {"rate": 1.0}])
def test_once_a_link_rests_pages_take_the_other_at_once(tell: Tell, weather: dict[str, Any]) -> None:
    """Nobody waits ten seconds for a carrier that is known to be dead."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, **weather)
    for number in range(5):  # failures in a row that rest a link
        story.page("alice", text=f"page {number}", message_class=NORMAL)
        story.forward(30)
    story.wait_for(lambda: story.link("spok.one").state == "resting", limit=60)
    sent = story.page("alice", text="second", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(PAGER, "second")) <= 0.5
    assert [leg.link for leg in story.legs(sent)] == ["spok.two"]


def test_both_links_dead_the_page_goes_out_when_one_is_back(tell: Tell) -> None:
    """A critical page goes on trying both, and is out within two seconds after one of them is back."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, refuse=True)
    story.weather(TWO, refuse=True)
    story.page("alice", message_class=CRITICAL)
    story.forward(minutes=10)
    assert story.copies() == []
    story.weather(TWO)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 37  # its longest wait between tries, 30 s + 20 %


def test_a_slow_answer_is_waited_for(tell: Tell) -> None:
    """A terminal that delivers before it answers SEND is not given up; a normal page is sent once."""
    story = tell(terminals={ONE: {"delay": 100.0}, TWO: {}})
    sent = story.page("alice", message_class=NORMAL)
    story.forward(minutes=10)
    assert [copy.by for copy in story.copies(PAGER)] == [ONE]
    assert story.look(sent).ending == "confirmed"


def test_a_critical_page_is_not_held_up_by_a_slow_answer(tell: Tell) -> None:
    """After ten seconds without an answer the other link is used as well: two copies at most, the second
    one marked."""
    story = tell(terminals={ONE: {"delay": 100.0}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 11
    story.forward(minutes=20)
    assert [(copy.by, copy.text) for copy in story.copies(PAGER)] == [
        (TWO, "Cath lab 2 (copy 2)"),
        (ONE, "Cath lab 2"),
    ]
    assert story.look(sent).ending == "confirmed"


def test_a_dead_carrier_delays_nobody_else(tell: Tell) -> None:
    """Bulk for a dead link piles up; a critical page over another link is out at once (F41)."""
    text = TWO_CARRIERS
    story = tell(text, terminals={TWO: {}})
    story.weather(ONE, blackhole=True)
    for number in range(300):
        story.page(f"dead:{number:07}", message_class=NORMAL)
    flood(story, 200)
    sent = story.page("living:5551212", text="critical", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(text="critical")) <= 0.5
    story.forward(1)
    assert story.look(sent).ending == "confirmed"


TWO_CARRIERS = f"""
listen: {{http: {{at: "127.0.0.1:8080"}}}}
texts: {{default: ["{{text}}", "{{short}}"]}}
clients: {{monitoring: {{token_sha256: [{"a" * 64}], may_page: ["living:*"]}}}}
carriers:
  dead: {{links: {{only: {{adapter: snpp, at: "{ONE}"}}}}}}
  living: {{links: {{only: {{adapter: snpp, at: "{TWO}"}}}}}}
people:
  alice: {{name: Alice Moreau, devices: {{pager: "living:5551212"}}}}
"""


def flood(story: Story, count: int) -> None:
    from tests.stories.world import BULK

    for number in range(count):
        story.page(f"living:{number:07}", text=f"bulk {number}", message_class=BULK)
