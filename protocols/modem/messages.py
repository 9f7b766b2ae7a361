"""What is said to and by a Hayes modem, as values: commands, numbers to dial, results.

The types `Command`, `DialPart` and `PhoneNumber` check what they are built from, and a `DialString` is built
of such parts only: no raw text ever reaches a modem. docs/protocols/modem.md.
"""

import re
from enum import Enum
from typing import Self

from msgspec import Struct

from protocols.errors import InvalidValue as InvalidValue
from protocols.errors import LocalProtocolError as LocalProtocolError

MAX_DIALLED = 36  # old modems keep 40 characters of a command, ATDT is four of them
MAX_COMMAND = 80  # our limit for an init string; V.250 modems keep at least 80 (field manuals)


class _Checked(str):
    """Text of which every character is allowed; an error says which one is not, and where."""

    __slots__ = ()
    _what, _limit = "text", 0
    _allowed = re.compile("")

    def __new__(cls, value: str) -> Self:
        if len(value) > cls._limit:
            raise InvalidValue(cls._what, "is too long", cls._limit)
        at = found.end() if (found := cls._allowed.match(value)) else 0
        if at < len(value):
            raise InvalidValue(cls._what, f"has {value[at]!a} at position {at + 1}, which is not allowed")
        return super().__new__(cls, value)


class PhoneNumber(_Checked):
    """Digits, with a plus in front of an international number."""

    __slots__ = ()
    _what, _limit = "phone number", 24
    _allowed = re.compile(r"\+?[0-9]*", re.ASCII)


class DialPart(_Checked):
    """What is dialled before or behind a number: digits, ``*``, ``#``, ``,`` (pause), ``W`` (wait for a dial
    tone), ``T`` and ``P`` (tone, pulse from here on)."""

    __slots__ = ()
    _what, _limit = "dial prefix or suffix", 20
    _allowed = re.compile(r"[0-9*#,WTP]*", re.ASCII)


class Command(str):
    """One command line in capitals, ``AT`` and settings. It cannot dial (D), answer (A) or go on line (O)."""

    __slots__ = ()
    _form = re.compile(
        r"""AT(?:
            \+[A-Z]+(?:=[0-9A-Z,."]*)?;?  # extended, as +MS=V22B;
          | S[0-9]{1,3}=[0-9]{1,3}        # a register
          | [&\\%*#:~$-][A-Z][0-9]*       # a maker's own, as &D2
          | [BCE-NP-RT-Z][0-9]*           # basic ones
          | [ ]
        )*""",
        re.ASCII | re.VERBOSE,
    )

    def __new__(cls, value: str) -> Self:
        if len(value) > MAX_COMMAND:
            raise InvalidValue("modem command", "is too long", MAX_COMMAND)
        if not cls._form.fullmatch(value):
            raise InvalidValue("modem command", "is not AT and settings in capitals")
        return super().__new__(cls, value)


# What must not be dialled. Switches act on the first digits, so a number may not begin with one of these.
# 1 with 2 to 9 behind it is not among them: that is how long-distance numbers of North America begin.
EMERGENCY = frozenset(("000", "110", "111", "112", "113", "115", "117", "118", "119", "911", "988", "999"))


class DialRules(Struct, frozen=True, kw_only=True):
    """What may be dialled. *refused*: beginnings of numbers, emergency services by default; a site adds its
    premium ranges, or takes out what is an ordinary number where it is. *plus*: what ``+`` becomes, ``011``
    or ``00``; None refuses it. *least*, *most*: digits of the number alone."""

    refused: frozenset[str] = EMERGENCY
    least: int = 5
    most: int = 20
    plus: str | None = None

    def __post_init__(self) -> None:
        for digits in (*self.refused, self.plus or "0"):
            if not re.fullmatch("[0-9]{1,20}", digits, re.ASCII):
                raise InvalidValue("dial rules", f"have {digits!a}, which is not digits")


class DialString(Struct, frozen=True, kw_only=True):
    """What is dialled: *prefix*, *number*, *suffix*. Raises `InvalidValue` for what *rules* forbid."""

    number: PhoneNumber
    prefix: DialPart = DialPart("")
    suffix: DialPart = DialPart("")
    rules: DialRules = DialRules()

    def __post_init__(self) -> None:
        # Struct does not check its fields: whoever passes a plain str is caught here.
        if (type(self.prefix), type(self.number), type(self.suffix)) != (DialPart, PhoneNumber, DialPart):
            raise InvalidValue("dial string", "is not built of checked parts")
        rules = self.rules
        if self.number.startswith("+") and rules.plus is None:
            raise InvalidValue("phone number", "begins with +, and no rule says what that becomes")
        digits = len(self.number.lstrip("+"))
        if digits < rules.least:
            raise InvalidValue("phone number", f"has {digits} digits, at least {rules.least} are needed")
        if digits > rules.most:
            raise InvalidValue("phone number", f"has {digits} digits", rules.most)
        if len(self.text) > MAX_DIALLED:
            raise InvalidValue("dial string", "is too long", MAX_DIALLED)
        # The exchange may begin to listen at the start, after each pause, or after the prefix.
        pieces = re.split("[,W]", self.prefix)
        starts = [_digits("".join(pieces[at:])) + self._number for at in range(len(pieces))]
        for start in (self._number, *starts):
            for refused in sorted(rules.refused):
                if start.startswith(refused):
                    raise InvalidValue("phone number", f"begins with {refused}, which is never dialled")

    @property
    def _number(self) -> str:
        return (self.rules.plus or "") + self.number[1:] if self.number.startswith("+") else str(self.number)

    @property
    def text(self) -> str:
        """As the modem gets it."""
        return self.prefix + self._number + self.suffix


def _digits(text: str) -> str:
    return re.sub("[^0-9]", "", text)


# Results


class Word(Enum):
    """What a modem says, told apart."""

    OK = "OK"
    CONNECT = "CONNECT"
    RING = "RING"  # somebody calls us
    RINGING = "RINGING"  # it rings at the other end
    NO_CARRIER = "NO CARRIER"
    ERROR = "ERROR"
    NO_DIALTONE = "NO DIALTONE"
    BUSY = "BUSY"
    NO_ANSWER = "NO ANSWER"
    VOICE = "VOICE"  # a person
    DELAYED = "DELAYED"  # the modem itself will not dial this number yet
    BLACKLISTED = "BLACKLISTED"  # nor ever, until it is reset
    SILENCE = "silence"  # no result in time
    LOST = "lost"  # the modem itself is gone


class Heard(Struct, frozen=True, kw_only=True):
    """A result line of a modem. *speed*: bits per second of CONNECT, if it says."""

    word: Word
    speed: int | None = None
    text: str = ""


# What became of an order


class Ready(Struct, frozen=True, kw_only=True):
    """The modem is set up."""


class NotReady(Struct, frozen=True, kw_only=True):
    """The modem does not answer, or does not know a command of ours."""

    word: Word
    why: str


class Connected(Struct, frozen=True, kw_only=True):
    """The other end's modem is there; from now on bytes go there. *speed* as the modem says it."""

    speed: int | None = None
    text: str = "CONNECT"


class NotConnected(Struct, frozen=True, kw_only=True):
    """No call. *word*: BUSY, NO_DIALTONE, NO_ANSWER, NO_CARRIER, VOICE, DELAYED, BLACKLISTED, ERROR, RING,
    SILENCE or LOST; OK if nothing was dialled, and there is a dial tone."""

    word: Word
    why: str
