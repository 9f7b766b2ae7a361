"""The queue: what is under way, and stopping, repeating and deciding."""

from __future__ import annotations

import click

from gateway.cli import screen, words
from gateway.cli.daemon import Document, message_path
from gateway.cli.sending import show_done
from gateway.cli.surface import Surface, on_daemon

_STATES = click.Choice(["open", "needs-you", "ended", "all"])


@click.group()
def queue() -> None:
    """Look at pages under way; stop, repeat, pause, continue and decide.

    \b
    Examples:
      gateway queue list
      gateway queue show 7K3M
      gateway queue cancel 7K3M --why "false alarm"
    """


@queue.command("list")
@click.option("--state", type=_STATES, default="open", show_default=True, help="Which pages.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many at most.")
@click.option("--before", metavar="CURSOR", help="Older ones: the cursor that the list before ended with.")
@on_daemon
def list_(at: Surface, state: str, limit: int, before: str | None) -> None:
    """List pages, newest first.

    \b
    Examples:
      gateway queue list
      gateway queue list --state needs-you
      gateway queue list --state all --limit 200 --json
    """
    page = at.daemon.get("/v1/messages", state=state.replace("-", "_"), limit=limit, before=before)
    if at.json:
        screen.show_json(page)
        return
    if not page["messages"]:
        screen.say(
            {"open": " Nothing is under way.", "needs-you": " Nothing needs you."}.get(state, " None.")
        )
        return
    screen.table(
        (" REF", "CLASS", "SINCE", "TO", "FROM", "STANDS", ""), [_row(at, one) for one in page["messages"]]
    )
    if page["next"] is not None:
        screen.say((f" Older ones: gateway queue list --state {state} --before {page['next']}", screen.QUIET))


def _row(at: Surface, message: Document) -> tuple[str | tuple[str, str], ...]:
    alarm = message["outcome"] in ("unanswered", "failed", "expired")
    return (
        f" {message['ref'] or message['id']}",
        message["class"],
        screen.day_and_clock(message["at"], at.zone),
        ", ".join(message["to"]),
        message["from"],
        (words.standing(message), screen.ALARM) if alarm else words.standing(message),
        message["says"],
    )


@queue.command()
@click.argument("ref")
@on_daemon
def show(at: Surface, ref: str) -> None:
    """Show one page: its text, each copy of it, and what happened.

    \b
    Examples:
      gateway queue show 7K3M
      gateway queue show 7K3M --json
    """
    message = at.daemon.get(message_path(ref))
    if at.json:
        screen.show_json(message)
        return
    screen.say(
        (f" {message['ref'] or message['id']}", "bold"), f" {message['class']}  ", (message["says"], "bold")
    )
    forgotten = "(forgotten, as the settings say)"
    text = message["text"]
    screen.say(f" Text   {forgotten if text is None else text}".replace("\n", "\n        "))
    screen.say(f" To     {', '.join(message['to'])}")
    screen.say(f" From   {message['from']}, {screen.day_and_clock(message['at'], at.zone)} {at.place.zone}")
    if message["expires_at"] is not None:
        screen.say(f" Until  {screen.day_and_clock(message['expires_at'], at.zone)}, then it is too late")
    if message["next"] is not None:
        coming = message["next"]
        screen.say(f" Next   {screen.clock(coming['at'], at.zone)} {coming['does']} ({coming['why']})")
    rows = [
        (
            f" {copy['person'] or '-'}",
            copy["device"] or "-",
            copy["link"],
            words.copy_standing(copy),
            copy["says"],
        )
        for copy in message["deliveries"]
    ]
    if rows:
        screen.say("")
        screen.table((" WHO", "ON", "BY", "STANDS", ""), rows)
    screen.say("")
    for entry in message["timeline"]:
        screen.say((f" {screen.clock(entry['at'], at.zone)}", screen.QUIET), f"  {entry['says']}")


@queue.command()
@click.argument("ref")
@click.option("--why", "reason", metavar="TEXT", help="Kept with it, and told to the sender.")
@on_daemon
def cancel(at: Surface, ref: str, reason: str | None) -> None:
    """Stop a page: what is not sent yet is not sent. What is being sent goes out.

    \b
    Examples:
      gateway queue cancel 7K3M
      gateway queue cancel 7K3M --why "false alarm"
    """
    body = {} if reason is None else {"why": reason}
    show_done(at, at.daemon.post(message_path(ref, "cancel"), body))


@queue.command()
@click.argument("ref")
@on_daemon
def retry(at: Surface, ref: str) -> None:
    """Send again what could not be sent. What a carrier already took is not sent a second time.

    \b
    Examples:
      gateway queue retry 7K3M
    """
    show_done(at, at.daemon.post(message_path(ref, "retry")))


@queue.command()
@click.argument("ref")
@on_daemon
def pause(at: Surface, ref: str) -> None:
    """Keep back what is not sent yet, until `gateway queue continue`.

    \b
    Examples:
      gateway queue pause 7K3M
    """
    show_done(at, at.daemon.post(message_path(ref, "pause")))


@queue.command("continue")
@click.argument("ref")
@on_daemon
def continue_(at: Surface, ref: str) -> None:
    """Go on with a page that was paused.

    \b
    Examples:
      gateway queue continue 7K3M
    """
    show_done(at, at.daemon.post(message_path(ref, "continue")))


@queue.command()
@click.argument("ref")
@click.option("--again/--leave", "again", default=None, help="Send again (may come twice), or leave it.")
@on_daemon
def decide(at: Surface, ref: str, again: bool | None) -> None:
    """Decide about a page that may have gone: the line broke before the carrier answered.

    \b
    Examples:
      gateway queue decide 7K3M --again
      gateway queue decide 7K3M --leave
    """
    if again is None:
        raise click.UsageError("Say which: --again (it may come twice) or --leave.")
    show_done(at, at.daemon.post(message_path(ref, "decide"), {"again": again}))
