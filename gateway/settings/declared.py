"""What the declarations say: the type, bounds, kind and description of every field, in one form.

``Annotated[int | None, Meta(ge=1, description="…")]`` and the kinds of settings.types become a ``Type``,
which the conversion, the JSON Schema and the reference page walk.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Meta

from gateway.settings.types import COMPUTED, Rate, Secret

NOTHING = msgspec.UNSET


class Type(msgspec.Struct, frozen=True, kw_only=True):
    """A declared type.

    *form* is str, int, float, bool, tuple, dict, Literal, or the class itself of an enumeration, of a
    Struct, of Secret and of Rate. *item* is what a tuple holds or a dict's values are, *key* the dict's
    keys, *words* what a Literal allows. A *kind* (see gateway.settings.kinds) reads the whole value from
    one text, whatever the form.
    """

    form: Any
    optional: bool = False
    kind: str | None = None
    bounds: dict[str, Any] = {}
    item: Type | None = None
    key: Type | None = None
    words: tuple[Any, ...] = ()

    @property
    def struct(self) -> type[msgspec.Struct] | None:
        """The Struct whose fields are keys of a mapping, if it is one."""
        if isinstance(self.form, type) and issubclass(self.form, msgspec.Struct):
            return None if self.kind or self.form in (Secret, Rate) else self.form
        return None


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a mapping. *attribute*: what the Struct calls it, where its *name* is a word of Python.
    *default* is NOTHING if it must be written."""

    name: str
    attribute: str
    type: Type
    description: str
    default: Any = NOTHING


@lru_cache(maxsize=256)
def fields_of(struct: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The keys that *struct* is written with. Raises TypeError for a type that no file can hold."""
    hints = typing.get_type_hints(struct, include_extras=True)
    found = []
    for field in msgspec.structs.fields(struct):
        if field.name in COMPUTED:
            continue
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        declared, description = _read(hints[field.name])
        found.append(
            Field(
                name=field.encode_name,
                attribute=field.name,
                type=declared,
                description=description,
                default=NOTHING if default is msgspec.NODEFAULT else default,
            )
        )
    return tuple(found)


def token(value: enum.Enum) -> str:
    """The word of the file for a member of an enumeration."""
    return str(getattr(value, "token", value.value))


def _read(hint: Any) -> tuple[Type, str]:
    """*hint* taken apart, and its description."""
    bounds: dict[str, Any] = {}
    kind, optional, description = None, False, ""
    while True:
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            hint, *notes = typing.get_args(hint)
            nearer: dict[str, Any] = {}
            for note in notes:
                if isinstance(note, Meta):
                    nearer |= _bounds(note)
                    kind = (note.extra or {}).get("kind", kind)
                    description = note.description or description
            bounds = nearer | bounds  # what was said further out counts
        elif origin in (typing.Union, types.UnionType):
            members = [member for member in typing.get_args(hint) if member is not types.NoneType]
            if len(members) != 1:
                raise TypeError(f"a setting has one type or none: {hint}")
            optional, hint = True, members[0]
        else:
            break
    made = Type(form=hint, optional=optional, kind=kind, bounds=bounds)
    arguments: Sequence[Any] = typing.get_args(hint)
    if origin is tuple and len(arguments) == 2 and arguments[1] is ...:
        made = msgspec.structs.replace(made, form=tuple, item=_read(arguments[0])[0])
    elif origin is dict:
        made = msgspec.structs.replace(
            made, form=dict, key=_read(arguments[0])[0], item=_read(arguments[1])[0]
        )
    elif origin is Literal:
        made = msgspec.structs.replace(made, form=Literal, words=tuple(arguments))
    elif hint not in (str, int, float, bool) and not (
        isinstance(hint, type) and issubclass(hint, enum.Enum | msgspec.Struct)
    ):
        raise TypeError(f"no file can hold a {hint}")
    return made, description


def _bounds(meta: Meta) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
    return {name: getattr(meta, name) for name in names if getattr(meta, name) is not None}
