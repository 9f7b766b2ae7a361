"""Our server as the clients of the field meet it: commands, states, limits."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snpp_fakes import NOW, Talk, to

from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.codec import status_reply
from protocols.snpp.messages import LocalProtocolError, PagerId, Received, Reply

# One transaction


def test_greeting_is_220() -> None:
    """The server speaks first, in one line."""
    assert Talk(greeting="gw.example SNPP").greeting == b"220 gw.example SNPP\r\n"


def test_level_1_page() -> None:
    """PAGE, MESS, SEND; QUIT closes."""
    talk = Talk()
    assert talk.say(b"PAGE 5551212\r\n") == b"250 Pager ID accepted\r\n"
    assert talk.say(b"MESS  Disk  full \r\n") == b"250 Message OK\r\n"
    assert talk.say(b"SEND\r\n") == b"250 Message sent\r\n"
    assert talk.pages == [Received(recipients=to("5551212"), text="Disk  full")]
    assert talk.say(b"QUIT\r\n") == b"221 Goodbye\r\n"
    assert talk.hung_up


def test_two_recipients_with_different_options() -> None:
    """Options go to the next pager only, then back to default."""
    talk = Talk()
    for line, code in [
        (b"LEVE 0", 250),
        (b"PAGE 5551234 1111", 250),
        (b"HOLD 261122060000 +0000", 250),
        (b"PAGE 5559876", 250),
        (b"SUBJ db1", 250),
        (b"MESS Disk full", 250),
        (b"MESS again", 503),
        (b"SEND", 250),
        (b"SEND", 503),
    ]:
        assert talk.codes(line + b"\r\n") == [code]
    hold = datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert talk.pages == [
        Received(
            recipients=to("5551234", pin=m.SnppSecret("1111"), level=0) + to("5559876", hold=hold),
            text="Disk full",
            subject="db1",
        )
    ]


def test_two_way_transaction_from_login_to_ktag() -> None:
    """2WAY to KTAG, with RTYPe, choices, tag and status."""
    at = datetime(2026, 11, 21, 17, 44, tzinfo=UTC)
    talk = (
        Talk(login_needed=True)
        .will(s.SendAsked, m.tagged_reply(860, "1795283", "482913", "Delivered, awaiting read ack"))
        .will(
            s.StatusAsked,
            status_reply(m.MessageStatus(code=888, sequence=3, at=at, rest="01 Reply received")),
        )
    )
    dialogue = [
        (b"LOGI ops s3cret", b"250 "),
        (b"2WAY", b"250 "),
        (b"NOQUEUE", b"250 "),
        (b"ACKR 1", b"250 "),
        (b"RTYP MULTICHOICE", b"250 "),
        (b"PAGE 5551234", b"850 "),
        (b"DATA", b"354 "),
        (b"Disk full on db1. Restart?", b""),
        (b".", b"250 "),
        (b"MCRE 01 Yes", b"250 "),
        (b"MCRE 02 No", b"250 "),
        (b"SEND", b"860 1795283 482913 Delivered, awaiting read ack"),
        (b"MSTA 1795283 482913", b"888 00003 261121174400+0 01 Reply received"),
        (b"KTAG 1795283 482913", b"250 "),
        (b"MSTA 1795283 482913", b"550 "),
        (b"QUIT", b"221 "),
    ]
    for line, expected in dialogue:
        reply = talk.say(line + b"\r\n")
        assert reply.startswith(expected)
        assert reply.count(b"\n") == (1 if expected else 0)
    [page] = talk.pages
    assert page.login == "ops"
    assert page.two_way == m.TwoWayOptions(
        no_queue=True,
        ack_read=True,
        reply=m.ReplyKind.MULTICHOICE,
        responses=(m.McResponse(code="01", text="Yes"), m.McResponse(code="02", text="No")),
    )


def test_send_success_clears_everything_but_the_login() -> None:
    """The next page starts empty, one-way."""
    talk = Talk(login_needed=True)
    talk.say(b"LOGI ops\r\n2WAY\r\nSUBJ s\r\nPAGE 1\r\nMESS a\r\nSEND\r\n")
    assert talk.codes(b"PAGE 1\r\nPAGE 2\r\nMESS b\r\nSEND\r\n") == [250, 250, 250, 250]
    assert talk.pages[1] == Received(recipients=to("1", "2"), text="b", login="ops")


@pytest.mark.parametrize("code", [550, 554])
def test_a_refused_send_clears_the_transaction(code: int) -> None:
    """Real servers differ; ours starts anew, so that nothing of one page gets into the next."""
    talk = Talk().will(s.SendAsked, Reply(code, "no"))
    assert talk.codes(b"PAGE 1\r\nMESS a\r\nSEND\r\nSEND\r\n") == [250, 250, code, 503]


def test_send_503_changes_nothing() -> None:
    """What is missing can be added."""
    talk = Talk()
    assert talk.codes(b"PAGE 1\r\nSEND\r\nMESS a\r\nSEND\r\n") == [250, 503, 250, 250]


def test_reset_is_a_fresh_connection_login_included() -> None:
    """RFC 1861 4.3.3, read literally."""
    talk = Talk(login_needed=True)
    assert talk.codes(b"LOGI ops\r\nPAGE 1\r\nMESS a\r\nRESE\r\nSEND\r\n") == [250, 250, 250, 250, 530]
    assert talk.codes(b"LOGI ops\r\nSEND\r\n") == [250, 503]


def test_options_of_a_refused_pager_are_not_inherited() -> None:
    """By the next recipient, whether the ID was refused by its form or by the application."""
    talk = Talk().will(s.PagerAsked, Reply(550, "Unknown"))
    talk.say(b"LEVE 0\r\nPAGE 404\r\nLEVE 1\r\nPAGE ;\r\nPAGE 2\r\nMESS a\r\nSEND\r\n")
    assert talk.pages[0].recipients == to("2")


def test_options_after_the_pagers_go_to_those_that_have_none_of_that_kind() -> None:
    """Net::SNPP's send() enters PAGE, MESS, HOLD, COVE, ALER, LEVE, SEND in that order."""
    talk = Talk()
    talk.say(b"LEVE 0\r\nPAGE 1\r\nPAGE 2\r\nMESS a\r\nALER 1\r\nLEVE 5\r\nCOVE north\r\nSEND\r\n")
    late = {"alert": True, "coverage": m.SnppText("north")}
    assert talk.pages[0].recipients == to("1", level=0, **late) + to("2", level=5, **late)


def test_a_tone_only_page_where_it_is_allowed() -> None:
    """`sendpage -n` sends no text at all; by the RFC that is 503."""
    assert Talk().codes(b"PAGE 1\r\nSEND\r\n") == [250, 503]
    talk = Talk(tone_only=True)
    assert talk.codes(b"PAGE 1\r\nSEND\r\n") == [250, 250]
    assert talk.pages[0].text is None


def test_a_pager_may_be_entered_once() -> None:
    """Twice in one transaction would be two pages to one unit."""
    assert Talk().codes(b"PAGE 1\r\nPAGE 1\r\n") == [250, 503]


def test_recipients_limit_is_552_and_the_earlier_stand() -> None:
    """The client sends what is entered and the rest in another transaction."""
    talk = Talk(recipients=2)
    assert talk.codes(b"PAGE 1\r\nPAGE 2\r\nPAGE 3\r\nMESS a\r\nSEND\r\n") == [250, 250, 552, 250, 250]
    assert talk.pages[0].recipients == to("1", "2")


def test_empty_texts_are_refused() -> None:
    """By MESS and by DATA."""
    assert Talk().codes(b"MESS\r\nMESS   \r\nDATA\r\n.\r\nDATA\r\n \r\n\r\n.\r\n") == [
        550,
        550,
        354,
        550,
        354,
        550,
    ]


def test_data_after_a_text_is_503_at_once() -> None:
    """In place of 354."""
    assert Talk().codes(b"MESS a\r\nDATA\r\n") == [250, 503]
    assert Talk().codes(b"DATA\r\na\r\n.\r\nMESS b\r\n") == [354, 250, 503]


def test_text_limit() -> None:
    """550 with the limit, after the whole text has been read; nothing of it is taken for a command."""
    talk = Talk(text=20)
    reply = talk.say(
        b"DATA\r\n" + b"PAGE 5551212\r\n" * 1000 + b".\r\nMESS " + b"y" * 21 + b"\r\nMESS ok\r\n"
    )
    assert reply.splitlines()[1:] == [
        b"550 message is too long (limit 20)",
        b"550 message is too long (limit 20)",
        b"250 Message OK",
    ]
    assert talk.asked == []


def test_a_text_line_may_be_as_long_as_a_text() -> None:
    """Paragraphs come in one line; the limit of command lines is not theirs."""
    talk = Talk()
    talk.say(b"PAGE 1\r\nDATA\r\n" + b"x" * 5000 + b"\r\n.\r\nSEND\r\n")
    assert talk.pages[0].text == "x" * 5000


def test_text_is_read_as_utf8_and_else_as_latin1() -> None:
    """RFC 1861 knows ASCII only; neither an old client nor a new one is garbled."""
    for data in ("Überdruck".encode(), "Überdruck".encode("latin-1")):
        talk = Talk()
        talk.say(b"PAGE 1\r\nMESS " + data + b"\r\nSEND\r\n")
        assert talk.pages[0].text == "Überdruck"


# The application's answers


def test_the_applications_answers_reach_the_client_as_they_are() -> None:
    """750, 950, 554, 552."""
    for code in (750, 950, 554, 552, 550):
        assert Talk().will(s.PagerAsked, Reply(code, "x")).codes(b"PAGE 1\r\n") == [code]


def test_a_pager_queued_for_later_is_entered() -> None:
    """950 is a success."""
    talk = Talk().will(s.PagerAsked, Reply(950, "Not online, will be queued"))
    assert talk.codes(b"2WAY\r\nPAGE 1\r\nMESS a\r\nSEND\r\n") == [250, 950, 250, 960]


def test_commands_wait_while_the_application_thinks() -> None:
    """A pipelining client gets its answers in order, one for each command."""
    session = s.ServerSession(s.ServerRules(), lambda: NOW)
    [asked] = session.receive(b"PAGE 1\r\nMESS a\r\nSEND\r\nQUIT\r\n")
    assert isinstance(asked, s.PagerAsked)
    assert session.receive(b"PAGE 2\r\n") == []
    mess, asked = session.answer(Reply(250, "ok"))[1:]
    assert mess == s.Say(data=b"250 Message OK\r\n")
    assert isinstance(asked, s.SendAsked)
    assert session.answer(Reply(250, "sent")) == [
        s.Say(data=b"250 sent\r\n"),
        s.Say(data=b"221 Goodbye\r\n"),
        s.Hangup(),
    ]


def test_what_may_wait_is_bounded() -> None:
    """Over 64 kB of commands while an answer is due: 421."""
    session = s.ServerSession(s.ServerRules(), lambda: NOW)
    session.receive(b"PAGE 1\r\n")
    for _ in range(16):
        assert session.receive(b"x" * 4095 + b"\n") == []
    [say, hangup] = session.receive(b"x")
    assert say.data.startswith(b"421 ")
    assert isinstance(hangup, s.Hangup)
    assert session.answer(Reply(250, "late")) == []


def test_an_answer_to_no_question_is_our_mistake() -> None:
    """It would be one reply too many."""
    with pytest.raises(LocalProtocolError):
        s.ServerSession(s.ServerRules(), lambda: NOW).answer(Reply(250))


def test_closing_waits_for_the_answer_that_is_due() -> None:
    """A page whose SEND is under way gets its answer, then 421."""
    session = s.ServerSession(s.ServerRules(), lambda: NOW)
    session.receive(b"PAGE 1\r\n")
    assert session.close(Reply(421, "closing")) == []
    assert session.answer(Reply(250, "ok")) == [
        s.Say(data=b"250 ok\r\n"),
        s.Say(data=b"421 closing\r\n"),
        s.Hangup(),
    ]


def test_without_an_answer_to_send_nothing_is_said() -> None:
    """421 would claim that nothing was sent; silence is doubt, and that is the truth."""
    session = s.ServerSession(s.ServerRules(tone_only=True), lambda: NOW)
    session.receive(b"PAGE 1\r\nSEND\r\n")
    session.answer(Reply(250, "ok"))
    assert session.abandon() == [s.Hangup()]
    other = s.ServerSession(s.ServerRules(), lambda: NOW)
    other.receive(b"PAGE 1\r\n")
    assert other.abandon()[0].data.startswith(b"421 ")


# Levels and login


def test_level_1_knows_only_rfc_1568() -> None:
    """Everything else is 500."""
    talk = Talk(level=1, errors=100)
    for line in b"DATA,LOGI a,LEVE 1,ALER 1,COVE x,HOLD 2612010000,CALL x,SUBJ x,2WAY,PING 1,MSTA 1 2".split(
        b","
    ):
        assert talk.codes(line + b"\r\n") == [500]
    assert talk.codes(b"HELP\r\nPAGE 1\r\nMESS a\r\nRESE\r\n")[-4:] == [250] * 4


def test_level_2_has_no_two_way() -> None:
    """RFC 1645."""
    talk = Talk(level=2, errors=100)
    for line in b"2WAY,PING 1,EXPT 1,NOQUEUE,ACKR 1,RTYP TEXT,MCRE 1 x,MSTA 1 2,KTAG 1 2".split(b","):
        assert talk.codes(line + b"\r\n") == [500]
    assert talk.codes(b"LEVE 1\r\nPAGE 1\r\nPAGE 2\r\n") == [250, 250, 250]


def test_where_a_login_is_needed_only_few_commands_go_without() -> None:
    """530 until LOGIn; HELP, RESEt and QUIT are free."""
    talk = Talk(login_needed=True)
    assert talk.codes(b"PAGE 1\r\nMESS a\r\nSEND\r\nSITE x\r\n") == [530, 530, 530, 500]
    assert talk.codes(b"RESE\r\nLOGI ops pw\r\nPAGE 1\r\n") == [250, 250, 250]
    assert talk.asked[0] == s.LoginAsked(login="ops", password="pw")


def test_a_login_is_answered_even_where_none_is_needed() -> None:
    """HylaFAX's client always sends one."""
    assert Talk().codes(b"LOGI root\r\n") == [250]


def test_wrong_login_550_then_421() -> None:
    """RFC 1861 lists both; we close after several."""
    talk = Talk(login_needed=True).will(s.LoginAsked, *[Reply(550, "no")] * 3)
    assert talk.codes(b"LOGI a b\r\nLOGI a c\r\nLOGI a d\r\nLOGI a e\r\n") == [550, 550, 421]
    assert talk.hung_up


# Two-way


def test_2way_begins_only_with_nothing_entered() -> None:
    """Else 550; options on their way do not count."""
    for before in (b"PAGE 1\r\n", b"MESS a\r\n", b"SUBJ a\r\n", b"CALL a\r\n", b"2WAY\r\n"):
        assert Talk().codes(before + b"2WAY\r\n")[-1] == 550
    assert Talk().codes(b"LEVE 1\r\n2WAY\r\n") == [250, 250]


def test_two_way_options_need_2way() -> None:
    """And NOQUEUEing comes before PAGEr."""
    talk = Talk()
    assert talk.codes(b"NOQUEUE\r\nEXPT 1\r\nACKR 1\r\nRTYP TEXT\r\nMCRE 1 x\r\n") == [550] * 5
    assert talk.codes(b"2WAY\r\nPAGE 1\r\nNOQUEUE\r\n") == [250, 850, 550]


def test_a_two_way_page_has_one_unit() -> None:
    """A second PAGEr is 503."""
    assert Talk().codes(b"2WAY\r\nPAGE 1\r\nPAGE 2\r\n") == [250, 850, 503]


def test_rtype_after_pager_and_data_is_taken() -> None:
    """The RFC's own example does that."""
    talk = Talk()
    talk.say(b"2WAY\r\nPAGE 1\r\nDATA\r\na\r\n.\r\nRTYP YESNO\r\nSEND\r\n")
    assert talk.pages[0].two_way == m.TwoWayOptions(reply=m.ReplyKind.YESNO)


def test_mcresponse_switches_multiple_choice_on_by_itself() -> None:
    """Net::SNPP and python-snpp send no RTYPe, or a broken one."""
    talk = Talk()
    assert talk.codes(b"2WAY\r\nRTYP 1\r\nPAGE 1\r\nMCRE 01 yes please\r\nMESS a\r\nSEND\r\n") == [
        250,
        550,
        850,
        250,
        250,
        960,
    ]
    assert talk.pages[0].two_way.reply is m.ReplyKind.MULTICHOICE


def test_mcresponse_refusals() -> None:
    """502 duplicate, 550 bad or not enabled, 552 too many, 503 other type afterwards."""
    talk = Talk(responses=2)
    assert talk.codes(b"2WAY\r\nMCRE 01 a\r\nMCRE 01 b\r\nMCRE 1E2C b\r\nMCRE 03 c\r\nMCRE !! d\r\nRTYP TEXT\r\n") == [
        250, 250, 502, 250, 552, 550, 503,
    ]  # fmt: skip
    assert Talk().codes(b"2WAY\r\nRTYP TEXT\r\nMCRE 01 a\r\n") == [250, 250, 550]


def test_ping_and_status_need_no_2way() -> None:
    """All real users ask outside of a transaction; tags are digits only."""
    talk = Talk().will(s.PingAsked, Reply(820, "17 Downtown"))
    assert talk.say(b"PING sam\r\n") == b"820 17 Downtown\r\n"
    assert talk.codes(b"MSTA 1 2\r\nMSTA a 2\r\nKTAG 1 2\r\nKTAG 1\r\n") == [550, 550, 250, 550]
    assert talk.asked[0] == s.PingAsked(pager=PagerId("sam"))


# Older editions and oddities


def test_rfc1568_second_pager_is_503() -> None:
    """Level 1 takes one."""
    assert Talk(level=1).codes(b"PAGE 1\r\nPAGE 2\r\n") == [250, 503]


def test_rfc1645_several_pagers_and_500_for_unknown_commands() -> None:
    """Where RFC 1568 said 502 or closed."""
    assert Talk(level=2).codes(b"PAGE 1\r\nPAGE 2\r\nWHAT\r\n") == [250, 250, 500]


def test_hold_has_ten_or_twelve_digits_and_two_names() -> None:
    """The RFC's example has 10, its syntax 12; HOLDtime and HOLDuntil are HOLD."""
    talk = Talk()
    assert talk.codes(b"HOLDtime 2612010600\r\nHOLDuntil 261201060000 -0600\r\n") == [250, 250]


def test_hold_without_offset_is_in_the_zone_of_the_rules() -> None:
    """GMT by default, which is what HylaFAX and Net::SNPP mean."""
    talk = Talk(zone=ZoneInfo("America/Chicago"))
    talk.say(b"HOLD 2612010600\r\nPAGE 1\r\nMESS a\r\nSEND\r\n")
    assert talk.pages[0].recipients[0].hold == datetime(2026, 12, 1, 12, tzinfo=UTC)


def test_hold_cut_to_the_minute_is_not_yet_the_past() -> None:
    """Ten digits of now are up to a minute old."""
    assert Talk().codes(b"HOLD 2611211159\r\nHOLD 2611211158\r\n") == [250, 550]


def test_help_is_214_without_hyphen_ended_by_250() -> None:
    """Net::SNPP reads on until a line that is not 214."""
    for level in (1, 2, 3):
        *lines, last = Talk(level=level).say(b"HELP\r\n").splitlines()
        assert lines
        assert all(line.startswith(b"214 ") for line in lines)
        assert last == b"250 End of help"


@pytest.mark.parametrize(
    "line",
    [b"SITE JQUEUE yes", b"STAT", b"ABOR", b"XWHO", b"STARTTLS", b"EHLO x", b"SEN", b"P 1", b"\xff\xfe"],
)
def test_commands_that_are_not_ours_get_one_500(line: bytes) -> None:
    """SITE, STAT, ABOR (HylaFAX), XWHO (Net::SNPP), STARTTLS (LBBS), words shorter than four letters."""
    talk = Talk()
    talk.say(b"RESE\r\n")
    assert talk.codes(line + b"\r\n") == [500]


def test_empty_lines_are_ignored() -> None:
    """They get no reply and count as no error."""
    assert Talk().codes(b"\r\n\n  \r\n" * 50 + b"PAGE 1\r\n") == [250]


# Dots and the end of DATA


def text_of(lines: bytes, **rules: object) -> str | None:
    talk = Talk(**rules)
    talk.say(b"PAGE 1\r\nDATA\r\n" + lines + b".\r\nSEND\r\n")
    return talk.pages[0].text if talk.pages else None


def test_stuffed_and_unstuffed_clients_are_both_read_right() -> None:
    """Two leading dots lose one, one leading dot stays."""
    assert (
        text_of(b"..line2\r\n...line3\r\n.net down\r\n..\r\nend\r\n") == ".line2\n..line3\n.net down\n.\nend"
    )


def test_line_ends_at_the_end_of_a_text_are_stripped() -> None:
    """Those inside stay."""
    assert text_of(b"a\r\n\r\nb\r\n\r\n\r\n") == "a\n\nb"


def test_bare_lf_lines_in_data_are_lines() -> None:
    """HylaFAX sends its file as it is, then a dot with CR LF."""
    assert text_of(b"a\nb\n") == "a\nb"


def test_a_client_that_never_sends_crlf_ends_its_text_with_a_bare_dot() -> None:
    """Typed by hand, or by a script: all its lines end with LF."""
    talk = Talk()
    assert talk.codes(b"PAGE 1\nDATA\na\n.\nSEND\n") == [250, 354, 250, 250]
    assert talk.pages[0].text == "a"


# Limits


def test_a_line_over_the_limit_is_refused_and_dropped_to_its_end() -> None:
    """550 with the limit if the command is known, 500 if not; then on as before."""
    talk = Talk()
    assert talk.say(b"MESS " + b"x" * 1019 + b"\r\nMESS " + b"x" * 1020 + b"\r\n").splitlines() == [
        b"250 Message OK",
        b"550 line is too long (limit 1024)",
    ]
    assert talk.codes(b"x" * 3000 + b"\r\nPAGE 1\r\n") == [500, 250]


def test_421_after_ten_errors() -> None:
    """Ten get their own code, the next one closes; each command gets one reply."""
    talk = Talk()
    assert talk.codes(b"WHAT\r\n" * 20) == [500] * 10 + [421]
    assert talk.hung_up


def test_a_page_taken_forgives_earlier_errors() -> None:
    """A long session with some wrong IDs is not an attack."""
    talk = Talk()
    for _ in range(5):
        assert talk.codes(b"WHAT\r\n" * 4 + b"PAGE 1\r\nMESS a\r\nSEND\r\n")[-1] == 250


def test_our_own_failures_do_not_count_as_the_clients_errors() -> None:
    """554 may be said any number of times."""
    talk = Talk().will(s.PagerAsked, *[Reply(554, "store is down")] * 30)
    assert talk.codes(b"PAGE 1\r\n" * 30) == [554] * 30


def test_cr_lf_never_reaches_back_ends_from_arguments() -> None:
    """Controls in texts become blanks; in IDs and logins they are refused."""
    talk = Talk()
    talk.say(b"PAGE 1\r\nSUBJ a\rb\x00c\r\nCALL x\x1by\r\nDATA\r\na\rb\x02\tc\r\n.\r\nSEND\r\n")
    assert talk.pages[0] == Received(recipients=to("1"), text="a b  c", subject="a b c", caller_id="x y")
    assert talk.codes(b"LOGI a\x02 b\r\nPAGE 1\x7f\r\nPAGE 1 \x1b\r\n") == [550, 550, 550]


def test_every_stage_can_be_reached_and_left_and_every_command_has_a_gate() -> None:
    """The tables are whole."""
    assert set(s.SERVER_NEXT.values()) == set(s.Stage)
    assert {turn for _, turn in s.SERVER_NEXT} == set(s.Turn)
    assert set(s.GATES) == {kind.verb for kind in m.Sayable.__args__}


# Nonsense

chunks = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [
            b"PAGE 1\r\n",
            b"PAGE 2\n",
            b"MESS a\r\n",
            b"DATA\r\n",
            b".\r\n",
            b"..x\n",
            b"SEND\r\n",
            b"2WAY\r\n",
            b"RESE\r\n",
            b"LEVE 3\r\n",
        ]
    ),
    max_size=25,
)


@settings(max_examples=120)
@given(chunks)
def test_cutting_the_clients_stream_anywhere_gives_the_same_dialogue(parts: list[bytes]) -> None:
    """Packets have no meaning: same replies, same pages, same end. And nonsense never crashes."""
    stream = b"".join(parts)
    whole, pieces, octets = Talk(errors=50), Talk(errors=50), Talk(errors=50)
    said = whole.say(stream)
    assert b"".join(pieces.say(part) for part in parts) == said
    assert b"".join(octets.say(bytes([octet])) for octet in stream) == said
    assert whole.pages == pieces.pages == octets.pages
    assert whole.hung_up == pieces.hung_up == octets.hung_up


@settings(max_examples=80)
@given(st.lists(st.sampled_from([b"PAGE 1", b"PAGE", b"MESS a", b"SEND", b"2WAY", b"RTYP TEXT", b"MCRE 1 x", b"LOGI a", b"HOLD x", b"RESE",
                                 b"SUBJ s", b"MSTA 1 2", b"XWHO", b"LEVE 99", b"ALER 1", b"NOQU", b"EXPT 3", b"KTAG 1 2", b"PING 1"]), max_size=15))  # fmt: skip
def test_every_command_gets_exactly_one_reply(lines: list[bytes]) -> None:
    """In any order, in any state."""
    talk = Talk(errors=100)
    for line in lines:
        assert len(talk.codes(line + b"\r\n")) == 1
