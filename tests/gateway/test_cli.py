"""The command line, against a gateway that answers what the API's own types say it may answer."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import socketserver
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from gateway import app
from gateway.api import answers as a
from gateway.api.routes import ROUTES
from gateway.api.spool import _as_posted
from gateway.api.submitting import submission_of
from gateway.app import simulate
from gateway.cli import cli, main, place, sending
from gateway.cli.daemon import link_path, message_path
from gateway.cli.reference import commands_page
from gateway.cli.surface import moment_of
from gateway.cli.trouble import EXIT_CODES, clean
from gateway.errors import Mistake, SettingsError
from gateway.settings.types import Limits, Listen, Rate, Settings, Site
from gateway.sim.smtp import Fate, SmtpQuirks
from gateway.sim.smtp import Refusal as MailRefusal
from gateway.sim.snpp import Progress, Refusal, SnppQuirks
from gateway.sim.tap import Dialling, TapQuirks
from gateway.sim.tap import Refusal as PageRefusal
from gateway.sim.wctp import Progress as WctpProgress
from gateway.sim.wctp import Refusal as WctpRefusal
from gateway.sim.wctp import WctpQuirks

ROOT = Path(__file__).resolve().parents[2]

# ---------------------------------------------------------------- a gateway to talk to


class FakeGateway:
    """Answers on a unix socket. Fails the test if a request or an answer is not the API's."""

    def __init__(self, path: Path) -> None:
        self.script: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.heard: list[tuple[str, str, dict[str, str], Any, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.wrong: list[str] = []
        fake = self

        class Answering(BaseHTTPRequestHandler):
            def answer(self) -> None:
                status, value = fake.hear(self)
                body = value if isinstance(value, bytes) else msgspec.json.encode(value)
                if status == 0:
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if status == 503:
                    self.send_header("Retry-After", "7")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass

        self._server = Server(str(path), Answering)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def on(self, method: str, path: str, *given: Any, status: int = 200) -> None:
        """What to answer; the last answer repeats."""
        self.script[method, path] = [(status, one) for one in given]

    def hear(self, request: BaseHTTPRequestHandler) -> tuple[int, Any]:
        parts = urlsplit(request.path)
        query = dict(parse_qsl(parts.query))
        text = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.bodies.append(text)
        body = json.loads(text) if text else None
        self.heard.append((request.command, parts.path, query, body, dict(request.headers)))
        found = self.script[request.command, parts.path]
        status, value = found.pop(0) if len(found) > 1 else found[0]
        try:
            self._conform(request.command, parts.path, query, text, status, value)
        except Exception as problem:
            self.wrong.append(f"{request.command} {request.path}: {problem!r}")
        return status, value

    def _conform(
        self, method: str, path: str, query: dict[str, str], text: bytes, status: int, value: Any
    ) -> None:
        for route in ROUTES:
            if route.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path):
                break
        else:
            raise AssertionError("no such route")
        msgspec.convert(query, route.query, strict=False)
        if route.body is not None:
            msgspec.json.decode(text, type=route.body)
        if 200 <= status < 300:
            msgspec.convert(msgspec.to_builtins(value), route.answer)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a settings file, and nothing of this machine's in the way."""
    monkeypatch.chdir(tmp_path)
    for name in ("GATEWAY_SOCKET", "GATEWAY_SETTINGS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(place, "SYSTEM", tmp_path / "etc" / "gateway.yaml")
    Path("gateway.yaml").write_text("site: {name: St Anne, zone: Europe/Paris, store: sqlite:gw.db}\n")
    return tmp_path


@pytest.fixture
def gateway(here: Path) -> Iterator[FakeGateway]:
    fake = FakeGateway(here / "gw.db.sock")
    yield fake
    fake.close()
    assert fake.wrong == []


def call(*words: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, list(words), prog_name="gateway", **options)


def plain(answer: msgspec.Struct) -> Any:
    """What a program reads."""
    return json.loads(msgspec.json.encode(answer))


# ---------------------------------------------------------------- what it answers

ID = "01jdb7q5t0aaaaaaaaaaaaaaaa"
PROGRESS = a.Progress(people=1, stored=0, handed_over=1, on_device=0, acknowledged=0)


def entry(n: int, at: str, says: str, **more: Any) -> a.TimelineEntry:
    return a.TimelineEntry(n=n, at=at, what="attempt", says=says, **more)


STORY = (
    entry(1, "2026-11-21T02:15:09.120Z", "Saved on disk, from monitoring"),
    entry(2, "2026-11-21T02:15:19.140Z", "Could not connect to Spok (web) in 10 s; nothing was sent"),
    entry(
        3,
        "2026-11-21T02:16:02.700Z",
        "Spok took the page by phone. Pagers cannot report back.",
        delivery="d1",
        level="handed_over",
    ),
    entry(4, "2026-11-21T02:16:44.000Z", 'Alice Moreau answered "OK"', level="acknowledged"),
)


def submitted(**changed: Any) -> a.Submitted:
    return msgspec.structs.replace(
        a.Submitted(
            id=ID,
            ref="7K3M",
            state="open",
            outcome=None,
            level="stored",
            durability="disk",
            says="Saved. Paging Alice Moreau now.",
            message_class="critical",
            until="acknowledged",
            expires_at="2026-11-21T02:35:09Z",
            url=f"/v1/messages/{ID}",
            plan=(
                a.PlanStep(
                    at="2026-11-21T02:15:09Z",
                    to="alice",
                    devices=("pager", "mobile"),
                    why="on call for cardiology until Mon 09:00",
                ),
            ),
            warnings=(a.Note(code="text-replaced", detail="spok is not encrypted"),),
        ),
        **changed,
    )


def standing(events: int, **changed: Any) -> a.Status:
    return msgspec.structs.replace(
        a.Status(
            id=ID,
            ref="7K3M",
            state="open",
            outcome=None,
            level="handed_over",
            accepted_by=None,
            accepted_at=None,
            says="Spok has it for Alice's pager. Nobody has accepted.",
            sender="monitoring",
            to=("cardiology-oncall",),
            text="Cath lab 2: STEMI",
            message_class="critical",
            until="acknowledged",
            incident=None,
            at="2026-11-21T02:15:09Z",
            expires_at="2026-11-21T02:35:09Z",
            url=f"/v1/messages/{ID}",
            progress=PROGRESS,
            next=a.Next(at="2026-11-21T02:17:09Z", does="page bob", why="step 2 of 3"),
            deliveries=(
                a.DeliveryStanding(
                    id="d1",
                    person="alice",
                    device="pager",
                    link="spok.phone",
                    state="taken",
                    level="handed_over",
                    ceiling="handed_over",
                    tries=1,
                    connects=1,
                    doubts=0,
                    due_at=None,
                    second_copy=False,
                    code=None,
                    setback=None,
                    says="Spok has it for Alice Moreau's pager",
                ),
            ),
            timeline=STORY[:events],
        ),
        **changed,
    )


ACCEPTED = standing(
    4,
    state="ended",
    outcome="confirmed",
    level="acknowledged",
    accepted_by="alice",
    says='Alice Moreau has it (SMS "OK", 95 s).',
    next=None,
)


def link(name: str = "spok.web", **changed: Any) -> a.Link:
    return msgspec.structs.replace(
        a.Link(
            link=name,
            adapter="snpp",
            carrier=name.partition(".")[0],
            path="internet",
            ceiling="read",
            mode="open",
            by=None,
            why=None,
            state="working",
            breaker=None,
            sessions=1,
            waiting={"normal": 2},
            oldest_at=None,
            last_taken_at="2026-11-21T02:15:09Z",
            last_failure=None,
            says="Works.",
        ),
        **changed,
    )


def problem(status: int, code: str, detail: str, *errors: a.ProblemFault, retry: bool = False) -> a.Problem:
    return a.Problem(
        type=f"/problems/{code}",
        title=code,
        status=status,
        code=code,
        detail=detail,
        errors=errors,
        retry=retry,
        stored=False,
        request_id="r-1",
    )


# ---------------------------------------------------------------- the surface


def every_command() -> Iterator[tuple[str, click.Command]]:
    def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            for name, child in command.commands.items():
                yield from walk(f"{path} {name}", child)

    return walk("gateway", cli)


COMMANDS = dict(every_command())


def examples_of(command: click.Command) -> list[str]:
    _, _, text = (command.help or "").partition("Examples:\n")
    return [line.strip() for line in text.splitlines() if line.strip().startswith("gateway ")]


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_helps_with_an_example_of_itself(path: str) -> None:
    """``--help`` of every command ends with lines that can be copied."""
    result = call(*path.split()[1:], "--help")
    assert result.exit_code == 0
    examples = examples_of(COMMANDS[path])
    assert examples and all(example.startswith(path.split()[0]) for example in examples)
    if path != "gateway":
        assert any(f"{path} " in f"{example} " for example in examples)
    assert "Examples:" in result.stdout


@pytest.mark.parametrize("path", COMMANDS)
def test_every_example_can_be_parsed(path: str) -> None:
    """No example in the help has an option or a word that its command does not know."""
    for example in examples_of(COMMANDS[path]):
        for line in re.split(r"&&", example):
            line = re.split(r"[<>|]", line)[0]
            words = shlex.split(line)[1:]
            command: click.Command = cli
            context = click.Context(cli)
            while isinstance(command, click.Group) and words:
                command = command.commands[words.pop(0)]
            context = command.make_context("x", list(words))
            assert not context.args


@pytest.mark.parametrize(("path", "command"), COMMANDS.items())
def test_every_command_prints_json_for_programs(path: str, command: click.Command) -> None:
    """``--json`` is there for all commands that do something."""
    if not isinstance(command, click.Group):
        assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize(("path", "command"), COMMANDS.items())
def test_every_option_says_what_it_is_for(path: str, command: click.Command) -> None:
    """An option without a description does not pass."""
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []


def test_the_reference_page_is_what_the_program_says() -> None:
    """``docs/reference/commands.md`` is printed from the commands: python -m gateway.cli.reference."""
    assert (ROOT / "docs/reference/commands.md").read_text() == commands_page()


def test_words_of_the_house_are_not_shown_to_people() -> None:
    """USERS' rule: people read pager, page, way out and sender, and not our words for them."""
    inner = re.compile(r"\b(deliver\w*|leg|lane|lease|breaker|endpoint|client)\b", re.IGNORECASE)
    for path, command in COMMANDS.items():
        assert inner.findall((command.help or "").replace("CLIENT", "")) == [], path


def test_exit_codes_are_listed_once_each() -> None:
    """Programs rely on them; the reference page lists them all."""
    codes = [code for code, _ in EXIT_CODES]
    assert codes == sorted(set(codes))
    assert codes == [0, 2, 3, 4, 5, 69, 70, 74, 75, 78]


def test_nothing_a_carrier_says_moves_the_cursor() -> None:
    """Escape sequences in what others wrote are shown as text."""
    assert clean("a\x1b[2Jb\rc\x9b1m") == "a\\x1b[2Jb\\rc\\x9b1m"
    assert clean("Größe\n✓") == "Größe\n✓"


# ---------------------------------------------------------------- where the gateway is


def test_without_any_gateway_it_says_how_to_begin(here: Path) -> None:
    """69, and the commands that help."""
    Path("gateway.yaml").unlink()
    result = call("stuck")
    assert result.exit_code == 69
    assert "gateway init" in result.stderr and "gateway demo" in result.stderr


def test_nothing_runs_says_how_to_start_it(here: Path) -> None:
    """69, and the command that starts this very gateway."""
    Path("gateway.yaml").rename("other.yaml")
    result = call("stuck", "--settings", "other.yaml")
    assert result.exit_code == 69
    assert result.stderr.splitlines() == [
        "gateway: No gateway runs here (nobody listens at gw.db.sock).",
        "  → Start it with: gateway run --settings other.yaml",
    ]


def test_trouble_as_json_is_one_object_on_standard_output(here: Path) -> None:
    """A program reads what people read, with a stable word for it."""
    result = call("stuck", "--json")
    assert result.exit_code == 69
    assert json.loads(result.stdout)["code"] == "nothing-runs"
    assert result.stderr == ""


def test_a_stale_socket_counts_as_nothing_runs(gateway: FakeGateway) -> None:
    """The file that a killed gateway leaves behind deceives nobody."""
    gateway.close()
    result = call("status")
    assert result.exit_code == 69
    assert "No gateway runs here" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("site: {zone: [", "is not YAML"),
        ("- a\n- b\n", "No gateway runs here"),
        ("site: {store: [1, 2]}", "No gateway runs here"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_a_damaged_settings_file_is_no_traceback(here: Path, text: str, said: str) -> None:
    """Whatever stands in it, one sentence and what to do."""
    Path("gateway.yaml").write_text(text)
    result = call("stuck")
    assert result.exit_code in (69, 78)
    assert said in result.stderr and "→" in result.stderr


def test_a_socket_path_that_is_too_long_is_explained(here: Path) -> None:
    """Systems cut them near 100 bytes; the remedy names the setting."""
    result = call("stuck", "--socket", "x" * 200)
    assert result.exit_code == 69
    assert "site.control" in result.stderr


def test_the_demo_is_found_where_nothing_else_is(here: Path) -> None:
    """In the demo's folder no option is needed; the folder's own settings win over it."""
    assert place.settings_file() == Path("gateway.yaml")
    Path(".demo").mkdir()
    Path(".demo/gateway.yaml").write_text("site: {store: sqlite:gateway.db}\n")
    assert place.settings_file() == Path("gateway.yaml")
    Path("gateway.yaml").unlink()
    found = place.find(None, None)
    assert (found.demo, found.socket, found.start) == (
        True,
        Path(".demo/gateway.db.sock"),
        "gateway demo",
    )


def test_a_demo_that_has_ended_does_not_hide_the_systems_gateway(here: Path) -> None:
    """A page must not go to a leftover folder while the real gateway runs."""
    Path("gateway.yaml").unlink()
    Path(".demo").mkdir()
    Path(".demo/gateway.yaml").write_text("site: {store: sqlite:gateway.db}\n")
    place.SYSTEM.parent.mkdir()
    place.SYSTEM.write_text("site: {}\n")
    assert place.settings_file() == place.SYSTEM
    fake = FakeGateway(here / ".demo" / "gateway.db.sock")
    assert place.settings_file() == place.DEMO
    fake.close()


@pytest.mark.parametrize(
    "site", ["{}", "{store: sqlite:x.db}", "{store: sqlite:/a/b.db}", "{control: run/c}", "{control: /c}"]
)
def test_the_socket_is_where_the_gateway_puts_it(here: Path, site: str) -> None:
    """The fast look at the file finds what the gateway itself would."""
    Path("gateway.yaml").write_text(f"site: {site}\n")
    read = place.read(Path("gateway.yaml"))
    settings = Settings(
        site=msgspec.yaml.decode(site, type=Site),
        listen=Listen(),
        clients={},
        classes={},
        texts={},
        carriers={},
        plans={},
        people={},
        groups={},
    )
    assert read.socket == app.control_socket(settings, Path("gateway.yaml"))


# ---------------------------------------------------------------- sending


def test_send_shows_how_far_it_gets(gateway: FakeGateway) -> None:
    """A line for all that happens; the ladder climbs by what was heard, and by nothing else."""
    gateway.on("POST", "/v1/messages", submitted(), status=202)
    gateway.on("GET", f"/v1/messages/{ID}", standing(1, level="stored"), standing(2), standing(3), ACCEPTED)
    result = call("send", "cardiology-oncall", "Cath lab 2: STEMI", "--class", "critical")
    assert result.exit_code == 0
    assert result.stdout == (
        " 7K3M critical  Saved. Paging Alice Moreau now.\n"
        " ! spok is not encrypted\n"
        " 03:15:09  saved                               Saved on disk, from monitoring\n"
        " 03:15:19  saved                               "
        "Could not connect to Spok (web) in 10 s; nothing was sent\n"
        " 03:16:02  saved ▸ carrier has it              "
        "Spok took the page by phone. Pagers cannot report back.\n"
        ' 03:16:44  saved ▸ carrier has it ▸ accepted   Alice Moreau answered "OK"\n'
        ' ✓ Alice Moreau has it (SMS "OK", 95 s).\n'
    )
    assert result.stderr == ""
    _, _, _, body, head = gateway.heard[0]
    assert body == {"to": "cardiology-oncall", "text": "Cath lab 2: STEMI", "class": "critical"}
    assert head["Idempotency-Key"].startswith('"cli-')


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("confirmed", 0), ("unanswered", 3), ("failed", 4), ("expired", 4), ("cancelled", 4)],
)
def test_the_exit_code_of_send_is_how_it_ended(gateway: FakeGateway, outcome: str, code: int) -> None:
    """For scripts: 0 reached, 3 nobody accepted, 4 not sent."""
    gateway.on("POST", "/v1/messages", submitted(), status=202)
    gateway.on("GET", f"/v1/messages/{ID}", standing(3, state="ended", outcome=outcome))
    result = call("send", "alice", "hello", "--json")
    assert result.exit_code == code
    assert json.loads(result.stdout)["outcome"] == outcome


def test_send_says_loudly_that_nobody_has_accepted(gateway: FakeGateway) -> None:
    """The last line has the sentence, and the command that tells why."""
    ended = standing(3, state="ended", outcome="unanswered", says="NOBODY HAS ACCEPTED. 3 were paged.")
    gateway.on("POST", "/v1/messages", submitted(), status=202)
    gateway.on("GET", f"/v1/messages/{ID}", ended)
    result = call("send", "alice", "hello")
    assert result.stdout.splitlines()[-2:] == [
        " ! NOBODY HAS ACCEPTED. 3 were paged.",
        "   → gateway why 7K3M",
    ]


def test_what_was_asked_reaches_the_api_under_its_names(gateway: FakeGateway) -> None:
    """Each option is a field of the submit call; the key is its header."""
    gateway.on("POST", "/v1/messages", submitted(ref=None), status=202)
    options = "--class urgent --until handed_over --expires 20m --callback 4411 --incident INC1 --key k1"
    result = call("send", "alice", "-", *options.split(), "--no-wait", "--json", input="from a pipe\n")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["id"] == ID
    assert gateway.heard[0][3] == {
        "to": "alice",
        "text": "from a pipe",
        "class": "urgent",
        "until": "handed_over",
        "expires_in": "20m",
        "callback": "4411",
        "incident": "INC1",
    }
    assert gateway.heard[0][4]["Idempotency-Key"] == '"k1"'


def test_what_a_carrier_took_is_a_rung_of_its_own(gateway: FakeGateway) -> None:
    """Also where the entry that says so names no level; rungs that were not heard are not shown."""
    story = (
        entry(1, "2026-11-21T02:15:09.120Z", "Saved"),
        entry(2, "2026-11-21T02:15:10.000Z", "Spok took it", delivery="d1", outcome="taken"),
        entry(3, "2026-11-21T02:15:20.000Z", "It was shown", delivery="d1", level="on_device"),
        entry(4, "2026-11-21T02:15:21.000Z", "A late word", delivery="d1", level="in_progress"),
    )
    gateway.on("POST", "/v1/messages", submitted(warnings=()), status=202)
    ended = msgspec.structs.replace(ACCEPTED, accepted_by=None, level="on_device", timeline=story)
    gateway.on("GET", f"/v1/messages/{ID}", ended)
    lines = call("send", "alice", "x").stdout.splitlines()[1:-1]
    assert [re.split(r"\s{2,}", line)[1] for line in lines] == [
        "saved",
        "saved ▸ carrier has it",
        "saved ▸ carrier has it ▸ on the pager",
        "saved ▸ carrier has it ▸ on the pager",
    ]


def test_a_dry_run_shows_the_plan_and_stores_nothing(gateway: FakeGateway) -> None:
    """Who, with what, when and why."""
    gateway.on("POST", "/v1/messages", submitted())
    result = call("send", "cardiology-oncall", "test", "--dry-run")
    assert result.exit_code == 0
    assert gateway.heard[0][2] == {"dry_run": "true"}
    assert result.stdout == (
        " Nothing was stored or sent. It would go so:\n"
        " 03:15:09  alice: pager + mobile  on call for cardiology until Mon 09:00\n"
        " ! spok is not encrypted\n"
    )


def test_a_refusal_says_what_to_write_instead(gateway: FakeGateway) -> None:
    """5; the nearest names; that nothing was stored."""
    fault = a.ProblemFault(
        pointer="#/to/0",
        code="unknown-target",
        detail="No such target.",
        given="x",
        try_=("cardiology-oncall",),
    )
    gateway.on(
        "POST",
        "/v1/messages",
        problem(422, "unknown-target", "'cardiolgy-oncall' is not a target.", fault),
        status=422,
    )
    result = call("send", "cardiolgy-oncall", "x")
    assert result.exit_code == 5
    assert result.stderr.splitlines() == [
        "gateway: 'cardiolgy-oncall' is not a target.",
        "  TARGET: No such target.",
        "  TARGET: did you mean cardiology-oncall?",
        "  → gateway check lists all people; groups stand under `groups` in the settings.",
    ]
    as_json = call("send", "cardiolgy-oncall", "x", "--json")
    assert as_json.exit_code == 5
    assert json.loads(as_json.stdout)["errors"][0]["try"] == ["cardiology-oncall"]


def test_the_gateway_may_be_away_while_we_watch(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart does not end the watching: the page is saved, and we look again."""
    monkeypatch.setattr(sending.time, "sleep", lambda _: None)
    gateway.on("POST", "/v1/messages", submitted(), status=202)
    gateway.on("GET", f"/v1/messages/{ID}", standing(3))
    gateway.script["GET", f"/v1/messages/{ID}"] += [(0, b""), (200, ACCEPTED)]
    result = call("send", "alice", "hello")
    assert result.exit_code == 0
    assert "Alice Moreau has it" in result.stdout


def test_a_gateway_that_stays_away_leaves_a_saved_page(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """75: saved, end unknown; and how to look later."""
    monkeypatch.setattr(sending, "PATIENCE", -1.0)
    gateway.on("POST", "/v1/messages", submitted(), status=202)
    gateway.on("GET", f"/v1/messages/{ID}", b"", status=0)
    result = call("send", "alice", "hello")
    assert result.exit_code == 75
    assert "The page is saved" in result.stderr and f"gateway why {ID}" in result.stderr


# ---------------------------------------------------------------- the spool directory


def spooled(here: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((here / "gw.db.spool").glob("*"))]


def test_without_a_gateway_send_keeps_the_page(here: Path) -> None:
    """75, one whole file, the same key that a submit would have had; said loudly."""
    result = call("send", "alice", "Größe", "--class", "urgent", "--key", "k1")
    assert result.exit_code == 75
    (kept,) = spooled(here)
    datetime.fromisoformat(kept.pop("spooled_at"))
    assert kept == {"to": "alice", "text": "Größe", "class": "urgent", "idempotency_key": "k1"}
    assert result.stderr.startswith("NOT SENT YET. No gateway runs here")
    assert "Größe" not in result.output
    assert (here / "gw.db.spool").stat().st_mode & 0o777 == 0o700
    assert [p.stat().st_mode & 0o777 for p in (here / "gw.db.spool").iterdir()] == [0o600]


def test_a_spooled_page_is_the_request_that_may_have_been_stored(gateway: FakeGateway, here: Path) -> None:
    """Byte for byte: a page that was stored before the gateway hung up is known again, and not paged twice."""
    gateway.on("POST", "/v1/messages", b"", status=0)
    call("send", "alice", 'Größe "x" \\ ☃', "--class", "urgent", "--expires", "20m")
    (file,) = (here / "gw.db.spool").iterdir()
    taken, _ = _as_posted(file.read_bytes())
    assert taken.body == gateway.bodies[0]
    assert submission_of(taken, Limits(), dry_run=False)[0].content.text == 'Größe "x" \\ ☃'


def test_words_that_are_no_text_are_refused(here: Path) -> None:
    """Bytes of another encoding on the command line: exit code 2, nothing kept."""
    result = call("send", "alice", "caf\udce9")
    assert result.exit_code == 2 and "UTF-8" in result.stderr
    assert call("send", "alice", "-", input=b"caf\xe9").exit_code == 2
    assert not (here / "gw.db.spool").exists()


def test_each_spooled_page_has_a_key_of_its_own(here: Path) -> None:
    """So that taking a file in twice is one message, and two files are two."""
    call("send", "alice", "x")
    call("send", "alice", "x")
    keys = [kept["idempotency_key"] for kept in spooled(here)]
    assert len(set(keys)) == 2


def test_a_gateway_that_hangs_up_leaves_the_page_with_its_key(gateway: FakeGateway, here: Path) -> None:
    """It may have been stored: the same key in the spool file keeps it from being paged twice."""
    gateway.on("POST", "/v1/messages", b"", status=0)
    result = call("send", "alice", "x", "--json")
    assert result.exit_code == 75
    (kept,) = spooled(here)
    assert f'"{kept["idempotency_key"]}"' == gateway.heard[0][4]["Idempotency-Key"]
    assert json.loads(result.stdout)["idempotency_key"] == kept["idempotency_key"]


def test_a_gateway_that_is_stopping_leaves_the_page_in_the_spool(gateway: FakeGateway, here: Path) -> None:
    """503 is no refusal of the page."""
    gateway.on("POST", "/v1/messages", problem(503, "draining", "Stopping.", retry=True), status=503)
    assert call("send", "alice", "x").exit_code == 75
    assert len(spooled(here)) == 1


def test_a_dry_run_is_never_kept(here: Path) -> None:
    """69: there is nobody to ask."""
    assert call("send", "alice", "x", "--dry-run").exit_code == 69
    assert not (here / "gw.db.spool").exists()


def test_a_page_that_cannot_be_kept_is_said_so(here: Path) -> None:
    """74, in capitals: the caller must phone."""
    (here / "gw.db.spool").write_text("in the way")
    result = call("send", "alice", "x")
    assert result.exit_code == 74
    assert "NOT kept" in result.stderr


def test_a_spool_file_is_whole_or_not_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk fails, no half of a page stays behind."""

    def failing(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (here / "spool").mkdir()
    monkeypatch.setattr(sending.os, "fsync", failing)
    with pytest.raises(OSError):
        sending.write_spool(here / "spool", {"to": "alice"}, "n")
    assert list((here / "spool").iterdir()) == []


# ---------------------------------------------------------------- looking


def test_stuck_is_the_picture_at_three_in_the_morning(gateway: FakeGateway) -> None:
    """What needs you, the commands that help, and what waits by itself."""
    picture = a.Stuck(
        at="2026-11-21T02:14:20Z",
        zone="Europe/Paris",
        says="3 things need you",
        needs_you=(
            a.StuckItem(
                what="7K3M",
                kind="message",
                message_class="critical",
                since="2026-11-21T02:08:10Z",
                says="Nobody has accepted for 6 min 10 s.",
                commands=("gateway ack 7K3M --for PERSON", "gateway why 7K3M"),
            ),
            a.StuckItem(
                what="spok.phone",
                kind="link",
                message_class=None,
                since=None,
                says="No dial tone since 02:58.",
                commands=("gateway probe spok.phone",),
            ),
            a.StuckItem(
                what="modem-1",
                kind="line",
                message_class=None,
                since="2026-11-21T01:58:00Z",
                times=4,
                says="No dial tone since 02:58 (4 calls).",
                does="Its calls go by modem-2.",
                advice="check the telephone cable",
                commands=("gateway probe modem-1",),
            ),
        ),
        waiting=(
            a.WaitingItem(count=3, says="3 normal pages wait for Mail."),
            a.WaitingItem(count=1, says="1 bulk page waits for SMS."),
        ),
    )
    gateway.on("GET", "/v1/stuck", picture)
    result = call("stuck")
    assert result.exit_code == 0
    assert result.stdout == (
        " 3 things need you" + " " * 56 + "03:14:20 Europe/Paris\n"
        " ! 7K3M critical       Nobody has accepted for 6 min 10 s.                            "
        "→ gateway ack 7K3M --for PERSON · gateway why 7K3M\n"
        " ! way out spok.phone  No dial tone since 02:58.                                      "
        "→ gateway probe spok.phone\n"
        " ! line modem-1        No dial tone since 02:58 (4 calls).  Its calls go by modem-2.  "
        "→ check the telephone cable; gateway probe modem-1\n"
        " Waiting, not stuck: 3 normal pages wait for Mail. · 1 bulk page waits for SMS.\n"
    )
    assert json.loads(call("stuck", "--json").stdout) == plain(picture)


def test_a_gateway_before_its_restart_still_answers(gateway: FakeGateway) -> None:
    """The new commands read what the program of before the upgrade says, which has fewer fields."""
    item = {"what": "a.b", "kind": "link", "class": None, "since": None, "says": "Off.", "commands": []}
    stuck = {
        "at": "2026-11-21T02:14:20Z",
        "zone": "UTC",
        "says": "1 thing",
        "needs_you": [item],
        "waiting": [],
    }
    gateway.on("GET", "/v1/stuck", stuck)
    assert " ! way out a.b  Off.\n" in call("stuck").stdout
    gateway.on("GET", "/v1/links", {"links": [plain(link())]})
    assert "spok.web" in call("carriers", "list").stdout


def test_nothing_stuck_is_one_line(gateway: FakeGateway) -> None:
    """A quiet night."""
    gateway.on(
        "GET",
        "/v1/stuck",
        a.Stuck(
            at="2026-11-21T02:14:20Z", zone="Europe/Paris", says="Nothing needs you", needs_you=(), waiting=()
        ),
    )
    assert call("stuck").stdout.split() == ["Nothing", "needs", "you", "03:14:20", "Europe/Paris"]


def test_why_tells_the_story(gateway: FakeGateway) -> None:
    """By the site's clock, with the day where it changes, then how it stands."""
    story = a.Why(
        id=ID,
        ref="7K3M",
        story=(
            a.StoryLine(at="2026-11-20T22:59:58Z", says="Saved on disk, from monitoring."),
            a.StoryLine(at="2026-11-20T23:00:09Z", says="Could not connect to Spok (web)."),
        ),
        now=("Nobody has accepted.", "Bob is paged at 00:02."),
    )
    gateway.on("GET", "/v1/messages/7K3M/why", story)
    assert call("why", "#7K3M").stdout == (
        " Friday 20 November 2026, Europe/Paris\n"
        " 23:59:58  Saved on disk, from monitoring.\n"
        " Saturday 21 November 2026, Europe/Paris\n"
        " 00:00:09  Could not connect to Spok (web).\n"
        "\n"
        " 7K3M  Nobody has accepted.\n"
        "       Bob is paged at 00:02.\n"
    )


def test_status_shows_whether_it_takes_pages(gateway: FakeGateway) -> None:
    """And what is wrong although it does."""
    health = a.HealthAnswer(
        ready=True,
        reasons=("spok.web is switched off",),
        version="0.1.0",
        generation=3,
        durability="disk",
        started_at="2026-11-20T22:59:58Z",
        up_seconds=60,
        backlog=1,
    )
    off = link(state="suspended", mode="suspended", last_taken_at=None, says="Switched off by Sam.")
    gateway.on("GET", "/v1/health", health)
    gateway.on("GET", "/v1/links", a.Links(links=(off, link("sms.a", waiting={}))))
    assert call("status").stdout.splitlines() == [
        " Takes pages  version 0.1.0, settings 3",
        " ! spok.web is switched off",
        " Runs since Fri 20 Nov 23:59:58 · 1 page not finished",
        "    WAY OUT                 WAITING  LAST PAGE TAKEN",
        " !  spok.web  Switched off  2        -                    Switched off by Sam.",
        "    sms.a     Working       0        Sat 21 Nov 03:15:09  Works.",
    ]
    assert json.loads(call("status", "--json").stdout)["generation"] == 3


def test_lines_and_a_dead_path_stand_with_the_ways_out(gateway: FakeGateway) -> None:
    """In the list of the ways out; the state in words, then the sentence."""
    failing = a.Line(line="modem-1", pool="modems", state="failing", times=4, says="No dial tone.")
    ready = a.Line(line="modem-2", pool="modems", state="ready", says="Nothing is wrong with it.")
    down = a.DownPath(path="internet", since="2026-11-21T01:58:00Z", says="The Internet is down")
    gateway.on("GET", "/v1/links", a.Links(links=(link(),), lines=(failing, ready), down=(down,)))
    assert call("carriers", "list").stdout.splitlines() == [
        " ! The Internet is down",
        "    WAY OUT            WAITING  LAST PAGE TAKEN",
        "    spok.web  Working  2        Sat 21 Nov 03:15:09  Works.",
        "    LINE              POOL",
        " !  modem-1  Failing  modems  No dial tone.",
        "    modem-2  Ready    modems  Nothing is wrong with it.",
    ]


def test_explain_asks_the_gateway_for_a_moment(gateway: FakeGateway) -> None:
    """The time is the site's; who, on what, by which way, why."""
    leg = a.ExplainedLeg(
        at="2026-11-22T02:00:00Z",
        person="alice",
        device="pager",
        address="5551212",
        link="spok.web",
        why="first in the plan for this class",
        says="…",
    )
    gateway.on(
        "GET",
        "/v1/explain",
        a.Explained(target="alice", message_class="urgent", at="2026-11-22T02:00:00Z", plan=(leg,)),
    )
    result = call("explain", "alice", "--class", "urgent", "--at", "2026-11-22 03:00")
    assert gateway.heard[0][2] == {"target": "alice", "class": "urgent", "at": "2026-11-22T02:00:00Z"}
    assert result.stdout.splitlines() == [
        " alice urgent, Sun 22 Nov 03:00:00 Europe/Paris",
        " AT        WHO    ON     BY        WHY",
        " 03:00:00  alice  pager  spok.web  first in the plan for this class",
    ]


PARIS = ZoneInfo("Europe/Paris")
NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)  # Saturday, 12:00 in Paris


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("13:00", "2026-11-21T13:00:00+01:00"),
        ("03:00", "2026-11-22T03:00:00+01:00"),
        ("Sun 03:00", "2026-11-22T03:00:00+01:00"),
        ("sat 11:59", "2026-11-28T11:59:00+01:00"),
        ("Saturday 12:00", "2026-11-21T12:00:00+01:00"),
        ("2026-11-22 03:00", "2026-11-22T03:00:00+01:00"),
        ("2026-07-01T03:00", "2026-07-01T03:00:00+02:00"),
        ("2026-11-22T02:00:00Z", "2026-11-22T02:00:00+00:00"),
    ],
)
def test_times_are_written_as_people_say_them(text: str, meant: str) -> None:
    """Without a date: the next such time, on the site's clock."""
    assert moment_of(text, PARIS, NOON).isoformat() == meant


@pytest.mark.parametrize("text", ["25:00", "soon", "Xyz 03:00", "", "2026-13-01", "9999-99-99T00:00"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    """Exit code 2, and four ways to write it."""
    with pytest.raises(click.BadParameter, match="Sun 03:00"):
        moment_of(text, PARIS, NOON)


# ---------------------------------------------------------------- intervening


def test_ack_names_who_has_it_and_who_wrote_it_down(gateway: FakeGateway) -> None:
    """The person is asked for, never assumed."""
    done = a.Done(changed=1, says="Carol Diaz has it. Nobody else is paged.", message=ACCEPTED)
    gateway.on("POST", "/v1/messages/7k3m/acknowledge", done)
    result = call("ack", "7k3m", "--for", "carol", "--note", "phoned back")
    assert result.exit_code == 0
    body = gateway.heard[0][3]
    assert (body["by"], body["note"]) == ("carol", "phoned back") and body["recorded_by"]
    assert result.stdout.startswith(" 7K3M  Carol Diaz has it. Nobody else is paged.\n")
    missing = call("ack", "7K3M")
    assert missing.exit_code == 2 and "--for" in missing.stderr


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("queue", "cancel", "7K3M", "--why", "false alarm"), "cancel", {"why": "false alarm"}),
        (("queue", "retry", "7K3M"), "retry", {}),
        (("queue", "pause", "7K3M"), "pause", {}),
        (("queue", "continue", "7K3M"), "continue", {}),
        (("queue", "decide", "7K3M", "--again"), "decide", {"again": True}),
        (("queue", "decide", "7K3M", "--leave"), "decide", {"again": False}),
    ],
)
def test_orders_about_a_page(gateway: FakeGateway, words: tuple[str, ...], path: str, body: object) -> None:
    """Each is one call, and says what it did."""
    done = a.Done(changed=1, says="1 copy.", message=standing(3))
    gateway.on("POST", f"/v1/messages/7K3M/{path}", done)
    result = call(*words)
    assert result.exit_code == 0
    assert gateway.heard[0][3] == body
    assert "7K3M  1 copy." in result.stdout
    assert json.loads(call(*words, "--json").stdout) == plain(done)


def test_a_decision_must_be_said(gateway: FakeGateway) -> None:
    """Neither sending twice nor leaving it is a default."""
    result = call("queue", "decide", "7K3M")
    assert result.exit_code == 2 and "--leave" in result.stderr


def test_the_queue_is_a_table_in_peoples_words(gateway: FakeGateway) -> None:
    """Newest first, and how to see older ones."""
    fields = {name: getattr(ACCEPTED, name) for name in a.Standing.__struct_fields__}
    one = a.Standing(**fields)
    two = msgspec.structs.replace(
        one, ref=None, outcome="unanswered", accepted_by=None, says="NOBODY HAS ACCEPTED."
    )
    gateway.on("GET", "/v1/messages", a.Messages(messages=(one, two), next=ID))
    result = call("queue", "list", "--state", "needs-you", "--limit", "2")
    assert gateway.heard[0][2] == {"state": "needs_you", "limit": "2"}
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["REF", "CLASS", "SINCE", "TO", "FROM", "STANDS"]
    assert "alice has it" in lines[1] and lines[1].startswith(" 7K3M ")
    assert "NOBODY HAS ACCEPTED" in lines[2] and lines[2].startswith(f" {ID} ")
    assert lines[3] == f" Older ones: gateway queue list --state needs-you --before {ID}"
    gateway.on("GET", "/v1/messages", a.Messages(messages=(), next=None))
    assert call("queue", "list").stdout == " Nothing is under way.\n"


def test_one_page_is_shown_with_each_copy(gateway: FakeGateway) -> None:
    """Text, for whom, from whom, the copies, what happened."""
    gateway.on("GET", "/v1/messages/7K3M", standing(2))
    lines = call("queue", "show", "7K3M").stdout.splitlines()
    assert lines[:6] == [
        " 7K3M critical  Spok has it for Alice's pager. Nobody has accepted.",
        " Text   Cath lab 2: STEMI",
        " To     cardiology-oncall",
        " From   monitoring, Sat 21 Nov 03:15:09 Europe/Paris",
        " Until  Sat 21 Nov 03:35:09, then it is too late",
        " Next   03:17:09 page bob (step 2 of 3)",
    ]
    assert any("Carrier has it" in line and "spok.phone" in line for line in lines)


def test_a_carrier_is_all_of_its_ways(gateway: FakeGateway) -> None:
    """``suspend spok`` switches each of its links off; ``spok.web`` only that one."""
    gateway.on("GET", "/v1/links", a.Links(links=(link("spok.web"), link("spok.phone"), link("sms.a"))))
    for name in ("spok.web", "spok.phone"):
        gateway.on("POST", f"/v1/links/{name}/suspend", link(name, says="Switched off by root."))
    result = call("carriers", "suspend", "spok", "--why", "maintenance")
    assert result.exit_code == 0
    posts = [(path, body) for method, path, _, body, _ in gateway.heard if method == "POST"]
    assert posts == [
        ("/v1/links/spok.web/suspend", {"why": "maintenance"}),
        ("/v1/links/spok.phone/suspend", {"why": "maintenance"}),
    ]
    assert result.stdout.count("Switched off by root.") == 2
    unknown = call("carriers", "suspend", "spokk")
    assert unknown.exit_code == 5 and "There are: spok, sms." in unknown.stderr


@pytest.mark.parametrize("verb", ["resume", "drain"])
def test_ways_are_switched_by_name(gateway: FakeGateway, verb: str) -> None:
    """One call, the answer in a sentence."""
    gateway.on("POST", f"/v1/links/spok.web/{verb}", link(says="Works."))
    assert call("carriers", verb, "spok.web").stdout == " spok.web  Works.\n"
    gateway.on("GET", "/v1/links", a.Links(links=(link(),)))
    assert "spok.web" in call("carriers", "list").stdout


def test_an_unknown_way_names_the_command_that_lists_them(gateway: FakeGateway) -> None:
    """404 becomes a sentence with a remedy."""
    gateway.on(
        "POST", "/v1/links/spok.fax/drain", problem(404, "unknown-link", "No link spok.fax."), status=404
    )
    result = call("carriers", "drain", "spok.fax")
    assert result.exit_code == 5 and "gateway carriers list" in result.stderr


def test_probe_fails_if_the_far_end_is_not_reached(gateway: FakeGateway) -> None:
    """4, so that a script can watch a carrier."""
    found = a.Probed(link="spok.web", reached=True, says="greets", capabilities={"help": "PAGE"})
    gateway.on("POST", "/v1/links/spok.web/probe", found)
    good = call("probe", "spok.web")
    assert (good.exit_code, good.stdout) == (0, " ✓ spok.web  greets\n     help: PAGE\n")
    gateway.on("POST", "/v1/links/spok.web/probe", msgspec.structs.replace(found, reached=False))
    assert call("probe", "spok.web").exit_code == 4


def test_probe_of_a_modem_line(gateway: FakeGateway) -> None:
    """A name that is no carrier's may be a line's."""
    gateway.on("GET", "/v1/links", a.Links(links=()))
    found = a.Probed(link="modem-1", reached=True, says="works", capabilities={"dial tone": "yes"})
    gateway.on("POST", "/v1/links/modem-1/probe", found)
    good = call("probe", "modem-1")
    assert (good.exit_code, good.stdout) == (0, " ✓ modem-1  works\n     dial tone: yes\n")


def test_reload_lists_the_mistakes_and_keeps_what_was(gateway: FakeGateway) -> None:
    """78 with every line of the file that is wrong."""
    gateway.on(
        "POST", "/v1/reload", a.Reloaded(generation=2, warnings=("w",), says="Settings 2 are in effect.")
    )
    assert call("reload").stdout == " ! w\n Settings 2 are in effect.\n"
    fault = a.ProblemFault(
        pointer="site.zone", code="settings-invalid", detail="g.yaml:1:2: site.zone: no such zone.", line=1
    )
    gateway.on("POST", "/v1/reload", problem(422, "settings-invalid", "1 mistake.", fault), status=422)
    result = call("reload")
    assert result.exit_code == 78
    assert "  g.yaml:1:2: site.zone: no such zone." in result.stderr.splitlines()


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH", b"[1]", b"{", b""])
def test_something_else_at_the_socket_is_no_traceback(gateway: FakeGateway, answer: bytes) -> None:
    """Whatever answers, a sentence."""
    gateway.on("POST", "/v1/reload", answer, status=204 if not answer else 299)
    gateway._conform = lambda *_: None  # type: ignore[method-assign]
    result = call("reload")
    assert result.exit_code == 69 and "→" in result.stderr


# ---------------------------------------------------------------- settings


def test_check_lists_every_mistake(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """78; file, line and column, what is wrong, what to write instead."""
    mistakes = tuple(
        Mistake(file="gateway.yaml", line=n, column=3, path="site.zone", what="No zone.", remedy="Write UTC.")
        for n in (1, 2)
    )

    def load(_: Path, **__: Any) -> Any:
        raise SettingsError(mistakes)

    monkeypatch.setattr(app, "load", load)
    monkeypatch.setattr(app, "run", load)
    result = call("check")
    assert result.exit_code == 78
    assert result.stderr.splitlines() == [
        "gateway: gateway.yaml has 2 mistakes.",
        "  gateway.yaml:1:3: site.zone: No zone. Write UTC.",
        "  gateway.yaml:2:3: site.zone: No zone. Write UTC.",
        "  → Correct them; gateway check gateway.yaml looks again.",
    ]
    as_json = call("check", "--json")
    assert as_json.exit_code == 78
    assert [m["line"] for m in json.loads(as_json.stdout)["mistakes"]] == [1, 2]
    assert call("run").exit_code == 78


def test_run_ends_with_the_code_of_the_gateway(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says when its doors are open."""

    def run(path: Path, *, announce: Callable[[str], None], adopt_older: bool) -> int:
        announce(f"up with {path}")
        return 75

    monkeypatch.setattr(app, "run", run)
    result = call("run")
    assert (result.exit_code, result.stdout) == (75, "up with gateway.yaml\n")
    Path("gateway.yaml").unlink()
    missing = call("run")
    assert missing.exit_code == 78 and "gateway init" in missing.stderr


# ---------------------------------------------------------------- beginning


def test_a_token_is_256_bit_and_kept_as_its_hash(here: Path) -> None:
    """Printed once; the line to paste has the hash of the whole token."""
    made = json.loads(call("token", "new", "monitoring", "--json").stdout)
    assert re.fullmatch(r"gwt_[A-Za-z0-9_-]{43}", made["token"])
    assert made["token_sha256"] == hashlib.sha256(made["token"].encode()).hexdigest()
    lines = call("token", "new", "monitoring").stdout.splitlines()
    assert lines[1].startswith("gwt_") and lines[3].startswith("    token_sha256: ")
    assert call("token", "new", "No Such Name").exit_code == 2


def test_init_never_overwrites(here: Path) -> None:
    """Refused, with the way out."""
    before = Path("gateway.yaml").read_text()
    result = call("init", "--yes")
    assert result.exit_code == 5 and "--file other.yaml" in result.stderr
    assert Path("gateway.yaml").read_text() == before


def test_init_asks_six_questions(here: Path) -> None:
    """Site, zone, server, login, person, database; wrong answers are asked again with an example."""
    said = 'St Anne: "east"\nMars\nEurope/Paris\nsnpp.example.net\nst-anne\npass-word\nnobody\nÉve Moreau, 5551212\ndb/x.db\n'
    result = call("init", "--file", "new.yaml", input=said)
    assert result.exit_code == 0, result.output
    assert "Europe/Paris or America" in result.output and "Alice Moreau, 5551212" in result.output
    text = Path("new.yaml").read_text()
    assert 'name: "St Anne: \\"east\\""' in text
    assert "at: snpp.example.net:444" in text
    assert "pass-word" not in text
    secret = Path("new.yaml.snpp-password")
    assert secret.read_text() == "pass-word" and secret.stat().st_mode & 0o777 == 0o600
    assert "gateway check new.yaml · gateway run --settings new.yaml" in result.stdout
    assert re.search(r"^gwt_", result.stdout, re.MULTILINE)


def test_the_simulated_carrier_is_told_how_to_misbehave(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option is one quirk."""
    told: list[Any] = []

    def run(quirks: SnppQuirks, **rest: Any) -> int:
        told.append((quirks, rest))
        return 0

    monkeypatch.setattr(simulate, "snpp", run)
    words = (
        "sim snpp --port 0 --delay 2 --refuse PAGE:550 --refuse 554:0.3 --lose-answer 3 --lose-share 0.5 "
        "--silent --throttle 10/min --progress 2:870 --progress 5:889:OK --login a:b --log p.jsonl --bind ::1"
    )
    assert call(*words.split()).exit_code == 0
    quirks = SnppQuirks(
        delay=2.0,
        refusals=(Refusal(step="PAGE", code=550), Refusal(step="SEND", code=554, share=0.3)),
        lose_answer=3,
        lose_share=0.5,
        silent=True,
        rate=Rate(count=10.0, per=60.0),
        progress=(Progress(after=2.0, code=870), Progress(after=5.0, code=889, text="OK")),
        login="a:b",
    )
    assert told == [(quirks, {"at": "[::1]:0", "log": Path("p.jsonl"), "as_json": False})]


@pytest.mark.parametrize(
    "words", ["--refuse 250", "--refuse QUIT:550", "--throttle 10", "--throttle 0/s", "--progress 870"]
)
def test_a_quirk_that_cannot_be_read_shows_one_that_can(here: Path, words: str) -> None:
    """Exit code 2 and an example."""
    result = call("sim", "snpp", *words.split())
    assert result.exit_code == 2 and "Write " in result.stderr


def test_the_simulated_relay_is_told_how_to_misbehave(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option is one quirk."""
    told: list[Any] = []

    def run(quirks: SmtpQuirks, **rest: Any) -> int:
        told.append((quirks, rest))
        return 0

    monkeypatch.setattr(simulate, "smtp", run)
    words = (
        "sim smtp --port 0 --delay 2 --greylist 60 --refuse RCPT:550 --refuse 451:0.3 --lose-answer 3 "
        "--lose-share 0.5 --silent --throttle 10/min --report 2:relayed --report 5:failed "
        "--reports-to 127.0.0.1:2525 --no-dsn --lmtp --log m.jsonl"
    )
    assert call(*words.split()).exit_code == 0
    quirks = SmtpQuirks(
        delay=2.0,
        greylist=60.0,
        refusals=(MailRefusal(step="RCPT", code=550), MailRefusal(step="TEXT", code=451, share=0.3)),
        lose_answer=3,
        lose_share=0.5,
        silent=True,
        rate=Rate(count=10.0, per=60.0),
        fates=(Fate(after=2.0, action="relayed"), Fate(after=5.0, action="failed")),
        dsn=False,
        lmtp=True,
    )
    rest = {"reports_to": "127.0.0.1:2525", "at": "127.0.0.1:0", "log": Path("m.jsonl"), "as_json": False}
    assert told == [(quirks, rest)]


@pytest.mark.parametrize(
    "words", ["--refuse 250", "--refuse DATA:550", "--report 2:eaten", "--report failed", "--reports-to mx"]
)
def test_a_quirk_of_the_relay_that_cannot_be_read_shows_one_that_can(here: Path, words: str) -> None:
    """Exit code 2 and an example."""
    result = call("sim", "smtp", *words.split())
    assert result.exit_code == 2 and "Write " in result.stderr


def test_the_simulated_wctp_carrier_is_told_how_to_misbehave(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each option is one quirk; without any there is none."""
    told: list[Any] = []

    def run(quirks: WctpQuirks, **rest: Any) -> int:
        told.append((quirks, rest))
        return 0

    monkeypatch.setattr(simulate, "wctp", run)
    url, doctype = "http://127.0.0.1:8081/wctp", "http://dtd.wctp.org/wctp-dtd-v1r2.dtd"
    words = (
        "sim wctp --port 0 --login noc:K7 --delay 2 --progress 1:queued --progress 2.5:failed:501 "
        f"--progress 4:failed --progress 5:choice:2 --push-to {url} --push-twice --push-backwards "
        "--poll-interval 10 --refuse 606:x3 --refuse POLL:604:0.3 --http-status 503 --recipients [0-9]{7} "
        "--max-chars 80 --no-truncate --no-choices --throttle 10/min --lose-answer 3 --lose-share 0.5 --hang "
        f"--html --silent --wctp-version wctp-dtd-v1r2 --doctype {doctype} --confirmation --empty-text --http10 "
        "--close --log p.jsonl --json"
    ).split()
    assert call(*words, "--progress", "9:reply:On my way").exit_code == 0
    quirks = WctpQuirks(
        delay=2.0,
        progress=(
            WctpProgress(after=1.0, what="queued"),
            WctpProgress(after=2.5, what="failed", text="501"),
            WctpProgress(after=4.0, what="failed"),
            WctpProgress(after=5.0, what="choice", text="2"),
            WctpProgress(after=9.0, what="reply", text="On my way"),
        ),
        login="noc:K7",
        recipients="[0-9]{7}",
        refusals=(
            WctpRefusal(step="SUBMIT", code=606, first=3),
            WctpRefusal(step="POLL", code=604, share=0.3),
        ),
        http_status=503,
        lose_answer=3,
        lose_share=0.5,
        hang=True,
        html=True,
        silent=True,
        rate=Rate(count=10.0, per=60.0),
        max_chars=80,
        truncate=False,
        choices=False,
        poll_interval=10,
        push_twice=True,
        push_backwards=True,
        version="wctp-dtd-v1r2",
        doctype=doctype,
        confirmation=True,
        empty_text=True,
        http10=True,
        close=True,
    )
    assert told == [(quirks, {"push_to": url, "at": "127.0.0.1:0", "log": Path("p.jsonl"), "as_json": True})]
    assert call("sim", "wctp").exit_code == 0
    rest = {"push_to": None, "at": "127.0.0.1:8737", "log": None, "as_json": False}
    assert told[1] == (WctpQuirks(), rest)


@pytest.mark.parametrize(
    "words",
    [
        "--refuse 200",
        "--refuse PAGE:606",
        "--refuse 606:x",
        "--progress 2:eaten",
        "--progress 2:reply",
        "--progress 2:choice:0",
        "--push-to ftp://x",
        "--wctp-version <",
        "--recipients [",
    ],
)
def test_a_quirk_of_wctp_that_cannot_be_read_shows_one_that_can(here: Path, words: str) -> None:
    """Exit code 2 and an example."""
    result = call("sim", "wctp", *words.split())
    assert result.exit_code == 2
    assert "Write " in result.stderr


def test_cutting_a_demo(gateway: FakeGateway) -> None:
    """What the gateway says of it; a gateway that is no demo says no."""
    answer = a.CutPath(
        path="internet", cut=True, until=None, links=("acme.net",), says="The Internet is cut."
    )
    gateway.on("POST", "/v1/sim/cut", answer)
    assert call("sim", "cut", "internet", "--for", "60s").stdout == " The Internet is cut.\n"
    assert gateway.heard[-1][3] == {"path": "internet", "for": "60s", "refuse": False}
    assert json.loads(call("sim", "cut", "internet", "--refuse", "--json").stdout)["links"] == ["acme.net"]
    assert gateway.heard[-1][3] == {"path": "internet", "for": None, "refuse": True}
    gateway.on("POST", "/v1/sim/mend", msgspec.structs.replace(answer, cut=False, says="It is whole."))
    assert call("sim", "mend", "internet").stdout == " It is whole.\n"
    no = a.Problem(
        type="/problems/not-a-demo",
        title="Not a demo",
        status=404,
        code="not-a-demo",
        detail="This gateway talks to real carriers; only a demo can be cut.",
        errors=(),
        retry=False,
        stored=False,
        request_id="r-1",
    )
    gateway.on("POST", "/v1/sim/cut", no, status=404)
    result = call("sim", "cut", "internet")
    assert (result.exit_code, "gateway demo" in result.stderr) == (5, True)
    assert call("sim", "cut", "road").exit_code == 2


def test_the_simulated_terminal_is_told_how_to_misbehave(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option is one quirk."""
    told: list[Any] = []

    def run(quirks: TapQuirks, **rest: Any) -> int:
        told.append((quirks, rest))
        return 0

    monkeypatch.setattr(simulate, "tap", run)
    words = (
        "sim tap --port 0 --modem --baud 1200 --parity even --dial busy:2 --dial no-carrier --calls 3 "
        "--banner 100 --slow-id 12 --id split --password 000000 --logon refused --no-codes --tap-version 1.6 "
        "--welcome hello --go-ahead wrong --lines 3 --nak-first 2 --block-limit 230:nak --pages 9:113 "
        "--drop-in-block 20 --refuse 5551999:511 --refuse 512:0.3 --delay 2 --mute 1 --lose-answer 3 "
        "--lose-share 0.5 --silent --regret --goodbye silent --log t.jsonl"
    )
    assert call(*words.split()).exit_code == 0
    quirks = TapQuirks(
        calls=3,
        dialling=(Dialling(result="BUSY", calls=2), Dialling(result="NO CARRIER")),
        parity="even",
        banner=100,
        slow_id=12.0,
        prompt="split",
        password="000000",
        logon="refused",
        codes=False,
        version="1.6",
        welcome="hello",
        go_ahead="wrong",
        lines=3,
        nak_first=2,
        block_limit=230,
        beyond="nak",
        pages=9,
        full="113",
        drop_in_block=20,
        refusals=(
            PageRefusal(pager="5551999", code=511),
            PageRefusal(pager=None, code=512, share=0.3),
        ),
        delay=2.0,
        mute=1,
        lose_answer=3,
        lose_share=0.5,
        silent=True,
        regret=True,
        goodbye="silent",
    )
    rest = {"baud": 1200, "modem": True, "at": "127.0.0.1:0", "log": Path("t.jsonl"), "as_json": False}
    assert told == [(quirks, rest)]
    assert call("sim", "tap", "--pty", "modem").exit_code == 0
    rest = {"baud": None, "modem": False, "at": "pty:modem", "log": None, "as_json": False}
    assert told[1] == (TapQuirks(), rest)


@pytest.mark.parametrize(
    "words",
    [
        "--baud slow",
        "--baud 10",
        "--dial engaged",
        "--password a-b",
        "--block-limit 230:ack",
        "--pages 0",
        "--pages 9:114",
        "--refuse 514",
        "--refuse abc:511",
    ],
)
def test_a_quirk_of_the_terminal_that_cannot_be_read_shows_one_that_can(here: Path, words: str) -> None:
    """Exit code 2 and an example."""
    result = call("sim", "tap", *words.split())
    assert result.exit_code == 2 and "Write " in result.stderr


# ---------------------------------------------------------------- the program


def test_main_ends_without_a_traceback_for_our_own_mistakes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """70, one sentence, and how to get the details."""
    monkeypatch.setattr("sys.argv", ["gateway", "stuck"])
    monkeypatch.setattr(place, "find", lambda *_: 1 / 0)
    monkeypatch.delenv("GATEWAY_TRACE", raising=False)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 70
    assert "GATEWAY_TRACE=1" in capsys.readouterr().err


def test_main_ends_with_the_exit_code_of_the_command(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also for trouble, usage and plain success."""
    for words, code in ((["stuck"], 69), (["nonsense"], 2), (["--version"], 0), (["token", "new", "x"], 0)):
        monkeypatch.setattr("sys.argv", ["gateway", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert (words, end.value.code) == (words, code)
    assert "Traceback" not in capsys.readouterr().err


def test_no_colour_off_a_terminal(gateway: FakeGateway) -> None:
    """Not even where it is asked for by habit of the environment."""
    gateway.on("POST", "/v1/messages", submitted(), status=202)
    gateway.on("GET", f"/v1/messages/{ID}", standing(3, state="ended", outcome="unanswered"))
    result = call("send", "alice", "x", env={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert "\x1b" not in result.output


def test_names_stay_one_segment_of_the_path() -> None:
    """Whatever is typed, it cannot become another call."""
    assert link_path("a/b?.c", "probe") == "/v1/links/a%2Fb%3F.c/probe"
    assert message_path(" #7K3M ") == "/v1/messages/7K3M"
