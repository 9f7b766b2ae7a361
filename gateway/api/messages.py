"""Calls on messages: submit, look, wait, and what people do to them."""

from __future__ import annotations

from typing import Any

from gateway.api import answers, bodies, says, standing, streaming
from gateway.api.bodies import (
    AcknowledgeBody,
    CancelBody,
    DecideBody,
    EventsQuery,
    ListQuery,
    NothingBody,
    StatusQuery,
    SubmitQuery,
)
from gateway.api.calls import Call, around, find, look, refuse
from gateway.api.ports import Api
from gateway.api.problems import shown
from gateway.api.reading import read
from gateway.api.submitting import LEVELS, Words, submission_of
from gateway.errors import Conflict, Fault, SubmissionError
from gateway.lifecycle import State
from gateway.model import later, seconds_between
from gateway.outcome import Level
from gateway.store.base import MessageRow
from gateway.waiting import first_of
from gateway.web import Answer, Fields, Response, json_response

GONE = 2  # the caller left, or the server stops: third of what a long poll waits for
RELOOK = 5.0  # ours: a lost ring costs a waiting caller no more than this many seconds


async def submit(api: Api, call: Call) -> Response:
    query: SubmitQuery = call.query
    submission, left_out = submission_of(
        call.request, api.operations.settings().limits, dry_run=query.dry_run
    )
    accepted = await api.reception.submit(call.client, submission)
    body = with_cleaned(accepted.body, left_out)
    headers: Fields = (("Idempotent-Replay", "true"),) if accepted.replay else ()
    if query.dry_run:
        return json_response(body, 200, headers)
    return json_response(body, 202, (("Location", f"/v1/messages/{accepted.id}"), *headers))


def with_cleaned(body: dict[str, Any], left_out: int) -> dict[str, Any]:
    """The answer to a message, with a warning if invisible characters were left out of its texts."""
    if not left_out:
        return body
    note = {"code": "text-cleaned", "detail": f"{left_out} invisible characters were left out"}
    return body | {"warnings": [*body.get("warnings", ()), note]}


async def status(api: Api, call: Call) -> Response:
    query: StatusQuery = call.query
    row = await find(api, call)
    if query.wait > 0:
        row = await _wait(api, call, row, query)
    return json_response(standing.status_of(row, around(api)))


async def _wait(api: Api, call: Call, row: MessageRow, query: StatusQuery) -> MessageRow:
    """Look again at every ring, and by time, until what was asked for is reached."""
    until = None if query.until is None else LEVELS[query.until]
    over = later(api.env.now(), query.wait)
    while not _reached(row, until):
        ring = api.bell.wait(row.message)  # before the look, so that nothing falls between
        row = await look(api, call, row.public_id) or row
        left = seconds_between(api.env.now(), over)
        if _reached(row, until) or left <= 0:
            ring.addErrback(lambda _: None)
            ring.cancel()
            break
        if await first_of(ring, api.env.sleep(min(left, RELOOK)), call.request.gone) == GONE:
            break
    return row


def _reached(row: MessageRow, until: Level | None) -> bool:
    if until is None:
        return row.ending is not None
    return row.level >= until or row.accepted_by is not None or row.ending not in (None, "confirmed")


async def events(api: Api, call: Call) -> Answer:
    query: EventsQuery = call.query
    row = await find(api, call)
    if streaming.wanted(call.request):
        return streaming.stream(api, call, row)
    names, a = standing.delivery_names(row), around(api)
    return json_response(
        answers.Events(
            events=tuple(
                standing.entry_of(event, row, names, a) for event in row.timeline if event.n > query.after
            )
        )
    )


async def listing(api: Api, call: Call) -> Response:
    query: ListQuery = call.query
    before = None
    if query.before is not None:
        last = await look(api, call, query.before)
        if last is None:
            fault = Fault(pointer="?before", code="query.value", detail="before is not from a page before.")
            raise SubmissionError(400, fault.code, fault.detail, faults=(fault,))
        before = last.message
    rows = await api.records.messages(client=call.own, state=query.state, limit=query.limit, before=before)
    a = around(api)
    return json_response(
        answers.Messages(
            messages=tuple(standing.standing_of(row, a) for row in rows),
            next=rows[-1].public_id if len(rows) == query.limit else None,
        )
    )


async def why(api: Api, call: Call) -> Response:
    return json_response(standing.why_of(await find(api, call), around(api)))


# ---------------------------------------------------------------- verbs


async def acknowledge(api: Api, call: Call) -> Response:
    body = read(call.request, AcknowledgeBody)
    row = await find(api, call)
    changed = await has_it(api, call, row, body)
    return await _done(api, call, row, "acknowledge", changed)


async def has_it(api: Api, call: Call, row: MessageRow, body: AcknowledgeBody) -> int:
    """A named human has the message, and all of its incident: on record. 0 if somebody had it already."""
    words = Words(api.operations.settings().limits, [])
    note = words.maybe("note", body.note, bodies.MAX_NOTE)
    recorded = words.maybe("recorded_by", body.recorded_by, bodies.MAX_NAME, line=True)
    words.settle()
    by = named(api, call, body.by)
    writer = call.client.name if recorded is None else f"{recorded} ({call.client.name})"
    now = api.env.now()
    try:
        await api.desk.acknowledge(row.message, by=by, note=note, recorded_by=writer, now=now)
    except Conflict:
        row = await look(api, call, row.public_id) or row
        raise refuse(
            "already-ended", f"It has ended, and nobody had it. {says.of_message(row, '', around(api))}"
        ) from None
    if row.accepted_by:
        return 0
    api.metrics.reached(Level.ACKNOWLEDGED, row.message_class, seconds_between(row.at, now))
    return 1


def named(api: Api, call: Call, by: str | None) -> str:
    """The person of the settings who is meant: an administrator may be one. SubmissionError 422 if nobody."""
    people = api.operations.settings().people
    if by is None and call.client.administrator and call.client.name in people:
        by = call.client.name
    if by is None:
        raise _at_by("person-required", "Only a named human can do this: say who, as by.", None)
    if by not in people:
        raise _at_by("unknown-person", f"{shown(by)} is not a person of the settings.", shown(by))
    return by


def _at_by(code: str, detail: str, given: str | None) -> SubmissionError:
    fault = Fault(pointer="#/by", code=code, detail=detail, given=given)
    return SubmissionError(422, code, detail, faults=(fault,))


async def cancel(api: Api, call: Call) -> Response:
    body = read(call.request, CancelBody)
    row = await find(api, call)
    words = Words(api.operations.settings().limits, [])
    reason = words.maybe("why", body.why, bodies.MAX_NOTE)
    words.settle()
    stopped = await api.desk.cancel(row.message, by=call.client.name, why=reason, now=api.env.now())
    return await _done(api, call, row, "cancel", int(stopped))


async def retry(api: Api, call: Call) -> Response:
    read(call.request, NothingBody)
    row = await find(api, call)
    now = api.env.now()
    deadline = later(now, api.operations.settings().classes[row.message_class].deadline)
    count = await api.desk.retry(row.message, by=call.client.name, now=now, deadline=deadline)
    return await _done(api, call, row, "retry", count)


async def pause(api: Api, call: Call) -> Response:
    read(call.request, NothingBody)
    row = await find(api, call)
    count = await api.desk.pause(row.message, by=call.client.name, now=api.env.now())
    return await _done(api, call, row, "pause", count)


async def go_on(api: Api, call: Call) -> Response:
    read(call.request, NothingBody)
    row = await find(api, call)
    count = await api.desk.resume(row.message, by=call.client.name, now=api.env.now())
    return await _done(api, call, row, "continue", count)


async def decide(api: Api, call: Call) -> Response:
    body = read(call.request, DecideBody)
    row = await find(api, call)
    count = await api.desk.decide(row.message, again=body.again, by=call.client.name, now=api.env.now())
    return await _done(api, call, row, "decide", count)


async def _done(api: Api, call: Call, row: MessageRow, verb: str, changed: int) -> Response:
    """Ring for those whom it concerns, then say what was done and how it stands now."""
    row = await look(api, call, row.public_id) or row
    if changed:
        api.bell.ring(row.message)
        api.bell.ring("pursue")
        for link in dict.fromkeys(d.link for d in row.deliveries if d.state is State.WAITING):
            api.bell.ring(link)
    a = around(api)
    return json_response(
        answers.Done(
            changed=changed,
            says=says.of_changed(verb, changed, row, a),
            message=standing.status_of(row, a),
        )
    )
