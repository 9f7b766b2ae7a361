"""Beginning: a first settings file, tokens, the demo and the simulated carrier."""

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
from gateway.cli.daemon import Document
from gateway.cli.surface import Surface, alone, on_daemon
from gateway.cli.trouble import DISK, REFUSED, Trouble
from gateway.settings import kinds
from gateway.settings.types import Rate

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


@click.group()
def sim() -> None:
    """Simulated carriers, for trying and testing; and cutting a demo off.

    They speak the real protocol, misbehave as told, and keep a log of what reached the pager.

    \b
    Examples:
      gateway sim snpp
      gateway sim smtp
      gateway sim wctp
      gateway sim cut internet
    """


_PATHS = click.Choice(["internet", "phone", "lan", "cell"])


@sim.command()
@click.argument("path", type=_PATHS)
@click.option("--for", "lasting", metavar="TIME", help="Like 60s; without: until gateway sim mend.")
@click.option("--refuse", is_flag=True, help="New connections fail at once instead of hanging.")
@on_daemon
def cut(at: Surface, path: str, lasting: str | None, refuse: bool) -> None:
    """Cut what a running demo needs to get out: connections break, new ones hang.

    Only a demo can be cut: elsewhere carriers are real.

    \b
    Examples:
      gateway sim cut internet
      gateway sim cut internet --for 60s
      gateway sim cut phone --refuse
    """
    _show_path(at, at.daemon.post("/v1/sim/cut", {"path": path, "for": lasting, "refuse": refuse}))


@sim.command()
@click.argument("path", type=_PATHS)
@on_daemon
def mend(at: Surface, path: str) -> None:
    """Mend what was cut: what waits goes out.

    \b
    Examples:
      gateway sim mend internet
    """
    _show_path(at, at.daemon.post("/v1/sim/mend", {"path": path}))


def _show_path(at: Surface, answer: Document) -> None:
    if at.json:
        screen.show_json(answer)
    else:
        screen.say(f" {answer['says']}")


@sim.command()
@click.option("--bind", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=4444, show_default=True, help="0: any.")
@click.option("--login", metavar="NAME:PASSWORD", help="Ask for this login; without, any is taken.")
@click.option(
    "--delay",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="Before SEND is answered.",
)
@click.option(
    "--refuse",
    metavar="[STEP:]CODE[:SHARE]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_refusal, values)),
    help="Answer PAGE, SEND or LOGI (SEND if not said) with CODE, for a share of the pages.",
)
@click.option(
    "--lose-answer",
    type=click.IntRange(0),
    metavar="BYTES",
    help="Hang up after so many bytes of the answer to SEND; the page has reached the pager.",
)
@click.option(
    "--lose-share", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Share of answers lost."
)
@click.option("--silent", is_flag=True, help="Say yes, and let nothing reach the pager.")
@click.option(
    "--throttle",
    metavar="RATE",
    callback=lambda context, option, value: None if value is None else _a_rate(value),
    help="Pages taken, like 20/s or 10/min; above it SEND is answered 421.",
)
@click.option(
    "--progress",
    metavar="SECONDS:CODE[:TEXT]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_progress, values)),
    help="What MSTAtus says so long after SEND: 860 on the pager, 870 read, 889 answered.",
)
@click.option(
    "--log", type=click.Path(path_type=Path), help="File for what reached the pager, a JSON line each."
)
@alone
def snpp(
    at: Surface,
    bind: str,
    port: int,
    login: str | None,
    delay: float,
    refuse: tuple[tuple[str, int, float], ...],
    lose_answer: int | None,
    lose_share: float,
    silent: bool,
    throttle: Rate | None,
    progress: tuple[tuple[float, int, str], ...],
    log: Path | None,
) -> None:
    """A paging terminal that speaks SNPP (RFC 1861), for trying and testing.

    The log is the truth about what reached the pager, whatever was answered. Ctrl-C ends it.

    \b
    Examples:
      gateway sim snpp
      gateway sim snpp --delay 2 --progress 2:860 --progress 5:889:OK
      gateway sim snpp --refuse PAGE:550 --refuse SEND:554:0.3
      gateway sim snpp --lose-answer 0 --log pager.jsonl
      gateway sim snpp --port 0 --throttle 10/min --json
    """
    from gateway.sim import snpp as simulation

    quirks = simulation.SnppQuirks(
        delay=delay,
        refusals=tuple(simulation.Refusal(step=step, code=code, share=share) for step, code, share in refuse),
        lose_answer=lose_answer,
        lose_share=lose_share,
        silent=silent,
        rate=throttle,
        progress=tuple(
            simulation.Progress(after=after, code=code, text=text) for after, code, text in progress
        ),
        login=login,
    )
    host = f"[{bind}]" if ":" in bind else bind
    from gateway.app.simulate import snpp as serve

    at.end(serve(quirks, at=f"{host}:{port}", log=log, as_json=at.json))


@sim.command()
@click.option("--bind", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=2587, show_default=True, help="0: any.")
@click.option(
    "--delay",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="Before the text is answered.",
)
@click.option(
    "--greylist",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="Put each sender off for so long, from its first try.",
)
@click.option(
    "--refuse",
    metavar="[STEP:]CODE[:SHARE]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_refusal_of_mail, values)),
    help="Answer RCPT or TEXT (TEXT if not said) with CODE, for a share of the mails.",
)
@click.option(
    "--lose-answer",
    type=click.IntRange(0),
    metavar="BYTES",
    help="Hang up after so many bytes of the answer to the text; the mail has arrived.",
)
@click.option(
    "--lose-share", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Share of answers lost."
)
@click.option("--silent", is_flag=True, help="Say yes, and let nothing arrive.")
@click.option(
    "--throttle",
    metavar="RATE",
    callback=lambda context, option, value: None if value is None else _a_rate(value),
    help="Mails taken, like 20/s or 10/min; above it RCPT is answered 450.",
)
@click.option(
    "--report",
    metavar="SECONDS:ACTION",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_fate, values)),
    help="Report so long after the text: delivered, relayed, expanded, delayed or failed.",
)
@click.option(
    "--reports-to",
    metavar="HOST:PORT",
    callback=lambda context, option, value: None if value is None else _a_place(value),
    help="Where reports are brought: listen.smtp of the gateway.",
)
@click.option("--dsn/--no-dsn", default=True, help="Whether it takes wishes for reports.")
@click.option("--lmtp", is_flag=True, help="Speak LMTP.")
@click.option(
    "--log", type=click.Path(path_type=Path), help="File for what reached the mailbox, a JSON line each."
)
@alone
def smtp(
    at: Surface,
    bind: str,
    port: int,
    delay: float,
    greylist: float | None,
    refuse: tuple[tuple[str, int, float], ...],
    lose_answer: int | None,
    lose_share: float,
    silent: bool,
    throttle: Rate | None,
    report: tuple[tuple[float, str], ...],
    reports_to: str | None,
    dsn: bool,
    lmtp: bool,
    log: Path | None,
) -> None:
    """A mail relay that speaks SMTP or LMTP and reports how mail fared (RFC 3464), for trying and testing.

    The log is the truth about what reached the mailbox, whatever was answered. Reports are made of what the
    sender asked for, as real relays do. Ctrl-C ends it.

    \b
    Examples:
      gateway sim smtp
      gateway sim smtp --report 2:relayed --reports-to 127.0.0.1:2525
      gateway sim smtp --greylist 60 --refuse RCPT:550:0.1
      gateway sim smtp --report 5:failed --reports-to 127.0.0.1:2525 --log mail.jsonl
      gateway sim smtp --port 0 --lose-answer 0 --json
    """
    from gateway.sim import smtp as simulation

    quirks = simulation.SmtpQuirks(
        delay=delay,
        greylist=greylist,
        refusals=tuple(simulation.Refusal(step=step, code=code, share=share) for step, code, share in refuse),
        lose_answer=lose_answer,
        lose_share=lose_share,
        silent=silent,
        rate=throttle,
        fates=tuple(simulation.Fate(after=after, action=action) for after, action in report),
        dsn=dsn,
        lmtp=lmtp,
    )
    host = f"[{bind}]" if ":" in bind else bind
    from gateway.app.simulate import smtp as serve

    at.end(serve(quirks, reports_to=reports_to, at=f"{host}:{port}", log=log, as_json=at.json))


@sim.command()
@click.option("--bind", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8737, show_default=True, help="0: any.")
@click.option(
    "--login", metavar="ID:CODE", help="senderID and securityCode to be shown; without, any are taken."
)
@click.option(
    "--delay",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="Before a page is answered.",
)
@click.option(
    "--progress",
    metavar="SECONDS:WHAT[:TEXT]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_progress_of_wctp, values)),
    help="What becomes of a page: queued, delivered, read, failed[:CODE], reply:TEXT or choice:NUMBER.",
)
@click.option(
    "--push-to",
    metavar="URL",
    callback=lambda context, option, value: _a_url(value, "--push-to"),
    help="Where that is pushed for pages of enterprises; without, they poll.",
)
@click.option("--push-twice", is_flag=True, help="Push everything twice.")
@click.option("--push-backwards", is_flag=True, help="Tell of what comes last first.")
@click.option(
    "--poll-interval",
    type=click.IntRange(0, 86_400),
    metavar="SECONDS",
    help="Between polls; one that comes earlier is answered 600.",
)
@click.option(
    "--refuse",
    metavar="[STEP:]CODE[:SHARE]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_refusal_of_wctp, values)),
    help="Answer SUBMIT, POLL, QUERY or LOOKUP (SUBMIT if not said) with CODE, for a share (0.3), or for the "
    "first so many (x3).",
)
@click.option(
    "--http-status",
    type=click.IntRange(200, 599),
    default=200,
    show_default=True,
    help="HTTP status of every answer that says no.",
)
@click.option(
    "--recipients",
    metavar="REGEX",
    callback=lambda context, option, value: _a_pattern(value, "--recipients"),
    help="What a recipientID looks like; others are answered 403.",
)
@click.option(
    "--max-chars",
    type=click.IntRange(1, 65_535),
    help="Longer texts are cut where the sender allows it, else answered 411.",
)
@click.option("--truncate/--no-truncate", default=True, help="Whether longer texts are cut at all.")
@click.option("--choices/--no-choices", default=True, help="Whether multiple choice is taken; if not: 414.")
@click.option(
    "--throttle",
    metavar="RATE",
    callback=lambda context, option, value: None if value is None else _a_rate(value),
    help="Pages taken, like 20/s or 10/min; above it the answer is 602.",
)
@click.option(
    "--lose-answer",
    type=click.IntRange(0),
    metavar="BYTES",
    help="Hang up after so many bytes of the answer to a page; it has reached the pager.",
)
@click.option(
    "--lose-share", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Share of answers lost."
)
@click.option("--hang", is_flag=True, help="Take pages and never answer.")
@click.option("--html", is_flag=True, help="A captive portal: answer everything by a web page, take nothing.")
@click.option("--silent", is_flag=True, help="Say yes, and let nothing reach the pager.")
@click.option(
    "--wctp-version",
    "version",
    metavar="NAME",
    callback=lambda context, option, value: _a_version(value, "--wctp-version"),
    help="wctpVersion of all that it says; without, as the sender spells it.",
)
@click.option(
    "--doctype",
    metavar="URL",
    callback=lambda context, option, value: _a_url(value, "--doctype"),
    help="DOCTYPE of all that it says.",
)
@click.option("--confirmation", is_flag=True, help="wctp-Confirmation where another answer is due.")
@click.option("--empty-text", is_flag=True, help="Nothing inside of success and failure.")
@click.option("--http10", is_flag=True, help="Answer in HTTP/1.0.")
@click.option("--close", is_flag=True, help="Hang up after every answer.")
@click.option(
    "--log", type=click.Path(path_type=Path), help="File for what reached the pager, a JSON line each."
)
@alone
def wctp(
    at: Surface,
    bind: str,
    port: int,
    push_to: str | None,
    refuse: tuple[tuple[str, int, float, int | None], ...],
    progress: tuple[tuple[float, str, str], ...],
    throttle: Rate | None,
    log: Path | None,
    **quirks: Any,
) -> None:
    """A carrier's gateway that speaks WCTP 1.0 to 1.3 over HTTP, at /wctp, for trying and testing.

    What becomes of a page is pushed, kept for polls, or told to who asks by tracking number, as fits how it
    was submitted and what its sender asked to be told of. The log is the truth about what reached the pager,
    whatever was answered. Ctrl-C ends it.

    \b
    Examples:
      gateway sim wctp
      gateway sim wctp --progress 1:queued --progress 3:read --progress 9:reply:OK
      gateway sim wctp --progress 5:choice:1 --push-to http://127.0.0.1:8081/wctp --push-twice
      gateway sim wctp --login st-anne:K7-blue-91 --poll-interval 10 --refuse 606:x3
      gateway sim wctp --max-chars 80 --no-choices --refuse POLL:604:0.3
      gateway sim wctp --port 0 --lose-answer 0 --log pager.jsonl --json
    """
    from gateway.sim import wctp as simulation

    told = simulation.WctpQuirks(
        refusals=tuple(
            simulation.Refusal(step=step, code=code, share=share, first=first)
            for step, code, share, first in refuse
        ),
        progress=tuple(
            simulation.Progress(after=after, what=what, text=text) for after, what, text in progress
        ),
        rate=throttle,
        **quirks,
    )
    host = f"[{bind}]" if ":" in bind else bind
    from gateway.app.simulate import wctp as serve

    at.end(serve(told, push_to=push_to, at=f"{host}:{port}", log=log, as_json=at.json))


def _a_refusal_of_wctp(text: str) -> tuple[str, int, float, int | None]:
    found = re.fullmatch(
        r"(?:(SUBMIT|POLL|QUERY|LOOKUP):)?([3-6][0-9]{2})(?::(?:x([0-9]{1,9})|(0?\.[0-9]+|1|0)))?",
        text,
        re.ASCII,
    )
    if found is None:
        raise click.BadParameter("Write 606, 606:x3, SUBMIT:403:0.3 or POLL:600", param_hint="--refuse")
    return found[1] or "SUBMIT", int(found[2]), float(found[4] or 1), int(found[3]) if found[3] else None


def _a_progress_of_wctp(text: str) -> tuple[float, str, str]:
    found = re.fullmatch(
        r"([0-9]+(?:\.[0-9]+)?):(?:(queued|delivered|read)|(failed)(?::([3-6][0-9]{2}))?"
        r"|(reply):(\S.{0,999})|(choice):([1-9][0-9]?))",
        text,
        re.ASCII,
    )
    if found is None or not text.isprintable():
        raise click.BadParameter(
            "Write 2:delivered, 5:failed:501, 9:reply:OK or 9:choice:1", param_hint="--progress"
        )
    what = found[2] or found[3] or found[5] or found[7]
    return float(found[1]), what, found[4] or found[6] or found[8] or ""


def _a_url(text: str | None, option: str) -> str | None:
    if text is not None and re.fullmatch(r"https?://[!#-&(-;=?-~]{1,240}", text, re.ASCII) is None:
        raise click.BadParameter("Write http://127.0.0.1:8081/wctp", param_hint=option)
    return text


def _a_version(text: str | None, option: str) -> str | None:
    if text is not None and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text, re.ASCII) is None:
        raise click.BadParameter("Write wctp-dtd-v1r3", param_hint=option)
    return text


def _a_pattern(text: str | None, option: str) -> str | None:
    try:
        re.compile(text or "")
    except re.error as mistake:
        raise click.BadParameter(f"{mistake}. Write [0-9]{{7}}", param_hint=option) from None
    return text


def _a_refusal_of_mail(text: str) -> tuple[str, int, float]:
    found = re.fullmatch(r"(?:(RCPT|TEXT):)?([45][0-9]{2})(?::(0?\.[0-9]+|1|0))?", text, re.ASCII)
    if found is None:
        raise click.BadParameter("Write 451, RCPT:550 or TEXT:554:0.3", param_hint="--refuse")
    return found[1] or "TEXT", int(found[2]), float(found[3] or 1)


def _a_fate(text: str) -> tuple[float, str]:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?):(delivered|relayed|expanded|delayed|failed)", text, re.ASCII)
    if found is None:
        raise click.BadParameter("Write 2:relayed or 5:failed", param_hint="--report")
    return float(found[1]), found[2]


def _a_place(text: str) -> str:
    try:
        kinds.host_and_port(text)
    except kinds.Unfit as unfit:
        raise click.BadParameter(str(unfit), param_hint="--reports-to") from None
    return text


def _a_refusal(text: str) -> tuple[str, int, float]:
    found = re.fullmatch(r"(?:(PAGE|SEND|LOGI):)?([45][0-9]{2})(?::(0?\.[0-9]+|1|0))?", text, re.ASCII)
    if found is None:
        raise click.BadParameter("Write 554, PAGE:550 or SEND:554:0.3", param_hint="--refuse")
    return found[1] or "SEND", int(found[2]), float(found[3] or 1)


def _a_progress(text: str) -> tuple[float, int, str]:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?):([0-9]{3})(?::([ -~]*))?", text, re.ASCII)
    if found is None:
        raise click.BadParameter("Write 2:870 or 5:889:OK", param_hint="--progress")
    return float(found[1]), int(found[2]), found[3] or ""


def _a_rate(text: str) -> Rate:
    try:
        return kinds.rate(text)
    except kinds.Unfit as unfit:
        raise click.BadParameter(str(unfit), param_hint="--throttle") from None
