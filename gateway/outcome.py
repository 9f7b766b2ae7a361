"""What a carrier's answer meant, and how far we know a message got.

An attempt has exactly one of five outcomes; an adapter's table of answers turns a carrier's words
into one of them, and nothing else in the gateway reads a carrier's words.
"""

from __future__ import annotations

import enum

import msgspec

from gateway.model import Instant


class Level(enum.IntEnum):
    """How far we *know* it got. Only climbs; never says more than was heard."""

    STORED = 0
    HANDED_OVER = 1
    IN_PROGRESS = 2
    ON_DEVICE = 3
    READ = 4
    ACKNOWLEDGED = 5

    @property
    def token(self) -> str:
        """The word of the API and of the settings, ``handed_over`` for example."""
        return self.name.lower()


class About(enum.Enum):
    """What a refusal or a "later" is about; decides whether the page, the address or the link suffers."""

    PAGE = "page"
    ADDRESS = "address"
    LINK = "link"


class CarrierRef(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier's own name for what it took.

    *scope* says within what *ref* is unique (account, carrier or pager; the link decides); *part* counts
    from 1 when one page went out as several. *enquire_at* is when the lane should ask the carrier about
    it for the first time, None where the carrier reports by itself or cannot be asked.
    """

    scope: str
    ref: str
    part: int = 1
    enquire_at: Instant | None = None


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The carrier took responsibility. *warning*: taken, but damaged ("cut at 80 characters")."""

    refs: tuple[CarrierRef, ...] = ()
    level: Level = Level.HANDED_OVER
    code: str = ""
    why: str = ""
    warning: str | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A no that stays a no."""

    about: About
    code: str
    why: str


class Later(msgspec.Struct, frozen=True, kw_only=True):
    """The carrier said: later. *not_before* if it said when."""

    about: About
    code: str
    why: str
    not_before: Instant | None = None


class NotSent(msgspec.Struct, frozen=True, kw_only=True):
    """It never reached them: nothing of the page left us, or what left cannot have been taken.

    *again*: nothing failed, this conversation took as many pages as it takes; another one takes this one.
    """

    code: str
    why: str
    again: bool = False


class InDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """The text left us and no answer came."""

    code: str
    why: str


Outcome = Taken | Refused | Later | NotSent | InDoubt


def token_of(outcome: Outcome) -> str:
    """The outcome's word in events, API and metrics: ``taken``, ``not_sent`` and so on."""
    return _TOKENS[type(outcome)]


_TOKENS: dict[type, str] = {
    Taken: "taken",
    Refused: "refused",
    Later: "later",
    NotSent: "not_sent",
    InDoubt: "in_doubt",
}
