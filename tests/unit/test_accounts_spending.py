"""What a settler's swap spends, and from which moment it counts."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from controller.accounts.account import ASKS_VERSION, COUNTED, Account, Fence
from controller.accounts.entries import Entry, EntryKey, Outcome, WatchedKind
from controller.accounts.settle import Spending, is_worth_a_swap, settle
from controller.accounts.views import KindView
from controller.accounts.windows import Window, WindowKey
from controller.apis.pricebooks import PriceBook
from tests.account_builders import (
    DEPLOYMENTS,
    MANDATE_UID,
    PODS,
    a_create,
    a_version,
    a_view,
    an_account,
    an_entry,
    pods,
    views_of,
)

HOUR_MS = 3_600_000
RATE, MONEY = WindowKey("changes", 3600), WindowKey("usd", 3600)
PRICES = PriceBook("book:1", {"pods": 100})
FENCE = Fence(MANDATE_UID, 1, suspended=False)


def spent(account: Account, *, changes: int = 0, money: int = 0) -> Account:
    """With both windows, opened at the epoch."""
    windows = {RATE: Window(0, 0, changes), MONEY: Window(0, 0, money)}
    return replace(account, windows=windows, prices=PRICES.identity)


def settled(
    account: Account,
    views: Mapping[WatchedKind, KindView] | None = None,
    *,
    now: int = 0,
    prices: PriceBook = PRICES,
    overdue: Mapping[EntryKey, int] | None = None,
) -> Account:
    """The next account, which there must be."""
    result = settle(
        account,
        views or views_of(a_view()),
        fence=FENCE,
        ledgered=(),
        overdue=overdue or {},
        spending=Spending(now, (RATE, MONEY), prices),
    )
    assert isinstance(result, Account)
    return result


# Changes are spent with their outcome.

MOVED_ON = [a_version(10), a_version(20, "mine")]


@pytest.mark.requirement("never-oversold.windows")
@pytest.mark.parametrize(
    ("entry", "view", "changes"),
    [
        pytest.param(an_entry(), a_view(*MOVED_ON), 8, id="it is persisted"),
        pytest.param(an_entry("x"), a_view(*MOVED_ON), 7, id="it is lost"),
        pytest.param(an_entry("x"), a_view(MOVED_ON[1], listed_at=20), 8, id="nobody can tell"),
        pytest.param(an_entry(), a_view(a_version(10)), 7, id="it is open"),
        pytest.param(an_entry().decided(Outcome.PERSISTED), a_view(), 7, id="it was decided"),
    ],
)
def test_a_change_is_spent_by_the_swap_that_decides_it(
    entry: Entry, view: KindView, changes: int
) -> None:
    result = settled(spent(an_account(entry), changes=7), views_of(view))
    assert result.windows[RATE].spent == changes
    assert settled(result, views_of(view)).windows[RATE].spent == changes, "and by no other"


def test_a_change_that_is_decided_after_its_window_ended_is_spent_in_the_next() -> None:
    account = spent(an_account(an_entry()), changes=7)
    result = settled(account, views_of(a_view(*MOVED_ON)), now=HOUR_MS)
    assert result.windows[RATE] == Window(HOUR_MS, HOUR_MS, 1)


# Money accrues by what could be held.


@pytest.mark.requirement("never-oversold.windows")
def test_until_a_raise_is_decided_it_costs_as_if_it_had_taken_effect() -> None:
    account = spent(an_account(an_entry(after=3), settled=2))
    result = settled(account, now=HOUR_MS // 2)
    assert result.windows[MONEY] == Window(0, HOUR_MS // 2, 250)
    assert result.settled == {}, "by now nothing is there"
    assert settled(result, now=HOUR_MS * 3 // 4).windows[MONEY].spent == 250 + 75


def test_prices_are_charged_from_the_swap_that_brings_them() -> None:
    dearer = PriceBook("book:2", {"pods": 200})
    result = settled(spent(an_account(settled=1), money=5), now=HOUR_MS // 2, prices=dearer)
    assert (result.prices, result.windows[MONEY].spent) == ("book:2", 105)


def test_what_has_no_price_costs_nothing_and_hides_no_other_cost() -> None:
    account = replace(spent(an_account()), settled={"cpu": 1000, "pods": 1})
    assert settled(account, now=HOUR_MS // 2).windows[MONEY].spent == 50


def test_what_was_never_counted_accrues_once_it_is() -> None:
    account = replace(spent(an_account()), asks_version=0)
    view = views_of(a_view(a_version(5, ask=4)))
    counted = settled(account, view, now=HOUR_MS // 4)
    assert (counted.asks_version, counted.settled) == (ASKS_VERSION, pods(4))
    assert counted.windows[MONEY] == Window(0, 0, 0)
    assert settled(counted, view, now=HOUR_MS // 2).windows[MONEY].spent == 200


# Windows.


def test_windows_that_are_wanted_are_opened_and_wanted_no_more() -> None:
    wanted = WindowKey("changes", 60)
    result = settled(replace(an_account(), wanted=(wanted,)))
    assert result.windows.keys() == {RATE, MONEY, wanted}
    assert result.wanted == ()


@pytest.mark.parametrize(
    ("now", "is_worth"),
    [
        pytest.param(HOUR_MS - 1, False, id="time has passed"),
        pytest.param(HOUR_MS, True, id="the windows have ended"),
    ],
)
def test_what_accrues_is_not_worth_a_swap(*, now: int, is_worth: bool) -> None:
    views = views_of(a_view(a_version(5, ask=5)))
    account = settled(spent(an_account(settled=5)), views)
    assert is_worth_a_swap(account, settled(account, views, now=now)) is is_worth


def test_new_prices_are_worth_a_swap() -> None:
    account = settled(spent(an_account()))
    assert is_worth_a_swap(account, replace(account, prices="book:2"))


# One moment.


def behind(seen_to: int) -> dict[WatchedKind, KindView]:
    """Deployments at 100, with the create of one; Pods only seen so far."""
    created = a_view(a_version(50, "mine", ask=3))
    return views_of(created, others={PODS: a_view(seen_to=seen_to)})


@pytest.mark.requirement("never-oversold.one-moment")
def test_a_raise_is_counted_and_decided_once_every_counted_kind_has_reached_it() -> None:
    account = an_account(a_create(after=3))
    early = settled(account, behind(49))
    assert (early.settled, early.pending) == ({}, account.pending)
    assert early.as_of == dict.fromkeys(COUNTED, 49)
    late = settled(early, behind(50))
    assert late.settled == pods(3)
    assert [e.outcome for e in late.pending] == [Outcome.PERSISTED]


@pytest.mark.requirement("never-oversold.one-moment")
def test_what_one_kind_no_longer_shows_is_held_until_the_others_are_as_far() -> None:
    gone = a_view(a_version(10, ask=3), a_version(50, is_deleted=True))
    account = an_account(settled=3)
    early = settled(account, views_of(gone, others={PODS: a_view(seen_to=49)}))
    assert early.settled == pods(3)
    assert settled(early, views_of(gone)).settled == {}


@pytest.mark.requirement("never-oversold.one-moment")
@pytest.mark.parametrize(
    "others",
    [
        pytest.param({PODS: a_view(seen_to=40)}, id="a list is later than another watch"),
        pytest.param({PODS: a_view(seen_to=9)}, id="that would be before what was counted"),
    ],
)
def test_without_a_moment_nothing_is_counted_and_no_raise_decided(
    others: dict[WatchedKind, KindView],
) -> None:
    raised, plain = an_entry(before=1, after=2), an_entry("plain", uid="api-1")
    account = an_account(raised, plain, settled=7, as_of={DEPLOYMENTS: 10})
    view = a_view(
        a_version(60, "mine"),
        a_version(10, uid="api-1"),
        a_version(70, "plain", uid="api-1"),
        listed_at=50 if others[PODS].seen_to > 10 else 1,
    )
    result = settled(account, views_of(view, others=others))
    assert (result.settled, result.as_of) == (pods(7), {DEPLOYMENTS: 10})
    assert result.pending[0] == raised
    assert not result.pending[1].is_open, "what raises nothing waits for no other kind"


def test_a_counted_kind_that_nobody_can_watch_holds_no_count_up() -> None:
    views = views_of(a_view(a_version(5, ask=2)))
    del views[PODS]
    result = settle(
        replace(an_account(), as_of={}),
        views,
        fence=FENCE,
        ledgered=(),
        overdue={},
        unwatchable={PODS},
        spending=Spending(0, (), PRICES),
    )
    assert isinstance(result, Account)
    assert result.settled == pods(2)
