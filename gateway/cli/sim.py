"""Simulated carriers, told how to misbehave; and cutting a demo off."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.cli import screen
from gateway.cli.daemon import Document
from gateway.cli.surface import Surface, alone, on_daemon
from gateway.settings import kinds
from gateway.settings.types import Rate

_Option = Callable[[Callable[..., Any]], Callable[..., Any]]


@click.group()
def sim() -> None:
    """Simulated carriers, for trying and testing; and cutting a demo off.

    They speak the real protocol, misbehave as told, and keep a log of what reached the pager.

    \b
    Examples:
      gateway sim snpp
      gateway sim smtp
      gateway sim wctp
      gateway sim tap
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


# What several of them are told, in the same words


def _listening(port: int) -> _Option:
    bind = click.option(
        "--bind", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen."
    )
    at = click.option(
        "--port", type=click.IntRange(0, 65535), default=port, show_default=True, help="0: any."
    )
    return lambda command: bind(at(command))


def _place(bind: str, port: int) -> str:
    return f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"


def _delay(what: str) -> _Option:
    return click.option(
        "--delay",
        type=click.FloatRange(0, 3600),
        default=0.0,
        metavar="SECONDS",
        help=f"Before {what} is answered.",
    )


def _losses(what: str) -> _Option:
    cut = click.option(
        "--lose-answer",
        type=click.IntRange(0),
        metavar="BYTES",
        help=f"Hang up after so many bytes of the answer to {what}.",
    )
    share = click.option(
        "--lose-share",
        type=click.FloatRange(0, 1),
        default=1.0,
        show_default=True,
        help="Share of answers lost.",
    )
    return lambda command: cut(share(command))


def _throttle(what: str, above: str) -> _Option:
    return click.option(
        "--throttle",
        metavar="RATE",
        callback=lambda context, option, value: None if value is None else _a_rate(value),
        help=f"{what} taken, like 20/s or 10/min; above it {above}.",
    )


def _log(where: str) -> _Option:
    return click.option(
        "--log",
        type=click.Path(path_type=Path),
        help=f"File for what reached the {where}, a JSON line each.",
    )


@sim.command()
@_listening(4444)
@click.option("--login", metavar="NAME:PASSWORD", help="Ask for this login; without, any is taken.")
@_delay("SEND")
@click.option(
    "--refuse",
    metavar="[STEP:]CODE[:SHARE]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_refusal, values)),
    help="Answer PAGE, SEND or LOGI (SEND if not said) with CODE, for a share of the pages.",
)
@_losses("SEND; the page has reached the pager")
@click.option("--silent", is_flag=True, help="Say yes, and let nothing reach the pager.")
@_throttle("Pages", "SEND is answered 421")
@click.option(
    "--progress",
    metavar="SECONDS:CODE[:TEXT]",
    multiple=True,
    callback=lambda context, option, values: tuple(map(_a_progress, values)),
    help="What MSTAtus says so long after SEND: 860 on the pager, 870 read, 889 answered.",
)
@_log("pager")
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
    from gateway.app.simulate import snpp as serve

    at.end(serve(quirks, at=_place(bind, port), log=log, as_json=at.json))


@sim.command()
@_listening(2587)
@_delay("the text")
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
@_losses("the text; the mail has arrived")
@click.option("--silent", is_flag=True, help="Say yes, and let nothing arrive.")
@_throttle("Mails", "RCPT is answered 450")
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
@_log("mailbox")
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
    from gateway.app.simulate import smtp as serve

    at.end(serve(quirks, reports_to=reports_to, at=_place(bind, port), log=log, as_json=at.json))


@sim.command()
@_listening(8737)
@click.option(
    "--login", metavar="ID:CODE", help="senderID and securityCode to be shown; without, any are taken."
)
@_delay("a page")
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
@_throttle("Pages", "the answer is 602")
@_losses("a page; it has reached the pager")
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
@_log("pager")
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
    from gateway.app.simulate import wctp as serve

    at.end(serve(told, push_to=push_to, at=_place(bind, port), log=log, as_json=at.json))


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


@sim.command()
@_listening(10001)
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
@_delay("a page")
@click.option(
    "--mute",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    help="Say nothing to the first N pages of a call; they have reached the pager.",
)
@_losses("a page; it has reached the pager")
@click.option("--silent", is_flag=True, help="Say yes, and let nothing reach the pager.")
@click.option("--regret", is_flag=True, help="RS at log-off: some page was not good after all.")
@click.option(
    "--goodbye",
    type=click.Choice(["said", "hang-up", "silent"]),
    default="said",
    show_default=True,
    help="Hang up at log-off without a word, or stay on the line in silence.",
)
@_log("pager")
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
    where = _place(bind, port) if pty is None else f"pty:{pty}"
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
