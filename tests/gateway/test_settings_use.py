"""``use:`` and mail domains: what the catalogue adds to settings, and what it has against them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from settings_fakes import BASE, SPECS, SnppSettings, load_text

from gateway import app
from gateway.app.files import as_before
from gateway.errors import SettingsError
from gateway.model import Instant
from gateway.settings.catalogue import Catalogue
from gateway.settings.complaints import Complaints
from gateway.settings.listings import read_listings

DAY = 86_400_000_000
NOVEMBER = Instant(1_795_305_600_000_000)  # 2026-11-22


def listing(name: str, status: str, edition: str = "2026.11", more: str = "") -> tuple[str, str]:
    return (
        f"{name}@{edition}.yaml",
        f"id: {name}\nname: Carrier {name}\ncountry: US\nedition: {edition}\nstatus: {status}\n"
        f"facts: [{{what: a, source: a letter, verified_on: none}}]\n{more}",
    )


SNPP = (
    'device: {id: number, pattern: "[0-9]{7}"}\nprotocols:\n'
    "  snpp: {settings: {at: pager.example.net:444, max_chars: 80, idle: 9s}, facts: [{what: a, source: b, verified_on: none}]}\n"
    "  wctp: {status: historical, facts: [{what: a, source: b, verified_on: none}]}\n"
)
MAIL = "protocols: {{smtp: {{domains: [{}]}}}}\n"


def catalogue(*files: tuple[str, str]) -> Catalogue:
    complaints = Complaints()
    found = read_listings(files, complaints, SPECS)
    complaints.raise_if_any()
    return found


KNOWN = catalogue(
    listing("live-us", "live", more=SNPP),
    listing("told-us", "reported", more=SNPP),
    listing("heard-us", "live", more=SNPP + "clear_radio: true\n"),
    listing("dead-us", "dead", more="status_on: 2025-06-17\n"),
    listing("once-us", "historical"),
    listing("ends-us", "ends", more="ends_on: 2027-03-31\n" + SNPP),
    listing("aged-us", "live", more=SNPP),
    listing("aged-us", "dead", "2027.04", "status_on: 2027-02\n"),
)


def using(tag: str, link: str = "{adapter: snpp}", more: str = "") -> str:
    return BASE.replace("  spok:\n", f"  spok:\n    use: {tag}\n{more}").replace(
        "{adapter: snpp, at: 127.0.0.1:444}", link
    )


def mistakes(text: str, known: Catalogue = KNOWN, **world: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_text(text, catalogue=known, **world)  # type: ignore[arg-type]
    return [str(mistake) for mistake in caught.value.mistakes]


# ------------------------------------------------------------------------------------------------- use


def test_a_listing_fills_in_what_is_not_written() -> None:
    """Keys of the device and of links of that protocol; the site then writes what is its own."""
    carrier = load_text(using("live-us@2026.11"), catalogue=KNOWN).carriers["spok"]
    assert (carrier.device.id, carrier.device.pattern) == ("number", "[0-9]{7}")
    assert carrier.links["web"].own == SnppSettings(at="pager.example.net:444", max_chars=80)
    assert carrier.links["web"].idle == 9
    assert carrier.use == "live-us@2026.11"


def test_what_is_written_counts() -> None:
    """Key by key, in links and in the device."""
    text = using("live-us@2026.11", "{adapter: snpp, at: 127.0.0.1:444}", "    device: {id: pin}\n")
    carrier = load_text(text, catalogue=KNOWN).carriers["spok"]
    assert (carrier.device.id, carrier.device.pattern) == ("pin", "[0-9]{7}")
    assert carrier.links["web"].own == SnppSettings(at="127.0.0.1:444", max_chars=80)


def test_a_copy_of_a_link_has_what_the_listing_filled_in() -> None:
    """``same_as`` and ``use`` together."""
    text = using("live-us@2026.11", "{adapter: snpp}\n      b: {same_as: web, at: 127.0.0.1:445}")
    link = load_text(text, catalogue=KNOWN).carriers["spok"].links["b"]
    assert link.own == SnppSettings(at="127.0.0.1:445", max_chars=80)


def test_devices_are_held_against_the_listings_pattern() -> None:
    """As if the site had written it."""
    (said,) = mistakes(using("live-us@2026.11").replace("5551212", "555"))
    assert said.endswith('"555" is not a number of carrier "spok". It must match [0-9]{7}')


def test_a_live_listing_says_nothing() -> None:
    """Then `check` is silent."""
    assert load_text(using("live-us@2026.11"), catalogue=KNOWN).warnings == ()


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("lvie-us@2026.11", 'the catalogue has no carrier "lvie-us". Did you mean "live-us"?'),
        ("qqq@2026.11", 'the catalogue has no carrier "qqq". gateway carriers catalogue lists them.'),
        ("live-us", '"live-us" names no edition. Write live-us@2026.11.'),
        ("live-us@2026.12", 'the catalogue has no edition "2026.12" of live-us. Did you mean "2026.11"?'),
        ("live-us@1", 'the catalogue has no edition "1" of live-us. Write live-us@2026.11.'),
        (
            "dead-us@2026.11",
            "dead-us@2026.11 is dead since 2025-06-17 (a letter). Choose another; gateway carriers show dead-us@2026.11 says more.",
        ),
        (
            "once-us@2026.11",
            "once-us@2026.11 is historical (a letter). Choose another; gateway carriers show once-us@2026.11 says more.",
        ),
    ],
)
def test_a_listing_that_cannot_be_used(tag: str, said: str) -> None:
    """Unknown, without an edition, or no more: a mistake with its place."""
    assert mistakes(using(tag, "{adapter: snpp, at: 127.0.0.1:444}")) == [
        f"gateway.yaml:4:10: carriers.spok.use: {said}"
    ]


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        (
            "told-us@2026.11",
            "told-us@2026.11 was reported by others and not verified. Ask the carrier, and gateway probe spok; gateway carriers show told-us@2026.11 says more.",
        ),
        (
            "ends-us@2026.11",
            "ends-us@2026.11 ends on 2027-03-31, in 129 days (a letter). gateway carriers show ends-us@2026.11 says more.",
        ),
    ],
)
def test_a_listing_that_can_be_used_with_care(tag: str, said: str) -> None:
    """A warning, and the gateway starts."""
    warnings = load_text(using(tag), catalogue=KNOWN, now=NOVEMBER).warnings
    assert warnings == (f"gateway.yaml:4:10: carriers.spok.use: {said}",)


def test_what_a_later_edition_learnt_is_a_warning() -> None:
    """The pinned one goes on: no start is refused because a fact changed."""
    found = load_text(using("aged-us@2026.11"), catalogue=KNOWN)
    assert found.warnings == (
        "gateway.yaml:4:10: carriers.spok.use: edition 2027.04 says that it is dead since 2027-02."
        " See gateway carriers diff aged-us.",
    )
    assert found.carriers["spok"].links["web"].own.max_chars == 80


def test_after_its_day_what_ended_is_still_a_warning() -> None:
    """A site that runs with it can restart the day after."""
    warnings = load_text(
        using("ends-us@2026.11"), catalogue=KNOWN, now=Instant(NOVEMBER + 130 * DAY)
    ).warnings
    assert "ended on 2027-03-31" in warnings[0]


def test_pages_that_can_be_heard_are_said_once_texts_are_not_chosen() -> None:
    """Whoever writes ``text:`` has thought of it."""
    said = load_text(using("heard-us@2026.11"), catalogue=KNOWN).warnings
    assert said == (
        "gateway.yaml:3:3: carriers.spok: pages of Carrier heard-us can be heard by others: they go unencrypted"
        " over the air. Write text: and which of texts they get; default, if nothing in them is secret.",
    )
    assert load_text(using("heard-us@2026.11", more="    text: default\n"), catalogue=KNOWN).warnings == ()


def test_a_way_that_is_no_more_fills_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The site may know better where it still answers; it is told what the catalogue knows."""
    monkeypatch.setitem(SPECS, "wctp", msgspec.structs.replace(SPECS["snpp"], name="wctp"))
    text = using("live-us@2026.11", "{adapter: wctp, at: 127.0.0.1:444}")
    assert load_text(text, catalogue=KNOWN).warnings == (
        "gateway.yaml:6:12: carriers.spok.links.web: live-us@2026.11 knows wctp as historical: nothing is taken"
        " from it. Ask the carrier whether it still answers.",
    )


def test_a_mistake_of_a_listing_is_shown_where_it_stands() -> None:
    """An adapter that objects to a key of the catalogue names the catalogue's file."""
    file, text = listing("odd-us", "live", more=SNPP.replace("at: pager.example.net:444, ", ""))
    known = catalogue((file, text.replace("max_chars: 80", "tls: off")))
    link = "{adapter: snpp, at: h.example:444, login: a, password: {env: X}}"
    warnings = load_text(using("odd-us@2026.11", link), catalogue=known, environ={"X": "y"}).warnings
    assert warnings == (
        "odd-us@2026.11.yaml:9:26: carriers.spok.links.web.tls: the password travels in clear. Write tls: required.",
    )


# ---------------------------------------------------------------------------------------- mail domains

SMTP = msgspec.structs.replace(SPECS["snpp"], name="smtp")
DOMAINS = catalogue(
    listing("dead-mail", "dead", more="status_on: 2024-12\n" + MAIL.format("tmomail.net")),
    listing("ends-mail", "ends", more="ends_on: 2027-03-31\n" + MAIL.format("vtext.com")),
    listing("told-mail", "reported", more=MAIL.format("usamobility.net")),
)


@pytest.fixture
def with_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPECS, "smtp", SMTP)


def mail_to(address: str, at: str = "127.0.0.1:25") -> str:
    return (
        "clients: {m: {may_page: [everyone], classes: [normal]}}\n"
        f"carriers: {{mail: {{links: {{relay: {{adapter: smtp, at: {at}}}}}}}}}\n"
        f"people: {{a: {{name: A, devices: {{sms: 'mail:{address}'}}}}}}\n"
    )


@pytest.mark.parametrize("address", ["555@tmomail.net", "555@TMOMAIL.NET", "555@mail.tmomail.net"])
def test_an_address_that_reaches_nobody_is_a_mistake(with_mail: None, address: str) -> None:
    """With the day and who says so."""
    assert mistakes(mail_to(address), DOMAINS) == [
        f'gateway.yaml:3:38: people.a.devices.sms: "mail:{address}" reaches nobody: Carrier dead-mail is dead'
        " since 2024-12 (a letter). Page by another way; mail to this domain may be lost without a bounce."
    ]


def test_a_link_to_a_dead_domain_is_a_mistake(with_mail: None) -> None:
    """The relay itself may be what was switched off."""
    (said,) = mistakes(mail_to("555@example.org", "mx.tmomail.net:25"), DOMAINS)
    assert said.startswith(
        'gateway.yaml:2:54: carriers.mail.links.relay.at: "mx.tmomail.net:25" reaches nobody'
    )


def test_clients_and_the_watch_are_looked_at_too(with_mail: None) -> None:
    """An address is one, wherever it is written."""
    text = mail_to("555@example.org").replace("[everyone]", "['mail:5@tmomail.net']")
    text += "watch: {tell: ['mail:6@tmomail.net']}\n"
    said = mistakes(text, DOMAINS)
    assert [one.split(": ")[1] for one in said] == ["clients.m.may_page[0]", "watch.tell[0]"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (None, "Carrier ends-mail ends on 2027-03-31 (a letter)."),
        (NOVEMBER, "Carrier ends-mail ends on 2027-03-31, in 129 days (a letter)."),
        (NOVEMBER + 128 * DAY, "Carrier ends-mail ends on 2027-03-31, in 1 day (a letter)."),
    ],
)
def test_what_ends_warns_with_the_days_left(with_mail: None, now: Instant | None, said: str) -> None:
    """From the first check on."""
    (warning,) = load_text(mail_to("555@vtext.com"), catalogue=DOMAINS, now=now).warnings
    assert f'"mail:555@vtext.com": {said} Give another device before.' in warning


def test_what_has_ended_is_dead_to_whoever_checks(with_mail: None) -> None:
    """And stops no start: a start does not look at the calendar."""
    after = Instant(NOVEMBER + 130 * DAY)
    (said,) = mistakes(mail_to("555@vtext.com"), DOMAINS, now=after)
    assert "reaches nobody: Carrier ends-mail ended on 2027-03-31" in said
    assert len(load_text(mail_to("555@vtext.com"), catalogue=DOMAINS).warnings) == 1


def test_other_domains_and_other_carriers_are_left_alone(with_mail: None) -> None:
    """What is only unreliable, what merely looks alike, and addresses with an @ that are no mail."""
    for address in ("555@usamobility.net", "555@nottmomail.net", "tmomail.net@example.org"):
        assert load_text(mail_to(address), catalogue=DOMAINS).warnings == ()
    text = BASE.replace("5551212", "555@tmomail.net")
    assert load_text(text, catalogue=DOMAINS).warnings == ()


def test_a_reload_warns_of_what_runs_and_refuses_what_is_new(with_mail: None) -> None:
    """Nothing that runs is refused because the catalogue changed; new use is."""
    running = load_text(mail_to("555@tmomail.net"))
    in_use = as_before(running)
    (warning,) = load_text(mail_to("555@tmomail.net"), catalogue=DOMAINS, in_use=in_use).warnings
    assert "reaches nobody" in warning
    (said,) = mistakes(mail_to("556@tmomail.net"), DOMAINS, in_use=in_use)
    assert '"mail:556@tmomail.net" reaches nobody' in said


REAL = """\
site: {store: "sqlite:gateway.db"}
clients: {m: {may_page: [everyone], classes: [normal]}}
carriers: {mail: {links: {relay: {adapter: smtp, at: "127.0.0.1:25", from: a@example.org, tls: off}}}}
people: {a: {name: A, devices: {sms: "mail:5551234567@tmomail.net"}}}
"""


def test_a_gateway_that_has_run_starts_again(tmp_path: Path) -> None:
    """The first start refuses a dead domain, and so does every check; a restart at night warns."""
    path = tmp_path / "gateway.yaml"
    path.write_text(REAL)
    with pytest.raises(SettingsError, match="reaches nobody"):
        app.load(path)
    (tmp_path / "gateway.db").touch()
    assert any("reaches nobody" in warning for warning in app.load(path).warnings)
    with pytest.raises(SettingsError, match="reaches nobody"):
        app.load(path, now=NOVEMBER)


def test_who_is_reached_by_mail_alone_is_named_once_a_plan(with_mail: None) -> None:
    """Mail is not for what is urgent; for normal messages it is."""
    text = (
        mail_to("5@example.org")
        + "plans: {p: {normal: [sms], urgent: [sms]}}\ndefaults: {people: {plan: p}}\n"
    )
    assert load_text(text).warnings == ()
    text = text.replace("people: {a:", "people: {b: {name: B, devices: {sms: 'mail:6@example.org'}}, a:")
    said = load_text(text.replace("classes: [normal]", "classes: [normal, urgent]")).warnings
    assert [one.partition(": ")[2] for one in said] == [
        "plans.p: b and 1 more can be reached by mail alone, in a hurry too. Give a pager or a telephone; mail may take hours."
    ]
