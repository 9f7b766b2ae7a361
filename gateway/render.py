"""The text that fits a link: forms are tried in order, the first that fits goes out. Pure.

Whatever the text, a page goes out: what is too long is cut with a mark, or split into parts, but never by the
far end; what a form says beside the text (who calls back, the reference) stays whole. What breaks the
rendering itself still leaves a shorter page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from string import Formatter
from typing import Literal
from zlib import crc32

import msgspec

from gateway.adapters.base import Measure
from gateway.model import Content, LinkName, MessageClass, Ref
from gateway.settings.types import Settings

CUT = "..."
SHORT = 60  # characters of {short}: about what a pager shows without scrolling
LEAST = 20  # characters of a text below which a form without it says more
HIGHEST_COPY = 99  # what a mark counts up to; nobody has been sent as many
LONGEST_CLUSTER = 32  # code points that are kept together at most: longer ones are no writing
PLAIN = "{class} {ref}"  # what goes out if no form fits and none can be made to
HOLDS_TEXT = frozenset({"text", "short"})

_CALL_BACK = re.compile("(?:CB|[Cc]all) $")
_NOT_A_NUMBER = re.compile(r"[^0-9*# -]")
_A_NUMBER = re.compile(r"[0-9*#][0-9*# -]*")

_WORDS = {one: one.token.capitalize() for one in MessageClass}
_CODES = {one: str(one + 1) for one in MessageClass}  # 1 is critical: the least that a numeric pager shows


class Display(msgspec.Struct, frozen=True, kw_only=True):
    """How texts are shown on the devices of a link: what they show, in which forms, how much of it, and what
    is done with more. *parts* bounds how many pages one text may become if *too_long* is ``split``."""

    forms: tuple[str, ...]
    measure: Measure
    shows: Literal["text", "numeric", "tone"] = "text"
    too_long: Literal["cut", "split", "refuse"] = "cut"
    parts: int = 4
    mark_copies: bool = True


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out: a text, or one for each part, exactly as it is shown; marks of copies come behind it.

    *cut*: characters of the text are missing. *withheld*: the form shows nothing of it. *transliterated* and
    *replaced* count characters that are shown otherwise, or not at all. *fits* False: every form is too long,
    and the administrator wants such a page refused; the texts are what goes out if there is no other way.
    *broke* names the error that kept the forms from being filled in.
    """

    texts: tuple[str, ...]
    cut: bool = False
    withheld: bool = False
    transliterated: int = 0
    replaced: int = 0
    fits: bool = True
    broke: str | None = None

    @property
    def says(self) -> str:
        """What happened to the text, in words for people; "" if nothing did."""
        told = []
        if self.broke is not None:
            told.append("the text could not be filled in, so only the class and the reference went out")
        if self.cut:
            told.append("the text was cut")
        changed = self.transliterated + self.replaced
        if changed:
            count = "1 character" if changed == 1 else f"{changed} characters"
            lost = f", {self.replaced} of them lost" if self.replaced else ""
            told.append(f"{count} of the text cannot be shown as written{lost}")
        return "; ".join(told)

    @property
    def split(self) -> int:
        """A number that tells two ways of splitting apart."""
        return crc32("\0".join(self.texts).encode("utf-8", "surrogatepass"))


def display_of(settings: Settings, link: LinkName, measure: Measure) -> Display:
    """How the devices of *link* show texts."""
    carrier = settings.carriers.get(link.partition(".")[0])
    own = settings.link(link)
    if carrier is None or own is None:  # it left the settings while its last pages were under way
        return Display(forms=settings.texts.get("default", ("{text}",)), measure=measure)
    shows = carrier.device.shows
    name = "numeric" if shows == "numeric" and carrier.text == "default" else carrier.text
    return Display(
        forms=settings.texts.get(name) or ("{text}",),
        measure=measure,
        shows=shows,
        too_long=own.too_long,
        parts=own.parts,
        mark_copies=own.mark_copies,
    )


def marked(text: str, copy: int, display: Display) -> str:
    """*text* with its mark ``(copy n)``, if it is one of several copies and may be marked."""
    return text + _mark(copy) if copy > 1 and display.mark_copies and display.shows == "text" else text


def render(
    content: Content,
    display: Display,
    *,
    message_class: MessageClass,
    ref: Ref | None,
    copy: int = 1,
    sender: str = "",
) -> Rendered:
    """What goes out of *content*; its mark as copy number *copy* will fit. Never raises.

    Each form is tried whole, then, if it holds the text, with as much of the text as fits. Parts keep room
    for the mark of any copy, so that a text is split the same way each time.
    """
    try:
        if display.shows == "tone":
            return Rendered(texts=("",), withheld=True)
        values = _values(content, message_class, ref, sender)
        if display.shows == "numeric":
            return _numeric(display, values)
        return _shown(content, display, values, marked("", copy, display))
    except Exception as error:  # whatever a text or a form does to us, a page goes out
        plain = fill(PLAIN, {"class": _WORDS[message_class], "ref": ref or ""})
        text = {"tone": "", "numeric": _CODES[message_class], "text": plain}[display.shows]
        return Rendered(texts=(text,), withheld=True, broke=type(error).__name__)


def shorten(text: str, limit: int) -> str:
    """*text* on one line, at most *limit* characters, with a mark if something is missing."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: _boundary(line, limit - len(CUT))].rstrip() + CUT


def fill(form: str, values: dict[str, str]) -> str:
    """*form* with its placeholders replaced, without what would stand around an empty one.

    ``{short}`` is ``{text}`` made short. ``CB {callback}`` disappears as a whole when nobody is to be called
    back, and neither a blank nor a colon is left behind.
    """
    out: list[str] = []
    for literal, name, alone in _parsed(form):
        value = shorten(values["text"], SHORT) if name == "short" else values.get(name, "")
        if not value and name:
            out.append(alone)
        else:
            out.append(literal)
            out.append(value)
    text = "".join(out).strip(" \n")
    return text if "  " not in text else " ".join(part for part in text.split(" ") if part)


@lru_cache(maxsize=256)
def _parsed(form: str) -> tuple[tuple[str, str, str], ...]:
    """The pieces of *form*: what stands before a placeholder, its name ("" after the last), and what stands
    there if the placeholder is empty."""
    return tuple(
        (literal, name or "", _CALL_BACK.sub("", literal).rstrip(" \n:,;-"))
        for literal, name, _, _ in Formatter().parse(form)
    )


@lru_cache(maxsize=256)
def _names(form: str) -> frozenset[str]:
    return frozenset(name for _, name, _ in _parsed(form))


def _values(content: Content, message_class: MessageClass, ref: Ref | None, sender: str) -> dict[str, str]:
    values = {
        "text": content.text,
        "callback": content.callback or "",
        "ref": ref or "",
        "class": _WORDS[message_class],
        "code": _CODES[message_class],
        "sender": sender,
    }
    if content.replies:
        choices = " ".join(f"{n} {reply}" for n, reply in enumerate(content.replies, 1))
        values["replies"] = f"Reply {choices}"
    return values


def _mark(copy: int) -> str:
    return f" (copy {min(copy, HIGHEST_COPY)})"


def _shown(content: Content, display: Display, values: dict[str, str], mark: str) -> Rendered:
    """The first form that fits, whole or shortened; else what fits of the first."""
    for form in display.forms:
        names = _names(form)
        withheld = not names & HOLDS_TEXT
        cut = "short" in names and "text" not in names and _is_cut(values["text"])
        if "details" in names and (content.details or content.urls):
            for details in _details(content):  # last to come, first to go: they never cost another part
                found = _one(fill(form, values | {"details": details}), display, mark, withheld)
                if found is not None:
                    return _as_cut(found) if cut else found
        found = _laid(fill(form, values), display, mark, withheld)
        if found is None and not withheld and display.too_long != "refuse":
            found = _shortened(form, values, display, mark, LEAST)
        if found is not None:
            return _as_cut(found) if cut else found
    fits = display.too_long != "refuse"
    for form in display.forms:
        if _names(form) & HOLDS_TEXT:
            found = _shortened(form, values, display, mark, 1)
            if found is not None:
                return msgspec.structs.replace(found, fits=fits)
    plain = fill(PLAIN, values)  # and not half a number to call: it would be somebody else's
    size = _longest(plain, lambda prefix: display.measure(prefix + mark).fits)
    return Rendered(texts=(plain[:size],), withheld=True, fits=fits)


def _details(content: Content) -> tuple[str, ...]:
    """What there is beside the text, all of it first."""
    urls = "\n".join(f"{url.text} {url.href}".strip() for url in content.urls)
    details = content.details or ""
    return tuple(dict.fromkeys(("\n".join(filter(None, (details, urls))), details or urls)))


def _one(text: str, display: Display, mark: str, withheld: bool) -> Rendered | None:
    """*text* as one page; None if it does not fit, or shows nothing."""
    parts = display.measure(text + mark)
    if not parts.fits:
        return None
    shown = "".join(parts.texts)
    if mark:
        shown = shown.removesuffix(mark)
    if not shown or shown.isspace():
        return None
    return Rendered(
        texts=(shown,),
        withheld=withheld,
        transliterated=parts.transliterated,
        replaced=parts.replaced,
    )


def _laid(text: str, display: Display, mark: str, withheld: bool) -> Rendered | None:
    """*text* as one page, or in parts where that is wanted; None if it does not fit."""
    found = _one(text, display, mark, withheld)
    if found is not None or display.too_long != "split":
        return found
    whole = display.measure(text)
    pieces = _pieces("".join(whole.texts), display, marked("", HIGHEST_COPY, display))
    if pieces is None:
        return None
    return Rendered(
        texts=pieces, withheld=withheld, transliterated=whole.transliterated, replaced=whole.replaced
    )


def _pieces(shown: str, display: Display, mark: str) -> tuple[str, ...] | None:
    """*shown* in parts that fit with ``1/3`` and the mark of a copy; None if that needs too many."""
    pieces: list[str] = []
    rest = shown.strip()
    while rest:
        if len(pieces) == display.parts:
            return None
        counter = f"{display.parts}/{display.parts} "
        size = _longest(rest, lambda piece: display.measure(counter + piece + mark).fits)  # noqa: B023
        if size == 0:
            return None
        pieces.append(rest[:size].rstrip())
        rest = rest[size:].lstrip()
    if len(pieces) < 2:  # it was but blanks that did not fit
        return tuple(pieces) or None
    return tuple(f"{n}/{len(pieces)} {piece}" for n, piece in enumerate(pieces, 1))


def _shortened(form: str, values: dict[str, str], display: Display, mark: str, least: int) -> Rendered | None:
    """*form* with as much of the text as fits, and a mark behind it; None if that is less than *least*."""

    def laid(prefix: str) -> Rendered | None:
        return _laid(fill(form, values | {"text": prefix.rstrip() + CUT}), display, mark, withheld=False)

    text = values["text"]
    size = _longest(text, lambda prefix: laid(prefix) is not None)
    found = laid(text[:size]) if size >= least else None
    return None if found is None else _as_cut(found)


def _is_cut(text: str) -> bool:
    """Whether ``{short}`` says less than *text*."""
    return shorten(text, SHORT) != " ".join(text.split())


def _as_cut(found: Rendered) -> Rendered:
    return msgspec.structs.replace(found, cut=True)


def _longest(text: str, fits: Callable[[str], bool]) -> int:
    """How long the longest beginning of *text* is that fits, if possible at the end of a word.

    The cost depends on what fits and not on how much there is.
    """
    low, high = 0, 64
    while high < len(text) and fits(text[:high]):
        low, high = high, 2 * high
    if high >= len(text):
        high = len(text)
        if fits(text):
            return high
    while high - low > 1:
        middle = (low + high) // 2
        if fits(text[:middle]):
            low = middle
        else:
            high = middle
    low = _boundary(text, low)
    if low and not text[low].isspace():
        word = max(text.rfind(" ", 0, low), text.rfind("\n", 0, low))
        if 3 * word > 2 * low:
            return word
    return low


def _boundary(text: str, size: int) -> int:
    """The last place up to *size* where no character is torn apart that readers see as one."""
    for at in range(size, max(0, size - LONGEST_CLUSTER), -1):
        if at >= len(text) or not _belongs(text, at):
            return at
    return 0 if size <= LONGEST_CLUSTER else size


def _belongs(text: str, at: int) -> bool:
    """Whether what stands at *at* is shown as one with what stands before it (Unicode annex 29, in short)."""
    before, c = text[at - 1], text[at]
    if c.isascii():
        return before == "\r" and c == "\n"
    if _joins(c) or before == "\u200d" or "\u1160" <= c <= "\u11ff":  # Hangul: vowels and finals
        return True
    if "\udc00" <= c <= "\udfff":
        return "\ud800" <= before <= "\udbff"
    if not _flag(c):
        return False
    halves = 0
    while halves < at and _flag(text[at - 1 - halves]):
        halves += 1
    return halves % 2 == 1


def _joins(c: str) -> bool:
    return (
        unicodedata.category(c).startswith("M")
        or c == "\u200d"
        or "\U0001f3fb" <= c <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= c <= "\U000e007f"  # tags of flags
    )


def _flag(c: str) -> bool:
    return "\U0001f1e6" <= c <= "\U0001f1ff"


def _numeric(display: Display, values: dict[str, str]) -> Rendered:
    """The first form that leaves a number and fits; no number is ever cut: it would be somebody else's."""
    numbers = {name: "" if _NOT_A_NUMBER.search(value) else value for name, value in values.items()}
    numbers["callback"] = _number_in(values["callback"])
    for form in display.forms:
        shown = " ".join(_NOT_A_NUMBER.sub(" ", fill(form, numbers)).split())
        if _A_NUMBER.search(shown) and display.measure(shown).fits:
            told = bool(numbers["text"]) and bool(_names(form) & HOLDS_TEXT)
            return Rendered(texts=(shown,), withheld=not told)
    return Rendered(texts=(values["code"],), withheld=True)


def _number_in(callback: str) -> str:
    """The telephone number in *callback*: the longest run of digits and of what stands between them."""
    found = _A_NUMBER.findall(re.sub("[()/.+]", " ", callback))
    return " ".join(max(found, key=len, default="").split())
