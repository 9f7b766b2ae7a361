"""What may be said now, on both sides of an SNPP conversation. No sockets, no clock.

`ClientSession` leads a page through a server and says what became of it; the point of no return is `commit`.
`ServerSession` takes commands, asks its application what only that can answer, and replies.
The tables of states are drawn in docs/protocols/snpp.md.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import NamedTuple, assert_never

from msgspec import Struct
from msgspec.structs import replace

from protocols.events import Foreign, Hangup, Over, ReadyToSend, Say, Write
from protocols.lines import Line, LineSplitter
from protocols.snpp import codec
from protocols.snpp import messages as m
from protocols.snpp.messages import (
    InDoubt,
    Kind,
    LocalProtocolError,
    NotSent,
    Recipient,
    Refusal,
    Reply,
    Result,
    Skipped,
    Submitted,
)
from protocols.strangers import foreign_line, foreign_octets
from protocols.text import decoded, printable

# The client's side


class Phase(Enum):
    """Where a client's conversation is."""

    GREETING = "waiting for the greeting"
    LOGIN = "logging in"
    IDLE = "idle"
    RESETTING = "clearing what a failed page left"
    ENTERING = "entering a page"
    TEXT = "text sent after 354"
    READY = "all entered"
    SENDING = "SEND written"
    ASKING = "asking"
    QUITTING = "saying goodbye"
    CLOSED = "closed"


class Move(Enum):
    """What takes a client's conversation on."""

    LOG_IN = "LOGIn"
    ENTER = "first command of a page"
    RESET = "RESEt before a page"
    GO_AHEAD = "354"
    STORED = "text taken"
    COMPLETE = "last entry answered"
    COMMIT = "SEND"
    DONE = "answered"
    ASK = "HELP, PING, MSTAtus, KTAG"
    QUIT = "QUIT"
    CLOSE = "4xx, loss, out of step"


NEXT: dict[tuple[Phase, Move], Phase] = {
    (Phase.GREETING, Move.LOG_IN): Phase.LOGIN,
    (Phase.GREETING, Move.DONE): Phase.IDLE,
    (Phase.LOGIN, Move.DONE): Phase.IDLE,
    (Phase.IDLE, Move.ENTER): Phase.ENTERING,
    (Phase.IDLE, Move.RESET): Phase.RESETTING,  # after a page that failed
    (Phase.RESETTING, Move.ENTER): Phase.ENTERING,
    (Phase.RESETTING, Move.LOG_IN): Phase.LOGIN,  # RESEt logs out
    (Phase.LOGIN, Move.ENTER): Phase.ENTERING,
    (Phase.ENTERING, Move.GO_AHEAD): Phase.TEXT,
    (Phase.TEXT, Move.STORED): Phase.ENTERING,
    (Phase.ENTERING, Move.COMPLETE): Phase.READY,
    (Phase.ENTERING, Move.DONE): Phase.IDLE,  # refused before SEND
    (Phase.READY, Move.COMMIT): Phase.SENDING,  # the point of no return
    (Phase.SENDING, Move.DONE): Phase.IDLE,
    (Phase.IDLE, Move.ASK): Phase.ASKING,
    (Phase.ASKING, Move.DONE): Phase.IDLE,
    (Phase.IDLE, Move.QUIT): Phase.QUITTING,
    **{(phase, Move.CLOSE): Phase.CLOSED for phase in Phase},
}

AWAITING = frozenset(Phase) - {Phase.IDLE, Phase.READY, Phase.CLOSED}  # phases in which one reply is due


class Opened(Struct, frozen=True, kw_only=True):
    """Greeted and, if there is a login, logged in."""

    greeting: Reply


class NotOpened(Struct, frozen=True, kw_only=True):
    """No conversation. *step*: CONN, 220 or LOGI, what failed. *reply*: what refused, if anything did."""

    why: str
    step: str
    reply: Reply | None = None


class Concluded(Struct, frozen=True, kw_only=True):
    """What became of the page."""

    result: Result


class Told(Struct, frozen=True, kw_only=True):
    """The answer to a question; None when the conversation ended instead."""

    reply: Reply | None


ClientEvent = Write | Opened | NotOpened | ReadyToSend | Concluded | Told | Over


class Manner(Struct, frozen=True, kw_only=True):
    """How a server wants to be spoken to. *hold_offset*: HOLD says ``+0000``; False is right for hfaxd."""

    dots: codec.Dots = codec.Dots.STUFF
    hold_offset: bool = True


class _Step(NamedTuple):
    command: m.Sayable
    recipient: int | None = None  # index; a recipient's options have it too
    two_way: bool = False
    optional: bool = False


def _steps(page: m.Transaction, manner: Manner) -> deque[_Step]:
    """The commands of *page* up to SEND, in the order that every known server takes."""
    steps: deque[_Step] = deque()

    def option(command: m.Sayable, *, recipient: int | None = None, two_way: bool = False) -> None:
        steps.append(_Step(command, recipient, two_way, command.verb not in page.required))

    if two_way := page.two_way:
        option(m.TwoWay(), two_way=True)
        if two_way.no_queue:
            option(m.NoQueue(), two_way=True)
        if two_way.expire_hours is not None:
            option(m.ExpireTag(hours=two_way.expire_hours), two_way=True)
        if two_way.ack_read:
            option(m.AckRead(on=True), two_way=True)
        if two_way.reply is not None:
            option(m.ReplyType(kind=two_way.reply), two_way=True)
    for i, to in enumerate(page.recipients):
        if to.level is not None:
            option(m.Level(level=to.level), recipient=i)
        if to.alert is not None:
            option(m.Alert(on=to.alert), recipient=i)
        if to.coverage:
            option(m.Coverage(area=to.coverage), recipient=i)
        if to.hold is not None:
            option(m.Hold(at=to.hold, offset=manner.hold_offset), recipient=i)
        steps.append(_Step(m.Page(pager=to.pager, pin=to.pin), i))
    if page.caller_id and page.caller_id.strip():
        option(m.CallerId(caller=page.caller_id))
    if page.subject and page.subject.strip():
        option(m.Subject(text=page.subject))
    if _one_line(page):
        by_data = page.body is m.Body.DATA or (page.body is m.Body.AUTO and len(page.text) > 1)
        steps.append(_Step(m.Data() if by_data else m.Mess(text=_one_line(page))))
    if two_way:
        for response in two_way.responses:
            option(response, two_way=True)
    return steps


def _one_line(page: m.Transaction) -> str:
    return " ".join(line.strip() for line in page.text).strip()


class _Job:
    """A page on its way through the server."""

    def __init__(self, page: m.Transaction, manner: Manner) -> None:
        self.page = page
        self.steps = _steps(page, manner)
        self.accepted: list[m.PagerId] = []
        self.refusals: list[Refusal] = []
        self.left_over: tuple[Recipient, ...] = ()
        self.skipped: list[Skipped] = []

    def drop(self, unwanted: Callable[[_Step], bool]) -> None:
        self.steps = deque(step for step in self.steps if not unwanted(step))

    def result(self, reply: Reply, step: str, *, committed: bool) -> Submitted:
        return Submitted(
            reply=reply,
            step=step,
            committed=committed,
            accepted=tuple(self.accepted),
            refusals=tuple(self.refusals),
            left_over=self.left_over,
            skipped=tuple(self.skipped),
        )


class ClientSession:
    """One conversation with a server; one command under way at a time.

    Feed it what comes (`receive`) and say when it is over (`lose`); do what the events say, in order.
    Exactly one reply is due for each command. A reply that nobody asked for ends the conversation, because
    from then on any reply could be another's: before SEND the page was not sent, after it there is doubt.
    """

    def __init__(self, *, login: m.Login | None = None, manner: Manner | None = None) -> None:
        self.phase = Phase.GREETING
        self._login = login
        self._manner = manner or Manner()
        self._decoder = codec.ReplyDecoder()
        self._greetings: list[Reply] = []
        self._first = True  # nothing has come since the greeting
        self._crossing = False  # our first command was written while the greeting was still going on
        self._dirty = False  # a page that failed may have left something entered
        self._job: _Job | None = None

    @property
    def idle(self) -> bool:
        """Opened, and nothing under way."""
        return self.phase is Phase.IDLE

    @property
    def closed(self) -> bool:
        """Nothing more may be said."""
        return self.phase is Phase.CLOSED

    # What we say

    def submit(self, page: m.Transaction) -> bytes:
        """Begin *page*; the first bytes to write. `LocalProtocolError` unless idle."""
        first: m.Sayable
        job = _Job(page, self._manner)
        if self._dirty:
            self._move(Move.RESET)
            first = m.Reset()
        else:
            self._move(Move.ENTER)
            first = job.steps[0].command
        self._job, self._dirty = job, False
        return codec.encode_command(first)

    def commit(self) -> bytes:
        """SEND. From the moment these bytes are handed to the transport silence is doubt."""
        self._move(Move.COMMIT)
        return codec.encode_command(m.Send())

    def ask(self, question: m.Question) -> bytes:
        """Ask something beside any page; `Told` will be the answer."""
        self._move(Move.ASK)
        return codec.encode_command(question)

    def quit(self) -> bytes:
        """Say goodbye; `Over` will follow."""
        self._move(Move.QUIT)
        return codec.encode_command(m.Quit())

    def _move(self, move: Move) -> None:
        if move in (Move.ENTER, Move.ASK):
            self._crossing = self._first and self._decoder.pending
        try:
            self.phase = NEXT[self.phase, move]
        except KeyError:
            raise LocalProtocolError(f"{move.value} while {self.phase.value}") from None

    # What we hear

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Take in *data* from the server."""
        if self.phase is Phase.CLOSED:
            return []
        heard: list[Reply] = []
        for one in self._decoder.receive(data):
            if isinstance(one, codec.Garbled):
                return self.lose(one.why)
            heard.append(one)
        if self.phase is Phase.GREETING:
            return self._greeted(heard)
        if self._first and heard and (self.phase is Phase.IDLE or self._crossing or heard[0] == _READY):
            # RFC 1568 speaks of a "250 READY" after the greeting; it may come before our first command or
            # cross it.
            self._first = False
            if not _welcome(heard[0]):
                return self._ended(heard[0])
            del heard[0]
        if not heard:
            unasked = self._decoder.pending and self.phase not in AWAITING and not self._first
            return self.lose("the server spoke unasked") if unasked else []
        return self._heard(heard)

    def lose(self, why: str, *, connected: bool = True) -> list[ClientEvent]:
        """The connection is lost or never came, a time limit has passed, or what came cannot be trusted."""
        if self.phase is Phase.CLOSED:
            return []
        events: list[ClientEvent] = []
        match self.phase:
            case Phase.GREETING:
                events.append(NotOpened(why=why, step="220" if connected else "CONN"))
            case Phase.LOGIN if not self._job:
                events.append(NotOpened(why=why, step=m.Login.verb))
            case Phase.SENDING:
                events.append(Concluded(result=InDoubt(why=why)))
            case Phase.ASKING:
                events.append(Told(reply=None))
            case _ if self._job:
                events.append(Concluded(result=NotSent(why=why)))
        return [*events, self._over(why)]

    def _over(self, why: str) -> Over:
        self._job = None
        self._move(Move.CLOSE)
        return Over(why=why)

    def _greeted(self, heard: list[Reply]) -> list[ClientEvent]:
        self._greetings += heard
        if self._decoder.pending or not self._greetings:
            return []
        if len(self._greetings) > codec.MAX_REPLY_LINES:
            return self.lose("the greeting does not end")
        for reply in self._greetings:
            if not _welcome(reply):
                why = f"greeted with {reply.code} {reply.text}"
                return [NotOpened(why=why, step="220", reply=reply), self._over(why)]
        if self._login:
            self._move(Move.LOG_IN)
            return [Write(data=codec.encode_command(self._login))]
        self._move(Move.DONE)
        return [Opened(greeting=self._greetings[0])]

    def _heard(self, heard: list[Reply]) -> list[ClientEvent]:
        self._first = False
        reply, more = heard[0], heard[1:]
        stray = bool(more) or self._decoder.pending or self.phase not in AWAITING
        if stray and self.phase is Phase.SENDING and more and all(_goodbye(one) for one in more):
            # A server may say goodbye right behind its answer.
            return [*self._answered(reply), *self.lose("the server said goodbye")]
        if stray and self.phase is not Phase.SENDING and (last := next((o for o in heard if o.closes), None)):
            return self._ended(last)
        if stray:
            return self.lose(f"more replies than commands: {heard[-1].code} {heard[-1].text}")
        return self._answered(reply)

    def _answered(self, reply: Reply) -> list[ClientEvent]:
        if reply.closes:
            return self._ended(reply)
        if self.phase is Phase.QUITTING:
            return [self._over("goodbye")]
        if reply.code == 221 or (reply.help and self.phase is not Phase.ASKING):
            return self.lose(f"the server said {reply.code} {reply.text}")
        if self.phase is Phase.ASKING:
            self._move(Move.DONE)
            return [Told(reply=reply)]
        if self.phase is Phase.LOGIN and not self._job:
            return self._logged_in(reply)
        assert self._job
        return self._job_answered(self._job, reply)

    def _ended(self, reply: Reply) -> list[ClientEvent]:
        """The server closes with 4xx: an answer to whatever was under way, and nothing of it was sent."""
        why = f"the server closed: {reply.code} {reply.text}"
        if not reply.closes:
            return self.lose(why)
        match self.phase:
            case Phase.LOGIN if not self._job:
                return [NotOpened(why=why, step=m.Login.verb, reply=reply), self._over(why)]
            case Phase.ASKING:
                return [Told(reply=reply), self._over(why)]
            case _ if self._job:
                committed = self.phase is Phase.SENDING
                result = self._job.result(reply, self._step(), committed=committed)
                return [Concluded(result=result), self._over(why)]
            case _:
                return [self._over(why)]

    def _logged_in(self, reply: Reply) -> list[ClientEvent]:
        if reply.code // 100 == 2:
            self._move(Move.DONE)
            return [Opened(greeting=self._greetings[0])]
        why = f"login refused: {reply.code} {reply.text}"
        return [NotOpened(why=why, step=m.Login.verb, reply=reply), self._over(why)]

    def _step(self) -> str:
        match self.phase:
            case Phase.SENDING | Phase.READY:
                return m.Send.verb
            case Phase.TEXT:
                return m.Data.verb
            case Phase.LOGIN:
                return m.Login.verb
            case Phase.RESETTING:
                return m.Reset.verb
            case _:
                return self._job.steps[0].command.verb if self._job else ""

    def _job_answered(self, job: _Job, reply: Reply) -> list[ClientEvent]:
        match self.phase:
            case Phase.RESETTING if reply.code // 100 != 2:  # hfaxd answers 220
                return self.lose(f"RESEt refused: {reply.code} {reply.text}")
            case Phase.RESETTING if self._login:
                self._move(Move.LOG_IN)
                return [Write(data=codec.encode_command(self._login))]
            case Phase.LOGIN if reply.code // 100 != 2:
                result = job.result(reply, m.Login.verb, committed=False)
                return [Concluded(result=result), self._over("login refused")]
            case Phase.RESETTING | Phase.LOGIN:
                self._move(Move.ENTER)
                return self._go_on(job)
            case Phase.TEXT if reply.success:
                self._move(Move.STORED)
                return self._go_on(job)
            case Phase.TEXT:
                # A server that stops reading in the middle takes the rest for commands (hfaxd), and how
                # many replies those get nobody can tell.
                result = job.result(reply, m.Data.verb, committed=False)
                return [Concluded(result=result), self._over("text refused")]
            case Phase.SENDING if reply.kind in (Kind.INFORMATION, Kind.GO_ON):
                return self.lose(f"SEND answered by {reply.code} {reply.text}")
            case Phase.SENDING:
                return [self._conclude(job, reply, m.Send.verb, committed=True)]
            case _:
                return self._entered(job, reply)

    def _entered(self, job: _Job, reply: Reply) -> list[ClientEvent]:
        step = job.steps.popleft()
        verb = step.command.verb
        match step.command:
            case m.Data() if reply.code == 354:
                self._move(Move.GO_AHEAD)
                return [Write(data=codec.encode_body(job.page.text, self._manner.dots))]
            case m.Data() if reply.code in (500, 502) and job.page.body is m.Body.AUTO:
                job.steps.appendleft(_Step(m.Mess(text=_one_line(job.page))))
                return self._go_on(job)
            case m.Data() if reply.success:
                return self.lose(f"DATA answered by {reply.code} {reply.text}")
            case _ if reply.kind in (Kind.GO_ON, Kind.INFORMATION) and reply.code != 556:
                return self.lose(f"{verb} answered by {reply.code} {reply.text}")
            case m.Page(pager=pager) if reply.success:
                job.accepted.append(pager)
            case m.Page(pager=pager):
                self._page_refused(job, step, pager, reply)
                if not job.accepted and not any(one.recipient is not None for one in job.steps):
                    return [self._conclude(job, reply, verb, committed=False)]
            case _ if reply.success:
                pass
            case m.TwoWay() if step.optional:
                job.skipped.append(Skipped(verb=verb, reply=reply))
                job.drop(lambda other: other.two_way)
            case _ if step.optional:
                job.skipped.append(Skipped(verb=verb, reply=reply))
            case _:
                return [self._conclude(job, reply, verb, committed=False)]
        return self._go_on(job)

    def _page_refused(self, job: _Job, step: _Step, pager: m.PagerId, reply: Reply) -> None:
        # 552, or on a level 1 server 503: one too many, what is entered stands (RFC 1861 4.5.2, RFC 1568).
        if reply.kind is Kind.FULL or (reply.code == 503 and job.accepted):
            i = step.recipient or 0
            job.left_over = job.page.recipients[i:]
            job.drop(lambda other: other.recipient is not None)
        else:
            job.refusals.append(Refusal(pager=pager, reply=reply))

    def _go_on(self, job: _Job) -> list[ClientEvent]:
        if job.steps:
            return [Write(data=codec.encode_command(job.steps[0].command))]
        self._move(Move.COMPLETE)
        return [ReadyToSend()]

    def _conclude(self, job: _Job, reply: Reply, step: str, *, committed: bool) -> Concluded:
        self._dirty = not (committed and reply.success)
        self._job = None
        self._move(Move.DONE)
        return Concluded(result=job.result(reply, step, committed=committed))


_READY = Reply(250, "READY")


def _welcome(reply: Reply) -> bool:
    return reply.code // 100 == 2 and reply.code != 221


def _goodbye(reply: Reply) -> bool:
    return reply.closes or reply.code == 221


# The server's side


HOLD_GRACE = timedelta(seconds=60)  # ten-digit times are cut to the minute; this is not yet the past
MAX_RUNAWAY = 16_384  # octets of a line without end, dropped as they come; then the client is no client
MAX_WAITING = 65_536  # octets of commands that may wait while the application answers


class ServerRules(Struct, frozen=True, kw_only=True):
    """What a server offers. Limits are counts and octets; docs/protocols/snpp.md names their sources."""

    greeting: str = "SNPP gateway ready"
    level: int = 3  # 1: RFC 1568 only, 2: with RFC 1645's commands, 3: with two-way
    login_needed: bool = False
    tone_only: bool = False  # SEND without a text is a page
    recipients: int = 100
    text: int = 10_000  # octets
    responses: int = 16
    errors: int = 10  # in a row, without a page taken between them
    logins: int = 3
    areas: frozenset[str] | None = None  # for COVErage; None: any
    zone: tzinfo = UTC  # of a HOLD without offset


class Stage(Enum):
    """Where a server's conversation is."""

    COMMANDS = "taking commands"
    TEXT = "taking text lines"
    ASKED = "waiting for the application"
    CLOSED = "closed"


class Turn(Enum):
    """What takes a server's conversation on."""

    DATA = "DATA"
    DOT = "."
    ASK = "LOGIn, PAGEr, SEND, PING, MSTAtus, KTAG"
    ANSWER = "the application's answer"
    CLOSE = "QUIT, 421, lost"


SERVER_NEXT: dict[tuple[Stage, Turn], Stage] = {
    (Stage.COMMANDS, Turn.DATA): Stage.TEXT,
    (Stage.TEXT, Turn.DOT): Stage.COMMANDS,
    (Stage.COMMANDS, Turn.ASK): Stage.ASKED,
    (Stage.ASKED, Turn.ANSWER): Stage.COMMANDS,
    **{(stage, Turn.CLOSE): Stage.CLOSED for stage in Stage},
}


class _Gate(NamedTuple):
    """When a command may be said at all."""

    level: int  # of the protocol
    login: bool = True  # only after LOGIn, where the rules want one
    two_way: bool = False  # only between 2WAY and SEND


GATES: dict[str, _Gate] = {
    "PAGE": _Gate(1),
    "MESS": _Gate(1),
    "RESE": _Gate(1, login=False),
    "SEND": _Gate(1),
    "QUIT": _Gate(1, login=False),
    "HELP": _Gate(1, login=False),
    "DATA": _Gate(2),
    "LOGI": _Gate(2, login=False),
    "LEVE": _Gate(2),
    "ALER": _Gate(2),
    "COVE": _Gate(2),
    "HOLD": _Gate(2),
    "CALL": _Gate(2),
    "SUBJ": _Gate(2),
    "2WAY": _Gate(3),
    "PING": _Gate(3),
    "EXPT": _Gate(3, two_way=True),
    "NOQU": _Gate(3, two_way=True),
    "ACKR": _Gate(3, two_way=True),
    "RTYP": _Gate(3, two_way=True),
    "MCRE": _Gate(3, two_way=True),
    "MSTA": _Gate(3),
    "KTAG": _Gate(3),
}


class LoginAsked(Struct, frozen=True, kw_only=True):
    """May this login in? Answer 250 or 550."""

    login: m.SnppWord
    password: m.SnppSecret | None


class PagerAsked(Struct, frozen=True, kw_only=True):
    """Is this a pager that may be paged so? Answer 250, 550 or 554; if *two_way* 850, 950, 750 or 550."""

    recipient: Recipient
    two_way: m.TwoWayOptions | None


class SendAsked(Struct, frozen=True, kw_only=True):
    """Send this. Answer 250, 550, 554 or 421; if two-way with `tagged_reply`."""

    page: m.Received


class StatusAsked(Struct, frozen=True, kw_only=True):
    """What became of this message? Answer with `status_reply`, or 550."""

    tag: str
    passcode: str


class PingAsked(Struct, frozen=True, kw_only=True):
    """Is this pager there? Answer 820, 821, 750, 920 or 550."""

    pager: m.PagerId


class KillAsked(Struct, frozen=True, kw_only=True):
    """Forget this tag. Answer 250 or 550."""

    tag: str
    passcode: str


Asked = LoginAsked | PagerAsked | SendAsked | StatusAsked | PingAsked | KillAsked
ServerEvent = Say | Asked | Foreign | Hangup


class _Options(Struct, frozen=True, kw_only=True):
    """LEVEl, ALERt, COVErage, HOLDuntil on their way to the next PAGEr."""

    level: int | None = None
    alert: bool | None = None
    coverage: m.SnppText | None = None
    hold: datetime | None = None


class _Entered:
    """What a client has entered since the last page."""

    def __init__(self) -> None:
        self.recipients: list[Recipient] = []
        self.options = _Options()
        self.text: str | None = None
        self.subject: str | None = None
        self.caller_id: str | None = None
        self.two_way: m.TwoWayOptions | None = None

    @property
    def any(self) -> bool:
        return bool(self.recipients or self.text is not None or self.subject or self.caller_id)

    def late_options(self) -> None:
        """Net::SNPP enters options after the pagers: they go to each recipient that has none of that kind."""
        late, self.options = self.options, _Options()
        if late != self.options:
            self.recipients = [
                replace(
                    to,
                    level=late.level if to.level is None else to.level,
                    alert=late.alert if to.alert is None else to.alert,
                    coverage=late.coverage if to.coverage is None else to.coverage,
                    hold=late.hold if to.hold is None else to.hold,
                )
                for to in self.recipients
            ]


_BAD_COMMAND = Reply(500, "Command not known or not implemented")
_LOGIN_FIRST = Reply(530, "Please login with LOGIn first")
_DUPLICATE_PAGER = Reply(503, "Pager ID already entered")
_DUPLICATE_TEXT = Reply(503, "Message already entered")
_TOO_MANY_ERRORS = Reply(421, "Too many errors, goodbye")

_HELP = (
    (1, "PAGEr <pager ID> [PIN] - add a recipient"),
    (1, "MESSage <text> - the text, in one line"),
    (2, "DATA - the text, in lines, ended by a line with a dot"),
    (1, "SEND - send the page"),
    (1, "RESEt - begin anew"),
    (2, "LOGIn <login> [password]"),
    (2, "LEVEl <0-11>, ALERt <0|1>, COVErage <area>, HOLDuntil <YYMMDDHHMMSS> [+hhmm] - before PAGEr"),
    (2, "SUBJect <text>, CALLerid <text>"),
    (3, "2WAY, then NOQUEUEing, EXPTag <hours>, ACKRead <0|1>, RTYPe <type>, MCREsponse <code> <text>"),
    (3, "PING <pager ID>, MSTAtus <tag> <pass code>, KTAG <tag> <pass code>"),
    (1, "QUIT"),
)


class ServerSession:
    """One client's conversation: commands in, replies out, and questions to the application.

    After a question (`Asked`, always the last event of a list) nothing is read until `answer`; what comes
    meanwhile waits, up to `MAX_WAITING` octets. Every command gets exactly one reply.
    *now*: the wall clock, aware.
    """

    def __init__(self, rules: ServerRules, now: Callable[[], datetime]) -> None:
        self.stage = Stage.COMMANDS
        self.login: str | None = None
        self.lines = 0  # whole lines taken so far
        self.allowance: int | None = None  # lines still allowed before 421; None: any number
        self._rules = rules
        self._now = now
        self._splitter = LineSplitter(codec.MAX_LINE)
        self._out: list[ServerEvent] = []
        self._page = _Entered()
        self._asked: Asked | None = None
        self._parting: Reply | None = None
        self._silent = True  # nothing has come yet
        self._bare = True  # no command line has ended with CR LF
        self._text: list[bytes] = []
        self._room = 0  # octets the text may still have; negative: too long
        self._errors = 0
        self._failed_logins = 0

    def greet(self) -> list[ServerEvent]:
        """The server speaks first."""
        self._say(Reply(220, self._rules.greeting))
        return self._events()

    def receive(self, data: bytes) -> list[ServerEvent]:
        """Take in *data* from the client."""
        if self.stage is Stage.CLOSED or not data:
            return []
        if self._silent and (what := foreign_octets(data)):
            self._foreign(what)
            return self._events()
        self._silent = False
        self._splitter.feed(data)
        self._work()
        if self.stage is Stage.ASKED and self._splitter.waiting > MAX_WAITING:
            self._part(Reply(421, f"Too much input at once (limit {MAX_WAITING})"))
        return self._events()

    def answer(self, reply: Reply) -> list[ServerEvent]:
        """The application's answer to the last question goes to the client; then on with what waits."""
        if self.stage is Stage.CLOSED:
            return []
        asked = self._asked
        if asked is None:
            raise LocalProtocolError("an answer to no question")
        self._asked = None
        self._turn(Turn.ANSWER)
        self._settle(asked, reply)
        if self._parting:
            self._part(self._parting)
        self._work()
        return self._events()

    def close(self, reply: Reply) -> list[ServerEvent]:
        """Say *reply* (421, as a rule) and close; after the answer that is due, if one is."""
        if self.stage is Stage.ASKED:
            self._parting = reply
        elif self.stage is not Stage.CLOSED:
            self._part(reply)
        return self._events()

    def abandon(self) -> list[ServerEvent]:
        """The application does not answer. After SEND nothing true can be said, so nothing is."""
        if self.stage is not Stage.CLOSED:
            if not isinstance(self._asked, SendAsked):
                self._say(Reply(421, "Service unavailable, goodbye"))
            self._turn(Turn.CLOSE)
            self._out.append(Hangup())
        return self._events()

    # Lines

    def _events(self) -> list[ServerEvent]:
        out, self._out = self._out, []
        return out

    def _turn(self, turn: Turn) -> None:
        self.stage = SERVER_NEXT[self.stage, turn]

    def _work(self) -> None:
        while self.stage in (Stage.COMMANDS, Stage.TEXT) and (line := self._splitter.next_line()):
            self.lines += 1
            if self.allowance is not None:
                self.allowance -= 1
                if self.allowance < 0:
                    self._part(Reply(421, "Too many commands per second, goodbye"))
                    return
            if self.stage is Stage.TEXT:
                self._text_line(line)
            else:
                self._command_line(line)
        if self.stage is Stage.COMMANDS and self._splitter.unfinished > MAX_RUNAWAY:
            self._part(Reply(500, f"Line is too long (limit {codec.MAX_LINE}), goodbye"))

    def _text_line(self, line: Line) -> None:
        # A dot line ends the text if it ends with CR LF; a bare LF does only for a client that has never
        # sent a CR LF (docs, "Decisions": the end of DATA).
        if line.data == b"." and (line.crlf or self._bare):
            self._splitter.limit = codec.MAX_LINE
            lines, self._text = self._text, []
            self._turn(Turn.DOT)
            if self._room < 0:
                self._say(Reply(550, f"message is too long (limit {self._rules.text})"))
            else:
                self._message(b"\n".join(lines))
            return
        data = codec.unstuffed(line.data)
        self._room -= len(data) + 1
        if line.cut:
            self._room = -1
        if self._room < 0:
            self._text.clear()
        else:
            self._text.append(data)

    def _message(self, data: bytes) -> None:
        text = "\n".join(printable(line) for line in decoded(data).split("\n")).rstrip()
        if not text:
            self._say(Reply(550, "message is missing"))
        else:
            self._page.text = text
            self._say(Reply(250, "Message OK"))

    def _command_line(self, line: Line) -> None:
        if line.crlf:
            self._bare = False
        command = codec.decode_command(line.data, self._rules.zone, cut=line.cut)
        match command:
            case None:  # an empty line: ignored
                return
            case m.Unknown():
                if what := foreign_line(line.data):
                    self._foreign(what)
                else:
                    self._say(_BAD_COMMAND)
                return
        gate = GATES[command.verb]
        if gate.level > self._rules.level:
            self._say(_BAD_COMMAND)
        elif gate.login and self._rules.login_needed and self.login is None:
            self._say(_LOGIN_FIRST)
        elif gate.two_way and self._page.two_way is None:
            self._say(Reply(550, f"{command.verb} is for two-way transactions, which 2WAY begins"))
        else:
            self._command(command)

    def _foreign(self, what: str) -> None:
        self._out.append(Foreign(what=what))
        self._part(Reply(421, "This is an SNPP server, goodbye"))

    # Commands

    def _command(self, command: m.Sayable | m.Malformed) -> None:
        page = self._page
        match command:
            case m.Page():
                self._pager(command)
            case m.Mess():
                if page.text is not None:
                    self._say(_DUPLICATE_TEXT)
                elif len(command.text.encode()) > self._rules.text:
                    self._say(Reply(550, f"message is too long (limit {self._rules.text})"))
                else:
                    page.text = command.text
                    self._say(Reply(250, "Message OK"))
            case m.Send():
                self._send()
            case m.Data():
                if page.text is not None:
                    self._say(_DUPLICATE_TEXT)
                else:
                    self._room = self._splitter.limit = self._rules.text
                    self._turn(Turn.DATA)
                    self._say(Reply(354, "Begin input, end with <CRLF>.<CRLF>"))
            case m.Malformed(verb=verb, why=why):
                if verb == m.Page.verb:
                    page.options = _Options()  # or the next recipient would inherit them
                self._say(Reply(550, why))
            case m.Reset():
                self._page = _Entered()
                self.login = None  # RFC 1861 4.3.3: as a fresh connection
                self._say(Reply(250, "Reset"))
            case m.Quit():
                self._part(Reply(221, "Goodbye"))
            case m.Help():
                lines = tuple(text for level, text in _HELP if level <= self._rules.level)
                self._say(Reply(250, "End of help", lines, help=True))
            case m.Login(login=login, password=password):
                self._ask(LoginAsked(login=login, password=password))
            case m.Ping(pager=pager):
                self._ask(PingAsked(pager=pager))
            case m.MStatus(tag=tag, passcode=passcode):
                self._ask(StatusAsked(tag=tag, passcode=passcode))
            case m.KillTag(tag=tag, passcode=passcode):
                self._ask(KillAsked(tag=tag, passcode=passcode))
            case m.Subject(text=text):
                page.subject = text
                self._say(Reply(250, "Subject accepted"))
            case m.CallerId(caller=caller):
                page.caller_id = caller
                self._say(Reply(250, "Caller ID accepted"))
            case m.Level() | m.Alert() | m.Coverage() | m.Hold():
                self._say(self._option(command))
            case m.TwoWay() | m.NoQueue() | m.ExpireTag() | m.AckRead() | m.ReplyType() | m.McResponse():
                self._say(self._two_way(command))
            case _:
                assert_never(command)

    def _option(self, command: m.Level | m.Alert | m.Coverage | m.Hold) -> Reply:
        options = self._page.options
        match command:
            case m.Level(level=level):
                self._page.options = replace(options, level=level)
                return Reply(250, "Level accepted")
            case m.Alert(on=on):
                self._page.options = replace(options, alert=on)
                return Reply(250, "Alert accepted")
            case m.Coverage(area=area):
                if self._rules.areas is not None and area not in self._rules.areas:
                    return Reply(550, "area is not known")
                self._page.options = replace(options, coverage=area)
                return Reply(250, "Coverage accepted")
            case m.Hold(at=at):
                if at < self._now() - HOLD_GRACE:
                    return Reply(550, "hold time is in the past")
                self._page.options = replace(options, hold=at)
                return Reply(250, "Hold accepted")
            case _:
                assert_never(command)

    def _two_way(
        self, command: m.TwoWay | m.NoQueue | m.ExpireTag | m.AckRead | m.ReplyType | m.McResponse
    ) -> Reply:
        page = self._page
        two_way = page.two_way or m.TwoWayOptions()
        match command:
            case m.TwoWay():
                if page.any or page.two_way:
                    return Reply(550, "A transaction is under way, use RESEt")
                page.two_way = two_way
                return Reply(250, "Two-way transaction begun")
            case m.NoQueue():
                if page.recipients:
                    return Reply(550, "NOQUEUEing comes before PAGEr")
                page.two_way = replace(two_way, no_queue=True)
                return Reply(250, "Queuing disabled")
            case m.ExpireTag(hours=hours):
                page.two_way = replace(two_way, expire_hours=hours)
                return Reply(250, "Expiry accepted")
            case m.AckRead(on=on):
                page.two_way = replace(two_way, ack_read=on)
                return Reply(250, "Read acknowledgement accepted")
            case m.ReplyType(kind=kind):
                if two_way.responses and kind is not m.ReplyKind.MULTICHOICE:
                    return Reply(503, "Responses are entered already")
                page.two_way = replace(two_way, reply=kind)
                return Reply(250, "Reply type accepted")
            case m.McResponse():
                # Net::SNPP and python-snpp send no RTYPe before it: it switches MULTICHOICE on by itself.
                if two_way.reply not in (None, m.ReplyKind.MULTICHOICE):
                    return Reply(550, "Multiple choice is not enabled")
                if any(other.code == command.code for other in two_way.responses):
                    return Reply(502, "Response code already entered")
                if len(two_way.responses) >= self._rules.responses:
                    return Reply(552, f"Too many responses (limit {self._rules.responses})")
                page.two_way = replace(
                    two_way, reply=m.ReplyKind.MULTICHOICE, responses=(*two_way.responses, command)
                )
                return Reply(250, "Response added")
            case _:
                assert_never(command)

    def _pager(self, command: m.Page) -> None:
        page = self._page
        options, page.options = page.options, _Options()
        if page.recipients and (self._rules.level == 1 or page.two_way):
            self._say(_DUPLICATE_PAGER)
        elif len(page.recipients) >= self._rules.recipients:
            self._say(Reply(552, f"Too many recipients (limit {self._rules.recipients})"))
        elif any(to.pager == command.pager for to in page.recipients):
            self._say(_DUPLICATE_PAGER)
        else:
            to = Recipient(
                pager=command.pager,
                pin=command.pin,
                level=options.level,
                alert=options.alert,
                coverage=options.coverage,
                hold=options.hold,
            )
            self._ask(PagerAsked(recipient=to, two_way=page.two_way))

    def _send(self) -> None:
        page = self._page
        if not page.recipients or (page.text is None and not self._rules.tone_only):
            self._say(Reply(503, "Pager ID or message missing"))
            return
        page.late_options()
        received = m.Received(
            recipients=tuple(page.recipients),
            text=page.text,
            subject=page.subject,
            caller_id=page.caller_id,
            two_way=page.two_way,
            login=self.login,
        )
        self._ask(SendAsked(page=received))

    def _ask(self, question: Asked) -> None:
        self._asked = question
        self._turn(Turn.ASK)
        self._out.append(question)

    def _settle(self, asked: Asked, reply: Reply) -> None:
        """What the application's answer does to what is entered."""
        match asked:
            case PagerAsked(recipient=recipient) if reply.success:
                self._page.recipients.append(recipient)
            case LoginAsked(login=login) if reply.success:
                self.login, self._failed_logins = login, 0
            case LoginAsked():
                self._failed_logins += 1
                if self._failed_logins >= self._rules.logins and not reply.closes:
                    reply = Reply(421, "Too many failed logins, goodbye")
            case SendAsked() if reply.code != 503:
                self._page = _Entered()
                if reply.success:
                    self._errors = 0
        self._say(reply)

    # Replies

    def _say(self, reply: Reply) -> None:
        if reply.code // 100 == 5 and reply.code != 554:  # 554 is our fault, not the client's
            self._errors += 1
            if self._errors > self._rules.errors:
                reply = _TOO_MANY_ERRORS
        if reply.closes:
            self._part(reply)
        else:
            self._out.append(Say(data=codec.encode_reply(reply)))

    def _part(self, reply: Reply) -> None:
        if self.stage is Stage.CLOSED:
            return
        self._turn(Turn.CLOSE)
        self._out += [Say(data=codec.encode_reply(reply)), Hangup()]
