"""The simulated world: every run can be repeated, and every fault happens exactly where it was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import IConsumer, IListeningPort, IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, LoopingCall
from zope.interface.verify import verifyObject

from gateway.env import Address, public_id
from gateway.env.simulated import (
    Crashed,
    Deadlock,
    HeapClock,
    Overdue,
    SimulatedEnv,
    Weather,
    World,
    run,
)
from gateway.model import SECOND

CARRIER = Address(host="carrier.example", port=444)
HELLO = b"220 hello\r\n"


class Talk(Protocol):
    transport: Any

    def __init__(self, env: SimulatedEnv) -> None:
        self.env = env
        self.heard = bytearray()
        self.pieces: list[tuple[float, bytes]] = []
        self.lost: Any = None
        self.ended: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        assert self.env.alive, "a machine that crashed hears nothing"
        self.heard += data
        self.pieces.append((self.env.clock.seconds(), data))

    def connectionLost(self, reason: Any = None) -> None:
        assert self.env.alive, "a machine that crashed is told nothing"
        assert self.lost is None, "told twice"
        self.lost = reason.value
        self.ended.callback(None)


class Echo(Talk):
    """Greets and echoes."""

    def connectionMade(self) -> None:
        self.transport.write(HELLO)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


class Side(Factory):
    noisy = False

    def __init__(self, env: SimulatedEnv, kind: type[Talk] = Talk) -> None:
        self.env = env
        self.kind = kind
        self.talks: list[Talk] = []

    def buildProtocol(self, addr: Any) -> Talk:
        self.talks.append(self.kind(self.env))
        return self.talks[-1]


class Scene:
    """A carrier that echoes, and a node that talks to it."""

    def __init__(self, weather: Weather | None = None, seed: int = 1) -> None:
        self.world = World(seed)
        if weather is not None:
            self.world.set_weather(str(CARRIER), weather)
        self.carrier = self.world.env("carrier.example")
        self.node = self.world.env("node")
        self.side = Side(self.carrier, Echo)
        self.carrier.net.listen(str(CARRIER), self.side)

    async def connect(self, open_timeout: float = 10) -> Any:
        endpoint: Any = self.node.net.client(CARRIER, open_timeout=open_timeout)
        return await endpoint.connect(Side(self.node))


# The clock


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["call", "cancel", "reset", "delay", "advance"]), st.integers(0, 40)),
        max_size=40,
    )
)
def test_the_clock_does_what_twisteds_does(moves: list[tuple[str, int]]) -> None:
    """Calls, cancels, resets and delays end in the same calls at the same times as with ``task.Clock``."""

    def play(clock: Any) -> list[tuple[int, float]]:
        made: list[tuple[int, float]] = []
        timers: list[Any] = []
        now = 0.0  # in whole seconds, one by one: Twisted's calls see the end of an advance as their time
        for n, (move, amount) in enumerate(moves):
            if move == "call":
                timers.append(
                    clock.callLater(amount + (n + 1) / 64, lambda n=n: made.append((n, clock.seconds())))
                )
            elif move == "advance":
                for _ in range(amount * 64):
                    now += 1 / 64
                    clock.advance(1 / 64)
            elif timers and (timer := timers[amount % len(timers)]).active():
                timer.cancel() if move == "cancel" else getattr(timer, move)((amount + 1) / 4)
        assert clock.seconds() == now
        for timer in timers:
            if timer.active():
                assert timer in clock.getDelayedCalls()
        return made

    assert sorted(play(HeapClock())) == sorted(play(Clock()))


def test_calls_for_one_time_come_in_the_order_in_which_they_were_asked_for() -> None:
    """Also after one of them was moved; and each sees its own time, not the end of the advance."""
    clock: Any = HeapClock()
    verifyObject(IReactorTime, clock)
    seen: list[tuple[str, float]] = []
    for name in "abc":
        clock.callLater(1, lambda name=name: seen.append((name, clock.seconds())))
    clock.callLater(0.5, clock.callLater, 0.25, lambda: seen.append(("d", clock.seconds())))
    clock.advance(5)
    assert seen == [("d", 0.75), ("a", 1), ("b", 1), ("c", 1)]
    assert clock.seconds() == 5
    with pytest.raises(ValueError, match="past"):
        clock.callLater(-1, print)


def test_cancelled_timeouts_do_not_pile_up() -> None:
    """A hundred thousand long timeouts that ended early leave a small heap."""
    clock: Any = HeapClock()
    for _ in range(100_000):
        clock.callLater(900, print).cancel()
    assert len(clock._heap) < 3000
    assert clock.getDelayedCalls() == []
    assert not clock.step()


def test_twisteds_looping_call_runs_on_it() -> None:
    """Anything that takes IReactorTime may be handed the clock."""
    env = SimulatedEnv()
    beats: list[float] = []
    loop = LoopingCall(lambda: beats.append(env.clock.seconds()))
    loop.clock = env.clock
    loop.start(10)
    env.world.clock.advance(35)
    assert beats == [0, 10, 20, 30]


# Two clocks


def test_a_step_of_the_wall_clock_neither_delays_nor_hastens_anything() -> None:
    """F21: an hour forth and back, ten years forth and back: due times are off by nothing in 1,000 steps."""
    env = SimulatedEnv(3)

    async def main() -> float:
        worst = 0.0
        for n in range(1000):
            due = env.now() + 10 * SECOND
            env.clock.callLater(4, env.step_wall, (3600, -3600, 315_360_000, -315_360_000)[n % 4])
            before = env.wall()
            await env.sleep(10)
            worst = max(worst, abs(env.now() - due) / SECOND)
            assert abs(env.wall() - before) > 3500 * SECOND
        return worst

    assert run(env.world, main()) <= 0.000_002


def test_a_machine_boots_with_the_wall_clock_that_it_has() -> None:
    """``now`` is the machine's own idea of UTC at boot plus steady time; a skew stays over a crash."""
    world = World(boot=SimulatedEnv().now())
    ahead = world.env("ahead", wall_skew=90.0)
    right = world.env("right")
    assert ahead.now() - right.now() == 90 * SECOND == ahead.wall() - right.wall()
    ahead.step_wall(10)
    assert ahead.now() - right.now() == 90 * SECOND
    ahead.crash()
    again = world.env("ahead")
    assert again.now() - right.now() == 100 * SECOND


# Repeatable


def busy_day(seed: int) -> tuple[str, list[Any]]:
    """Connections, cuts, a crash, a worker and ids, decided by the seed."""
    world = World(seed)
    facts: list[Any] = []
    carrier = world.env("carrier.example")
    carrier.net.listen(str(CARRIER), Side(carrier, Echo))

    async def talk(env: SimulatedEnv) -> None:
        endpoint: Any = env.net.client(CARRIER, open_timeout=5)
        here: Any = await endpoint.connect(Side(env))
        for _ in range(3):
            here.transport.write(public_id(env).encode())
            await env.sleep(env.random.expovariate(10))
        here.transport.loseConnection()
        await here.ended
        facts.append((bytes(here.heard), type(here.lost).__name__))

    async def main() -> None:
        for n in range(4):
            cut = world.chance.choice((None, 5, 40))
            world.set_weather(str(CARRIER), Weather(cut_heard=cut))
            env = world.env("node")
            worker: Any = env.worker("w", list, lambda i, r: facts.append((carrier.now(), list(r))), limit=3)
            for item in range(5):
                worker.put(item)
            if n == 2:
                env.clock.callLater(0.05, env.crash)
                Deferred.fromCoroutine(talk(env))
                await carrier.sleep(1)
            else:
                await talk(env)

    run(world, main())
    return world.trace, facts


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_the_same_seed_makes_the_same_trace(seed: int) -> None:
    """I10: a run can be repeated byte for byte from its seed; another seed makes another one."""
    assert busy_day(seed) == busy_day(seed)
    assert busy_day(seed)[0] != busy_day(seed + 1)[0]


# Weather

PAGE = b"PAGE 5551212\r\nMESS bed 4\r\nSEND\r\n"


@pytest.mark.parametrize(
    ("ending", "error"), [("reset", ConnectionLost), ("close", ConnectionDone), ("silence", None)]
)
@pytest.mark.parametrize("direction", ["cut_sent", "cut_heard"])
def test_a_cut_at_every_byte(ending: Any, direction: str, error: type[Exception] | None) -> None:
    """Exactly so many bytes arrive, then the connection ends as asked for: at both ends, or at neither."""
    whole = len(PAGE) if direction == "cut_sent" else len(HELLO + PAGE)
    for at in range(whole + 1):
        scene = Scene(Weather(ending=ending, **{direction: at}), seed=at)

        async def main(scene: Scene = scene) -> Any:
            here = await scene.connect()
            here.transport.write(PAGE)
            await scene.node.sleep(60)
            return here

        here = run(scene.world, main())
        there = scene.side.talks[0]
        if direction == "cut_sent":
            assert there.heard == PAGE[:at]
        else:
            assert here.heard == (HELLO + PAGE)[:at]
        for end in (here, there):
            assert (type(end.lost) if end.lost else None) is error


@settings(max_examples=30, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=300),
    segment=st.integers(1, 50),
    rate=st.none() | st.floats(10, 10_000),
    seed=st.integers(0, 1000),
)
def test_bytes_arrive_whole_in_order_and_at_the_speed_of_the_line(
    data: bytes, segment: int, rate: float | None, seed: int
) -> None:
    """Whatever the segments: nothing is lost, doubled or swapped, and n bytes take n / rate seconds."""
    scene = Scene(Weather(segment=segment, rate=rate, latency=(0.0, 0.5)), seed)

    async def main() -> Any:
        here = await scene.connect()
        began = scene.node.clock.seconds()
        here.transport.writeSequence([data[:7], data[7:]])
        there = scene.side.talks[0]
        while len(there.heard) < len(data):
            await scene.node.sleep(0.01)
        return began, there

    began, there = run(scene.world, main())
    assert there.heard == data
    assert all(len(piece) <= segment for _, piece in there.pieces)
    if rate is not None:
        assert there.pieces[-1][0] - began >= len(data) / rate - 1e-6


@pytest.mark.parametrize(
    ("weather", "error", "within"),
    [
        (Weather(refuse=True), ConnectionRefusedError, 0.1),
        (Weather(unknown=True), DNSLookupError, 0.1),
        (Weather(blackhole=True), TimeoutError, 10.0),
        (Weather(latency=(30, 30)), TimeoutError, 10.0),
    ],
)
def test_connections_that_cannot_be_made(weather: Weather, error: type[Exception], within: float) -> None:
    """Refused and unknown at once; no answer, or too late a one, after the time allowed. No protocol is made."""
    scene = Scene(weather)

    async def main() -> float:
        with pytest.raises(error):
            await scene.connect(open_timeout=10)
        at = scene.node.clock.seconds()
        await scene.node.sleep(100)
        return at

    assert run(scene.world, main()) <= within
    assert all(talk.lost for talk in scene.side.talks)
    assert not scene.world._wires


def test_what_is_under_way_waits_while_hosts_are_apart() -> None:
    """Nothing is lost by a partition: it arrives in order when it ends; new connections time out meanwhile."""
    scene = Scene()

    async def main() -> None:
        here = await scene.connect()
        await scene.node.sleep(1)
        scene.world.part("carrier.example")
        here.transport.write(b"one")
        with pytest.raises(TimeoutError):
            await scene.connect(open_timeout=5)
        here.transport.write(b"two")
        here.transport.loseConnection()
        await scene.node.sleep(60)
        there = scene.side.talks[0]
        assert not there.heard
        scene.world.join("carrier.example")
        await scene.node.sleep(1)
        assert there.heard == b"onetwo"
        assert isinstance(there.lost, ConnectionDone)

    run(scene.world, main())


def test_one_direction_can_be_cut_off_alone() -> None:
    """What we say arrives; the answer does not."""
    scene = Scene()

    async def main() -> None:
        here = await scene.connect()
        await scene.node.sleep(1)
        scene.world.part("node", "in")
        here.transport.write(b"ping")
        await scene.node.sleep(60)
        assert scene.side.talks[0].heard == b"ping"
        assert here.heard == HELLO
        scene.world.join("node")
        assert here.heard == HELLO + b"ping"

    run(scene.world, main())


def test_transports_promise_what_twisteds_do() -> None:
    """The interfaces that protocols use are there in full."""
    scene = Scene()

    async def main() -> None:
        here = await scene.connect()
        verifyObject(ITCPTransport, here.transport)
        verifyObject(IConsumer, here.transport)
        with pytest.raises(TypeError):
            here.transport.write("text")
        here.transport.loseWriteConnection()
        here.transport.write(b"not any more")
        await here.ended
        assert here.heard == HELLO
        assert isinstance(here.lost, ConnectionDone)
        verifyObject(IListeningPort, scene.world.listeners["carrier.example:444"])

    run(scene.world, main())


def test_loopback_belongs_to_one_machine() -> None:
    """127.0.0.1 of one machine is not that of another; 0.0.0.0 is the machine's own name."""
    world = World()
    one, two = world.env("one"), world.env("two")

    async def main() -> None:
        for at in ("127.0.0.1:8080", "0.0.0.0:80"):
            await one.net.listen(at, Side(one))
        for env, host, port, reached in (
            (one, "localhost", 8080, True),
            (two, "localhost", 8080, False),
            (two, "one", 80, True),
            (two, "one", 8080, False),
        ):
            endpoint: Any = env.net.client(Address(host=host, port=port), open_timeout=5)
            if reached:
                await endpoint.connect(Side(env))
            else:
                with pytest.raises(ConnectionRefusedError):
                    await endpoint.connect(Side(env))

    run(world, main())


# Crashes


def test_a_crash_ends_a_machine_and_nothing_else() -> None:
    """Its timers never fire, its peers see a reset, its ports refuse; the others go on, and it boots again."""
    scene = Scene()

    async def main() -> None:
        here = await scene.connect()
        fired: list[int] = []
        scene.node.clock.callLater(1, fired.append, 1)
        worker: Any = scene.node.worker("w", list, lambda i, r: fired.append(2), limit=1)
        worker.put(1)
        await scene.node.net.listen("0.0.0.0:80", Side(scene.node))
        scene.node.crash()
        scene.node.crash()
        here.transport.write(b"from the grave")
        scene.node.clock.callLater(1, fired.append, 3).reset(2)
        worker.put(2)
        there = scene.side.talks[0]
        await there.ended
        assert isinstance(there.lost, ConnectionLost)
        await scene.carrier.sleep(10)
        assert not fired
        assert here.lost is None
        assert there.heard == b""
        endpoint: Any = scene.carrier.net.client(Address(host="node", port=80), open_timeout=5)
        with pytest.raises(ConnectionRefusedError):
            await endpoint.connect(Side(scene.carrier))
        scene.node = scene.world.env("node")
        again = await scene.connect()
        await scene.node.sleep(1)
        assert again.heard == HELLO

    run(scene.world, main())


def test_a_crash_while_connecting_leaves_nothing_behind() -> None:
    """At whatever moment: the carrier ends up without a connection that nobody holds."""
    for step in range(12):
        scene = Scene(Weather(latency=(1, 1)))
        Deferred.fromCoroutine(scene.connect())
        scene.node.clock.callLater(step / 4, scene.node.crash)
        scene.world.clock.advance(60)
        assert all(talk.lost for talk in scene.side.talks)
        assert not scene.world._wires


def test_a_batch_may_be_done_without_anybody_having_been_told() -> None:
    """Over many crashes a batch is not begun, or done and told of, or done and not told of: all three occur."""
    seen = set()
    for seed in range(200):
        env = SimulatedEnv(seed)
        done: list[int] = []
        told: list[int] = []

        def work(items: Any, done: list[int] = done) -> Any:
            done.extend(items)
            return items

        worker = env.worker("w", work, lambda i, r, told=told: told.extend(i), limit=1)  # type: ignore[misc]
        worker.put(1)
        env.clock.callLater(env.random.uniform(0, 0.003), env.crash)
        env.world.clock.advance(1)
        seen.add((len(done), len(told)))
    assert seen == {(0, 0), (1, 0), (1, 1)}


def test_a_failpoint_stops_the_machine_at_the_nth_time() -> None:
    """Nothing after it happens; the disk is as it was; an action of one's own may be taken instead."""
    env = SimulatedEnv()
    path = Path("/state")
    env.fail_at("T2", nth=2)
    env.failpoint("T1")
    env.failpoint("T2")
    env.files.replace(path, b"1")
    with pytest.raises(Crashed):
        env.failpoint("T2")
    assert not env.alive
    again = env.world.env("node")
    assert again.files.read(path) == b"1"
    asked: list[int] = []
    again.fail_at("T2", action=lambda: asked.append(1))
    again.failpoint("T2")
    again.failpoint("T2")
    assert asked == [1]
    assert again.alive


def test_a_failpoint_in_a_workers_thread() -> None:
    """The batch has no effect and nobody is told."""
    env = SimulatedEnv()
    done: list[int] = []

    def work(items: Any) -> Any:
        env.failpoint("T1")
        done.extend(items)
        return items

    worker = env.worker("w", work, lambda i, r: done.append(-1), limit=1)
    env.fail_at("T1", nth=2)
    worker.put(1)
    worker.put(2)
    env.world.clock.advance(10)
    assert done in ([1], [1, -1])
    assert not env.alive


# Disk


def test_a_full_disk_takes_nothing_and_keeps_what_it_has() -> None:
    """ENOSPC, and the old bytes."""
    env = SimulatedEnv()
    path = Path("/state")
    env.files.replace(path, b"old")
    env.disk.free_space = 4
    with pytest.raises(OSError, match="space"):
        env.files.replace(path, b"longer")
    assert env.files.read(path) == b"old"
    assert env.files.free(path.parent) == 4


# The runner


def test_the_runner_says_why_it_stops() -> None:
    """A coroutine that waits for nothing is a deadlock, one that waits too long is overdue; errors come out."""
    world = World()
    env = world.env("node")

    async def stuck() -> None:
        await Deferred()

    async def slow() -> None:
        await env.sleep(100)

    async def wrong() -> None:
        await env.sleep(1)
        raise KeyError("mine")

    async def right() -> int:
        await env.sleep(1)
        return 5

    with pytest.raises(Deadlock, match="node boots"):
        run(world, stuck())
    with pytest.raises(Overdue, match="10 s"):
        run(world, slow(), limit=10)
    with pytest.raises(KeyError, match="mine"):
        run(world, wrong())
    assert run(world, right()) == 5
