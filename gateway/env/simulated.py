"""The world's twin for tests: one heap clock, one network in memory, any number of machines.

A ``World`` holds what machines share: time that passes only when it is asked to, and wires between
addresses whose weather can be set. ``World.env(name)`` boots a machine on it. A machine can ``crash``: its
timers, threads and connections are gone at once, its disk stays, its peers see a reset (or nothing, if
they cannot be reached); ``World.env(name)`` boots it again while all others went on.

Everything is decided by the seed: the same seed and the same calls make the same trace (``World.trace``).
TLS, real threads and real syncs are outside simulation; ``tests/gateway/test_env.py`` holds both worlds to
one contract.
"""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import msgspec
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoProtocol,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

from gateway.env import (
    Address,
    AddressRefused,
    Clock,
    Endpoint,
    Env,
    Files,
    Net,
    Port,
    PortTrouble,
    SerialAt,
    SerialPort,
    SerialPorts,
    Supervisor,
    Tls,
    Worker,
)
from gateway.model import Instant, later

T = TypeVar("T")
R = TypeVar("R")

BOOT = Instant(1_798_761_600_000_000)  # 2027-01-01T00:00:00Z: a Friday, after every tool of today
WINDOW = 65_536  # bytes under way before a producer is told to pause: a common socket buffer
FIRST_FREE_PORT = 40_000
PLUGGED = 1  # the port number by which a serial port stands among the listeners
LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANY = ("0.0.0.0", "::")  # noqa: S104  # names to compare with; nothing is bound


class Deadlock(Exception):
    """Nothing is left that could ever happen, and the coroutine still waits."""


class Overdue(Exception):
    """The coroutine did not finish within its limit of simulated time."""


class Crashed(BaseException):
    """Unwinds the code of a machine that has just crashed. Nothing that it still does has any effect."""


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """How connections to one address fare that are opened from now on.

    *latency* is the range of one-way seconds; *rate* bytes per second; *segment* the most that arrives at
    once. A connection ends as soon as *cut_sent* bytes have arrived at the server or *cut_heard* at the
    client (0: right after it was made), the way *ending* says: ``reset``, a clean ``close``, or ``silence``
    (half-open: nothing arrives any more and nobody is told).
    """

    latency: tuple[float, float] = (0.0002, 0.002)
    rate: float | None = None
    segment: int | None = None
    refuse: bool = False
    blackhole: bool = False
    unknown: bool = False
    cut_sent: int | None = None
    cut_heard: int | None = None
    ending: Literal["reset", "close", "silence"] = "reset"


class Timer(DelayedCall):
    """A call that belongs to a machine (or to the world, if *owner* is None)."""

    owner: object = None


@implementer(IReactorTime)
class HeapClock:
    """``task.Clock`` on a heap: the same calls, fast with thousands of timers; each call sees its time."""

    def __init__(self) -> None:
        self._now = 0.0
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._cancelled = 0

    def seconds(self) -> float:
        return self._now

    def callLater(
        self, delay: float, function: Callable[..., object], *args: Any, **kwargs: Any
    ) -> IDelayedCall:
        if not delay >= 0:
            raise ValueError(f"{delay} seconds from now is in the past")
        return cast(IDelayedCall, self.call_at(self._now + delay, function, *args, **kwargs))

    def call_at(self, at: float, function: Callable[..., object], *args: Any, **kwargs: Any) -> Timer:
        """As ``callLater``, at a time of this clock: of two calls for one time the first one asked for comes
        first, which two delays added to different times would not promise."""
        timer = Timer(at, function, args, kwargs, self._forget, self._push, self.seconds)
        self._push(timer)
        return timer

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """What is still to come, soonest first."""
        calls = {id(timer): timer for _, _, timer in sorted(self._heap[:]) if timer.active()}
        return cast("Sequence[IDelayedCall]", sorted(calls.values(), key=lambda timer: timer.getTime()))

    def advance(self, amount: float) -> None:
        """Let *amount* seconds pass."""
        self.run_until(self._now + amount)

    def pump(self, timings: Sequence[float]) -> None:
        for amount in timings:
            self.advance(amount)

    def run_until(self, at: float) -> None:
        """Run everything that is due up to *at* (seconds of this clock), each call at its own time."""
        while (due := self.due()) is not None and due <= at:
            self.step()
        self._now = max(self._now, at)

    def due(self) -> float | None:
        """When the next call is due; None if there is none."""
        heap = self._heap
        while heap:
            time, _, timer = heap[0]
            if timer.called or timer.cancelled or timer.time != time:
                heappop(heap)  # called, cancelled, or brought forward under another entry
            elif timer.delayed_time:
                heappop(heap)
                timer.activate_delay()
                self._push(timer)
            else:
                return time
        return None

    def step(self) -> bool:
        """Go to the next call and make it; False if there is none."""
        if self.due() is None:
            return False
        self._now, _, timer = heappop(self._heap)
        timer.called = 1
        timer.func(*timer.args, **timer.kw)
        return True

    def drop(self, owner: object) -> list[object]:
        """Forget the timers of *owner*; returns what they held, so that nothing is finalized meanwhile."""
        lost = [entry for entry in self._heap if entry[2].owner is owner]
        self._heap = [entry for entry in self._heap if entry[2].owner is not owner]
        heapify(self._heap)
        return [(timer.func, timer.args, timer.kw) for _, _, timer in lost if timer.active()]

    def _push(self, timer: DelayedCall) -> None:
        self._count += 1
        heappush(self._heap, (timer.time, self._count, cast(Timer, timer)))

    def _forget(self, timer: DelayedCall) -> None:
        self._cancelled += 1
        if self._cancelled > 1000 and self._cancelled * 2 > len(self._heap):  # long timeouts mostly end early
            self._heap = [entry for entry in self._heap if not entry[2].cancelled and entry[2] is not timer]
            heapify(self._heap)
            self._cancelled = 0


class EnvClock:
    """The world's clock as one machine sees it: after a crash its calls never come."""

    def __init__(self, clock: HeapClock) -> None:
        self._clock = clock
        self.alive = True

    def seconds(self) -> float:
        return self._clock.seconds()

    def callLater(
        self, delay: float, function: Callable[..., object], *args: Any, **kwargs: Any
    ) -> IDelayedCall:
        if not self.alive:
            never = Timer(
                self.seconds() + delay, function, args, kwargs, _ignore, _ignore, self._clock.seconds
            )
            return cast(IDelayedCall, never)
        timer = self._clock.callLater(delay, function, *args, **kwargs)
        cast(Timer, timer).owner = self
        return timer

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        return [c for c in self._clock.getDelayedCalls() if cast(Timer, c).owner is self]


class World:
    """What machines share: time, the network and, per machine, what outlives a crash.

    *boot* is the true time at which the world begins.
    """

    def __init__(self, seed: int | str = 0, *, boot: Instant = BOOT) -> None:
        self.seed = seed
        self.boot = boot
        self.clock = HeapClock()
        self.weather = Weather()  # wherever nothing else was said
        self.watchdog: float | None = None  # of machines that are booted from now on
        self.chance = Random(f"{seed}/network")  # noqa: S311  # repeatable is the point
        self.listeners: dict[str, _Port] = {}
        self.names: dict[str, tuple[str, ...]] = {}  # IP addresses of names, where somebody asks for them
        self.recent: deque[str] = deque(maxlen=50)  # the last lines of the trace, for people
        self._weathers: dict[str, Weather] = {}
        self._apart: set[tuple[str, str]] = set()
        self._parked: list[Callable[[], None]] = []
        self._wires: dict[_Wire, None] = {}  # in the order in which they were made
        self._boots: dict[str, int] = {}
        self._skews: dict[str, float] = {}
        self._disks: dict[str, SimulatedFiles] = {}
        self._ports = FIRST_FREE_PORT
        self._digest = blake2b(digest_size=16)
        self._graves: list[object] = []

    def env(self, name: str, *, wall_skew: float | None = None) -> SimulatedEnv:
        """Boot the machine *name*; its wall clock is *wall_skew* seconds off (as it was last, if None)."""
        return SimulatedEnv(self.seed, world=self, name=name, wall_skew=wall_skew)

    def set_weather(self, address: str, weather: Weather | None) -> None:
        """For ``host:port`` or a whole ``host``, from the next connection on; None: as everywhere."""
        if weather is None:
            self._weathers.pop(address, None)
        else:
            self._weathers[address] = weather

    def weather_of(self, address: Address) -> Weather:
        return self._weathers.get(str(address)) or self._weathers.get(address.host) or self.weather

    def part(self, host: str, direction: Literal["in", "out", "both"] = "both") -> None:
        """Nothing reaches *host* (``in``) or leaves it (``out``); what is under way waits for ``join``."""
        self._apart |= {(host, way) for way in ("in", "out") if direction in (way, "both")}

    def join(self, host: str) -> None:
        """Undo ``part``; what waited arrives, in order."""
        self._apart -= {(host, "in"), (host, "out")}
        parked, self._parked = self._parked, []
        for arrive in parked:
            arrive()

    def apart(self, sender: str, receiver: str) -> bool:
        return (sender, "out") in self._apart or (receiver, "in") in self._apart

    def plug(self, path: str, env: SimulatedEnv, factory: Any) -> None:
        """A device of *factory*'s, which runs on *env*, at every machine's serial port *path*. Its weather is
        that of host *path*."""
        key = f"{path}:{PLUGGED}"
        self.listeners[key] = _Port(env, key, path, str(PLUGGED), factory)

    def unplug(self, path: str) -> None:
        """The port is gone, and whoever had it open is told."""
        self.listeners.pop(f"{path}:{PLUGGED}", None)
        for wire in list(self._wires):
            if wire.leads_to(path):
                wire.cut()

    def note(self, line: str) -> None:
        """Add a line to the trace: whatever a test wants repeated exactly."""
        line = f"{self.clock.seconds():.6f} {line}"
        self._digest.update(line.encode() + b"\n")
        self.recent.append(line)

    @property
    def trace(self) -> str:
        """A digest of everything that happened so far."""
        return self._digest.hexdigest()

    def _free_port(self) -> int:
        self._ports += 1
        return self._ports


def run(world: World, coroutine: Coroutine[Any, Any, T], *, limit: float = 86_400.0) -> T:
    """Let the world go on until *coroutine* has finished; return what it returned or raise what it raised.

    ``Deadlock`` if nothing is left to happen, ``Overdue`` after *limit* simulated seconds; both name what
    happened last.
    """
    results: list[T | Failure] = []
    done = Deferred.fromCoroutine(coroutine)
    done.addBoth(results.append)
    end = world.clock.seconds() + limit
    while not results:
        due = world.clock.due()
        if due is None:
            raise Deadlock("no timer is left; last:\n  " + "\n  ".join(world.recent))
        if due > end:
            raise Overdue(f"not finished after {limit:g} s; last:\n  " + "\n  ".join(world.recent))
        world.clock.step()
    result = results[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result


class SimulatedEnv:
    """One machine of a world. Made alone, it makes a world of its own.

    *disk.free_space*, *work_time* (the range of seconds that a batch of a worker takes) and ``step_wall``
    may be used while it runs.
    """

    def __init__(
        self,
        seed: int | str = 0,
        *,
        boot: Instant = BOOT,
        wall_skew: float | None = None,
        world: World | None = None,
        name: str = "node",
    ) -> None:
        self.world = world = World(seed, boot=boot) if world is None else world
        self.name = name
        boots = world._boots[name] = world._boots.get(name, 0) + 1
        if wall_skew is not None:
            world._skews[name] = wall_skew
        self._clock = EnvClock(world.clock)
        self.clock: Clock = self._clock
        self.random = Random(f"{world.seed}/{name}/{boots}")  # noqa: S311  # repeatable is the point
        self.net: Net = SimulatedNet(self)
        self.told = SimulatedSupervisor(self)
        self.supervisor: Supervisor = self.told
        self.serial: SerialPorts = SimulatedSerial(self)
        self.disk = world._disks.setdefault(name, SimulatedFiles())
        self.files: Files = self.disk
        self.work_time = (0.0002, 0.002)
        self._booted = self.wall()
        self._booted_at = world.clock.seconds()
        self._failpoints: dict[str, tuple[int, Callable[[], object]]] = {}
        self._reached: dict[str, int] = {}
        world.note(f"{name} boots")

    @property
    def alive(self) -> bool:
        return self._clock.alive

    def now(self) -> Instant:
        return later(self._booted, self.world.clock.seconds() - self._booted_at)

    def wall(self) -> Instant:
        return later(self.world.boot, self.world.clock.seconds() + self.world._skews.get(self.name, 0.0))

    def step_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock; it stays so over a crash, as a machine's clock does."""
        self.world._skews[self.name] = self.world._skews.get(self.name, 0.0) + seconds

    def worker(
        self,
        name: str,
        work: Callable[[Sequence[T]], Sequence[R]],
        done: Callable[[Sequence[T], Sequence[R] | BaseException], None],
        *,
        limit: int,
    ) -> Worker[T]:
        return _Worker(self, name, work, done, limit)

    def sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(cast(IReactorTime, self.clock), seconds)

    def failpoint(self, name: str) -> None:
        self._reached[name] = reached = self._reached.get(name, 0) + 1
        nth, action = self._failpoints.get(name, (0, self.crash))
        if reached == nth:
            action()
            if not self.alive:
                raise Crashed(name)

    def fail_at(self, name: str, nth: int = 1, action: Callable[[], object] | None = None) -> None:
        """At the *nth* time from now that failpoint *name* is reached do *action* (crash, if None)."""
        self._failpoints[name] = (self._reached.get(name, 0) + nth, action or self.crash)

    def crash(self) -> None:
        """Power off: timers, threads and connections end without a word; peers see resets; the disk stays."""
        if not self.alive:
            return
        world = self.world
        world.note(f"{self.name} crashes")
        self._clock.alive = False
        world._graves.append(world.clock.drop(self._clock))
        for at, port in list(world.listeners.items()):
            if port.env is self:
                del world.listeners[at]
        for wire in list(world._wires):
            wire.crash(self)


class SimulatedSupervisor:
    """Keeps what it is told, with the seconds of the world's clock."""

    def __init__(self, env: SimulatedEnv) -> None:
        self.watchdog = env.world.watchdog
        self.heard: list[tuple[float, str]] = []
        self._clock = env.clock

    def say(self, *lines: str) -> None:
        self.heard += ((self._clock.seconds(), line) for line in lines)


class SimulatedFiles:
    """A disk in memory; *free_space* may be set."""

    def __init__(self) -> None:
        self.free_space = 10 << 30
        self.contents: dict[Path, bytes] = {}

    def free(self, folder: Path) -> int:
        return self.free_space

    def read(self, path: Path) -> bytes:
        if path not in self.contents:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(path))
        return self.contents[path]

    def replace(self, path: Path, data: bytes) -> None:
        if len(data) > self.free_space:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        self.free_space -= len(data) - len(self.contents.get(path, b""))
        self.contents[path] = data

    def names(self, folder: Path, suffix: str) -> tuple[str, ...]:
        found = (path.name for path in self.contents if path.parent == folder)
        return tuple(sorted(name for name in found if name.endswith(suffix) and not name.startswith(".")))

    def owner(self, path: Path) -> int:
        return 0

    def rename(self, path: Path, new: Path) -> None:
        self.contents[new] = self.contents.pop(path)

    def remove(self, path: Path) -> None:
        self.free_space += len(self.contents.pop(path, b""))


class _Worker(Worker[T]):
    """A thread on the clock: a batch is gathered, later takes effect, later still is told of.

    A crash between the last two is a batch that was done and nobody knows.
    """

    def __init__(
        self,
        env: SimulatedEnv,
        name: str,
        work: Callable[[Sequence[T]], Sequence[R]],
        done: Callable[[Sequence[T], Sequence[R] | BaseException], None],
        limit: int,
    ) -> None:
        self._env = env
        self._name = name
        self._work = work
        self._done = cast("Callable[[Sequence[T], object], None]", done)
        self._limit = limit
        self._first: deque[T] = deque()
        self._rest: deque[T] = deque()
        self._busy = False
        self._untold = 0
        self._told_at = 0.0
        self._stopped = False
        self._ended: list[Deferred[None]] = []

    @property
    def waiting(self) -> int:
        return len(self._first) + len(self._rest)

    def put(self, item: T, *, first: bool = False) -> None:
        if self._stopped:
            raise RuntimeError(f"the worker {self._name} has been stopped")
        (self._first if first else self._rest).append(item)
        if not self._busy:
            self._busy = True
            self._env.clock.callLater(self._env.random.uniform(0, 0.0002), self._begin)

    def stop(self) -> Deferred[None]:
        ended: Deferred[None] = Deferred()
        self._stopped = True
        self._ended.append(ended)
        self._check_end()
        return ended

    def _begin(self) -> None:
        batch: list[T] = []
        for queue in (self._first, self._rest):
            while queue and len(batch) < self._limit:
                batch.append(queue.popleft())
        if not batch:
            self._busy = False
            self._check_end()
            return
        self._env.clock.callLater(self._env.random.uniform(*self._env.work_time), self._take_effect, batch)

    def _take_effect(self, batch: list[T]) -> None:
        result: Sequence[object] | BaseException
        try:
            result = self._work(batch)
        except Crashed:
            return
        except BaseException as error:
            result = error
        clock = self._env.clock
        self._untold += 1
        self._told_at = max(self._told_at, clock.seconds() + self._env.random.uniform(0, 0.0002))
        clock.callLater(self._told_at - clock.seconds(), self._tell, batch, result)
        self._begin()

    def _tell(self, batch: list[T], result: Sequence[object] | BaseException) -> None:
        self._untold -= 1
        try:
            self._done(batch, result)
        finally:
            self._check_end()

    def _check_end(self) -> None:
        if self._stopped and not self._busy and not self._untold:
            waiting, self._ended = self._ended, []
            for ended in waiting:
                self._env.clock.callLater(0, ended.callback, None)


class SimulatedNet:
    """Connections of one machine. Loopback addresses are its own; every other name is known to all, and
    has the IP addresses that ``World.names`` says, or none that anybody could object to."""

    def __init__(self, env: SimulatedEnv) -> None:
        self._env = env

    def client(
        self, address: Address, *, open_timeout: float, refusal: Callable[[str], str | None] | None = None
    ) -> Endpoint:
        return _Endpoint(self._env, address, open_timeout, refusal)

    def tls_options(self, tls: Tls, host: str) -> Any:
        """For ``startTLS`` of a simulated transport, which believes anything."""
        return tls

    def listen(self, at: str, factory: Any, tls: object = None) -> Deferred[Port]:
        env = self._env
        host, _, port = at.rpartition(":")
        if at.startswith("unix:"):
            key = f"{env.name}!{at}"
            host = at
        else:
            number = int(port) or env.world._free_port()
            key = _key(env, host.strip("[]"), number)
            port = str(number)
        if key in env.world.listeners:
            return fail(_taken(host, port))
        listening = _Port(env, key, host.strip("[]"), port, factory)
        if env.alive:
            env.world.listeners[key] = listening
        return succeed(listening)


class SimulatedSerial:
    """Serial ports of one machine: what the world has plugged in."""

    def __init__(self, env: SimulatedEnv) -> None:
        self._env = env

    def port(self, at: SerialAt) -> SerialPort:
        return _SerialPort(self._env, at)

    def remarks(self, path: str) -> tuple[str, ...]:
        return ()


class _SerialPort:
    def __init__(self, env: SimulatedEnv, at: SerialAt) -> None:
        self._env = env
        self._at = at

    def connect(self, factory: Any, /) -> Deferred[Any]:
        world, path = self._env.world, self._at.path
        if f"{path}:{PLUGGED}" not in world.listeners:
            return fail(PortTrouble("missing", f"there is no port {path}"))
        if any(wire.leads_to(path) for wire in world._wires):
            return fail(PortTrouble("busy", f"another program has {path}"))
        return _Connecting(self._env, Address(host=path, port=PLUGGED), 10.0, factory).connected

    def set_dtr(self, up: bool) -> None:
        self._env.world.note(f"{self._env.name} sets DTR of {self._at.path} {'up' if up else 'down'}")


def _taken(host: str, port: str) -> CannotListenError:
    reason = OSError(errno.EADDRINUSE, "Address already in use")
    return CannotListenError(host, port, reason)  # type: ignore[no-untyped-call]


def _key(env: SimulatedEnv, host: str, port: int) -> str:
    if host in LOOPBACK:
        return f"{env.name}!{port}"
    return f"{env.name if host in ANY else host}:{port}"


@implementer(IListeningPort)
class _Port:
    def __init__(self, env: SimulatedEnv, key: str, host: str, port: str, factory: IProtocolFactory) -> None:
        self.env = env
        self.key = key
        self.factory = factory
        self._host = host
        self._number = port

    def startListening(self) -> None:
        raise _taken(self._host, self._number)

    def stopListening(self) -> Deferred[None]:
        if self.env.world.listeners.get(self.key) is self:
            del self.env.world.listeners[self.key]
        return succeed(None)

    def getHost(self) -> IPv4Address | UNIXAddress:
        if self._host.startswith("unix:"):
            return UNIXAddress(self._host.removeprefix("unix:"))
        return IPv4Address("TCP", self._host, int(self._number))


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(
        self,
        env: SimulatedEnv,
        address: Address,
        open_timeout: float,
        refusal: Callable[[str], str | None] | None,
    ) -> None:
        self._env = env
        self._address = address
        self._open_timeout = open_timeout
        self._refusal = refusal

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        host = self._address.host
        own = (host,) if re.fullmatch("[0-9.]+|.*:.*", host) else ()
        for ip in self._env.world.names.get(host, own):
            why = None if self._refusal is None else self._refusal(ip)
            if why is not None:
                words = f"{self._address} is not called: {why}"
                return fail(AddressRefused(string=words))  # type: ignore[no-untyped-call]
        attempt = _Connecting(self._env, self._address, self._open_timeout, factory)
        return attempt.connected


class _Connecting:
    """One try: there, looked up, back; or given up in between."""

    def __init__(
        self, env: SimulatedEnv, address: Address, open_timeout: float, factory: IProtocolFactory
    ) -> None:
        self._env = env
        self._address = address
        self._factory = cast(Any, factory)
        self._wire: _Wire | None = None
        self._over = False
        self._weather = weather = env.world.weather_of(address)
        self.connected: Deferred[IProtocol] = Deferred(lambda _: self._give_up())
        late = TimeoutError(string=f"{address} did not answer")  # type: ignore[no-untyped-call]
        self._timeout = cast(Timer, env.clock.callLater(open_timeout, self._fail, late))
        world = env.world
        out = world.chance.uniform(*weather.latency)
        if weather.unknown:
            env.clock.callLater(out, self._fail, DNSLookupError(f"{address.host} is not known"))
        elif not weather.blackhole:
            world.clock.callLater(out, self._arrive)

    def _arrive(self) -> None:
        env, world, address = self._env, self._env.world, self._address
        if self._over or world.apart(env.name, address.host) or world.apart(address.host, env.name):
            return
        back = world.chance.uniform(*self._weather.latency)
        port = world.listeners.get(_key(env, address.host, address.port))
        if port is None or self._weather.refuse:
            refused = ConnectionRefusedError(string=f"{address} refused")  # type: ignore[no-untyped-call]
            env.clock.callLater(back, self._fail, refused)
            return
        if not env.alive:
            return
        self._wire = wire = _Wire(env, port.env, address, self._weather, opened_in=back)
        world._wires[wire] = None
        world.note(f"{env.name} connects to {address}")
        world.clock.callLater(back, self._arrive_back, wire)
        server = cast(Any, port.factory).buildProtocol(wire.server.getPeer())
        if server is None:
            wire.server.abortConnection()
        else:
            wire.server.serve(server)

    def _arrive_back(self, wire: _Wire) -> None:
        if self._over or not self._env.alive:
            return
        protocol = self._factory.buildProtocol(wire.client.getPeer())
        if protocol is None:
            self._fail(NoProtocol())
            return
        self._over = True
        self._timeout.cancel()
        wire.client.serve(protocol)
        self.connected.callback(protocol)
        wire.cut_at_once()

    def _give_up(self) -> None:
        self._over = True
        if self._timeout.active():
            self._timeout.cancel()
        if self._wire is not None:
            self._wire.client.abortConnection()

    def _fail(self, error: Exception) -> None:
        if not self._over:
            self._give_up()
            self._env.world.note(
                f"{self._env.name} cannot connect to {self._address}: {type(error).__name__}"
            )
            self.connected.errback(error)


class _End(msgspec.Struct, frozen=True):
    """The last thing to arrive."""

    reason: Exception


class _Wire:
    """One connection: two transports and what the weather does to it."""

    def __init__(
        self,
        client: SimulatedEnv,
        server: SimulatedEnv,
        address: Address,
        weather: Weather,
        *,
        opened_in: float,
    ) -> None:
        self.world = client.world
        self.weather = weather
        self.silent = False
        here = IPv4Address("TCP", client.name, self.world._free_port())
        there = IPv4Address("TCP", address.host, address.port)
        self.client = SimulatedTransport(client, self, here, there, weather.cut_heard)
        self.server = SimulatedTransport(server, self, there, here, weather.cut_sent)
        self.client.peer, self.server.peer = self.server, self.client
        self.client._arrives_from = self.world.clock.seconds() + opened_in

    def cut_at_once(self) -> None:
        if 0 in (self.weather.cut_sent, self.weather.cut_heard):
            self.world.clock.callLater(0, self.cut)

    def cut(self) -> None:
        """The weather ends it."""
        self.world.note(f"{self.client._here.host}:{self.client._here.port} is cut")
        if self.silent:
            return
        self.silent = True
        if self.weather.ending != "silence":
            gone: Exception = ConnectionDone() if self.weather.ending == "close" else ConnectionLost()
            for end in (self.client, self.server):
                end._inbox.append(_End(gone))
                self.world.clock.callLater(0, end._drain)

    def crash(self, env: SimulatedEnv) -> None:
        for end in (self.client, self.server):
            if end._env is env and end.connected:
                end._fall_silent()
                end._send(_End(ConnectionLost("the other machine crashed")))

    def leads_to(self, host: str) -> bool:
        return self.server._here.host == host and self.client.connected

    def forget(self) -> None:
        if not self.client.connected and not self.server.connected:
            self.world._wires.pop(self, None)


@implementer(ITCPTransport, IPushProducer, IConsumer)
class SimulatedTransport:
    """One end of a connection. Writes arrive later, in order; after ``loseConnection`` they are dropped."""

    def __init__(
        self,
        env: SimulatedEnv,
        wire: _Wire,
        here: IPv4Address,
        there: IPv4Address,
        cut_after: int | None,
    ) -> None:
        self.connected = True
        self.disconnecting = False
        self.peer: SimulatedTransport
        self.protocol: IProtocol | None = None
        self._env = env
        self._wire = wire
        self._here = here
        self._there = there
        self._cut_after = cut_after
        self._arrived_bytes = 0
        self._arrives_from = 0.0  # nothing arrives here before this time of the clock
        self._inbox: deque[bytes | _End] = deque()
        self._draining = False
        self._paused = False
        self._write_ended = False
        self._unread = 0  # written here, not yet read by the peer
        self._producer: Any = None
        self._streaming = True
        self._producer_paused = False

    # What protocols call

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"only bytes can be written, not {type(data).__name__}")
        if not self.connected or self._write_ended or (self.disconnecting and self._producer is None):
            return
        if data:
            self._send(bytes(data))
        self._press_back()

    def writeSequence(self, iovec: Sequence[bytes]) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._close_if_done()

    def loseWriteConnection(self) -> None:
        if self.connected and not self._write_ended:
            self._write_ended = True
            self._send(_End(ConnectionDone()))

    def abortConnection(self) -> None:
        if self.connected and not self._write_ended:
            self._send(_End(ConnectionLost()))
        self._fall_silent(ConnectionAborted())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._producer_paused = producer, streaming, False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        if self.connected and self.disconnecting:
            self._close_if_done()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        if self._paused and self.connected:
            self._paused = False
            self._env.clock.callLater(0, self._drain)

    def stopProducing(self) -> None:
        self.loseConnection()

    def startTLS(self, options: object) -> None:
        """TLS is outside the simulation: both ends are who they say, and bytes pass as they are."""

    def getPeer(self) -> IPv4Address:
        return self._there

    def getHost(self) -> IPv4Address:
        return self._here

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing to set: there is no delay of Nagle's here."""

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing to set: the weather decides what is noticed."""

    # What the world does

    def serve(self, protocol: IProtocol) -> None:
        self.protocol = protocol
        cast(Any, protocol).makeConnection(self)
        self._drain()

    def _send(self, item: bytes | _End) -> None:
        """Put *item* on the wire; it arrives at the peer after what was sent before."""
        weather, peer = self._wire.weather, self.peer
        now = self._wire.world.clock.seconds()
        if self._wire.silent:
            self._unread += 0 if isinstance(item, _End) else len(item)
            return
        lag = self._wire.world.chance.uniform(*weather.latency)
        if isinstance(item, _End):
            peer._arrives_from = max(now + lag, peer._arrives_from)
            self._wire.world.clock.call_at(peer._arrives_from, peer._arrive, item)
            return
        self._unread += len(item)
        step = weather.segment or len(item)
        for at in range(0, len(item), step):
            piece = item[at : at + step]
            peer._arrives_from = max(now + lag, peer._arrives_from)
            if weather.rate is not None:
                peer._arrives_from += len(piece) / weather.rate
            self._wire.world.clock.call_at(peer._arrives_from, peer._arrive, piece)

    def _arrive(self, item: bytes | _End) -> None:
        wire, world = self._wire, self._wire.world
        if not self.connected or wire.silent:
            return
        if world.apart(self.peer._env.name, self._env.name):
            world._parked.append(lambda: self._arrive(item))
            return
        if isinstance(item, bytes):
            left = len(item) if self._cut_after is None else self._cut_after - self._arrived_bytes
            item = item[:left]
            self._arrived_bytes += len(item)
            world.note(f"{self._there.host}:{self._there.port} > {self._here.host} {item!r}")
            if isinstance(item, bytes) and item:
                self._inbox.append(item)
            if self._arrived_bytes == self._cut_after:
                wire.cut()
        else:
            self._inbox.append(item)
        self._drain()

    def _drain(self) -> None:
        if self._draining or self.protocol is None:
            return
        self._draining = True
        try:
            while self._inbox and not self._paused and self.connected:
                item = self._inbox.popleft()
                if isinstance(item, _End):
                    if isinstance(item.reason, ConnectionDone) and not self._write_ended:
                        self._write_ended = True
                        self._send(_End(ConnectionDone()))
                    self._lose(item.reason)
                else:
                    cast(Any, self.protocol).dataReceived(item)
                    self.peer._was_read(len(item))
        finally:
            self._draining = False

    def _press_back(self) -> None:
        if self._unread > WINDOW and self._producer is not None and self._streaming:
            if self._producer_paused:
                return
            self._producer_paused = True
            self._producer.pauseProducing()

    def _was_read(self, size: int) -> None:
        self._unread -= size
        if not self.connected:
            return
        if self._producer is not None and self._unread <= WINDOW // 2:
            if not self._streaming:
                if not self._unread:
                    self._env.clock.callLater(0, self._pull)
            elif self._producer_paused:
                self._producer_paused = False
                self._env.clock.callLater(0, self._pull)
        if self.disconnecting:
            self._close_if_done()

    def _pull(self) -> None:
        if self._producer is not None and self.connected and not self._producer_paused:
            self._producer.resumeProducing()

    def _close_if_done(self) -> None:
        supplied = self._producer is None or (self._streaming and not self._producer_paused)
        if supplied and self._unread <= WINDOW:  # the rest is the kernel's
            if not self._write_ended:
                self._write_ended = True
                self._send(_End(ConnectionDone()))
            self._fall_silent(ConnectionDone())

    def _fall_silent(self, reason: Exception | None = None) -> None:
        """Nothing is read or written any more; tell the protocol *reason* soon, if there is one."""
        if self.connected:
            self.connected = False
            self._inbox.clear()
            if reason is not None:
                self._env.clock.callLater(0, self._lose, reason, was_connected=True)
        self._wire.forget()

    def _lose(self, reason: Exception, *, was_connected: bool = False) -> None:
        if not self.connected and not was_connected:
            return
        self.connected = False
        self.disconnecting = True
        self._wire.forget()
        self._wire.world.note(f"{self._here.host} lost {self._there.host}: {type(reason).__name__}")
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        if self.protocol is not None:
            cast(Any, self.protocol).connectionLost(Failure(reason))  # type: ignore[no-untyped-call]


def _ignore(_: DelayedCall) -> None:
    """A timer of a machine that is gone."""


if TYPE_CHECKING:
    _: type[Env] = SimulatedEnv
