"""The real daemon, from outside: a process, its settings file, its sockets, its signals, its command line.

Pages come in by curl and go out through Net::SNPP::Server; what a carrier must do wrong on purpose, a
simulated one does. One daemon serves all tests of this file, which leave it running and its ways out open.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.app.demo import WAYS
from tests.crash.rig import HOME, LIMIT, Process, free_port, until

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("net_snpp", "curl")]

LOST = """\
  lossy:
    links:
      snpp: {{adapter: snpp, at: "127.0.0.1:{port}", costly: true, idle: 0s, answer_timeout: 5s}}
"""
SHORT = """\
# Short, so that nobody waits for what is to be seen.
classes:
  critical: {step_wait: 500ms}
  urgent: {waits: [0s, 300ms], next_leg_after: 5s}
"""
PEOPLE = """\
  barred: {name: Barred Pager, devices: {pager: "pager:12"}}
  doubtful: {name: Dora Doubtful, devices: {pager: "lossy:5550002"}}
"""
PLACE = re.compile(r"(?:\S*/)?gateway\.yaml:\d+:\d+: ")


class Reply(NamedTuple):
    """What curl heard."""

    status: int
    headers: dict[str, str]
    json: Any


class Gateway:
    """One gateway in *folder*, with settings made by ``gateway init``, and what people and programs do to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "gateway.yaml"
        self.http, self.snpp, lossy = free_port(), free_port(), free_port()
        self.token = self.ask("init", "--yes")["token"]
        self._write(lossy)
        gateway = [sys.executable, "-m", "gateway"]
        self.daemon = Process("gateway", [*gateway, "run", *self._named()], folder / "gateway.log")
        terminal = str(Path(__file__).with_name("net_snpp_server.pl"))
        self.carrier = Process("Net::SNPP::Server", ["perl", terminal, str(self.snpp)], folder / "pages.log")
        self.lossy = Process(
            "a carrier that loses its answers",
            [*gateway, "sim", "snpp", "--port", str(lossy), "--lose-answer", "0"],
            folder / "lossy.log",
        )

    def _write(self, lossy: int) -> None:
        text = self.settings.read_text()
        for found, instead in (
            ("http: {at: 127.0.0.1:8080}", f"http: {{at: 127.0.0.1:{self.http}}}"),
            ("at: 127.0.0.1:4444\n", f"at: 127.0.0.1:{self.snpp}\n        idle: 0s\n"),
            ("\ncarriers:\n", f"\n{SHORT}\ncarriers:\n{LOST.format(port=lossy)}"),
            ("\npeople:\n", f"\npeople:\n{PEOPLE}"),
            ("    rate: 60/min\n", "    rate: 6000/min\n"),
        ):
            assert text.count(found) == 1, found
            text = text.replace(found, instead)
        self.settings.write_text(text)

    def _named(self) -> list[str]:
        return ["--settings", str(self.settings)]

    # ---------------------------------------------------------------- processes

    def start(self) -> None:
        """Start it and wait until it takes pages."""
        self.daemon.start()
        until(lambda: "Gateway up: " in self.said(), "the gateway is up")

    def said(self) -> str:
        """What the daemon printed and logged since it was started."""
        if not self.daemon.alive:
            raise AssertionError(self.daemon.tail())
        return self.daemon.tail(1 << 20)

    def open_carrier(self) -> None:
        """The paging terminal answers, from now on."""
        if not self.carrier.alive:
            self.carrier.start()
        until(lambda: self.carrier.tail(), "the paging terminal listens")

    def pages(self) -> list[tuple[str, str]]:
        """Pager and text of each page that Net::SNPP::Server took."""
        lines = [line.split("|") for line in self.carrier.log.read_text().splitlines()]
        return [(line[0], line[2]) for line in lines if len(line) > 2]

    # ---------------------------------------------------------------- talking

    def run(self, *words: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command to its end, in the folder of the settings; it must end with *code*."""
        ours = {"PYTHONPATH": str(HOME), "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")} | ours,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=LIMIT,
        )
        assert done.returncode == code, (words, done)
        assert "Traceback" not in done.stderr
        return done

    def ask(self, *words: str, code: int = 0) -> Any:
        """The same with ``--json``: the one value that it prints, and nothing else."""
        done = self.run(*words, "--json", code=code)
        assert done.stderr == ""
        return json.loads(done.stdout)

    def say(self, *words: str, code: int = 0) -> str:
        """The same for people: what stands on their screen."""
        done = self.run(*words, code=code)
        return done.stdout + done.stderr

    def curl(self, path: str, *more: str, local: bool = False, token: bool = True) -> Reply:
        """A request by curl: over TCP, or *local*, over the control socket; with our *token* or without."""
        where = ["--unix-socket", str(self.folder / "gateway.db.sock")] if local else []
        who = ["-H", f"Authorization: Bearer {self.token}"] if token else []
        url = f"http://127.0.0.1:{self.http}{path}"
        done = subprocess.run(
            ["curl", "-sS", "-i", "--max-time", f"{LIMIT:g}", *where, *who, *more, url],
            capture_output=True,
            check=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        pairs = (field.partition(": ") for field in fields)
        headers = {name.lower(): value for name, _, value in pairs}
        return Reply(int(first.split()[1]), headers, json.loads(body))

    def page(self, to: str, text: str, *more: str) -> Any:
        """A page by curl; the answer to 202."""
        reply = self.curl(
            "/v1/messages", "-d", json.dumps({"to": to, "text": text, "class": "urgent"}), *more
        )
        assert reply.status == 202
        return reply.json

    def status(self, key: str, wait: float = LIMIT, until: str = "handed_over") -> Any:
        """A long poll by curl, which is over as soon as the message has got so far; as the administrator."""
        reply = self.curl(f"/v1/messages/{key}?wait={wait:g}&until={until}", local=True, token=False)
        assert reply.status == 200
        return reply.json

    def generation(self) -> int:
        """How many times the settings were put in effect."""
        health = self.curl("/v1/health", local=True, token=False)
        return int(health.json["generation"])

    def switch(self, link: str, verb: str) -> None:
        """As ``gateway carriers`` does, but quicker."""
        assert self.curl(f"/v1/links/{link}/{verb}", "-d", "", local=True, token=False).status == 200

    def wait_for(self, key: str, outcome: str) -> None:
        """Until the story of a message has an attempt that ended so."""
        until(
            lambda: any(e.get("outcome") == outcome for e in self.status(key, 0.2)["timeline"]),
            f"an attempt ended {outcome}",
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("daemon"))
    try:
        gateway.carrier.start()
        gateway.lossy.start()
        until(lambda: "Simulated" in gateway.lossy.tail(), "the simulated carrier listens")
        gateway.start()
        yield gateway
    finally:
        for process in (gateway.daemon, gateway.carrier, gateway.lossy):
            process.kill()


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """A gateway that runs, and a paging terminal that answers."""
    running.open_carrier()
    return running


@contextmanager
def switched_off(gateway: Gateway, link: str) -> Iterator[None]:
    """Within it nothing goes out by *link*."""
    gateway.switch(link, "suspend")
    yield
    gateway.switch(link, "resume")


# ---------------------------------------------------------------- the walk of one page


def test_a_page_by_curl_through_net_snpp_server(gateway: Gateway) -> None:
    """202 when it is on disk; a long poll answers when the carrier has it; the pager shows the words."""
    first = gateway.curl("/v1/messages", "-d", '{"to":"alice","text":"hello from curl"}')
    assert first.status == 202
    assert (first.json["state"], first.json["level"], first.json["durability"]) == ("open", "stored", "disk")
    assert first.headers["location"] == first.json["url"] == f"/v1/messages/{first.json['id']}"
    now = gateway.curl(f"{first.json['url']}?wait=20&until=handed_over").json
    assert now["level"] == "handed_over"
    assert [e["what"] for e in now["timeline"]][:2] == ["stored", "attempt"]
    assert gateway.pages().count(("5551212", "hello from curl")) == 1
    ended = gateway.curl(f"{first.json['url']}?wait=20").json
    assert (ended["state"], ended["outcome"]) == ("ended", "confirmed")


def test_the_same_key_twice_is_one_page(gateway: Gateway) -> None:
    """The repeat gets the first answer, marked; another body under the key is refused."""
    ask = ("/v1/messages", "-H", "Idempotency-Key: disk-db1", "-d")
    body = '{"to":"alice","text":"Disk full on db1"}'
    first, again = gateway.curl(*ask, body), gateway.curl(*ask, body)
    assert (first.status, again.status) == (202, 202)
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    assert again.json["id"] == first.json["id"]
    other = gateway.curl(*ask, '{"to":"alice","text":"Disk full on db2"}')
    assert (other.status, other.json["code"]) == (422, "idempotency-key-reused")
    assert gateway.status(first.json["id"])["level"] == "handed_over"
    behind = gateway.page("alice", "behind it")
    assert gateway.status(behind["id"])["level"] == "handed_over"
    assert [text for _, text in gateway.pages() if text.startswith("Disk full")] == ["Disk full on db1"]


def test_kill_9_loses_nothing_that_was_promised(gateway: Gateway) -> None:
    """What was saved is there after the restart and goes out once; what was sent meanwhile is taken in."""
    done = gateway.page("alice", "before the kill")
    gateway.status(done["id"])
    gateway.carrier.kill()
    saved = gateway.page("alice", "waits over the kill")
    gateway.wait_for(saved["id"], "not_sent")
    gateway.daemon.signal(signal.SIGKILL)
    assert gateway.daemon.ended() == -signal.SIGKILL
    spooled = gateway.ask("send", "alice", "while it was dead", "--class", "urgent", code=75)
    assert Path(spooled["spooled"]).is_file()
    gateway.start()
    assert gateway.status(done["id"])["outcome"] == "confirmed"
    there = gateway.status(saved["ref"], 0)
    assert (there["id"], there["state"], there["text"]) == (saved["id"], "open", "waits over the kill")
    gateway.open_carrier()
    assert gateway.status(saved["id"])["level"] == "handed_over"

    def texts() -> list[str]:
        return [text for _, text in gateway.pages()]

    until(lambda: any(text.startswith("while it was dead") for text in texts()), "the spooled page goes out")
    for begins in ("before the kill", "waits over the kill", "while it was dead"):
        assert len([text for text in texts() if text.startswith(begins)]) == 1


def test_why_tells_the_story_of_a_carrier_that_was_away(gateway: Gateway) -> None:
    """Who could not be reached and what comes next, then that it went out after all."""
    gateway.carrier.kill()
    ref = gateway.page("alice", "is anybody there?")["ref"]
    gateway.wait_for(ref, "not_sent")
    story = gateway.say("why", ref)
    assert "Saved on disk, from monitoring." in story
    refused = "no connection: nobody listens there (connection refused)"
    assert f"Could not reach Pager for Alice Moreau's pager: {refused}; nothing was sent." in story
    assert re.search(rf"{ref}  .*Pager (goes on|is tried) .* for Alice Moreau's pager", story)
    stuck = gateway.ask("stuck")
    [link] = [item for item in stuck["needs_you"] if item["what"] == "pager.snpp"]
    assert re.fullmatch(r"Pager does not work since .* 1 page waits for it\.", link["says"])
    assert link["commands"] == ["gateway probe pager.snpp"]
    assert "gateway probe pager.snpp" in gateway.say("stuck")
    probed = gateway.ask("probe", "pager.snpp", code=4)
    assert (probed["reached"], refused in probed["says"]) == (False, True)
    gateway.open_carrier()
    assert gateway.status(ref)["level"] == "handed_over"
    story = gateway.ask("why", ref)
    assert story["story"][-1]["says"].startswith("Pager took it for Alice Moreau's pager.")
    assert [text for _, text in gateway.pages() if text.startswith("is anybody")] == [
        f"is anybody there? {ref}"
    ]
    assert "pager.snpp" not in [item["what"] for item in gateway.ask("stuck")["needs_you"]]


# ---------------------------------------------------------------- settings


@contextmanager
def broken(gateway: Gateway) -> Iterator[None]:
    """Within it the settings file has three mistakes, in three places."""
    good = gateway.settings.read_text()
    bad = re.sub(r"  zone: \S+", "  zone: Mars", good)
    bad = bad.replace("        idle: 0s\n", "        max_chars: many\n").replace("pager:12", "pagr:12")
    gateway.settings.write_text(bad)
    yield
    gateway.settings.write_text(good)


MISTAKES = {
    "site.zone": '"Mars" is not a time zone.',
    "carriers.pager.links.snpp.max_chars": '"many" is not a whole number.',
    "people.barred.devices.pager": 'there is no carrier "pagr".',
}


def places(text: str) -> dict[str, str]:
    """Path and complaint of each line that begins with file:line:column."""
    found = (line.strip() for line in text.splitlines())
    lines = [PLACE.sub("", line) for line in found if PLACE.match(line)]
    return {path: what for path, _, what in (line.partition(": ") for line in lines)}


@pytest.mark.parametrize("command", ["check", "run", "reload"])
def test_settings_with_mistakes_change_nothing_and_name_them_all(gateway: Gateway, command: str) -> None:
    """Each mistake with file, line and column; exit code 78; what runs goes on with what it had."""
    before = gateway.generation()
    with broken(gateway):
        said = places(gateway.say(command, code=78))
        assert said.keys() == MISTAKES.keys()
        assert all(said[path].startswith(what) for path, what in MISTAKES.items())
        assert gateway.generation() == before
        page = gateway.page("barred", f"still the old settings, {command}")
        assert gateway.status(page["id"])["deliveries"][0]["link"] == "pager.snpp"


def test_programs_are_told_the_mistakes_too(gateway: Gateway) -> None:
    """By `check` as objects with file, line, column and path apart; by `run` and `reload` with the error."""
    with broken(gateway):
        found = gateway.ask("check", code=78)["mistakes"]
        assert {one["path"] for one in found} == MISTAKES.keys()
        assert all(one["line"] > 1 and one["column"] > 1 and one["remedy"] for one in found)
        started = gateway.ask("run", code=78)
        assert places("\n".join(started["details"])).keys() == MISTAKES.keys()
        refused = gateway.ask("reload", code=78)
        assert (refused["code"], len(refused["errors"])) == ("settings-invalid", 3)


def test_reload_and_sighup_put_good_settings_in_effect(gateway: Gateway) -> None:
    """And with a mistake in them SIGHUP says so in the log, once for each, and changes nothing."""
    before = gateway.generation()
    assert gateway.ask("reload")["generation"] == before + 1
    gateway.daemon.signal(signal.SIGHUP)
    until(lambda: gateway.generation() == before + 2, "SIGHUP reloads")
    with broken(gateway):
        gateway.daemon.signal(signal.SIGHUP)
        until(
            lambda: gateway.said().count("settings not reloaded: {mistake}") == 3, "the log has the mistakes"
        )
    assert gateway.generation() == before + 2


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("code", "words", "outcome"),
    [
        (0, ("alice", "exit 0", "--class", "urgent"), "confirmed"),
        (3, ("alice", "exit 3", "--class", "critical"), "unanswered"),
        (4, ("barred", "exit 4", "--class", "urgent"), "failed"),
    ],
)
def test_send_ends_as_the_page_ends(
    gateway: Gateway, code: int, words: tuple[str, ...], outcome: str
) -> None:
    """0: as far as asked; 3: nobody accepted; 4: the carrier did not take it."""
    ended = gateway.ask("send", *words, code=code)
    assert (ended["state"], ended["outcome"], ended["text"]) == ("ended", outcome, words[1])


def test_send_to_nobody_is_refused(gateway: Gateway) -> None:
    """With 5, and with the name that was meant."""
    refused = gateway.ask("send", "alicia", "exit 5", code=5)
    assert (refused["code"], refused["stored"]) == ("unknown-target", False)
    assert "alice" in refused["errors"][0]["try"]


def test_send_without_a_gateway_keeps_the_page(gateway: Gateway, tmp_path: Path) -> None:
    """With 75, beside where the database will be."""
    there = str(tmp_path / "elsewhere.yaml")
    text = gateway.settings.read_text().replace(str(gateway.folder / "gateway.db"), "elsewhere.db")
    Path(there).write_text(text)
    kept = gateway.ask("send", "alice", "exit 75", "--settings", there, code=75)
    document = json.loads(Path(kept["spooled"]).read_text())
    assert (document["to"], document["text"]) == ("alice", "exit 75")
    assert gateway.ask("status", "--settings", there, code=69)["code"] == "nothing-runs"


def test_send_shows_people_the_way(gateway: Gateway) -> None:
    """Line by line: saved, then the carrier has it; the words may come from standard input."""
    shown = gateway.run("send", "alice", "-", "--class", "urgent", stdin="from a pipe\n").stdout
    assert "Saved. Paging Alice Moreau now." in shown
    assert "saved ▸ carrier has it" in shown
    assert "✓ Done: Pager has it" in shown
    assert gateway.pages()[-1][1].startswith("from a pipe")
    assert gateway.ask("send", "alice", "dry", "--dry-run")["plan"][0]["to"] == "alice"


def test_looking_round(gateway: Gateway) -> None:
    """status, queue list and show, stuck, carriers list, explain, check, schema, token new."""
    sent = gateway.ask("send", "alice", "to be looked at", "--class", "urgent", "--no-wait")
    gateway.status(sent["id"])
    health = gateway.ask("status")
    assert (health["ready"], health["durability"]) == (True, "disk")
    newest = gateway.ask("queue", "list", "--state", "all", "--limit", "1")
    assert [one["id"] for one in newest["messages"]] == [sent["id"]]
    assert newest["next"] is not None
    assert gateway.ask("queue", "show", sent["ref"].lower())["text"] == "to be looked at"
    links = gateway.ask("carriers", "list")["links"]
    assert [link["link"] for link in links] == ["lossy.snpp", "pager.snpp"]
    plan = gateway.ask("explain", "on-call", "--class", "critical", "--at", "Sun 03:00")["plan"]
    assert [(step["person"], step["device"], step["link"]) for step in plan] == [
        ("alice", "pager", "pager.snpp")
    ]
    checked = gateway.ask("check", "--live")
    assert checked["mistakes"] == []
    assert [link["reached"] for link in checked["links"]] == [True, True]
    assert "carriers" in gateway.ask("schema")["properties"]
    assert gateway.ask("token", "new", "nurse-call")["token"].startswith("gwt_")
    assert gateway.ask("probe", "pager")["reached"] is True
    assert "Takes pages" in gateway.say("status")


def test_pausing_continuing_and_stopping(gateway: Gateway) -> None:
    """What waits can be held back, continued and stopped; what has ended can only be looked at."""
    with switched_off(gateway, "pager.snpp"):
        ref = gateway.ask("send", "alice", "to be stopped", "--class", "urgent", "--no-wait")["ref"]
        assert gateway.ask("queue", "pause", ref)["changed"] == 1
        assert gateway.ask("queue", "show", ref)["deliveries"][0]["state"] == "paused"
        assert gateway.ask("queue", "continue", ref)["changed"] == 1
        stopped = gateway.ask("queue", "cancel", ref, "--why", "false alarm")
        assert (stopped["changed"], stopped["message"]["outcome"]) == (1, "cancelled")
        assert "false alarm" in gateway.say("why", ref)
        assert gateway.ask("queue", "cancel", ref)["changed"] == 0
    assert not any(text.startswith("to be stopped") for _, text in gateway.pages())


def test_acknowledging_by_hand(gateway: Gateway) -> None:
    """A page that asks for it ends with the person who has it, named as the settings do."""
    words = ("send", "alice", "who has it?", "--class", "urgent", "--until", "acknowledged", "--no-wait")
    ref = gateway.ask(*words)["ref"]
    done = gateway.ask("ack", ref, "--for", "alice", "--note", "phoned back")
    assert (done["message"]["accepted_by"], done["message"]["outcome"]) == ("alice", "confirmed")
    assert gateway.ask("ack", ref, "--for", "alicia", code=5)["code"] == "unknown-person"


def test_sending_again_what_the_carrier_refused(gateway: Gateway) -> None:
    """queue retry gives it another try, which ends as the carrier says."""
    ref = gateway.ask("send", "barred", "again", "--class", "urgent", code=4)["ref"]
    assert gateway.ask("queue", "retry", ref)["changed"] == 1
    until(lambda: gateway.status(ref, 0.2)["state"] == "ended", "the second try ended")
    refusals = [e for e in gateway.status(ref, 0)["timeline"] if e.get("outcome") == "refused"]
    assert [(e["link"], e["code"]) for e in refusals] == [("pager.snpp", "550")] * 2


@pytest.mark.parametrize("choice", ["--leave", "--again"])
def test_deciding_about_a_page_that_may_have_gone(gateway: Gateway, choice: str) -> None:
    """The line dropped before the answer to SEND, on a way out where copies are costly: a person decides."""
    ref = gateway.ask("send", "doubtful", f"lost {choice}", "--class", "urgent", "--no-wait")["ref"]

    def copy() -> Any:
        return gateway.status(ref, 0.2)["deliveries"][0]

    until(lambda: copy()["state"] == "needs_decision", "somebody must decide")
    assert ref in [item["what"] for item in gateway.ask("stuck")["needs_you"]]
    assert ref in [one["ref"] for one in gateway.ask("queue", "list", "--state", "needs-you")["messages"]]
    assert gateway.ask("queue", "decide", ref, choice)["changed"] == 1
    if choice == "--again":  # and its answer is lost too
        until(lambda: copy()["state"] == "needs_decision" and copy()["doubts"] == 2, "again in doubt")
        gateway.ask("queue", "decide", ref, "--leave")
    until(lambda: gateway.status(ref, 0.2)["state"] == "ended", "it ended")
    assert "Not sure that Lossy took it for Dora Doubtful's pager" in gateway.say("why", ref)
    gateway.switch("lossy.snpp", "resume")  # which rests by now


def test_switching_ways_out(gateway: Gateway) -> None:
    """drain, suspend and resume, by carrier or by way; everybody who looks sees why."""
    drained = gateway.ask("carriers", "drain", "pager", "--why", "contract ends")
    assert (drained["state"], drained["why"]) == ("draining", "contract ends")
    assert gateway.ask("carriers", "suspend", "pager.snpp")["state"] == "suspended"
    assert "Switched off" in gateway.say("carriers", "list")
    assert gateway.ask("carriers", "resume", "pager.snpp")["state"] == "idle"
    assert gateway.ask("carriers", "resume", "pagr", code=5)["code"] == "unknown-carrier"
    assert gateway.ask("carriers", "resume", "pager.web", code=5)["code"] == "unknown-link"


def test_stopping_and_a_second_gateway(gateway: Gateway) -> None:
    """A second one on the same database ends with 75; SIGTERM ends the first with 0."""
    assert gateway.say("run", code=75).startswith("gateway: ")
    gateway.daemon.signal(signal.SIGTERM)
    assert gateway.daemon.ended() == 0
    gateway.start()
    page = gateway.page("alice", "after the stop")
    assert gateway.status(page["id"])["level"] == "handed_over"


def test_the_demo_for_programs(gateway: Gateway, tmp_path: Path) -> None:
    """One JSON array on standard output, an element for each way out, and one for the page that went by phone
    while the Internet was cut; all reached: exit code 0."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--once", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert [one["protocol"] for one in shown] == [*(way.protocol for way in WAYS), "tap"]
    assert [one["cut"] for one in shown] == [*(None for _ in WAYS), "internet"]
    assert all(one["level"] != "stored" and one["seconds"] >= 0 for one in shown)


# ---------------------------------------------------------------- the API's doors


def test_the_description_served_is_the_one_in_the_docs(gateway: Gateway) -> None:
    """GET /openapi.json, to anyone."""
    served = gateway.curl("/openapi.json", token=False)
    assert served.status == 200
    assert served.json == json.loads((HOME / "docs" / "reference" / "openapi.json").read_text())


def test_who_comes_by_which_door(gateway: Gateway) -> None:
    """On the control socket the daemon's own user is administrator, but whoever shows a token is judged by it."""
    assert gateway.curl("/v1/links", local=True, token=False).status == 200
    for local in (True, False):
        refused = gateway.curl("/v1/links", local=local)
        assert (refused.status, refused.json["code"]) == (403, "forbidden")
        assert gateway.curl("/v1/whoami", local=local).json["client"] == "monitoring"
    stranger = gateway.curl("/v1/links", token=False)
    assert (stranger.status, stranger.json["code"]) == (401, "unauthorized")
    assert (gateway.folder / "gateway.db.sock").stat().st_mode & 0o077 == 0


def test_a_long_poll_without_news_answers_in_its_time(gateway: Gateway) -> None:
    """With what there is: the page waits, because its way out is switched off."""
    with switched_off(gateway, "pager.snpp"):
        ref = gateway.page("alice", "waits")["ref"]
        now = gateway.status(ref, 0.3)
        assert (now["state"], now["level"]) == ("open", "stored")
    assert gateway.status(ref)["level"] == "handed_over"


# ---------------------------------------------------------------- the simulated carrier

# What python-snpp 1.1.2 writes, recorded, and the code of each reply that it was given; it reads one line a
# command, and takes 421 and 500 to 799 as a failure.
PYTHON_SNPP = (
    (b"PAGE 5551212 \r\n", b"250 "),
    (b"LOGI bob secret\r\n", b"250 "),
    (b"HOLD 301231120000 -0600\r\n", b"250 "),
    (b"DATA \r\n", b"354 "),
    (b"line1\r\n..line2\r\n...line3\r\n\r\nend\r\n\r\n.\r\n", b"250 "),
    (b"MESS again\r\n", b"503 "),
    (b"SEND \r\n", b"250 "),
    (b"2WAY \r\n", b"250 "),
    (b"PAGE 5551212 \r\n", b"850 "),
    (b"MCRE 01 yes please\r\n", b"250 "),
    (b"MESS Restart? \r\n", b"250 "),
    (b"SEND \r\n", b"960 "),
    (b"MSTA 1 2\r\n", b"550 "),
    (b"QUIT \r\n", b"221 "),
)


def test_the_simulated_carrier_serves_python_snpp(gateway: Gateway, tmp_path: Path) -> None:
    """Its recorded bytes on a real socket: one line of reply each, and the texts reach the pager."""
    log = tmp_path / "pager.jsonl"
    words = ["sim", "snpp", "--port", "0", "--json", "--log", str(log)]
    carrier = Process("sim", [sys.executable, "-m", "gateway", *words], tmp_path / "sim.log")
    carrier.start()
    try:
        at = json.loads(until(lambda: carrier.tail(), "the simulated carrier listens"))["at"]
        host, _, port = at.rpartition(":")
        with (
            socket.create_connection((host, int(port)), timeout=LIMIT) as line,
            line.makefile("rb") as replies,
        ):
            assert replies.readline().startswith(b"220 ")
            for sent, code in PYTHON_SNPP:
                line.sendall(sent)
                reply = replies.readline()
                assert reply.startswith(code), (sent, reply)
                assert reply.endswith(b"\r\n")
            assert replies.read() == b""
    finally:
        carrier.kill()
    reached = [json.loads(one) for one in log.read_text().splitlines()]
    assert [one["pager"] for one in reached] == ["5551212", "5551212"]
    assert [one["text"] for one in reached] == ["line1\n.line2\n..line3\n\nend", "Restart?"]
