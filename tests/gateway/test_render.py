"""Texts that always fit: whatever is said, in whatever characters, something readable goes out."""

from __future__ import annotations

import re
import string
import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.base import Parts, measuring
from gateway.alphabets import Alphabet, carry, length
from gateway.model import Content, MessageClass, Ref, Url
from gateway.render import CUT, SHORT, Display, Rendered, marked, render
from gateway.settings.types import TEXTS

FORMS = TEXTS["default"]
STEMI = "Cath lab 2: STEMI in 10 min. Bring the crash cart to the second floor now"
REF = Ref("7K3M")


def display(size: int = 240, alphabet: Alphabet = Alphabet.ASCII, **more: object) -> Display:
    values: dict[str, object] = {"forms": FORMS, "measure": measuring(alphabet, size)}
    return Display(**values | more)  # type: ignore[arg-type]


def shown(content: Content | str, how: Display, **more: object) -> Rendered:
    if isinstance(content, str):
        content = Content(text=content, callback="4411")
    values: dict[str, object] = {"message_class": MessageClass.CRITICAL, "ref": REF}
    return render(content, how, **values | more)  # type: ignore[arg-type]


# ---------------------------------------------------------------- properties

ANY = st.text(alphabet=st.characters(), max_size=300) | st.text(
    alphabet=st.sampled_from("aé€ß\n\r\t \u202e\u200b\u200d\x00\x1b🔥👩🏽🇫🇷日\u0301\ud800\udc00{}^ABC"),
    max_size=300,
)
LONG = st.builds(lambda text, times: (text * times)[:20_000], ANY, st.integers(1, 200))
FORM = st.lists(
    st.sampled_from(
        [f"{{{name}}}" for name in ("text", "short", "details", "callback", "ref", "class", "code")]
    )
    | st.sampled_from(["CB {callback}", "Bed: ", " ", "\n", "call {callback}"]),
    min_size=1,
    max_size=5,
).map("".join)
CONTENT = st.builds(
    Content,
    text=LONG,
    callback=st.none() | ANY | st.sampled_from(["4411", "+33 1 23 45", "(555) 123-4567 ext. 9"]),
    details=st.none() | ANY,
    urls=st.lists(st.builds(Url, text=ANY, href=ANY), max_size=2).map(tuple),
    replies=st.lists(ANY, max_size=2).map(tuple),
)
DISPLAY = st.builds(
    lambda size, alphabet, **more: display(size, alphabet, **more),
    st.integers(20, 300),
    st.sampled_from(Alphabet),
    forms=st.lists(FORM, min_size=1, max_size=3).map(tuple) | st.sampled_from([*TEXTS.values()]),
    shows=st.sampled_from(["text", "text", "text", "numeric", "tone"]),
    too_long=st.sampled_from(["cut", "split", "refuse"]),
    parts=st.integers(1, 9),
    mark_copies=st.booleans(),
)


@given(CONTENT, DISPLAY, st.integers(1, 9), st.sampled_from(MessageClass))
@settings(max_examples=400, deadline=None)
def test_whatever_the_text_a_page_goes_out(
    content: Content, how: Display, copy: int, message_class: MessageClass
) -> None:
    """Any text, any forms, any device: a page goes out, every part of it fits with its mark exactly as it is,
    and nothing that is left to be cut or replaced by the far end."""
    found = shown(content, how, copy=copy, message_class=message_class)
    assert found.broke is None
    for text in found.texts:
        assert text.strip() or how.shows == "tone"
        assert how.measure(marked(text, copy, how)) == Parts(texts=(marked(text, copy, how),))
        assert how.shows == "text" or not set(text) & set(string.ascii_letters)
    assert len(found.texts) <= (how.parts if how.too_long == "split" else 1)
    assert found.fits or how.too_long == "refuse"
    assert shown(content, how, copy=copy, message_class=message_class) == found


@given(LONG, st.integers(40, 300), st.sampled_from(Alphabet), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_parts_make_up_the_text(text: str, size: int, alphabet: Alphabet, parts: int) -> None:
    """Read one after the other, the parts are the text that was to be shown; if something is missing the
    last one ends with a mark, and the copy makes no difference."""
    how = display(size, alphabet, forms=("{text}", "page"), too_long="split", parts=parts)
    found = shown(text, how)
    if found.withheld:
        assert not carry(text, alphabet).text.strip() or found.texts == ("page",)
        return
    together = "".join(part[4:] if len(found.texts) > 1 else part for part in found.texts)
    whole = "".join(carry(" ".join(text.split(" ")), alphabet).text.split())
    said = "".join(together.split())
    if found.cut:
        assert said.endswith(CUT)
        kept = said.removesuffix(CUT)
        assert whole.startswith(kept[:-1])  # a cut may end a row of marks that belong to one letter
    else:
        assert said == whole
    assert [part[:4] for part in found.texts if len(found.texts) > 1] == [
        f"{n}/{len(found.texts)} " for n in range(1, len(found.texts) + 1) if len(found.texts) > 1
    ]
    if len(found.texts) > 1:
        assert shown(text, how, copy=3).texts == found.texts


@given(LONG, DISPLAY)
@settings(max_examples=200, deadline=None)
def test_nothing_is_lost_without_a_word(text: str, how: Display) -> None:
    """Either all of the text is shown as it is, or what happened to it is told."""
    forms = ("{text}", "page") if len(text) % 2 else ("{short}", "page")
    how = msgspec.structs.replace(how, shows="text", forms=forms)
    found = shown(text, how)
    if not (found.cut or found.withheld or found.transliterated or found.replaced):
        whole = "".join(part[4:] if len(found.texts) > 1 else part for part in found.texts)
        assert seen(whole) == seen(text)


def seen(text: str) -> str:
    """What readers see of a text, but for blanks: joiners and the like show nothing of their own."""
    return "".join(
        re.sub("[\u200c-\u200f\u061c\ufe00-\ufe0f]", "", unicodedata.normalize("NFC", text)).split()
    )


@given(ANY, st.sampled_from(Alphabet))
@settings(max_examples=400)
def test_what_is_carried_is_of_the_alphabet(text: str, alphabet: Alphabet) -> None:
    """No control, no half character, nothing that the device lacks; carried again it stays as it is."""
    carried = carry(text, alphabet)
    assert carry(carried.text, alphabet) == type(carried)(carried.text)
    encoding = {"gsm": "utf-8"}.get(alphabet.value, alphabet.value)
    carried.text.encode(encoding)
    assert not any(c < " " and c != "\n" for c in carried.text)
    assert length(carried.text, alphabet) >= len(carried.text)


@given(ANY)
def test_what_is_not_to_be_known_never_gets_into_the_page(text: str) -> None:
    """Not a word of the text, the details, a link or an answer stands in a page without patient data."""
    words = "SMITH"
    content = Content(
        text=words + text,
        details=words,
        urls=(Url(text=words, href=words),),
        replies=(words,),
        labels={"name": words},
        callback="4411",
    )
    how = display(forms=TEXTS["no-patient-data"])
    assert shown(content, how) == Rendered(texts=("Critical: call 4411 7K3M",), withheld=True)
    assert words not in shown(content, display(20, forms=TEXTS["no-patient-data"])).texts[0]


# ---------------------------------------------------------------- forms


def test_the_first_form_that_fits_goes_out() -> None:
    """As much of the text as there is room for; if that is next to nothing, the number to call."""
    assert shown(STEMI, display(240)).texts == (f"{STEMI} CB 4411 7K3M",)
    assert shown(STEMI, display(80)).texts == (
        "Cath lab 2: STEMI in 10 min. Bring the crash cart to the second... CB 4411 7K3M",
    )
    assert shown(STEMI, display(20)).texts == ("CB 4411 7K3M",)
    assert shown(STEMI, display(12)).texts == ("CB 4411 7K3M",)


def test_the_short_form_goes_out_where_long_texts_are_refused() -> None:
    """`refuse`: nothing is cut in the middle, the next form goes out."""
    found = shown(STEMI, display(80, too_long="refuse"))
    assert found.texts == (f"{STEMI[: SHORT - 3].rstrip()}... CB 4411 7K3M",)
    assert found.fits


def test_what_fits_in_no_form_is_refused_only_where_somebody_wants_so() -> None:
    """With `refuse` and no form that fits the page is refused; the words for the last way out are there."""
    how = display(20, forms=("{text}",))
    assert shown(STEMI, how).texts == ("Cath lab 2: STEMI...",)
    refused = shown(STEMI, msgspec.structs.replace(how, too_long="refuse"))
    assert (refused.fits, refused.texts) == (False, ("Cath lab 2: STEMI...",))


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("{text} CB {callback} {ref}", "Bed 4 -"),
        ("{class}: call {callback} {ref}", "Critical"),
        ("{class}: {text}", "Critical: Bed 4 -"),
        ("{sender}: {callback} {text}", "Bed 4 -"),
        ("{text}\n{details}", "Bed 4 -"),
    ],
)
def test_nothing_stands_around_what_is_not_there(form: str, said: str) -> None:
    """Without a number to call there is no CB, no blank and no colon; the text itself is left alone."""
    found = shown(Content(text="Bed 4 -"), display(forms=(form,)), ref=None)
    assert [text.lstrip(": ") for text in found.texts] == [said]


def test_details_come_last_and_go_first() -> None:
    """Details and links are shown where all of them fit, and never at the cost of the text or of a part."""
    content = Content(
        text="Bed 4",
        details="Room C3",
        urls=(Url(text="ticket", href="https://itsm.example/1"),),
        callback="4411",
    )
    assert shown(content, display()).texts == ("Bed 4 CB 4411 7K3M\nRoom C3\nticket https://itsm.example/1",)
    assert shown(content, display(40)).texts == ("Bed 4 CB 4411 7K3M\nRoom C3",)
    for policy in ("cut", "split", "refuse"):
        assert shown(content, display(20, too_long=policy)).texts == ("Bed 4 CB 4411 7K3M",)


def test_choices_stand_in_the_text_where_a_form_says_so() -> None:
    """For devices that answer in words."""
    content = Content(text="Bed 4", replies=("OK", "Cannot"))
    assert shown(content, display(forms=("{text} {replies}", "x"))).texts == ("Bed 4 Reply 1 OK 2 Cannot",)


def test_a_mistake_of_ours_still_leaves_a_page() -> None:
    """If a measure breaks, the class and the reference go out, and the kind of error is told without the text."""

    def broken(text: str) -> Parts:
        raise ValueError(text)

    found = shown(STEMI, display(measure=broken))
    assert (found.texts, found.broke) == (("Critical 7K3M",), "ValueError")
    assert shown(STEMI, display(measure=broken, shows="numeric")).texts == ("1",)


# ---------------------------------------------------------------- cutting and splitting


def test_a_long_text_is_cut_before_the_number_to_call() -> None:
    """Who calls back and the reference are never what is missing."""
    found = shown("word " * 1000, display(240))
    assert found.cut
    assert found.texts[0].endswith("word... CB 4411 7K3M")
    assert 230 <= len(found.texts[0]) <= 240


def test_a_long_text_is_split_if_wanted() -> None:
    """At most so many parts, each with its place; the last says who calls back; what is too much is cut."""
    found = shown("word " * 1000, display(100, too_long="split", parts=3))
    assert [text[:4] for text in found.texts] == ["1/3 ", "2/3 ", "3/3 "]
    assert found.cut
    assert found.texts[-1].endswith("word... CB 4411 7K3M")
    whole = shown("word " * 30, display(100, too_long="split", parts=3))
    assert (len(whole.texts), whole.cut) == (2, False)


@pytest.mark.parametrize("whole", ["👩🏽‍⚕️", "e\u0301\u0302", "🇫🇷", "\ud83d\udd25", "\u1112\u1161\u11ab"])
def test_no_character_is_torn_apart(whole: str) -> None:
    """What readers see as one character is shown whole or not at all, wherever the end falls."""
    for size in range(30, 60):
        how = display(
            size,
            forms=("{text}",),
            mark_copies=False,
            too_long="split",
            parts=9,
            measure=lambda text: Parts(texts=(text,), fits=len(text) <= size),  # noqa: B023
        )
        for text in shown(whole * 30, how).texts:
            body = text.removesuffix(CUT)[4:]
            assert body.replace(whole, "") == ""


def test_the_mark_of_a_copy_counts() -> None:
    """A text that just fits gives way to the mark."""
    how = display(30, forms=("{text}",))
    assert shown("x" * 30, how).texts == ("x" * 30,)
    (second,) = shown("x" * 30, how, copy=2).texts
    assert marked(second, 2, how) == "x" * 18 + "... (copy 2)"
    assert marked("x", 2, msgspec.structs.replace(how, mark_copies=False)) == "x"


# ---------------------------------------------------------------- alphabets


@pytest.mark.parametrize(
    ("text", "ascii_", "gsm", "latin1"),
    [
        ("“37 °C” – ½ …", '"37 degC" - 1/2 ...', '"37 degC" - 1/2 ...', '"37 °C" - ½ ...'),
        ("Grüße, Zoë", "Grusse, Zoe", "Grüße, Zoe", "Grüße, Zoë"),
        ("5 µg, 10⁵, 2½ €", "5 ug, 10^5, 2 1/2 EUR", "5 ug, 10^5, 2 1/2 €", "5 µg, 10^5, 2½ EUR"),
        (
            "🔥🔥👍🏽 🇫🇷",
            "[fire][thumbs up sign] FR",
            "(fire)(thumbs up sign) FR",
            "[fire][thumbs up sign] FR",
        ),
        ("Щука Ёж", "Shchuka Yozh", "Shchuka Yozh", "Shchuka Yozh"),
        ("床 a\u202eb\u200bc\x07d", "? abc d", "? abc d", "? abc d"),
        ("`a` {b}", "`a` {b}", "'a' {b}", "`a` {b}"),
        ("a\r\nb\tc\u2028d", "a\nb c\nd", "a\nb c\nd", "a\nb c\nd"),
    ],
)
def test_what_a_device_cannot_show_is_written_otherwise(
    text: str, ascii_: str, gsm: str, latin1: str
) -> None:
    """Accents go, quotes become plain, emoji become their names; what is dangerous to read wrongly does not."""
    assert carry(text, Alphabet.ASCII).text == ascii_
    assert carry(text, Alphabet.GSM).text == gsm
    assert carry(text, Alphabet.LATIN1).text == latin1


def test_changes_are_counted() -> None:
    """Readable stand-ins and losses apart."""
    assert carry("é€床\u202e", Alphabet.ASCII) == type(carry("", Alphabet.ASCII))("eEUR?", 2, 2)


def test_gsm_counts_escaped_characters_twice() -> None:
    """GSM 03.38: a euro or a bracket takes two places."""
    assert length("a€[b]", Alphabet.GSM) == 8
    assert length("a€[b]", Alphabet.UTF8) == 5


# ---------------------------------------------------------------- numbers and tones


@pytest.mark.parametrize(
    ("text", "callback", "said"),
    [
        ("Bed 4 please", "4411", "4411"),
        ("Bed 4 please", "(555) 123-4567", "555 123-4567"),
        ("Bed 4 please", "+33 1 23 45", "33 1 23 45"),
        ("Bed 4 please", "ward 4B, extension 4411", "4411"),
        ("4411*911", None, "4411*911"),
        ("Bed 4 please", None, "1"),
        ("Bed 4 please", "1234567890123456789012", "1"),
    ],
)
def test_a_numeric_pager_gets_a_number(text: str, callback: str | None, said: str) -> None:
    """The number to call; else a text that is one; else the class. Never letters, never half a number."""
    how = display(20, forms=TEXTS["numeric"], shows="numeric")
    assert shown(Content(text=text, callback=callback), how, copy=2).texts == (said,)


def test_a_number_for_all_cases_may_be_written() -> None:
    """Administrators choose what a numeric pager shows; letters of a form are left out."""
    how = display(20, forms=("CB {callback} {text}", "911-{code}"), shows="numeric")
    assert shown(Content(text="Bed 4"), how, message_class=MessageClass.URGENT).texts == ("911-2",)


def test_a_tone_pager_only_sounds() -> None:
    """There is no text in its page."""
    assert shown(STEMI, display(shows="tone")) == Rendered(texts=("",), withheld=True)
