"""The values that an outbox holds and tells. No I/O."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from controller.accounts.entries import Attempt

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_KEY_BYTES = 4096
FOLD_WINDOW_MS = 60_000
"""Repeats of one denial that are made within this time of the first are counted as one row."""


class RowKind(StrEnum):
    """What a row holds."""

    BODY = "body"
    """The body of one granted write; the key is its entry's."""
    DENIAL = "denial"
    """The body of one refused write; the key is what its repeats have in common."""
    REPEATS = "repeats"
    """How often that denial was repeated; the body is the first repeat's."""
    REASON = "reason"
    """The reason that an agent gave, UTF-8; the key is the change id."""


@dataclass(frozen=True, slots=True)
class Row:
    """One numbered row of one replica. Times are milliseconds since the epoch."""

    attempt: Attempt
    kind: RowKind
    key: str
    made_at: int
    ready_at: int
    """From when on it may be recorded: at once, or for `REPEATS` when the window has ended."""
    body: bytes
    of: int | None = None
    """Of `REPEATS`: the number of the denial that was repeated."""
    count: int = 1
    last: int = 0
    """When the last of `count` was made."""
    final: bool = True
    """False: a `REPEATS` that may still count. Record it, and acknowledge it, when it is final."""


class Position(NamedTuple):
    """How far a replica has come. Numbers begin at 1."""

    highest: int
    """The highest number ever given; 0: none."""
    acknowledged_up_to: int
    """Every number up to this one was acknowledged."""

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits, and nothing is missing."""
        return self.acknowledged_up_to == self.highest
