"""What may be written: as JSON Schema for editors and as a page for people.

Both are printed from the declarations, so neither can say anything else than what ``load`` does.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from gateway import __version__
from gateway.model import MessageClass
from gateway.settings.convert import show
from gateway.settings.declared import NOTHING, Field, Type, fields_of, token
from gateway.settings.kinds import KINDS, PLACEHOLDERS
from gateway.settings.types import (
    CLASSES,
    LATER,
    Adapter,
    AdapterDoor,
    Carrier,
    ClassSettings,
    LinkSettings,
    Listen,
    Rate,
    Secret,
    Settings,
)

_SCALAR = ["string", "number", "boolean"]  # editors read `0123`, `10:00` and `NO` in their own ways
_NONE = {"enum": [None, "none"]}


def schema(specs: Mapping[str, Adapter]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a settings file with links of *specs*."""
    made = _Schema(specs)
    top = made.struct(Settings)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of the gateway",
        **top,
        "required": [],  # a file that is included, or that includes, has a part of the sections
        "$defs": made.definitions,
    }


class _Schema:
    def __init__(self, specs: Mapping[str, Adapter]) -> None:
        self._specs = specs
        self.definitions: dict[str, Any] = {}

    def struct(self, struct: Any, *, partial: bool = False) -> dict[str, Any]:
        """The object that *struct* is written as; *partial*: every key has a default from elsewhere."""
        fields = fields_of(struct)
        properties = {field.name: self.field(field) for field in fields}
        if struct is Listen:
            for name, door in _doors(self._specs):
                properties[name] = self._definition(door.settings, partial=False) | {
                    "description": f"The door of adapter {name}."
                }
        return {
            "type": ["object", "null"],
            "properties": properties,
            "required": [field.name for field in fields if field.default is NOTHING and not partial],
            "additionalProperties": False,
        }

    def field(self, field: Field) -> dict[str, Any]:
        made = self.type(field.type, field.default)
        made["description"] = field.description
        if field.default is not NOTHING and not _is_mapping(field.type):
            made["default"] = None if field.default is None else show(field.default, field.type)
        return made

    def type(self, type_: Type, default: Any = NOTHING) -> dict[str, Any]:
        made = self._plain(type_, default)
        return {"anyOf": [made, _NONE]} if type_.optional else made

    def _plain(self, type_: Type, default: Any) -> dict[str, Any]:
        if type_.kind:
            kind = KINDS[type_.kind]
            return {"type": _SCALAR, "pattern": kind.pattern, "examples": [kind.example]}
        if type_.struct is LinkSettings:
            return {"anyOf": [*map(self._link, sorted(self._specs)), self._copy()]}
        if type_.struct:
            return self._definition(type_.struct, partial=False)
        if type_.form is dict:
            assert type_.key is not None
            assert type_.item is not None
            partial = isinstance(default, dict) and type_.item.struct is not None and bool(default)
            item = (
                self._definition(type_.item.struct, partial=True)
                if partial and type_.item.struct
                else self.type(type_.item)
            )
            words = self.type(type_.key)
            words.pop("type", None)
            return {"type": ["object", "null"], "propertyNames": words, "additionalProperties": item}
        if type_.form is tuple:
            assert type_.item is not None
            item = self.type(type_.item)
            bounds = {"minItems": "min_length", "maxItems": "max_length"}
            array = {"type": "array", "items": item, **_bounds(type_, bounds)}
            return {"anyOf": [array, item]}
        return _word(type_)

    def _definition(self, struct: Any, *, partial: bool) -> dict[str, Any]:
        if struct is Carrier and struct.__name__ not in self.definitions:
            self.definitions[struct.__name__] = self._carrier()
        self.definitions.setdefault(struct.__name__, self.struct(struct, partial=partial))
        return {"$ref": f"#/$defs/{struct.__name__}"}

    def _link(self, adapter: str) -> dict[str, Any]:
        made = self.struct(LinkSettings)
        own = self.struct(self._specs[adapter].settings)
        made["properties"] |= own["properties"]
        made["properties"]["adapter"] = {"const": adapter, "description": "The protocol it speaks."}
        made["required"] += own["required"]
        self.definitions[f"link-{adapter}"] = made
        return {"$ref": f"#/$defs/link-{adapter}"}

    def _carrier(self) -> dict[str, Any]:
        """With `use`, or without: then links have all that is required, for nothing else fills it in."""
        plain, using = self.struct(Carrier), self.struct(Carrier)
        del plain["properties"]["use"]
        using["required"].append("use")
        links = []
        for adapter in sorted(self._specs):
            link = self.definitions[f"link-{adapter}"]
            self.definitions[f"link-{adapter}-used"] = link | {"required": ["adapter"]}
            links.append({"$ref": f"#/$defs/link-{adapter}-used"})
        using["properties"]["links"]["additionalProperties"] = {"anyOf": [*links, self._copy()]}
        return {"anyOf": [plain, using]}

    def _copy(self) -> dict[str, Any]:
        self.definitions["link-copy"] = {
            "type": "object",
            "description": "The keys of another link of this carrier, and what differs.",
            "required": ["same_as"],
        }
        return {"$ref": "#/$defs/link-copy"}


def _word(type_: Type) -> dict[str, Any]:
    form = type_.form
    if form is Secret:
        return {
            "type": "object",
            "description": "Where the secret is; never the secret itself.",
            "properties": {source: {"type": "string"} for source in ("env", "file", "credential")},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }
    if form is Rate:
        return {"type": "string", "pattern": KINDS["rate"].pattern, "examples": [KINDS["rate"].example]}
    if form is bool:
        return {"enum": [True, False, "yes", "no", "on", "off"]}
    if form is int or form is float:
        bounds = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
        return {"type": "integer" if form is int else "number", **_bounds(type_, bounds)}
    if words := _words(type_):
        return {"enum": words}
    bounds = {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
    return {"type": _SCALAR, **_bounds(type_, bounds)}


def _bounds(type_: Type, names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: type_.bounds[theirs] for ours, theirs in names.items() if theirs in type_.bounds}


def _words(type_: Type) -> list[str]:
    """The words that an enumeration allows; none for other types."""
    if type_.form is Literal:
        return [str(word) for word in type_.words]
    if isinstance(type_.form, type) and issubclass(type_.form, enum.Enum):
        return [token(member) for member in type_.form]
    return []


def _doors(specs: Mapping[str, Adapter]) -> list[tuple[str, AdapterDoor]]:
    """The adapters that have a door, by name."""
    return [(name, door) for name in sorted(specs) if (door := specs[name].listener) is not None]


def _is_mapping(type_: Type) -> bool:
    return type_.form is dict or type_.struct is not None


# ---------------------------------------------------------------------------------------------- for people

_INTRODUCTION = f"""\
<!-- Printed from gateway/settings/types.py by gateway.settings.reference; do not edit. -->

# Settings

What a settings file of version {__version__} may say, key by key. How to write one, step by step:
[docs/howto/settings.md](../howto/settings.md).

Every value is read as text and converted by the type in the table: `0123456` stays a pin, `+1555` keeps its
plus, `NO` is a country; nothing needs quotes but what YAML itself would misread (a value with `: ` or ` #`
in it, or one that begins with one of ``[ ] {{ }} , & * ! | > % @ ` " ' #``).

| type | written |
|---|---|
| duration | `500ms`, `90s`, `5m`, `1h30m`, `7d`, `1y`, or a plain number of seconds |
| size | `64KiB`, `256MiB`, `2GiB`, or a plain number of bytes |
| rate | `20/s`, `60/min`, `5/h`, `100/d` |
| name | letters, digits, `-` and `_`, at most 64 |
| zone | a time zone such as `Europe/Paris` |
| network | `10.1.7.0/24`, `2001:db8::/32` |
| endpoint | `host:port`, `[2001:db8::1]:444` |
| listen | `address:port` of this machine |
| url | `https://pager.example.org` |
| store | `sqlite:/var/lib/gateway/gateway.db` |
| digest | 64 hexadecimal digits |
| pattern | a regular expression without repetitions inside repetitions, `[0-9]{{7}}` |
| code | up to 20 digits |
| form | text with {", ".join(f"`{{{name}}}`" for name in PLACEHOLDERS)} |
| together | `pager`, or `pager + mobile` for both at the same time |
| glob | words in which `*` stands for anything; capitals do not matter |
| window | `Sun 02:00-02:30`, `Mon-Fri 01:00-02:00`, `02:00-02:30` (daily), `first Sun 02:00-04:00` |
| | (also `last`), `2026-12-24 22:00-02:00`; what ends earlier than it begins ends on the next day |
| secret | `{{env: NAME}}`, `{{file: path}}` or `{{credential: name}}` (systemd); never the secret itself |
| yes or no | `true`, `yes`, `on`, `false`, `no`, `off` |
| none | `none`, where a setting may be absent |
| list of … | `[a, b]`, or `a` alone |
"""


def reference(specs: Mapping[str, Adapter]) -> str:
    """The reference page, in Markdown: every key with type, default, range and description."""
    parts = [_INTRODUCTION, *_sections(Settings, "", specs)]
    parts.append(_classes())
    parts.append(_later())
    return "\n".join(parts)


def _sections(struct: Any, path: str, specs: Mapping[str, Adapter]) -> Iterator[str]:
    """The table of *struct*, then those of the mappings in it."""
    fields = fields_of(struct)
    if struct is ClassSettings:  # each has a default by class, in the table of _classes
        fields = tuple(msgspec.structs.replace(field, default=()) for field in fields)
    yield f"## {f'`{path}`' if path else 'Sections'}\n\n{_table(fields)}"
    if struct is LinkSettings:
        for name in sorted(specs):
            yield f"## `{path}` with `adapter: {name}`\n\n{_table(fields_of(specs[name].settings))}"
    if struct is Listen:
        for name, door in _doors(specs):
            yield f"## `{path}.{name}`\n\n{_table(fields_of(door.settings))}"
    for field in fields_of(struct):
        inner = f"{path}.{field.name}" if path else field.name
        type_ = field.type
        while type_.form is dict and type_.item is not None:
            inner, type_ = f"{inner}.<{_key(type_)}>", type_.item
        if type_.struct:
            yield from _sections(type_.struct, inner, specs)


def _key(type_: Type) -> str:
    return "class" if type_.key is not None and type_.key.form is MessageClass else "name"


def _table(fields: tuple[Field, ...]) -> str:
    rows = ["| key | type | default | range | description |", "|---|---|---|---|---|"]
    for field in fields:
        default = _default(field)
        cells = (f"`{field.name}`", _type(field.type), default, _range(field.type), field.description)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _default(field: Field) -> str:
    if field.default is NOTHING:
        return "**required**"
    if _is_mapping(field.type) or field.default == ():
        return ""
    return f"`{show(field.default, field.type)}`"


def _type(type_: Type) -> str:
    if type_.kind:
        shown = type_.kind
    elif type_.form is dict and type_.item is not None:
        shown = f"{_type(type_.item)} by {_key(type_)}"
    elif type_.form is tuple and type_.item is not None:
        shown = f"list of {_type(type_.item)}"
    elif words := _words(type_):
        shown = " ".join(f"`{word}`" for word in words)
    elif type_.struct:
        shown = "mapping"
    else:
        names = {str: "text", int: "whole number", float: "number", bool: "yes or no"}
        shown = names.get(type_.form) or type_.form.__name__.lower()
    return f"{shown}, or none" if type_.optional else shown


_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _range(type_: Type) -> str:
    said = [
        f"{sign} {show(type_.bounds[bound], type_)}"
        for bound, sign in _SIGNS.items()
        if bound in type_.bounds and not (bound == "ge" and type_.kind and type_.bounds[bound] == 0)
    ]
    unit = "" if type_.form in (tuple, dict) else " characters"
    if "min_length" in type_.bounds:
        said.append(f"at least {type_.bounds['min_length']}{unit}")
    if "max_length" in type_.bounds:
        said.append(f"at most {type_.bounds['max_length']}{unit}")
    return ", ".join(said)


def _classes() -> str:
    rows = [
        "## Defaults of `classes`\n",
        "| key | " + " | ".join(cls.token for cls in CLASSES) + " |",
        "|---|" + "---|" * len(CLASSES),
    ]
    for field in fields_of(ClassSettings):
        shown = (show(getattr(cls, field.name), field.type) for cls in CLASSES.values())
        rows.append(f"| `{field.name}` | " + " | ".join(f"`{value}`" for value in shown) + " |")
    return "\n".join(rows) + "\n"


def _later() -> str:
    keys = ", ".join(f"`{key}`" for key in sorted(set().union(*LATER.values())))
    return f"## Not in this version\n\n{keys}: whoever writes one is told so.\n"
