"""Serial ports of this machine: opened in a thread, ours alone, and in words why not."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import stat
import termios
import threading
from pathlib import Path
from typing import Any, cast

import serial
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted
from twisted.internet.serialport import SerialPort as Transport
from twisted.python.failure import Failure

from gateway.env import PortTrouble, SerialAt, SerialPort

BY_ID = Path("/dev/serial/by-id")
ADAPTERS = ("ttyUSB*", "ttyACM*")
LISTED = 5  # names in one sentence
OPEN_TIMEOUT = 10.0  # seconds; ours: the slowest USB adapters need two
_BITS = {
    "7E1": (serial.SEVENBITS, serial.PARITY_EVEN),
    "7O1": (serial.SEVENBITS, serial.PARITY_ODD),
    "8N1": (serial.EIGHTBITS, serial.PARITY_NONE),
}
_CODES = {
    errno.ENOENT: "missing",
    errno.ENODEV: "missing",
    errno.ENXIO: "missing",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EBUSY: "busy",
    errno.EAGAIN: "busy",
}


class RealSerial:
    """Serial ports by their paths."""

    def __init__(self, reactor: Any) -> None:
        self.opening: set[str] = set()  # ports that a thread is opening
        self._reactor = reactor

    def port(self, at: SerialAt) -> SerialPort:
        return _Port(self._reactor, at, self.opening)

    def remarks(self, path: str) -> tuple[str, ...]:
        return tuple(_remarks(Path(path)))


class _Port:
    def __init__(self, reactor: Any, at: SerialAt, opening: set[str]) -> None:
        self._reactor = reactor
        self._at = at
        self._opening = opening
        self._transport: _Transport | None = None

    def connect(self, factory: Any, /) -> Deferred[Any]:
        """Opening may take seconds (some USB adapters), so a thread does it; one at a time, because none
        can be ended."""
        path, limit = self._at.path, OPEN_TIMEOUT
        if path in self._opening:
            return fail(
                PortTrouble("busy", f"{path} is still being opened; if it stays so, replug its adapter")
            )
        connected: Deferred[Any] = Deferred(lambda _: None)
        late = PortTrouble("broken", f"{path} has not opened within {limit:g} s; replug its adapter")
        connected.addTimeout(limit, self._reactor, lambda *_: Failure(late))  # type: ignore[no-untyped-call]
        self._opening.add(path)

        def opened(port: serial.Serial | PortTrouble) -> None:
            self._opening.discard(path)
            if connected.called:  # given up meanwhile
                if not isinstance(port, PortTrouble):
                    port.close()
            elif isinstance(port, PortTrouble):
                connected.errback(port)
            else:
                protocol = factory.buildProtocol(self._at.path)
                _Transport(self, protocol, port, self._reactor)
                connected.callback(protocol)

        def open_here() -> None:
            try:
                found = _opened(self._at)
            except Exception as error:  # a driver that breaks: the port must not stay marked for ever
                found = _trouble(self._at, error)
            self._reactor.callFromThread(opened, found)

        threading.Thread(target=open_here, name="serial", daemon=True).start()
        return connected

    def opened(self, transport: _Transport) -> None:
        self._transport = transport

    def set_dtr(self, up: bool) -> None:
        if self._transport is not None:
            self._transport.set_dtr(up)


class _Serial(serial.Serial):  # type: ignore[misc]  # pyserial has no types
    """A port that is closed whatever its driver says: who talks over it must hear of the end."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class _Transport(Transport):
    """An open port. Its death, by unplugging too, ends the connection."""

    _serialFactory = staticmethod(lambda port, **_: port)

    def __init__(self, owner: _Port, protocol: Any, port: serial.Serial, reactor: Any) -> None:
        self._path: str = port.port
        owner.opened(self)  # before the protocol is: it may begin by setting DTR
        super().__init__(protocol, port, reactor)  # type: ignore[no-untyped-call]

    def getPeer(self) -> str:
        return self._path

    def abortConnection(self) -> None:
        if self.connected:
            self.reactor.callLater(0, self.connectionLost, Failure(ConnectionAborted()))  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        if not self.connected:
            return
        with contextlib.suppress(OSError, termios.error, serial.SerialException):
            self._serial.reset_output_buffer()  # closing waits for what a stuck line never takes
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def set_dtr(self, up: bool) -> None:
        with contextlib.suppress(OSError, termios.error, serial.SerialException):
            if self.connected:
                self._serial.dtr = up


def _opened(at: SerialAt) -> serial.Serial | PortTrouble:
    """The port, locked against all others; blocks."""
    simulated = os.path.realpath(at.path).startswith("/dev/pts/")
    bits, parity = _BITS["8N1" if simulated else at.framing]  # pseudo-terminals have no other, and say EINVAL
    try:
        port = _Serial(
            at.path,
            baudrate=at.baud,
            bytesize=bits,
            parity=parity,
            timeout=0,
            xonxoff=at.flow == "xonxoff",
            rtscts=at.flow == "rtscts",
            exclusive=True,
        )
    except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError
        return _trouble(at, error)
    with contextlib.suppress(OSError):  # flock binds those who ask for it; this binds all but root
        fcntl.ioctl(port.fd, termios.TIOCEXCL)
    return port


def _trouble(at: SerialAt, error: Exception) -> PortTrouble:
    """*error* in words for the person who has to do something about it."""
    number = cast("int | None", getattr(error, "errno", None) or (error.args[0] if error.args else None))
    code = _CODES.get(number, "broken") if isinstance(number, int) else "broken"
    match code:
        case "missing":
            there = sorted(str(one) for one in BY_ID.glob("*"))[:LISTED]
            ports = f"there are: {', '.join(there)}" if there else "no USB adapter is plugged in"
            words = f"there is no port {at.path}; {ports}"
        case "denied":
            words = f"no permission for {at.path}: {_group(Path(at.path))}"
        case "busy":
            words = f"another program has {at.path}: {_holders(at.path)}"
        case _:
            if number == errno.EINVAL:
                words = f"{at.path} cannot be set to {at.baud} baud {at.framing}; try software_parity: true"
            else:
                said = os.strerror(number) if isinstance(number, int) else str(error)
                words = f"{at.path} cannot be opened: {said}"
    return PortTrouble(code, words)


def _group(path: Path) -> str:
    try:
        there = path.stat()
        name = grp.getgrgid(there.st_gid).gr_name
    except (OSError, KeyError):
        return "ask whoever administers this machine"
    if there.st_mode & stat.S_IWGRP:
        return f"it belongs to group {name}, which the gateway is not in"
    return f"its mode is {stat.S_IMODE(there.st_mode):o}"


def _holders(path: str) -> str:
    """Who has the port open, as far as /proc tells."""
    device = os.path.realpath(path)
    found = []
    for entry in sorted(Path("/proc").glob("[0-9]*/fd/*")):
        try:
            if os.readlink(entry) != device:
                continue
            name = (entry.parents[1] / "comm").read_text().strip()
        except OSError:
            continue
        holder = f"{name} (process {entry.parts[2]})"
        if holder not in found:
            found.append(holder)
    return ", ".join(found[:LISTED]) or f"only root can see which; run fuser -v {path} as root"


def _remarks(path: Path) -> list[str]:
    named = {os.path.realpath(one) for one in BY_ID.glob("*")}
    adapters = sorted(str(one) for pattern in ADAPTERS for one in Path("/dev").glob(pattern))
    said = []
    if path.parent == Path("/dev") and str(path) in adapters:
        said.append(f"the name {path} may be another adapter's after a restart; use one of {BY_ID}")
    nameless = [one for one in adapters if one not in named]
    if path.parent == BY_ID and nameless:
        said.append(
            f"{', '.join(nameless[:LISTED])} has no name in {BY_ID}: two adapters may share one;"
            " use /dev/serial/by-path"
        )
    return said
