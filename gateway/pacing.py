"""How fast, and when to rest: breaker and rate as values. Pure: an instant in, a value out."""

from __future__ import annotations

from collections import deque

from gateway.model import Instant, later, seconds_between
from gateway.settings.types import Breaker as BreakerSettings
from gateway.settings.types import Rate

EVEN = 0.1  # seconds of a rate that ordinary pages may use at once; ours: less wakes too often at high rates
MOST_REMEMBERED = 100_000  # pages of a window that are remembered one by one; larger windows are parted


class Bucket:
    """A token bucket: *count* in *per* seconds on average, bursts of *count*."""

    __slots__ = ("_at", "_level", "_per_second", "_size")

    def __init__(self, rate: Rate, now: Instant) -> None:
        self._size = max(1.0, rate.count)
        self._per_second = rate.count / rate.per
        self._level = self._size
        self._at = now

    def left(self, now: Instant) -> int:
        """How many may go now."""
        passed = max(0.0, seconds_between(self._at, now))
        self._level = min(self._size, self._level + passed * self._per_second)
        self._at = max(self._at, now)
        return int(self._level + 1e-9)

    def take(self, count: int = 1) -> None:
        """Use up *count*; only after ``left`` said that there are so many."""
        self._level -= count

    def next_at(self, now: Instant) -> Instant:
        """When the next one may go."""
        missing = max(0.0, 1.0 - self._level)
        return later(now, missing / self._per_second)


class Pace:
    """A carrier's limit, which holds in every window: at most *count* pages in any *per* seconds, after an
    outage too (semantics 8.5).

    Pressing pages may use what a window has left at once. Ordinary ones go out evenly, so that what could
    wait does not use up a window that a critical page needs: one is free again within about ``EVEN``
    seconds or *per* / *count*. Begins as if the limit had been used evenly: nobody knows what was.
    """

    __slots__ = ("_count", "_even", "_per", "_sent")

    def __init__(self, rate: Rate, now: Instant) -> None:
        self._count = min(max(1, int(rate.count)), MOST_REMEMBERED)
        self._per = rate.per * self._count / rate.count
        each = self._per / self._count
        self._sent = deque(later(now, each * n - self._per) for n in range(1, self._count))
        burst = min(max(1.0, EVEN / each), float(self._count))
        self._even = Bucket(Rate(count=burst, per=burst * each), now)

    def left(self, now: Instant, *, ordinary: bool = False) -> int:
        """How many may go now."""
        gone = later(now, -self._per)
        while self._sent and self._sent[0] <= gone:
            self._sent.popleft()
        left = self._count - len(self._sent)
        return min(left, self._even.left(now)) if ordinary else left

    def take(self, now: Instant, pages: int, ordinary: int) -> None:
        """Use up *pages*, of which *ordinary* are; only after ``left`` said that there are so many."""
        self._sent.extend([now] * pages)
        self._even.take(ordinary)

    def give_back(self, pages: int, ordinary: int) -> None:
        """So many of those taken last were not used."""
        for _ in range(pages):
            self._sent.pop()
        self._even.take(-ordinary)

    def next_at(self, now: Instant, *, ordinary: bool) -> Instant:
        """When one more may go, *now* if it may."""
        at = now if self.left(now) else later(self._sent[0], self._per)
        if ordinary and not self._even.left(now):
            at = max(at, self._even.next_at(now))
        return at


class Breaker:
    """When a failing link is rested, and when it is tried again (delivery semantics 8.4).

    Opens on *failures* transport failures or doubts in a row, on a *share* of failures among at least *of*
    attempts *within* a time, or on *unanswered* submits in a row. While it rests nothing is begun; then one
    probe and one message decide (half-open). Refusals about pages are successes here: the carrier answered.
    ``rests_until`` stays set until a probe went well, so that pages try other links first.
    """

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._in_row = 0
        self._unanswered = 0
        self._opened = 0
        self._recent: deque[tuple[Instant, bool]] = deque(maxlen=max(1, settings.of * 8))
        self._on_trial = False
        self._falls = 0
        self._last_failed: Instant | None = None
        self.rests_until: Instant | None = None

    @property
    def last_until(self) -> Instant:
        """Until when other links go first although this one may be tried: after its last failure as long as
        the first rest, longer with each fall that follows soon, so that a link that comes and goes does not
        draw the pages to and fro (F55)."""
        if self._last_failed is None:
            return Instant(0)
        rests = self._settings.rests
        return later(self._last_failed, rests[min(self._falls, len(rests)) - 1])

    def resting(self, now: Instant) -> bool:
        """Whether the link should be left alone now."""
        return self.rests_until is not None and now < self.rests_until

    @property
    def half_open(self) -> bool:
        """Whether the next attempt decides; meaningful when not resting."""
        return self._on_trial or self.rests_until is not None

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._in_row

    def probed(self) -> None:
        """Connecting and logging in went well: one message may try."""
        if self.rests_until is not None:
            self.rests_until = None
            self._on_trial = True

    def succeeded(self, now: Instant) -> None:
        """The carrier answered."""
        self._in_row = self._unanswered = self._opened = 0
        self.rests_until = None
        self._on_trial = False
        self._recent.append((now, True))

    def failed(self, now: Instant, *, unanswered: bool = False) -> bool:
        """The transport failed or a doubt arose; True if the link rests from now on."""
        if self.resting(now):
            return True
        if not self._in_row:  # it worked, and has fallen
            calm = seconds_between(self.last_until, now) > self._settings.rests[-1]
            self._falls = 1 if calm else self._falls + 1
        self._last_failed = now
        self._in_row += 1
        self._unanswered = self._unanswered + 1 if unanswered else 0
        self._recent.append((now, False))
        if self.half_open or self._should_open(now):
            rests = self._settings.rests
            self.rests_until = later(now, rests[min(self._opened, len(rests) - 1)])
            self._opened += 1
            self._on_trial = False
            self._recent.clear()
            return True
        return False

    def _should_open(self, now: Instant) -> bool:
        known = self._settings
        if self._in_row >= known.failures or self._unanswered >= known.unanswered:
            return True
        lately = [good for at, good in self._recent if seconds_between(at, now) <= known.within]
        return len(lately) >= known.of and lately.count(False) >= known.share * len(lately)


class RetryBudget:
    """Keeps retries from becoming a storm: ≤ max(20 % of first tries, 10) a minute (semantics 8.3)."""

    SHARE = 0.2
    LEAST = 10
    WINDOW = 60.0
    MOST = 20_000  # entries kept: bounds memory, far above what one link tries a minute

    def __init__(self) -> None:
        self._first_tries: deque[Instant] = deque(maxlen=self.MOST)
        self._retries: deque[Instant] = deque(maxlen=self.MOST)

    def first_try(self, now: Instant) -> None:
        """A delivery was tried for the first time."""
        self._first_tries.append(now)
        self._forget(self._first_tries, now)

    def spread(self, due: Instant, now: Instant) -> Instant:
        """*due*, or the earliest later time at which the budget has room for one more retry."""
        self._forget(self._first_tries, now)
        self._forget(self._retries, now)
        allowed = max(self.LEAST, int(self.SHARE * len(self._first_tries)))
        if len(self._retries) >= allowed:
            due = max(due, later(self._retries[-allowed], self.WINDOW))
        self._retries.append(due)
        return due

    def _forget(self, times: deque[Instant], now: Instant) -> None:
        while times and seconds_between(times[0], now) > self.WINDOW:
            times.popleft()
