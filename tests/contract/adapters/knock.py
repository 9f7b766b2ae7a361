"""Knock: the smallest protocol that the suite can be proven with. Nobody speaks it.

    S: HELLO
    C: AUTH password      S: OK, or NO reason
    C: PAGE id text       S: OK, NO reason, NOID, or WAIT; the CR LF of PAGE is the point of no return
    C: SEEN id            S: YES, or anything else
    C: BYE                S: BYE, and closes

``defects`` derives from this adapter, one mistake each.
"""

from __future__ import annotations

import re

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from adapters.scene import Example, Exercise, LineFarEnd
from gateway.adapters.base import AdapterSpec, Evidence, Parts, Session, Surroundings
from gateway.env import Address
from gateway.env.simulated import Weather
from gateway.model import LinkName, Page
from gateway.outcome import About, CarrierRef, InDoubt, Later, Level, NotSent, Outcome, Refused, Taken
from gateway.settings.types import LinkSettings, Secret

HOST, PORT = "knock.example", 7777
MAX_LINE = 200
CLOSE_TIMEOUT = 5.0
ID = re.compile(r"[0-9]{1,12}", re.ASCII)
TEXT = re.compile(r"[\x20-\x7e]{1,160}", re.ASCII)


class KnockSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    password: Secret | None = None


class KnockSession:
    slots = 1
    left: int | None = None
    wire: type[Wire]

    def __init__(self, link: KnockLink) -> None:
        self.lost: Deferred[None] = Deferred()
        self.over = False
        self.link = link
        self.transport: Protocol | None = None
        self.buffer = b""
        self.waiting: Deferred[bytes | None] | None = None
        self.gone: Deferred[None] = Deferred()
        self.aborting = None

    # From the wire

    def received(self, data: bytes) -> None:
        if self.over:
            return
        self.buffer += data
        line, end, rest = self.buffer.partition(b"\r\n")
        if self.waiting is None or rest or len(line) > MAX_LINE:
            self.end()  # unasked, too many, or too long
        elif end:
            self.buffer = b""
            self.answered(line)

    def disconnected(self) -> None:
        self.end()
        self.transport = None
        if self.aborting is not None and self.aborting.active():
            self.aborting.cancel()
        gone, self.gone = self.gone, Deferred()
        gone.callback(None)

    # Inside

    def answered(self, line: bytes | None) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.callback(line)

    def end(self) -> None:
        """The conversation is over."""
        if self.over:
            return
        self.over = True
        if self.transport is not None:
            self.aborting = self.link.env.clock.callLater(CLOSE_TIMEOUT, self.transport.abortConnection)
            self.transport.loseConnection()
        self.answered(None)
        self.lost.callback(None)

    async def ask(self, line: bytes | None, limit: float) -> bytes | None:
        """Say *line* and hear one; None if the conversation ended instead, at the latest after *limit*."""
        if self.over:
            return None
        waiting: Deferred[bytes | None] = Deferred(lambda _: self.end())
        self.waiting = waiting
        late = self.link.env.clock.callLater(limit, self.end)
        if line is not None:
            self.write(line)
        try:
            return await waiting
        finally:
            if late.active():
                late.cancel()

    def write(self, line: bytes) -> None:
        self.transport.write(line + b"\r\n")

    # A session

    async def submit(self, page: Page) -> Outcome:
        if self.over or self.waiting is not None:
            return NotSent(code="lost", why="the conversation is over")
        if not ID.fullmatch(page.address):
            return Refused(about=About.ADDRESS, code="invalid", why="an id is 1 to 12 digits")
        if not TEXT.fullmatch(page.text):
            return Refused(about=About.PAGE, code="invalid", why="a text is 1 to 160 printable ASCII")
        outcome = self.meaning(await self.ask(self.line(page), self.link.answer_timeout))
        if isinstance(outcome, Taken):
            ref = CarrierRef(scope="knock", ref=page.address)
            return msgspec.structs.replace(outcome, refs=(ref,))
        return outcome

    async def enquire(self, ref: CarrierRef) -> tuple[Evidence, ...]:
        if self.waiting is not None:
            return ()
        if await self.ask(b"SEEN " + ref.ref.encode("ascii"), self.link.answer_timeout) != b"YES":
            self.end()
            return ()
        now = self.link.env.now()
        return (Evidence(scope=ref.scope, ref=ref.ref, state="YES", at=now, level=Level.READ, final=True),)

    def line(self, page: Page) -> bytes:
        return f"PAGE {page.address} {page.text}".encode("ascii")

    def meaning(self, answer: bytes | None) -> Outcome:
        match answer:
            case b"OK":
                return Taken(code="OK")
            case b"WAIT":
                return Later(about=About.LINK, code="WAIT", why="asked to wait")
            case b"NOID":
                return Refused(about=About.ADDRESS, code="NOID", why="unknown id")
            case bytes() if answer.startswith(b"NO "):
                return Refused(about=About.PAGE, code="NO", why="refused")
        self.end()
        return InDoubt(code="no-answer", why="no answer to PAGE")

    async def close(self) -> None:
        if not self.over and self.waiting is None:
            await self.ask(b"BYE", CLOSE_TIMEOUT)
        self.end()
        if self.transport is not None:
            await self.gone


class Wire(Protocol):
    def __init__(self, session: KnockSession) -> None:
        self.session = session

    def connectionMade(self) -> None:
        self.session.transport = self.transport

    def dataReceived(self, data: bytes) -> None:
        self.session.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.session.disconnected()


KnockSession.wire = Wire


class KnockLink:
    session: type[KnockSession] = KnockSession

    def __init__(self, name: LinkName, settings: LinkSettings, around: Surroundings) -> None:
        self.env = around.env
        self.password = settings.own.password
        self.open_timeout = settings.open_timeout or ADAPTER.open_timeout
        self.answer_timeout = settings.answer_timeout or ADAPTER.answer_timeout

    async def open(self) -> Session | NotSent:
        began = self.env.clock.seconds()
        session = self.session(self)
        try:
            await self.connect(session)
        except Exception as error:
            return NotSent(code="connect", why=type(error).__name__)
        for said, heard in self.opening():
            left = began + self.open_timeout - self.env.clock.seconds()
            if await session.ask(said, max(0.0, left)) != heard:
                session.end()
                return NotSent(code="greeting" if said is None else "auth", why="not what was expected")
        return session

    async def connect(self, session: KnockSession) -> None:
        wire = session.wire(session)
        endpoint = self.env.net.client(Address(host=HOST, port=PORT), open_timeout=self.open_timeout)
        await endpoint.connect(Factory.forProtocol(lambda: wire))

    def opening(self) -> list[tuple[bytes | None, bytes]]:
        auth = [] if self.password is None else [(f"AUTH {self.password.value}".encode(), b"OK")]
        return [(None, b"HELLO"), *auth]


ADAPTER = AdapterSpec(
    name="knock",
    settings=KnockSettings,
    make_link=KnockLink,
    ceiling=lambda settings: Level.READ,
    measure=lambda settings: lambda text: Parts(texts=(text,), fits=bool(TEXT.fullmatch(text))),
    answers=(
        ("OK to PAGE", "Taken, handed_over", "taken"),
        ("NO to PAGE", "Refused about page", "never"),
        ("NOID to PAGE", "Refused about address", "unknown"),
        ("WAIT to PAGE", "Later about link", "busy"),
        ("nothing to PAGE, or anything else", "InDoubt", "PAGE was written"),
        ("no connection, no HELLO, AUTH refused", "NotSent", "PAGE was not written"),
    ),
)


class KnockFarEnd(LineFarEnd):
    def begin(self) -> None:
        self.say("hello", b"HELLO\r\n")

    def line(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        match verb:
            case b"AUTH":
                self.say("auth", b"OK\r\n")
            case b"PAGE":
                address, _, text = rest.decode("latin-1").partition(" ")
                self.took(address, text)
                self.say("page", b"OK\r\n")
            case b"SEEN":
                self.say("seen", b"YES\r\n")
            case b"BYE":
                self.say("bye", b"BYE\r\n")
            case _:
                self.say("unknown command", b"NO such command\r\n")


NOTHING = "nothing to PAGE, or anything else"
UNOPENED = "no connection, no HELLO, AUTH refused"

EXERCISE = Exercise(
    adapter=ADAPTER,
    settings=LinkSettings(
        adapter="knock",
        open_timeout=4.0,
        answer_timeout=8.0,
        own=KnockSettings(password=Secret("sesame-51")),
    ),
    others=(LinkSettings(adapter="knock", open_timeout=4.0, answer_timeout=8.0, own=KnockSettings()),),
    at=f"{HOST}:{PORT}",
    far=KnockFarEnd,
    commit="page",
    goodbye="bye",
    ponr=lambda wrote: len(re.findall(rb"PAGE [^\r]*\r\n", wrote)),
    sequences=frozenset({("page",)}),
    refused=b"NO thanks\r\n",
    echo=lambda heard: b"NO " + heard.replace(b"\r\n", b" ") + b"\r\n",
    dialogue=8.0,
    secrets=("sesame-51",),
    endless=((b"NO ", b"n"),),
    examples=(
        Example(row="OK to PAGE", at="page", answer=b"OK\r\n", outcome=Taken, level=Level.HANDED_OVER),
        Example(row="NO to PAGE", at="page", answer=b"NO way\r\n", outcome=Refused, about=About.PAGE),
        Example(row="NOID to PAGE", at="page", answer=b"NOID\r\n", outcome=Refused, about=About.ADDRESS),
        Example(row="WAIT to PAGE", at="page", answer=b"WAIT\r\n", outcome=Later, about=About.LINK),
        Example(row=NOTHING, at="page", answer=None, outcome=InDoubt),
        Example(row=NOTHING, at="page", answer=None, ends="reset", outcome=InDoubt),
        Example(row=NOTHING, at="page", answer=b"OK\r\nOK\r\n", outcome=InDoubt, one=False),
        Example(row=NOTHING, at="page", answer=b"OKAY\r\n", outcome=InDoubt),
        Example(row=UNOPENED, at="hello", answer=None, ends="close", outcome=NotSent),
        Example(row=UNOPENED, at="auth", answer=b"NO\r\n", outcome=NotSent),
        Example(row=UNOPENED, weather=Weather(refuse=True), outcome=NotSent),
    ),
)
