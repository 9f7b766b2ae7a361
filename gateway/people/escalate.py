"""The ladder: the next move of an incident. Pure; ``PursuitRoom.advance`` records it.

Here are the moves that direct targets need: open the next leg, stop copies that are no longer wanted, wait,
end. A target without an escalation is one step whose people all count: its timer starts with the step, and
somebody who was reached late still has the whole step to answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from gateway.lifecycle import FINAL, State
from gateway.model import DeliveryKey, Instant, Leg, MessageClass, later
from gateway.outcome import Level
from gateway.route import ALL_WELL, Outlook
from gateway.settings.types import ClassSettings
from gateway.store.base import Advance, Ending, Facts, LegFacts, NewDelivery


def open_leg(
    plan: tuple[Leg, ...],
    index: int,
    message_class: MessageClass,
    of_class: ClassSettings,
    now: Instant,
    expires: Instant | None,
    *,
    due: Instant | None = None,
    copies_before: int = 0,
    why: dict[str, Any] | None = None,
) -> NewDelivery:
    """Leg *index* of a plan as a delivery: due at once (or at *due*), bounded by its class and the client."""
    leg = plan[index]
    start = due if due is not None else now
    deadline = later(start, of_class.deadline)
    return NewDelivery(
        leg=index,
        person=leg.person,
        device=leg.device,
        address=leg.address,
        link=leg.link,
        message_class=message_class,
        due=start,
        deadline=deadline if expires is None else min(deadline, expires),
        last=not any(
            other.track == leg.track and (other.item, other.chain, other.place) > _order(leg)
            for other in plan
            if other.chain == leg.chain or other.item > leg.item
        ),
        copies_before=copies_before,
        why=why or {},
    )


def first_legs(
    plan: tuple[Leg, ...], message_class: MessageClass = MessageClass.NORMAL, outlook: Outlook = ALL_WELL
) -> tuple[int, ...]:
    """The legs that a plan opens at once: of each track the first link of each device of its first item.

    What leads over a path that is down is left out for critical and urgent, where a track has another way.
    """
    down = outlook.down if message_class.pressing else frozenset()
    led = {leg.track for leg in plan if leg.path not in down}
    first: dict[tuple[int, int], int] = {}
    items: dict[int, int] = {}
    for n, leg in enumerate(plan):
        if leg.track in led and leg.path in down:
            continue
        if items.setdefault(leg.track, leg.item) == leg.item:
            first.setdefault((leg.track, leg.chain), n)
    return tuple(sorted(first.values()))


def next_move(
    classes: dict[MessageClass, ClassSettings], facts: Facts, now: Instant, outlook: Outlook = ALL_WELL
) -> Advance:
    """What to do for *facts* at *now*: legs to open, copies to stop, an ending, or when to look again.

    While an incident is muted nothing is opened and nobody's time is up; but it ends when somebody has it,
    when what was asked for is reached, and when the client's own deadline is over.
    """
    of_class = classes[facts.message_class]
    numbers = sorted({leg.track for leg in facts.plan})
    tracks = [_Track(facts, of_class, number, now, outlook) for number in numbers]
    if facts.accepted_by is not None or all(track.reached for track in tracks):
        return _end(facts, now, "confirmed", _open_of(facts.legs))
    if facts.expires is not None and now >= facts.expires:
        return _end(facts, now, _ending(facts, expired=True), _open_of(facts.legs))
    stop = [key for track in tracks for key in track.unwanted()]
    if facts.muted_until is not None and now < facts.muted_until:
        return _wait(facts, now, stop, [facts.muted_until])
    wanted = [one for track in tracks for one in track.wanted()]
    if wanted:
        return Advance(
            incident=facts.incident,
            version=facts.version,
            at=now,
            open=tuple(_opened(facts, of_class, index, now, why) for index, why in wanted),
            stop=tuple(stop),
            due=later(now, of_class.next_leg_after) if of_class.next_leg_after is not None else None,
        )
    if all(track.spent for track in tracks):
        until = _answer_until(facts, of_class)
        if until is None or now >= until:
            return _end(facts, now, _ending(facts, expired=False), ())
        return _wait(facts, now, stop, [until])
    looks = [look for track in tracks if (look := track.next_look()) is not None]
    return _wait(facts, now, stop, looks)


class _Track:
    """One person, or one direct address: its legs, and what they still need."""

    def __init__(
        self, facts: Facts, of_class: ClassSettings, number: int, now: Instant, outlook: Outlook
    ) -> None:
        self._plan = facts.plan
        self._now = now
        self._hedge = of_class.next_leg_after
        self._critical = facts.message_class is MessageClass.CRITICAL
        self._indices = [n for n, leg in enumerate(facts.plan) if leg.track == number]
        self._latest = {leg.leg: leg for leg in facts.legs}  # by age: a retried leg's newest row counts
        self._legs = [leg for leg in facts.legs if facts.plan[leg.leg].track == number]
        self.reached = any(leg.level >= facts.until and not leg.setback for leg in self._legs)
        self._until = facts.until
        # Round a path that is down, as long as there is a way round that has not failed.
        down = outlook.down if facts.message_class.pressing else frozenset()
        ways = [n for n in self._indices if facts.plan[n].path not in down]
        hopeful = any(n not in self._latest or not _hopeless(self._latest[n]) for n in ways)
        busy = self._carried or any(leg.state is State.BEGUN for leg in self._legs)
        self._down = down if hopeful and not busy else frozenset()
        self._ways = ways if self._down else self._indices

    @property
    def spent(self) -> bool:
        """Nothing more can be opened and nothing that was opened can still be sent."""
        return (
            self.reached
            or (
                all(n in self._latest for n in self._indices)
                and all(leg.state in FINAL for leg in self._legs)
            )
            or (self._carried and all(leg.state in FINAL for leg in self._legs))
        )

    @property
    def _carried(self) -> bool:
        """A carrier took it and has not taken it back."""
        return any(leg.state is State.TAKEN and not leg.setback for leg in self._legs)

    def wanted(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Indices of legs to open now, and why: the next link of each device that got nowhere, or the next
        item. Items of which something was opened already come first: others were passed over. Nothing while
        an operator keeps it back."""
        if self.reached or any(leg.state is State.WAITING and leg.due is None for leg in self._legs):
            return
        opened = {self._plan[n].item for n in self._latest if n in self._indices}
        before: LegFacts | None = None
        for item in sorted({self._plan[n].item for n in self._ways}, key=lambda i: (i not in opened, i)):
            chains = self._chains(item)
            tried = [[self._latest[n] for n in chain if n in self._latest] for chain in chains]
            if not any(tried):
                for chain in chains:  # the item before got nowhere
                    yield chain[0], self._why(before or self._newest(self._legs))
                return
            exhausted = True
            following: list[tuple[int, dict[str, Any]]] = []
            for chain, legs in zip(chains, tried, strict=True):
                newest = self._newest(legs)
                if newest is None:  # passed over while its path was down
                    continue
                before = newest
                if not self._stuck(legs, newest):
                    exhausted = False
                elif len(legs) < len(chain):
                    exhausted = False
                    following.append(self._next_of(chain, newest))
            if exhausted and not all(tried):
                exhausted = False
                skipped = [chain for chain, legs in zip(chains, tried, strict=True) if not legs]
                following += [(chain[0], self._why(before)) for chain in skipped]
            if following:
                yield from following
            if not exhausted:
                return

    def unwanted(self) -> Iterator[DeliveryKey]:
        """Copies to stop: a device's other links once one carrier took it; everything once reached."""
        for leg in self._legs:
            if leg.state in FINAL or leg.state is State.BEGUN:
                continue
            if self.reached or any(
                other.state is State.TAKEN and not other.setback and self._same_device(other, leg)
                for other in self._legs
            ):
                yield leg.delivery

    def next_look(self) -> Instant | None:
        """When a leg that still waits will have waited long enough; None if nothing hangs on time."""
        if self._hedge is None or self.reached:
            return None
        looks = [
            at
            for leg in self._legs
            if leg.state in (State.WAITING, State.BEGUN)
            and (at := later(leg.opened_at, self._hedge)) > self._now
        ]
        return min(looks, default=None)

    def _chains(self, item: int) -> list[list[int]]:
        """The legs of an item by device, each in order of links."""
        mine = [n for n in self._ways if self._plan[n].item == item]
        numbers = sorted({self._plan[n].chain for n in mine})
        return [[n for n in mine if self._plan[n].chain == number] for number in numbers]

    def _stuck(self, opened: list[LegFacts], newest: LegFacts) -> bool:
        """Whether a device needs another way: its newest leg failed, is in doubt, or waits too long."""
        if any(leg.state is State.TAKEN and not leg.setback for leg in opened):
            return False
        if newest.state in (State.WAITING, State.BEGUN):
            return self._waited(newest) or (newest.state is State.WAITING and newest.failures > 0)
        return True

    def _waited(self, leg: LegFacts) -> bool:
        return self._hedge is not None and self._now >= later(leg.opened_at, self._hedge)

    def _newest(self, legs: list[LegFacts]) -> LegFacts | None:
        return max(legs, key=lambda leg: (leg.opened_at, leg.delivery), default=None)

    def _next_of(self, chain: list[int], newest: LegFacts) -> tuple[int, dict[str, Any]]:
        """The next link of a device, and why; for critical, after one that could not be reached, the first
        on another path, if there is one (delivery semantics 8.1)."""
        unopened = [n for n in chain if n not in self._latest]
        path = self._plan[newest.leg].path
        other = [n for n in unopened if self._plan[n].path != path]
        if self._critical and newest.connects and newest.code not in _NOT_TRIED and other:
            return other[0], self._why(newest) | ({} if other[0] == unopened[0] else {"path": path})
        return unopened[0], self._why(newest)

    def _why(self, before: LegFacts | None) -> dict[str, Any]:
        """Data of the event: why the leg after *before* is opened."""
        if before is None:
            return {}
        after = {"after": before.link}
        down = self._plan[before.leg].path
        if down in self._down:
            return after | {"why": "path_down", "path": down}
        match before.state:
            case State.TAKEN:
                return after | {"why": "setback"}
            case State.DOUBT | State.HELD:
                return after | {"why": "doubt"}
            case State.FAILED:
                return after | {"why": "refused"}
            case State.EXPIRED:
                return after | {"why": "expired"}
            case State.CANCELLED:
                return after | {"why": before.reason or "cancelled"}
            case State.WAITING if before.code in _NOT_TRIED and before.failures:
                return after | {"why": _NOT_TRIED[before.code]}
            case State.WAITING if before.failures:
                return after | {"why": "not_reached" if before.failures == before.connects else "later"}
            case _:
                return after | {"why": "waited", "waited": self._hedge}

    def _same_device(self, one: LegFacts, other: LegFacts) -> bool:
        a, b = self._plan[one.leg], self._plan[other.leg]
        return (a.item, a.chain) == (b.item, b.chain)


_NOT_TRIED: dict[str | None, str] = {
    "maintenance": "maintenance",
    "suspended": "switched_off",
    "draining": "switched_off",
}
"""Codes of misses in which nobody tried to reach the carrier."""


def _hopeless(leg: LegFacts) -> bool:
    """Whether nothing comes of it, as far as one can tell now."""
    if leg.state in FINAL:
        return leg.state is not State.TAKEN or leg.setback
    return leg.state is State.WAITING and leg.failures > 0


def _order(leg: Leg) -> tuple[int, int, int]:
    return leg.item, leg.chain, leg.place


def _opened(
    facts: Facts, of_class: ClassSettings, index: int, now: Instant, why: dict[str, Any]
) -> NewDelivery:
    leg = facts.plan[index]
    copies = sum(
        max(
            max(other.doubts, other.possibly_sent) + (other.state in (State.BEGUN, State.TAKEN)), other.partly
        )
        for other in facts.legs
        if facts.plan[other.leg].track == leg.track
    )
    return open_leg(
        facts.plan,
        index,
        facts.message_class,
        of_class,
        now,
        facts.expires,
        copies_before=copies,
        why=why,
    )


def _answer_until(facts: Facts, of_class: ClassSettings) -> Instant | None:
    """How long the level that was asked for may still come; None if it cannot."""
    taken = [leg for leg in facts.legs if leg.state is State.TAKEN]
    if not taken or facts.until <= Level.HANDED_OVER:
        return None
    start = max([facts.step_started, *(leg.concluded_at or leg.opened_at for leg in taken)])
    wait = of_class.step_wait if facts.until is Level.ACKNOWLEDGED else None
    end = later(start, wait if wait is not None else of_class.deadline)
    return end if facts.expires is None else min(end, facts.expires)


def _ending(facts: Facts, *, expired: bool) -> Ending:
    """The outcome of an incident that did not get as far as was asked."""
    states = {leg.state for leg in facts.legs}
    reached_somebody = any(leg.state is State.TAKEN and not leg.setback for leg in facts.legs)
    if reached_somebody and facts.until > Level.HANDED_OVER:
        return "unanswered"
    if expired or State.EXPIRED in states:
        return "expired"
    if states == {State.CANCELLED}:
        return "cancelled"
    return "failed"


def _open_of(legs: Iterable[LegFacts]) -> tuple[DeliveryKey, ...]:
    return tuple(leg.delivery for leg in legs if leg.state not in FINAL and leg.state is not State.BEGUN)


def _end(facts: Facts, now: Instant, ending: Ending, stop: tuple[DeliveryKey, ...]) -> Advance:
    return Advance(
        incident=facts.incident, version=facts.version, at=now, stop=stop, ending=ending, why=ending
    )


def _wait(facts: Facts, now: Instant, stop: list[DeliveryKey], looks: list[Instant]) -> Advance:
    if facts.expires is not None:
        looks = [*looks, facts.expires]
    if stop:  # then there may be nothing left but to wait for an answer: look again with them stopped
        looks = [*looks, now]
    return Advance(
        incident=facts.incident,
        version=facts.version,
        at=now,
        stop=tuple(stop),
        due=min(looks, default=None),
    )


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What will happen next if nothing else does; for people ("Bob is paged in 48 s")."""

    at: Instant | None
    opens: tuple[Leg, ...] = ()
    ends: Ending | None = None


def foresee(classes: dict[MessageClass, ClassSettings], facts: Facts, now: Instant) -> Pending:
    """The next move as it would be made at the next look."""
    look = next_move(classes, facts, now).due
    if look is None:
        return Pending(at=None)
    then = next_move(classes, facts, max(look, now))
    return Pending(at=look, opens=tuple(facts.plan[new.leg] for new in then.open), ends=then.ending)
