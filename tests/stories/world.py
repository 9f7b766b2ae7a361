"""A whole gateway in a simulated world: real rooms, a real store file, simulated network, time and carriers.

A story says what an administrator wrote and what carriers do; then pages are submitted and time passes. The
carriers keep the ground truth: what really reached a pager.
"""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from gateway.adapters.base import Accepted, Client, Submission
from gateway.app.adapters import specs
from gateway.app.house import House
from gateway.env.simulated import SimulatedEnv, World, run
from gateway.model import Content, MessageClass
from gateway.outcome import Level
from gateway.settings import load
from gateway.settings.types import Settings
from gateway.sim.snpp import SimulatedSnpp, SnppQuirks
from gateway.sim.truth import Copy, Truth
from gateway.store.base import MessageRow, Store
from gateway.store.sqlite import open_store

T = TypeVar("T")

ADMINISTRATOR = Client(name="tester", administrator=True)

SETTINGS = """
site: {name: Test, store: "sqlite:gateway.db"}
listen: {http: null}
clients:
  monitoring: {token_sha256: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa], may_page: [everyone, "spok:*"]}
carriers:
  spok:
    device: {id: pin, pattern: "[0-9]{7}"}
    links:
      one: {adapter: snpp, at: "10.0.0.1:444"}
      two: {adapter: snpp, at: "10.0.0.2:444", path: phone}
people:
  alice: {name: Alice Moreau, devices: {pager: "spok:5551212"}}
  bob: {name: Bob Ferrand, devices: {pager: "spok:5551213"}}
groups: {both: [alice, bob]}
"""


def settings_of(text: str, generation: int = 1) -> Settings:
    """The settings that *text* says."""

    def read(path: Path) -> bytes:
        raise FileNotFoundError(path)

    return load(text, specs(), file="story.yaml", read=read, environ={}, generation=generation)


class Story:
    """One node of a gateway, with carriers that outlive its crashes."""

    def __init__(self, folder: Path, text: str = SETTINGS, seed: int = 0) -> None:
        self.world = World(seed)
        self.text = text
        self.folder = folder
        self.carriers: dict[str, SimulatedSnpp] = {}
        self.nodes = 0
        self.env: SimulatedEnv
        self.house: House
        self.store: Store

    def carrier(self, at: str, quirks: SnppQuirks | None = None) -> SimulatedSnpp:
        """A simulated terminal at ``host:port``, on a machine of its own."""
        host = at.rpartition(":")[0]
        env = self.world.env(host)
        carrier = SimulatedSnpp(env, quirks or SnppQuirks(), Truth())
        run(self.world, carrier.listen(at))
        self.carriers[at] = carrier
        return carrier

    def start(self) -> Story:
        """Start the gateway, or start it again after a crash."""
        self.nodes += 1
        self.env = self.world.env(f"10.9.0.{self.nodes}")
        self.run(self._start())
        return self

    async def _start(self) -> None:
        settings = settings_of(self.text)
        self.store = await open_store(self.folder / "gateway.db", self.env, durability=settings.durability)
        self.house = House(
            settings,
            lambda generation: settings_of(self.text, generation),
            specs(),
            self.store,
            self.env,
            control=None,
            spool=None,
            limit_connections=100,
        )
        await self.house.start()

    def crash(self) -> Story:
        """Everything of the node is gone but its disk; then it starts again."""
        self.env.crash()
        release_after_crash(self.store)
        return self.start()

    def stop(self) -> None:
        """Stop in order."""
        self.run(self.house.stop())

    def run(self, coroutine: Coroutine[Any, Any, T], limit: float = 86_400.0) -> T:
        """Let time pass until *coroutine* has its result."""
        return run(self.world, coroutine, limit=limit)

    def forward(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.world.clock.run_until(self.world.clock.seconds() + seconds)

    def page(
        self,
        *to: str,
        text: str = "Cath lab 2",
        message_class: MessageClass = MessageClass.URGENT,
        until: Level | None = Level.HANDED_OVER,
        client: Client = ADMINISTRATOR,
        **more: Any,
    ) -> Accepted:
        """Submit a page; on disk when this returns."""
        submission = Submission(
            to=to, content=Content(text=text), message_class=message_class, until=until, **more
        )
        return self.run(self.house.reception.submit(client, submission))

    def look(self, accepted: Accepted) -> MessageRow:
        """Where it stands."""
        row = self.run(self.store.records.message(accepted.id, client=None))
        assert row is not None
        return row

    def copies(self, pager: str = "") -> list[Copy]:
        """What reached *pager* (or any), over all carriers."""
        return [
            copy
            for carrier in self.carriers.values()
            for copy in carrier.truth.copies
            if pager in ("", copy.pager)
        ]


def release_after_crash(store: Store) -> None:
    """What the operating system does when a process dies: its locks and file handles go."""
    store.abandon()  # type: ignore[attr-defined]  # of the engines only: no room may do this
