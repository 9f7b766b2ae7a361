"""The bounded line splitter that line protocols share."""

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.lines import Line, LineSplitter


def lines(limit: int, *chunks: bytes) -> list[Line]:
    splitter = LineSplitter(limit)
    out = []
    for chunk in chunks:
        splitter.feed(chunk)
        while line := splitter.next_line():
            out.append(line)
        assert splitter.waiting <= limit + 1
    return out


def test_crlf_and_lf_end_a_line_and_it_says_which() -> None:
    """Both ends are taken; only one CR belongs to the end."""
    assert lines(80, b"a\r\nb\nc\r\r\n") == [
        Line(data=b"a", crlf=True),
        Line(data=b"b", crlf=False),
        Line(data=b"c\r", crlf=True),
    ]


def test_a_line_over_the_limit_is_cut_and_says_so() -> None:
    """The head is kept, the rest is dropped, the next line is whole."""
    assert lines(3, b"abc\r\nabcd\r\nxy\n") == [
        Line(data=b"abc", crlf=True),
        Line(data=b"abc", crlf=True, cut=True),
        Line(data=b"xy", crlf=False),
    ]


def test_a_reader_may_stop_between_two_lines() -> None:
    """What is not taken stays, and the limit may change before the next line."""
    splitter = LineSplitter(2)
    splitter.feed(b"ab\nabcdef\n")
    assert splitter.next_line() == Line(data=b"ab", crlf=False)
    assert splitter.waiting == 7
    splitter.limit = 6
    assert splitter.next_line() == Line(data=b"abcdef", crlf=False)


def test_octets_of_a_line_without_end_are_counted_not_kept() -> None:
    """A megabyte without a line end costs limit + 1 octets."""
    splitter = LineSplitter(100)
    for _ in range(1000):
        splitter.feed(b"x" * 1000)
        assert splitter.next_line() is None
    assert splitter.waiting == 101
    assert splitter.unfinished == 1_000_000


@settings(max_examples=60)
@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"bcdef", b"\r\n", b"." * 9]), max_size=30), st.data())
def test_cutting_the_stream_anywhere_gives_the_same_lines(parts: list[bytes], data: st.DataObject) -> None:
    """Packets have no meaning."""
    stream = b"".join(parts)
    cut = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    chunks = [stream[i:j] for i, j in zip([0, *cut], [*cut, len(stream)], strict=True)]
    assert lines(7, *chunks) == lines(7, stream) == lines(7, *(bytes([octet]) for octet in stream))
