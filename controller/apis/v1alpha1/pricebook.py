"""The PriceBook as administrators write it: what an hour of each resource costs.

Its documentation is what `kubectl explain` shows: write it for them. Validates,
and charges nobody; `conversion` turns it into the core type.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from controller.apis.cel import cel_rule
from controller.apis.shapes import ListOf, MapListBy
from controller.apis.v1alpha1.amounts import PRICE_FORM, AmountText
from controller.apis.v1alpha1.wire import ApiVersion, Conditions, Generation, ObjectMeta, WireModel

PRICEBOOK_NAME: Final = "cluster"
"""The name of the one PriceBook that counts."""


class Price(WireModel):
    """What one resource costs."""

    resource: Literal["cpu", "memory", "pods"]
    """`cpu` is priced per core, `memory` per GiB, `pods` per Pod, beside what the Pod requests."""
    usd_per_hour: AmountText
    """US dollars for an hour of one of them, such as `"0.0316"`, with at most 9 decimals. In YAML
    a number with decimals must be quoted."""

    @cel_rule(
        PRICE_FORM.cel("self.usdPerHour"),
        message="usdPerHour is in US dollars, from 0 to 999999, with at most 9 decimals: write "
        '"0.0316"',
        at=".usdPerHour",
    )
    def is_in_dollars(self) -> bool:
        """Nano-dollars are what is counted."""
        return PRICE_FORM.admits(self.usd_per_hour)


class PriceBookSpec(WireModel):
    """What budgets in US dollars are charged by."""

    prices: Annotated[ListOf[Price], Field(min_length=1, max_length=3), MapListBy("resource")]
    """One price for each resource. Without a price for `cpu` or `memory`, agents with a budget in
    US dollars cannot create what requests it; without one for `pods`, a Pod costs only what it
    requests."""


class PriceBookStatus(WireModel):
    """What Governor observed of the prices. Written by Governor only."""

    observed_generation: Generation | None = None
    """The `metadata.generation` that Governor acted on last; while it is older than the object's
    own, the newest change is not in force yet."""
    conditions: Conditions | None = None
    """`Ready`: budgets are charged by these prices."""


class PriceBook(WireModel):
    """What the agents' objects cost, for budgets in US dollars.

    Only the one named `cluster` counts, and no other can be created; without it, agents with a
    budget in US dollars can create nothing that costs. New prices hold from when they are stored;
    what is spent already stays so.
    """

    api_version: ApiVersion
    kind: Literal["PriceBook"]
    metadata: ObjectMeta
    spec: PriceBookSpec
    """What budgets in US dollars are charged by. Written by administrators."""
    status: PriceBookStatus | None = None
    """What Governor observed of the prices. Written by Governor only."""

    @cel_rule(
        f"self.metadata.name == '{PRICEBOOK_NAME}'",
        message=f"metadata.name must be {PRICEBOOK_NAME}: there is one PriceBook for the cluster",
    )
    def is_the_one_of_the_cluster(self) -> bool:
        """Two would have to be merged, and nobody could say which one counts."""
        return self.metadata.name == PRICEBOOK_NAME
