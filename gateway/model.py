"""The nouns: what a client submitted, and the legs by which it may reach a person.

Everything here is a frozen value. Instants are integer microseconds UTC, durations float seconds.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NewType
from zlib import crc32

import msgspec

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01T00:00:00Z."""

NoticeKind = Literal[
    "handed_over",
    "on_device",
    "read",
    "acknowledged",
    "setback",
    "needs_decision",
    "confirmed",
    "unanswered",
    "failed",
    "expired",
    "cancelled",
]
"""What a client can be told of a message: levels reached, what went wrong on the way, how it ended."""

Trouble = Literal["failed", "rests", "maintenance", "switched_off"]
"""Why other links go before this one: it has just failed, its breaker is open, its carrier said beforehand
that it would not be there, or somebody ordered it."""

MessageKey = NewType("MessageKey", int)
DeliveryKey = NewType("DeliveryKey", int)
IncidentKey = NewType("IncidentKey", int)
"""Integer keys are the store's and come from one sequence; people and programs see PublicId and Ref."""

PublicId = NewType("PublicId", str)
"""128 bit, time-ordered, base32 lower case (26 characters)."""

Ref = NewType("Ref", str)
"""Four characters a person can say and type, unique while open and 24 h after."""

LinkName = NewType("LinkName", str)
"""``carrier.link``, for example ``spok.web``; also the name of the lane that runs the link."""

SECOND = 1_000_000


def later(at: Instant, seconds: float) -> Instant:
    """The instant *seconds* after *at*."""
    return Instant(at + round(seconds * SECOND))


def seconds_between(earlier: Instant, now: Instant) -> float:
    """Seconds from *earlier* to *now*; negative if *earlier* is the later one."""
    return (now - earlier) / SECOND


class MessageClass(enum.IntEnum):
    """How much it matters; lower goes first."""

    CRITICAL = 0
    URGENT = 1
    NORMAL = 2
    BULK = 3

    @property
    def token(self) -> str:
        """The word of the API and of the settings."""
        return self.name.lower()

    @property
    def pressing(self) -> bool:
        """Whether the window's reserve is kept for it (critical and urgent)."""
        return self <= MessageClass.URGENT


class Url(msgspec.Struct, frozen=True, kw_only=True):
    """A link for devices that have room for one."""

    text: str
    href: str


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be said. *text* always; the rest where the device has room for it."""

    text: str
    callback: str | None = None
    details: str | None = None
    urls: tuple[Url, ...] = ()
    replies: tuple[str, ...] = ()
    labels: dict[str, str] = {}


class Leg(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One device over one link, with its place in the plan.

    A plan is a flat tuple of legs. Legs of one *track* (one person, or one direct address) serve the same
    end; its *item* is the position in the plan's list, items are tried one after the other; the *chain*
    tells apart devices of one item that are tried together (``a + b``); *place* is the order of links
    within a chain. *trouble* is why the link went behind others when the plan was made.
    """

    track: int = 0
    item: int = 0
    chain: int = 0
    place: int = 0
    person: str | None = None
    device: str | None = None
    address: str
    link: LinkName
    path: str = "internet"
    trouble: Trouble | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is asked to submit: one delivery, rendered for its link.

    *correlation* is chosen by us before the first byte and stays the same over all tries of one delivery.
    *text* fits the link as it is, and is empty for a device that only sounds; *expires* is when the page is
    no longer worth having; *ref* is what people call the message, where it has such a name. A text that does
    not fit may go out as several *parts*, each a page with a correlation of its own.
    """

    delivery: DeliveryKey
    public_id: PublicId
    correlation: str
    address: str
    text: str
    message_class: MessageClass
    expires: Instant
    sender: str | None = None
    replies: tuple[str, ...] = ()
    ref: Ref | None = None
    copy: int = 1
    part: int = 1
    parts: int = 1


def of_part(correlation: str, part: int) -> str:
    """Our name for one part of a delivery: the first has the delivery's own, others the number behind it."""
    return correlation if part == 1 else f"{correlation}-{part}"


def checksum(link: str, address: str, content: bytes) -> int:
    """CRC-32 over what must never be mixed up: which way, to whom, and what.

    Kept with the delivery and verified whenever it is read for sending (delivery semantics 2). It guards
    against accidents of disks and of programs, all of up to 32 bit in a row among them, not against people.
    """
    return crc32(content, crc32(f"{link}\0{address}\0".encode()))


def rfc3339(at: Instant) -> str:
    """*at* as the API writes it: UTC with ``Z``, to the millisecond where there is a fraction."""
    seconds, micros = divmod(at, SECOND)
    text = _second(seconds)
    return f"{text}.{micros // 1000:03d}Z" if micros >= 1000 else f"{text}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
