"""What one write asks for, before and after it, and what must be looked up to say so.

Total: what cannot be read is the answer's `problem`, never an exception; so is a write that
would hide what is held. It grants nothing and knows no quota; where it cannot tell, it says
the larger number.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from controller.apis.json import Json, section_of
from controller.apis.requests import AdmissionRequest, Operation
from controller.apis.resources import NOTHING
from controller.asks.changes import asks_of_change
from controller.asks.claims import claimed
from controller.asks.letting_go import leaves_its_controller, left_behind
from controller.asks.ownership import owner_of
from controller.asks.scaling import asks_of_autoscaler, asks_of_scale, scaled_by, target_of
from controller.asks.selectors import releases
from controller.asks.values import Asked, AskProblem, Needs, ObjectReference, Surroundings
from controller.asks.workloads import (
    AUTOSCALER,
    DEPLOYMENT,
    JOBS,
    PER_NODE,
    SCALABLE,
    STATEFUL_SETS,
    Kind,
)

__all__ = [
    "NOTHING_ASKED",
    "AskProblem",
    "Asked",
    "Needs",
    "ObjectReference",
    "Surroundings",
    "asked_by",
    "needs_of",
]

NOTHING_ASKED: Final = Asked()
MOST_ASKED: Final = 2**56
"""Of one resource by one write: beyond it sums would leave the 64 bits of an account."""

_LASTING: Final = frozenset({Operation.CREATE, Operation.UPDATE})
_WHOLE: Final = frozenset({"", "status", "resize", "ephemeralcontainers"})
"""Subresources whose requests carry the object itself."""
_COUNTED_STATUS: Final[Mapping[Kind, tuple[str, ...]]] = {
    ("", "pods"): (
        "phase",
        "allocatedResources",
        "resources",
        "containerStatuses",
        "initContainerStatuses",
    ),
    PER_NODE: ("observedGeneration", "desiredNumberScheduled", "updatedNumberScheduled"),
    DEPLOYMENT: ("observedGeneration", "replicas", "updatedReplicas"),
    STATEFUL_SETS: ("currentRevision", "updateRevision"),
    JOBS: ("succeeded", "conditions"),
}
"""By what of its status an object is counted: kubelets and controllers report it."""


def needs_of(request: AdmissionRequest) -> Needs:
    """What must be known of the cluster to say what a write asks for."""
    kind, subresource = _kind_of(request), request.target.subresource
    if request.operation not in _LASTING:
        return Needs()
    if subresource == "scale" and kind in SCALABLE:
        return Needs(autoscalers=True, scaled=scaled_by(request))
    if subresource not in _WHOLE:
        return Needs()
    if kind == AUTOSCALER:
        return Needs(scaled=target_of(request.obj, request.namespace))
    return Needs(nodes=kind == PER_NODE, autoscalers=kind in SCALABLE)


def asked_by(request: AdmissionRequest, surroundings: Surroundings, *, agent: str = "") -> Asked:
    """What a write asks for.

    Args:
        request: as it came; of a create or an update with the final object.
        surroundings: what `needs_of` says must be looked up.
        agent: who sent it; empty: nobody who would be charged.
    """
    return _bounded(_asked_by(request, surroundings, agent))


def _asked_by(request: AdmissionRequest, surroundings: Surroundings, agent: str) -> Asked:
    kind, subresource = _kind_of(request), request.target.subresource
    if subresource == "scale" and kind in SCALABLE:
        return asks_of_scale(request, surroundings, agent=agent)
    if subresource not in _WHOLE:
        return NOTHING_ASKED
    problem = (
        _forged(request, kind)
        or left_behind(request, kind)
        or claimed(request, kind)
        or releases(request, kind)
    )
    if problem is not None:
        return Asked(owner=owner_of(request.old), problem=problem)
    obj = _as_stored(request) if request.operation in _LASTING else None
    if kind == AUTOSCALER:
        return asks_of_autoscaler(request.old, obj, surroundings.scaled, agent=agent)
    asked = asks_of_change(kind, request.old, obj, surroundings, agent=agent)
    # What its controller lets go of is replaced: it comes on top of what is held already.
    return replace(asked, before=NOTHING) if leaves_its_controller(request) else asked


def _bounded(asked: Asked) -> Asked:
    """The same, or the problem that it is more than can be counted."""
    beyond = [name for name, amount in asked.after.items() if amount > MOST_ASKED]
    if not beyond:
        before = {name: min(amount, MOST_ASKED) for name, amount in asked.before.items()}
        return replace(asked, before=before)
    message = f"asks more {beyond[0]} than is counted: at most {MOST_ASKED}"
    return Asked(owner=asked.owner, problem=AskProblem(asked.field, message))


def _kind_of(request: AdmissionRequest) -> Kind:
    return request.target.group, request.target.resource


def _as_stored(request: AdmissionRequest) -> Mapping[str, Json]:
    """The final object with the status that it will have: only writes of it change it."""
    obj = request.obj or {}
    if request.target.subresource == "status":
        return obj
    return {**obj, "status": (request.old or {}).get("status")}


def _forged(request: AdmissionRequest, kind: Kind) -> AskProblem | None:
    """A status by which the object would count otherwise, and that no controller reported."""
    if request.target.subresource != "status":
        return None
    old, new = section_of(request.old, "status"), section_of(request.obj, "status")
    for key in _COUNTED_STATUS.get(kind, ()):
        if old.get(key) != new.get(key):
            message = "says what the object holds: only the cluster's own controllers write it"
            return AskProblem(f"status.{key}", message)
    return None
