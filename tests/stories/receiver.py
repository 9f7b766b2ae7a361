"""A client's receiver of webhooks: keeps what it was told, and answers as a story wants it."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from gateway.web import HttpServer, Request, Response
from tests.standard_webhooks import verify
from tests.stories.world import ENVIRON, Story, seconds_of

HOOK = "https://hook.example/pages?key=k"
AT = "hook.example:443"


class Told(msgspec.Struct, frozen=True):
    """One call: when, what, how it was answered."""

    at: float
    id: str
    body: dict[str, Any]
    status: int
    fields: dict[bytes, bytes]

    @property
    def kind(self) -> str:
        return str(self.body["type"])

    @property
    def place(self) -> tuple[str, int, int]:
        """Which message, which event, and its number among what is told of it."""
        data = self.body["data"]
        return data["message"]["id"], data["n"], data["seq"]


class Receiver:
    """Every call is verified; *status* is what it answers, *takes* seconds, with *headers*."""

    def __init__(self, story: Story, at: str = AT, secret: str = ENVIRON["HOOK"]) -> None:
        self.story = story
        self.at = at
        self.secret = secret
        self.status = 200
        self.takes = 0.0
        self.headers: tuple[tuple[str, str], ...] = ()
        self.calls: list[Told] = []
        self.busy = self.busiest = 0
        self.env = story.world.env(at.rpartition(":")[0])
        self._port: Any = None
        self.open()

    def open(self) -> None:
        server = HttpServer(
            clock=self.env.clock, handler=self._take, wall=self.env.wall, make_id=lambda: "theirs"
        )
        self._port = self.story.run(_listening(self.env.net.listen(self.at, server)))

    def close(self) -> None:
        """Connections are refused from now on."""
        self._port.stopListening()

    async def _take(self, request: Request) -> Response:
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        try:
            if self.takes:
                await self.env.sleep(self.takes)
        finally:
            self.busy -= 1
        fields = {name.decode(): value.decode("latin-1") for name, value in request.fields.items()}
        message = verify(self.secret, fields, request.body, self.env.wall() / 1e6)
        assert (request.method, request.path) == ("POST", "/pages")
        told = Told(
            at=seconds_of(self.env.now()),
            id=message,
            body=msgspec.json.decode(request.body),
            status=self.status,
            fields=request.fields,
        )
        self.calls.append(told)
        return Response(status=self.status, headers=self.headers)

    @property
    def told(self) -> list[Told]:
        """What it has said yes to."""
        return [call for call in self.calls if 200 <= call.status < 300]

    @property
    def kinds(self) -> list[str]:
        return [call.kind for call in self.told]


async def _listening(port: Deferred[Any]) -> Any:
    return await port
