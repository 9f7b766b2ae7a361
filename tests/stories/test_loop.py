"""The loop message: what the watcher outside hears, and what its silence means."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from gateway.loop import LINK
from gateway.model import Instant
from gateway.sim.snpp import Refusal
from gateway.web import Answer, HttpServer, Request, Response
from tests.stories.world import ALICE, BULK, DEADMAN, DIRECT, ONE, OTHER_PAGER, PAGER, Story

WATCHER = "10.7.0.1:80"
WATCHED = DIRECT + "watch: {ping: {env: DEADMAN}}\n"
SECRET = DEADMAN.rpartition("/")[2]


class Watcher:
    """A watcher outside, on a machine of its own: when it was asked for what, and what it answers."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.heard: list[float] = []
        self.status = 200
        env = story.world.env("10.7.0.1")

        async def count(request: Request) -> Answer:
            assert (request.method, request.path) == ("GET", f"/ping/{SECRET}")
            self.heard.append(story.now)
            return Response(status=self.status, body=b"OK" * 100_000)

        server = HttpServer(clock=env.clock, handler=count, wall=lambda: Instant(0), make_id=lambda: "r")
        story.run(_listen(env, server))

    def pings(self, seconds: float) -> int:
        """How often it is asked in the next so many seconds."""
        before = len(self.heard)
        self.story.forward(seconds)
        return len(self.heard) - before


async def _listen(env: Any, server: HttpServer) -> None:
    await env.net.listen(WATCHER, server)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the rooms of this page log."""
    lines: list[str] = []

    def note(event: dict[str, Any]) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)
    assert SECRET not in "".join(lines)


def about(lines: list[str]) -> list[str]:
    """Those of *lines* that are about the loop."""
    return [line for line in lines if "loop message" in line or "watcher" in line or "told" in line]


def count(story: Story, name: str, result: str) -> float | None:
    return story.house.metrics.registry.get_sample_value(name, {"result": result})


def test_the_watcher_hears_once_a_minute_that_a_page_came_back(said: list[str]) -> None:
    """While everything works; and nobody is shown the way out that there is for it."""
    story = Story(WATCHED)
    watcher = Watcher(story)
    story.start()
    assert watcher.pings(600) == pytest.approx(10, abs=1)
    assert about(said) == []
    assert count(story, "gateway_loops_total", "came_back") == len(watcher.heard)
    assert count(story, "gateway_watch_pings_total", "ok") == len(watcher.heard)
    assert LINK not in [status.link for status in story.house.status()]
    assert LINK.partition(".")[0] not in story.house.settings().carriers
    assert story.house.health().reasons == ()
    story.stop()
    story.end()


def test_the_record_does_not_grow_of_it(tmp_path: Path) -> None:
    """A loop message that came back is forgotten with everything of it."""
    story = Story(WATCHED, folder=tmp_path)
    watcher = Watcher(story)
    story.start()
    story.terminal(ONE)
    page = story.page(ALICE)
    assert watcher.pings(3600) == pytest.approx(60, abs=1)
    assert story.look(page).ending == "confirmed"
    story.stop()
    with sqlite3.connect(tmp_path / "gateway.db") as database:
        for table in ("message", "delivery"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,), table
        for table in ("receipt", "carrier_ref"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
        assert database.execute("SELECT count(*) FROM event WHERE subject > 0").fetchone()[0] < 5
    story.end()


@pytest.mark.parametrize("how", ["killed", "stopped", "disk"])
def test_f59_a_gateway_that_is_dead_is_silent(how: str) -> None:
    """Killed, stopped or with a failed disk: not one more ping, which is the alarm outside."""
    story = Story(WATCHED)
    watcher = Watcher(story)
    story.start()
    assert watcher.pings(300) > 3
    if how == "killed":
        story.env.crash()
    elif how == "stopped":
        story.stop()
    else:
        story.store.fail("EIO")  # type: ignore[attr-defined]
    assert watcher.pings(3600) == 0
    if how == "killed":
        story.start()
        assert watcher.pings(60) >= 1
        story.stop()
    story.end()


def test_a_page_that_does_not_come_back_is_not_told_of(said: list[str]) -> None:
    """Here the queue is full: the watcher hears nothing, the log says why once, health too."""
    story = Story(WATCHED + "limits: {queue: 1}\n")
    watcher = Watcher(story)
    story.start()
    story.page(ALICE, message_class=BULK, expires_in=600.0)  # it waits: nobody listens at the carrier
    watcher.pings(61)
    assert watcher.pings(300) == 0
    (reason,) = [one for one in story.house.health().reasons if "our own" in one]
    assert "was not accepted: the queue is 100% full" in reason
    assert len(about(said)) == 1
    story.wait_for(lambda: watcher.heard and story.now - watcher.heard[-1] < 1)
    assert about(said)[1:] == ["loop message came back again"]
    assert [one for one in story.house.health().reasons if "our own" in one] == []
    story.stop()
    story.end()


@pytest.mark.parametrize(
    ("weather", "status", "words"),
    [
        (
            {"refuse": True},
            200,
            "it could not be reached: Connection was refused by other side: 10.7.0.1:80 refused",
        ),
        (
            {"blackhole": True},
            200,
            "it could not be reached: 10.7.0.1:80 did not answer",
        ),
        ({"unknown": True}, 200, "it could not be reached: DNS lookup failed: 10.7.0.1 is not known"),
        ({"cut_heard": 0}, 200, "it hung up without an answer"),
        ({"cut_sent": 1, "ending": "silence"}, 200, "it did not answer within 5 s"),
        ({}, 404, "it answers 404"),
        ({}, 301, "it answers 301"),
    ],
)
def test_a_watcher_that_cannot_be_told(
    said: list[str], weather: dict[str, Any], status: int, words: str
) -> None:
    """Said once, a reason of health, counted; pages go out as ever. When it hears again, that is said too."""
    story = Story(WATCHED)
    watcher = Watcher(story)
    story.terminal(ONE)
    story.start()
    story.forward(10)
    watcher.status = status
    story.weather(WATCHER, **weather)
    story.forward(300)
    assert about(said) == [f"the watcher outside cannot be told: {words}"]
    assert [one for one in story.house.health().reasons if words in one]
    failed = count(story, "gateway_watch_pings_total", "failed")
    assert failed == pytest.approx(5, abs=1)
    story.page(ALICE, text="all the same")
    story.forward(5)
    assert len(story.copies(PAGER, "all the same")) == 1
    watcher.status = 200
    story.weather(WATCHER)
    story.forward(70)
    assert about(said)[1:] == ["the watcher outside is told again"]
    assert story.house.health().reasons == ()
    story.stop()
    story.end()


def test_a_reload_begins_and_ends_it() -> None:
    """Without ``watch.ping`` there is no loop message and no ping."""
    story = Story(DIRECT)
    watcher = Watcher(story)
    story.start()
    assert watcher.pings(600) == 0
    assert count(story, "gateway_loops_total", "came_back") == 0
    story.reload(WATCHED)
    assert watcher.pings(600) == pytest.approx(10, abs=1)
    story.reload(WATCHED.replace("DEADMAN}", "DEADMAN}, every: 10s"))
    assert watcher.pings(660) > 58
    story.reload(DIRECT)
    assert watcher.pings(30) <= 1  # the one that was under way
    assert watcher.pings(600) == 0
    assert story.house.health().reasons == ()
    story.stop()
    story.end()


# ---------------------------------------------------------------- watch.tell


TOLD = DIRECT + f'watch: {{ping: {{env: DEADMAN}}, tell: [bob, "spok:{PAGER}"]}}\n'


def test_people_are_paged_about_the_gateway_itself() -> None:
    """Once about a trouble that lasts, not about one that passes; again a day later if it is still there."""
    story = Story(TOLD)
    watcher = Watcher(story)
    story.terminal(ONE)
    story.start()
    story.forward(10)
    watcher.status = 500
    story.forward(90)
    watcher.status = 200
    story.forward(600)
    assert story.copies() == []
    watcher.status = 500
    story.forward(3600)
    assert [copy.pager for copy in story.copies()] == [OTHER_PAGER, PAGER]
    assert story.copies()[0].text.startswith(
        "Gateway Test: the watcher outside cannot be told: it answers 500, since 2027-01-01T00:1"
    )
    story.forward(hours=24)
    assert len(story.copies()) == 4
    story.stop()
    story.end()


def test_a_gateway_that_is_started_again_and_again_pages_once_a_day() -> None:
    """Every start finds the same trouble."""
    story = Story(TOLD)
    story.terminal(ONE)
    story.start()
    for _ in range(5):
        story.forward(600)
        story.crash()
    story.forward(600)
    assert len(story.copies()) == 2
    story.stop()
    story.end()


def test_a_link_that_its_carrier_has_switched_off_is_told_of() -> None:
    """Nothing goes out there until somebody looks; who was named hears of it by another way."""
    text = TOLD.replace(
        "carriers:\n", 'carriers:\n  metro: {links: {one: {adapter: snpp, at: "10.0.0.3:444"}}}\n'
    )
    text = text.replace(f'tell: [bob, "spok:{PAGER}"]', "tell: [metro:5550009]")
    story = Story(text)
    Watcher(story)
    story.terminal(ONE, refusals=(Refusal(step="PAGE", code=500),))
    story.terminal("10.0.0.3:444")
    story.start()
    story.page(ALICE)
    story.forward(600)
    (copy,) = story.copies("5550009")
    assert copy.text.startswith("Gateway Test: spok.one is switched off: ")
    story.stop()
    story.end()
