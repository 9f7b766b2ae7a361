"""Bad input of the catalogue, as far as the API answers for it: every answer names field, reason and limit."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from api_world import UID, ApiWorld

from gateway.errors import StoreFailed, StoreFull, SubmissionError
from gateway.model import MessageClass, Url
from gateway.outcome import Level

GOOD = {"to": "alice", "text": "hello"}


@pytest.fixture
def world() -> ApiWorld:
    return ApiWorld()


@pytest.mark.parametrize(
    ("body", "line", "column"),
    [
        (b'{"to": "alice",\n "text": "hel', 2, 10),
        (b'{"to":"a","text":NaN}', 1, 18),
        (b'{"to":"a",\n"text":"b",\n"expires_in":1e999}', 3, 14),
        (b'{"to":"a","text":"\\ud800"}', 1, 18),
        (b'{"to":"a","text":"\xff"}', 1, 19),
        (b'\xef\xbb\xbf{"to":"a","text":"b"}', 1, 1),
        ('{"to":"a","text":"b"}'.encode("utf-16"), 1, 1),
        ('{"to":"a","text":"b"}'.encode("utf-16-le"), 1, 1),
        (b"[" * 10_000, 1, 65),
        (b'{"to":"a","text":"b","labels":' + b'{"a":' * 10_000, 1, 95 + 5 * 37),
        (b'{"to":"a","text":"b"} x', 1, 23),
        (b"to=alice&text=hello", 1, 1),
        (b"", 1, 1),
    ],
)
def test_b07_what_is_not_json_is_refused_with_its_place(
    world: ApiWorld, body: bytes, line: int, column: int
) -> None:
    """Cut, NaN, 1e999, half surrogates, a byte order mark, UTF-16 or deep nesting: 400 with line and column."""
    status, answer = world.call("POST", "/v1/messages", body)
    assert (status, answer["code"]) == (400, "json.invalid")
    assert answer["errors"][0]["line"] == line
    assert f"(line {line}, column {answer['errors'][0]['column']})" in answer["detail"]
    if len(body) < 1000:
        assert answer["errors"][0]["column"] == column
    assert world.desk.submissions == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"to":"alice","to":"bob","text":"x"}',
        b'{"to":"alice","text":"x","labels":{"a":"1","a":"2"}}',
        b'{"to":"alice","text":"x","text" :"y"}',
        b'{"to":"alice","text":"x","te\\u0078t":"y"}',
        b'{"to":"alice","text":"\\u0022:","text":"y"}',
        b'{"to":"alice","text":"x","labels":{":a":"1",":a":"2"}}',
        b'{"to":"alice","text":"x","urls":[{"text":"a","href":"https://b","text":"c"}]}',
    ],
)
def test_b07_a_key_that_stands_twice_is_refused(world: ApiWorld, body: bytes) -> None:
    """Nobody can know which of two values counts, however the second key is written."""
    assert world.problem(body) == (400, "json.duplicate_key")


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    st.text(min_size=1, max_size=10),
    st.booleans(),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_body_without_repeated_keys_is_never_taken_for_one(
    labels: dict[str, str], text: str, spaced: bool
) -> None:
    """Colons and quotes in texts, and any spacing, do not look like keys."""
    import json

    world = ApiWorld()
    separators = (" , ", " : ") if spaced else (",", ":")
    body = json.dumps({"to": "alice", "text": text, "labels": labels}, separators=separators).encode()
    status, answer = world.call("POST", "/v1/messages", body)
    assert status == 202 or answer["code"] not in ("json.duplicate_key", "json.invalid")


@given(st.binary(max_size=60))
@hypothesis_settings(max_examples=100, deadline=None)
def test_any_bytes_get_an_answer(body: bytes) -> None:
    """No body breaks the gateway: 202 or a problem with a code."""
    world = ApiWorld()
    status, answer = world.call("POST", "/v1/messages", body)
    assert status in (202, 400, 422)
    assert status == 202 or answer["code"]


@given(
    st.dictionaries(
        st.sampled_from(["to", "text", "class", "until", "expires_in", "urls", "labels", "replies", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
            ),
            max_leaves=4,
        ),
    )
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_any_json_gets_an_answer_that_points_into_it(body: dict[str, object]) -> None:
    """Wrong shapes are refused with a pointer for every mistake."""
    world = ApiWorld()
    status, answer = world.call("POST", "/v1/messages", body)
    assert status in (202, 400, 422)
    if status != 202:
        assert answer["errors"]
        assert all(error["pointer"].startswith("#") for error in answer["errors"])


def test_b08_an_unknown_field_is_refused_with_the_nearest_name(world: ApiWorld) -> None:
    """A misspelt field is never ignored: it may have been the one that mattered."""
    status, answer = world.call("POST", "/v1/messages", GOOD | {"clas": "critical"})
    assert (status, answer["code"]) == (400, "field.unknown")
    assert answer["errors"] == [
        {
            "pointer": "#/clas",
            "code": "field.unknown",
            "detail": "There is no field clas. Did you mean class?",
            "given": "clas",
            "try": ["class"],
        }
    ]
    assert world.problem(GOOD | {"urls": [{"text": "a", "href": "https://b", "x": 1}]}) == (
        400,
        "field.unknown",
    )


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ([], "to.empty"),
        ("", "to.empty"),
        (" ", "to.empty"),
        (["alice", ""], "to.empty"),
        (None, "to.type"),
        (5551212, "to.type"),
        (["alice", 5], "to.type"),
        ({"alice": 1}, "to.type"),
        (["alice"] * 1001, "to.too_many"),
        ("a" * 256, "to.too_long"),
    ],
)
def test_b09_to_is_text_or_a_bounded_list_of_texts(world: ApiWorld, to: object, code: str) -> None:
    """Empty, null, a number or more targets than the limit."""
    assert world.problem({"to": to, "text": "x"}) == (422, code)


def test_b09_the_limit_is_named(world: ApiWorld) -> None:
    """Who sends too many targets learns how many are allowed."""
    _, answer = world.call("POST", "/v1/messages", {"to": ["a"] * 10_001, "text": "x"})
    assert answer["detail"] == "to has 10001 targets; at most 1000."


@pytest.mark.parametrize("digits", ["５５５", "٣٣٣", "sms:+３３"])
def test_b10_digits_of_other_scripts_are_not_digits(world: ApiWorld, digits: str) -> None:
    """They look right on a screen and reach nobody."""
    assert world.problem({"to": digits, "text": "x"}) == (422, "address.not_ascii")


def test_b11_a_new_line_in_an_address_is_refused_and_shown_escaped(world: ApiWorld) -> None:
    """Raw control characters are never echoed."""
    status, answer = world.call("POST", "/v1/messages", {"to": ["alice", "5551234567\n"], "text": "x"})
    assert (status, answer["code"]) == (422, "address.control_char")
    assert answer["errors"][0]["pointer"] == "#/to/1"
    assert answer["errors"][0]["given"] == "5551234567\\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "text.empty"),
        (" \n\t ", "text.empty"),
        ("\u200b\u2060", "text.empty"),
        ("x" * 10_001, "text.too_long"),
        ("a\0b", "text.control_char"),
        ("a\x1b[2Jb", "text.control_char"),
        ("a\x7f", "text.control_char"),
        ("a\x85", "text.control_char"),
    ],
)
def test_b13_text_that_nobody_can_read_is_refused(world: ApiWorld, text: str, code: str) -> None:
    """Empty, too long, or with characters that would drive a terminal or a modem."""
    assert world.problem({"to": "alice", "text": text}) == (422, code)


def test_b13_a_control_character_is_named_with_its_place(world: ApiWorld) -> None:
    """The character is shown escaped; the text itself is not repeated."""
    _, answer = world.call("POST", "/v1/messages", {"to": "alice", "text": "ab\x1bcd"})
    assert answer["detail"] == "Character 3 of text is U+001B, a control character."
    assert answer["errors"][0]["given"] == "\\x1b"


def test_b13_invisible_characters_are_left_out_and_counted(world: ApiWorld) -> None:
    """Right-to-left overrides and zero-width spaces go; joiners, new lines and emoji stay."""
    text = "bed \u202e4\u200b\ufeff\r\nfamily \U0001f468\u200d\U0001f469"
    status, answer = world.call("POST", "/v1/messages", {"to": "alice", "text": text})
    assert status == 202
    assert world.desk.submissions[0][1].content.text == "bed 4\nfamily \U0001f468\u200d\U0001f469"
    assert answer["warnings"] == [{"code": "text-cleaned", "detail": "3 invisible characters were left out"}]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("expires_in", 0, "deadline.past"),
        ("expires_in", -5, "deadline.past"),
        ("expires_in", "soon", "deadline.syntax"),
        ("expires_in", "٢m", "deadline.syntax"),
        ("expires_in", True, "field.type"),
        ("not_before", "2026-11-21T03:15:00", "deadline.no_zone"),
        ("not_before", "tomorrow", "deadline.syntax"),
        ("not_before", "2026-13-21T03:15:00Z", "deadline.syntax"),
        ("not_before", 1795000000, "field.type"),
    ],
)
def test_b14_times_are_exact(world: ApiWorld, field: str, value: object, code: str) -> None:
    """A time without zone, in the past or in other words is refused. How far away it may be, accept says."""
    assert world.problem(GOOD | {field: value}) == (422, code)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("20m", 1200.0), ("90s", 90.0), ("90", 90.0), (90, 90.0), ("1.5h", 5400.0), ("2d", 172800.0)],
)
def test_b14_durations_are_seconds_or_text(world: ApiWorld, given: object, seconds: float) -> None:
    """`"20m"` or seconds."""
    world.call("POST", "/v1/messages", GOOD | {"expires_in": given})
    assert world.desk.submissions[0][1].expires_in == seconds


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a\x01b", "schlüssel", "a\tb"])
def test_b15_an_idempotency_key_is_short_printable_ascii(world: ApiWorld, key: str) -> None:
    """Anything else is refused with 400, not cut."""
    assert world.problem(GOOD, idempotency_key=key) == (400, "idempotency_key.invalid")


def test_b15_quoted_and_bare_keys_are_the_same_and_the_hash_tells_bodies_apart(world: ApiWorld) -> None:
    """The draft wants quotes, most programs send none."""
    for key, body in (('"k-1"', GOOD), ("k-1", GOOD), ("k-1", GOOD | {"text": "other"})):
        world.call("POST", "/v1/messages", body, idempotency_key=key)
    first, same, other = (submission for _, submission in world.desk.submissions)
    assert first.idempotency_key == same.idempotency_key == other.idempotency_key == "k-1"
    assert first.request_hash == same.request_hash != other.request_hash
    assert len(first.request_hash) == 16


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [(422, "idempotency-key-reused", None), (409, "idempotency-key-running", 1.0)],
)
def test_b15_what_accept_says_of_a_key_reaches_the_caller(
    world: ApiWorld, status: int, code: str, retry_after: float | None
) -> None:
    """Same key with another body: 422. Still running: 409 with Retry-After."""
    world.desk.error = SubmissionError(status, code, "so it is", retry_after=retry_after)
    answer = world.send(world.request("POST", "/v1/messages", GOOD, idempotency_key="k"))
    assert answer.status == status
    assert ("Retry-After", "1") in answer.headers or retry_after is None


def test_a_replay_says_so(world: ApiWorld) -> None:
    """A repeated request gets the first answer, marked."""
    world.desk.replay = True
    answer = world.send(world.request("POST", "/v1/messages", GOOD, idempotency_key="k"))
    assert answer.status == 202
    assert ("Idempotent-Replay", "true") in answer.headers
    assert ("Location", "/v1/messages/01jdb7q5t0" + "0" * 16) in answer.headers


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic m-token", "m-token", "Bearer m-token x"],
)
def test_b16_every_bad_credential_gets_the_same_answer(world: ApiWorld, authorization: str | None) -> None:
    """Missing, wrong and malformed are not told apart."""
    headers = {} if authorization is None else {"authorization": authorization}
    answer = world.send(world.request("POST", "/v1/messages", GOOD, token=None, **headers))
    assert answer.status == 401
    assert ("WWW-Authenticate", "Bearer") in answer.headers
    problem = msgspec.json.decode(answer.body)
    assert problem["detail"] == "This needs a valid token: Authorization: Bearer TOKEN."
    assert world.desk.submissions == []


def test_b16_a_token_is_judged_with_the_address_it_comes_from(world: ApiWorld) -> None:
    """From elsewhere it is as good as none."""
    for address, status in (("10.1.7.9", 202), ("10.1.8.9", 401)):
        assert world.call("POST", "/v1/messages", GOOD, token="w-token", address=address)[0] == status


def test_b16_a_wrong_token_on_the_control_socket_is_wrong(world: ApiWorld) -> None:
    """Who shows a token is judged by it."""
    assert world.call("GET", "/v1/whoami", uid=UID, authorization="Bearer wrong")[0] == 401


@pytest.mark.parametrize("code", ["scope.recipient", "scope.carrier", "scope.class"])
def test_b17_what_is_not_granted_is_403(world: ApiWorld, code: str) -> None:
    """Grants are accept's; its refusal reaches the caller unchanged."""
    world.desk.error = SubmissionError(403, code, "not granted")
    assert world.problem(GOOD) == (403, code)


@pytest.mark.parametrize(
    "href",
    [
        "file:///etc/passwd",
        "gopher://a/",
        "javascript:alert(1)",
        "https://user:pass@a/",
        "https:///path",
        "//a/b",
        "https://a b/",
        "https://a:99999/",
        "https://[::1/",
        "https://ä/",
    ],
)
def test_b18_urls_are_plain_web_addresses(world: ApiWorld, href: str) -> None:
    """They are shown to people; the gateway itself never calls one."""
    assert world.problem(GOOD | {"urls": [{"text": "a", "href": href}]}) == (422, "url.forbidden")


@pytest.mark.parametrize("url", ["http://127.1/", "http://[::ffff:169.254.169.254]/", "gopher://x"])
def test_b18_a_call_back_is_a_number_never_a_url(world: ApiWorld, url: str) -> None:
    """Webhooks are configured by the administrator; a message cannot name one."""
    assert world.problem(GOOD | {"callback": url}) == (422, "callback.forbidden")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "x"]
)
def test_b19_other_types_than_json_are_415(world: ApiWorld, media_type: str) -> None:
    """Guessing what a body is would guess wrong one day."""
    assert world.problem(GOOD, content_type=media_type) == (415, "media_type.unsupported")


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-8",
        "application/vnd.x+json",
        "APPLICATION/JSON",
    ],
)
def test_b19_json_is_read_as_curl_sends_it(world: ApiWorld, media_type: str | None) -> None:
    """No type, curl's form type and every +json type are JSON."""
    headers = {} if media_type is None else {"content_type": media_type}
    assert world.call("POST", "/v1/messages", GOOD, **headers)[0] == 202


@pytest.mark.parametrize("url", ["/v1/messages?to=alice&text=secret", "/v1/whoami?text=secret"])
def test_b21_a_message_in_a_url_is_refused(world: ApiWorld, url: str) -> None:
    """URLs stay in logs and histories: 405, and the text is not repeated."""
    answer = world.send(world.request("GET", url))
    assert answer.status == 405
    assert ("Allow", "POST") in answer.headers
    assert b"secret" not in answer.body


def test_all_mistakes_are_reported_at_once(world: ApiWorld) -> None:
    """Types, names and values together, each with its pointer."""
    body = {
        "to": ["alice", 5],
        "text": "a\0",
        "class": "hihg",
        "expires_in": "soon",
        "clas": 1,
        "urls": [{"text": "a"}],
        "labels": {"a/b": 7},
        "replies": ["x" * 41],
    }
    status, answer = world.call("POST", "/v1/messages", body)
    assert (status, answer["code"]) == (422, "body.invalid")
    assert {(error["pointer"], error["code"]) for error in answer["errors"]} == {
        ("#/to/1", "to.type"),
        ("#/text", "text.control_char"),
        ("#/class", "field.value"),
        ("#/expires_in", "deadline.syntax"),
        ("#/clas", "field.unknown"),
        ("#/urls/0/href", "field.missing"),
        ("#/labels", "field.type"),
        ("#/replies/0", "field.too_long"),
    }
    assert answer["errors"][0]["given"]
    assert answer["title"] == "Several mistakes"


def test_words_are_named_where_one_is_misspelt(world: ApiWorld) -> None:
    """The nearest word is offered."""
    _, answer = world.call("POST", "/v1/messages", GOOD | {"class": "critcal"})
    assert answer["errors"][0]["try"] == ["critical"]
    assert answer["errors"][0]["detail"] == "class must be one of critical, urgent, normal, bulk."


@pytest.mark.parametrize(
    "change",
    [
        {"callback": "x" * 65},
        {"callback": "44\n11"},
        {"incident": ""},
        {"incident": "x" * 256},
        {"details": "x" * 10_001},
        {"urls": [{"text": "a", "href": "https://a/"}] * 11},
        {"urls": [{"text": "a" * 101, "href": "https://a/"}]},
        {"urls": [{"text": "a", "href": "https://a/" + "x" * 2048}]},
        {"replies": ["a"] * 11},
        {"labels": {str(n): "x" for n in range(33)}},
        {"labels": {"x" * 65: "x"}},
        {"labels": {"x": "x" * 256}},
        {"labels": {"x\n": "x"}},
    ],
)
def test_every_field_is_bounded(world: ApiWorld, change: dict[str, object]) -> None:
    """Nothing that a client sends can make a message grow without end."""
    status, code = world.problem(GOOD | change)
    assert status == 422
    assert code.startswith("field.")


def test_everything_together_becomes_a_submission(world: ApiWorld) -> None:
    """Each field arrives where it belongs."""
    body = {
        "to": ["cardiology-oncall", "alice", "alice"],
        "text": "Cath lab 2: STEMI in 10 min",
        "callback": "4411",
        "class": "critical",
        "until": "acknowledged",
        "expires_in": "20m",
        "not_before": "2026-11-21T03:15:00+01:00",
        "incident": "INC0012345",
        "details": "for devices with room",
        "urls": [{"text": "ticket", "href": "https://itsm.example/INC0012345"}],
        "replies": ["OK", "Cannot"],
        "labels": {"ward": "C3", "empty": ""},
    }
    status, _ = world.call("POST", "/v1/messages?dry_run=true", body, traceparent="nonsense")
    assert status == 200
    client, submission = world.desk.submissions[0]
    assert client.name == "monitoring"
    assert submission.to == ("cardiology-oncall", "alice")
    assert submission.message_class is MessageClass.CRITICAL
    assert submission.until is Level.ACKNOWLEDGED
    assert submission.expires_in == 1200.0
    assert submission.not_before == 1795227300 * 1_000_000
    assert submission.incident == "INC0012345"
    assert submission.dry_run
    content = submission.content
    assert content.urls == (Url(text="ticket", href="https://itsm.example/INC0012345"),)
    assert (content.callback, content.replies, content.labels) == (
        "4411",
        ("OK", "Cannot"),
        {"ward": "C3", "empty": ""},
    )


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreFull(), 507, "store-full"),
        (StoreFailed("disk"), 503, "store-failed"),
        (SubmissionError(503, "queue-full", "full", retry_after=5), 503, "queue-full"),
        (SubmissionError(429, "rate", "slowly", retry_after=0.2), 429, "rate"),
    ],
)
def test_overload_and_a_bad_disk_say_when_to_come_back(
    world: ApiWorld, error: Exception, status: int, code: str
) -> None:
    """Retry-After in whole seconds, `retry` true; after a disk error nobody knows whether it was stored."""
    world.desk.error = error
    answer = world.send(world.request("POST", "/v1/messages", GOOD))
    problem = msgspec.json.decode(answer.body)
    assert (answer.status, problem["code"], problem["retry"]) == (status, code, True)
    assert problem["stored"] is (None if code == "store-failed" else False)
    assert int(dict(answer.headers)["Retry-After"]) >= 1


def test_a_problem_is_a_whole_rfc_9457_document(world: ApiWorld) -> None:
    """Type, title, status, detail, and our own members."""
    answer = world.send(world.request("POST", "/v1/messages", {"to": "alice"}))
    assert dict(answer.headers)["Content-Type"] == "application/problem+json"
    assert msgspec.json.decode(answer.body) == {
        "type": "/problems/text.missing",
        "title": "No text",
        "status": 422,
        "code": "text.missing",
        "detail": "text is required.",
        "errors": [{"pointer": "#/text", "code": "text.missing", "detail": "text is required."}],
        "retry": False,
        "stored": False,
        "request_id": "r-1",
    }


@pytest.mark.parametrize(
    "url",
    ["/v1/messages?dryrun=true", "/v1/messages?dry_run=maybe", "/v1/messages?dry_run=true&dry_run=false"],
)
def test_query_parameters_are_checked_like_fields(world: ApiWorld, url: str) -> None:
    """A misspelt dry_run must not page anybody."""
    status, code = world.problem(GOOD, url)
    assert (status, code.partition(".")[0]) == (400, "query")
