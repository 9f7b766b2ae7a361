"""Paths and methods find their handler."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred

from gateway.web import Answer, Request, Response, Router


async def whole(request: Request) -> Answer:
    return Response(body=b"whole")


async def one(request: Request, id: str) -> Answer:
    return Response(body=b"one " + id.encode())


async def event(request: Request, id: str, n: str) -> Answer:
    return Response(body=f"event {id} {n}".encode())


async def latest(request: Request) -> Answer:
    return Response(body=b"latest")


@pytest.fixture
def router() -> Router:
    router = Router()
    router.add("GET", "/v1/messages", whole)
    router.add("POST", "/v1/messages", whole)
    router.add("GET", "/v1/messages/latest", latest)
    router.add("GET", "/v1/messages/{id}", one)
    router.add("DELETE", "/v1/messages/{id}", one)
    router.add("POST", "/v1/messages/{id}/events/{n}.json", event)
    return router


def ask(router: Router, method: str, path: str) -> Response:
    got: list[Response] = []
    Deferred.fromCoroutine(router(Request(method=method, path=path, make_id=lambda: "r1"))).addCallback(
        got.append
    )
    return got[0]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/messages", b"whole"),
        ("HEAD", "/v1/messages", b"whole"),
        ("GET", "/v1/messages/latest", b"latest"),
        ("GET", "/v1/messages/ä%2F+ 1", "one ä%2F+ 1".encode()),
        ("DELETE", "/v1/messages/7", b"one 7"),
        ("POST", "/v1/messages/7/events/8.json", b"event 7 8"),
    ],
)
def test_a_request_finds_its_handler(router: Router, method: str, path: str, body: bytes) -> None:
    """A fixed path wins over a template; a name stands for one segment; GET answers HEAD."""
    assert ask(router, method, path).body == body


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "*",
        "/v1/messages/",
        "/v1/messages/7/",
        "/v1/messages/7/8",
        "/v1/messages/7/events/8xjson",
        "/V1/messages",
    ],
)
def test_unknown_paths_are_404(router: Router, path: str) -> None:
    """A path is matched as a whole, as it is written."""
    answer = ask(router, "GET", path)
    assert answer.status == 404
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": "not-found",
        "detail": "There is nothing at this path.",
        "request_id": "r1",
    }


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/messages", "GET, HEAD, POST"),
        ("/v1/messages/7", "DELETE, GET, HEAD"),
        ("/v1/messages/7/events/8.json", "POST"),
    ],
)
def test_other_methods_are_405(router: Router, path: str, allow: str) -> None:
    """A known path says which methods it takes (RFC 9110 15.5.6)."""
    answer = ask(router, "PATCH", path)
    assert answer.status == 405
    assert ("Allow", allow) in answer.headers


def test_the_table_can_be_listed(router: Router) -> None:
    """The OpenAPI document is written from the table itself."""
    assert [(route.method, route.template) for route in router] == [
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages"),
        ("GET", "/v1/messages/latest"),
        ("GET", "/v1/messages/{id}"),
        ("DELETE", "/v1/messages/{id}"),
        ("POST", "/v1/messages/{id}/events/{n}.json"),
    ]


@pytest.mark.parametrize("template", ["v1", "", "/{Id}", "/{id", "/}", "/v1/messages", "/v1/messages/{id}"])
def test_odd_and_double_routes_are_refused(router: Router, template: str) -> None:
    """A mistake in the table stops the start."""
    with pytest.raises(ValueError):
        router.add("GET", template, whole)


def test_errors_have_the_shape_of_the_api() -> None:
    """The api hands in how its errors look."""
    router = Router(
        lambda status, code, detail, *, request_id, headers: Response(status=status, body=code.encode())
    )
    assert ask(router, "GET", "/").body == b"not-found"
