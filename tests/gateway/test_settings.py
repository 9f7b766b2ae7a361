"""A settings file becomes one checked value, or a list of everything that is wrong with it."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
import rich.console
import rich.pretty
from hypothesis import example, given, settings
from hypothesis import strategies as st
from settings_fakes import BASE, SPECS, SnppSettings, load_text

from gateway.app.adapters import specs
from gateway.errors import SettingsError
from gateway.model import LinkName, MessageClass
from gateway.outcome import Level
from gateway.settings import load_file
from gateway.settings import patterns as patterns_
from gateway.settings.kinds import Unfit, duration, rate, show_duration, show_rate, show_size, size
from gateway.settings.types import Rate, Secret

CONFIG = Path(__file__).parents[2] / "config"


def mistakes(text: str, **world: object) -> list[str]:
    """Every mistake of *text*, as printed."""
    with pytest.raises(SettingsError) as caught:
        load_text(text, **world)  # type: ignore[arg-type]
    return [str(mistake) for mistake in caught.value.mistakes]


def with_line(line: str) -> str:
    """A good file with *line* after it; it stands in line 8."""
    return f"{BASE}{line}\n"


# ------------------------------------------------------------------------------------------- what is meant


def test_every_scalar_is_text_until_its_type_says_otherwise() -> None:
    """A pin keeps its zeros, a number its plus, a country stays a country; nothing needs quotes."""
    text = BASE.replace("spok:5551212", "spok:0123456") + (
        "  no: {name: NO, codes: [0042, 4711], devices: {a: spok:+15551234567, b: spok:10:00, c: spok:0x10}}\n"
    )
    people = load_text(text).people
    assert people["alice"].devices == {"pager": "spok:0123456"}
    assert people["no"].name == "NO"
    assert people["no"].codes == ("0042", "4711")
    assert people["no"].devices == {"a": "spok:+15551234567", "b": "spok:10:00", "c": "spok:0x10"}


def test_defaults_of_the_classes() -> None:
    """What nobody writes: legs, waits, deadlines, doubt and admission of the four classes."""
    classes = load_text(BASE).classes
    critical, urgent = classes[MessageClass.CRITICAL], classes[MessageClass.URGENT]
    normal, bulk = classes[MessageClass.NORMAL], classes[MessageClass.BULK]
    assert list(classes) == list(MessageClass)
    assert [c.next_leg_after for c in classes.values()] == [10, 15, None, None]
    assert [c.deadline for c in classes.values()] == [900, 3600, 86400, 86400]
    assert [c.step_wait for c in classes.values()] == [120, 300, None, None]
    assert [c.in_doubt for c in classes.values()] == ["resend", "resend", "resend_after", "assume"]
    assert [c.admission for c in classes.values()] == [1.0, 0.95, 0.85, 0.7]
    assert [c.until for c in classes.values()] == [Level.ACKNOWLEDGED, *[Level.HANDED_OVER] * 3]
    assert critical.waits == (0, 5, 10, 20, 30, 30)
    assert urgent.waits == (0, 15, 30, 60, 60)
    assert normal.waits == (30, 120, 300, 600, 1800, 1800)
    assert normal.resend_after == 60
    assert bulk.waits == (300, 900, 3600, 3600)


def test_a_class_is_overridden_field_by_field() -> None:
    """``classes: {critical: {deadline: 30m}}`` changes the deadline of critical and nothing else."""
    plain = load_text(BASE).classes
    text = with_line("classes: {critical: {deadline: 30m, step_wait: none, until: handed_over}}")
    changed = load_text(text).classes
    assert changed[MessageClass.CRITICAL] == msgspec.structs.replace(
        plain[MessageClass.CRITICAL], deadline=1800.0, step_wait=None, until=Level.HANDED_OVER
    )
    assert {**changed, MessageClass.CRITICAL: None} == {**plain, MessageClass.CRITICAL: None}


def test_a_link_has_common_keys_and_the_adapters_own() -> None:
    """One mapping holds both: what every link has, and what its adapter declares."""
    text = BASE.replace("at: 127.0.0.1:444}", "at: '[::1]:444', max_chars: 80, rate: 20/s, idle: 1m30s}")
    link = load_text(text).link(LinkName("spok.web"))
    assert link is not None
    assert link.rate == Rate(count=20, per=1)
    assert link.idle == 90
    assert link.own == SnppSettings(at="[::1]:444", max_chars=80)


def test_a_link_may_be_the_same_as_another() -> None:
    """``same_as`` takes over the keys of a sibling; what is written beside it counts."""
    text = BASE.replace(
        "at: 127.0.0.1:444}", "at: 127.0.0.1:444, idle: 9s}\n      b: {same_as: web, at: 127.0.0.1:445}"
    )
    found = load_text(text)
    link = found.link(LinkName("spok.b"))
    assert link is not None
    assert (link.adapter, link.idle, link.own) == ("snpp", 9, SnppSettings(at="127.0.0.1:445"))
    assert found.link_names() == ("spok.web", "spok.b")


@pytest.mark.parametrize(
    ("same_as", "said"),
    [
        ("wbe", 'this carrier has no link "wbe". Write web.'),
        ("b", '"b" copies a link itself. Write web.'),
    ],
)
def test_a_link_that_is_the_same_as_nothing(same_as: str, said: str) -> None:
    """A copy of no link, of itself, or of another copy is one mistake, not several."""
    text = BASE.replace("444}", f"444}}\n      b: {{same_as: {same_as}}}")
    assert mistakes(text) == [f"gateway.yaml:6:20: carriers.spok.links.b.same_as: {said}"]


def test_a_list_of_one_needs_no_brackets() -> None:
    """``may_page: everyone`` and ``may_page: [everyone]`` say the same."""
    assert load_text(BASE.replace("[everyone]", "everyone")) == load_text(BASE)


def test_a_section_with_nothing_below_yet_is_empty() -> None:
    """``groups:`` may stand there before the first group does; a setting without a value may not."""
    assert load_text(with_line("groups:")).groups == {}
    assert mistakes(with_line("drain_timeout:")) == [
        "gateway.yaml:8:15: drain_timeout: has no value. Write 30s, or remove the line."
    ]


def test_devices_in_the_order_of_the_plan() -> None:
    """A device that a person lacks is skipped; ``a + b`` are tried together; no plan: as written."""
    text = BASE.replace("pager: spok:5551212", "pager: spok:1, mail: spok:2") + (
        "  bob: {name: Bob, plan: all, devices: {pager: spok:3, mobile: spok:4}}\n"
        "plans: {all: {critical: [pager + mobile, mail], urgent: [mail, mobile], normal: pager, bulk: pager}}\n"
    )
    found = load_text(text)
    bob, alice = found.people["bob"], found.people["alice"]
    assert found.items_of(bob, MessageClass.CRITICAL) == (("pager", "mobile"),)
    assert found.items_of(bob, MessageClass.URGENT) == (("mobile",),)
    assert found.items_of(alice, MessageClass.URGENT) == (("pager",), ("mail",))


def test_files_are_put_together() -> None:
    """Sections may be split over files; paths start at the file in which they are written."""
    files = {
        "etc/people/b.yaml": b"\xef\xbb\xbfpeople:\r\n  bob: {name: Bob, devices: {pager: spok:2}}\r\n",
        "etc/people/c.yaml": b"include: more/d.yaml\npeople: {carol: {name: C, devices: {pager: spok:3}}}\n",
        "etc/people/more/d.yaml": b"groups: {all: [alice, bob, carol]}\n",
    }
    found = load_text(f"include: [people/*.yaml]\n{BASE}", files, file="etc/gateway.yaml")
    assert list(found.people) == ["alice", "bob", "carol"]
    assert found.groups == {"all": ("alice", "bob", "carol")}
    assert found.include == ("etc/people/b.yaml", "etc/people/c.yaml", "etc/people/more/d.yaml")


def test_mistakes_about_includes() -> None:
    """A key in two files, a file that is missing, included twice, or that includes itself."""
    files = {
        "a.yaml": b"people: {alice: {name: A}}\nsite: {zone: UTC}\n",
        "b.yaml": b"include: [gateway.yaml]",
    }
    assert mistakes(f"include: [a.yaml, c.yaml, a.yaml, b.yaml]\n{BASE}", files=files) == [
        "a.yaml:1:10: people.alice: is written twice; the first is at gateway.yaml:8:3. Keep one of them.",
        'b.yaml:1:11: include: "gateway.yaml" is included already. Include each file once.',
        'gateway.yaml:1:19: include: "c.yaml" cannot be read (No such file or directory). '
        "Write the path of a file that the gateway may read.",
        'gateway.yaml:1:27: include: "a.yaml" is included already. Include each file once.',
    ]
    assert load_text(f"include: [x/*.yaml]\n{BASE}").warnings == (
        'gateway.yaml:1:11: include: "x/*.yaml" matches no file. Remove it, or write the file.',
    )


def test_a_slip_in_one_file_is_not_reported_in_the_others() -> None:
    """While a file cannot be read, nobody is told that the names in it do not exist."""
    text = f"include: [a.yaml]\n{BASE}groups: {{all: [bob]}}\n"
    assert mistakes(text, files={"a.yaml": b"people: {bob: {name: Bob\n"}) == [
        "a.yaml:2:1: the file: is not YAML here: did not find expected ',' or '}'. "
        "Look at this line and the one before it."
    ]


def test_a_file_that_is_not_there() -> None:
    """The file itself may be missing, too large, or no text."""

    def read(path: Path) -> bytes:
        return {"big": b"#" * (5 * 1024 * 1024 + 1), "latin": b"site:\n  name: Sant\xe9\n"}[str(path)]

    def said(name: str, reader: object) -> str:
        with pytest.raises(SettingsError) as caught:
            load_file(
                Path(name),
                SPECS,
                read=reader,  # type: ignore[arg-type]
                environ={},
                glob=lambda pattern: (),
                mode=lambda path: 0o600,
            )
        return str(caught.value)

    assert said("none", Path.read_bytes) == (
        'none:1:1: the file: "none" cannot be read (No such file or directory). '
        "Write the path of a file that the gateway may read."
    )
    assert (
        said("big", read) == "big:1:1: the file: is larger than 5 MiB. Split it over files that it includes."
    )
    assert said("latin", read) == "latin:2:13: the file: is not UTF-8 text here. Save the file as UTF-8."


# --------------------------------------------------------------------------------- what fits to what else


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "groups: {alice: [alice]}",
            '8:10: groups.alice: "alice" is also a person, at gateway.yaml:7:3. '
            "Give one of them another name.",
        ),
        (
            "groups: {everyone: [alice]}",
            '8:10: groups.everyone: "everyone" means all targets. Choose another name.',
        ),
        (
            "  bob: {name: B, codes: [7, 7], devices: {pager: spok:1}}",
            '8:29: people.bob.codes[1]: code "7" is also at gateway.yaml:8:26. '
            "Give each person a code of their own.",
        ),
        ("groups: {empty: []}", "8:17: groups.empty: has nobody in it. Write [alice, bob]."),
        ("  bob: {name: B}", "8:3: people.bob: has no device. Write devices: {pager: carrier:address}."),
        (
            "  bob: {name: B, devices: {pager: spik:1}}",
            '8:35: people.bob.devices.pager: there is no carrier "spik". Did you mean "spok"?',
        ),
        (
            "  bob: {name: B, devices: {pager: 5551212}}",
            '8:35: people.bob.devices.pager: "5551212" names no carrier. '
            'Write carrier:address, such as "spok:5551212".',
        ),
        (
            "  bob: {name: B, devices: {pager: spok:１２}}",
            '8:35: people.bob.devices.pager: "１２" is not an address: it is one word of ASCII, '
            "at most 254 characters. Write spok:address.",
        ),
        (
            "  bob: {name: B, plan: staf, devices: {pager: spok:1}}\nplans: {staff: {critical: [pager], "
            "urgent: [pager], normal: [pager], bulk: [pager]}}",
            '8:24: people.bob.plan: there is no plan "staf". Did you mean "staff"?',
        ),
        (
            "defaults: {people: {plan: staff}}",
            '8:27: defaults.people.plan: there is no plan "staff". Write it first.',
        ),
        (
            "plans: {staff: {critical: [pager], urgent: [pager], normal: [pager]}}",
            "8:9: plans.staff: says nothing for bulk, which a client may use. Write bulk: [device].",
        ),
        (
            "  bob: {name: B, plan: mob, devices: {pager: spok:1}}\n"
            "plans: {mob: {critical: [mobile], urgent: [pager], normal: [mobile], bulk: [pager]}}",
            '8:3: people.bob: nothing is left of plan "mob" for critical, normal: there are only pager. '
            "Give a device that the plan names, or another plan.",
        ),
        (
            "texts: {short: ['{text}']}",
            "8:17: texts.short[0]: the last form may not fit, as {text} may be long. "
            'End with a form without {text}, such as "CB {callback} {ref}".',
        ),
        (
            "texts: {no-patient-data-mail: ['{class} {short}', 'Call {callback}']}",
            "8:32: texts.no-patient-data-mail[0]: holds {short}, but a text of this name says nothing of the "
            'message. Write "{class}: call {callback} {ref}", or choose another name.',
        ),
        ("texts: {short: []}", '8:16: texts.short: has no form. Write ["{short} CB {callback} {ref}"].'),
    ],
)
def test_what_does_not_fit_together(line: str, said: str) -> None:
    """Names are one namespace and exist; plans reach people; the last form of a text fits."""
    assert mistakes(with_line(line)) == [f"gateway.yaml:{said}"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "[everyone]",
            "[alise]",
            '1:35: clients.monitoring.may_page[0]: there is no person or group "alise". Did you mean "alice"?',
        ),
        (
            "[everyone]",
            "['sms:*']",
            '1:35: clients.monitoring.may_page[0]: there is no carrier "sms". There is: spok.',
        ),
        (
            "adapter: snpp",
            "adapter: tap",
            '5:22: carriers.spok.links.web.adapter: there is no adapter "tap". Version 0.1.0 has: snpp.',
        ),
        ("adapter: snpp, ", "", "5:7: carriers.spok.links.web.adapter: is missing. Write `adapter: …`."),
        (
            ", at: 127.0.0.1:444",
            "",
            "5:7: carriers.spok.links.web.at: is missing. Write `at: pager.example.net:444`.",
        ),
        (
            "127.0.0.1:444",
            "pager.example.net",
            '5:32: carriers.spok.links.web.at: "pager.example.net" is not host:port. '
            "Write pager.example.net:444 or [2001:db8::1]:444.",
        ),
        (
            "127.0.0.1:444",
            "127.0.0.1:70000",
            '5:32: carriers.spok.links.web.at: "127.0.0.1:70000" has a port above 65535. '
            "Write a port from 1 to 65535.",
        ),
        (
            "127.0.0.1:444",
            "127.0.0.1:444, max_chars: fast",
            '5:58: carriers.spok.links.web.max_chars: "fast" is not a whole number. Write 240.',
        ),
        (
            "127.0.0.1:444",
            "127.0.0.1:444, max_chars: 99999",
            '5:58: carriers.spok.links.web.max_chars: "99999" is too large. Write at most 10000.',
        ),
        (
            "127.0.0.1:444",
            "127.0.0.1:444, tls: maybe",
            '5:52: carriers.spok.links.web.tls: "maybe" is not known here. Write off or required.',
        ),
        (
            "    links:",
            "    text: shrt\n    links:",
            '4:11: carriers.spok.text: there is no text "shrt". There are: default, no-patient-data, numeric.',
        ),
        (
            "    links:",
            "    device: {pattern: '[0-9]{6}'}\n    links:",
            '8:41: people.alice.devices.pager: "5551212" is not a pin of carrier "spok". '
            "It must match [0-9]{6}",
        ),
        (
            "{may_page: [everyone]}",
            "{classes: []}",
            "1:33: clients.monitoring.classes: is empty. Write at least one.",
        ),
    ],
)
def test_what_is_wrong_with_links_and_clients(old: str, new: str, said: str) -> None:
    """The words of a link and of a client are known, in range, and name what exists."""
    assert mistakes(BASE.replace(old, new)) == [f"gateway.yaml:{said}"]


def test_an_adapter_may_object() -> None:
    """What an adapter has against its keys taken together stands at the key, or is a warning."""
    text = BASE.replace("127.0.0.1:444", "192.0.2.1:444, password: {env: P}")
    assert mistakes(text, environ={"P": "x"}) == [
        "gateway.yaml:5:57: carriers.spok.links.web.password: is of no use without a login. Write login."
    ]
    assert load_text(text.replace("password", "login: a, password"), environ={"P": "x"}).warnings == (
        "gateway.yaml:5:7: carriers.spok.links.web.tls: the password travels in clear. Write tls: required.",
    )


def test_nobody_submits_without_saying_who_they_are() -> None:
    """Beyond loopback every client has a token or networks; at loopback it need not."""
    text = with_line("listen: {http: {at: 0.0.0.0:8080}}")
    assert mistakes(text) == [
        "gateway.yaml:1:11: clients.monitoring: has no token and no networks, and the API listens at "
        "0.0.0.0:8080: anybody could submit. Write token_sha256 or networks."
    ]
    assert load_text(text.replace("[everyone]", "[everyone], networks: 10.0.0.0/8")).listen.http is not None
    assert load_text(with_line("listen: {http: none}")).listen.http is None


def test_a_token_is_64_hexadecimal_digits_and_one_clients_own() -> None:
    """The digest in examples is shortened; what was written is not repeated, it may be the token itself."""
    short = mistakes(BASE.replace("[everyone]", "[everyone], token_sha256: 9f2c11"))
    assert short == [
        "gateway.yaml:1:60: clients.monitoring.token_sha256: this is not a SHA-256: it has 6 characters, not "
        '64 hexadecimal digits. Write all 64 that `printf %s "$TOKEN" | sha256sum` prints; examples are often '
        "shortened."
    ]
    text = BASE.replace("[everyone]}}", f"[everyone], token_sha256: [{'cd' * 32}, {'AB' * 32}]}}}}")
    text = text.replace(
        "{monitoring:", f"{{b: {{token_sha256: {'ab' * 32}, may_page: everyone}}, monitoring:"
    )
    assert mistakes(text) == [
        f"gateway.yaml:1:{text.index('AB' * 32) + 1}: clients.monitoring.token_sha256[1]: the same token is at "
        f"gateway.yaml:1:{text.index('ab' * 32) + 1}. Give each client a token of its own."
    ]


def test_words_of_later_versions_are_told_apart_from_slips() -> None:
    """A section that exists in the product but not in this version says so; a slip gets a suggestion."""
    assert mistakes(with_line("rotas: {}\ncariers: {}\nlisten: {snpp: {at: 127.0.0.1:444}}")) == [
        "gateway.yaml:8:1: rotas: is not in version 0.1.0 of the gateway. "
        "Remove it, or use a version that has it.",
        'gateway.yaml:9:1: cariers: is not a setting. Did you mean "carriers"?',
        "gateway.yaml:10:10: listen.snpp: is not in version 0.1.0 of the gateway. "
        "Remove it, or use a version that has it.",
    ]


def test_all_mistakes_at_once_by_place() -> None:
    """One run shows everything, sorted, each with line and column; one mistake is not several."""
    text = """\
site: {zone: EST5, nmae: x}
clients:
  monitoring: {may_page: [bob, nobody], classes: [critcal], rate: 60}
carriers:
  spok:
    device: {pattern: "(a+)+$"}
    links:
      web: {adapter: snpp, at: "pager:0", sessions: 65, two_way: maybe, breaker: {share: 0}}
people:
  bob: {codes: 12, zone: Paris, test: 1, devices: {pager: spok:1}}
groups: {a: [b], b: [c], c: [a, bob, bbo]}
limits: {queue: 1e3, body: 1 MB}
"""
    assert mistakes(text) == [
        'gateway.yaml:1:14: site.zone: "EST5" is not a time zone. Write Europe/Paris.',
        'gateway.yaml:1:20: site.nmae: is not a setting. Did you mean "name"?',
        'gateway.yaml:3:32: clients.monitoring.may_page[1]: there is no person or group "nobody". '
        "There are: bob, a, b, c.",
        'gateway.yaml:3:51: clients.monitoring.classes[0]: "critcal" is not known here. '
        'Did you mean "critical"?',
        'gateway.yaml:3:67: clients.monitoring.rate: "60" is not a rate. Write 20/s, 60/min or 5/h.',
        'gateway.yaml:6:23: carriers.spok.device.pattern: "(a+)+$" may take very long: it repeats what itself '
        "repeats or chooses. Write a simple one, such as [0-9]{7} or [+]?[0-9]{8,15}.",
        'gateway.yaml:8:32: carriers.spok.links.web.at: "pager:0" has port 0. Write a port from 1 to 65535.',
        'gateway.yaml:8:53: carriers.spok.links.web.sessions: "65" is too large. Write at most 64.',
        'gateway.yaml:8:66: carriers.spok.links.web.two_way: "maybe" is neither true nor false. '
        "Write true or false.",
        'gateway.yaml:8:90: carriers.spok.links.web.breaker.share: "0" is too small. Write more than 0.',
        "gateway.yaml:10:3: people.bob.name: is missing. Write `name: …`.",
        'gateway.yaml:10:26: people.bob.zone: "Paris" is not a time zone. Write Europe/Paris.',
        'gateway.yaml:10:39: people.bob.test: "1" is neither true nor false. Write true or false.',
        "gateway.yaml:11:14: groups.a[0]: goes in a circle: a → b → c → a. Remove one of them.",
        'gateway.yaml:11:38: groups.c[2]: there is no person or group "bbo". Did you mean "bob"?',
        'gateway.yaml:12:17: limits.queue: "1e3" is not a whole number. Write 1000000.',
        'gateway.yaml:12:28: limits.body: "1 MB" is not a size. Write 256MiB, 64KiB, or a number of bytes.',
    ]


# ------------------------------------------------------------------------------------------------- secrets


def test_secrets_come_from_where_they_are_kept() -> None:
    """Environment, file, or systemd's credentials; the end of the line does not count."""
    text = BASE.replace("444}", "444, login: a, password: SECRET}")
    files = {"etc/pw": b"from file\r\n", "/run/credentials/spok": b"from systemd\n"}
    environ = {"P": "from environment", "CREDENTIALS_DIRECTORY": "/run/credentials"}
    for written, value in {
        "{env: P}": "from environment",
        "{file: pw}": "from file",
        "{credential: spok}": "from systemd",
    }.items():
        found = load_text(text.replace("SECRET", written), files, environ, file="etc/gateway.yaml")
        link = found.link(LinkName("spok.web"))
        assert link is not None
        assert link.own.password == Secret(value)


def test_a_secret_is_never_printed() -> None:
    """Neither alone nor within the settings, neither plainly nor by rich."""
    text = BASE.replace("444}", "444, login: a, password: {env: P}}")
    found = load_text(text, environ={"P": "hunter2"})
    out = io.StringIO()
    rich.console.Console(file=out, width=300).print(rich.pretty.Pretty(found), found, Secret("hunter2"))
    for shown in (repr(found), str(found), f"{Secret('hunter2')}", out.getvalue()):
        assert "hunter2" not in shown
        assert "…" in shown


@pytest.mark.parametrize(
    "written",
    [
        "hunter2",
        '"hunter2"',
        "[hunter2]",
        "{hunter2: x}",
        "{env: hunter2, file: hunter2}",
        "{env: [hunter2]}",
        '{env: "hunter2!"}',
        "{credential: ../hunter2}",
        "!hunter2",
        "!hunter2 x",
        "*hunter2",
        "{file: bad}",
        "{file: large}",
    ],
)
def test_no_mistake_repeats_what_may_be_a_secret(written: str) -> None:
    """Whatever somebody writes in place of a reference, the message does not show it."""
    text = BASE.replace("444}", f"444, login: a, password: {written}}}")
    files = {"bad": b"hunter2\xff", "large": b"hunter2" * 10_000}
    said = "\n".join(mistakes(text, files=files, environ={"CREDENTIALS_DIRECTORY": "/c"}))
    assert "hunter2" not in said


# ---------------------------------------------------------------------------------------- words of the file


@given(st.integers(0, 10**14).map(lambda ms: ms / 1000))
@settings(max_examples=100, deadline=None)
@example(0.0)
@example(0.001)
@example(90.5)
@example(365 * 86400.0)
def test_durations_are_read_as_they_are_shown(seconds: float) -> None:
    """Every duration of whole milliseconds is written and read back the same."""
    shown = show_duration(seconds)
    if seconds <= 100 * 365 * 86400:
        assert duration(shown) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("30m", 1800),
        ("24h", 86400),
        ("7d", 604800),
        ("7y", 7 * 365 * 86400),
        ("500ms", 0.5),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("90", 90),
        ("0.25", 0.25),
        ("2m500ms", 120.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Units of time may be combined, the largest first; a plain number is seconds."""
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "5 m", "m5", "5M", "30m1h", "-5s", "1e3", "10:00", "nan", "101y", "٣s"]
)
def test_what_is_no_duration(text: str) -> None:
    """Neither times of day nor other notations are lengths of time."""
    with pytest.raises(Unfit):
        duration(text)


@given(st.integers(0, 1 << 50))
@settings(max_examples=100, deadline=None)
def test_sizes_are_read_as_they_are_shown(count: int) -> None:
    """Every number of bytes is written and read back the same."""
    assert size(show_size(count)) == count


@given(st.integers(1, 10**5), st.sampled_from(["s", "min", "h", "d"]))
@settings(max_examples=50, deadline=None)
def test_rates_are_read_as_they_are_shown(count: int, per: str) -> None:
    """``60/min`` is read, shown and read again the same."""
    assert show_rate(rate(f"{count}/{per}")) == f"{count}/{per}"
    assert rate(show_rate(rate(f"{count}/{per}"))) == rate(f"{count}/{per}")


# ------------------------------------------------------------------------------------------------ nonsense

WORDS = (
    "site clients carriers people groups plans texts classes include links adapter snpp at same_as devices "
    "pager a b everyone critical password env file none null ~ << &a *a ! !!str ? : - , [ ] { } | > # % @ ` "
    "' \" --- ... \t \n \r\n \0 \ufeff 0 -1 1e9 5m 20/s 127.0.0.1:1 (a+)+ {text} spok:1"
)


@given(
    st.lists(st.sampled_from(WORDS.split(" ")) | st.text(max_size=4), max_size=60),
    st.sampled_from(["", " ", "\n", ": "]),
)
@settings(max_examples=300, deadline=None)
def test_nonsense_is_a_mistake_and_nothing_worse(words: list[str], between: str) -> None:
    """Whatever a file holds, it loads or it is a SettingsError whose every line names a place."""
    for text in (between.join(words), BASE + between.join(words)):
        try:
            load_text(text)
        except SettingsError as error:
            assert error.mistakes
            assert all(mistake.line >= 1 and mistake.column >= 1 for mistake in error.mistakes)


KEYS = "http at name links adapter same_as devices critical default alice pager env"
VALUES = st.recursive(
    st.sampled_from(["x", "0", "none", "true", "5m", "alice", "spok:1", '""', "[]", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner,
            max_size=3,
        ).map(lambda entries: "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}")
    ),
    max_leaves=8,
)
SECTIONS = "include site listen clients classes texts carriers plans people groups defaults limits keep rotas"


@given(st.dictionaries(st.sampled_from(SECTIONS.split()), VALUES, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_shape_under_any_section_is_a_mistake_at_worst(sections: dict[str, str]) -> None:
    """Lists for mappings, mappings for words, names for numbers: all are told, none goes further."""
    text = "\n".join(f"{section}: {value}" for section, value in sections.items())
    with pytest.raises(SettingsError):
        load_text(text or "x: y")


@given(st.from_regex(r"[ab01()\[\]|*+?{},\\.^$-]{0,14}", fullmatch=True), st.text("ab01", max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_pattern_without_objection_ends_soon(pattern: str, address: str) -> None:
    """Whatever pattern passes can be matched: it compiles, and it comes to an end."""
    if patterns_.objection(pattern) is None:
        assert patterns_.matches(pattern, address) in (True, False)


# -------------------------------------------------------------------------------------- the files we ship


@pytest.mark.parametrize("name", ["minimal.yaml", "hospital.yaml"])
def test_the_files_we_ship_load_without_a_warning(name: str) -> None:
    """Whoever starts from them starts from something that works."""

    def read(path: Path) -> bytes:
        if path == Path("/credentials/deadman_url"):
            return b"https://watcher.example/ping/5b8f0c1e\n"
        secret = b"c2VjcmV0IG9mIDI0IGJ5dGVzIG9yIG1vcmU=\n"
        return secret if path.parent == Path("/credentials") else path.read_bytes()

    found = load_file(
        CONFIG / name,
        specs(),
        read=read,
        environ={"CREDENTIALS_DIRECTORY": "/credentials"},
        glob=lambda pattern: sorted(pattern.parent.glob(pattern.name)),
        mode=lambda path: 0o600,
        generation=7,
    )
    assert found.warnings == ()
    assert found.generation == 7
    assert "alice" in found.people
