"""A simulated SNPP carrier: a paging terminal that can be slow, refuse, throttle, lose its answers, or lie.

Speaks through ``protocols.snpp.server``, so a good answer is a real one; the quirks are applied around it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from twisted.internet.protocol import Protocol

from gateway.env import Env, Port
from gateway.model import Instant, later, seconds_between
from gateway.pacing import Bucket
from gateway.settings.types import Rate
from gateway.sim.losses import Losses
from gateway.sim.truth import Truth
from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.codec import status_reply
from protocols.snpp.server import Caller, SnppFactory

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
    tone_only: Annotated[bool, Meta(description="Take pages without a text, too.")] = False
    login: Annotated[str | None, Meta(description="`name` or `name:password` that must log in.")] = None


class SimulatedSnpp:
    """One paging terminal."""

    def __init__(self, env: Env, quirks: SnppQuirks, truth: Truth) -> None:
        self._env = env
        self._quirks = quirks
        self._chance = env.random
        self._bucket = None if quirks.rate is None else Bucket(quirks.rate, env.now())
        self._tags: dict[tuple[str, str], Instant] = {}
        self.truth = truth
        rules = s.ServerRules(
            greeting="Simulated paging terminal ready",
            login_needed=bool(quirks.login),
            tone_only=quirks.tone_only,
        )
        self.factory = _Lossy(self, quirks, env, rules)

    async def listen(self, at: str) -> Port:
        """Open for business at ``host:port``."""
        return await self._env.net.listen(at, self.factory)

    # protocols.snpp.server.Application

    async def login(self, who: Caller, asked: s.LoginAsked) -> m.Reply:
        name, _, password = (self._quirks.login or "").partition(":")
        if not name or (asked.login, asked.password or "") == (name, password):
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
                self.truth.reached(self._env.now(), str(recipient.pager), page.text or "")
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


class _Lossy(SnppFactory):
    """Serves connections that may drop in the middle of the answer to SEND."""

    def __init__(self, carrier: SimulatedSnpp, quirks: SnppQuirks, env: Env, rules: s.ServerRules) -> None:
        super().__init__(carrier, env.clock, lambda: _datetime(env.wall()), rules=rules)
        self._losses = Losses(quirks.lose_answer, quirks.lose_share, env)

    def buildProtocol(self, addr: object) -> Protocol:
        return self._losses.on(super().buildProtocol(addr), lambda line: line[:4].upper() == b"SEND")


def _datetime(at: Instant) -> datetime:
    return datetime.fromtimestamp(at / 1e6, UTC)
