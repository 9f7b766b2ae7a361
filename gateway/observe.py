"""Metrics, logs, transcripts: their names in one place.

``METRICS`` and ``EVENTS`` are the tables that docs/reference/log-and-metrics.md is printed from
(``python -m gateway.observe``); a test compares both, and every log line of the gateway with ``EVENTS``.
Texts of messages, secrets and whole numbers reach none of the three.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import product
from typing import Any, TextIO, TypeVar, cast

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics import MetricWrapperBase
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import ILogObserver, LogLevel, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]

from gateway.env import Clock
from gateway.model import SECOND, Instant, MessageClass
from gateway.outcome import Level

M = TypeVar("M", bound=MetricWrapperBase)

# ------------------------------------------------------------------ metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more line a counter, and nobody asks for it

CLASSES = tuple(one.token for one in MessageClass)
LEVELS = tuple(one.token for one in Level)
OUTCOMES = ("taken", "refused", "later", "not_sent", "in_doubt")
ENDINGS = ("confirmed", "unanswered", "failed", "expired", "cancelled")
MODES = ("open", "suspended", "draining")


class Metric(msgspec.Struct, frozen=True):
    """One row of the table. *known* are values that are shown as 0 from the start, so that rates work."""

    name: str
    kind: type[MetricWrapperBase]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()


SUBMISSIONS = Metric(
    "gateway_submissions_total",
    Counter,
    ("result",),
    "What was answered to a submission that was understood: accepted, over_rate (the client's own limit) or "
    "full (no room for its class).",
    known=(("accepted", "over_rate", "full", "slow"),),
)
ATTEMPTS = Metric(
    "gateway_attempts_total",
    Counter,
    ("link", "outcome"),
    "Tries that ended, by what the carrier's answer meant.",
)
DOUBTS = Metric(
    "gateway_doubts_total",
    Counter,
    ("link",),
    "Tries after which nobody knows whether the carrier has the text: each may mean a second copy.",
)
WAITING = Metric(
    "gateway_deliveries_waiting",
    Gauge,
    ("link", "class"),
    "Deliveries that wait for their turn, for a retry or for a link.",
)
OLDEST = Metric(
    "gateway_oldest_waiting_seconds",
    Gauge,
    ("class",),
    "Age of the oldest delivery that waits for its turn or for a try within the next minute; 0 if none does. "
    "The one to alarm on for critical and urgent.",
    known=(CLASSES,),
)
TIME_TO_LEVEL = Metric(
    "gateway_time_to_level_seconds",
    Histogram,
    ("level", "class"),
    "From opening a delivery to knowing that it got so far; acknowledged also without one: from the "
    "message's arrival.",
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600),  # goals G4, G5, and the class deadlines
    known=(("handed_over", "acknowledged"), CLASSES),
)
ENDED = Metric(
    "gateway_pursuits_ended_total",
    Counter,
    ("ending",),
    "Pursuits that came to an end by themselves, by the outcome of their messages; those that people end "
    "(acknowledged, resolved, cancelled) are not counted. unanswered is the loudest alarm there is.",
    known=(ENDINGS,),
)
LANE_STATE = Metric(
    "gateway_lane_state",
    Gauge,
    ("link", "state"),
    "1 for what the link is set to: open, suspended (switched off) or draining (finishing); else 0.",
)
BREAKER_OPEN = Metric(
    "gateway_breaker_open",
    Gauge,
    ("link",),
    "1 while the link rests after failures, else 0.",
)
PATH_DOWN = Metric(
    "gateway_path_down",
    Gauge,
    ("path",),
    "1 while every link of the path rests and nobody outside answers (`watch.probe`), else 0: critical and "
    "urgent pages go by phone and cell at once.",
)
COMMIT_SECONDS = Metric(
    "gateway_store_commit_seconds",
    Histogram,
    (),
    "Time of one commit of the store, the disk's sync included.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10),
)
BATCH_UNITS = Metric(
    "gateway_store_batch_units",
    Histogram,
    (),
    "Units of work in one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),  # the most is 256: delivery semantics 4.2
)
WRITER_OLDEST = Metric(
    "gateway_writer_oldest_seconds",
    Gauge,
    (),
    "Age of the oldest commit that has not ended; 0 if none is under way. Above 10 the watchdog is not fed.",
)
WRITER_WAITING = Metric(
    "gateway_writer_waiting",
    Gauge,
    (),
    "Units of work that wait for the store's writer.",
)
REACTOR_LAG = Metric(
    "gateway_reactor_lag_seconds",
    Gauge,
    (),
    "How much too late the last timer came: above 1 the watchdog is not fed.",
)
HTTP_REQUESTS = Metric(
    "gateway_http_requests_total",
    Counter,
    ("code",),
    "Answers of the HTTP server, by status.",
)
NOTICES = Metric(
    "gateway_notices_total",
    Counter,
    ("result",),
    "What clients were to be told by webhook: told, failed (one try; it is repeated) or given_up.",
    known=(("told", "failed", "given_up"),),
)
LOG_DROPPED = Metric(
    "gateway_log_dropped_total",
    Counter,
    (),
    "Log lines that were dropped because the log took no more.",
)
QUARANTINED = Metric(
    "gateway_quarantined_total",
    Counter,
    (),
    "Deliveries set aside unsent: their checksum was wrong, or they broke an adapter three times.",
)
CERTIFICATE_ENDS = Metric(
    "gateway_tls_certificate_expires_seconds",
    Gauge,
    ("door",),
    "Seconds until the certificate of a door ends, negative once it has; none without TLS. Alarm below 14 d.",
)
LOOPS = Metric(
    "gateway_loops_total",
    Counter,
    ("result",),
    "Loop messages of our own that came_back, or were lost (`watch.ping`).",
    known=(("came_back", "lost"),),
)
PINGS = Metric(
    "gateway_watch_pings_total",
    Counter,
    ("result",),
    "Times that the watcher outside was told that a loop message came back: ok or failed.",
    known=(("ok", "failed"),),
)
BUILD_INFO = Metric(
    "gateway_build_info",
    Gauge,
    ("version",),
    "Always 1; the version that runs.",
)

METRICS = (
    SUBMISSIONS,
    ATTEMPTS,
    DOUBTS,
    WAITING,
    OLDEST,
    TIME_TO_LEVEL,
    ENDED,
    LANE_STATE,
    BREAKER_OPEN,
    PATH_DOWN,
    COMMIT_SECONDS,
    BATCH_UNITS,
    WRITER_OLDEST,
    WRITER_WAITING,
    REACTOR_LAG,
    HTTP_REQUESTS,
    NOTICES,
    LOG_DROPPED,
    QUARANTINED,
    CERTIFICATE_ENDS,
    LOOPS,
    PINGS,
    BUILD_INFO,
)


class Metrics:
    """The metrics of one gateway, in a registry of their own.

    Rooms count on the attributes (``metrics.attempts.labels(link, outcome).inc()``); values of labels come
    from settings and from fixed lists, never from a message.
    """

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.submissions = self._counter(SUBMISSIONS)
        self.attempts = self._counter(ATTEMPTS)
        self.doubts = self._counter(DOUBTS)
        self.commit_seconds = self._histogram(COMMIT_SECONDS)
        self.batch_units = self._histogram(BATCH_UNITS)
        self.ended = self._counter(ENDED)
        self.writer_oldest = self._gauge(WRITER_OLDEST)
        self.writer_waiting = self._gauge(WRITER_WAITING)
        self.reactor_lag = self._gauge(REACTOR_LAG)
        self.http_requests = self._counter(HTTP_REQUESTS)
        self.notices = self._counter(NOTICES)
        self.log_dropped = self._counter(LOG_DROPPED)
        self.quarantined = self._counter(QUARANTINED)
        self.certificate_ends = self._gauge(CERTIFICATE_ENDS)
        self.loops = self._counter(LOOPS)
        self.path_down = self._gauge(PATH_DOWN)
        self.pings = self._counter(PINGS)
        self._waiting = self._gauge(WAITING)
        self._oldest = self._gauge(OLDEST)
        self._lane_state = self._gauge(LANE_STATE)
        self._breaker_open = self._gauge(BREAKER_OPEN)
        self._times = self._histogram(TIME_TO_LEVEL)
        self._shown_waiting: set[tuple[str, MessageClass]] = set()
        self._handed_over = tuple(self._times.labels("handed_over", one) for one in CLASSES)
        self._gauge(BUILD_INFO).labels(version).set(1)

    def watch_store(
        self,
        count_commits: Callable[[Callable[[int, float], None]], None],
        waiting: Callable[[], int],
        oldest: Callable[[], float],
    ) -> None:
        """Show how the store's writer does: each commit, and, whenever somebody looks, what it has to do."""
        count_commits(self._committed)
        self.writer_waiting.set_function(waiting)
        self.writer_oldest.set_function(oldest)

    def _committed(self, units: int, seconds: float) -> None:
        self.batch_units.observe(units)
        self.commit_seconds.observe(seconds)

    def handed_over(self, message_class: MessageClass, seconds: float) -> None:
        """A carrier took a delivery that was opened *seconds* ago."""
        self._handed_over[message_class].observe(seconds)

    def reached(self, level: Level, message_class: MessageClass, seconds: float) -> None:
        """A delivery was found to have got as far as *level*."""
        self._times.labels(level.token, message_class.token).observe(seconds)

    def waiting(
        self,
        counts: Mapping[tuple[str, MessageClass], int],
        ages: Mapping[MessageClass, float],
    ) -> None:
        """Show what waits now: *counts* by link and class, *ages* of the oldest by class; the rest is 0."""
        for link, message_class in self._shown_waiting - counts.keys():
            self._waiting.labels(link, message_class.token).set(0)
        for (link, message_class), count in counts.items():
            self._waiting.labels(link, message_class.token).set(count)
        self._shown_waiting |= counts.keys()
        for message_class in MessageClass:
            self._oldest.labels(message_class.token).set(ages.get(message_class, 0.0))

    def link(self, name: str, *, mode: str, resting: bool) -> None:
        """Show how a link stands: its *mode*, whether its breaker is open; and all its counts, from 0 on."""
        for one in MODES:
            self._lane_state.labels(name, one).set(one == mode)
        self._breaker_open.labels(name).set(resting)
        self.doubts.labels(name)
        for outcome in OUTCOMES:
            self.attempts.labels(name, outcome)

    def forget_link(self, name: str) -> None:
        """A link left the settings: show nothing of it any more."""
        labels = {"link": name}
        for metric in (self.attempts, self.doubts, self._waiting, self._lane_state, self._breaker_open):
            metric.remove_by_labels(labels)
        self._shown_waiting = {one for one in self._shown_waiting if one[0] != name}

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body of the metrics page: Prometheus text 0.0.4, or what *accept* asks for."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    def _counter(self, metric: Metric) -> Counter:
        return self._with_zeros(
            metric, Counter(metric.name, metric.help, metric.labels, registry=self.registry)
        )

    def _gauge(self, metric: Metric) -> Gauge:
        return self._with_zeros(
            metric, Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
        )

    def _histogram(self, metric: Metric) -> Histogram:
        made = Histogram(
            metric.name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets
        )
        return self._with_zeros(metric, made)

    def _with_zeros(self, metric: Metric, made: M) -> M:
        for values in product(*metric.known) if metric.known else ():
            made.labels(*values)
        return made


# ------------------------------------------------------------------ what may be seen

_NUMBER = re.compile(
    r"(?P<kept>(?<!\d)(?:(?:19|20)\d\d-\d\d-\d\d|\d{1,3}(?:\.\d{1,3}){3})(?![\d-]))"  # dates, IPv4 addresses
    r"|\+?\d(?:[ ().-]{0,2}\d)+",
    re.ASCII,
)
FEWEST_DIGITS = 5  # below that it is a code, a count or a year; site pagers begin here
_MANY = re.compile(r"\d[\d ().-]{4}", re.ASCII)  # without these there is none: most fields are such
_SOLID = re.compile(rf"\d{{{FEWEST_DIGITS},}}", re.ASCII)
_INVISIBLE = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xef\xbb\xbf"
)  # UTF-8 of DEL, C1, line separators, bidirectional controls, BOM: JSON itself escapes C0 only


def redact(text: str) -> str:
    """*text* with the numbers in it masked: ``5551212`` becomes ``•••1212``.

    A number has ``FEWEST_DIGITS`` digits or more, or seven with spaces, dots, dashes, parentheses between;
    below seven digits two stay readable. Dates, IPv4 addresses, ports and parts of words (ids) stay.
    """
    return _NUMBER.sub(_mask, text) if _MANY.search(text) else text


def _mask(found: re.Match[str]) -> str:
    run, text, begin, end = found.group(), found.string, found.start(), found.end()
    if found["kept"] or text[begin - 1 : begin].isalpha() or text[end : end + 1].isalpha():
        return run
    digits = "".join(one for one in run if one.isdigit())
    if len(digits) >= 7:
        return f"•••{digits[-4:]}"
    if text[begin - 1 : begin] == ":" and len(run) == 5:  # a port
        return run
    return _SOLID.sub(lambda solid: f"•••{solid.group()[-2:]}", run)


def timestamp(at: float) -> str:
    """RFC 3339 in UTC, milliseconds; *at* in seconds since 1970."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ------------------------------------------------------------------ logs

MAX_FIELD = 1024  # characters
MAX_FIELDS = 32
MAX_LINE = 8192  # bytes
MAX_TRACE = 8  # innermost frames
LOG_BUFFER = 1 << 20  # bytes that wait for a log that takes none at the moment
FLUSH_EVERY = 1.0  # seconds


class Event(msgspec.Struct, frozen=True):
    """One kind of log line: its format (which is its name), level, further fields, and what it means."""

    format: str
    level: str
    fields: tuple[str, ...]
    meaning: str


EVENTS = (
    Event(
        "a stream did not close", "critical", (), "A mistake of ours in ending an answer that was streamed."
    ),
    Event(
        "hung up on {count} connections: too many",
        "warn",
        (),
        "More connections than the HTTP server may have: those that had asked nothing for longest made room,"
        " or new ones were not taken.",
    ),
    Event(
        "request {request_id} failed", "critical", (), "A mistake of ours; the client got 500 with this id."
    ),
    Event(
        "the answer to {request_id} broke off", "critical", (), "A mistake of ours in an answer half sent."
    ),
    Event(
        "TLS failed with {count} connections, lastly: {why}",
        "warn",
        (),
        "Clients that did not agree on TLS with us: at most one line a minute. Nothing of them was read.",
    ),
    Event("certificate of {door} ends in {days} days", "warn", (), "Renew it; said once a day."),
    Event(
        "certificate not renewed: {why}",
        "error",
        ("door",),
        "The file has changed and cannot be used; the one before is served on. Tried again every minute.",
    ),
    Event(
        "certificate renewed: {names} until {until}",
        "info",
        ("door",),
        "New connections are served with the new certificate; those that are open go on.",
    ),
    Event(
        "path is down: {path}: all {count} links rest",
        "error",
        (),
        "Nothing goes out over it, and nobody outside answers: critical and urgent pages go by phone and cell"
        " at once.",
    ),
    Event("path works again: {path}", "info", (), "A link of it was reached; the usual order counts again."),
    Event(
        "loop message did not come back: {why}",
        "error",
        (),
        "A page of our own to ourselves failed, so the watcher outside is not told. Said once.",
    ),
    Event("loop message came back again", "info", (), "And the watcher outside is told again."),
    Event(
        "the watcher outside cannot be told: {why}",
        "error",
        (),
        "It may raise its alarm although pages go out. Said once.",
    ),
    Event("the watcher outside is told again", "info", (), "It can be reached again."),
    Event(
        "nobody could be told about {about}: {why}",
        "error",
        (),
        "A page to `watch.tell` was not accepted.",
    ),
    Event(
        "watchdog not fed: {why}",
        "error",
        (),
        "The gateway cannot do its work; if that lasts for WatchdogSec, systemd ends it and starts it again.",
    ),
    Event("watchdog fed again after {seconds} s", "warn", (), "It can again."),
    Event(
        "mail refused at the bounce door: no address of ours, from {peer}",
        "info",
        (),
        "Mail to an address that no SMTP link wrote: nothing is taken but reports.",
    ),
    Event(
        "mail to the bounce door of {link} is no report",
        "info",
        (),
        "A vacation answer, or words of a person: it was taken and proves nothing.",
    ),
    Event(
        "report about {link} not recorded: the store failed",
        "error",
        (),
        "The sender was told 451 and comes again.",
    ),
    Event(
        "answer of {link} not taken: the carrier keeps it",
        "critical",
        (),
        "A mistake of ours in what a carrier gave when it was polled. It is not acknowledged, so not lost;"
        " the others go on.",
    ),
    Event(
        "answers of {link} cannot be fetched: {why}",
        "warn",
        (),
        "A carrier that keeps its answers until they are polled could not be asked, or said no. Said once; it"
        " is asked again, more and more seldom, at the latest after 15 minutes.",
    ),
    Event(
        "push refused: {code} {why}, from {peer}",
        "info",
        (),
        "What came to the WCTP door was not taken; the code is WCTP's.",
    ),
    Event(
        "push about {link} not recorded: the store failed",
        "error",
        (),
        "The carrier was told 606 and comes again.",
    ),
    Event("a simulated report failed", "critical", (), "A mistake of ours in a simulated mail relay."),
    Event("the demo failed", "critical", (), "A mistake of ours in the demonstration."),
    Event(
        "adapter broke on delivery {delivery}",
        "critical",
        (),
        "A mistake of ours in an adapter; the delivery is in doubt, and set aside after the third time.",
    ),
    Event(
        "text could not be filled in: {delivery} on {link}: {why}",
        "error",
        (),
        "A mistake of ours; only the class and the reference went out. `why` names the kind of error.",
    ),
    Event(
        "adapter of {link} broke while connecting",
        "critical",
        (),
        "A mistake of ours in an adapter; counts as a failed connect.",
    ),
    Event(
        "attempt concluded: {outcome}",
        "info",
        ("link", "code", "delivery", "happening"),
        "A try ended otherwise than taken.",
    ),
    Event("attempt of {link} failed", "critical", ("link",), "A mistake of ours while a page was tried."),
    Event(
        "attempt overdue: {delivery} after {limit} s",
        "error",
        (),
        "An adapter did not keep its own time limit; the delivery is in doubt.",
    ),
    Event(
        "conclusion came too late: {delivery} on {link}",
        "warn",
        (),
        "The delivery was settled otherwise meanwhile (cancelled, or another node has the lane).",
    ),
    Event(
        "conversation of {link} failed", "critical", ("link",), "A mistake of ours; the link is opened again."
    ),
    Event(
        "deliveries expired: {expired}",
        "warn",
        (),
        "So many passed their deadline unsent since the last look.",
    ),
    Event("forgotten: {texts} texts, {keys} keys", "debug", (), "Retention: what was deleted."),
    Event(
        "incident ended: {ending}",
        "info or warn",
        ("message",),
        "A pursuit is over; a warning unless it was confirmed.",
    ),
    Event(
        "lane of {link} is taken away while it works",
        "warn",
        (),
        "A reload changed or removed the link, and a page did not end within drain_timeout: it is in doubt.",
    ),
    Event(
        "lane {link} failed; looking again in {wait} s",
        "critical",
        (),
        "A mistake of ours; the lane goes on.",
    ),
    Event(
        "link could not be opened: {link}: {why}",
        "warn",
        ("code", "waiting"),
        "Connecting or logging in failed; so many deliveries wait for it.",
    ),
    Event(
        "link removed: {link}",
        "warn",
        ("stopped",),
        "It left the settings; so many deliveries were cancelled.",
    ),
    Event(
        "line has trouble: {line}: {why}",
        "warn",
        ("code",),
        "A modem or its port does not work; other lines of its pool go first for a while.",
    ),
    Event(
        "end of a call of {link} failed",
        "critical",
        (),
        "What a terminal took back at log-off could not be put on record, or a line could not be put back.",
    ),
    Event(
        "line does not close: {line}; it is given up",
        "warn",
        (),
        "Its port did not close within 30 s; the next call by it may find it in use.",
    ),
    Event("line works again: {line}", "info", (), "A modem that had trouble has dialled."),
    Event("link rests: {link} until {until}", "warn", (), "Its breaker opened; microseconds since 1970."),
    Event(
        "link suspended: {link}: {why}",
        "error",
        (),
        "The carrier refused us (login, account): nothing goes out until somebody switches it on again.",
    ),
    Event(
        "{room} failed; it looks again in {wait} s",
        "critical",
        (),
        "A mistake of ours in one room's loop; nothing was lost, and it goes on.",
    ),
    Event(
        "incident of {message} could not be pursued",
        "critical",
        (),
        "A mistake of ours about one incident; it stays due, the others go on.",
    ),
    Event(
        "log lines dropped: {count}",
        "warn",
        (),
        "The log took nothing for a while: so many are missing here.",
    ),
    Event(
        "not everything that was begun ended within {limit} s",
        "critical",
        (),
        "The stop went on without it; it is in doubt at the next start.",
    ),
    Event(
        "a notice of {message} could not be written",
        "critical",
        (),
        "A mistake of ours in the words of a webhook; it is tried again, the others go on.",
    ),
    Event(
        "not told, and given up: {kind} of {message} to {client}: {why}",
        "error",
        (),
        "A client's receiver failed ten times over three days; the timeline says so too.",
    ),
    Event(
        "notices given up: {count}, nobody could be told in time",
        "error",
        (),
        "Webhooks that could not be told for three and a half days, or whose client has no `tell` any more.",
    ),
    Event(
        "receiver of {client} answers again",
        "info",
        ("due",),
        "Webhooks go on; so many that had failed meanwhile are told at once.",
    ),
    Event(
        "receiver of {client} cannot be told: {why}",
        "warn",
        (),
        "Three webhooks in a row failed: it is left alone for a while, nothing is lost. Once an outage.",
    ),
    Event(
        "receiver of {client} is gone: {why}",
        "error",
        (),
        "It answered 410: it is told nothing until `POST /v1/webhooks/test` finds it or `tell.url` changes.",
    ),
    Event(
        "receipt {how}: {state} over {link}", "info", ("delivery",), "A carrier reported, and what it fitted."
    ),
    Event(
        "spooled file refused: {file}: {why}",
        "error",
        (),
        "It can never be taken in; it is kept as NAME.refused.",
    ),
    Event(
        "spooled file taken in: {file}",
        "info",
        (),
        "A message that was sent while no gateway ran is on disk.",
    ),
    Event("reload failed", "critical", (), "A mistake of ours; the old settings stay."),
    Event(
        "the store was recovered: {what}",
        "warn",
        (),
        "The last run was not stopped in order, or its log was damaged; what was lost, if anything, is said.",
    ),
    Event("settings: {warning}", "warn", (), "A reload took effect, but somebody should know this."),
    Event("settings not reloaded: {mistake}", "error", (), "One mistake of the file, with its place."),
    Event(
        "settings not reloaded: {mistakes} mistakes",
        "warn",
        (),
        "The file has mistakes; the old settings stay.",
    ),
    Event("settings reloaded: generation {generation}", "info", (), "The new settings are in force."),
    Event(
        "store failed: {why}", "critical", (), "The disk or the database failed: the gateway ends with 74."
    ),
    Event(
        "the start failed",
        "critical",
        (),
        "Not for a reason of settings, ports or the store: a mistake of ours.",
    ),
    Event(
        "the stop was cut off",
        "critical",
        (),
        "It took too long; what was begun is in doubt at the next start.",
    ),
    Event(
        "what a thread reported could not be taken in",
        "critical",
        (),
        "A mistake of ours in taking in what the store or another thread did.",
    ),
)


def json_line(event: Mapping[str, Any]) -> bytes:
    """One line of JSON for an event of twisted.logger; never raises, never has a control character in it.

    ``ts``, ``level``, ``ns``, ``event`` (the format), ``msg``, ``fields``; ``failure`` with type, message
    and the innermost places of its trace, without values; ``cut`` if something had to be left out.
    """
    level = event.get("log_level")
    line: dict[str, Any] = {
        "ts": _when(event),
        "level": getattr(level, "name", "info"),
        "ns": _plain(event.get("log_namespace", "")),
        "event": _plain(event.get("log_format") or ""),
        "msg": _message(event),
    }
    hidden = _LEGACY if line["ns"] == "log_legacy" else ()
    fields = [
        (key, value) for key, value in event.items() if not key.startswith("log_") and key not in hidden
    ]
    if fields:
        line["fields"] = {_plain(key): _value(value) for key, value in fields[:MAX_FIELDS]}
    if len(fields) > MAX_FIELDS:
        line["cut"] = True
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        line["failure"] = _failure(failure)
    encoded = _encoded(line)
    for shed in ("fields", "failure"):
        if len(encoded) < MAX_LINE:
            break
        line.pop(shed, None)
        encoded = _encoded({**line, "cut": True})
    if len(encoded) >= MAX_LINE:
        shorter = {key: str(line[key])[:200] for key in ("ts", "level", "ns", "event", "msg")}
        encoded = _encoded({**shorter, "cut": True})
    return encoded + b"\n"


def _encoded(line: dict[str, Any]) -> bytes:
    return _INVISIBLE.sub(_escaped, msgspec.json.encode(line))


_LEGACY = ("message", "time", "system", "isError", "format")  # of events of Twisted's old log


class _Given(dict[str, Any]):
    """An event's fields for its format: calls where it says so, its name in braces where there is none."""

    def __getitem__(self, key: str) -> Any:
        name = key.removesuffix("()")
        if name not in self:
            return f"{{{key}}}"
        value = super().__getitem__(name)
        if key != name:
            value = value()
        return value if isinstance(value, int | float) else _text(value)


def _when(event: Mapping[str, Any]) -> str:
    try:
        return timestamp(event["log_time"])
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return ""


def _message(event: Mapping[str, Any]) -> str:
    form = event.get("log_format")
    if form is None:
        return _text(event.get("log_text", ""))
    try:
        return _encodable(str(form).format_map(_Given(event))[: 2 * MAX_FIELD])
    except Exception:  # a mistake in a format must not cost the line
        return _text(form)


def _value(value: object) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(value)
    return _text(value)


def _text(value: object) -> str:
    return redact(_plain(value))


def _plain(value: object) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception:  # a repr that breaks must not cost the line
        text = f"<{type(value).__name__}>"
    if len(text) > MAX_FIELD:
        text = text[:MAX_FIELD] + "…"
    return _encodable(text)


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _failure(failure: Failure) -> dict[str, Any]:
    frames = failure.getTracebackObject()  # type: ignore[no-untyped-call]
    places: deque[str] = deque(maxlen=MAX_TRACE)
    while frames is not None:
        code = frames.tb_frame.f_code
        places.append(f"{'/'.join(code.co_filename.split('/')[-3:])}:{frames.tb_lineno} {code.co_name}")
        frames = frames.tb_next
    kind = getattr(failure.type, "__qualname__", str(failure.type))
    return {"type": kind, "message": _text(failure.value), "trace": list(places)}


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found.group().decode())


@implementer(ILogObserver)
class JsonLog:
    """Writes events as lines of JSON, without ever waiting for the log.

    *write* takes bytes and returns how many of them it took, 0 if none at the moment; it raises OSError if
    the log cannot be written. What it does not take waits, at most ``LOG_BUFFER`` bytes; further lines are
    dropped and counted, and a line says so when the log takes something again. Events below *level*, and
    those of Twisted below a warning, are left out. May be called from any thread.
    """

    def __init__(self, write: Callable[[bytes], int], *, level: str = "info") -> None:
        self.dropped = 0
        self._write = write
        self._least = LogLevel.lookupByName(level)
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._rest = b""  # of the line that is being written
        self._torn = False  # whether some of it has been
        self._turn = deque([None])  # whoever holds the token writes
        self._told = 0
        self._last: object = None
        self._on_drop: Callable[[float], None] = _ignore

    def __call__(self, event: Mapping[str, Any]) -> None:
        level = event.get("log_level") or LogLevel.info
        if level < self._least:
            return
        namespace = str(event.get("log_namespace", ""))
        if level < LogLevel.warn and namespace.startswith(("twisted", "log_legacy")):
            return
        self._last = event.get("log_time")
        line = json_line(event)
        if self._size + len(line) > LOG_BUFFER:
            self._drop(1)
        else:
            self._size += len(line)
            self._lines.append(line)
        self.flush()

    def count_drops(self, inc: Callable[[float], None]) -> None:
        """From now on tell *inc* (a counter's) of every line that is dropped; of earlier ones at once."""
        self._on_drop = inc
        if self.dropped:
            inc(self.dropped)

    def flush_every(self, clock: Clock, seconds: float = FLUSH_EVERY) -> IDelayedCall:
        """Try again what the log did not take, also while nothing new happens."""
        self.flush()
        return clock.callLater(seconds, self.flush_every, clock, seconds)

    def flush(self) -> None:
        """Write what the log takes now."""
        try:
            self._turn.pop()
        except IndexError:
            return  # another thread is at it
        begun = False
        try:
            while self._rest or self._lines:
                if not self._rest:
                    self._rest, begun = self._lines.popleft(), False
                taken = self._write(self._rest)
                if not taken:
                    return
                self._size -= taken
                self._rest, begun = self._rest[taken:], True
                if not self._rest and not self._lines and self._told < self.dropped:
                    self._lines.append(self._gap())
            self._size = 0  # threads that add at one time may have miscounted
        except OSError:
            lost = len(self._lines) + bool(self._rest.strip())
            self._lines.clear()
            self._rest = b"\n" if begun or self._torn else b""  # what was begun ends here
            self._size = len(self._rest)
            self._drop(lost)
        finally:
            self._torn = bool(self._rest) and (begun or self._torn)
            self._turn.append(None)

    def _gap(self) -> bytes:
        count, self._told = self.dropped - self._told, self.dropped
        gap = json_line(
            {
                "log_time": self._last,
                "log_level": LogLevel.warn,
                "log_namespace": __name__,
                "log_format": "log lines dropped: {count}",
                "count": count,
            }
        )
        self._size += len(gap)
        return gap

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._on_drop(count)


def begin_logging(stream: TextIO, *, clock: Clock | None = None, level: str = "info") -> JsonLog:
    """From now on every event goes to *stream* as JSON; *clock* retries what it did not take at once."""
    from gateway.env.real import log_writer

    log = JsonLog(log_writer(stream.fileno()), level=level)
    globalLogBeginner.beginLoggingTo([cast(ILogObserver, log)], redirectStandardIO=False)
    if clock is not None:
        log.flush_every(clock)
    return log


def _ignore(count: float) -> None:
    """Nobody counts drops yet."""


# ------------------------------------------------------------------ transcripts

TURNS = 64
TURN_BYTES = 2048
PART = 8  # bytes in a row of a hidden text that are not shown either; of a secret half as many
GENERATION = 128  # texts; more than any window, so that a text is said within a generation of being hidden


class _Turn:
    """What one side said until the other one did."""

    __slots__ = ("began", "data", "generation", "more", "ours")

    def __init__(self, ours: bool, began: Instant, generation: int) -> None:
        self.ours = ours
        self.began = began
        self.generation = generation
        self.data = bytearray()
        self.more = 0


class Transcript:
    """What was said over a link lately, fit to be shown: at most the last ``TURNS`` turns.

    Secrets become ``‹secret›``; texts of messages ``‹text 23 bytes a1b2c3d4›``, a hash with *key* that tells
    equal texts from different ones; numbers are masked, and what is not printable ASCII is escaped. Secrets
    and texts are made known before they are said, in the very bytes that go over the wire (escaped, encoded,
    cut into parts). Of what they said, in any case, so much of a text or a secret in a row is not shown
    either: ``‹hidden 12 bytes›``; carriers quote what they refuse.

    Saying something costs an append. Texts are forgotten by generations, and with them, earlier, the turns
    in which they may stand.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._secrets: set[bytes] = set()
        self._texts: deque[set[bytes]] = deque([set()], maxlen=3)
        self._generation = 0
        self._turns: deque[_Turn] = deque(maxlen=TURNS)

    def hide_secret(self, *said: bytes) -> None:
        """These are never shown, whoever says them."""
        self._secrets.update(one for one in said if one)

    def hide_text(self, *said: bytes) -> None:
        """These are shown by length and keyed hash only."""
        self._texts[-1].update(one for one in said if one)
        if len(self._texts[-1]) >= GENERATION:
            self._texts.append(set())
            self._generation += 1
            while self._turns and self._turns[0].generation < self._generation - 1:
                self._turns.popleft()

    def sent(self, data: bytes, at: Instant) -> None:
        """We said *data*."""
        self._said(data, at, True)

    def heard(self, data: bytes, at: Instant) -> None:
        """They said *data*."""
        self._said(data, at, False)

    def lines(self, last: int = TURNS) -> tuple[str, ...]:
        """The *last* turns, oldest first: when it began, ``>`` ours or ``<`` theirs, and what was said."""
        texts = set().union(*self._texts)
        return tuple(self._shown(turn, texts) for turn in list(self._turns)[-last:])

    def _said(self, data: bytes, at: Instant, ours: bool) -> None:
        if not self._turns or self._turns[-1].ours is not ours:
            self._turns.append(_Turn(ours, at, self._generation))
        turn = self._turns[-1]
        room = TURN_BYTES - len(turn.data)
        if len(data) <= room:
            turn.data += data
        else:
            turn.data += data[:room]
            turn.more += len(data) - room

    def _shown(self, turn: _Turn, texts: set[bytes]) -> str:
        data, more = bytes(turn.data), turn.more
        if more:  # the end may be the beginning of something hidden
            longest = max(map(len, texts | self._secrets), default=1)
            data = data[: max(0, len(data) - longest + 1)]
            more += len(turn.data) - len(data)
        there = sorted(
            (one for one in texts | self._secrets if one in data), key=lambda one: (-len(one), one)
        )
        shown, at = [], 0
        for found in re.finditer(b"|".join(map(re.escape, there)), data) if there else ():
            shown += [self._parts(data[at : found.start()], texts), self._label(found.group())]
            at = found.end()
        shown.append(self._parts(data[at:], texts))
        if more:
            shown.append(f" … {more} bytes more")
        return f"{timestamp(turn.began / SECOND)} {'>' if turn.ours else '<'} {''.join(shown)}"

    def _parts(self, data: bytes, texts: set[bytes]) -> str:
        """*data* without the parts of what is hidden that stand in it."""
        folded, hidden = data.lower(), bytearray(len(data))
        for size, known in ((PART, texts), (PART // 2, self._secrets)):
            parts = {
                one[at : at + size] for one in map(bytes.lower, known) for at in range(len(one) - size + 1)
            }
            for at in range(len(data) - size + 1) if parts else ():
                if folded[at : at + size] in parts:
                    hidden[at : at + size] = b"\1" * size
        shown, at = [], 0
        for run in re.finditer(b"\1+", hidden):
            shown += [_printable(data[at : run.start()]), f"‹hidden {len(run.group())} bytes›"]
            at = run.end()
        return "".join([*shown, _printable(data[at:])])

    def _label(self, hidden: bytes) -> str:
        if hidden in self._secrets:
            return "‹secret›"
        return f"‹text {len(hidden)} bytes {blake2b(hidden, key=self._key, digest_size=4).hexdigest()}›"


def _printable(data: bytes) -> str:
    text = redact(data.decode("latin-1"))
    return "".join(_ESCAPES.get(one, one) for one in text)


_ESCAPES = {chr(n): f"\\x{n:02x}" for n in (*range(32), *range(127, 256))} | {
    "\r": "\\r",
    "\n": "\\n",
    "\t": "\\t",
    "\\": "\\\\",
}


# ------------------------------------------------------------------ the docs page


_HEAD = """\
# Metrics and log lines

Printed from the tables in `gateway/observe.py` by `python -m gateway.observe`; a test compares them.

## Metrics

`GET /metrics`, in Prometheus text or OpenMetrics, for clients with their token and for administrators; see
[how to watch it](../howto/monitor.md). Labels come from the settings and from fixed lists, never from a
message. The process itself is described by the usual `process_*` metrics.

| metric | type | labels | meaning |
|---|---|---|---|
"""
_LINES = f"""
## Log lines

One JSON object a line on standard error: `ts` (RFC 3339, UTC), `level`, `ns` (where in the program),
`event` (the name: as it stands in the table below), `msg` (the same with its fields filled in), `fields`,
and for errors `failure` (`type`, `message`, `trace`). Alert on `event` and `fields`; `msg` is for people.

A field has at most {MAX_FIELD:,} characters, a line {MAX_LINE:,} bytes; `cut` says that something was left
out. Control characters are escaped. Numbers in texts are masked (`•••1212`); texts of messages and secrets
are never logged. If the log takes no more, sending goes on: lines are dropped, counted in
`{LOG_DROPPED.name}`, and a line `log lines dropped: {{count}}` says how many.

| event | level | further fields | meaning |
|---|---|---|---|
"""


def reference() -> str:
    """docs/reference/log-and-metrics.md, printed from the tables."""

    def words(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names) or "–"

    metrics = "".join(
        f"| `{one.name}` | {one.kind.__name__.lower()} | {words(one.labels)} | {one.help} |\n"
        for one in METRICS
    )
    values = "".join(
        f"* `{label}`: {words(known)}\n"
        for label, known in (
            ("class", CLASSES),
            ("outcome", OUTCOMES),
            ("ending", ENDINGS),
            ("level", LEVELS),
            ("state", MODES),
        )
    )
    bounds = "".join(
        f"* `{one.name}`: {', '.join(f'{bound:g}' for bound in one.buckets)}\n"
        for one in METRICS
        if one.buckets
    )
    events = "".join(
        f"| `{one.format}` | {one.level} | {words(one.fields)} | {one.meaning} |\n"
        for one in sorted(EVENTS, key=lambda one: one.format.lower())
    )
    lists = f"\nValues of labels:\n\n{values}\nUpper bounds of histograms:\n\n{bounds}"
    return f"{_HEAD}{metrics}{lists}{_LINES}{events}"


if __name__ == "__main__":
    print(reference(), end="")
