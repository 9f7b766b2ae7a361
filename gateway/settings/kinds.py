"""Words of a settings file that are more than text: how each is read, written and described.

One table serves the conversion, the JSON Schema and the reference page. The readers of durations, sizes
and rates also serve the API.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.settings import patterns
from gateway.settings.complaints import quoted
from gateway.settings.types import Rate
from gateway.settings.windows import FORMS, Window, window


class Unfit(ValueError):
    """A text is not what is meant: *what* is wrong with it (after the text itself, if *shown*; secrets and
    their digests are not), and the *remedy*."""

    def __init__(self, what: str, remedy: str, *, shown: bool = True) -> None:
        super().__init__(f"{what} {remedy}")
        self.what = what
        self.remedy = remedy
        self.shown = shown


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of word. *read* raises Unfit; *show* is its inverse; *pattern* is what editors check."""

    name: str
    read: Callable[[str], Any]
    example: str
    pattern: str
    show: Callable[[Any], str] = str


_UNITS = {"y": 365 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
DURATION = "".join(f"(?:({_NUMBER}){unit})?" for unit in (*_UNITS, "ms"))
_DURATION = re.compile(DURATION)
_PLAIN = re.compile(_NUMBER)
LONGEST = 100 * 365 * 86400.0  # seconds; keeps every sum of an instant and a duration within 63 bit


def duration(text: str) -> float:
    """Seconds of ``90s``, ``5m``, ``1h30m``, ``500ms`` or a plain number of seconds; a day has 24 hours
    and a year 365 days. Raises Unfit."""
    seconds = Decimal(0)
    if _PLAIN.fullmatch(text):
        seconds = Decimal(text)
    elif text and (found := _DURATION.fullmatch(text)):
        for number, unit in zip(
            found.groups(), (*map(Decimal, _UNITS.values()), Decimal("0.001")), strict=True
        ):
            seconds += Decimal(number or 0) * unit
    else:
        raise Unfit("is not a length of time.", "Write 90s, 5m, 24h, 7d or 500ms.")
    if seconds > LONGEST:
        raise Unfit("is longer than 100 years.", "Write 7y or less.")
    return float(seconds)


def show_duration(seconds: float) -> str:
    """*seconds* in the largest unit that divides it: ``15m``, ``90s``, ``500ms``; read back exactly."""
    exact = Decimal(repr(seconds))
    if not exact:
        return "0s"
    for unit, size in _UNITS.items():
        if exact % size == 0:
            return f"{exact / size:f}".removesuffix(".0") + unit
    if exact < 1 and exact * 1000 % 1 == 0:
        return f"{int(exact * 1000)}ms"
    return f"{exact:f}s"


_SIZES = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1, "": 1}


def size(text: str) -> int:
    """Bytes of ``256MiB``, ``64KiB``, ``2GiB`` or a plain number. Raises Unfit."""
    found = re.fullmatch(r"([0-9]{1,18}) ?([KMGT]iB|B)?", text)
    if not found:
        raise Unfit("is not a size.", "Write 256MiB, 64KiB, or a number of bytes.")
    return int(found[1]) * _SIZES[found[2] or ""]


def show_size(count: int) -> str:
    """*count* bytes in the largest unit that divides it."""
    return next(
        f"{count // unit}{name}" for name, unit in _SIZES.items() if count % unit == 0 < count or unit == 1
    )


_PER = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def rate(text: str) -> Rate:
    """``20/s``, ``60/min``, ``5/h`` or ``100/d``; more than none. Raises Unfit."""
    found = re.fullmatch(rf"({_NUMBER}) ?/ ?(s|min|h|d)", text)
    if not found or not Decimal(found[1]):
        raise Unfit("is not a rate.", "Write 20/s, 60/min or 5/h.")
    return Rate(count=float(found[1]), per=_PER[found[2]])


def show_rate(value: Rate) -> str:
    """*value* as it is written."""
    per = next(name for name, seconds in _PER.items() if seconds == value.per)
    return f"{value.count:g}/{per}"


def whole(text: str) -> int:
    """A whole number, decimal, such as ``-3`` or ``10_000``. Raises Unfit."""
    if not re.fullmatch(r"[+-]?(?:0|[1-9][0-9_]{0,18})", text):
        raise Unfit("is not a whole number.", "Write digits, such as 10.")
    return int(text)


def number(text: str) -> float:
    """A decimal number, such as ``0.25``. Raises Unfit."""
    if not re.fullmatch(rf"[+-]?{_NUMBER}", text):
        raise Unfit("is not a number.", "Write digits, such as 0.25.")
    return float(text)


_TRUTH = dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(("false", "no", "off"), False)


def truth(text: str) -> bool:
    """``true``, ``yes``, ``on`` or ``false``, ``no``, ``off``. Raises Unfit."""
    value = _TRUTH.get(text.lower())
    if value is None:
        raise Unfit("is neither true nor false.", "Write true or false.")
    return value


_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}))*\.?"
)


def host_and_port(text: str) -> tuple[str, int]:
    """``host:port`` or ``[2001:db8::1]:port`` taken apart; the port may be 0. Raises Unfit."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or not re.fullmatch("[0-9]{1,5}", port):
        raise Unfit("is not host:port.", "Write pager.example.net:444 or [2001:db8::1]:444.")
    if int(port) > 65535:
        raise Unfit("has a port above 65535.", "Write a port from 1 to 65535.")
    host = host[1:-1] if bracketed else host
    if bracketed or re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise Unfit("has no valid IP address.", "Write 192.0.2.1:444 or [2001:db8::1]:444.") from None
    elif not _HOST.fullmatch(host):
        raise Unfit("has no valid host name.", "Write pager.example.net:444 or [2001:db8::1]:444.")
    return host, int(port)


def _endpoint(text: str) -> str:
    if host_and_port(text)[1] == 0:
        raise Unfit("has port 0.", "Write a port from 1 to 65535.")
    return text


def _listen(text: str) -> str:
    if text.startswith("systemd:"):
        if not re.fullmatch("systemd:[A-Za-z0-9_.-]{1,255}", text):
            raise Unfit("does not name a socket of systemd.", "Write systemd:http.")
        return text
    host, _ = host_and_port(text)
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise Unfit("does not begin with an address of this machine.", "Write 127.0.0.1:8080.") from None
    return text


def is_loopback(at: str) -> bool:
    """Whether *at* (which was read as an endpoint) stays on this machine; a name may lead anywhere."""
    if at.startswith("systemd:"):  # wherever the .socket unit says
        return False
    host, _ = host_and_port(at)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def in_networks(address: str, networks: Iterable[str]) -> bool:
    """Whether *address* is in one of *networks*; an IPv4 address at a door for both kinds counts as one.
    ValueError if it is no address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in _parsed(network) for network in networks)


@lru_cache(maxsize=256)
def _parsed(network: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(network, strict=False)


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    """Zones by what people write for them: the whole name or the city, in any case."""
    names = sorted(zoneinfo.available_timezones())
    return {name.rpartition("/")[2].lower(): name for name in names} | {name.lower(): name for name in names}


def _zone(text: str) -> str:
    found = _zones().get(text.lower())
    if found != text:
        raise Unfit("is not a time zone.", f"Write {found or 'Europe/Paris'}.")
    return text


def _name(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text):
        raise Unfit("cannot be a name.", "Use letters, digits, - and _; at most 64.")
    return text


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        remedy = "Write 10.1.7.0/24 or 2001:db8::/32."
        with contextlib.suppress(ValueError):
            remedy = f"Write {ipaddress.ip_interface(text).network}."
        raise Unfit("is not a network.", remedy) from None
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        fits = fits and parts.port != 0 and text.isprintable() and " " not in text
    except ValueError:
        fits = False
    if not fits:
        raise Unfit("this is not a web address.", "Write https://pager.example.org.", shown=False)
    return text


def _receiver(text: str) -> str:
    _url(text)
    parts = urlsplit(text)
    host, port = parts.hostname or "", parts.port
    remedy = "Write https://itsm.example.org/hooks/pages."
    try:
        ipaddress.ip_address(host)
    except ValueError:  # what only looks like a number, some resolvers read as one: 127.1, 0x7f000001
        if not _HOST.fullmatch(host) or re.fullmatch("[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2]):
            raise Unfit("this has no valid host name or IP address.", remedy, shown=False) from None
    if port is not None and port < 1024 and port not in (80, 443):
        raise Unfit("this has a port of another service.", "Use 443, 80, or 1024 and above.", shown=False)
    if parts.fragment or not text.isascii():
        raise Unfit("this is not a web address that can be called.", remedy, shown=False)
    return text


def _store(text: str) -> str:
    if not re.fullmatch("sqlite:[^\0?#]{1,1000}", text):
        raise Unfit("is not a store of this version.", "Write sqlite:/var/lib/gateway/gateway.db.")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        what = f"this is not a SHA-256: it has {len(text)} characters, not 64 hexadecimal digits."
        remedy = 'Write all 64 that `printf %s "$TOKEN" | sha256sum` prints; examples are often shortened.'
        raise Unfit(what, remedy, shown=False)
    return text.lower()


def _pattern(text: str) -> str:
    if wrong := patterns.objection(text):
        remedy = "Write a simple one, such as [0-9]{7} or [+]?[0-9]{8,15}."
        raise Unfit(wrong, remedy)
    return text


def _code(text: str) -> str:
    if not re.fullmatch("[0-9*#]{1,20}", text):
        raise Unfit("is not a code.", "Write up to 20 digits.")
    return text


PLACEHOLDERS = ("text", "short", "details", "callback", "ref", "class", "code", "sender", "replies")


def _form(text: str) -> str:
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    rest = re.sub("\\{(?:" + "|".join(PLACEHOLDERS) + ")\\}", "", text)
    if found := re.search(r"\{[^{}]*\}?|\}", rest):
        raise Unfit(f"holds {quoted(found[0])}, which is no placeholder.", f"There are {known}.")
    if not text or len(text) > 1000 or not all(c.isprintable() or c == "\n" for c in text):
        raise Unfit("cannot be shown.", "Write 1 to 1000 characters without controls.")
    return text


def _glob(text: str) -> str:
    if not text or len(text) > 200 or not text.isprintable():
        raise Unfit("cannot be a pattern.", 'Write up to 200 characters, such as "*quota*".')
    return text


def _window(text: str) -> Window:
    found = window(text)
    if found is None:
        raise Unfit("is not a window of time.", FORMS)
    return found


def _together(text: str) -> tuple[str, ...]:
    return tuple(_name(part.strip()) for part in text.split("+"))


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="duration",
            read=duration,
            show=show_duration,
            example="90s",
            pattern=rf"^(?=.){DURATION}$|^{_NUMBER}$",
        ),
        Kind(name="size", read=size, show=show_size, example="256MiB", pattern="^[0-9]+ ?([KMGT]iB|B)?$"),
        Kind(
            name="rate",
            read=rate,
            show=show_rate,
            example="20/s",
            pattern=r"^[0-9]+(\.[0-9]+)? ?/ ?(s|min|h|d)$",
        ),
        Kind(name="name", read=_name, example="ward-3", pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"),
        Kind(name="zone", read=_zone, example="Europe/Paris", pattern="^[A-Za-z]"),
        Kind(name="network", read=_network, example="10.1.7.0/24", pattern="^[0-9a-fA-F.:]+(/[0-9]+)?$"),
        Kind(name="endpoint", read=_endpoint, example="pager.example.net:444", pattern="^.+:[0-9]{1,5}$"),
        Kind(
            name="listen",
            read=_listen,
            example="127.0.0.1:8080",
            pattern="^.+:[0-9]{1,5}$|^systemd:[A-Za-z0-9_.-]+$",
        ),
        Kind(name="url", read=_url, example="https://pager.example.org", pattern="^https?://"),
        Kind(
            name="receiver",
            read=_receiver,
            example="https://itsm.example.org/hooks/pages",
            pattern="^https?://",
        ),
        Kind(name="store", read=_store, example="sqlite:/var/lib/gateway/gateway.db", pattern="^sqlite:."),
        Kind(name="digest", read=_digest, example="9f86d081…", pattern="^[0-9a-fA-F]{64}$"),
        Kind(name="pattern", read=_pattern, example="[0-9]{7}", pattern="."),
        Kind(name="code", read=_code, example="4711", pattern="^[0-9*#]{1,20}$"),
        Kind(name="form", read=_form, example="{short} CB {callback} {ref}", pattern="."),
        Kind(name="glob", read=_glob, example='"*quota*"', pattern="."),
        Kind(
            name="window",
            read=_window,
            show=lambda value: str(value.written),
            example="Sun 02:00-02:30",
            pattern="[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$",
        ),
        Kind(
            name="together",
            read=_together,
            show=" + ".join,
            example="pager + mobile",
            pattern=r"^[A-Za-z0-9_-]+( *\+ *[A-Za-z0-9_-]+)*$",
        ),
    )
}
"""By the ``kind`` that a declaration names: ``Annotated[float, Meta(extra={"kind": "duration"})]``."""
