"""What may be said now, to a modem and as a modem. No sockets, no clock.

`ModemSession` sets a modem up, dials, passes bytes, and hangs up. `AnsweringModem` is the modem: for tests
and simulated carriers. Time comes in by `expired` and goes out as `Wait`. The table of states is drawn in
docs/protocols/modem.md.
"""

import re
from enum import Enum

from msgspec import Struct

from protocols.events import Over, Say, Wait, Write
from protocols.modem import codec
from protocols.modem.messages import (
    Command,
    Connected,
    DialString,
    Heard,
    LocalProtocolError,
    NotConnected,
    NotReady,
    Ready,
    Word,
)


class Phase(Enum):
    """Where a modem is, for us."""

    PLUGGED = "waiting for the port"
    LOW = "DTR low, so that it hangs up"
    HIGH = "DTR high again"
    SETTING_UP = "setting up"
    SETTLING = "letting it settle after ATZ"
    COMMAND = "taking commands"
    DIALLING = "dialling"
    ABORTING = "hanging up a call that is none"
    ONLINE = "on line"
    GUARD = "silent before +++"
    ESCAPING = "+++ said"
    HANGING_UP = "hanging up"
    CLOSED = "closed"


class Move(Enum):
    """What takes a modem on."""

    BEGIN = "the port is there"
    UP = "DTR up"
    SET_UP = "first command"
    SETTLE = "OK to ATZ"
    READY = "OK to the last one"
    DIAL = "ATD"
    FAILED = "a result that is no CONNECT"
    ABORT = "VOICE, or no result"
    CONNECT = "CONNECT"
    HUSH = "hang up without DTR"
    ESCAPE = "silence"
    HANG_UP = "DTR low, or ATH"
    CLOSE = "done, lost"


NEXT: dict[tuple[Phase, Move], Phase] = {
    (Phase.PLUGGED, Move.BEGIN): Phase.LOW,
    (Phase.PLUGGED, Move.SET_UP): Phase.SETTING_UP,  # no DTR there
    (Phase.LOW, Move.UP): Phase.HIGH,
    (Phase.HIGH, Move.SET_UP): Phase.SETTING_UP,
    (Phase.SETTING_UP, Move.SETTLE): Phase.SETTLING,
    (Phase.SETTLING, Move.SET_UP): Phase.SETTING_UP,
    (Phase.SETTING_UP, Move.READY): Phase.COMMAND,
    (Phase.COMMAND, Move.DIAL): Phase.DIALLING,
    (Phase.DIALLING, Move.FAILED): Phase.COMMAND,
    (Phase.DIALLING, Move.ABORT): Phase.ABORTING,
    (Phase.ABORTING, Move.FAILED): Phase.COMMAND,
    (Phase.DIALLING, Move.CONNECT): Phase.ONLINE,
    (Phase.DIALLING, Move.HANG_UP): Phase.HANGING_UP,
    (Phase.ABORTING, Move.HANG_UP): Phase.HANGING_UP,
    (Phase.ONLINE, Move.HANG_UP): Phase.HANGING_UP,  # DTR low
    (Phase.ONLINE, Move.HUSH): Phase.GUARD,
    (Phase.GUARD, Move.ESCAPE): Phase.ESCAPING,
    (Phase.ESCAPING, Move.HANG_UP): Phase.HANGING_UP,  # ATH0
    **{(phase, Move.CLOSE): Phase.CLOSED for phase in Phase},
}

RESET = Command("ATZ")
NO_ESCAPE = Command("ATS2=255")


class Manner(Struct, frozen=True, kw_only=True):
    """How this modem wants to be spoken to. *init*: after ATZ, one line each.

    *dtr*: the port has DTR, so that we hang up by it and can switch the escape off (S2=255): then no text can
    hang up. Without DTR we hang up by ``+++`` and ATH0.
    """

    init: tuple[Command, ...] = (Command("ATE0V1Q0X4&C1&D2S0=0"),)
    pulse: bool = False
    dtr: bool = True
    tries: int = 2  # of ATZ; the first after power-up often gets lost


class Timing(Struct, frozen=True, kw_only=True):
    """Seconds, each counted from when all that was written has left the port."""

    low: float = 0.6  # DTR; &D2 needs 0.5 at most (S25)
    high: float = 1.0  # until it listens again
    command: float = 5.0
    settle: float = 2.0  # real modems lose a command right after ATZ
    dial: float = 75.0  # dial tone, digits, ringing, training
    guard: float = 1.1  # before and behind +++; S12 is one second


class LineReady(Struct, frozen=True, kw_only=True):
    """Set DTR: *up*, or down, which makes the modem hang up."""

    up: bool


class Received(Struct, frozen=True, kw_only=True):
    """Bytes of the other end."""

    data: bytes


class Gone(Struct, frozen=True, kw_only=True):
    """The carrier is lost: nothing that is written reaches the other end any more."""

    why: str


ModemEvent = Write | Wait | LineReady | Ready | NotReady | Connected | NotConnected | Received | Gone | Over


class ModemSession:
    """One modem, from the opening of its port to its closing; any number of tries to dial, one call."""

    def __init__(self, *, manner: Manner | None = None, timing: Timing | None = None) -> None:
        self.phase = Phase.PLUGGED
        self._manner = manner or Manner()
        self._timing = timing or Timing()
        self._decoder = codec.ResultDecoder()
        escape = (NO_ESCAPE,) if self._manner.dtr else ()
        self._commands = [RESET, *self._manner.init, *escape]
        self._tries = 0  # of the command at hand
        self._result: NotConnected | None = None  # of a call that is being hung up
        self._tail = b""  # the end of what the other end said, to find NO CARRIER
        self._listening = False  # for a dial tone only

    # What we say

    def begin(self) -> list[ModemEvent]:
        """The port is there."""
        if not self._manner.dtr:
            return self._set_up()
        self._move(Move.BEGIN)
        return [LineReady(up=False), Wait(seconds=self._timing.low)]

    def dial(self, number: DialString) -> list[ModemEvent]:
        """Call *number*. `LocalProtocolError` unless the modem takes commands."""
        self._move(Move.DIAL)
        self._decoder.forget()
        self._listening = False
        return [
            Write(data=codec.encode_dial(number, pulse=self._manner.pulse)),
            Wait(seconds=self._timing.dial),
        ]

    def listen(self) -> list[ModemEvent]:
        """Is there a dial tone? `NotConnected` tells: OK if there is, and the line is hung up again.
        `LocalProtocolError` unless the modem takes commands."""
        self._move(Move.DIAL)
        self._decoder.forget()
        self._listening = True
        return [Write(data=codec.OFF_HOOK), Wait(seconds=self._timing.dial)]

    def say(self, data: bytes) -> list[ModemEvent]:
        """Bytes for the other end; dropped if there is none: the modem would take them for commands."""
        return [Write(data=data)] if self.phase is Phase.ONLINE else []

    def hang_up(self) -> list[ModemEvent]:
        """End the call, if there is one, and be done with the modem; `Over` will follow."""
        match self.phase:
            case Phase.ONLINE if self._manner.dtr:
                self._move(Move.HANG_UP)
                return [LineReady(up=False), Wait(seconds=self._timing.low)]
            case Phase.ONLINE:
                self._move(Move.HUSH)
                return [Wait(seconds=self._timing.guard)]
            case Phase.DIALLING | Phase.ABORTING:
                self._move(Move.HANG_UP)
                # Any octet ends dialling, then the modem listens again.
                return [Write(data=b"\r" + codec.HANG_UP), Wait(seconds=self._timing.command)]
            case Phase.GUARD | Phase.ESCAPING | Phase.HANGING_UP | Phase.CLOSED:
                return []
            case _:
                return self.lose("closed by us")

    def commit(self) -> list[ModemEvent]:
        """Modems commit nothing."""
        return []

    def _move(self, move: Move) -> None:
        try:
            self.phase = NEXT[self.phase, move]
        except KeyError:
            raise LocalProtocolError(f"{move.value} while {self.phase.value}") from None

    def _set_up(self) -> list[ModemEvent]:
        self._move(Move.SET_UP)
        return self._command()

    def _command(self) -> list[ModemEvent]:
        self._tries += 1
        self._decoder.forget()
        return [
            Write(data=codec.encode_command(self._commands[0])),
            Wait(seconds=self._timing.command),
        ]

    # What we hear

    def receive(self, data: bytes) -> list[ModemEvent]:
        """Take in *data* from the port."""
        if self.phase is Phase.ONLINE:
            return self._online(data)
        if self.phase is Phase.CLOSED:
            return []
        events: list[ModemEvent] = []
        self._decoder.feed(data)
        while heard := self._decoder.next_one():
            events += self._heard(heard)
            if events and isinstance(events[-1], Connected):
                rest = self._decoder.rest()
                return [*events, *(self._online(rest) if rest else ())]
        return events

    def expired(self) -> list[ModemEvent]:
        """What we waited for has not come."""
        match self.phase:
            case Phase.LOW:
                self._move(Move.UP)
                return [LineReady(up=True), Wait(seconds=self._timing.high)]
            case Phase.HIGH | Phase.SETTLING:
                return self._set_up()
            case Phase.SETTING_UP if self._commands[0] == RESET and self._tries < self._manner.tries:
                return self._command()
            case Phase.SETTING_UP:
                return self._not_ready(Word.SILENCE, f"the modem does not answer {self._commands[0]}")
            case Phase.DIALLING:
                why = f"no result within {self._timing.dial:g} s"
                return self._abort(NotConnected(word=Word.SILENCE, why=why))
            case Phase.ABORTING:
                return self._aborted()
            case Phase.GUARD:
                self._move(Move.ESCAPE)
                self._decoder.forget()
                return [Write(data=codec.ESCAPE), Wait(seconds=2 * self._timing.guard)]
            case Phase.ESCAPING:
                return self._hook()
            case Phase.HANGING_UP:
                return [self._over("hung up")]
            case _:
                return []

    def carrier_lost(self) -> list[ModemEvent]:
        """DCD says that the other end is gone."""
        if self.phase is not Phase.ONLINE:
            return []
        why = "carrier lost"
        return [Gone(why=why), self._over(why)]

    def lose(self, why: str) -> list[ModemEvent]:
        """The port is gone, or a time limit of the caller's own has passed."""
        events: list[ModemEvent] = []
        match self.phase:
            case Phase.CLOSED:
                return []
            case Phase.PLUGGED | Phase.LOW | Phase.HIGH | Phase.SETTING_UP | Phase.SETTLING:
                events = [NotReady(word=Word.LOST, why=why)]
            case Phase.DIALLING | Phase.ABORTING:
                events = [NotConnected(word=Word.LOST, why=why)]
            case Phase.ONLINE:
                events = [Gone(why=why)]
            case _:
                pass
        return [*events, self._over(why)]

    def _over(self, why: str) -> Over:
        self._move(Move.CLOSE)
        return Over(why=why)

    def _not_ready(self, word: Word, why: str) -> list[ModemEvent]:
        return [NotReady(word=word, why=why), self._over(why)]

    def _heard(self, heard: Heard) -> list[ModemEvent]:
        match self.phase:
            case Phase.SETTING_UP:
                return self._set(heard)
            case Phase.DIALLING:
                return self._dialled(heard)
            case Phase.ABORTING if heard.word is not Word.RINGING:
                return self._aborted()
            case Phase.ESCAPING if heard.word is Word.OK:
                return self._hook()
            case Phase.GUARD | Phase.ESCAPING | Phase.HANGING_UP if heard.word is Word.NO_CARRIER:
                return [self._over("hung up")]
            case Phase.HANGING_UP if heard.word is Word.OK and not self._manner.dtr:
                return [self._over("hung up")]
            case _:
                return []

    def _set(self, heard: Heard) -> list[ModemEvent]:
        """The result of the command at hand. S2 may be unknown to an old modem, which has no other escape."""
        command = self._commands[0]
        match heard.word:
            case Word.OK | Word.ERROR if heard.word is Word.OK or command == NO_ESCAPE:
                del self._commands[0]
                self._tries = 0
                if not self._commands:
                    self._move(Move.READY)
                    return [Ready()]
                if command == RESET:
                    self._move(Move.SETTLE)
                    return [Wait(seconds=self._timing.settle)]
                return self._command()
            case Word.ERROR:
                return self._not_ready(Word.ERROR, f"the modem does not know {command}")
            case _:  # NO CARRIER of the call before, RING
                return []

    def _dialled(self, heard: Heard) -> list[ModemEvent]:
        match heard.word:
            case Word.CONNECT:
                self._move(Move.CONNECT)
                self._tail = b""
                return [Connected(speed=heard.speed, text=heard.text)]
            case Word.OK if self._listening:
                self._listening = False
                return self._abort(NotConnected(word=Word.OK, why="there is a dial tone"))
            case Word.RINGING | Word.OK:
                return []
            case Word.VOICE:
                return self._abort(NotConnected(word=Word.VOICE, why=f"the modem says {heard.text}"))
            case _:
                self._move(Move.FAILED)
                return [NotConnected(word=heard.word, why=f"the modem says {heard.text}")]

    def _abort(self, result: NotConnected) -> list[ModemEvent]:
        self._result = result
        self._move(Move.ABORT)
        return [Write(data=b"\r" + codec.HANG_UP), Wait(seconds=self._timing.command)]

    def _aborted(self) -> list[ModemEvent]:
        result, self._result = self._result, None
        assert result
        self._move(Move.FAILED)
        return [result]

    def _hook(self) -> list[ModemEvent]:
        self._move(Move.HANG_UP)
        return [Write(data=codec.HANG_UP), Wait(seconds=self._timing.command)]

    def _online(self, data: bytes) -> list[ModemEvent]:
        events: list[ModemEvent] = [Received(data=data)]
        seen = self._tail + data
        if _NO_CARRIER.search(bytes(octet & 0x7F for octet in seen)):
            why = "the modem says NO CARRIER"
            return [*events, Gone(why=why), self._over(why)]
        self._tail = seen[-len(codec.NO_CARRIER) :]
        return events


_NO_CARRIER = re.compile(rb"(?:[\r\n]|\A)NO CARRIER[\r\n]")


# The modem's side


class Stage(Enum):
    """Where our modem is."""

    COMMAND = "taking commands"
    DIALLING = "dialling"
    ONLINE = "on line"
    PAUSED = "taking commands in the middle of a call"


class Dialled(Struct, frozen=True, kw_only=True):
    """*number* is to be called: answer with `AnsweringModem.result`."""

    number: str


class Ended(Struct, frozen=True, kw_only=True):
    """The call was hung up."""


AnsweringEvent = Say | Wait | Dialled | Received | Ended
_GUARD = 1.0  # S12


class AnsweringModem:
    """A modem that takes AT commands: for simulated carriers and tests. Knows E, V, D, H, Z, &F and ``+++``;
    says OK to all others."""

    def __init__(self) -> None:
        self.stage = Stage.COMMAND
        self._echo = True
        self._words = True
        self._line = bytearray()
        self._quiet = False  # a second of silence has passed
        self._held = b""  # +++ that may be an escape

    def begin(self) -> list[AnsweringEvent]:
        """Somebody has opened the port."""
        return []

    def receive(self, data: bytes) -> list[AnsweringEvent]:
        """Take in *data* from the port."""
        if self.stage is Stage.ONLINE:
            return self._online(data)
        events: list[AnsweringEvent] = []
        for octet in data:
            if self._echo and self.stage is not Stage.DIALLING:
                events.append(Say(data=bytes((octet,))))
            octet &= 0x7F  # a command may come with a parity bit, whichever it is
            if self.stage is Stage.DIALLING:  # any octet ends dialling
                events += self.result(Heard(word=Word.NO_CARRIER))
            elif octet == 13:
                line, self._line = bytes(self._line), bytearray()
                events += self._command(line.decode("latin-1").strip().upper())
            elif len(self._line) < codec.MAX_LINE:
                self._line.append(octet)
        return events

    def expired(self) -> list[AnsweringEvent]:
        """A second of silence."""
        self._quiet = True
        if self.stage is not Stage.ONLINE or not self._held:
            return []
        self._held = b""
        self.stage = Stage.PAUSED
        return [self._says(Heard(word=Word.OK))]

    def result(self, heard: Heard) -> list[AnsweringEvent]:
        """What became of the call; CONNECT puts us on line, anything else ends it, also in its middle."""
        was, self.stage = self.stage, Stage.ONLINE if heard.word is Word.CONNECT else Stage.COMMAND
        self._quiet, self._held = False, b""
        events: list[AnsweringEvent] = [self._says(heard)]
        return [*events, Ended()] if was in (Stage.ONLINE, Stage.PAUSED) else events

    def hang_up(self) -> list[AnsweringEvent]:
        """DTR has fallen."""
        if self.stage is Stage.COMMAND:
            return []
        return self.result(Heard(word=Word.NO_CARRIER))

    def lose(self, why: str) -> list[AnsweringEvent]:
        """The port is closed, and DTR fell with it."""
        return [event for event in self.hang_up() if not isinstance(event, Say)]

    def commit(self) -> list[AnsweringEvent]:
        """Modems commit nothing."""
        return []

    def _says(self, heard: Heard) -> Say:
        return Say(data=codec.encode_word(heard, words=self._words))

    def _online(self, data: bytes) -> list[AnsweringEvent]:
        quiet, self._quiet = self._quiet, False
        if data == codec.ESCAPE and quiet:
            self._held = data
            return [Wait(seconds=_GUARD)]
        data, self._held = self._held + data, b""
        return [Received(data=data), Wait(seconds=_GUARD)]

    def _command(self, line: str) -> list[AnsweringEvent]:
        if not line:
            return []
        if not line.startswith("AT"):
            return [self._says(Heard(word=Word.ERROR))]
        ended: list[AnsweringEvent] = []
        for one in re.findall(r"\+[^;]*;?|[&\\%*#].[0-9]*|D.*|S[0-9]+=[0-9]+|[A-Z][0-9]*", line[2:]):
            match one:
                case "E" | "E0" | "E1":
                    self._echo = one == "E1"
                case "V" | "V0" | "V1":
                    self._words = one == "V1"
                case "Z" | "&F":
                    self._echo = self._words = True
                case "H" | "H0" | "Z0":
                    if self.stage is Stage.PAUSED:
                        ended.append(Ended())
                    self.stage = Stage.COMMAND
                case "O" | "O0" if self.stage is Stage.PAUSED:
                    self.stage = Stage.ONLINE
                    return [self._says(Heard(word=Word.CONNECT))]
                case _ if re.fullmatch("D[TP]?;", one):  # a dial tone is there, and nothing is dialled
                    continue
                case _ if one.startswith("D"):
                    self.stage = Stage.DIALLING
                    return [Dialled(number=one[1:].lstrip("TP"))]
        return [*ended, self._says(Heard(word=Word.OK))]
