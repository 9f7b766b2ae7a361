"""What a program that watches the gateway is told: ready or not, and figures."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.api.operating import metrics
from gateway.outcome import Level
from gateway.sim.snpp import Progress, Refusal
from tests.stories.conftest import Tell
from tests.stories.doors import api_of, call, request
from tests.stories.world import ALICE, CRITICAL, DIRECT, NORMAL, ONE, PAGER, TWO, URGENT, Story


def ready(story: Story) -> tuple[int, list[str]]:
    status, answer = call(story, "GET", "/readyz")
    assert answer["ready"] is (status == 200)
    return status, answer["reasons"]


def figures(story: Story) -> dict[tuple[str, ...], float]:
    """A scrape: the name and the values of the labels, and the value."""
    answer = story.run(metrics(api_of(story), request(story, "GET", "/metrics")))
    return {
        (one.name, *(value for _, value in sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(answer.body.decode())
        for one in family.samples
    }


def test_ready_while_nothing_is_wrong(tell: Tell) -> None:
    """A page on its way, and a link that has never been used, are nothing wrong."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.page("alice", message_class=CRITICAL)
    assert ready(story) == (200, [])
    story.forward(minutes=10)
    assert ready(story) == (200, [])


def test_a_critical_page_that_waits_too_long_makes_it_not_ready(tell: Tell) -> None:
    """Five minutes without a way out; also no way out is a reason. What is kept for later waits rightly."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.page(ALICE, message_class=CRITICAL, not_before=story.after(7200))
    story.forward(minutes=10)
    assert ready(story) == (200, [])
    story.weather(ONE, refuse=True)
    story.page(ALICE, text="now", message_class=CRITICAL)
    story.forward(minutes=4)
    assert ready(story) == (503, ["links-down"])
    story.forward(minutes=2)
    assert ready(story) == (503, ["critical-waiting", "links-down"])
    assert 300 < figures(story)["gateway_oldest_waiting_seconds", "critical"] < 420
    assert call(story, "GET", "/v1/health")[1]["ready"] is True
    story.weather(ONE)
    story.forward(minutes=3)
    assert ready(story) == (200, [])


def test_every_way_out_switched_off_is_no_way_out(tell: Tell) -> None:
    """One that is left is enough."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.order("spok.one", "suspended")
    assert ready(story) == (200, [])
    story.order("spok.two", "draining")
    assert ready(story) == (503, ["links-down"])


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_starting_and_stopping_are_reasons(tell: Tell, disk: str) -> None:
    """Whoever chooses between gateways takes the other one."""
    story = tell(terminals={ONE: {}, TWO: {}}, disk=disk)
    story.house._ready = False
    assert ready(story) == (503, ["starting"])
    story.house.accept.draining = True
    assert ready(story) == (503, ["draining"])
    assert call(story, "GET", "/livez") == (200, {"live": True})
    story.house.accept.draining, story.house._ready = False, True


def test_a_disk_that_is_nearly_full_or_failed_is_a_reason(tell: Tell) -> None:
    """Nothing new is accepted then, and it says so before anybody tries."""
    story = tell(terminals={ONE: {}, TWO: {}})
    store: Any = story.store
    store._min_free = 1 << 60
    assert ready(story) == (503, ["store-full"])
    health = call(story, "GET", "/v1/health")[1]
    assert (health["ready"], health["reasons"]) == (False, ["the disk is nearly full"])
    store._min_free = 0
    store.failed.callback("EIO")
    assert ready(story) == (503, ["store-failed"])


def test_a_scrape_tells_outcomes_times_links_and_the_writer(tell: Tell) -> None:
    """One page taken, answered by nobody; one that waits for both ways out, which are switched off."""
    story = tell(terminals={ONE: {"delay": 2.0}, TWO: {}}, disk="sqlite")
    before = figures(story)
    assert before["gateway_pursuits_ended_total", "unanswered"] == 0
    assert before["gateway_time_to_level_seconds_count", "critical", "acknowledged"] == 0
    story.page("alice", message_class=URGENT, until=Level.ACKNOWLEDGED)
    story.forward(minutes=6)
    for name in ("spok.one", "spok.two"):
        story.order(name, "suspended")
    story.page("bob", message_class=NORMAL)
    story.forward(10)
    seen = figures(story)
    assert seen["gateway_attempts_total", "spok.one", "taken"] == 1
    assert seen["gateway_pursuits_ended_total", "unanswered"] == 1
    assert seen["gateway_time_to_level_seconds_count", "urgent", "handed_over"] == 1
    assert seen["gateway_time_to_level_seconds_bucket", "urgent", "2.0", "handed_over"] == 0
    assert seen["gateway_time_to_level_seconds_bucket", "urgent", "5.0", "handed_over"] == 1
    assert seen["gateway_lane_state", "spok.one", "suspended"] == 1
    assert seen["gateway_breaker_open", "spok.one"] == 0
    assert sum(value for name, value in seen.items() if name[0] == "gateway_deliveries_waiting") == 2
    assert seen["gateway_store_commit_seconds_count",] > before["gateway_store_commit_seconds_count",]
    assert seen["gateway_store_batch_units_sum",] >= 6
    assert seen["gateway_writer_oldest_seconds",] == seen["gateway_writer_waiting",] == 0
    assert ("gateway_reactor_lag_seconds",) in seen


def test_a_carriers_proof_is_counted_with_its_time(tell: Tell) -> None:
    """On the pager after so many seconds, answered after so many; each once, however often it is said."""
    text = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", two_way: true')
    progress = (Progress(after=5.0, code=860), Progress(after=40.0, code=889, text="OK"))
    story = tell(text, terminals={ONE: {"progress": progress}})
    story.page(ALICE, message_class=URGENT, until=Level.ACKNOWLEDGED)
    story.forward(minutes=4)
    seen = figures(story)
    count = "gateway_time_to_level_seconds_count"
    assert seen[count, "urgent", "handed_over"] == 1
    assert seen[count, "urgent", "on_device"] == 1
    assert seen[count, "urgent", "acknowledged"] == 1
    assert seen["gateway_time_to_level_seconds_bucket", "urgent", "30.0", "acknowledged"] == 0


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_what_was_said_is_kept_with_a_failed_try(tell: Tell, disk: str) -> None:
    """For administrators, over a restart, without the text; what was taken keeps nothing."""
    refusal = (Refusal(step="SEND", code=550),)
    story = tell(terminals={ONE: {"refusals": refusal}, TWO: {}}, disk=disk)
    page = story.page("alice", text="Cath lab 2: STEMI", message_class=URGENT)
    story.forward(5)
    lines = call(story, "GET", "/v1/links/spok.one/transcript")[1]["lines"]
    story.crash()
    tries = [
        line["transcript"]
        for line in call(story, "GET", f"/v1/messages/{page.id}/why")[1]["story"]
        if line["says"].startswith(("Spok (one) refused it", "Spok (two) took it"))
    ]
    assert [said is None for said in tries] == [False, True]
    assert "> SEND" in tries[0][-2]
    assert "< 550" in tries[0][-1]
    assert tries[0][-1] in lines
    assert "STEMI" not in str((tries, lines))


def test_a_scrape_is_bounded_and_names_nobody(tell: Tell) -> None:
    """However many pages, people and clients there are, it has the same lines; no text, number or id."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.page(ALICE, message_class=CRITICAL)
    story.forward(minutes=1)
    before = set(figures(story))
    for number in range(20):
        story.page(f"spok:555{number:04}", text=f"secret {number}", message_class=CRITICAL)
        call(story, "GET", f"/v1/nothing/{number}")
    story.forward(minutes=1)
    assert set(figures(story)) == before
    page = story.run(metrics(api_of(story), request(story, "GET", "/metrics"))).body
    for private in (b"secret", PAGER.encode(), b"5550001", b"alice", b"Alice", b"monitoring"):
        assert private not in page
