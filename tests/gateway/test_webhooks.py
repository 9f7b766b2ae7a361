"""Webhooks from outside in: what is signed, where a receiver may be, what is read of its answer (B18)."""

from __future__ import annotations

import base64
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from settings_fakes import BASE, load_text
from test_settings import mistakes
from twisted.internet.protocol import Factory, Protocol

from gateway.api import telling
from gateway.env.simulated import SimulatedEnv, Weather, run
from gateway.model import NoticeKind
from gateway.notify import _retry_after, id_of, sign
from gateway.settings.receivers import key_of, objection, refusal
from gateway.settings.types import Secret, Tell
from gateway.store.base import Notice
from gateway.web.client import MAX_ANSWER, Answered, Unanswered
from gateway.web.client import call as web_call
from tests.gateway.api_world import T0, ApiWorld, delivery, event, message, settings
from tests.standard_webhooks import Forged, verify

MANUAL = (Path(__file__).parents[2] / "docs/howto/webhooks.md").read_text()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TELL = Tell(url="https://hook.example/", secret=Secret(SECRET))
KINDS = re.findall(r"\| `([a-z_]+)` \| `message\.", MANUAL)


# ---------------------------------------------------------------- what is signed


def test_the_published_example_is_signed_as_published() -> None:
    """The vector of the Standard Webhooks libraries."""
    body = b'{"test": 2432232314}'
    signature = sign(TELL, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(
    body=st.binary(max_size=200), keys=st.lists(st.binary(min_size=24, max_size=64), min_size=2, max_size=2)
)
@hypothesis_settings(max_examples=50, deadline=None)
def test_an_independent_check_believes_either_secret_and_no_altered_byte(
    body: bytes, keys: list[bytes]
) -> None:
    """Whatever is sent, with whatever secrets; id, time and body are all under the signature."""
    secrets = [base64.b64encode(key).decode() for key in keys]
    tell = Tell(url="https://h.example/", secret=Secret("whsec_" + secrets[0]), old_secret=Secret(secrets[1]))
    fields = {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1000",
        "webhook-signature": sign(tell, "msg_1", 1000, body),
    }
    for secret in secrets:
        assert verify(secret, fields, body, 1000) == "msg_1"
    for changed in (
        (fields, body + b"x", 1000.0),
        (fields | {"webhook-id": "msg_2"}, body, 1000.0),
        (fields | {"webhook-timestamp": "1001"}, body, 1000.0),
        (fields, body, 1301.0),
    ):
        with pytest.raises(Forged):
            verify(secrets[0], *changed)


def test_the_check_in_the_manual_works() -> None:
    """docs/howto/webhooks.md shows code; it is run here."""
    page = MANUAL
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(code, names)  # the manual's own text
    now = int(names["time"].time())
    fields = {
        "webhook-id": "m",
        "webhook-timestamp": str(now),
        "webhook-signature": "v1,AAAA " + sign(TELL, "m", now, b"{}"),
    }
    assert names["verify"](SECRET, fields, b"{}")
    assert not names["verify"](SECRET, fields, b"[]")
    assert not names["verify"](SECRET, fields | {"webhook-timestamp": str(now - 301)}, b"{}")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (SECRET, True),
        (SECRET.removeprefix("whsec_"), True),
        (base64.b64encode(b"x" * 64).decode(), True),
        (base64.b64encode(b"x" * 65).decode(), False),
        (base64.b64encode(b"x" * 23).decode(), False),
        ("correct horse battery staple!!!!", False),
        ("whsec_", False),
        ("", False),
    ],
)
def test_what_is_a_secret(text: str, good: bool) -> None:
    """Base64 of 24 to 64 bytes, with the prefix or not."""
    assert bool(key_of(Secret(text))) is good


# ---------------------------------------------------------------- what is said


def notice(kind: NoticeKind, n: int, **changes: Any) -> Notice:
    plain = Notice(
        key=1,
        message=message(1, None).message,
        public_id=message(1, None).public_id,
        client="monitoring",
        n=n,
        seq=1,
        kind=kind,
        at=T0,
        tries=0,
    )
    return msgspec.structs.replace(plain, **changes)


def said(kind: NoticeKind, row: Any, n: int) -> dict[str, Any]:
    from gateway.api import says

    a = says.around(settings(), (), T0)
    body = telling.body_of(notice(kind, n), row, a)
    assert len(body) <= telling.MAX_BODY
    return msgspec.json.decode(body)  # type: ignore[no-any-return]


def test_nothing_that_people_wrote_leaves() -> None:
    """No text, no details, no labels, no note: state and names only."""
    row = message(
        1,
        "7K3M",
        ending="confirmed",
        accepted_by="bob",
        accepted_at=T0,
        timeline=(
            event(1, "stored", to=["alice"]),
            event(2, "acknowledged", 209.0, by="bob", recorded_by="dana", note="Mrs Miller fell"),
        ),
    )
    body = said("acknowledged", row, 2)
    assert body["says"] == "Bob Ferrand has it, written down by dana, after 3 min 29 s."
    assert body["type"] == "message.acknowledged"
    assert not re.search("STEMI|Miller", msgspec.json.encode(body).decode())
    assert body["data"]["message"].keys() >= {
        "id",
        "ref",
        "state",
        "outcome",
        "deliveries",
        "progress",
        "from",
    }


def test_a_body_stays_small() -> None:
    """A message to a thousand people is told without the single copies."""
    row = message(1, None, deliveries=tuple(delivery(n) for n in range(1000)), to=("x" * 200,) * 100)
    body = said("handed_over", row, 1)
    assert body["data"]["cut"] is True
    assert (body["data"]["message"]["deliveries"], body["data"]["message"]["to"]) == ([], [])


def test_the_manual_lists_every_kind() -> None:
    """A kind without a row in docs/howto/webhooks.md fails here."""
    from typing import get_args

    assert sorted(KINDS) == sorted(get_args(NoticeKind))


def test_an_id_has_no_full_stop() -> None:
    """It separates the parts of what is signed."""
    assert re.fullmatch(r"msg_[0-9a-z]{26}_7", id_of(notice("read", 7)))


# ---------------------------------------------------------------- B18: where a receiver may be


def with_tell(url: str, more: str = "") -> str:
    return BASE.replace(
        "may_page: [everyone]", f'may_page: [everyone], tell: {{url: "{url}", secret: {{env: S}}{more}}}'
    )


def complaints(url: str, more: str = "", secret: str = SECRET) -> list[str]:
    return mistakes(with_tell(url, more), environ={"S": secret, "T": SECRET})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1/",
        "http://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://receiver.localhost/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:a9fe:a9fe::]/",
        "https://169.254.169.254/latest",
        "https://100.64.0.1/",
        "https://10.1.7.9/",
        "https://[fe80::1]/",
        "https://224.0.0.1/",
        "https://0.0.0.0/",
        "file:///etc/passwd",
        "gopher://itsm.example/",
        "https://user:pass@itsm.example/",
        "https://itsm.example:25/",
        "https://itsm.example:0/",
        "https://itsm.example/#fragment",
        "http://itsm.example/",
        "https:///pages",
    ],
)
def test_b18_a_receiver_that_may_not_be_called_stops_the_load(url: str) -> None:
    """With the place in the file; the URL, which may hold a token, is not repeated."""
    (found,) = complaints(url)
    assert found.startswith("gateway.yaml:1:")
    assert "clients.monitoring.tell.url: " in found
    assert url not in found


@pytest.mark.parametrize(
    ("url", "allow"),
    [
        ("https://itsm.example/hooks?key=1", "[]"),
        ("https://itsm.example:8443/", "[]"),
        ("https://8.8.8.8/", "[]"),
        ("https://[2606:4700::1111]/", "[]"),
        ("https://10.1.7.9/", "[10.1.7.0/24]"),
        ("http://10.1.7.9:8080/", "[10.1.7.0/24]"),
        ("http://localhost:8080/", "[127.0.0.0/8]"),
        ("http://itsm.intern/", "[10.0.0.0/8]"),
    ],
)
def test_a_receiver_that_may_be_called(url: str, allow: str) -> None:
    """Public ones, and those that the administrator allowed."""
    found = load_text(with_tell(url, f", allow: {allow}"), environ={"S": SECRET})
    tell = found.clients["monitoring"].tell
    assert tell is not None
    assert (tell.url, tell.about[0]) == (url, "acknowledged")


def test_other_mistakes_of_tell() -> None:
    """Secrets that nobody could sign with, kinds that there are not, keys that are misspelt."""
    assert complaints("https://itsm.example/", secret="short") == [
        "gateway.yaml:1:91: clients.monitoring.tell.secret: this is not a secret to sign with: base64 of 24 to 64"
        " bytes. Make one: openssl rand -base64 32."
    ]
    assert "old_secret" in complaints("https://itsm.example/", ", old_secret: {env: S}", "short")[-1]
    assert "about[0]" in complaints("https://itsm.example/", ", about: [delivered]")[0]
    assert "about" in complaints("https://itsm.example/", ", about: []")[0]
    assert "is not a setting" in complaints("https://itsm.example/", ", uri: x")[0]


@given(st.ip_addresses())
@hypothesis_settings(max_examples=100, deadline=None)
def test_whatever_is_not_global_is_refused(address: Any) -> None:
    """Our table refuses at least what Python does, and what an administrator allowed is called."""
    if not address.is_global:
        assert refusal(str(address), ()) is not None
    assert refusal(str(address), (str(address),)) is None
    assert refusal(str(address), (), plain=True) is not None


def test_what_is_no_address_is_refused() -> None:
    """A resolver that says something else is not believed."""
    for text in ("", "localhost", "127.1", "::1%lo", "fe80::1%eth0", "1.2.3.4 "):
        assert refusal(text, ()) is not None


def test_a_name_is_looked_at_when_it_is_called() -> None:
    """Nothing can be said against a name that is not known yet."""
    assert objection("https://itsm.example/", ()) is None


# ---------------------------------------------------------------- what is read of an answer


class Place:
    """Somebody who answers *pieces*, with pauses, and then hangs up or not."""

    def __init__(self, *pieces: bytes, hang_up: bool = True) -> None:
        self.env = SimulatedEnv(3)
        self.heard = bytearray()
        place = self

        class Talk(Protocol):
            def dataReceived(self, data: bytes) -> None:
                first = not place.heard
                place.heard += data
                if first:
                    self.say(list(pieces))

            def say(self, left: list[bytes]) -> None:
                assert self.transport is not None
                if left:
                    self.transport.write(left[0])
                    place.env.clock.callLater(1.0, self.say, left[1:])
                elif hang_up:
                    self.transport.loseConnection()

        other = self.env.world.env("hook.example")

        async def listen() -> None:
            await other.net.listen("hook.example:80", Factory.forProtocol(Talk))

        run(self.env.world, listen())

    def post(self, url: str = "http://hook.example/a?b=c", limit: float = 20.0) -> Answered:
        calling = web_call(
            self.env, "POST", url, (("X-One", "1"),), b"{}", refusal=lambda _: None, limit=limit
        )
        return run(self.env.world, calling)

    def fails(self, limit: float = 20.0) -> str:
        with pytest.raises(Unanswered) as raised:
            self.post(limit=limit)
        return str(raised.value)


OK = b"HTTP/1.1 204 No Content\r\nRetry-After: 7\r\nX: 1\r\nx: 2\r\n\r\n"


def test_what_is_answered_can_be_read() -> None:
    """The body, also in pieces; as far as it came where the line broke."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
    assert Place(head, b"one", b"two").post().body == b"onetwo"
    assert Place(head, b"one", hang_up=True).post().body == b"one"


def test_a_request_is_sent_as_it_should_be() -> None:
    """One request, its length, and the end of the connection."""
    place = Place(OK)
    assert place.post() == Answered(status=204, fields={"retry-after": "7", "x": "2"})
    assert bytes(place.heard) == (
        b"POST /a?b=c HTTP/1.1\r\nHost: hook.example\r\nX-One: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    )


@given(cuts=st.lists(st.integers(0, 120), max_size=6))
@hypothesis_settings(max_examples=30, deadline=None)
def test_an_answer_may_come_in_any_pieces(cuts: list[int]) -> None:
    """With an interim answer before it, and a body after it."""
    whole = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nhello"
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    pieces = [whole[a:b] for a, b in pairwise(places)]
    assert Place(*pieces).post(limit=60.0).status == 500


def test_a_body_that_never_ends_costs_its_time_only() -> None:
    """The status counts; what follows is read for as long as the call may take, and no further."""
    drip = b"HTTP/1.1 200 OK\r\n\r\n"
    place = Place(drip, *[b"x"] * 100)
    assert place.post(limit=5.0).status == 200
    assert place.env.clock.seconds() < 6
    flood = Place(drip, b"x" * MAX_ANSWER, hang_up=False)
    assert flood.post().status == 200
    assert flood.env.clock.seconds() < 3


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ((b"SSH-2.0-x\r\n",), "it answered something that is not HTTP"),
        ((b"HTTP/1.1 999999 X\r\n\r\n",), "it answered something that is not HTTP"),
        (
            (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nzz",),
            "it answered something that is not HTTP",
        ),
        ((), "it hung up without an answer"),
        ((b"HTTP/1.1 20",), "it hung up within its answer"),
        ((b"HTTP/1.1 200 OK\r\nX: ", b"y" * (MAX_ANSWER + 1)), "more than 64 KiB"),
    ],
)
def test_what_is_no_answer(pieces: tuple[bytes, ...], words: str) -> None:
    """Each has its sentence."""
    assert words in Place(*pieces).fails()


def test_who_says_nothing_is_left_in_time() -> None:
    """The limit is for everything together."""
    place = Place(hang_up=False)
    assert place.fails(limit=5.0) == "it did not answer within 5 s"
    assert place.env.clock.seconds() < 6


@pytest.mark.parametrize("weather", [Weather(blackhole=True), Weather(refuse=True), Weather(unknown=True)])
def test_who_cannot_be_reached(weather: Weather) -> None:
    """Why is said without the path or the query of the URL."""
    place = Place(OK)
    place.env.world.set_weather("hook.example", weather)
    why = place.fails()
    assert why.startswith("it could not be reached: ")
    assert "b=c" not in why


def test_an_address_is_asked_about_before_a_packet_is_sent() -> None:
    """Also one that stands in the URL."""
    place = Place(OK)
    asked: list[str] = []

    def no(address: str) -> str:
        asked.append(address)
        return "it is private"

    with pytest.raises(Unanswered, match=r"10\.0\.0\.1:80 is not called: it is private"):
        run(place.env.world, web_call(place.env, "POST", "http://10.0.0.1/", (), refusal=no, limit=5.0))
    assert asked == ["10.0.0.1"]
    assert not any("connects" in line for line in place.env.world.recent)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("999999999", 86_400.0),
        ("-5", None),
        ("soon", None),
        ("Fri, 01 Jan 2027 00:01:00 GMT", 60.0),
        ("Fri, 01 Jan 2026 00:01:00 GMT", 0.0),
        ("9" * 400, None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    """Seconds or a date (RFC 9110 10.2.3), a day at most; nonsense is none."""
    assert _retry_after(text, T0) == seconds


# ---------------------------------------------------------------- the calls of the API


def test_a_test_says_what_came_of_it() -> None:
    """For the caller's own receiver; an administrator names whose; without one it is a problem."""
    world = ApiWorld()
    status, answer = world.call("POST", "/v1/webhooks/test")
    assert (status, answer["told"], answer["client"]) == (200, True, "monitoring")
    assert answer["says"] == "The receiver was told: it answered 200 after 0.2 s."
    assert world.call("POST", "/v1/webhooks/test", token="w-token")[1]["code"] == "no-webhook"
    assert world.call("POST", "/v1/webhooks/test", {"client": "ward"})[0] == 403
    assert world.call("POST", "/v1/webhooks/test", {"client": "monitoring"}, uid=0)[0] == 200
    assert world.call("POST", "/v1/webhooks/test", uid=0)[0] == 404
    assert world.call("POST", "/v1/webhooks/test", {"url": "http://127.1/"})[0] == 400
    assert telling.of_test(False, None, "it hung up", 0.1) == "The receiver was not told: it hung up."
