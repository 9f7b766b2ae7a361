"""Too much of everything, in small. More of the same: ``python -m tests.crash.overload``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import overload
from tests.crash.test_store_process import small_disk

pytestmark = pytest.mark.crash


def test_f50_reload_under_load(tmp_path: Path) -> None:
    """Fifty SIGHUPs, every tenth with a broken file: nothing is lost, doubled or refused."""
    overload.reloads(tmp_path, 50)


def test_f51_sigterm_under_load_drains(tmp_path: Path) -> None:
    """What is begun finishes, nothing is in doubt; the next start sends the rest, once."""
    overload.stop(tmp_path, 200)


def test_f53_nobody_reads_the_log(tmp_path: Path) -> None:
    """Lines are dropped and counted; pages go out as before."""
    overload.unread_log(tmp_path, 300)


def test_f53_the_disk_of_the_log_is_full(tmp_path: Path) -> None:
    """The same."""
    with small_disk(tmp_path, "32k") as disk:
        overload.full_log(disk, tmp_path, 100)


def test_f56_everything_at_once_after_an_outage(tmp_path: Path) -> None:
    """Critical pages first, and never more a second than the carrier allows."""
    overload.outage(tmp_path, 2000)


def test_f57_callers_that_say_nothing(tmp_path: Path) -> None:
    """3,000 callers for 2,000 places: memory stays bounded, critical pages find their way in."""
    overload.connections(tmp_path, 3000)
