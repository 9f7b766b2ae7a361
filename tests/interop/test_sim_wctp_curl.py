"""curl posts documents to the real process ``gateway sim wctp``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocols.wctp import messages as m
from protocols.wctp.codec import asking, read, write
from protocols.wctp.messages import WctpId
from tests.crash.rig import HOME, LIMIT, Process, until

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("curl")]

EXAMPLES = HOME / "tests" / "protocols" / "wctp" / "examples"
ASKED = {  # example: what is answered
    "01-submit-request-alphanumeric.xml": (m.Confirmation, 200),
    "02-submit-request-mcr-choices.xml": (m.Confirmation, 200),
    "03-submit-request-mcr-choicepairs.xml": (m.Confirmation, 200),
    "04-submit-request-transparent-base64.xml": (m.Confirmation, 430),
    "08-submit-client-message.xml": (m.SubmitClientResponse, 200),
    "12-client-query.xml": (m.ClientQueryResponse, 504),
    "16-send-msg-multi.xml": (m.SendMsgMultiResponse, 200),
    "19-message-reply.xml": (m.Confirmation, 300),
    "25-poll-for-messages-first.xml": (m.PollResponse, None),
    "30-version-query.xml": (m.VersionResponse, None),
    "33-lookup-subscriber.xml": (m.Confirmation, 200),
    "36-device-location.xml": (m.Confirmation, 300),
    "39-return-to-svc.xml": (m.Confirmation, 300),
    "v1r0-bind-domain-alias.xml": (m.Confirmation, 300),
    "v1r1-submit-request.xml": (m.Confirmation, 200),
    "v1r1-version-query.xml": (m.VersionResponse, None),
}


class Carrier:
    """The process, and curl."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.log = folder / "pager.jsonl"
        command = [sys.executable, "-m", "gateway", "sim", "wctp", "--port", "0", "--json", *words]
        self.process = Process("sim", [*command, "--log", str(self.log)], folder / "sim.log")
        self.process.start()
        try:
            self.at = json.loads(until(lambda: self.process.tail(), "the simulated carrier listens"))["at"]
        except BaseException:
            self.process.kill()
            raise

    def post(self, body: bytes) -> tuple[int, bytes]:
        """The HTTP status and the body."""
        curl = ["curl", "-sS", "--max-time", str(int(LIMIT)), "-H", "Content-Type: text/xml"]
        done = subprocess.run(
            [*curl, "-w", "\n%{http_code}", "--data-binary", "@-", f"http://{self.at}/wctp"],
            input=body,
            capture_output=True,
            timeout=2 * LIMIT,
            check=True,
        )
        answer, _, status = done.stdout.rpartition(b"\n")
        return int(status), answer

    def ask(self, body: bytes) -> Any:
        status, answer = self.post(body)
        heard = read(answer)
        assert (status, isinstance(heard, m.Document)) == (200, True), answer
        assert isinstance(heard, m.Document)
        return heard.operation


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Carrier]:
    made = Carrier(tmp_path, "--progress", "0:delivered", "--progress", "0:choice:1")
    try:
        yield made
    finally:
        made.process.kill()


def test_every_operation_is_answered_as_it_should_be(carrier: Carrier) -> None:
    """Documents of all versions; what was answered 200 is on the pager."""
    for name, (kind, code) in ASKED.items():
        answer = carrier.ask((EXAMPLES / name).read_bytes())
        assert type(answer) is kind, name
        if code is not None:
            result = answer.failure if kind is m.ClientQueryResponse else answer.result
            assert (name, result.code) == (name, code)
    pagers = [json.loads(one)["pager"] for one in carrier.log.read_text().splitlines()]
    assert len(pagers) == 8  # one each, three of the page to several
    hostile = sorted((EXAMPLES / "hostile").iterdir())
    assert hostile
    for one in hostile:
        heard = read(carrier.post(one.read_bytes())[1])
        assert isinstance(heard, m.Document), one.name
        assert isinstance(heard.operation, m.Confirmation | m.PollResponse), one.name
    assert carrier.process.alive


def test_a_poller_and_a_transient_client_hear_of_their_pages(carrier: Carrier) -> None:
    """The same page, told in the two ways in which somebody behind a firewall is told."""
    page = (EXAMPLES / "02-submit-request-mcr-choices.xml").read_bytes()
    asked = read(page)
    assert isinstance(asked, m.Document)
    assert isinstance(asked.operation, m.SubmitRequest)
    control = asked.operation.control
    carrier.ask(page)
    poller = control.send_responses_to or asked.operation.originator.sender_id
    poll = write(m.PollForMessages(poller_id=poller), asking())
    told = until(lambda: carrier.ask(poll).messages, "the choice is told")
    assert isinstance(asked.operation.payload, m.MultipleChoice)
    (choice,) = [one.content.payload.text for one in told if isinstance(one.content, m.MessageReply)]
    assert isinstance(asked.operation.payload.choices[0], m.Choice)
    assert choice == asked.operation.payload.choices[0].text

    taken = carrier.ask((EXAMPLES / "08-submit-client-message.xml").read_bytes())
    query = m.ClientQuery(
        sender_id=WctpId("desk3@branch.example"),
        recipient_id=WctpId("5550104477"),
        tracking=taken.result.tracking,
    )
    (status,) = until(lambda: carrier.ask(write(query, asking())).messages, "the delivery is told")
    assert status.result.event is m.Event.DELIVERED
