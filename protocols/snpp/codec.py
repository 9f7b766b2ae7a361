"""Bytes to values and back. Tolerant in what it reads, plain in what it writes.

What is written is always exactly one line for a command (and for a text exactly its lines and the dot):
whatever an argument holds, no line end or control character of it reaches the wire.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import Enum
from typing import assert_never

from msgspec import Struct

from protocols.lines import LineSplitter
from protocols.snpp import messages as m
from protocols.snpp.messages import InvalidValue, PagerId, Reply, SnppSecret, SnppText, SnppWord
from protocols.text import decoded
from protocols.text import printable as printable

MAX_LINE = 1024  # octets of a command we read; RFC 1861 names none, servers should take at least 1000
MAX_REPLY_LINE = 1024  # our limit: RFC 1861 names none; the longest reply recorded has about 100 octets
MAX_REPLY_LINES = 200  # our limit for one answer of several lines; a HELP has about 30
MAX_REPLY_TEXT = 400  # octets of text in a reply of ours, so that every client's line buffer holds it


class Dots(Enum):
    """What the client does with a text line that begins with a dot (docs, "Dots")."""

    STUFF = "stuff"  # double it, as in SMTP; Net::SNPP's and our server undo this
    PLAIN = "plain"  # leave it; a line that is only a dot gets a blank before it
    AVOID = "avoid"  # a blank before it: right for hfaxd, which does not undo doubling


# Text


_NOT_PRINTABLE_ASCII = re.compile(r"[^\x20-\x7e]")
_TYPOGRAPHY = str.maketrans("‘’‚“”„«»‐‑‒–—−•", "'''" + '"' * 5 + "-" * 6 + "*")


def _ascii(text: str) -> str:
    if not text.isascii():
        folded = unicodedata.normalize("NFKD", printable(text).translate(_TYPOGRAPHY))
        text = "".join(c for c in folded if not unicodedata.combining(c))
    return _NOT_PRINTABLE_ASCII.sub(lambda found: " " if found[0] < "\x80" else "?", text)


def text_of(text: str) -> SnppText:
    """One line of what *text* says: controls and line ends become blanks, accents go, the rest becomes ``?``.

    Raises `InvalidValue` if that is longer than `MAX_TEXT`.
    """
    return SnppText(_ascii(text).rstrip())


def lines_of(text: str) -> tuple[SnppText, ...]:
    """The lines of *text* as in `text_of`; longer ones are broken, empty ones at the end are left out."""
    lines: list[SnppText] = []
    for raw in re.split("\r\n|\r|\n", text):
        line = _ascii(raw).rstrip()
        lines += [SnppText(line[i : i + m.MAX_TEXT].rstrip()) for i in range(0, len(line) or 1, m.MAX_TEXT)]
    while lines and not lines[-1]:
        lines.pop()
    return tuple(lines)


# Times


_TIME = re.compile(r"([0-9]{14}|[0-9]{12}|[0-9]{10})[ \t]*([+-][0-9]{1,4})?", re.ASCII)
_STATUS = re.compile(r"([0-9]{1,32})[ \t]+([0-9]{12}(?:[+-][0-9]{1,4})?)(?:[ \t]+|\Z)(.*)", re.ASCII)


def parse_time(text: str, zone: tzinfo = UTC) -> datetime:
    """``YYMMDDHHMM[SS]`` or ``YYYYMMDDHHMMSS``, then optionally an offset ``+h``, ``+hh`` or ``+hhmm``.

    Local time is GMT plus offset. Without offset it is in *zone*, the terminal's (RFC 1861 4.5.6); the
    default is GMT because the clients that leave it out mean that. Raises `InvalidValue`.
    """
    found = _TIME.fullmatch(text.strip(" \t"))
    if not found:
        raise InvalidValue("time", "is not YYMMDDHHMMSS with an optional +hhmm")
    digits, offset = found[1], found[2]
    if len(digits) < 14:
        digits = ("19" if digits >= "90" else "20") + digits
    try:
        if offset:
            hours, minutes = (offset[1:-2], offset[-2:]) if len(offset) > 3 else (offset[1:], "0")
            if int(minutes) > 59:
                raise ValueError
            span = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(-span if offset[0] == "-" else span)
        local = datetime.strptime(digits.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=zone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidValue("time", "does not exist") from None


def format_time(at: datetime) -> str:
    """Twelve digits of *at* in GMT."""
    return f"{at.astimezone(UTC):%y%m%d%H%M%S}"


def status_of(reply: Reply, zone: tzinfo = UTC) -> m.MessageStatus:
    """Read the answer to MSTAtus; never fails. *zone*: of a time that names none."""
    found = _STATUS.fullmatch(reply.text.strip())
    if not found:
        return m.MessageStatus(code=reply.code, rest=reply.text)
    try:
        at = parse_time(found[2], zone)
    except InvalidValue:
        at = None
    return m.MessageStatus(code=reply.code, sequence=int(found[1]), at=at, rest=found[3])


def status_reply(status: m.MessageStatus) -> Reply:
    """The answer to MSTAtus that says *status*; what is not known is said as 0 and the year 2000."""
    at = status.at or datetime(2000, 1, 1, tzinfo=UTC)
    return Reply(status.code, f"{status.sequence or 0:05} {format_time(at)}+0 {status.rest}")


# Commands, written


def encode_command(command: m.Sayable) -> bytes:
    """One line: four letters, no trailing blank; NOQUEUE in full, because LBBS wants it."""
    match command:
        case m.Page(pager=pager, pin=pin):
            return _line(command.verb, pager, pin)
        case m.Mess(text=text):
            return _line(command.verb, text)
        case m.Login(login=login, password=password):
            return _line(command.verb, login, password)
        case m.Level(level=level):
            return _line(command.verb, str(level))
        case m.Alert(on=on):
            return _line(command.verb, str(int(on)))
        case m.Coverage(area=area):
            return _line(command.verb, area)
        case m.Hold(at=at, offset=offset):
            return _line(command.verb, format_time(at), "+0000" if offset else None)
        case m.CallerId(caller=caller):
            return _line(command.verb, caller)
        case m.Subject(text=text):
            return _line(command.verb, text)
        case m.Ping(pager=pager):
            return _line(command.verb, pager)
        case m.ExpireTag(hours=hours):
            return _line(command.verb, str(hours))
        case m.NoQueue():
            return b"NOQUEUE\r\n"
        case m.AckRead(on=on):
            return _line(command.verb, str(int(on)))
        case m.ReplyType(kind=kind):
            return _line(command.verb, kind.value)
        case m.McResponse(code=code, text=text):
            return _line(command.verb, code, text)
        case m.MStatus(tag=tag, passcode=passcode):
            return _line(command.verb, tag, passcode)
        case m.KillTag(tag=tag, passcode=passcode):
            return _line(command.verb, tag, passcode)
        case m.Data() | m.Send() | m.Reset() | m.Quit() | m.Help() | m.TwoWay():
            return _line(command.verb)
        case _:
            assert_never(command)


def _line(verb: str, *words: str | None) -> bytes:
    said = " ".join((verb, *(w for w in words if w is not None)))
    return _ascii(said).rstrip().encode("ascii") + b"\r\n"


def encode_body(lines: Iterable[str], dots: Dots = Dots.STUFF) -> bytes:
    """The lines of a text and the dot that ends it. Blanks at line ends go: a server may strip them, and
    ``. `` must not turn into the end."""
    out = []
    for raw in lines:
        line = _ascii(raw).rstrip()
        if line.startswith("."):
            match dots:
                case Dots.STUFF:
                    line = "." + line
                case Dots.AVOID:
                    line = " " + line
                case Dots.PLAIN:
                    line = " ." if line == "." else line
                case _:
                    assert_never(dots)
        out.append(line + "\r\n")
    return "".join(out).encode("ascii") + b".\r\n"


def unstuffed(line: bytes) -> bytes:
    """A received text line: of two leading dots one goes; one dot before other text stays, because several
    clients do not stuff."""
    return line[1:] if line.startswith(b"..") else line


# Commands, read


def decode_command(line: bytes, zone: tzinfo = UTC, *, cut: bool = False) -> m.Command | None:
    """What a client's *line* says, line end removed; None for an empty line.

    The first four letters count, in any case; trailing blanks do not. *zone*: of a HOLD without offset.
    *cut*: the line was longer than what is given here.
    """
    word, _, rest = line.strip(b" \t\r").replace(b"\t", b" ").partition(b" ")
    if not word:
        return None
    verb = word[:4].upper()  # RFC 1861 4: only these are significant
    if not (read := _READERS.get(verb)):
        return m.Unknown(word=_ascii(decoded(word[:MAX_REPLY_TEXT])))
    name = verb.decode("ascii")
    if cut:
        return m.Malformed(verb=name, why=f"line is too long (limit {MAX_LINE})")
    try:
        return read(rest.lstrip(b" "), zone)
    except InvalidValue as problem:
        return m.Malformed(verb=name, why=str(problem))


def _words(rest: bytes, field: str, least: int, most: int) -> list[str]:
    words = [word for word in rest.decode("latin-1").split(" ") if word]
    if len(words) < least:
        raise InvalidValue(field, "is missing")
    if len(words) > most:
        raise InvalidValue(field, "has a word too many")
    return words


def _text(rest: bytes, field: str) -> str:
    if not (text := printable(decoded(rest)).strip()):
        raise InvalidValue(field, "is missing")
    return text


def _flag(rest: bytes, field: str) -> bool:
    if rest not in (b"0", b"1"):
        raise InvalidValue(field, "is not 0 or 1")
    return rest == b"1"


def _number(rest: bytes, field: str) -> int:
    if not re.fullmatch(rb"[0-9]{1,4}", rest):
        raise InvalidValue(field, "is not a number of one to four digits")
    return int(rest)


def _page(rest: bytes, zone: tzinfo) -> m.Page:
    pager, *pin = _words(rest, "pager ID", 1, 2)
    return m.Page(pager=PagerId(pager), pin=SnppSecret(pin[0]) if pin else None)


def _login(rest: bytes, zone: tzinfo) -> m.Login:
    login, *password = _words(rest, "login", 1, 2)
    return m.Login(login=SnppWord(login), password=SnppSecret(password[0]) if password else None)


def _reply_type(rest: bytes, zone: tzinfo) -> m.ReplyType:
    try:
        return m.ReplyType(kind=m.ReplyKind(rest.decode("latin-1").upper()))
    except ValueError:
        raise InvalidValue("reply type", "is not NONE, YESNO, SIMREPLY, MULTICHOICE or TEXT") from None


def _response(rest: bytes, zone: tzinfo) -> m.McResponse:
    code, _, text = rest.partition(b" ")
    return m.McResponse(code=decoded(code), text=_text(text, "response text"))


def _coverage(rest: bytes, zone: tzinfo) -> m.Coverage:
    return m.Coverage(area=SnppText(_text(rest, "area")))


def _tag(rest: bytes) -> tuple[str, str]:
    tag, passcode = _words(rest, "tag and pass code", 2, 2)
    return tag, passcode


def _status(rest: bytes, zone: tzinfo) -> m.MStatus:
    tag, passcode = _tag(rest)
    return m.MStatus(tag=tag, passcode=passcode)


def _kill(rest: bytes, zone: tzinfo) -> m.KillTag:
    tag, passcode = _tag(rest)
    return m.KillTag(tag=tag, passcode=passcode)


_READERS: dict[bytes, Callable[[bytes, tzinfo], m.Command]] = {
    b"PAGE": _page,
    b"MESS": lambda rest, zone: m.Mess(text=_text(rest, "message")),
    b"SEND": lambda rest, zone: m.Send(),
    b"DATA": lambda rest, zone: m.Data(),
    b"RESE": lambda rest, zone: m.Reset(),
    b"QUIT": lambda rest, zone: m.Quit(),
    b"HELP": lambda rest, zone: m.Help(),
    b"LOGI": _login,
    b"LEVE": lambda rest, zone: m.Level(level=_number(rest, "service level")),
    b"ALER": lambda rest, zone: m.Alert(on=_flag(rest, "alert")),
    b"COVE": _coverage,
    b"HOLD": lambda rest, zone: m.Hold(at=parse_time(decoded(rest), zone)),
    b"CALL": lambda rest, zone: m.CallerId(caller=_text(rest, "caller ID")),
    b"SUBJ": lambda rest, zone: m.Subject(text=_text(rest, "subject")),
    b"2WAY": lambda rest, zone: m.TwoWay(),
    b"PING": lambda rest, zone: m.Ping(pager=PagerId(_words(rest, "pager ID", 1, 1)[0])),
    b"EXPT": lambda rest, zone: m.ExpireTag(hours=_number(rest, "expiry")),
    b"NOQU": lambda rest, zone: m.NoQueue(),
    b"ACKR": lambda rest, zone: m.AckRead(on=_flag(rest, "read acknowledgement")),
    b"RTYP": _reply_type,
    b"MCRE": _response,
    b"MSTA": _status,
    b"KTAG": _kill,
}


# Replies


def encode_reply(reply: Reply) -> bytes:
    """Always three digits, a blank and a text: HylaFAX's client waits for ever after a bare ``250``."""
    mark = "214 " if reply.help else f"{reply.code:03}-"
    lines = [
        *(mark + _reply_text(line) for line in reply.before),
        f"{reply.code:03} {_reply_text(reply.text)}",
    ]
    return "".join(line + "\r\n" for line in lines).encode("ascii")


def _reply_text(text: str) -> str:
    return _ascii(text).strip()[:MAX_REPLY_TEXT] or "OK"


class Garbled(Struct, frozen=True, kw_only=True):
    """Something that is no reply: the server does not speak SNPP, or said too much."""

    why: str


_REPLY = re.compile(rb"([2-57-9][0-9]{2})(?:([ \t-])(.*))?", re.DOTALL)


class ReplyDecoder:
    """Replies out of a stream. After `Garbled` it gives nothing more."""

    def __init__(self) -> None:
        self._lines = LineSplitter(MAX_REPLY_LINE)
        self._before: list[str] = []
        self._help = False
        self._broken = False

    @property
    def pending(self) -> bool:
        """A reply has begun and is not complete."""
        return bool(self._lines.waiting or self._before or self._help)

    def receive(self, data: bytes) -> list[Reply | Garbled]:
        """Take in *data*; return the replies it completes."""
        out: list[Reply | Garbled] = []
        self._lines.feed(data)
        while not self._broken and (line := self._lines.next_line()):
            heard = Garbled(why="a reply line is too long") if line.cut else self._read(line.data)
            if heard:
                self._broken = isinstance(heard, Garbled)
                out.append(heard)
        if not self._broken and self._lines.unfinished > MAX_REPLY_LINE + 1:
            self._broken = True
            out.append(Garbled(why="a reply line is too long"))
        return out

    def _read(self, line: bytes) -> Reply | Garbled | None:
        if len(self._before) >= MAX_REPLY_LINES:
            return Garbled(why="a reply has too many lines")
        found = _REPLY.fullmatch(line.rstrip(b"\r"))
        if not found:
            if not self._help:
                return Garbled(why="a line that is no reply: " + _ascii(decoded(line[:60])))
            # LBBS sends the lines between 214 and 250 without numbers.
            self._before.append(printable(decoded(line)).strip())
            return None
        code, text = int(found[1]), printable(decoded(found[3] or b"")).strip()
        if code == 214:
            self._help = True
        if code == 214 or found[2] == b"-":
            self._before.append(text)
            return None
        reply = Reply(code, text, tuple(self._before), self._help)
        self._before.clear()
        self._help = False
        return reply
