"""Times and durations, as the API writes and reads them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from gateway.model import Instant, rfc3339, seconds_between
from gateway.settings.kinds import duration

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at: Instant) -> datetime:
    """*at* in UTC."""
    return EPOCH + timedelta(microseconds=at)


def seconds_of(given: str | float) -> float | None:
    """A number of seconds, or text like ``30m``; None if it is neither."""
    try:
        return duration(given.strip()) if isinstance(given, str) else float(given)
    except ValueError:
        return None


def maybe(at: Instant | None) -> str | None:
    """``rfc3339`` of what may be missing."""
    return None if at is None else rfc3339(at)


def instant_of(text: str) -> Instant | None:
    """Reads RFC 3339. None if it has no zone; ValueError if it is not a time at all."""
    if not text.isascii():
        raise ValueError("not a time")
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError as problem:
        raise ValueError("not a time") from problem
    if at.tzinfo is None:
        return None
    return Instant((at - EPOCH) // timedelta(microseconds=1))


@lru_cache(maxsize=16)
def zone_of(name: str) -> tzinfo:
    """The time zone of that IANA name; UTC if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def clock(at: Instant, zone: tzinfo, now: Instant) -> str:
    """A time as people read it: ``03:08``; with seconds within the last or next five minutes; with the day
    if it is not today."""
    local, today = moment(at).astimezone(zone), moment(now).astimezone(zone)
    near = abs(seconds_between(now, at)) < 300
    text = local.strftime("%H:%M:%S" if near else "%H:%M")
    if local.date() == today.date() or near:
        return text
    if abs((local.date() - today.date()).days) < 7:
        return f"{local:%a} {text}"
    return f"{local:%Y-%m-%d} {text}"


def spell(seconds: float) -> str:
    """A duration as people say it: ``48 s``, ``6 min 10 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = max(0, round(seconds))
    for size, name, smaller, least in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {least}" if rest else "")
    return f"{whole} s"
