"""What an administrator writes about a mail relay, and about the door that reports come through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.adapters.smtp.envelope import MAX_BASE, BounceAddress
from gateway.model import LinkName
from gateway.outcome import Level
from gateway.settings.kinds import host_and_port, is_loopback
from gateway.settings.types import Duration, Endpoint, LinkSettings, ListenAt, Objection, Secret, Size
from protocols.smtp import messages as m

LEAST_SECRET = 16  # characters of bounce_secret: what a person can still type, and nobody can try out
SUBJECT_WORDS = ("{class}", "{ref}", "{short}")
_FROM = re.compile(r'"?(?P<name>[^"<>]*?)"?[ ]*<(?P<address>[^<>]+)>|(?P<alone>[^<>]+)')
_LMTP_PORT_TAKEN = 25  # RFC 2033 5: LMTP must not be spoken there


class SmtpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of an SMTP or LMTP link."""

    at: Annotated[Endpoint, Meta(description="`host:port` of the relay: submission has port 587, or 465.")]
    from_: Annotated[
        str, Meta(description="Whom it comes from: `pages@st-anne.example`, or `St Anne <pages@…>`.")
    ] = msgspec.field(name="from")
    tls: Annotated[
        Literal["required", "implicit", "off"],
        Meta(description="`required`: STARTTLS; `implicit`: from the first byte (465); both verified."),
    ] = "required"
    ca_file: Annotated[str | None, Meta(description="PEM file of who signs the certificate.")] = None
    tls_name: Annotated[str | None, Meta(description="Name in the certificate, if not the host's.")] = None
    login: Annotated[str | None, Meta(description="Name for AUTH; none: no login.")] = None
    password: Annotated[Secret | None, Meta(description="Password for AUTH.")] = None
    lmtp: Annotated[bool, Meta(description="Speak LMTP: to a mail store, not to a relay.")] = False
    helo: Annotated[
        str | None, Meta(description="Who we say we are in EHLO; none: the domain of `from`.")
    ] = None
    bounce_address: Annotated[
        str | None,
        Meta(
            description="Where reports come to: `pages@bounces.example.org`, made `pages+TOKEN@…` for each "
            "page, which `listen.smtp` takes; none: bounces go to `from`."
        ),
    ] = None
    bounce_secret: Annotated[
        Secret | None, Meta(description="What makes the tokens: nobody else can invent one.")
    ] = None
    subject: Annotated[
        str | None, Meta(description="Subject, with {class}, {ref}, {short}; none: there is none.")
    ] = "{class}: {short}"
    reports: Annotated[
        Literal["none", "failure", "relayed", "success"],
        Meta(
            description="Reports that are asked for: `none`; `failure` (and delay); `relayed`: success too, "
            "and it proves `in_progress`; `success`: the relay is known to report what is in the mailbox, "
            "so it proves `on_device`."
        ),
    ] = "failure"
    read_receipts: Annotated[
        bool, Meta(description="Ask the reader's mail program to say when it was opened (MDN).")
    ] = False
    max_chars: Annotated[
        int, Meta(ge=1, le=50_000, description="Characters that a mail gets; 240 for pagers by mail.")
    ] = 10_000
    charset: Annotated[
        Literal["utf-8", "ascii"],
        Meta(description="Characters that a mail is written in; `ascii` for pagers by mail."),
    ] = "utf-8"

    @property
    def sender(self) -> tuple[m.HeaderText | None, m.Mailbox]:
        """Name and address of ``from``. Raises InvalidValue."""
        found = _FROM.fullmatch(self.from_.strip())
        if found is None:
            raise m.InvalidValue("address", "has characters or a form that is not allowed")
        name = found["name"]
        return m.HeaderText(name) if name else None, m.Mailbox(found["address"] or found["alone"])

    def bounces(self, link: LinkName) -> BounceAddress | None:
        """The address that reports about pages of *link* come to. Raises InvalidValue."""
        if self.bounce_address is None or self.bounce_secret is None:
            return None
        return BounceAddress(m.Mailbox(self.bounce_address), self.bounce_secret.value, link)

    @property
    def ceiling(self) -> Level:
        """What reports can prove at most."""
        if self.bounce_address is None:
            return Level.HANDED_OVER
        if self.read_receipts:
            return Level.READ
        return {"success": Level.ON_DEVICE, "relayed": Level.IN_PROGRESS}.get(self.reports, Level.HANDED_OVER)

    def check(self) -> Iterator[Objection]:
        """What the wire cannot carry, what travels in clear, and reports that could not come back."""
        if (wrong := _wrong(lambda: self.sender)) is not None:
            remedy = "Write pages@st-anne.example or St Anne paging <pages@st-anne.example>."
            yield Objection(key="from", what=f"is not an address of mail: {wrong}.", remedy=remedy)
        if self.helo is not None and (wrong := _wrong(lambda: m.Domain(self.helo or ""))) is not None:
            yield Objection(key="helo", what=f"is not a host name: {wrong}.", remedy="Write gw.example.org.")
        yield from self._check_login()
        yield from self._check_reports()
        if self.lmtp and host_and_port(self.at)[1] == _LMTP_PORT_TAKEN:
            yield Objection(key="at", what="is SMTP's port, not LMTP's.", remedy="Write port 24, or no lmtp.")
        left = self.subject or ""
        for word in SUBJECT_WORDS:
            left = left.replace(word, "")
        if "{" in left or "\n" in left:
            what = "is one line, and holds {class}, {ref} and {short} at most."
            yield Objection(key="subject", what=what, remedy='Write "{class}: {short}".')

    def _check_login(self) -> Iterator[Objection]:
        clear = self.tls == "off" and not is_loopback(self.at)
        if (self.login is None) is not (self.password is None):
            key, other = ("login", "password") if self.password is None else ("password", "login")
            yield Objection(key=key, what=f"is of no use without {other}.", remedy=f"Write {other} too.")
        elif self.login is not None and clear:
            what = "would travel in clear: there is no login without TLS."
            yield Objection(key="login", what=what, remedy="Write tls: required.")
        elif clear:
            remedy = "Write tls: required if the relay offers it."
            yield Objection(key="tls", what="lets texts travel in clear.", remedy=remedy, warning=True)
        for key, value in (("login", self.login), ("password", self.password and self.password.value)):
            if value is not None and _wrong(lambda value=value: m.Secret(value)) is not None:
                remedy = f"Write 1 to {m.MAX_SECRET} characters without controls."
                yield Objection(key=key, what=f"cannot be a {key} of SMTP.", remedy=remedy)

    def _check_reports(self) -> Iterator[Objection]:
        if self.bounce_address is None:
            if self.bounce_secret is not None:
                remedy = "Write bounce_address too."
                yield Objection(key="bounce_secret", what="is of no use alone.", remedy=remedy)
            for key, asked in (
                ("reports", self.reports in ("relayed", "success")),
                ("read_receipts", self.read_receipts),
            ):
                if asked:
                    what = "asks for reports that could not come back: there is no bounce_address."
                    yield Objection(key=key, what=what, remedy="Write bounce_address, or do not ask.")
            return
        wrong = _wrong(lambda: m.Mailbox(self.bounce_address or ""))
        local = self.bounce_address.rpartition("@")[0]
        if wrong is not None or "+" in local or '"' in local or len(local) > MAX_BASE:
            wrong = wrong or f"before the @ stand at most {MAX_BASE} characters without + and quotes"
            what = f"cannot be a bounce address: {wrong}."
            yield Objection(key="bounce_address", what=what, remedy="Write pages@bounces.example.org.")
        if self.bounce_secret is None:
            what = "needs bounce_secret: anybody could report anything."
            remedy = "Write bounce_secret: {file: …}, and into the file what `openssl rand -hex 24` prints."
            yield Objection(key="bounce_address", what=what, remedy=remedy)
        elif len(self.bounce_secret.value) < LEAST_SECRET:
            what = f"is shorter than {LEAST_SECRET} characters."
            yield Objection(
                key="bounce_secret", what=what, remedy="Write what `openssl rand -hex 24` prints."
            )


class SmtpListen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of ``listen.smtp``: the door for reports about mail that links sent."""

    at: Annotated[
        ListenAt, Meta(description="`address:port` where reports come in, best from a mail server beside it.")
    ] = "127.0.0.1:2525"
    lmtp: Annotated[bool, Meta(description="Speak LMTP instead of SMTP.")] = False
    name: Annotated[
        str | None, Meta(description="Name in the greeting; none: the domain of the first bounce address.")
    ] = None
    size: Annotated[Size, Meta(ge=16_384, le=1_048_576, description="Bytes of one message.")] = 262_144
    connections: Annotated[int, Meta(ge=1, le=1000, description="Connections at a time.")] = 50
    idle: Annotated[Duration, Meta(gt=0, le=300, description="For the next command to come.")] = 60.0

    def check(self) -> Iterator[Objection]:
        if self.name is not None and (wrong := _wrong(lambda: m.Domain(self.name or ""))) is not None:
            yield Objection(key="name", what=f"is not a host name: {wrong}.", remedy="Write gw.example.org.")


def own_of(settings: LinkSettings) -> SmtpSettings:
    """The keys of an SMTP link within the keys of a link."""
    own = settings.own
    assert isinstance(own, SmtpSettings)
    return own


def _wrong(build: object) -> str | None:
    """Why *build* makes no value; None if it does."""
    assert callable(build)
    try:
        build()
    except m.InvalidValue as invalid:
        return str(invalid)
    return None
