"""What a call is given, who may make it, and what most calls begin with."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pwd import getpwuid
from typing import Any

import msgspec

from gateway.adapters.base import Client
from gateway.api import says
from gateway.api.bodies import Body
from gateway.api.ports import Api
from gateway.api.problems import KINDS
from gateway.api.says import Around
from gateway.errors import SubmissionError
from gateway.store.base import MessageRow
from gateway.web import Answer, Request


class Who(enum.Enum):
    """Who may make a call; the text is for the docs."""

    ANYONE = "anyone"
    CLIENT = "a client with its token, or an administrator"
    ADMINISTRATOR = "an administrator"


class Call(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One request that may be made. *query* is of the route's type, *key* the name in the path."""

    request: Request
    client: Client
    query: Any
    key: str = ""

    @property
    def own(self) -> str | None:
        """Whose messages the caller may see: only its own, or (None) everybody's."""
        return None if self.client.administrator else self.client.name


Handler = Callable[[Api, Call], Awaitable[Answer]]


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A request and the status of its answer; stands in the docs and is executed by the tests.

    ``{open}``, ``{held}`` and ``{ended}`` in *path* stand for messages that the tests have put there.
    """

    name: str
    path: str
    status: int
    body: Any = None
    headers: dict[str, str] = {}


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of everything that can be called. One that *streams* also answers with
    server-sent events, if asked for them. *lines*: what a line is, of NDJSON sent and answered."""

    method: str
    path: str
    who: Who
    call: Handler
    says: str
    answer: Any
    status: int = 200
    media: str = "application/json"
    query: type[Body]
    body: type[Body] | None = None
    streams: bool = False
    lines: tuple[type[Body], Any] | None = None
    problems: tuple[str, ...] = ()
    examples: tuple[Example, ...]


def refuse(code: str, detail: str) -> SubmissionError:
    """The error of the table."""
    return SubmissionError(KINDS[code].status, code, detail)


def authenticate(api: Api, request: Request) -> Client:
    """Who calls. SubmissionError 401, with one text for all reasons.

    A token decides wherever one is given; without, the owner of the control socket is an administrator.
    """
    credential = request.header("authorization")
    uid = request.peer.uid
    if credential is None and uid is not None and uid in (0, api.uid):
        return Client(name=user_name(uid), administrator=True)
    scheme, _, token = (credential or "").partition(" ")
    client = api.reception.identify(token.strip() if scheme.lower() == "bearer" else "", request.peer.address)
    if client is None:
        raise refuse("unauthorized", "This needs a valid token: Authorization: Bearer TOKEN.")
    return client


@lru_cache(maxsize=64)
def user_name(uid: int) -> str:
    """Whom an administrator on this machine is known as: the same through the socket and the spool."""
    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def around(api: Api) -> Around:
    """What sentences need to know, as of now."""
    lanes = api.lanes
    return says.around(
        api.operations.settings(), lanes.status(), api.env.now(), lines=lanes.lines(), down=lanes.paths_down()
    )


async def find(api: Api, call: Call) -> MessageRow:
    """The message of the path, by id or reference. 404 also for one of somebody else."""
    row = await look(api, call, call.key)
    if row is None:
        raise refuse("not-found", "There is no such message of yours.")
    return row


async def look(api: Api, call: Call, key: str) -> MessageRow | None:
    """By public id (26 characters) or reference, in any case."""
    if not key.isascii() or len(key) > 26:
        return None
    return await api.records.message(key.lower() if len(key) == 26 else key.upper(), client=call.own)
