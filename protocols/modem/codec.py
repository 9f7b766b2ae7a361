"""Bytes to values and back: commands of ours, result lines of the modem's, in words and in numbers."""

import re

from protocols.modem.messages import Command, DialString, Heard, Word

MAX_LINE = 80  # octets kept of a line; ours, the longest in manuals has 40
ESCAPE = b"+++"
HANG_UP = b"ATH0\r"
OFF_HOOK = b"ATDT;\r"  # wait for a dial tone (X4), dial nothing, take commands again
NO_CARRIER = b"\r\nNO CARRIER\r\n"

_WORDS = (  # beginnings of whole lines; the longer of two that begin alike first
    ("NO CARRIER", Word.NO_CARRIER),
    ("NO DIALTONE", Word.NO_DIALTONE),
    ("NO DIAL", Word.NO_DIALTONE),
    ("NO ANSWER", Word.NO_ANSWER),
    ("CONNECT", Word.CONNECT),
    ("BLACKLISTED", Word.BLACKLISTED),
    ("BLACKLIST", Word.BLACKLISTED),
    ("DELAYED", Word.DELAYED),
    ("RINGING", Word.RINGING),
    ("RRING", Word.RINGING),
    ("RING", Word.RING),
    ("ERROR", Word.ERROR),
    ("VOICE", Word.VOICE),
    ("BUSY", Word.BUSY),
    ("OK", Word.OK),
)
NUMBERS = {
    0: Word.OK,
    2: Word.RING,
    3: Word.NO_CARRIER,
    4: Word.ERROR,
    6: Word.NO_DIALTONE,
    7: Word.BUSY,
    8: Word.NO_ANSWER,
}  # 1, 5 and from 9 on: CONNECT, whose numbers differ by maker
_SPEEDS = {1: 300, 5: 1200}
_SPEED = re.compile(r"CONNECT\D{0,3}([0-9]{2,6})", re.ASCII)


def encode_command(command: Command) -> bytes:
    return command.encode("ascii") + b"\r"


def encode_dial(number: DialString, *, pulse: bool = False) -> bytes:
    return (("ATDP" if pulse else "ATDT") + number.text).encode("ascii") + b"\r"


def encode_word(heard: Heard, *, words: bool = True) -> bytes:
    """A modem's result as it says it, in words or in numbers."""
    if words:
        said = heard.text or heard.word.value
        if heard.word is Word.CONNECT and heard.speed and not heard.text:
            said = f"CONNECT {heard.speed}"
        return f"\r\n{said}\r\n".encode("ascii")
    if heard.word is Word.CONNECT:
        number = next((n for n, speed in _SPEEDS.items() if speed == heard.speed), 10)
    else:
        number = next((n for n, word in NUMBERS.items() if word is heard.word), 3)
    return f"{number}\r".encode("ascii")


def decode_line(line: bytes) -> Heard | None:
    """What a whole line says; None for echoes, ``CARRIER 2400`` and other words that are no result."""
    text = bytes(octet & 0x7F for octet in line).decode("ascii").strip()
    if re.fullmatch("[0-9]{1,2}", text, re.ASCII):
        number = int(text)
        word = NUMBERS.get(number, Word.CONNECT)
        return Heard(word=word, speed=_SPEEDS.get(number), text=text)
    for beginning, word in _WORDS:
        if text.startswith(beginning) and not text[len(beginning) : len(beginning) + 1].isalpha():
            found = _SPEED.match(text) if word is Word.CONNECT else None
            return Heard(word=word, speed=int(found[1]) if found else None, text=text)
    return None


class ResultDecoder:
    """Result lines out of a stream, one at a time: behind CONNECT the bytes are the other end's."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._line = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in *data*."""
        self._data += data

    def rest(self) -> bytes:
        """What has not been looked at; it is the caller's from now on."""
        rest = bytes(self._data)
        self._data.clear()
        self._line.clear()
        return rest.removeprefix(b"\n")

    def forget(self) -> None:
        """A command begins: what came before it is no answer to it."""
        self._data.clear()
        self._line.clear()

    def next_one(self) -> Heard | None:
        """The next result that has come whole, or None."""
        for at, octet in enumerate(self._data, 1):
            if octet & 0x7F not in b"\r\n":
                if len(self._line) < MAX_LINE:
                    self._line.append(octet)
                continue
            heard = decode_line(bytes(self._line))
            self._line.clear()
            if heard:
                del self._data[:at]
                return heard
        self._data.clear()
        return None
