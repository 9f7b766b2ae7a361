"""The gateway's own API in a story: requests as programs and administrators make them, without a wire."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from gateway.api.bodies import NoQuery
from gateway.api.calls import Call
from gateway.api.ports import Api
from gateway.api.routes import make_router
from gateway.web import Peer, Request, Response
from tests.stories.world import ADMINISTRATOR, Story

TOKEN = "s3cret"  # of monitoring, in stories that say so
TOKEN_SHA256 = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0"


def api_of(story: Story) -> Api:
    """What the house gives its HTTP door."""
    house = story.house
    return Api(
        env=story.env,
        reception=house.reception,
        records=story.store.records,
        desk=story.store.desk,
        bell=house.bell,
        lanes=house,
        operations=house,
        webhooks=house.notify,
        metrics=house.metrics,
        uid=0,
    )


def request(story: Story, method: str, url: str) -> Call:
    """What a call is given that an administrator makes."""
    asked = Request(method=method, path=url, peer=Peer(uid=0), make_id=lambda: "r-1")
    return Call(request=asked, client=ADMINISTRATOR, query=NoQuery())


def call(
    story: Story, method: str, url: str, body: Any = None, *, token: str | None = None, **headers: str
) -> tuple[int, Any]:
    """Status and JSON of the answer; by the control socket, unless a *token* is given."""
    parts = urlsplit(url)
    fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    if token is not None:
        fields[b"authorization"] = f"Bearer {token}".encode()
    request = Request(
        method=method,
        path=unquote(parts.path),
        query=parse_qs(parts.query, keep_blank_values=True),
        fields=fields,
        body=b"" if body is None else msgspec.json.encode(body),
        peer=Peer(uid=0) if token is None else Peer(address="127.0.0.1"),
        make_id=lambda: "r-1",
    )
    answer = story.run(make_router(api_of(story))(request))
    assert isinstance(answer, Response)
    return answer.status, msgspec.json.decode(answer.body)
