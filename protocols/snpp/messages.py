"""What is said in SNPP, as values: commands, replies, a page to send, a page received.

RFC 1861 with RFC 1645 and RFC 1568. The types `SnppText`, `SnppWord`, `SnppSecret` and `PagerId` check what
they are built from, so a value of them cannot carry a line end or a control character to the wire.
"""

import re
from datetime import datetime
from enum import Enum
from typing import ClassVar, Self

from msgspec import Struct

from protocols.errors import InvalidValue as InvalidValue
from protocols.errors import LocalProtocolError as LocalProtocolError

MAX_TEXT = 1000  # octets of one text line we send; servers must take lines of at least 1000 (docs, "Limits")
MAX_WORD = 64  # our limit for ids, logins and passwords; RFC 1861 names none
MAX_LEVEL = 11  # RFC 1861 4.5.3: 0..7 defined, 8..11 the carrier's own
MAX_HOURS = 9999  # our limit for EXPTag; RFC 1861 4.6.3 names none
MAX_TAG = 32  # digits of a message tag or pass code; our limit
HOLD_YEARS = range(1990, 2090)  # what two digits can say: 90..99 are 19xx (HylaFAX), the rest 20xx


# What may go into a command


class SnppText(str):
    """One line of printable ASCII, 0 to `MAX_TEXT` characters. `codec.text_of` makes one of anything."""

    __slots__ = ()
    _what, _form, _limit = "text", re.compile(r"[\x20-\x7e]*", re.ASCII), MAX_TEXT

    def __new__(cls, value: str) -> Self:
        if len(value) > cls._limit:
            raise InvalidValue(cls._what, "is too long", cls._limit)
        if not cls._form.fullmatch(value):
            raise InvalidValue(cls._what, "has characters that are not allowed" if value else "is missing")
        return super().__new__(cls, value)


class SnppWord(SnppText):
    """One word of printable ASCII, 1 to `MAX_WORD` characters, no blanks."""

    __slots__ = ()
    _what, _form, _limit = "word", re.compile(r"[\x21-\x7e]+", re.ASCII), MAX_WORD


class SnppSecret(SnppWord):
    """A password or PIN: a word whose repr does not show it."""

    __slots__ = ()
    _what = "password"

    def __repr__(self) -> str:
        return "SnppSecret(…)"


class PagerId(SnppWord):
    """A pager ID or alias: letters, digits and ``+ @ . _ -``, beginning with a letter, a digit or plus."""

    __slots__ = ()
    _what, _form = "pager ID", re.compile(r"[A-Za-z0-9+][A-Za-z0-9+@._-]*", re.ASCII)


# Replies


class Kind(Enum):
    """What a reply code means by itself (RFC 1861 4.1; the table in docs/protocols/snpp.md)."""

    DONE = "done"  # 25x and other 2xx, 8xx, 9xx
    INFORMATION = "information"  # 21x, 22x, 556: said about the server, never the success of a page
    GO_ON = "go on"  # 354
    TEMPORARY = "temporary"  # 4xx, 554, 750: the page may be tried again later
    PERMANENT = "permanent"  # 550, 780: the same again will fail again
    OURS = "ours"  # 500, 502, 503, 530: this client or its configuration is at fault
    FULL = "full"  # 552: one entry too many, the earlier ones stand


KINDS = {
    500: Kind.OURS,
    502: Kind.OURS,
    503: Kind.OURS,
    530: Kind.OURS,
    552: Kind.FULL,
    556: Kind.INFORMATION,
    760: Kind.PERMANENT,  # RFC 1861 names 760 once for what its table calls 780
    780: Kind.PERMANENT,
}


class Reply(Struct, frozen=True):
    """A server's answer. *before*: the earlier lines of an answer of several.

    *help*: it was a series of 214 lines, of which *before* are the texts and *code* the end.
    """

    code: int
    text: str = ""
    before: tuple[str, ...] = ()
    help: bool = False

    @property
    def kind(self) -> Kind:
        """By code where it is listed, else by first digit; an unknown 5xx is permanent, but x54 temporary."""
        if kind := KINDS.get(self.code):
            return kind
        match self.code // 100:
            case 2:
                return Kind.INFORMATION if self.code < 230 else Kind.DONE
            case 8 | 9:
                return Kind.DONE
            case 3:
                return Kind.GO_ON
            case 5 if self.code % 100 != 54:
                return Kind.PERMANENT
            case _:
                return Kind.TEMPORARY

    @property
    def success(self) -> bool:
        """The command did what was asked. Of SEND this means: accepted by the server, nothing more."""
        return self.kind is Kind.DONE

    @property
    def temporary(self) -> bool:
        return self.kind is Kind.TEMPORARY

    @property
    def permanent(self) -> bool:
        return self.kind is Kind.PERMANENT

    @property
    def closes(self) -> bool:
        """After 4xx the server closes, and the client must not say anything more."""
        return self.code // 100 == 4

    @property
    def queued(self) -> bool:
        """9xx: accepted, and delivery comes later (RFC 1861 4.6)."""
        return self.code // 100 == 9

    @property
    def tag(self) -> str | None:
        """Message tag of an answer to SEND, if it has tag and pass code (RFC 1861 4.6.9)."""
        return found[1] if (found := _TAGGED.match(self.text)) else None

    @property
    def passcode(self) -> str | None:
        """Pass code of an answer to SEND, if it has tag and pass code."""
        return found[2] if (found := _TAGGED.match(self.text)) else None


_TAGGED = re.compile(rf"([0-9]{{1,{MAX_TAG}}})[ \t]+([0-9]{{1,{MAX_TAG}}})(?:[ \t]|\Z)", re.ASCII)
_DIGITS = re.compile(rf"[0-9]{{1,{MAX_TAG}}}", re.ASCII)


def checked_number(field: str, value: str) -> str:
    """*value* if it is decimal digits only, as tag and pass code must be: Net::SNPP reads nothing else."""
    if not _DIGITS.fullmatch(value):
        raise InvalidValue(field, "is not a decimal number", MAX_TAG)
    return value


def tagged_reply(code: int, tag: str, passcode: str, text: str) -> Reply:
    """A server's answer to SEND in a two-way transaction (RFC 1861 4.6.9)."""
    return Reply(code, f"{checked_number('tag', tag)} {checked_number('pass code', passcode)} {text}")


class MessageStatus(Struct, frozen=True, kw_only=True):
    """What MSTAtus told (RFC 1861 4.6.10). *sequence* and *at* are None where the answer had none."""

    code: int
    sequence: int | None = None
    at: datetime | None = None
    rest: str = ""

    @property
    def known(self) -> bool:
        """The server knows this message."""
        return self.code // 100 in (8, 9) or self.expired

    @property
    def expired(self) -> bool:
        """It died before delivery: 780, and 760 by the RFC's slip; any other 7xx is read the same way."""
        return self.code // 100 == 7

    @property
    def delivered(self) -> bool:
        return self.code // 100 == 8

    @property
    def read(self) -> bool:
        """The unit said that it was read, or answered."""
        return self.code in (870, 881, 888, 889)

    @property
    def final(self) -> bool:
        """Nothing more will be told about this message (88x concluded, 780 expired)."""
        return self.code // 10 == 88 or self.expired

    @property
    def answer(self) -> str | None:
        """What the person answered: the response code of 888, the text of 889."""
        match self.code:
            case 888:
                return self.rest.split(" ", 1)[0]
            case 889:
                return self.rest
            case _:
                return None


# Commands; *verb* is the four letters that count (RFC 1861 4)


class ReplyKind(Enum):
    """How a person may answer (RFC 1861 4.6.6)."""

    NONE = "NONE"
    YESNO = "YESNO"
    SIMREPLY = "SIMREPLY"
    MULTICHOICE = "MULTICHOICE"
    TEXT = "TEXT"


class Page(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "PAGE"
    pager: PagerId
    pin: SnppSecret | None = None


class Mess(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "MESS"
    text: str


class Data(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "DATA"


class Send(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "SEND"


class Reset(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "RESE"


class Quit(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "QUIT"


class Help(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "HELP"


class Login(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "LOGI"
    login: SnppWord
    password: SnppSecret | None = None


class Level(Struct, frozen=True, kw_only=True):
    """0 priority, 1 normal, 2 to 7 five minutes to a day, 8 to 11 the carrier's own (RFC 1861 4.5.3)."""

    verb: ClassVar[str] = "LEVE"
    level: int

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_LEVEL:
            raise InvalidValue("service level", f"is not 0 to {MAX_LEVEL}")


class Alert(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "ALER"
    on: bool


class Coverage(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "COVE"
    area: SnppText


class Hold(Struct, frozen=True, kw_only=True):
    """*at* is aware, to the second. *offset*: say it as ``+0000``; without it hfaxd reads GMT."""

    verb: ClassVar[str] = "HOLD"
    at: datetime
    offset: bool = True

    def __post_init__(self) -> None:
        if self.at.tzinfo is None or self.at.year not in HOLD_YEARS:
            raise InvalidValue("hold time", "has no zone or is not in 1990 to 2089")


class CallerId(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "CALL"
    caller: str


class Subject(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "SUBJ"
    text: str


class TwoWay(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "2WAY"


class Ping(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "PING"
    pager: PagerId


class ExpireTag(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "EXPT"
    hours: int

    def __post_init__(self) -> None:
        if not 1 <= self.hours <= MAX_HOURS:
            raise InvalidValue("expiry", f"is not 1 to {MAX_HOURS} hours")


class NoQueue(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "NOQU"


class AckRead(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "ACKR"
    on: bool


class ReplyType(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "RTYP"
    kind: ReplyKind


class McResponse(Struct, frozen=True, kw_only=True):
    """One choice. *code*: 1 to 4 letters or digits; the RFC shows both ``1E2C`` and ``01``."""

    verb: ClassVar[str] = "MCRE"
    code: str
    text: str

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise InvalidValue("response code", "is not 1 to 4 letters or digits")
        if not self.text.strip():
            raise InvalidValue("response text", "is missing")


_CODE = re.compile(r"[0-9A-Za-z]{1,4}", re.ASCII)


class MStatus(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "MSTA"
    tag: str
    passcode: str

    def __post_init__(self) -> None:
        checked_number("tag", self.tag)
        checked_number("pass code", self.passcode)


class KillTag(Struct, frozen=True, kw_only=True):
    verb: ClassVar[str] = "KTAG"
    tag: str
    passcode: str

    def __post_init__(self) -> None:
        checked_number("tag", self.tag)
        checked_number("pass code", self.passcode)


class Unknown(Struct, frozen=True, kw_only=True):
    """A word that is no command of ours; heard by servers, never sent."""

    word: str


class Malformed(Struct, frozen=True, kw_only=True):
    """A command with an argument that is missing or wrong; heard by servers, never sent."""

    verb: str
    why: str


Question = Help | MStatus | Ping | KillTag
Sayable = (
    Page
    | Mess
    | Data
    | Send
    | Reset
    | Quit
    | Help
    | Login
    | Level
    | Alert
    | Coverage
    | Hold
    | CallerId
    | Subject
    | TwoWay
    | Ping
    | ExpireTag
    | NoQueue
    | AckRead
    | ReplyType
    | McResponse
    | MStatus
    | KillTag
)
Command = Sayable | Unknown | Malformed


# A page, to send and received


class Recipient(Struct, frozen=True, kw_only=True):
    """One pager and its options; None leaves the server's default. *hold*: aware, not before this instant."""

    pager: PagerId
    pin: SnppSecret | None = None
    level: int | None = None
    alert: bool | None = None
    coverage: SnppText | None = None
    hold: datetime | None = None

    def __post_init__(self) -> None:
        if self.level is not None:
            Level(level=self.level)
        if self.hold is not None:
            Hold(at=self.hold)


class TwoWayOptions(Struct, frozen=True, kw_only=True):
    """How a two-way page is to be answered (RFC 1861 4.6)."""

    no_queue: bool = False
    expire_hours: int | None = None
    ack_read: bool = False
    reply: ReplyKind | None = None
    responses: tuple[McResponse, ...] = ()

    def __post_init__(self) -> None:
        if self.expire_hours is not None:
            ExpireTag(hours=self.expire_hours)


class Body(Enum):
    """Which command carries the text. AUTO: MESS for one line, DATA for more, MESS if DATA is not known."""

    AUTO = "auto"
    DATA = "data"
    MESS = "mess"


class Transaction(Struct, frozen=True, kw_only=True):
    """A page to send. No *text*: a tone-only page.

    *required*: the four-letter names of optional commands (LEVE, HOLD, 2WAY, ...) without which the page must
    not go; any other that the server refuses is left out and named in the result. HOLD is required unless
    said otherwise: a held page that is sent at once is a wrong page.
    """

    recipients: tuple[Recipient, ...]
    text: tuple[SnppText, ...] = ()
    subject: SnppText | None = None
    caller_id: SnppText | None = None
    two_way: TwoWayOptions | None = None
    body: Body = Body.AUTO
    required: frozenset[str] = frozenset({"HOLD"})

    def __post_init__(self) -> None:
        if not self.recipients:
            raise InvalidValue("recipients", "are missing")
        if self.two_way is not None and len(self.recipients) > 1:
            raise InvalidValue("recipients", "of a two-way page", 1)


class Received(Struct, frozen=True, kw_only=True):
    """A page a client has entered and wants sent. Texts are printable Unicode; *text* may have LF inside."""

    recipients: tuple[Recipient, ...]
    text: str | None
    subject: str | None = None
    caller_id: str | None = None
    two_way: TwoWayOptions | None = None
    login: str | None = None


# What became of a transaction


class Refusal(Struct, frozen=True, kw_only=True):
    """A recipient that the server did not take."""

    pager: PagerId
    reply: Reply


class Skipped(Struct, frozen=True, kw_only=True):
    """An optional command that the server refused, so it was left out."""

    verb: str
    reply: Reply


class Submitted(Struct, frozen=True, kw_only=True):
    """The server answered; *reply* decided. *step*: the four-letter command it answered.

    *committed*: SEND was written. A page was accepted only if it is true and ``reply.success``.
    *left_over*: recipients that must go into another transaction (552).
    """

    reply: Reply
    step: str
    committed: bool
    accepted: tuple[PagerId, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    left_over: tuple[Recipient, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @property
    def taken(self) -> bool:
        """The server took responsibility for the page to every pager in *accepted*."""
        return self.committed and self.reply.success


class NotSent(Struct, frozen=True, kw_only=True):
    """The conversation ended before SEND was written: nobody was paged."""

    why: str


class InDoubt(Struct, frozen=True, kw_only=True):
    """SEND was written and no answer to it came: the page may or may not go out."""

    why: str


Result = Submitted | NotSent | InDoubt
