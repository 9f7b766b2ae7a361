"""Text of strangers: octets read without failing, and what must not get into one line taken out."""

import re

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
