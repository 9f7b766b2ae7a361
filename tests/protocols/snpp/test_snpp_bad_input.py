"""Bad input over SNPP: each case of the threat list (B23 to B34) with the exact answer.

What needs the whole gateway is tested there: the delay per address after wrong logins (B31) and the limit
per client (B32). Here is what the protocol itself does about them.
"""

import pytest
from snpp_fakes import NOW, Talk

from protocols.lines import LineSplitter
from protocols.snpp import session as s
from protocols.snpp.messages import Reply


def test_b23_a_megabyte_without_line_end() -> None:
    """500 once, then close; at most 2 kB are kept at any time."""
    talk = Talk()
    replies = b""
    for _ in range(1024):
        replies += talk.say(b"A" * 1024)
        assert talk.session._splitter.waiting <= 2048
    assert replies == b"500 Line is too long (limit 1024), goodbye\r\n"
    assert talk.hung_up


def test_b23_a_megabyte_without_line_end_inside_data() -> None:
    """Dropped as it comes, beyond the text limit; the end of the text is then a refusal."""
    talk = Talk(text=500)
    talk.say(b"DATA\r\n")
    for _ in range(256):
        assert talk.say(b"A" * 4096) == b""
        assert talk.session._splitter.waiting <= 501
    assert talk.codes(b"\r\n.\r\n") == [550]


def test_b24_send_before_page_and_mess() -> None:
    """503 for each thing that is missing."""
    assert Talk().codes(b"SEND\r\nPAGE 1\r\nSEND\r\nRESE\r\nMESS a\r\nSEND\r\n") == [
        503,
        250,
        503,
        250,
        250,
        503,
    ]


def test_b25_page_twice_and_mess_twice_at_level_1() -> None:
    """503, and the first entries stand."""
    talk = Talk(level=1)
    assert talk.codes(b"PAGE 1\r\nPAGE 2\r\nMESS a\r\nMESS b\r\nSEND\r\n") == [250, 503, 250, 503, 250]
    assert (talk.pages[0].recipients[0].pager, talk.pages[0].text) == ("1", "a")


@pytest.mark.parametrize(
    "pager", [b"123;ATDT900", b"5551\x00", b"5" * 200, b"5551\x1c9", b"\xd9\xa3", b"`id`", b"../x", b"1,2"]
)
def test_b26_pager_ids_that_are_none(pager: bytes) -> None:
    """550 invalid pager ID; no back end sees them."""
    talk = Talk()
    assert talk.say(b"PAGE " + pager + b"\r\n").startswith(b"550 pager ID ")
    assert talk.asked == []


def test_b27_controls_and_8_bit_in_mess() -> None:
    """250: controls become blanks, 8-bit octets are read as UTF-8 or Latin-1 (docs, "Characters")."""
    talk = Talk()
    assert talk.codes(b"PAGE 1\r\nMESS a\x1b[0m\x02b \xe9\r\nSEND\r\n") == [250, 250, 250]
    assert talk.pages[0].text == "a [0m b é"


def test_b29_bare_lf_dot_lf_is_not_the_end_of_data() -> None:
    """For a client that ends its commands with CR LF; however the stream is cut."""
    stream = b"PAGE 1\r\nDATA\r\nfirst\n.\nPAGE 666\r\n\r\n.\nlast\r\n.\r\nSEND\r\n"
    for chunks in ([stream], [bytes([octet]) for octet in stream]):
        talk = Talk()
        codes = [code for chunk in chunks for code in talk.codes(chunk)]
        assert codes == [250, 354, 250, 250]
        assert talk.pages[0].text == "first\n.\nPAGE 666\n\n.\nlast"


def test_b29_one_crlf_ever_makes_a_crlf_client() -> None:
    """Commands with bare LF before and after do not change that."""
    talk = Talk()
    assert talk.codes(b"PAGE 1\r\nDATA\na\n.\nb\n.\r\nSEND\n") == [250, 354, 250, 250]
    assert talk.pages[0].text == "a\n.\nb"


def test_b30_parameters_out_of_range_say_why() -> None:
    """550 with the reason."""
    talk = Talk(areas=frozenset({"north"}))
    assert talk.say(b"LEVE 99\r\n") == b"550 service level is not 0 to 11\r\n"
    assert talk.say(b"HOLD 200101000000 +0000\r\n") == b"550 hold time is in the past\r\n"
    assert talk.say(b"COVE mars\r\n") == b"550 area is not known\r\n"
    assert talk.say(b"CALL " + b"x" * 10_240 + b"\r\n") == b"550 line is too long (limit 1024)\r\n"
    assert talk.codes(b"COVE north\r\nPAGE 1\r\n") == [250, 250]


def test_b31_wrong_login_three_times() -> None:
    """421 and close. (The delay per address is the gateway's.)"""
    talk = Talk(login_needed=True).will(s.LoginAsked, *[Reply(550, "Login incorrect")] * 3)
    assert talk.codes(b"LOGI a 1\r\n") + talk.codes(b"LOGI a 2\r\n") + talk.codes(b"LOGI a 3\r\n") == [
        550,
        550,
        421,
    ]
    assert talk.hung_up


def test_b31_a_right_login_forgives_the_wrong_ones() -> None:
    """Three in a row count."""
    no, yes = Reply(550, "Login incorrect"), Reply(250, "ok")
    talk = Talk().will(s.LoginAsked, no, no, yes, no, no)
    assert talk.codes(b"LOGI a b\r\n" * 5) == [550, 550, 250, 550, 550]


def test_b32_commands_over_the_limit() -> None:
    """421 at the first line over what is allowed in the current second. (The limit per client is the gateway's.)"""
    talk = Talk()
    talk.session.allowance = 100
    assert talk.codes(b"LEVE 1\r\n" * 10_000) == [250] * 100 + [421]
    assert talk.hung_up


def test_b32_pipelined_send_50_times_is_answered_50_times() -> None:
    """Each with its own answer, none sent twice."""
    talk = Talk()
    assert talk.codes(b"PAGE 1\r\nMESS a\r\nSEND\r\n" * 50) == [250, 250, 250] * 50
    assert len(talk.pages) == 50
    assert Talk(errors=100).codes(b"PAGE 1\r\nMESS a\r\n" + b"SEND\r\n" * 50) == [250, 250, 250] + [503] * 49


def test_b33_quit_right_behind_send() -> None:
    """The page is asked for before anything else is read."""
    session = s.ServerSession(s.ServerRules(), lambda: NOW)
    session.receive(b"PAGE 1\r\nMESS a\r\nSEND\r\nQUIT\r\n")
    events = session.answer(Reply(250, "ok"))
    assert isinstance(events[-1], s.SendAsked)


@pytest.mark.parametrize(
    "hello", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16", b"\x80\x2e\x01\x03\x01", b"\x00\x00"]
)
def test_b34_tls_or_binary_on_the_clear_port(hello: bytes) -> None:
    """Known by the first octet, so the answer comes at once: 421, close, one note for the log."""
    talk = Talk()
    assert talk.codes(hello) == [421]
    assert talk.hung_up
    assert talk.foreign == ["TLS" if hello[0] == 0x16 else "binary"]
    assert talk.say(hello) == b""


@pytest.mark.parametrize(
    "first_line",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /SEND HTTP/1.0\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"],
)
def test_b34_http_on_the_snpp_port(first_line: bytes) -> None:
    """Known by its first line; its headers are not read as commands."""
    talk = Talk()
    assert talk.codes(first_line) == [421]
    assert talk.hung_up
    assert talk.foreign == ["HTTP"]


def test_nothing_kept_grows_with_nonsense() -> None:
    """Ten thousand lines of every kind leave no more behind than one."""
    talk = Talk(errors=10**9)
    for i in range(10_000):
        talk.say(b"XX%d\r\n\r\nSUBJ %d\r\nLEVE 1\r\nPAGE ;%d\r\n" % (i, i, i))
    assert talk.session._splitter.waiting == 0
    assert len(talk.session._page.recipients) == 0
    assert isinstance(talk.session._splitter, LineSplitter)
