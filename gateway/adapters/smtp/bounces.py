"""The door for reports: mail to an address that a link made is read as evidence about its page.

Nobody else gets anything in here: every recipient must be a token that one of our links wrote
(``envelope``), and mail is answered 250 only when what it says is on record. It is read as a delivery report
(RFC 3464), a disposition notification (RFC 8098), a bounce in no standard form, in this order; a vacation
answer is none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.adapters.base import Doorway, Evidence
from gateway.adapters.discreet import TEXT, without
from gateway.adapters.smtp.answers import in_short
from gateway.adapters.smtp.envelope import About, BounceAddress
from gateway.adapters.smtp.settings import SmtpListen, SmtpSettings, own_of
from gateway.env import Port
from gateway.errors import StoreFailed
from gateway.model import Instant, LinkName
from gateway.outcome import Level
from gateway.waiting import first_of
from protocols.smtp import mdn
from protocols.smtp import messages as m
from protocols.smtp import report as dsn
from protocols.smtp.server import Caller, Limits, SmtpFactory
from protocols.smtp.session import LoginAsked, Received, RecipientAsked, ServerRules

log = Logger()

TEXT_TIMEOUT = 60.0  # seconds between two lines of a text
WHOLE_TEXT = 300.0  # seconds for one text as a whole
ANSWER_TIMEOUT = 30.0  # seconds for the store; then the sender is left without an answer, and comes again
STOP_TIMEOUT = 10.0  # seconds for what was read to be answered when the gateway stops
NOBODY = "bounces.invalid"  # in the greeting while no link has a bounce address

_OURS = m.Reply(250, ("2.1.5 OK",))
_NOT_OURS = m.Reply(550, ("5.7.1 Only reports about our own mail are taken here",))
_RECORDED = m.Reply(250, ("2.0.0 On record",))
_NOT_RECORDED = m.Reply(451, ("4.3.0 Not recorded, try again",))
_NO_LOGIN = m.Reply(535, ("5.7.8 There is no login here",))

LEVELS = {dsn.Action.RELAYED: Level.IN_PROGRESS, dsn.Action.EXPANDED: Level.IN_PROGRESS}
WORDS = {  # RFC 3463, of a report without a diagnostic text
    "1.1": "no such mailbox",
    "1.2": "no such domain",
    "2.1": "mailbox switched off",
    "2.2": "mailbox full",
    "3.4": "too big",
    "4.1": "no answer from the server",
    "4.4": "no way there",
    "4.7": "given up after many tries",
    "7.1": "not allowed",
}
_MACHINES = ("mailer-daemon@", "postmaster@")


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient that is ours: the *link* that wrote to somebody, and the page that it was *about*."""

    link: LinkName
    own: SmtpSettings
    about: About
    token: str


class BounceDoor:
    """``listen.smtp``."""

    def __init__(self, settings: SmtpListen, around: Doorway) -> None:
        env = around.env
        self._settings = settings
        self._links = around.links
        self._env = env
        self._reception = around.reception
        self._factory = SmtpFactory(
            self,
            env.clock,
            self._rules,
            limits=Limits(
                idle=settings.idle,
                text=min(TEXT_TIMEOUT, settings.idle),
                whole=WHOLE_TEXT,
                answer=ANSWER_TIMEOUT,
                connections=settings.connections,
            ),
        )
        self._port: Port | None = None

    @property
    def addresses(self) -> tuple[Any, ...]:
        """See base.Listener."""
        return () if self._port is None else (self._port.getHost(),)

    async def start(self) -> None:
        """Open the port; CannotListenError if it is taken."""
        self._port = await self._env.net.listen(self._settings.at, self._factory)

    async def stop(self) -> None:
        """No new connection, 421 to those that are there after the answer that is due; at most 10 s."""
        if self._port is None:
            return
        closed = self._port.stopListening()
        if isinstance(closed, Deferred):
            await closed
        self._factory.drain()
        await first_of(self._factory.empty(), self._env.sleep(STOP_TIMEOUT))

    def _rules(self) -> ServerRules:
        """Those of the moment: which domains are ours changes with the settings."""
        domains = dict.fromkeys(bounces.domain for _, _, bounces in self._bounces())
        return ServerRules(
            name=m.Domain(self._settings.name or next(iter(domains), NOBODY)),
            domains=frozenset(domains),
            lmtp=self._settings.lmtp,
            mend=True,  # old bouncers write bare LF; nothing here is relayed, so nothing can be smuggled
            size=self._settings.size,
        )

    def _bounces(self) -> Iterator[tuple[LinkName, SmtpSettings, BounceAddress]]:
        """The bounce addresses that there are now."""
        for name, settings in self._links().items():
            own = own_of(settings)
            if (bounces := own.bounces(name)) is not None:
                yield name, own, bounces

    def _whose(self, to: m.Mailbox) -> Whose | None:
        for link, own, bounces in self._bounces():
            if (about := bounces.about(to)) is not None:
                return Whose(link=link, own=own, about=about, token=to.local.partition("+")[2])
        return None

    # protocols.smtp.server.Application

    async def login(self, who: Caller, asked: LoginAsked) -> m.Reply:
        return _NO_LOGIN  # never asked: the rules offer no AUTH

    async def recipient(self, who: Caller, asked: RecipientAsked) -> m.Reply:
        if self._whose(asked.to.address) is not None:
            return _OURS
        log.info("mail refused at the bounce door: no address of ours, from {peer}", peer=who.address)
        return _NOT_OURS

    async def message(self, who: Caller, message: Received) -> tuple[m.Reply, ...]:
        replies = [await self._read(to.address, message) for to in message.recipients]
        if self._settings.lmtp:
            return tuple(replies)
        return (next((reply for reply in replies if reply is not _RECORDED), _RECORDED),)

    async def _read(self, to: m.Mailbox, message: Received) -> m.Reply:
        whose = self._whose(to)
        if whose is None:  # its link was removed since RCPT
            return _NOT_OURS
        said = tuple(evidence(message.content, message.sender, whose, self._env.now()))
        if not said:
            log.info("mail to the bounce door of {link} is no report", link=whose.link)
        try:
            for one in said:
                await self._reception.report(whose.link, one)
        except StoreFailed:
            log.error("report about {link} not recorded: the store failed", link=whose.link)
            return _NOT_RECORDED
        return _RECORDED


# ---------------------------------------------------------------- their words to ours


def evidence(content: m.Content, sender: m.Mailbox | None, whose: Whose, at: Instant) -> Iterator[Evidence]:
    """What a mail to one of our tokens proves about its page; nothing if it is no report."""
    if (report := dsn.read(content)) is not None:
        yield from dict.fromkeys(_of_recipient(one, whose, at) for one in report.recipients)
        return
    if (notification := mdn.read(content)) is not None:
        state = notification.disposition.value
        shown = notification.disposition is mdn.Disposition.DISPLAYED and not notification.error
        yield _evidence(whose, at, state, level=Level.READ if shown and whose.own.read_receipts else None)
        return
    if _bounced(content, sender):
        yield _evidence(whose, at, "bounced", setback="came back, without a report in a standard form")


def _of_recipient(one: dsn.RecipientReport, whose: Whose, at: Instant) -> Evidence:
    """One recipient's part of a delivery report (RFC 3464 2.3)."""
    state = f"{one.action.value} {one.status}".strip()
    match one.action:
        case dsn.Action.FAILED:
            words = one.diagnostic or WORDS.get(one.status.partition(".")[2], "failed")
            words = without(f"{one.status} {words}".strip(), whose.token, TEXT)
            return _evidence(whose, at, state, setback=in_short(words))
        case dsn.Action.DELIVERED:
            sure = whose.own.reports == "success"
            return _evidence(whose, at, state, level=Level.ON_DEVICE if sure else Level.IN_PROGRESS)
        case _:
            return _evidence(whose, at, state, level=LEVELS.get(one.action))


def _evidence(whose: Whose, at: Instant, state: str, **proves: Any) -> Evidence:
    """Evidence about the copy that *whose* token names: two copies have fates of their own."""
    copy = f" copy {whose.about.copy}" if whose.about.copy > 1 else ""
    return Evidence(scope=whose.link, ref=whose.about.correlation, state=f"{state}{copy}", at=at, **proves)


def _bounced(content: m.Content, sender: m.Mailbox | None) -> bool:
    """Whether a mail that is no report still says that ours came back: from ``<>``, written by a mail server,
    and no answer of somebody's (RFC 3834 5)."""
    header: Message = BytesHeaderParser().parsebytes(content.partition(b"\r\n\r\n")[0])
    auto = str(header.get("Auto-Submitted", "no")).partition(";")[0].strip().lower()
    answer = auto == "auto-replied" or "X-Auto-Response-Suppress" in header or "List-Id" in header
    written_by = str(header.get("From", "")).lower()
    return sender is None and not answer and any(machine in written_by for machine in _MACHINES)
