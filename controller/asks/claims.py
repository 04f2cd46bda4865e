"""Finds templates that say whose the objects made of them are.

A controller copies a template's labels onto what it makes, so an agent could have its Pods
counted for another agent, or as if it had made them itself. The label is Governor's alone.
"""

from collections.abc import Iterator, Mapping

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.ownership import AGENT
from controller.asks.values import AskProblem
from controller.asks.workloads import CRON_JOBS, MAKERS, Kind, template_of


def claimed(request: AdmissionRequest, kind: Kind) -> AskProblem | None:
    """Why a write would decide whose Pods are; None: it leaves that to Governor.

    What was stored before may stay: a person put it there, who may do so.
    """
    is_written = request.operation in {Operation.CREATE, Operation.UPDATE}
    if kind not in MAKERS or not is_written:
        return None
    stored = dict(_claims(kind, request.old or {}))
    for path, label in _claims(kind, request.obj or {}):
        if label is not None and label != stored.get(path):
            message = "says whose the Pods are, which Governor does: leave it out"
            return AskProblem(f'{path}.metadata.labels["{AGENT}"]', message)
    return None


def _claims(kind: Kind, obj: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """Where objects are described that controllers make, and what the label says there."""
    if kind != CRON_JOBS:
        yield "spec.template", _label(template_of(kind, obj))
        return
    spec = obj.get("spec")
    yield "spec.jobTemplate", _label(spec.get("jobTemplate") if isinstance(spec, dict) else None)
    yield "spec.jobTemplate.spec.template", _label(template_of(kind, obj))


def _label(described: Json) -> Json:
    metadata = described.get("metadata") if isinstance(described, dict) else None
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels.get(AGENT) if isinstance(labels, dict) else None
