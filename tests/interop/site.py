"""One gateway and its simulated carriers as processes, their settings in one folder, to be asked and killed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.sim.truth import Copy, read_truth
from tests.crash.rig import HOME, LIMIT, Process, Unix, free_port, until

TOKEN = "site-token"
SETTINGS = """\
site: {{name: Site, store: "sqlite:gateway.db"}}
listen: {{http: {{at: "127.0.0.1:{port}"}}{doors}}}
clients: {{rig: {{token_sha256: {digest}, may_page: [{may_page}]}}}}
texts: {{default: ["{{text}}", "{{short}}"]}}
{more}
"""


class Carrier:
    """``gateway sim`` of one *protocol*, on a port of its own or where *words* say, with its log of the truth."""

    def __init__(self, folder: Path, name: str, protocol: str, *words: str) -> None:
        self.port = free_port()
        self.log = folder / f"{name}.jsonl"
        where = () if "--pty" in words else ("--port", str(self.port))
        command = [sys.executable, "-m", "gateway", "sim", protocol, "--json", *where, *words]
        self.process = Process(name, [*command, "--log", str(self.log)], folder / f"{name}.out")

    def start(self) -> None:
        """Start it and wait until it is there."""
        self.process.start()
        until(lambda: self.process.tail(), f"{self.process.name} is there")

    @property
    def copies(self) -> list[Copy]:
        """What reached its pagers."""
        return read_truth(self.log) if self.log.exists() else []

    @property
    def texts(self) -> list[str]:
        return [copy.text for copy in self.copies]


class Site:
    """One gateway in *folder*; *more* are the settings from ``classes`` on, *doors* those beside HTTP."""

    def __init__(self, folder: Path, more: str, *, may_page: str = '"all:*"', doors: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = folder / "gateway.yaml"
        digest = sha256(TOKEN.encode()).hexdigest()
        self.settings.write_text(
            SETTINGS.format(port=self.port, digest=digest, may_page=may_page, doors=doors, more=more)
        )
        self.settings.chmod(0o600)
        command = [sys.executable, "-m", "gateway", "run", "--settings", str(self.settings)]
        self.daemon = Process("gateway", command, folder / "gateway.log")

    def start(self, failpoint: str | None = None, prefix: list[str] = []) -> None:  # noqa: B006
        """Start it, behind the words of *prefix*, and wait until its doors are open."""
        self.daemon.start(prefix, **({} if failpoint is None else {"GATEWAY_FAILPOINT": failpoint}))
        until(self._up, "the gateway is up")

    def _up(self) -> bool:
        assert self.daemon.alive, self.daemon.tail()
        return "Gateway up: " in self.daemon.tail(1 << 20)

    def ask(self, path: str, body: Any = None) -> Any:
        """The API's answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        with urllib.request.urlopen(request, timeout=2 * LIMIT) as answer:
            return json.load(answer)

    def page(self, to: str, text: str, message_class: str = "critical", **more: Any) -> str:
        """Submit a page: its id."""
        return str(self.ask("/v1/messages", {"to": to, "text": text, "class": message_class} | more)["id"])

    def status(self, key: str, level: str = "handed_over") -> Any:
        """How a page stands once it has got to *level*, or can get no further; after a minute in any case."""
        return self.ask(f"/v1/messages/{key}?wait=60&until={level}")

    def reaches(self, key: str, look: Callable[[Any], object], what: str) -> Any:
        """How it stands once *look* finds something."""
        return until(lambda: (now := self.ask(f"/v1/messages/{key}")) and look(now) and now, what, 2 * LIMIT)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``gateway …`` about it."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words, "--settings", str(self.settings)],
            cwd=HOME,
            capture_output=True,
            text=True,
            timeout=2 * LIMIT,
        )

    def operator(self, path: str) -> Any:
        """The API's answer to an operator, over the control socket."""
        with contextlib.closing(Unix(self.folder / "gateway.db.sock")) as connection:
            connection.request("GET", path)
            return json.load(connection.getresponse())

    def link(self, name: str) -> Any:
        """How one way out does."""
        (found,) = (one for one in self.operator("/v1/links")["links"] if one["link"] == name)
        return found


@contextlib.contextmanager
def ending(*processes: Process) -> Iterator[None]:
    """Kill them all at the end."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
