"""An adapter like the one of SNPP, and files that exist only in a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.adapters.base import AdapterSpec, Parts
from gateway.model import Instant
from gateway.outcome import Level
from gateway.settings import load
from gateway.settings.catalogue import NOTHING_LISTED, Catalogue
from gateway.settings.types import Duration, Endpoint, Objection, Secret, Settings
from gateway.settings.uses import InUse, never_used


class SnppSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at: Annotated[Endpoint, Meta(description="`host:port` of the terminal.")]
    tls: Annotated[Literal["off", "required"], Meta(description="TLS from the first byte.")] = "off"
    ca_file: Annotated[str | None, Meta(description="Trust these certificates alone.")] = None
    login: Annotated[str | None, Meta(description="Name for LOGI.")] = None
    password: Annotated[Secret | None, Meta(description="Password for LOGI.")] = None
    two_way: Annotated[bool, Meta(description="Level 3 of the protocol.")] = False
    use_data: Annotated[Literal["auto", "mess", "data"], Meta(description="MESS or DATA.")] = "auto"
    max_chars: Annotated[int, Meta(ge=1, le=10_000, description="Longest text.")] = 240
    quiet_after: Annotated[Duration | None, Meta(gt=0, description="Say NOOP after this.")] = None

    def check(self) -> Iterable[Objection]:
        if self.password is not None and self.login is None:
            yield Objection(key="password", what="is of no use without a login.", remedy="Write login.")
        if self.password is not None and self.tls == "off" and not self.at.startswith("127."):
            what, remedy = "the password travels in clear.", "Write tls: required."
            yield Objection(key="tls", what=what, remedy=remedy, warning=True)


def _unused(*_: object) -> object:
    raise AssertionError("settings never make a link")


SNPP = AdapterSpec(
    name="snpp",
    settings=SnppSettings,
    make_link=_unused,  # type: ignore[arg-type]
    ceiling=lambda own: Level.HANDED_OVER,
    measure=lambda own: lambda text: Parts(texts=(text,)),
    answers=(),
)
SPECS = {"snpp": SNPP}

BASE = """\
clients: {monitoring: {may_page: [everyone]}}
carriers:
  spok:
    links:
      web: {adapter: snpp, at: 127.0.0.1:444}
people:
  alice: {name: Alice, devices: {pager: spok:5551212}}
"""


def load_text(
    text: str,
    files: Mapping[str, bytes] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    file: str = "gateway.yaml",
    modes: Mapping[str, int] | None = None,
    catalogue: Catalogue = NOTHING_LISTED,
    now: Instant | None = None,
    in_use: InUse = never_used,
) -> Settings:
    """Load *text* in a world in which *files* and *environ* are all there is."""
    there = files or {}

    def read(path: Path) -> bytes:
        if str(path) not in there:
            raise FileNotFoundError(2, "No such file or directory")
        return there[str(path)]

    return load(
        text,
        SPECS,
        file=file,
        read=read,
        environ=environ or {},
        glob=lambda pattern: [
            path for path in map(Path, there) if path.parent == pattern.parent and path.match(pattern.name)
        ],
        mode=lambda path: (modes or {}).get(str(path), 0o600),
        catalogue=catalogue,
        now=now,
        in_use=in_use,
    )
