"""From marked nodes to declared values, field by field, with every mistake on the way.

Each scalar is text until the declared type reads it. Where a value is wrong a stand-in of the right type
takes its place, so that the rest can be checked too; no stand-in leaves ``load``, because then there was a
mistake.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any, Literal

import msgspec

from gateway.settings.catalogue import NOTHING_LISTED, Catalogue
from gateway.settings.complaints import Complaints, Mark, Path, quoted
from gateway.settings.declared import NOTHING, Field, Type, fields_of, token
from gateway.settings.document import MAX_ALIASED, Entries, Entry, Items, Node, Scalar
from gateway.settings.kinds import KINDS, Unfit, number, show_rate, truth, whole
from gateway.settings.types import LATER, Adapter, Carrier, Checking, LinkSettings, Listen, Rate, Secret

MAX_SECRET = 64 * 1024  # bytes of a file that holds a secret
_NONE = ("none", "null", "~")
_READ: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: whole,
    float: number,
    bool: truth,
    Rate: KINDS["rate"].read,
}


def show(value: Any, type_: Type) -> str:
    """*value* as a person would write it; for messages, the schema and the reference page."""
    if value is None:
        return "none"
    if type_.kind:
        return KINDS[type_.kind].show(value)
    if isinstance(value, Rate):
        return show_rate(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, enum.Enum):
        return token(value)
    if isinstance(value, tuple) and type_.item is not None:
        return "[" + ", ".join(show(item, type_.item) for item in value) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


class Converter:
    """One conversion. *specs* are the adapters, *read* and *environ* where secrets come from, *mode* the
    permissions of a file."""

    def __init__(
        self,
        complaints: Complaints,
        specs: Mapping[str, Adapter],
        read: Callable[[FilePath], bytes],
        environ: Mapping[str, str],
        mode: Callable[[FilePath], int],
        version: str,
        catalogue: Catalogue = NOTHING_LISTED,
    ) -> None:
        self._complaints = complaints
        self._specs = specs
        self._read = read
        self._environ = environ
        self._mode = mode
        self._version = version
        self._catalogue = catalogue
        self._copied = MAX_ALIASED  # what `same_as` may still add

    def struct(
        self,
        entries: Entries,
        struct: type[msgspec.Struct],
        path: Path,
        at: Mark,
        *,
        base: msgspec.Struct | None = None,
        also: tuple[str, ...] | None = (),
    ) -> Any:
        """A *struct* from *entries*; what is not written comes from *base*, then from the declaration. *also*
        are keys that somebody else reads; None: nobody knows which those are."""
        fields = fields_of(struct)
        values = {}
        for field in fields:
            inner = (*path, field.name)
            default = field.default if base is None else getattr(base, field.attribute, field.default)
            entry = entries.entries.get(field.name)
            if entry is not None:
                values[field.attribute] = self.value(entry, field.type, inner, default)
            elif default is NOTHING:
                self._complaints.mistake(at, inner, "is missing.", f"Write {_sample(field)}.")
                values[field.attribute] = _stand_in(field.type)
            else:
                values[field.attribute] = default
        known = {field.name for field in fields}
        if also is not None:
            known.update(also)
            for key, entry in entries.entries.items():
                if key not in known:
                    self._unknown(entry.mark, (*path, key), known, LATER.get(struct, frozenset()))
        return struct(**values)

    def value(self, entry: Entry, type_: Type, path: Path, default: Any = NOTHING) -> Any:
        """What *entry* says, as *type_* reads it."""
        node = entry.node
        if type_.optional and isinstance(node, Scalar) and node.bare and node.text.lower() in _NONE:
            return None
        if type_.kind:
            return self._scalar(node, type_, path, default)
        if type_.form is Secret:
            return self._secret(node, path)
        if type_.form is tuple:
            return self._tuple(entry, type_, path)
        if type_.form is dict or type_.struct:
            if isinstance(node, Scalar) and node.bare and not node.text:  # `people:` with nothing below yet
                node = Entries(node.mark, {})
            if not isinstance(node, Entries):
                self._complaints.mistake(node.mark, path, "is not a mapping.", "Write `key: value` below it.")
                return _stand_in(type_)
            if type_.struct is LinkSettings:
                return self._link(node, path, entry.mark)
            if type_.struct is Listen:
                return self._listen(node, path, entry.mark)
            if type_.struct is Carrier:
                node = self._with_listing(node)
            if type_.struct:
                base = default if isinstance(default, type_.struct) else None
                return self.struct(node, type_.struct, path, entry.mark, base=base)
            return self._dict(node, type_, path, default)
        return self._scalar(node, type_, path, default)

    def _scalar(self, node: Node, type_: Type, path: Path, default: Any) -> Any:
        if not isinstance(node, Scalar):
            word = "a list" if isinstance(node, Items) else "a mapping"
            remedy = f"Write {_example(type_, default)}."
            self._complaints.mistake(node.mark, path, f"is {word}, not one value.", remedy)
            return _stand_in(type_)
        if node.bare and not node.text:
            remedy = f"Write {_example(type_, default)}, or remove the line."
            self._complaints.mistake(node.mark, path, "has no value.", remedy)
            return _stand_in(type_)
        try:
            value = self._word(node.text, type_, default)
            _within(value, type_)
        except Unfit as unfit:
            what = f"{quoted(node.text)} {unfit.what}" if unfit.shown else unfit.what
            self._complaints.mistake(node.mark, path, what, unfit.remedy)
            return _stand_in(type_)
        return value

    def _word(self, text: str, type_: Type, default: Any = NOTHING) -> Any:
        """One scalar's *text* as *type_*. Raises Unfit; for a number, with *default* as the example."""
        if type_.kind:
            return KINDS[type_.kind].read(text)
        if (read := _READ.get(type_.form)) is not None:
            try:
                return read(text)
            except Unfit as unfit:
                if type_.form in (int, float) and default is not NOTHING and default is not None:
                    raise Unfit(unfit.what, f"Write {show(default, type_)}.") from None
                raise
        if type_.form is Literal:
            words = {str(word): word for word in type_.words}
        else:
            words = {token(member): member for member in type_.form}
        if text in words:
            return words[text]
        near = self._complaints.meant(text, words)
        raise Unfit("is not known here.", near or f"Write {_choice(words)}.")

    def _tuple(self, entry: Entry, type_: Type, path: Path) -> tuple[Any, ...]:
        assert type_.item is not None
        match entry.node:
            case Items(items=nodes):
                made = tuple(
                    self.value(Entry(node.mark, node), type_.item, (*path, f"[{n}]"))
                    for n, node in enumerate(nodes)
                )
            case Scalar(text=text, bare=bare) if text or not bare:  # a list of one needs no brackets
                made = (self.value(entry, type_.item, path),)
            case other:
                self._complaints.mistake(other.mark, path, "is not a list.", "Write [first, second].")
                return ()
        self._length(made, type_, path, entry.node.mark)
        return made

    def _dict(self, node: Entries, type_: Type, path: Path, default: Any) -> dict[Any, Any]:
        """A mapping; entries of *default* that are not written stay, and those that are keep its fields."""
        assert type_.key is not None
        assert type_.item is not None
        made = dict(default) if isinstance(default, dict) else {}
        if type_.item.struct is LinkSettings:
            node = self._with_copies(node, path)
        for word, entry in node.entries.items():
            inner = (*path, word)
            try:
                key = self._word(word, type_.key)
            except Unfit as unfit:
                what = f"{quoted(word)} {unfit.what}"
                self._complaints.mistake(entry.mark, inner, what, unfit.remedy)
                if type_.key.form is not str:
                    continue
                key = word
            made[key] = self.value(entry, type_.item, inner, made.get(key, NOTHING))
        self._length(made, type_, path, node.mark)
        return made

    def _length(self, made: Any, type_: Type, path: Path, mark: Mark) -> None:
        least, most = type_.bounds.get("min_length", 0), type_.bounds.get("max_length", 1 << 62)
        if len(made) < least:
            remedy = "Write at least one." if least == 1 else f"Write at least {least}."
            self._complaints.mistake(mark, path, "is empty." if not made else "is too short.", remedy)
        if len(made) > most:
            self._complaints.mistake(mark, path, "is too long.", f"Write at most {most}.")

    def _with_listing(self, node: Entries) -> Entries:
        """A carrier, its device and links completed from the listing that it uses, if there is that one."""
        use = node.entries.get("use")
        listing = self._catalogue.find(use.node.text) if use and isinstance(use.node, Scalar) else None
        if listing is None:
            return node
        made = dict(node.entries)
        if (device := listing.own.entries.get("device")) is not None:
            made["device"] = _under(made.get("device", device), device.node)
        links = made.get("links")
        if links is not None and isinstance(links.node, Entries):
            completed = {}
            for name, link in links.node.entries.items():
                adapter = link.node.entries.get("adapter") if isinstance(link.node, Entries) else None
                word = adapter.node.text if adapter and isinstance(adapter.node, Scalar) else ""
                way = listing.protocols.get(word)  # type: ignore[call-overload]  # any adapter's name
                completed[name] = link if way is None else _under(link, way.own)
            made["links"] = Entry(links.mark, Entries(links.node.mark, completed))
        return Entries(node.mark, made)

    def _with_copies(self, node: Entries, path: Path) -> Entries:
        """The links of a carrier, those with ``same_as`` completed from the link that they name."""
        links = {}
        whole = [
            name
            for name, entry in node.entries.items()
            if isinstance(entry.node, Entries) and "same_as" not in entry.node.entries
        ]
        for name, entry in node.entries.items():
            links[name] = entry
            if not isinstance(entry.node, Entries) or (same := entry.node.entries.get("same_as")) is None:
                continue
            word = same.node.text if isinstance(same.node, Scalar) else ""
            found = node.entries.get(word)
            original = found.node.entries if found and isinstance(found.node, Entries) else {}
            what = ""
            if word == name or "same_as" in original:
                ring = _ring(node, name) if word != name else ""
                what = f"goes in a circle: {ring}." if ring else f"{quoted(word)} copies a link itself."
            elif not original:
                what = f"this carrier has no link {quoted(word)}."
            elif (size := sum(_size(one.node) for one in original.values())) > self._copied:
                what = "too much is copied."
            if what:
                remedy = f"Write {_choice(whole[:10])}." if whole else "Write the keys out."
                self._complaints.mistake(same.node.mark, (*path, name, "same_as"), what, remedy)
                del links[name]
                continue
            self._copied -= size
            links[name] = Entry(entry.mark, Entries(entry.node.mark, original | entry.node.entries))
        return Entries(node.mark, links)

    def _link(self, node: Entries, path: Path, at: Mark) -> LinkSettings:
        """A link: its common keys, and the adapter's own from the same mapping."""
        adapter = node.entries.get("adapter")
        name = adapter.node.text if adapter and isinstance(adapter.node, Scalar) else None
        spec = None if name is None else self._specs.get(name)
        if spec is None:
            if adapter is not None and name is not None:
                there = f"Version {self._version} has: {', '.join(sorted(self._specs)) or 'none'}."
                what = f"there is no adapter {quoted(name)}."
                self._complaints.mistake(adapter.node.mark, (*path, "adapter"), what, there)
            link: LinkSettings = self.struct(node, LinkSettings, path, at, also=None)
            return link
        common = {field.name for field in fields_of(LinkSettings)}
        own = tuple(field.name for field in fields_of(spec.settings))
        if both := common.intersection(own):
            raise TypeError(f"adapter {name} declares keys that every link has: {sorted(both)}")
        link = self.struct(node, LinkSettings, path, at, also=own)
        settings = self.struct(
            Entries(node.mark, {key: entry for key, entry in node.entries.items() if key in own}),
            spec.settings,
            path,
            at,
        )
        self._check(settings, node, path, at)
        way = link.path if "path" in node.entries else spec.path(settings)
        return msgspec.structs.replace(link, own=settings, path=way)

    def _listen(self, node: Entries, path: Path, at: Mark) -> Listen:
        """The doors: the gateway's own keys, and the sections of adapters that have one."""
        doors = {name: spec.listener for name, spec in self._specs.items() if spec.listener is not None}
        listen: Listen = self.struct(node, Listen, path, at, also=tuple(doors))
        own = {}
        for name, door in doors.items():
            if (entry := node.entries.get(name)) is None:
                continue
            settings = self.value(entry, Type(form=door.settings, optional=True), (*path, name))
            if settings is not None:
                written = entry.node if isinstance(entry.node, Entries) else Entries(entry.node.mark, {})
                self._check(settings, written, (*path, name), entry.mark)
                own[name] = settings
        return msgspec.structs.replace(listen, own=own)

    def _check(self, settings: msgspec.Struct, node: Entries, path: Path, at: Mark) -> None:
        """What an adapter itself has against its *settings*, read from *node*."""
        if not isinstance(settings, Checking) or not self._complaints.sound(*path):
            return
        for objection in settings.check():
            entry = node.entries.get(objection.key)
            mark = at if entry is None else entry.node.mark
            say = self._complaints.warning if objection.warning else self._complaints.mistake
            say(mark, (*path, objection.key), objection.what, objection.remedy)

    def _unknown(self, mark: Mark, path: Path, known: set[str], later: frozenset[str]) -> None:
        if path[-1] in later:
            what = f"is not in version {self._version} of the gateway."
            self._complaints.mistake(mark, path, what, "Remove it, or use a version that has it.")
            return
        remedy = self._complaints.meant(path[-1], known) or f"Here may stand {', '.join(sorted(known))}."
        self._complaints.mistake(mark, path, "is not a setting.", remedy)

    def _secret(self, node: Node, path: Path) -> Secret:
        """The value that a reference names. Nothing that may be the value itself enters a message."""
        stand_in = Secret("")
        forms = "Write {env: NAME}, {file: path} or {credential: name}."
        if isinstance(node, Scalar):
            what = "a secret may not stand in the file." if node.text else "has no value."
            self._complaints.mistake(node.mark, path, what, forms)
            return stand_in
        if not isinstance(node, Entries) or len(node.entries) != 1:
            self._complaints.mistake(node.mark, path, "is not one reference to a secret.", forms)
            return stand_in
        ((source, entry),) = node.entries.items()
        name = entry.node.text if isinstance(entry.node, Scalar) else ""
        mark = entry.node.mark
        try:
            match source:
                case "env":
                    value = self._secret_of_environment(name)
                case "file" if name:
                    value = self._secret_of_file(FilePath(mark.file).parent / name, mark, path)
                case "credential":
                    value = self._secret_of_systemd(name, mark, path)
                case _:
                    raise Unfit("is not a reference to a secret.", forms)
            if not value:
                raise Unfit("the secret is empty.", "Put the value where the reference points.")
        except Unfit as unfit:
            self._complaints.mistake(mark, path, unfit.what, unfit.remedy)
            return stand_in
        return Secret(value)

    def _secret_of_environment(self, name: str) -> str:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
            raise Unfit("this is not the name of an environment variable.", "Write {env: SPOK_PASSWORD}.")
        if name not in self._environ:
            raise Unfit(f"the environment variable {name} is not set.", "Set it before the start.")
        return self._environ[name]

    def _secret_of_systemd(self, name: str, mark: Mark, path: Path) -> str:
        if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise Unfit("this is not the name of a credential.", "Write {credential: spok}.")
        folder = self._environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            remedy = "Start it by systemd with LoadCredential=, or set CREDENTIALS_DIRECTORY."
            raise Unfit(f"credential {name} cannot be read: there is no folder of credentials.", remedy)
        return self._secret_of_file(FilePath(folder) / name, mark, path)

    def _secret_of_file(self, file: FilePath, mark: Mark, path: Path) -> str:
        shown = quoted(str(file))
        try:
            data = self._read(file)
            mode = self._mode(file)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a file name"
            remedy = "Write the value into it, readable by the gateway alone."
            raise Unfit(f"the file {shown} cannot be read ({reason}).", remedy) from None
        if mode & 0o006:
            self._complaints.warning(
                mark, path, f"everybody on this machine may read {shown}.", "Run chmod o= on it."
            )
        if len(data) > MAX_SECRET:
            raise Unfit(f"the file {shown} is larger than 64 KiB.", "Put the value alone into it.")
        try:
            value = data.decode()
        except UnicodeDecodeError:
            raise Unfit(f"the file {shown} is not UTF-8 text.", "Put the value alone into it.") from None
        return value.removesuffix("\n").removesuffix("\r")


def _ring(links: Entries, name: str) -> str:
    """``a → b → a`` if following ``same_as`` from *name* comes back to it."""
    way = [name]
    while len(way) <= len(links.entries):
        entry = links.entries.get(way[-1])
        same = entry.node.entries.get("same_as") if entry and isinstance(entry.node, Entries) else None
        if same is None or not isinstance(same.node, Scalar):
            return ""
        way.append(same.node.text)
        if same.node.text == name:
            return " → ".join(way)
    return ""


def _under(written: Entry, more: Node) -> Entry:
    """*written* with the keys of *more* that it has not."""
    if not isinstance(written.node, Entries) or not isinstance(more, Entries):
        return written
    return Entry(written.mark, Entries(written.node.mark, more.entries | written.node.entries))


def _size(node: Node) -> int:
    """How many values *node* has, itself included."""
    match node:
        case Items(items=items):
            return 1 + sum(map(_size, items))
        case Entries(entries=entries):
            return 1 + sum(_size(entry.node) for entry in entries.values())
        case _:
            return 1


def _within(value: Any, type_: Type) -> None:
    """Raises Unfit for a value outside the declared bounds."""
    for bound, limit in type_.bounds.items():
        match bound:
            case "ge" if value < limit:
                raise Unfit("is too small.", f"Write at least {show(limit, type_)}.")
            case "gt" if value <= limit:
                raise Unfit("is too small.", f"Write more than {show(limit, type_)}.")
            case "le" if value > limit:
                raise Unfit("is too large.", f"Write at most {show(limit, type_)}.")
            case "lt" if value >= limit:
                raise Unfit("is too large.", f"Write less than {show(limit, type_)}.")
            case "min_length" if len(value) < limit:
                raise Unfit("is too short.", f"Write at least {limit} characters.")
            case "max_length" if len(value) > limit:
                raise Unfit("is too long.", f"Write at most {limit} characters.")
            case "pattern" if not re.search(limit, value):
                raise Unfit("has the wrong form.", f"It must match {limit}")


def _choice(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _example(type_: Type, default: Any = NOTHING) -> str:
    """A value that could be written."""
    if default is not NOTHING and default is not None and default != () and not isinstance(default, dict):
        return show(default, type_)
    if type_.kind:
        return KINDS[type_.kind].example
    if type_.form is Literal:
        return _choice(map(str, type_.words))
    if type_.form is Secret:
        return "{env: NAME}"
    if type_.form is Rate:
        return KINDS["rate"].example
    if isinstance(type_.form, type) and issubclass(type_.form, enum.Enum):
        return _choice(map(token, type_.form))
    return {int: "10", float: "0.25", bool: "true", str: "text"}.get(type_.form, "")


def _sample(field: Field) -> str:
    if field.type.form is dict or field.type.struct:
        return f"`{field.name}:` and its entries below"
    if field.type.form is tuple:
        return f"`{field.name}: […]`"
    return f"`{field.name}: {_example(field.type) if field.type.form is not str or field.type.kind else '…'}`"


def _stand_in(type_: Type) -> Any:
    """A value of the right type in place of one that was wrong."""
    if type_.optional:
        return None
    if type_.kind == "together" or type_.form is tuple:
        return ()
    if type_.kind == "window":
        return KINDS[type_.kind].read(KINDS[type_.kind].example)
    if type_.form is Secret:
        return Secret("")
    if type_.form is Rate:
        return Rate(count=1.0, per=1.0)
    if type_.form is Literal:
        return type_.words[0]
    if type_.struct:
        return type_.struct(
            **{
                field.attribute: _stand_in(field.type) if field.default is NOTHING else field.default
                for field in fields_of(type_.struct)
            }
        )
    if isinstance(type_.form, type) and issubclass(type_.form, enum.Enum):
        return next(iter(type_.form))
    return type_.form()
