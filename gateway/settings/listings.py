"""Reading the files of the catalogue, by the same walk as the settings, and telling two of them apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path as FilePath
from typing import Any

import msgspec

from gateway import __version__
from gateway.settings.catalogue import GONE, NEVER_LISTED, Catalogue, Listing, Way
from gateway.settings.complaints import Complaints, Mark, Path, quoted
from gateway.settings.convert import Converter, show
from gateway.settings.declared import Field, fields_of
from gateway.settings.document import Budget, Entries, Items, Node, Scalar, place, read_document
from gateway.settings.types import Adapter, Carrier, LinkSettings

_DATES = ("status_on", "ends_on", "verified_on")


def read_listings(
    files: Iterable[tuple[str, str]], complaints: Complaints, specs: Mapping[str, Adapter]
) -> Catalogue:
    """The catalogue that *files* (name and text of each) make. What is wrong with them *complaints* then
    says; keys of links are looked at for the adapters in *specs*, and left as they are for others."""
    found: dict[str, dict[str, Listing]] = {}
    budget = Budget()
    for file, text in files:
        top = read_document(text, file, complaints, budget)
        if top is None:
            continue
        listing = _Reader(top, file, complaints, specs).listing()
        editions = found.setdefault(listing.id, {})
        if listing.edition in editions:
            complaints.mistake(
                top.mark, ("edition",), f"{listing.tag} is there already.", "Keep one of them."
            )
        else:
            editions[listing.edition] = listing
    return Catalogue(listings={name: dict(sorted(found[name].items())) for name in sorted(found)})


class _Reader:
    """One file. Settings of links stay nodes: they get their types where a link uses them."""

    def __init__(self, top: Entries, file: str, complaints: Complaints, specs: Mapping[str, Adapter]) -> None:
        self._top = top
        self._file = file
        self._complaints = complaints
        self._specs = specs
        self._converter = converter(complaints, specs)

    def listing(self) -> Listing:
        settings = dict(self._settings())
        made: Listing = self._converter.struct(self._top, Listing, (), Mark(self._file, 1, 1))
        ways = {
            name: msgspec.structs.replace(way, own=settings.get(name, Entries(self._top.mark, {})))
            for name, way in made.protocols.items()
        }
        made = msgspec.structs.replace(made, protocols=ways, own=self._top)
        if self._complaints.sound("id") and self._complaints.sound("edition"):
            stem = FilePath(self._file).name.removesuffix(".yaml")
            if stem != made.tag:
                what = f"this is {made.tag}, and the file is {quoted(stem)}."
                self._wrong(("id",), what, f"Name the file {made.tag}.yaml.")
        self._times(self._top, ())
        if (made.status == "ends") != (made.ends_on is not None):
            self._wrong(("ends_on",), "stands where status is ends, and nowhere else.", "Write both or none.")
        for name, way in ways.items():
            self._way(made, name, way)
        return made

    def _settings(self) -> Iterator[tuple[str, Entries]]:
        """What stands under ``settings`` of each protocol, taken out of the tree."""
        protocols = self._top.entries.get("protocols")
        if protocols is None or not isinstance(protocols.node, Entries):
            return
        for name, entry in protocols.node.entries.items():
            if not isinstance(entry.node, Entries):
                continue
            settings = entry.node.entries.pop("settings", None)
            if settings is None:
                continue
            if isinstance(settings.node, Entries):
                yield name, settings.node
            else:
                path = ("protocols", name, "settings")
                self._complaints.mistake(settings.node.mark, path, "is not a mapping.", "Write {at: …}.")

    def _way(self, listing: Listing, name: str, way: Way) -> None:
        path = ("protocols", name, "settings")
        if way.own.entries and (listing.status in GONE or (way.status or listing.status) in GONE):
            what = "nobody may be led to what is no more."
            self._complaints.mistake(way.own.mark, path, what, "Write it as a fact.")
        if not (way.facts or way.numbers or way.domains):
            self._wrong(("protocols", name), "says nothing.", "Write facts, each with its source.")
        known = fields_of_link(self._specs, name)
        for key, entry in way.own.entries.items():
            here = (*path, key)
            if key in NEVER_LISTED:
                what, remedy = "may not stand in the catalogue.", "Each site writes its own."
                self._complaints.mistake(entry.mark, here, what, remedy)
            elif known and key not in known:
                remedy = self._complaints.meant(key, known)
                self._complaints.mistake(entry.mark, here, f"is no setting of {name}.", remedy)
            elif known:
                self._converter.value(entry, known[key].type, here)

    def _times(self, node: Node, path: Path) -> None:
        """Every date is a day that there is."""
        match node:
            case Items(items=items):
                for n, item in enumerate(items):
                    self._times(item, (*path, f"[{n}]"))
            case Entries(entries=entries):
                for key, entry in entries.items():
                    self._times(entry.node, (*path, key))
            case Scalar(text=text) if path and path[-1] in _DATES and text.lower() != "none":
                try:
                    date.fromisoformat(text + "-01-01"[len(text) - 4 :] if len(text) in (4, 7) else text)
                except ValueError:
                    what = f"{quoted(text)} is no date."
                    self._complaints.mistake(node.mark, path, what, "Write 2026-11-22, or none.")

    def _wrong(self, path: Path, what: str, remedy: str) -> None:
        self._complaints.mistake(place(self._top, path), path, what, remedy)


def converter(complaints: Complaints, specs: Mapping[str, Adapter]) -> Converter:
    """A conversion that can reach no secret: the catalogue has none."""

    def nothing(path: FilePath) -> bytes:
        raise FileNotFoundError(2, "No such file or directory")

    return Converter(complaints, specs, nothing, {}, lambda path: 0o600, __version__)


def fields_of_link(specs: Mapping[str, Adapter], adapter: str) -> dict[str, Field]:
    """The keys of a link of *adapter*: every link's, and its own. Empty if there is no such adapter."""
    if adapter not in specs:
        return {}
    return {field.name: field for field in (*fields_of(LinkSettings), *fields_of(specs[adapter].settings))}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """*key* says *here* in one place and *there* in the other; None: nothing."""

    key: str
    here: str | None
    there: str | None


def overridden(
    name: str, carrier: Carrier, listing: Listing, specs: Mapping[str, Adapter]
) -> list[Difference]:
    """Where *carrier*, called *name*, does not do as *listing* says: *here* is the site's, *there* the
    listing's."""
    found = []
    if listing.device is not None:
        for field in fields_of(type(listing.device)):
            ours, theirs = (getattr(one, field.attribute) for one in (carrier.device, listing.device))
            found.append((f"{name}.device.{field.name}", show(ours, field.type), show(theirs, field.type)))
    for way, link in carrier.links.items():
        listed = listing.protocols.get(link.adapter)  # type: ignore[call-overload]  # any adapter's name
        known = fields_of_link(specs, link.adapter)
        for key, entry in listed.own.entries.items() if listed is not None else ():
            if key in known:
                field = known[key]
                holder = link if hasattr(link, field.attribute) else link.own
                theirs = converter(Complaints(), specs).value(entry, field.type, (key,))
                ours = getattr(holder, field.attribute)
                found.append((f"{name}.links.{way}.{key}", show(ours, field.type), show(theirs, field.type)))
    return [Difference(key=key, here=here, there=there) for key, here, there in found if here != there]


def changed(old: Listing, new: Listing) -> list[Difference]:
    """What *new* (*there*) says otherwise than *old* (*here*)."""
    before, after = (dict(_flat(plain(one), "")) for one in (old, new))
    return [
        Difference(key=key, here=before.get(key), there=after.get(key))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]


def plain(listing: Listing) -> dict[str, Any]:
    """*listing* as it is written: words, lists and mappings; for programs."""
    made: dict[str, Any] = _plain(listing.own)
    for name, way in listing.protocols.items():
        if way.own.entries:
            made["protocols"][name]["settings"] = _plain(way.own)
    return made


def _plain(node: Node) -> Any:
    match node:
        case Scalar(text=text, bare=bare):
            return None if bare and text in ("none", "null", "~", "") else text
        case Items(items=items):
            return [_plain(item) for item in items]
        case Entries(entries=entries):
            return {key: _plain(entry.node) for key, entry in entries.items()}


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """*value* as lines; of a list of facts each is one, by what it says."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from _flat(inner, f"{path}.{key}" if path else key)
        case [dict(), *_]:
            for inner in value:
                name = str(inner.get("number") or inner.get("what"))
                rest = ", ".join(f"{key}: {said or 'none'}" for key, said in inner.items() if said != name)
                yield f"{path}[{name}]", rest
        case list():
            yield path, ", ".join(map(str, value))
        case _:
            yield path, "none" if value is None else str(value)
