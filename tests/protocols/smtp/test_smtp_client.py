"""The Twisted client: time limits, loss, TLS, closing. In memory, on a fake clock."""

import pytest
from smtp_fakes import ANN, BLOCK, GO, OK, US, Endpoint, letter, to
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from protocols.smtp import messages as m
from protocols.smtp import session as s
from protocols.smtp.client import Conversation, Limits
from protocols.smtp.messages import InDoubt, NotSent


def result_of(deferred: Deferred) -> object:
    got: list[object] = []
    deferred.addBoth(lambda result: got.append(result) or result)
    assert got, "not fired"
    return got[0]


class Client:
    """A conversation whose server is typed by the test."""

    def __init__(
        self, outcome: object = None, *, login: m.Login | None = None, tls: object = None, **manner: object
    ) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint(outcome)
        self.wire = self.endpoint.wire
        self.conversation = Conversation(
            self.endpoint, self.clock, s.Manner(name=US, **manner), tls=tls, login=login
        )
        self.lost: list[object] = []
        self.conversation.lost.addCallback(self.lost.append)
        self.opening = Deferred.fromCoroutine(self.conversation.open())

    def hear(self, *said: bytes) -> None:
        for data in said:
            self.wire.protocol.dataReceived(data)

    def opened(self) -> "Client":
        self.hear(b"220 mx\r\n", b"250 mx\r\n")
        assert isinstance(result_of(self.opening), s.Opened)
        return self

    def submit(self, job: m.Transaction | None = None) -> Deferred:
        return Deferred.fromCoroutine(self.conversation.submit(job or letter()))

    def entered(self) -> Deferred:
        """All said but the text."""
        submitting = self.submit()
        self.hear(OK, OK, GO)
        return submitting

    def sent(self) -> Deferred:
        submitting = self.entered()
        self.clock.pump([0, 0])
        assert self.wire.value().endswith(BLOCK)
        return submitting

    def done(self) -> None:
        """Nothing is left behind."""
        assert self.lost == [None]
        assert not self.clock.getDelayedCalls()


def test_a_message_from_connect_to_quit() -> None:
    """And no timer is left."""
    client = Client().opened()
    submitting = client.sent()
    client.hear(OK)
    assert result_of(submitting).taken == to(ANN)
    assert not client.clock.getDelayedCalls()
    quitting = Deferred.fromCoroutine(client.conversation.quit())
    client.hear(b"221 bye\r\n")
    assert result_of(quitting) is None
    assert client.wire.value().endswith(BLOCK + b"QUIT\r\n")
    client.done()


def test_the_text_waits_until_the_transport_has_been_read_once_more() -> None:
    """What is already there cannot be its answer."""
    client = Client().opened()
    submitting = client.entered()
    client.hear(OK)
    assert isinstance(result_of(submitting), NotSent)
    client.clock.advance(0)
    assert BLOCK not in client.wire.value()
    client.done()


def test_starttls_is_begun_on_the_transport_before_anything_more_is_said() -> None:
    """With what the caller handed in."""
    client = Client(tls="context", starttls=s.StartTls.REQUIRED)
    client.hear(b"220 mx\r\n", b"250-mx\r\n250 STARTTLS\r\n")
    assert client.wire.tls == []
    client.wire.take()
    client.hear(b"220 go\r\n")
    assert client.wire.tls == ["context"]
    assert client.wire.take() == b"EHLO gw.example.net\r\n"
    client.hear(b"250 mx\r\n")
    assert result_of(client.opening).secure


def test_starttls_needs_a_context() -> None:
    """A mistake of the caller is found before anything is said."""
    with pytest.raises(m.InvalidValue, match="tls"):
        Client(starttls=s.StartTls.OFFERED)


def test_no_connection_is_told_in_words() -> None:
    """Refused, or never made."""
    client = Client(ConnectionRefusedError())
    assert result_of(client.opening).step == "CONN"
    assert "nobody listens" in result_of(client.opening).why
    client.done()
    client = Client("never")
    client.clock.advance(Limits().open)
    assert result_of(client.opening).step == "CONN"
    assert client.endpoint.cancelled
    client.done()


def test_a_silent_server_opens_nothing() -> None:
    """And its connection is dropped."""
    client = Client()
    client.clock.advance(60)
    assert result_of(client.opening).step == "220"
    client.done()


def test_silence_before_the_text_is_not_sent() -> None:
    """After the limit of one reply."""
    client = Client().opened()
    submitting = client.submit()
    client.clock.advance(60)
    assert isinstance(result_of(submitting), NotSent)
    client.done()


def test_data_and_the_dot_have_longer_limits() -> None:
    """120 s and 600 s; then it is a doubt."""
    client = Client().opened()
    submitting = client.submit()
    client.hear(OK, OK)
    client.clock.advance(119)
    client.hear(GO)
    client.clock.pump([0, 0])
    client.clock.advance(599)
    assert not submitting.called
    client.clock.advance(1)
    assert isinstance(result_of(submitting), InDoubt)
    client.done()


def test_a_message_has_an_end_in_time() -> None:
    """A server that drips its answers does not hold it for ever."""
    client = Client().opened()
    submitting = client.submit(letter(*(m.Mailbox(f"a{i}@x") for i in range(40))))
    for _ in range(40):
        if submitting.called:
            break
        client.hear(OK)
        client.clock.advance(50)
    assert isinstance(result_of(submitting), NotSent)
    client.done()


@pytest.mark.parametrize("after", [False, True])
def test_a_lost_connection_before_and_after_the_text(after: bool) -> None:
    """`NotSent` and `InDoubt`."""
    client = Client().opened()
    submitting = client.sent() if after else client.entered()
    client.wire.cut()
    assert isinstance(result_of(submitting), InDoubt if after else NotSent)
    client.done()


def test_cancelling_ends_the_conversation() -> None:
    """Later messages are `NotSent`."""
    client = Client().opened()
    submitting = client.entered()
    submitting.addErrback(lambda failure: failure.trap(CancelledError))
    submitting.cancel()
    client.done()
    assert isinstance(result_of(client.submit()), NotSent)


def test_a_connection_that_does_not_close_is_aborted() -> None:
    """5 s after the end."""
    client = Client().opened()
    client.wire.lazy = True
    quitting = Deferred.fromCoroutine(client.conversation.quit())
    client.clock.advance(5)
    client.clock.advance(5)
    assert client.wire.aborted
    assert result_of(quitting) is None
    client.done()


def test_a_message_the_server_cannot_take_leaves_the_conversation_open() -> None:
    """And no timer running."""
    client = Client().opened()
    submitting = client.submit(letter(m.Utf8Mailbox("jörg@example.net")))
    assert result_of(submitting).lacking == "SMTPUTF8"
    assert not client.clock.getDelayedCalls()
    assert not client.lost
