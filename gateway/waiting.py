"""Waiting for whichever comes first, and looking again and again, without leaving anything behind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.bell import Bell
from gateway.env import Env
from gateway.errors import StoreFailed

log = Logger()

BEAT = 30.0  # seconds beyond its own plan after which a loop counts as stuck (delivery semantics 13)
LOOK_EVERY = 5.0  # seconds: the bell is a hint, looking is the truth


async def first_of(*waits: Deferred[Any]) -> int:
    """The index of the Deferred that fires first, with or without success; the others are cancelled."""
    won: Deferred[int] = Deferred()
    over = False

    def settle(result: object, index: int) -> None:
        nonlocal over
        if not over:
            over = True
            won.callback(index)

    for index, wait in enumerate(waits):
        wait.addBoth(settle, index)
    try:
        return await won
    except GeneratorExit:  # thrown away, and what it waited for with it: there is nobody to tell
        over, waits = True, ()
        raise
    finally:
        for wait in waits:
            if not wait.called:
                wait.cancel()


class Rounds:
    """One room's loop: it looks when its key is rung, and by time.

    *look* says in how many seconds it wants to look again. What it raises is our bug: it is logged and the
    room goes on, except when the store has failed, for then the daemon stops.
    """

    def __init__(
        self, room: str, look: Callable[[], Coroutine[Any, Any, float]], bell: Bell, env: Env
    ) -> None:
        self._room = room
        self._look = look
        self._bell = bell
        self._env = env
        self._done: Deferred[None] | None = None
        self._round_by = 0.0
        self.stopping = False

    def start(self) -> None:
        """Begin to look."""
        self._done = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Finish the look that is under way, then no more."""
        self.stopping = True
        self._bell.ring(self._room)
        if self._done is not None:
            await self._done

    @property
    def overdue(self) -> bool:
        """Whether it should have come round by now."""
        running = self._done is not None and not self._done.called and not self.stopping
        return running and self._env.clock.seconds() > self._round_by

    async def _run(self) -> None:
        while not self.stopping:
            self._round_by = self._env.clock.seconds() + BEAT
            rung = self._bell.wait(self._room)
            try:
                wait = await self._look()
            except StoreFailed:
                return
            except Exception:  # the edge of the room
                log.failure("{room} failed; it looks again in {wait} s", room=self._room, wait=LOOK_EVERY)
                wait = LOOK_EVERY
            self._round_by = self._env.clock.seconds() + max(0.0, wait) + BEAT
            await first_of(rung, self._env.sleep(max(0.0, wait)))
