"""What a target would mean: the plan, for people, without sending anything."""

from __future__ import annotations

from gateway.api.ports import PlannedLeg
from gateway.errors import SubmissionError
from gateway.model import Instant, Leg, MessageClass, Trouble, later
from gateway.route import ALL_WELL, NoSuchTarget, Outlook, expand, legs
from gateway.settings.types import Settings


def explain(
    settings: Settings,
    target: str,
    message_class: MessageClass,
    at: Instant,
    outlook: Outlook = ALL_WELL,
) -> tuple[PlannedLeg, ...]:
    """The legs of *target* in the order in which they would be opened, each with when and why.

    The times are those at which a leg opens if the ones before it still wait.
    """
    found = expand(settings, target, "#/target")
    if isinstance(found, NoSuchTarget):
        raise SubmissionError(422, found.fault.code, found.fault.detail, faults=(found.fault,))
    hedge = settings.classes[message_class].next_leg_after
    planned: list[PlannedLeg] = []
    steps: dict[tuple[int, int], int] = {}
    for leg in legs(settings, found, message_class, outlook):
        step = _step(steps, leg)
        planned.append(
            PlannedLeg(
                at=later(at, (hedge or 0.0) * step),
                person=leg.person,
                device=leg.device,
                address=leg.address,
                link=leg.link,
                why=_why(leg, step, hedge),
            )
        )
    return tuple(sorted(planned, key=lambda one: one.at))


def _step(steps: dict[tuple[int, int], int], leg: Leg) -> int:
    """How many openings come before this leg's, if nothing goes through."""
    before = max(
        (n for (track, item), n in steps.items() if track == leg.track and item < leg.item), default=-1
    )
    step = before + 1 + leg.place
    key = (leg.track, leg.item)
    steps[key] = max(steps.get(key, 0), step)
    return step


def _why(leg: Leg, step: int, hedge: float | None) -> str:
    trouble = "" if leg.trouble is None else f"; {_TROUBLES[leg.trouble]}"
    return _place(leg, step, hedge) + trouble


_TROUBLES: dict[Trouble, str] = {
    "failed": "it failed moments ago",
    "rests": "it rests after failures",
    "maintenance": "it is in maintenance",
    "switched_off": "it is switched off",
}


def _place(leg: Leg, step: int, hedge: float | None) -> str:
    if step == 0:
        return "first in the plan for this class"
    wait = "on failure" if hedge is None else f"on failure, or after {hedge:g} s without progress"
    return f"{'next link of this device' if leg.place else 'next in the plan'}, {wait}"
