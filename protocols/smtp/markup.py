"""The text of HTML, RTF and calendars, in work linear to their size. Never fails."""

import html
import re
from collections.abc import Iterator

# HTML

_HIDDEN = re.compile(
    r"<(script|style|title|template)\b[^<>]*>.*?(?:</\1[^<>]*>|\Z)|<!--.*?(?:-->|\Z)",
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
# No < inside a quoted value, so that each try of the expression ends at the next one.
_TAG = re.compile(
    r"""<(/?)([a-z][a-z0-9]*)(?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+>|<[!?][^<>]*+>""", re.ASCII | re.IGNORECASE
)
_BREAKS = frozenset(
    [
        "p",
        "div",
        "br",
        "tr",
        "li",
        "ul",
        "ol",
        "table",
        "blockquote",
        "hr",
        "pre",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "dt",
        "dd",
        "section",
    ]
)


def of_html(source: str) -> str:
    """What a reader sees, a line for each block; for a blockquote a line ``>``."""
    source = _HIDDEN.sub(" ", source.replace("\0", " "))
    return html.unescape("".join(_shown(source)))


def _shown(source: str) -> Iterator[str]:
    at = quoted = 0
    for tag in _TAG.finditer(source):
        if not quoted:
            yield re.sub(r"[ \t\r\n\f]+", " ", source[at : tag.start()])
        at = tag.end()
        name = (tag[2] or "").lower()
        if name == "blockquote":
            if not (quoted or tag[1]):
                yield "\n>"
            quoted = max(0, quoted + (-1 if tag[1] else 1))
        if name in _BREAKS:
            yield "\n"
        elif name in ("td", "th"):
            yield " "
    if not quoted:
        yield re.sub(r"[ \t\r\n\f]+", " ", source[at:])


# RTF

_RTF = re.compile(
    r"\\([a-z]{1,32})(-?[0-9]{1,9})? ?|\\'([0-9a-f]{2})|\\(.)|([{}])|([^\\{}]+)", re.DOTALL | re.IGNORECASE
)
_NOT_TEXT = frozenset(  # groups that hold something else than the text
    [
        "fonttbl",
        "colortbl",
        "stylesheet",
        "info",
        "pict",
        "object",
        "header",
        "footer",
        "generator",
        "listtable",
        "listoverridetable",
    ]
)
_RTF_WORDS = {"par": "\n", "line": "\n", "sect": "\n", "page": "\n", "row": "\n", "tab": " ", "cell": " "}


def of_rtf(source: str) -> str:
    """The text of an RTF document in Windows-1252, which is what mail programs write, or with ``\\u``."""
    return "".join(_written(source))


def _written(source: str) -> Iterator[str]:
    depth = 0
    hidden: int | None = None  # the depth at which a group without text began
    skip = 0  # characters that stand in for a \u
    width = 1  # how many do
    for token in _RTF.finditer(source):
        word, number, octet, symbol, brace, text = token.groups()
        if brace:
            depth += 1 if brace == "{" else -1
            skip = 0
            if hidden is not None and depth < hidden:
                hidden = None
        elif symbol == "*" or (word and word.lower() in _NOT_TEXT):
            hidden = depth if hidden is None else hidden
        elif hidden is not None:
            continue
        elif word == "uc":
            width = max(0, min(int(number or 1), 10))
        elif word == "u" and number:
            char = int(number) % 65536
            skip = width
            yield chr(char) if not 0xD800 <= char < 0xE000 else "?"
        elif word:
            yield _RTF_WORDS.get(word.lower(), "")
        elif octet and not skip:
            yield bytes([int(octet, 16)]).decode("cp1252", "replace")
        elif symbol and not skip:
            yield {"~": " ", "-": "", "_": "-", "\n": "\n", "\r": "\n"}.get(symbol, symbol)
        elif text:
            plain = re.sub(r"[\r\n]", "", text)
            skip, plain = max(0, skip - len(plain)), plain[skip:]
            yield plain
        elif skip:
            skip -= 1


# Calendars (RFC 5545)

_UNESCAPED = {"n": "\n", "N": "\n"}
_WHEN = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})[0-9]{2}(Z?))?", re.ASCII)


def of_calendar(source: str) -> str:
    """The first event: whether it is cancelled, its summary, when it begins as written, where it is."""
    lines = re.sub(r"\r?\n[ \t]", "", source).splitlines()
    said: dict[str, str] = {}
    inside = False  # of the event; what is before it has times, too
    for line in lines:
        name, _, value = line.partition(":")
        name = name.partition(";")[0].strip().upper()
        if value.strip().upper() == "VEVENT":
            if name == "END":
                break
            inside = inside or name == "BEGIN"
        if name in ("SUMMARY", "LOCATION", "DTSTART") if inside else name == "METHOD":
            text = re.sub(r"\\(.)", lambda found: _UNESCAPED.get(found[1], found[1]), value)
            said.setdefault(name, " ".join(text.split()))
    if not said.get("SUMMARY"):
        return ""
    cancelled = "Cancelled: " if said.get("METHOD", "").upper() == "CANCEL" else ""
    told = [cancelled + said["SUMMARY"], _when(said.get("DTSTART", "")), said.get("LOCATION", "")]
    return "\n".join(line for line in told if line)


def _when(value: str) -> str:
    found = _WHEN.fullmatch(value)
    if not found:
        return value
    year, month, day, hour, minute, utc = found.groups()
    return f"{year}-{month}-{day}" + (f" {hour}:{minute}{' UTC' if utc else ''}" if hour else "")
