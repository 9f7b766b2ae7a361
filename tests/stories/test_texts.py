"""Texts that always fit: cut, split or shortened on the way to a pager; what was taken is not sent again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from gateway.adapters.base import measuring
from gateway.alphabets import Alphabet
from gateway.lifecycle import State
from gateway.model import Page
from gateway.outcome import About, CarrierRef, InDoubt, Later, Level, Outcome, Refused, Taken
from tests.stories.conftest import Tell
from tests.stories.doors import call
from tests.stories.wide import WIDE, Desk
from tests.stories.world import ALICE, BULK, DIRECT, NORMAL, ONE, PAGER, SETTINGS, TWO, URGENT, Story

LONG = ("Größe: 🔥 in ward 4, " * 300)[:5000]
SPLIT = DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", too_long: split, parts: 3')
DISKS = ["memory", "sqlite"]


def sent(story: Story) -> list[str]:
    return [copy.text for copy in story.copies()]


def test_a_long_text_is_cut(tell: Tell) -> None:
    """5,000 characters with emoji for a pager of 240: as much as it shows, in its characters, and a mark."""
    story = tell(DIRECT, terminals={ONE: {}})
    page = story.page(ALICE, text=LONG)
    story.forward(5)
    (text,) = sent(story)
    assert text.startswith("Grosse: [fire] in ward 4, Grosse: ")
    assert text.endswith("...")
    assert 220 < len(text) <= 240
    (warning,) = page.body["warnings"][:1]
    assert warning["code"] == "text-cut"
    assert f"it gets {len(text)} characters" in warning["detail"]
    assert page.body["warnings"][1]["code"] == "characters-replaced"
    (event,) = story.events(page, "attempt")
    assert event.data["warning"].startswith("the text was cut; ")
    assert "parts" not in event.data


def test_a_long_text_is_split_where_wanted(tell: Tell) -> None:
    """At most three parts, in order, each with its place; the last one is cut."""
    story = tell(SPLIT, terminals={ONE: {}})
    page = story.page(ALICE, text=LONG)
    story.forward(5)
    first, second, third = sent(story)
    assert (first[:4], second[:4], third[:4]) == ("1/3 ", "2/3 ", "3/3 ")
    assert third.endswith("...")
    assert all(200 < len(text) <= 240 for text in sent(story))
    assert {one["code"] for one in page.body["warnings"]} == {"text-cut", "text-split", "characters-replaced"}
    (row,) = story.legs(page)
    assert (row.state, row.tries) == (State.TAKEN, 1)
    (event,) = story.events(page, "attempt")
    assert (event.data["parts"], list(event.data["missing"])) == (3, [])


def test_a_long_text_is_not_cut_where_that_is_refused(tell: Tell) -> None:
    """The shorter form goes out."""
    story = tell(DIRECT.replace(f'at: "{ONE}"', f'at: "{ONE}", too_long: refuse'), terminals={ONE: {}})
    story.page(ALICE, text=LONG)
    story.forward(5)
    (text,) = sent(story)
    assert text.startswith("Grosse: [fire] in ward 4")
    assert text.endswith("...")
    assert len(text) < 80


def test_what_no_form_makes_fit_goes_another_way(tell: Tell) -> None:
    """Refused before a byte of it leaves, so that the next leg opens; the last one takes what it can."""
    texts = SETTINGS.replace(
        '"{text}", "{short}"', '"{text} {short}", "{short} is what this is about in short"'
    )
    narrow = texts.replace(f'at: "{ONE}"', f'at: "{ONE}", too_long: refuse, max_chars: 60')
    story = tell(narrow.replace(f'at: "{TWO}"', f'at: "{TWO}", too_long: refuse, max_chars: 50'))
    story.terminal(ONE)
    story.terminal(TWO)
    page = story.page("alice", text=LONG, message_class=URGENT, until=Level.ACKNOWLEDGED)
    story.forward(20)
    assert [(copy.by, len(copy.text) <= 50) for copy in story.copies()] == [(TWO, True)]
    assert story.terminals[ONE].asked == []
    outcomes = [(event.data["outcome"], event.data["code"]) for event in story.events(page, "attempt")]
    assert outcomes == [("refused", "too-long"), ("taken", "250")]


def test_the_text_stays_off_a_carrier_without_patient_data(tell: Tell) -> None:
    """Neither on the wire nor in what is on record of it, and the sender is told what goes out instead."""
    story = tell(
        DIRECT.replace("    device:", "    text: no-patient-data\n    device:"),
        terminals={ONE: {"lose_answer": 0}},
    )
    body = {"to": ALICE, "text": "SMITH bed 4", "callback": "4411", "class": "urgent"}
    _, answer = call(story, "POST", "/v1/messages?dry_run=true", body)
    assert answer["warnings"] == [
        {
            "code": "text-replaced",
            "detail": "spok.one: the text does not go there: it gets 'Urgent: call 4411' and the reference",
        }
    ]
    _, answer = call(story, "POST", "/v1/messages", body)
    story.forward(5)
    assert sent(story)[0] == f"Urgent: call 4411 {answer['ref']}"
    _, said = call(story, "GET", "/v1/links/spok.one/transcript")
    assert said["lines"]
    row = story.run(story.store.records.message(answer["id"], client=None))
    assert row is not None
    assert "SMITH" not in repr((said, row.timeline, story.copies()))


@pytest.mark.parametrize(
    ("device", "callback", "text"),
    [("numeric", "+33 1 44 11", "33 1 44 11"), ("numeric", None, "2"), ("tone", "4411", "")],
)
def test_devices_that_show_no_letters(tell: Tell, device: str, callback: str | None, text: str) -> None:
    """A numeric pager gets a number and a tone pager nothing but its tone; both are told beforehand."""
    terminals = {ONE: {"tone_only": device == "tone"}}
    story = tell(DIRECT.replace("id: pin", f"id: pin, shows: {device}"), terminals=terminals)
    body = {"to": ALICE, "text": "SMITH bed 4", "class": "urgent"} | (
        {"callback": callback} if callback else {}
    )
    _, answer = call(story, "POST", "/v1/messages", body)
    assert [one["code"] for one in answer["warnings"]] == ["text-replaced"]
    story.forward(5)
    assert sent(story) == [text]


# ---------------------------------------------------------------- parts and what goes wrong with them


def at_the_desk(
    tell: Tell, says: Callable[[Page], Any], disk: str = "memory", more: str = ""
) -> tuple[Story, Desk]:
    """A link that takes texts of 100 characters in parts."""
    desk = Desk()
    desk.says = says
    spec = msgspec.structs.replace(desk.spec(), measure=lambda settings: measuring(Alphabet.ASCII, 100))
    text = WIDE.replace("adapter: wide", f"adapter: wide, too_long: split{more}")
    return tell(text, adapters={"wide": spec}, disk=disk), desk


WORDS = " ".join(f"word{number:02d}" for number in range(35))  # three parts of 100


def parts(desk: Desk) -> list[tuple[int, int]]:
    """Which part and which copy came in, one after the other."""
    return [(page.part, page.copy) for _, page in desk.pages]


@pytest.mark.parametrize("disk", DISKS)
def test_only_parts_that_were_not_taken_are_sent_again(tell: Tell, disk: str) -> None:
    """The second part had to wait: then it and the third go out, as they would have, and not the first."""
    answers: dict[int, Outcome] = {2: Later(about=About.PAGE, code="554", why="busy")}
    story, desk = at_the_desk(
        tell,
        lambda page: (
            answers.pop(page.part, None) or Taken(refs=(CarrierRef(scope="d", ref=page.correlation),))
        ),
        disk,
    )
    page = story.page("desk:1", text=WORDS, message_class=NORMAL)
    story.wait_for(lambda: len(desk.pages) == 2)
    story.wait_for(lambda: story.legs(page)[0].tries == 1)
    story.crash()
    story.forward(90)
    assert parts(desk) == [(1, 1), (2, 1), (2, 1), (3, 1)]
    texts = {one.part: one.text for _, one in desk.pages}
    assert " ".join(texts[part][4:] for part in (1, 2, 3)) == WORDS
    names = [one.correlation for _, one in desk.pages]
    assert names[1:] == [f"{names[0]}-2", f"{names[0]}-2", f"{names[0]}-3"]
    assert all(len(name) <= 32 for name in names)
    (row,) = story.legs(page)
    assert (row.state, row.tries) == (State.TAKEN, 2)


def test_a_doubt_about_one_part_is_settled_for_that_part(tell: Tell) -> None:
    """Nobody knows whether the second part arrived: it goes out again, marked, and the third unmarked."""
    answers: dict[int, Outcome] = {2: InDoubt(code="no-answer", why="silence")}
    story, desk = at_the_desk(tell, lambda page: answers.pop(page.part, None) or Taken())
    page = story.page("desk:1", text=WORDS, message_class=URGENT)
    story.forward(30)
    assert parts(desk) == [(1, 1), (2, 1), (2, 2), (3, 1)]
    assert [one.text.endswith(" (copy 2)") for _, one in desk.pages] == [False, False, True, False]
    assert story.legs(page)[0].doubts == 1


def test_what_is_assumed_of_one_part_is_not_of_the_others(tell: Tell) -> None:
    """For bulk nobody wants a second copy; a part that never left is no copy."""
    answers: dict[int, Outcome] = {2: InDoubt(code="no-answer", why="silence")}
    story, desk = at_the_desk(tell, lambda page: answers.pop(page.part, None) or Taken())
    page = story.page("desk:1", text=WORDS, message_class=BULK)
    story.forward(minutes=10)
    assert [part for part, _ in parts(desk)] == [1, 2, 3]
    assert story.look(page).ending == "confirmed"


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_crash_between_parts_costs_one_more_copy_of_each(tell: Tell, disk: str, after: int) -> None:
    """What was sent since the attempt began is in doubt: one copy more at the most, marked."""
    story, desk = at_the_desk(tell, lambda page: Taken(), disk)
    story.env.fail_at("sent", nth=after)
    page = story.page("desk:1", text=WORDS, message_class=URGENT)
    story.wait_for(lambda: not story.env.alive)
    story.forward(1)
    story.crash()
    story.forward(30)
    assert parts(desk) == [(part, 1) for part in range(1, after + 1)] + [(1, 2), (2, 2), (3, 2)]
    assert story.look(page).ending == "confirmed"


def test_the_level_is_the_lowest_of_the_parts(tell: Tell) -> None:
    """One part was read, the others only taken: the page was handed over."""
    story, _ = at_the_desk(
        tell, lambda page: Taken(level=Level.READ if page.part == 2 else Level.HANDED_OVER)
    )
    page = story.page("desk:1", text=WORDS, message_class=URGENT)
    story.forward(10)
    assert story.look(page).level is Level.HANDED_OVER


def test_choices_come_with_the_last_part(tell: Tell) -> None:
    """A page is answered once, when it has been read."""
    story, desk = at_the_desk(tell, lambda page: Taken())
    story.page("desk:1", text=WORDS, message_class=URGENT, replies=("OK", "Cannot"))
    story.forward(10)
    assert [one.replies for _, one in desk.pages] == [(), (), ("OK", "Cannot")]


def test_a_refused_part_ends_the_page_on_this_way(tell: Tell) -> None:
    """A no stays a no: the third part is not even tried."""
    story, desk = at_the_desk(
        tell, lambda page: Refused(about=About.PAGE, code="550", why="no") if page.part == 2 else Taken()
    )
    page = story.page("desk:1", text=WORDS, message_class=NORMAL)
    story.forward(60)
    assert [part for part, _ in parts(desk)] == [1, 2]
    assert story.look(page).ending == "failed"


def test_parts_count_where_pages_are_counted(tell: Tell) -> None:
    """The link's rate holds for parts, and a conversation of two pages does not take three."""
    story, desk = at_the_desk(tell, lambda page: Taken(), more=", per_session: 2, max_tries: 1")
    page = story.page("desk:1", text=WORDS, message_class=URGENT)
    story.forward(30)
    assert [part for part, _ in parts(desk)] == [1, 2, 3]
    assert story.legs(page)[0].tries == 1
    assert len(desk.opened) == 2
    story, desk = at_the_desk(tell, lambda page: Taken(), more=", rate: 30/min")
    story.forward(1)
    desk.takes = 0.0
    for _ in range(20):
        story.page("desk:1", text=WORDS, message_class=URGENT)
    story.forward(minutes=4)
    times = [at for at, _ in desk.pages]
    assert len(times) == 60
    assert all(sum(start <= at < start + 60 for at in times) <= 60 for start in times)
    gaps = sorted(later - sooner for sooner, later in pairwise(times))
    assert gaps[len(gaps) // 2] >= 1.9


def test_another_way_of_splitting_begins_anew(tell: Tell) -> None:
    """The settings changed between two tries: parts of two ways of splitting would make no sense."""
    answers: dict[int, Outcome] = {2: Later(about=About.PAGE, code="554", why="busy")}
    story, desk = at_the_desk(tell, lambda page: answers.pop(page.part, None) or Taken())
    story.page("desk:1", text=WORDS, message_class=NORMAL)
    story.wait_for(lambda: len(desk.pages) == 2)
    story.forward(1)
    story.reload(story.text.replace("too_long: split", "too_long: split, parts: 2"))
    story.forward(minutes=10)
    assert [(one.part, one.parts) for _, one in desk.pages] == [(1, 3), (2, 3), (1, 2), (2, 2)]


def test_a_page_for_one_pager_costs_nothing_more(tell: Tell) -> None:
    """A text that fits is on record as before: no parts."""
    story = tell(SPLIT, terminals={ONE: {}}, disk="sqlite")
    page = story.page(f"spok:{PAGER}", text="bed 4")
    story.forward(5)
    assert sent(story) == ["bed 4"]
    assert "parts" not in story.events(page, "attempt")[0].data
