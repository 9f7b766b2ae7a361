"""The door for reports: who gets in, what is taken for evidence, and what a sender hears when it is not."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.adapters.base import Doorway, Evidence
from gateway.adapters.smtp import ADAPTER, SmtpListen, SmtpSettings
from gateway.env import Address
from gateway.env.simulated import World, run
from gateway.errors import StoreFailed
from gateway.model import LinkName
from gateway.outcome import Level
from gateway.settings.types import LinkSettings, Secret
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.client import Conversation
from protocols.smtp.report import Action, Notice, write

AT = "10.9.0.1:2525"
RELAY, OTHER = LinkName("mail.relay"), LinkName("mail.other")
REF = "00000000-7"


def link(**keys: Any) -> LinkSettings:
    told = {
        "at": "mail.example.net:587",
        "from_": "pages@st-anne.example",
        "bounce_address": "pages@bounces.example.org",
        "bounce_secret": Secret("0123456789abcdef"),
        "reports": "relayed",
    }
    return LinkSettings(adapter="smtp", own=SmtpSettings(**told | keys))


class Door:
    """A bounce door in a simulated world, and those who come to it. *trouble*: what the store raises."""

    def __init__(self, links: dict[LinkName, LinkSettings] | None = None, **keys: Any) -> None:
        self.world = World()
        self.links = {RELAY: link(), OTHER: link(reports="success")} if links is None else links
        self.heard: list[tuple[LinkName, Evidence]] = []
        self.trouble: Exception | None = None
        assert ADAPTER.listener is not None
        self.door = ADAPTER.listener.make(
            SmtpListen(at=AT, **keys),
            Doorway(
                links=lambda: self.links,
                env=self.world.env("10.9.0.1"),
                reception=self,  # type: ignore[arg-type]  # report is all that a door asks for
            ),
        )
        self.mx = self.world.env("mx.example")
        self.run(self.door.start())

    async def report(self, name: LinkName, evidence: Evidence) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.heard.append((name, evidence))

    def run(self, story: Coroutine[Any, Any, Any]) -> Any:
        return run(self.world, story)

    def token(self, name: LinkName = RELAY, copy: int = 1) -> m.Mailbox:
        bounces = self.links[name].own.bounces(name)
        assert bounces is not None
        made: m.Mailbox = bounces.of(REF, copy)
        return made

    def conversation(self, **manner: Any) -> Conversation:
        host, _, port = AT.rpartition(":")
        endpoint = self.mx.net.client(Address(host=host, port=int(port)), open_timeout=5.0)
        return Conversation(endpoint, self.mx.clock, s.Manner(name=m.Domain("mx.example"), **manner))

    def bring(
        self, content: bytes, *to: m.Mailbox, sender: m.Mailbox | None = None, lmtp: bool = False
    ) -> Any:
        """What a mail server hears that brings *content*: the deciding reply, and by LMTP each."""
        people = tuple(m.Recipient(address=one) for one in to or (self.token(),))
        mail = m.Transaction(sender=sender, recipients=people, content=m.Content(content))

        async def story() -> Any:
            conversation = self.conversation(lmtp=lmtp)
            opened = await conversation.open()
            assert isinstance(opened, s.Opened), opened
            result = await conversation.submit(mail)
            await conversation.quit()
            assert isinstance(result, m.Submitted), result
            return [answer.reply.code for answer in result.answers] if lmtp else result.reply.code

        return self.run(story())


def report(action: Action, status: str, diagnostic: str = "", to: str = "ann@example.net") -> bytes:
    notice = Notice(
        reporter=m.Domain("mx.example"),
        to=m.Mailbox("pages@bounces.example.org"),
        message_id=m.MessageId("<1@mx.example>"),
        at=datetime(2027, 1, 1, tzinfo=UTC),
        recipients=((m.Mailbox(to), action, status, diagnostic),),
    )
    return write(notice)


def mail(text: str, **fields: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", text, ""]).encode()


# ---------------------------------------------------------------- what is evidence


@pytest.mark.parametrize(
    ("action", "status", "state", "level", "sure", "setback"),
    [
        (Action.DELIVERED, "2.0.0", "delivered 2.0.0", Level.IN_PROGRESS, Level.ON_DEVICE, None),
        (Action.RELAYED, "2.0.0", "relayed 2.0.0", Level.IN_PROGRESS, Level.IN_PROGRESS, None),
        (Action.EXPANDED, "2.0.0", "expanded 2.0.0", Level.IN_PROGRESS, Level.IN_PROGRESS, None),
        (Action.DELAYED, "4.4.1", "delayed 4.4.1", None, None, None),
        (Action.FAILED, "5.1.1", "failed 5.1.1", None, None, "5.1.1 no such mailbox"),
        (Action.FAILED, "4.4.7", "failed 4.4.7", None, None, "4.4.7 given up after many tries"),
        (Action.FAILED, "5.9.9", "failed 5.9.9", None, None, "5.9.9 failed"),
    ],
)
def test_what_a_delivery_report_proves(
    action: Action, status: str, state: str, level: Level | None, sure: Level | None, setback: str | None
) -> None:
    """No more than was said: `delivered` proves the mailbox only where the relay is known to mean that."""
    door = Door()
    assert door.bring(report(action, status)) == 250
    assert door.bring(report(action, status), door.token(OTHER)) == 250
    (first, one), (second, two) = door.heard
    assert (first, one.scope, one.ref) == (RELAY, RELAY, REF)
    assert (second, two.scope, two.ref) == (OTHER, OTHER, REF)
    assert (one.state, one.level, one.setback) == (state, level, setback)
    assert (two.state, two.level, two.setback) == (state, sure, setback)


def test_the_words_of_a_failure_are_kept_but_not_its_token() -> None:
    """Who reads the setback sees what the far server said."""
    door = Door()
    door.bring(report(Action.FAILED, "5.1.8", f"550 5.1.8 <{door.token()}>: who are you"))
    setback = door.heard[0][1].setback
    assert setback is not None
    assert setback.startswith("5.1.8 smtp; 550 5.1.8 <pages+…") and setback.endswith(": who are you")


def test_two_copies_have_fates_of_their_own() -> None:
    """A failure of the second copy is not the failure of the first one again."""
    door = Door()
    door.bring(report(Action.FAILED, "5.1.1"))
    door.bring(report(Action.FAILED, "5.1.1"), door.token(copy=2))
    assert [one.state for _, one in door.heard] == ["failed 5.1.1", "failed 5.1.1 copy 2"]


def test_a_report_about_several_recipients_is_read_whole() -> None:
    """A list behind the address: some got it, one did not; the same said twice is said once."""
    blocks = report(Action.DELIVERED, "2.0.0").partition(b"\r\nFinal-Recipient:")
    other = b"\r\nFinal-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.2.2\r\n"
    again = b"\r\nFinal-Recipient: rfc822; dan@example.net\r\nAction: delivered\r\nStatus: 2.0.0\r\n"
    door = Door()
    assert door.bring(blocks[0] + other + again + blocks[1] + blocks[2]) == 250
    assert [one.state for _, one in door.heard] == ["failed 5.2.2", "delivered 2.0.0"]


@pytest.mark.parametrize(
    ("disposition", "state", "level"),
    [
        ("manual-action/MDN-sent-manually; displayed", "displayed", Level.READ),
        ("automatic-action/MDN-sent-automatically; displayed", "displayed", Level.READ),
        ("manual-action/MDN-sent-manually; deleted", "deleted", None),
        ("automatic-action/MDN-sent-automatically; dispatched", "dispatched", None),
        ("automatic-action/MDN-sent-automatically; processed/error", "processed", None),
    ],
)
def test_what_a_read_receipt_proves(disposition: str, state: str, level: Level | None) -> None:
    """Displayed is read, where read receipts were asked for; what is deleted or sorted away proves nothing."""
    door = Door({RELAY: link(read_receipts=True), OTHER: link()})
    content = mail(
        "--b\r\nContent-Type: text/plain\r\n\r\nread\r\n--b\r\n"
        "Content-Type: message/disposition-notification\r\n\r\n"
        f"Final-Recipient: rfc822; ann@example.net\r\nDisposition: {disposition}\r\n\r\n--b--",
        From="ann@example.net",
        MIME_Version="1.0",
        Content_Type="multipart/report; report-type=disposition-notification; boundary=b",
    )
    for name in (RELAY, OTHER):
        assert door.bring(content, door.token(name), sender=m.Mailbox("ann@example.net")) == 250
    assert [(name, one.state, one.level) for name, one in door.heard] == [
        (RELAY, state, level),
        (OTHER, state, None),
    ]


def test_a_bounce_without_a_report_is_a_setback() -> None:
    """Some servers bounce in words only: from nobody, by a mail server, to a token of ours."""
    door = Door()
    text = "Hi. This is the program at mx.example. I couldn't deliver your message."
    assert door.bring(mail(text, From="MAILER-DAEMON@mx.example", Subject="failure notice")) == 250
    assert [(one.state, one.level) for _, one in door.heard] == [("bounced", None)]
    assert door.heard[0][1].setback == "came back, without a report in a standard form"


@pytest.mark.parametrize(
    "fields",
    [
        {"From": "ann@example.net", "Auto_Submitted": "auto-replied", "Subject": "Out of office"},
        {"From": "postmaster@mx.example", "Auto_Submitted": "auto-replied; vacation"},
        {"From": "postmaster@mx.example", "X_Auto_Response_Suppress": "All"},
        {"From": "ann@example.net", "Subject": "OK"},
        {"Subject": "from nobody at all"},
    ],
)
def test_a_vacation_answer_is_no_evidence(fields: dict[str, str]) -> None:
    """It is taken, so that it does not come again, and proves nothing; so do words of a person."""
    door = Door()
    assert door.bring(mail("I am away until Monday.", **fields)) == 250
    assert door.bring(mail("I am away until Monday.", **fields), sender=m.Mailbox("ann@example.net")) == 250
    assert door.heard == []


def test_a_person_who_calls_herself_mailer_daemon_is_none() -> None:
    """A bounce has no sender."""
    door = Door()
    content = mail("failed", From="MAILER-DAEMON@mx.example")
    assert door.bring(content, sender=m.Mailbox("mallory@example.net")) == 250
    assert door.heard == []


# ---------------------------------------------------------------- who gets in


@pytest.mark.parametrize(
    "to",
    [
        "pages@bounces.example.org",
        "pages+00000000-7-1-aaaaaaaaaaaaaaaa@bounces.example.org",
        "postmaster@bounces.example.org",
        "ann@example.net",
    ],
)
def test_mail_to_anything_but_our_tokens_is_refused(to: str) -> None:
    """In our own domain too, and nothing is relayed: 550 5.7.1 at RCPT."""
    door = Door()
    assert door.bring(report(Action.DELIVERED, "2.0.0"), m.Mailbox(to)) == 550
    assert door.heard == []


def test_a_link_that_leaves_the_settings_takes_its_tokens_with_it() -> None:
    """And one that comes brings its own, domain included; nothing is restarted."""
    door = Door()
    old, content = door.token(), report(Action.RELAYED, "2.0.0")
    door.links = {RELAY: link(bounce_address="p@returns.example.org")}
    assert door.bring(content, old) == 550
    assert door.bring(content, door.token()) == 250
    door.links = {}
    assert door.bring(content, old) == 550


def test_a_report_that_cannot_be_recorded_comes_again() -> None:
    """451 until it is on record; then 250."""
    door = Door()
    door.trouble = StoreFailed("the disk is gone")
    assert door.bring(report(Action.RELAYED, "2.0.0")) == 451
    door.trouble = None
    assert door.bring(report(Action.RELAYED, "2.0.0")) == 250
    assert len(door.heard) == 1


def test_by_lmtp_each_token_has_its_answer() -> None:
    """From the mail server beside the gateway, without a second queue."""
    door = Door(lmtp=True)
    codes = door.bring(report(Action.RELAYED, "2.0.0"), door.token(), door.token(OTHER), lmtp=True)
    assert codes == [250, 250]
    assert [name for name, _ in door.heard] == [RELAY, OTHER]


def test_a_message_that_is_too_large_is_refused_and_the_next_one_taken() -> None:
    """552 5.3.4; nothing of it is read."""
    door = Door(size=16_384)
    large = report(Action.DELIVERED, "2.0.0") + b"x" * 900 + b"\r\n"
    while len(large) < 20_000:
        large += b"x" * 900 + b"\r\n"

    assert said(door, b"EHLO x\r\nMAIL FROM:<> SIZE=20000\r\nQUIT\r\n")[-2:] == [b"552", b"221"]
    to = f"RCPT TO:<{door.token()}>\r\n".encode()
    lines = b"EHLO x\r\nMAIL FROM:<> SIZE=100\r\n" + to + b"DATA\r\n" + large + b".\r\nQUIT\r\n"
    assert said(door, lines)[-2:] == [b"552", b"221"]
    assert door.heard == []
    assert door.bring(report(Action.RELAYED, "2.0.0")) == 250


def said(door: Door, lines: bytes) -> list[bytes]:
    """The codes that the door answers *lines* with, written at once."""
    from twisted.internet.protocol import Factory, Protocol

    heard = bytearray()
    gone: Deferred[None] = Deferred()

    class Raw(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(lines)

        def dataReceived(self, data: bytes) -> None:
            heard.extend(data)

        def connectionLost(self, reason: Any = None) -> None:
            gone.callback(None)

    async def story() -> None:
        host, _, port = AT.rpartition(":")
        endpoint = door.mx.net.client(Address(host=host, port=int(port)), open_timeout=5.0)
        await endpoint.connect(Factory.forProtocol(Raw))
        await gone

    door.run(story())
    return [line[:3] for line in bytes(heard).splitlines() if line[3:4] == b" "]


def test_what_is_no_mail_at_all_is_hung_up_on() -> None:
    """A browser, a scanner, a line without end: one answer, and the connection is closed."""
    assert said(Door(), b"GET / HTTP/1.1\r\n\r\n") == [b"220", b"421"]
    assert said(Door(), b"x" * 100_000) == [b"220", b"500"]


def test_whoever_says_nothing_is_not_kept() -> None:
    """421 after the time that is allowed between two commands."""
    door = Door(idle=30.0)
    began = door.mx.clock.seconds()
    assert said(door, b"EHLO x\r\n") == [b"220", b"250", b"421"]
    assert door.mx.clock.seconds() - began < 60


def test_one_connection_too_many_is_told_so() -> None:
    """421; those that are there go on, and when one of them ends there is room again."""
    door = Door(connections=2)

    async def story() -> list[bool]:
        conversations = [door.conversation() for _ in range(3)]
        opened = [isinstance(await one.open(), s.Opened) for one in conversations]
        await conversations[0].quit()
        await door.mx.sleep(1.0)
        again = door.conversation()
        opened.append(isinstance(await again.open(), s.Opened))
        return opened

    assert door.run(story()) == [True, True, False, True]


def test_stopping_answers_what_was_read_and_takes_nothing_new() -> None:
    """A report under way is recorded and gets its 250; who is idle hears 421; the port is closed."""
    door = Door()
    slow: Deferred[None] = Deferred()
    record = door.report

    async def slowly(name: LinkName, evidence: Evidence) -> None:
        await slow
        await record(name, evidence)

    door.report = slowly  # type: ignore[method-assign]
    mail_ = m.Transaction(
        sender=None,
        recipients=(m.Recipient(address=door.token()),),
        content=m.Content(report(Action.RELAYED, "2.0.0")),
    )

    async def story() -> tuple[Any, bool, bool]:
        busy, idle = door.conversation(), door.conversation()
        for one in (busy, idle):
            assert isinstance(await one.open(), s.Opened)
        bringing = Deferred.fromCoroutine(busy.submit(mail_))
        await door.mx.sleep(1.0)
        stopping = Deferred.fromCoroutine(door.door.stop())
        await door.mx.sleep(1.0)
        over = idle.lost.called
        late = await door.conversation().open()
        slow.callback(None)
        result = await bringing
        await stopping
        return result, over, isinstance(late, s.Opened)

    result, over, late = door.run(story())
    assert isinstance(result, m.Submitted)
    assert (result.reply.code, over, late) == (250, True, False)
    assert len(door.heard) == 1


def test_stopping_does_not_wait_for_ever() -> None:
    """A store that does not answer holds the stop for ten seconds, no longer."""
    door = Door()

    async def never(name: LinkName, evidence: Evidence) -> None:
        await Deferred()

    door.report = never  # type: ignore[method-assign]
    mail_ = m.Transaction(
        sender=None,
        recipients=(m.Recipient(address=door.token()),),
        content=m.Content(report(Action.RELAYED, "2.0.0")),
    )

    async def story() -> float:
        busy = door.conversation()
        assert isinstance(await busy.open(), s.Opened)
        Deferred.fromCoroutine(busy.submit(mail_)).addErrback(lambda _: None)
        await door.mx.sleep(1.0)
        began = door.mx.clock.seconds()
        await door.door.stop()
        return door.mx.clock.seconds() - began

    assert 9.0 <= door.run(story()) <= 11.0
