"""Telnet with COM-PORT-OPTION, bytes to values and back (RFC 854, 856, 2217)."""

from collections.abc import Iterator
from enum import IntEnum

from msgspec import Struct

IAC = 255
BINARY, SUPPRESS_GO_AHEAD, COM_PORT = 0, 3, 44
MAX_WORDS = 64  # octets kept of a subnegotiation; the longest that means anything to us has five


class Verb(IntEnum):
    """What is said about an option (RFC 854)."""

    WILL = 251
    WONT = 252
    DO = 253
    DONT = 254


_SB, _SE = 250, 240


class Command(IntEnum):
    """What we say about the port; the server answers with 100 more (RFC 2217 3)."""

    SET_BAUDRATE = 1
    SET_DATASIZE = 2
    SET_PARITY = 3
    SET_STOPSIZE = 4
    SET_CONTROL = 5
    NOTIFY_MODEMSTATE = 7


ANSWER = 100
NO_FLOW_CONTROL, DTR_ON, DTR_OFF = 1, 8, 9  # of SET_CONTROL
CARRIER, CARRIER_CHANGED = 128, 8  # of NOTIFY_MODEMSTATE


class Data(Struct, frozen=True):
    """Bytes that are no command."""

    data: bytes


class Option(Struct, frozen=True):
    """The other side will, or wants us to."""

    verb: Verb
    option: int


class About(Struct, frozen=True):
    """A subnegotiation of COM-PORT-OPTION: a command, or the answer to one, and its value."""

    command: int
    value: bytes


Heard = Data | Option | About


def encode_data(data: bytes) -> bytes:
    """*data* with IAC doubled."""
    return data.replace(b"\xff", b"\xff\xff")


def encode_option(verb: Verb, option: int) -> bytes:
    return bytes((IAC, verb, option))


def encode_about(command: int, value: int, octets: int = 1) -> bytes:
    """*command* with *value*, which has so many *octets*."""
    said = bytes((COM_PORT, command)) + value.to_bytes(octets)
    return bytes((IAC, _SB)) + said[:2] + encode_data(said[2:]) + bytes((IAC, _SE))


class Decoder:
    """What comes from a Telnet peer, out of a stream. Keeps at most `MAX_WORDS` octets."""

    def __init__(self) -> None:
        self._iac = False
        self._verb: Verb | None = None
        self._words: bytearray | None = None  # of a subnegotiation

    def receive(self, data: bytes) -> Iterator[Heard]:
        """Take in *data*; what it says, in order."""
        plain = bytearray()
        for octet in data:
            heard: Heard | None = None
            if self._verb is not None:
                heard, self._verb = Option(self._verb, octet), None
            elif self._iac:
                self._iac = False
                if octet == IAC:
                    self._keep(octet, plain)
                else:
                    heard = self._command(octet)
            elif octet == IAC:
                self._iac = True
            else:
                self._keep(octet, plain)
            if heard is not None:
                if plain:
                    yield Data(bytes(plain))
                    plain.clear()
                yield heard
        if plain:
            yield Data(bytes(plain))

    def _keep(self, octet: int, plain: bytearray) -> None:
        if self._words is None:
            plain.append(octet)
        elif len(self._words) < MAX_WORDS:
            self._words.append(octet)

    def _command(self, octet: int) -> About | None:
        """An octet behind IAC that is no data; what it completes."""
        words = self._words
        if octet == _SB:
            self._words = bytearray()
        elif octet == _SE and words is not None:
            self._words = None
            if len(words) >= 2 and words[0] == COM_PORT:
                return About(words[1], bytes(words[2:]))
        elif Verb.WILL <= octet <= Verb.DONT:
            self._verb = Verb(octet)
        return None
