"""Bytes to a body, or an exact complaint.

The hot path is one decoding by msgspec and one look whether a key may stand twice. Only what fails goes
through the slow reader, which finds the line and column, or every wrong field at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from math import isinf
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from gateway.api.bodies import Body
from gateway.api.problems import KINDS, BrokenJson, NotAllowed, refusal, shown
from gateway.errors import Fault, SubmissionError
from gateway.web import Request

B = TypeVar("B", bound=Body)
Check = Callable[[Any, list[Fault]], object]

MAX_DEPTH = 64  # ours: no body needs more than four

# What curl -d sends on its own is read as JSON (USERS 3); no type at all too.
_JSON_TYPES = ("", "application/json", "application/x-www-form-urlencoded")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:]|[^\s\[\]{}:,"]+', re.DOTALL)
_SPACED_COLON = re.compile(rb'"\s+:')
_AT = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_WORDS = {
    "str": "text",
    "array": "a list",
    "object": "an object",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}


def read(request: Request, kind: type[B], check: Check | None = None) -> B:
    """The body of *request*. An empty one counts as ``{}`` where no field is required.

    *check* looks at the values of a body whose types are right and appends what is wrong; it is used here
    only to report those mistakes together with mistakes of type. Raises SubmissionError 400, 415, 422.
    """
    _json_only(media_type_of(request), "application/json")
    if not request.body and not _required(kind):
        return kind()
    return decoded(request.body, kind, check)


def media_type_of(request: Request) -> str:
    """What the body says it is, without parameters, in lower case; empty if it does not say."""
    return (request.header("content-type") or "").partition(";")[0].strip().lower()


def _json_only(media_type: str, wanted: str) -> None:
    if media_type not in _JSON_TYPES and not media_type.endswith("+json"):
        raise SubmissionError(
            415, "media_type.unsupported", f"The body is {shown(media_type)}. Send {wanted}."
        )


def decoded(body: bytes, kind: type[B], check: Check | None = None) -> B:
    """*body* as a *kind*; see ``read``. Raises SubmissionError 400 and 422."""
    try:
        value: B = _decoder(kind).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise _complaint(body, kind, check, problem) from None
    # Without a backslash every `":` ends a key or begins a text, on both sides alike; so a key that
    # was dropped because it stood twice (or one that holds its default) shows as a smaller number.
    if (
        b"\\" in body
        or body.count(b'":') != _encode(value).count(b'":')
        or _SPACED_COLON.search(body) is not None
    ):
        _scan(body.decode())
    return value


def pieces_of(request: Request) -> list[bytes]:
    """The messages of a batch, each as it was sent: the elements of ``messages``, or the lines of NDJSON
    that are not blank. Only their being JSON is looked at here, and of lines not even that.

    Raises SubmissionError 400, 415, 422.
    """
    media_type = media_type_of(request)
    if media_type in NDJSON:
        return [line for line in request.body.split(b"\n") if not line.isspace() and line]
    _json_only(media_type, f"application/json or {NDJSON[0]}")
    body = request.body
    try:
        batch = _decoder(_Batch).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise _complaint(body, _AnyBatch, None, problem) from None
    if len(_KEY.findall(body)) != len(_KEY.findall(_encode(batch))):  # as above, for keys outside messages
        _scan(body.decode("utf-8", "replace"))
    return [bytes(piece) for piece in batch.messages]


NDJSON = ("application/x-ndjson", "application/ndjson")
_KEY = re.compile(rb'"[ \t\r\n]*:')


class _Batch(Body, frozen=True, kw_only=True):
    messages: list[msgspec.Raw]


class _AnyBatch(Body, frozen=True, kw_only=True):
    messages: list[Any]


_encode = msgspec.json.Encoder().encode


@cache
def _decoder(kind: type[B]) -> msgspec.json.Decoder[B]:
    return msgspec.json.Decoder(kind)


@cache
def _known(kind: type[Body]) -> dict[str, FieldInfo]:
    return {field.encode_name: field for field in fields(kind)}


@cache
def _required(kind: type[Body]) -> tuple[str, ...]:
    return tuple(name for name, field in _known(kind).items() if field.required)


def _complaint(body: bytes, kind: type[B], check: Check | None, problem: Exception) -> SubmissionError:
    try:
        value = _parse(body)
    except BrokenJson as broken:
        return broken
    faults: list[Fault] = []
    if not isinstance(value, dict):
        faults.append(
            Fault(pointer="#", code="field.type", detail="The body must be an object.", given=shown(value))
        )
    else:
        rest = mistakes_of_shape(value, kind, faults)
        if check is not None:
            for name in _required(kind):  # stand-ins, so that the other fields are looked at too
                rest.setdefault(name, "x")
            check(msgspec.convert(rest, kind), faults)
    if not faults:
        return BrokenJson("json.invalid", f"The body cannot be read: {problem}.", 1, 1)
    return refusal(faults)


def read_query(request: Request, kind: type[B]) -> B:
    """The query parameters of *request*. Raises SubmissionError 400; 405 for a message in the query."""
    if not request.query and not _required(kind):
        return kind()
    values: dict[str, str] = {}
    faults: list[Fault] = []
    for name, given in request.query.items():
        if request.method != "POST" and name in _NEVER_IN_A_QUERY:
            raise NotAllowed(
                "A message does not go into a URL, where it stays in logs: POST it as JSON to /v1/messages.",
                "POST",
            )
        values[name] = given[0]
        if len(given) > 1:
            twice = f"{shown(name)} stands {len(given)} times."
            faults.append(Fault(pointer="?" + escaped(name), code="query.value", detail=twice))
    right = mistakes_of_shape(values, kind, faults, lead="?", strict=False)
    if faults:
        raise refusal([fault if fault.code == "query.unknown" else _of_query(fault) for fault in faults])
    return msgspec.convert(right, kind, strict=False)


_NEVER_IN_A_QUERY = frozenset({"to", "text", "details", "callback", "body"})


def _of_query(fault: Fault) -> Fault:
    return msgspec.structs.replace(fault, code="query.value")


# ---------------------------------------------------------------- JSON, strictly


def _parse(body: bytes) -> Any:
    """The JSON value; BrokenJson with the place of the first thing that is wrong."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in body[:4]:
        raise BrokenJson("json.invalid", "The body is not UTF-8 (it looks like UTF-16).", 1, 1)
    if body.startswith(b"\xef\xbb\xbf"):
        raise BrokenJson("json.invalid", "The body begins with a byte order mark; send it without.", 1, 1)
    try:
        text = body.decode()
    except UnicodeDecodeError as problem:
        before = body[: problem.start].decode()
        raise _broken("json.invalid", "The body is not UTF-8.", before, len(before)) from None
    if not text.strip():
        raise BrokenJson("json.invalid", "The body is empty; it must be a JSON object.", 1, 1)
    try:
        value = json.loads(text, parse_int=_number)
    except json.JSONDecodeError as problem:
        what = "The body is cut off." if problem.pos >= len(text.rstrip()) else f"{problem.msg}."
        if problem.pos == 0 and "=" in text:
            what = "The body is read as JSON, not as a form."
        raise BrokenJson("json.invalid", what, problem.lineno, problem.colno) from None
    except RecursionError:
        value = None
    _scan(text)
    return value


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


def _broken(code: str, detail: str, text: str, at: int, given: str | None = None) -> BrokenJson:
    return BrokenJson(code, detail, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at), given)


def _scan(text: str) -> None:
    """What json.loads lets pass: depth, keys that stand twice, NaN, 1e999, half surrogate pairs.

    *text* is JSON, or nested too deeply for json.loads.
    """
    keys: list[set[str]] = []
    last, last_at = "", 0
    for match in _TOKEN.finditer(text):
        piece, at = match[0], match.start()
        if piece[0] == '"':
            last, last_at = piece, at
            if "\\u" in piece and _is_half(json.loads(piece, strict=False)):
                raise _broken("json.invalid", "A text has half of a surrogate pair.", text, at)
        elif piece == ":":
            name = json.loads(last)
            if name in keys[-1]:
                what = f"The key {shown(name)} stands twice."
                raise _broken("json.duplicate_key", what, text, last_at, shown(name))
            keys[-1].add(name)
        elif piece in "{[":
            keys.append(set())
            if len(keys) > MAX_DEPTH:
                raise _broken("json.invalid", f"Nested more than {MAX_DEPTH} deep.", text, at)
        elif piece in "}]":
            keys.pop()
        elif piece in ("NaN", "Infinity", "-Infinity"):
            raise _broken("json.invalid", f"{piece} is not JSON.", text, at, piece)
        elif piece[0] in "-0123456789" and isinf(float(piece)):
            raise _broken("json.invalid", "A number is too large.", text, at, shown(piece))


def _is_half(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


# ---------------------------------------------------------------- fields of the right name and type


def mistakes_of_shape(
    value: Mapping[str, Any], kind: type[Body], faults: list[Fault], *, lead: str = "#/", strict: bool = True
) -> dict[str, Any]:
    """Append what is wrong with names and types; what is right is returned.

    *lead* is put before a field's name in the pointer. *strict* False reads numbers and truth from text.
    """
    known = _known(kind)
    right: dict[str, Any] = {}
    for name in value:
        if name not in known:
            near = _near(name[:80], known)
            hint = f" Did you mean {near[0]}?" if near else ""
            faults.append(
                Fault(
                    pointer=lead + escaped(name),
                    code="field.unknown" if lead == "#/" else "query.unknown",
                    detail=f"There is no {'field' if lead == '#/' else 'parameter'} {shown(name)}.{hint}",
                    given=shown(name),
                    try_=near,
                )
            )
    for name, field in known.items():
        if name not in value:
            if field.required:
                faults.append(
                    Fault(pointer=lead + name, code=_code(name, "missing"), detail=f"{name} is required.")
                )
            continue
        try:
            msgspec.convert(value[name], field.type, strict=strict)
        except msgspec.ValidationError as problem:
            faults.append(_mistyped(field, value[name], str(problem), lead))
        else:
            right[name] = value[name]
    return right


def _mistyped(field: FieldInfo, value: Any, problem: str, lead: str) -> Fault:
    """What msgspec says about one field, in our words."""
    match = _AT.match(problem)
    assert match is not None
    what, path = match[1], match[2] or ""
    name, pointer = field.encode_name, lead + field.encode_name
    for step in _STEP.finditer(path):
        pointer += "/" + (step[1] or step[2])
        value = value[step[1] or int(step[2])]
    quoted = re.findall(r"`([^`]*)`", what)
    if what.startswith("Expected `"):
        wanted = " or ".join(dict.fromkeys(_WORDS.get(t, t) for t in quoted[0].split(" | ") if t != "null"))
        detail, code = f"{name} must be {wanted}.", _code(name, "type")
    elif what.startswith("Invalid enum value"):
        words = _choices(field.type)
        return Fault(
            pointer=pointer,
            code="field.value",
            detail=f"{name} must be one of {', '.join(words)}.",
            given=shown(value),
            try_=tuple(get_close_matches(str(value)[:80], words, n=1)) or words,
        )
    elif "unknown field" in what:
        return Fault(
            pointer=f"{pointer}/{escaped(quoted[0])}",
            code="field.unknown",
            detail=f"There is no field {shown(quoted[0])} in {name}.",
            given=shown(quoted[0]),
        )
    elif "missing required field" in what:
        detail, code = f"{quoted[0]} is required.", "field.missing"
        pointer += "/" + quoted[0]
    else:
        detail, code = f"{name}: {what}.", "field.value"
    return Fault(pointer=pointer, code=code, detail=detail, given=shown(value))


ELSEWHERE = {  # what others call our fields
    "body": "text",
    "deadline": "expires_in",
    "dedup_key": "incident",
    "message": "text",
    "priority": "class",
    "recipient": "to",
    "recipients": "to",
    "severity": "class",
    "target": "to",
    "ttl": "expires_in",
    "urgency": "class",
}


def _near(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The field that *name* is nearly, or that others call so."""
    names = list(known)
    others = [theirs for theirs, ours in ELSEWHERE.items() if ours in names]
    found = get_close_matches(name, names, n=1) or get_close_matches(name, others, n=1)
    return tuple(ELSEWHERE.get(near, near) for near in found)


def _choices(kind: Any) -> tuple[str, ...]:
    """The words of a Literal, also within a union."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return tuple(word for member in get_args(kind) for word in _choices(member))
    return ()


def _code(name: str, what: str) -> str:
    """A field that has codes of its own is named by them."""
    own = f"{name}.{what}"
    return own if own in KINDS else f"field.{what}"


def escaped(name: str) -> str:
    """A name within a JSON pointer (RFC 6901 section 3), cut."""
    return shown(name).replace("~", "~0").replace("/", "~1")
