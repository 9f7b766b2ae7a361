"""The supervisor's watchdog: fed only while the gateway can still do its work (delivery semantics 13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.logger import Logger

from gateway.env import Clock, Supervisor

log = Logger()

LATEST = 1.0  # seconds that the reactor may be late
OLDEST_COMMIT = 10.0  # seconds
STATUS_EVERY = 10.0  # seconds between status lines, which cost more than the rest
SHOWN = 200  # characters of a status line


class Watchdog:
    """Looks several times within what *supervisor* allows, and says that we live, or nothing.

    *commit_age* is the age of the store's oldest unfinished commit, *overdue* names the loops that have not
    come round in their time, *status* is a line for people.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        clock: Clock,
        commit_age: Callable[[], float],
        overdue: Callable[[], Sequence[str]],
        status: Callable[[], str],
    ) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._commit_age = commit_age
        self._overdue = overdue
        self._status = status
        self._every = min(LATEST, (supervisor.watchdog or 0.0) / 4)
        self._expected = 0.0
        self._call: Any = None  # an IDelayedCall, which mypy cannot read
        self._status_at = 0.0
        self._hungry_since: float | None = None

    def start(self) -> None:
        """Begin to feed, if anybody wants to be."""
        if self._supervisor.watchdog is not None:
            self._next()

    def stop(self) -> None:
        """No more; the supervisor has been told that we stop."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _next(self) -> None:
        self._expected = self._clock.seconds() + self._every
        self._call = self._clock.callLater(self._every, self._tick)

    def _tick(self) -> None:
        now = self._clock.seconds()
        why = self._trouble(now - self._expected)
        self._next()
        if why is not None:
            if self._hungry_since is None:
                self._hungry_since = now
                log.error("watchdog not fed: {why}", why=why)
            return
        if self._hungry_since is not None:
            log.warn("watchdog fed again after {seconds} s", seconds=round(now - self._hungry_since, 1))
            self._hungry_since = None
        if now < self._status_at:
            self._supervisor.say("WATCHDOG=1")
            return
        self._status_at = now + STATUS_EVERY
        self._supervisor.say("WATCHDOG=1", status_line(self._status()))

    def _trouble(self, lag: float) -> str | None:
        if lag >= LATEST:
            return f"the reactor is {lag:.1f} s late"
        age = self._commit_age()
        if age >= OLDEST_COMMIT:
            return f"a commit is not finished after {age:.0f} s"
        overdue = self._overdue()
        return f"no sign of life from {', '.join(overdue[:5])}" if overdue else None


def status_line(status: str) -> str:
    """*status* as systemd shows it beside the unit: one line."""
    return "STATUS=" + "".join(c if c.isprintable() else " " for c in status)[:SHOWN]
