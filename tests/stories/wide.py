"""An adapter for stories: one conversation takes several pages at a time, and says whatever a story wants.

It is known to a story that is begun with ``adapters=ADAPTERS`` and writes ``adapter: wide``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred

from gateway.adapters.base import AdapterSpec, Measure, Parts, Reception, Surroundings
from gateway.env import Env
from gateway.model import LinkName, Page
from gateway.outcome import Level, NotSent, Outcome, Taken
from gateway.settings.types import LinkSettings

Say = Callable[[Page], "Outcome | Exception"]


class WideSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a wide link."""

    slots: Annotated[int, Meta(ge=1, le=64, description="Pages at a time.")] = 8


class Desk:
    """The far end of all wide links of a story: *says* answers a page after *takes* seconds."""

    def __init__(self) -> None:
        self.takes = 1.0
        self.says: Say = lambda page: Taken()
        self.reachable = True
        self.pages: list[tuple[float, Page]] = []  # as they came in, with the clock's time
        self.opened: list[float] = []
        self.under_way = 0
        self.reception: Reception

    def spec(self) -> AdapterSpec:
        """The adapter that leads here."""

        def make(name: LinkName, settings: LinkSettings, around: Surroundings) -> _WideLink:
            self.reception = around.reception
            self.under_way = 0
            assert isinstance(settings.own, WideSettings)
            return _WideLink(self, settings.own, around.env)

        return AdapterSpec(
            name="wide",
            settings=WideSettings,
            make_link=make,
            ceiling=lambda settings: Level.READ,
            measure=_measure,
            answers=(("whatever the story says", "the same", "told by the story"),),
        )


class _WideLink:
    def __init__(self, desk: Desk, own: WideSettings, env: Env) -> None:
        self._desk, self._own, self._env = desk, own, env

    async def open(self) -> _WideSession | NotSent:
        self._desk.opened.append(self._env.clock.seconds())
        if not self._desk.reachable:
            return NotSent(code="connect", why="the desk is closed")
        return _WideSession(self._desk, self._own, self._env)


class _WideSession:
    left: int | None = None

    def __init__(self, desk: Desk, own: WideSettings, env: Env) -> None:
        self.slots = own.slots
        self.lost: Deferred[None] = Deferred()
        self._desk, self._env = desk, env

    async def submit(self, page: Page) -> Outcome:
        desk = self._desk
        desk.pages.append((self._env.clock.seconds(), page))
        desk.under_way += 1
        assert desk.under_way <= self.slots
        try:
            await self._env.sleep(desk.takes)
            said = desk.says(page)
            if isinstance(said, Exception):
                raise said
            return said
        finally:
            desk.under_way -= 1

    async def close(self) -> None:
        if not self.lost.called:
            self.lost.callback(None)


def _measure(settings: LinkSettings) -> Measure:
    return lambda text: Parts(texts=(text,), fits=len(text) <= 160)


WIDE = """
listen: {http: {at: "127.0.0.1:8080"}}
texts: {default: ["{text}", "{short}"]}
clients: {monitoring: {token_sha256: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa], may_page: ["desk:*"]}}
carriers:
  desk: {device: {id: number}, links: {all: {adapter: wide, idle: 1h}}}
people:
  alice: {name: Alice Moreau, devices: {phone: "desk:1"}}
"""
"""One wide link that stays open."""
