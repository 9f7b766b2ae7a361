"""The record: what the rooms may ask of a store, by room.

One engine is one folder with these interfaces over one writer. A method is one atomic unit named for what
happened; when its Deferred-like awaitable returns, the unit is on stable storage (delivery semantics 4).
Raised by any method: StoreFailed (the disk; nothing was promised), and by ``accept`` StoreFull.
An engine checks every change of a delivery's state against lifecycle.LIFE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

import msgspec
from twisted.internet.defer import Deferred

from gateway.adapters.base import Evidence
from gateway.lifecycle import Happening, State
from gateway.model import (
    Content,
    DeliveryKey,
    IncidentKey,
    Instant,
    Leg,
    LinkName,
    MessageClass,
    MessageKey,
    NoticeKind,
    PublicId,
    Ref,
)
from gateway.outcome import CarrierRef, Level

ANSWERED = "answer over "
"""And a link: who recorded an acknowledgement that a person gave on the device."""
Then = Literal["resend", "assume", "hold", "quarantine"]
Ending = Literal["confirmed", "unanswered", "failed", "expired", "cancelled"]


# ---------------------------------------------------------------- in: accept


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A leg to be opened: the row of a delivery before it has a key.

    *leg* is its index in the message's plan (0 for a message without an incident). *last*: no leg follows
    it, so a doubt is settled on this leg. *copies_before* counts copies for the same person that may be out
    already when it is opened: a copy that may be a second one is marked, and doubts are capped. *why* is
    data of the event of its opening (``Opening``), empty for first legs.
    """

    leg: int
    person: str | None
    device: str | None
    address: str
    link: LinkName
    message_class: MessageClass
    due: Instant
    deadline: Instant
    last: bool = True
    copies_before: int = 0
    why: Mapping[str, Any] = {}


class NewIncident(msgspec.Struct, frozen=True, kw_only=True):
    """One pursuit to be begun, or joined.

    *key* is the client's word for the trouble; a message whose key names an open incident of the same
    client joins it and opens no legs of its own, unless its class is higher: then the incident goes on
    with the new message's plan and class, and its legs are opened.
    """

    key: str | None
    plan: tuple[Leg, ...]
    due: Instant


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """T1 in one value: message, deliveries, incident, first event, idempotency row.

    *refs* are candidates for a reference, tried in order; empty for a message that cannot be acknowledged.
    Without *incident* nobody waits for more than *until* ``handed_over``.
    *answer* is the JSON answer without its ``ref``, kept under (*client*, *idempotency_key*) with
    *request_hash*. *expires* bounds every delivery and the incident (None: only the class deadline does).
    """

    public_id: PublicId
    client: str
    to: tuple[str, ...]
    content: Content
    message_class: MessageClass
    until: Level
    at: Instant
    expires: Instant | None
    deliveries: tuple[NewDelivery, ...]
    incident: NewIncident | None = None
    refs: tuple[Ref, ...] = ()
    idempotency_key: str | None = None
    request_hash: bytes = b""
    answer: bytes = b""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What accept says. *replay*: nothing new was stored, *answer* is the first answer of the same key;
    *joined*: the message was added to an incident that was open already."""

    message: MessageKey
    public_id: PublicId
    ref: Ref | None
    replay: bool = False
    joined: bool = False
    answer: bytes = b""


class Intake(Protocol):
    """For accept."""

    async def accept(self, new: NewMessage) -> Stored:
        """Put a message on record (T1). The same key with another *request_hash* raises Conflict.
        StoreFull below min_free."""
        ...

    async def remembered(self, client: str, key: str, now: Instant) -> tuple[bytes, Stored] | None:
        """The request hash and the answer kept under an idempotency key that is younger than 72 h."""
        ...

    @property
    def backlog(self) -> int:
        """Deliveries that are not final, as of the last commit; for admission. Costs nothing."""
        ...


# ---------------------------------------------------------------- out: dispatch


class PartsTaken(msgspec.Struct, frozen=True, array_like=True):
    """What became of the parts of a delivery that goes out as several pages: *of* how many, *split* how.

    *taken* are those that the carrier took: they are not sent again. *doubted* are those that left us without
    an answer, once for each time.
    """

    split: int
    of: int
    taken: tuple[int, ...] = ()
    doubted: tuple[int, ...] = ()

    @property
    def missing(self) -> tuple[int, ...]:
        """The parts that the carrier is not known to have taken, in order."""
        return tuple(part for part in range(1, self.of + 1) if part not in self.taken)

    def with_taken(self, *parts: int) -> PartsTaken:
        """The same after the carrier took *parts*, too."""
        taken = tuple(sorted({*self.taken, *(part for part in parts if 1 <= part <= self.of)}))
        return PartsTaken(self.split, self.of, taken, self.doubted)

    def with_doubt(self, *parts: int) -> PartsTaken:
        """The same after nobody knows whether the carrier took *parts*."""
        return PartsTaken(self.split, self.of, self.taken, (*self.doubted, *parts))


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was begun (T2), with all that an attempt needs. *tries* etc. count concluded ones.

    *parts* is set once it was tried in several parts.
    """

    delivery: DeliveryKey
    message: MessageKey
    incident: IncidentKey | None
    public_id: PublicId
    ref: Ref | None
    client: str
    content: Content
    message_class: MessageClass
    person: str | None
    device: str | None
    address: str
    link: LinkName
    correlation: str
    tries: int
    connects: int
    doubts: int
    dup_risk: bool
    opened_at: Instant
    begun_at: Instant
    deadline: Instant
    last: bool = True
    copies_before: int = 0
    parts: PartsTaken | None = None


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """Connecting or logging in failed before anything was begun: no delivery has left ``waiting``.

    *waits* says per class how long a delivery waits after its first, second, … failed connect (the last
    repeats); *limit* how many deliveries learn of it at most, best first.
    """

    lane: LinkName
    fence: int
    began: Instant
    ended: Instant
    code: str
    why: str
    waits: dict[MessageClass, tuple[float, ...]]
    limit: int


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """What a lane got: deliveries in order of taking, and when the next one will be due (None: none is
    waiting); *next_critical* is the same for class critical alone. Both may lie in the past if *limit* was
    reached."""

    begun: tuple[Begun, ...]
    next_due: Instant | None
    next_critical: Instant | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What retry decides after an outcome: the arrow of the life cycle, and what goes with it.

    *due* is the next try (waiting) or the time at which the doubt is settled by *then*. *tries*,
    *connects* and *doubts* are added to the delivery's counts. *pursue* sets the incident due at once.
    """

    happening: Happening
    due: Instant | None = None
    then: Then | None = None
    tries: int = 0
    connects: int = 0
    doubts: int = 0
    level: Level | None = None
    reason: str | None = None


class Concluded(msgspec.Struct, frozen=True, kw_only=True):
    """T3 in one value: outcome, carrier refs, next state and due; the incident becomes due.

    *code* and *why* are the carrier's words, shortened and without secrets or message text. *transcript*
    is the redacted exchange of a failed attempt. *parts* is set for what goes out in several parts: *refs*
    may then name what was taken although others were not.
    """

    delivery: DeliveryKey
    message: MessageKey
    client: str
    lane: LinkName
    fence: int
    began: Instant
    ended: Instant
    outcome: str
    code: str
    why: str
    verdict: Verdict
    refs: tuple[CarrierRef, ...] = ()
    warning: str | None = None
    transcript: str | None = None
    parts: PartsTaken | None = None


class Lapsed(msgspec.Struct, frozen=True, kw_only=True):
    """What the passing of time did: deliveries past their deadline, doubts settled, lanes with new work."""

    expired: int
    settled: int
    lanes: frozenset[LinkName]
    incidents: bool


class Enquiry(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier reference that is to be asked about; *asked* counts earlier enquiries."""

    ref: CarrierRef
    delivery: DeliveryKey
    link: LinkName
    asked: int
    taken_at: Instant


class Work(Protocol):
    """For dispatch."""

    async def hold(self, lanes: tuple[LinkName, ...]) -> int:
        """Take the leases of *lanes* for this process; the fence under which their work is written.
        A later hold of the same lane makes earlier fences stale."""
        ...

    async def interrupted(self, lane: LinkName, fence: int) -> tuple[Begun, ...]:
        """What was begun under an earlier fence and never concluded: it is in doubt."""
        ...

    async def begin(self, lane: LinkName, fence: int, *, limit: int, ordinary: int, now: Instant) -> Taking:
        """Take the best due deliveries of *lane* and mark them begun (T2).

        Order: class, then due, then key; at most *limit*, of them at most *ordinary* of class normal or
        bulk. Never one past its deadline, cancelled, paused, or with a wrong checksum (that one fails as
        quarantined, with an event). A stale fence gets nothing. Chooses the *correlation* at the first
        begin of a delivery and keeps it. With *limit* 0 it only looks.
        """
        ...

    async def goes_on(self, delivery: DeliveryKey, lane: LinkName, fence: int, now: Instant) -> bool:
        """Whether more of a begun delivery may be sent: it is begun under this fence, nobody wants it
        stopped, and its deadline is not over."""
        ...

    async def conclude(self, done: Concluded) -> bool:
        """Record how an attempt ended (T3). False, and nothing is written, if the fence is stale or the
        delivery is not begun. Unmatched receipts for its *refs* are applied in the same unit."""
        ...

    async def missed(self, miss: Missed) -> int:
        """Record that the link could not be opened (waiting → waiting): the due deliveries of the lane get
        connects + 1, an ``attempt`` event with outcome ``not_sent``, a later due (never past their
        deadline), and their incidents become due at once. How many; 0 with a stale fence."""
        ...

    async def reached(self, lane: LinkName, fence: int, now: Instant) -> int:
        """The link can be opened again: what waits only because of ``missed`` is due since it was opened,
        so that the oldest goes first. How many; 0 with a stale fence."""
        ...

    async def lapse(self, now: Instant) -> Lapsed:
        """Settle what is due by time alone: waiting, doubt and held past the deadline expire (with one
        summary event if many), doubts whose time came go on by their *then*."""
        ...

    async def next_lapse(self) -> Instant | None:
        """When lapse has work next."""
        ...

    async def enquiries(self, lane: LinkName, now: Instant, limit: int) -> tuple[Enquiry, ...]:
        """Carrier references of *lane* whose enquiry is due, oldest first."""
        ...

    async def next_enquiry(self, lane: LinkName) -> Instant | None:
        """When an enquiry of *lane* is due next."""
        ...

    async def enquired(self, enquiry: Enquiry, again: Instant | None) -> None:
        """An enquiry was made; the next one at *again*, None for never."""
        ...


# ---------------------------------------------------------------- back: receipt


class Matched(msgspec.Struct, frozen=True, kw_only=True):
    """What evidence did. *how*: ``matched`` (a level or setback was recorded), ``repeated`` (known
    already), ``unmatched`` (kept 7 d until its submit concludes), ``late`` (settled a doubt as taken).
    *raised* is the level that was not known before, of which class and opened *since*."""

    how: Literal["matched", "repeated", "unmatched", "late"]
    message: MessageKey | None = None
    delivery: DeliveryKey | None = None
    raised: Level | None = None
    message_class: MessageClass = MessageClass.NORMAL
    since: Instant = Instant(0)


class EvidenceRoom(Protocol):
    """For receipt."""

    async def report(self, link: LinkName, evidence: Evidence, now: Instant) -> Matched:
        """Record a receipt (T4), unique by (scope, ref, part, state); raise the level (the lowest of the
        parts), note a setback, record a reply; the incident becomes due."""
        ...


# ---------------------------------------------------------------- onward: pursue


class LegFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How one opened leg of a plan stands. *failures* are its concluded tries, of which *connects* never got
    as far as the carrier; *code* is the last one's. *partly*: a carrier took some part of it."""

    delivery: DeliveryKey
    message: MessageKey
    leg: int
    link: LinkName
    state: State
    level: Level
    opened_at: Instant
    concluded_at: Instant | None
    failures: int
    doubts: int
    setback: bool
    possibly_sent: bool
    due: Instant | None
    deadline: Instant
    connects: int = 0
    reason: str | None = None
    code: str | None = None
    partly: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that the next move of an incident depends on."""

    incident: IncidentKey
    version: int
    message: MessageKey
    public_id: PublicId
    client: str
    message_class: MessageClass
    until: Level
    plan: tuple[Leg, ...]
    legs: tuple[LegFacts, ...]
    begun_at: Instant
    step_started: Instant
    expires: Instant | None
    accepted_by: str | None
    muted_until: Instant | None = None


class Advance(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an incident: legs to open, deliveries to stop, an ending, or just the next look.

    *why* is a token for the events (``next_leg``, ``confirmed``, …) where the opened leg has none of its own,
    *detail* for their data.
    """

    incident: IncidentKey
    version: int
    at: Instant
    open: tuple[NewDelivery, ...] = ()
    stop: tuple[DeliveryKey, ...] = ()
    due: Instant | None = None
    ending: Ending | None = None
    why: str | None = None
    detail: dict[str, Any] = {}


class PursuitRoom(Protocol):
    """For pursue."""

    async def due(self, now: Instant, limit: int) -> tuple[Facts, ...]:
        """Open incidents that are due, critical first."""
        ...

    async def next_due(self) -> Instant | None:
        """When the next open incident is due."""
        ...

    async def hurry(self, links: tuple[LinkName, ...], now: Instant, limit: int) -> int:
        """Those open incidents of class critical and urgent that wait for any of *links* are due now, but for
        pages that are kept back: paused, or for later. How many; at most *limit* deliveries of each link are
        looked at, the most pressing first."""
        ...

    async def advance(self, move: Advance) -> bool:
        """Record a move (T5), guarded by the version: False, and nothing is written, if it is stale.
        Stopped deliveries become cancelled where they may; what is begun finishes."""
        ...


# ---------------------------------------------------------------- tell: notify

About = Mapping[str, frozenset[NoticeKind]]
"""Which clients are told, and of what."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a client is to be told: event *n* of its message means *kind*. *seq* counts what is
    told of one message, from 1 without a gap; *tries* how often telling has failed."""

    key: int
    message: MessageKey
    public_id: PublicId
    client: str
    n: int
    seq: int
    kind: NoticeKind
    at: Instant
    tries: int


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt to tell a notice ended. *due* is the next one, None unless *how* is ``later``; *why*
    names what was wrong, without the receiver's words."""

    notice: int
    at: Instant
    how: Literal["told", "later", "given_up"]
    due: Instant | None = None
    why: str | None = None


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver that wants to be told nothing any more: *place* is a digest of where it was."""

    place: str
    why: str
    at: Instant


class NoticesRoom(Protocol):
    """For notify. Notices of one message are told one after the other: only the first that waits is due."""

    async def interest(self, about: About, noticed: Callable[[Iterable[str]], None]) -> None:
        """From now on an event that *about* has for its message's client leaves a notice, at most one, in
        the unit that writes the event; *noticed* is called with the clients after the commit, as a hint."""
        ...

    async def due(self, client: str, now: Instant, limit: int) -> tuple[Notice, ...]:
        """Notices of *client* that are due, longest due first."""
        ...

    async def next_due(self, client: str) -> Instant | None:
        """When the next notice of *client* is due."""
        ...

    async def conclude(self, telling: Telling) -> bool:
        """Record how telling went; the message's next notice becomes due unless it is to be tried again.
        What is given up leaves an event ``untold``. False, and nothing is written, if it did not wait."""
        ...

    async def reached(self, client: str, since: Instant, now: Instant) -> int:
        """The receiver can be reached again: what was last tried after *since* is due now. How many."""
        ...

    async def lapse(self, before: Instant, now: Instant, limit: int) -> int:
        """Give up notices older than *before*, at most *limit*; how many."""
        ...

    async def gone(self, client: str, gone: Gone) -> None:
        """A receiver wants nothing any more: kept over restarts, with an event of nobody's."""
        ...

    async def back(self, client: str, now: Instant) -> bool:
        """It is there again: the same. False if it was not gone."""
        ...

    async def all_gone(self) -> dict[str, Gone]:
        """Receivers that are gone, by client."""
        ...


# ---------------------------------------------------------------- people and operators


class DeskRoom(Protocol):
    """For people: every method is durable before its effect (T5, T6) and leaves an event naming *by*."""

    async def acknowledge(
        self, message: MessageKey, *, by: str, note: str | None, recorded_by: str, now: Instant
    ) -> str:
        """A named human has it: the level becomes acknowledged, waiting copies are cancelled, the incident
        ends as confirmed. Returns who has it (a repeat by anybody returns the first); raises Conflict if
        the message ended without."""
        ...

    async def cancel(self, message: MessageKey, *, by: str, why: str | None, now: Instant) -> bool:
        """Stop a message: waiting, doubt and held deliveries become cancelled; what is begun finishes.
        False if it had ended already."""
        ...

    async def resolve(
        self, incident: IncidentKey, *, by: str, recorded_by: str, why: str | None, now: Instant
    ) -> bool:
        """The trouble is over: its pursuit ends as cancelled, what waits stops, what is begun finishes.
        False if it had ended already."""
        ...

    async def mute(
        self,
        incident: IncidentKey,
        *,
        until: Instant | None,
        even_critical: bool,
        by: str,
        recorded_by: str,
        now: Instant,
    ) -> None:
        """No further leg is opened before *until*; None: it is not muted any more. Raises Conflict if it has
        ended, or is critical and not *even_critical*. A message of a higher class that joins ends it."""
        ...

    async def retry(self, message: MessageKey, *, by: str, now: Instant, deadline: Instant) -> int:
        """Open a new delivery for each leg that ended without being taken; how many."""
        ...

    async def pause(self, message: MessageKey, *, by: str, now: Instant) -> int:
        """Keep waiting deliveries back until they are continued; how many."""
        ...

    async def resume(self, message: MessageKey, *, by: str, now: Instant) -> int:
        """Continue paused deliveries; how many."""
        ...

    async def decide(self, message: MessageKey, *, again: bool, by: str, now: Instant) -> int:
        """Answer for deliveries that are held after doubt: send again, or leave it; how many."""
        ...

    async def set_link(
        self,
        link: LinkName,
        mode: Literal["open", "suspended", "draining"],
        *,
        by: str,
        why: str | None,
        now: Instant,
    ) -> None:
        """Switch a link off, let it finish, or on again; kept over restarts."""
        ...

    async def settings_changed(self, generation: int, digest: str, *, now: Instant) -> None:
        """New settings are about to take effect: which generation, and a digest of their text (T6)."""
        ...

    async def drop_link(self, link: LinkName, now: Instant) -> int:
        """A link left the settings: its waiting, doubtful and held deliveries become cancelled with an
        event and their incidents due; how many."""
        ...


# ---------------------------------------------------------------- looking: api, cli, console


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline, numbered under its message from 1. *kind* is a documented token."""

    n: int
    at: Instant
    kind: str
    delivery: DeliveryKey | None
    data: dict[str, Any]


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as people are shown it."""

    delivery: DeliveryKey
    leg: int
    person: str | None
    device: str | None
    address: str
    link: LinkName
    state: State
    level: Level
    due: Instant | None
    deadline: Instant
    tries: int
    connects: int
    doubts: int
    dup_risk: bool
    reason: str | None
    code: str | None
    why: str | None
    setback: str | None
    opened_at: Instant
    changed_at: Instant


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message with everything on record about it. *ending* is the fold of delivery semantics 1.1: None
    while it is open."""

    message: MessageKey
    public_id: PublicId
    ref: Ref | None
    client: str
    to: tuple[str, ...]
    content: Content | None
    message_class: MessageClass
    until: Level
    at: Instant
    expires: Instant | None
    ending: Ending | None
    level: Level
    accepted_by: str | None
    accepted_at: Instant | None
    incident: IncidentKey | None
    incident_key: str | None
    incident_due: Instant | None
    muted_until: Instant | None = None
    plan: tuple[Leg, ...]
    deliveries: tuple[DeliveryRow, ...]
    timeline: tuple[EventRow, ...]


class IncidentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pursuit with its messages. *key* is its client's own name for the trouble, *first* the id of its
    first message, *main* the message whose plan is followed; *messages* are the newest ones, without
    timelines, of *count*."""

    incident: IncidentKey
    client: str
    key: str | None
    message_class: MessageClass
    begun_at: Instant
    ending: Ending | None
    ended_at: Instant | None
    first: PublicId
    main: MessageRow
    messages: tuple[MessageRow, ...]
    count: int


class LaneCount(msgspec.Struct, frozen=True, kw_only=True):
    """How much waits on one link, by state and class, and since when the oldest does; *oldest_due* is the
    oldest that is due within a minute, for what is kept for later is nobody's trouble."""

    link: LinkName
    state: State
    message_class: MessageClass
    count: int
    oldest: Instant
    oldest_due: Instant | None = None


class Records(Protocol):
    """For looking. Reads see the last commit and never wait for the writer."""

    async def message(self, key: str, *, client: str | None) -> MessageRow | None:
        """By public id or reference (the newest with it); only *client*'s own unless None."""
        ...

    async def messages(
        self,
        *,
        client: str | None,
        state: Literal["open", "needs_you", "ended", "all"],
        limit: int,
        before: MessageKey | None,
    ) -> tuple[MessageRow, ...]:
        """Newest first, without timelines. ``needs_you``: held, unanswered, or an incident that nobody has
        accepted past its first step."""
        ...

    async def incident(self, key: str, *, client: str | None, limit: int) -> IncidentRow | None:
        """By its client's own name (the open one, or the newest), or by the public id or reference of one of
        its messages; only *client*'s own unless None. At most *limit* of its messages. Raises Conflict if
        the name belongs to open ones of several clients."""
        ...

    async def counts(self, now: Instant | None = None) -> tuple[LaneCount, ...]:
        """How much waits where; *oldest_due* only if *now* is given."""
        ...

    async def link_modes(self) -> dict[LinkName, tuple[str, str, str | None]]:
        """Links that are not simply open: mode, by whom, why."""
        ...


class Housekeeping(Protocol):
    """For housekeeping; each deletes at most *limit* rows and says how many."""

    async def forget_texts(self, before: Instant, limit: int) -> int:
        """Remove the texts of messages that ended before; their checksum and evidence stay."""
        ...

    async def forget_message(self, id_: PublicId) -> bool:
        """Remove a message that has ended, with its deliveries, events and receipts, as if it had never
        been; for loop messages. False while it is open; Conflict if it is pursued."""
        ...

    async def forget_keys(self, before: Instant, limit: int) -> int:
        """Remove idempotency rows and unmatched receipts older than, and free references ended before."""
        ...


class Store(Protocol):
    """One engine, opened. ``boot`` counts opens; ``failed`` fires when the disk did (then exit 74);
    ``recovered`` says what was found if the last run was not closed or its log was damaged."""

    boot: int
    durability: Literal["disk", "unsafe"]
    failed: Deferred[str]
    recovered: str | None

    @property
    def units_waiting(self) -> int:
        """Units of work that nobody has begun to write. Costs nothing."""
        ...

    def room(self) -> bool:
        """Whether the disk has room for something new (delivery semantics 4.4)."""
        ...

    def count_commits(self, told: Callable[[int, float], None]) -> None:
        """From now on tell *told* of every commit: of how many units, and how many seconds it took."""
        ...

    @property
    def intake(self) -> Intake: ...

    @property
    def work(self) -> Work: ...

    @property
    def evidence(self) -> EvidenceRoom: ...

    @property
    def pursuit(self) -> PursuitRoom: ...

    @property
    def notices(self) -> NoticesRoom: ...

    @property
    def desk(self) -> DeskRoom: ...

    @property
    def records(self) -> Records: ...

    @property
    def housekeeping(self) -> Housekeeping: ...

    @property
    def oldest_commit_age(self) -> float:
        """Seconds since the oldest unfinished commit began, 0 if none is. Costs nothing."""
        ...

    async def close(self) -> None: ...
