"""What is said to a device server about its serial port, as values (RFC 2217)."""

from enum import IntEnum

from msgspec import Struct

from protocols.errors import InvalidValue


class Parity(IntEnum):
    """RFC 2217 3, SET-PARITY."""

    NONE = 1
    ODD = 2
    EVEN = 3


class Line(Struct, frozen=True, kw_only=True):
    """How a serial port is set; one stop bit."""

    baud: int = 1200
    bits: int = 7
    parity: Parity = Parity.EVEN

    def __post_init__(self) -> None:
        if not 1 <= self.baud < 1 << 32:
            raise InvalidValue("baud", "is not a speed")
        if self.bits not in (7, 8):
            raise InvalidValue("data bits", "are 7 or 8")

    def __str__(self) -> str:
        return f"{self.baud} baud {self.bits}{self.parity.name[0]}1"


class Ready(Struct, frozen=True, kw_only=True):
    """The port is set as wanted: from now on bytes go there and come from there."""


class Failed(Struct, frozen=True, kw_only=True):
    """The port cannot be used, and *why*."""

    why: str


class Received(Struct, frozen=True, kw_only=True):
    """Bytes from the port."""

    data: bytes


class Signals(Struct, frozen=True, kw_only=True):
    """The carrier has come or gone (DCD, by NOTIFY-MODEMSTATE)."""

    carrier: bool
