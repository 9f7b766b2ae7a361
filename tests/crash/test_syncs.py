"""Some of ``python -m tests.crash.syncs``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.syncs import fails

pytestmark = pytest.mark.crash


@pytest.mark.parametrize("when", [1, 2, 3, 4, 5, 6, 7, 8, 10, 20, 60])
def test_f07_no_promise_after_a_sync_error(tmp_path: Path, when: int) -> None:
    """From the first failed sync on nothing is promised and the process ends with 74; what was promised
    before is there at the next start."""
    fails(tmp_path, when)
