"""The port to SQLite, and its adapter for the standard library's `sqlite3`.

The same statements run on any driver behind the port: the tests run them on one
whose disk loses what was not synced. It knows no table.
"""

import ctypes
import sqlite3
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from controller.clients.outbox.errors import OutboxDamagedError, OutboxError, OutboxFullError

Value: TypeAlias = int | str | bytes | None


class Code(IntEnum):
    """SQLite's primary result codes that are told apart (sqlite.org/rescode.html)."""

    BUSY = 5
    LOCKED = 6
    READONLY = 8
    IOERR = 10
    CORRUPT = 11
    FULL = 13
    CANTOPEN = 14
    MISUSE = 21
    NOTADB = 26


class DatabaseError(Exception):
    """SQLite refused a statement.

    Attributes:
        code: its result code, extended or primary.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def primary(self) -> int:
        """The result code without what extends it."""
        return self.code & 0xFF


class Database(Protocol):
    """One open connection. It is used by one thread at a time."""

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """Run one statement outside of any transaction but those begun by a statement.

        Raises:
            DatabaseError: whatever SQLite reports.
        """
        ...

    def close(self) -> None:
        """Roll back what is open, and let go of the file. Never raises; idempotent."""
        ...

    def abandon(self) -> None:
        """Never close it, whatever becomes of this object: closing removes files by name."""
        ...


class Connect(Protocol):
    """Opens a file, makes it only if `create`, and runs nothing on it.

    Raises:
        DatabaseError: the file cannot be opened.
    """

    def __call__(self, path: Path, *, create: bool) -> Database:
        """Open one connection."""
        ...


def connect_sqlite3(path: Path, *, create: bool) -> Database:
    """Open a file with the standard library's driver."""
    mode = "rwc" if create else "rw"
    try:
        return _Sqlite3(
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                # Opened by who starts the writer, then handed over to its thread for good.
                check_same_thread=False,
            )
        )
    except sqlite3.Error as error:
        raise _fault(error) from error


class _Sqlite3:
    """The standard library's connection behind the port."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _fault(error) from error

    def close(self) -> None:
        try:
            self._connection.close()
        except sqlite3.Error:
            return  # a checkpoint that failed: the log stays beside the file, nothing is lost

    def abandon(self) -> None:
        # Collecting it, at the latest when the interpreter ends, would close it.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))


def _fault(error: sqlite3.Error) -> DatabaseError:
    # Faults of the module itself carry no code; an operational one is a text that is not UTF-8.
    own = Code.CORRUPT if isinstance(error, sqlite3.OperationalError) else Code.MISUSE
    return DatabaseError(getattr(error, "sqlite_errorcode", own), str(error))


def explain(error: DatabaseError, path: Path) -> OutboxError:
    """Say which file, what is wrong, and what to do."""
    match error.primary:
        case Code.FULL | Code.IOERR | Code.READONLY | Code.CANTOPEN:
            return OutboxFullError(
                f"{path.parent}: {path.name} cannot be written ({error}): free space, or raise "
                "the limit on file sizes; writes are taken again as soon as one succeeds"
            )
        case Code.CORRUPT | Code.NOTADB:
            return OutboxDamagedError(
                f"{path}: damaged ({error}): move it and its -wal file away, and keep them: "
                "what was not in the ledger yet is nowhere else"
            )
        case Code.BUSY | Code.LOCKED:
            return OutboxError(f"{path}: locked by another process for too long; try again")
        case _:
            return OutboxError(f"{path}: {error} (SQLite result code {error.code})")
