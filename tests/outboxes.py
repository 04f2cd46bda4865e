"""Builders for tests of the outbox: a clock, names, and an outbox in a directory."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from controller.clients.outbox.database import (
    Connect,
    Database,
    DatabaseError,
    Value,
    connect_sqlite3,
)
from controller.clients.outbox.outbox import Outbox
from controller.clients.outbox.reader import Outboxes

NOON = 1_800_000_000_000
MINUTE = 60_000


class Clock:
    """Stands still until it is told."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        """Milliseconds since the epoch."""
        return self.now


def names(first: int = 1) -> Callable[[], str]:
    """Mint the ULIDs of one test, in their order."""
    minted = iter(range(first, 10_000))
    return lambda: f"01{next(minted):024d}"


def open_outbox(
    directory: Path,
    *,
    clock: Callable[[], int] | None = None,
    mint: Callable[[], str] | None = None,
    connect: Connect = connect_sqlite3,
) -> Outbox:
    """Open an outbox at noon."""
    return Outbox.open(directory, clock_ms=clock or Clock(), mint=mint or names(), connect=connect)


def read_outboxes(directory: Path, *, clock: Callable[[], int] | None = None) -> Outboxes:
    """The ledger's side of that directory, at noon."""
    return Outboxes(directory, clock_ms=clock or Clock())


def database_of(directory: Path, replica: str) -> Path:
    """The SQLite file of a replica."""
    return directory / f"outbox-{replica}.sqlite"


def overwrite(file: Path) -> None:
    """Put something else in its place."""
    file.write_bytes(b"not a database" * 999)


def empty(file: Path) -> None:
    """Leave nothing in it."""
    file.write_bytes(b"")


def cut_off(file: Path) -> None:
    """Leave its first two pages and a bit."""
    file.write_bytes(file.read_bytes()[:9000])


def remove(file: Path) -> None:
    """Leave no file."""
    file.unlink()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "overwritten with garbage": overwrite,
    "emptied": empty,
    "cut off": cut_off,
    "removed": remove,
}


class FailingOnce:
    """Connects with `sqlite3`; the first statement of that name then fails with that code."""

    def __init__(self, statement: str, code: int) -> None:
        self.statement = statement
        self.code = code
        self.is_armed = False

    def __call__(self, path: Path, *, create: bool) -> Database:
        """Open a file."""
        return _Failing(connect_sqlite3(path, create=create), self)


class _Failing:
    def __init__(self, database: Database, plan: FailingOnce) -> None:
        self._database = database
        self._plan = plan
        self.close = database.close
        self.abandon = database.abandon

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        if self._plan.is_armed and sql == self._plan.statement:
            self._plan.is_armed = False
            raise DatabaseError(self._plan.code, "as planned")
        return self._database.execute(sql, parameters)
