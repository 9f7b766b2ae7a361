"""Setting up, dialling, bytes, hanging up: our side against modems that the test plays."""

import pytest

from protocols.events import Over, Say, Wait, Write
from protocols.modem import session as s
from protocols.modem.messages import (
    Command,
    Connected,
    DialString,
    LocalProtocolError,
    NotConnected,
    NotReady,
    PhoneNumber,
    Ready,
    Word,
)
from protocols.modem.session import NEXT, LineReady, Manner, ModemSession, Move, Phase

NUMBER = DialString(number=PhoneNumber("18005550100"))
OK = b"\r\nOK\r\n"


class Ours:
    """Our session at a modem that the test plays."""

    def __init__(self, timing: s.Timing | None = None, **manner: object) -> None:
        self.session = ModemSession(manner=Manner(**manner), timing=timing)
        self.events: list[object] = []
        self.wrote: list[bytes] = []
        self.wait: float | None = None
        self.did(self.session.begin())

    def hear(self, data: bytes) -> "Ours":
        return self.did(self.session.receive(data))

    def expire(self, times: int = 1) -> "Ours":
        for _ in range(times):
            assert self.wait is not None, "nothing is waited for"
            self.did(self.session.expired())
        return self

    def dial(self) -> "Ours":
        return self.did(self.session.dial(NUMBER))

    def did(self, events: list) -> "Ours":
        if events:
            self.wait = None
        for event in events:
            self.events.append(event)
            if isinstance(event, Write):
                self.wrote.append(event.data)
            elif isinstance(event, Wait):
                self.wait = event.seconds
        return self

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def data(self) -> bytes:
        return b"".join(event.data for event in self.of(s.Received))


def ready(**manner: object) -> Ours:
    ours = Ours(**manner)
    if ours.session.phase is Phase.LOW:
        ours.expire(2)
    ours.hear(OK).expire()
    while ours.session.phase is Phase.SETTING_UP:
        ours.hear(OK)
    assert ours.of(Ready)
    ours.wrote.clear()
    return ours


def online(**manner: object) -> Ours:
    ours = ready(**manner).dial().hear(b"\r\nCONNECT 1200\r\n")
    assert ours.of(Connected)
    ours.wrote.clear()
    return ours


# Setting up


def test_a_modem_is_set_up_command_by_command() -> None:
    """DTR low and high, ATZ, a pause, the init line, and the escape switched off."""
    ours = Ours()
    assert ours.events == [LineReady(up=False), Wait(seconds=0.6)]
    ours.expire()
    assert ours.events[2:] == [LineReady(up=True), Wait(seconds=1.0)]
    ours.expire().hear(b"ATZ\r\r\nOK\r\n")
    assert ours.wait == 2.0
    ours.expire().hear(OK).hear(OK)
    assert ours.wrote == [b"ATZ\r", b"ATE0V1Q0X4&C1&D2S0=0\r", b"ATS2=255\r"]
    assert isinstance(ours.events[-1], Ready)


def test_without_dtr_the_escape_is_needed_to_hang_up() -> None:
    """A modem behind a network: no DTR, and no S2=255."""
    ours = Ours(dtr=False, init=(Command("AT&FQ0V1X4"), Command("ATM0")))
    ours.hear(OK).expire().hear(OK).hear(OK)
    assert ours.wrote == [b"ATZ\r", b"AT&FQ0V1X4\r", b"ATM0\r"]
    assert ours.of(LineReady) == []


def test_numbers_are_results_too() -> None:
    """A modem that starts in V0."""
    ours = Ours(dtr=False).hear(b"ATZ\r0\r").expire().hear(b"0\r")
    assert isinstance(ours.events[-1], Ready)


def test_atz_is_said_twice() -> None:
    """The first after power-up often gets lost; a modem that never answers is named."""
    ours = Ours(dtr=False).expire()
    assert ours.wrote == [b"ATZ\r"] * 2
    ours.expire()
    assert ours.of(NotReady) == [NotReady(word=Word.SILENCE, why="the modem does not answer ATZ")]
    assert ours.of(Over)


def test_an_init_line_that_the_modem_does_not_know_is_a_setting_to_mend() -> None:
    """ERROR names the line; only the escape may be unknown, to modems so old that they have no S2."""
    ours = Ours(dtr=False).hear(OK).expire().hear(b"\r\nERROR\r\n")
    assert ours.of(NotReady)[0].word is Word.ERROR
    assert "ATE0V1Q0X4" in ours.of(NotReady)[0].why
    old = Ours().expire(2).hear(OK).expire().hear(OK).hear(b"\r\nERROR\r\n")
    assert old.of(Ready)


def test_left_overs_are_no_answers() -> None:
    """NO CARRIER of the last call, RING, echoes, half lines of noise."""
    ours = Ours(dtr=False)
    ours.hear(b"\r\nNO CARRIER\r\n\r\nRING\r\nATZ\r")
    assert not ours.of(NotReady)
    assert ours.session.phase is Phase.SETTING_UP
    assert ours.hear(OK).session.phase is Phase.SETTLING


# Dialling


def test_a_call() -> None:
    """The number, CONNECT with its speed, and at once the other end's bytes."""
    ours = ready().dial()
    assert ours.wrote == [b"ATDT18005550100\r"]
    assert ours.wait == 75.0
    ours.hear(b"ATDT18005550100\r\r\nRINGING\r\n\r\nCARRIER 1200\r\n\r\nCONNECT 1200/NONE\r\nID=")
    assert ours.of(Connected) == [Connected(speed=1200, text="CONNECT 1200/NONE")]
    assert ours.data == b"ID="
    ours.did(ours.session.say(b"\r"))
    assert ours.wrote[-1] == b"\r"


def test_pulse_is_a_setting() -> None:
    """Some lines have no tones."""
    assert ready(pulse=True).dial().wrote == [b"ATDP18005550100\r"]


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (b"\r\nBUSY\r\n", Word.BUSY),
        (b"\r\nNO DIALTONE\r\n", Word.NO_DIALTONE),
        (b"\r\nNO DIAL TONE\r\n", Word.NO_DIALTONE),
        (b"\r\nNO ANSWER\r\n", Word.NO_ANSWER),
        (b"\r\nNO CARRIER\r\n", Word.NO_CARRIER),
        (b"\r\nERROR\r\n", Word.ERROR),
        (b"\r\nDELAYED\r\n", Word.DELAYED),
        (b"\r\nBLACKLISTED\r\n", Word.BLACKLISTED),
        (b"\r\nRING\r\n", Word.RING),
        (b"7\r", Word.BUSY),
        (b"6\r", Word.NO_DIALTONE),
    ],
)
def test_why_there_is_no_call(said: bytes, word: Word) -> None:
    """Told apart, cut anywhere; the next number may be dialled at once."""
    for cut in range(len(said)):
        ours = ready().dial().hear(said[:cut]).hear(said[cut:])
        [failed] = ours.of(NotConnected)
        assert failed.word is word
        assert ours.session.phase is Phase.COMMAND
        assert ours.dial().wrote[-1] == b"ATDT18005550100\r"


def test_a_person_is_hung_up_on_at_once() -> None:
    """VOICE: the result comes when the line is free again."""
    ours = ready().dial().hear(b"\r\nVOICE\r\n")
    assert ours.of(NotConnected) == []
    assert ours.wrote[-1] == b"\rATH0\r"
    assert ours.hear(OK).of(NotConnected)[0].word is Word.VOICE


def test_no_result_is_given_up() -> None:
    """After 75 s; a modem that does not even hang up is left to its port's closing."""
    ours = ready().dial().expire()
    assert ours.wrote[-1] == b"\rATH0\r"
    ours.expire()
    assert ours.of(NotConnected) == [NotConnected(word=Word.SILENCE, why="no result within 75 s")]


@pytest.mark.parametrize("cut", range(len(b"\r\nCONNECT 1200\r\n")))
def test_connect_cut_at_every_byte(cut: int) -> None:
    """Half a CONNECT is no call."""
    data = b"\r\nCONNECT 1200\r\n"
    ours = ready().dial().hear(data[:cut])
    ours.did(ours.session.lose("unplugged"))
    assert bool(ours.of(Connected)) is (data[:cut].endswith(b"1200\r"))
    assert len(ours.of(Connected) + ours.of(NotConnected)) == 1


def test_one_thing_at_a_time() -> None:
    """No dialling before the modem is ready, nor in a call."""
    with pytest.raises(LocalProtocolError):
        Ours().dial()
    with pytest.raises(LocalProtocolError):
        online().dial()


# The call's end


def test_hanging_up_by_dtr() -> None:
    """Works whatever the other end says; the port closes then."""
    ours = online()
    ours.did(ours.session.hang_up())
    assert ours.events[-2:] == [LineReady(up=False), Wait(seconds=0.6)]
    ours.hear(b"more text")
    assert ours.data == b""
    assert ours.expire().of(Over) == [Over(why="hung up")]
    assert ours.wrote == []


def test_hanging_up_by_escape() -> None:
    """A second of silence, +++, a second of silence, ATH0."""
    ours = online(dtr=False)
    ours.did(ours.session.hang_up())
    assert (ours.wrote, ours.wait) == ([], 1.1)
    ours.did(ours.session.say(b"late"))
    ours.expire()
    assert (ours.wrote, ours.wait) == ([b"+++"], 2.2)
    ours.hear(OK)
    assert ours.wrote == [b"+++", b"ATH0\r"]
    assert ours.hear(OK).of(Over)


def test_a_modem_that_does_not_listen_is_left_after_all() -> None:
    """No OK to +++, none to ATH0."""
    ours = online(dtr=False)
    ours.did(ours.session.hang_up()).expire(3)
    assert ours.wrote == [b"+++", b"ATH0\r"]
    assert ours.of(Over)


def test_hanging_up_while_dialling() -> None:
    """Any octet ends dialling."""
    ours = ready().dial()
    ours.did(ours.session.hang_up())
    assert ours.wrote[-1] == b"\rATH0\r"
    assert ours.expire().of(Over)


@pytest.mark.parametrize("cut", range(len(b"bye\r\nNO CARRIER\r\n")))
def test_carrier_loss_is_seen_however_it_is_cut(cut: int) -> None:
    """From then on the modem takes bytes for commands, so none are written."""
    data = b"bye\r\nNO CARRIER\r\n"
    ours = online().hear(data[:cut]).hear(data[cut:])
    assert ours.of(s.Gone) == [s.Gone(why="the modem says NO CARRIER")]
    assert ours.data.startswith(b"bye\r\nNO CARRIER")
    assert ours.session.say(b"ATH") == []
    assert ours.of(Over)


def test_the_words_inside_a_line_are_text() -> None:
    """Only a whole line is the modem's."""
    ours = online().hear(b"there is NO CARRIER here\r\nNO CARRIER, said he\r\n")
    assert ours.of(s.Gone) == []


def test_dcd_may_say_it_first() -> None:
    """Whoever watches the port's lines tells us."""
    ours = online()
    ours.did(ours.session.carrier_lost())
    assert ours.of(s.Gone) == [s.Gone(why="carrier lost")]
    assert ready().session.carrier_lost() == []


@pytest.mark.parametrize(
    ("at", "kind"),
    [(lambda: Ours(), NotReady), (lambda: ready().dial(), NotConnected), (lambda: online(), s.Gone)],
)
def test_a_port_that_goes_is_told_once(at: object, kind: type) -> None:
    """Unplugged."""
    ours = at()
    ours.did(ours.session.lose("unplugged")).did(ours.session.lose("again"))
    assert [event.why for event in ours.of(kind)] == ["unplugged"]
    assert ours.of(Over) == [Over(why="unplugged")]


def test_a_dial_tone_is_listened_for() -> None:
    """Nothing is dialled; OK means that there is one, and the line is hung up again. Then numbers are dialled."""
    ours = ready()
    ours.did(ours.session.listen())
    assert ours.wrote == [b"ATDT;\r"]
    ours.hear(OK)
    assert ours.wrote[-1] == b"\rATH0\r"
    assert not ours.of(NotConnected)
    ours.hear(OK)
    assert ours.of(NotConnected) == [NotConnected(word=Word.OK, why="there is a dial tone")]
    ours.did(ours.session.listen()).hear(b"\r\nNO DIALTONE\r\n")
    assert ours.of(NotConnected)[-1].word is Word.NO_DIALTONE
    ours.dial().hear(OK)  # a stray one is no dial tone
    assert len(ours.of(NotConnected)) == 2
    ours.hear(b"\r\nCONNECT 1200\r\n")
    assert ours.of(Connected)


def test_our_modem_has_a_dial_tone() -> None:
    """`ATDT;` is answered by OK, and calls nobody."""
    modem = s.AnsweringModem()
    modem.receive(b"ATE0\r")
    assert modem.receive(b"ATDT;\r") == [Say(data=OK)]
    assert modem.stage is s.Stage.COMMAND


def test_our_modem_understands_commands_with_a_parity_bit() -> None:
    """From a port that reckons its parity itself, or has the other one."""
    for odd in (0, 1):
        modem = s.AnsweringModem()
        said = bytes(octet | 0x80 if (octet.bit_count() + odd) % 2 else octet for octet in b"ATZ\r")
        assert modem.receive(said)[-1] == Say(data=OK)


def test_states_are_a_table() -> None:
    """Every phase but the first is reached, each can close."""
    assert set(NEXT.values()) == set(Phase) - {Phase.PLUGGED}
    assert all(NEXT[phase, Move.CLOSE] is Phase.CLOSED for phase in Phase)
    assert [phase for (phase, move) in NEXT if move is Move.DIAL] == [Phase.COMMAND]
