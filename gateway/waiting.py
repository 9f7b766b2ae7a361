"""Waiting for whichever comes first, without leaving anything behind."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred


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
