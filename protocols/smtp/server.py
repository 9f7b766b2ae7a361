"""The server on Twisted: a `ServerSession` with a transport, time limits and an application to ask."""

from collections.abc import Callable
from typing import Protocol as Interface
from typing import assert_never

from msgspec import Struct
from twisted.logger import Logger

from protocols.events import Secure
from protocols.server import Due, House, Words
from protocols.server import Limits as Limits
from protocols.smtp import session as s
from protocols.smtp.messages import InvalidValue, Reply
from protocols.wire import Clock, Transport


class Caller(Struct, frozen=True, kw_only=True):
    """Who is talking: the address of the peer, the login, None before AUTH, and whether there is TLS."""

    address: str
    login: str | None
    secure: bool


class Application(Interface):
    """What only the house behind the server can answer. An exception is logged and answered 451."""

    async def login(self, who: Caller, asked: s.LoginAsked) -> Reply:
        """235, 535 or 454."""

    async def recipient(self, who: Caller, asked: s.RecipientAsked) -> Reply:
        """250, 550 or 450."""

    async def message(self, who: Caller, message: s.Received) -> tuple[Reply, ...]:
        """250, 4xx or 5xx, once; by LMTP once or for each recipient. Ends even if the client goes."""


_WORDS = Words(
    protocol="SMTP",
    late=Reply(421, ("4.4.2 Timeout, goodbye",)),
    crowded=Reply(421, ("4.3.2 Too many connections, try later",)),
    closing=Reply(421, ("4.3.2 Service is closing, try later",)),
)
_Question = s.Asked | Secure


class _Talk:
    """One client's conversation: the session, and the application it asks."""

    log = Logger()

    def __init__(self, application: Application, session: s.ServerSession, tls: object | None) -> None:
        self.session = session
        self._application = application
        self._tls = tls

    @property
    def due(self) -> Due:
        match self.session.stage:
            case s.Stage.COMMANDS | s.Stage.LOGIN | s.Stage.SECURING:
                return Due.LINE
            case s.Stage.TEXT:
                return Due.TEXT
            case s.Stage.ASKED:
                return Due.ANSWER
            case s.Stage.CLOSED:
                return Due.NOTHING

    async def answer(self, asked: _Question, peer: str, wire: Transport | None) -> list[s.ServerEvent]:
        if not isinstance(asked, Secure):
            return self.session.answer(*await self._ask(asked, peer))
        if wire is None:
            return []
        wire.startTLS(self._tls)
        return self.session.secured()

    async def _ask(self, asked: s.Asked, peer: str) -> tuple[Reply, ...]:
        application = self._application
        who = Caller(address=peer, login=self.session.login, secure=self.session.secure)
        try:
            match asked:
                case s.LoginAsked():
                    return (await application.login(who, asked),)
                case s.RecipientAsked():
                    return (await application.recipient(who, asked),)
                case s.MessageAsked(message=message):
                    return await application.message(who, message)
                case _:
                    assert_never(asked)
        except Exception:  # our bug must not cost the client its conversation
            self.log.failure("SMTP {asked} from {peer} failed", asked=type(asked).__name__, peer=peer)
            return (Reply(451, ("4.3.0 Technical failure",)),)


class SmtpFactory(House[_Question, Reply]):
    """Serves *application* to every connection. *clock* is the steady one. *rules* may be a function: the
    rules as they are when a connection begins.

    *tls*: what ``startTLS`` of the transport takes, needed if the rules offer STARTTLS. *secure*: the
    endpoint does TLS from the start.
    """

    def __init__(
        self,
        application: Application,
        clock: Clock,
        rules: s.ServerRules | Callable[[], s.ServerRules],
        *,
        tls: object | None = None,
        secure: bool = False,
        limits: Limits | None = None,
    ) -> None:
        def begin() -> _Talk:
            return _Talk(application, s.ServerSession(rules_now(), secure=secure), tls)

        def rules_now() -> s.ServerRules:
            now = rules if isinstance(rules, s.ServerRules) else rules()
            if now.starttls and tls is None:
                raise InvalidValue("tls", "is missing, and STARTTLS needs it")
            return now

        rules_now()
        super().__init__(_WORDS, clock, limits, begin)
