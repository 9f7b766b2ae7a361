"""A store full of waiting messages, written by the store's own intake in a child process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from gateway.env import public_id
from gateway.model import Content, Instant, LinkName, MessageClass, later
from gateway.outcome import Level
from gateway.settings.types import Durability
from gateway.store.base import NewDelivery, NewMessage
from gateway.store.sqlite import open_store
from tests.benchmarks.bench_store import together
from tests.gateway.store_env import StoreEnv, run

BATCH = 256


class Now(StoreEnv):
    """With today's clock, so that nothing has expired when the gateway starts."""

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1000)


def fill(path: Path, *counts: tuple[str, int], message_class: MessageClass) -> None:
    """*counts* messages for each link, accepted by a child process that then ends by ``kill -9``."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        env = Now()
        durability = Durability(min_free=0, batch=BATCH)
        store = run(open_store(path, env, durability=durability))  # type: ignore[arg-type]
        for link, count in counts:
            for first in range(0, count, BATCH):
                size = min(BATCH, count - first)
                news = [_message(env, LinkName(link), first + n, message_class) for n in range(size)]
                together(env, [store.intake.accept(new) for new in news])
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _message(env: Now, link: LinkName, number: int, message_class: MessageClass) -> NewMessage:
    now = env.now()
    carrier = link.partition(".")[0]
    address = str(5550000 + number % 10000)
    return NewMessage(
        public_id=public_id(env),  # type: ignore[arg-type]
        client="bench",
        to=(f"{carrier}:{address}",),
        content=Content(text=f"{number} " + "x" * 80),
        message_class=message_class,
        until=Level.HANDED_OVER,
        at=now,
        expires=None,
        deliveries=(
            NewDelivery(
                leg=0,
                person=None,
                device=None,
                address=address,
                link=link,
                message_class=message_class,
                due=now,
                deadline=later(now, 86_400.0),
            ),
        ),
    )
