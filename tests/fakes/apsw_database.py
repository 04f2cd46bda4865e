"""A second driver behind the outbox's port to SQLite: apsw, whose file system can be replaced."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from controller.clients.outbox.database import Connect, Database, DatabaseError, Value

_ABANDONED: list[Any] = []


def connect_apsw(path: Path, *, create: bool) -> Database:
    """Open a file on the ordinary file system."""
    return _open(path, create=create, vfs=None)


def connecting_through(vfs: str) -> Connect:
    """Open files on the file system that is registered under that name."""

    def connect(path: Path, *, create: bool) -> Database:
        return _open(path, create=create, vfs=vfs)

    return connect


def _open(path: Path, *, create: bool, vfs: str | None) -> Database:
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    try:
        return _Apsw(apsw.Connection(str(path), flags=flags, vfs=vfs))
    except apsw.Error as error:
        raise _fault(error) from error


class _Apsw:
    def __init__(self, connection: apsw.Connection) -> None:
        # Typed without `memoryview`'s parameter, which strict checking refuses.
        self._connection: Any = connection

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        try:
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, parameters).fetchall()
        except apsw.Error as error:
            raise _fault(error) from error
        return rows

    def close(self) -> None:
        try:
            self._connection.close(force=True)
        except apsw.Error:
            return

    def abandon(self) -> None:
        _ABANDONED.append(self._connection)


def _fault(error: apsw.Error) -> DatabaseError:
    code: int = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
    return DatabaseError(code, str(error))
