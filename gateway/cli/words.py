"""The words that people read, for the API's tokens. Never: level, delivery, attempt, link state, client."""

from __future__ import annotations

from typing import Any

LEVELS = ("stored", "handed_over", "in_progress", "on_device", "read", "acknowledged")

_RUNGS = {
    "stored": "saved",
    "handed_over": "carrier has it",
    "in_progress": "on its way",
    "on_device": "on the mobile",
    "read": "opened",
    "acknowledged": "accepted",
}

_OPEN = {
    "stored": "Saved, not sent yet",
    "handed_over": "Carrier has it",
    "in_progress": "On its way",
    "on_device": "On the mobile",
    "read": "Opened",
    "acknowledged": "Accepted",
}

_ENDED = {
    "confirmed": "Done",
    "unanswered": "NOBODY HAS ACCEPTED",
    "failed": "Could not be sent",
    "expired": "Too late, not sent",
    "cancelled": "Stopped",
}

_COPIES = {
    "waiting": "Saved, not sent yet",
    "kept_quiet": "Kept for quiet hours",
    "paused": "Paused",
    "begun": "Sending",
    "doubt": "Not sure it went",
    "needs_decision": "Your decision",
    "failed": "Pager did not take it",
    "expired": "Too late, not sent",
    "cancelled": "Not needed",
}

_WAYS_OUT = {
    "working": "Working",
    "idle": "Ready",
    "resting": "Resting",
    "maintenance": "In maintenance",
    "suspended": "Switched off",
    "draining": "Finishing",
    "down": "Not reachable",
}


_LINES = {"ready": "Ready", "in_use": "In use", "failing": "Failing"}


def rung(level: str, device: str | None = None) -> str:
    """One rung of the ladder: ``carrier has it``; *device* is the kind it arrived on."""
    if level == "on_device" and device:
        return f"on the {device}"
    return _RUNGS.get(level, level)


def standing(message: dict[str, Any]) -> str:
    """How a message stands, in two or three words."""
    outcome, level = str(message["outcome"]), str(message["level"])
    if message["outcome"] is not None and outcome != "confirmed":
        return _ENDED.get(outcome, outcome)
    if message["accepted_by"]:
        return f"{message['accepted_by']} has it"
    return _ENDED["confirmed"] if message["outcome"] is not None else _OPEN.get(level, level)


def copy_standing(delivery: dict[str, Any]) -> str:
    """How one copy (to one pager, mobile or mailbox) stands."""
    state, level = str(delivery["state"]), str(delivery["level"])
    if state != "taken":
        return _COPIES.get(state, state)
    if delivery["setback"]:
        return "Pager did not take it"
    if level == "on_device" and delivery["device"]:
        return f"On the {delivery['device']}"
    return _OPEN.get(level, level) if level != "stored" else "Probably sent"


def way_out(state: str) -> str:
    """How a way out does."""
    return _WAYS_OUT.get(state, state)


def line(state: str) -> str:
    """How a modem line does."""
    return _LINES.get(state, state)


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 page``, ``3 pages``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
