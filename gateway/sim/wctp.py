"""A simulated WCTP carrier: a gateway that takes pages over HTTP and tells what became of them.

It reads and writes with ``protocols.wctp``, so a good answer is a real one; the quirks are applied around
it. Pages of enterprises are told of by push, or kept until they poll; transient clients ask by number.
Sources of what carriers do: docs/protocols/wctp.md.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, assert_never

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure as Trouble

from gateway.env import BASE32, Env, Port, public_id
from gateway.model import Instant, later
from gateway.pacing import Bucket
from gateway.settings.types import Rate
from gateway.sim.losses import Losses
from gateway.sim.truth import Truth
from gateway.web import Fields, HttpServer, Request, Response
from gateway.web.client import Unanswered, call
from protocols.wctp import messages as m
from protocols.wctp.answers import Accepted, Denied, judged
from protocols.wctp.codec import Dialect, answering, asking, line_of, read, write
from protocols.wctp.messages import Code, DoctypeUrl, Kind, MessageId, WctpId, WctpText
from protocols.wctp.rules import duplicate_key, impossible_times

log = Logger()

PATH = "/wctp"  # every carrier's URL that was seen ends so
PUSH_TRIES = 10  # wctp-gateway and mission-control
PUSH_WAIT = 60.0  # seconds between them; the same sources
PUSH_LIMIT = 30.0  # seconds for one; the same sources
SAME_WITHIN = 120.0  # seconds in which the same page again is a duplicate (docs/protocols/wctp.md)
HORIZON = timedelta(days=7)  # ours: how far ahead deliveryAfter may be
MAX_RECIPIENTS = 100  # of one SendMsgMulti; ours
MAX_BATCH = 10  # messages in one answer to a poll; WCTPlib's default
MAX_QUEUE = 1000  # messages kept for a poller; above it he must poll before he sends (304); ours
MAX_POLLERS = 1000  # ours
MAX_KEPT = 10_000  # pages that are remembered for queries, and to know them again; ours
MAX_PUSHES = 10_000  # under way at a time; what comes above waits for a poll; ours
MAX_CHARACTERS = 240  # what a pager shows, said where `max_chars` says nothing else
XML: Fields = (("Content-Type", "text/xml; charset=utf-8"),)
HTML: Fields = (("Content-Type", "text/html"),)
PORTAL = b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Please log in.</body></html>\n"
SUBMITS = (b"wctp-SubmitRequest", b"wctp-SubmitClientMessage", b"wctp-SendMsgMulti")
VERSIONS = ("wctp-dtd-v1r1", "wctp-dtd-v1r2", "wctp-dtd-v1r3")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Answer *step* (SUBMIT, POLL, QUERY or LOOKUP) with *code*: the *first* so many (None: all of them), and
    of these a *share*."""

    step: str
    code: int
    share: float = 1.0
    first: int | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """*after* seconds a page is ``queued``, ``delivered``, ``read`` or ``failed`` (*text*: the code, 500 if
    none), or a person answers: ``reply`` with *text*, or ``choice`` with the choice number *text*, from 1.

    The first three are told to senders who asked to be told of them, answers where they are allowed.
    """

    after: float
    what: str
    text: str = ""


class WctpQuirks(msgspec.Struct, frozen=True, kw_only=True):
    """How the carrier misbehaves; none of it by default."""

    delay: Annotated[float, Meta(description="Seconds before a page is answered.")] = 0.0
    progress: Annotated[tuple[Progress, ...], Meta(description="What becomes of a page over time.")] = ()
    login: Annotated[
        str | None, Meta(description="`senderID` or `senderID:securityCode` that senders and pollers show.")
    ] = None
    recipients: Annotated[
        str | None, Meta(description="What a recipientID looks like (a regular expression); else 403.")
    ] = None
    refusals: Annotated[tuple[Refusal, ...], Meta(description="What is refused.")] = ()
    http_status: Annotated[int, Meta(description="HTTP status of every answer that says no.")] = 200
    lose_answer: Annotated[
        int | None,
        Meta(description="Bytes of the answer to a page that still arrive; then the line drops."),
    ] = None
    lose_share: Annotated[float, Meta(description="Share of answers that are lost.")] = 1.0
    hang: Annotated[bool, Meta(description="Take pages and never answer.")] = False
    html: Annotated[
        bool, Meta(description="A captive portal: everything is answered by a web page, 200, and not taken.")
    ] = False
    silent: Annotated[bool, Meta(description="Say yes and let nothing reach the pager.")] = False
    rate: Annotated[Rate | None, Meta(description="Pages taken; above it the answer is 602.")] = None
    max_chars: Annotated[
        int | None, Meta(description="Longer texts are cut where the sender allows it, else answered 411.")
    ] = None
    truncate: Annotated[bool, Meta(description="Cut longer texts at all; if not: always 411.")] = True
    choices: Annotated[bool, Meta(description="Take multiple choice; if not: 414.")] = True
    poll_interval: Annotated[
        int | None, Meta(description="Seconds between polls; one that comes earlier is answered 600.")
    ] = None
    push_twice: Annotated[bool, Meta(description="Push everything twice.")] = False
    push_backwards: Annotated[bool, Meta(description="Tell of what comes last first.")] = False
    version: Annotated[
        str | None, Meta(description="wctpVersion of all that it says; none: as the sender spells it.")
    ] = None
    doctype: Annotated[str | None, Meta(description="DOCTYPE of all that it says.")] = None
    confirmation: Annotated[
        bool, Meta(description="wctp-Confirmation where another answer is due: no tracking numbers.")
    ] = False
    empty_text: Annotated[bool, Meta(description="Nothing inside of success and failure.")] = False
    http10: Annotated[bool, Meta(description="Answer in HTTP/1.0.")] = False
    close: Annotated[bool, Meta(description="Hang up after every answer.")] = False


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page that was taken. *told*: for the client that asks by number; *to*: else who is told."""

    recipient: WctpId
    control: m.MessageControl | m.ClientControl
    payload: m.Payload
    submitted: datetime | None
    version: m.Version
    to: WctpId
    told: list[m.ClientMessageReply | m.ClientStatusInfo] | None = None


class _Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """What a transient client must show to hear of its page, and what it hears."""

    sender: WctpId
    recipient: WctpId
    told: list[m.ClientMessageReply | m.ClientStatusInfo]


_News = m.SubmitRequest | m.MessageReply | m.StatusInfo | m.LookupResponse


class _Poller:
    """What waits for one enterprise, by sequence number."""

    def __init__(self) -> None:
        self.waiting: dict[int, _News] = {}
        self.last = 0
        self.again_from: Instant | None = None

    def put(self, news: _News) -> None:
        if len(self.waiting) < MAX_QUEUE:
            self.last += 1
            self.waiting[self.last] = news

    def acknowledge(self, received: tuple[m.MessageReceived, ...]) -> None:
        """Both results take it out of the queue, but for one that asks for it again later."""
        for one in received:
            if one.sequence.isdecimal() and one.result.kind is not Kind.TEMPORARY:
                self.waiting.pop(int(one.sequence), None)


class SimulatedWctp:
    """One carrier. *push_to*: URL where enterprises are told; None: they poll."""

    def __init__(self, env: Env, quirks: WctpQuirks, truth: Truth, push_to: str | None = None) -> None:
        self._env = env
        self._chance = env.random
        self._tracked: OrderedDict[WctpId, _Tracked] = OrderedDict()
        self._pollers: OrderedDict[str, _Poller] = OrderedDict()
        self._taken: OrderedDict[str, Instant] = OrderedDict()
        self._pushing = 0
        self.truth = truth
        self.push_to = push_to
        self.behave(quirks)
        server = HttpServer(
            clock=env.clock, handler=self._serve, wall=env.wall, make_id=lambda: public_id(env), log=log
        )
        self.factory = _Lines(self, server)

    def behave(self, quirks: WctpQuirks) -> None:
        """From now on so."""
        self.quirks = quirks
        self.losses = Losses(quirks.lose_answer, quirks.lose_share, self._env)
        self._bucket = None if quirks.rate is None else Bucket(quirks.rate, self._env.now())
        self._refused: Counter[Refusal] = Counter()

    async def listen(self, at: str) -> Port:
        """Open for business at ``host:port``, under ``/wctp``."""
        return await self._env.net.listen(at, self.factory)

    # HTTP

    async def _serve(self, request: Request) -> Response:
        if self.quirks.html:
            return Response(headers=HTML, body=PORTAL)
        if request.path.rstrip("/").lower() != PATH:
            return self._flatly(404, "There is nothing at this path")
        if request.method != "POST":
            return self._flatly(405, "Send it with POST", (("Allow", "POST"),))
        heard = read(request.body)
        if isinstance(heard, m.Unreadable):
            return self._said(m.Confirmation(result=heard.failure), answering(heard), heard.status)
        answer = await self._answer(heard)
        if self.quirks.hang and isinstance(heard.operation, _SUBMITTED):
            await request.gone
        return self._said(answer, answering(heard))

    def _flatly(self, status: int, why: str, headers: Fields = ()) -> Response:
        no = m.Confirmation(result=m.failure(Code.OPERATION_NOT_SUPPORTED, why))
        return Response(status=status, headers=XML + headers, body=self._written(no, Dialect()))

    def _said(self, answer: m.Answer, dialect: Dialect, status: int = 200) -> Response:
        failed = _failure_in(answer)
        old = isinstance(answer, m.PollResponse) and dialect.version < m.Version.V1_1  # has no place for it
        if failed is not None and (self.quirks.confirmation or old):
            answer = m.Confirmation(result=failed)
        elif self.quirks.confirmation and isinstance(answer, m.SubmitClientResponse | m.SendMsgMultiResponse):
            answer = m.Confirmation(result=m.success("Message accepted"))
        if failed is not None and status == 200:
            status = self.quirks.http_status
        return Response(status=status, headers=XML, body=self._written(answer, dialect))

    def _written(self, said: m.Operation, dialect: Dialect) -> bytes:
        """*said*, as this carrier writes."""
        quirks = self.quirks
        if quirks.doctype is not None:
            dialect = msgspec.structs.replace(dialect, doctype=DoctypeUrl(quirks.doctype))
        body = write(said, dialect)
        if quirks.version is not None:
            spelling = f' wctpVersion="{quirks.version}"'.encode()
            body = re.sub(rb' wctpVersion="[^"]*"', lambda _: spelling, body, count=1)
        if quirks.empty_text:
            body = re.sub(rb"<(wctp-(?:Client)?(?:Success|Failure)\b[^>]*)>[^<]*</[^>]*>", rb"<\1/>", body)
        return body

    # Operations

    async def _answer(self, heard: m.Document) -> m.Answer:
        asked = heard.operation
        if isinstance(asked, _SUBMITTED) and self.quirks.delay:
            await self._env.sleep(self.quirks.delay)
        match asked:
            case m.SubmitRequest():
                return m.Confirmation(result=self._submit(asked, heard.version))
            case m.SendMsgMulti():
                return self._submit_to_several(asked, heard.version)
            case m.SubmitClientMessage():
                return m.SubmitClientResponse(result=self._submit_transient(asked, heard.version))
            case m.ClientQuery():
                return self._query(asked)
            case m.PollForMessages():
                return self._poll(asked)
            case m.LookupSubscriber():
                return m.Confirmation(result=self._look_up(asked, heard.version))
            case m.VersionQuery():
                return m.VersionResponse(
                    responder=WctpId("simulated carrier"),
                    result=tuple(m.DtdSupport(dtd_name=WctpId(name), exceptions=True) for name in VERSIONS),
                    inquirer=asked.inquirer,
                    asked=asked.asked,
                    responded=self._time(),
                    list_dtds=asked.list_dtds,
                    list_configuration=asked.list_configuration,
                )
            case _:
                no = m.failure(Code.OPERATION_NOT_SUPPORTED, f"{asked.name} is not served here")
                return m.Confirmation(result=no)

    def _submit(self, asked: m.SubmitRequest, version: m.Version) -> m.Success | m.Failure:
        key = duplicate_key(asked, asked.recipient)
        no = (
            self._stranger(asked.originator.sender_id, asked.originator.security_code)
            or self._must_poll(asked.control.send_responses_to or asked.originator.sender_id)
            or self._unknown(asked.recipient)
            or (None if self._repeated(key) else self._unfit(asked.control, asked.payload))
        )
        if no is not None:
            return no
        self._take_for_enterprise(asked, asked.recipient, version)
        return m.success("Message accepted for delivery")

    def _submit_to_several(self, asked: m.SendMsgMulti, version: m.Version) -> m.SendMsgMultiResponse:
        bad = [
            m.FailedRecipient(recipient_id=one.recipient_id, code=no.code, text=no.text)
            for one in asked.recipients
            if (no := self._unknown(one)) is not None
        ]
        good = len(asked.recipients) - len(bad)
        missing = not good or (bad and asked.control.all_recipients_required)
        result: m.Success | m.Failure = (
            self._stranger(asked.originator.sender_id, asked.originator.security_code)
            or self._must_poll(asked.control.send_responses_to or asked.originator.sender_id)
            or (m.failure(Code.SUBSCRIBER_LIMIT, "") if len(asked.recipients) > MAX_RECIPIENTS else None)
            or (m.failure(Code.INVALID_RECIPIENT, "Nothing was sent") if missing else None)
            or self._unfit(asked.control, asked.payload)
            or m.success(f"Accepted for {good} of {len(asked.recipients)} recipients")
        )
        if isinstance(result, m.Success):
            failed = {one.recipient_id for one in bad}
            for one in asked.recipients:
                if one.recipient_id not in failed:
                    self._take_for_enterprise(asked, one, version)
        return m.SendMsgMultiResponse(
            result=result,
            max_recipients=MAX_RECIPIENTS,
            valid=good,
            invalid=len(bad),
            failed=tuple(bad),
        )

    def _submit_transient(
        self, asked: m.SubmitClientMessage, version: m.Version
    ) -> m.ClientSuccess | m.Failure:
        who = asked.originator
        no = (
            self._stranger(who.sender_id, who.security_code or who.misc_info)
            or self._unknown(asked.recipient)
            or self._unfit(asked.control, asked.payload)
        )
        if no is not None:
            return no
        told: list[m.ClientMessageReply | m.ClientStatusInfo] = []
        tracking = WctpId("".join(self._chance.choice(BASE32) for _ in range(16)))
        recipient = asked.recipient.recipient_id
        self._tracked[tracking] = _Tracked(sender=who.sender_id, recipient=recipient, told=told)
        if len(self._tracked) > MAX_KEPT:
            self._tracked.popitem(last=False)
        self._take(
            _Page(
                recipient=recipient,
                control=asked.control,
                payload=asked.payload,
                submitted=asked.submitted,
                version=version,
                to=who.sender_id,
                told=told,
            )
        )
        yes = m.success("Message accepted")
        return m.ClientSuccess(code=yes.code, text=yes.text, detail=yes.detail, tracking=tracking)

    def _query(self, asked: m.ClientQuery) -> m.ClientQueryResponse:
        """All that is known, each time, oldest first: a client of the field counts on it."""
        found = self._tracked.get(asked.tracking)
        no = self._refuse("QUERY")
        if no is None and (
            found is None or (found.sender, found.recipient) != (asked.sender_id, asked.recipient_id)
        ):
            no = m.failure(Code.UNKNOWN_REFERENCE, "")
        told = () if found is None or no is not None else tuple(found.told)
        return m.ClientQueryResponse(messages=told, failure=no, min_next_poll=self.quirks.poll_interval)

    def _poll(self, asked: m.PollForMessages) -> m.PollResponse:
        if self._stranger(asked.poller_id, asked.security_code) is not None:
            return m.PollResponse(failure=m.failure(Code.INVALID_POLLER, ""))
        if (no := self._refuse("POLL")) is not None:
            return m.PollResponse(failure=no)
        poller, now, interval = self._poller(asked.poller_id), self._env.now(), self.quirks.poll_interval
        poller.acknowledge(asked.received)
        if poller.again_from is not None and now < poller.again_from:
            return m.PollResponse(failure=m.failure(Code.POLL_RATE, ""), min_next_poll=interval)
        most = min(asked.max_messages or MAX_BATCH, MAX_BATCH)
        batch = list(poller.waiting.items())[:most]
        wait = 0 if len(batch) < len(poller.waiting) else interval
        poller.again_from = None if wait is None else later(now, wait)
        return m.PollResponse(
            messages=tuple(
                m.PolledMessage(sequence=WctpId(str(number)), content=news) for number, news in batch
            ),
            min_next_poll=wait,
        )

    def _look_up(self, asked: m.LookupSubscriber, version: m.Version) -> m.Success | m.Failure:
        no = (
            self._stranger(asked.originator.sender_id, asked.originator.security_code)
            or self._unknown(asked.recipient)
            or self._refuse("LOOKUP")
        )
        if no is not None:
            return no
        to = asked.send_responses_to or asked.originator.sender_id
        found = m.LookupResponse(
            originator=m.Originator(sender_id=asked.recipient.recipient_id),
            recipient=m.Recipient(recipient_id=to),
            response_to=asked.message_id,
            transaction_id=asked.transaction_id,
            result=m.LookupData(
                max_length=self.quirks.max_chars or MAX_CHARACTERS,
                multiple_choice=self.quirks.choices,
                can_respond=True,
            ),
        )
        self._tell(found, to, version)
        return m.success("The answer follows")

    # Checks, in the order in which they answer

    def _stranger(self, sender: str, code: str | None) -> m.Failure | None:
        name, _, secret = (self.quirks.login or "").partition(":")
        if name and sender != name:
            return m.failure(Code.INVALID_SENDER, "")
        return m.failure(Code.INVALID_SECURITY_CODE, "") if secret and code != secret else None

    def _must_poll(self, to: str) -> m.Failure | None:
        full = to in self._pollers and len(self._pollers[to].waiting) >= MAX_QUEUE
        return m.failure(Code.POLL_FIRST, "") if full else None

    def _unknown(self, recipient: m.Recipient) -> m.Failure | None:
        pattern = self.quirks.recipients
        known = pattern is None or re.fullmatch(pattern, recipient.recipient_id) is not None
        return None if known else m.failure(Code.INVALID_RECIPIENT, "")

    def _unfit(self, control: m.ClientControl, payload: m.Payload) -> m.Failure | None:
        """Times, kind, length, rate, and what is refused on purpose."""
        if (no := impossible_times(control, self._time(), HORIZON)) is not None:
            return no
        if isinstance(payload, m.TransparentData):
            return m.failure(Code.NO_BINARY, "")
        if isinstance(payload, m.MultipleChoice) and not self.quirks.choices:
            return m.failure(Code.DEVICE_NO_MCR, "")
        most = self.quirks.max_chars
        cut = self.quirks.truncate and control.allow_truncation
        if most is not None and len(payload.text) > most and not cut:
            return m.failure(Code.TOO_LONG, f"At most {most} characters")
        if self._bucket is not None:
            if not self._bucket.left(self._env.now()):
                return m.failure(Code.TRAFFIC_RATE, "")
            self._bucket.take()
        return self._refuse("SUBMIT")

    def _refuse(self, step: str) -> m.Failure | None:
        for refusal in self.quirks.refusals:
            if refusal.step != step or (
                refusal.first is not None and self._refused[refusal] >= refusal.first
            ):
                continue
            self._refused[refusal] += 1
            if self._chance.random() < refusal.share:
                return _failure(refusal.code)
        return None

    # What becomes of a page

    def _take_for_enterprise(
        self, asked: m.SubmitRequest | m.SendMsgMulti, recipient: m.Recipient, version: m.Version
    ) -> None:
        """A page to *recipient*; one that was taken a moment ago is not sent again."""
        key = duplicate_key(asked, recipient)
        if self._repeated(key):
            return
        if key is not None:
            self._taken[key] = self._env.now()
            if len(self._taken) > MAX_KEPT:
                self._taken.popitem(last=False)
        self._take(
            _Page(
                recipient=recipient.recipient_id,
                control=asked.control,
                payload=asked.payload,
                submitted=asked.submitted,
                version=version,
                to=asked.control.send_responses_to or asked.originator.sender_id,
            )
        )

    def _repeated(self, key: str | None) -> bool:
        now = self._env.now()
        while self._taken and later(next(iter(self._taken.values())), SAME_WITHIN) <= now:
            self._taken.popitem(last=False)
        return key in self._taken

    def _take(self, page: _Page) -> None:
        due = page.control.deliver_after
        wait = 0.0 if due is None else max(0.0, (due - self._time()).total_seconds())
        if wait:
            self._env.clock.callLater(wait, self._reach, page)
        else:
            self._reach(page)  # on the pager before the answer: a lost answer is then a doubt
        steps = sorted(self.quirks.progress, key=lambda step: step.after)
        told = reversed(steps) if self.quirks.push_backwards else steps
        for at, step in zip(steps, told, strict=True):
            self._env.clock.callLater(wait + at.after, self._happen, page, step)

    def _reach(self, page: _Page) -> None:
        if not self.quirks.silent:
            assert not isinstance(page.payload, m.TransparentData)
            text = page.payload.text[: self.quirks.max_chars]
            self.truth.reached(self._env.now(), str(page.recipient), str(text))

    def _happen(self, page: _Page, step: Progress) -> None:
        """Tell of *step*, to whoever wants to know, the way that fits how the page came."""
        news = _news(step, page)
        if news is None:
            return
        if page.told is not None:
            page.told.append(self._for_the_client(page, news))
            return
        assert isinstance(page.control, m.MessageControl)
        header = m.ResponseHeader(
            originator=m.Originator(sender_id=page.recipient),
            control=m.MessageControl(
                message_id=MessageId(public_id(self._env)), transaction_id=page.control.transaction_id
            ),
            recipient=m.Recipient(recipient_id=page.to),
            response_to=page.control.message_id,
            responded=self._time(),
            responding_to=page.submitted,
        )
        said = (
            m.MessageReply(header=header, payload=news, multiple_choice=step.what == "choice")
            if isinstance(news, m.Alphanumeric)
            else m.StatusInfo(header=header, result=news)
        )
        self._tell(said, page.to, page.version)

    def _for_the_client(
        self, page: _Page, news: m.Notification | m.Failure | m.Alphanumeric
    ) -> m.ClientMessageReply | m.ClientStatusInfo:
        header = m.ClientResponseHeader(
            originator=m.Originator(sender_id=page.recipient),
            recipient=m.Recipient(recipient_id=page.to),
            responded=self._time(),
            responding_to=page.submitted,
        )
        if isinstance(news, m.Alphanumeric):
            choice = isinstance(page.payload, m.MultipleChoice)
            return m.ClientMessageReply(header=header, payload=news, multiple_choice=choice)
        return m.ClientStatusInfo(header=header, result=news)

    # Telling enterprises

    def _tell(self, said: _News, to: str, version: m.Version) -> None:
        if self.push_to is None or self._pushing >= MAX_PUSHES:
            self._poller(to).put(said)
            return
        self._pushing += 1
        pushing = Deferred.fromCoroutine(self._push(said, to, version, self.push_to))
        pushing.addErrback(lambda failure: log.failure("a simulated push failed", failure=failure))
        pushing.addBoth(self._pushed)

    def _pushed(self, result: object) -> None:
        self._pushing -= 1

    async def _push(self, said: _News, to: str, version: m.Version, url: str) -> None:
        """Again for a while if nobody confirms it; then it waits for a poll."""
        body = self._written(said, asking(version))
        for left in reversed(range(PUSH_TRIES)):
            if await self._confirmed(url, body):
                if self.quirks.push_twice:
                    await self._confirmed(url, body)
                return
            if left:
                await self._env.sleep(PUSH_WAIT)
        self._poller(to).put(said)

    async def _confirmed(self, url: str, body: bytes) -> bool:
        """Whether they answered yes, or no for good."""
        try:
            heard = await call(self._env, "POST", url, XML, body, limit=PUSH_LIMIT)
        except Unanswered:
            return False
        match judged(heard.status, heard.fields, heard.body):
            case Accepted():
                return True
            case Denied(kind=kind):
                return kind is not Kind.TEMPORARY
            case _:
                return False

    def _poller(self, name: str) -> _Poller:
        poller = self._pollers.setdefault(name, _Poller())
        self._pollers.move_to_end(name)
        if len(self._pollers) > MAX_POLLERS:
            self._pollers.popitem(last=False)
        return poller

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._env.wall() / 1e6, UTC)


_SUBMITTED = m.SubmitRequest | m.SendMsgMulti | m.SubmitClientMessage


def _failure(code: int) -> m.Failure:
    """Also of a code that is none of ours: carriers use others."""
    return m.Failure(
        code=code, text=line_of(m.MEANINGS.get(code, "Refused")), detail=WctpText("Refused by simulation")
    )


def _failure_in(answer: m.Answer) -> m.Failure | None:
    match answer:
        case m.Confirmation() | m.SubmitClientResponse() | m.SendMsgMultiResponse() | m.VersionResponse():
            return answer.result if isinstance(answer.result, m.Failure) else None
        case m.ClientQueryResponse(failure=failed) | m.PollResponse(failure=failed):
            return failed
        case _:
            assert_never(answer)


def _news(step: Progress, page: _Page) -> m.Notification | m.Failure | m.Alphanumeric | None:
    """What is said of *step*; None: the sender does not want to know, or it cannot happen to this page."""
    control = page.control
    match step.what:
        case "queued":
            return m.Notification(event=m.Event.QUEUED) if control.notify_when_queued else None
        case "delivered":
            return m.Notification(event=m.Event.DELIVERED) if control.notify_when_delivered else None
        case "read":
            return m.Notification(event=m.Event.READ) if control.notify_when_read else None
        case "failed":
            return _failure(int(step.text or Code.TIMED_OUT))
        case "reply":
            return m.Alphanumeric(text=WctpText(step.text)) if control.allow_response else None
        case _:
            chosen = _chosen(page.payload, int(step.text))
            return None if chosen is None or not control.allow_response else m.Alphanumeric(text=chosen)


def _chosen(payload: m.Payload, number: int) -> WctpText | None:
    """What comes back for the choice of that number."""
    if not isinstance(payload, m.MultipleChoice) or not 1 <= number <= len(payload.choices):
        return None
    choice = payload.choices[number - 1]
    if isinstance(choice, m.Choice):
        return choice.text
    return choice.send if choice.reply is None else choice.reply


class _Lines(Factory):
    """Makes the connections of one carrier."""

    noisy = False

    def __init__(self, carrier: SimulatedWctp, server: HttpServer) -> None:
        self._carrier = carrier
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        inner = self._server.buildProtocol(addr)
        return None if inner is None else _Line(self._carrier, inner)


class _Line(Protocol):
    """Between the wire and the HTTP server: answers leave as the carrier writes HTTP, or do not arrive."""

    def __init__(self, carrier: SimulatedWctp, inner: Protocol) -> None:
        self._carrier = carrier
        self._inner = inner
        self._tail = b""
        self._submitting = False

    def connectionMade(self) -> None:
        self._inner.transport = self  # type: ignore[assignment]  # to the server we are its transport
        self._inner.connectionMade()  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        seen = self._tail + data
        self._submitting = self._submitting or any(name in seen for name in SUBMITS)
        self._tail = seen[-32:]
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Trouble = connectionDone) -> None:
        self._inner.connectionLost(reason)

    def write(self, data: bytes) -> None:
        """The server answers."""
        transport: Any = self.transport
        if data == b"HTTP/1.1 100 Continue\r\n\r\n":
            transport.write(data)
            return
        quirks = self._carrier.quirks
        last = quirks.close or quirks.http10
        if last and data.startswith(b"HTTP/1.1 "):
            data = _last_answer(data)
        if quirks.http10:
            data = data.replace(b"HTTP/1.1 ", b"HTTP/1.0 ", 1)
        kept = self._carrier.losses.kept() if self._submitting else None
        self._submitting, self._tail = False, b""
        transport.write(data if kept is None else data[:kept])
        if last or kept is not None:
            transport.loseConnection()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def _last_answer(data: bytes) -> bytes:
    """*data* saying that the connection ends with it."""
    head, blank, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Connection:")]
    return b"\r\n".join([*lines, b"Connection: close"]) + blank + body
