"""The durable outbox of one process: what it appended is there after a power cut.

It stores, numbers and counts. It decides nothing about the writes that the bodies
describe. What is recorded is removed by the ledger's side (`reader`), once it has it;
here only what is withdrawn by who appended it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

from controller.accounts.entries import Attempt
from controller.clients.outbox import statements
from controller.clients.outbox.database import (
    Connect,
    Database,
    DatabaseError,
    connect_sqlite3,
    explain,
)
from controller.clients.outbox.errors import RowTooLargeError
from controller.clients.outbox.home import Home
from controller.clients.outbox.rows import MAX_BODY_BYTES, MAX_KEY_BYTES, RowKind
from controller.clients.outbox.statements import New
from controller.clients.outbox.writer import GroupCommit, Operation

_MAX_TIME = 2**62

T = TypeVar("T")


class Outbox:
    """Appends to one replica's file, which no other process appends to.

    A file that is removed or replaced meanwhile is left, and another one begun: each
    attempt names its own replica. Its methods are for any event loop and never block
    it; `close` does.
    """

    def __init__(self, home: Home, writer: GroupCommit, clock_ms: Callable[[], int]) -> None:
        self._home = home
        self._writer = writer
        self._clock_ms = clock_ms

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        clock_ms: Callable[[], int],
        mint: Callable[[], str],
        connect: Connect = connect_sqlite3,
    ) -> Self:
        """Take over the file of a process that died, or make one. Blocks.

        Args:
            directory: shared by the processes of one host; made, and closed to others.
            clock_ms: milliseconds since the epoch; called on the writer's thread.
            mint: a new ULID, the name of a new replica.
            connect: opens SQLite files.

        Raises:
            OutboxFullError: nothing can be written there.
            OutboxError: the directory is not ours, or cannot be used.
        """
        home = Home(directory, mint=mint, connect=connect)
        return cls(home, GroupCommit(home, name=f"outbox-{home.replica}"), clock_ms)

    @property
    def replica(self) -> str:
        """The name under which rows are numbered at present."""
        return self._home.replica

    async def append(
        self,
        body: bytes,
        *,
        kind: Literal[RowKind.BODY, RowKind.REASON],
        key: str,
        made_at: int,
    ) -> Attempt:
        """Store a body, durably, under the next number.

        Args:
            body: at most `MAX_BODY_BYTES`; of a `REASON` its UTF-8.
            kind: denials have `append_denial`.
            key: of a `BODY` its entry key as text, of a `REASON` the change id.
            made_at: milliseconds since the epoch.

        Raises:
            RowTooLargeError: nothing was stored.
            OutboxError: it cannot be promised; see the family.
        """
        new = _checked(New(kind, key, made_at, body))
        return await self._append(partial(statements.append, new=new), size=len(body))

    async def append_denial(self, body: bytes, *, fold: str, made_at: int) -> Attempt:
        """Store a denial, durably; repeats within a minute of the first are counted in one row.

        Args:
            body: at most `MAX_BODY_BYTES`; of a repeat, only the first's is kept.
            fold: what a repeat has in common with the first.
            made_at: milliseconds since the epoch.

        Returns:
            The row that holds it: its own, or the one that counts it.

        Raises:
            RowTooLargeError: nothing was stored.
            OutboxError: it cannot be promised; see the family.
        """
        new = _checked(New(RowKind.DENIAL, fold, made_at, body))

        def operation(database: Database) -> int:
            return statements.append_denial(database, new, now=self._clock_ms())

        return await self._append(operation, size=len(body))

    async def withdraw(self, attempt: Attempt) -> None:
        """Forget a body, durably: what it was to be reserved as was refused, and holds no entry.

        One of another replica, or that is not there any more, is left as it is.

        Raises:
            OutboxError: it may still be there; nothing but a record of the attempt comes of it.
        """

        def operation(database: Database) -> None:
            if attempt.replica == self._home.replica:
                statements.acknowledge(database, [attempt.number])

        await self._submit(operation, size=0)

    async def waiting(self) -> int:
        """How many rows nobody has acknowledged yet.

        Raises:
            OutboxError: it cannot be read.
        """
        return await self._submit(statements.waiting, size=0)

    def close(self) -> None:
        """Store what was asked for until now, and let another process take over. Blocks.

        Later calls raise `OutboxClosedError`. Idempotent.
        """
        self._writer.close()
        self._home.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _append(self, operation: Operation[int], *, size: int) -> Attempt:
        def numbered(database: Database) -> Attempt:
            return self._home.number(operation(database))

        return await self._submit(numbered, size=size)

    async def _submit(self, operation: Operation[T], *, size: int) -> T:
        try:
            return await self._writer.submit(operation, size=size)
        except DatabaseError as error:
            raise explain(error, self._home.place.database) from error


def _checked(new: New) -> New:
    """Refuse here what SQLite would refuse for all that share the transaction."""
    if len(new.body) > MAX_BODY_BYTES:
        raise RowTooLargeError(
            f"body: {len(new.body)} bytes are more than an outbox takes ({MAX_BODY_BYTES}): "
            "write less in one object"
        )
    try:
        size = len(new.key.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"key: {new.key!r} is not UTF-8") from error
    if size > MAX_KEY_BYTES:
        raise RowTooLargeError(f"key: {size} bytes are more than {MAX_KEY_BYTES}")
    if not 0 <= new.made_at < _MAX_TIME:
        raise ValueError(f"made_at: {new.made_at} is no time in milliseconds")
    return new
