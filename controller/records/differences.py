"""What a write changed, in the form from which it can be shown and undone.

Leaves are gathered where undoing them one by one would leave something behind: a
subtree that came or went is one change, and so is a list that grew or shrank, for
the positions of its items then mean nothing. Beside the changes it names what binds
them to the list items through which they lead. It states no inverse itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.apis.fieldpaths import FieldPath, format_field_path
from controller.apis.json import Json
from controller.changes.fields import changed_fields
from controller.records.stamps import without_own

_ITEM_KEYS: Final[Mapping[str, str]] = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "initContainers": "name",
    "versions": "name",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "webhooks": "name",
}
"""Lists whose items Kubernetes itself tells apart by one field.

Of any other list no field is trusted: what tells two metrics or two rules apart today is
shared by a third one tomorrow.
"""


def without_bookkeeping(obj: Mapping[str, Json] | None) -> dict[str, Json] | None:
    """The object without field ownership, and without what Governor keeps in it itself."""
    if obj is None:
        return None
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return {**obj}
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    return {**obj, "metadata": without_own(kept)}


def differences(old: Mapping[str, Json], new: Mapping[str, Json]) -> dict[str, Json] | None:
    """`changes` and `anchors`, or None where too much changed to be listed.

    A change is `{path, before, after}`; a side on which there is nothing is left out.
    An anchor is `{path, value}`, for each list through which a change leads: either what
    names the item, before and after and it alone, or the whole list as the write left it.

    Args:
        old: before the write; field ownership and Governor's own are no change of it.
        new: as it is to be stored.
    """
    shared = _shared_maps(new)
    old, new = _without_bookkeeping(old, shared), _without_bookkeeping(new, shared)
    found = changed_fields(old, new)
    if found.truncated:
        return None
    paths = [*dict.fromkeys(_gathered(path, old, new) for path in found.fields)]
    anchors = dict.fromkeys(anchor for path in paths for anchor in _anchors(path, old, new))
    return {
        "changes": [_change(path, old, new) for path in paths],
        "anchors": [{"path": format_field_path(path), **value_at(new, path)} for path in anchors],
    }


def _shared_maps(new: Mapping[str, Json]) -> tuple[str, ...]:
    """Maps of the metadata in which an agent's entries come and go one by one.

    On the stored object they hold Governor's own, too, and are never gone as a whole: the
    annotations our stamp, labels whose the object is, or will be once an agent adopts it.
    """
    metadata = new.get("metadata")
    has_labels = isinstance(metadata, dict) and bool(metadata.get("labels"))
    return ("annotations", "labels") if has_labels else ("annotations",)


def _without_bookkeeping(obj: Mapping[str, Json], shared: Iterable[str]) -> dict[str, Json]:
    found = without_bookkeeping(obj) or {}
    metadata = found.get("metadata")
    if not isinstance(metadata, dict):
        return found
    missing: dict[str, Json] = {name: {} for name in shared if not metadata.get(name)}
    return {**found, "metadata": {**metadata, **missing}}


def value_at(value: Json, path: FieldPath) -> dict[str, Json]:
    """`{"value": …}` of what lies at a path, or nothing where nothing does."""
    for segment in path:
        inner = _inner(value, segment)
        if not inner:
            return {}
        value = inner["value"]
    return {"value": value}


def _inner(value: Json, segment: str | int) -> dict[str, Json]:
    if isinstance(segment, str):
        has_key = isinstance(value, dict) and segment in value
        return {"value": value[segment]} if has_key and isinstance(value, dict) else {}
    is_item = isinstance(value, list) and 0 <= segment < len(value)
    return {"value": value[segment]} if is_item and isinstance(value, list) else {}


def _change(path: FieldPath, old: Json, new: Json) -> dict[str, Json]:
    sides = (("before", value_at(old, path)), ("after", value_at(new, path)))
    found = {name: side["value"] for name, side in sides if side}
    return {"path": format_field_path(path), **found}


def _gathered(path: FieldPath, old: Json, new: Json) -> FieldPath:
    """The shortest beginning of a leaf's path that can be undone as one value."""
    left, right = old, new
    for depth, segment in enumerate(path):
        if not _is_same_shape(left, right, segment):
            return path[:depth]
        in_left, in_right = _inner(left, segment), _inner(right, segment)
        if not in_left or not in_right:
            return path[: depth + 1]
        left, right = in_left["value"], in_right["value"]
    return path


def _is_same_shape(left: Json, right: Json, segment: str | int) -> bool:
    """Whether what lies below is told apart by the same keys or positions on both sides."""
    if isinstance(segment, str):
        return isinstance(left, dict) and isinstance(right, dict)
    return isinstance(left, list) and isinstance(right, list) and len(left) == len(right)


def _anchors(path: FieldPath, old: Json, new: Json) -> Iterator[FieldPath]:
    for depth, segment in enumerate(path):
        if not isinstance(segment, int):
            continue
        key = _naming_key(path[:depth], segment, old, new)
        if not key:
            yield path[:depth]  # with all that lies in it, further lists, too
            return
        yield (*path[: depth + 1], key)


def _naming_key(items: FieldPath, index: int, old: Json, new: Json) -> str:
    """The field that names this item and no other of its list, or nothing."""
    key = _ITEM_KEYS.get(str(items[-1]), "")
    before, after = _names(value_at(old, items), key), _names(value_at(new, items), key)
    name = after[index]
    is_name = isinstance(name, str) and name == before[index]
    return key if is_name and before.count(name) == after.count(name) == 1 else ""


def _names(items: Mapping[str, Json], key: str) -> list[Json]:
    found = items.get("value")
    listed = found if isinstance(found, list) else []
    return [item.get(key) if isinstance(item, dict) else None for item in listed]
