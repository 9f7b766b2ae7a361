"""Bytes to values and back: replies, commands, xtext, and the text after DATA.

What is written is always exactly one line for a command, and for a message its lines and the final dot:
the types of `messages` hold no line end, and `data_block` sees the whole message at once, so no boundary of
a buffer can hide a dot at the beginning of a line.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import assert_never

from msgspec import Struct

from protocols.lines import LineSplitter
from protocols.smtp import messages as m
from protocols.smtp.messages import Content, InvalidValue, Mailbox, Notify, Reply, Ret, Secret
from protocols.text import CONTROLS, decoded, printable

MAX_REPLY_LINE = 2048  # octets; RFC 5321 4.5.3.1.5 says 512, some servers put addresses and links into it
MAX_REPLY_LINES = 200  # our limit for one answer; an EHLO has about 15
MAX_COMMAND = 2048  # octets; RFC 5321 says 512, plus DSN 500, SIZE 26, SMTPUTF8 10, AUTH 500 and more


# Replies


class Garbled(Struct, frozen=True, kw_only=True):
    """What came is no reply; nothing after it can be trusted."""

    why: str


_REPLY = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)


class ReplyDecoder:
    """Collects octets and gives out replies. After `Garbled` it is of no more use."""

    def __init__(self) -> None:
        self._splitter = LineSplitter(MAX_REPLY_LINE)
        self._code = 0
        self._lines: list[str] = []

    @property
    def pending(self) -> bool:
        """Part of a reply has come."""
        return bool(self._lines or self._splitter.waiting)

    def receive(self, data: bytes) -> list[Reply | Garbled]:
        """Take in *data*; return the replies it completes."""
        replies: list[Reply | Garbled] = []
        self._splitter.feed(data)
        while line := self._splitter.next_line():
            found = _REPLY.fullmatch(line.data)
            if line.cut or not found:
                return [*replies, Garbled(why="too long for a reply line" if line.cut else "not a reply")]
            code = int(found[1])
            if self._lines and code != self._code:
                return [*replies, Garbled(why=f"{code} in a reply of {self._code}")]
            self._code = code
            self._lines.append(printable(decoded((found[3] or b"").strip())))
            if found[2] != b"-":
                replies.append(Reply(code, tuple(self._lines)))
                self._lines = []
            elif len(self._lines) >= MAX_REPLY_LINES:
                return [*replies, Garbled(why=f"more than {MAX_REPLY_LINES} lines in a reply")]
        if self._splitter.unfinished > MAX_REPLY_LINE:
            replies.append(Garbled(why="a reply line without end"))
        return replies


def encode_reply(reply: Reply) -> bytes:
    """*reply* with its code on each line; controls become blanks, lines are cut to 512 octets."""
    lines = [printable(line).encode()[:506].decode(errors="ignore") for line in reply.lines]
    last = len(lines) - 1
    return b"".join(
        f"{reply.code}{' ' if i == last else '-'}{line}".encode() + b"\r\n" for i, line in enumerate(lines)
    )


class Offer(Struct, frozen=True, kw_only=True):
    """What a server says it can do, in its answer to EHLO. *extensions*: by keyword in capitals."""

    extensions: dict[str, tuple[str, ...]] = {}

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.extensions

    @property
    def size(self) -> int:
        """The largest message it takes in octets; 0: not said."""
        said = self.extensions.get("SIZE", ())
        return int(said[0]) if said and re.fullmatch(r"[0-9]{1,15}", said[0], re.ASCII) else 0

    @property
    def mechanisms(self) -> frozenset[str]:
        """AUTH mechanisms; ``AUTH=LOGIN`` of old servers is read too."""
        return frozenset(word.upper() for word in self.extensions.get("AUTH", ()))


def offer_of(reply: Reply) -> Offer:
    """The extensions in an answer to EHLO or LHLO; its first line is the greeting."""
    extensions: dict[str, tuple[str, ...]] = {}
    for line in reply.lines[1:]:
        if words := re.sub(r"(?i)^AUTH=", "AUTH ", line).split():
            keyword = words[0].upper()
            extensions[keyword] = (*extensions.get(keyword, ()), *words[1:])
    return Offer(extensions=extensions)


# xtext


def xtext(text: str) -> str:
    """RFC 3461 4: printable ASCII without ``+`` and ``=``; these as ``+HH``. *text* is ASCII."""
    return re.sub(r"[^\x21-\x2a\x2c-\x3c\x3e-\x7e]", lambda found: f"+{ord(found[0]):02X}", text)


def unxtext(text: str) -> str:
    """The other way; what is no ``+HH`` stays as it is."""
    return re.sub(r"\+([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), text)


def _utf8_xtext(text: str) -> str:
    # utf-8-addr-xtext, RFC 6533 3: what is not plain as \x{HEX}
    return re.sub(r"[^\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e]", lambda found: f"\\x{{{ord(found[0]):X}}}", text)


def un_utf8_xtext(text: str) -> str:
    """Any of the three forms of RFC 6533 3 to an address; what cannot be read stays as it is."""

    def char(found: re.Match[str]) -> str:
        number = int(found[1], 16)
        return chr(number) if number <= 0x10FFFF and not 0xD800 <= number < 0xE000 else found[0]

    return re.sub(r"\\x\{([0-9A-Fa-f]{2,6})\}", char, text)


# The text after DATA


def data_block(content: Content) -> bytes:
    """*content* with its dots stuffed, and the final dot: all that follows 354, in one piece."""
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    if stuffed and not stuffed.endswith(b"\r\n"):
        stuffed += b"\r\n"
    return stuffed + b".\r\n"


def unstuffed(line: bytes) -> bytes:
    """A line of text as it was meant."""
    return line[1:] if line.startswith(b".") else line


# Commands, written


def encode_command(command: m.Sayable) -> bytes:
    """One line."""
    return _words(command).encode() + b"\r\n"


def _words(command: m.Sayable) -> str:
    match command:
        case m.Ehlo(domain=domain):
            return f"EHLO {domain}"
        case m.Helo(domain=domain):
            return f"HELO {domain}"
        case m.Lhlo(domain=domain):
            return f"LHLO {domain}"
        case m.StartTls():
            return "STARTTLS"
        case m.AuthPlain(user=None):
            return "AUTH PLAIN"
        case m.AuthPlain(user=user, password=password):
            return "AUTH PLAIN " + _base64(f"\0{user}\0{password}")
        case m.AuthLogin(user=user):
            return f"AUTH LOGIN {_base64(user)}" if user else "AUTH LOGIN"
        case m.AuthAnswer(said=said):
            return _base64(said)
        case m.Mail():
            return _mail(command)
        case m.Rcpt():
            return _rcpt(command)
        case m.Data():
            return "DATA"
        case m.Rset():
            return "RSET"
        case m.Noop():
            return "NOOP"
        case m.Quit():
            return "QUIT"
        case m.Vrfy():
            return "VRFY"
        case m.Help():
            return "HELP"
        case _:
            assert_never(command)


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _mail(command: m.Mail) -> str:
    words = [f"MAIL FROM:<{command.sender or ''}>"]
    if command.size is not None:
        words.append(f"SIZE={command.size:d}")
    if command.eight_bit:
        words.append("BODY=8BITMIME")
    if command.utf8:
        words.append("SMTPUTF8")
    if command.ret:
        words.append(f"RET={command.ret.value}")
    if command.envid:
        words.append(f"ENVID={xtext(command.envid)}")
    return " ".join(words)


def _rcpt(command: m.Rcpt) -> str:
    words = [f"RCPT TO:<{command.to}>"]
    if command.notify is not None:
        wanted = ",".join(one.value for one in Notify if one in command.notify)
        words.append(f"NOTIFY={wanted or 'NEVER'}")
    if command.original is not None and command.original.isascii():
        words.append(f"ORCPT=rfc822;{xtext(command.original)}")
    elif command.original is not None:
        words.append(f"ORCPT=utf-8;{_utf8_xtext(command.original)}")
    return " ".join(words)


# Commands, read

_SYNTAX = Reply(501, ("5.5.4 Syntax error in parameters",))
_UNSUPPORTED = Reply(555, ("5.5.4 Parameter not supported",))
_BAD_ADDRESS = Reply(501, ("5.1.3 Bad address",))
_BAD_SENDER = Reply(501, ("5.1.7 Bad sender address",))
_PATH = re.compile(
    r"(FROM|TO):[ ]?<((?:[^<>\"\x00-\x20\x7f]|\"(?:[^\"\\\x00-\x1f\x7f]|\\[ -~])*\")*)>(?: +(.*))?",
    re.IGNORECASE | re.ASCII,
)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?", re.ASCII)
_HELLO: dict[str, type[m.Ehlo | m.Helo | m.Lhlo]] = {"EHLO": m.Ehlo, "HELO": m.Helo, "LHLO": m.Lhlo}
_ALONE: dict[str, m.Sayable] = {
    "STARTTLS": m.StartTls(),
    "DATA": m.Data(),
    "RSET": m.Rset(),
    "QUIT": m.Quit(),
}


def decode_command(line: bytes) -> m.Command:
    """What a client's *line* without its end says; never fails. Letter case does not count.

    The blank after ``FROM:`` that some clients send is forgiven, a missing angle bracket is not.
    """
    try:
        text = line.decode().rstrip(" \t")
    except UnicodeDecodeError:
        return m.Unknown(word="")
    if CONTROLS.search(text):
        return m.Unknown(word="")
    word, _, rest = text.partition(" ")
    verb, rest = word.upper(), rest.strip(" ")
    match verb:
        case "EHLO" | "HELO" | "LHLO":
            try:
                return _HELLO[verb](domain=m.Domain(rest))
            except InvalidValue:
                return m.Malformed(verb=verb, reply=Reply(501, ("5.5.4 Bad host name",)))
        case "STARTTLS" | "DATA" | "RSET" | "QUIT":
            if rest:
                return m.Malformed(verb=verb, reply=_SYNTAX)
            return _ALONE[verb]
        case "NOOP":
            return m.Noop()
        case "VRFY" | "EXPN":
            return m.Vrfy()
        case "HELP":
            return m.Help()
        case "AUTH":
            return _read_auth(rest)
        case "MAIL" | "RCPT":
            return _read_path(verb, rest)
        case _:
            return m.Unknown(word=verb[:20])


def _read_auth(rest: str) -> m.Command:
    mechanism, _, initial = rest.partition(" ")
    match mechanism.upper(), initial:
        case "PLAIN", "":
            return m.AuthPlain()
        case "PLAIN", _:
            return decode_plain(initial)
        case "LOGIN", "":
            return m.AuthLogin()
        case "LOGIN", _:
            said = decode_answer(initial)
            return m.AuthLogin(user=said.said) if isinstance(said, m.AuthAnswer) else said
        case _:
            return m.Malformed(verb="AUTH", reply=Reply(504, ("5.5.4 Mechanism not supported",)))


_BAD_AUTH = m.Malformed(verb="AUTH", reply=Reply(501, ("5.5.2 Cannot read that response",)))


def decode_plain(said: str) -> m.AuthPlain | m.Malformed:
    """An initial response of PLAIN, or what follows its 334. An authorization identity is not looked at."""
    try:
        _, user, password = b64decode(said, validate=True).decode().split("\0")
        return m.AuthPlain(user=Secret(user), password=Secret(password))
    except (NotBase64, ValueError):  # InvalidValue and UnicodeDecodeError are ValueErrors
        return _BAD_AUTH


def decode_answer(said: str) -> m.AuthAnswer | m.Malformed:
    """One answer of AUTH LOGIN."""
    try:
        return m.AuthAnswer(said=Secret(b64decode(said, validate=True).decode()))
    except (NotBase64, ValueError):
        return _BAD_AUTH


class _BadParameter(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


def _read_path(verb: str, rest: str) -> m.Command:
    found = _PATH.fullmatch(rest)
    if not found or (found[1].upper() == "FROM") != (verb == "MAIL"):
        return m.Malformed(verb=verb, reply=_SYNTAX)
    try:
        # A source route is to be ignored (RFC 5321 appendix C).
        address = re.sub(r"^@[^:]*:", "", found[2])
        parameters = _parameters(found[3] or "", verb)
        if verb == "MAIL":
            return _read_mail(address, parameters)
        return _read_rcpt(address, parameters)
    except InvalidValue:
        return m.Malformed(verb=verb, reply=_BAD_SENDER if verb == "MAIL" else _BAD_ADDRESS)
    except _BadParameter as bad:
        return m.Malformed(verb=verb, reply=bad.reply)


_KNOWN = {"MAIL": {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"}, "RCPT": {"NOTIFY", "ORCPT"}}


def _parameters(text: str, verb: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for word in text.split():
        found = _PARAMETER.fullmatch(word)
        if not found or (key := found[1].upper()) in parameters:
            raise _BadParameter(_SYNTAX)
        if key not in _KNOWN[verb]:
            raise _BadParameter(_UNSUPPORTED)
        if (key == "SMTPUTF8") != (found[2] is None):
            raise _BadParameter(_SYNTAX)
        parameters[key] = found[2] or ""
    return parameters


def _read_mail(address: str, parameters: dict[str, str]) -> m.Mail:
    size = parameters.get("SIZE")
    body = parameters.get("BODY", "7BIT").upper()
    ret = parameters.get("RET", "").upper()
    if (size is not None and not re.fullmatch(r"[0-9]{1,20}", size, re.ASCII)) or (
        body not in ("7BIT", "8BITMIME") or ret not in ("", "FULL", "HDRS")
    ):
        raise _BadParameter(_SYNTAX)
    try:
        envid = m.EnvelopeId(unxtext(parameters["ENVID"])) if "ENVID" in parameters else None
    except InvalidValue:
        raise _BadParameter(_SYNTAX) from None
    return m.Mail(
        sender=m.mailbox(address) if address else None,
        size=int(size) if size is not None else None,
        eight_bit=body == "8BITMIME",
        utf8="SMTPUTF8" in parameters,
        ret=Ret(ret) if ret else None,
        envid=envid,
    )


def _read_rcpt(address: str, parameters: dict[str, str]) -> m.Rcpt:
    notify: frozenset[Notify] | None = None
    if "NOTIFY" in parameters:
        words = parameters["NOTIFY"].upper().split(",")
        try:
            notify = frozenset() if words == ["NEVER"] else frozenset(map(Notify, words))
        except ValueError:
            raise _BadParameter(_SYNTAX) from None
    return m.Rcpt(to=m.mailbox(address), notify=notify, original=_original(parameters.get("ORCPT")))


def _original(said: str | None) -> Mailbox | None:
    if said is None:
        return None
    kind, semicolon, address = said.partition(";")
    if not semicolon:
        raise _BadParameter(_SYNTAX)
    read = un_utf8_xtext if kind.lower() == "utf-8" else unxtext
    try:
        return m.mailbox(read(address))
    except InvalidValue:
        return None  # it need not be an address of ours; nothing depends on it
