"""What devices can show: a text in the characters that a link carries. Pure.

Whatever comes in, what comes out is of the alphabet, and what was changed is counted: *transliterated* is
still readable (``é`` as ``e``, ``€`` as ``EUR``, an emoji by its name), *replaced* is lost (``?``, or gone).
What is carried once is carried unchanged the second time.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from functools import lru_cache

import msgspec

UNKNOWN = "?"
MAX_WORDS = 24  # characters of an emoji's name; longer ones end with the last whole word

_BASIC = (  # GSM 03.38 6.2.1, by code; ESC is no character
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "^{}\\[~]|€"  # GSM 03.38 6.2.1.1: each behind an ESC, so it counts as two
_ASCII = frozenset(map(chr, range(0x20, 0x7F))) | {"\n"}


class Alphabet(enum.Enum):
    """Which characters a link carries; the value is the word of the settings. Line feeds are always kept:
    what a wire cannot break into lines its adapter joins."""

    ASCII = "ascii"
    LATIN1 = "latin1"
    GSM = "gsm"
    UTF8 = "utf-8"


_CARRIES = {
    Alphabet.ASCII: _ASCII,
    Alphabet.LATIN1: _ASCII | frozenset(map(chr, range(0xA0, 0x100))) - {"\xad"},
    Alphabet.GSM: frozenset(_BASIC + _EXTENSION) - {"\x1b", "\r"},
}


class Carried(msgspec.Struct, frozen=True):
    """*text* in the alphabet; how many characters are shown in others' stead, and how many are lost."""

    text: str
    transliterated: int = 0
    replaced: int = 0


_WORDS = """ `' ´' …... ⁄/ ×x ÷/ ±+/- →-> ←<- ≤<= ≥>= ≠!= ≈~ ‰o/oo µu μu ΩOhm €EUR £GBP ¥JPY ¢c ©(c) ®(R)
 ™(TM) №No. ßss ẞSS æae ÆAE œoe ŒOE øo ØO åa đd ĐD ðd ÐD þth ÞTh łl ŁL ıi ¡! ¿? §S. ¶P. ¤* ¦| |/ ~- ^'
 {( }) [( ]) \\/ ✓ok ✔ok ✗x ✘x """
_SPELLED: dict[str, str] = {
    **dict(zip("‘’‚‛′‹›“”„‟″«»", "'" * 7 + '"' * 7, strict=True)),
    **dict.fromkeys("‐‑‒–—―−⁃", "-"),
    **dict.fromkeys("•‣▪●·", "*"),
    **{word[0]: word[1:] for word in _WORDS.split()},
    "°": " deg",
}
"""How a character is written where it cannot be shown, if not by taking away its accents. Two blanks never
arise: ``37 °C`` becomes ``37 degC``. A Greek mu is taken for micro: as an ``m`` it would be a thousand times
as much."""


def _letters(alphabet: str, spelled: str) -> None:
    for letter, latin in zip(alphabet, spelled.split(), strict=True):
        latin = latin.strip("-")
        _SPELLED.setdefault(letter, latin)
        _SPELLED.setdefault(letter.upper(), latin.capitalize())


_letters(  # simplified; what a reader of the language says aloud is understood
    "абвгдежзийклмнопрстуфхцчшщъыьэюяёєіїґ",
    "a b v g d e zh z i y k l m n o p r s t u f kh ts ch sh shch - y - e yu ya yo ye i yi g",
)
_letters("αβγδεζηθικλνξοπρστυφχψως", "a v g d e z i th i k l n x o p r s t y f ch ps o s")

_BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_UNFIT_FOR_ANY = re.compile(
    # controls, halves of surrogate pairs, and what is not seen but changes what is: zero-width blanks,
    # and embeddings, overrides and isolates of direction, which can make a text read as another one
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u00ad\u200b\u2060-\u2064\ufeff\u202a-\u202e\u2066-\u206f]"
)
_UNSEEN = re.compile(  # of other alphabets' writing only: joiners, marks of direction, variants, skin tones
    "[\u200c-\u200f\u061c\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef]"
)


def carry(text: str, alphabet: Alphabet) -> Carried:
    """*text* as a device of *alphabet* shows it, and what of it was changed."""
    if text.isascii() and text.isprintable() and (alphabet is not Alphabet.GSM or "`" not in text):
        return Carried(text)
    text, replaced = _UNFIT_FOR_ANY.subn(_instead, _BREAKS.sub("\n", text).replace("\t", " "))
    text = unicodedata.normalize("NFC", text)
    if alphabet is Alphabet.UTF8:
        return Carried(text, 0, replaced)
    can = _CARRIES[alphabet]
    out: list[str] = []
    transliterated = 0
    before = ""
    for c in text:
        if c in can:
            out.append(c)
        elif _UNSEEN.match(c):
            continue  # and *before* stays: the same emoji with another skin is the same
        else:
            spelled = _spelled(c, alphabet)
            if spelled is None:
                replaced += 1
                out.append(UNKNOWN)
            else:
                transliterated += 1
                if spelled[:1] == " " and (not out or out[-1][-1:] in ("", " ", "\n")):
                    spelled = spelled[1:]
                if c != before or not spelled.startswith(_opening(alphabet)):  # a row of fires is one
                    out.append(spelled)
        before = c
    return Carried("".join(out), transliterated, replaced)


def _instead(found: re.Match[str]) -> str:
    """What stands for a character that fits no alphabet: a blank for a control, else nothing."""
    if "\ud800" <= found[0] <= "\udfff":
        return UNKNOWN
    return " " if unicodedata.category(found[0]) == "Cc" else ""


def length(text: str, alphabet: Alphabet) -> int:
    """How many characters *text*, as carried, takes on the wire: some of GSM 03.38 count as two."""
    if alphabet is not Alphabet.GSM:
        return len(text)
    return len(text) + sum(map(text.count, _EXTENSION))


def _opening(alphabet: Alphabet) -> str:
    return "(" if alphabet is Alphabet.GSM else "["


@lru_cache(maxsize=4096)
def _spelled(c: str, alphabet: Alphabet) -> str | None:
    """How one character that cannot be shown is written; "" if it only adds to the one before; None: lost."""
    can = _CARRIES[alphabet]
    sign = {"<super>": "^", "<fraction>": " "}.get(unicodedata.decomposition(c).partition(" ")[0], "")
    if "\U0001f1e6" <= c <= "\U0001f1ff":  # half a flag
        return chr(ord(c) - 0x1F1E6 + ord("A"))
    for spelled in (_SPELLED.get(c), unicodedata.normalize("NFKD", c), unicodedata.normalize("NFD", c)):
        if not spelled or (spelled == c and not unicodedata.combining(c)):
            continue
        plain = "".join(one for one in spelled if not unicodedata.category(one).startswith("M"))
        plain = "".join(one if one in can else _SPELLED.get(one, one) for one in plain)
        if can.issuperset(plain):
            return sign + plain if plain.isdigit() or sign == " " else plain  # 10² is not 102, 2½ not 21/2
    category = unicodedata.category(c)
    if category.startswith("M"):
        return ""
    if category == "Zs":
        return " "
    if category in ("So", "Sk"):
        words = unicodedata.name(c, "").lower()
        if words and can.issuperset(words):
            short = words if len(words) <= MAX_WORDS else words[: MAX_WORDS + 1].rpartition(" ")[0]
            closing = ")" if alphabet is Alphabet.GSM else "]"
            return f"{_opening(alphabet)}{short or words[:MAX_WORDS]}{closing}"
    return None
