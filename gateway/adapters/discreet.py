"""What a carrier says, without what we told it: servers quote what they refuse, and neither texts nor secrets
may reach a log or an outcome."""

from __future__ import annotations

TEXT = 8  # characters of a text that a carrier's words may not repeat: shorter ones are chance
SECRET = 4  # the same, of a password


def without(why: str, private: str, repeated: int) -> str:
    """*why* with … for what it repeats of *private*, *repeated* characters or more."""
    size = max(SECRET, min(repeated, len(private)))
    private = f"{private}\0{' '.join(private.split())}"  # they quote lines as one
    kept, at = "", 0
    while (end := at + size) <= len(why):
        if why[at:end] not in private:
            kept, at = kept + why[at], at + 1
            continue
        while end < len(why) and why[at : end + 1] in private:
            end += 1
        kept, at = kept + "…", end
    return kept + why[at:]
