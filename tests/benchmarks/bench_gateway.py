"""What the whole gateway does: accepting, handing over, answering at half of that; and where its CPU goes.

    python -m tests.benchmarks.bench_gateway [--seconds 8] [--sessions 64] [--profile FILE]

Generator, gateway and sink share the machine: trust the CPU per message, and ratios. Asserts nothing.
"""

from __future__ import annotations

import argparse
import pstats
import tempfile
import time
from pathlib import Path

from tests.benchmarks.daemon import CONNECTIONS, Bench, Load, machine
from tests.crash.rig import until


def accepts(seconds: float, sessions: int) -> None:
    """Durable accepts with the receiver down."""
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder), sessions=sessions) as bench:
        bench.start()
        with Load(bench.http, "dead", "normal") as load:
            load.run(1.0)
            before = bench.cpu()
            rate = load.run(seconds)
            cpu = bench.cpu() - before
        each = cpu / len(load.waits) * 1e6
        _row("accepts, receiver down", rate, each, load)


def end_to_end(seconds: float, sessions: int, profile: Path | None) -> None:
    """Accepted, handed over to a local sink and recorded; then the answers at half of that rate."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Bench(Path(folder), sessions=sessions, profile=profile) as bench,
    ):
        bench.start_sink()
        bench.start()
        with Load(bench.http, "sink") as load:
            load.run(1.0)
            _until_taken(bench, len(load.waits))
            taken, cpu, began = bench.taken(), bench.cpu(), time.perf_counter()
            rate = load.run(seconds)
            pages = len(load.waits)
            _until_taken(bench, taken + pages)
            elapsed = time.perf_counter() - began
            each = (bench.cpu() - cpu) / pages * 1e6
            _row("accepts, while handing over", rate, each, load)
            print(f"{'accepted, handed over, on record':34}{pages / elapsed:9.0f}{each:9.0f}")
            if profile is None:
                half = pages / elapsed / 2
                load.run(seconds, half)
                _row(f"paced at half of that ({half:.0f}/s)", half, None, load)
                load.run(seconds, 100.0)
                _row("paced at 100/s", 100.0, None, load)
                _until_taken(bench, taken)
        bench.stop()
    if profile is not None:
        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(40)


def _until_taken(bench: Bench, pages: int) -> None:
    until(lambda: bench.taken() >= pages, f"{pages} pages at the sink", 120, pause=0.05)


def _row(what: str, rate: float, each: float | None, load: Load) -> None:
    cpu = f"{each:9.0f}" if each is not None else " " * 9
    print(f"{what:34}{rate:9.0f}{cpu}{load.percentile(0.5):9.2f}{load.percentile(0.99):9.2f}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=8.0)
    options.add_argument("--sessions", type=int, default=64)
    options.add_argument("--profile", type=Path, help="cProfile of the daemon's own thread; print the top")
    chosen = options.parse_args()
    print(machine())
    print(f"{CONNECTIONS} connections, {chosen.sessions} SNPP sessions")
    print(f"{'':34}{'per s':>9}{'CPU µs':>9}{'p50 ms':>9}{'p99 ms':>9}")
    if chosen.profile is None:
        accepts(chosen.seconds, chosen.sessions)
    end_to_end(chosen.seconds, chosen.sessions, chosen.profile)


if __name__ == "__main__":
    main()
