"""The second WCTP, which the first is tested against: its two ends understand each other, and nobody else's slips."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import independent_wctp as w

SUBMIT = w.document(w.submit_request("st-anne", "5551212", "Call 4411", "m1", code="blue"))
STATUS = w.document(w.status_info("5551212", "st-anne", "m1", "c-1", "DELIVERED"))


@pytest.fixture
def carrier() -> Iterator[w.Carrier]:
    with w.Carrier(senders={"st-anne": "blue"}) as carrier:
        yield carrier


@pytest.fixture
def host() -> Iterator[w.Host]:
    with w.Host() as host:
        yield host


def submit(carrier: w.Carrier, text: str = "Call 4411", number: str = "m1", **more: str) -> w.Answer:
    return w.post(carrier.url, w.submit_request("st-anne", "5551212", text, number, code="blue", **more))


# ------------------------------------------------------------------------------------------ the documents


def test_its_own_documents_are_whole() -> None:
    """Declaration, document type and one operation; read back as they were meant."""
    assert SUBMIT.startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<!DOCTYPE wctp-Operation SYSTEM "http://dtd.wctp.org/wctp-dtd-v1r3.dtd">\n'
        b'<wctp-Operation wctpVersion="wctp-dtd-v1r3"><wctp-SubmitRequest><wctp-SubmitHeader submitTimestamp="'
    )
    version, operation = w.read(SUBMIT)
    assert (version, operation.tag) == (w.V13, "wctp-SubmitRequest")
    assert [child.tag for child in operation[0]] == [
        "wctp-Originator",
        "wctp-MessageControl",
        "wctp-Recipient",
    ]


@pytest.mark.parametrize("name", sorted(w.ELEMENTS))
def test_every_element_has_a_model_of_elements_that_there_are(name: str) -> None:
    """The table has no name that it does not explain, and each model can be read."""
    model, _ = w.ELEMENTS[name]
    assert set(re.findall(r"\w+", model)) <= set(w.ELEMENTS)
    re.compile(w._expression(model))
    assert w.attributes_of(name, w.V13) is not None


ORIGINATOR = b'<wctp-Originator senderID="st-anne" securityCode="blue" />'


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"</wctp-Operation>", b"", 301),
        (b"Call 4411", b"Call &nbsp; 4411", 301),
        (b"v1r3.dtd\">", b"v1r3.dtd\" [<!ENTITY a \"b\">]>", 301),
        (b"Call 4411", b"\xff\xfe", 301),
        (b"wctp-Operation", b"wctp-Something", 302),
        (b"<wctp-SubmitRequest>", b"<wctp-NoMessages/><wctp-SubmitRequest>", 302),
        (b"wctp-SubmitRequest", b"wctp-SubmitRequests", 300),
        (b"wctp-SubmitRequest", b"SubmitRequest", 302),
        (b'wctpVersion="wctp-dtd-v1r3"', b"", 302),
        (b'wctpVersion="wctp-dtd-v1r3"', b'wctpVersion="1.3"', 303),
        (b'wctpVersion="wctp-dtd-v1r3"', b'wctpVersion="wctp-dtd-v1r2"', 302),  # against its DOCTYPE
        (b"DOCTYPE wctp-Operation", b"DOCTYPE wctp-operation", 302),
        (ORIGINATOR, b"", 302),
        (ORIGINATOR, ORIGINATOR * 2, 302),
        (ORIGINATOR, ORIGINATOR + b"and", 302),
        (ORIGINATOR, ORIGINATOR.replace(b"/>", b"> </wctp-Originator>"), 302),
        (ORIGINATOR, ORIGINATOR.replace(b"senderID", b"senderId"), 302),
        (ORIGINATOR, ORIGINATOR.replace(b"/>", b'password="x"/>'), 302),
        (ORIGINATOR, ORIGINATOR.replace(b"blue", b"b" * 17), 302),
        (b'messageID="m1"', b'messageID="m1" allowResponse="TRUE"', 302),
        (b'messageID="m1"', b'messageID="m1" deliveryPriority="URGENT"', 302),
        (b'messageID="m1"', b'messageID="m1" deliveryAfter="2026-11-21 10:00"', 405),
        (b'messageID="m1"', b"", 302),
        (b'messageID="m1"', b'messageID="' + b"1" * 33 + b'"', 302),
        (b"wctp-Alphanumeric", b"wctp-Text", 302),
        (b"<wctp-Alphanumeric>", b"<wctp-Alphanumeric><b/>", 302),
    ],
)  # fmt: skip
def test_what_no_document_type_allows_is_refused(old: bytes, new: bytes, code: int) -> None:
    """One slip each, with the code that says what kind it is."""
    assert old in SUBMIT
    with pytest.raises(w.NotWctp) as caught:
        w.read(SUBMIT.replace(old, new))
    assert caught.value.code == code, caught.value.why


def test_the_order_of_elements_counts() -> None:
    """The recipient comes last."""
    operation = w.submit_request("a", "b", "c", "d")
    header = operation[0]
    header.append(header[0])
    header.remove(header[0])
    with pytest.raises(w.NotWctp, match="holds"):
        w.document(operation)


@pytest.mark.parametrize(
    ("operation", "since"),
    [
        (w.message_reply("5", "a", "m", "c", "ok", choice=True), w.V12),
        (w.element("ReturnToSvc", "host.example"), w.V12),
        (w.message_reply("5", "a", "m", "c", "ok"), w.V11),
        (w.version_query("us"), w.V11),
        (
            w.element(
                "DeviceLocation",
                w.element("Originator", senderID="a"),
                w.element("DeviceLocationControl", messageID="m"),
                w.element("Recipient", recipientID="b"),
            ),
            w.V13,
        ),
    ],
)
def test_what_a_version_lacks_is_refused_in_it(operation: ET.Element, since: str) -> None:
    """Each version has its own lists."""
    for version in w.VERSIONS:
        if version >= since:
            assert w.read(w.document(operation, version))[0] == version
        else:
            with pytest.raises(w.NotWctp):
                w.document(operation, version)


# ------------------------------------------------------------------------------------------- the carrier


def test_a_message_is_taken_as_it_was_meant(carrier: w.Carrier) -> None:
    """Sender, device, text, ids and controls; what crosses XML arrives whole."""
    text = 'UPS-2 <14 min> & "falling"\r\n\tétage 2 日本'
    answer = submit(carrier, text, deliveryPriority="HIGH", transactionID="t1", notifyWhenDelivered="true")
    assert answer.accepted and answer.code == 200
    (taken,) = carrier.taken
    assert taken.text == text.replace("\r\n", "\n")  # XML 1.0, 2.11: ends of lines
    assert (taken.sender, taken.recipient, taken.message_id) == ("st-anne", "5551212", "m1")
    assert taken.control == {"deliveryPriority": "HIGH", "transactionID": "t1", "notifyWhenDelivered": "true"}
    assert carrier.heard[0].headers["Content-Type"] == "text/xml; charset=utf-8"
    assert carrier.refusals() == []


def test_a_message_that_comes_twice_is_seen_twice(carrier: w.Carrier) -> None:
    """Tests count copies; nothing is hidden."""
    assert [submit(carrier).code, submit(carrier).code] == [200, 200]
    assert [taken.message_id for taken in carrier.taken] == ["m1", "m1"]


@pytest.mark.parametrize(
    ("sender", "code", "device", "text", "more", "refused"),
    [
        ("nobody", "blue", "5551212", "a", {}, 401),
        ("st-anne", "red", "5551212", "a", {}, 402),
        ("st-anne", None, "5551212", "a", {}, 402),
        ("st-anne", "blue", "999", "a", {}, 403),
        ("st-anne", "blue", "5551212", "x" * 21, {"allowTruncation": "false"}, 411),
        (
            "st-anne", "blue", "5551212", "a",
            {"deliveryAfter": "2026-11-22T10:00:00", "deliveryBefore": "2026-11-22T09:00:00"}, 406,
        ),
    ],
)  # fmt: skip
def test_what_a_carrier_refuses(
    sender: str, code: str | None, device: str, text: str, more: dict[str, str], refused: int
) -> None:
    """By the codes of WCTP, with HTTP status 200; nothing of it is taken."""
    with w.Carrier(senders={"st-anne": "blue"}, recipients=["5551212"], longest=20) as carrier:
        answer = w.post(carrier.url, w.submit_request(sender, device, text, "m1", code=code, **more))
        assert (answer.kind, answer.code, answer.accepted, answer.wrong) == (
            "Confirmation",
            refused,
            False,
            None,
        )
        assert carrier.taken == []
        assert carrier.refusals()[0].startswith(f"{refused}: ")


def test_a_long_text_is_cut_where_that_is_allowed() -> None:
    """As the control attributes say, which allow it by default."""
    with w.Carrier(longest=5) as carrier:
        assert submit(carrier, "123456789").code == 200
        assert carrier.taken[0].text == "12345"


def test_choices_come_with_what_is_sent_back(carrier: w.Carrier) -> None:
    """Choices and pairs, in order."""
    operation = w.submit_request("st-anne", "5551212", "", "m1", code="blue")
    pair = w.element("ChoicePair", w.element("SendChoice", "Cannot"), w.element("ReplyChoice", "no"))
    one = w.element("ChoicePair", w.element("SendChoice", "Later"))
    operation[1].remove(operation[1][0])
    operation[1].append(
        w.element("MCR", w.element("MessageText", "Bed 4"), w.element("Choice", "OK"), pair, one)
    )
    assert w.post(carrier.url, operation).accepted
    assert carrier.taken[0].text == "Bed 4"
    assert carrier.taken[0].choices == (("OK", "OK"), ("Cannot", "no"), ("Later", "Later"))


@pytest.mark.parametrize(
    ("body", "code"), [(b"hello", 301), (b"<a/>", 302), (SUBMIT.replace(b"m1", b"m" * 40), 302)]
)
def test_what_is_no_document_gets_a_confirmation_with_a_failure(
    carrier: w.Carrier, body: bytes, code: int
) -> None:
    """Whatever came, the answer is one of WCTP; what came is kept."""
    answer = w.judge("SubmitRequest", w.V13, *w.exchange(carrier.url, body))
    assert (answer.kind, answer.code, answer.wrong) == ("Confirmation", code, None)
    assert carrier.heard[0].document == body


def test_answers_are_in_the_version_that_was_spoken(carrier: w.Carrier) -> None:
    """Older peers cannot read others."""
    for version in w.VERSIONS:
        operation = w.submit_request("st-anne", "5551212", "a", version, code="blue")
        assert w.post(carrier.url, operation, version).accepted
    assert [taken.version for taken in carrier.taken] == list(w.VERSIONS)


def test_a_version_query_needs_no_credentials(carrier: w.Carrier) -> None:
    """And what is not offered is 300."""
    assert w.post(carrier.url, w.version_query("us")).kind == "VersionResponse"
    assert w.post(carrier.url, w.element("ReturnToSvc", "host.example")).code == 300


# --------------------------------------------------------------------------------- poll, push, transient


def test_a_poller_gets_what_happened_until_it_says_that_it_has_it(carrier: w.Carrier) -> None:
    """In order, by sequence numbers; unacknowledged messages come again."""
    assert submit(carrier).accepted
    carrier.report(carrier.taken[0], "DELIVERED")
    carrier.report(carrier.taken[0], "reply:OK")
    first = w.post(carrier.url, w.poll("st-anne", "blue", most=1))
    assert [(one.what, one.about, one.device, one.to) for one in first.messages] == [
        ("DELIVERED", "m1", "5551212", "st-anne")
    ]
    assert first.again == 0
    again = w.post(carrier.url, w.poll("st-anne", "blue"))
    assert [one.what for one in again.messages] == ["DELIVERED", "reply:OK"]
    assert again.messages[0] == first.messages[0]
    numbers = [one.sequence or "" for one in again.messages]
    last = w.post(carrier.url, w.poll("st-anne", "blue", received=[*numbers, "99"]))
    assert last.messages == () and last.kind == "PollResponse" and last.wrong is None
    assert carrier.waiting("st-anne") == []
    assert carrier.polls == 3


def test_a_poller_with_a_wrong_code_is_refused(carrier: w.Carrier) -> None:
    """432, in the answer of a poll; nothing is taken from the queue."""
    submit(carrier)
    carrier.report(carrier.taken[0], "READ")
    answer = w.post(carrier.url, w.poll("st-anne", "red", received=[str(carrier.waiting("st-anne")[0])]))
    assert (answer.kind, answer.code) == ("PollResponse", 432)
    assert len(carrier.waiting("st-anne")) == 1


@pytest.mark.parametrize("what", ["QUEUED", "DELIVERED", "READ", "501", "reply:On my way"])
def test_a_carrier_pushes_and_the_host_confirms(carrier: w.Carrier, host: w.Host, what: str) -> None:
    """Status and replies, addressed as the message asked for, with the transaction."""
    submit(carrier, sendResponsesToID="desk@st-anne", transactionID="t1")
    answer = carrier.push(host.url, carrier.taken[0], what, own_id="c-7")
    assert answer.accepted
    (pushed,) = host.pushed
    assert (pushed.what, pushed.about, pushed.device, pushed.to, pushed.own_id) == (
        what, "m1", "5551212", "desk@st-anne", "c-7",
    )  # fmt: skip
    assert b'transactionID="t1"' in host.heard[0].document


def test_a_choice_that_was_sent_is_marked(carrier: w.Carrier, host: w.Host) -> None:
    """From 1.2 on: MCRMessageReply."""
    operation = w.submit_request("st-anne", "5551212", "", "m1", code="blue")
    operation[1].remove(operation[1][0])
    operation[1].append(w.element("MCR", w.element("MessageText", "Bed 4"), w.element("Choice", "OK")))
    w.post(carrier.url, operation)
    carrier.push(host.url, carrier.taken[0], "reply:OK")
    carrier.push(host.url, carrier.taken[0], "reply:else")
    assert [b'MCRMessageReply="true"' in one.document for one in host.heard] == [True, False]


def test_a_message_from_a_device_reaches_a_host(host: w.Host) -> None:
    """Unasked for: it is about no message."""
    assert w.post(host.url, w.submit_request("5551212", "st-anne", "help", "c-9")).accepted
    assert host.pushed[0].about is None
    assert (host.pushed[0].what, host.pushed[0].device) == ("reply:help", "5551212")


def test_a_client_without_registration_asks_with_its_tracking_number(carrier: w.Carrier) -> None:
    """All that is known, each time; by others nothing is learnt."""
    operation = w.submit_client_message("desk3", "5551212", "Visitor", misc="x", notifyWhenRead="true")
    answer = w.post(carrier.url, operation)
    assert answer.kind == "SubmitClientResponse" and answer.accepted
    tracking = answer.tracking or ""
    assert 1 <= len(tracking) <= 16
    query = w.client_query("desk3", "5551212", tracking)
    assert w.post(carrier.url, query).messages == ()
    carrier.report(carrier.taken[0], "DELIVERED")
    carrier.report(carrier.taken[0], "reply:ok")
    for _ in range(2):
        found = w.post(carrier.url, query)
        assert [(one.what, one.device, one.to) for one in found.messages] == [
            ("DELIVERED", "5551212", "desk3"),
            ("reply:ok", "5551212", "desk3"),
        ]
        assert found.again == 1
    assert w.post(carrier.url, w.client_query("desk4", "5551212", tracking)).code == 504
    assert w.post(carrier.url, w.client_query("desk3", "5551212", "X")).code == 504


def test_controls_of_a_client_message_may_be_missing(carrier: w.Carrier) -> None:
    """Then all defaults count."""
    assert w.post(carrier.url, w.submit_client_message("desk3", "5551212", "Visitor")).accepted
    assert carrier.taken[0].control == {}


# -------------------------------------------------------------------------------------- what goes wrong


def test_a_carrier_misbehaves_as_told(carrier: w.Carrier) -> None:
    """It takes the message each time; only the answer is another."""
    carrier.next_answers(None, 503, b"<html/>", w.element("Confirmation", w.failure(606)))
    answers = [submit(carrier, number=f"m{n}") for n in range(5)]
    assert [one.wrong for one in answers] == [
        "no answer",
        answers[1].wrong,
        "302: the root is html",
        None,
        None,
    ]
    assert answers[1].status == 503 and answers[1].wrong
    assert [one.code for one in answers] == [None, None, None, 606, 200]
    assert len(carrier.taken) == 5
    assert carrier.wait(lambda: len(carrier.heard) == 5)


def test_one_operation_is_answered_otherwise_and_others_are_not(carrier: w.Carrier) -> None:
    """Polls that go on beside it get what is theirs."""
    carrier.next_answers(503, to="SubmitRequest")
    assert w.post(carrier.url, w.poll("st-anne", "blue")).status == 200
    assert [submit(carrier).status, submit(carrier).status] == [503, 200]


@pytest.mark.parametrize(
    ("asked", "answer", "wrong"),
    [
        ("SubmitRequest", w.element("Confirmation", w.success()), None),
        ("SubmitClientMessage", w.element("Confirmation", w.failure(302)), None),
        ("SubmitClientMessage", w.element("Confirmation", w.success()), "SubmitClientMessage answered by Confirmation"),
        ("PollForMessages", w.element("ClientQueryResponse", w.element("NoMessages")), "PollForMessages answered by ClientQueryResponse"),
        ("SubmitRequest", w.element("Confirmation", w.element("Success", successCode="200")), "wctp-Success without text"),
    ],
)  # fmt: skip
def test_answers_are_judged(asked: str, answer: ET.Element, wrong: str | None) -> None:
    """Against the answer that belongs to what was asked."""
    assert w.judge(asked, w.V13, 200, w.document(answer)).wrong == wrong


def test_an_answer_in_another_version_is_wrong() -> None:
    """Whoever asks in 1.1 cannot read 1.3."""
    body = w.document(w.element("Confirmation", w.success()), w.V13)
    assert (
        w.judge("StatusInfo", w.V11, 200, body).wrong == "asked in wctp-dtd-v1r1, answered in wctp-dtd-v1r3"
    )
    assert w.judge("StatusInfo", w.V13, 500, body).wrong == "HTTP status 500"
    assert w.judge("StatusInfo", w.V13, 200, STATUS).wrong == "StatusInfo answered by StatusInfo"


def test_it_shares_nothing_with_what_it_tests() -> None:
    """The standard library alone."""
    source = Path(w.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r"^(?:from|import) ([\w.]+)", source, re.M))
    assert names == {
        "__future__", "abc", "base64", "collections.abc", "dataclasses", "datetime", "http.server", "re",
        "secrets", "threading", "typing", "urllib.error", "urllib.request", "xml.etree.ElementTree",
    }  # fmt: skip
