"""Bytes to values and back, both sides of TAP.

Decoding never fails on what the other side says: every octet is masked to seven bits, what is too long is
cut, what is no answer is skipped. Encoding never lets a field end a block: whatever a text says, no control
character of it reaches the wire, unless as a SUB pair where the terminal has declared that it reads them.
"""

import re
from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

from protocols.tap import messages as m
from protocols.tap.messages import Answer, Control, InvalidValue, Message, Page, PagerId, TapText
from protocols.text import plain

STX, ETX, EOT, ACK, LF, CR, NAK, ETB = b"\x02\x03\x04\x06\x0a\x0d\x15\x17"
SUB, ESC, RS, US = b"\x1a\x1b\x1e\x1f"
WAKE = b"\r"
GO_AHEAD = b"\x1b[p\r"
LOG_OFF = b"\x04\r"
PROMPT = b"ID="

MAX_BODY = 250  # octets between STX and terminator; TAP 1.8: a block has at most 256
LEAST_BODY = 40  # our limit: a pager ID and something of the text must fit into the first block
MAX_LINE = 256  # octets kept of a line of text; ours, the longest in manuals has 40
_SILENT = frozenset(b"\x00\x11\x13")  # NUL, XON, XOFF: fill and flow control, never content


# Text


class Breaks(Enum):
    """What a line end in a text becomes."""

    BLANK = "blank"
    FIELD = "field"  # a raw CR: one field more, which many terminals take for a line


_ENDS = re.compile("\r\n|\r|\n|\u2028|\u2029|\x85")


def escaped(text: str) -> TapText:
    """*text*, which is ASCII, with each control character as a SUB pair (TAP 1.6)."""
    return TapText("".join(c if c >= " " else f"\x1a{chr(ord(c) + 0x40)}" for c in text))


def unescaped(data: bytes) -> bytes:
    """A field as it was meant; SUB before anything but 40..5F hex stays as it is."""
    return re.sub(rb"\x1a([\x40-\x5f])", lambda pair: bytes((pair[1][0] - 0x40,)), data)


def fields_of(
    text: str, *, transparent: bool = False, breaks: Breaks = Breaks.BLANK, whole_pluses: bool = False
) -> tuple[TapText, ...]:
    """The fields that say *text* in ASCII: accents go, what is not ASCII becomes ``?``, blanks at ends go.

    *transparent*: line ends and tabs go as SUB pairs, for terminals that read them; else as *breaks* says.
    ``+++`` becomes ``++ +`` unless *whole_pluses*: old modems take it for the order to listen.
    Raises `InvalidValue` if a field is longer than `MAX_TEXT`.
    """
    lines = []
    for line in _ENDS.split(text):
        cells = [plain(cell) for cell in line.split("\t")] if transparent else [plain(line)]
        lines.append("\t".join(cells))
    if transparent:
        fields = ["\n".join(line.rstrip() for line in lines).rstrip()]
    elif breaks is Breaks.FIELD:
        fields = [line.rstrip() for line in lines]
        while len(fields) > 1 and not fields[-1]:
            fields.pop()
    else:
        fields = [" ".join(line.strip() for line in lines).rstrip()]
    if not whole_pluses:
        fields = [re.sub(r"\+\+(?=\+)", "++ ", field) for field in fields]
    return tuple(escaped(field) for field in fields)


# Blocks


class Continuation(Enum):
    """How a page goes that does not fit into one block."""

    US = "us"  # TAP 1.8: the last field goes on in the next block
    ETB = "etb"  # Zetron 16: in pieces that are whole fields, which it joins
    NONE = "none"  # not at all: many terminals stall


def checksum(data: bytes) -> bytes:
    """Three characters for *data*, STX to terminator: the sum of its seven-bit values, twelve bits of it."""
    return _characters(sum(octet & 0x7F for octet in data))


def _characters(total: int) -> bytes:
    return bytes((0x30 + (total >> 8 & 15), 0x30 + (total >> 4 & 15), 0x30 + (total & 15)))


def encode_block(body: bytes, terminator: int = ETX) -> bytes:
    """One block around *body*, whose fields are encoded already."""
    data = bytes((STX,)) + body + bytes((terminator,))
    return data + checksum(data) + b"\r"


def encode_page(
    page: Page, *, body: int = MAX_BODY, continuation: Continuation = Continuation.US
) -> tuple[bytes, ...]:
    """The blocks of *page*, of at most *body* octets each between STX and terminator.

    Raises `InvalidValue` if it needs several and *continuation* is NONE: nothing is ever cut.
    """
    if body < LEAST_BODY:
        raise InvalidValue("block", f"has less than {LEAST_BODY} octets")
    atoms: list[str] = []
    for field in (page.pager, *page.fields):
        atoms += [*re.findall(r"\x1a.|.", field), "\r"]
    if (length := sum(map(len, atoms))) <= body:
        return (encode_block(_octets(atoms)),)
    if continuation is Continuation.NONE:
        over = length - body
        raise InvalidValue("text", f"is {over} characters too long for one block", body)
    own_end = continuation is Continuation.ETB
    blocks = []
    rest = sum(map(len, atoms))
    at = 0
    while rest > body:
        start, size = at, 0
        while size + len(atoms[at]) <= body - own_end:
            size += len(atoms[at])
            at += 1
        if not own_end and (atoms[at - 1] == "\r" or len(atoms) - at == 1):
            at -= 1  # US stands inside a field, and not right before its end
        piece = _octets(atoms[start:at])
        rest -= len(piece)
        blocks.append(
            encode_block(piece.removesuffix(b"\r") + b"\r", ETB) if own_end else encode_block(piece, US)
        )
    return (*blocks, encode_block(_octets(atoms[at:])))


def room(pager: PagerId, *, body: int = MAX_BODY) -> int:
    """Octets that a text to *pager* may have so that it fits into one block."""
    return body - len(pager) - 2


def _octets(atoms: list[str]) -> bytes:
    return "".join(atoms).encode("ascii")


# Logon


def encode_logon(logon: m.Automatic | m.Manual) -> bytes:
    match logon:
        case m.Automatic(service=service, password=password):
            return b"\x1b" + (service + (password or "")).encode("ascii") + b"\r"
        case m.Manual(line=line):
            return (plain(line).strip()[:MAX_LINE] or "M").encode("ascii") + b"\r"


_LOGON = re.compile(rb"([A-Za-z0-9]{3})([\x21-\x7e]*)")


def decode_logon(line: bytes) -> m.Logon:
    """What a caller's *line* says, which is not empty: ESC, service, perhaps a password; or a person's."""
    if not line.startswith(b"\x1b"):
        return m.Manual(line=plain(line.decode("latin-1")))
    if not (found := _LOGON.fullmatch(line[1:].rstrip(b" "))):
        return m.Malformed(why="no service after ESC")
    try:
        # InterPage and WaveWare take pg1 too.
        service = m.Service(found[1].decode("ascii").upper())
        password = m.Password(found[2].decode("ascii")) if found[2] else None
    except InvalidValue as problem:
        return m.Malformed(why=str(problem))
    return m.Automatic(service=service, password=password)


# Answers


_CONTROLS = {ACK: Control.ACK, NAK: Control.NAK, RS: Control.RS}
_ENCODED = {
    Control.ACK: b"\x06\r",
    Control.NAK: b"\x15\r",
    Control.RS: b"\x1e\r",
    Control.DROP: b"\x1b\x04\r",
}
_STARTS = re.compile(r"([0-9]{3})(?: (.*)|)\Z", re.ASCII | re.DOTALL)


def encode_messages(messages: tuple[Message, ...], *, codes: bool = True) -> bytes:
    """Each message in a line of its own, its further lines indented if a number begins them."""
    lines = []
    for message in messages:
        first, *more = message.lines or ("",)
        head = f"{message.code} {first}" if codes and message.code is not None else first
        said = [head, *(f" {line}" if line[:1].isdigit() else line for line in more)]
        lines += [plain(line).rstrip()[: MAX_LINE - 1] for line in said]
    return b"".join(line.encode("ascii") + b"\r" for line in lines if line)


def encode_answer(answer: Answer, *, codes: bool = True) -> bytes:
    """The messages, then the control character. *codes*: False for a terminal before TAP 1.6."""
    return encode_messages(answer.messages, codes=codes) + _ENCODED[answer.control]


def messages_of(lines: list[str]) -> tuple[Message, ...]:
    """Text lines of a terminal, grouped: one that begins with three digits and a blank begins a message."""
    grouped: list[tuple[int | None, list[str]]] = []
    for line in lines:
        if found := _STARTS.match(line):
            grouped.append((int(found[1]), [found[2] or ""]))
        elif grouped:
            grouped[-1][1].append(line.strip())
        else:
            grouped.append((None, [line.strip()]))
    return tuple(Message(code, tuple(line for line in said if line)) for code, said in grouped)


class Line(Struct, frozen=True):
    """A line of text, not empty, blanks at its end gone."""

    text: str


class Prompt(Struct, frozen=True):
    """``ID=``. *alone*: nothing stood before it in its line."""

    alone: bool


class GoAhead(Struct, frozen=True):
    """``ESC [ p``."""


Heard = Line | Prompt | GoAhead | Control


class AnswerDecoder:
    """What a terminal says, out of a stream. Keeps at most a line."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._tail = b""  # the last octets of the line, also behind what is kept
        self._escape = b""  # ESC, or ESC [, whose end has not come

    def receive(self, data: bytes) -> Iterator[Heard]:
        """Take in *data*; what it says, in order."""
        for octet in data:
            if (octet := octet & 0x7F) not in _SILENT:
                yield from self._take(octet)

    def _take(self, octet: int) -> Iterator[Heard]:
        escape, self._escape = self._escape, b""
        if escape == b"\x1b" and octet in b"[\x04":
            if octet == EOT:
                yield from self._end()
                yield Control.DROP
            else:
                self._escape = b"\x1b["
        elif escape == b"\x1b[" and octet in b"pP":
            yield from self._end()
            yield GoAhead()
        elif octet == ESC:
            self._escape = b"\x1b"
        elif octet in _CONTROLS:
            yield from self._end()
            yield _CONTROLS[octet]
        elif octet in (CR, LF):
            yield from self._end()
        else:
            if len(self._line) < MAX_LINE:
                self._line.append(octet if 0x20 <= octet < 0x7F else 0x20)
            self._tail = (self._tail + bytes((octet,)))[-len(PROMPT) :]
            if self._tail == PROMPT:
                alone = self._line.strip() == PROMPT
                if alone:
                    self._line.clear()
                yield Prompt(alone)

    def _end(self) -> Iterator[Heard]:
        text = self._line.decode("ascii").rstrip()
        self._line.clear()
        self._tail = b""
        if text.strip():
            yield Line(text)


# What callers say


class Block(Struct, frozen=True):
    """A block as it came. *body*: without STX and terminator. *check*: what stood between it and the CR.

    *cut*: it was longer than the decoder keeps, so *body* is only its beginning.
    """

    body: bytes
    terminator: int
    check: bytes
    good: bool
    cut: bool = False

    @property
    def fields(self) -> tuple[bytes, ...]:
        """The fields, the last one without end if the terminator is US; SUB pairs as they came."""
        parts = self.body.split(b"\r")
        # A CR ends a field, so after the last one there is nothing, or the LF of a CR LF; some callers leave
        # that CR out.
        return tuple(parts[:-1] if self.terminator != US and not parts[-1].strip(b"\n") else parts)


class LogOff(Struct, frozen=True):
    """``EOT``, or ``ESC EOT`` as some callers say."""


class Said(Struct, frozen=True):
    """Anything else up to a CR, perhaps empty: a wake-up, a logon, noise."""

    line: bytes


Calling = Block | LogOff | Said


class CallerDecoder:
    """What a caller says, out of a stream, one thing at a time, so that a reader may stop between two.

    Keeps at most *limit* octets of a block, or a line; what was fed and not yet taken the caller bounds by
    *waiting*.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._line = bytearray()
        self._body: bytearray | None = None  # of a block under way
        self._sum = 0
        self._length = 0
        self._terminator = 0
        self._check = bytearray()

    @property
    def in_block(self) -> bool:
        """A block has begun and is not complete; meaningful after `next_one` gave None."""
        return self._body is not None

    @property
    def waiting(self) -> int:
        """Octets fed and not yet looked at."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Take in *data*."""
        self._data += data

    def abandon(self) -> None:
        """Forget what is not complete."""
        self._body = None
        self._line.clear()

    def next_one(self) -> Calling | None:
        """The next thing that has come whole, or None."""
        for at, octet in enumerate(self._data, 1):
            if (octet := octet & 0x7F) in _SILENT:
                continue
            if self._body is None:
                said = self._outside(octet)
            elif not self._terminator:
                self._inside(self._body, octet)
                continue
            else:
                said = self._behind(self._body, octet)
            if said:
                del self._data[:at]
                return said
        self._data.clear()
        return None

    def _outside(self, octet: int) -> Calling | None:
        match octet:
            case 0x02:  # STX; what stood before it is noise
                self._begin()
            case 0x0D:
                line = bytes(self._line)
                self._line.clear()
                return LogOff() if line.strip() in (b"\x04", b"\x1b\x04") else Said(line)
            case _ if octet != LF and len(self._line) < MAX_LINE:
                self._line.append(octet)
        return None

    def _begin(self) -> None:
        self._line.clear()
        self._body, self._terminator, self._sum, self._length = bytearray(), 0, STX, 0
        self._check.clear()

    def _inside(self, body: bytearray, octet: int) -> None:
        self._sum += octet
        if octet in (ETX, ETB, US):
            self._terminator = octet
            return
        self._length += 1
        if self._length <= self._limit:
            body.append(octet)

    def _behind(self, body: bytearray, octet: int) -> Calling | None:
        check = bytes(self._check)
        if octet == CR:
            self._body = None
            good, cut = check == _characters(self._sum), self._length > self._limit
            return Block(bytes(body), self._terminator, check, good, cut)
        if octet == STX:  # the caller began anew; a block without its CR was never one
            self._begin()
        elif octet != LF and len(check) < 4:
            self._check.append(octet)
        return None
