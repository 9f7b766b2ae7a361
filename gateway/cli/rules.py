"""What a carrier's answer means by the settings: which rule counts, or which row of its protocol's table."""

from __future__ import annotations

import re
from typing import Any

import click

from gateway.cli import screen
from gateway.cli.place import load, mistaken, required_settings
from gateway.cli.surface import Surface, on_file
from gateway.cli.trouble import REFUSED, Trouble
from gateway.errors import SettingsError
from gateway.rules import first_match
from gateway.settings.kinds import show_duration
from gateway.settings.types import Carrier, Rule, Settings

MEANS = {
    "later": "the page is tried again later",
    "later_link": "the carrier takes nothing now; everything waits a little",
    "refuse_page": "this page is never tried again by this way; the next way is used",
    "refuse_address": "this address is never tried again by this way; the next way is used",
    "refuse_link": "the way out is switched off until somebody looks",
}


@click.group()
def rules() -> None:
    """Look at what carriers' answers mean (`rules` of a carrier).

    \b
    Examples:
      gateway rules test spok "550 quota exceeded"
    """


@rules.command()
@click.argument("carrier")
@click.argument("answer")
@click.option("--link", metavar="NAME", help="The link that heard it. Default: each of the carrier's.")
@on_file
def test(at: Surface, carrier: str, answer: str, link: str | None) -> None:
    """Say what ANSWER of CARRIER means: which rule counts and why.

    ANSWER is a code and the carrier's words, as they stand in `gateway why`. If no rule counts, the rows of
    the protocol's table that may count are shown. The settings file is read; no gateway need run.

    \b
    Examples:
      gateway rules test spok "550 quota exceeded"
      gateway rules test sms "88 throttled" --link smpp-a --json
    """
    path = required_settings(at.settings)
    try:
        with screen.busy("Reading the settings"):
            settings = load(path)
    except SettingsError as error:
        raise mistaken(path, error) from None
    found = _carrier(settings, carrier)
    if link is not None and link not in found.links:
        raise Trouble(
            REFUSED, "unknown-link", f"{carrier} has no link {link}.", f"There are: {', '.join(found.links)}."
        )
    code, words = _taken_apart(answer)
    answers = [
        _meaning(found, name, found.links[name].adapter, code, words)
        for name in ([link] if link is not None else found.links)
    ]
    if at.json:
        screen.show_json({"carrier": carrier, "code": code, "words": words, "links": answers})
        return
    for one in answers:
        screen.say((f" {carrier}.{one['link']}", "bold"), f"  {one['says']}")
        for row in one["table"]:
            screen.say((f"     {row['answer']}: {row['means']} ({row['why']})", screen.QUIET))


def _carrier(settings: Settings, name: str) -> Carrier:
    found = settings.carriers.get(name)
    if found is None:
        there = ", ".join(settings.carriers)
        raise Trouble(REFUSED, "unknown-carrier", f"There is no carrier {name}.", f"There are: {there}.")
    return found


def _taken_apart(answer: str) -> tuple[str, str]:
    """``550`` and ``quota exceeded``."""
    code, _, words = answer.strip().partition(" ")
    return (code, words.strip()) if any(c.isdigit() for c in code) else ("", answer.strip())


def _meaning(carrier: Carrier, link: str, protocol: str, code: str, words: str) -> dict[str, Any]:
    number = first_match(carrier.rules, code, words, protocol=protocol, link=link)
    if number is not None:
        rule = carrier.rules[number - 1]
        return {"link": link, "rule": number, "means": rule.means, "says": _told(rule, number), "table": []}
    from gateway import app

    rows = [
        {"answer": theirs, "means": ours, "why": why}
        for theirs, ours, why in app.specs()[protocol].answers
        if _may_mean(theirs, code)
    ]
    none = "no rule counts" if carrier.rules else "there are no rules"
    says = (
        f"{none}; by the table of {protocol}:"
        if rows
        else f"{none}, and the table of {protocol} does not name {code or 'it'}."
    )
    return {"link": link, "rule": None, "means": None, "says": says, "table": rows}


def _told(rule: Rule, number: int) -> str:
    """Which rule counts, by what, and what follows."""
    by = [f"code {rule.code}"] if rule.code != "*" else []
    by += [f'words "{rule.match}"'] if rule.match != "*" else []
    pause = "" if rule.pause_link is None else f"; nothing is sent by it for {show_duration(rule.pause_link)}"
    why = " and ".join(by) or "it fits any refusal"
    return f"rule {number} counts ({why}): {rule.means}, {MEANS[rule.means]}{pause}."


def _may_mean(row: str, code: str) -> bool:
    """Whether a row of a table names *code* or its kind: ``550``, ``other 5xx``, ``x54``."""
    if not code:
        return False
    for first, last in re.findall(r"([0-9]+) to ([0-9]+)", row):
        if code.isdecimal() and int(first) <= int(code) <= int(last):
            return True
    for word in re.findall(r"[0-9x]+(?:\.[0-9x]+)*", row):
        if any(c.isdigit() for c in word) and re.fullmatch(
            word.replace(".", r"\.").replace("x", "[0-9]"), code
        ):
            return True
    return False
