"""Finds selectors by which a controller would let go of the very Pods that it makes.

A controller releases a Pod that its selector does not match any more, and makes another.
Kubernetes itself labels Pods after they are made (with their node's zone, their index,
their revision): a selector that speaks of such a label, or of the absence of one, can be
true of the template and never of the Pods. They would run on, nobody's, without end.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.values import AskProblem
from controller.asks.workloads import JOBS, MAKERS, Kind

_SET_LATER: Final = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-completion-index",
        "batch.kubernetes.io/job-name",
        "controller-revision-hash",
        "controller-uid",
        "job-name",
        "kubernetes.io/hostname",
        "pod-template-generation",
        "pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
    }
)
_SET_BY_BINDING: Final = "topology.kubernetes.io/"
_ABSENCE: Final = frozenset({"DoesNotExist", "NotIn"})


def releases(request: AdmissionRequest, kind: Kind) -> AskProblem | None:
    """Why what is created may let go of its own Pods; None: it keeps them.

    A selector cannot be changed later, but for one kind (`letting_go`).
    """
    if kind not in MAKERS or request.operation is not Operation.CREATE:
        return None
    spec = (request.obj or {}).get("spec")
    if not isinstance(spec, dict) or (kind == JOBS and spec.get("manualSelector") is not True):
        return None  # the API server itself writes a Job's selector
    for path, key, operator in _terms(spec.get("selector")):
        if key in _SET_LATER or key.startswith(_SET_BY_BINDING) or operator in _ABSENCE:
            return AskProblem(
                f"spec.selector{path}",
                f"{key}: the controller may let go of its own Pods by it, which then run on and "
                "are nobody's: select by labels that only the template sets, and by their presence",
            )
    return None


def _terms(selector: Json) -> Iterator[tuple[str, str, str]]:
    """Where, by which label and how is selected; of a ReplicationController the selector itself."""
    if not isinstance(selector, dict):
        return
    expressions, labels = selector.get("matchExpressions"), selector.get("matchLabels")
    is_plain = expressions is None and not isinstance(labels, dict)
    yield from (("", key, "In") for key in (selector if is_plain else ()))
    if isinstance(labels, dict):
        yield from ((".matchLabels", key, "In") for key in labels)
    for number, one in enumerate(expressions if isinstance(expressions, list) else ()):
        if isinstance(one, Mapping):
            key, operator = one.get("key"), one.get("operator")
            yield f".matchExpressions[{number}]", str(key), str(operator)
