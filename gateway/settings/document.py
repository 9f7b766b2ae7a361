"""From the text of a file to a tree of marked nodes in which every scalar is still text.

PyYAML scans and parses; nothing of it decides what a scalar means. Anchors and aliases work within bounds;
tags, merge keys, several documents and keys that are not plain words do not exist here.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

from gateway.settings.complaints import Complaints, Mark, Path, quoted

MAX_BYTES = 5 * 1024 * 1024  # of one file: 30,000 people at 170 bytes a line
MAX_NODES = 500_000  # of all files together: 30,000 people with three devices each
MAX_DEPTH = 32  # the settings need 6; the parser's time grows with the square of the depth
MAX_ALIASED = 10_000  # nodes that aliases may add

_BASE_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_NOT_TEXT = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.1, 5.1


class Scalar(msgspec.Struct, frozen=True):
    """One value, as text. *bare*: written without quotes."""

    mark: Mark
    text: str
    bare: bool


class Items(msgspec.Struct, frozen=True):
    """A list."""

    mark: Mark
    items: list[Node]


class Entry(msgspec.Struct, frozen=True):
    """A key of a mapping, by its *mark*, and what it says."""

    mark: Mark
    node: Node


class Entries(msgspec.Struct, frozen=True):
    """A mapping, in the order written."""

    mark: Mark
    entries: dict[str, Entry]


Node = Scalar | Items | Entries


class _Refused(Exception):
    """The file cannot be read beyond *mark*."""

    def __init__(self, mark: Mark, what: str, remedy: str) -> None:
        super().__init__(what)
        self.mark = mark
        self.what = what
        self.remedy = remedy


class Budget:
    """Nodes that the files of one load may still have."""

    def __init__(self) -> None:
        self.nodes = MAX_NODES
        self.aliased = MAX_ALIASED


def read_document(text: str, file: str, complaints: Complaints, budget: Budget) -> Entries | None:
    """The top mapping of *text*, or None if what stands there cannot be read at all (which *complaints*
    then says, once: after a slip of syntax the rest of a file means nothing). Duplicate keys are complained
    about and the first one counts. Takes time in proportion to the text."""
    if len(text) > MAX_BYTES:
        mark = Mark(file, 1, 1)
        complaints.mistake(mark, (), "is larger than 5 MiB.", "Split it over files that it includes.")
        return None
    text = text.removeprefix("\ufeff")
    try:
        return _Composer(text, file, complaints, budget).compose()
    except _Refused as refused:
        complaints.mistake(refused.mark, (), refused.what, refused.remedy)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(file, at.line + 1, at.column + 1) if at else Mark(file, 1, 1)
        complaints.mistake(mark, (), *_slip(text, mark, error.problem or "it cannot be parsed"))
    except yaml.YAMLError:
        complaints.mistake(Mark(file, 1, 1), (), "is not YAML.", "Save it as UTF-8 text.")
    return None


def _slip(text: str, mark: Mark, problem: str) -> tuple[str, str]:
    """What is wrong and what to do, for a problem that the YAML parser found. Its words name no values."""
    line = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)[mark.line - 1 : mark.line]
    before = line[0][: mark.column] if line else ""
    if "\t" in before and not before.strip():
        return "the line is indented with a tab.", "Indent with spaces."
    if "mapping values are not allowed" in problem:
        return "a colon and a space stand inside a value.", "Put the value in quotes."
    if "cannot start any token" in problem:
        return "a value begins with a character that means something in YAML.", "Put the value in quotes."
    return f"is not YAML here: {problem}.", "Look at this line and the one before it."


class _Composer:
    """Builds the tree from the parser's events."""

    def __init__(self, text: str, file: str, complaints: Complaints, budget: Budget) -> None:
        self._file = file
        self._complaints = complaints
        self._budget = budget
        self._anchors: dict[str, tuple[Node, int] | None] = {}  # None: not complete yet
        self._path: list[str] = []
        if wrong := _NOT_TEXT.search(text):
            before = text[: wrong.start()]
            line = before.count("\n") + 1
            mark = Mark(file, line, len(before) - (before.rfind("\n") + 1) + 1)
            raise _Refused(mark, f"holds the character {quoted(wrong[0])}.", "Remove it; save as UTF-8 text.")
        self._events = _BASE_LOADER(text)

    def compose(self) -> Entries:
        self._next()  # start of the stream
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise _Refused(Mark(self._file, 1, 1), "is empty.", "Write at least carriers and clients.")
        top = self._node(self._next(), 0)
        self._next()  # end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            remedy = "Remove the line `---`, or put the rest into a file of its own and include it."
            raise _Refused(self._mark(event), "a second document begins.", remedy)
        if not isinstance(top, Entries):
            raise _Refused(top.mark, "is not a mapping of sections.", "Begin with a section: `site:`")
        return top

    def _next(self) -> Any:
        return self._events.get_event()

    def _mark(self, event: Any) -> Mark:
        return Mark(self._file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, depth: int) -> Node:
        mark = self._mark(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, mark)
        left = self._budget.nodes
        self._budget.nodes -= 1
        if self._budget.nodes < 0:
            raise _Refused(
                mark, f"has more than {MAX_NODES:,} values.", "Serve fewer people from one gateway."
            )
        if depth > MAX_DEPTH:
            raise _Refused(
                mark, f"is nested deeper than {MAX_DEPTH} levels.", "Look for an unclosed bracket."
            )
        # A tag or an alias is not repeated in the message: it may be a password that nobody quoted.
        if event.tag not in (None, "!"):
            remedy = "Remove the word that begins with `!`, or put the value in quotes."
            raise _Refused(mark, "carries a YAML tag.", remedy)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        match event:
            case yaml.ScalarEvent():
                node: Node = Scalar(mark, event.value, not event.style)  # '' or None, by parser
            case yaml.SequenceStartEvent():
                node = self._items(mark, depth)
            case _:
                node = self._entries(mark, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node, left - self._budget.nodes
        return node

    def _alias(self, event: Any, mark: Mark) -> Node:
        if event.anchor not in self._anchors:
            remedy = "Put a value that begins with `*` in quotes."
            raise _Refused(mark, "refers to an anchor that was not written above.", remedy)
        known = self._anchors[event.anchor]
        if known is None:
            raise _Refused(mark, "refers to itself.", "Write the value out.")
        node, size = known
        self._budget.aliased -= size
        if self._budget.aliased < 0:
            what = f"aliases add more than {MAX_ALIASED:,} values."
            raise _Refused(mark, what, "Write the values out.")
        self._budget.nodes -= size
        return node

    def _items(self, mark: Mark, depth: int) -> Items:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            self._path.append(f"[{len(items)}]")
            items.append(self._node(event, depth + 1))
            self._path.pop()
        return Items(mark, items)

    def _entries(self, mark: Mark, depth: int) -> Entries:
        entries: dict[str, Entry] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            at = self._mark(event)
            if not isinstance(key, Scalar) or not key.text:
                raise _Refused(at, "a key is not a word.", "Write `key: value`.")
            self._path.append(key.text)
            node = self._node(self._next(), depth + 1)
            path = tuple(self._path)
            self._path.pop()
            if key.text == "<<" and key.bare:
                remedy = "Write the keys out; a link may say `same_as:` another."
                self._complaints.mistake(at, path, "merge keys do not exist here.", remedy)
            elif key.text in entries:
                twice(self._complaints, path, at, entries[key.text].mark)
            else:
                entries[key.text] = Entry(at, node)
        return Entries(mark, entries)


def twice(complaints: Complaints, path: Path, at: Mark, first: Mark) -> None:
    """Complain that a key is written a second time."""
    complaints.mistake(at, path, f"is written twice; the first is at {first}.", "Keep one of them.")


def place(top: Entries, path: Path, *, key: bool = False) -> Mark:
    """Where *path* is written: its value, or its *key*; or as much of it as is written at all."""
    mark = top.mark
    found: Node = top
    for part in path:
        match found:
            case Entries(entries=entries) if part in entries:
                mark = entries[part].mark
                found = entries[part].node
            case Items(items=items) if part[1:-1].isdigit() and int(part[1:-1]) < len(items):
                found = items[int(part[1:-1])]
                mark = found.mark
            case Scalar():  # a list of one, written without brackets
                return found.mark
            case _:
                return mark
    return mark if key else found.mark
