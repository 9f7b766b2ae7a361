"""What a client may conclude: taken only where a success was said, failed only where a failure was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wctp_fakes import all_examples, example

from protocols.wctp import messages as m
from protocols.wctp.answers import Accepted, Denied, Foreign, judged
from protocols.wctp.codec import Dialect, write
from protocols.wctp.messages import Kind, WctpId, WctpLine, WctpText
from protocols.wctp.tree import Limits


def operation(inner: str, version: str = "wctp-dtd-v1r3") -> bytes:
    return f'<wctp-Operation wctpVersion="{version}">{inner}</wctp-Operation>'.encode()


SUCCESS = '<wctp-Success successCode="200" successText="Acknowledged">taken</wctp-Success>'
FAILURE = '<wctp-Failure errorCode="403" errorText="Invalid recipientID">nobody</wctp-Failure>'


@pytest.mark.parametrize("status", [200, 202])
@pytest.mark.parametrize(
    "body",
    [
        example("06-confirmation-success.xml"),
        example("v1r1-confirmation-success.xml"),
        example("quirks/q10-confirmation-html-type-spaced-declaration.xml"),
        example("quirks/q11-confirmation-extra-attribute.xml"),
        operation(f"<wctp-Confirmation>{SUCCESS}</wctp-Confirmation>", "nobody-knows"),
        operation(f"<wctp-Confirmation>{SUCCESS}</wctp-Confirmation>").decode().encode("utf-16"),
        operation(SUCCESS),
    ],
)
def test_a_success_is_taken(status: int, body: bytes) -> None:
    """In whatever version and type."""
    answer = judged(status, {"Content-Type": "text/html"}, body)
    assert isinstance(answer, Accepted)
    assert (answer.code, answer.tracking, answer.failed) == (200, None, ())


def test_a_transient_message_has_its_tracking_number() -> None:
    """With it, and without where a server answers with something else."""
    answer = judged(200, {}, example("10-submit-client-response-success.xml"))
    assert answer == Accepted(
        code=200,
        text=WctpLine("Acknowledged"),
        detail=WctpText("Message accepted, use the tracking number to ask for status"),
        tracking=WctpId("7F3A000191"),
    )
    none = operation(
        '<wctp-SubmitClientResponse><wctp-ClientSuccess successCode="200"/></wctp-SubmitClientResponse>'
    )
    answer = judged(200, {}, none)
    assert isinstance(answer, Accepted)
    assert answer.tracking is None


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500, 503])
def test_a_failure_is_a_failure_with_any_status(status: int) -> None:
    """One server says its failures by HTTP too."""
    assert judged(status, {}, example("07-confirmation-failure.xml")) == Denied(
        kind=Kind.PERMANENT,
        code=403,
        text=WctpLine("Invalid recipientID"),
        detail=WctpText("No device 5550109999 on this system"),
    )


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("11-submit-client-response-failure.xml", 411, Kind.PERMANENT),
        ("15-client-query-response-failure.xml", 504, Kind.PERMANENT),
        ("18-send-msg-multi-response-failure.xml", 403, Kind.PERMANENT),
        ("29-poll-response-failure.xml", 600, Kind.TEMPORARY),
        ("32-version-response-failure.xml", 606, Kind.TEMPORARY),
        ("quirks/q12-confirmation-answers-client-message.xml", 302, Kind.CONFIGURATION),
        ("quirks/q14-bare-failure-under-operation.xml", 300, Kind.CONFIGURATION),
    ],
)
def test_a_failure_is_found_wherever_it_stands(name: str, code: int, kind: Kind) -> None:
    """In every answer, and alone."""
    answer = judged(200, {}, example(name))
    assert isinstance(answer, Denied)
    assert (answer.code, answer.kind) == (code, kind)


def test_a_failure_without_a_number_may_be_tried_again() -> None:
    """They said no; when yes would be, nobody knows."""
    for attribute in ('errorCode="none"', "", 'errorCode="9999999999"'):
        answer = judged(
            200, {}, operation(f"<wctp-Confirmation><wctp-Failure {attribute}/></wctp-Confirmation>")
        )
        assert isinstance(answer, Denied)
        assert (answer.code, answer.kind) == (None, Kind.TEMPORARY)


def test_recipients_that_were_not_taken_are_named() -> None:
    """Of a message to several."""
    answer = judged(200, {}, example("17-send-msg-multi-response-partial.xml"))
    assert isinstance(answer, Accepted)
    assert answer.failed == (
        m.FailedRecipient(recipient_id=WctpId("5550109999"), code=403, text=WctpLine("Invalid recipientID")),
    )


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"", "HTTP 200 without a body"),
        (204, b"\r\n", "HTTP 204 without a body"),
        (200, example("hostile/h18-html-instead-of-xml.xml"), "HTTP 200, an HTML page"),
        (502, b"<html><body>Bad Gateway</body></html>", "HTTP 502, an HTML page"),
        (302, b"<a>moved</a>", "HTTP 302, redirected"),
        (500, b"Internal Server Error", "HTTP 500, no WCTP: syntax error (line 1, column 1)"),
        (200, b"OK", "HTTP 200, no WCTP: syntax error (line 1, column 1)"),
        (
            200,
            example("06-confirmation-success.xml")[:-12],
            "HTTP 200, no WCTP: unclosed token (line 7, column 1)",
        ),
        (
            200,
            example("hostile/h02-entity-expansion.xml"),
            "HTTP 200, no WCTP: DOCTYPE has declarations of its own",
        ),
        (200, example("01-submit-request-alphanumeric.xml"), "HTTP 200, WCTP, but not one answer"),
        (200, example("24-status-info-failure.xml"), "HTTP 200, WCTP, but not one answer"),
        (200, operation(""), "HTTP 200, WCTP, but not one answer"),
        (200, operation(SUCCESS + SUCCESS), "HTTP 200, WCTP, but not one answer"),
        (200, example("28-poll-response-nomessages.xml"), "HTTP 200, an answer that does not say yes or no"),
        (
            200,
            example("13-client-query-response-messages.xml"),
            "HTTP 200, an answer that does not say yes or no",
        ),
        (
            200,
            operation(f"<wctp-Confirmation>{SUCCESS}{FAILURE}</wctp-Confirmation>"),
            "HTTP 200, an answer that does not say yes or no",
        ),
        (500, example("06-confirmation-success.xml"), "HTTP 500 with a success in it"),
        (302, example("06-confirmation-success.xml"), "HTTP 302 with a success in it"),
        (
            200,
            operation('<wctp-Confirmation><wctp-Success successCode="403"/></wctp-Confirmation>'),
            "HTTP 200, a success with the code of a failure or none (403)",
        ),
        (
            200,
            operation('<wctp-Confirmation><wctp-Success successCode="yes"/></wctp-Confirmation>'),
            "HTTP 200, a success with the code of a failure or none (None)",
        ),
        (
            200,
            operation('<wctp-Confirmation><wctp-Failure errorCode="200"/></wctp-Confirmation>'),
            "HTTP 200, a failure with the code of a success (200)",
        ),
    ],
)
def test_anything_else_is_neither_yes_nor_no(status: int, body: bytes, why: str) -> None:
    """Portals, proxies, cut and contradictory answers: once the page was written, a doubt."""
    assert judged(status, {}, body) == Foreign(why=why)


def test_a_body_shorter_than_announced_is_cut() -> None:
    """Also if what came happens to be whole."""
    body = example("06-confirmation-success.xml")
    assert isinstance(judged(200, {"content-LENGTH": str(len(body))}, body), Accepted)
    assert judged(200, {"Content-Length": "9999"}, body) == Foreign(
        why=f"HTTP 200, cut: {len(body)} of 9999 octets"
    )
    assert isinstance(judged(200, {"Content-Length": "many"}, body), Accepted)


def test_an_answer_is_capped() -> None:
    """A portal's megabytes are not looked at."""
    large = judged(200, {}, example("06-confirmation-success.xml") + b" " * 3000, Limits(body=2000))
    assert large == Foreign(why="HTTP 200, no WCTP: document is too large")


def test_why_repeats_nothing_of_the_body() -> None:
    """It goes to logs."""
    answer = judged(200, {}, b"<secretword>555-0104</secretword>")
    assert answer == Foreign(why="HTTP 200, no WCTP: root is not wctp-Operation (line 1, column 1)")


@given(st.integers(100, 999), st.sampled_from(all_examples()), st.data())
@settings(max_examples=150, deadline=None)
def test_no_damage_makes_a_success(status: int, name: str, data: st.DataObject) -> None:
    """A page is taken only if the document says so: cut anywhere, it is not."""
    body = example(name)
    end = data.draw(st.integers(0, len(body)))
    answer = judged(status, {}, body[:end])
    if isinstance(answer, Accepted):
        assert b"Success" in body
        assert body[end:].strip(b"\r\n \0") == b""
        assert status // 100 == 2


@given(st.integers(0, 9999), st.booleans())
@settings(max_examples=60, deadline=None)
def test_only_2xx_codes_in_the_right_element_are_clear(code: int, good: bool) -> None:
    """Whatever number a peer puts where."""
    result: m.Success | m.Failure = m.Success(code=code) if good else m.Failure(code=code)
    answer = judged(200, {}, write(m.Confirmation(result=result), Dialect()))
    if m.kind_of(code) is Kind.SUCCESS:
        assert isinstance(answer, Accepted if good else Foreign)
    else:
        assert isinstance(answer, Foreign if good else Denied)
