"""Our client against servers as RFC 1861, its older editions and the real programs behave."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snpp_fakes import Lead, opened, page, to

from protocols.snpp import messages as m
from protocols.snpp.codec import Dots, encode_reply
from protocols.snpp.messages import (
    Body,
    InDoubt,
    LocalProtocolError,
    NotSent,
    PagerId,
    Reply,
    SnppText,
    Submitted,
)
from protocols.snpp.session import (
    AWAITING,
    NEXT,
    Concluded,
    Manner,
    Move,
    NotOpened,
    Opened,
    Over,
    Phase,
    Told,
)

OK = b"250 OK\r\n"
GO = b"354 Begin\r\n"
LOGIN = m.Login(login=m.SnppWord("ops"), password=m.SnppSecret("s3cret"))
HOLD = datetime(2026, 11, 22, 6, tzinfo=UTC)


def ready(**how: object) -> Lead:
    """A conversation in which everything but SEND is said."""
    lead = opened(**how).submit(page())
    lead.hear(OK).hear(OK)
    assert lead.session.phase is Phase.READY
    return lead


# The walk of a page


def test_one_line_goes_by_mess_in_three_commands() -> None:
    """The shortest page, byte by byte: no trailing blanks, no empty lines."""
    lead = opened()
    result = lead.page(page(), OK, OK, b"250 Message sent\r\n")
    assert lead.wrote == [b"PAGE 5551212\r\n", b"MESS Disk full\r\n", b"SEND\r\n"]
    assert result == Submitted(
        reply=Reply(250, "Message sent"), step="SEND", committed=True, accepted=(PagerId("5551212"),)
    )
    assert result.taken
    assert not lead.over


def test_several_lines_go_by_data() -> None:
    """DATA keeps the lines; MESS has one."""
    lead = opened()
    assert lead.page(page("one\n.two"), OK, GO, OK, OK).taken
    assert lead.wrote == [b"PAGE 5551212\r\n", b"DATA\r\n", b"one\r\n..two\r\n.\r\n", b"SEND\r\n"]


def test_body_mode_decides() -> None:
    """`data` and `mess` are for servers that know or read only one of them well."""
    assert opened().submit(page("a\nb", body=Body.MESS)).hear(OK).wrote[-1] == b"MESS a b\r\n"
    assert opened().submit(page("a", body=Body.DATA)).hear(OK).wrote[-1] == b"DATA\r\n"


def test_auto_falls_back_to_mess_where_data_is_not_known() -> None:
    """500 (or 502 of RFC 1568) to DATA: the lines go in one."""
    for code in (b"500", b"502"):
        lead = opened()
        assert lead.page(page("a\nb"), OK, code + b" what?\r\n", OK, OK).taken
        assert lead.wrote[1:] == [b"DATA\r\n", b"MESS a b\r\n", b"SEND\r\n"]


def test_options_come_before_their_pager_and_login_first() -> None:
    """Order: LOGI, per recipient LEVE ALER COVE HOLD PAGE, CALL, SUBJ, text, SEND."""
    first = to("1", level=0, alert=True, coverage=SnppText("north"), hold=HOLD, pin=m.SnppSecret("1111"))
    lead = opened(b"220 hi\r\n", OK, login=LOGIN)
    job = page(recipients=first + to("2"), caller_id=SnppText("ward 3"), subject=SnppText("db1"))
    assert lead.page(job, *[OK] * 10).taken
    assert b"".join(lead.wrote) == (
        b"LOGI ops s3cret\r\nLEVE 0\r\nALER 1\r\nCOVE north\r\nHOLD 261122060000 +0000\r\nPAGE 1 1111\r\n"
        b"PAGE 2\r\nCALL ward 3\r\nSUBJ db1\r\nMESS Disk full\r\nSEND\r\n"
    )


def test_two_way_order() -> None:
    """2WAY, NOQUEUE EXPT ACKR RTYP, PAGE, text, MCRE, SEND."""
    options = m.TwoWayOptions(
        no_queue=True,
        expire_hours=4,
        ack_read=True,
        reply=m.ReplyKind.MULTICHOICE,
        responses=(m.McResponse(code="01", text="Yes"), m.McResponse(code="02", text="No")),
    )
    lead = opened()
    result = lead.page(
        page(two_way=options), *[OK] * 5, b"850 online\r\n", *[OK] * 3, b"860 17 42 Delivered\r\n"
    )
    assert b"".join(lead.wrote) == (
        b"2WAY\r\nNOQUEUE\r\nEXPT 4\r\nACKR 1\r\nRTYP MULTICHOICE\r\nPAGE 5551212\r\nMESS Disk full\r\n"
        b"MCRE 01 Yes\r\nMCRE 02 No\r\nSEND\r\n"
    )
    assert result.taken
    assert (result.reply.tag, result.reply.passcode) == ("17", "42")


def test_a_page_without_text_is_tone_only() -> None:
    """No MESS and no DATA."""
    lead = opened()
    assert lead.page(page(""), OK, OK).taken
    assert lead.wrote == [b"PAGE 5551212\r\n", b"SEND\r\n"]


def test_held_pages_to_hfaxd_have_no_offset() -> None:
    """It misreads offsets; GMT without one is right for it."""
    lead = opened(manner=Manner(hold_offset=False, dots=Dots.AVOID))
    assert lead.page(page(".a\nb", recipients=to("1", hold=HOLD)), OK, OK, GO, OK, OK).taken
    assert lead.wrote[0] == b"HOLD 261122060000\r\n"
    assert lead.wrote[3] == b" .a\r\nb\r\n.\r\n"


def test_a_second_page_needs_no_reset_after_a_good_one() -> None:
    """SEND cleared the transaction; the login stays."""
    lead = opened(b"220 hi\r\n", OK, login=LOGIN)
    assert lead.page(page(), OK, OK, OK).taken
    assert lead.page(page("two", "7"), OK, OK, OK).taken
    assert lead.wrote[4:] == [b"PAGE 7\r\n", b"MESS two\r\n", b"SEND\r\n"]


# The point of no return


@pytest.mark.parametrize("replies", [(), (OK,), (OK, GO)])
def test_loss_before_send_is_not_sent(replies: tuple[bytes, ...]) -> None:
    """Nothing entered is a page until SEND."""
    lead = opened().submit(page("a\nb"))
    for reply in replies:
        lead.hear(reply)
    assert isinstance(lead.lose().result, NotSent)


def test_loss_with_all_entered_but_send_not_written_is_not_sent() -> None:
    """The last moment at which nothing has been sent."""
    assert isinstance(ready().lose().result, NotSent)


def test_loss_after_send_is_in_doubt() -> None:
    """Silence after SEND may be a page that went out."""
    assert isinstance(ready().commit().lose().result, InDoubt)


def test_half_an_answer_to_send_is_in_doubt() -> None:
    """`25` and then nothing says nothing."""
    assert isinstance(ready().commit().hear(b"25").lose().result, InDoubt)


@pytest.mark.parametrize(
    "line", [b"OK sent\r\n", b"HTTP/1.0 200 OK\r\n", b"\r\n", b"2500 x\r\n", b"\x00" * 5000]
)
def test_garbage_after_send_is_in_doubt_and_before_it_not_sent(line: bytes) -> None:
    """A line that is no reply is never success."""
    assert isinstance(ready().commit().hear(line).result, InDoubt)
    assert isinstance(opened().submit(page()).hear(line).result, NotSent)


@pytest.mark.parametrize(
    "reply",
    [b"214 help\r\n250 OK\r\n", b"218 x\r\n", b"220 x\r\n", b"221 bye\r\n", b"354 go\r\n", b"556 x\r\n"],
)
def test_an_answer_that_cannot_be_sends_is_in_doubt(reply: bytes) -> None:
    """A greeting, a goodbye, help or 354 after SEND say nothing about the page."""
    lead = ready().commit().hear(reply)
    assert isinstance(lead.result, InDoubt)
    assert lead.over


def test_a_doubled_reply_is_never_taken_for_sends_answer() -> None:
    """MESS answered twice in one packet: not sent, and the conversation is over."""
    lead = opened().submit(page()).hear(OK).hear(OK + OK)
    assert isinstance(lead.result, NotSent)
    assert lead.over


def test_a_late_reply_between_the_last_entry_and_send_is_never_taken_for_sends_answer() -> None:
    """What arrives before SEND is written cannot answer it."""
    for late in (OK, b"25", b"250 OK\r\n250"):
        lead = ready().hear(late)
        assert isinstance(lead.result, NotSent)
        with pytest.raises(LocalProtocolError):
            lead.session.commit()


def test_the_beginning_of_a_second_reply_counts_as_one() -> None:
    """`250 OK` and already some more, before we have said anything new."""
    assert isinstance(opened().submit(page()).hear(OK + b"2").result, NotSent)


def test_two_answers_to_send_at_once_are_in_doubt() -> None:
    """One of them belongs to something else, and which nobody knows."""
    assert isinstance(ready().commit().hear(OK + b"550 no\r\n").result, InDoubt)


def test_a_goodbye_right_behind_sends_answer_does_not_spoil_it() -> None:
    """The answer counts, the conversation is over."""
    for bye in (b"421 Timeout\r\n", b"221 down\r\n"):
        lead = ready().commit().hear(OK + bye)
        assert lead.result.taken
        assert lead.over


def test_a_doubled_reply_to_data_is_found_by_its_code() -> None:
    """After DATA only 354 goes on."""
    lead = opened().submit(page("a\nb")).hear(OK).hear(OK)
    assert isinstance(lead.result, NotSent)


def test_an_unasked_reply_while_idle_ends_the_conversation() -> None:
    """The next page would be out of step."""
    lead = opened()
    assert lead.page(page(), OK, OK, OK).taken
    assert lead.hear(OK).over
    with pytest.raises(LocalProtocolError):
        lead.session.submit(page())


@settings(max_examples=100)
@given(
    st.lists(
        st.sampled_from(
            [
                OK,
                GO,
                b"550 no\r\n",
                b"500 ?\r\n",
                b"421 x\r\n",
                b"850 x\r\n",
                b"214 h\r\n",
                b"junk\r\n",
                b"2",
                b"552 f\r\n",
            ]
        ),
        max_size=12,
    )
)
def test_no_sequence_of_replies_makes_a_page_taken_that_was_not_answered(replies: list[bytes]) -> None:
    """Taken means: SEND was written, and the very next thing heard was a whole good reply."""
    lead = opened().submit(page("a\nb"))
    last = b""
    for reply in replies:
        if lead.session.phase is Phase.READY:
            lead.commit()
        last = reply
        before = len([e for e in lead.events if isinstance(e, Concluded)])
        lead.hear(reply)
        done = [e for e in lead.events if isinstance(e, Concluded)]
        if len(done) > before:
            break
    else:
        lead.lose()
    if isinstance(lead.result, Submitted) and lead.result.taken:
        assert lead.sent
        assert last in (OK, b"850 x\r\n")
    if not lead.sent:
        assert not isinstance(lead.result, InDoubt)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 400), max_size=6))
def test_cutting_the_servers_stream_anywhere_gives_the_same_dialogue(cuts: list[int]) -> None:
    """Replies in pieces are the same replies."""
    replies = [b"250 Pager ID accepted\r\n", b"354-more\r\n354 Begin\r\n", b"250\r\n", b"250 Message sent\n"]
    lead = opened().submit(page("a\nb"))
    for reply in replies:
        at = sorted({min(cut, len(reply)) for cut in cuts})
        for i, j in zip([0, *at], [*at, len(reply)], strict=True):
            lead.hear(reply[i:j])
        if lead.session.phase is Phase.READY:
            lead.commit()
    assert lead.result.taken


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=50), max_size=12))
def test_nonsense_from_a_server_never_crashes_a_conversation(chunks: list[bytes]) -> None:
    """Neither before the greeting nor in a page nor after SEND."""
    for lead in (Lead(), opened(), opened().submit(page()), ready(), ready().commit()):
        for chunk in chunks:
            lead.hear(chunk)
        lead.lose()
        assert lead.session.phase is Phase.CLOSED


@settings(max_examples=80)
@given(st.text(min_size=1), st.text(), st.text(), st.sampled_from(Body), st.sampled_from(Dots))
def test_the_number_of_commands_on_the_wire_does_not_depend_on_what_is_in_them(
    text: str, subject: str, caller: str, body: Body, dots: Dots
) -> None:
    """No text, subject or caller can add or hide a command."""
    from protocols.snpp.codec import lines_of, text_of

    lines = (SnppText("x"), *lines_of(text))
    job = m.Transaction(
        recipients=to("5551212"),
        text=lines,
        subject=SnppText("s" + text_of(subject[:300])),
        caller_id=SnppText("c" + text_of(caller[:300])),
        body=body,
    )
    lead = opened(manner=Manner(dots=dots))
    by_data = body is Body.DATA or (body is Body.AUTO and len(lines) > 1)
    assert lead.page(job, OK, OK, OK, *((GO, OK) if by_data else (OK,)), OK).taken
    assert [line[:4] for line in lead.wrote if line[:4] in (b"PAGE", b"CALL", b"SUBJ", b"SEND")] == [
        b"PAGE",
        b"CALL",
        b"SUBJ",
        b"SEND",
    ]
    wire = b"".join(lead.wrote)
    assert wire.count(b"\n") == wire.count(b"\r\n") == (5 + len(lines) + 1 if by_data else 5)


# Refusals


def test_550_to_the_pager_is_a_refusal_of_that_pager() -> None:
    """Nothing is sent, and the reply is the carrier's."""
    result = opened().page(page(), b"550 Unknown pager\r\n")
    assert result == Submitted(
        reply=Reply(550, "Unknown pager"),
        step="PAGE",
        committed=False,
        refusals=(m.Refusal(pager=PagerId("5551212"), reply=Reply(550, "Unknown pager")),),
    )
    assert not result.taken


def test_one_refused_pager_does_not_keep_the_page_from_the_others() -> None:
    """The result names who was accepted and who was not."""
    result = opened().page(page("x", "1", "2", "3"), OK, b"550 who\r\n", OK, OK, OK)
    assert result.taken
    assert result.accepted == ("1", "3")
    assert [refusal.pager for refusal in result.refusals] == ["2"]


def test_552_sends_what_is_entered_and_leaves_the_rest_over() -> None:
    """The rest goes into another transaction."""
    lead = opened()
    recipients = to("1") + to("2", level=3) + to("3", level=4)
    result = lead.page(page(recipients=recipients), OK, OK, b"552 full\r\n", OK, OK)
    assert result.taken
    assert result.accepted == ("1",)
    assert result.left_over == recipients[1:]
    assert b"LEVE 4\r\n" not in lead.wrote


def test_552_for_the_first_pager_is_a_refusal() -> None:
    """There is nothing to send."""
    result = opened().page(page("x", "1", "2"), b"552 full\r\n")
    assert (result.committed, result.reply.code, len(result.left_over)) == (False, 552, 2)


def test_503_for_a_second_pager_means_one_at_a_time() -> None:
    """Level 1 servers take one pager; the others are left over."""
    result = opened().page(page("x", "1", "2"), OK, b"503 Already entered\r\n", OK, OK)
    assert result.taken
    assert [one.pager for one in result.left_over] == ["2"]


@pytest.mark.parametrize("reply", [b"550 too long\r\n", b"554 broken\r\n", b"503 already\r\n"])
def test_a_refused_text_ends_the_page_before_send(reply: bytes) -> None:
    """By MESS the conversation goes on after a RESEt."""
    lead = opened()
    result = lead.page(page(), OK, reply)
    assert (result.step, result.committed) == ("MESS", False)
    assert not lead.over


def test_a_text_refused_after_the_dot_ends_the_conversation() -> None:
    """hfaxd reads the rest of a too long text as commands; what follows cannot be trusted."""
    lead = opened()
    result = lead.page(page("a\nb"), OK, GO, b"550 too long\r\n500 b: not known\r\n")
    assert isinstance(result, NotSent)
    lead = opened()
    result = lead.page(page("a\nb"), OK, GO, b"550 too long\r\n")
    assert (result.step, result.reply.code, lead.over) == ("DATA", 550, True)


@pytest.mark.parametrize(
    "reply",
    [b"550 no\r\n", b"554 broken\r\n", b"750 off\r\n", b"503 missing\r\n", b"599 x\r\n", b"780 x\r\n"],
)
def test_a_refused_send_is_an_answer_not_a_doubt(reply: bytes) -> None:
    """It was heard, so nothing is open."""
    result = opened().page(page(), OK, OK, reply)
    assert (result.step, result.committed, result.taken) == ("SEND", True, False)


def test_reset_and_login_come_before_the_page_after_a_failed_one() -> None:
    """RESEt may log out, as the RFC says, and hfaxd answers it with 220."""
    lead = opened(b"220 hi\r\n", OK, login=LOGIN)
    lead.page(page(), b"550 who\r\n")
    assert lead.page(page("two", "7"), b"220 hi again\r\n", OK, OK, OK, OK).taken
    assert lead.wrote[2:] == [
        b"RESE\r\n",
        b"LOGI ops s3cret\r\n",
        b"PAGE 7\r\n",
        b"MESS two\r\n",
        b"SEND\r\n",
    ]


def test_a_reset_that_fails_ends_the_conversation() -> None:
    """Something of the last page might still be entered."""
    lead = opened()
    lead.page(page(), b"550 who\r\n")
    assert isinstance(lead.page(page("two"), b"500 what\r\n"), NotSent)
    assert lead.over


def test_a_login_refused_after_reset_is_about_the_login() -> None:
    """Step LOGI tells it."""
    lead = opened(b"220 hi\r\n", OK, login=LOGIN)
    lead.page(page(), b"550 who\r\n")
    result = lead.page(page("two"), OK, b"550 no\r\n")
    assert (result.step, result.committed, lead.over) == ("LOGI", False, True)


# 4xx


@pytest.mark.parametrize("entered", range(3))
def test_after_4xx_nothing_more_is_said(entered: int) -> None:
    """The server closes; the page was not sent, and the reply says why."""
    lead = opened().submit(page())
    for _ in range(entered):
        lead.hear(OK)
    wrote = list(lead.wrote)
    lead.hear(b"421 Server down\r\n" + OK)
    assert (lead.result.reply.code, lead.result.committed) == (421, False)
    assert lead.wrote == wrote
    assert lead.over
    assert lead.hear(OK).session.phase is Phase.CLOSED


def test_421_as_the_answer_to_send_is_a_no() -> None:
    """Of a transaction answered with 4xx nothing was sent."""
    result = ready().commit().hear(b"421 too many errors\r\n").result
    assert (result.reply.code, result.committed, result.taken) == (421, True, False)


def test_421_unasked_while_idle_is_the_end_of_the_conversation() -> None:
    """An idle limit, as a rule."""
    lead = opened()
    lead.page(page(), OK, OK, OK)
    assert lead.hear(b"421 Timeout, Goodbye\r\n").over


# Optional commands


def test_optional_commands_answered_500_are_left_out_and_named() -> None:
    """Net::SNPP::Server knows neither LEVE nor CALL."""
    lead = opened()
    job = page(recipients=to("1", level=0), caller_id=SnppText("ward"))
    result = lead.page(job, b"500 no\r\n", OK, b"500 no\r\n", OK, OK)
    assert result.taken
    assert [skipped.verb for skipped in result.skipped] == ["LEVE", "CALL"]


def test_a_required_command_that_is_refused_stops_the_page() -> None:
    """HOLD is required by itself: sent at once would be wrong."""
    result = opened().page(page(recipients=to("1", hold=HOLD)), b"550 past\r\n")
    assert (result.step, result.committed, result.reply.code) == ("HOLD", False, 550)
    job = page(recipients=to("1", level=0), required=frozenset({"LEVE"}))
    assert opened().page(job, b"500 no\r\n").step == "LEVE"


def test_without_2way_the_page_goes_one_way() -> None:
    """500 to 2WAY drops all that needs it, unless it is required."""
    options = m.TwoWayOptions(ack_read=True, responses=(m.McResponse(code="01", text="Yes"),))
    lead = opened()
    assert lead.page(page(two_way=options), b"500 no\r\n", OK, OK, OK).taken
    assert lead.wrote == [b"2WAY\r\n", b"PAGE 5551212\r\n", b"MESS Disk full\r\n", b"SEND\r\n"]
    assert opened().page(page(two_way=options, required=frozenset({"2WAY"})), b"500 no\r\n").step == "2WAY"


# Opening


def test_a_greeting_of_several_lines() -> None:
    """With hyphens or without."""
    for greeting in (
        b"220-a\r\n220-b\r\n220 c\r\n",
        b"220 a\r\n220 b\r\n",
        b"220 a\r\n220 b\r\n250 READY\r\n",
    ):
        lead = opened(greeting)
        assert isinstance(lead.events[-1], Opened)
        assert lead.page(page(), OK, OK, OK).taken


def test_a_greeting_in_pieces_waits_for_its_end() -> None:
    """A line that has begun belongs to it."""
    lead = Lead().hear(b"220 a\r\n25")
    assert lead.session.phase is Phase.GREETING
    assert lead.hear(b"0 READY\r\n").session.phase is Phase.IDLE


@pytest.mark.parametrize(
    "greeting",
    [b"421 busy\r\n", b"420 cannot initialise\r\n", b"550 go away\r\n", b"221 down\r\n", b"354 x\r\n"],
)
def test_a_greeting_that_is_none(greeting: bytes) -> None:
    """The conversation does not open, and the reply is kept."""
    lead = Lead().hear(greeting)
    [refused] = [event for event in lead.events if isinstance(event, NotOpened)]
    assert (refused.step, refused.reply.code) == ("220", int(greeting[:3]))
    assert lead.over


def test_another_protocols_greeting_is_not_taken() -> None:
    """A web server, an SSH server."""
    for greeting in (b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 400 Bad\r\n", b"\x15\x03\x01\x00\x02\n"):
        [refused, _] = Lead().hear(greeting).events
        assert isinstance(refused, NotOpened)


@pytest.mark.parametrize(
    "reply", [b"550 bad\r\n", b"421 illegal access\r\n", b"500 not known\r\n", b"530 x\r\n"]
)
def test_a_refused_login_does_not_open(reply: bytes) -> None:
    """Step LOGI, whatever the code."""
    lead = Lead(login=LOGIN).hear(b"220 hi\r\n").hear(reply)
    [refused] = [event for event in lead.events if isinstance(event, NotOpened)]
    assert (refused.step, refused.reply.code) == ("LOGI", int(reply[:3]))
    assert lead.over


def test_loss_before_it_is_open() -> None:
    """Nothing but that is told."""
    for lead in (Lead(), Lead(login=LOGIN).hear(b"220 hi\r\n")):
        lead.lose()
        assert [type(event) for event in lead.events][-2:] == [NotOpened, Over]


# Questions and goodbye


def test_questions_and_their_answers() -> None:
    """HELP, PING, MSTA, KTAG between pages."""
    lead = opened()
    assert lead.session.ask(m.Help()) == b"HELP\r\n"
    lead.hear(b"214 a\r\n").hear(b"250 end\r\n")
    assert lead.events[-1] == Told(reply=Reply(250, "end", ("a",), help=True))
    assert lead.session.ask(m.MStatus(tag="1", passcode="2")) == b"MSTA 1 2\r\n"
    lead.hear(b"500 Command Not Implemented, Try Again\r\n")
    assert lead.events[-1].reply.code == 500
    assert lead.session.ask(m.Ping(pager=PagerId("sam"))) == b"PING sam\r\n"
    lead.hear(b"821 Valid pager ID, no location information available.\r\n")
    assert lead.session.ask(m.KillTag(tag="1", passcode="2")) == b"KTAG 1 2\r\n"
    lead.lose()
    assert lead.events[-2] == Told(reply=None)


def test_quit_is_answered_by_anything_or_a_close() -> None:
    """221, or the connection just closes."""
    for answer in (b"221 OK, Goodbye\r\n", b"500 ?\r\n"):
        lead = opened()
        assert lead.session.quit() == b"QUIT\r\n"
        assert lead.hear(answer).over
    lead = opened()
    lead.session.quit()
    assert lead.lose().over


def test_only_what_the_table_allows_may_be_said() -> None:
    """The rest is the caller's mistake, and leaves no trace."""
    lead = Lead()
    for attempt in (
        lead.session.commit,
        lead.session.quit,
        lambda: lead.session.submit(page()),
        lambda: lead.session.ask(m.Help()),
    ):
        with pytest.raises(LocalProtocolError):
            attempt()
    assert lead.session.phase is Phase.GREETING
    busy = opened().submit(page())
    with pytest.raises(LocalProtocolError):
        busy.session.submit(page())
    assert busy.hear(OK).wrote[-1] == b"MESS Disk full\r\n"


def test_every_phase_can_be_reached_and_left() -> None:
    """The table has no island."""
    assert {phase for _, phase in NEXT.items()} | {Phase.GREETING} == set(Phase)
    assert {phase for phase, _ in NEXT} == set(Phase)
    assert {move for _, move in NEXT} == set(Move)
    assert AWAITING.isdisjoint({Phase.IDLE, Phase.READY, Phase.CLOSED})


# Older editions (RFC 1568, RFC 1645)


def test_rfc1568_greeting_followed_by_250_ready() -> None:
    """In one packet, in the next one, or crossing our first command: it answers nothing."""
    assert opened(b"220 SNPP\r\n250 READY\r\n").page(page(), OK, OK, OK).taken
    assert opened(b"220 SNPP\r\n").hear(b"250 READY\r\n").page(page(), OK, OK, OK).taken
    assert opened(b"220 SNPP\r\n").page(page(), b"250 READY\r\n", OK, OK, OK).taken
    lead = opened(b"220 SNPP\r\n").hear(b"250 Rea")
    assert lead.page(page(), b"dy\r\n", OK, OK, OK).taken
    assert lead.wrote == [b"PAGE 5551212\r\n", b"MESS Disk full\r\n", b"SEND\r\n"]


def test_rfc1568_only_one_line_after_the_greeting_is_forgiven() -> None:
    """A second one is out of step."""
    assert opened().hear(b"250 READY\r\n").hear(b"250 READY\r\n").over


def test_rfc1568_server_that_closes_at_an_unknown_command() -> None:
    """`421` to an option: not sent, and the reply says so."""
    result = opened().page(page(recipients=to("1", level=0)), b"421 Unknown command\r\n")
    assert (result.step, result.committed, result.reply.code) == ("LEVE", False, 421)


def test_rfc1568_502_to_an_unknown_command_is_like_500() -> None:
    """The option is left out."""
    assert opened().page(page(recipients=to("1", level=0)), b"502 what\r\n", OK, OK, OK).taken


def test_rfc1861_multiple_choice_send_answered_860_goes_by_the_code() -> None:
    """The RFC's example has 860 where its table has 861."""
    options = m.TwoWayOptions(responses=(m.McResponse(code="1E2C", text="Yes"),))
    for code in (b"860", b"861", b"880", b"960"):
        result = opened().page(
            page(two_way=options), OK, b"850 on\r\n", OK, OK, code + b" 12 34 delivered\r\n"
        )
        assert result.taken
        assert result.reply.tag == "12"


# Real servers


def test_net_snpp_server_dialogue() -> None:
    """LOGI unknown, two-way PAGE answered 250, SEND always 960, MSTA unknown."""
    lead = opened(b"220 SNPP Gateway Ready\r\n")
    options = m.TwoWayOptions(responses=(m.McResponse(code="01", text="yes please"),))
    result = lead.page(
        page(two_way=options),
        b"250 OK, Beginning 2-Way Transaction\r\n",
        b"250 Pager ID Accepted\r\n",
        b"250 Message OK\r\n",
        b"250 Response Added to Transaction\r\n",
        b"960 17952825640 679086177 OK, Message QUEUED for Delivery\r\n",
    )
    assert (result.reply.tag, result.reply.passcode, result.reply.queued) == (
        "17952825640",
        "679086177",
        True,
    )


def test_net_snpp_server_help_is_only_the_last_line_the_second_time() -> None:
    """Its help text is read once per process."""
    lead = opened()
    lead.session.ask(m.Help())
    assert lead.hear(b"250 End of Help Information\r\n").events[-1].reply == Reply(
        250, "End of Help Information"
    )


def test_net_snpp_server_closes_at_once_after_quit() -> None:
    """Answer and close together are no failure."""
    lead = opened()
    lead.session.quit()
    assert lead.hear(b"221 OK, Goodbye\r\n").lose().over


def test_hfaxd_without_login_refuses_with_530() -> None:
    """The client's configuration is at fault."""
    result = opened().page(page(), b"530 Please login with LOGIN.\r\n")
    assert (result.step, result.reply.kind) == ("PAGE", m.Kind.OURS)


def test_hfaxd_dialogue() -> None:
    """As recorded, with its wordy replies."""
    lead = opened(
        b"220 host SNPP server (HylaFAX (tm) Version 6.0.7) ready.\r\n",
        b"250 User bob logged in.\r\n",
        login=m.Login(login=m.SnppWord("bob"), password=m.SnppSecret("secret")),
        manner=Manner(dots=Dots.AVOID, hold_offset=False),
    )
    result = lead.page(
        page("a\n.b", recipients=to("5551234", level=3, hold=HOLD)),
        b"250 OK, service level 3 accepted.\r\n",
        b"250 Message will be processed at 12611211853.\r\n",
        b"250 Pager ID accepted; provider: 18005551000 pin: 5551234 jobid: 14.\r\n",
        b"354 Begin message input; end with <CRLF>'.'<CRLF>.\r\n",
        b"250 Message text OK.\r\n",
        b"250 Message successfully queued.\r\n",
    )
    assert result.taken
    assert result.reply.tag is None
    assert not any(line.endswith(b" \r\n") for line in lead.wrote)


def test_sendpage_daemon_says_goodbye_unasked() -> None:
    """On shutdown: `221 administratively down`. Before SEND nothing was sent, after it there is doubt."""
    bye = b"221 administratively down\r\n"
    assert isinstance(opened().submit(page()).hear(bye).result, NotSent)
    assert isinstance(ready().hear(bye).result, NotSent)
    assert isinstance(ready().commit().hear(bye).result, InDoubt)


def test_sendpage_daemon_dialogue() -> None:
    """`250 1 Queued Successfully` has no tag in it, and 554 is temporary."""
    lead = opened(b"220 host SNPP Gateway V3 Ready Sat Nov 21 12:00:00 2026\r\n")
    job = page("a\nb", caller_id=SnppText("me@example.org"))
    result = lead.page(job, OK, OK, GO, OK, b"250 1 Queued Successfully (caller: 'me@example.org')\r\n")
    assert (result.taken, result.reply.tag) == (True, None)
    assert lead.page(job, OK, OK, GO, OK, b"554 Queue failure\r\n").reply.temporary


def test_lbbs_wants_noqueue_in_full() -> None:
    """And everything else in four letters."""
    lead = opened().submit(page(two_way=m.TwoWayOptions(no_queue=True))).hear(OK)
    assert lead.wrote[-1] == b"NOQUEUE\r\n"


def test_lbbs_answers_a_one_way_send_with_tag_and_pass_code() -> None:
    """250 with two numbers: they are kept."""
    result = opened().page(page(), OK, OK, b"250 1795283 482913 Message sent\r\n")
    assert (result.taken, result.reply.tag, result.reply.passcode) == (True, "1795283", "482913")


def test_lbbs_refuses_a_duplicate_pager_with_503() -> None:
    """The first entry stands; what came after is left over."""
    result = opened().page(page("x", "1", "1"), OK, b"503 Already entered\r\n", OK, OK)
    assert result.accepted == ("1",)


def test_lbbs_drops_idle_connections() -> None:
    """After 30 s without a word: the conversation is over, no page is touched."""
    lead = opened().lose()
    assert lead.over
    assert not any(isinstance(event, Concluded) for event in lead.events)


@settings(max_examples=40)
@given(st.integers(200, 999).filter(lambda code: code // 100 != 6 and code != 214))
def test_every_code_after_send_is_read_somehow(code: int) -> None:
    """Taken, refused or in doubt; never left open."""
    lead = ready().commit().hear(encode_reply(Reply(code, "x")))
    result = lead.result
    good = code // 100 in (8, 9) or 230 <= code <= 299
    assert (isinstance(result, Submitted) and result.taken) == good
