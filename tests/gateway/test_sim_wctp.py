"""The simulated WCTP carrier, asked over HTTP in a simulated world."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from twisted.internet.protocol import Factory, Protocol

from gateway.env import Address
from gateway.env.simulated import BOOT, World, run
from gateway.settings.types import Rate
from gateway.sim.truth import Truth
from gateway.sim.wctp import MAX_QUEUE, Progress, Refusal, SimulatedWctp, WctpQuirks
from gateway.web import HttpServer, Request, Response
from gateway.web.client import Answered, Unanswered, call
from protocols.wctp import messages as m
from protocols.wctp.answers import Accepted, Denied, Foreign, judged
from protocols.wctp.codec import DOCTYPES, asking, read, write
from protocols.wctp.messages import MessageId, Version, WctpId, WctpSecret, WctpText

URL = "http://wctp.example/wctp"
HOST = "http://wctp.hospital.example/wctp"
TIME = datetime.fromtimestamp(BOOT / 1e6, UTC)
PAGER, NOC = WctpId("5551212"), WctpId("noc")


def line(*steps: str) -> tuple[Progress, ...]:
    """``5:reply:OK`` and so on."""
    cut = [step.split(":", 2) for step in steps]
    return tuple(
        Progress(after=float(one[0]), what=one[1], text=one[2] if len(one) > 2 else "") for one in cut
    )


def submit(text: str = "Cath lab 2", number: str = "1", **changes: Any) -> m.SubmitRequest:
    """A page to one pager, whose sender wants to be told of everything."""
    control = m.MessageControl(
        message_id=MessageId(number),
        transaction_id=MessageId("T-9"),
        notify_when_queued=True,
        notify_when_delivered=True,
        notify_when_read=True,
    )
    return replace(
        m.SubmitRequest(
            originator=m.Originator(sender_id=NOC, security_code=WctpSecret("K7-blue")),
            control=control,
            recipient=m.Recipient(recipient_id=PAGER),
            payload=m.Alphanumeric(text=WctpText(text)),
            submitted=TIME,
        ),
        **changes,
    )


def with_control(page: m.SubmitRequest, **changes: Any) -> m.SubmitRequest:
    return replace(page, control=replace(page.control, **changes))


CHOICES = m.MultipleChoice(
    text=WctpText("Can you come?"),
    choices=(
        m.Choice(text=WctpText("Yes")),
        m.ChoicePair(send=WctpText("No, call Bob"), reply=WctpText("NO")),
        m.ChoicePair(send=WctpText("Later")),
    ),
)


class Field:
    """One carrier, and a machine that talks to it."""

    def __init__(self, push_to: str | None = None, **quirks: Any) -> None:
        self.world = World()
        self.env = self.world.env("client.example")
        self.truth = Truth()
        self.carrier = SimulatedWctp(
            self.world.env("wctp.example"), WctpQuirks(**quirks), self.truth, push_to
        )
        run(self.world, self.carrier.listen("wctp.example:80"))

    def post(self, body: bytes, url: str = URL, method: str = "POST", limit: float = 30.0) -> Answered:
        return run(self.world, call(self.env, method, url, (), body, limit=limit))

    def ask(self, said: m.Operation, version: Version = Version.V1_3) -> Any:
        """What is answered, as a value; whatever the answer, it is readable."""
        answer = read(self.post(write(said, asking(version))).body)
        assert isinstance(answer, m.Document), answer
        assert answer.version is version
        return answer.operation

    def judged(self, said: m.Operation) -> Accepted | Denied | Foreign:
        heard = self.post(write(said, asking()))
        return judged(heard.status, heard.fields, heard.body)

    def code(self, said: m.Operation) -> int | None:
        """The code of a yes or no."""
        found = self.judged(said)
        assert not isinstance(found, Foreign), found
        return found.code

    def poll(self, *received: str, poller: WctpId = NOC, most: int | None = None) -> m.PollResponse:
        asked = m.PollForMessages(
            poller_id=poller,
            max_messages=most,
            received=tuple(
                m.MessageReceived(sequence=WctpId(one), result=m.success("got it")) for one in received
            ),
        )
        answer = self.ask(asked)
        assert isinstance(answer, m.PollResponse)
        return answer

    def later(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @property
    def texts(self) -> list[str]:
        return [copy.text for copy in self.truth.copies]


def happened(*contents: Any) -> list[str]:
    """What messages say, in a word each."""
    words = []
    for one in contents:
        if isinstance(one, m.MessageReply | m.ClientMessageReply):
            words.append(one.payload.text)
        elif isinstance(one.result, m.Notification):
            words.append(one.result.event.value)
        else:
            words.append(str(one.result.code))
    return words


def polled(answer: m.PollResponse) -> list[str]:
    return happened(*(one.content for one in answer.messages))


# ---------------------------------------------------------------- enterprises that poll


def test_a_page_reaches_the_pager_and_its_sender_polls_what_became_of_it() -> None:
    """200 means received; what happens later waits for a poll, with the ids of the page."""
    field = Field(progress=line("1:queued", "2:delivered", "3:read", "9:reply:OK"))
    answer = field.ask(submit())
    assert (answer.result.code, bool(answer.result.text), bool(answer.result.detail)) == (200, True, True)
    assert [(copy.pager, copy.text) for copy in field.truth.copies] == [(PAGER, "Cath lab 2")]
    assert field.poll().messages == ()
    field.later(10)
    told = field.poll()
    assert polled(told) == ["QUEUED", "DELIVERED", "READ", "OK"]
    reply = told.messages[-1].content
    assert isinstance(reply, m.MessageReply)
    header = reply.header
    assert (header.response_to, header.control.transaction_id) == ("1", "T-9")
    assert (header.originator.sender_id, header.recipient.recipient_id) == (PAGER, NOC)
    assert (header.responding_to, header.responded) == (TIME, TIME + timedelta(seconds=9))
    assert header.control.message_id


def test_what_is_not_acknowledged_comes_again_under_its_number() -> None:
    """A message leaves the queue by an acknowledgement in a later poll, and by nothing else."""
    field = Field(progress=line("1:queued", "2:delivered", "3:read"))
    field.ask(submit())
    field.later(5)
    first = field.poll(most=2)
    assert ([one.sequence for one in first.messages], first.min_next_poll) == (["1", "2"], 0)
    assert [one.sequence for one in field.poll().messages] == ["1", "2", "3"]
    assert [one.sequence for one in field.poll("2", "77", "x").messages] == ["1", "3"]
    assert field.poll("1", "3").messages == ()
    field.ask(submit(number="2"))
    field.later(1.5)
    assert [one.sequence for one in field.poll().messages] == ["4"]  # no number is used twice


def test_an_acknowledgement_that_says_later_keeps_the_message() -> None:
    """A failure for good takes it out of the queue; a temporary one does not."""
    field = Field(progress=line("0:queued", "0:delivered"))
    field.ask(submit())
    field.later(1)
    answers = {"1": m.Code.INTERNAL_ERROR, "2": m.Code.UNKNOWN_REFERENCE}
    received = tuple(
        m.MessageReceived(sequence=WctpId(number), result=m.failure(code, "no"))
        for number, code in answers.items()
    )
    left = field.ask(m.PollForMessages(poller_id=NOC, received=received))
    assert [one.sequence for one in left.messages] == ["1"]


def test_only_what_was_asked_for_is_told() -> None:
    """Notifications by their flags, answers where they are allowed; a failure is always told."""
    field = Field(progress=line("1:queued", "1:delivered", "1:read", "1:reply:OK", "2:failed:501"))
    page = with_control(
        submit(),
        notify_when_queued=False,
        notify_when_delivered=True,
        notify_when_read=False,
        allow_response=False,
    )
    field.ask(page)
    field.later(5)
    assert polled(field.poll()) == ["DELIVERED", "501"]


@pytest.mark.parametrize(("number", "said"), [("1", ["Yes"]), ("2", ["NO"]), ("3", ["Later"]), ("4", [])])
def test_a_choice_comes_back_as_its_reply(number: str, said: list[str]) -> None:
    """A Choice as it is, a pair as its ReplyChoice, and without one as what was shown."""
    field = Field(progress=line(f"1:choice:{number}"))
    field.ask(submit(payload=CHOICES))
    field.ask(submit("no choices here", "2"))
    field.later(2)
    told = field.poll()
    assert polled(told) == said
    assert all(one.content.multiple_choice for one in told.messages)  # type: ignore[union-attr]
    assert field.texts == ["Can you come?", "no choices here"]


def test_responses_go_where_the_sender_wants_them() -> None:
    """sendResponsesToID is the name under which they are polled; it is never called."""
    field = Field(progress=line("0:queued"))
    field.ask(with_control(submit(), send_responses_to=WctpId("http://evil.example/")))
    field.later(1)
    assert field.poll().messages == ()
    assert polled(field.poll(poller=WctpId("http://evil.example/"))) == ["QUEUED"]


def test_polling_too_early_is_refused() -> None:
    """600, with the time to wait; acknowledgements in it count all the same."""
    field = Field(progress=line("0:queued"), poll_interval=60)
    field.ask(submit())
    field.later(1)
    first = field.poll()
    assert (polled(first), first.min_next_poll) == (["QUEUED"], 60)
    early = field.poll("1")
    assert early.failure is not None
    assert (early.failure.code, early.min_next_poll) == (600, 60)
    field.later(60)
    assert (field.poll().messages, field.poll().failure is None) == ((), False)


def test_who_never_polls_must_do_so_before_he_sends_more() -> None:
    """304 once so much waits for him; nobody else is kept."""
    field = Field(progress=tuple(Progress(after=0.0, what="reply", text=str(n)) for n in range(MAX_QUEUE)))
    field.ask(submit())
    field.later(1)
    assert field.code(submit(number="2")) == 304
    assert field.code(submit(originator=m.Originator(sender_id=WctpId("other")))) == 200


# ---------------------------------------------------------------- several, transient, others


def test_a_page_to_several_names_those_that_were_refused() -> None:
    """The good ones are sent unless all are required."""
    field = Field(recipients="[0-9]{7}", progress=line("1:delivered"))
    control = m.MultiControl(message_id=MessageId("7"), notify_when_delivered=True)
    page = m.SendMsgMulti(
        originator=m.Originator(sender_id=NOC),
        control=control,
        recipients=tuple(m.Recipient(recipient_id=WctpId(one)) for one in ("5551212", "12", "5551213")),
        payload=m.Alphanumeric(text=WctpText("all")),
    )
    required = field.ask(replace(page, control=replace(control, all_recipients_required=True)))
    assert (required.result.code, field.texts) == (403, [])
    answer = field.ask(page)
    assert (answer.result.code, answer.valid, answer.invalid, answer.max_recipients) == (200, 2, 1, 100)
    assert [(one.recipient_id, one.code) for one in answer.failed] == [("12", 403)]
    assert [copy.pager for copy in field.truth.copies] == ["5551212", "5551213"]
    field.later(2)
    told = [one.content for one in field.poll().messages]
    assert {one.header.response_to for one in told} == {"7"}  # type: ignore[union-attr]
    assert {one.header.originator.sender_id for one in told} == {"5551212", "5551213"}  # type: ignore[union-attr]
    nobody = field.ask(replace(page, recipients=page.recipients[1:2]))
    assert nobody.result.code == 403
    crowd = tuple(m.Recipient(recipient_id=WctpId(str(5_550_000 + n))) for n in range(101))
    assert field.ask(replace(page, recipients=crowd)).result.code == 431


def transient(**changes: Any) -> m.SubmitClientMessage:
    return replace(
        m.SubmitClientMessage(
            originator=m.Originator(sender_id=NOC, misc_info=WctpSecret("K7-blue")),
            recipient=m.Recipient(recipient_id=PAGER),
            payload=CHOICES,
            control=m.ClientControl(notify_when_delivered=True),
        ),
        **changes,
    )


def test_a_transient_client_asks_by_its_number() -> None:
    """All that is known, each time, oldest first; its number is no use to anybody else."""
    field = Field(progress=line("1:queued", "2:delivered", "5:choice:2"), login="noc:K7-blue")
    answer = field.ask(transient())
    tracking = answer.result.tracking
    assert len(tracking) == 16
    query = m.ClientQuery(sender_id=NOC, recipient_id=PAGER, tracking=tracking)
    assert field.ask(query).messages == ()
    for seconds, said in ((3, ["DELIVERED"]), (3, ["DELIVERED", "NO"])):
        field.later(seconds)
        assert happened(*field.ask(query).messages) == said
    for wrong in (
        replace(query, sender_id=WctpId("other")),
        replace(query, recipient_id=WctpId("1")),
        replace(query, tracking=WctpId("0123456789abcdef")),
    ):
        assert field.ask(wrong).failure.code == 504
    assert field.poll(poller=WctpId("noc")).failure is not None  # a poller must show the code
    assert field.ask(transient(originator=m.Originator(sender_id=NOC))).result.code == 402


def test_a_subscriber_is_looked_up() -> None:
    """Known at once, what the device can do later; unknown at once."""
    field = Field(recipients="[0-9]{7}", max_chars=80, choices=False)
    asked = m.LookupSubscriber(
        originator=m.Originator(sender_id=NOC),
        recipient=m.Recipient(recipient_id=PAGER),
        message_id=MessageId("L1"),
    )
    assert field.code(asked) == 200
    (found,) = field.poll().messages
    assert isinstance(found.content, m.LookupResponse)
    assert found.content.response_to == "L1"
    assert found.content.result == m.LookupData(max_length=80, multiple_choice=False, can_respond=True)
    assert field.code(replace(asked, recipient=m.Recipient(recipient_id=WctpId("x")))) == 403


def test_versions_are_told_to_anybody() -> None:
    """Without credentials; 1.0 does not know the question."""
    field = Field(login="noc:K7-blue")
    answer = field.ask(m.VersionQuery(inquirer=WctpId("me"), asked=TIME))
    assert [one.dtd_name for one in answer.result] == ["wctp-dtd-v1r1", "wctp-dtd-v1r2", "wctp-dtd-v1r3"]
    assert (answer.inquirer, answer.asked) == ("me", TIME)


@pytest.mark.parametrize("version", [Version.V1_0, Version.V1_1, Version.V1_2, Version.V1_3])
def test_everybody_is_answered_in_his_own_version(version: Version) -> None:
    """A page, its answer and what becomes of it, in each of the four."""
    field = Field(
        progress=line("1:delivered", "2:reply:OK"), refusals=(Refusal(step="POLL", code=604, first=1),)
    )
    assert field.ask(submit(), version).result.code == 200
    field.later(3)
    poll = m.PollForMessages(poller_id=NOC)
    refused = field.ask(poll, version)
    assert isinstance(refused, m.Confirmation if version is Version.V1_0 else m.PollResponse)
    assert polled(field.ask(poll, version)) == ["DELIVERED", "OK"]


def test_what_is_not_served_is_said_so() -> None:
    """300; other paths and methods have a WCTP body too."""
    field = Field()
    assert field.code(m.ReturnToSvc(address=WctpId("host.example"))) == 300
    lost = field.post(write(submit()), "http://wctp.example/elsewhere")
    assert (lost.status, isinstance(read(lost.body), m.Document)) == (404, True)
    got = field.post(b"", method="GET")
    assert (got.status, got.fields["allow"], isinstance(read(got.body), m.Document)) == (405, "POST", True)
    assert field.post(write(submit()), "http://wctp.example/WCTP/?F=generic").status == 200
    broken = read(field.post(b"<wctp-Operation").body)
    assert isinstance(broken, m.Document)
    assert isinstance(broken.operation, m.Confirmation)
    assert broken.operation.result.code == 301


# ---------------------------------------------------------------- checks


def test_checks_answer_in_their_order() -> None:
    """Each mistake is found before the next one: sender, code, recipient, times, kind, length, rate."""
    field = Field(
        login="noc:K7-blue",
        recipients="[0-9]{7}",
        max_chars=5,
        choices=False,
        rate=Rate(count=1.0, per=60.0),
        refusals=(Refusal(step="SUBMIT", code=606),),
    )
    late = TIME - timedelta(days=1)
    page = submit(
        "far too long",
        originator=m.Originator(sender_id=WctpId("nobody")),
        recipient=m.Recipient(recipient_id=WctpId("x")),
    )
    page = with_control(page, deliver_before=late, allow_truncation=False)
    codes = [field.code(page)]
    for change in (
        {"originator": m.Originator(sender_id=NOC, security_code=WctpSecret("wrong"))},
        {"originator": m.Originator(sender_id=NOC, security_code=WctpSecret("K7-blue"))},
        {"recipient": m.Recipient(recipient_id=PAGER)},
        {"control": replace(page.control, deliver_before=None), "payload": CHOICES},
        {"payload": m.TransparentData(data=b"\0")},
        {"payload": page.payload},
        {"payload": m.Alphanumeric(text=WctpText("short"))},
        {},
    ):
        page = replace(page, **change)
        codes.append(field.code(page))
    assert codes == [401, 402, 403, 408, 414, 430, 411, 606, 602]
    assert field.texts == []


def test_longer_texts_are_cut_where_the_sender_allows_it() -> None:
    """Else 411, and a carrier may refuse to cut at all."""
    field = Field(max_chars=4)
    assert field.code(submit("123456")) == 200
    assert field.code(with_control(submit("123456", "2"), allow_truncation=False)) == 411
    field.carrier.behave(WctpQuirks(max_chars=4, truncate=False))
    assert field.code(submit("123456", "3")) == 411
    assert field.texts == ["1234"]


def test_the_same_page_again_is_answered_and_not_sent() -> None:
    """Within two minutes, by all that makes it the same: ids repeat in the field."""
    field = Field()
    for page in (submit(), submit(), submit("another text"), submit(number="2")):
        assert field.code(page) == 200
    assert field.texts == ["Cath lab 2", "another text", "Cath lab 2"]
    field.later(121)
    field.ask(submit())
    assert len(field.texts) == 4


def test_a_page_for_later_comes_later() -> None:
    """Not on the pager before deliveryAfter, and nothing is told of it before."""
    field = Field(progress=line("1:delivered"))
    field.ask(with_control(submit(), deliver_after=TIME + timedelta(minutes=5)))
    field.later(299)
    assert (field.texts, field.poll().messages) == ([], ())
    field.later(3)
    assert (field.texts, polled(field.poll())) == (["Cath lab 2"], ["DELIVERED"])


def test_the_first_so_many_are_refused() -> None:
    """Then it does as it should; a share of all is a chance."""
    field = Field(refusals=(Refusal(step="SUBMIT", code=606, first=2),))
    assert [field.code(submit(number=str(n))) for n in range(4)] == [606, 606, 200, 200]
    field.carrier.behave(WctpQuirks(refusals=(Refusal(step="SUBMIT", code=999, share=0.5),)))
    codes = [field.code(submit(number=str(n + 10))) for n in range(40)]
    assert 5 < codes.count(999) < 35


# ---------------------------------------------------------------- pushes


class Host:
    """An enterprise's own server: answers as told, and keeps what came."""

    def __init__(self, field: Field, *answers: int | None) -> None:
        self.heard: list[Any] = []
        self.at: list[float] = []
        self._answers = list(answers)
        self._clock = field.world.clock
        self.env = field.world.env("wctp.hospital.example")
        server = HttpServer(clock=self.env.clock, handler=self.answer, wall=self.env.wall, make_id=str)

        async def listen() -> None:
            await self.env.net.listen("wctp.hospital.example:80", server)

        run(field.world, listen())

    async def answer(self, request: Request) -> Response:
        heard = read(request.body)
        assert isinstance(heard, m.Document)
        self.heard.append(heard.operation)
        self.at.append(self._clock.seconds())
        code = self._answers.pop(0) if self._answers else 200
        if code is None:
            return Response()
        result = m.success("thanks") if code == 200 else m.failure(m.Code(code), "no")
        return Response(body=write(m.Confirmation(result=result)))


def test_what_happens_is_pushed_in_its_order() -> None:
    """To the one URL that was configured, whatever address the sender wrote; nothing is left to poll."""
    field = Field(HOST, progress=line("1:queued", "2:delivered", "3:reply:OK"))
    host = Host(field)
    field.ask(with_control(submit(), send_responses_to=WctpId("http://evil.example/")))
    field.later(10)
    assert happened(*host.heard) == ["QUEUED", "DELIVERED", "OK"]
    assert field.poll(poller=WctpId("http://evil.example/")).messages == ()


def test_a_push_that_is_not_confirmed_is_repeated() -> None:
    """An empty 200 is no confirmation, 6xx is later; any other no ends it. A minute between the tries."""
    field = Field(HOST, progress=line("0:queued"))
    host = Host(field, None, 604, 504)
    field.ask(submit())
    field.later(600)
    assert len(host.heard) == 3
    assert [round(b - a) for a, b in zip(host.at, host.at[1:], strict=False)] == [60, 60]
    assert field.poll().messages == ()


def test_what_cannot_be_pushed_waits_for_a_poll() -> None:
    """After ten tries."""
    field = Field(HOST, progress=line("0:queued"))
    field.ask(submit())
    field.later(500)
    assert field.poll().messages == ()
    field.later(200)
    assert polled(field.poll()) == ["QUEUED"]


def test_pushes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes above waits for a poll at once, until others have ended."""
    monkeypatch.setattr("gateway.sim.wctp.MAX_PUSHES", 1)
    field = Field(HOST, progress=line("0:queued"))
    for number in ("1", "2"):
        field.ask(submit(number=number))
    field.later(1)
    assert [one.content.header.response_to for one in field.poll().messages] == ["2"]  # type: ignore[union-attr]
    field.later(700)
    assert len(field.poll("1").messages) == 1
    host = Host(field)
    field.ask(submit(number="3"))
    field.later(1)
    assert happened(*host.heard) == ["QUEUED"]


def test_pushes_may_come_twice_and_backwards() -> None:
    """A receiver must take any order, and repeats."""
    field = Field(
        HOST, progress=line("1:queued", "2:delivered", "3:read"), push_twice=True, push_backwards=True
    )
    host = Host(field)
    field.ask(submit())
    field.later(10)
    assert happened(*host.heard) == ["READ", "READ", "DELIVERED", "DELIVERED", "QUEUED", "QUEUED"]


# ---------------------------------------------------------------- how answers go wrong


def test_an_answer_may_be_lost_after_the_page_was_taken() -> None:
    """The page is on the pager; its sender hears nothing, and polls are answered as ever."""
    field = Field(lose_answer=20, progress=line("1:delivered"))
    with pytest.raises(Unanswered):
        field.post(write(submit()))
    field.later(2)
    assert (field.texts, polled(field.poll())) == (["Cath lab 2"], ["DELIVERED"])


def test_an_answer_may_be_cut() -> None:
    """With enough of it to see a status, it is no answer of WCTP."""
    assert isinstance(Field(lose_answer=250).judged(submit()), Foreign)


def test_a_carrier_may_hang() -> None:
    """It takes the page and never answers."""
    field = Field(hang=True)
    with pytest.raises(Unanswered, match="did not answer within 30 s"):
        field.post(write(submit()))
    assert field.texts == ["Cath lab 2"]
    assert field.poll().messages == ()


def test_a_captive_portal_says_200_and_takes_nothing() -> None:
    """Which is no answer of WCTP."""
    field = Field(html=True)
    found = field.judged(submit())
    assert isinstance(found, Foreign)
    assert "HTML" in found.why
    assert field.texts == []


def test_a_silent_carrier_says_yes_and_loses_the_page() -> None:
    """The truth is in the log, not in the answer."""
    field = Field(silent=True)
    assert (field.code(submit()), field.texts) == (200, [])


def test_an_answer_may_be_slow() -> None:
    """The page is taken when it is answered."""
    field = Field(delay=20.0)
    before = field.world.clock.seconds()
    assert field.code(submit()) == 200
    assert field.world.clock.seconds() - before >= 20


def test_failures_may_have_an_http_status() -> None:
    """Successes keep 200."""
    field = Field(http_status=503, refusals=(Refusal(step="SUBMIT", code=606, first=1),))
    assert [field.post(write(submit())).status for _ in range(2)] == [503, 200]


def test_documents_as_carriers_write_them() -> None:
    """Another version, a DOCTYPE, nothing inside; a confirmation for everything; each is understood."""
    doctype = DOCTYPES[Version.V1_1]
    field = Field(version="wctp-dtd-v1r1.dtd", doctype=doctype, empty_text=True)
    body = field.post(write(transient())).body
    assert body.count(b'wctpVersion="wctp-dtd-v1r1.dtd"') == 1
    assert f'<!DOCTYPE wctp-Operation SYSTEM "{doctype}">'.encode() in body
    assert b"<wctp-ClientSuccess " in body
    assert b"</wctp-ClientSuccess>" not in body
    assert isinstance(field.judged(transient()), Accepted)
    field.carrier.behave(WctpQuirks(confirmation=True))
    assert isinstance(field.ask(transient()), m.Confirmation)
    found = field.judged(transient())
    assert isinstance(found, Accepted)
    assert found.tracking is None


@pytest.mark.parametrize(
    ("quirk", "spoken"), [("http10", b"HTTP/1.0"), ("close", b"HTTP/1.1"), (None, b"HTTP/1.1")]
)
def test_connections_may_end_with_each_answer(quirk: str | None, spoken: bytes) -> None:
    """In HTTP/1.0 they do; otherwise a connection is kept for the next page."""
    field = Field()
    field.carrier.behave(WctpQuirks(http10=quirk == "http10", close=quirk == "close"))
    heard = bytearray()
    ended: list[bool] = []

    class Client(Protocol):
        def connectionMade(self) -> None:
            body = write(submit())
            assert self.transport is not None
            self.transport.write(
                b"POST /wctp HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )

        def dataReceived(self, data: bytes) -> None:
            heard.extend(data)

        def connectionLost(self, reason: object = None) -> None:
            ended.append(True)

    field.env.net.client(Address(host="wctp.example", port=80), open_timeout=5.0).connect(
        Factory.forProtocol(Client)
    )
    field.later(2)
    assert heard.startswith(spoken + b" 200 OK\r\n")
    assert (b"Connection: close" in heard, bool(ended)) == (quirk is not None,) * 2
