"""The life of a delivery, as one table: delivery semantics 3.

A state or an arrow that is not in ``LIFE`` cannot be reached: both stores check every change of state
against it, and ``docs/reference/states.md`` is printed from it.
"""

from __future__ import annotations

import enum

from gateway.errors import ImpossibleMove


class State(enum.IntEnum):
    """Where a delivery is. The numbers are what the store keeps."""

    WAITING = 0
    BEGUN = 1
    DOUBT = 2
    HELD = 3
    TAKEN = 4
    FAILED = 5
    EXPIRED = 6
    CANCELLED = 7

    @property
    def token(self) -> str:
        """The word of the API. ``held`` is shown as ``needs_decision``: it waits for a person."""
        return "needs_decision" if self is State.HELD else self.name.lower()


DOUBTS_PER_LINK = 2  # of one delivery; then a person decides (delivery semantics 6)
DOUBTS_PER_CHAIN = 4  # of all legs to one person; then nothing is sent again

FINAL = frozenset({State.TAKEN, State.FAILED, State.EXPIRED, State.CANCELLED})
OPEN = frozenset(State) - FINAL


class Happening(enum.Enum):
    """What can happen to a delivery; the text is for the docs."""

    BEGIN = "begin: lane lease valid, now < deadline, not cancelled (T2)"
    NOT_SENT = "NotSent: connect, login, busy, session ended"
    KEPT = "kept for quiet hours, paused by an operator, or released again"
    DEADLINE = "deadline"
    QUARANTINED = "checksum wrong, or broke an adapter three times"
    CANCELLED = "cancelled, acknowledged elsewhere, or no longer needed"
    TAKEN = "Taken"
    REFUSED = "Refused about page or address"
    REFUSED_LINK = "Refused about the link: link suspended, operator told"
    LATER = "Later"
    LATER_TOO_OFTEN = "Later, at max_tries"
    IN_DOUBT = "InDoubt; or found begun by recovery or by a new owner of the lane"
    RESEND = "doubt is due, policy resend"
    ASSUME = "doubt is due, policy assume"
    HOLD = "doubt is due, policy hold, or a cap on doubts was reached"
    LATE_PROOF = "late proof"
    DECIDED_AGAIN = "a person decides: send again"
    DECIDED_LEAVE = "a person decides: leave it"


LIFE: dict[tuple[State, Happening], State] = {
    (State.WAITING, Happening.BEGIN): State.BEGUN,
    (State.WAITING, Happening.NOT_SENT): State.WAITING,
    (State.WAITING, Happening.KEPT): State.WAITING,
    (State.WAITING, Happening.DEADLINE): State.EXPIRED,
    (State.WAITING, Happening.QUARANTINED): State.FAILED,
    (State.WAITING, Happening.CANCELLED): State.CANCELLED,
    (State.WAITING, Happening.LATE_PROOF): State.TAKEN,  # only with dup_risk: it was in doubt before
    (State.BEGUN, Happening.TAKEN): State.TAKEN,
    (State.BEGUN, Happening.REFUSED): State.FAILED,
    (State.BEGUN, Happening.REFUSED_LINK): State.WAITING,
    (State.BEGUN, Happening.NOT_SENT): State.WAITING,
    (State.BEGUN, Happening.LATER): State.WAITING,
    (State.BEGUN, Happening.LATER_TOO_OFTEN): State.FAILED,
    (State.BEGUN, Happening.IN_DOUBT): State.DOUBT,
    (State.DOUBT, Happening.RESEND): State.WAITING,
    (State.DOUBT, Happening.ASSUME): State.TAKEN,
    (State.DOUBT, Happening.HOLD): State.HELD,
    (State.DOUBT, Happening.LATE_PROOF): State.TAKEN,
    (State.DOUBT, Happening.DEADLINE): State.EXPIRED,
    (State.DOUBT, Happening.QUARANTINED): State.FAILED,
    (State.DOUBT, Happening.CANCELLED): State.CANCELLED,
    (State.HELD, Happening.LATE_PROOF): State.TAKEN,
    (State.HELD, Happening.DECIDED_AGAIN): State.WAITING,
    (State.HELD, Happening.DECIDED_LEAVE): State.FAILED,
    (State.HELD, Happening.DEADLINE): State.EXPIRED,
    (State.HELD, Happening.QUARANTINED): State.FAILED,
    (State.HELD, Happening.CANCELLED): State.CANCELLED,
}


def after(state: State, happening: Happening) -> State:
    """The state that follows; raises ImpossibleMove for an arrow that is not in the table."""
    try:
        return LIFE[state, happening]
    except KeyError:
        raise ImpossibleMove(f"{happening.name} cannot happen to a delivery that is {state.name}") from None


def states_before(happening: Happening) -> tuple[State, ...]:
    """The states in which *happening* is possible, in their order."""
    return tuple(state for state in State if (state, happening) in LIFE)


def as_table() -> str:
    """The table of the docs page, as Markdown."""
    rows = ["| from | event | to |", "|---|---|---|", "| – | leg opened | `waiting` |"]
    rows += [
        f"| `{start.name.lower()}` | {happening.value} | `{end.name.lower()}` |"
        for (start, happening), end in LIFE.items()
    ]
    return "\n".join(rows) + "\n"
