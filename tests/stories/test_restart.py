"""The node dies, at any moment; what it had promised is kept by the next one."""

from __future__ import annotations

import pytest

from gateway.lifecycle import State
from gateway.model import MessageClass
from gateway.store.memory import MemoryStore
from tests.stories.conftest import Tell
from tests.stories.wide import WIDE, Desk
from tests.stories.world import ALICE, BULK, CRITICAL, DIRECT, NORMAL, ONE, PAGER, TWO, URGENT, Died

DISKS = ["memory", "sqlite"]


@pytest.mark.parametrize("disk", DISKS)
def test_what_waits_goes_out_after_a_restart(tell: Tell, disk: str) -> None:
    """Accepted, not begun, crashed: it goes out once, within three seconds after the start (G3)."""
    story = tell(DIRECT, terminals={ONE: {}}, disk=disk)
    story.weather(ONE, refuse=True)
    for number in range(20):
        story.page(ALICE, text=f"page {number}", message_class=NORMAL)
    story.crash()
    story.weather(ONE)
    story.crash()
    assert story.wait_for(lambda: story.copies(PAGER)) <= 3
    story.forward(10)
    assert sorted(copy.text for copy in story.copies()) == sorted(f"page {number}" for number in range(20))


FAILPOINTS = {
    # where the node dies: how many copies reach the pager
    "T1": 1,  # on disk, the client was not told
    "T2": 1,  # begun, not a byte sent (F03)
    "sent": 2,  # sent and answered, the answer not on disk (F04)
    "T3": 1,  # concluded
}


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("message_class", [CRITICAL, URGENT, NORMAL])
@pytest.mark.parametrize(("failpoint", "copies"), FAILPOINTS.items(), ids=FAILPOINTS.keys())
def test_a_crash_at_each_point_of_a_pages_way(
    tell: Tell, disk: str, message_class: MessageClass, failpoint: str, copies: int
) -> None:
    """Never lost; two copies only where nobody can know better, and then the second is marked."""
    story = tell(DIRECT, terminals={ONE: {}}, disk=disk)
    story.env.fail_at(failpoint)
    if failpoint == "T1":
        with pytest.raises(Died):
            story.page(ALICE, message_class=message_class)
    else:
        story.page(ALICE, message_class=message_class)
        story.wait_for(lambda: not story.env.alive)
    story.forward(1)
    story.crash()
    story.forward(90)
    texts = [copy.text for copy in story.copies(PAGER)]
    assert len(texts) == copies
    if failpoint in ("T2", "sent"):
        assert texts[-1] == "Cath lab 2 (copy 2)"
    assert story.run(story.store.records.counts()) == ()


@pytest.mark.parametrize("disk", DISKS)
def test_a_bulk_page_that_was_begun_is_not_sent_again(tell: Tell, disk: str) -> None:
    """For bulk nobody wants a second copy: assumed."""
    story = tell(DIRECT, terminals={ONE: {"delay": 10.0}}, disk=disk)
    sent = story.page(ALICE, message_class=BULK)
    story.wait_for(lambda: story.terminals[ONE].asked)
    story.forward(1)
    story.crash()
    story.forward(minutes=10)
    assert len(story.terminals[ONE].asked) == 1
    assert story.look(sent).ending == "confirmed"


def test_a_doubt_waits_on_over_a_restart(tell: Tell) -> None:
    """The minute that a normal page waits for proof is on record, and so is who has to decide."""
    story = tell(DIRECT, terminals={ONE: {"lose_answer": 0}})
    sent = story.page(ALICE, message_class=NORMAL)
    story.forward(10)
    assert story.legs(sent)[0].state is State.DOUBT
    story.crash()
    story.forward(45)
    assert len(story.copies(PAGER)) == 1
    story.forward(10)
    assert len(story.copies(PAGER)) == 2
    assert story.legs(sent)[0].state is State.HELD
    story.crash()
    story.forward(hours=1)
    assert story.legs(sent)[0].state is State.HELD
    story.terminal(ONE)
    story.decide(sent, again=True)
    story.forward(2)
    assert [copy.text for copy in story.copies(PAGER)][-1] == "Cath lab 2 (copy 3)"
    assert story.look(sent).ending == "confirmed"


def test_a_restart_is_no_reason_to_rest_a_link(tell: Tell) -> None:
    """Eight pages were under way when the node died: our fault, not the carrier's. The next page goes out
    at once."""
    desk = Desk()
    desk.takes = 20.0
    story = tell(WIDE, adapters={"wide": desk.spec()})
    for number in range(8):
        story.page(f"desk:{number}", message_class=URGENT)
    story.forward(5)
    story.crash()
    story.page("desk:9", text="next", message_class=URGENT)
    assert story.wait_for(lambda: len(desk.pages) >= 9) <= 3
    assert story.link("desk.all").state == "working"


def test_an_incident_goes_on_after_a_restart(tell: Tell) -> None:
    """The next leg opens when it would have, whoever died in between."""
    story = tell(terminals={ONE: {}, TWO: {}})
    story.weather(ONE, blackhole=True)
    story.page("alice", message_class=CRITICAL)
    story.forward(6)
    story.crash()
    assert story.wait_for(lambda: story.copies(PAGER)) <= 5
    assert story.copies()[0].by == TWO


def test_it_dies_again_and_again(tell: Tell) -> None:
    """A node that dies every two seconds still gets everything out, with bounded copies."""
    story = tell(terminals={ONE: {}, TWO: {}})
    sent = []
    for number in range(40):
        sent.append(story.page("alice", text=f"page {number}", message_class=URGENT))
        story.forward(2)
        story.crash()
    story.forward(minutes=5)
    texts = {copy.text.partition(" (copy")[0] for copy in story.copies()}
    assert texts == {f"page {number}" for number in range(40)}
    assert all(story.look(one).ending == "confirmed" for one in sent)
    assert len(story.copies()) <= 80


def test_a_node_that_was_frozen_writes_nothing_after_another_took_over(tell: Tell) -> None:
    """Two nodes, one record: the fence stops the one that slept (F27). One extra copy, marked; what the
    old one still learns is not written over what the new one knows."""
    story = tell(DIRECT, terminals={ONE: {"delay": 20.0}})
    sent = story.page(ALICE, message_class=URGENT)
    story.wait_for(lambda: story.terminals[ONE].asked)
    story.forward(1)
    old = story.house
    assert isinstance(story.store, MemoryStore)
    story.take_over()
    story.forward(10)
    story.terminal(ONE)
    story.forward(60)
    assert sorted(copy.text for copy in story.copies(PAGER)) == ["Cath lab 2", "Cath lab 2 (copy 2)"]
    told = [(event.data["outcome"], event.data["code"]) for event in story.events(sent, "attempt")]
    assert told == [("in_doubt", "interrupted"), ("taken", "250")]
    assert story.look(sent).ending == "confirmed"
    story.house, new = old, story.house
    late = story.page(ALICE, text="through the old door")
    story.house = new
    story.forward(10)
    assert [copy.text for copy in story.copies(PAGER)][2:] == ["through the old door"]
    assert story.look(late).ending == "confirmed"
