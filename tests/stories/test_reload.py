"""The settings are read again while pages are under way."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from gateway.errors import SettingsError
from gateway.lifecycle import State
from tests.stories.conftest import Tell
from tests.stories.world import CRITICAL, NORMAL, ONE, PAGER, SETTINGS, TWO, URGENT

IDLE = SETTINGS.replace(f'at: "{ONE}"', f'at: "{ONE}", idle: 1h').replace(
    f'at: "{TWO}"', f'at: "{TWO}", idle: 1h'
)


def test_a_link_that_did_not_change_keeps_its_conversation(tell: Tell) -> None:
    """The other one is opened anew with its new settings; no page is lost or sent twice."""
    story = tell(IDLE, terminals={ONE: {}, TWO: {}})
    story.page("alice", text="first")
    story.order("spok.one", "suspended")
    story.forward(2)
    story.page("alice", text="second")
    story.forward(2)
    story.order("spok.one", "open")
    assert (story.link("spok.one").sessions, story.link("spok.two").sessions) == (0, 1)
    story.page("alice", text="third")
    story.forward(2)
    assert story.link("spok.one").sessions == 1
    calls = {at: len(story.terminals[at].connected) for at in (ONE, TWO)}
    story.reload(
        IDLE.replace("path: phone, idle: 1h", "path: cell, idle: 1h").replace(
            "idle: 1h, path: phone", "idle: 1h, path: cell"
        )
    )
    story.page("alice", text="fourth")
    story.forward(2)
    assert len(story.terminals[ONE].connected) == calls[ONE]
    story.order("spok.one", "suspended")
    story.page("alice", text="fifth")
    story.forward(2)
    assert len(story.terminals[TWO].connected) == calls[TWO] + 1
    assert sorted(copy.text for copy in story.copies()) == ["fifth", "first", "fourth", "second", "third"]


def test_a_link_that_moved_is_called_at_its_new_address(tell: Tell) -> None:
    """What waits for the link goes there."""
    story = tell(SETTINGS, terminals={ONE: {}, TWO: {}, "10.0.0.7:444": {}})
    story.weather(ONE, refuse=True)
    story.order("spok.two", "suspended")
    story.page("alice", message_class=CRITICAL)
    story.forward(20)
    story.reload(SETTINGS.replace(ONE, "10.0.0.7:444"))
    story.wait_for(lambda: story.copies(PAGER), limit=31)
    assert story.copies()[0].by == "10.0.0.7:444"


def test_what_waits_on_a_removed_link_goes_elsewhere(tell: Tell) -> None:
    """The link is gone: its delivery is cancelled with an event, and the next leg opens at once."""
    story = tell(SETTINGS, terminals={TWO: {}})
    story.weather(ONE, blackhole=True)
    sent = story.page("alice", message_class=NORMAL)
    story.forward(2)
    assert [leg.link for leg in story.legs(sent)] == ["spok.one"]
    without = SETTINGS.replace(f'      one: {{adapter: snpp, at: "{ONE}"}}\n', "")
    assert without != SETTINGS
    story.reload(without)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 1
    story.forward(1)
    row = story.look(sent)
    assert [leg.state for leg in row.deliveries] == [State.CANCELLED, State.TAKEN]
    assert story.events(sent, "cancelled")[0].data["why"] == "link_removed"
    assert row.ending == "confirmed"


def test_a_page_that_is_begun_on_a_removed_link_finishes(tell: Tell) -> None:
    """It is with the carrier already; a second copy would be of no use."""
    story = tell(SETTINGS, terminals={ONE: {"delay": 8.0}, TWO: {}})
    sent = story.page("alice", message_class=NORMAL)
    story.forward(2)
    story.reload(SETTINGS.replace(f'      one: {{adapter: snpp, at: "{ONE}"}}\n', ""))
    story.forward(60)
    assert [copy.by for copy in story.copies()] == [ONE]
    assert story.look(sent).ending == "confirmed"


def test_a_page_that_does_not_end_does_not_hold_up_a_reload(tell: Tell) -> None:
    """After 30 s (`drain_timeout`) the changed link is opened anew; what was under way is in doubt."""
    story = tell(SETTINGS, terminals={ONE: {"delay": 100.0}, TWO: {}})
    story.order("spok.two", "suspended")
    sent = story.page("alice", message_class=URGENT)
    story.wait_for(lambda: story.terminals[ONE].asked)
    story.forward(1)
    story.terminal(ONE)
    began = story.now
    story.reload(SETTINGS.replace(f'at: "{ONE}"', f'at: "{ONE}", idle: 9s'))
    assert story.now - began <= 31
    story.page("alice", text="next", message_class=URGENT)
    story.forward(20)  # its other link has 15 s to take it first
    assert [copy.text for copy in story.copies(PAGER)] == ["next", "Cath lab 2 (copy 2)"]
    story.forward(120)
    assert story.look(sent).ending == "confirmed"
    assert len(story.copies(PAGER)) == 3


def test_what_waits_for_a_link_that_is_gone_after_a_restart_goes_elsewhere(tell: Tell) -> None:
    """Stopped, edited, started: nothing waits for a link that no longer exists."""
    story = tell(SETTINGS, terminals={TWO: {}})
    story.weather(ONE, blackhole=True)
    sent = story.page("alice", message_class=NORMAL)
    story.forward(2)
    story.text = SETTINGS.replace(f'      one: {{adapter: snpp, at: "{ONE}"}}\n', "")
    story.crash()
    assert story.wait_for(lambda: story.copies(PAGER)) <= 2
    story.forward(1)
    assert story.look(sent).ending == "confirmed"


def test_an_invalid_file_changes_nothing(tell: Tell) -> None:
    """Every mistake is named, and the settings in effect stay."""
    story = tell(SETTINGS, terminals={ONE: {}, TWO: {}})
    generation = story.house.settings().generation
    with pytest.raises(SettingsError) as wrong:
        story.reload(SETTINGS.replace("adapter: snpp", "adapter: telepathy"))
    assert "telepathy" in str(wrong.value)
    assert story.house.settings().generation == generation
    story.page("alice")
    story.forward(2)
    assert len(story.copies()) == 1


def test_a_thousand_reloads_under_load(tell: Tell) -> None:
    """Each changes a link; nothing is lost, nothing goes out twice (F50, one tenth of it)."""
    story = tell(SETTINGS, terminals={ONE: {}, TWO: {}})
    for number in range(100):
        story.page("alice", text=f"page {number}", message_class=URGENT)
        story.reload(SETTINGS.replace("path: phone", f"path: phone, idle: {number % 7 + 1}s"))
        story.forward(0.05)
    story.forward(30)
    assert sorted(copy.text for copy in story.copies()) == sorted(f"page {number}" for number in range(100))


def test_a_file_that_changes_while_it_is_reloaded_is_read_again(tell: Tell) -> None:
    """Whoever asks while a reload is under way gets what stands in the file then, and shares it with others
    who ask."""
    story = tell(SETTINGS, terminals={ONE: {}, TWO: {}})
    story.text = SETTINGS.replace("name: Test", "name: First")
    asked = [Deferred.fromCoroutine(story.house.reload())]
    story.text = SETTINGS.replace("name: Test", "name: Second")
    asked += [Deferred.fromCoroutine(story.house.reload()) for _ in range(3)]
    story.forward(5)
    assert [one.result for one in asked] == [2, 3, 3, 3]
    assert story.house.settings().site.name == "Second"
