"""What `/mutate` does to an agent's write: it stamps it, and takes the reason off.

A JSON patch against the object as received. Called again on what it made, it puts a
fresh stamp in place of its own, and changes nothing else. It refuses nothing, and
leaves a dry run alone.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from controller.records.stamps import CHANGE, REASON, annotation_of, needs_stamp, write_stamp

MAX_REASON: Final = 1_000
"""Characters of a reason that are kept."""

_API_VERSION: Final = "admission.k8s.io/v1"
_ANNOTATIONS: Final = "/metadata/annotations"
_OWN: Final = (CHANGE, REASON)


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is to be changed in an object, and what was found on it."""

    patch: tuple[Mapping[str, Json], ...] = ()
    """Operations of a JSON patch (RFC 6902)."""
    change: str | None = None
    """The id that the stamp carries; None where none was set."""
    reason: str | None = None
    """Why the agent makes this change, in its own words; None where it does not say."""


def plan_mutation(request: AdmissionRequest, *, change: str, key: bytes) -> Mutation:
    """The mutation of one write by an agent.

    Args:
        request: as `/mutate` sees it.
        change: a fresh ULID for the stamp.
        key: of the stamps.
    """
    if request.dry_run or not _has_own_metadata(request):
        return Mutation()
    reason = _reason(request)
    if needs_stamp(request):
        wanted: dict[str, Json] = {CHANGE: write_stamp(change, key=key), REASON: None}
        return Mutation(_patch(request, wanted), change, reason)
    # Nothing else changes: left as it was stored, or the write would become one.
    stored = {name: annotation_of(request.old, name) for name in _OWN}
    return Mutation(_patch(request, stored), reason=reason)


def write_mutation_answer(uid: str, mutation: Mutation) -> bytes:
    """The AdmissionReview that answers request `uid`: always allowed, for nothing is judged."""
    response: dict[str, Json] = {"uid": uid, "allowed": True}
    if mutation.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(mutation.patch)).decode()
    return orjson.dumps(
        {"apiVersion": _API_VERSION, "kind": "AdmissionReview", "response": response}
    )


def _has_own_metadata(request: AdmissionRequest) -> bool:
    is_write = request.operation in {Operation.CREATE, Operation.UPDATE}
    return is_write and isinstance((request.obj or {}).get("metadata"), dict)


def _reason(request: AdmissionRequest) -> str | None:
    """The agent's: one that was stored before (by a person) is no reason of this write."""
    reason = annotation_of(request.obj, REASON)
    if not isinstance(reason, str) or not reason.strip():
        return None
    return None if reason == annotation_of(request.old, REASON) else reason[:MAX_REASON]


def _patch(request: AdmissionRequest, wanted: Mapping[str, Json]) -> tuple[Mapping[str, Json], ...]:
    """Set Governor's annotations so; None takes one off."""
    found = _annotations(request.obj)
    operations = tuple(
        operation
        for name, value in wanted.items()
        if (operation := _operation(name, (found or {}).get(name), value))
    )
    if operations and found is None:
        return ({"op": "add", "path": _ANNOTATIONS, "value": {}}, *operations)
    left = {*(found or {}), *(name for name in wanted if wanted[name] is not None)}
    left -= {name for name in wanted if wanted[name] is None}
    if operations and not left and _annotations(request.old) is None:
        # An empty map beside none at all would be a change, to a custom resource.
        return ({"op": "remove", "path": _ANNOTATIONS},)
    return operations


def _annotations(obj: Mapping[str, Json] | None) -> dict[str, Json] | None:
    metadata = (obj or {}).get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else None


def _operation(name: str, found: Json, wanted: Json) -> dict[str, Json]:
    path = f"{_ANNOTATIONS}/{name.replace('~', '~0').replace('/', '~1')}"
    if found == wanted:
        return {}
    if wanted is None:
        return {"op": "remove", "path": path}
    return {"op": "add", "path": path, "value": wanted}
