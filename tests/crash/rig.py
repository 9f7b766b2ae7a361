"""A gateway and its carriers as real processes in one folder, to be killed.

Two carriers' worth of links: ``duo`` has two ways in (``a`` then ``b``, two simulated carriers), ``solo``
has one (``a``'s carrier), ``two`` answers MSTAtus. Ports are fixed for a rig, so that a process that is
started again is found again. Every wait is bounded, and only processes started here are ever killed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from gateway.sim.truth import Copy, read_truth

T = TypeVar("T")

TOKEN = "crash-rig-token"
LIMIT = 30.0  # seconds that anything here may take before it counts as hung

HOME = Path(__file__).parents[2]

SETTINGS = """\
site: {{name: Rig, zone: UTC, store: "sqlite:{store}", control: "{control}"}}
listen: {{http: {{at: "127.0.0.1:{http}"}}}}
clients:
  rig: {{token_sha256: {token}, may_page: [everyone, "duo:*", "solo:*", "two:*"]}}
texts: {{default: ["{{text}}", "{{short}}"]}}
# Waits are short so that what a crash leaves open is settled while somebody watches.
classes:
  critical: {{next_leg_after: 2s, waits: [0s, 300ms, 600ms, 1s]}}
  urgent: {{next_leg_after: 2s, waits: [0s, 300ms, 600ms, 1s]}}
  normal: {{waits: [300ms, 600ms, 1s], resend_after: 1s}}
  bulk: {{waits: [300ms, 600ms, 1s], resend_after: 1s}}
carriers:
  duo:
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      a: {{adapter: snpp, at: "127.0.0.1:{a}", sessions: {sessions}, {link}}}
      b: {{adapter: snpp, at: "127.0.0.1:{b}", sessions: {sessions}, {link}}}
  solo:
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      a: {{adapter: snpp, at: "127.0.0.1:{a}", sessions: {sessions}, {link}}}
  two:
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      a: {{adapter: snpp, at: "127.0.0.1:{two}", two_way: true, sessions: {sessions}, {link}}}
people:
  alice: {{name: Alice Moreau, devices: {{pager: "duo:5550001"}}}}
limits: {{connections_per_address: 1000, queue: 1000000}}
{more}
"""
LINK = "breaker: {failures: 5, unanswered: 3, rests: [1s, 1s]}"


class Hung(AssertionError):
    """Something did not come to pass in its time."""


def until(look: Callable[[], T], what: str, limit: float = LIMIT, pause: float = 0.02) -> T:
    """What *look* returns once that is true; Hung after *limit* seconds."""
    end = time.monotonic() + limit
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise Hung(f"not within {limit:g} s: {what}")
        time.sleep(pause)


def free_port() -> int:
    """A port that nobody has now, below those that the kernel hands out for connections."""
    for _ in range(200):
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port")


class Process:
    """One process that may be killed and started again; its output goes to a file."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name, self.command, self.log = name, command, log
        self.running: subprocess.Popen[bytes] | None = None
        self._said = 0  # bytes of the log when it was last started

    def start(self, prefix: list[str] = [], **environment: str) -> None:  # noqa: B006
        """Start it, behind the words of *prefix* (strace), with *environment* besides ours."""
        assert self.running is None or self.running.poll() is not None, f"{self.name} runs already"
        with self.log.open("ab") as out:
            self._said = out.tell()
            self.running = subprocess.Popen(
                [*prefix, *self.command],
                cwd=HOME,
                env={**os.environ, "PYTHONPATH": str(HOME), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        assert self.running is not None
        return self.running.pid

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def signal(self, number: int) -> None:
        assert self.running is not None
        self.running.send_signal(number)

    def kill(self) -> None:
        """``kill -9``, and its end; nothing if it has ended."""
        if self.running is not None:
            self.running.kill()
            self.ended()

    def ended(self, limit: float = LIMIT) -> int:
        """Its exit code (negative: the signal); Hung if it does not end."""
        assert self.running is not None
        try:
            return self.running.wait(limit)
        except subprocess.TimeoutExpired:
            raise Hung(f"{self.name} did not end within {limit:g} s\n{self.tail()}") from None

    def tail(self, size: int = 2000) -> str:
        """The end of what it said since it was started."""
        return self.log.read_bytes()[self._said :][-size:].decode(errors="replace")


class Unix(http.client.HTTPConnection):
    """HTTP over the socket at *path*."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=LIMIT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Answer:
    """A status, headers and JSON."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers = response.status, response.headers
        body = response.read()
        self.json: Any = json.loads(body) if body else None


class Rig:
    """Everything in *folder*; use it in a ``with``."""

    def __init__(
        self,
        folder: Path,
        *,
        delay: float = 0.0,
        sessions: int = 8,
        link: str = LINK,
        more: str = "",
        store: Path | None = None,
    ) -> None:
        self.folder = folder
        self.database = store or folder / "gateway.db"
        self.control = folder / "control.sock"
        self.settings = folder / "gateway.yaml"
        self.http = free_port()
        ports = {name: free_port() for name in ("a", "b", "two")}
        self.settings.write_text(
            SETTINGS.format(
                http=self.http,
                store=self.database,
                control=self.control,
                token=sha256(TOKEN.encode()).hexdigest(),
                sessions=sessions,
                link=link,
                more=more,
                **ports,
            )
        )
        self.settings.chmod(0o600)
        self.gateway = Process(
            "gateway",
            [sys.executable, "-m", "gateway", "run", "--settings", str(self.settings)],
            folder / "gateway.log",
        )
        self.carriers: dict[str, Process] = {}
        for name, port in ports.items():
            command = [sys.executable, "-m", "tests.crash.carrier", "--port", str(port)]
            command += ["--log", str(self.truth_file(name)), "--delay", str(delay)]
            command += ["--read-after", "0"] if name == "two" else []
            self.carriers[name] = Process(name, command, folder / f"{name}.log")
        self._ports = ports

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.gateway, *self.carriers.values()):
            process.kill()

    # -------------------------------------------------------------- processes

    def start_carriers(self, *names: str) -> None:
        """Start them (all if none is named) and wait until they take connections."""
        for name in names or self.carriers:
            self.carriers[name].start()
        for name in names or self.carriers:
            until(lambda name=name: self._accepts(self._ports[name]), f"carrier {name} listens")  # type: ignore[misc]

    def _accepts(self, port: int) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", port)) == 0

    def start(self, failpoint: str | None = None, prefix: list[str] = [], *, ready: bool = True) -> None:  # noqa: B006
        """Start the gateway; wait until it takes messages, unless it is to die first."""
        environment = {} if failpoint is None else {"GATEWAY_FAILPOINT": failpoint}
        self.gateway.start(prefix, **environment)
        if ready:
            until(self.ready, "the gateway is ready")

    def ready(self) -> bool:
        """Whether new messages are taken; Hung if the gateway has ended instead."""
        if not self.gateway.alive:
            raise Hung(f"the gateway ended\n{self.gateway.tail()}")
        try:
            return self.call("GET", "/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    # -------------------------------------------------------------- talking

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        as_operator: bool = False,
        timeout: float = LIMIT,
    ) -> Answer:
        """One request: as the client ``rig`` over TCP, or as the operator over the control socket."""
        connection = (
            Unix(self.control)
            if as_operator
            else http.client.HTTPConnection("127.0.0.1", self.http, timeout=timeout)
        )
        headers = {"Content-Type": "application/json"}
        if not as_operator:
            headers["Authorization"] = f"Bearer {TOKEN}"
        if key is not None:
            headers["Idempotency-Key"] = key
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            return Answer(connection.getresponse())

    def submit(self, to: str, text: str, message_class: str = "urgent", *, key: str | None = None) -> Answer:
        """Submit once, as is."""
        return self.call("POST", "/v1/messages", {"to": to, "text": text, "class": message_class}, key=key)

    def submit_to_death(self, to: str, text: str, message_class: str = "urgent", *, key: str) -> None:
        """Submit to a gateway that dies of it, at once or later."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.submit(to, text, message_class, key=key)
        assert self.gateway.ended() == -signal.SIGKILL, self.gateway.tail()

    def status(self, id_: str, wait: float = 0.0, level: str | None = None) -> Any:
        """Where a message stands, waiting for its end or for *level*."""
        path = f"/v1/messages/{id_}?wait={wait:g}" + (f"&until={level}" if level else "")
        answer = self.call("GET", path, as_operator=True)
        assert answer.status == 200, answer.json
        return answer.json

    # -------------------------------------------------------------- the truth

    def truth_file(self, name: str) -> Path:
        """Where carrier *name* writes what reached its pagers."""
        return self.folder / f"truth-{name}.jsonl"

    def truth(self) -> list[Copy]:
        """Everything that reached any pager, of all carriers."""
        files = [self.truth_file(name) for name in self.carriers]
        return [copy for file in files if file.exists() for copy in read_truth(file)]

    def copies(self, text: str) -> list[str]:
        """The texts on pagers that begin with *text*, in order."""
        found = [copy for copy in self.truth() if copy.text == text or copy.text.startswith(f"{text} (copy")]
        return [copy.text for copy in sorted(found, key=lambda copy: copy.at)]

    @contextlib.contextmanager
    def record(self) -> Iterator[sqlite3.Connection]:
        """The store's file, for reading."""
        with contextlib.closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as db:
            yield db

    def count(self, sql: str, *values: object) -> int:
        """The number that *sql* finds in the store's file."""
        with self.record() as db:
            found: int = db.execute(sql, values).fetchone()[0]
            return found


def marked(texts: list[str]) -> Counter[bool]:
    """How many of *texts* carry the mark of a second copy."""
    return Counter(" (copy " in text for text in texts)
