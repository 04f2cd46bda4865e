"""What a write changed, in the form from which it can be shown and undone.

Leaves are gathered where undoing them one by one would leave something behind: a
subtree that came or went is one change, and so is a list that grew or shrank, for
the positions of its items then mean nothing. Beside the changes it names what tells
the list items apart through which they lead. It states no inverse itself.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from controller.apis.fieldpaths import FieldPath, format_field_path
from controller.apis.json import Json
from controller.changes.fields import changed_fields
from controller.records.stamps import CHANGE, REASON

_ITEM_NAMES: Final = ("name", "key", "mountPath", "containerPort", "port", "ip", "type")
"""By which fields Kubernetes tells the items of a list apart, in the order of preference."""
_MANAGED_FIELDS: Final = ("metadata", "managedFields")


def without_bookkeeping(obj: Mapping[str, Json] | None) -> dict[str, Json] | None:
    """The object without field ownership and without Governor's own annotations."""
    if obj is None:
        return None
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return {**obj}
    kept = {key: value for key, value in metadata.items() if key != "managedFields"}
    annotations = kept.get("annotations")
    if isinstance(annotations, dict):
        rest = {key: text for key, text in annotations.items() if key not in {CHANGE, REASON}}
        kept["annotations"] = rest
        if not rest:
            del kept["annotations"]
    return {**obj, "metadata": kept}


def differences(old: dict[str, Json], new: dict[str, Json]) -> dict[str, Json] | None:
    """`changes` and `anchors`, or None where too much changed to be listed.

    A change is `{path, before, after}`; a side on which there is nothing is left out.
    An anchor is `{path, value}`: true before and after, it tells a list item from others.
    """
    old, new = _with_annotations(old), _with_annotations(new)
    found = changed_fields(old, new)
    if found.truncated:
        return None
    leaves = (path for path in found.fields if path != _MANAGED_FIELDS)
    paths = [*dict.fromkeys(_gathered(path, old, new) for path in leaves)]
    anchors = dict.fromkeys(anchor for path in paths for anchor in _anchors(path, old, new))
    return {
        "changes": [_change(path, old, new) for path in paths],
        "anchors": [{"path": format_field_path(path), **value_at(new, path)} for path in anchors],
    }


def _with_annotations(obj: dict[str, Json]) -> dict[str, Json]:
    """Annotations come and go one by one: on a stored object the map holds our stamp, too."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("annotations"):
        return obj
    return {**obj, "metadata": {**metadata, "annotations": {}}}


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
    for depth, segment in enumerate(path, start=1):
        if isinstance(segment, int):
            item = path[:depth]
            before, after = value_at(old, item), value_at(new, item)
            yield from _telling_field(item, before.get("value"), after.get("value"))


def _telling_field(item: FieldPath, before: Json, after: Json) -> Iterator[FieldPath]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return
    for name in _ITEM_NAMES:
        told = after.get(name)
        if isinstance(told, str | int) and told == before.get(name):
            yield (*item, name)
            return
