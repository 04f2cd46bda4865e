"""Finds writes after which Pods run on that nobody answers for.

Pods belong to an agent through the controllers that made them. A controller lets go of a Pod
whose labels it does not select any more, and makes another; whatever is deleted with `Orphan`,
which is the default of two kinds, leaves its Pods behind. Such a write would free quota that
is still held. Says so; what follows is decided in `controller.asks.asked`.
"""

from collections.abc import Mapping
from typing import Final

from controller.apis.json import Json, section_of
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.ownership import AGENT, controller_of, owner_of
from controller.asks.values import AskProblem
from controller.asks.workloads import CONTROLLERS, JOBS, MAKERS, Kind

_ORPHANED_BY_DEFAULT: Final = frozenset({JOBS, CONTROLLERS})
"""For the sake of clients from before `propagationPolicy`."""
_ORPHAN_FINALIZER: Final = "orphan"


def left_behind(request: AdmissionRequest, kind: Kind) -> AskProblem | None:
    """Why a write would leave Pods behind; None: it does not."""
    if request.operation is Operation.DELETE:
        is_held = bool(owner_of(request.old) or controller_of(request.old))
        return _ORPHANS if kind in MAKERS and is_held and _orphans(request, kind) else None
    if kind in MAKERS and _ORPHAN_FINALIZER in _added_finalizers(request):
        return AskProblem("metadata.finalizers", f"{_ORPHAN_FINALIZER}: {_ORPHANS.message}")
    if request.operation is not Operation.UPDATE:
        return None
    if kind == CONTROLLERS and _selector(request.old) != _selector(request.obj):
        return AskProblem("spec.selector", "would let go of Pods that run on: create another")
    if request.target.subresource and leaves_its_controller(request):
        return AskProblem("metadata.labels", "cannot be changed here: update the object itself")
    return None


def leaves_its_controller(request: AdmissionRequest) -> bool:
    """Whether the controller that made an object may let go of it, and make another."""
    made_by = controller_of(request.old)
    if request.operation is not Operation.UPDATE or not made_by or request.obj is None:
        return False
    return controller_of(request.obj) != made_by or _labels(request.obj) != _labels(request.old)


_ORPHANS: Final = AskProblem(
    "propagationPolicy", "would leave Pods behind that run on: delete with Background or Foreground"
)


def _orphans(request: AdmissionRequest, kind: Kind) -> bool:
    """As the API server decides it (`shouldOrphanDependents`)."""
    options = request.options or {}
    if isinstance(options.get("orphanDependents"), bool):
        return options["orphanDependents"] is True
    policy = options.get("propagationPolicy")
    if policy is not None:
        return policy not in {"Background", "Foreground"}
    finalizers = _finalizers(request.old)
    return _ORPHAN_FINALIZER in finalizers or (
        kind in _ORPHANED_BY_DEFAULT and "foregroundDeletion" not in finalizers
    )


def _added_finalizers(request: AdmissionRequest) -> list[Json]:
    before = _finalizers(request.old)
    return [one for one in _finalizers(request.obj) if one not in before]


def _finalizers(obj: Mapping[str, Json] | None) -> list[Json]:
    found = section_of(obj, "metadata").get("finalizers")
    return found if isinstance(found, list) else []


def _labels(obj: Mapping[str, Json] | None) -> Mapping[str, Json]:
    """Without Governor's own, which no controller selects by."""
    found = section_of(obj, "metadata").get("labels")
    labels = found if isinstance(found, dict) else {}
    return {name: value for name, value in labels.items() if name != AGENT}


def _selector(obj: Mapping[str, Json] | None) -> Json:
    spec = obj.get("spec") if obj is not None else None
    return spec.get("selector") if isinstance(spec, dict) else None
