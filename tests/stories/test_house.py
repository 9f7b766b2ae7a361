"""The house as a whole: what a reload leaves on record, and links that left the settings while it stood still."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from gateway.lifecycle import State
from gateway.model import MessageClass
from tests.stories.world import ONE, SETTINGS, TWO, Story


def test_a_reload_is_on_record_and_says_what_it_cannot_change(tmp_path: Path) -> None:
    """New settings are written down before they take effect; the name of the database cannot change in flight."""
    story = Story(SETTINGS, folder=tmp_path).start()
    story.reload(SETTINGS.replace("sqlite:gateway.db", "sqlite:other.db"))
    assert story.house.settings().generation == 2
    assert "site.store: takes effect at the next start" in story.house.settings().warnings
    story.stop()
    with sqlite3.connect(tmp_path / "gateway.db") as database:
        rows = database.execute("SELECT data FROM event WHERE subject = 0 AND kind = 'settings'").fetchall()
    assert [json.loads(data)["generation"] for (data,) in rows] == [2]


def test_a_link_that_left_the_settings_while_the_gateway_stood_still(tmp_path: Path) -> None:
    """Its page goes on over the next link; nothing waits for a way out that nobody runs."""
    story = Story(SETTINGS, folder=tmp_path).start()
    page = story.page("alice", message_class=MessageClass.NORMAL)  # nobody listens at either carrier
    story.forward(1)
    story.stop()
    story.terminal(TWO)
    lines = [line for line in SETTINGS.splitlines() if ONE not in line]
    story.text = "\n".join(lines)
    story.start()
    story.forward(3600)
    assert len(story.copies()) == 1
    row = story.look(page)
    assert row.ending == "confirmed"
    assert {one.state for one in row.deliveries} <= {State.TAKEN, State.CANCELLED}
    story.stop()
