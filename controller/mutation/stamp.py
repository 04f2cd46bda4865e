"""What `/mutate` does to an agent's write: stamp it, label whose it is, take the reason off.

A JSON patch against the object as received. Called again on what it made, it puts a
fresh stamp in place of its own, and changes nothing else. It refuses nothing, decides
nobody's ownership, and leaves a dry run alone.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.ownership import AGENT, label_after, owner_of
from controller.records.stamps import CHANGE, REASON, annotation_of, needs_stamp, write_stamp

MAX_REASON: Final = 1_000
"""Characters of a reason that are kept."""

_API_VERSION: Final = "admission.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is to be changed in an object, and what was found on it."""

    patch: tuple[Mapping[str, Json], ...] = ()
    """Operations of a JSON patch (RFC 6902)."""
    change: str | None = None
    """The id that the stamp carries; None where none was set."""
    reason: str | None = None
    """Why the agent makes this change, in its own words; None where it does not say."""


def plan_mutation(request: AdmissionRequest, *, change: str, key: bytes, owner: str) -> Mutation:
    """The mutation of one write by an agent.

    Args:
        request: as `/mutate` sees it.
        change: a fresh ULID for the stamp.
        key: of the stamps.
        owner: the agent that the object belongs to after the write
            (`controller.asks.ownership.owner_after`); empty: nobody's.
    """
    if request.dry_run or not _has_own_metadata(request):
        return Mutation()
    reason = _reason(request)
    if needs_stamp(request):
        stamp: dict[str, Json] = {CHANGE: write_stamp(change, key=key), REASON: None}
        return Mutation(_patch(request, stamp, owner=owner), change, reason)
    # Nothing else changes: left as it was stored, or the write would become one.
    stored = {name: annotation_of(request.old, name) for name in (CHANGE, REASON)}
    return Mutation(_patch(request, stored, owner=owner_of(request.old)), reason=reason)


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


def _patch(
    request: AdmissionRequest, annotations: Mapping[str, Json], *, owner: str
) -> tuple[Mapping[str, Json], ...]:
    """Set Governor's annotations so (None takes one off), and make the object its owner's."""
    labels = {AGENT: label_after(request, owner=owner)}
    return (*_steps(request, "annotations", annotations), *_steps(request, "labels", labels))


def _steps(
    request: AdmissionRequest, name: str, wanted: Mapping[str, Json]
) -> tuple[Mapping[str, Json], ...]:
    found = _metadata_map(request.obj, name)
    path = f"/metadata/{name}"
    operations = tuple(
        operation
        for key, value in wanted.items()
        if (operation := _operation(path, key, (found or {}).get(key), value))
    )
    if operations and found is None:
        return ({"op": "add", "path": path, "value": {}}, *operations)
    left = {*(found or {}), *(key for key in wanted if wanted[key] is not None)}
    left -= {key for key in wanted if wanted[key] is None}
    if operations and not left and _metadata_map(request.old, name) is None:
        # An empty map beside none at all would be a change, to a custom resource.
        return ({"op": "remove", "path": path},)
    return operations


def _metadata_map(obj: Mapping[str, Json] | None, name: str) -> dict[str, Json] | None:
    metadata = (obj or {}).get("metadata")
    found = metadata.get(name) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else None


def _operation(path: str, key: str, found: Json, wanted: Json) -> dict[str, Json]:
    pointer = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
    if found == wanted:
        return {}
    if wanted is None:
        return {"op": "remove", "path": pointer}
    return {"op": "add", "path": pointer, "value": wanted}
