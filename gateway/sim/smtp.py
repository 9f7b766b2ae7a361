"""A simulated mail relay: it can greylist, refuse, be slow, lose its answers, and report how mail fared.

Speaks through ``protocols.smtp.server``, so a good answer is a real one. Reports are sent to the envelope
sender, as relays do, at one place that is told: the bounce door of the gateway under test.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Annotated

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from gateway.env import Address, Env, Port, public_id
from gateway.model import Instant, later
from gateway.pacing import Bucket
from gateway.settings.kinds import host_and_port
from gateway.settings.types import Rate
from gateway.sim.losses import Losses
from gateway.sim.truth import Truth
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.client import Conversation
from protocols.smtp.report import Action, Notice, write
from protocols.smtp.server import Caller, SmtpFactory

log = Logger()

NAME = m.Domain("relay.simulated.invalid")
STATUS = {
    Action.DELIVERED: "2.0.0",
    Action.RELAYED: "2.0.0",
    Action.EXPANDED: "2.0.0",
    Action.DELAYED: "4.4.1",
    Action.FAILED: "5.1.1",
}
WANTED = {Action.DELAYED: m.Notify.DELAY, Action.FAILED: m.Notify.FAILURE}  # of the others: SUCCESS
REPORT_TRIES = 5
REPORT_WAIT = 5.0  # seconds between them


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Answer *step* (RCPT or TEXT) with *code*, for a *share* of the mails."""

    step: str
    code: int
    share: float = 1.0


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """*after* seconds a report says *action* (``delivered``, ``relayed``, ``expanded``, ``delayed``,
    ``failed``), if the sender asked for such a report."""

    after: float
    action: str


class SmtpQuirks(msgspec.Struct, frozen=True, kw_only=True):
    """How the relay misbehaves; none of it by default."""

    delay: Annotated[float, Meta(description="Seconds before the text is answered.")] = 0.0
    greylist: Annotated[
        float | None, Meta(description="Seconds for which a sender is put off, from the first try.")
    ] = None
    refusals: Annotated[tuple[Refusal, ...], Meta(description="What is refused.")] = ()
    lose_answer: Annotated[
        int | None,
        Meta(description="Bytes of the answer to the text that still arrive; then the line drops."),
    ] = None
    lose_share: Annotated[float, Meta(description="Share of answers that are lost.")] = 1.0
    silent: Annotated[bool, Meta(description="Say yes and let nothing reach the mailbox.")] = False
    rate: Annotated[Rate | None, Meta(description="Mails taken; above it RCPT is answered 450.")] = None
    fates: Annotated[tuple[Fate, ...], Meta(description="What is reported over time.")] = ()
    dsn: Annotated[bool, Meta(description="Take wishes for reports.")] = True
    lmtp: Annotated[bool, Meta(description="Speak LMTP.")] = False


class _Everywhere(frozenset[str]):
    """The domains of a relay: all of them."""

    def __contains__(self, domain: object) -> bool:
        return True


class SimulatedSmtp:
    """One relay. *reports_to*: ``host:port`` where mail for envelope senders is brought; None: nowhere."""

    def __init__(self, env: Env, quirks: SmtpQuirks, truth: Truth, reports_to: str | None = None) -> None:
        self._env = env
        self._quirks = quirks
        self._chance = env.random
        self._bucket = None if quirks.rate is None else Bucket(quirks.rate, env.now())
        self._met: dict[tuple[str, str], Instant] = {}
        self.truth = truth
        self.reports_to = reports_to
        rules = s.ServerRules(name=NAME, domains=_Everywhere(), lmtp=quirks.lmtp, dsn=quirks.dsn)
        self.factory = _Lossy(self, quirks, env, rules)

    async def listen(self, at: str) -> Port:
        """Open for business at ``host:port``."""
        return await self._env.net.listen(at, self.factory)

    # protocols.smtp.server.Application

    async def login(self, who: Caller, asked: s.LoginAsked) -> m.Reply:
        return m.Reply(535, ("5.7.8 There is no login here",))

    async def recipient(self, who: Caller, asked: s.RecipientAsked) -> m.Reply:
        quirks, now = self._quirks, self._env.now()
        if self._bucket is not None:
            if not self._bucket.left(now):
                return m.Reply(450, ("4.7.1 Too many mails, try later",))
            self._bucket.take()
        if quirks.greylist is not None:
            first = self._met.setdefault((asked.sender or "", asked.to.address), now)
            if now < later(first, quirks.greylist):
                return m.Reply(450, ("4.7.1 Greylisted, try later",))
        return self._refused("RCPT") or m.Reply(250, ("2.1.5 OK",))

    async def message(self, who: Caller, message: s.Received) -> tuple[m.Reply, ...]:
        quirks = self._quirks
        refused = self._refused("TEXT")
        if refused is not None:
            return (refused,)
        if quirks.delay:
            await self._env.sleep(quirks.delay)
        if not quirks.silent:
            text = text_of(message.content)
            for to in message.recipients:
                self.truth.reached(self._env.now(), str(to.address), text)
        for fate in quirks.fates:
            Deferred.fromCoroutine(self._report(message, fate)).addErrback(
                lambda failure: log.failure("a simulated report failed", failure=failure)
            )
        return (m.Reply(250, (f"2.0.0 OK: queued as {self._chance.getrandbits(40):010X}",)),)

    def _refused(self, step: str) -> m.Reply | None:
        for refusal in self._quirks.refusals:
            if refusal.step == step and self._chance.random() < refusal.share:
                return m.Reply(refusal.code, ("Refused by simulation",))
        return None

    # reports

    async def _report(self, message: s.Received, fate: Fate) -> None:
        """Bring a report to the envelope sender; again for a while if nobody takes it."""
        action = Action(fate.action)
        wanted = WANTED.get(action, m.Notify.SUCCESS)
        asked = frozenset({m.Notify.FAILURE})  # where nothing is said (RFC 3461 4.1)
        about = [to for to in message.recipients if wanted in (asked if to.notify is None else to.notify)]
        if message.sender is None or self.reports_to is None or not about:
            return
        await self._env.sleep(fate.after)
        status = STATUS[action]
        notice = Notice(
            reporter=NAME,
            to=message.sender,
            message_id=m.MessageId(f"<{public_id(self._env)}@{NAME}>"),
            at=datetime.fromtimestamp(self._env.wall() / 1e6, UTC),
            recipients=tuple(
                (to.address, action, status, f"{status[0]}50 {status} simulated") for to in about
            ),
            envid=message.envid,
            header=message.content.partition(b"\r\n\r\n")[0],
        )
        report = m.Transaction(
            sender=None, recipients=(m.Recipient(address=message.sender),), content=write(notice)
        )
        for _ in range(REPORT_TRIES):
            if await self._bring(report):
                return
            await self._env.sleep(REPORT_WAIT)

    async def _bring(self, report: m.Transaction) -> bool:
        """Whether somebody answered, yes or no for good."""
        assert self.reports_to is not None
        host, port = host_and_port(self.reports_to)
        endpoint = self._env.net.client(Address(host=host, port=port), open_timeout=10.0)
        conversation = Conversation(endpoint, self._env.clock, s.Manner(name=NAME))
        if isinstance(await conversation.open(), s.NotOpened):
            return False
        result = await conversation.submit(report)
        await conversation.quit()
        return isinstance(result, m.Submitted) and not result.reply.temporary


class _Lossy(SmtpFactory):
    """Serves connections that may drop in the middle of the answer to the text."""

    def __init__(self, relay: SimulatedSmtp, quirks: SmtpQuirks, env: Env, rules: s.ServerRules) -> None:
        super().__init__(relay, env.clock, rules)
        self._losses = Losses(quirks.lose_answer, quirks.lose_share, env)

    def buildProtocol(self, addr: object) -> Protocol:
        return self._losses.on(super().buildProtocol(addr), lambda line: line == b".\r")


def text_of(content: m.Content) -> str:
    """The text of a mail such as ours: one part, plain."""
    body = message_from_bytes(content.replace(b"\r\n", b"\n"), policy=policy.default).get_content()
    return str(body).removesuffix("\n")
