"""The next move of every incident that is due: next leg, stop, unanswered, done."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from gateway.bell import Bell
from gateway.env import Env
from gateway.errors import StoreFailed
from gateway.model import Instant, LinkName, later, seconds_between
from gateway.observe import Metrics
from gateway.people.escalate import next_move
from gateway.route import Outlook
from gateway.settings.types import Settings
from gateway.store.base import Advance, DeskRoom, Facts, PursuitRoom
from gateway.waiting import LOOK_EVERY, Rounds

log = Logger()

BROKEN_WAITS = 60.0  # seconds until an incident on which our own code broke is looked at again
AT_ONCE = 64  # incidents a turn: bounds what a crash can leave half done in memory (nothing on disk)


class Pursue:
    """Takes due incidents, asks the pure ladder, records the move. One of it runs."""

    def __init__(
        self,
        pursuit: PursuitRoom,
        desk: DeskRoom,
        settings: Callable[[], Settings],
        outlook: Callable[[], Outlook],
        bell: Bell,
        env: Env,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._pursuit = pursuit
        self._desk = desk
        self._settings = settings
        self._outlook = outlook
        self._bell = bell
        self._env = env
        self._rounds = Rounds("pursue", self._round, bell, env)
        self.start = self._rounds.start
        self.stop = self._rounds.stop

    @property
    def overdue(self) -> bool:
        """Whether its loop should have come round by now."""
        return self._rounds.overdue

    async def _round(self) -> float:
        return 0.0 if await self.look() else await self._until_next()

    async def look(self) -> bool:
        """Make the moves that are due now; whether there may be more."""
        due = await self._pursuit.due(self._env.now(), AT_ONCE)
        for facts in due:
            try:
                await self._move(facts)
            except StoreFailed:
                raise
            except Exception:  # one bad incident must not stop the others
                log.failure("incident of {message} could not be pursued", message=facts.public_id)
                await self._later(facts)
        return len(due) == AT_ONCE

    async def _later(self, facts: Facts) -> None:
        """Not again at once: an incident that cannot be pursued must not keep the others waiting."""
        now = self._env.now()
        again = later(now, BROKEN_WAITS)
        await self._pursuit.advance(
            Advance(incident=facts.incident, version=facts.version, at=now, due=again)
        )

    async def _until_next(self) -> float:
        next_due: Instant | None = await self._pursuit.next_due()
        if next_due is None:
            return LOOK_EVERY
        return min(LOOK_EVERY, max(0.0, seconds_between(self._env.now(), next_due)))

    async def _move(self, facts: Facts) -> None:
        settings = self._settings()
        now = self._env.now()
        move = next_move(settings.classes, facts, now, self._outlook())
        if not await self._pursuit.advance(move):
            self._bell.ring("pursue")  # somebody else moved it: look again with fresh facts
            return
        self._env.failpoint("T5")
        known = set(settings.link_names())
        for opened in move.open:
            if opened.link in known:
                self._bell.ring(opened.link)
            else:
                await self._desk.drop_link(LinkName(opened.link), now)
                self._bell.ring("pursue")
        if move.ending is not None:
            level = log.info if move.ending == "confirmed" else log.warn
            self._metrics.ended.labels(move.ending).inc()
            level("incident ended: {ending}", ending=move.ending, message=facts.public_id)
        if move.open or move.stop or move.ending:
            self._bell.ring(facts.message)
