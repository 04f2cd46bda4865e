"""Which process owns which file of the directory.

Beside each `outbox-<replica>.sqlite` lies `outbox-<replica>.owner`: whoever holds its
lock (flock, gone with the process) appends; its content tells whether the database
is made, or gone for good. The database itself is never opened here: closing any
descriptor of it would drop the locks that SQLite holds in this process.
"""

import fcntl
import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from controller.clients.durable import sync_directory
from controller.clients.outbox.errors import OutboxError, OutboxFullError

_OWNER = re.compile(r"outbox-([0-9A-Z]{26})\.owner")
_REPLICA = re.compile(r"[0-9A-Z]{26}")

Identity: TypeAlias = tuple[int, int]
"""Device and inode: which file it is, whatever its name."""


class State(Enum):
    """What lies beside an owner file. The values have one length: each is one write."""

    UNMADE = b""
    """Its maker has not come to the end, and if nobody holds the lock never will."""
    MADE = b"made"
    GONE = b"gone"
    """It was drained and is being removed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of one replica lie."""

    directory: Path
    replica: str

    @property
    def database(self) -> Path:
        """The SQLite file; its log and index lie beside it."""
        return self.directory / f"outbox-{self.replica}.sqlite"

    @property
    def beside(self) -> tuple[Path, Path]:
        """The log and the index, which are there while a connection is open."""
        database = self.database
        return database.with_name(f"{database.name}-wal"), database.with_name(
            f"{database.name}-shm"
        )

    @property
    def owner(self) -> Path:
        """The file whose lock says who appends."""
        return self.directory / f"outbox-{self.replica}.owner"

    def state(self) -> State:
        """What lies here now."""
        try:
            return _state(self.owner.read_bytes())
        except FileNotFoundError:
            return State.GONE


class Claim:
    """The right to append to one replica's file, until it is released."""

    def __init__(self, place: Place, descriptor: int) -> None:
        self.place = place
        self._descriptor = descriptor

    @property
    def identity(self) -> Identity:
        """Which file the lock is on, wherever its name points by now."""
        found = os.fstat(self._descriptor)
        return found.st_dev, found.st_ino

    def mark(self, state: State) -> None:
        """Write durably what lies here.

        Raises:
            OSError: it is not written.
        """
        os.pwrite(self._descriptor, state.value, 0)
        os.fsync(self._descriptor)
        sync_directory(self.place.directory)

    def release(self) -> None:
        """Let another process take over. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Remove every file of the replica, and release.

        Raises:
            OSError: some remain; what is marked `GONE` is removed by the next sweep.
        """
        self.mark(State.GONE)
        for path in (self.place.database, *self.place.beside):
            path.unlink(missing_ok=True)
        self.place.owner.unlink(missing_ok=True)
        self.release()


def identity_of(path: Path) -> Identity | None:
    """Which file a name points to; None: to none that can be reached."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def claim(place: Place, *, new: bool = False) -> Claim | None:
    """Take the lock; None if a living process has it, or the file is gone (or, if `new`, there).

    Raises:
        OSError: the directory cannot be read or written.
    """
    flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if new else 0)
    try:
        descriptor = os.open(place.owner, flags, 0o600)
    except (FileNotFoundError, FileExistsError):
        return None
    held = Claim(place, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A sweep may have removed it between our opening and our locking it.
        is_still_there = os.path.samestat(os.fstat(descriptor), place.owner.stat())
    except (BlockingIOError, FileNotFoundError):
        is_still_there = False
    except OSError:
        held.release()
        raise
    if is_still_there:
        return held
    held.release()
    return None


def places(directory: Path) -> tuple[Place, ...]:
    """Every replica that ever began here and was not removed, oldest first."""
    try:
        names = sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:
        return ()
    found = (_OWNER.fullmatch(name) for name in names)
    return tuple(Place(directory, match[1]) for match in found if match)


def new_place(directory: Path, replica: str) -> Place:
    """Name the files of a replica.

    Raises:
        ValueError: it is no ULID.
    """
    if not _REPLICA.fullmatch(replica):
        raise ValueError(f"replica {replica!r} is no ULID: 26 digits and capital letters")
    return Place(directory, replica)


def open_directory(directory: Path) -> None:
    """Make the directory, or close it to all but its owner.

    Raises:
        OutboxError: it belongs to somebody else, and is open to others.
        OutboxFullError: it cannot be made.
    """
    try:
        new = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in new:
            sync_directory(path.parent)
        if not directory.stat().st_mode & 0o077:
            return
        directory.chmod(0o700)
    except PermissionError as error:
        raise OutboxError(
            f"{directory}: is not Governor's own: give it a directory that belongs to the user "
            "it runs as, and that nobody else may read"
        ) from error
    except OSError as error:
        raise OutboxFullError(
            f"{directory}: cannot be made ({error.strerror}): give Governor a directory "
            "that it may write to"
        ) from error


def make_private(path: Path) -> None:
    """Make a new, empty file that only its owner reads, before SQLite opens it.

    Raises:
        OSError: it is there already, or cannot be made.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _state(content: bytes) -> State:
    try:
        return State(content)
    except ValueError:
        return State.UNMADE
