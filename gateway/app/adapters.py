"""Which adapters there are: built-ins by listing the folder, others by entry point."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

import gateway.adapters
from gateway.adapters.base import AdapterSpec

ENTRY_POINTS = "gateway.adapters"


@cache
def specs() -> dict[str, AdapterSpec]:
    """Every adapter by name. A built-in cannot be replaced from outside."""
    found: dict[str, AdapterSpec] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        spec = entry.load()
        assert isinstance(spec, AdapterSpec), f"{entry.value} is not an AdapterSpec"
        found[spec.name] = spec
    for module in iter_modules(gateway.adapters.__path__):
        if module.name not in gateway.adapters.SHARED:
            spec = import_module(f"gateway.adapters.{module.name}").ADAPTER
            found[spec.name] = spec
    return found
