"""Real ports: pseudo terminals of socat, and ser2net as a device server, raw and by RFC 2217.

At the other end of each is a modem of ours that leads to a terminal of ours.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from gateway.adapters.base import Surroundings
from gateway.adapters.tap import ADAPTER, TapSettings
from gateway.env import PortTrouble, SerialAt
from gateway.env.real import RealEnv
from gateway.lines import Lines
from gateway.model import DeliveryKey, LinkName, MessageClass, Page, PublicId, later
from gateway.outcome import NotSent, Taken
from gateway.settings.types import LineSettings, LinkSettings
from protocols.modem.server import ModemFactory
from protocols.tap import messages as m
from protocols.tap.server import TapFactory

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("socat")]

LIMIT = 60.0  # seconds for what takes a few: it did not hang


class Cable:
    """Two pseudo terminals with socat between them: *ours*, and *theirs* with a modem or a terminal at it."""

    def __init__(self, folder: Path, env: RealEnv) -> None:
        self.ours, self.theirs = str(folder / "ours"), str(folder / "theirs")
        self.env = env
        self.pages: list[m.Received] = []
        self.process: subprocess.Popen[bytes] | None = None
        terminal = TapFactory(self, env.clock)  # type: ignore[arg-type]
        self.terminal = terminal
        self.modems = ModemFactory(lambda number: terminal.buildProtocol(None), env.clock)
        self.far: Any = None

    async def page(self, peer: str, page: m.Received) -> m.Answer:
        self.pages.append(page)
        return m.answer_of(211)

    async def log_off(self, peer: str, pages: int) -> m.Answer | None:
        return None

    async def plug(self, factory: Any) -> None:
        ends = [f"pty,raw,echo=0,link={end}" for end in (self.ours, self.theirs)]
        self.process = subprocess.Popen(["socat", *ends], start_new_session=True)
        await until(self.env, lambda: os.path.exists(self.ours) and os.path.exists(self.theirs))
        self.far = await self.env.serial.port(at(self.theirs)).connect(factory)

    def unplug(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


def at(path: str) -> SerialAt:
    return SerialAt(path=path, baud=19_200, framing="8N1")  # a pseudo terminal has no parity


async def until(env: RealEnv, true: Callable[[], bool]) -> None:
    for _ in range(int(LIMIT / 0.05)):
        if true():
            return
        await env.sleep(0.05)
    raise AssertionError("it does not come about")


@pytest.fixture
def env() -> RealEnv:
    from twisted.internet import reactor

    return RealEnv(reactor)


@pytest.fixture
def cable(tmp_path: Path, env: RealEnv) -> Iterator[Cable]:
    cable = Cable(tmp_path, env)
    yield cable
    cable.unplug()


@pytest.fixture
def device_server(ser2net: None, tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Starts ser2net with one port: how it is spoken to, and the device; says where it listens."""
    running: list[subprocess.Popen[bytes]] = []

    def start(kind: str, device: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = tmp_path / "ser2net.yaml"
        settings.write_text(
            f"connection: &one\n  accepter: {kind}tcp,127.0.0.1,{port}\n"
            f"  connector: serialdev,{device},19200n81,local\n"
        )
        command = ["ser2net", "-n", "-u", "-c", str(settings), "-P", str(tmp_path / "pid")]
        running.append(subprocess.Popen(command, start_new_session=True))
        return f"127.0.0.1:{port}"

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.wait()


async def listens(env: RealEnv, where: str) -> None:
    host, _, port = where.rpartition(":")

    def there() -> bool:
        with socket.socket() as caller:
            return caller.connect_ex((host, int(port))) == 0

    await until(env, there)


def link_by(env: RealEnv, **line: Any) -> Any:
    modem = line.get("modem", True)
    lines = {"line": LineSettings(pool="lines", baud=19_200, framing="8N1", **line)}
    own = TapSettings(lines="lines", dial=("18005550100",) if modem else ())
    around = Surroundings(env=env, reception=None, lines=Lines(lambda: lines, env))  # type: ignore[arg-type]
    return ADAPTER.make_link(LinkName("spok.phone"), LinkSettings(adapter="tap", own=own), around)


def a_page(env: RealEnv) -> Page:
    return Page(
        delivery=DeliveryKey(1),
        public_id=PublicId("0" * 26),
        correlation="c1",
        address="5551212",
        text="Ward 4 bed 7",
        message_class=MessageClass.URGENT,
        expires=later(env.now(), 600.0),
    )


async def page_by(link: Any, env: RealEnv) -> Any:
    """One call with one page."""

    async def call() -> Any:
        session = await link.open()
        if isinstance(session, NotSent):
            return session
        outcome = await session.submit(a_page(env))
        await session.close()
        return outcome

    return await Deferred.fromCoroutine(call()).addTimeout(LIMIT, env.clock)


@pytest_twisted.ensureDeferred
async def test_a_page_by_a_serial_modem_that_is_unplugged_and_plugged_in_again(
    cable: Cable, env: RealEnv
) -> None:
    """A call, a page; the plug is pulled in the next call, and once it is in again the line is used again."""
    await cable.plug(cable.modems)
    link = link_by(env, serial=cable.ours)
    assert isinstance(await page_by(link, env), Taken)
    assert [(page.pager, page.text) for page in cable.pages] == [("5551212", "Ward 4 bed 7")]
    session = await link.open()
    cable.unplug()
    await until(env, lambda: session.lost.called)
    await session.close()
    failed = await link.open()
    assert (failed.code, cable.ours in failed.why) == ("port-missing", True)
    await cable.plug(cable.modems)
    assert isinstance(await page_by(link, env), Taken)
    assert len(cable.pages) == 2


@pytest_twisted.ensureDeferred
async def test_a_terminal_at_the_port_itself(cable: Cable, env: RealEnv) -> None:
    """No modem in between: `modem: false`; the parity bits are ours."""
    await cable.plug(cable.terminal)
    link = link_by(env, serial=cable.ours, modem=False)
    assert isinstance(await page_by(link, env), Taken)
    assert len(cable.pages) == 1


@pytest_twisted.ensureDeferred
async def test_a_modem_behind_ser2net(
    cable: Cable, env: RealEnv, device_server: Callable[[str, str], str]
) -> None:
    """The device server passes bytes as they are; there is no DTR, so we hang up by +++ and ATH0."""
    await cable.plug(cable.modems)
    where = device_server("", cable.ours)
    await listens(env, where)
    link = link_by(env, tcp=where)
    assert isinstance(await page_by(link, env), Taken)
    assert len(cable.pages) == 1


@pytest_twisted.ensureDeferred
async def test_a_modem_behind_ser2net_by_rfc_2217(
    cable: Cable, env: RealEnv, device_server: Callable[[str, str], str]
) -> None:
    """The device server sets the port as we say, confirms it, and hands DTR through."""
    await cable.plug(cable.modems)
    where = device_server("telnet(rfc2217),", cable.ours)
    await listens(env, where)
    link = link_by(env, rfc2217=where)
    outcome = await page_by(link, env)
    assert isinstance(outcome, Taken), outcome
    assert len(cable.pages) == 1


@pytest_twisted.ensureDeferred
async def test_a_device_server_without_rfc_2217(
    cable: Cable, env: RealEnv, device_server: Callable[[str, str], str]
) -> None:
    """Raw where RFC 2217 was expected: told in time, nothing dialled."""
    await cable.plug(cable.modems)
    where = device_server("", cable.ours)
    await listens(env, where)
    failed = await page_by(link_by(env, rfc2217=where), env)
    assert (failed.code, "the device server has not set the port" in failed.why) == ("port-broken", True)


HOLDER = """
import fcntl, os, sys
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
fcntl.flock(port, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest_twisted.ensureDeferred
async def test_who_has_the_port_is_named(cable: Cable, env: RealEnv) -> None:
    """Another program on the port, with its name and process; and what is ours nobody else opens."""
    await cable.plug(cable.modems)
    thief = subprocess.Popen(
        [sys.executable, "-c", HOLDER, cable.ours], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert thief.stdout is not None
    thief.stdout.readline()
    try:
        failed = await link_by(env, serial=cable.ours).open()
        assert failed.code == "port-busy"
        assert f"another program has {cable.ours}: " in failed.why
        assert re.search(rf"python\S* \(process {thief.pid}\)", failed.why)
    finally:
        thief.communicate()
    wire = Protocol()
    await env.serial.port(at(cable.ours)).connect(Factory.forProtocol(lambda: wire))
    other = os.open(cable.ours, os.O_RDWR | os.O_NOCTTY)  # root may; the lock holds all the same
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    with pytest.raises(PortTrouble):
        await env.serial.port(at(cable.ours)).connect(Factory.forProtocol(Protocol))
    wire.transport.abortConnection()
