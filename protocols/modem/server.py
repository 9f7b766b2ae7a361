"""A simulated modem: whoever opens its port gives it AT commands, and calls whom we let it call."""

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from protocols import timed
from protocols.modem import session as s
from protocols.modem.messages import Heard, Word
from protocols.wire import Clock

Exchange = Callable[[str], Protocol | Heard]
"""Given the dialled number as it came: who answers it, or what the modem says instead."""


class ModemFactory(Factory):
    """Modems of one exchange, one for each port that is opened; *speed* is what CONNECT says."""

    noisy = False

    def __init__(self, exchange: Exchange, clock: Clock, *, speed: int | None = 1200) -> None:
        self.exchange = exchange
        self.clock = clock
        self.speed = speed

    def buildProtocol(self, addr: object) -> Protocol:
        return _Port(self).port


class _Port:
    """One modem, and the call that it is in."""

    def __init__(self, factory: ModemFactory) -> None:
        self._factory = factory
        self._session = s.AnsweringModem()
        self.port = timed.Conversation[s.Dialled | s.Received | s.Ended](
            factory.clock, self._session, self._told
        )
        self._far: Protocol | None = None

    # The far end's transport

    def write(self, data: bytes) -> None:
        if self._far is not None and self.port.there:
            cast(Any, self.port.transport).write(data)

    def loseConnection(self) -> None:
        self.port.do(self._session.hang_up())

    abortConnection = loseConnection

    def getPeer(self) -> Any:
        return cast(Any, self.port.transport).getPeer()

    # Inside

    def _told(self, event: s.Dialled | s.Received | s.Ended) -> None:
        match event:
            case s.Dialled(number=number):
                self._dial(number)
            case s.Received(data=data):
                if self._far is not None:
                    self._far.dataReceived(data)
            case s.Ended():
                far, self._far = self._far, None
                if far is not None:
                    far.connectionLost(Failure(ConnectionDone()))  # type: ignore[no-untyped-call]  # no types

    def _dial(self, number: str) -> None:
        answer = self._factory.exchange(number)
        if isinstance(answer, Heard):
            self.port.do(self._session.result(answer))
            return
        self.port.do(self._session.result(Heard(word=Word.CONNECT, speed=self._factory.speed)))
        self._far = answer
        answer.makeConnection(self)  # type: ignore[no-untyped-call]  # no types
