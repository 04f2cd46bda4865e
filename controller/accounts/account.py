"""The account of one agent as a value: fence, settled sums, and the writes that are pending.

It is the content of one Account object, whose compare-and-swap is reservation,
record of the grant and kill-switch check in one write. What may be reserved is
decided in `controller.accounts.reserve`, what settles in `controller.accounts.settle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from controller.accounts.entries import NOTHING, Amounts, Entry, WatchedKind

MAX_PENDING = 200
"""The API server's cost of a swap grows with the list; beyond it the agent is asked to wait."""


@dataclass(frozen=True, slots=True)
class Fence:
    """Which state of the mandate reservations must not be older than."""

    mandate_uid: str
    generation: int
    suspended: bool
    """Nothing is reserved. Also once the mandate is gone."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one agent holds and has under way."""

    agent: str
    """The mandate's name, and the object's."""
    fence: Fence
    settled: Amounts = field(default_factory=lambda: NOTHING)
    """Counted from live objects, absolutely."""
    as_of: Mapping[WatchedKind, int] = field(
        default_factory=lambda: MappingProxyType(dict[WatchedKind, int]())
    )
    """Per watched kind the resource version that `settled` was counted from."""
    pending: tuple[Entry, ...] = ()
