"""Bytes to values and back: commands, replies, texts, times."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.snpp import messages as m
from protocols.snpp.codec import (
    MAX_REPLY_LINE,
    MAX_REPLY_LINES,
    Dots,
    Garbled,
    ReplyDecoder,
    decode_command,
    encode_body,
    encode_command,
    encode_reply,
    lines_of,
    parse_time,
    printable,
    status_of,
    status_reply,
    text_of,
    unstuffed,
)
from protocols.snpp.messages import InvalidValue, PagerId, Reply, SnppSecret, SnppText, SnppWord

few = settings(max_examples=60)


def decode_replies(*chunks: bytes) -> list[Reply | Garbled]:
    decoder = ReplyDecoder()
    return [reply for chunk in chunks for reply in decoder.receive(chunk)]


def check_reply(data: bytes, *expected: Reply | Garbled) -> None:
    """Whole, byte by byte, and with more behind it."""
    assert decode_replies(data) == list(expected)
    assert decode_replies(*(bytes([octet]) for octet in data)) == list(expected)
    if not any(isinstance(one, Garbled) for one in expected):
        assert decode_replies(data + b"250 more\r\n") == [*expected, Reply(250, "more")]


# Words and texts


@pytest.mark.parametrize("bad", ["", "12 3", "123;ATDT900", "5551\x00", "123\n", "５５５", "-1", "1" * 65])
def test_a_pager_id_has_only_what_ids_have(bad: str) -> None:
    """Letters, digits and + @ . _ -, up to 64; the error names field and reason."""
    with pytest.raises(InvalidValue) as caught:
        PagerId(bad)
    assert caught.value.field == "pager ID"


@pytest.mark.parametrize("bad", ["a\r\nPAGE 9", "a\n", "ü", "\x1b[0m", "\x7f", "x" * 1001])
def test_a_text_cannot_be_built_with_a_line_end_or_control(bad: str) -> None:
    """No value of the type can break a line of the protocol."""
    with pytest.raises(InvalidValue):
        SnppText(bad)


def test_a_secret_does_not_show_in_a_repr() -> None:
    """PINs and passwords never reach a log by way of a value that is printed."""
    pin = SnppSecret("4711")
    assert "4711" not in repr(m.Page(pager=PagerId("1"), pin=pin)) + repr(
        m.Recipient(pager=PagerId("1"), pin=pin)
    )
    assert "4711" not in repr(m.Login(login=SnppWord("ops"), password=pin))


def test_text_of_keeps_what_ascii_can_say() -> None:
    """Accents go, quotes and dashes become plain, controls become blanks, the rest a question mark."""
    assert text_of("Überdruck – “P1”\r\nnow\t日") == 'Uberdruck - "P1"  now ?'


def test_lines_of_breaks_long_lines_and_loses_nothing() -> None:
    """A text is never cut; empty lines inside stay, those at the end go."""
    assert lines_of("a\r\n\r\nb\rc\n\n") == ("a", "", "b", "c")
    assert [len(line) for line in lines_of("x" * 2500)] == [1000, 1000, 500]
    assert lines_of("") == lines_of("\n \n") == ()


@few
@given(st.text())
def test_any_text_becomes_valid_lines(text: str) -> None:
    """Nothing a person types makes the encoder fail."""
    for line in lines_of(text):
        SnppText(line)
    assert "\n" not in printable(text)


# Commands

pagers = st.from_regex(r"[A-Za-z0-9+][A-Za-z0-9+@._-]{0,63}", fullmatch=True).map(PagerId)
words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=200).map(
    str.strip
)
texts = texts.filter(bool)
digits = st.text("0123456789", min_size=1, max_size=32)
moments = st.datetimes(datetime(1990, 1, 2), datetime(2089, 12, 30)).map(
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)
commands = st.one_of(
    st.builds(m.Page, pager=pagers, pin=st.none() | words.map(SnppSecret)),
    st.builds(m.Mess, text=texts),
    st.builds(m.Login, login=words.map(SnppWord), password=st.none() | words.map(SnppSecret)),
    st.builds(m.Level, level=st.integers(0, 11)),
    st.builds(m.Alert, on=st.booleans()),
    st.builds(m.Coverage, area=texts.map(SnppText)),
    st.builds(m.Hold, at=moments),
    st.builds(m.CallerId, caller=texts),
    st.builds(m.Subject, text=texts),
    st.builds(m.Ping, pager=pagers),
    st.builds(m.ExpireTag, hours=st.integers(1, 9999)),
    st.builds(m.AckRead, on=st.booleans()),
    st.builds(m.ReplyType, kind=st.sampled_from(m.ReplyKind)),
    st.builds(m.McResponse, code=st.from_regex(r"[0-9A-Za-z]{1,4}", fullmatch=True), text=texts),
    st.builds(m.MStatus, tag=digits, passcode=digits),
    st.builds(m.KillTag, tag=digits, passcode=digits),
    st.sampled_from([m.Data(), m.Send(), m.Reset(), m.Quit(), m.Help(), m.TwoWay(), m.NoQueue()]),
)


@settings(max_examples=200)
@given(commands)
def test_every_command_survives_the_wire(command: m.Sayable) -> None:
    """What is written is read as the same value."""
    data = encode_command(command)
    assert data.endswith(b"\r\n")
    assert not data.endswith(b" \r\n")
    assert decode_command(data[:-2]) == command
    assert decode_command(data[:4].lower() + data[4:-2] + b" \t") == command


@settings(max_examples=150)
@given(st.text(), st.sampled_from([m.Mess, m.Subject, lambda text: m.CallerId(caller=text)]))
def test_no_argument_can_add_a_command(text: str, build: type[m.Mess]) -> None:
    """Whatever a text holds, one command is one line of printable ASCII."""
    data = encode_command(build(text=text) if isinstance(build, type) else build(text))
    assert data.count(b"\n") == data.count(b"\r") == 1
    assert all(0x20 <= octet < 0x7F for octet in data[:-2])


@few
@given(st.binary(max_size=200).filter(lambda data: b"\n" not in data))
def test_any_line_is_some_command(data: bytes) -> None:
    """Nonsense is a value too."""
    decode_command(data)
    decode_command(data, cut=True)
    for verb in (b"HOLD ", b"MSTA ", b"LEVE ", b"MCRE ", b"PAGE "):
        decode_command(verb + data)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"PAGE 123", m.Page(pager=PagerId("123"))),
        (b"pager 123 ", m.Page(pager=PagerId("123"))),
        (b"PAGEr\t123  1111 ", m.Page(pager=PagerId("123"), pin=SnppSecret("1111"))),
        (b"NOQUEUEING", m.NoQueue()),
        (b"NOQU", m.NoQueue()),
        (b"2way ", m.TwoWay()),
        (b"MESSAGE  two  blanks ", m.Mess(text="two  blanks")),
        (b"HOLDtime 261122060000 +0000", m.Hold(at=datetime(2026, 11, 22, 6, tzinfo=UTC))),
        (b"", None),
        (b"  \t", None),
        (b"SEN", m.Unknown(word="SEN")),
        (b"STARTTLS", m.Unknown(word="STARTTLS")),
    ],
)
def test_four_letters_count_in_any_case_and_blanks_at_the_end_do_not(
    line: bytes, command: m.Command | None
) -> None:
    """PAGE, PAGER and pager are one command; words shorter than four letters are none."""
    assert decode_command(line) == command


@pytest.mark.parametrize(
    "line",
    [b"PAGE", b"PAGE 1 2 3", b"MESS", b"MESS  ", b"LEVE", b"LEVE x", b"LEVE 12", b"LEVE \xd9\xa3", b"ALER 2", b"HOLD soon", b"COVE",
     b"CALL", b"SUBJ", b"LOGI", b"LOGI a b c", b"PING", b"EXPT 0", b"EXPT -1", b"ACKR", b"RTYP 1", b"MCRE 01", b"MCRE 12345 x",
     b"MCRE ! x", b"MSTA 1", b"MSTA 1 x", b"KTAG", b"COVE \xff", b"PAGE 5551\x1c999"],
)  # fmt: skip
def test_a_missing_or_wrong_argument_is_named(line: bytes) -> None:
    """The refusal says which argument and why."""
    command = decode_command(line)
    assert isinstance(command, m.Malformed)
    assert command.verb == line[:4].decode()
    assert len(command.why) > 8


# DATA


def test_dots_stuffed() -> None:
    """As in SMTP."""
    assert encode_body([".", "..a", "b."]) == b"..\r\n...a\r\nb.\r\n.\r\n"


def test_dots_plain_but_never_a_lone_dot() -> None:
    """A server that does not unstuff gets lines as they are; a lone dot would end the text."""
    assert encode_body([".", "..a"], Dots.PLAIN) == b" .\r\n..a\r\n.\r\n"


def test_dots_avoided() -> None:
    """hfaxd neither unstuffs nor keeps a lone dot: a blank goes before it."""
    assert encode_body([".", "..a"], Dots.AVOID) == b" .\r\n ..a\r\n.\r\n"


@settings(max_examples=150)
@given(
    st.lists(st.text(st.sampled_from(". \r\nab․\x85\u2028"), max_size=6), max_size=6), st.sampled_from(Dots)
)
def test_no_text_line_ends_the_text_early(lines: list[str], dots: Dots) -> None:
    """Exactly the lines of the text and one dot reach the wire, also after blanks are stripped."""
    sent = encode_body(lines, dots).split(b"\r\n")
    assert len(sent) == len(lines) + 2
    assert sent[-2:] == [b".", b""]
    assert all(line.rstrip() != b"." for line in sent[:-2])
    assert not any(b"\r" in line or b"\n" in line for line in sent)


@few
@given(st.lists(st.text(st.sampled_from(".ab"), max_size=6), max_size=6))
def test_stuffing_is_undone(lines: list[str]) -> None:
    """What our client stuffs our server restores."""
    sent = encode_body(lines).split(b"\r\n")[:-2]
    assert [unstuffed(line).decode() for line in sent] == lines


def test_one_dot_before_text_stays() -> None:
    """Clients that do not stuff (HylaFAX, LBBS) lose no dot."""
    assert unstuffed(b".net is down") == b".net is down"


# Times


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2611220600", datetime(2026, 11, 22, 6, tzinfo=UTC)),
        ("261122060030", datetime(2026, 11, 22, 6, 0, 30, tzinfo=UTC)),
        ("20261122060030", datetime(2026, 11, 22, 6, 0, 30, tzinfo=UTC)),
        ("261122060000 -0600", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("261122060000+0530", datetime(2026, 11, 22, 0, 30, tzinfo=UTC)),
        ("261122060000 +7", datetime(2026, 11, 21, 23, tzinfo=UTC)),
        ("261122060000 -530", datetime(2026, 11, 22, 11, 30, tzinfo=UTC)),
        ("950925143501+7", datetime(1995, 9, 25, 7, 35, 1, tzinfo=UTC)),
        ("891231235959", datetime(2089, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_hold_times_are_read_in_all_their_forms(text: str, at: datetime) -> None:
    """10, 12 or 14 digits, offset optional; local time is GMT plus offset; 90 to 99 are 19xx."""
    assert parse_time(text) == at


@pytest.mark.parametrize("text", ["", "26112206", "261322060000", "261122250000", "261122060000 +2500", "261122060000 +0060",
                                  "000000000000", "261122060000 06", "２６１１２２０６００", "00010101000000 +2300"])  # fmt: skip
def test_times_that_do_not_exist_are_refused(text: str) -> None:
    """With an error, never a crash or another time."""
    with pytest.raises(InvalidValue):
        parse_time(text)


def test_a_time_without_offset_is_the_terminals_local_time() -> None:
    """RFC 1861 4.5.6; which zone that is, is a setting, and GMT if not set."""
    zone = ZoneInfo("America/Chicago")
    assert parse_time("2611220600", zone) == datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_hold_is_written_in_gmt_with_or_without_offset() -> None:
    """hfaxd misreads offsets, so for it there is none."""
    at = datetime(2026, 11, 22, 7, tzinfo=timezone(timedelta(hours=1)))
    assert encode_command(m.Hold(at=at)) == b"HOLD 261122060000 +0000\r\n"
    assert encode_command(m.Hold(at=at, offset=False)) == b"HOLD 261122060000\r\n"


# Replies


@few
@given(
    st.builds(
        lambda code, text, before, series: Reply(code, text, tuple(before), series and bool(before)),
        st.integers(200, 999).filter(lambda code: code // 100 not in (6,) and code != 214),
        texts,
        st.lists(texts, max_size=4),
        st.booleans(),
    )
)
def test_every_reply_survives_the_wire(reply: Reply) -> None:
    """Single lines, continued lines, help series."""
    check_reply(encode_reply(reply), reply)


def test_a_reply_always_has_a_blank_and_a_text() -> None:
    """HylaFAX's client waits for ever after a bare 250."""
    assert encode_reply(Reply(250, "")) == b"250 OK\r\n"


@few
@given(st.text())
def test_a_reply_is_one_short_line_whatever_its_text(text: str) -> None:
    """A reason that quotes the client cannot add a line."""
    data = encode_reply(Reply(550, text))
    assert data.count(b"\n") == data.count(b"\r") == 1
    assert len(data) <= 410


def test_hyphens_continue_a_reply() -> None:
    """As Net::SNPP, python-snpp and HylaFAX understand them."""
    check_reply(b"220-host\r\n220-more\r\n220 ready\r\n", Reply(220, "ready", ("host", "more")))


def test_a_bare_code_is_a_reply() -> None:
    """Some servers send no text."""
    check_reply(b"250\r\n250 \r\n250\n", Reply(250), Reply(250), Reply(250))


def test_help_214_without_hyphens_ended_by_250() -> None:
    """RFC 1861 4.3.6."""
    check_reply(b"214 PAGE\r\n214 SEND\r\n250 End\r\n", Reply(250, "End", ("PAGE", "SEND"), help=True))


def test_help_lines_without_numbers_between_214_and_250() -> None:
    """LBBS numbers only the first."""
    check_reply(
        b"214 Commands:\r\n  PAGE\r\n\r\n  SEND\r\n250 End\r\n",
        Reply(250, "End", ("Commands:", "PAGE", "", "SEND"), help=True),
    )


def test_218_is_complete_by_itself() -> None:
    """No 250 follows a single help line."""
    check_reply(b"218 See the manual\r\n", Reply(218, "See the manual"))


@pytest.mark.parametrize("line", [b"OK", b"", b"25", b"2500 x", b"050 x", b"150 x", b"650 x", b"HTTP/1.1 400 Bad Request", b"SSH-2.0-x",
                                  b"\x15\x03\x03", b"250x", b" 250 OK"])  # fmt: skip
def test_a_line_that_is_no_reply_is_garbage(line: bytes) -> None:
    """And nothing after it is believed."""
    first, *rest = decode_replies(line + b"\r\n250 OK\r\n")
    assert isinstance(first, Garbled)
    assert rest == []


def test_reply_lines_and_their_number_are_bounded() -> None:
    """A server that never ends costs little."""
    assert decode_replies(b"250 " + b"x" * (MAX_REPLY_LINE - 4) + b"\r\n")[0].code == 250
    for chunk in (b"250 " + b"x" * MAX_REPLY_LINE + b"\r\n", b"2" * 5000):
        check_reply(chunk, Garbled(why="a reply line is too long"))
    check_reply(b"214 x\r\n" + b"y\r\n" * MAX_REPLY_LINES, Garbled(why="a reply has too many lines"))


@settings(max_examples=100)
@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from([b"250 OK\r\n", b"214 a\r\n", b"250-", b"\r\n"]), max_size=20
    )
)
def test_nonsense_from_a_server_never_crashes_and_cuts_do_not_matter(parts: list[bytes]) -> None:
    """However the stream is cut, the same replies come out."""
    stream = b"".join(parts)
    assert decode_replies(stream) == decode_replies(*parts) == decode_replies(*(bytes([o]) for o in stream))


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        ((250, 251, 820, 821, 850, 860, 861, 870, 880, 881, 888, 889, 920, 950, 960), m.Kind.DONE),
        ((214, 218, 220, 221, 556), m.Kind.INFORMATION),
        ((354,), m.Kind.GO_ON),
        ((420, 421, 450, 554, 750, 755), m.Kind.TEMPORARY),
        ((550, 551, 553, 760, 780), m.Kind.PERMANENT),
        ((500, 502, 503, 530), m.Kind.OURS),
        ((552,), m.Kind.FULL),
    ],
)
def test_what_each_code_means(codes: tuple[int, ...], kind: m.Kind) -> None:
    """The table of the docs page; unknown codes go by the first digit."""
    assert {Reply(code).kind for code in codes} == {kind}


def test_only_4xx_closes() -> None:
    """And only 9xx is queued."""
    assert [code for code in (250, 354, 420, 421, 500, 550, 750, 860, 960) if Reply(code).closes] == [
        420,
        421,
    ]
    assert Reply(960).queued
    assert not Reply(860).queued


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("1795283 482913 Delivered", ("1795283", "482913")),
        ("1 2", ("1", "2")),
        ("1 Queued Successfully (caller: 'me@example.org')", (None, None)),
        ("Message sent", (None, None)),
        ("12a 34 x", (None, None)),
        ("1" * 33 + " 2 x", (None, None)),
    ],
)
def test_tag_and_pass_code_are_digits(text: str, tag: tuple[str | None, str | None]) -> None:
    """The two numbers after the code of SEND's answer, or neither."""
    assert (Reply(960, text).tag, Reply(960, text).passcode) == tag


def test_tags_we_give_out_are_digits_only() -> None:
    """Net::SNPP returns nothing for any other."""
    assert encode_reply(m.tagged_reply(960, "17", "42", "Queued")) == b"960 17 42 Queued\r\n"
    for bad in ("a1", "", "1 2", "1" * 33, "٣"):
        with pytest.raises(InvalidValue):
            m.tagged_reply(960, bad, "42", "Queued")


# MSTAtus


def test_status_sequence_time_and_answer() -> None:
    """888 carries the code of the choice, 889 the text."""
    choice = status_of(Reply(888, "00003 261121174530+0 01 Reply received"))
    assert choice == m.MessageStatus(
        code=888, sequence=3, at=datetime(2026, 11, 21, 17, 45, 30, tzinfo=UTC), rest="01 Reply received"
    )
    assert (choice.answer, choice.final, choice.read, choice.delivered) == ("01", True, True, True)
    text = status_of(Reply(889, "4 950925143501+7 on my way"))
    assert (text.answer, text.at) == ("on my way", datetime(1995, 9, 25, 7, 35, 1, tzinfo=UTC))


@pytest.mark.parametrize("text", ["", "Delivered", "1", "x 261121174530 y", "3 999999999999 z", "1 2 3"])
def test_a_status_that_does_not_parse_is_kept_as_text(text: str) -> None:
    """Only the code counts then."""
    status = status_of(Reply(880, text))
    assert status.delivered
    assert status.at is None


def test_which_statuses_are_final() -> None:
    """88x concluded and 780 expired; 86x, 870 and 960 are not."""
    codes = [556, 550, 760, 780, 860, 861, 870, 880, 881, 888, 889, 960]
    assert [code for code in codes if m.MessageStatus(code=code).final] == [760, 780, 880, 881, 888, 889]
    assert [code for code in codes if not m.MessageStatus(code=code).known] == [556, 550]


@few
@given(
    st.builds(
        m.MessageStatus,
        code=st.sampled_from([780, 860, 861, 870, 880, 881, 888, 889, 960]),
        sequence=st.integers(0, 10**6),
        at=moments,
        rest=texts,
    )
)
def test_every_status_survives_the_wire(status: m.MessageStatus) -> None:
    """Our server's answers are read by our client."""
    [reply] = decode_replies(encode_reply(status_reply(status)))
    assert status_of(reply) == m.MessageStatus(
        code=status.code, sequence=status.sequence, at=status.at, rest=status.rest
    )


def test_values_of_a_page_are_checked_when_they_are_made() -> None:
    """The error names the field."""
    one = PagerId("1")
    for build, field in [
        (lambda: m.Recipient(pager=one, level=12), "service level"),
        (lambda: m.Recipient(pager=one, hold=datetime(2026, 1, 1)), "hold time"),
        (lambda: m.Recipient(pager=one, hold=datetime(2100, 1, 1, tzinfo=UTC)), "hold time"),
        (lambda: m.TwoWayOptions(expire_hours=0), "expiry"),
        (lambda: m.McResponse(code="12345", text="x"), "response code"),
        (lambda: m.Transaction(recipients=()), "recipients"),
        (
            lambda: m.Transaction(recipients=(m.Recipient(pager=one),) * 2, two_way=m.TwoWayOptions()),
            "recipients",
        ),
    ]:
        with pytest.raises(InvalidValue) as caught:
            build()
        assert caught.value.field == field
