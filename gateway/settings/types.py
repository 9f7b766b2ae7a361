"""What an administrator may write, as frozen values. Every field has a type, a default and a description.

The YAML of an administrator is converted into one ``Settings``; the reference page and the JSON Schema are
printed from these declarations (a setting without a description fails a test). Durations are seconds, sizes
bytes. Sections that have no room yet (rotas, escalations, listeners of carrier protocols …) stand in
``LATER``, so that whoever writes one is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from gateway.model import LinkName, MessageClass, NoticeKind
from gateway.outcome import Level
from gateway.settings.windows import Window

# Words of the file that are more than text: how each is read and shown stands in gateway.settings.kinds.
Duration = Annotated[float, Meta(ge=0, extra={"kind": "duration"})]
Size = Annotated[int, Meta(ge=0, extra={"kind": "size"})]
Name = Annotated[str, Meta(extra={"kind": "name"})]
Zone = Annotated[str, Meta(extra={"kind": "zone"})]
Network = Annotated[str, Meta(extra={"kind": "network"})]
Endpoint = Annotated[str, Meta(extra={"kind": "endpoint"})]
ListenAt = Annotated[str, Meta(extra={"kind": "listen"})]
Url = Annotated[str, Meta(extra={"kind": "url"})]
Receiver = Annotated[str, Meta(extra={"kind": "receiver"})]
StorePath = Annotated[str, Meta(extra={"kind": "store"})]
Digest = Annotated[str, Meta(extra={"kind": "digest"})]
Pattern = Annotated[str, Meta(extra={"kind": "pattern"})]
Code = Annotated[str, Meta(extra={"kind": "code"})]
Form = Annotated[str, Meta(extra={"kind": "form"})]
Together = Annotated[tuple[str, ...], Meta(extra={"kind": "together"})]
Glob = Annotated[str, Meta(extra={"kind": "glob"})]
During = Annotated[Window, Meta(extra={"kind": "window"})]


Path = Literal["internet", "phone", "lan", "cell"]


class Secret(msgspec.Struct, frozen=True):
    """A value that is never printed. Written as a reference: ``{env: X}``, ``{file: path}``,
    ``{credential: name}``; read at load and re-read at reload."""

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own would show the value to rich
        return [("value", "…")]


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """``20/s`` or ``60/min``: *count* in *per* seconds, with a burst of *count*."""

    count: float
    per: float


class Objection(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter has against a link's settings, beyond types: which *key*, what is wrong with it and
    what to write instead. A *warning* does not stop the start."""

    key: str
    what: str
    remedy: str
    warning: bool = False


@runtime_checkable
class Checking(Protocol):
    """A settings Struct of an adapter that looks at its own keys together, once each has its type."""

    def check(self) -> Iterable[Objection]: ...


class AdapterDoor(Protocol):
    """What the settings need to know of an adapter's listener; ListenerSpec is one."""

    @property
    def settings(self) -> type[msgspec.Struct]: ...

    @property
    def needed_by(self) -> Callable[[LinkSettings], str | None]: ...


class Adapter(Protocol):
    """What the settings need to know of an adapter; AdapterSpec is one."""

    @property
    def settings(self) -> type[msgspec.Struct]: ...

    @property
    def listener(self) -> AdapterDoor | None: ...

    @property
    def path(self) -> Callable[[Any], Path]: ...

    @property
    def objections(self) -> Callable[[Settings], Iterable[tuple[tuple[str, ...], Objection]]]: ...


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="What people call this place; stands on every page.")] = "Gateway"
    zone: Annotated[Zone, Meta(description="IANA time zone that times are shown in.")] = "UTC"
    public_url: Annotated[
        Url | None, Meta(description="Where people reach it; for pages of later versions.")
    ] = None
    store: Annotated[StorePath, Meta(description="`sqlite:PATH` of the database file.")] = (
        "sqlite:/var/lib/gateway/gateway.db"
    )
    control: Annotated[
        str | None,
        Meta(description="Unix socket of the command line; beside the store if not given."),
    ] = None


class TlsListen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    cert: Annotated[
        str,
        Meta(description="PEM file of the certificate, then its chain; read again when it changes."),
    ]
    key: Annotated[Secret, Meta(description="Its private key in PEM, without a passphrase.")]


class HttpListen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at: Annotated[
        ListenAt,
        Meta(description="`address:port` of the API, or `systemd:NAME`. Loopback until you say otherwise."),
    ] = "127.0.0.1:8080"
    tls: Annotated[TlsListen | None, Meta(description="Speak https; none: http.")] = None


class Listen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """*own*: settings of the adapters' doors, by the name of the adapter, the key that they stand under.

    A door of an adapter speaks TLS by having a key ``tls`` of the type TlsListen, as *http* has.
    """

    http: Annotated[HttpListen | None, Meta(description="The HTTP API; `none`: there is none.")] = (
        HttpListen()
    )
    own: dict[str, Any] = {}

    def tls(self) -> dict[str, TlsListen]:
        """What doors serve TLS with, by their keys; those that do not are left out."""
        found = {name: getattr(door, "tls", None) for name, door in {"http": self.http, **self.own}.items()}
        return {name: tls for name, tls in found.items() if isinstance(tls, TlsListen)}

    def with_tls(self, door: str, tls: TlsListen | None) -> Listen:
        """The same doors, of which *door* serves TLS with *tls*."""
        if door == "http":
            assert self.http is not None
            return replace(self, http=replace(self.http, tls=tls))
        return replace(self, own={**self.own, door: replace(self.own[door], tls=tls)})


class Tell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[
        Receiver,
        Meta(description="Where it is told: `https`; `http` only to a receiver in `allow`."),
    ]
    secret: Annotated[
        Secret,
        Meta(description="Signs what is sent: base64 of 24 to 64 bytes, with `whsec_` before it or not."),
    ]
    old_secret: Annotated[
        Secret | None, Meta(description="Signs too, while the receiver changes to the new one.")
    ] = None
    about: Annotated[
        tuple[NoticeKind, ...], Meta(min_length=1, description="What of its messages it is told.")
    ] = ("acknowledged", "confirmed", "unanswered", "failed", "expired", "cancelled", "needs_decision")
    allow: Annotated[
        tuple[Network, ...],
        Meta(description="Networks beside the public Internet that the receiver may be in."),
    ] = ()
    ca_file: Annotated[
        str | None, Meta(description="Trust the certificates in this file (PEM) and no others.")
    ] = None


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token_sha256: Annotated[
        tuple[Digest, ...],
        Meta(
            max_length=2,
            description="SHA-256 (64 hex) of its bearer token; two while a token is being changed.",
        ),
    ] = ()
    may_page: Annotated[
        tuple[str, ...],
        Meta(description="Targets it may page: names, `carrier:*`, `carrier:address`, or `everyone`."),
    ] = ()
    classes: Annotated[
        tuple[MessageClass, ...],
        Meta(min_length=1, description="Classes it may use; `normal`, or the last, where none is named."),
    ] = (
        MessageClass.NORMAL,
        MessageClass.URGENT,
        MessageClass.CRITICAL,
        MessageClass.BULK,
    )
    rate: Annotated[Rate | None, Meta(description="Messages it may submit; none: no limit of its own.")] = (
        None
    )
    networks: Annotated[tuple[Network, ...], Meta(description="Networks it may come from; empty: any.")] = ()
    tell: Annotated[
        Tell | None, Meta(description="Where it is told what became of its messages; none: it asks.")
    ] = None


class ClassSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    deadline: Annotated[Duration, Meta(gt=0, description="How long a delivery is worth trying.")]
    next_leg_after: Annotated[
        Duration | None,
        Meta(description="The next leg opens if the first still waits after this; none: on failure only."),
    ]
    waits: Annotated[
        tuple[Duration, ...],
        Meta(min_length=1, description="Waits between tries of one leg; the last repeats."),
    ]
    step_wait: Annotated[
        Duration | None, Meta(gt=0, description="How long a person has to accept; none: nobody is asked.")
    ]
    until: Annotated[
        Level,
        Meta(description="The level at which a message is done, for targets that ask for no more."),
    ]
    in_doubt: Annotated[
        Literal["resend", "resend_after", "assume", "hold"],
        Meta(description="What follows when the text left us and no answer came."),
    ]
    resend_after: Annotated[Duration, Meta(description="Wait for late proof before a second copy.")] = 60.0
    admission: Annotated[
        float, Meta(gt=0, le=1, description="Share of the queue and disk budget at which it is refused.")
    ] = 1.0


CLASSES: Mapping[MessageClass, ClassSettings] = {
    # delivery semantics 8.1 (legs, waits, deadlines, steps), 6 (doubt), 10.3 (admission), 1.4 (until)
    MessageClass.CRITICAL: ClassSettings(
        deadline=15 * 60.0,
        next_leg_after=10.0,
        waits=(0.0, 5.0, 10.0, 20.0, 30.0, 30.0),
        step_wait=2 * 60.0,
        until=Level.ACKNOWLEDGED,
        in_doubt="resend",
        admission=1.0,
    ),
    MessageClass.URGENT: ClassSettings(
        deadline=60 * 60.0,
        next_leg_after=15.0,
        waits=(0.0, 15.0, 30.0, 60.0, 60.0),
        step_wait=5 * 60.0,
        until=Level.HANDED_OVER,
        in_doubt="resend",
        admission=0.95,
    ),
    MessageClass.NORMAL: ClassSettings(
        deadline=24 * 3600.0,
        next_leg_after=None,
        waits=(30.0, 120.0, 300.0, 600.0, 1800.0, 1800.0),
        step_wait=None,
        until=Level.HANDED_OVER,
        in_doubt="resend_after",
        resend_after=60.0,
        admission=0.85,
    ),
    MessageClass.BULK: ClassSettings(
        deadline=24 * 3600.0,
        next_leg_after=None,
        waits=(300.0, 900.0, 3600.0, 3600.0),
        step_wait=None,
        until=Level.HANDED_OVER,
        in_doubt="assume",
        admission=0.70,
    ),
}

TEXTS: Mapping[str, tuple[str, ...]] = {
    "default": (
        "{text} CB {callback} {ref}\n{details}",
        "{short} CB {callback} {ref}",
        "CB {callback} {ref}",
    ),
    "no-patient-data": ("{class}: call {callback} {ref}", "{class} {ref}"),
    "numeric": ("{callback}", "{text}", "{code}"),
}


class LineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One modem, or one serial line to a terminal without a modem; where it is, one key of four says."""

    pool: Annotated[Name, Meta(description="The pool it belongs to, which links name.")]
    serial: Annotated[
        str | None,
        Meta(description="A serial port of this machine; best by `/dev/serial/by-id/…`."),
    ] = None
    tcp: Annotated[
        Endpoint | None, Meta(description="`host:port` of a device server that passes bytes as they are.")
    ] = None
    tls: Annotated[Endpoint | None, Meta(description="The same under TLS, verified.")] = None
    rfc2217: Annotated[
        Endpoint | None,
        Meta(description="`host:port` of a device server whose port we set (RFC 2217)."),
    ] = None
    ca_file: Annotated[str | None, Meta(description="PEM file of who signs its certificate.")] = None
    tls_name: Annotated[str | None, Meta(description="Name in the certificate, if not the host's.")] = None
    baud: Annotated[int, Meta(ge=50, le=115_200, description="Bits per second.")] = 1200
    framing: Annotated[
        Literal["7E1", "7O1", "8N1"], Meta(description="Data bits, parity and stop bit of the far end.")
    ] = "7E1"
    software_parity: Annotated[
        bool,
        Meta(description="The port has 8 bits without parity, and we reckon the parity bit of `framing`."),
    ] = False
    flow: Annotated[
        Literal["none", "xonxoff", "rtscts"], Meta(description="Flow control of a serial port.")
    ] = "none"
    modem: Annotated[bool, Meta(description="A modem is there, which dials; `false`: a terminal itself.")] = (
        True
    )
    init: Annotated[tuple[str, ...], Meta(description="Commands to the modem after ATZ, one line each.")] = (
        "ATE0V1Q0X4&C1&D2S0=0",
    )
    dtr: Annotated[
        bool, Meta(description="Hang up by DTR where there is one; `false`: by `+++` and ATH0.")
    ] = True
    pulse: Annotated[bool, Meta(description="Dial by pulses.")] = False
    prefix: Annotated[str, Meta(description="Dialled before every number: `9,` for an outside line.")] = ""
    plus: Annotated[
        str | None, Meta(description="What `+` of a number becomes: `011`, `00`; none: not dialled.")
    ] = None
    never_dial: Annotated[
        tuple[str, ...],
        Meta(description="Beginnings of numbers never dialled, beside those of emergency services."),
    ] = ()
    may_dial: Annotated[
        tuple[str, ...],
        Meta(description="Of those (911, 110 …) the ones that begin ordinary numbers here."),
    ] = ()
    rest: Annotated[
        Duration,
        Meta(description="After trouble with the line itself others of its pool go first for so long."),
    ] = 60.0


class Breaker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    failures: Annotated[
        int, Meta(ge=1, description="Transport failures or doubts in a row that open it.")
    ] = 5
    share: Annotated[float, Meta(gt=0, le=1, description="Share of failures that opens it …")] = 0.5
    of: Annotated[int, Meta(ge=1, description="… of at least so many attempts …")] = 20
    within: Annotated[Duration, Meta(gt=0, description="… within this time.")] = 60.0
    unanswered: Annotated[int, Meta(ge=1, description="Unanswered submits in a row that open it.")] = 3
    rests: Annotated[
        tuple[Duration, ...],
        Meta(min_length=1, description="How long it rests, one after the other; the last repeats."),
    ] = (15.0, 30.0, 60.0, 120.0)


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Keys that every link has; *own* holds the adapter's settings, read from the same YAML mapping."""

    adapter: Annotated[str, Meta(description="The protocol it speaks.")]
    path: Annotated[
        Path, Meta(description="What it needs to get out; if not said, a link by modem lines: `phone`.")
    ] = "internet"
    sessions: Annotated[int, Meta(ge=1, le=64, description="Conversations at a time.")] = 1
    reserve: Annotated[
        float, Meta(ge=0, le=0.9, description="Share of a window of 4 or more kept for critical and urgent.")
    ] = 0.25
    rate: Annotated[
        Rate | None, Meta(description="Pages that the carrier allows in any such time, after outages too.")
    ] = None
    per_session: Annotated[
        int | None, Meta(ge=1, description="Pages in one conversation; none: no limit.")
    ] = None
    max_tries: Annotated[
        int | None,
        Meta(ge=1, description="“Later” answers after which a page fails; none: its deadline ends it."),
    ] = None
    open_timeout: Annotated[
        Duration | None, Meta(gt=0, description="To connect and log in; none: the adapter's.")
    ] = None
    answer_timeout: Annotated[
        Duration | None, Meta(gt=0, description="For the carrier's answer; none: the adapter's.")
    ] = None
    idle: Annotated[Duration, Meta(description="How long a conversation without work is kept.")] = 5.0
    too_long: Annotated[
        Literal["cut", "split", "refuse"],
        Meta(
            description="What is done with a text that does not fit: `cut` it, `split` it into parts, or"
            " `refuse` the form that holds it, so that a shorter one goes out."
        ),
    ] = "cut"
    parts: Annotated[
        int, Meta(ge=1, le=9, description="Pages that one text is split into at most; the last one is cut.")
    ] = 4
    mark_copies: Annotated[bool, Meta(description="Mark what may be a second copy with ` (copy 2)`.")] = True
    costly: Annotated[bool, Meta(description="Ask a person before a second copy is sent.")] = False
    breaker: Annotated[Breaker, Meta(description="When a failing link is rested.")] = Breaker()
    same_as: Annotated[
        str | None, Meta(description="A link of the same carrier whose keys count where this one has none.")
    ] = None
    own: Any = None


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: Annotated[Literal["pin", "number", "address"], Meta(description="What its addresses are called.")] = (
        "pin"
    )
    pattern: Annotated[
        Pattern | None,
        Meta(description="Regular expression that a whole address must match (ASCII); none: anything."),
    ] = None
    shows: Annotated[
        Literal["text", "numeric", "tone"],
        Meta(
            description="What its devices show: texts, a number alone, or nothing but that they were paged."
        ),
    ] = "text"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a carrier's answer means here, instead of what the protocol's own table says."""

    code: Annotated[Glob, Meta(description="The answer's code, such as `550`, or `55*`; none said: any.")] = (
        "*"
    )
    match: Annotated[
        Glob,
        Meta(description="The carrier's words: `*` stands for anything, capitals do not matter."),
    ] = "*"
    means: Annotated[
        Literal["later", "later_link", "refuse_page", "refuse_address", "refuse_link"],
        Meta(
            description="`later`: try this page again; `later_link`: the carrier takes nothing now; "
            "`refuse_page`: never this page; `refuse_address`: never this pager; `refuse_link`: the link "
            "is switched off until somebody looks."
        ),
    ]
    pause_link: Annotated[
        Duration | None, Meta(gt=0, le=3600, description="Nothing is sent over the link for so long.")
    ] = None
    protocol: Annotated[str | None, Meta(description="Only for links of this adapter.")] = None
    link: Annotated[Name | None, Meta(description="Only for this link of the carrier.")] = None


class Carrier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    links: Annotated[
        dict[Name, LinkSettings],
        Meta(min_length=1, description="Ways into the carrier, in order of trying."),
    ]
    device: Annotated[DeviceRule, Meta(description="What an address looks like.")] = DeviceRule()
    text: Annotated[str, Meta(description="Which of `texts` its devices get.")] = "default"
    rules: Annotated[
        tuple[Rule, ...],
        Meta(max_length=100, description="What its answers mean here; the first that matches counts."),
    ] = ()
    maintenance: Annotated[
        tuple[During, ...],
        Meta(max_length=100, description="When its links rest, in the site's zone: `Sun 02:00-02:30`."),
    ] = ()
    use: Annotated[
        str | None,
        Meta(
            description="`name@edition` of the catalogue: what counts for `device` and links unless written;"
            " `gateway carriers catalogue` lists them."
        ),
    ] = None


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(description="As people say it.")]
    codes: Annotated[tuple[Code, ...], Meta(description="Numbers that switchboards page by.")] = ()
    plan: Annotated[
        str | None, Meta(description="Which of `plans`; `defaults.people.plan` if not given.")
    ] = None
    zone: Annotated[Zone | None, Meta(description="Time zone, if not the site's.")] = None
    devices: Annotated[dict[Name, str], Meta(description="`name: carrier:address`.")] = {}
    test: Annotated[bool, Meta(description="A test pager: drills and echo pages go here only.")] = False


class PeopleDefaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    plan: Annotated[
        str | None,
        Meta(
            description="The plan of a person who names none; none: each device in turn, for critical and "
            "urgent by protocol (WCTP, SNPP, SMPP, TAP, then SMTP), else in the order written."
        ),
    ] = None


class Defaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    people: Annotated[PeopleDefaults, Meta(description="For all people.")] = PeopleDefaults()


class Durability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    allow_unsafe: Annotated[
        bool, Meta(description="Start although the store does not sync; every status then says `unsafe`.")
    ] = False
    batch: Annotated[int, Meta(ge=1, le=4096, description="Units that one commit takes at most.")] = 256
    min_free: Annotated[Size, Meta(description="Below this much free disk nothing new is accepted.")] = (
        256 * 1024 * 1024
    )


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    queue: Annotated[int, Meta(ge=1, description="Deliveries that may wait, all classes together.")] = (
        1_000_000
    )
    body: Annotated[Size, Meta(ge=1024, description="Bytes of a request's body.")] = 1 << 20
    text: Annotated[int, Meta(ge=1, description="Characters of a message's text.")] = 10_000
    recipients: Annotated[int, Meta(ge=1, description="Targets of one message.")] = 1000
    connections: Annotated[int, Meta(ge=1, description="HTTP connections at a time.")] = 2000
    connections_per_address: Annotated[int, Meta(ge=1, description="The same, from one address.")] = 200
    request_time: Annotated[Duration, Meta(gt=0, description="For a whole request to arrive.")] = 30.0
    expires: Annotated[Duration, Meta(gt=0, description="Longest `expires_in` and `not_before`.")] = (
        7 * 86400.0
    )


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[Duration, Meta(gt=0, description="How long texts stay after a message's end.")] = (
        72 * 3600.0
    )


class Replies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    accept: Annotated[
        tuple[str, ...],
        Meta(
            description="Answers on a device by which somebody has it: the whole answer, or its first word."
        ),
    ] = ("ok", "yes", "1")


class Watch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ping: Annotated[
        Secret | None,
        Meta(description="Address of a watcher outside: asked for after each loop message; none: no loop."),
    ] = None
    every: Annotated[Duration, Meta(ge=10, le=3600, description="Time between loop messages.")] = 60.0
    tell: Annotated[
        tuple[str, ...], Meta(description="Targets that are paged about the gateway itself.")
    ] = ()
    probe: Annotated[
        tuple[Endpoint, ...],
        Meta(
            max_length=8,
            description="`host:port` outside that is connected to when all links over the Internet rest: if "
            "one answers, the Internet is not down; nothing is sent.",
        ),
    ] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, converted and checked; one immutable value per load, numbered by *generation*."""

    include: Annotated[
        tuple[str, ...],
        Meta(description="More files, relative to this one; `people/*.yaml` is all that match."),
    ] = ()
    site: Annotated[Site, Meta(description="The place this gateway serves.")] = Site()
    listen: Annotated[Listen, Meta(description="The doors that are open.")] = Listen()
    clients: Annotated[
        dict[Name, ClientSettings], Meta(description="Programs and places that may submit.")
    ] = {}
    classes: Annotated[
        dict[MessageClass, ClassSettings],
        Meta(description="How a class is pursued; what is not written keeps its default."),
    ] = msgspec.field(default_factory=lambda: dict(CLASSES))
    texts: Annotated[
        dict[Name, tuple[Form, ...]],
        Meta(description="What a device is shown: the first form that fits; the last always fits."),
    ] = msgspec.field(default_factory=lambda: dict(TEXTS))
    replies: Annotated[Replies, Meta(description="What answers on devices mean.")] = Replies()
    carriers: Annotated[
        dict[Name, Carrier], Meta(min_length=1, description="Who takes our messages, and the ways in.")
    ]
    lines: Annotated[
        dict[Name, LineSettings], Meta(description="Modems and serial lines that links dial out by.")
    ] = {}
    plans: Annotated[
        dict[Name, dict[MessageClass, tuple[Together, ...]]],
        Meta(description="Devices by class: `a + b` together, then the next item."),
    ] = {}
    people: Annotated[dict[Name, Person], Meta(description="Whom to reach.")] = {}
    groups: Annotated[
        dict[Name, tuple[str, ...]], Meta(description="People and groups who are paged together.")
    ] = {}
    defaults: Annotated[Defaults, Meta(description="What counts where nothing else is said.")] = Defaults()
    durability: Annotated[Durability, Meta(description="How the store keeps its promise.")] = Durability()
    limits: Annotated[Limits, Meta(description="What the doors take at most.")] = Limits()
    keep: Annotated[Keep, Meta(description="How long what is on record stays there.")] = Keep()
    watch: Annotated[Watch, Meta(description="Who watches the gateway.")] = Watch()
    drain_timeout: Annotated[Duration, Meta(description="For begun work to finish when stopping.")] = 30.0
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

    def plan_name(self, person: Person) -> str | None:
        """The plan that counts for *person*; None: there is none."""
        return self.defaults.people.plan if person.plan is None else person.plan

    def items_of(self, person: Person, cls: MessageClass) -> tuple[tuple[str, ...], ...]:
        """Names of the devices that *person* is reached by for *cls*: items one after the other, the
        devices of one item together. Devices that the person lacks are left out; without a plan every
        device is an item: for critical and urgent the protocols made for it first, else as written."""
        plan = self.plan_name(person)
        if plan is None:
            names = list(person.devices)
            if cls.pressing:
                names.sort(key=lambda name: self._rank(person.devices[name]))  # stable
            return tuple((device,) for device in names)
        items = (
            tuple(device for device in item if device in person.devices)
            for item in self.plans[plan].get(cls, ())
        )
        return tuple(item for item in items if item)

    def _rank(self, device: str) -> int:
        """Where the protocol of a device's first link stands in ``PROTOCOLS``; one that is not in it comes
        before mail, the last resort."""
        carrier = self.carriers.get(device.partition(":")[0])
        first = None if carrier is None else next(iter(carrier.links.values()), None)
        adapter = "" if first is None else first.adapter
        return PROTOCOLS.index(adapter if adapter in PROTOCOLS else "")


PROTOCOLS = ("wctp", "snpp", "smpp", "tap", "", "smtp")
"""For critical and urgent, where the file gives no order (delivery semantics 8.1); "" is any other."""

COMPUTED = frozenset({"generation", "warnings", "own"})
"""Fields that nobody writes."""

LATER: Mapping[type[msgspec.Struct], frozenset[str]] = {
    Settings: frozenset(
        [
            "rotas",
            "escalations",
            "integrations",
            "mutes",
            "drills",
            "logins",
            "lease",
            "idempotency",
        ]
    ),
    Listen: frozenset({"snpp", "tap", "smpp"}),
    Carrier: frozenset({"sender", "echo"}),
    DeviceRule: frozenset({"countries"}),
    Keep: frozenset({"evidence", "wire", "backup"}),
    PeopleDefaults: frozenset({"quiet"}),
    Person: frozenset({"quiet"}),
}
"""Keys of the whole product that this version does not know yet: whoever writes one is told so."""
