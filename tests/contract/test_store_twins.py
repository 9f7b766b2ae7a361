"""The engines agree: whatever happens, in whatever order, both answer the same and hold the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.env import public_id
from gateway.errors import GatewayError
from gateway.lifecycle import LIFE, OPEN, Happening, State
from gateway.model import Instant, LinkName, MessageClass, Ref, later, of_part
from gateway.outcome import Level
from gateway.store.base import Advance, Begun, Missed, PartsTaken, Stored, Telling
from tests.contract.store_case import EVERYTHING, FAX, WEB, Case, MemoryCase, SqliteCase, comparable
from tests.gateway.store_env import StoreEnv, run

LINKS = st.sampled_from([WEB, FAX])
CLASSES = st.sampled_from(list(MessageClass))
AFTER_BEGUN = [happening for state, happening in LIFE if state is State.BEGUN]
PARTS = st.builds(
    lambda of, taken, doubted: PartsTaken(7, of).with_taken(*taken).with_doubt(*doubted),
    st.integers(2, 3),
    st.lists(st.integers(1, 3), max_size=3),
    st.lists(st.integers(1, 3), max_size=2),
)
SECONDS = st.sampled_from([0.0, 1.0, 5.0, 60.0])


class Twins(RuleBasedStateMachine):
    """Two engines, one history."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        home = self.folder / "s"
        home.mkdir()
        self.cases: list[Case] = [MemoryCase(StoreEnv()), SqliteCase(StoreEnv(), home)]
        self.ids = StoreEnv(2)
        self.stored: list[Stored] = []
        self.begun: list[Begun] = []
        self.refs: list[str] = []
        self.levels: dict[int, int] = {}
        self.begin_again()

    def teardown(self) -> None:
        for case in self.cases:
            run(case.store.close())
        shutil.rmtree(self.folder)

    def begin_again(self) -> None:
        self.both(lambda case: case.hold())
        self.both(
            lambda case: run(case.store.notices.interest({"helpdesk": EVERYTHING}, lambda clients: None))
        )

    def both(self, action: Callable[[Case], Any]) -> Any:
        answers = []
        for case in self.cases:
            try:
                answers.append(action(case))
            except GatewayError as error:
                answers.append(type(error).__name__)
        assert comparable(answers[0]) == comparable(answers[1])
        return answers[0]

    def one(self, data: st.DataObject) -> Stored:
        return data.draw(st.sampled_from(self.stored))

    @rule(
        which=CLASSES,
        link=LINKS,
        due=SECONDS,
        deadline=st.sampled_from([1.0, 60.0, 3600.0]),
        key=st.sampled_from([None, None, "k1", "k2"]),
        trouble=st.sampled_from(["none", "none", "own", "a", "b"]),
        legs=st.integers(1, 2),
        level=st.sampled_from([Level.HANDED_OVER, Level.READ, Level.ACKNOWLEDGED]),
    )
    def accept(
        self,
        which: Any,
        link: Any,
        due: float,
        deadline: float,
        key: Any,
        trouble: str,
        legs: int,
        level: Any,
    ) -> None:
        public = public_id(self.ids)  # type: ignore[arg-type]

        def act(case: Case) -> Stored:
            opened = [
                case.leg(
                    leg=n,
                    message_class=which,
                    link=link,
                    due=later(case.now, due),
                    deadline=later(case.now, deadline),
                )
                for n in range(legs)
            ]
            extra: dict[str, Any] = {"message_class": which, "until": level, "idempotency_key": key}
            extra |= {"request_hash": bytes([which]), "answer": b"{}", "public_id": public}
            if trouble == "none":  # without a pursuit nobody waits for more than that a carrier has it
                extra["until"] = Level.HANDED_OVER
                return case.accept(case.new(*opened, **extra))
            refs = (Ref("7K3M"), Ref("4QXT"))
            name = None if trouble == "own" else trouble
            return case.accept(case.pursued(key=name, deliveries=tuple(opened), refs=refs, **extra))

        stored = self.both(act)
        if isinstance(stored, Stored) and not stored.replay:
            self.stored.append(stored)

    @rule(how=st.sampled_from(["told", "later", "given_up"]), due=SECONDS, limit=st.integers(1, 3))
    def tell(self, how: Any, due: float, limit: int) -> None:
        notices = self.both(lambda case: run(case.store.notices.due("helpdesk", case.now, limit)))
        for notice in notices:
            self.both(
                lambda case: run(
                    case.store.notices.conclude(
                        Telling(
                            notice=notice.key,  # noqa: B023  # called here
                            at=case.now,
                            how=how,
                            due=later(case.now, due) if how == "later" else None,
                            why="x",
                        )
                    )
                )
            )
        assert len({notice.message for notice in notices}) == len(notices)

    @rule(age=SECONDS)
    def nobody_listens(self, age: float) -> None:
        self.both(lambda case: run(case.store.notices.lapse(later(case.now, -age), case.now, 3)))

    @rule(link=LINKS, limit=st.integers(0, 4), ordinary=st.integers(0, 4))
    def begin(self, link: LinkName, limit: int, ordinary: int) -> None:
        def act(case: Case) -> Any:
            return run(
                case.store.work.begin(link, case.fences[link], limit=limit, ordinary=ordinary, now=case.now)
            )

        taking = self.both(act)
        assert len(taking.begun) <= limit
        assert all(one.deadline > self.cases[0].now for one in taking.begun)
        self.begun += taking.begun

    @precondition(lambda self: self.begun)
    @rule(
        data=st.data(),
        happening=st.sampled_from(AFTER_BEGUN),
        then=st.sampled_from(["resend", "assume", "hold", "quarantine"]),
        due=SECONDS,
        refs=st.integers(0, 2),
        parts=st.none() | PARTS,
    )
    def conclude(
        self,
        data: st.DataObject,
        happening: Happening,
        then: str,
        due: float,
        refs: int,
        parts: PartsTaken | None,
    ) -> None:
        begun = self.begun.pop(data.draw(st.integers(0, len(self.begun) - 1)))
        names = [f"r{len(self.refs) + n}" for n in range(refs)]
        self.refs += [*names, begun.correlation, of_part(begun.correlation, 2)]
        self.both(
            lambda case: case.conclude(
                begun,
                happening,
                due=later(case.now, due),
                then=then,
                tries=1,
                doubts=1 if happening is Happening.IN_DOUBT else 0,
                refs=case.refs(*names),
                reason="because",
                parts=parts,
            )
        )

    @rule(link=LINKS, limit=st.integers(1, 3))
    def missed(self, link: LinkName, limit: int) -> None:
        def act(case: Case) -> int:
            waits = dict.fromkeys(MessageClass, (1.0, 5.0))
            miss = Missed(
                lane=link,
                fence=case.fences[link],
                began=case.now,
                ended=case.now,
                code="x",
                why="y",
                waits=waits,
                limit=limit,
            )
            return run(case.store.work.missed(miss))

        self.both(act)

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        for case in self.cases:
            case.wait(seconds)

    @rule()
    def lapse(self) -> None:
        self.both(lambda case: case.lapse())
        due = self.both(lambda case: run(case.store.work.next_lapse()))
        assert due is None or due > self.cases[0].now  # or dispatch would spin

    @rule(
        data=st.data(),
        state=st.sampled_from("abc"),
        level=st.sampled_from([None, *Level]),
        setback=st.sampled_from([None, "no"]),
        final=st.booleans(),
    )
    def report(self, data: st.DataObject, state: str, level: Any, setback: Any, final: bool) -> None:
        ref = data.draw(st.sampled_from([*self.refs, "r0", "r1", "nothing"]))
        self.both(lambda case: case.report(ref, state, level=level, setback=setback, final=final))

    @precondition(lambda self: self.stored)
    @rule(
        data=st.data(),
        what=st.sampled_from(["acknowledge", "cancel", "retry", "pause", "resume", "again", "leave"]),
    )
    def desk(self, data: st.DataObject, what: str) -> None:
        stored = self.one(data)
        key = stored.message

        def act(case: Case) -> Any:
            desk = case.store.desk
            match what:
                case "acknowledge":
                    return case.acknowledge(stored)
                case "cancel":
                    return case.cancel(stored)
                case "retry":
                    return run(desk.retry(key, by="d", now=case.now, deadline=later(case.now, 60)))
                case "pause":
                    return run(desk.pause(key, by="d", now=case.now))
                case "resume":
                    return run(desk.resume(key, by="d", now=case.now))
                case _:
                    return run(desk.decide(key, again=what == "again", by="d", now=case.now))

        self.both(act)

    @rule(
        name=st.sampled_from("ab"),
        what=st.sampled_from(["look", "resolve", "mute", "unmute"]),
        even_critical=st.booleans(),
    )
    def trouble(self, name: str, what: str, even_critical: bool) -> None:
        row = self.both(lambda case: run(case.store.records.incident(name, client=None, limit=2)))
        if row is None or what == "look":
            return
        who = {"by": "dana", "recorded_by": "console"}

        def act(case: Case) -> Any:
            if what == "resolve":
                return run(case.store.desk.resolve(row.incident, why=None, now=case.now, **who))
            until = later(case.now, 60) if what == "mute" else None
            return run(
                case.store.desk.mute(
                    row.incident, until=until, even_critical=even_critical, now=case.now, **who
                )
            )

        self.both(act)

    @rule(data=st.data(), what=st.sampled_from(["open", "stop", "end", "wait"]))
    def advance(self, data: st.DataObject, what: str) -> None:
        due = self.both(lambda case: run(case.store.pursuit.due(later(case.now, 60), 9)))
        if not due:
            return
        facts = data.draw(st.sampled_from(due))
        stop = tuple(leg.delivery for leg in facts.legs)

        def act(case: Case) -> bool:
            extra: dict[str, Any] = {
                "open": {"open": (case.leg(leg=1, link=FAX),), "why": "next_leg"},
                "stop": {"stop": stop, "why": "not_needed"},
                "end": {"ending": "unanswered"},
                "wait": {"due": later(case.now, 5)},
            }[what]
            step = Advance(incident=facts.incident, version=facts.version, at=case.now, **extra)
            assert run(case.store.pursuit.advance(step))
            return run(case.store.pursuit.advance(step))

        assert self.both(act) is False  # the second time it is stale

    @rule(links=st.lists(LINKS, max_size=2), limit=st.integers(0, 3))
    def hurry(self, links: list[LinkName], limit: int) -> None:
        self.both(lambda case: run(case.store.pursuit.hurry(tuple(links), case.now, limit)))

    @rule(link=LINKS)
    def drop(self, link: LinkName) -> None:
        self.both(lambda case: run(case.store.desk.drop_link(link, case.now)))

    @rule()
    def crash(self) -> None:
        for case in self.cases:
            case.crash()
        self.begin_again()
        self.begun = []
        for link in (WEB, FAX):
            self.begun += self.both(
                lambda case, link=link: run(case.store.work.interrupted(link, case.fences[link]))
            )

    @rule()
    def forget(self) -> None:
        self.both(lambda case: run(case.store.housekeeping.forget_keys(case.now, 99)))
        self.both(lambda case: run(case.store.housekeeping.forget_texts(later(case.now, -60), 99)))

    @invariant()
    def both_hold_the_same(self) -> None:
        def everything(case: Case) -> Any:
            lists = [
                run(case.store.records.messages(client=None, state=state, limit=99, before=None))
                for state in ("all", "open", "ended", "needs_you")
            ]
            rows = [case.row(one) for one in self.stored]
            return lists, rows, run(case.store.records.counts(case.now)), case.store.intake.backlog

        lists, rows, _, backlog = self.both(everything)
        assert backlog == sum(one.state in OPEN for row in rows for one in row.deliveries)
        assert len(lists[0]) == len(lists[1]) + len(lists[2]) == len(rows)
        for row in rows:
            for one in row.deliveries:
                assert one.level >= self.levels.get(one.delivery, 0)
                self.levels[one.delivery] = one.level
        self.both(lambda case: run(case.store.pursuit.next_due()))
        self.both(lambda case: run(case.store.notices.due("helpdesk", Instant(1 << 60), 99)))
        self.both(lambda case: run(case.store.work.enquiries(WEB, Instant(1 << 60), 9)))


Twins.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestTwins = Twins.TestCase
