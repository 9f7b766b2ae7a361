"""How fast pages go out: what a carrier allows, what a window keeps free, and who goes first."""

from __future__ import annotations

import pytest

from gateway.outcome import About, Later, Taken
from gateway.settings.types import Rate
from tests.stories.conftest import Tell
from tests.stories.wide import WIDE, Desk
from tests.stories.world import ALICE, BULK, CRITICAL, DIRECT, NORMAL, ONE, PAGER, URGENT, Reached, Story

RATE = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", rate: 60/min')


def most_within(copies: list[Reached], seconds: float) -> int:
    """The most copies that came in any stretch of *seconds*."""
    times = sorted(copy.at for copy in copies)
    return max(sum(start <= at < start + seconds for at in times) for start in times)


def flood(story: Story, count: int, message_class: object = NORMAL) -> None:
    for number in range(count):
        story.page(f"spok:{number:07}", text=f"page {number}", message_class=message_class)


def test_a_configured_rate_is_kept(tell: Tell) -> None:
    """`rate: 60/min`: sixty at once at the most, then one a second, and nothing is lost meanwhile."""
    story = tell(RATE, terminals={ONE: {}})
    flood(story, 200)
    story.forward(minutes=4)
    copies = story.copies()
    assert len(copies) == 200
    for seconds in (1, 10, 60, 120):
        assert most_within(copies, seconds) <= 60 + seconds


def test_the_rate_holds_after_an_outage_too(tell: Tell) -> None:
    """What piled up while the carrier was away does not hit it at once (F56)."""
    story = tell(RATE, terminals={ONE: {}})
    flood(story, 60)
    story.forward(120)
    story.weather(ONE, refuse=True)
    flood(story, 300)
    story.forward(hours=1)
    story.weather(ONE)
    story.forward(minutes=15)
    copies = story.copies()
    assert len(copies) == 360
    for seconds in (1, 10, 60, 300):
        assert most_within(copies, seconds) <= 60 + seconds


def test_the_rate_holds_over_a_crash(tell: Tell) -> None:
    """A gateway that is started again does not begin with a burst: it cannot know what it has just sent."""
    story = tell(RATE, terminals={ONE: {}})
    flood(story, 200)
    for _ in range(5):
        story.forward(5)
        story.crash()
    story.forward(minutes=5)
    assert len(story.copies()) >= 200
    for seconds in (1, 10, 60):
        assert most_within(story.copies(), seconds) <= 60 + seconds + 5


def test_a_carrier_that_throttles_gets_what_it_allows(tell: Tell) -> None:
    """421 above 20 a minute, which nobody told us: 90 % of that goes out (F40), and all in the end."""
    story = tell(DIRECT, terminals={ONE: {"rate": Rate(count=20, per=60)}})
    flood(story, 250)
    story.forward(minutes=10)
    assert len(story.copies()) >= 0.9 * 220
    story.forward(hours=1)
    assert len({copy.text for copy in story.copies()}) == len(story.copies()) == 250


def test_a_critical_page_goes_first_at_a_carrier_that_throttles(tell: Tell) -> None:
    """Whatever piles up behind a limit, the next page that the carrier takes is the critical one."""
    story = tell(DIRECT, terminals={ONE: {"rate": Rate(count=20, per=60)}})
    flood(story, 60, BULK)
    story.forward(30)
    story.page(ALICE, text="critical", message_class=CRITICAL)
    story.wait_for(lambda: story.copies(PAGER))
    assert story.now - 30 <= 10
    after = [copy for copy in story.copies() if copy.at > 30 and copy.pager != PAGER]
    assert len(after) <= 1


def test_a_limit_of_pages_in_a_conversation_is_kept(tell: Tell) -> None:
    """`per_session: 3`: then goodbye, and a new conversation for the next three."""
    text = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", per_session: 3')
    story = tell(text, terminals={ONE: {}})
    story.page(*(f"spok:{number:07}" for number in range(10)))
    story.forward(20)
    assert len(story.copies()) == 10
    assert len(story.terminals[ONE].connected) == 4


def test_pages_go_out_by_class_then_by_age(tell: Tell) -> None:
    """What waits is taken in the order critical, urgent, normal, bulk; the older first within a class."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.order("spok.one", "suspended")
    classes = [BULK, NORMAL, URGENT, CRITICAL]
    for number in range(12):
        story.page(f"spok:{number:07}", text=f"{number}", message_class=classes[number % 4])
        story.forward(1)
    story.order("spok.one", "open")
    story.forward(5)
    order = [int(copy.text) for copy in story.copies()]
    assert order == [3, 7, 11, 2, 6, 10, 1, 5, 9, 0, 4, 8]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_bulk_leaves_a_quarter_of_a_window_free(tell: Tell, desk: Desk) -> None:
    """Of eight slots two are kept: a critical page is begun at once, whatever is under way (F41)."""
    desk.takes = 30.0
    story = tell(WIDE, adapters={"wide": desk.spec()})
    for number in range(50):
        story.page(f"desk:{number}", message_class=BULK)
    story.forward(5)
    assert desk.under_way == 6
    story.page("desk:100", text="critical", message_class=CRITICAL)
    assert story.wait_for(lambda: desk.under_way == 7) <= 0.5
    assert desk.pages[-1][1].text == "critical"
    story.page("desk:101", text="urgent", message_class=URGENT)
    assert story.wait_for(lambda: desk.under_way == 8) <= 0.5
    story.forward(minutes=6)
    assert len(desk.pages) == 52
    bulk_at_a_time = [
        sum(began <= at < began + 30 for began, other in desk.pages if other.message_class is BULK)
        for at, page in desk.pages
        if page.message_class is BULK
    ]
    assert max(bulk_at_a_time) <= 6


def test_pressing_pages_may_use_the_whole_window(tell: Tell, desk: Desk) -> None:
    """The reserve is for critical and urgent: they are never held back themselves."""
    desk.takes = 10.0
    story = tell(WIDE, adapters={"wide": desk.spec()})
    for number in range(20):
        story.page(f"desk:{number}", message_class=URGENT)
    story.forward(3)
    assert desk.under_way == 8


def test_a_small_window_keeps_nothing_back(tell: Tell, desk: Desk) -> None:
    """Below four slots a reserve would halve the link."""
    desk.takes = 10.0
    story = tell(WIDE.replace("idle: 1h", "slots: 3, idle: 1h"), adapters={"wide": desk.spec()})
    for number in range(10):
        story.page(f"desk:{number}", message_class=BULK)
    story.forward(3)
    assert desk.under_way == 3


def test_a_carrier_that_names_a_time_is_left_alone_until_then(tell: Tell, desk: Desk) -> None:
    """ "Not before 40 s from now" holds for the whole link, also for other pages."""
    story = tell(WIDE, adapters={"wide": desk.spec()})
    until = story.after(40)
    desk.takes = 0.1
    desk.says = lambda page: Later(about=About.LINK, code="88", why="throttled", not_before=until)
    sent = story.page("desk:1", message_class=CRITICAL)
    story.forward(1)
    assert len(desk.pages) == 1
    desk.says = lambda page: Taken()
    story.page("desk:2", message_class=CRITICAL)
    story.forward(37)
    assert len(desk.pages) == 1
    story.forward(5)
    assert len(desk.pages) == 3
    assert story.look(sent).ending == "confirmed"


def test_several_conversations_share_one_rate(tell: Tell) -> None:
    """`sessions: 4` and `rate: 5/s`: five a second together, not each."""
    text = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", rate: 5/s, sessions: 4')
    story = tell(text, terminals={ONE: {}})
    flood(story, 60)
    story.forward(30)
    assert len(story.copies()) == 60
    assert most_within(story.copies(), 1.0) <= 10
    assert most_within(story.copies(), 5.0) <= 30
