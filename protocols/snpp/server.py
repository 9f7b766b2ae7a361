"""The server on Twisted: a `ServerSession` with a transport, time limits and an application to ask."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol as Interface
from typing import assert_never

from msgspec import Struct
from twisted.logger import Logger

from protocols.server import Due, House, Words
from protocols.server import Limits as Limits
from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.messages import Reply
from protocols.wire import Clock, Transport


class Caller(Struct, frozen=True, kw_only=True):
    """Who is talking: the address of the peer and the login, None before LOGIn."""

    address: str
    login: str | None


class Application(Interface):
    """What only the house behind the server can answer. An exception is logged and answered 554."""

    async def login(self, who: Caller, asked: s.LoginAsked) -> Reply:
        """250 or 550."""

    async def check_pager(self, who: Caller, asked: s.PagerAsked) -> Reply:
        """250, 550 or 554; for a two-way page 850, 950, 750 or 550."""

    async def send(self, who: Caller, page: m.Received) -> Reply:
        """250, 550, 554 or 421; two-way: a `tagged_reply`. Runs to its end even if the client goes."""

    async def status(self, who: Caller, asked: s.StatusAsked) -> Reply:
        """`status_reply`, or 550."""

    async def ping(self, who: Caller, asked: s.PingAsked) -> Reply:
        """820, 821, 750, 920 or 550."""

    async def kill(self, who: Caller, asked: s.KillAsked) -> Reply:
        """250 or 550."""


_WORDS = Words(
    protocol="SNPP",
    late=Reply(421, "Timeout, goodbye"),
    crowded=Reply(421, "Too many connections, try later"),
    closing=Reply(421, "Service is closing, try later"),
)


class _Talk:
    """One client's conversation: the session, and the application it asks."""

    log = Logger()

    def __init__(self, application: Application, session: s.ServerSession) -> None:
        self.session = session
        self._application = application

    @property
    def due(self) -> Due:
        match self.session.stage:
            case s.Stage.COMMANDS:
                return Due.LINE
            case s.Stage.TEXT:
                return Due.TEXT
            case s.Stage.ASKED:
                return Due.ANSWER
            case s.Stage.CLOSED:
                return Due.NOTHING

    async def answer(self, asked: s.Asked, peer: str, wire: Transport | None) -> list[s.ServerEvent]:
        return self.session.answer(await self._ask(asked, peer))

    async def _ask(self, asked: s.Asked, peer: str) -> Reply:
        application = self._application
        who = Caller(address=peer, login=self.session.login)
        try:
            match asked:
                case s.PagerAsked():
                    return await application.check_pager(who, asked)
                case s.SendAsked(page=page):
                    return await application.send(who, page)
                case s.LoginAsked():
                    return await application.login(who, asked)
                case s.StatusAsked():
                    return await application.status(who, asked)
                case s.PingAsked():
                    return await application.ping(who, asked)
                case s.KillAsked():
                    return await application.kill(who, asked)
                case _:
                    assert_never(asked)
        except Exception:  # our bug must not cost the client its conversation
            self.log.failure("SNPP {asked} from {peer} failed", asked=type(asked).__name__, peer=peer)
            return Reply(554, "Technical failure")


class SnppFactory(House[s.Asked, Reply]):
    """Serves *application* to every connection. *wall* is the wall clock, *clock* the steady one."""

    def __init__(
        self,
        application: Application,
        clock: Clock,
        wall: Callable[[], datetime],
        *,
        rules: s.ServerRules | None = None,
        limits: Limits | None = None,
    ) -> None:
        rules = rules or s.ServerRules()
        super().__init__(_WORDS, clock, limits, lambda: _Talk(application, s.ServerSession(rules, wall)))
