"""A carrier that speaks WCTP: takes pages, and tells of them by push, by poll or when it is asked."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from gateway.web import HttpServer, Request, Response
from gateway.web.client import Unanswered, connect, request_of
from protocols.wctp import answers, codec
from protocols.wctp import messages as m
from tests.stories.world import ENVIRON, Story

AT = "wctp.example:80"
URL = "http://wctp.example/wctp"
DOOR = "10.9.0.1:8088"
PUSH = f"http://{DOOR}/wctp/{ENVIRON['HOOK']}"
AGAIN = 60.0  # seconds until a push that was not taken is repeated, as gateways of the field do
Said = m.Notification | m.Failure | str


class Copy(msgspec.Struct, frozen=True):
    """One page that reached a device."""

    device: str
    text: str
    name: str


class WctpCarrier:
    """*copies* is the truth. *answer*, if set, is said instead of a good answer, after the page was taken;
    *refuse* a failure instead of taking it. *pushed* are the results of what was pushed, in order."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.env = story.world.env("wctp.example")
        self.copies: list[Copy] = []
        self.submitted: list[m.SubmitRequest | m.SubmitClientMessage] = []
        self.polls: list[tuple[float, m.PollForMessages]] = []
        self.queries: list[float] = []
        self.queue: list[m.PolledMessage] = []
        self.known: list[m.ClientStatusInfo | m.ClientMessageReply] = []
        self.pushed: list[m.Success | m.Failure | str] = []
        self.answer: Response | None = None
        self.refuse: m.Failure | None = None
        self.no_choices: m.Failure | None = None  # what choices are refused with
        self.unwell = self.silent = self.refuse_unknown = False
        self.refused = 0  # pages with choices
        self.next_poll: int | None = None
        self._count = 0
        server = HttpServer(
            clock=self.env.clock, handler=self._take, wall=self.env.wall, make_id=lambda: "theirs"
        )
        story.run(_done(self.env.net.listen(AT, server)))

    # What a device does

    def report(
        self, what: Said, *, copy: int = -1, device: str | None = None
    ) -> m.StatusInfo | m.MessageReply:
        """The document that says so of a copy, by its device or another one."""
        page = self.copies[copy]
        self._count += 1
        header = m.ResponseHeader(
            originator=m.Originator(sender_id=m.WctpId(device or page.device)),
            control=m.MessageControl(
                message_id=m.MessageId(f"r{self._count}"),
                send_responses_to=m.WctpId("http://10.0.0.1/inside"),
            ),
            recipient=m.Recipient(recipient_id=m.WctpId("pages@st-anne.example")),
            response_to=m.MessageId(page.name),
        )
        if isinstance(what, str):
            return m.MessageReply(header=header, payload=m.Alphanumeric(text=m.WctpText(what)))
        return m.StatusInfo(header=header, result=what)

    def push(self, said: m.Operation) -> None:
        """Push *said* until it is taken or refused for good."""
        Deferred.fromCoroutine(self._push(said)).addErrback(lambda failure: failure.raiseException())

    def keep(self, *said: m.StatusInfo | m.MessageReply | m.SubmitRequest) -> None:
        """Keep them until they are fetched."""
        for one in said:
            self._count += 1
            self.queue.append(m.PolledMessage(sequence=m.WctpId(str(self._count)), content=one))

    def know(self, what: Said) -> None:
        """Tell so of the last copy whenever it is asked about."""
        header = m.ClientResponseHeader(
            originator=m.Originator(sender_id=m.WctpId(self.copies[-1].device)),
            recipient=m.Recipient(recipient_id=m.WctpId("pages@st-anne.example")),
        )
        if isinstance(what, str):
            payload = m.Alphanumeric(text=m.WctpText(what))
            self.known.append(m.ClientMessageReply(header=header, payload=payload))
        else:
            self.known.append(m.ClientStatusInfo(header=header, result=what))

    # Inside

    async def _push(self, said: m.Operation) -> None:
        while True:
            result = await self._pushed(said)
            self.pushed.append(result)
            if isinstance(result, m.Success) or (
                isinstance(result, m.Failure) and result.kind is not m.Kind.TEMPORARY
            ):
                return
            await self.env.sleep(AGAIN)

    async def _pushed(self, said: m.Operation) -> m.Success | m.Failure | str:
        document = codec.write(said, codec.asking())
        try:
            wire = await connect(self.env, PUSH)
            heard = await wire.ask(request_of("POST", PUSH, (), document), 30.0)
        except Unanswered as error:
            return str(error)
        wire.end()
        read = codec.read(heard.body, answers.TOLERANCE)
        if not isinstance(read, m.Document) or not isinstance(read.operation, m.Confirmation):
            return "foreign"
        return read.operation.result

    async def _take(self, request: Request) -> Response:
        read = codec.read(request.body)
        assert isinstance(read, m.Document), read
        if self.unwell:
            return Response(status=503, body=b"<html>out of order</html>")
        match read.operation:
            case m.SubmitRequest() | m.SubmitClientMessage() as said:
                return self._submitted(said, read)
            case m.ClientQuery():
                self.queries.append(self.story.now)
                if self.silent:
                    await Deferred[None]()
                return _said(m.ClientQueryResponse(messages=tuple(self.known)), read)
            case m.PollForMessages() as poll:
                self.polls.append((self.story.now, poll))
                if self.silent:
                    await Deferred[None]()
                done = {one.sequence for one in poll.received}
                if self.refuse_unknown and done - {one.sequence for one in self.queue}:
                    return _said(m.PollResponse(failure=m.failure(m.Code.UNKNOWN_REFERENCE, "which?")), read)
                self.queue = [one for one in self.queue if one.sequence not in done]
                batch = tuple(self.queue[: poll.max_messages])
                return _said(m.PollResponse(messages=batch, min_next_poll=self.next_poll), read)
            case other:
                raise AssertionError(f"nobody expects {other.name}")

    def _submitted(self, said: m.SubmitRequest | m.SubmitClientMessage, read: m.Document) -> Response:
        if self.refuse is not None:
            return _said(m.Confirmation(result=self.refuse), read)
        if self.no_choices is not None and isinstance(said.payload, m.MultipleChoice):
            self.refused += 1
            return _said(m.Confirmation(result=self.no_choices), read)
        self.submitted.append(said)
        payload = said.payload
        assert isinstance(payload, m.Alphanumeric | m.MultipleChoice)
        name = said.control.message_id if isinstance(said, m.SubmitRequest) else f"T{len(self.submitted)}"
        copy = Copy(said.recipient.recipient_id, payload.text, name)
        if copy not in self.copies or not isinstance(said, m.SubmitRequest):  # its messageID again: one page
            self.copies.append(copy)
        if self.answer is not None:
            return self.answer
        taken = m.success("taken")
        if isinstance(said, m.SubmitRequest):
            return _said(m.Confirmation(result=taken), read)
        success = m.ClientSuccess(code=200, tracking=m.WctpId(name), text=taken.text, detail=taken.detail)
        return _said(m.SubmitClientResponse(result=success), read)


def _said(operation: m.Operation, read: m.Document) -> Response:
    return Response(body=codec.write(operation, codec.answering(read)))


async def _done(deferred: Awaitable[Any]) -> Any:
    return await deferred
