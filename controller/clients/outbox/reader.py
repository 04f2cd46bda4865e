"""The ledger's side of all outboxes of one host: pull, acknowledge, sweep.

Every call opens its own connection, so any thread may make it, beside the process
that appends. All of it blocks. It decides nothing about what is recorded or when;
it makes a count final so that nothing is counted after it was told.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

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
    OutboxFullError,
    UnknownReplicaError,
)
from controller.clients.outbox.files import Place, State, claim, places
from controller.clients.outbox.rows import Position, Row

MAX_PULL_BYTES = 32 * 1024 * 1024


class Outboxes:
    """Reads and acknowledges what the processes of one host appended.

    Methods raise `OutboxDamagedError` for a replica whose file cannot be read,
    `UnknownReplicaError` for one that is not here, and `OutboxError` for the rest;
    `replicas` names those that are here, damaged or not.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock_ms: Callable[[], int],
        connect: Connect = connect_sqlite3,
    ) -> None:
        self._directory = directory
        self._clock_ms = clock_ms
        self._connect = connect

    def replicas(self) -> tuple[str, ...]:
        """Every replica whose file is here, oldest first."""
        return tuple(
            place.replica for place in places(self._directory) if place.state() is State.MADE
        )

    def pull(self, replica: str, *, after: int, limit: int) -> tuple[Row, ...]:
        """Give the next rows above `after` by number: at most `limit`, and about 32 MiB.

        A row that may still count comes too, not `final`: `find` it again at its `ready_at`.
        """
        with self._opened(replica) as database:
            numbers = statements.numbers_after(
                database, after, limit=limit, max_bytes=MAX_PULL_BYTES
            )
            return tuple(self._read(database, replica, numbers))

    def find(self, attempt: Attempt) -> Row | None:
        """Give one row; None if it was acknowledged, never was, or its replica is not here."""
        try:
            with self._opened(attempt.replica) as database:
                return next(iter(self._read(database, attempt.replica, [attempt.number])), None)
        except UnknownReplicaError:
            return None

    def find_reason(self, change: str) -> str | None:
        """Give the reason stored for a change in any replica; damaged ones are passed over."""
        for replica in self.replicas():
            try:
                with self._opened(replica) as database:
                    found = statements.reason(database, change)
            except (OutboxDamagedError, UnknownReplicaError):
                continue  # `pull` reports the damage
            if found is not None:
                return found.decode(errors="replace")
        return None

    def acknowledge(self, attempts: Iterable[Attempt]) -> None:
        """Delete the rows durably, and remember that their numbers were acknowledged.

        What was acknowledged or swept before, or was never given, is passed over.

        Raises:
            ValueError: a row is not final.
        """
        numbers: dict[str, list[int]] = {}
        for attempt in attempts:
            numbers.setdefault(attempt.replica, []).append(attempt.number)
        for replica, ours in numbers.items():
            try:
                with self._opened(replica) as database, _transaction(database):
                    statements.acknowledge(database, ours)
            except UnknownReplicaError:
                continue  # swept

    def position(self, replica: str) -> Position:
        """How far a replica's numbers and acknowledgements have come."""
        with self._opened(replica) as database, _transaction(database, begin="BEGIN"):
            return statements.position(database)

    def missing(self, replica: str) -> tuple[int, ...]:
        """Numbers that were given, and are neither stored nor acknowledged: lost ones."""
        with self._opened(replica) as database, _transaction(database, begin="BEGIN"):
            return statements.missing(database)

    def drained(self) -> Mapping[str, Position]:
        """Replicas whose process is dead and whose rows are all acknowledged.

        Record their positions, then `sweep` them: nothing else remembers them afterwards.
        """
        found: dict[str, Position] = {}
        for place in places(self._directory):
            held = claim(place)
            if held is None:
                continue
            try:
                position = self._final_position(place)
            finally:
                held.release()
            if position is not None:
                found[place.replica] = position
        return found

    def sweep(self, recorded: Mapping[str, Position]) -> tuple[str, ...]:
        """Remove the files of drained replicas; those that were removed.

        One that a process took over meanwhile, or that is not at the recorded position,
        stays. So do damaged ones: somebody may want to look at them. What a process left
        that died while it made or removed a file goes, too.
        """
        swept: list[str] = []
        for place in places(self._directory):
            held = claim(place)
            if held is None:
                continue
            try:
                expected = recorded.get(place.replica)
                is_drained = expected is not None and self._final_position(place) == expected
                if is_drained or place.state() is not State.MADE:
                    held.remove()
                if is_drained:
                    swept.append(place.replica)
            except OSError as error:
                raise OutboxFullError(
                    f"{place.owner}: cannot be removed ({error.strerror}): free space"
                ) from error
            finally:
                held.release()
        return tuple(swept)

    def _final_position(self, place: Place) -> Position | None:
        """None: it is not drained, or cannot be read."""
        try:
            position = self.position(place.replica)
        except (OutboxDamagedError, UnknownReplicaError):
            return None
        return position if position.is_drained else None

    def _read(self, database: Database, replica: str, numbers: Iterable[int]) -> list[Row]:
        rows = statements.read(database, replica, numbers)
        now = self._clock_ms()
        ended = [row for row in rows if not row.final and row.ready_at <= now]
        if not ended:
            return rows
        with _transaction(database):
            for row in ended:
                statements.finish(database, row.attempt.number)
            return statements.read(database, replica, [row.attempt.number for row in rows])

    @contextmanager
    def _opened(self, replica: str) -> Generator[Database, None, None]:
        place = Place(self._directory, replica)
        if place.state() is not State.MADE:
            raise UnknownReplicaError(f"{place.database}: there is no such outbox here")
        if not place.database.exists():
            raise OutboxDamagedError(
                f"{place.database}: is missing, and was not drained: what it held is in no "
                "ledger, and nothing tells how much that was; put it back, or remove "
                f"{place.owner.name} to give it up"
            )
        try:
            database = self._connect(place.database, create=False)
            try:
                schema.prepare_reader(database)
                yield database
            finally:
                database.close()
        except DatabaseError as error:
            raise explain(error, place.database) from error


@contextmanager
def _transaction(
    database: Database, *, begin: str = "BEGIN IMMEDIATE"
) -> Generator[None, None, None]:
    """Commit at the end; what raises leaves the connection to be closed, which rolls back."""
    database.execute(begin)
    yield
    database.execute("COMMIT")
