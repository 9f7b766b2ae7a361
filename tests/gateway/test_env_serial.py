"""Serial ports, on the machine (pseudo terminals) and in simulation alike."""

from __future__ import annotations

import errno
import os
import pty
import threading
import tty
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import serial
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from gateway.env import Env, PortTrouble, SerialAt
from gateway.env import serial as real_serial
from gateway.env.real import RealEnv
from gateway.env.simulated import World, run


class Echo(Protocol):
    """A device that says what it hears, in capitals."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.upper())


class Talk(Protocol):
    transport: Any

    def __init__(self) -> None:
        self.heard = b""
        self.gone = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.gone = True


class Desk:
    """A machine with one port, at *path*."""

    env: Env
    path: str

    async def until(self, true: Callable[[], object]) -> None:
        for _ in range(20_000):
            if true():
                return
            await self.env.sleep(0.001)
        raise AssertionError("it does not come about")

    async def open(self) -> Talk:
        talk: Talk = await self.port().connect(Factory.forProtocol(Talk))
        return talk

    def port(self, **how: Any) -> Any:
        return self.env.serial.port(SerialAt(**{"path": self.path, "baud": 9600, "framing": "8N1"} | how))


class RealDesk(Desk):
    def __init__(self) -> None:
        from twisted.internet import reactor

        self._reactor: Any = reactor
        self.env = RealEnv(reactor)
        self._master, self._slave = pty.openpty()  # held open: a terminal that nobody has open hangs up
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        os.set_blocking(self._master, False)
        reactor.addReader(self)  # type: ignore[attr-defined]

    def fileno(self) -> int:
        return self._master

    def logPrefix(self) -> str:
        return "echo"

    def doRead(self) -> None:
        os.write(self._master, os.read(self._master, 100).upper())

    def connectionLost(self, reason: object) -> None:
        """The reactor is done with us."""

    def unplug(self) -> None:
        if self._master >= 0:
            self._reactor.removeReader(self)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    async def play(self, story: Coroutine[Any, Any, Any]) -> None:
        try:
            await Deferred.fromCoroutine(story).addTimeout(30, self._reactor)
        finally:
            self.unplug()


class SimulatedDesk(Desk):
    def __init__(self) -> None:
        self._world = World()
        self.env = self._world.env("gateway")
        self.path = "/dev/serial/by-id/usb-A"
        self._world.plug(self.path, self._world.env("device"), Factory.forProtocol(Echo))

    def unplug(self) -> None:
        self._world.unplug(self.path)

    async def play(self, story: Coroutine[Any, Any, Any]) -> None:
        run(self._world, story)


@pytest.fixture(params=[RealDesk, SimulatedDesk])
def desk(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest_twisted.ensureDeferred
async def test_bytes_pass_both_ways(desk: Any) -> None:
    """An open port is a transport; DTR is nothing that a pseudo terminal has, and that hurts nobody."""

    async def story() -> None:
        port = desk.port()
        talk = await port.connect(Factory.forProtocol(Talk))
        port.set_dtr(True)
        talk.transport.write(b"atz\r")
        await desk.until(lambda: talk.heard == b"ATZ\r")
        port.set_dtr(False)
        talk.transport.loseConnection()
        await desk.until(lambda: talk.gone)
        port.set_dtr(True)  # closed: nothing happens

    await desk.play(story())


@pytest_twisted.ensureDeferred
async def test_a_port_is_one_callers_at_a_time(desk: Any) -> None:
    """The second one is told that it is busy; once the first has closed it, it is anybody's."""

    async def story() -> None:
        first = await desk.open()
        with pytest.raises(PortTrouble) as trouble:
            await desk.open()
        assert (trouble.value.code, desk.path in str(trouble.value)) == ("busy", True)
        first.transport.abortConnection()
        await desk.until(lambda: first.gone)
        second = await desk.open()
        second.transport.loseConnection()
        await desk.until(lambda: second.gone)

    await desk.play(story())


@pytest_twisted.ensureDeferred
async def test_unplugging_ends_the_connection(desk: Any) -> None:
    """Whoever talks is told; then there is no such port."""

    async def story() -> None:
        talk = await desk.open()
        desk.unplug()
        await desk.until(lambda: talk.gone)
        with pytest.raises(PortTrouble) as trouble:
            await desk.open()
        assert trouble.value.code in ("missing", "broken")

    await desk.play(story())


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_not_there(desk: Any) -> None:
    """The name is told."""

    async def story() -> None:
        with pytest.raises(PortTrouble, match="there is no port /dev/nowhere") as trouble:
            await desk.port(path="/dev/nowhere").connect(Factory.forProtocol(Talk))
        assert trouble.value.code == "missing"

    await desk.play(story())


# What only the machine has


@pytest_twisted.ensureDeferred
async def test_who_talks_may_begin_by_setting_dtr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A modem is hung up by DTR before anything is said to it: the port is there as soon as it is open."""
    desk = RealDesk()
    port = desk.port()
    seen: list[bool] = []
    monkeypatch.setattr(real_serial._Transport, "set_dtr", lambda self, up: seen.append(up))

    class Drops(Talk):
        def connectionMade(self) -> None:
            port.set_dtr(False)

    async def story() -> None:
        talk = await port.connect(Factory.forProtocol(Drops))
        assert seen == [False]
        assert talk.transport.getPeer() == desk.path
        talk.transport.loseConnection()
        await desk.until(lambda: talk.gone)

    await desk.play(story())


@pytest_twisted.ensureDeferred
async def test_a_port_that_does_not_open_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter that hangs: whoever wants the port is told after a while, and no second thread waits for it. When
    it opens after all it is closed again, and may be opened anew."""
    desk = RealDesk()
    release, begun = threading.Event(), []
    opened = real_serial._opened

    def hangs(at: SerialAt) -> Any:
        begun.append(at)
        release.wait(20.0)
        return opened(at)

    monkeypatch.setattr(real_serial, "_opened", hangs)
    monkeypatch.setattr(real_serial, "OPEN_TIMEOUT", 0.05)

    async def story() -> None:
        for said in ("has not opened within", "is still being opened"):
            with pytest.raises(PortTrouble, match=said):
                await desk.open()
        assert len(begun) == 1
        release.set()
        monkeypatch.setattr(real_serial, "OPEN_TIMEOUT", 10.0)
        await desk.until(lambda: not desk.env.serial.opening)  # type: ignore[attr-defined]
        talk = await desk.open()
        talk.transport.loseConnection()
        await desk.until(lambda: talk.gone)

    try:
        await desk.play(story())
    finally:
        release.set()


@pytest_twisted.ensureDeferred
async def test_a_simulated_port_takes_any_framing(desk: Any) -> None:
    """A pseudo-terminal has no parity; the settings that a modem needs can be tried with it all the same."""

    async def story() -> None:
        for _ in range(3):
            talk = await desk.port(framing="7E1").connect(Factory.forProtocol(Talk))
            talk.transport.loseConnection()
            await desk.until(lambda talk=talk: talk.gone)

    await desk.play(story())


@pytest_twisted.ensureDeferred
async def test_a_port_that_cannot_be_closed_is_gone_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some drivers answer with an error when an adapter was unplugged; whoever talked must hear of the end."""
    desk = RealDesk()

    def fails(self: serial.Serial) -> None:
        raise OSError(errno.EIO, "no")

    async def story() -> None:
        talk = await desk.open()
        monkeypatch.setattr(serial.Serial, "close", fails)
        talk.transport.loseConnection()
        await desk.until(lambda: talk.gone)

    await desk.play(story())


@pytest.mark.parametrize(
    ("problem", "code", "words"),
    [
        (PermissionError(errno.EACCES, "no"), "denied", "no permission for /dev/null: it"),
        (OSError(errno.EBUSY, "no"), "busy", "another program has /dev/null: "),
        (OSError(errno.EINVAL, "no"), "broken", "/dev/null cannot be set to 1200 baud 7E1; try software_parity: true"),
        (OSError(errno.EIO, "no"), "broken", "/dev/null cannot be opened: Input/output error"),
        (ValueError("Not a valid baudrate"), "broken", "/dev/null cannot be opened: Not a valid baudrate"),
    ],
)  # fmt: skip
def test_troubles_in_words(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, code: str, words: str
) -> None:
    """What is wrong, with what, and who can do something about it."""

    def fails(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(real_serial, "_Serial", fails)
    trouble = real_serial._opened(SerialAt(path="/dev/null"))
    assert isinstance(trouble, PortTrouble)
    assert trouble.code == code
    assert str(trouble).startswith(words)


def test_a_group_that_we_are_not_in(tmp_path: Path) -> None:
    """Ports belong to a group as a rule, which is named."""
    port = tmp_path / "port"
    port.touch()
    port.chmod(0o660)
    assert "it belongs to group " in real_serial._group(port)


def test_names_that_bite_one_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/dev/ttyUSB0` may be another adapter's tomorrow; an adapter without a name of its own shares one."""
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-A").symlink_to("/dev/null")
    monkeypatch.setattr(real_serial, "BY_ID", by_id)
    monkeypatch.setattr(real_serial, "ADAPTERS", ("null", "zero"))
    assert real_serial._remarks(Path("/dev/zero")) == [
        f"the name /dev/zero may be another adapter's after a restart; use one of {by_id}"
    ]
    (remark,) = real_serial._remarks(by_id / "usb-A")
    assert remark.startswith("/dev/zero has no name in ")
