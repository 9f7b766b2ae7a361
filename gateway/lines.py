"""Modem lines: which there are, who has one, and how to call by it.

A line is one modem, or one serial line to a terminal without a modem; a link names a pool of them. One call
at a time: whoever takes a line has it until it is put back, which is when its port is closed. A line with
trouble of its own (no port, no answer, no dial tone) goes behind the others of its pool for a while; if there
is no other it is tried all the same, because when to try again is the lane's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.bell import Bell
from gateway.env import Address, Endpoint, Env, PortTrouble, SerialAt, Tls
from gateway.model import Instant, later
from gateway.settings.kinds import host_and_port
from gateway.settings.types import LineSettings, Objection, Settings
from gateway.waiting import first_of
from protocols import timed
from protocols.errors import InvalidValue
from protocols.modem import messages as m
from protocols.modem import session as s
from protocols.modem.client import Modem
from protocols.rfc2217.client import RemotePort
from protocols.rfc2217.messages import Line as RemoteLine
from protocols.rfc2217.messages import Parity
from protocols.told import told

log = Logger()

OPEN_TIMEOUT = 10.0  # seconds for a device server to answer
CLOSE_TIMEOUT = 30.0  # seconds to hang up and close; the longest way, +++ and ATH0 at 300 baud, takes 15
MISSING = 4.0  # seconds that a port that was not there rests: soon after it is plugged in it is used again
TOLD_AFTER = 3  # calls in a row; ours
WHERE = ("serial", "tcp", "tls", "rfc2217")

_REMOTE = {"7E1": (7, Parity.EVEN), "7O1": (7, Parity.ODD), "8N1": (8, Parity.NONE)}
_NOT_CONNECTED = {  # code, and whether the line itself is at fault
    m.Word.BUSY: ("busy", False),
    m.Word.NO_ANSWER: ("no-answer", False),
    m.Word.NO_CARRIER: ("no-carrier", False),
    m.Word.VOICE: ("voice", False),
    m.Word.DELAYED: ("delayed", False),
    m.Word.BLACKLISTED: ("blacklisted", False),
    m.Word.RING: ("ring", False),
    m.Word.NO_DIALTONE: ("no-dialtone", True),
}


class NoLine(Struct, frozen=True, kw_only=True):
    """No line, or no call by it. *code*: ``line-busy``, ``no-line``, ``port-missing``, ``port-busy``,
    ``port-denied``, ``port-broken``, ``modem``, ``no-dialtone``, ``busy``, ``no-answer``, ``no-carrier``,
    ``voice``, ``delayed``, ``blacklisted``, ``ring``."""

    code: str
    why: str


class Trouble(Struct, frozen=True, kw_only=True):
    """What is wrong with a line itself: a *code* of NoLine and *why*, *since* when, for so many *calls* in a
    row; *moved* are those that went by another line of its pool because of it."""

    code: str
    why: str
    since: Instant
    calls: int
    moved: int = 0
    rests_until: Instant

    @property
    def lasting(self) -> bool:
        """Whether it is worth telling: it may be a cable that somebody is plugging in."""
        return self.calls >= TOLD_AFTER


class LineStatus(Struct, frozen=True, kw_only=True):
    """How one line does. *in_use*: a call is made by it now."""

    name: str
    pool: str
    in_use: bool
    trouble: Trouble | None = None


def dial_string(own: LineSettings, number: str) -> m.DialString:
    """What is dialled by a line for *number*. Raises InvalidValue."""
    rules = m.DialRules(refused=(m.EMERGENCY - {*own.may_dial}) | {*own.never_dial}, plus=own.plus)
    return m.DialString(number=m.PhoneNumber(number), prefix=m.DialPart(own.prefix), rules=rules)


class Lines:
    """All lines. *settings* are those in effect now; a line that left them is not taken any more."""

    def __init__(self, settings: Callable[[], Mapping[str, LineSettings]], env: Env) -> None:
        self._settings = settings
        self._env = env
        self._bell = Bell()
        self._held: dict[str, Line] = {}
        self._troubles: dict[str, Trouble] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Every line, in file order."""
        return tuple(self._settings())

    async def take(self, pool: str, *, within: float) -> Line | NoLine:
        """A line of *pool*, as soon as one is free; the one that had no trouble lately, in file order."""
        clock = self._env.clock
        end = clock.seconds() + within
        while True:
            own = {name: line for name, line in self._settings().items() if line.pool == pool}
            if not own:
                return NoLine(code="no-line", why=f"pool {pool} has no line")
            free = [name for name in own if name not in self._held]
            if free:
                now = self._env.now()
                name = min(free, key=lambda one: max(now, self._rests_until(one)))
                if self._rests_until(name) <= now:
                    self._passed_over([*own][: [*own].index(name)], now)
                return self._take(name, own[name])
            if (left := end - clock.seconds()) <= 0:
                return NoLine(code="line-busy", why=f"every line of {pool} is in use: {', '.join(own)}")
            await first_of(self._bell.wait(pool), self._env.sleep(left))

    async def probe(self, name: str) -> NoLine | dict[str, str]:
        """Open the port of *name*, set its modem up and listen for a dial tone; nothing is dialled."""
        own = self._settings().get(name)
        if own is None:
            return NoLine(code="no-line", why=f"there is no line {name}")
        if name in self._held:
            return NoLine(code="line-busy", why=f"{name} is in use")
        line = self._take(name, own)
        try:
            return await line.look()
        finally:
            await line.put_back()

    def status(self) -> tuple[LineStatus, ...]:
        """Every line, in file order. Costs no I/O."""
        return tuple(
            LineStatus(name=name, pool=own.pool, in_use=name in self._held, trouble=self._troubles.get(name))
            for name, own in self._settings().items()
        )

    def _rests_until(self, name: str) -> Instant:
        trouble = self._troubles.get(name)
        return Instant(0) if trouble is None else trouble.rests_until

    def _passed_over(self, names: list[str], now: Instant) -> None:
        """A call goes by another line, because those of *names* that have trouble rest."""
        for name in names:
            if self._rests_until(name) > now:
                trouble = self._troubles[name]
                self._troubles[name] = replace(trouble, moved=trouble.moved + 1)

    def _take(self, name: str, own: LineSettings) -> Line:
        line = self._held[name] = Line(self, name, own, self._env)
        return line

    # For lines

    def released(self, line: Line) -> None:
        """Somebody else may have it."""
        if self._held.get(line.name) is line:
            del self._held[line.name]
            self._bell.ring(line.own.pool)

    def worked(self, line: Line) -> None:
        """Whatever was wrong with it is over."""
        if self._troubles.pop(line.name, None) is not None:
            log.info("line works again: {line}", line=line.name)

    def failed(self, line: Line, code: str, why: str) -> None:
        """It is the line itself that is at fault."""
        now = self._env.now()
        before = self._troubles.get(line.name)
        if before is None:
            log.warn("line has trouble: {line}: {why}", line=line.name, why=why, code=code)
        rest = min(MISSING, line.own.rest) if code == "port-missing" else line.own.rest
        self._troubles[line.name] = Trouble(
            code=code,
            why=why,
            since=now if before is None else before.since,
            calls=1 if before is None else before.calls + 1,
            moved=0 if before is None else before.moved,
            rests_until=later(now, rest),
        )


class Line:
    """A line that is ours: `call` once, then `put_back`."""

    def __init__(self, lines: Lines, name: str, own: LineSettings, env: Env) -> None:
        self.name = name
        self.own = own
        self._lines = lines
        self._env = env
        self._port, self._set_dtr = _port(own, env)
        self._watched = _Watched(self._port, self._odd())
        self._modem: Modem | None = None
        self._speed = own.baud

    @property
    def drained(self) -> timed.Drained:
        """When what is written has left the line, or the modem of a call that is slower; reckoned."""
        return timed.paced(self._env.clock, min(self.own.baud, self._speed))

    async def call(self, number: str) -> Endpoint | NoLine:
        """Dial *number*; the endpoint is the call. Without a modem it is the line itself, not yet open."""
        if not self.own.modem:
            return self._watched
        try:
            dialled = dial_string(self.own, number)
        except InvalidValue as invalid:
            return NoLine(code="undialable", why=str(invalid))
        modem = await self._ready()
        if isinstance(modem, NoLine):
            return modem
        connected = await modem.dial(dialled)
        if isinstance(connected, m.NotConnected):
            code, ours = _NOT_CONNECTED.get(connected.word, ("modem", True))
            return self._no(code, connected.why, ours=ours)
        self._speed = connected.speed or self.own.baud
        self.works()
        return modem

    def trouble(self) -> NoLine | None:
        """Why the port could not be opened, if a line without a modem could not."""
        if self._watched.failure is None:
            return None
        return self._no_port(self._watched.failure)

    def works(self) -> None:
        """Somebody answers at its other end."""
        self._lines.worked(self)

    async def put_back(self) -> None:
        """Hang up and close the port; then the line is somebody else's. Bounded in time."""
        closing = Deferred.fromCoroutine(self._closed())
        try:
            await closing.addTimeout(CLOSE_TIMEOUT, self._env.clock)  # type: ignore[arg-type]
        except TimeoutError:
            log.warn("line does not close: {line}; it is given up", line=self.name)
            self._watched.abort()
        finally:
            self._lines.released(self)

    async def _closed(self) -> None:
        if self._modem is not None:
            await self._modem.hang_up()
        await self._watched.closed()

    async def look(self) -> NoLine | dict[str, str]:
        """See ``Lines.probe``."""
        remarks = self._env.serial.remarks(self.own.serial) if self.own.serial else ()
        found = {"port": "opens", "remarks": "; ".join(remarks)}
        if not self.own.modem:
            wire: Any = Protocol()
            try:
                await self._watched.connect(Factory.forProtocol(lambda: wire))
            except Exception:
                return self.trouble() or NoLine(code="port-broken", why=f"{self.name} cannot be opened")
            wire.transport.abortConnection()  # nothing was said, and nobody's goodbye is waited for
            self.works()
            return found
        modem = await self._ready()
        if isinstance(modem, NoLine):
            return modem
        heard = await modem.listen()
        if heard.word is not m.Word.OK:
            code, ours = _NOT_CONNECTED.get(heard.word, ("modem", True))
            return self._no(code, heard.why, ours=ours)
        self.works()
        return found | {"modem": "answers", "dial tone": "yes"}

    # Inside

    async def _ready(self) -> Modem | NoLine:
        """The modem, set up."""
        own = self.own
        dtr = self._set_dtr if own.dtr else None
        manner = s.Manner(init=tuple(map(m.Command, own.init)), pulse=own.pulse, dtr=dtr is not None)
        modem = self._modem = Modem(
            self._watched, self._env.clock, manner=manner, drained=self.drained, dtr=dtr
        )
        if isinstance(self._port, RemotePort):
            self._port.carrier_lost = modem.carrier_lost
        ready = await modem.open()
        if isinstance(ready, m.Ready):
            return modem
        if self._watched.failure is not None:
            return self._no_port(self._watched.failure)
        return self._no("modem", ready.why)

    def _no(self, code: str, why: str, *, ours: bool = True) -> NoLine:
        """No call by this line; *ours*: which is the line's own fault."""
        if ours:
            self._lines.failed(self, code, why)
        return NoLine(code=code, why=f"{self.name}: {why}")

    def _no_port(self, failure: Failure) -> NoLine:
        problem = failure.value
        if isinstance(problem, PortTrouble):
            return self._no(f"port-{problem.code}", problem.words)
        words = str(problem.args[0]) if type(problem) is ConnectError and problem.args else told(failure)
        return self._no("port-broken", words)

    def _odd(self) -> int | None:
        """What the parity bits of a byte must sum up to, if we reckon them."""
        return {"7E1": 0, "7O1": 1}.get(self.own.framing) if self.own.software_parity else None


def _port(own: LineSettings, env: Env) -> tuple[Endpoint, Callable[[bool], None] | None]:
    """The endpoint of a line, and what sets its DTR."""
    framing = "8N1" if own.software_parity else own.framing
    if own.serial is not None:
        port = env.serial.port(SerialAt(path=own.serial, baud=own.baud, framing=framing, flow=own.flow))
        return port, port.set_dtr
    at = own.tcp or own.tls or own.rfc2217
    assert at is not None
    host, number = host_and_port(at)
    tls = Tls(name=own.tls_name, ca_file=own.ca_file) if own.tls is not None else None
    endpoint = env.net.client(Address(host=host, port=number, tls=tls), open_timeout=OPEN_TIMEOUT)
    if own.rfc2217 is None:
        return endpoint, None
    bits, parity = _REMOTE[framing]
    remote = RemotePort(
        endpoint,
        env.clock,
        RemoteLine(baud=own.baud, bits=bits, parity=parity),
        open_timeout=OPEN_TIMEOUT,
    )
    return remote, remote.set_dtr


# Between a line and whoever talks over it


class _Watched:
    """An endpoint that remembers why it could not be connected and whether it still is; it adds parity bits
    that make each byte's sum of ones even, or *odd*."""

    def __init__(self, inner: Endpoint, odd: int | None) -> None:
        self.failure: Failure | None = None
        self._inner = inner
        self._odd = odd
        self._wire: _Wire | None = None

    def connect(self, factory: Any, /) -> Deferred[Any]:
        self.failure = None
        connecting = self._inner.connect(_Wires(self, factory))
        return connecting.addCallbacks(lambda wire: wire.inner, self._failed)

    async def closed(self) -> None:
        """Returns when no connection is left; whoever talks closes it."""
        if self._wire is not None:
            await self._wire.gone

    def abort(self) -> None:
        """Close it without waiting for anything."""
        if self._wire is not None and self._wire.transport is not None:
            self._wire.abortConnection()

    def wire(self, inner: Protocol) -> _Wire:
        wire = self._wire = _Wire(inner, self._odd)
        return wire

    def _failed(self, failure: Failure) -> Failure:
        self.failure = failure
        return failure


def with_parity(data: bytes, odd: int) -> bytes:
    """*data*, of which seven bits count, with an eighth that makes the number of ones even, or *odd*."""
    return bytes(octet & 0x7F | ((octet & 0x7F).bit_count() + odd & 1) << 7 for octet in data)


class _Wires(Factory):
    noisy = False

    def __init__(self, watched: _Watched, factory: Any) -> None:
        self._watched = watched
        self._factory = factory

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._watched.wire(self._factory.buildProtocol(addr))


class _Wire(Protocol):
    """Stands between a port and the protocol that talks over it; is that one's transport."""

    transport: Any
    disconnecting = False

    def __init__(self, inner: Protocol, odd: int | None) -> None:
        self.inner = inner
        self.gone: Deferred[None] = Deferred()
        self._odd = odd

    def connectionMade(self) -> None:
        self.inner.makeConnection(self)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        self.inner.dataReceived(data if self._odd is None else bytes(octet & 0x7F for octet in data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        try:
            self.inner.connectionLost(reason)
        finally:
            self.gone.callback(None)

    def write(self, data: bytes) -> None:
        self.transport.write(data if self._odd is None else with_parity(data, self._odd))

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        self.disconnecting = True
        self.transport.abortConnection()

    def getPeer(self) -> Any:
        return self.transport.getPeer()


# What is wrong with lines as they are written

Objections = Iterator[tuple[tuple[str, ...], Objection]]


def objections(settings: Settings) -> Objections:
    """What no field of a line can know alone."""
    places: dict[str, str] = {}
    for name, own in settings.lines.items():
        here = ("lines", name)
        for objection in _objections(name, own, places):
            yield here, objection


def _objections(name: str, own: LineSettings, places: dict[str, str]) -> Iterator[Objection]:
    written = [key for key in WHERE if getattr(own, key) is not None]
    if len(written) != 1:
        what = "says nowhere where the line is." if not written else f"stands beside {written[0]}."
        key = "serial" if not written else written[-1]
        yield Objection(key=key, what=what, remedy=f"Write one of {', '.join(WHERE)}.")
        return
    (key,) = written
    where = getattr(own, key)
    if where in places:
        what = f"this port is also at {places[where]}."
        yield Objection(key=key, what=what, remedy="Give each line a port of its own.")
    places.setdefault(where, f"lines.{name}.{key}")
    if key == "serial" and not where.startswith("/"):
        yield Objection(key=key, what="is not the path of a port.", remedy="Write /dev/serial/by-id/….")
    if key == "serial" and where.startswith(("/dev/ttyUSB", "/dev/ttyACM")):
        yield Objection(
            key=key,
            what="this name may be another adapter's after a restart.",
            remedy="Write the one in /dev/serial/by-id.",
            warning=True,
        )
    if own.software_parity and own.framing == "8N1":
        yield Objection(key="software_parity", what="8N1 has no parity.", remedy="Write framing: 7E1.")
    for key, ours in (("ca_file", own.ca_file), ("tls_name", own.tls_name)):
        if ours is not None and own.tls is None:
            yield Objection(key=key, what="is of no use without tls.", remedy="Write tls, or remove it.")
    yield from unsound(own)


def unsound(own: LineSettings) -> list[Objection]:
    """What is wrong with what is said to the modem of a line."""
    found = []
    for key, check in (
        ("init", lambda: [m.Command(line) for line in own.init]),
        ("prefix", lambda: m.DialPart(own.prefix)),
        ("plus", lambda: m.DialRules(plus=own.plus)),
        ("never_dial", lambda: m.DialRules(refused=frozenset(own.never_dial))),
        ("may_dial", lambda: m.DialRules(refused=frozenset(own.may_dial))),
    ):
        try:
            check()
        except InvalidValue as invalid:
            found.append(Objection(key=key, what=f"{invalid}.", remedy=_REMEDIES[key]))
    return found


_REMEDIES = {
    "init": "Write AT and settings in capitals, such as AT&FQ0V1X4; D, A and O are none: it dials by itself.",
    "prefix": 'Write digits, *, # and commas for pauses, such as "9,".',
    "plus": "Write digits, such as 011 or 00.",
    "never_dial": "Write digits, such as [0900].",
    "may_dial": "Write digits, such as [911].",
}
