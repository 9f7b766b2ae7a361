"""The message builder: whatever is in it, a header field is one field and the text is the text."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_fakes import ANN, BOB

from protocols.smtp import messages as m
from protocols.smtp.codec import data_block
from protocols.smtp.mail import Letter, compose

AT = datetime(2026, 11, 21, 18, 12, 32, tzinfo=UTC)
ID = m.MessageId("<17.1@gw.example.net>")
FIELDS = [
    "Date",
    "From",
    "To",
    "Message-ID",
    "Subject",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]


def built(text: str = "Bed 4 calls", **more: object) -> m.Content:
    return compose(Letter(**{"sender": ANN, "message_id": ID, "at": AT, "text": text, **more}))


def test_a_plain_message_byte_by_byte() -> None:
    """Seven bits, CR LF, one part."""
    assert built(to=(BOB,), subject=m.HeaderText("Bed 4"), name=m.HeaderText('The "Gateway"'), loop=ID) == (
        b"Date: Sat, 21 Nov 2026 18:12:32 +0000\r\n"
        b'From: "The \\"Gateway\\""\r\n <ann@example.net>\r\n'
        b"To: bob@example.net\r\n"
        b"Message-ID: <17.1@gw.example.net>\r\n"
        b"Subject: Bed 4\r\n"
        b"Auto-Submitted: auto-generated\r\n"
        b"X-Pager-Loop: <17.1@gw.example.net>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Bed 4 calls\r\n"
    )


def test_without_addresses_to_show_there_is_a_neutral_to() -> None:
    """And what answers another message says so."""
    data = built(in_reply_to=ID, reply_to=BOB)
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in data
    assert b"\r\nIn-Reply-To: <17.1@gw.example.net>\r\nReferences: <17.1@gw.example.net>\r\n" in data
    assert b"\r\nReply-To: bob@example.net\r\n" in data


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\0", "\x0b", "\x85", "\u2028", "\ud800"])
def test_header_text_has_no_line_end(end: str) -> None:
    """It is refused, so a caller decides what to do about it."""
    with pytest.raises(m.InvalidValue, match="control"):
        m.HeaderText(f"Bed 4{end}Bcc: x@example.net")


def test_limits_are_named() -> None:
    """Of a header text, of a text, of addresses to show; and a time without zone."""
    with pytest.raises(m.InvalidValue, match="1000"):
        m.HeaderText("x" * 1001)
    with pytest.raises(m.InvalidValue, match="100000"):
        built("x" * 100_001)
    with pytest.raises(m.InvalidValue, match="100"):
        built(to=(BOB,) * 101)
    with pytest.raises(m.InvalidValue, match="zone"):
        built(at=AT.replace(tzinfo=None))


HEADER = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.sampled_from(
    [".", "..\n.\n", "\r\n.\r\nRCPT TO:<x@y>\r\n", "a" * 3000, "ä" * 2000, "\r.\r", "x\n\n\n", "  .\t"]
)


@settings(max_examples=80)
@given(HEADER, HEADER, ANY_TEXT)
def test_one_header_per_field_and_the_text_comes_back(subject: str, name: str, text: str) -> None:
    """As the standard library reads it; lines are short enough to be sent anywhere."""
    data = built(text, subject=m.HeaderText("S" + subject + "."), name=m.HeaderText("N" + name + "."))
    assert data.isascii()
    header = data.partition(b"\r\n\r\n")[0]
    assert re.findall(rb"(?m)^([A-Za-z-]+):", header) == [field.encode() for field in FIELDS]
    assert all(len(line) <= 78 and line.strip() for line in header.split(b"\r\n"))
    read = message_from_bytes(data, policy=policy.default)
    assert read["Subject"] == "S" + subject + "."
    shown = read["From"].addresses[0].display_name
    assert "".join(shown.split()) == "".join(f"N{name}.".split())  # the library is free with blanks here
    meant = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f]", " ", re.sub("\r\n|\r|\u2028|\u2029", "\n", text)).rstrip(
        "\n"
    )
    assert read.get_content().replace("\r\n", "\n").rstrip("\n") == meant


@settings(max_examples=60)
@given(ANY_TEXT)
def test_the_text_never_ends_early(text: str) -> None:
    """One dot line on the wire, the last; unstuffed it is the message again."""
    block = data_block(built(text))
    assert block.endswith(b"\r\n.\r\n")
    lines = block[:-5].split(b"\r\n")
    assert b"." not in lines
    assert b"\r\n".join(line[1:] if line[:1] == b"." else line for line in lines) + b"\r\n" == built(text)


@pytest.mark.parametrize("before", [0, 1, 510, 998, 4095, 16_383, 16_384, 16_385, 65_535])
def test_a_dot_at_any_boundary_is_stuffed(before: int) -> None:
    """No buffer's size matters: the block is made in one piece."""
    filler = (b"x" * 70 + b"\r\n") * (before // 72) + b"y" * (before % 72)
    content = m.Content(filler + b"\r\n.\r\nMAIL FROM:<>\r\n..\r\n")
    assert data_block(content) == filler + b"\r\n..\r\nMAIL FROM:<>\r\n...\r\n.\r\n"


def test_a_block_of_nothing_and_of_a_dot() -> None:
    """A message that begins with a dot, or has no end of line, ends all the same."""
    assert data_block(m.Content(b"")) == b".\r\n"
    assert data_block(m.Content(b".")) == b"..\r\n.\r\n"


@pytest.mark.parametrize("bad", [b"a\nb", b"a\rb", b"a\r\r\n", b"\n.\n", b"a\0", b"x" * 999, b"\r"])
def test_content_is_strict(bad: bytes) -> None:
    """CR LF only, no NUL, lines of 998 octets."""
    with pytest.raises(m.InvalidValue):
        m.Content(bad)
    assert m.Content(b"x" * 998 + b"\r\n")
