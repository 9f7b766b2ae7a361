"""What really reached the pager: the ground truth that tests and people compare with."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import msgspec

from gateway.model import Instant, rfc3339


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """One copy of a page on one pager. *answered*: our client was told so."""

    at: str
    pager: str
    text: str
    answered: bool = True


class Truth:
    """Keeps copies in memory, and one JSON line each in a file if there is one.

    A line is handed to the operating system before the carrier answers: killing the carrier loses nothing
    (it is not synced: only the machine's own end would).
    """

    def __init__(self, path: Path | None = None) -> None:
        self.copies: list[Copy] = []
        self._file: BinaryIO | None = None if path is None else path.open("ab", buffering=0)

    def reached(self, at: Instant, pager: str, text: str, *, answered: bool = True) -> None:
        """A page reached *pager*."""
        copy = Copy(at=rfc3339(at), pager=pager, text=text, answered=answered)
        if self._file is None:
            self.copies.append(copy)
        else:
            self._file.write(msgspec.json.encode(copy) + b"\n")

    def close(self) -> None:
        """No more copies."""
        if self._file is not None:
            self._file.close()


def read_truth(path: Path) -> list[Copy]:
    """The copies of a ground-truth file; a torn last line is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [msgspec.json.decode(line, type=Copy) for line in lines]
