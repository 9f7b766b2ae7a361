"""Sending, and saying who has it."""

from __future__ import annotations

import getpass
import os
import secrets
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.cli import screen, words
from gateway.cli.daemon import Daemon, Document, Refusal, Silence, encoded, message_path
from gateway.cli.surface import CLASSES, Surface, on_daemon, utc
from gateway.cli.trouble import (
    DISK,
    DONE,
    FAILED,
    NOTHING_RUNS,
    SPOOLED,
    UNANSWERED,
    Trouble,
)

LOOK = 2  # seconds of one long poll: how late a line that raises nothing is shown
REACH = 10.0  # seconds beyond it until the gateway counts as silent
PATIENCE = 60.0  # seconds that a gateway may be away, for a restart, while we watch
MAX_TEXT = 1 << 20  # bytes; the gateway's own limit (limits.text) is far below
LADDER = 34  # columns: saved ▸ carrier has it ▸ accepted

_UNTIL = click.Choice(words.LEVELS[1:])
_ENDS = {
    "confirmed": DONE,
    "unanswered": UNANSWERED,
    "failed": FAILED,
    "expired": FAILED,
    "cancelled": FAILED,
}


@click.command()
@click.argument("target")
@click.argument("text")
@click.option("--class", "message_class", type=CLASSES, help="How much it matters.")
@click.option("--until", type=_UNTIL, help="How far it must get to be done.")
@click.option("--expires", metavar="TIME", help="Not worth having after: 90s, 20m, 2h.")
@click.option("--callback", metavar="NUMBER", help="Number to call; all that a numeric pager gets.")
@click.option("--incident", metavar="NAME", help="Your name for the trouble: a repeat adds to it.")
@click.option("--key", metavar="KEY", help="The same key again is the same message, not a second one.")
@click.option("--dry-run", is_flag=True, help="Show who would be paged with what; store and send nothing.")
@click.option("--no-wait", is_flag=True, help="Return when it is saved.")
@on_daemon
def send(
    at: Surface,
    target: str,
    text: str,
    message_class: str | None,
    until: str | None,
    expires: str | None,
    callback: str | None,
    incident: str | None,
    key: str | None,
    dry_run: bool,
    no_wait: bool,
) -> None:
    """Page TARGET and watch until it got as far as asked.

    TARGET is a person, group, rota, escalation or carrier:address. TEXT is what pagers show; - reads it
    from standard input, where other users of this machine cannot see it (they see the words of a command).

    Ctrl-C stops watching, not the page. If no gateway runs, the page is kept in the spool directory beside
    the database and goes out when the gateway runs again; the exit code is then 75.

    \b
    Exit codes:
      0   it got as far as was asked
      3   nobody has accepted
      4   could not be sent, too late, or stopped
      5   refused; nothing was stored
      75  kept, not yet known how it ends

    \b
    Examples:
      gateway send alice "Call 4411" --class urgent
      gateway send cardiology-oncall - --class critical --callback 4411 < text.txt
      gateway send alice test --dry-run
      gateway send it-oncall "Disk full on db1" --key backup-4711 --no-wait --json
    """
    given = {
        "to": target,
        "text": _text(text),
        "class": message_class,
        "until": until,
        "expires_in": expires,
        "callback": callback,
        "incident": incident,
    }
    body = {name: value for name, value in given.items() if value is not None}
    key = key or f"cli-{secrets.token_hex(16)}"
    if not key.isascii() or not key.isprintable() or len(key) > 255:
        raise click.BadParameter("A key is 1 to 255 printable ASCII characters.", param_hint="--key")
    if at.place.demo and not at.json:
        screen.remark(("The demo of this folder: no page leaves this machine.", screen.QUIET))
    if dry_run:
        _show_dry_run(at, at.daemon.post("/v1/messages?dry_run=true", body))
        return
    try:
        with screen.busy("Saving"):
            saved = at.daemon.post("/v1/messages", body, key=key)
    except Silence as silence:
        _spool(at, body, key, silence)
    except Refusal as refusal:
        if refusal.status != 503:
            raise
        _spool(at, body, key, refusal)
    if not at.json:
        _show_saved(saved)
    if no_wait:
        if at.json:
            screen.show_json(saved)
        at.end(DONE)
    try:
        status = _watch(at, saved)
    except KeyboardInterrupt:
        screen.remark(f"Still under way, nothing is stopped. → gateway why {_name(saved)}")
        at.end(130)
    if at.json:
        screen.show_json(status)
    at.end(_ENDS.get(status["outcome"], SPOOLED))


def _text(text: str) -> str:
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read(MAX_TEXT).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.BadParameter("Standard input is not UTF-8 text.", param_hint="TEXT") from None


def _name(message: Document) -> str:
    return str(message["ref"] or message["id"])


def _show_saved(saved: Document) -> None:
    screen.say((f" {_name(saved)}", "bold"), f" {saved['class']}  {saved['says']}")
    for warning in saved["warnings"]:
        screen.say((" ! ", screen.WARNING), warning["detail"])


def _show_dry_run(at: Surface, answer: Document) -> None:
    if at.json:
        screen.show_json(answer)
        return
    screen.say(" Nothing was stored or sent. It would go so:")
    for step in answer["plan"]:
        screen.say(
            f" {screen.clock(step['at'], at.zone)}  {step['to']}: {' + '.join(step['devices'])}  ",
            (step["why"], screen.QUIET),
        )
    for page in answer.get("pages", ()):
        for text in page["texts"]:
            screen.say((f" {page['link']}: ", screen.QUIET), text)
    for warning in answer["warnings"]:
        screen.say((" ! ", screen.WARNING), warning["detail"])


# ---------------------------------------------------------------- watching


def _watch(at: Surface, saved: Document) -> Document:
    """Follow a message to its end, a line for all that happens. Survives a restart of the gateway."""
    progress = Progress(at)
    path = message_path(saved["id"])
    status = _look(at.daemon, path, 0)
    while True:
        progress.show(status)
        if status["state"] == "ended":
            progress.close(status)
            return status
        with screen.busy(_waiting(at, status)):
            status = _look(at.daemon, path, LOOK)


def _waiting(at: Surface, status: Document) -> str:
    coming = status["next"]
    if coming is None:
        return "waiting (Ctrl-C stops watching, not the page)"
    return f"waiting; {screen.clock(coming['at'], at.zone)} {coming['does']} (Ctrl-C stops watching)"


def _look(daemon: Daemon, path: str, wait: int) -> Document:
    """One long poll. A gateway that is away is waited for; then Trouble 75, for the page is saved."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return daemon.get(path, wait=wait or None, within=wait + REACH)
        except Silence as silence:
            if time.monotonic() > deadline:
                ref = path.rsplit("/", 1)[1]
                raise Trouble(
                    SPOOLED,
                    "lost-sight",
                    f"The page is saved, but the gateway does not answer any more. {silence.message}",
                    f"Start it if it stopped; it goes on by itself. Then: gateway why {ref}",
                ) from None
            time.sleep(0.5)


class Progress:
    """The lines of a message's way: when, how far, what happened."""

    def __init__(self, at: Surface) -> None:
        self._at = at
        self._seen = 0
        self._height = 0
        self._rungs = [words.rung("stored")]

    def show(self, status: Document) -> None:
        """Print what is new."""
        devices = {d["id"]: d["device"] for d in status["deliveries"]}
        for entry in status["timeline"]:
            if entry["n"] <= self._seen:
                continue
            self._seen = entry["n"]
            took = "handed_over" if entry.get("outcome") == "taken" else None
            for level in (took, entry.get("level")):
                self._climb(level, devices.get(entry.get("delivery")))
            if not self._at.json:
                ladder = " ▸ ".join(self._rungs)
                screen.say(
                    (f" {screen.clock(entry['at'], self._at.zone)}  ", screen.QUIET),
                    (f"{ladder:<{LADDER}}  ", "bold"),
                    entry["says"],
                )

    def _climb(self, level: str | None, device: str | None) -> None:
        """The ladder shows only what was heard, and never falls."""
        if level in words.LEVELS and words.LEVELS.index(level) > self._height:
            self._height = words.LEVELS.index(level)
            self._rungs.append(words.rung(level, device))

    def close(self, status: Document) -> None:
        """How it ended."""
        if self._at.json:
            return
        mark, style = {
            "confirmed": ("✓", screen.GOOD if status["accepted_by"] else ""),
            "unanswered": ("!", screen.ALARM),
        }.get(status["outcome"], ("✗", screen.ALARM))
        screen.say((f" {mark} {status['says']}", style))
        if status["outcome"] != "confirmed":
            screen.say((f"   → gateway why {_name(status)}", screen.QUIET))


# ---------------------------------------------------------------- the spool directory


def _spool(at: Surface, body: Document, key: str, reason: Silence | Refusal) -> Any:
    """Keep the message until the gateway runs; never returns."""
    spool = at.place.spool
    if spool is None:
        raise Trouble(
            NOTHING_RUNS,
            reason.token,
            f"{reason.message} Nothing was kept: without a settings file there is no spool directory.",
            "Say --settings FILE instead of --socket, then the page is kept until the gateway runs.",
        )
    now = datetime.now(UTC)
    document = {**body, "idempotency_key": key, "spooled_at": utc(now)}
    try:
        path = write_spool(spool, document, f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}")
    except OSError as problem:
        raise Trouble(
            DISK,
            "not-kept",
            f"{reason.message} The page was NOT kept: {problem.strerror}: {spool}.",
            "Run as root or as the user that the gateway runs as; or phone.",
        ) from None
    if at.json:
        screen.show_json({"spooled": str(path), "idempotency_key": key, "why": reason.message})
    else:
        screen.remark(("NOT SENT YET. ", screen.ALARM), f"{reason.message} Kept in {path}")
        screen.remark("  → It goes out when the gateway takes it in. Urgent? Phone.")
        screen.remark(f"  → {reason.remedy}")
    at.end(SPOOLED)


def write_spool(spool: Path, document: Document, name: str) -> Path:
    """One message as one file that is there whole or not at all, on disk before this returns. OSError.

    Names that begin with a dot are not looked at by the reader. What root writes belongs to the owner of
    the folder that the database is in, so that the gateway can read it.
    """
    owner = spool.parent.stat()
    if not spool.is_dir():
        spool.mkdir(mode=0o700)
        _belongs_to(spool, owner)
        _sync(spool.parent)
    temporary, final = spool / f".{name}.tmp", spool / f"{name}.json"
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(encoded(document))
            file.flush()
            os.fsync(file.fileno())
        _belongs_to(temporary, owner)
        temporary.rename(final)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync(spool)
    return final


def _belongs_to(path: Path, owner: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------- who has it


@click.command()
@click.argument("ref")
@click.option(
    "--for", "person", required=True, metavar="PERSON", help="Who has it, as the settings spell it."
)
@click.option("--note", metavar="TEXT", help="Kept with it, for example how you know.")
@on_daemon
def ack(at: Surface, ref: str, person: str, note: str | None) -> None:
    """Say that PERSON has it: nobody else is paged for REF.

    REF is the four characters on the pager (7K3M), or an id. Who wrote it down is kept too. Saying it twice
    changes nothing.

    \b
    Examples:
      gateway ack 7K3M --for carol
      gateway ack 7K3M --for carol --note "phoned back, is on her way"
    """
    body = {"by": person, "recorded_by": getpass.getuser()}
    if note is not None:
        body["note"] = note
    show_done(at, at.daemon.post(message_path(ref, "acknowledge"), body))


def show_done(at: Surface, done: Document) -> None:
    """The answer to anything that was done to a message."""
    if at.json:
        screen.show_json(done)
        return
    name = _name(done["message"])
    screen.say((f" {name}", "bold"), f"  {done['says']}")
    if done["message"]["says"] not in done["says"]:
        screen.say(" " * (len(name) + 3), (done["message"]["says"], screen.QUIET))
