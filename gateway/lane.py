"""One lane per link: open when work is due, take the best due delivery, begin, submit, conclude.

Lanes are independent: one dead carrier delays nobody else. A lane alone decides when its link is opened
again; adapters try once. What lasts is in the store; a lane keeps sessions, breaker and rate, and starts
with fresh ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.adapters.base import (
    AdapterSpec,
    Enquiring,
    Fetching,
    Findings,
    Link,
    Measure,
    Probing,
    Reception,
    Recorded,
    Session,
)
from gateway.attempt import attempt
from gateway.bell import Bell
from gateway.env import Env
from gateway.errors import StoreFailed
from gateway.model import Instant, LinkName, MessageClass, Page, Trouble, later, of_part, seconds_between
from gateway.observe import Metrics
from gateway.outcome import (
    About,
    CarrierRef,
    InDoubt,
    Later,
    Level,
    NotSent,
    Outcome,
    Refused,
    Taken,
    token_of,
)
from gateway.pacing import Breaker, Pace, RetryBudget
from gateway.render import Display, Rendered, display_of, marked, render
from gateway.retry import BROKE, OVERDUE, connect_waits, decide, policy_for
from gateway.rules import ruled
from gateway.settings.types import LinkSettings, Settings
from gateway.settings.windows import local_time, open_until
from gateway.store.base import Begun, Concluded, DeskRoom, Enquiry, Missed, PartsTaken, Taking, Work
from gateway.waiting import BEAT, LOOK_EVERY, Rounds, first_of

log = Logger()

Mode = Literal["open", "suspended", "draining"]
Doing = Literal["working", "idle", "resting", "maintenance", "suspended", "draining", "down"]

TOLD_OF_A_MISS = 64  # deliveries that learn of one failed connect; the rest wait behind them anyway
OPEN_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds between failed opens of a link that does not rest yet
CRITICAL_OPEN_WAIT = 1.0  # seconds: a critical page tries even a resting link, one a second (semantics 8.4)
SOON = 60.0  # seconds: what is due later waits for its time, not for its next try
LAST_RESORT = 10.0  # seconds after which a critical page that finds no other way tries one in maintenance too
ENQUIRIES_AT_ONCE = 16
MAX_TRANSCRIPT = 4096  # characters that are stored with a failed attempt, the last ones
WINDOW_WITH_RESERVE = 4  # slots from which on a share is kept for critical and urgent (semantics 10.1)
PART_PATIENCE = 10.0  # seconds that a part waits for the link's rate while the one before it is under way
NEXT_PART = "next-part"  # the other parts wait for their turn: nothing failed
TOO_LONG = "too-long"
OVERDUE_GRACE = 60.0  # seconds beyond the link's own limits after which an adapter counts as broken


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, and when it began; *transcript* is what was said, unless it was taken.

    *refs* are of what the carrier took, which may be some of the *parts* only. *ours*: no carrier said so, it
    is our own decision about the page.
    """

    outcome: Outcome
    began: Instant
    transcript: str | None = None
    refs: tuple[CarrierRef, ...] = ()
    parts: PartsTaken | None = None
    ours: bool = False


class LaneState(msgspec.Struct, frozen=True, kw_only=True):
    """How a lane stands, for people."""

    link: LinkName
    mode: Mode
    by: str | None
    why: str | None
    doing: Doing
    sessions: int
    under_way: int
    failures: int
    rests_until: Instant | None
    last_taken: Instant | None
    failing_since: Instant | None
    last_failure: str | None
    maintenance_until: Instant | None = None


class Lane:
    """Runs one link."""

    def __init__(
        self,
        name: LinkName,
        spec: AdapterSpec,
        link: Link,
        own: LinkSettings,
        settings: Callable[[], Settings],
        work: Work,
        desk: DeskRoom,
        reception: Reception,
        bell: Bell,
        env: Env,
        metrics: Metrics,
    ) -> None:
        self.name = name
        self._spec = spec
        self._link = link
        self._own = own
        self._settings = settings
        self._work = work
        self._desk = desk
        self._reception = reception
        self._bell = bell
        self._env = env
        self._metrics = metrics
        self._measure: Measure = spec.measure(own)
        self.calls = spec.calls(own)
        self._shown: tuple[Settings, Display] | None = None  # how texts are shown under which settings
        self._breaker = Breaker(own.breaker)
        self._pace = None if own.rate is None else Pace(own.rate, env.now())
        self._budget = RetryBudget()
        self._fence = 0
        self._stopping = False
        self._mode: Mode = "open"
        self._by: str | None = None
        self._why: str | None = None
        self._conversations: list[_Conversation] = []
        self._opening = 0
        self._calling: Deferred[Session | NotSent] | None = None
        self._failed_opens = 0
        self._anew = True  # what waits because the link could not be opened may try now
        self._last_open = Instant(0)
        self._paused_until = Instant(0)
        self._ruled_until = Instant(0)  # the same, by a rule of the settings
        self._shut = False  # in maintenance, when it was looked at last
        self._pressed_since: Instant | None = None  # a critical page waits since then, in maintenance
        self._proving = False  # whether it works has become a question: connect although nothing waits
        self._last_reached = Instant(0)
        self._last_taken: Instant | None = None
        self._failing_since: Instant | None = None
        self._last_failure: str | None = None
        self._next_enquiry: Instant | None = None
        self._next_critical: Instant | None = None
        self._full = False  # every conversation is busy, and there may be no more of them
        self._done: Deferred[None] | None = None
        self._round_by = Instant(0)
        fetching = isinstance(link, Fetching)
        self._fetching = Rounds(f"fetching {name}", self._fetch, bell, env) if fetching else None

    # -------------------------------------------------------------- running

    async def recover(self, fence: int) -> None:
        """Take over under *fence*: what an earlier run began and never concluded is in doubt. That was our
        end and not the carrier's: the link is not rested for it."""
        self._fence = fence
        for begun in await self._work.interrupted(self.name, fence):
            outcome = InDoubt(code="interrupted", why="the gateway stopped while this page was being sent")
            _, rendered = self._rendered(begun)
            parts = _parts_of(begun, rendered)
            if parts is not None:
                parts = parts.with_doubt(*parts.missing)
            await self._record(begun, Conclusion(outcome=outcome, began=begun.begun_at, parts=parts))
        await self._plan_enquiry()

    def start(self, mode: Mode, by: str | None, why: str | None) -> None:
        """Begin to take; *mode* is what is on record for the link."""
        self._mode, self._by, self._why = mode, by, why
        self._done = Deferred.fromCoroutine(self._run())
        if self._fetching is not None:
            self._fetching.start()

    async def stop(self) -> None:
        """Begin nothing more; what is begun finishes; sessions say goodbye, and one that is being opened is
        given up."""
        self._stopping = True
        if self._calling is not None:  # a modem may dial for minutes
            self._calling.cancel()
        self.wake()
        if self._fetching is not None:  # what is not fetched to its end comes again: not waited for long
            await first_of(Deferred.fromCoroutine(self._fetching.stop()), self._env.sleep(LOOK_EVERY))
        if self._done is not None:
            await self._done

    def set_mode(self, mode: Mode, by: str | None, why: str | None) -> None:
        """Switch the link off or on, or let it finish; already on record."""
        self._mode, self._by, self._why = mode, by, why
        if mode == "open":
            self._breaker = Breaker(self._own.breaker)
            self._failed_opens = 0
            self._anew = True
        self.wake()

    async def probe(self) -> Findings:
        """Run the dialogue up to, not including, the message."""
        if isinstance(self._link, Probing):
            return await self._link.probe()
        session = await self._link.open()
        if isinstance(session, NotSent):
            return Findings(reached=False, says=session.why)
        await session.close()
        return Findings(reached=True, says="connected and logged in")

    def transcript(self) -> tuple[str, ...]:
        """What was said over the link lately, fit to be shown; nothing if its adapter keeps none."""
        return self._link.transcript() if isinstance(self._link, Recorded) else ()

    @property
    def overdue(self) -> bool:
        """Whether its loop should have come round by now."""
        running = self._done is not None and not self._done.called and not self._stopping
        return running and self._env.now() > self._round_by

    @property
    def path(self) -> str:
        """What it needs to get out."""
        return self._own.path

    @property
    def dialled(self) -> bool:
        """Whether it costs a call to see whether it works: only a page is worth one."""
        return self.calls is not None and self.calls.dialled

    @property
    def resting(self) -> bool:
        """Whether its breaker is open: until a probe went well, or until its time, if there is no probe."""
        if self.dialled:
            return self._breaker.resting(self._env.now())
        return self._breaker.rests_until is not None

    @property
    def trouble(self) -> Trouble | None:
        """Why other links should be tried first; None: they need not."""
        now = self._env.now()
        if self._mode != "open":
            return "switched_off"
        if self._maintenance() is not None:
            return "maintenance"
        if self.resting or self._ruled_until > now:
            return "rests"
        return "failed" if self._breaker.last_until > now else None

    def prove(self, since: Instant) -> None:
        """Connect, unless that went well after *since* and nothing failed later: whether this way works has
        become a question."""
        since = max(since, self._failing_since or since)
        wanted = self._mode == "open" and not self.dialled
        if wanted and not self._conversations and self._last_reached < since:
            self._proving = True
            self.wake()

    def _maintenance(self) -> Instant | None:
        """When the carrier's present maintenance is over; None: there is none."""
        settings = self._settings()
        carrier = settings.carriers.get(self.name.partition(".")[0])
        if carrier is None or not carrier.maintenance:
            return None
        wall = self._env.wall()
        until = open_until(carrier.maintenance, ZoneInfo(settings.site.zone), wall)
        return None if until is None else later(self._env.now(), seconds_between(wall, until))

    @property
    def _closed(self) -> bool:
        """Whether it is in maintenance, and no critical page depends on it."""
        now, since = self._env.now(), self._pressed_since
        desperate = since is not None and seconds_between(since, now) >= LAST_RESORT
        return not desperate and self._maintenance() is not None

    def state(self) -> LaneState:
        """How it stands now."""
        now = self._env.now()
        doing: Doing
        maintenance = self._maintenance()
        under_way = sum(one.under_way for one in self._conversations)
        if self._mode != "open":
            doing = "suspended" if self._mode == "suspended" else "draining"
        elif maintenance is not None:
            doing = "maintenance"
        elif self._breaker.resting(now):
            doing = "resting"
        elif self._failed_opens:
            doing = "down"
        else:
            doing = "working" if under_way or self._opening else "idle"
        return LaneState(
            link=self.name,
            mode=self._mode,
            by=self._by,
            why=self._why,
            doing=doing,
            sessions=len(self._conversations),
            under_way=under_way,
            failures=self._breaker.failures,
            rests_until=self._breaker.rests_until if doing == "resting" else None,
            last_taken=self._last_taken,
            failing_since=self._failing_since,
            last_failure=self._last_failure,
            maintenance_until=maintenance if doing == "maintenance" else None,
        )

    def wake(self) -> None:
        """Look again, whatever it waits for: something about the lane itself has changed."""
        self._bell.ring(self.name)
        self._bell.ring(self)
        for conversation in self._conversations:
            self._bell.ring(conversation)

    async def _run(self) -> None:
        """Hand what comes due to a conversation that is idle, or open one more."""
        while not self._stopping:
            self._round_by = later(self._env.now(), BEAT)
            rung = self._bell.wait(self.name)
            self._full = False
            try:
                wait = await self._look()
            except StoreFailed:
                return  # the daemon stops: nothing may be begun any more
            except Exception:  # the edge of the room: a lane never ends by itself
                log.failure("lane {link} failed; looking again in {wait} s", link=self.name, wait=LOOK_EVERY)
                wait = LOOK_EVERY
            if self._full:  # each accepted page rings: not worth waking for while nobody can take it
                rung.cancel()
                rung = self._bell.wait(self)
            await first_of(rung, self._env.sleep(wait))
        await gatherResults([one.ended for one in self._conversations], consumeErrors=True)

    def relieved(self) -> None:
        """A conversation has room again and found nothing to take: from now on rings count."""
        if self._full:
            self._bell.ring(self)

    async def _look(self) -> float:
        """Open one more conversation if it is wanted; seconds until the next look."""
        if self._stopping:
            return LOOK_EVERY
        if self._mode != "open":
            return await self._pass_on()
        if self._closed:
            self._shut = True
            return await self._pass_on()
        if self._shut and self._maintenance() is None:
            self._shut, self._anew, self._pressed_since = False, True, None
        if self._anew:
            self._anew = False
            await self._work.reached(self.name, self._fence, self._env.now())
        for one in self._conversations:
            if one.idle:
                self._bell.ring(one)
                return LOOK_EVERY
        if len(self._conversations) + self._opening >= self._own.sessions:
            self._full = True
            return LOOK_EVERY
        now = self._env.now()
        if self._next_enquiry is not None and self._next_enquiry <= now:
            await self._plan_enquiry()  # the carrier may have told by itself meanwhile
        taking = await self._work.begin(self.name, self._fence, limit=0, ordinary=0, now=now)
        self._press(taking.next_critical, now)
        # after its rest a probe says whether pages may try this link first again
        rested = None if self.dialled else self._breaker.rests_until
        asked = now if self._proving and rested is None else None
        due = [at for at in (taking.next_due, self._next_enquiry, rested, asked) if at is not None]
        if not due:
            return LOOK_EVERY
        self._next_critical = taking.next_critical
        start = max(min(due), self._may_open_at(now))
        if start > now:
            return min(LOOK_EVERY, seconds_between(now, start))
        await self._open()
        return 0.0

    async def _pass_on(self) -> float:
        """The link is switched off, or in maintenance: those who wait learn of it, so that their next legs
        open."""
        now = self._env.now()
        taking = await self._work.begin(self.name, self._fence, limit=0, ordinary=0, now=now)
        self._press(taking.next_critical, now)
        if taking.next_due is None:
            return LOOK_EVERY
        if taking.next_due <= now:
            told = await self._tell_of_a_miss(self._shut_by(), now)
            return 0.0 if told == TOLD_OF_A_MISS else 1.0
        return min(LOOK_EVERY, seconds_between(now, taking.next_due))

    def _press(self, critical: Instant | None, now: Instant) -> None:
        """Know since when a critical page waits: one that is due, or will be after its wait for another
        try, and not one for later."""
        if critical is None or seconds_between(now, critical) > SOON:
            self._pressed_since = None
        elif self._pressed_since is None and critical <= now:
            self._pressed_since = now

    def _shut_by(self) -> NotSent:
        """Why nothing may be begun."""
        if self._mode == "open":
            zone = ZoneInfo(self._settings().site.zone)
            wall, now = self._env.wall(), self._env.now()
            over = later(wall, seconds_between(now, self._maintenance() or now))
            return NotSent(
                code="maintenance", why=f"the carrier's maintenance lasts until {local_time(over, zone)}"
            )
        by = f" by {self._by}" if self._by else ""
        what = "switched off" if self._mode == "suspended" else "being emptied"
        return NotSent(code=self._mode, why=f"this way out is {what}{by}")

    def _may_open_at(self, now: Instant) -> Instant:
        """When the link may be opened: paused, backing off or resting, but critical tries one a second."""
        pause = self._paused_until
        if self._failed_opens:
            wait = OPEN_WAITS[min(self._failed_opens, len(OPEN_WAITS)) - 1]
            pause = max(pause, later(self._last_open, wait))
        if self._breaker.rests_until is not None:
            pause = max(pause, self._breaker.rests_until)
        critical = self._next_critical
        if critical is not None and critical <= now and self._paused_until <= now:
            pause = min(pause, later(self._last_open, CRITICAL_OPEN_WAIT))
        return pause

    async def _open(self) -> None:
        """Connect and log in once; a failure is told to those who wait, and to the breaker."""
        began = self._last_open = self._env.now()
        self._round_by = later(began, (self._own.open_timeout or self._spec.open_timeout) + BEAT)
        self._opening += 1
        calling = self._calling = Deferred.fromCoroutine(self._link.open())
        try:
            session = await calling
        except CancelledError:  # we stop, and nothing was begun
            return
        except Exception:  # an adapter's bug while connecting: nothing can have been sent
            log.failure("adapter of {link} broke while connecting", link=self.name)
            session = NotSent(code="adapter-broke", why="the adapter failed while connecting; see the log")
        finally:
            self._opening -= 1
            self._calling = None
        if isinstance(session, NotSent):
            await self._missed(session, began)
            return
        if self._failed_opens:
            await self._work.reached(self.name, self._fence, self._env.now())
        self._failed_opens = 0
        self._failing_since = None
        self._proving = False
        self._last_reached = self._env.now()
        if self._breaker.rests_until is not None:
            self._breaker.probed()
            self._bell.ring("paths")
        conversation = _Conversation(self, session, self._own, self._bell, self._env)
        self._conversations.append(conversation)
        conversation.start()

    async def _missed(self, failure: NotSent, began: Instant) -> None:
        now = self._env.now()
        self._failed_opens += 1
        self._note_failure(now, failure.why, unanswered=False)
        told = await self._tell_of_a_miss(failure, began)
        self._metrics.attempts.labels(self.name, "not_sent").inc()
        log.warn(
            "link could not be opened: {link}: {why}",
            link=self.name,
            why=failure.why,
            code=failure.code,
            waiting=told,
        )

    async def _tell_of_a_miss(self, failure: NotSent, began: Instant) -> int:
        """Those who wait for this link wait longer, and their incidents look for another way; how many."""
        told = await self._work.missed(
            Missed(
                lane=self.name,
                fence=self._fence,
                began=began,
                ended=self._env.now(),
                code=failure.code,
                why=failure.why,
                waits=connect_waits(self._settings().classes, self._env.random.random()),
                limit=TOLD_OF_A_MISS,
            )
        )
        self._bell.ring("pursue")
        return told

    def _note_failure(self, now: Instant, why: str, *, unanswered: bool) -> None:
        self._failing_since = self._failing_since or now
        self._last_failure = why
        if self._maintenance() is not None:  # we were told beforehand
            return
        if self._breaker.failed(now, unanswered=unanswered):
            self._proving = False
            log.warn("link rests: {link} until {until}", link=self.name, until=self._breaker.rests_until)
        self._bell.ring("paths")

    # -------------------------------------------------------------- taking, for conversations

    @property
    def wants_more(self) -> bool:
        """Whether anything may be begun. A resting link ends its conversations: opening it is the probe."""
        open_ = self._mode == "open" and not self._stopping and not self._closed
        return open_ and not self._breaker.resting(self._env.now())

    async def take(self, free: int, slots: int, ordinary_under_way: int) -> Taking:
        """The best due deliveries for *free* of *slots*, as pacing allows; they are begun."""
        now = self._env.now()
        limit = free
        if self._breaker.half_open:
            limit = 0 if any(one.under_way for one in self._conversations) else min(limit, 1)
        if self._pace is not None:
            limit = min(limit, self._pace.left(now))
        if self._paused_until > now:
            limit = 0
        reserved = math.ceil(slots * self._own.reserve) if slots >= WINDOW_WITH_RESERVE else 0
        ordinary = max(0, min(limit, slots - reserved - ordinary_under_way))
        if self._maintenance() is not None:
            ordinary = 0
        if self._pace is not None:
            ordinary = min(ordinary, self._pace.left(now, ordinary=True))
            self._pace.take(now, limit, ordinary)  # before the await: two conversations must not use the same
        taking = await self._work.begin(self.name, self._fence, limit=limit, ordinary=ordinary, now=now)
        if self._pace is not None:
            begun = sum(not one.message_class.pressing for one in taking.begun)
            self._pace.give_back(limit - len(taking.begun), ordinary - begun)
        self._next_critical = taking.next_critical
        return taking

    def gives_alone(self, cls: MessageClass) -> bool:
        """Whether a page of *cls* is the only one of its call."""
        return self.calls is not None and self.calls.alone and cls is MessageClass.CRITICAL

    async def critical_due(self) -> bool:
        """Whether a critical page waits for a call of its own."""
        return self.calls is not None and self.calls.alone and await self._critical_due()

    async def _critical_due(self) -> bool:
        now = self._env.now()
        taking = await self._work.begin(self.name, self._fence, limit=0, ordinary=0, now=now)
        self._next_critical = taking.next_critical
        return taking.next_critical is not None and taking.next_critical <= now

    def next_take(self, taking: Taking) -> float:
        """Seconds until taking again may bring something."""
        now = self._env.now()
        if taking.next_due is None:
            return LOOK_EVERY
        start = max(taking.next_due, self._paused_until)
        if self._pace is not None:  # what is due and was not begun although there is room is ordinary
            start = max(start, self._pace.next_at(now, ordinary=taking.next_due <= now))
        # due but not begun: the window is full, or its reserve is kept; a conclusion rings
        return min(LOOK_EVERY, seconds_between(now, start)) if start > now else LOOK_EVERY

    async def submit(self, begun: Begun, session: Session, one_more: Callable[[], bool]) -> Conclusion:
        """Attempt a begun delivery. *one_more* is asked before each part but the first: whether the
        conversation takes another page, which is counted then."""
        self._env.failpoint("T2")
        began = self._env.now()
        display, rendered = self._rendered(begun)
        if not rendered.fits and not begun.last:
            why = "every form of the text is too long for this way, which refuses what it would have to cut"
            outcome: Outcome = Refused(about=About.PAGE, code=TOO_LONG, why=why)
            return Conclusion(outcome=outcome, began=began, ours=True)
        known = _parts_of(begun, rendered)
        if known is not None:
            conclusion = await self._submit_parts(begun, session, display, rendered.texts, known, one_more)
        else:
            text = marked(rendered.texts[0], self._copy(begun), display)
            page = self._page(begun, text, self._copy(begun))
            outcome = await attempt(session, page, self._env, self._longest())
            self._env.failpoint("sent")
            refs = outcome.refs if isinstance(outcome, Taken) else ()
            conclusion = Conclusion(outcome=outcome, began=began, refs=refs)
        if isinstance(conclusion.outcome, Taken):
            if rendered.cut or rendered.replaced or rendered.transliterated or rendered.broke:
                warning = "; ".join(filter(None, (conclusion.outcome.warning, rendered.says)))
                outcome = msgspec.structs.replace(conclusion.outcome, warning=warning)
                conclusion = msgspec.structs.replace(conclusion, outcome=outcome)
        elif isinstance(session, Recorded):
            said = "\n".join(session.transcript())[-MAX_TRANSCRIPT:] or None
            conclusion = msgspec.structs.replace(conclusion, transcript=said)
        return conclusion

    async def _submit_parts(
        self,
        begun: Begun,
        session: Session,
        display: Display,
        texts: tuple[str, ...],
        known: PartsTaken,
        one_more: Callable[[], bool],
    ) -> Conclusion:
        """Submit the parts that the carrier has not taken, in order, until one is not taken.

        What was taken goes on record when the attempt is concluded: after a crash on the way every part of
        this attempt is in doubt.
        """
        began = self._env.now()
        level = Level.HANDED_OVER if known.taken else None
        outcome: Outcome = Taken()
        refs: list[CarrierRef] = []
        first = True
        for part in known.missing:
            wait = None if first else await self._wait_for_turn(begun, session, one_more)
            if wait is not None:
                outcome = NotSent(code=NEXT_PART, why=f"the other parts wait: {wait}", again=True)
                break
            first = False
            copy = self._copy(begun, part, known)
            page = self._page(begun, marked(texts[part - 1], copy, display), copy, part, known.of)
            outcome = await attempt(session, page, self._env, self._longest())
            self._env.failpoint("sent")
            if not isinstance(outcome, Taken):
                if isinstance(outcome, InDoubt):
                    known = known.with_doubt(part)
                break
            known = known.with_taken(part)
            level = outcome.level if level is None else min(level, outcome.level)
            refs += (msgspec.structs.replace(ref, part=part) for ref in outcome.refs)
        if isinstance(outcome, Taken):
            outcome = msgspec.structs.replace(outcome, level=level or Level.HANDED_OVER, refs=tuple(refs))
        return Conclusion(outcome=outcome, began=began, refs=tuple(refs), parts=known)

    async def _wait_for_turn(
        self, begun: Begun, session: Session, one_more: Callable[[], bool]
    ) -> str | None:
        """Wait until the next part of *begun* may go, as any page would have to; why it must wait longer than
        that, None if it may go now."""
        critical = begun.message_class is MessageClass.CRITICAL
        ordinary = not begun.message_class.pressing
        while True:
            yields = session.slots < WINDOW_WITH_RESERVE and not critical
            if yields and await self._critical_due():
                return "a critical page goes first"
            if not await self._work.goes_on(begun.delivery, self.name, self._fence, self._env.now()):
                return "the page is not wanted any more"
            now = self._env.now()
            if self._mode == "suspended" or (self._maintenance() is not None and not critical):
                return "this way out is closed"
            if self._paused_until > now or self._breaker.resting(now):
                return "this way out rests"
            free = now if self._pace is None else self._pace.next_at(now, ordinary=ordinary)
            if free <= now:
                break
            if self._stopping or seconds_between(now, free) > PART_PATIENCE:
                return "the rate of this way out is used up"
            await self._env.sleep(seconds_between(now, free))
        if not one_more():
            return "this conversation takes no more"
        if self._pace is not None:
            self._pace.take(now, 1, int(ordinary))
        return None

    def _longest(self) -> float:
        """Seconds after which an attempt cannot be under way any more, whatever the adapter says."""
        open_time = self._own.open_timeout or self._spec.open_timeout
        answer = self._own.answer_timeout or self._spec.answer_timeout
        return 10 * (open_time + answer) + OVERDUE_GRACE

    def _rendered(self, begun: Begun) -> tuple[Display, Rendered]:
        """What goes out of a delivery over this link, and how it is shown there."""
        settings = self._settings()
        if self._shown is None or self._shown[0] is not settings:
            self._shown = settings, display_of(settings, self.name, self._measure)
        display = self._shown[1]
        rendered = render(
            begun.content,
            display,
            message_class=begun.message_class,
            ref=begun.ref,
            copy=self._copy(begun),
            sender=begun.client,
        )
        if rendered.broke is not None:
            log.error(
                "text could not be filled in: {delivery} on {link}: {why}",
                delivery=begun.delivery,
                link=self.name,
                why=rendered.broke,
            )
        return display, rendered

    def _copy(self, begun: Begun, part: int = 1, known: PartsTaken | None = None) -> int:
        """Which copy goes out, of the page or of one part of it: only what was in doubt may be a second."""
        before = begun.parts
        if before is None or known is None:
            return 1 + begun.copies_before + begun.doubts
        if before.split == known.split:
            return 1 + begun.copies_before + known.doubted.count(part)
        return 1 + begun.copies_before + max(begun.doubts, bool(before.taken))  # in another form

    def _page(self, begun: Begun, text: str, copy: int, part: int = 1, parts: int = 1) -> Page:
        return Page(
            delivery=begun.delivery,
            public_id=begun.public_id,
            correlation=of_part(begun.correlation, part),
            address=begun.address,
            text=text,
            message_class=begun.message_class,
            expires=begun.deadline,
            sender=begun.content.callback,
            replies=begun.content.replies if part == parts else (),  # one is answered, not each part
            ref=begun.ref,
            copy=copy,
            part=part,
            parts=parts,
        )

    async def conclude(self, begun: Begun, conclusion: Conclusion) -> None:
        """Learn from an outcome how the link does, and put it on record."""
        first = not (begun.tries or begun.connects or begun.doubts)
        conclusion = self._by_the_rules(conclusion, first=first)
        await self._record(begun, conclusion)

    def _by_the_rules(self, conclusion: Conclusion, *, first: bool) -> Conclusion:
        """*conclusion* as the carrier's rules read it; the link is treated accordingly."""
        if conclusion.ours:
            return conclusion
        now = self._env.now()
        carrier, _, link = self.name.partition(".")
        found = self._settings().carriers.get(carrier)
        rules = () if found is None else found.rules
        by_rule = ruled(rules, conclusion.outcome, protocol=self._own.adapter, link=link, now=now)
        self._heed(by_rule.outcome, now, first=first)
        if by_rule.pause_until is not None:
            self._ruled_until = max(self._ruled_until, by_rule.pause_until)
            self._paused_until = max(self._paused_until, by_rule.pause_until)
        return msgspec.structs.replace(conclusion, outcome=by_rule.outcome)

    async def _record(self, begun: Begun, conclusion: Conclusion) -> None:
        """Decide what follows and put it on record; then tell whoever waits."""
        outcome = conclusion.outcome
        now = self._env.now()
        settings = self._settings()
        policy = policy_for(settings.classes[begun.message_class], self._own)
        verdict = decide(outcome, begun, policy, now, self._env.random.random())
        retry = verdict.due is not None and not (isinstance(outcome, NotSent) and outcome.again)
        if retry and not begun.message_class.pressing and verdict.then is None:
            assert verdict.due is not None
            verdict = msgspec.structs.replace(verdict, due=self._budget.spread(verdict.due, now))
        token = token_of(outcome)
        done = await self._work.conclude(
            Concluded(
                delivery=begun.delivery,
                message=begun.message,
                client=begun.client,
                lane=self.name,
                fence=self._fence,
                began=conclusion.began,
                ended=now,
                outcome=token,
                code=outcome.code,
                why=outcome.why,
                verdict=verdict,
                refs=conclusion.refs,
                warning=outcome.warning if isinstance(outcome, Taken) else None,
                transcript=conclusion.transcript,
                parts=conclusion.parts,
            )
        )
        self._env.failpoint("T3")
        self._metrics.attempts.labels(self.name, token).inc()
        if isinstance(outcome, InDoubt):
            self._metrics.doubts.labels(self.name).inc()
        if not done:
            log.warn(
                "conclusion came too late: {delivery} on {link}", delivery=begun.delivery, link=self.name
            )
            return
        if any(ref.enquire_at is not None for ref in conclusion.refs):
            await self._plan_enquiry()
        if isinstance(outcome, Taken):
            took = seconds_between(begun.opened_at, now)
            self._metrics.handed_over(begun.message_class, took)
            if outcome.level > Level.HANDED_OVER:
                self._metrics.reached(outcome.level, begun.message_class, took)
        else:
            log.info(
                "attempt concluded: {outcome}",
                outcome=token,
                link=self.name,
                code=outcome.code,
                delivery=begun.delivery,
                happening=verdict.happening.name,
            )
        if isinstance(outcome, Refused) and outcome.about is About.LINK:
            await self._switch_off(outcome, now)
        self._bell.ring(begun.message)
        if begun.incident is not None:
            self._bell.ring("pursue")
        if verdict.due is not None:
            self._bell.ring("lapse" if verdict.then is not None else self.name)

    def _heed(self, outcome: Outcome, now: Instant, *, first: bool) -> None:
        """What an outcome says about the link itself: breaker, pause, retry budget."""
        if first:
            self._budget.first_try(now)
        match outcome:
            case InDoubt(code=code, why=why):  # an adapter's bug is not the carrier's silence
                self._note_failure(now, why, unanswered=code != BROKE)
            case NotSent(why=why, again=False):
                self._note_failure(now, why, unanswered=False)
            case Later(about=About.LINK, not_before=not_before):
                waits = self._own.breaker.rests
                wanted = not_before or later(now, min(waits[0], LOOK_EVERY))
                self._paused_until = max(self._paused_until, wanted)
                self._breaker.succeeded(now)
                self._bell.ring(f"fetching {self.name}")  # it may want to be rid of its answers first
            case Taken():
                self._last_taken = now
                self._breaker.succeeded(now)
            case _:
                self._breaker.succeeded(now)

    async def _switch_off(self, outcome: Refused, now: Instant) -> None:
        """The carrier refuses the link itself (credentials, service): a person must look."""
        why = f"{outcome.code} {outcome.why}".strip()
        await self._desk.set_link(self.name, "suspended", by="gateway", why=why, now=now)
        self.set_mode("suspended", "gateway", why)
        log.error("link suspended: {link}: {why}", link=self.name, why=why)

    # -------------------------------------------------------------- enquiries, for conversations

    async def enquire(self, session: Session) -> None:
        """Ask the carrier about what it took, as far as that is due; know when the next one is."""
        now = self._env.now()
        if self._next_enquiry is None or self._next_enquiry > now or not isinstance(session, Enquiring):
            return
        # while this conversation asks no other one does; and if it breaks, this is when it is asked again
        self._next_enquiry = later(now, self._spec.enquiry_waits[0])
        for enquiry in await self._work.enquiries(self.name, now, ENQUIRIES_AT_ONCE):
            final = False
            for evidence in await session.enquire(enquiry.ref):
                final = final or evidence.final
                await self._reception.report(self.name, evidence)
            await self._work.enquired(enquiry, None if final else self._ask_again(enquiry))
        await self._plan_enquiry()

    async def _fetch(self) -> float:
        """Fetch what the carrier keeps for us, whether or not a page is due; seconds until the next time."""
        if self._mode == "suspended" or not isinstance(self._link, Fetching):
            return LOOK_EVERY
        return await self._link.fetch()

    async def _plan_enquiry(self) -> None:
        """Look up when the carrier is to be asked next."""
        if self._spec.enquiry_waits:
            self._next_enquiry = await self._work.next_enquiry(self.name)

    def _ask_again(self, enquiry: Enquiry) -> Instant | None:
        waits = self._spec.enquiry_waits
        return later(self._env.now(), waits[enquiry.asked]) if enquiry.asked < len(waits) else None

    def ended(self, conversation: _Conversation) -> None:
        """A conversation is over."""
        self._conversations.remove(conversation)
        self.wake()

    def until_enquiry(self) -> float:
        """Seconds until an enquiry is due."""
        if self._next_enquiry is None:
            return LOOK_EVERY
        return max(0.0, seconds_between(self._env.now(), self._next_enquiry))


class _Conversation:
    """One session of a lane while it lasts: fills its free slots with the best due deliveries."""

    def __init__(self, lane: Lane, session: Session, own: LinkSettings, bell: Bell, env: Env) -> None:
        self._lane = lane
        self._session = session
        self._own = own
        self._bell = bell
        self._env = env
        self._lost = False
        self._ordinary = 0
        self._submitted = 0
        self._alone = False  # a critical page has this call for itself
        self._began = env.now()
        self._concluding = 0
        self.under_way = 0
        self.ended: Deferred[None] = Deferred()
        session.lost.addBoth(self._on_lost)

    @property
    def idle(self) -> bool:
        """Whether it has a free slot and may still take."""
        return not self._lost and self._free() > 0

    def start(self) -> None:
        """Begin to take."""
        Deferred.fromCoroutine(self._converse()).addBoth(self._finish)

    def _on_lost(self, _: object) -> None:
        self._lost = True
        self._lane.wake()

    def _finish(self, result: object) -> None:
        _tell(result, "conversation of {link} failed", self._lane.name)
        self._lane.ended(self)
        self.ended.callback(None)

    def _left(self, *, parts: bool = False) -> int:
        """Pages that this conversation still takes, those under way not counted; or *parts* of one of
        those, which has the call to itself if it has it alone."""
        left = self._session.slots
        if self._session.left is not None:
            left = self._session.left - self.under_way + parts
        if self._own.per_session is not None:
            left = min(left, self._own.per_session - self._submitted)
        if (calls := self._lane.calls) is not None and not (parts and self._alone):
            long = seconds_between(self._began, self._env.now()) >= calls.seconds
            left = 0 if self._alone or long else min(left, calls.pages - self._submitted)
        return left

    def _free(self) -> int:
        return min(self._session.slots - self.under_way, self._left())

    async def _converse(self) -> None:
        """Talk, then say goodbye. Not ``finally``: a conversation that is thrown away cannot say anything."""
        try:
            await self._talk()
        except Exception:
            self._lost = True
            await self._session.close()
            raise
        self._lost = True  # from here on it takes nothing: what comes due wants another conversation
        await self._session.close()

    async def _talk(self) -> None:
        lane, env = self._lane, self._env
        quiet_since = env.now()
        while not self._lost and lane.wants_more and (self.under_way or self._left() > 0):
            rung = self._bell.wait(self)
            wait = LOOK_EVERY
            if self._free() > 0:
                await lane.enquire(self._session)
            free = self._free()
            if free > 0 and self._submitted and await lane.critical_due():
                rung.cancel()
                break
            if free > 0 and not self._lost:
                taking = await lane.take(free, self._session.slots, self._ordinary)
                for begun in taking.begun:
                    self._run(begun)
                wait = lane.next_take(taking)
                if len(taking.begun) < free:
                    lane.relieved()
                elif taking.next_due is not None and taking.next_due <= env.now():
                    self._bell.ring(lane.name)  # there is more: somebody else may be idle
            if self.under_way:
                quiet_since = env.now()
                if self._free() <= 0:
                    await rung  # the end of an attempt, of the session or of the lane
                    continue
            else:
                quiet = seconds_between(quiet_since, env.now())
                if quiet >= self._own.idle:
                    break
                wait = min(wait, self._own.idle - quiet, lane.until_enquiry())
            await first_of(rung, env.sleep(wait))
        while self.under_way or self._concluding:
            await first_of(self._bell.wait(self), env.sleep(LOOK_EVERY))

    def _run(self, begun: Begun) -> None:
        """Start an attempt in a free slot; the slot is free again as soon as its end is being written."""
        self.under_way += 1
        self._submitted += 1
        self._ordinary += not begun.message_class.pressing
        self._alone = self._alone or self._lane.gives_alone(begun.message_class)
        Deferred.fromCoroutine(self._attempt(begun)).addBoth(
            lambda result: _tell(result, "attempt of {link} failed", self._lane.name)
        )

    def _one_more(self) -> bool:
        """Whether it takes one more part of a page that is under way; then it is counted."""
        more = not self._lost and self._left(parts=True) > 0
        self._submitted += more
        return more

    async def _attempt(self, begun: Begun) -> None:
        try:
            conclusion = await self._lane.submit(begun, self._session, self._one_more)
        finally:
            self.under_way -= 1
            self._ordinary -= not begun.message_class.pressing
        if conclusion.outcome.code in (BROKE, OVERDUE):
            self._lost = True  # half a page may stand in this dialogue: it must not become part of another's
        self._concluding += 1
        try:
            written = Deferred.fromCoroutine(self._lane.conclude(begun, conclusion))
            self._bell.ring(self)  # what is begun now is written behind this conclusion
            await written
        finally:
            self._concluding -= 1
            if not self._concluding:
                self._bell.ring(self)


def _parts_of(begun: Begun, rendered: Rendered) -> PartsTaken | None:
    """What is on record of the parts; None for what goes out whole, as nearly always. If the text is split in
    another way now, or no more, nothing of that counts."""
    if begun.parts is not None and begun.parts.split == rendered.split:
        return begun.parts
    if begun.parts is None and len(rendered.texts) == 1:
        return None
    return PartsTaken(rendered.split, len(rendered.texts))


def _tell(result: object, what: str, link: LinkName) -> None:
    """Log the failure of a coroutine that nobody awaits; a failed store is told by whoever stops."""
    if isinstance(result, Failure) and not isinstance(result.value, StoreFailed):
        log.failure(what, failure=result, link=link)
