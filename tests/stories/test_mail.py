"""Pages by mail: what a relay says at once, and what comes back later through the bounce door."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.lifecycle import State
from gateway.model import MessageClass
from gateway.outcome import Level
from gateway.sim.smtp import Fate, Refusal, SimulatedSmtp, SmtpQuirks
from gateway.sim.truth import Copy, Truth
from tests.stories.conftest import Tell
from tests.stories.world import DIRECT, NORMAL, ONE, PAGER, URGENT, Story

RELAY, DOOR = "relay.example:25", "10.9.0.1:2525"
LINK = f"""
      relay:
        adapter: smtp
        at: "{RELAY}"
        tls: off
        from: pages@st-anne.example
        bounce_address: pages@bounces.st-anne.example
        bounce_secret: {{env: BOUNCE_SECRET}}
        reports: success
"""
MAIL = (
    DIRECT.replace("carriers:", f"carriers:\n  mail:\n    device: {{id: address}}\n    links:{LINK}")
    .replace("listen: {", f'listen: {{smtp: {{at: "{DOOR}"}}, ')
    .replace(f'{{pager: "spok:{PAGER}"}}', f'{{mail: "mail:alice@st-anne.example", pager: "spok:{PAGER}"}}')
)
"""Alice has mail first, then a pager."""


def relay(story: Story, **quirks: Any) -> list[Copy]:
    """A relay that reports to the bounce door; the mails that reached a mailbox."""
    truth = Truth()
    simulated = SimulatedSmtp(story.world.env("relay.example"), SmtpQuirks(**quirks), truth, reports_to=DOOR)
    story.world.listeners.pop(RELAY, None)
    story.run(simulated.listen(RELAY))
    return truth.copies


def fates(**seconds: float) -> dict[str, tuple[Fate, ...]]:
    return {"fates": tuple(Fate(after=after, action=action) for action, after in seconds.items())}


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_a_mail_climbs_by_its_reports(tell: Tell, disk: str) -> None:
    """250 is handed over; relayed is on its way; delivered, from a relay that means it, is on the device."""
    story = tell(MAIL, disk=disk)
    mails = relay(story, **fates(delayed=5, relayed=10, delivered=20))
    sent = story.page("alice")
    for until, level in (
        (4, Level.HANDED_OVER),
        (8, Level.HANDED_OVER),
        (12, Level.IN_PROGRESS),
        (25, Level.ON_DEVICE),
    ):
        story.until(until)
        assert story.look(sent).level is level
    assert [event.data["state"] for event in story.events(sent, "level")] == [
        "relayed 2.0.0",
        "delivered 2.0.0",
    ]
    assert [(copy.pager, copy.text) for copy in mails] == [("alice@st-anne.example", "Cath lab 2")]
    assert story.copies() == []


def test_a_bounce_is_a_setback_and_another_device_is_used(tell: Tell) -> None:
    """The relay took it, and says later that there is no such mailbox: the pager is next."""
    plan = ", ".join(f"{one.token}: [mail, pager]" for one in MessageClass)
    text = MAIL + f"plans: {{by-mail: {{{plan}}}}}\ndefaults: {{people: {{plan: by-mail}}}}\n"
    story = tell(text, terminals={ONE: {}})
    relay(story, **fates(failed=5))
    sent = story.page("alice", message_class=URGENT, until=Level.ON_DEVICE)
    story.wait_for(lambda: story.copies(PAGER), limit=60)
    (setback,) = story.events(sent, "setback")
    assert setback.data == {"why": "5.1.1 smtp; 550 5.1.1 simulated", "state": "failed 5.1.1"}
    assert story.legs(sent)[0].level is Level.HANDED_OVER


def test_greylisting_is_waited_out(tell: Tell) -> None:
    """The same envelope sender at every try, or it would never end; one mail arrives."""
    story = tell(MAIL.replace(f', pager: "spok:{PAGER}"', ""))
    mails = relay(story, greylist=20.0)
    sent = story.page("alice")
    story.forward(minutes=3)
    assert len(mails) == 1
    assert story.look(sent).ending == "confirmed"
    assert story.legs(sent)[0].tries >= 2


def test_a_report_settles_a_doubt(tell: Tell) -> None:
    """The answer to the text was lost; that the mail arrived is heard from its report, and no copy follows."""
    story = tell(MAIL)
    mails = relay(story, lose_answer=0, **fates(delivered=10))
    sent = story.page("alice", message_class=NORMAL, until=Level.ON_DEVICE)
    story.forward(5)
    assert story.legs(sent)[0].state is State.DOUBT
    story.forward(minutes=10)
    assert len(mails) == 1
    assert story.events(sent, "late_proof")
    assert (story.look(sent).ending, story.look(sent).level) == ("confirmed", Level.ON_DEVICE)


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_a_report_that_comes_while_the_gateway_is_down_comes_again(tell: Tell, disk: str) -> None:
    """The relay keeps it; after the restart it finds its page, whose outcome the crash had made a doubt."""
    story = tell(MAIL, disk=disk)
    mails = relay(story, **fates(delivered=5))
    story.env.fail_at("sent")
    sent = story.page("alice", message_class=NORMAL, until=Level.ON_DEVICE)
    story.forward(12)
    assert not story.env.alive
    story.start() if disk == "memory" else story.crash()
    story.forward(20)
    assert len(mails) == 1
    assert story.look(sent).level is Level.ON_DEVICE


def test_a_refused_mailbox_leaves_the_relay_in_use(tell: Tell) -> None:
    """What one recipient's mailbox is refused for is not the relay's trouble."""
    story = tell(MAIL, terminals={ONE: {}})
    relay(story, refusals=(Refusal(step="RCPT", code=550),))
    story.page("alice")
    story.wait_for(lambda: story.copies(PAGER), limit=10)
    assert story.link("mail.relay").mode == "open"


def test_the_bounce_door_closes_before_the_links(tell: Tell) -> None:
    """Who stops takes no new reports; the port is free again."""
    story = tell(MAIL)
    assert DOOR in story.world.listeners
    story.stop()
    assert DOOR not in story.world.listeners


def test_the_door_has_its_place_in_the_settings(tell: Tell) -> None:
    """Its own mistakes are told like all others, and changing it takes effect at the next start."""
    story = tell(MAIL)
    story.reload(MAIL.replace("2525", "2526"))
    assert "listen: takes effect at the next start" in story.house.settings().warnings
