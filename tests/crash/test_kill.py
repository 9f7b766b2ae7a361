"""F01 in small: the whole run is ``python -m tests.crash.kill``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.kill import DELAY, run
from tests.crash.rig import Rig

pytestmark = pytest.mark.crash


def test_f01_killed_at_random_moments(tmp_path: Path) -> None:
    """Twenty ``kill -9`` under load: everything that was acknowledged reached its pager, copies ≤ 1 + doubts, and
    every message has an outcome."""
    with Rig(tmp_path, delay=DELAY) as rig:
        found = run(rig, kills=20, messages=4000, seed=20)
    assert not found.broken, found.table(20)
    assert found.acknowledged == 4000
