"""Our terminal against callers as TAP 1.8 and the field have them."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tap_fakes import ACK, DROP, GO, HELLO, NAK, RS, Entry, Terminal, page

from protocols.tap import codec
from protocols.tap import messages as m
from protocols.tap import session as s
from protocols.tap.codec import ETB, US, encode_block
from protocols.tap.messages import Answer, Control, LocalProtocolError, answer_of
from protocols.tap.session import SERVER_NEXT, ServerTiming, Stage, Turn

OK = b"211 page accepted\r" + ACK
BAD = HELLO[:-4] + b"000\r"
CLOSING = b"115 Goodbye\r" + DROP


# The call


def test_a_call_of_hylafax_byte_by_byte() -> None:
    """The bytes recorded from pagesend, and ours."""
    terminal = Terminal()
    assert terminal.say(b"\r") == b"ID="
    assert terminal.say(b"\x1bPG1\r") == b"110 1.8\r" + ACK + GO
    assert terminal.say(HELLO) == OK
    assert terminal.pages == [m.Received(pager="5551234", text="hello world")]
    assert terminal.say(b"\x04\r") == CLOSING
    assert terminal.hung_up


def test_a_call_of_sendpage_byte_by_byte() -> None:
    """Password of zeros, SUB J for line ends with one at the end, two blocks by US."""
    terminal = Terminal()
    terminal.say(b"\r")
    assert terminal.say(b"\x1bPG1000000\r").endswith(ACK + GO)
    block = (
        bytes.fromhex("02 35353531323334 0D") + b"line one\x1aJ.dotted\x1aJ\x1aJtab\x1aIhere\x1aJ\r\x03<12\r"
    )
    assert terminal.say(block) == OK
    assert terminal.texts == ["line one\n.dotted\n\ntab\there"]
    first, second = codec.encode_page(page("x" * 301))
    assert terminal.say(first) == b"211 part taken\r" + ACK
    assert terminal.say(second) == OK
    assert terminal.texts[1] == "x" * 301


def test_at_most_two_lines_before_a_control_character() -> None:
    """HylaFAX gives up after the third and would page again."""
    terminal = Terminal(welcome="Ward pager")
    assert terminal.say(b"\r") == b"ID="
    assert terminal.say(b"\x1bPG1\r") == b"110 1.8\r114 Ward pager\r" + ACK + GO


def test_an_old_terminal_says_words_only() -> None:
    """For callers that know nothing of TAP 1.6, and for our simulated carriers."""
    terminal = Terminal(codes=False, version=None, prompt="\r\nWelcome\r\n ID=\r\n")
    assert terminal.say(b"\r") == b"\r\nWelcome\r\n ID=\r\n"
    assert terminal.say(b"\x1bPG1\r") == ACK + GO
    terminal.answers = [answer_of(511, "Invalid pager number")]
    assert terminal.say(HELLO) == b"Invalid pager number\r" + RS


# What every terminal must take (field's quirks)


@pytest.mark.parametrize("crs", [1, 3, 20])
def test_wake_up_crs_in_any_number_get_one_id(crs: int) -> None:
    """In a burst; one each second if they come slower."""
    terminal = Terminal()
    assert terminal.say(b"\r" * crs) == b"ID="
    assert terminal.wait == 1.0
    assert terminal.say(b"\r") == b""
    assert terminal.expire() == b""
    assert terminal.say(b"\r") == b"ID="
    assert terminal.say(b"\x1bPG1\r").endswith(GO)


@pytest.mark.parametrize(
    "before", [b"\x04\r", b"\x04\r\r", b"\r\x04\r", b"\x00\x11\r", b"AT\r", b"\r\n", b"\x8d", b"\x1b\x04\r\r"]
)
def test_what_callers_say_before_the_logon(before: bytes) -> None:
    """EOT CR to begin clean, noise, LF, parity bits."""
    terminal = Terminal()
    terminal.say(before + b"\r")
    assert terminal.say(b"\x1bPG1\r").endswith(ACK + GO)


@pytest.mark.parametrize(
    "logon", [b"\x1bPG1\r", b"\x1bpg1\r", b"\x1bPG1\r\n", b"\x1bPG1secret\r", b"\x9bPG1\x8d"]
)
def test_logons_that_are_taken(logon: bytes) -> None:
    """Lower case; any password where none is set."""
    assert Terminal().say(b"\r" + logon).endswith(ACK + GO)
    assert Terminal().say(logon).endswith(ACK + GO)  # without waiting for ID=


@pytest.mark.parametrize(
    "form",
    [
        HELLO,
        HELLO + b"\n",
        b"\r\n" + HELLO,
        bytes(octet | 0x80 for octet in HELLO),
        b"noise" + HELLO,
        HELLO[:5] + b"\x11\x13" + HELLO[5:],
        encode_block(b"5551234\r\nhello world\r\n"),  # CR LF ends fields
        encode_block(b"5551234\rhello world"),  # no CR after the text
        encode_block(b" 5551234 \rhello world  \r"),
    ],
)
def test_blocks_that_are_taken(form: bytes) -> None:
    """Parity bits, flow control, LF, blanks, a missing CR."""
    terminal = Terminal().logged_on()
    assert terminal.say(form) == OK
    assert terminal.pages == [m.Received(pager="5551234", text="hello world")]


def test_three_fields_and_more_are_lines_of_the_text() -> None:
    """Many callers put raw CRs into a text; PG3 has three fields; a site may refuse them."""
    block = encode_block(b"1\rline1\rline2\r\rline4\r")
    terminal = Terminal().logged_on()
    terminal.say(block)
    assert terminal.pages == [m.Received(pager="1", text="line1\nline2\n\nline4", fields=5)]
    strict = Terminal(many_fields=False).logged_on()
    assert strict.say(block) == b"515 more than two fields\r" + RS


def test_continuation_by_us_and_by_etb() -> None:
    """US goes on in the field, ETB begins another; Zetron's pieces are joined where that is set."""
    parts = [(b"1\rHello, ", US), (b"wor", US), (b"ld\r", codec.ETX)]
    terminal = Terminal().logged_on()
    for body, term in parts:
        assert terminal.say(encode_block(body, term)).endswith(ACK)
    assert terminal.texts == ["Hello, world"]
    pieces = [(b"1\rHello, \r", ETB), (b"world\r", codec.ETX)]
    for joined, text in ((False, "Hello,\nworld"), (True, "Hello, world")):
        terminal = Terminal(pieces=joined).logged_on()
        for body, term in pieces:
            terminal.say(encode_block(body, term))
        assert terminal.texts == [text]


def test_blocks_over_256_are_taken() -> None:
    """HylaFAX sends 307; beyond what is kept the answer is 513, not another try."""
    terminal = Terminal().logged_on()
    assert terminal.say(encode_block(b"1\r" + b"x" * 307 + b"\r")) == OK
    assert terminal.say(encode_block(b"1\r" + b"x" * 2048 + b"\r")) == b"513 block is longer than 1024\r" + RS
    assert terminal.say(HELLO) == OK


def test_a_message_longer_than_we_keep_is_refused() -> None:
    """However many blocks it comes in."""
    terminal = Terminal(text=500).logged_on()
    for part in (b"1\r" + b"x" * 248, b"x" * 250):
        assert terminal.say(encode_block(part, US)).endswith(ACK)
    answer = terminal.say(encode_block(b"y" * 240, US))
    assert answer == b"513 message is longer than 500\r" + RS
    assert terminal.pages == []


@pytest.mark.parametrize("end", [b"\x04\r", b"\x1b\x04\r", b"\x04\r\n", b"\n\x04\r"])
def test_log_off_is_always_answered(end: bytes) -> None:
    """HylaFAX sends an accepted page again if it is not."""
    terminal = Terminal().logged_on()
    terminal.say(HELLO)
    assert terminal.say(end) == CLOSING


def test_callers_may_hang_up_whenever_they_like() -> None:
    """Right after EOT, right after the ACK; a page that came whole is a page."""
    terminal = Terminal(slow=True).logged_on()
    terminal.say(HELLO)
    terminal._run(terminal.session.lose("hung up"))
    assert terminal.answer() == b""
    assert terminal.texts == ["hello world"]


def test_callers_that_never_log_off_are_let_go() -> None:
    """501 after thirty seconds of nothing."""
    terminal = Terminal().logged_on()
    assert terminal.wait == 30.0
    assert terminal.expire() == b"501 the terminal timed out\r" + DROP
    assert terminal.hung_up


def test_callers_that_do_not_log_on() -> None:
    """Some send blocks at once; whether they may is a rule."""
    loose = Terminal(logon_needed=False)
    assert loose.say(HELLO) == OK
    strict = Terminal()
    assert strict.say(HELLO) == b"502 log on first\r" + NAK
    assert strict.pages == []
    assert strict.wait == 8.0


def test_callers_without_checksums() -> None:
    """Wrong or missing; only where the rules say that it does not matter."""
    loose = Terminal(checksum_needed=False).logged_on()
    assert loose.say(BAD) == OK
    assert loose.say(encode_block(b"7\rtwo\r")[:-4] + b"\r") == OK
    assert loose.texts == ["hello world", "two"]


def test_callers_that_do_not_wait_for_answers() -> None:
    """Everything in one go, answered in order."""
    terminal = Terminal(slow=True)
    said = terminal.say(b"\r\x1bPG1\r" + HELLO + encode_block(b"7\rtwo\r") + b"\x04\r")
    assert said.endswith(GO)
    assert terminal.answer() + terminal.answer() + terminal.answer() == OK * 2 + CLOSING
    assert terminal.texts == ["hello world", "two"]


def test_too_much_at_once_ends_the_call() -> None:
    """What waits for the application is bounded; the page in hand still counts."""
    terminal = Terminal(slow=True).logged_on()
    terminal.say(HELLO)
    assert terminal.say(b"x" * 70_000) == b"501 too much at once\r" + DROP
    assert terminal.hung_up
    assert terminal.answer() == b""


# Logons that are refused


def test_manual_mode_is_refused_in_words() -> None:
    """A person, or a caller without TAP."""
    terminal = Terminal()
    assert terminal.say(b"\rM\r") == b"ID=507 This terminal has no manual mode\r" + DROP
    assert terminal.hung_up


def test_malformed_logons_end_at_the_third() -> None:
    """NAK, NAK, ESC EOT."""
    terminal = Terminal()
    terminal.say(b"\r")
    no = b"507 no service after ESC\r"
    assert [terminal.say(b"\x1bP\r") for _ in range(3)] == [no + NAK, no + NAK, no + DROP]
    assert terminal.hung_up


def test_wrong_passwords_end_at_the_third() -> None:
    """The right one is taken; none is wrong too."""
    terminal = Terminal(password=m.Password("123456"))
    terminal.say(b"\r")
    no = b"509 wrong password\r"
    assert terminal.say(b"\x1bPG1\r") == no + NAK
    assert terminal.say(b"\x1bPG1000000\r") == no + NAK
    assert terminal.say(b"\x1bPG1123456\r").endswith(GO)
    other = Terminal(password=m.Password("123456"))
    other.say(b"\r")
    assert [other.say(b"\x1bPG10\r") for _ in range(3)][-1] == no + DROP


def test_other_services_are_refused() -> None:
    """PG3 where only PG1 is served; PG3 where it is."""
    assert Terminal().say(b"\r\x1bPG3\r") == b"ID=508 service not supported\r" + DROP
    terminal = Terminal(services=frozenset({m.Service("PG3")}))
    terminal.say(b"\r\x1bPG3\r" + encode_block(b"1\ra\rb\r"))
    assert terminal.pages == [m.Received(pager="1", text="a\nb", service=m.Service("PG3"), fields=3)]


def test_a_second_logon_is_answered_like_the_first() -> None:
    """The caller did not hear the go-ahead."""
    terminal = Terminal().logged_on()
    assert terminal.say(b"\x1bPG1\r") == b"110 1.8\r" + ACK + GO
    assert terminal.say(HELLO) == OK


# Bad input (catalogue B77, B78)


@pytest.mark.parametrize(
    "block", [BAD, HELLO[:-4] + b"\xff\xff\xff\r", HELLO[:-4] + b"\r", HELLO[:-1] + b"55\r", b"\x02\x03\r"]
)
def test_a_bad_checksum_is_nak_three_times_then_the_end(block: bytes) -> None:
    """Wrong, not printable, missing, too long."""
    terminal = Terminal().logged_on()
    for _ in range(3):
        assert terminal.say(block) == b"514 checksum error\r" + NAK
    assert terminal.say(block) == b"503 too many checksum errors\r" + DROP
    assert terminal.pages == []


def test_a_good_block_forgives_bad_ones() -> None:
    """The count is of bad ones in a row."""
    terminal = Terminal().logged_on()
    for _ in range(5):
        for _ in range(3):
            terminal.say(BAD)
        assert terminal.say(HELLO) == OK
    assert not terminal.hung_up


def test_a_block_without_its_cr_is_none() -> None:
    """Its caller says that it was not sent; after four seconds we ask for it again."""
    terminal = Terminal().logged_on()
    assert terminal.say(HELLO[:-1]) == b""
    assert terminal.wait == 4.0
    assert terminal.expire() == b"514 checksum error\r" + NAK
    assert terminal.pages == []
    assert terminal.say(HELLO) == OK


def test_noise_while_ready_is_nak() -> None:
    """502, and the end after three."""
    terminal = Terminal().logged_on()
    assert terminal.say(b"\r\r") == b""
    for _ in range(3):
        assert terminal.say(b"hello?\r") == b"502 unexpected characters\r" + NAK
    assert terminal.say(b"hello?\r") == b"502 unexpected characters\r" + DROP


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"\rhello\r", b"510 no pager ID\r"),
        (b"5551234\r\r", b"515 message is missing\r"),
        (b"5551234\r \r \r", b"515 message is missing\r"),
        (b"5551234\r", b"515 message field is missing\r"),
        (b"", b"510 no pager ID\r"),
        (b"\r\r", b"510 no pager ID\r"),
        (b"12 34\rhello\r", b"510 pager ID is not 1 to 32 characters\r"),
        (b"1" * 33 + b"\rhello\r", b"510 pager ID is not 1 to 32 characters\r"),
        (b"1\x1aJ2\rhello\r", b"510 pager ID is not 1 to 32 characters\r"),
    ],
)
def test_pages_that_are_none_are_refused_with_their_reason(body: bytes, answer: bytes) -> None:
    """RS with a code; the call goes on."""
    terminal = Terminal().logged_on()
    said = terminal.say(encode_block(body))
    assert said in (answer + RS, b"515 message field is missing\r" + RS)
    assert terminal.say(HELLO) == OK
    assert len(terminal.pages) == 1


def test_tone_only_pages_are_a_rule() -> None:
    """An empty text is a page where that is set."""
    terminal = Terminal(tone_only=True).logged_on()
    assert terminal.say(encode_block(b"5551234\r\r")) == OK
    assert terminal.pages == [m.Received(pager="5551234", text="")]


def test_controls_in_a_text_become_blanks() -> None:
    """HylaFAX sends ESC and STX raw, others BEL; nothing of it reaches whoever reads the text."""
    terminal = Terminal().logged_on()
    terminal.say(encode_block(b"1\ra\x1b[2J\x02b\x07c\x1a\x41d\x7fe\nf\r"))
    assert terminal.texts == ["a [2J b c d e\nf"]


def test_too_many_refused_pages_end_the_call() -> None:
    """506 after ten in a row."""
    terminal = Terminal(refusals=2).logged_on()
    terminal.answers = [answer_of(511), answer_of(512), answer_of(511)]
    said = [terminal.say(encode_block(b"%d\rx\r" % n)) for n in range(3)]
    assert said[0] == b"511 no such subscriber\r" + RS
    assert said[1] == b"512 cannot deliver to this ID now\r" + RS
    assert said[2] == b"506 too many invalid pages in this call\r" + DROP


def test_pages_of_a_call_are_limited() -> None:
    """112, and the caller dials again."""
    terminal = Terminal(pages=1).logged_on()
    assert terminal.say(HELLO) == OK
    assert terminal.say(encode_block(b"7\rtwo\r")) == b"112 page limit of this call reached\r" + DROP
    assert len(terminal.pages) == 1


# The same block again


def test_the_identical_block_directly_repeated_is_no_second_page() -> None:
    """The caller lost our ACK; it gets the same answer."""
    terminal = Terminal().logged_on()
    terminal.answers = [answer_of(213, "held")]
    assert terminal.say(HELLO) == terminal.say(HELLO) == b"213 held\r" + ACK
    assert len(terminal.pages) == 1
    terminal.say(encode_block(b"7\rtwo\r"))
    terminal.say(HELLO)
    assert len(terminal.pages) == 3


def test_a_refused_page_may_be_tried_again() -> None:
    """Only what was accepted is remembered."""
    terminal = Terminal().logged_on()
    terminal.answers = [answer_of(512)]
    assert terminal.say(HELLO).endswith(RS)
    assert terminal.say(HELLO) == OK
    assert len(terminal.pages) == 2


def test_a_copy_that_came_while_we_thought_has_no_answer_of_its_own() -> None:
    """One answer is enough for a caller that waits; a second would be taken for its next page's."""
    terminal = Terminal(slow=True).logged_on()
    terminal.say(HELLO)
    assert terminal.say(HELLO) == b""
    assert terminal.answer() == OK
    assert terminal.asked == []
    terminal.say(encode_block(b"7\rtwo\r"))
    assert terminal.answer() == OK
    assert len(terminal.pages) == 2


def test_half_a_copy_that_came_while_we_thought_is_absorbed_too() -> None:
    """Its rest comes after the answer."""
    terminal = Terminal(slow=True).logged_on()
    terminal.say(HELLO)
    terminal.say(HELLO[:7])
    assert terminal.answer() == OK
    assert terminal.say(HELLO[7:]) == b""
    assert len(terminal.pages) == 1


def test_the_first_part_of_a_page_repeated_is_taken_once() -> None:
    """And the last part after the page is whole."""
    first, second = codec.encode_page(page("x" * 400))
    terminal = Terminal().logged_on()
    for block in (first, first, second, second):
        assert terminal.say(block).endswith(ACK)
    assert terminal.texts == ["x" * 400]


# Time, and the application


def test_id_is_repeated_and_then_we_hang_up() -> None:
    """After eight seconds each, three times."""
    terminal = Terminal()
    terminal.say(b"\r")
    assert terminal.expire() == b""
    assert terminal.wait == 7.0
    for _ in range(3):
        assert terminal.expire() == b"ID="
        terminal.expire()
    assert terminal.expire() == b"501 the terminal timed out\r" + DROP


def test_id_may_be_said_unprompted() -> None:
    """After two seconds of silence; a caller who never says anything is let go."""
    terminal = Terminal(unprompted=True)
    assert terminal.wait == 2.0
    assert terminal.expire() == b"ID="
    silent = Terminal()
    assert silent.wait == 30.0
    assert silent.expire() == b""
    assert silent.hung_up


def test_a_slow_application_is_said_once() -> None:
    """111 gives time to callers who know it."""
    terminal = Terminal(slow=True).logged_on()
    terminal.say(HELLO)
    assert terminal.wait == 6.0
    assert terminal.expire() == b"111 please wait\r"
    assert terminal.wait is None
    assert terminal.answer() == OK


def test_an_application_that_does_not_answer_says_nothing_true() -> None:
    """ESC EOT without a code: neither yes nor no."""
    terminal = Terminal(slow=True).logged_on()
    terminal.say(HELLO)
    assert terminal._run(terminal.session.abandon()) == DROP
    assert terminal.answer() == b""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answer_of(511, "Unbekannt: ü"), b"511 Unbekannt: u\r" + RS),
        (answer_of(514), b"514 checksum error\r" + NAK),
        (answer_of(512, "busy", control=Control.NAK), b"512 busy\r" + NAK),
        (Answer(Control.DROP), DROP),
        (answer_of(113), b"113 time limit of this call reached\r" + DROP),
        (Answer(Control.ACK), ACK),
        (answer_of(211, "ok\x06\r\x1b\x04 123"), b"211 ok     123\r" + ACK),
    ],
)
def test_the_application_decides_the_answer(answer: Answer, said: bytes) -> None:
    """And cannot say a control character by accident."""
    terminal = Terminal().logged_on()
    terminal.answers = [answer]
    assert terminal.say(HELLO) == said
    assert terminal.hung_up is (answer.control is Control.DROP)


def test_rs_at_log_off() -> None:
    """Something that was accepted turned out not to be."""
    terminal = Terminal().logged_on()
    terminal.say(HELLO)
    terminal.regret = answer_of(516, control=Control.RS)
    assert terminal.say(b"\x04\r") == b"516 message quota used up\r" + RS + CLOSING


def test_closing_waits_for_the_answer_that_is_due() -> None:
    """Draining: the page in hand is answered first."""
    terminal = Terminal(slow=True).logged_on()
    terminal.say(HELLO)
    assert terminal._run(terminal.session.close(answer_of(113))) == b""
    assert terminal.answer() == OK + b"113 time limit of this call reached\r" + DROP
    idle = Terminal().logged_on()
    assert idle._run(idle.session.close(Answer(Control.DROP))) == DROP


def test_an_answer_to_no_question_is_our_mistake() -> None:
    """And no caller's."""
    with pytest.raises(LocalProtocolError):
        Terminal().session.answer(answer_of(211))


def test_states_are_a_table() -> None:
    """Every stage but the first is reached, each can close."""
    assert set(SERVER_NEXT.values()) | {Stage.WAITING} == set(Stage)
    assert all(SERVER_NEXT[stage, Turn.CLOSE] is Stage.CLOSED for stage in Stage)


# Both sides


def talk(entry: Entry, terminal: Terminal, cut: int = 10_000) -> None:
    """Carry what each says to the other, in pieces of *cut* octets, until both are silent."""
    for _ in range(200):
        out = entry.sent
        entry.wrote.clear()
        back = b"".join(terminal.say(out[i : i + cut]) for i in range(0, len(out), cut))
        for i in range(0, len(back), cut):
            entry.hear(back[i : i + cut])
        if not out:
            return


@settings(max_examples=30, deadline=None)
@example(texts=["\r0"], cut=1, body=60)
@given(
    st.lists(st.text(st.characters(max_codepoint=0x2FF), min_size=1, max_size=600), min_size=1, max_size=3),
    st.integers(1, 64),
    st.integers(60, 250),
)
def test_our_entry_device_pages_through_our_terminal(texts: list[str], cut: int, body: int) -> None:
    """Whatever the texts, however the line cuts what is said."""
    entry, terminal = Entry(body=body), Terminal(tone_only=True)
    talk(entry, terminal, cut)
    for n, text in enumerate(texts):
        entry.send(page(text, str(n), transparent=True))
        talk(entry, terminal, cut)
    entry.quit()
    talk(entry, terminal, cut)
    assert [type(one) for one in entry.results] == [m.Taken] * len(texts)
    sent = [codec.fields_of(text, transparent=True)[0].encode() for text in texts]
    assert [one.text for one in terminal.pages] == [codec.unescaped(one).decode().rstrip() for one in sent]
    assert terminal.hung_up


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([HELLO, BAD, b"\r", b"\x1bPG1\r", b"\x04\r"])),
        max_size=30,
    )
)
def test_whatever_a_caller_says_pages_are_what_came_whole(story: list[bytes]) -> None:
    """No failure, and no page without ID and text."""
    terminal = Terminal(timing=ServerTiming())
    for data in story:
        terminal.say(data)
        if terminal.wait is not None and len(data) % 7 == 0:
            terminal.expire()
    assert all(one.pager and one.text for one in terminal.pages)
    assert terminal.hung_up or terminal.session.stage is not s.Stage.CLOSED
