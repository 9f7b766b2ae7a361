"""Asking for the address of the watcher outside: the one place that does so."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no stubs

from gateway import __version__
from gateway.env import Address, Env, Tls

WITHIN = 5.0  # seconds for all of it; a stop waits for it


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, env: Env) -> None:
        self._env = env

    def endpointForURI(self, uri: URI) -> Any:
        address = Address(
            host=uri.host.decode().strip("[]"), port=uri.port, tls=Tls() if uri.scheme == b"https" else None
        )
        return self._env.net.client(address, open_timeout=WITHIN)


class _Unread(Protocol):
    """What the watcher has to say beyond its status is not read."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.loseConnection()


async def ping(env: Env, url: str) -> str | None:
    """GET *url* once, without following redirects: None if the answer is 2xx, else why not.

    The address is a secret, so what is returned names its host at the most.
    """
    clock = cast(IReactorTime, env.clock)
    pool = HTTPConnectionPool(clock, persistent=False)  # type: ignore[no-untyped-call]
    agent = Agent.usingEndpointFactory(clock, _Endpoints(env), pool)  # type: ignore[no-untyped-call]
    headers = Headers({b"User-Agent": [f"gateway/{__version__}".encode()]})
    try:
        asking = agent.request(b"GET", url.encode(), headers).addTimeout(WITHIN, clock)
        answer: Any = await asking
    except (ConnectError, DNSLookupError) as error:
        return str(error).rstrip(".")
    except Exception as error:  # whatever is wrong with an answer; its words may hold the address
        late = any(reason.check(CancelledError) for reason in getattr(error, "reasons", ()))
        return f"no answer within {WITHIN:g} s" if late else f"no answer ({type(error).__name__})"
    answer.deliverBody(_Unread())
    return None if 200 <= answer.code < 300 else f"it answers {answer.code}"
