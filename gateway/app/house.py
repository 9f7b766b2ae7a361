"""The house, built: rooms over one store, lanes for every link, doors; started and stopped in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway import __version__
from gateway.accept import Accept, LinkView
from gateway.adapters.base import Accepted, AdapterSpec, Client, Evidence, Findings, Submission
from gateway.api.ports import Api, Health, LastFailure, LinkStatus, NotReady, PlannedLeg, Resting
from gateway.api.ports import Mode as ApiMode
from gateway.api.problems import problem_response
from gateway.api.routes import make_router
from gateway.api.spool import Spool
from gateway.app.plan import explain
from gateway.bell import Bell
from gateway.dispatch import Dispatch
from gateway.env import Env, Port, public_id
from gateway.errors import SettingsError
from gateway.housekeeping import Housekeeping
from gateway.lane import Lane, Mode
from gateway.lifecycle import State
from gateway.model import Instant, LinkName, MessageClass
from gateway.observe import Metrics
from gateway.pursue import Pursue
from gateway.receipt import Receipt
from gateway.settings.types import LinkSettings, Settings
from gateway.store.base import Store
from gateway.watch import Watch
from gateway.web import Answer, Handler, HttpServer, Request
from gateway.web import Limits as WebLimits

log = Logger()

WAITED_TOO_LONG = 300.0  # seconds: a critical page that waits longer makes the gateway not ready
NOT_READY: dict[NotReady, str] = {
    "starting": "the gateway is starting",
    "draining": "the gateway is stopping",
    "store-failed": "the disk has failed",
    "store-full": "the disk is nearly full",
    "critical-waiting": f"a critical page has waited for more than {WAITED_TOO_LONG / 60:g} min",
    "links-down": "no way out works",
}
"""Why ``/readyz`` says no: code and sentence (docs/howto/monitor.md)."""
TAKES_NOTHING = frozenset({"starting", "draining", "store-failed", "store-full"})


class _Reception:
    """The only way up (adapters.base.Reception)."""

    def __init__(self, accept: Accept, receipt: Receipt, store: Store) -> None:
        self._accept = accept
        self._receipt = receipt
        self._store = store

    def identify(self, credential: str, address: str | None = None) -> Client | None:
        return self._accept.identify(credential, address)

    async def submit(self, client: Client, submission: Submission) -> Accepted:
        return await self._accept.submit(client, submission)

    async def standing(self, client: Client, key: str) -> dict[str, Any] | None:
        row = await self._store.records.message(key, client=None if client.administrator else client.name)
        if row is None:
            return None
        return {"id": row.public_id, "ref": row.ref, "outcome": row.ending, "level": row.level.token}

    async def report(self, link: LinkName, evidence: Evidence) -> None:
        await self._receipt.report(link, evidence)


class House:
    """A whole gateway over one env and one store; several may live in one process (tests)."""

    def __init__(
        self,
        settings: Settings,
        reread: Callable[[int], Settings],
        specs: dict[str, AdapterSpec],
        store: Store,
        env: Env,
        *,
        control: Path | None,
        limit_connections: int,
        spool: Path | None = None,
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._specs = specs
        self._store = store
        self._env = env
        self._control = control
        self._limit_connections = limit_connections
        self.records = store.records
        self.metrics = Metrics(__version__)
        self.metrics.watch_store(
            store.count_commits, lambda: store.units_waiting, lambda: store.oldest_commit_age
        )
        self.bell = Bell()
        self._started_at = env.now()
        self._links: dict[LinkName, LinkView] = {}
        self._own: dict[LinkName, LinkSettings] = {}
        self.dispatch = Dispatch(store.work, self.bell, env)
        self.accept = Accept(
            self.settings,
            lambda: self._links,
            self.dispatch.resting,
            store.intake,
            store.durability,
            self.bell,
            env,
            self.metrics,
        )
        self.receipt = Receipt(store.evidence, self.settings, self.bell, env, self.metrics)
        self.reception = _Reception(self.accept, self.receipt, store)
        self.pursue = Pursue(store.pursuit, store.desk, self.settings, self.bell, env, self.metrics)
        self.housekeeping = Housekeeping(store.housekeeping, self.settings, self.bell, env)
        self.watch = Watch(store.records, self._modes, self.metrics, self.bell, env)
        self.spool = None if spool is None else Spool(spool, self.reception, settings.limits, self.bell, env)
        self._servers: list[HttpServer] = []
        self._ports: list[Port] = []
        self._ready = False
        self._reloading = False

    # -------------------------------------------------------------- start and stop

    async def start(self) -> None:
        """Recovery, lanes, pursuit, doors; a door that cannot open fails the start."""
        self._settle_links(self._settings)
        modes = await self._store.records.link_modes()
        open_on = {one.link for one in await self._store.records.counts()}
        await self._leave(sorted(open_on - set(self._own)))
        await self.dispatch.start(tuple(self._lane(name) for name in self._own), modes)
        self.pursue.start()
        self.housekeeping.start()
        self.watch.start()
        await self._open_doors()
        if self.spool is not None:
            self.spool.start()
        self._ready = True

    async def stop(self) -> None:
        """Doors close to new work, begun work finishes, sessions say goodbye, the store closes."""
        self._ready = False
        self.accept.draining = True
        for port in self._ports:
            await _settled(port.stopListening())
        if self.spool is not None:
            await self.spool.stop()
        limit = self._settings.drain_timeout
        for server in self._servers:
            await server.drain(min(limit, 5.0))
        await self.pursue.stop()
        await self.housekeeping.stop()
        await self.watch.stop()
        stopping = Deferred.fromCoroutine(self.dispatch.stop())
        stopping.addTimeout(limit, self._env.clock)  # type: ignore[arg-type]  # Clock is IReactorTime
        try:
            await stopping
        except Exception:  # what was begun and did not end in time is in doubt at the next start
            log.failure("not everything that was begun ended within {limit} s", limit=limit)
        await self._store.close()

    async def _leave(self, names: Iterable[LinkName]) -> None:
        """Links that are not in the settings any more: nothing of them stays open."""
        for name in names:
            stopped = await self._store.desk.drop_link(name, self._env.now())
            log.warn("link removed: {link}", link=name, stopped=stopped)
            self.metrics.forget_link(name)
            self.bell.ring("pursue")

    async def _open_doors(self) -> None:
        api = Api(
            env=self._env,
            reception=self.reception,
            records=self._store.records,
            desk=self._store.desk,
            bell=self.bell,
            lanes=self,
            operations=self,
            metrics=self.metrics,
            uid=os.getuid(),
        )
        router = make_router(api)
        limits = self._settings.limits
        doors = [f"unix:{self._control}"] if self._control is not None else []
        if self._settings.listen.http is not None:
            doors.append(self._settings.listen.http.at)
        for door in doors:
            server = HttpServer(
                clock=self._env.clock,
                handler=self._counted(router),
                wall=self._env.wall,
                make_id=lambda: f"r-{public_id(self._env)}",
                problem=problem_response,
                limits=WebLimits(
                    max_body=limits.body,
                    max_connections=min(limits.connections, self._limit_connections),
                    max_per_address=limits.connections_per_address,
                    whole_request=limits.request_time,
                ),
            )
            self._ports.append(await self._env.net.listen(door, server))
            self._servers.append(server)

    def _counted(self, handler: Handler) -> Handler:
        """*handler*, with its answers counted by code."""

        async def counted(request: Request) -> Answer:
            answer = await handler(request)
            self.metrics.http_requests.labels(str(answer.status)).inc()
            return answer

        return counted

    @property
    def addresses(self) -> tuple[Any, ...]:
        """Where the doors really are (a port 0 has become a number)."""
        return tuple(port.getHost() for port in self._ports)

    # -------------------------------------------------------------- links

    def _modes(self) -> Iterator[tuple[LinkName, str, bool]]:
        for lane in self.dispatch.lanes():
            state = lane.state()
            yield lane.name, state.mode, state.doing == "resting"

    def _settle_links(self, settings: Settings) -> None:
        """What accept and lanes need of each link."""
        own: dict[LinkName, LinkSettings] = {}
        views: dict[LinkName, LinkView] = {}
        for name in settings.link_names():
            link = settings.link(name)
            assert link is not None
            spec = self._specs[link.adapter]
            own[name] = link
            views[name] = LinkView(measure=spec.measure(link), ceiling=spec.ceiling(link))
        self._own, self._links = own, views

    def _lane(self, name: LinkName) -> Lane:
        own = self._own[name]
        spec = self._specs[own.adapter]
        link = spec.make_link(name, own, self._env, self.reception)
        return Lane(
            name,
            spec,
            link,
            own,
            self.settings,
            self._store.work,
            self._store.desk,
            self.reception,
            self.bell,
            self._env,
            self.metrics,
        )

    # -------------------------------------------------------------- api.ports.Operations

    def settings(self) -> Settings:
        """The settings in effect now."""
        return self._settings

    async def reload(self) -> int:
        """Read and check the files anew, then swap one value; lanes of unchanged links stay up."""
        if self._reloading:
            return self._settings.generation  # the one under way reads the same files
        self._reloading = True
        try:
            fresh = self._reread(self._settings.generation + 1)
            fresh = replace(fresh, warnings=(*fresh.warnings, *_at_the_next_start(self._settings, fresh)))
            await self._store.desk.settings_changed(fresh.generation, _digest(fresh), now=self._env.now())
            self._env.failpoint("T6")
            before = self._own
            self._settings = fresh
            self._settle_links(fresh)
            for name in [name for name in before if self._own.get(name) != before[name]]:
                await self.dispatch.remove(name, fresh.drain_timeout)
            await self._leave(name for name in before if name not in self._own)
            added = tuple(self._lane(name) for name in self._own if self._own[name] != before.get(name))
            if added:
                await self.dispatch.add(added, await self._store.records.link_modes())
            for warning in fresh.warnings:
                log.warn("settings: {warning}", warning=warning)
            log.info("settings reloaded: generation {generation}", generation=fresh.generation)
            return fresh.generation
        except SettingsError as error:
            log.warn("settings not reloaded: {mistakes} mistakes", mistakes=len(error.mistakes))
            raise
        finally:
            self._reloading = False

    def explain(self, target: str, message_class: MessageClass, at: Instant) -> tuple[PlannedLeg, ...]:
        """See app.plan."""
        return explain(self._settings, target, message_class, at, self.dispatch.resting())

    def health(self) -> Health:
        """How the gateway does as a whole."""
        reasons = [
            f"{status.link} is {'switched off' if status.mode == 'suspended' else 'finishing'}"
            for status in self.status()
            if status.mode != "open"
        ]
        reasons += [
            f"{status.link} cannot be reached: {status.last_failure.says}"
            for status in self.status()
            if status.state in ("down", "resting") and status.last_failure is not None
        ]
        codes = tuple(self._not_ready())
        return Health(
            ready=not TAKES_NOTHING.intersection(codes),
            codes=codes,
            reasons=(*(NOT_READY[code] for code in codes), *reasons),
            version=__version__,
            generation=self._settings.generation,
            durability=self._store.durability,
            started_at=self._started_at,
            backlog=self._store.intake.backlog,
        )

    def _not_ready(self) -> Iterator[NotReady]:
        if self.accept.draining:
            yield "draining"
        elif not self._ready:
            yield "starting"
        if self._store.failed.called:
            yield "store-failed"
        elif not self._store.room():
            yield "store-full"
        oldest = self.watch.oldest(MessageClass.CRITICAL)
        if oldest is not None and oldest > WAITED_TOO_LONG:
            yield "critical-waiting"
        if all(status.mode != "open" or status.state in ("down", "resting") for status in self.status()):
            yield "links-down"

    def left(self, client: str) -> int | None:
        """How many messages a client may submit at this moment."""
        return self.accept.left(client)

    # -------------------------------------------------------------- api.ports.Lanes

    def status(self) -> tuple[LinkStatus, ...]:
        """Every configured link, in file order."""
        return tuple(self._status(name, own) for name, own in self._own.items())

    def _status(self, name: LinkName, own: LinkSettings) -> LinkStatus:
        lane = self.dispatch.lane(name)
        mine = [one for one in self.watch.counts if one.link == name and one.state is State.WAITING]
        waiting: dict[MessageClass, int] = {}
        for one in mine:
            waiting[one.message_class] = waiting.get(one.message_class, 0) + one.count
        status = LinkStatus(
            link=name,
            adapter=own.adapter,
            carrier=name.partition(".")[0],
            path=own.path,
            ceiling=self._links[name].ceiling,
            state="idle",
            waiting=waiting,
            oldest_at=min((one.oldest for one in mine), default=None),
        )
        if lane is None:
            return status
        state = lane.state()
        return LinkStatus(
            link=name,
            adapter=status.adapter,
            carrier=status.carrier,
            path=status.path,
            ceiling=status.ceiling,
            mode=state.mode,
            by=state.by,
            why=state.why,
            state=state.doing,
            breaker=None
            if state.rests_until is None
            else Resting(failures=state.failures, until=state.rests_until),
            sessions=state.sessions,
            waiting=waiting,
            oldest_at=status.oldest_at,
            last_taken_at=state.last_taken,
            last_failure=None
            if state.failing_since is None or state.last_failure is None
            else LastFailure(at=state.failing_since, says=state.last_failure),
        )

    async def set_mode(self, link: LinkName, mode: ApiMode, by: str, why: str | None) -> None:
        """On record first, then in effect."""
        lane = self.dispatch.lane(link)
        if lane is None:
            return
        wanted: Mode = mode
        await self._store.desk.set_link(link, wanted, by=by, why=why, now=self._env.now())
        self._env.failpoint("T6")
        lane.set_mode(wanted, by, why)

    def transcript(self, link: LinkName) -> tuple[str, ...]:
        """What was said over a link lately."""
        lane = self.dispatch.lane(link)
        return () if lane is None else lane.transcript()

    async def probe(self, link: LinkName) -> Findings:
        """Look at the far end without sending a message."""
        lane = self.dispatch.lane(link)
        if lane is None:
            return Findings(reached=False, says=f"{link} is not running")
        return await lane.probe()


def _at_the_next_start(old: Settings, new: Settings) -> list[str]:
    """What a reload cannot change, as warnings."""
    fixed = {
        "site.store": (old.site.store, new.site.store),
        "site.control": (old.site.control, new.site.control),
        "listen": (old.listen, new.listen),
        "durability": (old.durability, new.durability),
        "limits.body": (old.limits.body, new.limits.body),
        "limits.request_time": (old.limits.request_time, new.limits.request_time),
        "limits.connections": (old.limits.connections, new.limits.connections),
        "limits.connections_per_address": (
            old.limits.connections_per_address,
            new.limits.connections_per_address,
        ),
    }
    return [f"{key}: takes effect at the next start" for key, (was, is_) in fixed.items() if was != is_]


def _digest(settings: Settings) -> str:
    """What tells one set of settings from another; its secrets cannot be read back from it."""
    return blake2b(repr(settings).encode(), digest_size=8).hexdigest()  # repr hides secrets


async def _settled(result: object) -> None:
    if isinstance(result, Deferred):
        await result
