"""The account of one agent as a value: fence, settled sums, and the writes that are pending.

It is the content of one Account object, whose compare-and-swap is reservation,
record of the grant and kill-switch check in one write. What may be reserved is
decided in `controller.accounts.reserve`, what settles in `controller.accounts.settle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from controller.accounts.entries import Entry, WatchedKind
from controller.accounts.windows import Window, WindowKey
from controller.apis.resources import NOTHING, Amounts

MAX_PENDING = 200
"""The API server's cost of a swap grows with the list; beyond it the agent is asked to wait."""
MAX_WANTED = 16
"""Windows that policies' caps wait for at once; the others wait for the next opening."""
MAX_IDLE_WINDOWS = 48
"""That no budget and no waiting cap asks for: until they end, or longer ones make room."""
ASKS_VERSION = 1
"""Of the extraction in `controller.asks`: raised with every change of what objects ask for, so
that nobody adds asks to sums that were counted otherwise."""
COUNTED = frozenset(
    {
        WatchedKind("", "v1", "nodes"),
        WatchedKind("", "v1", "pods"),
        WatchedKind("", "v1", "replicationcontrollers"),
        WatchedKind("apps", "v1", "daemonsets"),
        WatchedKind("apps", "v1", "deployments"),
        WatchedKind("apps", "v1", "replicasets"),
        WatchedKind("apps", "v1", "statefulsets"),
        WatchedKind("autoscaling", "v2", "horizontalpodautoscalers"),
        WatchedKind("batch", "v1", "cronjobs"),
        WatchedKind("batch", "v1", "jobs"),
    }
)
"""The kinds that `settled` is counted from, each in the one version in which it is counted."""


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
    windows: Mapping[WindowKey, Window] = field(
        default_factory=lambda: MappingProxyType(dict[WindowKey, Window]())
    )
    """What is spent by now, opened and renewed by the settler."""
    wanted: tuple[WindowKey, ...] = ()
    """Windows that a policy's cap is waiting for: the settler is to open them."""
    prices: str = ""
    """The identity of the PriceBook by which windows are charged."""
    asks_version: int = 0
    """Of the extraction by which `settled` was counted; 0: it was not counted yet."""


def is_counted(account: Account) -> bool:
    """Whether `settled` says what the agent holds, in the amounts of this Governor."""
    return account.asks_version == ASKS_VERSION and account.as_of.keys() >= COUNTED
