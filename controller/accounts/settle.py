"""Computes an account's next state from what one settler has seen.

One swap writes all of it: `settled` absolutely, from live objects; the versions it
was counted from; the outcome of every open entry that the same views decide; the
fence. So each write is counted once, as pending or as settled, and two settlers at
once do no harm. Nothing here counts by increment, or ends an entry because
somebody else has recorded it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from controller.accounts.account import Account, Fence
from controller.accounts.charges import total
from controller.accounts.entries import Entry, EntryKey, Outcome, WatchedKind
from controller.accounts.evidence import judge, judge_overdue
from controller.accounts.views import KindView
from controller.apis.resources import Amounts


@dataclass(frozen=True, slots=True)
class ViewTooOld:
    """The account was counted from later versions than this settler has seen."""

    kind: WatchedKind
    seen_to: int
    """0: it does not watch this kind at all."""
    as_of: int


def settle(
    account: Account,
    views: Mapping[WatchedKind, KindView],
    *,
    fence: Fence,
    ledgered: Collection[EntryKey],
    overdue: Mapping[EntryKey, int],
    unwatchable: Collection[WatchedKind] = (),
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
    """
    account = replace(account, as_of=_without(account.as_of, unwatchable))
    too_old = _find_older(account, views)
    if too_old is not None:
        return too_old
    kept = (e for e in account.pending if e.is_open or e.key not in ledgered)
    return replace(
        enforce_fence(account, fence),
        settled=_recount(account.agent, views),
        as_of=_advance(account.as_of, views),
        pending=tuple(
            _give_up(entry, overdue)
            if entry.kind in unwatchable
            else _decide(entry, account, views, overdue)
            for entry in kept
        ),
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
    """Whether more changed than how far the same kinds were seen.

    A kind that is new in `as_of` counts, for creates of it can be proven lost from then on;
    so does one that is no longer watched.
    """
    has_same_kinds = after.as_of.keys() == before.as_of.keys()
    return not has_same_kinds or replace(after, as_of=before.as_of) != before


def _find_older(account: Account, views: Mapping[WatchedKind, KindView]) -> ViewTooOld | None:
    for kind, as_of in account.as_of.items():
        view = views.get(kind)
        seen_to = 0 if view is None else view.seen_to
        if view is None or seen_to < as_of:
            return ViewTooOld(kind, seen_to, as_of)
    return None


def _recount(agent: str, views: Mapping[WatchedKind, KindView]) -> Amounts:
    return total(
        version.ask
        for view in views.values()
        for version in view.living()
        if version.owner == agent
    )


def _advance(
    as_of: Mapping[WatchedKind, int], views: Mapping[WatchedKind, KindView]
) -> Mapping[WatchedKind, int]:
    seen = {kind: view.seen_to for kind, view in views.items()}
    return MappingProxyType({**as_of, **seen})


def _without(
    as_of: Mapping[WatchedKind, int], unwatchable: Collection[WatchedKind]
) -> Mapping[WatchedKind, int]:
    return MappingProxyType({kind: at for kind, at in as_of.items() if kind not in unwatchable})


def _give_up(entry: Entry, overdue: Mapping[EntryKey, int]) -> Entry:
    return entry.decided(Outcome.UNKNOWN) if entry.key in overdue else entry


def _decide(
    entry: Entry,
    account: Account,
    views: Mapping[WatchedKind, KindView],
    overdue: Mapping[EntryKey, int],
) -> Entry:
    view = views.get(entry.kind)
    if view is None or not entry.is_open:
        return entry
    outcome = judge(entry, view, account.pending) or _judge_late(entry, view, overdue)
    return entry if outcome is None else entry.decided(outcome)


def _judge_late(entry: Entry, view: KindView, overdue: Mapping[EntryKey, int]) -> Outcome | None:
    read_at = overdue.get(entry.key)
    if read_at is None or view.seen_to < read_at:
        return None
    return judge_overdue(entry, view)
