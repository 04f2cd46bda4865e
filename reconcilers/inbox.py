"""What waits in the outboxes of all replicas, pulled once and remembered until acknowledged.

Only what is small is remembered; bodies are read again when they are needed. A file
that cannot be read holds up no other. It decides nothing about what is recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Protocol

import structlog

from controller.accounts.entries import Attempt
from controller.clients.outbox.errors import OutboxDamagedError, UnknownReplicaError
from controller.clients.outbox.rows import Position, Row

_PULL_ROWS: Final = 500
_PULLS_AT_ONCE: Final = 20

log = structlog.get_logger("governor.reconcilers")


class ReadsOutboxes(Protocol):
    """The part of `Outboxes` that is used; everything blocks."""

    def replicas(self) -> tuple[str, ...]:
        """Every replica whose file is here."""
        ...

    def pull(self, replica: str, *, after: int, limit: int) -> tuple[Row, ...]:
        """Give the next rows above `after`."""
        ...

    def find(self, attempt: Attempt) -> Row | None:
        """Give one row."""
        ...

    def acknowledge(self, attempts: Iterable[Attempt]) -> None:
        """Delete the rows durably."""
        ...

    def position(self, replica: str) -> Position:
        """How far a replica has come."""
        ...

    def drained(self) -> Mapping[str, Position]:
        """Dead replicas whose rows are all acknowledged."""
        ...

    def sweep(self, recorded: Mapping[str, Position]) -> tuple[str, ...]:
        """Remove the files of drained replicas."""
        ...


class Inbox:
    """The waiting rows of all outboxes. Everything here blocks."""

    def __init__(self, outboxes: ReadsOutboxes) -> None:
        self._outboxes = outboxes
        self._rows: dict[Attempt, Row] = {}
        self._pulled_to: dict[str, int] = {}
        self._damaged: dict[str, str] = {}

    @property
    def rows(self) -> Mapping[Attempt, Row]:
        """Everything that waits, without bodies."""
        return MappingProxyType(self._rows)

    @property
    def pulled_to(self) -> Mapping[str, int]:
        """Per replica the highest number that was pulled."""
        return MappingProxyType(self._pulled_to)

    @property
    def damaged(self) -> Mapping[str, str]:
        """The replicas that cannot be read, and why."""
        return MappingProxyType(self._damaged)

    def pull(self) -> None:
        """Learn what is new.

        Raises:
            OutboxError: for a reason that will pass.
        """
        for replica in self._outboxes.replicas():
            try:
                self._pull(replica)
                self._damaged.pop(replica, None)
            except UnknownReplicaError:
                continue  # swept meanwhile
            except OutboxDamagedError as error:
                if replica not in self._damaged:
                    log.warning("outbox damaged", replica=replica, error=str(error))
                self._damaged[replica] = str(error)

    def find(self, attempt: Attempt) -> Row | None:
        """One row with its body; None if it is lost, or was acknowledged.

        Raises:
            OutboxError: for a reason that will pass.
        """
        try:
            row = self._outboxes.find(attempt)
        except OutboxDamagedError:
            return None
        if row is None and attempt.replica in self._outboxes.replicas():
            self._rows.pop(attempt, None)  # acknowledged by another leader, who has recorded it
        return row

    def acknowledge(self, attempts: Sequence[Attempt]) -> None:
        """Forget these rows, here and in their outboxes.

        Raises:
            OutboxError: some may have been forgotten, and some not.
        """
        readable = [attempt for attempt in attempts if attempt.replica not in self._damaged]
        if readable:
            self._outboxes.acknowledge(readable)
        for attempt in readable:
            self._rows.pop(attempt, None)

    def sweep(self, sealed: Mapping[str, int]) -> None:
        """Remove the outboxes of dead processes of which a seal says that nothing waits.

        Args:
            sealed: what the last seal that is safe says.
        """
        drained = self._outboxes.drained()
        told = {
            replica: position
            for replica, position in drained.items()
            if position.highest <= sealed.get(replica, 0)
        }
        for replica in self._outboxes.sweep(told) if told else ():
            self._pulled_to.pop(replica, None)

    def _pull(self, replica: str) -> None:
        if replica not in self._pulled_to:
            self._pulled_to[replica] = self._outboxes.position(replica).acknowledged_up_to
        for _ in range(_PULLS_AT_ONCE):
            after = self._pulled_to[replica]
            rows = self._outboxes.pull(replica, after=after, limit=_PULL_ROWS)
            if not rows:
                return
            for row in rows:
                self._rows[row.attempt] = replace(row, body=b"")
            self._pulled_to[replica] = rows[-1].attempt.number
