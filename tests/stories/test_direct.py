"""A page to a pager that is named directly, or to people by name."""

from __future__ import annotations

import pytest

from gateway.lifecycle import State
from tests.stories.conftest import Tell
from tests.stories.world import ALICE, BULK, CRITICAL, DIRECT, NORMAL, ONE, OTHER_PAGER, PAGER, TWO, URGENT

BOTH_TERMINALS: dict[str, dict[str, object]] = {ONE: {}, TWO: {}}


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
@pytest.mark.parametrize("message_class", [CRITICAL, URGENT, NORMAL, BULK])
def test_a_page_reaches_the_pager_within_a_second(tell: Tell, disk: str, message_class: object) -> None:
    """The gateway says yes when the page is on disk, and has handed it over at once."""
    story = tell(DIRECT, terminals={ONE: {}}, disk=disk)
    sent = story.page(ALICE, text="Cath lab 2", message_class=message_class)
    story.forward(1)
    assert [copy.text for copy in story.copies(PAGER)] == ["Cath lab 2"]
    row = story.look(sent)
    assert (row.ending, row.level.token) == ("confirmed", "handed_over")
    assert [one.state for one in row.deliveries] == [State.TAKEN]


def test_a_group_reaches_each_member_once(tell: Tell) -> None:
    """Everybody in a group is paged; who is named twice is paged once."""
    story = tell(terminals=BOTH_TERMINALS)
    sent = story.page("both", "alice", text="Code blue")
    story.forward(2)
    assert sorted(copy.pager for copy in story.copies()) == [PAGER, OTHER_PAGER]
    assert story.look(sent).ending == "confirmed"
