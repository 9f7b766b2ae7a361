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
from gateway.cli.surface import Surface, alone
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
    """Simulated carriers, for trying and testing.

    They speak the real protocol, misbehave as told, and keep a log of what reached the pager.

    \b
    Examples:
      gateway sim snpp
      gateway sim smtp
      gateway sim tap
    """


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
@click.option("--port", type=click.IntRange(0, 65535), default=10001, show_default=True, help="0: any.")
@click.option(
    "--pty",
    type=click.Path(path_type=Path),
    help="Be a serial port instead: a pseudo-terminal, and a link to it at this path.",
)
@click.option("--modem", is_flag=True, help="A modem is in front: ATDT and any number calls the terminal.")
@click.option(
    "--baud",
    metavar="BAUD",
    default="fast",
    show_default=True,
    callback=lambda context, option, value: _a_speed(value),
    help="Speed of the line, like 300, 1200, 2400; or fast.",
)
@click.option(
    "--parity",
    type=click.Choice(["none", "even", "odd"]),
    default="none",
    show_default=True,
    help="What the eighth bit of its octets says.",
)
@click.option(
    "--dial",
    metavar="RESULT[:CALLS]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_dialling, values)),
    help="What the modem says for so many calls (all if not said): busy, no-dialtone, no-answer, voice, "
    "no-carrier.",
)
@click.option("--calls", type=click.IntRange(0), metavar="N", help="Misbehave in the first N calls only.")
@click.option(
    "--banner",
    type=click.IntRange(0, 10_000_000),
    metavar="OCTETS",
    default=0,
    help="So much text before ID=.",
)
@click.option(
    "--slow-id",
    type=click.FloatRange(0, 50),
    metavar="SECONDS",
    default=0.0,
    help="From the first CR to ID=.",
)
@click.option(
    "--id",
    "prompt",
    type=click.Choice(["plain", "lines", "split", "repeated", "garbled", "unasked"]),
    default="plain",
    show_default=True,
    help="How ID= comes: with line ends, in pieces, three times, unreadable at first, without any CR.",
)
@click.option(
    "--password",
    callback=lambda context, option, value: None if value is None else _a_password(value),
    help="Ask for this one; without, any is taken.",
)
@click.option(
    "--logon",
    type=click.Choice(["taken", "refused", "dropped"]),
    default="taken",
    show_default=True,
    help="Refuse it as a wrong password (509), or hang up.",
)
@click.option("--codes/--no-codes", default=True, help="Whether it says response codes (TAP 1.6 and later).")
@click.option("--tap-version", metavar="X.Y", default="1.8", show_default=True, help="What 110 says.")
@click.option("--welcome", metavar="TEXT", default="", help="What 114 says at logon.")
@click.option(
    "--go-ahead",
    type=click.Choice(["said", "alone", "wrong", "missing"]),
    default="said",
    show_default=True,
    help="Say it without the ACK before it, wrongly, or not at all.",
)
@click.option(
    "--lines",
    type=click.IntRange(0, 1000),
    metavar="N",
    default=0,
    help="Lines of text before each answer.",
)
@click.option(
    "--nak-first",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    help="The first N blocks of a call arrive damaged (514 NAK).",
)
@click.option(
    "--block-limit",
    metavar="OCTETS[:nak]",
    callback=lambda context, option, value: (None, "rs") if value is None else _a_block_limit(value),
    help="Refuse longer blocks by 513 RS, or by NAK.",
)
@click.option(
    "--pages",
    metavar="N[:END]",
    callback=lambda context, option, value: (None, "112") if value is None else _a_page_limit(value),
    help="Pages of a call; then 112 or 113 to the next, ack (112 with the last yes), or hang-up.",
)
@click.option(
    "--drop-in-block",
    type=click.IntRange(1, 1000),
    metavar="OCTETS",
    help="Hang up after so many octets of a block.",
)
@click.option(
    "--refuse",
    metavar="[PAGER:]CODE[:SHARE]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_refusal_of_a_page, values)),
    help="Answer a page to PAGER (any if not said) with CODE, for a share of the pages.",
)
@click.option(
    "--delay",
    type=click.FloatRange(0, 3600),
    default=0.0,
    metavar="SECONDS",
    help="Before a page is answered.",
)
@click.option(
    "--mute",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    help="Say nothing to the first N pages of a call; they have reached the pager.",
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
@click.option("--silent", is_flag=True, help="Say yes, and let nothing reach the pager.")
@click.option("--regret", is_flag=True, help="RS at log-off: some page was not good after all.")
@click.option(
    "--goodbye",
    type=click.Choice(["said", "hang-up", "silent"]),
    default="said",
    show_default=True,
    help="Hang up at log-off without a word, or stay on the line in silence.",
)
@click.option(
    "--log", type=click.Path(path_type=Path), help="File for what reached the pager, a JSON line each."
)
@alone
def tap(
    at: Surface,
    bind: str,
    port: int,
    pty: Path | None,
    modem: bool,
    baud: int | None,
    dial: tuple[tuple[str, int | None], ...],
    block_limit: tuple[int | None, Any],
    pages: tuple[int | None, Any],
    refuse: tuple[tuple[str | None, int, float], ...],
    tap_version: str,
    log: Path | None,
    **more: Any,
) -> None:
    """A paging terminal that speaks TAP, also called IXO or PET, for trying and testing.

    Who connects is on the line, as behind a serial cable or a network modem; with --modem, has to dial.
    Quirks count anew in each call. The log is the truth about what reached the pager, whatever was answered.
    Ctrl-C ends it.

    \b
    Examples:
      gateway sim tap
      gateway sim tap --pty ./modem --modem --baud 1200 --log pager.jsonl
      gateway sim tap --modem --dial busy:2 --dial no-carrier:1
      gateway sim tap --slow-id 12 --id split --parity even --no-codes
      gateway sim tap --pages 9:112 --block-limit 230:nak --refuse 5551999:511
      gateway sim tap --mute 1 --calls 1 --port 0 --json
    """
    from gateway.sim import tap as simulation

    quirks = simulation.TapQuirks(
        dialling=tuple(
            simulation.Dialling(result=result.upper().replace("-", " "), calls=calls)
            for result, calls in dial
        ),
        version=tap_version,
        block_limit=block_limit[0],
        beyond=block_limit[1],
        pages=pages[0],
        full=pages[1],
        refusals=tuple(
            simulation.Refusal(pager=pager, code=code, share=share) for pager, code, share in refuse
        ),
        **more,
    )
    host = f"[{bind}]" if ":" in bind else bind
    where = f"{host}:{port}" if pty is None else f"pty:{pty}"
    from gateway.app.simulate import tap as serve

    at.end(serve(quirks, baud=baud, modem=modem, at=where, log=log, as_json=at.json))


def _a_speed(text: str) -> int | None:
    if text == "fast":
        return None
    if not re.fullmatch("[0-9]{2,6}", text, re.ASCII) or not 50 <= int(text) <= 115_200:
        raise click.BadParameter("Write 300, 1200 or fast", param_hint="--baud")
    return int(text)


def _a_dialling(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(busy|no-dialtone|no-answer|voice|no-carrier)(?::([0-9]{1,6}))?", text, re.ASCII)
    if found is None:
        raise click.BadParameter("Write busy, no-carrier:2 or no-dialtone:1", param_hint="--dial")
    return found[1], None if found[2] is None else int(found[2])


def _a_password(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9]{1,16}", text, re.ASCII):
        raise click.BadParameter("Write up to 16 letters and digits", param_hint="--password")
    return text


def _a_block_limit(text: str) -> tuple[int, str]:
    found = re.fullmatch(r"([0-9]{2,4})(?::(rs|nak))?", text, re.ASCII)
    if found is None:
        raise click.BadParameter("Write 230 or 230:nak", param_hint="--block-limit")
    return int(found[1]), found[2] or "rs"


def _a_page_limit(text: str) -> tuple[int, str]:
    found = re.fullmatch(r"([0-9]{1,4})(?::(112|113|ack|hang-up))?", text, re.ASCII)
    if found is None or int(found[1]) == 0:
        raise click.BadParameter("Write 9, 9:113, 1:ack or 9:hang-up", param_hint="--pages")
    return int(found[1]), found[2] or "112"


def _a_refusal_of_a_page(text: str) -> tuple[str | None, int, float]:
    code = "50[456]|51[0123567]"  # 514 and what else has NAK is no word about a page
    found = re.fullmatch(rf"(?:([0-9]{{1,32}}):)?({code})(?::(0?\.[0-9]+|1|0))?", text, re.ASCII)
    if found is None:
        raise click.BadParameter("Write 512, 5551999:511 or 512:0.3", param_hint="--refuse")
    return found[1], int(found[2]), float(found[3] or 1)


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
