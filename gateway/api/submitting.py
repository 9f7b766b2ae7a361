"""A body becomes a Submission: what a client's words mean, and every mistake in them at once.

Looks at syntax, types and characters only. Whether a target exists, may be paged and has a fitting
address, and whether a deadline is within the limits, is for accept.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from urllib.parse import urlsplit

import msgspec

from gateway.adapters.base import Submission
from gateway.api import bodies
from gateway.api.bodies import ItemBody, MessageBody
from gateway.api.problems import KINDS, refusal, shown
from gateway.api.reading import decoded, escaped, read
from gateway.api.times import instant_of
from gateway.errors import Fault, SubmissionError
from gateway.model import Content, Instant, MessageClass, Url
from gateway.outcome import Level
from gateway.settings.kinds import duration
from gateway.settings.types import Limits
from gateway.web import Request

CLASSES = {c.token: c for c in MessageClass}
LEVELS = {level.token: level for level in Level}

# Invisible: they would make two texts look alike or a text read backwards (Unicode UAX 9, UTR 36 2.5).
# The joiners U+200C and U+200D stay: Persian and many emoji need them.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_KEY = re.compile(r"[\x20-\x7e]{1,255}", re.ASCII)


def submission_of(request: Request, limits: Limits, *, dry_run: bool) -> tuple[Submission, int]:
    """The Submission in *request*, and how many invisible characters were left out of its texts.

    Raises SubmissionError 400, 415 or 422 with all mistakes.
    """
    key = idempotency_key(request)
    body = read(request, MessageBody, lambda partial, faults: Words(limits, faults).understand(partial))
    words = Words(limits, [])
    submission = words.understand(body)
    words.settle()
    if key is not None or dry_run:
        submission = msgspec.structs.replace(
            submission,
            idempotency_key=key,
            request_hash=b"" if key is None else request_hash(request),
            dry_run=dry_run,
        )
    return submission, words.left_out


def item_of(request: Request, piece: bytes, limits: Limits) -> tuple[Submission, int]:
    """As ``submission_of``, for one message of a batch: its ``key`` is its Idempotency-Key."""
    body = decoded(piece, ItemBody, lambda partial, faults: Words(limits, faults).understand(partial))
    words = Words(limits, [])
    submission = words.understand(body)
    if _KEY.fullmatch(body.key) is None:
        what = f"key must be 1 to 255 printable ASCII characters; it has {len(body.key)}."
        words.fault("key", "idempotency_key.invalid", what, shown(body.key))
    words.settle()
    piece = piece.strip()
    return msgspec.structs.replace(
        submission, idempotency_key=body.key, request_hash=_hash(request, piece)
    ), words.left_out


def request_hash(request: Request) -> bytes:
    """What tells two requests under one Idempotency-Key apart: method, path and body."""
    return _hash(request, request.body)


def _hash(request: Request, body: bytes) -> bytes:
    return blake2b(
        b"\0".join((request.method.encode(), request.path.encode(), body)), digest_size=16
    ).digest()


def idempotency_key(request: Request) -> str | None:
    """The header of that name, quoted (a structured field, RFC 9651 3.3.3) or bare."""
    value = request.header("idempotency-key")
    if value is None:
        return None
    value = value.strip(" \t")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if _KEY.fullmatch(value) is None:
        fault = Fault(
            pointer="Idempotency-Key",
            code="idempotency_key.invalid",
            detail=f"Idempotency-Key must be 1 to 255 printable ASCII characters; it has {len(value)}.",
            given=shown(value),
        )
        raise SubmissionError(400, fault.code, fault.detail, faults=(fault,))
    return value


class Words:
    """One look at a body: collects *faults* and counts what was left out."""

    def __init__(self, limits: Limits, faults: list[Fault]) -> None:
        self.limits = limits
        self.faults = faults
        self.left_out = 0

    def settle(self) -> None:
        """Raise SubmissionError if anything was wrong."""
        if self.faults:
            raise refusal(self.faults)

    def understand(self, body: MessageBody) -> Submission:
        """What *body* means; worth something only if ``faults`` stays empty."""
        content = Content(
            text=self.text("text", body.text, self.limits.text),
            callback=self._callback(body.callback),
            details=self.maybe("details", body.details, self.limits.text),
            urls=self._urls(body.urls) if body.urls else (),
            replies=self._replies(body.replies) if body.replies else (),
            labels=self._labels(body.labels) if body.labels else {},
        )
        return Submission(
            to=self._to(body.to),
            content=content,
            message_class=None if body.message_class is None else CLASSES[body.message_class],
            until=None if body.until is None else LEVELS[body.until],
            expires_in=None if body.expires_in is None else self._expires_in(body.expires_in),
            not_before=None if body.not_before is None else self._not_before(body.not_before),
            incident=self.maybe("incident", body.incident, bodies.MAX_INCIDENT, line=True),
        )

    def fault(
        self, name: str, what: str, detail: str, given: str | None = None, try_: tuple[str, ...] = ()
    ) -> None:
        """Note a mistake; *name* is the path below ``#/``, *what* a code or the end of one."""
        own = f"{name}.{what}"
        code = what if "." in what else own if own in KINDS else f"field.{what}"
        self.faults.append(Fault(pointer=f"#/{name}", code=code, detail=detail, given=given, try_=try_))

    def text(self, name: str, value: str, limit: int, *, line: bool = False) -> str:
        """*value* as it goes on: line ends are ``\\n``, what nobody can see is left out.

        Control characters are refused; with *line* also tabs and new lines.
        """
        if not value.isprintable():  # new lines, joiners and unusual spaces are not "printable" either
            value = value.replace("\r\n", "\n").replace("\r", "\n")
            value, count = _INVISIBLE.subn("", value)
            self.left_out += count
            found = _CONTROL.search(value) or (re.search("[\t\n]", value) if line else None)
            if found is not None:
                what = (
                    f"Character {found.start() + 1} of {name} is U+{ord(found[0]):04X}, a control character."
                )
                self.fault(name, "control_char", what, shown(found[0]))
        if not value or value.isspace():
            self.fault(name, "empty", f"{name} is empty.")
        elif len(value) > limit:
            self.fault(name, "too_long", f"{name} has {len(value)} characters; at most {limit}.")
        return value

    def maybe(self, name: str, value: str | None, limit: int, *, line: bool = False) -> str | None:
        return None if value is None else self.text(name, value, limit, line=line)

    def _to(self, to: str | list[str]) -> tuple[str, ...]:
        if isinstance(to, str):
            self._target("to", to)
            return (to,)
        if not to:
            self.fault("to", "empty", "to is empty: name at least one target.")
        if len(to) > self.limits.recipients:
            many = f"to has {len(to)} targets; at most {self.limits.recipients}."
            self.fault("to", "too_many", many, str(len(to)))
            return ()
        for index, target in enumerate(to):
            self._target(f"to/{index}", target)
        return tuple(dict.fromkeys(to))

    def _target(self, name: str, target: str) -> None:
        if not target or target.isspace():
            self.fault(name, "to.empty", "A target is empty.")
        elif not target.isascii():
            self.fault(name, "address.not_ascii", "A target must be ASCII.", shown(target))
        elif not target.isprintable():
            what = "A target has a control character."
            self.fault(name, "address.control_char", what, shown(target))
        elif len(target) > bodies.MAX_TARGET:
            long = f"A target has {len(target)} characters; at most {bodies.MAX_TARGET}."
            self.fault(name, "to.too_long", long, shown(target))

    def _callback(self, value: str | None) -> str | None:
        if value is None:
            return None
        if "://" in value:
            what = "callback is a number that people call; URLs go into urls and are never called by us."
            self.fault("callback", "forbidden", what, shown(value))
        return self.text("callback", value, bodies.MAX_CALLBACK, line=True)

    def _urls(self, urls: list[bodies.UrlBody]) -> tuple[Url, ...]:
        if self._too_many("urls", len(urls), bodies.MAX_URLS):
            return ()
        taken = []
        for index, url in enumerate(urls):
            name = f"urls/{index}"
            if len(url.href) > bodies.MAX_HREF:
                long = f"href has {len(url.href)} characters; at most {bodies.MAX_HREF}."
                self.fault(f"{name}/href", "too_long", long)
            elif not _can_be_opened(url.href):
                what = "href must be an absolute http or https URL without user and password."
                self.fault(f"{name}/href", "url.forbidden", what, shown(url.href))
            text = self.text(f"{name}/text", url.text, bodies.MAX_URL_TEXT, line=True)
            taken.append(Url(text=text, href=url.href))
        return tuple(taken)

    def _replies(self, replies: list[str]) -> tuple[str, ...]:
        if self._too_many("replies", len(replies), bodies.MAX_REPLIES):
            return ()
        return tuple(
            self.text(f"replies/{index}", reply, bodies.MAX_REPLY, line=True)
            for index, reply in enumerate(replies)
        )

    def _labels(self, labels: dict[str, str]) -> dict[str, str]:
        if self._too_many("labels", len(labels), bodies.MAX_LABELS):
            return {}
        taken = {}
        for name, value in labels.items():
            path = f"labels/{escaped(name)}"
            kept = self.text(path, name, bodies.MAX_LABEL_NAME, line=True)
            if value:  # an empty label is a label
                value = self.text(path, value, bodies.MAX_LABEL)
            taken[kept] = value
        return taken

    def _too_many(self, name: str, count: int, limit: int) -> bool:
        if count <= limit:
            return False
        self.fault(name, "too_many", f"{name} has {count} entries; at most {limit}.", str(count))
        return True

    def _expires_in(self, value: str | float) -> float | None:
        try:
            seconds = duration(value.strip()) if isinstance(value, str) else float(value)
        except ValueError:
            what = "expires_in must be seconds, or like 90s, 20m, 2h, 1d."
            self.fault("expires_in", "deadline.syntax", what, shown(value), ("20m",))
            return None
        if seconds <= 0:
            self.fault("expires_in", "deadline.past", "expires_in must be more than 0.", shown(value))
        return seconds

    def _not_before(self, value: str) -> Instant | None:
        try:
            at = instant_of(value)
        except ValueError:
            what = "not_before must be a time like 2026-11-21T03:15:00+01:00."
            self.fault("not_before", "deadline.syntax", what, shown(value), ("2026-11-21T02:15:00Z",))
            return None
        if at is None:
            what = "not_before needs a zone: Z or +02:00."
            self.fault("not_before", "deadline.no_zone", what, shown(value), (value[:40] + "Z",))
        return at


def _can_be_opened(href: str) -> bool:
    if not (href.isascii() and href.isprintable()) or " " in href:
        return False
    try:
        parts = urlsplit(href)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False
