"""What is said in SMTP, as values: commands, replies, a message to send, what became of it.

RFC 5321, 2033 (LMTP), 3461 (DSN), 4954 (AUTH), 6531 (SMTPUTF8). The types `HeaderText`, `Mailbox`,
`Utf8Mailbox`, `Domain`, `EnvelopeId`, `MessageId`, `Secret` and `Content` check what they are built from, so
a value of them cannot carry a line end or a control character to where it would be read as another line.
"""

import re
from enum import Enum
from typing import Self

from msgspec import Struct

from protocols.errors import InvalidValue as InvalidValue
from protocols.errors import LocalProtocolError as LocalProtocolError
from protocols.text import CONTROLS

MAX_TEXT_LINE = 998  # octets without CR LF: RFC 5321 4.5.3.1.6, RFC 5322 2.1.1
MAX_LOCAL = 64  # octets: RFC 5321 4.5.3.1.1
MAX_DOMAIN = 255  # octets: RFC 5321 4.5.3.1.2
MAX_MAILBOX = 254  # octets: RFC 5321 4.5.3.1.3 allows 256 with the angle brackets
MAX_HEADER_TEXT = 1000  # characters of a subject or a name; ours
MAX_ENVELOPE_ID = 100  # octets as xtext: RFC 3461 4.4
MAX_SECRET = 255  # octets of a login or password; ours
MAX_CONTENT = 10_485_760  # octets of a message we build or send; ours, what Postfix takes by default
MAX_RECIPIENTS = 100  # of one transaction: every server must take them (RFC 5321 4.5.3.1.8)


# What may go into a command, a header or a message


class _Checked(str):
    __slots__ = ()
    _what, _form, _limit = "value", re.compile(""), 0  # the limit is in octets

    def __new__(cls, value: str) -> Self:
        if not value:
            raise InvalidValue(cls._what, "is missing")
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise InvalidValue(cls._what, "has half a character") from None
        if size > cls._limit:
            raise InvalidValue(cls._what, "is too long", cls._limit)
        if not cls._form.fullmatch(value):
            raise InvalidValue(cls._what, "has characters or a form that is not allowed")
        return super().__new__(cls, value)


class HeaderText(str):
    """One line of Unicode for a header field: no control character, no line or paragraph separator."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        if len(value) > MAX_HEADER_TEXT:
            raise InvalidValue("header text", "is too long", MAX_HEADER_TEXT)
        if CONTROLS.search(value):
            raise InvalidValue("header text", "has control characters")
        return super().__new__(cls, value)


_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_UTF8 = "\u00a0-\u2027\u202a-\ud7ff\ue000-\U0010ffff"  # no C1, no line or paragraph separator, no surrogates
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_UTF8_LABEL = rf"[A-Za-z0-9{_UTF8}](?:[A-Za-z0-9{_UTF8}-]{{0,61}}[A-Za-z0-9{_UTF8}])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_LITERAL = r"\[(?:IPv6:[0-9A-Fa-f:.]{2,45}|[0-9]{1,3}(?:\.[0-9]{1,3}){3})\]"


class Domain(_Checked):
    """A host name or an address literal in brackets, as after EHLO (RFC 5321 4.1.2)."""

    __slots__ = ()
    _what, _form, _limit = "domain", re.compile(rf"{_DOMAIN}|{_LITERAL}", re.ASCII), MAX_DOMAIN


class Mailbox(_Checked):
    """An address without angle brackets, ASCII: RFC 5321 4.1.2, atoms or a quoted local part."""

    __slots__ = ()
    _what, _limit = "address", MAX_MAILBOX
    _form = re.compile(
        rf'(?:[{_ATEXT}]+(?:\.[{_ATEXT}]+)*|"(?:[ !\x23-\x5b\x5d-\x7e]|\\[ -~])*")@(?:{_DOMAIN}|{_LITERAL})',
        re.ASCII,
    )

    def __new__(cls, value: str) -> Self:
        self = super().__new__(cls, value)
        if len(self.local.encode()) > MAX_LOCAL:
            raise InvalidValue(cls._what, "has a local part that is too long", MAX_LOCAL)
        return self

    @property
    def local(self) -> str:
        return self.rpartition("@")[0]

    @property
    def domain(self) -> str:
        return self.rpartition("@")[2]


class Utf8Mailbox(Mailbox):
    """An address that may have Unicode on either side of the at sign (RFC 6531 3.3); needs SMTPUTF8."""

    __slots__ = ()
    _form = re.compile(
        rf'(?:[{_ATEXT}{_UTF8}]+(?:\.[{_ATEXT}{_UTF8}]+)*|"(?:[ !\x23-\x5b\x5d-\x7e{_UTF8}]|\\[ -~])*")'
        rf"@(?:{_UTF8_LABEL}(?:\.{_UTF8_LABEL})*|{_LITERAL})"
    )


def mailbox(value: str) -> Mailbox:
    """*value* as a `Mailbox` where it is ASCII, else as a `Utf8Mailbox`. Raises `InvalidValue`."""
    return Mailbox(value) if value.isascii() else Utf8Mailbox(value)


class EnvelopeId(_Checked):
    """ENVID: printable ASCII without blanks. Comes back in reports (RFC 3461 4.4)."""

    __slots__ = ()
    _what, _form, _limit = "envelope id", re.compile(r"[\x21-\x7e]+", re.ASCII), MAX_ENVELOPE_ID

    def __new__(cls, value: str) -> Self:
        self = super().__new__(cls, value)
        if len(self) + 2 * (self.count("+") + self.count("=")) > MAX_ENVELOPE_ID:
            raise InvalidValue(cls._what, "is too long as xtext", MAX_ENVELOPE_ID)
        return self


class MessageId(_Checked):
    """``<left@right>`` with the angle brackets (RFC 5322 3.6.4)."""

    __slots__ = ()
    _what, _limit = "Message-ID", 250
    _form = re.compile(rf"<[{_ATEXT}.]+@[{_ATEXT}.\[\]:]+>", re.ASCII)


class Secret(_Checked):
    """A login or password: no control characters; its repr does not show it."""

    __slots__ = ()
    _what, _form, _limit = "login", re.compile(f"[\x20-\x7e{_UTF8}]+"), MAX_SECRET

    def __repr__(self) -> str:
        return "Secret(…)"


class Content(bytes):
    """A message, header and body, as it is sent: CR LF line ends only, no NUL, lines and size within limits.

    Dots are not stuffed yet; `codec.data_block` does that.
    """

    __slots__ = ()

    def __new__(cls, value: bytes) -> Self:
        if len(value) > MAX_CONTENT:
            raise InvalidValue("message", "is too long", MAX_CONTENT)
        if b"\0" in value:
            raise InvalidValue("message", "has NUL")
        bare = value.replace(b"\r\n", b"")
        if b"\r" in bare or b"\n" in bare:
            raise InvalidValue("message", "has a bare CR or LF")
        if max(map(len, value.split(b"\r\n"))) > MAX_TEXT_LINE:
            raise InvalidValue("message", "has a line that is too long", MAX_TEXT_LINE)
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return f"Content({len(self)} octets)"

    @property
    def utf8_header(self) -> bool:
        """The header has octets over 127: only a server with SMTPUTF8 may get it."""
        return not self.partition(b"\r\n\r\n")[0].isascii()


# Replies


class Kind(Enum):
    """What a reply code means by itself (RFC 5321 4.2; the table in docs/protocols/smtp.md)."""

    DONE = "done"  # 2xx
    INFORMATION = "information"  # 211, 214, 220, 221: said about the server, never the success of a message
    GO_ON = "go on"  # 3xx
    TEMPORARY = "temporary"  # 4xx: may be tried again
    PERMANENT = "permanent"  # 5xx: the same again will fail again
    OURS = "ours"  # 500-504, 530, 534, 535, 538, 555: this client or its configuration is at fault


_OURS = frozenset({500, 501, 502, 503, 504, 530, 534, 535, 538, 555})
_INFORMATION = frozenset({211, 214, 220, 221})


class Reply(Struct, frozen=True):
    """An answer of one or more *lines*, without code and line ends."""

    code: int
    lines: tuple[str, ...] = ("",)

    @property
    def text(self) -> str:
        return " ".join(line for line in self.lines if line)

    @property
    def enhanced(self) -> str | None:
        """``x.y.z`` (RFC 3463) before the text; None if it contradicts the code, which counts."""
        found = _ENHANCED.match(self.lines[-1])
        return found[1] if found and found[1][0] == str(self.code)[0] else None

    @property
    def kind(self) -> Kind:
        """By code where it is listed, else by first digit."""
        if self.code in _OURS:
            return Kind.OURS
        match self.code // 100:
            case 2:
                return Kind.INFORMATION if self.code in _INFORMATION else Kind.DONE
            case 3:
                return Kind.GO_ON
            case 4:
                return Kind.TEMPORARY
            case _:
                return Kind.PERMANENT

    @property
    def success(self) -> bool:
        """The command did what was asked. Of the final dot this means: responsibility taken, nothing more."""
        return self.kind is Kind.DONE

    @property
    def temporary(self) -> bool:
        return self.kind is Kind.TEMPORARY

    @property
    def closes(self) -> bool:
        """421: the server closes; nothing that was under way has been accepted."""
        return self.code == 421

    @property
    def full(self) -> bool:
        """452 of a recipient too many (4.5.3, or no enhanced code): the rest may go in a new transaction."""
        return self.code == 452 and self.enhanced in (None, "4.5.3")

    @property
    def queue_id(self) -> str | None:
        """What the server calls the message, where the text of a 250 says ``queued as …``."""
        return found[1] if self.success and (found := _QUEUED.search(self.text)) else None

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]|\Z)", re.ASCII)
_QUEUED = re.compile(r"\bqueued as ([A-Za-z0-9._-]{1,64})", re.ASCII | re.IGNORECASE)


# Commands


class Notify(Enum):
    """What a report is wanted for (RFC 3461 4.1)."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


class Ret(Enum):
    """How much of the message a report of failure brings back (RFC 3461 4.3)."""

    FULL = "FULL"
    HDRS = "HDRS"


class Ehlo(Struct, frozen=True, kw_only=True):
    domain: Domain


class Helo(Struct, frozen=True, kw_only=True):
    domain: Domain


class Lhlo(Struct, frozen=True, kw_only=True):
    domain: Domain


class StartTls(Struct, frozen=True, kw_only=True):
    pass


class AuthPlain(Struct, frozen=True, kw_only=True):
    """AUTH PLAIN with an initial response (RFC 4616); without one *user* and *password* are None."""

    user: Secret | None = None
    password: Secret | None = None


class AuthLogin(Struct, frozen=True, kw_only=True):
    """AUTH LOGIN; *user* None: the server has to ask."""

    user: Secret | None = None


class AuthAnswer(Struct, frozen=True, kw_only=True):
    """What follows a 334 of AUTH LOGIN."""

    said: Secret


class Mail(Struct, frozen=True, kw_only=True):
    """MAIL FROM. *sender* None: ``<>``. Other fields None or False: the parameter is left out."""

    sender: Mailbox | None
    size: int | None = None
    eight_bit: bool = False  # BODY=8BITMIME
    utf8: bool = False  # SMTPUTF8
    ret: Ret | None = None
    envid: EnvelopeId | None = None


class Rcpt(Struct, frozen=True, kw_only=True):
    """RCPT TO. *notify*: None leaves it to the server, the empty set is NEVER. *original*: ORCPT."""

    to: Mailbox
    notify: frozenset[Notify] | None = None
    original: Mailbox | None = None


class Data(Struct, frozen=True, kw_only=True):
    pass


class Rset(Struct, frozen=True, kw_only=True):
    pass


class Noop(Struct, frozen=True, kw_only=True):
    pass


class Quit(Struct, frozen=True, kw_only=True):
    pass


class Vrfy(Struct, frozen=True, kw_only=True):
    """VRFY and EXPN, heard by servers; never answered with knowledge."""


class Help(Struct, frozen=True, kw_only=True):
    pass


class Unknown(Struct, frozen=True, kw_only=True):
    """A word that is no command of ours; heard by servers, never sent."""

    word: str


class Malformed(Struct, frozen=True, kw_only=True):
    """A command with an argument that is wrong; *reply* says how. Heard by servers, never sent."""

    verb: str
    reply: Reply


Sayable = (
    Ehlo
    | Helo
    | Lhlo
    | StartTls
    | AuthPlain
    | AuthLogin
    | AuthAnswer
    | Mail
    | Rcpt
    | Data
    | Rset
    | Noop
    | Quit
    | Vrfy
    | Help
)
Command = Sayable | Unknown | Malformed


# A message to send, and what became of it


class Login(Struct, frozen=True, kw_only=True):
    """Who we are to a submission server."""

    user: Secret
    password: Secret


class Recipient(Struct, frozen=True, kw_only=True):
    """One recipient and what the server is asked to report about it, where it offers DSN; see `Rcpt`."""

    address: Mailbox
    notify: frozenset[Notify] | None = None
    original: Mailbox | None = None


class Transaction(Struct, frozen=True, kw_only=True):
    """A message to send. *sender* None: ``<>``, nobody wants a bounce. *ret*, *envid*: if DSN is offered."""

    sender: Mailbox | None
    recipients: tuple[Recipient, ...]
    content: Content
    ret: Ret | None = None
    envid: EnvelopeId | None = None

    def __post_init__(self) -> None:
        if not self.recipients:
            raise InvalidValue("recipients", "are missing")
        if len(self.recipients) > MAX_RECIPIENTS:
            raise InvalidValue("recipients", "are too many", MAX_RECIPIENTS)
        if len({to.address for to in self.recipients}) < len(self.recipients):
            raise InvalidValue("recipients", "are named twice")

    @property
    def utf8(self) -> bool:
        """Only a server with SMTPUTF8 can take it."""
        said = [*(to.address for to in self.recipients), *([self.sender] if self.sender else [])]
        return self.content.utf8_header or not all(address.isascii() for address in said)


class Answer(Struct, frozen=True, kw_only=True):
    """What the server said about one recipient. *step*: MAIL, RCPT, DATA or ``.``, what it answered."""

    recipient: Recipient
    reply: Reply
    step: str

    @property
    def taken(self) -> bool:
        """The server took responsibility for the message to this recipient."""
        return self.step == "." and self.reply.success


class Submitted(Struct, frozen=True, kw_only=True):
    """The server answered; *reply* decided. *step*: MAIL, RCPT, DATA, RSET or ``.``, what it answered.

    *answers*: one for each recipient, in order. Only those that are `taken` have been accepted.
    """

    reply: Reply
    step: str
    answers: tuple[Answer, ...]

    @property
    def taken(self) -> tuple[Recipient, ...]:
        """The recipients for whom the server took responsibility."""
        return tuple(answer.recipient for answer in self.answers if answer.taken)

    @property
    def left_over(self) -> tuple[Recipient, ...]:
        """Recipients that were one too many beside others that were taken; a new transaction may follow."""
        if not self.taken:
            return ()
        return tuple(one.recipient for one in self.answers if one.step == "RCPT" and one.reply.full)


class NotSent(Struct, frozen=True, kw_only=True):
    """The conversation ended before the final dot: nobody got anything.

    *lacking*: SIZE, 8BITMIME or SMTPUTF8, which this server lacks for this message; nothing was said to it
    and the conversation goes on, but the same message will not get through here.
    """

    why: str
    lacking: str = ""


class InDoubt(Struct, frozen=True, kw_only=True):
    """The final dot was handed to the transport and no answer to it came: sent or not, nobody knows.

    *answers*: what was said of single recipients before that: refusals at RCPT, and by LMTP after the dot.
    """

    why: str
    answers: tuple[Answer, ...] = ()


Result = Submitted | NotSent | InDoubt
