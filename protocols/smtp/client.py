"""The client on Twisted: a `ClientSession` with a transport and time limits.

No retries and no backoff: whoever opens a conversation decides when to open another.
"""

from collections.abc import Callable

from protocols import client
from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.wire import Clock, Endpoint, Transport

_Answer = s.Opened | s.NotOpened | s.Concluded


class Limits(client.Limits, frozen=True, kw_only=True):
    """RFC 5321 4.5.3.2 allows minutes; a page has less, except for the text and the final dot (`send`)."""

    data: float = 120.0  # DATA


class Conversation:
    """One conversation with the server at *endpoint*, which does TLS if it is to be there from the start.

    `open` once, then one `submit` at a time, then `quit`. *tls*: what ``startTLS`` of the transport takes,
    Twisted's ``optionsForClientTLS(name)`` for example; needed unless the manner says NEVER. *lost* fires
    when nothing more can be said, whoever ended it. Nothing here raises for what the server or the network
    does: that is in the values returned. Cancelling an awaited call ends the conversation. *watch* is told of
    all that is said: whether by us, and what.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        manner: s.Manner,
        *,
        tls: object | None = None,
        login: m.Login | None = None,
        limits: Limits | None = None,
        watch: Callable[[bool, bytes], None] | None = None,
    ) -> None:
        if tls is None and manner.starttls is not s.StartTls.NEVER:
            raise m.InvalidValue("tls", "is missing, and STARTTLS needs it")
        limits = self._limits = limits or Limits()
        self._tls = tls
        self._session = s.ClientSession(manner, login=login)
        self._exchange = client.Exchange[_Answer](
            endpoint,
            clock,
            self._session,
            limits,
            end="end of the message",
            patience=self._patience,
            secure=self._secure,
            watch=watch,
        )
        self.lost = self._exchange.lost

    async def open(self) -> s.Opened | s.NotOpened:
        """Connect, hear the greeting, change to TLS, log in; all within ``limits.open``."""
        event = await self._exchange.open()
        assert isinstance(event, s.Opened | s.NotOpened)
        return event

    async def submit(self, transaction: m.Transaction) -> m.Result:
        """The whole dialogue of one message. `LocalProtocolError` if something else is under way."""
        if self._session.closed:
            return m.NotSent(why=self._exchange.why)
        event = await self._exchange.ask(self._session.submit(transaction), dialogue=True)
        assert isinstance(event, s.Concluded)
        return event.result

    async def quit(self) -> None:
        """Say goodbye and close, within twice ``limits.close``; returns when the connection is gone."""
        await self._exchange.quit()

    def _patience(self) -> float:
        asking = self._session.phase is s.Phase.ASKING_DATA
        return self._limits.data if asking else self._limits.reply

    def _secure(self, transport: Transport) -> list[s.ClientEvent]:
        transport.startTLS(self._tls)
        return self._session.secured()
