"""TAP: pages to a paging terminal by modem, over a serial line or over TCP (TAP 1.8 and older, IXO, PET)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, assert_never

import msgspec
from msgspec import Meta
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway import lines as gateway_lines
from gateway.adapters.base import (
    AdapterSpec,
    Calls,
    Evidence,
    Findings,
    Measure,
    Parts,
    Place,
    Session,
    Surroundings,
)
from gateway.adapters.discreet import SECRET, TEXT, without
from gateway.adapters.recorded import Kept, Said
from gateway.alphabets import Alphabet, carry
from gateway.env import Address, Endpoint, Tls
from gateway.lines import Line, NoLine
from gateway.model import Instant, LinkName, Page, later
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
)
from gateway.settings.kinds import Unfit, host_and_port, is_loopback
from gateway.settings.types import Duration, LinkSettings, Name, Objection, Secret, Settings
from protocols import timed
from protocols.errors import InvalidValue, LocalProtocolError
from protocols.tap import codec
from protocols.tap import messages as m
from protocols.tap.client import Conversation, Limits
from protocols.tap.session import Manner, NotOpened, Opened, Timing, Transparency

log = Logger()

OPEN_TIMEOUT = 90.0  # seconds to dial and to log on (delivery semantics 8.1)
ANSWER_TIMEOUT = 60.0  # seconds for a block, said twice if need be: HylaFAX waits 45, TAP 1.8 says 10
WAIT_FOR_LINE = 30.0  # seconds that a call waits for another one to end: those end after 20
WAKE = 2.0  # seconds between two CRs (TAP 1.8, T1)
VOICE_RESTS = 3600.0  # seconds; ours: a number that answered with a person and never with a modem
VOICE_RESTS_KNOWN = 60.0  # seconds; ours: the same of one that was a terminal before: modems mishear
PAGER_ROOM = 18  # octets of the first block that the pager ID and its field ends need: 16 digits

_ADDRESS = frozenset({504, 505, 510, 511})  # about the pager, not about this text
_BREAKS = {"blank": codec.Breaks.BLANK, "field": codec.Breaks.FIELD}


class TapSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a TAP link."""

    lines: Annotated[Name | None, Meta(description="The pool of `lines` that it dials out by.")] = None
    dial: Annotated[
        tuple[str, ...],
        Meta(max_length=16, description="Numbers of the terminal; the next one after each failed call."),
    ] = ()
    at: Annotated[
        str | None,
        Meta(description="Instead of a line: `tcp:host:port` or `tls:host:port` of a terminal."),
    ] = None
    ca_file: Annotated[str | None, Meta(description="PEM file of who signs the certificate.")] = None
    tls_name: Annotated[str | None, Meta(description="Name in the certificate, if not the host's.")] = None
    service: Annotated[
        str, Meta(pattern="^[A-Z0-9]{3}$", description="Service and terminal category of the logon.")
    ] = "PG1"
    password: Annotated[
        Secret | None, Meta(description="Password of the logon; some terminals want any: 000000.")
    ] = None
    transparency: Annotated[
        Literal["auto", "always", "never"],
        Meta(description="Line ends and tabs as SUB pairs: if the terminal says TAP 1.6 or later."),
    ] = "auto"
    line_ends: Annotated[
        Literal["blank", "field"],
        Meta(description="What a line end becomes where there are no SUB pairs; `field`: a raw CR."),
    ] = "blank"
    block: Annotated[
        int, Meta(ge=codec.LEAST_BODY, le=codec.MAX_BODY, description="Octets of a block's body.")
    ] = codec.MAX_BODY
    continuation: Annotated[
        Literal["none", "us", "etb"],
        Meta(description="How a page goes that needs more blocks; many terminals stall, so: not at all."),
    ] = "none"
    max_chars: Annotated[int, Meta(ge=1, le=m.MAX_TEXT, description="Characters that a pager gets.")] = 230
    pad: Annotated[
        int, Meta(ge=0, le=m.MAX_PAGER, description="Digits that a pager ID has, with zeros in front.")
    ] = 0
    wake: Annotated[Duration, Meta(ge=2, le=120, description="How long a CR is said until `ID=` comes.")] = (
        20.0
    )
    sends: Annotated[int, Meta(ge=1, le=6, description="How often a block is sent that gets NAK.")] = 4
    repeats: Annotated[
        int,
        Meta(ge=0, le=1, description="How often a block that gets no answer is sent again in the same call."),
    ] = 1
    critical_alone: Annotated[
        bool, Meta(description="A critical page has a call of its own: a no at its end is then about it.")
    ] = True

    def check(self) -> Iterator[Objection]:
        """Where it leads, and what cannot be said."""
        if (self.lines is None) == (self.at is None):
            remedy = "Write lines: POOL, or at: tcp:host:port."
            yield Objection(key="lines", what="a link has either lines or at.", remedy=remedy)
        if self.at is not None:
            try:
                _address(self)
            except Unfit as unfit:
                yield Objection(key="at", what=unfit.what, remedy=unfit.remedy)
        if self.dial and self.lines is None:
            yield Objection(key="dial", what="is of no use without lines.", remedy="Write lines: POOL.")
        if self.password is not None:
            try:
                m.Password(self.password.value)
            except InvalidValue:
                remedy = f"It has 1 to {m.MAX_PASSWORD} letters and digits."
                yield Objection(key="password", what="cannot be a password of TAP.", remedy=remedy)
            if self.at is not None and self.at.startswith("tcp:") and not _is_loopback(self.at):
                yield Objection(
                    key="password", what="travels in clear.", remedy="Write at: tls:…", warning=True
                )
        room = self.block - PAGER_ROOM
        if self.continuation == "none" and self.max_chars > room:
            yield Objection(
                key="max_chars",
                what=f"does not fit into one block of {self.block}.",
                remedy=f"Write {room} or less, or continuation: us.",
            )


def _address(own: TapSettings) -> Address:
    """Where ``at`` leads. Raises Unfit."""
    kind, _, where = (own.at or "").partition(":")
    if kind not in ("tcp", "tls"):
        raise Unfit("is neither tcp: nor tls:.", "Write tcp:tap.example.net:10001.")
    host, port = host_and_port(where)
    tls = Tls(name=own.tls_name, ca_file=own.ca_file) if kind == "tls" else None
    return Address(host=host, port=port, tls=tls)


def _is_loopback(at: str) -> bool:
    try:
        return is_loopback(at.partition(":")[2])
    except Unfit:
        return False


def own_of(settings: LinkSettings) -> TapSettings:
    own = settings.own
    assert isinstance(own, TapSettings)
    return own


def _objections(settings: Settings) -> Iterator[tuple[Place, Objection]]:
    """What is wrong with lines, and with links that dial out by them."""
    yield from gateway_lines.objections(settings)
    seen: set[str] = set()
    for name in settings.link_names():
        link = settings.link(name)
        if link is None or not isinstance(link.own, TapSettings):
            continue
        carrier, _, way = name.partition(".")
        if carrier not in seen:
            seen.add(carrier)
            yield from _of_devices(settings, carrier)
        if link.own.lines is None:
            continue
        for objection in _of_pool(settings, link.own, link.own.lines):
            yield ("carriers", carrier, "links", way), objection


def _of_devices(settings: Settings, carrier: str) -> Iterator[tuple[Place, Objection]]:
    """Pager IDs that a call would be made for in vain. Another way of the carrier may take them."""
    found = settings.carriers[carrier]
    if found.device.pattern is None:
        what = "has no pattern: a pager ID that TAP cannot say is refused after a call was made for it."
        remedy = 'Write {pattern: "[0-9]{7}"}.'
        yield ("carriers", carrier), Objection(key="device", what=what, remedy=remedy, warning=True)
    others = any(not isinstance(link.own, TapSettings) for link in found.links.values())
    for name, person in settings.people.items():
        for device, written in person.devices.items():
            at, _, address = written.partition(":")
            try:
                m.PagerId(address if at == carrier else "0")
            except InvalidValue as invalid:
                what = f"TAP cannot say it: {invalid}."
                remedy = f"Write {carrier}: and digits, at most {m.MAX_PAGER}."
                place = ("people", name, "devices")
                yield place, Objection(key=device, what=what, remedy=remedy, warning=others)


def _of_pool(settings: Settings, own: TapSettings, pool: str) -> Iterator[Objection]:
    pools = {line.pool: None for line in settings.lines.values()}
    if pool not in pools:
        there = f"There are: {', '.join(pools)}." if pools else "Write a line of it below lines."
        yield Objection(key="lines", what=f'there is no pool "{pool}".', remedy=there)
        return
    modems = {name: line for name, line in settings.lines.items() if line.pool == pool and line.modem}
    if modems and not own.dial:
        yield Objection(key="dial", what="is missing: its lines are modems.", remedy="Write dial: [number].")
    if own.dial and not modems:
        yield Objection(key="dial", what="its lines have no modem.", remedy="Remove it.", warning=True)
    for number in own.dial:
        for name, line in modems.items():
            try:
                gateway_lines.dial_string(line, number)
            except InvalidValue as invalid:
                if gateway_lines.unsound(line):  # said there
                    continue
                what = f'"{number}" by line {name}: {invalid}.'
                remedy = "Write the carrier's number in digits."
                if "never dialled" in invalid.reason:
                    remedy += " If it is one where you are, write its beginning into may_dial of the line."
                yield Objection(key="dial", what=what, remedy=remedy)
                break


# ---------------------------------------------------------------- the link


class _Numbers:
    """Which number is next. Those where a person answered rest: nobody is rung up again and again."""

    def __init__(self, numbers: tuple[str, ...]) -> None:
        self._numbers = numbers
        self._at = 0
        self._reached: set[str] = set()
        self._rests: dict[str, Instant] = {}

    def next_one(self, now: Instant) -> str | NoLine:
        """The number to dial; none where lines need none."""
        if not self._numbers:
            return ""
        for step in range(len(self._numbers)):
            number = self._numbers[(self._at + step) % len(self._numbers)]
            if self._rests.get(number, now) <= now:
                self._at = (self._at + step) % len(self._numbers)
                return number
        return NoLine(code="voice", why="a person answered each number; none is dialled again yet")

    def failed(self, number: str, code: str, now: Instant) -> None:
        """It did not lead to a terminal."""
        self._at += 1
        if code == "voice":
            rest = VOICE_RESTS_KNOWN if number in self._reached else VOICE_RESTS
            self._rests[number] = later(now, rest)

    def answered(self, number: str) -> None:
        """A terminal was there."""
        self._reached.add(number)


class TapLink:
    """One configured way into a paging terminal."""

    def __init__(self, name: LinkName, settings: LinkSettings, around: Surroundings) -> None:
        own = self._own = own_of(settings)
        self._name = name
        self._around = around
        self._env = env = around.env
        self._kept = Kept(env, [_password(own).encode()])
        self.transcript = self._kept.transcript
        self._open_timeout = settings.open_timeout or OPEN_TIMEOUT
        answer = settings.answer_timeout or ANSWER_TIMEOUT
        password = None if own.password is None else m.Password(own.password.value)
        self._manner = Manner(
            logon=m.Automatic(service=m.Service(own.service), password=password),
            transparency=Transparency(own.transparency),
            continuation=codec.Continuation(own.continuation),
            body=own.block,
            sends=own.sends,
            repeats=own.repeats,
        )
        wakes = max(1, int(own.wake / WAKE))
        self._timing = Timing(wake=WAKE, wakes=wakes, answer=answer / (1 + own.repeats))
        self._dialogue = 5 * answer  # of a page: all its blocks, each NAK, and 111 which has no end
        self._numbers = _Numbers(own.dial)

    async def open(self) -> Session | NotSent:
        """Take a line, dial, log on up to the go-ahead; once."""
        return await self._open()

    async def probe(self) -> Findings:
        """A whole call up to the go-ahead; nothing is entered."""
        opened = await self._open()
        if isinstance(opened, NotSent):
            return Findings(reached=False, says=opened.why)
        said, line = opened.opened, opened.line
        await opened.close()
        return Findings(
            reached=True,
            says=f"{self._own.at or self._own.lines} says the go-ahead",
            capabilities={
                "line": "" if line is None else line.name,
                "version": said.version or "not said",
                "login": "accepted",
                "SUB pairs": "yes" if said.transparent else "no",
            },
        )

    async def _open(self) -> TapSession | NotSent:
        if self._own.lines is None:
            endpoint = self._env.net.client(_address(self._own), open_timeout=self._open_timeout)
            return await self._log_on(endpoint, timed.at_once, self._open_timeout, None)
        clock = self._env.clock
        end = clock.seconds() + self._open_timeout
        line = await self._around.lines.take(
            self._own.lines, within=min(WAIT_FOR_LINE, self._open_timeout / 2)
        )
        if isinstance(line, NoLine):
            return NotSent(code=line.code, why=line.why)
        kept = False
        try:
            opened = await self._call(line, end)
            kept = isinstance(opened, TapSession)
            return opened
        finally:
            if not kept:  # in its own time: whoever wants the line waits for it
                _in_the_background(line.put_back(), self._name)

    async def _call(self, line: Line, end: float) -> TapSession | NotSent:
        """Dial the next number by *line* and log on, until *end* of the clock."""
        clock, numbers = self._env.clock, self._numbers
        number = numbers.next_one(self._env.now()) if line.own.modem else ""
        if isinstance(number, NoLine):
            return NotSent(code=number.code, why=number.why)
        calling = Deferred.fromCoroutine(line.call(number))
        try:
            call = await calling.addTimeout(max(0.1, end - clock.seconds()), clock)  # type: ignore[arg-type]
        except defer.TimeoutError:
            call = NoLine(code="no-carrier", why=f"{line.name}: no call within {self._open_timeout:g} s")
        if isinstance(call, NoLine):
            if call.code in ELSEWHERE:
                numbers.failed(number, call.code, self._env.now())
            return NotSent(code=call.code, why=call.why)
        opened = await self._log_on(call, line.drained, max(0.1, end - clock.seconds()), line)
        if isinstance(opened, NotSent):
            if trouble := line.trouble():
                return NotSent(code=trouble.code, why=trouble.why)
            numbers.failed(number, opened.code, self._env.now())
        else:
            line.works()
            numbers.answered(number)
        return opened

    async def _log_on(
        self, endpoint: Endpoint, drained: timed.Drained, limit: float, line: Line | None
    ) -> TapSession | NotSent:
        said = self._kept.conversation()
        conversation = Conversation(
            endpoint,
            self._env.clock,
            manner=self._manner,
            timing=self._timing,
            limits=Limits(open=limit, dialogue=self._dialogue),
            drained=drained,
            watch=lambda ours, data: said.watch(ours, bytes(octet & 0x7F for octet in data)),
        )
        opened = await conversation.open()
        if isinstance(opened, NotOpened):
            return _not_opened(opened, self._own)
        if (refusal := conversation.refusal) is not None:  # it said too much, and is being left already
            return NotSent(code="login", why=without(refusal.why, _password(self._own), SECRET))
        return TapSession(self._name, self._own, self._around, conversation, opened, said, line)


ELSEWHERE = frozenset({"busy", "no-answer", "no-carrier", "voice", "delayed", "blacklisted", "undialable"})
"""What says that another number may do better."""


class TapSession:
    """One call: a page at a time."""

    slots = 1

    def __init__(
        self,
        name: LinkName,
        own: TapSettings,
        around: Surroundings,
        conversation: Conversation,
        opened: Opened,
        said: Said,
        line: Line | None,
    ) -> None:
        self.opened = opened
        self.line = line
        self._name = name
        self._own = own
        self._around = around
        self._conversation = conversation
        self._said = said
        self._taken: list[str] = []  # refs of the pages that this call took
        self._call = f"{around.env.random.getrandbits(40):010x}"
        self._ended: Deferred[None] | None = None
        self.transcript = said.transcript
        self.lost: Deferred[None] = conversation.lost
        conversation.over.addCallback(self._over)

    @property
    def left(self) -> int | None:
        """Pages that the terminal still takes in this call; None: any number."""
        return self._conversation.left

    async def submit(self, page: Page) -> Outcome:
        """One block, as a rule, and its answer; the point of no return is the CR after its checksum."""
        try:
            fields = codec.fields_of(
                page.text, transparent=self.opened.transparent, breaks=_BREAKS[self._own.line_ends]
            )
            job = m.Page(pager=m.PagerId(page.address).padded(self._own.pad), fields=fields)
            blocks = codec.encode_page(
                job, body=self._own.block, continuation=codec.Continuation(self._own.continuation)
            )
        except InvalidValue as invalid:
            about = About.ADDRESS if invalid.field == m.PagerId._what else About.PAGE
            return Refused(about=about, code="invalid", why=str(invalid))
        words = [part for block in blocks for part in block[1:-5].split(b"\r")]
        self._said.page([*(field.encode() for field in fields), *words[1:]])
        try:
            result = await self._conversation.submit(job)
        except LocalProtocolError as busy:
            return NotSent(code="busy", why=str(busy))
        outcome = outcome_of(result, first=not self._taken)
        why = without(outcome.why, "\n".join(fields), TEXT)
        why = without(why, _password(self._own), SECRET)
        if isinstance(outcome, Taken):
            ref = f"{page.correlation} {self._call}"
            self._taken.append(ref)
            refs = (CarrierRef(scope=self._name, ref=ref),)
            return msgspec.structs.replace(outcome, why=why, refs=refs)
        return msgspec.structs.replace(outcome, why=why)

    async def close(self) -> None:
        """Log off, hear whether something is taken back, hang up; then the line is somebody else's."""
        await self._conversation.quit()
        if self._ended is not None and not self._ended.called:
            waiting: Deferred[None] = Deferred()
            self._ended.addBoth(lambda result: waiting.callback(None))
            await waiting

    # Inside

    def _over(self, _: object) -> None:
        self._ended = _in_the_background(self._afterwards(), self._name)

    async def _afterwards(self) -> None:
        """A refusal at log-off is about a page of this call, and it is not said which."""
        refusal = self._conversation.farewell.refusal
        try:
            if refusal is not None:
                for ref in self._taken:
                    await self._around.reception.report(self._name, self._setback(ref, refusal))
        finally:
            if self.line is not None:
                await self.line.put_back()

    def _setback(self, ref: str, refusal: m.Answer) -> Evidence:
        known = m.CODES.get(refusal.code or 0)
        meaning = "no reason given" if known is None else f"{refusal.code}, {known.meaning}"
        which = "" if len(self._taken) == 1 else f", as one of {len(self._taken)} pages of its call"
        return Evidence(
            scope=self._name,
            ref=ref,
            state="RS",
            at=self._around.env.now(),
            setback=f"taken back at log-off{which}: {meaning}",
            final=True,
        )


def _in_the_background(work: object, name: LinkName) -> Deferred[None]:
    done: Deferred[None] = Deferred.fromCoroutine(work)  # type: ignore[arg-type]
    return done.addErrback(
        lambda failure: log.failure("end of a call of {link} failed", failure=failure, link=name)
    )


# ---------------------------------------------------------------- their words to ours


ANSWERS = (
    ("ACK to the last block: 211, 213, no code", "Taken, handed_over", "the terminal took responsibility"),
    ("ACK with 212, 214", "Taken, handed_over", "cut by the terminal: a warning"),
    ("RS or NAK with 504, 505, 510, 511; RS without a code", "Refused about address", "this pager, never"),
    ("RS or NAK with 513, 515, 517, another 5xx", "Refused about page", "this text, never"),
    ("RS or ESC EOT with 507, 508, 509", "Refused about link", "service or password of ours is wrong"),
    ("RS or ESC EOT with 512", "Later about address", "this pager cannot be reached now"),
    ("RS or ESC EOT with 501, 502, 503, 506, 514, 516", "Later about page", "not now, or a bad line"),
    ("NAK each time", "Later about page", "the block was never understood"),
    ("112, 113 and ESC EOT to a page", "NotSent", "the call is full: the next one takes it, uncharged"),
    ("no line, no dial tone, busy, no answer, voice, no carrier", "NotSent", "no terminal was reached"),
    ("no ID=, logon refused, no go-ahead", "NotSent", "nothing was entered"),
    ("loss or hang-up before the CR of the last block", "NotSent", "no terminal has a whole block"),
    ("silence, loss, ESC EOT without a code after it", "InDoubt", "no answer came to a whole block"),
    ("ACK with 5xx, RS with 2xx", "InDoubt", "the terminal contradicts itself"),
)


def outcome_of(result: m.Result, *, first: bool) -> Outcome:
    """What became of a page, in our words: the table ``ANSWERS``. *first*: of its call."""
    match result:
        case m.Taken(answer=answer):
            limit = f" at {answer.limit} characters" if answer.limit is not None else ""
            warning = f"cut by the terminal{limit}" if answer.cut else None
            return Taken(code=_code(answer), why=str(answer), warning=warning)
        case m.Refused(answer=answer):
            return Refused(about=_about_refusal(answer), code=_code(answer), why=str(answer))
        case m.Later(answer=answer):
            about = About.ADDRESS if answer.code == 512 else About.PAGE
            return Later(about=about, code=_code(answer), why=str(answer))
        case m.NotSent(why=why, limit=limited):
            # a terminal that is full before its first page is no terminal to redial at once
            return NotSent(code="call-limit" if limited else "lost", why=why, again=limited and not first)
        case m.InDoubt(why=why):
            return InDoubt(code="no-answer", why=why)
        case _:
            assert_never(result)


def _code(answer: m.Answer) -> str:
    return str(answer.code or answer.control.value)


def _about_refusal(answer: m.Answer) -> About:
    if answer.kind is m.Kind.OURS:
        return About.LINK
    if answer.code in _ADDRESS or answer.code is None:
        return About.ADDRESS
    return About.PAGE


def _not_opened(failure: NotOpened, own: TapSettings) -> NotSent:
    why = without(failure.why, _password(own), SECRET)
    code = {"CONN": "connect", "ID=": "no-prompt", "LOGON": "login"}.get(failure.step, "no-go-ahead")
    answered = failure.answer and failure.answer.code
    return NotSent(code=f"{code}-{answered}" if answered else code, why=why)


def _password(own: TapSettings) -> str:
    return "" if own.password is None else own.password.value


def measured(settings: LinkSettings) -> Measure:
    own = own_of(settings)
    transparent, breaks = own.transparency != "never", _BREAKS[own.line_ends]

    def measure(text: str) -> Parts:
        carried = carry(text, Alphabet.ASCII)
        try:
            fields = codec.fields_of(carried.text, transparent=transparent, breaks=breaks)
        except InvalidValue:
            return Parts(texts=(carried.text[: own.max_chars],), fits=False)
        return Parts(
            texts=("\n".join(codec.unescaped(field.encode()).decode("ascii") for field in fields),),
            transliterated=carried.transliterated,
            replaced=carried.replaced,
            fits=sum(map(len, fields)) + len(fields) - 1 <= own.max_chars,  # octets, with field ends
        )

    return measure


ADAPTER = AdapterSpec(
    name="tap",
    settings=TapSettings,
    make_link=TapLink,
    ceiling=lambda settings: Level.HANDED_OVER,
    measure=measured,
    answers=ANSWERS,
    open_timeout=OPEN_TIMEOUT,
    answer_timeout=ANSWER_TIMEOUT,
    objections=_objections,
    path=lambda own: "internet" if own.lines is None else "phone",
    calls=lambda settings: Calls(alone=own_of(settings).critical_alone, dialled=bool(own_of(settings).dial)),
)
