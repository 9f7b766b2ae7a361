"""The demo: a gateway on the embedded store, a simulated carrier for every protocol, one page by each way,
and one while the Internet is cut."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
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
from gateway.sim.tap import SimulatedTap, TapQuirks
from gateway.sim.truth import Truth
from gateway.sim.wctp import SimulatedWctp, WctpQuirks
from gateway.store.base import MessageRow, Store
from gateway.waiting import first_of

log = Logger()

FOLDER = Path(".demo")
PREFERRED_PORT = 8080
PAGE_TIMEOUT = 60.0  # seconds for one simulated page: far more than it needs, so a hang is seen
BAUD = 1200  # bits per second of the simulated telephone line: what old paging terminals speak
ADMINISTRATOR = Client(name="demo", administrator=True)


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way out that the demo shows, and how far a page by it must get; *first*: what is seen between
    saved and the carrier's word."""

    protocol: str
    target: str
    whose: str
    until: Level
    proof: str
    message_class: MessageClass = MessageClass.URGENT
    first: str | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How far one page got; an element of ``gateway demo --once --json``. *cut*: by which path nothing went
    out meanwhile."""

    protocol: str
    level: str
    seconds: float
    cut: str | None = None


WAYS = (
    Way(
        protocol="wctp",
        target="alice",
        whose="Alice's pager",
        until=Level.HANDED_OVER,
        proof="all that a one-way pager can prove",
    ),
    Way(
        protocol="snpp",
        target="bob",
        whose="Bob's pager",
        until=Level.ACKNOWLEDGED,
        proof='Bob has it: he answered "OK"',
    ),
    Way(
        protocol="tap",
        target="dan",
        whose="Dan's pager",
        until=Level.HANDED_OVER,
        proof=f"simulated modem, {BAUD} baud",
        first="dialling",
    ),
    Way(
        protocol="smtp",
        target="eve",
        whose="Eve's mail",
        until=Level.IN_PROGRESS,
        proof="mail: last resort",
    ),
)

CUT_OFF = Way(
    protocol="tap",
    target="alice",
    whose="Alice's pager",
    until=Level.HANDED_OVER,
    proof="the Internet is away, and she is paged",
    message_class=MessageClass.CRITICAL,
)
"""What the demo is for: the first way out of this page needs the Internet, which is cut."""

SETTINGS = """\
# The demo's settings: everything stays on this machine. `gateway init` writes yours.
site: {{name: Demo, zone: UTC, store: "sqlite:gateway.db"}}
listen:
  http: {{at: "127.0.0.1:{http}"}}
  smtp: {{at: "127.0.0.1:0"}}                         # where reports about mail come in
clients:
  demo: {{token_sha256: [{token_sha256}], may_page: [everyone, "acme:*", "metro:*", "mail:*"]}}
carriers:
  acme:                                                 # two ways in, tried in this order
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      web: {{adapter: wctp, url: "http://127.0.0.1:{wctp}/wctp", sender_id: demo}}
      phone: {{adapter: tap, lines: modems, dial: ["5550100"]}}
  metro:
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      net: {{adapter: snpp, at: "127.0.0.1:{snpp}", two_way: true}}
  valley:
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      phone: {{adapter: tap, lines: modems, dial: ["5550200"]}}
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
lines:
  modem-1: {{pool: modems, tcp: "127.0.0.1:{tap}", baud: {baud}}}
people:
  alice: {{name: Alice Moreau, devices: {{pager: "acme:5551212"}}}}
  bob: {{name: Bob Ferrand, devices: {{pager: "metro:5551213"}}}}
  dan: {{name: Dan Okafor, devices: {{pager: "valley:5551214"}}}}
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
        web = SimulatedWctp(self._env, WctpQuirks(), truth)
        phone = SimulatedTap(self._env, TapQuirks(), truth, baud=BAUD, modem=True)
        ports = {
            name: await carrier.listen("127.0.0.1:0")
            for name, carrier in (("wctp", web), ("snpp", terminal), ("tap", phone), ("smtp", relay))
        }
        self._net.ways["phone"] = {_at(ports["tap"])}
        self._net.ways["internet"] = {_at(port) for name, port in ports.items() if name != "tap"}
        for http in (PREFERRED_PORT, 0):
            self._write({name: port.getHost().port for name, port in ports.items()}, http)
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

    def _write(self, ports: dict[str, int], http: int) -> None:
        digest = sha256(self.token.encode()).hexdigest()
        text = SETTINGS.format(http=http, baud=BAUD, token_sha256=digest, **ports)
        secret = "".join(self._env.random.choice(BASE32) for _ in range(32))
        self._env.files.replace(self._folder / "bounce-secret", secret.encode())
        self._env.files.replace(self.path, text.encode())

    @property
    def url(self) -> str:
        """Where the API is."""
        assert self.house is not None
        host = self.house.addresses[-1]
        return f"http://{host.host}:{host.port}"

    async def page(self, way: Way) -> tuple[Result, MessageRow]:
        """One page by *way*, until it got as far as it can; and what is on record about it."""
        assert self.house is not None
        started = self._env.now()
        accepted = await self.house.reception.submit(
            ADMINISTRATOR,
            Submission(
                to=(way.target,),
                content=Content(text=f"Hello from the demo, by {way.protocol.upper()}"),
                message_class=way.message_class,
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
        return Result(protocol=way.protocol, level=row.level.token, seconds=seconds), row

    async def page_cut_off(self) -> tuple[Result, MessageRow]:
        """One page while the Internet is cut, and how it fared."""
        self._net.cut("internet", seconds=None, refuse=False)
        try:
            result, row = await self.page(CUT_OFF)
        finally:
            self._net.mend("internet")
        return replace(result, cut="internet"), row


LEVEL_WORDS = {
    Level.STORED: "saved",
    Level.HANDED_OVER: "carrier has it",
    Level.IN_PROGRESS: "on its way",
    Level.ON_DEVICE: "on the pager",
    Level.READ: "opened",
    Level.ACKNOWLEDGED: "accepted",
}


def _steps(way: Way, row: MessageRow) -> str:
    """The levels that a message was seen at, in order."""
    seen = {Level.STORED, row.level}
    for event in row.timeline:
        if "level" in event.data:
            seen.add(Level[event.data["level"].upper()])
    words = [LEVEL_WORDS[level] for level in sorted(seen)]
    if way.first is not None:
        words.insert(1, way.first)
    return " ▸ ".join(words)


def _by_phone(row: MessageRow) -> str:
    """How a page found another way than the first of its plan."""
    at = {one.link.rpartition(".")[2]: seconds_between(row.at, one.opened_at) for one in row.deliveries}
    dialled = f"phone line after {at['phone']:.0f} s" if "phone" in at else "no other way"
    return f"{row.message_class.token} for Alice ▸ WCTP: no answer ▸ {dialled} ▸ {LEVEL_WORDS[row.level]}"


def _good(way: Way, result: Result) -> bool:
    return Level[result.level.upper()] >= way.until


def _line(what: str, way: Way, result: Result) -> str:
    verdict = f"✓ {way.proof}" if _good(way, result) else "✗ see .demo/gateway.log"
    return f"   {what:77} {result.seconds:5.1f} s   {verdict}"


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
            f" Gateway up: embedded store {FOLDER / 'gateway.db'}, {len(WAYS)} simulated carriers. "
            "No page leaves this machine."
        )
        say(f" {'One page by each way out':30}{'how far it got':57}time")
        results = []
        for way in WAYS:
            result, row = await show.page(way)
            results.append((way, result))
            say(_line(f"{way.protocol.upper():5} {way.whose:15} {_steps(way, row)}", way, result))
        say(' And the reason to exist: the Internet is "cut"')
        result, row = await show.page_cut_off()
        results.append((CUT_OFF, result))
        say(_line(_by_phone(row), CUT_OFF, result))
        codes.append(0 if all(_good(*one) for one in results) else 4)
        if as_json:
            sys.stdout.write(msgspec.json.encode([result for _, result in results]).decode() + "\n")
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
