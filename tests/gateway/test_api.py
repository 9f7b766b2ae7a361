"""The native API: who may call what, and what the answers say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from twisted.internet.defer import Deferred

from tests.peers import missing

sys.path.insert(0, str(Path(__file__).parent))
from api_world import PHONE, T0, UID, WEB, ApiWorld, delivery, event, message

from gateway import accept, route, web
from gateway.api import answers, bodies
from gateway.api.calls import Route, Who
from gateway.api.openapi import as_text
from gateway.api.ports import PathDown
from gateway.api.problems import KINDS, as_table
from gateway.api.routes import ROUTES
from gateway.errors import Conflict, Mistake, SettingsError
from gateway.lifecycle import State
from gateway.model import MessageKey, later
from gateway.outcome import Level
from gateway.settings.types import LineSettings
from gateway.web import Response

DOCS = Path(__file__).parents[2] / "docs" / "reference"
NAMES = {"{id}": "7K3M", "{link}": "spok.web", "{code}": "json.invalid", "{key}": "INC0012345"}
SAID = {"{open}": "7K3M", "{held}": "7K9T", "{ended}": "7KCP"}


@pytest.fixture
def world() -> ApiWorld:
    return ApiWorld()


def path_of(route: Route) -> str:
    path = route.path
    for name, value in NAMES.items():
        path = path.replace(name, value)
    return path + ("?target=alice" if route.query is bodies.ExplainQuery else "")


# ------------------------------------------------------------------ who may what


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_call_is_open_to_its_roles_only(route: Route) -> None:
    """Nobody, a client, another user of the machine, the daemon's own user and root, for every route."""
    callers: dict[str, dict[str, Any]] = {
        "nobody": {"token": None},
        "client": {"token": "m-token"},
        "neighbour": {"uid": UID + 1},
        "own": {"uid": UID},
        "root": {"uid": 0},
    }
    passes = {
        Who.ANYONE: {"nobody", "client", "neighbour", "own", "root"},
        Who.CLIENT: {"client", "own", "root"},
        Who.ADMINISTRATOR: {"own", "root"},
    }[route.who]
    for caller, how in callers.items():
        world = ApiWorld()
        status = world.send(world.request(route.method, path_of(route), **how)).status
        refused = 403 if caller == "client" else 401
        assert (status not in (401, 403)) if caller in passes else (status == refused), caller


def test_administrators_calls_are_what_they_should_be() -> None:
    """A route that loses its lock is noticed here."""
    assert {f"{r.method} {r.path}" for r in ROUTES if r.who is Who.ADMINISTRATOR} == {
        "GET /v1/messages/{id}/why",
        "POST /v1/messages/{id}/retry",
        "POST /v1/messages/{id}/pause",
        "POST /v1/messages/{id}/continue",
        "POST /v1/messages/{id}/decide",
        "GET /v1/links",
        "POST /v1/links/{link}/suspend",
        "POST /v1/links/{link}/resume",
        "POST /v1/links/{link}/drain",
        "POST /v1/links/{link}/probe",
        "GET /v1/links/{link}/transcript",
        "GET /v1/stuck",
        "POST /v1/sim/cut",
        "POST /v1/sim/mend",
        "POST /v1/reload",
        "GET /v1/explain",
    }
    assert {r.path for r in ROUTES if r.who is Who.ANYONE} == {
        "/livez",
        "/readyz",
        "/openapi.json",
        "/problems/{code}",
    }


@pytest.mark.parametrize("verb", ["", "/events", "/acknowledge", "/cancel"])
def test_another_clients_message_does_not_exist(world: ApiWorld, verb: str) -> None:
    """404, the same as for a message that was never there; an administrator sees all."""
    method = "GET" if verb in ("", "/events") else "POST"
    body = {"by": "bob"} if verb == "/acknowledge" else {}
    answers_ = [
        world.call(method, f"/v1/messages/{key}{verb}", body if method == "POST" else b"")
        for key in ("7KDD", "ZZZZ", "%C3%BC", "x" * 27)
    ]
    assert {status for status, _ in answers_} == {404}
    assert len({answer["detail"] for _, answer in answers_}) == 1
    assert world.call(method, f"/v1/messages/7KDD{verb}", body if method == "POST" else b"", uid=0)[0] == 200


def test_a_path_or_method_that_is_not_in_the_table_is_a_problem_document(world: ApiWorld) -> None:
    """404 and 405 look like all other errors."""
    status, answer = world.call("GET", "/v1/nothing")
    assert (status, answer["code"], answer["stored"]) == (404, "not-found", False)
    status, answer = world.call("DELETE", "/v1/messages/7K3M")
    assert (status, answer["code"]) == (405, "method-not-allowed")


def test_whoami_says_what_the_settings_grant(world: ApiWorld) -> None:
    """A developer's first call."""
    assert world.call("GET", "/v1/whoami") == (
        200,
        {
            "client": "monitoring",
            "administrator": False,
            "may_page": ["alice", "heart-team", "sms:*"],
            "classes": ["normal", "urgent", "critical", "bulk"],
            "rate": "60/min",
            "left": 59,
        },
    )
    _, admin = world.call("GET", "/v1/whoami", uid=UID)
    assert (admin["client"], admin["administrator"], admin["left"]) == (f"uid {UID}", True, None)


def test_targets_are_those_that_the_caller_may_page(world: ApiWorld) -> None:
    """Search by name or by part of a name; who may page a group may page its members, and sees no others."""
    _, found = world.call("GET", "/v1/targets")
    assert [(t["name"], t["kind"]) for t in found["targets"]] == [
        ("alice", "person"),
        ("bob", "person"),
        ("heart-team", "group"),
        ("sms:*", "carrier"),
    ]
    assert world.call("GET", "/v1/targets?q=MOREAU")[1] == {
        "targets": [{"name": "alice", "kind": "person", "says": "Alice Moreau"}],
        "more": False,
    }
    assert world.call("GET", "/v1/targets?q=carol")[1]["targets"] == []
    assert [t["name"] for t in world.call("GET", "/v1/targets?q=carol", uid=0)[1]["targets"]] == ["carol"]


# ------------------------------------------------------------------ where a message stands


def test_status_is_the_documented_object(world: ApiWorld) -> None:
    """The page of the manual, from what is on record: carrier has it, Bob is next."""
    world.shelf.put(
        message(
            5,
            "7K4M",
            level=Level.HANDED_OVER,
            deliveries=(
                delivery(50, state=State.FAILED, why="the connection was refused", connects=1, due=None),
                delivery(
                    51, leg=1, link=PHONE, state=State.TAKEN, level=Level.HANDED_OVER, tries=1, due=None
                ),
            ),
            timeline=(
                event(1, "stored", to=["heart-team"]),
                event(
                    2,
                    "attempt",
                    10,
                    50,
                    link="spok.web",
                    outcome="not_sent",
                    code="connect-timeout",
                    why="no connection in 10 s",
                ),
                event(3, "attempt", 53.58, 51, link="spok.phone", outcome="taken", level="handed_over"),
            ),
        )
    )
    world.env.world.clock.advance(72)
    status, answer = world.call("GET", "/v1/messages/7k4m")
    assert status == 200
    assert list(answer)[:6] == ["id", "ref", "state", "outcome", "level", "accepted_by"]
    assert (answer["state"], answer["outcome"], answer["level"], answer["accepted_by"]) == (
        "open",
        None,
        "handed_over",
        None,
    )
    assert (
        answer["says"]
        == "Spok has it for Alice Moreau's pager. Nobody has accepted. Bob Ferrand is paged in 48 s."
    )
    assert answer["progress"] == {
        "people": 1,
        "stored": 0,
        "handed_over": 1,
        "on_device": 0,
        "acknowledged": 0,
    }
    assert answer["next"]["does"] == "page bob"
    assert answer["next"]["why"] == "by SMS, 3 of 3 in the plan"
    assert answer["deliveries"][1] == {
        "id": "d1",
        "person": "alice",
        "device": "pager",
        "link": "spok.phone",
        "state": "taken",
        "level": "handed_over",
        "ceiling": "handed_over",
        "tries": 1,
        "connects": 0,
        "doubts": 0,
        "due_at": None,
        "second_copy": False,
        "code": None,
        "setback": None,
        "says": "Spok has it for Alice Moreau's pager.",
    }
    assert answer["timeline"][1] == {
        "n": 2,
        "at": answer["timeline"][1]["at"],
        "what": "attempt",
        "delivery": "d0",
        "link": "spok.web",
        "outcome": "not_sent",
        "code": "connect-timeout",
        "says": "Could not reach Spok (web) for Alice Moreau's pager: no connection in 10 s; nothing was sent",
    }
    assert answer["timeline"][2]["says"] == (
        "Spok (phone) took it for Alice Moreau's pager. This way cannot report back."
    )
    assert answer["timeline"][2]["at"].endswith(".580Z")


@pytest.mark.parametrize(
    ("changes", "token"),
    [
        ({"state": State.HELD}, "needs_decision"),
        ({"reason": "paused", "due": None}, "paused"),
        ({"reason": "kept_quiet"}, "kept_quiet"),
        ({}, "waiting"),
        ({"state": State.DOUBT}, "doubt"),
    ],
)
def test_three_kinds_of_waiting_have_three_tokens(
    world: ApiWorld, changes: dict[str, Any], token: str
) -> None:
    """Quiet hours, a doubt that a person must settle, and an operator's stop are different things."""
    world.shelf.put(message(6, "7K4N", deliveries=(delivery(60, **changes),)))
    assert world.call("GET", "/v1/messages/7K4N")[1]["deliveries"][0]["state"] == token


def test_an_accepted_message_says_who_has_it_and_how_long_it_took(world: ApiWorld) -> None:
    """The sentence that everybody waits for."""
    world.shelf.put(
        message(
            7,
            "7K4P",
            ending="confirmed",
            level=Level.ACKNOWLEDGED,
            accepted_by="bob",
            accepted_at=later(T0, 41),
        )
    )
    _, answer = world.call("GET", "/v1/messages/7K4P")
    assert answer["says"] == "Bob Ferrand has it, after 41 s."
    assert answer["accepted_by"] == "bob"
    assert answer["progress"]["acknowledged"] == 1
    assert answer["next"] is None


def test_a_long_poll_ends_when_the_level_is_reached(world: ApiWorld) -> None:
    """A ring wakes it; until then it waits without asking."""
    results: list[Response] = []
    waiting = Deferred.fromCoroutine(
        world.router(world.request("GET", "/v1/messages/7K3M?wait=60&until=acknowledged"))
    )
    waiting.addCallback(results.append)
    world.env.world.clock.advance(3)
    world.bell.ring(MessageKey(1))  # nothing changed: it waits on
    assert results == []
    world.shelf.change(MessageKey(1), accepted_by="bob", level=Level.ACKNOWLEDGED, ending="confirmed")
    world.bell.ring(MessageKey(1))
    assert msgspec.json.decode(results[0].body)["accepted_by"] == "bob"


def test_a_long_poll_finds_out_without_a_ring(world: ApiWorld) -> None:
    """A lost ring costs seconds, not the answer."""
    results: list[Response] = []
    waiting = Deferred.fromCoroutine(world.router(world.request("GET", "/v1/messages/7K3M?wait=60")))
    waiting.addCallback(results.append)
    world.shelf.change(MessageKey(1), ending="unanswered")
    world.env.world.clock.advance(4.9)
    assert results == []
    world.env.world.clock.advance(0.2)
    assert msgspec.json.decode(results[0].body)["outcome"] == "unanswered"


def test_a_long_poll_ends_after_its_time_with_what_there_is(world: ApiWorld) -> None:
    """Nothing happened: the answer says so, and nothing is left behind."""
    before = world.env.now()
    status, answer = world.call("GET", "/v1/messages/7K3M?wait=60&until=read")
    assert (status, answer["state"]) == (200, "open")
    assert world.env.now() - before == 60_000_000
    assert world.bell._waiting == {}


def test_a_long_poll_ends_when_the_caller_leaves(world: ApiWorld) -> None:
    """Who hung up, and a gateway that stops, are not waited for."""
    results: list[Response] = []
    request = world.request("GET", "/v1/messages/7K3M?wait=60")
    Deferred.fromCoroutine(world.router(request)).addCallback(results.append)
    request.leave()
    assert results[0].status == 200
    assert world.bell._waiting == {}


def test_a_long_poll_waits_on_for_proof_after_the_end(world: ApiWorld) -> None:
    """Done means "the carrier has it" for many messages; proof that it arrived may still come."""
    results: list[Response] = []
    world.shelf.change(MessageKey(1), ending="confirmed", level=Level.HANDED_OVER)
    waiting = Deferred.fromCoroutine(
        world.router(world.request("GET", "/v1/messages/7K3M?wait=60&until=on_device"))
    )
    waiting.addCallback(results.append)
    assert results == []
    world.shelf.change(MessageKey(1), level=Level.ON_DEVICE)
    world.bell.ring(MessageKey(1))
    assert msgspec.json.decode(results[0].body)["level"] == "on_device"


@pytest.mark.parametrize("query", ["wait=61", "wait=-1", "wait=nan", "wait=x", "until=delivered"])
def test_a_long_poll_is_bounded(world: ApiWorld, query: str) -> None:
    """At most a minute, and only for words that exist."""
    status, answer = world.call("GET", f"/v1/messages/7K3M?{query}")
    assert (status, answer["code"]) == (400, "query.value")
    assert answer["errors"][0]["pointer"] == "?" + query.partition("=")[0]


def test_events_are_the_timeline_from_a_number_on(world: ApiWorld) -> None:
    """Who has seen event n asks for those after it."""
    world.shelf.change(MessageKey(1), timeline=(event(1, "stored"), event(2, "paused", by="dana")))
    _, answer = world.call("GET", "/v1/messages/7K3M/events?after=1")
    assert [(e["n"], e["what"], e["says"]) for e in answer["events"]] == [(2, "paused", "Held back by dana")]


def test_lists_are_pages_of_ones_own_messages(world: ApiWorld) -> None:
    """Newest first; `next` leads on; another client's cursor is refused."""
    _, first = world.call("GET", "/v1/messages?state=all&limit=2")
    assert [m["ref"] for m in first["messages"]] == ["7KCP", "7K9T"]
    _, second = world.call("GET", f"/v1/messages?state=all&limit=2&before={first['next']}")
    assert ([m["ref"] for m in second["messages"]], second["next"]) == (["7K3M"], None)
    assert world.call("GET", "/v1/messages?before=7KDD")[0] == 400
    assert world.call("GET", "/v1/messages?state=all", uid=0)[1]["messages"][0]["ref"] == "7KDD"
    assert world.call("GET", "/v1/messages?limit=201")[0] == 400


# ------------------------------------------------------------------ what people do


def test_acknowledge_needs_a_person(world: ApiWorld) -> None:
    """A program cannot have a message; only people of the settings can."""
    for body, code in (
        ({}, "person-required"),
        ({"by": None}, "person-required"),
        ({"by": "mallory"}, "unknown-person"),
    ):
        for who in ({"token": "m-token"}, {"uid": 0}):
            status, answer = world.call("POST", "/v1/messages/7K3M/acknowledge", body, **who)
            assert (status, answer["code"]) == (422, code)
            assert answer["errors"][0]["pointer"] == "#/by"


def test_acknowledge_is_recorded_with_who_wrote_it_down(world: ApiWorld) -> None:
    """Who has it, who says so, and through which client."""
    rung = world.bell.wait("pursue")
    body = {"by": "bob", "note": "on his way", "recorded_by": "dana"}
    status, answer = world.call("POST", "/v1/messages/7K3M/acknowledge", body)
    assert (status, answer["changed"], answer["says"]) == (200, 1, "Bob Ferrand has it.")
    assert answer["message"]["accepted_by"] == "bob"
    assert world.shelf.done == [("acknowledge", "bob", "on his way", "dana (monitoring)")]
    assert rung.called


def test_acknowledge_again_says_who_has_it(world: ApiWorld) -> None:
    """The first one keeps it."""
    world.call("POST", "/v1/messages/7K3M/acknowledge", {"by": "bob"})
    status, answer = world.call("POST", "/v1/messages/7K3M/acknowledge", {"by": "alice"})
    assert (status, answer["changed"], answer["says"]) == (200, 0, "Bob Ferrand had it already.")


def test_acknowledge_after_the_end_is_a_conflict_that_tells_the_end(world: ApiWorld) -> None:
    """Too late is said, with how it ended."""
    status, answer = world.call("POST", "/v1/messages/7KCP/acknowledge", {"by": "bob"})
    assert (status, answer["code"]) == (409, "already-ended")
    assert answer["detail"] == (
        "It has ended, and nobody had it. Could not be sent. "
        "Spok (web) did not take it for Alice Moreau's pager: unknown pager 5551212."
    )


def test_cancel_stops_and_says_that_something_may_still_arrive(world: ApiWorld) -> None:
    """Twice is as good as once."""
    status, answer = world.call("POST", "/v1/messages/7K3M/cancel", {"why": "false alarm"})
    assert (status, answer["changed"]) == (200, 1)
    assert "may still arrive" in answer["says"]
    assert answer["message"]["says"] == "Stopped by monitoring: false alarm."
    assert world.call("POST", "/v1/messages/7K3M/cancel")[1]["changed"] == 0


def test_operators_verbs_reach_the_record_under_their_name(world: ApiWorld) -> None:
    """Each is durable before its effect and names who did it; the ways out are woken."""
    rung = world.bell.wait(WEB)
    for ref, verb, body, changed in (
        ("7KCP", "retry", {}, 1),
        ("7K3M", "pause", b"", 1),
        ("7K3M", "continue", {}, 0),
        ("7K9T", "decide", {"again": False}, 1),
    ):
        status, answer = world.call("POST", f"/v1/messages/{ref}/{verb}", body, uid=0)
        assert (status, answer["changed"]) == (200, changed)
    assert world.shelf.done == [
        ("retry", "root", 900_000_000),
        ("pause", "root"),
        ("continue", "root"),
        ("decide", False, "root"),
    ]
    assert rung.called
    assert world.call("POST", "/v1/messages/7K9T/decide", {}, uid=0)[1]["code"] == "field.missing"


def test_what_the_record_cannot_do_any_more_is_a_conflict(world: ApiWorld) -> None:
    """A text that was forgotten cannot be sent again; the record's own words say so."""

    async def forgotten(*args: Any, **rest: Any) -> int:
        raise Conflict("the text of this message is not kept any more")

    world.shelf.retry = forgotten  # type: ignore[method-assign]
    status, answer = world.call("POST", "/v1/messages/7KCP/retry", uid=0)
    assert (status, answer["code"], answer["stored"]) == (409, "conflict", False)
    assert answer["detail"] == "Not possible: the text of this message is not kept any more."


def test_a_policy_that_settled_a_doubt_is_not_a_person(world: ApiWorld) -> None:
    """`by` in a timeline always names somebody."""
    told = (event(1, "stored"), event(2, "doubt_settled", 5, 10, then="resend"))
    world.shelf.change(MessageKey(1), timeline=told)
    entry = world.call("GET", "/v1/messages/7K3M/events")[1]["events"][1]
    assert "by" not in entry
    assert entry["says"] == "Spok (web) never confirmed for Alice Moreau's pager; a second copy goes out"


def test_a_transcript_is_not_for_clients(world: ApiWorld) -> None:
    """What was said on the wire stays with the operators."""
    told = (event(1, "stored"), event(2, "attempt", 5, 10, outcome="refused", transcript="550 secret"))
    world.shelf.change(MessageKey(1), timeline=told)
    for path in ("", "/events"):
        assert b"550 secret" not in world.send(world.request("GET", f"/v1/messages/7K3M{path}")).body
    story = world.call("GET", "/v1/messages/7K3M/why", uid=0)[1]["story"]
    assert [line["transcript"] for line in story] == [None, ["550 secret"]]


# ------------------------------------------------------------------ one trouble

INC = "/v1/incidents/INC0012345"


def test_an_incident_is_shown_with_its_messages(world: ApiWorld) -> None:
    """By the sender's own name, or by any message of it."""
    status, answer = world.call("GET", INC)
    assert status == 200
    assert (answer["key"], answer["state"], answer["class"], answer["from"], answer["count"]) == (
        "INC0012345",
        "open",
        "critical",
        "monitoring",
        1,
    )
    assert answer["muted_until"] is None
    assert [one["ref"] for one in answer["messages"]] == ["7K3M"]
    assert world.call("GET", "/v1/incidents/7K3M") == (200, answer)
    assert world.call("GET", f"/v1/incidents/{answer['id']}") == (200, answer)


@pytest.mark.parametrize("verb", ["", "/acknowledge", "/resolve", "/mute"])
def test_another_clients_incident_does_not_exist(world: ApiWorld, verb: str) -> None:
    """404, the same as for one that was never there."""
    world.shelf.change(MessageKey(4), incident_key="THEIRS")
    body = {"/acknowledge": {"by": "bob"}, "/mute": {"for": 60, "by": "bob"}}.get(verb, {})
    method = "POST" if verb else "GET"
    for key in ("THEIRS", "7KDD", "NONE", "x" * 256, "%C3%BC"):
        status, answer = world.call(method, f"/v1/incidents/{key}{verb}", body if verb else b"")
        assert (status, answer["detail"]) == (404, "There is no such incident of yours.")
    assert world.shelf.done == []


def test_acknowledging_an_incident_is_acknowledging_all_of_it(world: ApiWorld) -> None:
    """With the body of a message's verb, and its refusals."""
    assert world.call("POST", f"{INC}/acknowledge", {})[1]["code"] == "person-required"
    assert world.call("POST", f"{INC}/acknowledge", {"by": "mallory"})[1]["code"] == "unknown-person"
    status, answer = world.call("POST", f"{INC}/acknowledge", {"by": "bob", "recorded_by": "dana"})
    assert (status, answer["changed"], answer["says"]) == (200, 1, "Bob Ferrand has it.")
    assert (answer["incident"]["accepted_by"], answer["incident"]["outcome"]) == ("bob", "confirmed")
    assert world.shelf.done == [("acknowledge", "bob", None, "dana (monitoring)")]
    assert world.call("POST", f"{INC}/acknowledge", {"by": "alice"})[1]["changed"] == 0
    status, answer = world.call("POST", "/v1/incidents/7KCP/acknowledge", {"by": "bob"})
    assert (status, answer["code"]) == (409, "already-ended")


def test_resolving_says_that_the_trouble_is_over(world: ApiWorld) -> None:
    """A program may, and may name a person; a repeat is no error."""
    rung = world.bell.wait("pursue")
    assert world.call("POST", f"{INC}/resolve", {"by": "mallory"})[1]["code"] == "unknown-person"
    status, answer = world.call("POST", f"{INC}/resolve", {"by": "bob", "why": "disk was changed"})
    assert (status, answer["changed"], answer["incident"]["outcome"]) == (200, 1, "cancelled")
    assert answer["says"].startswith("Over: nobody else is paged.")
    assert answer["incident"]["says"] == "The trouble is over, says Bob Ferrand: disk was changed."
    assert world.shelf.done == [("resolve", "bob", "monitoring", "disk was changed")]
    assert rung.called
    status, answer = world.call("POST", f"{INC}/resolve")
    assert (status, answer["changed"], answer["says"]) == (200, 0, "It had ended.")


def test_what_is_critical_is_muted_only_on_purpose(world: ApiWorld) -> None:
    """By a named human, who says so."""
    status, answer = world.call("POST", f"{INC}/mute", {"for": "30m", "by": "bob"})
    assert (status, answer["code"], answer["stored"]) == (409, "critical-not-muted", False)
    assert world.shelf.done == []
    body = {"for": "30m", "by": "bob", "even_critical": True}
    status, answer = world.call("POST", f"{INC}/mute", body)
    assert (status, answer["changed"]) == (200, 1)
    assert answer["says"] == f"Nobody else is paged before {clock(1800)}. What was begun goes on."
    assert f"Muted until {clock(1800)}." in answer["incident"]["says"]
    assert answer["incident"]["muted_until"] is not None
    assert f"Muted until {clock(1800)}." in world.call("GET", "/v1/messages/7K3M")[1]["says"]
    world.env.world.clock.advance(1801)
    assert world.call("GET", INC)[1]["muted_until"] is None


def test_a_mute_ends_with_0(world: ApiWorld) -> None:
    """Also of what is critical: being heard again needs no second thought."""
    world.shelf.change(MessageKey(1), muted_until=later(T0, 60))
    status, answer = world.call("POST", f"{INC}/mute", {"for": 0, "by": "bob"})
    assert (status, answer["says"], answer["incident"]["muted_until"]) == (200, "Not muted any more.", None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"by": "bob"}, "field.missing"),
        ({"for": "soon", "by": "bob"}, "mute.for"),
        ({"for": -1, "by": "bob"}, "mute.for"),
        ({"for": "25h", "by": "bob"}, "mute.for"),
        ({"for": 1e300, "by": "bob"}, "mute.for"),
        ({"for": True, "by": "bob"}, "field.type"),
        ({"for": "30m"}, "person-required"),
        ({"for": "30m", "by": "mallory"}, "unknown-person"),
        ({"for": "30m", "by": "bob", "even_critical": "yes"}, "field.type"),
    ],
)
def test_a_mute_is_bounded_and_named(world: ApiWorld, body: dict[str, Any], code: str) -> None:
    """Nobody silences a page without a name, or for ever."""
    status, answer = world.call("POST", f"{INC}/mute", body)
    assert (status, answer["code"]) == (422, code)
    assert world.shelf.done == []


def test_what_has_ended_is_not_muted(world: ApiWorld) -> None:
    """It says how it ended."""
    body = {"for": "30m", "by": "bob", "even_critical": True}
    status, answer = world.call("POST", "/v1/incidents/7KCP/mute", body)
    assert (status, answer["code"]) == (409, "already-ended")
    assert answer["detail"].startswith("Could not be sent.")


# ------------------------------------------------------------------ running the gateway


def test_readyz_says_why_not(world: ApiWorld) -> None:
    """A load balancer reads the status, a person the reasons."""
    assert world.call("GET", "/livez", token=None) == (200, {"live": True})
    assert world.call("GET", "/readyz", token=None) == (200, {"ready": True, "reasons": []})
    world.desk.ready = False
    assert world.call("GET", "/readyz", token=None) == (
        503,
        {"ready": False, "reasons": ["store-full"]},
    )
    assert world.call("GET", "/v1/health")[1]["reasons"] == ["The disk is nearly full."]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_watchers_may_ask_with_head(world: ApiWorld, path: str) -> None:
    """The status is what they look at."""
    assert world.send(world.request("HEAD", path)).status == 200
    if path == "/readyz":
        world.desk.ready = False
        assert world.send(world.request("HEAD", path, token=None)).status == 503


def test_metrics_are_text_for_prometheus(world: ApiWorld) -> None:
    """In the format that the scraper asks for; a token is needed, as everywhere."""
    plain = world.send(world.request("GET", "/metrics"))
    assert dict(plain.headers)["Content-Type"].startswith("text/plain; version=")
    assert b"gateway_build_info" in plain.body
    asked = world.send(world.request("GET", "/metrics", accept="application/openmetrics-text; version=1.0.0"))
    assert dict(asked.headers)["Content-Type"].startswith("application/openmetrics-text")
    assert asked.body.endswith(b"# EOF\n")


def test_an_acknowledgement_is_counted_once_with_its_time(world: ApiWorld) -> None:
    """From the message's arrival, by class; a repeat counts nothing."""
    world.env.world.clock.advance(41)
    for by in ("bob", "alice"):
        world.call("POST", "/v1/messages/7K3M/acknowledge", {"by": by})
    page = world.send(world.request("GET", "/metrics")).body.decode()
    name = 'gateway_time_to_level_seconds_{}{{class="critical",{}level="acknowledged"}} {}'
    assert name.format("count", "", "1.0") in page
    assert name.format("bucket", 'le="30.0",', "0.0") in page
    assert name.format("bucket", 'le="60.0",', "1.0") in page


def test_health_tells_since_when_it_runs(world: ApiWorld) -> None:
    """Version, settings, durability, backlog."""
    world.env.world.clock.advance(90)
    _, answer = world.call("GET", "/v1/health")
    assert answer["up_seconds"] == 90
    assert (answer["durability"], answer["backlog"], answer["generation"]) == ("disk", 3, 1)


def test_links_say_how_they_do(world: ApiWorld) -> None:
    """One sentence each, and the figures."""
    _, answer = world.call("GET", "/v1/links", uid=0)
    web, phone, sms = answer["links"]
    assert web["says"] == f"Spok (web) is resting 40 s after 5 failures; next test at {clock(40)}."
    assert web["waiting"] == {"critical": 1, "normal": 2}
    assert phone["says"] == f"Spok (phone) does not work since {clock(0)} (4 times): no dial tone."
    assert sms["says"] == "SMS works; it last took a page 0 s ago."
    assert sms["ceiling"] == "on_device"


def test_modem_lines_stand_beside_the_links(world: ApiWorld) -> None:
    """Which one fails since when, how often, and who has its calls."""
    _, answer = world.call("GET", "/v1/links", uid=0)
    bad, good = answer["lines"]
    assert (bad["line"], bad["pool"], bad["state"], bad["times"], bad["moved"]) == (
        "modem-1",
        "modems",
        "failing",
        4,
        3,
    )
    assert bad["since"] == "2027-01-01T00:00:00Z"
    assert bad["says"] == f"No dial tone since {clock(0)} (4 calls). Its calls go by modem-2, 3 so far."
    assert (good["state"], good["since"], good["says"]) == ("in_use", None, "A call is made by it.")


def clock(seconds: float) -> str:
    from gateway.api.times import clock as words
    from gateway.api.times import zone_of

    return words(later(T0, seconds), zone_of("Europe/Paris"), T0)


@pytest.mark.parametrize(
    ("verb", "mode"), [("suspend", "suspended"), ("resume", "open"), ("drain", "draining")]
)
def test_links_are_switched_by_name(world: ApiWorld, verb: str, mode: str) -> None:
    """By whom and why is kept; the answer is how the link does now."""
    status, answer = world.call("POST", f"/v1/links/spok.web/{verb}", {"why": "they asked us"}, uid=0)
    assert (status, answer["mode"]) == (200, mode)
    assert world.desk.orders == [("spok.web", mode, "root", "they asked us")]
    assert world.call("POST", f"/v1/links/spok.fax/{verb}", uid=0)[1]["code"] == "unknown-link"


def test_a_path_of_a_demo_is_cut_and_mended(world: ApiWorld) -> None:
    """For a time or until it is mended; the answer says which ways out that concerns."""
    status, answer = world.call("POST", "/v1/sim/cut", {"path": "internet", "for": "60s"}, uid=0)
    assert (status, answer) == (
        200,
        {
            "path": "internet",
            "cut": True,
            "until": "2027-01-01T00:01:00Z",
            "links": ["spok.web", "sms.smpp"],
            "says": f"The Internet is cut until {clock(60)}: nothing goes out by spok.web, sms.smpp.",
        },
    )
    answer = world.call("POST", "/v1/sim/cut", {"path": "phone", "refuse": True}, uid=0)[1]
    assert (answer["until"], answer["links"]) == (None, ["spok.phone"])
    answer = world.call("POST", "/v1/sim/mend", {"path": "phone"}, uid=0)[1]
    assert (answer["cut"], answer["says"]) == (False, "The phone network is whole: spok.phone can go out.")
    answer = world.call("POST", "/v1/sim/cut", {"path": "cell", "for": 1.5}, uid=0)[1]
    assert answer["says"].endswith(": no way out uses it.")
    assert world.paths.orders == [
        ("cut", "internet", 60.0, False),
        ("cut", "phone", None, True),
        ("mend", "phone"),
        ("cut", "cell", 1.5, False),
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"path": "internet", "for": 0}, "cut.for"),
        ({"path": "internet", "for": "soon"}, "cut.for"),
        ({"path": "internet", "for": "25h"}, "cut.for"),
        ({"path": "road"}, "field.value"),
        ({}, "field.missing"),
    ],
)
def test_what_cannot_be_cut_is_said(world: ApiWorld, body: dict[str, Any], code: str) -> None:
    """And nothing is cut."""
    status, answer = world.call("POST", "/v1/sim/cut", body, uid=0)
    assert (status, answer["code"], world.paths.orders) == (422, code, [])


@pytest.mark.parametrize("verb", ["cut", "mend"])
def test_a_gateway_with_real_carriers_cannot_be_cut(verb: str) -> None:
    """404, in a sentence."""
    status, answer = ApiWorld(demo=False).call("POST", f"/v1/sim/{verb}", {"path": "internet"}, uid=0)
    assert (status, answer["code"]) == (404, "not-a-demo")
    assert answer["detail"] == "This gateway talks to real carriers; only a demo can be cut."


def test_probe_tells_what_was_found(world: ApiWorld) -> None:
    """Without sending a message."""
    assert world.call("POST", "/v1/links/sms.smpp/probe", uid=0)[1] == {
        "link": "sms.smpp",
        "reached": True,
        "says": "It answers.",
        "capabilities": {"version": "1.3"},
    }


def test_a_modem_line_is_probed_by_its_name(world: ApiWorld) -> None:
    """As a link is; what is neither is told so."""
    line = LineSettings(pool="modems", serial="/dev/ttyS0")
    desk = world.desk
    desk.now_settings = msgspec.structs.replace(desk.now_settings, lines={"modem-1": line})
    status, answer = world.call("POST", "/v1/links/modem-1/probe", uid=0)
    assert (status, answer["link"], answer["reached"]) == (200, "modem-1", True)
    assert world.call("POST", "/v1/links/modem-2/probe", uid=0)[1]["code"] == "unknown-link"


def test_stuck_lists_what_needs_somebody_and_what_does_not(world: ApiWorld) -> None:
    """Worst first, each with the commands that help."""
    world.shelf.put(message(8, "7K5M", ending="unanswered", incident_due=None))
    _, answer = world.call("GET", "/v1/stuck", uid=0)
    assert answer["says"] == "4 things need you"
    assert [(item["what"], item["commands"][0]) for item in answer["needs_you"]] == [
        ("7K5M", "gateway queue retry 7K5M"),
        ("7K9T", "gateway queue decide 7K9T --again"),
        ("spok.phone", "gateway probe spok.phone"),
        ("modem-1", "gateway probe modem-1"),
    ]
    link, line = answer["needs_you"][2:]
    assert (link["kind"], link["times"], link["since"]) == ("link", 4, "2027-01-01T00:00:00Z")
    assert link["does"] == "No other way to Spok works: pages go by other carriers, or wait."
    assert line == {
        "what": "modem-1",
        "kind": "line",
        "class": None,
        "since": "2027-01-01T00:00:00Z",
        "times": 4,
        "says": f"No dial tone since {clock(0)} (4 calls).",
        "does": "Its calls go by modem-2, 3 so far.",
        "advice": "check the telephone cable",
        "commands": ["gateway probe modem-1"],
    }
    assert answer["needs_you"][1]["says"] == (
        "It may have gone to Alice Moreau's pager. Send again (may come twice) or leave it?"
    )
    assert answer["needs_you"][0]["says"].startswith("NOBODY HAS ACCEPTED.")
    assert answer["waiting"][0]["count"] == 3
    assert answer["waiting"][0]["says"].startswith(
        f"1 critical page, 2 normal pages wait for Spok (web), the oldest since {clock(0)}. Spok (web) is resting"
    )
    assert answer["zone"] == "Europe/Paris"


def test_a_line_that_failed_once_is_no_thing_of_somebodys(world: ApiWorld) -> None:
    """Two calls may be a cable that somebody is plugging in; three need you, also where nothing stands in."""
    bad, good = world.desk.modem_lines
    assert bad.trouble is not None

    def lines(calls: int, code: str) -> list[dict[str, Any]]:
        trouble = replace(bad.trouble, calls=calls, code=code)
        world.desk.modem_lines = (replace(bad, trouble=trouble), replace(good, pool="other"))
        items = world.call("GET", "/v1/stuck", uid=0)[1]["needs_you"]
        return [item for item in items if item["kind"] == "line"]

    assert lines(2, "modem") == []
    (line,) = lines(3, "modem")
    assert line["says"] == f"The modem says NO DIALTONE since {clock(0)} (3 calls)."
    assert line["does"] == "No other line of modems works: pages go other ways, or wait."
    for code in ("port-missing", "port-busy", "port-denied", "port-broken"):
        assert lines(3, code)[0]["advice"], code


def test_stuck_says_that_the_internet_is_down(world: ApiWorld) -> None:
    """Since when, and how pages go instead; one way out alone may be the carrier's fault, which is said."""
    web, phone, sms = world.desk.links
    world.desk.links = (web, replace(phone, state="idle"), replace(sms, state="resting"))

    def internet(links: int) -> dict[str, Any]:
        world.desk.down = (PathDown(path="internet", since=T0, links=links),)
        item: dict[str, Any] = world.call("GET", "/v1/stuck", uid=0)[1]["needs_you"][1]
        return item

    item = internet(2)
    assert (item["kind"], item["what"], item["since"]) == ("path", "internet", "2027-01-01T00:00:00Z")
    assert item["says"] == f"The Internet is down since {clock(0)}: going by phone."
    assert item["commands"] == ["gateway probe spok.web"]
    only = f"The only way out over the Internet rests since {clock(0)}: going by phone."
    assert internet(1)["says"] == only
    assert world.call("GET", "/v1/links", uid=0)[1]["down"][0]["says"] == only.rstrip(".")
    world.desk.links = (web, phone, replace(sms, state="resting"))
    assert internet(2)["says"].endswith(": no other way out works.")


def test_why_tells_the_story_and_what_comes_next(world: ApiWorld) -> None:
    """A closed way out is part of the story."""
    world.shelf.change(
        MessageKey(1),
        deliveries=(delivery(10, connects=2, due=later(T0, 40), why="connection refused", dup_risk=True),),
        timeline=(
            event(1, "stored"),
            event(2, "attempt", 1, 10, link=WEB, outcome="not_sent", why="connection refused"),
        ),
    )
    _, answer = world.call("GET", "/v1/messages/7K3M/why", uid=0)
    assert [line["says"] for line in answer["story"]] == [
        "Saved on disk, from monitoring.",
        "Could not reach Spok (web) for Alice Moreau's pager: connection refused; nothing was sent.",
    ]
    assert answer["now"] == [
        f"A second copy for Alice Moreau's pager goes to Spok (web) at {clock(40)} (connection refused). "
        "Nobody has accepted.",
        f"Spok (web) is resting 40 s after 5 failures; next test at {clock(40)}.",
        f"Next, at {clock(40)}: try again (try 3 by Spok (web)).",
    ]


def test_reload_answers_the_new_generation_or_every_mistake(world: ApiWorld) -> None:
    """An invalid file changes nothing."""
    assert world.call("POST", "/v1/reload", uid=0) == (
        200,
        {
            "generation": 2,
            "warnings": ["a gap in a rota"],
            "says": "Settings 2 are in effect, with a warning.",
        },
    )
    mistake = Mistake(
        file="a.yaml", line=3, column=5, path="site.zone", what="No such zone.", remedy="Write UTC."
    )
    world.desk.reload_error = SettingsError((mistake,))
    status, answer = world.call("POST", "/v1/reload", uid=0)
    assert (status, answer["code"]) == (422, "settings-invalid")
    assert answer["errors"] == [
        {
            "pointer": "site.zone",
            "code": "settings-invalid",
            "detail": "a.yaml:3:5: site.zone: No such zone. Write UTC.",
            "line": 3,
            "column": 5,
        }
    ]


def test_explain_says_who_when_and_why(world: ApiWorld) -> None:
    """Also for a time that is not now; in the site's zone."""
    _, answer = world.call("GET", "/v1/explain?target=alice&class=urgent&at=2026-11-22T02:00:00Z", uid=0)
    assert answer["plan"][0]["says"].endswith("03:00 Alice Moreau's pager by Spok (web): first device")
    assert (answer["at"], answer["class"]) == ("2026-11-22T02:00:00Z", "urgent")
    assert world.call("GET", "/v1/explain?target=nobody", uid=0)[1]["code"] == "unknown-target"
    assert world.call("GET", "/v1/explain?target=alice&at=2026-11-22T02:00:00", uid=0)[0] == 400
    assert world.call("GET", "/v1/explain", uid=0)[1]["detail"] == "target is required."


# ------------------------------------------------------------------ the documents


@pytest.mark.parametrize(
    ("route", "example"),
    [(route, example) for route in ROUTES for example in route.examples],
    ids=lambda it: f"{it.method} {it.path}" if isinstance(it, Route) else it.name,
)
def test_every_example_does_what_the_manual_says(route: Route, example: Any) -> None:
    """Each example is sent; its status and the shape of its answer are those of the description."""
    world = ApiWorld()
    path = example.path
    for name, ref in SAID.items():
        path = path.replace(name, ref)
    how: dict[str, Any] = {"uid": 0} if route.who is Who.ADMINISTRATOR else {}
    body = b"" if example.body is None else example.body
    headers = {name.lower().replace("-", "_"): value for name, value in example.headers.items()}
    answer = world.send(world.request(route.method, path, body, **how, **headers))
    assert answer.status == example.status
    if example.headers.get("Accept") == "text/event-stream":
        assert dict(answer.headers)["Content-Type"] == "text/event-stream"
        assert b"id: 1\nevent: stored\ndata: {" in answer.body
        return
    if route.answer is str:
        assert dict(answer.headers)["Content-Type"].startswith(route.media)
        return
    kind = route.answer if answer.status < 300 else answers.Problem
    strict = (
        msgspec.defstruct("Exact", [], bases=(kind,), forbid_unknown_fields=True, frozen=True)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        else dict
    )
    msgspec.json.decode(answer.body, type=strict)


def test_every_problem_code_of_a_route_is_in_the_table() -> None:
    """A code that a caller may get is documented, and its page exists."""
    world = ApiWorld()
    for code in {code for call in ROUTES for code in call.problems}:
        status, kind = world.call("GET", f"/problems/{code}", token=None)
        assert (status, kind["code"], kind["status"]) == (200, code, KINDS[code].status)
    assert world.call("GET", "/problems/nonsense", token=None)[0] == 404


def test_openapi_is_served_as_it_is_documented(world: ApiWorld) -> None:
    """The file in the docs is the document of this version. To renew it: see docs/reference/api.md."""
    status, served = world.call("GET", "/openapi.json", token=None)
    assert status == 200
    text = (DOCS / "openapi.json").read_text()
    assert text == as_text(ROUTES)
    assert msgspec.json.decode(text) == served
    assert served["openapi"] == "3.1.0"
    references = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert references <= set(served["components"]["schemas"])


def test_the_problems_page_is_printed_from_the_table() -> None:
    """A code without documentation fails here."""
    assert as_table() in (DOCS / "problems.md").read_text()


def test_the_api_page_lists_every_route() -> None:
    """A call without documentation fails here."""
    page = (DOCS / "api.md").read_text()
    for call in ROUTES:
        assert f"| `{call.method}` | `{call.path}` | {call.says} | {call.who.value} |" in page


def test_every_code_of_the_rooms_below_is_documented() -> None:
    """The HTTP server, accept and route refuse too; what their codes mean is in the same table."""
    rooms = [*Path(web.__file__).parent.glob("*.py"), Path(accept.__file__), Path(route.__file__)]
    source = "".join(room.read_text() for room in rooms)
    codes = set(re.findall(r'(?:code=|SubmissionError\(\s*\d+,\s*|return fault\()"([a-z._-]+)"', source))
    assert {"body-too-large", "unknown-target", "queue-full", "address.pattern"} <= codes
    assert codes <= set(KINDS)


# ------------------------------------------------------------------ on a real socket


def test_curl_as_a_developer_types_it() -> None:
    """The first line of the manual, with curl's own content type, against a real server."""
    curl = shutil.which("curl")
    if curl is None:
        missing("curl is not installed")
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "api_world.py")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        url = f"http://127.0.0.1:{port}/v1/messages"
        ask = [curl, "-sS", "-i", "--max-time", "20", "-H", "Authorization: Bearer m-token", url]
        stored = subprocess.run(
            [*ask, "-d", '{"to":"alice","text":"hello from curl"}'], capture_output=True, text=True
        ).stdout
        assert stored.startswith("HTTP/1.1 202 ")
        assert '"ref":"7K3M"' in stored
        misspelt = subprocess.run(
            [*ask, "-d", '{"to":"alice","txt":"x"}'], capture_output=True, text=True
        ).stdout
        assert "application/problem+json" in misspelt
        assert "Did you mean text?" in misspelt
        packed = subprocess.run(
            [*ask, "-d", "x", "-H", "Content-Encoding: gzip"], capture_output=True, text=True
        ).stdout
        assert packed.startswith("HTTP/1.1 415 ")  # B19: nothing is ever unpacked
    finally:
        server.terminate()
        server.wait(20)
