"""What is kept of a dialogue over SMTP: enough to see what went wrong, and nothing of texts and secrets."""

from __future__ import annotations

import string
from base64 import b64encode

from hypothesis import given, settings
from hypothesis import strategies as st
from link_fakes import surroundings
from twisted.internet.protocol import Factory, Protocol

from gateway.adapters.base import Recorded, Session
from gateway.adapters.smtp import ADAPTER
from gateway.adapters.smtp.settings import SmtpSettings
from gateway.env.simulated import SimulatedEnv, World, run
from gateway.model import DeliveryKey, LinkName, MessageClass, Page, PublicId, later
from gateway.outcome import NotSent, Refused
from gateway.settings.types import LinkSettings, Secret

AT = "127.0.0.1:2525"
NAME = LinkName("mail.relay")


class Parrot(Protocol):
    """A relay that repeats what it is told: each command, and every line of a mail that it refuses."""

    login = True

    def connectionMade(self) -> None:
        self.rest, self.mail = b"", None
        self.say(b"220 parrot.test ready")

    def dataReceived(self, data: bytes) -> None:
        self.rest += data
        while b"\r\n" in self.rest:
            line, self.rest = self.rest.split(b"\r\n", 1)
            self.hear(line)

    def hear(self, line: bytes) -> None:
        verb = line[:4].upper()
        if self.mail is not None:
            self.mail.append(line)
            if line == b".":
                for said in self.mail[-6:-1]:
                    self.say(b"554-5.6.0 I do not like " + said[:400])
                self.say(b"554 5.6.0 any of it")
                self.mail = None
        elif verb == b"EHLO":
            self.say(b"250-parrot.test\r\n250 AUTH PLAIN")
        elif verb == b"AUTH":
            self.say((b"235 2.7.0 " if self.login else b"535 5.7.8 not ") + line[:400])
        elif verb == b"DATA":
            self.mail = []
            self.say(b"354 Go on")
        elif verb == b"QUIT":
            self.say(b"221 Bye")
            self.transport.loseConnection()
        else:
            self.say(b"250 2.0.0 You said " + line[:400])

    def say(self, line: bytes) -> None:
        self.transport.write(line + b"\r\n")


def dialogue(text: str, password: str, *, login: bool = True) -> tuple[str, str, str]:
    """Of a page that is refused: what the session keeps, what the link keeps, and the outcome's words."""
    world = World(3)
    env: SimulatedEnv = world.env("10.9.0.1")
    env.net.listen(AT, Factory.forProtocol(type("OneParrot", (Parrot,), {"login": login})))
    own = SmtpSettings(
        at=AT,
        from_="pages@local.test",
        tls="off",
        login="ward",
        password=Secret(password),
        bounce_address="pages@bounces.local.test",
        bounce_secret=Secret("a secret of sixteen or more"),
    )
    link = ADAPTER.make_link(NAME, LinkSettings(adapter="smtp", own=own), surroundings(env))
    assert isinstance(link, Recorded)
    session = run(world, link.open())
    if not isinstance(session, Session):
        assert isinstance(session, NotSent)
        return "", "\n".join(link.transcript()), session.why
    assert isinstance(session, Recorded)
    page = Page(
        delivery=DeliveryKey(1),
        public_id=PublicId("0" * 26),
        correlation="c0rre1at-1",
        address="ann@far.test",
        text=text,
        message_class=MessageClass.URGENT,
        expires=later(env.now(), 900),
    )
    outcome = run(world, session.submit(page))
    said = "\n".join(session.transcript())
    run(world, session.close())
    assert isinstance(outcome, Refused)
    return said, "\n".join(link.transcript()), outcome.why


def test_a_refused_mail_shows_who_said_what() -> None:
    """Directions, commands and codes; neither the text, nor the login, nor the token that reports need."""
    said, kept, _ = dialogue("Cath lab 2: STEMI in 10 min", "hunter2-canary")
    assert "> MAIL FROM:<pages+‹secret›@bounces.local.test>" in said
    assert "554-5.6.0 I do not like " in said
    assert "220 parrot.test ready" in kept and "221 Bye" in kept
    assert "STEMI" not in kept and "hunter2" not in kept


WORDS = st.text(string.ascii_letters + string.digits + " .,:'-é", min_size=12, max_size=120).filter(
    lambda text: len(text.strip(" .")) >= 12 and len(set(text)) >= 8
)


@settings(max_examples=40, deadline=None)
@given(
    text=st.lists(WORDS, min_size=1, max_size=3).map("\n".join),
    password=st.text(string.ascii_letters + string.digits, min_size=8, max_size=30).filter(
        lambda text: len(set(text)) >= 6
    ),
    login=st.booleans(),
)
def test_neither_texts_nor_passwords_are_kept(text: str, password: str, login: bool) -> None:
    """Whatever they are, and whoever repeats them."""
    said, kept, why = dialogue(text, password, login=login)
    plain = b64encode(f"\0ward\0{password}".encode()).decode()
    for line in (line.strip(" .") for line in text.split("\n")):
        for shown in (said, kept, why):
            assert line not in shown
    for shown in (said, kept, why):
        assert plain not in shown
        assert password not in shown
