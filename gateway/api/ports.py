"""What the API needs from the rest of the gateway, beside Reception and the store's rooms. Built by app."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from gateway.adapters.base import Findings, Reception
from gateway.bell import Bell
from gateway.env import Env
from gateway.lines import LineStatus
from gateway.model import Instant, LinkName, MessageClass
from gateway.notify import Tested
from gateway.observe import Metrics
from gateway.outcome import Level
from gateway.settings.types import Settings
from gateway.store.base import DeskRoom, Records

Mode = Literal["open", "suspended", "draining"]
LinkState = Literal["working", "idle", "resting", "maintenance", "suspended", "draining", "down"]
NotReady = Literal[
    "starting", "draining", "store-failed", "store-full", "critical-waiting", "links-down", "internet-down"
]
BEARABLE: frozenset[NotReady] = frozenset({"internet-down"})
"""Reasons for which nobody need go elsewhere: there are other ways out."""
Durability = Literal["disk", "replicated", "unsafe"]


class Resting(msgspec.Struct, frozen=True, kw_only=True):
    """A link that failed too often and is left alone: how often in a row, and when it is tested next."""

    failures: int
    until: Instant


class LastFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Since when a link has not worked, how many failures in a row were counted, and why it does not, in a
    sentence without message text or secrets."""

    at: Instant
    says: str
    times: int


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one link does. *mode* is what somebody ordered, *state* what is the case.

    *waiting* counts the deliveries that wait on it, by class; classes without any are left out. *oldest_at*
    is since when the oldest of them does. *by* and *why* belong to a mode that is not ``open``.
    """

    link: LinkName
    adapter: str
    carrier: str
    path: str
    ceiling: Level
    mode: Mode = "open"
    by: str | None = None
    why: str | None = None
    state: LinkState
    breaker: Resting | None = None
    maintenance_until: Instant | None = None
    sessions: int = 0
    waiting: dict[MessageClass, int] = {}
    oldest_at: Instant | None = None
    last_taken_at: Instant | None = None
    last_failure: LastFailure | None = None


class PathDown(msgspec.Struct, frozen=True, kw_only=True):
    """A path that leads nowhere: all of its *links*, so many, rest *since* then."""

    path: str
    since: Instant
    links: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the gateway does as a whole. *ready* is whether it takes new messages. *codes* say why nobody
    should rely on it just now, without details: they are shown to anybody who asks ``/readyz``. *reasons* are
    sentences: these codes, and what else is wrong."""

    ready: bool
    codes: tuple[NotReady, ...] = ()
    reasons: tuple[str, ...] = ()
    version: str
    generation: int
    durability: Durability
    started_at: Instant
    backlog: int


class PlannedLeg(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a target would reach, over which device and link, when, and why."""

    at: Instant
    person: str | None
    device: str | None
    address: str
    link: LinkName
    why: str


class Lanes(Protocol):
    """The ways out."""

    def status(self) -> tuple[LinkStatus, ...]:
        """Every configured link, in file order. Costs no I/O."""
        ...

    def lines(self) -> tuple[LineStatus, ...]:
        """Every modem line, in file order. Costs no I/O."""
        ...

    def paths_down(self) -> tuple[PathDown, ...]:
        """Paths that lead nowhere. Costs no I/O."""
        ...

    async def set_mode(self, link: LinkName, mode: Mode, by: str, why: str | None) -> None:
        """On record first, then in effect."""
        ...

    def transcript(self, link: LinkName) -> tuple[str, ...]:
        """What was said over a link lately, without texts and secrets, oldest first; nothing if its adapter
        keeps none. Costs no I/O."""
        ...

    async def probe(self, link: LinkName) -> Findings:
        """Look at the far end of a link, or at the modem line of that name, without sending a message; what
        cannot be probed says so."""
        ...


class Webhooks(Protocol):
    """Where clients are told."""

    async def test(self, client: str) -> Tested | None:
        """Send a ``webhook.test`` to *client*'s receiver at once, and say what came of it; None if it has
        none."""
        ...


class Cuts(Protocol):
    """The paths to simulated carriers: internet, phone, lan and cell. A gateway with real ones has none."""

    def cut(self, path: str, *, seconds: float | None, refuse: bool) -> None:
        """Break what is open; new connections hang, or fail at once. For *seconds*; None: until mended."""
        ...

    def mend(self, path: str) -> None:
        """Connections pass again; nothing happens to a path that is whole."""
        ...


class Operations(Protocol):
    """The gateway as a whole."""

    async def reload(self) -> int:
        """Read the settings anew and swap them; the new generation. Raises SettingsError, then nothing
        has changed."""
        ...

    def settings(self) -> Settings:
        """The settings in effect now."""
        ...

    def explain(self, target: str, message_class: MessageClass, at: Instant) -> tuple[PlannedLeg, ...]:
        """The plan of a target at a time, in order of time. Raises SubmissionError ``unknown-target``."""
        ...

    def health(self) -> Health: ...

    def left(self, client: str) -> int | None:
        """How many messages a client may submit at this moment; None if its rate is not limited."""
        ...


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the calls of the API use. *uid* is the daemon's own: whoever has it, or 0, on the
    control socket is an administrator. *cuts*: only where all carriers are simulated."""

    env: Env
    reception: Reception
    records: Records
    desk: DeskRoom
    bell: Bell
    lanes: Lanes
    operations: Operations
    webhooks: Webhooks
    metrics: Metrics
    uid: int
    cuts: Cuts | None = None
