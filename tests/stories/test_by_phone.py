"""The Internet is gone, and there is a telephone: pages go out by modem."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model import LinkName
from gateway.outcome import Level
from protocols.modem.messages import Heard, Word
from protocols.tap import messages as m
from protocols.tap.session import ServerRules
from tests.stories.conftest import Tell
from tests.stories.doors import call
from tests.stories.phone import Phone
from tests.stories.world import BULK, CRITICAL, NORMAL, ONE, PAGER, SETTINGS, TWO, URGENT, Story

MODEM = "/dev/serial/by-id/usb-A"
LINES = f'lines: {{modem-1: {{pool: modems, serial: "{MODEM}"}}}}\n'
NUMBERS = "[18005550100, 18005550101]"
PHONE = f"{{adapter: tap, lines: modems, dial: {NUMBERS}, path: phone}}"
BOTH = SETTINGS.replace(f'{{adapter: snpp, at: "{TWO}", path: phone}}', PHONE) + LINES
"""One way over the Internet, and one by phone."""
ONLY = SETTINGS.replace(f'      one: {{adapter: snpp, at: "{ONE}"}}\n', "").replace(
    f'{{adapter: snpp, at: "{TWO}", path: phone}}', PHONE
) + LINES  # fmt: skip
"""By phone only."""


@pytest.fixture
def by_phone(tell: Tell) -> tuple[Story, Phone]:
    return with_phone(tell, ONLY)


def with_phone(tell: Tell, text: str, **more: object) -> tuple[Story, Phone]:
    story = tell(text, started=False, **more)
    phone = Phone(story.world)
    phone.plug(MODEM)
    return story.start(), phone


@pytest.mark.parametrize("weather", [{"refuse": True}, {"blackhole": True}, {"unknown": True}])
def test_the_internet_is_dead_and_the_phone_is_alive(tell: Tell, weather: dict[str, bool]) -> None:
    """A critical page is taken by the terminal within a minute."""
    story, phone = with_phone(tell, BOTH, terminals={ONE: {}})
    story.weather(ONE, **weather)
    sent = story.page("alice", message_class=CRITICAL)
    assert story.wait_for(lambda: story.look(sent).level >= Level.HANDED_OVER) <= 60
    assert [(page.pager, page.text) for _, page in phone.pages] == [(PAGER, "Cath lab 2")]
    story.forward(minutes=20)
    assert len(phone.pages) == 1


def test_a_call_takes_ten_pages(by_phone: tuple[Story, Phone]) -> None:
    """Those who wait go out ten a call at most, each once, in order."""
    story, phone = by_phone
    for n in range(12):
        story.page("alice", text=f"page {n}", message_class=URGENT)
    story.wait_for(lambda: len(phone.pages) == 12, limit=600)
    story.forward(minutes=5)
    assert phone.calls == [10, 2]
    assert phone.texts() == [f"page {n}" for n in range(12)]


def test_a_call_ends_after_twenty_seconds(tell: Tell) -> None:
    """A slow line holds a call no longer than 20 s and the page at hand: at 300 baud six pages of 80 letters."""
    story, phone = with_phone(tell, ONLY.replace("pool: modems,", "pool: modems, baud: 300,"))
    for n in range(12):
        story.page("alice", text=f"page {n} " + "x" * 80, message_class=URGENT)
    story.wait_for(lambda: len(phone.pages) == 12, limit=900)
    story.forward(minutes=5)
    assert phone.calls == [6, 6]


def test_a_critical_page_does_not_wait_for_the_others(by_phone: tuple[Story, Phone]) -> None:
    """The call that is under way ends behind the page at hand, and the critical one has the next call alone."""
    story, phone = by_phone
    for n in range(8):
        story.page("alice", text=f"page {n}", message_class=BULK)
    story.wait_for(lambda: len(phone.pages) == 2)
    story.page("bob", text="arrest", message_class=CRITICAL)
    before = len(phone.pages)
    took = story.wait_for(lambda: "arrest" in phone.texts())
    assert took <= 30
    assert phone.texts().index("arrest") <= before + 1
    story.forward(minutes=5)
    assert phone.calls[1] == 1
    assert sum(phone.calls) == len(phone.pages) == 9


def test_critical_pages_have_calls_of_their_own(by_phone: tuple[Story, Phone]) -> None:
    """Two people, two calls: what a terminal takes back at the end of one is about one page."""
    story, phone = by_phone
    story.page("both", message_class=CRITICAL)
    story.wait_for(lambda: len(phone.pages) == 2, limit=120)
    story.forward(minutes=1)
    assert phone.calls == [1, 1]


def test_or_one_call_for_all(tell: Tell) -> None:
    """`critical_alone: false`: all who are paged at once are paged in one call, minutes sooner."""
    story, phone = with_phone(tell, ONLY.replace("adapter: tap,", "adapter: tap, critical_alone: false,"))
    story.page("both", message_class=CRITICAL)
    story.wait_for(lambda: len(phone.pages) == 2, limit=60)
    story.forward(minutes=1)
    assert phone.calls == [2]


def test_a_page_taken_back_at_log_off_is_a_setback(by_phone: tuple[Story, Phone]) -> None:
    """The terminal took it and then changed its mind; nobody says that it was handed over for good."""
    story, phone = by_phone
    phone.regret = m.answer_of(511, control=m.Control.RS)
    sent = story.page("alice", message_class=NORMAL)
    story.wait_for(lambda: story.events(sent, "setback"), limit=120)
    (setback,) = story.events(sent, "setback")
    assert "511" in setback.data["why"]


@pytest.mark.parametrize("word", [Word.BUSY, Word.NO_ANSWER, Word.NO_CARRIER, Word.VOICE])
def test_the_next_number_is_dialled(by_phone: tuple[Story, Phone], word: Word) -> None:
    """A number that does not lead to a terminal costs a critical page seconds, not its life."""
    story, phone = by_phone
    phone.says = lambda number: Heard(word=word) if number.endswith("00") else None
    story.page("alice", message_class=CRITICAL)
    assert story.wait_for(lambda: phone.pages) <= 60
    assert phone.dialled == ["18005550100", "18005550101"]


def test_a_full_terminal_is_called_again_at_once(by_phone: tuple[Story, Phone]) -> None:
    """112 after two pages: the third goes out by the next call, without waiting and without being charged."""
    story, phone = by_phone
    phone.answers = [m.answer_of(211), m.answer_of(211), m.answer_of(112)]
    for n in range(3):
        sent = story.page("alice", text=f"page {n}", message_class=NORMAL)
    story.wait_for(lambda: len(phone.pages) == 4, limit=60)
    story.forward(10)
    (leg,) = story.legs(sent)
    assert (leg.tries, leg.connects) == (1, 0)
    assert story.link("spok.two").last_failure is None


def test_stopping_in_the_middle_of_a_call(by_phone: tuple[Story, Phone]) -> None:
    """What is begun ends, the call is logged off, the line is free within half a minute; nothing is in doubt."""
    story, phone = by_phone
    sent = [story.page("alice", text=f"page {n}", message_class=URGENT) for n in range(6)]
    story.wait_for(lambda: len(phone.pages) == 2)
    began = story.now
    story.stop()
    assert story.now - began <= 30
    assert len(phone.calls) == 1
    story.start()
    story.wait_for(lambda: len(phone.pages) == 6, limit=120)
    story.forward(minutes=5)
    assert phone.texts() == [f"page {n}" for n in range(6)]
    assert all(story.look(one).ending == "confirmed" for one in sent)


@pytest.mark.parametrize("after", [0.5, 2.0, 5.0, 30.0])
def test_stopping_while_a_call_is_made(by_phone: tuple[Story, Phone], after: float) -> None:
    """Nobody waits for a modem that still dials: the call is given up, and the page goes out after the start."""
    story, phone = by_phone
    phone.silent = True
    phone.terminal.rules = ServerRules(prompt="Hello")  # no ID=: the logon takes its whole time
    story.page("alice", message_class=URGENT)
    story.forward(after)
    began = story.now
    story.stop()
    assert story.now - began <= 5
    phone.silent, phone.terminal.rules = False, None
    story.start()
    story.wait_for(lambda: phone.pages, limit=120)


def test_a_line_is_probed_by_its_name(by_phone: tuple[Story, Phone]) -> None:
    """`gateway probe modem-1`: port, modem, dial tone; while it is in use or gone, that is said."""
    story, phone = by_phone
    line = LinkName("modem-1")
    found = story.run(story.house.probe(line))
    assert (found.reached, found.capabilities["modem"], found.capabilities["dial tone"]) == (
        True,
        "answers",
        "yes",
    )
    story.page("alice")
    story.wait_for(lambda: phone.dialled)
    assert story.run(story.house.probe(line)).says == "modem-1 is in use"
    story.forward(minutes=2)
    story.world.unplug(MODEM)
    found = story.run(story.house.probe(line))
    assert (found.reached, found.says) == (False, f"modem-1: there is no port {MODEM}")


def test_a_line_that_fails_again_and_again_is_told(by_phone: tuple[Story, Phone]) -> None:
    """No dial tone, three calls in a row: health and `gateway stuck` say so, until the line works again."""
    story, phone = by_phone
    phone.says = lambda number: Heard(word=Word.NO_DIALTONE)
    story.page("alice", message_class=CRITICAL)

    def told() -> list[str]:
        return [reason for reason in story.house.health().reasons if reason.startswith("line modem-1")]

    story.wait_for(told, limit=60)
    (reason,) = told()
    assert reason.startswith("line modem-1: no dial tone since 00:0")
    assert "(3 calls); no other line of modems works" in reason
    (line,) = stuck(story)
    assert (line["what"], line["times"], line["commands"]) == ("modem-1", 3, ["gateway probe modem-1"])
    phone.says = lambda number: None
    story.wait_for(lambda: phone.pages, limit=120)
    assert told() == [] == stuck(story)


def stuck(story: Story) -> list[dict[str, Any]]:
    """The lines that need somebody."""
    items = call(story, "GET", "/v1/stuck")[1]["needs_you"]
    return [item for item in items if item["kind"] == "line"]


def test_another_line_takes_the_calls(tell: Tell) -> None:
    """Both pages are out by the second modem; the first one's trouble says who stands in, and since when."""
    more = LINES.replace("}}", f', rest: 1h}}, modem-2: {{pool: modems, serial: "{MODEM}2"}}}}')
    story, phone = with_phone(tell, ONLY.replace(LINES, more))
    phone.plug(f"{MODEM}2")
    story.world.unplug(MODEM)
    for n in range(2):
        story.page("alice", text=f"page {n}", message_class=CRITICAL)
        story.wait_for(lambda n=n: len(phone.pages) == n + 1, limit=120)
    story.forward(minutes=1)
    bad, good = call(story, "GET", "/v1/links")[1]["lines"]
    assert (bad["state"], bad["times"], bad["moved"]) == ("failing", 2, 2)
    assert bad["says"].startswith("Its port is not there since 00:00:")
    assert bad["says"].endswith(" (2 calls). Its calls go by modem-2, 2 so far.")
    assert good["state"] == "ready"


@pytest.mark.parametrize("after", [0.5, 2.0, 6.0, 8.0, 9.0, 9.5, 10.0, 12.0])
def test_the_modem_is_unplugged(by_phone: tuple[Story, Phone], after: float) -> None:
    """Whenever the plug is pulled, the page is out soon after it is in again."""
    story, phone = by_phone
    story.page("alice", message_class=CRITICAL)
    story.forward(after)
    story.world.unplug(MODEM)
    story.forward(20)
    phone.plug(MODEM)
    if not phone.pages:
        assert story.wait_for(lambda: phone.pages, limit=120) <= 65
    story.forward(minutes=10)
    assert 1 <= len(phone.pages) <= 2
