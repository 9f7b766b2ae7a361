"""The way out: one conversation with a relay, a page at a time."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError

from gateway.adapters.base import Findings, Measure, Session, Surroundings, measuring
from gateway.adapters.discreet import SECRET, TEXT, without
from gateway.adapters.recorded import Kept, Said
from gateway.adapters.smtp.answers import in_short, outcome_of
from gateway.adapters.smtp.settings import SmtpSettings, own_of
from gateway.alphabets import Alphabet
from gateway.env import Address, Env, Tls
from gateway.model import LinkName, MessageClass, Page
from gateway.outcome import About, CarrierRef, NotSent, Outcome, Refused, Taken
from gateway.settings.kinds import host_and_port, is_loopback
from gateway.settings.types import LinkSettings
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.client import Conversation, Limits
from protocols.smtp.codec import Offer
from protocols.smtp.mail import Letter, compose
from protocols.text import printable

OPEN_TIMEOUT = 10.0  # seconds, delivery semantics 8.1
ANSWER_TIMEOUT = 300.0  # seconds for the final dot: relays that deliver before they answer (8.1)
REPLY_TIMEOUT = 60.0  # seconds for every other command
SHORT = 60  # characters of {short} in a subject: about what a list of mails shows
LONGEST_SUBJECT = 200  # characters

NOTIFY = {
    "none": frozenset[m.Notify](),
    "failure": frozenset({m.Notify.FAILURE, m.Notify.DELAY}),
    "relayed": frozenset(m.Notify),
    "success": frozenset(m.Notify),
}
IMPORTANCE = {  # RFC 2156 5.3.4 and the field of the same purpose that more programs show
    MessageClass.CRITICAL: b"X-Priority: 1\r\nImportance: high\r\n",
    MessageClass.URGENT: b"X-Priority: 1\r\nImportance: high\r\n",
    MessageClass.NORMAL: b"",
    MessageClass.BULK: b"X-Priority: 5\r\nImportance: low\r\n",
}


class SmtpLink:
    """One configured way into a relay."""

    def __init__(self, name: LinkName, settings: LinkSettings, around: Surroundings) -> None:
        own, env = own_of(settings), around.env
        self._name = name
        self._own = own
        self._env = env
        self._kept = Kept(env, _credentials(own).encode().split(b"\n"))
        self.transcript = self._kept.transcript
        self._open_timeout = settings.open_timeout or OPEN_TIMEOUT
        answer = settings.answer_timeout or ANSWER_TIMEOUT
        reply = min(REPLY_TIMEOUT, answer)
        self._limits = Limits(
            open=self._open_timeout, reply=reply, data=reply, send=answer, dialogue=answer + 3 * reply
        )

    async def open(self) -> Session | NotSent:
        """Connect, hear the greeting, change to TLS, log in; once."""
        opened = await self._opened()
        if isinstance(opened, NotSent):
            return opened
        conversation, offer, said = opened
        return SmtpSession(self._name, self._own, conversation, offer.offer, self._env, said)

    async def probe(self) -> Findings:
        """Greeting, EHLO, STARTTLS and AUTH; nothing is entered."""
        opened = await self._opened()
        if isinstance(opened, NotSent):
            return Findings(reached=False, says=opened.why)
        conversation, told, _ = opened
        await conversation.quit()
        offer = told.offer
        lacks = self._own.reports != "none" and "DSN" not in offer
        says = f"{self._own.at} greets: {in_short(told.greeting.text)[:80]}"
        return Findings(
            reached=True,
            says=f"{says}; it offers no DSN: reports cannot be asked for" if lacks else says,
            capabilities={
                "extensions": " ".join(sorted(offer.extensions))[:400],
                "size": str(offer.size or "not said"),
                "tls": "verified" if told.secure else "off",
                "login": "accepted" if self._own.login else "not configured",
            },
        )

    async def _opened(self) -> tuple[Conversation, s.Opened, Said] | NotSent:
        own = self._own
        said = self._kept.conversation()
        try:
            conversation = self._conversation(said)
        except ConnectError as error:  # ca_file cannot be read
            return NotSent(code="tls", why=str(error))
        opened = await conversation.open()
        if isinstance(opened, s.Opened):
            return conversation, opened, said
        why = in_short(without(opened.why, _credentials(own), SECRET))
        code = {"CONN": "connect", "STARTTLS": "tls", "AUTH": "login"}.get(opened.step, "greeting")
        return NotSent(code=code if opened.reply is None else f"{code}-{opened.reply.code}", why=why)

    def _conversation(self, said: Said) -> Conversation:
        own = self._own
        host, port = host_and_port(own.at)
        tls = None if own.tls == "off" else Tls(name=own.tls_name, ca_file=own.ca_file)
        address = Address(host=host, port=port, tls=tls if own.tls == "implicit" else None)
        starts = tls if own.tls == "required" else None
        login = None
        if own.login is not None and own.password is not None:
            login = m.Login(user=m.Secret(own.login), password=m.Secret(own.password.value))
        return Conversation(
            self._env.net.client(address, open_timeout=self._open_timeout),
            self._env.clock,
            s.Manner(
                name=m.Domain(own.helo or own.sender[1].domain),
                lmtp=own.lmtp,
                starttls=s.StartTls.NEVER if starts is None else s.StartTls.REQUIRED,
                secure=own.tls == "implicit",
                clear_login=is_loopback(own.at),
            ),
            tls=None if starts is None else self._env.net.tls_options(starts, host),
            login=login,
            limits=self._limits,
            watch=said.watch,
        )


class SmtpSession:
    """One conversation: a page at a time."""

    slots = 1
    left: int | None = None

    def __init__(
        self,
        name: LinkName,
        own: SmtpSettings,
        conversation: Conversation,
        offer: Offer,
        env: Env,
        said: Said,
    ) -> None:
        self._said = said
        self.transcript = said.transcript
        self._name = name
        self._own = own
        self._conversation = conversation
        self._offer = offer
        self._env = env
        self.lost: Deferred[None] = conversation.lost

    async def submit(self, page: Page) -> Outcome:
        """MAIL … the text; the point of no return is the dot that ends it."""
        own = self._own
        try:
            bounces = own.bounces(self._name)
            sender = own.sender[1] if bounces is None else bounces.of(page.correlation, page.copy)
            transaction = self._transaction(page, sender)
        except m.InvalidValue as invalid:
            about = About.ADDRESS if invalid.field == m.Mailbox._what else About.PAGE
            return Refused(about=about, code="invalid", why=str(invalid))
        token = b"" if bounces is None else sender.local.partition("+")[2].encode()
        self._said.page(_words(transaction.content, page.text), [token])
        outcome = outcome_of(await self._conversation.submit(transaction))
        why = without(outcome.why, f"{page.text}\n{self._subject(page) or ''}", TEXT)
        if bounces is not None:  # whoever knows the token may report about this page
            why = without(why, sender.local.partition("+")[2], TEXT)
        outcome = replace(outcome, why=without(why, _credentials(own), SECRET))
        if not isinstance(outcome, Taken):
            return outcome
        deaf = own.reports in ("relayed", "success") and "DSN" not in self._offer
        warning = "the server offers no DSN: how the mail fares will not be reported" if deaf else None
        return replace(outcome, refs=(CarrierRef(scope=self._name, ref=page.correlation),), warning=warning)

    async def close(self) -> None:
        """QUIT, then the connection goes."""
        await self._conversation.quit()

    def _transaction(self, page: Page, sender: m.Mailbox) -> m.Transaction:
        to = m.mailbox(page.address)
        return m.Transaction(
            sender=sender,
            recipients=(m.Recipient(address=to, notify=NOTIFY[self._own.reports], original=to),),
            content=self._mail(page, to, sender),
            ret=m.Ret.HDRS,
            envid=m.EnvelopeId(page.correlation),
        )

    def _mail(self, page: Page, to: m.Mailbox, sender: m.Mailbox) -> m.Content:
        own = self._own
        name, address = own.sender
        subject = self._subject(page)
        letter = Letter(
            sender=address,
            name=name,
            message_id=m.MessageId(f"<{page.correlation}@{address.domain}>"),
            at=datetime.fromtimestamp(self._env.wall() / 1e6, UTC),
            to=(to,),
            subject=None if subject is None else m.HeaderText(subject),
            text=page.text,
            tell_read=sender if own.read_receipts else None,
        )
        return m.Content(IMPORTANCE[page.message_class] + compose(letter))

    def _subject(self, page: Page) -> str | None:
        """The Subject; one line without controls, whatever the text is."""
        if self._own.subject is None:
            return None
        text = " ".join(printable(page.text).split())
        short = text if len(text) <= SHORT else f"{text[: SHORT - 1].rstrip()}…"
        words = {"{class}": page.message_class.token.capitalize(), "{ref}": page.ref or "", "{short}": short}
        subject = self._own.subject
        for word, said in words.items():
            subject = subject.replace(word, said)
        return " ".join(subject.split())[:LONGEST_SUBJECT] or None


def _words(content: m.Content, text: str) -> Iterator[bytes]:
    """What of a mail nobody is shown: its text and its subject, as they go over the wire and as they were."""
    header, _, body = content.partition(b"\r\n\r\n")
    subject = re.search(rb"(?ms)^Subject: (.*?)(?=^\S|\Z)", header)
    said = (subject[1] if subject else b"", body, text.encode(errors="replace"))
    yield from (line.strip() for one in said for line in one.splitlines() if line.strip() != b".")


def _credentials(own: SmtpSettings) -> str:
    """The password, and what AUTH makes of it, for a server that quotes."""
    if own.password is None:
        return ""
    password = own.password.value
    said = (f"\0{own.login or ''}\0{password}".encode(), password.encode())
    return "\n".join((password, *(b64encode(one).decode() for one in said)))


def measured(settings: LinkSettings) -> Measure:
    """How a text goes out: counted as it is shown, in any Unicode unless the settings say otherwise."""
    own = own_of(settings)
    return measuring(Alphabet(own.charset), own.max_chars)
