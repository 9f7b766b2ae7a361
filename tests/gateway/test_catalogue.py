"""The catalogue that we ship: every file is sound, nothing that was listed is lost, nothing dials by itself."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import app
from gateway.app import files
from gateway.app.adapters import specs
from gateway.cli import cli, place
from gateway.cli.reference import carriers_page
from gateway.errors import SettingsError
from gateway.settings.catalogue import Fact, Listing, Phone, Way
from gateway.settings.complaints import Complaints
from gateway.settings.declared import fields_of
from gateway.settings.listings import changed, plain, read_listings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "config" / "carriers"

MATTER = [
    "american-messaging-us",
    "spok-us",
    "spok-go",
    "verizon-emag-us",
    "telemessage",
    "2sms",
    "tapgateway",
    "dapnet",
    "pagepoint-in",
]
MAIL = {
    "t-mobile-us-mail": "dead",
    "att-us-mail": "dead",
    "sprint-us-mail": "dead",
    "verizon-us-mail": "ends",
}
ONCE = [
    "airtouch-us",
    "alltel-us",
    "alphanow-us",
    "ameritech-us",
    "arch-us",
    "att-wireless-us",
    "bell-mobility-ca",
    "bellsouth-rim-us",
    "bt-gb",
    "cingular-us",
    "hutchison-gb",
    "metrocall-us",
    "mobilefone-us",
    "nextel-us",
    "pagenet-ca",
    "pageone-gb",
    "porta-phone-us",
    "propage-us",
    "regional-us",
    "skytel-us",
    "sprint-us",
    "telebeep-us",
    "telecom-nz",
    "telstra-au",
    "telus-ca",
    "verizon-wireless-us",
    "vodafone-au",
    "voicestream-us",
    "weblink-us",
]

GOOD = """\
id: x-us
name: X
country: US
edition: 2026.11
status: reported
facts: [{what: It is there., source: a manual, verified_on: none}]
device: {id: pin, pattern: "[0-9]{7}"}
protocols:
  snpp:
    settings: {at: snpp.example.net:444, max_chars: 80}
    facts: [{what: It answers., source: a manual, verified_on: 2026-11-02}]
"""


def read(text: str, file: str = "x-us@2026.11.yaml") -> Listing:
    """The one listing of *text*; raises SettingsError."""
    complaints = Complaints()
    found = read_listings([(file, text)], complaints, specs())
    complaints.raise_if_any()
    return next(found.all_newest())


def mistakes(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(text)
    return [f"{m.line}: {m.path}: {m.what} {m.remedy}".rstrip() for m in caught.value.mistakes]


# ----------------------------------------------------------------------------------------- what we ship


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.stem)
def test_every_file_is_sound(path: Path) -> None:
    """Named as it is used; every fact with a source and whether we tried; keys are those of the adapters."""
    assert path.suffix == ".yaml"
    (listing,) = app.listings_in([path]).all_newest()
    assert listing.tag == path.stem


@pytest.mark.parametrize("name", MATTER)
def test_operators_that_still_matter_are_listed(name: str) -> None:
    """Live or reported: they can be used, the reported ones with a warning."""
    assert app.catalogue().listings[name]["2026.11"].status in ("live", "reported")


@pytest.mark.parametrize(("name", "status"), MAIL.items())
def test_mail_to_text_that_ended_is_listed(name: str, status: str) -> None:
    """With its domains; what ends says when."""
    listing = app.catalogue().listings[name]["2026.11"]
    assert listing.status == status
    assert listing.protocols["smtp"].domains
    assert (listing.ends_on is not None) == (status == "ends")


def test_the_domains_that_are_warned_of() -> None:
    """All that were switched off or will be, and the one of pagers that is only unreliable."""
    standing = {domain: listing.standing() for domain, listing in app.catalogue().domains().items()}
    assert standing == {
        "tmomail.net": "dead since 2024-12",
        "txt.att.net": "dead since 2025-06-17",
        "mms.att.net": "dead since 2025-06-17",
        "messaging.sprintpcs.com": "dead",
        "vtext.com": "ends on 2027-03-31",
        "vzwpix.com": "ends on 2027-03-31",
        "usamobility.net": "reported",
    }


@pytest.mark.parametrize("name", ONCE)
def test_what_once_was_is_kept_as_history(name: str) -> None:
    """Hosts and numbers stay findable, and nothing of them can be used."""
    listing = app.catalogue().listings[name]["2026.11"]
    assert listing.status == "historical"
    assert not any(way.own.entries for way in listing.protocols.values())


def test_no_edition_that_was_released_is_missing() -> None:
    """A site that pinned one starts with every later version."""
    released = {f"{name}@2026.11" for name in (*MATTER, *MAIL, *ONCE)}
    there = {one.tag for editions in app.catalogue().listings.values() for one in editions.values()}
    assert there == released


def test_no_telephone_number_can_reach_a_link() -> None:
    """Old access numbers may be private persons' today: they stand under ``numbers`` and nowhere else."""
    number = re.compile(r"\b1?-?[2-9]\d\d-\d{3}-\d{4}\b|\b0\d{3,4} \d{6}\b")
    for listing in app.catalogue().all_newest():
        whole = plain(listing)
        for way in whole["protocols"].values():
            way.pop("numbers", None)
        assert not number.search(json.dumps(whole)), listing.tag


def test_nothing_is_called_verified_that_was_not() -> None:
    """No fact of the first edition was tried by us, and each says so."""
    for listing in app.catalogue().all_newest():
        ways = listing.protocols.values()
        for one in (*listing.facts, *listing.limits, *(f for w in ways for f in (*w.facts, *w.numbers))):
            assert one.source
            assert one.verified_on is None


def test_a_wheel_has_the_catalogue_where_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build puts ``config`` at ``gateway/_config``, and from there it is read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {"config": "gateway/_config"}
    installed, checkout = files.SHIPPED
    assert installed == ROOT / "gateway" / "_config"
    assert checkout == ROOT / "config"
    shutil.copytree(FOLDER, tmp_path / "_config" / "carriers")
    monkeypatch.setattr(files, "SHIPPED", (tmp_path / "_config", tmp_path / "nowhere"))
    assert files.catalogue.__wrapped__().domains().keys() == app.catalogue().domains().keys()


def test_every_key_of_a_listing_is_described() -> None:
    """Also in the page that says how to write one."""
    page = (ROOT / "docs" / "howto" / "carriers.md").read_text()
    for struct in (Listing, Way, Fact, Phone):
        for field in fields_of(struct):
            assert field.description, f"{struct.__name__}.{field.name}"
            assert f"`{field.name}`" in page, (
                f"{struct.__name__}.{field.name} is not in docs/howto/carriers.md"
            )


# ------------------------------------------------------------------------------------- what lint finds


def test_a_good_listing() -> None:
    """Facts, and defaults for links."""
    listing = read(GOOD)
    assert (listing.tag, listing.standing()) == ("x-us@2026.11", "reported")
    assert listing.protocols["snpp"].facts[0].verified_on == "2026-11-02"
    assert plain(listing)["protocols"]["snpp"]["settings"] == {
        "at": "snpp.example.net:444",
        "max_chars": "80",
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (", verified_on: none", "", "6: facts[0].verified_on: is missing. Write `verified_on: …`."),
        ("source: a manual, verified_on: none", "verified_on: none", "6: facts[0].source: is missing. Write `source: …`."),
        ("id: x-us", "id: y-us", '1: id: this is y-us@2026.11, and the file is "x-us@2026.11". Name the file y-us@2026.11.yaml.'),
        ("status: reported", "status: repotred", '5: status: "repotred" is not known here. Did you mean "reported"?'),
        ("status: reported", "status: ends", "1: ends_on: stands where status is ends, and nowhere else. Write both or none."),
        ("status: reported", "status: historical", "10: protocols.snpp.settings: nobody may be led to what is no more. Write it as a fact."),
        ("2026-11-02", "2026-11-31", '11: protocols.snpp.facts[0].verified_on: "2026-11-31" is no date. Write 2026-11-22, or none.'),
        ("max_chars: 80", "max_chras: 80", '10: protocols.snpp.settings.max_chras: is no setting of snpp. Did you mean "max_chars"?'),
        ("max_chars: 80", "max_chars: many", '10: protocols.snpp.settings.max_chars: "many" is not a whole number. Write digits, such as 10.'),
        ("max_chars: 80", "login: us", "10: protocols.snpp.settings.login: may not stand in the catalogue. Each site writes its own."),
        ("max_chars: 80", "password: {env: X}", "10: protocols.snpp.settings.password: may not stand in the catalogue. Each site writes its own."),
        ("{at: snpp.example.net:444, max_chars: 80}", "x", "10: protocols.snpp.settings: is not a mapping. Write {at: …}."),
        ("  snpp:\n", "  tap: {settings: {dial: [18005550100]}, facts: [{what: a, source: b, verified_on: none}]}\n  snpp:\n",
         "9: protocols.tap.settings.dial: may not stand in the catalogue. Each site writes its own."),
        ("  snpp:\n", "  tap: {}\n  snpp:\n", "9: protocols.tap: says nothing. Write facts, each with its source."),
    ],
)  # fmt: skip
def test_what_lint_says(old: str, new: str, said: str) -> None:
    """Each mistake once, with its place and what to write."""
    assert old in GOOD
    assert mistakes(GOOD.replace(old, new, 1)) == [said]


def test_one_edition_stands_in_one_file() -> None:
    """The same carrier and edition twice is a mistake; another edition is not."""
    complaints = Complaints()
    text = GOOD.replace("2026.11", "2027.04")
    files_ = [("x-us@2026.11.yaml", GOOD), ("x-us@2027.04.yaml", text), ("a/x-us@2027.04.yaml", text)]
    found = read_listings(files_, complaints, specs())
    with pytest.raises(SettingsError, match=r"x-us@2027\.04 is there already"):
        complaints.raise_if_any()
    newest = found.newest("x-us")
    assert newest is not None and newest.edition == "2027.04"


@given(st.recursive(st.text("ab:@[]{}- \n", max_size=6), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "facts", "protocols", "snpp", "settings", "numbers", "edition"]), inner, max_size=4), max_leaves=12))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_any_shape_is_a_mistake_at_worst(value: object) -> None:
    """Nothing in a file ends in anything but a list of mistakes."""
    with pytest.raises(SettingsError):
        read(json.dumps({"id": "x", "protocols": value}))
    with pytest.raises(SettingsError):
        read(json.dumps(value))


def test_two_editions_are_told_apart() -> None:
    """By what they say, key by key; of lists of facts, fact by fact."""
    later = GOOD.replace("2026.11", "2027.04").replace("444", "1444").replace("It answers", "It is slow")
    found = changed(read(GOOD), read(later, "x-us@2027.04.yaml"))
    assert [msgspec.structs.astuple(one) for one in found] == [
        ("edition", "2026.11", "2027.04"),
        ("protocols.snpp.facts[It answers.]", "source: a manual, verified_on: 2026-11-02", None),
        ("protocols.snpp.settings.at", "snpp.example.net:444", "snpp.example.net:1444"),
        ("protocols.snpp.facts[It is slow.]", None, "source: a manual, verified_on: 2026-11-02"),
    ]


# ------------------------------------------------------------------------------------------ the commands


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_SETTINGS", raising=False)
    monkeypatch.setattr(place, "SYSTEM", tmp_path / "etc" / "gateway.yaml")
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(cli, ["carriers", *words], prog_name="gateway")


def test_the_catalogue_is_listed_with_what_can_be_used_first() -> None:
    """By status, each as `use` writes it."""
    lines = call("catalogue").stdout.splitlines()
    tags = [line.split()[0] for line in lines[1:]]
    assert len(tags) == len(MATTER) + len(MAIL) + len(ONCE)
    assert (
        tags.index("spok-us@2026.11")
        < tags.index("verizon-us-mail@2026.11")
        < tags.index("skytel-us@2026.11")
    )
    found = json.loads(call("catalogue", "--json").stdout)
    assert {f"{one['id']}@{one['edition']}" for one in found} == set(tags)


def test_a_listing_is_shown_with_its_sources() -> None:
    """Every fact says who says it and that we have not tried it."""
    shown = call("show", "spok-us").stdout
    assert "snpp.usamobility.net:444" in shown
    assert "LBBS-56" in shown
    assert shown.count("not tried by us") == len(re.findall(r"\[.*not tried by us\]", shown)) > 5
    assert json.loads(call("show", "spok-us@2026.11", "--json").stdout)["clear_radio"] == "true"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("spok-uk", 'Did you mean "spok-us"?'),
        ("spok-us@2020.01", "There is spok-us@2026.11."),
        ("x", "gateway carriers catalogue lists them."),
    ],
)
def test_an_unknown_listing_says_which_there_are(name: str, remedy: str) -> None:
    """Refused, with the nearest."""
    answer = call("show", name, "--json")
    assert answer.exit_code == 5
    assert json.loads(answer.stdout)["remedy"] == remedy


def test_diff_shows_what_the_settings_do_otherwise(here: Path) -> None:
    """Key by key; what is not written is as the catalogue says."""
    (here / "gateway.yaml").write_text(
        "clients: {m: {may_page: [everyone]}}\n"
        "people: {a: {name: A, devices: {p: spok:5551212}}}\n"
        "carriers:\n"
        "  spok: {use: spok-us@2026.11, links: {web: {adapter: snpp, at: 127.0.0.1:4444}}}\n"
    )
    assert json.loads(call("diff", "spok-us", "--json").stdout) == {
        "name": "spok-us",
        "newest": "spok-us@2026.11",
        "carriers": [
            {
                "carrier": "spok",
                "use": "spok-us@2026.11",
                "newest": "spok-us@2026.11",
                "settings": [
                    {
                        "key": "spok.links.web.at",
                        "settings": "127.0.0.1:4444",
                        "catalogue": "snpp.usamobility.net:444",
                    }
                ],
                "news": [],
            }
        ],
    }
    assert "spok.links.web.at  127.0.0.1:4444" in call("diff", "spok-us").stdout
    assert "No carrier" in call("diff", "2sms").stdout


def test_lint_ends_with_78_and_names_the_place(here: Path) -> None:
    """As check does."""
    assert call("lint").exit_code == 0
    (here / "x-us@2026.11.yaml").write_text(GOOD)
    assert call("lint", "x-us@2026.11.yaml").exit_code == 0
    (here / "x-us@2026.11.yaml").write_text(GOOD.replace("status: reported", "status: fine"))
    answer = call("lint", "x-us@2026.11.yaml", "--json")
    assert answer.exit_code == 78
    assert json.loads(answer.stdout)["mistakes"][0].startswith("x-us@2026.11.yaml:5:9: status: ")
    assert call("lint", "nowhere.yaml").exit_code == 74


def test_the_reference_page_is_the_catalogue() -> None:
    """``docs/reference/carriers.md`` is printed: python -m gateway.cli.reference carriers."""
    assert (ROOT / "docs" / "reference" / "carriers.md").read_text() == carriers_page()
