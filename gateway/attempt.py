"""One try of a delivery, from begun to outcome."""

from __future__ import annotations

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.adapters.base import Session
from gateway.env import Env
from gateway.model import Page
from gateway.outcome import InDoubt, Outcome
from gateway.retry import BROKE, OVERDUE

log = Logger()


async def attempt(session: Session, page: Page, env: Env, limit: float) -> Outcome:
    """Submit *page* once; one of the five outcomes, whatever the adapter does.

    An adapter that raises has a bug, and one that is silent for *limit* seconds has one too: what it sent
    is unknown, so both are InDoubt. The lane quarantines a page that breaks its adapter three times.
    """
    under_way = Deferred.fromCoroutine(session.submit(page))
    try:
        return await under_way.addTimeout(limit, env.clock)  # type: ignore[arg-type]  # Clock is IReactorTime
    except defer.TimeoutError:
        log.error("attempt overdue: {delivery} after {limit} s", delivery=page.delivery, limit=limit)
        return InDoubt(code=OVERDUE, why=f"no outcome after {limit:.0f} s")
    except Exception:  # the edge of the room: an adapter's bug must not stop its lane
        log.failure("adapter broke on delivery {delivery}", delivery=page.delivery)
        return InDoubt(code=BROKE, why="the adapter failed on this page; see the log")
