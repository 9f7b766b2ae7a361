"""The DTDs of WCTP 1.0 to 1.3 as one table: what may stand where, in which order, since which version.

The reader takes names and defaults from here, the writer order and versions; `fault` is the strict check.
Names stand without their ``wctp-``. A content model has the DTD's own operators, blanks for its commas.
"""

import re
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Struct

from protocols.wctp import messages as m
from protocols.wctp.messages import MessageId, Version, WctpId, WctpLine, WctpSecret
from protocols.wctp.tree import Node

PREFIX = "wctp-"
TEXT = "#PCDATA"

V1_0, V1_1, V1_2, V1_3 = Version


class Words(Struct, frozen=True):
    """An enumeration: each spelling and its value; *default*: the DTD's, None for none; *unknown*: what a
    spelling that is none of them is taken for."""

    values: dict[str, Any]
    default: Any = None
    unknown: Any = None

    def spelling(self, value: object) -> str | None:
        return next((word for word, meant in self.values.items() if meant == value), None)

    def spelled(self, text: str) -> str | None:
        """The word that *text* is, in any case; None if it is none of them."""
        low = text.strip().lower()
        return next((word for word in self.values if word == text or word.lower() == low), None)


class Attribute(Struct, frozen=True):
    """*field*: of the value it belongs to. *kind*: `Words`, or what its CDATA is."""

    name: str
    field: str
    kind: Words | type[WctpLine] | type[int] | type[datetime]
    required: bool = False
    since: Version = V1_0
    until: Version = V1_3


class Element(Struct, frozen=True):
    """*models*: the content from a version on; *since*: of the element itself."""

    name: str
    models: dict[Version, str]
    attributes: tuple[Attribute, ...] = ()
    since: Version = V1_0
    until: Version = V1_3

    @property
    def text(self) -> bool:
        return TEXT in self.models.values()

    def model(self, version: Version) -> str:
        return next(said for since, said in reversed(self.models.items()) if since <= version)


def _words(kind: type[Enum], default: Enum | None = None, unknown: Enum | None = None) -> Words:
    values = {one.value: one for one in kind if one is not m.Event.OTHER}
    return Words(values, default, default if unknown is None else unknown)


def _flag(default: bool | None) -> Words:
    return Words({"true": True, "false": False}, default, default)


def _data_type(*flex: str) -> Words:
    values = {"OPAQUE": m.DataType.OPAQUE} | dict.fromkeys(flex, m.DataType.FLEX_SUITE)
    return Words(values, m.DataType.OPAQUE, m.DataType.OPAQUE)


_NO = Words({"yes": True, "no": False}, False, False)
_REQUIRED = True

_SUBMITTED = (Attribute("submitTimestamp", "submitted", datetime),)
_IDS = (
    Attribute("messageID", "message_id", MessageId, _REQUIRED),
    Attribute("transactionID", "transaction_id", MessageId),
)
_RESPONSES_TO = Attribute("sendResponsesToID", "send_responses_to", WctpId)
_CONTROL = (
    _RESPONSES_TO,
    Attribute("allowResponse", "allow_response", _flag(True)),
    Attribute("notifyWhenQueued", "notify_when_queued", _flag(False)),
    Attribute("notifyWhenDelivered", "notify_when_delivered", _flag(False)),
    Attribute("notifyWhenRead", "notify_when_read", _flag(False)),
    Attribute("deliveryPriority", "priority", _words(m.Priority, m.Priority.NORMAL)),
    Attribute("deliveryAfter", "deliver_after", datetime),
    Attribute("deliveryBefore", "deliver_before", datetime),
    Attribute("preformatted", "preformatted", _flag(False)),
    Attribute("allowTruncation", "allow_truncation", _flag(True)),
)
_RESPONDED = (
    Attribute("responseTimestamp", "responded", datetime),
    Attribute("respondingToTimestamp", "responding_to", datetime),
)
_RESPONSE_TO = (
    Attribute("responseToMessageID", "response_to", MessageId, _REQUIRED),
    Attribute("transactionID", "transaction_id", MessageId),
)
_BY_CHOICE = (Attribute("MCRMessageReply", "multiple_choice", _flag(False), since=V1_2),)
_WAIT = (Attribute("minNextPollInterval", "min_next_poll", int),)
_LISTS = (
    Attribute("listDTDs", "list_dtds", _NO, since=V1_1, until=V1_1),
    Attribute("listConfiguration", "list_configuration", _NO, since=V1_1, until=V1_1),
)
_SUCCESS = (
    Attribute("successCode", "code", int, _REQUIRED),
    Attribute("successText", "text", WctpLine),
)
_FAILURE = (
    Attribute("errorCode", "code", int, _REQUIRED),
    Attribute("errorText", "text", WctpLine),
)
_ALIAS = Attribute("domainAlias", "alias", WctpId, _REQUIRED)
_DELIVER_TO = Attribute("deliverToURI", "deliver_to", WctpId, _REQUIRED)
_ALIAS_CODE = Attribute("securityCode", "security_code", WctpSecret, _REQUIRED)

_V1_0 = (
    "SubmitRequest|MessageReply|StatusInfo|Confirmation|PollForMessages|PollResponse|SubmitClientMessage"
    "|SubmitClientResponse|ClientQuery|ClientQueryResponse|LookupSubscriber|LookupResponse"
)
_V1_1 = f"{_V1_0}|VersionQuery|VersionResponse"
_V1_2 = f"{_V1_1}|ReturnToSvc|SendMsgMulti|SendMsgMultiResponse"
OPERATIONS = {
    V1_0: f"({_V1_0}|BindDomainAlias)",
    V1_1: f"({_V1_1})",
    V1_2: f"({_V1_2})",
    V1_3: f"({_V1_2}|DeviceLocation|DeviceLocationResponse)",
}

ELEMENTS = {
    PREFIX + one.name: one
    for one in (
        Element(
            "Operation",
            OPERATIONS,
            (
                Attribute("wctpVersion", "spelling", WctpId, _REQUIRED),
                Attribute("wctpToken", "token", WctpLine, since=V1_1),
            ),
        ),
        Element("SubmitRequest", {V1_0: "SubmitHeader Payload"}),
        Element("SubmitHeader", {V1_0: "Originator MessageControl Recipient"}, _SUBMITTED),
        Element(
            "Originator",
            {V1_0: ""},
            (
                Attribute("senderID", "sender_id", WctpId, _REQUIRED),
                Attribute("securityCode", "security_code", WctpSecret),
                Attribute("miscInfo", "misc_info", WctpSecret),
            ),
        ),
        Element("MessageControl", {V1_0: ""}, (*_IDS, *_CONTROL)),
        Element(
            "Recipient",
            {V1_0: ""},
            (
                Attribute("recipientID", "recipient_id", WctpId, _REQUIRED),
                Attribute("authorizationCode", "authorization_code", WctpSecret),
            ),
        ),
        Element("Payload", {V1_0: "(MCR|Alphanumeric|TransparentData)"}),
        Element("Alphanumeric", {V1_0: TEXT}),
        Element(
            "TransparentData",
            {V1_0: TEXT},
            (
                Attribute("type", "type", _data_type("FLEXSuite"), until=V1_0),
                Attribute("type", "type", _data_type("FLEXsuite"), since=V1_1, until=V1_1),
                Attribute("type", "type", _data_type("FLEXSuite"), since=V1_2, until=V1_2),
                Attribute("type", "type", _data_type("FLEXSuite", "FLEXsuite"), since=V1_3),
                Attribute("encoding", "encoding", _words(m.Encoding)),  # its default depends on the version
            ),
        ),
        Element("MCR", {V1_0: "MessageText Choice+", V1_2: "MessageText (Choice|ChoicePair)+"}),
        Element("MessageText", {V1_0: TEXT}),
        Element("Choice", {V1_0: TEXT}),
        Element("ChoicePair", {V1_2: "SendChoice ReplyChoice?"}, since=V1_2),
        Element("SendChoice", {V1_2: TEXT}, since=V1_2),
        Element("ReplyChoice", {V1_2: TEXT}, since=V1_2),
        Element("SendMsgMulti", {V1_2: "MsgMultiHeader Payload"}, since=V1_2),
        Element("MsgMultiHeader", {V1_2: "Originator MsgMultiControl Recipient+"}, _SUBMITTED, V1_2),
        Element(
            "MsgMultiControl",
            {V1_2: ""},
            (*_IDS, *_CONTROL, Attribute("allRecipsRequired", "all_recipients_required", _flag(False))),
            V1_2,
        ),
        Element(
            "SendMsgMultiResponse",
            {V1_2: "(Failure|Success) FailedRecipient*"},
            (
                Attribute("maxNumRecips", "max_recipients", int, _REQUIRED),
                Attribute("numValidRecips", "valid", int),
                Attribute("numInvalidRecips", "invalid", int),
            ),
            V1_2,
        ),
        Element(
            "FailedRecipient",
            {V1_2: ""},
            (Attribute("recipientID", "recipient_id", WctpId, _REQUIRED), *_FAILURE),
            V1_2,
        ),
        Element("SubmitClientMessage", {V1_0: "SubmitClientHeader Payload"}),
        Element("SubmitClientHeader", {V1_0: "ClientOriginator ClientMessageControl? Recipient"}, _SUBMITTED),
        Element(
            "ClientOriginator",
            {V1_0: ""},
            (
                Attribute("senderID", "sender_id", WctpId, _REQUIRED),
                Attribute("miscInfo", "misc_info", WctpSecret),
            ),
        ),
        Element("ClientMessageControl", {V1_0: ""}, _CONTROL),
        Element("SubmitClientResponse", {V1_0: "(Failure|ClientSuccess)"}),
        Element(
            "ClientSuccess",
            {V1_0: TEXT},
            (*_SUCCESS, Attribute("trackingNumber", "tracking", WctpId, _REQUIRED)),
        ),
        Element(
            "ClientQuery",
            {V1_0: ""},
            (
                Attribute("senderID", "sender_id", WctpId, _REQUIRED),
                Attribute("recipientID", "recipient_id", WctpId, _REQUIRED),
                Attribute("trackingNumber", "tracking", WctpId, _REQUIRED),
            ),
        ),
        Element("ClientQueryResponse", {V1_0: "(ClientMessage+|NoMessages|Failure)"}, _WAIT),
        Element("ClientMessage", {V1_0: "(ClientMessageReply|ClientStatusInfo)"}),
        Element("ClientMessageReply", {V1_0: "ClientResponseHeader Payload"}, _BY_CHOICE),
        Element("ClientStatusInfo", {V1_0: "ClientResponseHeader (Failure|Notification)"}),
        Element("ClientResponseHeader", {V1_0: "Originator Recipient"}, _RESPONDED),
        Element("NoMessages", {V1_0: ""}),
        Element("Confirmation", {V1_0: "(Failure|Success)"}),
        Element("Success", {V1_0: TEXT}, _SUCCESS),
        Element("Failure", {V1_0: TEXT}, _FAILURE),
        Element("MessageReply", {V1_0: "ResponseHeader Payload"}, _BY_CHOICE),
        Element(
            "ResponseHeader",
            {V1_0: "Originator MessageControl Recipient"},
            (_RESPONSE_TO[0], *_RESPONDED, Attribute("onBehalfOfRecipientID", "on_behalf_of", WctpId)),
        ),
        Element("StatusInfo", {V1_0: "ResponseHeader (Failure|Notification)"}),
        Element(
            "Notification",
            {V1_0: ""},
            (Attribute("type", "event", _words(m.Event, None, m.Event.OTHER), _REQUIRED),),
        ),
        Element(
            "PollForMessages",
            {V1_0: "MessageReceived*"},
            (
                Attribute("pollerID", "poller_id", WctpId, _REQUIRED),
                Attribute("securityCode", "security_code", WctpSecret),
                Attribute("maxMessagesInBatch", "max_messages", int),
            ),
        ),
        Element(
            "MessageReceived",
            {V1_0: "(Failure|Success)"},
            (Attribute("sequenceNo", "sequence", WctpId, _REQUIRED),),
        ),
        Element(
            "PollResponse", {V1_0: "(Message+|NoMessages)", V1_1: "(Message+|Failure|NoMessages)"}, _WAIT
        ),
        Element(
            "Message",
            {V1_0: "(SubmitRequest|MessageReply|StatusInfo|LookupResponse)"},
            (Attribute("sequenceNo", "sequence", WctpId, _REQUIRED),),
        ),
        Element(
            "VersionQuery",
            {V1_1: ""},
            (
                Attribute("inquirer", "inquirer", WctpId, _REQUIRED),
                Attribute("dateTime", "asked", datetime),
                *_LISTS,
            ),
            V1_1,
        ),
        Element(
            "VersionResponse",
            {V1_1: "ContactInfo? (Failure|DTDSupport+)"},
            (
                Attribute("responder", "responder", WctpId, _REQUIRED),
                Attribute("dateTimeOfRsp", "responded", datetime),
                Attribute("inquirer", "inquirer", WctpId),
                Attribute("dateTimeOfReq", "asked", datetime),
                Attribute("invalidAfter", "invalid_after", datetime),
                *_LISTS,
            ),
            V1_1,
        ),
        Element(
            "ContactInfo",
            {V1_1: ""},
            tuple(Attribute(name, name, WctpLine) for name in ("email", "phone", "www", "info")),
            V1_1,
        ),
        Element(
            "DTDSupport",
            {V1_1: ""},
            (
                Attribute("dtdName", "dtd_name", WctpId, _REQUIRED),
                Attribute("verToken", "token", WctpId),
                Attribute("supportType", "support", _words(m.Support, m.Support.SUPPORTED)),
                Attribute("exceptions", "exceptions", _NO),
                Attribute("supportUntil", "until", datetime),
                Attribute("replacement", "replacement", WctpId),
            ),
            V1_1,
        ),
        Element("LookupSubscriber", {V1_0: "Originator LookupMessageControl Recipient"}),
        Element("LookupMessageControl", {V1_0: ""}, (*_IDS, _RESPONSES_TO)),
        Element("LookupResponse", {V1_0: "Originator Recipient (LookupData|Failure)"}, _RESPONSE_TO),
        Element(
            "LookupData",
            {V1_0: ""},
            (
                Attribute("maxMessageLength", "max_length", int, _REQUIRED),
                Attribute("mcrSupported", "multiple_choice", _flag(None)),
                Attribute("canRespond", "can_respond", _flag(None)),
            ),
        ),
        Element("DeviceLocation", {V1_3: "Originator DeviceLocationControl Recipient"}, (), V1_3),
        Element(
            "DeviceLocationControl",
            {V1_3: ""},
            (*_IDS, _RESPONSES_TO, Attribute("fixType", "fix", _words(m.FixType, m.FixType.ESTIMATED))),
            V1_3,
        ),
        Element(
            "DeviceLocationResponse",
            {V1_3: "Originator Recipient (LocationData|Failure)"},
            _RESPONSE_TO,
            V1_3,
        ),
        Element(
            "LocationData",
            {V1_3: ""},
            (
                Attribute(
                    "status", "status", _words(m.LocationStatus, None, m.LocationStatus.INVALID), _REQUIRED
                ),
                Attribute("fixType", "fix", _words(m.FixType, None, m.FixType.ESTIMATED), _REQUIRED),
                Attribute("fixTimeStamp", "fixed", datetime),
                Attribute("longitude", "longitude", WctpLine),
                Attribute("latitude", "latitude", WctpLine),
                Attribute("altitude", "altitude", WctpLine),
            ),
            V1_3,
        ),
        Element("ReturnToSvc", {V1_2: TEXT}, (), V1_2),
        Element(
            "BindDomainAlias",
            {V1_0: "(AddBinding|DeleteBinding|ModifyBinding|ChangeSecurityCode)"},
            until=V1_0,
        ),
        Element("AddBinding", {V1_0: ""}, (_ALIAS, _DELIVER_TO, _ALIAS_CODE), until=V1_0),
        Element("DeleteBinding", {V1_0: ""}, (_ALIAS, _ALIAS_CODE), until=V1_0),
        Element("ModifyBinding", {V1_0: ""}, (_ALIAS, _DELIVER_TO, _ALIAS_CODE), until=V1_0),
        Element(
            "ChangeSecurityCode",
            {V1_0: ""},
            (
                _ALIAS,
                Attribute("oldSecurityCode", "security_code", WctpSecret, _REQUIRED),
                Attribute("newSecurityCode", "new_security_code", WctpSecret, _REQUIRED),
            ),
            until=V1_0,
        ),
    )
}
NAMES = {name.lower(): name for name in ELEMENTS}  # how a name is spelled, by its lower case
TEXTS = frozenset(name for name, one in ELEMENTS.items() if one.text)  # elements whose content is text


def _compiled(model: str) -> re.Pattern[str]:
    """*model* as a pattern over child names, each followed by a blank."""
    return re.compile("".join(re.sub(r"\w+", rf"(?:{PREFIX}\g<0> )", one) for one in model.split()))


_MODELS = {
    model: _compiled(model) for one in ELEMENTS.values() for model in one.models.values() if model != TEXT
}


def in_version(one: Element | Attribute, version: Version) -> bool:
    return one.since <= version <= one.until


# Of an element in a version, by lower case, in the order of the DTD.
ATTRIBUTES = {
    (name, version): {one.name.lower(): one for one in element.attributes if in_version(one, version)}
    for name, element in ELEMENTS.items()
    for version in Version
}


def fault(node: Node, version: Version) -> str | None:
    """Why *node* is not valid by the DTD of *version*, in words without anything its sender wrote but names
    of known elements and attributes; None if it is. The texts of CDATA attributes are not looked at."""
    element = ELEMENTS.get(node.tag)
    if element is None or not in_version(element, version):
        return f"an element that is not in WCTP {version} ({node.name if element else 'unknown'})"
    known = {one.name: one for one in ATTRIBUTES[node.name, version].values()}
    for name, value in node.attributes.items():
        if name not in known:
            return f"{node.name} has an attribute that it does not have in WCTP {version}"
        kind = known[name].kind
        if isinstance(kind, Words) and value not in kind.values:
            return f"{node.name}/@{name} is none of {', '.join(kind.values)}"
    for one in known.values():
        if one.required and one.name not in node.attributes:
            return f"{node.name} has no {one.name}"
    if (model := element.model(version)) == TEXT:
        return f"{node.name} has elements in it" if node.children else None
    if node.text.strip():
        return f"{node.name} has text in it"
    if not _MODELS[model].fullmatch("".join(f"{child.tag} " for child in node.children)):
        return f"{node.name} does not have the content {model or 'EMPTY'}"
    return next((why for child in node.children if (why := fault(child, version))), None)
