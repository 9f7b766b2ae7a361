"""Whole calls on Twisted: a protocol that is handed what the modem has dialled. In memory, on a fake clock."""

from collections.abc import Callable

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from protocols.modem.client import Modem
from protocols.modem.messages import (
    Connected,
    DialString,
    Heard,
    NotConnected,
    NotReady,
    PhoneNumber,
    Ready,
    Word,
)
from protocols.modem.server import ModemFactory
from protocols.modem.session import AnsweringModem, Ended, Manner
from protocols.tap import session as tap
from protocols.tap.client import Conversation
from protocols.tap.messages import Answer, NotSent, Page, PagerId, Received, Taken, TapText, answer_of
from protocols.tap.server import TapFactory

NUMBER = DialString(number=PhoneNumber("18005550100"))


def result_of(deferred: Deferred) -> object:
    got: list[object] = []
    deferred.addBoth(got.append)
    assert got, "not fired"
    return got[0]


class Cable:
    """Both ends of a port; what is written arrives with the next `Bench.run`."""

    def __init__(self) -> None:
        self.ends: list[Protocol] = []
        self.queue: list[tuple[int, bytes]] = []
        self.traffic = b""
        self.open = True

    def transport(self, end: int) -> object:
        cable = self

        class Transport:
            def write(self, data: bytes) -> None:
                if cable.open:
                    cable.queue.append((1 - end, data))

            def loseConnection(self) -> None:
                cable.cut()

            abortConnection = loseConnection

            def getPeer(self) -> None:
                return None

        return Transport()

    def cut(self) -> None:
        if self.open:
            self.open = False
            for end in self.ends:
                end.connectionLost(Failure(ConnectionDone()))


class Bench:
    """A modem of ours at a simulated one, whose exchange the test plays."""

    def __init__(self, dtr: bool = False, outcome: object = None, **manner: object) -> None:
        self.clock = Clock()
        self.cable = Cable()
        self.outcome = outcome
        self.answer: Callable[[str], Protocol | Heard] = lambda number: Heard(word=Word.BUSY)
        self.numbers: list[str] = []
        self.levels: list[bool] = []
        self.far = ModemFactory(self._exchange, self.clock)
        self.modem = Modem(
            self,
            self.clock,
            manner=Manner(dtr=dtr, **manner),
            dtr=self.levels.append if dtr else None,
        )

    def _exchange(self, number: str) -> Protocol | Heard:
        self.numbers.append(number)
        return self.answer(number)

    def connect(self, factory: Factory) -> Deferred:
        if self.outcome is not None:
            return fail(self.outcome) if isinstance(self.outcome, Exception) else Deferred()
        ends = [factory.buildProtocol(None), self.far.buildProtocol(None)]
        self.cable.ends = ends
        for end in (1, 0):
            ends[end].makeConnection(self.cable.transport(end))
        return succeed(ends[0])

    def run(self, seconds: float, cut: int = 1000) -> "Bench":
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)
            while self.cable.queue and self.cable.open:
                end, data = self.cable.queue.pop(0)
                self.cable.traffic += data
                for i in range(0, len(data), cut):
                    if self.cable.open:
                        self.cable.ends[end].dataReceived(data[i : i + cut])
        return self

    def do(self, coroutine: object, seconds: float = 10, cut: int = 1000) -> object:
        doing = Deferred.fromCoroutine(coroutine)
        self.run(seconds, cut)
        return result_of(doing)


class Talker(Protocol):
    """Says hello when it gets the call and remembers what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: list[Failure] = []

    def connectionMade(self) -> None:
        self.transport.write(b"hello\r")

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason)


class Terminals:
    """A paging terminal behind the phone line."""

    def __init__(self, clock: Clock) -> None:
        self.pages: list[Received] = []
        self.factory = TapFactory(self, clock)

    async def page(self, peer: str, page: Received) -> Answer:
        self.pages.append(page)
        return answer_of(211)

    async def log_off(self, peer: str, pages: int) -> Answer | None:
        return None


def connected(**how: object) -> tuple[Bench, Talker, Talker]:
    bench = Bench(**how)
    near, far = Talker(), Talker()
    bench.answer = lambda number: far
    assert bench.do(bench.modem.open()) == Ready()
    assert bench.do(bench.modem.dial(NUMBER)) == Connected(speed=1200, text="CONNECT 1200")
    factory = Factory.forProtocol(lambda: near)
    result_of(bench.modem.connect(factory))
    bench.run(1)
    return bench, near, far


@pytest.mark.parametrize("dtr", [True, False])
@pytest.mark.parametrize("cut", [1, 1000])
def test_tap_is_handed_a_call_that_the_modem_has_dialled(dtr: bool, cut: int) -> None:
    """Set up, dial, page, log off, hang up; neither protocol knows the other, and no timer is left."""
    bench = Bench(dtr=dtr)
    terminals = Terminals(bench.clock)
    bench.answer = lambda number: terminals.factory.buildProtocol(None)
    assert bench.do(bench.modem.open(), cut=cut) == Ready()
    assert isinstance(bench.do(bench.modem.dial(NUMBER), cut=cut), Connected)
    call = Conversation(bench.modem, bench.clock)
    assert isinstance(bench.do(call.open(), cut=cut), tap.Opened)
    page = Page(pager=PagerId("5551234"), fields=(TapText("hello world"),))
    assert isinstance(bench.do(call.submit(page), 5, cut=cut), Taken)
    assert bench.do(call.quit(), 20, cut=cut).taken == 1
    assert bench.numbers == ["18005550100"]
    assert [one.text for one in terminals.pages] == ["hello world"]
    assert not bench.cable.open
    assert not bench.clock.getDelayedCalls()
    assert bench.levels == ([False, True] if dtr else [])


def test_bytes_go_both_ways_and_hanging_up_by_escape_is_heard() -> None:
    """The other end hears none of +++ and ATH0."""
    bench, near, far = connected()
    assert (near.heard, far.heard) == (b"hello\r", b"hello\r")
    bench.run(2)
    near.transport.loseConnection()
    bench.run(10)
    assert far.heard == b"hello\r"
    assert near.lost[0].check(ConnectionDone)
    assert len(far.lost) == len(near.lost) == 1
    assert b"+++" in bench.cable.traffic
    assert b"ATH0\r" in bench.cable.traffic


def test_hanging_up_by_dtr_says_nothing() -> None:
    """And the escape has been switched off before."""
    bench, near, far = connected(dtr=True)
    bench.do(bench.modem.hang_up())
    assert bench.levels == [False, True, False]
    assert b"ATS2=255\r" in bench.cable.traffic
    assert b"+++" not in bench.cable.traffic
    assert len(far.lost) == len(near.lost) == 1


def test_what_the_other_end_says_before_anybody_listens_is_kept() -> None:
    """ID= right after CONNECT; four kilobytes of it at most."""
    bench = Bench()
    near, far = Talker(), Talker()
    bench.answer = lambda number: far
    bench.do(bench.modem.open())
    bench.do(bench.modem.dial(NUMBER))
    far.transport.write(b"x" * 5000)
    bench.run(1)
    result_of(bench.modem.connect(Factory.forProtocol(lambda: near)))
    assert near.heard == b"hello\r" + b"x" * 4090


def test_a_call_is_handed_over_once_and_only_while_it_is_one() -> None:
    """Before, after, and twice: no."""
    bench = Bench()
    factory = Factory.forProtocol(Talker)
    assert result_of(bench.modem.connect(factory)).check(ConnectionLost)
    assert result_of(connected()[0].modem.connect(factory)).check(ConnectionLost)


def test_the_other_end_hangs_up() -> None:
    """NO CARRIER: whoever talks hears that it is over, and writes nothing that the modem could take for AT."""
    bench, near, far = connected()
    far.transport.loseConnection()
    bench.run(1)
    assert near.lost[0].check(ConnectionLost)
    assert "NO CARRIER" in str(near.lost[0].value)
    before = bench.cable.traffic
    near.transport.write(b"ATDT911\r")
    bench.run(5)
    assert bench.cable.traffic == before
    assert not bench.cable.open


def test_dcd_falls() -> None:
    """The port tells it before the modem does."""
    bench, near, far = connected()
    bench.modem.carrier_lost()
    assert near.lost[0].check(ConnectionLost)
    bench.run(1)
    assert len(far.lost) == 1


def test_the_port_is_pulled_out() -> None:
    """Once for each who waits."""
    bench, near, far = connected()
    lost: list[object] = []
    bench.modem.lost.addCallback(lost.append)
    bench.cable.cut()
    assert (len(near.lost), len(far.lost), lost) == (1, 1, [None])
    assert isinstance(bench.do(bench.modem.dial(NUMBER), 0.1), NotConnected)
    bench.do(bench.modem.hang_up(), 0.1)
    assert not bench.clock.getDelayedCalls()


def test_an_abort_does_not_wait() -> None:
    """TAP gives up a line that does not let go."""
    bench, near, far = connected()
    near.transport.abortConnection()
    bench.run(1)
    assert (len(near.lost), len(far.lost)) == (1, 1)


def test_tap_on_a_line_that_breaks_before_the_page() -> None:
    """Not sent, and the modem is free."""
    bench = Bench()
    terminals = Terminals(bench.clock)
    bench.answer = lambda number: terminals.factory.buildProtocol(None)
    bench.do(bench.modem.open())
    bench.do(bench.modem.dial(NUMBER))
    call = Conversation(bench.modem, bench.clock)
    bench.do(call.open())
    bench.cable.cut()
    page = Page(pager=PagerId("5551234"), fields=(TapText("hello"),))
    assert isinstance(bench.do(call.submit(page), 1), NotSent)


def test_busy_and_then_the_next_number() -> None:
    """One modem, two numbers, the second answers."""
    bench = Bench()
    bench.do(bench.modem.open())
    assert bench.do(bench.modem.dial(NUMBER)) == NotConnected(word=Word.BUSY, why="the modem says BUSY")
    far = Talker()
    bench.answer = lambda number: far
    other = DialString(number=PhoneNumber("18005550101"))
    assert isinstance(bench.do(bench.modem.dial(other)), Connected)
    assert bench.numbers == ["18005550100", "18005550101"]
    bench.do(bench.modem.hang_up(), 20)
    assert not bench.clock.getDelayedCalls()


def test_no_port() -> None:
    """The reason in words."""
    bench = Bench(outcome=ConnectionRefusedError())
    failed = bench.do(bench.modem.open())
    assert failed == NotReady(word=Word.LOST, why="no port: nobody listens there (connection refused)")


def test_cancelling_a_call_hangs_up() -> None:
    """Whoever dials and does not want to any more."""
    bench = Bench()
    bench.far.exchange = lambda number: Heard(word=Word.RINGING)
    bench.do(bench.modem.open())
    dialling = Deferred.fromCoroutine(bench.modem.dial(NUMBER))
    dialling.cancel()
    assert isinstance(result_of(dialling).value, CancelledError)
    bench.run(20)
    assert not bench.cable.open
    assert not bench.clock.getDelayedCalls()


# The simulated modem, for programs of others


def say(modem: AnsweringModem, data: bytes) -> bytes:
    return b"".join(event.data for event in modem.receive(data) if hasattr(event, "data"))


def test_the_simulated_modem_takes_what_hylafax_says() -> None:
    """Its whole bring-up, recorded; every line is answered OK."""
    modem = AnsweringModem()
    assert say(modem, b"ATZ\r") == b"ATZ\r\r\nOK\r\n"
    assert say(modem, b"ATE0\r") == b"ATE0\r\r\nOK\r\n"
    for line in (b"ATS0=0", b"ATV1", b"ATQ0", b"ATS8=2", b"AT+FCLASS=?", b"AT+FCLASS=0", b"ATI3", b"ATM0"):
        assert say(modem, line + b"\r") == b"\r\nOK\r\n"
    assert say(modem, b"ATV0\r") == b"0\r"
    assert say(modem, b"hello\r") == b"4\r"


def test_the_simulated_modem_knows_a_real_escape_from_text() -> None:
    """Silence, +++, silence; pluses inside a text are text."""
    modem = AnsweringModem()
    modem.receive(b"ATDT5550100\r")
    modem.result(Heard(word=Word.CONNECT))
    assert say(modem, b"+++") == b"+++"  # no silence before it
    modem.expired()
    assert say(modem, b"+++") == b""
    assert say(modem, b"ATH\r") == b"+++ATH\r"  # no silence behind it
    modem.expired()
    modem.receive(b"+++")
    modem.expired()
    assert any(isinstance(event, Ended) for event in modem.receive(b"ATH0\r"))
