"""What may be said now to a device server. No sockets, no clock.

The options are agreed on, then the port is set; only what the server confirms counts. From then on bytes
pass both ways.
"""

from enum import Enum

from protocols.errors import LocalProtocolError
from protocols.events import Write
from protocols.rfc2217 import codec
from protocols.rfc2217.codec import BINARY, COM_PORT, SUPPRESS_GO_AHEAD, About, Command, Data, Option, Verb
from protocols.rfc2217.messages import Failed, Line, Ready, Received, Signals

_WANTED = {COM_PORT: "RFC 2217", BINARY: "binary transmission"}


class Phase(Enum):
    """Where a conversation with a device server is."""

    AGREEING = "agreeing on options"
    SETTING = "setting the port"
    READY = "ready"
    FAILED = "failed"


Event = Write | Ready | Failed | Received | Signals


class ClientSession:
    """One port of a device server, which is to be set to *line*."""

    def __init__(self, line: Line) -> None:
        self.phase = Phase.AGREEING
        self._line = line
        self._decoder = codec.Decoder()
        self._ours = {COM_PORT, BINARY, SUPPRESS_GO_AHEAD}  # what we offered to do
        self._theirs = {BINARY, SUPPRESS_GO_AHEAD}  # what we asked them to do
        self._needed = {(Verb.DO, COM_PORT), (Verb.DO, BINARY), (Verb.WILL, BINARY)}
        self._settings = {
            Command.SET_BAUDRATE: (line.baud, 4),
            Command.SET_DATASIZE: (line.bits, 1),
            Command.SET_PARITY: (int(line.parity), 1),
            Command.SET_STOPSIZE: (1, 1),
            Command.SET_CONTROL: (codec.NO_FLOW_CONTROL, 1),
        }
        self._unconfirmed = set(self._settings)

    def begin(self) -> list[Event]:
        """The connection is there."""
        said = b"".join(codec.encode_option(Verb.WILL, option) for option in sorted(self._ours))
        said += b"".join(codec.encode_option(Verb.DO, option) for option in sorted(self._theirs))
        return [Write(data=said)]

    def say(self, data: bytes) -> list[Event]:
        """Bytes for the port. `LocalProtocolError` unless it is ready."""
        self._must_be_ready()
        return [Write(data=codec.encode_data(data))]

    def set_dtr(self, up: bool) -> list[Event]:
        """DTR up or down. `LocalProtocolError` unless the port is ready."""
        self._must_be_ready()
        value = codec.DTR_ON if up else codec.DTR_OFF
        return [Write(data=codec.encode_about(Command.SET_CONTROL, value))]

    def receive(self, data: bytes) -> list[Event]:
        """Take in *data* from the server."""
        events: list[Event] = []
        for heard in self._decoder.receive(data):
            if self.phase is Phase.FAILED:
                break
            match heard:
                case Data(data=plain):
                    if self.phase is Phase.READY:  # before that it came at another speed
                        events.append(Received(data=plain))
                case Option():
                    events += self._option(heard)
                case About():
                    events += self._about(heard)
        return events

    def _must_be_ready(self) -> None:
        if self.phase is not Phase.READY:
            raise LocalProtocolError(f"bytes for the port while {self.phase.value}")

    def _fail(self, why: str) -> list[Event]:
        self.phase = Phase.FAILED
        return [Failed(why=why)]

    def _option(self, heard: Option) -> list[Event]:
        verb, option = heard.verb, heard.option
        match verb:
            case Verb.DONT | Verb.WONT if option in _WANTED and self.phase is not Phase.READY:
                return self._fail(f"the device server refuses {_WANTED[option]}")
            case Verb.DO if option not in self._ours:
                return [Write(data=codec.encode_option(Verb.WONT, option))]
            case Verb.WILL if option == COM_PORT:
                return []  # some say so of themselves, too
            case Verb.WILL if option not in self._theirs:
                return [Write(data=codec.encode_option(Verb.DONT, option))]
        self._needed.discard((verb, option))
        if self.phase is not Phase.AGREEING or self._needed:
            return []
        self.phase = Phase.SETTING
        return [
            Write(
                data=b"".join(
                    codec.encode_about(command, value, octets)
                    for command, (value, octets) in self._settings.items()
                )
            )
        ]

    def _about(self, heard: About) -> list[Event]:
        answered = heard.command - codec.ANSWER
        if answered == Command.NOTIFY_MODEMSTATE and heard.value:
            state = heard.value[0]  # other wires change, too, while there is no carrier yet
            changed = state & codec.CARRIER_CHANGED
            return [Signals(carrier=bool(state & codec.CARRIER))] if changed else []
        if self.phase is not Phase.SETTING or answered not in self._unconfirmed:
            return []
        command = Command(answered)
        value, octets = self._settings[command]
        if len(heard.value) != octets or int.from_bytes(heard.value) != value:
            what = command.name.removeprefix("SET_").lower()
            got = int.from_bytes(heard.value)
            if command is not Command.SET_CONTROL:  # a port without flow control may say so in its own way
                return self._fail(f"the device server sets {what} {got}, not {value} ({self._line})")
        self._unconfirmed.discard(command)
        if self._unconfirmed:
            return []
        self.phase = Phase.READY
        return [Ready()]
