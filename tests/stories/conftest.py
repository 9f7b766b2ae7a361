"""Every story ends with a look at the log: an exception that nobody expected fails it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import globalLogBeginner

from tests.stories.world import SETTINGS, Story

Tell = Callable[..., Story]

# Before logging has begun Twisted prints what is critical: of nodes that died, which is what they are for.
globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)


@pytest.fixture
def tell(tmp_path: Path) -> Iterator[Tell]:
    """Begin a story: ``tell(text, terminals={at: quirks}, disk=…, seed=…)``, started unless told otherwise.

    *disk* ``sqlite`` keeps the record in a file, ``memory`` in the model of one.
    """
    begun: list[Story] = []

    def begin(
        text: str = SETTINGS,
        *,
        terminals: dict[str, dict[str, Any]] | None = None,
        disk: str = "memory",
        seed: int = 0,
        adapters: Any = None,
        started: bool = True,
    ) -> Story:
        folder = tmp_path / f"node{len(begun)}" if disk == "sqlite" else None
        if folder is not None:
            folder.mkdir()
        story = Story(text, seed=seed, folder=folder, adapters=adapters)
        begun.append(story)
        for at, quirks in (terminals or {}).items():
            story.terminal(at, **quirks)
        return story.start() if started else story

    yield begin
    for story in begun:
        story.end()
