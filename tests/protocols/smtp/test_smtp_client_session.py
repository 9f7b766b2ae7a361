"""The client's side: what is said when, what becomes of a message, and where the point of no return is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_fakes import ANN, BLOCK, BOB, CAT, CONTENT, FULL_OFFER, GO, OK, SENDER, US, Lead, letter, opened, to

from protocols.smtp import codec
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.messages import InDoubt, NotSent, Reply, Submitted

LOGIN = m.Login(user=m.Secret("pager"), password=m.Secret("s3cret"))


# Opening


def test_a_server_that_does_not_know_ehlo_hears_helo() -> None:
    """And then no extensions are used."""
    lead = Lead().hear(b"220 old\r\n").hear(b"502 what\r\n").hear(b"250 old\r\n")
    assert lead.wrote == [b"EHLO gw.example.net\r\n", b"HELO gw.example.net\r\n"]
    assert lead.session.phase is s.Phase.IDLE
    assert lead.session.offer == codec.Offer()


@pytest.mark.parametrize(
    ("heard", "step"),
    [
        ([b"554 you are blocked\r\n"], "220"),
        ([b"421 busy\r\n"], "220"),
        ([b"HTTP/1.1 400 Bad\r\n"], "220"),
        ([b"220 mx\r\n", b"550 go away\r\n"], "EHLO"),
        ([b"220 mx\r\n", b"500 what\r\n", b"500 what\r\n"], "EHLO"),
    ],
)
def test_what_keeps_a_conversation_from_opening_is_named(heard: list[bytes], step: str) -> None:
    """With the step, and the reply where there was one."""
    lead = Lead()
    for data in heard:
        lead.hear(data)
    not_opened = lead.events[-2]
    assert isinstance(not_opened, s.NotOpened)
    assert not_opened.step == step
    assert (not_opened.reply is None) == heard[-1].startswith(b"HTTP")
    assert lead.over


def test_starttls_forgets_what_was_learnt_before() -> None:
    """EHLO is said again, and only its second answer counts."""
    lead = (
        Lead(starttls=s.StartTls.REQUIRED).hear(b"220 mx\r\n").hear(b"250-mx\r\n250-DSN\r\n250 STARTTLS\r\n")
    )
    assert lead.wrote[-1] == b"STARTTLS\r\n"
    lead.hear(b"220 go\r\n")
    assert lead.secured == 1
    assert lead.wrote[-1] == b"EHLO gw.example.net\r\n"
    lead.hear(b"250-mx\r\n250 PIPELINING\r\n")
    assert lead.events[-1].offer.extensions == {"PIPELINING": ()}
    assert lead.events[-1].secure


@pytest.mark.parametrize("rest", [b"250-mx\r\n250 AUTH PLAIN\r\n", b"2", b"\n", b"220 again\r\n"])
def test_plaintext_behind_the_220_of_starttls_ends_the_conversation(rest: bytes) -> None:
    """What an attacker put there must not be taken for an answer given inside TLS."""
    lead = (
        Lead(starttls=s.StartTls.OFFERED, login=LOGIN).hear(b"220 mx\r\n").hear(b"250-mx\r\n250 STARTTLS\r\n")
    )
    said = len(lead.wrote)
    lead.hear(b"220 go\r\n" + rest)
    assert lead.over
    assert lead.secured == 0
    assert len(lead.wrote) == said


def test_required_starttls_that_is_not_offered_opens_nothing() -> None:
    """Neither does one that is refused."""
    lead = Lead(starttls=s.StartTls.REQUIRED).hear(b"220 mx\r\n").hear(b"250 mx\r\n")
    assert lead.events[-2].step == "STARTTLS"
    lead = (
        Lead(starttls=s.StartTls.REQUIRED)
        .hear(b"220 mx\r\n")
        .hear(b"250-mx\r\n250 STARTTLS\r\n")
        .hear(b"454 no\r\n")
    )
    assert lead.events[-2].reply == Reply(454, ("no",))


def test_starttls_if_offered_goes_on_without() -> None:
    """For servers that have none."""
    assert opened(starttls=s.StartTls.OFFERED).events[-1].secure is False


def test_auth_plain_and_login() -> None:
    """PLAIN where it is offered, LOGIN with its two questions elsewhere."""
    plain = Lead(login=LOGIN, secure=True).hear(b"220 mx\r\n").hear(b"250-mx\r\n250 AUTH LOGIN PLAIN\r\n")
    assert plain.wrote[-1] == b"AUTH PLAIN AHBhZ2VyAHMzY3JldA==\r\n"
    assert isinstance(plain.hear(b"235 in\r\n").events[-1], s.Opened)
    login = Lead(login=LOGIN, secure=True).hear(b"220 mx\r\n").hear(b"250-mx\r\n250 AUTH=LOGIN\r\n")
    login.hear(b"334 VXNlcm5hbWU6\r\n").hear(b"334 UGFzc3dvcmQ6\r\n")
    assert login.wrote[-3:] == [b"AUTH LOGIN\r\n", b"cGFnZXI=\r\n", b"czNjcmV0\r\n"]
    assert isinstance(login.hear(b"235 in\r\n").events[-1], s.Opened)


def test_a_login_never_goes_over_a_connection_without_tls() -> None:
    """Unless the manner says so."""
    lead = Lead(login=LOGIN).hear(b"220 mx\r\n").hear(b"250-mx\r\n250 AUTH PLAIN\r\n")
    assert lead.events[-2].step == "AUTH"
    assert b"AUTH" not in b"".join(lead.wrote)
    lead = Lead(login=LOGIN, clear_login=True).hear(b"220 mx\r\n").hear(b"250-mx\r\n250 AUTH PLAIN\r\n")
    assert lead.wrote[-1].startswith(b"AUTH PLAIN")


@pytest.mark.parametrize(
    "reply", [b"535 5.7.8 wrong\r\n", b"454 4.7.0 later\r\n", b"334 \r\n", b"250 OK\r\n"]
)
def test_a_login_that_is_not_taken_opens_nothing(reply: bytes) -> None:
    """Only 235 is yes."""
    lead = (
        Lead(login=LOGIN, secure=True).hear(b"220 mx\r\n").hear(b"250-mx\r\n250 AUTH PLAIN\r\n").hear(reply)
    )
    assert lead.events[-2].step == "AUTH"
    assert lead.events[-2].reply.code == int(reply[:3])
    assert "s3cret" not in repr(lead.events)


# A message


def test_a_message_one_command_at_a_time() -> None:
    """Without PIPELINING; and without parameters nobody offered."""
    lead = opened()
    result = lead.send(
        letter(ANN, BOB, envid=m.EnvelopeId("pg17.1"), ret=m.Ret.HDRS),
        OK,
        OK,
        OK,
        GO,
        b"250 queued as 4ABC\r\n",
    )
    assert lead.wrote == [
        b"MAIL FROM:<pager+17@gw.example.net>\r\n",
        b"RCPT TO:<ann@example.net>\r\n",
        b"RCPT TO:<bob@example.net>\r\n",
        b"DATA\r\n",
        BLOCK,
    ]
    assert result.taken == to(ANN, BOB)
    assert result.step == "."
    assert result.reply.queue_id == "4ABC"


def test_a_message_pipelined_with_a_wish_for_reports() -> None:
    """MAIL and all RCPT go at once, DATA waits for their answers."""
    lead = opened(FULL_OFFER)
    recipients = to(ANN, notify=frozenset({m.Notify.FAILURE, m.Notify.SUCCESS}), original=ANN) + to(
        BOB, notify=frozenset()
    )
    job = letter(recipients=recipients, envid=m.EnvelopeId("pg=17"), ret=m.Ret.HDRS)
    result = lead.send(job, OK + OK, OK, GO, OK)
    assert lead.wrote == [
        b"MAIL FROM:<pager+17@gw.example.net> SIZE=%d RET=HDRS ENVID=pg+3D17\r\n" % len(CONTENT)
        + b"RCPT TO:<ann@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;ann@example.net\r\n"
        + b"RCPT TO:<bob@example.net> NOTIFY=NEVER\r\n",
        b"DATA\r\n",
        BLOCK,
    ]
    assert result.taken == recipients


@pytest.mark.parametrize("offer", [b"250 mx\r\n", FULL_OFFER])
def test_a_recipient_that_is_refused_does_not_stop_the_others(offer: bytes) -> None:
    """Each has an answer of his own."""
    result = opened(offer).send(letter(ANN, BOB, CAT), OK, OK, b"550 5.1.1 who\r\n", OK, GO, OK)
    assert result.taken == to(ANN, CAT)
    assert [(one.reply.code, one.step) for one in result.answers] == [(250, "."), (550, "RCPT"), (250, ".")]
    assert result.answers[1].reply.enhanced == "5.1.1"


@pytest.mark.parametrize("offer", [b"250 mx\r\n", FULL_OFFER])
def test_without_recipients_there_is_no_data(offer: bytes) -> None:
    """And RSET comes before the next message."""
    lead = opened(offer)
    result = lead.send(letter(ANN, BOB), OK, b"450 later\r\n", b"550 no\r\n")
    assert result.taken == ()
    assert [one.reply.code for one in result.answers] == [450, 550]
    assert b"DATA\r\n" not in lead.wrote
    assert lead.send(letter(), OK, OK, OK, GO, OK).taken == to(ANN)
    assert b"RSET\r\n" in lead.wrote


@pytest.mark.parametrize(
    ("offer", "more"), [(b"250 mx\r\n", []), (FULL_OFFER, [b"503 no\r\n", b"503 no\r\n"])]
)
def test_a_sender_that_is_refused_concerns_everybody(offer: bytes, more: list[bytes]) -> None:
    """What a pipelining server says of the recipients afterwards is not their fault."""
    lead = opened(offer)
    result = lead.send(letter(ANN, BOB), b"553 5.7.1 not yours\r\n", *more)
    assert [(one.reply.code, one.step) for one in result.answers] == [(553, "MAIL")] * 2
    assert lead.session.phase is s.Phase.IDLE


def test_data_that_is_refused_and_a_dot_that_is_refused() -> None:
    """Nobody got it; the step says at what."""
    assert opened().send(letter(), OK, OK, b"451 later\r\n").step == "DATA"
    result = opened().send(letter(), OK, OK, GO, b"452 4.3.1 disk\r\n")
    assert (result.step, result.taken, result.reply.temporary) == (".", (), True)


def test_recipients_one_too_many_are_left_over() -> None:
    """452 4.5.3: they may go in a new transaction at once."""
    result = opened().send(letter(ANN, BOB), OK, OK, b"452 4.5.3 enough\r\n", GO, OK)
    assert result.left_over == to(BOB)
    assert opened().send(letter(ANN), OK, b"452 4.5.3 enough\r\n").left_over == ()


def test_lmtp_has_one_answer_for_each_recipient_that_was_accepted() -> None:
    """In their order (RFC 2033 4.2)."""
    lead = Lead(lmtp=True).hear(b"220 mx LMTP\r\n").hear(b"250-mx\r\n250 PIPELINING\r\n")
    assert lead.wrote == [b"LHLO gw.example.net\r\n"]
    result = lead.send(letter(ANN, BOB, CAT), OK, OK, b"550 no\r\n", OK, GO, OK, b"452 4.2.2 full\r\n")
    assert result.taken == to(ANN)
    assert [(one.reply.code, one.step) for one in result.answers] == [(250, "."), (550, "RCPT"), (452, ".")]


def test_lmtp_that_breaks_between_the_answers_is_in_doubt_about_the_rest() -> None:
    """What was said before counts."""
    lead = Lead(lmtp=True).hear(b"220 mx LMTP\r\n").hear(b"250 mx\r\n")
    lead.submit(letter(ANN, BOB)).hear(OK).hear(OK).hear(OK).hear(GO).commit().hear(OK).lose()
    assert isinstance(lead.result, InDoubt)
    assert [one.recipient.address for one in lead.result.answers if one.taken] == [ANN]


@pytest.mark.parametrize(
    ("offer", "job", "lacking"),
    [
        (b"250 mx\r\n", letter(m.Utf8Mailbox("jörg@example.net")), "SMTPUTF8"),
        (b"250 mx\r\n", letter(content=m.Content("Subject: ü\r\n\r\nx\r\n".encode())), "SMTPUTF8"),
        (b"250 mx\r\n", letter(content=m.Content("Subject: x\r\n\r\nü\r\n".encode())), "8BITMIME"),
        (b"250-mx\r\n250 SIZE 40\r\n", letter(content=m.Content(CONTENT * 2)), "SIZE"),
    ],
)
def test_what_the_server_cannot_take_is_not_begun(offer: bytes, job: m.Transaction, lacking: str) -> None:
    """The conversation goes on."""
    lead = opened(offer)
    assert lead.send(job).lacking == lacking
    assert not lead.wrote
    assert lead.send(letter(), OK, OK, GO, OK).taken


def test_eight_bit_and_utf8_are_declared() -> None:
    """Where they are offered."""
    lead = opened(FULL_OFFER)
    lead.submit(
        letter(m.Utf8Mailbox("jörg@example.net"), content=m.Content("Subject: x\r\n\r\nü\r\n".encode()))
    )
    assert b" BODY=8BITMIME SMTPUTF8\r\n" in lead.wrote[0]
    assert "RCPT TO:<jörg@example.net>\r\n".encode() in lead.wrote[0]


# The point of no return

STEPS = [OK, OK, GO]


@pytest.mark.parametrize("heard", range(4))
def test_a_loss_before_the_text_is_not_sent_and_after_it_in_doubt(heard: int) -> None:
    """The line is drawn by `commit`."""
    lead = opened().submit(letter())
    for reply in STEPS[:heard]:
        lead.hear(reply)
    if heard == 3:
        assert isinstance(lead.events[-1], s.ReadyToSend)
        lead.commit()
    assert isinstance(lead.lose().result, InDoubt if heard == 3 else NotSent)


def test_all_entered_and_lost_before_commit_is_not_sent() -> None:
    """354 alone has sent nothing."""
    lead = opened().submit(letter()).hear(OK).hear(OK).hear(GO)
    assert isinstance(lead.lose().result, NotSent)


@pytest.mark.parametrize("heard", range(4))
@pytest.mark.parametrize("offer", [b"250 mx\r\n", FULL_OFFER])
def test_421_at_any_step_is_an_answer(heard: int, offer: bytes) -> None:
    """Nothing was accepted, and nothing more is said."""
    lead = opened(offer)
    result = lead.send(letter(), *STEPS[:heard], b"421 4.3.2 closing\r\n")
    assert isinstance(result, Submitted)
    assert (result.reply.code, result.taken, lead.over) == (421, (), True)
    assert result.step == ["MAIL", "RCPT", "DATA", "."][heard]


@pytest.mark.parametrize(
    "bad", [b"hello\r\n", b"250-a\r\n251 b\r\n", b"190 x\r\n", b"x" * 3000, b"220 mx\r\n", b"334 \r\n"]
)
@pytest.mark.parametrize("heard", range(4))
def test_nonsense_is_never_success(bad: bytes, heard: int) -> None:
    """Before the text nothing was sent, after it there is doubt."""
    lead = opened()
    assert isinstance(lead.send(letter(), *STEPS[:heard], bad), InDoubt if heard == 3 else NotSent)
    assert lead.over


@pytest.mark.parametrize("heard", range(3))
def test_a_doubled_reply_ends_the_conversation(heard: int) -> None:
    """From then on any reply could be another's."""
    lead = opened()
    replies = [*STEPS[:heard], STEPS[heard] * 2]
    assert isinstance(lead.send(letter(), *replies), NotSent)
    assert BLOCK not in lead.wrote


def test_a_goodbye_behind_the_answer_to_the_dot_leaves_the_answer() -> None:
    """But another reply there makes it a doubt."""
    lead = opened()
    assert lead.send(letter(), OK, OK, GO, OK + b"421 timeout\r\n").taken
    assert lead.over
    assert isinstance(opened().send(letter(), OK, OK, GO, OK + b"550 no\r\n"), InDoubt)


def test_quit_and_a_server_that_closes_while_idle() -> None:
    """Both end it without a result."""
    lead = opened()
    assert lead.session.quit() == b"QUIT\r\n"
    assert lead.hear(b"221 bye\r\n").over
    assert opened().hear(b"421 idle\r\n").over
    assert opened().hear(b"250 what\r\n").over


def test_out_of_turn_is_our_own_mistake() -> None:
    """And says so."""
    with pytest.raises(m.LocalProtocolError):
        Lead().session.submit(letter())
    with pytest.raises(m.LocalProtocolError):
        opened().session.commit()


# Properties

LINE_ENDS = st.sampled_from(
    ["\r\n", "\n", "\r", "\r\n.\r\n", "\n.\n", ".", "\r\nRCPT TO:<x@y>\r\n", "\0", "\u2028"]
)
TEXT = st.lists(st.text(max_size=20) | LINE_ENDS, max_size=8).map("".join)


@settings(max_examples=60)
@given(TEXT, TEXT, TEXT, TEXT)
def test_whatever_is_in_it_the_commands_on_the_wire_are_the_same(
    sender: str, rcpt: str, envid: str, text: str
) -> None:
    """Addresses that cannot be refuse to be built; a text is text."""

    def built(kind: type, value: str, otherwise: str) -> object:
        try:
            return kind(value)
        except m.InvalidValue:
            return kind(otherwise)

    try:
        content = m.Content(text.encode(errors="replace"))
    except m.InvalidValue:
        content = m.Content(b"\r\n".join(text.encode(errors="replace").replace(b"\0", b"").split()))
    job = m.Transaction(
        sender=built(m.Utf8Mailbox, sender, SENDER),
        recipients=to(built(m.Utf8Mailbox, rcpt, ANN)),
        content=content,
        envid=built(m.EnvelopeId, envid, "x"),
    )
    lead = opened(FULL_OFFER)
    assert lead.send(job, OK + OK, GO, OK).taken
    lines = b"".join(lead.wrote).split(b"\r\n")
    assert [line.split(b":")[0] for line in lines[:3]] == [b"MAIL FROM", b"RCPT TO", b"DATA"]
    assert lines.index(b".") == len(lines) - 2, "one dot line, and it is the last"
    assert all(b"\n" not in line and b"\r" not in line for line in lines)


WHOLE = (
    b"220-mx\r\n220 hello\r\n"
    + FULL_OFFER
    + OK
    + b"550 5.1.1 no\r\n"
    + OK
    + GO
    + b"250 2.0.0 queued as X\r\n"
)


@settings(max_examples=60)
@given(st.sets(st.integers(1, len(WHOLE) - 1), max_size=12))
def test_replies_cut_anywhere_lead_to_the_same_result(cuts: set[int]) -> None:
    """The server waits for us where it has to."""
    lead, at, waits = (
        Lead(),
        0,
        [WHOLE.index(b"250-mx"), WHOLE.index(OK), WHOLE.index(GO), WHOLE.index(b"250 2.0.0 queued")],
    )
    for stop in sorted({*cuts, *waits, len(WHOLE)}):
        if at == waits[1]:
            lead.submit(letter(ANN, BOB))
        lead.hear(WHOLE[at:stop])
        if lead.session.phase is s.Phase.READY:
            lead.commit()
        at = stop
    assert lead.result.taken == to(BOB)


@settings(max_examples=100)
@given(
    st.lists(
        st.binary(max_size=30) | st.sampled_from([OK, GO, FULL_OFFER, b"220 x\r\n", b"250-", b"421 x\r\n"]),
        max_size=12,
    )
)
def test_any_server_at_all_gets_one_result_and_nothing_raises(heard: list[bytes]) -> None:
    """And taken only after the text was written."""
    lead = Lead(starttls=s.StartTls.OFFERED)
    for data in heard:
        lead.hear(data)
        if lead.session.phase is s.Phase.IDLE and not any(isinstance(e, s.Concluded) for e in lead.events):
            lead.submit(letter())
        if lead.session.phase is s.Phase.READY:
            lead.commit()
    lead.lose()
    results = [event.result for event in lead.events if isinstance(event, s.Concluded)]
    for result in results:
        if isinstance(result, Submitted) and result.taken:
            assert BLOCK in lead.wrote
        assert isinstance(result, NotSent) <= (BLOCK not in lead.wrote)


def test_our_name_can_be_an_address() -> None:
    """For machines without a name."""
    lead = Lead(name=m.Domain("[192.0.2.1]")).hear(b"220 mx\r\n")
    assert lead.wrote == [b"EHLO [192.0.2.1]\r\n"]
    assert US == "gw.example.net"
