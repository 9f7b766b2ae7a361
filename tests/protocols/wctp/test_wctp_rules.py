"""What follows from a document alone."""

from typing import Any

import pytest
from msgspec.structs import replace
from wctp_fakes import example, request, submit

from protocols.wctp import messages as m
from protocols.wctp.codec import read
from protocols.wctp.messages import MessageId, WctpId, WctpText
from protocols.wctp.rules import duplicate_key, not_a_request

PAGE = request(read(submit(control='<wctp-MessageControl messageID="m-1" transactionID="t-1"/>')))


@pytest.mark.parametrize(
    "other",
    [
        replace(PAGE, originator=m.Originator(sender_id=WctpId("other"))),
        replace(PAGE, recipient=m.Recipient(recipient_id=WctpId("5550104478"))),
        replace(PAGE, control=replace(PAGE.control, message_id=MessageId("m-2"))),
        replace(PAGE, control=replace(PAGE.control, transaction_id=MessageId("t-2"))),
        replace(PAGE, control=replace(PAGE.control, message_id=MessageId("m-1t-1"), transaction_id=None)),
        replace(PAGE, payload=m.Alphanumeric(text=WctpText("Freezer 9 at -50C"))),
        replace(PAGE, payload=m.TransparentData(data=b"Freezer 9 at -51C")),
        replace(PAGE, payload=m.MultipleChoice(text=WctpText("Freezer 9 at -51C"), choices=())),
    ],
)
def test_another_part_is_another_message(other: m.SubmitRequest) -> None:
    """Sender, both ids, recipient and payload all count: ids alone repeat in the field."""
    assert duplicate_key(other, other.recipient) != duplicate_key(PAGE, PAGE.recipient)


def test_choices_count() -> None:
    """A choice, a pair and a pair without a reply of the same words are three payloads."""
    yes = WctpText("yes")
    alike: list[tuple[Any, ...]] = [
        (m.Choice(text=yes),),
        (m.ChoicePair(send=yes),),
        (m.ChoicePair(send=yes, reply=WctpText("")),),
        (m.ChoicePair(send=yes, reply=yes),),
        (m.Choice(text=yes), m.Choice(text=yes)),
    ]
    pages = [replace(PAGE, payload=m.MultipleChoice(text=WctpText("?"), choices=one)) for one in alike]
    assert len({duplicate_key(page, page.recipient) for page in pages}) == len(alike)


def test_what_does_not_count() -> None:
    """Times, notifications and the place of an answer may differ in a repetition."""
    control = replace(PAGE.control, notify_when_read=True, priority=m.Priority.HIGH)
    again = replace(PAGE, control=control, submitted=None)
    assert duplicate_key(again, again.recipient) == duplicate_key(PAGE, PAGE.recipient)


def test_equal_text_alone_is_no_duplicate() -> None:
    """Two alarms of a client that sends no ids may say the same."""
    page = request(read(submit(control='<wctp-MessageControl messageID="" transactionID=""/>')))
    assert duplicate_key(page, page.recipient) is None


def test_each_recipient_of_several_has_his_own_key() -> None:
    """The same as of a page to him alone."""
    document = read(example("16-send-msg-multi.xml"))
    assert isinstance(document, m.Document)
    several = document.operation
    assert isinstance(several, m.SendMsgMulti)
    assert len({duplicate_key(several, one) for one in several.recipients}) == 3
    alone = m.SubmitRequest(
        originator=several.originator,
        control=several.control,
        recipient=several.recipients[0],
        payload=several.payload,
    )
    assert duplicate_key(alone, alone.recipient) == duplicate_key(several, several.recipients[0])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("v1r0-bind-domain-alias.xml", 300),
        ("06-confirmation-success.xml", 300),
        ("10-submit-client-response-success.xml", 300),
        ("17-send-msg-multi-response-partial.xml", 300),
        ("14-client-query-response-nomessages.xml", 300),
        ("28-poll-response-nomessages.xml", 300),
        ("31-version-response.xml", 300),
        ("01-submit-request-alphanumeric.xml", None),
        ("19-message-reply.xml", None),
        ("34-lookup-response-data.xml", None),
        ("39-return-to-svc.xml", None),
    ],
)
def test_what_nobody_asked_for_is_not_served(name: str, code: int | None) -> None:
    """An answer out of the blue, and what ended with 1.0."""
    document = read(example(name))
    assert isinstance(document, m.Document)
    refused = not_a_request(document.operation)
    assert (refused and refused.code) == code
