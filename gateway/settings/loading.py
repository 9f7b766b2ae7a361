"""From files to ``Settings``: read, include, convert, check, and say everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from gateway import __version__
from gateway.model import Instant
from gateway.settings.catalogue import NOTHING_LISTED, Catalogue
from gateway.settings.certificate import with_certificate
from gateway.settings.complaints import Complaints, Mark, quoted
from gateway.settings.convert import Converter
from gateway.settings.crosscheck import crosscheck
from gateway.settings.document import (
    MAX_BYTES,
    Budget,
    Entries,
    Entry,
    Items,
    Scalar,
    read_document,
    twice,
)
from gateway.settings.types import Adapter, Settings
from gateway.settings.uses import InUse, check_uses, never_used

MAX_FILES = 1000  # of one load
MAX_INCLUDES = 8  # files that include one another in a row

Read = Callable[[Path], bytes]
Glob = Callable[[Path], Sequence[Path]]
Mode = Callable[[Path], int]


def _none_found(pattern: Path) -> Sequence[Path]:
    return ()


def _private(path: Path) -> int:
    return 0o600


def load(
    text: str,
    specs: Mapping[str, Adapter],
    *,
    file: str,
    read: Read,
    environ: Mapping[str, str],
    glob: Glob = _none_found,
    mode: Mode = _private,
    generation: int = 1,
    now: Instant | None = None,
    catalogue: Catalogue = NOTHING_LISTED,
    in_use: InUse = never_used,
) -> Settings:
    """The settings that *text*, which stands in *file*, says; a function of its arguments.

    Included files and secrets are read by *read*, which raises OSError where there is none; *glob* gives
    the files that match a pattern, *mode* a file's permissions (for the warning about secrets
    that everybody may read). Relative paths start at the file in which they are written. With *now* (of
    the wall clock) certificates that have ended are mistakes too, and so is what has ended of *catalogue*,
    where *in_use* does not say that it was in use before.

    Raises SettingsError with every mistake of all files, the first 50 by file and line and the number of
    the rest; what does not stop the start is in ``Settings.warnings``.
    """
    complaints = Complaints()
    files = _Files(complaints, read, glob)
    top = files.read(text, Path(file))
    if top is None:
        complaints.raise_if_any()
        raise AssertionError("a file that cannot be read is a mistake")
    converter = Converter(complaints, specs, read, environ, mode, __version__, catalogue)
    base = None if files.whole else Settings(carriers={})  # a section may be in a file that was not read
    settings: Settings = converter.struct(top, Settings, (), Mark(file, 1, 1), base=base)
    if files.whole:
        crosscheck(settings, top, complaints, specs)
        check_uses(settings, top, complaints, catalogue, now, in_use)
    settings = with_certificate(settings, top, complaints, read, now)
    complaints.raise_if_any()
    return msgspec.structs.replace(
        settings,
        include=tuple(files.included),
        generation=generation,
        warnings=complaints.warnings(),
    )


def load_file(
    path: Path,
    specs: Mapping[str, Adapter],
    *,
    read: Read,
    environ: Mapping[str, str],
    glob: Glob,
    mode: Mode,
    generation: int = 1,
    now: Instant | None = None,
    catalogue: Catalogue = NOTHING_LISTED,
    in_use: InUse = never_used,
) -> Settings:
    """The settings in the file at *path*; as ``load``. A file that cannot be read is a SettingsError too."""
    complaints = Complaints()
    text = _text_of(path, read, complaints, Mark(str(path), 1, 1))
    complaints.raise_if_any()
    assert text is not None
    return load(
        text,
        specs,
        file=str(path),
        read=read,
        environ=environ,
        glob=glob,
        mode=mode,
        generation=generation,
        now=now,
        catalogue=catalogue,
        in_use=in_use,
    )


def _text_of(path: Path, read: Read, complaints: Complaints, at: Mark) -> str | None:
    """The text of a file, or None after a complaint *at* the place that asked for it."""
    where = ("include",) if at.file != str(path) else ()
    try:
        data = read(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a file name"
        what = f"{quoted(str(path))} cannot be read ({reason})."
        complaints.mistake(at, where, what, "Write the path of a file that the gateway may read.")
        return None
    if len(data) > MAX_BYTES:
        mark = Mark(str(path), 1, 1)
        complaints.mistake(mark, (), "is larger than 5 MiB.", "Split it over files that it includes.")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        mark = Mark(str(path), before.count("\n") + 1, len(before) - before.rfind("\n"))
        complaints.mistake(mark, (), "is not UTF-8 text here.", "Save the file as UTF-8.")
        return None


class _Files:
    """The files of one load, put together to one tree."""

    def __init__(self, complaints: Complaints, read: Read, glob: Glob) -> None:
        self._complaints = complaints
        self._read = read
        self._glob = glob
        self._budget = Budget()
        self._seen: set[Path] = set()
        self.included: list[str] = []
        self.whole = True  # False once a file could not be read

    def read(self, text: str, path: Path, depth: int = 0) -> Entries | None:
        """The tree of *text* and of all that it includes, in this order."""
        self._seen.add(path)
        top = read_document(text, str(path), self._complaints, self._budget)
        if top is None:
            return None
        include = top.entries.pop("include", None)
        whole = Entries(top.mark, {key: _own_copy(entry) for key, entry in top.entries.items()})
        for mark, other in self._wanted(include, path):
            more = self._text(mark, other, depth)
            tree = None if more is None else self.read(more, other, depth + 1)
            if tree is None:
                self.whole = False
            else:
                self._merge(whole, tree)
        return whole

    def _wanted(self, include: Entry | None, path: Path) -> list[tuple[Mark, Path]]:
        """The files that ``include`` means, each with the place that names it."""
        if include is None:
            return []
        nodes = include.node.items if isinstance(include.node, Items) else [include.node]
        wanted = []
        for node in nodes:
            if not isinstance(node, Scalar) or not node.text or "\0" in node.text:
                what = "is not the name of a file."
                self._complaints.mistake(node.mark, ("include",), what, "Write [people/*.yaml].")
            elif any(c in node.text for c in "*?["):
                found = sorted(self._glob(path.parent / node.text))
                if not found:
                    what = f"{quoted(node.text)} matches no file."
                    self._complaints.warning(node.mark, ("include",), what, "Remove it, or write the file.")
                wanted += [(node.mark, one) for one in found if one not in self._seen]
            else:
                wanted.append((node.mark, path.parent / node.text))
        return wanted

    def _text(self, at: Mark, path: Path, depth: int) -> str | None:
        if path in self._seen:
            what = f"{quoted(str(path))} is included already."
            self._complaints.mistake(at, ("include",), what, "Include each file once.")
            return None
        if depth >= MAX_INCLUDES:
            what = f"more than {MAX_INCLUDES} files include one another."
            self._complaints.mistake(at, ("include",), what, "Include it from the first file.")
            return None
        if len(self._seen) >= MAX_FILES:
            what = f"there are more than {MAX_FILES} files."
            self._complaints.mistake(at, ("include",), what, "Put several into one.")
            return None
        self._seen.add(path)
        self.included.append(str(path))
        return _text_of(path, self._read, self._complaints, at)

    def _merge(self, whole: Entries, more: Entries) -> None:
        """Add the sections of another file; of a section that stands in both, its entries."""
        for section, entry in more.entries.items():
            here = whole.entries.get(section)
            if here is None:
                whole.entries[section] = _own_copy(entry)
            elif isinstance(here.node, Entries) and isinstance(entry.node, Entries):
                for key, inner in entry.node.entries.items():
                    if key in here.node.entries:
                        first = here.node.entries[key].mark
                        twice(self._complaints, (section, key), inner.mark, first)
                    else:
                        here.node.entries[key] = inner
            else:
                twice(self._complaints, (section,), entry.mark, here.mark)


def _own_copy(entry: Entry) -> Entry:
    """*entry* with a mapping that may grow (an alias may share the one it came with)."""
    if isinstance(entry.node, Entries):
        return Entry(entry.mark, Entries(entry.node.mark, dict(entry.node.entries)))
    return entry
