"""What is said in WCTP 1.0 to 1.3, as values: every operation, payloads, result codes, versions.

One HTTP POST carries one document with one operation, its answer another. The types `WctpText`, `WctpLine`,
`WctpId`, `MessageId`, `WctpSecret` and `DoctypeUrl` check what they are built from, so a value of them cannot
hold a character that XML 1.0 cannot carry. Sources: docs/protocols/wctp.md.
"""

import re
from datetime import datetime
from enum import Enum, IntEnum
from typing import ClassVar, Self

from msgspec import Struct

from protocols.errors import InvalidValue as InvalidValue

MAX_TEXT = 65_535  # characters of a text; the widest client library has the same
MAX_LINE = 255  # characters of an id or a line; 1.3 names 128, 1.1 names 254, the field sends more than 128
MAX_VERSION_NAME = 64  # characters of a wctpVersion that we echo; ours


# What may go into a document


class WctpText(str):
    """Characters that XML 1.0 can carry, 0 to `MAX_TEXT`, line ends included. `codec.text_of` makes one."""

    __slots__ = ()
    _what, _limit = "text", MAX_TEXT
    _form = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")

    def __new__(cls, value: str) -> Self:
        if len(value) > cls._limit:
            raise InvalidValue(cls._what, "is too long", cls._limit)
        if not cls._form.fullmatch(value):
            raise InvalidValue(cls._what, "has characters that are not allowed" if value else "is missing")
        return super().__new__(cls, value)


class WctpLine(WctpText):
    """A text without control characters and line ends, 0 to `MAX_LINE` characters."""

    __slots__ = ()
    _what, _limit = "line", MAX_LINE
    _form = re.compile("[\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


class WctpId(WctpLine):
    """An address, login or number that somebody gave: a line of at least one character that is no blank."""

    __slots__ = ()
    _what = "id"

    def __new__(cls, value: str) -> Self:
        if not value.strip():
            raise InvalidValue(cls._what, "is missing")
        return super().__new__(cls, value)


class MessageId(WctpLine):
    """A message or transaction id; may be empty. Opaque, but never markup: it comes back in our answers."""

    __slots__ = ()
    _what = "message id"
    _form = re.compile("[\x20-;=?-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


class WctpSecret(WctpLine):
    """A password, or free text where peers put one (miscInfo): a line whose repr does not show it."""

    __slots__ = ()
    _what = "secret"

    def __repr__(self) -> str:
        return "WctpSecret(…)"


class DoctypeUrl(WctpLine):
    """The system identifier of a DOCTYPE: printable ASCII without blanks, quotes and angle brackets."""

    __slots__ = ()
    _what, _form = "DOCTYPE url", re.compile(r"[!#-&(-;=?-~]+", re.ASCII)


# Versions


class Version(IntEnum):
    V1_0 = 10
    V1_1 = 11
    V1_2 = 12
    V1_3 = 13

    def __str__(self) -> str:
        return f"1.{self % 10}"


LATEST = "wctp-dtd-v1r3"
VERSIONS = {  # spellings of wctpVersion, in lower case and without .dtd
    "1.0": Version.V1_0,
    "wctpv1-0": Version.V1_0,
    "wctp-dtd-v1r0": Version.V1_0,
    "1.1": Version.V1_1,
    "wctp-dtd-v1r1": Version.V1_1,
    "1.2": Version.V1_2,
    "wctp-dtd-v1r2": Version.V1_2,
    "1.3": Version.V1_3,
    "wctp-dtd-v1r3": Version.V1_3,
    "wctp-dtd-ihepcd-pcd06-v1r1": Version.V1_3,  # the hospital extension; what it adds is ignored
    "wctp-dtd-ihepcd-pcd06-v1r2": Version.V1_3,
}


def version_of(spelling: str) -> Version | None:
    """The version that a wctpVersion or the name of a DTD means, in any case; None for one nobody knows."""
    return VERSIONS.get(spelling.strip().lower().removesuffix(".dtd"))


# Result codes


class Kind(Enum):
    """What a result code asks of the one who hears it."""

    SUCCESS = "success"
    CONFIGURATION = "configuration"  # the peer or its settings are at fault: the same again fails again
    PERMANENT = "permanent"  # this message or device: never
    TEMPORARY = "temporary"  # repeat later


class Code(IntEnum):
    """The codes that we may say. A peer may say others: `kind_of` classes any number."""

    OK = 200
    OK_OLD_VERSION = 210
    OPERATION_NOT_SUPPORTED = 300
    CANNOT_PARSE = 301
    NOT_VALID = 302
    VERSION_NOT_SUPPORTED = 303
    POLL_FIRST = 304
    FUNCTION_NOT_SUPPORTED = 400
    INVALID_SENDER = 401
    INVALID_SECURITY_CODE = 402
    INVALID_RECIPIENT = 403
    INVALID_AUTHORIZATION = 404
    INVALID_TIME = 405
    CONTRADICTORY_TIMES = 406
    TIME_OUT_OF_RANGE = 407
    TIME_PAST = 408
    ALIAS_NOT_UNIQUE = 409
    ALIAS_DENIED = 410
    TOO_LONG = 411
    DEVICE_NO_DELIVERY_ACK = 412
    DEVICE_NO_READ_ACK = 413
    DEVICE_NO_MCR = 414
    CHOICE_TOO_LONG = 415
    TOO_MANY_CHOICES = 416
    NO_DELIVERY_ACK = 417
    NO_READ_ACK = 418
    NO_MCR = 419
    NO_BINARY = 430
    SUBSCRIBER_LIMIT = 431
    INVALID_POLLER = 432
    TIMED_OUT = 500
    EXPIRED = 501
    NO_MORE_RESPONSES = 502
    SENDER_DISABLED = 503
    UNKNOWN_REFERENCE = 504
    POLL_RATE = 600
    EXCESSIVE_POLLING = 601
    TRAFFIC_RATE = 602
    EXCESSIVE_TRAFFIC = 603
    INTERNAL_ERROR = 604
    UNAVAILABLE_OLD = 605
    UNAVAILABLE = 606


MEANINGS: dict[int, str] = {  # what we write into successText and errorText
    Code.OK: "Acknowledged",
    Code.OK_OLD_VERSION: "Acknowledged, this version is deprecated",
    Code.OPERATION_NOT_SUPPORTED: "Operation not supported",
    Code.CANNOT_PARSE: "Cannot parse input",
    Code.NOT_VALID: "XML validation error",
    Code.VERSION_NOT_SUPPORTED: "Version not supported",
    Code.POLL_FIRST: "Poll for messages first",
    Code.FUNCTION_NOT_SUPPORTED: "Function not supported",
    Code.INVALID_SENDER: "Invalid senderID",
    Code.INVALID_SECURITY_CODE: "Invalid securityCode",
    Code.INVALID_RECIPIENT: "Invalid recipientID",
    Code.INVALID_AUTHORIZATION: "Invalid authorizationCode",
    Code.INVALID_TIME: "Invalid date or time",
    Code.CONTRADICTORY_TIMES: "Unsupported combination of times",
    Code.TIME_OUT_OF_RANGE: "Time outside of the supported period",
    Code.TIME_PAST: "Time already past",
    Code.ALIAS_NOT_UNIQUE: "Domain alias not unique",
    Code.ALIAS_DENIED: "Domain alias access denied",
    Code.TOO_LONG: "Message exceeds allowable length",
    Code.DEVICE_NO_DELIVERY_ACK: "Delivery acknowledgement not supported by the device",
    Code.DEVICE_NO_READ_ACK: "Read acknowledgement not supported by the device",
    Code.DEVICE_NO_MCR: "Multiple choice not supported by the device",
    Code.CHOICE_TOO_LONG: "Choices exceed allowable length",
    Code.TOO_MANY_CHOICES: "Too many choices",
    Code.NO_DELIVERY_ACK: "Delivery acknowledgement not supported",
    Code.NO_READ_ACK: "Read acknowledgement not supported",
    Code.NO_MCR: "Multiple choice not supported",
    Code.NO_BINARY: "Binary message not supported",
    Code.SUBSCRIBER_LIMIT: "Subscriber limit exceeded",
    Code.INVALID_POLLER: "Invalid pollerID or securityCode",
    Code.TIMED_OUT: "Message timed out",
    Code.EXPIRED: "Message expired",
    Code.NO_MORE_RESPONSES: "No further responses possible",
    Code.SENDER_DISABLED: "Sender permanently disabled",
    Code.UNKNOWN_REFERENCE: "Unknown message reference",
    Code.POLL_RATE: "Poll rate exceeded",
    Code.EXCESSIVE_POLLING: "Excessive polling",
    Code.TRAFFIC_RATE: "Traffic rate exceeded",
    Code.EXCESSIVE_TRAFFIC: "Traffic rate excessive",
    Code.INTERNAL_ERROR: "Internal server error",
    Code.UNAVAILABLE_OLD: "Service unavailable",
    Code.UNAVAILABLE: "Service unavailable",
}
# What does not follow from the first digit; every other 3xx is CONFIGURATION, 4xx and 5xx PERMANENT.
_KINDS: dict[int, Kind] = {
    Code.POLL_FIRST: Kind.TEMPORARY,
    Code.INVALID_SENDER: Kind.CONFIGURATION,
    Code.INVALID_SECURITY_CODE: Kind.CONFIGURATION,
    Code.INVALID_POLLER: Kind.CONFIGURATION,
}
_KINDS_OF_DIGIT = {2: Kind.SUCCESS, 3: Kind.CONFIGURATION, 4: Kind.PERMANENT, 5: Kind.PERMANENT}


def kind_of(code: int | None) -> Kind:
    """By code where it is listed, else by first digit; anything else, and no number at all, is temporary.

    Peers use wrong numbers: nothing finer than this class should be built on a code of somebody else's.
    """
    if code is None:
        return Kind.TEMPORARY
    return _KINDS.get(code) or _KINDS_OF_DIGIT.get(code // 100, Kind.TEMPORARY)


def unavailable(version: Version) -> Code:
    """How a peer of this version is told to come back later."""
    return Code.UNAVAILABLE if version >= Version.V1_2 else Code.UNAVAILABLE_OLD


class Success(Struct, frozen=True, kw_only=True):
    """*text*: successText; *detail*: the text inside. *code* is None where a peer's was no number."""

    code: int | None
    text: WctpLine = WctpLine("")
    detail: WctpText = WctpText("")

    @property
    def kind(self) -> Kind:
        return kind_of(self.code)


class Failure(Struct, frozen=True, kw_only=True):
    """*text*: errorText; *detail*: the text inside. *code* is None where a peer's was no number."""

    code: int | None
    text: WctpLine = WctpLine("")
    detail: WctpText = WctpText("")

    @property
    def kind(self) -> Kind:
        return kind_of(self.code)


class ClientSuccess(Struct, frozen=True, kw_only=True):
    """A transient message was taken; *tracking* asks for its status. None where a peer gave none."""

    code: int | None
    tracking: WctpId | None
    text: WctpLine = WctpLine("")
    detail: WctpText = WctpText("")

    @property
    def kind(self) -> Kind:
        return kind_of(self.code)


def success(detail: str, code: Code = Code.OK) -> Success:
    """Ours: with both texts, because a client of the field fails on an empty element."""
    return Success(code=code, text=WctpLine(MEANINGS[code]), detail=WctpText(detail))


def failure(code: Code, detail: str) -> Failure:
    """Ours: with both texts."""
    return Failure(code=code, text=WctpLine(MEANINGS[code]), detail=WctpText(detail or MEANINGS[code]))


# Who, whom, how


class Originator(Struct, frozen=True, kw_only=True):
    """Who sends. Transient clients have no *security_code*: their password goes into *misc_info*."""

    sender_id: WctpId
    security_code: WctpSecret | None = None
    misc_info: WctpSecret | None = None


class Recipient(Struct, frozen=True, kw_only=True):
    recipient_id: WctpId
    authorization_code: WctpSecret | None = None


class Priority(Enum):
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


class ClientControl(Struct, frozen=True, kw_only=True):
    """How a message is to go; the defaults are those of every version.

    *send_responses_to* is an address that a peer chose: it is copied into answers and never connected to.
    *deliver_after*, *deliver_before*: aware. *allow_truncation*: a text too long may be cut. *preformatted*:
    line ends and blanks are meant.
    """

    send_responses_to: WctpId | None = None
    allow_response: bool = True
    notify_when_queued: bool = False
    notify_when_delivered: bool = False
    notify_when_read: bool = False
    priority: Priority = Priority.NORMAL
    deliver_after: datetime | None = None
    deliver_before: datetime | None = None
    preformatted: bool = False
    allow_truncation: bool = True


class MessageControl(ClientControl, frozen=True, kw_only=True):
    """*message_id* comes back as `ResponseHeader.response_to`; it is not unique in the field, and may be
    empty."""

    message_id: MessageId
    transaction_id: MessageId | None = None


class MultiControl(MessageControl, frozen=True, kw_only=True):
    """*all_recipients_required*: one bad recipient fails the whole."""

    all_recipients_required: bool = False


# Payloads


class Alphanumeric(Struct, frozen=True, kw_only=True):
    text: WctpText


class Encoding(Enum):
    STANDARD = "standard"  # the octets are the characters, as UTF-8
    BASE64 = "base64"


class DataType(Enum):
    OPAQUE = "OPAQUE"
    FLEX_SUITE = "FLEXSuite"  # 1.1 spells it FLEXsuite


class TransparentData(Struct, frozen=True, kw_only=True):
    data: bytes
    type: DataType = DataType.OPAQUE
    encoding: Encoding = Encoding.BASE64


class Choice(Struct, frozen=True, kw_only=True):
    """An answer that is shown and comes back as it is."""

    text: WctpText


class ChoicePair(Struct, frozen=True, kw_only=True):
    """An answer that is shown as *send* and comes back as *reply*, or as *send* without one. Since 1.2."""

    send: WctpText
    reply: WctpText | None = None


class MultipleChoice(Struct, frozen=True, kw_only=True):
    """wctp-MCR. A peer's may come without choices; ours must have one."""

    text: WctpText
    choices: tuple[Choice | ChoicePair, ...]


Payload = Alphanumeric | TransparentData | MultipleChoice


# Operations: asked by one side, answered by another. *submitted* and the other times are aware


class SubmitRequest(Struct, frozen=True, kw_only=True):
    """A message to one device; from a carrier: one that a device originated."""

    name: ClassVar[str] = "wctp-SubmitRequest"
    originator: Originator
    control: MessageControl
    recipient: Recipient
    payload: Payload
    submitted: datetime | None = None


class SendMsgMulti(Struct, frozen=True, kw_only=True):
    """A message to several devices. Since 1.2."""

    name: ClassVar[str] = "wctp-SendMsgMulti"
    originator: Originator
    control: MultiControl
    recipients: tuple[Recipient, ...]
    payload: Payload
    submitted: datetime | None = None


class SubmitClientMessage(Struct, frozen=True, kw_only=True):
    """A transient client's message."""

    name: ClassVar[str] = "wctp-SubmitClientMessage"
    originator: Originator
    recipient: Recipient
    payload: Payload
    control: ClientControl = ClientControl()
    submitted: datetime | None = None


class ClientQuery(Struct, frozen=True, kw_only=True):
    name: ClassVar[str] = "wctp-ClientQuery"
    sender_id: WctpId
    recipient_id: WctpId
    tracking: WctpId


class ResponseHeader(Struct, frozen=True, kw_only=True):
    """Of a reply or a status. *response_to*: messageID of what it is about; *responded*: when it happened;
    *responding_to*: when that was submitted; *on_behalf_of*: the first recipient, if another one answered."""

    originator: Originator
    control: MessageControl
    recipient: Recipient
    response_to: MessageId
    responded: datetime | None = None
    responding_to: datetime | None = None
    on_behalf_of: WctpId | None = None


class MessageReply(Struct, frozen=True, kw_only=True):
    """*multiple_choice*: a choice was taken (1.2 and later say so; do not depend on it)."""

    name: ClassVar[str] = "wctp-MessageReply"
    header: ResponseHeader
    payload: Payload
    multiple_choice: bool = False


class Event(Enum):
    QUEUED = "QUEUED"
    DELIVERED = "DELIVERED"
    READ = "READ"
    OTHER = "OTHER"  # a type we do not know (hospital extension); heard, never said


class Notification(Struct, frozen=True, kw_only=True):
    event: Event


class StatusInfo(Struct, frozen=True, kw_only=True):
    """A `Failure` in it means: will not be delivered."""

    name: ClassVar[str] = "wctp-StatusInfo"
    header: ResponseHeader
    result: Notification | Failure


class MessageReceived(Struct, frozen=True, kw_only=True):
    """A poller has dealt with what had this *sequence*; both results take it out of the queue."""

    sequence: WctpId
    result: Success | Failure


class PollForMessages(Struct, frozen=True, kw_only=True):
    name: ClassVar[str] = "wctp-PollForMessages"
    poller_id: WctpId
    security_code: WctpSecret | None = None
    max_messages: int | None = None
    received: tuple[MessageReceived, ...] = ()


class VersionQuery(Struct, frozen=True, kw_only=True):
    """Since 1.1, which alone has *list_dtds* and *list_configuration*."""

    name: ClassVar[str] = "wctp-VersionQuery"
    inquirer: WctpId
    asked: datetime | None = None
    list_dtds: bool = False
    list_configuration: bool = False


class LookupSubscriber(Struct, frozen=True, kw_only=True):
    name: ClassVar[str] = "wctp-LookupSubscriber"
    originator: Originator
    recipient: Recipient
    message_id: MessageId
    transaction_id: MessageId | None = None
    send_responses_to: WctpId | None = None


class LookupData(Struct, frozen=True, kw_only=True):
    """*max_length* in characters; None where a peer's was no number."""

    max_length: int | None
    multiple_choice: bool | None = None
    can_respond: bool | None = None


class LookupResponse(Struct, frozen=True, kw_only=True):
    name: ClassVar[str] = "wctp-LookupResponse"
    originator: Originator
    recipient: Recipient
    response_to: MessageId
    result: LookupData | Failure
    transaction_id: MessageId | None = None


class FixType(Enum):
    APPROXIMATE = "approximate"
    ESTIMATED = "estimated"
    PRECISE = "precise"


class LocationStatus(Enum):
    OK = "ok"
    INVALID = "invalid"
    NO_ALTITUDE = "noalt"
    NO_POSITION = "nolonglat"
    STALE = "stale"


class DeviceLocation(Struct, frozen=True, kw_only=True):
    """Since 1.3."""

    name: ClassVar[str] = "wctp-DeviceLocation"
    originator: Originator
    recipient: Recipient
    message_id: MessageId
    transaction_id: MessageId | None = None
    send_responses_to: WctpId | None = None
    fix: FixType = FixType.ESTIMATED


class LocationData(Struct, frozen=True, kw_only=True):
    """The numbers are as the peer wrote them; their units are nowhere confirmed."""

    status: LocationStatus
    fix: FixType
    fixed: datetime | None = None
    longitude: WctpLine | None = None
    latitude: WctpLine | None = None
    altitude: WctpLine | None = None


class DeviceLocationResponse(Struct, frozen=True, kw_only=True):
    name: ClassVar[str] = "wctp-DeviceLocationResponse"
    originator: Originator
    recipient: Recipient
    response_to: MessageId
    result: LocationData | Failure
    transaction_id: MessageId | None = None


class ReturnToSvc(Struct, frozen=True, kw_only=True):
    """A host is back at *address*. It names no credentials: a hint, never a new place to send to."""

    name: ClassVar[str] = "wctp-ReturnToSvc"
    address: WctpId


class Binding(Enum):
    ADD = "wctp-AddBinding"
    DELETE = "wctp-DeleteBinding"
    MODIFY = "wctp-ModifyBinding"
    CHANGE_CODE = "wctp-ChangeSecurityCode"


class BindDomainAlias(Struct, frozen=True, kw_only=True):
    """1.0 alone has it. *deliver_to*: of ADD and MODIFY; *new_security_code*: of CHANGE_CODE."""

    name: ClassVar[str] = "wctp-BindDomainAlias"
    action: Binding
    alias: WctpId
    security_code: WctpSecret
    deliver_to: WctpId | None = None
    new_security_code: WctpSecret | None = None


# Answers


class Confirmation(Struct, frozen=True, kw_only=True):
    """The answer to most operations, and to any that could not be read."""

    name: ClassVar[str] = "wctp-Confirmation"
    result: Success | Failure


class SubmitClientResponse(Struct, frozen=True, kw_only=True):
    name: ClassVar[str] = "wctp-SubmitClientResponse"
    result: ClientSuccess | Failure


class FailedRecipient(Struct, frozen=True, kw_only=True):
    recipient_id: WctpId
    code: int | None
    text: WctpLine = WctpLine("")


class SendMsgMultiResponse(Struct, frozen=True, kw_only=True):
    """*max_recipients*: how many one operation may have; None where a peer's was no number."""

    name: ClassVar[str] = "wctp-SendMsgMultiResponse"
    result: Success | Failure
    max_recipients: int | None
    valid: int | None = None
    invalid: int | None = None
    failed: tuple[FailedRecipient, ...] = ()


class ClientResponseHeader(Struct, frozen=True, kw_only=True):
    originator: Originator
    recipient: Recipient
    responded: datetime | None = None
    responding_to: datetime | None = None


class ClientMessageReply(Struct, frozen=True, kw_only=True):
    header: ClientResponseHeader
    payload: Payload
    multiple_choice: bool = False


class ClientStatusInfo(Struct, frozen=True, kw_only=True):
    header: ClientResponseHeader
    result: Notification | Failure


class Unreadable(Struct, frozen=True, kw_only=True):
    """A document, or an item in one, that cannot be read, and how its sender is told.

    *reason* and *place* (an element or attribute, or line and column) are safe to show: they repeat nothing
    of what was sent but names of elements. *limit*: which was passed. *spelling*: the wctpVersion to answer
    in. *status*: the HTTP status to answer with.
    """

    code: Code
    reason: str
    place: str = ""
    limit: int | None = None
    spelling: str = LATEST
    status: int = 200

    @property
    def failure(self) -> Failure:
        where = f" ({self.place})" if self.place else ""
        limit = f" (limit {self.limit})" if self.limit is not None else ""
        return failure(self.code, f"{self.reason}{limit}{where}")


class ClientQueryResponse(Struct, frozen=True, kw_only=True):
    """Messages, a failure, or neither: nothing yet. An item that cannot be read spoils no other."""

    name: ClassVar[str] = "wctp-ClientQueryResponse"
    messages: tuple[ClientMessageReply | ClientStatusInfo | Unreadable, ...] = ()
    failure: Failure | None = None
    min_next_poll: int | None = None

    def __post_init__(self) -> None:
        if self.messages and self.failure:
            raise InvalidValue(self.name, "has messages and a failure")


class PolledMessage(Struct, frozen=True, kw_only=True):
    """*sequence* is copied into the acknowledgement, also if *content* cannot be read."""

    sequence: WctpId
    content: SubmitRequest | MessageReply | StatusInfo | LookupResponse | Unreadable


class PollResponse(Struct, frozen=True, kw_only=True):
    """Messages, a failure, or neither: nothing there. *min_next_poll*: seconds."""

    name: ClassVar[str] = "wctp-PollResponse"
    messages: tuple[PolledMessage, ...] = ()
    failure: Failure | None = None
    min_next_poll: int | None = None

    def __post_init__(self) -> None:
        if self.messages and self.failure:
            raise InvalidValue(self.name, "has messages and a failure")


class ContactInfo(Struct, frozen=True, kw_only=True):
    email: WctpLine | None = None
    phone: WctpLine | None = None
    www: WctpLine | None = None
    info: WctpLine | None = None


class Support(Enum):
    SUPPORTED = "Supported"
    DEPRECATED = "Deprecated"
    NOT_SUPPORTED = "NotSupported"


class DtdSupport(Struct, frozen=True, kw_only=True):
    """*dtd_name* is a wctpVersion, *token* its wctpToken; *exceptions*: some operations are not offered."""

    dtd_name: WctpId
    token: WctpId | None = None
    support: Support = Support.SUPPORTED
    exceptions: bool = False
    until: datetime | None = None
    replacement: WctpId | None = None


class VersionResponse(Struct, frozen=True, kw_only=True):
    name: ClassVar[str] = "wctp-VersionResponse"
    responder: WctpId
    result: tuple[DtdSupport, ...] | Failure
    contact: ContactInfo | None = None
    responded: datetime | None = None
    inquirer: WctpId | None = None
    asked: datetime | None = None
    invalid_after: datetime | None = None
    list_dtds: bool = False
    list_configuration: bool = False


Request = (
    SubmitRequest
    | SendMsgMulti
    | SubmitClientMessage
    | ClientQuery
    | MessageReply
    | StatusInfo
    | PollForMessages
    | VersionQuery
    | LookupSubscriber
    | LookupResponse
    | DeviceLocation
    | DeviceLocationResponse
    | ReturnToSvc
)
Answer = (
    Confirmation
    | SubmitClientResponse
    | SendMsgMultiResponse
    | ClientQueryResponse
    | PollResponse
    | VersionResponse
)
Operation = Request | Answer | BindDomainAlias


class Document(Struct, frozen=True, kw_only=True):
    """What was read. *spelling*: the wctpVersion to answer with, as the peer writes it; *doctype*: the system
    identifier it named, never opened; *quirks*: what was forgiven, in words without anything it wrote."""

    operation: Operation
    version: Version
    spelling: str = LATEST
    token: WctpLine | None = None
    doctype: str | None = None
    quirks: tuple[str, ...] = ()
