"""What is said in TAP, as values: logons, pages, answers, and what became of a page.

TAP 1.8 (February 1997) and older, also called IXO and PET; docs/protocols/tap.md. The types `TapText`,
`PagerId`, `Service` and `Password` check what they are built from, so a value of them cannot carry a control
character to the wire. `codec.fields_of` makes texts.
"""

import re
from enum import Enum
from typing import Self

from msgspec import Struct

from protocols.errors import InvalidValue as InvalidValue
from protocols.errors import LocalProtocolError as LocalProtocolError

MAX_TEXT = 10_000  # octets of one field; our limit, some 40 blocks
MAX_PAGER = 32  # digits of a pager ID; our limit: 4, 7 and 10 are usual, WaveWare takes options behind
MAX_PASSWORD = 16  # the sheet of TAP says 6, systems differ


# What may go into a block or a logon


class TapText(str):
    """One field as it goes on the wire: printable ASCII and SUB pairs, 0 to `MAX_TEXT` octets."""

    __slots__ = ()
    _what, _form, _limit = "text", re.compile(r"(?:[\x20-\x7e]|\x1a[\x40-\x5f])*", re.ASCII), MAX_TEXT

    def __new__(cls, value: str) -> Self:
        if len(value) > cls._limit:
            raise InvalidValue(cls._what, "is too long", cls._limit)
        if not cls._form.fullmatch(value):
            raise InvalidValue(cls._what, "has characters that are not allowed" if value else "is missing")
        return super().__new__(cls, value)

    @property
    def transparent(self) -> bool:
        """It has SUB pairs, which only terminals since TAP 1.6 read."""
        return "\x1a" in self


class PagerId(TapText):
    """A pager ID to be paged: digits."""

    __slots__ = ()
    _what, _form, _limit = "pager ID", re.compile(r"[0-9]+", re.ASCII), MAX_PAGER

    def padded(self, digits: int) -> "PagerId":
        """With zeros in front, up to *digits*."""
        return PagerId(self.zfill(digits))


class Service(TapText):
    """Service and terminal category: ``PG1`` is paging with two fields, ``PG3`` with three."""

    __slots__ = ()
    _what, _form, _limit = "service", re.compile(r"[A-Z0-9]{3}", re.ASCII), 3


class Password(TapText):
    """What the logon says after the service: letters and digits; its repr does not show it."""

    __slots__ = ()
    _what, _form, _limit = "password", re.compile(r"[A-Za-z0-9]+", re.ASCII), MAX_PASSWORD

    def __repr__(self) -> str:
        return "Password(…)"


PAGING = Service("PG1")


# Logon


class Automatic(Struct, frozen=True, kw_only=True):
    """``ESC SST password CR``."""

    service: Service = PAGING
    password: Password | None = None


class Manual(Struct, frozen=True, kw_only=True):
    """A person at the keyboard: a line that does not begin with ESC, ``M CR`` as a rule."""

    line: str


class Malformed(Struct, frozen=True, kw_only=True):
    """A logon that begins with ESC and is none; heard by terminals, never sent."""

    why: str


Logon = Automatic | Manual | Malformed


# A page


class Page(Struct, frozen=True, kw_only=True):
    """A page to send: the pager, then one field or more. An empty field is a tone-only page."""

    pager: PagerId
    fields: tuple[TapText, ...] = (TapText(""),)

    def __post_init__(self) -> None:
        if not self.fields:
            raise InvalidValue("fields", "are missing")

    @property
    def transparent(self) -> bool:
        """Some field has SUB pairs."""
        return any(field.transparent for field in self.fields)


class Received(Struct, frozen=True, kw_only=True):
    """A page a caller has sent. *text*: printable ASCII with LF and TAB inside, its fields joined by LF.

    *pager* is what the first field said, not yet an ID of anybody: 1 to `MAX_PAGER` printable characters
    without blanks.
    """

    pager: str
    text: str
    service: Service = PAGING
    fields: int = 2


# Answers


class Control(Enum):
    """What an answer tells the caller to do next."""

    ACK = "ACK"  # accepted
    NAK = "NAK"  # that again
    RS = "RS"  # not this one; the next
    DROP = "ESC EOT"  # hang up


class Kind(Enum):
    """What an answer means for the page or the logon."""

    DONE = "done"
    INFORMATION = "information"
    LIMIT = "limit"  # of this call: what is not accepted yet goes into another
    REPEAT = "repeat"  # the same once more, now
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    OURS = "ours"  # service or password: the caller's settings are at fault


class Code(Struct, frozen=True):
    """One response code: what it means, and what a terminal sends with it; None: it stands alone."""

    meaning: str
    kind: Kind
    control: Control | None


_A, _N, _R, _D = Control.ACK, Control.NAK, Control.RS, Control.DROP
CODES = {  # TAP 1.8, "response codes"
    110: Code("version of TAP", Kind.INFORMATION, _A),
    111: Code("still working on it", Kind.INFORMATION, None),
    112: Code("page limit of this call reached", Kind.LIMIT, _D),
    113: Code("time limit of this call reached", Kind.LIMIT, _D),
    114: Code("welcome", Kind.INFORMATION, _A),
    115: Code("goodbye", Kind.INFORMATION, _D),
    211: Code("page accepted", Kind.DONE, _A),
    212: Code("too long, cut and sent", Kind.DONE, _A),
    213: Code("accepted, held for later delivery", Kind.DONE, _A),
    214: Code("cut to so many characters and sent", Kind.DONE, _A),
    501: Code("the terminal timed out", Kind.TEMPORARY, _D),
    502: Code("unexpected characters", Kind.REPEAT, _N),
    503: Code("too many checksum errors", Kind.TEMPORARY, _D),
    504: Code("this pager takes no message", Kind.PERMANENT, _R),
    505: Code("letters to a numeric pager", Kind.PERMANENT, _R),
    506: Code("too many invalid pages in this call", Kind.TEMPORARY, _D),
    507: Code("malformed logon", Kind.OURS, _N),
    508: Code("service not supported", Kind.OURS, _D),
    509: Code("wrong password", Kind.OURS, _N),
    510: Code("pager ID has wrong characters or length", Kind.PERMANENT, _R),
    511: Code("no such subscriber", Kind.PERMANENT, _R),
    512: Code("cannot deliver to this ID now", Kind.TEMPORARY, _R),
    513: Code("too long, rejected", Kind.PERMANENT, _R),
    514: Code("checksum error", Kind.REPEAT, _N),
    515: Code("format error", Kind.PERMANENT, _R),
    516: Code("message quota used up", Kind.TEMPORARY, _R),
    517: Code("more than so many characters, rejected", Kind.PERMANENT, _R),
}


class Message(Struct, frozen=True):
    """What a terminal says in words: one code, or None of an old terminal, and its lines."""

    code: int | None
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(self.lines)


class Answer(Struct, frozen=True):
    """A terminal's answer: the control character says what happens next, *messages* why."""

    control: Control
    messages: tuple[Message, ...] = ()

    @property
    def code(self) -> int | None:
        """The code that decides: a limit of the call, else the last that is no information, else the last."""
        codes = [one.code for one in self.messages if one.code is not None]
        for wanted in (lambda code: code in (112, 113), lambda code: code >= 200):
            if found := [code for code in codes if wanted(code)]:
                return found[-1]
        return codes[-1] if codes else None

    @property
    def text(self) -> str:
        """All that was said, without codes."""
        return " / ".join(one.text for one in self.messages if one.text)

    @property
    def limit(self) -> int | None:
        """Characters that the pager takes, of 214 and 517."""
        for one in self.messages:
            if one.code in (214, 517) and (found := _NUMBER.match(one.text)):
                return int(found[0])
        return None

    @property
    def limited(self) -> bool:
        """112 or 113: no more pages in this call."""
        return any(one.code in (112, 113) for one in self.messages)

    @property
    def cut(self) -> bool:
        """The page was accepted, but less than we sent of it."""
        return self.control is Control.ACK and any(one.code in (212, 214) for one in self.messages)

    @property
    def kind(self) -> Kind:
        """By code where it is known; by its first digit and the control; else by the control alone."""
        code = self.code
        if code in CODES and CODES[code].kind is not Kind.INFORMATION:
            return CODES[code].kind
        if code is not None and code // 100 == 2:
            return Kind.DONE
        match self.control:
            case Control.ACK:
                return Kind.PERMANENT if code is not None and code // 100 == 5 else Kind.DONE
            case Control.NAK:
                return Kind.REPEAT
            case Control.DROP:
                return Kind.TEMPORARY
            case Control.RS:
                # No code, as a rule an unknown pager. Zetron 2000 says so in words.
                busy = any(word in self.text.lower() for word in _BUSY)
                return Kind.TEMPORARY if busy else Kind.PERMANENT

    def __str__(self) -> str:
        said = " ".join(str(part) for part in (self.code, self.text) if part)
        return f"{self.control.value} ({said})" if said else self.control.value


_NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)
_BUSY = ("system busy", "system error", "database error")


def answer_of(code: int, text: str = "", *, control: Control | None = None) -> Answer:
    """A terminal's answer of *code*, with the control that comes with it unless said otherwise."""
    known = CODES.get(code)
    control = control or (known.control if known else None)
    if control is None:
        raise InvalidValue("response code", "has no control character of its own")
    return Answer(control, (Message(code, (text or (known.meaning if known else ""),)),))


# What became of a page


class Taken(Struct, frozen=True, kw_only=True):
    """ACK to the last block: the terminal took responsibility. *answer* may say that it cut the page."""

    answer: Answer


class Refused(Struct, frozen=True, kw_only=True):
    """The terminal said no, and the same will be no again; *answer* says why."""

    answer: Answer


class Later(Struct, frozen=True, kw_only=True):
    """The terminal said: not now; or did not understand the block, however often it was sent."""

    answer: Answer


class NotSent(Struct, frozen=True, kw_only=True):
    """No whole page was sent: nobody was paged. *limit*: the call takes no more pages, another one does."""

    why: str
    limit: bool = False


class InDoubt(Struct, frozen=True, kw_only=True):
    """The page was sent whole, and what came back, if anything, is no answer to it."""

    why: str


Result = Taken | Refused | Later | NotSent | InDoubt


class Farewell(Struct, frozen=True, kw_only=True):
    """How a call ended. *taken*: pages that were accepted in it.

    *refusal*: an RS at log-off, which takes some accepted page back and does not say which. With one page
    taken it is that one.
    """

    taken: int = 0
    refusal: Answer | None = None
    why: str = ""
