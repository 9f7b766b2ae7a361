"""Rules that were made one by one, met by one page: parts, calls, pauses, maintenance, the Internet, deadlines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest

from gateway.adapters.base import Calls, Evidence, measuring
from gateway.alphabets import Alphabet
from gateway.lifecycle import State
from gateway.model import LinkName, Page
from gateway.outcome import About, CarrierRef, InDoubt, Later, Level, Outcome, Refused, Taken
from protocols.modem.messages import Heard, Word
from tests.stories.conftest import Tell
from tests.stories.test_by_phone import ONLY, with_phone
from tests.stories.test_failover import CABLES, FOUR, SUNDAY, THREE, cut
from tests.stories.wide import WIDE, Desk
from tests.stories.world import ALICE, BULK, CRITICAL, NORMAL, ONE, PAGER, TWO, URGENT, Story

WORDS = " ".join(f"word{number:02d}" for number in range(35))  # three parts of 100
DISKS = ["memory", "sqlite"]


def at_the_desk(
    tell: Tell,
    says: Callable[[Page], Outcome],
    *,
    disk: str = "memory",
    more: str = "",
    calls: Calls | None = None,
    text: str = WIDE,
) -> tuple[Story, Desk]:
    """A link that takes texts of 100 characters in parts, each in a second."""
    desk = Desk()
    desk.takes = 1.0
    desk.says = says
    spec = msgspec.structs.replace(
        desk.spec(), measure=lambda settings: measuring(Alphabet.ASCII, 100), calls=lambda settings: calls
    )
    slots = "" if "slots" in more else ", slots: 1"
    text = text.replace("adapter: wide", f"adapter: wide, too_long: split{slots}{more}")
    return tell(text, adapters={"wide": spec}, disk=disk), desk


def sent(desk: Desk) -> list[tuple[int, int]]:
    """Which part and which copy, in order."""
    return [(page.part, page.copy) for _, page in desk.pages]


TWO_WAYS = WIDE.replace("idle: 1h}", "idle: 1h}, other: {adapter: wide}")


# ---------------------------------------------------------------- between two parts


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("stopped", ["acknowledged", "cancelled"])
def test_no_part_begins_after_a_stop(tell: Tell, disk: str, stopped: str) -> None:
    """Somebody has it while its first part is under way: that one finishes, the others stay here."""
    story, desk = at_the_desk(tell, lambda page: Taken(), disk=disk)
    page = story.page("alice", text=WORDS, message_class=CRITICAL, until=Level.ACKNOWLEDGED)
    story.wait_for(lambda: desk.pages)
    if stopped == "acknowledged":
        story.acknowledge(page)
    else:
        story.cancel(page)
    story.forward(minutes=20)
    assert sent(desk) == [(1, 1)]
    assert story.legs(page)[0].state is State.CANCELLED


@pytest.mark.parametrize("disk", DISKS)
def test_no_part_begins_after_the_deadline(tell: Tell, disk: str) -> None:
    """Each part is a page to the carrier: the time is looked at before each."""
    story, desk = at_the_desk(tell, lambda page: Taken(), disk=disk)
    desk.takes = 5.0
    page = story.page("desk:1", text=WORDS, message_class=URGENT, expires_in=8.0)
    story.forward(minutes=1)
    assert [at for at, _ in desk.pages] == [0.0, 5.0] or len(desk.pages) == 2
    assert story.legs(page)[0].state is State.EXPIRED


def test_no_part_begins_on_a_link_that_is_switched_off(tell: Tell) -> None:
    """An order counts at once; when the link is back, the missing parts go out and no other."""
    story, desk = at_the_desk(tell, lambda page: Taken())
    story.page("desk:1", text=WORDS, message_class=NORMAL)
    story.wait_for(lambda: desk.pages)
    story.order("desk.all", "suspended")
    story.forward(minutes=5)
    assert sent(desk) == [(1, 1)]
    story.order("desk.all", "open")
    story.forward(5)
    assert sent(desk) == [(1, 1), (2, 1), (3, 1)]


def test_conversations_take_as_many_pages_as_they_take(tell: Tell) -> None:
    """Also if several texts go out in parts at once."""
    story, desk = at_the_desk(tell, lambda page: Taken(), more=", slots: 2, per_session: 4")
    story.forward(1)
    for _ in range(4):
        story.page("desk:1", text=WORDS, message_class=URGENT)
    story.forward(minutes=2)
    assert len(desk.pages) == 12
    assert len(desk.opened) >= 3


def test_calls_take_as_many_pages_as_they_take(tell: Tell) -> None:
    """Parts count: a call of four pages, or of a few seconds, is none of six."""
    story, desk = at_the_desk(tell, lambda page: Taken(), calls=Calls(pages=4))
    for _ in range(4):
        story.page("desk:1", text=WORDS, message_class=BULK)
    story.forward(minutes=2)
    assert len(desk.pages) == 12
    edges = [*desk.opened, story.now]
    assert max(sum(a <= at < b for at, _ in desk.pages) for a, b in pairwise(edges)) <= 4


@pytest.mark.parametrize("calls", [None, Calls()])
def test_a_critical_page_does_not_wait_for_the_parts_of_another(tell: Tell, calls: Calls | None) -> None:
    """Links with one slot yield between pages, and a part is one."""
    story, desk = at_the_desk(tell, lambda page: Taken(), calls=calls)
    story.page("desk:1", text=WORDS, message_class=BULK)
    story.wait_for(lambda: desk.pages)
    story.page("desk:2", text="arrest", message_class=CRITICAL)
    story.forward(minutes=1)
    assert [page.text[:6] for _, page in desk.pages][1] == "arrest"
    assert [part for part, _ in sent(desk)] == [1, 1, 2, 3]


def test_a_critical_text_in_parts_has_a_call_alone(tell: Tell) -> None:
    """One call, all its parts, nothing else."""
    story, desk = at_the_desk(tell, lambda page: Taken(), calls=Calls())
    story.page("desk:1", text=WORDS, message_class=CRITICAL)
    story.page("desk:2", text=WORDS, message_class=CRITICAL)
    story.forward(minutes=1)
    assert [part for part, _ in sent(desk)] == [1, 2, 3, 1, 2, 3]
    assert len(desk.opened) == 2


def test_parts_that_wait_go_on_at_once(tell: Tell) -> None:
    """Not after the wait between two tries, which is minutes for bulk: nothing failed."""
    story, desk = at_the_desk(tell, lambda page: Taken(), more=", per_session: 1")
    story.page("desk:1", text=WORDS, message_class=BULK)
    story.forward(20)
    assert sent(desk) == [(1, 1), (2, 1), (3, 1)]


def test_rules_are_about_what_carriers_say(tell: Tell) -> None:
    """What the gateway itself decides about a page is no answer: a rule for anything does not turn parts that
    wait for another conversation into a refused page."""
    rules = 'desk: {rules: [{code: "*", match: "*", means: refuse_page}], device'
    story, desk = at_the_desk(
        tell, lambda page: Taken(), more=", per_session: 2", text=WIDE.replace("desk: {device", rules)
    )
    page = story.page("desk:1", text=WORDS, message_class=URGENT)
    story.forward(10)
    assert sent(desk) == [(1, 1), (2, 1), (3, 1)]
    assert story.look(page).ending == "confirmed"


# ---------------------------------------------------------------- half a text


@pytest.mark.parametrize("disk", DISKS)
def test_what_was_taken_of_half_a_text_is_a_copy(tell: Tell, disk: str) -> None:
    """The first way took one part and refused the next: on the second way all are marked as a second copy."""
    answers: dict[int, Outcome] = {2: Refused(about=About.PAGE, code="550", why="no")}
    story, desk = at_the_desk(
        tell, lambda page: answers.pop(page.part, None) or Taken(), disk=disk, text=TWO_WAYS
    )
    page = story.page("alice", text=WORDS, message_class=CRITICAL)
    story.forward(20)
    assert sent(desk) == [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)]
    assert story.look(page).ending == "confirmed"


@pytest.mark.parametrize("disk", DISKS)
def test_a_receipt_for_half_a_text_proves_nothing(tell: Tell, disk: str) -> None:
    """The first part was taken and read, the second refused: nobody has the page."""
    story, desk = at_the_desk(
        tell,
        lambda page: (
            Refused(about=About.PAGE, code="550", why="no")
            if page.part == 2
            else Taken(refs=(CarrierRef(scope="d", ref=page.correlation),))
        ),
        disk=disk,
    )
    page = story.page("desk:1", text=WORDS, message_class=URGENT)
    story.forward(5)
    ref = desk.pages[0][1].correlation
    report(story, desk, ref, Level.ON_DEVICE)
    assert story.legs(page)[0].level is Level.STORED
    assert story.look(page).ending == "failed"


def report(story: Story, desk: Desk, ref: str, level: Level) -> None:
    evidence = Evidence(scope="d", ref=ref, state=level.token, at=story.env.now(), level=level)
    story.run(desk.reception.report(LinkName("desk.all"), evidence))


@pytest.mark.parametrize("disk", DISKS)
def test_what_was_split_once_may_go_out_whole(tell: Tell, disk: str) -> None:
    """The settings changed in between: the page is a second copy of what was taken, and its receipt counts."""
    answers: dict[int, Outcome] = {2: Later(about=About.PAGE, code="554", why="busy")}
    story, desk = at_the_desk(
        tell,
        lambda page: (
            answers.pop(page.part, None) or Taken(refs=(CarrierRef(scope="d", ref=page.correlation),))
        ),
        disk=disk,
    )
    page = story.page("desk:1", text=WORDS, message_class=NORMAL)
    story.wait_for(lambda: len(desk.pages) == 2)
    story.forward(5)
    story.reload(story.text.replace("too_long: split", "too_long: cut"))
    story.forward(minutes=5)
    assert sent(desk) == [(1, 1), (2, 1), (1, 2)]
    report(story, desk, desk.pages[-1][1].correlation, Level.ON_DEVICE)
    assert story.legs(page)[0].level is Level.ON_DEVICE


@pytest.mark.parametrize("disk", DISKS)
def test_what_was_split_once_may_be_in_doubt_whole(tell: Tell, disk: str) -> None:
    """A crash while it goes out whole is one doubt, and what is assumed then is assumed of all of it."""
    busy = Later(about=About.PAGE, code="554", why="busy")
    answers: list[Outcome] = [Taken(), busy, InDoubt(code="no-answer", why="silence")]
    story, desk = at_the_desk(tell, lambda page: answers.pop(0), disk=disk)
    page = story.page("desk:1", text=WORDS, message_class=BULK)
    story.wait_for(lambda: len(desk.pages) == 2)
    story.forward(5)
    story.reload(story.text.replace("too_long: split", "too_long: cut"))
    story.forward(minutes=60)
    assert sent(desk) == [(1, 1), (2, 1), (1, 2)]
    assert story.legs(page)[0].reason == "assumed"


# ---------------------------------------------------------------- calls cost


def test_nobody_is_rung_up_to_see_whether_it_works(tell: Tell) -> None:
    """A way out by phone that failed is dialled again when a page is due, and not for its own sake."""
    story, phone = with_phone(tell, ONLY)
    phone.says = lambda number: Heard(word=Word.BUSY)
    pages = [story.page("alice", text=f"page {n}", message_class=URGENT, expires_in=600.0) for n in range(3)]
    story.forward(minutes=12)
    assert all(story.look(page).ending == "expired" for page in pages)
    before = len(phone.dialled)
    assert before > 3
    story.forward(hours=2)
    assert len(phone.dialled) == before
    phone.says = lambda number: None
    story.page("alice", text="again", message_class=CRITICAL)
    assert story.wait_for(lambda: "again" in phone.texts()) <= 60


# ---------------------------------------------------------------- not before its time


@pytest.mark.parametrize("disk", DISKS)
def test_the_internet_is_down_before_its_time(tell: Tell, disk: str) -> None:
    """A page for later, and one that an operator keeps back, do not go by phone at once."""
    story = tell(CABLES, terminals={THREE: {}}, disk=disk)
    planned = story.page("alice", text="planned", message_class=URGENT, not_before=story.after(3600))
    kept = story.page("alice", text="kept", message_class=URGENT, not_before=story.after(60))
    story.pause(kept)
    cut(story)
    story.forward(minutes=10)
    assert story.copies(PAGER) == []
    story.wait_for(lambda: story.copies(text="planned"), limit=3700)
    assert story.now >= 3600
    story.go_on(kept)
    story.forward(1)
    assert [copy.text for copy in story.copies(PAGER)] == ["planned", "kept"]
    assert story.look(planned).ending == "confirmed"


def test_a_planned_page_goes_the_way_that_works_then(tell: Tell) -> None:
    """The Internet is down when it is submitted, and back long before it is due."""
    story = tell(CABLES, terminals={ONE: {}, TWO: {}, THREE: {}, FOUR: {}})
    cut(story)
    sent = story.page("alice", text="planned", message_class=URGENT, not_before=story.after(3600))
    for at in (ONE, TWO, FOUR):
        story.weather(at)
    story.wait_for(lambda: story.copies(text="planned"), limit=3700)
    assert [leg.link for leg in story.legs(sent)] == ["spok.one"]


# ---------------------------------------------------------------- maintenance and pauses


def test_a_critical_page_for_later_opens_nothing_in_maintenance(tell: Tell) -> None:
    """Only one that is due does, and then ordinary ones still wait."""
    story = tell(SUNDAY, terminals={ONE: {}})
    story.page(ALICE, text="later", message_class=CRITICAL, not_before=story.after(3 * 3600))
    story.forward(minutes=12)
    story.page(ALICE, text="ordinary", message_class=NORMAL)
    story.forward(minutes=20)
    assert story.terminals[ONE].connected == []


def test_a_short_pause_ends_no_longer_one(tell: Tell) -> None:
    """A rule wants a minute's rest; what another page hears meanwhile asks for less."""
    said: list[Outcome] = [
        Refused(about=About.PAGE, code="777", why="overloaded"),
        Later(about=About.LINK, code="421", why="busy"),
    ]
    text = WIDE.replace("desk: {device", "desk: {rules: [{code: 777, means: later, pause_link: 60s}], device")
    story, desk = at_the_desk(
        tell, lambda page: said.pop(0) if said else Taken(), text=text, more=", slots: 2"
    )
    story.page("desk:1", message_class=URGENT)
    story.page("desk:2", message_class=URGENT)
    story.wait_for(lambda: len(desk.pages) == 2)
    story.forward(55)
    assert len(desk.pages) == 2
    story.forward(30)
    assert len(desk.pages) == 4
