"""The durable outbox of one process: what it appended is there after a power cut.

It stores, numbers and counts. It decides nothing about the writes that the bodies
describe, and removes nothing: the ledger's side does (`reader`), once it has them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from controller.accounts.entries import Attempt
from controller.clients.outbox import schema, statements
from controller.clients.outbox.database import (
    Connect,
    Database,
    DatabaseError,
    connect_sqlite3,
    explain,
)
from controller.clients.outbox.errors import (
    OutboxDamagedError,
    OutboxError,
    OutboxFullError,
    RowTooLargeError,
)
from controller.clients.outbox.files import (
    Claim,
    Place,
    State,
    claim,
    make_private,
    new_place,
    open_directory,
    places,
)
from controller.clients.outbox.rows import MAX_BODY_BYTES, MAX_KEY_BYTES, RowKind
from controller.clients.outbox.statements import New
from controller.clients.outbox.writer import GroupCommit, Operation

_MAX_TIME = 2**62


class Outbox:
    """Appends to one replica's file, which no other process appends to.

    Its methods are for any event loop and never block it; `close` does.
    """

    def __init__(self, held: Claim, writer: GroupCommit, clock_ms: Callable[[], int]) -> None:
        self._held = held
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
        open_directory(directory)
        try:
            held, database = _take_over(directory, connect) or _make(directory, mint, connect)
        except OSError as error:
            raise OutboxFullError(
                f"{directory}: cannot be written ({error.strerror}): free space, or give "
                "Governor a directory that it may write to"
            ) from error
        writer = GroupCommit(
            database,
            reopen=partial(_connect, held.place, connect),
            name=f"outbox-{held.place.replica}",
        )
        return cls(held, writer, clock_ms)

    @property
    def replica(self) -> str:
        """The name under which its rows are numbered."""
        return self._held.place.replica

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
        self._held.release()

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
        return Attempt(self.replica, await self._submit(operation, size=size))

    async def _submit(self, operation: Operation[int], *, size: int) -> int:
        try:
            return await self._writer.submit(operation, size=size)
        except DatabaseError as error:
            raise explain(error, self._held.place.database) from error


def _take_over(directory: Path, connect: Connect) -> tuple[Claim, Database] | None:
    """Give the oldest whole file that nobody holds; one that is damaged is left as it is."""
    for place in places(directory):
        held = claim(place)
        if held is None:
            continue
        try:
            if place.state() is State.MADE:
                return held, _open_whole(place, connect)
        except OutboxDamagedError:
            pass  # whoever reads it reports it; new rows go elsewhere
        except OutboxError:
            held.release()
            raise
        held.release()
    return None


def _open_whole(place: Place, connect: Connect) -> Database:
    if not place.database.exists():
        raise OutboxDamagedError(f"{place.database}: is missing")
    try:
        database = _connect(place, connect)
        try:
            schema.check_whole(database)
        except DatabaseError:
            database.close()
            raise
    except DatabaseError as error:
        raise explain(error, place.database) from error
    return database


def _make(directory: Path, mint: Callable[[], str], connect: Connect) -> tuple[Claim, Database]:
    held: Claim | None = None
    while held is None:
        held = claim(new_place(directory, mint()), new=True)
    try:
        return held, _create(held, connect)
    except DatabaseError as error:
        held.release()
        raise explain(error, held.place.database) from error
    except OSError:
        held.release()
        raise


def _create(held: Claim, connect: Connect) -> Database:
    make_private(held.place.database)
    database = connect(held.place.database, create=True)
    try:
        schema.create(database)
        held.mark(State.MADE)
    except (DatabaseError, OSError):
        database.close()
        raise
    return database


def _connect(place: Place, connect: Connect) -> Database:
    database = connect(place.database, create=False)
    try:
        schema.prepare_owner(database)
    except DatabaseError:
        database.close()
        raise
    return database


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
