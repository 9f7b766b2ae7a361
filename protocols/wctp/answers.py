"""What a client may conclude from the answer to something it sent.

Taken only if a success was said, failed only if a failure was said. Everything else is `Foreign`: once the
whole request was written nobody knows whether it was taken.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from protocols.wctp import dtd
from protocols.wctp import messages as m
from protocols.wctp.codec import DEFAULT_LIMITS, Reader
from protocols.wctp.messages import Kind, Version, WctpId, WctpLine, WctpText
from protocols.wctp.tree import Fault, Limits, Node, Tolerance, grown

DEPTH = 3  # how far below wctp-Operation a result is looked for
TOLERANCE = Tolerance(any_version=True, html_names=True)  # for every answer, also those that `read` reads
_RESULTS = ("wctp-Success", "wctp-ClientSuccess", "wctp-Failure")
_ANSWERS = (
    "wctp-Confirmation",
    "wctp-SubmitClientResponse",
    "wctp-SendMsgMultiResponse",
    "wctp-ClientQueryResponse",
    "wctp-PollResponse",
    "wctp-VersionResponse",
    *_RESULTS,
)


class Accepted(Struct, frozen=True, kw_only=True):
    """They took it. *tracking*: of a transient message, if they gave one. *failed*: recipients of several
    that they did not take."""

    code: int
    text: WctpLine
    detail: WctpText
    tracking: WctpId | None = None
    failed: tuple[m.FailedRecipient, ...] = ()


class Denied(Struct, frozen=True, kw_only=True):
    """They said that they did not take it. *kind* says what that asks of us, never `Kind.SUCCESS`."""

    kind: Kind
    code: int | None
    text: WctpLine
    detail: WctpText
    failed: tuple[m.FailedRecipient, ...] = ()


class Foreign(Struct, frozen=True, kw_only=True):
    """No answer of WCTP that says yes or no; *why* is for an operator and repeats nothing of the body."""

    why: str


def judged(
    status: int, headers: Mapping[str, str], body: bytes, limits: Limits = DEFAULT_LIMITS
) -> Accepted | Denied | Foreign:
    """What the answer with this HTTP *status*, *headers* (names in any case) and *body* means.

    A failure counts with any status, a success only with 2xx. Content-Type is of no use: good answers come
    as text/html.
    """
    if why := _cut(headers, body):
        return Foreign(why=f"HTTP {status}, {why}")
    if not body.strip(b" \t\r\n\0"):
        return Foreign(why=f"HTTP {status} without a body")
    try:
        tree = grown(body, limits, TOLERANCE, dtd.NAMES, dtd.TEXTS)
        reader = Reader(Version.V1_3, m.LATEST, TOLERANCE, tree.quirks)
        return _concluded(status, tree.root, reader)
    except Fault as fault:
        return Foreign(why=f"HTTP {status}, {_what(status, body, fault)}")


def _cut(headers: Mapping[str, str], body: bytes) -> str | None:
    lengths = [value.strip() for name, value in headers.items() if name.lower() == "content-length"]
    for length in lengths:
        if re.fullmatch(r"[0-9]{1,15}", length, re.ASCII) and int(length) > len(body):
            return f"cut: {len(body)} of {length} octets"
    return None


def _what(status: int, body: bytes, fault: Fault) -> str:
    if status in (301, 302, 303, 307, 308):
        return "redirected"
    if body.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return f"no WCTP: {fault.reason}" + (f" ({fault.place})" if fault.place else "")


def _concluded(status: int, root: Node, reader: Reader) -> Accepted | Denied | Foreign:
    answers = [one for one in root.children if one.name.startswith(dtd.PREFIX)]
    if len(answers) != 1 or answers[0].name not in _ANSWERS:
        return Foreign(why=f"HTTP {status}, WCTP, but not one answer")
    results = list(_results(answers[0], 1))
    failures = [one for one in results if one.name == "wctp-Failure"]
    if not results or len(failures) not in (0, len(results)):
        return Foreign(why=f"HTTP {status}, an answer that does not say yes or no")
    failed = reader.failed_recipients(answers[0])
    if failures:
        denied = reader.failure(failures[0])
        if denied.kind is Kind.SUCCESS:
            return Foreign(why=f"HTTP {status}, a failure with the code of a success ({denied.code})")
        return Denied(
            kind=denied.kind, code=denied.code, text=denied.text, detail=denied.detail, failed=failed
        )
    said = reader.client_success(results[0])
    if said.code is None or said.kind is not Kind.SUCCESS:
        return Foreign(why=f"HTTP {status}, a success with the code of a failure or none ({said.code})")
    if status // 100 != 2:
        return Foreign(why=f"HTTP {status} with a success in it")
    return Accepted(code=said.code, text=said.text, detail=said.detail, tracking=said.tracking, failed=failed)


def _results(node: Node, depth: int) -> Iterator[Node]:
    """Successes and failures in *node*, in their order."""
    if node.name in _RESULTS:
        yield node
    elif depth < DEPTH:
        for one in node.children:
            yield from _results(one, depth + 1)
