"""Octets of strangers to a tree of elements, within limits; nothing is ever fetched, expanded or executed.

In this order: size, form field, characters, prolog (a DOCTYPE that only names a DTD is cut out unread; one
that declares anything is refused), then expat, stopped at the first limit. Each octet is looked at a fixed
number of times. Sources: docs/protocols/wctp.md, "Reading".
"""

import re
from collections.abc import Mapping, Set
from html.entities import name2codepoint
from typing import NoReturn
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from msgspec import Struct

from protocols.wctp.messages import MAX_LINE, Code

ROOT = "wctp-Operation"
MAX_IDENTIFIERS = 2  # of a DOCTYPE: one public, one of a system
MAX_PROLOG = 50  # declarations, comments and instructions before the root; ours: real senders have two


class Limits(Struct, frozen=True, kw_only=True):
    """What one document may have; over: 302, a text 411."""

    body: int = 262_144  # octets; a page is about 1,000
    depth: int = 8  # the deepest legal document, a pair of choices in a poll batch, has exactly 8
    elements: int = 2_000
    attributes: int = 32  # of one element; the widest legal one has 13
    value: int = 4_096  # characters of one attribute; ids have 255
    text: int = 65_535  # characters of one text


class Tolerance(Struct, frozen=True, kw_only=True):
    """How much is forgiven. *strict*: only what the DTD of its version allows. *any_version*: a wctpVersion
    that nobody knows is read as 1.3. *html_names*: the 252 named characters of HTML, in text only."""

    strict: bool = False
    any_version: bool = False
    html_names: bool = False


class Fault(Exception):
    """This document cannot be read: `code`, why and where. Never leaves the package."""

    def __init__(self, code: Code, reason: str, place: str = "", limit: int | None = None) -> None:
        super().__init__(reason)
        self.code, self.reason, self.place, self.limit = code, reason, place, limit


class Node:
    """An element: *tag* as written, *name* as the DTD spells it."""

    __slots__ = ("attributes", "children", "name", "pieces", "size", "tag")

    def __init__(self, tag: str, name: str, attributes: dict[str, str]) -> None:
        self.tag, self.name, self.attributes = tag, name, attributes
        self.children: list[Node] = []
        self.pieces: list[str] = []
        self.size = 0  # characters of the pieces

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Tree(Struct, frozen=True):
    """*doctype*: the system identifier that was named; *quirks*: what was forgiven."""

    root: Node
    doctype: str | None
    quirks: list[str]


def grown(
    body: bytes, limits: Limits, tolerance: Tolerance, names: Mapping[str, str], texts: Set[str]
) -> Tree:
    """The tree that *body* says; raises `Fault` and nothing else. *names*: lower case to the DTD's spelling;
    *texts*: the elements whose content is text."""
    if len(body) > limits.body:
        raise Fault(Code.NOT_VALID, "document is too large", limit=limits.body)
    quirks: list[str] = []
    text = _characters(_form_field(body, quirks), tolerance, quirks)
    start, doctype = _prolog(text)
    lines = text.count("\n", 0, start)
    content = text[start:]
    if tolerance.html_names:
        content = _html_names_replaced(content)
    root = _Growth(limits, names, texts, lines).grow(content)
    return Tree(root, doctype, quirks)


# Octets to characters


_FIELD = re.compile(rb"[ \t\r\n]*[A-Za-z0-9_.-]{1,64}=(?=[ \t\r\n]*(<|%3[Cc]))")
_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_BLANKS = " \t\r\n"
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_ENCODINGS = {
    "iso-8859-1": "latin-1",
    "iso_8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
}  # every other name is read as UTF-8: us-ascii is a part of it, and utf-16 has been seen before UTF-8 octets


def _form_field(body: bytes, quirks: list[str]) -> bytes:
    """The document in the first field of a form, or *body* itself."""
    if not (found := _FIELD.match(body)):
        return body
    quirks.append("the document came as a form field")
    rest = body[found.end() :]
    if found[1] == b"<":
        return rest
    return unquote_to_bytes(rest.partition(b"&")[0].replace(b"+", b" "))


def _characters(body: bytes, tolerance: Tolerance, quirks: list[str]) -> str:
    """By byte order mark, by the zeros of UTF-16, as declared, else UTF-8."""
    encoding, declared = None, False
    for mark, name in _BOMS:
        if body.startswith(mark):
            encoding, body = name, body[len(mark) :]
            break
    else:
        if body.startswith(b"<\0"):
            encoding = "utf-16-le"
        elif body.startswith(b"\0<"):
            encoding = "utf-16-be"
        elif found := _DECLARED.search(body, 0, 512):
            name, declared = found[1].decode("ascii").lower(), True
            if name == "utf-7":
                raise Fault(Code.CANNOT_PARSE, "encoding is not supported")
            if name.startswith("utf-16"):
                quirks.append("declared as UTF-16, written as UTF-8")
            encoding = _ENCODINGS.get(name)
    try:
        text = body.decode(encoding or "utf-8")
    except UnicodeDecodeError as problem:
        if declared or encoding or tolerance.strict:
            place = f"octet {problem.start}"
            raise Fault(Code.CANNOT_PARSE, "octets are not in the encoding", place) from None
        quirks.append("octets are neither declared nor UTF-8, read as windows-1252")
        try:
            text = body.decode("cp1252")
        except UnicodeDecodeError as problem:
            raise Fault(Code.CANNOT_PARSE, "octets are in no encoding", f"octet {problem.start}") from None
    return text.lstrip(_BLANKS + "\ufeff").rstrip(_BLANKS + "\0")


# The prolog


_NOT_BLANK = re.compile(r"[^ \t\r\n]")
_NAME = re.compile(r"[ \t\r\n]+([^ \t\r\n>\[\"']+)")
_DOCTYPE_MARK = re.compile(r"[\"'>\[]")


def _prolog(text: str) -> tuple[int, str | None]:
    """Where the root begins, and the last quoted identifier of a DOCTYPE before it."""
    at, doctype, seen = 0, None, False
    for _ in range(MAX_PROLOG):
        if not (found := _NOT_BLANK.search(text, at)):
            raise Fault(Code.CANNOT_PARSE, "no element found")
        at = found.start()
        if text.startswith("<?", at):
            at = _behind(text, "?>", at)
        elif text.startswith("<!--", at):
            at = _behind(text, "-->", at)
        elif text[at : at + 9].upper() == "<!DOCTYPE":
            if seen:
                raise Fault(Code.CANNOT_PARSE, "second DOCTYPE")
            at, doctype, seen = *_doctype(text, at + 9), True
        else:
            return at, doctype
    raise Fault(Code.NOT_VALID, "too much before the first element", limit=MAX_PROLOG)


def _behind(text: str, mark: str, at: int) -> int:
    if (end := text.find(mark, at)) < 0:
        raise Fault(Code.CANNOT_PARSE, "document is cut")
    return end + len(mark)


def _doctype(text: str, at: int) -> tuple[int, str | None]:
    """The end of a DOCTYPE and its system identifier. A subset of its own is refused before it is read."""
    name = _NAME.match(text, at)
    if (name.end() if name else at) == len(text):
        raise Fault(Code.CANNOT_PARSE, "document is cut")
    if not name or name[1] != ROOT:
        raise Fault(Code.NOT_VALID, f"DOCTYPE is not of {ROOT}")
    at, identifier = name.end(), None
    for _ in range(MAX_IDENTIFIERS + 1):
        if not (found := _DOCTYPE_MARK.search(text, at)):
            raise Fault(Code.CANNOT_PARSE, "document is cut")
        if found[0] == ">":
            return found.end(), identifier if identifier and len(identifier) <= MAX_LINE else None
        if found[0] == "[":
            raise Fault(Code.NOT_VALID, "DOCTYPE has declarations of its own")
        at = _behind(text, found[0], found.end())
        identifier = text[found.end() : at - 1]
    raise Fault(Code.NOT_VALID, "DOCTYPE has too many identifiers", limit=MAX_IDENTIFIERS)


# HTML's names of characters


_MARKUP = re.compile(r"[<>\"']|&([A-Za-z][A-Za-z0-9]{1,7});")
_XML_NAMES = frozenset({"amp", "lt", "gt", "quot", "apos"})


def _html_names_replaced(text: str) -> str:
    """*text* with the characters that HTML names, outside of tags."""
    out: list[str] = []
    done, quote, in_tag = 0, "", False
    for found in _MARKUP.finditer(text):
        mark, name = found[0], found[1]
        if name:
            if not in_tag and name not in _XML_NAMES and name in name2codepoint:
                out += (text[done : found.start()], chr(name2codepoint[name]))
                done = found.end()
        elif quote:
            quote = "" if mark == quote else quote
        elif mark == "<":
            in_tag = True
        elif mark == ">":
            in_tag = False
        elif in_tag:
            quote = mark
    return "".join((*out, text[done:]))


# Elements


class _Growth:
    """One document's way through expat: called for each tag and text, raises `Fault` at the first limit."""

    def __init__(self, limits: Limits, names: Mapping[str, str], texts: Set[str], lines: int) -> None:
        self._limits, self._names, self._texts, self._lines = limits, names, texts, lines
        self._elements = 0
        self._open: list[Node] = []
        self._root: Node | None = None
        self._expat = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._begun
        parser.EndElementHandler = self._ended
        parser.CharacterDataHandler = self._said
        # None of these can happen once the DOCTYPE is gone; if they do, nothing of it is believed.
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = self._declared
        parser.SkippedEntityHandler = parser.ExternalEntityRefHandler = self._declared

    def grow(self, text: str) -> Node:
        # In one piece: older expats look at an unfinished token again with each further piece.
        try:
            self._expat.Parse(text.encode("utf-8", "surrogatepass"), True)
        except expat.ExpatError as problem:
            raise Fault(Code.CANNOT_PARSE, expat.ErrorString(problem.code), self._place()) from None
        finally:
            del self._expat  # or parser and handlers would hold each other
        if self._root is None:
            raise Fault(Code.CANNOT_PARSE, "no element found")
        return self._root

    def _place(self) -> str:
        """Line and column of what expat is at, or of its error."""
        line, column = self._expat.CurrentLineNumber, self._expat.CurrentColumnNumber
        return f"line {line + self._lines}, column {column + 1}"

    def _over(self, code: Code, what: str, limit: int) -> NoReturn:
        raise Fault(code, what, self._place(), limit)

    def _begun(self, tag: str, attributes: list[str]) -> None:
        limits = self._limits
        self._elements += 1
        local = tag.rpartition(":")[2]
        name = self._names.get(local.lower(), local)
        if not self._open and name != ROOT:
            raise Fault(Code.NOT_VALID, f"root is not {ROOT}", self._place())
        if len(self._open) >= limits.depth:
            self._over(Code.NOT_VALID, "elements are too deep in one another", limits.depth)
        if self._elements > limits.elements:
            self._over(Code.NOT_VALID, "too many elements", limits.elements)
        if len(attributes) > 2 * limits.attributes:
            self._over(Code.NOT_VALID, "too many attributes", limits.attributes)
        values = attributes[1::2]
        if values and max(map(len, values)) > limits.value:
            self._over(Code.NOT_VALID, "an attribute is too long", limits.value)
        named = zip(attributes[::2], values, strict=True)
        node = Node(tag, name, dict(named))
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node
        self._open.append(node)

    def _said(self, text: str) -> None:
        node = self._open[-1]
        node.size += len(text)
        if node.size > self._limits.text:
            self._over(Code.TOO_LONG, "a text is too long", self._limits.text)
        node.pieces.append(text)

    def _ended(self, tag: str) -> None:
        node = self._open.pop()
        # Markup inside a text does not take characters of the text away.
        if node.pieces and self._open and self._open[-1].name in self._texts:
            self._said(node.text)

    def _declared(self, *said: object) -> NoReturn:
        raise Fault(Code.NOT_VALID, "declarations are not allowed", self._place())
