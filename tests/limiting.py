"""Builds what limits are about: caps as policies answer them and as they are read, and asks.

Ordinary and valid by default; a test names only what it is about. Nothing is decided here.
"""

from controller.apis.json import Json
from controller.apis.mandates import Budget
from controller.apis.pricebooks import PriceBook
from controller.apis.resources import NANO_USD
from controller.asks.asked import Asked
from controller.policy.engine import UnitResult
from controller.policy.results import Cap

GI = 2**30
HOUR_MS = 3_600_000
PRICES = PriceBook("book:1", {"cpu": NANO_USD // 10, "memory": NANO_USD // 100})
"""A tenth of a dollar for an hour of a CPU, a cent for one of a GiB."""
SPEND = Budget("spend", "usd", 40 * NANO_USD, 86_400)
RATE = Budget("rate", "changes", 200, 3600)


def a_found_cap(*, without: tuple[str, ...] = (), **changes: Json) -> dict[str, Json]:
    """One element of a unit's `cap`: 5 dollars an hour."""
    found: dict[str, Json] = {
        "resource": "usd",
        "limit": "5",
        "windowSeconds": 3600,
        "code": "after-hours",
        "message": "Outside office hours an agent spends little",
        "rule": "Outside office hours",
    }
    found.update(changes)
    return {key: value for key, value in found.items() if key not in without}


def a_capping_unit(*caps: Json) -> UnitResult:
    """A unit that refuses nothing, and caps so."""
    return UnitResult("governor.office_hours", {"deny": [], "warn": [], "cap": [*caps]})


def a_cap(resource: str = "usd", amount: int = 5 * NANO_USD, seconds: int | None = 3600) -> Cap:
    """5 dollars an hour, as read."""
    return Cap(
        resource,
        amount,
        seconds,
        code="after-hours",
        message="Outside office hours an agent spends little",
        rule="Outside office hours",
    )


def asking(
    pods: int,
    *,
    before: int = 0,
    cpu: int = 500,
    memory: int = GI,
    field: str = "spec.replicas",
    owner: str = "",
) -> Asked:
    """So many Pods, of which so many are there already, each of this size."""
    unit = {"cpu": cpu, "memory": memory, "pods": 1}
    return Asked(
        before={name: amount * before for name, amount in unit.items()} if before else {},
        after={name: amount * pods for name, amount in unit.items()},
        unit=unit,
        field=field,
        owner=owner,
    )
