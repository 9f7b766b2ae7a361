"""The carrier catalogue: what is known about carriers, with where it is known from.

A *listing* is one file of ``config/carriers/``, named as it is used: ``spok-us@2026.11.yaml`` is what
``use: spok-us@2026.11`` means. A listing that was released is not changed any more; what is learnt later is
a new edition beside it. So what a site has pinned stays as it was (docs/decisions/0014-catalogue.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.outcome import Level
from gateway.settings.types import DeviceRule, Name

Status = Literal["live", "reported", "historical", "dead", "ends"]
"""``live``: the carrier's own page or manual describes it as current. ``reported``: others say that it works,
nobody here has tried. ``historical``: it once was so. ``dead``: ended by the carrier. ``ends``: will be."""

GONE = ("historical", "dead")
NEVER_LISTED = frozenset(
    {
        "dial",
        "login",
        "password",
        "sender_id",
        "security_code",
        "misc_info",
        "poller_id",
        "poll_code",
        "system_id",
    }
)
"""Keys that no listing fills in: numbers that may be private persons' today; what is a customer's own."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    what: Annotated[str, Meta(min_length=1, description="What is said, in our words.")]
    source: Annotated[str, Meta(min_length=1, description="Who says it, and when where that is known.")]
    verified_on: Annotated[
        str | None,
        Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="Day we tried it; `none`: never."),
    ]
    status: Annotated[Status | None, Meta(description="If not that of what it belongs to.")] = None


class Phone(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A telephone number that stood in a list. Nothing ever dials it from here."""

    number: Annotated[str, Meta(pattern=r"^[0-9 -]{6,24}$", description="As it was listed.")]
    status: Annotated[Status, Meta(description="Of this number.")]
    source: Annotated[str, Meta(min_length=1, description="Where it was listed.")]
    verified_on: Annotated[
        str | None,
        Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="Day we tried it; `none`: never."),
    ]
    what: Annotated[str, Meta(description="What was said about it.")] = ""


class Way(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known about one protocol of a carrier. *own*: the nodes of ``settings``, keys of a link."""

    status: Annotated[Status | None, Meta(description="If not that of the whole listing.")] = None
    domains: Annotated[tuple[str, ...], Meta(description="Mail domains that stand for devices.")] = ()
    numbers: Annotated[tuple[Phone, ...], Meta(description="Telephone numbers; never dialled.")] = ()
    facts: Annotated[tuple[Fact, ...], Meta(description="What is known.")] = ()
    own: Any = None


class Listing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One carrier as known in one edition. *own*: the nodes that it was read from."""

    id: Annotated[Name, Meta(description="What `use` calls it.")]
    name: Annotated[str, Meta(min_length=1, description="What people call it.")]
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$|^world$", description="ISO 3166, or `world`.")]
    edition: Annotated[str, Meta(pattern=r"^\d{4}\.\d{2}$", description="Year and month.")]
    status: Annotated[Status, Meta(description="How far it can be relied on.")]
    status_on: Annotated[
        str | None, Meta(pattern=r"^\d{4}(-\d{2}){0,2}$", description="Since when; as exact as is known.")
    ] = None
    ends_on: Annotated[
        str | None, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="Last day, where status is `ends`.")
    ] = None
    facts: Annotated[tuple[Fact, ...], Meta(min_length=1, description="Why its status is what it is.")]
    device: Annotated[DeviceRule | None, Meta(description="What an address looks like.")] = None
    protocols: Annotated[
        dict[Literal["wctp", "snpp", "tap", "smpp", "smtp", "http"], Way], Meta(description="Ways in.")
    ] = {}
    limits: Annotated[tuple[Fact, ...], Meta(description="Lengths, rates, pages in a call.")] = ()
    ceiling: Annotated[Level | None, Meta(description="The highest level it can prove.")] = None
    charset: Annotated[str | None, Meta(description="Characters that arrive as they were sent.")] = None
    clear_radio: Annotated[
        bool | None, Meta(description="Whether its pages go over the air unencrypted; none: not known.")
    ] = None
    contact: Annotated[str | None, Meta(description="Whom to ask.")] = None
    notes: Annotated[tuple[str, ...], Meta(description="What else to know.")] = ()
    own: Any = None

    @property
    def tag(self) -> str:
        """As `use` writes it."""
        return f"{self.id}@{self.edition}"

    def standing(self) -> str:
        """Its status with the date, for a sentence: ``dead since 2025-06-17``."""
        match self.status:
            case "ends":
                return f"ends on {self.ends_on}"
            case "dead" | "historical":
                return f"{self.status} since {self.status_on}" if self.status_on else self.status
            case _:
                return self.status


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Listings by id, then by edition, the oldest first."""

    listings: dict[str, dict[str, Listing]] = {}

    def find(self, tag: str) -> Listing | None:
        """The listing that ``name@edition`` means."""
        name, _, edition = tag.partition("@")
        return self.listings.get(name, {}).get(edition)

    def newest(self, name: str) -> Listing | None:
        """The last edition of *name*."""
        editions = self.listings.get(name)
        return None if not editions else editions[max(editions)]

    def all_newest(self) -> Iterator[Listing]:
        """The last edition of each carrier, by name."""
        for name in sorted(self.listings):
            yield self.listings[name][max(self.listings[name])]

    def domains(self) -> dict[str, Listing]:
        """Mail domains of the last editions, and whose they are."""
        return {
            domain: listing
            for listing in self.all_newest()
            if "smtp" in listing.protocols
            for domain in listing.protocols["smtp"].domains
        }


NOTHING_LISTED = Catalogue()
