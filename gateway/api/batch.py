"""Many messages in one request: each is checked and stored as a single one would be.

They are under way side by side, so that one commit of the store takes many; messages with one key come one
after the other, as repeats do.
"""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.adapters.base import Accepted, Submission
from gateway.api.answers import BatchAnswer, BatchProblem, BatchResult, Note, Problem, ProblemFault
from gateway.api.bodies import MAX_MESSAGES, BatchQuery
from gateway.api.calls import Call, refuse
from gateway.api.messages import with_cleaned
from gateway.api.ports import Api
from gateway.api.problems import KINDS, MAX_FAULTS, PROBLEM_JSON, problem_response, refusal, response_to
from gateway.api.reading import NDJSON, pieces_of
from gateway.api.submitting import item_of
from gateway.errors import Conflict, Fault, StoreFailed, StoreFull, SubmissionError
from gateway.web import Response, json_response

log = Logger()

AT_ONCE = 64  # under way at a time: as many rows as one statement of the store writes


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could be read, and how many invisible characters were left out of it."""

    submission: Submission
    left_out: int


async def submit(api: Api, call: Call) -> Response:
    query: BatchQuery = call.query
    if call.request.header("idempotency-key") is not None:
        what = "Each message of a batch has its own key: leave the header out."
        raise refuse("idempotency_key.invalid", what)
    items = await _read(api, call)
    if query.all_or_nothing:
        refused = [one for one in await _first_look(api, call, items) if one.problem is not None]
        if refused:
            return _nothing(call, refused)
    results = await _each(api, call, items, dry_run=False)
    if any(kind in (call.request.header("accept") or "").lower() for kind in NDJSON):
        lines = msgspec.json.Encoder().encode_lines(results)
        return Response(headers=(("Content-Type", NDJSON[0]),), body=lines)
    taken = sum(one.problem is None for one in results)
    return json_response(BatchAnswer(accepted=taken, refused=len(results) - taken, results=tuple(results)))


async def _read(api: Api, call: Call) -> list[_Item | Problem]:
    """Every message, or what is wrong with it. Raises SubmissionError where there is no batch at all."""
    pieces = pieces_of(call.request)
    if not pieces:
        raise _of_messages("field.empty", "messages is empty.", None)
    if len(pieces) > MAX_MESSAGES:
        many = f"messages has {len(pieces)} entries; at most {MAX_MESSAGES}."
        raise _of_messages("field.too_many", many, str(len(pieces)))
    limits = api.operations.settings().limits
    items: list[_Item | Problem] = []
    for piece in pieces:
        try:
            submission, left_out = item_of(call.request, piece, limits)
        except SubmissionError as error:
            items.append(_problem(error, call))
            await api.env.sleep(0.0)  # a mistake takes longer to explain than a message to read
        else:
            items.append(_Item(submission=submission, left_out=left_out))
    return items


def _of_messages(code: str, detail: str, given: str | None) -> SubmissionError:
    return refusal([Fault(pointer="#/messages", code=code, detail=detail, given=given)])


async def _first_look(api: Api, call: Call, items: list[_Item | Problem]) -> list[BatchResult]:
    """What each would be answered, with nothing stored; the rate must have room for all that are new."""
    results = await _each(api, call, items, dry_run=True)
    hashes: dict[str, bytes] = {}
    for index, item in enumerate(items):
        if isinstance(item, _Item) and results[index].problem is None:
            key, hash_ = item.submission.idempotency_key or "", item.submission.request_hash
            if hashes.setdefault(key, hash_) != hash_:
                what = "this key stands in the batch before, with other content"
                twice = _problem(SubmissionError(422, "idempotency-key-reused", what), call)
                results[index] = BatchResult(index=index, problem=twice)
    left = None if call.client.administrator else api.operations.left(call.client.name)
    new = sum(not one.replay for one in results)
    if left is not None and new > left:
        what = f"the batch has {new} new messages, and {left} may be submitted at this moment"
        raise refuse("rate", what)
    return results


async def _each(api: Api, call: Call, items: list[_Item | Problem], *, dry_run: bool) -> list[BatchResult]:
    """The result of every message, in order."""
    results = [
        BatchResult(index=index, problem=item if isinstance(item, Problem) else None)
        for index, item in enumerate(items)
    ]
    of_key: dict[str, list[tuple[int, _Item]]] = {}
    for index, item in enumerate(items):
        if isinstance(item, _Item):
            of_key.setdefault(item.submission.idempotency_key or "", []).append((index, item))
    waiting = iter(of_key.values())

    async def work() -> None:
        for repeats in waiting:
            for index, item in repeats:
                results[index] = await _one(api, call, index, item, dry_run)

    for working in [Deferred.fromCoroutine(work()) for _ in range(min(AT_ONCE, len(of_key)))]:
        await working
    return results


async def _one(api: Api, call: Call, index: int, item: _Item, dry_run: bool) -> BatchResult:
    submission = msgspec.structs.replace(item.submission, dry_run=dry_run)
    try:
        accepted = await api.reception.submit(call.client, submission)
    except (SubmissionError, Conflict, StoreFull, StoreFailed) as error:
        await api.env.sleep(0.0)  # as in _read
        return BatchResult(index=index, problem=_problem(error, call))
    except Exception:  # our mistake with one message must not cost the others their answers
        log.failure("request {request_id} failed", request_id=call.request.request_id)
        kind = KINDS["internal-error"]
        ours = problem_response(kind.status, kind.code, kind.means, request_id=call.request.request_id)
        return BatchResult(index=index, problem=msgspec.json.decode(ours.body, type=Problem))
    return BatchResult(
        index=index,
        id=accepted.id,
        ref=accepted.ref,
        replay=accepted.replay,
        warnings=_warnings(accepted, item.left_out),
    )


def _warnings(accepted: Accepted, left_out: int) -> tuple[Note, ...]:
    noted = with_cleaned(accepted.body, left_out).get("warnings", ())
    return msgspec.convert(noted, tuple[Note, ...])


def _problem(error: SubmissionError | Conflict | StoreFull | StoreFailed, call: Call) -> Problem:
    """What a single message would be answered."""
    return msgspec.json.decode(response_to(error, call.request.request_id).body, type=Problem)


def _nothing(call: Call, refused: list[BatchResult]) -> Response:
    """All or nothing, and something was refused."""
    kind = KINDS["batch-refused"]
    problems = [(one.index, one.problem) for one in refused if one.problem is not None]
    many = "1 message would be refused" if len(refused) == 1 else f"{len(refused)} messages would be refused"
    answer = BatchProblem(
        type=kind.type,
        title=kind.title,
        status=kind.status,
        code=kind.code,
        detail=f"{many}, so nothing was stored: see results.",
        errors=tuple(
            ProblemFault(pointer=f"#/messages/{index}", code=problem.code, detail=problem.detail)
            for index, problem in problems[:MAX_FAULTS]
        ),
        retry=all(problem.retry for _, problem in problems),
        stored=False,
        request_id=call.request.request_id,
        results=tuple(refused),
    )
    return Response(status=kind.status, headers=PROBLEM_JSON, body=msgspec.json.encode(answer))
