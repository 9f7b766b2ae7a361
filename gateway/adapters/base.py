"""What an adapter is: a translator between one protocol and the gateway.

An adapter brings links out and listeners in. It declares its settings, the ceiling of what it can prove,
how it measures a text, and one table of answers. It is handed env and Reception; it never sees the store
and never decides about retries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec
from twisted.internet.defer import Deferred

from gateway.alphabets import Alphabet, carry, length
from gateway.env import Env
from gateway.lines import Lines
from gateway.model import Content, Instant, LinkName, MessageClass, Page, PublicId, Ref
from gateway.outcome import CarrierRef, Level, NotSent, Outcome
from gateway.settings.types import LinkSettings, Objection, Path, Settings

if TYPE_CHECKING:
    from gateway.env.tls import ServerTls


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """How a text would go out over a link as one page, exactly as the device shows it.

    One text; several only from a link that itself carries a long page in pieces, which its devices join
    again. *transliterated* counts characters that are written otherwise (``é`` as ``e``), *replaced* those
    that are lost; *fits* is False if it is more than the link takes as one page. What was measured once is
    measured the same again, and a shorter text fits where a longer one does.
    """

    texts: tuple[str, ...]
    transliterated: int = 0
    replaced: int = 0
    fits: bool = True


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Something a carrier said about what it took earlier.

    (*scope*, *ref*, *part*, *state*) is unique: the same word of the carrier twice is one piece of
    evidence (delivery semantics 7). *level* is what it proves, None if it proves nothing new; *setback* says
    why it will not arrive; *reply* is what a person answered, as *choice* the number (from 1) of one of the
    page's replies; *final* that nothing more will come. *accepting* are the site's words by which somebody
    has it: receipt says them, adapters leave them.
    """

    scope: str
    ref: str
    part: int = 1
    state: str
    at: Instant
    level: Level | None = None
    setback: str | None = None
    reply: str | None = None
    choice: int | None = None
    final: bool = False
    accepting: tuple[str, ...] = ()


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What a door made of a client's words, before anything was checked against grants."""

    to: tuple[str, ...]
    content: Content
    message_class: MessageClass | None = None
    until: Level | None = None
    expires_in: float | None = None
    not_before: Instant | None = None
    incident: str | None = None
    idempotency_key: str | None = None
    request_hash: bytes = b""
    dry_run: bool = False


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The positive answer: it is on stable storage (unless *dry_run*). *body* is the API's whole answer."""

    id: PublicId
    ref: Ref | None
    body: dict[str, Any]
    replay: bool = False


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A program or place that may submit. *name* is its key in the settings."""

    name: str
    administrator: bool = False


class Reception(Protocol):
    """The only way up: what links and listeners may ask of the gateway. Built by app."""

    def identify(self, credential: str, address: str | None = None) -> Client | None:
        """Who this credential belongs to, if it may come from *address*; as slow whether or not it is
        known."""
        ...

    async def submit(self, client: Client, submission: Submission) -> Accepted:
        """On disk before it returns; raises SubmissionError, StoreFull or StoreFailed otherwise."""
        ...

    async def standing(self, client: Client, key: str) -> dict[str, Any] | None:
        """Where the client's own message (public id or reference) stands; None if there is none."""
        ...

    async def report(self, link: LinkName, evidence: Evidence) -> None:
        """On disk before it returns, also if it matches nothing yet."""
        ...


@runtime_checkable
class Session(Protocol):
    """One conversation with a carrier, logged in. (delivery semantics 5.1)"""

    slots: int
    lost: Deferred[None]

    @property
    def left(self) -> int | None: ...

    async def submit(self, page: Page) -> Outcome:
        """The whole dialogue of one page, once. Before the point of no return a failure is NotSent, after
        it silence is InDoubt. Never raises for anything a peer does; never retries."""
        ...

    async def close(self) -> None:
        """Say goodbye if the protocol has one; afterwards the transport is gone. Bounded in time."""
        ...


@runtime_checkable
class Enquiring(Protocol):
    """A session that can be asked about what was taken (SNPP MSTA, WCTP ClientQuery)."""

    async def enquire(self, ref: CarrierRef) -> tuple[Evidence, ...]:
        """Ask once; empty if the carrier knows nothing new or nothing at all."""
        ...


@runtime_checkable
class Fetching(Protocol):
    """A link whose carrier keeps its answers until they are fetched (WCTP PollForMessages)."""

    async def fetch(self) -> float:
        """Fetch once, report each answer through Reception, and return the seconds until the next time.

        The carrier is told with the next one of what was reported, and of nothing else: what it gives again
        after a crash is one piece of evidence. A failure is no exception but a longer wait, bounded; called
        before its time it returns what is left, unless the carrier itself asked for it.
        """
        ...


@runtime_checkable
class Recorded(Protocol):
    """A session or a link that keeps what was said lately: of a session the last page's dialogue."""

    def transcript(self) -> tuple[str, ...]:
        """A line a turn, as ``observe.Transcript`` shows them: bounded, without texts and secrets."""
        ...


class Link(Protocol):
    """One configured way into a carrier."""

    async def open(self) -> Session | NotSent:
        """Connect and log in, once: no retries and no backoff of its own."""
        ...


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What ``gateway probe`` found: the dialogue up to, not including, the message."""

    reached: bool
    says: str
    capabilities: dict[str, str] = {}


@runtime_checkable
class Probing(Protocol):
    """A link whose far end can be looked at without sending anything."""

    async def probe(self) -> Findings: ...


Measure = Callable[[str], Parts]


def measuring(alphabet: Alphabet, limit: int) -> Measure:
    """The measure of a link whose devices show at most *limit* characters of *alphabet*."""

    def measure(text: str) -> Parts:
        if text.isascii() and text.isprintable() and alphabet is not Alphabet.GSM:  # as nearly always
            return Parts(texts=(text,), fits=len(text) <= limit)
        carried = carry(text, alphabet)
        return Parts(
            texts=(carried.text,),
            transliterated=carried.transliterated,
            replaced=carried.replaced,
            fits=length(carried.text, alphabet) <= limit,
        )

    return measure


class Listener(Protocol):
    """A door of an adapter: where carriers, or clients in its protocol, come to us."""

    @property
    def addresses(self) -> tuple[Any, ...]:
        """Where it really listens (a port 0 has become a number); empty before ``start``."""
        ...

    async def start(self) -> None:
        """Open. A port that is taken raises CannotListenError."""
        ...

    async def stop(self) -> None:
        """Take nothing new, answer what was read, close; bounded in time."""
        ...


LinksNow = Callable[[], Mapping[LinkName, LinkSettings]]


class Doorway(msgspec.Struct, frozen=True, kw_only=True):
    """What a door is built with beside its settings: *links* of its adapter as they are at any moment, for a
    reload may change them; the world; the way up; and what it serves TLS with, if its settings say so."""

    links: LinksNow
    env: Env
    reception: Reception
    tls: ServerTls | None = None


class ListenerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter's door is: its *settings* stand under ``listen.<adapter>``.

    A door can speak TLS if they have a key ``tls: TlsListen | None``: the certificate is then checked,
    renewed and watched as that of the API is, and *make* is handed what to listen with.
    *needed_by* tells which key of a link makes no sense while the door is closed, None if there is none.
    """

    settings: type[msgspec.Struct]
    make: Callable[[Any, Doorway], Listener]
    needed_by: Callable[[LinkSettings], str | None] = lambda link: None


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a link is built with beside its settings: the world, the way up, and the modem lines."""

    env: Env
    reception: Reception
    lines: Lines


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter's conversations are calls: each takes long to begin and keeps a line from others.

    A call ends after so many *pages* or *seconds*. A critical page has one *alone*, and any other ends at
    once when it is due; unless that is False: then it goes out by the call that is open (semantics 10.1).
    *dialled*: each costs, so that none is made only to see whether the link works.
    """

    pages: int = 10
    seconds: float = 20.0
    alone: bool = True
    dialled: bool = False


Place = tuple[str, ...]


class AdapterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter declares about itself; ``gateway.adapters.x.ADAPTER`` is one.

    *settings* is the frozen Struct of a link's own keys (those every link has are in settings.LinkSettings).
    *ceiling* and *measure* depend on how a link is configured. *answers* is the table of the docs page, one
    row an answer: (their words, our outcome, why). *listener* is its door, if it has one. *objections* are
    what it has against the settings as a whole (a key that names another section), each with the place of the
    mapping that the key stands in. *calls*: a link's conversations are calls. *path*: what a link with these
    keys of its own needs to get out, unless its settings say.
    """

    name: str
    settings: type[msgspec.Struct]
    make_link: Callable[[LinkName, LinkSettings, Surroundings], Link]
    ceiling: Callable[[LinkSettings], Level]
    measure: Callable[[LinkSettings], Measure]
    answers: tuple[tuple[str, str, str], ...]
    listener: ListenerSpec | None = None
    enquiry_waits: tuple[float, ...] = ()
    open_timeout: float = 10.0
    answer_timeout: float = 60.0
    objections: Callable[[Settings], Iterable[tuple[Place, Objection]]] = lambda settings: ()
    calls: Callable[[LinkSettings], Calls | None] = lambda settings: None
    path: Callable[[Any], Path] = lambda own: "internet"


Door = Callable[[], Awaitable[None]]
