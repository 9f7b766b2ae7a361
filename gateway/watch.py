"""Watching ourselves: how much waits and since when, and how late the reactor is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.bell import Bell
from gateway.env import Env
from gateway.lifecycle import State
from gateway.model import LinkName, MessageClass, seconds_between
from gateway.observe import Metrics
from gateway.store.base import LaneCount, Records
from gateway.waiting import Rounds

EVERY = 5.0  # seconds between looks; each is one grouped read of an index on the reading connection


class Watch:
    """Samples the store, the links and the reactor; ``counts`` is what it saw last.

    *links* tells each link's name, mode and whether it rests.
    """

    def __init__(
        self,
        records: Records,
        links: Callable[[], Iterable[tuple[LinkName, str, bool]]],
        metrics: Metrics,
        bell: Bell,
        env: Env,
    ) -> None:
        self._records = records
        self._links = links
        self._metrics = metrics
        self._env = env
        self._expected: float | None = None
        rounds = Rounds("watch", self._round, bell, env)
        self.start = rounds.start
        self.stop = rounds.stop
        self.counts: tuple[LaneCount, ...] = ()
        self.lag = 0.0

    async def _round(self) -> float:
        if self._expected is not None:
            self.lag = max(0.0, self._env.clock.seconds() - self._expected)
            self._metrics.reactor_lag.set(self.lag)
        self._expected = None  # a look that breaks says nothing about the reactor
        await self.look()
        self._expected = self._env.clock.seconds() + EVERY
        return EVERY

    async def look(self) -> None:
        """Read the counts once and show them."""
        self.counts = await self._records.counts(self._env.now())
        for name, mode, resting in self._links():
            self._metrics.link(name, mode=mode, resting=resting)
        waiting = [one for one in self.counts if one.state is State.WAITING]
        self._metrics.waiting(
            {(one.link, one.message_class): one.count for one in waiting},
            {each: age for each in MessageClass if (age := self.oldest(each)) is not None},
        )

    def oldest(self, message_class: MessageClass) -> float | None:
        """For how many seconds the oldest of a class has waited for its turn or its next try, as of the last
        look; None: nothing does."""
        since = [
            one.oldest_due
            for one in self.counts
            if (one.state, one.message_class) == (State.WAITING, message_class) and one.oldest_due is not None
        ]
        return seconds_between(min(since), self._env.now()) if since else None
