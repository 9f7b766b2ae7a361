"""TAP for the contract suite: a terminal behind TCP, a line without a modem, and what its answers mean."""

from __future__ import annotations

import re
from typing import Any

from adapters.scene import Example, Exercise, FarEnd
from gateway.adapters.tap import ADAPTER, TapSettings
from gateway.env.simulated import Weather
from gateway.outcome import About, InDoubt, Later, Level, NotSent, Refused, Taken
from gateway.settings.types import LineSettings, LinkSettings, Secret
from protocols.tap.codec import checksum

AT = "terminal.example:10001"
SECRET = "sesame51"

WAKE = re.compile(rb"\r")
LOGON = re.compile(rb"\x1bPG1([^\r]*)\r")
BLOCK = re.compile(rb"\x02([^\x03\x17\x1f]*)([\x03\x17\x1f])(...)\r", re.DOTALL)
EOT = re.compile(rb"\x04\r")


class TapFarEnd(FarEnd):
    """A terminal that takes every page of one block. It says ID= once, and answers each block once: the same
    block again gets nothing, or the same NAK."""

    def begin(self) -> None:
        self._buffer = b""
        self._asked = False
        self._on = False
        self._block = self._said = b""
        self._before = 0  # bytes said when the block came

    def hear(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            for form, then in (
                (WAKE, self.woken),
                (LOGON, self.logged_on),
                (BLOCK, self.block),
                (EOT, self.left),
            ):
                if found := form.match(self._buffer):
                    self._buffer = self._buffer[found.end() :]
                    then(found)
                    break
            else:
                if self._buffer[:1] in b"\x02\x1b\x04":
                    return  # the rest is to come
                self._buffer = self._buffer[1:]

    def woken(self, found: re.Match[bytes]) -> None:
        if not self._asked:
            self._asked = True
            self.say("ID=", b"ID=")

    def logged_on(self, found: re.Match[bytes]) -> None:
        if not self._on:
            self._on = True
            self.say("LOGON", b"110 1.8\r\x06\r\x1b[p")

    def block(self, found: re.Match[bytes]) -> None:
        answered = self._sent > self._before and self._said[-1:] in (b"\x06", b"\x1e")
        if found[0] == self._block and not answered:
            if self._said.endswith(b"\x15"):
                self.transport.write(self._said)
            return
        assert checksum(found[0][:-4]) == found[3]
        self._block, self._before = found[0], self._sent
        pager, *fields = found[1].removesuffix(b"\r").split(b"\r")
        text = b"\n".join(fields).replace(b"\x1aJ", b"\n").decode("ascii")
        self.took(pager.decode("ascii"), text)
        self._said = self.say("BLOCK", b"211 Page accepted\r\x06") or b""

    def left(self, found: re.Match[bytes]) -> None:
        self.say("EOT", b"115 Goodbye\r\x1b\x04")


def link(**own: Any) -> LinkSettings:
    return LinkSettings(adapter="tap", open_timeout=4.0, answer_timeout=8.0, own=TapSettings(**own))


PLAIN = link(at=f"tcp:{AT}", password=Secret(SECRET))
FIELDS = link(at=f"tcp:{AT}", transparency="never", line_ends="field")
BY_LINE = link(lines="terminals")
LINES = {
    "direct": LineSettings(pool="terminals", tcp=AT, modem=False, baud=19_200, software_parity=False),
}


def pages_of(wrote: bytes) -> int:
    """Whole blocks, the same again right behind itself not counted: a call may say one twice."""
    blocks = [found[0] for found in BLOCK.finditer(wrote)]
    return sum(block != before for block, before in zip(blocks, [b"", *blocks], strict=False))


ROW = {
    kind: row
    for kind, (row, _, _) in zip(
        (
            "ack",
            "cut",
            "pager",
            "text",
            "ours",
            "unreachable",
            "later",
            "nak",
            "limit",
            "no-call",
            "no-logon",
            "before",
            "after",
            "contradiction",
        ),
        ADAPTER.answers,
        strict=True,
    )
}
RS, NAK, DROP, ACK = b"\x1e", b"\x15", b"\x1b\x04", b"\x06"


def example(kind: str, answer: bytes | None, outcome: Any, at: str = "BLOCK", **more: Any) -> Example:
    return Example(row=ROW[kind], at=at, answer=answer, outcome=outcome, **more)


EXAMPLES = (
    example("ack", b"211 ok\r" + ACK, Taken, level=Level.HANDED_OVER),
    example("ack", b"213 later\r" + ACK, Taken, level=Level.HANDED_OVER),
    example("ack", ACK, Taken, level=Level.HANDED_OVER),
    example("ack", b"\r\n111 working\r\n211 ok\r\n" + ACK, Taken, level=Level.HANDED_OVER),
    example("cut", b"212 cut\r" + ACK, Taken, level=Level.HANDED_OVER),
    example("cut", b"214 80 characters\r" + ACK, Taken, level=Level.HANDED_OVER),
    example("pager", b"511 unknown\r" + RS, Refused, about=About.ADDRESS),
    example("pager", b"504 tone only\r" + RS, Refused, about=About.ADDRESS),
    example("pager", b"505 numeric\r" + RS, Refused, about=About.ADDRESS),
    example("pager", b"510 bad id\r" + NAK, Refused, about=About.ADDRESS),
    example("pager", RS, Refused, about=About.ADDRESS),
    example("text", b"513 too long\r" + RS, Refused, about=About.PAGE),
    example("text", b"517 80 characters\r" + RS, Refused, about=About.PAGE),
    example("text", b"515 format\r" + RS, Refused, about=About.PAGE),
    example("text", b"599 never\r" + RS, Refused, about=About.PAGE),
    example("ours", b"509 password\r" + RS, Refused, about=About.LINK),
    example("ours", b"508 service\r" + DROP, Refused, about=About.LINK, one=False),
    example("unreachable", b"512 not now\r" + RS, Later, about=About.ADDRESS),
    example("unreachable", b"512 not now\r" + DROP, Later, about=About.ADDRESS, one=False),
    example("later", b"516 quota\r" + RS, Later, about=About.PAGE),
    example("later", b"system busy\r" + RS, Later, about=About.PAGE),
    example("later", b"503 checksums\r" + DROP, Later, about=About.PAGE, one=False),
    example("later", b"506 too many\r" + DROP, Later, about=About.PAGE, one=False),
    example("nak", b"514 checksum\r" + NAK, Later, about=About.PAGE),
    example("nak", NAK, Later, about=About.PAGE),
    example("limit", b"112 full\r" + DROP, NotSent, one=False),
    example("limit", b"113 time\r" + DROP, NotSent, one=False),
    example("no-call", None, NotSent, "", weather=Weather(refuse=True)),
    example("no-call", None, NotSent, "", weather=Weather(refuse=True), settings=BY_LINE),
    example("no-call", None, NotSent, "", settings=link(lines="nothing")),
    example("no-logon", None, NotSent, "ID="),
    example("no-logon", b"Welcome\r\n", NotSent, "ID="),
    example("no-logon", b"509 password\r" + DROP, NotSent, "LOGON"),
    example("no-logon", b"507 what\r" + NAK, NotSent, "LOGON"),
    example("no-logon", b"110 1.8\r" + ACK, NotSent, "LOGON"),
    example("before", None, NotSent, "ID=", ends="reset"),
    example("before", None, NotSent, "LOGON", ends="close"),
    example("after", None, InDoubt),
    example("after", None, InDoubt, ends="close"),
    example("after", None, InDoubt, ends="reset"),
    example("after", DROP, InDoubt, one=False),
    example("after", b"211 ok\r", InDoubt),
    example("after", b"\r\nNO CARRIER\r\n", InDoubt),
    example("contradiction", b"511 unknown\r" + ACK, InDoubt),
    example("contradiction", b"211 ok\r" + RS, InDoubt),
)

EXERCISE = Exercise(
    adapter=ADAPTER,
    settings=PLAIN,
    others=(FIELDS, BY_LINE),
    at=AT,
    far=TapFarEnd,
    commit="BLOCK",
    goodbye="EOT",
    ponr=pages_of,
    sequences=frozenset({("BLOCK",)}),
    examples=EXAMPLES,
    refused=b"511 no such subscriber\r" + RS,
    echo=lambda heard: b"510 what is " + re.sub(rb"[\x00-\x1f]", b" ", heard) + b"\r" + RS,
    dialogue=40.0,  # five times 8 s (gateway.adapters.tap)
    secrets=(SECRET,),
    foreign=(b"ACK\r", b"211 Page accepted\r", b"\x1bp\r", b"OK\r\n", b"CONNECT 1200\r\n"),
    endless=((b"110 1.8\r", b"a\r"), (b"", b"111 wait\r"), (b"211 ", b"a"), (b"", b"\x1b")),
    ids=re.compile(rb"\x02[^\x03]*\x03...\r(?!.*\x02)", re.DOTALL),  # the last block: silence repeats one
    lines=LINES,
)
