"""The certificate of a door: that it can be read, belongs to its key, and still counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from gateway.model import Instant, rfc3339, seconds_between
from gateway.settings.complaints import Complaints, quoted
from gateway.settings.document import MAX_BYTES, Entries, place
from gateway.settings.types import Settings

SOON = 14 * 86_400.0  # seconds before its end from which on a certificate is warned of


def with_certificate(
    settings: Settings,
    top: Entries,
    complaints: Complaints,
    read: Callable[[Path], bytes],
    now: Instant | None,
) -> Settings:
    """*settings* with the paths of certificates made whole; complains about a pair that cannot be used.

    With *now* also about one that has ended, or ends soon. A gateway that starts or reloads does without:
    that it pages matters more than that its certificate counts.
    """
    listen = settings.listen
    for door, tls in listen.tls().items():
        path = ("listen", door, "tls")
        if complaints.sound(*path):
            file = Path(place(top, (*path, "cert")).file).parent / tls.cert
            listen = listen.with_tls(door, replace(tls, cert=str(file)))
            _look(path, file, tls.key.value, top, complaints, read, now)
    return replace(settings, listen=listen)


def _look(
    path: tuple[str, ...],
    file: Path,
    key: str,
    top: Entries,
    complaints: Complaints,
    read: Callable[[Path], bytes],
    now: Instant | None,
) -> None:
    """Complain about the pair of the door whose ``tls`` stands at *path*."""
    at = place(top, (*path, "cert"))
    shown = quoted(str(file))
    try:
        pem = read(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a file name"
        what = f"the file {shown} cannot be read ({reason})."
        complaints.mistake(at, (*path, "cert"), what, "Write the path of a file that the gateway may read.")
        return
    if len(pem) > MAX_BYTES:
        complaints.mistake(at, (*path, "cert"), f"the file {shown} is larger than 5 MiB.", "Is it another?")
        return
    from gateway.env.tls import UnusablePair, read_certificate  # takes a while to import

    try:
        found = read_certificate(pem, key)
    except UnusablePair as error:
        what = f"the file {shown} {error.what}" if error.at == "cert" else error.what
        complaints.mistake(place(top, (*path, error.at)), (*path, error.at), what, error.remedy)
        return
    if now is not None and found.ends <= now:
        what = f"the certificate of {shown} ended at {rfc3339(found.ends)}."
        complaints.mistake(at, (*path, "cert"), what, "Renew it.")
    elif now is not None and found.begins > now:
        what = f"the certificate of {shown} counts only from {rfc3339(found.begins)} on."
        complaints.mistake(at, (*path, "cert"), what, "Is the clock of this machine right?")
    elif now is not None and seconds_between(now, found.ends) < SOON:
        what = f"the certificate of {shown} ends at {rfc3339(found.ends)}."
        complaints.warning(at, (*path, "cert"), what, "Renew it; the gateway takes the new file by itself.")
