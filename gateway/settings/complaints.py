"""What is wrong with the settings, gathered so that all of it can be said at once."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

import msgspec

from gateway.errors import Mistake, SettingsError

Path = tuple[str, ...]
"""Keys from the top of the file down; ``[2]`` is the third entry of a list."""

LISTED = 50  # mistakes that are listed; of more, only their number is said
SCANNED = 200_000  # names that one load looks through for "did you mean" …
COMPARED = 20_000  # … and of these compares letter by letter (about 20 µs each)


class Mark(msgspec.Struct, frozen=True):
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def quoted(text: str) -> str:
    """*text* as it may stand in a message: one line, at most 60 characters, controls escaped."""
    shown = text if len(text) <= 60 else text[:59] + "…"
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown) + '"'


def dotted(path: Path) -> str:
    """*path* as people write it: ``plans.staff.critical[1]``."""
    shown = ""
    for part in path:
        word = quoted(part)[1:-1]
        shown += word if part.startswith("[") or not shown else f".{word}"
    return shown or "the file"


class Complaints:
    """Mistakes and warnings of one load, and which paths they are about."""

    def __init__(self) -> None:
        self._mistakes: dict[tuple[Mark, str], Mistake] = {}
        self._warnings: dict[tuple[Mark, str], Mistake] = {}
        self._spoiled: set[Path] = set()
        self._scanned = 0
        self._compared = 0

    def mistake(self, mark: Mark, path: Path, what: str, remedy: str) -> None:
        """Something that stops the start. The same words about the same place count once."""
        self._spoiled.update(path[:end] for end in range(len(path) + 1))
        self._mistakes.setdefault((mark, what), _mistake(mark, path, what, remedy))

    def warning(self, mark: Mark, path: Path, what: str, remedy: str) -> None:
        """Something that an administrator should know and that stops nothing."""
        self._warnings.setdefault((mark, what), _mistake(mark, path, what, remedy))

    def sound(self, *path: str) -> bool:
        """Whether nothing at *path* or beneath it was a mistake so far: what is not sound is not checked
        further, so that one mistake is not reported as several."""
        return path not in self._spoiled

    def meant(self, word: str, names: Collection[str]) -> str:
        """``Did you mean "…"?``, or nothing if no name is near (or too much was asked before)."""
        self._scanned += len(names)
        if self._scanned > SCANNED or self._compared > COMPARED:
            return ""
        near = [
            name for name in names if abs(len(name) - len(word)) <= 2 and name[:1].lower() == word[:1].lower()
        ]
        self._compared += len(near)
        found = get_close_matches(word[:100], near, 1)
        return f"Did you mean {quoted(found[0])}?" if found else ""

    def raise_if_any(self) -> None:
        """SettingsError with what was found, if anything was: the first 50 by file and line, then a last
        entry that says how many there are."""
        if not self._mistakes:
            return
        found = sorted(self._mistakes.values(), key=_place)
        if len(found) > LISTED:
            rest = msgspec.structs.replace(
                found[LISTED],
                path="…",
                what=f"{len(found) - LISTED} more mistakes follow, {len(found)} in all.",
                remedy="Mend these first.",
            )
            found = [*found[:LISTED], rest]
        raise SettingsError(tuple(found))

    def warnings(self) -> tuple[str, ...]:
        return tuple(str(warning) for warning in sorted(self._warnings.values(), key=_place))


def _mistake(mark: Mark, path: Path, what: str, remedy: str) -> Mistake:
    return Mistake(
        file=mark.file, line=mark.line, column=mark.column, path=dotted(path), what=what, remedy=remedy
    )


def _place(mistake: Mistake) -> tuple[str, int, int]:
    return mistake.file, mistake.line, mistake.column
