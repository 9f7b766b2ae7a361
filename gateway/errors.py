"""Whose mistake it was decides what it is.

An operator's mistake stops the start (SettingsError, exit 78); a caller's mistake gets an answer
(SubmissionError); a carrier's answer is a value (outcome.py) and never an exception; trouble of the disk
stops the daemon (StoreFailed, exit 74). Everything else is our bug.
"""

from __future__ import annotations

import msgspec


class GatewayError(Exception):
    """Base of all errors that the gateway raises on purpose."""


class ImpossibleMove(GatewayError):
    """A change of state that lifecycle.LIFE does not know: our bug, never a peer's."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with what a caller sent.

    *pointer* is a JSON pointer fragment (``#/to/0``), *code* stable and documented, *given* what was sent
    (never a secret; cut to 80 characters, controls escaped), *try_* what this caller might have meant.
    """

    pointer: str
    code: str
    detail: str
    given: str | None = None
    try_: tuple[str, ...] = msgspec.field(default=(), name="try")


class SubmissionError(GatewayError):
    """The caller's request cannot be served; nothing was stored.

    *status* is the HTTP status the native API answers with; doors of other protocols translate *code* by
    the table of delivery semantics 10.3. *retry_after* in seconds where trying again may help.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        faults: tuple[Fault, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.faults = faults
        self.retry_after = retry_after


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake of a settings file: where it stands, what is wrong, what to write instead."""

    file: str
    line: int
    column: int
    path: str
    what: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        return f"{where}: {self.path}: {self.what} {self.remedy}".rstrip()


class SettingsError(GatewayError):
    """The settings cannot be used; *mistakes* lists every one that was found (exit 78)."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class StoreFailed(GatewayError):
    """The disk or the database failed: nothing was promised, nothing more may be (exit 74)."""


class StoreRefused(GatewayError):
    """The store may not be opened as it is: in use, too new, gone back in time, unsafe. Says what to do.

    *exit_code* is what the program ends with (sysexits.h): 78 settings or versions, 75 in use, 74 disk.
    """

    def __init__(self, what: str, exit_code: int = 78) -> None:
        super().__init__(what)
        self.exit_code = exit_code


class StoreFull(GatewayError):
    """Less than ``durability.min_free`` is left on the disk: nothing new is accepted."""


class Conflict(GatewayError):
    """What was asked does not fit what is on record any more (a stale version, an ended message)."""
