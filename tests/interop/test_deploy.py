"""What is shipped for running the gateway as a service fits the program, and passes systemd's own checks."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.app.daemon import GOODBYES
from gateway.cli.running import run
from gateway.settings.types import Settings
from gateway.waiting import BEAT
from gateway.watchdog import OLDEST_COMMIT

HOME = Path(__file__).parents[2]
UNIT = HOME / "config" / "deploy" / "gateway.service"
SOCKET = UNIT.with_suffix(".socket")
TEXT = UNIT.read_text()
SETTINGS = dict(line.split("=", 1) for line in TEXT.splitlines() if "=" in line and line[0] not in "#[")
EXPOSURE = 15  # systemd-analyze's scale of 0 to 100 for ours; what it minds is that we use the network


def codes(text: str) -> set[str]:
    """Exit codes in a list of them: a number at the beginning of a line."""
    return set(re.findall(r"^#?\s+(\d+) ", text, re.MULTILINE))


def documented() -> set[str]:
    """The exit codes in ``gateway run --help``."""
    _, _, block = (run.help or "").partition("Exit codes:")
    return codes(block.partition("Examples:")[0])


def test_the_unit_names_every_exit_code_of_the_daemon() -> None:
    """And no other; so does the page on running it."""
    assert documented() == codes(TEXT) == {"0", "74", "75", "78"}
    page = (HOME / "docs" / "howto" / "run.md").read_text()
    assert set(re.findall(r"\b\d+\b", page.partition("Exit codes:")[2])) == documented()


def test_only_mistakes_in_the_settings_keep_it_from_being_started_again() -> None:
    """A failed disk, a taken port or a crash do not."""
    assert SETTINGS["Restart"] == "on-failure"
    assert SETTINGS["StartLimitIntervalSec"] == "0"
    assert SETTINGS["RestartPreventExitStatus"].split() == ["78"]


def test_systemd_waits_longer_for_the_stop_than_the_gateway_itself() -> None:
    """So that what is begun can finish."""
    assert (
        float(SETTINGS["TimeoutStopSec"].removesuffix("s")) > Settings(carriers={}).drain_timeout + GOODBYES
    )


def test_systemd_hears_that_it_is_ready_and_that_it_lives() -> None:
    """And it allows the watchdog longer than the gateway allows its own loops."""
    assert SETTINGS["Type"] == "notify"
    assert SETTINGS["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert float(SETTINGS["WatchdogSec"].removesuffix("s")) > BEAT + OLDEST_COMMIT


def test_the_socket_has_the_name_that_the_docs_tell_to_write() -> None:
    """``at: systemd:http`` is its descriptor."""
    assert "FileDescriptorName=http\n" in SOCKET.read_text()
    assert "at: systemd:http`" in (HOME / "docs" / "howto" / "systemd.md").read_text()


def test_tls_is_not_locked_out() -> None:
    """pyOpenSSL makes callbacks in memory, which MemoryDenyWriteExecute forbids."""
    assert "MemoryDenyWriteExecute" not in SETTINGS


@pytest.fixture
def runnable(tmp_path: Path, systemd_analyze: None) -> str:
    """The unit with a program that is there on every machine."""
    copy = tmp_path / UNIT.name
    copy.write_text(TEXT.replace("/opt/gateway/bin/gateway", "/bin/true"))
    (tmp_path / SOCKET.name).write_text(SOCKET.read_text())
    return str(copy)


@pytest.mark.peers
def test_systemd_is_content_with_the_socket(runnable: str) -> None:
    """`systemd-analyze verify` has nothing to say about both together."""
    both = [runnable, str(Path(runnable).with_suffix(".socket"))]
    command = ["systemd-analyze", "verify", "--man=no", *both]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.peers
@pytest.mark.parametrize(
    "words", [("verify", "--man=no"), ("security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager")]
)
def test_systemd_is_content_with_the_unit(runnable: str, words: tuple[str, ...]) -> None:
    """`systemd-analyze verify` has nothing to say; `security` finds it locked up well."""
    done = subprocess.run(["systemd-analyze", *words, runnable], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
