"""A gateway on a disk whose syncs are slow (F08): ``python -m tests.crash.power_slow --delay 0.008``.

Prints how many messages a second are accepted, each after a sync, by that many connections of which each
waits for its answer before it asks again. Asserts nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import platform
import selectors
import socket
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.crash.power_record import shim
from tests.crash.rig import TOKEN, Rig

NUMBERS = struct.Struct("=3q")


class SlowDisk:
    """What tests/crash/shim/slow.c does to the syncs of a process that is started behind ``prefix``."""

    def __init__(self, folder: Path) -> None:
        file = folder / "slow-disk"
        file.write_bytes(bytes(NUMBERS.size))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), NUMBERS.size)
        self.prefix = ["env", f"LD_PRELOAD={shim('slow', folder)}", f"SLOW_DISK={file}"]

    def take(self, seconds: float) -> None:
        """From now on a sync takes this much longer, one that is under way too."""
        struct.pack_into("=q", self._map, 0, round(seconds * 1e6))

    @property
    def begun(self) -> int:
        """Syncs that were begun."""
        return int(NUMBERS.unpack(self._map)[1])

    @property
    def ended(self) -> int:
        """Syncs that have ended."""
        return int(NUMBERS.unpack(self._map)[2])


@contextlib.contextmanager
def slow_rig(folder: Path) -> Iterator[tuple[Rig, SlowDisk]]:
    """A gateway and its carriers, started and ready, on a disk that is not slow yet."""
    disk = SlowDisk(folder)
    with Rig(folder) as rig:
        rig.start_carriers()
        rig.start(prefix=disk.prefix)
        yield rig, disk


def accepted(rig: Rig, connections: int, seconds: float) -> list[float]:
    """The seconds that each answer took, of all messages accepted in that many seconds."""
    body = json.dumps({"to": "solo:5550001", "text": "bed 4 of ward C3 calls", "class": "normal"}).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nHost: rig\r\nAuthorization: Bearer {TOKEN}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    waits: list[float] = []
    asked: dict[socket.socket, float] = {}
    heard: dict[socket.socket, bytes] = {}
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as ready, contextlib.ExitStack() as stack:
        for _ in range(connections):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", rig.http), 60))
            ready.register(caller, selectors.EVENT_READ)
            asked[caller], heard[caller] = time.monotonic(), b""
            caller.sendall(request)
        while time.monotonic() < end:
            for key, _ in ready.select(1.0):
                caller = key.fileobj
                assert isinstance(caller, socket.socket)
                heard[caller] += (more := caller.recv(65536))
                assert more, f"closed after {heard[caller]!r}"
                answer, gap, rest = heard[caller].partition(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                if not gap or len(rest) < length:
                    continue
                assert answer.startswith(b"HTTP/1.1 202"), heard[caller]
                now = time.monotonic()
                waits.append(now - asked[caller])
                asked[caller], heard[caller] = now, b""
                caller.sendall(request)
    return waits


def main() -> None:
    """Measure once."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--delay", type=float, default=0.008, help="seconds that a sync takes besides its own"
    )
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--seconds", type=float, default=10.0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as made, slow_rig(Path(made)) as (rig, disk):
        disk.take(chosen.delay)
        before = disk.ended
        waits = sorted(accepted(rig, chosen.connections, chosen.seconds))
        syncs = disk.ended - before
    rows = {
        "a sync takes besides its own time": f"{chosen.delay * 1000:g} ms",
        "connections": chosen.connections,
        "accepts/s": f"{len(waits) / chosen.seconds:,.0f}",
        "syncs/s": f"{syncs / chosen.seconds:,.0f}",
        "answer p50, p99": f"{waits[len(waits) // 2] * 1000:.0f} ms, {waits[len(waits) * 99 // 100] * 1000:.0f} ms",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "other work (load average)": f"{os.getloadavg()[0]:.1f}",
        "versions": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    for name, value in rows.items():
        print(f"{name:34} {value}")


if __name__ == "__main__":
    sys.exit(main())
