"""The loop message: a page to ourselves that goes the way of all pages (delivery semantics 13).

Every minute one is accepted, stored, taken by a lane of its own, handed to a carrier that is none, reported
and concluded. Only then is the watcher outside told that the gateway lives; whatever else it may be that
stops it, its silence is the alarm. Afterwards the message is forgotten, so that the record does not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.adapters.base import (
    AdapterSpec,
    Client,
    Evidence,
    Link,
    Parts,
    Reception,
    Session,
    Submission,
    Surroundings,
)
from gateway.bell import Bell
from gateway.env import Env
from gateway.errors import StoreFull, SubmissionError
from gateway.model import Content, LinkName, MessageClass, Page, PublicId, later, rfc3339
from gateway.observe import Metrics
from gateway.outcome import CarrierRef, Level, NotSent, Taken
from gateway.settings.types import Carrier, LinkSettings, Settings
from gateway.store.base import Housekeeping, Records
from gateway.waiting import Rounds, first_of

log = Logger()

OURSELVES = Client(name="_gateway", administrator=True)  # no name of the settings begins so
LINK = LinkName("_gateway.loop")
TARGET = "_gateway:loop"
BACK_WITHIN = 30.0  # seconds that the walk may take: as long as a loop may be silent (delivery semantics 13)
WHEN_STOPPING = 2.0  # seconds, the same: a stop need not wait for it, but had better leave nothing behind
KEPT = 100  # loop messages that have not ended yet and are to be forgotten

Ping = Callable[[str], Coroutine[Any, Any, str | None]]
"""Asks for an address; None if it was answered well, else why it was not."""


# ---------------------------------------------------------------- the carrier that is none


class LoopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing to set."""


class _Loopback:
    """Takes every page, and proves that it came back."""

    slots = 1
    left: int | None = None

    def __init__(self, link: LinkName, env: Env, reception: Reception) -> None:
        self.lost: Deferred[None] = Deferred()
        self._link = link
        self._env = env
        self._reception = reception

    async def submit(self, page: Page) -> Taken:
        ref = page.correlation
        report = Evidence(
            scope=self._link, ref=ref, state="back", at=self._env.now(), level=Level.ON_DEVICE, final=True
        )
        self._env.clock.callLater(0, self._report, report)
        return Taken(refs=(CarrierRef(scope=self._link, ref=ref),))

    def _report(self, evidence: Evidence) -> None:
        told = Deferred.fromCoroutine(self._reception.report(self._link, evidence))
        told.addErrback(lambda _: None)  # it does not come back: whoever waits for it says so

    async def close(self) -> None:
        """There is nothing to say goodbye to."""


class _LoopLink(Link):
    def __init__(self, name: LinkName, own: LinkSettings, around: Surroundings) -> None:
        self._name, self._env, self._reception = name, around.env, around.reception

    async def open(self) -> Session | NotSent:
        return _Loopback(self._name, self._env, self._reception)


LOOPBACK = AdapterSpec(
    name="_loopback",
    settings=LoopSettings,
    make_link=_LoopLink,
    ceiling=lambda own: Level.ON_DEVICE,
    measure=lambda own: lambda text: Parts(texts=(text,)),
    answers=(),
)
"""Not in the folder of adapters: no settings file can name it."""


def with_loop(settings: Settings) -> Settings:
    """*settings* with our own carrier, if anybody is to be told that it works."""
    if settings.watch.ping is None:
        return settings
    link = LinkSettings(adapter=LOOPBACK.name, path="lan", idle=0.0, own=LoopSettings())
    ours = {LINK.partition(".")[0]: Carrier(links={LINK.partition(".")[2]: link})}
    return msgspec.structs.replace(settings, carriers=settings.carriers | ours)


# ---------------------------------------------------------------- the room


class Loop:
    """Sends loop messages, and tells the watcher outside of each that came back.

    It begins and ends with ``watch.ping`` of the *settings*; what the watcher does never affects sending.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        reception: Reception,
        records: Records,
        housekeeping: Housekeeping,
        ping: Ping,
        metrics: Metrics,
        bell: Bell,
        env: Env,
    ) -> None:
        self._settings = settings
        self._reception = reception
        self._records = records
        self._housekeeping = housekeeping
        self._ping = ping
        self._metrics = metrics
        self._bell = bell
        self._env = env
        self._to_forget: list[PublicId] = []
        self._lost: str | None = None  # why the last loop message did not come back
        self._untold: str | None = None  # why the watcher could not be told
        self._rounds = Rounds("loop", self._round, bell, env)
        self.start = self._rounds.start
        self.stop = self._rounds.stop

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong, in sentences, by what it is about."""
        found = {"loop": self._lost, "watcher": self._untold}
        return {about: says for about, says in found.items() if says is not None}

    async def _round(self) -> float:
        watch = self._settings().watch
        if watch.ping is None:
            self._lost = self._untold = None
            return watch.every
        began = self._env.clock.seconds()
        lost = await self._walk()
        if self._rounds.stopping:
            return 0.0
        self._metrics.loops.labels("came_back" if lost is None else "lost").inc()
        if lost is not None and self._lost is None:
            log.error("loop message did not come back: {why}", why=lost)
        elif lost is None and self._lost is not None:
            log.info("loop message came back again")
        self._lost = None if lost is None else self._lost or f"{lost}, since {rfc3339(self._env.wall())}"
        if lost is None:
            await self._tell(watch.ping.value)
        return max(0.0, began + watch.every - self._env.clock.seconds())

    async def _walk(self) -> str | None:
        """One message, there and back: None, or why it did not come."""
        try:
            accepted = await self._reception.submit(
                OURSELVES,
                Submission(
                    to=(TARGET,),
                    content=Content(text="loop"),
                    message_class=MessageClass.NORMAL,
                    until=Level.HANDED_OVER,
                    expires_in=BACK_WITHIN,
                ),
            )
        except (SubmissionError, StoreFull) as error:
            return f"a message of our own was not accepted: {error}"
        self._to_forget = [*self._to_forget, accepted.id][-KEPT:]
        back = await self._is_back(accepted.id)
        for one in self._to_forget:
            if await self._housekeeping.forget_message(one):
                self._to_forget = [other for other in self._to_forget if other != one]
        return None if back else f"a message of our own is not back after {BACK_WITHIN:g} s"

    async def _is_back(self, id_: PublicId) -> bool:
        began = self._env.now()
        while self._env.now() < later(began, WHEN_STOPPING if self._rounds.stopping else BACK_WITHIN):
            row = await self._records.message(id_, client=OURSELVES.name)
            if row is not None and row.level >= Level.ON_DEVICE:
                return True
            await first_of(self._bell.wait(row.message if row else LINK), self._env.sleep(1.0))
        return False

    async def _tell(self, url: str) -> None:
        why = await self._ping(url)
        self._metrics.pings.labels("ok" if why is None else "failed").inc()
        if why is not None and self._untold is None:
            log.error("the watcher outside cannot be told: {why}", why=why)
        elif why is None and self._untold is not None:
            log.info("the watcher outside is told again")
        said = f"the watcher outside cannot be told: {why}, since {rfc3339(self._env.wall())}"
        self._untold = None if why is None else self._untold or said
