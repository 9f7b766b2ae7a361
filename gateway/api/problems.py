# ruff: noqa: E501  the table has one row a line
"""Every error that the API answers with, as one table; ``docs/reference/problems.md`` is printed from it.

A code with a dot names the part of the request that is wrong; a code without one says what the gateway
thinks of the request as a whole. Codes never change; new ones may come.
"""

from __future__ import annotations

from math import ceil

import msgspec

from gateway.api.answers import Problem, ProblemFault, ProblemKind
from gateway.errors import Conflict, Fault, SettingsError, StoreFailed, StoreFull, SubmissionError
from gateway.web import Fields, Response

PROBLEM_JSON: Fields = (("Content-Type", "application/problem+json"),)
MAX_FAULTS = 50  # ours: more do not help anybody, and an answer stays small
RETRY_STORE = 30.0  # ours: the time a supervisor takes to start the gateway again, rounded up


def _kind(code: str, status: int, title: str, means: str, *, retry: bool = False) -> ProblemKind:
    return ProblemKind(
        type=f"/problems/{code}", title=title, status=status, code=code, means=means, retry=retry
    )


_KINDS = (
    # what the body is made of
    _kind("json.invalid", 400, "Not JSON", "The body cannot be read as JSON; the error says at which line and column. NaN, numbers beyond double precision, half of a surrogate pair, a byte order mark, other encodings than UTF-8 and more than 64 levels are refused too."),
    _kind("json.duplicate_key", 400, "A key stands twice", "An object has the same key twice, so it cannot be known which one counts."),
    _kind("field.unknown", 400, "No such field", "There is no field of that name; `try` holds the nearest ones."),
    _kind("field.missing", 422, "A field is missing", "A required field is not there."),
    _kind("field.type", 422, "Wrong type", "The field must be of another JSON type."),
    _kind("field.value", 422, "Not one of the words", "The field takes one of the words in `try`."),
    _kind("field.empty", 422, "Empty", "The field may be left out, but not be empty."),
    _kind("field.too_long", 422, "Too long", "The field has more characters than its limit."),
    _kind("field.too_many", 422, "Too many", "The list has more entries than its limit."),
    _kind("field.control_char", 422, "Control character", "Control characters other than tab and new line are refused; in short fields these too."),
    _kind("body.invalid", 422, "Several mistakes", "The body has mistakes of several kinds: see `errors`."),
    _kind("query.unknown", 400, "No such query parameter", "This call has no query parameter of that name."),
    _kind("query.value", 400, "Query parameter cannot be used", "The query parameter is of another type, out of range, or stands twice."),
    # what a message is made of
    _kind("to.missing", 422, "Nobody to page", "`to` is required: a target, or a list of targets."),
    _kind("to.type", 422, "Wrong type of target", "`to` is text or a list of texts."),
    _kind("to.empty", 422, "Nobody to page", "`to` is empty."),
    _kind("to.too_long", 422, "Target too long", "A target has at most 255 characters."),
    _kind("to.too_many", 422, "Too many targets", "There are more targets than `limits.recipients`."),
    _kind("address.not_ascii", 422, "Address is not ASCII", "Targets are ASCII: digits of other scripts look right and are not."),
    _kind("address.control_char", 422, "Control character in an address", "A target holds a control character, for example a new line at its end."),
    _kind("address.empty", 422, "Address is empty", "There is nothing after the colon of `carrier:address`."),
    _kind("address.too_long", 422, "Address too long", "An address has more characters than any carrier takes."),
    _kind("address.pattern", 422, "Not an address of that carrier", "The address does not match the pattern that the settings give for its carrier."),
    _kind("text.missing", 422, "No text", "`text` is required."),
    _kind("text.empty", 422, "Empty text", "`text` has nothing that can be read."),
    _kind("text.too_long", 422, "Text too long", "`text` has more characters than `limits.text`."),
    _kind("text.control_char", 422, "Control character in the text", "NUL, ESC and other control characters are refused; tabs and new lines are kept."),
    _kind("callback.forbidden", 422, "Call-back is a URL", "`callback` is a number that people call. The gateway never calls a URL that stands in a message."),
    _kind("url.forbidden", 422, "URL cannot be used", "`href` is an absolute `http` or `https` URL without user and password."),
    _kind("deadline.syntax", 422, "Not a time", "`expires_in` is a number of seconds or text like `20m`; `not_before` is RFC 3339."),
    _kind("deadline.no_zone", 422, "Time without zone", "`not_before` needs a zone: `Z` or `+02:00`."),
    _kind("deadline.past", 422, "Too late", "The time is over already."),
    _kind("deadline.too_far", 422, "Too far away", "The time is further away than `limits.expires`."),
    _kind("idempotency_key.invalid", 400, "Idempotency-Key cannot be used", "The header, or `key` in a batch, has 1 to 255 printable ASCII characters. A batch takes no header: its messages have keys of their own."),
    _kind("batch-refused", 422, "Nothing of the batch was stored", "With `all_or_nothing`, one message that is refused stops all; `results` says which and why."),
    _kind("idempotency-key-reused", 422, "Idempotency-Key used for something else", "The key was used within 72 h with another body. A new message needs a new key."),
    _kind("idempotency-key-running", 409, "Still being stored", "The first request with this key is still under way: ask again.", retry=True),
    _kind("media_type.unsupported", 415, "Not a JSON type", "Bodies are `application/json`, another `+json` type, or come without a type; a batch may be `application/x-ndjson` too."),
    # who may what
    _kind("unauthorized", 401, "Who are you?", "There is no valid token: `Authorization: Bearer …`. Missing, wrong, revoked and used from elsewhere are not told apart."),
    _kind("forbidden", 403, "Not yours to do", "The call is for administrators: on the gateway's own machine, by its control socket."),
    _kind("unknown-target", 422, "No such target", "There is no such target among those that you may page; `try` holds the nearest of these."),
    _kind("no-device", 422, "No way to reach somebody", "Somebody in `to` has no pager, mobile or mail in the plan for this class."),
    _kind("scope.recipient", 403, "Target not granted", "The target exists, but this client may not page it."),
    _kind("scope.carrier", 403, "Carrier not granted", "The carrier exists, but this client may not use it directly."),
    _kind("scope.class", 403, "Class not granted", "This client may not use that class."),
    _kind("rate", 429, "Too fast", "This client's rate is used up; `Retry-After` says until when.", retry=True),
    # messages and what is done to them
    _kind("not-found", 404, "Nothing there", "There is nothing at this path, or no such message of yours."),
    _kind("no-webhook", 404, "No webhook", "The settings say nowhere to tell this client: an administrator writes `clients.<name>.tell`."),
    _kind("unknown-link", 404, "No such link", "There is no link of that name; `GET /v1/links` lists them."),
    _kind("person-required", 422, "Who has it?", "Only a named human can acknowledge: `by` is required."),
    _kind("unknown-person", 422, "No such person", "`by` is the name of a person as the settings spell it."),
    _kind("already-ended", 409, "It has ended", "The message has ended; the detail says how, and who had it."),
    _kind("critical-not-muted", 409, "Critical", "What is critical is muted only by who says `even_critical`."),
    _kind("mute.for", 422, "Not a time to be quiet", "`for` is seconds or text like `30m`, from 0 (not muted any more) to 24 h."),
    _kind("cut.for", 422, "Not a time to be cut", "`for` is seconds or text like `60s`, more than 0 and at most 24 h."),
    _kind("not-a-demo", 404, "Not a demo", "This gateway talks to real carriers; only a demo can be cut."),
    _kind("conflict", 409, "Does not fit any more", "What was asked does not fit what is on record by now; the detail says why."),
    _kind("settings-invalid", 422, "Settings have mistakes", "The settings were not loaded and nothing changed; `errors` lists every mistake."),
    # the gateway itself
    _kind("queue-full", 503, "Queue is full", "So many pages wait that there is no room for this class: try again later. More urgent classes may still be taken.", retry=True),
    _kind("overloaded", 503, "Too much at once", "Too many requests are being received: try again later.", retry=True),
    _kind("draining", 503, "Shutting down", "The gateway is about to stop: try again, another node may answer.", retry=True),
    _kind("store-full", 507, "Disk nearly full", "There is too little room on the disk to promise anything.", retry=True),
    _kind("store-slow", 503, "Disk does not answer", "The disk did not confirm in time. Whether something was stored is not known: send the same Idempotency-Key again, and use another way for what cannot wait.", retry=True),
    _kind("store-failed", 503, "Disk failed", "The record failed and nothing is promised; the gateway starts again. Whether something was stored is not known: send the same Idempotency-Key again.", retry=True),
    _kind("internal-error", 500, "Our mistake", "The gateway has a bug; its log says which, under the request id.", retry=True),
    # HTTP
    _kind("method-not-allowed", 405, "Not with this method", "The path takes the methods in `Allow`. A message in the query of a GET is refused: it would stay in logs."),
    _kind("body-too-large", 413, "Body too large", "The body has more bytes than `limits.body`."),
    _kind("request-timeout", 408, "Request too slow", "The request did not arrive whole within `limits.request_time`.", retry=True),
    _kind("malformed-request", 400, "Not HTTP", "The request breaks the rules of HTTP/1.1."),
    _kind("request-line-too-long", 414, "URL too long", "The first line of the request is too long."),
    _kind("head-too-large", 431, "Header too large", "The header of the request is too large."),
    _kind("too-many-headers", 431, "Too many header fields", "The request has too many header fields."),
    _kind("http-version", 505, "HTTP version not spoken", "Only HTTP/1.1 and HTTP/1.0 are spoken."),
    _kind("method-unknown", 501, "Method not known", "No call has this method."),
    _kind("content-encoding", 415, "Body is encoded", "Bodies are sent as they are, not compressed."),
    _kind("expectation", 417, "Expectation cannot be met", "The only expectation that is met is `100-continue`."),
)  # fmt: skip

KINDS: dict[str, ProblemKind] = {kind.code: kind for kind in _KINDS}


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str = "",
    headers: Fields = (),
    faults: tuple[ProblemFault, ...] = (),
    retry_after: float | None = None,
) -> Response:
    """An error as everybody gets it; also what ``gateway.web`` answers its own errors with."""
    kind = KINDS.get(code)
    if retry_after is not None:
        headers = (*headers, ("Retry-After", str(max(1, ceil(retry_after)))))
    if status == 401:
        headers = (*headers, ("WWW-Authenticate", "Bearer"))
    problem = Problem(
        type=f"/problems/{code}",
        title=kind.title if kind is not None else code,
        status=status,
        code=code,
        detail=detail,
        errors=faults[:MAX_FAULTS],
        retry=retry_after is not None or (kind is not None and kind.retry),
        stored=None if code in {"store-failed", "store-slow", "internal-error"} else False,
        request_id=request_id,
    )
    return Response(status=status, headers=PROBLEM_JSON + headers, body=msgspec.json.encode(problem))


def response_to(
    error: SubmissionError | Conflict | StoreFull | StoreFailed | SettingsError, request_id: str
) -> Response:
    """The answer for an error that is not our bug."""
    if isinstance(error, SubmissionError):
        return problem_response(
            error.status,
            error.code,
            error.detail,
            request_id=request_id,
            headers=error.headers if isinstance(error, NotAllowed) else (),
            faults=tuple(_shown(fault, error) for fault in error.faults),
            retry_after=error.retry_after,
        )
    if isinstance(error, SettingsError):
        return problem_response(
            422,
            "settings-invalid",
            "The settings have mistakes, so those in effect stay: see errors.",
            request_id=request_id,
            faults=tuple(
                ProblemFault(
                    pointer=mistake.path,
                    code="settings-invalid",
                    detail=str(mistake),
                    line=mistake.line,
                    column=mistake.column,
                )
                for mistake in error.mistakes
            ),
        )
    if isinstance(error, Conflict):
        return problem_response(409, "conflict", f"Not possible: {error}.", request_id=request_id)
    if isinstance(error, StoreFull):
        return problem_response(
            507,
            "store-full",
            "There is too little room on the gateway's disk; nothing new is accepted.",
            request_id=request_id,
            retry_after=RETRY_STORE,
        )
    return problem_response(
        503,
        "store-failed",
        "The gateway's record failed; nothing is promised. Send the same Idempotency-Key again.",
        request_id=request_id,
        retry_after=RETRY_STORE,
    )


class NotAllowed(SubmissionError):
    """405, with the methods that the path takes."""

    def __init__(self, detail: str, allow: str) -> None:
        super().__init__(405, "method-not-allowed", detail)
        self.headers: Fields = (("Allow", allow),)


class BrokenJson(SubmissionError):
    """400, with the place in the body."""

    def __init__(self, code: str, detail: str, line: int, column: int, given: str | None = None) -> None:
        fault = Fault(pointer="#", code=code, detail=detail, given=given)
        super().__init__(400, code, f"{detail} (line {line}, column {column})", faults=(fault,))
        self.line = line
        self.column = column


def _shown(fault: Fault, error: SubmissionError) -> ProblemFault:
    line, column = (error.line, error.column) if isinstance(error, BrokenJson) else (None, None)
    return ProblemFault(
        pointer=fault.pointer,
        code=fault.code,
        detail=fault.detail,
        given=fault.given,
        try_=fault.try_,
        line=line,
        column=column,
    )


def refusal(faults: list[Fault]) -> SubmissionError:
    """One error for all *faults* (at least one): their common code, or ``body.invalid``."""
    codes = {fault.code for fault in faults}
    code = codes.pop() if len(codes) == 1 else "body.invalid"
    detail = faults[0].detail
    if len(faults) > 1:
        detail += f" And {len(faults) - 1} more: see errors."
    return SubmissionError(KINDS[code].status, code, detail, faults=tuple(faults[:MAX_FAULTS]))


def shown(value: object) -> str:
    """What was given, fit for an answer: cut to 80 characters, controls escaped."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = text if len(text) <= 80 else text[:79] + "…"
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )


def as_table() -> str:
    """The table of the docs page, as Markdown."""
    rows = ["| code | status | title | what it means | again? |", "|---|---|---|---|---|"]
    rows += [
        f"| `{kind.code}` | {kind.status} | {kind.title} | {kind.means} | {'yes' if kind.retry else 'no'} |"
        for kind in _KINDS
    ]
    return "\n".join(rows) + "\n"
