"""What a session has done to the transport under it. Answers and questions of its own come beside these."""

from msgspec import Struct


class Write(Struct, frozen=True, kw_only=True):
    """A client's: hand *data* to the transport; a reply is due."""

    data: bytes


class Say(Struct, frozen=True, kw_only=True):
    """A server's: hand *data* to the transport."""

    data: bytes


class Secure(Struct, frozen=True, kw_only=True):
    """Begin TLS on the transport, then tell the session by ``secured``. Nothing heard before is kept."""


class ReadyToSend(Struct, frozen=True, kw_only=True):
    """All is entered; ``commit`` of the session gives what sends it. Until then nothing was sent."""


class Over(Struct, frozen=True, kw_only=True):
    """Nothing more may be said: drop the connection."""

    why: str


class Foreign(Struct, frozen=True, kw_only=True):
    """The client speaks another protocol; a `Hangup` follows."""

    what: str


class Hangup(Struct, frozen=True, kw_only=True):
    """Close the connection once everything is written."""


class Wait(Struct, frozen=True, kw_only=True):
    """Tell the session by ``expired`` in *seconds*, counted from when all that was written has left the line.

    Whatever the session has done next ends the wait.
    """

    seconds: float
