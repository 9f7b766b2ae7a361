"""Where things are: the settings file, and what lies beside it."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from gateway.app.adapters import specs
from gateway.errors import StoreRefused
from gateway.model import Instant
from gateway.settings import load_file
from gateway.settings.types import Settings


def load(path: Path, generation: int = 1, now: Instant | None = None) -> Settings:
    """The settings in *path*; raises SettingsError with every mistake, with *now* also that certificates
    have ended."""
    return load_file(
        path,
        specs(),
        read=Path.read_bytes,
        environ=os.environ,
        glob=_matching,
        mode=lambda file: file.stat().st_mode,
        generation=generation,
        now=now,
    )


def _matching(pattern: Path) -> list[Path]:
    """The files that match an include's pattern, in the order of their names."""
    return [Path(name) for name in sorted(glob.glob(str(pattern)))]


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
