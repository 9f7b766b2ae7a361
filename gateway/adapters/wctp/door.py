"""The door for what carriers push: receipts and replies about pages that our links sent.

Who comes in must know the secret path, come from a network of the carrier, or say its security code: all of
those that are set. A push is answered with success only when what it says is on record; whatever else is
asked for is refused in WCTP's words. Nothing that a push names is ever connected to.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.adapters.base import Doorway
from gateway.adapters.wctp import reports
from gateway.adapters.wctp.settings import WctpListen, own_of
from gateway.env import Port, public_id
from gateway.errors import StoreFailed
from gateway.settings.kinds import in_networks
from gateway.web import Fields, HttpServer, Limits, Request, Response
from protocols.wctp import codec, rules
from protocols.wctp import messages as m
from protocols.wctp.messages import Code

log = Logger()

STOP_TIMEOUT = 10.0  # seconds for what was read to be answered when the gateway stops
TEXT: Fields = (("Content-Type", "text/xml; charset=utf-8"),)
RESPONDER = m.WctpId("gateway")
FLAWS = {
    413: Code.NOT_VALID,
    500: Code.INTERNAL_ERROR,
    503: Code.UNAVAILABLE,
}  # HTTP's, where no document was read


class PushDoor:
    """``listen.wctp``."""

    def __init__(self, settings: WctpListen, around: Doorway) -> None:
        env = around.env
        self._settings = settings
        self._links = around.links
        self._env = env
        self._reception = around.reception
        self._tls = around.tls
        path = settings.path.casefold()
        self._path = path if settings.secret is None else f"{path}/"
        self._server = HttpServer(
            clock=env.clock,
            handler=self._handle,
            wall=env.wall,
            make_id=lambda: f"r-{public_id(env)}",
            problem=_problem,
            limits=Limits(
                max_body=codec.DEFAULT_LIMITS.body,
                max_connections=settings.connections,
                max_per_address=settings.connections,
            ),
        )
        self._port: Port | None = None

    @property
    def addresses(self) -> tuple[Any, ...]:
        """See base.Listener."""
        return () if self._port is None else (self._port.getHost(),)

    async def start(self) -> None:
        """Open the port; CannotListenError if it is taken."""
        self._port = await self._env.net.listen(self._settings.at, self._server, self._tls)

    async def stop(self) -> None:
        """No new connection; what was read is answered, for at most 10 s."""
        if self._port is None:
            return
        closed = self._port.stopListening()
        if isinstance(closed, Deferred):
            await closed
        await self._server.drain(STOP_TIMEOUT)

    # Requests

    async def _handle(self, request: Request) -> Response:
        if not self._invited(request):
            self._refused(Code.INVALID_SENDER, "not the way in", request)
            return _said(m.failure(Code.INVALID_SENDER, "not the way in"), status=404)
        if request.method != "POST":
            failure = m.failure(Code.OPERATION_NOT_SUPPORTED, "POST a document")
            return _said(failure, status=405, headers=(("Allow", "POST"),))
        heard = codec.read(request.body)
        if isinstance(heard, m.Unreadable):
            self._refused(heard.code, heard.reason, request)
            return _said(heard.failure, codec.answering(heard), heard.status)
        answer = await self._answer(heard.operation, request)
        return _document(answer, codec.answering(heard))

    def _invited(self, request: Request) -> bool:
        """Whether it came by the path and from the networks that were agreed on."""
        if self._settings.networks and not self._near(request.peer.address):
            return False
        path, secret = request.path.rstrip("/"), self._settings.secret
        if secret is None:
            return path.casefold() == self._path
        head, said = path[: len(self._path)], path[len(self._path) :]
        known = hmac.compare_digest(said.encode(errors="replace"), secret.value.encode())
        return head.casefold() == self._path and known

    def _near(self, address: str | None) -> bool:
        try:
            return in_networks(address or "", self._settings.networks)
        except ValueError:
            return False

    async def _answer(self, operation: m.Operation, request: Request) -> m.Operation:
        match operation:
            case m.StatusInfo() | m.MessageReply():
                result = await self._report(operation)
                if isinstance(result, m.Failure):
                    self._refused(result.code, result.detail, request)
                return m.Confirmation(result=result)
            case m.VersionQuery():
                return self._versions(operation)
            case _:
                failure = rules.not_a_request(operation)
                why = f"{operation.name} is not served here"
                return m.Confirmation(result=failure or m.failure(Code.OPERATION_NOT_SUPPORTED, why))

    async def _report(self, said: m.StatusInfo | m.MessageReply) -> m.Success | m.Failure:
        """On record before it is answered with success."""
        if (code := self._settings.security_code) is not None:
            told = said.header.originator.security_code or ""
            if not hmac.compare_digest(told.encode(errors="replace"), code.value.encode()):
                return m.failure(Code.INVALID_SECURITY_CODE, "not the security code that was agreed on")
        links = {
            name: settings
            for name, settings in self._links().items()
            if own_of(settings).answers in ("push", "poll")
        }
        read = reports.read(said, links, self._env.now())
        if isinstance(read, m.Failure):
            return read
        whose, evidence = read
        try:
            await self._reception.report(whose.link, evidence)
        except StoreFailed:
            log.error("push about {link} not recorded: the store failed", link=whose.link)
            return m.failure(Code.UNAVAILABLE, "not recorded, try again")
        return m.success("on record")

    def _versions(self, asked: m.VersionQuery) -> m.VersionResponse:
        names = (codec.NAMES_OF_VERSIONS[version] for version in m.Version)
        return m.VersionResponse(
            responder=RESPONDER,
            result=tuple(m.DtdSupport(dtd_name=m.WctpId(name), exceptions=True) for name in names),
            inquirer=asked.inquirer,
            asked=asked.asked,
            responded=datetime.fromtimestamp(self._env.wall() / 1e6, UTC),
        )

    def _refused(self, code: int | None, why: str, request: Request) -> None:
        log.info("push refused: {code} {why}, from {peer}", code=code, why=why, peer=request.peer.address)


def _document(
    operation: m.Operation, dialect: codec.Dialect, status: int = 200, headers: Fields = ()
) -> Response:
    return Response(status=status, headers=TEXT + headers, body=codec.write(operation, dialect))


def _said(
    failure: m.Failure, dialect: codec.Dialect | None = None, status: int = 200, headers: Fields = ()
) -> Response:
    return _document(m.Confirmation(result=failure), dialect or codec.Dialect(), status, headers)


def _problem(status: int, code: str, detail: str, *, request_id: str = "", headers: Fields = ()) -> Response:
    """What HTTP itself refuses, with a body of WCTP all the same."""
    failure = m.failure(FLAWS.get(status, Code.CANNOT_PARSE), detail)
    return _said(failure, status=status, headers=headers)
