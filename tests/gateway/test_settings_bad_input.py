"""Bad settings files, by their numbers in the catalogue of bad input (B79 to B90)."""

from __future__ import annotations

import pytest
from settings_fakes import BASE, load_text
from test_settings import mistakes, with_line

from gateway.settings.document import MAX_BYTES
from gateway.settings.patterns import matches, objection


def test_b79_identifiers_are_text() -> None:
    """YAML's own numbers never happen: what looks like octal, sexagesimal or hexadecimal stays as written."""
    for pin in ("0123456", "00042", "+15551234567", "12:30:00", "0x10", "1_000", ".5", "1e3"):
        found = load_text(BASE.replace("5551212", pin))
        assert found.people["alice"].devices["pager"] == f"spok:{pin}"


@pytest.mark.parametrize("word", ["NO", "yes", "1e3", "null", "~", "2026-01-01", "=", "on"])
def test_b80_words_are_text_where_text_is_meant(word: str) -> None:
    """A name that YAML would read as a truth, a number or nothing is a name."""
    assert load_text(BASE.replace("name: Alice", f"name: {word}")).people["alice"].name == word


def test_b80_truth_only_where_truth_is_meant() -> None:
    """true, yes, on and their opposites are truths where a truth is declared, in any case; 1 is none."""
    for word, value in {"yes": True, "On": True, "TRUE": True, "no": False, "off": False}.items():
        assert (
            load_text(BASE.replace("444}", f"444, two_way: {word}}}"))
            .carriers["spok"]
            .links["web"]
            .own.two_way
            is value
        )
    assert mistakes(BASE.replace("444}", "444, two_way: 1}")) == [
        'gateway.yaml:5:56: carriers.spok.links.web.two_way: "1" is neither true nor false. Write true or false.'
    ]
    assert mistakes(with_line("limits: {queue: yes}")) == [
        'gateway.yaml:8:17: limits.queue: "yes" is not a whole number. Write 1000000.'
    ]


def test_b81_a_key_written_twice() -> None:
    """The second one is a mistake that names the first, at any depth, quoted or not."""
    text = BASE + '  "alice": {name: A, name: B}\npeople: {}\n'
    assert mistakes(text) == [
        "gateway.yaml:8:3: people.alice: is written twice; the first is at gateway.yaml:7:3. Keep one of them.",
        "gateway.yaml:8:22: people.alice.name: is written twice; the first is at gateway.yaml:8:13. "
        "Keep one of them.",
        "gateway.yaml:9:1: people: is written twice; the first is at gateway.yaml:6:1. Keep one of them.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("site:\n\tname: x\n", "2:1: the file: the line is indented with a tab. Indent with spaces."),
        ("sites: {}\n" + BASE, '1:1: sites: is not a setting. Did you mean "site"?'),
        (with_line("site: [a]"), "8:7: site: is not a mapping. Write `key: value` below it."),
        (with_line("site: {name: [a]}"), "8:14: site.name: is a list, not one value. Write Gateway."),
        (with_line("site: {name: {a: b}}"), "8:14: site.name: is a mapping, not one value. Write Gateway."),
        (
            "site: {name: x}\n",
            "1:1: carriers: is missing. Write `carriers:` and its entries below.",
        ),
        (
            with_line("site: !!python/object:os.system {name: x}"),
            "8:7: the file: carries a YAML tag. "
            "Remove the word that begins with `!`, or put the value in quotes.",
        ),
        ("#" * (MAX_BYTES + 1), "1:1: the file: is larger than 5 MiB. Split it over files that it includes."),
        (
            with_line("site: {name: a\0b}"),
            '8:15: the file: holds the character "\\u0000". Remove it; save as UTF-8 text.',
        ),
        (
            with_line("site: {name: '\ud800'}"),
            '8:15: the file: holds the character "\\ud800". Remove it; save as UTF-8 text.',
        ),
        ("", "1:1: the file: is empty. Write at least carriers and clients."),
        ("# nothing\n", "1:1: the file: is empty. Write at least carriers and clients."),
        ("just text\n", "1:1: the file: is not a mapping of sections. Begin with a section: `site:`"),
        ("- a\n", "1:1: the file: is not a mapping of sections. Begin with a section: `site:`"),
        (
            BASE + "---\nsite: {}\n",
            "8:1: the file: a second document begins. "
            "Remove the line `---`, or put the rest into a file of its own and include it.",
        ),
        (with_line("? [a]\n: b"), "8:3: the file: a key is not a word. Write `key: value`."),
        (
            with_line("site: &s {name: x}\nlisten: {<<: *s}"),
            "9:10: listen.<<: merge keys do not exist here. "
            "Write the keys out; a link may say `same_as:` another.",
        ),
        (
            with_line("site: *s"),
            "8:7: the file: refers to an anchor that was not written above. "
            "Put a value that begins with `*` in quotes.",
        ),
        (with_line("site: &s {name: *s}"), "8:17: the file: refers to itself. Write the value out."),
        (
            "site: " + "[" * 1_000_000,
            "1:39: the file: is nested deeper than 32 levels. Look for an unclosed bracket.",
        ),
        (
            with_line("site: {name: a: b}"),
            "8:15: the file: is not YAML here: did not find expected ',' or '}'. "
            "Look at this line and the one before it.",
        ),
        (
            with_line("drain_timeout: a: b"),
            "8:17: the file: a colon and a space stand inside a value. Put the value in quotes.",
        ),
        (
            with_line("drain_timeout: @x"),
            "8:16: the file: a value begins with a character that means something in YAML. "
            "Put the value in quotes.",
        ),
    ],
)
def test_b82_what_is_not_a_settings_file(text: str, said: str) -> None:
    """Tabs, tags, unknown keys, wrong shapes, size, controls: one line each, with the place."""
    assert mistakes(text) == [f"gateway.yaml:{said}"]


def test_b82_aliases_are_bounded() -> None:
    """Aliases work, also within aliases, until they would add more than 10,000 values."""
    shared = "site: &s {name: x}\n" + BASE
    assert load_text(shared).site.name == "x"
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    bomb += "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert mistakes(bomb) == [
        "gateway.yaml:4:38: the file: aliases add more than 10,000 values. Write the values out."
    ]


def test_b82_windows_line_ends_and_a_mark_of_byte_order_are_fine() -> None:
    """A file saved by any editor says the same, and its mistakes have the same places."""
    assert load_text("\ufeff" + BASE.replace("\n", "\r\n")) == load_text(BASE)
    wrong = with_line("site: {zone: x}")
    assert mistakes("\ufeff" + wrong.replace("\n", "\r\n")) == mistakes(wrong)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "hunter2",
            "72: carriers.spok.links.web.password: a secret may not stand in the file. "
            "Write {env: NAME}, {file: path} or {credential: name}.",
        ),
        (
            "{env: P}",
            "78: carriers.spok.links.web.password: the environment variable P is not set. "
            "Set it before the start.",
        ),
        (
            "{env: EMPTY}",
            "78: carriers.spok.links.web.password: the secret is empty. "
            "Put the value where the reference points.",
        ),
        (
            "{file: pw}",
            '79: carriers.spok.links.web.password: the file "pw" cannot be read (No such file or directory). '
            "Write the value into it, readable by the gateway alone.",
        ),
        (
            "{file: empty}",
            "79: carriers.spok.links.web.password: the secret is empty. "
            "Put the value where the reference points.",
        ),
        (
            "{credential: spok}",
            "85: carriers.spok.links.web.password: credential spok cannot be read: "
            "there is no folder of credentials. "
            "Start it by systemd with LoadCredential=, or set CREDENTIALS_DIRECTORY.",
        ),
    ],
)
def test_b83_secrets_are_references_to_something(written: str, said: str) -> None:
    """A secret in clear, or a reference to nothing, stops the start and is never repeated."""
    text = BASE.replace("444}", f"444, login: 'x', password:    {written}}}")
    assert mistakes(text, files={"empty": b"\n"}, environ={"EMPTY": ""}) == [f"gateway.yaml:5:{said}"]


def test_b83_a_secret_that_everybody_may_read_is_a_warning() -> None:
    """It works today and must go on working; it is said at each load."""
    text = BASE.replace("444}", "444, login: x, password: {file: pw}}")
    assert load_text(text, {"pw": b"x"}, modes={"pw": 0o640}).warnings == ()
    assert load_text(text, {"pw": b"x"}, modes={"pw": 0o644}).warnings == (
        'gateway.yaml:5:74: carriers.spok.links.web.password: everybody on this machine may read "pw". '
        "Run chmod o= on it.",
    )


def test_b84_unknown_carriers_loops_and_clear_text() -> None:
    """An unknown carrier and a loop are mistakes with the path of keys; clear text is the adapter's word.

    Serial ports do not exist in this version.
    """
    text = with_line("groups: {a: [b], b: [a]}").replace("spok:555", "spoc:555")
    assert mistakes(text) == [
        'gateway.yaml:7:41: people.alice.devices.pager: there is no carrier "spoc". Did you mean "spok"?',
        "gateway.yaml:8:14: groups.a[0]: goes in a circle: a → b → a. Remove one of them.",
    ]
    clear = BASE.replace("127.0.0.1:444", "192.0.2.1:444, login: a, password: {env: P}")
    assert "travels in clear" in load_text(clear, environ={"P": "x"}).warnings[0]


def test_b85_steps_of_no_length_circles_and_unknown_groups() -> None:
    """A step lasts; a group that holds itself or nobody known is refused. (Rotas: not in this version.)"""
    text = with_line("classes: {critical: {step_wait: 0s, deadline: 0}}\ngroups: {a: [a, alise]}")
    assert mistakes(text) == [
        'gateway.yaml:8:33: classes.critical.step_wait: "0s" is too small. Write more than 0s.',
        'gateway.yaml:8:47: classes.critical.deadline: "0" is too small. Write more than 0s.',
        "gateway.yaml:9:14: groups.a[0]: goes in a circle: a → a. Remove one of them.",
        'gateway.yaml:9:17: groups.a[1]: there is no person or group "alise". Did you mean "alice"?',
    ]


def test_b86_zones_and_times_that_do_not_exist() -> None:
    """A zone is one of the IANA's; a time of day is not a length of time. (Dates: not in this version.)"""
    assert mistakes(with_line("site: {zone: EST5}\nkeep: {text: 25:00}\ndrain_timeout: 30 February")) == [
        'gateway.yaml:8:14: site.zone: "EST5" is not a time zone. Write Europe/Paris.',
        'gateway.yaml:9:14: keep.text: "25:00" is not a length of time. Write 90s, 5m, 24h, 7d or 500ms.',
        'gateway.yaml:10:16: drain_timeout: "30 February" is not a length of time. '
        "Write 90s, 5m, 24h, 7d or 500ms.",
    ]
    assert mistakes(with_line("site: {zone: europe/paris}"))[0].endswith("Write Europe/Paris.")


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|a)*",
        "(a|ab)+c",
        "((a{1,9}){1,9}){1,9}",
        "(?:a?){30}",
        "[0-9]*[0-9]*[0-9]*x",
        "a?" * 30,
        r"(a)\1",
        "(?=a)a",
        "(?i)a",
        "(?P<x>a)",
        "(((((((((((((a)))))))))))))",
        "a{1,9999}" * 3,
        "(",
        "[",
        "*",
        "a{3,2}",
        "a" * 201,
        "[[a]]",
    ],
)
def test_b87_a_pattern_that_may_take_long_is_refused(pattern: str) -> None:
    """Rules of carriers are not in this version; the patterns of devices stand for them."""
    assert objection(pattern) is not None
    text = BASE.replace("    links:", f"    device: {{pattern: '{pattern}'}}\n    links:")
    assert mistakes(text)[0].startswith("gateway.yaml:4:23: carriers.spok.device.pattern: ")


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("[0-9]{7}", "5551212", "5551212\n"),
        ("[+]?[0-9]{8,15}", "+33612345678", "+٣٣٦١٢٣٤٥٦٧٨"),
        (r"\+?\d{3,}", "+331", "+٣٣١"),
        ("(?:0|[+]33)[1-9](?:[0-9]{2}){4}", "+33612345678", "33612345678"),
        ("[^@]+@[^@]+", "a@b.example", "a" * 250 + "@b.example"),
        (r"[]\]-]{2}|x{1,}?", "]-", "x]"),
        ("(?:W[0-9]{3}-)?[A-F]{2}", "W123-AB", "W123AB"),
    ],
)
def test_b87_patterns_that_addresses_need(pattern: str, good: str, bad: str) -> None:
    """A pattern is matched against the whole address, in ASCII."""
    assert objection(pattern) is None
    assert matches(pattern, good)
    assert not matches(pattern, bad)


@pytest.mark.parametrize(
    "form",
    [
        "{{ ''.__class__ }}",
        "{text.__class__}",
        "{text!r}",
        "{text:>999999999}",
        "{0}",
        "{}",
        "{",
        "}",
        "{% include 'x' %}",
        "{TEXT}",
        "\\u0007",
        "x" * 1001,
    ],
)
def test_b88_a_text_has_the_known_placeholders_and_nothing_else(form: str) -> None:
    """Templates are not in this version; the forms of texts stand for them: words to fill in, no language."""
    written = form.replace("'", "") if "\\" not in form else form
    assert mistakes(with_line(f'texts: {{a: ["{written}"]}}'))[0].startswith(
        "gateway.yaml:8:13: texts.a[0]: "
    )


def test_b88_braces_are_placeholders() -> None:
    """Every known placeholder may stand in a form."""
    text = with_line('texts: {a: ["{text}", "{short} {callback} {ref} {class} {sender}"]}')
    assert load_text(text).texts["a"][1] == "{short} {callback} {ref} {class} {sender}"


def test_b89_a_file_of_a_later_version() -> None:
    """A section or key that a later version has is refused with the version that runs."""
    text = with_line("escalations: {}\nkeep: {wire: 14d}").replace("    links:", "    echo: {}\n    links:")
    assert [line.split(": ", 2)[1:] for line in mistakes(text)] == [
        [key, "is not in version 0.1.0 of the gateway. Remove it, or use a version that has it."]
        for key in ("carriers.spok.echo", "escalations", "keep.wire")
    ]


def test_b90_ten_thousand_people_and_one_fault() -> None:
    """One slip among 10,000 people is found and named; nothing is loaded."""
    people = [
        f"  p{n}: {{name: P {n}, codes: [{n}], devices: {{pager: spok:{n:07}}}}}" for n in range(10_000)
    ]
    people[6_543] = people[6_543].replace("spok", "spock")
    assert mistakes(BASE + "\n".join(people) + "\n") == [
        'gateway.yaml:6551:57: people.p6543.devices.pager: there is no carrier "spock". Did you mean "spok"?'
    ]


def test_b90_ten_thousand_faults() -> None:
    """The first 50 are listed, and how many there are."""
    people = [f"  p{n}: {{name: P, devices: {{pager: spock:{n}}}}}" for n in range(10_000)]
    said = mistakes(BASE + "\n".join(people) + "\n")
    assert len(said) == 51
    assert said[49].startswith("gateway.yaml:57:")
    assert said[50].startswith("gateway.yaml:58:")
    assert said[50].endswith(": …: 9950 more mistakes follow, 10000 in all. Mend these first.")


def test_who_watches_is_checked() -> None:
    """The watcher's address is a secret and a web address; who is told can be paged. The secret is not shown."""
    watched = with_line("watch: {ping: {env: DEADMAN}, every: 5s, tell: [alise, spok, other:1, alice]}")
    said = mistakes(watched, environ={"DEADMAN": "ftp://hunter2"})
    assert said == [
        "gateway.yaml:8:15: watch.ping: the secret is not a web address. "
        "Put the watcher's address where the reference points.",
        'gateway.yaml:8:38: watch.every: "5s" is too small. Write at least 10s.',
        'gateway.yaml:8:49: watch.tell[0]: there is no person or group "alise". Did you mean "alice"?',
        'gateway.yaml:8:56: watch.tell[1]: there is no person or group "spok". There is: alice.',
        'gateway.yaml:8:62: watch.tell[2]: there is no carrier "other". There is: spok.',
    ]
    assert "hunter2" not in "".join(said)
    good = load_text(
        with_line("watch: {ping: {env: DEADMAN}, tell: [alice, spok:1]}"),
        environ={"DEADMAN": "https://watcher.example/ping/hunter2"},
    )
    assert (good.watch.every, good.watch.tell) == (60.0, ("alice", "spok:1"))
    assert "hunter2" not in repr(good)


def test_where_to_listen() -> None:
    """An address of this machine, or a socket of systemd by its name; the latter needs clients with tokens."""
    for at in ("127.0.0.1:0", "[::1]:8080", "systemd:http"):
        line = f"listen: {{http: {{at: '{at}'}}}}"
        text = with_line(line).replace("may_page", f"token_sha256: {'a' * 64}, may_page")
        assert load_text(text).listen.http.at == at  # type: ignore[union-attr]
    (said,) = mistakes(with_line("listen: {http: {at: 'systemd:h t'}}"))
    assert said.endswith('"systemd:h t" does not name a socket of systemd. Write systemd:http.')
    (said,) = mistakes(with_line("listen: {http: {at: 'systemd:http'}}"))
    assert "the API listens at systemd:http: anybody could submit" in said
