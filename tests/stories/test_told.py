"""Clients are told: what their receivers hear, when, and what happens when they do not listen (F48)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred

from gateway.adapters.base import Evidence
from gateway.errors import SubmissionError
from gateway.model import LinkName
from gateway.outcome import Level
from gateway.sim.snpp import Refusal
from tests.stories.conftest import Tell
from tests.stories.receiver import AT, HOOK, Receiver
from tests.stories.world import (
    ADMINISTRATOR,
    ALICE,
    BULK,
    CRITICAL,
    DIRECT,
    ENVIRON,
    MONITORING,
    NORMAL,
    ONE,
    PAGER,
    URGENT,
    Story,
)

ALL = (
    "[handed_over, on_device, read, acknowledged, setback, needs_decision, confirmed, unanswered, failed,"
    " expired, cancelled]"
)


def with_tell(about: str = ALL, *, url: str = HOOK, more: str = "", text: str = DIRECT) -> str:
    """The settings, with the client monitoring told *about*."""
    tell = f'    tell: {{url: "{url}", secret: {{env: HOOK}}, about: {about}{more}}}\n'
    assert 'may_page: [everyone, "spok:*"]\n' in text
    return text.replace('may_page: [everyone, "spok:*"]\n', 'may_page: [everyone, "spok:*"]\n' + tell)


def page(story: Story, *to: str, **more: Any) -> Any:
    return story.page(*(to or ("alice",)), client=MONITORING, **more)


def test_a_client_is_told_at_once(tell: Tell) -> None:
    """Signed, within a second of the event, with the message as its status shows it, and a sentence."""
    story = tell(with_tell(), terminals={ONE: {}})
    receiver = Receiver(story)
    accepted = page(story, text="Mr Smith, bed 4")
    story.forward(2)
    (call,) = receiver.told
    (attempt,) = story.events(accepted, "attempt")
    assert 0 <= call.at - (attempt.at - story.world.boot) / 1e6 < 1
    assert (call.id, call.kind) == (f"msg_{accepted.id}_2", "message.handed_over")
    assert call.body["says"] == "Spok took it for Alice Moreau's pager. This way cannot report back."
    assert call.body["timestamp"].startswith("2027-01-01T00:00:0")
    data = call.body["data"]
    assert (data["n"], data["seq"], data["cut"]) == (2, 1, False)
    message = data["message"]
    assert (message["id"], message["state"], message["outcome"]) == (accepted.id, "ended", "confirmed")
    assert message["deliveries"][0]["state"] == "taken"
    assert "text" not in message
    assert "timeline" not in message
    assert b"Smith" not in msgspec.json.encode(call.body)
    assert call.fields[b"content-type"] == b"application/json"


def test_a_pursuit_is_told_to_its_end(tell: Tell) -> None:
    """Taken, read, accepted, done: in this order and numbered."""
    story = tell(with_tell(), terminals={ONE: {}})
    receiver = Receiver(story)
    accepted = page(story, message_class=CRITICAL, until=Level.ACKNOWLEDGED)
    story.forward(1)
    story.acknowledge(accepted)
    story.forward(5)
    assert receiver.kinds == ["message.handed_over", "message.acknowledged", "message.confirmed"]
    assert [call.place[2] for call in receiver.told] == [1, 2, 3]
    assert receiver.told[1].body["says"].startswith("Alice Moreau has it")
    assert receiver.told[1].body["data"]["message"]["accepted_by"] == "alice"


def test_nobody_answered_is_told(tell: Tell) -> None:
    """The one that matters most."""
    story = tell(with_tell("[unanswered]"), terminals={ONE: {}})
    receiver = Receiver(story)
    page(story, message_class=CRITICAL, until=Level.ACKNOWLEDGED)
    story.forward(minutes=30)
    assert receiver.kinds == ["message.unanswered"]
    assert receiver.told[0].body["says"] == "NOBODY HAS ACCEPTED."


def test_only_what_was_asked_for_is_told_and_only_to_whom(tell: Tell) -> None:
    """Another client's messages and other events are nobody's business."""
    story = tell(with_tell("[acknowledged, failed]"), terminals={ONE: {}})
    receiver = Receiver(story)
    page(story)
    story.page("alice", client=ADMINISTRATOR)
    story.forward(minutes=10)
    assert receiver.calls == []
    assert len(story.copies(PAGER)) == 2


def test_what_a_page_failed_of_is_told(tell: Tell) -> None:
    """The carrier's no, in a sentence."""
    story = tell(with_tell("[failed]"), terminals={ONE: {"refusals": (Refusal(step="PAGE", code=550),)}})
    receiver = Receiver(story)
    page(story, ALICE)
    story.forward(minutes=2)
    assert receiver.kinds == ["message.failed"]
    assert receiver.told[0].body["says"].startswith("Could not be sent. Spok refused it")
    assert receiver.told[0].body["data"]["message"]["outcome"] == "failed"


# ---------------------------------------------------------------- a receiver that is away


def events_of(story: Story, accepted: Any) -> list[int]:
    """The n of those events of a simple page that a client is told."""
    told = {"attempt", "acknowledged", "ended"}
    return [event.n for event in story.look(accepted).timeline if event.kind in told]


def test_a_receiver_that_was_away_for_an_hour_hears_everything(tell: Tell) -> None:
    """Every event, in order under its message, numbered without a gap; a repeat has the same id."""
    story = tell(with_tell(), terminals={ONE: {}}, disk="sqlite")
    receiver = Receiver(story)
    receiver.close()
    pages = []
    for _ in range(12):
        pages.append(page(story, message_class=CRITICAL, until=Level.ACKNOWLEDGED))
        story.forward(minutes=1)
        story.acknowledge(pages[-1])
        story.forward(minutes=4)
    assert receiver.calls == []
    assert any("monitoring cannot be told" in one for one in story.house.health().reasons)
    receiver.open()
    last = page(story, message_class=CRITICAL, until=Level.ACKNOWLEDGED)
    story.acknowledge(last)
    story.forward(minutes=6)
    for accepted in (*pages, last):
        mine = [call.place for call in receiver.told if call.place[0] == accepted.id]
        assert [n for _, n, _ in mine] == events_of(story, accepted)
        assert [seq for _, _, seq in mine] == list(range(1, len(mine) + 1))
    assert len({call.id for call in receiver.told}) == len(receiver.told)
    assert story.house.health().reasons == ()


def test_a_repeat_has_the_same_id_and_a_fresh_timestamp(tell: Tell) -> None:
    """So that a receiver can tell a repeat from news, and a replay from a repeat."""
    story = tell(with_tell("[handed_over]"), terminals={ONE: {}})
    receiver = Receiver(story)
    receiver.status = 500
    page(story)
    story.forward(minutes=10)
    assert len(receiver.calls) == 3
    assert len({call.id for call in receiver.calls}) == 1
    stamps = [int(call.fields[b"webhook-timestamp"]) for call in receiver.calls]
    assert 4 <= stamps[1] - stamps[0] <= 7
    assert 265 <= stamps[2] - stamps[1] <= 335
    receiver.status = 204
    story.forward(hours=1)
    assert len(receiver.told) == 1


def test_the_times_of_repeats_end_with_giving_up(tell: Tell) -> None:
    """Ten tries over three days, then the timeline says that nobody could be told."""
    story = tell(with_tell("[handed_over]"), terminals={ONE: {}})
    receiver = Receiver(story)
    receiver.status = 500
    accepted = page(story)
    story.forward(hours=90)
    assert len(receiver.calls) == 10
    waits = [b.at - a.at for a, b in pairwise(receiver.calls)]
    expected = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    for wait, wanted in zip(waits, expected, strict=True):
        assert 0.9 * wanted <= wait <= 1.1 * wanted + 6
    (untold,) = story.events(accepted, "untold")
    assert untold.data["client"] == "monitoring"
    receiver.status = 200
    story.forward(hours=90)
    assert receiver.told == []


def test_one_message_holds_up_no_other(tell: Tell) -> None:
    """What a receiver cannot take of one message does not keep the rest from it."""
    story = tell(with_tell("[handed_over]"), terminals={ONE: {}})
    receiver = Receiver(story)
    poison = page(story, text="poison")
    receiver.status = 500
    story.forward(2)
    receiver.status = 200
    others = [page(story, text=f"page {n}") for n in range(5)]
    story.forward(60)
    assert [call.place[0] for call in receiver.calls[:1]] == [poison.id]
    assert {call.place[0] for call in receiver.told} >= {one.id for one in others}


def test_a_receiver_that_is_gone_is_asked_no_more(tell: Tell) -> None:
    """410: nothing more goes there, over restarts too, until it moves or a test finds it again."""
    story = tell(with_tell("[handed_over]"), terminals={ONE: {}}, disk="sqlite")
    receiver = Receiver(story)
    receiver.status = 410
    page(story)
    story.forward(60)
    page(story)
    story.forward(hours=2)
    assert len(receiver.calls) == 1
    assert "monitoring is told nothing: it answered 410 Gone" in story.house.health().reasons
    story.crash()
    receiver.status = 200
    story.forward(hours=2)
    assert len(receiver.calls) == 1
    tested = story.run(story.house.notify.test("monitoring"))
    assert tested is not None
    assert (tested.status, tested.why) == (200, None)
    story.forward(10)
    assert receiver.kinds == ["webhook.test", "message.handed_over", "message.handed_over"]
    assert story.house.health().reasons == ()


def test_a_receiver_that_moved_is_asked_again(tell: Tell) -> None:
    """A new address in the settings is a new receiver."""
    story = tell(with_tell("[handed_over]"), terminals={ONE: {}})
    old, new = Receiver(story), Receiver(story, "new.example:8443")
    old.status = 410
    page(story)
    story.forward(60)
    story.reload(with_tell("[handed_over]", url="https://new.example:8443/pages"))
    story.forward(10)
    assert (len(old.calls), new.kinds) == (1, ["message.handed_over"])


def test_one_test_at_a_time(tell: Tell) -> None:
    """A client cannot keep others from being told by testing all the time."""
    story = tell(with_tell(), terminals={ONE: {}})
    receiver = Receiver(story)
    receiver.takes = 5.0
    told: list[Any] = []
    for _ in range(2):
        Deferred.fromCoroutine(story.house.notify.test("monitoring")).addBoth(told.append)
    story.forward(10)
    assert told[0].check(SubmissionError)
    assert told[0].value.code == "rate"
    assert (told[1].why, len(receiver.calls)) == (None, 1)
    assert story.run(story.house.notify.test("ward")) is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_says_when_to_come_again(tell: Tell, status: int) -> None:
    """Retry-After is kept, and counts for everything that it is told."""
    story = tell(with_tell("[handed_over]"), terminals={ONE: {}})
    receiver = Receiver(story)
    receiver.status, receiver.headers = status, (("Retry-After", "120"),)
    page(story)
    story.forward(1)
    page(story)
    story.forward(110)
    assert len(receiver.calls) == 1
    receiver.status = 200
    story.forward(minutes=5)
    assert len(receiver.told) == 2


def test_a_client_that_is_told_no_more(tell: Tell) -> None:
    """A reload without ``tell`` ends it at once; what is not told is given up in time."""
    story = tell(with_tell("[handed_over]"), terminals={ONE: {}})
    receiver = Receiver(story)
    receiver.close()
    accepted = page(story)
    story.forward(60)
    story.reload(DIRECT)
    receiver.open()
    page(story)
    story.forward(hours=80)
    assert receiver.calls == []
    assert story.events(accepted, "untold") == []
    story.forward(hours=5)
    assert len(story.events(accepted, "untold")) == 1


# ---------------------------------------------------------------- kill, anywhere


@pytest.mark.parametrize("point", ["T3", "told"])
def test_a_kill_loses_nothing_and_repeats_under_the_same_id(tell: Tell, point: str) -> None:
    """Killed after the event, or after the receiver said yes and before that was on record."""
    story = tell(with_tell("[handed_over, confirmed]"), terminals={ONE: {}}, disk="sqlite")
    receiver = Receiver(story)
    story.env.fail_at(point)
    accepted = page(story)
    story.forward(2)
    assert not story.env.alive
    before = [call.id for call in receiver.told]
    assert len(before) == (1 if point == "told" else 0)
    story.crash()
    story.forward(minutes=2)
    ids = [call.id for call in receiver.told]
    assert set(ids) == {f"msg_{accepted.id}_2"}
    assert len(ids) == len(before) + 1


# ---------------------------------------------------------------- F48: receivers that misbehave


@pytest.mark.parametrize("how", ["dead", "refuses", "slow", "500", "redirects", "garbage", "endless"])
def test_f48_a_bad_receiver_changes_nothing_for_pages(tell: Tell, how: str) -> None:
    """Critical pages go out as fast as without it, and another client is told as ever."""
    second = """
  ward:
    token_sha256: [{}]
    may_page: [everyone]
    tell: {{url: "https://ward.example/pages", secret: {{env: HOOK}}, about: [handed_over]}}
""".format("b" * 64)
    text = with_tell().replace("\ncarriers:", second + "carriers:")
    story = tell(text, terminals={ONE: {}})
    good = Receiver(story, "ward.example:443")
    bad = Receiver(story)
    if how == "dead":
        story.weather("hook.example", blackhole=True)
    elif how == "refuses":
        bad.close()
    elif how == "slow":
        bad.takes = 3600.0
    elif how in ("500", "redirects"):
        bad.status = {"500": 500, "redirects": 302}[how]
        bad.headers = (("Location", "http://169.254.169.254/latest/meta-data"),)
    else:
        bad.close()
        _Odd(
            story, AT, b"SSH-2.0-none\r\n" if how == "garbage" else b"HTTP/1.1 200 OK\r\nX: " + b"y" * 99_000
        )
    flood = [page(story, message_class=BULK, text=f"bulk {n}") for n in range(40)]
    story.forward(60)
    for n in range(20):
        began = story.now
        story.page("alice", text=f"critical {n}", message_class=CRITICAL, client=MONITORING)
        story.wait_for(lambda n=n: story.copies(text=f"critical {n}"))  # type: ignore[misc]
        assert story.now - began < 0.5  # goal of a critical page behind a flood
    accepted = story.page("alice", message_class=URGENT, client=_client("ward"))
    story.forward(2)
    assert [call.place[0] for call in good.told] == [accepted.id]
    assert bad.busiest <= 4
    story.wait_for(lambda: all(story.look(one).ending for one in flood))
    if how == "redirects":
        assert not any("169.254" in line for line in story.world.recent)
    began = story.now
    story.stop()
    assert story.now - began < 25


def _client(name: str) -> Any:
    return msgspec.structs.replace(MONITORING, name=name)


class _Odd:
    """Somebody who says *data* to everybody, again and again, and never hangs up."""

    def __init__(self, story: Story, at: str, data: bytes) -> None:
        from twisted.internet.protocol import Factory, Protocol

        env = story.world.env("odd." + at.partition(":")[0])

        class Says(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(data)

        async def listen() -> None:
            await env.net.listen(at, Factory.forProtocol(Says))

        story.run(listen())


# ---------------------------------------------------------------- B18: where a receiver may be


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.7.9",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
    ],
)
def test_b18_a_name_that_leads_inside_is_not_called(tell: Tell, address: str) -> None:
    """Whatever a name leads to today is looked at before it is called; one bad address spoils all."""
    story = tell(with_tell("[handed_over]"), terminals={ONE: {}})
    receiver = Receiver(story)
    story.world.names["hook.example"] = ("198.41.0.4", address)
    page(story)
    tested = story.run(story.house.notify.test("monitoring"))
    assert tested is not None
    assert tested.status is None
    assert "is not called" in str(tested.why)
    story.forward(60)
    assert receiver.calls == []
    story.world.names["hook.example"] = ("198.41.0.4",)  # back to where it was
    story.forward(minutes=10)
    assert receiver.kinds == ["message.handed_over"]


def test_b18_a_private_receiver_that_is_allowed_is_called(tell: Tell) -> None:
    """The administrator says in which network it is; over http it goes there only."""
    allowed = with_tell("[handed_over]", url="http://hook.example:8080/pages", more=", allow: [10.1.7.0/24]")
    story = tell(allowed, terminals={ONE: {}})
    receiver = Receiver(story, "hook.example:8080")
    story.world.names["hook.example"] = ("198.41.0.4",)
    page(story)
    story.forward(2)
    assert receiver.calls == []
    story.world.names["hook.example"] = ("10.1.7.9",)
    story.forward(10)
    assert receiver.kinds == ["message.handed_over"]


# ---------------------------------------------------------------- changing the secret


def test_both_secrets_sign_while_one_is_changed(tell: Tell) -> None:
    """A receiver with either one believes it."""
    text = with_tell("[handed_over]", more=", old_secret: {env: OLD_HOOK}")
    story = tell(text, terminals={ONE: {}})
    receiver = Receiver(story)
    page(story)
    story.forward(2)
    receiver.secret = ENVIRON["OLD_HOOK"]
    page(story, message_class=NORMAL)
    story.forward(2)
    assert len(receiver.told) == 2


def test_a_receipt_is_told(tell: Tell) -> None:
    """What a carrier reports later raises the level, and the client hears of it."""
    story = tell(with_tell("[read, setback]"), terminals={ONE: {}})
    receiver = Receiver(story)
    accepted = page(story)
    story.forward(2)
    (leg,) = story.legs(accepted)
    ref = f"{accepted.id[-8:]}-{leg.delivery:x}"
    report = Evidence(scope="spok", ref=ref, state="read", level=Level.READ, at=story.env.now())
    story.run(story.house.reception.report(LinkName("spok.one"), report))
    story.forward(2)
    assert receiver.kinds == ["message.read"]
    assert receiver.told[0].body["data"]["message"]["level"] == "read"
