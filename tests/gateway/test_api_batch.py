"""Many messages in one request: each is answered on its own, as a single one would be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

sys.path.insert(0, str(Path(__file__).parent))
from api_world import ApiWorld

from gateway.adapters.base import Accepted, Client, Submission
from gateway.api.batch import AT_ONCE
from gateway.errors import StoreFailed, StoreFull, SubmissionError

URL = "/v1/messages/batch"
LINES = {"content_type": "application/x-ndjson"}


@pytest.fixture
def world() -> ApiWorld:
    return ApiWorld()


def item(key: str, **changes: Any) -> dict[str, Any]:
    return {"key": key, "to": "alice", "text": "hello"} | changes


def lines(*items: Any) -> bytes:
    return b"".join(msgspec.json.encode(one) + b"\n" for one in items)


def refuse_texts(world: ApiWorld, *texts: str) -> None:
    """The gateway refuses messages with these texts, and takes the others."""
    take = world.desk.submit

    async def submit(client: Client, submission: Submission) -> Accepted:
        if submission.content.text in texts:
            raise SubmissionError(422, "unknown-target", "nobody of that name")
        return await take(client, submission)

    world.desk.submit = submit  # type: ignore[method-assign]


def stored(world: ApiWorld) -> list[str | None]:
    """Keys of what was stored, in order."""
    return [one.idempotency_key for _, one in world.desk.submissions if not one.dry_run]


BAD = (
    (item("k", text="a\0"), "text.control_char"),
    (item("k", prioritty="high"), "field.unknown"),
    ({"to": "alice", "text": "hello"}, "field.missing"),
    (item(""), "idempotency_key.invalid"),
    (item("k" * 256), "idempotency_key.invalid"),
    (item("k\n"), "idempotency_key.invalid"),
    (item("k", to=[]), "to.empty"),
    (5, "field.type"),
    (None, "field.type"),
    ([], "field.type"),
)


@pytest.mark.parametrize(("bad", "code"), BAD)
@pytest.mark.parametrize("how", ["json", "ndjson"])
def test_b22_one_bad_message_never_fails_the_others(world: ApiWorld, bad: Any, code: str, how: str) -> None:
    """The good ones are stored; the bad one gets the very problem that it would get alone."""
    items = [item("a"), bad, item("b")]
    body: Any = {"messages": items} if how == "json" else lines(*items)
    status, answer = world.call("POST", URL, body, **(LINES if how == "ndjson" else {}))
    assert (status, answer["accepted"], answer["refused"]) == (200, 2, 1)
    assert [one["index"] for one in answer["results"]] == [0, 1, 2]
    assert answer["results"][0] == {"index": 0, "id": "01jdb7q5t0" + "0" * 16, "ref": "7K3M"}
    problem = answer["results"][1]["problem"]
    assert (problem["code"], problem["stored"]) == (code, False)
    assert stored(world) == ["a", "b"]


def test_b22_what_accept_refuses_is_refused_alone(world: ApiWorld) -> None:
    """Grants, targets and rates are looked at for each message."""
    refuse_texts(world, "no")
    _, answer = world.call("POST", URL, {"messages": [item("a", text="no"), item("b")]})
    assert answer["results"][0]["problem"]["code"] == "unknown-target"
    assert stored(world) == ["b"]


@pytest.mark.parametrize(("bad", "code"), [*BAD, (item("c", text="no"), "unknown-target")])
def test_b22_all_or_nothing_stores_nothing_if_one_is_refused(world: ApiWorld, bad: Any, code: str) -> None:
    """Everything is looked at before anything is stored; the problem says which message and why."""
    refuse_texts(world, "no")
    status, answer = world.call(
        "POST", f"{URL}?all_or_nothing=true", {"messages": [item("a"), bad, item("b")]}
    )
    assert (status, answer["code"], answer["stored"]) == (422, "batch-refused", False)
    assert [(one["index"], one["problem"]["code"]) for one in answer["results"]] == [(1, code)]
    assert answer["errors"][0]["pointer"] == "#/messages/1"
    assert answer["detail"] == "1 message would be refused, so nothing was stored: see results."
    assert stored(world) == []


def test_b22_all_or_nothing_stores_all_if_none_is_refused(world: ApiWorld) -> None:
    """Then it is as without."""
    status, answer = world.call("POST", f"{URL}?all_or_nothing=true", {"messages": [item("a"), item("b")]})
    assert (status, answer["accepted"], answer["refused"]) == (200, 2, 0)
    assert stored(world) == ["a", "b"]


def test_b22_all_or_nothing_needs_room_for_all_in_the_rate(world: ApiWorld) -> None:
    """Fifty-nine are left: a batch of sixty stores none of them."""
    url = f"{URL}?all_or_nothing=true"
    status, answer = world.call("POST", url, {"messages": [item(str(n)) for n in range(60)]})
    assert (status, answer["code"], answer["retry"]) == (429, "rate", True)
    assert answer["detail"] == "the batch has 60 new messages, and 59 may be submitted at this moment"
    assert stored(world) == []
    assert world.call("POST", url, {"messages": [item(str(n)) for n in range(59)]})[0] == 200


def test_b22_all_or_nothing_refuses_a_key_with_two_contents(world: ApiWorld) -> None:
    """Only the first of them could be stored."""
    items = [item("a"), item("a", text="other")]
    status, answer = world.call("POST", f"{URL}?all_or_nothing=true", {"messages": items})
    assert (status, answer["results"][0]["index"]) == (422, 1)
    assert answer["results"][0]["problem"]["code"] == "idempotency-key-reused"
    assert stored(world) == []


def test_a_message_of_a_batch_is_a_submission_with_its_key(world: ApiWorld) -> None:
    """The hash is over the message's own bytes: it is the same as JSON and as a line, whatever surrounds it."""
    raw = b'{"key":"k-1","to":"alice","text":"hello"}'
    world.call("POST", URL, b'{ "messages" : [ ' + raw + b" ,\n" + lines(item("z")) + b"]}")
    world.call("POST", URL, b"\n" + raw + b"\r\n\n", **LINES)
    first, _, line = (one for _, one in world.desk.submissions)
    assert first.idempotency_key == line.idempotency_key == "k-1"
    assert first.request_hash == line.request_hash
    assert len(first.request_hash) == 16


def test_repeats_of_a_key_come_one_after_the_other(world: ApiWorld) -> None:
    """The second is a repeat of the first, not a clash with it."""
    under_way: set[str] = set()
    take = world.desk.submit

    async def submit(client: Client, submission: Submission) -> Accepted:
        key = submission.idempotency_key or ""
        assert key not in under_way
        under_way.add(key)
        await world.env.sleep(1.0)
        under_way.discard(key)
        return await take(client, submission)

    world.desk.submit = submit  # type: ignore[method-assign]
    _, answer = world.call("POST", URL, {"messages": [item("a"), item("b"), item("a")]})
    assert answer["accepted"] == 3


def test_messages_are_under_way_side_by_side_and_bounded(world: ApiWorld) -> None:
    """Many at a time, so that one commit takes them; never all thousand."""
    under_way, most = 0, 0
    take = world.desk.submit

    async def submit(client: Client, submission: Submission) -> Accepted:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await world.env.sleep(0.01)
        under_way -= 1
        return await take(client, submission)

    world.desk.submit = submit  # type: ignore[method-assign]
    _, answer = world.call("POST", URL, {"messages": [item(str(n)) for n in range(1000)]})
    assert (answer["accepted"], most) == (1000, AT_ONCE)
    assert [one["index"] for one in answer["results"]] == list(range(1000))


@pytest.mark.parametrize("how", ["json", "ndjson"])
def test_a_batch_is_bounded_and_not_empty(world: ApiWorld, how: str) -> None:
    """1001 messages, or none, are no batch."""
    for items, code in (([item(str(n)) for n in range(1001)], "field.too_many"), ([], "field.empty")):
        body: Any = {"messages": items} if how == "json" else lines(*items)
        status, answer = world.call("POST", URL, body, **(LINES if how == "ndjson" else {}))
        assert (status, answer["code"]) == (422, code)
        assert answer["errors"][0]["pointer"] == "#/messages"
    assert world.desk.submissions == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"messages":[{"key":"a","to":"alice","text":"x"}', "json.invalid"),
        (b'{"messages":[{"key":"a","to":"alice","text":"x"}],"messages":[]}', "json.duplicate_key"),
        (b'{"messages":[{"key":"a","to":"alice","text":"x"}],"mess\\u0061ges" :[]}', "json.duplicate_key"),
        (b'{"message":[]}', "field.unknown"),
        (b"{}", "field.missing"),
        (b'{"messages":{}}', "field.type"),
        (b"[]", "field.type"),
        (b'{"messages":[' + b"[" * 10_000, "json.invalid"),
        (b"", "json.invalid"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(world: ApiWorld, body: bytes, code: str) -> None:
    """A body that cannot be taken apart has no messages that could be answered one by one."""
    status, answer = world.call("POST", URL, body)
    assert (status in (400, 422), answer["stored"]) == (True, False)
    assert code in {answer["code"], *(error["code"] for error in answer["errors"])}
    assert world.desk.submissions == []


def test_a_key_that_stands_twice_in_a_message_refuses_that_message(world: ApiWorld) -> None:
    """As alone, with its place in the message."""
    body = (
        b'{"messages":[{"key":"a","to":"alice","to":"bob","text":"x"},{"key":"b","to":"alice","text":"y"}]}'
    )
    _, answer = world.call("POST", URL, body)
    assert answer["results"][0]["problem"]["code"] == "json.duplicate_key"
    assert answer["results"][0]["problem"]["errors"][0]["column"] == 25
    assert stored(world) == ["b"]


def test_a_line_that_is_not_json_refuses_that_line(world: ApiWorld) -> None:
    """The next line is a message of its own."""
    _, answer = world.call("POST", URL, b'{"key":\n\xff\n' + lines(item("b")), **LINES)
    codes = [one.get("problem", {}).get("code") for one in answer["results"]]
    assert codes == ["json.invalid", "json.invalid", None]


def test_the_answer_is_ndjson_for_who_asks(world: ApiWorld) -> None:
    """One result a line, in order; the type of the request does not matter."""
    request = world.request("POST", URL, {"messages": [item("a"), 5]}, accept="application/x-ndjson")
    answer = world.send(request)
    assert (answer.status, dict(answer.headers)["Content-Type"]) == (200, "application/x-ndjson")
    first, second = answer.body.splitlines()
    assert msgspec.json.decode(first) == {"index": 0, "id": "01jdb7q5t0" + "0" * 16, "ref": "7K3M"}
    assert msgspec.json.decode(second)["problem"]["code"] == "field.type"


def test_other_types_are_not_read(world: ApiWorld) -> None:
    """415 names both that are; a single message cannot be a line."""
    status, answer = world.call("POST", URL, b"x", content_type="text/csv")
    assert (status, answer["code"]) == (415, "media_type.unsupported")
    assert answer["detail"] == "The body is text/csv. Send application/json or application/x-ndjson."
    assert world.call("POST", "/v1/messages", lines(item("a")), **LINES)[0] == 415


def test_an_idempotency_key_is_of_a_message_not_of_the_batch(world: ApiWorld) -> None:
    """A header that would be ignored is refused."""
    assert world.problem({"messages": [item("a")]}, URL, idempotency_key="k") == (
        400,
        "idempotency_key.invalid",
    )


@pytest.mark.parametrize(
    ("error", "code", "known"),
    [
        (StoreFull(), "store-full", False),
        (StoreFailed("disk"), "store-failed", None),
        (SubmissionError(503, "draining", "stopping", retry_after=5), "draining", False),
        (RuntimeError("a bug"), "internal-error", None),
    ],
)
def test_a_disk_that_fails_is_told_of_each_message(
    world: ApiWorld, error: Exception, code: str, known: bool | None
) -> None:
    """Each says whether it was stored, as far as that can be known, and that it may be sent again."""
    world.desk.error = error
    status, answer = world.call("POST", URL, {"messages": [item("a"), item("b")]})
    assert (status, answer["refused"]) == (200, 2)
    for one in answer["results"]:
        problem = one["problem"]
        assert (problem["code"], problem["stored"], problem["retry"]) == (code, known, True)


def test_a_repeat_and_what_was_left_out_are_said(world: ApiWorld) -> None:
    """As a header and a warning say it of a single message."""
    world.desk.replay = True
    _, answer = world.call("POST", URL, {"messages": [item("a", text="bed\u200b 4")]})
    assert answer["results"][0]["replay"] is True
    assert answer["results"][0]["warnings"][0]["code"] == "text-cleaned"


@given(
    st.lists(
        st.fixed_dictionaries(
            {"key": st.text(max_size=3), "to": st.text(max_size=3), "text": st.text(max_size=8)},
            optional={"labels": st.dictionaries(st.text(max_size=3), st.text(max_size=5), max_size=2)},
        ),
        min_size=1,
        max_size=6,
    ),
    st.booleans(),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_json_and_lines_say_the_same(items: list[dict[str, Any]], spaced: bool) -> None:
    """Whatever the messages hold, both forms are taken apart alike, and each message is as it is alone."""
    import json

    separators = (" , ", " : ") if spaced else (",", ":")
    pieces = [json.dumps(one, separators=separators).encode() for one in items]
    world = ApiWorld()
    _, one = world.call("POST", URL, b'{"messages":[' + b",".join(pieces) + b"]}")
    _, other = world.call("POST", URL, b"\n".join(pieces), **LINES)
    assert [r.get("problem", {}).get("code") for r in one["results"]] == [
        r.get("problem", {}).get("code") for r in other["results"]
    ]
    for piece, result in zip(items, one["results"], strict=True):
        alone = {name: value for name, value in piece.items() if name != "key"}
        status, answer = ApiWorld().call("POST", "/v1/messages", alone)
        if status != 202:
            assert result["problem"]["code"] in (answer["code"], "body.invalid")


@given(st.binary(max_size=60))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_bytes_get_an_answer(body: bytes) -> None:
    """Nothing breaks the gateway: results, or a problem with a code."""
    for headers in ({}, LINES):
        status, answer = ApiWorld().call("POST", URL, body, **headers)
        assert status in (200, 400, 422)
        assert status == 200 or answer["code"]


def test_a_caller_who_leaves_stops_nothing(world: ApiWorld) -> None:
    """What was begun is stored, and found again under its key."""
    request = world.request("POST", URL, {"messages": [item("a")]})
    Deferred.fromCoroutine(world.router(request))
    request.leave()
    world.env.world.clock.advance(1)
    assert stored(world) == ["a"]
