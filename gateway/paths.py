"""The Internet is down: when every way out by it rests, and whoever is asked outside does not answer either.

Then critical and urgent pages go by phone and cell at once, those that wait already and those that come
(delivery semantics 8.1). A link that nobody has tried knows nothing, so when one fails all of
its path are connected to, although nothing waits for them.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from gateway.bell import Bell
from gateway.env import Address, Env
from gateway.lane import Lane
from gateway.model import Instant, later
from gateway.observe import Metrics
from gateway.settings.kinds import host_and_port
from gateway.settings.types import Settings
from gateway.store.base import PursuitRoom
from gateway.waiting import LOOK_EVERY, Rounds

log = Logger()

INTERNET = "internet"
PROVEN_FOR = 60.0  # seconds for which a connection that was made says that its link works
PROBE_EVERY = 15.0  # seconds between questions outside: as long as a link's first rest
PROBE_WITHIN = 5.0  # seconds that a connection outside may take
HURRIED = (
    2000  # deliveries a link whose pursuits look again at once; those behind look after `next_leg_after`
)


class Paths:
    """Watches the links of the Internet; ``down`` are the paths that lead nowhere, *since* when, and
    *resting* is how many links rest therefore."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        lanes: Callable[[], tuple[Lane, ...]],
        pursuit: PursuitRoom,
        metrics: Metrics,
        bell: Bell,
        env: Env,
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._pursuit = pursuit
        self._metrics = metrics
        self._bell = bell
        self._env = env
        self._asked_at = Instant(0)
        self._answered = False
        self.down: frozenset[str] = frozenset()
        self.since: Instant | None = None
        self.resting = 0
        self._metrics.path_down.labels(INTERNET).set(0)
        rounds = Rounds("paths", self._round, bell, env)
        self.start = rounds.start
        self.stop = rounds.stop

    async def _round(self) -> float:
        ways = [
            lane
            for lane in self._lanes()
            if lane.path == INTERNET and not lane.dialled and lane.trouble not in _ORDERED
        ]
        resting = [lane for lane in ways if lane.resting]
        if any(lane.trouble is not None for lane in ways):
            for lane in ways:
                if not lane.resting:
                    lane.prove(later(self._env.now(), -PROVEN_FOR))
        down = bool(resting) and len(resting) == len(ways) and not await self._outside()
        if down != bool(self.down):
            await self._turn(len(ways), down=down)
        return LOOK_EVERY

    async def _turn(self, count: int, *, down: bool) -> None:
        self.down = frozenset({INTERNET} if down else ())
        self.since = self._env.now() if down else None
        self.resting = count if down else 0
        self._metrics.path_down.labels(INTERNET).set(down)
        if not down:
            log.info("path works again: {path}", path=INTERNET)
            return
        log.error("path is down: {path}: all {count} links rest", path=INTERNET, count=count)
        links = tuple(lane.name for lane in self._lanes() if lane.path == INTERNET)
        if await self._pursuit.hurry(links, self._env.now(), HURRIED):
            self._bell.ring("pursue")

    async def _outside(self) -> bool:
        """Whether anybody whom the settings name answers outside; nobody is named: no."""
        probes = self._settings().watch.probe
        now = self._env.now()
        if probes and later(self._asked_at, PROBE_EVERY) <= now:
            self._asked_at = now
            asked: list[Deferred[object]] = [
                Deferred.fromCoroutine(reachable(self._env, at)) for at in probes
            ]
            self._answered = any(await gatherResults(asked))
        return bool(probes) and self._answered


_ORDERED = ("switched_off", "maintenance")  # says nothing about the path


async def reachable(env: Env, at: str) -> bool:
    """Whether a connection to ``host:port`` can be made; nothing is sent."""
    host, port = host_and_port(at)
    endpoint = env.net.client(Address(host=host, port=port), open_timeout=PROBE_WITHIN)
    try:
        connected = await endpoint.connect(Factory.forProtocol(Protocol))
    except (ConnectError, DNSLookupError, OSError):
        return False
    connected.transport.abortConnection()
    return True
