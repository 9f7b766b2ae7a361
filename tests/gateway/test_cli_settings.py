"""The command line on real settings: what it writes passes, what it says is what the file means."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway import app
from gateway.cli import cli, place, starting


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and nothing of this machine's in the way."""
    monkeypatch.chdir(tmp_path)
    for name in ("GATEWAY_SOCKET", "GATEWAY_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(place, "SYSTEM", tmp_path / "etc" / "gateway.yaml")
    return tmp_path


def call(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(words), prog_name="gateway", input=stdin)


def test_what_init_writes_has_no_mistakes_and_no_warnings() -> None:
    """With all defaults, and the token it shows opens the door."""
    made = json.loads(call("init", "--yes", "--json").stdout)
    assert made["next"] == ["gateway check", "gateway run"]
    settings = app.load(Path("gateway.yaml"))
    assert settings.warnings == ()
    import hashlib

    digest = hashlib.sha256(made["token"].encode()).hexdigest()
    assert settings.clients["monitoring"].token_sha256 == (digest,)
    assert settings.people["alice"].devices == {"pager": "pager:5551212"}


@pytest.mark.parametrize(
    "name", ["St Anne", 'A "B" \\ C', "x: y # z", "{a}", "日本", "'", "- a", "null", "NO"]
)
def test_what_people_type_stays_what_they_typed(name: str) -> None:
    """No name can break the file that init writes."""
    text = starting.settings_text(
        site=name,
        zone="Europe/Paris",
        server="h.example:444",
        login="",
        password_file=None,
        person=f"Al {name}",
        pin="0123",
        store="/x/y z.db",
        token_sha256="ab" * 32,
    )
    Path("gateway.yaml").write_text(text)
    settings = app.load(Path("gateway.yaml"))
    assert settings.site.name == name
    assert settings.site.store == "sqlite:/x/y z.db"
    assert settings.people["al"].name == f"Al {name}"
    assert settings.people["al"].devices == {"pager": "pager:0123"}


def test_init_with_a_login_reads_its_password_from_a_file_of_its_own() -> None:
    """The word itself never stands in the settings."""
    result = call(
        "init", stdin="St Anne\nEurope/Paris\nsnpp.example.net:1444\nus\npass word\npass-word\n\n\n"
    )
    assert result.exit_code == 0, result.output
    link = app.load(Path("gateway.yaml")).carriers["pager"].links["snpp"]
    assert link.own.login == "us" and link.own.password.value == "pass-word"
    assert "pass-word" not in Path("gateway.yaml").read_text()


def test_check_shows_how_each_person_would_be_paged() -> None:
    """By class: together, then the next; who cannot be reached is `nobody`."""
    call("init", "--yes")
    text = Path("gateway.yaml").read_text()
    text = text.replace("critical: [pager]", "critical: [pager + desk, mobile]").replace(
        'pager: "pager:5551212"', 'pager: "pager:5551212", desk: "pager:77", mobile: "pager:88"'
    )
    Path("gateway.yaml").write_text(text)
    result = call("check")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        " WHO    NAME          CRITICAL              URGENT  NORMAL  BULK",
        " alice  Alice Moreau  pager + desk, mobile  pager   pager   pager",
        " gateway.yaml: no mistakes, 0 warnings; 1 person, 1 group, 1 way out, 1 sender",
    ]
    plans = json.loads(call("check", "--json").stdout)["plans"]
    assert plans["alice"]["critical"] == [["pager", "desk"], ["mobile"]]


def test_check_shows_every_device_of_somebody_without_a_plan() -> None:
    """Who has no plan is reached by each device in turn, whatever the class."""
    Path("gateway.yaml").write_text(
        'carriers: {acme: {links: {net: {adapter: snpp, at: "127.0.0.1:444"}}}}\n'
        'people: {bob: {name: Bob Ferrand, devices: {pager: "acme:5551213", spare: "acme:5551214"}}}\n'
    )
    plans = json.loads(call("check", "--json").stdout)["plans"]
    assert set(plans["bob"]) == {"critical", "urgent", "normal", "bulk"}
    assert plans["bob"]["critical"] == [["pager"], ["spare"]]


def test_check_finds_every_mistake_with_its_place() -> None:
    """78; all at once."""
    call("init", "--yes")
    text = Path("gateway.yaml").read_text()
    text = re.sub(r"zone: \S+", "zone: Mars", text).replace("rate: 60/min", "rate: sixty")
    Path("gateway.yaml").write_text(text)
    result = call("check")
    assert result.exit_code == 78
    lines = result.stderr.splitlines()
    assert lines[0] == "gateway: gateway.yaml has 2 mistakes."
    assert re.match(r"  gateway\.yaml:\d+:\d+: site\.zone: ", lines[1])
    assert re.match(r"  gateway\.yaml:\d+:\d+: clients\.monitoring\.rate: ", lines[2])
    found = json.loads(call("check", "--json").stdout)
    assert [mistake["path"] for mistake in found["mistakes"]] == ["site.zone", "clients.monitoring.rate"]


def test_explain_without_a_gateway_reads_the_file() -> None:
    """And says so; the JSON is of the API's shape."""
    import msgspec

    from gateway.api.answers import Explained

    call("init", "--yes")
    result = call("explain", "on-call", "--class", "urgent", "--at", "2026-11-22T02:00:00Z")
    assert result.exit_code == 0
    assert result.stderr == "No gateway runs: this is what gateway.yaml says.\n"
    assert "alice  pager  pager.snpp" in result.stdout
    as_json = call("explain", "on-call", "--class", "urgent", "--json")
    msgspec.json.decode(as_json.stdout, type=Explained)
    unknown = call("explain", "nobody-here")
    assert unknown.exit_code == 5 and "→" in unknown.stderr


def test_the_schema_describes_the_file() -> None:
    """JSON Schema, for editors."""
    schema = json.loads(call("schema").stdout)
    assert "json-schema.org" in schema["$schema"]
    assert {"site", "people", "carriers", "plans"} <= set(schema["properties"])


def test_send_without_a_gateway_spools_beside_the_database() -> None:
    """With the file that init wrote, nothing else is needed."""
    call("init", "--yes")
    result = call("send", "alice", "hello")
    assert result.exit_code == 75
    assert len(list(Path("gateway.db.spool").glob("*.json"))) == 1


RULES = """
site: {store: "sqlite:gateway.db"}
carriers:
  spok:
    rules:
      - {code: 550, match: "*quota*", means: later, pause_link: 60s}
      - {code: "55*", means: refuse_page, link: one}
    links:
      one: {adapter: snpp, at: 127.0.0.1:444}
      two: {same_as: one, at: 127.0.0.1:445}
"""


def test_rules_test_says_which_rule_counts_and_why() -> None:
    """For each link, from the file alone; else the rows of the protocol's table that may count."""
    Path("gateway.yaml").write_text(RULES)
    told = call("rules", "test", "spok", "550 Quota exceeded")
    assert told.exit_code == 0
    assert 'spok.one  rule 1 counts (code 550 and words "*quota*"): later' in told.stdout
    assert "nothing is sent by it for 1m" in told.stdout
    found = json.loads(call("rules", "test", "spok", "550 unknown pager", "--json").stdout)
    assert [(one["link"], one["rule"], one["means"]) for one in found["links"]] == [
        ("one", 2, "refuse_page"),
        ("two", None, None),
    ]
    assert found["links"][1]["table"][0]["answer"] == "550 to PAGEr"
    (only,) = json.loads(call("rules", "test", "spok", "hello", "--link", "two", "--json").stdout)["links"]
    assert "no rule counts, and the table of snpp does not name it" in only["says"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("spock", "550 x"), "There is no carrier spock.\n  → There are: spok."),
        (("spok", "550 x", "--link", "three"), "spok has no link three.\n  → There are: one, two."),
    ],
)
def test_rules_test_of_what_is_not_there(words: tuple[str, ...], said: str) -> None:
    """It says what there is."""
    Path("gateway.yaml").write_text(RULES)
    refused = call("rules", "test", *words)
    assert refused.exit_code == 5
    assert said in refused.output
