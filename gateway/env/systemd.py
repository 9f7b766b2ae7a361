"""The supervisor that started us: systemd's datagrams, its watchdog, and the sockets that it hands over.

Told by environment variables (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)); a process that was
started otherwise has none of it, and saying something is nothing.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from contextlib import suppress

FIRST_DESCRIPTOR = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START


class Systemd:
    """What *environ* says about our supervisor. *sockets* are descriptors by name (``http``), listening."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.watchdog: float | None = None
        if self._address and environ.get("WATCHDOG_PID", str(pid)) == str(pid):
            micros = _number(environ.get("WATCHDOG_USEC"))
            self.watchdog = micros / 1e6 if micros else None
        self.sockets: dict[str, int] = {}
        if environ.get("LISTEN_PID") == str(pid):
            names = environ.get("LISTEN_FDNAMES", "").split(":")
            for n in range(_number(environ.get("LISTEN_FDS"))):
                descriptor = FIRST_DESCRIPTOR + n
                flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
                fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
                name = names[n] if n < len(names) and names[n] else "unknown"  # what sd_listen_fds(3) says
                self.sockets.setdefault(name, descriptor)

    def say(self, *lines: str) -> None:
        """One datagram, if somebody wants it; never blocks, never raises."""
        if not self._address:
            return
        where = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            suppress(OSError),  # a supervisor that does not listen is no reason to page nobody
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out,
        ):
            out.setblocking(False)
            out.sendto("\n".join(lines).encode(), where)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0


def listening(descriptor: int) -> socket.socket:
    """Our own copy of a socket that was handed over. OSError if it does not listen for streams."""
    ours = socket.socket(fileno=os.dup(descriptor))
    try:
        if ours.type != socket.SOCK_STREAM or not ours.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError("it does not listen for connections")
        ours.setblocking(False)
    except OSError:
        ours.close()
        raise
    return ours
