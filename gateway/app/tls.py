"""The certificate that a door serves with: looked at again and again, taken when it has been renewed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.logger import Logger

from gateway.bell import Bell
from gateway.env import Env
from gateway.env.tls import ServerTls, UnusablePair, read_certificate
from gateway.errors import SettingsError
from gateway.model import SECOND, rfc3339, seconds_between
from gateway.observe import Metrics
from gateway.settings.certificate import SOON
from gateway.settings.types import Settings, TlsListen
from gateway.waiting import Rounds

log = Logger()

EVERY = 60.0  # seconds between looks at the file
DAY = 86_400.0


class DoorTls:
    """What *door*, a key of ``listen``, serves TLS with, as *settings* say; *reread* gives those of the file
    as it is now.

    A new pair that cannot be used changes nothing: it is logged once, stands in ``reasons``, and is tried
    again at every look, for a key may be written after its certificate. Raises UnusablePair or OSError if
    the first cannot be used.
    """

    def __init__(
        self,
        door: str,
        settings: Callable[[], Settings],
        reread: Callable[[], Settings],
        metrics: Metrics,
        bell: Bell,
        env: Env,
    ) -> None:
        self._door = door
        self._whose = "the API" if door == "http" else f"the door {door}"
        self._settings = settings
        self._reread = reread
        self._metrics = metrics
        self._env = env
        written = self._written(settings())
        assert written is not None
        self.server = ServerTls(read_certificate(env.files.read(Path(written.cert)), written.key.value))
        self._trouble: str | None = None
        self._warned_on = -1
        rounds = Rounds(f"tls {door}", self._round, bell, env)
        self.start = rounds.start
        self.stop = rounds.stop

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong, in sentences."""
        ends = self.server.certificate.ends
        left = seconds_between(self._env.wall(), ends)
        found = (
            []
            if self._trouble is None
            else [f"the new certificate of {self._whose} is not used: {self._trouble}"]
        )
        if left <= 0:
            found.append(f"the certificate of {self._whose} ended at {rfc3339(ends)}")
        elif left < SOON:
            found.append(f"the certificate of {self._whose} ends at {rfc3339(ends)}")
        return tuple(found)

    async def _round(self) -> float:
        self.look()
        return EVERY

    def look(self) -> None:
        """Take a new certificate if there is one; show how long the present one counts."""
        written = self._written(self._settings())
        try:
            if written is not None and self._differs(written):
                fresh = self._written(self._reread())
                if fresh is not None:
                    self._take(fresh)
            self._trouble = None
        except (UnusablePair, OSError, SettingsError) as error:
            why = str(error.mistakes[0]) if isinstance(error, SettingsError) else str(error)
            if why != self._trouble:
                log.error("certificate not renewed: {why}", why=why, door=self._door)
            self._trouble = why
        left = seconds_between(self._env.wall(), self.server.certificate.ends)
        self._metrics.certificate_ends.labels(self._door).set(left)
        today = int(self._env.wall() // (DAY * SECOND))
        if left < SOON and today != self._warned_on:
            self._warned_on = today
            log.warn("certificate of {door} ends in {days} days", door=self._door, days=int(left // DAY))

    def _differs(self, written: TlsListen) -> bool:
        return self._env.files.read(Path(written.cert)) != self.server.certificate.pem

    def _take(self, written: TlsListen) -> None:
        fresh = read_certificate(self._env.files.read(Path(written.cert)), written.key.value)
        if fresh.ends <= self._env.wall() < self.server.certificate.ends:
            raise UnusablePair("cert", f"it ended at {rfc3339(fresh.ends)}.", "Renew it.")
        self.server.certificate = fresh
        self._warned_on = -1
        log.info(
            "certificate renewed: {names} until {until}",
            names=", ".join(fresh.names),
            until=rfc3339(fresh.ends),
            door=self._door,
        )

    def _written(self, settings: Settings) -> TlsListen | None:
        return settings.listen.tls().get(self._door)
