"""The Twisted server: time limits, an application that fails, draining, TLS. In memory, on a fake clock."""

import pytest
from smtp_fakes import ANN, US, Wire, to
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.messages import Reply
from protocols.smtp.server import Caller, Limits, SmtpFactory

ENTER = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\n"


class House:
    """An application that says yes, or what it is told to."""

    def __init__(self) -> None:
        self.messages: list[s.Received] = []
        self.callers: list[Caller] = []
        self.due: Deferred | None = None
        self.fails = False

    async def login(self, who: Caller, asked: s.LoginAsked) -> Reply:
        return Reply(235)

    async def recipient(self, who: Caller, asked: s.RecipientAsked) -> Reply:
        self.callers.append(who)
        return Reply(250)

    async def message(self, who: Caller, message: s.Received) -> tuple[Reply, ...]:
        if self.fails:
            raise RuntimeError("disk")
        if self.due:
            await self.due
        self.messages.append(message)
        return (Reply(250, ("2.0.0 queued",)),)


class Server:
    def __init__(self, **limits: object) -> None:
        self.clock = Clock()
        self.house = House()
        rules = s.ServerRules(name=US, domains=frozenset({"example.net"}), starttls=True)
        self.factory = SmtpFactory(self.house, self.clock, rules, tls="context", limits=Limits(**limits))

    def connect(self) -> Wire:
        wire = Wire(self.factory.buildProtocol(None))
        wire.protocol.makeConnection(wire)
        return wire


def say(wire: Wire, data: bytes) -> list[int]:
    wire.take()
    wire.protocol.dataReceived(data)
    return [int(line[:3]) for line in wire.take().splitlines() if line[3:4] == b" "]


def test_a_message_reaches_the_application() -> None:
    """And QUIT closes, with no timer left."""
    server = Server()
    wire = server.connect()
    assert wire.take() == b"220 gw.example.net ESMTP\r\n"
    assert say(wire, ENTER) == [250, 250, 250, 354]
    assert say(wire, b"hello\r\n.\r\nQUIT\r\n") == [250, 221]
    assert server.house.messages[0].recipients == to(ANN)
    assert server.house.callers == [Caller(address=wire.getPeer().host, login=None, secure=False)]
    assert wire.disconnecting
    assert not server.clock.getDelayedCalls()


def test_starttls_is_begun_behind_the_220() -> None:
    """What came with it in clear is gone."""
    server = Server()
    wire = server.connect()
    assert say(wire, b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<>\r\n") == [250, 220]
    assert wire.tls == ["context"]
    assert say(wire, b"MAIL FROM:<>\r\n") == [503]
    assert say(wire, ENTER) == [250, 250, 250, 354]
    assert server.house.callers[0].secure


def test_starttls_needs_a_context() -> None:
    """A mistake of ours is found at the start."""
    rules = s.ServerRules(name=US, domains=frozenset(), starttls=True)
    with pytest.raises(m.InvalidValue, match="tls"):
        SmtpFactory(House(), Clock(), rules)


def test_an_application_that_fails_is_a_temporary_error() -> None:
    """451, logged without the text; the conversation goes on."""
    seen: list[dict[str, object]] = []
    server = Server()
    server.house.fails = True
    wire = server.connect()
    say(wire, ENTER)
    globalLogPublisher.addObserver(seen.append)
    try:
        assert say(wire, b"secret text\r\n.\r\n") == [451]
    finally:
        globalLogPublisher.removeObserver(seen.append)
    assert any("log_failure" in event for event in seen)
    assert "secret text" not in repr(seen)
    assert say(wire, b"NOOP\r\n") == [250]


@pytest.mark.parametrize(("said", "limit"), [(b"", 300), (b"EHLO x\r\n", 300), (ENTER, 60)])
def test_silence_ends_in_421(said: bytes, limit: int) -> None:
    """300 s between commands, 60 s in a text; octets without a line end do not count."""
    server = Server()
    wire = server.connect()
    if said:
        say(wire, said)
    server.clock.advance(limit - 1)
    say(wire, b"x")
    assert not wire.disconnecting
    server.clock.advance(1)
    assert b"421 4.4.2 " in wire.take()
    assert wire.disconnecting


def test_an_application_that_does_not_answer_after_the_dot() -> None:
    """The connection ends without a word: the client is in doubt, as we are."""
    server = Server()
    server.house.due = Deferred()
    wire = server.connect()
    say(wire, ENTER)
    assert say(wire, b"x\r\n.\r\n") == []
    server.clock.advance(120)
    assert wire.take() == b""
    assert wire.disconnecting


def test_a_message_whose_dot_has_come_is_taken_though_the_client_is_gone() -> None:
    """What the application begins it ends."""
    server = Server()
    server.house.due = Deferred()
    wire = server.connect()
    say(wire, ENTER + b"x\r\n.\r\n")
    wire.cut()
    server.house.due.callback(None)
    assert len(server.house.messages) == 1


def test_one_connection_too_many_and_draining() -> None:
    """421 in place of the greeting; when draining to everybody, after the answer that is due."""
    server = Server(connections=1)
    first = server.connect()
    second = server.connect()
    assert second.take().startswith(b"421 4.3.2 Too many")
    server.house.due = Deferred()
    say(first, ENTER + b"x\r\n.\r\n")
    server.factory.drain()
    assert first.take() == b""
    server.house.due.callback(None)
    assert first.take().splitlines() == [b"250 2.0.0 queued", b"421 4.3.2 Service is closing, try later"]
    assert first.disconnecting


def test_too_many_commands_per_second() -> None:
    """A text has its own limit, so its lines do not count."""
    server = Server(commands=10)
    wire = server.connect()
    assert say(wire, ENTER + b"x\r\n" * 100 + b".\r\n") == [250, 250, 250, 354, 250]
    assert say(wire, b"NOOP\r\n" * 10)[-1] == 421


def test_a_bounce_from_nobody_is_taken() -> None:
    """MAIL FROM:<> is a sender like any other; who gets it the application decides."""
    server = Server()
    wire = server.connect()
    assert say(wire, ENTER) == [250, 250, 250, 354]
    assert say(wire, b"Subject: x\r\n\r\nx\r\n.\r\n") == [250]
    assert [message.sender for message in server.house.messages] == [None]


def test_the_rules_may_be_those_of_the_moment() -> None:
    """A connection has the rules that there were when it began."""
    domains = [frozenset({"example.net"})]
    factory = SmtpFactory(House(), Clock(), lambda: s.ServerRules(name=US, domains=domains[-1]))
    wires = []
    for domain in ("example.net", "example.org"):
        domains.append(frozenset({domain}))
        wires.append(Wire(factory.buildProtocol(None)))
        wires[-1].protocol.makeConnection(wires[-1])
    asked = b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.net>\r\n"
    assert [say(wire, asked)[-1] for wire in wires] == [250, 550]
    with pytest.raises(m.InvalidValue, match="tls"):
        SmtpFactory(House(), Clock(), lambda: s.ServerRules(name=US, domains=frozenset(), starttls=True))


def test_a_text_has_a_limit_as_a_whole() -> None:
    """A line each 59 s keeps nobody for ever: after 600 s 421; the next text has its own time."""
    server = Server()
    wire = server.connect()
    say(wire, ENTER)
    for _ in range(10):
        server.clock.advance(59)
        assert say(wire, b"x\r\n") == []
    assert say(wire, b".\r\n") == [250]
    say(wire, b"MAIL FROM:<>\r\nRCPT TO:<ann@example.net>\r\nDATA\r\n")
    for _ in range(10):
        server.clock.advance(59)
        assert say(wire, b"x\r\n") == []
    server.clock.advance(10)
    assert wire.take().startswith(b"421 4.4.2")
    assert wire.disconnecting


def test_when_the_last_connection_is_gone_is_told() -> None:
    """For who stops the server."""
    server = Server()
    assert server.factory.empty().called
    wires = [server.connect(), server.connect()]
    empty = server.factory.empty()
    server.factory.drain()
    assert all(wire.disconnecting for wire in wires)
    assert empty.called
