"""Decides whether one more write fits into an account, and enters it.

The returned account is a proposal for a compare-and-swap; only its success grants
the write. Nothing here gives anything back: an entry ends by evidence or by the
clock (`controller.accounts.settle`), whatever became of the answer.
"""

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from controller.accounts.account import MAX_PENDING, Account, Fence
from controller.accounts.charges import charge, increase
from controller.accounts.entries import NOTHING, Action, Amounts, Entry, Outcome

_AT_ONCE = {Action.UNTRACED: Outcome.ALLOWED, Action.NOTHING: Outcome.NO_OP}
_WITHOUT_STAMP = frozenset({Action.DELETE, Action.VALUE})


@dataclass(frozen=True, slots=True)
class Proposal:
    """A write that the policies granted, as it asks to be entered."""

    entry: Entry
    """Open; its `before` is what the object asks now, whosever it is. Of a create the
    `version` is filled in here."""
    mandate_uid: str
    mandate_generation: int
    """Of the mandate that judged it."""
    limits: Amounts = field(default_factory=lambda: NOTHING)
    """The most that the agent may hold; a resource that is absent is unlimited."""
    owner: str = ""
    """The agent that the object belonged to before the write; empty: nobody's."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """It may be let through, once `account` is what the API server holds."""

    account: Account
    """Equal to the one given where the entry is there already: nothing need be written."""
    entry: Entry
    """As it stands in the account. Of a write without a stamp it can be the entry of an
    earlier call, with another change id."""


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A raise that does not fit."""

    resource: str
    asked: int
    """By how much the write raises it."""
    limit: int
    held: int
    """Without this write and its rivals: `limit - held` is the largest raise that passes; none
    passes where that is not positive."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """The kill switch is thrown."""


@dataclass(frozen=True, slots=True)
class StaleMandate:
    """The write was judged by an older mandate than the account knows."""

    fence: Fence


@dataclass(frozen=True, slots=True)
class AlreadySettled:
    """Its identity is used up: that attempt is over, or was another write."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Backlog:
    """Too many writes wait for their evidence or their record."""

    pending: int


Reservation: TypeAlias = Reserved | Exhausted | Suspended | StaleMandate | AlreadySettled | Backlog


def reserve(account: Account, proposal: Proposal) -> Reservation:
    """Enter a write, or say why it must not be let through.

    The same key is the same entry, and is kept. The fence is asked every time: a
    write that is sent again after a suspension is refused although it is pending.
    """
    found = _find(account, proposal.entry)
    if found is not None and (_is_over(found) or _differ(found, proposal.entry)):
        return AlreadySettled(found)
    refused = _ask_fence(account.fence, proposal)
    if refused is not None:
        return refused
    if found is not None:
        return _keep(account, found, made_at=proposal.entry.made_at)
    if len(account.pending) >= MAX_PENDING:
        return Backlog(len(account.pending))
    entry = _filled_in(account, proposal)
    grown = replace(account, pending=(*account.pending, entry))
    return _find_excess(account, grown, entry, proposal.limits) or Reserved(grown, entry)


def _find(account: Account, entry: Entry) -> Entry | None:
    key, change = entry.key, entry.change
    same = next((e for e in account.pending if e.change == change and e.key == key), None)
    if same is not None or entry.action not in _WITHOUT_STAMP:
        return same
    # Without a stamp each call has a change id of its own: a force delete is validated
    # three times, and all that tells these calls from another write is what they ask.
    return next((known for known in account.pending if _is_repeated(known, entry)), None)


def _is_repeated(known: Entry, entry: Entry) -> bool:
    is_same_state = known.uid == entry.uid and known.version == entry.version
    is_open = known.is_open and bool(entry.uid)
    return is_open and is_same_state and not _differ(known, entry)


def _is_over(known: Entry) -> bool:
    """Whether its record may already deny what a late answer would let through."""
    return not known.is_open and known.action not in _AT_ONCE


def _differ(known: Entry, entry: Entry) -> bool:
    """Whether one key would stand for two writes, of which the record could name only one."""
    return (known.action, known.kind, known.namespace, known.name, known.digest, known.after) != (
        entry.action,
        entry.kind,
        entry.namespace,
        entry.name,
        entry.digest,
        entry.after,
    )


def _ask_fence(fence: Fence, proposal: Proposal) -> StaleMandate | Suspended | None:
    is_older = proposal.mandate_generation < fence.generation
    if proposal.mandate_uid != fence.mandate_uid or is_older:
        return StaleMandate(fence)
    return Suspended() if fence.suspended else None


def _keep(account: Account, found: Entry, *, made_at: int) -> Reserved:
    """The entry stays as it is; of a write without a stamp, it lives as long as its last call.

    That call may belong to a later request, and its commit would find the entry
    ended by the clock of the first.
    """
    if found.action not in _WITHOUT_STAMP or made_at <= found.made_at:
        return Reserved(account, found)
    kept = replace(found, made_at=made_at)
    pending = tuple(kept if entry is found else entry for entry in account.pending)
    return Reserved(replace(account, pending=pending), kept)


def _filled_in(account: Account, proposal: Proposal) -> Entry:
    entry = proposal.entry
    if entry.action in _AT_ONCE:
        return entry.decided(_AT_ONCE[entry.action])
    if entry.action is Action.CREATE:
        return replace(entry, version=account.as_of.get(entry.kind, 0))
    if proposal.owner != account.agent and increase(entry.before, entry.after):
        # Adopted: from now on the agent answers for all of it, not for the difference.
        return replace(entry, before=NOTHING)
    return entry


def _find_excess(
    account: Account, grown: Account, entry: Entry, limits: Amounts
) -> Exhausted | None:
    asks = increase(entry.before, entry.after) if entry.is_open and limits else NOTHING
    if not asks:
        return None
    held, counted = charge(account), charge(grown)
    for resource, asked in asks.items():
        limit = limits.get(resource)
        if limit is None or counted.get(resource, 0) <= limit:
            continue
        # If its rivals fit, this write is the largest of them, and the excess is its own.
        fits_without = held.get(resource, 0) <= limit
        rest = counted[resource] - asked if fits_without else held[resource]
        return Exhausted(resource, asked, limit, rest)
    return None
