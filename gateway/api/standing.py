"""Where a message stands, from what is on record. Pure: a row and its surroundings in, an answer out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from gateway.api import answers, says
from gateway.api.ports import LinkStatus, PathDown
from gateway.api.says import Around
from gateway.api.times import maybe, spell
from gateway.lifecycle import State
from gateway.lines import LineStatus
from gateway.lines import Trouble as LineTrouble
from gateway.model import DeliveryKey, Instant, Leg, rfc3339, seconds_between
from gateway.outcome import Level
from gateway.store.base import DeliveryRow, EventRow, IncidentRow, MessageRow


def url_of(row: MessageRow) -> str:
    return f"/v1/messages/{row.public_id}"


def status_of(row: MessageRow, a: Around) -> answers.Status:
    """Everything that is known about a message."""
    names = delivery_names(row)
    return answers.Status(
        **_common(row, a),
        deliveries=tuple(_delivery(d, names[d.delivery], a) for d in _in_order(row)),
        timeline=tuple(entry_of(event, row, names, a) for event in row.timeline),
    )


def standing_of(row: MessageRow, a: Around) -> answers.Standing:
    """The same for a list: no copies, no timeline."""
    return answers.Standing(**_common(row, a))


def incident_of(row: IncidentRow, a: Around) -> answers.Incident:
    """Everything about one trouble."""
    main = standing_of(row.main, a)
    muted = row.main.muted_until if row.ending is None else None
    best = max(one.level for one in (row.main, *row.messages))
    return answers.Incident(
        id=row.first,
        key=row.key,
        state=main.state,
        outcome=main.outcome,
        level=cast(answers.LevelToken, best.token),
        accepted_by=main.accepted_by,
        accepted_at=main.accepted_at,
        muted_until=maybe(muted) if muted is not None and muted > a.now else None,
        says=main.says,
        sender=main.sender,
        message_class=cast(answers.Class, row.message_class.token),
        until=main.until,
        at=rfc3339(row.begun_at),
        ended_at=maybe(row.ended_at),
        next=main.next,
        count=row.count,
        messages=tuple(standing_of(message, a) for message in row.messages),
    )


def _common(row: MessageRow, a: Around) -> dict[str, Any]:
    coming = next_of(row, a)
    return {
        "id": row.public_id,
        "ref": row.ref,
        "state": "open" if row.ending is None else "ended",
        "outcome": row.ending,
        "level": row.level.token,
        "accepted_by": row.accepted_by,
        "accepted_at": maybe(row.accepted_at),
        "says": says.of_message(row, "" if coming is None else _soon(coming[0], coming[1], a), a),
        "sender": row.client,
        "to": row.to,
        "text": None if row.content is None else row.content.text,
        "message_class": row.message_class.token,
        "until": row.until.token,
        "incident": row.incident_key,
        "at": rfc3339(row.at),
        "expires_at": maybe(row.expires),
        "url": url_of(row),
        "progress": progress_of(row),
        "next": None
        if coming is None
        else answers.Next(at=rfc3339(coming[0]), does=coming[1], why=coming[2]),
    }


def delivery_names(row: MessageRow) -> dict[DeliveryKey, str]:
    """``d0``, ``d1`` … in order of opening: what the API calls a delivery."""
    return {d.delivery: f"d{index}" for index, d in enumerate(_in_order(row))}


def _in_order(row: MessageRow) -> list[DeliveryRow]:
    return sorted(row.deliveries, key=lambda d: d.delivery)


def _delivery(d: DeliveryRow, name: str, a: Around) -> answers.DeliveryStanding:
    state = d.reason if d.state is State.WAITING and d.reason in ("paused", "kept_quiet") else d.state.token
    ceiling = a.ceiling(d.link)
    return answers.DeliveryStanding(
        id=name,
        person=d.person,
        device=d.device,
        link=d.link,
        state=cast(answers.DeliveryToken, state),
        level=cast(answers.LevelToken, d.level.token),
        ceiling=None if ceiling is None else cast(answers.LevelToken, ceiling.token),
        tries=d.tries,
        connects=d.connects,
        doubts=d.doubts,
        due_at=maybe(d.due) if d.state in (State.WAITING, State.DOUBT) else None,
        second_copy=d.dup_risk,
        code=d.code,
        setback=d.setback,
        says=says.sentence(says.of_delivery(d, a)),
    )


def entry_of(
    event: EventRow, row: MessageRow, names: dict[DeliveryKey, str], a: Around
) -> answers.TimelineEntry:
    """One line of the timeline. What of the data is for programs stands in fields of its own."""

    def text(key: str) -> str | None:
        value = event.data.get(key)
        return value if isinstance(value, str) else None

    level = says.level_of(event.data)
    return answers.TimelineEntry(
        n=event.n,
        at=rfc3339(event.at),
        what=event.kind,
        delivery=None if event.delivery is None else names.get(event.delivery),
        link=text("link"),
        outcome=text("outcome") or text("ending"),
        level=None if level is None else cast(answers.LevelToken, level.token),
        code=text("code"),
        by=text("by"),
        says=says.of_event(event, row, a),
    )


def progress_of(row: MessageRow) -> answers.Progress:
    """Each person (or bare address) that was paged once, at the best that is known."""
    best: dict[str, Level] = {}
    for d in row.deliveries:
        key = d.person or d.address
        best[key] = max(best.get(key, Level.STORED), d.level if d.setback is None else Level.STORED)
    if row.accepted_by is not None:
        best[row.accepted_by] = Level.ACKNOWLEDGED
    levels = list(best.values())
    return answers.Progress(
        people=len(levels),
        stored=levels.count(Level.STORED),
        handed_over=levels.count(Level.HANDED_OVER) + levels.count(Level.IN_PROGRESS),
        on_device=levels.count(Level.ON_DEVICE) + levels.count(Level.READ),
        acknowledged=levels.count(Level.ACKNOWLEDGED),
    )


def next_of(row: MessageRow, a: Around) -> tuple[Instant, str, str] | None:
    """What comes next by itself: when, what, why. None if nothing does."""
    if row.ending is not None:
        return None
    return min(_coming(row, a), key=lambda move: move[0], default=None)


def _coming(row: MessageRow, a: Around) -> Iterator[tuple[Instant, str, str]]:
    for d in row.deliveries:
        if d.state is State.WAITING and d.reason != "paused" and d.due is not None:
            again = d.tries + d.connects
            does = "try again" if again else f"page {d.person or d.address}"
            yield max(d.due, a.now), does, f"try {again + 1} by {a.way(d.link)}"
        elif d.state is State.DOUBT and d.due is not None:
            yield max(d.due, a.now), "settle the doubt", f"{a.way(d.link)} has not answered"
    if row.incident_due is not None and row.accepted_by is None:
        at = max(row.incident_due, a.now)
        leg = _unopened(row)
        if leg is None:
            yield at, "look again", "everybody in the plan was paged"
        else:
            place = f"{row.plan.index(leg) + 1} of {len(row.plan)} in the plan"
            yield at, f"page {leg.person or leg.address}", f"by {a.way(leg.link)}, {place}"


def _unopened(row: MessageRow) -> Leg | None:
    """The first leg of the plan that was not opened and is not made needless by one that was taken."""
    opened = {d.leg for d in row.deliveries}
    served = {
        _chain(row.plan[d.leg])
        for d in row.deliveries
        if d.state is State.TAKEN and d.setback is None and d.leg < len(row.plan)
    }
    for index, leg in enumerate(row.plan):
        if index not in opened and _chain(leg) not in served:
            return leg
    return None


def _chain(leg: Leg) -> tuple[int, int, int]:
    return leg.track, leg.item, leg.chain


def _soon(at: Instant, does: str, a: Around) -> str:
    """``Next, in 48 s: page Bob Ferrand`` for the main sentence; trying again says the copy itself."""
    verb, _, whom = does.partition(" ")
    if verb != "page" or at <= a.now:
        return ""
    return f"{a.name(whom)} is paged in {spell(seconds_between(a.now, at))}"


def _coming_says(row: MessageRow, a: Around) -> str:
    """What comes next by itself; nothing for a message that has ended."""
    coming = next_of(row, a)
    if coming is None:
        return "" if row.ending is not None else "Nothing more happens by itself"
    at, does, why = coming
    verb, _, whom = does.partition(" ")
    what = f"page {a.name(whom)}" if verb == "page" else does
    return f"Next, {'now' if at <= a.now else f'at {a.time(at)}'}: {what} ({why})"


def why_of(row: MessageRow, a: Around) -> answers.Why:
    """The story in sentences."""
    status = standing_of(row, a)
    now = [status.says]
    for d in _in_order(row):
        if d.state in (State.WAITING, State.DOUBT, State.HELD):
            line = says.sentence(says.of_delivery(d, a))
            if line not in status.says:
                now.append(line)
            link = a.links.get(d.link)
            if link is None:
                now.append(f"{a.way(d.link)} is not in the settings.")
            elif link.state not in ("working", "idle"):
                now.append(says.of_link(link, a))
    if coming := _coming_says(row, a):
        now.append(says.sentence(coming))
    if untried := says.of_untried(row, a):
        now.append(says.sentence(untried))
    return answers.Why(
        id=row.public_id,
        ref=row.ref,
        story=tuple(
            answers.StoryLine(
                at=rfc3339(event.at),
                says=says.sentence(says.of_event(event, row, a)),
                transcript=_said(event),
            )
            for event in row.timeline
        ),
        now=tuple(dict.fromkeys(now)),
    )


def _said(event: EventRow) -> tuple[str, ...] | None:
    """The transcript of a failed try; for administrators only."""
    said = event.data.get("transcript")
    return tuple(said.split("\n")) if isinstance(said, str) else None


# ---------------------------------------------------------------- links, and what is stuck


def link_of(status: LinkStatus, a: Around) -> answers.Link:
    breaker, failure = status.breaker, status.last_failure
    return answers.Link(
        link=status.link,
        adapter=status.adapter,
        carrier=status.carrier,
        path=status.path,
        ceiling=cast(answers.LevelToken, status.ceiling.token),
        mode=status.mode,
        by=status.by,
        why=status.why,
        state=status.state,
        breaker=None
        if breaker is None
        else answers.Breaker(failures=breaker.failures, until=rfc3339(breaker.until)),
        maintenance_until=maybe(status.maintenance_until),
        sessions=status.sessions,
        waiting={c.token: count for c, count in sorted(status.waiting.items())},
        oldest_at=maybe(status.oldest_at),
        last_taken_at=maybe(status.last_taken_at),
        last_failure=None
        if failure is None
        else answers.Failure(at=rfc3339(failure.at), says=failure.says, times=failure.times),
        says=says.of_link(status, a),
    )


def links_of(a: Around) -> answers.Links:
    """The ways out, and how they do."""
    return answers.Links(
        links=tuple(link_of(link, a) for link in a.links.values()),
        lines=tuple(_line(line, a) for line in a.lines),
        down=tuple(
            answers.DownPath(path=down.path, since=rfc3339(down.since), says=_upper(says.of_down(down, a)))
            for down in a.down
        ),
    )


def _line(line: LineStatus, a: Around) -> answers.Line:
    trouble = line.trouble
    said = says.sentence(_upper(says.of_line(line, a)), _upper(says.around_line(line, a)))
    if trouble is None:
        return answers.Line(
            line=line.name, pool=line.pool, state="in_use" if line.in_use else "ready", says=said
        )
    return answers.Line(
        line=line.name,
        pool=line.pool,
        state="failing",
        since=rfc3339(trouble.since),
        times=trouble.calls,
        moved=trouble.moved,
        says=said,
    )


def stuck_of(rows: tuple[MessageRow, ...], a: Around) -> answers.Stuck:
    """What needs somebody, worst class first, and what waits by itself."""
    loudest = sorted(rows, key=lambda row: (row.message_class, row.ending != "unanswered", row.at))
    needs = [_stuck_message(row, a) for row in loudest]
    needs += [_stuck_path(down, a) for down in a.down]
    waiting = []
    for status in a.links.values():
        count = sum(status.waiting.values())
        line = says.of_link(status, a)
        if status.state == "down" or (status.state == "suspended" and count):
            needs.append(_stuck_link(status, count, line, a))
        elif count:
            since = "" if status.oldest_at is None else f", the oldest since {a.time(status.oldest_at)}"
            classes = ", ".join(says.of_class(c, n) for c, n in sorted(status.waiting.items()) if n)
            rest = f" {line}" if status.state in ("resting", "maintenance", "draining") else ""
            wait = "waits" if count == 1 else "wait"
            way = a.way(status.link)
            waiting.append(answers.WaitingItem(count=count, says=f"{classes} {wait} for {way}{since}.{rest}"))
    needs += [_stuck_line(line, line.trouble, a) for line in a.lines if line.trouble and line.trouble.lasting]
    count = len(needs)
    things = (
        "1 thing needs you" if count == 1 else f"{count} things need you" if count else "Nothing needs you"
    )
    return answers.Stuck(
        at=rfc3339(a.now),
        zone=a.settings.site.zone,
        says=things,
        needs_you=tuple(needs),
        waiting=tuple(waiting),
    )


def _stuck_message(row: MessageRow, a: Around) -> answers.StuckItem:
    what = row.ref or row.public_id
    held = any(d.state is State.HELD for d in row.deliveries)
    if held:
        line = says.sentence(next(says.of_delivery(d, a) for d in row.deliveries if d.state is State.HELD))
        commands = (f"gateway queue decide {what} --again", f"gateway queue decide {what} --leave")
    elif row.ending is not None:
        line = standing_of(row, a).says
        commands = (f"gateway queue retry {what}", f"gateway why {what}")
    else:
        line = f"Nobody has accepted for {spell(seconds_between(row.at, a.now))}."
        commands = (f"gateway ack {what} --for PERSON", f"gateway why {what}")
    return answers.StuckItem(
        what=what,
        kind="message",
        message_class=cast(answers.Class, row.message_class.token),
        since=rfc3339(row.at),
        says=line,
        does=None if held else says.sentence(_coming_says(row, a)) or None,
        commands=commands,
    )


def _stuck_path(down: PathDown, a: Around) -> answers.StuckItem:
    links = [link for link in a.links if a.links[link].path == down.path]
    return answers.StuckItem(
        what=down.path,
        kind="path",
        message_class=None,
        since=rfc3339(down.since),
        says=says.sentence(_upper(says.of_down(down, a))),
        advice="ask whoever runs the network",
        commands=tuple(f"gateway probe {link}" for link in links[:1]),
    )


def _stuck_line(line: LineStatus, trouble: LineTrouble, a: Around) -> answers.StuckItem:
    return answers.StuckItem(
        what=line.name,
        kind="line",
        message_class=None,
        since=rfc3339(trouble.since),
        times=trouble.calls,
        says=says.sentence(_upper(says.of_line(line, a))),
        does=says.sentence(_upper(says.around_line(line, a))),
        advice=says.line_advice(trouble.code),
        commands=(f"gateway probe {line.name}",),
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _stuck_link(status: LinkStatus, count: int, line: str, a: Around) -> answers.StuckItem:
    failure = status.last_failure if status.state == "down" else None
    wait = f" {count} page{' waits' if count == 1 else 's wait'} for it." if count else ""
    verb = "carriers resume" if status.state == "suspended" else "probe"
    return answers.StuckItem(
        what=status.link,
        kind="link",
        message_class=None,
        since=maybe(status.oldest_at if failure is None else failure.at),
        times=None if failure is None else failure.times,
        says=line + wait,
        does=says.sentence(_upper(says.around_link(status, a))),
        commands=(f"gateway {verb} {status.link}",),
    )
