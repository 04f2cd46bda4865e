"""The file that this process appends to at present, and how it gets out of one that is lost.

SQLite writes on to a file that somebody removed, and nobody would ever read it. So each
transaction looks, before it begins and again before it is confirmed, whether every
name still points to the file that was opened. Where one does not, the file is left
for good, or mended if only what lies beside the database is gone; numbers that were
given are never given again, in a copy of the file neither.

It must not confirm what a reader would not find, or remove what somebody put in the
place of our files. Everything here is called on one thread at a time, and blocks.
"""

from collections.abc import Callable
from pathlib import Path

import structlog

from controller.accounts.entries import Attempt
from controller.clients.outbox import statements
from controller.clients.outbox.database import Connect, Database, DatabaseError, explain
from controller.clients.outbox.errors import OutboxError, OutboxLostError
from controller.clients.outbox.files import Claim, Identity, Place, State, claim, identity_of
from controller.clients.outbox.opening import begin, connect_owner, open_whole

log = structlog.get_logger("governor.clients")


class Home:
    """One replica's files, held by this process; another's after they were lost."""

    def __init__(self, directory: Path, *, mint: Callable[[], str], connect: Connect) -> None:
        """Take over the files of a process that died, or make some.

        Raises:
            OutboxFullError: nothing can be written there.
            OutboxError: the directory is not ours, or cannot be used.
        """
        self._directory = directory
        self._mint = mint
        self._connect = connect
        self._seen: dict[Path, Identity | None] = {}
        self._database: Database | None = None
        self._is_left = False
        self._given: dict[str, int] = {}
        """Per replica that we had, the highest number that anybody was told."""
        self._numbered = 0
        self._held: Claim
        self._begin()

    @property
    def replica(self) -> str:
        """The name under which rows are numbered at present."""
        return self.place.replica

    @property
    def place(self) -> Place:
        """Where the files are, or were if there are none at present."""
        return self._held.place

    def number(self, number: int) -> Attempt:
        """Name a row that the transaction under way has stored."""
        self._numbered = max(self._numbered, number)
        return Attempt(self.replica, number)

    def opened(self) -> Database:
        """Give the database to write to: the same, or another if that one was lost.

        Raises:
            DatabaseError: it cannot be opened.
            OutboxError: it is lost, and no other can be begun.
        """
        lost = None if self._is_left else self._find_lost()
        if lost is not None:
            self._report(lost)
            self._get_out()
        if self._is_left:
            self._begin()
            log.warning("outbox begun anew", replica=self.replica)
        return self._database or self._reopen()

    def confirm(self) -> None:
        """Say that what was committed is where a reader will find it.

        Raises:
            OutboxLostError: it may be nowhere.
        """
        lost = self._find_lost()
        if lost is not None:
            self._report(lost)
            raise OutboxLostError(
                f"outbox {lost}: was removed or replaced under us: leave the files of "
                f"{self._directory} alone while Governor runs; the next write goes to another"
            )
        self._given[self.replica] = max(self._numbered, self._given[self.replica])

    def let_go(self) -> None:
        """Close the database, which rolls back what is open. Idempotent."""
        self._numbered = 0
        if self._database is None:
            return
        # Closing removes the log and the index by name. Are these names another's by now?
        if self._is_replaced():
            self._database.abandon()
        else:
            self._database.close()
        self._database = None
        for path in self.place.beside:
            self._seen.pop(path, None)

    def release(self) -> None:
        """Let another process take the files over. Idempotent."""
        self._held.release()

    def _find_lost(self) -> Path | None:
        for path, identity in self._seen.items():
            if identity is None or identity_of(path) != identity:
                return path
        return None

    def _is_ours(self, path: Path) -> bool:
        return identity_of(path) == self._seen[path]

    def _is_replaced(self) -> bool:
        place = self.place
        if self._is_ours(place.database):
            return False
        names = (place.database, *place.beside)
        return any(identity_of(path) not in {None, self._seen[path]} for path in names)

    def _report(self, lost: Path) -> None:
        log.error(
            "outbox removed or replaced under us",
            file=str(lost),
            replica=self.replica,
            numbers_given=self._given[self.replica],
            lost="what of these numbers the ledger has not yet, unless the files are put back",
        )

    def _get_out(self) -> None:
        """Leave what is lost; where the database itself is still ours, go on with it."""
        is_whole = self._is_ours(self.place.database)
        self.let_go()
        if is_whole and self._hold_again():
            try:
                self._move_in(open_whole(self.place, self._connect))
            except OutboxError as error:
                log.warning("outbox not mended", replica=self.replica, error=str(error))
            else:
                return
        self._held.release()
        self._is_left = True

    def _hold_again(self) -> bool:
        """Hold the lock on the owner file that is there now, if nobody else made it."""
        if self._is_ours(self.place.owner):
            return True
        held: Claim | None = None
        try:
            held = claim(self.place, new=True)
            if held is None:
                return False
            held.mark(State.MADE)
        except OSError as error:
            log.warning("outbox not claimed again", replica=self.replica, error=str(error))
            if held is not None:
                held.release()
            return False
        self._held.release()
        self._held = held
        return True

    def _begin(self) -> None:
        self._held, database = begin(self._directory, mint=self._mint, connect=self._connect)
        try:
            self._move_in(database)
        except OutboxError:
            self._held.release()
            raise
        self._is_left = False

    def _reopen(self) -> Database:
        database = self.place.database
        before = self._seen[database]
        opened = self._move_in(connect_owner(self.place, self._connect))
        self._seen[database] = before  # whatever was put there meanwhile is found out
        return opened

    def _move_in(self, database: Database) -> Database:
        """Take over what was opened, and never give a number again that anybody was told."""
        place = self.place
        try:
            given = self._given.get(place.replica, 0)
            if statements.position(database).highest < given:
                statements.never_give_again(database, given)
            self._given[place.replica] = statements.position(database).highest
        except DatabaseError as error:
            database.close()
            raise explain(error, place.database) from error
        names = (place.database, *place.beside)
        self._seen = {name: identity_of(name) for name in names}
        self._seen[place.owner] = self._held.identity
        self._database = database
        return database
