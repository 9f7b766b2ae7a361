"""Talking to the running gateway: HTTP over its unix socket, one request a connection, blocking."""

from __future__ import annotations

import http.client
import json
import os
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gateway.cli.place import Place
from gateway.cli.trouble import NOTHING_RUNS, REFUSED, SETTINGS, Trouble

ANSWER_WITHIN = 30.0  # ours: what a person waits before he looks elsewhere
MAX_ANSWER = 64 << 20  # ours: a page of 1000 messages with full texts has some 12 MB

Document = dict[str, Any]

# What an option is called by the people who type it, by the API's pointer.
_SAID_AS = {
    "to": "TARGET",
    "text": "TEXT",
    "class": "--class",
    "until": "--until",
    "expires_in": "--expires",
    "callback": "--callback",
    "incident": "--incident",
    "by": "--for",
    "for": "--for",
    "note": "--note",
    "at": "--at",
    "Idempotency-Key": "--key",
}
_REMEDIES = {
    "not-found": "gateway queue list --state all shows what is there.",
    "unknown-link": "gateway carriers list shows the names.",
    "not-a-demo": "Start one in another folder with: gateway demo",
    "unknown-person": "Write the name as the settings spell it, for example: --for carol",
    "person-required": "Say who has it, for example: --for carol",
    "already-ended": "gateway why tells its story.",
    "forbidden": "Run as root or as the user that the gateway runs as.",
    "settings-invalid": "Correct these, then run gateway reload again; the settings in effect stay.",
    "unknown-target": "gateway check lists all people; groups stand under `groups` in the settings.",
}


class Refusal(Trouble):
    """The gateway's own no: *problem* is the API's object, *status* its HTTP status."""

    def __init__(self, problem: Document, status: int, retry_after: str | None) -> None:
        code = str(problem.get("code", f"http-{status}"))
        errors = [error for error in problem.get("errors") or () if isinstance(error, dict)]
        detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        again = f"Try again in {retry_after} s." if retry_after else "Try again in a moment."
        remedy = _REMEDIES.get(code) or (again if problem.get("retry") else None)
        if remedy is None:
            remedy = "Correct it and send it again; nothing was stored."
        super().__init__(
            SETTINGS if code == "settings-invalid" else REFUSED,
            code,
            detail,
            remedy,
            details=tuple(line for error in errors for line in _complaint(error, detail)),
            problem=problem,
        )
        self.status = status


class Silence(Trouble):
    """No gateway answers. *sent*: a request went out, so it may have been served."""

    def __init__(self, token: str, what: str, remedy: str, *, sent: bool = False) -> None:
        super().__init__(NOTHING_RUNS, token, what, remedy)
        self.sent = sent


class Daemon:
    """The gateway at *place*. Every call returns the API's JSON, or raises Refusal or Silence."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def get(self, path: str, *, within: float = ANSWER_WITHIN, **query: object) -> Document:
        """A question; parameters that are None are left out."""
        asked = {name.rstrip("_"): value for name, value in query.items() if value is not None}
        return self._call("GET", f"{path}?{urlencode(asked)}" if asked else path, None, {}, within)

    def post(
        self,
        path: str,
        body: Document | None = None,
        *,
        key: str | None = None,
        within: float = ANSWER_WITHIN,
    ) -> Document:
        """An order; *key* is its Idempotency-Key."""
        head = {"Content-Type": "application/json"}
        if key is not None:
            head["Idempotency-Key"] = f'"{_quoted(key)}"'
        return self._call("POST", path, encoded(body or {}), head, within)

    def _call(
        self, method: str, path: str, body: bytes | None, head: dict[str, str], within: float
    ) -> Document:
        connection = _Connection(self._place.socket, within)
        try:
            try:
                connection.connect()
            except OSError as problem:
                raise _unreachable(self._place, problem) from None
            try:
                connection.request(method, path, body, {"Accept": "application/json", **head})
                response = connection.getresponse()
                text = response.read(MAX_ANSWER + 1)
            except TimeoutError:
                raise Silence(
                    "no-answer",
                    f"The gateway did not answer within {within:.0f} s.",
                    "Look at its log; a gateway that hangs is started again by its supervisor.",
                    sent=True,
                ) from None
            except (OSError, http.client.HTTPException):
                raise Silence(
                    "broke-off",
                    "The gateway hung up without an answer.",
                    f"It may have stopped: {self._place.start} starts it; its log says why.",
                    sent=True,
                ) from None
        finally:
            connection.close()
        return _answer(response, text)


def encoded(document: Document) -> bytes:
    """JSON without blanks. A body has the same bytes when it is posted and, later, when it is taken from the
    spool directory: the gateway tells requests under one Idempotency-Key apart by their bytes."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, within: float) -> None:
        super().__init__("gateway", timeout=within)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


def message_path(ref: str, verb: str = "") -> str:
    """The API's path of a message, by reference or id as people type them (``7k3m``, ``#7K3M``)."""
    ref = quote(ref.strip().removeprefix("#"), safe="")
    return f"/v1/messages/{ref}" + (f"/{verb}" if verb else "")


def link_path(link: str, verb: str) -> str:
    """The API's path of something done to a link."""
    return f"/v1/links/{quote(link, safe='')}/{verb}"


def _answer(response: http.client.HTTPResponse, text: bytes) -> Document:
    try:
        value = json.loads(text) if len(text) <= MAX_ANSWER else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Silence(
            "not-a-gateway",
            f"What answers is not a gateway of this version (HTTP {response.status}).",
            "Is another program at the socket, or an older gateway still running? Restart it.",
            sent=True,
        )
    if response.status >= HTTPStatus.BAD_REQUEST:
        raise Refusal(value, response.status, response.getheader("Retry-After"))
    return value


def _unreachable(place: Place, problem: OSError) -> Silence:
    if isinstance(problem, PermissionError):
        return Silence(
            "not-allowed",
            f"You may not use the control socket {place.socket}.",
            "Run as root or as the user that the gateway runs as.",
        )
    if "too long" in str(problem):  # 107 bytes on Linux, 103 on macOS (unix(7))
        return Silence(
            "socket-path",
            f"The path of the control socket is too long for this system: {place.socket}.",
            "Set site.control to a shorter path, for example /run/gateway.sock",
        )
    if isinstance(problem, TimeoutError):
        return Silence(
            "no-answer",
            f"The gateway at {place.socket} takes no connection.",
            "It hangs or is overloaded; look at its log.",
        )
    return Silence(
        "nothing-runs",
        f"No gateway runs here (nobody listens at {place.socket}).",
        f"Start it with: {place.start}",
    )


def _complaint(error: Document, detail: str) -> list[str]:
    pointer = str(error.get("pointer", ""))
    name = pointer.removeprefix("#/").removeprefix("?").split("/")[0]
    said = str(error.get("detail") or error.get("code") or "")
    near = [str(word) for word in error.get("try") or ()]
    lead = "" if error.get("code") == "settings-invalid" else f"{_SAID_AS.get(name, name)}: "
    lines = [] if said == detail or not said else [f"{lead}{said}"]
    return lines + ([f"{lead}did you mean {' or '.join(near)}?"] if near else [])


def _quoted(key: str) -> str:
    return key.replace("\\", "\\\\").replace('"', '\\"')
