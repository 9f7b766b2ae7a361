"""What is printed from the declarations: the reference page, the JSON Schema; and that nothing is undescribed.

``python tests/gateway/test_settings_reference.py`` writes ``docs/reference/settings.md`` anew.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from settings_fakes import BASE, SPECS

import gateway.adapters
from gateway.adapters.base import AdapterSpec
from gateway.settings import reference, schema
from gateway.settings.declared import Type, fields_of
from gateway.settings.kinds import KINDS
from gateway.settings.types import LATER, Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "settings.md"


def built_in() -> dict[str, AdapterSpec]:
    """The adapters that are in the folder of adapters."""
    found = {}
    for module in pkgutil.iter_modules(gateway.adapters.__path__):
        spec = getattr(importlib.import_module(f"gateway.adapters.{module.name}"), "ADAPTER", None)
        if isinstance(spec, AdapterSpec):
            found[spec.name] = spec
    return found


def test_the_reference_page_is_up_to_date() -> None:
    """docs/reference/settings.md says what the declarations say."""
    assert PAGE.read_text() == reference(built_in()), (
        "The settings changed. Print the page anew: python tests/gateway/test_settings_reference.py"
    )


def structs(struct: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """*struct* and all that its fields hold."""
    found = [struct]
    for field in fields_of(struct):
        type_: Type | None = field.type
        while type_ is not None:
            if type_.struct:
                found += structs(type_.struct)
            type_ = type_.item
    return found


def test_every_setting_has_a_description() -> None:
    """A setting that nobody explained is not a setting; neither is one of an unknown kind."""
    declared = structs(Settings)
    for spec in (SPECS | built_in()).values():
        declared += structs(spec.settings)
    for struct in declared:
        for field in fields_of(struct):
            assert field.description, f"{struct.__name__}.{field.name} has no description"
            assert field.type.kind is None or field.type.kind in KINDS


def test_what_comes_later_is_not_here_yet() -> None:
    """No key is both a setting and "not in this version"."""
    for struct, keys in LATER.items():
        assert keys.isdisjoint(field.name for field in fields_of(struct))


def test_the_reference_shows_an_adapters_own_keys() -> None:
    """Type, default and range of each, in a table of their own; a bar within a cell does not end it."""
    page = reference(SPECS)
    table = page.partition("## `carriers.<name>.links.<name>` with `adapter: snpp`")[2].partition("\n## ")[0]
    assert "| `at` | endpoint | **required** |  | `host:port` of the terminal. |" in table
    assert "| `tls` | `off` `required` | `off` |  | TLS from the first byte. |" in table
    assert "| `password` | secret, or none | `none` |  | Password for LOGI. |" in table
    assert "| `max_chars` | whole number | `240` | ≥ 1, ≤ 10000 | Longest text. |" in table
    for line in page.splitlines():
        if line.startswith("| `"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 6)


# ---------------------------------------------------------------------------------------------- the schema


def fits(value: Any, rule: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether *value* is valid by *rule*: as much of JSON Schema as ours uses, and nothing else."""
    if "$ref" in rule:
        return fits(value, whole["$defs"][rule["$ref"].removeprefix("#/$defs/")], whole)
    if "anyOf" in rule:
        return any(fits(value, one, whole) for one in rule["anyOf"])
    if "const" in rule and value != rule["const"]:
        return False
    if "enum" in rule and value not in rule["enum"]:
        return False
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    names = rule.get("type", [])
    names = [names] if isinstance(names, str) else names
    if names and not any(isinstance(value, kinds[name]) for name in names):
        return False
    if isinstance(value, str) and "pattern" in rule and not re.search(rule["pattern"], value):
        return False
    if isinstance(value, list):
        return len(value) >= rule.get("minItems", 0) and all(fits(one, rule["items"], whole) for one in value)
    if isinstance(value, dict):
        known = rule.get("properties", {})
        more = rule.get("additionalProperties", {})
        names = rule.get("propertyNames", {})
        return (
            set(rule.get("required", ())) <= value.keys()
            and rule.get("minProperties", 0) <= len(value) <= rule.get("maxProperties", 1000)
            and (more is not False or value.keys() <= known.keys())
            and all(fits(key, names, whole) for key in value)
            and all(fits(one, known.get(key, more or {}), whole) for key, one in value.items())
        )
    return rule.get("minimum", value) <= value <= rule.get("maximum", value) if names == ["integer"] else True


@pytest.mark.parametrize("name", ["minimal.yaml", "hospital.yaml", "people/cardiology.yaml"])
def test_the_files_we_ship_are_valid_by_the_schema(name: str) -> None:
    """An editor that uses the schema underlines nothing in them."""
    made = schema(built_in())
    assert fits(yaml.safe_load((ROOT / "config" / name).read_text()), made, made)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("adapter: snpp", "adapter: tap"),
        (", at: 127.0.0.1:444", ""),
        ("444}", "444, sessions: 65}"),
        ("444}", "444, password: clear}"),
        ("444}", "444, idle: long}"),
        ("monitoring", "moni toring"),
        ("name: Alice, ", ""),
        ("people:", "poeple:"),
    ],
)
def test_an_editor_sees_what_is_wrong(old: str, new: str) -> None:
    """Unknown keys, missing ones, wrong words and clear secrets are invalid by the schema."""
    made = schema(SPECS)
    assert fits(yaml.safe_load(BASE), made, made)
    assert not fits(yaml.safe_load(BASE.replace(old, new)), made, made)


def test_an_editor_knows_that_the_catalogue_fills_in() -> None:
    """With ``use`` a link needs no more than its adapter; wrong words stay wrong."""
    made = schema(SPECS)
    text = BASE.replace(", at: 127.0.0.1:444", "").replace("    links:", "    use: x-us@2026.11\n    links:")
    assert fits(yaml.safe_load(text), made, made)
    assert not fits(yaml.safe_load(text.replace("snpp}", "snpp, tls: perhaps}")), made, made)
    assert not fits(yaml.safe_load(text.replace("adapter: snpp", "tls: off")), made, made)


def test_the_schema_describes_and_is_json() -> None:
    """Each property has a description, each reference a target, and the whole can be written as JSON."""
    made = schema(SPECS)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    text = msgspec.json.encode(made).decode()
    for target in re.findall(r'"#/\$defs/([^"]+)"', text):
        assert target in made["$defs"]
    for rule in (made, *made["$defs"].values()):
        for key, one in rule.get("properties", {}).items():
            assert one.get("description"), key


if __name__ == "__main__":
    PAGE.write_text(reference(built_in()))
