"""What a mail that somebody sent us says, as a text to page, or why there is none. Pure; never fails.

The rules are in docs/protocols/smtp.md, "Mail to page". Whether automatic mail is paged, dropped or refused,
and whether a subject alone is a page, the caller decides: it is told all that is known.
"""

import re
from collections.abc import Callable
from email.utils import parseaddr
from enum import Enum
from typing import assert_never

from msgspec import Struct

from protocols.smtp import markup, mime
from protocols.smtp.messages import Mailbox, Reply
from protocols.smtp.mime import MAX_FIELD, clean, unencoded
from protocols.text import printable

MAX_SOURCE = 262_144  # characters looked at, of all parts together; what the server takes by default
MAX_TEXT = 10_000  # characters of a text to page; what is beyond is cut, and the reading says so
LIMITS = mime.Limits(parts=100, depth=10, inside=True)  # ours; what people send has up to 20 parts, 5 deep
MAX_HOPS = 50  # Received fields: what Postfix takes for a loop by default

LOOP = Reply(554, ("5.4.6 Mail loop",))


class Automatic(Enum):
    """Signs that no person wrote it (RFC 3834 2, RFC 2919)."""

    LOOP = "our own mail, or too many servers"  # to be refused with `LOOP`
    NOBODY = "null return path"  # a bounce or another report
    AUTO = "Auto-Submitted"
    LIST = "a mailing list"  # List-Id, or Precedence: list
    BULK = "Precedence: bulk or junk"
    SUPPRESSED = "X-Auto-Response-Suppress"  # of mail servers' notices, and of some alert programs
    MACHINE = "written by a mail server"  # mailer-daemon, postmaster


class Head(Struct, frozen=True, kw_only=True):
    """What the header says: one line of printable text each. *author*: the address in From, unproven."""

    subject: str = ""
    author: str = ""
    message_id: str | None = None
    in_reply_to: str | None = None
    automatic: frozenset[Automatic] = frozenset()


class Form(Enum):
    """What the text was written in."""

    PLAIN = "text/plain"
    HTML = "text/html"
    RTF = "text/rtf"
    CALENDAR = "text/calendar"


class Reading(Struct, frozen=True, kw_only=True):
    """There is a *text*: lines of printable characters, none empty at either end. *cut*: it was longer."""

    head: Head
    text: str
    form: Form
    cut: bool = False

    @property
    def line(self) -> str:
        """``Subject: text`` in one line."""
        said = " ".join(self.text.split())
        return f"{self.head.subject}: {said}" if self.head.subject else said


class Why(Enum):
    """Why there is no text to page."""

    EMPTY = "empty"
    SIGNATURE = "only a signature"
    QUOTED = "only quoted text"
    OTHER = "nothing but attachments"  # and other forms that have no text


class NoText(Struct, frozen=True, kw_only=True):
    """No text to page. The subject may still be one."""

    head: Head
    why: Why

    @property
    def reply(self) -> Reply:
        """What to answer if the subject does not do."""
        return Reply(554, (f"5.6.0 No text to page: {self.why.value}",))


class Unreadable(Struct, frozen=True, kw_only=True):
    """Built so that we do not read it: *what* is over its *limit*."""

    what: str
    limit: int

    @property
    def reply(self) -> Reply:
        return Reply(554, (f"5.6.0 Message {self.what} over limit ({self.limit})",))


Read = Reading | NoText | Unreadable


def read(data: bytes, sender: Mailbox | None, ours: Callable[[str], bool] = lambda _: False) -> Read:
    """What the message *data*, which has LF or CR LF, says.

    *sender*: of the envelope. *ours*: whether a Message-ID, or the value of X-Pager-Loop, is one of ours.
    """
    head: Head | None = None
    texts: dict[Form, tuple[str, bool]] = {}
    left = MAX_SOURCE
    why: Why | None = None
    for part in mime.walk(data, LIMITS):
        if isinstance(part, mime.Beyond):
            return Unreadable(what=part.what, limit=part.limit)
        head = head or _head(part.fields, _hops(data), sender, ours)
        form = _FORMS.get(part.kind)
        if form is None or part.enclosed or part.attached or form in texts:
            continue
        source = part.text()
        seen, left = source[:left], max(0, left - len(source))
        match _said(form, seen):
            case Why() as lacking:
                why = why if why not in (None, Why.EMPTY) else lacking
            case str() as text:
                texts[form] = text, len(seen) < len(source)
    head = head or Head()
    for form in Form:
        if form in texts:
            text, cut = texts[form]
            cut = cut or len(text) > MAX_TEXT
            return Reading(head=head, text=text[:MAX_TEXT].rstrip(), form=form, cut=cut)
    return NoText(head=head, why=why or Why.OTHER)


_FORMS = {form.value: form for form in Form} | {"application/rtf": Form.RTF}


def _said(form: Form, source: str) -> str | Why:
    match form:
        case Form.PLAIN:
            return own_words(source)
        case Form.HTML:
            return own_words(markup.of_html(source))
        case Form.RTF:
            return own_words(markup.of_rtf(source))
        case Form.CALENDAR:
            return own_words(markup.of_calendar(source))
        case _:
            assert_never(form)


# The header


def _hops(data: bytes) -> int:
    header = re.split(rb"\r?\n\r?\n", data[: mime.MAX_HEADER + 2], maxsplit=1)[0]
    return len(re.findall(rb"(?im)^received[ \t]*:", header))


def _head(fields: dict[str, str], hops: int, sender: Mailbox | None, ours: Callable[[str], bool]) -> Head:
    message_id = clean(fields.get("message-id", ""))
    author = parseaddr(fields.get("from", ""))[1]
    known = any(value and ours(value) for value in (message_id, clean(fields.get("x-pager-loop", ""))))
    auto = fields.get("auto-submitted", "no").partition(";")[0].partition("(")[0].strip().lower()
    precedence = fields.get("precedence", "").strip().lower()
    machines = (author.lower(), (sender or "").lower())
    signs = {
        Automatic.LOOP: known or hops > MAX_HOPS,
        Automatic.NOBODY: sender is None,
        Automatic.AUTO: auto != "no",
        Automatic.LIST: "list-id" in fields or precedence == "list",
        Automatic.BULK: precedence in ("bulk", "junk"),
        Automatic.SUPPRESSED: fields.get("x-auto-response-suppress", "none").lower() != "none",
        Automatic.MACHINE: any(who.startswith(("mailer-daemon@", "postmaster@")) for who in machines),
    }
    return Head(
        subject=unencoded(fields.get("subject", "")),
        author=clean(author),
        message_id=message_id or None,
        in_reply_to=clean(fields.get("in-reply-to", "")) or None,
        automatic=frozenset(sign for sign, there in signs.items() if there),
    )


# The text

# A line that says whose words follow, as programs write it in the languages that their users have.
_ATTRIBUTION = re.compile(
    r"(On|Am|Le|El|Il|Op|Em|Den) .{4,300}"
    r"(wrote|schrieb.{0,100}|a écrit|escribió|ha scritto|schreef.{0,100}|escreveu|skrev.{0,100}) ?:",
)
_ORIGINAL = re.compile(
    r"-{3,} ?(Original Message|Original-Nachricht|Ursprüngliche Nachricht|Message d'origine|Mensaje original"
    r"|Messaggio originale|Oorspronkelijk bericht) ?-{3,}",
    re.IGNORECASE,
)
_RULE = re.compile(r"_{20,}")  # Outlook's, above the header of what is quoted
_QUOTED_HEADER = re.compile(r"\*?(From|Von|De|Da|Van)\*? ?: ?.*", re.IGNORECASE)


def own_words(text: str) -> str | Why:
    """The lines of *text* that its author wrote: no signature, nothing quoted, no two empty lines."""
    lines = [" ".join(printable(line).split()) for line in re.split("\r\n|[\r\n\u2028\u2029]", text)]
    kept: list[str] = []
    cut: Why | None = None
    for at, line in enumerate(lines):
        if line == "--":  # "-- " (RFC 3676 4.3), and what is left of it after blanks were stripped
            cut = cut or Why.SIGNATURE
            break
        if _begins_quotation(lines, at):
            cut = Why.QUOTED
            break
        if line.startswith(">"):
            cut = Why.QUOTED
        elif line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip() or cut or Why.EMPTY


def _begins_quotation(lines: list[str], at: int) -> bool:
    line = lines[at]
    if _ORIGINAL.fullmatch(line):
        return True
    following = next((one for one in lines[at + 1 : at + 4] if one), "")
    if _RULE.fullmatch(line):
        return bool(_QUOTED_HEADER.fullmatch(following))
    # Long attributions are broken into two lines.
    return any(_ATTRIBUTION.fullmatch(one) for one in (line, f"{line} {following}") if len(one) <= MAX_FIELD)
