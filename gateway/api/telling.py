"""What a webhook says: the same message object as a status has, and a sentence for people.

Never in it: the text of a message, its details, labels or links, and what somebody answered in words.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.api import answers, says, standing
from gateway.api.says import Around
from gateway.model import Instant, rfc3339
from gateway.store.base import EventRow, MessageRow, Notice

MAX_BODY = 20_000  # bytes; Standard Webhooks: keep it below 20 kB
_ENDINGS = frozenset({"confirmed", "unanswered", "failed", "expired", "cancelled"})
_LEFT_OUT = ("text", "timeline")


def body_of(notice: Notice, row: MessageRow, a: Around) -> bytes:
    """The body of *notice*, with the message as it stands now.

    If there are so many copies that it gets too large, the single copies and targets are left out and
    ``cut`` is true.
    """
    message: dict[str, Any] = msgspec.to_builtins(standing.status_of(row, a))
    for name in _LEFT_OUT:
        del message[name]
    body = {
        "type": f"message.{notice.kind}",
        "timestamp": rfc3339(notice.at),
        "data": {"n": notice.n, "seq": notice.seq, "message": message, "cut": False},
        "says": _sentence(notice, row, a),
    }
    encoded = msgspec.json.encode(body)
    if len(encoded) > MAX_BODY:
        message |= {"deliveries": [], "to": []}
        encoded = msgspec.json.encode(body | {"data": body["data"] | {"cut": True}})  # type: ignore[operator]
    return encoded


def test_body(client: str, now: Instant) -> bytes:
    """The body of a test."""
    body = {
        "type": "webhook.test",
        "timestamp": rfc3339(now),
        "data": {"client": client},
        "says": f"A test: {client} is told here.",
    }
    return msgspec.json.encode(body)


def _sentence(notice: Notice, row: MessageRow, a: Around) -> str:
    event = next((event for event in row.timeline if event.n == notice.n), None)
    if event is not None:  # what people wrote to each other stays here
        data = {key: value for key, value in event.data.items() if key not in ("note", "text")}
        event = msgspec.structs.replace(event, data=data)
    ended = ""
    if notice.kind in _ENDINGS and (event is None or event.kind != "ended"):
        as_end = EventRow(n=notice.n, at=notice.at, kind="ended", delivery=None, data={"ending": notice.kind})
        ended = says.of_event(as_end, row, a)
    return says.sentence(ended, "" if event is None else says.of_event(event, row, a))


def of_test(told: bool, status: int | None, why: str | None, seconds: float) -> str:
    """What a test found, in a sentence."""
    if told:
        return f"The receiver was told: it answered {status} after {seconds:.1f} s."
    return f"The receiver was not told: {why}."


def stream_of(entry: answers.TimelineEntry) -> bytes:
    """One line of a timeline as a server-sent event: JSON has no bare line ends, so one data line will do."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.n, entry.what.encode(), msgspec.json.encode(entry))
