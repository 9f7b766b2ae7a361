"""A modem on Twisted: set up, dial, and hand the call over to whoever talks next.

`Modem` is an endpoint for the protocol behind it: once `dial` has said `Connected`, ``connect`` gives a
factory's protocol the call as its transport, and losing that connection hangs up.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from protocols import timed
from protocols.modem import messages as m
from protocols.modem import session as s
from protocols.modem.messages import Connected, DialString, NotConnected, NotReady, Ready
from protocols.told import told
from protocols.wire import Clock, Endpoint, Transport

MAX_EARLY = 4096  # octets of the other end that are kept until somebody talks to it

_Told = s.LineReady | Ready | NotReady | Connected | NotConnected | s.Received | s.Gone


class Modem:
    """The modem behind *endpoint*, a serial port or a network connection to one.

    *dtr* sets DTR up or down; None where there is none. `open`, then `dial` until it says `Connected`, then
    `connect`, then `hang_up`; *lost* fires when the port is given up. Nothing here raises for what the modem
    or the line does.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        manner: s.Manner | None = None,
        timing: s.Timing | None = None,
        drained: timed.Drained = timed.at_once,
        dtr: Callable[[bool], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._session = s.ModemSession(manner=manner or s.Manner(dtr=dtr is not None), timing=timing)
        self._dtr = dtr
        self._port = timed.Conversation[_Told](clock, self._session, self._told, drained=drained)
        self._waiting: Deferred[Any] | None = None
        self._early = b""
        self._call: Protocol | None = None  # who talks
        self._why = ""  # why the call ended, if we did not end it
        self._port.gone.addCallback(self._ended)
        self.lost = self._port.over

    async def open(self) -> Ready | NotReady:
        """Open the port and set the modem up."""
        answer: Deferred[Ready | NotReady] = self._wait()
        connecting = self._endpoint.connect(timed.Answering(self._port))
        connecting.addErrback(lambda failure: self._port.lose(f"no port: {told(failure)}"))
        self._port.over.addCallback(lambda _: connecting.cancel())
        return await answer

    async def dial(self, number: DialString) -> Connected | NotConnected:
        """Call *number*. `LocalProtocolError` unless the modem takes commands."""
        answer: Connected | NotConnected = await self._ask(lambda: self._session.dial(number))
        return answer

    async def listen(self) -> NotConnected:
        """Is there a dial tone? Its word is OK if there is. `LocalProtocolError` unless the modem takes
        commands."""
        answer: NotConnected = await self._ask(self._session.listen)
        return answer

    def connect(self, factory: Any, /) -> Deferred[Any]:
        """Hand the call over to a protocol of *factory*, once; what came since CONNECT it hears at once."""
        if self._session.phase is not s.Phase.ONLINE or self._call is not None:
            return fail(ConnectionLost(self._why or "there is no call"))
        call = self._call = cast(Protocol, factory.buildProtocol(None))
        call.makeConnection(_Call(self))  # type: ignore[no-untyped-call]  # Twisted has no types there
        early, self._early = self._early, b""
        if early and self._call is call:
            call.dataReceived(early)
        return succeed(call)

    async def hang_up(self) -> None:
        """End the call and close the port; returns when that is done."""
        self._port.do(self._session.hang_up())
        if self._port.there:
            await self._port.gone

    def carrier_lost(self) -> None:
        """DCD fell."""
        self._port.do(self._session.carrier_lost())

    # For the call

    def write(self, data: bytes) -> None:
        """Bytes for the other end."""
        self._port.do(self._session.say(data))

    def lose(self) -> None:
        """Whoever talks is done."""
        self._port.do(self._session.hang_up())

    def abort(self) -> None:
        """Whoever talks cannot wait."""
        self._port.lose("the call was given up")

    @property
    def transport(self) -> Transport | None:
        """The port's."""
        return cast(Transport, self._port.transport) if self._port.there else None

    # Inside

    async def _ask(self, what: Callable[[], Sequence[s.ModemEvent]]) -> Any:
        if self._session.phase is s.Phase.CLOSED:
            return NotConnected(word=m.Word.LOST, why=self._why or "the port is closed")
        events = what()
        answer = self._wait()
        self._port.do(events)
        return await answer

    def _wait(self) -> Deferred[Any]:
        waiting = self._waiting = Deferred(lambda _: self._cancelled())
        return waiting

    def _cancelled(self) -> None:
        self._waiting = None
        self._port.do(self._session.hang_up())

    def _told(self, event: _Told) -> None:
        match event:
            case s.LineReady(up=up):
                if self._dtr:
                    self._dtr(up)
            case s.Received(data=data) if self._call is not None:
                self._call.dataReceived(data)
            case s.Received(data=data):
                self._early = (self._early + data)[:MAX_EARLY]
            case s.Gone(why=why):
                self._why = why
                self._ended(None)
            case _:
                waiting, self._waiting = self._waiting, None
                if waiting:
                    waiting.callback(event)

    def _ended(self, _: None) -> None:
        """The call is over: whoever talks hears it once."""
        call, self._call = self._call, None
        if call is not None:
            over = ConnectionLost(self._why) if self._why else ConnectionDone()
            call.connectionLost(Failure(over))  # type: ignore[no-untyped-call]  # Twisted has no types there


class _Call:
    """The call as a transport."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        self._modem.write(data)

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._modem.lose()

    def abortConnection(self) -> None:
        self.disconnecting = True
        self._modem.abort()

    def getPeer(self) -> Any:
        return self._modem.transport and self._modem.transport.getPeer()
