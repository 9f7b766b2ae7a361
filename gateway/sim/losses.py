"""Answers that are lost on the way: the page has reached the pager, and its sender does not hear so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.env import Env


class Losses:
    """What is lost: of a *share* of the answers *kept* bytes arrive, then the line drops; None: nothing."""

    def __init__(self, kept: int | None, share: float, env: Env) -> None:
        self._kept = kept
        self._share = share
        self._chance = env.random

    def on(self, connection: Protocol, commits: Callable[[bytes], bool]) -> Protocol:
        """*connection*, which may lose its answer to a line that *commits* a page."""
        return connection if self._kept is None else _LossyLine(self, connection, commits)

    def kept(self) -> int | None:
        """Bytes of this answer that arrive; None: all."""
        return self._kept if self._chance.random() < self._share else None


class _LossyLine(Protocol):
    """Between the wire and the carrier: watches what goes in, cuts the answer going out."""

    def __init__(self, losses: Losses, inner: Protocol, commits: Callable[[bytes], bool]) -> None:
        self._losses = losses
        self._inner = inner
        self._commits = commits
        self._tail = b""
        self._committed = False

    def connectionMade(self) -> None:
        self._inner.transport = self  # type: ignore[assignment]  # to the carrier we are its transport
        self._inner.connectionMade()  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        lines = (self._tail + data).split(b"\n")
        self._tail = lines[-1][-8:]
        self._committed = self._committed or any(map(self._commits, lines[:-1]))
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._inner.connectionLost(reason)

    def write(self, data: bytes) -> None:
        """The carrier answers."""
        kept = self._losses.kept() if self._committed else None
        self._committed = False
        transport: Any = self.transport
        transport.write(data if kept is None else data[:kept])
        if kept is not None:
            transport.loseConnection()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)
