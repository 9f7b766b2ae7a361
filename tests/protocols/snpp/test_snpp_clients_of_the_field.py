"""The byte traffic of the SNPP clients in use, as recorded, against our server."""

from datetime import UTC, datetime

import pytest
from snpp_fakes import Talk, to

from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.messages import Reply

# What python-snpp 1.1.2 writes: a blank after every command, CR LF, dots stuffed. Recorded against
# Net::SNPP::Server; our codes where they differ: LOGI is known, two-way PAGE is 850, MSTA is known.
PYTHON_SNPP = [
    (b"PAGE 5551212 \r\n", b"250 "),
    (b"PAGE 12; \r\n", b"550 "),
    (b"LOGI bob secret\r\n", b"250 "),
    (b"HOLD 301231120000 -0600\r\n", b"250 "),
    (b"DATA \r\n", b"354 "),
    (b"line1\r\n..line2\r\n...line3\r\n\r\nend\r\n\r\n.\r\n", b"250 "),
    (b"MESS again\r\n", b"503 "),
    (b"SEND \r\n", b"250 "),
    (b"2WAY \r\n", b"250 "),
    (b"PAGE 5551212 \r\n", b"850 "),
    (b"MCRE 01 yes please\r\n", b"250 "),
    (b"MESS Restart? \r\n", b"250 "),
    (b"SEND \r\n", b"960 17952825640 679086177 "),
    (b"MSTA 1 2\r\n", b"550 "),
    (b"QUIT \r\n", b"221 "),
]


def test_python_snpp_is_served_byte_for_byte() -> None:
    """Its trailing blanks included; every reply is one it accepts."""
    talk = Talk()
    for sent, reply in PYTHON_SNPP:
        heard = talk.say(sent)
        assert heard.startswith(reply)
        assert heard.count(b"\n") == 1
    first, second = talk.pages
    assert first.recipients == to("5551212", hold=datetime(2030, 12, 31, 18, tzinfo=UTC))
    assert first.text == "line1\n.line2\n..line3\n\nend"
    assert second.text == "Restart?"
    assert second.two_way.responses == (m.McResponse(code="01", text="yes please"),)
    assert talk.hung_up


def test_python_snpp_wants_exactly_220() -> None:
    """As the greeting."""
    assert Talk().greeting.startswith(b"220 ")


def test_python_snpp_does_not_close_after_quit() -> None:
    """So the server does."""
    talk = Talk()
    talk.say(b"QUIT \r\n")
    assert talk.hung_up


@pytest.mark.parametrize(
    "sent", [sent for sent, _ in PYTHON_SNPP if b"DATA" not in sent and not sent.startswith(b"line1")]
)
def test_python_snpp_commands_are_read_alike_without_their_blank(sent: bytes) -> None:
    """The blank at the end means nothing."""
    before = b"2WAY\r\n" if sent.startswith(b"MCRE") else b""
    assert Talk().say(before + sent) == Talk().say(before + sent.rstrip() + b"\r\n")


# HylaFAX sendpage 6.0.7


def test_hylafax_logs_in_always_and_asks_a_site_command_first() -> None:
    """LOGI must be known; 500 to SITE is fine."""
    talk = Talk()
    assert talk.codes(b"LOGI root\r\nSITE HELP NOTIFY\r\n") == [250, 500]


def test_hylafax_sends_a_password_after_550() -> None:
    """A server that wants one says 550, not 530."""
    talk = Talk(login_needed=True).will(s.LoginAsked, Reply(550, "Password needed"))
    assert talk.codes(b"LOGI root\r\nLOGI root pw\r\n") == [550, 250]


def test_hylafax_page_with_its_raw_data() -> None:
    """HOLD of ten digits in GMT, LEVE always, the file as it is with LF, then `.` with CR LF; no QUIT."""
    talk = Talk()
    said = b"HOLD 2611220600\r\nSUBJ db1\r\nLEVE 3\r\nPAGE 5551234\r\nDATA\r\nDisk full\n.net too\non db1\n.\r\nSEND\r\n"
    assert talk.codes(b"LOGI root\r\n" + said) == [250] * 5 + [354, 250, 250]
    hold = datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert talk.pages == [
        m.Received(
            recipients=to("5551234", level=3, hold=hold),
            text="Disk full\n.net too\non db1",
            subject="db1",
            login="root",
        )
    ]
    assert not talk.hung_up


def test_hylafax_wants_exactly_250_for_a_pager_and_2xx_for_leve() -> None:
    """Anything else and it gives up."""
    assert Talk().codes(b"LEVE 1\r\nPAGE 5551234\r\n") == [250, 250]


def test_hylafax_text_with_a_dot_line_is_kept_whole() -> None:
    """Its lone dots end with LF, so they do not end the text; nothing arrives as commands."""
    talk = Talk()
    talk.say(b"PAGE 1\r\nDATA\r\nbefore\n.\nSEND\nafter\n.\r\nSEND\r\n")
    assert talk.pages[0].text == "before\n.\nSEND\nafter"


def test_commands_after_a_premature_dot_get_500_each_and_do_no_harm() -> None:
    """A client that does not stuff and ends lines with CR LF sends its text as commands."""
    talk = Talk()
    assert talk.codes(b"PAGE 1\r\nDATA\r\nbefore\r\n.\r\nafter all\r\nno\r\n.\r\nSEND\r\n") == [
        250, 354, 250, 500, 500, 500, 250,
    ]  # fmt: skip
    assert talk.pages[0].text == "before"


def test_hylafax_text_without_final_newline_waits_for_the_idle_limit() -> None:
    """It appends the dot to the last line; the server stays in the text until 421."""
    talk = Talk()
    assert talk.codes(b"PAGE 1\r\nDATA\r\nDisk full.\r\n") == [250, 354]
    assert talk.session.stage is s.Stage.TEXT


def test_hylafax_page_without_text_is_a_setting() -> None:
    """`sendpage -n`."""
    assert Talk(tone_only=True).codes(b"LOGI root\r\nLEVE 1\r\nPAGE 1\r\nSEND\r\n") == [250] * 4


# sendpage's snpp 1.0.3 and Net::SNPP 1.17


def test_sendpages_snpp_dialogue() -> None:
    """PAGE each, then CALL, then DATA."""
    talk = Talk()
    said = b"PAGE 1\r\nPAGE 2\r\nCALL me@example.org\r\nDATA\r\nhi\r\n.\r\nSEND\r\nQUIT\r\n"
    assert talk.codes(said) == [250, 250, 250, 354, 250, 250, 221]
    assert talk.pages[0].caller_id == "me@example.org"


def test_net_snpp_send_with_options_after_the_text() -> None:
    """Its documented call enters the options last; they are not lost."""
    talk = Talk()
    said = b"PAGE 5551212\r\nMESS hi\r\nHOLD 261201060000 +0000\r\nCOVE x\r\nALER 1\r\nLEVE 2\r\nSEND\r\n"
    assert talk.codes(said) == [250] * 7
    [to_whom] = talk.pages[0].recipients
    assert (to_whom.level, to_whom.alert, to_whom.coverage) == (2, True, "x")
    assert to_whom.hold == datetime(2026, 12, 1, 6, tzinfo=UTC)


def test_net_snpp_broken_reply_type_does_no_harm() -> None:
    """It always sends `RTYP 1`: 550, and choices still work."""
    assert Talk().codes(b"2WAY\r\nRTYP 1\r\nMCRE 01 yes\r\n") == [250, 550, 250]


def test_net_snpp_reads_on_after_214_until_another_code() -> None:
    """HELP ends with 250, so it does not get out of step."""
    assert Talk().codes(b"HELP\r\nXWHO\r\n")[-2:] == [250, 500]


def test_net_snpp_newlines_in_arguments_have_become_blanks() -> None:
    """One line, one command."""
    talk = Talk()
    assert talk.codes(b"PAGE 1\r\nMESS one two\r\nSEND\r\n") == [250, 250, 250]
