"""WCTP for the contract suite: a carrier's gateway over HTTP, and what its answers mean."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape

from adapters.scene import Example, Exercise, FarEnd
from gateway.adapters.wctp import ADAPTER, WctpSettings
from gateway.env.simulated import Weather
from gateway.outcome import About, InDoubt, Later, Level, NotSent, Refused, Taken
from gateway.settings.types import LinkSettings, Secret
from protocols.wctp import codec
from protocols.wctp import messages as m

AT = "wctp.example:80"
URL = "http://wctp.example/wctp"
SECRET = "sesame-51"
BASIC = "Z2F0ZXdheTpvcGVuLTUxeA=="  # gateway:open-51x
HEAD = re.compile(
    rb"POST /wctp HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*?Content-Length: ([0-9]+)\r\n(?:[^\r\n]+\r\n)*\r\n"
)


def http(body: str | bytes, status: str = "200 OK", head: str = "") -> bytes:
    data = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def short(content: str) -> bytes:
    """An answer in few bytes: the suite cuts it everywhere."""
    return http(f"<wctp-Operation wctpVersion='1.3'>{content}</wctp-Operation>")


def success(code: int = 200) -> bytes:
    return short(f"<wctp-Confirmation><wctp-Success successCode='{code}'/></wctp-Confirmation>")


def failure(code: object, words: str = "") -> bytes:
    return short(
        f"<wctp-Confirmation><wctp-Failure errorCode='{code}'>{words}</wctp-Failure></wctp-Confirmation>"
    )


class WctpFarEnd(FarEnd):
    """Takes every page, and says of each that it is on the device. The client closes the connection."""

    def begin(self) -> None:
        self._buffer = b""

    def hear(self, data: bytes) -> None:
        self._buffer += data
        while head := HEAD.match(self._buffer):
            end = head.end() + int(head[1])
            if len(self._buffer) < end:
                return
            document, self._buffer = self._buffer[head.end() : end], self._buffer[end:]
            self._answer(document)
        if len(self._buffer) > 65_536 or (b"\r\n\r\n" in self._buffer and not HEAD.match(self._buffer)):
            self.say(f"unknown {self._buffer[:20]!r}", http(b"", "400 Bad Request"))

    def _answer(self, document: bytes) -> None:
        read = codec.read(document)
        assert isinstance(read, m.Document), read
        answer: m.Operation
        match read.operation:
            case m.SubmitRequest() | m.SubmitClientMessage() as said:
                payload = said.payload
                assert isinstance(payload, m.Alphanumeric | m.MultipleChoice)
                self.took(said.recipient.recipient_id, payload.text)
                taken = m.success("Message accepted")
                answer = m.Confirmation(result=taken)
                if isinstance(said, m.SubmitClientMessage):
                    number = m.WctpId("7F3A000191")
                    answer = m.SubmitClientResponse(
                        result=m.ClientSuccess(
                            code=200, tracking=number, text=taken.text, detail=taken.detail
                        )
                    )
                step = "submit"
            case m.ClientQuery(recipient_id=device, sender_id=sender):
                header = m.ClientResponseHeader(
                    originator=m.Originator(sender_id=device), recipient=m.Recipient(recipient_id=sender)
                )
                delivered = m.ClientStatusInfo(header=header, result=m.Notification(event=m.Event.DELIVERED))
                answer, step = m.ClientQueryResponse(messages=(delivered,)), "query"
            case m.VersionQuery():
                told = (m.DtdSupport(dtd_name=m.WctpId(m.LATEST)),)
                answer, step = m.VersionResponse(responder=m.WctpId("wctp.example"), result=told), "version"
            case _:
                raise AssertionError(f"nobody expects {read.operation.name}")
        self.say(step, http(codec.write(answer, codec.answering(read))))


def link(**own: Any) -> LinkSettings:
    settings = {"url": URL, "sender_id": "pages@st-anne.example"} | own
    return LinkSettings(adapter="wctp", open_timeout=4.0, answer_timeout=8.0, own=WctpSettings(**settings))


ENTERPRISE = link(security_code=Secret(SECRET), doctype="none", declaration="none")
KEPT = link(
    persistent=True,
    security_code=Secret(SECRET),
    login="gateway",
    password=Secret("open-51x"),
    version="1.1",
    choices="text",
    deliver_before=True,
)
TRANSIENT = link(mode="transient", answers="query", security_code=Secret(SECRET), http="1.0", doctype="none")
TRANSIENT_KEPT = link(mode="transient", answers="query", persistent=True, doctype="none", declaration="none")

ROW = dict(
    zip(
        (
            "taken",
            "document",
            "link",
            "address",
            "choices",
            "page",
            "fetch",
            "fast",
            "order",
            "unknown",
            "unopened",
            "after",
        ),
        (row for row, _, _ in ADAPTER.answers),
        strict=True,
    )
)


def example(kind: str, answer: bytes | None, outcome: Any, at: str = "submit", **more: Any) -> Example:
    return Example(row=ROW[kind], at=at, answer=answer, outcome=outcome, **more)


def tracked(number: str = "trackingNumber='7F'") -> bytes:
    taken = f"<wctp-ClientSuccess successCode='200' {number}/>"
    return short(f"<wctp-SubmitClientResponse>{taken}</wctp-SubmitClientResponse>")


HTML = b"<html><body>Log in to the network of this airport</body></html>"
EXAMPLES = (
    example("taken", success(), Taken, level=Level.HANDED_OVER),
    example("taken", success(211), Taken, level=Level.HANDED_OVER),
    example("taken", tracked(), Taken, level=Level.HANDED_OVER, settings=TRANSIENT),
    example("taken", success(), Taken, level=Level.HANDED_OVER, settings=TRANSIENT),
    example("taken", tracked(""), Taken, level=Level.HANDED_OVER, settings=TRANSIENT_KEPT),
    *(example("document", failure(code), Refused, about=About.PAGE) for code in (301, 302)),
    *(example("link", failure(code), Refused, about=About.LINK) for code in (300, 303, 401, 402, 432, 503)),
    *(example("address", failure(code), Refused, about=About.ADDRESS) for code in (403, 404)),
    *(example("choices", failure(code), NotSent, replies=("OK", "Busy")) for code in (414, 415, 416, 419)),
    *(example("page", failure(code), Refused, about=About.PAGE) for code in (400, 408, 411, 414, 500, 504)),
    example("page", http(failure(411)[38:], "500 No"), Refused, about=About.PAGE),
    example("page", failure(411), Refused, about=About.PAGE, settings=TRANSIENT),
    example("fetch", failure(304), Later, about=About.LINK),
    *(example("fast", failure(code), Later, about=About.LINK) for code in (600, 603)),
    *(example("order", failure(code), Later, about=About.LINK) for code in (604, 606)),
    *(example("unknown", failure(code), Later, about=About.PAGE) for code in (699, 711, "x")),
    example("unopened", None, NotSent, at="", weather=Weather(refuse=True)),
    example("unopened", None, NotSent, at="", weather=Weather(blackhole=True)),
    example("unopened", None, NotSent, at="", weather=Weather(unknown=True)),
    example("after", None, InDoubt),
    example("after", None, InDoubt, ends="close"),
    example("after", None, InDoubt, ends="reset"),
    example("after", http(HTML), InDoubt),
    example("after", http(b"", "503 Service Unavailable"), InDoubt),
    example("after", http(b"", "302 Found", "Location: http://portal.example/\r\n"), InDoubt),
    example("after", http(b""), InDoubt),
    example("after", success()[:-20], InDoubt, ends="close", one=False),
    example("after", success(411), InDoubt),
    example("after", failure(200), InDoubt),
    example("after", short("<wctp-Confirmation/>"), InDoubt),
    example("after", b"HTTP/1.1 100 Continue\r\n\r\n", InDoubt, one=False),
)

EXERCISE = Exercise(
    adapter=ADAPTER,
    settings=ENTERPRISE,
    others=(KEPT, TRANSIENT, TRANSIENT_KEPT),
    at=AT,
    far=WctpFarEnd,
    commit="submit",
    ponr=lambda wrote: len(
        re.findall(rb"<wctp-Submit(?:Request|ClientMessage)>.*?</wctp-Operation>\n", wrote, re.DOTALL)
    ),
    sequences=frozenset({("submit",)}),
    examples=EXAMPLES,
    refused=failure(411),
    echo=lambda heard: failure(411, f"What is {escape(heard.decode('utf-8', 'replace'))[:3000]}"),
    dialogue=8.0,
    secrets=(SECRET, "open-51x", BASIC),
    ids=re.compile(rb'(?:messageID|recipientID)="[^"]*"'),
    foreign=(http(HTML), http(b"", "204 No Content"), b"HTTP/1.1 200 OK\r\n\r\n"),
    endless=(
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"<"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ),
)
