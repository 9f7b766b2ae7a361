"""Beginning: a first settings file, tokens and the demo."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from gateway.cli import place, screen
from gateway.cli.surface import Surface, alone
from gateway.cli.trouble import DISK, REFUSED, Trouble

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)


def new_token() -> tuple[str, str]:
    """A bearer token of 256 bit, and its SHA-256 in hex, which is all that the gateway keeps."""
    token = f"gwt_{secrets.token_urlsafe(32)}"
    return token, hashlib.sha256(token.encode()).hexdigest()


@click.group()
def token() -> None:
    """Make tokens for programs that send.

    \b
    Examples:
      gateway token new monitoring
    """


@token.command()
@click.argument("client")
@alone
def new(at: Surface, client: str) -> None:
    """Make a token for the sender CLIENT: printed once, never kept here; and the line for the settings.

    To change a token without a gap, let both stand: token_sha256: [old, new]. Then: gateway reload.

    \b
    Examples:
      gateway token new monitoring
      gateway token new monitoring --json
    """
    if _NAME.fullmatch(client) is None:
        raise click.BadParameter("A name has small letters, digits, - and _.", param_hint="CLIENT")
    secret, digest = new_token()
    if at.json:
        screen.show_json({"client": client, "token": secret, "token_sha256": digest})
        return
    screen.say(" Token (shown once; give it to the program):")
    click.echo(secret)
    screen.say(f" In the settings, under clients, for {client}; then gateway reload:")
    click.echo(f"    token_sha256: {digest}")


# ---------------------------------------------------------------- a first settings file


@click.command()
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    default=place.HERE,
    show_default=True,
    help="Where to write it. What is there is never overwritten.",
)
@click.option("--yes", is_flag=True, help="Ask nothing; take the defaults.")
@alone
def init(at: Surface, path: Path, yes: bool) -> None:
    """Write a first settings file, after six questions.

    It has a comment on every part and passes `gateway check`. The defaults fit the simulated carrier of
    `gateway sim snpp`, so that everything can be tried first.

    \b
    Examples:
      gateway init
      gateway init --yes --file try.yaml
    """
    if path.exists():
        raise Trouble(
            REFUSED,
            "already-there",
            f"{path} exists and is not overwritten.",
            "Move it away, or write another: gateway init --file other.yaml",
        )
    ask = _Ask(silent=yes or at.json)
    site = ask("Name of this place", "My site", _a_text)
    zone = ask("Time zone", _zone_of_this_machine(), _a_zone)
    server = ask("SNPP server of your paging carrier (host:port)", "127.0.0.1:4444", _an_endpoint)
    login = ask("Login that it wants (empty: none)", "", _a_word_or_nothing)
    password = ask.secret(f"Password of {login}") if login else None
    person, pin = ask("First person and pager number", "Alice Moreau, 5551212", _a_person)
    installed = path.resolve().is_relative_to("/etc")
    where = "/var/lib/gateway/gateway.db" if installed else str(Path("gateway.db").resolve())
    store = ask("Where the database goes", where, _a_text)
    secret, digest = new_token()
    text = settings_text(
        site=site,
        zone=zone,
        server=server,
        login=login,
        password_file=f"{path.name}.snpp-password" if password is not None else None,
        person=person,
        pin=pin,
        store=store,
        token_sha256=digest,
    )
    try:
        if password is not None:
            _write(path.with_name(f"{path.name}.snpp-password"), password, 0o600)
        _write(path, text, 0o640)
    except OSError as problem:
        raise Trouble(
            DISK,
            "not-written",
            f"Cannot write {problem.filename or path}: {problem.strerror}.",
            "Name a file where you may write, and that is not there yet: gateway init --file FILE",
        ) from None
    option = "" if path == place.HERE else f" --settings {path}"
    steps = [f"gateway check {path}" if option else "gateway check", f"gateway run{option}"]
    if at.json:
        screen.show_json({"file": str(path), "client": "monitoring", "token": secret, "next": steps})
        return
    screen.say((f" Wrote {path}.", "bold"), " Every line in it is explained.")
    screen.say(" Token of the sender “monitoring” (shown once; the file has only its hash):")
    click.echo(secret)
    screen.say(f" Next: {' · '.join(steps)}")
    if server == "127.0.0.1:4444":
        screen.say(" No carrier yet? In another terminal: gateway sim snpp")


class _Ask:
    """Six questions. *silent* takes every default."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def __call__(self, question: str, default: str, check: Any) -> Any:
        if self._silent:
            return check(default)
        return click.prompt(f" {question}", default=default, value_proc=check, show_default=bool(default))

    def secret(self, question: str) -> str:
        return str(click.prompt(f" {question}", hide_input=True, value_proc=_a_word))


def _a_text(text: str) -> str:
    text = text.strip()
    if not text or not text.isprintable() or len(text) > 255:
        raise click.UsageError("Write something, in one line.")
    return text


def _a_word(text: str) -> str:
    """What LOGIn of SNPP can carry."""
    if re.fullmatch("[!-~]{1,64}", text) is None:
        raise click.UsageError("Write 1 to 64 ASCII characters without blanks.")
    return text


def _a_word_or_nothing(text: str) -> str:
    return _a_word(text.strip()) if text.strip() else ""


def _a_zone(text: str) -> str:
    try:
        return ZoneInfo(text.strip()).key
    except (KeyError, ValueError, OSError):
        raise click.UsageError("No such zone. Write it like Europe/Paris or America/New_York.") from None


def _an_endpoint(text: str) -> str:
    host, colon, port = text.strip().rpartition(":")
    if not colon:
        host, port = text.strip(), "444"  # RFC 1861 section 3
    if not re.fullmatch(r"[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\]", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise click.UsageError("Write host:port, for example snpp.example.net:444")
    if not 1 <= int(port) <= 65535:
        raise click.UsageError("A port is 1 to 65535.")
    return f"{host}:{int(port)}"


def _a_person(text: str) -> tuple[str, str]:
    name, comma, pin = (part.strip() for part in text.rpartition(","))
    if not comma or not re.fullmatch(r"[0-9]{1,20}", pin, re.ASCII) or _key(name) == "":
        raise click.UsageError("Write a name, a comma and the pager number: Alice Moreau, 5551212")
    return _a_text(name), pin


def _key(name: str) -> str:
    """What a person is called in the settings: the first name, small."""
    return "".join(re.findall(r"[a-z0-9]", name.split()[0].lower())) if name.split() else ""


def _zone_of_this_machine() -> str:
    """The IANA name behind /etc/localtime; UTC if that cannot be told."""
    _, found, name = os.path.realpath("/etc/localtime").partition("zoneinfo/")
    try:
        return ZoneInfo(name).key if found else "UTC"
    except (KeyError, ValueError, OSError):
        return "UTC"


def _write(path: Path, text: str, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)


def _quoted(text: str) -> str:
    """*text* as a YAML double-quoted scalar; JSON's strings are such."""
    return json.dumps(text, ensure_ascii=False)


def settings_text(
    *,
    site: str,
    zone: str,
    server: str,
    login: str,
    password_file: str | None,
    person: str,
    pin: str,
    store: str,
    token_sha256: str,
) -> str:
    """The commented file that ``init`` writes."""
    who = _key(person)
    account = f"login: {_quoted(login)}, password: {{file: {_quoted(password_file or '')}}}"
    login_line = (
        f"        {account.replace(', ', chr(10) + '        ')}\n"
        if login
        else "        # login: st-anne                # if the carrier wants one\n"
        "        # password: {file: snpp-password}  # or {env: NAME}; never the word itself\n"
    )
    return f"""\
# Settings of the gateway. After a change: gateway check && gateway reload
# Everything is text until its setting says otherwise: nothing needs quotes, 0123 keeps its zero.
# For an editor that completes and explains:  gateway schema > gateway.schema.json  and this first line:
# yaml-language-server: $schema=./gateway.schema.json

site:
  name: {_quoted(site)}            # stands on every page that people see
  zone: {zone}     # times are shown in this zone
  store: {_quoted("sqlite:" + store)}   # the database; its folder must exist

listen:
  http: {{at: 127.0.0.1:8080}}     # the API; reachable from this machine only until you say otherwise

# Programs that may send. A token is kept as its hash; make more with: gateway token new NAME
clients:
  monitoring:
    token_sha256: {token_sha256}
    may_page: [everyone]           # names of people and groups, or everyone
    classes: [normal, urgent, critical, bulk]   # normal where a message names none
    rate: 60/min

# Who takes our pages. A carrier has one or more ways in; they are tried in this order.
carriers:
  pager:
    device: {{id: pin, pattern: "[0-9]{{1,20}}"}}   # what a pager number looks like
    links:
      snpp:
        adapter: snpp
        at: {server}
{login_line}
# Which devices, by class: `a + b` at the same time, then the next in the list.
plans:
  staff: {{critical: [pager], urgent: [pager], normal: [pager], bulk: [pager]}}

defaults:
  people: {{plan: staff}}           # the plan of all who name none

# A device is `its name: carrier:address`.
people:
  {who}: {{name: {_quoted(person)}, devices: {{pager: "pager:{pin}"}}}}

groups:
  on-call: [{who}]
"""


# ---------------------------------------------------------------- trying it out


@click.command()
@click.option("--once", is_flag=True, help="Show the pages and end, instead of running until Ctrl-C.")
@alone
def demo(at: Surface, once: bool) -> None:
    """Run a whole gateway with simulated carriers.

    No page leaves this machine. Everything is in ./.demo. Other commands in the same folder reach it.
    Delete ./.demo and nothing is left.

    \b
    Examples:
      gateway demo
      gateway demo --once --json
    """
    from gateway.app.demo import demo as play

    at.end(play(once=once, as_json=at.json))
