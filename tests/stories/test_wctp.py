"""Pages by WCTP: what the carrier says at once, and what it tells later by push, by poll or when asked."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.adapters.base import Accepted, Evidence
from gateway.lifecycle import State
from gateway.model import LinkName, MessageClass
from gateway.outcome import Level
from gateway.sim.truth import Truth
from gateway.sim.wctp import Progress, Refusal, SimulatedWctp, WctpQuirks
from gateway.web import Response
from protocols.wctp import messages as m
from tests.stories.conftest import Tell
from tests.stories.wctp_carrier import AT, DOOR, PUSH, WctpCarrier
from tests.stories.world import DIRECT, NORMAL, ONE, PAGER, URGENT, Story

DEVICE = "5550104477"
QUEUED, DELIVERED, READ = (
    m.Notification(event=one) for one in (m.Event.QUEUED, m.Event.DELIVERED, m.Event.READ)
)
UNTIL_SEEN = {"until": Level.ACKNOWLEDGED, "replies": ("OK", "Busy")}


def settings(**keys: object) -> str:
    """Alice has a two-way device at a WCTP carrier first, then a pager."""
    told = {
        "url": '"http://wctp.example/wctp"',
        "sender_id": "pages@st-anne.example",
        "notify_delivered": "true",
    } | keys
    own = "".join(f"\n        {key}: {value}" for key, value in told.items())
    link = f"\n      web:\n        adapter: wctp{own}\n"
    return (
        DIRECT.replace("carriers:", f"carriers:\n  metro:\n    device: {{id: number}}\n    links:{link}")
        .replace("listen: {", f'listen: {{wctp: {{at: "{DOOR}", secret: {{env: HOOK}}}}, ')
        .replace(f'{{pager: "spok:{PAGER}"}}', f'{{mobile: "metro:{DEVICE}", pager: "spok:{PAGER}"}}')
    )


PUSHED, POLLED = settings(answers="push"), settings(answers="poll")
ASKED = settings(mode="transient", answers="query")


def begun(tell: Tell, text: str, **how: Any) -> tuple[Story, WctpCarrier]:
    """The carrier is there before the gateway starts."""
    story = tell(text, started=False, **how)
    carrier = WctpCarrier(story)
    story.start()
    return story, carrier


def paged(story: Story, carrier: WctpCarrier, **more: Any) -> Accepted:
    """A page to Alice that the carrier has taken."""
    sent = story.page("alice", **(UNTIL_SEEN | more))
    story.wait_for(lambda: carrier.copies, limit=5)
    story.forward(0.5)
    return sent


# ---------------------------------------------------------------- pushed


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_a_page_climbs_by_what_is_pushed_and_its_reply_acknowledges(tell: Tell, disk: str) -> None:
    """Success is handed over, QUEUED in progress, DELIVERED on the device; the chosen reply is a person's yes."""
    story, carrier = begun(tell, PUSHED, disk=disk)
    sent = paged(story, carrier)
    (copy,), (said,) = carrier.copies, carrier.submitted
    assert (copy.device, copy.text) == (DEVICE, "Cath lab 2")
    assert isinstance(said.payload, m.MultipleChoice)
    assert [one.text for one in said.payload.choices] == ["OK", "Busy"]  # type: ignore[union-attr]
    assert story.look(sent).level is Level.HANDED_OVER
    for what, level in (
        (QUEUED, Level.IN_PROGRESS),
        (DELIVERED, Level.ON_DEVICE),
        (" ok ", Level.ACKNOWLEDGED),
    ):
        carrier.push(carrier.report(what))
        story.forward(1)
        assert story.look(sent).level is level
    assert [one.code for one in carrier.pushed] == [200, 200, 200]  # type: ignore[union-attr]
    assert story.look(sent).accepted_by == "alice"
    assert [event.data["text"] for event in story.events(sent, "reply")] == ["OK"]


@pytest.mark.parametrize("code", [m.Code.DEVICE_NO_MCR, m.Code.NO_MCR])
def test_a_device_without_choices_gets_the_replies_as_text(tell: Tell, code: m.Code) -> None:
    """At once, by the same way; its answer by number is the reply with that number. The next page goes so from
    the beginning."""
    story, carrier = begun(tell, PUSHED)
    carrier.no_choices = m.failure(code, "no choices")
    sent = paged(story, carrier)
    (copy,) = carrier.copies
    assert (copy.device, copy.text) == (DEVICE, "Cath lab 2 1) OK 2) Busy")
    assert len(copy.name) <= 32
    carrier.push(carrier.report("1"))
    story.forward(1)
    assert story.look(sent).level is Level.ACKNOWLEDGED
    assert [event.data["text"] for event in story.events(sent, "reply")] == ["OK"]
    story.page("alice", **(UNTIL_SEEN | {"text": "Second"}))
    story.wait_for(lambda: len(carrier.copies) == 2, limit=5)
    assert carrier.refused == 1


def test_the_same_push_again_is_one_piece_of_evidence(tell: Tell) -> None:
    """B45: a carrier that did not hear our success repeats; it is told success again, and nothing is twice."""
    story, carrier = begun(tell, PUSHED)
    sent = paged(story, carrier)
    for report in (carrier.report(DELIVERED), carrier.report("Busy")):
        for _ in range(3):
            carrier.push(report)
            story.forward(1)
    assert [one.code for one in carrier.pushed] == [200] * 6  # type: ignore[union-attr]
    assert len(story.events(sent, "level")) == 2
    assert len(story.events(sent, "reply")) == 1


def test_a_reply_of_another_device_is_not_taken(tell: Tell) -> None:
    """Who answers must be who was paged, however the number is written, or say on whose behalf."""
    story, carrier = begun(tell, PUSHED)
    sent = paged(story, carrier)
    carrier.push(carrier.report("OK", device="5550109999"))
    story.forward(1)
    assert [one.code for one in carrier.pushed] == [504]  # type: ignore[union-attr]
    assert story.look(sent).level is Level.HANDED_OVER
    carrier.push(carrier.report("OK", device="+555 010-4477"))
    story.forward(1)
    assert story.look(sent).level is Level.ACKNOWLEDGED


def test_a_failure_that_comes_later_is_a_setback(tell: Tell) -> None:
    """The carrier took it and cannot deliver it: the pager is next."""
    story, carrier = begun(tell, PUSHED, terminals={ONE: {}})
    sent = paged(story, carrier, message_class=URGENT, until=Level.ON_DEVICE)
    carrier.push(carrier.report(m.failure(m.Code.EXPIRED, "not reached in time")))
    story.wait_for(lambda: story.copies(PAGER), limit=60)
    (setback,) = story.events(sent, "setback")
    assert setback.data == {"why": "501 not reached in time", "state": "failed 501"}


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_a_push_while_the_gateway_is_down_comes_again_and_settles_the_doubt(tell: Tell, disk: str) -> None:
    """It died while it sent; after the restart the repeated push names the page, and no copy follows."""
    story, carrier = begun(tell, PUSHED, disk=disk)
    story.env.fail_at("sent")
    sent = story.page("alice", message_class=NORMAL, until=Level.ON_DEVICE)
    story.wait_for(lambda: carrier.copies, limit=5)
    story.forward(1)
    assert not story.env.alive
    carrier.push(carrier.report(DELIVERED))
    story.forward(1)
    story.start() if disk == "memory" else story.crash()
    assert story.legs(sent)[0].state is State.DOUBT
    story.forward(70)
    assert len(carrier.copies) == 1
    assert (story.look(sent).ending, story.look(sent).level) == ("confirmed", Level.ON_DEVICE)


def test_a_push_never_makes_us_connect_anywhere(tell: Tell) -> None:
    """B47: sendResponsesToID points inside, and stays what it is: a text."""
    story, carrier = begun(tell, PUSHED)
    paged(story, carrier)
    story.world.recent.clear()
    carrier.push(carrier.report("OK"))
    story.forward(5)
    assert [one.code for one in carrier.pushed] == [200]  # type: ignore[union-attr]
    assert [line.split(maxsplit=1)[1] for line in story.world.recent if "connect" in line] == [
        f"wctp.example connects to {DOOR}"
    ]


# ---------------------------------------------------------------- polled


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_a_page_climbs_by_what_is_fetched(tell: Tell, disk: str) -> None:
    """Polled although no page is due; what was fetched is acknowledged in the next poll, when it is on record."""
    story, carrier = begun(tell, POLLED, disk=disk)
    sent = paged(story, carrier)
    carrier.keep(carrier.report(DELIVERED), carrier.report("ok"))
    story.forward(70)
    assert story.look(sent).level is Level.ACKNOWLEDGED
    assert len(carrier.queue) == 2
    story.forward(70)
    assert carrier.queue == []
    assert [one.result.code for _, poll in carrier.polls for one in poll.received] == [200, 200]


def test_what_people_answer_is_in_no_transcript(tell: Tell) -> None:
    """Nor is what they were asked; that they answered is."""
    story, carrier = begun(tell, POLLED)
    paged(story, carrier)
    carrier.keep(carrier.report("Bed four is taken"))
    story.forward(minutes=2)
    shown = "\n".join(story.house.transcript(LinkName("metro.web")))
    assert "wctp-MessageReply" in shown
    assert "Bed four" not in shown and "Cath lab" not in shown


def test_polling_keeps_its_pace(tell: Tell) -> None:
    """The configured interval where the carrier names none; its own where it does; at least a second."""
    story, carrier = begun(tell, POLLED)
    story.forward(minutes=10)
    assert 9 <= len(carrier.polls) <= 13
    carrier.next_poll, before = 300, len(carrier.polls)
    story.forward(minutes=20)
    assert 3 <= len(carrier.polls) - before <= 6
    story.forward(minutes=6)
    carrier.next_poll = 0
    story.forward(minutes=6)
    before = len(carrier.polls)
    story.forward(10)
    assert 8 <= len(carrier.polls) - before <= 12


def test_a_full_queue_is_drained(tell: Tell) -> None:
    """Batch after batch without waiting an interval in between."""
    story, carrier = begun(tell, POLLED)
    sent = paged(story, carrier)
    carrier.keep(*(carrier.report(f"Answer {n}") for n in range(25)))
    story.wait_for(lambda: not carrier.queue, limit=75 + 60)
    assert len(story.events(sent, "reply")) == 25


def test_a_carrier_that_cannot_be_polled_is_asked_more_and_more_seldom(tell: Tell) -> None:
    """At the latest every quarter of an hour; and when it is well again, what it kept arrives. Pages went out
    all the time."""
    story, carrier = begun(tell, POLLED)
    sent = paged(story, carrier)
    carrier.keep(carrier.report("ok"))
    carrier.unwell = True
    story.forward(hours=2)
    carrier.unwell = False
    story.forward(minutes=17)
    assert story.look(sent).level is Level.READ  # its pursuit ended long ago
    assert len(story.events(sent, "reply")) == 1


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_a_crash_between_report_and_acknowledgement_repeats_nothing(tell: Tell, disk: str) -> None:
    """The carrier gives it again; it is on record once."""
    story, carrier = begun(tell, POLLED, disk=disk)
    sent = paged(story, carrier)
    carrier.keep(carrier.report(DELIVERED), carrier.report("Busy"))
    story.env.fail_at("T4", nth=2)
    story.wait_for(lambda: not story.env.alive, limit=90)
    assert len(carrier.queue) == 2
    story.start() if disk == "memory" else story.crash()
    story.forward(minutes=3)
    assert carrier.queue == []
    assert len(story.events(sent, "reply")) == 1
    assert [event.data["level"] for event in story.events(sent, "level")] == ["on_device", "read"]


def test_a_refused_acknowledgement_keeps_no_answer_from_being_fetched(tell: Tell) -> None:
    """Our last poll reached the carrier and its answer was lost: it knows the item no more, and refuses each
    poll that acknowledges it again."""
    story, carrier = begun(tell, POLLED)
    sent = paged(story, carrier)
    carrier.keep(carrier.report("first"))
    carrier.refuse_unknown = True
    story.wait_for(lambda: story.events(sent, "reply"), limit=90)
    carrier.queue = []
    carrier.keep(carrier.report("second"))
    story.wait_for(lambda: not carrier.queue, limit=600)
    assert [event.data["text"] for event in story.events(sent, "reply")] == ["first", "second"]


def test_an_item_that_breaks_us_keeps_no_other_and_is_not_acknowledged(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be reported stays with the carrier; what stands behind it is on record."""
    story, carrier = begun(tell, POLLED)
    sent = paged(story, carrier)
    carrier.keep(carrier.report("poison"), carrier.report("OK"))
    reception = type(story.house.reception)
    report = reception.report

    async def breaks(self: Any, link: LinkName, evidence: Evidence) -> None:
        if evidence.reply == "poison":
            raise ZeroDivisionError
        await report(self, link, evidence)

    monkeypatch.setattr(reception, "report", breaks)
    story.forward(minutes=5)
    assert [event.data["text"] for event in story.events(sent, "reply")] == ["OK"]
    assert len(carrier.queue) == 1
    acknowledged = {one.sequence for _, poll in carrier.polls for one in poll.received}
    assert carrier.queue[0].sequence not in acknowledged
    assert all("ZeroDivisionError" in one for one in story.failures)
    story.failures.clear()


def test_poll_first_is_heeded_at_once(tell: Tell) -> None:
    """304 to a page: the answers are fetched and acknowledged within seconds, and the page goes out."""
    story, carrier = begun(tell, settings(answers="poll", poll_interval="900s"))
    paged(story, carrier)
    story.forward(minutes=2)
    assert len(carrier.polls) == 1
    carrier.keep(carrier.report("OK"))
    carrier.refuse = m.failure(m.Code.POLL_FIRST, "fetch your messages")
    story.page("alice", message_class=URGENT, text="Second")
    story.wait_for(lambda: not carrier.queue, limit=5)
    assert len(carrier.polls) == 3
    carrier.refuse = None
    story.wait_for(lambda: len(carrier.copies) == 2, limit=60)


def test_what_is_no_report_of_ours_is_told_so_and_goes(tell: Tell) -> None:
    """A message that a device began, a reply to nothing: acknowledged with a failure, or they came for ever."""
    story, carrier = begun(tell, POLLED)
    paged(story, carrier)
    stranger = carrier.report("OK", device="5550109999")
    unasked = m.SubmitRequest(
        originator=m.Originator(sender_id=m.WctpId(DEVICE)),
        control=m.MessageControl(message_id=m.MessageId("1")),
        recipient=m.Recipient(recipient_id=m.WctpId("pages@st-anne.example")),
        payload=m.Alphanumeric(text=m.WctpText("hello")),
    )
    carrier.keep(stranger, unasked)
    story.forward(minutes=3)
    assert carrier.queue == []
    assert [one.result.code for _, poll in carrier.polls for one in poll.received] == [504, 300]


def test_a_suspended_link_is_not_polled(tell: Tell) -> None:
    """Who switched it off wanted silence."""
    story, carrier = begun(tell, POLLED)
    story.forward(1)
    story.order("metro.web", "suspended")
    story.forward(minutes=5)
    before = len(carrier.polls)
    story.forward(minutes=5)
    assert len(carrier.polls) == before <= 2
    story.order("metro.web", "open")
    story.forward(minutes=2)
    assert len(carrier.polls) > before


def test_a_poll_under_way_does_not_hold_the_stop(tell: Tell) -> None:
    """A carrier that says nothing is given up after seconds, and pages went out meanwhile."""
    story, carrier = begun(tell, POLLED)
    carrier.silent = True
    story.forward(5)
    assert len(carrier.polls) == 1
    paged(story, carrier)
    before = story.now
    story.stop()
    assert story.now - before < 10


# ---------------------------------------------------------------- asked


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_a_transient_page_climbs_when_it_is_asked_about(tell: Tell, disk: str) -> None:
    """First after ten seconds, then once a minute, until somebody has answered."""
    story, carrier = begun(tell, ASKED, disk=disk)
    sent = paged(story, carrier)
    began = story.now
    carrier.know(DELIVERED)
    story.wait_for(lambda: carrier.queries, limit=30)
    assert carrier.queries[0] - began >= 9
    story.forward(1)
    assert story.look(sent).level is Level.ON_DEVICE
    carrier.know("ok")
    story.wait_for(lambda: len(carrier.queries) == 2, limit=90)
    assert carrier.queries[1] - carrier.queries[0] >= 59
    story.forward(1)
    assert story.look(sent).level is Level.ACKNOWLEDGED
    story.forward(minutes=10)
    assert len(carrier.queries) == 2


def test_a_carrier_that_does_not_answer_queries_keeps_no_page_waiting(tell: Tell) -> None:
    """One query is waited for, ten seconds at most; then it is not asked for a minute."""
    story, carrier = begun(tell, ASKED)
    carrier.silent = True
    for n in range(10):
        story.page("alice", text=f"Page {n}")
    story.wait_for(lambda: len(carrier.copies) == 10, limit=5)
    story.wait_for(lambda: carrier.queries, limit=30)
    before = story.now
    story.page("alice", text="Last page")
    story.wait_for(lambda: len(carrier.copies) == 11, limit=15)
    assert story.now - before < 12
    assert len(carrier.queries) == 1


# ---------------------------------------------------------------- doubts and refusals


def test_a_captive_portal_leaves_a_doubt_and_the_pager_is_next(tell: Tell) -> None:
    """HTTP 200 with a page of HTML is no yes: the text left us, and nobody knows who has it."""
    story, carrier = begun(tell, PUSHED, terminals={ONE: {}})
    carrier.answer = Response(body=b"<html><body>Welcome to our network</body></html>")
    sent = story.page("alice", message_class=URGENT)
    story.wait_for(lambda: story.copies(PAGER), limit=30)
    story.forward(0.5)
    assert story.legs(sent)[0].doubts
    assert story.look(sent).level is Level.HANDED_OVER


def test_the_same_page_again_has_the_same_name(tell: Tell) -> None:
    """F36: the answer was lost after the last byte of the document; the carrier knows the second one again."""
    story, carrier = begun(tell, PUSHED.replace(f', pager: "spok:{PAGER}"', ""))
    carrier.answer = Response(status=503, body=b"<html>busy</html>")
    sent = story.page("alice", message_class=MessageClass.CRITICAL)
    story.wait_for(lambda: carrier.submitted, limit=30)
    carrier.answer = None
    story.wait_for(lambda: len(carrier.submitted) == 2, limit=120)
    names = {one.control.message_id for one in carrier.submitted if isinstance(one, m.SubmitRequest)}
    assert len(names) == 1
    story.forward(5)
    assert story.look(sent).level is Level.HANDED_OVER


def test_a_refused_code_switches_the_link_off(tell: Tell) -> None:
    """402 is for a person to look at; a refused device is not."""
    story, carrier = begun(tell, PUSHED, terminals={ONE: {}})
    carrier.refuse = m.failure(m.Code.INVALID_RECIPIENT, "no such device")
    story.page("alice", message_class=URGENT)
    story.wait_for(lambda: story.copies(PAGER), limit=30)
    assert story.link("metro.web").mode == "open"
    carrier.refuse = m.failure(m.Code.INVALID_SECURITY_CODE, "who are you")
    story.page("alice", message_class=URGENT)
    story.wait_for(lambda: story.link("metro.web").mode == "suspended", limit=30)


def test_a_page_has_its_own_connection(tell: Tell) -> None:
    """One connection for each document; a dead carrier is found before anything is begun."""
    story = tell(PUSHED, terminals={ONE: {}})
    sent = story.page("alice", message_class=URGENT)
    story.wait_for(lambda: story.copies(PAGER), limit=30)
    assert story.legs(sent)[0].tries == 0
    assert not story.legs(sent)[0].doubts


# ---------------------------------------------------------------- every way with the carrier that we ship


@pytest.mark.parametrize(
    ("text", "quirks"),
    [
        (PUSHED, {}),
        (PUSHED, {"push_twice": True, "push_backwards": True, "doctype": "http://nowhere.example/x.dtd"}),
        (POLLED, {"http10": True, "empty_text": True}),
        (POLLED, {"poll_interval": 30, "close": True}),
        (ASKED, {"version": "WCTP-DTD-V1R3"}),
        (ASKED.replace("answers: query", "answers: query\n        persistent: true"), {}),
    ],
)
def test_the_simulated_carrier_brings_a_page_to_its_end(
    tell: Tell, text: str, quirks: dict[str, Any]
) -> None:
    """Delivered, then answered, whichever way the word comes and however oddly it is said; once on the device."""
    story = tell(
        text.replace("notify_delivered", "notify_read: true\n        notify_delivered"), started=False
    )
    truth = Truth()
    progress = (Progress(after=3, what="delivered"), Progress(after=9, what="choice", text="1"))
    carrier = SimulatedWctp(
        story.world.env("wctp.example"),
        WctpQuirks(progress=progress, **quirks),
        truth,
        PUSH if text is PUSHED else None,
    )
    story.run(carrier.listen(AT))
    story.start()
    sent = story.page("alice", **UNTIL_SEEN)
    story.wait_for(lambda: story.look(sent).level is Level.ACKNOWLEDGED, limit=240)
    story.forward(minutes=3)
    assert [event.data["text"] for event in story.events(sent, "reply")] == ["OK"]
    assert [(copy.pager, copy.answered) for copy in truth.copies] == [(DEVICE, True)]
    assert story.link("metro.web").mode == "open"


@pytest.mark.parametrize(
    "quirks", [{"html": True}, {"hang": True}, {"lose_answer": 40}, {"http_status": 503}]
)
def test_a_misbehaving_carrier_costs_a_device_not_the_page(tell: Tell, quirks: dict[str, Any]) -> None:
    """A portal, silence, a cut answer, a refusal by HTTP status: the pager has it."""
    story = tell(PUSHED, terminals={ONE: {}}, started=False)
    refusals = (Refusal(step="SUBMIT", code=403),) if "http_status" in quirks else ()
    carrier = SimulatedWctp(
        story.world.env("wctp.example"), WctpQuirks(refusals=refusals, **quirks), Truth(), PUSH
    )
    story.run(carrier.listen(AT))
    story.start()
    sent = story.page("alice", message_class=URGENT)
    story.wait_for(lambda: story.copies(PAGER), limit=90)
    story.forward(minutes=1)
    assert bool(story.legs(sent)[0].doubts) is not bool(refusals)
    assert story.look(sent).level is Level.HANDED_OVER
