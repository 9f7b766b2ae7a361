"""Many messages in one request, over the real rooms and a real record."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stories.conftest import Tell
from tests.stories.doors import TOKEN, TOKEN_SHA256, call
from tests.stories.world import DIRECT, ONE, Died, Story

URL = "/v1/messages/batch"
SETTINGS = DIRECT.replace("a" * 64, TOKEN_SHA256)
LIMITED = SETTINGS.replace("may_page", "rate: 5/min\n    may_page")


def item(key: str, **changes: Any) -> dict[str, Any]:
    return {"key": key, "to": "spok:5551212", "text": f"bed {key}"} | changes


def submit(story: Story, *items: Any, query: str = "") -> tuple[int, Any]:
    return call(story, "POST", URL + query, {"messages": items}, token=TOKEN)


def texts(story: Story) -> list[str]:
    return sorted(copy.text for copy in story.copies())


@pytest.mark.parametrize("disk", ["memory", "sqlite"])
def test_b22_each_message_is_answered_and_paged_on_its_own(tell: Tell, disk: str) -> None:
    """The unknown target is refused with what a single message would get; the others go out, once."""
    story = tell(SETTINGS, terminals={ONE: {}}, disk=disk)
    items = [item("1"), item("2", to="mallory"), item("3")]
    status, answer = submit(story, *items)
    assert (status, answer["accepted"], answer["refused"]) == (200, 2, 1)
    _, alone = call(story, "POST", "/v1/messages", {"to": "mallory", "text": "x"}, token=TOKEN)
    problem = answer["results"][1]["problem"]
    assert {name: problem[name] for name in alone if name != "request_id"} == {
        name: value for name, value in alone.items() if name != "request_id"
    }
    story.crash()
    _, again = submit(story, *items)
    assert [one.get("replay") for one in again["results"]] == [True, None, True]
    assert [one.get("id") for one in again["results"]] == [one.get("id") for one in answer["results"]]
    story.forward(minutes=5)
    assert texts(story) == ["bed 1", "bed 3"]


def test_b22_all_or_nothing_is_all_or_nothing(tell: Tell) -> None:
    """One target that does not exist: nobody is paged; mended, everybody is, and a repeat pages nobody."""
    story = tell(SETTINGS, terminals={ONE: {}})
    bad = [item("1"), item("2", to="mallory"), item("3")]
    status, answer = submit(story, *bad, query="?all_or_nothing=true")
    assert (status, answer["code"], [one["index"] for one in answer["results"]]) == (
        422,
        "batch-refused",
        [1],
    )
    story.forward(5)
    assert texts(story) == []
    good = [item("1"), item("2"), item("3")]
    assert submit(story, *good, query="?all_or_nothing=true")[1]["accepted"] == 3
    assert submit(story, *good, query="?all_or_nothing=true")[1]["accepted"] == 3
    story.forward(5)
    assert texts(story) == ["bed 1", "bed 2", "bed 3"]
    other = [item("1", text="other"), item("4")]
    status, answer = submit(story, *other, query="?all_or_nothing=true")
    assert (status, answer["results"][0]["problem"]["code"]) == (422, "idempotency-key-reused")


def test_the_rate_counts_messages_not_requests(tell: Tell) -> None:
    """Five a minute: of seven in a batch two are refused; all or nothing waits for room; repeats are free."""
    story = tell(LIMITED, terminals={ONE: {}})
    seven = [item(str(n)) for n in range(7)]
    _, answer = submit(story, *seven)
    assert (answer["accepted"], answer["refused"]) == (5, 2)
    assert {one["problem"]["code"] for one in answer["results"][5:]} == {"rate"}
    assert submit(story, *seven[:5], query="?all_or_nothing=true")[1]["accepted"] == 5
    status, refused = submit(story, item("a"), query="?all_or_nothing=true")
    assert (status, refused["code"]) == (429, "rate")
    story.forward(61)
    assert submit(story, *seven[5:], query="?all_or_nothing=true")[1]["accepted"] == 2


def test_a_thousand_messages_are_a_few_commits(tell: Tell) -> None:
    """Each commit takes what is under way: a disk that needs 2 ms for one does not need 2 s for a thousand."""
    story = tell(SETTINGS, terminals={ONE: {}})
    began = story.now
    _, answer = submit(story, *(item(str(n)) for n in range(1000)))
    assert answer["accepted"] == 1000
    assert story.now - began < 0.1


def test_a_node_that_dies_within_a_batch_has_stored_what_it_finds_again(tell: Tell) -> None:
    """The batch is sent again as it was: what had been stored is replayed, the rest is stored, once each."""
    story = tell(SETTINGS, terminals={ONE: {}}, disk="sqlite")
    items = [item(str(n)) for n in range(100)]
    story.env.fail_at("T1")
    with pytest.raises(Died):
        submit(story, *items)
    story.crash()
    _, answer = submit(story, *items)
    assert answer["accepted"] == 100
    assert 1 <= sum("replay" in one for one in answer["results"]) < 100
    story.forward(minutes=5)
    assert texts(story) == sorted(f"bed {n}" for n in range(100))
