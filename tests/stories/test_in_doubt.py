"""The text left us and no answer came: what follows depends on the class, is marked, and is bounded."""

from __future__ import annotations

import pytest

from gateway.adapters.base import Accepted
from gateway.lifecycle import State
from gateway.model import MessageClass
from gateway.outcome import Level
from tests.stories.conftest import Tell
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

ANSWER = len("250 Page accepted\r\n")
COPY_2 = "Cath lab 2 (copy 2)"


def page_with_lost_answer(story: Story, message_class: MessageClass, kept: int = 0) -> Accepted:
    """A page whose answer to SEND ends after *kept* bytes; later answers arrive."""
    story.terminal(ONE, lose_answer=kept)
    sent = story.page(ALICE, message_class=message_class)
    story.wait_for(lambda: story.copies(PAGER))
    story.terminal(ONE)
    return sent


@pytest.mark.parametrize("message_class", [CRITICAL, URGENT])
@pytest.mark.parametrize("kept", range(ANSWER))
def test_a_lost_answer_is_sent_again_at_once(tell: Tell, kept: int, message_class: MessageClass) -> None:
    """Critical and urgent: a second copy, marked as one, as soon as the link is open again."""
    story = tell(DIRECT, terminals={ONE: {}})
    sent = page_with_lost_answer(story, message_class, kept)
    story.forward(3)
    assert [copy.text for copy in story.copies(PAGER)] == ["Cath lab 2", COPY_2]
    row = story.look(sent)
    assert (row.ending, row.deliveries[0].doubts) == ("confirmed", 1)


@pytest.mark.parametrize("kept", [0, 3, ANSWER - 1])
def test_a_normal_page_waits_a_minute_for_proof_first(tell: Tell, kept: int) -> None:
    """Normal: sixty seconds in which the carrier may still tell, then a second copy."""
    story = tell(DIRECT, terminals={ONE: {}})
    sent = page_with_lost_answer(story, NORMAL, kept)
    story.forward(1)
    assert story.legs(sent)[0].state is State.DOUBT
    assert 59 <= story.wait_for(lambda: len(story.copies(PAGER)) == 2) <= 61
    assert story.copies(PAGER)[1].text == COPY_2
    story.forward(1)
    assert story.look(sent).ending == "confirmed"


def test_a_bulk_page_is_assumed_to_be_there(tell: Tell) -> None:
    """Bulk: never a second copy; the record says that it was assumed, and no level is claimed."""
    story = tell(DIRECT, terminals={ONE: {}})
    sent = page_with_lost_answer(story, BULK)
    story.forward(hours=1)
    assert len(story.copies(PAGER)) == 1
    row = story.look(sent)
    assert (row.ending, row.level, row.deliveries[0].reason) == ("confirmed", Level.STORED, "assumed")


COSTLY = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", costly: true')


@pytest.mark.parametrize("message_class", [CRITICAL, NORMAL, BULK])
def test_on_a_costly_link_a_person_decides(tell: Tell, message_class: MessageClass) -> None:
    """Nothing is sent a second time over a link that costs money before somebody says so."""
    story = tell(COSTLY, terminals={ONE: {}})
    sent = page_with_lost_answer(story, message_class)
    story.forward(60)
    assert story.legs(sent)[0].state.token == "needs_decision"
    assert story.decide(sent, again=True) == 1
    story.forward(2)
    assert [copy.text for copy in story.copies(PAGER)] == ["Cath lab 2", COPY_2]
    assert story.look(sent).ending == "confirmed"


def test_a_person_may_leave_it(tell: Tell) -> None:
    """Whoever knows that the page arrived, or does not matter, leaves it; the record says so."""
    story = tell(COSTLY, terminals={ONE: {}})
    sent = page_with_lost_answer(story, URGENT)
    story.forward(60)
    story.decide(sent, again=False)
    story.forward(5)
    assert len(story.copies(PAGER)) == 1
    row = story.look(sent)
    assert (row.ending, row.deliveries[0].reason) == ("failed", "left")


def test_nobody_decides_and_the_deadline_ends_it(tell: Tell) -> None:
    """What waits for a person does not wait for ever."""
    story = tell(COSTLY, terminals={ONE: {}})
    sent = page_with_lost_answer(story, CRITICAL)
    story.forward(minutes=16)
    assert story.look(sent).ending == "expired"
    assert len(story.copies(PAGER)) == 1


def test_with_two_links_the_second_copy_takes_the_other(tell: Tell) -> None:
    """A critical page in doubt goes out over the other link at once, and the first is not used again."""
    story = tell(terminals={ONE: {"lose_answer": 0}, TWO: {}})
    sent = story.page("alice", message_class=CRITICAL)
    assert story.wait_for(lambda: len(story.copies(PAGER)) == 2) <= 2
    story.forward(minutes=20)
    assert [(copy.by, copy.text) for copy in story.copies(PAGER)] == [(ONE, "Cath lab 2"), (TWO, COPY_2)]
    row = story.look(sent)
    assert row.ending == "confirmed"
    assert [leg.state for leg in row.deliveries] == [State.CANCELLED, State.TAKEN]


@pytest.mark.parametrize("message_class", [CRITICAL, URGENT, NORMAL])
def test_two_doubts_on_a_link_are_enough(tell: Tell, message_class: MessageClass) -> None:
    """If every answer is lost, a pager gets two copies over a link; then a person decides."""
    story = tell(DIRECT, terminals={ONE: {"lose_answer": 0}})
    sent = story.page(ALICE, message_class=message_class)
    story.forward(minutes=10)
    assert [copy.text for copy in story.copies(PAGER)] == ["Cath lab 2", COPY_2]
    assert story.legs(sent)[0].state is State.HELD
    story.forward(hours=24.5 if message_class is NORMAL else 2)
    assert story.look(sent).ending == "expired"
    assert len(story.copies(PAGER)) == 2


THREE_LINKS = SETTINGS.replace(
    "path: phone}", 'path: phone}\n      three: {adapter: snpp, at: "10.0.0.3:444", path: lan}'
)


@pytest.mark.parametrize("message_class", [CRITICAL, URGENT, NORMAL])
def test_four_doubts_of_a_page_are_enough(tell: Tell, message_class: MessageClass) -> None:
    """However many links there are, a pager never gets more than four copies in doubt, each marked with
    another number."""
    story = tell(
        THREE_LINKS,
        terminals={ONE: {"lose_answer": 0}, TWO: {"lose_answer": 0}, "10.0.0.3:444": {"lose_answer": 0}},
    )
    sent = story.page("alice", message_class=message_class)
    story.forward(hours=25 if message_class is NORMAL else 2)
    texts = [copy.text for copy in story.copies(PAGER)]
    assert 3 <= len(texts) <= 4
    assert len(set(texts)) == len(texts)
    assert story.look(sent).ending == "expired"


UNMARKED = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", mark_copies: false')


def test_the_mark_can_be_switched_off(tell: Tell) -> None:
    """Where a device shows copies itself, or a carrier drops repeats by text, no mark is added."""
    story = tell(UNMARKED, terminals={ONE: {}})
    page_with_lost_answer(story, CRITICAL)
    story.forward(3)
    assert [copy.text for copy in story.copies(PAGER)] == ["Cath lab 2", "Cath lab 2"]


REFS = DIRECT.replace(
    'texts: {default: ["{text}", "{short}"]}', 'texts: {default: ["{text} {ref}", "{short} {ref}"]}'
)


def test_every_copy_carries_the_same_reference(tell: Tell) -> None:
    """Whichever copy is answered, it is the same message."""
    story = tell(REFS, terminals={ONE: {}})
    sent = page_with_lost_answer(story, CRITICAL)
    story.forward(3)
    first, second = story.copies(PAGER)
    assert first.text == f"Cath lab 2 {sent.ref}"
    assert second.text == f"Cath lab 2 {sent.ref} (copy 2)"
