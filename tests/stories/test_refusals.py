"""What a terminal's no means: never again this way, later, or not over this link at all."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.lifecycle import State
from gateway.outcome import Level
from gateway.sim.snpp import Progress, Refusal
from tests.stories.conftest import Tell
from tests.stories.world import ALICE, BULK, CRITICAL, DIRECT, NORMAL, ONE, PAGER, SETTINGS, TWO, URGENT

TWO_DEVICES = SETTINGS.replace(
    f'devices: {{pager: "spok:{PAGER}"}}', f'devices: {{pager: "spok:{PAGER}", spare: "spok:5550000"}}'
)


def test_an_unknown_pager_is_not_tried_again_and_the_next_device_is_used(tell: Tell) -> None:
    """550 stays a no: the same address is tried once on each link, then the spare pager."""
    story = tell(TWO_DEVICES, terminals={ONE: {}, TWO: {}})
    for at in (ONE, TWO):
        _refuse_pager(story.terminals[at], PAGER)
    sent = story.page("alice", message_class=CRITICAL)
    assert story.wait_for(lambda: story.copies("5550000")) <= 2
    story.forward(minutes=20)
    asked = [pager for at in (ONE, TWO) for _, pager in story.terminals[at].asked]
    assert asked.count(PAGER) == 2
    assert len(story.copies()) == 1
    assert story.look(sent).ending == "confirmed"


def test_a_pager_refused_everywhere_fails_the_message(tell: Tell) -> None:
    """The message ends as failed, with the carrier's words on record."""
    story = tell(DIRECT, terminals={ONE: {"refusals": (Refusal(step="PAGE", code=550),)}})
    sent = story.page(ALICE)
    story.forward(5)
    row = story.look(sent)
    assert (row.ending, row.deliveries[0].code) == ("failed", "550")
    assert len(story.terminals[ONE].asked) == 1


@pytest.mark.parametrize(
    ("message_class", "waits"),
    [
        (CRITICAL, (0, 5, 10, 20, 30, 30)),
        (URGENT, (0, 15, 30, 60, 60)),
        (NORMAL, (30, 120, 300, 600, 1800, 1800)),
        (BULK, (300, 900, 3600, 3600)),
    ],
)
def test_a_terminal_with_a_technical_failure_is_tried_again(
    tell: Tell, message_class: object, waits: tuple[float, ...]
) -> None:
    """554: again after the waits of the class, each but the first ±20 %, until the deadline."""
    story = tell(DIRECT, terminals={ONE: {"refusals": (Refusal(step="SEND", code=554),)}})
    story.page(ALICE, message_class=message_class)
    story.forward(sum(waits) * 1.25 + 10)
    asked = [at for at, _ in story.terminals[ONE].asked]
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert len(gaps) >= len(waits)
    for number, (gap, wait) in enumerate(zip(gaps, waits, strict=False)):
        least, most = (wait, wait) if number == 0 else (0.8 * wait, 1.2 * wait)
        assert max(least, 1.0 if number == 0 else 0) - 0.1 <= gap <= max(most, 1.0) + 1.0, (number, gap)


def test_a_terminal_that_is_well_again_gets_the_page(tell: Tell) -> None:
    """After the trouble is over the page goes out at its next try, unmarked: no copy of it was out."""
    story = tell(DIRECT, terminals={ONE: {"refusals": (Refusal(step="SEND", code=554),)}})
    sent = story.page(ALICE, message_class=URGENT)
    story.forward(20)
    story.terminal(ONE)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 40
    story.forward(1)
    assert story.copies(PAGER)[0].text == "Cath lab 2"
    assert story.look(sent).deliveries[0].tries >= 3


def test_enough_is_enough(tell: Tell) -> None:
    """With `max_tries: 3` the third "later" fails the delivery."""
    text = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", max_tries: 3')
    story = tell(text, terminals={ONE: {"refusals": (Refusal(step="SEND", code=554),)}})
    sent = story.page(ALICE)
    story.forward(minutes=5)
    row = story.look(sent)
    assert (row.ending, row.deliveries[0].tries, row.deliveries[0].reason) == ("failed", 3, "max_tries")
    assert len(story.terminals[ONE].asked) == 3


def test_a_link_that_refuses_us_is_switched_off_and_the_page_goes_elsewhere(tell: Tell) -> None:
    """500 to PAGE: the wrong server. The link is suspended, people are told why, nothing more is tried."""
    story = tell(terminals={ONE: {"refusals": (Refusal(step="PAGE", code=500),)}, TWO: {}})
    sent = story.page("alice", message_class=URGENT)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 1
    story.forward(minutes=5)
    link = story.link("spok.one")
    assert (link.mode, link.by) == ("suspended", "gateway")
    assert "500" in (link.why or "")
    assert len(story.terminals[ONE].asked) == 1
    assert [copy.by for copy in story.copies(PAGER)] == [TWO]
    assert story.look(sent).ending == "confirmed"
    story.page("alice", text="second")
    story.forward(1)
    assert [copy.by for copy in story.copies(PAGER, "second")] == [TWO]


def test_a_suspended_link_stays_so_over_a_restart_until_somebody_resumes_it(tell: Tell) -> None:
    """What the gateway switched off, a person switches on; what waited goes out then."""
    story = tell(DIRECT, terminals={ONE: {"refusals": (Refusal(step="PAGE", code=500),)}})
    sent = story.page(ALICE, message_class=NORMAL)
    story.forward(5)
    story.crash()
    story.terminal(ONE)
    story.forward(minutes=10)
    assert story.link("spok.one").mode == "suspended"
    assert story.copies() == []
    story.order("spok.one", "open")
    story.forward(2)
    assert [copy.text for copy in story.copies(PAGER)] == ["Cath lab 2"]
    assert story.look(sent).ending == "confirmed"


LOGIN = SETTINGS.replace(f'at: "{ONE}"', f'at: "{ONE}", login: hospital')


def test_a_refused_login_sends_the_page_elsewhere(tell: Tell) -> None:
    """Nothing was entered, so nothing is in doubt; the link is tried again, ever more rarely."""
    story = tell(LOGIN, terminals={ONE: {"login": "somebody-else"}, TWO: {}})
    sent = story.page("alice", message_class=URGENT)
    assert story.wait_for(lambda: story.copies(PAGER)) <= 1
    story.forward(minutes=30)
    assert [copy.by for copy in story.copies(PAGER)] == [TWO]
    failure = story.link("spok.one").last_failure
    assert failure is not None
    assert "550" in failure.says or "refused" in failure.says.lower()
    assert story.look(sent).deliveries[0].tries == 0


TWO_WAY = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", two_way: true')


def test_the_level_climbs_with_what_the_carrier_tells(tell: Tell) -> None:
    """MSTAtus: delivered after 10 s, read after 60 s; the level never says more than was heard."""
    steps = (Progress(after=10, code=860), Progress(after=60, code=870))
    story = tell(TWO_WAY, terminals={ONE: {"progress": steps}})
    sent = story.page(ALICE, until=Level.READ)
    story.forward(5)
    assert story.look(sent).level is Level.HANDED_OVER
    story.forward(30)
    assert story.look(sent).level is Level.ON_DEVICE
    assert story.look(sent).ending is None
    story.forward(60)
    assert (story.look(sent).level, story.look(sent).ending) == (Level.READ, "confirmed")


def test_what_was_taken_is_asked_about_after_a_restart_too(tell: Tell) -> None:
    """The tag is on record; and without any the carrier is not even called."""
    steps = (Progress(after=10, code=860), Progress(after=60, code=870))
    story = tell(TWO_WAY, terminals={ONE: {"progress": steps}})
    story.forward(minutes=5)
    assert story.terminals[ONE].connected == []
    sent = story.page(ALICE, until=Level.READ)
    story.forward(12)
    story.crash()
    story.forward(120)
    assert story.look(sent).level is Level.READ
    story.forward(hours=2)  # the reader may still answer; after an hour nobody asks any more
    calls = len(story.terminals[ONE].connected)
    story.forward(hours=2)
    assert len(story.terminals[ONE].connected) == calls


def test_a_page_that_expires_at_the_carrier_is_a_setback(tell: Tell) -> None:
    """The carrier took it and gave up later: the next device is used."""
    text = TWO_DEVICES.replace(f'at: "{ONE}"', f'at: "{ONE}", two_way: true')
    story = tell(text, terminals={ONE: {"progress": (Progress(after=10, code=780),)}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL, until=Level.ACKNOWLEDGED)
    story.forward(40)
    first = story.legs(sent)[0]
    assert (first.state, first.setback is not None) == (State.TAKEN, True)
    assert len(story.copies()) >= 2


@pytest.mark.parametrize(
    ("code", "rest", "said"),
    [(889, "OK on my way", "OK on my way"), (888, "02", "Yes, I go"), (888, "07", "07")],
)
def test_an_answer_on_the_pager(tell: Tell, code: int, rest: str, said: str) -> None:
    """Free words, or one of the replies that the page offered: by "OK" or "Yes" somebody has it, and nobody
    else is paged."""
    text = TWO_DEVICES.replace(f'at: "{ONE}"', f'at: "{ONE}", two_way: true')
    steps = (Progress(after=3, code=code, text=rest),)
    story = tell(text, terminals={ONE: {"progress": steps}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL, until=None, replies=("Cannot", "Yes, I go"))
    story.forward(minutes=4)
    assert [event.data["text"] for event in story.events(sent, "reply")] == [said]
    row = story.look(sent)
    if said == "07":
        assert (row.accepted_by, row.ending) == (None, "unanswered")
    else:
        assert (row.accepted_by, row.ending) == ("alice", "confirmed")
        assert {copy.by for copy in story.copies()} == {ONE}


def _refuse_pager(terminal: object, pager: str) -> None:
    """The terminal does not know *pager*."""
    from protocols.snpp import messages as m

    check = terminal.check_pager  # type: ignore[attr-defined]

    async def checked(who: object, asked: object) -> m.Reply:
        reply: m.Reply = await check(who, asked)
        known = str(asked.recipient.pager) != pager  # type: ignore[attr-defined]
        return reply if known else m.Reply(550, "Unknown pager")

    terminal.check_pager = checked  # type: ignore[attr-defined]
