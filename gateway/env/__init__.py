"""The seam to everything that is not a function of its arguments.

Clocks, chance, ids, network, DNS, serial ports, worker threads and files are reached through one ``Env`` and
nowhere else (ruff bans the rest). ``gateway.env.real`` is the world; ``gateway.env.simulated`` is its twin
for tests: a heap clock and an in-memory network in which years pass in minutes and every run can be repeated
from its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IDelayedCall

from gateway.model import Instant, PublicId

if TYPE_CHECKING:
    from gateway.env.tls import ServerTls

T = TypeVar("T")
Item = TypeVar("Item", contravariant=True)
R = TypeVar("R")

BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
REF_ALPHABET = "234679CDFGHJKMNPQRTVWXY"  # no vowels, nothing that looks like something else


class Clock(Protocol):
    """Twisted's IReactorTime on the *steady* clock: never steps, whatever the wall clock does."""

    def seconds(self) -> float: ...
    def callLater(  # IReactorTime's name
        self, delay: float, function: Callable[..., object], *args: Any, **kwargs: Any
    ) -> IDelayedCall: ...


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """How a client connection is secured: verified chain and name, TLS 1.2 or newer, never less.

    *name* is what the certificate must be for (the host's name if None); *ca_file* replaces the platform's
    trust by one file of PEM certificates.
    """

    name: str | None = None
    ca_file: str | None = None


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect: ``host:port``, with TLS or without."""

    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class SerialAt(msgspec.Struct, frozen=True, kw_only=True):
    """A serial port of this machine, and how it is set."""

    path: str
    baud: int = 1200
    framing: Literal["7E1", "7O1", "8N1"] = "7E1"
    flow: Literal["none", "xonxoff", "rtscts"] = "none"


class PortTrouble(ConnectError):
    """A serial port cannot be used. *code*: ``missing``, ``busy``, ``denied`` or ``broken``; the text says
    who has it, which group may use it, or which ports there are."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(string=words)  # type: ignore[no-untyped-call]
        self.code = code
        self.words = words

    def __str__(self) -> str:
        return self.words


class AddressRefused(ConnectError):
    """The address may not be called; nothing was sent."""


class Endpoint(Protocol):
    """IStreamClientEndpoint, as a type that mypy can check."""

    def connect(self, factory: Any, /) -> Deferred[Any]: ...


class SerialPort(Protocol):
    """A serial port: an endpoint whose connection is the open port, ours alone while it lasts."""

    def connect(self, factory: Any, /) -> Deferred[Any]:
        """Open it, once. Fails with ``PortTrouble``. Unplugging ends the connection."""
        ...

    def set_dtr(self, up: bool) -> None:
        """DTR up or down; nothing where the port is closed or has no such wire (a pseudo terminal)."""
        ...


class SerialPorts(Protocol):
    """The serial ports of this machine."""

    def port(self, at: SerialAt) -> SerialPort:
        """The port at *at*; nothing is opened yet."""
        ...

    def remarks(self, path: str) -> tuple[str, ...]:
        """What about the name *path* will bite one day: names that change, two adapters with one name."""
        ...


class Port(Protocol):
    """IListeningPort, as a type that mypy can check."""

    def getHost(self) -> Any: ...
    def stopListening(self) -> Any: ...


class Net(Protocol):
    """Connections. Names are resolved here, bounded, with the last good answer kept (semantics 10.2)."""

    def client(
        self, address: Address, *, open_timeout: float, refusal: Callable[[str], str | None] | None = None
    ) -> Endpoint:
        """An endpoint that tries once, for at most *open_timeout* seconds, and never retries.

        *refusal* says of an IP address why it may not be called (None: it may). If the host is one of
        these or its name leads to any, connecting fails with ``AddressRefused`` and no packet goes there;
        it is asked again of the very address that is connected to.
        """
        ...

    def tls_options(self, tls: Tls, host: str) -> Any:
        """What ``startTLS`` of a transport to *host* takes, for protocols that change to TLS on the way.
        Twisted's ConnectError if *ca_file* cannot be used."""
        ...

    def listen(self, at: str, factory: Any, tls: ServerTls | None = None) -> Deferred[Port]:
        """Listen at ``host:port``, ``unix:/path`` (mode 0600), ``systemd:NAME`` (a socket that the
        supervisor handed over) or ``pty:/path`` (a pseudo-terminal that the link there leads to; not in
        simulation), under TLS if *tls* is given (not in simulation). A taken port fails the Deferred."""
        ...


class Worker(Protocol, Generic[Item]):
    """One thread that does one kind of work, in batches, in the order in which it was put."""

    def put(self, item: Item, *, first: bool = False) -> None:
        """Hand over an item; *first* lets it overtake those that are not."""
        ...

    @property
    def waiting(self) -> int:
        """How many items nobody has begun."""
        ...

    def stop(self) -> Deferred[None]:
        """Finish what was put, then end the thread; fires when it has ended."""
        ...


class Files(Protocol):
    """The disk, apart from the store's own database file."""

    def free(self, folder: Path) -> int:
        """Bytes that an ordinary user may still write there."""
        ...

    def read(self, path: Path) -> bytes: ...

    def replace(self, path: Path, data: bytes) -> None:
        """Write beside, sync, rename over, sync the folder: afterwards the file is old or new, never torn."""
        ...

    def names(self, folder: Path, suffix: str) -> tuple[str, ...]:
        """Names that end in *suffix* and do not begin with a dot, sorted; none if there is no such folder."""
        ...

    def owner(self, path: Path) -> int:
        """The user id of who wrote the file."""
        ...

    def rename(self, path: Path, new: Path) -> None:
        """Move within one folder."""
        ...

    def remove(self, path: Path) -> None:
        """Delete; it may be gone already."""
        ...


class Supervisor(Protocol):
    """Who started this process and watches it. Nobody may have; then nothing is watched or heard."""

    watchdog: float | None
    """Seconds within which it wants to hear ``WATCHDOG=1``; None: it does not."""

    def say(self, *lines: str) -> None:
        """Tell it (``READY=1``, ``STATUS=…``: sd_notify(3)); never blocks, never raises."""
        ...


class Env(Protocol):
    """All seams in one value, handed to whoever needs one."""

    clock: Clock
    random: Random
    net: Net
    serial: SerialPorts
    files: Files
    supervisor: Supervisor

    def now(self) -> Instant:
        """UTC at boot plus steady time: for due times and deadlines; a wall-clock step changes nothing."""
        ...

    def wall(self) -> Instant:
        """The wall clock: for rotas, quiet hours and what people read."""
        ...

    def worker(
        self,
        name: str,
        work: Callable[[Sequence[T]], Sequence[R]],
        done: Callable[[Sequence[T], Sequence[R] | BaseException], None],
        *,
        limit: int,
    ) -> Worker[T]:
        """A thread that gathers up to *limit* items while it is busy and hands them to *work* at once.

        *work* runs in the thread, *done* afterwards on the reactor's, in order, with what *work* returned
        or raised.
        """
        ...

    def sleep(self, seconds: float) -> Deferred[None]:
        """Fires after *seconds* of steady time; may be cancelled."""
        ...

    def failpoint(self, name: str) -> None:
        """A place where tests stop the process (``T1`` … ``T6``); nothing in production."""
        ...


_PAIRS = tuple(a + b for a in BASE32 for b in BASE32)  # ten bits at a time


def public_id(env: Env) -> PublicId:
    """A new id: 48 bit of milliseconds, 80 bit of chance, as 26 characters that sort by time."""
    number = (env.now() // 1000 & 0xFFFF_FFFF_FFFF) << 80 | env.random.getrandbits(80)
    return PublicId("".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)]))
