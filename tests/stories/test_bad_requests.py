"""Bad input of the catalogue over HTTP, as far as the rooms behind the API answer for it (B12 to B20)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model import rfc3339
from tests.stories.conftest import Tell
from tests.stories.doors import TOKEN, TOKEN_SHA256, call
from tests.stories.world import DIRECT, ONE, Story

SETTINGS = DIRECT.replace("a" * 64, TOKEN_SHA256)
GRANTED = SETTINGS.replace('may_page: [everyone, "spok:*"]', 'may_page: [alice, "spok:5551212"]')


def refused(story: Story, **fields: Any) -> tuple[int, str]:
    """Status and code; nothing was stored, and nobody is paged."""
    body = {"to": "alice", "text": "x"} | fields
    status, answer = call(story, "POST", "/v1/messages", body, token=TOKEN)
    assert answer["stored"] is False
    assert call(story, "GET", "/v1/messages?state=all")[1]["messages"] == []
    return status, answer["errors"][0]["code"]


@pytest.mark.parametrize("number", ["+19005551212", "+882161234567", "19005551212", "911"])
def test_b12_a_number_outside_the_carriers_pattern_is_refused(tell: Tell, number: str) -> None:
    """Premium and satellite numbers are no addresses of a carrier whose pattern does not say so."""
    story = tell(SETTINGS, terminals={ONE: {}})
    assert refused(story, to=f"spok:{number}") == (422, "address.pattern")


def test_b12_b17_what_is_not_granted_is_not_paged(tell: Tell) -> None:
    """A number of a carrier, a person, a carrier that is not granted: each with its own code."""
    story = tell(GRANTED, terminals={ONE: {}})
    assert refused(story, to="spok:5551213") == (403, "scope.carrier")
    assert refused(story, to="bob") == (403, "scope.recipient")
    assert refused(story, to=["alice", "both"]) == (403, "scope.recipient")
    status, _ = call(story, "POST", "/v1/messages", {"to": "spok:5551212", "text": "x"}, token=TOKEN)
    assert status == 202


def test_b13_what_a_pager_cannot_show_is_replaced_and_said(tell: Tell) -> None:
    """Emoji on a 7-bit pager: their names; other writing: question marks; and a warning that counts them."""
    story = tell(SETTINGS, terminals={ONE: {}})
    body = {"to": "alice", "text": "bed 4 \U0001f525\U0001f691 \u5e8a"}
    _, answer = call(story, "POST", "/v1/messages", body, token=TOKEN)
    assert answer["warnings"] == [
        {
            "code": "characters-replaced",
            "detail": "spok.one: cannot show 3 characters of the text as written, 1 of them lost:"
            " 25 characters go out",
        }
    ]
    story.forward(5)
    assert [copy.text for copy in story.copies()] == ["bed 4 [fire][ambulance] ?"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires_in": "8d"}, "deadline.too_far"),
        ({"expires_in": 1e300}, "deadline.too_far"),
        ({"not_before": "9999-12-31T23:59:59Z"}, "deadline.too_far"),
        ({"not_before": "2027-11-21T02:15:00Z", "expires_in": "1h"}, "deadline.too_far"),
    ],
)
def test_b14_a_time_is_within_a_week(tell: Tell, fields: dict[str, Any], code: str) -> None:
    """Further away than limits.expires is a mistake, not patience."""
    story = tell(SETTINGS, terminals={ONE: {}})
    assert refused(story, **fields) == (422, code)


def test_b14_a_message_that_would_expire_before_it_may_be_sent_is_refused(tell: Tell) -> None:
    """Its deadline and its beginning cannot both be meant."""
    story = tell(SETTINGS, terminals={ONE: {}})
    later = rfc3339(story.after(7200))
    assert refused(story, not_before=later, expires_in="1h") == (422, "deadline.past")


@pytest.mark.parametrize("text", ["{{7*7}}", "{text} {ref} {callback}", "{0}{__class__}", "%s %(x)s ${x}"])
def test_b20_a_text_is_never_a_template(tell: Tell, text: str) -> None:
    """Braces reach the pager as they were written; nothing in them is looked up or computed."""
    story = tell(SETTINGS, terminals={ONE: {}})
    status, answer = call(story, "POST", "/v1/messages", {"to": "alice", "text": text}, token=TOKEN)
    assert (status, answer["warnings"]) == (202, [])
    story.forward(5)
    assert [copy.text for copy in story.copies()] == [text]
