"""The text that fits a link: forms are tried in order, the first that fits goes out. Pure.

Whatever the text, a page goes out: if no form fits, the last one is cut with a mark, never by the far end.
"""

from __future__ import annotations

import msgspec

from gateway.adapters.base import Measure
from gateway.model import Content, MessageClass, Ref

CUT = "..."
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
        "short": shorten(content.text, SHORT),
        "callback": content.callback or "",
        "ref": ref or "",
        "class": message_class.token.capitalize(),
        "sender": sender,
    }
    texts = [_fill(form, values) + mark for form in forms]
    for text in texts:
        parts = measure(text)
        if parts.fits:
            return Rendered(text=" ".join(parts.texts), cut=False, replaced=parts.replaced)
    text = _longest_that_fits(texts[0].removesuffix(mark), mark, measure)
    return Rendered(text=text, cut=True, replaced=measure(text).replaced)


def shorten(text: str, limit: int) -> str:
    """*text* on one line, at most *limit* characters, with a mark if something is missing."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - len(CUT)].rstrip() + CUT


def _fill(form: str, values: dict[str, str]) -> str:
    """*form* with its placeholders replaced; a part whose placeholder is empty leaves no blank behind.

    ``CB {callback}`` disappears as a whole when nobody is to be called back.
    """
    if not values["callback"]:
        form = form.replace("CB {callback}", "")
    out: list[str] = []
    rest = form
    while rest:
        head, brace, tail = rest.partition("{")
        out.append(head)
        if not brace:
            break
        name, closing, rest = tail.partition("}")
        out.append(values.get(name, brace + name + closing))
    return "\n".join(" ".join(part for part in line.split(" ") if part) for line in "".join(out).split("\n"))


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
