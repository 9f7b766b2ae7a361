"""What an administrator may write, as frozen values. Every field has a type, a default and a description.

The YAML of an administrator is converted into one ``Settings``; the docs table and the JSON Schema are
printed from these declarations (a setting without a description fails the build). Durations are seconds,
sizes bytes. Sections of USERS 2 that have no room yet (rotas, escalations, listeners, …) are not here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.model import LinkName, MessageClass
from gateway.outcome import Level


class Secret(msgspec.Struct, frozen=True):
    """A value that is never printed. Written as a reference: ``{env: X}``, ``{file: path}``,
    ``{credential: name}``; read at load and re-read at reload."""

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """``20/s`` or ``60/min``: *count* in *per* seconds, with a burst of *count*."""

    count: float
    per: float


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="What people call this place; stands on every page.")] = "Gateway"
    zone: Annotated[str, Meta(description="IANA time zone that times are shown in.")] = "UTC"
    public_url: Annotated[str | None, Meta(description="Where people reach the console.")] = None
    store: Annotated[str, Meta(description="`sqlite:PATH` of the database file.")] = (
        "sqlite:/var/lib/gateway/gateway.db"
    )
    control: Annotated[
        str | None,
        Meta(description="Unix socket of the command line; beside the store if not given."),
    ] = None


class HttpListen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at: Annotated[str, Meta(description="`address:port` of the API. Loopback until you say otherwise.")] = (
        "127.0.0.1:8080"
    )


class Listen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    http: Annotated[HttpListen | None, Meta(description="The HTTP API.")] = HttpListen()


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token_sha256: Annotated[
        tuple[str, ...],
        Meta(description="SHA-256 (64 hex) of its bearer token; two while a token is being changed."),
    ] = ()
    may_page: Annotated[
        tuple[str, ...],
        Meta(description="Targets it may page: names, `carrier:*`, `carrier:address`, or `everyone`."),
    ] = ()
    classes: Annotated[
        tuple[MessageClass, ...], Meta(description="Classes it may use; first is its default.")
    ] = (
        MessageClass.NORMAL,
        MessageClass.URGENT,
        MessageClass.CRITICAL,
        MessageClass.BULK,
    )
    rate: Annotated[Rate | None, Meta(description="Messages it may submit.")] = None
    networks: Annotated[tuple[str, ...], Meta(description="Networks it may come from; empty: any.")] = ()


class ClassSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    deadline: Annotated[float, Meta(description="How long a delivery is worth trying.")]
    next_leg_after: Annotated[
        float | None,
        Meta(description="The next leg opens if the first still waits after this; none: on failure only."),
    ]
    waits: Annotated[tuple[float, ...], Meta(description="Waits between tries of one leg; the last repeats.")]
    step_wait: Annotated[float | None, Meta(description="How long a person has to accept.")]
    until: Annotated[Level, Meta(description="The level at which a message is done.")]
    in_doubt: Annotated[
        Literal["resend", "resend_after", "assume", "hold"],
        Meta(description="What follows when the text left us and no answer came."),
    ]
    resend_after: Annotated[float, Meta(description="Wait for late proof before a second copy.")] = 60.0
    admission: Annotated[float, Meta(description="Share of the queue budget at which it is refused.")] = 1.0


class Breaker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    failures: Annotated[
        int, Meta(ge=1, description="Transport failures or doubts in a row that open it.")
    ] = 5
    share: Annotated[float, Meta(gt=0, le=1, description="Share of failures that opens it …")] = 0.5
    of: Annotated[int, Meta(ge=1, description="… of at least so many attempts …")] = 20
    within: Annotated[float, Meta(gt=0, description="… within this time.")] = 60.0
    unanswered: Annotated[int, Meta(ge=1, description="Unanswered submits in a row that open it.")] = 3
    rests: Annotated[tuple[float, ...], Meta(description="How long it rests, one after the other.")] = (
        15.0,
        30.0,
        60.0,
        120.0,
    )


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Keys that every link has; *own* holds the adapter's settings, read from the same YAML mapping."""

    adapter: Annotated[str, Meta(description="The protocol: `snpp`.")]
    path: Annotated[
        Literal["internet", "phone", "lan", "cell"], Meta(description="What it needs to get out.")
    ] = "internet"
    sessions: Annotated[int, Meta(ge=1, le=64, description="Conversations at a time.")] = 1
    reserve: Annotated[
        float, Meta(ge=0, le=0.9, description="Share of a window of 4 or more kept for critical and urgent.")
    ] = 0.25
    rate: Annotated[Rate | None, Meta(description="Pages the carrier allows; holds after outages too.")] = (
        None
    )
    per_session: Annotated[int | None, Meta(ge=1, description="Pages in one conversation.")] = None
    max_tries: Annotated[
        int | None,
        Meta(ge=1, description="“Later” answers after which a page fails; none: its deadline ends it."),
    ] = None
    open_timeout: Annotated[float | None, Meta(gt=0, description="To connect and log in.")] = None
    answer_timeout: Annotated[float | None, Meta(gt=0, description="For the carrier's answer.")] = None
    idle: Annotated[float, Meta(ge=0, description="How long a conversation without work is kept.")] = 5.0
    mark_copies: Annotated[bool, Meta(description="Mark what may be a second copy with ` (copy 2)`.")] = True
    costly: Annotated[bool, Meta(description="Ask a person before a second copy is sent.")] = False
    breaker: Annotated[Breaker, Meta(description="When a failing link is rested.")] = Breaker()
    own: Any = None


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Annotated[Literal["pin", "number", "address"], Meta(description="What its addresses are called.")] = (
        "pin"
    )
    pattern: Annotated[
        str | None, Meta(description="Regular expression that a whole address must match (ASCII).")
    ] = None


class Carrier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    links: Annotated[dict[str, LinkSettings], Meta(description="Ways into the carrier, in order of trying.")]
    device: Annotated[DeviceRule, Meta(description="What an address looks like.")] = DeviceRule()
    text: Annotated[str, Meta(description="Which of `texts` its devices get.")] = "default"


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="As people say it.")]
    codes: Annotated[tuple[str, ...], Meta(description="Numbers that switchboards page by.")] = ()
    plan: Annotated[
        str | None, Meta(description="Which of `plans`; `defaults.people.plan` if not given.")
    ] = None
    zone: Annotated[str | None, Meta(description="Time zone, if not the site's.")] = None
    devices: Annotated[dict[str, str], Meta(description="`name: carrier:address`.")] = {}
    test: Annotated[bool, Meta(description="A test pager: drills and echo pages go here only.")] = False


class PeopleDefaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    plan: Annotated[str | None, Meta(description="The plan of a person who names none.")] = None


class Defaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    people: Annotated[PeopleDefaults, Meta(description="For all people.")] = PeopleDefaults()


class Durability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    allow_unsafe: Annotated[
        bool, Meta(description="Start although the store does not sync; every status then says `unsafe`.")
    ] = False
    batch: Annotated[int, Meta(ge=1, le=4096, description="Units that one commit takes at most.")] = 256
    linger: Annotated[float, Meta(ge=0, le=0.1, description="Wait for company before each commit.")] = 0.0
    min_free: Annotated[int, Meta(ge=0, description="Below this much free disk nothing new is accepted.")] = (
        256 * 1024 * 1024
    )


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    queue: Annotated[int, Meta(ge=1, description="Deliveries that may wait, all classes together.")] = (
        1_000_000
    )
    body: Annotated[int, Meta(ge=1024, description="Bytes of a request's body.")] = 1 << 20
    text: Annotated[int, Meta(ge=1, description="Characters of a message's text.")] = 10_000
    recipients: Annotated[int, Meta(ge=1, description="Targets of one message.")] = 1000
    connections: Annotated[int, Meta(ge=1, description="HTTP connections at a time.")] = 2000
    connections_per_address: Annotated[int, Meta(ge=1, description="The same, from one address.")] = 200
    request_time: Annotated[float, Meta(gt=0, description="For a whole request to arrive.")] = 30.0
    expires: Annotated[float, Meta(gt=0, description="Longest `expires_in` and `not_before`.")] = 7 * 86400.0


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[float, Meta(gt=0, description="How long texts stay after a message's end.")] = 72 * 3600.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, converted and checked; one immutable value per load, numbered by *generation*."""

    site: Site
    listen: Listen
    clients: dict[str, ClientSettings]
    classes: dict[MessageClass, ClassSettings]
    texts: dict[str, tuple[str, ...]]
    carriers: dict[str, Carrier]
    plans: dict[str, dict[MessageClass, tuple[tuple[str, ...], ...]]]
    people: dict[str, Person]
    groups: dict[str, tuple[str, ...]]
    defaults: Defaults = Defaults()
    durability: Durability = Durability()
    limits: Limits = Limits()
    keep: Keep = Keep()
    drain_timeout: float = 30.0
    generation: int = 1
    warnings: tuple[str, ...] = ()

    def link(self, name: LinkName) -> LinkSettings | None:
        """The settings of ``carrier.link``, or None if there is none of that name."""
        carrier, _, link = name.partition(".")
        found = self.carriers.get(carrier)
        return None if found is None else found.links.get(link)

    def link_names(self) -> tuple[LinkName, ...]:
        """All links, in file order."""
        return tuple(
            LinkName(f"{carrier}.{link}") for carrier, c in self.carriers.items() for link in c.links
        )
