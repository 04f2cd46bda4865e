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
from controller.accounts.entries import Entry, Outcome
from controller.apis.quantities import MOST
from controller.apis.resources import Amounts

Group: TypeAlias = tuple[str, int]
"""What only one write of all can take: a version of an object."""

_HOUR = 3_600_000


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


def open_changes(account: Account) -> int:
    """How many changes may still take effect.

    Rivals are not taken together here: of two creates of one name the second can take effect
    once a person has deleted what the first has made, and of two writes to an ending object
    the one that takes the last finalizer away is not bound to its version.
    """
    return sum(entry.is_open for entry in account.pending)


def is_spent(outcome: Outcome) -> bool:
    """Whether a write with this outcome was a change, or may have been one."""
    return outcome not in {Outcome.LOST, Outcome.NO_OP}


def cost(rate: int, milliseconds: int) -> int:
    """What a rate in nano-USD per hour comes to, in nano-USD, rounded up."""
    return -(-rate * milliseconds // _HOUR)


def increase(before: Amounts, after: Amounts) -> Amounts:
    """By how much each resource rises; those that do not are absent."""
    rises = {resource: amount - before.get(resource, 0) for resource, amount in after.items()}
    return {resource: amount for resource, amount in rises.items() if amount > 0}


def group_of(entry: Entry) -> Group:
    """The rivals of a write: they were validated against the same version of one object.

    Creates are nobody's rivals, not even of one name: what the first made may be gone when the
    second takes effect, and its Pods still end.
    """
    return (entry.uid, entry.version)


def total(parts: Iterable[Mapping[str, int]]) -> Amounts:
    """The sum per resource, without zeros, so that equal sums are equal values.

    At most what an account can hold: people may scale an agent's object as far as they like.
    """
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(part)
    return MappingProxyType(
        {resource: min(amount, MOST) for resource, amount in sums.items() if amount}
    )
