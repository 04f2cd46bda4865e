"""A file system for SQLite whose power can be cut: what was not synced may be gone.

Real files hold what was synced. Writes go to a copy in memory, which all readers see,
until a sync carries them over. After the cut, of what was not synced any sectors of
512 bytes may have reached the disk, in any order; so may a name that was made, and
one that was removed may be back.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

SECTOR = 512


@dataclass
class _Contents:
    """One file: as readers see it, and what has not reached the disk."""

    live: bytearray
    is_log: bool
    pending: list[tuple[int, bytes | None]] = field(default_factory=list[tuple[int, bytes | None]])
    """(offset, data), or (size, None) for a truncation."""


class PowerCut(apsw.VFS):
    """Registered under its name until it is unregistered."""

    def __init__(self, name: str, *, chance: random.Random, writes: int) -> None:
        super().__init__(name, base="")
        self.name = name
        self.is_off = False
        self._chance = chance
        self._left = writes
        self._lock = threading.RLock()
        self._files: dict[Path, _Contents] = {}
        self._unsynced_names: set[Path] = set()
        self._removed: dict[Path, bytes] = {}

    def xOpen(  # noqa: N802 -- SQLite's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        """Open a file; its contents are shared by all that have it open."""
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
        with self._lock:
            self.check_power()
            if not path.exists() or not path.stat().st_size:
                self._unsynced_names.add(path)
            file = _File(self, path, name, flags)
            if path not in self._files:
                is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
                self._files[path] = _Contents(bytearray(file.synced()), is_log)
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 -- SQLite's
        """Remove a file; unless the directory is synced it may come back."""
        path = Path(filename)
        with self._lock:
            self.check_power()
            if path.exists() and path not in self._unsynced_names:
                self._removed[path] = path.read_bytes()
            super().xDelete(filename, syncdir)
            if syncdir:
                self._removed.clear()
            self._files.pop(path, None)

    def excepthook(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool:
        """Nobody is told of what fails in the dark."""
        return self.is_off

    def check_power(self, *, write: bool = False) -> None:
        """Count a write, and fail from the cut on."""
        self._left -= write
        self.is_off = self.is_off or self._left < 0
        if self.is_off:
            raise apsw.exception_for(apsw.SQLITE_IOERR)

    def read(self, path: Path, amount: int, offset: int) -> bytes:
        """What readers see."""
        with self._lock:
            self.check_power()
            return bytes(self._files[path].live[offset : offset + amount])

    def size(self, path: Path) -> int:
        """What readers see."""
        with self._lock:
            self.check_power()
            return len(self._files[path].live)

    def change(self, path: Path, at: int, data: bytes | None) -> None:
        """Write, or truncate, in memory. The write that the cut hits may be torn."""
        with self._lock:
            contents = self._files[path]
            if not self.is_off:
                _apply(contents.live, at, data)
                contents.pending.append((at, data))
            self.check_power(write=True)

    def sync(self, path: Path, carry_over: Callable[[int, bytes | None], None]) -> None:
        """Let everything written reach the disk, and of a new log the names of the directory."""
        with self._lock:
            self.check_power(write=True)
            contents = self._files[path]
            for at, data in contents.pending:
                carry_over(at, data)
            contents.pending.clear()
            if contents.is_log and path in self._unsynced_names:
                self._unsynced_names.clear()
                self._removed.clear()

    def cut(self) -> None:
        """Switch the power off now."""
        with self._lock:
            self.is_off = True

    def restart(self) -> None:
        """Leave in the real files what a disk may hold now. Nothing may have them open."""
        self.unregister()
        for path, contents in self._files.items():
            if path.exists():
                self._tear(path, contents)
        for path in self._unsynced_names:
            if path.exists() and self._chance.random() < 0.5:
                path.unlink()
        for path, content in self._removed.items():
            if self._chance.random() < 0.5:
                path.write_bytes(content)
        for path in {path.parent for path in self._files}:
            for index in path.glob("*-shm"):  # was memory
                index.unlink()

    def _tear(self, path: Path, contents: _Contents) -> None:
        disk = bytearray(path.read_bytes())
        pending = list(contents.pending)
        self._chance.shuffle(pending)
        survival = self._chance.choice((0.0, 0.3, 0.8))
        for at, data in pending:
            for offset, part in _sectors(at, data):
                if self._chance.random() < survival:
                    _apply(disk, offset, part)
        path.write_bytes(disk)


class _File(apsw.VFSFile):
    """One open file. The real one below it has the locks, the index, and what was synced."""

    def __init__(
        self,
        disk: PowerCut,
        path: Path,
        name: str | apsw.URIFilename | None,
        flags: list[int],
    ) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = path

    def synced(self) -> bytes:
        """What the real file holds."""
        size = super().xFileSize()
        return super().xRead(size, 0) if size else b""

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 -- SQLite's name
        return self._disk.read(self._path, amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- SQLite's name
        self._disk.change(self._path, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 -- SQLite's name
        self._disk.change(self._path, newsize, None)

    def xFileSize(self) -> int:  # noqa: N802 -- SQLite's name
        return self._disk.size(self._path)

    def xSync(self, flags: int) -> None:  # noqa: N802 -- SQLite's name
        self._disk.sync(self._path, self._carry_over)

    def excepthook(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool:
        return self._disk.is_off

    def _carry_over(self, at: int, data: bytes | None) -> None:
        if data is None:
            super().xTruncate(at)
        else:
            below: Any = super()  # typed without `memoryview`'s parameter
            below.xWrite(data, at)


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    if data is None:
        del content[at:]
        return
    content.extend(bytes(max(0, at - len(content))))
    content[at : at + len(data)] = data


def _sectors(at: int, data: bytes | None) -> list[tuple[int, bytes | None]]:
    """The parts of one write that reach the disk each for itself."""
    if data is None:
        return [(at, None)]
    ends = [*range((at // SECTOR + 1) * SECTOR, at + len(data), SECTOR), at + len(data)]
    parts: list[tuple[int, bytes | None]] = []
    for end in ends:
        parts.append((at, data[: end - at]))
        at, data = end, data[end - at :]
    return parts
