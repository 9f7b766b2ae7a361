"""The real daemon as a service: TLS by curl, systemd's datagrams and sockets, the outside watcher.

Systemd is played by a datagram socket and a launcher of a few lines; curl is the real one.
"""

from __future__ import annotations

import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.crash.rig import HOME, LIMIT, Process, free_port, until
from tests.gateway.pairs import NAME, ca_pem, pair

pytestmark = pytest.mark.peers

TOKEN = "service-token"
CURL = ["curl", "-sS", "--max-time", f"{LIMIT:g}"]
SETTINGS = """\
site: {{name: Service, store: "sqlite:gateway.db"}}
listen: {{http: {{at: "{at}"{tls}}}}}
clients: {{monitoring: {{token_sha256: [{token}], may_page: [everyone]}}}}
carriers: {{spok: {{links: {{net: {{adapter: snpp, at: "127.0.0.1:9"}}}}}}}}
people: {{alice: {{name: Alice, devices: {{pager: "spok:5551212"}}}}}}
{more}
"""
TLS = ", tls: {cert: crt.pem, key: {file: key.pem}}"


class Service:
    """One gateway in *folder*."""

    def __init__(self, folder: Path, *, at: str | None = None, tls: str = "", more: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = folder / "gateway.yaml"
        self.settings.write_text(
            SETTINGS.format(
                at=at or f"127.0.0.1:{self.port}",
                tls=tls,
                token=sha256(TOKEN.encode()).hexdigest(),
                more=more,
            )
        )
        self.settings.chmod(0o600)
        command = [sys.executable, "-m", "gateway", "run", "--settings", str(self.settings)]
        self.daemon = Process("gateway", command, folder / "gateway.log")

    def start(self, prefix: list[str] = [], **environment: str) -> None:  # noqa: B006
        """Start it and wait until its doors are open."""
        self.daemon.start(prefix, **environment)
        until(lambda: "Gateway up: " in self.said(), "the gateway is up")

    def said(self) -> str:
        """What it printed and logged since it was started."""
        assert self.daemon.alive, self.daemon.tail()
        return self.daemon.tail(1 << 20)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``gateway …`` about it."""
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words, "--settings", str(self.settings)],
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    def put(self, cert: bytes, key: bytes) -> None:
        (self.folder / "ca.pem").write_bytes(ca_pem())
        (self.folder / "crt.pem").write_bytes(cert)
        (self.folder / "key.pem").write_bytes(key)
        (self.folder / "key.pem").chmod(0o600)

    def curl(self, *more: str) -> str:
        """``/v1/whoami`` by curl, over verified TLS; with what curl says about the certificate."""
        where = ["--cacert", str(self.folder / "ca.pem"), "--resolve", f"{NAME}:{self.port}:127.0.0.1"]
        who = ["-H", f"Authorization: Bearer {TOKEN}"]
        done = subprocess.run(
            [*CURL, "-v", *where, *who, *more, f"https://{NAME}:{self.port}/v1/whoami"],
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    def whoami(self) -> str:
        """Who we are, asked over plain HTTP."""
        url = f"http://127.0.0.1:{self.port}/v1/whoami"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return str(json.load(answer)["client"])

    def health(self) -> Any:
        """What ``gateway status --json`` begins with."""
        socket = str(self.folder / "gateway.db.sock")
        done = subprocess.run(
            [*CURL, "--unix-socket", socket, "http://gateway/v1/health"], capture_output=True, check=True
        )
        return json.loads(done.stdout)


@pytest.fixture
def service(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    made = Service(tmp_path, **getattr(request, "param", {}))
    try:
        yield made
    finally:
        made.daemon.kill()


# ---------------------------------------------------------------- TLS


@pytest.mark.parametrize("service", [{"tls": TLS}], indirect=True)
def test_https_by_curl_and_a_renewal_by_reload(service: Service, curl: None) -> None:
    """curl verifies name and chain. `gateway reload` takes a renewed pair, and refuses one that does not fit."""
    service.put(*pair())
    assert service.command("check").returncode == 0
    service.start()
    assert '"monitoring"' in service.curl()
    assert "SSL" in service.curl("--tls-max", "1.1")
    _, old_key = pair(90)
    cert, key = pair(31)
    service.put(cert, old_key)
    refused = service.command("reload")
    assert refused.returncode == 78
    assert "the key does not belong to the first certificate of the file" in refused.stderr
    assert any(
        "the new certificate of the API is not used" in reason for reason in service.health()["reasons"]
    )
    assert '"monitoring"' in service.curl()
    service.put(cert, key)
    assert service.command("reload").returncode == 0
    until(lambda: "certificate renewed" in service.said(), "the log says so")
    assert '"monitoring"' in service.curl()
    assert service.health()["reasons"] == []
    for secret in (key, old_key):
        assert secret.splitlines()[1].decode() not in service.said()
    service.daemon.signal(signal.SIGTERM)
    assert service.daemon.ended() == 0


@pytest.mark.parametrize("service", [{"tls": TLS}], indirect=True)
def test_check_refuses_a_certificate_that_has_ended_and_run_does_not(service: Service, curl: None) -> None:
    """A night with an old certificate is better than one without a gateway; health says what is wrong."""
    service.put(*pair(days=-0.01))
    checked = service.command("check")
    assert checked.returncode == 78
    assert "listen.http.tls.cert: the certificate of" in checked.stderr
    service.start()
    (reason,) = service.health()["reasons"]
    assert reason.startswith("the certificate of the API ended at ")
    assert '"monitoring"' in service.curl("--insecure")


def test_the_door_of_an_adapter_has_a_certificate_of_its_own(tmp_path: Path, curl: None) -> None:
    """`listen.wctp.tls`: https by curl; its end is a reason of health; a reload takes a renewed pair."""
    port, secret = free_port(), "0123456789abcdef0123"
    own = f'wctp: {{at: "127.0.0.1:{port}", secret: {{file: secret}}, tls: {{cert: door.pem, key: {{file: door.key}}}}'
    service = Service(tmp_path, tls=f"{TLS}}}, {own}")
    service.put(*pair())

    def put(cert: bytes, key: bytes) -> None:
        for name, data in (("door.pem", cert), ("door.key", key), ("secret", secret.encode())):
            (tmp_path / name).write_bytes(data)
            (tmp_path / name).chmod(0o600)

    put(*pair(days=5))
    checked = service.command("check")
    assert checked.returncode == 0
    assert "listen.wctp.tls.cert: the certificate of" in checked.stdout + checked.stderr
    service.start()
    try:
        (reason,) = service.health()["reasons"]
        assert reason.startswith("the certificate of the door wctp ends at ")
        where = ["--cacert", str(tmp_path / "ca.pem"), "--resolve", f"{NAME}:{port}:127.0.0.1"]
        url = f"https://{NAME}:{port}/wctp/{secret}"
        for _ in range(2):
            done = subprocess.run([*CURL, "-i", *where, url], capture_output=True, text=True)
            assert "405" in done.stdout and "POST a document" in done.stdout, done.stderr
            assert '"monitoring"' in service.curl()
            put(*pair(90))
            assert service.command("reload").returncode == 0
            until(lambda: service.health()["reasons"] == [], "the renewed certificate counts")
        plain = subprocess.run([*CURL, url.replace("https", "http")], capture_output=True, text=True)
        assert plain.returncode != 0
        assert secret not in service.said()
    finally:
        service.daemon.kill()


# ---------------------------------------------------------------- systemd


class Supervisor:
    """A datagram socket that keeps what it hears."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ears.bind(str(path))
        self.heard: list[str] = []

    def listen(self, seconds: float) -> bool:
        """Whether anything came within so many seconds."""
        self.ears.settimeout(seconds)
        try:
            self.heard += self.ears.recv(4096).decode().splitlines()
        except TimeoutError:
            return False
        return True

    def hear(self, line: str) -> None:
        """Listen until *line* (the beginning of one) is said, and forget what was said before it."""
        until(lambda: self._heard(line) or (self.listen(1.0) and False), f"the supervisor hears {line}")

    def _heard(self, line: str) -> bool:
        for n, one in enumerate(self.heard):
            if one.startswith(line):
                del self.heard[: n + 1]
                return True
        return False

    def forget(self) -> None:
        """What came so far does not count."""
        while self.listen(0.001):
            pass
        self.heard.clear()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "notify")
    yield made
    made.ears.close()


def test_the_life_of_a_service(service: Service, supervisor: Supervisor) -> None:
    """Ready when the doors are open; a reload with its time, and ready again; stopping; exit code 0."""
    service.daemon.start(NOTIFY_SOCKET=str(supervisor.path))
    supervisor.hear("READY=1")
    with socket.create_connection(("127.0.0.1", service.port), timeout=LIMIT):
        pass
    supervisor.hear("STATUS=Takes pages, 0 not finished")
    before = time.monotonic_ns() // 1000
    service.daemon.signal(signal.SIGHUP)
    supervisor.hear("RELOADING=1")
    until(lambda: supervisor.heard or supervisor.listen(1.0), "the time of the reload")
    began = int(supervisor.heard[0].removeprefix("MONOTONIC_USEC="))
    assert before <= began <= time.monotonic_ns() // 1000
    supervisor.hear("READY=1")
    service.daemon.signal(signal.SIGTERM)
    supervisor.hear("STOPPING=1")
    assert service.daemon.ended() == 0


def test_f20_a_process_that_does_not_run_does_not_feed_its_watchdog(
    service: Service, supervisor: Supervisor
) -> None:
    """Stopped, it says nothing; continued, it first sees that it was late, and then feeds it again."""
    service.start(NOTIFY_SOCKET=str(supervisor.path), WATCHDOG_USEC="2000000")
    supervisor.hear("WATCHDOG=1")
    service.daemon.signal(signal.SIGSTOP)
    until(lambda: not supervisor.listen(0.7), "silence")
    assert not supervisor.listen(2.0)
    supervisor.forget()
    service.daemon.signal(signal.SIGCONT)
    supervisor.hear("WATCHDOG=1")
    said = service.said()
    assert "watchdog not fed: the reactor is " in said
    assert "watchdog fed again after " in said


LAUNCH = """\
import os, socket, sys
ours = socket.socket()
ours.bind(("127.0.0.1", int(sys.argv[1])))
ours.listen()
os.dup2(ours.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="http")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Hands a listening socket over as systemd does."""


@pytest.mark.parametrize("service", [{"at": "systemd:http"}], indirect=True)
def test_a_socket_that_the_supervisor_opened(service: Service) -> None:
    """`at: systemd:http` is the socket of that name; nothing else is bound."""
    service.start([sys.executable, "-c", LAUNCH, str(service.port)])
    assert f"http://127.0.0.1:{service.port}" in service.said()
    assert service.whoami() == "monitoring"
    service.daemon.signal(signal.SIGTERM)
    assert service.daemon.ended() == 0


@pytest.mark.parametrize("service", [{"at": "systemd:http"}], indirect=True)
def test_a_connection_that_came_before_the_gateway(service: Service, socket_activate: None) -> None:
    """systemd's own launcher starts the gateway at the first connection, which is then served."""
    listen = ["-l", f"127.0.0.1:{service.port}", "--fdname=http"]
    service.daemon.start(["systemd-socket-activate", *listen, f"-EPYTHONPATH={HOME}"])
    until(lambda: "Listening on" in service.said(), "the launcher listens")
    assert service.whoami() == "monitoring"


@pytest.mark.parametrize("service", [{"at": "systemd:http"}], indirect=True)
def test_no_socket_was_handed_over(service: Service) -> None:
    """Started without its .socket unit it ends with 75 and says why."""
    service.daemon.start()
    assert service.daemon.ended() == 75
    assert "systemd has handed over none" in service.daemon.tail()


# ---------------------------------------------------------------- the watcher outside


class Watcher:
    """A web server that counts what it is asked for."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        heard = self.heard

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not on the tests' screen."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping/not-for-a-log"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.mark.parametrize("service", [{"more": "watch: {ping: {file: deadman}, every: 10s}"}], indirect=True)
def test_f59_a_watcher_hears_that_a_page_came_back(service: Service, watcher: Watcher) -> None:
    """Again and again, over the real store and real connections; its address is in no log."""
    (service.folder / "deadman").write_text(watcher.url)
    (service.folder / "deadman").chmod(0o600)
    service.start()
    until(lambda: len(watcher.heard) >= 2, "two pings")
    assert set(watcher.heard) == {"/ping/not-for-a-log"}
    assert "not-for-a-log" not in service.said()
    service.daemon.signal(signal.SIGTERM)
    assert service.daemon.ended() == 0
