"""Regular expressions of administrators, limited to those that cannot take long.

Python's engine tries every way in which repetitions can share out a text. This reads an expression before
it is ever used and refuses what can be shared out in too many ways: repetitions or alternatives inside a
repetition, and too many repetitions of open length one after the other.
"""

from __future__ import annotations

import re
import warnings

MAX_ADDRESS = 254  # characters: the longest mail address (RFC 5321 4.5.3.1.3 less the brackets)
MAX_PATTERN = 200  # characters of an expression
MAX_WAYS = 300_000  # two open repetitions and a little more: below 10 ms for the longest address

_COUNT = re.compile(r"\{(\d{0,4})(?:(,)(\d{0,4}))?\}")


class _TooSlow(Exception):
    pass


def objection(pattern: str) -> str | None:
    """What is wrong with *pattern*, or None: then matching it against a whole address ends soon."""
    if len(pattern) > MAX_PATTERN:
        return f"has more than {MAX_PATTERN} characters."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # sets that later versions of the engine will read otherwise
            re.compile(pattern, re.ASCII)
    except Warning as warning:
        return f"is not clear ({warning})."
    except (re.error, OverflowError, RecursionError) as error:
        return f"is not a regular expression ({error})."
    try:
        ways, _, end = _Reader(pattern).alternatives(0, 0)
    except _TooSlow as slow:
        return f"may take very long: {slow}."
    if end != len(pattern):
        return "is not a regular expression."
    return None if ways <= MAX_WAYS else "may take very long: it has too many repetitions of open length."


def matches(pattern: str, address: str) -> bool:
    """Whether the whole of *address* is as *pattern* (which has no objection) says."""
    return len(address) <= MAX_ADDRESS and re.fullmatch(pattern, address, re.ASCII) is not None


class _Reader:
    """Walks over an expression that compiles. Each method takes a position and gives back in how many ways
    what it read can be shared out, whether it has a choice, and where it ended."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def alternatives(self, at: int, depth: int) -> tuple[int, bool, int]:
        ways, choice, at = self._sequence(at, depth)
        while self._pattern.startswith("|", at):
            more, _, at = self._sequence(at + 1, depth)
            ways, choice = ways + more, True
        return ways, choice, at

    def _sequence(self, at: int, depth: int) -> tuple[int, bool, int]:
        ways, choice = 1, False
        while at < len(self._pattern) and self._pattern[at] not in "|)":
            inner, chooses, at = self._atom(at, depth)
            least, most, at = self._repetition(at)
            if chooses and most > 1:
                raise _TooSlow("it repeats what itself repeats or chooses")
            ways *= inner * (min(most, MAX_ADDRESS) - least + 1 if most > least else 1)
            choice = choice or chooses or most > least
        return ways, choice, at

    def _atom(self, at: int, depth: int) -> tuple[int, bool, int]:
        match self._pattern[at]:
            case "\\":
                if self._pattern[at + 1].isdigit():
                    raise _TooSlow("it refers back to a group")
                return 1, False, at + 2
            case "[":
                at += 2 if self._pattern.startswith("[^", at) else 1
                at += 1  # a bracket that comes first stands for itself
                while self._pattern[at] != "]":
                    at += 2 if self._pattern[at] == "\\" else 1
                return 1, False, at + 1
            case "(":
                if self._pattern.startswith("(?", at):
                    if not self._pattern.startswith("(?:", at):
                        raise _TooSlow("it uses (?…)")
                    at += 2
                if depth >= 10:
                    raise _TooSlow("its groups are nested too deep")
                ways, choice, at = self.alternatives(at + 1, depth + 1)
                return ways, choice, at + 1
            case _:
                return 1, False, at + 1

    def _repetition(self, at: int) -> tuple[int, int, int]:
        least, most = 1, 1
        match self._pattern[at : at + 1]:
            case "*":
                least, most, at = 0, MAX_ADDRESS, at + 1
            case "+":
                least, most, at = 1, MAX_ADDRESS, at + 1
            case "?":
                least, most, at = 0, 1, at + 1
            case "{" if count := _COUNT.match(self._pattern, at):
                low, comma, high = count.groups()
                if low or comma:
                    least = int(low or 0)
                    most = int(high or MAX_ADDRESS) if comma else least
                    at = count.end()
            case _:
                return 1, 1, at
        if self._pattern[at : at + 1] in ("?", "+"):  # lazy, or possessive
            at += 1
        return least, max(least, most), at
