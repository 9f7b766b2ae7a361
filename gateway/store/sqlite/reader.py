"""The thread that reads: its own read-only connection, so that looking never waits for the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from gateway.env import Env
from gateway.errors import StoreFailed
from gateway.store.sqlite.opening import connect
from gateway.store.sqlite.tx import Reader
from gateway.store.sqlite.writer import Writer, stops_all

R = TypeVar("R")

_Question = tuple[Callable[[Reader], Any], Deferred[Any]]


class ReadThread:
    """Answers questions one after the other, each as of the last commit."""

    def __init__(self, env: Env, path: Path, writer: Writer) -> None:
        self._path = path
        self._writer = writer
        self._reader: Reader | None = None
        self._worker = env.worker("store-read", self._work, self._done, limit=16)

    def ask(self, question: Callable[[Reader], R], *, first: bool = True) -> Deferred[R]:
        """Fires with the answer; *first* overtakes what people only look at."""
        told: Deferred[R] = Deferred()
        if self._writer.broken is not None:
            told.errback(StoreFailed(self._writer.broken))
        else:
            self._worker.put((question, told), first=first)
        return told

    async def close(self) -> None:
        told: Deferred[None] = Deferred()
        self._worker.put((self._close, told))
        await told
        await self._worker.stop()

    def _work(self, questions: Sequence[_Question]) -> list[Any]:
        return [self._answer(question) for question, _ in questions]

    def _answer(self, question: Callable[[Reader], Any]) -> Any:
        try:
            if self._reader is None:
                self._reader = Reader(connect(self._path, read_only=True))
            return question(self._reader)
        except Exception as error:
            return error

    def _done(self, questions: Sequence[_Question], results: Sequence[Any] | BaseException) -> None:
        if isinstance(results, BaseException):
            results = [results] * len(questions)
        for (_, told), result in zip(questions, results, strict=True):
            if isinstance(result, sqlite3.Error) and stops_all(result):
                why = f"the database could not be read: {result} ({result.sqlite_errorname})"
                self._writer.fail(why)
                told.errback(StoreFailed(why))
            elif isinstance(result, BaseException):
                told.errback(result)
            else:
                told.callback(result)

    def _close(self, reader: Reader) -> None:
        reader.db.close()
        self._reader = None
