"""A stage for adapters: one link, one far end, one world; and everything that passes between them is noted.

An ``Exercise`` says what the suite cannot know of a protocol: how a link is set, what the far end says, which
bytes are the point of no return, and what each answer means. A ``Scene`` plays it.

Every ``open`` and every ``submit`` in a scene is watched, whatever the test is about: it does not raise, ends
in time, connects once, says NotSent only if the point of no return was not handed to the transport, and
InDoubt or Taken only if it was; it goes over that point once, and hears a bounded number of bytes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.adapters.base import AdapterSpec, Session, Surroundings
from gateway.env import Address
from gateway.env.simulated import Deadlock, Overdue, Weather, World, run
from gateway.lines import Lines
from gateway.model import DeliveryKey, LinkName, MessageClass, Page, PublicId, later
from gateway.outcome import About, InDoubt, Level, NotSent, Outcome, Taken
from gateway.settings.types import LineSettings, LinkSettings

LINK = LinkName("carrier.link")
GRACE = 1.0  # seconds by which a limit may be missed: a few round trips of the simulated network
MAX_HEARD = 131_072  # bytes that an adapter may take in without coming to an end: twice a socket buffer
FLOOD = 1 << 20  # bytes that an endless far end has to say
CHUNK = 1024
CANARY = "Kanarienvogel"  # begins every text


# ---------------------------------------------------------------- what an exercise says


@dataclass(frozen=True, kw_only=True)
class Act:
    """What the far end does at one step instead of answering well.

    *like* makes what is said of the good answer and of the bytes it answers; None says nothing. *after*
    seconds it is said; *split* in two pieces at this byte; *drip* byte by byte, so many seconds apart; *flood*
    is said without end, *ends* is how the far end leaves afterwards.
    """

    like: Callable[[bytes, bytes], bytes | None] = lambda good, heard: good
    after: float = 0.0
    split: int | None = None
    drip: float | None = None
    flood: bytes = b""
    ends: Literal["", "close", "reset"] = ""


def saying(answer: bytes | None, **more: Any) -> Act:
    return Act(like=lambda good, heard: answer, **more)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One answer and what it means; *row* is its row of ``ADAPTER.answers``, by its first column.

    The far end answers step *at* with *answer* (None: not at all) and then *ends*; or the connection fares
    as *weather* says. *settings* if the exercise's own do not lead there, *replies* if the page must have some. *one*: the bytes are one answer, no
    part of which means anything.
    """

    row: str
    outcome: type[Outcome]
    at: str = ""
    answer: bytes | None = None
    ends: Literal["", "close", "reset"] = ""
    about: About | None = None
    level: Level | None = None
    weather: Weather | None = None
    settings: LinkSettings | None = None
    replies: tuple[str, ...] = ()
    one: bool = True

    def __str__(self) -> str:
        return f"{self.answer!r} to {self.at or 'connecting'} {self.ends}".rstrip()

    def check(self, outcome: Outcome) -> None:
        assert type(outcome) is self.outcome, f"{self.outcome.__name__} expected, not {outcome}"
        if self.about is not None:
            assert getattr(outcome, "about", None) is self.about, f"about {self.about.value}: {outcome}"
        if self.level is not None:
            assert getattr(outcome, "level", None) is self.level, f"level {self.level.token}: {outcome}"
        assert isinstance(outcome, Taken) or outcome.code, f"no code: {outcome}"


class FarEnd(ABC, Protocol):
    """The far end of one connection, in a good dialogue. Subclass: ``begin`` and ``hear``.

    Give every answer by ``say``; tell ``took`` of a page at its point of no return.
    """

    scene: Scene

    def begin(self) -> None:
        """The connection is there."""

    @abstractmethod
    def hear(self, data: bytes) -> None:
        """Take in what the gateway says."""

    def say(self, step: str, good: bytes) -> bytes | None:
        """Answer *step*: by *good*, or by what the test wants instead. Returns what was said."""
        scene = self.scene
        scene.steps.append(step)
        scene.goods[step] = good
        acts = scene.acts.get(step)
        act = acts.pop(0) if acts else Act()
        answer = act.like(good, self._last)
        if answer is not None or act.ends or act.flood:
            scene.world.clock.callLater(act.after, self._perform, step, act, answer or b"")
        return answer

    def took(self, address: str, text: str) -> None:
        """A page was sent to us."""
        self.scene.pages.append((address, text))

    def connectionMade(self) -> None:
        self._last = b""
        self._sent = 0
        self._gone = False
        self.scene.far.append(self)
        self.begin()

    def dataReceived(self, data: bytes) -> None:
        self._last = data
        self.hear(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone = True

    def _perform(self, step: str, act: Act, answer: bytes) -> None:
        self.scene.ends[step] = self._sent + len(answer)
        self._sent += len(answer)
        if act.drip is not None:
            self._drip(answer, act)
        elif act.split is not None:
            self.transport.write(answer[: act.split])
            self.scene.world.clock.callLater(0.05, self.speak, answer[act.split :], act)
        else:
            self.speak(answer, act)

    def _drip(self, answer: bytes, act: Act) -> None:
        if self._gone:
            return
        if answer:
            self.transport.write(answer[:1])
        if len(answer) > 1 or act.flood:
            self.scene.world.clock.callLater(act.drip, self._drip, answer[1:] or act.flood, act)
        else:
            self.speak(b"", act)

    def speak(self, answer: bytes, act: Act) -> None:
        """Say *answer*, and what *act* wants after it."""
        self.transport.write(answer)
        if act.flood:
            self._flood(act.flood * (CHUNK // len(act.flood) or 1), FLOOD)
        if act.ends == "close":
            self.transport.loseConnection()
        elif act.ends == "reset":
            self.transport.abortConnection()

    def _flood(self, piece: bytes, left: int) -> None:
        if left > 0 and not self._gone and self.scene.heard <= MAX_HEARD:
            self.transport.write(piece)
            self.scene.world.clock.callLater(0.001, self._flood, piece, left - len(piece))


class LineFarEnd(FarEnd):
    """A far end that hears lines. Subclass: ``begin`` and ``line``."""

    _buffer = b""

    @abstractmethod
    def line(self, line: bytes) -> None:
        """Take in one line, without its CR LF."""

    def hear(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        for line in lines:
            self.line(line)


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What the suite cannot know of a protocol.

    *settings* reach *at*, with small time limits; *others* are more ways to set a link. *far* is the far end.
    *commit* is the step whose answer ends a page, *ponr* counts how often bytes of the client
    go over the point of no return; *sequences* are the steps that one page may consist of. *refused* is a no to *commit*; *echo* is a
    refusal that repeats what it answers. *foreign* and *endless* (a beginning, and what then comes without
    end) are this protocol's own, beside the suite's. *dialogue*: seconds that a page may take at most.
    *ids* matches what must be the same over all tries of a page (None: every byte of it). *lines* are modem
    lines, for links that name a pool.
    """

    adapter: AdapterSpec
    settings: LinkSettings
    at: str
    far: type[FarEnd]
    commit: str
    ponr: Callable[[bytes], int]
    sequences: frozenset[tuple[str, ...]]
    examples: tuple[Example, ...]
    refused: bytes
    echo: Callable[[bytes], bytes]
    dialogue: float
    others: tuple[LinkSettings, ...] = ()
    goodbye: str | None = None
    foreign: tuple[bytes, ...] = ()
    endless: tuple[tuple[bytes, bytes], ...] = ()
    addresses: tuple[str, str] = ("5551212", "5553434")
    secrets: tuple[str, ...] = ()
    ids: re.Pattern[bytes] | None = None
    encode: Callable[[str], bytes] = str.encode
    lines: Mapping[str, LineSettings] = field(default_factory=dict)

    @property
    def ways(self) -> tuple[LinkSettings, ...]:
        return (self.settings, *self.others)

    @property
    def open_timeout(self) -> float:
        return self.settings.open_timeout or self.adapter.open_timeout

    @property
    def answer_timeout(self) -> float:
        return self.settings.answer_timeout or self.adapter.answer_timeout

    def page(self, n: int = 0, **changes: Any) -> Page:
        """Page number *n*: a text of its own; neighbours go to different pagers."""
        fields: dict[str, Any] = {
            "delivery": DeliveryKey(100 + n),
            "public_id": PublicId(f"{n:026}"),
            "correlation": f"c{n:07}",
            "address": self.addresses[n % 2],
            "text": f"{CANARY} {n} Ward {n + 4} bed {n + 7}",
            "message_class": MessageClass.URGENT,
            "expires": later(World().boot, 3600.0),
        }
        return Page(**fields | changes)


# ---------------------------------------------------------------- watching


class _Nobody:
    """A Reception for links on which nothing comes in."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the adapter asked Reception to {name}")


class _Tap(Protocol):
    """Between an adapter's protocol and its transport: notes what passes."""

    def __init__(self, scene: Scene, inner: Any) -> None:
        self.scene, self.inner = scene, inner
        self.heard = 0
        self.gone = False

    def makeConnection(self, transport: Any) -> None:
        write = transport.write

        def written(data: bytes) -> None:
            self.scene.wrote += bytes(data)
            write(data)

        transport.write = written
        self.inner.makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        self.heard += len(data)
        self.inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True
        self.inner.connectionLost(reason)


class _TapFactory(Factory):
    noisy = False

    def __init__(self, scene: Scene, inner: Any) -> None:
        self._scene, self._inner = scene, inner

    def buildProtocol(self, addr: Any) -> _Tap | None:
        inner = self._inner.buildProtocol(addr)
        if inner is None:
            return None
        tap = _Tap(self._scene, inner)
        self._scene.taps.append(tap)
        return tap


class _WatchedEndpoint:
    def __init__(self, scene: Scene, inner: Any) -> None:
        self._scene, self._inner = scene, inner

    def connect(self, factory: Any) -> Deferred[Any]:
        self._scene.connects += 1
        connecting = self._inner.connect(_TapFactory(self._scene, factory))
        return connecting.addCallback(lambda tap: tap.inner)


class _WatchedNet:
    def __init__(self, scene: Scene, inner: Any) -> None:
        self._scene, self._inner = scene, inner

    def client(self, address: Address, **how: Any) -> _WatchedEndpoint:
        return _WatchedEndpoint(self._scene, self._inner.client(address, **how))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Scene:
    """One link and its far end in a world of their own; *acts*, by step, are what the far end does instead.

    *steps*, *pages*: what the far end heard; *taps*: the link's connections, one after the other.
    """

    def __init__(
        self,
        exercise: Exercise,
        settings: LinkSettings | None = None,
        *,
        acts: dict[str, list[Act]] | None = None,
        weather: Weather | None = None,
    ) -> None:
        self.exercise = exercise
        self.acts = acts or {}
        self.steps: list[str] = []
        self.goods: dict[str, bytes] = {}
        self.ends: dict[str, int] = {}
        self.pages: list[tuple[str, str]] = []
        self.far: list[FarEnd] = []
        self.taps: list[_Tap] = []
        self.wrote = b""  # over all connections, in the order in which it was written
        self.connects = 0
        self.committed = False
        self.world = World()
        if weather is not None:
            self.world.set_weather(exercise.at, weather)
        self.env = self.world.env("gateway")
        self.env.net = _WatchedNet(self, self.env.net)  # type: ignore[assignment]
        self.world.env("carrier").net.listen(exercise.at, self._factory())
        around = Surroundings(
            env=self.env,
            reception=_Nobody(),  # type: ignore[arg-type]
            lines=Lines(lambda: exercise.lines, self.env),
        )
        self.link = exercise.adapter.make_link(LINK, settings or exercise.settings, around)
        self.session: Session | None = None
        self._opened_after = 0

    def _factory(self) -> Factory:
        factory = Factory.forProtocol(self.exercise.far)
        build = factory.buildProtocol

        def built(addr: Any) -> Any:
            far = build(addr)
            far.scene = self
            return far

        factory.buildProtocol = built  # type: ignore[method-assign]
        factory.noisy = False
        return factory

    @property
    def heard(self) -> int:
        return sum(tap.heard for tap in self.taps)

    @property
    def gone(self) -> bool:
        """No connection is left."""
        return all(tap.gone for tap in self.taps)

    @property
    def opening(self) -> tuple[str, ...]:
        """The steps that the far end answered while the link opened."""
        return tuple(self.steps[: self._opened_after])

    @property
    def paging(self) -> tuple[str, ...]:
        """The steps since then."""
        return tuple(self.steps[self._opened_after :])

    def play(self, story: Coroutine[Any, Any, Any]) -> Any:
        """Play *story* to its end; whatever keeps it from ending is a failed property."""
        try:
            return run(self.world, story)
        except (Deadlock, Overdue) as error:
            raise AssertionError(f"never finished: {error}") from error
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"raised {error!r}") from error

    async def open(self) -> Session | NotSent:
        """``link.open``, watched."""
        began, connects = self.env.clock.seconds(), self.connects
        try:
            opened = await self.link.open()
        except Exception as error:
            raise AssertionError(f"open raised {error!r}") from error
        self._opened_after = len(self.steps)
        took = self.env.clock.seconds() - began
        assert took <= self.exercise.open_timeout + GRACE, f"open took {took:g} s"
        connects = self.connects - connects
        assert connects <= 1, f"open connected {connects} times"
        if isinstance(opened, NotSent):
            assert opened.code, f"no code: {opened}"
        else:
            self.session = opened
            assert isinstance(opened, Session), f"not a Session: {opened}"
            assert opened.slots >= 1 and (opened.left is None or opened.left >= 1)
        self.bounded()
        return opened

    async def submit(self, session: Session, page: Page, *, believe: bool = False) -> Outcome:
        """``session.submit``, watched; *believe* an answer about what passed the point of no return."""
        began, before, connects = self.env.clock.seconds(), len(self.wrote), self.connects
        try:
            outcome = await session.submit(page)
        except Exception as error:
            raise AssertionError(f"submit raised {error!r}") from error
        took = self.env.clock.seconds() - began
        times = self.exercise.ponr(self.wrote[before:])
        self.committed = bool(times)
        assert isinstance(outcome, Outcome), f"not an outcome: {outcome}"
        assert took <= self.exercise.dialogue + GRACE, f"submit took {took:g} s"
        assert times <= 1, f"the page went {times} times over its point of no return"
        assert self.connects == connects, "submit connected"
        if isinstance(outcome, NotSent) and not believe:
            assert not times, f"{outcome} although the point of no return was written"
        if isinstance(outcome, InDoubt | Taken):
            assert times, f"{outcome} although the point of no return was not written"
        self.bounded()
        return outcome

    async def opened(self) -> Session:
        """``open``, where it must succeed."""
        opened = await self.open()
        assert not isinstance(opened, NotSent), f"open: {opened}"
        return opened

    async def ready(self, session: Session) -> Session:
        """*session*, or the next one if it has taken as many pages as it takes."""
        return await self.opened() if session.left == 0 else session

    async def one_page(self, page: Page | None = None, *, believe: bool = False) -> Outcome:
        """Open and submit."""
        opened = await self.open()
        if isinstance(opened, NotSent):
            return opened
        return await self.submit(opened, page or self.exercise.page(), believe=believe)

    async def rest(self, seconds: float) -> None:
        """Nothing is asked for so long."""
        await self.env.sleep(seconds)

    async def is_over(self, session: Session) -> None:
        """Of a session that is lost: told, gone, and nothing more is written."""
        assert session.lost.called, "the conversation is over and lost did not fire"
        assert session.lost.result is None, f"lost fired with {session.lost.result}"
        before = len(self.wrote)
        outcome = await self.submit(session, self.exercise.page(9))
        assert isinstance(outcome, NotSent), f"{outcome} by a session that is lost"
        assert len(self.wrote) == before, f"a lost session wrote {self.wrote[before:]!r}"

    def nothing_is_left(self) -> None:
        """No connection and no timer."""
        assert self.gone, "a connection is left open"
        timers = self.env.clock.getDelayedCalls()
        assert not timers, f"timers are left: {[str(timer) for timer in timers]}"

    def bounded(self) -> None:
        assert self.heard <= MAX_HEARD, f"it took in {self.heard} bytes without coming to an end"


@contextmanager
def case(*what: object) -> Iterator[None]:
    """Names the case in what fails."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{' '.join(str(one) for one in what)}: {error}") from error
