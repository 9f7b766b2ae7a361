"""What a carrier's answers mean for a page: the one place where the codes of WCTP are read."""

from __future__ import annotations

from typing import assert_never

from gateway.model import Instant, later
from gateway.outcome import About, InDoubt, Later, Outcome, Refused, Taken
from protocols.text import printable
from protocols.wctp.answers import Accepted, Denied, Foreign
from protocols.wctp.messages import Code, Kind

ANSWERS = (
    (
        "HTTP 2xx with Success or ClientSuccess 2xx",
        "Taken, handed_over",
        "accepted by the carrier, nothing more",
    ),
    (
        "Failure 301, 302",
        "Refused about page",
        "it cannot read the document; that may be this page's characters, so the link stays in use",
    ),
    (
        "Failure 300, 303, other 3xx; 401, 402, 432; 503",
        "Refused about link",
        "operation, version, sender or code: the same again fails again, and a person must look",
    ),
    ("Failure 403, 404", "Refused about address", "unknown or barred device"),
    (
        "Failure 414, 415, 416, 419 to choices",
        "NotSent",
        "the device takes no such choices: at once again, with the replies behind the text",
    ),
    ("other Failure 4xx, 5xx", "Refused about page", "this text, or what was asked for with it, never"),
    ("Failure 304", "Later about link", "it wants its answers fetched first: they are, at once"),
    ("Failure 600 to 603", "Later about link", "too fast: no page for 30 s, with 601 and 603 for 120 s"),
    ("Failure 604 to 606", "Later about link", "out of order: no page for 10 s"),
    ("Failure with another code or none", "Later about page", "nobody knows what it means: again later"),
    (
        "no connection, no TLS; loss, or anything said, before the document is sent",
        "NotSent",
        "nothing of it was written",
    ),
    (
        "loss, silence, a cut answer, HTML, a redirect, no yes or no, HTTP 5xx without WCTP after it",
        "InDoubt",
        "only a whole Success or Failure tells",
    ),
)

PAUSES = {  # seconds without a page; 602 and 603 name no time, and 604 is said of single pages too
    Code.POLL_RATE: 30.0,
    Code.EXCESSIVE_POLLING: 120.0,
    Code.TRAFFIC_RATE: 30.0,
    Code.EXCESSIVE_TRAFFIC: 120.0,
    Code.INTERNAL_ERROR: 10.0,
    Code.UNAVAILABLE_OLD: 10.0,
    Code.UNAVAILABLE: 10.0,
}
_PAGE = frozenset({Code.CANNOT_PARSE, Code.NOT_VALID})
_ADDRESS = frozenset({Code.INVALID_RECIPIENT, Code.INVALID_AUTHORIZATION})
LONGEST_WHY = 160  # characters of a carrier's words that are kept


def outcome_of(heard: Accepted | Denied | Foreign, now: Instant) -> Outcome:
    """What became of a page, in our words: the table ``ANSWERS`` (docs/protocols/wctp.md)."""
    match heard:
        case Accepted(code=code):
            old = "the carrier takes this version for deprecated" if code == Code.OK_OLD_VERSION else None
            return Taken(code=str(code), why=words_of(heard), warning=old)
        case Denied():
            return _denied(heard, now)
        case Foreign(why=why):
            return InDoubt(code="no-answer", why=in_short(why))
        case _:
            assert_never(heard)


def _denied(heard: Denied, now: Instant) -> Outcome:
    code, why = "none" if heard.code is None else str(heard.code), words_of(heard)
    match heard.kind:
        case Kind.CONFIGURATION if heard.code in _PAGE:
            return Refused(about=About.PAGE, code=code, why=why)
        case Kind.CONFIGURATION:
            return Refused(about=About.LINK, code=code, why=why)
        case Kind.PERMANENT if heard.code == Code.SENDER_DISABLED:
            return Refused(about=About.LINK, code=code, why=why)
        case Kind.PERMANENT:
            about = About.ADDRESS if heard.code in _ADDRESS else About.PAGE
            return Refused(about=about, code=code, why=why)
        case _ if heard.code == Code.POLL_FIRST:
            return Later(about=About.LINK, code=code, why=why)
        case _ if heard.code in PAUSES:
            pause = PAUSES[Code(heard.code)]
            return Later(about=About.LINK, code=code, why=why, not_before=later(now, pause))
        case _:
            return Later(about=About.PAGE, code=code, why=why)


def words_of(heard: Accepted | Denied) -> str:
    """What a result says, on one line."""
    said = [one for one in dict.fromkeys((heard.text, heard.detail)) if one]
    return in_short(": ".join(said))


def in_short(words: str) -> str:
    """A carrier's *words* on one line, at most ``LONGEST_WHY`` characters."""
    return printable(" ".join(words.split()))[:LONGEST_WHY]
