"""What a power loss may leave of a folder: a recorded run, replayed on a model of a disk.

The model knows files and the names in one folder. What was written before a file's last sync is on the disk;
of everything since, a power loss keeps whatever it likes: nothing, all, some writes out of order, single
sectors of a write, and behind the old end of a file zeros or somebody else's old bytes. Names made, changed or
removed since the folder's last sync are kept or not, each by chance: a sync of a file does not save its name,
as POSIX has it. A sector is whole, and bytes beside a write stay as they were.
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from shutil import which
from typing import Literal

SECTOR = 512  # bytes that a disk writes as a whole; today's write 4096, so this is the harder case
SAYS = "says"  # the file by which the recorded program says what it has acknowledged; no part of an image
IGNORED = (SAYS, "-shm")  # ends of names; the index of the log is made anew at every start

OPEN, WRITE, TRUNCATE, SYNC, CLOSE, RENAME, UNLINK, ALLOCATE = range(1, 9)
HEAD = struct.Struct("=5q")

How = Literal["dropped", "kept", "torn"]


class NoCompiler(Exception):
    """There is no C compiler, so that no run can be recorded."""


def shim(name: str, folder: Path) -> Path:
    """The library of tests/crash/shim/*name*.c, compiled into *folder*."""
    compiler = which("cc")
    if compiler is None:
        raise NoCompiler("no C compiler (cc): apt install gcc libc6-dev")
    source, made = Path(__file__).parent / "shim" / f"{name}.c", folder / f"{name}.so"
    options = ("-shared", "-fPIC", "-O2", "-o")
    subprocess.run([compiler, *options, made, source, "-lpthread"], check=True)
    return made


@dataclass(frozen=True)
class Call:
    """One call of the recorded program. *length* is what a truncate leaves; *data* a write's bytes or names."""

    what: int
    descriptor: int
    at: int
    length: int
    data: bytes


def read_record(path: Path) -> list[Call]:
    """The calls of a record, in order."""
    calls, record, at = [], path.read_bytes(), 0
    while at < len(record):
        what, descriptor, offset, length, count = HEAD.unpack_from(record, at)
        at += HEAD.size
        calls.append(Call(what, descriptor, offset, length, record[at : at + count]))
        at += count
    return calls


def is_ignored(name: str) -> bool:
    """Whether a file of this name is no part of an image."""
    return name.endswith(IGNORED)


@dataclass
class File:
    """One file, whatever its names: what is on the disk, and what was done to it since."""

    durable: bytes = b""
    pending: list[Call] = field(default_factory=list)

    def sync(self) -> None:
        """Everything so far is on the disk."""
        self.durable = self.content()
        self.pending.clear()

    def content(self) -> bytes:
        """As programs see it."""
        there = bytearray(self.durable)
        for call in self.pending:
            _apply(there, call)
        return bytes(there)

    def torn(self, chance: Random) -> bytes:
        """One of the contents that a power loss may leave."""
        there = bytearray(self.durable)
        likely = chance.choice((0.1, 0.5, 0.9))
        style = chance.choice(("sectors", "writes", "until"))
        garbage = chance.randbytes if chance.random() < 0.25 else bytes
        last = chance.randrange(len(self.pending) + 1)
        end = 0  # of what was written since the file was last cut
        for place, call in enumerate(self.pending):
            end = max(end, call.at + len(call.data)) if call.what == WRITE else end
            tears = style == "sectors" or (style == "until" and place == last)
            if call.what == WRITE and tears:
                for part in _sectors(call):
                    if chance.random() < likely:
                        _apply(there, part, garbage)
            elif place < last if style == "until" else chance.random() < likely:
                _apply(there, call, garbage)
                end = 0 if call.what == TRUNCATE else end
        if chance.random() < 0.5:  # the file has grown although not all that was written there has come
            there += garbage(max(end - len(there), 0))
        return bytes(there)


def _sectors(call: Call) -> Iterator[Call]:
    start, end = call.at, call.at + len(call.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield Call(WRITE, 0, start, 0, call.data[start - call.at : stop - call.at])
        start = stop


def _apply(there: bytearray, call: Call, fill: object = bytes) -> None:
    if call.what == WRITE:
        if call.at > len(there):
            there += fill(call.at - len(there))  # type: ignore[operator]
        there[call.at : call.at + len(call.data)] = call.data
    elif call.what == TRUNCATE and call.length < len(there):
        del there[call.length :]
    else:  # made longer: zeros
        there += bytes(max((call.length if call.what == TRUNCATE else call.at + call.length) - len(there), 0))


@dataclass(frozen=True)
class Named:
    """A change of the folder: *file* got a name, a name got another (*new*), a name went (no *file*)."""

    name: str
    new: str | None = None
    file: File | None = None


class Disk:
    """A folder while a record is replayed; it begins as *files*, all of which are on the disk."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.folder = str(folder)
        self.names = {name: File(content) for name, content in files.items()}
        self.live = dict(self.names)
        self.changes: list[Named] = []
        self.descriptors: dict[int, File | None] = {}  # None: the folder
        self.said = File()

    @property
    def settled(self) -> bool:
        """Whether a power loss now could take nothing."""
        return not self.changes and not any(file.pending for file in self.names.values())

    def replay(self, call: Call) -> None:
        """One call of the record."""
        match call.what:
            case 1:  # OPEN
                self._open(call)
            case 5:  # CLOSE
                self.descriptors.pop(call.descriptor, None)
            case 4:  # SYNC
                file = self.descriptors[call.descriptor]
                if file is None:
                    self.names = dict(self.live)
                    self.changes.clear()
                else:
                    file.sync()
            case 6:  # RENAME
                old, new = (self._name(path) for path in call.data.decode().split("\0"))
                self.live[new] = self.live.pop(old)
                self.changes.append(Named(old, new=new))
            case 7:  # UNLINK
                name = self._name(call.data.decode())
                del self.live[name]
                self.changes.append(Named(name))
            case _:
                file = self.descriptors[call.descriptor]
                assert file is not None
                file.pending.append(call)

    def image(self, how: How, chance: Random) -> dict[str, bytes]:
        """The files of the folder after a power loss at this point."""
        names = dict(self.names)
        likely = chance.choice((0.1, 0.5, 0.9))
        for change in self.changes:
            if how == "dropped" or (how == "torn" and chance.random() > likely):
                continue
            if change.file is not None:
                names[change.name] = change.file
            elif change.new is None:
                names.pop(change.name, None)
            elif change.name in names:
                names[change.new] = names.pop(change.name)
        found = {}
        for name, file in sorted(names.items(), key=lambda item: item[0]):
            if not is_ignored(name):
                found[name] = {
                    "dropped": lambda file=file: file.durable,
                    "kept": lambda file=file: file.content(),
                    "torn": lambda file=file: file.torn(chance),
                }[how]()
        return found

    def _name(self, path: str) -> str:
        return os.path.relpath(path, self.folder)

    def _open(self, call: Call) -> None:
        path = call.data.decode()
        if path == self.folder:
            self.descriptors[call.descriptor] = None
            return
        name = self._name(path)
        file = self.said if name == SAYS else self.live.get(name)
        if file is None:
            file = self.live[name] = File()
            self.changes.append(Named(name, file=file))
        if call.at:  # it was emptied
            file.pending.append(Call(TRUNCATE, 0, 0, 0, b""))
        self.descriptors[call.descriptor] = file


def files_of(folder: Path) -> dict[str, bytes]:
    """The files there that belong to an image."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and not is_ignored(path.name)
    }


def put_files(folder: Path, files: dict[str, bytes]) -> None:
    """Make *folder* hold exactly *files*."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def points(calls: Sequence[Call], files: dict[str, bytes], folder: Path) -> Iterator[tuple[int, Disk]]:
    """The disk before each call of a record, and after the last."""
    disk = Disk(folder, files)
    for place, call in enumerate(calls):
        yield place, disk
        disk.replay(call)
    yield len(calls), disk
