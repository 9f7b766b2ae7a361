"""SMTP links: what their settings may say, the address that reports come to, the mail that goes out."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_fakes import surroundings

from gateway.adapters.smtp import ADAPTER, SmtpListen, SmtpSettings
from gateway.adapters.smtp.answers import outcome_of
from gateway.adapters.smtp.envelope import MAX_BASE, About, BounceAddress
from gateway.adapters.smtp.link import IMPORTANCE, SmtpLink, measured
from gateway.env.simulated import World, run
from gateway.errors import SettingsError
from gateway.model import DeliveryKey, LinkName, MessageClass, Page, PublicId, Ref, later
from gateway.outcome import About as OutcomeAbout
from gateway.outcome import Level, NotSent, Refused, Taken
from gateway.settings import load
from gateway.settings.types import LinkSettings, Secret, Settings
from gateway.sim.smtp import SimulatedSmtp, SmtpQuirks
from gateway.sim.truth import Truth
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.messages import Mailbox
from protocols.smtp.server import Caller

SECRET = Secret("0123456789abcdef")
BOUNCES = {"bounce_address": "pages@bounces.example.org", "bounce_secret": SECRET}
LINK = LinkName("mail.relay")
AT = "relay.example:25"


def own(**keys: Any) -> SmtpSettings:
    return SmtpSettings(**({"at": "mail.example.net:587", "from_": "pages@st-anne.example"} | keys))


def objections(**keys: Any) -> list[tuple[str, bool]]:
    return [(one.key, one.warning) for one in own(**keys).check()]


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("written", "name", "address"),
    [
        ("pages@st-anne.example", None, "pages@st-anne.example"),
        ("St Anne paging <pages@st-anne.example>", "St Anne paging", "pages@st-anne.example"),
        ('"St Anne, paging" <pages@st-anne.example>', "St Anne, paging", "pages@st-anne.example"),
        ("Hôpital <pages@st-anne.example>", "Hôpital", "pages@st-anne.example"),
        ("<pages@st-anne.example>", None, "pages@st-anne.example"),
    ],
)
def test_whom_mail_comes_from(written: str, name: str | None, address: str) -> None:
    """An address, with a name or without."""
    assert own(from_=written).sender == (name, address)
    assert objections(from_=written) == []


@pytest.mark.parametrize("written", ["", "pages", "a <b> <c@d>", "x\r\nBcc: y@z", "a\nb <c@d.example>", "<>"])
def test_what_mail_cannot_come_from(written: str) -> None:
    """It is refused when it is written."""
    assert objections(from_=written) == [("from", False)]


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"login": "st-anne"}, [("login", False)]),
        ({"password": SECRET}, [("password", False)]),
        ({"login": "a", "password": Secret("x\ny")}, [("password", False)]),
        ({"login": "st-anne", "password": SECRET}, []),
        ({"login": "st-anne", "password": SECRET, "tls": "off"}, [("login", False)]),
        ({"login": "st-anne", "password": SECRET, "tls": "off", "at": "127.0.0.1:25"}, []),
        ({"tls": "off"}, [("tls", True)]),
        ({"tls": "off", "at": "localhost:25"}, []),
        ({"helo": "not a name"}, [("helo", False)]),
        ({"lmtp": True, "at": "127.0.0.1:25"}, [("at", False)]),
        ({"subject": "{class} {text}"}, [("subject", False)]),
        ({"subject": "{ref}: {class} {short}"}, []),
        ({"subject": None}, []),
    ],
)
def test_what_a_link_may_be_told(keys: dict[str, Any], wrong: list[tuple[str, bool]]) -> None:
    """Credentials go together and never in clear to another machine; the rest is what the wire can carry."""
    assert objections(**keys) == wrong


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        (BOUNCES, []),
        ({"bounce_address": "pages@bounces.example.org"}, [("bounce_address", False)]),
        ({"bounce_secret": SECRET}, [("bounce_secret", False)]),
        (BOUNCES | {"bounce_secret": Secret("short")}, [("bounce_secret", False)]),
        (BOUNCES | {"bounce_address": "pages"}, [("bounce_address", False)]),
        (BOUNCES | {"bounce_address": "pages+x@bounces.example.org"}, [("bounce_address", False)]),
        (BOUNCES | {"bounce_address": "x" * (MAX_BASE + 1) + "@example.org"}, [("bounce_address", False)]),
        (BOUNCES | {"bounce_address": "x" * MAX_BASE + "@example.org"}, []),
        ({"reports": "relayed"}, [("reports", False)]),
        ({"reports": "success", "read_receipts": True}, [("reports", False), ("read_receipts", False)]),
        ({"reports": "none"}, []),
    ],
)
def test_reports_need_an_address_that_nobody_can_forge(
    keys: dict[str, Any], wrong: list[tuple[str, bool]]
) -> None:
    """Who asks for reports says where they come to; what comes there must hold a token of ours."""
    assert objections(**keys) == wrong


@pytest.mark.parametrize(
    ("keys", "ceiling"),
    [
        ({}, Level.HANDED_OVER),
        (BOUNCES, Level.HANDED_OVER),
        (BOUNCES | {"reports": "none"}, Level.HANDED_OVER),
        (BOUNCES | {"reports": "relayed"}, Level.IN_PROGRESS),
        (BOUNCES | {"reports": "success"}, Level.ON_DEVICE),
        (BOUNCES | {"read_receipts": True}, Level.READ),
    ],
)
def test_the_ceiling_is_what_is_asked_for(keys: dict[str, Any], ceiling: Level) -> None:
    """A relay's 250 proves that it was handed over; more is proved only by reports that were asked for."""
    assert ADAPTER.ceiling(LinkSettings(adapter="smtp", own=own(**keys))) is ceiling


FILE = """\
clients: {monitoring: {may_page: [everyone]}}
listen:
  LISTEN
carriers:
  mail: {links: {relay: {adapter: smtp, at: "127.0.0.1:25", tls: off, from: Gateway <pages@st-anne.example>}}}
people: {ann: {name: Ann, devices: {mail: "mail:ann@st-anne.example"}}}
"""


def loaded(listen: str) -> Settings:
    def read(path: Path) -> bytes:
        raise FileNotFoundError(path)

    text = FILE.replace("LISTEN", listen)
    return load(text, {"smtp": ADAPTER}, file="g.yaml", read=read, environ={})


def test_a_word_of_python_may_be_a_key() -> None:
    """`from` is written as it is read."""
    found = loaded("http: none").link(LINK)
    assert found is not None
    assert found.own.sender == ("Gateway", "pages@st-anne.example")
    with pytest.raises(SettingsError) as wrong:
        load(
            FILE.replace("from:", "form:").replace("LISTEN", "http: none"),
            {"smtp": ADAPTER},
            file="g.yaml",
            read=Path.read_bytes,
            environ={},
        )
    assert [one.what for one in wrong.value.mistakes] == ["is missing.", "is not a setting."]


@pytest.mark.parametrize(
    ("written", "door"),
    [
        ("http: none", None),
        ("smtp: none", None),
        ("smtp: {}", SmtpListen()),
        ("smtp:", SmtpListen()),
        ("smtp: {at: 0.0.0.0:25, lmtp: yes}", SmtpListen(at="0.0.0.0:25", lmtp=True)),
    ],
)
def test_the_bounce_door_in_the_settings(written: str, door: SmtpListen | None) -> None:
    """There is none until somebody writes one."""
    assert loaded(written).listen.own.get("smtp") == door


@pytest.mark.parametrize(
    ("written", "path", "what"),
    [
        (
            "smtp: {at: mx.example.org:25}",
            "listen.smtp.at",
            "does not begin with an address of this machine.",
        ),
        ("smtp: {prot: 25}", "listen.smtp.prot", "is not a setting."),
        ("smtp: {name: no name}", "listen.smtp.name", "is not a host name"),
        ("smtp: {size: 2MiB}", "listen.smtp.size", "is too large."),
        ("smtp: [1]", "listen.smtp", "is not a mapping."),
        ("snpp: {}", "listen.snpp", "is not in version"),
    ],
)
def test_mistakes_about_the_bounce_door(written: str, path: str, what: str) -> None:
    """Told like all others, with their place."""
    with pytest.raises(SettingsError) as wrong:
        loaded(written)
    (mistake,) = wrong.value.mistakes
    assert path in str(mistake) and what in str(mistake)


def test_a_bounce_address_without_a_door_is_a_warning() -> None:
    """Reports would be asked for, and nobody would hear them."""
    reported = "pages@st-anne.example>, bounce_address: p@b.example, bounce_secret: {env: SECRET}"
    for listen, expected in (("http: none", 1), ("smtp: {}", 0)):
        found = load(
            FILE.replace("pages@st-anne.example>", reported).replace("LISTEN", listen),
            {"smtp": ADAPTER},
            file="g.yaml",
            read=Path.read_bytes,
            environ={"SECRET": SECRET.value},
        )
        told = [one for one in found.warnings if "bounce_address" in one and "listen.smtp is not open" in one]
        assert len(told) == expected, found.warnings


# ---------------------------------------------------------------- the bounce address

ADDRESS = BounceAddress(Mailbox("pages@bounces.example.org"), SECRET.value, LINK)
correlations = st.from_regex(r"[0-9a-hjkmnp-tv-z]{8}-[0-9a-f]{1,15}", fullmatch=True)


@given(correlations, st.integers(1, 999))
@settings(max_examples=50)
def test_a_token_says_what_it_was_made_for(correlation: str, copy: int) -> None:
    """Also where a server on the way changed its case; it fits into an address."""
    made = ADDRESS.of(correlation, copy)
    assert ADDRESS.about(made) == About(correlation=correlation, copy=copy)
    assert ADDRESS.about(Mailbox(made.upper())) == About(correlation=correlation, copy=copy)


@given(correlations, st.integers(1, 999), st.data())
@settings(max_examples=100)
def test_nobody_can_invent_a_token(correlation: str, copy: int, data: st.DataObject) -> None:
    """With any character changed it is not ours; neither is it with another link's name or secret."""
    made = ADDRESS.of(correlation, copy)
    at = data.draw(st.integers(0, len(made.local) - 1), label="where")
    other = data.draw(st.sampled_from("0123456789abcdefghijklmnopqrstuvwxyz-+="), label="what")
    if other != made[at]:
        assert ADDRESS.about(Mailbox(f"{made[:at]}{other}{made[at + 1 :]}")) is None
    base = Mailbox("pages@bounces.example.org")
    assert BounceAddress(base, SECRET.value, LinkName("mail.other")).about(made) is None
    assert BounceAddress(base, SECRET.value + "x", LINK).about(made) is None


@pytest.mark.parametrize(
    "to",
    [
        "pages@bounces.example.org",
        "pages+@bounces.example.org",
        "pages+x@bounces.example.org",
        "pages+00000000-1-1-aaaaaaaaaaaaaaaa@bounces.example.org",
        "other@bounces.example.org",
        '"pages+"@bounces.example.org',
    ],
)
def test_an_address_without_a_token_of_ours_is_not_ours(to: str) -> None:
    """Whatever it looks like."""
    assert ADDRESS.about(Mailbox(to)) is None


# ---------------------------------------------------------------- the mail


class Relay(SimulatedSmtp):
    """A relay that keeps the mails as they came."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.taken: list[s.Received] = []

    async def message(self, who: Caller, message: s.Received) -> tuple[m.Reply, ...]:
        self.taken.append(message)
        return await super().message(who, message)


def page(**changes: Any) -> Page:
    fields: dict[str, Any] = {
        "delivery": DeliveryKey(7),
        "public_id": PublicId("0" * 26),
        "correlation": "00000000-7",
        "address": "ann@example.net",
        "text": "Ward 4 bed 7",
        "message_class": MessageClass.URGENT,
        "expires": later(World().boot, 3600.0),
        "ref": Ref("7K3M"),
    }
    return Page(**fields | changes)


def sent(*pages: Page, quirks: SmtpQuirks | None = None, **keys: Any) -> tuple[list[Any], list[s.Received]]:
    """The outcomes of *pages* over one conversation with a simulated relay, and what that took."""
    world = World()
    relay = Relay(world.env("relay.example"), quirks or SmtpQuirks(), Truth())
    settings = LinkSettings(adapter="smtp", own=own(at=AT, **{"tls": "off"} | keys))
    link = SmtpLink(LINK, settings, surroundings(world.env("gateway")))

    async def story() -> list[Any]:
        await relay.listen(AT)
        session = await link.open()
        assert not isinstance(session, NotSent), session
        outcomes = [await session.submit(one) for one in pages]
        await session.close()
        return outcomes

    return run(world, story()), relay.taken


def mail_of(taken: s.Received) -> EmailMessage:
    mail = message_from_bytes(taken.content.replace(b"\r\n", b"\n"), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_what_a_page_by_mail_looks_like() -> None:
    """Text alone; no machine answers it; programs show that it matters; its id leads back to the page."""
    (outcome,), (taken,) = sent(page(), from_="St Anne <pages@st-anne.example>")
    assert isinstance(outcome, Taken)
    assert [(ref.scope, ref.ref) for ref in outcome.refs] == [(LINK, "00000000-7")]
    mail = mail_of(taken)
    assert dict(mail.items()) == {
        "X-Priority": "1",
        "Importance": "high",
        "Date": "Fri, 01 Jan 2027 00:00:00 +0000",
        "From": "St Anne <pages@st-anne.example>",
        "To": "ann@example.net",
        "Message-ID": "<00000000-7@st-anne.example>",
        "Subject": "Urgent: Ward 4 bed 7",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="us-ascii"',
        "Content-Transfer-Encoding": "7bit",
    }
    assert mail.get_content() == "Ward 4 bed 7\n"
    assert (taken.sender, taken.envid, taken.ret) == ("pages@st-anne.example", "00000000-7", m.Ret.HDRS)
    assert taken.recipients[0].original == "ann@example.net"


@pytest.mark.parametrize(
    ("reports", "notify"),
    [
        ("none", set()),
        ("failure", {m.Notify.FAILURE, m.Notify.DELAY}),
        ("relayed", {m.Notify.SUCCESS, m.Notify.FAILURE, m.Notify.DELAY}),
        ("success", {m.Notify.SUCCESS, m.Notify.FAILURE, m.Notify.DELAY}),
    ],
)
def test_the_reports_that_are_asked_for(reports: str, notify: set[m.Notify]) -> None:
    """NOTIFY as configured; they come to an address that holds the page's token, as do read receipts."""
    _, (taken,) = sent(page(copy=2), reports=reports, read_receipts=True, **BOUNCES)
    assert taken.recipients[0].notify == notify
    assert taken.sender is not None
    assert ADDRESS.about(taken.sender) == About(correlation="00000000-7", copy=2)
    assert mail_of(taken)["Disposition-Notification-To"] == f"<{taken.sender}>"


def test_a_second_try_is_the_same_mail() -> None:
    """By Message-ID, ENVID and envelope sender: who gets both sees one."""
    _, first = sent(page(), **BOUNCES)
    _, again = sent(page(), **BOUNCES)
    assert first == again


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("{class}: {short}", "Critical: Ward 4 {ref}"),
        ("{ref}", "7K3M"),
        ("Page {ref} ({class})", "Page 7K3M (Critical)"),
        (None, None),
        ("{short}", "Ward 4 {ref}"),
    ],
)
def test_the_subject_is_as_configured(subject: str | None, shown: str | None) -> None:
    """One line; what stands in the text is text."""
    told = page(text="Ward 4\r\n\t{ref}", message_class=MessageClass.CRITICAL)
    _, (taken,) = sent(told, subject=subject)
    assert mail_of(taken)["Subject"] == shown


def test_a_long_text_is_short_in_the_subject() -> None:
    """Sixty characters, with a mark."""
    _, (taken,) = sent(page(text="é" * 100), subject="{short}")
    assert mail_of(taken)["Subject"] == "é" * 59 + "…"
    assert mail_of(taken).get_content() == "é" * 100 + "\n"


def test_every_class_has_its_importance() -> None:
    """Bulk mail is marked low, normal mail not at all."""
    assert IMPORTANCE.keys() == set(MessageClass)
    _, taken = sent(page(message_class=MessageClass.NORMAL), page(message_class=MessageClass.BULK))
    assert [mail_of(one)["Importance"] for one in taken] == [None, "low"]


def test_a_server_that_knows_no_dsn_is_a_warning() -> None:
    """The mail is taken; that nothing will be heard of it is said, where reports were counted on."""
    for reports, warned in (("relayed", True), ("success", True), ("failure", False)):
        (outcome,), _ = sent(page(), quirks=SmtpQuirks(dsn=False), reports=reports, **BOUNCES)
        assert isinstance(outcome, Taken)
        assert (outcome.warning is not None) is warned


@pytest.mark.parametrize(
    ("lacking", "about"), [("SIZE", OutcomeAbout.PAGE), ("SMTPUTF8", OutcomeAbout.ADDRESS)]
)
def test_what_a_server_cannot_take_is_refused(lacking: str, about: OutcomeAbout) -> None:
    """Trying the same again here would help nobody; another leg may."""
    outcome = outcome_of(m.NotSent(why="the server does not take this message", lacking=lacking))
    assert isinstance(outcome, Refused)
    assert outcome.about is about


def test_words_of_a_server_show_no_token() -> None:
    """Whoever knows the token could report about the page."""
    text = "Ward 4 bed 7"
    token = ADDRESS.of("00000000-7", 1).local

    class Quoting(Relay):
        async def message(self, who: Caller, message: s.Received) -> tuple[m.Reply, ...]:
            return (m.Reply(554, (f"5.6.0 {message.sender} said {text}",)),)

    world = World()
    relay = Quoting(world.env("relay.example"), SmtpQuirks(), Truth())
    settings = LinkSettings(adapter="smtp", own=own(at=AT, tls="off", **BOUNCES))

    async def story() -> Any:
        await relay.listen(AT)
        session = await SmtpLink(LINK, settings, surroundings(world.env("gateway"))).open()
        assert not isinstance(session, NotSent)
        return await session.submit(page(text=text))

    outcome = run(world, story())
    assert isinstance(outcome, Refused)
    assert "pages+" in outcome.why
    assert (
        token not in outcome.why and token.rpartition("-")[2] not in outcome.why and text not in outcome.why
    )


def test_lengths_are_counted_as_they_are_shown() -> None:
    """A mail carries any Unicode; controls become blanks and are told."""
    measure = measured(LinkSettings(adapter="smtp", own=own(max_chars=10)))
    assert measure("é" * 10).fits and not measure("é" * 11).fits
    assert measure("a\r\nb").texts == ("a\nb",)
    assert (measure("a\x1b\u2028b").texts, measure("a\x1b\u2028b").replaced) == (("a \nb",), 1)
    assert measure("👩‍⚕️ 日本").replaced == 0
