"""Mail to page: the text that somebody wrote, or why there is none (rows B54 to B56 of the catalogue)."""

import base64
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_fakes import ANN

from protocols.smtp.mime import Beyond, Limits, walk
from protocols.smtp.reading import (
    LOOP,
    MAX_SOURCE,
    MAX_TEXT,
    Automatic,
    Form,
    NoText,
    Read,
    Reading,
    Unreadable,
    Why,
    own_words,
    read,
)

HEAD = b"From: Ann <ann@example.net>\nSubject: Bed 4\nMessage-ID: <1@example.net>\n"
HTML = b"<html><head><title>x</title><style>p {}</style></head><body><p>Pump &lt;3&gt; is <b>low</b></p></body></html>"
RTF = rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}{\*\generator x;}\f0\fs20 Pump \'fc \u8364?5\par is {\b low}\par}"
INVITATION = b"""\
BEGIN:VCALENDAR
METHOD:REQUEST
BEGIN:VTIMEZONE
DTSTART:16010101T000000
END:VTIMEZONE
BEGIN:VEVENT
SUMMARY;LANGUAGE=en:Handover\\, ward
  C3
DTSTART;TZID=Europe/Paris:20261121T180000
LOCATION:Room 2
BEGIN:VALARM
SUMMARY:Reminder
END:VALARM
END:VEVENT
END:VCALENDAR
"""


def mail(body: bytes, head: bytes = HEAD, kind: bytes = b"text/plain; charset=utf-8") -> Read:
    return read(head + b"Content-Type: " + kind + b"\n\n" + body, ANN)


def multipart(*parts: tuple[bytes, bytes], subtype: bytes = b"mixed") -> Read:
    body = b"".join(b"--b\nContent-Type: " + kind + b"\n\n" + data + b"\n" for kind, data in parts)
    return mail(body + b"--b--\n", kind=b"multipart/" + subtype + b"; boundary=b")


def test_a_plain_mail() -> None:
    """Its text in lines, its subject, who wrote it; with LF and CR LF."""
    expected = mail(b"Pump is low.\n\n\nPlease come.\n")
    assert isinstance(expected, Reading)
    assert expected.text == "Pump is low.\n\nPlease come."
    assert expected.line == "Bed 4: Pump is low. Please come."
    assert (expected.head.subject, expected.head.author) == ("Bed 4", "ann@example.net")
    assert (expected.head.message_id, expected.head.automatic) == ("<1@example.net>", frozenset())
    data = HEAD + b"Content-Type: text/plain; charset=utf-8\n\nPump is low.\n\n\nPlease come.\n"
    assert read(data.replace(b"\n", b"\r\n"), ANN) == expected


@pytest.mark.parametrize(
    "subject",
    [
        b"=?utf-8?q?Bed=0D=0ABcc:_x@example.net?=",
        b"=?utf-8?b?QmVkDQpCY2M6IHhAZXhhbXBsZS5uZXQ=?=",
        b"=?utf-8?q?Bed=E2=80=A8Bcc:_x@example.net?=",
        b"Bed\rBcc: x@example.net",
    ],
)
def test_b54_a_line_end_encoded_in_a_subject_is_a_blank(subject: bytes) -> None:
    """It never begins another line; one that is not encoded ends the field."""
    reading = mail(b"x", b"Subject: " + subject + b"\n")
    assert reading.head.subject == ("Bed" if b"\r" in subject else "Bed Bcc: x@example.net")


def test_b54_characters_beside_encoded_words_stay() -> None:
    """Raw UTF-8 in a header, and words in other character sets."""
    subject = "€ ü =?iso-8859-1?q?M=FCller?= \\u =?utf-8?b?4oKs?=".encode()
    assert mail(b"x", b"Subject: " + subject + b"\n").head.subject == "€ ü Müller \\u €"
    assert mail(b"x", b"Subject: =?utf-8?b?!!?= =?nonsense?q?a=E4?=\n").head.subject.endswith("aä")


def test_b54_a_header_of_100_kb_is_refused() -> None:
    """554 5.6.0, and the limit is named; one of 60 kB is read."""
    assert mail(b"x", b"Subject: x\n" + b"X: " + b"y" * 100_000 + b"\n") == Unreadable(
        what="header", limit=65_536
    )
    assert mail(b"x", b"X: y\n" * 40_000).reply.text == "5.6.0 Message header over limit (65536)"
    assert mail(b"x", HEAD + b"X: y\n" * 12_000).text == "x"


def test_b54_a_thousand_parts_are_refused() -> None:
    """554 5.6.0; a hundred are read."""
    part = (b"image/png", b"x")
    assert multipart(*[part] * 1000) == Unreadable(what="parts", limit=100)
    assert multipart(*[part] * 98, (b"text/plain", b"low")).text == "low"


@pytest.mark.parametrize("kind", [b"message/rfc822", b"multipart/mixed; boundary=b%d"])
def test_b54_five_hundred_levels_are_refused(kind: bytes) -> None:
    """554 5.6.0, after the work of ten."""
    mark = b"--b%d\n" if b"%d" in kind else b""
    deep = b"".join((b"Content-Type: " + kind + b"\n\n" + mark).replace(b"%d", b"%d" % i) for i in range(500))
    assert read(deep + b"\nx", ANN) == Unreadable(what="nesting", limit=10)


def test_b54_html_only() -> None:
    """What a reader sees: no tags, no styles, entities read, a line for each block."""
    reading = mail(HTML, kind=b"text/html")
    assert (reading.text, reading.form) == ("Pump <3> is low", Form.HTML)
    said = b"a<br>b<!-- c --><script>if (1 < 2) d()</script><td title='>'>e</td><p\n>f &nbsp;&amp; 1 < 2"
    assert mail(said, kind=b"text/html").text == "a\nb e\nf & 1 < 2"


def test_b54_rtf_only() -> None:
    """The text; no fonts, styles or generator. Octets are Windows-1252, or said with \\u."""
    for kind in (b"text/rtf", b"application/rtf"):
        reading = mail(RTF, kind=kind)
        assert (reading.text, reading.form) == ("Pump ü €5\nis low", Form.RTF)


def test_b54_a_calendar_only() -> None:
    """Summary, begin as written, place; a cancellation says so."""
    reading = mail(INVITATION, kind=b"text/calendar; method=REQUEST")
    assert (reading.text, reading.form) == ("Handover, ward C3\n2026-11-21 18:00\nRoom 2", Form.CALENDAR)
    cancelled = mail(INVITATION.replace(b"REQUEST", b"CANCEL"), kind=b"text/calendar")
    assert cancelled.text.startswith("Cancelled: Handover, ward C3\n")
    assert mail(b"BEGIN:VCALENDAR\n", kind=b"text/calendar").why is Why.EMPTY


def test_b54_plain_text_comes_before_the_other_forms_and_attachments_do_not_count() -> None:
    """Wherever it stands; an empty one does not stand in the way, and a message brought along has no say."""
    html = (b"text/html", b"<p>html</p>")
    assert multipart(html, (b"text/plain", b"plain"), subtype=b"alternative").text == "plain"
    assert multipart((b"text/plain", b" \n"), html).text == "html"
    attached = (b"text/plain\nContent-Disposition: attachment; filename=a.txt", b"attached")
    assert multipart(attached, (b"text/plain", b"shown")).text == "shown"
    assert multipart(attached, (b"image/png", b"x")).why is Why.OTHER
    assert multipart((b"message/rfc822", b"Subject: x\n\nenclosed")).why is Why.OTHER


def test_b54_a_text_is_cut_where_it_is_too_long() -> None:
    """At 10,000 characters, and the reading says so."""
    assert not mail(b"x" * MAX_TEXT).cut
    long = mail(b"x" * (MAX_TEXT + 1))
    assert (len(long.text), long.cut) == (MAX_TEXT, True)
    html = (b"text/html", b"<p>x</p>" + b" " * MAX_SOURCE)
    assert multipart(html).cut
    assert not multipart((b"text/plain", b"x"), html).cut
    assert not multipart(html, (b"text/html", b"<p>y</p>"), (b"text/plain", b"y")).text.startswith("y")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", Why.EMPTY),
        (b" \n\t\n", Why.EMPTY),
        (b"-- \nAnn\nWard C3\n", Why.SIGNATURE),
        (b"\n--\nAnn\n", Why.SIGNATURE),
        (b"> Pump is low\n>> really?\n", Why.QUOTED),
        (b"On Sat, 21 Nov 2026 at 18:12, Pager <p@x> wrote:\n> Pump\n", Why.QUOTED),
        (b"-----Original Message-----\nFrom: x\n\nPump\n", Why.QUOTED),
    ],
)
def test_b55_no_text_to_page(body: bytes, why: Why) -> None:
    """554 5.6.0 says why; the subject is there for a caller who takes it as the text."""
    reading = mail(body)
    assert isinstance(reading, NoText)
    assert (reading.why, reading.head.subject) == (why, "Bed 4")
    assert reading.reply.code == 554
    assert reading.reply.text == f"5.6.0 No text to page: {why.value}"


@pytest.mark.parametrize(
    "tail",
    [
        "\n-- \nAnn Example\nWard C3",
        "\n> Pump is low",
        "\nOn Sat, 21 Nov 2026, Pager wrote:\nPump is low",
        "\nOn Sat, 21 Nov 2026 at 18:12, A Very Long Name <pager@example.net>\nwrote:\n\n> Pump is low",
        "\nAm 21.11.2026 um 18:12 schrieb Pager <p@x>:\n> Pump",
        "\nLe sam. 21 nov. 2026 à 18:12, Pager <p@x> a écrit :\n> Pump",
        "\n-----Ursprüngliche Nachricht-----\nVon: Pager\nPump",
        "\n________________________________\nFrom: Pager\nSent: now\n\nPump is low",
    ],
)
def test_b55_signature_and_quotation_are_cut(tail: str) -> None:
    """An answer is what its author wrote."""
    assert mail(f"OK, coming\n{tail}".encode()).text == "OK, coming"
    assert mail(f"OK, coming\n{tail}".replace("\n", "\r\n").encode()).text == "OK, coming"


def test_b55_quotation_in_html_is_cut() -> None:
    """A blockquote is quoted text."""
    said = b"<div>OK</div><blockquote>Pump <blockquote>x</blockquote> is low</blockquote>"
    assert mail(said, kind=b"text/html").text == "OK"
    assert mail(b"<blockquote>Pump</blockquote>", kind=b"text/html").why is Why.QUOTED


@pytest.mark.parametrize(
    "text",
    ["On call tonight: Ann", "From: ward C3\nTo: pharmacy", "-- not a signature", "a -- b", "1 > 0", "____"],
)
def test_b55_what_only_looks_like_it_stays(text: str) -> None:
    """A marker is a whole line."""
    assert own_words(text) == text


@pytest.mark.parametrize(
    ("field", "sign"),
    [
        (b"Auto-Submitted: auto-generated", Automatic.AUTO),
        (b"auto-submitted: AUTO-REPLIED; owner=x", Automatic.AUTO),
        (b"Precedence: bulk", Automatic.BULK),
        (b"Precedence: Junk", Automatic.BULK),
        (b"Precedence: list", Automatic.LIST),
        (b"List-Id: <ward.example.net>", Automatic.LIST),
        (b"X-Auto-Response-Suppress: All", Automatic.SUPPRESSED),
        (b"From: MAILER-DAEMON@mx.example.net", Automatic.MACHINE),
        (b"X-Pager-Loop: <ours@gw.example.net>", Automatic.LOOP),
        (b"Message-ID: <ours@gw.example.net>", Automatic.LOOP),
        (b"\n".join([b"Received: from a by b"] * 51), Automatic.LOOP),
    ],
)
def test_b56_automatic_mail_is_told_apart(field: bytes, sign: Automatic) -> None:
    """Each kind by its own sign, so that each can be paged, dropped or refused; a loop is 554 5.4.6."""
    reading = read(field + b"\nSubject: x\n\ntext\n", ANN, lambda value: value.startswith("<ours@"))
    assert reading.head.automatic == {sign}
    assert (LOOP.code, LOOP.enhanced) == (554, "5.4.6")


def test_b56_mail_from_nobody_is_told_apart() -> None:
    """The null return path is the envelope's; an automatic mail without text is known as such too."""
    assert read(b"Subject: x\n\ntext\n", None).head.automatic == {Automatic.NOBODY}
    assert read(b"Subject: x\n\n", None).head.automatic == {Automatic.NOBODY}


@pytest.mark.parametrize(
    "field",
    [
        b"Auto-Submitted: no",
        b"Auto-Submitted: No (by hand)",
        b"Precedence: first-class",
        b"X-A: List-Id: x",
        b"In-Reply-To: <ours@gw.example.net>",
        b"\n".join([b"Received: from a by b"] * 50),
    ],
)
def test_b56_what_a_person_writes_is_not_automatic(field: bytes) -> None:
    """Above all the answer to a message of ours."""
    assert read(field + b"\n\ntext\n", ANN, lambda value: value.startswith("<ours@")).head.automatic == set()


@pytest.mark.parametrize("charset", [b"iso-8859-1", b"unknown-8bit", b"punycode", b"zlib", b"unicode_escape"])
def test_a_charset_that_is_none_of_mail_is_latin_1(charset: bytes) -> None:
    """Where it is not UTF-8."""
    assert mail(b"Pump \xfc", kind=b"text/plain; charset=" + charset).text == "Pump ü"
    assert mail("Pump ü".encode(), kind=b"text/plain; charset=unknown-8bit").text == "Pump ü"


def test_hostile_markup_takes_no_long_time() -> None:
    """A quarter of a megabyte of what is begun and never ended, in each form."""
    for piece in (
        b"<",
        b"<a ",
        b'<a "',
        b"<a '\"",
        b"<script",
        b"</script",
        b"<script>",
        b"<!--",
        b"&#",
        b"<blockquote>",
    ):
        assert isinstance(mail(piece * (MAX_SOURCE // len(piece)), kind=b"text/html"), Reading | NoText)
    for piece in (b"{", b"}", b"\\", b"\\u1", b"\\'", b"{\\*", b"\\uc9"):
        assert isinstance(mail(piece * (MAX_SOURCE // len(piece)), kind=b"text/rtf"), Reading | NoText)
    for piece in (b"On schrieb ", b"On x wrote", b"___", b"> ", b"--\r", b"-- Original Message"):
        assert isinstance(mail(piece * (MAX_SOURCE // len(piece))), Reading | NoText)
        assert isinstance(mail((piece * 25 + b"x:\n") * 900), Reading | NoText)


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=80)


@settings(max_examples=60)
@given(TEXTS, TEXTS, st.sampled_from(["7bit", "quoted-printable", "base64"]), st.booleans())
def test_what_the_library_writes_is_read(subject: str, text: str, coding: str, alternative: bool) -> None:
    """Any subject and any line of text, however it is encoded."""
    message = EmailMessage()
    message["Subject"] = "S" + subject
    message.set_content("T" + text, cte="8bit" if coding == "7bit" else coding)
    if alternative:
        message.add_alternative("<p>html</p>", subtype="html")
    reading = read(message.as_bytes(), ANN)
    assert reading.text == " ".join(("T" + text).split())
    assert "".join(reading.head.subject.split()) == "".join(("S" + subject).split())


SAMPLE = (
    HEAD
    + b"Subject: =?utf-8?q?x?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\n"
    + HTML
    + b"\n--b\nContent-Type: text/rtf\n\n"
    + RTF
    + b"\n--b\nContent-Type: text/calendar\nContent-Transfer-Encoding: base64\n\n"
    + base64.encodebytes(INVITATION)
    + b"\n--b--\n"
)


@settings(max_examples=120)
@given(st.binary(max_size=120), st.integers(0, len(SAMPLE)), st.integers(0, 60))
def test_broken_mail_never_raises(noise: bytes, at: int, gone: int) -> None:
    """Cut, or with anything in the middle; what comes out is printable."""
    for data in (SAMPLE[:at] + noise + SAMPLE[at + gone :], SAMPLE[:at], noise):
        reading = read(data, ANN)
        if isinstance(reading, Reading):
            assert reading.text
            assert all(line.isprintable() or not line.isascii() for line in reading.text.split("\n"))


@settings(max_examples=80)
@given(st.binary(max_size=300))
def test_any_octets_as_any_form(noise: bytes) -> None:
    """HTML, RTF and calendars of nonsense."""
    for form in Form:
        assert isinstance(mail(noise, kind=form.value.encode()), Reading | NoText | Unreadable)


@settings(max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12))
def test_the_walk_stops_at_its_limit_and_says_so(parts: int, limit: int) -> None:
    """Exactly as many parts as allowed are seen."""
    data = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * parts + b"--b--\n"
    seen = list(walk(data, Limits(parts=limit, depth=2)))
    beyond = [one for one in seen if isinstance(one, Beyond)]
    assert len(seen) - len(beyond) == min(parts + 1, limit)
    assert beyond == ([Beyond(what="parts", limit=limit)] if parts + 1 > limit else [])
