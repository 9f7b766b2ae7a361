"""What may be said now, on both sides of an SMTP or LMTP conversation. No sockets, no clock.

`ClientSession` leads a message through a server and says what became of it; the point of no return is
`commit`, the text with its final dot. The tables of states are drawn in docs/protocols/smtp.md.
"""

from collections import deque
from enum import Enum
from typing import assert_never

from msgspec import Struct

from protocols.smtp import codec
from protocols.smtp import messages as m
from protocols.smtp.messages import (
    Answer,
    InDoubt,
    LocalProtocolError,
    NotSent,
    Recipient,
    Reply,
    Result,
    Submitted,
)

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


class Write(Struct, frozen=True, kw_only=True):
    """Hand *data* to the transport."""

    data: bytes


class Secure(Struct, frozen=True, kw_only=True):
    """Begin TLS on the transport, then call `ClientSession.secured`. Nothing heard before is kept."""


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


class ReadyToSend(Struct, frozen=True, kw_only=True):
    """All is entered; `ClientSession.commit` gives the text and the dot. Until then nothing was sent."""


class Concluded(Struct, frozen=True, kw_only=True):
    """What became of the message."""

    result: Result


class Over(Struct, frozen=True, kw_only=True):
    """Nothing more may be said: drop the connection."""

    why: str


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

    def lose(self, why: str) -> list[ClientEvent]:
        """The connection is lost, a time limit has passed, or what came cannot be trusted."""
        if self.closed:
            return []
        events: list[ClientEvent] = []
        if self.phase in _OPENING:
            events.append(NotOpened(why=why, step=self._step()))
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
