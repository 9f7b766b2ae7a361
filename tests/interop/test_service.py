"""The real daemon as a service: TLS by curl, systemd's datagrams and sockets, the outside watcher.

Systemd is played by a datagram socket and a launcher of a few lines; curl is the real one.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.crash.rig import LIMIT, Process, free_port, until
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
    assert any("the new certificate is not used" in reason for reason in service.health()["reasons"])
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
