"""Which handler answers: by method and path template, nothing cleverer."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from msgspec import Struct

from gateway.web.messages import Answer, Problem, Request, Response, problem_response

_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Route(Struct, frozen=True, kw_only=True):
    """One entry of the table; the OpenAPI document is written from these."""

    method: str
    template: str
    handler: Callable[..., Coroutine[Any, Any, Answer]]


class Router:
    """Calls ``handler(request, **values)``, where *values* are the ``{names}`` of the template.

    A name stands for one non-empty path segment, percent-decoded. A fixed path wins over a template; GET
    also answers HEAD. Anything else is a 404, or a 405 with the methods that the path has.
    """

    def __init__(self, problem: Problem = problem_response) -> None:
        self._problem = problem
        self._fixed: dict[str, dict[str, Route]] = {}
        self._templates: list[tuple[re.Pattern[str], dict[str, Route]]] = []

    def add(self, method: str, template: str, handler: Callable[..., Coroutine[Any, Any, Answer]]) -> None:
        """Enter a route. ValueError: the same method and template are taken, or the template is odd."""
        if not template.startswith("/") or re.search(r"[{}]", _NAME.sub("", template)):
            raise ValueError(f"not a path template: {template}")
        methods = self._methods_of(template)
        if method in methods:
            raise ValueError(f"{method} {template} is there twice")
        methods[method] = Route(method=method, template=template, handler=handler)

    def _methods_of(self, template: str) -> dict[str, Route]:
        if "{" not in template:
            return self._fixed.setdefault(template, {})
        parts = _NAME.split(template)  # fixed, name, fixed, name, ..., fixed
        parts[::2] = [re.escape(part) for part in parts[::2]]
        parts[1::2] = [f"(?P<{name}>[^/]+)" for name in parts[1::2]]
        pattern = re.compile("".join(parts))
        for known, methods in self._templates:
            if known == pattern:
                return methods
        self._templates.append((pattern, {}))
        return self._templates[-1][1]

    def __iter__(self) -> Iterator[Route]:
        for methods in (*self._fixed.values(), *(methods for _, methods in self._templates)):
            yield from methods.values()

    def __call__(self, request: Request) -> Coroutine[Any, Any, Answer]:
        """The coroutine of the handler that answers *request*."""
        values: dict[str, str] = {}
        methods = self._fixed.get(request.path)
        if methods is None:
            for pattern, methods in self._templates:  # noqa: B007  the one found is used below
                if match := pattern.fullmatch(request.path):
                    values = match.groupdict()
                    break
            else:
                return self._refuse(404, "not-found", "There is nothing at this path.", request)
        route = methods.get(request.method)
        if route is None and request.method == "HEAD":
            route = methods.get("GET")
        if route is None:
            allow = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
            return self._refuse(
                405, "method-not-allowed", f"This path takes {allow}.", request, (("Allow", allow),)
            )
        return route.handler(request, **values)

    async def _refuse(
        self, status: int, code: str, detail: str, request: Request, headers: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        return self._problem(status, code, detail, request_id=request.request_id, headers=headers)
