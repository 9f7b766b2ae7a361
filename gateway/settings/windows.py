"""Windows of time that people write: ``Sun 02:00-02:30`` in a zone, and when the present one ends. Pure.

A window is read in local time, day by day, so it stays where people expect it when the clocks change. Where
its beginning falls into the hour that is left out in spring, it begins and ends that much later; where its
end comes twice in autumn, it lasts until the second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from gateway.model import Instant

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKS = ("first", "second", "third", "fourth", "last")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_FORM = re.compile(
    r"(?:(?P<date>\d{4}-\d{2}-\d{2}) +"
    r"|(?:(?P<week>first|second|third|fourth|last) +)?(?P<from>[a-z]{3})(?:-(?P<to>[a-z]{3}))? +)?"
    r"(?P<begins>\d{2}:\d{2})-(?P<ends>\d{2}:\d{2})",
    re.ASCII | re.IGNORECASE,
)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """When it begins and ends, in minutes of a day, the end on the day after if it is not later; on which
    days of the week (0 is Monday), in which *week* of the month (an index of WEEKS), or on one day *only*."""

    written: str
    begins: int
    ends: int
    days: frozenset[int]
    week: int | None = None
    only: date | None = None

    def on(self, day: date) -> bool:
        """Whether one begins on *day*."""
        if self.only is not None:
            return day == self.only
        if day.weekday() not in self.days:
            return False
        if self.week is None:
            return True
        if WEEKS[self.week] == "last":
            return (day + 7 * _DAY).month != day.month
        return (day.day - 1) // 7 == self.week

    def span(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """From when to when the one that begins on *day* lasts, in UTC."""
        until = day if self.ends > self.begins else day + _DAY
        return _utc(day, self.begins, zone, fold=0), _utc(until, self.ends, zone, fold=1)


def window(text: str) -> Window | None:
    """The window that *text* says; None if it is none. The forms are those of ``FORMS``."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    begins, ends = _minutes(found["begins"]), _minutes(found["ends"])
    first, last = ((found[end] or found["from"] or "").lower() for end in ("from", "to"))
    if begins is None or ends is None or begins == ends or (first and not {first, last} <= set(DAYS)):
        return None
    try:
        day = None if found["date"] is None else date.fromisoformat(found["date"])
    except ValueError:
        return None
    days = set(range(7))
    if first:
        start, end = DAYS.index(first), DAYS.index(last)
        days = {n % 7 for n in range(start, (end if end >= start else end + 7) + 1)}
    week = None if found["week"] is None else WEEKS.index(found["week"].lower())
    return Window(written=text, begins=begins, ends=ends, days=frozenset(days), week=week, only=day)


FORMS = (
    "Write Sun 02:00-02:30, Mon-Fri 01:00-02:00, 02:00-02:30, first Sun 02:00-04:00"
    " or 2026-12-24 22:00-02:00."
)


def open_until(windows: Iterable[Window], zone: ZoneInfo, wall: Instant) -> Instant | None:
    """When the windows that are open at *wall* (of the wall clock) are over; None if none is.

    What begins before another ends counts as one with it.
    """
    now = until = _EPOCH + timedelta(microseconds=wall)
    spans = sorted(_spans(windows, zone, now))
    for begins, ends in spans:
        if begins <= until < ends:
            until = ends
    return None if until == now else Instant((until - _EPOCH) // timedelta(microseconds=1))


def local_time(at: Instant, zone: ZoneInfo) -> str:
    """``02:30`` in *zone*."""
    return f"{(_EPOCH + timedelta(microseconds=at)).astimezone(zone):%H:%M}"


def _spans(windows: Iterable[Window], zone: ZoneInfo, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Those that begin on the days around *now*: yesterday's may last until today, tomorrow's may follow."""
    today = now.astimezone(zone).date()
    for one in windows:
        for day in (today - _DAY, today, today + _DAY):
            if one.on(day):
                yield one.span(day, zone)


def _utc(day: date, minutes: int, zone: ZoneInfo, *, fold: int) -> datetime:
    local = datetime.combine(day, time(minutes // 60, minutes % 60), zone).replace(fold=fold)
    # In the hour that is left out the time before the change counts: what is written as 02:30 is 03:30 then.
    if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        local = local.replace(fold=0)
    return local.astimezone(UTC)


def _minutes(text: str) -> int | None:
    hours, minutes = int(text[:2]), int(text[3:])
    return hours * 60 + minutes if hours < 24 and minutes < 60 else None
