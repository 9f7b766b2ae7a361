"""The spool directory: what was sent while no gateway ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.base import Accepted, Client, Submission
from gateway.api.spool import Spool
from gateway.bell import Bell
from gateway.env.simulated import SimulatedEnv, World, run
from gateway.errors import StoreFull, SubmissionError
from gateway.model import PublicId, later, rfc3339
from gateway.settings.types import Limits

FOLDER = Path("/var/lib/gateway/gateway.db.spool")
KEY = "gateway-send-1"


class Door:
    """A Reception that remembers what came, and can refuse."""

    def __init__(self) -> None:
        self.came: list[tuple[Client, Submission]] = []
        self.refusal: Exception | None = None

    async def submit(self, client: Client, submission: Submission) -> Accepted:
        if self.refusal is not None:
            raise self.refusal
        self.came.append((client, submission))
        return Accepted(id=PublicId("0" * 26), ref=None, body={})


class Yard:
    """A spool over a simulated disk."""

    def __init__(self) -> None:
        self.world = World(1)
        self.env: SimulatedEnv = self.world.env("gateway")
        self.door = Door()
        self.spool = Spool(FOLDER, self.door, Limits(), Bell(), self.env)  # type: ignore[arg-type]

    def put(self, name: str, **document: Any) -> None:
        self.env.files.replace(FOLDER / name, json.dumps(document).encode())

    def look(self) -> int:
        return run(self.world, self.spool.look())

    def names(self) -> tuple[str, ...]:
        return self.env.files.names(FOLDER, "")


@pytest.fixture
def yard() -> Yard:
    return Yard()


def test_a_spooled_message_is_taken_in_once(yard: Yard) -> None:
    """With its own idempotency key and as the user who wrote it; the file goes after the message is on disk."""
    yard.put("1.json", to="alice", text="hello", idempotency_key=KEY, spooled_at="2026-11-21T00:00:00Z")
    assert yard.look() == 1
    client, submission = yard.door.came[0]
    assert client == Client(name="root", administrator=True)
    assert (submission.to, submission.content.text, submission.idempotency_key) == (("alice",), "hello", KEY)
    assert yard.names() == ()
    assert yard.look() == 0


def test_files_are_taken_in_the_order_of_their_names(yard: Yard) -> None:
    """The command line names them by time."""
    for name in ("2.json", "1.json", "3.json"):
        yard.put(name, to="alice", text=name)
    yard.put(".4.json", to="alice", text="still being written")
    assert yard.look() == 3
    assert [submission.content.text for _, submission in yard.door.came] == ["1.json", "2.json", "3.json"]
    assert yard.names() == ()


@pytest.mark.parametrize(
    "error",
    [
        SubmissionError(503, "queue-full", "full"),
        SubmissionError(429, "rate", "too many"),
        SubmissionError(409, "idempotency-key-running", "being served"),
        StoreFull("the disk is nearly full"),
    ],
)
def test_what_cannot_be_taken_now_stays(yard: Yard, error: Exception) -> None:
    """A full gateway leaves the file for later."""
    yard.door.refusal = error
    yard.put("1.json", to="alice", text="hello")
    assert yard.look() == 0
    assert yard.names() == ("1.json",)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"to": "alice"}', b'{"to": "alice", "text": 1}', b"\xff"]
)
def test_what_can_never_be_taken_is_put_aside(yard: Yard, data: bytes) -> None:
    """A broken file does not stop the ones behind it and is not thrown away."""
    yard.env.files.replace(FOLDER / "1.json", data)
    yard.put("2.json", to="alice", text="hello")
    assert yard.look() == 2
    assert yard.names() == ("1.json.refused",)
    assert len(yard.door.came) == 1


def test_its_time_counts_from_when_it_was_written(yard: Yard) -> None:
    """A page that was good for ten minutes and lay here for eight has two left; after eleven it is not sent."""
    for age, name in ((480, "1.json"), (660, "2.json")):
        since = rfc3339(later(yard.env.wall(), -age))
        yard.put(name, to="alice", text="hello", expires_in="10m", spooled_at=since)
    yard.look()
    assert [submission.expires_in for _, submission in yard.door.came] == [pytest.approx(120, abs=1)]
    assert yard.names() == ("2.json.refused",)
