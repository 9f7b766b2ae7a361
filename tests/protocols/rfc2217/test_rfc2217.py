"""A serial port of a device server: options, settings, bytes; in memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from protocols.errors import InvalidValue, LocalProtocolError
from protocols.events import Write
from protocols.rfc2217 import codec
from protocols.rfc2217.client import RemotePort
from protocols.rfc2217.codec import BINARY, COM_PORT, SUPPRESS_GO_AHEAD, Command, Option, Verb
from protocols.rfc2217.messages import Failed, Line, Parity, Ready, Received, Signals
from protocols.rfc2217.session import ClientSession

LINE = Line(baud=1200, bits=7, parity=Parity.EVEN)
AGREED = b"".join(
    codec.encode_option(verb, option)
    for verb, option in (
        (Verb.DO, COM_PORT),
        (Verb.DO, BINARY),
        (Verb.WILL, BINARY),
        (Verb.DO, SUPPRESS_GO_AHEAD),
        (Verb.WILL, SUPPRESS_GO_AHEAD),
    )
)


def confirmed(**other: int) -> bytes:
    """What a server says that has set the port; *other* than it was asked."""
    values = {"baudrate": 1200, "datasize": 7, "parity": 3, "stopsize": 1, "control": 1} | other
    return b"".join(
        codec.encode_about(
            codec.ANSWER + Command[f"SET_{name.upper()}"], value, 4 if name == "baudrate" else 1
        )
        for name, value in values.items()
    )


def ready() -> ClientSession:
    session = ClientSession(LINE)
    session.begin()
    session.receive(AGREED)
    assert session.receive(confirmed()) == [Ready()]
    return session


def written(events: list[Any]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Write))


def test_options_then_settings_then_bytes() -> None:
    """We offer and ask; the server agrees; we set speed, bits, parity; it confirms; then the port is ours."""
    session = ClientSession(LINE)
    assert written(session.begin()) == bytes.fromhex("fffb00 fffb03 fffb2c fffd00 fffd03")
    asked = written(session.receive(AGREED))
    assert asked.startswith(
        bytes.fromhex("fffa2c01000004b0fff0 fffa2c0207fff0 fffa2c0303fff0 fffa2c0401fff0")
    )
    with pytest.raises(LocalProtocolError):
        session.say(b"\r")
    assert session.receive(b"noise at another speed" + confirmed()) == [Ready()]
    assert written(session.say(b"\r\xff")) == b"\r\xff\xff"
    assert session.receive(b"ID=\xff\xff") == [Received(data=b"ID=\xff")]
    assert written(session.set_dtr(False)) == bytes.fromhex("fffa2c0509fff0")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (codec.encode_option(Verb.DONT, COM_PORT), "the device server refuses RFC 2217"),
        (codec.encode_option(Verb.WONT, BINARY), "the device server refuses binary transmission"),
        (AGREED + confirmed(baudrate=9600), "the device server sets baudrate 9600, not 1200 (1200 baud 7E1)"),
        (AGREED + confirmed(parity=1), "the device server sets parity 1, not 3 (1200 baud 7E1)"),
    ],
)
def test_a_server_that_does_something_else(said: bytes, why: str) -> None:
    """What is not confirmed as it was asked for is told, and nothing is sent."""
    session = ClientSession(LINE)
    session.begin()
    assert session.receive(said)[-1] == Failed(why=why)
    assert session.receive(AGREED + confirmed()) == []


def test_other_options_are_declined() -> None:
    """A server may want more (echo, terminal types): no."""
    session = ready()
    asked = codec.encode_option(Verb.DO, 24) + codec.encode_option(Verb.WILL, 1)
    assert written(session.receive(asked)) == bytes.fromhex("fffc18 fffe01")


def test_the_carrier_is_told() -> None:
    """DCD comes as a notice of its own, between the bytes; when another wire changes it says nothing."""
    gone, back, other = (
        codec.encode_about(codec.ANSWER + Command.NOTIFY_MODEMSTATE, n) for n in (8, 136, 17)
    )
    assert ready().receive(b"a" + gone + b"b" + other + back) == [
        Received(data=b"a"),
        Signals(carrier=False),
        Received(data=b"b"),
        Signals(carrier=True),
    ]


def test_what_cannot_be_set() -> None:
    """Five data bits and no speed are mistakes of ours."""
    for wrong in ({"bits": 5}, {"baud": 0}):
        with pytest.raises(InvalidValue):
            Line(**wrong)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 9))
def test_bytes_pass_whole_however_they_are_cut(said: list[bytes], cut: int) -> None:
    """Whatever is written comes out, between commands too."""
    notice = codec.encode_about(codec.ANSWER + Command.NOTIFY_MODEMSTATE, 255)
    wire = notice.join(codec.encode_data(one) for one in said)
    session = ready()
    events = [one for at in range(0, len(wire), cut) for one in session.receive(wire[at : at + cut])]
    assert b"".join(one.data for one in events if isinstance(one, Received)) == b"".join(said)
    assert events.count(Signals(carrier=True)) == max(0, len(said) - 1)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_nonsense_is_borne(said: bytes) -> None:
    """No server makes it fail, or keep more than a few octets."""
    session = ClientSession(LINE)
    session.begin()
    session.receive(said)
    assert all(isinstance(one, codec.Data | Option | codec.About) for one in codec.Decoder().receive(said))


# On Twisted


class Device:
    """A connection to a device server, in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wire = StringTransport()
        self.server: Any = None
        self.heard: list[bytes] = []
        self.lost = 0
        self.port = RemotePort(self, self.clock, LINE)

    def connect(self, factory: Any) -> Deferred[Any]:
        self.server = factory.buildProtocol(None)
        self.server.makeConnection(self.wire)
        return succeed(self.server)

    def protocol(self) -> Protocol:
        device = self

        class Talker(Protocol):
            def dataReceived(self, data: bytes) -> None:
                device.heard.append(data)

            def connectionLost(self, reason: Any = None) -> None:
                device.lost += 1

        return Talker()


def test_the_port_is_an_endpoint() -> None:
    """Who talks has the port as its transport: bytes both ways, DTR, and the end."""
    device = Device()
    opened: list[Any] = []
    device.port.connect(Factory.forProtocol(device.protocol)).addBoth(opened.append)
    device.server.dataReceived(AGREED)
    assert not opened
    device.server.dataReceived(confirmed() + b"ID=")
    assert device.heard == [b"ID="]
    device.wire.clear()
    opened[0].transport.write(b"\xff\r")
    device.port.set_dtr(True)
    assert device.wire.value() == b"\xff\xff\r" + bytes.fromhex("fffa2c0508fff0")
    opened[0].transport.loseConnection()
    assert device.wire.disconnecting
    device.server.connectionLost()
    assert device.lost == 1
    assert not device.clock.getDelayedCalls()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda device: device.clock.advance(11.0), "has not set the port within 10 s"),
        (lambda device: device.server.connectionLost(), "the device server hung up"),
        (lambda device: device.server.dataReceived(codec.encode_option(Verb.DONT, COM_PORT)), "refuses RFC 2217"),
    ],
)  # fmt: skip
def test_a_port_that_cannot_be_had(end: Any, why: str) -> None:
    """Silence, a hang-up or a no end the connection, and are told to who waits."""
    device = Device()
    failed: list[Any] = []
    device.port.connect(Factory.forProtocol(device.protocol)).addErrback(failed.append)
    end(device)
    assert failed[0].check(ConnectError)
    assert why in str(failed[0].value)
    assert not device.clock.getDelayedCalls()


def test_who_stops_waiting_leaves_nothing() -> None:
    """A call given up while the port is being set ends the connection."""
    device = Device()
    opening = device.port.connect(Factory.forProtocol(device.protocol))
    opening.addErrback(lambda failure: None)
    opening.cancel()
    assert device.wire.disconnected or device.wire.disconnecting
    assert not device.clock.getDelayedCalls()
