"""Other people's mail programs: aiosmtpd (PyPI) takes our pages, swaks (Debian) comes to the bounce door."""

from __future__ import annotations

import quopri
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from gateway.adapters.base import Client, Submission
from gateway.adapters.smtp.settings import own_of
from gateway.app.adapters import specs
from gateway.app.house import House
from gateway.env import Address
from gateway.env.real import RealEnv
from gateway.model import Content, LinkName
from gateway.outcome import Level
from gateway.settings import load
from gateway.settings.types import Durability
from gateway.store.base import MessageRow
from gateway.store.sqlite import open_store
from gateway.waiting import first_of
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.client import Conversation

pytestmark = pytest.mark.peers

LIMIT = 30.0  # seconds for anything here: far more than it needs
RELAY = LinkName("mail.relay")
SETTINGS = """\
site: {{name: Test, store: "sqlite:gateway.db"}}
listen: {{http: none, smtp: {{at: "127.0.0.1:{door}"}}}}
clients: {{monitoring: {{may_page: ["mail:*"], token_sha256: {digest}}}}}
carriers:
  mail:
    device: {{id: address}}
    links:
      relay: {{adapter: smtp, at: "127.0.0.1:{relay}", tls: off, from: Pages <pages@local.test>, reports: relayed,
               bounce_address: pages@bounces.local.test, bounce_secret: {{env: SECRET}}}}
"""
REPORT = """\
From: MAILER-DAEMON@far.test
To: {to}
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

It came back.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; far.test

Final-Recipient: rfc822; ann@far.test
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such mailbox

--b--
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Peer:
    """aiosmtpd as a process of its own, which prints what it takes."""

    def __init__(self, folder: Path, *, smtputf8: bool) -> None:
        self.port = free_port()
        self._said = folder / "aiosmtpd.out"
        words = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{self.port}"]
        words += ["-u"] if smtputf8 else []
        with self._said.open("wb") as out:
            self.running = subprocess.Popen(
                [*words, "-c", "aiosmtpd.handlers.Debugging", "stdout"], stdout=out
            )
        end = time.monotonic() + LIMIT
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert time.monotonic() < end and self.running.poll() is None, "aiosmtpd does not listen"
            time.sleep(0.05)

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")


@pytest.fixture(params=[True, False], ids=["smtputf8", "ascii"])
def peer(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Peer]:
    made = Peer(tmp_path, smtputf8=request.param)
    made.smtputf8 = request.param  # type: ignore[attr-defined]
    yield made
    made.running.terminate()
    made.running.wait(LIMIT)


class Gateway:
    def __init__(self, env: RealEnv, house: House, door: int) -> None:
        self.env, self.house, self.door = env, house, door

    async def page(self, to: str) -> str:
        accepted = await self.house.reception.submit(
            Client(name="tester", administrator=True),
            Submission(to=(to,), content=Content(text="Été: bed 7\n.\n..end"), until=Level.READ),
        )
        return accepted.id

    async def seen(self, id_: str, reached: object) -> MessageRow:
        assert callable(reached)
        end = self.env.clock.seconds() + LIMIT
        while self.env.clock.seconds() < end:
            row = await self.house.records.message(id_, client=None)
            assert row is not None
            if reached(row):
                return row
            await first_of(self.house.bell.wait(row.message), self.env.sleep(0.1))
        raise AssertionError(f"not within {LIMIT:g} s: {row}")


@pytest_twisted.async_yield_fixture
async def gateway(peer: Peer, tmp_path: Path) -> AsyncIterator[Gateway]:
    from twisted.internet import reactor

    env = RealEnv(reactor)
    door = free_port()
    text = SETTINGS.format(door=door, relay=peer.port, digest="a" * 64)
    environ = {"SECRET": "a secret of sixteen or more"}
    settings = load(text, specs(), file="g.yaml", read=Path.read_bytes, environ=environ)
    store = await open_store(tmp_path / "gateway.db", env, durability=Durability(min_free=0))
    house = House(settings, lambda _: settings, specs(), store, env, control=None, limit_connections=10)
    await house.start()
    yield Gateway(env, house, door)
    await house.stop()


@pytest_twisted.ensureDeferred
async def test_aiosmtpd_takes_a_page(gateway: Gateway, peer: Peer) -> None:
    """The text arrives whole, lone dots included."""
    row = await gateway.seen(
        await gateway.page("mail:ann@far.test"), lambda row: row.level >= Level.HANDED_OVER
    )
    assert row.level is Level.HANDED_OVER
    assert "Auto-Submitted: auto-generated" in peer.said
    assert "Été: bed 7\n.\n..end\n" in quopri.decodestring(peer.said).decode()


@pytest_twisted.ensureDeferred
async def test_an_address_beyond_ascii_needs_smtputf8(peer: Peer) -> None:
    """Where that is offered the address goes out as it is; where not, this address is refused and nothing is
    sent. (People's devices have ASCII addresses in this version; the library has no such limit.)"""
    from twisted.internet import reactor

    env = RealEnv(reactor)
    address = Address(host="127.0.0.1", port=peer.port)
    conversation = Conversation(
        env.net.client(address, open_timeout=LIMIT), env.clock, s.Manner(name=m.Domain("gw.local.test"))
    )
    assert isinstance(await conversation.open(), s.Opened)
    to = m.mailbox("jörg@far.test")
    result = await conversation.submit(
        m.Transaction(
            sender=m.Mailbox("pages@local.test"),
            recipients=(m.Recipient(address=to),),
            content=m.Content(b"Subject: page\r\n\r\nbed 7\r\n"),
        )
    )
    await conversation.quit()
    if peer.smtputf8:  # type: ignore[attr-defined]
        assert isinstance(result, m.Submitted) and result.reply.success
        assert "bed 7" in peer.said
    else:
        assert isinstance(result, m.NotSent) and result.lacking == "SMTPUTF8"
        assert "bed 7" not in peer.said


@pytest.mark.usefixtures("swaks")
@pytest_twisted.ensureDeferred
async def test_swaks_brings_a_report(gateway: Gateway, tmp_path: Path) -> None:
    """To the address of one page it is taken and is a setback; to an invented one it is refused."""
    id_ = await gateway.page("mail:ann@far.test")
    row = await gateway.seen(id_, lambda row: row.level >= Level.HANDED_OVER)
    own = own_of(gateway.house.settings().link(RELAY))  # type: ignore[arg-type]
    bounces = own.bounces(RELAY)
    assert bounces is not None
    from gateway.store.rows import correlation

    to = str(bounces.of(correlation(row.public_id, row.deliveries[0].delivery), 1))
    refused = await swaks(gateway.door, tmp_path, "pages+abc@bounces.local.test")
    assert refused.returncode and re.search(r"<\*\* 550 5\.7\.1", refused.stdout), refused.stdout
    done = await swaks(gateway.door, tmp_path, to)
    assert done.returncode == 0, done.stdout
    row = await gateway.seen(id_, lambda row: row.deliveries[0].setback is not None)
    assert "5.1.1" in (row.deliveries[0].setback or "")


def swaks(port: int, folder: Path, to: str) -> Deferred[subprocess.CompletedProcess[str]]:
    """swaks, which may wait for us: in a thread."""
    report = folder / "report.eml"
    report.write_text(REPORT.format(to=to))
    words = ["swaks", "--server", f"127.0.0.1:{port}", "--from", "<>", "--to", to, "--data", f"@{report}"]
    return deferToThread(
        subprocess.run, words, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL
    )
