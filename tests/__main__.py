"""``python3 tests``: everything that must hold before a change goes in, on a machine with nothing but Python.

Lint, format, layers, types, then all tests; stops at the first that fails, with its exit status. What is
written behind it goes to pytest: ``python3 tests -k snpp``. ``--fast`` leaves out what kills processes and
what talks to other people's programs.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # where the folder of this file stood

from gateway import firstrun  # noqa: E402

LAYERS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
SPREAD = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile")  # over the cores, a file to each
STEPS = (
    ("lint", ("-m", "ruff", "check")),
    ("format", ("-m", "ruff", "format", "--check")),
    ("layers", ("-c", LAYERS)),
    ("types", ("-m", "mypy")),
    ("tests", ("-m", "pytest", *SPREAD)),
)


def steps(arguments: list[str]) -> list[tuple[str, list[str]]]:
    """Each step's name and command."""
    rest = [argument for argument in arguments if argument != "--fast"]
    if len(rest) < len(arguments):
        rest = ["-m", "not crash and not peers and not long", *rest]
    return [(name, [sys.executable, *command, *(rest if name == "tests" else ())]) for name, command in STEPS]


def main(arguments: list[str]) -> int:
    """The exit status of the first step that fails, or 0."""
    for name, command in steps(arguments):
        print(f"== {name}", flush=True)
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status:
            print(f"== {name} failed ({status})", flush=True)
            return status
    return 0


if __name__ == "__main__":
    firstrun.enter([str(ROOT / "tests")], sys.argv[1:], extra="dev")
    sys.exit(main(sys.argv[1:]))
