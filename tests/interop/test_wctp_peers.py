"""The daemon pages through a WCTP carrier that was written from the document types alone, which is strict.

The carrier (tests/independent_wctp.py) refuses what no document type allows: what arrives at it is WCTP by its
reading too. One daemon serves all tests of this file: one way whose answers are pushed, one that polls, one that
asks with tracking numbers, one in WCTP 1.1.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests import independent_wctp as w
from tests.crash.rig import HOME, Process, free_port, until

pytestmark = pytest.mark.peers

TOKEN = "wctp-peers-token"
SETTINGS = """\
site: {{name: Peers, store: "sqlite:gateway.db"}}
listen:
  http: {{at: "127.0.0.1:{http}"}}
  wctp: {{at: "127.0.0.1:{door}", secret: {{env: DOOR}}}}
clients: {{rig: {{token_sha256: {digest}, may_page: ["pushed:*", "polled:*", "asked:*", "old:*"], rate: 6000/min}}}}
texts: {{default: ["{{text}}", "{{short}}"]}}
classes: {{urgent: {{waits: [0s, 300ms, 600ms], next_leg_after: 10s}}}}
carriers:
  pushed: {{links: {{web: {{adapter: wctp, url: "{url}", sender_id: st-anne, security_code: {{env: CODE}}, answers: push,
           notify_queued: true, notify_delivered: true, notify_read: true, charset: utf-8}}}}}}
  polled: {{links: {{web: {{adapter: wctp, url: "{url}", sender_id: poller, security_code: {{env: CODE}}, answers: poll,
           notify_delivered: true, poll_interval: 1s}}}}}}
  asked: {{links: {{web: {{adapter: wctp, url: "{url}", sender_id: desk3, mode: transient, answers: query,
           notify_delivered: true}}}}}}
  old: {{links: {{web: {{adapter: wctp, url: "{url}", sender_id: st-anne, security_code: {{env: CODE}}, version: "1.1",
        choices: text}}}}}}
"""
DOOR = "door-secret-of-the-tests"


class Peers:
    """A carrier, and a daemon that has four ways to it."""

    def __init__(self, folder: Path, carrier: w.Carrier) -> None:
        self.carrier = carrier
        self.http, door = free_port(), free_port()
        self.door = f"http://127.0.0.1:{door}/wctp/{DOOR}"
        settings = folder / "gateway.yaml"
        digest = sha256(TOKEN.encode()).hexdigest()
        settings.write_text(SETTINGS.format(http=self.http, door=door, digest=digest, url=carrier.url))
        command = [sys.executable, "-m", "gateway", "run", "--settings", str(settings)]
        self.daemon = Process("gateway", command, folder / "gateway.log")

    def start(self) -> None:
        self.daemon.start(DOOR=DOOR, CODE="blue", PYTHONPATH=str(HOME))
        until(self._up, "the gateway is up")

    def _up(self) -> bool:
        assert self.daemon.alive, self.daemon.tail()
        return "Gateway up: " in self.daemon.tail(1 << 20)

    def ask(self, path: str, body: Any = None) -> Any:
        """The API's answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def page(self, to: str, text: str, **more: Any) -> tuple[str, w.Taken]:
        """A page, once the carrier has taken it: its id, and what the carrier has."""
        body = {"to": to, "text": text, "class": "urgent"} | more
        found = str(self.ask("/v1/messages", body)["id"])
        assert self.carrier.wait(lambda: any(text in one.text for one in self.carrier.taken)), (
            self.carrier.refusals()
        )
        taken = [one for one in self.carrier.taken if text in one.text]
        assert len(taken) == 1
        return found, taken[0]

    def status(self, key: str, until: str) -> Any:
        """How a page stands once it got so far."""
        return self.ask(f"/v1/messages/{key}?wait=30&until={until}")

    def reaches(self, key: str, look: Callable[[Any], bool]) -> Any:
        """How it stands once *look* is true."""
        return until(
            lambda: (found := self.ask(f"/v1/messages/{key}")) and look(found) and found, "it got so far"
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with w.Carrier(senders={"st-anne": "blue", "poller": "blue"}, longest=240) as carrier:
        peers = Peers(tmp_path_factory.mktemp("wctp"), carrier)
        try:
            peers.start()
            yield peers
        finally:
            peers.daemon.kill()


@pytest.fixture
def peers(running: Peers) -> Iterator[Peers]:
    """After each test the carrier has refused nothing as malformed."""
    yield running
    assert [one for one in running.carrier.refusals() if one[:3] in ("300", "301", "302", "303")] == []


def test_pushed_a_page_climbs_as_the_carrier_tells(peers: Peers) -> None:
    """QUEUED, DELIVERED and READ, each confirmed to the carrier in its own words; out of order nothing falls."""
    key, taken = peers.page("pushed:5551212", 'Call 4411 <now> & "bring" étage 2', until="read")
    assert taken.text == 'Call 4411 <now> & "bring" étage 2'
    assert (taken.sender, taken.recipient, taken.version) == ("st-anne", "5551212", w.V13)
    assert taken.control["deliveryPriority"] == "HIGH"
    assert peers.status(key, "handed_over")["level"] == "handed_over"
    for what, level in (("QUEUED", "in_progress"), ("DELIVERED", "on_device")):
        assert peers.carrier.push(peers.door, taken, what).accepted
        assert peers.status(key, level)["level"] == level
    assert peers.carrier.push(peers.door, taken, "QUEUED").accepted
    assert peers.carrier.push(peers.door, taken, "READ").accepted
    assert peers.status(key, "read")["level"] == "read"


def test_pushed_twice_counts_once(peers: Peers) -> None:
    """A carrier that did not see our confirmation says it again, and is confirmed again."""
    key, taken = peers.page("pushed:5551213", "pushed twice", until="acknowledged")
    for _ in range(2):
        assert peers.carrier.push(peers.door, taken, "DELIVERED", own_id="c-twice").accepted
    found = peers.status(key, "on_device")
    assert [one["what"] for one in found["timeline"]].count("receipt") <= 1


def test_an_answer_on_the_device_accepts_the_page(peers: Peers) -> None:
    """MessageReply with a word that means yes."""
    key, taken = peers.page("pushed:5551214", "bed 4", until="acknowledged", replies=["OK", "Cannot"])
    assert [answer for _, answer in taken.choices] == ["OK", "Cannot"]
    assert peers.carrier.push(peers.door, taken, "reply:OK").accepted
    found = peers.status(key, "acknowledged")
    assert found["level"] == "acknowledged"


def test_a_failure_that_is_pushed_is_a_setback(peers: Peers) -> None:
    """What was taken and then could not be delivered is told as that, and is no success."""
    key, taken = peers.page("pushed:5551215", "a pager that is off", until="on_device")
    assert peers.carrier.push(peers.door, taken, "500").accepted
    found = peers.reaches(key, lambda one: bool(one["deliveries"][0]["setback"]))
    assert found["deliveries"][0]["setback"].startswith("500")
    assert "did not arrive" in found["says"]
    assert found["level"] == "handed_over"


def test_a_push_by_who_does_not_know_the_path_is_refused(peers: Peers) -> None:
    """And nothing climbs by it."""
    key, taken = peers.page("pushed:5551216", "not by strangers")
    answer = peers.carrier.push(peers.door.replace(DOOR, "another-secret-of-theirs"), taken, "READ")
    assert not answer.accepted
    assert peers.status(key, "handed_over")["level"] == "handed_over"


def test_a_push_about_no_page_of_ours_is_no_success(peers: Peers) -> None:
    """504, or what else is not a yes; as WCTP, in the version that was spoken."""
    strange = w.status_info("5551212", "st-anne", "nobody-knows", "c-9", "READ")
    for version in w.VERSIONS:
        answer = w.post(peers.door, strange, version)
        assert (answer.kind, answer.wrong) == ("Confirmation", None)


def test_polled_a_page_climbs_and_what_was_fetched_is_acknowledged(peers: Peers) -> None:
    """PollForMessages with the code; what was taken over is not given again."""
    key, taken = peers.page("polled:5551217", "fetched", until="acknowledged")
    peers.carrier.report(taken, "DELIVERED")
    assert peers.status(key, "on_device")["level"] == "on_device"
    peers.carrier.report(taken, "reply:OK")
    assert peers.status(key, "acknowledged")["level"] == "acknowledged"
    assert peers.carrier.wait(lambda: not peers.carrier.waiting("poller"))


def test_transient_a_page_climbs_by_what_queries_find(peers: Peers) -> None:
    """SubmitClientMessage, then ClientQuery with the tracking number."""
    key, taken = peers.page("asked:5551218", "asked for", until="on_device")
    assert taken.tracking is not None and taken.message_id is None
    peers.carrier.report(taken, "DELIVERED")
    assert peers.status(key, "on_device")["level"] == "on_device"


def test_an_older_carrier_hears_its_own_version(peers: Peers) -> None:
    """1.1: nothing that it does not know."""
    key, taken = peers.page("old:5551219", "for 1.1", replies=["OK", "Cannot"])
    assert taken.version == w.V11
    assert peers.status(key, "handed_over")["level"] == "handed_over"


@pytest.mark.parametrize(
    "answer",
    [w.element("Confirmation", w.failure(606, "try later")), 503, b"<html>busy</html>", None],
    ids=["606", "503", "html", "hang up"],
)
def test_what_was_not_a_yes_is_tried_again_with_the_same_id(peers: Peers, answer: Any) -> None:
    """So that a carrier can tell the copy; and it gets through."""
    text = f"again {os.urandom(4).hex()}"
    peers.carrier.next_answers(answer, to="SubmitRequest")
    key = peers.ask("/v1/messages", {"to": "pushed:5551220", "text": text, "class": "urgent"})["id"]
    assert peers.status(key, "handed_over")["level"] == "handed_over"
    taken = [one for one in peers.carrier.taken if text in one.text]
    assert len(taken) == 2
    assert len({one.message_id for one in taken}) == 1


@pytest.mark.parametrize("code", [403, 411])
def test_a_no_is_a_no(peers: Peers, code: int) -> None:
    """Refusals are not repeated unchanged."""
    text = f"no {code}"
    peers.carrier.next_answers(w.element("Confirmation", w.failure(code)), to="SubmitRequest")
    key = peers.ask("/v1/messages", {"to": "old:5551221", "text": text, "class": "urgent"})["id"]
    found = peers.reaches(key, lambda one: one["state"] == "ended")
    assert found["outcome"] == "failed"
    assert len([one for one in peers.carrier.taken if one.text == text]) == 1
