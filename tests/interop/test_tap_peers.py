"""`gateway sim tap` as a process, called by other people's programs: HylaFAX, ser2net, socat."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.stdio import StandardIO

from gateway.sim.truth import read_truth
from protocols.tap import codec
from protocols.tap import session as s
from protocols.tap.client import Conversation
from protocols.tap.messages import NotSent, Page, PagerId, Taken
from tests.crash.rig import LIMIT, Process, free_port, until

pytestmark = pytest.mark.peers


def page(text: str, pager: str = "5551234") -> Page:
    return Page(pager=PagerId(pager), fields=codec.fields_of(text))


class Terminal:
    """A simulated terminal of its own, on a pseudo-terminal in *folder*."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self.link = folder / f"{name}.tty"
        self.log = folder / f"{name}.jsonl"
        command = [sys.executable, "-m", "gateway", "sim", "tap", "--pty", str(self.link), "--json"]
        self.process = Process(name, [*command, "--log", str(self.log), *words], folder / f"{name}.out")

    def there(self) -> Terminal:
        """Wait until it is."""
        said = until(lambda: self.process.tail() or None, "the simulated terminal is there")
        assert json.loads(said) == {"protocol": "tap", "at": str(self.link), "log": str(self.log)}
        return self

    @property
    def texts(self) -> list[tuple[str, str]]:
        return [(copy.pager, copy.text) for copy in read_truth(self.log)]


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Start all; kill all at the end."""
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            process.kill()


# HylaFAX

JOB = """\
tts:0
killtime:2000000000
state:6
totpages:1
maxdials:3
maxtries:3
external:5551000
number:5551000
mailaddr:root
sender:root
jobid:1
modem:any
client:localhost
owner:root
groupid:1
jobtype:pager
doneop:default
notify:none
page:0::5551234
data:0::docq/text
"""
MODEM = """\
ModemType: Class0
ModemClassQueryCmd: "!0"
ModemRate: 1200
ModemFlowControl: none
ModemResetDelay: 0
ModemSoftResetCmdDelay: 0
pagerTTYParity: none
SessionTracing: 0x17ffff
"""
RETRY, FAILED, DONE = 0, 1, 2  # pagesend(8), NOTES

HYLAFAX = {
    "at real speed": (("--baud", "1200"), DONE, 1),
    "damaged twice": (("--nak-first", "2"), DONE, 1),
    "ID= with line ends": (("--id", "lines"), DONE, 1),
    "no codes": (("--no-codes",), DONE, 1),
    "unknown pager": (("--refuse", "5551234:511"), FAILED, 0),
    "busy": (("--dial", "busy"), RETRY, 0),
    "dropped at logon": (("--logon", "dropped"), FAILED, 0),
    "three lines before the ACK": (("--lines", "3"), RETRY, 0),
}


@pytest.fixture
def spools(hylafax: None) -> Iterator[Path]:
    """A folder that uucp may enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="hylafax-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def pagesend(terminal: Terminal, spool: Path) -> subprocess.Popen[bytes]:
    """HylaFAX's program for one job, in a spool of its own, at the modem of *terminal*."""
    device = os.readlink(terminal.link)
    name = device.removeprefix("/dev/").replace("/", "_")
    for folder in ("etc", "info", "sendq", "docq", "doneq", "status", "log", "tmp"):
        (spool / folder).mkdir(parents=True)
    (spool / "etc/config").write_text("")
    (spool / "etc" / f"config.{name}").write_text(MODEM)
    (spool / "sendq/q1").write_text(JOB)
    (spool / "docq/text").write_text("bed 4: hello from HylaFAX")
    for path in (spool, *spool.rglob("*")):
        shutil.chown(path, "uucp", "uucp")
    shutil.chown(device, "uucp")
    command = ["/usr/lib/hylafax/bin/pagesend", "-m", name, "sendq/q1"]
    return subprocess.Popen(command, cwd=spool, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def delivered(cases: dict[str, tuple[tuple[str, ...], int, int]], spools: Path) -> dict[str, tuple[int, int]]:
    """One job for each of *cases*, all at once: pagesend's exit code, and how many copies there are."""
    terminals = {
        what: Terminal(spools, f"terminal{number}", "--modem", *words)
        for number, (what, (words, _, _)) in enumerate(cases.items())
    }
    found: dict[str, tuple[int, int]] = {}
    calls: dict[str, subprocess.Popen[bytes]] = {}
    with running(*(terminal.process for terminal in terminals.values())):
        try:
            for what, terminal in terminals.items():
                calls[what] = pagesend(terminal.there(), spools / terminal.log.stem)
            for what, call in calls.items():
                code, texts = call.wait(3 * LIMIT), terminals[what].texts
                found[what] = code, texts.count(("5551234", "bed 4: hello from HylaFAX"))
                logs = spools.glob(f"{terminals[what].log.stem}/log/c*")
                print(what, code, texts, *(path.read_text() for path in logs), sep="\n")
                assert len(texts) == found[what][1]
        finally:
            for call in calls.values():
                call.kill()
                call.wait()
    return found


def test_hylafax_pages_our_terminal(spools: Path) -> None:
    """Its whole bring-up, dialling and TAP against our modem and terminal; what it makes of each quirk."""
    found = delivered(HYLAFAX, spools)
    assert found == {what: (code, copies) for what, (_, code, copies) in HYLAFAX.items()}


@pytest.mark.long
def test_hylafax_pages_again_without_a_goodbye(spools: Path) -> None:
    """It waits half a minute, then puts back a job whose page was accepted: terminals must answer EOT."""
    cases = {how: (("--goodbye", how), RETRY, 1) for how in ("hang-up", "silent")}
    assert delivered(cases, spools) == dict.fromkeys(cases, (RETRY, 1))


# ser2net and socat


class Serial(StandardIO):
    """An open serial port as a transport."""

    def abortConnection(self) -> None:
        self.loseConnection()


class Port:
    """A serial port as an endpoint."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def connect(self, factory: Any) -> Deferred:
        protocol = factory.buildProtocol(None)
        handle = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        Serial(protocol, handle, os.dup(handle))
        return succeed(protocol)


async def deliver(pages: list[Page], endpoint: Any) -> list[list[type]]:
    """Call until each page is taken, ten calls at most; what became of the pages of each call."""
    from twisted.internet import reactor

    calls: list[list[type]] = []
    while pages and len(calls) < 10:
        call = Conversation(endpoint, reactor)
        opened = await call.open()
        assert isinstance(opened, s.Opened), opened
        results: list[type] = []
        while pages and call.left != 0:
            result = await call.submit(pages[0])
            results.append(type(result))
            if not isinstance(result, Taken):
                break
            del pages[0]
        calls.append(results)
        await call.quit()
    return calls


@pytest.fixture
def server(ser2net: None, tmp_path: Path) -> Iterator[tuple[Terminal, int, int]]:
    """ser2net at the terminal's line: its ports for raw TCP and for RFC 2217."""
    terminal = Terminal(tmp_path, "terminal")
    raw, control = free_port(), free_port()
    setup = tmp_path / "ser2net.yaml"
    serial = f"serialdev,{terminal.link},1200n81,local"
    setup.write_text(
        f"""%YAML 1.1
---
connection: &raw
  accepter: tcp,127.0.0.1,{raw}
  connector: {serial}
connection: &control
  accepter: telnet(rfc2217),tcp,127.0.0.1,{control}
  connector: {serial}
"""
    )
    # -u: locks of the whole machine are not for a test
    process = Process("ser2net", ["ser2net", "-n", "-d", "-u", "-c", str(setup)], tmp_path / "ser2net.out")
    with running(terminal.process, process):
        terminal.there()
        for port in (raw, control):
            until(lambda port=port: answers(port), f"ser2net listens at {port}")
        yield terminal, raw, control


def answers(port: int) -> bool:
    """Somebody listens; looked up in the kernel's table, since a connection would open the line."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()


@pytest_twisted.ensureDeferred
async def test_a_tap_call_through_ser2net(server: tuple[Terminal, int, int]) -> None:
    """Raw TCP to a serial server, a line behind it: what most sites have instead of a modem today."""
    from twisted.internet import reactor

    terminal, raw, _ = server
    pages = [page("one"), page("two " + "x" * 600, "5559999")]
    assert await deliver(pages, HostnameEndpoint(reactor, "127.0.0.1", raw)) == [[Taken, Taken]]
    assert terminal.texts == [("5551234", "one"), ("5559999", "two " + "x" * 600)]


def test_a_tap_call_through_rfc_2217(server: tuple[Terminal, int, int]) -> None:
    """The speed is agreed by Telnet options; page and answers go through as they are."""
    terminal, _, control = server
    speed = (1200).to_bytes(4, "big")
    with socket.create_connection(("127.0.0.1", control), timeout=LIMIT) as wire:
        heard = b""

        def say(data: bytes, answer: bytes) -> None:
            nonlocal heard
            wire.sendall(data)
            while answer not in heard:
                more = wire.recv(1000)
                assert more, heard
                heard += more
            heard = heard.partition(answer)[2]

        # IAC WILL COM-PORT-OPTION; IAC SB COM-PORT-OPTION SET-BAUDRATE speed IAC SE (RFC 2217 2, 3)
        say(b"\xff\xfb\x2c", b"\xff\xfd\x2c")
        say(b"\xff\xfa\x2c\x01" + speed + b"\xff\xf0", b"\xff\xfa\x2c\x65" + speed + b"\xff\xf0")
        say(b"\r", b"ID=")
        say(b"\x1bPG1\r", b"110 1.8\r\x06\r\x1b[p\r")
        say(b"\x025551234\rhello world\r\x035>4\r", b"211 page accepted\r\x06\r")
        say(b"\x04\r", b"115 Goodbye\r\x1b\x04\r")
    assert terminal.texts == [("5551234", "hello world")]


@pytest_twisted.ensureDeferred
async def test_twenty_five_pages_through_socat(socat: None, tmp_path: Path) -> None:
    """A cable between two pseudo-terminals; a terminal that takes nine pages a call gets three calls."""
    terminal = Terminal(tmp_path, "terminal", "--pages", "9:112")
    ours = tmp_path / "ours.tty"
    ends = (f"PTY,link={ours},raw,echo=0,wait-slave", f"OPEN:{terminal.link},raw,echo=0")
    cable = Process("socat", ["socat", *ends], tmp_path / "socat.out")
    with running(terminal.process):
        terminal.there()
        with running(cable):
            until(ours.exists, "socat has laid the cable")
            pages = [page(f"page {number} " + "x" * 200) for number in range(25)]
            wanted = [("5551234", str(one.fields[0])) for one in pages]
            calls = await deliver(pages, Port(ours))
        assert calls == [[Taken] * 9 + [NotSent], [Taken] * 9 + [NotSent], [Taken] * 7]
        assert terminal.texts == wanted
        terminal.process.signal(signal.SIGTERM)
        assert terminal.process.ended() == 0
        assert not os.path.lexists(terminal.link)
