"""Counts what an agent holds at most: what is settled, and what its open writes may still add.

Writes that were validated against the same version of one object are rivals, of
which at most one takes effect: together they count as the largest. Nothing here
ever counts a write as less than nothing, so a proposal that lowers frees nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from controller.accounts.account import Account
from controller.accounts.entries import Action, Amounts, Entry, WatchedKind

Group: TypeAlias = tuple[str, int] | tuple[WatchedKind, str, str]
"""What only one write of all can take: a version of an object, or a name to be created."""


def charge(account: Account) -> Amounts:
    """What the agent may come to hold with all that was granted, per resource."""
    largest: dict[Group, dict[str, int]] = {}
    for entry in account.pending:
        if not entry.is_open:
            continue
        group = largest.setdefault(group_of(entry), {})
        for resource, amount in increase(entry.before, entry.after).items():
            group[resource] = max(group.get(resource, 0), amount)
    return total((account.settled, *largest.values()))


def increase(before: Amounts, after: Amounts) -> Amounts:
    """By how much each resource rises; those that do not are absent."""
    rises = {resource: amount - before.get(resource, 0) for resource, amount in after.items()}
    return {resource: amount for resource, amount in rises.items() if amount > 0}


def group_of(entry: Entry) -> Group:
    """The rivals of a write: they were validated against the same state."""
    if entry.action is Action.CREATE:
        return (entry.kind, entry.namespace, entry.name)
    return (entry.uid, entry.version)


def total(parts: Iterable[Mapping[str, int]]) -> Amounts:
    """The sum per resource, without zeros, so that equal sums are equal values."""
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(part)
    return MappingProxyType({resource: amount for resource, amount in sums.items() if amount})
