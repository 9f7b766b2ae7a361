"""The ways out: how they do, switching them off and on, looking at their far end."""

from __future__ import annotations

import click

from gateway.cli import screen
from gateway.cli.daemon import Document, link_path
from gateway.cli.looking import ways_out
from gateway.cli.surface import Surface, on_daemon
from gateway.cli.trouble import DONE, FAILED, REFUSED, Trouble

PROBE_WITHIN = 180.0  # seconds: a carrier may take 120 s for one answer (delivery semantics 8.1), and greets


@click.group()
def carriers() -> None:
    """Look at the ways out; switch them off and on; see what is known about carriers.

    NAME is a carrier (spok: all of its ways) or one way (spok.web); for show and diff one of the catalogue.

    \b
    Examples:
      gateway carriers list
      gateway carriers suspend spok.web --why "maintenance until 04:00"
      gateway carriers resume spok.web
      gateway carriers show spok-us
    """


@carriers.command("list")
@on_daemon
def list_(at: Surface) -> None:
    """List the ways out and the modem lines, in the order of the settings.

    \b
    Examples:
      gateway carriers list
      gateway carriers list --json
    """
    answer = at.daemon.get("/v1/links")
    if at.json:
        screen.show_json(answer)
        return
    for down in answer.get("down", ()):
        screen.say((" ! ", screen.ALARM), down["says"])
    ways_out(at, answer)


_why = click.option("--why", "reason", metavar="TEXT", help="Shown to everybody who looks.")


@carriers.command()
@click.argument("name")
@_why
@on_daemon
def suspend(at: Surface, name: str, reason: str | None) -> None:
    """Switch a way out off: nothing more is sent by it; other ways are used where there are any.

    It stays off over restarts, until `gateway carriers resume`.

    \b
    Examples:
      gateway carriers suspend spok.web --why "maintenance until 04:00"
      gateway carriers suspend spok
    """
    _order(at, name, "suspend", reason)


@carriers.command()
@click.argument("name")
@_why
@on_daemon
def resume(at: Surface, name: str, reason: str | None) -> None:
    """Switch a way out on again.

    \b
    Examples:
      gateway carriers resume spok.web
    """
    _order(at, name, "resume", reason)


@carriers.command()
@click.argument("name")
@_why
@on_daemon
def drain(at: Surface, name: str, reason: str | None) -> None:
    """Let a way out finish what waits for it, and give it nothing new.

    \b
    Examples:
      gateway carriers drain spok.web --why "contract ends today"
    """
    _order(at, name, "drain", reason)


@click.command()
@click.argument("name")
@on_daemon
def probe(at: Surface, name: str) -> None:
    """Look at the far end of a way out, or at a modem line; no page is sent.

    Connects, logs in and says goodbye; of a line: opens its port, sets the modem up and listens for a dial
    tone. Exit code 4 if any was not reached.

    \b
    Examples:
      gateway probe spok.web
      gateway probe spok --json
      gateway probe modem-1
    """
    found = []
    for link in _ways(at, name, or_line=True):
        with screen.busy(f"Looking at {link}"):
            found.append(at.daemon.post(link_path(link, "probe"), within=PROBE_WITHIN))
    if at.json:
        screen.show_json(found[0] if len(found) == 1 else {"links": found})
    else:
        for one in found:
            show_probe(one)
    at.end(DONE if all(one["reached"] for one in found) else FAILED)


def show_probe(found: Document) -> None:
    """What was found at one far end."""
    mark = (" ✓ ", "") if found["reached"] else (" ! ", screen.ALARM)
    screen.say(mark, (found["link"], "bold"), f"  {found['says']}")
    for name, value in found["capabilities"].items():
        if value:
            screen.say((f"     {name}: {value}", screen.QUIET))


def _order(at: Surface, name: str, verb: str, reason: str | None) -> None:
    body = {} if reason is None else {"why": reason}
    changed = [at.daemon.post(link_path(link, verb), body) for link in _ways(at, name)]
    if at.json:
        screen.show_json(changed[0] if len(changed) == 1 else {"links": changed})
        return
    for link in changed:
        screen.say((f" {link['link']}", "bold"), f"  {link['says']}")


def _ways(at: Surface, name: str, *, or_line: bool = False) -> list[str]:
    """The links that *name* means: itself, or all of a carrier's; a line, which no carrier is, *or_line*."""
    if "." in name:
        return [name]
    links = at.daemon.get("/v1/links")["links"]
    found = [link["link"] for link in links if link["carrier"] == name]
    if not found and or_line:
        return [name]
    if not found:
        raise Trouble(
            REFUSED,
            "unknown-carrier",
            f"There is no carrier {name}.",
            f"There are: {', '.join(dict.fromkeys(link['carrier'] for link in links)) or 'none'}.",
        )
    return found
