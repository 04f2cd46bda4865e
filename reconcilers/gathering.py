"""Decides which records are due: from what is pending, what outboxes hold, what is committed.

Pure. Nothing is due that is committed, and nothing is done with that is not: both
follow from what the ledger says, never from what a process remembers of itself. It
reads no body, and writes no record.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from controller.accounts.entries import Attempt, Entry
from controller.clients.outbox.rows import Row, RowKind

LATE_MS: Final = 30_000
"""A body that nobody reserved by then never will be: the webhook answered long ago. Likewise a
body that is in no outbox by then is lost: it was there before its entry was."""
REASON_MS: Final = 120_000
"""How long a reason waits for its write."""

Item: TypeAlias = Entry | Row
"""What one record is of: a write with an outcome, or what an outbox alone knows."""
IsCommitted: TypeAlias = Callable[[str], bool]
"""Whether the ledger has a record by that identity (`controller.records.history`)."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be recorded now."""

    items: tuple[Item, ...]
    """By time."""
    suspects: tuple[Row, ...]
    """Granted writes of which no account that we know of has an entry. Whether none has must be
    read at the API server, after these rows were pulled, before they are recorded. It proves
    nothing about their effect: an equal call's entry may stand for one, and an Account that was
    deleted took its entries with it."""


def entry_identity(key: str) -> str:
    """By what the ledger knows the record of a write."""
    return f"Entry {key}"


def attempt_identity(attempt: Attempt) -> str:
    """By what the ledger knows the record of anything else."""
    return f"Attempt {attempt.replica}/{attempt.number}"


def gather(
    entries: Collection[Entry],
    rows: Mapping[Attempt, Row],
    *,
    is_committed: IsCommitted,
    now: int,
) -> Due:
    """What is due.

    Args:
        entries: pending in any account, as they were before the rows were pulled.
        rows: everything that waits in the outboxes; bodies are not looked at.
        is_committed: what the ledger has.
        now: milliseconds since the epoch.
    """
    held = {str(entry.key) for entry in entries}
    items: list[Item] = [
        entry
        for entry in entries
        if not entry.is_open
        and not is_committed(entry_identity(str(entry.key)))
        and (entry.attempt in rows or now - entry.made_at >= LATE_MS)
    ]
    waiting = [row for row in rows.values() if not is_recorded(row, is_committed)]
    items += [
        row
        for row in waiting
        if row.kind in {RowKind.DENIAL, RowKind.REPEATS} and row.ready_at <= now
    ]
    suspects = tuple(
        row
        for row in waiting
        if row.kind is RowKind.BODY and row.key not in held and now - row.made_at >= LATE_MS
    )
    return Due(tuple(sorted(items, key=time_of)), suspects)


def time_of(item: Item) -> tuple[int, str, int]:
    """What records are ordered by: when it was made; then by attempt, so that it is one order."""
    return (item.made_at, item.attempt.replica, item.attempt.number)


def is_recorded(row: Row, is_committed: IsCommitted) -> bool:
    """Whether the ledger has what this row says, as its own record or its entry's."""
    if row.kind is RowKind.REASON:
        return False
    if is_committed(attempt_identity(row.attempt)):
        return True
    return row.kind is RowKind.BODY and is_committed(entry_identity(row.key))


def done(
    entries: Collection[Entry],
    rows: Mapping[Attempt, Row],
    *,
    is_committed: IsCommitted,
    now: int,
) -> Iterator[Attempt]:
    """The rows that the outboxes may forget, once all that is committed is safe."""
    changes = {entry.change for entry in entries}
    for row in rows.values():
        if row.kind is RowKind.BODY and not is_recorded(row, is_committed):
            changes.add(row.key.partition("/")[0])
    for attempt, row in rows.items():
        if row.kind is RowKind.REASON:
            if row.key not in changes and now - row.made_at >= REASON_MS:
                yield attempt
        elif is_recorded(row, is_committed):
            yield attempt


def frontiers(
    before: Mapping[str, int],
    highest: Mapping[str, int],
    *,
    waiting: Collection[Attempt],
) -> dict[str, int]:
    """Per replica the number up to which nothing waits any more; never less than before.

    Args:
        before: what the last seal said. A replica that is no longer here is left out.
        highest: the highest number that was pulled, of each replica that is here.
        waiting: what will still wait after the flush.
    """
    lowest: dict[str, int] = {}
    for replica, number in waiting:
        lowest[replica] = min(number, lowest.get(replica, number))
    return {
        replica: max(before.get(replica, 0), lowest.get(replica, number + 1) - 1)
        for replica, number in highest.items()
    }
