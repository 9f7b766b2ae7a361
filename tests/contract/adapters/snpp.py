"""SNPP for the contract suite: a terminal as RFC 1861 describes it, and what its answers mean."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

from adapters.scene import Example, Exercise, LineFarEnd
from gateway.adapters.snpp import ADAPTER, SnppSettings
from gateway.env.simulated import Weather
from gateway.outcome import About, InDoubt, Later, Level, NotSent, Refused, Taken
from gateway.settings.types import LinkSettings, Secret

AT = "terminal.example:444"
SECRET = "sesame-51"


class SnppFarEnd(LineFarEnd):
    """Enters what it answers well until SEND succeeds, or RESEt: every pager, but one text. Steps are the four letters;
    ``text`` ends DATA."""

    def begin(self) -> None:
        self._lines: list[str] | None = None
        self._clear()
        self.say("220", b"220 terminal SNPP ready\r\n")

    def _clear(self) -> None:
        self._pagers: list[str] = []
        self._text: str | None = None
        self._two_way = False

    def line(self, line: bytes) -> None:
        if self._lines is not None:
            self._text_line(line.decode("latin-1"))
            return
        verb = line[:4].decode("latin-1").upper()
        rest = line.decode("latin-1").partition(" ")[2]
        match verb:
            case "PAGE":
                if self._well("PAGE", b"850 Unit online\r\n" if self._two_way else b"250 Pager accepted\r\n"):
                    self._pagers.append(rest)
            case "MESS" | "DATA" if self._text is not None:
                self.say("second text", b"503 Message already entered\r\n")
            case "MESS":
                if self._well("MESS", b"250 Message OK\r\n"):
                    self._text = rest
            case "DATA":
                if self._well("DATA", b"354 Begin, end with a dot\r\n"):
                    self._lines = []
            case "2WAY":
                self._two_way = self._well("2WAY", b"250 Begun\r\n")
            case "SEND":
                good = b"960 179528 482913 Queued\r\n" if self._two_way else b"250 Message sent\r\n"
                for pager in self._pagers:
                    self.took(pager, self._text or "")
                if self._well("SEND", good):
                    self._clear()
            case "RESE":
                self._clear()
                self.say("RESE", b"250 Reset\r\n")
            case "QUIT":
                self.say("QUIT", b"221 Goodbye\r\n")
                self.transport.loseConnection()
            case "MSTA":
                self.say("MSTA", b"870 00002 261121174512+0 Read\r\n")
            case "LOGI" | "LEVE" | "CALL" | "EXPT" | "RTYP" | "MCRE":
                self.say(verb, b"250 OK\r\n")
            case _:
                self.say(f"unknown {line[:20]!r}", b"500 Unknown command\r\n")

    def _text_line(self, line: str) -> None:
        assert self._lines is not None
        if line != ".":
            self._lines.append(line[1:] if line.startswith("..") else line)
            return
        text, self._lines = "\n".join(self._lines), None
        if self._well("text", b"250 Message OK\r\n"):
            self._text = text

    def _well(self, step: str, good: bytes) -> bool:
        said = self.say(step, good)
        return bool(said) and said[:1] in ((b"3",) if good[:1] == b"3" else (b"2", b"8", b"9"))


def link(**own: Any) -> LinkSettings:
    return LinkSettings(adapter="snpp", open_timeout=4.0, answer_timeout=8.0, own=SnppSettings(at=AT, **own))


PLAIN = link(login="gateway", password=Secret(SECRET))
BY_DATA = link(body="data", level=True, caller_id=True)
TWO_WAY = link(two_way=True)


def sends(wrote: bytes) -> int:
    """SEND commands; a text line of DATA is none."""
    commands = re.sub(rb"^DATA\r\n.*?^\.\r\n", b"", wrote, flags=re.DOTALL | re.MULTILINE)
    return len(re.findall(rb"^SEND\r\n", commands, re.MULTILINE))


BEFORE = ((), ("LEVE",), ("2WAY", "EXPT"), ("2WAY", "EXPT", "RTYP"))
CALLER = ((), ("CALL",))
BODY = (("MESS",), ("DATA", "text"), ())  # a text of blanks only is a tone-only page
REPLIES = ((), ("MCRE", "MCRE"))

ROW = {
    kind: row
    for kind, (row, _, _) in zip(
        (
            "250",
            "960",
            "860",
            "870",
            "pager",
            "page",
            "link",
            "4xx",
            "554",
            "750",
            "unopened",
            "before",
            "after",
        ),
        ADAPTER.answers,
        strict=True,
    )
}


def example(kind: str, at: str, answer: str | None, outcome: Any, **more: Any) -> Example:
    said = None if answer is None else answer.encode() + b"\r\n"
    return Example(row=ROW[kind], at=at, answer=said, outcome=outcome, **more)


EXAMPLES = (
    example("250", "SEND", "250 Message sent", Taken, level=Level.HANDED_OVER),
    example("250", "SEND", "250", Taken, level=Level.HANDED_OVER),
    example("250", "SEND", "250-Message\r\n250 sent", Taken, level=Level.HANDED_OVER),
    example("250", "SEND", "230 ok", Taken, level=Level.HANDED_OVER),
    example("960", "SEND", "960 1 2 queued", Taken, level=Level.HANDED_OVER, settings=TWO_WAY),
    example("960", "SEND", "999 queued", Taken, level=Level.HANDED_OVER),
    example("860", "SEND", "860 1 2 delivered", Taken, level=Level.ON_DEVICE, settings=TWO_WAY),
    example("860", "SEND", "861 1 2 delivered", Taken, level=Level.ON_DEVICE, settings=TWO_WAY),
    example("860", "SEND", "880 1 2 delivered", Taken, level=Level.ON_DEVICE, settings=TWO_WAY),
    example("870", "SEND", "870 1 2 read", Taken, level=Level.READ, settings=TWO_WAY),
    example("870", "SEND", "881 1 2 read", Taken, level=Level.READ, settings=TWO_WAY),
    example("pager", "PAGE", "550 no such pager", Refused, about=About.ADDRESS),
    example("page", "MESS", "550 bad message", Refused, about=About.PAGE),
    example("page", "MESS", "559 bad message", Refused, about=About.PAGE),
    example("page", "DATA", "550 no", Refused, about=About.PAGE, settings=BY_DATA),
    example("page", "text", "550 too long", Refused, about=About.PAGE, settings=BY_DATA),
    example("page", "SEND", "550 no", Refused, about=About.PAGE),
    example("link", "PAGE", "530 log in first", Refused, about=About.LINK),
    example("link", "MESS", "500 unknown command", Refused, about=About.LINK),
    example("link", "DATA", "500 unknown command", Refused, about=About.LINK, settings=BY_DATA),
    example("4xx", "PAGE", "421 going down", Later, about=About.LINK, ends="close"),
    example("4xx", "MESS", "421 timeout", Later, about=About.LINK, ends="reset"),
    example("4xx", "LEVE", "499 closing", Later, about=About.LINK, settings=BY_DATA),
    example("4xx", "SEND", "421 too many errors", Later, about=About.LINK, ends="close"),
    example("554", "PAGE", "554 database", Later, about=About.PAGE),
    example("554", "PAGE", "552 too many", Later, about=About.PAGE),
    example("554", "MESS", "503 already entered", Later, about=About.PAGE),
    example("554", "text", "554 disk", Later, about=About.PAGE, settings=BY_DATA),
    example("554", "SEND", "554 queue", Later, about=About.PAGE),
    example("554", "SEND", "503 incomplete", Later, about=About.PAGE),
    example("750", "PAGE", "750 unit is offline", Later, about=About.ADDRESS, settings=TWO_WAY),
    example("unopened", "", None, NotSent, weather=Weather(refuse=True)),
    example("unopened", "", None, NotSent, weather=Weather(blackhole=True)),
    example("unopened", "220", None, NotSent, ends="close"),
    example("unopened", "220", "421 busy", NotSent, ends="close"),
    example("unopened", "220", "554 no", NotSent),
    example("unopened", "LOGI", "550 who are you", NotSent),
    example("unopened", "LOGI", "500 what", NotSent),
    example("before", "PAGE", None, NotSent),
    example("before", "MESS", None, NotSent, ends="reset"),
    example("before", "text", None, NotSent, ends="close", settings=BY_DATA),
    example("before", "PAGE", "pager accepted", NotSent),
    example("before", "MESS", "250 ok\r\n250 ok", NotSent, one=False),
    example("before", "MESS", "354 go on", NotSent),
    example("before", "DATA", "250 ok", NotSent, settings=BY_DATA),
    example("after", "SEND", None, InDoubt),
    example("after", "SEND", None, InDoubt, ends="close"),
    example("after", "SEND", None, InDoubt, ends="reset"),
    example("after", "SEND", "message sent", InDoubt),
    example("after", "SEND", "214 help\r\n250 end", InDoubt),
    example("after", "SEND", "218 help", InDoubt),
    example("after", "SEND", "220 ready", InDoubt),
    example("after", "SEND", "354 go on", InDoubt),
    example("after", "SEND", "250 ok\r\n250 ok", InDoubt, one=False),
)

EXERCISE = Exercise(
    adapter=ADAPTER,
    settings=PLAIN,
    others=(BY_DATA, TWO_WAY),
    at=AT,
    far=SnppFarEnd,
    commit="SEND",
    goodbye="QUIT",
    ponr=sends,
    sequences=frozenset(
        (*before, "PAGE", *caller, *body, *replies, "SEND")
        for before, caller, body, replies in product(BEFORE, CALLER, BODY, REPLIES)
    ),
    examples=EXAMPLES,
    refused=b"550 not today\r\n",
    echo=lambda heard: b"550 what is " + heard.strip().replace(b"\r\n", b" ") + b"\r\n",
    dialogue=40.0,  # 8 s for SEND and 8 s for each of four answers before it (gateway.adapters.snpp)
    secrets=(SECRET,),
    foreign=(
        b"+OK POP3 ready\r\n",
        b"250\r250 ok\r\n",
        b"150 data follows\r\n",
        b"25 ok\r\n",
        "２５０ ok\r\n".encode(),
    ),
    endless=((b"250 ", b"a"), (b"", b"250-more\r\n"), (b"", b"214 help\r\n"), (b"214 help\r\n", b"more\r\n")),
)
