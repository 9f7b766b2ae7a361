"""The machine as it is: reactor, TLS, names, unix sockets, the disk, and what never blocks."""

from __future__ import annotations

import datetime
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.defer import Deferred
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

from gateway.env import Address, AddressRefused, Tls
from gateway.env.real import LOOKUPS, NAME_KEPT, NAME_LIMIT, Answer, Names, RealEnv, TlsRefused, log_writer
from gateway.web.client import Unanswered
from gateway.web.client import call as web_call


def the_reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest.fixture
def env() -> RealEnv:
    return RealEnv(the_reactor())


class Talk(Protocol):
    transport: Any

    def __init__(self) -> None:
        self.heard = b""
        self.ended: Deferred[Any] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if data == b"ping":
            self.transport.write(b"pong")

    def connectionLost(self, reason: Any = None) -> None:
        self.ended.callback(reason.value)


class Side(Factory):
    noisy = False

    def __init__(self) -> None:
        self.talks: list[Talk] = []

    def buildProtocol(self, addr: Any) -> Talk:
        self.talks.append(Talk())
        return self.talks[-1]


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": ".", **environment},
        check=False,
    )


# The reactor


def test_the_reactors_timers_follow_the_steady_clock() -> None:
    """Installed once however often it is asked for, before anything else could; it runs."""
    done = python(
        "import sys, time\n"
        "from gateway.env.real import RealEnv, install_reactor\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
        "reactor = install_reactor()\n"
        "from twisted.internet import reactor as same\n"
        "assert reactor is same is install_reactor()\n"
        "time.time = lambda: 0.0\n"
        "assert abs(reactor.seconds() - time.monotonic()) < 5\n"
        "reactor.callLater(0.01, reactor.stop)\n"
        "reactor.run()\n"
        "print(type(reactor).__name__)\n"
    )
    assert done.stdout.startswith("Steady"), done.stderr
    assert done.returncode == 0


def test_another_reactor_is_not_taken_for_ours() -> None:
    """It says what to do about it."""
    done = python(
        "from twisted.internet import reactor\n"
        "from gateway.env.real import install_reactor\n"
        "install_reactor()\n"
    )
    assert "installed already" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(("where", "printed"), [("T2", "0\n"), ("T2:3", "0\n1\n2\n"), ("T9", "0\n1\n2\n3\n")])
def test_a_failpoint_kills_the_process(where: str, printed: str) -> None:
    """GATEWAY_FAILPOINT=name:nth: SIGKILL at the nth time; another name does nothing."""
    done = python(
        "from gateway.env.real import RealEnv, install_reactor\n"
        "env = RealEnv(install_reactor())\n"
        "for n in range(4):\n"
        "    print(n, flush=True)\n"
        "    env.failpoint('T1')\n"
        "    env.failpoint('T2')\n",
        GATEWAY_FAILPOINT=where,
    )
    assert done.stdout == printed
    assert done.returncode == (0 if where == "T9" else -signal.SIGKILL)


def test_two_clocks_and_unguessable_chance(env: RealEnv) -> None:
    """``now`` starts at UTC; both are whole microseconds; chance cannot be repeated from a seed."""
    assert abs(env.now() - env.wall()) < 60_000_000
    assert isinstance(env.now(), int)
    env.random.seed(1)
    once = env.random.getrandbits(80)
    env.random.seed(1)
    assert env.random.getrandbits(80) != once


@pytest_twisted.ensureDeferred
async def test_work_runs_in_its_own_thread_and_is_told_of_in_the_reactors(env: RealEnv) -> None:
    """Never the other way round; a mistake of one room in taking it in stops no other."""
    from twisted.logger import capturedLogs

    here = threading.get_ident()
    threads: list[tuple[str, int]] = []

    def work(items: Any) -> Any:
        threads.append(("work", threading.get_ident()))
        return items

    def done(items: Any, results: Any) -> None:
        threads.append(("done", threading.get_ident()))
        if items == [1]:
            raise ValueError("a mistake of ours")

    worker = env.worker("test", work, done, limit=1)
    with capturedLogs() as events:
        worker.put(1)
        worker.put(2)
        await worker.stop()
    assert sum("log_failure" in event for event in events) == 1
    assert {ident for where, ident in threads if where == "done"} == {here}
    assert here not in {ident for where, ident in threads if where == "work"}
    assert len(threads) == 4


@pytest_twisted.ensureDeferred
async def test_no_put_is_ever_slept_through(env: RealEnv) -> None:
    """Ten thousand items one at a time, each put while the thread may be about to lie down."""
    told: list[int] = []
    waiting: list[Deferred[None]] = []

    def done(items: Any, results: Any) -> None:
        told.extend(items)
        if waiting:
            waiting.pop().callback(None)

    worker = env.worker("test", list, done, limit=7)
    for item in range(10_000):
        if item % 3 == 0:
            waiting.append(Deferred())
            worker.put(item)
            await waiting[-1].addTimeout(20, the_reactor()) if waiting else None
        else:
            worker.put(item)
    await worker.stop()
    assert told == list(range(10_000))


# TLS

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(
    name: str, issuer: x509.Certificate | None = None, issuer_key: Any = KEY, days: int = 10
) -> x509.Certificate:
    """For *name* (a CA if nobody issued it), from 20 days ago to *days* from now."""
    today = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=20))
        .not_valid_after(today + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(one: x509.Certificate) -> bytes:
    return one.public_bytes(serialization.Encoding.PEM)


CA = certificate("Hospital CA")


class Terminal:
    """A TLS server on loopback with a certificate of ours; keeps what it heard."""

    def __init__(self, env: RealEnv, leaf: x509.Certificate, ca_file: Path, **options: Any) -> None:
        self.env = env
        self.side = Side()
        context = CertificateOptions(privateKey=KEY, certificate=leaf, **options)
        self.factory = TLSMemoryBIOFactory(context, False, self.side, clock=the_reactor())
        self.factory.noisy = False
        self.ca_file = str(ca_file)

    async def call(self, *, name: str | None, ca_file: str | None, host: str = "127.0.0.1") -> Any:
        port: Any = await self.env.net.listen("127.0.0.1:0", self.factory)
        try:
            address = Address(host=host, port=port.getHost().port, tls=Tls(name=name, ca_file=ca_file))
            endpoint: Any = self.env.net.client(address, open_timeout=10)
            mine = Side()
            try:
                return await endpoint.connect(mine)
            except ConnectError:
                assert mine.talks == [], "no protocol is made for a far end that proved nothing"
                raise
        finally:
            await port.stopListening()


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    """A file of two CAs; the second one is ours."""
    path = tmp_path / "ca.pem"
    path.write_bytes(b"# ours\n" + pem(certificate("Other CA")) + pem(CA))
    return path


@pytest_twisted.ensureDeferred
async def test_a_verified_far_end_is_talked_to(env: RealEnv, ca_file: Path) -> None:
    """By the name that the settings say, TLS 1.2 or newer; when connecting is done the handshake is, too."""
    terminal = Terminal(env, certificate("pager.example", CA), ca_file)
    talk = await terminal.call(name="pager.example", ca_file=str(ca_file))
    assert talk.transport.getPeerCertificate() is not None
    talk.transport.write(b"ping")
    while not talk.heard:
        await env.sleep(0.01)
    assert talk.heard == b"pong"
    talk.transport.loseConnection()
    assert isinstance(await talk.ended, ConnectionDone)
    await terminal.side.talks[0].ended


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("leaf", "name", "words"),
    [
        (certificate("other.example", CA), "pager.example", "another name"),
        (certificate("pager.example", CA, days=-1), "pager.example", "verify failed"),
        (certificate("pager.example", certificate("Stranger CA")), "pager.example", "verify failed"),
        (certificate("pager.example", CA), None, "another name"),
    ],
    ids=["wrong name", "expired", "unknown CA", "name is the address"],
)
async def test_a_far_end_that_cannot_prove_itself_gets_no_byte(
    env: RealEnv, ca_file: Path, leaf: x509.Certificate, name: str | None, words: str
) -> None:
    """TlsRefused says why; no protocol is made and the far end hears nothing of ours."""
    terminal = Terminal(env, leaf, ca_file)
    with pytest.raises(TlsRefused, match=words):
        await terminal.call(name=name, ca_file=str(ca_file))
    for talk in terminal.side.talks:
        await talk.ended
        assert talk.heard == b""


@pytest_twisted.ensureDeferred
async def test_the_platforms_trust_does_not_include_ours(env: RealEnv, ca_file: Path) -> None:
    """Without ca_file only the platform's roots count, and nothing turns verification off."""
    terminal = Terminal(env, certificate("pager.example", CA), ca_file)
    with pytest.raises(TlsRefused, match="verify failed"):
        await terminal.call(name="pager.example", ca_file=None)
    await terminal.side.talks[0].ended


@pytest_twisted.ensureDeferred
async def test_old_tls_is_refused(env: RealEnv, ca_file: Path) -> None:
    """A server that speaks TLS 1.1 at most is not talked to."""
    terminal = Terminal(
        env,
        certificate("pager.example", CA),
        ca_file,
        insecurelyLowerMinimumTo=TLSVersion.TLSv1_0,
        lowerMaximumSecurityTo=TLSVersion.TLSv1_1,
    )
    with pytest.raises(TlsRefused):
        await terminal.call(name="pager.example", ca_file=str(ca_file))
    await terminal.side.talks[0].ended


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"]
)
async def test_a_ca_file_that_cannot_be_used_is_no_reason_to_trust(
    env: RealEnv, tmp_path: Path, content: bytes | None
) -> None:
    """Missing, empty or broken: TlsRefused, and nothing was connected."""
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_bytes(content)
    terminal = Terminal(env, certificate("pager.example", CA), path)
    with pytest.raises(TlsRefused, match="cannot verify"):
        await terminal.call(name="pager.example", ca_file=str(path))
    assert terminal.side.talks == []


@pytest_twisted.ensureDeferred
async def test_a_renewed_ca_file_counts_from_the_next_connection_on(env: RealEnv, ca_file: Path) -> None:
    """No restart is needed after a certificate authority was changed."""
    terminal = Terminal(env, certificate("pager.example", CA), ca_file)
    ours = ca_file.read_bytes()
    ca_file.write_bytes(pem(certificate("Other CA")))
    with pytest.raises(TlsRefused):
        await terminal.call(name="pager.example", ca_file=str(ca_file))
    ca_file.write_bytes(ours)
    os.utime(ca_file, ns=(1, 1))
    talk = await terminal.call(name="pager.example", ca_file=str(ca_file))
    talk.transport.abortConnection()
    await talk.ended


@pytest_twisted.ensureDeferred
async def test_a_far_end_that_never_answers_the_handshake_is_given_up(env: RealEnv, ca_file: Path) -> None:
    """The time to open covers TCP and TLS together; the connection is closed."""
    silent = Side()
    port: Any = await env.net.listen("127.0.0.1:0", silent)
    address = Address(host="127.0.0.1", port=port.getHost().port, tls=Tls(ca_file=str(ca_file)))
    endpoint: Any = env.net.client(address, open_timeout=0.2)
    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        await endpoint.connect(Side())
    await silent.talks[0].ended
    await port.stopListening()


# Names


class Resolver:
    """A resolver whose answers the test decides; it blocks while *gate* is closed."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        assert self.gate.wait(20)
        answer = self.answers.get(host, OSError("no such name"))
        if isinstance(answer, Exception):
            raise answer
        return answer


class ThreadedClock(Clock):
    """A clock of the test's own; what threads say is said on the real reactor."""

    def callFromThread(self, function: Any, *args: Any) -> None:
        the_reactor().callFromThread(function, *args)


@pytest_twisted.ensureDeferred
async def test_a_name_is_resolved_and_its_addresses_are_tried_in_order(env: RealEnv) -> None:
    """Off the reactor; an address that refuses is passed over; literals never ask."""
    resolver = Resolver()
    env = RealEnv(the_reactor(), lookup=resolver)
    resolver.answers["pager.example"] = ["127.0.0.2", "::1", "127.0.0.1"]
    side = Side()
    port: Any = await env.net.listen("127.0.0.1:0", side)
    number = port.getHost().port
    for host in ("pager.example", "127.0.0.1"):
        endpoint: Any = env.net.client(Address(host=host, port=number), open_timeout=10)
        talk = await endpoint.connect(Side())
        talk.transport.loseConnection()
        await talk.ended
    assert resolver.asked == ["pager.example"]
    await port.stopListening()
    with pytest.raises(ConnectionRefusedError):
        await env.net.client(Address(host="pager.example", port=number), open_timeout=10).connect(Side())
    for one in side.talks:
        await one.ended


@pytest_twisted.ensureDeferred
async def test_the_last_good_answer_stands_in(env: RealEnv) -> None:
    """F46: for a resolver that fails, and for one that answers wrongly; only what worked once is good."""
    resolver = Resolver()
    env = RealEnv(the_reactor(), lookup=resolver)
    port: Any = await env.net.listen("127.0.0.1:0", Side())
    number = port.getHost().port
    endpoint: Any = env.net.client(Address(host="pager.example", port=number), open_timeout=10)

    async def works() -> None:
        talk = await endpoint.connect(Side())
        talk.transport.loseConnection()
        await talk.ended

    with pytest.raises(DNSLookupError, match="no such name"):
        await works()
    resolver.answers["pager.example"] = ["127.0.0.1"]
    await works()
    for answer in (OSError("no such name"), [], ["127.0.0.2"], UnicodeError("label too long")):
        resolver.answers["pager.example"] = answer
        await works()
    good = env.net.names.good("pager.example")
    assert good is not None
    assert good.addresses == ("127.0.0.1",)
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_slow_resolver_holds_nobody_up_twice(env: RealEnv) -> None:
    """F46: two seconds at most, none while the same look-up still hangs; the answer is kept for 24 h."""
    resolver, clock = Resolver(), ThreadedClock()
    names = Names(clock, resolver)
    names.worked("pager.example", Answer(("192.0.2.1",), clock.seconds()))
    resolver.gate.clear()
    first = names.resolve("pager.example")
    second = names.resolve("pager.example")
    unknown = names.resolve("other.example")
    clock.advance(NAME_LIMIT - 0.1)
    assert not first.called
    clock.advance(0.2)
    assert (await first).addresses == (await second).addresses == ("192.0.2.1",)
    with pytest.raises(DNSLookupError, match="no answer in 2 s"):
        await unknown
    assert names.resolve("pager.example").called
    assert resolver.asked.count("pager.example") == 1
    clock.advance(NAME_KEPT)
    with pytest.raises(DNSLookupError):
        await names.resolve("pager.example")
    resolver.answers["pager.example"] = ["192.0.2.9"]
    resolver.gate.set()
    while names._threads:
        await env.sleep(0.01)
    assert (await names.resolve("pager.example")).addresses == ("192.0.2.9",)
    assert not clock.getDelayedCalls()


@pytest_twisted.ensureDeferred
async def test_lookups_are_bounded(env: RealEnv) -> None:
    """However many names hang, there are so many threads and so many names waiting, and no more."""
    resolver, clock = Resolver(), ThreadedClock()
    names = Names(clock, resolver)
    resolver.gate.clear()
    asked = [names.resolve(f"{n}.example") for n in range(1000)]
    for one in asked:
        one.addErrback(lambda failure: failure.trap(DNSLookupError))
    assert names._threads == LOOKUPS
    assert len(names._asking) == 256
    clock.advance(NAME_LIMIT)
    assert all(one.called for one in asked)
    resolver.gate.set()
    while names._asking:
        await env.sleep(0.01)
    assert names._threads == 0


# Listening


def has_ipv6() -> bool:
    """Whether this machine has the loopback address ::1; containers often do not."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest_twisted.ensureDeferred
async def test_a_unix_socket_is_its_owners_alone(env: RealEnv, tmp_path: Path) -> None:
    """Mode 0600; a stale one is replaced, one that somebody answers on and any other file are not."""
    path = tmp_path / "control"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    port: Any = await env.net.listen(f"unix:{path}", Side())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(CannotListenError, match="another program"):
        await env.net.listen(f"unix:{path}", Side())
    assert path.exists()
    await port.stopListening()
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(CannotListenError, match="not a socket"):
        await env.net.listen(f"unix:{path}", Side())
    assert path.read_text() == "precious"
    with pytest.raises(CannotListenError, match="too long"):
        await env.net.listen(f"unix:{tmp_path}/{'x' * 200}", Side())


@pytest_twisted.ensureDeferred
async def test_where_to_listen_is_an_address(env: RealEnv) -> None:
    """IPv6 in brackets, localhost is loopback; a name or a wrong port is refused in words."""
    for at in ("[::1]:0", "localhost:0") if has_ipv6() else ("localhost:0",):
        port: Any = await env.net.listen(at, Side())
        assert port.getHost().host in ("::1", "127.0.0.1")
        await port.stopListening()
    for at in ("pager.example:80", "127.0.0.1:http", "127.0.0.1:70000", "8080"):
        with pytest.raises(CannotListenError, match=r"Write 127\.0\.0\.1:8080"):
            await env.net.listen(at, Side())


# Files


def test_replace_keeps_the_mode_and_leaves_nothing_when_it_fails(env: RealEnv, tmp_path: Path) -> None:
    """New files are their owner's alone; a failed replace leaves the old file and no other."""
    path = tmp_path / "state"
    env.files.replace(path, b"1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    env.files.replace(path, b"2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    folder = tmp_path / "folder"
    (folder / "in it").mkdir(parents=True)
    with pytest.raises(OSError):
        env.files.replace(folder, b"3")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["folder", "state"]


def test_a_log_that_is_not_read_blocks_nobody() -> None:
    """F53: a full pipe takes nothing and says so at once; a closed one is an error; flags stay as they were."""
    reader, writer = os.pipe()
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    write = log_writer(writer)
    written = 0
    while taken := write(b"x" * 10_000):
        written += taken
    assert written > 0
    assert write(b"y") == 0
    assert fcntl.fcntl(writer, fcntl.F_GETFL) == flags
    os.read(reader, 65_536)
    assert write(b"y") == 1
    os.close(reader)
    with pytest.raises(OSError):
        write(b"z")
    os.close(writer)


# Addresses that may not be called


@pytest_twisted.ensureDeferred
async def test_b18_a_name_with_one_bad_address_is_not_called() -> None:
    """Every address is looked at before any is connected to; a literal one too."""
    for host, found in (("hook.example", ["198.41.0.4", "127.0.0.1"]), ("127.0.0.1", [])):
        env = RealEnv(the_reactor(), lookup=lambda name, found=found: found)
        endpoint = env.net.client(
            Address(host=host, port=9),
            open_timeout=5,
            refusal=lambda ip: "it is this machine" if ip.startswith("127.") else None,
        )
        with pytest.raises(AddressRefused, match="is not called: it is this machine"):
            await endpoint.connect(Factory.forProtocol(Protocol))


@pytest_twisted.ensureDeferred
async def test_b18_a_name_that_changes_between_look_and_call_is_refused() -> None:
    """The last good answer is looked at too: what was allowed once need not be any more."""
    env = RealEnv(the_reactor(), lookup=lambda name: ["127.0.0.1"])
    port: Any = await env.net.listen("127.0.0.1:0", Factory.forProtocol(Protocol))
    address = Address(host="hook.example", port=port.getHost().port)
    made: Any = await env.net.client(address, open_timeout=5).connect(Factory.forProtocol(Protocol))
    made.transport.abortConnection()
    env.net.names._lookup = lambda name: ["::1"]  # type: ignore[attr-defined]
    asked: list[str] = []

    def refusal(ip: str) -> str | None:
        asked.append(ip)
        return "it moved inside" if ip == "127.0.0.1" else None

    with pytest.raises(ConnectError):
        await env.net.client(address, open_timeout=5, refusal=refusal).connect(Factory.forProtocol(Protocol))
    assert asked[-1] == "127.0.0.1"
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_webhook_goes_to_a_verified_receiver_only(env: RealEnv, ca_file: Path) -> None:
    """Over TLS the name in the URL has to be the one in the certificate; nothing is sent otherwise."""
    for name, fits in (("127.0.0.1", False), ("hook.example", True)):
        leaf = certificate("hook.example", CA)
        terminal = Terminal(env, leaf, ca_file)
        port: Any = await env.net.listen("127.0.0.1:0", terminal.factory)
        env.net.names._lookup = lambda host: ["127.0.0.1"]  # type: ignore[attr-defined]
        url = f"https://{name}:{port.getHost().port}/"
        calling = web_call(
            env, "POST", url, (), b"{}", refusal=lambda _: None, limit=2.0, ca_file=str(ca_file)
        )
        with pytest.raises(Unanswered, match="not HTTP|did not answer|hung up" if fits else "another name"):
            await calling
        await port.stopListening()
