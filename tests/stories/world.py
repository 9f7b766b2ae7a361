"""A whole gateway in a simulated world: real rooms, simulated network, time, disk and carriers.

A story says what an administrator wrote and what carriers do; then pages are submitted and time passes. The
carriers keep the ground truth: what really reached a pager. The same seed tells the same story, byte for byte
(``Story.world.trace``). Nothing hangs: whoever waits for ever, or spins without time passing, is told so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from gateway.adapters.base import Accepted, AdapterSpec, Client, Submission
from gateway.api.ports import LinkStatus
from gateway.app.adapters import specs
from gateway.app.house import House
from gateway.env.simulated import BOOT, Crashed, Deadlock, Overdue, SimulatedEnv, Weather, World
from gateway.lifecycle import State
from gateway.model import Content, Instant, LinkName, MessageClass, later, seconds_between
from gateway.outcome import Level
from gateway.settings import load
from gateway.settings.types import Durability, Settings
from gateway.sim.snpp import SimulatedSnpp, SnppQuirks
from gateway.sim.truth import Truth
from gateway.store.base import DeliveryRow, EventRow, MessageRow, Store
from gateway.store.memory import MemoryBook, MemoryStore
from gateway.store.sqlite import SqliteStore, open_store
from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.server import Caller

T = TypeVar("T")

CRITICAL, URGENT, NORMAL, BULK = MessageClass
ADMINISTRATOR = Client(name="tester", administrator=True)
MONITORING = Client(name="monitoring")

ONE, TWO = "10.0.0.1:444", "10.0.0.2:444"  # where the two terminals of SETTINGS are
PAGER, OTHER_PAGER = "5551212", "5551213"  # Alice's and Bob's
ALICE = f"spok:{PAGER}"  # her pager, named directly

SETTINGS = f"""
site: {{name: Test, store: "sqlite:gateway.db"}}
listen: {{http: {{at: "127.0.0.1:8080"}}}}
texts: {{default: ["{{text}}", "{{short}}"]}}
clients:
  monitoring:
    token_sha256: [{"a" * 64}]
    may_page: [everyone, "spok:*"]
carriers:
  spok:
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      one: {{adapter: snpp, at: "{ONE}"}}
      two: {{adapter: snpp, at: "{TWO}", path: phone}}
people:
  alice: {{name: Alice Moreau, devices: {{pager: "spok:{PAGER}"}}}}
  bob: {{name: Bob Ferrand, devices: {{pager: "spok:{OTHER_PAGER}"}}}}
groups: {{both: [alice, bob]}}
"""
"""Two people, one carrier, two ways into it."""

DIRECT = SETTINGS.replace(f'\n      two: {{adapter: snpp, at: "{TWO}", path: phone}}', "")
"""The same with one way only: what cannot go out there waits."""

DEADMAN = "http://10.7.0.1/ping/5b8f0c1e-not-for-a-log"  # what {env: DEADMAN} means in a story's settings
ENVIRON = {"DEADMAN": DEADMAN, "BOUNCE_SECRET": "a secret of sixteen or more"}  # what settings may refer to

DISK_TIME = 0.002  # seconds that a unit takes to be durable in the memory store: a usual disk's sync
STEPS = 20_000_000  # calls of the clock that one ``forward`` may need
AT_ONCE = 100_000  # calls without any time passing: more is a story that spins
FAR = 400 * 86_400.0  # seconds of simulated time that nothing needs


class Spinning(Exception):
    """Things go on happening, but no time passes."""


class Died(Exception):
    """The node crashed while somebody waited for its answer."""


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """One copy on a pager: when (seconds since the story began), *asked* when its PAGE command came, *by*
    which terminal."""

    at: float
    asked: float
    pager: str
    text: str
    by: str


def settings_of(text: str, adapters: dict[str, AdapterSpec] | None = None, generation: int = 1) -> Settings:
    """The settings that *text* says."""

    def read(path: Path) -> bytes:
        raise FileNotFoundError(path)

    known = specs() | (adapters or {})
    return load(text, known, file="story.yaml", read=read, environ=ENVIRON, generation=generation)


def seconds_of(at: Instant) -> float:
    """An instant as seconds since the story began."""
    return seconds_between(BOOT, at)


class Terminal(SimulatedSnpp):
    """A simulated terminal that also remembers when it was connected to and what it was asked for."""

    def __init__(self, env: SimulatedEnv, at: str, quirks: SnppQuirks, reached: list[Reached]) -> None:
        self.at = at
        self.connected: list[float] = []
        self.asked: list[tuple[float, str]] = []
        self.reached = reached
        self._asked: dict[tuple[str, str], float] = {}
        self._now = env.now
        super().__init__(env, quirks, _Telling(self))
        build = self.factory.buildProtocol

        def counted(addr: object) -> Any:
            self.connected.append(seconds_of(env.now()))
            return build(addr)

        self.factory.buildProtocol = counted  # type: ignore[method-assign]

    async def check_pager(self, who: Caller, asked: s.PagerAsked) -> m.Reply:
        now, pager = seconds_of(self._now()), str(asked.recipient.pager)
        self.asked.append((now, pager))
        self._asked[who.address, pager] = now
        return await super().check_pager(who, asked)

    async def send(self, who: Caller, page: m.Received) -> m.Reply:
        for recipient in page.recipients:
            pager = str(recipient.pager)
            self._asked[page.text or "", pager] = self._asked[who.address, pager]
        return await super().send(who, page)

    def note(self, at: Instant, pager: str, text: str) -> None:
        asked = self._asked.pop((text, pager), seconds_of(at))
        self.reached.append(Reached(at=seconds_of(at), asked=asked, pager=pager, text=text, by=self.at))


class _Telling(Truth):
    """Tells its terminal of every copy."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def reached(self, at: Instant, pager: str, text: str, *, answered: bool = True) -> None:
        self._terminal.note(at, pager, text)


class Story:
    """One node of a gateway, with carriers that outlive its crashes.

    *folder* None keeps the record in memory, else it is an SQLite file there. *adapters* are known beside
    those of the house.
    """

    def __init__(
        self,
        text: str = SETTINGS,
        *,
        seed: int = 0,
        folder: Path | None = None,
        adapters: dict[str, AdapterSpec] | None = None,
    ) -> None:
        self.world = World(seed)
        self.text = text
        self.folder = folder
        self.adapters = adapters or {}
        self.terminals: dict[str, Terminal] = {}
        self.failures: list[str] = []  # what the log says of exceptions that nobody expected
        self.env: SimulatedEnv
        self.house: House
        self.store: Store
        self._kept: MemoryStore | None = None
        self._book: MemoryBook | None = None
        self._reached: list[Reached] = []
        globalLogPublisher.addObserver(self._logged)

    def end(self) -> None:
        """The story is over; whatever the log said that nobody expected fails it."""
        globalLogPublisher.removeObserver(self._logged)
        assert not self.failures, "\n".join(self.failures)

    # -------------------------------------------------------------- carriers

    def terminal(self, at: str, **quirks: Any) -> Terminal:
        """A terminal at ``host:port``, on a machine of its own; again: the same with other quirks, for
        connections from now on."""
        before = self.terminals.get(at)
        if before is not None:
            self.world.listeners.pop(at, None)
        env = self.world.env(at.rpartition(":")[0])
        terminal = Terminal(env, at, SnppQuirks(**quirks), self._reached)
        if before is not None:
            terminal.asked, terminal.connected = before.asked, before.connected
        self.run(terminal.listen(at))
        self.terminals[at] = terminal
        return terminal

    def weather(self, at: str, **weather: Any) -> None:
        """How connections to *at* fare from now on; nothing said: well."""
        self.world.set_weather(at, Weather(**weather) if weather else None)

    def copies(self, pager: str = "", text: str | None = None) -> list[Reached]:
        """What reached *pager* (or any), over all terminals, in order of time; of *text* only, if given,
        with or without a mark."""
        return [
            copy
            for copy in self._reached
            if pager in ("", copy.pager) and (text is None or copy.text.partition(" (copy ")[0] == text)
        ]

    # -------------------------------------------------------------- the node

    def start(self) -> Story:
        """Start the gateway, or start it again after a stop or a crash."""
        self.env = self.world.env("10.9.0.1")
        self.run(self._start())
        return self

    async def _start(self) -> None:
        settings = settings_of(self.text, self.adapters)
        if self.folder is not None:
            self.store = await open_store(
                self.folder / "gateway.db", self.env, durability=Durability(min_free=0)
            )
        else:
            before = self._kept
            self.store = self._kept = (
                MemoryStore(self.env, latency=DISK_TIME, book=self._book)
                if before is None
                else before.crash(self.env)
            )
        self.house = House(
            settings,
            lambda generation: settings_of(self.text, self.adapters, generation),
            specs() | self.adapters,
            self.store,
            self.env,
            control=None,
            spool=None,
            limit_connections=100,
        )
        await self.house.start()

    def crash(self) -> Story:
        """Everything of the node is gone but its disk; then it starts again."""
        self.env.crash()
        if isinstance(self.store, SqliteStore):
            assert self.folder is not None
            _kill(self.store, self.folder)
        return self.start()

    def take_over(self) -> Story:
        """Another node begins on the same record, while this one still believes that it runs."""
        assert isinstance(self.store, MemoryStore)
        self._kept = None
        self._book = self.store._book
        self.env = self.world.env("10.9.0.2")
        self.run(self._start())
        return self

    def stop(self) -> None:
        """Stop in order."""
        self.run(self.house.stop())

    def reload(self, text: str) -> None:
        """The administrator changes the file to *text* and has it read again."""
        before, self.text = self.text, text
        try:
            self.run(self.house.reload())
        except BaseException:
            self.text = before
            raise

    # -------------------------------------------------------------- time

    def run(self, coroutine: Coroutine[Any, Any, T], limit: float = 3_600.0) -> T:
        """Let time pass until *coroutine* has its result; at most *limit* simulated seconds.

        Died if the node crashed meanwhile.
        """
        results: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(results.append)
        end = self.now + limit
        if not results:
            self._pass(lambda: bool(results) or not self._alive, end)
        if not results:
            if not self._alive:
                raise Died
            what = Deadlock if self.world.clock.due() is None else Overdue
            raise what(f"not finished after {limit:g} s; last:\n  " + "\n  ".join(self.world.recent))
        result = results[0]
        if isinstance(result, Failure):
            if result.check(Crashed):
                raise Died
            result.raiseException()
        return result  # type: ignore[no-any-return]

    @property
    def _alive(self) -> bool:
        return not hasattr(self, "env") or self.env.alive

    def forward(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0) -> None:
        """Let time pass."""
        self.until(self.now + seconds + 60 * minutes + 3600 * hours)

    def until(self, at: float) -> None:
        """Let time pass up to *at* seconds after the beginning."""
        self._pass(lambda: False, at)
        self.world.clock.run_until(at)

    def wait_for(self, what: Callable[[], object], limit: float = 3_600.0) -> float:
        """Let time pass until *what* holds; the seconds it took. Fails after *limit*."""
        began = self.now
        self._pass(lambda: bool(what()), began + limit)
        assert what(), f"not within {limit:g} s; last:\n  " + "\n  ".join(self.world.recent)
        return self.now - began

    @property
    def now(self) -> float:
        """Seconds since the story began."""
        return self.world.clock.seconds()

    def _pass(self, over: Callable[[], bool], end: float) -> None:
        clock = self.world.clock
        still_since, since = clock.seconds(), 0
        for _ in range(STEPS):
            if over():
                return
            due = clock.due()
            if due is None or due > end:
                return
            with suppress(Crashed):  # of the node that has just died
                clock.step()
            since += 1
            if due > still_since:
                still_since, since = due, 0
            elif since > AT_ONCE:
                raise Spinning("\n  ".join(self.world.recent))
        raise Spinning(f"more than {STEPS} steps; last:\n  " + "\n  ".join(self.world.recent))

    # -------------------------------------------------------------- pages, and people

    def page(
        self,
        *to: str,
        text: str = "Cath lab 2",
        message_class: MessageClass = MessageClass.URGENT,
        until: Level | None = Level.HANDED_OVER,
        client: Client = ADMINISTRATOR,
        **more: Any,
    ) -> Accepted:
        """Submit a page; on disk when this returns."""
        return self.run(
            self.submit(*to, text=text, message_class=message_class, until=until, client=client, **more)
        )

    async def submit(
        self,
        *to: str,
        text: str = "Cath lab 2",
        message_class: MessageClass = MessageClass.URGENT,
        until: Level | None = Level.HANDED_OVER,
        client: Client = ADMINISTRATOR,
        **more: Any,
    ) -> Accepted:
        """As ``page``, for stories in which several things happen at a time."""
        submission = Submission(
            to=to,
            content=Content(text=text, replies=more.pop("replies", ())),
            message_class=message_class,
            until=until,
            **more,
        )
        return await self.house.reception.submit(client, submission)

    def after(self, seconds: float) -> Instant:
        """The instant so many seconds from now."""
        return later(self.env.now(), seconds)

    def look(self, accepted: Accepted) -> MessageRow:
        """Where it stands."""
        row = self.run(self.store.records.message(accepted.id, client=None))
        assert row is not None
        return row

    def legs(self, accepted: Accepted) -> tuple[DeliveryRow, ...]:
        """Its deliveries, in the order in which they were opened."""
        return self.look(accepted).deliveries

    def events(self, accepted: Accepted, kind: str) -> list[EventRow]:
        """What its timeline says of one *kind*."""
        return [event for event in self.look(accepted).timeline if event.kind == kind]

    def acknowledge(self, accepted: Accepted, by: str = "alice") -> None:
        """A named human says yes, as over the API."""
        row = self.look(accepted)
        now = self.env.now()
        self.run(self.store.desk.acknowledge(row.message, by=by, note=None, recorded_by="tester", now=now))
        self._ring(accepted)

    def cancel(self, accepted: Accepted) -> bool:
        row = self.look(accepted)
        stopped = self.run(self.store.desk.cancel(row.message, by="tester", why=None, now=self.env.now()))
        self._ring(accepted)
        return stopped

    def pause(self, accepted: Accepted) -> int:
        row = self.look(accepted)
        return self.run(self.store.desk.pause(row.message, by="tester", now=self.env.now()))

    def go_on(self, accepted: Accepted) -> int:
        row = self.look(accepted)
        count = self.run(self.store.desk.resume(row.message, by="tester", now=self.env.now()))
        self._ring(accepted)
        return count

    def decide(self, accepted: Accepted, *, again: bool) -> int:
        row = self.look(accepted)
        now = self.env.now()
        count = self.run(self.store.desk.decide(row.message, again=again, by="tester", now=now))
        self._ring(accepted)
        return count

    def _ring(self, accepted: Accepted) -> None:
        """As the API does after every change by people."""
        row = self.look(accepted)
        self.house.bell.ring(row.message)
        self.house.bell.ring("pursue")
        for link in dict.fromkeys(one.link for one in row.deliveries if one.state is State.WAITING):
            self.house.bell.ring(link)

    def link(self, name: str) -> LinkStatus:
        """How a link does."""
        return next(status for status in self.house.status() if status.link == name)

    def order(self, name: str, mode: Any) -> None:
        """An operator suspends, drains or resumes a link."""
        self.run(self.house.set_mode(LinkName(name), mode, "tester", None))

    # -------------------------------------------------------------- the log

    def _logged(self, event: dict[str, Any]) -> None:
        failure = event.get("log_failure")
        if failure is None or event.get("log_level", LogLevel.info) < LogLevel.error:
            return
        if not failure.check(Crashed):
            text = formatEvent(event) + "\n" + failure.getTraceback()
            self.failures.append(text)

    def expect_failures(self, words: str) -> int:
        """How often the log told of exceptions with these *words*; they do not fail the story."""
        expected = [text for text in self.failures if words in text]
        self.failures = [text for text in self.failures if words not in text]
        return len(expected)


def _kill(store: SqliteStore, folder: Path) -> None:
    """What a killed process leaves: the files as they are, without its locks and handles."""
    kept = folder.with_name(folder.name + "-kept")
    shutil.copytree(folder, kept)
    store._writer._opened.tx.db.close()  # type: ignore[union-attr]
    os.close(store._writer._opened.lock)  # type: ignore[union-attr]
    if store._reader._reader is not None:
        store._reader._reader.db.close()
    shutil.rmtree(folder)
    kept.rename(folder)
