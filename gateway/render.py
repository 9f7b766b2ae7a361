"""The text that fits a link: forms are tried in order, the first that fits goes out. Pure.

Whatever the text, a page goes out: if no form fits, the last one is cut with a mark, never by the far end.
"""

from __future__ import annotations

from functools import lru_cache
from string import Formatter

import msgspec

from gateway.adapters.base import Measure
from gateway.model import Content, MessageClass, Ref

CUT = "..."
CALL_BACK = "CB "
SHORT = 60  # characters of {short}: about what a pager shows without scrolling


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out. *cut*: characters of the text are missing; *replaced*: so many could not be carried."""

    text: str
    cut: bool
    replaced: int


def render(
    content: Content,
    forms: tuple[str, ...],
    measure: Measure,
    *,
    message_class: MessageClass,
    ref: Ref | None,
    copy: int = 1,
    sender: str = "",
) -> Rendered:
    """The first of *forms* that fits with its mark ``(copy n)`` if *copy* > 1; the mark counts."""
    mark = f" (copy {copy})" if copy > 1 else ""
    values = {
        "text": content.text,
        "callback": content.callback or "",
        "ref": ref or "",
        "class": message_class.token.capitalize(),
        "sender": sender,
    }
    whole = ""
    for form in forms:
        text = fill(form, values)
        whole = whole or text
        parts = measure(text + mark)
        if parts.fits:
            return Rendered(text=" ".join(parts.texts), cut=False, replaced=parts.replaced)
    text = _longest_that_fits(whole, mark, measure)
    return Rendered(text=text, cut=True, replaced=measure(text).replaced)


def shorten(text: str, limit: int) -> str:
    """*text* on one line, at most *limit* characters, with a mark if something is missing."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - len(CUT)].rstrip() + CUT


def fill(form: str, values: dict[str, str]) -> str:
    """*form* with its placeholders replaced, without what would stand around an empty one.

    ``{short}`` is ``{text}`` made short. ``CB {callback}`` disappears as a whole when nobody is to be called
    back, and no blank is left behind.
    """
    out: list[str] = []
    for literal, name in _parsed(form):
        value = shorten(values["text"], SHORT) if name == "short" else values.get(name, "")
        if not value and name:
            out.append(literal.removesuffix(CALL_BACK))
            continue
        out.append(literal)
        out.append(value)
    text = "".join(out)
    return text.strip(" ") if "  " not in text else " ".join(part for part in text.split(" ") if part)


@lru_cache(maxsize=256)
def _parsed(form: str) -> tuple[tuple[str, str], ...]:
    """The pieces of *form*: what stands before a placeholder, and its name ("" after the last)."""
    return tuple((literal, name or "") for literal, name, _, _ in Formatter().parse(form))


def _longest_that_fits(text: str, mark: str, measure: Measure) -> str:
    """The longest beginning of *text* that fits together with the cut and the mark (binary search)."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip() + CUT + mark).fits:
            low = middle
        else:
            high = middle - 1
    return " ".join(measure(text[:low].rstrip() + CUT + mark).texts)
