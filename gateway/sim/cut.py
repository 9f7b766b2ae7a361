"""Cutting a path: connections by it break, and new ones come to nothing until it is mended.

For gateways whose carriers are all simulated: nobody cuts off a real one by a command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import NoRouteError, TimeoutError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no stubs

from gateway.env import Address, Clock, Endpoint, Env, Port, Tls
from gateway.env.tls import ServerTls

log = Logger()


class _Cut:
    """One path that is cut now."""

    def __init__(self, refuse: bool, mends_itself: Any) -> None:
        self.refuse = refuse
        self._mends_itself = mends_itself  # an IDelayedCall, which mypy cannot read
        self._waiting: dict[Deferred[None], None] = {}

    def mended(self) -> Deferred[None]:
        """Fires when it is over; may be cancelled."""
        waits: Deferred[None] = Deferred(lambda it: self._waiting.pop(it, None))
        self._waiting[waits] = None
        return waits

    def end(self) -> None:
        if self._mends_itself is not None and self._mends_itself.active():
            self._mends_itself.cancel()
        waiting, self._waiting = self._waiting, {}
        for waits in waiting:
            waits.callback(None)


class Cuttable:
    """The network of *env*, with paths that can be cut.

    *ways*: the ``host:port`` that are reached by each path; may grow while it runs. What stands nowhere is
    never cut. A cut is felt by those who connect: who listens notices that his connections break.
    """

    def __init__(self, env: Env) -> None:
        self.ways: dict[str, set[str]] = {}
        self._net = env.net
        self._clock = env.clock
        self._cuts: dict[str, _Cut] = {}
        self._open: WeakKeyDictionary[Any, str] = WeakKeyDictionary()  # protocols; some have ended long ago

    # gateway.api.ports.Cuts

    def cut(self, path: str, *, seconds: float | None, refuse: bool) -> None:
        """Break what is open over *path*; new connections hang until their time limit, or fail at once if
        they are to be *refuse*d. For *seconds*; None: until it is mended. Cutting again begins anew."""
        before = self._cuts.get(path)
        late = None if seconds is None else self._clock.callLater(seconds, self.mend, path)
        self._cuts[path] = _Cut(refuse, late)
        if before is not None:
            before.end()  # whoever hangs goes on hanging
        log.warn("path cut: {path}", path=path, seconds=seconds, refuse=refuse)
        for protocol, address in list(self._open.items()):
            if address in self.ways.get(path, ()):
                _break(protocol)

    def mend(self, path: str) -> None:
        """Connections pass again; those that hang are made now. Nothing happens to a path that is whole."""
        cut = self._cuts.pop(path, None)
        if cut is not None:
            log.warn("path mended: {path}", path=path)
            cut.end()

    def cut_of(self, address: str) -> _Cut | None:
        """What keeps from reaching *address*; None: nothing."""
        return next((cut for path, cut in self._cuts.items() if address in self.ways.get(path, ())), None)

    def opened(self, protocol: Any, address: str) -> None:
        """A connection was made, perhaps while its path was being cut."""
        self._open[protocol] = address
        if self.cut_of(address) is not None:
            _break(protocol)

    # gateway.env.Net

    def client(
        self, address: Address, *, open_timeout: float, refusal: Callable[[str], str | None] | None = None
    ) -> Endpoint:
        inner = self._net.client(address, open_timeout=open_timeout, refusal=refusal)
        return _Endpoint(self, inner, str(address), open_timeout, self._clock)

    def tls_options(self, tls: Tls, host: str) -> Any:
        return self._net.tls_options(tls, host)

    def listen(self, at: str, factory: Any, tls: ServerTls | None = None) -> Deferred[Port]:
        return self._net.listen(at, factory, tls)


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """Connects unless the path is cut; then as if the packets were lost, or there were no route."""

    def __init__(
        self, net: Cuttable, inner: Endpoint, address: str, open_timeout: float, clock: Clock
    ) -> None:
        self._net = net
        self._inner = inner
        self._address = address
        self._open_timeout = open_timeout
        self._clock = clock

    def connect(self, factory: Any) -> Deferred[Any]:
        cut = self._net.cut_of(self._address)
        if cut is not None and cut.refuse:
            return fail(NoRouteError(string=f"there is no way to {self._address}"))  # type: ignore[no-untyped-call]
        connecting = Deferred.fromCoroutine(self._connect(factory))
        return connecting.addTimeout(self._open_timeout, self._clock, self._too_slow)  # type: ignore[arg-type]  # Clock is IReactorTime

    async def _connect(self, factory: Any) -> Any:
        while (cut := self._net.cut_of(self._address)) is not None:
            await cut.mended()
        protocol = await self._inner.connect(factory)
        self._net.opened(protocol, self._address)
        return protocol

    def _too_slow(self, _: object, limit: float) -> Failure:
        late = f"{self._address} did not answer within {limit:g} s"
        return Failure(TimeoutError(string=late))  # type: ignore[no-untyped-call]


def _break(protocol: Any) -> None:
    if protocol.transport is not None:
        protocol.transport.abortConnection()
