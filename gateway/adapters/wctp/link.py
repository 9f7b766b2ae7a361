"""The way out: documents by HTTP, a page each; and the ways in which answers are asked for."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, assert_never

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gateway.adapters.base import Evidence, Findings, Link, Measure, Session, Surroundings, measuring
from gateway.adapters.discreet import SECRET, TEXT, without
from gateway.adapters.recorded import Kept, Said
from gateway.adapters.wctp import reports
from gateway.adapters.wctp.answers import in_short, outcome_of, words_of
from gateway.adapters.wctp.settings import WctpSettings, own_of
from gateway.alphabets import Alphabet
from gateway.errors import StoreFailed
from gateway.model import Instant, LinkName, MessageClass, Page, later, seconds_between
from gateway.outcome import About, CarrierRef, InDoubt, NotSent, Outcome, Refused, Taken
from gateway.settings.types import LinkSettings
from gateway.web.client import Answered, Unanswered, Unreached, Wire, connect, request_of
from protocols.wctp import answers, codec
from protocols.wctp import messages as m
from protocols.wctp.messages import Code, InvalidValue

log = Logger()

OPEN_TIMEOUT = 10.0  # seconds, delivery semantics 8.1
ANSWER_TIMEOUT = 30.0  # seconds for an answer: what two gateways of the field allow (docs/protocols/wctp.md)
FIRST_ENQUIRY = 10.0  # seconds: the least that carriers like (docs/protocols/wctp.md)
ENQUIRY_WAITS = (*(60.0,) * 10, *(120.0,) * 10, *(300.0,) * 12, *(1800.0,) * 6)  # then never again: 4.5 h
LONGEST_POLL_WAIT = 900.0  # seconds between polls, however often they fail
LEAST_POLL_WAIT = 1.0  # seconds, whatever a carrier asks for
POLL_JITTER = 0.1
ENQUIRY_TIMEOUT = 10.0  # seconds for the answer to a query, since pages wait behind it
ENQUIRY_REST = 60.0  # seconds without queries after one without an answer
REMEMBERED = 1000  # tracking numbers that may not be asked about yet; devices that take no choices
NO_CHOICES = frozenset((Code.DEVICE_NO_MCR, Code.CHOICE_TOO_LONG, Code.TOO_MANY_CHOICES, Code.NO_MCR))
EVERY_DEVICE = ""  # no address

PRIORITIES = {
    MessageClass.CRITICAL: m.Priority.HIGH,
    MessageClass.URGENT: m.Priority.HIGH,
    MessageClass.NORMAL: m.Priority.NORMAL,
    MessageClass.BULK: m.Priority.LOW,
}
_PRIVATE = re.compile(  # up to the end where none is closed, so that no document takes long
    rb"<wctp-(?:Alphanumeric|MessageText|(?:Send|Reply)?Choice|TransparentData)[^<>]*>(.*?)(?:</wctp-|\Z)",
    re.DOTALL,
)
_SECRETS = re.compile(rb'(?:securityCode|miscInfo|trackingNumber)="([^"]+)"')


class WctpLink:
    """One configured way into a carrier."""

    def __init__(self, name: LinkName, settings: LinkSettings, around: Surroundings) -> None:
        own, env = own_of(settings), around.env
        self.name = name
        self.own = own
        self.env = env
        self._settings = settings
        self._reception = around.reception
        self._kept = Kept(env, [one.encode() for one in _secrets(own)])
        self.transcript = self._kept.transcript
        self._open_timeout = settings.open_timeout or OPEN_TIMEOUT
        self.answer_timeout = settings.answer_timeout or ANSWER_TIMEOUT
        self._ask_from: OrderedDict[str, Instant] = OrderedDict()
        self._no_choices: OrderedDict[str, None] = OrderedDict()
        self._rests_until = Instant(0)
        self.fetch_first = False

    async def open(self) -> Session | NotSent:
        """Connect, TLS included; once."""
        said = self._kept.conversation()
        try:
            wire = await self._connected(said, self._open_timeout)
        except Unreached as error:
            return NotSent(code="connect", why=in_short(error.why))
        kind = QueryingSession if self.own.answers == "query" else WctpSession
        return kind(self, wire, said)

    async def probe(self) -> Findings:
        """Connect and ask for the versions; nothing is entered. Few servers know them, which is no fault."""
        own = self.own
        try:
            inquiry = m.VersionQuery(inquirer=m.WctpId(own.sender_id), asked=self._now())
            heard = await self.ask_once(inquiry)
        except InvalidValue:  # 1.0 has no such question
            return await self._reached()
        if isinstance(heard, str):
            return Findings(reached=False, says=heard)
        read = codec.read(heard.body, answers.TOLERANCE)
        told = read.operation if isinstance(read, m.Document) else None
        says = f"{own.url.partition('?')[0]} answers with HTTP {heard.status}"
        if not isinstance(told, m.VersionResponse) or isinstance(told.result, m.Failure):
            return Findings(reached=True, says=f"{says} and does not tell its versions")
        versions = [f"{in_short(one.dtd_name)} {one.support.value}" for one in told.result]
        return Findings(
            reached=True,
            says=f"{says} as {in_short(told.responder)}",
            capabilities={"versions": ", ".join(versions)[:400]},
        )

    async def _reached(self) -> Findings:
        try:
            wire = await self._connected(self._kept.conversation(), self._open_timeout)
        except Unreached as error:
            return Findings(reached=False, says=in_short(error.why))
        await wire.close()
        return Findings(reached=True, says="connected; WCTP 1.0 cannot be asked for its versions")

    # For sessions and polls

    async def ask_once(self, operation: m.Operation, within: float | None = None) -> Answered | str:
        """Ask over a connection of its own, *within* so many seconds (none: the time for an answer); what was
        heard, or why nothing. InvalidValue for what cannot be said."""
        document = self.written(operation)
        within = within or self.answer_timeout
        end = self.env.clock.seconds() + within
        said = self._kept.conversation()
        said.now.hide_secret(*_SECRETS.findall(document))
        wire: Wire | None = None
        try:
            wire = await self._connected(said, min(self._open_timeout, within))
            limit = max(0.0, end - self.env.clock.seconds())
            request = self.request(document, keep=False)
            heard = await wire.ask(request, limit, told=within, most=codec.DEFAULT_LIMITS.body)
            return heard if heard.whole else "the answer was cut"
        except Unanswered as error:
            return in_short(str(error))
        except CancelledError:  # nobody waits any more
            return "given up"
        finally:
            if wire is not None:
                wire.end()

    async def _connected(self, said: Said, limit: float) -> Wire:
        own = self.own

        def watch(ours: bool, data: bytes) -> None:
            if not ours:
                said.now.hide_text(*_texts(data))
            said.watch(ours, data)

        return await connect(
            self.env, own.url, limit=limit, ca_file=own.ca_file, tls_name=own.tls_name, watch=watch
        )

    def written(self, operation: m.Operation) -> bytes:
        """The document of *operation*. InvalidValue for what cannot be said."""
        return codec.write(operation, self.own.dialect)

    def request(self, document: bytes, *, keep: bool) -> bytes:
        """What goes over the wire for *document*."""
        own = self.own
        charset = "; charset=utf-8" if own.declaration == "full" else ""
        fields = [("Content-Type", f"text/xml{charset}")]
        if own.login is not None and own.password is not None:
            fields.append(("Authorization", f"Basic {_basic(own.login, own.password.value)}"))
        return request_of("POST", own.url, tuple(fields), document, version=own.http, keep=keep)

    def originator(self) -> m.Originator:
        """Who we say we are."""
        own = self.own
        code = None if own.security_code is None else m.WctpSecret(own.security_code.value)
        misc = None if own.misc_info is None else m.WctpSecret(own.misc_info.value)
        return m.Originator(
            sender_id=m.WctpId(own.sender_id),
            security_code=code if own.code_in == "security_code" else None,
            misc_info=code if code is not None and own.code_in == "misc_info" else misc,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.env.wall() / 1e6, UTC)

    def operation(self, page: Page) -> tuple[m.SubmitRequest | m.SubmitClientMessage, bool]:
        """What says *page*, and whether its replies had no room. InvalidValue for what cannot be said."""
        own = self.own
        instead = own.choices == "mcr" and self.takes_no_choices(page.address)
        payload, cut = _payload(page, own, "text" if instead else own.choices)
        control: dict[str, Any] = {
            "send_responses_to": own.send_responses_to and m.WctpId(own.send_responses_to),
            "allow_response": own.allow_response,
            "notify_when_queued": own.notify_queued,
            "notify_when_delivered": own.notify_delivered,
            "notify_when_read": own.notify_read,
            "priority": PRIORITIES[page.message_class] if own.priority else m.Priority.NORMAL,
            "deliver_before": self._deliver_before(page) if own.deliver_before else None,
            "preformatted": own.preformatted,
            "allow_truncation": own.allow_truncation,
        }
        common: dict[str, Any] = {
            "originator": self.originator(),
            "recipient": m.Recipient(recipient_id=_address(page.address)),
            "payload": payload,
            "submitted": self._now(),
        }
        if own.mode == "transient":
            return m.SubmitClientMessage(control=m.ClientControl(**control), **common), cut
        name = reports.message_id(self.name, page.correlation, page.address, instead=instead)
        return m.SubmitRequest(control=m.MessageControl(message_id=name, **control), **common), cut

    def _deliver_before(self, page: Page) -> datetime:
        """When it is no longer worth having, by the wall clock that carriers have."""
        return datetime.fromtimestamp((self.env.wall() + page.expires - self.env.now()) / 1e6, UTC)

    # Choices

    def takes_no_choices(self, address: str) -> bool:
        """Whether *address*, or any device of this carrier, refused choices since we were started."""
        return EVERY_DEVICE in self._no_choices or address in self._no_choices

    def send_no_choices(self, address: str) -> None:
        """Pages to *address* have their replies behind the text from now on."""
        self._no_choices[address] = None
        if len(self._no_choices) > REMEMBERED:
            self._no_choices.popitem(last=False)

    # Enquiries

    def may_ask(self, tracking: str) -> bool:
        """Whether the carrier answers, and wants to be asked about *tracking* again."""
        return max(self._rests_until, self._ask_from.get(tracking, self._rests_until)) <= self.env.now()

    def ask_nothing(self) -> None:
        """A query had no answer: pages must not wait behind the next ones."""
        self._rests_until = later(self.env.now(), ENQUIRY_REST)

    def ask_from(self, tracking: str, seconds: float) -> None:
        """The carrier wants to be asked about *tracking* after *seconds* at the earliest."""
        self._ask_from[tracking] = later(self.env.now(), min(seconds, LONGEST_POLL_WAIT))
        if len(self._ask_from) > REMEMBERED:
            self._ask_from.popitem(last=False)


class WctpSession:
    """One connection: a page at a time, and only one unless it is persistent."""

    slots = 1

    def __init__(self, link: WctpLink, wire: Wire, said: Said) -> None:
        self.left: int | None = None if link.own.persistent else 1
        self.lost: Deferred[None] = wire.lost
        self.transcript = said.transcript
        self._link = link
        self._wire = wire
        self._said = said
        self._busy = False

    async def submit(self, page: Page) -> Outcome:
        """POST; the point of no return is the last byte of the document."""
        link = self._link
        if self._busy or not self._wire.idle:
            return NotSent(code="lost", why="the connection is over or busy")
        try:
            operation, cut = link.operation(page)
            document = link.written(operation)
        except InvalidValue as invalid:
            about = About.ADDRESS if invalid.field == ADDRESS else About.PAGE
            return Refused(about=about, code="invalid", why=str(invalid))
        self._said.page(_words(document, page), _SECRETS.findall(document))
        self._busy = True
        outcome = await self._submit(page, document, isinstance(operation.payload, m.MultipleChoice))
        self._busy = False
        if self.left is not None:
            self.left = 0
            self._wire.end()
        why = without(outcome.why, "\n".join((page.text, *page.replies)), TEXT)
        for secret in _secrets(link.own):
            why = without(why, secret, SECRET)
        outcome = replace(outcome, why=why)
        if cut and isinstance(outcome, Taken) and outcome.warning is None:
            return replace(outcome, warning="the page's replies had no room")
        return outcome

    async def _submit(self, page: Page, document: bytes, choices: bool) -> Outcome:
        link = self._link
        for _ in range(2):  # turns of the reactor, so that it reads once: what is here before the document
            await link.env.sleep(0)  # is sent cannot be the answer to it, and ends the connection
        if not self._wire.idle:
            return NotSent(code="lost", why="the connection was lost before the document was sent")
        try:
            heard = await self._wire.ask(link.request(document, keep=self.left is None), link.answer_timeout)
        except Unanswered as error:
            return InDoubt(code="no-answer", why=in_short(str(error)))
        if not heard.whole:
            return InDoubt(code="no-answer", why=f"HTTP {heard.status}, the answer was cut")
        judged = answers.judged(heard.status, heard.fields, heard.body)
        outcome = outcome_of(judged, link.env.now())
        match judged:
            case answers.Accepted(tracking=tracking):
                if tracking is not None:
                    self._said.now.hide_secret(tracking.encode())
                return replace(outcome, refs=self._refs(page, tracking))
            case answers.Denied(code=code) if choices and code in NO_CHOICES:
                link.send_no_choices(EVERY_DEVICE if code == Code.NO_MCR else page.address)
                why = f"{words_of(judged)}: at once again with its replies as text"
                return NotSent(code=str(code), why=why, again=True)
            case answers.Denied(code=code):
                link.fetch_first = link.fetch_first or code == Code.POLL_FIRST
                return outcome
            case answers.Foreign():
                self._wire.end()
                return outcome
            case _:
                assert_never(judged)

    def _refs(self, page: Page, tracking: str | None) -> tuple[CarrierRef, ...]:
        """By what reports will name it."""
        link = self._link
        if link.own.mode == "enterprise":
            return (CarrierRef(scope=link.name, ref=page.correlation),)
        if tracking is None or link.own.answers != "query" or " " in tracking:
            return ()
        at = later(link.env.now(), FIRST_ENQUIRY)
        return (CarrierRef(scope=link.name, ref=f"{tracking} {page.address}", enquire_at=at),)

    async def close(self) -> None:
        """There is no goodbye: the connection goes."""
        await self._wire.close()


class QueryingSession(WctpSession):
    """One whose carrier tells how a page fares when it is asked about its tracking number."""

    async def enquire(self, ref: CarrierRef) -> tuple[Evidence, ...]:
        """ClientQuery, once; over a connection of its own, unless this one is kept: then not while a page is
        under way."""
        link = self._link
        tracking, _, address = ref.ref.partition(" ")
        if not link.may_ask(tracking):
            return ()
        try:
            query = m.ClientQuery(
                sender_id=m.WctpId(link.own.sender_id),
                recipient_id=m.WctpId(address),
                tracking=m.WctpId(tracking),
            )
            heard = await self._asked(query)
        except InvalidValue:  # another mode's reference
            return ()
        if heard is None:
            return ()
        told = codec.read(heard.body, answers.TOLERANCE)
        if not isinstance(told, m.Document) or not isinstance(told.operation, m.ClientQueryResponse):
            return ()
        if told.operation.min_next_poll is not None:
            link.ask_from(tracking, told.operation.min_next_poll)
        numbered = link.own.choices == "text" or link.takes_no_choices(address)
        about = reports.Whose(link=link.name, ref=ref.ref, numbered=numbered)
        return tuple(_answered(told.operation, address, about, link.env.now()))

    async def _asked(self, query: m.ClientQuery) -> Answered | None:
        link = self._link
        limit = min(ENQUIRY_TIMEOUT, link.answer_timeout)
        heard: Answered | str
        if self.left is not None:
            heard = await link.ask_once(query, limit)
        elif self._busy or not self._wire.idle:
            return None
        else:
            heard = await self._asked_here(link.written(query), limit)
        if isinstance(heard, str):
            link.ask_nothing()
            return None
        return heard

    async def _asked_here(self, document: bytes, limit: float) -> Answered | str:
        self._said.now.hide_secret(*_SECRETS.findall(document))
        self._busy = True
        try:
            heard = await self._wire.ask(self._link.request(document, keep=True), limit)
        except Unanswered as error:
            return str(error)
        finally:
            self._busy = False
        if heard.whole and isinstance(codec.read(heard.body, answers.TOLERANCE), m.Document):
            return heard
        self._wire.end()  # who knows whom we talk to
        return "no WCTP"


class PollingLink(WctpLink):
    """A link whose carrier keeps its answers until they are fetched."""

    def __init__(self, name: LinkName, settings: LinkSettings, around: Surroundings) -> None:
        super().__init__(name, settings, around)
        self._done: tuple[m.MessageReceived, ...] = ()  # on record, and the carrier is to be told so
        self._next = Instant(0)
        self._failures = 0

    async def fetch(self) -> float:
        """See adapters.base.Fetching: PollForMessages, once."""
        now = self.env.now()
        if now < self._next and not self.fetch_first:
            return seconds_between(now, self._next)
        hurried, self.fetch_first = self.fetch_first, False
        heard = await self._polled()
        wait = self._after(heard, hurried=hurried) * (1 + POLL_JITTER * (2 * self.env.random.random() - 1))
        self._next = later(self.env.now(), wait)
        return wait

    async def _polled(self) -> m.PollResponse | str:
        """One poll, and everything that it brought on record; or why it brought nothing."""
        own = self.own
        code = own.poll_code or own.security_code
        poll = m.PollForMessages(
            poller_id=m.WctpId(own.poller_id or own.sender_id),
            security_code=None if code is None else m.WctpSecret(code.value),
            max_messages=1 if self._failures else own.poll_batch,  # one item must not keep all others
            received=self._done,
        )
        heard = await self.ask_once(poll)
        if isinstance(heard, str):
            return heard
        read = codec.read(heard.body, answers.TOLERANCE)
        said = read.operation if isinstance(read, m.Document) else None
        match said:
            case m.PollResponse(failure=None):
                self._done = ()  # heard, and what is given again is reported again, which changes nothing
                for item in said.messages:
                    self._done += await self._received(item)
                return said
            case m.PollResponse(failure=failure) if failure is not None:
                return self._said_no(failure)
            case m.Confirmation(result=m.Failure() as failure):
                return self._said_no(failure)
            case _:
                judged = answers.judged(heard.status, heard.fields, heard.body)
                return judged.why if isinstance(judged, answers.Foreign) else "it answered something else"

    def _said_no(self, failure: m.Failure) -> str:
        if failure.kind is not m.Kind.TEMPORARY:  # it may be one that it knows no more: what it gives again
            self._done = ()  # is on record already
        why = f"{failure.code} {failure.detail or failure.text}"
        for secret in _secrets(self.own):
            why = without(why, secret, SECRET)
        return in_short(why)

    async def _received(self, item: m.PolledMessage) -> tuple[m.MessageReceived, ...]:
        """What the carrier is to be told of *item*; nothing if it breaks us: it stays there, and the others
        go on."""
        try:
            return (await self._taken(item),)
        except StoreFailed:
            raise
        except Exception:  # our bug
            log.failure("answer of {link} not taken: the carrier keeps it", link=self.name)
            return ()

    async def _taken(self, item: m.PolledMessage) -> m.MessageReceived:
        """One item on record, and what the carrier is to be told of it. What is no report of ours is told so,
        or it would come for ever."""
        result: m.Success | m.Failure
        match item.content:
            case m.StatusInfo() | m.MessageReply() as report:
                read = reports.read(report, {self.name: self._settings}, self.env.now())
                if isinstance(read, m.Failure):
                    result = read
                else:
                    await self._reception.report(read[0].link, read[1])
                    result = m.success("on record")
            case m.LookupResponse():
                result = m.success("not needed")
            case m.SubmitRequest():
                result = m.failure(Code.OPERATION_NOT_SUPPORTED, "messages of devices are not taken")
            case m.Unreadable(failure=failure):
                result = failure
            case _:
                assert_never(item.content)
        return m.MessageReceived(sequence=item.sequence, result=result)

    def _after(self, heard: m.PollResponse | str, *, hurried: bool) -> float:
        """Seconds until the next poll. A carrier that refuses pages until its answers are fetched is told at
        once that they were; so is one that has more."""
        interval = self.own.poll_interval
        if isinstance(heard, str):
            self._failures += 1
            wait = min(interval * float(1 << min(self._failures, 10)), LONGEST_POLL_WAIT)
            if self._failures == 1:
                log.warn("answers of {link} cannot be fetched: {why}", link=self.name, why=heard)
            return wait
        self._failures = 0
        if heard.min_next_poll is not None:
            return min(max(float(heard.min_next_poll), LEAST_POLL_WAIT), LONGEST_POLL_WAIT)
        more = bool(self._done) and len(heard.messages) >= (1 if hurried else self.own.poll_batch)
        return LEAST_POLL_WAIT if more else interval


def make_link(name: LinkName, settings: LinkSettings, around: Surroundings) -> Link:
    """The link that *settings* describe."""
    kind = PollingLink if own_of(settings).answers == "poll" else WctpLink
    return kind(name, settings, around)


# ---------------------------------------------------------------- our words to theirs


ADDRESS = "address"


def _address(address: str) -> m.WctpId:
    try:
        return m.WctpId(address)
    except InvalidValue as invalid:
        raise InvalidValue(ADDRESS, invalid.reason, invalid.limit) from None


def _payload(page: Page, own: WctpSettings, replies: str) -> tuple[m.Payload, bool]:
    """What the device shows, with its *replies* as ``choices`` says, and whether those had no room."""
    text = codec.text_of(page.text)
    if not page.replies or replies == "off":
        return m.Alphanumeric(text=text), False
    if replies == "mcr":
        choices = tuple(m.Choice(text=codec.text_of(one)) for one in page.replies)
        return m.MultipleChoice(text=text, choices=choices), False
    numbered = " ".join(f"{n}) {one}" for n, one in enumerate(page.replies, 1))
    flat = f"{text} {numbered}"
    if len(flat) > own.max_chars:
        return m.Alphanumeric(text=text), True
    return m.Alphanumeric(text=codec.text_of(flat)), False


def _answered(
    heard: m.ClientQueryResponse, address: str, about: reports.Whose, at: Instant
) -> Iterator[Evidence]:
    """What the answer to a query proves; items about another device are not about this page."""
    for one in heard.messages:
        if isinstance(one, m.Unreadable) or not reports.same_device(one.header.originator.sender_id, address):
            continue
        match one:
            case m.ClientStatusInfo(result=result):
                yield reports.of_status(result, about, at)
            case m.ClientMessageReply(payload=payload, header=header):
                if (text := reports.text_of(payload)) is not None:
                    yield reports.of_reply(text, about, at, header.responded, final=True)
            case _:
                assert_never(one)


def _words(document: bytes, page: Page) -> Iterator[bytes]:
    """What of a page nobody is shown, as it goes over the wire and as it was."""
    yield from _texts(document)
    yield from (line.strip() for line in page.text.encode(errors="replace").splitlines())
    yield from (one.encode(errors="replace") for one in page.replies)


def _texts(document: bytes) -> Iterator[bytes]:
    """The lines of the texts in a document, as they go over the wire; all of it in an encoding that hides
    where they stand."""
    if b"\0" in document:
        yield document
    for text in _PRIVATE.findall(document):
        yield from (line.strip() for line in text.splitlines())


def _secrets(own: WctpSettings) -> Iterator[str]:
    """Every secret of a link, and what HTTP Basic makes of it, for a server that quotes."""
    for secret in (own.security_code, own.misc_info, own.poll_code, own.password):
        if secret is not None:
            yield secret.value
    if own.login is not None and own.password is not None:
        yield _basic(own.login, own.password.value)


def _basic(login: str, password: str) -> str:
    return b64encode(f"{login}:{password}".encode()).decode()


def measured(settings: LinkSettings) -> Measure:
    """How a text goes out: what the link's devices show; XML carries it all."""
    own = own_of(settings)
    return measuring(Alphabet(own.charset), own.max_chars)
