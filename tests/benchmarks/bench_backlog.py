"""The whole gateway behind a long queue: memory, a restart after ``kill -9``, a critical page behind bulk.

    python -m tests.benchmarks.bench_backlog [--queued 1000000] [--bulk 50000] [--criticals 200]

Prints figures with machine and versions; asserts nothing.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import time
from pathlib import Path

from gateway.model import MessageClass
from tests.benchmarks.daemon import Bench, machine, request
from tests.benchmarks.queued import fill
from tests.crash.rig import until

SESSIONS = 8
DELAY = 0.01  # seconds that the sink takes for a page: bulk keeps all its sessions busy
GAP = 0.1  # seconds between two critical pages


def backlog(queued: int) -> None:
    """Memory per queued message, and the first page after a kill."""
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder), sessions=SESSIONS) as bench:
        bench.start()
        time.sleep(7.0)  # the first samples of what waits have been taken
        empty = bench.memory()
        bench.stop()
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder), sessions=SESSIONS) as bench:
        began = time.perf_counter()
        fill(Path(folder) / "gateway.db", ("sink.a", queued), message_class=MessageClass.NORMAL)
        print(f"{queued} messages stored in {time.perf_counter() - began:.0f} s")
        bench.start()
        time.sleep(7.0)
        full = bench.memory()
        print(
            f"memory: {empty / 2**20:.0f} MiB with none queued, {full / 2**20:.0f} MiB with {queued}:"
            f" {(full - empty) / queued:.0f} B a message (must ≤ 400, aim ≤ 50)"
        )
        bench.gateway.kill()
        bench.start_sink()
        for what in ("kill -9 with nothing begun", "kill -9 while handing over"):
            before = bench.taken()
            began = time.perf_counter()
            bench.gateway.start()
            until(lambda before=before: bench.taken() > before, "a first page", 120, pause=0.005)  # type: ignore[misc]
            print(
                f"{what}: first hand-over {time.perf_counter() - began:.2f} s after the start of the process"
                " (must ≤ 5, aim ≤ 2)",
                flush=True,
            )
            time.sleep(3.0)
            bench.gateway.kill()


def flood(bulk: int, criticals: int) -> None:
    """Critical pages while bulk waits for the same carrier and another carrier is dead."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench(Path(folder), sessions=SESSIONS, delay=DELAY) as bench,
    ):
        fill(
            Path(folder) / "gateway.db",
            ("sink.a", bulk),
            ("dead.a", 1000),
            message_class=MessageClass.BULK,
        )
        bench.start_sink()
        bench.start()
        until(lambda: bench.taken() > 100, "bulk is going out")
        accepted: dict[str, float] = {}
        acks = []
        with socket.create_connection(("127.0.0.1", bench.http)) as client:
            for number in range(criticals):
                pager = f"{9_000_000 + number}"
                asked = time.monotonic()
                message = request(number, f"sink:{pager}", "critical")
                client.sendall(message)
                answer = client.recv(65536)
                accepted[pager] = time.monotonic()
                assert answer.startswith(b"HTTP/1.1 202 "), answer
                acks.append(accepted[pager] - asked)
                time.sleep(GAP)

        def seen() -> dict[str, float]:
            lines = (line.decode().split() for line in bench.ask_sink(b"WHEN")[:-1])
            return {pager: float(at) for pager, at in lines}

        until(lambda: len(seen()) == criticals, "all criticals are out")
        still = bulk - bench.taken()
        waits = sorted(max(0.0, at - accepted[pager]) * 1e3 for pager, at in seen().items())
        acks.sort()
        print(
            f"{criticals} critical pages behind {bulk} bulk ({still} still waiting at the end), a dead carrier beside:"
            f" acceptance to first byte p50 {waits[len(waits) // 2]:.1f} ms, p99 {waits[len(waits) * 99 // 100]:.1f} ms,"
            f" max {waits[-1]:.1f} ms (must p99 ≤ 500, aim ≤ 100); acceptance itself p50"
            f" {acks[len(acks) // 2] * 1e3:.1f} ms, p99 {acks[len(acks) * 99 // 100] * 1e3:.1f} ms"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--queued", type=int, default=1_000_000)
    options.add_argument("--bulk", type=int, default=50_000)
    options.add_argument("--criticals", type=int, default=200)
    chosen = options.parse_args()
    print(machine())
    if chosen.queued:
        backlog(chosen.queued)
    if chosen.bulk:
        flood(chosen.bulk, chosen.criticals)


if __name__ == "__main__":
    main()
