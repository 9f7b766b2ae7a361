"""Many ways to one pager: which goes first, which follows and when, and that the timeline says why."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from gateway.adapters.base import Accepted
from gateway.api import says
from gateway.api.standing import why_of
from gateway.lifecycle import State
from gateway.outcome import Level
from gateway.sim.snpp import Progress, Refusal
from tests.stories.conftest import Tell
from tests.stories.doors import call
from tests.stories.world import (
    ALICE,
    BULK,
    CRITICAL,
    DIRECT,
    NORMAL,
    ONE,
    PAGER,
    SETTINGS,
    TWO,
    URGENT,
    Story,
)

THREE, FOUR = "10.0.0.3:444", "10.0.0.4:444"
PROBE = "10.0.0.99:443"
CABLES = SETTINGS.replace(
    f'      two: {{adapter: snpp, at: "{TWO}", path: phone}}',
    f'      two: {{same_as: one, at: "{TWO}"}}\n'
    f'      line: {{same_as: one, at: "{THREE}", path: phone}}\n'
    f'  mail:\n    links: {{relay: {{adapter: snpp, at: "{FOUR}"}}}}',
)
"""A carrier with two ways over the Internet and a telephone line, and another one over the Internet."""


def told(story: Story, sent: Accepted) -> list[str]:
    """The story of a message, as `gateway why` tells it."""
    around = says.around(story.house.settings(), story.house.status(), story.env.now())
    why = why_of(story.look(sent), around)
    return [*(line.says for line in why.story), *why.now]


def dead(story: Story, *places: str, **weather: Any) -> None:
    for at in places:
        story.weather(at, **(weather or {"refuse": True}))


# ---------------------------------------------------------------- one carrier, two links


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_the_first_link_is_dead(tell: Tell, disk: str) -> None:
    """Critical by the second within its ten seconds, one copy, and every step has its reason."""
    story = tell(terminals={ONE: {}, TWO: {}}, disk=disk)
    dead(story, ONE, blackhole=True)
    sent = story.page("alice", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 10.5
    story.forward(minutes=16)
    assert [(copy.by, copy.text) for copy in story.copies()] == [(TWO, "Cath lab 2")]
    said = "\n".join(told(story, sent))
    assert "Paging Alice Moreau's pager by Spok (two). Spok (one)" in said


def test_both_links_are_dead_and_come_back(tell: Tell) -> None:
    """What is due goes out in order, the pages that matter first, and each link keeps its rate."""
    rated = SETTINGS.replace(f'at: "{ONE}"', f'at: "{ONE}", rate: 60/min').replace(
        f'at: "{TWO}"', f'at: "{TWO}", rate: 60/min'
    )
    story = tell(
        rated + "classes: {urgent: {deadline: 3h}, critical: {deadline: 3h}}\n", terminals={ONE: {}, TWO: {}}
    )
    dead(story, ONE, TWO)
    for number in range(300):
        story.page(
            f"spok:{number:07}", text=f"page {number}", message_class=(BULK, NORMAL, URGENT)[number % 3]
        )
    story.forward(minutes=30)
    for number in range(10):
        story.page(f"spok:9{number:06}", text=f"critical {number}", message_class=CRITICAL)
    story.weather(ONE)
    story.weather(TWO)
    story.wait_for(lambda: len(story.copies()) == 310, limit=1800)
    story.forward(minutes=5)
    copies = story.copies()
    assert len(copies) == len({copy.text for copy in copies}) == 310
    assert all(copy.text.startswith("critical") for copy in copies[:10])
    for by in (ONE, TWO):
        times = [copy.at for copy in copies if copy.by == by]
        for seconds in (1, 10, 60):
            assert max(sum(start <= at < start + seconds for at in times) for start in times) <= 60 + seconds


def test_the_plan_is_followed_device_by_device(tell: Tell) -> None:
    """`a + b` together, then the next item; a person may have several carriers."""
    text = CABLES.replace(
        f'{{pager: "spok:{PAGER}"}}', f'{{pager: "spok:{PAGER}", desk: "mail:1", spare: "mail:2"}}'
    )
    text += (
        "plans: {staff: {critical: [pager + desk, spare], urgent: [pager], normal: [pager], bulk: [pager]}}\n"
    )
    text += "defaults: {people: {plan: staff}}\n"
    story = tell(text, terminals={ONE: {}, FOUR: {}})
    story.page("alice", message_class=CRITICAL)
    story.forward(1)
    assert {(copy.by, copy.pager) for copy in story.copies()} == {(ONE, PAGER), (FOUR, "1")}
    story.forward(10)
    dead(story, ONE, TWO, THREE, FOUR)
    sent = story.page("alice", text="again", message_class=CRITICAL)
    story.forward(60)
    assert {leg.device for leg in story.legs(sent)} == {"pager", "desk", "spare"}


def test_a_refused_address_is_never_tried_again_on_that_link(tell: Tell) -> None:
    """The other link is asked, once; the story names who said no."""
    story = tell(terminals={ONE: {"refusals": (Refusal(step="PAGE", code=550),)}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL)
    story.forward(minutes=20)
    assert [number for _, number in story.terminals[ONE].asked] == [PAGER]
    assert [copy.by for copy in story.copies()] == [TWO]
    assert any("Spok (one) refused it" in line and "Spok (two)" in line for line in told(story, sent))


def test_what_was_not_tried_is_said(tell: Tell) -> None:
    """The second way was not needed."""
    story = tell(terminals={ONE: {}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL)
    story.forward(3)
    assert "Not tried: Spok (two); it was not needed." in told(story, sent)


def test_what_goes_first_is_said(tell: Tell) -> None:
    """A link that failed moments ago goes last, and the story begins with it."""
    story = tell(terminals={ONE: {}, TWO: {}})
    dead(story, ONE)
    story.page("alice", text="before", message_class=URGENT)
    story.forward(2)
    sent = story.page("alice", message_class=URGENT)
    assert story.wait_for(lambda: story.copies(text="Cath lab 2")) <= 0.5
    assert "Spok (two) first, as Spok (one) failed moments before." in told(story, sent)[0]


def test_waiting_too_long_is_said(tell: Tell) -> None:
    """A carrier that takes its time over the answer: after ten seconds the other way, marked as a copy."""
    story = tell(terminals={ONE: {"delay": 100.0}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL)
    story.forward(20)
    assert [copy.text for copy in story.copies()] == ["Cath lab 2 (copy 2)"]
    assert any(
        line == "Paging Alice Moreau's pager by Spok (two). Spok (one) has not taken it for 10 s."
        for line in told(story, sent)
    )


# ---------------------------------------------------------------- the Internet is down


def cut(story: Story) -> None:
    """The Internet is cut; enough pages for every way out by it to learn."""
    dead(story, ONE, TWO, FOUR, blackhole=True)
    for number in range(6):
        story.page("spok:5550000", text=f"pioneer {number}", message_class=NORMAL)
    story.wait_for(lambda: story.house.paths.down, limit=600)


def test_when_every_way_rests_the_next_page_goes_by_phone_at_once(tell: Tell) -> None:
    """Also over ways that nobody has used for hours: they are connected to as soon as one rests (O1)."""
    story = tell(CABLES, terminals={ONE: {}, TWO: {}, THREE: {}, FOUR: {}})
    story.forward(hours=3)
    cut(story)
    sent = story.page("alice", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 0.5
    story.forward(1)
    assert [leg.link for leg in story.legs(sent)] == ["spok.line"]
    assert "The Internet is down (all 3 ways out by it rest); going by phone at once." in told(story, sent)[0]
    health = story.house.health()
    assert "internet-down" in health.codes
    (reason,) = (reason for reason in health.reasons if "Internet" in reason)
    assert re.fullmatch("the Internet is down since [0-9:]+: going by phone", reason)
    (item,) = (one for one in call(story, "GET", "/v1/stuck")[1]["needs_you"] if one["kind"] == "path")
    assert item["says"] == f"{reason[:1].upper()}{reason[1:]}."
    assert call(story, "GET", "/readyz")[0] == 200
    metrics = story.house.metrics.exposition()[1].decode()
    assert 'gateway_path_down{path="internet"} 1.0' in metrics


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_pages_that_wait_already_go_by_phone_too(tell: Tell, disk: str) -> None:
    """Not after their ten seconds: at once; and one copy each."""
    text = CABLES + "classes: {critical: {next_leg_after: 10m}, urgent: {next_leg_after: 10m}}\n"
    story = tell(text, terminals={THREE: {}}, disk=disk)
    dead(story, ONE, TWO, FOUR)
    story.order("spok.line", "suspended")
    story.page("mail:1", message_class=NORMAL, text="to teach")
    story.forward(10)
    sent = [story.page("alice", text=f"page {n}", message_class=URGENT) for n in range(3)]
    story.forward(1)
    assert [leg.link for leg in story.legs(sent[0])] == ["spok.one"]
    story.order("spok.line", "open")
    story.wait_for(lambda: story.house.paths.down, limit=20)
    story.forward(0.5)
    assert sorted(copy.text for copy in story.copies(PAGER)) == ["page 0", "page 1", "page 2"]
    for one in sent:
        assert story.look(one).ending == "confirmed"
        assert [leg.link for leg in story.legs(one)] == ["spok.one", "spok.line"]
        assert [event.data["why"] for event in story.events(one, "leg_opened")] == ["path_down"]


def test_when_the_internet_is_back_the_order_is_as_before(tell: Tell) -> None:
    """The metric and the reason are gone; pages go by the first link again."""
    story = tell(CABLES, terminals={ONE: {}, TWO: {}, THREE: {}, FOUR: {}})
    cut(story)
    for at in (ONE, TWO, FOUR):
        story.weather(at)
    story.wait_for(lambda: not story.house.paths.down, limit=180)
    story.forward(minutes=10)
    assert "internet-down" not in story.house.health().codes
    sent = story.page("alice", message_class=CRITICAL)
    story.forward(1)
    assert [leg.link for leg in story.legs(sent)] == ["spok.one"]


def test_a_probe_outside_that_answers_means_that_the_internet_is_not_down(tell: Tell) -> None:
    """All carriers are away, the Internet is not: nothing is said of it, and pages go on in their order."""
    text = CABLES + f'watch: {{probe: "{PROBE}"}}\n'
    story = tell(text, terminals={THREE: {}, PROBE: {}})
    dead(story, ONE, TWO, FOUR, blackhole=True)
    story.page("alice", text="one", message_class=NORMAL)
    ways = ("spok.one", "spok.two", "mail.relay")
    story.wait_for(lambda: all(story.link(way).state == "resting" for way in ways), limit=600)
    story.forward(20)
    assert not story.house.paths.down
    dead(story, PROBE, blackhole=True)
    story.wait_for(lambda: story.house.paths.down, limit=180)


def test_a_device_over_the_internet_is_passed_over(tell: Tell) -> None:
    """The plan begins with one that has no other way: critical goes to the one that has, normal waits."""
    text = CABLES.replace(f'{{pager: "spok:{PAGER}"}}', f'{{desk: "mail:1", pager: "spok:{PAGER}"}}')
    story = tell(text, terminals={THREE: {}})
    cut(story)
    story.page("alice", text="urgent", message_class=URGENT)
    assert story.wait_for(lambda: story.copies(text="urgent")) <= 0.5


# ---------------------------------------------------------------- maintenance


SUNDAY = DIRECT.replace("    device: {", '    maintenance: ["Fri 00:10-00:40"]\n    device: {', 1)
BOTH = SETTINGS.replace("    device: {", '    maintenance: ["Fri 00:10-00:40"]\n    device: {', 1)
# stories begin on Friday 2027-01-01 at 00:00 UTC


def test_in_maintenance_nothing_is_sent_and_nothing_is_counted(tell: Tell) -> None:
    """It waits until the window is over, says so, and the breaker does not learn from it."""
    story = tell(SUNDAY, terminals={ONE: {}})
    story.forward(minutes=12)
    sent = story.page(ALICE, message_class=NORMAL)
    story.forward(minutes=27)
    assert story.copies() == []
    assert story.terminals[ONE].connected == []
    assert story.link("spok.one").state == "maintenance"
    lines = told(story, sent)
    assert any("Spok was not tried" in line and "maintenance lasts until 00:40" in line for line in lines)
    assert any("Spok is in maintenance until 00:40" in line for line in lines)
    assert story.wait_for(lambda: story.copies(PAGER), limit=120) <= 70
    assert story.link("spok.one").state in ("working", "idle")


def test_in_maintenance_the_other_carrier_goes_first(tell: Tell) -> None:
    """A person with two carriers is reached by the other one at once."""
    text = CABLES.replace("  spok:\n", '  spok:\n    maintenance: ["00:10-00:40"]\n').replace(
        f'{{pager: "spok:{PAGER}"}}', f'{{pager: "spok:{PAGER}", desk: "mail:1"}}'
    )
    story = tell(text, terminals={ONE: {}, TWO: {}, THREE: {}, FOUR: {}})
    story.forward(minutes=12)
    story.page("alice", message_class=URGENT)
    assert story.wait_for(lambda: story.copies("1")) <= 2
    story.forward(minutes=5)
    assert {copy.by for copy in story.copies()} == {FOUR}


def test_in_maintenance_a_critical_page_tries_all_the_same_when_nothing_else_is_left(tell: Tell) -> None:
    """Announced maintenance orders the ways, it never stops the last one; normal pages wait on."""
    story = tell(BOTH, terminals={ONE: {}, TWO: {}})
    story.forward(minutes=12)
    story.page(ALICE, text="routine", message_class=NORMAL)
    story.page(ALICE, message_class=CRITICAL)
    assert 9 <= story.wait_for(lambda: story.copies(text="Cath lab 2")) <= 20
    story.forward(60)
    assert story.copies(text="routine") == []
    assert len(story.copies()) == 1


# ---------------------------------------------------------------- rules


def test_a_rule_turns_a_no_into_a_later(tell: Tell) -> None:
    """A carrier that says 550 for a quota: the page goes out when the pause is over, and is not lost."""
    text = DIRECT.replace(
        "    device: {",
        '    rules: [{code: 550, match: "*BY SIM*", means: later, pause_link: 60s}]\n    device: {',
        1,
    )
    story = tell(text, terminals={ONE: {"refusals": (Refusal(step="PAGE", code=550),)}})
    sent = story.page(ALICE, message_class=NORMAL)
    story.forward(5)
    leg = story.legs(sent)[0]
    assert leg.state is State.WAITING
    assert any("rule 1" in line and "Refused by sim" in line for line in told(story, sent))
    story.terminal(ONE)
    other = story.page("spok:5550000", message_class=CRITICAL)
    story.forward(50)
    assert story.copies() == []
    assert 0 < story.wait_for(lambda: len(story.copies()) == 2, limit=60) <= 20
    story.forward(1)
    assert {story.look(one).ending for one in (sent, other)} == {"confirmed"}


# ---------------------------------------------------------------- faults


TROUBLE: dict[str, tuple[dict[str, Any], float]] = {
    # how the first link fares; within how many seconds a critical page is out over the other (F33, F34, F35)
    "f33 refused": ({"refuse": True}, 0.5),
    "f33 unreachable: no packet comes back": ({"blackhole": True}, 10.5),
    "f33 its name is unknown": ({"unknown": True}, 0.5),
    "f34 it takes the connection and never speaks": ({"cut_heard": 0, "ending": "silence"}, 10.5),
    "f35 it says a byte a second": ({"rate": 1.0}, 10.5),
}


@pytest.mark.parametrize(("weather", "within"), TROUBLE.values(), ids=TROUBLE.keys())
def test_f33_f34_f35_the_next_way_is_found_in_time(
    tell: Tell, weather: dict[str, Any], within: float
) -> None:
    """Ten seconds at the first time at most, half a second once the link is known to fail."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, **weather)
    story.page("alice", text="first", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies(text="first")) <= within
    story.forward(1)
    for number in range(20):
        story.page("alice", text=f"page {number}", message_class=CRITICAL)
        assert story.wait_for(lambda n=number: story.copies(text=f"page {n}")) <= 0.5
        story.forward(3)
    assert len(story.copies()) == 21


def test_f37_late_proof_stops_the_second_copy_before_it_begins(tell: Tell) -> None:
    """The answer was lost, the copy over the other way still waits there; then the carrier reports the
    first: the copy is stopped, and the story says that it was not needed."""
    story = tell(terminals={ONE: {"lose_answer": 0}, TWO: {}})
    story.order("spok.two", "suspended")
    sent = story.page("alice", message_class=CRITICAL)
    story.wait_for(lambda: story.copies(PAGER))
    story.forward(1)
    legs = {leg.link: leg for leg in story.legs(sent)}
    assert legs["spok.one"].state is State.DOUBT
    assert legs["spok.two"].state is State.WAITING
    _proof(story, sent, "spok.one")
    story.forward(1)
    story.order("spok.two", "open")
    story.terminal(ONE)
    story.forward(minutes=20)
    assert len(story.copies()) == 1
    legs = {leg.link: leg for leg in story.legs(sent)}
    assert legs["spok.two"].state is State.CANCELLED
    assert any(line.startswith("Not needed: the copy") for line in told(story, sent))


def test_the_carriers_own_status_stops_a_copy_in_time(tell: Tell) -> None:
    """MSTAtus says that it is on the pager, which is what was asked for: the mail that waits is not sent."""
    text = CABLES.replace(
        f'one: {{adapter: snpp, at: "{ONE}"}}', f'one: {{adapter: snpp, at: "{ONE}", two_way: true}}'
    )
    text = text.replace(f'{{pager: "spok:{PAGER}"}}', f'{{pager: "spok:{PAGER}", desk: "mail:1"}}')
    every = ", ".join(f"{one}: [pager + desk]" for one in ("critical", "urgent", "normal", "bulk"))
    text += f"plans: {{both: {{{every}}}}}\ndefaults: {{people: {{plan: both}}}}\n"
    story = tell(text, terminals={ONE: {"progress": (Progress(after=20, code=860),)}, FOUR: {}})
    story.order("mail.relay", "suspended")
    sent = story.page("alice", message_class=CRITICAL, until=Level.ON_DEVICE)
    story.forward(15)
    assert {leg.link: leg.state for leg in story.legs(sent)} == {
        "spok.one": State.TAKEN,
        "mail.relay": State.WAITING,
    }
    story.forward(60)
    story.order("mail.relay", "open")
    story.forward(minutes=5)
    assert [copy.by for copy in story.copies()] == [ONE]
    assert story.look(sent).ending == "confirmed"
    assert {leg.link: leg.state for leg in story.legs(sent)}["mail.relay"] is State.CANCELLED


def _proof(story: Story, sent: Accepted, link: str) -> None:
    from gateway.adapters.base import Evidence
    from gateway.model import LinkName
    from gateway.store.rows import correlation

    row = story.look(sent)
    delivery = next(leg.delivery for leg in row.deliveries if leg.link == link)
    ref = correlation(row.public_id, delivery)
    evidence = Evidence(scope="spok", ref=ref, state="860", at=story.env.now(), level=Level.ON_DEVICE)
    story.run(story.house.reception.report(LinkName(link), evidence))


def test_f46_a_name_that_nobody_knows_costs_a_page_half_a_second(tell: Tell) -> None:
    """With another way there is nothing to wait for; the last good answer is kept by the look-up itself."""
    text = SETTINGS.replace(ONE, "snpp.example.net:444")
    story = tell(text, terminals={"snpp.example.net:444": {}, TWO: {}})
    story.page("alice", text="before", message_class=CRITICAL)
    story.forward(30)
    story.weather("snpp.example.net:444", unknown=True)
    for number in range(20):
        story.page("alice", text=f"page {number}", message_class=CRITICAL)
        assert story.wait_for(lambda n=number: story.copies(text=f"page {n}")) <= 0.5
        story.forward(7)


FLAPPING = f"""
listen: {{http: {{at: "127.0.0.1:8080"}}}}
texts: {{default: ["{{text}}", "{{short}}"]}}
clients: {{monitoring: {{token_sha256: [{"a" * 64}], may_page: [everyone]}}}}
carriers:
""" + "".join(
    f"""  c{n}: {{links: {{one: {{adapter: snpp, at: "10.1.{n}.1:444"}}, two: {{adapter: snpp, at: "10.1.{n}.2:444"}}}}}}
"""
    for n in range(4)
)


def test_f55_half_of_the_carriers_flap(tell: Tell) -> None:
    """Up and down every ten seconds for ten minutes: nothing is lost or doubled, and a carrier's pages
    change their way at most once in fifteen seconds on average."""
    story = tell(FLAPPING, terminals={f"10.1.{n}.{k}:444": {} for n in range(4) for k in (1, 2)})
    minutes, step = 10, 2.5
    for number in range(int(minutes * 60 / step)):
        up = int(number * step / 10) % 2 == 0
        for n in (0, 1):
            story.weather(f"10.1.{n}.1:444", **({} if up else {"refuse": True}))
        for n in range(4):
            story.page(f"c{n}:5551212", text=f"{n}/{number}", message_class=URGENT)
        story.forward(step)
    for n in (0, 1):
        story.weather(f"10.1.{n}.1:444")
    story.forward(minutes=5)
    copies = story.copies()
    assert len(copies) == len({copy.text for copy in copies}) == 4 * int(minutes * 60 / step)
    for n in range(4):
        ways = [copy.by for copy in copies if copy.text.startswith(f"{n}/")]
        changes = sum(before != after for before, after in pairwise(ways))
        assert changes <= (minutes * 60 / 15 if n < 2 else 0)


def test_stories_begin_on_a_friday() -> None:
    """What the windows above rely on."""
    assert datetime(2027, 1, 1, tzinfo=UTC).weekday() == 4
