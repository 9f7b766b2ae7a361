"""WCTP once more, from the published document types alone: a carrier, a host and the client of both, for tests.

Written from the element and attribute lists of wctp-dtd-v1r1, v1r2 and v1r3 and from what carriers document
about the flow of messages, with the standard library and nothing else. It shares no line with the library
under test: where both agree, they agree because the documents say so. It is strict on purpose: what does not
follow the document type is refused, and kept to be looked at.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import secrets
import threading
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

V11, V12, V13 = "wctp-dtd-v1r1", "wctp-dtd-v1r2", "wctp-dtd-v1r3"
VERSIONS = (V11, V12, V13)
MAX_BODY = 1 << 20

# ------------------------------------------------------------------------------------- the document types

_CONTROL = (
    "sendResponsesToID allowResponse=true|false notifyWhenQueued=true|false notifyWhenDelivered=true|false"
    " notifyWhenRead=true|false deliveryPriority=HIGH|NORMAL|LOW deliveryAfter deliveryBefore"
    " preformatted=true|false allowTruncation=true|false"
)
_VERSION_QUESTIONS = "listDTDs=yes|no listConfiguration=yes|no"

# Element (without its "wctp-"): what it holds, then its attributes; `!` is required, `=` lists the values.
# TEXT is #PCDATA, nothing is EMPTY. As in wctp-dtd-v1r3; what others lack or have besides stands below. Not told
# apart: of the two spellings of FLEXsuite 1.1 has the one and 1.2 the other.
TEXT = "#"
ELEMENTS: dict[str, tuple[str, str]] = {
    "Operation": (
        "ClientQuery | ClientQueryResponse | Confirmation | LookupSubscriber | LookupResponse | DeviceLocation |"
        " DeviceLocationResponse | MessageReply | PollForMessages | PollResponse | ReturnToSvc | SendMsgMulti |"
        " SendMsgMultiResponse | StatusInfo | SubmitClientMessage | SubmitClientResponse | SubmitRequest |"
        " VersionQuery | VersionResponse",
        "wctpVersion! wctpToken",
    ),
    "ClientQuery": ("", "senderID! recipientID! trackingNumber!"),
    "ClientQueryResponse": ("ClientMessage+ | NoMessages | Failure", "minNextPollInterval"),
    "ClientMessage": ("ClientMessageReply | ClientStatusInfo", ""),
    "ClientMessageReply": ("ClientResponseHeader, Payload", "MCRMessageReply=true|false"),
    "ClientStatusInfo": ("ClientResponseHeader, (Failure | Notification)", ""),
    "ClientResponseHeader": ("Originator, Recipient", "responseTimestamp respondingToTimestamp"),
    "Confirmation": ("Failure | Success", ""),
    "Success": (TEXT, "successCode! successText"),
    "Failure": (TEXT, "errorCode! errorText"),
    "LookupSubscriber": ("Originator, LookupMessageControl, Recipient", ""),
    "LookupMessageControl": ("", "messageID! transactionID sendResponsesToID"),
    "LookupResponse": ("Originator, Recipient, (LookupData | Failure)", "responseToMessageID! transactionID"),
    "LookupData": ("", "maxMessageLength! mcrSupported=true|false canRespond=true|false"),
    "DeviceLocation": ("Originator, DeviceLocationControl, Recipient", ""),
    "DeviceLocationControl": (
        "",
        "messageID! transactionID sendResponsesToID fixType=approximate|estimated|precise",
    ),
    "DeviceLocationResponse": (
        "Originator, Recipient, (LocationData | Failure)",
        "responseToMessageID! transactionID",
    ),
    "LocationData": (
        "",
        "status!=ok|invalid|noalt|nolonglat|stale fixType!=approximate|estimated|precise fixTimeStamp longitude"
        " latitude altitude",
    ),
    "MessageReply": ("ResponseHeader, Payload", "MCRMessageReply=true|false"),
    "ResponseHeader": (
        "Originator, MessageControl, Recipient",
        "responseToMessageID! responseTimestamp respondingToTimestamp onBehalfOfRecipientID",
    ),
    "PollForMessages": ("MessageReceived*", "pollerID! securityCode maxMessagesInBatch"),
    "MessageReceived": ("Failure | Success", "sequenceNo!"),
    "PollResponse": ("Message+ | Failure | NoMessages", "minNextPollInterval"),
    "Message": ("SubmitRequest | MessageReply | StatusInfo | LookupResponse", "sequenceNo!"),
    "NoMessages": ("", ""),
    "ReturnToSvc": (TEXT, ""),
    "SendMsgMulti": ("MsgMultiHeader, Payload", ""),
    "MsgMultiHeader": ("Originator, MsgMultiControl, Recipient+", "submitTimestamp"),
    "MsgMultiControl": ("", f"messageID! transactionID {_CONTROL} allRecipsRequired=true|false"),
    "SendMsgMultiResponse": (
        "(Failure | Success), FailedRecipient*",
        "maxNumRecips! numValidRecips numInvalidRecips",
    ),
    "FailedRecipient": ("", "recipientID! errorCode! errorText"),
    "StatusInfo": ("ResponseHeader, (Failure | Notification)", ""),
    "Notification": ("", "type!=QUEUED|DELIVERED|READ"),
    "SubmitClientMessage": ("SubmitClientHeader, Payload", ""),
    "SubmitClientHeader": ("ClientOriginator, ClientMessageControl?, Recipient", "submitTimestamp"),
    "ClientOriginator": ("", "senderID! miscInfo"),
    "ClientMessageControl": ("", _CONTROL),
    "SubmitClientResponse": ("Failure | ClientSuccess", ""),
    "ClientSuccess": (TEXT, "successCode! successText trackingNumber!"),
    "SubmitRequest": ("SubmitHeader, Payload", ""),
    "SubmitHeader": ("Originator, MessageControl, Recipient", "submitTimestamp"),
    "Originator": ("", "senderID! securityCode miscInfo"),
    "MessageControl": ("", f"messageID! transactionID {_CONTROL}"),
    "Recipient": ("", "recipientID! authorizationCode"),
    "Payload": ("MCR | Alphanumeric | TransparentData", ""),
    "MCR": ("MessageText, (Choice | ChoicePair)+", ""),
    "MessageText": (TEXT, ""),
    "Choice": (TEXT, ""),
    "ChoicePair": ("SendChoice, ReplyChoice?", ""),
    "SendChoice": (TEXT, ""),
    "ReplyChoice": (TEXT, ""),
    "VersionQuery": ("", "inquirer! dateTime"),
    "VersionResponse": (
        "ContactInfo?, (Failure | DTDSupport+)",
        "responder! dateTimeOfRsp inquirer dateTimeOfReq invalidAfter",
    ),
    "ContactInfo": ("", "email phone www info"),
    "DTDSupport": (
        "",
        "dtdName! verToken supportType=Supported|Deprecated|NotSupported exceptions=yes|no supportUntil replacement",
    ),
    "Alphanumeric": (TEXT, ""),
    "TransparentData": (TEXT, "type=OPAQUE|FLEXSuite|FLEXsuite encoding=standard|base64"),
}

SINCE_12 = {"SendMsgMulti", "SendMsgMultiResponse", "ReturnToSvc", "ChoicePair"}
SINCE_13 = {"DeviceLocation", "DeviceLocationResponse"}
ATTRIBUTES_SINCE_12 = {("MessageReply", "MCRMessageReply"), ("ClientMessageReply", "MCRMessageReply")}
ATTRIBUTES_OF_11 = {"VersionQuery": _VERSION_QUESTIONS, "VersionResponse": _VERSION_QUESTIONS}

# Lengths that implementations of 1.3 hold themselves and their peers to; 1.1 had 254 for them all.
LENGTHS = {
    "senderID": 128,
    "recipientID": 128,
    "sendResponsesToID": 128,
    "messageID": 32,
    "transactionID": 32,
    "responseToMessageID": 32,
    "trackingNumber": 16,
    "securityCode": 16,
}
TIMES = re.compile("[a-z]+Time[sS]tamp|deliver(?:yAfter|yBefore)|dateTime.*|invalidAfter|supportUntil")
NUMBERS = {"sequenceNo", "minNextPollInterval", "maxMessagesInBatch", "successCode", "errorCode"}


class NotWctp(Exception):
    """A document that a strict reader refuses, with the *code* that it answers (301, 302, 303, 300)."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code
        self.why = why


def read(document: bytes) -> tuple[str, ET.Element]:
    """The version that *document* names and its one operation, or NotWctp at the first thing that is not as
    the document type of that version has it."""
    if re.search(rb"<!ENTITY|<!DOCTYPE[^>]*\[", document):
        raise NotWctp(301, "declares something of its own")
    if re.search(
        rb"&(?!#|lt;|gt;|amp;|quot;|apos;)", re.sub(rb"<!\[CDATA\[.*?\]\]>", b"", document, flags=re.S)
    ):
        raise NotWctp(301, "refers to an entity that nobody declared")
    try:
        root = ET.fromstring(document)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise NotWctp(301, f"not well-formed: {error}") from None
    if root.tag != "wctp-Operation":
        raise NotWctp(302, f"the root is {root.tag}")
    version = root.get("wctpVersion")
    if version is None:
        raise NotWctp(302, "no wctpVersion")
    if version not in VERSIONS:
        raise NotWctp(303, f"version {version!r}")
    named = re.search(rb"<!DOCTYPE\s+(\S+)\s+SYSTEM\s+[\"']([^\"']*)[\"']\s*>", document)
    if b"<!DOCTYPE" in document:
        if named is None or named[1] != b"wctp-Operation":
            raise NotWctp(302, "a DOCTYPE of another form")
        if named[2].decode().rpartition("/")[2] != f"{version}.dtd":
            raise NotWctp(302, f"the DOCTYPE is {named[2]!r} and wctpVersion {version}")
    if len(root) == 1 and root[0].tag.removeprefix("wctp-") not in _names_of(version):
        raise NotWctp(300, f"no operation {root[0].tag}")
    _check(root, version)
    return version, root[0]


def _names_of(version: str) -> set[str]:
    return set(ELEMENTS) - (SINCE_12 if version == V11 else set()) - (SINCE_13 if version != V13 else set())


def _check(element: ET.Element, version: str) -> None:
    name = element.tag.removeprefix("wctp-")
    if not element.tag.startswith("wctp-") or name not in _names_of(version):
        raise NotWctp(302, f"no element {element.tag} in {version}")
    model, _ = ELEMENTS[name]
    _check_attributes(name, element.attrib, version)
    stray = [element.text if model != TEXT else None, *(child.tail for child in element)]
    if any(text and text.strip() for text in stray):
        raise NotWctp(302, f"text between the elements of {element.tag}")
    if model in (TEXT, "") and len(element):
        raise NotWctp(302, f"elements inside {element.tag}")
    if model == "" and element.text:
        raise NotWctp(302, f"{element.tag} is not empty")
    if model not in (TEXT, ""):
        children = "".join(f"{child.tag.removeprefix('wctp-')};" for child in element)
        if not re.fullmatch(_expression(model), children):
            held = [child.tag for child in element]
            raise NotWctp(302, f"{element.tag} holds {held}, not {model}")
    for child in element:
        _check(child, version)


def _expression(model: str) -> str:
    """A content model as a regular expression over names that each end with a semicolon."""
    return re.sub(r"\w+", lambda name: f"(?:{name[0]};)", model).replace(",", "").replace(" ", "")


def attributes_of(name: str, version: str) -> dict[str, tuple[bool, tuple[str, ...]]]:
    """By attribute of element *name*: whether it is required, and the values that it may have (none: any)."""
    declared = ELEMENTS[name][1]
    if version == V11:
        declared += " " + ATTRIBUTES_OF_11.get(name, "")
    found = {}
    for word in declared.split():
        attribute, _, values = word.partition("=")
        if version != V11 or (name, attribute) not in ATTRIBUTES_SINCE_12:
            found[attribute.rstrip("!")] = "!" in attribute, tuple(values.split("|")) if values else ()
    return found


def _check_attributes(name: str, given: dict[str, str], version: str) -> None:
    known = attributes_of(name, version)
    for attribute, value in given.items():
        if attribute not in known:
            raise NotWctp(302, f"no attribute {attribute} of wctp-{name} in {version}")
        if known[attribute][1] and value not in known[attribute][1]:
            raise NotWctp(302, f"{attribute}={value!r}")
        longest = LENGTHS.get(attribute, 255) if version == V13 else 254
        if len(value) > longest:
            raise NotWctp(302, f"{attribute} has {len(value)} characters")
        if attribute in NUMBERS and not re.fullmatch("[0-9]{1,18}", value):
            raise NotWctp(302, f"{attribute}={value!r} is no number")
        if TIMES.fullmatch(attribute):
            try:
                datetime.strptime(value, "%Y-%m-%dT%H:%M:%S")
            except ValueError:
                raise NotWctp(
                    405 if attribute.startswith("delivery") else 302, f"{attribute}={value!r}"
                ) from None
    for attribute, (required, _) in known.items():
        if required and attribute not in given:
            raise NotWctp(302, f"wctp-{name} without {attribute}")


# --------------------------------------------------------------------------------------- building documents


def element(name: str, *children: ET.Element | str, **attributes: str | None) -> ET.Element:
    """``wctp-<name>``; attributes that are None are left out."""
    made = ET.Element(f"wctp-{name}", {key: value for key, value in attributes.items() if value is not None})
    for child in children:
        if isinstance(child, str):
            made.text = (made.text or "") + child
        else:
            made.append(child)
    return made


def document(operation: ET.Element, version: str = V13, *, doctype: bool = True) -> bytes:
    """The whole document around *operation*; it is checked before it is given out."""
    body = ET.tostring(element("Operation", operation, wctpVersion=version), encoding="unicode")
    declared = f'<!DOCTYPE wctp-Operation SYSTEM "http://dtd.wctp.org/{version}.dtd">\n' if doctype else ""
    made = f'<?xml version="1.0" encoding="UTF-8"?>\n{declared}{body}'.encode()
    read(made)
    return made


def now() -> str:
    """This second, as WCTP writes it: UTC, without a zone."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def payload(text: str) -> ET.Element:
    return element("Payload", element("Alphanumeric", text))


def submit_request(
    sender: str, recipient: str, text: str, message_id: str, *, code: str | None = None, **control: str
) -> ET.Element:
    """An enterprise gives a message to a carrier; or a carrier one of a device to an enterprise."""
    header = element(
        "SubmitHeader",
        element("Originator", senderID=sender, securityCode=code),
        element("MessageControl", messageID=message_id, **control),
        element("Recipient", recipientID=recipient),
        submitTimestamp=now(),
    )
    return element("SubmitRequest", header, payload(text))


def submit_client_message(
    sender: str, recipient: str, text: str, *, misc: str | None = None, **control: str
) -> ET.Element:
    """A client without registration gives a message to a carrier."""
    controls = [element("ClientMessageControl", **control)] if control else []
    header = element(
        "SubmitClientHeader",
        element("ClientOriginator", senderID=sender, miscInfo=misc),
        *controls,
        element("Recipient", recipientID=recipient),
        submitTimestamp=now(),
    )
    return element("SubmitClientMessage", header, payload(text))


def client_query(sender: str, recipient: str, tracking: str) -> ET.Element:
    """What has become of it?"""
    return element("ClientQuery", senderID=sender, recipientID=recipient, trackingNumber=tracking)


def poll(
    poller: str, code: str | None = None, *, most: int | None = None, received: Iterable[str] = ()
) -> ET.Element:
    """What is there for me? And: those I have."""
    acknowledged = [
        element("MessageReceived", element("Success", "Received", successCode="200"), sequenceNo=number)
        for number in received
    ]
    asked = None if most is None else str(most)
    return element(
        "PollForMessages", *acknowledged, pollerID=poller, securityCode=code, maxMessagesInBatch=asked
    )


def response_header(device: str, to: str, about: str, own_id: str, **more: str | None) -> ET.Element:
    transaction = more.pop("transactionID", None)
    return element(
        "ResponseHeader",
        element("Originator", senderID=device),
        element("MessageControl", messageID=own_id, transactionID=transaction),
        element("Recipient", recipientID=to),
        responseToMessageID=about,
        responseTimestamp=now(),
        **more,
    )


def status_info(device: str, to: str, about: str, own_id: str, what: str, **more: str | None) -> ET.Element:
    """A carrier tells what became of message *about*: QUEUED, DELIVERED, READ, or the code of a failure."""
    return element("StatusInfo", response_header(device, to, about, own_id, **more), _event(what))


def message_reply(
    device: str, to: str, about: str, own_id: str, text: str, *, choice: bool = False, **more: str | None
) -> ET.Element:
    """A carrier brings what somebody answered on a device; *choice*: by choosing one of several."""
    chosen = "true" if choice else None
    header = response_header(device, to, about, own_id, **more)
    return element("MessageReply", header, payload(text), MCRMessageReply=chosen)


def _event(what: str) -> ET.Element:
    if what.isdigit():
        return failure(int(what))
    return element("Notification", type=what)


def success(text: str = "Accepted", code: int = 200) -> ET.Element:
    return element("Success", text, successCode=str(code), successText="Accepted")


def failure(code: int, text: str = "Refused") -> ET.Element:
    return element("Failure", text, errorCode=str(code), errorText=text)


def version_query(inquirer: str) -> ET.Element:
    return element("VersionQuery", inquirer=inquirer, dateTime=now())


# -------------------------------------------------------------------------------------------- both servers


@dataclasses.dataclass(frozen=True)
class Heard:
    """One request as it came: the *document*, its *headers*, and why it was refused, if it was."""

    document: bytes
    headers: dict[str, str]
    path: str
    refused: str | None = None


class _Server(ABC):
    """HTTP on loopback in a thread of its own; what is special is in ``answer``."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.changed = threading.Condition()
        self._next: list[tuple[str | None, bytes | int | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server._take(self)

            def do_GET(self) -> None:
                self.send_error(405)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/wctp"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next_answers(self, *answers: bytes | ET.Element | int | None, to: str | None = None) -> None:
        """What the next requests get, whatever they say, after they were taken: these bytes, this operation,
        this HTTP status, or None: the connection is closed without an answer. *to*: only those that say this
        operation, for example SubmitRequest."""
        made = [document(one) if isinstance(one, ET.Element) else one for one in answers]
        with self.changed:
            self._next += [(to, one) for one in made]

    def wait(self, until: Callable[[], bool], within: float = 20.0) -> bool:
        """Whether *until* came true; it is asked when something was heard."""
        with self.changed:
            return self.changed.wait_for(until, within)

    def refusals(self) -> list[str]:
        """Why documents were refused, in order."""
        return [one.refused for one in self.heard if one.refused is not None]

    @abstractmethod
    def answer(self, version: str, operation: ET.Element) -> ET.Element:
        """What *operation* gets."""

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        length = request.headers.get("Content-Length", "")
        if request.headers.get("Transfer-Encoding") or not length.isdigit() or int(length) > MAX_BODY:
            request.send_error(411)
            return
        body = request.rfile.read(int(length))
        refused, version, name = None, V13, None
        with self.changed:
            try:
                version, operation = read(body)
                name = operation.tag.removeprefix("wctp-")
                answer = self.answer(version, operation)
            except NotWctp as wrong:
                refused = str(wrong)
                answer = element("Confirmation", failure(wrong.code, wrong.why[:200]))
            else:
                if (bad := answer.find(".//wctp-Failure")) is not None:
                    refused = f"{bad.get('errorCode')}: {bad.text}"
            self.heard.append(Heard(body, dict(request.headers.items()), request.path, refused))
            said: bytes | int | None = document(answer, version)
            if planned := [n for n, (to, _) in enumerate(self._next) if to in (None, name)]:
                said = self._next.pop(planned[0])[1]
            self.changed.notify_all()
        if said is None:
            request.close_connection = True
            return
        if isinstance(said, int):
            request.send_error(said)
            return
        request.send_response(200, "OK")
        request.send_header("Content-Type", "text/xml; charset=utf-8")
        request.send_header("Content-Length", str(len(said)))
        request.end_headers()
        request.wfile.write(said)


# ---------------------------------------------------------------------------------------------- the carrier


@dataclasses.dataclass(frozen=True)
class Taken:
    """One message that the carrier took. *tracking* is there if it came from a client without registration,
    *message_id* if not. *control* has what was written of the control attributes."""

    sender: str
    recipient: str
    text: str
    message_id: str | None
    tracking: str | None
    control: dict[str, str]
    submitted: str | None
    version: str
    choices: tuple[tuple[str, str], ...] = ()

    @property
    def answer_to(self) -> str:
        """Whom replies and notifications go to."""
        return self.control.get("sendResponsesToID") or self.sender


class Carrier(_Server):
    """A paging company. *senders* and *pollers* have their security codes by name; without *recipients* every
    device exists. Texts above *longest* characters are refused unless they may be cut."""

    def __init__(
        self,
        senders: dict[str, str] | None = None,
        pollers: dict[str, str] | None = None,
        recipients: Iterable[str] | None = None,
        longest: int = 500,
        poll_again: int = 1,
    ) -> None:
        self.senders = senders
        self.pollers = senders if pollers is None else pollers
        self.recipients = None if recipients is None else set(recipients)
        self.longest = longest
        self.poll_again = poll_again
        self.taken: list[Taken] = []
        self.polls = 0
        self._events: list[tuple[Taken, str, str]] = []  # message, own id, what
        self._waiting: dict[str, dict[int, ET.Element]] = {}
        self._numbers = iter(range(1, 1 << 31))
        super().__init__()

    # ------------------------------------------------------------------ what becomes of a message

    def report(self, taken: Taken, what: str) -> str:
        """Keep for polls and queries that *what* happened to *taken*: QUEUED, DELIVERED, READ, the code of a
        failure, or ``reply:TEXT``. The id of the report."""
        with self.changed:
            own_id = f"c-{next(self._numbers)}"
            self._events.append((taken, own_id, what))
            if taken.message_id is not None:
                queue = self._waiting.setdefault(taken.sender, {})
                queue[next(self._numbers)] = self.operation_of(taken, what, own_id)
            return own_id

    def waiting(self, poller: str) -> list[int]:
        """Sequence numbers that *poller* has not acknowledged."""
        with self.changed:
            return list(self._waiting.get(poller, {}))

    def push(self, url: str, taken: Taken, what: str, *, own_id: str | None = None) -> Answer:
        """Tell a host at *url* at once; what it answers. A repeat has the same *own_id*."""
        return post(url, self.operation_of(taken, what, own_id or f"c-{next(self._numbers)}"), taken.version)

    def operation_of(self, taken: Taken, what: str, own_id: str) -> ET.Element:
        """What is told about *taken*, as the document has it."""
        about = taken.message_id
        assert about is not None, "who has no message id asks with a tracking number"
        more = {
            "transactionID": taken.control.get("transactionID"),
            "respondingToTimestamp": taken.submitted,
        }
        if what.startswith("reply:"):
            text = what.removeprefix("reply:")
            chosen = text in [answer for _, answer in taken.choices] and taken.version != V11
            to = taken.answer_to
            return message_reply(taken.recipient, to, about, own_id, text, choice=chosen, **more)
        return status_info(taken.recipient, taken.answer_to, about, own_id, what, **more)

    # ------------------------------------------------------------------------------------- answers

    def answer(self, version: str, operation: ET.Element) -> ET.Element:
        match operation.tag.removeprefix("wctp-"):
            case "SubmitRequest":
                return element("Confirmation", self._submit(version, operation))
            case "SubmitClientMessage":
                return element("SubmitClientResponse", self._submit(version, operation))
            case "ClientQuery":
                return self._query(version, operation)
            case "PollForMessages":
                return self._poll(operation)
            case "VersionQuery":
                known = (element("DTDSupport", dtdName=name) for name in reversed(VERSIONS))
                who = operation.get("inquirer")
                return element("VersionResponse", *known, responder="independent", inquirer=who)
            case other:
                return element("Confirmation", failure(300, f"{other} is not supported"))

    def _submit(self, version: str, operation: ET.Element) -> ET.Element:
        header = operation[0]
        origin, recipient = header[0], header[-1]
        transient = operation.tag == "wctp-SubmitClientMessage"
        control = dict(header[1].attrib) if len(header) == 3 else {}
        sender = origin.attrib["senderID"]
        if self.senders is not None and not transient:
            if sender not in self.senders:
                return failure(401, "Invalid senderID")
            if origin.get("securityCode") != self.senders[sender]:
                return failure(402, "Invalid securityCode")
        device = recipient.attrib["recipientID"]
        if self.recipients is not None and device not in self.recipients:
            return failure(403, "Invalid recipientID")
        if control.get("deliveryBefore", "9") <= control.get("deliveryAfter", "0"):
            return failure(406, "Unsupported combination of times")
        text, choices = _text_of(operation[1][0])
        if len(text) > self.longest:
            if control.get("allowTruncation", "true") == "false":
                return failure(411, "Message exceeds allowable length")
            text = text[: self.longest]
        tracking = secrets.token_hex(8).upper() if transient else None
        self.taken.append(
            Taken(
                sender=sender,
                recipient=device,
                text=text,
                message_id=control.pop("messageID", None),
                tracking=tracking,
                control=control,
                submitted=header.get("submitTimestamp"),
                version=version,
                choices=choices,
            )
        )
        if tracking is not None:
            code, said = "200", "Message accepted"
            return element("ClientSuccess", said, successCode=code, successText=said, trackingNumber=tracking)
        return success("Message accepted for delivery")

    def _query(self, version: str, operation: ET.Element) -> ET.Element:
        asked = operation.attrib
        wanted = [
            one
            for one in self.taken
            if one.tracking == asked["trackingNumber"]
            and (one.sender, one.recipient) == (asked["senderID"], asked["recipientID"])
        ]
        if not wanted:
            return element("ClientQueryResponse", failure(504, "Unknown message reference"))
        found = []
        for taken, _, what in self._events:
            if taken is wanted[0]:
                header = element(
                    "ClientResponseHeader",
                    element("Originator", senderID=taken.recipient),
                    element("Recipient", recipientID=taken.answer_to),
                    responseTimestamp=now(),
                )
                if what.startswith("reply:"):
                    told = element("ClientMessageReply", header, payload(what.removeprefix("reply:")))
                else:
                    told = element("ClientStatusInfo", header, _event(what))
                found.append(element("ClientMessage", told))
        again = str(self.poll_again)
        return element("ClientQueryResponse", *(found or [element("NoMessages")]), minNextPollInterval=again)

    def _poll(self, operation: ET.Element) -> ET.Element:
        self.polls += 1
        poller = operation.attrib["pollerID"]
        if self.pollers is not None and operation.get("securityCode") != self.pollers.get(poller):
            return element("PollResponse", failure(432, "Invalid pollerID or securityCode"))
        queue = self._waiting.setdefault(poller, {})
        for received in operation:
            queue.pop(int(received.attrib["sequenceNo"]), None)
        most = int(operation.get("maxMessagesInBatch", "10"))
        if most < 1:
            return element("PollResponse", failure(302, "maxMessagesInBatch"))
        messages = [
            element("Message", one, sequenceNo=str(number)) for number, one in list(queue.items())[:most]
        ]
        again = "0" if len(queue) > most else str(self.poll_again)
        return element("PollResponse", *(messages or [element("NoMessages")]), minNextPollInterval=again)


def _text_of(content: ET.Element) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What a device shows, and by choice what is sent back for it."""
    if content.tag == "wctp-Alphanumeric":
        return content.text or "", ()
    if content.tag == "wctp-TransparentData":
        if content.get("encoding", "base64") == "base64":
            return base64.b64decode(content.text or "").decode("latin-1"), ()
        return content.text or "", ()
    choices = []
    for one in content[1:]:
        if one.tag == "wctp-Choice":
            choices.append((one.text or "", one.text or ""))
        else:
            choices.append((one[0].text or "", (one[-1].text or "")))
    return content[0].text or "", tuple(choices)


# ------------------------------------------------------------------------------- a host that is pushed to


class Host(_Server):
    """An enterprise with a server of its own: keeps what is pushed to it, and confirms."""

    def __init__(self) -> None:
        self.pushed: list[Told] = []
        super().__init__()

    def answer(self, version: str, operation: ET.Element) -> ET.Element:
        if operation.tag not in ("wctp-StatusInfo", "wctp-MessageReply", "wctp-SubmitRequest"):
            return element("Confirmation", failure(300, f"{operation.tag} is not for a host"))
        self.pushed.append(told(operation))
        return element("Confirmation", success())


# ------------------------------------------------------------------------------------------- the client


@dataclasses.dataclass(frozen=True)
class Told:
    """What one StatusInfo, MessageReply or SubmitRequest says: *about* which message (none for a device's own),
    by which *device*, *to* whom; *what*: QUEUED, DELIVERED, READ, a failure's code, or ``reply:TEXT``."""

    kind: str
    what: str
    device: str
    to: str
    about: str | None = None
    own_id: str | None = None
    sequence: str | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back, judged. *kind* is the answer's element; *wrong* says why it is not what the document type
    allows, or not an answer to what was asked. *code* is None where messages came instead of a result."""

    kind: str | None = None
    code: int | None = None
    text: str = ""
    tracking: str | None = None
    messages: tuple[Told, ...] = ()
    again: int | None = None
    status: int | None = None
    wrong: str | None = None

    @property
    def accepted(self) -> bool:
        """A success of WCTP in a good answer."""
        return self.wrong is None and self.code is not None and 200 <= self.code < 300


ANSWERS = {
    "SubmitRequest": "Confirmation",
    "SendMsgMulti": "SendMsgMultiResponse",
    "SubmitClientMessage": "SubmitClientResponse",
    "ClientQuery": "ClientQueryResponse",
    "MessageReply": "Confirmation",
    "StatusInfo": "Confirmation",
    "PollForMessages": "PollResponse",
    "VersionQuery": "VersionResponse",
    "LookupSubscriber": "Confirmation",
    "LookupResponse": "Confirmation",
    "DeviceLocation": "Confirmation",
    "DeviceLocationResponse": "Confirmation",
    "ReturnToSvc": "Confirmation",
}


def post(url: str, operation: ET.Element, version: str = V13, *, within: float = 20.0) -> Answer:
    """Say *operation* to *url* and judge what comes back."""
    name = operation.tag.removeprefix("wctp-")
    return judge(name, version, *exchange(url, document(operation, version), within=within))


def exchange(
    url: str, body: bytes, *, content_type: str = "text/xml; charset=utf-8", within: float = 20.0
) -> tuple[int | None, bytes]:
    """POST *body* as it is: the status and what came back; None if the connection brought no answer."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type}, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=within) as answer:
            return answer.status, answer.read(MAX_BODY)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(MAX_BODY)
    except OSError:  # refused, reset, timed out; http.client's RemoteDisconnected is one too
        return None, b""


def judge(asked: str, version: str, status: int | None, body: bytes) -> Answer:
    """What an answer with *status* and *body* to the operation *asked* in *version* says, and whether it may."""
    if status is None:
        return Answer(wrong="no answer")
    try:
        spoken, operation = read(body)
    except NotWctp as error:
        return Answer(status=status, wrong=str(error))
    kind = operation.tag.removeprefix("wctp-")
    wrong = None
    if spoken != version:
        wrong = f"asked in {version}, answered in {spoken}"
    result = next((one for one in operation if one.tag in _RESULTS), None)
    if kind != ANSWERS[asked] and not (kind == "Confirmation" and operation[0].tag == "wctp-Failure"):
        wrong = f"{asked} answered by {kind}"
    if result is not None and not (result.text or "").strip():
        wrong = f"{result.tag} without text"  # some clients die of it
    if status != 200:
        wrong = f"HTTP status {status}"
    code = None if result is None else int(result.get("successCode") or result.get("errorCode") or 0)
    again = operation.get("minNextPollInterval")
    return Answer(
        kind=kind,
        code=code,
        text="" if result is None else result.text or "",
        tracking=None if result is None else result.get("trackingNumber"),
        messages=tuple(_messages(operation)),
        again=None if again is None else int(again),
        status=status,
        wrong=wrong,
    )


_RESULTS = ("wctp-Success", "wctp-Failure", "wctp-ClientSuccess")


def _messages(answer: ET.Element) -> Iterator[Told]:
    for one in answer:
        if one.tag == "wctp-Message" and one[0].tag != "wctp-LookupResponse":
            yield dataclasses.replace(told(one[0]), sequence=one.get("sequenceNo"))
        elif one.tag == "wctp-ClientMessage":
            yield told(one[0])


def told(operation: ET.Element) -> Told:
    """What a StatusInfo, a MessageReply, their kin for clients, or a SubmitRequest says."""
    header, body = operation[0], operation[1]
    if body.tag == "wctp-Payload":
        what = f"reply:{_text_of(body[0])[0]}"
    else:
        what = body.get("type") or body.get("errorCode") or ""
    control = header.find("wctp-MessageControl")
    return Told(
        kind=operation.tag.removeprefix("wctp-"),
        what=what,
        device=header[0].attrib["senderID"],
        to=header[-1].attrib["recipientID"],
        about=header.get("responseToMessageID"),
        own_id=None if control is None else control.get("messageID"),
    )
