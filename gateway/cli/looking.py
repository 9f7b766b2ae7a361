"""Looking: how the gateway does, what is stuck, why a message is where it is, who would be paged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from gateway.cli import screen, words
from gateway.cli.daemon import Document, Silence, message_path
from gateway.cli.place import load, mistaken, zone_of
from gateway.cli.surface import CLASSES, Surface, moment_of, on_daemon, utc
from gateway.cli.trouble import REFUSED, Trouble
from gateway.errors import SettingsError, SubmissionError
from gateway.model import Instant, MessageClass, rfc3339


@click.command()
@on_daemon
def status(at: Surface) -> None:
    """Show how the gateway does.

    Whether it takes pages, since when it runs, and the ways out.

    \b
    Examples:
      gateway status
      gateway status --json
      gateway status --settings /etc/gateway/gateway.yaml
    """
    health = at.daemon.get("/v1/health")
    if at.json:
        screen.show_json(health)
        return
    ways = at.daemon.get("/v1/links")
    if health["ready"]:
        screen.say(" Takes pages", f"  version {health['version']}, settings {health['generation']}")
    else:
        screen.say((" TAKES NO PAGES", screen.ALARM), f"  version {health['version']}")
    for reason in health["reasons"]:
        screen.say((" ! ", screen.WARNING), reason)
    if health["durability"] == "unsafe":
        screen.say((" ! ", screen.ALARM), "Pages may be lost in a power cut: durability.allow_unsafe is set.")
    screen.say(
        f" Runs since {screen.day_and_clock(health['started_at'], at.zone)} · "
        f"{words.count(health['backlog'], 'page')} not finished"
    )
    ways_out(at, ways)


def ways_out(at: Surface, ways: Document) -> None:
    """The ways out, and the modem lines if there are any."""
    rows = [_way_out_row(at, link) for link in ways["links"]]
    screen.table(("", "WAY OUT", "", "WAITING", "LAST PAGE TAKEN", ""), rows)
    if lines := [_line_row(line) for line in ways.get("lines", ())]:
        screen.table(("", "LINE", "", "POOL", ""), lines)


def _line_row(line: Document) -> tuple[str | tuple[str, str], ...]:
    return (
        (" !", screen.WARNING) if line["state"] == "failing" else "  ",
        line["line"],
        words.line(line["state"]),
        line["pool"],
        line["says"],
    )


def _way_out_row(at: Surface, link: Document) -> tuple[str | tuple[str, str], ...]:
    """A way out as a row: mark, name, state, how many wait, when it last worked, a sentence."""
    bad = link["state"] in ("down", "resting", "suspended")
    taken = link["last_taken_at"]
    return (
        (" !", screen.WARNING) if bad else "  ",
        link["link"],
        words.way_out(link["state"]),
        str(sum(link["waiting"].values())),
        "-" if taken is None else screen.day_and_clock(taken, at.zone),
        link["says"],
    )


@click.command()
@click.argument("ref")
@on_daemon
def why(at: Surface, ref: str) -> None:
    """Tell the story of a message in sentences, and what comes next.

    \b
    Examples:
      gateway why 7K3M
      gateway why 7K3M --json
    """
    story = at.daemon.get(message_path(ref, "why"))
    if at.json:
        screen.show_json(story)
        return
    day = None
    for line in story["story"]:
        moment = screen.local(line["at"], at.zone)
        if moment.date() != day:
            day = moment.date()
            screen.say((f" {moment:%A %d %B %Y}, {at.place.zone}", screen.QUIET))
        screen.say((f" {moment:%H:%M:%S}", screen.QUIET), f"  {line['says']}")
    if not story["now"]:
        return
    screen.say("")
    screen.say((f" {story['ref'] or 'Now'}", "bold"), f"  {story['now'][0]}")
    indent = " " * (len(story["ref"] or "Now") + 3)
    for sentence in story["now"][1:]:
        screen.say(indent + sentence)


@click.command()
@on_daemon
def stuck(at: Surface) -> None:
    """Show what needs somebody now, worst first.

    With the commands that help; then what waits by itself.

    \b
    Examples:
      gateway stuck
      gateway stuck --json
    """
    picture = at.daemon.get("/v1/stuck")
    if at.json:
        screen.show_json(picture)
        return
    items = picture["needs_you"]
    clock = f"{screen.clock(picture['at'], zone_of(picture['zone']))} {picture['zone']}"
    screen.say((f" {picture['says']:<72}", "bold" if items else ""), f" {clock}")
    whats = [_what(item) for item in items]
    width = max(map(len, whats), default=0)
    told = max((len(item["says"]) for item in items), default=0)
    done = max((len(item.get("does") or "") for item in items), default=0)
    for item, what in zip(items, whats, strict=True):
        orders = " · ".join(item["commands"])
        todo = "; ".join(filter(None, (item.get("advice"), orders)))
        commands = f"  → {todo}" if todo else ""
        line = f" ! {what:<{width}}  {item['says']:<{told}}"
        if done:
            line += f"  {item.get('does') or '':<{done}}"
        pressing = item["class"] == "critical" or item["kind"] in ("link", "path")
        head = (line[: 3 + width], screen.ALARM if pressing else screen.WARNING)
        if screen.fits(line + commands):
            screen.say(head, (line[3 + width :] + commands).rstrip())
        else:
            screen.say(head, line[3 + width :].rstrip())
            if commands:
                screen.say((f"  {commands}", screen.QUIET))
    if picture["waiting"]:
        screen.say(" Waiting, not stuck: ", " · ".join(item["says"] for item in picture["waiting"]))


def _what(item: Document) -> str:
    if item["kind"] != "message":
        return f"{'way out' if item['kind'] == 'link' else item['kind']} {item['what']}"
    return f"{item['what']} {item['class'] or ''}".rstrip()


@click.command()
@click.argument("target")
@click.option(
    "--class", "message_class", type=CLASSES, default="normal", show_default=True, help="How much it matters."
)
@click.option("--at", "moment", metavar="TIME", help="When, in the site's zone: 03:00, 'Sun 03:00', a date.")
@on_daemon
def explain(at: Surface, target: str, message_class: str, moment: str | None) -> None:
    """Show who would be paged for TARGET, when and why.

    Also on which pager or mobile, and by which way out. Nothing is stored or sent. The running gateway is
    asked; if none runs, the settings file.

    \b
    Examples:
      gateway explain cardiology-oncall --at "Sun 03:00" --class urgent
      gateway explain alice --class critical
      gateway explain alice --settings new.yaml --json
    """
    now = datetime.now(UTC)
    when = utc(now if moment is None else moment_of(moment, at.zone, now))
    try:
        plan = at.daemon.get("/v1/explain", target=target, class_=message_class, at=when)
    except Silence as silence:
        if at.place.settings is None or silence.sent:
            raise
        plan = _from_file(at, target, message_class, when)
    if at.json:
        screen.show_json(plan)
        return
    screen.say(
        (f" {plan['target']}", "bold"),
        f" {plan['class']}, {screen.day_and_clock(plan['at'], at.zone)} {at.place.zone}",
    )
    if not plan["plan"]:
        screen.say((" Nobody would be paged.", screen.ALARM))
    rows: list[tuple[str, ...]] = [
        (
            f" {screen.clock(step['at'], at.zone)}",
            step["person"] or step["address"],
            step["device"] or "",
            step["link"],
            step["why"],
        )
        for step in plan["plan"]
    ]
    if rows:
        screen.table((" AT", "WHO", "ON", "BY", "WHY"), rows)


def _from_file(at: Surface, target: str, message_class: str, when: str) -> Document:
    """What the API would answer, if the settings file were in effect and every way out open."""
    file = at.place.settings
    assert file is not None
    try:
        with screen.busy("Reading the settings"):
            settings = load(file)
    except SettingsError as error:
        raise mistaken(file, error) from None
    from gateway import app

    instant = Instant(int(datetime.fromisoformat(when).timestamp()) * 1_000_000)
    try:
        legs = app.explain(settings, target, MessageClass[message_class.upper()], instant)
    except SubmissionError as error:
        near = [word for fault in error.faults for word in fault.try_]
        raise Trouble(
            REFUSED,
            error.code,
            f"{error.detail}.",
            f"Did you mean {' or '.join(near)}?" if near else "gateway check shows whom there is.",
        ) from None
    if not at.json:
        screen.remark((f"No gateway runs: this is what {file} says.", screen.QUIET))
    plan: list[dict[str, Any]] = [
        {
            "at": rfc3339(leg.at),
            "person": leg.person,
            "device": leg.device,
            "address": leg.address,
            "link": leg.link,
            "why": leg.why,
            "says": f"{leg.person or leg.address}"
            + (f"'s {leg.device}" if leg.device else "")
            + f" by {leg.link}: {leg.why}",
        }
        for leg in legs
    ]
    return {"target": target, "class": message_class, "at": when, "plan": plan}
