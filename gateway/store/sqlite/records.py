"""Looking: every question is answered by the reading connection, as of one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from gateway.lifecycle import State
from gateway.model import Instant, LinkName, MessageClass, MessageKey, later
from gateway.store.base import IncidentRow, LaneCount, MessageRow
from gateway.store.rows import (
    SOON,
    Message,
    ending_of,
    first_event,
    needs_you,
    shown,
    shown_incident,
    the_one,
)
from gateway.store.sqlite.reader import ReadThread
from gateway.store.sqlite.tx import Reader

PAGE = 200  # messages that are looked at in one go while a list is filled

_OPEN = (
    "key IN (SELECT message FROM delivery WHERE state <= 3"
    " UNION SELECT m.key FROM incident i JOIN message m ON m.incident = i.key WHERE i.ending IS NULL)"
)
_OPEN_AMONG_MANY = (  # the same, for when nearly every message is
    "iif(incident IS NULL, EXISTS (SELECT 1 FROM delivery d WHERE d.message = message.key AND d.state <= 3),"
    " EXISTS (SELECT 1 FROM incident i WHERE i.key = message.incident AND i.ending IS NULL))"
)
_ENDED = (
    "(incident IS NOT NULL OR accepted_by IS NOT NULL"
    " OR NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = message.key AND d.state <= 3))"
)
_NEEDING = (
    "key IN (SELECT message FROM delivery WHERE state = 3"
    " UNION SELECT m.key FROM incident i JOIN message m ON m.incident = i.key WHERE i.ending = 'unanswered'"
    " UNION SELECT message FROM incident WHERE ending IS NULL)"
)
_MAYBE = {"open": _OPEN, "needs_you": _NEEDING, "ended": _ENDED, "all": "1"}
"""Which messages a list may hold; the folds decide."""

MANY_OPEN = 10_000  # open deliveries from which on looking from the newest finds open messages sooner


class Records:
    """For looking."""

    def __init__(self, reader: ReadThread, backlog: Callable[[], int]) -> None:
        self._reader = reader
        self._backlog = backlog

    async def message(self, key: str, *, client: str | None) -> MessageRow | None:
        return await self._reader.ask(lambda db: _message(db, key, client), first=False)

    async def messages(
        self,
        *,
        client: str | None,
        state: Literal["open", "needs_you", "ended", "all"],
        limit: int,
        before: MessageKey | None,
    ) -> tuple[MessageRow, ...]:
        maybe = _MAYBE[state]
        if state == "open" and self._backlog() > MANY_OPEN:
            maybe = _OPEN_AMONG_MANY
        return await self._reader.ask(
            lambda db: _messages(db, client, state, maybe, limit, before), first=False
        )

    async def incident(self, key: str, *, client: str | None, limit: int) -> IncidentRow | None:
        return await self._reader.ask(lambda db: _incident(db, key, client, limit), first=False)

    async def counts(self, now: Instant | None = None) -> tuple[LaneCount, ...]:
        return await self._reader.ask(lambda db: _counts(db, now), first=False)

    async def link_modes(self) -> dict[LinkName, tuple[str, str, str | None]]:
        return await self._reader.ask(_link_modes, first=False)


def _message(db: Reader, key: str, client: str | None) -> MessageRow | None:
    with db.snapshot():
        message = db.message_named(key)
        if message is None or client not in (None, message.client):
            return None
        incident = None if message.incident is None else db.incident(message.incident)
        events = [first_event(message), *db.events(message.key)]
        return shown(message, incident, db.deliveries(message.key), events)


def _incident(db: Reader, key: str, client: str | None, limit: int) -> IncidentRow | None:
    with db.snapshot():
        named = "dedup = ? AND (?2 IS NULL OR client = ?2)"
        incident = the_one(db.incidents(f"{named} AND ending IS NULL ORDER BY key DESC LIMIT 2", key, client))
        if incident is None:
            incident = next(iter(db.incidents(f"{named} ORDER BY key DESC LIMIT 1", key, client)), None)
        if incident is None:
            found = db.message_named(key)
            if found is None or found.incident is None or client not in (None, found.client):
                return None
            incident = db.incident(found.incident)
            assert incident is not None
        main = db.message(incident.message)
        first = db.messages("incident = ? ORDER BY key LIMIT 1", incident.key)[0]
        assert main is not None
        count = db.db.execute("SELECT count(*) FROM message WHERE incident = ?", (incident.key,)).fetchone()[
            0
        ]
        newest = db.messages("incident = ? ORDER BY key DESC LIMIT ?", incident.key, limit)
        return shown_incident(
            incident,
            first.public_id,
            shown(main, incident, db.deliveries(main.key), [first_event(main), *db.events(main.key)]),
            [shown(message, incident, db.deliveries(message.key), ()) for message in newest],
            count,
        )


def _messages(
    db: Reader, client: str | None, state: str, maybe: str, limit: int, before: MessageKey | None
) -> tuple[MessageRow, ...]:
    with db.snapshot():
        found: list[MessageRow] = []
        for message in _newest_first(db, client, maybe, before):
            incident = None if message.incident is None else db.incident(message.incident)
            deliveries = db.deliveries(message.key)
            wanted: dict[str, Callable[[], bool]] = {
                "open": lambda: ending_of(message, incident, deliveries) is None,  # noqa: B023  # called here
                "ended": lambda: ending_of(message, incident, deliveries) is not None,  # noqa: B023
                "needs_you": lambda: needs_you(message, incident, deliveries),  # noqa: B023
                "all": lambda: True,
            }
            if wanted[state]():
                found.append(shown(message, incident, deliveries, ()))
                if len(found) == limit:
                    break
        return tuple(found)


def _newest_first(db: Reader, client: str | None, maybe: str, before: MessageKey | None) -> Iterator[Message]:
    last: int = 1 << 62 if before is None else before
    while True:
        page = db.messages(
            f"key < ? AND (?2 IS NULL OR client = ?2) AND {maybe} ORDER BY key DESC LIMIT {PAGE}",
            last,
            client,
        )
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1].key


def _counts(db: Reader, now: Instant | None) -> tuple[LaneCount, ...]:
    rows = db.db.execute(
        "SELECT link, c.state, c.class, n, opened_at, (SELECT opened_at FROM delivery WHERE key = c.soon)"
        " FROM (SELECT lane, state, class, count(*) AS n, min(key) AS first,"
        " min(key) FILTER (WHERE due <= ?) AS soon"
        " FROM delivery WHERE state <= 3 GROUP BY lane, state, class) c"
        " JOIN lane USING (lane) JOIN delivery d ON d.key = c.first ORDER BY link, c.state, c.class",
        (None if now is None else later(now, SOON),),
    ).fetchall()
    return tuple(
        LaneCount(
            link=link,
            state=State(state),
            message_class=MessageClass(class_),
            count=count,
            oldest=oldest,
            oldest_due=soon,
        )
        for link, state, class_, count, oldest, soon in rows
    )


def _link_modes(db: Reader) -> dict[LinkName, tuple[str, str, str | None]]:
    rows = db.db.execute("SELECT link, mode, by, why FROM lane WHERE mode != 'open'").fetchall()
    return {link: (mode, by, why) for link, mode, by, why in rows}
