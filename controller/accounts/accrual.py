"""Turns the windows to a moment: what is spent by then, which are opened, renewed or dropped.

Only a settler does. What holdings cost accrues so that what is spent and what the rest
of the window will cost, taken together, stay what they were: what was granted within a
budget stays within it. Time that steps back changes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.accounts.account import MAX_IDLE_WINDOWS
from controller.accounts.charges import cost
from controller.accounts.windows import Window, WindowKey
from controller.apis.resources import USD


def turn(
    windows: Mapping[WindowKey, Window],
    *,
    now: int,
    needed: Collection[WindowKey],
    wanted: Collection[WindowKey],
    rate: int | None,
) -> Mapping[WindowKey, Window]:
    """The windows at this moment.

    Args:
        windows: as they are.
        now: milliseconds since the epoch.
        needed: those of the mandate's budgets, which are opened and renewed.
        wanted: those that policies' caps wait for; opened, too.
        rate: what is held cost since the last accrual, nano-USD per hour; None: it is not
            known yet, and accrues later, for all of the time.
    """
    kept = {key: one for key, one in windows.items() if now < one.ends_at(key)}
    asked_for = dict.fromkeys((*sorted(needed), *sorted(wanted)))
    # Of dropped budgets, and of caps between two writes. Without a bound, edits would fill it.
    idle = sorted(kept.keys() - asked_for.keys(), key=lambda key: (key.seconds, key))
    keys = (*asked_for, *idle[:MAX_IDLE_WINDOWS])
    turned = {key: kept.get(key) or _opened(key, now) for key in keys}
    if rate is None:
        return MappingProxyType(turned)
    return MappingProxyType({key: _accrued(key, turned[key], now, rate) for key in turned})


def without_passing_time(
    after: Mapping[WindowKey, Window], before: Mapping[WindowKey, Window]
) -> Mapping[WindowKey, Window]:
    """The windows as they would be, had no cost accrued in those that are the same still."""
    return {key: _at_once(key, one, before.get(key)) for key, one in after.items()}


def _opened(key: WindowKey, now: int) -> Window:
    """Of the grid's window, from its beginning: what is held now counts as held since then."""
    started_at = now - now % (key.seconds * 1000)
    return Window(started_at, started_at, 0)


def _accrued(key: WindowKey, window: Window, now: int, rate: int) -> Window:
    ends_at = window.ends_at(key)
    until = max(window.accrued_at, min(now, ends_at))
    if key.resource != USD or until == window.accrued_at:
        return window
    # Not the cost of the time between, rounded up: a window sees thousands of accruals.
    spent = cost(rate, ends_at - window.accrued_at) - cost(rate, ends_at - until)
    return replace(window, accrued_at=until, spent=window.spent + spent)


def _at_once(key: WindowKey, after: Window, before: Window | None) -> Window:
    is_same = before is not None and before.started_at == after.started_at
    return before if before is not None and is_same and key.resource == USD else after
