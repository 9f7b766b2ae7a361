"""All lanes, and the passing of time."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from gateway.bell import Bell
from gateway.env import Env
from gateway.lane import Lane
from gateway.model import LinkName, Trouble, seconds_between
from gateway.store.base import Work
from gateway.waiting import LOOK_EVERY, Rounds, first_of

log = Logger()


class Dispatch:
    """Starts and stops the lanes, and settles what is due by time alone."""

    def __init__(self, work: Work, bell: Bell, env: Env) -> None:
        self._work = work
        self._bell = bell
        self._env = env
        self._lanes: dict[LinkName, Lane] = {}
        self._lapsing = Rounds("lapse", self._lapse_round, bell, env)

    async def start(
        self, lanes: tuple[Lane, ...], modes: dict[LinkName, tuple[str, str, str | None]]
    ) -> None:
        """Expire what is past its deadline, take over the lanes, then begin to take."""
        await self.lapse()
        await self.add(lanes, modes)
        self._lapsing.start()

    async def add(self, lanes: tuple[Lane, ...], modes: dict[LinkName, tuple[str, str, str | None]]) -> None:
        """More lanes, at the start or after a reload."""
        fence = await self._work.hold(tuple(lane.name for lane in lanes))
        for lane in lanes:
            await lane.recover(fence)
            mode, by, why = modes.get(lane.name, ("open", None, None))
            lane.start(
                "suspended" if mode == "suspended" else "draining" if mode == "draining" else "open", by, why
            )
            self._lanes[lane.name] = lane

    async def remove(self, name: LinkName, limit: float) -> None:
        """A link left the settings or changed: its lane finishes what is begun, within *limit* seconds;
        what does not end in time is in doubt for whoever holds the lane next."""
        lane = self._lanes.pop(name)
        if await first_of(Deferred.fromCoroutine(lane.stop()), self._env.sleep(limit)):
            log.warn("lane of {link} is taken away while it works", link=name)

    async def stop(self) -> None:
        """All lanes finish what is begun; nothing more is begun."""
        await gatherResults(
            [Deferred.fromCoroutine(lane.stop()) for lane in self._lanes.values()], consumeErrors=True
        )
        await self._lapsing.stop()

    def overdue(self) -> tuple[str, ...]:
        """Loops that should have come round by now."""
        late = [lane.name for lane in self._lanes.values() if lane.overdue]
        return (*late, "lapse") if self._lapsing.overdue else tuple(late)

    def lane(self, name: LinkName) -> Lane | None:
        """The lane of a link."""
        return self._lanes.get(name)

    def lanes(self) -> tuple[Lane, ...]:
        """All lanes, in file order of their links at the start."""
        return tuple(self._lanes.values())

    def troubles(self) -> dict[LinkName, Trouble]:
        """Links that should be tried last, and why."""
        return {name: trouble for name, lane in self._lanes.items() if (trouble := lane.trouble) is not None}

    async def lapse(self) -> None:
        """What the passing of time does: deadlines and doubts."""
        lapsed = await self._work.lapse(self._env.now())
        for name in lapsed.lanes:
            self._bell.ring(name)
        if lapsed.incidents:
            self._bell.ring("pursue")
        if lapsed.expired:
            log.warn("deliveries expired: {expired}", expired=lapsed.expired)

    async def _lapse_round(self) -> float:
        due = await self._work.next_lapse()
        wait = LOOK_EVERY if due is None else seconds_between(self._env.now(), due)
        if wait > 0:
            return min(wait, LOOK_EVERY)
        await self.lapse()
        return 0.0
