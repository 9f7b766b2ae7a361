"""The Twisted client and server: time limits, loss, closing. In memory, on a fake clock."""

import pytest
from snpp_fakes import NOW, Endpoint, Wire, page
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from protocols.snpp import messages as m
from protocols.snpp import session as s
from protocols.snpp.client import Conversation, Limits
from protocols.snpp.messages import InDoubt, NotSent, PagerId, Reply
from protocols.snpp.server import Caller, SnppFactory
from protocols.snpp.server import Limits as ServerLimits

OK = b"250 OK\r\n"


def result_of(deferred: Deferred) -> object:
    got: list[object] = []
    deferred.addBoth(got.append)
    assert got, "not fired"
    return got[0]


class Client:
    """A conversation whose server is typed by the test."""

    def __init__(self, outcome: object = None, **how: object) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint(outcome)
        self.wire = self.endpoint.wire
        self.conversation = Conversation(self.endpoint, self.clock, **how)
        self.lost: list[object] = []
        self.conversation.lost.addCallback(self.lost.append)
        self.opening = Deferred.fromCoroutine(self.conversation.open())

    def hear(self, data: bytes) -> None:
        self.wire.protocol.dataReceived(data)

    def opened(self) -> "Client":
        self.hear(b"220 ready\r\n")
        assert isinstance(result_of(self.opening), s.Opened)
        return self

    def submit(self, job: m.Transaction | None = None) -> Deferred:
        return Deferred.fromCoroutine(self.conversation.submit(job or page()))

    def entered(self) -> Deferred:
        """All said but SEND."""
        submitting = self.submit()
        self.hear(OK)
        self.hear(OK)
        return submitting

    def sent(self) -> Deferred:
        submitting = self.entered()
        self.clock.pump([0, 0])
        assert self.wire.value().endswith(b"SEND\r\n")
        return submitting

    def done(self) -> None:
        """Nothing is left behind."""
        assert self.lost == [None]
        assert not self.clock.getDelayedCalls()


def test_a_page_from_connect_to_quit() -> None:
    """And no timer is left."""
    client = Client().opened()
    submitting = client.sent()
    client.hear(b"250 sent\r\n")
    assert result_of(submitting).taken
    assert not client.clock.getDelayedCalls()
    quitting = Deferred.fromCoroutine(client.conversation.quit())
    client.hear(b"221 bye\r\n")
    assert result_of(quitting) is None
    assert client.wire.value() == b"PAGE 5551212\r\nMESS Disk full\r\nSEND\r\nQUIT\r\n"
    client.done()


def test_send_waits_until_the_transport_has_been_read_once_more() -> None:
    """What is already there cannot be its answer."""
    client = Client().opened()
    submitting = client.entered()
    client.hear(OK)
    assert isinstance(result_of(submitting), NotSent)
    client.clock.advance(0)
    assert b"SEND" not in client.wire.value()
    client.done()


def test_refused_connection_and_a_limit_on_connecting() -> None:
    """Step CONN; the attempt is given up."""
    refused = Client(ConnectionRefusedError())
    result = result_of(refused.opening)
    assert (type(result), result.step) == (s.NotOpened, "CONN")
    refused.done()
    never = Client("never")
    never.clock.advance(29)
    assert not never.opening.called
    never.clock.advance(1)
    result = result_of(never.opening)
    assert (type(result), result.step, result.why) == (s.NotOpened, "CONN", "no conversation within 30 s")
    assert never.endpoint.cancelled
    never.done()


def test_a_server_that_does_not_greet_or_answer_the_login() -> None:
    """Both within the limit of opening."""
    silent = Client()
    silent.clock.advance(30)
    assert result_of(silent.opening).step == "220"
    assert silent.wire.disconnecting
    silent.done()
    client = Client(login=m.Login(login=m.SnppWord("a")))
    client.hear(b"220 hi\r\n")
    client.clock.advance(30)
    assert result_of(client.opening).step == "LOGI"
    client.done()


def test_silence_before_send_is_not_sent_after_the_reply_limit() -> None:
    """60 s."""
    client = Client().opened()
    submitting = client.submit()
    client.clock.advance(59)
    assert not submitting.called
    client.clock.advance(1)
    assert result_of(submitting) == NotSent(why="no reply within 60 s")
    client.done()


def test_silence_after_send_is_doubt_after_the_limit_of_send() -> None:
    """600 s: a server may deliver before it answers."""
    client = Client().opened()
    submitting = client.sent()
    client.clock.advance(599)
    assert not submitting.called
    client.clock.advance(1)
    assert result_of(submitting) == InDoubt(why="no reply within 600 s")
    client.done()


def test_the_whole_dialogue_is_bounded() -> None:
    """A server that takes 50 s for everything is not followed for ever."""
    client = Client(limits=Limits(dialogue=100)).opened()
    recipients = tuple(m.Recipient(pager=PagerId(str(i))) for i in range(10))
    submitting = client.submit(page(recipients=recipients))
    client.clock.advance(50)
    client.hear(OK)
    client.clock.advance(50)
    assert result_of(submitting) == NotSent(why="no end of the page within 100 s")
    client.done()
    client = Client(limits=Limits(dialogue=100)).opened()
    submitting = client.sent()
    client.clock.advance(100)
    assert isinstance(result_of(submitting), InDoubt)


def test_loss_around_send() -> None:
    """Before the bytes are handed to the transport: not sent. After: doubt."""
    client = Client().opened()
    submitting = client.entered()
    client.wire.cut()
    assert isinstance(result_of(submitting), NotSent)
    client.done()
    client = Client().opened()
    submitting = client.sent()
    client.wire.cut()
    assert isinstance(result_of(submitting), InDoubt)
    client.done()


def test_after_4xx_the_connection_is_dropped() -> None:
    """Nothing more is written, and the result holds the reply."""
    client = Client().opened()
    submitting = client.submit()
    client.wire.clear()
    client.hear(b"421 down\r\n")
    assert result_of(submitting).reply.code == 421
    assert client.wire.value() == b""
    assert client.wire.disconnecting
    client.done()


def test_a_close_that_does_not_get_through_is_an_abort() -> None:
    """After 5 s."""
    client = Client().opened()
    client.wire.lazy = True
    quitting = Deferred.fromCoroutine(client.conversation.quit())
    client.clock.advance(5)
    assert client.wire.disconnecting
    assert client.lost == [None]
    assert not quitting.called
    client.clock.advance(5)
    assert client.wire.aborted
    assert result_of(quitting) is None
    client.done()


def test_lost_fires_before_the_result_so_that_nothing_is_begun_on_a_dead_conversation() -> None:
    """Whoever hears the result sees the conversation is over."""
    client = Client().opened()
    order: list[str] = []
    client.conversation.lost.addCallback(lambda _: order.append("lost"))
    client.submit().addCallback(lambda _: order.append("result"))
    client.wire.cut()
    assert order == ["lost", "result"]


def test_a_conversation_lost_while_idle_sends_nothing() -> None:
    """Values, not errors: the race is nobody's mistake."""
    client = Client().opened()
    client.hear(b"421 idle\r\n")
    assert client.lost == [None]
    assert isinstance(result_of(client.submit()), NotSent)
    assert result_of(Deferred.fromCoroutine(client.conversation.ping(PagerId("1")))) is None
    assert result_of(Deferred.fromCoroutine(client.conversation.quit())) is None
    client.done()


def test_cancelling_ends_the_conversation() -> None:
    """While opening and while submitting."""
    client = Client("never")
    client.opening.cancel()
    assert result_of(client.opening).check(CancelledError)
    assert client.endpoint.cancelled
    client.done()
    client = Client().opened()
    submitting = client.sent()
    submitting.cancel()
    assert result_of(submitting).check(CancelledError)
    client.done()


def test_questions_have_the_reply_limit() -> None:
    """status, ping, kill, help: an answer or None."""
    client = Client().opened()
    asking = Deferred.fromCoroutine(client.conversation.status("17", "42"))
    client.hear(b"881 5 261121174530+0 Read\r\n")
    status = result_of(asking)
    assert (status.code, status.sequence, status.read) == (881, 5, True)
    asking = Deferred.fromCoroutine(client.conversation.kill("17", "42"))
    client.hear(OK)
    assert result_of(asking) == Reply(250, "OK")
    asking = Deferred.fromCoroutine(client.conversation.ping(PagerId("sam")))
    client.hear(b"821 there\r\n")
    assert result_of(asking) == Reply(821, "there")
    asking = Deferred.fromCoroutine(client.conversation.help())
    client.clock.advance(60)
    assert result_of(asking) is None
    client.done()


# The server


class House:
    """An application whose answers the test may hold back."""

    def __init__(self) -> None:
        self.held: list[Deferred] = []
        self.hold = False
        self.pages: list[m.Received] = []
        self.callers: list[Caller] = []
        self.fails = False

    async def _answer(self, who: Caller, reply: Reply) -> Reply:
        self.callers.append(who)
        if self.fails:
            raise RuntimeError("our bug")
        if self.hold:
            self.held.append(Deferred())
            return await self.held[-1]
        return reply

    async def login(self, who: Caller, asked: s.LoginAsked) -> Reply:
        return await self._answer(who, Reply(250, "in"))

    async def check_pager(self, who: Caller, asked: s.PagerAsked) -> Reply:
        return await self._answer(who, Reply(250, "pager"))

    async def send(self, who: Caller, page: m.Received) -> Reply:
        reply = await self._answer(who, Reply(250, "sent"))
        self.pages.append(page)
        return reply

    async def status(self, who: Caller, asked: s.StatusAsked) -> Reply:
        return await self._answer(who, Reply(550, "unknown"))

    async def ping(self, who: Caller, asked: s.PingAsked) -> Reply:
        return await self._answer(who, Reply(821, "there"))

    async def kill(self, who: Caller, asked: s.KillAsked) -> Reply:
        return await self._answer(who, Reply(250, "gone"))


class Server:
    """Our server with one client typed by the test."""

    def __init__(self, factory: SnppFactory | None = None, **how: object) -> None:
        self.clock = factory.clock if factory else Clock()
        self.house = House()
        self.factory = factory or SnppFactory(self.house, self.clock, lambda: NOW, **how)
        protocol = self.factory.buildProtocol(None)
        self.wire = Wire(protocol)
        protocol.makeConnection(self.wire)
        self.protocol = protocol

    def say(self, data: bytes) -> bytes:
        self.wire.take()
        self.protocol.dataReceived(data)
        return self.wire.take()


@pytest.fixture
def logged() -> list[dict]:
    events: list[dict] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def test_a_page_through_the_server() -> None:
    """The application hears who is talking."""
    server = Server()
    assert server.wire.take() == b"220 SNPP gateway ready\r\n"
    said = b"LOGI ops\r\nPAGE 1\r\nMESS a\r\nSEND\r\nMSTA 1 2\r\nPING 1\r\nKTAG 1 2\r\nQUIT\r\n"
    codes = [int(line[:3]) for line in server.say(said).splitlines()]
    assert codes == [250, 250, 250, 250, 550, 821, 250, 221]
    assert [who.login for who in server.house.callers] == [None] + ["ops"] * 5
    assert server.wire.disconnecting
    assert not server.clock.getDelayedCalls()


def test_thousands_of_pipelined_commands_need_no_deep_stack() -> None:
    """Answers that come at once are taken in a loop."""
    server = Server()
    assert server.say(b"PING 1\r\n" * 4000).count(b"821 ") == 4000


def test_an_idle_client_hears_421_after_300_s() -> None:
    """Counted from its last whole line: single octets keep nothing open."""
    server = Server()
    server.clock.advance(200)
    server.say(b"PAGE 1\r\n")
    server.clock.advance(299)
    server.say(b"M")
    assert not server.wire.disconnecting
    server.clock.advance(1)
    assert server.wire.take() == b"421 Timeout, goodbye\r\n"
    assert server.wire.disconnecting
    assert not server.clock.getDelayedCalls()


def test_b28_data_without_final_dot() -> None:
    """60 s of silence between lines: 421, close, nothing stored."""
    server = Server()
    server.say(b"PAGE 1\r\nDATA\r\nDisk full.\r\n")
    server.clock.advance(59)
    assert server.say(b"more\r\n") == b""
    server.clock.advance(59)
    assert not server.wire.disconnecting
    server.clock.advance(1)
    assert server.wire.take() == b"421 Timeout, goodbye\r\n"
    assert server.wire.disconnecting
    assert server.house.pages == []


def test_b32_too_many_commands_in_one_second() -> None:
    """421 over the limit; the count begins anew every second."""
    server = Server(limits=ServerLimits(commands=100))
    assert server.say(b"LEVE 1\r\n" * 100).count(b"250 ") == 100
    server.clock.advance(1)
    assert server.say(b"LEVE 1\r\n" * 100).count(b"250 ") == 100
    assert server.say(b"LEVE 1\r\n").startswith(b"421 ")
    assert server.wire.disconnecting


def test_b33_a_client_that_vanishes_right_after_send() -> None:
    """The page is still sent; there is nobody to answer."""
    server = Server()
    server.house.hold = True
    server.say(b"PAGE 1\r\nMESS a\r\nSEND\r\n")
    server.wire.cut()
    server.house.held[0].callback(Reply(250, "pager"))
    server.house.held[1].callback(Reply(250, "stored"))
    assert [page.text for page in server.house.pages] == ["a"]
    assert not server.clock.getDelayedCalls()


def test_b33_a_client_that_vanishes_without_send() -> None:
    """Is normal, and nothing is sent."""
    server = Server()
    server.say(b"PAGE 1\r\nMESS a\r\nSEN")
    server.wire.cut()
    assert server.house.pages == []
    assert not server.clock.getDelayedCalls()


@pytest.mark.parametrize("hello", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_b34_another_protocol_is_closed_at_once_with_one_log_line(hello: bytes, logged: list[dict]) -> None:
    """No second passes on the clock."""
    server = Server()
    assert server.say(hello).startswith(b"421 ")
    assert server.wire.disconnecting
    assert [event["log_format"] for event in logged] == ["{what} came to the SNPP port from {peer}"]


def test_a_failure_of_the_application_is_554_and_logged_without_texts(logged: list[dict]) -> None:
    """The conversation goes on."""
    server = Server()
    server.house.fails = True
    assert server.say(b"PAGE 4711\r\n") == b"554 Technical failure\r\n"
    server.house.fails = False
    assert server.say(b"PAGE 1\r\n") == b"250 pager\r\n"
    [event] = logged
    assert "log_failure" in event
    assert "4711" not in str({key: value for key, value in event.items() if key != "log_failure"})


def test_an_application_that_does_not_answer_send_leaves_the_client_in_doubt() -> None:
    """After 120 s: a close without a reply, because 421 would claim that nothing was sent."""
    server = Server()
    server.say(b"PAGE 1\r\nMESS a\r\n")
    server.house.hold = True
    server.say(b"SEND\r\n")
    server.clock.advance(120)
    assert server.wire.take() == b""
    assert server.wire.disconnecting
    server.house.held[0].callback(Reply(250, "late"))
    assert server.wire.take() == b""


def test_one_connection_too_many_hears_421() -> None:
    """Instead of a greeting; the next one fits again when one has gone."""
    first = Server(limits=ServerLimits(connections=1))
    second = Server(first.factory)
    assert second.wire.take().startswith(b"421 ")
    assert second.wire.disconnecting
    first.wire.cut()
    assert Server(first.factory).wire.take().startswith(b"220 ")


def test_draining_answers_what_is_due_and_refuses_the_rest() -> None:
    """421 for idle and new connections, the answer first for a SEND under way."""
    idle = Server()
    busy = Server(idle.factory)
    house = idle.house
    busy.say(b"PAGE 1\r\nMESS a\r\n")
    house.hold = True
    busy.say(b"SEND\r\n")
    idle.wire.take()
    idle.factory.drain()
    assert idle.wire.take().startswith(b"421 ")
    assert busy.wire.take() == b""
    house.held[0].callback(Reply(250, "stored"))
    assert busy.wire.take().splitlines()[0] == b"250 stored"
    assert busy.wire.disconnecting
    assert Server(idle.factory).wire.take().startswith(b"421 ")


def test_a_client_that_does_not_read_is_not_read_from() -> None:
    """The transport tells when its buffer is full."""
    server = Server()
    server.say(b"HELP\r\n")
    server.wire.producer.pauseProducing()
    assert server.wire.producerState == "paused"
    server.wire.producer.resumeProducing()
    assert server.wire.producerState == "producing"


def test_a_close_the_client_does_not_let_through_is_an_abort() -> None:
    """After 5 s."""
    server = Server()
    server.wire.lazy = True
    server.say(b"QUIT\r\n")
    assert not server.wire.aborted
    server.clock.advance(5)
    assert server.wire.aborted
