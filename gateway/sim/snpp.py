"""A simulated SNPP carrier: a paging terminal that can be slow, refuse, throttle, lose its answers, or lie.

Speaks through ``protocols.snpp.server``, so a good answer is a real one; the quirks are applied around it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta
from protocols.snpp.codec import status_reply
from protocols.snpp.server import Caller, SnppFactory
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from gateway.env import Env
from gateway.model import Instant, later, seconds_between
from gateway.pacing import Bucket
from gateway.settings.types import Rate
from gateway.sim.truth import Truth
from protocols.snpp import messages as m
from protocols.snpp import session as s

PAGERS = r"[0-9]{1,20}"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Answer *step* (PAGE, SEND or LOGI) with *code*, for a *share* of the pages."""

    step: str
    code: int
    share: float = 1.0


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """*after* seconds from SEND, MSTAtus says *code*; with *text* for a person's answer (888, 889)."""

    after: float
    code: int
    text: str = ""


class SnppQuirks(msgspec.Struct, frozen=True, kw_only=True):
    """How the carrier misbehaves; none of it by default."""

    delay: Annotated[float, Meta(description="Seconds before SEND is answered.")] = 0.0
    refusals: Annotated[tuple[Refusal, ...], Meta(description="What is refused.")] = ()
    lose_answer: Annotated[
        int | None, Meta(description="Bytes of the answer to SEND that still arrive; then the line drops.")
    ] = None
    lose_share: Annotated[float, Meta(description="Share of answers that are lost.")] = 1.0
    silent: Annotated[bool, Meta(description="Say yes and let nothing reach the pager.")] = False
    rate: Annotated[Rate | None, Meta(description="Pages taken; above it SEND is answered 421.")] = None
    progress: Annotated[tuple[Progress, ...], Meta(description="What MSTAtus says over time.")] = ()
    login: Annotated[str | None, Meta(description="`name` or `name:password` that must log in.")] = None
    seed: Annotated[int, Meta(description="Which pages meet the shares.")] = 0


class SimulatedSnpp:
    """One paging terminal."""

    def __init__(self, env: Env, quirks: SnppQuirks, truth: Truth) -> None:
        self._env = env
        self._quirks = quirks
        self._chance = Random(quirks.seed)
        self._bucket = None if quirks.rate is None else Bucket(quirks.rate, env.now())
        self._tags: dict[tuple[str, str], Instant] = {}
        self.truth = truth
        rules = s.ServerRules(greeting="Simulated paging terminal ready", login_needed=bool(quirks.login))
        terminal = SnppFactory(self, env.clock, lambda: _datetime(env.wall()), rules=rules)
        self.factory = _Lossy(terminal, quirks, self._chance)

    async def listen(self, at: str) -> IListeningPort:
        """Open for business at ``host:port``."""
        return await self._env.net.listen(at, self.factory)

    # protocols.snpp.server.Application

    async def login(self, who: Caller, asked: s.LoginAsked) -> m.Reply:
        name, _, password = (self._quirks.login or "").partition(":")
        if not name or (asked.name, asked.password or "") == (name, password):
            return self._refused("LOGI") or m.Reply(250, "Login accepted")
        return m.Reply(550, "Login refused")

    async def check_pager(self, who: Caller, asked: s.PagerAsked) -> m.Reply:
        return self._refused("PAGE") or m.Reply(850 if asked.two_way else 250, "Pager ID accepted")

    async def send(self, who: Caller, page: m.Received) -> m.Reply:
        quirks = self._quirks
        if self._bucket is not None:
            if not self._bucket.left(self._env.now()):
                return m.Reply(421, "Too many pages, try later")
            self._bucket.take()
        refused = self._refused("SEND")
        if refused is not None:
            return refused
        if quirks.delay:
            await self._env.sleep(quirks.delay)
        if not quirks.silent:
            for recipient in page.recipients:
                self.truth.reached(self._env.now(), recipient.pager, page.text or "")
        if page.two_way is None:
            return m.Reply(250, "Page accepted")
        tag = str(self._chance.randrange(10**9, 10**10)), str(self._chance.randrange(10**5, 10**6))
        self._tags[tag] = self._env.now()
        return m.tagged_reply(960, *tag, "Queued")

    async def status(self, who: Caller, asked: s.StatusAsked) -> m.Reply:
        sent = self._tags.get((asked.tag, asked.passcode))
        if sent is None:
            return m.Reply(550, "Unknown tag or pass code")
        now = self._env.now()
        code, sequence, text, at = 960, 1, "Queued", sent
        for number, step in enumerate(self._quirks.progress, 2):
            if seconds_between(sent, now) >= step.after:
                code, sequence, text, at = step.code, number, step.text, later(sent, step.after)
        return status_reply(m.MessageStatus(code=code, sequence=sequence, at=_datetime(at), rest=text))

    async def ping(self, who: Caller, asked: s.PingAsked) -> m.Reply:
        return m.Reply(821, "Pager is known")

    async def kill(self, who: Caller, asked: s.KillAsked) -> m.Reply:
        known = self._tags.pop((asked.tag, asked.passcode), None)
        return m.Reply(550, "Unknown tag or pass code") if known is None else m.Reply(250, "Tag removed")

    def _refused(self, step: str) -> m.Reply | None:
        for refusal in self._quirks.refusals:
            if refusal.step == step and self._chance.random() < refusal.share:
                return m.Reply(refusal.code, "Refused by simulation")
        return None


class _Lossy(WrappingFactory):
    """Connections that may drop in the middle of the answer to SEND."""

    noisy = False

    def __init__(self, terminal: SnppFactory, quirks: SnppQuirks, chance: Random) -> None:
        super().__init__(terminal)
        self._quirks = quirks
        self._chance = chance

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        inner = self.wrappedFactory.buildProtocol(addr)
        return inner if self._quirks.lose_answer is None else _LossyLine(self, inner)

    @property
    def lose_next(self) -> int | None:
        """Bytes of the next answer to SEND that arrive; None: all."""
        return self._quirks.lose_answer if self._chance.random() < self._quirks.lose_share else None


class _LossyLine(ProtocolWrapper):  # type: ignore[misc]  # Twisted does not say what it is
    """Watches for SEND going in and cuts the answer going out."""

    def __init__(self, factory: _Lossy, inner: Protocol | None) -> None:
        super().__init__(factory, inner)
        self._lossy = factory
        self._tail = b""
        self._sending = False

    def dataReceived(self, data: bytes) -> None:
        lines = (self._tail + data).split(b"\n")
        self._tail = lines[-1][-8:]
        self._sending = self._sending or any(line[:4].upper() == b"SEND" for line in lines[:-1])
        super().dataReceived(data)

    def write(self, data: bytes) -> None:
        if not self._sending:
            super().write(data)
            return
        self._sending = False
        keep = self._lossy.lose_next
        if keep is None:
            super().write(data)
            return
        super().write(data[:keep])
        self.loseConnection()


def _datetime(at: Instant) -> datetime:
    return datetime.fromtimestamp(at / 1e6, UTC)


async def serve(
    env: Env, at: str, quirks: SnppQuirks, log: Path | None
) -> tuple[SimulatedSnpp, IListeningPort]:
    """A simulated terminal at ``host:port``, its ground truth in *log*."""
    carrier = SimulatedSnpp(env, quirks, Truth(log))
    return carrier, await carrier.listen(at)
