"""What an agent may hold and spend, as the reservation is to hold it: a value.

It is put together from the mandate and from what the policies cap; what is held
against it is decided in `controller.accounts.reserve`.
"""

from dataclasses import dataclass, field

from controller.apis.mandates import Budget
from controller.apis.pricebooks import PriceBook
from controller.apis.resources import NOTHING, USD, Amounts


@dataclass(frozen=True, slots=True)
class Limits:
    """All of them are held at once."""

    quota: Amounts = field(default_factory=lambda: NOTHING)
    """The most of each resource that live objects may hold; what is absent is unlimited."""
    budgets: tuple[Budget, ...] = ()
    prices: PriceBook = field(default_factory=PriceBook)
    are_relaxed: bool = False
    """What exceeds them is entered all the same, and told (`Reserved.excess`)."""

    @property
    def concern_holdings(self) -> bool:
        """Whether what live objects hold is limited, by amount or by what it costs."""
        return bool(self.quota) or any(budget.resource == USD for budget in self.budgets)

    @property
    def hold_anything(self) -> bool:
        """Whether they do, and refuse what exceeds them."""
        return self.concern_holdings and not self.are_relaxed


UNLIMITED = Limits()
