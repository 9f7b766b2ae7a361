"""What the command line ends with, and errors that say what to do.

Whoever calls `gateway` from a program reads the exit code; they are documented in
`docs/reference/commands.md` and never change their meaning.
"""

from __future__ import annotations

import json
from typing import Any

import click

DONE = 0
USAGE = 2
UNANSWERED = 3
FAILED = 4
REFUSED = 5
NOTHING_RUNS = 69
OUR_MISTAKE = 70
DISK = 74
SPOOLED = 75
SETTINGS = 78

EXIT_CODES = (
    (DONE, "done; for `send`: it got as far as was asked"),
    (USAGE, "the command line cannot be understood (click's own code)"),
    (UNANSWERED, "nobody has accepted"),
    (FAILED, "could not be sent, too late, or stopped; for `probe`: not reached"),
    (REFUSED, "the gateway said no; nothing was stored or changed"),
    (NOTHING_RUNS, "no gateway runs here, or it does not answer"),
    (OUR_MISTAKE, "a mistake in the gateway itself"),
    (DISK, "a file cannot be read or written, or the disk failed"),
    (SPOOLED, "kept, not yet known how it ends: it waits in the spool directory, or the gateway has it"),
    (SETTINGS, "the settings have mistakes, or there are none"),
)


class Trouble(click.ClickException):
    """Something that people can mend: *what* happened and the *remedy*, one sentence each.

    *token* is a stable word for programs. With ``--json`` the trouble is printed on standard output as an
    object; *problem* is then the API's own, if it came from there.
    """

    def __init__(
        self,
        exit_code: int,
        token: str,
        what: str,
        remedy: str,
        *,
        details: tuple[str, ...] = (),
        problem: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(what)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance
        self.token = token
        self.remedy = remedy
        self.details = details
        self.problem = problem
        self.as_json = False

    def show(self, file: Any = None) -> None:
        """Called by click at the very end."""
        if self.as_json:
            plain: dict[str, Any] = {"code": self.token, "detail": self.message, "remedy": self.remedy}
            plain |= {"details": list(self.details)} if self.details else {}
            click.echo(json.dumps(self.problem or plain, ensure_ascii=False, indent=2))
            return
        click.echo(f"gateway: {clean(self.message)}", err=True, file=file)
        for detail in self.details:
            click.echo(f"  {clean(detail)}", err=True, file=file)
        click.echo(f"  → {clean(self.remedy)}", err=True, file=file)


def clean(text: str) -> str:
    """*text* fit for a terminal: what could move the cursor or change colours is shown, not obeyed."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )
