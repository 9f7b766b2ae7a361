"""The world as it is: the reactor, the system's clocks and chance, sockets, names, threads and the disk.

``app`` calls ``install_reactor`` before anything imports the reactor, makes one ``RealEnv`` of it and hands
that down. Tests of their own use whatever reactor they run on.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, TypeVar, cast

import msgspec
from OpenSSL import SSL, crypto
from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import CannotListenError, ConnectError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

from gateway.env import (
    Address,
    AddressRefused,
    Clock,
    Endpoint,
    Files,
    Net,
    Port,
    SerialPorts,
    Supervisor,
    Tls,
    Worker,
)
from gateway.env.pty import PtyPort
from gateway.env.serial import RealSerial
from gateway.env.systemd import Systemd, listening
from gateway.env.tls import PEM, SecuredFactory, ServerTls, words
from gateway.model import SECOND, Instant

T = TypeVar("T")
R = TypeVar("R")

NAME_LIMIT = 2.0  # seconds that a look-up may take; delivery semantics 10.2
NAME_KEPT = 86_400.0  # seconds that the last good answer is used instead; delivery semantics 10.2
NAMES = 1024  # names whose last good answer is kept
LOOKUPS = 8  # look-ups at a time, each in a thread that the C library may hold for half a minute
LOOKUPS_WAITING = 256
BACKLOG = 1024  # connections that the kernel holds while the reactor is busy
LOG_PIECE = 4096  # PIPE_BUF of Linux: a pipe that polls as writable takes so much without blocking

Lookup = Callable[[str], Sequence[str]]

_log = Logger()


# The reactor


def install_reactor() -> Any:
    """Install and return a reactor whose timers run on the steady clock; twice is once.

    Stock reactors keep their timers by the wall clock, so that a step of it fires or delays all of them
    (delivery semantics 11.6). epoll, or kqueue, poll, select where there is none. RuntimeError if another
    reactor is installed already.
    """
    installed = sys.modules.get("twisted.internet.reactor")
    if installed is None:
        from twisted.internet.main import installReactor

        base = _reactor_type()
        steady = type("Steady" + base.__name__, (base,), {"seconds": staticmethod(time.monotonic)})
        reactor = steady()
        installReactor(reactor)  # type: ignore[no-untyped-call]
        return reactor
    if getattr(installed, "seconds", None) is not time.monotonic:
        raise RuntimeError(
            f"{type(installed).__name__} is installed already; its timers follow the wall clock. "
            "Install ours before anything imports twisted.internet.reactor."
        )
    return installed


def _reactor_type() -> type[Any]:
    if hasattr(select, "epoll"):
        from twisted.internet.epollreactor import EPollReactor

        return EPollReactor
    if hasattr(select, "kqueue"):
        from twisted.internet.kqreactor import KQueueReactor

        return cast("type[Any]", KQueueReactor)
    if hasattr(select, "poll"):
        from twisted.internet.pollreactor import PollReactor

        return PollReactor
    from twisted.internet.selectreactor import SelectReactor

    return SelectReactor


# Everything in one value


class RealEnv:
    """The machine that we run on.

    *lookup* turns a name into addresses and may block for as long as it likes; *failpoint* is
    ``name[:nth]``, where the process kills itself at the *nth* time it gets there; *supervisor* is who
    started the process, None: nobody is told anything.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        lookup: Lookup | None = None,
        failpoint: str | None = None,
        supervisor: Systemd | None = None,
    ) -> None:
        steady = time.monotonic_ns() // 1000
        self._boot = time.time_ns() // 1000 - steady
        self._wakes = _Wakes(reactor)
        self._failpoint = _Failpoint.parse(failpoint or os.environ.get("GATEWAY_FAILPOINT"))
        self.clock = cast(Clock, reactor)
        self.random: Random = SystemRandom()  # ids must not be guessable
        systemd = supervisor or Systemd({}, 0)
        self.supervisor: Supervisor = systemd
        self.net: Net = RealNet(reactor, lookup or system_lookup, systemd.sockets)
        self.serial: SerialPorts = RealSerial(reactor)
        self.files: Files = RealFiles()

    def now(self) -> Instant:
        return Instant(self._boot + time.monotonic_ns() // 1000)

    def wall(self) -> Instant:
        return Instant(time.time_ns() * SECOND // 1_000_000_000)

    def worker(
        self,
        name: str,
        work: Callable[[Sequence[T]], Sequence[R]],
        done: Callable[[Sequence[T], Sequence[R] | BaseException], None],
        *,
        limit: int,
    ) -> Worker[T]:
        return _Worker(name, work, done, limit, self._wakes)

    def sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(cast(IReactorTime, self.clock), seconds)

    def failpoint(self, name: str) -> None:
        if self._failpoint is not None:
            self._failpoint.reach(name)


class _Failpoint:
    def __init__(self, name: str, nth: int) -> None:
        self._name = name
        self._left = nth

    @classmethod
    def parse(cls, text: str | None) -> _Failpoint | None:
        if not text:
            return None
        name, _, nth = text.partition(":")
        return cls(name, int(nth or 1))

    def reach(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


# Threads


class _Wakes:
    """What threads have to say to the reactor, with one wake-up for whatever gathers until it listens."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._said: deque[Callable[[], None]] = deque()
        self._woken = False

    def say(self, call: Callable[[], None]) -> None:
        """From any thread: have *call* made on the reactor's."""
        self._said.append(call)
        if not self._woken:
            self._woken = True
            self._reactor.callFromThread(self._listen)

    def _listen(self) -> None:
        self._woken = False  # before reading: what is said from now on wakes again
        for _ in range(len(self._said)):
            call = self._said.popleft()
            try:
                call()
            except Exception:  # a mistake of one room must not silence the others
                _log.failure("what a thread reported could not be taken in")


class _Worker(Worker[T]):
    """One thread. Putting is an append, and a wake-up only if the thread has gone to bed.

    ``put`` and ``stop`` are the reactor's alone. The thread lies down by putting a token on *bed*; whoever
    takes it (the thread itself, if something came in meanwhile, or ``put``) decides that it is awake, and
    only ``put`` then owes it a release of *alarm*.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[T]], Sequence[R]],
        done: Callable[[Sequence[T], Sequence[R] | BaseException], None],
        limit: int,
        wakes: _Wakes,
    ) -> None:
        self._name = name
        self._work = work
        self._done = cast("Callable[[Sequence[T], object], None]", done)
        self._limit = limit
        self._wakes = wakes
        self._first: deque[T] = deque()
        self._rest: deque[T] = deque()
        self._bed: deque[None] = deque()
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._stopped = False
        self._has_ended = False
        self._ended: list[Deferred[None]] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._first) + len(self._rest)

    def put(self, item: T, *, first: bool = False) -> None:
        if self._stopped:
            raise RuntimeError(f"the worker {self._name} has been stopped")
        (self._first if first else self._rest).append(item)
        if self._bed:
            self._wake()

    def stop(self) -> Deferred[None]:
        ended: Deferred[None] = Deferred()
        if self._has_ended:
            ended.callback(None)
            return ended
        self._ended.append(ended)
        self._stopped = True
        self._wake()
        return ended

    def _wake(self) -> None:
        try:
            self._bed.pop()
        except IndexError:
            return
        self._alarm.release()

    def _run(self) -> None:
        while True:
            batch = self._gather()
            if batch:
                result: Sequence[object] | BaseException
                try:
                    result = self._work(batch)
                except BaseException as error:  # the room decides what it means
                    result = error
                self._wakes.say(partial(self._done, batch, result))
                continue
            if self._stopped:
                self._wakes.say(self._end)
                return
            self._bed.append(None)
            if self._first or self._rest or self._stopped:
                try:
                    self._bed.pop()
                except IndexError:
                    self._alarm.acquire()
            else:
                self._alarm.acquire()

    def _gather(self) -> list[T]:
        first, rest = self._first, self._rest
        batch = [first.popleft() for _ in range(min(len(first), self._limit))]
        batch += [rest.popleft() for _ in range(min(len(rest), self._limit - len(batch)))]
        return batch

    def _end(self) -> None:
        self._has_ended = True
        self._thread.join()
        for ended in self._ended:
            ended.callback(None)


# Names


def system_lookup(host: str) -> Sequence[str]:
    """The system's addresses of *host* in its order of preference (RFC 6724); blocks."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(OrderedDict.fromkeys(str(sockaddr[0]) for _, _, _, _, sockaddr in found))


class Answer(msgspec.Struct, frozen=True):
    """Addresses of a name, and when (steady seconds) they were heard."""

    addresses: tuple[str, ...]
    at: float


class _Asking:
    def __init__(self, at: float, limit: IDelayedCall) -> None:
        self.at = at
        self.limit: Any = limit
        self.waiting: list[Deferred[Answer]] = []


class Names:
    """Look-ups in threads of their own, and the last good answer for when they fail.

    An answer is good once a connection was made by it. It stands in for a look-up that fails or takes more
    than ``NAME_LIMIT``, for ``NAME_KEPT``; while a slow look-up goes on nobody waits for it a second time.
    """

    def __init__(self, reactor: Any, lookup: Lookup) -> None:
        self._reactor = reactor
        self._lookup = lookup
        self._good: OrderedDict[str, Answer] = OrderedDict()
        self._asking: dict[str, _Asking] = {}
        self._queue: deque[str] = deque()
        self._threads = 0

    def resolve(self, host: str) -> Deferred[Answer]:
        """DNSLookupError if nothing is known in time."""
        now = self._reactor.seconds()
        asking = self._asking.get(host)
        if asking is None and len(self._asking) < LOOKUPS_WAITING:
            limit = self._reactor.callLater(NAME_LIMIT, self._too_slow, host)
            asking = self._asking[host] = _Asking(now, limit)
            self._queue.append(host)
            self._ask()
        if asking is None or now >= asking.at + NAME_LIMIT:
            return execute(self._stand_in, host, "no answer in time")
        answer: Deferred[Answer] = Deferred()
        asking.waiting.append(answer)
        return answer

    def good(self, host: str) -> Answer | None:
        """The last good answer, if it is not too old."""
        answer = self._good.get(host)
        return answer if answer and self._reactor.seconds() < answer.at + NAME_KEPT else None

    def worked(self, host: str, answer: Answer) -> None:
        """A connection was made by *answer*."""
        self._good[host] = answer
        self._good.move_to_end(host)
        if len(self._good) > NAMES:
            self._good.popitem(last=False)

    def _stand_in(self, host: str, reason: str) -> Answer:
        answer = self.good(host)
        if answer is None:
            raise DNSLookupError(f"{host} is not known: {reason}")
        return answer

    def _ask(self) -> None:
        while self._queue and self._threads < LOOKUPS:
            self._threads += 1
            threading.Thread(
                target=self._ask_here, args=(self._queue.popleft(),), name="names", daemon=True
            ).start()

    def _ask_here(self, host: str) -> None:
        found: tuple[str, ...] | Exception
        try:
            found = tuple(self._lookup(host)) or OSError("it has no address")
        except Exception as error:  # whatever a resolver raises is "not known"
            found = error
        self._reactor.callFromThread(self._heard, host, found)

    def _heard(self, host: str, found: tuple[str, ...] | Exception) -> None:
        self._threads -= 1
        self._ask()
        asking = self._asking.pop(host)
        if asking.limit.active():
            asking.limit.cancel()
        if isinstance(found, Exception):
            self._settle(host, asking, str(found))
        else:
            answer = Answer(found, self._reactor.seconds())
            for waiting in asking.waiting:
                waiting.callback(answer)

    def _too_slow(self, host: str) -> None:
        self._settle(host, self._asking[host], f"no answer in {NAME_LIMIT:g} s")

    def _settle(self, host: str, asking: _Asking, reason: str) -> None:
        waiting, asking.waiting = asking.waiting, []
        for one in waiting:
            execute(self._stand_in, host, reason).chainDeferred(one)


# Connections


class TlsRefused(ConnectError):
    """The far end could not prove who it is, or speaks nothing that we accept; no byte of ours was sent."""


class RealNet:
    """Sockets. Connecting fails with ``ConnectError`` (``TimeoutError``, ``ConnectionRefusedError``,
    ``TlsRefused`` …) or ``DNSLookupError``, listening with ``CannotListenError``; nothing else."""

    def __init__(self, reactor: Any, lookup: Lookup, sockets: Mapping[str, int] = {}) -> None:
        self._reactor = reactor
        self._sockets = sockets
        self._contexts: OrderedDict[tuple[str, str | None, int], Any] = OrderedDict()
        self.names = Names(reactor, lookup)

    def client(
        self, address: Address, *, open_timeout: float, refusal: Callable[[str], str | None] | None = None
    ) -> Endpoint:
        return _Endpoint(self, self._reactor, address, open_timeout, refusal)

    def listen(self, at: str, factory: Any, tls: ServerTls | None = None) -> Deferred[Port]:
        if tls is not None:
            factory = SecuredFactory(tls, factory, self._reactor)
        if at.startswith("unix:"):
            return execute(self._listen_unix, at.removeprefix("unix:"), factory)
        if at.startswith("systemd:"):
            return execute(self._adopt, at.removeprefix("systemd:"), factory)
        if at.startswith("pty:"):
            return execute(self._listen_pty, at.removeprefix("pty:"), factory)
        return execute(self._listen_tcp, at, factory)

    def tls_options(self, tls: Tls, host: str) -> Any:
        """What ``startTLS`` and ``wrapClientTLS`` take: verified chain and name, TLS 1.2 or newer.

        TlsRefused if *ca_file* cannot be used. A changed *ca_file* counts from the next connection on.
        """
        name = tls.name or host
        try:
            changed = os.stat(tls.ca_file).st_mtime_ns if tls.ca_file else 0
            key = (name, tls.ca_file, changed)
            if key not in self._contexts:  # making one reads and parses every root that we trust
                trust = _trust_of(tls.ca_file) if tls.ca_file else platformTrust()  # type: ignore[no-untyped-call]
                self._contexts[key] = optionsForClientTLS(name, trustRoot=trust)
                if len(self._contexts) > 64:
                    self._contexts.popitem(last=False)
        except (OSError, ValueError, SSL.Error, crypto.Error) as error:
            raise _tls_refused(f"cannot verify {name}: {words(error)}") from error
        return self._contexts[key]

    def _listen_tcp(self, at: str, factory: IProtocolFactory) -> Port:
        host, _, port = at.rpartition(":")
        host = "127.0.0.1" if host == "localhost" else host.strip("[]")
        try:
            ip_address(host)
            number = int(port)
            if not 0 <= number <= 65535:
                raise ValueError(f"{number} is not a port")
        except ValueError as error:
            raise _cannot_listen(host, port, f"{error}. Write 127.0.0.1:8080") from error
        port_: Port = self._reactor.listenTCP(number, factory, backlog=BACKLOG, interface=host)
        return port_

    def _adopt(self, name: str, factory: IProtocolFactory) -> Port:
        try:
            if name not in self._sockets:
                raise OSError(f"systemd has handed over {', '.join(self._sockets) or 'none'}")
            with listening(self._sockets[name]) as ours:
                port: Port = self._reactor.adoptStreamPort(ours.fileno(), ours.family, factory)
        except OSError as error:
            raise _cannot_listen("systemd", name, error) from error
        return port

    def _listen_pty(self, path: str, factory: IProtocolFactory) -> Port:
        try:
            return PtyPort(self._reactor, path, factory)
        except OSError as error:
            raise _cannot_listen("pty", path, error) from error

    def _listen_unix(self, path: str, factory: IProtocolFactory) -> Port:
        try:
            _clear_stale_socket(path)
        except OSError as error:
            raise _cannot_listen("unix", path, error) from error
        umask = os.umask(0o177)  # from the first moment on, not only after a chmod
        try:
            port: Port = self._reactor.listenUNIX(path, factory, backlog=BACKLOG, mode=0o600)
        except OSError as error:  # "AF_UNIX path too long", before Twisted could wrap it
            raise _cannot_listen("unix", path, error) from error
        finally:
            os.umask(umask)
        return port


def _cannot_listen(host: str, port: str, reason: object) -> CannotListenError:
    return CannotListenError(host, port, reason)  # type: ignore[no-untyped-call]


def _clear_stale_socket(path: str) -> None:
    """Remove a socket that nobody answers on; OSError if somebody does or if it is something else."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:  # its queue is full: somebody listens, slowly
            pass
    raise OSError(errno.EADDRINUSE, "another program answers there")


def _trust_of(ca_file: str) -> Any:
    pems = PEM.findall(Path(ca_file).read_bytes())
    if not pems:
        raise ValueError(f"{ca_file} holds no PEM certificate")
    return trustRootFromCertificates([Certificate.loadPEM(pem) for pem in pems])  # type: ignore[no-untyped-call]


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(
        self,
        net: RealNet,
        reactor: Any,
        address: Address,
        open_timeout: float,
        refusal: Callable[[str], str | None] | None,
    ) -> None:
        self._net = net
        self._reactor = reactor
        self._address = address
        self._open_timeout = open_timeout
        self._refusal = refusal

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        end = self._reactor.seconds() + self._open_timeout
        connecting = Deferred.fromCoroutine(self._connect(cast(Factory, factory), end))
        return connecting.addTimeout(self._open_timeout, self._reactor, self._too_slow)

    async def _connect(self, factory: Factory, end: float) -> IProtocol:
        host, names = self._address.host, self._net.names
        try:
            ip_address(host)
        except ValueError:
            answer = await names.resolve(host)
            for ip in answer.addresses:  # one that may not be called spoils the others: somebody tries
                self._check(ip)
        else:
            return (await self._connect_any([host], factory, end))[1]
        good = names.good(host)  # if the new answer is of no use: perhaps it is a wrong one
        spare = [one for one in good.addresses if one not in answer.addresses] if good else []
        ip, protocol = await self._connect_any([*answer.addresses, *spare], factory, end)
        if ip not in spare:
            names.worked(host, answer)
        return protocol

    async def _connect_any(self, ips: Sequence[str], factory: Factory, end: float) -> tuple[str, IProtocol]:
        """Try one after the other; each may use its share of the time that is left."""
        for left in range(len(ips) - 1, 0, -1):
            ip = ips[-1 - left]
            try:
                return ip, await self._connect_one(
                    ip, factory, max(end - self._reactor.seconds(), 0) / (left + 1)
                )
            except ConnectError:
                continue
        return ips[-1], await self._connect_one(ips[-1], factory, None)

    async def _connect_one(self, ip: str, factory: Factory, limit: float | None) -> IProtocol:
        """At most *limit* seconds; None: the whole try is limited already."""
        self._check(ip)
        endpoint_type: Any = TCP6ClientEndpoint if ":" in ip else TCP4ClientEndpoint
        endpoint: Any = endpoint_type(self._reactor, ip, self._address.port, timeout=None)
        if self._address.tls is None:
            made: Deferred[Any] = endpoint.connect(factory)
        else:
            options = self._net.tls_options(self._address.tls, self._address.host)
            secured: Any = wrapClientTLS(options, endpoint, self._reactor)
            made = secured.connect(_Gates(factory, self._address)).addCallback(_Gate.opened)
        if limit is not None:
            made.addTimeout(limit, self._reactor, self._too_slow)
        return cast(IProtocol, await made)

    def _check(self, ip: str) -> None:
        why = None if self._refusal is None else self._refusal(ip)
        if why is not None:
            words = f"{self._address} is not called: {why}"
            raise AddressRefused(string=words)  # type: ignore[no-untyped-call]

    def _too_slow(self, _: object, limit: float) -> Failure:
        late = f"{self._address} did not answer within {limit:g} s"
        return Failure(TimeoutError(string=late))  # type: ignore[no-untyped-call]


class _Gates(Factory):
    noisy = False

    def __init__(self, factory: Factory, address: Address) -> None:
        self._factory = factory
        self._address = address

    def buildProtocol(self, addr: Any) -> _Gate:
        return _Gate(self._factory, self._address, addr)


@implementer(IHandshakeListener)
class _Gate(Protocol):
    """Stands between TLS and the protocol until the far end has proved who it is.

    So a protocol behind it is made only for a verified connection, and why there is none is told where
    connecting is awaited.
    """

    transport: Any

    def __init__(self, factory: Factory, address: Address, peer: Any) -> None:
        self._factory = factory
        self._address = address
        self._peer = peer
        self._opened: Deferred[IProtocol] = Deferred(lambda _: self.transport.abortConnection())

    def opened(self) -> Deferred[IProtocol]:
        """Fires with the protocol behind; fails with TlsRefused."""
        return self._opened

    def handshakeCompleted(self) -> None:
        if self.transport.disconnecting:  # the name did not match; connectionLost brings the reason
            return
        protocol = self._factory.buildProtocol(self._peer)
        if protocol is None:
            self.transport.abortConnection()
            return
        tls = self.transport
        tls.wrappedProtocol = protocol
        protocol.makeConnection(tls)
        self._opened.callback(cast(IProtocol, protocol))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._opened.called:
            self._opened.errback(_tls_refused(f"{self._address}: {words(reason.value)}"))


def _tls_refused(words: str) -> TlsRefused:
    return TlsRefused(string=words)  # type: ignore[no-untyped-call]


# The disk


class RealFiles:
    """The file system. Blocks for as long as the disk does."""

    def free(self, folder: Path) -> int:
        there = os.statvfs(folder)
        return there.f_bavail * there.f_frsize

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def replace(self, path: Path, data: bytes) -> None:
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                os.chmod(beside, stat.S_IMODE(path.stat().st_mode))
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def names(self, folder: Path, suffix: str) -> tuple[str, ...]:
        try:
            found = os.listdir(folder)
        except FileNotFoundError:
            return ()
        return tuple(sorted(name for name in found if name.endswith(suffix) and not name.startswith(".")))

    def owner(self, path: Path) -> int:
        return path.stat().st_uid

    def rename(self, path: Path, new: Path) -> None:
        path.rename(new)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)


def log_writer(descriptor: int) -> Callable[[bytes], int]:
    """A function that writes what *descriptor* takes at once and returns how much that was; never blocks.

    0: it takes nothing now. OSError: it will not take it (disk full, reader gone). The descriptor itself
    stays as it is, since it may be shared with other programs.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)

    def write(data: bytes) -> int:
        return os.write(descriptor, data[:LOG_PIECE]) if poll.poll(0) else 0

    return write
