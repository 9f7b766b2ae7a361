"""What the store's tests share: two engines behind one harness, and short ways to say what happens."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.adapters.base import Evidence
from gateway.env import public_id
from gateway.lifecycle import Happening
from gateway.model import Content, Instant, Leg, LinkName, MessageClass, NoticeKind, Ref, later
from gateway.outcome import CarrierRef, Level
from gateway.settings.types import Durability
from gateway.store.base import (
    Advance,
    Begun,
    Concluded,
    DeliveryRow,
    IncidentRow,
    MessageRow,
    NewDelivery,
    NewIncident,
    NewMessage,
    Store,
    Stored,
    Verdict,
)
from gateway.store.memory import MemoryStore
from gateway.store.sqlite import open_store
from tests.gateway.store_env import StoreEnv, run

WEB = LinkName("spok.web")
FAX = LinkName("spok.fax")
HOUR = 3600.0
LEGS = (
    Leg(item=0, place=0, person="alice", device="pager", address="5551212", link=WEB),
    Leg(item=0, place=1, person="alice", device="pager", address="5551212", link=FAX),
    Leg(item=1, place=0, person="alice", device="phone", address="+4420", link=WEB),
)

EVERYTHING: frozenset[NoticeKind] = frozenset(get_args(NoticeKind))

SAFE = Durability(min_free=0)


class Case(ABC):
    """A store of one engine, and the words of these tests."""

    store: Store

    def __init__(self, env: StoreEnv) -> None:
        self.env = env
        self.fences: dict[LinkName, int] = {}

    # engines fill these in

    @abstractmethod
    def reopen(self) -> None:
        """Close and open again."""

    @abstractmethod
    def crash(self) -> None:
        """The process is killed and started again."""

    @abstractmethod
    def spoil(self, message: int) -> None:
        """Change a stored text behind the store's back."""

    # words

    @property
    def now(self) -> Instant:
        return self.env.now()

    def wait(self, seconds: float) -> None:
        self.env.clock.advance(seconds)

    def leg(self, **changes: Any) -> NewDelivery:
        values: dict[str, Any] = {
            "leg": 0,
            "person": "alice",
            "device": "pager",
            "address": "5551212",
            "link": WEB,
            "message_class": MessageClass.NORMAL,
            "due": self.now,
            "deadline": later(self.now, HOUR),
        }
        return NewDelivery(**values | changes)

    def new(self, *legs: NewDelivery, **changes: Any) -> NewMessage:
        values: dict[str, Any] = {
            "public_id": public_id(self.env),  # type: ignore[arg-type]
            "client": "helpdesk",
            "to": ("alice",),
            "content": Content(text="bed 4", labels={"ward": "C3"}),
            "message_class": MessageClass.NORMAL,
            "until": Level.HANDED_OVER,
            "at": self.now,
            "expires": None,
            "deliveries": legs or (self.leg(),),
        }
        return NewMessage(**values | changes)

    def pursued(self, *, key: str | None = None, **changes: Any) -> NewMessage:
        """A critical message that is pursued until somebody has accepted."""
        plan = changes.pop("plan", LEGS)
        which = changes.get("message_class", MessageClass.CRITICAL)
        values: dict[str, Any] = {
            "message_class": which,
            "until": Level.ACKNOWLEDGED,
            "incident": NewIncident(key=key, plan=plan, due=later(self.now, 10)),
            "refs": (Ref("7K3M"), Ref("4QXT")),
        }
        legs = changes.pop("deliveries", (self.leg(message_class=which),))
        return self.new(*legs, **values | changes)

    def accept(self, new: NewMessage | None = None) -> Stored:
        return run(self.store.intake.accept(new or self.new()))

    def together(self, *news: NewMessage) -> list[Stored | BaseException]:
        """Accepted in one commit, where the engine has such a thing."""
        worker = self.env.workers.get("store")
        if worker is not None:
            worker.kept = True
        told: list[Any] = []
        for new in news:
            Deferred.fromCoroutine(self.store.intake.accept(new)).addBoth(told.append)
        if worker is not None:
            worker.release()
        return [one.value if isinstance(one, Failure) else one for one in told]

    def hold(self, *links: LinkName) -> int:
        fence = run(self.store.work.hold(links or (WEB, FAX)))
        self.fences |= dict.fromkeys(links or (WEB, FAX), fence)
        return fence

    def begin(self, link: LinkName = WEB, *, limit: int = 10, ordinary: int = 10) -> tuple[Begun, ...]:
        if link not in self.fences:
            self.hold()
        taking = run(
            self.store.work.begin(link, self.fences[link], limit=limit, ordinary=ordinary, now=self.now)
        )
        return taking.begun

    def done(self, begun: Begun, happening: Happening = Happening.TAKEN, **changes: Any) -> Concluded:
        verdict = {
            name: changes.pop(name)
            for name in ("due", "then", "tries", "connects", "doubts", "level", "reason")
            if name in changes
        }
        values: dict[str, Any] = {
            "delivery": begun.delivery,
            "message": begun.message,
            "client": begun.client,
            "lane": begun.link,
            "fence": self.fences[begun.link],
            "began": begun.begun_at,
            "ended": self.now,
            "outcome": "taken",
            "code": "250",
            "why": "ok",
            "verdict": Verdict(happening=happening, **verdict),
        }
        return Concluded(**values | changes)

    def conclude(self, begun: Begun, happening: Happening = Happening.TAKEN, **changes: Any) -> bool:
        return run(self.store.work.conclude(self.done(begun, happening, **changes)))

    def doubt(self, begun: Begun, then: str = "resend", due: float = 60.0) -> None:
        assert self.conclude(
            begun,
            Happening.IN_DOUBT,
            outcome="in_doubt",
            due=later(self.now, due),
            then=then,
            doubts=1,
        )

    def report(self, ref: str = "r1", state: str = "read", link: LinkName = WEB, **changes: Any) -> str:
        values: dict[str, Any] = {"scope": "spok", "ref": ref, "state": state, "at": self.now}
        return run(self.store.evidence.report(link, Evidence(**values | changes), self.now)).how

    def advance(self, **changes: Any) -> bool:
        facts = run(self.store.pursuit.due(Instant(1 << 60), 1))[0]
        values: dict[str, Any] = {"incident": facts.incident, "version": facts.version, "at": self.now}
        return run(self.store.pursuit.advance(Advance(**values | changes)))

    def acknowledge(self, stored: Stored, by: str = "alice") -> str:
        return run(
            self.store.desk.acknowledge(
                stored.message, by=by, note="on my way", recorded_by="console:dana", now=self.now
            )
        )

    def cancel(self, stored: Stored) -> bool:
        return run(self.store.desk.cancel(stored.message, by="dana", why="false alarm", now=self.now))

    def incident(self, key: str, *, client: str | None = None, limit: int = 9) -> IncidentRow:
        found = run(self.store.records.incident(key, client=client, limit=limit))
        assert found is not None
        return found

    def resolve(self, key: str) -> bool:
        incident = self.incident(key).incident
        return run(
            self.store.desk.resolve(
                incident, by="dana", recorded_by="console", why="disk was changed", now=self.now
            )
        )

    def mute(self, key: str, seconds: float | None, *, even_critical: bool = False) -> None:
        run(
            self.store.desk.mute(
                self.incident(key).incident,
                until=None if seconds is None else later(self.now, seconds),
                even_critical=even_critical,
                by="dana",
                recorded_by="console",
                now=self.now,
            )
        )

    def lapse(self) -> Any:
        return run(self.store.work.lapse(self.now))

    def row(self, stored: Stored) -> MessageRow:
        found = run(self.store.records.message(stored.public_id, client=None))
        assert found is not None
        return found

    def delivery(self, stored: Stored, place: int = 0) -> DeliveryRow:
        return self.row(stored).deliveries[place]

    def kinds(self, stored: Stored) -> list[str]:
        return [event.kind for event in self.row(stored).timeline]

    def refs(self, *refs: str, **changes: Any) -> tuple[CarrierRef, ...]:
        return tuple(
            CarrierRef(scope="spok", ref=ref, part=part, **changes) for part, ref in enumerate(refs, 1)
        )


class MemoryCase(Case):
    def __init__(self, env: StoreEnv) -> None:
        super().__init__(env)
        self.store: MemoryStore = MemoryStore(env)  # type: ignore[arg-type]

    def reopen(self) -> None:
        run(self.store.close())
        self.crash()

    def crash(self) -> None:
        self.store = self.store.crash()
        self.fences.clear()

    def spoil(self, message: int) -> None:
        found = self.store._book.messages[message]  # type: ignore[index]
        assert found.content is not None
        found.content = found.content.replace(b"bed 4", b"bed 5")


class SqliteCase(Case):
    def __init__(self, env: StoreEnv, folder: Path) -> None:
        super().__init__(env)
        self.folder = folder
        self.durability = SAFE
        self.open()

    def open(self, **options: Any) -> None:
        self.store = run(
            open_store(self.folder / "gateway.db", self.env, durability=self.durability, **options)  # type: ignore[arg-type]
        )
        self.fences.clear()

    def reopen(self) -> None:
        run(self.store.close())
        self.open()

    def crash(self) -> None:
        killed, self.folder = self.folder, self.folder.with_name(self.folder.name + "x")
        shutil.copytree(killed, self.folder)  # what a killed process leaves: its lock is gone with it
        self.abandon()
        self.open()

    def abandon(self) -> None:
        run(self.store.close())

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Behind the store's back, on its own connection."""
        tx = self.store._writer._tx  # type: ignore[attr-defined]
        return tx.db.execute(statement, values).fetchall()  # type: ignore[no-any-return]

    def spoil(self, message: int) -> None:
        self.sql("UPDATE message SET content = replace(content, 'bed 4', 'bed 5') WHERE key = ?", message)


def comparable(value: Any) -> Any:
    """A value as plain data, so that engines can be compared."""
    return msgspec.to_builtins(value)


Make = Callable[[], Case]
