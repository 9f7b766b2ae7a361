"""The demo: a gateway on the embedded store, a simulated carrier for every protocol, one page by each."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from gateway.adapters.base import Client, Submission
from gateway.app.adapters import specs
from gateway.app.files import control_socket, load, spool_folder, store_path
from gateway.app.house import House
from gateway.env import BASE32, Env, Port
from gateway.errors import GatewayError
from gateway.model import Content, MessageClass, seconds_between
from gateway.outcome import Level
from gateway.sim.cut import Cuttable
from gateway.sim.smtp import Fate, SimulatedSmtp, SmtpQuirks
from gateway.sim.snpp import Progress, SimulatedSnpp, SnppQuirks
from gateway.sim.truth import Truth
from gateway.store.base import MessageRow, Store
from gateway.waiting import first_of

log = Logger()

FOLDER = Path(".demo")
PREFERRED_PORT = 8080
PAGE_TIMEOUT = 30.0  # seconds for one simulated page: far more than it needs, so a hang is seen
ADMINISTRATOR = Client(name="demo", administrator=True)


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way out that the demo shows, and how far a page by it must get."""

    protocol: str
    target: str
    whose: str
    until: Level
    proof: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How far one page got; an element of ``gateway demo --once --json``."""

    protocol: str
    level: str
    seconds: float


WAYS = (
    Way(
        protocol="snpp",
        target="bob",
        whose="Bob's pager",
        until=Level.ACKNOWLEDGED,
        proof='Bob has it: he answered "OK"',
    ),
    Way(
        protocol="smtp",
        target="eve",
        whose="Eve's mail",
        until=Level.IN_PROGRESS,
        proof="mail: last resort",
    ),
)

SETTINGS = """\
# The demo's settings: everything stays on this machine. `gateway init` writes yours.
site: {{name: Demo, zone: UTC, store: "sqlite:gateway.db"}}
listen:
  http: {{at: "127.0.0.1:{http}"}}
  smtp: {{at: "127.0.0.1:0"}}                         # where reports about mail come in
clients:
  demo: {{token_sha256: [{token_sha256}], may_page: [everyone, "acme:*", "mail:*"]}}
carriers:
  acme:
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      net: {{adapter: snpp, at: "127.0.0.1:{snpp}", two_way: true}}
  mail:
    device: {{id: address, pattern: "[!-~]+@demo[.]example"}}
    links:
      relay:
        adapter: smtp
        at: "127.0.0.1:{smtp}"
        tls: off
        from: Demo <pages@demo.example>
        bounce_address: pages@bounces.demo.example
        bounce_secret: {{file: bounce-secret}}
        reports: relayed
people:
  bob: {{name: Bob Ferrand, devices: {{pager: "acme:5551213"}}}}
  eve: {{name: Eve Sand, devices: {{mail: "mail:eve@demo.example"}}}}
groups: {{demo-oncall: [bob]}}
"""


def _at(port: Port) -> str:
    host = port.getHost()
    return f"{host.host}:{host.port}"


class Demo:
    """A whole demo over one env."""

    def __init__(self, env: Env, folder: Path = FOLDER) -> None:
        self._env = env
        self._net = env.net = Cuttable(env)
        self._folder = folder
        self.token = "demo-" + "".join(env.random.choice(BASE32) for _ in range(8))
        self.path = folder / "gateway.yaml"
        self.house: House | None = None

    async def start(self, open_store: Any) -> None:
        """Simulated carriers first, then the gateway that knows where they are."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        progress = (Progress(after=0.5, code=860), Progress(after=1.0, code=889, text="OK"))
        truth = Truth(self._folder / "pagers.jsonl")
        terminal = SimulatedSnpp(self._env, SnppQuirks(progress=progress), truth)
        relay = SimulatedSmtp(self._env, SmtpQuirks(fates=(Fate(after=0.3, action="relayed"),)), truth)
        snpp = await terminal.listen("127.0.0.1:0")
        smtp = await relay.listen("127.0.0.1:0")
        self._net.ways["internet"] = {_at(snpp), _at(smtp)}
        for http in (PREFERRED_PORT, 0):
            self._write(snpp=snpp.getHost().port, smtp=smtp.getHost().port, http=http)
            settings = load(self.path)
            store: Store = await open_store(
                store_path(settings, self.path), self._env, durability=settings.durability
            )
            house = House(
                settings,
                lambda generation: load(self.path, generation),
                specs(),
                store,
                self._env,
                control=control_socket(settings, self.path),
                spool=spool_folder(settings, self.path),
                limit_connections=200,
                cuts=self._net,
            )
            try:
                await house.start()
            except CannotListenError:
                await house.stop()
                if http == 0:
                    raise
                continue
            self.house = house
            door = house.listening("smtp")[0]
            relay.reports_to = f"{door.host}:{door.port}"
            self._net.ways["internet"].add(relay.reports_to)  # what carriers report comes the same way
            break

    def _write(self, *, snpp: int, smtp: int, http: int) -> None:
        digest = sha256(self.token.encode()).hexdigest()
        text = SETTINGS.format(http=http, snpp=snpp, smtp=smtp, token_sha256=digest)
        secret = "".join(self._env.random.choice(BASE32) for _ in range(32))
        self._env.files.replace(self._folder / "bounce-secret", secret.encode())
        self._env.files.replace(self.path, text.encode())

    @property
    def url(self) -> str:
        """Where the API is."""
        assert self.house is not None
        host = self.house.addresses[-1]
        return f"http://{host.host}:{host.port}"

    async def page(self, way: Way) -> tuple[Result, tuple[Level, ...]]:
        """One page by *way*, until it got as far as it can; and the levels by which it climbed."""
        assert self.house is not None
        started = self._env.now()
        accepted = await self.house.reception.submit(
            ADMINISTRATOR,
            Submission(
                to=(way.target,),
                content=Content(text=f"Hello from the demo, by {way.protocol.upper()}"),
                message_class=MessageClass.URGENT,
                until=way.until,
            ),
        )
        row = None
        while seconds_between(started, self._env.now()) < PAGE_TIMEOUT:
            row = await self.house.records.message(accepted.id, client=None)
            assert row is not None
            if row.level >= way.until or row.ending is not None:
                break
            await first_of(self.house.bell.wait(row.message), self._env.sleep(0.2))
        assert row is not None
        seconds = round(seconds_between(started, self._env.now()), 3)
        return Result(protocol=way.protocol, level=row.level.token, seconds=seconds), _climbed(row)


LEVEL_WORDS = {
    Level.STORED: "saved",
    Level.HANDED_OVER: "carrier has it",
    Level.IN_PROGRESS: "on its way",
    Level.ON_DEVICE: "on the pager",
    Level.READ: "opened",
    Level.ACKNOWLEDGED: "accepted",
}


def _climbed(row: MessageRow) -> tuple[Level, ...]:
    """The levels that a message was seen at, in order."""
    seen = {Level.STORED, row.level}
    for event in row.timeline:
        if "level" in event.data:
            seen.add(Level[event.data["level"].upper()])
    return tuple(sorted(seen))


def demo(*, once: bool, as_json: bool) -> int:
    """``gateway demo``: the exit code. With *once*: one page by each way, then the end."""
    from gateway.env.real import RealEnv, install_reactor

    reactor = install_reactor()
    from gateway.observe import begin_logging
    from gateway.store.sqlite import open_store

    os.umask(0o077)
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    logfile = (FOLDER / "gateway.log").open("a")  # kept: the log writes to its descriptor
    env = RealEnv(reactor)
    begin_logging(logfile, clock=env.clock)
    show = Demo(env)
    codes: list[int] = []

    def say(line: str) -> None:
        if not as_json:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    async def play() -> None:
        await show.start(open_store)
        say(
            f" Gateway up: embedded store {FOLDER / 'gateway.db'}, {len(WAYS)} simulated carrier"
            f"{'s' if len(WAYS) > 1 else ''}. No page leaves this machine."
        )
        say(f" {'One page by each way out':30}{'how far it got':57}time")
        results = []
        for way in WAYS:
            result, seen = await show.page(way)
            results.append(result)
            good = Level[result.level.upper()] >= way.until
            steps = " ▸ ".join(LEVEL_WORDS[level] for level in seen)
            verdict = f"✓ {way.proof}" if good else "✗ see .demo/gateway.log"
            say(f"   {way.protocol.upper():5} {way.whose:15} {steps:55} {result.seconds:5.1f} s   {verdict}")
        reached = all(
            Level[result.level.upper()] >= way.until for way, result in zip(WAYS, results, strict=True)
        )
        codes.append(0 if reached else 4)
        if as_json:
            sys.stdout.write(msgspec.json.encode(results).decode() + "\n")
            sys.stdout.flush()
        if once:
            reactor.stop()
            return
        say(
            f" Send   curl {show.url}/v1/messages -H 'Authorization: Bearer {show.token}' "
            '-d \'{"to":"demo-oncall","text":"hello"}\''
        )
        say(" Break  .venv/bin/gateway sim cut internet   then   .venv/bin/gateway sim mend internet")
        say(" Why    .venv/bin/gateway queue list --state all   then   .venv/bin/gateway why ID")
        say(" Yours  .venv/bin/gateway init      Stop   Ctrl-C (nothing saved is lost; start again and see)")

    def failed(failure: Any) -> None:
        error = failure.value
        if isinstance(error, GatewayError | OSError):
            sys.stderr.write(f"gateway demo: {error}\n")
        else:
            log.failure("the demo failed", failure=failure)
            sys.stderr.write(f"gateway demo failed: {error}. The log is {FOLDER / 'gateway.log'}.\n")
        codes.append(1)
        if reactor.running:
            reactor.stop()

    def end() -> Deferred[None] | None:
        return None if show.house is None else Deferred.fromCoroutine(show.house.stop())

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(play()).addErrback(failed))
    reactor.addSystemEventTrigger("before", "shutdown", end)
    reactor.run()
    logfile.close()
    return codes[-1] if codes else 0
