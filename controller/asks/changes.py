"""What an object asks before and after a write, and the most while its Pods are replaced.

A changed template replaces Pods one by one, so that old and new ones run side by side: of
each resource the larger of the two counts for all of them, and the surge is on top.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from controller.accounts.charges import increase
from controller.accounts.views import Fleet
from controller.apis.json import Json
from controller.apis.resources import CPU, MEMORY, PODS, Amounts
from controller.asks.ownership import owner_of
from controller.asks.reading import Reader
from controller.asks.scaling import answered_for, most_of
from controller.asks.values import Asked, Surroundings
from controller.asks.workloads import (
    CRON_JOBS,
    DEPLOYMENT,
    JOBS,
    OLDER_SCALED,
    PER_NODE,
    SCALABLE,
    Ask,
    Kind,
    is_rolling,
    may_scale_older,
    read_ask,
    surge_of,
    template_of,
)

_NOTHING: Final = Ask()
_COUNT_FIELDS: Final[Mapping[Kind, str]] = {
    ("", "pods"): "spec.containers",
    JOBS: "spec.parallelism",
    CRON_JOBS: "spec.jobTemplate.spec.parallelism",
    PER_NODE: "spec.template.spec.containers",
}
_TEMPLATE_FIELDS: Final[Mapping[Kind, str]] = {
    CRON_JOBS: "spec.jobTemplate.spec.template.spec.containers"
}
_SURGE_FIELDS: Final[Mapping[Kind, str]] = {
    DEPLOYMENT: "spec.strategy.rollingUpdate.maxSurge",
    PER_NODE: "spec.updateStrategy.rollingUpdate.maxSurge",
}


def asks_of_change(
    kind: Kind,
    old: Mapping[str, Json] | None,
    new: Mapping[str, Json] | None,
    surroundings: Surroundings,
    *,
    agent: str = "",
) -> Asked:
    """What one object asks before and after a write.

    Args:
        kind: group and plural.
        old: as stored; None: it is created.
        new: as it is to be; None: it is deleted.
        surroundings: how many nodes, and which autoscalers there are.
        agent: who sent it.
    """
    nodes, owner = surroundings.nodes, owner_of(old)
    held = read_ask(*kind, old, nodes=nodes).ask if old is not None else _NOTHING
    if new is None:
        return Asked(before=held.total, owner=owner)
    wanted, problems = read_ask(*kind, new, nodes=nodes)
    if problems:
        return Asked(owner=owner, problem=problems[0])
    if wanted.fleet is None:
        field = _COUNT_FIELDS.get(kind, "")
        return Asked(held.total, wanted.total, wanted.total, field if wanted.total else "", owner)
    before = held.fleet
    is_scaled = before is not None and wanted.fleet.replicas > before.replicas
    if is_scaled and may_scale_older(kind, old or {}):
        return Asked(owner=owner, problem=OLDER_SCALED)
    reader = Reader()
    fleet = _replacing(reader, kind, (old, new), before=before, after=wanted.fleet)
    scalers = surroundings.autoscalers if kind in SCALABLE else ()
    holder = agent or owner_of(new) if old is None else owner
    most = most_of(kind, new, scalers, holder=holder)
    most_before, most_after = answered_for(
        held.total, _total(fleet, most=0, nodes=nodes), most=most, is_own=agent in {"", holder}
    )
    return Asked(
        before=_total(before, most=most_before, nodes=nodes) if before else held.total,
        after=_total(fleet, most=most_after, nodes=nodes),
        unit=fleet.unit,
        field=_field(kind, before, fleet),
        owner=owner,
        count_field=_count_field(kind, before, fleet),
        problem=reader.problems[0] if reader.problems else None,
    )


def _replacing(
    reader: Reader,
    kind: Kind,
    objects: tuple[Mapping[str, Json] | None, Mapping[str, Json]],
    *,
    before: Fleet | None,
    after: Fleet,
) -> Fleet:
    """The Pods that there may be at once from the write on."""
    old, new = objects
    if old is None or before is None:
        return replace(after, surge=0, surge_percent=0)
    is_replaced = _differ(template_of(kind, old), template_of(kind, new))
    rolls = is_replaced or is_rolling(old)
    surge, percent = surge_of(reader, kind, new) if rolls else (0, 0)
    return replace(
        after,
        unit=_larger(before.unit, after.unit) if is_replaced else after.unit,
        surge=surge,
        surge_percent=percent,
        # The status speaks of the old spec.
        is_per_node=after.is_per_node
        or (kind == PER_NODE and _differ(old.get("spec"), new.get("spec"))),
    )


def _differ(one: Json, other: Json) -> bool:
    try:
        return one != other
    except RecursionError:  # what is nested too deeply to be compared is taken for changed
        return True


def _larger(one: Amounts, other: Amounts) -> Amounts:
    names = (name for name in (CPU, MEMORY, PODS) if name in one or name in other)
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in names}


def _total(fleet: Fleet, *, most: int, nodes: int) -> Amounts:
    return fleet.total(max(most, nodes if fleet.is_per_node else 0))


def _field(kind: Kind, before: Fleet | None, after: Fleet) -> str:
    """What to change to ask less: what each Pod asks, where that grew, or how many there are."""
    if before is not None and increase(before.unit, after.unit):
        return _TEMPLATE_FIELDS.get(kind, "spec.template.spec.containers")
    return _number_field(kind, before, after)


def _count_field(kind: Kind, before: Fleet | None, after: Fleet) -> str:
    number = _number_field(kind, before, after)
    return number if number != _field(kind, before, after) else ""


def _number_field(kind: Kind, before: Fleet | None, after: Fleet) -> str:
    """What makes more Pods than before: their number, or what runs beside them meanwhile."""
    is_more = before is None or after.replicas > before.replicas
    surges = (after.surge or after.surge_percent) and before is not None
    if surges and not is_more and kind in _SURGE_FIELDS:
        return _SURGE_FIELDS[kind]
    return _COUNT_FIELDS.get(kind, "spec.replicas")
