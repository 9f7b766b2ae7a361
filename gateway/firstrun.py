"""The first start on a machine with nothing but Python: makes ./.venv, and goes on in there.

Standard library only, and its first lines can be read by a Python that is too old for everything else, so
that such a Python gets a sentence and not a traceback. Nothing outside the folder is changed.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  an old Python reads these lines too
    sys.exit(
        "gateway: Python %d.%d is too old: the gateway needs 3.11 or newer.\n"  # noqa: UP031
        "  -> Install a newer one (Debian 12, Ubuntu 24.04 and newer have it; macOS: brew install python)\n"
        "     and run the same line with it, for example with python3.12 instead of python3."
        % sys.version_info[:2]
    )

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
VENV = ROOT / ".venv"
STAMP = VENV / "gateway-stamp"
LOG = VENV / "setup.log"
WITHIN = "GATEWAY_FIRSTRUN"  # set for what is started in the environment: never set up twice in a row

EXIT_SETUP = 69  # sysexits.h EX_UNAVAILABLE, like "nothing runs": it was not the gateway that failed
CELLS = 8
COLLECTED = 25  # packages of the run line, about; only moves the bar
SHOWN = 5  # last lines of a failed step

Tick = Callable[[float], None]
Run = Callable[[Sequence[str], Path, Tick], int]

_BEGUN = re.compile(rb"^(?:Collecting|Processing) ", re.MULTILINE)  # pip's words for a package
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:>=\s*([0-9.]+))?")


class SetUpFailed(Exception):
    """The environment could not be made: what happened, and the one thing that mends it."""

    def __init__(self, what: str, remedy: str, *, tail: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.tail = tail


def enter(module: Sequence[str], arguments: Sequence[str], *, extra: str = "") -> None:
    """Return if everything that pyproject.toml asks for is there; else set it up and go on in .venv.

    *module* is how Python is told what to run (``-m gateway``); *extra* an extra of the project. Ends the
    process with exit code 69 and a sentence if that fails. Without a pyproject.toml (an installed gateway)
    there is nothing to set up.
    """
    if not PYPROJECT.is_file() or satisfied(wanted(extra)):
        return
    try:
        if os.environ.get(WITHIN) == str(VENV):
            raise SetUpFailed(
                "./.venv was set up, but something that is needed cannot be found in it.",
                "Delete the folder .venv and run the same line again.",
            )
        if not is_set_up(extra):
            set_up(extra)
    except SetUpFailed as failure:
        _tell(failure)
        sys.exit(EXIT_SETUP)
    except KeyboardInterrupt:
        sys.exit("\ngateway: stopped; run the same line again to go on")
    _go_on(module, arguments)


def _go_on(module: Sequence[str], arguments: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    os.environ[WITHIN] = str(VENV)
    python = str(VENV / "bin" / "python")
    os.execv(python, [python, *module, *arguments])  # noqa: S606  the same program, in its environment


# ---------------------------------------------------------------- what is there


def wanted(extra: str) -> list[str]:
    """The requirements of pyproject.toml, with those of *extra*."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else ())]


def satisfied(requirements: Sequence[str]) -> bool:
    """Whether this Python has them all, new enough."""
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        assert match is not None, requirement
        try:
            version = importlib.metadata.version(match[1])
        except importlib.metadata.PackageNotFoundError:
            return False
        if match[2] is not None and _numbers(version) < _numbers(match[2]):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version.split("+")[0])[:3])


def _stamp(extra: str) -> list[str]:
    """What an environment was made for: with anything of it changed, it is made again."""
    digest = hashlib.sha256(PYPROJECT.read_bytes()).hexdigest()
    return [
        f"python {sys.version_info[0]}.{sys.version_info[1]}",
        f"folder {ROOT}",
        f"pyproject {digest}",
        extra,
    ]


def is_set_up(extra: str) -> bool:
    """Whether .venv was made from this pyproject.toml, here, by this Python, with *extra*."""
    try:
        found = STAMP.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return False
    asked = _stamp(extra)
    return found[:3] == asked[:3] and (not extra or extra in found[3:]) and (VENV / "bin" / "python").exists()


# ---------------------------------------------------------------- setting up


def run_logged(command: Sequence[str], log: Path, tick: Tick) -> int:
    """Run *command*; its output goes to the end of *log*. *tick* hears every 0.2 s what share of
    the packages pip has begun with, about."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT)
        try:
            while True:
                try:
                    return process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    tick(len(_BEGUN.findall(log.read_bytes())) / COLLECTED)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def set_up(
    extra: str,
    *,
    run: Run = run_logged,
    has: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Make .venv and install the gateway into it, with one line of progress. SetUpFailed says what to do.

    An environment of another Python or another folder is made anew; two that set up at the same time wait
    for one another.
    """
    if not has("venv") or not has("ensurepip"):
        raise _without_venv()
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if is_set_up(extra):  # by the other one
            return
        bar = Bar(clock)
        bar.show(0.0)
        try:
            _make(extra, run, bar)
        except OSError as problem:
            bar.fail()
            raise SetUpFailed(
                f"Cannot write {problem.filename or VENV}: {problem.strerror}.",
                "Make room, or copy this folder to where you may write, and run the same line there.",
            ) from None
        except BaseException:
            bar.fail()
            raise
        bar.close()
    finally:
        os.close(folder)


def _make(extra: str, run: Run, bar: "Bar") -> None:
    python = str(VENV / "bin" / "python")
    if STAMP.is_file() and STAMP.read_text(encoding="utf-8").split("\n")[:2] != _stamp("")[:2]:
        shutil.rmtree(VENV)
    VENV.mkdir(exist_ok=True)
    STAMP.unlink(missing_ok=True)
    LOG.write_bytes(b"")
    if not Path(python).exists() and run(
        [sys.executable, "-m", "venv", str(VENV)], LOG, lambda done: bar.show(0.05)
    ):
        raise _failed("Making the environment (python -m venv)")
    bar.show(0.15)
    what = f"{ROOT}[{extra}]" if extra else str(ROOT)
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
    ]
    if run([*pip, "-e", what], LOG, lambda done: bar.show(0.15 + 0.75 * min(done, 1.0))):
        raise _failed("Installing what pyproject.toml asks for (pip install)")
    STAMP.write_text("\n".join(_stamp(extra)), encoding="utf-8")


def _without_venv() -> SetUpFailed:
    if shutil.which("apt"):
        remedy = f"{'' if os.geteuid() == 0 else 'sudo '}apt install python3-venv"
    else:
        remedy = "Install the package of your system that has Python's venv and ensurepip."
    return SetUpFailed("This Python has no venv (some systems package it apart).", remedy)


_CAUSES = (
    ("ensurepip is not", None),
    ("No space left", "The disk is full. Make room, and run the same line again."),
    (
        "error: Microsoft|gcc|error: command|Python.h",
        "A package must be compiled here. apt install build-essential python3-dev (or your system's like)",
    ),
    (
        "CERTIFICATE_VERIFY",
        "The package index shows a certificate that this machine does not trust (a proxy?).",
    ),
    (
        "No matching distribution|Could not find a version|Connection|resolution|timed out|Max retries",
        "The package index cannot be reached, or lacks a package. Look at network, proxy, pip config list.",
    ),
)


def _failed(step: str) -> SetUpFailed:
    try:
        text = LOG.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line]  # pip's last lines often only say "see above"
    for pattern, remedy in _CAUSES:
        if re.search(pattern, text):
            if remedy is None:
                return _without_venv()
            break
    else:
        remedy = "Read the log; then run the same line again."
    return SetUpFailed(
        f"{step} failed. The whole output is in {LOG}. It says:", remedy, tail=(telling or lines)[-SHOWN:]
    )


def _tell(failure: SetUpFailed) -> None:
    print(f"gateway: {failure.what}", file=sys.stderr)
    for line in failure.tail:
        shown = "".join(c if c.isprintable() else "?" for c in line[:200])
        print(f"    {shown}", file=sys.stderr)
    print(f"  -> {failure.remedy}", file=sys.stderr)


class Bar:
    """One line that grows on a terminal, and is written once elsewhere."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self._live = sys.stdout.isatty()
        where = "./.venv" if Path.cwd() == ROOT else str(VENV)
        text = f" Setting up in {where} (this folder only; delete it and nothing is left)   "
        if self._live and len(text) + CELLS + 9 > shutil.get_terminal_size().columns:
            text = f" Setting up in {where}   "
        self._text = text
        self._shown = 0.0
        if not self._live:
            print(text, end="", flush=True)

    def show(self, share: float) -> None:
        """*share* of 1.0 is done; never goes back."""
        self._shown = max(self._shown, share)
        if self._live:
            print(f"\r{self._text}{self._cells()}", end="", flush=True)

    def close(self) -> None:
        """All done."""
        self._shown = 1.0
        print(f"\r{self._text}{self._cells()}" if self._live else self._cells(), flush=True)

    def fail(self) -> None:
        """The line ends where it stands."""
        print("" if self._live else self._cells(), flush=True)

    def _cells(self) -> str:
        full = round(self._shown * CELLS)
        return f"[{'#' * full}{' ' * (CELLS - full)}] {self._clock() - self._began:.0f} s"
