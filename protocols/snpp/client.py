"""The client on Twisted: a `ClientSession` with a transport and time limits.

No retries and no backoff: whoever opens a conversation decides when to open another.
"""

from typing import Any, assert_never, cast

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.codec import status_of
from protocols.told import told
from protocols.wire import Call, Clock, Endpoint, Transport


class Limits(Struct, frozen=True, kw_only=True):
    """Time limits in seconds. RFC 1861 names none; these are for the servers we know (docs, "Limits")."""

    open: float = 30.0  # connection, greeting and login together
    reply: float = 60.0  # one command
    send: float = 600.0  # SEND: hfaxd answers when the page has been delivered
    dialogue: float = 900.0  # one page, from its first command to the answer to SEND
    close: float = 5.0  # QUIT, and the end of the connection


_LATE = {"open": "no conversation", "reply": "no reply", "dialogue": "no end of the page"}


class Conversation:
    """One conversation with the server at *endpoint*, which does TLS if there is to be any.

    `open` once, then one `submit` or question at a time, then `quit`. *lost* fires when nothing more can be
    said, whoever ended it. Nothing here raises for what the server or the network does: that is in the
    values returned. Cancelling an awaited call ends the conversation.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        login: m.Login | None = None,
        manner: s.Manner | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.lost: Deferred[None] = Deferred()
        self._endpoint = endpoint
        self._clock = clock
        self._limits = limits or Limits()
        self._session = s.ClientSession(login=login, manner=manner)
        self._transport: Transport | None = None
        self._waiting: Deferred[s.ClientEvent] | None = None
        self._timers: dict[str, Call] = {}
        self._why = ""  # why it is over
        self._connecting: Deferred[Any] | None = None
        self._gone: list[Deferred[None]] = []

    async def open(self) -> s.Opened | s.NotOpened:
        """Connect, hear the greeting, log in; all within ``limits.open``."""
        answer = self._wait()
        self._start("open", self._limits.open)
        connecting = self._connecting = self._endpoint.connect(_Wires(self))
        connecting.addErrback(self._not_connected)
        event = await answer
        assert isinstance(event, s.Opened | s.NotOpened)
        return event

    async def submit(self, page: m.Transaction) -> m.Result:
        """The whole dialogue of one page. `LocalProtocolError` if something else is under way."""
        if self._session.phase is s.Phase.CLOSED:
            return m.NotSent(why=self._why)
        first = self._session.submit(page)
        self._start("dialogue", self._limits.dialogue)
        event = await self._said(first)
        assert isinstance(event, s.Concluded)
        return event.result

    async def status(self, tag: str, passcode: str) -> m.MessageStatus | None:
        """What became of a two-way message; None if the conversation ended instead."""
        reply = await self._ask(m.MStatus(tag=tag, passcode=passcode))
        return status_of(reply) if reply else None

    async def ping(self, pager: m.PagerId) -> m.Reply | None:
        """Where a pager is: 820, 821, 920 or a refusal; None if the conversation ended instead."""
        return await self._ask(m.Ping(pager=pager))

    async def kill(self, tag: str, passcode: str) -> m.Reply | None:
        """Have a tag forgotten; None if the conversation ended instead."""
        return await self._ask(m.KillTag(tag=tag, passcode=passcode))

    async def help(self) -> m.Reply | None:
        """What the server says it can do, in ``before``; None if the conversation ended instead."""
        return await self._ask(m.Help())

    async def quit(self) -> None:
        """Say goodbye and close, within twice ``limits.close``; returns when the connection is gone."""
        if self._session.phase is s.Phase.IDLE:
            self._write(self._session.quit(), self._limits.close)
        elif self._session.phase is not s.Phase.CLOSED:
            self._do(self._lose("closed by us"))
        if self._transport is not None:
            gone = Deferred[None]()
            self._gone.append(gone)
            await gone

    # Inside

    async def _ask(self, question: m.Question) -> m.Reply | None:
        if self._session.phase is s.Phase.CLOSED:
            return None
        event = await self._said(self._session.ask(question))
        assert isinstance(event, s.Told)
        return event.reply

    def _said(self, data: bytes) -> Deferred[s.ClientEvent]:
        answer = self._wait()
        self._write(data, self._limits.reply)
        return answer

    def _wait(self) -> Deferred[s.ClientEvent]:
        self._waiting = Deferred(self._cancelled)
        return self._waiting

    def _cancelled(self, answer: Deferred[s.ClientEvent]) -> None:
        self._waiting = None
        self._do(self._lose("cancelled by us"))

    def _write(self, data: bytes, limit: float) -> None:
        self._start("reply", limit)
        if self._transport is not None:
            self._transport.write(data)

    def _do(self, events: list[s.ClientEvent]) -> None:
        answer: s.ClientEvent | None = None
        for event in events:
            match event:
                case s.Write(data=data):
                    self._write(data, self._limits.reply)
                case s.ReadyToSend():
                    self._stop("reply")
                    # Two turns of the reactor, so that it reads once: what is here before SEND is written
                    # cannot be the answer to it, and ends the conversation.
                    self._timers["turn"] = self._clock.callLater(0, self._another_turn)
                case s.Opened() | s.NotOpened() | s.Concluded() | s.Told():
                    answer = event
                    self._stop("reply", "open", "dialogue", "turn")
                case s.Over(why=why):
                    self._over(why)
                case _:
                    assert_never(event)
        if answer and self._waiting:
            waiting, self._waiting = self._waiting, None
            waiting.callback(answer)

    def _another_turn(self) -> None:
        self._timers["turn"] = self._clock.callLater(0, self._commit)

    def _commit(self) -> None:
        self._write(self._session.commit(), self._limits.send)

    def _over(self, why: str) -> None:
        self._why = why
        self._stop(*list(self._timers))
        if self._transport is not None:
            self._timers["abort"] = self._clock.callLater(self._limits.close, self._transport.abortConnection)
            self._transport.loseConnection()
        elif self._connecting:
            self._connecting.cancel()
        if not self.lost.called:
            self.lost.callback(None)

    # Time

    def _start(self, name: str, limit: float) -> None:
        self._stop(name)
        self._timers[name] = self._clock.callLater(limit, self._expired, f"{_LATE[name]} within {limit:g} s")

    def _stop(self, *names: str) -> None:
        for name in names:
            timer = self._timers.pop(name, None)
            if timer and timer.active():
                timer.cancel()

    def _expired(self, why: str) -> None:
        self._do(self._lose(why))

    def _lose(self, why: str) -> list[s.ClientEvent]:
        connected = self._transport is not None
        return [
            replace(event, step="CONN") if isinstance(event, s.NotOpened) and not connected else event
            for event in self._session.lose(why)
        ]

    # From the transport

    def _not_connected(self, failure: Failure) -> None:
        self._do(self._lose(f"no connection: {told(failure)}"))

    def connected(self, transport: Transport) -> None:
        """The connection is there."""
        self._transport = transport
        if self._session.phase is s.Phase.CLOSED:  # too late
            transport.abortConnection()

    def received(self, data: bytes) -> None:
        """The server said *data*."""
        self._do(self._session.receive(data))

    def disconnected(self, failure: Failure) -> None:
        """The connection is gone."""
        self._do(self._lose(f"connection lost: {told(failure)}"))
        self._transport = None
        self._stop("abort")
        gone, self._gone = self._gone, []
        for waiting in gone:
            waiting.callback(None)


class _Wire(Protocol):
    """Passes on what the transport tells."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def connectionMade(self) -> None:
        self._conversation.connected(cast(Transport, self.transport))

    def dataReceived(self, data: bytes) -> None:
        self._conversation.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._conversation.disconnected(reason)


class _Wires(Factory):
    """Endpoints want a factory; this one builds the one protocol of a conversation."""

    noisy = False

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def buildProtocol(self, addr: object) -> Protocol:
        return _Wire(self._conversation)
