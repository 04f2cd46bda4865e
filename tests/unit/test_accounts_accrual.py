"""How windows turn: what accrues, what is opened, renewed and dropped, and what time cannot do."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.accounts.account import MAX_IDLE_WINDOWS, MAX_WANTED
from controller.accounts.accrual import turn, without_passing_time
from controller.accounts.charges import cost
from controller.accounts.windows import Window, WindowKey

HOUR_MS = 3_600_000
MONEY = WindowKey("usd", 3600)
RATE = WindowKey("changes", 3600)
START = 500_000 * HOUR_MS
"""When an hour begins."""


def turned(
    windows: Mapping[WindowKey, Window],
    now: int,
    *,
    needed: tuple[WindowKey, ...] = (MONEY, RATE),
    wanted: tuple[WindowKey, ...] = (),
    rate: int | None = 1000,
) -> Mapping[WindowKey, Window]:
    """The windows `now` milliseconds after the hour began, at 1000 nano-USD an hour."""
    return turn(windows, now=START + now, needed=needed, wanted=wanted, rate=rate)


def test_windows_are_opened_on_the_grid_as_if_all_were_held_since_their_beginning() -> None:
    assert turned({}, HOUR_MS // 4) == {
        MONEY: Window(START, START + HOUR_MS // 4, 250),
        RATE: Window(START, START, 0),
    }


def test_what_is_held_accrues_up_to_now() -> None:
    before = {MONEY: Window(START, START + HOUR_MS // 4, 900)}
    after = turned(before, HOUR_MS // 2, needed=(MONEY,))
    assert after == {MONEY: Window(START, START + HOUR_MS // 2, 1150)}


def test_changes_cost_nothing_by_the_hour() -> None:
    before = {RATE: Window(START, START, 7)}
    assert turned(before, HOUR_MS // 2, needed=(RATE,)) == before


def test_a_window_past_its_end_begins_anew_with_what_is_held_since_then() -> None:
    before = {MONEY: Window(START, START, 900), RATE: Window(START, START, 7)}
    assert turned(before, 3 * HOUR_MS + HOUR_MS // 4) == {
        MONEY: Window(START + 3 * HOUR_MS, START + 3 * HOUR_MS + HOUR_MS // 4, 250),
        RATE: Window(START + 3 * HOUR_MS, START + 3 * HOUR_MS, 0),
    }


def test_a_window_that_nobody_needs_stays_to_its_end() -> None:
    before = {RATE: Window(START, START, 7)}
    assert turned(before, HOUR_MS - 1, needed=()) == before
    assert turned(before, HOUR_MS, needed=()) == {}


@pytest.mark.requirement("never-oversold.windows")
def test_windows_that_caps_wait_for_are_opened_beside_those_of_the_mandate() -> None:
    caps = tuple(WindowKey("changes", seconds) for seconds in range(60, 60 + MAX_WANTED))
    assert turned({}, 0, wanted=caps).keys() == {MONEY, RATE, *caps}


@pytest.mark.requirement("never-oversold.windows")
def test_windows_that_nobody_asks_for_are_kept_until_the_longest_make_room() -> None:
    """However often budgets are edited, an account can be stored."""
    idle = {WindowKey("changes", 10**6 + n): Window(START, START, 1) for n in range(200)}
    after = turned(idle, 1, wanted=(WindowKey("changes", 60),))
    shortest = tuple(idle)[:MAX_IDLE_WINDOWS]
    assert after.keys() == {*shortest, MONEY, RATE, WindowKey("changes", 60)}
    assert {after[key].spent for key in shortest} == {1}


def test_nothing_accrues_before_it_is_known_what_is_held_and_then_all_of_the_time() -> None:
    unknown = turned({}, HOUR_MS // 4, needed=(MONEY,), rate=None)
    assert unknown == {MONEY: Window(START, START, 0)}
    assert turned(unknown, HOUR_MS // 2, needed=(MONEY,))[MONEY].spent == 500


@pytest.mark.requirement("never-oversold.windows")
@pytest.mark.parametrize("back", [1, HOUR_MS, 100 * HOUR_MS])
def test_time_that_steps_back_changes_nothing(back: int) -> None:
    before = {MONEY: Window(START, START + 500_000, 900), RATE: Window(START, START, 7)}
    assert turned(before, 500_000 - back) == before


@pytest.mark.requirement("never-oversold.windows")
@given(
    rate=st.integers(0, 10**13),
    spent=st.integers(0, 10**12),
    steps=st.lists(st.integers(-10_000, 900_000), max_size=30),
)
def test_what_is_spent_and_what_the_rest_costs_stay_what_they_were(
    rate: int, spent: int, steps: list[int]
) -> None:
    windows: Mapping[WindowKey, Window] = {MONEY: Window(START, START, spent)}
    now, whole = 0, spent + cost(rate, HOUR_MS)
    for step in steps:
        now = min(now + step, HOUR_MS - 1)
        was = windows[MONEY]
        windows = turned(windows, now, needed=(MONEY,), rate=rate)
        window = windows[MONEY]
        assert window.spent + cost(rate, START + HOUR_MS - window.accrued_at) == whole
        assert (window.spent, window.accrued_at) >= (was.spent, was.accrued_at)


def test_what_only_time_has_changed_counts_as_unchanged() -> None:
    before = {MONEY: Window(START, START, 0), RATE: Window(START, START, 7)}
    assert without_passing_time(turned(before, HOUR_MS // 2), before) == before
    renewed = turned(before, HOUR_MS)
    assert without_passing_time(renewed, before) == renewed
    spent = {**before, RATE: Window(START, START, 8)}
    assert without_passing_time(spent, before) == spent
    assert without_passing_time({}, before) == {}
    opened = turned({}, 0)
    assert without_passing_time(opened, {}) == opened
