"""Listening at a pseudo-terminal, with the kernel's own."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from gateway.env import Port
from gateway.env.real import RealEnv


class Echo(Protocol):
    """Says in capitals what it hears, and remembers."""

    def __init__(self, all_of_them: list["Echo"]) -> None:
        all_of_them.append(self)
        self.heard = b""
        self.lost: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        self.transport.write(data.upper())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason)


class Place:
    """A pseudo-terminal, the connections that were made there, and programs that open it."""

    def __init__(self, env: RealEnv, path: Path) -> None:
        self.env, self.path = env, path
        self.made: list[Echo] = []
        self.port: Port

    async def listen(self) -> None:
        factory = Factory.forProtocol(lambda: Echo(self.made))
        self.port = await self.env.net.listen(f"pty:{self.path}", factory)

    def open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    async def until(self, look: Callable[[], object]) -> None:
        for _ in range(1000):
            if look():
                return
            await deferLater(self.env.clock, 0.01)
        raise AssertionError("not within ten seconds")

    async def read(self, handle: int, size: int) -> bytes:
        got = b""

        def more() -> bool:
            nonlocal got
            try:
                got += os.read(handle, 1000)
            except BlockingIOError:
                pass
            return len(got) >= size

        await self.until(more)
        return got


@pytest_twisted.async_yield_fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    from twisted.internet import reactor

    place = Place(RealEnv(reactor), tmp_path / "modem")
    await place.listen()
    yield place
    await place.port.stopListening()


@pytest_twisted.ensureDeferred
async def test_opening_it_is_a_connection_and_closing_it_its_end(place: Place) -> None:
    """Octets go through unchanged in both directions; the next program gets a connection of its own."""
    everything = bytes(range(256))
    for number in range(2):
        handle = place.open()
        os.write(handle, everything)
        assert await place.read(handle, 256) == everything.upper()
        assert len(place.made) == number + 1
        os.write(handle, b"unread")
        await place.until(lambda n=number: place.made[n].heard == everything + b"unread")
        os.close(handle)
        await place.until(lambda n=number: place.made[n].lost)
    assert [len(one.lost) for one in place.made] == [1, 1]


@pytest_twisted.ensureDeferred
async def test_hanging_up_leaves_what_was_said_and_begins_anew(place: Place) -> None:
    """There is no carrier: who has it open hears the last words, and is connected again."""
    handle = place.open()
    await place.until(lambda: place.made)
    first = place.made[0]
    first.transport.write(b"goodbye")
    first.transport.loseConnection()
    await place.until(lambda: len(place.made) == 2)
    assert len(first.lost) == 1
    assert await place.read(handle, 7) == b"goodbye"
    place.made[1].transport.abortConnection()
    await place.until(lambda: len(place.made) == 3)
    os.close(handle)


@pytest_twisted.ensureDeferred
async def test_only_its_owner_may_open_it(place: Place) -> None:
    """The texts of pages go through it."""
    assert os.stat(place.path).st_mode & 0o007 == 0
    assert os.stat(place.path).st_uid == os.getuid()


@pytest_twisted.ensureDeferred
async def test_the_link_goes_with_the_listening(place: Place) -> None:
    """Whoever has it open loses the line; stopping twice is stopping once."""
    handle = place.open()
    await place.until(lambda: place.made)
    assert place.port.getHost().name == os.fsencode(place.path)
    await place.port.stopListening()
    await place.port.stopListening()
    assert not os.path.lexists(place.path)
    assert len(place.made[0].lost) == 1
    os.close(handle)


@pytest_twisted.ensureDeferred
async def test_a_link_that_was_left_over_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    """A file, a folder or a link to one is refused, and stays."""
    from twisted.internet import reactor

    env = RealEnv(reactor)
    left = tmp_path / "left"
    left.symlink_to("/dev/pts/999999")
    there = Place(env, left)
    await there.listen()
    assert os.readlink(left) != "/dev/pts/999999"
    await there.port.stopListening()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name in ("file", "link", "no/such/folder"):
        with pytest.raises(CannotListenError):
            await Place(env, tmp_path / name).listen()
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "link").is_symlink()
