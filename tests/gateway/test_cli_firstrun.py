"""The first start: a folder, a Python and nothing else."""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway import firstrun

HERE = Path(__file__).resolve().parents[2]
LINE = " Setting up in ./.venv (this folder only; delete it and nothing is left)   "


class Pip:
    """Stands for venv and pip: makes the files that they would make, or fails as told."""

    def __init__(self, *, fails: str = "", says: str = "") -> None:
        self.commands: list[list[str]] = []
        self._fails = fails
        self._says = says

    def __call__(self, command: Sequence[str], log: Path, tick: Callable[[float], None]) -> int:
        self.commands.append(list(command))
        step = command[2]
        tick(0.5)
        if step == self._fails:
            log.write_text(self._says)
            return 1
        if step == "venv":
            python = Path(command[3]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)
        return 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh checkout."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path.resolve()
    (root / "pyproject.toml").write_text((HERE / "pyproject.toml").read_text())
    monkeypatch.setattr(firstrun, "ROOT", root)
    monkeypatch.setattr(firstrun, "PYPROJECT", root / "pyproject.toml")
    monkeypatch.setattr(firstrun, "VENV", root / ".venv")
    monkeypatch.setattr(firstrun, "STAMP", root / ".venv" / "gateway-stamp")
    monkeypatch.setattr(firstrun, "LOG", root / ".venv" / "setup.log")
    monkeypatch.delenv(firstrun.WITHIN, raising=False)
    return root


@pytest.fixture
def goes_on(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been executed in the environment."""
    executed: list[list[str]] = []

    def execv(path: str, words: list[str]) -> None:
        executed.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(firstrun.os, "execv", execv)
    monkeypatch.setattr(firstrun.os, "environ", dict(os.environ))
    return executed


def clock() -> Callable[[], float]:
    times = iter(range(0, 1000, 24))
    return lambda: next(times)


def set_up(extra: str, pip: Pip, *, has: Callable[[str], bool] = lambda name: True) -> None:
    firstrun.set_up(extra, run=pip, has=has, clock=clock())


def test_the_first_start_makes_one_folder_and_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """venv, pip, a stamp; off a terminal one line without colours or carriage returns."""
    pip = Pip()
    set_up("", pip)
    out = capsys.readouterr().out
    assert out.startswith(LINE + "[########] ") and out.endswith(" s\n") and "\r" not in out
    assert [command[2] for command in pip.commands] == ["venv", "pip"]
    assert pip.commands[1][-2:] == ["-e", str(folder)]
    assert sorted(path.name for path in folder.iterdir()) == [".venv", "pyproject.toml"]


def test_the_second_start_runs_no_pip(folder: Path, goes_on: list[list[str]]) -> None:
    """The stamp fits: straight on into the environment, with the same words."""
    set_up("", Pip())
    (folder / "pyproject.toml").write_text(
        (folder / "pyproject.toml").read_text().replace('"tzdata"', '"no-such-package>=1"')
    )
    firstrun.STAMP.write_text("\n".join(firstrun._stamp("")))
    with pytest.raises(SystemExit):
        firstrun.enter(["-m", "gateway"], ["stuck", "--json"])
    assert goes_on == [[str(folder / ".venv/bin/python"), "-m", "gateway", "stuck", "--json"]]


@pytest.mark.parametrize(
    ("old", "new"), [("click>=8.1", "click>=8.2"), ('description = "', 'description = "Now: ')]
)
def test_a_changed_pyproject_is_installed_again(folder: Path, old: str, new: str) -> None:
    """In the same environment; only pip runs."""
    set_up("", Pip())
    text = (folder / "pyproject.toml").read_text()
    assert old in text
    (folder / "pyproject.toml").write_text(text.replace(old, new))
    assert not firstrun.is_set_up("")
    pip = Pip()
    set_up("", pip)
    assert [command[2] for command in pip.commands] == ["pip"]
    assert firstrun.is_set_up("")


@pytest.mark.parametrize("line", [0, 1])
def test_an_environment_of_another_python_or_folder_is_made_anew(folder: Path, line: int) -> None:
    """A moved folder or an upgraded Python leaves broken paths behind."""
    set_up("", Pip())
    stamp = firstrun.STAMP.read_text().split("\n")
    stamp[line] = "something else"
    firstrun.STAMP.write_text("\n".join(stamp))
    (folder / ".venv" / "old").touch()
    pip = Pip()
    set_up("", pip)
    assert [command[2] for command in pip.commands] == ["venv", "pip"]
    assert not (folder / ".venv" / "old").exists()


def test_an_environment_without_a_stamp_is_kept(folder: Path) -> None:
    """A .venv that somebody made is not thrown away."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (folder / ".venv" / "mine").touch()
    pip = Pip()
    set_up("", pip)
    assert [command[2] for command in pip.commands] == ["pip"]
    assert (folder / ".venv" / "mine").exists()


def test_the_test_line_also_gets_the_tools(folder: Path) -> None:
    """``python3 tests`` installs the extra; the run line is content with that."""
    set_up("", Pip())
    assert not firstrun.is_set_up("dev")
    pip = Pip()
    set_up("dev", pip)
    assert pip.commands[-1][-1] == f"{folder}[dev]"
    assert firstrun.is_set_up("dev") and firstrun.is_set_up("")


def failure_of(call: Callable[[], object]) -> firstrun.SetUpFailed:
    with pytest.raises(firstrun.SetUpFailed) as failed:
        call()
    return failed.value


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_venv_gets_the_one_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Debian packages it apart; nothing is left behind."""
    monkeypatch.setattr(firstrun.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(firstrun.os, "geteuid", lambda: 1000)
    failure = failure_of(lambda: set_up("", Pip(), has=lambda name: name != missing))
    assert failure.remedy == "sudo apt install python3-venv"
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize(
    ("step", "says", "remedy"),
    [
        ("pip", "ERROR: Could not find a version that satisfies the requirement twisted", "package index"),
        ("pip", "WARNING: Retrying ... Temporary failure in name resolution", "package index"),
        ("pip", "ERROR: [Errno 28] No space left on device", "disk is full"),
        ("pip", "error: command 'gcc' failed", "build-essential"),
        ("pip", "SSLError(SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "does not trust"),
        ("pip", "ERROR: something new", "Read the log"),
        ("venv", "The virtual environment was not created: ensurepip is not available.", "venv"),
    ],
)
def test_a_failed_step_says_which_and_what_to_do(folder: Path, step: str, says: str, remedy: str) -> None:
    """The log is named, its telling lines are shown, and no stamp is left."""
    failure = failure_of(lambda: set_up("", Pip(fails=step, says=f"…\n{says}\n")))
    assert remedy in failure.remedy
    if remedy != "venv":
        assert str(folder / ".venv" / "setup.log") in failure.what
        assert f"{step} install" in failure.what or f"-m {step}" in failure.what
        assert failure.tail[-1] == says
    assert not firstrun.is_set_up("")


def test_a_failed_start_ends_with_69_and_sentences(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and no escape sequence of what a program printed."""

    def set_up(extra: str) -> None:
        raise firstrun.SetUpFailed("It failed.", "Do this.", tail=["a\x1b[31mb"])

    monkeypatch.setattr(firstrun, "satisfied", lambda _: False)
    monkeypatch.setattr(firstrun, "set_up", set_up)
    with pytest.raises(SystemExit) as end:
        firstrun.enter(["-m", "gateway"], [])
    assert end.value.code == 69
    assert capsys.readouterr().err == "gateway: It failed.\n    a?[31mb\n  -> Do this.\n"


def test_an_environment_that_lacks_something_is_not_entered_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, goes_on: list[list[str]]
) -> None:
    """Otherwise the program would start itself for ever."""
    monkeypatch.setattr(firstrun, "satisfied", lambda _: False)
    firstrun.os.environ[firstrun.WITHIN] = str(folder / ".venv")
    with pytest.raises(SystemExit) as end:
        firstrun.enter(["-m", "gateway"], [])
    assert end.value.code == 69 and goes_on == []


def test_a_folder_that_cannot_be_written_is_said_so(folder: Path) -> None:
    """Name, reason, and what to do instead."""
    (folder / ".venv").write_text("a file")
    failure = failure_of(lambda: set_up("", Pip()))
    assert ".venv" in failure.what and "copy this folder" in failure.remedy


def test_nothing_is_set_up_where_everything_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, goes_on: list[list[str]]
) -> None:
    """An interpreter with all requirements, new enough, goes straight on; so does an installed gateway."""
    monkeypatch.setattr(firstrun, "wanted", lambda _: ["pytest>=8", "click[x]>=8.1", "msgspec"])
    firstrun.enter(["-m", "gateway"], [])
    (folder / "pyproject.toml").unlink()
    firstrun.enter(["-m", "gateway"], [])
    assert goes_on == [] and not (folder / ".venv").exists()


@pytest.mark.parametrize(
    ("requirement", "there"),
    [
        ("click>=8.1", True),
        ("click>=999", False),
        ("no-such-distribution-here", False),
        ("twisted[tls]>=26.10", True),
        ("pytest", True),
    ],
)
def test_what_is_too_old_counts_as_missing(requirement: str, there: bool) -> None:
    """By the floors of pyproject.toml."""
    assert firstrun.satisfied([requirement]) is there


def test_every_requirement_is_understood() -> None:
    """Also those of the test line."""
    for extra in ("", "dev"):
        for requirement in firstrun.wanted(extra):
            match = firstrun._REQUIREMENT.fullmatch(requirement)
            assert match is not None, requirement


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_grows_on_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, rewritten; it never shrinks; no colours."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(firstrun.shutil, "get_terminal_size", lambda: os.terminal_size((120, 24)))
    bar = firstrun.Bar(clock())
    bar.show(0.5)
    bar.show(0.25)
    bar.close()
    assert terminal.getvalue().split("\r") == [
        "",
        LINE + "[####    ] 24 s",
        LINE + "[####    ] 48 s",
        LINE + "[########] 72 s\n",
    ]


def test_the_bar_fits_a_narrow_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wraps could not be rewritten."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(firstrun.shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    firstrun.Bar(clock()).close()
    assert len(terminal.getvalue()) < 60


def test_a_real_step_is_logged_and_its_status_told(folder: Path) -> None:
    """Output goes to the log, not to the terminal."""
    log = folder / "log"
    log.touch()
    script = "print('Collecting a'); import sys; sys.exit(3)"
    assert firstrun.run_logged([sys.executable, "-c", script], log, lambda share: None) == 3
    assert log.read_text() == "Collecting a\n"


def test_an_old_python_can_read_what_tells_it_so() -> None:
    """The first lines of the first start parse on Python 3.6, and come before anything that does not."""
    for name in ("gateway/__init__.py", "gateway/__main__.py", "gateway/firstrun.py", "tests/__main__.py"):
        tree = ast.parse((HERE / name).read_text(), feature_version=(3, 6))
        futures = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
        assert futures == [], name
    body = ast.parse((HERE / "gateway/firstrun.py").read_text()).body
    assert isinstance(body[1], ast.Import) and body[1].names[0].name == "sys"
    assert isinstance(body[2], ast.If)


def test_the_first_start_needs_the_standard_library_only() -> None:
    """Without site-packages both lines still get as far as asking for them."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); import gateway.firstrun; print('ok')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(HERE)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")


def load_test_line() -> Any:
    spec = importlib.util.spec_from_file_location("test_line", HERE / "tests" / "__main__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_the_test_line_stops_at_the_first_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lint, format, layers, types, tests, in this order, with the status of what failed."""
    line = load_test_line()
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        ran.append(command)
        return subprocess.CompletedProcess(command, 3 if "mypy" in command else 0)

    monkeypatch.setattr(line.subprocess, "run", run)
    assert line.main(["-k", "snpp"]) == 3
    assert [command[2] for command in ran] == ["ruff", "ruff", line.LAYERS, "mypy"]
    assert capsys.readouterr().out.splitlines()[-1] == "== types failed (3)"


def test_the_test_line_passes_words_on_to_pytest() -> None:
    """And ``--fast`` leaves out the slow kinds."""
    line = load_test_line()
    pytest_ = [sys.executable, "-m", "pytest", *line.SPREAD]
    assert line.steps(["-k", "snpp"])[-1] == ("tests", [*pytest_, "-k", "snpp"])
    fast = ["-m", "not crash and not peers and not long", "-x"]
    assert line.steps(["--fast", "-x"])[-1] == ("tests", [*pytest_, *fast])
