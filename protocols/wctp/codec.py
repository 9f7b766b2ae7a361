"""Octets to values and back: documents, texts, times.

`read` never raises for what a peer wrote: a document that cannot be read is an `Unreadable`. `write` gives
what the DTD of the dialect's version allows, or raises `InvalidValue`.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any, TypeVar, assert_never

from msgspec import Struct
from msgspec.structs import replace

from protocols.text import CONTROLS
from protocols.wctp import dtd
from protocols.wctp import messages as m
from protocols.wctp.messages import (
    Code,
    DoctypeUrl,
    InvalidValue,
    MessageId,
    Unreadable,
    Version,
    WctpId,
    WctpLine,
    WctpSecret,
    WctpText,
)
from protocols.wctp.tree import ROOT, Fault, Node, Tree, grown
from protocols.wctp.tree import Limits as Limits
from protocols.wctp.tree import Tolerance as Tolerance

# Texts


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text_of(text: str) -> WctpText:
    """*text* with a blank for each character that XML 1.0 cannot carry; raises `InvalidValue` if too long."""
    return WctpText(_NOT_XML.sub(" ", text))


def line_of(text: str) -> WctpLine:
    """*text* as one line: a blank for each control character, cut at `m.MAX_LINE`. Never fails."""
    return WctpLine(_NOT_XML.sub(" ", CONTROLS.sub(" ", text))[: m.MAX_LINE])


# Times


_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:[.,][0-9]{1,9})?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?",
    re.ASCII,
)


def parse_time(text: str) -> datetime:
    """``YYYY-MM-DDThh:mm:ss`` in UTC. Also read: a blank for T, no seconds, a fraction (dropped), ``Z``, an
    offset. Raises `InvalidValue`."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise InvalidValue("time", "is not YYYY-MM-DDThh:mm:ss")
    day, minute, second, sign, hours, minutes = found.groups()
    try:
        zone: timezone = UTC
        if sign:
            if int(minutes) > 59:
                raise ValueError
            span = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(-span if sign == "-" else span)
        return datetime.fromisoformat(f"{day}T{minute}{second or ':00'}").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidValue("time", "does not exist") from None


def format_time(at: datetime) -> str:
    """Nineteen characters of *at* in UTC, no zone letter: a checker of the field refuses one."""
    if at.tzinfo is None:
        raise InvalidValue("time", "has no zone")
    try:
        return at.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()
    except OverflowError:
        raise InvalidValue("time", "does not exist") from None


# Written


class Declaration(Enum):
    """The XML declaration; a carrier of the field refused the full one."""

    FULL = '<?xml version="1.0" encoding="UTF-8"?>\n'
    PLAIN = '<?xml version="1.0"?>\n'
    NONE = ""


NAMES_OF_VERSIONS = {
    Version.V1_0: "1.0",
    Version.V1_1: "wctp-dtd-v1r1",
    Version.V1_2: "wctp-dtd-v1r2",
    Version.V1_3: m.LATEST,
}
DOCTYPES = {
    Version.V1_0: DoctypeUrl("http://wctp.arch.com/DTD/wctpv1-0.dtd"),
    **{
        version: DoctypeUrl(f"http://dtd.wctp.org/{NAMES_OF_VERSIONS[version]}.dtd")
        for version in (Version.V1_1, Version.V1_2, Version.V1_3)
    },
}


class Dialect(Struct, frozen=True, kw_only=True):
    """How a peer wants documents. *spelling*: of its wctpVersion; *doctype*: None for none; *spell_out*: also
    attributes that have their default."""

    spelling: str = m.LATEST
    doctype: DoctypeUrl | None = None
    declaration: Declaration = Declaration.FULL
    token: WctpLine | None = None
    spell_out: bool = False

    @property
    def version(self) -> Version:
        if (version := m.version_of(self.spelling)) is None or len(self.spelling) > m.MAX_VERSION_NAME:
            raise InvalidValue("wctpVersion", "is not known")
        return version


def asking(version: Version = Version.V1_3) -> Dialect:
    """For requests: with a DOCTYPE, which carriers document and validators want."""
    return Dialect(spelling=NAMES_OF_VERSIONS[version], doctype=DOCTYPES[version])


def answering(heard: m.Document | Unreadable, doctypes: Collection[str] = ()) -> Dialect:
    """For the answer to *heard*: its own spelling of the version; its DOCTYPE only if that is one of
    *doctypes*, because there are clients that fetch what it names and fail."""
    match heard:
        case m.Document(spelling=spelling, doctype=doctype):
            named = doctype if doctype in doctypes else None
            return Dialect(spelling=spelling, doctype=DoctypeUrl(named) if named else None)
        case Unreadable(spelling=spelling):
            return Dialect(spelling=spelling)
        case _:
            assert_never(heard)


def write(operation: m.Operation, dialect: Dialect = Dialect()) -> bytes:  # noqa: B008  # frozen
    """The document that says *operation*, in UTF-8.

    Raises `InvalidValue` for what the dialect's version does not have, except for attributes that only tell
    more: these are left out.
    """
    writer = _Writer(dialect)
    content = writer.tag("Operation", dialect, writer.operation(operation))
    doctype = f'<!DOCTYPE {ROOT} SYSTEM "{dialect.doctype}">\n' if dialect.doctype else ""
    return f"{dialect.declaration.value}{doctype}{content}\n".encode()


_IN_TEXT = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_IN_ATTRIBUTE = _IN_TEXT | {'"': "&quot;", "'": "&apos;", "\t": "&#9;", "\n": "&#10;"}
_TEXT_TABLE, _ATTRIBUTE_TABLE = str.maketrans(_IN_TEXT), str.maketrans(_IN_ATTRIBUTE)


def _checked(field: str, text: str) -> str:
    if _NOT_XML.search(text):
        raise InvalidValue(field, "has characters that are not allowed")
    return text


class _Writer:
    def __init__(self, dialect: Dialect) -> None:
        self._version = dialect.version
        self._all = dialect.spell_out

    def tag(self, name: str, of: object = None, *content: str) -> str:
        """One element with the attributes that *of* has, and *content*, which is escaped already."""
        element = dtd.ELEMENTS[dtd.PREFIX + name]
        if not dtd.in_version(element, self._version):
            raise InvalidValue(dtd.PREFIX + name, f"is not in WCTP {self._version}")
        attributes = "".join(
            [
                self._attribute(one, getattr(of, one.field))
                for one in dtd.ATTRIBUTES[dtd.PREFIX + name, self._version].values()
            ]
        )
        inner = "".join(content)
        return f"<wctp-{name}{attributes}>{inner}</wctp-{name}>" if inner else f"<wctp-{name}{attributes}/>"

    def _attribute(self, one: dtd.Attribute, value: Any) -> str:
        said: str | None
        if value is None:
            said = None
        elif isinstance(one.kind, dtd.Words):
            default = value == one.kind.default and not self._all
            said = None if default else one.kind.spelling(value)
        elif isinstance(value, datetime):
            said = format_time(value)
        elif isinstance(value, int):
            if value < 0:
                raise InvalidValue(one.name, "is negative")
            said = str(value)
        else:
            said = value if value or one.required else None
        if said is None:
            if one.required:
                raise InvalidValue(one.name, "is missing")
            return ""
        return f' {one.name}="{_checked(one.name, said).translate(_ATTRIBUTE_TABLE)}"'

    def text(self, name: str, text: str, of: object = None) -> str:
        return self.tag(name, of, _checked(dtd.PREFIX + name, text).translate(_TEXT_TABLE))

    def operation(self, said: m.Operation) -> str:
        match said:
            case m.SubmitRequest(payload=payload):
                return self.tag(
                    "SubmitRequest", None, self._header("SubmitHeader", said), self.payload(payload)
                )
            case m.SendMsgMulti(
                originator=originator, control=control, recipients=recipients, payload=payload
            ):
                if not recipients:
                    raise InvalidValue("recipients", "are missing")
                header = self.tag(
                    "MsgMultiHeader",
                    said,
                    self.tag("Originator", originator),
                    self.tag("MsgMultiControl", control),
                    *(self.tag("Recipient", one) for one in recipients),
                )
                return self.tag("SendMsgMulti", None, header, self.payload(payload))
            case m.SubmitClientMessage(payload=payload):
                return self.tag("SubmitClientMessage", None, self._client_header(said), self.payload(payload))
            case m.ClientQuery():
                return self.tag("ClientQuery", said)
            case m.MessageReply(header=header, payload=payload):
                return self.tag(
                    "MessageReply", said, self._header("ResponseHeader", header), self.payload(payload)
                )
            case m.StatusInfo(header=header, result=result):
                return self.tag(
                    "StatusInfo", None, self._header("ResponseHeader", header), self.result(result)
                )
            case m.PollForMessages(received=received):
                acknowledged = (self.tag("MessageReceived", one, self.result(one.result)) for one in received)
                return self.tag("PollForMessages", said, *acknowledged)
            case m.VersionQuery():
                return self.tag("VersionQuery", said)
            case m.LookupSubscriber():
                return self._enquiry("LookupSubscriber", "LookupMessageControl", said)
            case m.DeviceLocation():
                return self._enquiry("DeviceLocation", "DeviceLocationControl", said)
            case m.LookupResponse():
                return self._found("LookupResponse", said)
            case m.DeviceLocationResponse():
                return self._found("DeviceLocationResponse", said)
            case m.ReturnToSvc(address=address):
                return self.text("ReturnToSvc", address)
            case m.BindDomainAlias(action=action):
                name = action.value.removeprefix(dtd.PREFIX)
                return self.tag("BindDomainAlias", None, self.tag(name, said))
            case m.Confirmation(result=result):
                return self.tag("Confirmation", None, self.result(result))
            case m.SubmitClientResponse(result=result):
                return self.tag("SubmitClientResponse", None, self.result(result))
            case m.SendMsgMultiResponse(result=result, failed=failed):
                refused = (self.tag("FailedRecipient", one) for one in failed)
                return self.tag("SendMsgMultiResponse", said, self.result(result), *refused)
            case m.ClientQueryResponse(messages=messages, failure=failure):
                items = [self.tag("ClientMessage", None, self._client_message(one)) for one in messages]
                return self.tag("ClientQueryResponse", said, *self._batch(items, failure))
            case m.PollResponse(messages=polled, failure=failure):
                items = [self.tag("Message", one, self._polled(one)) for one in polled]
                if failure and self._version < Version.V1_1:
                    raise InvalidValue("wctp-Failure in wctp-PollResponse", "is not in WCTP 1.0")
                return self.tag("PollResponse", said, *self._batch(items, failure))
            case m.VersionResponse(contact=contact, result=result):
                return self.tag(
                    "VersionResponse",
                    said,
                    self.tag("ContactInfo", contact) if contact else "",
                    *([self.result(result)] if isinstance(result, m.Failure) else self._supports(result)),
                )
            case _:
                assert_never(said)

    def _supports(self, supports: tuple[m.DtdSupport, ...]) -> list[str]:
        if not supports:
            raise InvalidValue("wctp-DTDSupport", "is missing")
        return [self.tag("DTDSupport", one) for one in supports]

    def _batch(self, items: list[str], failure: m.Failure | None) -> list[str]:
        if failure:
            return [self.result(failure)]
        return items or [self.tag("NoMessages")]

    def _polled(self, one: m.PolledMessage) -> str:
        if isinstance(one.content, Unreadable):
            raise InvalidValue("wctp-Message", "cannot be read")
        return self.operation(one.content)

    def _client_message(self, one: m.ClientMessageReply | m.ClientStatusInfo | Unreadable) -> str:
        match one:
            case m.ClientMessageReply(header=header, payload=payload):
                return self.tag(
                    "ClientMessageReply", one, self._client_response(header), self.payload(payload)
                )
            case m.ClientStatusInfo(header=header, result=result):
                return self.tag("ClientStatusInfo", None, self._client_response(header), self.result(result))
            case Unreadable():
                raise InvalidValue("wctp-ClientMessage", "cannot be read")
            case _:
                assert_never(one)

    def _client_response(self, header: m.ClientResponseHeader) -> str:
        return self.tag(
            "ClientResponseHeader",
            header,
            self.tag("Originator", header.originator),
            self.tag("Recipient", header.recipient),
        )

    def _header(self, name: str, of: m.SubmitRequest | m.ResponseHeader) -> str:
        return self.tag(
            name,
            of,
            self.tag("Originator", of.originator),
            self.tag("MessageControl", of.control),
            self.tag("Recipient", of.recipient),
        )

    def _client_header(self, said: m.SubmitClientMessage) -> str:
        if said.originator.security_code is not None:
            raise InvalidValue("securityCode", "has no place in a transient message, miscInfo has")
        return self.tag(
            "SubmitClientHeader",
            said,
            self.tag("ClientOriginator", said.originator),
            self.tag("ClientMessageControl", said.control),
            self.tag("Recipient", said.recipient),
        )

    def _enquiry(self, name: str, control: str, said: m.LookupSubscriber | m.DeviceLocation) -> str:
        return self.tag(
            name,
            None,
            self.tag("Originator", said.originator),
            self.tag(control, said),
            self.tag("Recipient", said.recipient),
        )

    def _found(self, name: str, said: m.LookupResponse | m.DeviceLocationResponse) -> str:
        return self.tag(
            name,
            said,
            self.tag("Originator", said.originator),
            self.tag("Recipient", said.recipient),
            self.result(said.result),
        )

    def result(
        self,
        said: m.Success | m.Failure | m.ClientSuccess | m.Notification | m.LookupData | m.LocationData,
    ) -> str:
        """Success and failure never empty: a client of the field fails on an empty element."""
        match said:
            case m.Success() | m.Failure() | m.ClientSuccess():
                text = said.text or WctpLine(m.MEANINGS.get(said.code or 0, ""))
                return self.text(type(said).__name__, said.detail or text or "OK", replace(said, text=text))
            case m.Notification():
                return self.tag("Notification", said)
            case m.LookupData():
                return self.tag("LookupData", said)
            case m.LocationData():
                return self.tag("LocationData", said)
            case _:
                assert_never(said)

    def payload(self, payload: m.Payload) -> str:
        match payload:
            case m.Alphanumeric(text=text):
                content = self.text("Alphanumeric", text)
            case m.TransparentData():
                content = self._data(payload)
            case m.MultipleChoice(text=text, choices=choices):
                if not choices:
                    raise InvalidValue("choices", "are missing")
                content = self.tag("MCR", None, self.text("MessageText", text), *map(self._choice, choices))
            case _:
                assert_never(payload)
        return self.tag("Payload", None, content)

    def _choice(self, choice: m.Choice | m.ChoicePair) -> str:
        match choice:
            case m.Choice(text=text):
                return self.text("Choice", text)
            case m.ChoicePair(send=send, reply=reply):
                back = self.text("ReplyChoice", reply) if reply is not None else ""
                return self.tag("ChoicePair", None, self.text("SendChoice", send), back)
            case _:
                assert_never(choice)

    def _data(self, payload: m.TransparentData) -> str:
        match payload.encoding:
            case m.Encoding.BASE64:
                text = b64encode(payload.data).decode("ascii")
            case m.Encoding.STANDARD:
                try:
                    text = payload.data.decode()
                except UnicodeDecodeError:
                    raise InvalidValue("data", "is no text, send it as base64") from None
            case _:
                assert_never(payload.encoding)
        return self.text("TransparentData", text, payload)


# Read


MAX_QUIRKS = 20  # that a document is said to have; ours, they go into one line of a log
DEFAULT_LIMITS = Limits()
LENIENT = Tolerance()


def read(
    body: bytes, tolerance: Tolerance = LENIENT, limits: Limits = DEFAULT_LIMITS
) -> m.Document | Unreadable:
    """What *body*, of a request or of an answer, says. Never raises for what is in it.

    Its Content-Type is of no use: peers send any. Children and attributes are found by name, in any order.
    """
    spelling = m.LATEST
    try:
        tree = grown(body, limits, tolerance, dtd.NAMES, dtd.TEXTS)
        node = the_operation(tree.root)
        version, spelling = _version(tree, tolerance, node)
        if not dtd.in_version(dtd.ELEMENTS[node.name], version):
            raise Fault(Code.OPERATION_NOT_SUPPORTED, f"is not in WCTP {version}", node.name)
        if tolerance.strict and (why := dtd.fault(tree.root, version)):
            raise Fault(Code.NOT_VALID, why)
        reader = Reader(version, spelling, tolerance, tree.quirks)
        token = _looked_up(tree.root.attributes, "wctpToken")
        operation = reader.operation(node)
        return m.Document(
            operation=operation,
            version=version,
            spelling=spelling,
            token=line_of(token) if token else None,
            doctype=tree.doctype,
            quirks=tuple(tree.quirks),
        )
    except Fault as fault:
        return _unreadable(fault, spelling, 413 if len(body) > limits.body else 200)


def _unreadable(fault: Fault, spelling: str, status: int = 200) -> Unreadable:
    return Unreadable(
        code=fault.code,
        reason=fault.reason,
        place=fault.place,
        limit=fault.limit,
        spelling=spelling,
        status=status,
    )


def the_operation(root: Node) -> Node:
    """The one operation; a wctp-Failure that stands alone counts as one. Raises `Fault`."""
    found = [one for one in root.children if one.name.startswith(dtd.PREFIX)] or root.children
    if not found:
        raise Fault(Code.NOT_VALID, "has no operation", ROOT)
    if len(found) > 1:
        raise Fault(Code.NOT_VALID, "has more than one operation", ROOT, 1)
    if found[0].name not in _OPERATIONS:
        raise Fault(Code.OPERATION_NOT_SUPPORTED, "operation is not known", ROOT)
    return found[0]


def _version(tree: Tree, tolerance: Tolerance, operation: Node) -> tuple[Version, str]:
    """The version and its spelling for the answer: wctpVersion, or the DTD that is named, or the latest."""
    said = (_looked_up(tree.root.attributes, "wctpVersion") or "").strip()
    if said and len(said) <= m.MAX_VERSION_NAME and (version := m.version_of(said)):
        return version, said
    # Who asks which versions there are must not be told that his is unknown.
    if said and not (tolerance.any_version or operation.name == m.VersionQuery.name):
        raise Fault(Code.VERSION_NOT_SUPPORTED, "version is not known", f"{ROOT}/@wctpVersion")
    if not said:
        if tolerance.strict:
            raise Fault(Code.VERSION_NOT_SUPPORTED, "is missing", f"{ROOT}/@wctpVersion")
        if version := m.version_of((tree.doctype or "").rpartition("/")[2]):
            return version, NAMES_OF_VERSIONS[version]
    tree.quirks.append(f"{ROOT}/@wctpVersion is {'not known' if said else 'missing'}")
    return Version.V1_3, m.LATEST


def _looked_up(attributes: dict[str, str], name: str) -> str | None:
    """By its exact name, else in any case."""
    if name in attributes:
        return attributes[name]
    low = name.lower()
    return next((value for given, value in attributes.items() if given.lower() == low), None)


_BLANKS = " \t\r\n"
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_DUE = frozenset({"deliveryAfter", "deliveryBefore"})  # the times that decide something
_T = TypeVar("_T")
_C = TypeVar("_C", bound=m.MessageControl)


class Reader:
    """Elements to values; raises `Fault`. For this package: others use `read`."""

    def __init__(self, version: Version, spelling: str, tolerance: Tolerance, quirks: list[str]) -> None:
        self._version, self._spelling, self._strict = version, spelling, tolerance.strict
        self._quirks = quirks

    def _forgiven(self, quirk: str) -> None:
        if len(self._quirks) < MAX_QUIRKS and quirk not in self._quirks:
            self._quirks.append(quirk)

    # Finding

    def attributes(self, node: Node, name: str | None = None) -> dict[str, Any]:
        """The fields that the attributes of *node* give, read as those of *name*; what is not there, or is
        empty and may be missing, is not in it."""
        out: dict[str, Any] = {}
        known = dtd.ATTRIBUTES[dtd.PREFIX + name if name else node.name, self._version]
        for given, said in node.attributes.items():
            one = known.get(given.lower())
            if one is None or (given != one.name and one.name in node.attributes):
                continue
            if one.kind is int:
                out[one.field] = self._number(said, node, one)
            elif said.strip() or (one.required and one.kind is MessageId):
                value = self._value(one, said, node)
                if value is not None:
                    out[one.field] = value
        for one in known.values():
            if one.required and one.field not in out:
                if one.kind is not int:
                    raise Fault(Code.NOT_VALID, "is missing", f"{node.name}/@{one.name}")
                out[one.field] = self._number("", node, one)
        return out

    def _number(self, said: str, node: Node, one: dtd.Attribute) -> int | None:
        if _NUMBER.fullmatch(said.strip()):
            return int(said)
        self._forgiven(f"{node.name}/@{one.name} is no number")
        return None

    def _value(self, one: dtd.Attribute, said: str, node: Node) -> Any:
        kind = one.kind
        if isinstance(kind, dtd.Words):
            if (word := kind.spelled(said)) is not None:
                return kind.values[word]
            self._forgiven(f"{node.name}/@{one.name} is none of its words")
            return kind.unknown
        try:
            if kind is WctpLine:
                return line_of(said)
            if issubclass(kind, datetime):
                return parse_time(said)
            return kind(said if kind is WctpSecret else said.strip())
        except InvalidValue as problem:
            place = f"{node.name}/@{one.name}"
            if kind is not datetime:
                raise Fault(Code.NOT_VALID, problem.reason, place, problem.limit) from None
            if self._strict or one.name in _DUE:
                raise Fault(Code.INVALID_TIME, f"time {problem.reason}", place) from None
            self._forgiven(f"{place} is no time")
            return None

    def _one(self, node: Node, *names: str) -> Node | None:
        """The child that is one of *names*; two would be two meanings."""
        full = [dtd.PREFIX + name for name in names]
        found = [child for child in node.children if child.name in full]
        if len(found) > 1:
            raise Fault(Code.NOT_VALID, f"has more than one {' or '.join(full)}", node.name, 1)
        return found[0] if found else None

    def _need(self, node: Node, *names: str) -> Node:
        if (found := self._one(node, *names)) is None:
            raise Fault(
                Code.NOT_VALID, f"has no {' or '.join(dtd.PREFIX + name for name in names)}", node.name
            )
        return found

    def _all(self, node: Node, name: str) -> list[Node]:
        return [child for child in node.children if child.name == dtd.PREFIX + name]

    def _text(self, node: Node, preformatted: bool = False) -> WctpText:
        try:
            return WctpText(node.text if preformatted else node.text.strip(_BLANKS))
        except InvalidValue as problem:
            raise Fault(Code.TOO_LONG, problem.reason, node.name, problem.limit) from None

    # Parts

    def _originator(self, node: Node) -> m.Originator:
        found = self._need(node, "Originator", "ClientOriginator")
        return m.Originator(**self.attributes(found, "Originator"))

    def _recipient(self, node: Node) -> m.Recipient:
        return m.Recipient(**self.attributes(self._need(node, "Recipient")))

    def _control(self, node: Node, name: str, kind: type[_C]) -> _C:
        """Missing altogether it is all defaults; one that is there must have its messageID."""
        found = self._one(node, "MessageControl", "MsgMultiControl", "ClientMessageControl")
        if found is None:
            self._forgiven(f"{node.name} has no wctp-{name}")
        elif found.name != "wctp-ClientMessageControl":
            return kind(**self.attributes(found, name))
        fields = self.attributes(found) if found else {}
        return kind(message_id=MessageId(""), **fields)

    def _payload(self, node: Node, control: m.ClientControl | None = None) -> m.Payload:
        preformatted = control is not None and control.preformatted
        found = self._need(self._need(node, "Payload"), "Alphanumeric", "TransparentData", "MCR")
        match found.name.removeprefix(dtd.PREFIX):
            case "Alphanumeric":
                return m.Alphanumeric(text=self._text(found, preformatted))
            case "TransparentData":
                return self._data(found)
            case _:
                text = self._text(self._need(found, "MessageText"), preformatted)
                choices = tuple(choice for one in found.children if (choice := self._choice(one)))
                return m.MultipleChoice(text=text, choices=choices)

    def _choice(self, node: Node) -> m.Choice | m.ChoicePair | None:
        match node.name.removeprefix(dtd.PREFIX):
            case "Choice":
                return m.Choice(text=self._text(node))
            case "ChoicePair":
                reply = self._one(node, "ReplyChoice")
                return m.ChoicePair(
                    send=self._text(self._need(node, "SendChoice")),
                    reply=self._text(reply) if reply else None,
                )
            case _:
                return None

    def _data(self, node: Node) -> m.TransparentData:
        default = m.Encoding.STANDARD if self._version is Version.V1_0 else m.Encoding.BASE64
        fields = {"encoding": default} | self.attributes(node)
        if fields["encoding"] is m.Encoding.STANDARD:
            return m.TransparentData(data=node.text.encode(), **fields)
        text = "".join(node.text.split())
        if not _BASE64.fullmatch(text):
            raise Fault(Code.NO_BINARY, "is not base64", node.name)
        return m.TransparentData(data=b64decode(text), **fields)

    def _result(self, node: Node) -> m.Success | m.Failure:
        node = self._one(node, "Confirmation") or node  # a client of the field wraps its acknowledgements
        found = self._need(node, "Success", "Failure")
        if found.name == "wctp-Failure":
            return self.failure(found)
        return m.Success(detail=self._text(found), **self.attributes(found))

    def failure(self, node: Node) -> m.Failure:
        return m.Failure(detail=self._text(node), **self.attributes(node))

    def _header(self, node: Node) -> m.ResponseHeader:
        header = self._need(node, "ResponseHeader")
        return m.ResponseHeader(
            originator=self._originator(header),
            control=self._control(header, "MessageControl", m.MessageControl),
            recipient=self._recipient(header),
            **self.attributes(header),
        )

    def _client_header(self, node: Node) -> m.ClientResponseHeader:
        header = self._need(node, "ClientResponseHeader")
        return m.ClientResponseHeader(
            originator=self._originator(header),
            recipient=self._recipient(header),
            **self.attributes(header),
        )

    def _status(self, node: Node) -> m.Notification | m.Failure:
        found = self._need(node, "Notification", "Failure")
        if found.name == "wctp-Failure":
            return self.failure(found)
        return m.Notification(**self.attributes(found))

    def _item(self, node: Node, content: Callable[[Node], _T]) -> _T | Unreadable:
        """What one item of several says; a bad one does not spoil the others."""
        try:
            return content(node)
        except Fault as fault:
            return _unreadable(fault, self._spelling)

    def _batch(self, node: Node) -> dict[str, Any]:
        failed = self._one(node, "Failure")
        if failed and (self._all(node, "Message") or self._all(node, "ClientMessage")):
            raise Fault(Code.NOT_VALID, "has messages and a failure", node.name)
        return {"failure": self.failure(failed) if failed else None} | self.attributes(node)

    # Operations

    def operation(self, node: Node) -> m.Operation:
        return _OPERATIONS[node.name](self, node)

    def submit_request(self, node: Node) -> m.SubmitRequest:
        header = self._need(node, "SubmitHeader")
        control = self._control(header, "MessageControl", m.MessageControl)
        return m.SubmitRequest(
            originator=self._originator(header),
            control=control,
            recipient=self._recipient(header),
            payload=self._payload(node, control),
            **self.attributes(header),
        )

    def send_msg_multi(self, node: Node) -> m.SendMsgMulti:
        header = self._need(node, "MsgMultiHeader")
        control = self._control(header, "MsgMultiControl", m.MultiControl)
        recipients = self._all(header, "Recipient")
        if not recipients:
            raise Fault(Code.NOT_VALID, "has no wctp-Recipient", header.name)
        return m.SendMsgMulti(
            originator=self._originator(header),
            control=control,
            recipients=tuple(m.Recipient(**self.attributes(one)) for one in recipients),
            payload=self._payload(node, control),
            **self.attributes(header),
        )

    def submit_client_message(self, node: Node) -> m.SubmitClientMessage:
        header = self._need(node, "SubmitClientHeader")
        found = self._one(header, "ClientMessageControl", "MessageControl")
        fields = self.attributes(found, "ClientMessageControl") if found else {}
        control = m.ClientControl(**fields)
        return m.SubmitClientMessage(
            originator=self._originator(header),
            control=control,
            recipient=self._recipient(header),
            payload=self._payload(node, control),
            **self.attributes(header),
        )

    def client_query(self, node: Node) -> m.ClientQuery:
        return m.ClientQuery(**self.attributes(node))

    def message_reply(self, node: Node) -> m.MessageReply:
        header = self._header(node)
        payload = self._payload(node, header.control)
        return m.MessageReply(header=header, payload=payload, **self.attributes(node))

    def status_info(self, node: Node) -> m.StatusInfo:
        return m.StatusInfo(header=self._header(node), result=self._status(node))

    def poll_for_messages(self, node: Node) -> m.PollForMessages:
        received = tuple(
            m.MessageReceived(result=self._result(one), **self.attributes(one))
            for one in self._all(node, "MessageReceived")
        )
        return m.PollForMessages(received=received, **self.attributes(node))

    def version_query(self, node: Node) -> m.VersionQuery:
        return m.VersionQuery(**self.attributes(node))

    def lookup_subscriber(self, node: Node) -> m.LookupSubscriber:
        return m.LookupSubscriber(
            originator=self._originator(node),
            recipient=self._recipient(node),
            **self.attributes(self._need(node, "LookupMessageControl")),
        )

    def lookup_response(self, node: Node) -> m.LookupResponse:
        found = self._need(node, "LookupData", "Failure")
        failed = found.name == "wctp-Failure"
        return m.LookupResponse(
            originator=self._originator(node),
            recipient=self._recipient(node),
            result=self.failure(found) if failed else m.LookupData(**self.attributes(found)),
            **self.attributes(node),
        )

    def device_location(self, node: Node) -> m.DeviceLocation:
        return m.DeviceLocation(
            originator=self._originator(node),
            recipient=self._recipient(node),
            **self.attributes(self._need(node, "DeviceLocationControl")),
        )

    def device_location_response(self, node: Node) -> m.DeviceLocationResponse:
        found = self._need(node, "LocationData", "Failure")
        failed = found.name == "wctp-Failure"
        return m.DeviceLocationResponse(
            originator=self._originator(node),
            recipient=self._recipient(node),
            result=self.failure(found) if failed else m.LocationData(**self.attributes(found)),
            **self.attributes(node),
        )

    def return_to_svc(self, node: Node) -> m.ReturnToSvc:
        try:
            return m.ReturnToSvc(address=WctpId(node.text.strip()))
        except InvalidValue as problem:
            raise Fault(Code.NOT_VALID, f"address {problem.reason}", node.name, problem.limit) from None

    def bind_domain_alias(self, node: Node) -> m.BindDomainAlias:
        found = self._need(node, *(one.value.removeprefix(dtd.PREFIX) for one in m.Binding))
        return m.BindDomainAlias(action=m.Binding(found.name), **self.attributes(found))

    def confirmation(self, node: Node) -> m.Confirmation:
        return m.Confirmation(result=self._result(node))

    def bare_failure(self, node: Node) -> m.Confirmation:
        self._forgiven("wctp-Failure stands alone")
        return m.Confirmation(result=self.failure(node))

    def submit_client_response(self, node: Node) -> m.SubmitClientResponse:
        found = self._need(node, "ClientSuccess", "Failure")
        if found.name == "wctp-Failure":
            return m.SubmitClientResponse(result=self.failure(found))
        return m.SubmitClientResponse(result=self.client_success(found))

    def client_success(self, node: Node) -> m.ClientSuccess:
        """Taken without a tracking number is taken."""
        numbered = (_looked_up(node.attributes, "trackingNumber") or "").strip()
        fields = {"tracking": None} | self.attributes(node, "ClientSuccess" if numbered else "Success")
        return m.ClientSuccess(detail=self._text(node), **fields)

    def send_msg_multi_response(self, node: Node) -> m.SendMsgMultiResponse:
        return m.SendMsgMultiResponse(
            result=self._result(node), failed=self.failed_recipients(node), **self.attributes(node)
        )

    def failed_recipients(self, node: Node) -> tuple[m.FailedRecipient, ...]:
        return tuple(m.FailedRecipient(**self.attributes(one)) for one in self._all(node, "FailedRecipient"))

    def client_query_response(self, node: Node) -> m.ClientQueryResponse:
        messages = tuple(self._item(one, self._client_message) for one in self._all(node, "ClientMessage"))
        return m.ClientQueryResponse(messages=messages, **self._batch(node))

    def _client_message(self, node: Node) -> m.ClientMessageReply | m.ClientStatusInfo:
        found = self._need(node, "ClientMessageReply", "ClientStatusInfo")
        header = self._client_header(found)
        if found.name == "wctp-ClientStatusInfo":
            return m.ClientStatusInfo(header=header, result=self._status(found))
        return m.ClientMessageReply(header=header, payload=self._payload(found), **self.attributes(found))

    def poll_response(self, node: Node) -> m.PollResponse:
        messages = []
        for one in self._all(node, "Message"):
            try:
                fields = self.attributes(one)
            except Fault:  # nobody could acknowledge it
                self._forgiven("a wctp-Message without a sequenceNo was left out")
            else:
                messages.append(m.PolledMessage(content=self._item(one, self._polled), **fields))
        return m.PollResponse(messages=tuple(messages), **self._batch(node))

    def _polled(self, node: Node) -> m.SubmitRequest | m.MessageReply | m.StatusInfo | m.LookupResponse:
        found = self._need(node, "SubmitRequest", "MessageReply", "StatusInfo", "LookupResponse")
        match found.name.removeprefix(dtd.PREFIX):
            case "SubmitRequest":
                return self.submit_request(found)
            case "MessageReply":
                return self.message_reply(found)
            case "StatusInfo":
                return self.status_info(found)
            case _:
                return self.lookup_response(found)

    def version_response(self, node: Node) -> m.VersionResponse:
        contact = self._one(node, "ContactInfo")
        failed = self._one(node, "Failure")
        supports = tuple(m.DtdSupport(**self.attributes(one)) for one in self._all(node, "DTDSupport"))
        if not failed and not supports:
            raise Fault(Code.NOT_VALID, "has no wctp-Failure or wctp-DTDSupport", node.name)
        return m.VersionResponse(
            contact=m.ContactInfo(**self.attributes(contact)) if contact else None,
            result=self.failure(failed) if failed else supports,
            **self.attributes(node),
        )


_OPERATIONS: dict[str, Callable[[Reader, Node], m.Operation]] = {
    m.SubmitRequest.name: Reader.submit_request,
    m.SendMsgMulti.name: Reader.send_msg_multi,
    m.SubmitClientMessage.name: Reader.submit_client_message,
    m.ClientQuery.name: Reader.client_query,
    m.MessageReply.name: Reader.message_reply,
    m.StatusInfo.name: Reader.status_info,
    m.PollForMessages.name: Reader.poll_for_messages,
    m.VersionQuery.name: Reader.version_query,
    m.LookupSubscriber.name: Reader.lookup_subscriber,
    m.LookupResponse.name: Reader.lookup_response,
    m.DeviceLocation.name: Reader.device_location,
    m.DeviceLocationResponse.name: Reader.device_location_response,
    m.ReturnToSvc.name: Reader.return_to_svc,
    m.BindDomainAlias.name: Reader.bind_domain_alias,
    m.Confirmation.name: Reader.confirmation,
    m.SubmitClientResponse.name: Reader.submit_client_response,
    m.SendMsgMultiResponse.name: Reader.send_msg_multi_response,
    m.ClientQueryResponse.name: Reader.client_query_response,
    m.PollResponse.name: Reader.poll_response,
    m.VersionResponse.name: Reader.version_response,
    "wctp-Failure": Reader.bare_failure,
}
