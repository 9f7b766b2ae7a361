"""The disk is slow, or hangs: syncs take 8 ms, 200 ms, 5 s, or do not end."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.power_slow import SlowDisk, slow_rig
from tests.crash.rig import Rig, until
from tests.crash.test_f06_power_loss import needs_compiler

pytestmark = [pytest.mark.crash, needs_compiler]

FOREVER = 3600.0


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Rig, SlowDisk]]:
    with slow_rig(tmp_path) as both:
        yield both


class Asked:
    """A message submitted by a client that waits for its answer."""

    def __init__(self, rig: Rig, text: str) -> None:
        self.answer: Any = None
        self.key = text
        self._thread = threading.Thread(target=self._ask, args=(rig, text), daemon=True)
        self._thread.start()

    def _ask(self, rig: Rig, text: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # no answer
            self.answer = rig.submit("solo:5550001", text, key=text)


def is_open(rig: Rig) -> bool:
    """Whether the door takes connections."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", rig.http)) == 0


def hang(rig: Rig, disk: SlowDisk, seconds: float, text: str) -> Asked:
    """Submit a message whose sync takes *seconds*, and wait until that is under way."""
    disk.take(seconds)
    asked = Asked(rig, text)
    until(lambda: disk.begun > disk.ended, "a sync is under way")
    return asked


@pytest.mark.parametrize(("seconds", "messages"), [(0.008, 16), (0.2, 8)])
def test_a_slow_disk_makes_slow_answers_and_no_others(
    slow: tuple[Rig, SlowDisk], seconds: float, messages: int
) -> None:
    """Messages are accepted and delivered, once each, however long a sync takes."""
    rig, disk = slow
    disk.take(seconds)
    texts = sorted(f"slow {number}" for number in range(messages))
    asked = [Asked(rig, text) for text in texts]
    until(lambda: all(one.answer is not None for one in asked), "every message is answered", limit=90)
    assert {one.answer.status for one in asked} == {202}
    until(lambda: len(rig.truth()) >= messages, "every page has come", limit=90)
    assert sorted(copy.text for copy in rig.truth()) == texts


@pytest.mark.parametrize("seconds", [5.0, FOREVER])
def test_the_reactor_never_waits_for_the_disk(slow: tuple[Rig, SlowDisk], seconds: float) -> None:
    """While a sync is under way the gateway answers who asks whether it lives and where a message stands;
    and what is not on the disk yet is not acknowledged."""
    rig, disk = slow
    before = rig.submit("solo:5550001", "before").json["id"]
    rig.status(before, wait=20.0)
    asked = hang(rig, disk, seconds, "during")
    ended = disk.ended
    assert rig.call("GET", "/livez").status == 200
    assert rig.status(before)["id"] == before
    assert disk.ended == ended, "the sync ended too early to tell anything"
    assert asked.answer is None
    disk.take(0.0)
    until(lambda: asked.answer is not None, "the message is answered")
    assert asked.answer.status in (202, 503)  # 503: it had waited for 5 s already


def test_a_disk_that_does_not_answer_is_told_in_time(slow: tuple[Rig, SlowDisk]) -> None:
    """After 5 s the client hears 503 and that nobody knows whether it was stored; the same key tells later,
    and one page goes."""
    rig, disk = slow
    asked = hang(rig, disk, FOREVER, "stuck")
    until(lambda: asked.answer is not None, "the client is told")
    assert asked.answer.status == 503
    assert (asked.answer.json["code"], asked.answer.json["stored"]) == ("store-slow", None)
    disk.take(0.0)
    until(lambda: rig.submit("solo:5550001", "stuck", key=asked.key).status == 202, "the disk is back")
    until(lambda: rig.truth(), "the page has come")
    assert [copy.text for copy in rig.truth()] == ["stuck"]


def test_sigterm_is_answered_while_the_disk_is_slow(slow: tuple[Rig, SlowDisk]) -> None:
    """A stop that comes during a sync of 3 s closes the doors at once, waits for the sync, acknowledges what
    it made durable, and ends with 0."""
    rig, disk = slow
    asked = hang(rig, disk, 3.0, "last")
    ended = disk.ended
    rig.gateway.signal(signal.SIGTERM)
    until(lambda: not is_open(rig), "the door is closed")
    assert (disk.ended, asked.answer) == (ended, None)
    until(lambda: disk.ended > ended, "the sync has ended")
    disk.take(0.0)  # a whole stop makes a dozen syncs
    assert rig.gateway.ended(limit=90) == 0, rig.gateway.tail()
    until(lambda: asked.answer is not None, "the message is answered")
    assert asked.answer.status == 202
    assert rig.count("SELECT count(*) FROM message WHERE public_id = ?", asked.answer.json["id"]) == 1


@pytest.mark.long
def test_sigterm_is_answered_while_the_disk_hangs(slow: tuple[Rig, SlowDisk]) -> None:
    """A stop during a sync that never ends is cut off; what was not acknowledged may be lost, nothing else."""
    rig, disk = slow
    first = rig.submit("solo:5550001", "first").json["id"]
    rig.status(first, wait=20.0)  # all of it, so that the sync that hangs is that of the other
    asked = hang(rig, disk, FOREVER, "never")
    rig.gateway.signal(signal.SIGTERM)
    assert rig.gateway.ended(limit=90) == 74, "it ended by itself, and not in order"
    assert asked.answer is None or asked.answer.status == 503
    disk.take(0.0)
    rig.start(prefix=disk.prefix)
    assert rig.status(first, wait=20.0)["id"] == first
