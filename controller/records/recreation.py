"""Makes of a deleted object what can be created again, and says what that is not.

Takes away what the API server or a controller would set anew or refuse. It adds
nothing, and creates nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.apis.fieldpaths import FieldPath, format_field_path
from controller.apis.json import Json
from controller.changes.fields import SERVER_SET_METADATA

_JOB_LABELS: Final = frozenset(
    {
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
        "controller-uid",
        "job-name",
    }
)
_MAX_OWNERS: Final = 3
_WARNINGS: Final[Mapping[str, str]] = {
    "Namespace": "what was in the namespace does not come back",
    "CustomResourceDefinition": "the objects of this kind do not come back",
    "PersistentVolumeClaim": "the data comes back only if its volume was retained",
    "Pod": "its processes start anew; a controller may have replaced it already",
    "Job": "it runs again from the start",
}


def recreatable(
    before: Mapping[str, Json], redactions: Iterable[FieldPath]
) -> tuple[dict[str, Json], tuple[str, ...]]:
    """The manifest, and in what it differs from the object that was deleted.

    Args:
        before: the deleted object, as recorded.
        redactions: the fields that hold marks in place of values: they are left out.
    """
    kind = str(before.get("kind") or "")
    manifest: dict[str, Json] = {key: value for key, value in before.items() if key != "status"}
    metadata = manifest.get("metadata")
    if isinstance(metadata, dict):
        manifest["metadata"] = {
            key: value for key, value in metadata.items() if key not in SERVER_SET_METADATA
        }
    missing = [path for path in redactions if path[0] != "status"]
    # From the last to the first, so that no item moves before it is left out.
    for path in sorted(missing, key=_position, reverse=True):
        manifest = _as_map(_without(manifest, path))
    if kind == "Job":
        manifest = _without_own_selector(manifest)
    if kind == "Pod":
        manifest = _as_map(_without(manifest, ("spec", "nodeName")))
    warnings = [
        "it gets a new uid and no status; what refers to the old uid does not find it",
        *([_WARNINGS[kind]] if kind in _WARNINGS else []),
        *_owner_warnings(metadata),
        *(f"{format_field_path(path)} is confidential and cannot be restored" for path in missing),
    ]
    return manifest, tuple(warnings)


def _owner_warnings(metadata: Json) -> Iterator[str]:
    """Of the owners that the manifest keeps: without them the object is garbage."""
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    listed = owners if isinstance(owners, list) else []
    names = [f"{one.get('kind')} {one.get('name')}" for one in listed if isinstance(one, dict)]
    if names:
        found = ", ".join(names[:_MAX_OWNERS]) + (", …" if len(names) > _MAX_OWNERS else "")
        yield f"it belongs to {found} by uid: if no owner is left, it is collected as garbage again"


def _without(value: Json, path: FieldPath) -> Json:
    """The value without what lies at a path, or the same where nothing does."""
    segment, rest = path[0], path[1:]
    if isinstance(segment, int):
        if not isinstance(value, list) or segment >= len(value):
            return value
        kept = [_without(value[segment], rest)] if rest else []
        return [*value[:segment], *kept, *value[segment + 1 :]]
    if not isinstance(value, dict) or segment not in value:
        return value
    if not rest:
        return {key: inner for key, inner in value.items() if key != segment}
    return {**value, segment: _without(value[segment], rest)}


def _position(path: FieldPath) -> list[tuple[int, str]]:
    """By which two paths through one list are in the order of its items."""
    return [(part, "") if isinstance(part, int) else (-1, part) for part in path]


def _without_own_selector(job: dict[str, Json]) -> dict[str, Json]:
    """The selector that the API server made from the old uid, and its labels in the template."""
    spec = job.get("spec")
    if not isinstance(spec, dict) or spec.get("manualSelector") is True:
        return job
    kept = {key: value for key, value in spec.items() if key != "selector"}
    template = kept.get("template")
    metadata = template.get("metadata") if isinstance(template, dict) else None
    if isinstance(template, dict) and isinstance(metadata, dict):
        kept["template"] = {**template, "metadata": _without_job_labels(metadata)}
    found = {**job, "spec": kept}
    own = found.get("metadata")
    return {**found, "metadata": _without_job_labels(own)} if isinstance(own, dict) else found


def _without_job_labels(metadata: dict[str, Json]) -> dict[str, Json]:
    labels = metadata.get("labels")
    if not isinstance(labels, dict):
        return metadata
    kept: dict[str, Json] = {key: text for key, text in labels.items() if key not in _JOB_LABELS}
    return {**metadata, "labels": kept}


def _as_map(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
