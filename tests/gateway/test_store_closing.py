"""Closing the store while its own upkeep is due."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.types import Durability
from gateway.store.sqlite import open_store, writer
from tests.gateway.store_env import StoreEnv, run


def test_upkeep_that_comes_behind_the_close_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that falls due while the store closes is left to the close: the disk has not failed."""
    monkeypatch.setattr(writer, "TIDY_AT", 1)
    env = StoreEnv()
    store = run(open_store(tmp_path / "gateway.db", env, durability=Durability(batch=1)))
    told: list[str] = []
    store.failed.addCallback(told.append)
    env.workers["store"].kept = True  # one unit a batch: change, close, and the checkpoint behind them
    last = store._writer.change(lambda tx: tx.db.execute("INSERT INTO meta VALUES ('x', 1)") and None)
    closed = store._writer.put(writer.TIDY, store._writer._close)
    env.workers["store"].release()
    assert last.called
    assert closed.called
    assert told == []
