"""Running the gateway, and looking at its settings before it does."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from gateway.cli import screen
from gateway.cli.carriers import PROBE_WITHIN, show_probe
from gateway.cli.daemon import Document, link_path
from gateway.cli.place import load, mistaken, required_settings
from gateway.cli.surface import Surface, alone, on_daemon, on_file
from gateway.cli.trouble import FAILED, SETTINGS
from gateway.cli.words import count
from gateway.errors import SettingsError
from gateway.model import Instant, MessageClass
from gateway.settings.types import Person, Settings


@click.command()
@click.option(
    "--adopt-older",
    is_flag=True,
    help="Use a database that is older than the one last in use here; what happened since is forgotten.",
)
@on_file
def run(at: Surface, adopt_older: bool) -> None:
    """Run the gateway until it is told to stop.

    Ctrl-C or SIGTERM stops it; SIGHUP reads the settings again. What was saved is never lost: begun pages
    finish, the rest goes on at the next start.

    \b
    Exit codes:
      0   stopped as told
      74  the disk or the database failed
      75  another gateway has the database, or a port is taken
      78  the settings have mistakes

    \b
    Examples:
      gateway run
      gateway run --settings /etc/gateway/gateway.yaml
    """
    settings = required_settings(at.settings)
    from gateway import app  # needs Twisted, which takes a while to import

    try:
        code = app.run(settings, announce=lambda line: _announce(at, line), adopt_older=adopt_older)
    except SettingsError as error:
        raise mistaken(settings, error) from None
    at.end(code)


def _announce(at: Surface, line: str) -> None:
    click.echo(json.dumps({"says": line}) if at.json else line)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Also connect to every way out, by the running gateway.")
@on_daemon
def check(at: Surface, file: Path | None, live: bool) -> None:
    """Check a settings file: all mistakes at once.

    Then come warnings, and how each person would be paged. Exit code 78 if there are mistakes. With --live
    also: each way out is connected to and logged in (no page is sent; exit code 4 if one is not reached),
    and who can be reached over one path only.

    \b
    Examples:
      gateway check
      gateway check new.yaml
      gateway check --live
      gateway check new.yaml --json
    """
    path = required_settings(file or at.settings)
    try:
        with screen.busy(f"Checking {path}"):
            settings = load(path, Instant(time.time_ns() // 1000))
    except SettingsError as error:
        if not at.json:
            raise mistaken(path, error) from None
        mistakes = [
            {
                "file": m.file,
                "line": m.line,
                "column": m.column,
                "path": m.path,
                "what": m.what,
                "remedy": m.remedy,
            }
            for m in error.mistakes
        ]
        screen.show_json({"file": str(path), "mistakes": mistakes, "warnings": [], "plans": {}})
        at.end(SETTINGS)
    warnings = list(settings.warnings) + (_one_path_only(settings) if live else [])
    plans = {name: _plan(settings, person) for name, person in settings.people.items()}
    answer: dict[str, Any] = {"file": str(path), "mistakes": [], "warnings": warnings, "plans": plans}
    if not at.json:
        _show(path, settings, plans, warnings)
    if live:
        answer["links"] = _probe_all(at)
    if at.json:
        screen.show_json(answer)
    at.end(0 if all(found["reached"] for found in answer.get("links", ())) else FAILED)


def _plan(settings: Settings, person: Person) -> dict[str, list[list[str]]]:
    """A person's devices by class: those of one list together, then the next."""
    return {which.token: [list(item) for item in settings.items_of(person, which)] for which in MessageClass}


def _show(
    path: Path, settings: Settings, plans: dict[str, dict[str, list[list[str]]]], warnings: list[str]
) -> None:
    for warning in warnings:
        screen.say((" ! ", screen.WARNING), warning)
    classes = [message_class.token for message_class in MessageClass]
    rows = []
    for name, plan in plans.items():
        cells = [", ".join(" + ".join(item) for item in plan.get(c, [])) or "nobody" for c in classes]
        rows.append((f" {name}", settings.people[name].name, *cells))
    if rows:
        screen.table((" WHO", "NAME", *(c.upper() for c in classes)), rows)
    screen.say(
        f" {path}: no mistakes, {count(len(warnings), 'warning')}; "
        f"{count(len(settings.people), 'person', 'people')}, {count(len(settings.groups), 'group')}, "
        f"{count(len(settings.link_names()), 'way out', 'ways out')}, "
        f"{count(len(settings.clients), 'sender')}"
    )


def _one_path_only(settings: Settings) -> list[str]:
    found = []
    for name, person in settings.people.items():
        paths = {
            link.path
            for address in person.devices.values()
            if (carrier := settings.carriers.get(address.partition(":")[0])) is not None
            for link in carrier.links.values()
        }
        if len(paths) == 1 and not person.test:
            found.append(f"people.{name}: can be reached over one path only ({paths.pop()}).")
    return found


def _probe_all(at: Surface) -> list[Document]:
    found = []
    for link in at.daemon.get("/v1/links")["links"]:
        with screen.busy(f"Looking at {link['link']}"):
            found.append(at.daemon.post(link_path(link["link"], "probe"), within=PROBE_WITHIN))
        if not at.json:
            show_probe(found[-1])
    return found


@click.command()
@alone
def schema(at: Surface) -> None:
    """Print the JSON Schema of the settings, for editors.

    It is JSON with and without --json.

    \b
    Examples:
      gateway schema > gateway.schema.json
      # then begin gateway.yaml with: # yaml-language-server: $schema=./gateway.schema.json
    """
    from gateway import app
    from gateway.settings import schema as schema_of

    screen.show_json(schema_of(app.specs()))


@click.command()
@on_daemon
def reload(at: Surface) -> None:
    """Put changed settings in effect.

    With a mistake in them nothing changes, and the exit code is 78.

    \b
    Examples:
      gateway check && gateway reload
      gateway reload --json
    """
    with screen.busy("Reading the settings"):
        answer = at.daemon.post("/v1/reload")
    if at.json:
        screen.show_json(answer)
        return
    for warning in answer["warnings"]:
        screen.say((" ! ", screen.WARNING), warning)
    screen.say(f" {answer['says']}")
