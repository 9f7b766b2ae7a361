"""Text of strangers: octets read without failing, and what must not get into one line taken out."""

import re
import unicodedata

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # and what else may end a line


def printable(text: str) -> str:
    """*text* with one blank for each control character, line separator or half surrogate pair."""
    return CONTROLS.sub(" ", text)


def decoded(data: bytes) -> str:
    """What an octet string says: UTF-8 where it is valid, else Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


_NOT_PRINTABLE_ASCII = re.compile(r"[^\x20-\x7e]")
_TYPOGRAPHY = str.maketrans("‘’‚“”„«»‐‑‒–—−•", "'" * 3 + '"' * 5 + "-" * 6 + "*")


def plain(text: str) -> str:
    """*text* in printable ASCII: accents go, typographic quotes and dashes become plain, controls become
    blanks, anything else ``?``."""
    if not text.isascii():
        folded = unicodedata.normalize("NFKD", printable(text).translate(_TYPOGRAPHY))
        text = "".join(c for c in folded if not unicodedata.combining(c))
    return _NOT_PRINTABLE_ASCII.sub(lambda found: " " if found[0] < "\x80" else "?", text)
