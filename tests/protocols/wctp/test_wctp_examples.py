"""Whole documents: every operation of every version, what real peers send, and what nobody should."""

from datetime import UTC, datetime

import pytest
from wctp_fakes import all_examples, example, refusal, request

from protocols.wctp import codec
from protocols.wctp import messages as m
from protocols.wctp.codec import Dialect, read, write
from protocols.wctp.messages import Code, DoctypeUrl, Version, WctpLine
from protocols.wctp.tree import Tolerance

STRICT = Tolerance(strict=True)
VALID = [name for name in all_examples() if "/" not in name]
FIRST = datetime(2026, 11, 21, 17, 30, tzinfo=UTC)

OPERATIONS: dict[str, type[object]] = {
    "01": m.SubmitRequest,
    "02": m.SubmitRequest,
    "03": m.SubmitRequest,
    "04": m.SubmitRequest,
    "05": m.SubmitRequest,
    "06": m.Confirmation,
    "07": m.Confirmation,
    "08": m.SubmitClientMessage,
    "09": m.SubmitClientMessage,
    "10": m.SubmitClientResponse,
    "11": m.SubmitClientResponse,
    "12": m.ClientQuery,
    "13": m.ClientQueryResponse,
    "14": m.ClientQueryResponse,
    "15": m.ClientQueryResponse,
    "16": m.SendMsgMulti,
    "17": m.SendMsgMultiResponse,
    "18": m.SendMsgMultiResponse,
    "19": m.MessageReply,
    "20": m.MessageReply,
    "21": m.StatusInfo,
    "22": m.StatusInfo,
    "23": m.StatusInfo,
    "24": m.StatusInfo,
    "25": m.PollForMessages,
    "26": m.PollResponse,
    "27": m.PollForMessages,
    "28": m.PollResponse,
    "29": m.PollResponse,
    "30": m.VersionQuery,
    "31": m.VersionResponse,
    "32": m.VersionResponse,
    "33": m.LookupSubscriber,
    "34": m.LookupResponse,
    "35": m.LookupResponse,
    "36": m.DeviceLocation,
    "37": m.DeviceLocationResponse,
    "38": m.DeviceLocationResponse,
    "39": m.ReturnToSvc,
    "40": m.SubmitRequest,
    "41": m.SendMsgMulti,
    "42": m.SubmitClientMessage,
    "43": m.DeviceLocation,
    "44": m.DeviceLocationResponse,
    "v1r0-bind-domain-alias": m.BindDomainAlias,
    "v1r0-submit-client-response": m.SubmitClientResponse,
    "v1r1-client-query-response": m.ClientQueryResponse,
    "v1r1-confirmation-success": m.Confirmation,
    "v1r1-submit-request": m.SubmitRequest,
    "v1r1-version-query": m.VersionQuery,
    "v1r1-version-response": m.VersionResponse,
    "v1r2-message-reply": m.MessageReply,
}


def test_every_example_has_an_expectation() -> None:
    """None of the documents lies there unread."""
    assert len(VALID) == len(OPERATIONS) == 52
    assert len(all_examples()) == 52 + len(QUIRKS) + len(HOSTILE)


@pytest.mark.parametrize("name", VALID)
def test_a_valid_document_is_read_and_nothing_is_forgiven(name: str) -> None:
    """Every operation of every version, also by the strict check."""
    document = read(example(name))
    assert isinstance(document, m.Document)
    expected = OPERATIONS[name[:2] if name[0] != "v" else name.removesuffix(".xml")]
    assert type(document.operation) is expected
    assert document.version == (Version.V1_3 if name[0] != "v" else Version[f"V1_{name[3]}"])
    assert document.quirks == ()
    assert read(example(name), STRICT) == document


@pytest.mark.parametrize("name", VALID)
def test_what_was_read_is_written_as_valid_as_it_was(name: str) -> None:
    """Written again it passes the strict check, says the same and changes no more."""
    document = read(example(name))
    assert isinstance(document, m.Document)
    doctype = DoctypeUrl(document.doctype or "")
    dialect = Dialect(spelling=document.spelling, doctype=doctype, token=document.token)
    written = write(document.operation, dialect)
    again = read(written, STRICT)
    assert isinstance(again, m.Document)
    assert (again.version, again.doctype, again.token) == (document.version, doctype, document.token)
    assert write(again.operation, dialect) == written


def test_a_submit_request_whole() -> None:
    """Every field of the plain page."""
    document = read(example("01-submit-request-alphanumeric.xml"))
    assert isinstance(document, m.Document)
    assert document.token == "g1A3"
    assert document.doctype == "http://dtd.wctp.org/wctp-dtd-v1r3.dtd"
    assert document.operation == m.SubmitRequest(
        originator=m.Originator(
            sender_id=m.WctpId("noc@wctp.hospital.example"), security_code=m.WctpSecret("K7-blue-91")
        ),
        control=m.MessageControl(
            message_id=m.MessageId("20261121-000042"),
            transaction_id=m.MessageId("inc-88131"),
            send_responses_to=m.WctpId("replies@wctp.hospital.example:8443/wctp"),
            notify_when_queued=True,
            notify_when_delivered=True,
            notify_when_read=True,
            priority=m.Priority.HIGH,
        ),
        recipient=m.Recipient(recipient_id=m.WctpId("5550104477")),
        payload=m.Alphanumeric(text=m.WctpText("UPS-2 on battery, 14 min left & falling. Call <ext 4410>")),
        submitted=FIRST,
    )


def test_choices_binary_and_formatted_texts() -> None:
    """Pairs of choices keep their reply, base64 its octets, a preformatted text its lines."""
    pairs = request(read(example("03-submit-request-mcr-choicepairs.xml"))).payload
    assert pairs == m.MultipleChoice(
        text=m.WctpText("Link sw-core-1 down. Take it?"),
        choices=(
            m.ChoicePair(send=m.WctpText("Yes, mine"), reply=m.WctpText("ACK inc-88131")),
            m.ChoicePair(send=m.WctpText("No"), reply=m.WctpText("NAK inc-88131")),
            m.ChoicePair(send=m.WctpText("Call me")),
        ),
    )
    binary = request(read(example("04-submit-request-transparent-base64.xml"))).payload
    assert binary == m.TransparentData(data=b"\x00\x01\x02\xfe\xffvalve 7 open")
    lines = request(read(example("05-submit-request-scheduled.xml")))
    assert lines.payload == m.Alphanumeric(text=m.WctpText("Shift 06-14\n    A: Ruiz\n    B: Okafor"))
    assert lines.control.deliver_after == datetime(2026, 11, 22, 5, tzinfo=UTC)
    assert lines.control.deliver_before == datetime(2026, 11, 22, 6, 30, tzinfo=UTC)


def test_a_poll_batch_whole() -> None:
    """Four kinds of messages, each under the number that acknowledges it."""
    document = read(example("26-poll-response-messages.xml"))
    assert isinstance(document, m.Document)
    batch = document.operation
    assert isinstance(batch, m.PollResponse)
    assert batch.min_next_poll == 30
    assert [one.sequence for one in batch.messages] == ["1", "2", "3", "4"]
    status, reply, page, found = (one.content for one in batch.messages)
    assert isinstance(status, m.StatusInfo)
    assert status.result == m.Notification(event=m.Event.DELIVERED)
    assert status.header.response_to == "c-771"
    assert isinstance(reply, m.MessageReply)
    assert reply.multiple_choice
    assert isinstance(page, m.SubmitRequest)
    assert page.payload == m.Alphanumeric(text=m.WctpText("STOP non-urgent until 20:00"))
    assert isinstance(found, m.LookupResponse)
    assert found.result == m.LookupData(max_length=240, multiple_choice=True, can_respond=True)


def test_a_table_of_versions_whole() -> None:
    """Which versions a carrier takes, until when, and what to use instead."""
    document = read(example("31-version-response.xml"))
    assert isinstance(document, m.Document)
    assert isinstance(document.operation, m.VersionResponse)
    supports = document.operation.result
    assert isinstance(supports, tuple)
    assert [(one.dtd_name, one.support.value, one.exceptions) for one in supports] == [
        ("wctp-dtd-v1r3", "Supported", True),
        ("wctp-dtd-v1r2", "Supported", False),
        ("wctp-dtd-v1r1", "Deprecated", False),
        ("wctpv1-0", "NotSupported", False),
    ]
    assert supports[2].until == datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert document.operation.contact == m.ContactInfo(
        email=WctpLine("wctp-ops@carrier.example"),
        phone=WctpLine("555-010-0100"),
        www=WctpLine("https://carrier.example/wctp"),
        info=WctpLine("24 h desk"),
    )


# What real peers send


QUIRKS = {
    "q01-recipient-before-control-miscinfo-caps.xml": (
        "wctp-MessageControl/@deliveryPriority is none of its words",
    ),
    "q02-single-quotes-submitTimeStamp.xml": (),
    "q03-no-doctype-no-declaration.xml": (),
    "q04-client-header-with-messagecontrol.xml": (),
    "q05-client-query-with-securityCode.xml": (),
    "q06-mixed-case-enums.xml": (),
    "q07-reply-fraction-and-Z-empty-attr.xml": (),
    "q08-timestamp-with-space.xml": (),
    "q09-poll-ack-wrapped-in-confirmation.xml": (),
    "q10-confirmation-html-type-spaced-declaration.xml": (),
    "q11-confirmation-extra-attribute.xml": (),
    "q12-confirmation-answers-client-message.xml": (),
    "q13-version-with-dtd-suffix.xml": (),
    "q14-bare-failure-under-operation.xml": ("wctp-Failure stands alone",),
    "q15-submitheader-url-senderid-uuid-recipient.xml": (),
    "q16-form-field-prefix.txt": ("the document came as a form field",),
    "q17-form-field-urlencoded.txt": ("the document came as a form field",),
    "q18-real-utf16le-bom.xml": (),
    "q19-declared-utf16-but-utf8-bytes.xml": ("declared as UTF-16, written as UTF-8",),
    "q20-latin1-bytes-no-encoding.xml": ("octets are neither declared nor UTF-8, read as windows-1252",),
    "q21-html-named-entity.xml": (),
}


@pytest.mark.parametrize("name", QUIRKS)
def test_a_quirk_of_the_field_is_read(name: str) -> None:
    """All are taken; what was forgiven is named where something could have been lost."""
    document = read(example(f"quirks/{name}"), Tolerance(html_names=True))
    assert isinstance(document, m.Document)
    assert document.quirks == QUIRKS[name]


@pytest.mark.parametrize("name", ["q01", "q02", "q04", "q05", "q06", "q09", "q11"])
def test_the_strict_check_refuses_what_no_dtd_allows(name: str) -> None:
    """As the strictest peer of the field does."""
    full = next(one for one in QUIRKS if one.startswith(name))
    assert refusal(read(example(f"quirks/{full}"), STRICT)).code is Code.NOT_VALID


def test_quirks_lose_nothing() -> None:
    """Order, capitals, blanks in times, empty ids, other elements' places: what was meant is there."""

    def quirk(name: str) -> m.Operation:
        document = read(example("quirks/" + next(one for one in QUIRKS if one.startswith(name))))
        assert isinstance(document, m.Document)
        return document.operation

    swapped = quirk("q01")
    assert isinstance(swapped, m.SubmitRequest)
    assert swapped.originator.misc_info == "lab"
    assert (swapped.control.message_id, swapped.control.priority) == ("q-01", m.Priority.NORMAL)
    stamped = quirk("q02")
    assert isinstance(stamped, m.SubmitRequest)
    assert stamped.submitted == datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
    client = quirk("q03")
    assert isinstance(client, m.SubmitRequest)
    assert client.originator.security_code == "s1"
    transient = quirk("q04")
    assert isinstance(transient, m.SubmitClientMessage)
    assert transient.control.notify_when_delivered
    assert transient.recipient.authorization_code is None
    cased = quirk("q06")
    assert isinstance(cased, m.SubmitRequest)
    assert (cased.control.priority, cased.control.notify_when_delivered) == (m.Priority.HIGH, True)
    reply = quirk("q07")
    assert isinstance(reply, m.MessageReply)
    assert reply.header.responded == datetime(2026, 11, 21, 17, 34, 22, tzinfo=UTC)
    assert reply.header.control.transaction_id is None
    spaced = quirk("q08")
    assert isinstance(spaced, m.SubmitRequest)
    assert spaced.control.deliver_before == datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
    wrapped = quirk("q09")
    assert isinstance(wrapped, m.PollForMessages)
    assert wrapped.received[0].result == m.Success(code=200)
    tracked = quirk("q13")
    assert tracked == m.SubmitClientResponse(
        result=m.ClientSuccess(code=200, text=WctpLine("Accepted"), tracking=m.WctpId("1795282764"))
    )
    bare = quirk("q14")
    assert isinstance(bare, m.Confirmation)
    assert bare.result.code == 300
    long_ids = quirk("q15")
    assert isinstance(long_ids, m.SubmitRequest)
    assert long_ids.originator.sender_id == "http://192.0.2.10:8737/Wctp"
    for name in ("q16", "q17", "q18", "q19"):
        query = quirk(name)
        assert isinstance(query, m.ClientQuery)
        assert query.tracking == "7F3A000191"
    latin = quirk("q20")
    assert isinstance(latin, m.SubmitRequest)
    assert latin.payload == m.Alphanumeric(text=m.WctpText("café"))


def test_q20_is_refused_where_strict() -> None:
    """Octets that are in no declared encoding are guessed at for the tolerant only."""
    assert refusal(read(example("quirks/q20-latin1-bytes-no-encoding.xml"), STRICT)).code is Code.CANNOT_PARSE


def test_q21_needs_the_names_of_html() -> None:
    """&eacute; is no XML: 301, unless the sender is known for it. Then it is replaced in text only."""
    body = example("quirks/q21-html-named-entity.xml")
    assert refusal(read(body)).code is Code.CANNOT_PARSE
    document = read(body, Tolerance(html_names=True))
    assert isinstance(document, m.Document)
    assert isinstance(document.operation, m.SendMsgMulti)
    assert document.operation.payload == m.Alphanumeric(text=m.WctpText("café fire"))
    in_attribute = body.replace(b'messageID="q-21"', b'messageID="q&eacute;21"')
    assert refusal(read(in_attribute, Tolerance(html_names=True))).code is Code.CANNOT_PARSE


# What nobody should send


HOSTILE = {
    "h01-internal-entity.xml": 302,
    "h02-entity-expansion.xml": 302,
    "h03-external-entity-file.xml": 302,
    "h04-external-entity-http.xml": 302,
    "h05-parameter-entity.xml": 302,
    "h06-external-id-plus-subset.xml": 302,
    "h07-attribute-default-injection.xml": 302,
    "h08-undefined-entity-in-attribute.xml": 301,
    "h09-doctype-system-file.xml": None,
    "h10-doctype-other-root-name.xml": 302,
    "h11-xinclude.xml": 302,
    "h12-two-operations.xml": 302,
    "h13-no-operation.xml": 302,
    "h14-wrong-root.xml": 302,
    "h15-truncated.xml": 301,
    "h16-control-character-reference.xml": 301,
    "h17-nested-depth.xml": 302,
    "h18-html-instead-of-xml.xml": 302,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_a_value(name: str) -> None:
    """Refused with its code, a reason and an answer that can be sent; h09 is an ordinary document."""
    read_ = read(example(f"hostile/{name}"))
    if HOSTILE[name] is None:
        assert isinstance(read_, m.Document)
        assert read_.operation == m.ReturnToSvc(address=m.WctpId("a"))
        return
    problem = refusal(read_)
    assert problem.code == HOSTILE[name]
    answer = read(write(m.Confirmation(result=problem.failure), codec.answering(problem)), STRICT)
    assert isinstance(answer, m.Document)
    assert answer.operation == m.Confirmation(result=problem.failure)
