"""A sync that fails, each of the first hundreds in turn: nothing is promised after it, and nothing promised before
it is lost (faults-and-threats F07).

    python -m tests.crash.syncs [--first 200]

``tests/crash/test_syncs.py`` runs the same for some of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.gateway.test_store_faults import child, known, needs, opened, promised, said


def fails(folder: Path, when: int) -> int:
    """A process accepts pages on a new database until its sync number *when* fails; how many it promised."""
    trace = folder / "trace"
    rule = f"inject=fdatasync,fsync:error=EIO:when={when}"
    process = child(
        folder / "gateway.db",
        when,
        before=(needs("strace"), "-f", "-y", "-qq", "-o", str(trace), "-e", rule, "-e", "signal=none"),
    )
    lines = said(process)
    ids = promised(lines)
    if f"<{folder}>)" in _injected(trace):
        # SQLite says nothing of a folder that did not sync; the gateway syncs it once more by itself when it
        # leaves its note, and ends with 74 if that fails
        assert (lines[-1], process.returncode) == ("done", 0)
    elif "ready" in lines:
        assert (lines[-1], process.returncode) == ("failed", 74)
    else:  # the sync that failed was one of the opening
        assert ids == []
        assert process.returncode == 74
    case = opened(folder / "gateway.db")
    assert known(case, ids) == ids
    return len(ids)


def _injected(trace: Path) -> str:
    return next((line for line in trace.read_text().splitlines() if "INJECTED" in line), "")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, default=200, help="how many syncs to break, one a run (200)")
    first = parser.parse_args().first
    total = 0
    for when in range(1, first + 1):
        with tempfile.TemporaryDirectory(prefix="syncs-") as folder:
            total += fails(Path(folder), when)
        if when % 20 == 0:
            print(f"{when} of {first}", file=sys.stderr, flush=True)
    print(f"{first} runs, one failed sync each, {total} pages promised before it: 0 after it, 0 lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
