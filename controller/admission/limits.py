"""Puts together what a granted write is held to: the mandate's limits and the policies' caps.

Whether they are kept is decided in `controller.accounts.reserve`, never here.
"""

from collections.abc import Sequence
from types import MappingProxyType

from controller.accounts.limits import Limits
from controller.apis.mandates import Budget, Enforcement, Mandate
from controller.apis.pricebooks import PriceBook
from controller.policy.results import Cap


def limits_of(mandate: Mandate, caps: Sequence[Cap], prices: PriceBook) -> Limits:
    """All that the reservation is to hold; of several limits on one resource, the smallest.

    Args:
        mandate: that the write is judged by.
        caps: of the policies that judged it.
        prices: by which spending is counted.
    """
    quota = dict(mandate.quota)
    budgets = list(mandate.budgets)
    for cap in caps:
        budget = budget_of(cap)
        if budget is None:
            quota[cap.resource] = min(cap.amount, quota.get(cap.resource, cap.amount))
        else:
            budgets.append(budget)
    return Limits(
        quota=MappingProxyType(quota),
        budgets=tuple(budgets),
        prices=prices,
        are_relaxed=mandate.enforcement is not Enforcement.ENFORCE,
    )


def budget_of(cap: Cap) -> Budget | None:
    """The budget that a cap is held as; None: it is a quota, for what is held, not spent."""
    if cap.window_seconds is None:
        return None
    return Budget(cap.code, cap.resource, cap.amount, cap.window_seconds)
