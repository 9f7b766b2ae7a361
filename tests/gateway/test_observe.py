"""Metrics, log lines and transcripts: complete, bounded, and silent about texts, secrets and numbers."""

from __future__ import annotations

import ast
import json
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure

from gateway import observe
from gateway.env.real import log_writer
from gateway.env.simulated import BOOT, SimulatedEnv
from gateway.model import MessageClass
from gateway.observe import (
    EVENTS,
    MAX_LINE,
    METRICS,
    JsonLog,
    Metrics,
    Transcript,
    json_line,
    redact,
    reference,
)
from gateway.outcome import Level, Outcome, token_of

ROOT = Path(__file__).parents[2]

# The page and the tables


def test_the_docs_page_is_what_the_tables_say() -> None:
    """Print it anew: ``python -m gateway.observe > docs/reference/log-and-metrics.md``."""
    assert (ROOT / "docs/reference/log-and-metrics.md").read_text() == reference()


def logged() -> list[tuple[str, str, str, set[str]]]:
    """Every call of a logger in the daemon with a constant format: where, level, format, fields."""
    found = []
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        if {"cli", "sim", "firstrun.py"} & set(path.relative_to(ROOT / "gateway").parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level),
                    args=[ast.Constant(value=str(form)), *_],
                    keywords=given,
                ):
                    fields = {one.arg for one in given if one.arg and one.arg != "failure"}
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    found.append((where, "critical" if level == "failure" else level, form, fields))
    return found


def test_every_log_line_is_in_the_table() -> None:
    """With its level and its fields; each field of a format is given. A new one needs a row in ``EVENTS``."""
    events = {one.format: one for one in EVENTS}
    assert len(events) == len(EVENTS)
    assert len(logged()) > 5
    for where, level, form, fields in logged():
        event = events.get(form)
        assert event is not None, f"{where}: say in observe.EVENTS what {form!r} means"
        assert level in event.level.split(" or "), where
        assert fields == set(re.findall(r"{(\w+)}", form)) | set(event.fields), where


def test_every_row_of_the_table_is_logged_somewhere() -> None:
    """No row outlives its line."""
    constants = {
        node.value
        for path in (ROOT / "gateway").rglob("*.py")
        if path.name != "observe.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }
    own = {"log lines dropped: {count}"}
    assert {one.format for one in EVENTS} - own <= constants


# Metrics


def shown(metrics: Metrics) -> dict[str, float]:
    """What a scraper reads, by name and labels."""
    _, body = metrics.exposition()
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_the_exposition_has_exactly_the_metrics_of_the_table() -> None:
    """By name and type, with a help text; everything else is ``process_*``."""
    _, body = Metrics("1.2.3").exposition()
    types = dict(re.findall(r"^# TYPE (gateway_\S+) (\w+)$", body.decode(), re.MULTILINE))
    assert types == {one.name: one.kind.__name__.lower() for one in METRICS}
    assert set(re.findall(r"^# TYPE (\w+?)_", body.decode(), re.MULTILINE)) == {"gateway", "process"}
    for one in METRICS:
        assert f"# HELP {one.name} {one.help}\n" in body.decode()
        assert one.kind.__name__ != "Counter" or one.name.endswith("_total")
        assert not {"id", "person", "address", "number", "client", "text"} & set(one.labels)


def test_outcomes_in_labels_are_those_that_attempts_have() -> None:
    """The list of the table cannot drift from the five kinds."""
    kinds = Outcome.__args__
    fields: dict[str, Any] = {"about": None, "code": "", "why": ""}
    made = [
        kind(**{name: fields[name] for name in kind.__struct_fields__ if name in fields}) for kind in kinds
    ]
    assert tuple(token_of(one) for one in made) == observe.OUTCOMES


def test_known_series_are_there_before_anything_happens() -> None:
    """From 0, so that a rate over the first event is right; a link's once it is known."""
    metrics = Metrics("1.2.3")
    seen = shown(metrics)
    assert seen['gateway_submissions_total{result="full"}'] == 0
    assert seen['gateway_oldest_waiting_seconds{class="critical"}'] == 0
    assert seen['gateway_time_to_level_seconds_count{class="urgent",level="handed_over"}'] == 0
    assert seen['gateway_build_info{version="1.2.3"}'] == 1
    assert not any("spok" in name for name in seen)
    metrics.link("spok.web", mode="suspended", resting=True)
    seen = shown(metrics)
    assert seen['gateway_attempts_total{link="spok.web",outcome="in_doubt"}'] == 0
    assert seen['gateway_lane_state{link="spok.web",state="suspended"}'] == 1
    assert seen['gateway_lane_state{link="spok.web",state="open"}'] == 0
    assert seen['gateway_breaker_open{link="spok.web"}'] == 1


def test_counts_of_two_gateways_do_not_mix() -> None:
    """Each has a registry of its own."""
    one, other = Metrics("1"), Metrics("1")
    one.submissions.labels("accepted").inc()
    one.attempts.labels("spok.web", "taken").inc(2)
    one.handed_over(MessageClass.URGENT, 1.5)
    one.reached(Level.ON_DEVICE, MessageClass.URGENT, 2.5)
    seen = shown(one)
    assert seen['gateway_submissions_total{result="accepted"}'] == 1
    assert seen['gateway_attempts_total{link="spok.web",outcome="taken"}'] == 2
    assert seen['gateway_time_to_level_seconds_sum{class="urgent",level="handed_over"}'] == 1.5
    assert seen['gateway_time_to_level_seconds_bucket{class="urgent",le="2.0",level="on_device"}'] == 0
    assert shown(other)['gateway_submissions_total{result="accepted"}'] == 0


def test_what_waits_no_more_is_shown_as_nothing() -> None:
    """A lane that is empty shows 0, not what it was; a link that left the settings is not shown at all."""
    metrics = Metrics("1")
    bulk = MessageClass.BULK
    metrics.waiting({("spok.web", bulk): 7, ("spok.tap", bulk): 1}, {bulk: 12.5})
    assert shown(metrics)['gateway_deliveries_waiting{class="bulk",link="spok.web"}'] == 7
    assert shown(metrics)['gateway_oldest_waiting_seconds{class="bulk"}'] == 12.5
    metrics.waiting({("spok.tap", bulk): 1}, {})
    assert shown(metrics)['gateway_deliveries_waiting{class="bulk",link="spok.web"}'] == 0
    assert shown(metrics)['gateway_oldest_waiting_seconds{class="bulk"}'] == 0
    metrics.attempts.labels("spok.web", "taken").inc()
    metrics.forget_link("spok.web")
    metrics.waiting({}, {})
    assert not any("spok.web" in name for name in shown(metrics))


def test_the_scraper_chooses_the_format() -> None:
    """Prometheus text by default, OpenMetrics with its end mark where it is asked for."""
    metrics = Metrics("1")
    assert metrics.exposition()[0].startswith("text/plain; version=0.0.4")
    kind, body = metrics.exposition("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


# Log lines


def emitted(emit: Any) -> dict[str, Any]:
    """The line that a Logger's event becomes."""
    lines: list[bytes] = []
    emit(Logger(namespace="gateway.test", observer=lambda event: lines.append(json_line(event))))
    assert len(lines) == 1
    assert lines[0].endswith(b"\n")
    assert b"\n" not in lines[0][:-1]
    return json.loads(lines[0])


def test_a_line_has_when_where_what_and_the_fields() -> None:
    """And the format as the event's name, for alarms."""
    line = emitted(
        lambda log: log.warn("link rests: {link}", link="spok.web", code=421, ratio=0.5, message="m1")
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line == {
        "level": "warn",
        "ns": "gateway.test",
        "event": "link rests: {link}",
        "msg": "link rests: spok.web",
        "fields": {"link": "spok.web", "code": 421, "ratio": 0.5, "message": "m1"},
    }


def test_a_format_that_does_not_fit_costs_nothing() -> None:
    """A missing field stays in braces; what cannot be formatted is shown as it is; the fields are there."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    assert emitted(lambda log: log.info("{a} and {b}", a=1))["msg"] == "1 and {b}"
    assert emitted(lambda log: log.info("{a:d}", a="text"))["msg"] == "{a:d}"
    assert emitted(lambda log: log.info("{a.b.c}", a="x"))["msg"] == "{a.b.c}"
    assert emitted(lambda log: log.info("{a", a="x"))["msg"] == "{a"
    assert emitted(lambda log: log.info("{a()}", a=lambda: "called"))["msg"] == "called"
    line = emitted(lambda log: log.info("{a}", a=Broken(), big=1 << 80, nothing=None))
    assert line["msg"] == "<Broken>"
    assert line["fields"] == {"a": "<Broken>", "big": str(1 << 80), "nothing": None}


def test_a_failure_says_type_message_and_places_but_no_values() -> None:
    """Local variables hold texts and secrets: none of them is shown."""

    def inner(secret: str) -> None:
        raise ValueError("the disk is gone")

    def emit(log: Logger) -> None:
        try:
            inner("hunter2-canary")
        except ValueError:
            log.failure("it broke in {room}", room="store")

    line = emitted(emit)
    assert line["level"] == "critical"
    assert line["failure"]["type"] == "ValueError"
    assert line["failure"]["message"] == "the disk is gone"
    assert line["failure"]["trace"][-1].endswith(" inner")
    assert "canary" not in json.dumps(line)
    bare = json_line({"log_failure": Failure(ValueError("never raised")), "log_format": "x"})
    assert json.loads(bare)["failure"]["trace"] == []


EVIL = "a\r\nb\x00\x1b[31m\x7f\x85\x9b\u2028\u202e\u2066\ufeff\udc80end"


def test_no_control_character_gets_into_the_log() -> None:
    """Whoever writes it, wherever: C0, DEL, C1, line separators, bidirectional controls, lone surrogates."""
    line = json_line(
        {
            "log_format": "{x}" + EVIL,
            "log_namespace": EVIL,
            "log_level": LogLevel.info,
            "x": EVIL,
            EVIL: 1,
            "log_failure": Failure(ValueError(EVIL)),
        }
    )
    text = line.decode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]", text)
    assert text.count("\n") == 1
    assert "\r\nb" in json.loads(line)["fields"]["x"]


values = st.one_of(st.text(max_size=3000), st.integers(), st.floats(), st.none(), st.binary(max_size=50))


@settings(max_examples=80, deadline=None)
@given(
    form=st.text(max_size=3000) | st.just("{a} {b} {c!r} {d:>5}"),
    fields=st.dictionaries(st.text(max_size=40), values, max_size=60),
)
def test_any_event_becomes_one_bounded_line(form: str, fields: dict[str, Any]) -> None:
    """Valid JSON, at most 8 kB, one newline, whatever comes."""
    line = json_line({**fields, "log_format": form, "log_level": LogLevel.error, "log_time": 1e9})
    assert len(line) <= MAX_LINE
    assert line.count(b"\n") == 1
    read = json.loads(line)
    assert read["level"] == "error"
    assert all(len(one) <= 1100 for one in read.get("fields", {}).values() if isinstance(one, str))


class Pipe:
    """A log that takes so many bytes at a time, or none, or breaks."""

    def __init__(self) -> None:
        self.taken = bytearray()
        self.room: int | None = None
        self.broken = False

    def __call__(self, data: bytes) -> int:
        if self.broken:
            raise OSError("No space left on device")
        took = data if self.room is None else data[: self.room]
        self.taken += took
        return len(took)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.taken.splitlines() if line.strip()]


def test_a_log_that_takes_nothing_costs_lines_and_nothing_else() -> None:
    """F53: they wait, at most a megabyte; the rest is dropped, counted, and told of when it goes on."""
    pipe, counted = Pipe(), []
    log = JsonLog(pipe)
    say = Logger(namespace="gateway.test", observer=log)  # type: ignore[arg-type]
    say.info("first")
    pipe.room = 0
    for n in range(3000):
        say.info("line {n}", n=n, padding="x" * 500)
    assert log.dropped > 500
    log.count_drops(counted.append)
    assert sum(counted) == log.dropped
    say.info("one more, dropped too", padding="x" * 1000)
    assert sum(counted) == log.dropped
    pipe.room = 100
    log.flush()
    kept = pipe.lines()
    assert kept[0]["msg"] == "first"
    assert [one["msg"] for one in kept[1:-1]] == [f"line {n}" for n in range(len(kept) - 2)]
    assert kept[-1]["msg"] == f"log lines dropped: {log.dropped}"
    assert len(kept) - 2 + log.dropped == 3001
    assert log._size == 0


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    """What was begun is ended by a newline, so that the next line is whole."""
    pipe = Pipe()
    log = JsonLog(pipe)
    say = Logger(namespace="gateway.test", observer=log)  # type: ignore[arg-type]
    pipe.room = 10
    pipe_takes = pipe.__call__
    calls = iter([10])

    def write(data: bytes) -> int:
        if next(calls, None) is None:
            raise OSError("No space left on device")
        return pipe_takes(data)

    log._write = write
    say.info("torn")
    assert log.dropped == 1
    say.info("lost")
    assert log.dropped == 2
    log._write, pipe.room = pipe, None
    say.info("whole")
    torn, *rest = pipe.taken.splitlines()
    assert len(torn) == 10
    assert [json.loads(one)["msg"] for one in rest] == ["whole", "log lines dropped: 2"]


def test_a_pipe_that_nobody_reads_and_then_somebody_does() -> None:
    """The real thing: no write blocks, and afterwards every line is whole."""
    reader, writer = os.pipe()
    log = JsonLog(log_writer(writer))
    env = SimulatedEnv()
    log.flush_every(env.clock, 1.0)
    say = Logger(namespace="gateway.test", observer=log)  # type: ignore[arg-type]
    for n in range(1000):
        say.info("line {n}", n=n, padding="x" * 200)
    os.set_blocking(reader, False)
    read = b""
    for _ in range(100):
        env.world.clock.advance(1.0)
        try:
            read += os.read(reader, 1 << 20)
        except BlockingIOError:
            break
    assert [json.loads(line)["msg"] for line in read.splitlines()] == [f"line {n}" for n in range(1000)]
    assert log.dropped == 0
    os.close(reader)
    os.close(writer)


def test_levels_and_twisteds_own_chatter() -> None:
    """Debug only when asked for; of Twisted warnings and worse; old-style messages are shown if they matter."""
    pipe = Pipe()
    say = LogPublisher(JsonLog(pipe))  # type: ignore[arg-type]
    for namespace, level in (
        ("gateway.lane", LogLevel.debug),
        ("gateway.lane", LogLevel.info),
        ("twisted.internet.protocol.Factory", LogLevel.info),
        ("twisted.internet.defer", LogLevel.critical),
        ("log_legacy", LogLevel.info),
    ):
        say({"log_namespace": namespace, "log_level": level, "log_format": "x", "log_time": 0.0})
    assert [(one["ns"], one["level"]) for one in pipe.lines()] == [
        ("gateway.lane", "info"),
        ("twisted.internet.defer", "critical"),
    ]
    loud = Pipe()
    JsonLog(loud, level="debug")({"log_level": LogLevel.debug, "log_format": "x"})
    assert loud.lines()[0]["ts"] == ""


# What may be seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("5551212", "•••1212"),
        ("PAGE 5551212 now", "PAGE •••1212 now"),
        ("+1 (555) 123-4567", "•••4567"),
        ("+15551234567,5559876", "•••4567,•••9876"),
        ("call 555.123.4567.", "call •••4567."),
        ("12345", "•••45"),
        ("room 1234", "room 1234"),
        ("2026-10-30T03:15:00Z", "2026-10-30T03:15:00Z"),
        ("192.168.100.200:10443 refused", "192.168.100.200:10443 refused"),
        ("[::1]:10443", "[::1]:10443"),
        ("01mb78qn060yvfn9cpcmje2d5n", "01mb78qn060yvfn9cpcmje2d5n"),
        ("x1234567y", "x1234567y"),
        ("421 4.3.2 try later", "421 4.3.2 try later"),
        ("4 55512", "4 •••12"),
        ("", ""),
    ],
)
def test_numbers_are_masked(text: str, seen: str) -> None:
    """The last four digits stay, two of a short number; dates, addresses, ports, ids and codes stay."""
    assert redact(text) == seen


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab :,;/=\n", max_size=10), st.from_regex(r"[0-9]{7,15}", fullmatch=True))
def test_a_number_standing_alone_is_never_seen_whole(around: str, number: str) -> None:
    """Whatever punctuation surrounds it."""
    text = f"{around} {number} {around}"
    assert number not in redact(text)
    assert redact(text).count(f"•••{number[-4:]}") == 1


def conversation() -> Transcript:
    transcript = Transcript(b"a key of the site")
    transcript.hide_secret(b"hunter2-canary")
    transcript.hide_text(b"Bed 4 arrest canary")
    return transcript


def test_a_transcript_shows_the_dialogue_without_text_secret_or_number() -> None:
    """Direction, time, bytes escaped; the text by length and keyed hash, equal for equal texts."""
    transcript = conversation()
    transcript.heard(b"220 ready\r\n", BOOT)
    transcript.sent(b"LOGI ward hunter2-canary\r\n", BOOT)
    transcript.heard(b"250 ok \x1b\xff\\\t\r\n", BOOT)
    transcript.sent(b"PAGE 5551212\r\nMESS Bed 4 arrest canary\r\nSEND\r\n", BOOT)
    lines = transcript.lines()
    assert lines[0] == r"2027-01-01T00:00:00.000Z < 220 ready\r\n"
    assert lines[1] == r"2027-01-01T00:00:00.000Z > LOGI ward ‹secret›\r\n"
    assert lines[2].endswith(r"< 250 ok \x1b\xff\\\t\r\n")
    assert "canary" not in str(lines)
    assert "5551212" not in str(lines)
    found = re.search(r"MESS (‹text 19 bytes [0-9a-f]{8}›)", lines[3])
    assert found is not None
    other = Transcript(b"the key of another site")
    other.hide_text(b"Bed 4 arrest canary")
    other.sent(b"Bed 4 arrest canary", BOOT)
    assert found[1] not in other.lines()[0]
    assert "‹text 19 bytes" in other.lines()[0]


@settings(max_examples=80, deadline=None)
@given(
    before=st.binary(max_size=3000),
    cuts=st.lists(st.integers(0, 4000), max_size=6),
    heard=st.booleans(),
    after=st.binary(max_size=50),
)
def test_however_it_is_cut_nothing_hidden_is_seen(
    before: bytes, cuts: list[int], heard: bool, after: bytes
) -> None:
    """Over segment boundaries, at the end of what is kept of a long turn, in either direction."""
    transcript = conversation()
    data = before + b"hunter2-canary" + after + b"Bed 4 arrest canary"
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    for begin, end in pairwise(edges):
        (transcript.heard if heard else transcript.sent)(data[begin:end], BOOT)
    transcript.sent(b"x", BOOT)
    shown = "".join(transcript.lines())
    assert "canary" not in shown
    assert "Bed 4 arr" not in shown
    assert "hunter2-c" not in shown


def test_a_transcript_is_bounded() -> None:
    """So many turns, so many bytes of each, so many hidden texts; what was hidden stays so."""
    transcript = conversation()
    transcript.sent(b"x" * 100_000, BOOT)
    assert "bytes more" in transcript.lines()[0]
    assert len(transcript.lines()[0]) < 2200
    for n in range(1000):
        text = b"text of message no. %c%c" % (65 + n % 26, 65 + n // 26)
        transcript.hide_text(text)
        transcript.sent(text, BOOT)
        if n % 3 == 0:
            transcript.heard(b"ok", BOOT)
    assert 32 < len(transcript.lines()) <= 64
    assert len(transcript.lines(last=3)) == 3
    assert sum(map(len, transcript._texts)) <= 3 * 128
    assert "text of message" not in str(transcript.lines())
