"""Watching ourselves: how much waits and since when, and how late the reactor is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.bell import Bell
from gateway.env import Env
from gateway.errors import StoreFailed
from gateway.lifecycle import State
from gateway.model import LinkName, seconds_between
from gateway.observe import Metrics
from gateway.store.base import LaneCount, Records
from gateway.waiting import first_of

log = Logger()

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
        self._bell = bell
        self._env = env
        self._stopping = False
        self._done: Deferred[None] | None = None
        self.counts: tuple[LaneCount, ...] = ()
        self.lag = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._done = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Look no more."""
        self._stopping = True
        self._bell.ring("watch")
        if self._done is not None:
            await self._done

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self.look()
            except StoreFailed:
                return
            except Exception:  # the edge of the room
                log.failure("watching failed; again in {wait} s", wait=EVERY)
            started = self._env.clock.seconds()
            rung = await first_of(self._bell.wait("watch"), self._env.sleep(EVERY))
            if rung == 1:
                self.lag = max(0.0, self._env.clock.seconds() - started - EVERY)
                self._metrics.reactor_lag.set(self.lag)

    async def look(self) -> None:
        """Read the counts once and show them."""
        self.counts = await self._records.counts()
        for name, mode, resting in self._links():
            self._metrics.link(name, mode=mode, resting=resting)
        now = self._env.now()
        waiting = [one for one in self.counts if one.state is State.WAITING]
        self._metrics.waiting(
            {(one.link, one.message_class): one.count for one in waiting},
            {one.message_class: seconds_between(one.oldest, now) for one in waiting},
        )
