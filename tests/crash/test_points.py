"""The process is killed at each durability point. More of the same: ``python -m tests.crash.points``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import points
from tests.crash.rig import Rig, until

pytestmark = pytest.mark.crash

TIMES = 3


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One store and one set of carriers for all kills."""
    with Rig(tmp_path_factory.mktemp("points")) as rig:
        rig.start_carriers()
        yield rig


@pytest.mark.parametrize("turn", range(TIMES))
def test_f02_killed_after_t1(rig: Rig, turn: int) -> None:
    """Between "on disk" and "202": the client's repeat gets the first answer; one message, one page."""
    points.t1(rig)


@pytest.mark.parametrize("turn", range(TIMES))
def test_f03_killed_between_t2_and_send(rig: Rig, turn: int) -> None:
    """Begun and nothing sent: exactly one copy."""
    points.t2(rig)


@pytest.mark.parametrize("turn", range(TIMES))
def test_f04_killed_between_send_and_t3(rig: Rig, turn: int) -> None:
    """Taken by the carrier and not on record: a second copy goes, and says that it is one."""
    points.sent(rig)


@pytest.mark.parametrize("turn", range(TIMES))
def test_killed_after_t3(rig: Rig, turn: int) -> None:
    """Taken and on record: exactly one copy."""
    points.t3(rig)


@pytest.mark.parametrize("turn", range(TIMES))
def test_f05_killed_after_t4(rig: Rig, turn: int) -> None:
    """A receipt that is heard twice is on record once."""
    points.t4(rig)


@pytest.mark.parametrize("turn", range(TIMES))
def test_killed_after_t5(rig: Rig, turn: int) -> None:
    """The next leg is opened exactly once."""
    points.t5(rig)


def test_killed_after_an_acknowledgement(rig: Rig) -> None:
    """Who was told that she has it still has it."""
    points.acknowledged(rig)


@pytest.mark.parametrize("turn", range(TIMES))
def test_killed_after_t6(rig: Rig, turn: int) -> None:
    """A link that was switched off stays off."""
    points.t6(rig)


def test_killed_after_a_cancel(rig: Rig) -> None:
    """What was stopped stays stopped."""
    points.cancelled(rig)


def test_a_crash_of_ours_rests_no_link(tmp_path: Path) -> None:
    """Pages that our own end interrupted are in doubt; that says nothing about the carrier, so its link goes on."""
    with Rig(tmp_path, delay=0.5) as rig:
        rig.start_carriers("a")
        rig.start()
        ids = [rig.submit("solo:5550109", f"interrupted {n}", "normal").json["id"] for n in range(8)]
        under_way = "SELECT count(*) FROM delivery WHERE state = 1"
        until(lambda: rig.count(under_way) >= 4, "four pages are under way")
        rig.gateway.kill()
        rig.start()
        link = next(
            one
            for one in rig.call("GET", "/v1/links", as_operator=True).json["links"]
            if one["link"] == "solo.a"
        )
        assert link["breaker"] is None
        assert {rig.status(id_, wait=20)["outcome"] for id_ in ids} == {"confirmed"}
