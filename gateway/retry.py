"""What follows an outcome. Pure: ``decide`` says, ``Work.conclude`` records."""

from __future__ import annotations

from typing import assert_never

import msgspec

from gateway.lifecycle import DOUBTS_PER_CHAIN, DOUBTS_PER_LINK, Happening
from gateway.model import Instant, MessageClass, later
from gateway.outcome import About, InDoubt, Later, Level, NotSent, Outcome, Refused, Taken
from gateway.settings.types import ClassSettings, LinkSettings
from gateway.store.base import Begun, Verdict

BREAKS_PER_PAGE = 3  # a page that breaks its adapter so often is quarantined (delivery semantics 3)
RETRY_SPACING = 1.0  # seconds: at most one retry a second and person for critical and urgent (8.3)
BROKE = "adapter-broke"  # our own bug met while the page was being sent: nobody knows what left
OVERDUE = "overdue"  # an attempt without an end, which is our bug, too


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings of a class and of a link say about trying again."""

    waits: tuple[float, ...]
    next_leg_after: float | None
    in_doubt: str
    resend_after: float
    max_tries: int | None
    costly: bool


def policy_for(of_class: ClassSettings, link: LinkSettings) -> Policy:
    """The two sets of settings in one value."""
    return Policy(
        waits=of_class.waits,
        next_leg_after=of_class.next_leg_after,
        in_doubt=of_class.in_doubt,
        resend_after=of_class.resend_after,
        max_tries=link.max_tries,
        costly=link.costly,
    )


def wait_after(waits: tuple[float, ...], concluded: int, chance: float) -> float:
    """Seconds to wait after concluded try number *concluded* (from 1).

    The last wait repeats; each but the first varies by ±20 % with *chance* in [0, 1).
    """
    position = max(0, concluded - 1)
    wait = waits[min(position, len(waits) - 1)]
    return wait if position == 0 else wait * (0.8 + 0.4 * chance)


def decide(outcome: Outcome, begun: Begun, policy: Policy, now: Instant, chance: float) -> Verdict:
    """The arrow of the life cycle that *outcome* takes (delivery semantics 3, 5, 6, 8).

    *chance* in [0, 1) spreads the waits; *begun* counts what was concluded before this attempt.
    """
    concluded = begun.tries + begun.connects + begun.doubts + 1
    again = max(later(now, wait_after(policy.waits, concluded, chance)), later(begun.begun_at, RETRY_SPACING))
    match outcome:
        case Taken(level=level):
            return Verdict(happening=Happening.TAKEN, tries=1, level=max(level, Level.HANDED_OVER))
        case Refused(about=About.LINK, code=code):
            return Verdict(
                happening=Happening.REFUSED_LINK, due=again, tries=1, reason=f"link refused: {code}"
            )
        case Refused(code=code):
            return Verdict(happening=Happening.REFUSED, tries=1, reason=f"refused: {code}")
        case Later(not_before=not_before):
            if policy.max_tries is not None and begun.tries + 1 >= policy.max_tries:
                return Verdict(happening=Happening.LATER_TOO_OFTEN, tries=1, reason="max_tries")
            return Verdict(happening=Happening.LATER, due=max(again, not_before or again), tries=1)
        case NotSent(again=True):
            return Verdict(happening=Happening.NOT_SENT, due=max(now, later(begun.begun_at, RETRY_SPACING)))
        case NotSent():
            return Verdict(happening=Happening.NOT_SENT, due=again, connects=1)
        case InDoubt(code=code) if code == BROKE:
            broken = begun.doubts + 1 >= BREAKS_PER_PAGE
            return Verdict(
                happening=Happening.IN_DOUBT,
                due=now if broken else again,
                then="quarantine" if broken else "resend",
                doubts=1,
                reason=BROKE,
            )
        case InDoubt():
            return _settle_doubt(begun, policy, now, chance)
        case _:
            assert_never(outcome)


def _settle_doubt(begun: Begun, policy: Policy, now: Instant, chance: float) -> Verdict:
    """How a doubt goes on: ask a person, assume, or send again, later or on the next leg first."""
    doubts = begun.doubts + 1
    capped = doubts >= DOUBTS_PER_LINK or begun.copies_before + doubts >= DOUBTS_PER_CHAIN
    if policy.costly or policy.in_doubt == "hold" or capped:
        return Verdict(happening=Happening.IN_DOUBT, due=now, then="hold", doubts=1)
    if policy.in_doubt == "assume":
        return Verdict(
            happening=Happening.IN_DOUBT, due=later(now, policy.resend_after), then="assume", doubts=1
        )
    if policy.in_doubt == "resend_after":
        wait = policy.resend_after
    elif begun.last:
        wait = wait_after(policy.waits, doubts, chance)
    else:
        wait = policy.next_leg_after or policy.resend_after  # the next leg has its chance first
    return Verdict(happening=Happening.IN_DOUBT, due=later(now, wait), then="resend", doubts=1)


def connect_waits(
    classes: dict[MessageClass, ClassSettings], chance: float
) -> dict[MessageClass, tuple[float, ...]]:
    """Per class, how long deliveries wait after their first, second, … failed connect."""
    return {
        which: tuple(wait_after(of_class.waits, n + 1, chance) for n in range(len(of_class.waits)))
        for which, of_class in classes.items()
    }
