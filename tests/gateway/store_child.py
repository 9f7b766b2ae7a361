"""A process with a store, for tests that break its disk or kill it.

Usage: ``python -m tests.gateway.store_child DATABASE [COUNT]``. Accepts and hands over COUNT messages one by
one; says ``ready`` when open, then the public id of each message after its accept has returned, then
``failed``, ``full`` or ``done``. Exits as the daemon would: 74 if the disk failed, a refusal's own code.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.errors import StoreFailed, StoreFull, StoreRefused
from gateway.lifecycle import Happening
from gateway.settings.types import Durability
from gateway.store.sqlite import open_store
from tests.contract.store_case import SqliteCase
from tests.gateway.store_env import StoreEnv, run


class Child(SqliteCase):
    """The harness without a folder of its own."""

    def __init__(self, env: StoreEnv, path: Path) -> None:
        super(SqliteCase, self).__init__(env)
        self.store = run(open_store(path, env, durability=Durability(min_free=0)))  # type: ignore[arg-type]


def main() -> None:
    path, count = Path(sys.argv[1]), int(sys.argv[2])
    try:
        case = Child(StoreEnv(seed=int(sys.argv[3]) if len(sys.argv) > 3 else 1), path)
    except StoreRefused as refused:
        print(refused, flush=True)
        sys.exit(refused.exit_code)
    print("ready", flush=True)
    try:
        for _ in range(count):
            print(case.accept().public_id, flush=True)
            for begun in case.begin():
                case.conclude(begun, Happening.TAKEN)
    except StoreFailed:
        print("failed", flush=True)
        try:
            case.accept()
        except StoreFailed:
            sys.exit(74 if case.store.failed.called else 1)
        print("promised after a failure", flush=True)
        sys.exit(1)
    except StoreFull:
        print("full", flush=True)
    print("done", flush=True)
    sys.stdin.read()  # stay until told, so that others meet the lock
    run(case.store.close())


if __name__ == "__main__":
    main()
