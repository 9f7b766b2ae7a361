"""The API over a real store: one page's story, as its sender and an administrator see it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))
from api_world import PHONE, SMS, WEB, ApiWorld, message

from gateway.api.routes import make_router
from gateway.env.simulated import run
from gateway.lifecycle import Happening
from gateway.model import Content, Instant, MessageClass, PublicId, Ref, later
from gateway.outcome import Level
from gateway.settings.types import Durability
from gateway.store.base import Advance, Begun, Concluded, NewDelivery, NewIncident, NewMessage, Verdict
from gateway.store.sqlite import SqliteStore, open_store


def page(ref: str, number: int, now: Instant) -> NewMessage:
    return NewMessage(
        public_id=PublicId(f"01jdb7q5t0{number:016d}"),
        client="monitoring",
        to=("heart-team",),
        content=Content(text="Cath lab 2"),
        message_class=MessageClass.CRITICAL,
        until=Level.ACKNOWLEDGED,
        at=now,
        expires=None,
        deliveries=(leg(0, now),),
        incident=NewIncident(key=None, plan=message(1, None).plan, due=later(now, 10)),
        refs=(Ref(ref),),
    )


def leg(index: int, now: Instant) -> NewDelivery:
    planned = message(1, None).plan[index]
    return NewDelivery(
        leg=index,
        person=planned.person,
        device=planned.device,
        address=planned.address,
        link=planned.link,
        message_class=MessageClass.CRITICAL,
        due=now,
        deadline=later(now, 900),
    )


def concluded(begun: Begun, fence: int, now: Instant, outcome: str, verdict: Verdict) -> Concluded:
    return Concluded(
        delivery=begun.delivery,
        message=begun.message,
        client=begun.client,
        lane=begun.link,
        fence=fence,
        began=begun.begun_at,
        ended=now,
        outcome=outcome,
        code="x",
        why="the line dropped",
        verdict=verdict,
    )


def test_a_page_is_followed_from_saved_to_accepted(tmp_path: Path) -> None:
    """Saved, refused for now, in doubt, decided, the next person, accepted: every answer tells it."""
    world = ApiWorld()
    env = world.env

    def do(coroutine: Any) -> Any:
        return run(env.world, coroutine)

    store: SqliteStore = do(
        open_store(tmp_path / "gateway.db", env, durability=Durability(allow_unsafe=True))
    )
    world.router = make_router(msgspec.structs.replace(world.api, records=store.records, desk=store.desk))
    look: Callable[[], Any] = lambda: world.call("GET", "/v1/messages/7k3m")[1]  # noqa: E731
    try:
        do(store.intake.accept(page("7K3M", 1, env.now())))
        assert look()["says"].startswith("Saved, not sent yet.")

        fence = do(store.work.hold((WEB, PHONE, SMS)))
        begun = do(store.work.begin(WEB, fence, limit=1, ordinary=1, now=env.now())).begun[0]
        assert look()["says"].startswith("Sending to Spok (web) for Alice Moreau's pager.")
        doubt = Verdict(happening=Happening.IN_DOUBT, due=later(env.now(), 5), then="hold", doubts=1, tries=1)
        do(store.work.conclude(concluded(begun, fence, env.now(), "in_doubt", doubt)))
        assert look()["deliveries"][0]["state"] == "doubt"

        env.world.clock.advance(10)
        do(store.work.lapse(env.now()))
        assert look()["deliveries"][0]["state"] == "needs_decision"
        stuck = world.call("GET", "/v1/stuck", uid=0)[1]
        assert stuck["needs_you"][0]["what"] == "7K3M"

        decided = world.call("POST", "/v1/messages/7K3M/decide", {"again": True}, uid=0)[1]
        assert decided["says"] == "Decided for one copy (may come twice)."
        assert "A second copy for Alice Moreau's pager" in decided["message"]["says"]

        facts = do(store.pursuit.due(env.now(), 1))[0]
        now = env.now()
        move = Advance(
            incident=facts.incident,
            version=facts.version,
            at=now,
            open=(leg(2, now),),
            due=later(now, 60),
            why="waited",
        )
        assert do(store.pursuit.advance(move))
        paused = world.call("POST", "/v1/messages/7K3M/pause", uid=0)[1]
        assert paused["changed"] == 2
        assert {d["state"] for d in paused["message"]["deliveries"]} == {"paused"}
        assert world.call("POST", "/v1/messages/7K3M/continue", uid=0)[1]["changed"] == 2

        done = world.call("POST", "/v1/messages/7K3M/acknowledge", {"by": "bob"})[1]
        assert (done["changed"], done["message"]["outcome"]) == (1, "confirmed")
        assert done["message"]["says"].startswith("Bob Ferrand has it, after 10 s")
        assert world.call("POST", "/v1/messages/7K3M/acknowledge", {"by": "alice"})[1]["changed"] == 0

        story = [line["says"] for line in world.call("GET", "/v1/messages/7K3M/why", uid=0)[1]["story"]]
        assert story[:2] == [
            "Saved on disk, from monitoring.",
            "Not sure that Spok (web) took it for Alice Moreau's pager: the line dropped. It may have arrived.",
        ]
        assert "root decided: send it again (may come twice)." in story
        assert "Paging Bob Ferrand's mobile by SMS. The way before took too long." in story
        assert story[-1] == "Done."
        numbers = [entry["n"] for entry in look()["timeline"]]
        assert numbers == sorted(set(numbers))
        assert len(world.call("GET", f"/v1/messages/7K3M/events?after={numbers[-2]}")[1]["events"]) == 1
    finally:
        do(store.close())


def test_after_the_end_nobody_can_have_it_and_it_can_be_sent_again(tmp_path: Path) -> None:
    """Stopped, too late to accept, then sent again by hand."""
    world = ApiWorld()
    env = world.env
    store: SqliteStore = run(
        env.world, open_store(tmp_path / "gateway.db", env, durability=Durability(allow_unsafe=True))
    )
    world.router = make_router(msgspec.structs.replace(world.api, records=store.records, desk=store.desk))
    try:
        for ref, number in (("7K3M", 1), ("7K9T", 2)):
            run(env.world, store.intake.accept(page(ref, number, env.now())))
        stopped = world.call("POST", "/v1/messages/7K9T/cancel", {"why": "false alarm"})[1]
        assert stopped["message"]["says"] == "Stopped by monitoring: false alarm."
        status, answer = world.call("POST", "/v1/messages/7K9T/acknowledge", {"by": "bob"})
        assert (status, answer["code"]) == (409, "already-ended")
        again = world.call("POST", "/v1/messages/7K9T/retry", uid=0)[1]
        assert (again["changed"], again["message"]["state"]) == (1, "open")
        first = world.call("GET", "/v1/messages?state=all&limit=1")[1]
        assert [m["ref"] for m in first["messages"]] == ["7K9T"]
        second = world.call("GET", f"/v1/messages?state=all&limit=1&before={first['next']}")[1]
        assert [m["ref"] for m in second["messages"]] == ["7K3M"]
    finally:
        run(env.world, store.close())
