"""What a scale asks for, what an autoscaler may raise, and which object either acts on.

An autoscaler of an agent asks for what it may add to its target; where the target is not
that agent's, for all of it, since that agent alone answers for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from controller.accounts.charges import increase
from controller.accounts.views import Fleet, Scaling
from controller.apis.json import Json, section_of, text_of
from controller.apis.requests import AdmissionRequest
from controller.apis.resources import NOTHING, Amounts
from controller.asks.ownership import owner_of
from controller.asks.reading import Reader
from controller.asks.values import Asked, AskProblem, ObjectReference, Surroundings
from controller.asks.workloads import (
    AUTOSCALER,
    OLDER_SCALED,
    Kind,
    may_scale_older,
    read_ask,
)

_VERSION: Final = "v1"
"""In which every kind that can be scaled and counted is served."""


def scaled_by(request: AdmissionRequest) -> ObjectReference:
    """The object that a `/scale` request acts on."""
    target = request.target
    uid = text_of(section_of(request.old, "metadata").get("uid"))
    return ObjectReference(
        target.group, _VERSION, target.resource, request.namespace, request.name, uid
    )


def target_of(autoscaler: Mapping[str, Json] | None, namespace: str) -> ObjectReference | None:
    """The object that an autoscaler acts on; None: it is of a kind that nobody counts."""
    scaling = _scaling(autoscaler)
    if scaling is None or not scaling.resource:
        return None
    return ObjectReference(scaling.group, _VERSION, scaling.resource, namespace, scaling.name)


def most_of(
    kind: Kind,
    obj: Mapping[str, Json],
    autoscalers: Iterable[Mapping[str, Json]],
    *,
    holder: str,
) -> int:
    """To how many the autoscalers of its namespace may raise an object; 0: none may.

    Those of its agent, and of people: what another agent would raise is charged to that one.
    """
    name, holders = section_of(obj, "metadata").get("name"), {"", holder}
    found = (_scaling(one) for one in autoscalers if owner_of(one) in holders)
    aimed = (one for one in found if one is not None and (one.group, one.resource) == kind)
    return max((one.most for one in aimed if one.name == name), default=0)


def answered_for(before: Amounts, after: Amounts, *, most: int, is_own: bool) -> tuple[int, int]:
    """How many replicas the agent answers for at least, before a write and after it.

    What an object of somebody else may be raised to is not the agent's to answer for, until
    the agent raises it: then all of it is.

    Args:
        before: what the object asks without its autoscalers.
        after: likewise, after the write.
        most: what they may raise it to.
        is_own: it is the agent's already.
    """
    if is_own:
        return most, most
    return 0, most if increase(before, after) else 0


def asks_of_scale(
    request: AdmissionRequest, surroundings: Surroundings, *, agent: str = ""
) -> Asked:
    """What the scaled object asks before and after a write of its `/scale`."""
    kind, stored = (request.target.group, request.target.resource), surroundings.scaled
    if stored is None:
        return Asked(problem=AskProblem("", "the object to be scaled is not there any more"))
    owner = owner_of(stored)
    (ask, problems), reader = read_ask(*kind, stored), Reader()
    counts = [_replicas(reader, scale) for scale in (request.old, request.obj)]
    found = (*problems, *reader.problems)
    if ask.fleet is None or found:
        return Asked(owner=owner, problem=found[0] if found else None)
    if counts[1] > counts[0] and may_scale_older(kind, stored):
        return Asked(owner=owner, problem=OLDER_SCALED)
    most = most_of(kind, stored, surroundings.autoscalers, holder=owner)
    old, new = (replace(ask.fleet, replicas=count) for count in counts)
    most_before, most_after = answered_for(
        old.total(), new.total(), most=most, is_own=agent in {"", owner}
    )
    before, after = old.total(most_before), new.total(most_after)
    return Asked(before, after, ask.fleet.unit, "spec.replicas", owner)


def asks_of_autoscaler(
    old: Mapping[str, Json] | None,
    new: Mapping[str, Json] | None,
    scaled: Mapping[str, Json] | None,
    *,
    agent: str = "",
) -> Asked:
    """What an autoscaler asks for before and after a write.

    Args:
        old: as stored; None: it is created.
        new: as it is to be; None: it is deleted.
        scaled: its target as stored; None: there is none, or it is not counted.
        agent: whose a new one becomes.
    """
    owner, scaling = owner_of(old), _scaling(new)
    if new is None or scaling is None:
        return Asked(owner=owner)
    _, problems = read_ask(*AUTOSCALER, new)
    if problems:
        return Asked(owner=owner, problem=problems[0])
    fleet = _fleet(scaling, scaled)
    if fleet is None:
        return Asked(owner=owner, field="spec.maxReplicas")
    # Of a create in a dry run nothing says it yet: no label is set.
    holder = owner if old is not None else (owner_of(new) or agent)
    is_own = bool(holder) and owner_of(scaled) == holder
    before = _scaling(old)
    is_same = before is not None and replace(before, most=scaling.most) == scaling
    held = _added(fleet, before.most, is_own=is_own) if before and is_same else NOTHING
    raised = _added(fleet, scaling.most, is_own=is_own)
    kind = (scaling.group, scaling.resource)
    if increase(held, raised) and may_scale_older(kind, scaled or {}):
        return Asked(owner=owner, problem=replace(OLDER_SCALED, field="spec.maxReplicas"))
    return Asked(
        before=held,
        after=raised,
        unit=fleet.unit,
        field="spec.maxReplicas",
        owner=owner,
    )


def _added(fleet: Fleet, most: int, *, is_own: bool) -> Amounts:
    """What an autoscaler answers for."""
    raised = fleet.total(most)
    return increase(fleet.total(), raised) if is_own else raised


def _fleet(scaling: Scaling, scaled: Mapping[str, Json] | None) -> Fleet | None:
    if scaled is None or not scaling.resource:
        return None
    return read_ask(scaling.group, scaling.resource, scaled).ask.fleet


def _scaling(autoscaler: Mapping[str, Json] | None) -> Scaling | None:
    return read_ask(*AUTOSCALER, autoscaler).ask.scaling if autoscaler is not None else None


def _replicas(reader: Reader, scale: Mapping[str, Json] | None) -> int:
    """The API server leaves a zero out."""
    spec = reader.mapping(scale or {}, "spec", "")
    return reader.count(spec, "replicas", "spec", default=0)
