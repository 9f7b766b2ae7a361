"""Lines out of a stream, in bounded memory. For every line protocol; knows none of them.

A line ends with LF; one CR before it belongs to the line end. What is longer than the limit is cut: the
first ``limit`` octets are kept, the rest is dropped as it comes, and the line says so.
"""

from msgspec import Struct


class Line(Struct, frozen=True, kw_only=True):
    """One line without its end. *crlf*: it ended with CR LF. *cut*: octets over the limit were dropped."""

    data: bytes
    crlf: bool
    cut: bool = False


class LineSplitter:
    """Collects octets and gives out lines, one at a time, so that a reader may stop between two lines.

    *limit* (octets of a line, without its end) may be changed between lines. What was fed and not yet taken
    is kept; the caller bounds it by *waiting*. An unfinished line never keeps more than ``limit + 1`` octets.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data = bytearray()
        self._at = 0  # where the current line begins
        self._scan = 0  # no LF before this
        self._dropped = 0  # octets of the current line that are gone

    @property
    def waiting(self) -> int:
        """Octets kept and not yet given out."""
        return len(self._data) - self._at

    @property
    def unfinished(self) -> int:
        """Octets seen of the current line, dropped ones included; meaningful after `next_line` gave None."""
        return self.waiting + self._dropped

    def feed(self, data: bytes) -> None:
        """Take in *data*."""
        if self._at:
            del self._data[: self._at]
            self._scan -= self._at
            self._at = 0
        self._data += data

    def next_line(self) -> Line | None:
        """The next whole line, or None when its end has not come yet."""
        end = self._data.find(b"\n", self._scan)
        if end < 0:
            self._shorten()
            self._scan = len(self._data)
            return None
        crlf = end > self._at and self._data[end - 1] == 13
        stop = end - 1 if crlf else end
        cut = stop - self._at + self._dropped > self.limit
        line = Line(data=bytes(self._data[self._at : min(stop, self._at + self.limit)]), crlf=crlf, cut=cut)
        self._at = self._scan = end + 1
        self._dropped = 0
        return line

    def _shorten(self) -> None:
        # The last octet stays: it may be the CR of the line end.
        over = self.waiting - self.limit - 1
        if over > 0:
            del self._data[self._at + self.limit : -1]
            self._dropped += over
