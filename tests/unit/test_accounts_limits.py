"""Quotas and budgets at the reservation: what passes, and what is told instead."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from controller.accounts.account import Account
from controller.accounts.entries import Action, Entry, Outcome
from controller.accounts.limits import Limits
from controller.accounts.reserve import (
    Exhausted,
    Reservation,
    Reserved,
    Uncounted,
    Unopened,
    reserve,
)
from controller.accounts.windows import Window, WindowKey
from controller.apis.mandates import Budget
from controller.apis.pricebooks import PriceBook
from controller.prices.rates import Unpriced
from tests.account_builders import (
    a_create,
    a_delete,
    a_proposal,
    an_account,
    an_entry,
    pods,
)

HOUR_MS = 3_600_000
RATE = Budget("rate", "changes", 2, 3600)
MONEY = Budget("spend", "usd", 1000, 3600)
CHANGES_KEY, MONEY_KEY = WindowKey("changes", 3600), WindowKey("usd", 3600)
PRICES = PriceBook("book:1", {"pods": 100})
"""A Pod costs 100 nano-USD an hour."""
NOT_COUNTED = replace(an_account(), asks_version=0)


def spent(account: Account, *, changes: int = 0, money: int = 0, accrued_at: int = 0) -> Account:
    """The account with both windows, charged by the prices."""
    windows = {CHANGES_KEY: Window(0, 0, changes), MONEY_KEY: Window(0, accrued_at, money)}
    return replace(account, windows=windows, prices=PRICES.identity)


def ask(
    account: Account,
    entry: Entry,
    *budgets: Budget,
    quota: Mapping[str, int] | None = None,
    prices: PriceBook = PRICES,
    relaxed: bool = False,
) -> Reservation:
    """What the account answers to a write under these limits."""
    limits = Limits(quota or {}, budgets, prices, relaxed)
    return reserve(account, replace(a_proposal(entry), limits=limits))


# Before anything is known.


@pytest.mark.requirement("never-oversold.limits")
def test_no_raise_passes_a_quota_before_everything_is_counted() -> None:
    verdict = ask(NOT_COUNTED, an_entry(after=1), quota=pods(9))
    assert isinstance(verdict, Uncounted)
    assert isinstance(ask(NOT_COUNTED, an_entry(before=1, after=1), quota=pods(9)), Reserved)
    assert isinstance(ask(NOT_COUNTED, an_entry(after=1), quota={"memory": 9}), Reserved)


@pytest.mark.requirement("never-oversold.limits")
def test_no_raise_passes_a_money_budget_before_everything_is_counted() -> None:
    assert isinstance(ask(spent(NOT_COUNTED), an_entry(after=1), MONEY), Uncounted)


@pytest.mark.requirement("never-oversold.limits")
def test_no_raise_is_charged_by_other_prices_than_the_accounts() -> None:
    newer = replace(PRICES, identity="book:2")
    verdict = ask(spent(an_account()), an_entry(after=1), MONEY, prices=newer)
    assert isinstance(verdict, Uncounted)


@pytest.mark.requirement("never-oversold.windows")
def test_a_missing_window_is_asked_for() -> None:
    account = replace(an_account(), wanted=(WindowKey("changes", 60),))
    verdict = ask(account, an_entry(after=1), RATE, MONEY)
    assert verdict == Unopened(
        replace(account, wanted=(WindowKey("changes", 60), CHANGES_KEY, MONEY_KEY)),
        (CHANGES_KEY, MONEY_KEY),
    )


def test_what_raises_nothing_needs_no_window_for_money() -> None:
    assert isinstance(ask(an_account(), an_entry(), MONEY), Reserved)


def test_what_changes_nothing_needs_no_window_at_all() -> None:
    assert isinstance(ask(an_account(), an_entry(action=Action.NOTHING), RATE, MONEY), Reserved)


def test_under_relaxed_limits_a_missing_window_is_asked_for_in_the_same_swap() -> None:
    verdict = ask(an_account(), an_entry(after=1), RATE, relaxed=True)
    assert isinstance(verdict, Reserved)
    assert verdict.account.wanted == (CHANGES_KEY,)
    assert verdict.account.pending == (verdict.entry,)


# Changes.


@pytest.mark.requirement("never-oversold.windows")
def test_changes_that_are_spent_and_those_that_are_open_count() -> None:
    open_one = an_entry("open", uid="api-1")
    assert isinstance(ask(spent(an_account(open_one)), an_entry(), RATE), Reserved)
    verdict = ask(spent(an_account(open_one), changes=1), an_entry(), RATE)
    assert verdict == Exhausted("changes", 1, 2, 2, RATE, ends_at=HOUR_MS)


@pytest.mark.requirement("explains-itself.final-or-retry")
@pytest.mark.parametrize(("made_at", "has_ended"), [(HOUR_MS - 1, False), (HOUR_MS, True)])
def test_a_window_that_has_ended_refuses_nobody_until_a_time_that_has_passed(
    made_at: int, *, has_ended: bool
) -> None:
    """The settler is late: what it holds is held on, but the reason is another."""
    entry = replace(a_create("9"), made_at=made_at)
    verdict = ask(spent(an_account(), changes=2), entry, RATE)
    assert isinstance(verdict, Uncounted if has_ended else Exhausted)


@pytest.mark.requirement("never-oversold.windows")
def test_a_window_that_has_ended_is_charged_for_as_long_as_it_stands() -> None:
    entry = replace(a_create("9"), made_at=HOUR_MS)
    verdict = ask(spent(an_account(), changes=1), entry, RATE)
    assert isinstance(verdict, Reserved)


@pytest.mark.requirement("never-oversold.windows")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(a_create("a", uid="web-1"), a_create("b", uid="web-2"), id="creates"),
        pytest.param(an_entry("a"), an_entry("b"), id="updates of one version"),
        pytest.param(a_delete("a"), an_entry("b"), id="a delete and an update"),
    ],
)
def test_each_open_write_counts_as_a_change_rivals_too(first: Entry, second: Entry) -> None:
    verdict = ask(spent(an_account(first), changes=1), second, RATE)
    assert isinstance(verdict, Exhausted)


@pytest.mark.requirement("never-oversold.windows")
def test_what_leaves_no_trace_is_a_change_at_once() -> None:
    command = an_entry(action=Action.UNTRACED)
    verdict = ask(spent(an_account(), changes=1), command, RATE)
    assert isinstance(verdict, Reserved)
    assert verdict.account.windows[CHANGES_KEY].spent == 2
    assert isinstance(ask(verdict.account, an_entry("next"), RATE), Exhausted)


def test_a_write_that_changes_nothing_is_no_change() -> None:
    account = spent(an_account(), changes=2)
    verdict = ask(account, an_entry(action=Action.NOTHING), RATE)
    assert isinstance(verdict, Reserved)
    assert verdict.account.windows == account.windows


def test_decided_writes_do_not_count_beside_what_is_spent() -> None:
    done = [an_entry(f"done-{n}").decided(Outcome.PERSISTED) for n in range(9)]
    assert isinstance(ask(spent(an_account(*done), changes=1), an_entry(), RATE), Reserved)


# Money.


@pytest.mark.requirement("never-oversold.windows")
@pytest.mark.parametrize(
    ("money", "accrued_at", "raised", "passes"),
    [
        pytest.param(0, 0, 10, True, id="a whole window for the whole budget"),
        pytest.param(0, 0, 11, False, id="more than a whole window's budget"),
        pytest.param(1, 0, 10, False, id="something is spent"),
        pytest.param(500, HOUR_MS // 2, 10, True, id="half the window, half the budget"),
        pytest.param(501, HOUR_MS // 2, 10, False, id="half the window, more than half is spent"),
        pytest.param(0, HOUR_MS // 2, 11, False, id="the next window would begin with a debt"),
    ],
)
def test_money_holds_for_the_rest_of_the_window_and_for_a_whole_one(
    *, money: int, accrued_at: int, raised: int, passes: bool
) -> None:
    account = spent(an_account(), money=money, accrued_at=accrued_at)
    verdict = ask(account, an_entry(after=raised), MONEY)
    assert isinstance(verdict, Reserved if passes else Exhausted)


@pytest.mark.requirement("never-oversold.windows")
def test_the_refusal_says_what_it_would_cost_and_what_is_left() -> None:
    account = spent(an_account(settled=5), money=600, accrued_at=HOUR_MS // 2)
    verdict = ask(account, an_entry(after=4), MONEY)
    # 600 are spent; the rest of the hour costs 250 already, and 200 more.
    assert verdict == Exhausted("usd", 200, 1000, 850, MONEY, ends_at=HOUR_MS)


@pytest.mark.requirement("never-oversold.windows")
def test_what_no_window_can_pay_is_told_without_an_end_to_wait_for() -> None:
    account = spent(an_account(settled=5), money=600, accrued_at=HOUR_MS // 2)
    verdict = ask(account, an_entry(after=6), MONEY)
    # A whole hour costs 500 already, and 600 more; that this one is nearly spent is no matter.
    assert verdict == Exhausted("usd", 600, 1000, 500, MONEY, ends_at=0)


def test_of_several_resources_the_one_that_leaves_the_least_is_told() -> None:
    """What passes it passes the others, too."""
    quota = {"pods": 6, "cpu": 1000, "memory": 900}
    entry = replace(an_entry(), after={"pods": 10, "cpu": 2000, "memory": 3000})
    assert ask(an_account(), entry, quota=quota) == Exhausted("memory", 3000, 900, 0)


def test_money_is_charged_by_everything_that_is_granted() -> None:
    account = spent(an_account(an_entry("open", uid="api-1", after=4), settled=5))
    assert isinstance(ask(account, an_entry(after=1), MONEY), Reserved)
    assert isinstance(ask(account, an_entry(after=2), MONEY), Exhausted)


def test_an_ask_without_a_price_is_refused_under_a_money_budget_only() -> None:
    entry = replace(an_entry(), after={"cpu": 500})
    assert ask(spent(an_account()), entry, MONEY) == Unpriced("cpu")
    assert isinstance(ask(spent(an_account()), entry, RATE), Reserved)


@pytest.mark.requirement("never-oversold.windows")
def test_every_budget_holds_at_once() -> None:
    tight = Budget("tight", "usd", 400, 3600)
    assert isinstance(ask(spent(an_account()), an_entry(after=4), MONEY, tight), Reserved)
    verdict = ask(spent(an_account()), an_entry(after=5), MONEY, tight)
    assert isinstance(verdict, Exhausted)
    assert verdict.budget == tight


# Relaxed.


def test_relaxed_limits_enter_what_exceeds_them_and_tell() -> None:
    verdict = ask(an_account(), an_entry(after=2), quota=pods(1), relaxed=True)
    assert isinstance(verdict, Reserved)
    assert verdict.account.pending == (an_entry(after=2),)
    assert verdict.excess == Exhausted("pods", 2, 1, 0)


@pytest.mark.requirement("explains-itself.relaxed")
def test_relaxed_limits_enter_what_has_no_price_and_tell() -> None:
    entry = replace(an_entry(), after={"cpu": 500})
    verdict = ask(spent(an_account()), entry, MONEY, relaxed=True)
    assert isinstance(verdict, Reserved)
    assert (verdict.account.pending, verdict.excess) == ((entry,), Unpriced("cpu"))
