"""TAP's bytes: checksums, blocks, transparency, answers. The vectors were computed and cross-checked apart."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tap_fakes import HELLO, page

from protocols.tap import codec
from protocols.tap import messages as m
from protocols.tap.codec import (
    ETB,
    ETX,
    US,
    AnswerDecoder,
    Block,
    Breaks,
    CallerDecoder,
    Continuation,
    GoAhead,
    Line,
    LogOff,
    Prompt,
    Said,
    checksum,
    encode_block,
    encode_page,
    escaped,
    fields_of,
    unescaped,
)
from protocols.tap.messages import (
    Answer,
    Control,
    InvalidValue,
    Kind,
    Message,
    Page,
    PagerId,
    TapText,
    answer_of,
)

FEW = settings(max_examples=60, deadline=None)
TEXT = st.text(alphabet=st.characters(max_codepoint=0x7F), max_size=700)


def decoded(data: bytes, limit: int = 1024) -> list[codec.Calling]:
    decoder = CallerDecoder(limit)
    decoder.feed(data)
    out = []
    while said := decoder.next_one():
        out.append(said)
    return out


def of(pager: str, *fields: str) -> Page:
    return Page(pager=PagerId(pager), fields=tuple(TapText(field) for field in fields))


# Vectors


VECTORS = {
    "TAP 1.8's own example": (of("123", "ABC"), "02 31 32 33 0D 41 42 43 0D 03 31 37 3B 0D"),
    "a trace of 2014": (
        of("7632140090", "he0921484b2g"),
        "02 37 36 33 32 31 34 30 30 39 30 0D 68 65 30 39 32 31 34 38 34 62 32 67 0D 03 35 35 33 0D",
    ),
    "as HylaFAX sends it": (
        of("5551234", "hello world"),
        "02 35 35 35 31 32 33 34 0D 68 65 6C 6C 6F 20 77 6F 72 6C 64 0D 03 35 3E 34 0D",
    ),
    "tone only": (of("5551234", ""), "02 35 35 35 31 32 33 34 0D 0D 03 31 38 38 0D"),
    "A, LF, B by SUB": (
        Page(pager=PagerId("5551234"), fields=(escaped("A\nB"),)),
        "02 35 35 35 31 32 33 34 0D 41 1A 4A 42 0D 03 32 36 3F 0D",
    ),
    "A, CR, LF, B by SUB": (
        Page(pager=PagerId("5551234"), fields=(escaped("A\r\nB"),)),
        "02 35 35 35 31 32 33 34 0D 41 1A 4D 1A 4A 42 0D 03 32 3D 36 0D",
    ),
    "one SUB as text": (
        Page(pager=PagerId("1"), fields=(escaped("\x1a"),)),
        "02 31 0D 1A 5A 0D 03 30 3C 34 0D",
    ),
    "three fields": (
        of("5551234", "line1", "line2"),
        "02 35 35 35 31 32 33 34 0D 6C 69 6E 65 31 0D 6C 69 6E 65 32 0D 03 35 34 38 0D",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_blocks_are_as_the_vectors_say(name: str) -> None:
    """Byte by byte, both ways."""
    job, wire = VECTORS[name]
    data = bytes.fromhex(wire)
    assert encode_page(job) == (data,)
    [block] = decoded(data)
    assert isinstance(block, Block)
    assert block.good
    assert block.fields == tuple(field.encode() for field in (job.pager, *job.fields))


def test_vector_both_fields_empty() -> None:
    """No pager ID is nothing we send, but the sum is the sum."""
    assert encode_block(b"\r\r") == bytes.fromhex("02 0D 0D 03 30 31 3F 0D")


def test_vector_pair_by_us() -> None:
    """The last field of the first block goes on in the second."""
    first = bytes.fromhex("02 35 35 35 31 32 33 34 0D 48 65 6C 6C 6F 2C 20 1F 33 3D 37 0D")
    second = bytes.fromhex("02 77 6F 72 6C 64 0D 03 32 33 3A 0D")
    assert encode_block(b"5551234\rHello, ", US) == first
    assert encode_block(b"world\r") == second
    assert [one.fields for one in decoded(first + second)] == [(b"5551234", b"Hello, "), (b"world",)]


def test_vector_pair_by_etb() -> None:
    """Whole fields in each."""
    first = bytes.fromhex("02 35 35 35 31 32 33 34 0D 17 31 38 3F 0D")
    second = bytes.fromhex("02 48 65 6C 6C 6F 0D 03 32 30 36 0D")
    assert encode_block(b"5551234\r", ETB) == first
    assert encode_block(b"Hello\r") == second
    assert [one.fields for one in decoded(first + second)] == [(b"5551234",), (b"Hello",)]


@pytest.mark.parametrize(
    ("count", "letter", "terminator", "check", "size"),
    [(241, "z", ETX, b"462", 256), (240, "z", ETX, b"3>8", 255), (240, "A", US, b">87", 254)],
)
def test_vector_checksums_of_long_blocks(
    count: int, letter: str, terminator: int, check: bytes, size: int
) -> None:
    """The sum wraps at twelve bits; the longest block has 256 octets."""
    body = f"5551234\r{letter * count}".encode() + (b"" if terminator == US else b"\r")
    data = encode_block(body, terminator)
    assert (data[-4:-1], len(data)) == (check, size)


def test_checksum_is_over_seven_bits() -> None:
    """A line that passes the parity bit through changes nothing."""
    assert checksum(bytes(octet | 0x80 for octet in HELLO[:-4])) == b"5>4"


# Text


def test_text_without_transparency_has_no_controls() -> None:
    """Line ends and controls become blanks, accents go, blanks at the end go."""
    assert fields_of("Bett 4:\r\nDr. Müller – “jetzt”\x07 ☎ \n\n") == ('Bett 4: Dr. Muller - "jetzt"  ?',)


def test_line_ends_may_become_fields() -> None:
    """A raw CR ends a field; many terminals show it as a line."""
    assert fields_of("a\nb\r\nc\n", breaks=Breaks.FIELD) == ("a", "b", "c")


def test_transparent_text_keeps_lines_and_tabs() -> None:
    """Since TAP 1.6, as SUB pairs."""
    assert fields_of("a\tb\r\nc", transparent=True) == ("a\x1aIb\x1aJc",)


def test_three_pluses_are_broken_up() -> None:
    """Old modems hang up on +++ATH even without a guard time."""
    assert fields_of("+++ATH0\r") == ("++ +ATH0",)
    assert "+++" not in fields_of("+" * 9)[0]
    assert fields_of("+++", whole_pluses=True) == ("+++",)


@pytest.mark.parametrize("value", ["12\rATH", "123,456", "+++ATH0", "abc", "1" * 40, "", "12 34", "１２"])
def test_pager_ids_are_digits(value: str) -> None:
    """Anything else is refused before a port is opened."""
    with pytest.raises(InvalidValue):
        PagerId(value)


def test_pager_ids_may_be_padded() -> None:
    """Some terminals want leading zeros."""
    assert PagerId("123").padded(7) == "0000123"


@pytest.mark.parametrize("value", ["a\rb", "\x02", "\x1a", "\x1a!", "ü", "\x7f", "x" * 10_001])
def test_tap_text_holds_only_what_may_go_into_a_block(value: str) -> None:
    """Printable ASCII and whole SUB pairs."""
    with pytest.raises(InvalidValue):
        TapText(value)


def test_a_password_is_not_shown() -> None:
    """Nor what else could be a control."""
    assert "000000" not in repr(m.Automatic(password=m.Password("000000")))
    with pytest.raises(InvalidValue):
        m.Password("00\r00")


@FEW
@given(TEXT, st.booleans(), st.sampled_from(Breaks))
def test_no_text_ends_a_block(text: str, transparent: bool, breaks: Breaks) -> None:
    """Between STX and terminator there is no octet below 20 hex but CRs that end fields, and SUB if declared."""
    fields = fields_of(text, transparent=transparent, breaks=breaks)
    blocks = encode_page(Page(pager=PagerId("5551234"), fields=fields))
    for block in blocks:
        controls = {octet for octet in block[1:-5] if octet < 0x20 or octet > 0x7E}
        assert controls <= ({0x0D, 0x1A} if transparent else {0x0D})
        assert b"+++" not in block
    ends = sum(block[1:-5].count(b"\r") for block in blocks)
    assert ends == 1 + len(fields)


@FEW
@given(TEXT)
def test_transparency_round_trips(text: str) -> None:
    """Every seven-bit text survives SUB pairs."""
    safe = text.replace("\x7f", "")
    assert unescaped(escaped(safe).encode()).decode() == safe


def test_sub_before_anything_else_stays() -> None:
    """An old terminal's text may have it."""
    assert unescaped(b"a\x1a!b\x1aJ\x1a") == b"a\x1a!b\n\x1a"


# Pages over several blocks


@FEW
@given(TEXT, st.integers(40, 250), st.sampled_from([Continuation.US, Continuation.ETB]))
def test_a_long_page_is_the_same_in_pieces(text: str, body: int, how: Continuation) -> None:
    """No piece is too long, no SUB pair is split, all together say the text."""
    field = escaped(text.replace("\x7f", ""))
    blocks = encode_page(Page(pager=PagerId("5551234"), fields=(field,)), body=body, continuation=how)
    said: list[bytes] = []
    goes_on = False
    for at, data in enumerate(blocks):
        [block] = decoded(data)
        assert isinstance(block, Block)
        assert block.good
        assert len(block.body) <= body
        assert not block.body.endswith(b"\x1a")
        fields = list(block.fields)
        if goes_on or (how is Continuation.ETB and at > 1):
            fields[0] = said.pop() + fields[0]
        said += fields
        goes_on = block.terminator == US
        assert (block.terminator == ETX) == (at == len(blocks) - 1)
    assert said[0] == b"5551234"
    assert b"".join(said[1:]) == field.encode()


def test_the_first_block_is_filled_and_the_pager_is_said_once() -> None:
    """A terminal of the field: 255 octets, then the rest."""
    first, second = encode_page(page("x" * 301))
    assert len(first) == 256
    assert first[-5] == US
    assert second.startswith(b"\x02x")
    assert second[-6:-4] == b"\r\x03"
    assert b"5551234" not in second


def test_us_never_stands_before_the_end_of_a_field() -> None:
    """The next block always has something of the text."""
    for length in range(240, 250):
        for block in encode_page(page("x" * length)):
            [heard] = decoded(block)
            assert any(heard.fields)


def test_a_page_too_long_for_a_terminal_without_continuation_is_refused() -> None:
    """It is never cut; the error says how much is too much."""
    assert codec.room(PagerId("5551234")) == 241
    assert len(encode_page(page("x" * 241), continuation=Continuation.NONE)) == 1
    with pytest.raises(InvalidValue, match="1 characters too long for one block"):
        encode_page(page("x" * 242), continuation=Continuation.NONE)
    with pytest.raises(InvalidValue):
        encode_page(page(), body=39)


def test_several_fields_over_blocks() -> None:
    """Fields end where they end, whatever block that is in."""
    job = of("1", "a" * 100, "b" * 100, "c" * 100)
    blocks = encode_page(job)
    joined = b"".join(block[1:-5] for block in blocks)
    assert joined == f"1\r{'a' * 100}\r{'b' * 100}\r{'c' * 100}\r".encode()


# Answers


def heard(data: bytes) -> list[object]:
    return list(AnswerDecoder().receive(data))


def test_answers_in_the_forms_of_the_field() -> None:
    """With and without CR before and after, LF anywhere, text before or behind, parity bits."""
    for wire in (
        b"\r\x06\r",
        b"\x06\r",
        b"\x06",
        b"\x06\r\n",
        b"\r\r\n\x06\r\r",
        b"\x86\x8d",
        b"\x00\x06\x11\x13\r",
    ):
        assert heard(wire) == [Control.ACK]
    assert heard(b"211 ok\r\x06\r") == [Line("211 ok"), Control.ACK]
    assert heard(b"211 ok \r\n\x06\r\n") == [Line("211 ok"), Control.ACK]
    assert heard(b"\x06\r* acknowledged *\n\r") == [Control.ACK, Line("* acknowledged *")]
    assert heard(b"text\x1e") == [Line("text"), Control.RS]
    assert heard(b"\x1b\x04\r") == [Control.DROP]
    assert heard(b"\x06\r\r\x1b[p\r") == [Control.ACK, GoAhead()]
    assert heard(b"\x1b\x1b\x04") == [Control.DROP]
    assert heard(b"\x1bxy\r") == [Line("y")] or heard(b"\x1bxy\r") == [Line("xy")]


def test_id_is_seen_wherever_it_stands() -> None:
    """With banners, blanks, line ends and parity bits; it has no line end of its own."""
    for wire in (b"ID=", b" ID=\r\n", b"\r\n ID=", b"\n\rID=\n\r", bytes(o | 0x80 for o in b"ID=")):
        assert [one for one in heard(wire) if isinstance(one, Prompt)] == [Prompt(True)]
    assert Prompt(False) in heard(b"Welcome to the terminal. ID=")
    assert Prompt(False) in heard(b"x" * 5000 + b"ID=")


def test_endless_text_is_not_kept() -> None:
    """256 octets of a line, whatever comes."""
    decoder = AnswerDecoder()
    assert list(decoder.receive(b"art" * 400_000)) == []
    [line] = decoder.receive(b"\r")
    assert isinstance(line, Line)
    assert len(line.text) == codec.MAX_LINE


def test_the_word_ack_in_a_text_is_no_answer() -> None:
    """Answers are control characters, not words; three digits alone are a code, more are a number."""
    assert heard(b"ACK NAK 006\r") == [Line("ACK NAK 006")]
    assert codec.messages_of(["511", "5551234 is unknown", "511x"]) == (
        Message(511, ("5551234 is unknown", "511x")),
    )


def test_messages_are_grouped_by_their_codes() -> None:
    """A line without a code goes on with the message before it."""
    lines = ["hello", "110 1.8", "114 Welcome", " 24 hours", "211"]
    assert codec.messages_of(lines) == (
        Message(None, ("hello",)),
        Message(110, ("1.8",)),
        Message(114, ("Welcome", "24 hours")),
        Message(211, ()),
    )


MESSAGES = st.lists(
    st.builds(
        Message,
        st.integers(100, 599),
        st.lists(
            st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30),
            max_size=3,
        ).map(tuple),
    ),
    max_size=3,
).map(tuple)


@FEW
@given(st.sampled_from(Control), MESSAGES)
def test_answers_round_trip(control: Control, messages: tuple[Message, ...]) -> None:
    """What a terminal says is what the entry device hears, a number at the start of a second line included."""
    answer = Answer(control, messages)
    *lines, last = heard(codec.encode_answer(answer))
    assert last is control
    assert codec.messages_of([line.text for line in lines]) == messages


@FEW
@given(st.binary(max_size=400), st.integers(1, 7))
def test_nonsense_is_read_the_same_however_it_is_cut(data: bytes, step: int) -> None:
    """Both decoders: no failure, and the cuts do not matter."""
    decoder = AnswerDecoder()
    pieces = [one for i in range(0, len(data), step) for one in decoder.receive(data[i : i + step])]
    assert pieces == heard(data)
    caller = CallerDecoder(100)
    said = []
    for i in range(0, len(data), step):
        caller.feed(data[i : i + step])
        while one := caller.next_one():
            said.append(one)
    assert said == decoded(data, 100)


# What codes mean


def test_every_code_of_tap_1_8_has_its_control() -> None:
    """What a terminal of ours sends is read by an entry device of ours as it was meant."""
    kinds = {
        "done": (211, 212, 213, 214),
        "limit": (112, 113),
        "repeat": (502, 514),
        "ours": (507, 508, 509),
        "temporary": (501, 503, 506, 512, 516),
        "permanent": (504, 505, 510, 511, 513, 515, 517),
    }
    assert {code: Kind(kind) for kind, codes in kinds.items() for code in codes} == {
        code: known.kind for code, known in m.CODES.items() if known.kind is not Kind.INFORMATION
    }
    for code, known in m.CODES.items():
        if known.control:
            assert answer_of(code).code == code
            assert known.kind in (answer_of(code).kind, Kind.INFORMATION)
    with pytest.raises(InvalidValue):
        answer_of(111)


def test_without_a_code_the_control_decides() -> None:
    """As terminals before TAP 1.6 have it; Zetron 2000 says in words when it is only busy."""
    kinds = [Answer(control).kind for control in (Control.ACK, Control.NAK, Control.RS, Control.DROP)]
    assert kinds == [Kind.DONE, Kind.REPEAT, Kind.PERMANENT, Kind.TEMPORARY]
    for words, kind in {
        "Invalid pager number": Kind.PERMANENT,
        "Message required - page cancelled": Kind.PERMANENT,
        "System busy": Kind.TEMPORARY,
        "System error": Kind.TEMPORARY,
        "Database error": Kind.TEMPORARY,
    }.items():
        assert Answer(Control.RS, (Message(None, (words,)),)).kind is kind


def test_unknown_codes_go_by_class_and_control() -> None:
    """299 is done; 599 is no for good by RS, for now by ESC EOT."""
    assert answer_of(299, control=Control.ACK).kind is Kind.DONE
    assert answer_of(599, control=Control.RS).kind is Kind.PERMANENT
    assert answer_of(599, control=Control.DROP).kind is Kind.TEMPORARY
    assert answer_of(118, control=Control.RS).kind is Kind.PERMANENT


def test_limits_are_read_from_214_and_517() -> None:
    """The number ends with any non-digit."""
    assert answer_of(214, "120 characters sent").limit == 120
    assert answer_of(214, "120").cut
    assert answer_of(517, "80: too long").limit == 80
    assert answer_of(211, "120").limit is None


# What callers say


def test_logons() -> None:
    """Automatic with and without password, lower case, manual, and neither."""
    for wire, logon in {
        b"\x1bPG1": m.Automatic(),
        b"\x1bpg1000000": m.Automatic(password=m.Password("000000")),
        b"\x1bPG3x": m.Automatic(service=m.Service("PG3"), password=m.Password("x")),
        b"M": m.Manual(line="M"),
    }.items():
        assert codec.decode_logon(wire) == logon
        assert codec.encode_logon(logon) == wire.replace(b"pg1", b"PG1") + b"\r"
    for wire in (b"\x1b", b"\x1bPG", b"\x1bPG1 00", b"\x1bPG1" + b"0" * 17):
        assert isinstance(codec.decode_logon(wire), m.Malformed)


def test_a_block_is_complete_with_its_cr() -> None:
    """Without it, it is none; a new STX begins anew; LF behind is nothing."""
    assert decoded(HELLO[:-1]) == []
    assert decoded(HELLO[:-1] + HELLO) == decoded(HELLO)
    assert decoded(HELLO + b"\n\x04\r\n\x1b\x04\r\n\r") == [*decoded(HELLO), LogOff(), LogOff(), Said(b"")]


@pytest.mark.parametrize("check", [b"5>5", b"", b"5>", b"5>45", b"\xff\xff\xff", b"abc"])
def test_a_wrong_checksum_is_seen(check: bytes) -> None:
    """Wrong, missing, too long, not even printable."""
    [block] = decoded(HELLO[:-4] + check + b"\r")
    assert isinstance(block, Block)
    assert not block.good


def test_a_block_longer_than_is_kept_says_so() -> None:
    """Its checksum is still right, so it is refused and not asked for again."""
    data = encode_block(b"1\r" + b"x" * 2000 + b"\r")
    [block] = decoded(data, 1024)
    assert isinstance(block, Block)
    assert (block.good, block.cut, len(block.body)) == (True, True, 1024)


def test_the_page_says_how_codes_are_read() -> None:
    """docs/protocols/tap.md, the rows for RS: every code that comes with it is where the code has it."""
    page = (Path(__file__).parents[3] / "docs/protocols/tap.md").read_text()
    for word, kinds in {
        "`Refused`": {Kind.PERMANENT, Kind.OURS},
        "`Later`": {Kind.TEMPORARY, Kind.REPEAT},
    }.items():
        [row] = [
            line for line in page.splitlines() if line.startswith("| RS with 5") and f"| {word} |" in line
        ]
        named = {int(one) for one in re.findall(r"\b5[01][0-9]\b", row)}
        for first, last in re.findall(r"(5[01][0-9]) to (5[01][0-9])", row):
            named |= set(range(int(first), int(last) + 1))
        assert named == {code for code, known in m.CODES.items() if known.kind in kinds}
