"""SNPP: pages to a paging terminal over TCP (RFC 1861), with MSTAtus where the carrier's tags are usable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, assert_never

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred

from gateway.adapters.base import (
    AdapterSpec,
    Evidence,
    Findings,
    Measure,
    Session,
    Surroundings,
    measuring,
)
from gateway.adapters.discreet import SECRET, TEXT, without
from gateway.adapters.recorded import Kept, Said
from gateway.alphabets import Alphabet
from gateway.env import Address, Env, Tls
from gateway.model import Instant, LinkName, MessageClass, Page, later
from gateway.outcome import (
    About,
    CarrierRef,
    InDoubt,
    Later,
    Level,
    NotSent,
    Outcome,
    Refused,
    Taken,
)
from gateway.settings.kinds import host_and_port, is_loopback
from gateway.settings.types import Endpoint, LinkSettings, Objection, Secret
from protocols.snpp import codec
from protocols.snpp import messages as m
from protocols.snpp.client import Conversation, Limits
from protocols.snpp.session import Manner, NotOpened

OPEN_TIMEOUT = 10.0  # seconds, delivery semantics 8.1
ANSWER_TIMEOUT = 120.0  # seconds for SEND: servers that deliver before they answer (delivery semantics 8.1)
REPLY_TIMEOUT = 30.0  # seconds for every other command
ENQUIRY_WAITS = (
    2.0,
    3.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1800.0,
)  # then never again: 1 h

LEVELS = {  # RFC 1861 4.5.3: 0 priority, 1 normal, 2 five minutes, 4 one hour (docs/protocols/snpp.md)
    MessageClass.CRITICAL: 0,
    MessageClass.URGENT: 1,
    MessageClass.NORMAL: 2,
    MessageClass.BULK: 4,
}


class SnppSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of an SNPP link."""

    at: Annotated[Endpoint, Meta(description="`host:port` of the terminal; SNPP's port is 444.")]
    tls: Annotated[
        Literal["off", "required"], Meta(description="`required`: TLS from the first byte, verified.")
    ] = "off"
    ca_file: Annotated[str | None, Meta(description="PEM file of who signs the certificate.")] = None
    tls_name: Annotated[str | None, Meta(description="Name in the certificate, if not the host's.")] = None
    login: Annotated[str | None, Meta(description="Name for LOGIn; none: no login.")] = None
    password: Annotated[Secret | None, Meta(description="Password for LOGIn.")] = None
    body: Annotated[
        Literal["auto", "data", "mess"],
        Meta(description="Command for the text; `mess` where DATA is missing or misread."),
    ] = "auto"
    dots: Annotated[
        Literal["stuff", "plain", "avoid"],
        Meta(description="Lines that begin with a dot: doubled, as they are, or behind a blank (hfaxd)."),
    ] = "stuff"
    max_chars: Annotated[int, Meta(ge=1, le=1000, description="Characters that a pager gets.")] = 240
    level: Annotated[bool, Meta(description="Tell the class by LEVEl; left out if refused.")] = False
    caller_id: Annotated[bool, Meta(description="Tell the call-back number by CALLerid.")] = False
    two_way: Annotated[bool, Meta(description="Begin with 2WAY: the carrier answers with a tag.")] = False
    msta: Annotated[
        Literal["auto", "never"],
        Meta(description="Ask MSTAtus about tags; `never` where tags are not usable (Spok)."),
    ] = "auto"

    def check(self) -> Iterator[Objection]:
        """What the wire cannot carry, and what travels in clear (RFC 1861 has no protection of its own)."""
        if self.login is not None and not _is(m.SnppWord, self.login):
            yield Objection(key="login", what="cannot be a login of SNPP.", remedy=WORD)
        if self.password is not None and not _is(m.SnppSecret, self.password.value):
            yield Objection(key="password", what="cannot be a password of SNPP.", remedy=WORD)
        if self.password is not None and self.login is None:
            yield Objection(key="password", what="is of no use without login.", remedy="Write login too.")
        if self.password is not None and self.tls == "off" and not is_loopback(self.at):
            yield Objection(
                key="password",
                what="travels in clear.",
                remedy="Write tls: required if the carrier offers it.",
                warning=True,
            )


OPTIONAL = ("LOGI", "DATA", "LEVE", "CALL", "HOLD", "ALER", "2WAY", "MSTA", "RTYP", "MCRE", "KTAG")
"""Commands of RFC 1861 levels 2 and 3 that a server need not know, by the four letters that count."""


def _commands(lines: tuple[str, ...]) -> list[str]:
    """Those of ``OPTIONAL`` that a HELP text names."""
    said = {word[:4].upper() for line in lines for word in re.findall(r"[A-Za-z0-9]+", line)}
    return [word for word in OPTIONAL if word in said]


WORD = f"Write 1 to {m.MAX_WORD} ASCII characters without blanks."


def _is(kind: type[m.SnppText], value: str) -> bool:
    try:
        kind(value)
    except m.InvalidValue:
        return False
    return True


class SnppLink:
    """One configured way into a paging terminal."""

    def __init__(self, name: LinkName, settings: LinkSettings, around: Surroundings) -> None:
        own = settings.own
        assert isinstance(own, SnppSettings)
        self._name = name
        self._own = own
        self._env = env = around.env
        self._kept = Kept(env, [_password(own).encode()])
        self.transcript = self._kept.transcript
        self._open_timeout = settings.open_timeout or OPEN_TIMEOUT
        answer = settings.answer_timeout or ANSWER_TIMEOUT
        self._limits = Limits(
            open=self._open_timeout,
            reply=min(REPLY_TIMEOUT, answer),
            send=answer,
            dialogue=answer + 4 * min(REPLY_TIMEOUT, answer),
        )

    async def open(self) -> Session | NotSent:
        """Connect, hear the greeting, log in; once."""
        said = self._kept.conversation()
        conversation = self._conversation(said)
        opened = await conversation.open()
        if isinstance(opened, NotOpened):
            return _not_opened(opened, self._own)
        return SnppSession(self._name, self._own, conversation, self._env, said)

    async def probe(self) -> Findings:
        """Greeting, login and HELP; nothing is entered."""
        conversation = self._conversation(self._kept.conversation())
        opened = await conversation.open()
        if isinstance(opened, NotOpened):
            return Findings(reached=False, says=_not_opened(opened, self._own).why)
        told = await conversation.help()
        await conversation.quit()
        lines = () if told is None else tuple(codec.printable(line) for line in told.before)
        known = _commands(lines)
        says = f"{self._own.at} greets: {codec.printable(opened.greeting.text)[:80]}"
        if self._own.two_way and known and "2WAY" not in known:
            says += "; its HELP does not name 2WAY, so it may not report back"
        return Findings(
            reached=True,
            says=says,
            capabilities={
                "commands": " ".join(known) or "not said",
                "help": "; ".join(lines)[:400],
                "tls": "verified" if self._own.tls == "required" else "off",
                "login": "accepted" if self._own.login else "not configured",
            },
        )

    def _conversation(self, said: Said) -> Conversation:
        own = self._own
        tls = Tls(name=own.tls_name, ca_file=own.ca_file) if own.tls == "required" else None
        host, port = host_and_port(own.at)
        address = Address(host=host, port=port, tls=tls)
        login = None
        if own.login is not None:
            password = None if own.password is None else m.SnppSecret(own.password.value)
            login = m.Login(login=m.SnppWord(own.login), password=password)
        return Conversation(
            self._env.net.client(address, open_timeout=self._open_timeout),
            self._env.clock,
            login=login,
            manner=Manner(dots=codec.Dots(own.dots)),
            limits=self._limits,
            watch=said.watch,
        )


class SnppSession:
    """One conversation: a page at a time."""

    slots = 1
    left: int | None = None

    def __init__(
        self, name: LinkName, own: SnppSettings, conversation: Conversation, env: Env, said: Said
    ) -> None:
        self._said = said
        self.transcript = said.transcript
        self._name = name
        self._own = own
        self._conversation = conversation
        self._env = env
        self.lost: Deferred[None] = conversation.lost

    async def submit(self, page: Page) -> Outcome:
        """PAGE … SEND; the point of no return is the CR LF of SEND."""
        try:
            transaction = self._transaction(page)
        except m.InvalidValue as invalid:
            about = About.ADDRESS if invalid.field == m.PagerId._what else About.PAGE
            return Refused(about=about, code="invalid", why=str(invalid))
        self._said.page(self._words(transaction))
        result = await self._conversation.submit(transaction)
        if isinstance(result, m.Submitted) and result.reply.passcode is not None:
            self._said.now.hide_secret(result.reply.passcode.encode())
        outcome = outcome_of(result)
        why = without(outcome.why, "\n".join((*transaction.text, *page.replies)), TEXT)
        why = without(why, _password(self._own), SECRET)
        return self._with_enquiry(msgspec.structs.replace(outcome, why=why), result)

    def _words(self, transaction: m.Transaction) -> Iterator[bytes]:
        """What of a page nobody is shown, as it goes over the wire."""
        body = codec.encode_body(transaction.text, codec.Dots(self._own.dots))
        yield from (line for line in body.split(b"\r\n") if line != b".")
        yield from (line.encode() for line in transaction.text)
        yield from (
            one.text.encode() for one in (transaction.two_way.responses if transaction.two_way else ())
        )
        if transaction.caller_id:
            yield transaction.caller_id.encode()

    async def enquire(self, ref: CarrierRef) -> tuple[Evidence, ...]:
        """MSTAtus, once; nothing while a page is under way, for one conversation says one thing at a time."""
        tag, _, passcode = ref.ref.partition(" ")
        self._said.now.hide_secret(passcode.encode())
        try:
            status = await self._conversation.status(tag, passcode)
        except m.LocalProtocolError:  # a page is under way; asked again when the lane next looks
            return ()
        if status is None or not status.known:
            return ()
        return evidence_of(status, ref, self._env.now())

    async def close(self) -> None:
        """QUIT, then the connection goes."""
        await self._conversation.quit()

    def _transaction(self, page: Page) -> m.Transaction:
        own = self._own
        recipient = m.Recipient(
            pager=m.PagerId(page.address), level=LEVELS[page.message_class] if own.level else None
        )
        caller = codec.text_of(page.sender) if own.caller_id and page.sender else None
        two_way = None
        if own.two_way:
            remaining = (page.expires - self._env.now()) / 3.6e9
            responses = tuple(
                m.McResponse(code=f"{n:02d}", text=codec.text_of(text))
                for n, text in enumerate(page.replies, 1)
            )
            two_way = m.TwoWayOptions(
                expire_hours=max(1, round(remaining)),
                reply=m.ReplyKind.MULTICHOICE if responses else None,
                responses=responses,
            )
        return m.Transaction(
            recipients=(recipient,),
            text=codec.lines_of(page.text),
            caller_id=caller,
            two_way=two_way,
            body=m.Body(own.body),
        )

    def _with_enquiry(self, outcome: Outcome, result: m.Result) -> Outcome:
        """Remember the tag if the carrier can be asked about it."""
        if not isinstance(outcome, Taken) or not isinstance(result, m.Submitted):
            return outcome
        tag, passcode = result.reply.tag, result.reply.passcode
        usable = self._own.two_way and self._own.msta == "auto" and result.reply.code >= 800
        if tag is None or passcode is None or not usable or tag in result.accepted:
            return outcome  # a tag that is the pager id says nothing about this page
        at = later(self._env.now(), ENQUIRY_WAITS[0])
        ref = CarrierRef(scope=self._name, ref=f"{tag} {passcode}", enquire_at=at)
        return msgspec.structs.replace(outcome, refs=(ref,))


# ---------------------------------------------------------------- their words to ours


ANSWERS = (
    (
        "250 to SEND, other 2xx from 230",
        "Taken, handed_over",
        "accepted by the terminal, nothing more",
    ),
    ("960, other 9xx to SEND", "Taken, handed_over", "queued at the carrier"),
    ("860, 861, 880 to SEND", "Taken, on_device", "on the pager"),
    ("870, 881 to SEND", "Taken, read", "read on the pager"),
    ("550 to PAGEr", "Refused about address", "unknown or barred pager id"),
    ("550, other 5xx to MESSage, DATA, SEND", "Refused about page", "this text, or these options, never"),
    ("500, 530 to a needed command; 550 to LOGIn again", "Refused about link", "wrong server or credentials"),
    ("4xx to any command", "Later about link", "the server closes; nothing of the page was taken"),
    ("554, other x54; 503; 552", "Later about page", "technical, or another's rest in the way"),
    ("750 to PAGEr", "Later about address", "the pager is not online"),
    ("no connection, no greeting, LOGIn refused", "NotSent", "nothing was entered"),
    ("loss, silence, garbage, an answer too many before SEND", "NotSent", "SEND was not written"),
    ("loss, silence, garbage after SEND; 21x, 22x, 3xx to SEND", "InDoubt", "no answer to SEND came"),
)


def outcome_of(result: m.Result) -> Outcome:
    """What became of a page, in our words: the table ``ANSWERS`` (RFC 1861 4.1, 4.2.7, 4.5, 4.6)."""
    match result:
        case m.NotSent(why=why):
            return NotSent(code="lost", why=why)
        case m.InDoubt(why=why):
            return InDoubt(code="no-answer", why=why)
        case m.Submitted():
            return _answered(result)
        case _:
            assert_never(result)


def _answered(result: m.Submitted) -> Outcome:
    reply, step = result.reply, result.step
    code, why = str(reply.code), f"{step}: {codec.printable(reply.text)[:160]}"
    left_out = ", ".join(skipped.verb for skipped in result.skipped)
    match reply.kind:
        case m.Kind.DONE if result.committed:
            warning = f"the server does not know {left_out}" if left_out else None
            return Taken(level=_level(reply.code), code=code, why=why, warning=warning)
        case m.Kind.INFORMATION | m.Kind.GO_ON if result.committed:
            return InDoubt(code=code, why=f"not an answer to SEND: {why}")
        case m.Kind.TEMPORARY if reply.closes:
            return Later(about=About.LINK, code=code, why=why)
        case m.Kind.TEMPORARY:
            about = About.ADDRESS if reply.code == 750 else About.PAGE
            return Later(about=about, code=code, why=why)
        case m.Kind.FULL:
            return Later(about=About.PAGE, code=code, why=why)
        case m.Kind.OURS if reply.code in (502, 503):
            return Later(about=About.PAGE, code=code, why=why)
        case m.Kind.OURS:
            return Refused(about=About.LINK, code=code, why=why)
        case m.Kind.PERMANENT:
            about = {"PAGE": About.ADDRESS, "LOGI": About.LINK}.get(step, About.PAGE)
            return Refused(about=about, code=code, why=why)
        case _:
            return NotSent(code=code, why=f"not an answer to {why}")


def _level(code: int) -> Level:
    """What an answer to SEND proves (RFC 1861 4.6.9)."""
    if code in (870, 881, 888, 889):
        return Level.READ
    return Level.ON_DEVICE if code // 100 == 8 else Level.HANDED_OVER


def _not_opened(failure: NotOpened, own: SnppSettings) -> NotSent:
    why = without(failure.why, _password(own), SECRET)
    if failure.step == "CONN":
        return NotSent(code="connect", why=why)
    code = "login" if failure.step == "LOGI" else "greeting"
    return NotSent(code=code if failure.reply is None else f"{code}-{failure.reply.code}", why=why)


def _password(own: SnppSettings) -> str:
    return "" if own.password is None else own.password.value


def evidence_of(status: m.MessageStatus, ref: CarrierRef, at: Instant) -> tuple[Evidence, ...]:
    """What MSTAtus proves about a page (RFC 1861 4.6.10)."""
    level = None
    if status.read:
        level = Level.READ
    elif status.delivered:
        level = Level.ON_DEVICE
    if level is None and not status.expired:
        return ()  # 96x: still queued, which we knew
    return (
        Evidence(
            scope=ref.scope,
            ref=ref.ref,
            part=ref.part,
            state=str(status.code),
            at=at,
            level=level,
            setback=f"{status.code} expired at the carrier" if status.expired else None,
            reply=None if status.answer is None else codec.printable(status.answer),
            choice=_choice(status),
            final=status.final,
        ),
    )


def _choice(status: m.MessageStatus) -> int | None:
    """The number of the reply that was chosen: the response code of 888 is one of ours (``_transaction``)."""
    if status.code != 888 or status.answer is None or not re.fullmatch(r"[0-9]{2}", status.answer, re.ASCII):
        return None
    return int(status.answer)


def _ceiling(settings: LinkSettings) -> Level:
    own = settings.own
    assert isinstance(own, SnppSettings)
    return Level.READ if own.two_way and own.msta == "auto" else Level.HANDED_OVER


def _measure(settings: LinkSettings) -> Measure:
    own = settings.own
    assert isinstance(own, SnppSettings)
    return measuring(Alphabet.ASCII, own.max_chars)  # RFC 1861 4: "ASCII text" is all there is


ADAPTER = AdapterSpec(
    name="snpp",
    settings=SnppSettings,
    make_link=SnppLink,
    ceiling=_ceiling,
    measure=_measure,
    answers=ANSWERS,
    enquiry_waits=ENQUIRY_WAITS,
    open_timeout=OPEN_TIMEOUT,
    answer_timeout=ANSWER_TIMEOUT,
)
