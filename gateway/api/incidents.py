"""Calls on incidents: all messages that were sent for one trouble."""

from __future__ import annotations

from gateway.api import answers, bodies, says, standing
from gateway.api.bodies import AcknowledgeBody, MuteBody, ResolveBody
from gateway.api.calls import Call, around, refuse
from gateway.api.messages import has_it, named
from gateway.api.ports import Api
from gateway.api.problems import shown
from gateway.api.reading import read
from gateway.api.submitting import Words
from gateway.api.times import seconds_of
from gateway.model import MessageClass, later
from gateway.store.base import IncidentRow
from gateway.web import Response, json_response

MAX_SHOWN = 50  # ours: messages of an answer; a flapping alert has thousands
MAX_MUTE = 86_400.0  # seconds; ours: longer is for the settings, where others see it


async def status(api: Api, call: Call) -> Response:
    return json_response(standing.incident_of(await _find(api, call), around(api)))


async def acknowledge(api: Api, call: Call) -> Response:
    body = read(call.request, AcknowledgeBody)
    row = await _find(api, call)
    changed = await has_it(api, call, row.main, body)
    return await _done(api, call, row, "acknowledge", changed)


async def resolve(api: Api, call: Call) -> Response:
    body = read(call.request, ResolveBody)
    row = await _find(api, call)
    words = Words(api.operations.settings().limits, [])
    why = words.maybe("why", body.why, bodies.MAX_NOTE)
    words.settle()
    by = call.client.name if body.by is None else named(api, call, body.by)
    ended = await api.desk.resolve(
        row.incident, by=by, recorded_by=call.client.name, why=why, now=api.env.now()
    )
    return await _done(api, call, row, "resolve", int(ended))


async def mute(api: Api, call: Call) -> Response:
    body = read(call.request, MuteBody)
    row = await _find(api, call)
    seconds = _seconds(api, body)
    by = named(api, call, body.by)
    if row.ending is not None:
        raise refuse("already-ended", says.of_message(row.main, "", around(api)))
    if seconds and row.message_class is MessageClass.CRITICAL and not body.even_critical:
        what = "It is critical: to mute it all the same, say so as even_critical."
        raise refuse("critical-not-muted", what)
    now = api.env.now()
    await api.desk.mute(
        row.incident,
        until=later(now, seconds) if seconds else None,
        even_critical=body.even_critical,
        by=by,
        recorded_by=call.client.name,
        now=now,
    )
    return await _done(api, call, row, "mute", 1)


def _seconds(api: Api, body: MuteBody) -> float:
    words = Words(api.operations.settings().limits, [])
    given = body.for_
    seconds = seconds_of(given)
    if seconds is None or not 0 <= seconds <= MAX_MUTE:
        what = f"for must be seconds, or like 30m, at most {MAX_MUTE / 3600:g}h; 0 ends a mute."
        words.fault("for", "mute.for", what, shown(given), ("30m",))
    words.settle()
    return seconds or 0.0


async def _find(api: Api, call: Call) -> IncidentRow:
    """The incident of the path. 404 also for one of somebody else, Conflict if the name is not enough."""
    row = await _look(api, call, call.key)
    if row is None:
        raise refuse("not-found", "There is no such incident of yours.")
    return row


async def _look(api: Api, call: Call, key: str) -> IncidentRow | None:
    if len(key) > bodies.MAX_INCIDENT:
        return None
    return await api.records.incident(key, client=call.own, limit=MAX_SHOWN)


async def _done(api: Api, call: Call, row: IncidentRow, verb: str, changed: int) -> Response:
    """Ring for those whom it concerns, then say what was done and how it stands now."""
    row = await _look(api, call, row.first) or row
    if changed:
        for message in (row.main, *row.messages):
            api.bell.ring(message.message)
        api.bell.ring("pursue")
    a = around(api)
    return json_response(
        answers.IncidentDone(
            changed=changed,
            says=says.of_incident_changed(verb, changed, row, a),
            incident=standing.incident_of(row, a),
        )
    )
