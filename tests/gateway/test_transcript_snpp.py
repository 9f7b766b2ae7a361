"""What is kept of a dialogue over SNPP: enough to see what went wrong, and nothing of texts and secrets."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from link_fakes import surroundings
from twisted.internet.protocol import Factory, Protocol

from gateway.adapters.base import Recorded, Session
from gateway.adapters.recorded import EXCHANGES
from gateway.adapters.snpp import ADAPTER, SnppSettings
from gateway.env.simulated import SimulatedEnv, World, run
from gateway.model import DeliveryKey, LinkName, MessageClass, Page, PublicId, later
from gateway.outcome import NotSent, Refused
from gateway.settings.types import LinkSettings, Secret

AT = "10.0.0.1:444"
NAME = LinkName("spok.web")


class Parrot(Protocol):
    """A server that repeats what it refuses, *cut* in two, and in capitals if *loud*."""

    cut = 1000
    loud = False
    login = True

    def connectionMade(self) -> None:
        self.say(b"220 Parrot ready")
        self.rest, self.text = b"", False

    def dataReceived(self, data: bytes) -> None:
        self.rest += data
        while b"\r\n" in self.rest:
            line, self.rest = self.rest.split(b"\r\n", 1)
            self.hear(line)

    def hear(self, line: bytes) -> None:
        verb = line[:4].upper()
        if self.text:
            self.text = line != b"."
            if not self.text:
                self.say(b"550 That was no text")
            else:
                self.words = line
        elif verb == b"DATA":
            self.text = True
            self.say(b"354 Go on")
        elif verb == b"QUIT":
            self.say(b"221 Bye")
            self.transport.loseConnection()
        elif verb in (b"MESS", b"CALL", b"SEND") or (verb == b"LOGI" and not self.login):
            self.say(b"550 I do not like " + line)
        else:
            self.say(b"250 You said " + line)

    def say(self, line: bytes) -> None:
        line = (line.upper() if self.loud else line)[:500] + b"\r\n"
        self.transport.write(line[: self.cut])
        self.transport.write(line[self.cut :])


def dialogue(text: str, password: str, *, login: bool = True, **how: Any) -> tuple[str, str, str]:
    """Of a page that is refused: what the session keeps, what the link keeps, and the outcome's words."""
    world = World(3)
    factory = Factory.forProtocol(type("OneParrot", (Parrot,), {"login": login, **how}))
    world.env("10.0.0.1").net.listen(AT, factory)
    env: SimulatedEnv = world.env("10.9.0.1")
    own = SnppSettings(at=AT, login="ward", password=Secret(password), caller_id=True)
    link = ADAPTER.make_link(NAME, LinkSettings(adapter="snpp", own=own), surroundings(env))
    assert isinstance(link, Recorded)
    session = run(world, link.open())
    if not isinstance(session, Session):
        assert isinstance(session, NotSent)
        return "", "\n".join(link.transcript()), session.why
    assert isinstance(session, Recorded)
    page = Page(
        delivery=DeliveryKey(1),
        public_id=PublicId("0" * 26),
        correlation="c-1",
        address="5551212",
        text=text,
        message_class=MessageClass.URGENT,
        expires=later(env.now(), 900),
        sender="4411",
    )
    outcome = run(world, session.submit(page))
    said = "\n".join(session.transcript())
    run(world, session.close())
    assert isinstance(outcome, Refused)
    return said, "\n".join(link.transcript()), outcome.why


def test_a_refused_page_shows_who_said_what() -> None:
    """Directions, commands and codes; the text by its length and a hash, the number masked."""
    said, kept, _ = dialogue("Cath lab 2: STEMI in 10 min", "hunter2-canary")
    lines = [line[25:] for line in said.split("\n")]
    assert lines[0] == r"> PAGE •••1212\r\n"
    assert lines[1] == r"< 250 You said PAGE •••1212\r\n"
    assert "MESS ‹text 27 bytes " in said
    assert "550 I do not like MESS ‹text 27 bytes " in said
    assert "LOGI ward ‹secret›" in kept
    assert r"< 221 Bye\r\n" in kept
    assert "STEMI" not in kept


WORDS = st.text(string.ascii_letters + string.digits + " .,:'-", min_size=12, max_size=120).filter(
    lambda text: len(text.strip(" .")) >= 12 and len(set(text)) >= 8
)


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(WORDS, min_size=1, max_size=3).map("\n".join),
    password=st.text(string.ascii_letters + string.digits, min_size=8, max_size=30).filter(
        lambda text: len(set(text)) >= 6
    ),
    login=st.booleans(),
    loud=st.booleans(),
    cut=st.integers(0, 200),
)
def test_texts_and_passwords_are_never_shown(
    text: str, password: str, login: bool, loud: bool, cut: int
) -> None:
    """However the server repeats them: whole, cut in two, in capitals; nor is a longer part of either."""
    shown = "\n".join(dialogue(text, password, login=login, loud=loud, cut=cut)[:2])
    # what a server says by itself may look like a part of a text
    for own in ("PARROT READY", "I DO NOT LIKE ", "YOU SAID ", "THAT WAS NO TEXT", "GO ON"):
        shown = shown.upper().replace(own, "")
    assert password.upper() not in shown
    for line in text.split("\n"):
        line = line.strip().upper()
        for at in range(len(line) - 11):
            assert line[at : at + 12] not in shown


def test_what_a_link_keeps_is_bounded() -> None:
    """The last dialogues; older ones are gone."""
    world = World(3)
    world.env("10.0.0.1").net.listen(AT, Factory.forProtocol(Parrot))
    env = world.env("10.9.0.1")
    link: Any = ADAPTER.make_link(
        NAME,
        LinkSettings(adapter="snpp", own=SnppSettings(at=AT)),
        surroundings(env),
    )
    for _ in range(20):
        session = run(world, link.open())
        run(world, session.close())
    assert sum("220 Parrot" in line for line in link.transcript()) == EXCHANGES
