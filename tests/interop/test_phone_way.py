"""The daemon pages by telephone: ser2net, socat and the simulated terminal with its modem, all real processes."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.rig import Process, free_port, until
from tests.interop.site import Carrier, Site, ending
from tests.peers import missing

pytestmark = pytest.mark.peers

CALL = "adapter: tap, lines: modems, dial: [18005550100], breaker: {rests: [1s]}"
SETTINGS = """\
lines: {{modem-1: {{pool: modems, {line}}}}}
classes: {{critical: {{waits: [0s, 1s]}}, urgent: {{waits: [0s, 1s]}}, normal: {{waits: [1s]}}, bulk: {{waits: [1s]}}}}
carriers:
  all:
    device: {{id: pin, pattern: "[0-9]{{7}}"}}
    links:
      {others}phone: {{{call}}}
"""
PLAIN = "baud: 19200, framing: 8N1, rest: 1s"  # a pseudo-terminal has no parity
IN_A_CALL = 60.0  # seconds in which the first critical page is taken after the cut (fault F42)


class Phone:
    """A gateway with a modem line at *line*, and the terminal of a carrier behind a modem at a pseudo-terminal."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        line: str = "",
        others: str = "",
        call: str = CALL,
        dialled: bool = True,
    ) -> None:
        """*dialled* False: no modems, the terminal itself at the other end of the cable."""
        self.modem = folder / "modem.tty"
        modem = ("--modem",) if dialled else ()
        call = call if dialled else call.replace("dial: [18005550100], ", "")
        self.carrier = Carrier(folder, "terminal", "tap", "--pty", str(self.modem), *modem, *words)
        line = f"{line or f'serial: {self.modem}'}, {PLAIN}, modem: {str(dialled).lower()}"
        self.site = Site(folder, SETTINGS.format(line=line, others=others, call=call))

    @property
    def processes(self) -> tuple[Process, Process]:
        return self.site.daemon, self.carrier.process

    def start(self) -> None:
        self.carrier.start()
        self.site.start()


def listens(port: int) -> bool:
    """Somebody listens; looked up in the kernel's table, since a connection would open the line."""
    return f"0100007F:{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text()


def device_server(folder: Path, kind: str, port: int, device: Path) -> Process:
    """ser2net with one port that leads to *device*."""
    setup = folder / "ser2net.yaml"
    setup.write_text(
        f"%YAML 1.1\n---\nconnection: &one\n  accepter: {kind}tcp,127.0.0.1,{port}\n"
        f"  connector: serialdev,{device},19200n81,local\n"
    )
    # -u: locks of the whole machine are not for a test
    command = ["ser2net", "-n", "-d", "-u", "-c", str(setup), "-P", str(folder / "pid")]
    return Process("ser2net", command, folder / "ser2net.out")


@pytest.mark.parametrize(("key", "kind"), [("tcp", ""), ("rfc2217", "telnet(rfc2217),")])
def test_a_page_through_a_device_server(ser2net: None, tmp_path: Path, key: str, kind: str) -> None:
    """Raw TCP, and RFC 2217 by which we set the port."""
    port = free_port()
    phone = Phone(tmp_path, "--baud", "fast", line=f"{key}: 127.0.0.1:{port}")
    server = device_server(tmp_path, kind, port, phone.modem)
    with ending(*phone.processes, server):
        phone.carrier.start()
        server.start()
        until(lambda: listens(port), "ser2net listens")
        phone.site.start()
        key = phone.site.page("all:5551212", "Cath lab 2")
        found = phone.site.status(key)
        assert found["level"] == "handed_over", found
        assert phone.carrier.texts == ["Cath lab 2"]


CLASSES = ("bulk", "normal", "urgent", "critical")


def test_twenty_five_pages_in_three_calls(tmp_path: Path) -> None:
    """A terminal that takes nine pages a call: all arrive, each once, in the order of their classes."""
    phone = Phone(tmp_path, "--pages", "9:112", call=f"{CALL}, critical_alone: false")
    site = phone.site
    with ending(*phone.processes):
        phone.start()
        assert site.command("carriers", "suspend", "all.phone", "--why", "they queue").returncode == 0
        pages = {f"page {n} {CLASSES[n % 4]}": CLASSES[n % 4] for n in range(25)}
        keys = {text: site.page("all:5551212", text, name) for text, name in pages.items()}
        assert site.command("carriers", "resume", "all.phone").returncode == 0
        asked = set()  # each of which was the tenth of a call, and waited for the next one
        for text, key in keys.items():
            found = site.status(key)
            assert found["level"] == "handed_over", found
            if any(one.get("code") == "call-limit" for one in found["timeline"]):
                asked.add(text)
        texts = phone.carrier.texts
        assert sorted(texts) == sorted(pages)
        assert len(asked) == 2, (asked, texts)  # three calls: the first two were full
        classes = [CLASSES.index(pages[text]) for text in texts if text not in asked]
        assert classes == sorted(classes, reverse=True), texts


def test_f42_the_internet_is_cut_and_the_telephone_is_not(tmp_path: Path) -> None:
    """Both carriers over the Internet are killed: the next critical page is taken by telephone within a minute."""
    web, net = Carrier(tmp_path, "web", "wctp"), Carrier(tmp_path, "net", "snpp")
    others = f'web: {{adapter: wctp, url: "http://127.0.0.1:{web.port}/wctp", sender_id: st-anne}}\n      '
    others += f'net: {{adapter: snpp, at: "127.0.0.1:{net.port}"}}\n      '
    phone = Phone(tmp_path, "--baud", "1200", others=others)
    with ending(*phone.processes, web.process, net.process):
        web.start()
        net.start()
        phone.start()
        key = phone.site.page("all:5551212", "before")
        assert phone.site.status(key)["level"] == "handed_over"
        assert web.texts == ["before"]
        web.process.kill()
        net.process.kill()
        cut = time.monotonic()
        key = phone.site.page("all:5551212", "Cath lab 2")
        found = phone.site.status(key)
        print(f"F42: taken by the terminal {time.monotonic() - cut:.1f} s after the cut")
        assert found["level"] == "handed_over", found
        assert time.monotonic() - cut < IN_A_CALL
        assert phone.carrier.texts == ["Cath lab 2"]
        said = phone.site.command("why", key).stdout
        assert "ALL (phone) took it for 5551212" in said, said


# ---------------------------------------------------------------- unplugged


BLOCK = r"\x03"  # ETX and behind it the checksum, then CR with which a block is whole


def said(phone: Phone, words: str) -> bool:
    """Whether we have said a line with *words* to the terminal, whole."""
    lines = phone.site.operator("/v1/links/all.phone/transcript")["lines"]
    return any(" > " in line and words in line and line.endswith(r"\r") for line in lines)


@pytest.mark.parametrize("what", ["socat", "ser2net"])
def test_unplugged_in_the_middle_of_a_call(request: pytest.FixtureRequest, tmp_path: Path, what: str) -> None:
    """The plug is pulled while the terminal thinks; in again, the line is used again."""
    request.getfixturevalue(what)
    port, ours = free_port(), tmp_path / "ours.tty"
    line = f"serial: {ours}" if what == "socat" else f"rfc2217: 127.0.0.1:{port}"
    phone = Phone(tmp_path, "--delay", "2", "--calls", "1", line=line, dialled=False)
    if what == "socat":
        ends = (f"PTY,link={ours},raw,echo=0", f"OPEN:{phone.modem},raw,echo=0")
        plug = Process("socat", ["socat", *ends], tmp_path / "socat.out")
    else:
        plug = device_server(tmp_path, "telnet(rfc2217),", port, phone.modem)

    def plugged() -> bool:
        return ours.exists() if what == "socat" else listens(port)

    with ending(*phone.processes, plug):
        phone.carrier.start()
        plug.start()
        until(plugged, "it is plugged in")
        phone.site.start()
        key = phone.site.page("all:5551212", "bed 4")
        until(lambda: said(phone, BLOCK), "the whole block has left us")
        plug.signal(signal.SIGTERM)
        plug.ended()
        until(lambda: not plugged(), "it is unplugged")
        plug.start()
        found = phone.site.status(key)
        assert (found["level"], found["deliveries"][0]["doubts"]) == ("handed_over", 1), found
        assert phone.carrier.texts in (["bed 4", "bed 4 (copy 2)"], ["bed 4 (copy 2)"])
        key = phone.site.page("all:5551212", "bed 5")
        assert phone.site.status(key)["level"] == "handed_over"
        assert phone.carrier.texts.count("bed 5") == 1


@pytest.mark.parametrize("when", ["logging on", "the page is under way"])
def test_f51_stopped_during_a_call(tmp_path: Path, when: str) -> None:
    """It ends within its half minute; what was begun is finished, and nothing is in doubt because of it."""
    begun = when != "logging on"
    phone = Phone(tmp_path, *(("--delay", "3") if begun else ("--slow-id", "8")), "--calls", "1")
    with ending(*phone.processes):
        phone.start()
        key = phone.site.page("all:5551212", "bed 4")
        until(lambda: said(phone, BLOCK if begun else ""), when)
        stopped = time.monotonic()
        phone.site.daemon.signal(signal.SIGTERM)
        assert phone.site.daemon.ended() == 0
        print(f"F51: ended {time.monotonic() - stopped:.1f} s after SIGTERM")
        assert phone.carrier.texts == (["bed 4"] if begun else [])
        phone.site.start()
        found = phone.site.status(key)
        assert (found["level"], found["deliveries"][0]["doubts"]) == ("handed_over", 0)
        assert phone.carrier.texts == ["bed 4"]


# ---------------------------------------------------------------- looked at

HOLDER = """
import fcntl, os, sys
port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
fcntl.flock(port, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Phone]:
    made = Phone(tmp_path)
    with ending(*made.processes):
        yield made


def test_probe_names_who_has_the_port(phone: Phone) -> None:
    """Another program with the port, by name and process; free again, everything works."""
    phone.start()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(phone.modem)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            probed = phone.site.command("probe", "modem-1")
        finally:
            holder.kill()
    assert probed.returncode == 4
    assert f"(process {holder.pid})" in probed.stdout, probed.stdout + probed.stderr
    works = phone.site.command("probe", "modem-1")
    assert works.returncode == 0, works.stdout + works.stderr


def test_probe_says_that_there_is_no_port(phone: Phone) -> None:
    """Unplugged: it names the port; plugged in, everything works."""
    phone.site.start()
    probed = phone.site.command("probe", "modem-1")
    assert probed.returncode == 4
    assert str(phone.modem) in probed.stdout, probed.stdout + probed.stderr
    phone.carrier.start()
    works = phone.site.command("probe", "modem-1")
    assert works.returncode == 0, works.stdout + works.stderr


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody may enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="phone-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_probe_says_that_there_is_no_permission(open_folder: Path) -> None:
    """A daemon that is not root, at a port that is not its own: it says so, and whose the port is."""
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        missing("setpriv is not installed (Debian package util-linux)")
    nobody = pwd.getpwnam("nobody")
    who = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    phone = Phone(open_folder)
    with ending(*phone.processes):
        phone.carrier.start()
        os.chmod(phone.modem, 0)
        if os.getuid() == 0:
            os.chown(phone.site.settings, nobody.pw_uid, nobody.pw_gid)
        phone.site.start(prefix=who if os.getuid() == 0 else [])
        probed = phone.site.command("probe", "modem-1")
        assert probed.returncode == 4
        assert "no permission" in probed.stdout, probed.stdout + probed.stderr
