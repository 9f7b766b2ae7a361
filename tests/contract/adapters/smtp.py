"""SMTP for the contract suite: a relay as RFC 5321 describes it, and what its answers mean."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from typing import Any

from adapters.scene import Example, Exercise, LineFarEnd
from gateway.adapters.smtp import ADAPTER, SmtpSettings
from gateway.env.simulated import Weather
from gateway.outcome import About, InDoubt, Later, Level, NotSent, Refused, Taken
from gateway.settings.types import LinkSettings, Secret

AT = "relay.example:587"
SECRET = "sesame-51"
BOUNCE_SECRET = "no-one-can-guess-this"


class SmtpFarEnd(LineFarEnd):
    """Takes what it answers well; RSET and every MAIL begin anew. Steps are the verbs; ``text`` is the mail."""

    # Without PIPELINING, so that an answer can be late or in pieces without crossing the next one.
    offer = (
        "SIZE 1000000",
        "8BITMIME",
        "DSN",
        "SMTPUTF8",
        "STARTTLS",
        "AUTH PLAIN",
        "ENHANCEDSTATUSCODES",
    )

    def begin(self) -> None:
        self._mail: list[bytes] | None = None
        self._to: list[str] = []
        self.say("220", b"220 relay.example ESMTP\r\n")

    def line(self, line: bytes) -> None:
        if self._mail is not None:
            self._text_line(line)
            return
        verb = line[:4].decode("latin-1").upper()
        match verb:
            case "EHLO" | "LHLO":
                lines = ("relay.example", *self.offer)
                said = [f"250{'-' if one is not lines[-1] else ' '}{one}\r\n" for one in lines]
                self.say(verb, "".join(said).encode())
            case "STAR":
                self.say("STARTTLS", b"220 2.0.0 Go ahead\r\n")
            case "AUTH":
                self.say("AUTH", b"235 2.7.0 Welcome\r\n")
            case "MAIL" | "RSET":
                self._to = []
                self.say(verb, b"250 2.1.0 Ok\r\n")
            case "RCPT":
                if _well(self.say("RCPT", b"250 2.1.5 Ok\r\n")):
                    self._to.append(line.decode().partition("<")[2].partition(">")[0])
            case "DATA":
                if (self.say("DATA", b"354 End with a dot\r\n") or b"")[:1] == b"3":
                    self._mail = []
            case "QUIT":
                self.say("QUIT", b"221 2.0.0 Bye\r\n")
                self.transport.loseConnection()
            case _:
                self.say(f"unknown {line[:20]!r}", b"500 5.5.2 What?\r\n")

    def _text_line(self, line: bytes) -> None:
        assert self._mail is not None
        if line != b".":
            self._mail.append(line[1:] if line.startswith(b".") else line)
            return
        mail = message_from_bytes(b"\n".join([*self._mail, b""]), policy=policy.default)
        self._mail = None
        for to in self._to:
            self.took(to, mail.get_content().removesuffix("\n"))
        self.say("text", b"250 2.0.0 Ok: queued as 4Z\r\n")


def _well(said: bytes | None) -> bool:
    return bool(said) and said[:1] == b"2"


def link(**own: Any) -> LinkSettings:
    settings = {"at": AT, "from_": "St Anne <pages@st-anne.example>", "tls": "off"} | own
    return LinkSettings(adapter="smtp", open_timeout=4.0, answer_timeout=8.0, own=SmtpSettings(**settings))


PLAIN = link(tls="required", login="gateway", password=Secret(SECRET))
REPORTED = link(
    bounce_address="pages@bounces.example",
    bounce_secret=Secret(BOUNCE_SECRET),
    reports="success",
    read_receipts=True,
    subject="{class} {ref}",
)
BY_LMTP = link(lmtp=True, subject=None)

ROW = {
    kind: row
    for kind, (row, _, _) in zip(
        (
            "2xx",
            "421",
            "later link",
            "later address",
            "later page",
            "link",
            "address",
            "page",
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
    example("2xx", "text", "250 2.0.0 Ok: queued as 4Z", Taken, level=Level.HANDED_OVER),
    example("2xx", "text", "250", Taken, level=Level.HANDED_OVER),
    example("2xx", "text", "250-2.0.0\r\n250 2.0.0 done", Taken, level=Level.HANDED_OVER),
    example("2xx", "text", "250 2.1.5 Saved", Taken, level=Level.HANDED_OVER, settings=BY_LMTP),
    example("421", "MAIL", "421 4.3.2 going down", Later, about=About.LINK, ends="close"),
    example("421", "RCPT", "421 4.7.0 too many errors", Later, about=About.LINK, ends="reset"),
    example("421", "text", "421 4.3.2 going down", Later, about=About.LINK, ends="close"),
    example("later link", "MAIL", "451 4.7.1 slow down", Later, about=About.LINK),
    example("later link", "MAIL", "452 4.3.1 no room", Later, about=About.LINK),
    example(
        "later link", "RCPT", "450 4.1.8 <pages@st-anne.example>: no such domain", Later, about=About.LINK
    ),
    example("later address", "RCPT", "450 4.2.0 greylisted", Later, about=About.ADDRESS),
    example("later address", "RCPT", "450 busy", Later, about=About.ADDRESS),
    example("later address", "RCPT", "452 4.2.2 full", Later, about=About.ADDRESS),
    example("later address", "DATA", "450 4.7.1 greylisted", Later, about=About.ADDRESS),
    example("later address", "text", "451 4.7.1 greylisted", Later, about=About.ADDRESS),
    example("later address", "text", "452 4.2.2 full", Later, about=About.ADDRESS, settings=BY_LMTP),
    example("later page", "DATA", "451 4.3.0 filter", Later, about=About.PAGE),
    example("later page", "text", "451 4.3.0 queue", Later, about=About.PAGE),
    example("later page", "text", "499 no", Later, about=About.PAGE),
    example("later page", "RCPT", "452 4.3.4 too big now", Later, about=About.PAGE),
    example("link", "MAIL", "530 5.7.0 log in first", Refused, about=About.LINK),
    example("link", "MAIL", "553 5.1.8 not your address", Refused, about=About.LINK),
    example("link", "MAIL", "555 no such parameter", Refused, about=About.LINK),
    example("link", "RCPT", "553 5.7.8 who are you", Refused, about=About.LINK),
    example("link", "RCPT", "550 5.1.7 <pages@st-anne.example>: who is that", Refused, about=About.LINK),
    example("link", "text", "538 5.7.11 not like this", Refused, about=About.LINK),
    example("address", "RCPT", "550 5.1.1 no such user", Refused, about=About.ADDRESS),
    example("address", "RCPT", "550 no such user", Refused, about=About.ADDRESS),
    example("address", "RCPT", "554 5.7.1 relay access denied", Refused, about=About.ADDRESS),
    example("address", "RCPT", "553 5.6.7 not in ASCII", Refused, about=About.ADDRESS),
    example("address", "text", "550 5.1.1 no such user", Refused, about=About.ADDRESS, settings=BY_LMTP),
    example("page", "MAIL", "552 5.3.4 too big", Refused, about=About.PAGE),
    example("page", "DATA", "554 no", Refused, about=About.PAGE),
    example("page", "text", "554 5.7.1 spam", Refused, about=About.PAGE),
    example("page", "text", "550 5.6.0 bad MIME", Refused, about=About.PAGE),
    example("page", "text", "552 too big", Refused, about=About.PAGE),
    example("unopened", "", None, NotSent, weather=Weather(refuse=True)),
    example("unopened", "", None, NotSent, weather=Weather(blackhole=True)),
    example("unopened", "220", None, NotSent, ends="close"),
    example("unopened", "220", "554 5.7.1 you are blocked", NotSent),
    example("unopened", "220", "421 busy", NotSent, ends="close"),
    example("unopened", "EHLO", "550 no", NotSent),
    example("unopened", "EHLO", "250 relay.example", NotSent),  # no AUTH offered
    example("unopened", "EHLO", "250-relay.example\r\n250 AUTH PLAIN", NotSent),  # no STARTTLS offered
    example("unopened", "STARTTLS", "454 4.7.0 no certificate", NotSent),
    example("unopened", "AUTH", "535 5.7.8 no", NotSent),
    example("unopened", "AUTH", "454 4.7.0 later", NotSent),
    example("before", "MAIL", None, NotSent),
    example("before", "RCPT", None, NotSent, ends="reset"),
    example("before", "DATA", None, NotSent, ends="close"),
    example("before", "RCPT", "ok", NotSent),
    example("before", "DATA", "250 2.0.0 ok", NotSent),
    example("before", "RCPT", "250 ok\r\n250 ok", NotSent, one=False),
    example("after", "text", None, InDoubt),
    example("after", "text", None, InDoubt, ends="close"),
    example("after", "text", None, InDoubt, ends="reset"),
    example("after", "text", "queued", InDoubt),
    example("after", "text", "221 2.0.0 bye", InDoubt),
    example("after", "text", "214 help", InDoubt),
    example("after", "text", "354 go on", InDoubt),
    example("after", "text", "250 ok\r\n250 ok", InDoubt, one=False),
)

EXERCISE = Exercise(
    adapter=ADAPTER,
    settings=PLAIN,
    others=(REPORTED, BY_LMTP),
    at=AT,
    far=SmtpFarEnd,
    commit="text",
    goodbye="QUIT",
    ponr=lambda wrote: len(re.findall(rb"\r\n\.\r\n", wrote)),
    sequences=frozenset((*reset, "MAIL", "RCPT", "DATA", "text") for reset in ((), ("RSET",))),
    examples=EXAMPLES,
    refused=b"554 5.7.1 not today\r\n",
    echo=lambda heard: b"550 5.7.1 what is " + heard.strip().replace(b"\r\n", b" ")[:1500] + b"\r\n",
    dialogue=32.0,  # 8 s for the text and 8 s for each of three answers before it (gateway.adapters.smtp.link)
    addresses=("ann@example.net", "bob@example.net"),
    secrets=(SECRET, BOUNCE_SECRET, "AGdhdGV3YXkAc2VzYW1lLTUx"),
    ids=re.compile(rb"MAIL FROM:<[^>]*>|ENVID=\S+|Message-ID: \S+"),
    foreign=(b"+OK POP3 ready\r\n", b"250\r250 ok\r\n", b"150 data follows\r\n", b"25 ok\r\n"),
    endless=((b"250 ", b"a"), (b"", b"250-more\r\n"), (b"", b"214 help\r\n")),
)
