"""Postfix (Debian: postfix) as the relay: a private instance, whose reports come back through the bounce door.

It has a mailbox, a domain beyond it whose server knows no DSN, and one that nobody serves; the whole gateway runs
in this process.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from gateway.adapters.base import Client, Submission
from gateway.app.adapters import specs
from gateway.app.house import House
from gateway.env.real import RealEnv
from gateway.model import Content, MessageClass
from gateway.outcome import Level
from gateway.settings import load
from gateway.settings.types import Durability
from gateway.sim.smtp import SimulatedSmtp, SmtpQuirks
from gateway.sim.truth import Truth
from gateway.store.base import MessageRow
from gateway.store.sqlite import open_store
from gateway.waiting import first_of

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("postfix")]

LIMIT = 60.0  # seconds for anything here: far more than it needs
SECRET = "a secret of sixteen or more"

MAIN = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
myhostname = mx.local.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
local_recipient_maps =
alias_maps =
smtpd_reject_unlisted_recipient = no
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = local.test
virtual_mailbox_base = {base}/mail
virtual_mailbox_maps = inline:{{ {{ ann@local.test = ann }} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
transport_maps = inline:{{
  {{ bounces.local.test = smtp:[127.0.0.1]:{door} }},
  {{ beyond.test = smtp:[127.0.0.1]:{beyond} }} }}
"""
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
{listed}
"""
SERVICES = {  # of Postfix's own master.cf, those that mail passes here; nothing is chrooted
    "cleanup": "unix n - n - 0 cleanup",
    "qmgr": "unix n - n 300 1 qmgr",
    "rewrite": "unix - - n - - trivial-rewrite",
    "bounce": "unix - - n - 0 bounce",
    "defer": "unix - - n - 0 bounce",
    "trace": "unix - - n - 0 bounce",
    "verify": "unix - - n - 1 verify",
    "flush": "unix n - n 1000? 0 flush",
    "proxymap": "unix - - n - - proxymap",
    "smtp": "unix - - n - - smtp",
    "relay": "unix - - n - - smtp",
    "error": "unix - - n - - error",
    "retry": "unix - - n - - error",
    "virtual": "unix - n n - - virtual",
    "anvil": "unix - - n - 1 anvil",
    "scache": "unix - - n - 1 scache",
    "postlog": "unix-dgram n - n - 1 postlogd",
}

SETTINGS = """\
site: {{name: Test, store: "sqlite:gateway.db"}}
listen: {{http: none, smtp: {{at: "127.0.0.1:{door}"}}}}
texts: {{default: ["{{text}}", "{{short}}"]}}
clients: {{monitoring: {{may_page: [everyone, "mail:*", "trusted:*"], token_sha256: {digest}}}}}
carriers:
  mail: {{device: {{id: address}}, links: {{relay: {{{link}, reports: relayed}}}}}}
  trusted: {{device: {{id: address}}, links: {{relay: {{{link}, reports: success}}}}}}
people: {{carol: {{name: Carol Diaz, devices: {{old: "mail:nobody@local.test", new: "trusted:ann@local.test"}}}}}}
"""
LINK = """adapter: smtp, at: "127.0.0.1:{port}", tls: off, from: Pages <pages@local.test>, \
bounce_address: pages@bounces.local.test, bounce_secret: {{env: SECRET}}"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Instance:
    """A Postfix of our own: settings, queue, mailbox and log below *base*, the system's is not touched."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.port, self.door, self.beyond = free_port(), free_port(), free_port()

    def start(self) -> None:
        owner = pwd.getpwnam("postfix")
        self.base.chmod(0o755)
        for name in ("queue", "data", "mail", "settings"):
            (self.base / name).mkdir()
        for name in ("data", "mail"):
            os.chown(self.base / name, owner.pw_uid, owner.pw_gid)
        ports = {"door": self.door, "beyond": self.beyond}
        main = MAIN.format(base=self.base, uid=owner.pw_uid, gid=owner.pw_gid, **ports)
        listed = "\n".join(f"{name} {rest}" for name, rest in SERVICES.items())
        (self.base / "settings" / "main.cf").write_text(main)
        (self.base / "settings" / "master.cf").write_text(MASTER.format(port=self.port, listed=listed))
        self.say("start")

    def say(self, what: str) -> None:
        words = ["postfix", "-c", str(self.base / "settings"), what]
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.log}"

    @property
    def log(self) -> str:
        path = self.base / "log"
        return path.read_text() if path.exists() else ""

    @property
    def mailbox(self) -> str:
        return (self.base / "mail" / "ann").read_text()


@pytest.fixture(scope="module")
def relay() -> Iterator[Instance]:
    """A Postfix that runs."""
    base = Path(tempfile.mkdtemp(prefix="gateway-postfix-"))
    made = Instance(base)
    try:
        made.start()
        yield made
        made.say("stop")
    finally:
        shutil.rmtree(base, ignore_errors=True)


class Gateway:
    """The whole gateway, and the server of a domain beyond the relay."""

    def __init__(self, env: RealEnv, house: House, beyond: Truth) -> None:
        self.env, self.house, self.beyond = env, house, beyond

    async def page(self, to: str, reached: Any, text: str = "Ward 4 bed 7") -> MessageRow:
        """Page *to* and wait until what is known of it is *reached*."""
        accepted = await self.house.reception.submit(
            Client(name="tester", administrator=True),
            Submission(
                to=(to,),
                content=Content(text=text),
                message_class=MessageClass.NORMAL,
                until=Level.READ,  # nothing ends it here but what is waited for
            ),
        )
        end = self.env.clock.seconds() + LIMIT
        while self.env.clock.seconds() < end:
            row = await self.house.records.message(accepted.id, client=None)
            assert row is not None
            if reached(row):
                return row
            await first_of(self.house.bell.wait(row.message), self.env.sleep(0.2))
        raise AssertionError(f"not within {LIMIT:g} s: {row}")


@pytest_twisted.async_yield_fixture
async def gateway(relay: Instance, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway whose mail goes through Postfix."""
    from twisted.internet import reactor

    env = RealEnv(reactor)
    text = SETTINGS.format(door=relay.door, digest="a" * 64, link=LINK.format(port=relay.port))
    settings = load(text, specs(), file="g.yaml", read=Path.read_bytes, environ={"SECRET": SECRET})
    store = await open_store(tmp_path / "gateway.db", env, durability=Durability(min_free=0))
    house = House(settings, lambda _: settings, specs(), store, env, control=None, limit_connections=10)
    beyond = Truth()
    far = await SimulatedSmtp(env, SmtpQuirks(dsn=False), beyond).listen(f"127.0.0.1:{relay.beyond}")
    await house.start()
    yield Gateway(env, house, beyond)
    await house.stop()
    await far.stopListening()


def at_least(level: Level) -> Any:
    return lambda row: row.level >= level


@pytest_twisted.ensureDeferred
async def test_what_postfix_delivers_raises_the_level(gateway: Gateway, relay: Instance) -> None:
    """Its report says delivered: on the device where we were told that this means the mailbox, else on its way."""
    row = await gateway.page("trusted:ann@local.test", at_least(Level.ON_DEVICE), text="Été: bed 7")
    assert row.level is Level.ON_DEVICE
    row = await gateway.page("mail:ann@local.test", at_least(Level.IN_PROGRESS))
    assert row.level is Level.IN_PROGRESS
    assert [event.data["state"] for event in row.timeline if event.kind == "level"] == ["delivered 2.0.0"]
    assert "Subject: Normal: Ward 4 bed 7\n" in relay.mailbox
    assert "\n=C3=89t=C3=A9: bed 7\n" in relay.mailbox


@pytest_twisted.ensureDeferred
async def test_what_postfix_hands_on_is_on_its_way(gateway: Gateway) -> None:
    """The next server knows no DSN: relayed, and no more will be heard, whatever `delivered` would mean."""
    row = await gateway.page("trusted:bob@beyond.test", at_least(Level.IN_PROGRESS))
    assert row.level is Level.IN_PROGRESS
    assert [(copy.pager, copy.text) for copy in gateway.beyond.copies] == [
        ("bob@beyond.test", "Ward 4 bed 7")
    ]


@pytest_twisted.ensureDeferred
async def test_a_bounce_of_postfix_is_a_setback(gateway: Gateway) -> None:
    """It took the mail, and found no mailbox for it."""
    row = await gateway.page(
        "mail:nobody@local.test", lambda row: any(event.kind == "setback" for event in row.timeline)
    )
    (setback,) = [event for event in row.timeline if event.kind == "setback"]
    assert setback.data["state"] == "failed 5.1.1"
    assert setback.data["why"].startswith("5.1.1 ") and "unknown user" in setback.data["why"]
    assert row.level is Level.HANDED_OVER


@pytest_twisted.ensureDeferred
async def test_a_bounce_of_postfix_opens_the_next_leg(gateway: Gateway) -> None:
    """The first address of a person is gone: her second one gets the page."""
    row = await gateway.page("carol", at_least(Level.ON_DEVICE))
    first, second = row.deliveries
    assert (first.device, first.setback is None) == ("old", False)
    assert (second.device, second.level, second.setback) == ("new", Level.ON_DEVICE, None)


@pytest_twisted.ensureDeferred
async def test_probing_postfix_tells_what_it_offers(gateway: Gateway) -> None:
    """Nothing is sent."""
    findings = await gateway.house.probe(gateway.house.settings().link_names()[0])
    assert findings.reached and findings.says.endswith("mx.local.test ESMTP Postfix")
    assert {"DSN", "PIPELINING", "SMTPUTF8"} <= set(findings.capabilities["extensions"].split())
