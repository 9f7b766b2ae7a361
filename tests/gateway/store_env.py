"""The smallest Env a store can live in: workers run at once, the clock is moved by hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from gateway.model import SECOND, Instant

T = TypeVar("T")
START = 1_700_000_000 * SECOND


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of something that does not have to wait."""
    told: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(told.append)
    assert told, "it waits for something that does not come"
    if isinstance(told[0], Failure):
        told[0].raiseException()
    return told[0]  # type: ignore[no-any-return]


class InlineWorker:
    """Runs what is put at once; while *kept*, it gathers like a busy thread does."""

    def __init__(self, work: Callable[..., Any], done: Callable[..., Any], limit: int) -> None:
        self._work, self._done, self._limit = work, done, limit
        self._first: list[Any] = []
        self._other: list[Any] = []
        self._busy = False
        self.kept = False

    def put(self, item: Any, *, first: bool = False) -> None:
        (self._first if first else self._other).append(item)
        self._go()

    @property
    def waiting(self) -> int:
        return len(self._first) + len(self._other)

    def release(self) -> None:
        self.kept = False
        self._go()

    def stop(self) -> Deferred[None]:
        told: Deferred[None] = Deferred()
        told.callback(None)
        return told

    def _go(self) -> None:
        if self._busy or self.kept:
            return
        self._busy = True
        while self.waiting:
            batch = []
            while self.waiting and len(batch) < self._limit:
                batch.append((self._first or self._other).pop(0))
            try:
                results: Sequence[Any] | BaseException = self._work(batch)
            except Exception as error:
                results = error
            self._done(batch, results)
        self._busy = False


class Disk:
    """Real files; *free_bytes* may be set."""

    free_bytes: int | None = None

    def free(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free if self.free_bytes is None else self.free_bytes

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def replace(self, path: Path, data: bytes) -> None:
        beside = path.with_name(path.name + ".new")
        beside.write_bytes(data)
        os.replace(beside, path)


class StoreEnv:
    """An Env without a network."""

    def __init__(self, seed: int = 1) -> None:
        self.clock: Any = Clock()
        self.random = Random(seed)
        self.net: Any = None
        self.files = Disk()
        self.workers: dict[str, InlineWorker] = {}
        self.failpoints: list[str] = []
        self.kept: set[str] = set()  # names of workers that only gather until they are released

    def now(self) -> Instant:
        return Instant(START + round(self.clock.seconds() * SECOND))

    def wall(self) -> Instant:
        return self.now()

    def worker(self, name: str, work: Any, done: Any, *, limit: int) -> Any:
        self.workers[name] = InlineWorker(work, done, limit)
        self.workers[name].kept = name in self.kept
        return self.workers[name]

    def sleep(self, seconds: float) -> Deferred[None]:
        told: Deferred[None] = Deferred()
        self.clock.callLater(seconds, told.callback, None)
        return told

    def failpoint(self, name: str) -> None:
        self.failpoints.append(name)
