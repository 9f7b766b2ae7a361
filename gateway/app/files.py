"""Where things are: the settings file, and what lies beside it."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import gateway
from gateway.app.adapters import specs
from gateway.errors import StoreRefused
from gateway.model import Instant
from gateway.settings import load_file
from gateway.settings.catalogue import Catalogue
from gateway.settings.complaints import Complaints
from gateway.settings.listings import read_listings
from gateway.settings.types import Settings
from gateway.settings.uses import InUse, mail_uses, never_used

_HERE = Path(gateway.__file__).parent
SHIPPED = (_HERE / "_config", _HERE.parent / "config")  # in a wheel (pyproject.toml), in a source checkout


def load(
    path: Path, generation: int = 1, now: Instant | None = None, in_use: InUse | None = None
) -> Settings:
    """The settings in *path*; raises SettingsError with every mistake, with *now* also that certificates
    have ended. What was *in_use* before is no mistake because of the catalogue; if that is not said, it is
    everything once the gateway has run, but nothing with *now*: then somebody asks for all that is wrong."""
    if in_use is None:
        in_use = has_run(path) if now is None else never_used
    return load_file(
        path,
        specs(),
        read=Path.read_bytes,
        environ=os.environ,
        glob=_matching,
        mode=lambda file: file.stat().st_mode,
        generation=generation,
        now=now,
        catalogue=catalogue(),
        in_use=in_use,
    )


def _matching(pattern: Path) -> list[Path]:
    """The files that match an include's pattern, in the order of their names."""
    return [Path(name) for name in sorted(glob.glob(str(pattern)))]


@cache
def catalogue() -> Catalogue:
    """The catalogue that came with this version. Raises SettingsError if it is damaged."""
    folder = next((found for root in SHIPPED if (found := root / "carriers").is_dir()), None)
    return listings_in(sorted(folder.glob("*.yaml")) if folder else ())


def listings_in(files: Iterable[Path]) -> Catalogue:
    """The listings in *files*. Raises SettingsError with every mistake, OSError for what cannot be read."""
    complaints = Complaints()
    texts = ((str(file), file.read_text(encoding="utf-8")) for file in files)
    found = read_listings(texts, complaints, specs())
    complaints.raise_if_any()
    return found


def as_before(running: Settings) -> InUse:
    """What is in use in *running* settings."""
    used = {written for _, written, _ in mail_uses(running)}
    return lambda settings, written: written in used


def has_run(path: Path) -> InUse:
    """All of it, if there is a database for the settings in *path*: a gateway that ran comes up again."""
    return lambda settings, written: store_path(settings, path).exists()


def store_path(settings: Settings, beside: Path) -> Path:
    """The database file; a relative one lies beside the settings file *beside*."""
    kind, colon, where = settings.site.store.partition(":")
    if kind != "sqlite" or not colon or not where:
        raise StoreRefused(f"site.store: '{settings.site.store}' is not a store. Write sqlite:PATH.")
    return beside.parent / where


def control_socket(settings: Settings, beside: Path) -> Path:
    """The unix socket of the command line: where the settings say, or beside the store."""
    if settings.site.control is not None:
        return beside.parent / settings.site.control
    store = store_path(settings, beside)
    return store.with_name(store.name + ".sock")


def spool_folder(settings: Settings, beside: Path) -> Path:
    """Where ``gateway send`` keeps messages while no gateway runs: beside the store."""
    store = store_path(settings, beside)
    return store.with_name(store.name + ".spool")
