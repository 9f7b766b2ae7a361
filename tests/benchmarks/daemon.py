"""The whole gateway as a process, a sink to hand pages to, and clients that keep it busy."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import selectors
import signal
import socket
import sqlite3
import sys
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from tests.crash.rig import TOKEN, Process, free_port, until

CONNECTIONS = 32
TEXT = "x" * 80

SETTINGS = """\
site: {{name: Bench, zone: UTC, store: "sqlite:{folder}/gateway.db"}}
listen: {{http: {{at: "127.0.0.1:{http}"}}}}
clients:
  bench: {{token_sha256: {token}, may_page: ["sink:*", "dead:*"]}}
limits: {{connections_per_address: 1000, queue: 2000000}}
carriers:
  sink: {{links: {{a: {{adapter: snpp, at: "127.0.0.1:{sink}", sessions: {sessions}}}}}}}
  dead: {{links: {{a: {{adapter: snpp, at: "127.0.0.1:{dead}"}}}}}}
"""


def machine() -> str:
    """Machine, versions and date, for the head of every table."""
    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("twisted", "httptools", "msgspec")
    )
    return (
        f"{os.cpu_count()} cores {platform.machine()}, {platform.platform(terse=True)}, Python"
        f" {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions},"
        f" {datetime.now(UTC):%Y-%m-%d}, load {os.getloadavg()[0]:.1f}"
    )


class Bench:
    """One folder, one gateway, one sink; use it in a ``with``."""

    def __init__(
        self, folder: Path, *, sessions: int = 64, delay: float = 0.0, profile: Path | None = None
    ) -> None:
        self.folder = folder
        self.http, self.sink_port = free_port(), free_port()
        path = folder / "gateway.yaml"
        path.write_text(
            SETTINGS.format(
                folder=folder,
                http=self.http,
                token=sha256(TOKEN.encode()).hexdigest(),
                sink=self.sink_port,
                dead=free_port(),
                sessions=sessions,
            )
        )
        path.chmod(0o600)
        python = [sys.executable]
        if profile is not None:
            python += ["-m", "cProfile", "-o", str(profile)]
        self.gateway = Process(
            "gateway", [*python, "-m", "gateway", "run", "--settings", str(path)], folder / "gateway.log"
        )
        self.sink = Process(
            "sink",
            [sys.executable, "-m", "tests.benchmarks.sink", str(self.sink_port), str(delay)],
            folder / "sink.log",
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.gateway.kill()
        self.sink.kill()

    def start(self) -> None:
        """The gateway; returns when it answers."""
        self.gateway.start()
        until(lambda: self._answers(self.http), "the gateway listens", 60)

    def start_sink(self) -> None:
        """The sink; returns when it answers."""
        self.sink.start()
        until(lambda: self._answers(self.sink_port), "the sink listens")

    def stop(self) -> None:
        """SIGTERM, and the end."""
        self.gateway.signal(signal.SIGTERM)
        code = self.gateway.ended(60)
        assert code == 0, f"{code} {self.gateway.tail()}"

    def _answers(self, port: int) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", port)) == 0

    def ask_sink(self, verb: bytes) -> list[bytes]:
        """The lines that the sink answers to *verb*; the last begins with 250."""
        with socket.create_connection(("127.0.0.1", self.sink_port)) as caller:
            caller.sendall(verb + b"\r\n")
            said = b""
            while b"\n250" not in b"\n" + said or not said.endswith(b"\r\n"):
                said += caller.recv(1 << 20)
                said = said.removeprefix(b"220 sink\r\n")
            return said.splitlines()

    def taken(self) -> int:
        """Pages that the sink has."""
        return int(self.ask_sink(b"COUN")[-1].split()[1])

    def cpu(self) -> float:
        """CPU seconds of the gateway so far, all threads."""
        fields = Path(f"/proc/{self.gateway.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes of the gateway that are its own (no file pages)."""
        lines = Path(f"/proc/{self.gateway.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def request(number: int, to: str, message_class: str) -> bytes:
    """A submission as a client sends it."""
    body = b'{"to":"%b","text":"%d %b","class":"%b"}' % (
        to.encode(),
        number,
        TEXT.encode(),
        message_class.encode(),
    )
    return (
        b"POST /v1/messages HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (TOKEN.encode(), len(body), body)
    )


class Load:
    """A loop over kept connections: closed (as fast as answers come) or paced by *rate* messages a second."""

    def __init__(
        self, port: int, to: str, message_class: str = "urgent", connections: int = CONNECTIONS
    ) -> None:
        self._to, self._class = to, message_class
        self._numbers = 0
        self._selector = selectors.DefaultSelector()
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(one, selectors.EVENT_READ)
        self.waits: list[float] = []

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()

    def run(self, seconds: float, rate: float | None = None) -> float:
        """Keep it busy; messages accepted a second. ``waits`` are the seconds to each answer, sorted; when
        paced they count from when the message should have been sent."""
        self.waits = []
        idle = list(self._sockets)
        sent: dict[socket.socket, float] = {}
        began = now = time.perf_counter()
        planned = 0
        while now - began < seconds or sent:
            now = time.perf_counter()
            while idle and now - began < seconds:
                due = now if rate is None else began + planned / rate
                if due > now:
                    break
                planned += 1
                self._numbers += 1
                one = idle.pop()
                sent[one] = due
                to = f"{self._to}:{5550000 + self._numbers % 10000}"
                one.sendall(request(self._numbers, to, self._class))
            pause = None if rate is None else max(0.0, min(0.05, began + planned / rate - now))
            for key, _ in self._selector.select(pause):
                one = key.fileobj  # type: ignore[assignment]
                answer = one.recv(65536)
                assert answer.startswith(b"HTTP/1.1 202 "), answer
                self.waits.append(time.perf_counter() - sent.pop(one))
                idle.append(one)
        self.waits.sort()
        return len(self.waits) / (time.perf_counter() - began)

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return self.waits[min(len(self.waits) - 1, int(len(self.waits) * share))] * 1e3
