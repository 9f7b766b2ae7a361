"""The OpenAPI 3.1 document, from the table of routes, the JSON shapes and the table of problems."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import msgspec

from gateway import __version__
from gateway.api.answers import Document, Problem
from gateway.api.calls import Route, Who
from gateway.api.problems import KINDS
from gateway.api.reading import NDJSON
from gateway.web.messages import phrase

_REF = "#/components/schemas/{name}"


def document(routes: tuple[Route, ...]) -> Document:
    """The whole document."""
    kinds = {
        kind
        for route in routes
        for kind in (route.answer, route.body, route.query, *(route.lines or ()))
        if kind
    }
    named = sorted(
        (kind for kind in kinds if isinstance(kind, type) and kind is not str), key=lambda kind: kind.__name__
    )
    _, components = msgspec.json.schema_components([*named, Problem], ref_template=_REF)
    queries = {route.query.__name__ for route in routes}
    paths: dict[str, Any] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gateway",
            "version": __version__,
            "summary": "Gets an urgent message to a person, and proves it.",
            "description": "v1 only gains fields. Errors are problem documents (RFC 9457) with stable codes.",
        },
        "paths": dict(paths),
        "components": {
            "schemas": {name: components[name] for name in sorted(components) if name not in queries},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.says,
        "description": f"For {route.who.value}.",
        "security": [] if route.who is Who.ANYONE else [{"token": []}],
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    query = components[route.query.__name__]
    parameters += [
        {
            "name": name,
            "in": "query",
            "required": name in query.get("required", ()),
            "schema": {key: value for key, value in schema.items() if key != "description"},
            "description": schema.get("description", ""),
        }
        for name, schema in query["properties"].items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        good = {e.name: {"value": e.body} for e in route.examples if e.body is not None and e.status < 300}
        operation["requestBody"] = {
            "required": bool(components[route.body.__name__].get("required")),
            "content": {"application/json": _content(route.body.__name__, good)} | _lines(route, 0),
        }
    operation["responses"] = _responses(route)
    return operation


def _responses(route: Route) -> dict[str, Any]:
    statuses = {
        str(status): {"description": phrase(status), "content": _answer(route)} for status in _good(route)
    }
    by_status: dict[int, list[str]] = defaultdict(list)
    codes = [*route.problems]
    if route.who is not Who.ANYONE:
        codes.append("unauthorized")
    if route.who is Who.ADMINISTRATOR:
        codes.append("forbidden")
    if route.body is not None:
        codes += ["json.invalid", "json.duplicate_key", "field.unknown", "field.type", "body.invalid"]
        codes += ["media_type.unsupported", "body-too-large"]
    for code in codes:
        by_status[KINDS[code].status].append(code)
    for status, listed in sorted(by_status.items()):
        statuses[str(status)] = {
            "description": f"{phrase(status)}: " + ", ".join(f"`{code}`" for code in sorted(set(listed))),
            "content": {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}},
        }
    return dict(sorted(statuses.items()))


def _good(route: Route) -> list[int]:
    """The statuses that carry the route's own answer."""
    also = {example.status for example in route.examples if example.status < 300}
    return sorted({route.status, *also} | ({503} if route.path == "/readyz" else set()))


def _answer(route: Route) -> dict[str, Any]:
    if route.answer is str:
        return {route.media: {"schema": {"type": "string"}}}
    stream = {"text/event-stream": {"schema": {"type": "string"}}} if route.streams else {}
    if isinstance(route.answer, type):
        return {"application/json": _content(route.answer.__name__, {})} | _lines(route, 1) | stream
    return {"application/json": {"schema": {"type": "object"}}} | stream


def _lines(route: Route, side: int) -> dict[str, Any]:
    """NDJSON, if the route speaks it: what one line is."""
    return {} if route.lines is None else {NDJSON[0]: _content(route.lines[side].__name__, {})}


def _content(name: str, examples: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": _REF.format(name=name)}}
    return content | ({"examples": examples} if examples else {})


def operation_id(route: Route) -> str:
    """``post_v1_messages_id_cancel``."""
    return "_".join([route.method.lower(), *re.findall(r"[a-z0-9]+", route.path)])


def as_text(routes: tuple[Route, ...]) -> str:
    """The document as the docs keep it."""
    return (
        msgspec.json.format(msgspec.json.encode(document(routes), order="sorted"), indent=2).decode() + "\n"
    )
