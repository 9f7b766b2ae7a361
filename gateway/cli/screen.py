"""What is printed, and how: text for people or the API's JSON for programs; colour on a terminal only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.trouble import clean

WIDE = 10_000  # nothing is cut or wrapped where no terminal has a width

ALARM = "bold red"
WARNING = "yellow"
QUIET = "dim"
GOOD = "green"


def _console(*, errors: bool = False) -> Console:
    stream = sys.stderr if errors else sys.stdout
    colours = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Console(
        file=stream,
        color_system="auto" if colours else None,
        force_terminal=None if colours else False,
        width=None if stream.isatty() else WIDE,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def show_json(value: Any) -> None:
    """One JSON value on standard output, as the API gave it."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def say(*pieces: str | tuple[str, str]) -> None:
    """One line. A piece is text, or text with a style."""
    _console().print(_line(pieces))


def remark(*pieces: str | tuple[str, str]) -> None:
    """One line beside the result: on standard error."""
    _console(errors=True).print(_line(pieces))


def _line(pieces: Sequence[str | tuple[str, str]]) -> Text:
    line = Text()
    for piece in pieces:
        text, style = (piece, "") if isinstance(piece, str) else piece
        line.append(clean(text), style)
    return line


def fits(text: str) -> bool:
    """Whether *text* fits into one line of the terminal; always where there is none."""
    return len(text) < _console().width


def table(heads: Sequence[str], rows: Sequence[Sequence[str | tuple[str, str]]]) -> None:
    """Rows under heads, as wide as needed; the last column wraps on a terminal."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        grid.add_column(head, no_wrap=head != heads[-1])
    for row in rows:
        grid.add_row(*(_line((cell,)) for cell in row))
    console = _console()
    with console.capture() as capture:
        console.print(grid, soft_wrap=False)
    for line in capture.get().splitlines():
        print(line.rstrip())


@contextmanager
def busy(what: str) -> Iterator[None]:
    """While something may take more than two seconds: *what* with a turning wheel, on a terminal only."""
    console = _console(errors=True)
    if not console.is_terminal:
        yield
        return
    with console.status(_line((f" {what}",)), spinner="line", spinner_style=QUIET):
        yield


def local(at: str, zone: tzinfo) -> datetime:
    """An instant of the API in the site's zone."""
    return datetime.fromisoformat(at).astimezone(zone)


def clock(at: str, zone: tzinfo) -> str:
    """``03:14:20``."""
    return f"{local(at, zone):%H:%M:%S}"


def day_and_clock(at: str, zone: tzinfo) -> str:
    """``Sat 21 Nov 03:14:20``."""
    return f"{local(at, zone):%a %d %b %H:%M:%S}"
