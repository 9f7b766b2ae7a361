"""Windows of time: what people may write, and when one is open, also when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import Instant
from gateway.settings.windows import open_until, window
from tests.gateway.test_settings import BASE, load_text, mistakes

PARIS = ZoneInfo("Europe/Paris")


def until(written: str, local: str, *, zone: ZoneInfo = PARIS, fold: int = 0) -> str | None:
    """When the window is over for who looks at the *local* time; as UTC, None if it is not open."""
    found = window(written)
    assert found is not None
    at = datetime.fromisoformat(local).replace(tzinfo=zone, fold=fold)
    over = open_until([found], zone, Instant(int(at.timestamp() * 1e6)))
    return None if over is None else f"{datetime.fromtimestamp(over / 1e6, UTC):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("written", "local", "over"),
    [
        # 2027-01-03 is a Sunday; Paris is one hour ahead of UTC
        ("Sun 02:00-02:30", "2027-01-03T01:59:59", None),
        ("Sun 02:00-02:30", "2027-01-03T02:00", "2027-01-03 01:30"),
        ("Sun 02:00-02:30", "2027-01-03T02:30", None),
        ("Sun 02:00-02:30", "2027-01-04T02:10", None),
        ("sun 02:00-02:30", "2027-01-03T02:10", "2027-01-03 01:30"),
        ("02:00-02:30", "2027-01-05T02:10", "2027-01-05 01:30"),
        ("Mon-Fri 01:00-02:00", "2027-01-08T01:10", "2027-01-08 01:00"),
        ("Mon-Fri 01:00-02:00", "2027-01-09T01:10", None),
        ("Sat-Mon 01:00-02:00", "2027-01-04T01:10", "2027-01-04 01:00"),
        ("Sat-Mon 01:00-02:00", "2027-01-05T01:10", None),
        # over midnight
        ("Sat 23:30-00:30", "2027-01-02T23:45", "2027-01-02 23:30"),
        ("Sat 23:30-00:30", "2027-01-03T00:15", "2027-01-02 23:30"),
        ("Sat 23:30-00:30", "2027-01-02T00:15", None),
        # weeks of the month
        ("first Sun 02:00-04:00", "2027-01-03T03:00", "2027-01-03 03:00"),
        ("first Sun 02:00-04:00", "2027-01-10T03:00", None),
        ("last Sun 02:00-04:00", "2027-01-31T03:00", "2027-01-31 03:00"),
        ("last Sun 02:00-04:00", "2027-01-24T03:00", None),
        # one day
        ("2027-01-05 22:00-02:00", "2027-01-06T01:00", "2027-01-06 01:00"),
        ("2027-01-05 22:00-02:00", "2027-01-06T22:30", None),
        # 2027-03-28: 02:00 is 03:00; what begins in the hour that is left out begins and ends that much later
        ("Sun 02:00-02:30", "2027-03-28T03:10", "2027-03-28 01:30"),
        ("Sun 02:00-02:30", "2027-03-28T01:59", None),
        ("Sun 01:30-03:30", "2027-03-28T03:10", "2027-03-28 01:30"),
    ],
)
def test_when_a_window_is_open(written: str, local: str, over: str | None) -> None:
    """From its first minute up to its last, in the site's zone."""
    assert until(written, local) == over


def test_in_autumn_a_window_lasts_over_the_hour_that_comes_twice() -> None:
    """2027-10-31: 02:00 to 03:00 comes twice; the carrier may mean either."""
    assert until("Sun 02:00-02:30", "2027-10-31T02:10", fold=0) == "2027-10-31 01:30"
    assert until("Sun 02:00-02:30", "2027-10-31T02:10", fold=1) == "2027-10-31 01:30"
    assert until("Sun 02:00-02:30", "2027-10-31T02:40", fold=1) is None


def test_windows_that_touch_are_one() -> None:
    """Whoever is told an end is not told another one at that end."""
    found = [window("22:00-00:00"), window("00:00-02:00"), window("01:00-03:00")]
    at = datetime(2027, 1, 5, 22, 30, tzinfo=UTC)
    over = open_until([one for one in found if one], ZoneInfo("UTC"), Instant(int(at.timestamp() * 1e6)))
    assert over == Instant(int(datetime(2027, 1, 6, 3, tzinfo=UTC).timestamp() * 1e6))


@pytest.mark.parametrize(
    "written",
    ["", "sunday 2-3", "Sun 2:00-3:00", "Sun 02:00", "Sun 25:00-26:00", "02:00-02:00", "Sux 02:00-03:00",
     "fifth Sun 02:00-03:00", "2027-02-30 02:00-03:00", "first 02:00-03:00", "Sun 02:60-03:00"],
)  # fmt: skip
def test_what_is_no_window(written: str) -> None:
    """It is refused when the file is read, with the forms that are."""
    assert window(written) is None
    text = BASE.replace("  spok:\n", f'  spok:\n    maintenance: ["{written}"]\n', 1)
    (said,) = mistakes(text)
    assert "carriers.spok.maintenance[0]" in said
    assert "Write Sun 02:00-02:30" in said or "has no value" in said


def test_maintenance_is_read() -> None:
    """One needs no brackets."""
    text = BASE.replace("  spok:\n", "  spok:\n    maintenance: Sun 02:00-02:30\n", 1)
    (found,) = load_text(text).carriers["spok"].maintenance
    assert found == window("Sun 02:00-02:30")


@given(st.integers(0, 1439), st.integers(1, 1439), st.integers(0, 366 * 1440))
@settings(max_examples=200)
def test_a_daily_window_is_open_for_its_length(begins: int, length: int, minute: int) -> None:
    """In a zone without changes, at any minute of a year."""
    ends = (begins + length) % 1440
    found = window(f"{begins // 60:02}:{begins % 60:02}-{ends // 60:02}:{ends % 60:02}")
    assert found is not None
    at = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    open_ = open_until([found], ZoneInfo("UTC"), Instant(int(at.timestamp() * 1e6))) is not None
    assert open_ is ((minute - begins) % 1440 < length)
