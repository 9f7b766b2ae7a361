"""The hint between rooms: something changed, look at the store.

A room that leaves a due row rings; a room that waits is woken. The row is the truth and the bell only a
hint: a ring that nobody hears is lost without harm, because every waiter also looks by time.
"""

from __future__ import annotations

from collections.abc import Hashable

from twisted.internet.defer import Deferred


class Bell:
    """Wakes those who wait for a key: a LinkName for its lane, ``"pursue"``, a MessageKey for a long poll."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Deferred[None]]] = {}

    def ring(self, key: Hashable) -> None:
        """Wake everyone who waits for *key* now."""
        for waiter in self._waiting.pop(key, ()):
            if not waiter.called:
                waiter.callback(None)

    def wait(self, key: Hashable) -> Deferred[None]:
        """Fires at the next ring for *key*, or when it is cancelled; never fails."""

        def forget(cancelled: Deferred[None]) -> None:
            waiters = self._waiting.get(key)
            if waiters is not None and cancelled in waiters:
                waiters.remove(cancelled)
                if not waiters:
                    del self._waiting[key]
            cancelled.callback(None)  # not an error: nobody waits for this ring any more

        waiter: Deferred[None] = Deferred(forget)
        self._waiting.setdefault(key, []).append(waiter)
        return waiter
