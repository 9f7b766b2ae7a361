"""What the supervisor hears of a gateway's life, and when it hears nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from gateway.adapters.base import AdapterSpec, Link, NotSent, Session
from gateway.app.adapters import specs
from gateway.errors import SettingsError
from tests.stories.world import ALICE, ONE, SETTINGS, Story


class _Stuck(Link):
    """A link whose opening never ends, whatever its limit says."""

    async def open(self) -> Session | NotSent:
        await Deferred[None]()
        raise AssertionError


STUCK: AdapterSpec = replace(specs()["snpp"], name="stuck", make_link=lambda *_: _Stuck())


def watched(text: str = SETTINGS, adapters: dict[str, AdapterSpec] | None = None) -> Story:
    """A gateway whose supervisor wants to hear something every 20 s."""
    story = Story(text, adapters=adapters)
    story.world.watchdog = 20.0
    return story.start()


def heard(story: Story) -> list[str]:
    """What the supervisor heard, without the lines for people."""
    return [line.partition("MONOTONIC")[0] for _, line in story.env.told.heard if "STATUS" not in line]


def fed(story: Story, seconds: float) -> int:
    """How often the watchdog was fed in the next so many seconds."""
    before = heard(story).count("WATCHDOG=1")
    story.forward(seconds)
    return heard(story).count("WATCHDOG=1") - before


def test_the_supervisor_hears_of_start_reload_and_stop() -> None:
    """Ready once the doors are open; reloading and ready again; stopping before anything stops."""
    story = watched()
    assert heard(story) == ["READY=1"]
    assert "10.9.0.1!8080" in story.world.listeners
    story.reload(SETTINGS.replace("Test", "Again"))
    assert heard(story) == ["READY=1", "RELOADING=1", "", "READY=1"]
    with pytest.raises(SettingsError):
        story.reload("nonsense: 1")
    assert heard(story)[-3:] == ["RELOADING=1", "", "READY=1"]
    story.stop()
    assert heard(story)[-1] == "STOPPING=1"
    assert story.env.told.heard[1][1] == "STATUS=Takes pages, 0 not finished"
    story.end()


def test_the_watchdog_is_fed_for_as_long_as_the_gateway_works() -> None:
    """Carriers that cannot be reached are no reason to start it again."""
    story = watched()
    story.weather(ONE, blackhole=True)
    story.page(ALICE)
    assert fed(story, 3600) == pytest.approx(3600, abs=5)
    story.stop()
    assert fed(story, 3600) == 0
    story.end()


def test_a_lane_that_hangs_starves_the_watchdog() -> None:
    """Its link's opening has not ended long after its own limit: only a new start helps."""
    story = watched(SETTINGS.replace("one: {adapter: snpp", "one: {adapter: stuck"), {"stuck": STUCK})
    assert fed(story, 120) == pytest.approx(120, abs=2)
    story.page(ALICE)
    assert fed(story, 39) > 30  # 10 s to open, 30 s beyond
    assert fed(story, 3600) <= 5
    story.end()
