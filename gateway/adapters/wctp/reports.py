"""What comes back about a page: which page it is about, who may say it, and what it proves.

The messageID of a page is its correlation and a mark of link and device: ``8h2k0qzt-1f-k3v9w2a``. A report
names it, and whoever reports must be the device that the mark was made for: nothing need be looked up, also
after a restart and while the page is still in doubt. It is no secret against the carrier, who knows both.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, assert_never

import msgspec

from gateway.adapters.base import Evidence
from gateway.adapters.wctp.answers import in_short
from gateway.adapters.wctp.settings import own_of
from gateway.model import Instant, LinkName
from gateway.outcome import Level
from gateway.settings.types import LinkSettings
from protocols.text import printable
from protocols.wctp import messages as m
from protocols.wctp.messages import Code

MARK = 7  # base32 digits, 35 bit: with the 24 of a correlation and a hyphen the 32 that WCTP 1.3 allows
LONGEST_REPLY = 1000  # characters of a person's answer that are kept; a pager's keyboard ends long before
LEVELS = {m.Event.QUEUED: Level.IN_PROGRESS, m.Event.DELIVERED: Level.ON_DEVICE, m.Event.READ: Level.READ}
_NUMBER = re.compile(r"[+]?[0-9]+", re.ASCII)
_CHOICE = re.compile(r"([0-9]{1,2})[.)]?", re.ASCII)
_DECORATION = str.maketrans("", "", " -.()[]/")


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """The page that a report is about: of which *link*, and its *ref*, which the record knows it by.
    *numbered*: its replies stood behind the text, so that a number is the answer with that number."""

    link: LinkName
    ref: str
    numbered: bool

    def evidence(self, state: str, at: Instant, **proves: Any) -> Evidence:
        return Evidence(scope=self.link, ref=self.ref, state=state, at=at, **proves)


def message_id(link: LinkName, correlation: str, address: str, *, instead: bool = False) -> m.MessageId:
    """The messageID of a page, the same at every try; another one with its replies as text *instead* of the
    choices that its device does not take: what comes back then tells how it was shown."""
    return m.MessageId(f"{correlation}-{_mark(link, correlation, address, instead)}")


def whose(named: str, devices: Iterable[str | None], links: Mapping[LinkName, LinkSettings]) -> Whose | None:
    """Which page of *links* the messageID *named* is, if one of *devices* has it; None if there is none."""
    correlation, _, mark = named.strip().lower().rpartition("-")
    there = [one for one in devices if one]
    for link, settings in links.items() if correlation else ():
        for instead in (False, True):
            if any(_mark(link, correlation, device, instead) == mark for device in there):
                numbered = instead or own_of(settings).choices == "text"
                return Whose(link=link, ref=correlation, numbered=numbered)
    return None


def same_device(one: str, other: str) -> bool:
    """Whether two addresses are one device: carriers leave blanks, hyphens and the plus of numbers out."""
    return _plain(one) == _plain(other)


def _mark(link: LinkName, correlation: str, address: str, instead: bool) -> str:
    named = (link, correlation, _plain(address), *(("text",) if instead else ()))
    said = "\0".join(named).encode(errors="replace")
    return b32encode(sha256(said).digest()).decode()[:MARK].lower()


def _plain(address: str) -> str:
    bare = address.translate(_DECORATION)
    return bare.lstrip("+") if _NUMBER.fullmatch(bare) else address.strip().casefold()


# ---------------------------------------------------------------- their words to ours


def read(
    said: m.StatusInfo | m.MessageReply, links: Mapping[LinkName, LinkSettings], at: Instant
) -> tuple[Whose, Evidence] | m.Failure:
    """What a carrier's report, pushed or fetched, proves; or why it is not taken, in WCTP's words."""
    header = said.header
    about = whose(header.response_to, (header.originator.sender_id, header.on_behalf_of), links)
    if about is None:
        return m.failure(Code.UNKNOWN_REFERENCE, "no page of ours to this device has this messageID")
    match said:
        case m.StatusInfo(result=result):
            return about, of_status(result, about, at)
        case m.MessageReply(payload=payload):
            if (text := text_of(payload)) is None:
                return m.failure(Code.NO_BINARY, "a reply must be text")
            return about, of_reply(text, about, at, header.control.message_id, header.responded)
        case _:
            assert_never(said)


def of_status(result: m.Notification | m.Failure, about: Whose, at: Instant) -> Evidence:
    """A status: how far it got, or that it will not arrive."""
    match result:
        case m.Notification(event=event):
            return about.evidence(event.value.lower(), at, level=LEVELS.get(event))
        case m.Failure():
            code = "" if result.code is None else f"{result.code} "
            words = next((one for one in (result.detail, result.text) if one), "failed")
            return about.evidence(
                f"failed {code}".strip(), at, setback=in_short(f"{code}{words}"), final=True
            )
        case _:
            assert_never(result)


def of_reply(text: str, about: Whose, at: Instant, *told_apart_by: object, final: bool = False) -> Evidence:
    """A person's answer: whoever answers has read. The same one told again is the same evidence."""
    words = "\0".join([about.ref, text, *(str(one) for one in told_apart_by)])
    which = b32encode(sha256(words.encode(errors="replace")).digest()).decode()[:16].lower()
    choice = _CHOICE.fullmatch(text) if about.numbered else None
    return about.evidence(
        f"reply {which}",
        at,
        level=Level.READ,
        reply=text,
        choice=None if choice is None else int(choice[1]),
        final=final,
    )


def text_of(payload: m.Payload) -> str | None:
    """What a reply says, on one line; None if it is no text."""
    match payload:
        case m.Alphanumeric(text=text) | m.MultipleChoice(text=text):
            said: str = text
        case m.TransparentData(data=data):
            try:
                said = data.decode()
            except UnicodeDecodeError:
                return None
        case _:
            assert_never(payload)
    return printable(" ".join(said.split()))[:LONGEST_REPLY]
