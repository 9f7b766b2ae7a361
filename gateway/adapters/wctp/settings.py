"""What an administrator writes about a WCTP carrier, and about the door that its answers are pushed to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.outcome import Level
from gateway.settings.kinds import is_loopback
from gateway.settings.types import (
    Duration,
    LinkSettings,
    ListenAt,
    Network,
    Objection,
    Secret,
    TlsListen,
    Url,
)
from protocols.wctp import codec
from protocols.wctp import messages as m

LEAST_SECRET = 16  # characters of a secret path: what a person can still type, and nobody can try out
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,8}", re.ASCII)
_SECRET = re.compile(r"[A-Za-z0-9._~=+-]{1,128}", re.ASCII)
PLAIN_VERSIONS = {str(version): version for version in m.Version}


class WctpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a WCTP link."""

    url: Annotated[
        Url, Meta(description="Where the carrier takes documents: `https://wctp.carrier.example/wctp`.")
    ]
    sender_id: Annotated[
        str, Meta(description="senderID: login, domain or `user@domain`, as the carrier wants it.")
    ]
    mode: Annotated[
        Literal["enterprise", "transient"],
        Meta(description="`enterprise`: SubmitRequest; `transient`: SubmitClientMessage, no account needed."),
    ] = "enterprise"
    answers: Annotated[
        Literal["none", "push", "poll", "query"],
        Meta(
            description="How receipts and replies come back: `push` to `listen.wctp`; `poll`: fetched with "
            "PollForMessages; `query`: asked for each page (transient only)."
        ),
    ] = "none"
    security_code: Annotated[Secret | None, Meta(description="Password of `sender_id`.")] = None
    security_code_in: Annotated[
        Literal["auto", "security_code", "misc_info", "none"],
        Meta(
            description="Where the password goes; `auto`: securityCode, in transient mode miscInfo, which is "
            "all it has."
        ),
    ] = "auto"
    misc_info: Annotated[Secret | None, Meta(description="miscInfo, where a carrier wants one.")] = None
    send_responses_to: Annotated[
        str | None, Meta(description="sendResponsesToID, if answers are not to go to `sender_id`.")
    ] = None
    allow_response: Annotated[bool, Meta(description="The device may reply.")] = True
    allow_truncation: Annotated[
        bool, Meta(description="The carrier may cut a text that is too long; else it refuses it.")
    ] = False
    preformatted: Annotated[bool, Meta(description="Line ends and blanks are to be kept.")] = False
    notify_queued: Annotated[bool, Meta(description="Ask for word that the network has it.")] = False
    notify_delivered: Annotated[bool, Meta(description="Ask for word that the device has it.")] = False
    notify_read: Annotated[bool, Meta(description="Ask for word that it was displayed.")] = False
    priority: Annotated[
        bool, Meta(description="Tell the class: critical and urgent as HIGH, normal as NORMAL, bulk as LOW.")
    ] = True
    deliver_before: Annotated[
        bool, Meta(description="Tell how long the page is worth having (deliveryBefore).")
    ] = False
    choices: Annotated[
        Literal["mcr", "text", "off"],
        Meta(
            description="A page's replies: `mcr`: to choose from on the device (wctp-MCR); `text`: behind "
            "the text, `1) OK 2) Busy`; `off`: not sent."
        ),
    ] = "mcr"
    max_chars: Annotated[int, Meta(ge=1, le=m.MAX_TEXT, description="Characters that a device gets.")] = 240
    charset: Annotated[
        Literal["ascii", "latin1", "gsm", "utf-8"],
        Meta(description="Characters that its devices show; others are spelled in these."),
    ] = "ascii"
    version: Annotated[
        str, Meta(description="`1.0` to `1.3`, or a wctpVersion just as the carrier spells it.")
    ] = "1.3"
    doctype: Annotated[
        str, Meta(description="`auto`: the DOCTYPE of the version; `none`; or the address of a DTD.")
    ] = "auto"
    declaration: Annotated[
        Literal["full", "plain", "none"],
        Meta(description="The XML declaration: with its encoding, without, or none at all."),
    ] = "full"
    spell_out: Annotated[bool, Meta(description="Write attributes that have their default too.")] = False
    http: Annotated[Literal["1.1", "1.0"], Meta(description="Version of HTTP.")] = "1.1"
    persistent: Annotated[
        bool, Meta(description="Several documents over one connection; else one connection for each.")
    ] = False
    ca_file: Annotated[str | None, Meta(description="PEM file of who signs the certificate.")] = None
    tls_name: Annotated[str | None, Meta(description="Name in the certificate, if not the host's.")] = None
    login: Annotated[str | None, Meta(description="Name for HTTP Basic authentication; none: none.")] = None
    password: Annotated[Secret | None, Meta(description="Password for HTTP Basic authentication.")] = None
    poller_id: Annotated[str | None, Meta(description="pollerID; none: `sender_id`.")] = None
    poll_code: Annotated[
        Secret | None, Meta(description="securityCode of the poller; none: `security_code`.")
    ] = None
    poll_interval: Annotated[
        Duration,
        Meta(ge=1, le=900, description="Between two polls, where the carrier does not say."),
    ] = 60.0
    poll_batch: Annotated[int, Meta(ge=1, le=50, description="Answers that one poll fetches.")] = 10

    @property
    def dialect(self) -> codec.Dialect:
        """How the carrier wants documents. Raises InvalidValue."""
        plain = PLAIN_VERSIONS.get(self.version)
        spelling = self.version if plain is None else codec.NAMES_OF_VERSIONS[plain]
        dialect = codec.Dialect(
            spelling=spelling,
            declaration=codec.Declaration[self.declaration.upper()],
            spell_out=self.spell_out,
        )
        doctype: m.DoctypeUrl | None = None
        if self.doctype == "auto":
            doctype = codec.DOCTYPES[dialect.version]
        elif self.doctype != "none":
            doctype = m.DoctypeUrl(self.doctype)
        return msgspec.structs.replace(dialect, doctype=doctype)

    @property
    def code_in(self) -> str:
        """Where the password goes."""
        if self.security_code_in != "auto":
            return self.security_code_in
        return "security_code" if self.mode == "enterprise" else "misc_info"

    @property
    def ceiling(self) -> Level:
        """What the carrier's reports can prove at most."""
        if self.answers == "none":
            return Level.HANDED_OVER
        for asked, level in (
            (self.notify_read, Level.READ),
            (self.notify_delivered, Level.ON_DEVICE),
            (self.notify_queued, Level.IN_PROGRESS),
        ):
            if asked:
                return level
        return Level.HANDED_OVER

    def check(self) -> Iterator[Objection]:
        """What the wire cannot carry, what does not go together, what travels in clear."""
        yield from self._check_words()
        yield from self._check_answers()
        yield from self._check_transport()

    def _check_words(self) -> Iterator[Objection]:
        for key, kind, value in (
            ("sender_id", m.WctpId, self.sender_id),
            ("send_responses_to", m.WctpId, self.send_responses_to),
            ("poller_id", m.WctpId, self.poller_id),
            ("security_code", m.WctpSecret, self.security_code),
            ("misc_info", m.WctpSecret, self.misc_info),
            ("poll_code", m.WctpSecret, self.poll_code),
        ):
            said = value.value if isinstance(value, Secret) else value
            if said is not None and (wrong := _wrong(kind, said)) is not None:
                remedy = f"Write 1 to {m.MAX_LINE} characters without controls."
                yield Objection(key=key, what=f"cannot be said in WCTP: {wrong}.", remedy=remedy)
        if self.version not in PLAIN_VERSIONS and m.version_of(self.version) is None:
            yield Objection(
                key="version", what="is no version of WCTP.", remedy="Write 1.3, or wctp-dtd-v1r3."
            )
        elif self.doctype not in ("auto", "none") and (wrong := _wrong(m.DoctypeUrl, self.doctype)):
            what = f"is not the address of a DTD: {wrong}."
            yield Objection(key="doctype", what=what, remedy="Write auto, none, or its address.")
        if self.mode == "transient" and self.security_code_in == "security_code":
            what = "has no place in a transient message: it has no securityCode."
            yield Objection(key="security_code_in", what=what, remedy="Write misc_info.")
        if self.security_code is not None and self.misc_info is not None and self.code_in == "misc_info":
            what = "would stand where the password goes."
            yield Objection(key="misc_info", what=what, remedy="Write one of the two.")

    def _check_answers(self) -> Iterator[Objection]:
        enterprise = self.mode == "enterprise"
        if self.answers == ("query" if enterprise else "push") or (not enterprise and self.answers == "poll"):
            ways = "push, poll or none" if enterprise else "query or none"
            what = f"does not go with mode {self.mode}."
            yield Objection(key="answers", what=what, remedy=f"Write {ways}.")
        if self.answers == "none":
            for key in ("notify_queued", "notify_delivered", "notify_read"):
                if getattr(self, key):
                    what = "asks for word that could not come back: answers is none."
                    remedy = f"Write answers: {'push or poll' if enterprise else 'query'}."
                    yield Objection(key=key, what=what, remedy=remedy)
        if self.answers != "poll":
            for key in ("poller_id", "poll_code"):
                if getattr(self, key) is not None:
                    what = "is of no use: nothing is polled."
                    yield Objection(key=key, what=what, remedy="Write answers: poll, or leave it out.")

    def _check_transport(self) -> Iterator[Objection]:
        parts = urlsplit(self.url)
        if not self.url.isascii() or parts.fragment:
            remedy = "Write ASCII without #."
            yield Objection(key="url", what="this is not an address of HTTP.", remedy=remedy)
        for key in ("ca_file", "tls_name"):
            if getattr(self, key) is not None and parts.scheme == "http":
                yield Objection(key=key, what="is of no use with http.", remedy="Write https in url.")
        if (self.login is None) is not (self.password is None):
            key, other = ("login", "password") if self.password is None else ("password", "login")
            yield Objection(key=key, what=f"is of no use without {other}.", remedy=f"Write {other} too.")
        if self.login is not None and ":" in self.login:
            what = "cannot be a name of HTTP Basic authentication."
            yield Objection(key="login", what=what, remedy="Write it without a colon.")
        if parts.scheme == "http" and not self._stays_here:
            hidden = [
                key for key in ("security_code", "misc_info", "poll_code", "password") if getattr(self, key)
            ]
            what = "lets texts travel in clear."
            if hidden:
                what = f"lets texts and {' and '.join(hidden)} travel in clear."
            remedy = "Write https if the carrier offers it."
            yield Objection(key="url", what=what, remedy=remedy, warning=True)

    @property
    def _stays_here(self) -> bool:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return is_loopback(f"[{host}]:80" if ":" in host else f"{host}:80")


class WctpListen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of ``listen.wctp``: the door that carriers push receipts and replies to."""

    at: Annotated[
        ListenAt,
        Meta(description="`address:port` where they come in; with `tls`, or behind a proxy that speaks TLS."),
    ] = "127.0.0.1:8088"
    tls: Annotated[TlsListen | None, Meta(description="Speak https; none: http.")] = None
    path: Annotated[
        str, Meta(description="Path of the address that carriers are told; its case does not matter.")
    ] = "/wctp"
    secret: Annotated[
        Secret | None,
        Meta(description="One more segment of the path, which only carriers know: `/wctp/SECRET`."),
    ] = None
    networks: Annotated[
        tuple[Network, ...], Meta(description="Networks that pushes may come from; empty: any.")
    ] = ()
    security_code: Annotated[
        Secret | None, Meta(description="securityCode that a carrier says in its pushes.")
    ] = None
    connections: Annotated[int, Meta(ge=1, le=1000, description="Connections at a time.")] = 50

    def check(self) -> Iterator[Objection]:
        """What the wire cannot carry; and a door that anybody could come in by."""
        if not _PATH.fullmatch(self.path):
            remedy = "Write /wctp."
            yield Objection(key="path", what="is no path of letters, digits and . _ ~ -.", remedy=remedy)
        if self.secret is not None and (
            len(self.secret.value) < LEAST_SECRET or not _SECRET.fullmatch(self.secret.value)
        ):
            what = f"is no segment of {LEAST_SECRET} to 128 letters, digits and . _ ~ = + -."
            yield Objection(key="secret", what=what, remedy="Write what `openssl rand -hex 24` prints.")
        if self.security_code is not None and (wrong := _wrong(m.WctpSecret, self.security_code.value)):
            remedy = f"Write 1 to {m.MAX_LINE} characters without controls."
            yield Objection(key="security_code", what=f"cannot be said in WCTP: {wrong}.", remedy=remedy)
        if self.secret is None and not self.networks and self.security_code is None:
            what = "anybody could report anything here."
            remedy = "Write secret: {file: …}, and into the file what `openssl rand -hex 24` prints."
            yield Objection(key="secret", what=what, remedy=remedy)
        if self.networks and is_loopback(self.at) and not any(map(_has_loopback, self.networks)):
            what = "lets nobody in: what comes by a proxy on this machine comes from 127.0.0.1."
            remedy = "Let the proxy look at the network, and write secret here instead."
            yield Objection(key="networks", what=what, remedy=remedy, warning=True)
        if self.tls is None and (self.secret or self.security_code) and not is_loopback(self.at):
            what = "lets replies and what protects the door travel in clear: it speaks no TLS."
            remedy = "Write tls: {cert: FILE, key: {file: FILE}}, or listen on this machine, behind a proxy."
            yield Objection(key="at", what=what, remedy=remedy, warning=True)


def _has_loopback(network: str) -> bool:
    return ip_network(network, strict=False).overlaps(
        ip_network("127.0.0.0/8") if ":" not in network else ip_network("::1/128")
    )


def own_of(settings: LinkSettings) -> WctpSettings:
    """The keys of a WCTP link within the keys of a link."""
    own = settings.own
    assert isinstance(own, WctpSettings)
    return own


def _wrong(kind: type[Any], value: str) -> str | None:
    """Why *value* is no *kind*; None if it is one."""
    try:
        kind(value)
    except m.InvalidValue as invalid:
        return str(invalid)
    return None
