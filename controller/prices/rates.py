"""Prices what is held: nano-USD per hour, exact, and rounded up once for the whole.

It knows no object and no window. Where a resource is held that the book gives no price
of, there is no cost: whoever asks must refuse, not guess.
"""

from dataclasses import dataclass
from typing import Final

from controller.apis.pricebooks import PriceBook
from controller.apis.resources import CPU, MEMORY, PODS, Amounts

_PER_BOUGHT_UNIT: Final = {CPU: 1000, MEMORY: 2**30, PODS: 1}
"""How many of the units that amounts are counted in are sold as one."""


@dataclass(frozen=True, slots=True)
class Unpriced:
    """The PriceBook gives no price of this."""

    resource: str


def rate_of(held: Amounts, prices: PriceBook) -> int | Unpriced:
    """What these amounts cost, in nano-USD per hour.

    A resource that nothing is asked of needs no price; neither do pods, which are priced
    only where the book does.
    """
    parts = 0
    for resource, per_unit in _PER_BOUGHT_UNIT.items():
        amount, rate = held.get(resource, 0), prices.rates.get(resource)
        if not amount:
            continue
        if rate is None:
            if resource == PODS:
                continue
            return Unpriced(resource)
        parts += amount * rate * (_COMMON // per_unit)
    return -(-parts // _COMMON)


_COMMON: Final = 1000 * 2**30
"""A multiple of every bought unit, so that fractions are summed before they are rounded."""
