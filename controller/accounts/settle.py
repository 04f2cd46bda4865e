"""Computes an account's next state from what one settler has seen.

One swap writes all of it: `settled` absolutely, from live objects at one moment; the
versions it was counted from; the outcome of every open entry that the same views decide;
what is spent by now; the fence. So each write is counted once, as pending or as settled,
and each change is spent once; two settlers at once do no harm. Nothing here counts what is
held by increment, or ends an entry because somebody else has recorded it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from controller.accounts.account import ASKS_VERSION, COUNTED, Account, Fence, is_counted
from controller.accounts.accrual import turn, without_passing_time
from controller.accounts.charges import charge, increase, is_spent
from controller.accounts.cuts import cut_at_one_moment
from controller.accounts.entries import Entry, EntryKey, Outcome, WatchedKind
from controller.accounts.evidence import judge, judge_overdue
from controller.accounts.recount import recount
from controller.accounts.views import KindView
from controller.accounts.windows import Window, WindowKey, spend
from controller.apis.pricebooks import PriceBook
from controller.prices.rates import Unpriced, rate_of


@dataclass(frozen=True, slots=True)
class ViewTooOld:
    """The account was counted from later versions than this settler has seen."""

    kind: WatchedKind
    seen_to: int
    """0: it does not watch this kind at all."""
    as_of: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What windows are turned by."""

    now: int
    """Milliseconds since the epoch."""
    windows: Collection[WindowKey]
    """Of the mandate's budgets."""
    prices: PriceBook
    """While they are unknown, the account stays charged by those that it knows."""


def settle(
    account: Account,
    views: Mapping[WatchedKind, KindView],
    *,
    fence: Fence,
    ledgered: Collection[EntryKey],
    overdue: Mapping[EntryKey, int],
    unwatchable: Collection[WatchedKind] = (),
    spending: Spending,
) -> Account | ViewTooOld:
    """The next account, to be swapped for exactly the one given; maybe equal.

    Args:
        account: as read; after a conflict everything here is computed anew, `overdue` too.
        views: of all kinds in which the agent may hold or change something.
        fence: of the mandate as it is known now.
        ledgered: the entries whose records are committed.
        overdue: per open entry past its deadline (its `made_at`, the API server's request
            timeout, a margin) the resource version of a quorum read made after that.
        unwatchable: kinds of which the API server itself says that it serves no such thing,
            or lets nobody watch it. Nothing is counted from them any more, and their entries
            are unknown once they are overdue.
        spending: what windows are turned by.
    """
    account = replace(account, as_of=_without(account.as_of, unwatchable))
    too_old = _find_older(account, views)
    if too_old is not None:
        return too_old
    moment = _count_from(account, views, unwatchable=unwatchable)
    evidence = _Evidence(views, moment, overdue, unwatchable)
    kept = tuple(e for e in account.pending if e.is_open or e.key not in ledgered)
    pending = tuple(_decide(entry, account, evidence) for entry in kept)
    changes = sum(_is_spent_now(was, now) for was, now in zip(kept, pending, strict=True))
    return replace(
        enforce_fence(account, fence),
        settled=recount(account.agent, moment).total if moment else account.settled,
        asks_version=ASKS_VERSION if moment else account.asks_version,
        as_of=_advance(account.as_of, views, moment),
        pending=pending,
        windows=spend(_turned(account, spending), changes=changes),
        wanted=(),
        prices=spending.prices.identity if spending.prices.is_known else account.prices,
    )


def enforce_fence(account: Account, fence: Fence) -> Account:
    """The account with the mandate's state copied, which no view can hold up.

    An older generation of the same mandate, which a lagging settler may still believe in,
    changes nothing.
    """
    held = account.fence
    is_older = fence.mandate_uid == held.mandate_uid and fence.generation < held.generation
    return account if is_older else replace(account, fence=fence)


def is_worth_a_swap(before: Account, after: Account) -> bool:
    """Whether more changed than how far the same kinds were seen, and what time has cost.

    A kind that is new in `as_of` counts, for creates of it can be proven lost from then on;
    so does one that is no longer watched. What has cost accrues as well with a later swap.
    """
    windows = without_passing_time(after.windows, before.windows)
    has_same_kinds = after.as_of.keys() == before.as_of.keys()
    return not has_same_kinds or replace(after, as_of=before.as_of, windows=windows) != before


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What entries are judged by."""

    views: Mapping[WatchedKind, KindView]
    moment: Mapping[WatchedKind, KindView]
    """The views of the counted kinds as they are counted; empty: they cannot be counted now."""
    overdue: Mapping[EntryKey, int]
    unwatchable: Collection[WatchedKind]

    def view_for(self, entry: Entry) -> KindView | None:
        """What decides an entry.

        A raise ends its charge, so it is decided by what `settled` is counted from: an autoscaler
        would count as nothing as long as its target is not in view, and a Deployment as too
        little as long as its Pods are not.
        """
        is_counted_raise = entry.kind in COUNTED and increase(entry.before, entry.after)
        return (self.moment if is_counted_raise else self.views).get(entry.kind)


def _find_older(account: Account, views: Mapping[WatchedKind, KindView]) -> ViewTooOld | None:
    for kind, as_of in account.as_of.items():
        view = views.get(kind)
        seen_to = 0 if view is None else view.seen_to
        if view is None or seen_to < as_of:
            return ViewTooOld(kind, seen_to, as_of)
    return None


def _count_from(
    account: Account,
    views: Mapping[WatchedKind, KindView],
    *,
    unwatchable: Collection[WatchedKind],
) -> Mapping[WatchedKind, KindView]:
    """The counted kinds at one moment, that is not before what was counted already; or nothing."""
    kinds = COUNTED.difference(unwatchable)
    moment = cut_at_one_moment(views, kinds) or {}
    is_older = any(view.seen_to < account.as_of.get(kind, 0) for kind, view in moment.items())
    return {} if is_older else moment


def _advance(
    as_of: Mapping[WatchedKind, int],
    views: Mapping[WatchedKind, KindView],
    moment: Mapping[WatchedKind, KindView],
) -> Mapping[WatchedKind, int]:
    seen = {kind: view.seen_to for kind, view in views.items() if kind not in COUNTED}
    counted = {kind: view.seen_to for kind, view in moment.items()}
    return MappingProxyType({**as_of, **seen, **counted})


def _without(
    as_of: Mapping[WatchedKind, int], unwatchable: Collection[WatchedKind]
) -> Mapping[WatchedKind, int]:
    return MappingProxyType({kind: at for kind, at in as_of.items() if kind not in unwatchable})


def _decide(entry: Entry, account: Account, evidence: _Evidence) -> Entry:
    if not entry.is_open:
        return entry
    if entry.kind in evidence.unwatchable:
        return entry.decided(Outcome.UNKNOWN) if entry.key in evidence.overdue else entry
    view = evidence.view_for(entry)
    if view is None:
        return entry
    outcome = judge(entry, view, account.pending) or _judge_late(entry, view, evidence.overdue)
    return entry if outcome is None else entry.decided(outcome)


def _judge_late(entry: Entry, view: KindView, overdue: Mapping[EntryKey, int]) -> Outcome | None:
    read_at = overdue.get(entry.key)
    if read_at is None or view.seen_to < read_at:
        return None
    return judge_overdue(entry, view)


def _is_spent_now(before: Entry, after: Entry) -> bool:
    """Whether this swap decides it, and it was a change or may have been one."""
    return before.outcome is None and after.outcome is not None and is_spent(after.outcome)


def _turned(account: Account, spending: Spending) -> Mapping[WindowKey, Window]:
    """The windows now, charged by all that could be held until now: what is granted, too.

    What is not counted yet, or has no known prices, accrues later, for all of the time: time
    that passed for nothing would let an agent spend twice.
    """
    can_tell = is_counted(account) and spending.prices.is_known
    return turn(
        account.windows,
        now=spending.now,
        needed=spending.windows,
        wanted=account.wanted,
        rate=_rate(account, spending.prices) if can_tell else None,
    )


def _rate(account: Account, prices: PriceBook) -> int:
    """What everything with a price costs, in nano-USD per hour.

    What has none was granted before there was a budget, or its price was taken away.
    """
    held = {name: amount for name, amount in charge(account).items() if name in prices.rates}
    rate = rate_of(held, prices)
    return 0 if isinstance(rate, Unpriced) else rate
