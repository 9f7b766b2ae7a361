"""Paging the people of the gateway itself: what is wrong with it while it can still say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.logger import Logger

from gateway.adapters.base import Client, Reception, Submission
from gateway.bell import Bell
from gateway.env import Env
from gateway.errors import StoreFull, SubmissionError
from gateway.model import Content, Instant, MessageClass, rfc3339, seconds_between
from gateway.outcome import Level
from gateway.settings.types import Settings
from gateway.waiting import Rounds

log = Logger()

EVERY = 30.0  # seconds between looks
LASTS = 120.0  # seconds after which a trouble is worth a page: a short one mends itself
AGAIN = 86_400.0  # seconds after which it is told again, if it lasts


class Tell:
    """Pages ``watch.tell`` once about each of *troubles* (a sentence, by what it is about) that lasts."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        reception: Reception,
        sender: Client,
        troubles: Callable[[], Mapping[str, str]],
        bell: Bell,
        env: Env,
    ) -> None:
        self._settings = settings
        self._reception = reception
        self._sender = sender
        self._troubles = troubles
        self._env = env
        self._since: dict[str, Instant] = {}
        self._told: dict[str, Instant] = {}
        rounds = Rounds("tell", self._round, bell, env)
        self.start = rounds.start
        self.stop = rounds.stop

    async def _round(self) -> float:
        now = self._env.now()
        troubles = self._troubles()
        self._since = {about: self._since.get(about, now) for about in troubles}
        self._told = {about: at for about, at in self._told.items() if about in troubles}
        for about, says in troubles.items():
            told = self._told.get(about)
            lasts = seconds_between(self._since[about], now) >= LASTS
            if lasts and (told is None or seconds_between(told, now) >= AGAIN):
                self._told[about] = now
                await self._page(about, says)
        return EVERY

    async def _page(self, about: str, says: str) -> None:
        settings = self._settings()
        if not settings.watch.tell:
            return
        day = rfc3339(self._env.wall())[:10]
        submission = Submission(
            to=settings.watch.tell,
            content=Content(text=f"Gateway {settings.site.name}: {says}"),
            message_class=MessageClass.URGENT,
            until=Level.HANDED_OVER,
            idempotency_key=f"{about} {day}",  # one a day, however often the gateway is started again
        )
        try:
            await self._reception.submit(self._sender, submission)
        except (SubmissionError, StoreFull) as error:
            log.error("nobody could be told about {about}: {why}", about=about, why=str(error))
