"""What the gateway says at the door: once only, too fast, too full, stopping."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.adapters.base import Accepted
from gateway.errors import SubmissionError
from gateway.model import MessageClass
from tests.stories.conftest import Tell
from tests.stories.world import (
    ALICE,
    BULK,
    CRITICAL,
    DIRECT,
    MONITORING,
    NORMAL,
    ONE,
    PAGER,
    URGENT,
    Died,
    Story,
)

KEY = {"idempotency_key": "k-1", "request_hash": b"one"}


def test_the_same_key_and_content_pages_once(tell: Tell) -> None:
    """A client that repeats itself gets the first answer, word for word, and pages nobody again."""
    story = tell(DIRECT, terminals={ONE: {}})
    first = story.page(ALICE, client=MONITORING, **KEY)
    story.forward(5)
    again = story.page(ALICE, client=MONITORING, **KEY)
    assert (again.replay, again.id, again.body) == (True, first.id, first.body)
    story.crash()
    later = story.page(ALICE, client=MONITORING, **KEY)
    assert (later.replay, later.id) == (True, first.id)
    story.forward(5)
    assert len(story.copies()) == 1


def test_the_same_key_with_other_content_is_refused(tell: Tell) -> None:
    """422, and nothing is stored."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.page(ALICE, client=MONITORING, **KEY)
    with pytest.raises(SubmissionError) as refused:
        story.page(ALICE, text="other", client=MONITORING, **(KEY | {"request_hash": b"two"}))
    assert (refused.value.status, refused.value.code) == (422, "idempotency-key-reused")
    story.forward(5)
    assert [copy.text for copy in story.copies()] == ["Cath lab 2"]


def test_the_same_key_while_the_first_is_served(tell: Tell) -> None:
    """409 with a time to come again; the first one is not disturbed."""
    story = tell(DIRECT, terminals={ONE: {}})
    told: list[object] = []
    for _ in range(3):
        Deferred.fromCoroutine(story.submit(ALICE, client=MONITORING, **KEY)).addBoth(told.append)
    story.forward(1)
    refused = [one.value for one in told if isinstance(one, Failure)]
    assert [(one.status, one.code, one.retry_after) for one in refused] == [
        (409, "idempotency-key-running", 1.0)
    ] * 2
    assert len([one for one in told if isinstance(one, Accepted)]) == 1
    story.forward(5)
    assert len(story.copies()) == 1


def test_a_client_that_never_heard_the_answer_asks_again(tell: Tell) -> None:
    """The node died after the page was on disk and before it said yes: one message, one page (F02)."""
    story = tell(DIRECT, terminals={ONE: {}})
    story.env.fail_at("T1")
    with pytest.raises(Died):
        story.page(ALICE, client=MONITORING, **KEY)
    story.crash()
    again = story.page(ALICE, client=MONITORING, **KEY)
    assert again.replay
    story.forward(5)
    assert len(story.copies(PAGER)) == 1


RATED = DIRECT.replace("  monitoring:\n", "  monitoring:\n    rate: 10/min\n")


def test_a_client_over_its_rate_is_told_when_to_come_again(tell: Tell) -> None:
    """429 with Retry-After; after that time it is let in again. Others are not touched."""
    story = tell(RATED, terminals={ONE: {}})
    for _ in range(10):
        story.page(ALICE, client=MONITORING)
    with pytest.raises(SubmissionError) as refused:
        story.page(ALICE, client=MONITORING)
    assert (refused.value.status, refused.value.code) == (429, "rate")
    wait = refused.value.retry_after
    assert wait is not None
    assert 0 < wait <= 6
    story.page(ALICE)
    story.forward(wait)
    story.page(ALICE, client=MONITORING)


SMALL = DIRECT + "limits: {queue: 100}\n"
ROOM = {BULK: 70, NORMAL: 85, URGENT: 95, CRITICAL: 100}


@pytest.mark.parametrize("message_class", list(MessageClass))
def test_a_full_queue_is_full_for_bulk_first(tell: Tell, message_class: MessageClass) -> None:
    """503 for bulk at 70 %, normal at 85, urgent at 95; critical pages have the whole queue."""
    story = tell(SMALL, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    taken = 0
    with pytest.raises(SubmissionError) as refused:
        for _ in range(200):
            story.page(ALICE, message_class=message_class)
            taken += 1
    assert (refused.value.status, refused.value.code) == (503, "queue-full")
    assert refused.value.retry_after
    assert taken == ROOM[message_class]


def test_a_queue_that_has_room_again_takes_again(tell: Tell) -> None:
    """What was refused was not stored, and refusing ends with its cause."""
    story = tell(SMALL, terminals={ONE: {}})
    story.weather(ONE, refuse=True)
    _fill(story)
    story.weather(ONE)
    story.wait_for(lambda: len(story.copies()) == 100)
    story.forward(2)
    story.page(ALICE, text="after", message_class=BULK)
    story.forward(2)
    assert len(story.copies()) == 101


def test_who_stops_takes_nothing_and_finishes(tell: Tell) -> None:
    """Stopping: new pages are refused with 503, the one under way is finished and on record."""
    story = tell(DIRECT, terminals={ONE: {"delay": 10.0}})
    sent = story.page(ALICE)
    story.forward(2)
    stopping = Deferred.fromCoroutine(story.house.stop())
    story.forward(1)
    with pytest.raises(SubmissionError) as refused:
        story.page(ALICE, text="late")
    assert (refused.value.status, refused.value.code) == (503, "draining")
    story.forward(30)
    assert stopping.called
    story.crash()
    story.forward(30)
    assert [copy.text for copy in story.copies()] == ["Cath lab 2"]
    assert story.look(sent).ending == "confirmed"


def test_a_stop_does_not_wait_for_ever(tell: Tell) -> None:
    """After 30 seconds what is still begun is left; the next start finds it in doubt."""
    story = tell(DIRECT, terminals={ONE: {"delay": 100.0}})
    sent = story.page(ALICE, message_class=URGENT)
    story.forward(2)
    began = story.now
    story.stop()
    assert story.now - began <= 31
    assert story.expect_failures("not everything that was begun ended") <= 1
    story.terminal(ONE)
    story.crash()
    story.forward(60)
    assert [copy.text for copy in story.copies()] == ["Cath lab 2 (copy 2)"]
    assert story.look(sent).ending == "confirmed"


def _fill(story: Story) -> None:
    for _ in range(100):
        story.page(ALICE, message_class=CRITICAL)
