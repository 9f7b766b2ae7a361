"""A timeline as it grows: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Each line of the timeline is one event: ``id`` is its n, ``event`` what happened, ``data`` the line as JSON.
The stream ends with the message. Who then connects again with the last id is told by 204 to stop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.api import bodies, standing, telling
from gateway.api.calls import Call, around, look
from gateway.api.ports import Api
from gateway.api.problems import shown
from gateway.errors import Fault, SubmissionError
from gateway.model import later, seconds_between
from gateway.store.base import MessageRow
from gateway.waiting import first_of
from gateway.web import Answer, Fields, Request, Response, Stream

HEARTBEAT = 15.0  # seconds: proxies close what is silent, most after 60 s
RELOOK = 5.0  # seconds: a lost ring costs no more
EVENT_STREAM: Fields = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),  # nginx would gather 8 KiB before it passes anything on
)


def wanted(request: Request) -> bool:
    """Whether the caller asks for a stream by name."""
    ranges = (request.header("accept") or "").lower().split(",")
    return any(one.partition(";")[0].strip() == "text/event-stream" for one in ranges)


def stream(api: Api, call: Call, row: MessageRow) -> Answer:
    """The events of *row* after ``?after=`` and ``Last-Event-ID``, whichever is later, as they come."""
    query: bodies.EventsQuery = call.query
    after = max(query.after, _last_event_id(call.request))
    if row.ending is not None and (not row.timeline or row.timeline[-1].n <= after):
        return Response(status=204)
    return Stream(headers=EVENT_STREAM, chunks=_chunks(api, call, row, after))


def _last_event_id(request: Request) -> int:
    given = request.header("last-event-id")
    if not given:
        return 0
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        fault = Fault(
            pointer="Last-Event-ID",
            code="query.value",
            detail="Last-Event-ID is the id of an event: a number.",
            given=shown(given),
        )
        raise SubmissionError(400, fault.code, fault.detail, faults=(fault,))
    return int(given)


async def _chunks(api: Api, call: Call, row: MessageRow, after: int) -> AsyncIterator[bytes]:
    beat = later(api.env.now(), HEARTBEAT)
    while True:
        ring = api.bell.wait(row.message)  # before the look, so that nothing falls between
        try:
            row = await look(api, call, row.public_id) or row
            names, a = standing.delivery_names(row), around(api)
            for event in row.timeline:
                if event.n > after:
                    after = event.n
                    yield telling.stream_of(standing.entry_of(event, row, names, a))
            if row.ending is not None:
                return
            left = seconds_between(api.env.now(), beat)
            if left <= 0:
                yield b": still here\n\n"
                left, beat = HEARTBEAT, later(api.env.now(), HEARTBEAT)
            await first_of(ring, api.env.sleep(min(left, RELOOK)))
        finally:
            if not ring.called:
                ring.cancel()
