"""What may be said now, on both sides of an SMTP or LMTP conversation. No sockets, no clock.

`ClientSession` leads a message through a server and says what became of it; the point of no return is
`commit`, the text with its final dot. `ServerSession` takes commands, asks its application what only that can
answer, and replies. The tables of states are drawn in docs/protocols/smtp.md.
"""

from collections import deque
from enum import Enum
from typing import assert_never

from msgspec import Struct

from protocols.events import Foreign, Hangup, Over, ReadyToSend, Say, Secure, Write
from protocols.lines import Line, LineSplitter
from protocols.smtp import codec
from protocols.smtp import messages as m
from protocols.smtp.messages import (
    Answer,
    Content,
    InDoubt,
    LocalProtocolError,
    NotSent,
    Recipient,
    Reply,
    Result,
    Submitted,
)
from protocols.strangers import foreign_line, foreign_octets

# The client's side


class Phase(Enum):
    """Where a client's conversation is."""

    GREETING = "waiting for the greeting"
    HELLO = "saying who we are"
    ASKING_TLS = "STARTTLS written"
    SECURING = "changing to TLS"
    LOGIN = "logging in"
    IDLE = "idle"
    RESETTING = "clearing what a failed message left"
    ENTERING = "MAIL and RCPT written"
    ASKING_DATA = "DATA written"
    READY = "all entered"
    SENDING = "text and dot written"
    QUITTING = "saying goodbye"
    CLOSED = "closed"


class Move(Enum):
    """What takes a client's conversation on."""

    HELLO = "EHLO, HELO, LHLO"
    ASK_TLS = "STARTTLS"
    GO_SECURE = "220 to STARTTLS"
    LOG_IN = "AUTH"
    ENTER = "MAIL"
    RESET = "RSET before a message"
    ALL_ENTERED = "DATA"
    GO_AHEAD = "354"
    COMMIT = "text and dot"
    DONE = "answered"
    QUIT = "QUIT"
    CLOSE = "421, loss, out of step"


NEXT: dict[tuple[Phase, Move], Phase] = {
    (Phase.GREETING, Move.HELLO): Phase.HELLO,
    (Phase.HELLO, Move.HELLO): Phase.HELLO,  # HELO after EHLO was not known
    (Phase.HELLO, Move.ASK_TLS): Phase.ASKING_TLS,
    (Phase.ASKING_TLS, Move.GO_SECURE): Phase.SECURING,
    (Phase.SECURING, Move.HELLO): Phase.HELLO,
    (Phase.HELLO, Move.LOG_IN): Phase.LOGIN,
    (Phase.HELLO, Move.DONE): Phase.IDLE,
    (Phase.LOGIN, Move.DONE): Phase.IDLE,
    (Phase.IDLE, Move.ENTER): Phase.ENTERING,
    (Phase.IDLE, Move.RESET): Phase.RESETTING,  # after a message that failed
    (Phase.RESETTING, Move.ENTER): Phase.ENTERING,
    (Phase.ENTERING, Move.ALL_ENTERED): Phase.ASKING_DATA,
    (Phase.ENTERING, Move.DONE): Phase.IDLE,  # refused before DATA
    (Phase.ASKING_DATA, Move.GO_AHEAD): Phase.READY,
    (Phase.ASKING_DATA, Move.DONE): Phase.IDLE,
    (Phase.READY, Move.COMMIT): Phase.SENDING,  # the point of no return
    (Phase.SENDING, Move.DONE): Phase.IDLE,
    (Phase.IDLE, Move.QUIT): Phase.QUITTING,
    **{(phase, Move.CLOSE): Phase.CLOSED for phase in Phase},
}

AWAITING = frozenset(Phase) - {Phase.SECURING, Phase.IDLE, Phase.READY, Phase.CLOSED}  # a reply is due
_OPENING = (Phase.GREETING, Phase.HELLO, Phase.ASKING_TLS, Phase.SECURING, Phase.LOGIN)


class Opened(Struct, frozen=True, kw_only=True):
    """Greeted and, as far as wanted, secured and logged in. *offer*: of the last EHLO."""

    greeting: Reply
    offer: codec.Offer
    secure: bool


class NotOpened(Struct, frozen=True, kw_only=True):
    """No conversation. *step*: CONN, 220, EHLO, STARTTLS or AUTH. *reply*: what refused, if anything did."""

    why: str
    step: str
    reply: Reply | None = None


class Concluded(Struct, frozen=True, kw_only=True):
    """What became of the message."""

    result: Result


ClientEvent = Write | Secure | Opened | NotOpened | ReadyToSend | Concluded | Over


class StartTls(Enum):
    """Whether the conversation changes to TLS by STARTTLS."""

    NEVER = "never"
    OFFERED = "if offered"
    REQUIRED = "required"


class Manner(Struct, frozen=True, kw_only=True):
    """Who we are and how a server is to be spoken to.

    *secure*: the endpoint does TLS already. *clear_login*: AUTH may go over a connection without TLS, which
    is for a server on this machine.
    """

    name: m.Domain
    lmtp: bool = False
    starttls: StartTls = StartTls.NEVER
    secure: bool = False
    clear_login: bool = False


class _Job:
    """A message on its way through the server."""

    def __init__(self, transaction: m.Transaction) -> None:
        self.transaction = transaction
        self.unheard = deque(transaction.recipients)  # RCPT not answered yet
        self.unsaid: deque[m.Mail | m.Rcpt] = deque()
        self.mail_heard = False
        self.accepted: deque[Recipient] = deque()  # by RCPT; by LMTP: the dot is not answered yet
        self.answers: dict[Recipient, Answer] = {}
        self.mail_refusal: Reply | None = None

    def answer(self, recipient: Recipient, reply: Reply, step: str) -> None:
        self.answers[recipient] = Answer(recipient=recipient, reply=reply, step=step)

    def ordered(self) -> tuple[Answer, ...]:
        return tuple(self.answers[to] for to in self.transaction.recipients if to in self.answers)

    def ended_by(self, reply: Reply, step: str) -> Submitted:
        """*reply* goes for everyone who has no answer of his own."""
        for recipient in self.transaction.recipients:
            if recipient not in self.answers:
                self.answer(recipient, reply, step)
        return Submitted(reply=reply, step=step, answers=self.ordered())


class ClientSession:
    """One conversation with a server: one message after another.

    Feed it what comes (`receive`) and say when it is over (`lose`); do what the events say, in order.
    A reply that nobody asked for ends the conversation, because from then on any reply could be another's:
    before the final dot the message was not sent, after it there is doubt.
    """

    def __init__(self, manner: Manner, *, login: m.Login | None = None) -> None:
        self.phase = Phase.GREETING
        self.secure = manner.secure
        self.offer = codec.Offer()
        self._manner = manner
        self._login = login
        self._decoder = codec.ReplyDecoder()
        self._greeting = Reply(220)
        self._helo = False  # HELO was said in place of EHLO
        self._prompts: deque[m.Sayable] = deque()  # what is left to say of AUTH LOGIN
        self._dirty = False  # a message that failed may have left something entered
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

    def submit(self, transaction: m.Transaction) -> list[ClientEvent]:
        """Begin *transaction*. `LocalProtocolError` unless idle."""
        if self.phase is not Phase.IDLE:
            raise LocalProtocolError(f"a message while {self.phase.value}")
        if lacking := self._lacking(transaction):
            why = f"the server does not take this message ({lacking})"
            return [Concluded(result=NotSent(why=why, lacking=lacking))]
        self._job = _Job(transaction)
        if self._dirty:
            self._dirty = False
            self._move(Move.RESET)
            return [Write(data=codec.encode_command(m.Rset()))]
        return self._enter(self._job)

    def commit(self) -> bytes:
        """The text and the final dot. From the moment these are handed to the transport silence is doubt."""
        self._move(Move.COMMIT)
        assert self._job
        return codec.data_block(self._job.transaction.content)

    def secured(self) -> list[ClientEvent]:
        """TLS has been begun on the transport: all that was learnt before is forgotten (RFC 3207 4.2)."""
        self.secure = True
        self._decoder = codec.ReplyDecoder()
        self.offer = codec.Offer()
        return self._hello()

    def quit(self) -> bytes:
        """Say goodbye; `Over` will follow."""
        self._move(Move.QUIT)
        return codec.encode_command(m.Quit())

    def _move(self, move: Move) -> None:
        try:
            self.phase = NEXT[self.phase, move]
        except KeyError:
            raise LocalProtocolError(f"{move.value} while {self.phase.value}") from None

    def _lacking(self, transaction: m.Transaction) -> str:
        if transaction.utf8 and "SMTPUTF8" not in self.offer:
            return "SMTPUTF8"
        if not transaction.content.isascii() and "8BITMIME" not in self.offer:
            return "8BITMIME"
        if 0 < self.offer.size < len(transaction.content):
            return "SIZE"
        return ""

    def _hello(self) -> list[ClientEvent]:
        self._move(Move.HELLO)
        name = self._manner.name
        command: m.Sayable = m.Lhlo(domain=name) if self._manner.lmtp else m.Ehlo(domain=name)
        return [Write(data=codec.encode_command(m.Helo(domain=name) if self._helo else command))]

    def _enter(self, job: _Job) -> list[ClientEvent]:
        """MAIL and every RCPT, at once where the server takes that."""
        self._move(Move.ENTER)
        sent, offer = job.transaction, self.offer
        dsn = "DSN" in offer
        mail = m.Mail(
            sender=sent.sender,
            size=len(sent.content) if "SIZE" in offer else None,
            eight_bit=not sent.content.isascii(),
            utf8=sent.utf8,
            ret=sent.ret if dsn else None,
            envid=sent.envid if dsn else None,
        )
        job.unsaid.append(mail)
        for to in sent.recipients:
            notify, original = (to.notify, to.original) if dsn else (None, None)
            job.unsaid.append(m.Rcpt(to=to.address, notify=notify, original=original))
        if "PIPELINING" not in offer:
            return self._next_command(job)
        together = b"".join(map(codec.encode_command, job.unsaid))
        job.unsaid.clear()
        return [Write(data=together)]

    def _next_command(self, job: _Job) -> list[ClientEvent]:
        return [Write(data=codec.encode_command(job.unsaid.popleft()))] if job.unsaid else []

    # What we hear

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Take in *data* from the server."""
        if self.closed:
            return []
        events: list[ClientEvent] = []
        heard = deque(self._decoder.receive(data))
        while heard and not self.closed:
            one = heard.popleft()
            if isinstance(one, codec.Garbled):
                events += self.lose(one.why)
            elif one.closes:
                events += self._ended(one)
            elif self.phase not in AWAITING:
                events += self.lose(f"the server spoke unasked: {one}")
            elif heard and not (self._more_due() or _goodbye(heard[0])):
                # Among them: what a man in the middle puts behind the 220 of STARTTLS.
                events += self.lose("more replies than commands")
            else:
                events += self._answered(one)
        if self._decoder.pending and not self.closed and self.phase not in AWAITING:
            events += self.lose("the server spoke unasked")
        return _settled(events)

    def _more_due(self) -> bool:
        """Another reply than the next one is awaited already."""
        if not self._job:
            return False
        if self.phase is Phase.SENDING:
            return self._manner.lmtp and len(self._job.accepted) > 1
        if self.phase is Phase.ENTERING:
            said = len(self._job.unheard) - len(self._job.unsaid)
            return said > (1 if self._job.mail_heard else 0)
        return False

    def lose(self, why: str, *, connected: bool = True) -> list[ClientEvent]:
        """The connection is lost or never came, a time limit has passed, or what came cannot be trusted."""
        if self.closed:
            return []
        events: list[ClientEvent] = []
        if self.phase in _OPENING:
            # Until a word has come through TLS it is TLS that failed.
            upgrading = self.phase is Phase.HELLO and self.secure and not self._manner.secure
            step = "STARTTLS" if upgrading else self._step()
            events.append(NotOpened(why=why, step=step if connected else "CONN"))
        elif self.phase is Phase.SENDING and self._job:
            events.append(Concluded(result=InDoubt(why=why, answers=self._job.ordered())))
        elif self._job:
            events.append(Concluded(result=NotSent(why=why)))
        return [*events, self._over(why)]

    def _over(self, why: str) -> Over:
        self._job = None
        self._move(Move.CLOSE)
        return Over(why=why)

    def _step(self) -> str:
        match self.phase:
            case Phase.GREETING:
                return "220"
            case Phase.HELLO:
                return "EHLO"
            case Phase.ASKING_TLS | Phase.SECURING:
                return "STARTTLS"
            case Phase.LOGIN:
                return "AUTH"
            case Phase.RESETTING:
                return "RSET"
            case Phase.ENTERING:
                return "RCPT" if self._job and self._job.mail_heard else "MAIL"
            case Phase.ASKING_DATA | Phase.READY:
                return "DATA"
            case Phase.SENDING:
                return "."
            case Phase.QUITTING | Phase.IDLE | Phase.CLOSED:
                return ""
            case _:
                assert_never(self.phase)

    def _ended(self, reply: Reply) -> list[ClientEvent]:
        """421: an answer to whatever was under way, and nothing of it was accepted."""
        why = f"the server closed: {reply}"
        if self.phase in _OPENING:
            return [NotOpened(why=why, step=self._step(), reply=reply), self._over(why)]
        if job := self._job:
            return [Concluded(result=job.ended_by(reply, self._step())), self._over(why)]
        return [self._over(why)]

    def _answered(self, reply: Reply) -> list[ClientEvent]:
        match self.phase:
            case Phase.GREETING if reply.code == 220:
                self._greeting = reply
                return self._hello()
            case Phase.HELLO if reply.code == 250:
                self.offer = codec.Offer() if self._helo else codec.offer_of(reply)
                return self._greeted()
            case Phase.HELLO if reply.code in (500, 502) and not (self._helo or self._manner.lmtp):
                self._helo = True
                return self._hello()
            case Phase.ASKING_TLS if reply.code == 220:
                self._move(Move.GO_SECURE)
                return [Secure()]
            case Phase.LOGIN:
                return self._login_answered(reply)
            case Phase.GREETING | Phase.HELLO | Phase.ASKING_TLS:
                return self._not_opened(f"{self._step()} answered by {reply}", reply)
            case Phase.QUITTING:
                return [self._over("goodbye")]
            case _:
                assert self._job
                return self._job_answered(self._job, reply)

    # Opening

    def _not_opened(self, why: str, reply: Reply | None = None, step: str = "") -> list[ClientEvent]:
        return [NotOpened(why=why, step=step or self._step(), reply=reply), self._over(why)]

    def _greeted(self) -> list[ClientEvent]:
        wanted = self._manner.starttls
        if not self.secure and wanted is not StartTls.NEVER:
            if "STARTTLS" in self.offer:
                self._move(Move.ASK_TLS)
                return [Write(data=codec.encode_command(m.StartTls()))]
            if wanted is StartTls.REQUIRED:
                return self._not_opened("the server offers no STARTTLS", step="STARTTLS")
        if self._login is None:
            return self._opened()
        if not (self.secure or self._manner.clear_login):
            return self._not_opened("no login over a connection without TLS", step="AUTH")
        user, password = self._login.user, self._login.password
        if "PLAIN" in self.offer.mechanisms:
            self._prompts = deque([m.AuthPlain(user=user, password=password)])
        elif "LOGIN" in self.offer.mechanisms:
            self._prompts = deque([m.AuthLogin(), m.AuthAnswer(said=user), m.AuthAnswer(said=password)])
        else:
            return self._not_opened("the server offers neither AUTH PLAIN nor LOGIN", step="AUTH")
        self._move(Move.LOG_IN)
        return [Write(data=codec.encode_command(self._prompts.popleft()))]

    def _login_answered(self, reply: Reply) -> list[ClientEvent]:
        if reply.code == 334 and self._prompts:
            return [Write(data=codec.encode_command(self._prompts.popleft()))]
        if reply.code == 235 and not self._prompts:
            return self._opened()
        return self._not_opened(f"AUTH answered by {reply}", reply)

    def _opened(self) -> list[ClientEvent]:
        self._move(Move.DONE)
        return [Opened(greeting=self._greeting, offer=self.offer, secure=self.secure)]

    # A message

    def _job_answered(self, job: _Job, reply: Reply) -> list[ClientEvent]:
        step = self._step()
        expected = reply.code == 354 if self.phase is Phase.ASKING_DATA else reply.success
        if not expected and reply.code // 100 not in (4, 5):
            return self.lose(f"{step} answered by {reply}")
        match self.phase:
            case Phase.RESETTING if reply.success:
                return self._enter(job)
            case Phase.RESETTING:
                return self.lose(f"RSET refused: {reply}")
            case Phase.ENTERING:
                return self._entered(job, reply, step)
            case Phase.ASKING_DATA if reply.code == 354:
                self._move(Move.GO_AHEAD)
                return [ReadyToSend()]
            case Phase.ASKING_DATA:
                return [self._conclude(job, reply, step)]
            case _:
                return self._sent(job, reply)

    def _entered(self, job: _Job, reply: Reply, step: str) -> list[ClientEvent]:
        if not job.mail_heard:
            job.mail_heard = True
            if not reply.success:
                job.mail_refusal = reply
                if job.unsaid:  # the RCPTs have not been written yet
                    return [self._conclude(job, reply, step)]
            return self._next_command(job)
        recipient = job.unheard.popleft()
        if job.mail_refusal:
            job.answer(recipient, job.mail_refusal, "MAIL")
        elif reply.success:
            job.accepted.append(recipient)
        else:
            job.answer(recipient, reply, step)
        if job.unheard:
            return self._next_command(job)
        if job.mail_refusal:
            return [self._conclude(job, job.mail_refusal, "MAIL")]
        if not job.accepted:
            return [self._conclude(job, reply, step)]
        self._move(Move.ALL_ENTERED)
        return [Write(data=codec.encode_command(m.Data()))]

    def _sent(self, job: _Job, reply: Reply) -> list[ClientEvent]:
        """One answer for all who were accepted; by LMTP one for each, in their order (RFC 2033 4.2)."""
        heard = [job.accepted.popleft()] if self._manner.lmtp else list(job.accepted)
        for recipient in heard:
            job.answer(recipient, reply, ".")
        if self._manner.lmtp and job.accepted:
            return []
        return [self._conclude(job, reply, ".")]

    def _conclude(self, job: _Job, reply: Reply, step: str) -> Concluded:
        result = job.ended_by(reply, step)
        self._dirty = not result.taken
        self._job = None
        self._move(Move.DONE)
        return Concluded(result=result)


def _goodbye(heard: Reply | codec.Garbled) -> bool:
    """A server may say goodbye right behind its answer."""
    return isinstance(heard, Reply) and (heard.closes or heard.code == 221)


def _settled(events: list[ClientEvent]) -> list[ClientEvent]:
    """Nothing is written any more to a server that has gone out of step."""
    if events and isinstance(events[-1], Over):
        return [event for event in events if not isinstance(event, Write | Secure | ReadyToSend)]
    return events


# The server's side

MAX_RUNAWAY = 16_384  # octets of a command line without end, dropped as they come; then it is no client
MAX_EXCESS = 10_485_760  # octets of a text beyond the size we take that are still read to its end
MAX_WAITING = 65_536  # octets of commands that may wait while the application answers


class ServerRules(Struct, frozen=True, kw_only=True):
    """What a server offers. Limits are counts and octets; docs/protocols/smtp.md names their sources.

    *domains*: ours, in lower case; mail for any other is refused, whoever brings it. *starttls*: offered.
    *login_needed*, *tls_needed*: for MAIL. *mend*: bare CR and LF in a text become line ends instead of a
    refusal; they never end it. *dsn*: offered; whoever offers it must write the reports.
    """

    name: m.Domain
    domains: frozenset[str]
    lmtp: bool = False
    starttls: bool = False
    auth: bool = False
    tls_needed: bool = False
    login_needed: bool = False
    mend: bool = False
    dsn: bool = False
    size: int = 262_144
    recipients: int = 100
    errors: int = 10  # in a row, without a message taken between them
    logins: int = 3

    def __post_init__(self) -> None:
        if self.size > m.MAX_CONTENT:
            raise m.InvalidValue("size", "is too large", m.MAX_CONTENT)


class Stage(Enum):
    """Where a server's conversation is."""

    COMMANDS = "taking commands"
    LOGIN = "waiting for the answer to a 334"
    TEXT = "taking text lines"
    ASKED = "waiting for the application"
    SECURING = "changing to TLS"
    CLOSED = "closed"


class Turn(Enum):
    """What takes a server's conversation on."""

    PROMPT = "334"
    PROMPTED = "what follows a 334"
    DATA = "DATA"
    DOT = "."
    ASK = "AUTH, RCPT, the text"
    ANSWER = "the application's answer"
    STARTTLS = "STARTTLS"
    SECURED = "TLS begun"
    CLOSE = "QUIT, 421, lost"


SERVER_NEXT: dict[tuple[Stage, Turn], Stage] = {
    (Stage.COMMANDS, Turn.PROMPT): Stage.LOGIN,
    (Stage.LOGIN, Turn.PROMPTED): Stage.COMMANDS,
    (Stage.COMMANDS, Turn.DATA): Stage.TEXT,
    (Stage.TEXT, Turn.DOT): Stage.COMMANDS,
    (Stage.COMMANDS, Turn.ASK): Stage.ASKED,
    (Stage.ASKED, Turn.ANSWER): Stage.COMMANDS,
    (Stage.COMMANDS, Turn.STARTTLS): Stage.SECURING,
    (Stage.SECURING, Turn.SECURED): Stage.COMMANDS,
    **{(stage, Turn.CLOSE): Stage.CLOSED for stage in Stage},
}


class Received(Struct, frozen=True, kw_only=True):
    """A message a client has handed over. By LMTP a recipient may be there twice: each RCPT has an answer.

    *ret*, *envid*, and a recipient's *notify* and *original*: only where the rules offer DSN.
    """

    sender: m.Mailbox | None
    recipients: tuple[Recipient, ...]
    content: Content
    ret: m.Ret | None = None
    envid: m.EnvelopeId | None = None
    helo: m.Domain
    login: m.Secret | None = None
    secure: bool = False


class LoginAsked(Struct, frozen=True, kw_only=True):
    """May this login in? Answer 235, 535 or 454."""

    user: m.Secret
    password: m.Secret


class RecipientAsked(Struct, frozen=True, kw_only=True):
    """May this one get mail from that sender? Answer 250, 550 or 450. Its domain is ours."""

    to: Recipient
    sender: m.Mailbox | None


class MessageAsked(Struct, frozen=True, kw_only=True):
    """Take responsibility for this. Answer 250, 4xx or 5xx; by LMTP once, or once for each recipient."""

    message: Received


Asked = LoginAsked | RecipientAsked | MessageAsked
ServerEvent = Say | Secure | Asked | Foreign | Hangup

_OK = Reply(250, ("2.0.0 OK",))
_BARE = Reply(550, ("5.5.2 Bare CR or LF, or NUL, in the text",))
_SEQUENCE = Reply(503, ("5.5.1 Not now",))
_TOO_BIG = Reply(552, ("5.3.4 Message too big",))
_NO_DSN = Reply(555, ("5.5.4 Parameter not supported: no DSN here",))
_TECHNICAL = Reply(451, ("4.3.0 Technical failure",))


class _Text:
    """A text as it comes. Bounded: what is refused is not kept."""

    def __init__(self, room: int, *, eight_bit: bool, mend: bool) -> None:
        self.refusal: Reply | None = None
        self.received = 0  # octets, those of a text that is refused too
        self._room = room
        self._eight_bit = eight_bit
        self._mend = mend
        self._lines: list[bytes] = []
        self._whole = True  # the line before this one ended with CR LF: only then a dot counts

    def ends_with(self, line: Line) -> bool:
        return line.data == b"." and line.crlf and self._whole

    def add(self, line: Line) -> None:
        data = codec.unstuffed(line.data) if self._whole else line.data
        self._whole = line.crlf
        self._room -= len(data) + data.count(b"\r") + 2
        if self._room < 0:
            self.refusal = _TOO_BIG
        elif b"\0" in data or (not self._mend and (b"\r" in data or not line.crlf)):
            self.refusal = self.refusal or _BARE
        elif line.cut or len(data) > m.MAX_TEXT_LINE:
            self.refusal = self.refusal or Reply(550, (f"5.5.2 Line too long (limit {m.MAX_TEXT_LINE})",))
        elif not (self._eight_bit or data.isascii()):
            self.refusal = self.refusal or Reply(554, ("5.6.3 Eight-bit text without BODY=8BITMIME",))
        if self.refusal:
            self._lines.clear()
        else:
            self._lines.append(data.replace(b"\r", b"\r\n"))

    def content(self) -> Content:
        return Content(b"".join(line + b"\r\n" for line in self._lines))


class ServerSession:
    """One client's conversation: commands in, replies out, and questions to the application.

    After a question (`Asked`, always the last event of a list) nothing is read until `answer`; what comes
    meanwhile waits, up to `MAX_WAITING` octets. *secure*: the connection has had TLS from the start.
    """

    def __init__(self, rules: ServerRules, *, secure: bool = False) -> None:
        self.stage = Stage.COMMANDS
        self.secure = secure
        self.login: m.Secret | None = None
        self.lines = 0  # whole lines taken so far
        self.allowance: int | None = None  # command lines still allowed before 421; None: any
        self._rules = rules
        self._splitter = LineSplitter(codec.MAX_COMMAND)
        self._out: list[ServerEvent] = []
        self._helo: m.Domain | None = None
        self._mail: m.Mail | None = None
        self._recipients: list[Recipient] = []
        self._text = _Text(0, eight_bit=False, mend=False)
        self._user: m.Secret | None = None  # of AUTH LOGIN
        self._plain = False  # the 334 was PLAIN's
        self._asked: Asked | None = None
        self._parting: Reply | None = None
        self._silent = True  # nothing has come yet
        self._errors = 0
        self._failed_logins = 0

    def greet(self) -> list[ServerEvent]:
        """The server speaks first."""
        self._say(Reply(220, (f"{self._rules.name} {'LMTP' if self._rules.lmtp else 'ESMTP'}",)))
        return self._events()

    def receive(self, data: bytes) -> list[ServerEvent]:
        """Take in *data* from the client."""
        if self.stage is Stage.CLOSED or not data:
            return []
        if self._silent and (what := foreign_octets(data)):
            self._foreign(what)
            return self._events()
        self._silent = False
        if self.stage is Stage.TEXT:
            self._text.received += len(data)
        self._splitter.feed(data)
        self._work()
        if self.stage is Stage.ASKED and self._splitter.waiting > MAX_WAITING:
            self._part(Reply(421, (f"4.7.0 Too much input at once (limit {MAX_WAITING})",)))
        return self._events()

    def secured(self) -> list[ServerEvent]:
        """TLS has been begun: what came before, and what was learnt, is forgotten (RFC 3207 4.2)."""
        self._turn(Turn.SECURED)
        self._splitter = LineSplitter(codec.MAX_COMMAND)
        self.secure, self._helo, self.login = True, None, None
        self._reset()
        return self._events()

    def answer(self, *replies: Reply) -> list[ServerEvent]:
        """The application's answer to the last question goes to the client; then on with what waits."""
        if self.stage is Stage.CLOSED:
            return []
        asked = self._asked
        if asked is None or not replies:
            raise LocalProtocolError("an answer to no question, or none to one")
        self._asked = None
        self._turn(Turn.ANSWER)
        self._settle(asked, replies)
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
        """The application does not answer. After the dot nothing true can be said, so nothing is."""
        if self.stage is not Stage.CLOSED:
            if isinstance(self._asked, MessageAsked):
                self._turn(Turn.CLOSE)
                self._out.append(Hangup())
            else:
                self._part(Reply(421, ("4.3.0 Service unavailable, goodbye",)))
        return self._events()

    # Lines

    def _events(self) -> list[ServerEvent]:
        out, self._out = self._out, []
        return out

    def _turn(self, turn: Turn) -> None:
        self.stage = SERVER_NEXT[self.stage, turn]

    def _work(self) -> None:
        reading = (Stage.COMMANDS, Stage.LOGIN, Stage.TEXT)
        while self.stage in reading and (line := self._splitter.next_line()):
            self.lines += 1
            if self.allowance is not None and self.stage is not Stage.TEXT:  # a text is bounded by its size
                self.allowance -= 1
                if self.allowance < 0:
                    self._part(Reply(421, ("4.7.0 Too many lines per second, goodbye",)))
                    return
            if self.stage is Stage.TEXT:
                self._text_line(line)
            elif line.cut or not line.crlf:
                why = f"Line too long (limit {codec.MAX_COMMAND})" if line.cut else "Line ends without CR LF"
                if self.stage is Stage.LOGIN:
                    self._turn(Turn.PROMPTED)
                self._say(Reply(500, (f"5.5.2 {why}",)))
            elif self.stage is Stage.LOGIN:
                self._turn(Turn.PROMPTED)
                self._prompted(line.data)
            else:
                self._command_line(line.data)
        unfinished = self._splitter.unfinished if self.stage in reading else 0
        if self.stage is Stage.TEXT and self._text.received > self._rules.size + MAX_EXCESS:
            self._part(_TOO_BIG)
        elif self.stage in (Stage.COMMANDS, Stage.LOGIN) and unfinished > MAX_RUNAWAY:
            self._part(Reply(500, (f"5.5.2 Line too long (limit {codec.MAX_COMMAND}), goodbye",)))

    def _text_line(self, line: Line) -> None:
        text = self._text
        if not text.ends_with(line):
            text.add(line)
            return
        self._splitter.limit = codec.MAX_COMMAND
        self._turn(Turn.DOT)
        if text.refusal:
            count = len(self._recipients) if self._rules.lmtp else 1
            self._reset()
            for _ in range(count):
                self._say(text.refusal)
            return
        assert self._mail
        assert self._helo
        received = Received(
            sender=self._mail.sender,
            recipients=tuple(self._recipients),
            content=text.content(),
            ret=self._mail.ret,
            envid=self._mail.envid,
            helo=self._helo,
            login=self.login,
            secure=self.secure,
        )
        self._ask(MessageAsked(message=received))

    def _command_line(self, data: bytes) -> None:
        command = codec.decode_command(data)
        match command:
            case m.Unknown() if what := foreign_line(data):
                self._foreign(what)
            case m.Unknown():
                self._say(Reply(500, ("5.5.1 Command not known",)))
            case m.Malformed(reply=reply):
                self._say(reply)
            case _:
                self._command(command)

    def _foreign(self, what: str) -> None:
        self._out.append(Foreign(what=what))
        self._part(Reply(421, ("4.7.0 This is a mail server, goodbye",)))

    # Commands

    def _reset(self) -> None:
        self._mail, self._recipients = None, []
        self._text = _Text(0, eight_bit=False, mend=False)

    def _command(self, command: m.Sayable) -> None:
        match command:
            case m.Ehlo(domain=domain) | m.Helo(domain=domain) | m.Lhlo(domain=domain):
                self._hello(command, domain)
            case m.Mail():
                self._say(self._begin(command))
            case m.Rcpt():
                self._rcpt(command)
            case m.Data():
                self._data()
            case m.StartTls():
                self._starttls()
            case m.AuthPlain() | m.AuthLogin():
                self._auth(command)
            case m.Rset():
                self._reset()
                self._say(_OK)
            case m.Noop():
                self._say(_OK)
            case m.Vrfy():
                self._say(Reply(252, ("2.5.0 Send it and see",)))
            case m.Help():
                self._say(Reply(214, ("2.0.0 See RFC 5321",)))
            case m.Quit():
                self._part(Reply(221, ("2.0.0 Goodbye",)))
            case m.AuthAnswer():  # decode_command makes none
                self._say(_SEQUENCE)
            case _:
                assert_never(command)

    def _hello(self, command: m.Ehlo | m.Helo | m.Lhlo, domain: m.Domain) -> None:
        rules = self._rules
        if isinstance(command, m.Lhlo) != rules.lmtp:
            self._say(Reply(500, ("5.5.1 Command not known",)))  # RFC 2033 4.1
            return
        self._helo = domain
        self._reset()
        if isinstance(command, m.Helo):
            self._say(Reply(250, (rules.name,)))
            return
        offer = ["PIPELINING", f"SIZE {rules.size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        if rules.dsn:
            offer.append("DSN")
        if rules.starttls and not self.secure:
            offer.append("STARTTLS")
        if rules.auth and self.secure and not self.login:
            offer.append("AUTH PLAIN LOGIN")
        self._say(Reply(250, (rules.name, *offer)))

    def _begin(self, mail: m.Mail) -> Reply:
        rules = self._rules
        if not self._helo or self._mail:
            return _SEQUENCE
        if rules.tls_needed and not self.secure:
            return Reply(530, ("5.7.0 STARTTLS first",))
        if rules.login_needed and self.login is None:
            return Reply(530, ("5.7.0 AUTH first",))
        if (mail.size or 0) > rules.size:
            return _TOO_BIG
        if mail.sender and not mail.sender.isascii() and not mail.utf8:
            return Reply(553, ("5.6.7 Address needs SMTPUTF8",))
        if (mail.ret or mail.envid) and not rules.dsn:
            return _NO_DSN
        self._mail = mail
        return Reply(250, ("2.1.0 OK",))

    def _rcpt(self, rcpt: m.Rcpt) -> None:
        to = rcpt.to
        if not self._mail:
            self._say(_SEQUENCE)
        elif (rcpt.notify is not None or rcpt.original) and not self._rules.dsn:
            self._say(_NO_DSN)
        elif not to.isascii() and not self._mail.utf8:
            self._say(Reply(553, ("5.6.7 Address needs SMTPUTF8",)))
        elif to.domain.lower() not in self._rules.domains:
            self._say(Reply(550, ("5.7.1 Relay denied",)))
        elif len(self._recipients) >= self._rules.recipients:
            self._say(Reply(452, (f"4.5.3 Too many recipients (limit {self._rules.recipients})",)))
        elif any(other.address == to for other in self._recipients) and not self._rules.lmtp:
            self._say(Reply(250, ("2.1.5 Named already",)))
        else:
            recipient = Recipient(address=to, notify=rcpt.notify, original=rcpt.original)
            self._ask(RecipientAsked(to=recipient, sender=self._mail.sender))

    def _data(self) -> None:
        if not self._mail or not self._recipients:
            self._say(_SEQUENCE)
            return
        rules = self._rules
        eight_bit = self._mail.eight_bit or self._mail.utf8
        self._text = _Text(rules.size, eight_bit=eight_bit, mend=rules.mend)
        self._splitter.limit = m.MAX_TEXT_LINE + 1  # a stuffed dot comes on top
        self._turn(Turn.DATA)
        self._say(Reply(354, ("End with <CRLF>.<CRLF>",)))

    def _starttls(self) -> None:
        if not self._rules.starttls or self.secure:
            self._say(_SEQUENCE)
            return
        self._say(Reply(220, ("2.0.0 Go ahead",)))
        self._turn(Turn.STARTTLS)
        self._out.append(Secure())

    # AUTH

    def _auth(self, command: m.AuthPlain | m.AuthLogin) -> None:
        if not self._rules.auth:
            self._say(Reply(502, ("5.5.1 No AUTH here",)))
        elif not self.secure:
            self._say(Reply(538, ("5.7.11 TLS needed for AUTH",)))
        elif not self._helo or self._mail or self.login:
            self._say(_SEQUENCE)
        elif isinstance(command, m.AuthPlain):
            self._plain, self._user = True, None
            if command.user and command.password:
                self._ask(LoginAsked(user=command.user, password=command.password))
            else:
                self._prompt("")
        else:
            self._plain, self._user = False, command.user
            self._prompt("UGFzc3dvcmQ6" if command.user else "VXNlcm5hbWU6")

    def _prompt(self, text: str) -> None:
        self._turn(Turn.PROMPT)
        self._say(Reply(334, (text,)))

    def _prompted(self, data: bytes) -> None:
        said = data.decode("latin-1")
        if said == "*":
            self._say(Reply(501, ("5.0.0 AUTH cancelled",)))
            return
        heard = codec.decode_plain(said) if self._plain else codec.decode_answer(said)
        match heard:
            case m.AuthPlain(user=m.Secret() as user, password=m.Secret() as password):
                self._ask(LoginAsked(user=user, password=password))
            case m.AuthAnswer(said=word) if self._user:
                self._ask(LoginAsked(user=self._user, password=word))
            case m.AuthAnswer(said=word):
                self._user = word
                self._prompt("UGFzc3dvcmQ6")
            case m.Malformed(reply=reply):
                self._say(reply)
            case m.AuthPlain():  # decode_plain gives both or none
                self._say(_SEQUENCE)
            case _:
                assert_never(heard)

    def _ask(self, question: Asked) -> None:
        self._asked = question
        self._turn(Turn.ASK)
        self._out.append(question)

    def _settle(self, asked: Asked, replies: tuple[Reply, ...]) -> None:
        """What the application's answer does to what is entered."""
        reply = replies[0]
        match asked:
            case RecipientAsked(to=to):
                if reply.success:
                    self._recipients.append(to)
                self._say(reply)
            case LoginAsked(user=user):
                if reply.success:
                    self.login, self._failed_logins = user, 0
                else:
                    self._failed_logins += 1
                    if self._failed_logins >= self._rules.logins:
                        reply = Reply(421, ("4.7.0 Too many failed logins, goodbye",))
                self._say(reply)
            case MessageAsked(message=message):
                self._reset()
                if any(one.success for one in replies):
                    self._errors = 0
                count = len(message.recipients) if self._rules.lmtp else 1
                # Fewer answers than recipients: the last one is no claim that the others were taken.
                rest = reply if len(replies) == 1 else _TECHNICAL
                for i in range(count):
                    self._say(replies[i] if i < len(replies) else rest)
            case _:
                assert_never(asked)

    # Replies

    def _say(self, reply: Reply) -> None:
        if self.stage is Stage.CLOSED:
            return
        if reply.code // 100 == 5:
            self._errors += 1
            if self._errors > self._rules.errors:
                reply = Reply(421, ("4.7.0 Too many errors, goodbye",))
        if reply.closes:
            self._part(reply)
        else:
            self._out.append(Say(data=codec.encode_reply(reply)))

    def _part(self, reply: Reply) -> None:
        if self.stage is Stage.CLOSED:
            return
        self._turn(Turn.CLOSE)
        self._out += [Say(data=codec.encode_reply(reply)), Hangup()]
