"""One contract for both worlds: what ``Env`` promises holds on the machine and in simulation alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.protocol import Factory, Protocol

from gateway.env import Address, Env, public_id
from gateway.env.real import RealEnv
from gateway.env.simulated import SimulatedEnv, run
from gateway.model import SECOND


class Place:
    """A world and how to let it go on."""

    def __init__(self, env: Env, drive: Callable[[Coroutine[Any, Any, None]], Any], simulated: bool) -> None:
        self.env = env
        self.drive = drive
        self.simulated = simulated
        self.gate = threading.Event()

    def hold(self) -> None:
        """In a worker's thread: wait for the gate (a simulated batch takes a second anyway)."""
        if not self.simulated:
            assert self.gate.wait(20)

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            await self.env.sleep(0.001)


@pytest.fixture(params=["real", "simulated"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "simulated":
        env = SimulatedEnv(7)
        env.work_time = (1.0, 1.0)
        env.world.set_weather("nowhere.example", env.world.weather.__class__(unknown=True))

        async def in_simulated_time(coroutine: Coroutine[Any, Any, None]) -> None:
            run(env.world, coroutine)

        return Place(env, in_simulated_time, True)
    from twisted.internet import reactor

    async def in_time(coroutine: Coroutine[Any, Any, None]) -> None:
        await Deferred.fromCoroutine(coroutine).addTimeout(30, reactor)

    def lookup(host: str) -> list[str]:
        raise OSError("no such name")

    return Place(RealEnv(reactor, lookup=lookup), in_time, False)


# Time, chance, ids


@pytest_twisted.ensureDeferred
async def test_timers_fire_in_order_and_sleep_can_be_cancelled(place: Place) -> None:
    """A call asked for sooner comes sooner; a cancelled sleep ends at once."""

    async def main() -> None:
        seen: list[int] = []
        place.env.clock.callLater(0.02, seen.append, 2)
        place.env.clock.callLater(0.01, seen.append, 1)
        began, began_at = place.env.clock.seconds(), place.env.now()
        await place.env.sleep(0.03)
        assert seen == [1, 2]
        assert place.env.clock.seconds() - began >= 0.03
        assert place.env.now() - began_at >= 0.029 * SECOND
        sleeping = place.env.sleep(3600)
        sleeping.cancel()
        with pytest.raises(CancelledError):
            await sleeping

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_ids_sort_by_time(place: Place) -> None:
    """Ids made a millisecond apart sort as they were made, and no two are equal."""

    async def main() -> None:
        ids = []
        for _ in range(20):
            ids.append(public_id(place.env))
            await place.env.sleep(0.002)
        assert ids == sorted(set(ids))
        assert all(len(one) == 26 for one in ids)

    await place.drive(main())


# Workers


@pytest_twisted.ensureDeferred
async def test_a_worker_keeps_the_order_and_tells_of_every_item(place: Place) -> None:
    """Items are worked on in the order in which they were put, and told of in that order, with results."""

    async def main() -> None:
        told: list[tuple[int, int]] = []
        sizes: list[int] = []

        def done(items: Any, results: Any) -> None:
            sizes.append(len(items))
            told.extend(zip(items, results, strict=True))

        worker = place.env.worker("test", lambda items: [item * 2 for item in items], done, limit=16)
        for item in range(100):
            worker.put(item)
        await worker.stop()
        assert told == [(item, item * 2) for item in range(100)]
        assert max(sizes) <= 16
        assert worker.waiting == 0

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_while_a_batch_runs_the_next_one_gathers_and_first_items_overtake(place: Place) -> None:
    """What comes in meanwhile goes together, at most *limit* at once, those marked *first* ahead."""

    async def main() -> None:
        begun: list[list[str]] = []

        def work(items: Any) -> Any:
            begun.append(list(items))
            place.hold()
            return items

        worker = place.env.worker("test", work, lambda items, results: None, limit=4)
        worker.put("a")
        await place.until(lambda: worker.waiting == 0)
        for item in "bcde":
            worker.put(item)
        for item in "XY":
            worker.put(item, first=True)
        assert worker.waiting == 6
        place.gate.set()
        await worker.stop()
        assert begun == [["a"], ["X", "Y", "b", "c"], ["d", "e"]]

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_a_batch_that_raises_is_told_of_and_the_next_one_runs(place: Place) -> None:
    """The error is handed over with its items; the thread goes on."""

    async def main() -> None:
        told: list[tuple[list[str], object]] = []

        def work(items: Any) -> Any:
            if "bad" in items:
                raise OSError("the disk is gone")
            return ["fine"] * len(items)

        worker = place.env.worker("test", work, lambda i, r: told.append((list(i), r)), limit=1)
        worker.put("bad")
        worker.put("good")
        await worker.stop()
        assert told[0][0] == ["bad"]
        assert isinstance(told[0][1], OSError)
        assert told[1:] == [(["good"], ["fine"])]

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_a_stopped_worker_takes_nothing_more_and_may_be_stopped_twice(place: Place) -> None:
    """After stop a put is our bug and says so; stopping again just fires."""

    async def main() -> None:
        worker: Any = place.env.worker("test", lambda items: items, lambda i, r: None, limit=1)
        first, second = worker.stop(), worker.stop()
        with pytest.raises(RuntimeError, match="stopped"):
            worker.put(1)
        await first
        await second
        await worker.stop()

    await place.drive(main())


# Connections


class Talk(Protocol):
    """Keeps what it hears."""

    transport: Any

    def __init__(self) -> None:
        self.heard = bytearray()
        self.made = False
        self.lost: Any = None

    def connectionMade(self) -> None:
        self.made = True

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        assert self.lost is None, "told twice"
        self.lost = reason.value


class Ears(Factory):
    """A server that keeps its conversations."""

    noisy = False

    def __init__(self) -> None:
        self.talks: list[Talk] = []

    def buildProtocol(self, addr: Any) -> Talk:
        self.talks.append(Talk())
        return self.talks[-1]


async def connected(place: Place) -> tuple[Any, Talk, Talk]:
    """A listening port, and both ends of one connection to it."""
    ears = Ears()
    port: Any = await place.env.net.listen("127.0.0.1:0", ears)
    address = Address(host="127.0.0.1", port=port.getHost().port)
    endpoint: Any = place.env.net.client(address, open_timeout=5)
    here: Talk = await endpoint.connect(Ears())
    await place.until(lambda: ears.talks)
    return port, here, ears.talks[0]


@pytest_twisted.ensureDeferred
async def test_both_ends_talk_and_a_close_comes_after_the_last_byte(place: Place) -> None:
    """What was written before the close arrives; both ends see a clean end, once."""

    async def main() -> None:
        port, here, there = await connected(place)
        here.transport.setTcpNoDelay(True)
        here.transport.setTcpKeepAlive(True)
        assert here.transport.getPeer().port == there.transport.getHost().port
        there.transport.write(b"220 ")
        there.transport.writeSequence([b"hel", b"lo"])
        await place.until(lambda: here.heard == b"220 hello")
        here.transport.write(b"x" * 300_000)
        here.transport.loseConnection()
        await place.until(lambda: here.lost and there.lost)
        assert there.heard == b"x" * 300_000
        assert isinstance(here.lost, ConnectionDone)
        assert isinstance(there.lost, ConnectionDone)
        await port.stopListening()

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_an_abort_is_not_a_clean_end_for_the_peer(place: Place) -> None:
    """The peer sees a lost connection; nothing more can be written, and nothing complains about it."""

    async def main() -> None:
        port, here, there = await connected(place)
        here.transport.abortConnection()
        here.transport.write(b"too late")
        await place.until(lambda: here.lost and there.lost)
        assert isinstance(there.lost, ConnectionLost)
        assert there.heard == b""
        await port.stopListening()

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_a_port_that_nobody_listens_on_refuses(place: Place) -> None:
    """After stopListening a connection is refused; the one that was open goes on."""

    async def main() -> None:
        port, here, there = await connected(place)
        await port.stopListening()
        endpoint: Any = place.env.net.client(
            Address(host="127.0.0.1", port=here.transport.getPeer().port), open_timeout=5
        )
        with pytest.raises(ConnectionRefusedError):
            await endpoint.connect(Ears())
        here.transport.write(b"still here")
        await place.until(lambda: there.heard == b"still here")
        here.transport.loseConnection()
        await place.until(lambda: here.lost and there.lost)

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_a_taken_port_cannot_be_listened_on(place: Place, tmp_path: Path) -> None:
    """The Deferred fails and names the port; for unix sockets too."""

    async def main() -> None:
        first: Any = await place.env.net.listen("127.0.0.1:0", Ears())
        number = first.getHost().port
        with pytest.raises(CannotListenError, match=str(number)):
            await place.env.net.listen(f"127.0.0.1:{number}", Ears())
        await first.stopListening()
        again: Any = await place.env.net.listen(f"127.0.0.1:{number}", Ears())
        await again.stopListening()
        at = f"unix:{tmp_path}/control"
        unix: Any = await place.env.net.listen(at, Ears())
        with pytest.raises(CannotListenError, match="control"):
            await place.env.net.listen(at, Ears())
        await unix.stopListening()

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_a_name_that_nobody_knows(place: Place) -> None:
    """Fails with DNSLookupError, and says which name."""

    async def main() -> None:
        endpoint: Any = place.env.net.client(Address(host="nowhere.example", port=444), open_timeout=5)
        with pytest.raises(DNSLookupError, match=r"nowhere\.example"):
            await endpoint.connect(Ears())

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_connecting_can_be_cancelled(place: Place) -> None:
    """Who waits gets an error at once, and no protocol appears later."""

    async def main() -> None:
        ears = Ears()
        port: Any = await place.env.net.listen("127.0.0.1:0", ears)
        mine = Ears()
        endpoint: Any = place.env.net.client(
            Address(host="127.0.0.1", port=port.getHost().port), open_timeout=5
        )
        connecting = endpoint.connect(mine)
        connecting.cancel()
        with pytest.raises((CancelledError, ConnectingCancelledError)):
            await connecting
        await place.env.sleep(0.05)
        assert not any(talk.made for talk in mine.talks)
        await port.stopListening()

    await place.drive(main())


class Source:
    """A producer that writes until it is told to pause."""

    def __init__(self, transport: Any, size: int) -> None:
        self.transport = transport
        self.left = size
        self.pauses = 0
        self.running = False

    def resumeProducing(self) -> None:
        self.running = True
        while self.running and self.left:
            piece = min(65_536, self.left)
            self.left -= piece
            self.transport.write(b"x" * piece)
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self.pauses += 1
        self.running = False

    def stopProducing(self) -> None:
        self.running = False


@pytest_twisted.ensureDeferred
async def test_a_reader_that_pauses_pauses_the_writer(place: Place) -> None:
    """Bytes do not pile up without limit; after resuming all of them arrive, then the end."""

    async def main() -> None:
        size = 20_000_000
        port, here, there = await connected(place)
        there.transport.pauseProducing()
        source = Source(here.transport, size)
        here.transport.registerProducer(source, True)
        source.resumeProducing()
        await place.until(lambda: source.pauses)
        await place.env.sleep(0.05)
        assert 0 < source.left < size
        assert there.heard == b""
        there.transport.resumeProducing()
        await place.until(lambda: there.lost)
        assert len(there.heard) == size
        await port.stopListening()

    await place.drive(main())


@pytest_twisted.ensureDeferred
async def test_a_producer_that_has_nothing_to_say_does_not_hold_a_connection_open(place: Place) -> None:
    """Who is registered only to be told when to pause can lose the connection without unregistering."""

    async def main() -> None:
        port, here, there = await connected(place)
        there.transport.registerProducer(Source(there.transport, 0), True)
        there.transport.write(b"bye")
        there.transport.loseConnection()
        await place.until(lambda: here.lost and there.lost)
        assert here.heard == b"bye"
        await port.stopListening()

    await place.drive(main())


# Files


def test_replace_is_old_or_new_and_read_says_what_is_missing(place: Place, tmp_path: Path) -> None:
    """A replaced file has the new bytes and nothing is left beside it; a missing one is FileNotFoundError."""
    files, path = place.env.files, tmp_path / "boot"
    with pytest.raises(FileNotFoundError):
        files.read(path)
    files.replace(path, b"1")
    files.replace(path, b"2")
    assert files.read(path) == b"2"
    assert files.free(tmp_path) > 0
    assert [one.name for one in tmp_path.iterdir()] == ([] if place.simulated else ["boot"])
