"""The client on Twisted: a `ClientSession` with a transport and time limits.

No retries and no backoff: whoever opens a conversation decides when to open another.
"""

from protocols import client
from protocols.events import Write
from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.codec import status_of
from protocols.wire import Clock, Endpoint

_Answer = s.Opened | s.NotOpened | s.Concluded | s.Told


class Limits(client.Limits, frozen=True, kw_only=True):
    """RFC 1861 names none; these are for the servers we know (docs, "Limits").

    *send*: of SEND, which hfaxd answers when the page has been delivered.
    """

    open: float = 30.0  # connection, greeting and login together


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
        self._session = s.ClientSession(login=login, manner=manner)
        self._exchange = client.Exchange[_Answer](
            endpoint, clock, self._session, limits or Limits(), end="end of the page"
        )
        self.lost = self._exchange.lost

    async def open(self) -> s.Opened | s.NotOpened:
        """Connect, hear the greeting, log in; all within ``limits.open``."""
        event = await self._exchange.open()
        assert isinstance(event, s.Opened | s.NotOpened)
        return event

    async def submit(self, page: m.Transaction) -> m.Result:
        """The whole dialogue of one page. `LocalProtocolError` if something else is under way."""
        if self._session.closed:
            return m.NotSent(why=self._exchange.why)
        first = Write(data=self._session.submit(page))
        event = await self._exchange.ask([first], dialogue=True)
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
        await self._exchange.quit()

    async def _ask(self, question: m.Question) -> m.Reply | None:
        if self._session.closed:
            return None
        event = await self._exchange.ask([Write(data=self._session.ask(question))])
        assert isinstance(event, s.Told)
        return event.reply
