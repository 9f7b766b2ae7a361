"""A simulated TAP paging terminal: a call to it can be slow, garbled, refused, cut, or lie.

Speaks through ``protocols.tap.server``, so a good answer is a real one; the quirks are applied to the line in
front of it, octet by octet, and to what the house behind it answers. ``protocols.modem.server`` may stand
before the line: then it is a phone number to be dialled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.env import Clock, Env, Port
from gateway.sim.losses import Losses
from gateway.sim.truth import Truth
from protocols.modem.messages import Heard, Word
from protocols.modem.server import ModemFactory
from protocols.tap import codec
from protocols.tap import messages as m
from protocols.tap import session as s
from protocols.tap.messages import Answer, Control, Message, answer_of
from protocols.tap.server import TapFactory

SPEED = 1200  # bits per second that a modem names when octets go as fast as they can
BITS = 10  # on the line for one octet: start, seven and parity (or eight), stop
STEP = 0.02  # seconds of octets that are handed on together
HOLD = 60.0  # seconds that a terminal without goodbye keeps the line: HylaFAX waits 30
MAX_WAITING = 65_536  # octets that may be on their way to the terminal; a caller minutes ahead of the line
APART = 0.3  # seconds between the pieces of an ID= that is split, or said again


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Answer a page to *pager* (None: to any) with *code*, for a *share* of the pages."""

    pager: str | None
    code: int
    share: float = 1.0


class Dialling(msgspec.Struct, frozen=True, kw_only=True):
    """The next *calls* calls (None: all others) end with this *result*, like ``BUSY``."""

    result: str
    calls: int | None = None


class TapQuirks(msgspec.Struct, frozen=True, kw_only=True):
    """How the terminal misbehaves; none of it by default. What is counted is counted in each call."""

    calls: Annotated[int | None, Meta(description="Only in so many calls, from the first.")] = None
    dialling: Annotated[tuple[Dialling, ...], Meta(description="What the modem says, in order.")] = ()
    parity: Annotated[Literal["none", "even", "odd"], Meta(description="On the eighth bit.")] = "none"
    banner: Annotated[int, Meta(description="Octets of text said before ID=.")] = 0
    slow_id: Annotated[float, Meta(description="Seconds from the first CR to ID=.")] = 0.0
    prompt: Annotated[
        Literal["plain", "lines", "split", "repeated", "garbled", "unasked"],
        Meta(description="How ID= comes: with line ends, in pieces, thrice, unreadable at first, unasked."),
    ] = "plain"
    password: Annotated[str | None, Meta(description="Password that a logon must have.")] = None
    logon: Annotated[
        Literal["taken", "refused", "dropped"], Meta(description="Refused by 509; dropped by ESC EOT.")
    ] = "taken"
    codes: Annotated[bool, Meta(description="Say response codes; an old terminal says words only.")] = True
    version: Annotated[str, Meta(description="Edition of TAP that 110 says.")] = "1.8"
    welcome: Annotated[str, Meta(description="Text that 114 says.")] = ""
    go_ahead: Annotated[
        Literal["said", "alone", "wrong", "missing"], Meta(description="Alone: without the ACK before it.")
    ] = "said"
    lines: Annotated[int, Meta(description="Lines of text before each answer.")] = 0
    nak_first: Annotated[int, Meta(description="Blocks that arrive damaged, from the first.")] = 0
    block_limit: Annotated[int | None, Meta(description="Octets of a block's body; none beyond.")] = None
    beyond: Annotated[Literal["rs", "nak"], Meta(description="Answer to a block beyond the limit.")] = "rs"
    pages: Annotated[int | None, Meta(description="Pages that a call takes.")] = None
    full: Annotated[
        Literal["112", "113", "ack", "hang-up"],
        Meta(
            description="How that is told: by 112 or 113 to the next page, with the last ACK, by hanging up."
        ),
    ] = "112"
    drop_in_block: Annotated[
        int | None, Meta(description="Octets of a block after which the line drops.")
    ] = None
    refusals: Annotated[tuple[Refusal, ...], Meta(description="What is refused.")] = ()
    delay: Annotated[float, Meta(description="Seconds before a page is answered.")] = 0.0
    mute: Annotated[int, Meta(description="Pages taken without any answer, from the first.")] = 0
    lose_answer: Annotated[
        int | None,
        Meta(description="Octets of the answer to a page that still arrive; then the line drops."),
    ] = None
    lose_share: Annotated[float, Meta(description="Share of answers that are lost.")] = 1.0
    silent: Annotated[bool, Meta(description="Say yes and let nothing reach the pager.")] = False
    regret: Annotated[bool, Meta(description="RS at log-off: some page was not good after all.")] = False
    goodbye: Annotated[
        Literal["said", "hang-up", "silent"], Meta(description="Silent: nothing, and the line stays.")
    ] = "said"


class SimulatedTap:
    """One paging terminal, with as many lines as are called at once.

    *baud*: octets go at this speed in both directions; None: as fast as they can. *modem*: who connects
    finds a modem and has to dial, any number; else a direct line.
    """

    def __init__(
        self, env: Env, quirks: TapQuirks, truth: Truth, *, baud: int | None = None, modem: bool = False
    ) -> None:
        self.env = env
        self.truth = truth
        self.baud = baud
        self.called = 0  # calls in which the caller has said something
        self._quirks = quirks
        self._ends = [Word(one.result) for one in quirks.dialling for _ in range(one.calls or 0)]
        self._forever = next((Word(one.result) for one in quirks.dialling if one.calls is None), None)
        self.factory: Factory = (
            ModemFactory(self._exchange, env.clock, speed=baud or SPEED) if modem else _Direct(self)
        )

    async def listen(self, at: str) -> Port:
        """Open for business at ``host:port``, or ``pty:/path``."""
        return await self.env.net.listen(at, self.factory)

    def quirks(self) -> TapQuirks:
        """Those of the next call."""
        quirks = self._quirks
        return quirks if quirks.calls is None or self.called < quirks.calls else TapQuirks()

    def _exchange(self, number: str) -> Protocol | Heard:
        word = self._ends.pop(0) if self._ends else self._forever
        return Call(self) if word is None else Heard(word=word)


class _Direct(Factory):
    noisy = False

    def __init__(self, terminal: SimulatedTap) -> None:
        self._terminal = terminal

    def buildProtocol(self, addr: object) -> Protocol:
        return Call(self._terminal)


class Call(Protocol):
    """One call: the line between caller and terminal, with its faults, and the house that is asked."""

    transport: Any

    def __init__(self, house: SimulatedTap) -> None:
        self._house = house
        self._env = env = house.env
        self._quirks = quirks = house.quirks()
        self._losses = Losses(quirks.lose_answer, quirks.lose_share, env)
        self._in = Way(env.clock, house.baud, self._heard)
        self._out = Way(env.clock, house.baud, self._arrived)
        self._spoken = False
        self._over = False
        self._holding: Any = None
        # What came in
        self._blocks = 0
        self._octet: int | None = None  # of the block under way
        self._long = False  # the last block was beyond the limit
        # What went out
        self._prompted = False
        self._logged_on = False
        self._pages = 0  # that were answered yes
        self._kept: int | None = None  # octets of the answer due that arrive, before the line drops
        self._mute = False  # the answer due is not said
        self._full = False  # the line drops after the answer due
        self._leaving = False  # the goodbye is due
        factory = TapFactory(self, env.clock, rules=self._rules(), drained=self._drained)
        self._terminal: Any = factory.buildProtocol(None)

    def _rules(self) -> s.ServerRules:
        quirks, plain = self._quirks, s.ServerRules()
        password = None if quirks.password is None else m.Password(quirks.password)
        if quirks.logon == "refused":  # by one that nobody knows
            password = m.Password(f"{self._env.random.getrandbits(64):016X}")
        return s.ServerRules(
            unprompted=quirks.prompt == "unasked",
            version=quirks.version,
            codes=quirks.codes,
            welcome=quirks.welcome,
            password=password,
            block=quirks.block_limit or plain.block,
            mistakes=max(plain.mistakes, quirks.nak_first),
        )

    # The caller's side

    def connectionMade(self) -> None:
        self._terminal.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        if not self._spoken:
            self._spoken = True
            self._house.called += 1
        self._in.put(data)
        if self._in.waiting > MAX_WAITING:
            self._cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()
        self._terminal.connectionLost(reason)

    def _heard(self, data: bytes) -> None:
        """*data* has come over the line."""
        quirks, heard = self._quirks, bytearray()
        for octet in data:
            low = octet & 0x7F
            if low == codec.STX:
                self._blocks += 1
                self._octet = 0
                self._long = False
            elif self._octet is not None:
                if low in (codec.ETX, codec.ETB, codec.US):
                    self._octet = None
                else:
                    self._octet += 1
                    self._long = quirks.block_limit is not None and self._octet > quirks.block_limit
                    if self._octet == 1 and self._blocks <= quirks.nak_first:
                        octet ^= 1  # line noise: its checksum is wrong now
                    if self._octet == quirks.drop_in_block:
                        self._cut()
                        return
            heard.append(octet)
        self._terminal.dataReceived(bytes(heard))

    def _arrived(self, data: bytes) -> None:
        """*data* has gone over the line."""
        if not self._over:
            self.transport.write(_with_parity(data, self._quirks.parity))

    # The terminal's transport

    def write(self, data: bytes) -> None:
        """The terminal says *data*: one prompt, one answer, or one go-ahead."""
        quirks = self._quirks
        if data == codec.PROMPT:
            self._prompt()
        elif data == codec.GO_AHEAD:
            self._go_ahead()
        elif self._leaving and data.endswith(DROP) and quirks.goodbye != "said":
            if quirks.goodbye == "silent":
                self._holding = self._env.clock.callLater(HOLD, self._cut)
        elif not self._logged_on and data.endswith(ACK):
            self._logged_on = True
            if quirks.logon == "dropped":
                self._out.put(DROP)
                self._out.put(self._cut)
            elif quirks.go_ahead != "alone":
                self._answer(data)
        elif self._long and data.endswith(RS) and quirks.beyond == "nak":
            self._answer(NAK)
        else:
            self._answer(data)

    def loseConnection(self) -> None:
        """The terminal hangs up, after its last words."""
        if self._holding is None:
            self._out.put(self._cut)

    def abortConnection(self) -> None:
        """The terminal hangs up."""
        if self._holding is None:
            self._cut()

    def getPeer(self) -> Any:
        return self.transport.getPeer()

    def _prompt(self) -> None:
        quirks, first = self._quirks, not self._prompted
        self._prompted = True
        pause = quirks.slow_id if first else 0.0
        if first and quirks.banner:
            self._out.put((LINE * (quirks.banner // len(LINE) + 1))[: quirks.banner], pause)
            pause = 0.0
        match quirks.prompt:
            case "lines":
                self._out.put(b"\r\n ID=\r\n", pause)
            case "split":
                for piece in (b"I", b"D", b"="):
                    self._out.put(piece, pause if piece == b"I" else APART)
            case "repeated":
                for again in range(3):
                    self._out.put(codec.PROMPT, APART if again else pause)
            case "garbled" if first:
                self._out.put(b"I\x7fu", pause)
            case _:
                self._out.put(codec.PROMPT, pause)

    def _go_ahead(self) -> None:
        match self._quirks.go_ahead:
            case "said" | "alone":
                self._out.put(codec.GO_AHEAD)
            case "wrong":
                self._out.put(b"\x1b[q\r")
            case "missing":
                pass

    def _answer(self, data: bytes) -> None:
        """*data* with the lines before it, unless the answer is lost."""
        if not data.endswith((ACK, NAK, RS, DROP)):  # 111: the answer itself is still to come
            self._out.put(data)
            return
        said = b"".join(b"line %d of nothing in particular\r" % n for n in range(self._quirks.lines)) + data
        mute, kept, full = self._mute, self._kept, self._full
        self._mute, self._kept, self._full = False, None, False
        if not mute:
            self._out.put(said if kept is None else said[:kept])
        if full or kept is not None:
            self._out.put(self._cut)

    def _drained(self, octets: int) -> Deferred[None]:
        left: Deferred[None] = Deferred()
        self._out.put(lambda: left.callback(None))
        return left

    def _cut(self) -> None:
        """The carrier is gone."""
        if not self._over:
            self._end()
            self.transport.loseConnection()

    def _end(self) -> None:
        self._over = True
        self._in.stop()
        self._out.stop()
        if self._holding is not None and self._holding.active():
            self._holding.cancel()

    # protocols.tap.server.Application

    async def page(self, peer: str, page: m.Received) -> Answer:
        quirks = self._quirks
        if quirks.pages is not None and self._pages >= quirks.pages:
            return answer_of(113 if quirks.full == "113" else 112)
        for refusal in quirks.refusals:
            if refusal.pager in (None, page.pager) and self._env.random.random() < refusal.share:
                return answer_of(refusal.code)
        if quirks.delay:
            await self._env.sleep(quirks.delay)
        self._pages += 1
        self._kept = self._losses.kept()
        self._mute = self._pages <= quirks.mute
        if not quirks.silent:
            heard = self._kept is None and not self._mute
            self._house.truth.reached(self._env.now(), page.pager, page.text, answered=heard)
        if self._pages != quirks.pages or quirks.full not in ("ack", "hang-up"):
            return answer_of(211)
        self._full = quirks.full == "hang-up"
        last = () if self._full else (Message(112, (m.CODES[112].meaning,)),)
        return Answer(Control.ACK, (*answer_of(211).messages, *last))

    async def log_off(self, peer: str, pages: int) -> Answer | None:
        self._leaving = True
        return answer_of(511, control=Control.RS) if self._quirks.regret else None


ACK, NAK, RS, DROP = (codec.encode_answer(Answer(one)) for one in Control)
LINE = b"* simulated paging terminal, in no hurry whatsoever *\r\n"


class Way:
    """One direction of a line of *baud*: what is put arrives in order, no faster than the line is.

    None: at once. A call that is put is made once all before it has arrived.
    """

    def __init__(self, clock: Clock, baud: int | None, arrive: Callable[[bytes], object]) -> None:
        self._clock = clock
        self._rate = None if baud is None else baud / BITS
        self._arrive = arrive
        self._queue: deque[tuple[bytes | Callable[[], object], float]] = deque()
        self.waiting = 0  # octets that have not arrived yet
        self._free = 0.0  # when what is under way has arrived
        self._due: Any = None
        self._busy = False

    def put(self, what: bytes | Callable[[], object], pause: float = 0.0) -> None:
        """*what*, after a *pause* of so many seconds."""
        if not self._queue and self._due is None and not self._busy:
            self._free = max(self._free, self._clock.seconds())
        self._queue.append((what, pause))
        self.waiting += len(what) if isinstance(what, bytes) else 0
        self._go()

    def stop(self) -> None:
        """Nothing more arrives."""
        self._queue.clear()
        self.waiting = 0
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _go(self) -> None:
        if self._busy or self._due is not None:
            return
        self._busy = True
        while self._queue:
            what, wait = self._queue.popleft()
            if self._rate is not None and isinstance(what, bytes):
                octets = max(1, round(self._rate * STEP))
                if rest := what[octets:]:
                    self._queue.appendleft((rest, 0.0))
                what = what[:octets]
                wait += len(what) / self._rate
            self._free += wait  # from when the last one was due: a late timer does not slow the line down
            if (left := self._free - self._clock.seconds()) > 0:
                self._due = self._clock.callLater(left, self._came, what)
                break
            self._hand_on(what)
        self._busy = False

    def _came(self, what: bytes | Callable[[], object]) -> None:
        self._due = None
        self._busy = True
        self._hand_on(what)
        self._busy = False
        self._go()

    def _hand_on(self, what: bytes | Callable[[], object]) -> None:
        if isinstance(what, bytes):
            self.waiting -= len(what)
            self._arrive(what)
        else:
            what()


def _with_parity(data: bytes, parity: str) -> bytes:
    match parity:
        case "even":
            return bytes(octet | (octet.bit_count() & 1) << 7 for octet in data)
        case "odd":
            return bytes(octet | (~octet.bit_count() & 1) << 7 for octet in data)
        case _:
            return data
