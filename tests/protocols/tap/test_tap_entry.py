"""Our entry device against terminals as TAP 1.8 and the field have them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tap_fakes import ACK, DROP, GO, HELLO, NAK, RS, Entry, logged_on, page

from protocols.events import ReadyToSend, Wait, Write
from protocols.tap import codec
from protocols.tap import messages as m
from protocols.tap import session as s
from protocols.tap.codec import Breaks, Continuation
from protocols.tap.messages import (
    InDoubt,
    InvalidValue,
    Kind,
    Later,
    LocalProtocolError,
    NotSent,
    Password,
    Refused,
    Taken,
)
from protocols.tap.session import (
    NEXT,
    Manner,
    Move,
    NotOpened,
    Opened,
    Phase,
    Timing,
    Transparency,
)

YES = b"211 Page accepted\r" + ACK
LONG = page("x" * 400)


# The call, byte by byte


def test_a_call_as_hylafax_recorded_it() -> None:
    """CR, ID=, logon, go-ahead, block, EOT: the bytes of a fielded program against a 1.8 terminal."""
    entry = Entry()
    entry.hear(b"ID=").hear(b"110 1.8\r114 Welcome to the test terminal\r" + ACK).hear(GO)
    assert entry.opened == Opened(
        version="1.8",
        transparent=True,
        said=(m.Message(110, ("1.8",)), m.Message(114, ("Welcome to the test terminal",))),
    )
    result = entry.send(page(), YES)
    assert isinstance(result, Taken)
    assert (result.answer.code, result.answer.text) == (211, "Page accepted")
    entry.quit().hear(b"115 Goodbye\r" + DROP).expire()
    assert entry.sent == b"\r\x1bPG1\r" + HELLO + b"\x04\r"
    assert entry.over
    assert entry.farewell == m.Farewell(taken=1, why="we logged off")


def test_a_call_as_sendpage_recorded_it() -> None:
    """A password of six zeros, SUB J for line ends, several pages in a call."""
    entry = Entry(logon=m.Automatic(password=Password("000000")))
    entry.hear(b"ID=").hear(b"110 1.8\r114 hi\r" + ACK + GO)
    text = "line one\n.dotted\n\tthere"
    entry.send(page(text, transparent=True), YES)
    entry.send(page("two", "7"), YES)
    assert entry.sent.startswith(b"\r\x1bPG1000000\r\x025551234\rline one\x1aJ.dotted\x1aJ\x1aIthere\r\x03")
    assert [type(result) for result in entry.results] == [Taken, Taken]


def test_the_cr_after_the_checksum_is_the_point_of_no_return() -> None:
    """All but it leaves first, then what has come is read, then it is written."""
    entry = logged_on()
    entry.at_once = False
    entry.send()
    assert entry.sent == HELLO[:-1]
    assert isinstance(entry.events[-1], ReadyToSend)
    entry.commit()
    assert entry.sent == HELLO
    assert entry.events[-2:] == [Write(data=b"\r"), Wait(seconds=30.0)]


# ID= (the field's quirks, row 1)


@pytest.mark.parametrize(
    "prompt",
    [
        b"ID=",
        b"ID=\r",
        b"ID=\r\n",
        b"ID=\n\r",
        b"\r\n ID=",
        b" ID=",
        b"Welcome!\r\nCalls are logged\r\nID=",
        b"hi ID=",
    ],
)
def test_id_is_taken_in_every_form(prompt: bytes) -> None:
    """With and without line end, banner, blanks, and split over reads."""
    for cuts in ([prompt], [prompt[i : i + 1] for i in range(len(prompt))]):
        entry = Entry()
        for data in cuts:
            entry.hear(data)
        assert entry.wrote == [b"\r", b"\x1bPG1\r"]
        entry.hear(b"\r" + ACK + GO)
        assert entry.session.idle


def test_id_said_unasked_before_our_first_cr_counts() -> None:
    """What comes right after CONNECT is not flushed, also if we wait before the first CR."""
    entry = Entry(timing=Timing(first=5.0))
    assert (entry.wrote, entry.wait) == ([], 5.0)
    entry.hear(b"ID=")
    assert entry.wrote == [b"\x1bPG1\r"]


def test_id_said_several_times_gets_one_logon() -> None:
    """Our CRs were answered one by one; soon after the logon they are old."""
    entry = Entry()
    entry.hear(b"ID=\rID=").hear(b"\rID=")
    assert entry.wrote == [b"\r", b"\x1bPG1\r"]
    assert entry.wait == 1.0


def test_id_that_comes_later_asks_for_the_logon_again() -> None:
    """It was garbled; three logons at most."""
    entry = Entry().hear(b"ID=")
    entry.expire().hear(b"ID=")
    entry.expire().hear(b"\r\nID=")
    assert entry.wrote[1:] == [b"\x1bPG1\r"] * 3
    entry.expire().hear(b"ID=")
    assert isinstance(entry.opened, NotOpened)
    assert entry.opened.step == "LOGON"


def test_a_late_id_is_waited_for() -> None:
    """A CR every two seconds, twenty in all; then the call is over."""
    entry = Entry().expire(9)
    assert entry.wrote == [b"\r"] * 10
    late = Entry().expire(9).hear(b"ID=")
    assert late.wrote[-1] == b"\x1bPG1\r"
    entry.expire()
    assert entry.opened == NotOpened(why="no ID= came", step="ID=")
    assert entry.over


def test_endless_text_before_id_ends_with_the_wait() -> None:
    """A long banner keeps nothing and gains no time; one without end ends the call, and so do endless lines."""
    entry = Entry()
    wait = len(entry.of(Wait))
    entry.hear(b"*" * 16_000)
    assert len(entry.of(Wait)) == wait
    entry.hear(b"*" * 400)
    assert entry.opened == NotOpened(why="the terminal says more than 16384 octets", step="ID=")
    entry = Entry().hear(b"*\r" * 300)
    assert entry.opened == NotOpened(why="the terminal says more than 200 lines", step="ID=")


# The logon (rows 2 and 4)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ((b"\r\x06\r\r\x1b[p\r",), None),  # a US carrier, 2014
        ((b"110 1.8\r" + ACK + GO,), "1.8"),  # ACK and go-ahead without a pause
        ((b"110 1.6\r", ACK, b"114 Welcome\rTwenty-four hours\r", GO), "1.6"),  # text between
        ((GO,), None),  # go-ahead without ACK
        ((b"\x06", b"\x1b", b"[", b"p"), None),  # no CR at all
        ((b"\n\rready\n\r\x06\n\r\x00\x1b[p\r\n",), None),  # LF, NUL, lower case
        ((b"110 1.8  \r\r" + ACK + b"\r" + GO,), "1.8"),  # blanks, doubled CR
        (tuple(bytes((octet | 0x80,)) for octet in b"110 1.8\r\x06\r\x1b[p\r"), "1.8"),  # parity bits
    ],
)
def test_logon_answers_in_every_form(said: tuple[bytes, ...], version: str | None) -> None:
    """In one chunk or many, with and without text."""
    entry = logged_on(*said)
    assert isinstance(entry.opened, Opened)
    assert entry.opened.version == version


@pytest.mark.parametrize(
    ("version", "reads"), [(b"1.5", False), (b"1.6", True), (b"1.10", True), (b"2.0", True)]
)
def test_sub_pairs_are_for_terminals_since_1_6(version: bytes, reads: bool) -> None:
    """The version that 110 says decides, unless the settings know better."""
    entry = logged_on(b"110 " + version + b"\r" + ACK + GO)
    assert entry.opened.transparent is reads
    assert not logged_on(transparency=Transparency.NEVER).opened.transparent
    assert logged_on(ACK + GO, transparency=Transparency.ALWAYS).opened.transparent
    if not reads:
        with pytest.raises(InvalidValue, match="SUB"):
            entry.send(page("a\nb", transparent=True))
        assert entry.send(page("a\nb", breaks=Breaks.FIELD), YES)
        assert b"\ra\rb\r\x03" in entry.sent


def test_logon_nak_repeats_it_three_times() -> None:
    """Then the call is over, with the code that says whose fault it is."""
    entry = Entry().hear(b"ID=").hear(NAK).hear(b"509 wrong\r" + NAK)
    assert entry.wrote[1:] == [b"\x1bPG1\r"] * 3
    entry.hear(b"509 wrong\r" + NAK)
    assert isinstance(entry.opened, NotOpened)
    assert entry.opened.answer
    assert entry.opened.answer.kind is Kind.OURS


def test_a_silent_logon_is_repeated_once() -> None:
    """After T2 and the rest of T3; then once more."""
    entry = Entry().hear(b"ID=")
    assert entry.wait == 1.0
    assert entry.expire().wait == 14.0
    entry.expire(3)
    assert entry.wrote[1:] == [b"\x1bPG1\r"] * 2
    assert entry.opened == NotOpened(why="no answer to the logon", step="LOGON")


@pytest.mark.parametrize(
    ("said", "step", "kind"),
    [
        ((DROP,), "ID=", Kind.TEMPORARY),
        ((b"ID=", b"508 no PG1 here\r" + DROP), "LOGON", Kind.OURS),
        ((b"ID=", DROP), "LOGON", Kind.TEMPORARY),
        ((b"ID=", ACK, b"113 enough for today\r" + DROP), "GO", Kind.LIMIT),
        ((b"ID=", ACK, NAK), "GO", Kind.REPEAT),
        ((b"ID=", RS), "LOGON", Kind.PERMANENT),
    ],
)
def test_a_terminal_may_refuse_the_logon(said: tuple[bytes, ...], step: str, kind: Kind) -> None:
    """ESC EOT at any time before the go-ahead; the code says why."""
    entry = Entry()
    for data in said:
        entry.hear(data)
    assert isinstance(entry.opened, NotOpened)
    assert (entry.opened.step, entry.opened.answer.kind) == (step, kind)
    assert entry.over


def test_text_before_the_go_ahead_gives_it_time() -> None:
    """Each line begins the wait anew; 200 lines are enough, and so is silence."""
    entry = Entry().hear(b"ID=").hear(ACK)
    assert entry.wait == 30.0
    entry.wait = None
    assert entry.hear(b"one moment\r").wait == 30.0
    entry.expire()
    assert entry.opened == NotOpened(why="no go-ahead came", step="GO")


def test_111_at_logon_gives_time() -> None:
    """The terminal works on it."""
    entry = Entry().hear(b"ID=").hear(b"111 wait\r")
    assert entry.wait == 15.0


# Answers to a block (rows 3 and 4)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (b"\r%s\r", ""),
        (b"%s\r", ""),
        (b"%s", ""),
        (b"page noted\r%s\r", "page noted"),
        (b"page noted\r\n%s\r\n", "page noted"),
        (b"\r\r\n\n%s\n\r\n", ""),
        (b"page noted   \r\x00%s\r", "page noted"),
    ],
)
def test_answers_are_taken_in_every_form(form: bytes, text: str) -> None:
    """Text or none, CR before or none, LF anywhere; for yes, again, no and over."""
    for control, kind in {b"\x06": Taken, b"\x1e": Refused, b"\x1b\x04": InDoubt}.items():
        result = logged_on().send(page(), form % control)
        assert type(result) is kind
        if not isinstance(result, InDoubt):
            assert result.answer.text == text
    again = logged_on()
    again.send(page(), form % b"\x15")
    assert again.sent == HELLO * 2


def test_text_after_the_control_belongs_to_the_answer_before() -> None:
    """Zetron 2000: ``ACK CR * acknowledged * LF CR``; and a code behind is not the next page's."""
    entry = logged_on()
    assert isinstance(entry.send(page(), b"\x06\r* acknowledged *\n\r"), Taken)
    entry.hear(b"511 old news\r")
    entry.at_once = False
    entry.send()
    entry.hear(b"515 older news\r")  # read before the CR is written
    result = entry.commit().hear(ACK).results[-1]
    assert isinstance(result, Taken)
    assert result.answer.code is None


def test_an_answer_may_come_in_pieces() -> None:
    """Cut at every byte."""
    answer = b"211 Page accepted\r\n\x06\r\n"
    for cut in range(len(answer) + 1):
        entry = logged_on()
        entry.send(page(), answer[:cut], answer[cut:])
        assert [type(one) for one in entry.results] == [Taken]


@pytest.mark.parametrize(
    ("answer", "kind", "left"),
    [
        (b"211 ok\r" + ACK, Taken, None),
        (b"213 later\r" + ACK, Taken, None),
        (b"212 cut\r" + ACK, Taken, None),
        (b"214 80 sent\r" + ACK, Taken, None),
        (b"112 that was it\r" + ACK, Taken, 0),
        (b"511 no such\r" + RS, Refused, None),
        (b"511\r" + RS, Refused, None),
        (b"510 bad\r" + RS, Refused, None),
        (b"504 x\r" + RS, Refused, None),
        (b"505 x\r" + RS, Refused, None),
        (b"513 x\r" + RS, Refused, None),
        (b"515 x\r" + RS, Refused, None),
        (b"517 80 x\r" + RS, Refused, None),
        (b"512 not now\r" + RS, Later, None),
        (b"516 quota\r" + RS, Later, None),
        (b"514 sum\r" + RS, Later, None),  # Zetron 2000 says RS after three checksum errors
        (b"System busy\r" + RS, Later, None),
        (RS, Refused, None),
        (b"503 sums\r" + DROP, Later, 0),
        (b"506 invalid pages\r" + DROP, Later, 0),
        (b"501 you are slow\r" + DROP, Later, 0),
        (b"509 password\r" + DROP, Refused, 0),
        (b"112 pages\r" + DROP, NotSent, 0),
        (b"113 time\r" + DROP, NotSent, 0),
        (b"113 time\r" + RS, NotSent, 0),
        (b"211 sent\r" + DROP, Taken, 0),
        (DROP, InDoubt, 0),
        (b"115 bye\r" + DROP, InDoubt, 0),
        (b"511 no such\r" + ACK, InDoubt, 0),  # yes and no
        (b"211 sent\r" + RS, InDoubt, 0),
    ],
)
def test_what_an_answer_to_the_block_means(answer: bytes, kind: type, left: int | None) -> None:
    """The control says what happens next on the wire, the code what became of the page."""
    entry = logged_on()
    result = entry.send(page(), answer)
    assert type(result) is kind
    assert entry.session.left == left
    if isinstance(result, NotSent):
        assert result.limit
        again = entry.send()
        assert again == NotSent(why="the call takes no more pages", limit=True)


def test_limits_heard_are_told() -> None:
    """214 and 517 say how much the pager takes."""
    cut = logged_on().send(page(), b"214 80 characters sent\r" + ACK)
    assert isinstance(cut, Taken)
    assert (cut.answer.cut, cut.answer.limit) == (True, 80)
    refused = logged_on().send(page(), b"517 80\r" + RS)
    assert isinstance(refused, Refused)
    assert refused.answer.limit == 80


def test_after_rs_the_call_goes_on() -> None:
    """This page is not taken, the next one may be."""
    entry = logged_on()
    assert isinstance(entry.send(page(), b"511 unknown\r" + RS), Refused)
    assert isinstance(entry.send(page("next", "7"), YES), Taken)
    assert entry.farewell.taken == 1


# NAK (row 6, and faults F44)


def test_nak_repeats_the_block() -> None:
    """A block the terminal did not understand is sent again, unchanged, three times."""
    entry = logged_on()
    result = entry.send(page(), b"514 sum\r" + NAK, NAK, b"502 what\r" + NAK, YES)
    assert isinstance(result, Taken)
    assert entry.sent == HELLO * 4
    assert entry.session.left is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (NAK, Later),
        (b"514 sum\r" + NAK, Later),
        (b"512 not now\r" + NAK, Later),  # old WaveWare
        (b"511 unknown\r" + NAK, Refused),
    ],
)
def test_nak_for_ever_ends_the_call(answer: bytes, kind: type) -> None:
    """Four sends, then EOT; the code says whether another call may help."""
    entry = logged_on()
    result = entry.send(page(), *[answer] * 4)
    assert type(result) is kind
    assert entry.sent == HELLO * 4 + b"\x04\r"
    assert entry.session.closed
    assert isinstance(entry.send(), NotSent)


def test_how_often_is_a_setting() -> None:
    """Zetron repeats five times, a bad line may want more."""
    entry = logged_on(sends=2)
    entry.send(page(), NAK, NAK)
    assert entry.sent == HELLO * 2 + b"\x04\r"


# Silence and loss (fault F45)


def test_a_lost_ack_is_one_copy_more_and_then_doubt() -> None:
    """At most two copies in a call."""
    entry = logged_on()
    entry.send()
    entry.expire()
    assert entry.sent == HELLO * 2
    entry.expire()
    assert entry.results == [InDoubt(why="no answer to the page")]
    assert entry.sent == HELLO * 2 + b"\x04\r"


def test_a_site_may_forbid_the_copy() -> None:
    """Where a page costs money."""
    entry = logged_on(repeats=0)
    entry.send()
    entry.expire()
    assert entry.results == [InDoubt(why="no answer to the page")]


def test_after_a_copy_no_further_page_is_sent_in_the_call() -> None:
    """The terminal may still owe an answer, which would be taken for the next page's."""
    entry = logged_on()
    entry.send()
    entry.expire().hear(YES)
    assert [type(one) for one in entry.results] == [Taken]
    assert entry.wrote[-1] == b"\x04\r"
    assert entry.session.left == 0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"512 x\r" + RS, InDoubt), (b"113 x\r" + DROP, InDoubt), (DROP, InDoubt), (b"511 x\r" + RS, Refused)],
)
def test_a_refused_copy_says_little_about_the_first(answer: bytes, kind: type) -> None:
    """Not now, said to the copy, may be because of the first; no such pager holds for both."""
    entry = logged_on()
    entry.send()
    entry.expire().hear(answer)
    assert [type(one) for one in entry.results] == [kind]


def test_nak_after_silence_is_doubt_too() -> None:
    """The copies were not understood, the first one may have been."""
    entry = logged_on()
    entry.send()
    entry.expire()
    for _ in range(3):
        entry.hear(NAK)
    assert [type(one) for one in entry.results] == [InDoubt]


def test_111_gives_time() -> None:
    """Still working on it."""
    entry = logged_on()
    entry.send()
    entry.wait = None
    assert entry.hear(b"111 please wait\r").wait == 30.0
    entry.wait = None
    assert entry.hear(b"other words\r").wait is None
    assert entry.hear(YES).results


@pytest.mark.parametrize(
    "loss", [lambda entry: entry.lose(), lambda entry: entry.hear(b"\r\nNO CARRIER\r\n")]
)
def test_loss_before_the_cr_is_not_sent_and_after_it_doubt(loss: object) -> None:
    """Carrier loss, or what a modem says of it in the stream."""
    before = logged_on()
    before.at_once = False
    before.send()
    assert [type(one) for one in loss(before).results] == [NotSent]
    after = logged_on()
    after.send()
    assert [type(one) for one in loss(after).results] == [InDoubt]
    assert after.over
    idle = logged_on()
    assert loss(idle).results == []
    assert idle.over


def test_cut_at_every_byte_of_an_answer() -> None:
    """The line breaks after each byte of a yes: with the ACK it is taken, before it doubt."""
    answer = b"211 Page accepted\r\x06\r"
    for cut in range(len(answer) + 1):
        entry = logged_on()
        entry.send(page(), answer[:cut])
        entry.lose()
        assert type(entry.results[-1]) is (Taken if b"\x06" in answer[:cut] else InDoubt)
        assert len(entry.results) == 1


@pytest.mark.parametrize("answer", [b"511 unknown\r\x1e\r", b"113 time\r\x1b\x04\r", b"\x1b\x04\r"])
def test_cut_at_every_byte_of_a_no(answer: bytes) -> None:
    """The same of RS and ESC EOT: no page is ever taken, and half an answer is doubt."""
    whole = logged_on().send(page(), answer)
    for cut in range(len(answer) + 1):
        entry = logged_on()
        entry.send(page(), answer[:cut])
        entry.lose()
        said = answer[:cut].endswith((b"\x1e", b"\x04", b"\x1e\r", b"\x04\r"))
        assert type(entry.results[-1]) is (type(whole) if said else InDoubt)


def test_cut_at_every_byte_of_a_logon() -> None:
    """Until the go-ahead is whole nothing is opened."""
    answer = b"ID=110 1.8\r\x06\r\x1b[p\r"
    for cut in range(len(answer)):
        entry = Entry().hear(answer[:cut]).lose()
        whole = cut > answer.index(b"p")
        assert isinstance(entry.opened, Opened if whole else NotOpened)
        assert entry.over


# Several blocks


def test_a_long_page_goes_block_by_block() -> None:
    """Each is answered before the next; the CR of the last is the point of no return."""
    entry = logged_on()
    first, second = codec.encode_page(LONG)
    assert entry.send(LONG) is None
    assert entry.wrote == [first]
    entry.hear(b"514\r" + NAK)
    assert entry.wrote == [first, first]
    entry.hear(b"211 part\r" + ACK)
    assert entry.sent == first * 2 + second
    assert type(entry.hear(YES).results[-1]) is Taken


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (lambda entry: entry.lose(), NotSent),
        (lambda entry: entry.expire(), NotSent),
        (lambda entry: entry.hear(DROP), NotSent),
        (lambda entry: entry.hear(b"113\r" + DROP), NotSent),
        (lambda entry: entry.hear(b"511\r" + RS), Refused),
        (lambda entry: entry.hear(b"516\r" + RS), Later),
    ],
)
def test_trouble_in_the_first_of_two_blocks_is_no_doubt(trouble: object, kind: type) -> None:
    """Half a transaction is none; its blocks are not repeated for want of an answer."""
    entry = logged_on()
    entry.send(LONG)
    trouble(entry)
    assert [type(one) for one in entry.results] == [kind]
    assert b"\x03" not in entry.sent


def test_etb_for_zetron_and_nothing_for_others() -> None:
    """The way a terminal continues is a setting; without one the page is refused before a byte is sent."""
    zetron = logged_on(continuation=Continuation.ETB)
    zetron.send(LONG)
    assert zetron.wrote[0][-6:-4] == b"\r\x17"
    single = logged_on(continuation=Continuation.NONE)
    with pytest.raises(InvalidValue, match="too long for one block"):
        single.send(LONG)
    assert single.wrote == []
    assert single.session.idle


def test_smaller_blocks_for_terminals_that_stall() -> None:
    """240 and less are known."""
    entry = logged_on(body=100)
    entry.send(page("x" * 120))
    assert len(entry.wrote[0]) == 106
    with pytest.raises(InvalidValue):
        Manner(body=10)


def test_one_page_a_call() -> None:
    """Some terminals take one, some ten; the call says how many it still takes."""
    entry = logged_on(pages=2)
    assert entry.session.left == 2
    entry.send(page(), YES)
    assert entry.session.left == 1
    entry.send(page(), YES)
    assert entry.session.left == 0
    assert entry.send() == NotSent(why="the call takes no more pages", limit=True)
    assert not entry.over


# ESC EOT, RS and noise at any time (rows 5 and 7)


def test_esc_eot_behind_the_ack_is_the_end_of_the_call_not_of_the_page() -> None:
    """In one chunk or later."""
    entry = logged_on()
    assert isinstance(entry.send(page(), b"\x06\r112 limit\r\x1b\x04\r"), Taken)
    assert entry.session.left == 0
    assert isinstance(entry.send(), NotSent)
    assert entry.expire().over
    idle = logged_on().hear(DROP)
    assert idle.session.closed
    assert idle.wrote == []


def test_a_terminal_may_hang_up_without_esc_eot() -> None:
    """After the log-off that is no failure of anything."""
    for end in (
        lambda entry: entry.lose(),
        lambda entry: entry.expire(),
        lambda entry: entry.hear(b"NO CARRIER\r"),
    ):
        entry = logged_on()
        entry.send(page(), YES)
        end(entry.quit())
        assert entry.over
        assert entry.farewell == m.Farewell(taken=1, why="we logged off")


def test_rs_at_log_off_is_a_result_of_its_own() -> None:
    """Something that was accepted is not; with one page in the call it is that one."""
    entry = logged_on()
    entry.send(page(), YES)
    entry.quit().hear(b"511 after all\r" + RS).hear(b"115 bye\r" + DROP)
    assert entry.farewell.taken == 1
    assert entry.farewell.refusal
    assert entry.farewell.refusal.code == 511
    assert [type(one) for one in entry.results] == [Taken]


def test_rs_behind_the_ack_is_the_same() -> None:
    """It came before our EOT."""
    entry = logged_on()
    entry.send(page(), YES)
    entry.hear(RS)
    assert entry.farewell.refusal
    assert entry.wrote[-1] == b"\x04\r"


def test_hang_up_words_on_a_leased_line_are_text() -> None:
    """A terminal that says +++ATH before it goes."""
    entry = logged_on()
    entry.send(page(), YES)
    entry.hear(b"+++ATH\r")
    assert entry.session.idle


def test_id_while_ready_logs_on_again() -> None:
    """The terminal began anew; a page asked for meanwhile waits for the go-ahead."""
    entry = logged_on().hear(b"\r\nID=")
    assert entry.wrote == [b"\x1bPG1\r"]
    assert entry.send() is None
    entry.hear(ACK)
    entry.hear(GO)
    assert entry.sent == b"\x1bPG1\r" + HELLO
    assert type(entry.hear(YES).results[-1]) is Taken
    assert len(entry.of(Opened)) == 1


def test_a_page_that_waits_for_a_logon_that_fails_is_not_sent() -> None:
    """Three logons a call, the first included."""
    entry = logged_on()
    for _ in range(3):
        entry.hear(b"\r\nID=").hear(ACK + GO)
    assert entry.over
    entry = logged_on().hear(b"\r\nID=")
    entry.send()
    entry.hear(b"509\r" + DROP)
    assert [type(one) for one in entry.results] == [NotSent]


def test_idle_chatter_is_text() -> None:
    """And NAK while nothing is asked is an answer to noise."""
    entry = logged_on().hear(b"SYSTEM TIME 12:00\r" + NAK)
    assert entry.session.idle
    assert isinstance(entry.send(page(), YES), Taken)


def test_an_answer_that_nobody_asked_for_ends_the_call() -> None:
    """A second ACK: from now on any answer could be another's."""
    entry = logged_on()
    entry.send(page(), YES)
    entry.hear(ACK)
    assert entry.wrote[-1] == b"\x04\r"
    assert isinstance(entry.send(), NotSent)


@pytest.mark.parametrize(
    ("answer", "kind", "over"),
    [(ACK, InDoubt, True), (RS, NotSent, True), (DROP, NotSent, False), (NAK, None, False)],
)
def test_an_answer_before_the_cr_is_no_answer(answer: bytes, kind: type | None, over: bool) -> None:
    """ACK: does it take blocks without CR? RS, ESC EOT: nothing was sent. NAK: to noise, the block goes on."""
    entry = logged_on()
    entry.at_once = False
    entry.send()
    entry.hear(answer)
    assert [type(one) for one in entry.results] == ([kind] if kind else [])
    assert entry.over is over
    assert entry.sent == HELLO[:-1]


# Rules of the house


def test_one_page_at_a_time() -> None:
    """And none before the go-ahead."""
    entry = logged_on()
    entry.send()
    with pytest.raises(LocalProtocolError):
        entry.send()
    with pytest.raises(LocalProtocolError):
        Entry().send()
    with pytest.raises(LocalProtocolError):
        logged_on().session.commit()


def test_quit_gives_up_what_is_under_way() -> None:
    """A page whose CR is out is in doubt."""
    entry = logged_on()
    entry.send()
    assert [type(one) for one in entry.quit().results] == [InDoubt]
    waking = Entry().quit()
    assert isinstance(waking.opened, NotOpened)
    assert waking.over
    assert waking.quit().lose().over


def test_manual_logon_has_its_bytes() -> None:
    """Clients never use it; terminals hear it."""
    assert codec.encode_logon(m.Manual(line="M")) == b"M\r"


def test_states_are_a_table() -> None:
    """Every phase but the first is reached, every phase but the last is left, each can close."""
    assert {phase for phase, _ in NEXT} == set(Phase)
    assert set(NEXT.values()) == set(Phase) - {Phase.CALLING}
    assert all(NEXT[phase, Move.CLOSE] is Phase.CLOSED for phase in Phase)
    assert [phase for (phase, move) in NEXT if move is Move.COMMIT] == [Phase.BLOCK]


SAID = st.sampled_from(
    [
        ACK,
        NAK,
        RS,
        DROP,
        GO,
        b"ID=",
        b"\r\nID=",
        b"211 ok\r",
        b"511 no\r",
        b"113 time\r",
        b"111 wait\r",
        b"NO CARRIER\r",
        b"x",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(SAID, st.just("expire"), st.just("page"), st.binary(max_size=5)), max_size=40))
def test_whatever_a_terminal_does_each_page_ends_once(story: list) -> None:
    """And nothing is taken without an ACK, or a code that says so; a page whose CR was not written is never taken."""
    entry = Entry()
    pages = 0
    for what in story:
        if what == "expire":
            if entry.wait is not None:
                entry.expire()
        elif what == "page":
            if entry.session.idle:
                entry.send()
                pages += 1
        else:
            entry.hear(what)
    entry.lose()
    assert len(entry.results) == pages
    assert entry.over
    taken = sum(isinstance(one, Taken) for one in entry.results)
    assert taken == entry.farewell.taken
    assert taken <= entry.wrote.count(b"\r")
    assert len(entry.of(s.Over)) == 1
