"""What may be said now, on both sides of a TAP call. No sockets, no clock.

`ClientSession` is the entry device: it leads pages through a paging terminal and says what became of each;
the point of no return is `commit`, the CR after the last block's checksum. `ServerSession` is the terminal:
it takes pages, asks its application, and answers. Time comes in by `expired` and goes out as `Wait`. The
tables of states are drawn in docs/protocols/tap.md.
"""

import re
from collections import deque
from enum import Enum
from typing import assert_never

from msgspec import Struct

from protocols.events import Hangup, Over, ReadyToSend, Say, Wait, Write
from protocols.tap import codec
from protocols.tap import messages as m
from protocols.tap.codec import Block, GoAhead, Line, LogOff, Prompt, Said
from protocols.tap.messages import (
    Answer,
    Control,
    Farewell,
    InDoubt,
    InvalidValue,
    Kind,
    Later,
    LocalProtocolError,
    Message,
    NotSent,
    Page,
    Refused,
    Result,
    Taken,
    answer_of,
)
from protocols.text import plain

# The entry device's side


class Phase(Enum):
    """Where an entry device's call is."""

    CALLING = "waiting for the line"
    WAKING = "waking the terminal"
    LOGGING_ON = "logging on"
    ACKED = "logged on, waiting for the go-ahead"
    READY = "ready"
    PART = "a part of a page sent"
    BLOCK = "last block written, but not its CR"
    SENT = "last block sent"
    LEAVING = "logging off"
    CLOSED = "closed"


class Move(Enum):
    """What takes an entry device's call on."""

    BEGIN = "the line is there"
    LOG_ON = "ID=, NAK, or silence"
    ACK = "ACK to the logon"
    GO_AHEAD = "ESC [ p"
    PART = "a block that is not the last"
    BLOCK = "the last block"
    COMMIT = "its CR"
    DONE = "answered"
    LEAVE = "EOT, or ESC EOT"
    CLOSE = "loss, silence, out of step"


NEXT: dict[tuple[Phase, Move], Phase] = {
    (Phase.CALLING, Move.BEGIN): Phase.WAKING,
    (Phase.WAKING, Move.LOG_ON): Phase.LOGGING_ON,
    (Phase.LOGGING_ON, Move.LOG_ON): Phase.LOGGING_ON,
    (Phase.LOGGING_ON, Move.ACK): Phase.ACKED,
    (Phase.LOGGING_ON, Move.GO_AHEAD): Phase.READY,  # some terminals leave the ACK out
    (Phase.ACKED, Move.LOG_ON): Phase.LOGGING_ON,
    (Phase.ACKED, Move.GO_AHEAD): Phase.READY,
    (Phase.READY, Move.LOG_ON): Phase.LOGGING_ON,  # the terminal has begun anew
    (Phase.READY, Move.PART): Phase.PART,
    (Phase.PART, Move.PART): Phase.PART,
    (Phase.READY, Move.BLOCK): Phase.BLOCK,
    (Phase.PART, Move.BLOCK): Phase.BLOCK,
    (Phase.BLOCK, Move.COMMIT): Phase.SENT,  # the point of no return
    (Phase.SENT, Move.BLOCK): Phase.BLOCK,  # the same again
    (Phase.PART, Move.DONE): Phase.READY,
    (Phase.BLOCK, Move.DONE): Phase.READY,
    (Phase.SENT, Move.DONE): Phase.READY,
    (Phase.READY, Move.LEAVE): Phase.LEAVING,
    **{(phase, Move.CLOSE): Phase.CLOSED for phase in Phase},
}

MAX_LINES = 200  # lines of text in one answer; our limit: HylaFAX gives up after three
MAX_ANSWER = 16_384  # octets that may come before a control character; our limit, a long banner has 2,000
KEPT_LINES = 20  # of these the last are kept, where the code is


class Transparency(Enum):
    """Whether the terminal reads SUB pairs."""

    AUTO = "auto"  # if it says 110 and a version from 1.6
    ALWAYS = "always"
    NEVER = "never"


class Manner(Struct, frozen=True, kw_only=True):
    """How a terminal wants to be spoken to.

    *body*: octets of a block between STX and terminator. *pages*: of one call. *logons*, *sends*: how often
    the same is said before we give up. *repeats*: how often the last block is sent again when no answer at
    all comes; each may be one copy more.
    """

    logon: m.Automatic = m.Automatic()
    transparency: Transparency = Transparency.AUTO
    continuation: codec.Continuation = codec.Continuation.US
    body: int = codec.MAX_BODY
    pages: int | None = None
    logons: int = 3
    sends: int = 4  # TAP 1.8, N2: the first and three more
    repeats: int = 1

    def __post_init__(self) -> None:
        if self.body < codec.LEAST_BODY:
            raise InvalidValue("block", f"has less than {codec.LEAST_BODY} octets")


class Timing(Struct, frozen=True, kw_only=True):
    """Seconds, each counted from when all that was written has left the line; docs, "Limits"."""

    first: float = 0.0  # before the first CR; a terminal may say ID= unasked
    wake: float = 2.0  # T1
    wakes: int = 10  # N1; TAP 1.8 says 3, HylaFAX and slow terminals 20 s in all
    settle: float = 1.0  # T2: ID= that comes sooner after our logon was said before it
    logon: float = 15.0  # T3
    go_ahead: float = 30.0  # T3, begun anew by every line of text
    answer: float = 30.0  # T3, begun anew by 111
    goodbye: float = 10.0  # T3
    linger: float = 1.0  # for the terminal to drop the line first, after its ESC EOT


class Opened(Struct, frozen=True, kw_only=True):
    """Logged on. *version*: what 110 said, ``1.8``. *transparent*: texts may have SUB pairs."""

    version: str | None
    transparent: bool
    said: tuple[Message, ...] = ()


class NotOpened(Struct, frozen=True, kw_only=True):
    """No pages can be sent. *step*: CONN, ID=, LOGON or GO, what failed. *answer*: what refused, if any."""

    why: str
    step: str
    answer: Answer | None = None


class Concluded(Struct, frozen=True, kw_only=True):
    """What became of the page."""

    result: Result


class Leaving(Struct, frozen=True, kw_only=True):
    """No page can be sent any more; the goodbye goes on, and `Over` will follow."""


ClientEvent = Write | Wait | ReadyToSend | Opened | NotOpened | Concluded | Leaving | Over


class _Job:
    """A page on its way through the terminal."""

    def __init__(self, blocks: tuple[bytes, ...]) -> None:
        self.blocks = blocks
        self.at = 0
        self.sends = 0  # of the block at hand
        self.repeats = 0
        self.doubt = False  # a copy went out that nobody has answered

    @property
    def last(self) -> bool:
        return self.at == len(self.blocks) - 1


class ClientSession:
    """One call to a terminal; one page under way at a time.

    Feed it what comes (`receive`), the time (`expired`), and the end (`lose`); do what the events say, in
    order. After an answer that nobody asked for, and after a block that was answered late or twice, no
    further page is sent in this call, because from then on any answer could be another's.
    """

    def __init__(self, *, manner: Manner | None = None, timing: Timing | None = None) -> None:
        self.phase = Phase.CALLING
        self.farewell = Farewell()
        self._manner = manner or Manner()
        self._timing = timing or Timing()
        self._decoder = codec.AnswerDecoder()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._count = 0  # lines since the last control character
        self._octets = 0  # heard since then, or since we spoke
        self._wakes = 0
        self._logons = 0
        self._silences = 0  # logons without any answer
        self._settled = False  # ID= now would be new
        self._logon_answer: Answer | None = None
        self._opened: Opened | None = None
        self._pages = 0
        self._job: _Job | None = None
        self._full = False  # 112, 113, or as many pages as the manner says

    @property
    def idle(self) -> bool:
        """Logged on, and no page under way."""
        return self._opened is not None and self._job is None and not self.closed

    @property
    def closed(self) -> bool:
        """No page can be sent any more."""
        return self.phase in (Phase.LEAVING, Phase.CLOSED)

    @property
    def left(self) -> int | None:
        """Pages that this call still takes; None: any number."""
        if self.closed or self._full:
            return 0
        return None if self._manner.pages is None else max(0, self._manner.pages - self._pages)

    @property
    def refusal(self) -> NotSent | None:
        """Why this call takes no page any more, if it does not."""
        if self.left != 0:
            return None
        limit = self._full or not self.closed
        return NotSent(why="the call takes no more pages" if limit else self.farewell.why, limit=limit)

    # What we say

    def begin(self) -> list[ClientEvent]:
        """The line is there."""
        self._move(Move.BEGIN)
        return [Wait(seconds=self._timing.first)] if self._timing.first else self._wake()

    def submit(self, page: Page) -> list[ClientEvent]:
        """Begin *page*. `LocalProtocolError` unless idle; `InvalidValue` if this terminal cannot take it."""
        if not self.idle or self.left == 0 or self._opened is None:
            raise LocalProtocolError(f"a page while {self.phase.value}")
        if page.transparent and not self._opened.transparent:
            raise InvalidValue("text", "has SUB pairs, which the terminal has not declared to read")
        manner = self._manner
        blocks = codec.encode_page(page, body=manner.body, continuation=manner.continuation)
        self._job = _Job(blocks)
        self._pages += 1
        # The terminal may just have us log on again: then the page waits.
        return self._send(self._job) if self.phase is Phase.READY else []

    def commit(self) -> list[ClientEvent]:
        """The CR after the last checksum. From the moment it is handed to the transport silence is doubt."""
        self._move(Move.COMMIT)
        self._forget()  # what was said before belongs to something else
        return [Write(data=b"\r"), Wait(seconds=self._timing.answer)]

    def quit(self) -> list[ClientEvent]:
        """Log off; `Over` will follow. In the middle of anything else: give it up."""
        if self.phase is Phase.READY:
            return self._leave("we logged off")
        return [] if self.phase is Phase.LEAVING else self.lose("closed by us")

    def _move(self, move: Move) -> None:
        try:
            self.phase = NEXT[self.phase, move]
        except KeyError:
            raise LocalProtocolError(f"{move.value} while {self.phase.value}") from None

    def _wake(self) -> list[ClientEvent]:
        if self._wakes >= self._timing.wakes:
            return self._fail("no ID= came", "ID=")
        self._wakes += 1
        return [Write(data=codec.WAKE), Wait(seconds=self._timing.wake)]

    def _log_on(self) -> list[ClientEvent]:
        if self._logons >= self._manner.logons:
            answer = self._logon_answer
            return self._fail(f"logon not accepted: {answer or 'the terminal begins anew'}", "LOGON", answer)
        self._logons += 1
        self._settled = False
        self._move(Move.LOG_ON)
        self._forget()
        settle = min(self._timing.settle, self._timing.logon)
        return [Write(data=codec.encode_logon(self._manner.logon)), Wait(seconds=settle)]

    def _send(self, job: _Job) -> list[ClientEvent]:
        """The block at hand; the last one without its CR, which `commit` adds."""
        job.sends += 1
        block = job.blocks[job.at]
        self._forget()
        if job.last:
            self._move(Move.BLOCK)
            return [Write(data=block[:-1]), ReadyToSend()]
        self._move(Move.PART)
        return [Write(data=block), Wait(seconds=self._timing.answer)]

    def _leave(self, why: str, *, said: bool = False) -> list[ClientEvent]:
        """Log off; *said*: the terminal has said ESC EOT, so it has the last word already."""
        self._note(why=why)
        self._move(Move.LEAVE)
        self._forget()
        if said:
            return [Leaving(), Wait(seconds=self._timing.linger)]
        return [Leaving(), Write(data=codec.LOG_OFF), Wait(seconds=self._timing.goodbye)]

    def _forget(self) -> None:
        self._lines.clear()
        self._count = 0
        self._octets = 0

    def _note(self, *, why: str | None = None, taken: int = 0, refusal: Answer | None = None) -> None:
        was = self.farewell
        self.farewell = Farewell(
            taken=was.taken + taken, refusal=refusal or was.refusal, why=was.why if why is None else why
        )

    # What we hear

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Take in *data* from the terminal."""
        events: list[ClientEvent] = []
        self._octets += len(data)
        for heard in self._decoder.receive(data):
            if self.phase is Phase.CLOSED:
                break
            match heard:
                case Line(text=text):
                    events += self._line(text)
                case Prompt(alone=alone):
                    events += self._prompt(alone)
                case GoAhead():
                    if self.phase in (Phase.LOGGING_ON, Phase.ACKED):
                        events += self._ready()
                case Control():
                    answer = Answer(heard, codec.messages_of(list(self._lines)))
                    self._forget()
                    events += self._control(answer)
                case _:
                    assert_never(heard)
        if self._octets > MAX_ANSWER and self.phase is not Phase.CLOSED:
            events += self.lose(f"the terminal says more than {MAX_ANSWER} octets")
        return events

    def expired(self) -> list[ClientEvent]:
        """What we waited for has not come."""
        match self.phase:
            case Phase.WAKING:
                return self._wake()
            case Phase.LOGGING_ON if not self._settled:
                self._settled = True
                return [Wait(seconds=max(0.0, self._timing.logon - self._timing.settle))]
            case Phase.LOGGING_ON if self._silences:
                return self._fail("no answer to the logon", "LOGON")
            case Phase.LOGGING_ON:
                self._silences += 1
                return self._log_on()
            case Phase.ACKED:
                return self._fail("no go-ahead came", "GO")
            case Phase.PART | Phase.SENT:
                return self._unanswered()
            case Phase.LEAVING:
                return [self._over(self.farewell.why)]
            case _:
                return []

    def lose(self, why: str) -> list[ClientEvent]:
        """The line is lost or never came, or a time limit of the caller's own has passed."""
        if self.phase is Phase.CLOSED:
            return []
        if self._opened is None:
            step = {Phase.CALLING: "CONN", Phase.WAKING: "ID=", Phase.LOGGING_ON: "LOGON"}
            return self._fail(why, step.get(self.phase, "GO"))
        if self.phase is Phase.LEAVING:
            return [self._over(self.farewell.why)]
        events: list[ClientEvent] = []
        if self._job:
            doubt = self.phase is Phase.SENT or self._job.doubt
            events.append(Concluded(result=InDoubt(why=why) if doubt else NotSent(why=why)))
        return [*events, self._over(why)]

    def _over(self, why: str) -> Over:
        self._job = None
        self._note(why=why)
        self._move(Move.CLOSE)
        return Over(why=why)

    def _fail(self, why: str, step: str, answer: Answer | None = None) -> list[ClientEvent]:
        """No logon, the first or, in the middle of a call, another."""
        if self._opened is None:
            return [NotOpened(why=why, step=step, answer=answer), self._over(why)]
        return self.lose(why)

    def _line(self, text: str) -> list[ClientEvent]:
        self._count += 1
        if text.strip() == "NO CARRIER":  # of a modem that nobody in between has understood
            return self.lose("the modem says NO CARRIER")
        if self._count > MAX_LINES:
            return self.lose(f"the terminal says more than {MAX_LINES} lines")
        self._lines.append(text)
        match self.phase:
            case Phase.ACKED:
                return [Wait(seconds=self._timing.go_ahead)]
            case Phase.PART | Phase.SENT if _WORKING.match(text):
                return [Wait(seconds=self._timing.answer)]
            case Phase.LOGGING_ON if _WORKING.match(text):
                self._settled = True
                return [Wait(seconds=self._timing.logon)]
            case _:
                return []

    def _prompt(self, alone: bool) -> list[ClientEvent]:
        match self.phase:
            case Phase.WAKING:
                return self._log_on()
            case Phase.LOGGING_ON if self._settled and alone:
                return self._log_on()
            case Phase.ACKED | Phase.READY if alone:
                return self._log_on()
            case _:
                return []

    def _ready(self) -> list[ClientEvent]:
        self._move(Move.GO_AHEAD)
        said = codec.messages_of(list(self._lines))
        self._forget()
        if self._opened:
            return self._send(self._job) if self._job else []
        said = (*(self._logon_answer.messages if self._logon_answer else ()), *said)
        version = next((_version(one) for one in said if one.code == 110), None)
        match self._manner.transparency:
            case Transparency.AUTO:
                transparent = version is not None and _since_1_6(version)
            case other:
                transparent = other is Transparency.ALWAYS
        self._opened = Opened(version=version, transparent=transparent, said=said)
        return [self._opened]

    def _control(self, answer: Answer) -> list[ClientEvent]:
        match self.phase:
            case Phase.WAKING | Phase.LOGGING_ON | Phase.ACKED:
                return self._logon_answered(answer)
            case Phase.PART | Phase.SENT if self._job:
                return self._answered(self._job, answer)
            case Phase.BLOCK if self._job:
                return self._too_soon(self._job, answer)
            case Phase.READY:
                return self._unasked(answer)
            case Phase.LEAVING:
                if answer.control is Control.RS:
                    self._note(refusal=answer)
                elif answer.control is Control.DROP:
                    return [Wait(seconds=self._timing.linger)]
                return []
            case _:
                return []

    def _logon_answered(self, answer: Answer) -> list[ClientEvent]:
        step = {Phase.WAKING: "ID=", Phase.LOGGING_ON: "LOGON"}.get(self.phase, "GO")
        match answer.control:
            case Control.DROP:
                return self._fail(f"the terminal hung up: {answer}", step, answer)
            case Control.ACK if self.phase is Phase.LOGGING_ON:
                self._logon_answer = answer
                self._move(Move.ACK)
                return [Wait(seconds=self._timing.go_ahead)]
            case Control.NAK if self.phase is Phase.LOGGING_ON:
                self._logon_answer = answer
                return self._log_on()
            case Control.NAK | Control.RS if self.phase is not Phase.WAKING:
                return self._fail(f"logon refused: {answer}", step, answer)
            case _:
                return []

    # What became of a page

    def _answered(self, job: _Job, answer: Answer) -> list[ClientEvent]:
        match answer.control:
            case Control.ACK if _code_class(answer) == 5:
                return self._conclude(
                    job, InDoubt(why=f"the terminal contradicts itself: {answer}"), leave=True
                )
            case Control.ACK if job.last:
                self._note(taken=1)
                return self._conclude(job, Taken(answer=answer), leave=job.doubt or answer.limited)
            case Control.ACK:
                job.at += 1
                job.sends = 0
                return self._send(job)
            case Control.NAK if job.sends < self._manner.sends:
                return self._send(job)
            case Control.NAK:
                refused = answer.kind is Kind.PERMANENT
                result = Refused(answer=answer) if refused else Later(answer=answer)
                return self._conclude(job, result, leave=True)
            case Control.RS if _code_class(answer) == 2:
                return self._conclude(
                    job, InDoubt(why=f"the terminal contradicts itself: {answer}"), leave=True
                )
            case Control.RS:
                return self._conclude(job, _no(answer), leave=job.doubt or answer.limited)
            case Control.DROP:
                return [*self._conclude(job, self._dropped(job, answer)), *self._dropped_line(answer)]
            case _:
                assert_never(answer.control)

    def _dropped(self, job: _Job, answer: Answer) -> Result:
        """ESC EOT to a block: the code decides; without one nobody knows (docs, "The client")."""
        if _code_class(answer) == 2 and job.last:
            self._note(taken=1)
            return Taken(answer=answer)
        if answer.limited or _code_class(answer) == 5:
            return _no(answer)
        why = f"the terminal hung up: {answer}"
        return InDoubt(why=why) if job.last else NotSent(why=why)

    def _dropped_line(self, answer: Answer) -> list[ClientEvent]:
        self._full = self._full or answer.limited
        return self._leave(f"the terminal hung up: {answer}", said=True)

    def _unanswered(self) -> list[ClientEvent]:
        job = self._job
        assert job
        if not job.last:  # sent again, its two answers could be taken for the next block's too
            return self._conclude(job, NotSent(why="no answer to a part of the page"), leave=True)
        if job.repeats < self._manner.repeats:
            job.repeats += 1
            job.doubt = True
            return self._send(job)
        return self._conclude(job, InDoubt(why="no answer to the page"), leave=True)

    def _conclude(self, job: _Job, result: Result, *, leave: bool = False) -> list[ClientEvent]:
        if job.doubt and isinstance(result, Later | NotSent):
            # This copy was not taken, but the one before it may have been.
            result = InDoubt(why=f"no answer to the first copy, then {_told(result)}")
        if isinstance(result, NotSent) and result.limit:
            self._full = True
        if isinstance(result, Taken | Refused) and result.answer.limited:
            self._full = True
        self._job = None
        self._move(Move.DONE)
        concluded = Concluded(result=result)
        return [concluded, *self._leave("no more pages in this call")] if leave else [concluded]

    def _too_soon(self, job: _Job, answer: Answer) -> list[ClientEvent]:
        """An answer to a block whose CR is not written."""
        why = f"an answer before the page was sent: {answer}"
        result: Result = NotSent(why=why)
        match answer.control:
            case Control.NAK:  # late, or to noise; the block goes on, and its own answer comes
                return []
            case Control.DROP:
                result = NotSent(why=f"the terminal hung up: {answer}", limit=answer.limited)
                return [*self._conclude(job, result), *self._dropped_line(answer)]
            case Control.ACK:  # does it take blocks without their CR?
                result = InDoubt(why=why)
            case Control.RS if self.farewell.taken:
                self._note(refusal=answer)
            case _:
                pass
        # Nothing more is said, not even EOT: a terminal could take its CR for the block's.
        return [*self._conclude(job, result), self._over(why)]

    def _unasked(self, answer: Answer) -> list[ClientEvent]:
        """An answer when no page was under way."""
        match answer.control:
            case Control.DROP:
                return self._dropped_line(answer)
            case Control.NAK:  # to noise on the line
                return []
            case Control.RS:
                self._note(refusal=answer)
            case _:
                pass
        return self._leave(f"an answer that nobody asked for: {answer}")


_WORKING = re.compile(r"111(?: |\Z)")
_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})", re.ASCII)


def _version(message: Message) -> str | None:
    found = _VERSION.search(message.text)
    return found[0] if found else None


def _since_1_6(version: str) -> bool:
    major, _, minor = version.partition(".")
    return (int(major), int(minor)) >= (1, 6)


def _code_class(answer: Answer) -> int:
    return (answer.code or 0) // 100


def _no(answer: Answer) -> Result:
    """A page that the terminal did not take, by its answer."""
    if answer.limited:
        return NotSent(why=str(answer), limit=True)
    if answer.kind in (Kind.PERMANENT, Kind.OURS):
        return Refused(answer=answer)
    return Later(answer=answer)


def _told(result: Later | NotSent) -> str:
    return result.why if isinstance(result, NotSent) else str(result.answer)


# The terminal's side


MAX_WAITING = 65_536  # octets that may wait while the application answers
OFTEN = 1.0  # seconds between two ID=: a caller's CRs may come in a burst


class ServerRules(Struct, frozen=True, kw_only=True):
    """What a terminal wants and says. Counts and octets; docs/protocols/tap.md names their sources."""

    prompt: str = "ID="  # with CR, LF behind it or words before it, as old terminals have it
    unprompted: bool = False  # say ID= after a silence, without any CR
    version: str | None = "1.8"  # said by 110; None: not said
    codes: bool = True  # False: an old terminal, which says words only
    welcome: str = ""  # said by 114; each line before the ACK costs the patience of HylaFAX, which has two
    goodbye: str = "Goodbye"
    services: frozenset[m.Service] = frozenset({m.PAGING})
    password: m.Password | None = None  # None: any, and none
    logon_needed: bool = True
    checksum_needed: bool = True
    block: int = 1024  # octets of a block's body; TAP 1.8 says 250, HylaFAX sends more
    text: int = 10_000
    many_fields: bool = True  # False: a page of more than two fields is refused
    pieces: bool = False  # a block after ETB goes on in the last field (Zetron 16)
    tone_only: bool = False  # a page without text is a page
    pages: int = 1000  # of one call; then 112
    logons: int = 3
    mistakes: int = 3  # bad checksums and noise in a row; one more ends the call
    refusals: int = 10  # pages refused in a row; one more ends the call by 506


class ServerTiming(Struct, frozen=True, kw_only=True):
    """Seconds, each counted from when all that was written has left the line; docs, "Limits"."""

    wake: float = 2.0  # T1, before ID= unprompted
    prompt: float = 8.0  # T5
    prompts: int = 3  # N3, repeats of ID=
    idle: float = 30.0  # TAP 1.8 says 4 (T4), callers take longer
    octet: float = 4.0  # between two octets of a block
    patience: float = 6.0  # of a caller for our application; then 111, which some know


class Stage(Enum):
    """Where a terminal's call is."""

    WAITING = "waiting for a CR"
    PROMPTED = "ID= said"
    READY = "taking blocks"
    ASKED = "waiting for the application"
    CLOSED = "closed"


class Turn(Enum):
    """What takes a terminal's call on."""

    WAKE = "CR"
    LOG_ON = "logon"
    ASK = "a whole page, EOT"
    ANSWER = "the application's answer"
    CLOSE = "ESC EOT, lost"


SERVER_NEXT: dict[tuple[Stage, Turn], Stage] = {
    (Stage.WAITING, Turn.WAKE): Stage.PROMPTED,
    (Stage.WAITING, Turn.LOG_ON): Stage.READY,  # callers that do not wait for ID=
    (Stage.PROMPTED, Turn.LOG_ON): Stage.READY,
    (Stage.READY, Turn.LOG_ON): Stage.READY,
    (Stage.READY, Turn.ASK): Stage.ASKED,
    (Stage.ASKED, Turn.ANSWER): Stage.READY,
    **{(stage, Turn.CLOSE): Stage.CLOSED for stage in Stage},
}


class PageAsked(Struct, frozen=True, kw_only=True):
    """Take this page? Answer by `answer_of` a code, 211 for yes."""

    page: m.Received


class LogOffAsked(Struct, frozen=True, kw_only=True):
    """The caller logs off. Answer ACK; or RS, if a page of this call turned out to be unacceptable."""


Asked = PageAsked | LogOffAsked
ServerEvent = Say | Wait | Hangup | PageAsked | LogOffAsked
_Key = tuple[bytes, int]  # a block's body and terminator


class ServerSession:
    """One caller's call: blocks in, answers out, and questions to the application.

    After a question (the last event of its list) nothing is read until `answer`; what comes meanwhile waits,
    up to `MAX_WAITING` octets. The identical block directly repeated gets the same answer again and is no
    second page: its first answer may have been lost.
    """

    def __init__(self, *, rules: ServerRules | None = None, timing: ServerTiming | None = None) -> None:
        self.stage = Stage.WAITING
        self.pages = 0  # accepted in this call
        self._rules = rules or ServerRules()
        self._timing = timing or ServerTiming()
        self._decoder = codec.CallerDecoder(self._rules.block)
        self._out: list[ServerEvent] = []
        self._asked: Asked | None = None
        self._parting: Answer | None = None
        self._service = m.PAGING
        self._hush = False  # ID= has just been said
        self._prompts = 0
        self._logons = 0
        self._mistakes = 0
        self._refusals = 0
        self._fields: list[bytes] = []  # of the page under way
        self._open = False  # its last field goes on in the next block
        self._first: _Key | None = None  # the block at hand, if it is the only one of a page so far
        self._last: tuple[_Key, Answer] | None = None  # the last block of the page just answered
        self._absorb: _Key | None = None  # a copy that came while the application answered

    @property
    def asked(self) -> bool:
        """The application owes an answer."""
        return self.stage is Stage.ASKED

    def begin(self) -> list[ServerEvent]:
        """The line is there; the caller speaks first."""
        return [Wait(seconds=self._timing.wake if self._rules.unprompted else self._timing.idle)]

    def receive(self, data: bytes) -> list[ServerEvent]:
        """Take in *data* from the caller."""
        if self.stage is Stage.CLOSED:
            return []
        self._decoder.feed(data)
        if self.stage is Stage.ASKED:
            if self._decoder.waiting > MAX_WAITING:
                self._part(answer_of(501, "too much at once", control=Control.DROP))
            return self._events()
        self._work()
        return self._events()

    def expired(self) -> list[ServerEvent]:
        """What we waited for has not come."""
        timing = self._timing
        match self.stage:
            case Stage.WAITING if self._rules.unprompted:
                self._prompt()
            case Stage.WAITING:
                self._hang_up()
            case Stage.PROMPTED if self._hush:
                self._hush = False
                self._wait(max(0.0, timing.prompt - OFTEN))
            case Stage.PROMPTED if self._prompts <= timing.prompts:
                self._prompt()
            case Stage.READY if self._decoder.in_block:
                self._decoder.abandon()
                self._mistake(514, 503)
                self._wait(timing.idle)
            case Stage.ASKED if isinstance(self._asked, PageAsked):
                self._out.append(Say(data=codec.encode_messages((_WORKING_ON,), codes=self._rules.codes)))
            case Stage.PROMPTED | Stage.READY:
                self._part(answer_of(501))
            case _:
                pass
        return self._events()

    def answer(self, answer: Answer) -> list[ServerEvent]:
        """The application's answer goes to the caller; then on with what waits."""
        if self.stage is Stage.CLOSED:
            return []
        asked = self._asked
        if asked is None:
            raise LocalProtocolError("an answer to no question")
        self._asked = None
        self._turn(Turn.ANSWER)
        match asked:
            case PageAsked():
                self._page_answered(answer)
            case LogOffAsked():
                self._goodbye(answer)
            case _:
                assert_never(asked)
        if self._parting:
            self._part(self._parting)
        self._work()
        return self._events()

    def close(self, answer: Answer) -> list[ServerEvent]:
        """Say *answer*, which drops the line; after the answer that is due, if one is."""
        if self.stage is Stage.ASKED:
            self._parting = answer
        else:
            self._part(answer)
        return self._events()

    def abandon(self) -> list[ServerEvent]:
        """The application does not answer: nothing true can be said, so ESC EOT without a code."""
        self._part(Answer(Control.DROP))
        return self._events()

    def lose(self, why: str) -> list[ServerEvent]:
        """The line is gone. A question that is out stays one: its page came whole."""
        if self.stage is not Stage.CLOSED:
            self._hang_up()
        return self._events()

    def commit(self) -> list[ServerEvent]:
        """Terminals commit nothing."""
        return []

    # What the caller says

    def _events(self) -> list[ServerEvent]:
        out, self._out = self._out, []
        return out

    def _turn(self, turn: Turn) -> None:
        self.stage = SERVER_NEXT[self.stage, turn]

    def _work(self) -> None:
        timing = self._timing
        heard = False
        while self.stage not in (Stage.ASKED, Stage.CLOSED) and (said := self._decoder.next_one()):
            heard = True
            match said:
                case Said(line=line):
                    self._said(line.strip(b" "))
                case LogOff() if self.stage is Stage.READY:
                    self._ask(LogOffAsked())
                case LogOff():  # page servers say it to begin clean
                    pass
                case Block():
                    self._block(said)
                case _:
                    assert_never(said)
        if self.stage is Stage.READY:
            if self._decoder.in_block:
                self._wait(timing.octet)
            else:
                self._absorb = None
                if heard:
                    self._wait(timing.idle)
        elif self.stage is not Stage.ASKED and self._out and not isinstance(self._out[-1], Wait):
            # An answer to what may not be said yet, which ends no wait.
            self._wait(timing.prompt)

    def _said(self, line: bytes) -> None:
        match self.stage:
            case Stage.READY if not line:
                pass
            case Stage.READY if not line.startswith(b"\x1b"):
                self._mistake(502, 502)
            case Stage.WAITING if not line.startswith(b"\x1b"):
                self._prompt()
            case Stage.PROMPTED if not line:
                if not self._hush:
                    self._prompt()
            case _:
                self._logon(codec.decode_logon(line))

    def _prompt(self) -> None:
        if self.stage is Stage.WAITING:
            self._turn(Turn.WAKE)
        self._prompts += 1
        self._hush = True
        self._out.append(Say(data=_prompt_of(self._rules.prompt)))
        self._wait(min(OFTEN, self._timing.prompt))

    def _logon(self, logon: m.Logon) -> None:
        rules = self._rules
        match logon:
            case m.Manual():
                self._part(answer_of(507, "This terminal has no manual mode", control=Control.DROP))
            case m.Malformed(why=why):
                self._no_logon(507, why)
            case m.Automatic(service=service) if service not in rules.services:
                self._part(answer_of(508))
            case m.Automatic(password=password) if rules.password not in (None, password):
                self._no_logon(509, "")
            case m.Automatic(service=service):
                self._service = service
                self._logons = self._mistakes = 0
                self._turn(Turn.LOG_ON)
                said = [Message(110, (rules.version,))] if rules.version else []
                said += [Message(114, (rules.welcome,))] if rules.welcome else []
                self._say(Answer(Control.ACK, tuple(said)))
                self._out.append(Say(data=codec.GO_AHEAD))
                self._wait(self._timing.idle)
            case _:
                assert_never(logon)

    def _no_logon(self, code: int, why: str) -> None:
        self._logons += 1
        if self._logons >= self._rules.logons:
            self._part(answer_of(code, why, control=Control.DROP))
        else:
            self._say(answer_of(code, why))
            self._wait(self._timing.prompt)

    # Blocks

    def _block(self, block: Block) -> None:
        rules = self._rules
        key: _Key = (block.body, block.terminator)
        absorb, self._absorb = self._absorb, None
        if self.stage is not Stage.READY and rules.logon_needed:
            self._mistake(502, 502, "log on first")
            return
        if not block.good and rules.checksum_needed:
            self._mistake(514, 503)
            return
        self._mistakes = 0
        if block.cut:
            self._end_page()
            self._refuse(answer_of(513, f"block is longer than {rules.block}"))
        elif key == absorb:  # the answer to the one before it answers it too
            pass
        elif not self._fields and self._last and self._last[0] == key:
            self._say(self._last[1])
        elif self._fields and self._first == key:
            self._say(answer_of(211, "part taken"))
        else:
            if self.stage is not Stage.READY:
                self._turn(Turn.LOG_ON)
            self._take(block, key)

    def _take(self, block: Block, key: _Key) -> None:
        self._last = None
        self._first = None if self._fields else key
        fields = list(block.fields)
        joins = self._open or (self._rules.pieces and len(self._fields) > 1)
        if self._fields and joins and fields:
            fields[0] = self._fields.pop() + fields[0]
        self._fields += fields
        self._open = block.terminator == codec.US
        if sum(map(len, self._fields)) > self._rules.text + m.MAX_PAGER:
            self._end_page()
            self._refuse(answer_of(513, f"message is longer than {self._rules.text}"))
        elif block.terminator != codec.ETX:
            self._say(answer_of(211, "part taken"))
        elif self.pages >= self._rules.pages:
            self._part(answer_of(112))
        else:
            self._page(key)

    def _page(self, key: _Key) -> None:
        try:
            page = received(tuple(self._fields), self._service, self._rules)
        except _Unacceptable as no:
            self._end_page()
            self._refuse(answer_of(no.code, no.why))
            return
        self._first = key
        self._ask(PageAsked(page=page))

    def _end_page(self) -> None:
        self._fields, self._open, self._first = [], False, None

    def _page_answered(self, answer: Answer) -> None:
        key = self._first
        self._end_page()
        assert key
        match answer.control:
            case Control.ACK:
                self.pages += 1
                self._refusals = 0
                self._last = (key, answer)
                self._say(answer)
            case Control.NAK:
                self._say(answer)
            case Control.RS:
                self._refuse(answer)
            case Control.DROP:
                self._part(answer)
        # What came while the application thought was sent without an answer, or again for want of one.
        self._absorb = key if self._decoder.waiting else None
        if self.stage is Stage.READY:
            self._wait(self._timing.idle)

    def _ask(self, asked: Asked) -> None:
        self._asked = asked
        self._turn(Turn.ASK)
        self._wait(self._timing.patience)
        self._out.append(asked)

    def _goodbye(self, answer: Answer) -> None:
        if answer.control is Control.RS:
            self._say(answer)
        self._part(answer_of(115, self._rules.goodbye))

    # What we say

    def _mistake(self, code: int, at_last: int, why: str = "") -> None:
        self._mistakes += 1
        if self._mistakes > self._rules.mistakes:
            self._part(answer_of(at_last, control=Control.DROP))
        else:
            self._say(answer_of(code, why))

    def _refuse(self, answer: Answer) -> None:
        self._refusals += 1
        if self._refusals > self._rules.refusals:
            self._part(answer_of(506))
        else:
            self._say(answer)

    def _say(self, answer: Answer) -> None:
        self._out.append(Say(data=codec.encode_answer(answer, codes=self._rules.codes)))

    def _part(self, answer: Answer) -> None:
        if self.stage is not Stage.CLOSED:
            self._say(answer)
            self._hang_up()

    def _hang_up(self) -> None:
        self._turn(Turn.CLOSE)
        self._out.append(Hangup())

    def _wait(self, seconds: float) -> None:
        if self.stage is not Stage.CLOSED:
            self._out.append(Wait(seconds=seconds))


_WORKING_ON = Message(111, ("please wait",))
_PAGER = re.compile(rf"[\x21-\x7e]{{1,{m.MAX_PAGER}}}", re.ASCII)


class _Unacceptable(Exception):
    """A page that came whole and is none."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code, self.why = code, why


def received(fields: tuple[bytes, ...], service: m.Service, rules: ServerRules) -> m.Received:
    """The page that *fields* say; raises what is wrong with it."""
    # A CR LF at the end of a line leaves its LF at the beginning of the next field; a SUB pair is meant.
    words = [codec.unescaped(field.removeprefix(b"\n")).decode("ascii") for field in fields]
    pager = words[0].strip() if words else ""
    if len(words) < 2:
        raise _Unacceptable(515, "message field is missing")
    if not _PAGER.fullmatch(pager):
        raise _Unacceptable(510, f"pager ID is not 1 to {m.MAX_PAGER} characters" if pager else "no pager ID")
    if len(words) > 2 and not rules.many_fields:
        raise _Unacceptable(515, "more than two fields")
    lines = re.split("\r\n|\r|\n", "\n".join(words[1:]))
    text = "\n".join("\t".join(map(plain, line.split("\t"))).rstrip() for line in lines).rstrip()
    if not text.strip() and not rules.tone_only:
        raise _Unacceptable(515, "message is missing")
    return m.Received(pager=pager, text=text, service=service, fields=len(words))


def _prompt_of(prompt: str) -> bytes:
    """*prompt* in ASCII; CR and LF in it stay."""
    return "".join(part if part in "\r\n" else plain(part) for part in re.split(r"([\r\n])", prompt)).encode()
