"""What may be forgotten is forgotten: texts, idempotency keys, unmatched receipts, in small bites."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from gateway.bell import Bell
from gateway.env import Env
from gateway.model import later
from gateway.settings.types import Settings
from gateway.store.base import Housekeeping as Room
from gateway.waiting import Rounds

log = Logger()

EVERY = 60.0  # seconds between rounds
BITE = 500  # rows a unit: a round never holds up the writer for long
KEYS_KEPT = 72 * 3600.0  # seconds (delivery semantics 7)


class Housekeeping:
    """Deletes in chunks what the site need not keep."""

    def __init__(self, room: Room, settings: Callable[[], Settings], bell: Bell, env: Env) -> None:
        self._room = room
        self._settings = settings
        self._env = env
        rounds = Rounds("housekeeping", self._look, bell, env)
        self.start = rounds.start
        self.stop = rounds.stop

    async def _look(self) -> float:
        return 1.0 if await self.round() else EVERY

    async def round(self) -> bool:
        """One bite of everything; whether there is more."""
        now = self._env.now()
        texts = await self._room.forget_texts(later(now, -self._settings().keep.text), BITE)
        keys = await self._room.forget_keys(later(now, -KEYS_KEPT), BITE)
        if texts or keys:
            log.debug("forgotten: {texts} texts, {keys} keys", texts=texts, keys=keys)
        return BITE in (texts, keys)
