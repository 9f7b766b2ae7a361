"""What an administrator says about a carrier's answers: ordered rules over the adapter's table. Pure.

The first rule that matches counts. Rules change what a no or a "later" means, nothing else: a success stays
one, what never reached the carrier stays so, and a doubt stays a doubt, for no rule knows whether a text
arrived. Patterns know ``*`` only, so matching takes time in proportion to the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from gateway.model import Instant, later
from gateway.outcome import About, Later, Outcome, Refused
from gateway.settings.types import Rule

MOST_WORDS = 1000  # characters of an answer that rules look at


class Ruled(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome after the rules: which of them counted (from 1, None: none did), and until when it wants
    the link paused."""

    outcome: Outcome
    number: int | None = None
    pause_until: Instant | None = None


def ruled(rules: Sequence[Rule], outcome: Outcome, *, protocol: str, link: str, now: Instant) -> Ruled:
    """What *outcome*, which a link named *link* of *protocol* gave, means by *rules*."""
    if not isinstance(outcome, Refused | Later):
        return Ruled(outcome=outcome)
    number = first_match(rules, outcome.code, outcome.why, protocol=protocol, link=link)
    if number is None:
        return Ruled(outcome=outcome)
    rule = rules[number - 1]
    pause = None if rule.pause_link is None else later(now, rule.pause_link)
    why = f"{outcome.why} [rule {number}: {rule.means}]"
    return Ruled(outcome=_meant(rule, outcome, why, pause), number=number, pause_until=pause)


def first_match(rules: Sequence[Rule], code: str, words: str, *, protocol: str, link: str) -> int | None:
    """The number (from 1) of the first rule for an answer; None: the adapter's table counts."""
    for number, rule in enumerate(rules, 1):
        if (
            rule.protocol in (None, protocol)
            and rule.link in (None, link)
            and glob_matches(rule.code, code)
            and glob_matches(rule.match, words[:MOST_WORDS])
        ):
            return number
    return None


def glob_matches(glob: str, text: str) -> bool:
    """Whether the whole of *text* is as *glob* says: ``*`` stands for anything, all else for itself; case
    does not matter."""
    first, *rest = glob.casefold().split("*")
    text = text.casefold()
    if not rest:
        return text == first
    *middle, last = rest
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _meant(rule: Rule, said: Refused | Later, why: str, pause: Instant | None) -> Refused | Later:
    match rule.means:
        case "refuse_page":
            return Refused(about=About.PAGE, code=said.code, why=why)
        case "refuse_address":
            return Refused(about=About.ADDRESS, code=said.code, why=why)
        case "refuse_link":
            return Refused(about=About.LINK, code=said.code, why=why)
        case "later" | "later_link":
            about = About.LINK if rule.means == "later_link" else About.PAGE
            before = said.not_before if isinstance(said, Later) else None
            times = [at for at in (before, pause) if at is not None]
            return Later(about=about, code=said.code, why=why, not_before=max(times, default=None))
        case _:
            assert_never(rule.means)
