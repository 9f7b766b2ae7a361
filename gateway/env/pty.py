"""A pseudo-terminal to listen at: each time a program opens it, a connection begins; closing it ends that.

The kernel does not tell when somebody opens it, so we look, as long as nobody has it open.
"""

from __future__ import annotations

import errno
import os
import select
import termios
import tty
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.fdesc import readFromFD, setNonBlocking, writeToFD
from twisted.python.failure import Failure

LOOK = 0.05  # seconds between two looks


class PtyPort:
    """Listens at a new pseudo-terminal in raw mode, which the symbolic link *path* leads to.

    One connection at a time. Whoever has it open still when we hang up gets the next connection: there is
    no carrier to lose. Only we and root may open it. A link to another device at *path* is replaced;
    OSError if anything else is there.
    """

    def __init__(self, reactor: Any, path: str, factory: Any) -> None:
        self._reactor = reactor
        self._path = path
        self._factory = factory
        self._end: _End | None = None
        self._look: Any = None
        self._master, slave = os.openpty()
        try:
            self._name = os.ttyname(slave)
            tty.setraw(slave)
            os.close(slave)  # from now on the kernel knows that nobody has it open
            setNonBlocking(self._master)  # type: ignore[no-untyped-call]  # Twisted has no types there
            _link(self._name, path)
        except BaseException:
            os.close(self._master)
            raise
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)
        self._watch()

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(self._path)

    def stopListening(self) -> Deferred[None]:
        """Take the link away, and the terminal; twice is once."""
        if self._master >= 0:
            if self._end is not None:
                self._end.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]
            if self._look is not None:
                self._look.cancel()
            if os.path.islink(self._path) and os.readlink(self._path) == self._name:
                os.unlink(self._path)
            os.close(self._master)
            self._master = -1
        return succeed(None)

    def closed(self) -> None:
        """The connection is over."""
        self._end = None
        if self._nobody():
            # The next one is not to hear what this one left unread; what the other side holds of it can be
            # thrown away only there.
            other = os.open(self._name, os.O_RDWR | os.O_NOCTTY)
            termios.tcflush(other, termios.TCIOFLUSH)
            os.close(other)
        self._watch()

    def _nobody(self) -> bool:
        seen = self._poll.poll(0)
        return bool(seen) and not seen[0][1] & select.POLLIN  # POLLHUP alone

    def _watch(self) -> None:
        self._look = self._reactor.callLater(LOOK, self._see)

    def _see(self) -> None:
        self._look = None
        protocol = None if self._nobody() else self._factory.buildProtocol(None)
        if protocol is None:
            self._watch()
        else:
            self._end = _End(self._reactor, self._master, protocol, self)
            self._end.begin()


class _End(FileDescriptor):
    """Our end while somebody has the other one open."""

    def __init__(self, reactor: Any, master: int, protocol: Any, port: PtyPort) -> None:
        super().__init__(reactor)
        self._master = master
        self._protocol = protocol
        self._port = port

    def begin(self) -> None:
        """Somebody is there."""
        self.connected = 1
        self.startReading()  # type: ignore[no-untyped-call]
        self._protocol.makeConnection(self)

    def fileno(self) -> int:
        return self._master

    def doRead(self) -> Any:
        return readFromFD(self._master, self._protocol.dataReceived)  # type: ignore[no-untyped-call]

    def writeSomeData(self, data: bytes) -> Any:
        return writeToFD(self._master, data)  # type: ignore[no-untyped-call]

    def getPeer(self) -> UNIXAddress:
        return self._port.getHost()

    getHost = getPeer

    def abortConnection(self) -> None:
        """Without waiting until what was written is read."""
        if self.connected:
            self.connectionLost(Failure(ConnectionAborted()))  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        if self.connected:
            super().connectionLost(reason)  # type: ignore[no-untyped-call]
            self._port.closed()
            self._protocol.connectionLost(reason)


def _link(name: str, path: str) -> None:
    """Have *path* lead to *name*, all at once."""
    if os.path.lexists(path) and not (os.path.islink(path) and os.readlink(path).startswith("/dev/")):
        raise OSError(errno.EEXIST, "there is something that is not a link to a device")
    beside = f"{path}.{os.getpid()}"
    os.symlink(name, beside)
    os.replace(beside, path)
