"""A carrier is away for an hour while pages pile up."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.lifecycle import State
from tests.stories.conftest import Tell
from tests.stories.world import ALICE, BULK, CRITICAL, DIRECT, NORMAL, ONE, PAGER, TWO, URGENT, Story

PILE = 2000


def pile_up(story: Story) -> None:
    """*PILE* pages of all classes, spread over half an hour; none of them expires within two hours."""
    for number in range(PILE):
        story.page(
            f"spok:{number:07}",
            text=f"page {number}",
            message_class=(BULK, NORMAL, URGENT)[number % 3],
        )
        story.forward(0.9)


def test_two_thousand_pages_wait_for_an_hour_and_all_go_out(tell: Tell) -> None:
    """Nothing is lost, nothing goes out twice, and the carrier has everything minutes after it is back; the
    pages that matter first."""
    text = DIRECT + "classes: {urgent: {deadline: 3h}}\n"
    story = tell(text, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    pile_up(story)
    story.until(3600)
    for number in range(20):
        story.page(f"spok:9{number:06}", text=f"critical {number}", message_class=CRITICAL)
    assert story.copies() == []
    story.weather(ONE)
    back = story.now
    story.wait_for(lambda: len(story.copies()) == PILE + 20, limit=600)
    assert story.now - back <= 120 + 60  # its longest rest, and the time to send them
    first = [copy.text for copy in story.copies()[:20]]
    assert all(text.startswith("critical") for text in first)
    assert story.copies()[0].at - back <= 32
    story.forward(10)
    assert len({copy.text for copy in story.copies()}) == PILE + 20
    counts = story.run(story.store.records.counts())
    assert counts == ()


def test_a_dead_link_rests_ever_longer(tell: Tell) -> None:
    """After five failures 15 s, then 30, 60, 120 and 120: a dead carrier is not hammered."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    tried: list[float] = []
    note = story.world.note

    def noted(line: str) -> None:
        if "cannot connect" in line:
            tried.append(story.now)
        note(line)

    story.world.note = noted  # type: ignore[method-assign]
    for number in range(200):
        story.page(f"spok:{number:07}", message_class=NORMAL)
    story.forward(minutes=12)
    gaps = [round(later - earlier) for earlier, later in pairwise(tried)]
    assert gaps[:4] == [1, 2, 4, 8]
    assert gaps[4:10] == [15, 30, 60, 120, 120, 120]


def test_a_critical_page_tries_even_a_resting_link(tell: Tell) -> None:
    """Resting puts a link last, it never stops the last one: the page is out within its longest wait."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    for number in range(10):
        story.page(f"spok:{number:07}", message_class=NORMAL)
    story.wait_for(lambda: story.link("spok.one").state == "resting")
    story.forward(60)
    before = story.now
    story.weather(ONE)
    story.page(ALICE, text="critical", message_class=CRITICAL)
    story.wait_for(lambda: story.copies(PAGER))
    assert story.now - before <= 1.5


def test_connects_are_counted_apart_from_tries(tell: Tell) -> None:
    """`max_tries` is about a carrier's "later"; a carrier that is away uses up none of them."""
    text = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", max_tries: 2')
    story = tell(text, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    sent = story.page(ALICE, message_class=URGENT)
    story.forward(minutes=10)
    leg = story.legs(sent)[0]
    assert (leg.state, leg.tries) == (State.WAITING, 0)
    assert leg.connects >= 5
    story.weather(ONE)
    story.wait_for(lambda: story.copies(PAGER), limit=130)
    story.forward(1)
    assert (story.legs(sent)[0].tries, story.look(sent).ending) == (1, "confirmed")


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_normal_pages_do_not_wait_for_a_dead_link_when_another_lives(tell: Tell, disk: str) -> None:
    """Three hundred pages that wait on a dead link are all out over the living one within ten minutes."""
    story = tell(terminals={ONE: {}, TWO: {}}, disk=disk)
    story.weather(ONE, refuse=True)
    for number in range(300):
        story.page("alice", text=f"page {number}", message_class=NORMAL)
    story.wait_for(lambda: len(story.copies()) == 300, limit=600)
    assert {copy.by for copy in story.copies()} == {TWO}


def test_f55_half_of_the_links_flap(tell: Tell) -> None:
    """A link that is up and down every ten seconds is calmed by its breaker; nothing is lost (F55)."""
    story = tell(terminals={ONE: {}, TWO: {}})
    for number in range(60):
        story.weather(ONE, **({"refuse": True} if number % 2 else {}))
        story.page("alice", text=f"page {number}", message_class=URGENT)
        story.forward(10)
    story.weather(ONE)
    story.forward(minutes=5)
    assert {copy.text for copy in story.copies()} == {f"page {number}" for number in range(60)}
    assert len(story.copies()) == 60
