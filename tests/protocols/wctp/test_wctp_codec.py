"""Values to octets and back: every operation in every version, texts, times, spellings."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wctp_fakes import refusal, request, submit

from protocols.wctp import messages as m
from protocols.wctp.codec import (
    DOCTYPES,
    Declaration,
    Dialect,
    answering,
    asking,
    format_time,
    line_of,
    parse_time,
    read,
    text_of,
    write,
)
from protocols.wctp.messages import (
    Code,
    DoctypeUrl,
    InvalidValue,
    Kind,
    MessageId,
    Version,
    WctpId,
    WctpLine,
    WctpSecret,
    WctpText,
)
from protocols.wctp.tree import Tolerance

few = settings(max_examples=25, deadline=None)
STRICT = Tolerance(strict=True)

# Values


_in_line = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\ufffe\uffff")
_in_text = _in_line | st.sampled_from("\t\n\r\x85\u2028&<>\"']")
_words = st.text(_in_line, min_size=1, max_size=12).map(str.strip).filter(bool)
ids = _words.map(WctpId)
lines = _words.map(WctpLine)
secrets = _words.map(WctpSecret)
message_ids = st.text(_in_line.filter(lambda c: c not in "<>"), max_size=12).map(str.strip).map(MessageId)
given_ids = message_ids.filter(bool)
texts = (
    st.text(_in_text, min_size=1, max_size=30).map(lambda s: s.strip(" \t\r\n")).filter(bool).map(WctpText)
)
raw_texts = st.text(_in_text, max_size=30).map(WctpText)
times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda at: at.replace(microsecond=0)
)
numbers = st.integers(0, 999_999_999)
codes = st.integers(0, 9999)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


originators = st.builds(m.Originator, sender_id=ids, security_code=maybe(secrets), misc_info=maybe(secrets))
devices = st.builds(m.Originator, sender_id=ids)
recipients = st.builds(m.Recipient, recipient_id=ids, authorization_code=maybe(secrets))
_control: dict[str, st.SearchStrategy[Any]] = {
    "send_responses_to": maybe(ids),
    "allow_response": st.booleans(),
    "notify_when_queued": st.booleans(),
    "notify_when_delivered": st.booleans(),
    "notify_when_read": st.booleans(),
    "priority": st.sampled_from(m.Priority),
    "deliver_after": maybe(times),
    "deliver_before": maybe(times),
    "preformatted": st.booleans(),
    "allow_truncation": st.booleans(),
}
_ids: dict[str, st.SearchStrategy[Any]] = {"message_id": message_ids, "transaction_id": maybe(given_ids)}
client_controls = st.builds(m.ClientControl, **_control)
controls = st.builds(m.MessageControl, **_control, **_ids)
multi_controls = st.builds(m.MultiControl, **_control, **_ids, all_recipients_required=st.booleans())
data = st.builds(
    m.TransparentData,
    data=st.binary(max_size=40),
    type=st.sampled_from(m.DataType),
) | st.builds(m.TransparentData, data=raw_texts.map(str.encode), encoding=st.just(m.Encoding.STANDARD))
choices = st.builds(m.Choice, text=texts) | st.builds(m.ChoicePair, send=texts, reply=maybe(texts))
payloads = (
    st.builds(m.Alphanumeric, text=texts)
    | data
    | st.builds(m.MultipleChoice, text=texts, choices=st.lists(choices, min_size=1, max_size=3).map(tuple))
)
successes = st.builds(m.Success, code=codes, text=lines, detail=texts)
failures = st.builds(m.Failure, code=codes, text=lines, detail=texts)
results = successes | failures
notified = st.builds(
    m.Notification, event=st.sampled_from([one for one in m.Event if one is not m.Event.OTHER])
)
headers = st.builds(
    m.ResponseHeader,
    originator=devices,
    control=controls,
    recipient=recipients,
    response_to=message_ids,
    responded=maybe(times),
    responding_to=maybe(times),
    on_behalf_of=maybe(ids),
)
client_headers = st.builds(
    m.ClientResponseHeader,
    originator=devices,
    recipient=recipients,
    responded=maybe(times),
    responding_to=maybe(times),
)
submits = st.builds(
    m.SubmitRequest,
    originator=originators,
    control=controls,
    recipient=recipients,
    payload=payloads,
    submitted=maybe(times),
)
replies = st.builds(m.MessageReply, header=headers, payload=payloads, multiple_choice=st.booleans())
statuses = st.builds(m.StatusInfo, header=headers, result=notified | failures)
found = st.builds(
    m.LookupResponse,
    originator=devices,
    recipient=recipients,
    response_to=message_ids,
    transaction_id=maybe(given_ids),
    result=failures
    | st.builds(
        m.LookupData,
        max_length=numbers,
        multiple_choice=maybe(st.booleans()),
        can_respond=maybe(st.booleans()),
    ),
)
polled = st.builds(m.PolledMessage, sequence=ids, content=submits | replies | statuses | found)
client_messages = st.builds(
    m.ClientMessageReply, header=client_headers, payload=payloads, multiple_choice=st.booleans()
) | st.builds(m.ClientStatusInfo, header=client_headers, result=notified | failures)


def batches(kind: type[Any], items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    full = st.builds(kind, messages=st.lists(items, max_size=3).map(tuple), min_next_poll=maybe(numbers))
    return full | st.builds(kind, failure=failures, min_next_poll=maybe(numbers))


OPERATIONS: dict[str, st.SearchStrategy[Any]] = {
    "SubmitRequest": submits,
    "SendMsgMulti": st.builds(
        m.SendMsgMulti,
        originator=originators,
        control=multi_controls,
        recipients=st.lists(recipients, min_size=1, max_size=3).map(tuple),
        payload=payloads,
        submitted=maybe(times),
    ),
    "SubmitClientMessage": st.builds(
        m.SubmitClientMessage,
        originator=st.builds(m.Originator, sender_id=ids, misc_info=maybe(secrets)),
        recipient=recipients,
        payload=payloads,
        control=client_controls,
        submitted=maybe(times),
    ),
    "ClientQuery": st.builds(m.ClientQuery, sender_id=ids, recipient_id=ids, tracking=ids),
    "MessageReply": replies,
    "StatusInfo": statuses,
    "PollForMessages": st.builds(
        m.PollForMessages,
        poller_id=ids,
        security_code=maybe(secrets),
        max_messages=maybe(numbers),
        received=st.lists(st.builds(m.MessageReceived, sequence=ids, result=results), max_size=3).map(tuple),
    ),
    "VersionQuery": st.builds(m.VersionQuery, inquirer=ids, asked=maybe(times)),
    "LookupSubscriber": st.builds(
        m.LookupSubscriber,
        originator=originators,
        recipient=recipients,
        message_id=message_ids,
        transaction_id=maybe(given_ids),
        send_responses_to=maybe(ids),
    ),
    "LookupResponse": found,
    "DeviceLocation": st.builds(
        m.DeviceLocation,
        originator=originators,
        recipient=recipients,
        message_id=message_ids,
        transaction_id=maybe(given_ids),
        send_responses_to=maybe(ids),
        fix=st.sampled_from(m.FixType),
    ),
    "DeviceLocationResponse": st.builds(
        m.DeviceLocationResponse,
        originator=devices,
        recipient=recipients,
        response_to=message_ids,
        transaction_id=maybe(given_ids),
        result=failures
        | st.builds(
            m.LocationData,
            status=st.sampled_from(m.LocationStatus),
            fix=st.sampled_from(m.FixType),
            fixed=maybe(times),
            longitude=maybe(lines),
            latitude=maybe(lines),
            altitude=maybe(lines),
        ),
    ),
    "ReturnToSvc": st.builds(m.ReturnToSvc, address=ids),
    "Confirmation": st.builds(m.Confirmation, result=results),
    "SubmitClientResponse": st.builds(
        m.SubmitClientResponse,
        result=failures | st.builds(m.ClientSuccess, code=codes, tracking=ids, text=lines, detail=texts),
    ),
    "SendMsgMultiResponse": st.builds(
        m.SendMsgMultiResponse,
        result=results,
        max_recipients=numbers,
        valid=maybe(numbers),
        invalid=maybe(numbers),
        failed=st.lists(
            st.builds(m.FailedRecipient, recipient_id=ids, code=codes, text=lines), max_size=3
        ).map(tuple),
    ),
    "ClientQueryResponse": batches(m.ClientQueryResponse, client_messages),
    "PollResponse": batches(m.PollResponse, polled),
    "VersionResponse": st.builds(
        m.VersionResponse,
        responder=ids,
        result=failures
        | st.lists(
            st.builds(
                m.DtdSupport,
                dtd_name=ids,
                token=maybe(ids),
                support=st.sampled_from(m.Support),
                exceptions=st.booleans(),
                until=maybe(times),
                replacement=maybe(ids),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        contact=maybe(
            st.builds(
                m.ContactInfo, email=maybe(lines), phone=maybe(lines), www=maybe(lines), info=maybe(lines)
            )
        ),
        responded=maybe(times),
        inquirer=maybe(ids),
        asked=maybe(times),
        invalid_after=maybe(times),
    ),
}


def test_every_operation_of_1_3_goes_there_and_back() -> None:
    """The table above misses none but the one that ended with 1.0."""
    named = {one.name.removeprefix("wctp-") for one in (*m.Request.__args__, *m.Answer.__args__)}
    assert named == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_written_is_read_the_same(name: str) -> None:
    """Any value of any operation, and nothing has to be forgiven on the way."""

    @few
    @given(OPERATIONS[name], st.booleans())
    def there_and_back(said: Any, spell_out: bool) -> None:
        document = read(write(said, Dialect(spell_out=spell_out)))
        assert isinstance(document, m.Document), document
        assert document.operation == said
        assert document.quirks == ()

    there_and_back()


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_written_is_valid_in_its_version(name: str, version: Version) -> None:
    """By the DTD of that version; or it is refused, because that version has no such thing."""

    @settings(max_examples=6, deadline=None)
    @given(OPERATIONS[name], st.booleans())
    def valid(said: Any, spell_out: bool) -> None:
        dialect = Dialect(spelling=asking(version).spelling, doctype=DOCTYPES[version], spell_out=spell_out)
        try:
            written = write(said, dialect)
        except InvalidValue as problem:
            assert problem.reason == f"is not in WCTP {version}"
            assert version < Version.V1_3
            return
        document = read(written, STRICT)
        assert isinstance(document, m.Document), document
        assert document.version is version

    valid()


@pytest.mark.parametrize("action", m.Binding)
def test_binding_an_alias_is_1_0_only(action: m.Binding) -> None:
    """Read and written in 1.0, unknown ever after."""
    said = m.BindDomainAlias(
        action=action,
        alias=WctpId("hospital"),
        security_code=WctpSecret("K7"),
        deliver_to=WctpId("http://h/wctp") if action in (m.Binding.ADD, m.Binding.MODIFY) else None,
        new_security_code=WctpSecret("K8") if action is m.Binding.CHANGE_CODE else None,
    )
    document = read(write(said, asking(Version.V1_0)), STRICT)
    assert isinstance(document, m.Document)
    assert document.operation == said
    with pytest.raises(InvalidValue, match=r"is not in WCTP 1\.1"):
        write(said, asking(Version.V1_1))
    later = write(said, asking(Version.V1_0)).replace(b'"1.0"', b'"wctp-dtd-v1r1"', 2)
    later = later.replace(b'<?xml version="wctp-dtd-v1r1"', b'<?xml version="1.0"')
    assert refusal(read(later)).code is Code.OPERATION_NOT_SUPPORTED


# What is written


PAGE = m.SubmitRequest(
    originator=m.Originator(sender_id=WctpId("noc"), security_code=WctpSecret("K7")),
    control=m.MessageControl(message_id=MessageId("m-1"), priority=m.Priority.HIGH),
    recipient=m.Recipient(recipient_id=WctpId("5550104477")),
    payload=m.Alphanumeric(text=WctpText('a & b < c > d "e"\r\nf')),
    submitted=datetime(2026, 11, 21, 18, 30, tzinfo=timezone(timedelta(hours=1))),
)
HEADER = m.ResponseHeader(
    originator=m.Originator(sender_id=WctpId("5550104477")),
    control=m.MessageControl(message_id=MessageId("gw-1")),
    recipient=m.Recipient(recipient_id=WctpId("noc")),
    response_to=MessageId("m-1"),
)


def test_a_page_octet_by_octet() -> None:
    """The order of the DTD, no attribute that has its default, times in UTC without a zone letter."""
    assert write(PAGE, asking()) == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<!DOCTYPE wctp-Operation SYSTEM "http://dtd.wctp.org/wctp-dtd-v1r3.dtd">\n'
        b'<wctp-Operation wctpVersion="wctp-dtd-v1r3"><wctp-SubmitRequest>'
        b'<wctp-SubmitHeader submitTimestamp="2026-11-21T17:30:00">'
        b'<wctp-Originator senderID="noc" securityCode="K7"/>'
        b'<wctp-MessageControl messageID="m-1" deliveryPriority="HIGH"/>'
        b'<wctp-Recipient recipientID="5550104477"/></wctp-SubmitHeader>'
        b'<wctp-Payload><wctp-Alphanumeric>a &amp; b &lt; c &gt; d "e"&#13;\nf</wctp-Alphanumeric>'
        b"</wctp-Payload></wctp-SubmitRequest></wctp-Operation>\n"
    )


@pytest.mark.parametrize(
    ("declaration", "begins"),
    [
        (Declaration.FULL, b'<?xml version="1.0" encoding="UTF-8"?>\n<wctp-Operation'),
        (Declaration.PLAIN, b'<?xml version="1.0"?>\n<wctp-Operation'),
        (Declaration.NONE, b"<wctp-Operation"),
    ],
)
def test_the_declaration_is_what_a_carrier_wants(declaration: Declaration, begins: bytes) -> None:
    """One carrier refused the full one."""
    assert write(PAGE, Dialect(declaration=declaration)).startswith(begins)


@pytest.mark.parametrize(
    "spelling",
    ["wctp-dtd-v1r1", "WCTP-DTD-V1R1", "wctp-dtd-v1r1.dtd", "1.1", "1.3", "wctp-dtd-ihepcd-pcd06-v1r2"],
)
def test_an_answer_repeats_the_spelling_of_the_version(spelling: str) -> None:
    """A client that wrote it so cannot read another one."""
    heard = read(submit(version=f'wctpVersion="{spelling}"'))
    assert isinstance(heard, m.Document)
    answer = write(m.Confirmation(result=m.success("taken")), answering(heard))
    assert f'wctpVersion="{spelling}"'.encode() in answer
    assert b"DOCTYPE" not in answer


def test_the_spelling_of_a_document_that_cannot_be_read_is_repeated_too() -> None:
    """Once the version was read, failures speak it."""
    problem = refusal(read(submit(version='wctpVersion="WCTP-DTD-V1R1"', payload="")))
    assert b'wctpVersion="WCTP-DTD-V1R1"' in write(m.Confirmation(result=problem.failure), answering(problem))


def test_a_doctype_is_repeated_only_if_it_is_listed() -> None:
    """There are clients that fetch what an answer names, and fail if that fails."""
    url = "http://carrier.example/wctp-dtd-v1r3.dtd"
    heard = read(submit(prolog=f'<!DOCTYPE wctp-Operation SYSTEM "{url}">'))
    assert isinstance(heard, m.Document)
    assert heard.doctype == url
    assert answering(heard).doctype is None
    assert answering(heard, ["http://other.example/x.dtd"]).doctype is None
    assert answering(heard, [url]).doctype == url


def test_a_version_nobody_knows_is_never_written() -> None:
    """Neither a word of our own nor one of a peer's that is too long."""
    for spelling in ("wctp-dtd-v9r9", "", " " * 100 + "1.3"):
        with pytest.raises(InvalidValue):
            write(PAGE, Dialect(spelling=spelling))


def test_an_empty_result_is_given_a_text() -> None:
    """A client of the field fails on an empty element or a missing text."""
    written = write(m.Confirmation(result=m.Success(code=200)))
    assert b'successText="Acknowledged">Acknowledged</wctp-Success>' in written
    assert b">OK</wctp-Failure>" in write(m.Confirmation(result=m.Failure(code=999)))


def test_605_or_606_by_the_version_of_the_peer() -> None:
    """An old peer knows only 605."""
    assert [m.unavailable(version) for version in Version] == [605, 605, 606, 606]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (m.Confirmation(result=m.Failure(code=None)), "errorCode"),
        (m.Confirmation(result=m.Failure(code=-1)), "errorCode"),
        (m.SubmitClientResponse(result=m.ClientSuccess(code=200, tracking=None)), "trackingNumber"),
        (m.StatusInfo(header=HEADER, result=m.Notification(event=m.Event.OTHER)), "type"),
    ],
)
def test_what_must_be_there_must_be_there_to_be_written(said: m.Operation, field: str) -> None:
    """Values of peers can be poorer than what we may say."""
    with pytest.raises(InvalidValue) as caught:
        write(said)
    assert caught.value.field == field


def test_a_password_has_no_place_in_a_transient_message() -> None:
    """It would be lost without a word; carriers read it from miscInfo."""
    said = m.SubmitClientMessage(originator=PAGE.originator, recipient=PAGE.recipient, payload=PAGE.payload)
    with pytest.raises(InvalidValue, match="miscInfo"):
        write(said)


def test_items_that_could_not_be_read_are_not_written() -> None:
    """They are for the one who read them."""
    bad = m.Unreadable(code=Code.NOT_VALID, reason="no")
    with pytest.raises(InvalidValue):
        write(m.PollResponse(messages=(m.PolledMessage(sequence=WctpId("1"), content=bad),)))
    with pytest.raises(InvalidValue):
        write(m.ClientQueryResponse(messages=(bad,)))
    with pytest.raises(InvalidValue):
        m.PollResponse(
            messages=(m.PolledMessage(sequence=WctpId("1"), content=bad),), failure=m.Failure(code=600)
        )


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_no_text_breaks_a_document(text: str) -> None:
    """Whatever is put in as plain text: it comes back as it was, or it is refused before it is written."""
    said = m.SubmitRequest(
        originator=m.Originator(sender_id=text or "x", misc_info=text),  # type: ignore[arg-type]
        control=m.MessageControl(message_id=MessageId("m"), preformatted=True),
        recipient=PAGE.recipient,
        payload=m.Alphanumeric(text=text),  # type: ignore[arg-type]
    )
    try:
        document = read(write(said), Tolerance())
    except InvalidValue:
        with pytest.raises(InvalidValue):
            WctpText(text)
        return
    if isinstance(document, m.Document):
        assert request(document).payload == said.payload
    else:
        assert document.code is Code.NOT_VALID  # an id of blanks or controls is well-formed, but no id


# Types and texts


@pytest.mark.parametrize("bad", ["a\x00", "\x1b[0m", "\ud800", "\ufffe", "x" * 65_536])
def test_a_text_has_only_what_xml_can_carry(bad: str) -> None:
    """Nothing else can be built, not even as a reference could it be sent."""
    with pytest.raises(InvalidValue):
        WctpText(bad)


@pytest.mark.parametrize("bad", ["", "  ", "a\nb", "a\tb", "a\x85b", "a\u2028b", "x" * 256])
def test_an_id_is_one_line_of_something(bad: str) -> None:
    """Ids go into attributes, logs and answers."""
    with pytest.raises(InvalidValue) as caught:
        WctpId(bad)
    assert caught.value.field == "id"


@pytest.mark.parametrize("bad", ["<b>", "a>b", "a\nb", "x" * 256])
def test_a_message_id_is_no_markup(bad: str) -> None:
    """It may be empty, which is seen in the field."""
    assert MessageId("") == ""
    with pytest.raises(InvalidValue):
        MessageId(bad)


@pytest.mark.parametrize("bad", ["", 'a"b', "a'b", "a>b", "a b", "a\n", "ä", "x" * 256])
def test_a_doctype_url_cannot_end_its_quotes(bad: str) -> None:
    """Nothing in a DOCTYPE can be escaped."""
    with pytest.raises(InvalidValue):
        DoctypeUrl(bad)


def test_a_secret_does_not_show_in_a_repr() -> None:
    """Passwords never reach a log by way of a value that is printed."""
    assert "K7" not in repr(PAGE)


def test_text_of_makes_one_of_anything() -> None:
    """A blank for what XML cannot carry; line ends stay. A line is one line, cut."""
    assert text_of("a\x00b\x1b\nc\ud800") == "a b \nc "
    assert line_of("a\r\nb\u2028c\ufffe" + "x" * 300) == "a  b c " + "x" * 248
    with pytest.raises(InvalidValue):
        text_of("x" * 65_536)


# Times


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-21T17:30:00", "2026-11-21T17:30:00"),
        ("2026-11-21 17:30:00", "2026-11-21T17:30:00"),
        ("2026-11-21T17:30", "2026-11-21T17:30:00"),
        ("2026-11-21T17:30:00Z", "2026-11-21T17:30:00"),
        ("2026-11-21T17:30:00.000Z", "2026-11-21T17:30:00"),
        ("2026-11-21T17:30:00.123456789", "2026-11-21T17:30:00"),
        ("2026-11-21T18:30:00+01:00", "2026-11-21T17:30:00"),
        ("2026-11-21T12:00:00-0530", "2026-11-21T17:30:00"),
        (" 2026-11-21T17:30:00 ", "2026-11-21T17:30:00"),
    ],
)
def test_times_of_the_field_are_read(text: str, said: str) -> None:
    """All mean UTC where they name nothing else."""
    assert format_time(parse_time(text)) == said


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "now",
        "2026-11-21",
        "2026-02-30T00:00:00",
        "2026-11-21T24:00:00",
        "2026-11-21T17:30:00+99:00",
        "2026-11-21T17:30:00+01:99",
        "0001-01-01T00:00:00+10:00",
        "２026-11-21T17:30:00",
    ],
)
def test_what_is_no_time_is_refused(bad: str) -> None:
    """With a reason."""
    with pytest.raises(InvalidValue) as caught:
        parse_time(bad)
    assert caught.value.field == "time"


def test_a_time_without_zone_cannot_be_written() -> None:
    """Nobody would know what it means."""
    with pytest.raises(InvalidValue):
        format_time(datetime(2026, 11, 21))
    with pytest.raises(InvalidValue):
        format_time(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=10))))


# Codes and versions


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (200, Kind.SUCCESS),
        (210, Kind.SUCCESS),
        (211, Kind.SUCCESS),
        (300, Kind.CONFIGURATION),
        (304, Kind.TEMPORARY),
        (399, Kind.CONFIGURATION),
        (401, Kind.CONFIGURATION),
        (402, Kind.CONFIGURATION),
        (403, Kind.PERMANENT),
        (411, Kind.PERMANENT),
        (432, Kind.CONFIGURATION),
        (499, Kind.PERMANENT),
        (500, Kind.PERMANENT),
        (599, Kind.PERMANENT),
        (600, Kind.TEMPORARY),
        (606, Kind.TEMPORARY),
        (699, Kind.TEMPORARY),
        (0, Kind.TEMPORARY),
        (999, Kind.TEMPORARY),
        (None, Kind.TEMPORARY),
    ],
)
def test_a_code_asks_for_one_of_four_things(code: int | None, kind: Kind) -> None:
    """By the table, else by the first digit; what nobody knows may be tried again."""
    assert m.kind_of(code) is kind


def test_every_code_has_a_meaning() -> None:
    """It is what we write into our answers."""
    assert set(m.MEANINGS) == set(Code)


@pytest.mark.parametrize(
    ("spelling", "version"),
    [
        ("wctp-dtd-v1r3", Version.V1_3),
        ("WCTP-DTD-V1R3", Version.V1_3),
        ("wctp-dtd-v1r3.dtd", Version.V1_3),
        ("1.3", Version.V1_3),
        ("wctp-dtd-v1r2", Version.V1_2),
        ("wctp-dtd-v1r1.DTD", Version.V1_1),
        ("1.0", Version.V1_0),
        ("wctpv1-0", Version.V1_0),
        ("wctp-dtd-ihepcd-pcd06-v1r1", Version.V1_3),
        ("wctp-dtd-v2r0", None),
        ("", None),
    ],
)
def test_versions_are_known_in_every_spelling_seen(spelling: str, version: Version | None) -> None:
    """In any case, with or without .dtd."""
    assert m.version_of(spelling) is version


@pytest.mark.parametrize(
    ("version", "prolog", "means"),
    [
        ("", '<!DOCTYPE wctp-Operation SYSTEM "http://x.example/dtd/wctp-dtd-v1r1.dtd">', Version.V1_1),
        (
            'wctpVersion=""',
            '<!DOCTYPE wctp-Operation SYSTEM "http://wctp.arch.com/DTD/wctpv1-0.dtd">',
            Version.V1_0,
        ),
        ("", '<!DOCTYPE wctp-Operation PUBLIC "-//x" "wctp-dtd-v1r2.dtd">', Version.V1_2),
        ("", "", Version.V1_3),
        (
            'wctpVersion="wctp-dtd-v1r3"',
            '<!DOCTYPE wctp-Operation SYSTEM "http://x.example/wctp-dtd-v1r1.dtd">',
            Version.V1_3,
        ),
    ],
)
def test_the_doctype_helps_where_the_version_is_missing(version: str, prolog: str, means: Version) -> None:
    """Where both are there and differ, wctpVersion wins; where both are missing it is the latest."""
    document = read(submit(version=version, prolog=prolog))
    assert isinstance(document, m.Document)
    assert document.version is means


def test_binary_data_have_the_default_of_their_version() -> None:
    """Without an encoding 1.0 means the characters themselves, later versions base64."""
    payload = "<wctp-TransparentData>QUJD</wctp-TransparentData>"
    old = request(read(submit(version='wctpVersion="1.0"', payload=payload)))
    assert old.payload == m.TransparentData(data=b"QUJD", encoding=m.Encoding.STANDARD)
    new = request(read(submit(payload=payload)))
    assert new.payload == m.TransparentData(data=b"ABC")


@pytest.mark.parametrize(("version", "word"), [(Version.V1_1, b"FLEXsuite"), (Version.V1_2, b"FLEXSuite")])
def test_flexsuite_is_spelled_as_its_version_spells_it(version: Version, word: bytes) -> None:
    """Two spellings in four versions; both are read."""
    said = m.SubmitRequest(
        originator=PAGE.originator,
        control=PAGE.control,
        recipient=PAGE.recipient,
        payload=m.TransparentData(data=b"x", type=m.DataType.FLEX_SUITE),
    )
    written = write(said, asking(version))
    assert b'type="' + word + b'"' in written
    for spelling in (b"FLEXSuite", b"FLEXsuite"):
        assert request(read(written.replace(word, spelling))).payload == said.payload


def test_whitespace_belongs_to_the_text_only_where_it_is_formatted() -> None:
    """Samples of carriers indent the text."""
    text = "\n    Shift 06-14\n    A: Ruiz\n  "
    assert request(read(submit(text))).payload == m.Alphanumeric(text=WctpText(text.strip()))
    kept = submit(text, control='<wctp-MessageControl messageID="m" preformatted="true"/>')
    assert request(read(kept)).payload == m.Alphanumeric(text=WctpText(text))
