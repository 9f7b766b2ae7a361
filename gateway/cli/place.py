"""Where things are: the settings file, and from it the socket, the spool directory and the zone.

Only the section `site` is looked at, with every scalar as text, so that the command line starts fast and
works although another part of the file is being edited.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import yaml

from gateway.cli.trouble import DISK, NOTHING_RUNS, SETTINGS, Trouble
from gateway.errors import SettingsError
from gateway.model import Instant
from gateway.settings.types import Settings, Site

HERE = Path("gateway.yaml")
DEMO = Path(".demo/gateway.yaml")
SYSTEM = Path("/etc/gateway/gateway.yaml")
MAX_SETTINGS = 64 << 20  # ours: far beyond any site; a wrong file is refused and not read


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway on this machine. *spool* and *settings* are None if only its socket is known."""

    socket: Path
    settings: Path | None = None
    spool: Path | None = None
    zone: str = "UTC"
    demo: bool = False

    @property
    def start(self) -> str:
        """The command that starts this gateway."""
        if self.demo:
            return "gateway demo"
        return "gateway run" if self.settings in (None, HERE) else f"gateway run --settings {self.settings}"


def zone_of(name: str) -> tzinfo:
    """The time zone of that IANA name; UTC if this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def find(settings: Path | None, control: Path | None) -> Place:
    """The gateway that a command means: what was said, else what is here. Raises Trouble if there is none."""
    if settings is None and control is not None:
        return Place(socket=control)
    if settings is None:
        settings = settings_file()
        if settings is None:
            raise Trouble(
                NOTHING_RUNS,
                "nothing-here",
                f"No gateway was found: there is no {HERE}, no running demo and no {SYSTEM}.",
                "gateway init writes a settings file, gateway demo tries it out; or say --settings FILE.",
            )
    place = read(settings)
    return place if control is None else msgspec.structs.replace(place, socket=control)


def settings_file(*, demo: bool = True) -> Path | None:
    """``./gateway.yaml``, else the demo's if it runs here, else the system's, else a demo that has ended."""
    if HERE.is_file():
        return HERE
    if demo and DEMO.is_file() and (not SYSTEM.is_file() or _answers(read(DEMO).socket)):
        return DEMO
    return SYSTEM if SYSTEM.is_file() else None


def required_settings(settings: Path | None) -> Path:
    """The settings file for commands that need one; never the demo's. Raises Trouble."""
    found = settings or settings_file(demo=False)
    if found is None:
        raise Trouble(
            SETTINGS,
            "no-settings",
            f"There is no {HERE} here and no {SYSTEM}.",
            "gateway init writes one; or say which: --settings FILE.",
        )
    if not found.is_file():
        raise _missing(found)
    return found


def load(settings: Path, now: Instant | None = None) -> Settings:
    """The whole of *settings*, checked, with *now* its certificates' times too. Raises SettingsError, or
    Trouble if it cannot be read."""
    from gateway import app  # needs Twisted, which takes a while to import

    try:
        return app.load(settings, now=now)
    except OSError as problem:
        raise _unreadable(settings, problem) from None


def _missing(settings: Path) -> Trouble:
    return Trouble(
        SETTINGS,
        "no-settings",
        f"There is no settings file {settings}.",
        f"Write one with gateway init --file {settings}, or name another.",
    )


def _unreadable(settings: Path, problem: OSError) -> Trouble:
    return Trouble(
        DISK,
        "settings-unreadable",
        f"Cannot read {settings}: {problem.strerror}.",
        "Run as root or as the user that the gateway runs as.",
    )


def mistaken(settings: Path, error: SettingsError) -> Trouble:
    """Settings with mistakes, as a trouble that lists them all."""
    count = len(error.mistakes)
    return Trouble(
        SETTINGS,
        "settings-invalid",
        f"{settings} has {count} mistake{'' if count == 1 else 's'}.",
        f"Correct {'it' if count == 1 else 'them'}; gateway check {settings} looks again.",
        details=tuple(map(str, error.mistakes)),
    )


def read(settings: Path) -> Place:
    """The place that *settings* describe. Paths in the file are relative to the file's folder."""
    site = _site(settings)
    defaults = Site()
    store = str(site.get("store", defaults.store))
    base = settings.parent
    path = base / store.removeprefix("sqlite:")
    control = site.get("control")
    return Place(
        settings=settings,
        socket=path.with_name(path.name + ".sock") if control is None else base / str(control),
        spool=path.with_name(path.name + ".spool"),
        zone=str(site.get("zone", defaults.zone)),
        demo=settings == DEMO,
    )


def _site(settings: Path) -> dict[str, Any]:
    try:
        if settings.stat().st_size > MAX_SETTINGS:
            raise Trouble(
                SETTINGS, "settings-invalid", f"{settings} is too large.", "Name the gateway's own file."
            )
        text = settings.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _missing(settings) from None
    except OSError as problem:
        raise _unreadable(settings, problem) from None
    except UnicodeDecodeError:
        raise Trouble(
            SETTINGS, "settings-invalid", f"{settings} is not UTF-8.", "Save the file as UTF-8."
        ) from None
    try:
        whole = yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # noqa: S506  builds text only
    except (yaml.YAMLError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise Trouble(
            SETTINGS,
            "settings-invalid",
            f"{settings}{where} is not YAML: {getattr(problem, 'problem', None) or 'nested too deeply'}.",
            f"gateway check {settings} says more; --socket reaches a gateway that runs already.",
        ) from None
    site = whole.get("site") if isinstance(whole, dict) else None
    return site if isinstance(site, dict) else {}


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True
