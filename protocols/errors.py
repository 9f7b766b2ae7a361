"""Mistakes of our own side; what the other side does wrong is a value, never an exception."""


class InvalidValue(ValueError):
    """A value that the protocol cannot carry. Names *field*, *reason* and, if there is one, *limit*."""

    def __init__(self, field: str, reason: str, limit: int | None = None) -> None:
        super().__init__(f"{field} {reason}" + (f" (limit {limit})" if limit is not None else ""))
        self.field, self.reason, self.limit = field, reason, limit


class LocalProtocolError(Exception):
    """We may not say that now: the caller's mistake."""
