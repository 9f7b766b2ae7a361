"""Server-sent events: a timeline as it grows, over a real HTTP server in the simulated world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from twisted.internet.protocol import Factory, Protocol

from gateway.api.streaming import HEARTBEAT
from gateway.env import Address
from gateway.env.simulated import run
from gateway.model import MessageKey
from gateway.web import HttpServer
from tests.gateway.api_world import ApiWorld, event

KEY = MessageKey(1)
ID = f"01jdb7q5t0{KEY:016d}"


class Reader(Protocol):
    """Somebody who reads a stream."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True

    @property
    def lines(self) -> list[str]:
        """What came, without the framing of chunks."""
        _, _, body = self.heard.partition(b"\r\n\r\n")
        out = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            out += body[: int(size, 16)]
            body = body[int(size, 16) + 2 :]
        return out.decode().split("\n\n")[:-1]

    @property
    def ids(self) -> list[int]:
        return [int(line.split("\n")[0][4:]) for line in self.lines if line.startswith("id: ")]


class Streaming(ApiWorld):
    """The API behind an HTTP server."""

    def __init__(self) -> None:
        super().__init__()
        self.server = HttpServer(
            clock=self.env.clock, handler=self.router, wall=self.env.wall, make_id=lambda: "r-1"
        )
        self.run(self._listen())

    def run(self, coroutine: Any) -> Any:
        return run(self.env.world, coroutine)

    async def _listen(self) -> None:
        await self.env.net.listen("0.0.0.0:80", self.server)

    def open(self, url: str = f"/v1/messages/{ID}/events", **fields: str) -> Reader:
        reader = Reader()
        other = self.env.world.env("reader.example")
        head = {"Host": "x", "Authorization": "Bearer m-token", "Accept": "text/event-stream"}
        head |= {name.replace("_", "-"): value for name, value in fields.items()}
        lines = [f"GET {url} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]

        async def connect() -> None:
            endpoint = other.net.client(Address(host="node", port=80), open_timeout=5)
            factory = Factory()
            factory.buildProtocol = lambda addr: reader  # type: ignore[method-assign,assignment]
            await endpoint.connect(factory)
            assert reader.transport is not None
            reader.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n")

        self.run(connect())
        self.wait(0.1)
        return reader

    def wait(self, seconds: float) -> None:
        self.env.world.clock.advance(seconds)

    def happens(self, kind: str, ring: bool = True, **data: Any) -> None:
        row = self.shelf.rows[KEY]
        more = event(len(row.timeline) + 1, kind, self.env.clock.seconds(), **data)
        self.shelf.change(KEY, timeline=(*row.timeline, more))
        if kind == "ended":
            self.shelf.change(KEY, ending=data["ending"])
        if ring:
            self.bell.ring(KEY)


@pytest.fixture
def world() -> Iterator[Streaming]:
    made = Streaming()
    yield made
    made.run(made.server.drain(1.0))


def test_a_stream_begins_with_what_there_is_and_goes_on(world: Streaming) -> None:
    """Each event once, with its number, kind and line, as soon as somebody rings."""
    reader = world.open()
    assert b"HTTP/1.1 200 OK" in reader.heard
    assert b"Content-Type: text/event-stream" in reader.heard
    assert reader.ids == [1]
    world.happens("paused", by="dana")
    world.wait(0.1)
    assert reader.ids == [1, 2]
    name, kind, data = reader.lines[1].split("\n")
    assert (name, kind) == ("id: 2", "event: paused")
    line = msgspec.json.decode(data.removeprefix("data: "))
    assert (line["n"], line["what"], line["says"]) == (2, "paused", "Held back by dana")
    assert not reader.lost


def test_a_ring_that_was_lost_costs_five_seconds(world: Streaming) -> None:
    """The record is the truth; the bell is a hint."""
    reader = world.open()
    world.happens("paused", ring=False)
    world.wait(5.1)
    assert reader.ids == [1, 2]


@pytest.mark.parametrize(
    ("url", "fields", "ids"),
    [
        ("?after=1", {}, [2, 3]),
        ("", {"Last_Event_ID": "2"}, [3]),
        ("?after=1", {"Last_Event_ID": "2"}, [3]),
        ("?after=3", {}, []),
    ],
)
def test_who_comes_again_goes_on_where_it_was(
    world: Streaming, url: str, fields: dict[str, str], ids: list[int]
) -> None:
    """By Last-Event-ID, as browsers do, or by ?after=."""
    world.happens("paused")
    world.happens("resumed")
    assert world.open(f"/v1/messages/{ID}/events{url}", **fields).ids == ids


def test_a_stream_ends_with_its_message(world: Streaming) -> None:
    """After the last event the answer is whole; who asks again is told to stop."""
    reader = world.open()
    world.happens("ended", ending="failed")
    world.wait(0.1)
    assert reader.ids == [1, 2]
    assert reader.heard.endswith(b"0\r\n\r\n")
    again = world.open(Last_Event_ID="2")
    assert again.heard.startswith(b"HTTP/1.1 204 No Content\r\n")
    late = world.open()
    assert (late.ids, late.heard.endswith(b"0\r\n\r\n")) == ([1, 2], True)


def test_a_silent_stream_has_a_heartbeat(world: Streaming) -> None:
    """A comment every 15 s, so that nobody between takes the connection for dead."""
    reader = world.open()
    world.wait(4 * HEARTBEAT + 1)
    assert reader.lines[1:] == [": still here"] * 4
    assert not reader.lost


def test_other_calls_are_as_before(world: Streaming) -> None:
    """Without the word in Accept the timeline is JSON; mistakes and other people's messages are problems."""
    assert world.call("GET", f"/v1/messages/{ID}/events", accept="*/*")[1]["events"][0]["n"] == 1
    assert world.open(Last_Event_ID="x").heard.startswith(b"HTTP/1.1 400 ")
    assert world.open("/v1/messages/ZZZZ/events").heard.startswith(b"HTTP/1.1 404 ")
    assert world.open("/v1/messages/7KDD/events").heard.startswith(b"HTTP/1.1 404 ")


def test_a_reader_that_left_leaves_nothing_behind(world: Streaming) -> None:
    """No timer, no bell, no connection."""
    reader = world.open()
    assert reader.transport is not None
    reader.transport.abortConnection()
    world.wait(1)
    assert world.server.connections == 0
    assert world.bell._waiting == {}
    assert world.env.world.clock.due() is None


def test_a_reader_that_does_not_read_is_cut_off(world: Streaming) -> None:
    """It costs the write buffer and 30 s; the timeline is not gathered for it."""
    reader = world.open()
    assert reader.transport is not None
    reader.transport.pauseProducing()  # type: ignore[union-attr]
    for _ in range(200):
        world.happens("reply", text="x" * 1000)
        world.wait(0.01)
    assert world.server.connections == 1
    world.wait(31)
    assert world.server.connections == 0


def test_a_stop_ends_streams_at_once(world: Streaming) -> None:
    """In good order: the answer is whole, and the reader may come again elsewhere."""
    reader = world.open()
    began = world.env.clock.seconds()
    world.run(world.server.drain(5.0))
    assert world.env.clock.seconds() - began < 1
    world.wait(0.1)
    assert reader.heard.endswith(b"0\r\n\r\n")
