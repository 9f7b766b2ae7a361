"""Bad input over WCTP: each case of the threat list (B35 to B47) with the exact answer.

What needs a listener is tested there: who a sender is and what he may (B42), that nothing is paged twice
(B45), that an answer goes only to a configured address (B47). Here is what documents say of it.
"""

import ast
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wctp_fakes import EXAMPLES, example, refusal, request, steps, submit

import protocols.wctp
from protocols.wctp import messages as m
from protocols.wctp import rules, tree
from protocols.wctp.codec import read, write
from protocols.wctp.messages import Code, Kind
from protocols.wctp.tree import Limits, Tolerance

HUGE = Limits(body=10**9)
ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 21, 17, 30, tzinfo=UTC)


def code(body: bytes, tolerance: Tolerance = Tolerance(), limits: Limits = Limits()) -> int:  # noqa: B008
    return refusal(read(body, tolerance, limits)).code


# B35


@pytest.mark.parametrize(
    "body", [b"", b"\r\n", b"\0\0", b"hello", b"{}", b"PAGE 5551212", b"\xff\xd8\xff\xe0", b"<"]
)
def test_b35_no_xml(body: bytes) -> None:
    """301, whatever else it is."""
    assert code(body) == Code.CANNOT_PARSE


def test_b35_cut_anywhere() -> None:
    """301 for every beginning of a document: none is ever taken for the whole."""
    whole = example("01-submit-request-alphanumeric.xml").rstrip()
    assert {code(whole[:end]) for end in range(0, len(whole) - 1, 7)} == {Code.CANNOT_PARSE}
    assert code(whole[:-1]) == Code.CANNOT_PARSE


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>hello</body></html>",
        b"<wctp-SubmitRequest/>",
        b"<wctp-operationx/>",
        b"<a><wctp-Operation/></a>",
    ],
)
def test_b35_wrong_root(body: bytes) -> None:
    """302 at the first tag; the rest is not looked at."""
    assert code(body) == Code.NOT_VALID
    assert code(body + b"<cut") == Code.NOT_VALID


def test_b35_text_with_markup_in_it() -> None:
    """A client that does not escape: 301 where that breaks the document; where it does not, no word is lost."""
    assert code(submit("pressure < 3 bar & falling")) == Code.CANNOT_PARSE
    kept = request(read(submit("pressure is <b>very</b> low")))
    assert kept.payload == m.Alphanumeric(text=m.WctpText("pressure is very low"))


# B36


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE wctp-Operation SYSTEM "http://dtd.wctp.org/wctp-dtd-v1r3.dtd">',
        "<!DOCTYPE wctp-Operation\n     SYSTEM 'http://dtd.wctp.org/wctp-dtd-v1r3.dtd' >",
        '<!DOCTYPE wctp-Operation PUBLIC "-//x//y>z[" "http://dtd.wctp.org/wctp-dtd-v1r3.dtd">',
        "<!DOCTYPE wctp-Operation>",
        "<!-- > [ -->\n<?pi > [?><!DOCTYPE wctp-Operation SYSTEM 'a'><!-- after -->",
        "<!DOCTYPE wctp-Operation SYSTEM 'file:///etc/passwd'>",
    ],
)
def test_b36_the_usual_doctype(doctype: str) -> None:
    """Accepted; what it names is not opened (see below)."""
    assert request(read(submit(prolog=doctype))).control.message_id == "m-1"


def test_b36_nothing_is_opened_or_connected_to() -> None:
    """All our documents are read in a process that dies at the first file, socket or program."""
    program = f"""
import sys
from pathlib import Path
from protocols.wctp.answers import judged
from protocols.wctp.codec import read
from protocols.wctp.tree import Tolerance
bodies = [one.read_bytes() for one in Path({str(EXAMPLES)!r}).rglob("*") if one.is_file()]
def all_read():
    for body in bodies:
        read(body), read(body, Tolerance(strict=True)), read(body, Tolerance(html_names=True))
        judged(200, {{}}, body)
def seen(event, arguments):
    if event == "open" or event.split(".")[0] in ("socket", "subprocess", "urllib", "os", "ctypes"):
        raise SystemExit(f"{{event}} {{arguments}}")
all_read()  # Python opens the tables of its encodings when they are first needed
sys.addaudithook(seen)
all_read()
sys.stdout.write(f"{{len(bodies)}} read")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "91 read"), done.stderr


def test_b36_the_library_has_no_way_to_fetch() -> None:
    """No module of it imports a socket, a client or Twisted."""
    allowed = {
        "base64", "collections", "datetime", "enum", "hashlib", "html", "msgspec", "protocols", "re", "typing",
        "urllib", "xml",
    }  # fmt: skip
    for file in Path(protocols.wctp.__file__ or "").parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed, (file.name, name)
                assert name.split(".")[0] != "urllib" or name == "urllib.parse"


# B37, B38


@pytest.mark.parametrize(
    "subset",
    [
        "[]",
        '[<!ENTITY a "AAAA">]',
        '[<!ENTITY a "' + "A" * 50_000 + '">]',
        '[<!ENTITY a SYSTEM "file:///etc/passwd">]',
        '[<!ENTITY a SYSTEM "http://169.254.169.254/latest/meta-data/">]',
        '[<!ENTITY % p SYSTEM "http://169.254.169.254/p.dtd"> %p;]',
        '[<!ATTLIST wctp-Operation wctpToken CDATA "forged">]',
        '[<!NOTATION n SYSTEM "n">]',
        "[",
        "[<!-- ]>",
    ],
)
@pytest.mark.parametrize(
    "external", ["", 'SYSTEM "http://dtd.wctp.org/wctp-dtd-v1r3.dtd" ', 'PUBLIC "a" "b"']
)
def test_b37_b38_declarations_of_its_own(subset: str, external: str) -> None:
    """302, refused before anything in them is read: neither expanded nor fetched, and in no time."""
    body = submit("&a;&a;", prolog=f"<!DOCTYPE wctp-Operation {external}{subset}>")
    problem = refusal(read(body))
    assert (problem.code, problem.reason) == (Code.NOT_VALID, "DOCTYPE has declarations of its own")
    assert steps(lambda: read(body)) < 200


def test_b37_a_second_doctype_or_another_name() -> None:
    """One, and of our root."""
    doctype = "<!DOCTYPE wctp-Operation>"
    assert code(submit(prolog=doctype * 2)) == Code.CANNOT_PARSE
    assert code(submit(prolog="<!DOCTYPE html>")) == Code.NOT_VALID
    assert code(submit(prolog="<!DOCTYPE wctp-OperationX>")) == Code.NOT_VALID
    assert code(submit(prolog="<!DOCTYPEwctp-Operation>")) == Code.NOT_VALID
    assert code(submit(prolog='<!DOCTYPE wctp-Operation "a" "b" "c">')) == Code.NOT_VALID
    assert code(b"<!DOCTYPE wctp-Operation") == Code.CANNOT_PARSE
    assert code(b"<!DOCTYPE wctp-Operation SYSTEM 'x>") == Code.CANNOT_PARSE


@pytest.mark.parametrize(
    "reference", ["&x;", "&nbsp;", "&xxe;", "%p;&p;", "&#0;", "&#x1F;", "&#xD800;", "&#xFFFE;"]
)
def test_b37_references_to_what_nobody_declared(reference: str) -> None:
    """301 in text and in attributes: no part of an id may vanish."""
    doctype = '<!DOCTYPE wctp-Operation SYSTEM "http://dtd.wctp.org/wctp-dtd-v1r3.dtd">'
    for prolog in ("", doctype):
        assert code(submit(f"a{reference}b", prolog=prolog)) == Code.CANNOT_PARSE
        recipient = f'<wctp-Recipient recipientID="555{reference}0104477"/>'
        assert code(submit(recipient=recipient, prolog=prolog)) == Code.CANNOT_PARSE


def test_b37_a_declaration_that_got_past_the_prolog_is_not_believed() -> None:
    """Expat is told to refuse it, should the text before it ever be cut wrongly."""
    growth = tree._Growth(Limits(), {}, frozenset(), 0)
    with pytest.raises(tree.Fault) as caught:
        growth.grow('<!DOCTYPE wctp-Operation [<!ENTITY a "b">]><wctp-Operation>&a;</wctp-Operation>')
    assert caught.value.code == Code.NOT_VALID


# B39


def test_b39_depth() -> None:
    """302 at the ninth element, however many follow: it takes no more steps for 200,000 than for 20."""
    few, many = b"<wctp-Operation>" + b"<a>" * 20, b"<wctp-Operation>" + b"<a>" * 200_000
    problem = refusal(read(many, limits=HUGE))
    assert (problem.code, problem.limit) == (Code.NOT_VALID, 8)
    assert problem.place == "line 1, column 38"
    assert steps(lambda: read(many, limits=HUGE)) == steps(lambda: read(few, limits=HUGE))


def test_b39_the_deepest_legal_document_fits() -> None:
    """A pair of choices in a poll batch has eight elements in one another."""
    page = submit(
        payload="<wctp-MCR><wctp-MessageText>a</wctp-MessageText><wctp-ChoicePair><wctp-SendChoice>b"
        "</wctp-SendChoice></wctp-ChoicePair></wctp-MCR>"
    )
    batch = page.replace(
        b"<wctp-SubmitRequest>", b'<wctp-PollResponse><wctp-Message sequenceNo="1"><wctp-SubmitRequest>'
    )
    batch = batch.replace(
        b"</wctp-SubmitRequest>", b"</wctp-SubmitRequest></wctp-Message></wctp-PollResponse>"
    )
    document = read(batch)
    assert isinstance(document, m.Document)
    assert isinstance(document.operation, m.PollResponse)
    assert isinstance(document.operation.messages[0].content, m.SubmitRequest)
    deeper = batch.replace(b">b<", b">b<i/><")
    assert code(deeper) == Code.NOT_VALID


def test_b39_attributes() -> None:
    """One of 1 MB and 10,000 of them: 302, with the limit; 32 and 4,096 characters are taken."""
    long = refusal(read(b'<wctp-Operation x="' + b"a" * 1_000_000 + b'"/>', limits=HUGE))
    assert (long.code, long.limit, long.reason) == (302, 4_096, "an attribute is too long")
    attributes = " ".join(f'a{i}=""' for i in range(10_000))
    many = refusal(read(f"<wctp-Operation {attributes}/>".encode(), limits=HUGE))
    assert (many.code, many.limit, many.reason) == (302, 32, "too many attributes")
    fits = 'wctpVersion="1.3" x="' + "a" * 4_096 + '" ' + " ".join(f'a{i}=""' for i in range(30))
    assert isinstance(read(submit(version=fits)), m.Document)


def test_b39_elements_texts_and_octets() -> None:
    """2,000 elements; a text of 65,535 characters, over it 411; a body of 262,144 octets, over it HTTP 413."""
    many = refusal(read(b"<wctp-Operation>" + b"<a/>" * 2_000, limits=HUGE))
    assert (many.code, many.limit) == (302, 2_000)
    assert isinstance(read(submit("x" * 65_535)), m.Document)
    for text in ("x" * 65_536, "&#120;" * 40_000 + "y" * 25_536, "<b>" + "x" * 65_536 + "</b>"):
        long = refusal(read(submit(text), limits=HUGE))
        assert (long.code, long.limit, long.status) == (Code.TOO_LONG, 65_535, 200)
        assert long.failure.kind is Kind.PERMANENT
    large = refusal(read(b" " * 262_145))
    assert (large.code, large.limit, large.status) == (302, 262_144, 413)
    assert steps(lambda: read(b"<" * 300_000)) < 100


def test_b39_what_stands_before_the_root() -> None:
    """Fifty comments and instructions; real senders have two."""
    assert isinstance(read(submit(prolog="<?xml version='1.0'?>" + "<!--a-->" * 48)), m.Document)
    assert code(submit(prolog="<!--a-->" * 60)) == Code.NOT_VALID
    assert code(b"<?pi " + b"a" * 1000) == Code.CANNOT_PARSE


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "open tags": lambda n: b"<wctp-Operation>" + b"<a>" * n,
    "empty elements": lambda n: b"<wctp-Operation>" + b"<a/>" * n,
    "texts": lambda n: b"<wctp-Operation>" + b"<a>x</a>" * n,
    "one tag": lambda n: b'<wctp-Operation a="' + b"x" * 3 * n,
    "attributes": lambda n: b"<wctp-Operation " + b" ".join(b'a%d=""' % i for i in range(n)) + b"/>",
    "references": lambda n: b"<wctp-Operation>" + b"&#65;" * n,
    "ampersands": lambda n: b"<wctp-Operation>" + b"&" * n,
    "names": lambda n: b"<wctp-Operation>" + b"&eacute;" * n,
    "brackets": lambda n: b"<wctp-Operation>" + b"<" * n,
    "quotes": lambda n: b'<wctp-Operation a="' + b"'>\"<" * n,
    "comments": lambda n: b"<!---->" * n,
    "instructions": lambda n: b"<?a?>" * n,
    "identifiers": lambda n: b"<!DOCTYPE wctp-Operation " + b'""' * n,
    "a name": lambda n: b"<!DOCTYPE " + b"a" * n,
    "a declaration": lambda n: b"<?xml " + b'a="b" ' * n,
    "declarations": lambda n: b"<?xml " * n,
    "line ends": lambda n: b"<wctp-Operation>" + b"\r\n" * n,
    "blanks": lambda n: b" " * n,
    "a field name": lambda n: b"a" * n + b"=<",
    "percent": lambda n: b"a=%3C" + b"%41" * n,
    "zeros": lambda n: b"<\0" * n,
    "choices": lambda n: submit(
        payload="<wctp-MCR><wctp-MessageText>a</wctp-MessageText>"
        + "<wctp-Choice>b</wctp-Choice>" * n
        + "</wctp-MCR>"
    ),
    "recipients": lambda n: (
        b'<wctp-Operation wctpVersion="1.3"><wctp-SendMsgMulti><wctp-MsgMultiHeader><wctp-Originator senderID="a"/>'
        b'<wctp-MsgMultiControl messageID="b"/>'
        + b'<wctp-Recipient recipientID="1"/>'
        * n
        + b"</wctp-MsgMultiHeader>"
        b"<wctp-Payload><wctp-Alphanumeric>x</wctp-Alphanumeric></wctp-Payload></wctp-SendMsgMulti></wctp-Operation>"
    ),
    "bad items": lambda n: (
        b'<wctp-Operation wctpVersion="1.3"><wctp-PollResponse>'
        + b'<wctp-Message sequenceNo="1"/>' * n
        + b"</wctp-PollResponse></wctp-Operation>"
    ),
}


@pytest.mark.parametrize("shape", HOSTILE)
@pytest.mark.parametrize("tolerance", [Tolerance(html_names=True), Tolerance(strict=True)])
def test_b39_reading_is_linear(shape: str, tolerance: Tolerance) -> None:
    """Twice the size takes at most about twice the steps, also without the limits that would stop it."""
    open_ = Limits(body=10**9, depth=10**9, elements=10**9, attributes=10**9, value=10**9, text=65_535)

    def taken(n: int) -> int:
        body = HOSTILE[shape](n)
        return steps(lambda: read(body, tolerance, open_))

    once, twice = taken(1_000), taken(2_000)
    assert twice <= 2.2 * once + 50


# B40


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_b40_utf_16_without_mark(encoding: str) -> None:
    """Known by where its zeros stand."""
    body = submit("café Ω").decode().encode(encoding)
    assert request(read(body)).payload == m.Alphanumeric(text=m.WctpText("café Ω"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_b40_with_a_mark(encoding: str) -> None:
    """The mark counts more than the declaration."""
    body = submit("café Ω", prolog='<?xml version="1.0" encoding="iso-8859-1"?>').decode().encode(encoding)
    assert request(read(body)).payload == m.Alphanumeric(text=m.WctpText("café Ω"))


@pytest.mark.parametrize(
    ("declared", "octets", "text"),
    [
        ("iso-8859-1", b"caf\xe9", "café"),
        ("ISO-8859-1", b"caf\xe9", "café"),
        ("windows-1252", b"\x80 5", "€ 5"),
        ("iso-8859-1", "café".encode(), "cafÃ©"),
        ("utf-8", "café".encode(), "café"),
        ("UTF8", "café".encode(), "café"),
        ("us-ascii", "café".encode(), "café"),
    ],
)
def test_b40_as_declared(declared: str, octets: bytes, text: str) -> None:
    """Latin-1 with the octets of UTF-8 says what Latin-1 says: nobody guesses."""
    body = submit("@", prolog=f"<?xml version='1.0' encoding='{declared}'?>").replace(b"@", octets)
    assert request(read(body)).payload == m.Alphanumeric(text=m.WctpText(text))


@pytest.mark.parametrize(
    ("declared", "octets"),
    [
        ("utf-8", b"caf\xe9"),
        ("utf-7", b"+AGE-"),
        ("windows-1252", b"\x81"),
        ("utf-8", b"\xed\xa0\x80"),
        ("utf-8", b"\xc0\xbc"),
        ("utf-8", b"a\0b"),
        ("utf-8", b"\x1b"),
    ],
)
def test_b40_not_as_declared(declared: str, octets: bytes) -> None:
    """301: no octet is replaced or left out."""
    body = submit("@", prolog=f"<?xml version='1.0' encoding='{declared}'?>").replace(b"@", octets)
    assert code(body) == Code.CANNOT_PARSE


def test_b40_half_a_character() -> None:
    """301 for UTF-16 of an odd length, and for what is no encoding at all."""
    assert code(submit().decode().encode("utf-16")[:-1]) == Code.CANNOT_PARSE
    assert code(submit("@").replace(b"@", b"\x81\xe9")) == Code.CANNOT_PARSE


# B41


@pytest.mark.parametrize(
    "version", ["wctp-dtd-v9r9", "2.0", "x" * 1000, "wctp-dtd-v1r3 '", "1.3" + " " * 5 + "x"]
)
def test_b41_a_version_nobody_knows(version: str) -> None:
    """303, answered in the latest; a carrier's answer is read all the same, where its reader says so."""
    body = submit(version=f'wctpVersion="{version}"')
    problem = refusal(read(body))
    assert (problem.code, problem.spelling) == (Code.VERSION_NOT_SUPPORTED, "wctp-dtd-v1r3")
    document = read(body, Tolerance(any_version=True))
    assert isinstance(document, m.Document)
    assert (document.version, document.spelling) == (m.Version.V1_3, "wctp-dtd-v1r3")
    assert document.quirks == ("wctp-Operation/@wctpVersion is not known",)


def test_b41_whoever_asks_for_the_versions_is_answered() -> None:
    """In any version but 1.0, which did not have the question."""
    asks = example("30-version-query.xml")
    assert isinstance(read(asks.replace(b'"wctp-dtd-v1r3"', b'"wctp-dtd-v7r7"')), m.Document)
    assert code(asks.replace(b'"wctp-dtd-v1r3"', b'"wctpv1-0"')) == Code.OPERATION_NOT_SUPPORTED


def test_b41_operations_that_their_version_does_not_have() -> None:
    """300, and for what nobody has."""
    location = example("36-device-location.xml")
    assert code(location.replace(b'"wctp-dtd-v1r3"', b'"wctp-dtd-v1r2"')) == Code.OPERATION_NOT_SUPPORTED
    assert code(b'<wctp-Operation wctpVersion="1.3"><wctp-CancelRequest/></wctp-Operation>') == 300
    assert code(b'<wctp-Operation wctpVersion="1.3"><hello/></wctp-Operation>') == 300


# B42


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Code.INVALID_SENDER, Kind.CONFIGURATION),
        (Code.INVALID_SECURITY_CODE, Kind.CONFIGURATION),
        (Code.INVALID_RECIPIENT, Kind.PERMANENT),
    ],
)
def test_b42_unknown_sender_wrong_code_unknown_recipient(answer: Code, kind: Kind) -> None:
    """401, 402, 403 as documents; who is known is the listener's business."""
    failure = m.failure(answer, "not here")
    assert failure.kind is kind
    document = read(write(m.Confirmation(result=failure)))
    assert isinstance(document, m.Document)
    assert document.operation == m.Confirmation(result=failure)


@pytest.mark.parametrize(
    "bad",
    [
        {"originator": ""},
        {"originator": "<wctp-Originator/>"},
        {"originator": '<wctp-Originator senderID=" "/>'},
        {"originator": '<wctp-Originator senderID="a"/><wctp-Originator senderID="b"/>'},
        {"originator": '<wctp-Originator senderID="a&#10;b"/>'},
        {"recipient": ""},
        {"recipient": '<wctp-Recipient recipientID=""/>'},
        {"recipient": '<wctp-Recipient recipientID="1"/><wctp-Recipient recipientID="2"/>'},
        {"recipient": '<wctp-Recipient recipientID="' + "1" * 256 + '"/>'},
        {"payload": ""},
        {"payload": "<wctp-Alphanumeric>a</wctp-Alphanumeric><wctp-Alphanumeric>b</wctp-Alphanumeric>"},
        {"payload": "<wctp-Alphanumeric>a</wctp-Alphanumeric><wctp-MCR/>"},
        {"payload": "<wctp-MCR/>"},
        {"payload": "<wctp-Text>a</wctp-Text>"},
    ],
)
def test_b42_no_sender_recipient_or_payload_or_two(bad: dict[str, str]) -> None:
    """302: of two meanings none is chosen."""
    assert code(submit(**bad)) == Code.NOT_VALID


# B43


def control(after: str | None = None, before: str | None = None) -> m.MessageControl:
    times = (f'deliveryAfter="{after}" ' if after else "") + (f'deliveryBefore="{before}"' if before else "")
    return request(read(submit(control=f'<wctp-MessageControl messageID="m" {times}/>'))).control


@pytest.mark.parametrize(
    ("after", "before", "answer"),
    [
        (None, "2026-11-21T17:29:59", 408),
        (None, "2026-11-21T17:30:00", 408),
        ("2026-11-21T19:00:00", "2026-11-21T18:00:00", 406),
        ("2026-11-21T18:00:00", "2026-11-21T18:00:00", 406),
        ("2026-12-21T18:00:00", None, 407),
        ("2026-11-21T17:00:00", "2026-11-21T18:00:00", None),
        ("2026-11-20T17:00:00", None, None),
        (None, "9999-12-31T23:59:59", None),
        (None, None, None),
    ],
)
def test_b43_times_that_cannot_be(after: str | None, before: str | None, answer: int | None) -> None:
    """408 past, 406 the wrong way round, 407 too far ahead; an earliest time that is past means now."""
    failure = rules.impossible_times(control(after, before), NOW, timedelta(days=7))
    assert (failure and failure.code) == answer


@pytest.mark.parametrize("name", ["deliveryAfter", "deliveryBefore"])
def test_b43_times_that_are_none(name: str) -> None:
    """405: a page for later that goes now is a wrong page."""
    problem = refusal(read(submit(control=f'<wctp-MessageControl messageID="m" {name}="tomorrow"/>')))
    assert (problem.code, problem.place) == (Code.INVALID_TIME, f"wctp-MessageControl/@{name}")


def test_b43_a_time_that_decides_nothing_is_forgiven() -> None:
    """A page is not lost for a submitTimestamp; the strict check does mind."""
    body = submit().replace(b"<wctp-SubmitHeader>", b'<wctp-SubmitHeader submitTimestamp="now">')
    document = read(body)
    assert request(document).submitted is None
    assert isinstance(document, m.Document)
    assert document.quirks == ("wctp-SubmitHeader/@submitTimestamp is no time",)
    assert code(body, Tolerance(strict=True)) == Code.INVALID_TIME


# B44


@pytest.mark.parametrize(
    "attribute",
    [
        "",
        'messageID="' + "x" * 1024 + '"',
        'messageID="&lt;b&gt;"',
        'messageID="a&#13;&#10;b"',
        'messageid2="m"',
    ],
)
def test_b44_message_id_missing_long_or_markup(attribute: str) -> None:
    """302, naming the attribute and repeating nothing of it."""
    problem = refusal(read(submit(control=f"<wctp-MessageControl {attribute}/>")))
    assert (problem.code, problem.place) == (Code.NOT_VALID, "wctp-MessageControl/@messageID")
    assert "xxx" not in problem.failure.detail
    assert len(problem.failure.detail) <= 100
    raw = submit(control='<wctp-MessageControl messageID="<b>"/>')
    assert code(raw) == Code.CANNOT_PARSE


def test_b44_an_empty_message_id_is_seen_in_the_field() -> None:
    """So is no wctp-MessageControl at all: both are taken."""
    assert request(read(submit(control='<wctp-MessageControl messageID=""/>'))).control.message_id == ""
    document = read(submit(control=""))
    assert request(document).control == m.MessageControl(message_id=m.MessageId(""))
    assert isinstance(document, m.Document)
    assert document.quirks == ("wctp-SubmitHeader has no wctp-MessageControl",)


# B45


def test_b45_the_same_message_again_has_the_same_key() -> None:
    """Also with another time stamp; what answers success without a second page is the listener."""
    one, again = (
        request(read(submit())),
        request(read(submit(originator='<wctp-Originator senderID="noc"/>'))),
    )
    key = rules.duplicate_key(one, one.recipient)
    assert key
    assert key == rules.duplicate_key(again, again.recipient)


# B46


@pytest.mark.parametrize("garbage", ["***", "QUJ", "QUJD=", "QU JD!", "caf\xe9", "QUJD====", "-_-_"])
def test_b46_base64_garbage(garbage: str) -> None:
    """430, for this message only: 4xx."""
    problem = refusal(read(submit(payload=f"<wctp-TransparentData>{garbage}</wctp-TransparentData>")))
    assert (problem.code, problem.place) == (Code.NO_BINARY, "wctp-TransparentData")
    assert problem.failure.kind is Kind.PERMANENT


def test_b46_base64_in_lines_is_no_garbage() -> None:
    """As RFC 2045 breaks it."""
    page = request(read(submit(payload="<wctp-TransparentData>\n  QU\r\n  JD\n</wctp-TransparentData>")))
    assert page.payload == m.TransparentData(data=b"ABC")


# B47


def test_b47_an_address_to_answer_to_is_a_text() -> None:
    """It is read as it stands; nothing in this library can connect to it (see B36)."""
    inside = "http://169.254.169.254/latest/meta-data/"
    page = request(read(submit(control=f'<wctp-MessageControl messageID="m" sendResponsesToID="{inside}"/>')))
    assert page.control.send_responses_to == inside


# Beyond the list


def test_cdata_and_comments_are_xml() -> None:
    """Text in CDATA is text; a comment is nothing."""
    page = request(read(submit("<![CDATA[a < b & c]]> <!-- no -->&#233;")))
    assert page.payload == m.Alphanumeric(text=m.WctpText("a < b & c é"))


def test_several_recipients_without_a_control() -> None:
    """Missing altogether it is all defaults, as for one recipient."""
    body = example("16-send-msg-multi.xml")
    start, end = body.index(b"<wctp-MsgMultiControl"), body.index(b"<wctp-Recipient")
    document = read(body[:start] + body[end:])
    assert isinstance(document, m.Document)
    assert isinstance(document.operation, m.SendMsgMulti)
    assert document.operation.control == m.MultiControl(message_id=m.MessageId(""))
    assert document.quirks == ("wctp-MsgMultiHeader has no wctp-MsgMultiControl",)


def test_what_was_forgiven_is_said_in_few_words() -> None:
    """Each once, twenty at most."""
    acks = "".join(
        f'<wctp-MessageReceived sequenceNo="{i}"><wctp-Success successCode="x"/></wctp-MessageReceived>'
        for i in range(300)
    )
    body = (
        f'<wctp-Operation><wctp-PollForMessages pollerID="a">{acks}</wctp-PollForMessages></wctp-Operation>'
    )
    document = read(body.encode())
    assert isinstance(document, m.Document)
    assert document.quirks == (
        "wctp-Operation/@wctpVersion is missing",
        "wctp-Success/@successCode is no number",
    )


def test_one_bad_item_does_not_spoil_a_batch() -> None:
    """It keeps its number, so that it can be acknowledged and does not come again for ever."""
    body = example("26-poll-response-messages.xml").replace(b'type="DELIVERED"', b"")
    document = read(body.replace(b'recipientID="alerts@clinic.example"', b'recipientID=""', 2))
    assert isinstance(document, m.Document)
    assert isinstance(document.operation, m.PollResponse)
    kinds = [(one.sequence, type(one.content)) for one in document.operation.messages]
    assert kinds == [
        ("1", m.Unreadable),
        ("2", m.Unreadable),
        ("3", m.SubmitRequest),
        ("4", m.LookupResponse),
    ]
    unnumbered = read(body.replace(b'sequenceNo="1"', b""))
    assert isinstance(unnumbered, m.Document)
    assert isinstance(unnumbered.operation, m.PollResponse)
    assert [one.sequence for one in unnumbered.operation.messages] == ["2", "3", "4"]
    assert unnumbered.quirks == ("a wctp-Message without a sequenceNo was left out",)


def test_one_bad_item_does_not_spoil_a_client_query() -> None:
    """The others are read."""
    body = example("13-client-query-response-messages.xml").replace(b'type="DELIVERED"', b"")
    document = read(body)
    assert isinstance(document, m.Document)
    assert isinstance(document.operation, m.ClientQueryResponse)
    assert [type(one) for one in document.operation.messages] == [m.Unreadable, m.ClientMessageReply]


def test_a_notification_nobody_knows_is_no_error() -> None:
    """The hospital extension has two more; whoever sends them is answered with success."""
    body = example("22-status-info-delivered.xml").replace(b'"DELIVERED"', b'"IHEPCDCALLBACKSTART"')
    document = read(body)
    assert isinstance(document, m.Document)
    assert isinstance(document.operation, m.StatusInfo)
    assert document.operation.result == m.Notification(event=m.Event.OTHER)


def test_prefixes_capitals_and_strangers_are_forgiven() -> None:
    """Names of another case, of a namespace, and elements and attributes nobody knows."""
    body = (
        b'<w:WCTP-Operation xmlns:w="urn:x" WCTPVersion="1.3" xml:base="http://127.0.0.1/"><x-signature>1</x-signature>'
        b'<w:wctp-submitrequest new="1"><w:wctp-SubmitHeader><w:wctp-ORIGINATOR SENDERID="noc"/>'
        b'<w:wctp-MessageControl MessageId="m-1" flavour="sour"/><w:wctp-Recipient recipientid=" 5550104477 "/>'
        b"<w:wctp-IHEPCD04><x>9</x></w:wctp-IHEPCD04></w:wctp-SubmitHeader>"
        b"<w:wctp-Payload><w:wctp-Alphanumeric>x</w:wctp-Alphanumeric></w:wctp-Payload></w:wctp-submitrequest>"
        b"</w:WCTP-Operation>"
    )
    page = request(read(body))
    assert (page.originator.sender_id, page.control.message_id, page.recipient.recipient_id) == (
        "noc",
        "m-1",
        "5550104477",
    )
    assert code(body, Tolerance(strict=True)) == Code.NOT_VALID


def test_no_answer_repeats_what_was_sent() -> None:
    """Neither passwords nor texts of the document are in the reason, wherever it fails."""
    secret = "hunter2secret"
    for part in ("version", "originator", "control", "recipient", "payload", "prolog"):
        for wrong in (
            f"<{secret} {secret}='{secret}'>",
            f'{secret}="{secret}"',
            f"&{secret};",
            f"<!DOCTYPE {secret}>",
        ):
            read_ = read(submit(**{part: wrong}), Tolerance(strict=True))
            assert secret not in repr(read_), (part, wrong)


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda s: s.encode("utf-8", "surrogatepass")))
@settings(max_examples=150, deadline=None)
def test_nonsense_is_a_value(body: bytes) -> None:
    """Never an exception."""
    assert isinstance(read(body), m.Unreadable)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_document_is_a_value(data: st.DataObject) -> None:
    """Cut, doubled, overwritten: read or refused, and what was read can be answered."""
    names = sorted(str(one) for one in EXAMPLES.rglob("*.xml"))
    body = bytearray(Path(data.draw(st.sampled_from(names))).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(at, min(len(body), at + 40)))
        body[at:end] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b"<", b'"', b"&", b"]]>", b"<!--", b"/>"])
        )
    for tolerance in (Tolerance(), Tolerance(strict=True), Tolerance(any_version=True, html_names=True)):
        heard = read(bytes(body), tolerance)
        assert isinstance(heard, m.Document | m.Unreadable)
