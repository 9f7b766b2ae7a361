"""Whom a target means, and by which legs each of them may be reached. Pure.

A target is a person (by name or by code), a group, or ``carrier:address``. The plan of a person for a class
says which devices, in which order; each device brings its carrier's links in file order. Links in
trouble go last: a breaker orders, it never stops the last one (delivery semantics 8.1, 8.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from gateway.errors import Fault
from gateway.model import Leg, LinkName, MessageClass, Trouble
from gateway.settings.patterns import MAX_ADDRESS, matches
from gateway.settings.types import Carrier, Settings


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """How the ways out do at this moment, as far as it matters for their order: links that should be tried
    last and why, and paths that lead nowhere."""

    troubles: Mapping[LinkName, Trouble] = {}
    down: frozenset[str] = frozenset()


ALL_WELL = Outlook()
_WORST_LAST: tuple[Trouble | None, ...] = (None, "failed", "rests", "maintenance", "switched_off")


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """One who is to be reached: a person of the settings, or a bare address (*person* is None).

    *via* says by which target, for "why": ``alice``, or ``heart-team``.
    """

    person: str | None
    carrier: str | None = None
    address: str | None = None
    via: str = ""


class NoSuchTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Why a target cannot be paged, as the fault a caller is told."""

    fault: Fault


def expand(settings: Settings, target: str, pointer: str) -> tuple[Recipient, ...] | NoSuchTarget:
    """The recipients of *target*; groups are opened, nobody is named twice."""
    if target in settings.people:
        return (Recipient(person=target, via=target),)
    if target in settings.groups:
        return tuple(Recipient(person=name, via=target) for name in _members(settings, target))
    if ":" in target:
        return _direct(settings, target, pointer)
    for name, person in settings.people.items():
        if target in person.codes:  # the number that switchboards and nurse-call systems page by
            return (Recipient(person=name, via=target),)
    return NoSuchTarget(fault=unknown_target(target, pointer))


def unknown_target(target: str, pointer: str) -> Fault:
    """The fault for a target that does not exist, or that this client may not page: the same words."""
    return Fault(
        pointer=pointer,
        code="unknown-target",
        detail=f"'{_shown(target)}' is not a target that you may page",
        given=_shown(target),
    )


def _members(settings: Settings, group: str) -> tuple[str, ...]:
    """The people of a group, nested groups opened, in file order, each once."""
    found: dict[str, None] = {}
    seen: set[str] = set()

    def walk(name: str) -> None:
        for member in settings.groups[name]:
            if member in settings.people:
                found[member] = None
            elif member in settings.groups and member not in seen:
                seen.add(member)
                walk(member)

    walk(group)
    return tuple(found)


def _direct(settings: Settings, target: str, pointer: str) -> tuple[Recipient, ...] | NoSuchTarget:
    name, _, address = target.partition(":")
    carrier = settings.carriers.get(name)
    if carrier is None:
        return NoSuchTarget(fault=unknown_target(target, pointer))
    fault = address_fault(carrier, address, pointer)
    if fault is not None:
        return NoSuchTarget(fault=fault)
    return (Recipient(person=None, carrier=name, address=address, via=target),)


def address_fault(carrier: Carrier, address: str, pointer: str) -> Fault | None:
    """What is wrong with an address at *carrier*, or None. ASCII, no controls, the carrier's pattern."""

    def fault(code: str, detail: str) -> Fault:
        return Fault(pointer=pointer, code=code, detail=detail, given=_shown(address))

    if not address:
        return fault("address.empty", "the address after the colon is empty")
    if len(address) > MAX_ADDRESS:
        return fault("address.too_long", f"an address has at most {MAX_ADDRESS} characters")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in address):
        return fault("address.control_char", "an address cannot contain control characters")
    if not address.isascii():
        return fault("address.not_ascii", "an address is written in ASCII digits and letters")
    pattern = carrier.device.pattern
    if pattern is not None and not matches(pattern, address):
        return fault("address.pattern", f"an address of this carrier matches {pattern}")
    return None


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:80])


def legs(
    settings: Settings,
    recipients: tuple[Recipient, ...],
    message_class: MessageClass,
    outlook: Outlook = ALL_WELL,
) -> tuple[Leg, ...]:
    """The plan: the legs of all recipients, a track each, in order of trying."""
    return tuple(
        leg
        for track, recipient in enumerate(recipients)
        for leg in _track(settings, track, recipient, message_class, outlook.troubles)
    )


def _track(
    settings: Settings,
    track: int,
    recipient: Recipient,
    message_class: MessageClass,
    troubles: Mapping[LinkName, Trouble],
) -> Iterator[Leg]:
    if recipient.person is None:
        assert recipient.carrier is not None
        assert recipient.address is not None
        yield from _chain(
            settings, Place(track, 0, 0), None, None, recipient.carrier, recipient.address, troubles
        )
        return
    person = settings.people[recipient.person]
    for item, names in enumerate(settings.items_of(person, message_class)):
        for chain, name in enumerate(names):
            carrier, _, at = person.devices[name].partition(":")
            yield from _chain(
                settings, Place(track, item, chain), recipient.person, name, carrier, at, troubles
            )


class Place(msgspec.Struct, frozen=True):
    """Where in a plan a chain stands."""

    track: int
    item: int
    chain: int


def _chain(
    settings: Settings,
    place: Place,
    person: str | None,
    device: str | None,
    carrier: str,
    address: str,
    troubles: Mapping[LinkName, Trouble],
) -> Iterator[Leg]:
    links = settings.carriers[carrier].links
    names = [(LinkName(f"{carrier}.{link}"), found) for link, found in links.items()]
    names.sort(key=lambda pair: _WORST_LAST.index(troubles.get(pair[0])))  # stable: file order among equals
    for position, (link, found) in enumerate(names):
        yield Leg(
            track=place.track,
            item=place.item,
            chain=place.chain,
            place=position,
            person=person,
            device=device,
            address=address,
            link=link,
            path=found.path,
            trouble=troubles.get(link),
        )
