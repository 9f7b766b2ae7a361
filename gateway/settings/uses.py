"""What the catalogue has to say about the settings: listings that carriers use, and mail domains.

New use of what is no more is a mistake; what a gateway runs with already is a warning, whatever the
catalogue learnt since (docs/decisions/0014-catalogue.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

from gateway.model import Instant, rfc3339
from gateway.settings.catalogue import GONE, Catalogue, Listing
from gateway.settings.complaints import Complaints, Path, quoted
from gateway.settings.document import Entries, place
from gateway.settings.kinds import Unfit, host_and_port
from gateway.settings.types import Carrier, Settings

InUse = Callable[[Settings, str], bool]
"""Whether an address or an endpoint was in use before these settings were read."""


def never_used(settings: Settings, what: str) -> bool:
    return False


def mail_uses(settings: Settings) -> Iterator[tuple[Path, str, str]]:
    """Where a mail domain is used, as written, and the domain in lower case: ways in that speak SMTP, and
    addresses of carriers that have one."""
    by_mail = {
        name for name, c in settings.carriers.items() if any(x.adapter == "smtp" for x in c.links.values())
    }
    for name in by_mail:
        for way, link in settings.carriers[name].links.items():
            at = getattr(link.own, "at", None)
            if link.adapter == "smtp" and isinstance(at, str):
                try:
                    yield ("carriers", name, "links", way, "at"), at, host_and_port(at)[0].lower()
                except Unfit:  # said already
                    continue
    written: list[tuple[Path, str]] = [
        (("people", name, "devices", device), address)
        for name, person in settings.people.items()
        for device, address in person.devices.items()
    ]
    written += [
        (("clients", name, "may_page", f"[{n}]"), target)
        for name, client in settings.clients.items()
        for n, target in enumerate(client.may_page)
    ]
    written += [(("watch", "tell", f"[{n}]"), target) for n, target in enumerate(settings.watch.tell)]
    for path, address in written:
        carrier, _, rest = address.partition(":")
        if carrier in by_mail and "@" in rest:
            yield path, address, rest.rpartition("@")[2].lower()


def check_uses(
    settings: Settings,
    top: Entries,
    complaints: Complaints,
    catalogue: Catalogue,
    now: Instant | None,
    in_use: InUse,
) -> None:
    """Complain about what *settings*, read from *top*, use of *catalogue*. With *now* also how many days are
    left of what ends, and what has ended since the catalogue was written counts as dead."""
    check = _Check(top, complaints, catalogue, None if now is None else date.fromisoformat(rfc3339(now)[:10]))
    for name, carrier in settings.carriers.items():
        if carrier.use is not None and complaints.sound("carriers", name, "use"):
            check.use(name, carrier, carrier.use)
    domains = catalogue.domains()
    for path, written, domain in mail_uses(settings) if domains else ():
        listing = next((domains[d] for d in _above(domain.rstrip(".")) if d in domains), None)
        if listing is not None and complaints.sound(*path):
            check.domain(path, written, listing, known=in_use(settings, written))


def _above(domain: str) -> Iterator[str]:
    """*domain* and those that it is in: mail.vtext.com, vtext.com, com."""
    parts = domain.split(".")
    return (".".join(parts[n:]) for n in range(len(parts)))


class _Check:
    def __init__(
        self, top: Entries, complaints: Complaints, catalogue: Catalogue, today: date | None
    ) -> None:
        self._top = top
        self._complaints = complaints
        self._catalogue = catalogue
        self._today = today

    def use(self, name: str, carrier: Carrier, tag: str) -> None:
        path = ("carriers", name, "use")
        listing = self._catalogue.find(tag)
        if listing is None:
            self._unknown(path, tag)
            return
        more = f"gateway carriers show {tag} says more."
        if listing.status in GONE:
            what = f"{tag} is {listing.standing()} ({listing.facts[0].source})."
            self._say(path, what, f"Choose another; {more}", mistake=True)
            return
        if listing.status == "reported":
            what = f"{tag} was reported by others and not verified."
            self._say(path, what, f"Ask the carrier, and gateway probe {name}; {more}")
        if listing.status == "ends":
            self._say(path, f"{tag} {self._ends(listing)} ({listing.facts[0].source}).", more)
        newest = self._catalogue.newest(listing.id)
        if newest is not None and newest.status not in ("live", "reported", listing.status):
            what = f"edition {newest.edition} says that it is {newest.standing()}."
            if newest.status == "ends":
                what = f"edition {newest.edition} says that it {self._ends(newest)}."
            self._say(path, what, f"See gateway carriers diff {listing.id}.")
        for way, link in carrier.links.items():
            listed = listing.protocols.get(link.adapter)  # type: ignore[call-overload]  # any adapter's name
            if listed is not None and listed.status in GONE:
                here = ("carriers", name, "links", way)
                what = f"{tag} knows {link.adapter} as {listed.status}: nothing is taken from it."
                self._say(here, what, "Ask the carrier whether it still answers.")
        if listing.clear_radio and not self._written(("carriers", name, "text")):
            what = f"pages of {listing.name} can be heard by others: they go unencrypted over the air."
            remedy = "Write text: and which of texts they get; default, if nothing in them is secret."
            self._say(("carriers", name), what, remedy)

    def _unknown(self, path: Path, tag: str) -> None:
        name, at, edition = tag.partition("@")
        newest = self._catalogue.newest(name)
        if newest is None:
            what = f"the catalogue has no carrier {quoted(name)}."
            remedy = self._complaints.meant(name, self._catalogue.listings)
            self._say(path, what, remedy or "gateway carriers catalogue lists them.", mistake=True)
        elif not at:
            self._say(path, f"{quoted(tag)} names no edition.", f"Write {newest.tag}.", mistake=True)
        else:
            near = self._complaints.meant(edition, self._catalogue.listings[name])
            what = f"the catalogue has no edition {quoted(edition)} of {name}."
            self._say(path, what, near or f"Write {newest.tag}.", mistake=True)

    def domain(self, path: Path, written: str, listing: Listing, *, known: bool) -> None:
        ended = listing.status == "ends" and self._today is not None and self._left(listing) < 0
        source = listing.facts[0].source
        if listing.status == "dead" or ended:
            since = f"ended on {listing.ends_on}" if ended else f"is {listing.standing()}"
            what = f"{quoted(written)} reaches nobody: {listing.name} {since} ({source})."
            remedy = "Page by another way; mail to this domain may be lost without a bounce."
            self._say(path, what, remedy, mistake=not known)
        elif listing.status == "ends":
            what = f"{quoted(written)}: {listing.name} {self._ends(listing)} ({source})."
            self._say(path, what, "Give another device before.")

    def _left(self, listing: Listing) -> int:
        assert listing.ends_on is not None
        assert self._today is not None
        return (date.fromisoformat(listing.ends_on) - self._today).days

    def _ends(self, listing: Listing) -> str:
        if self._today is None:
            return f"ends on {listing.ends_on}"
        left = self._left(listing)
        if left < 0:
            return f"ended on {listing.ends_on}"
        return f"ends on {listing.ends_on}, in {left} day{'' if left == 1 else 's'}"

    def _written(self, path: Path) -> bool:
        node = self._top
        for part in path:
            if not isinstance(node, Entries) or part not in node.entries:
                return False
            node = node.entries[part].node  # type: ignore[assignment]  # looked at above
        return True

    def _say(self, path: Path, what: str, remedy: str, *, mistake: bool = False) -> None:
        say = self._complaints.mistake if mistake else self._complaints.warning
        say(place(self._top, path, key=len(path) == 2), path, what, remedy)
