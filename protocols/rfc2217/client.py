"""A serial port of a device server, on Twisted: an endpoint for whoever talks over the port."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from protocols.events import Write
from protocols.rfc2217 import session as s
from protocols.rfc2217.messages import Failed, Line, Ready, Received, Signals
from protocols.wire import Clock, Endpoint, Transport

OPEN_TIMEOUT = 10.0  # seconds to connect, to agree and to set the port; ours


class RemotePort:
    """The port behind *endpoint*, set to *line*.

    ``connect`` fails with ConnectError if the server does not do what we need, and gives *factory*'s protocol
    the port as its transport otherwise. *carrier_lost* is called when DCD falls.
    """

    def __init__(
        self, endpoint: Endpoint, clock: Clock, line: Line, *, open_timeout: float = OPEN_TIMEOUT
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._line = line
        self._open_timeout = open_timeout
        self._port: _Port | None = None
        self.carrier_lost: Callable[[], None] = lambda: None

    def connect(self, factory: Any, /) -> Deferred[Any]:
        """Connect, agree, set; once."""
        port = self._port = _Port(self, factory, self._clock, self._line, self._open_timeout)
        connecting = self._endpoint.connect(Factory.forProtocol(lambda: port))
        port.connecting = connecting
        connecting.addErrback(port.not_connected)
        return port.opened

    def set_dtr(self, up: bool) -> None:
        """DTR up or down, if the port is open."""
        if self._port is not None:
            self._port.set_dtr(up)


class _Port(Protocol):
    """The connection; and the transport of whoever talks."""

    def __init__(
        self, owner: RemotePort, factory: Any, clock: Clock, line: Line, open_timeout: float
    ) -> None:
        self.opened: Deferred[Any] = Deferred(lambda _: self._give_up("given up by us"))
        self.connecting: Deferred[Any] | None = None
        self.disconnecting = False
        self._owner = owner
        self._factory = factory
        self._session = s.ClientSession(line)
        self._inner: Protocol | None = None
        self._wire: Transport | None = None
        late = f"the device server has not set the port within {open_timeout:g} s"
        self._late = clock.callLater(open_timeout, self._give_up, late)

    # From the connection

    def connectionMade(self) -> None:
        self._wire = cast(Transport, self.transport)
        if self.disconnecting:  # too late
            self._wire.abortConnection()
            return
        self._do(self._session.begin())

    def dataReceived(self, data: bytes) -> None:
        self._do(self._session.receive(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._wire = None
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connectionLost(reason)
        else:
            self._fail(Failure(ConnectError(string="the device server hung up")))  # type: ignore[no-untyped-call]

    def not_connected(self, failure: Failure) -> None:
        self._fail(failure)

    # For whoever talks

    def write(self, data: bytes) -> None:
        if self._wire is not None:
            self._do(self._session.say(data))

    def loseConnection(self) -> None:
        self.disconnecting = True
        if self._wire is not None:
            self._wire.loseConnection()

    def abortConnection(self) -> None:
        self.disconnecting = True
        if self._wire is not None:
            self._wire.abortConnection()

    def getPeer(self) -> Any:
        return self._wire and self._wire.getPeer()

    def set_dtr(self, up: bool) -> None:
        if self._wire is not None and self._session.phase is s.Phase.READY:
            self._do(self._session.set_dtr(up))

    # Inside

    def _do(self, events: Sequence[s.Event]) -> None:
        for event in events:
            match event:
                case Write(data=data):
                    if self._wire is not None:
                        self._wire.write(data)
                case Received(data=data):
                    if self._inner is not None:
                        self._inner.dataReceived(data)
                case Signals(carrier=carrier):
                    if not carrier and self._inner is not None:
                        self._owner.carrier_lost()
                case Failed(why=why):
                    self._give_up(why)
                case Ready():
                    self._ready()

    def _ready(self) -> None:
        if self._late.active():
            self._late.cancel()
        inner = self._inner = self._factory.buildProtocol(self.getPeer())
        inner.makeConnection(self)
        self.opened.callback(inner)

    def _give_up(self, why: str) -> None:
        self._fail(Failure(ConnectError(string=why)))  # type: ignore[no-untyped-call]
        self.abortConnection()
        if self.connecting is not None and self._wire is None:
            self.connecting.cancel()

    def _fail(self, failure: Failure) -> None:
        if self._late.active():
            self._late.cancel()
        if self._inner is None and not self.opened.called:
            if isinstance(failure.value, ConnectionClosed | ConnectionDone):
                failure = Failure(ConnectError(string="the device server hung up"))  # type: ignore[no-untyped-call]
            self.opened.errback(failure)
