"""The house, built: rooms over one store, lanes for every link, doors; started and stopped in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from gateway import __version__
from gateway.accept import Accept, LinkView
from gateway.adapters.base import (
    Accepted,
    AdapterSpec,
    Client,
    Doorway,
    Evidence,
    Findings,
    Listener,
    Submission,
    Surroundings,
)
from gateway.api import says, telling
from gateway.api.ports import (
    Api,
    Cuts,
    Health,
    LastFailure,
    LinkStatus,
    NotReady,
    PathDown,
    PlannedLeg,
    Resting,
)
from gateway.api.ports import Mode as ApiMode
from gateway.api.problems import problem_response
from gateway.api.routes import make_router
from gateway.api.spool import Spool
from gateway.app.ping import ping
from gateway.app.plan import explain
from gateway.app.tls import DoorTls
from gateway.bell import Bell
from gateway.dispatch import Dispatch
from gateway.env import Env, Port, public_id
from gateway.env.tls import ServerTls
from gateway.errors import SettingsError
from gateway.housekeeping import Housekeeping
from gateway.lane import Lane, Mode
from gateway.lifecycle import State
from gateway.lines import Lines, LineStatus, NoLine
from gateway.loop import LINK as LOOP
from gateway.loop import LOOPBACK, OURSELVES, Loop, with_loop
from gateway.model import Instant, LinkName, MessageClass, seconds_between
from gateway.notify import Notify
from gateway.observe import Metrics
from gateway.paths import Paths
from gateway.pursue import Pursue
from gateway.receipt import Receipt
from gateway.render import display_of
from gateway.route import Outlook
from gateway.settings.types import LinkSettings, Listen, Settings
from gateway.store.base import MessageRow, Notice, Store
from gateway.tell import Tell
from gateway.watch import Watch
from gateway.watchdog import Watchdog, status_line
from gateway.web import Answer, Handler, HttpServer, Request
from gateway.web import Limits as WebLimits

log = Logger()

TELL_OF_RECOVERY = 600.0  # seconds after a start in which somebody may be paged about how the last run ended
WAITED_TOO_LONG = 300.0  # seconds: a critical page that waits longer makes the gateway not ready
NOT_READY: dict[NotReady, str] = {
    "starting": "the gateway is starting",
    "draining": "the gateway is stopping",
    "store-failed": "the disk has failed",
    "store-full": "the disk is nearly full",
    "critical-waiting": f"a critical page has waited for more than {WAITED_TOO_LONG / 60:g} min",
    "links-down": "no way out works",
    "internet-down": "the Internet is down",
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
        cuts: Cuts | None = None,
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._working = with_loop(settings)
        self._specs = specs | {LOOPBACK.name: LOOPBACK}
        self._store = store
        self._env = env
        self._control = control
        self._limit_connections = limit_connections
        self._cuts = cuts
        self.records = store.records
        self.metrics = Metrics(__version__)
        self.metrics.watch_store(
            store.count_commits, lambda: store.units_waiting, lambda: store.oldest_commit_age
        )
        self.bell = Bell()
        self.modem_lines = Lines(lambda: self._settings.lines, env)
        self._started_at = env.now()
        self._links: dict[LinkName, LinkView] = {}
        self._own: dict[LinkName, LinkSettings] = {}
        self.dispatch = Dispatch(store.work, self.bell, env)
        self.accept = Accept(
            self.working,
            lambda: self._links,
            self._outlook,
            store.intake,
            store.durability,
            self.bell,
            env,
            self.metrics,
        )
        self.receipt = Receipt(store.evidence, self.settings, self.bell, env, self.metrics)
        self.reception = _Reception(self.accept, self.receipt, store)
        self.pursue = Pursue(
            store.pursuit, store.desk, self.working, self._outlook, self.bell, env, self.metrics
        )
        self.notify = Notify(
            store.notices,
            store.records,
            self._news,
            lambda client: telling.test_body(client, env.now()),
            self.bell,
            env,
            self.metrics,
        )
        self.housekeeping = Housekeeping(store.housekeeping, self.settings, self.bell, env)
        self.watch = Watch(store.records, self._modes, self.metrics, self.bell, env)
        self.loop = Loop(
            self.settings,
            self.reception,
            store.records,
            store.housekeeping,
            lambda url: ping(env, url),
            self.metrics,
            self.bell,
            env,
        )
        self.paths = Paths(self.working, self.dispatch.lanes, store.pursuit, self.metrics, self.bell, env)
        self.tell = Tell(self.settings, self.reception, OURSELVES, self._troubles, self.bell, env)
        self._tls: dict[str, DoorTls] = {}
        self._watchdog = Watchdog(
            env.supervisor,
            env.clock,
            lambda: store.oldest_commit_age,
            lambda: (*self.dispatch.overdue(), *(("pursue",) if self.pursue.overdue else ())),
            self._in_a_line,
        )
        self.spool = None if spool is None else Spool(spool, self.reception, settings.limits, self.bell, env)
        self._servers: list[HttpServer] = []
        self._ports: list[Port] = []
        self._listeners: dict[str, Listener] = {}
        self._ready = False
        self._one_reload = DeferredLock()
        self._asked = self._read_for = 0  # reloads asked for, and how many of them the last one counts for
        self._mistakes: SettingsError | None = None

    # -------------------------------------------------------------- start and stop

    async def start(self) -> None:
        """Recovery, lanes, pursuit, doors; a door that cannot open fails the start."""
        self._settle_links(self._working)
        await self.notify.start(self._settings)
        modes = await self._store.records.link_modes()
        open_on = {one.link for one in await self._store.records.counts()}
        await self._leave(sorted(open_on - set(self._own)))
        await self.dispatch.start(tuple(self._lane(name) for name in self._own), modes)
        self.pursue.start()
        self.housekeeping.start()
        self.watch.start()
        self.paths.start()
        self.loop.start()
        self.tell.start()
        await self._open_doors()
        if self.spool is not None:
            self.spool.start()
        self._ready = True
        self._env.supervisor.say("READY=1", status_line(self._in_a_line()))
        self._watchdog.start()

    async def stop(self) -> None:
        """Doors close to new work, begun work finishes, sessions say goodbye, the store closes."""
        self._ready = False
        self._watchdog.stop()
        self._env.supervisor.say("STOPPING=1", "STATUS=Stopping: what is begun finishes")
        self.accept.draining = True
        for listener in self._listeners.values():
            await listener.stop()
        for port in self._ports:
            await _settled(port.stopListening())
        if self.spool is not None:
            await self.spool.stop()
        limit = self._settings.drain_timeout
        for server in self._servers:
            await server.drain(min(limit, 5.0))
        await self.loop.stop()
        await self.tell.stop()
        await self.paths.stop()
        await self.pursue.stop()
        await self.housekeeping.stop()
        await self.watch.stop()
        for tls in self._tls.values():
            await tls.stop()
        stopping = Deferred.fromCoroutine(self.dispatch.stop())
        stopping.addTimeout(limit, self._env.clock)  # type: ignore[arg-type]  # Clock is IReactorTime
        try:
            await stopping
        except Exception:  # what was begun and did not end in time is in doubt at the next start
            log.failure("not everything that was begun ended within {limit} s", limit=limit)
        await self.notify.stop()
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
            webhooks=self.notify,
            metrics=self.metrics,
            uid=os.getuid(),
            cuts=self._cuts,
        )
        router = make_router(api)
        limits = self._settings.limits
        doors: list[tuple[str, ServerTls | None]] = []
        if self._control is not None:
            doors.append((f"unix:{self._control}", None))
        for name in self._settings.listen.tls():
            self._tls[name] = DoorTls(
                name,
                self.settings,
                lambda: self._reread(self._settings.generation),
                self.metrics,
                self.bell,
                self._env,
            )
            self._tls[name].start()
        if self._settings.listen.http is not None:
            doors.append((self._settings.listen.http.at, self._serves("http")))
        for door, tls in doors:
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
            self._ports.append(await self._env.net.listen(door, server, tls))
            self._servers.append(server)
        for name, own in self._settings.listen.own.items():
            spec = self._specs[name].listener
            assert spec is not None
            around = Doorway(
                links=partial(self._links_of, name),
                env=self._env,
                reception=self.reception,
                tls=self._serves(name),
            )
            listener = spec.make(own, around)
            await listener.start()
            self._listeners[name] = listener

    def _serves(self, door: str) -> ServerTls | None:
        """What *door* serves TLS with."""
        tls = self._tls.get(door)
        return None if tls is None else tls.server

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

    def listening(self, adapter: str) -> tuple[Any, ...]:
        """Where the door of *adapter* really is; empty if it has none."""
        listener = self._listeners.get(adapter)
        return () if listener is None else listener.addresses

    # -------------------------------------------------------------- links

    def _links_of(self, adapter: str) -> dict[LinkName, LinkSettings]:
        """The links that *adapter* runs now."""
        return {name: own for name, own in self._own.items() if own.adapter == adapter}

    def _modes(self) -> Iterator[tuple[LinkName, str, bool]]:
        for lane in self.dispatch.lanes():
            if lane.name == LOOP:
                continue
            state = lane.state()
            yield lane.name, state.mode, state.doing == "resting"

    def _outlook(self) -> Outlook:
        """How the ways out do, for whoever chooses among them."""
        return Outlook(troubles=self.dispatch.troubles(), down=self.paths.down)

    def _settle_links(self, settings: Settings) -> None:
        """What accept and lanes need of each link."""
        own: dict[LinkName, LinkSettings] = {}
        views: dict[LinkName, LinkView] = {}
        for name in settings.link_names():
            link = settings.link(name)
            assert link is not None
            spec = self._specs[link.adapter]
            own[name] = link
            views[name] = LinkView(
                display=display_of(settings, name, spec.measure(link)), ceiling=spec.ceiling(link)
            )
        self._own, self._links = own, views

    def _lane(self, name: LinkName) -> Lane:
        own = self._own[name]
        spec = self._specs[own.adapter]
        around = Surroundings(env=self._env, reception=self.reception, lines=self.modem_lines)
        link = spec.make_link(name, own, around)
        return Lane(
            name,
            spec,
            link,
            own,
            self.working,
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

    def working(self) -> Settings:
        """The same for rooms, with our own way out, which nobody is shown."""
        return self._working

    async def reload(self) -> int:
        """Read and check the files anew, then swap one value; lanes of unchanged links stay up.

        One at a time; those who ask meanwhile share the next one, which reads what they may have written.
        """
        self._asked += 1
        mine = self._asked
        await self._one_reload.acquire()
        try:
            if self._read_for < mine:
                self._read_for = self._asked
                self._mistakes = None
                try:
                    await self._reload()
                except SettingsError as error:
                    self._mistakes = error
            if self._mistakes is not None:
                raise self._mistakes
            return self._settings.generation
        finally:
            self._one_reload.release()

    async def _reload(self) -> None:
        now = round(self._env.clock.seconds() * 1e6)  # the steady clock is CLOCK_MONOTONIC
        self._env.supervisor.say("RELOADING=1", f"MONOTONIC_USEC={now}")
        try:
            fresh = self._reread(self._settings.generation + 1)
            fresh = replace(fresh, warnings=(*fresh.warnings, *_at_the_next_start(self._settings, fresh)))
            await self._store.desk.settings_changed(fresh.generation, _digest(fresh), now=self._env.now())
            self._env.failpoint("T6")
            await self.notify.settle(fresh)
            before = self._own
            self._settings = fresh
            self._working = with_loop(fresh)
            self._settle_links(self._working)
            for name in [name for name in before if self._own.get(name) != before[name]]:
                await self.dispatch.remove(name, fresh.drain_timeout)
            await self._leave(name for name in before if name not in self._own)
            added = tuple(self._lane(name) for name in self._own if self._own[name] != before.get(name))
            if added:
                await self.dispatch.add(added, await self._store.records.link_modes())
            for warning in fresh.warnings:
                log.warn("settings: {warning}", warning=warning)
            log.info("settings reloaded: generation {generation}", generation=fresh.generation)
        except SettingsError as error:
            log.warn("settings not reloaded: {mistakes} mistakes", mistakes=len(error.mistakes))
            raise
        finally:
            for tls in self._tls.values():
                tls.look()
            self._env.supervisor.say("READY=1", status_line(self._in_a_line()))

    def explain(self, target: str, message_class: MessageClass, at: Instant) -> tuple[PlannedLeg, ...]:
        """See app.plan."""
        return explain(self._settings, target, message_class, at, self._outlook())

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
        reasons += self._paths_troubles().values()
        reasons += self.loop.troubles.values()
        for tls in self._tls.values():
            reasons += tls.reasons
        reasons += self.notify.troubles()
        reasons += self._lines_troubles().values()
        codes = tuple(self._not_ready())
        told = (NOT_READY[code] for code in codes if code != "internet-down")  # said above at length
        return Health(
            ready=not TAKES_NOTHING.intersection(codes),
            codes=codes,
            reasons=(*told, *reasons),
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
        if self._no_way_out():
            yield "links-down"
        elif self.paths.down:
            yield "internet-down"

    def _no_way_out(self) -> bool:
        return all(
            status.mode != "open" or status.state in ("down", "resting", "maintenance")
            for status in self.status()
        )

    def _troubles(self) -> dict[str, str]:
        """What the people of the gateway itself should hear, by what it is about."""
        found = self.loop.troubles | self._lines_troubles() | self._paths_troubles()
        for door, tls in self._tls.items():
            if tls.reasons:
                found[f"certificate {door}"] = "; ".join(tls.reasons)
        young = seconds_between(self._started_at, self._env.now()) < TELL_OF_RECOVERY
        if self._store.recovered is not None and young:
            found["recovery"] = f"it was not stopped in order: {self._store.recovered}"
        for status in self.status():
            if status.mode == "suspended" and status.by == "gateway":
                found[status.link] = f"{status.link} is switched off: {status.why}"
        return found

    def _paths_troubles(self) -> dict[str, str]:
        """Paths that lead nowhere, each in a sentence."""
        a = self._around()
        return {down.path: says.of_down(down, a) for down in a.down}

    def _lines_troubles(self) -> dict[str, str]:
        """Lines that have failed again and again, each in a sentence."""
        a = self._around()
        return {
            line.name: f"line {line.name}: {says.of_line(line, a)}; {says.around_line(line, a)}"
            for line in a.lines
            if line.trouble is not None and line.trouble.lasting
        }

    def _around(self) -> says.Around:
        now = self._env.now()
        return says.around(self._settings, self.status(), now, lines=self.lines(), down=self.paths_down())

    def _in_a_line(self) -> str:
        """How it does, for whoever asks the supervisor."""
        health = self.health()
        takes = "Takes pages" if health.ready else "TAKES NO PAGES"
        return "; ".join([f"{takes}, {health.backlog} not finished", *health.reasons])

    def _news(self, notice: Notice, row: MessageRow) -> bytes:
        """What a client is told."""
        return telling.body_of(notice, row, self._around())

    def left(self, client: str) -> int | None:
        """How many messages a client may submit at this moment."""
        return self.accept.left(client)

    # -------------------------------------------------------------- api.ports.Lanes

    def status(self) -> tuple[LinkStatus, ...]:
        """Every configured link, in file order."""
        return tuple(self._status(name, own) for name, own in self._own.items() if name != LOOP)

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
            maintenance_until=state.maintenance_until,
            last_taken_at=state.last_taken,
            last_failure=None
            if state.failing_since is None or state.last_failure is None
            else LastFailure(at=state.failing_since, says=state.last_failure, times=state.failures),
        )

    def lines(self) -> tuple[LineStatus, ...]:
        """Every modem line, in file order."""
        return self.modem_lines.status()

    def paths_down(self) -> tuple[PathDown, ...]:
        """Paths that lead nowhere."""
        since = self.paths.since
        if since is None:
            return ()
        return tuple(PathDown(path=path, since=since, links=self.paths.resting) for path in self.paths.down)

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
        """Look at the far end of a link, or at a line, without sending a message."""
        if link in self.modem_lines.names:
            found = await self.modem_lines.probe(link)
            if isinstance(found, NoLine):
                return Findings(reached=False, says=found.why)
            return Findings(reached=True, says="works", capabilities=found)
        lane = self.dispatch.lane(link)
        if lane is None:
            return Findings(reached=False, says=f"{link} is not running")
        return await lane.probe()


def _at_the_next_start(old: Settings, new: Settings) -> list[str]:
    """What a reload cannot change, as warnings."""
    fixed = {
        "site.store": (old.site.store, new.site.store),
        "site.control": (old.site.control, new.site.control),
        "listen": (_doors(old.listen), _doors(new.listen)),
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


def _doors(listen: Listen) -> tuple[Listen, set[str]]:
    """What of the doors cannot change while they are open; a certificate can."""
    secured = {*listen.tls()}
    for door in secured:
        listen = listen.with_tls(door, None)
    return listen, secured


def _digest(settings: Settings) -> str:
    """What tells one set of settings from another; its secrets cannot be read back from it."""
    return blake2b(repr(settings).encode(), digest_size=8).hexdigest()  # repr hides secrets


async def _settled(result: object) -> None:
    if isinstance(result, Deferred):
        await result
