"""What may be dialled, and what a modem may be told at all."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.modem import codec
from protocols.modem.messages import (
    EMERGENCY,
    Command,
    DialPart,
    DialRules,
    DialString,
    Heard,
    InvalidValue,
    PhoneNumber,
    Word,
)


def dial(number: str, prefix: str = "", suffix: str = "", **rules: object) -> DialString:
    return DialString(
        number=PhoneNumber(number),
        prefix=DialPart(prefix),
        suffix=DialPart(suffix),
        rules=DialRules(**rules),
    )


def test_a_dial_string_is_prefix_number_suffix() -> None:
    """Byte by byte, by tone and by pulse."""
    string = dial("18005550100", prefix="9,W", suffix=",,42#")
    assert codec.encode_dial(string) == b"ATDT9,W18005550100,,42#\r"
    assert codec.encode_dial(dial("5550100"), pulse=True) == b"ATDP5550100\r"


def test_a_plus_becomes_what_the_rules_say() -> None:
    """Without a rule it is refused: modems do not know it."""
    assert dial("+18005550100", plus="011").text == "01118005550100"
    with pytest.raises(InvalidValue, match="no rule says"):
        dial("+18005550100")


@pytest.mark.parametrize(
    "value",
    [
        "555;ATH",
        "555^1",
        "555@",
        "555W1",
        "555!",
        "&F",
        "555\n",
        "555\r",
        "+1+2",
        "5\x00",
        "５５５",
        "12 34",
        "L",
        "S=1",
        "1,2",
    ],
)
def test_phone_numbers_are_digits(value: str) -> None:
    """Anything else is an error that names the place; nothing of it reaches a modem."""
    with pytest.raises(InvalidValue, match=r"at position [0-9]+, which is not allowed"):
        PhoneNumber(value)


@pytest.mark.parametrize("value", ["9;", "9@", "9!", "9^", "9\r", "9L", "9w", "9 ", "A", "9-1", "$", "&"])
def test_prefixes_have_digits_and_pauses(value: str) -> None:
    """Digits, star, hash, comma, W, T, P."""
    assert DialPart("9,*#WTP") == "9,*#WTP"
    with pytest.raises(InvalidValue, match="not allowed"):
        DialPart(value)


def test_raw_text_makes_no_dial_string() -> None:
    """Not even as a part."""
    with pytest.raises(InvalidValue, match="checked parts"):
        DialString(number="5551234;ATH")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="checked parts"):
        DialString(number=PhoneNumber("5551234"), prefix="9;")  # type: ignore[arg-type]


@pytest.mark.parametrize("number", sorted(EMERGENCY))
def test_emergency_numbers_are_never_dialled(number: str) -> None:
    """Neither alone, nor as the beginning of another number: a switch acts on the first digits."""
    for text in (number, number + "4567890"):
        with pytest.raises(InvalidValue, match=r"never dialled|at least 5"):
            dial(text)
    with pytest.raises(InvalidValue, match=f"begins with {number}"):
        dial(number + "4567", prefix="9,", least=3)
    with pytest.raises(InvalidValue, match=f"begins with {number}"):
        dial(number, least=3)


@pytest.mark.parametrize(
    ("prefix", "number"),
    [
        ("9,1", "18005550100"),
        ("91", "18005550100"),
        ("9,W", "1125550100"),
        ("0,11", "2555010"),
        ("9W1,1", "2555010"),
    ],
)
def test_a_prefix_does_not_make_an_emergency_number(prefix: str, number: str) -> None:
    """``9,1`` before 1 800 begins 911; what follows each pause counts as a beginning too."""
    with pytest.raises(InvalidValue, match="never dialled"):
        dial(number, prefix=prefix)
    assert dial("18005550100", prefix="9,").text == "9,18005550100"


def test_the_table_is_a_setting() -> None:
    """Madrid has numbers that begin with 911; a site may add its premium ranges."""
    assert dial("911234567", refused=EMERGENCY - {"911"}).text == "911234567"
    with pytest.raises(InvalidValue, match="begins with 1900"):
        dial("19005550100", refused=EMERGENCY | {"1900"})
    with pytest.raises(InvalidValue):
        DialRules(refused=frozenset({"9a"}))


@pytest.mark.parametrize(
    "number", ["18005550100", "12025550100", "19175550100", "0150555", "4930123456", "0205550100"]
)
def test_ordinary_numbers_are_dialled(number: str) -> None:
    """Long distance in North America begins with 1 and 2 to 9."""
    assert dial(number).text == number


def test_too_few_and_too_many_digits() -> None:
    """Five to twenty by default; an extension of four where a site says so; 36 characters in all."""
    with pytest.raises(InvalidValue, match="4 digits, at least 5"):
        dial("1234")
    assert dial("1234", least=4).text == "1234"
    with pytest.raises(InvalidValue, match="limit 20"):
        dial("2" * 21)
    with pytest.raises(InvalidValue, match="limit 36"):
        dial("2" * 20, prefix="9,", suffix=",,,,,,,,,,123456")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_asked_for_only_these_characters_reach_the_modem(
    prefix: str, number: str, suffix: str
) -> None:
    """One command, one line, and no command beside it."""
    try:
        string = dial(number, prefix, suffix, plus="00")
    except InvalidValue:
        return
    data = codec.encode_dial(string)
    assert data.endswith(b"\r")
    assert set(data[4:-1]) <= set(b"0123456789*#,WTP")
    assert len(data) <= 41


# Commands


@pytest.mark.parametrize(
    "value",
    [
        "ATZ",
        "ATE0V1Q0X4&C1&D2S0=0",
        "AT&FQ0V1X4",
        "AT",
        "ATS2=255",
        "ATH0",
        "AT+MS=V22B,0;M0",
        "ATL0M0&Q0%C0\\N0",
        "ATS7=60 S8=2",
    ],
)
def test_settings_are_commands(value: str) -> None:
    """As manuals have them."""
    assert codec.encode_command(Command(value)) == value.encode() + b"\r"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ATDT911",
        "ATE0DT911",
        "ATA",
        "ATO",
        "at",
        "Z",
        "ATZ\r",
        "ATZ\rATDT911",
        "AT;",
        "ATÜ",
        "AT" + "E0" * 50,
        "AT+X;DT911",
    ],
)
def test_a_command_cannot_dial_answer_or_go_on_line(value: str) -> None:
    """Only a `DialString` dials."""
    with pytest.raises(InvalidValue):
        Command(value)


# Results


@pytest.mark.parametrize(
    ("line", "word", "speed"),
    [
        (b"OK", Word.OK, None),
        (b"CONNECT", Word.CONNECT, None),
        (b"CONNECT 1200", Word.CONNECT, 1200),
        (b"CONNECT 2400/ARQ", Word.CONNECT, 2400),
        (b"CONNECT 14400/V42BIS", Word.CONNECT, 14400),
        (b"CONNECT 9600 EC", Word.CONNECT, 9600),
        (b"RING", Word.RING, None),
        (b"RINGING", Word.RINGING, None),
        (b"RRING", Word.RINGING, None),
        (b"NO CARRIER", Word.NO_CARRIER, None),
        (b"ERROR", Word.ERROR, None),
        (b"NO DIALTONE", Word.NO_DIALTONE, None),
        (b"NO DIAL TONE", Word.NO_DIALTONE, None),
        (b"BUSY", Word.BUSY, None),
        (b"NO ANSWER", Word.NO_ANSWER, None),
        (b"VOICE", Word.VOICE, None),
        (b"DELAYED 00:03:00", Word.DELAYED, None),
        (b"BLACKLISTED", Word.BLACKLISTED, None),
        (b"\xcf\x4b", Word.OK, None),  # parity bits
        (b"0", Word.OK, None),
        (b"1", Word.CONNECT, 300),
        (b"2", Word.RING, None),
        (b"3", Word.NO_CARRIER, None),
        (b"4", Word.ERROR, None),
        (b"5", Word.CONNECT, 1200),
        (b"6", Word.NO_DIALTONE, None),
        (b"7", Word.BUSY, None),
        (b"8", Word.NO_ANSWER, None),
        (b"10", Word.CONNECT, None),
    ],
)
def test_results_are_told_apart(line: bytes, word: Word, speed: int | None) -> None:
    """In words and in numbers."""
    heard = codec.decode_line(line)
    assert heard
    assert (heard.word, heard.speed) == (word, speed)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"ATDT18005550100",
        b"ATZ",
        b"CARRIER 2400",
        b"PROTOCOL: LAP-M",
        b"OKAY",
        b"BUSYBODY",
        b"123",
        b"NOISE",
        b"\xff\xfe",
    ],
)
def test_other_lines_are_no_results(line: bytes) -> None:
    """Echoes, what comes before CONNECT, words that begin alike."""
    assert codec.decode_line(line) is None


def test_what_follows_connect_is_not_the_modems() -> None:
    """ID= may come in the same read; the LF of the result's own end is not part of it."""
    for data, rest in {b"\r\nCONNECT 1200\r\nID=": b"ID=", b"1\rID=": b"ID=", b"CONNECT\r": b""}.items():
        decoder = codec.ResultDecoder()
        decoder.feed(data)
        heard = decoder.next_one()
        assert heard
        assert heard.word is Word.CONNECT
        assert decoder.rest() == rest


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 7))
def test_nonsense_is_read_the_same_however_it_is_cut(data: bytes, step: int) -> None:
    """And an endless line keeps eighty octets."""

    def read(pieces: list[bytes]) -> list[Heard]:
        decoder = codec.ResultDecoder()
        out = []
        for piece in pieces:
            decoder.feed(piece)
            while heard := decoder.next_one():
                out.append(heard)
        return out

    assert read([data]) == read([data[i : i + step] for i in range(0, len(data), step)])


@pytest.mark.parametrize("word", [w for w in Word if w not in (Word.SILENCE, Word.LOST)])
def test_our_modem_says_what_our_decoder_hears(word: Word) -> None:
    """Round trip, in words."""
    assert codec.decode_line(codec.encode_word(Heard(word=word)).strip()).word is word
    assert codec.encode_word(Heard(word=Word.CONNECT, speed=1200), words=False) == b"5\r"


def test_the_page_names_what_is_never_dialled() -> None:
    """docs/protocols/modem.md has the table of the code."""
    page = (Path(__file__).parents[3] / "docs/protocols/modem.md").read_text()
    line = next(line for line in page.splitlines() if "never dialled**" in line)
    assert set(re.findall(r"\b[0-9]{3}\b", line)) == EMERGENCY
