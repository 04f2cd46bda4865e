"""What one account needs: its fence, the kinds to be watched for it, and when to look again.

Pure. Which writes took effect is decided in `controller.accounts`, what is sent to the
API server in `reconcilers.settlement`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from controller.accounts.account import COUNTED, Account, Fence
from controller.accounts.entries import Action, Entry, WatchedKind
from controller.accounts.views import KindView
from controller.accounts.windows import WindowKey
from controller.apis.mandates import Mandate
from controller.apis.resources import USD
from controller.feeds.registry import StoredMandate

_WRITES = frozenset({"*", "create", "update", "patch", "delete", "deletecollection"})
_RESTLESS = frozenset(
    {("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")}
)
"""Changed by the cluster itself many times a second, and seldom what an agent is about."""
_LEAVES_NO_TRACE = frozenset({Action.UNTRACED, Action.NOTHING})


@dataclass(frozen=True, slots=True)
class Times:
    """When what is due; seconds."""

    request_timeout: float = 60.0
    """The API server's own (`--request-timeout`): after it no write is stored any more."""
    margin: float = 10.0
    """For clocks that differ, and for a write that is being stored at that very moment."""
    refresh: float = 40.0
    """`as_of` of an account that holds or awaits something is never older than a minute: the
    next leader begins its histories there, and watches of a busy kind reach back 75 seconds."""
    idle_refresh: float = 240.0
    """`as_of` of any other account: its next create is bound to it, and the histories reach
    back ten minutes."""

    def deadline(self, entry: Entry) -> float:
        """When the clock may decide this entry, seconds since the epoch."""
        return entry.made_at / 1000 + self.request_timeout + self.margin

    def refresh_of(self, account: Account) -> float:
        """How old the account's `as_of` may become, seconds."""
        return self.idle_refresh if is_idle(account) else self.refresh


def fence_of(mandate: StoredMandate | None, *, current: Fence | None = None) -> Fence:
    """The fence that a stored mandate asks for.

    A mandate that cannot be read grants nothing, and one that is gone never will again.

    Args:
        mandate: as the API server holds it; None: there is none.
        current: the account's, if it has one.
    """
    if mandate is None:
        return replace(current or Fence("", 0, suspended=True), suspended=True)
    suspended = not isinstance(mandate.content, Mandate) or mandate.content.suspended
    return Fence(mandate.uid, mandate.generation, suspended=suspended)


def named_resources(mandate: StoredMandate | None) -> frozenset[tuple[str, str]]:
    """The group and plural of everything that a mandate names and lets be written.

    What only a wildcard covers is watched from the first write on, and so are Events and
    Leases.
    """
    if mandate is None or not isinstance(mandate.content, Mandate):
        return frozenset()
    named = frozenset(
        (group, resource.partition("/")[0])
        for rule in mandate.content.rules
        if not _WRITES.isdisjoint(rule.verbs)
        for group in rule.api_groups
        for resource in rule.resources
        if group != "*" and not resource.startswith("*")
    )
    return named - _RESTLESS


def needed_kinds(account: Account) -> frozenset[WatchedKind]:
    """What holdings are counted from, what was seen before, what open entries are proven by.

    Everybody's holdings are counted: who gets a quota later is counted already.
    """
    return COUNTED | account.as_of.keys() | {entry.kind for entry in awaited(account)}


def needed_windows(mandate: StoredMandate | None) -> frozenset[WindowKey]:
    """The windows that a mandate's budgets are spent in."""
    if mandate is None or not isinstance(mandate.content, Mandate):
        return frozenset()
    budgets = mandate.content.budgets
    return frozenset(WindowKey.of(budget) for budget in budgets)


def is_idle(account: Account) -> bool:
    """Whether it holds nothing, awaits nothing and spends nothing.

    What a raise costs is reserved as if it were held since the money was last counted, so
    that must not be long ago.
    """
    spends = any(key.resource == USD for key in account.windows)
    return not account.pending and not account.settled and not spends


def start_of(kind: WatchedKind, accounts: Iterable[Account]) -> int:
    """The resource version that a history of this kind begins at; 0: the newest.

    What is under way may need every version since its account was counted. Idle accounts
    await nothing, and theirs may be too old for a watch to reach back to.
    """
    counted = (a.as_of[kind] for a in accounts if kind in a.as_of and not is_idle(a))
    return min(counted, default=0)


def is_behind(account: Account, views: Mapping[WatchedKind, KindView]) -> bool:
    """Whether a create that is reserved now would be bound to before what was watched."""
    return any(kind in views and at < views[kind].listed_at for kind, at in account.as_of.items())


def awaited(account: Account) -> Iterator[Entry]:
    """The open entries that a watch, or else the clock, will decide."""
    return (
        entry for entry in account.pending if entry.is_open and entry.action not in _LEAVES_NO_TRACE
    )


def ends_of(account: Account) -> Iterator[float]:
    """When its windows end, seconds since the epoch."""
    return (window.ends_at(key) / 1000 for key, window in account.windows.items())


def seconds_until(moments: Collection[float], *, now: float, at_least: float) -> float:
    """How long it is until the first of these moments."""
    return max(at_least, min(moments) - now)
