"""The carrier catalogue: what is known about carriers, and how the settings differ from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from gateway.cli import screen
from gateway.cli.place import load, mistaken, required_settings
from gateway.cli.surface import Surface, alone, on_file
from gateway.cli.trouble import DISK, REFUSED, SETTINGS, Trouble
from gateway.errors import SettingsError
from gateway.settings.catalogue import GONE, Catalogue, Fact, Listing, Phone
from gateway.settings.complaints import Complaints
from gateway.settings.listings import Difference, changed, overridden, plain
from gateway.settings.types import Settings


@click.command("catalogue")
@alone
def catalogue_(at: Surface) -> None:
    """List the carriers that this version knows, each with how far it can be relied on.

    live: the carrier describes it as current. reported: others say that it works; nobody here has tried.
    ends: it will be switched off. dead and historical: warnings, not to be used.

    \b
    Examples:
      gateway carriers catalogue
      gateway carriers catalogue --json
    """
    found = listed()
    if at.json:
        screen.show_json([plain(listing) for listing in found])
        return
    heads = (" USE", "STATUS", "", "CARRIER", "WAYS IN")
    screen.table(heads, [(f" {x.tag}", _styled(x), x.country, x.name, ", ".join(x.protocols)) for x in found])


@click.command()
@click.argument("name", metavar="NAME[@EDITION]")
@alone
def show(at: Surface, name: str) -> None:
    """Show what is known about a carrier, each fact with its source; the newest edition if none is said.

    \b
    Examples:
      gateway carriers show spok-us
      gateway carriers show spok-us@2026.11 --json
    """
    listing = _meant(_catalogue(), name)
    if at.json:
        screen.show_json(plain(listing))
        return
    screen.say((f" {listing.name}", "bold"), f"  {listing.country}  {listing.tag}  ", _styled(listing))
    _facts(listing.facts)
    if listing.device is not None:
        screen.say(f"   device: {listing.device.id} {listing.device.pattern or ''}")
    for way, known in listing.protocols.items():
        status = f"  {known.status}" if known.status else ""
        screen.say((f"   {way}", "bold"), status)
        settings = plain(listing)["protocols"][way].get("settings", {})
        for key, value in settings.items():
            screen.say(f"     {key}: {value}")
        if known.domains:
            screen.say(f"     mail domains: {', '.join(known.domains)}")
        _facts((*known.facts, *known.numbers))
    if listing.limits:
        screen.say(("   limits", "bold"))
        _facts(listing.limits)
    for word, value in (
        ("proves at most", listing.ceiling and listing.ceiling.token),
        ("characters", listing.charset),
        ("on the air", {True: "not encrypted", False: "encrypted", None: None}[listing.clear_radio]),
        ("contact", listing.contact),
    ):
        if value:
            screen.say(f"   {word}: {value}")
    for note in listing.notes:
        screen.say(f"   {note}")


@click.command()
@click.argument("name", metavar="NAME[@EDITION]")
@on_file
def diff(at: Surface, name: str) -> None:
    """Show where the settings do otherwise than the catalogue, and what newer editions say.

    Looks at the carriers of the settings file that use NAME.

    \b
    Examples:
      gateway carriers diff spok-us
      gateway carriers diff spok-us --settings /etc/gateway/gateway.yaml --json
    """
    known = _catalogue()
    meant = _meant(known, name)
    path = required_settings(at.settings)
    try:
        settings = load(path)
    except SettingsError as error:
        raise mistaken(path, error) from None
    found = [
        _one(known, listing, carrier, settings) for carrier, listing in _users(known, meant, name, settings)
    ]
    if at.json:
        screen.show_json({"name": meant.id, "newest": _newest(known, meant).tag, "carriers": found})
        return
    if not found:
        screen.say(f" No carrier in {path} uses {name}. Write: use: {_newest(known, meant).tag}")
    for one in found:
        screen.say((f" {one['carrier']}", "bold"), f"  uses {one['use']}")
        _differences("the settings say", one["use"], one["settings"])
        if one["newest"] != one["use"]:
            _differences(one["use"], one["newest"], one["news"])
        elif not one["settings"]:
            screen.say("   as the catalogue says")


@click.command()
@click.argument("files", metavar="[FILE]…", nargs=-1, type=click.Path(path_type=Path))
@alone
def lint(at: Surface, files: tuple[Path, ...]) -> None:
    """Check files of the catalogue: all mistakes at once; without FILE those that came with this version.

    Exit code 78 if there are mistakes.

    \b
    Examples:
      gateway carriers lint
      gateway carriers lint config/carriers/spok-us@2026.11.yaml
    """
    from gateway import app

    mistakes: tuple[Any, ...] = ()
    count = 0
    try:
        found = app.listings_in(files) if files else app.catalogue()
        count = sum(map(len, found.listings.values()))
    except SettingsError as error:
        mistakes = error.mistakes
    except OSError as problem:
        raise Trouble(
            DISK,
            "unreadable",
            f"Cannot read {problem.filename}: {problem.strerror}.",
            "Name a file that is there.",
        ) from None
    if at.json:
        screen.show_json({"listings": count, "mistakes": [str(mistake) for mistake in mistakes]})
        at.end(SETTINGS if mistakes else 0)
    if mistakes:
        raise Trouble(
            SETTINGS,
            "catalogue-invalid",
            f"{len(mistakes)} mistake{'' if len(mistakes) == 1 else 's'}.",
            "Correct them; what may be written is in docs/howto/carriers.md.",
            details=tuple(map(str, mistakes)),
        )
    screen.say(f" {count} listings, no mistakes.")


_ORDER = ("live", "reported", "ends", "dead", "historical")


def listed() -> list[Listing]:
    """The last edition of each carrier, those that can be used first."""
    return sorted(_catalogue().all_newest(), key=lambda one: (_ORDER.index(one.status), one.id))


def _catalogue() -> Catalogue:
    from gateway import app

    return app.catalogue()


def _newest(known: Catalogue, listing: Listing) -> Listing:
    newest = known.newest(listing.id)
    assert newest is not None
    return newest


def _meant(known: Catalogue, name: str) -> Listing:
    """The listing that *name* means, with its edition or the newest. Raises Trouble."""
    word, at, _ = name.partition("@")
    found = known.find(name) if at else known.newest(name)
    if found is None:
        newest = known.newest(word)
        near = Complaints().meant(word, known.listings)
        remedy = f"There is {newest.tag}." if newest else near or "gateway carriers catalogue lists them."
        raise Trouble(REFUSED, "unknown-listing", f"The catalogue has no {name}.", remedy)
    return found


def _users(known: Catalogue, meant: Listing, name: str, settings: Settings) -> Iterable[tuple[str, Listing]]:
    """Carriers of the settings that use *name*, in any edition unless it says one, and what they use."""
    for carrier, written in settings.carriers.items():
        used = None if written.use is None else known.find(written.use)
        if used is not None and used.id == meant.id and ("@" not in name or used.tag == meant.tag):
            yield carrier, used


def _one(known: Catalogue, listing: Listing, carrier: str, settings: Settings) -> dict[str, Any]:
    from gateway import app

    newest = _newest(known, listing)
    ours = overridden(carrier, settings.carriers[carrier], listing, app.specs())
    return {
        "carrier": carrier,
        "use": listing.tag,
        "newest": newest.tag,
        "settings": [_plain(one, "settings", "catalogue") for one in ours],
        "news": [_plain(one, "old", "new") for one in changed(listing, newest)],
    }


def _plain(one: Difference, here: str, there: str) -> dict[str, str | None]:
    return {"key": one.key, here: one.here, there: one.there}


def _differences(here: str, there: str, found: list[dict[str, str | None]]) -> None:
    if found:
        screen.table(
            ("   ", here.upper(), there.upper()),
            [
                (f"   {key}", ours or "", theirs or "")
                for key, ours, theirs in (one.values() for one in found)
            ],
        )


def _facts(facts: Iterable[Fact | Phone]) -> None:
    for one in facts:
        said = one.what if isinstance(one, Fact) else f"{one.number}  {one.what}".rstrip()
        tried = f"tried on {one.verified_on}" if one.verified_on else "not tried by us"
        screen.say(
            f"     {said}",
            (f"  [{one.source}; {f'{one.status}; ' if one.status else ''}{tried}]", screen.QUIET),
        )


def _styled(listing: Listing) -> tuple[str, str]:
    style = {"live": screen.GOOD, "reported": "", "ends": screen.WARNING}
    return listing.standing(), screen.ALARM if listing.status in GONE else style[listing.status]
