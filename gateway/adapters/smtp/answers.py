"""What a mail server's answers mean for a page: the one place where SMTP's codes are read."""

from __future__ import annotations

from typing import assert_never

from gateway.outcome import About, InDoubt, Later, NotSent, Outcome, Refused, Taken
from protocols.smtp import messages as m
from protocols.text import printable

ANSWERS = (
    ("2xx to the text", "Taken, handed_over", "the server took responsibility, nothing more"),
    ("421 to anything", "Later about link", "the server closes; nothing of the page was taken"),
    ("4xx to MAIL; 4.1.7, 4.1.8", "Later about link", "it takes nothing from us at the moment"),
    (
        "4xx to RCPT; 4.1.x, 4.2.x, 4.7.x to RCPT, DATA or the text",
        "Later about address",
        "greylisting, mailbox busy or full",
    ),
    ("other 4xx to DATA or the text; 4.3.4, 4.6.x", "Later about page", "technical: this one again later"),
    (
        "530, 534, 535, 538; 5xx to MAIL; 5.1.7, 5.1.8, 5.7.8 to 5.7.14",
        "Refused about link",
        "login, or our own address, is not accepted",
    ),
    (
        "5xx to RCPT; 5.1.x, 5.2.x, 5.6.7; an address that needs SMTPUTF8, where that is not offered",
        "Refused about address",
        "no such mailbox, or none for us",
    ),
    (
        "other 5xx to DATA or the text; 552, 5.3.4, 5.6.x; a mail larger than SIZE",
        "Refused about page",
        "this text never",
    ),
    ("no connection, no TLS, no greeting, AUTH refused", "NotSent", "nothing was entered"),
    ("loss, silence, garbage, an answer too many before the dot", "NotSent", "the text was not written"),
    (
        "loss, silence, garbage after the dot; 211, 214, 22x, 3xx to the text",
        "InDoubt",
        "no answer to it came",
    ),
)

_LOGIN = frozenset({530, 534, 535, 538})
_LOGIN_DETAIL = frozenset(
    f"7.{detail}" for detail in range(8, 15)
)  # RFC 4954 6, RFC 5248: AUTH and its strength
_OUR_ADDRESS = frozenset({"1.7", "1.8"})  # RFC 3463 3.2: the sender's
_STEPS = {".": "the text"}
LONGEST_WHY = 160  # characters of a server's words that are kept


def outcome_of(result: m.Result) -> Outcome:
    """What became of a page, in our words: the table ``ANSWERS`` (RFC 5321 4.2, RFC 3463)."""
    match result:
        case m.NotSent(lacking=""):
            return NotSent(code="lost", why=in_short(result.why))
        case m.NotSent(lacking=lacking):
            about = About.ADDRESS if lacking == "SMTPUTF8" else About.PAGE
            return Refused(about=about, code=lacking.lower(), why=in_short(result.why))
        case m.InDoubt(why=why):
            return InDoubt(code="no-answer", why=in_short(why))
        case m.Submitted():
            return _answered(result.reply, result.step)
        case _:
            assert_never(result)


def _answered(reply: m.Reply, step: str) -> Outcome:
    code = str(reply.code)
    why = f"{_STEPS.get(step, step)}: {in_short(reply.text)}"
    if reply.success:
        return Taken(code=code, why=why)
    if reply.enhanced is not None:
        code = f"{code} {reply.enhanced}"
    if reply.closes:
        return Later(about=About.LINK, code=code, why=why)
    about = _about(reply, step)
    return (
        Later(about=about, code=code, why=why)
        if reply.temporary
        else Refused(about=about, code=code, why=why)
    )


def _about(reply: m.Reply, step: str) -> About:
    """Whether page, address or link is what a server does not take.

    By the enhanced code where it tells, else by what was answered. A refusal about the link switches it off,
    so what was said to RCPT, one recipient's business, is about the link only if it names login or sender.
    """
    detail = (reply.enhanced or "").partition(".")[2]
    subject = detail.partition(".")[0]
    if detail == "6.7":  # RFC 6531 3.5: a server on the way cannot carry this address
        return About.ADDRESS
    if detail == "3.4" or subject == "6" or (reply.code == 552 and subject in ("", "3")):
        return About.PAGE
    if reply.code in _LOGIN or detail in _LOGIN_DETAIL | _OUR_ADDRESS or step == "MAIL":
        return About.LINK
    if subject in ("1", "2") or (reply.temporary and subject == "7") or step == "RCPT":
        return About.ADDRESS
    return About.PAGE


def in_short(words: str) -> str:
    """A server's *words* on one line, at most ``LONGEST_WHY`` characters."""
    return printable(words)[:LONGEST_WHY]
