"""The Twisted entry device and terminal: slow lines, time limits, loss, closing. In memory, on a fake clock."""

import pytest
from tap_fakes import ACK, DROP, GO, HELLO, RS, Endpoint, Wire, page
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from protocols import timed
from protocols.tap import messages as m
from protocols.tap import session as s
from protocols.tap.client import Conversation, Limits
from protocols.tap.messages import Answer, InDoubt, InvalidValue, NotSent, PagerId, Taken, answer_of
from protocols.tap.server import Limits as ServerLimits
from protocols.tap.server import TapFactory


def result_of(deferred: Deferred) -> object:
    got: list[object] = []
    deferred.addBoth(got.append)
    assert got, "not fired"
    return got[0]


class Client:
    """A call whose terminal is typed by the test."""

    def __init__(self, outcome: object = None, baud: int | None = None, **how: object) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint(outcome)
        self.wire = self.endpoint.wire
        drained = timed.paced(self.clock, baud) if baud else timed.at_once
        self.call = Conversation(self.endpoint, self.clock, drained=drained, **how)
        self.lost: list[object] = []
        self.call.lost.addCallback(self.lost.append)
        self.opening = Deferred.fromCoroutine(self.call.open())

    def hear(self, data: bytes) -> None:
        self.wire.protocol.dataReceived(data)

    def opened(self) -> "Client":
        self.hear(b"ID=")
        self.hear(ACK + GO)
        assert isinstance(result_of(self.opening), s.Opened)
        self.clock.advance(5)
        self.wire.take()
        return self

    def submit(self, job: m.Page | None = None) -> Deferred:
        return Deferred.fromCoroutine(self.call.submit(job or page()))

    def done(self) -> None:
        """Nothing is left behind."""
        assert self.lost == [None]
        assert not self.clock.getDelayedCalls()


def test_a_call_from_connect_to_hang_up() -> None:
    """And no timer is left."""
    client = Client().opened()
    submitting = client.submit()
    client.clock.pump([0, 0])
    assert client.wire.take() == HELLO
    client.hear(b"211 ok\r" + ACK)
    assert isinstance(result_of(submitting), Taken)
    quitting = Deferred.fromCoroutine(client.call.quit())
    assert client.wire.take() == b"\x04\r"
    client.hear(RS + DROP)
    client.clock.advance(1)
    farewell = result_of(quitting)
    assert farewell == m.Farewell(taken=1, refusal=Answer(m.Control.RS), why="we logged off")
    client.done()


# Slow lines


def test_the_cr_waits_until_the_block_has_left_the_line() -> None:
    """At 300 baud a block takes its time; the point of no return is not before its end."""
    client = Client(baud=300).opened()
    submitting = client.submit()
    assert client.wire.take() == HELLO[:-1]
    client.clock.advance(0.8)
    assert client.wire.take() == b""
    client.clock.pump([0.04, 0, 0])
    assert client.wire.take() == b"\r"
    client.wire.cut()
    assert result_of(submitting) == InDoubt(why="connection lost: the other side hung up")
    client.done()


def test_a_line_lost_while_the_block_leaves_is_no_doubt() -> None:
    """Its CR was never written."""
    client = Client(baud=300).opened()
    submitting = client.submit()
    client.clock.advance(0.5)
    client.wire.cut()
    assert isinstance(result_of(submitting), NotSent)
    client.done()


def test_times_count_from_when_the_bytes_have_left() -> None:
    """The wait for the answer to 256 octets at 300 baud begins 8.5 s after they were written."""
    client = Client(baud=300).opened()
    submitting = client.submit(page("x" * 400))
    assert len(client.wire.take()) == 256
    client.clock.advance(256 * 10 / 300 + 0.01)
    client.clock.advance(29.9)
    assert client.wire.take() == b""
    client.clock.advance(0.2)
    assert result_of(submitting) == NotSent(why="no answer to a part of the page")


def test_an_answer_before_all_is_reckoned_to_have_left_is_heard() -> None:
    """The reckoning may be slower than the line."""
    client = Client(baud=300).opened()
    client.submit(page("x" * 400))
    client.wire.take()
    client.hear(ACK)
    client.clock.advance(3)
    assert client.wire.take().startswith(b"\x02x")


def test_a_line_that_takes_nothing_is_given_up() -> None:
    """XOFF and never XON: a minute."""
    clock = Clock()
    endpoint = Endpoint()
    call = Conversation(endpoint, clock, drained=lambda octets: Deferred())
    opening = Deferred.fromCoroutine(call.open())
    clock.advance(60)
    failed = result_of(opening)
    assert isinstance(failed, s.NotOpened)
    assert failed.why == "the line has not taken what we wrote within 60 s"
    clock.advance(10)
    assert not clock.getDelayedCalls()


def test_what_has_come_is_read_before_the_cr_is_written() -> None:
    """A stray answer in the same turn of the reactor is not taken for the page's."""
    client = Client().opened()
    submitting = client.submit()
    client.hear(ACK)
    assert isinstance(result_of(submitting), InDoubt)
    client.clock.pump([0, 0, 0])
    assert client.wire.value() == HELLO[:-1]
    client.done()


# Limits, loss, cancelling


def test_nobody_there() -> None:
    """The reason in words."""
    client = Client(ConnectionRefusedError())
    failed = result_of(client.opening)
    assert failed == s.NotOpened(why="no connection: nobody listens there (connection refused)", step="CONN")
    result_of(Deferred.fromCoroutine(client.call.quit()))
    client.done()


def test_a_connection_that_does_not_come() -> None:
    """Ninety seconds for all until the go-ahead."""
    client = Client("never")
    client.clock.advance(90)
    failed = result_of(client.opening)
    assert isinstance(failed, s.NotOpened)
    assert (failed.step, client.endpoint.cancelled) == ("CONN", True)
    client.done()


def test_whoever_does_not_want_to_wait_for_the_connection() -> None:
    """It is not made behind his back."""
    client = Client("never")
    client.opening.cancel()
    assert isinstance(result_of(client.opening).value, CancelledError)
    assert client.endpoint.cancelled
    client.done()


def test_an_open_that_takes_too_long() -> None:
    """A terminal that always says one line more."""
    client = Client(limits=Limits(open=60))
    client.hear(b"ID=")
    client.hear(ACK)
    for _ in range(7):
        client.hear(b"one moment\r")
        client.clock.advance(9)
    assert result_of(client.opening).why == "not logged on within 60 s"
    client.done()


def test_a_page_that_takes_too_long() -> None:
    """A terminal that works on it for ever."""
    client = Client(limits=Limits(dialogue=50)).opened()
    submitting = client.submit()
    client.clock.pump([0, 0])
    for _ in range(6):
        client.hear(b"111 wait\r")
        client.clock.advance(9)
    assert result_of(submitting) == InDoubt(why="no end within 50 s")
    client.done()


def test_no_id_hangs_up() -> None:
    """Ten CRs."""
    client = Client()
    client.clock.pump([2] * 10)
    assert client.wire.value() == b"\r" * 10
    assert result_of(client.opening).step == "ID="
    client.done()


def test_a_terminal_that_does_not_let_go_is_cut() -> None:
    """After the goodbye and five seconds."""
    client = Client().opened()
    client.wire.lazy = True
    quitting = Deferred.fromCoroutine(client.call.quit())
    client.clock.advance(10)
    assert client.wire.disconnecting
    client.clock.advance(5)
    assert client.wire.aborted
    assert result_of(quitting) == m.Farewell(why="we logged off")
    client.done()


def test_cancelling_ends_the_call() -> None:
    """Whoever waits no longer leaves no half page behind."""
    client = Client().opened()
    submitting = client.submit()
    submitting.cancel()
    assert isinstance(result_of(submitting).value, CancelledError)
    client.clock.pump([0, 0, 0])
    assert client.wire.value() == HELLO[:-1]
    client.done()


def test_a_page_that_the_terminal_cannot_take_leaves_the_call_as_it_was() -> None:
    """The error says so; the next page goes."""
    client = Client().opened()
    assert isinstance(result_of(client.submit(page("a\nb", transparent=True))).value, InvalidValue)
    client.submit()
    assert client.wire.take() == HELLO[:-1]


def test_after_the_end_nothing_is_sent() -> None:
    """And the wait that ends the call is not lengthened by asking."""
    client = Client().opened()
    client.hear(DROP)
    assert isinstance(result_of(client.submit()), NotSent)
    assert client.call.left == 0
    client.clock.advance(1)
    client.done()
    assert client.call.farewell.why == "the terminal hung up: ESC EOT"


# The terminal


class House:
    """A terminal with callers typed by the test."""

    def __init__(self, baud: int | None = None, **how: object) -> None:
        self.clock = Clock()
        self.pages: list[m.Received] = []
        self.answers: list[object] = []
        self.regret: Answer | None = None
        drained = timed.paced(self.clock, baud) if baud else timed.at_once
        self.factory = TapFactory(self, self.clock, drained=drained, **how)

    async def page(self, peer: str, received: m.Received) -> Answer:
        self.pages.append(received)
        answer = self.answers.pop(0) if self.answers else answer_of(211)
        if isinstance(answer, Exception):
            raise answer
        return await answer if isinstance(answer, Deferred) else answer

    async def log_off(self, peer: str, pages: int) -> Answer | None:
        return self.regret

    def call(self) -> Wire:
        protocol = self.factory.buildProtocol(None)
        wire = Wire(protocol)
        if protocol is None:
            wire.disconnecting = True
        else:
            protocol.makeConnection(wire)
        return wire

    def logged_on(self) -> Wire:
        wire = self.call()
        wire.protocol.dataReceived(b"\r\x1bPG1\r")
        assert wire.take().endswith(GO)
        return wire


def test_a_call_from_the_terminals_side() -> None:
    """And no timer is left."""
    house = House()
    wire = house.logged_on()
    wire.protocol.dataReceived(HELLO + b"\x04\r")
    assert wire.take() == b"211 page accepted\r" + ACK + b"115 Goodbye\r" + DROP
    assert wire.disconnecting
    assert house.pages == [m.Received(pager="5551234", text="hello world")]
    assert not house.clock.getDelayedCalls()


def test_the_line_is_dropped_after_the_last_byte_has_left() -> None:
    """ESC EOT at 300 baud needs half a second, and HylaFAX needs ESC EOT."""
    house = House(baud=300)
    wire = house.logged_on()
    house.clock.advance(2)
    wire.protocol.dataReceived(b"\x04\r")
    house.clock.advance(0.4)
    assert not wire.disconnecting
    house.clock.advance(0.1)
    assert wire.disconnecting


def test_a_failing_application_drops_the_call_without_a_code() -> None:
    """Our bug is neither yes nor no; it is in the log, the text is not."""
    logged: list[dict] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        house = House()
        house.answers = [RuntimeError("boom")]
        wire = house.logged_on()
        wire.protocol.dataReceived(HELLO)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert wire.take() == DROP
    assert any("PageAsked" in str(event) for event in logged)
    assert "hello world" not in str(logged)


def test_a_silent_application() -> None:
    """111 after six seconds, ESC EOT after a minute; its late answer goes nowhere."""
    house = House()
    late = Deferred()
    house.answers = [late]
    wire = house.logged_on()
    wire.protocol.dataReceived(HELLO)
    house.clock.advance(6)
    assert wire.take() == b"111 please wait\r"
    house.clock.advance(54)
    assert wire.take() == DROP
    late.callback(answer_of(211))
    assert wire.take() == b""
    assert not house.clock.getDelayedCalls()


def test_a_call_has_an_end() -> None:
    """113 after fifteen minutes, however slowly the caller types."""
    house = House(limits=ServerLimits(call=60))
    wire = house.logged_on()
    for _ in range(7):
        if wire.protocol:
            wire.protocol.dataReceived(b"\x02x")
        house.clock.advance(3.9)
    for _ in range(9):
        if wire.protocol:
            wire.protocol.dataReceived(b"x")
        house.clock.advance(3.9)
    assert wire.take() == b"113 time limit of this call reached\r" + DROP
    assert not house.clock.getDelayedCalls()


def test_one_call_too_many_is_not_answered() -> None:
    """Until another has ended."""
    house = House(limits=ServerLimits(calls=1))
    first = house.logged_on()
    assert house.factory.buildProtocol(None) is None
    first.cut()
    assert house.factory.buildProtocol(None) is not None


def test_draining() -> None:
    """No call is answered; who is there is dropped after the answer due to him."""
    house = House()
    idle, busy = house.logged_on(), house.logged_on()
    answer = Deferred()
    house.answers = [answer]
    busy.protocol.dataReceived(HELLO)
    house.factory.drain()
    assert idle.take() == DROP
    assert busy.take() == b""
    answer.callback(answer_of(211))
    assert busy.take() == b"211 page accepted\r" + ACK + DROP
    assert house.factory.buildProtocol(None) is None
    assert not house.clock.getDelayedCalls()


def test_a_caller_who_says_nothing_is_let_go() -> None:
    """After half a minute."""
    house = House()
    wire = house.call()
    house.clock.advance(30)
    assert wire.disconnecting
    assert wire.take() == b""


def test_both_sides_together() -> None:
    """Our entry device pages through our terminal, over two wires and one clock."""
    house = House(baud=9600)
    house.regret = Answer(m.Control.RS)
    endpoint = Endpoint()
    call = Conversation(endpoint, house.clock, drained=timed.paced(house.clock, 9600))
    far = house.call()
    opening = Deferred.fromCoroutine(call.open())

    def run(seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            house.clock.advance(0.1)
            for here, there in ((endpoint.wire, far), (far, endpoint.wire)):
                if (data := here.take()) and there.protocol:
                    there.protocol.dataReceived(data)

    run(3)
    assert isinstance(result_of(opening), s.Opened)
    job = m.Page(pager=PagerId("7"), fields=(m.TapText("x" * 600),))
    submitting = Deferred.fromCoroutine(call.submit(job))
    run(12)
    assert isinstance(result_of(submitting), Taken)
    quitting = Deferred.fromCoroutine(call.quit())
    run(5)
    farewell = result_of(quitting)
    assert farewell.refusal == Answer(m.Control.RS)
    assert [one.text for one in house.pages] == ["x" * 600]


@pytest.mark.parametrize("limit", [0, 1])
def test_text_of_a_page_is_in_no_log(limit: int) -> None:
    """Neither of one that is taken, nor of one whose application is late."""
    logged: list[dict] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        house = House(limits=ServerLimits(answer=0.5))
        house.answers = [Deferred()] if limit else []
        wire = house.logged_on()
        wire.protocol.dataReceived(HELLO)
        house.clock.advance(1)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert "hello" not in str(logged)
    assert bool(logged) is bool(limit)
