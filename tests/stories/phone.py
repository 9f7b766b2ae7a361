"""The telephone network of a story: modems at serial ports, and a paging terminal at every number."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from gateway.env.simulated import World
from protocols.modem.messages import Heard
from protocols.modem.server import ModemFactory
from protocols.tap import messages as m
from protocols.tap.server import TapFactory


class Phone:
    """*says* what becomes of a call to a number instead of an answer; *answers* are the terminal's to the next
    pages, then it says yes; *regret* what it says at log-off; *silent*: it takes pages and answers none."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.far = world.env("outside")
        self.pages: list[tuple[float, m.Received]] = []  # with the world's seconds
        self.calls: list[int] = []  # pages of each call that ended in order
        self.dialled: list[str] = []
        self.answers: list[m.Answer] = []
        self.regret: m.Answer | None = None
        self.silent = False
        self.says: Callable[[str], Heard | None] = lambda number: None
        self.terminal = TapFactory(self, self.far.clock)

    def plug(self, path: str, exchange: Callable[[str], Protocol | Heard] | None = None) -> None:
        """A modem at *path*, which calls by *exchange* instead."""
        self.world.plug(path, self.far, ModemFactory(exchange or self._exchange, self.far.clock))

    def texts(self) -> list[str]:
        """What was paged, in order."""
        return [page.text for _, page in self.pages]

    def _exchange(self, number: str) -> Protocol | Heard:
        self.dialled.append(number)
        answering = self.says(number) or self.terminal.buildProtocol(None)
        assert answering is not None
        return answering

    # What the terminal asks

    async def page(self, peer: str, page: m.Received) -> m.Answer:
        self.pages.append((self.world.clock.seconds(), page))
        if self.silent:
            await Deferred[None]()
        return self.answers.pop(0) if self.answers else m.answer_of(211)

    async def log_off(self, peer: str, pages: int) -> m.Answer | None:
        self.calls.append(pages)
        return self.regret
