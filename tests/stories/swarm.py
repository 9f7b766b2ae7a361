"""A swarm of small disasters: each seed meets another mixture of faults, and the promises must hold in all.

    python -m tests.stories.swarm --days 200      as many seeds as make 200 simulated days
    python -m tests.stories.swarm --seed 17       one seed, with its last events if a promise was broken

A run has hours of faults (carriers that refuse, crawl, cut, lie, throttle or flap; a node that dies at any
instant or at any durability point; a wall clock that jumps; links switched off and settings changed; no
Internet at all) under pages of all classes, with people who answer, cancel and decide. Some worlds have texts
in parts, a way out that is dialled, rules over a carrier's answers, a carrier in maintenance. Then the faults stop and everything must come
to its end. What is checked is in ``Oracles``.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from twisted.logger import globalLogBeginner

from gateway.adapters.base import Calls
from gateway.app.adapters import specs
from gateway.errors import Conflict, SubmissionError
from gateway.lifecycle import DOUBTS_PER_CHAIN, DOUBTS_PER_LINK, FINAL, State
from gateway.model import MessageClass
from gateway.outcome import Level
from gateway.settings.types import Rate
from gateway.sim.snpp import Refusal
from gateway.store.base import DeliveryRow, MessageRow
from tests.stories.world import (
    ADMINISTRATOR,
    BULK,
    CRITICAL,
    NORMAL,
    URGENT,
    Died,
    Reached,
    Story,
    seconds_of,
)

ONE, TWO, METRO = "10.0.0.1:444", "10.0.0.2:444", "10.0.0.3:444"
LINKS = {ONE: "spok.one", TWO: "spok.two", METRO: "metro.only"}
PEOPLE = ("ann", "ben", "cam", "dee", "eve", "fay")
FAILPOINTS = ("T1", "T2", "sent", "T3", "T5", "T6")
RATE_METRO = (30, 60.0)  # pages in seconds that the metro carrier was configured for
SLACK = 10.0  # seconds from T2 until PAGE has come over the slowest line here: about 40 bytes at 8 a second
SETTLED_WITHIN = 3 * 3600.0  # seconds after the last fault: bulk waits an hour and a fifth between tries


RULES = (
    "{code: 554, means: refuse_page}",
    '{code: 550, match: "*refused*", means: later, pause_link: 60s}, {code: 421, means: later}',
    '{code: "*", match: "*", means: later}',
)


class Traits(msgspec.Struct, frozen=True):
    """What a world is like from its beginning to its end."""

    split: bool  # the carrier spok takes long texts in parts
    calls: bool  # its second way is dialled
    rules: str
    closed: bool  # the carrier metro has ten minutes of maintenance

    @staticmethod
    def of(chance: Random) -> Traits:
        return Traits(
            split=chance.random() < 0.5,
            calls=chance.random() < 0.4,
            rules=chance.choice(RULES) if chance.random() < 0.3 else "",
            closed=chance.random() < 0.3,
        )


CLOSED = (1200.0, 1800.0)  # seconds from the beginning, which is at midnight, of the maintenance
WORDS_OF_LONG = 26  # times its name: a text of three parts, each of which says whose it is
DIAL = msgspec.structs.replace(
    specs()["snpp"], name="dial", calls=lambda settings: Calls(pages=10, dialled=True), listener=None
)


def settings(variant: int, traits: Traits) -> str:
    """What the administrator wrote; *variant* changes one link."""
    split = ", too_long: split, max_chars: 60" if traits.split else ""
    people = "\n".join(
        f'  {name}: {{name: {name.title()}, devices: {{pager: "spok:55500{n:02}", spare: "metro:77700{n:02}"}}}}'
        for n, name in enumerate(PEOPLE)
    )
    return f"""
listen: {{http: {{at: "127.0.0.1:8080"}}}}
texts: {{default: ["{{text}}", "{{short}}"]}}
clients: {{monitoring: {{token_sha256: [{"a" * 64}], may_page: [everyone]}}}}
carriers:
  spok:
    rules: [{traits.rules}]
    links:
      one: {{adapter: snpp, at: "{ONE}", sessions: {variant % 3 + 1}{split}}}
      two: {{adapter: {"dial" if traits.calls else "snpp"}, at: "{TWO}", path: phone, per_session: {variant % 4 + 1}{split}}}
  metro:
    maintenance: [{'"00:20-00:30"' if traits.closed else ""}]
    links:
      only: {{adapter: snpp, at: "{METRO}", rate: {RATE_METRO[0]}/min, costly: {"true" if variant % 5 == 4 else "false"}}}
people:
{people}
groups: {{ward: [ann, ben, cam]}}
"""


class Sent(msgspec.Struct):
    """A page as its client knows it: number *n* is its text and its idempotency key."""

    n: int
    to: tuple[str, ...]
    message_class: MessageClass
    until: Level
    more: dict[str, Any]
    long: bool = False
    id: str | None = None
    stopped: float | None = None  # when an acknowledgement or a cancel had been answered


class Result(msgspec.Struct):
    """What became of a seed."""

    seed: int
    days: float
    pages: int
    copies: int
    crashes: int
    faults: tuple[str, ...]
    endings: dict[str, int]
    trace: str
    violations: list[str]
    recent: list[str]


class Swarm:
    """One seed."""

    def __init__(self, seed: int, hours: float = 1.0, *, pages: int = 80, folder: Path | None = None) -> None:
        self.seed = seed
        self.chance = Random(f"swarm/{seed}")
        self.hours = hours
        self.traits = Traits.of(self.chance)
        text = settings(seed, self.traits)
        self.story = Story(text, seed=seed, folder=folder, adapters={"dial": DIAL})
        self.sent: list[Sent] = []
        self.unheard: list[Sent] = []  # submitted, but the node died before its answer
        self.crashes: list[float] = []
        self.lies: set[str] = set()
        self.levels: dict[int, Level] = {}
        self.violations: list[str] = []
        self.script: list[tuple[float, int, str, Callable[[], None]]] = []
        self.faults: set[str] = set()
        self.decided: set[str] = set()  # pages about which a person decided
        self._pages = pages

    def run(self) -> Result:
        """Tell the whole story and look at the promises."""
        story = self.story
        endings: dict[str, int] = {}
        try:
            for at in LINKS:
                story.terminal(at)
            story.start()
            self._write()
            for at, _, _, act in sorted(self.script, key=lambda one: one[:2]):
                self._go_on(at)
                act()
            self._mend()
            self._settle()
            self.violations += Oracles(self).broken()
            for row in self.rows():
                endings[row.ending or "open"] = endings.get(row.ending or "open", 0) + 1
            story.stop()
        except Exception as error:
            self.violations.append(f"{type(error).__name__}: {error}")
        finally:
            try:
                story.end()
            except AssertionError as error:
                self.violations.append(f"unexpected in the log: {error}")
        return Result(
            seed=self.seed,
            days=story.now / 86_400,
            pages=len(self.sent),
            copies=len(story.copies()),
            crashes=len(self.crashes),
            faults=tuple(sorted(self.faults)),
            endings=endings,
            trace=story.world.trace,
            violations=self.violations,
            recent=list(story.world.recent),
        )

    def rows(self) -> list[MessageRow]:
        """Every message on record."""
        if not self.story.env.alive:
            self._restart()
        records = self.story.store.records
        return list(self.story.run(records.messages(client=None, state="all", limit=10_000, before=None)))

    # -------------------------------------------------------------- the script

    def _write(self) -> None:
        chance, end = self.chance, self.hours * 3600
        for n in range(self._pages):
            self._at(chance.uniform(0, end), "page", lambda n=n: self._page(n))
        for kind, most in FAULTS.items():
            if chance.random() < 0.35:  # a few of them a seed: rare pairs meet
                self.faults.add(kind)
                for _ in range(chance.randint(1, most)):
                    getattr(self, f"_{kind}")(chance.uniform(0, end))
        for _ in range(self._pages // 4):
            self._at(chance.uniform(0, end), "people", self._people)

    def _at(self, at: float, what: str, act: Callable[[], None]) -> None:
        self.script.append((at, len(self.script), what, act))

    def _during(self, at: float, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._at(at, "begin", begin)
        self._at(at + self.chance.choice((5, 30, 120, 600, 1800)), "end", end)

    def _weather(self, at: float, **weather: Any) -> None:
        where = self.chance.choice(list(LINKS))
        self._during(at, lambda: self.story.weather(where, **weather), lambda: self.story.weather(where))

    def _quirk(self, at: float, **quirks: Any) -> None:
        where = self.chance.choice(list(LINKS))

        def begin() -> None:
            self.story.terminal(where, **quirks)

        self._during(at, begin, lambda: self.story.terminal(where) and None)

    # faults, each from a time on

    def _refuse(self, at: float) -> None:
        self._weather(at, refuse=True)

    def _blackhole(self, at: float) -> None:
        self._weather(at, blackhole=True)

    def _crawl(self, at: float) -> None:
        self._weather(at, rate=self.chance.choice((8.0, 20.0, 100.0)), segment=1)

    def _cut(self, at: float) -> None:
        ending = self.chance.choice(("reset", "close", "silence"))
        side = self.chance.choice(("cut_sent", "cut_heard"))
        self._weather(at, **{side: self.chance.randint(0, 160), "ending": ending})

    def _lag(self, at: float) -> None:
        self._weather(at, latency=(0.1, self.chance.choice((0.5, 3.0))))

    def _lose(self, at: float) -> None:
        self._quirk(
            at, lose_answer=self.chance.randint(0, 18), lose_share=self.chance.choice((0.1, 0.5, 1.0))
        )

    def _slow(self, at: float) -> None:
        self._quirk(at, delay=self.chance.choice((1.0, 15.0, 50.0, 150.0)))

    def _lie(self, at: float) -> None:
        where = self.chance.choice(list(LINKS))
        self.lies.add(where)

        def begin() -> None:
            self.story.terminal(where, silent=True)

        self._during(at, begin, lambda: self.story.terminal(where) and None)

    def _throttle(self, at: float) -> None:
        self._quirk(at, rate=Rate(count=self.chance.randint(1, 10), per=60.0))

    def _say_no(self, at: float) -> None:
        code = self.chance.choice((421, 550, 554, 500))
        step = self.chance.choice(("PAGE", "SEND"))
        self._quirk(at, refusals=(Refusal(step=step, code=code, share=self.chance.choice((0.1, 0.5))),))

    def _flap(self, at: float) -> None:
        where = self.chance.choice(list(LINKS))
        for number in range(self.chance.randint(6, 60)):
            up = bool(number % 2)
            self._at(
                at + 10 * number,
                "flap",
                lambda up=up: self.story.weather(where, **({} if up else {"refuse": True})),
            )
        self._at(at + 610, "flap", lambda: self.story.weather(where))

    def _cable(self, at: float) -> None:
        """Nothing goes by the Internet."""
        weather = self.chance.choice(("refuse", "blackhole"))

        def all_of(**how: Any) -> None:
            for where in (ONE, METRO):
                self.story.weather(where, **how)

        self._during(at, lambda: all_of(**{weather: True}), all_of)

    def _die(self, at: float) -> None:
        self._at(at, "crash", lambda: self.story.env.crash())

    def _die_at_a_point(self, at: float) -> None:
        name, nth = self.chance.choice(FAILPOINTS), self.chance.randint(1, 5)
        self._at(at, "failpoint", lambda: self.story.env.alive and self.story.env.fail_at(name, nth))

    def _step_wall(self, at: float) -> None:
        by = self.chance.choice((3600.0, -3600.0, 315_360_000.0, -315_360_000.0))

        def back() -> None:
            self.story.world._skews[self.story.env.name] = 0.0  # before a restart NTP has set it right again

        self._during(at, lambda: self.story.env.step_wall(by), back)

    def _suspend(self, at: float) -> None:
        link = self.chance.choice(list(LINKS.values()))
        mode = self.chance.choice(("suspended", "draining"))
        self._during(
            at,
            lambda: self._try(lambda: self.story.order(link, mode)),
            lambda: self._try(lambda: self.story.order(link, "open")),
        )

    def _reload(self, at: float) -> None:
        variant = self.chance.randint(0, 99)
        self._at(at, "reload", lambda: self._try(lambda: self.story.reload(settings(variant, self.traits))))

    def _burst(self, at: float) -> None:
        """More at once than the metro carrier allows in a minute."""
        for number in range(60):
            n = 1000 + len(self.script)
            to = (f"metro:888{number:04}",)
            page = Sent(n=n, to=to, message_class=NORMAL, until=Level.HANDED_OVER, more={})
            self._at(at, "burst", lambda page=page: self._send(page))
        if self.chance.random() < 0.5:
            self._die(at + self.chance.uniform(1, 8))

    # -------------------------------------------------------------- what happens

    def _go_on(self, at: float) -> None:
        """Let time pass; whoever died is started again."""
        while self.story.now < at:
            if not self.story.env.alive:
                self._restart()
            step = min(at, self.story.now + 600)
            self.story._pass(lambda: not self.story.env.alive, step)
            if self.story.env.alive:
                self.story.until(step)
                self._watch_levels()
        if not self.story.env.alive:
            self._restart()

    def _restart(self) -> None:
        self.crashes.append(self.story.now)
        self.story.forward(self.chance.choice((0.1, 2.0, 20.0)))
        self.story.world._skews[self.story.env.name] = 0.0
        self.story.crash()
        unheard, self.unheard = self.unheard, []
        for page in unheard:
            self._submit(page)

    def _try(self, act: Callable[[], object]) -> None:
        """Something that needs the node, which may die of it."""
        if not self.story.env.alive:
            self._restart()
        try:
            act()
        except (Died, Conflict):
            pass
        if not self.story.env.alive:
            self._restart()

    def _page(self, n: int) -> None:
        chance = self.chance
        message_class = chance.choices((CRITICAL, URGENT, NORMAL, BULK), (3, 4, 3, 2))[0]
        asks = message_class.pressing and chance.random() < 0.4
        more: dict[str, Any] = {}
        if chance.random() < 0.1:
            more["expires_in"] = chance.choice((20.0, 300.0, 3600.0))
        elif chance.random() < 0.1:
            more["not_before"] = self.story.after(chance.choice((60.0, 900.0)))
        if chance.random() < 0.08:
            more["incident"] = chance.choice(("pump", "fridge"))
        to = ("ward",) if chance.random() < 0.15 else (chance.choice(PEOPLE),)
        until = Level.ACKNOWLEDGED if asks else Level.HANDED_OVER
        long = self.traits.split and chance.random() < 0.4
        self._send(Sent(n=n, to=to, message_class=message_class, until=until, more=more, long=long))

    def _send(self, page: Sent) -> None:
        self.sent.append(page)
        self._submit(page)

    def _submit(self, page: Sent) -> None:
        def act() -> None:
            try:
                accepted = self.story.page(
                    *page.to,
                    text=" ".join([f"m{page.n}"] * (WORDS_OF_LONG if page.long else 1)),
                    message_class=page.message_class,
                    until=page.until,
                    client=ADMINISTRATOR,
                    idempotency_key=f"k{page.n}",
                    request_hash=b"%d" % page.n,
                    **page.more,
                )
            except SubmissionError as refused:
                if refused.status == 422 and "not_before" in page.more | {"expires_in": 0}:
                    return  # its time had passed when it was asked again
                raise
            except Died:
                self.unheard.append(page)
                raise
            page.id = accepted.id

        self._try(act)

    def _people(self) -> None:
        """Somebody answers, stops or decides about a page that is open."""
        if not self.story.env.alive:
            return
        open_ = {row.public_id: row for row in self.rows() if row.ending is None}
        mine = [page for page in self.sent if page.id in open_]
        if not mine:
            return
        page = self.chance.choice(mine)
        assert page.id is not None
        row = open_[page.id]  # type: ignore[index]
        held = any(one.state is State.HELD for one in row.deliveries)
        accepted: Any = page  # it has the id, which is all that is looked at
        what = self.chance.choice(("acknowledge", "cancel") if not held else ("again", "leave"))

        def act() -> None:
            if what == "acknowledge":
                self.story.acknowledge(accepted)
            elif what == "cancel":
                self.story.cancel(accepted)
            else:
                self.decided.add(row.public_id)
                self.story.decide(accepted, again=what == "again")
                return
            page.stopped = self.story.now

        self._try(act)

    def _mend(self) -> None:
        """The faults are over."""
        self._go_on(self.story.now + 1)
        self.story.env._failpoints.clear()
        for at, link in LINKS.items():
            self.story.weather(at)
            self.story.terminal(at)
            self.story.order(link, "open")

    def _settle(self) -> None:
        """Everything comes to its end; who is asked decides."""
        end = self.story.now + SETTLED_WITHIN
        while self.story.now < end:
            rows = [row for row in self.rows() if _unsettled(row)]
            if not rows:
                return
            for row in rows:
                if any(one.state is State.HELD for one in row.deliveries):
                    self.decided.add(row.public_id)
                    self.story.decide(_Named(row.public_id), again=self.chance.random() < 0.5)  # type: ignore[arg-type]
            self._go_on(self.story.now + 60)

    def _watch_levels(self) -> None:
        for row in self.rows():
            for one in row.deliveries:
                if one.level < self.levels.get(one.delivery, Level.STORED):
                    self.violations.append(f"I9: delivery {one.delivery} fell to {one.level.name}")
                self.levels[one.delivery] = one.level


class _Named(msgspec.Struct):
    id: str


def _unsettled(row: MessageRow) -> bool:
    return row.ending is None or any(one.state not in FINAL for one in row.deliveries)


FAULTS = {
    "refuse": 4,
    "blackhole": 4,
    "crawl": 3,
    "cut": 6,
    "lag": 3,
    "lose": 5,
    "slow": 3,
    "lie": 2,
    "throttle": 3,
    "say_no": 4,
    "flap": 3,
    "cable": 3,
    "die": 6,
    "die_at_a_point": 8,
    "step_wall": 4,
    "suspend": 3,
    "reload": 4,
    "burst": 2,
}
"""Faults, and how often one comes at most in a run that has it."""


class Oracles:
    """The promises (delivery semantics, "Invariants"), looked at when all is over."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self._rows = swarm.rows()
        self._of_text = {_text(row): row for row in self._rows if row.content is not None}
        self._copies = swarm.story.copies()

    def broken(self) -> list[str]:
        """A sentence for every promise that was not kept."""
        return [
            *self.every_accepted_message_ended(),
            *self.expired_is_punctual(),
            *self.confirmed_is_true(),
            *self.copies_are_explained(),
            *self.doubts_are_bounded(),
            *self.nothing_began_too_late(),
            *self.limits_were_kept(),
            *self.conversations_were_short(),
            *self.nothing_ordinary_in_maintenance(),
            *self.nobody_got_anothers_text(),
            *self.nothing_is_left(),
        ]

    def every_accepted_message_ended(self) -> Iterator[str]:
        """I1, I11: one message for each page that was answered, and each has its outcome."""
        ids = [row.public_id for row in self._rows]
        texts = [row.content.text for row in self._rows if row.content is not None]
        if len(set(texts)) != len(texts):
            yield "I1: a key was accepted twice"
        for page in self._swarm.sent:
            if page.id is not None and page.id not in ids:
                yield f"I1: m{page.n} was accepted and is not on record"
        for row in self._rows:
            if _unsettled(row):
                legs = [(one.link, one.state.name, one.reason) for one in row.deliveries]
                yield f"I11: {_text(row)} did not come to its end: {row.ending} {legs}"

    def expired_is_punctual(self) -> Iterator[str]:
        """I1: what expires does so at its deadline, or at the start after a crash."""
        for row in self._rows:
            for one in row.deliveries:
                late = (one.changed_at - one.deadline) / 1e6
                if one.state is State.EXPIRED and not 0 <= late <= 30:
                    yield f"I1: a delivery of {_text(row)} expired {late:.1f} s after its deadline"

    def confirmed_is_true(self) -> Iterator[str]:
        """I1: what is called handed over did reach each of its people, or nobody could know better."""
        for row in self._rows:
            if row.ending != "confirmed" or row.accepted_by or row.incident_key:
                continue  # of one trouble the answer to one message counts for all
            for person in {one.person for one in row.deliveries}:
                legs = [one for one in row.deliveries if one.person == person]
                excused = any(
                    one.reason == "assumed"
                    or (one.state is State.TAKEN and any(LINKS[at] == one.link for at in self._swarm.lies))
                    for one in legs
                )
                addresses = {one.address for one in legs}
                got = [_part(copy) for copy in self._of(row) if copy.pager in addresses]
                whole = any(all((n, of) in got for n in range(1, of + 1)) for _, of in got)
                if not excused and not whole:
                    yield f"I1: {_text(row)} is confirmed and {person} has {got}"

    def copies_are_explained(self) -> Iterator[str]:
        """I2: a device gets one copy for each yes of a carrier and one for each doubt; a later one is
        marked."""
        for row in self._rows:
            for address in {one.address for one in row.deliveries}:
                legs = [one for one in row.deliveries if one.address == address]
                there = [copy for copy in self._of(row) if copy.pager == address]
                for part in sorted({_part(copy) for copy in there}):
                    copies = [copy for copy in there if _part(copy) == part]
                    yield from self._explained(row, legs, copies, parts=part != (1, 1))

    def _explained(
        self, row: MessageRow, legs: list[DeliveryRow], copies: list[Reached], *, parts: bool
    ) -> Iterator[str]:
        doubts = sum(one.doubts for one in legs)
        said_yes = sum(one.state is State.TAKEN and one.reason != "assumed" for one in legs)
        if parts:  # a carrier may have said yes to this one and no to another
            said_yes = len(legs)
        if len(copies) > doubts + said_yes:
            yield f"I2: {len(copies)} copies of {_text(row)}, {doubts} doubts, {said_yes} yes: {copies}"
        if len(copies) > len(legs) + doubts:
            yield f"I2: {len(copies)} copies of {_text(row)}, {len(legs)} legs, {doubts} doubts"
        for earlier, later in pairwise(copies):
            marked = "(copy" in later.text or (parts and "(copy" in earlier.text)  # the first leg goes on
            if later.asked > earlier.at + SLACK and not marked:
                yield f"I2: a second copy of {_text(row)} is not marked: {later}"

    def doubts_are_bounded(self) -> Iterator[str]:
        """Section 6: two doubts a link and four a chain, beyond which only a person sends again; of legs
        that were never tried each has its chance."""
        for row in self._rows:
            if row.public_id in self._swarm.decided:
                continue
            for one in row.deliveries:
                if one.doubts > DOUBTS_PER_LINK:
                    yield f"doubt: {one.doubts} on one link for {_text(row)}"
            for address in {one.person or one.address for one in row.deliveries}:
                legs = [one for one in row.deliveries if (one.person or one.address) == address]
                doubts = sum(one.doubts for one in legs)
                if doubts > max(DOUBTS_PER_CHAIN, len(legs)):
                    yield f"doubt: {doubts} for {_text(row)} over {len(legs)} legs"

    def nothing_began_too_late(self) -> Iterator[str]:
        """I3: nothing begins after the deadline, or after somebody was told that it is stopped."""
        stopped = {page.id: page.stopped for page in self._swarm.sent if page.stopped is not None}
        for row in self._rows:
            alone = row.incident_key is None
            for copy in self._of(row):
                legs = [one for one in row.deliveries if one.address == copy.pager]
                last = max(seconds_of(one.deadline) for one in legs)
                if copy.asked > last + SLACK:
                    yield f"I3: {_text(row)} began {copy.asked - last:.1f} s after its deadline"
                at = stopped.get(row.public_id)
                if alone and at is not None and copy.asked > at + SLACK:
                    yield f"I3: {_text(row)} began {copy.asked - at:.1f} s after it was stopped"

    def limits_were_kept(self) -> Iterator[str]:
        """I7: a configured rate holds, after outages and restarts too (a restart may add one page)."""
        times = [at for at, _ in self._swarm.story.terminals[METRO].asked]
        burst, per = RATE_METRO
        for start in times:
            for within in (1.0, 10.0, 60.0, 300.0):
                count = sum(start <= at < start + within for at in times)
                again = sum(start - per <= at < start + within for at in self._swarm.crashes)
                reloads = 4 if "reload" in self._swarm.faults else 0
                lag = 4.0 if {"lag", "crawl"} & self._swarm.faults else 0.1
                allowed = burst + burst / per * (within + lag) + again + reloads
                if count > allowed:
                    yield f"I7: {count} pages within {within:g} s from {start:.1f}, {allowed:.1f} allowed"

    def conversations_were_short(self) -> Iterator[str]:
        """I7: a conversation of so many pages takes no more, parts counted."""
        if {"reload", "lag", "crawl", "step_wall"} & self._swarm.faults:
            return  # the limit changes, or a page is heard when the next conversation has begun
        terminal = self._swarm.story.terminals[TWO]
        most = self._swarm.seed % 4 + 1
        for start, end in pairwise([*terminal.connected, float("inf")]):
            count = sum(start <= at < end for at, _ in terminal.asked)
            if count > most:
                yield f"I7: {count} pages in the conversation from {start:.1f}, {most} allowed"

    def nothing_ordinary_in_maintenance(self) -> Iterator[str]:
        """A carrier that is away gets nothing of class normal and bulk meanwhile."""
        if not self._swarm.traits.closed or "step_wall" in self._swarm.faults:
            return
        begins, ends = CLOSED
        for copy in self._copies:
            row = self._of_text.get(_plain(copy))
            ordinary = row is not None and not row.message_class.pressing
            if copy.by == METRO and ordinary and begins + SLACK < copy.asked < ends:
                yield f"{_plain(copy)} went to metro at {copy.asked:.1f}, in its maintenance"

    def nobody_got_anothers_text(self) -> Iterator[str]:
        """I8: a text reaches the devices it was for, and no other."""
        for copy in self._copies:
            row = self._of_text.get(_plain(copy))
            if row is None:
                yield f"I8: {copy.pager} got {copy.text!r}, which nobody sent"
            elif copy.pager not in {one.address for one in row.deliveries}:
                yield f"I8: {copy.pager} got {copy.text!r}"

    def nothing_is_left(self) -> Iterator[str]:
        """I11: no open delivery, also for the queue's own count."""
        backlog = self._swarm.story.store.intake.backlog
        if backlog and not any(_unsettled(row) for row in self._rows):
            yield f"I11: the queue counts {backlog} and holds nothing"

    def _of(self, row: MessageRow) -> list[Reached]:
        return [copy for copy in self._copies if _plain(copy) == _text(row)]


_SHOWN = re.compile(r"(?:(\d)/(\d) )?(m\d+)(?: \3)*(?: \(copy \d+\))?")


def _plain(copy: Reached) -> str:
    """The name of its message; the whole text if it is nobody's."""
    shown = _SHOWN.fullmatch(copy.text)
    return copy.text if shown is None else shown[3]


def _part(copy: Reached) -> tuple[int, int]:
    shown = _SHOWN.fullmatch(copy.text)
    return (1, 1) if shown is None or shown[1] is None else (int(shown[1]), int(shown[2]))


def _text(row: MessageRow) -> str:
    return "" if row.content is None else row.content.text.partition(" ")[0]


def tell(result: Result) -> str:
    """A seed in a line, and more if a promise was broken."""
    line = (
        f"seed {result.seed}: {result.pages} pages, {result.copies} copies, {result.crashes} crashes,"
        f" {result.endings} with {', '.join(result.faults) or 'no faults'}"
    )
    if not result.violations:
        return line
    again = f"to see it again: python -m tests.stories.swarm --seed {result.seed}"
    return "\n  ".join([line, *result.violations[:20], again])


def main(arguments: list[str]) -> int:
    """Run seeds; the number of those that broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.stories.swarm", description=__doc__.split("\n")[0])
    parser.add_argument("--days", type=float, default=10.0, help="simulated days to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this seed only, with its last events")
    parser.add_argument("--hours", type=float, default=1.0, help="of faults in each seed")
    asked = parser.parse_args(arguments)
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)  # the stories listen
    if asked.seed is not None:
        result = Swarm(asked.seed, asked.hours).run()
        print(tell(result), *result.recent, f"trace {result.trace}", sep="\n")
        return len(result.violations)
    began, days, seed, broken = time.monotonic(), 0.0, asked.first, 0
    while days < asked.days:
        result = Swarm(seed, asked.hours).run()
        days += result.days
        seed += 1
        if result.violations:
            broken += 1
            print(tell(result), flush=True)
    took = time.monotonic() - began
    print(
        f"{seed - asked.first} seeds, {days:.1f} simulated days in {took:.0f} s"
        f" ({days / took:.2f} days/s), {broken} seeds with violations"
    )
    return broken


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
