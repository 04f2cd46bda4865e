"""Decides whether one more write fits into an account, and enters it.

The returned account is a proposal for a compare-and-swap; only its success grants
the write. Nothing here gives anything back: an entry ends by evidence or by the
clock (`controller.accounts.settle`), whatever became of the answer.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

from controller.accounts.account import MAX_PENDING, MAX_WANTED, Account, Fence, is_counted
from controller.accounts.charges import charge, cost, increase, is_spent, open_changes
from controller.accounts.entries import Action, Entry, Outcome
from controller.accounts.limits import UNLIMITED, Limits
from controller.accounts.windows import WindowKey, spend
from controller.apis.mandates import Budget
from controller.apis.resources import CHANGES, NOTHING, USD, Amounts
from controller.prices.rates import Unpriced, rate_of

_AT_ONCE = {Action.UNTRACED: Outcome.ALLOWED, Action.NOTHING: Outcome.NO_OP}
_Sides: TypeAlias = tuple[Amounts, Amounts]
"""What the agent may come to hold without one more write, and with it."""
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
    limits: Limits = UNLIMITED
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
    excess: "Exhausted | Unpriced | None" = None
    """What it exceeds, or has no price, where the limits are relaxed."""


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A raise, or a change, that does not fit."""

    resource: str
    asked: int
    """By how much the write raises it; of `usd` what that costs until the limit is new."""
    limit: int
    held: int
    """Without this write and its rivals: `limit - held` is the largest raise that passes; none
    passes where that is not positive."""
    budget: Budget | None = None
    """The budget that is used up; None: it is the quota."""
    ends_at: int = 0
    """When the budget's window ends, milliseconds since the epoch; 0: no window could pay for
    it, or it is the quota."""


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


@dataclass(frozen=True, slots=True)
class Uncounted:
    """What the agent holds was not counted yet as the limits need it; the settler will."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unopened:
    """Windows are missing; once `account` is stored, the settler opens them."""

    account: Account
    missing: tuple[WindowKey, ...]


Reservation: TypeAlias = (
    Reserved
    | Exhausted
    | Suspended
    | StaleMandate
    | AlreadySettled
    | Backlog
    | Uncounted
    | Unopened
    | Unpriced
)


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
    grown = _entered(account, entry)
    unheld = _hold_limits(account, grown, entry, proposal.limits)
    if not proposal.limits.are_relaxed:
        return unheld or Reserved(grown, entry)
    if isinstance(unheld, Unopened):  # so that the next write is told what it exceeds
        grown = replace(grown, wanted=unheld.account.wanted)
    return Reserved(grown, entry, unheld if isinstance(unheld, Exhausted | Unpriced) else None)


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


def _entered(account: Account, entry: Entry) -> Account:
    """The account with one entry more. What leaves no trace is spent at once."""
    pending = (*account.pending, entry)
    if entry.outcome is None or not is_spent(entry.outcome):
        return replace(account, pending=pending)
    return replace(account, pending=pending, windows=spend(account.windows, changes=1))


def _hold_limits(
    account: Account, grown: Account, entry: Entry, limits: Limits
) -> Exhausted | Uncounted | Unopened | Unpriced | None:
    raises = increase(entry.before, entry.after) if entry.is_open else NOTHING
    holds = raises and limits.concern_holdings
    sides = (charge(account), charge(grown)) if holds else None
    exceeded = (
        (_hold_quota(account, sides, raises, limits.quota) if sides else None)
        or _find_missing(account, entry, raises, limits)
        or _hold_changes(account, grown, limits)
        or (_hold_spending(account, sides, limits) if sides else None)
    )
    if isinstance(exceeded, Exhausted) and 0 < exceeded.ends_at <= entry.made_at:
        # It is charged for as long as it stands, but nobody is told to come when it has ended.
        return Uncounted(f"the window of a budget of {exceeded.resource} has ended, and is renewed")
    return exceeded


def _hold_quota(
    account: Account, sides: _Sides, raises: Amounts, quota: Amounts
) -> Exhausted | Uncounted | None:
    limited = {resource: asked for resource, asked in raises.items() if resource in quota}
    if not limited:
        return None
    if not is_counted(account):
        return Uncounted("what the agent holds is being counted")
    held, counted = sides
    found: list[Exhausted] = []
    for resource, asked in limited.items():
        limit = quota[resource]
        if counted.get(resource, 0) <= limit:
            continue
        # If its rivals fit, this write is the largest of them, and the excess is its own.
        fits_without = held.get(resource, 0) <= limit
        rest = counted[resource] - asked if fits_without else held[resource]
        found.append(Exhausted(resource, asked, limit, rest))
    # Of several the one that leaves the least: what passes it passes the others, too.
    return min(found, key=lambda one: Fraction(one.limit - one.held, one.asked), default=None)


def _find_missing(
    account: Account, entry: Entry, raises: Amounts, limits: Limits
) -> Uncounted | Unopened | None:
    """What must be there before budgets can be held."""
    is_change = entry.is_open or entry.outcome is Outcome.ALLOWED
    needed = {
        WindowKey.of(budget)
        for budget in limits.budgets
        if (raises if budget.resource == USD else is_change)
    }
    missing = tuple(sorted(needed - account.windows.keys()))
    if missing:
        wanted = tuple(sorted({*account.wanted, *missing}))[:MAX_WANTED]
        return Unopened(replace(account, wanted=wanted), missing)
    if not any(key.resource == USD for key in needed):
        return None
    if not is_counted(account):
        return Uncounted("what the agent holds is being counted")
    if limits.prices.identity != account.prices:
        return Uncounted("the prices that it would be charged by are not in force yet")
    return None


def _hold_changes(account: Account, grown: Account, limits: Limits) -> Exhausted | None:
    for budget in limits.budgets:
        key = WindowKey.of(budget)
        if budget.resource != CHANGES or key not in grown.windows:
            continue
        window = account.windows[key]
        held = window.spent + open_changes(account)
        counted = grown.windows[key].spent + open_changes(grown)
        if counted > max(budget.limit, held):  # what changes nothing passes, whatever was spent
            return Exhausted(CHANGES, 1, budget.limit, held, budget, window.ends_at(key))
    return None


def _hold_spending(account: Account, sides: _Sides, limits: Limits) -> Exhausted | Unpriced | None:
    budgets = [budget for budget in limits.budgets if budget.resource == USD]
    if not budgets:
        return None
    before, after = (rate_of(held, limits.prices) for held in sides)
    if isinstance(after, Unpriced):
        return after
    # Whatever is held without a price now was granted without a budget.
    before = 0 if isinstance(before, Unpriced) else before
    return next(filter(None, (_overspent(account, b, before, after) for b in budgets)), None)


def _overspent(account: Account, budget: Budget, before: int, after: int) -> Exhausted | None:
    """Hold the rest of this window, and a whole one like those to come (DESIGN §4.3)."""
    key = WindowKey.of(budget)
    window = account.windows.get(key)
    if window is None or after <= before:
        return None
    rest, whole = window.ends_at(key) - window.accrued_at, key.seconds * 1000
    for spent, span, ends_at in ((0, whole, 0), (window.spent, rest, window.ends_at(key))):
        if spent + cost(after, span) > budget.limit:
            asked = cost(after - before, span)
            held = spent + cost(after, span) - asked
            return Exhausted(USD, asked, budget.limit, held, budget, ends_at)
    return None
