"""Lists the leaves in which two versions of an object differ.

Lists are compared item by item by position: a moved item is reported as many
changes, never as none. Server-set metadata does not count as a change, for no
client can choose it. Never walks deeper or reports more than it is told to;
what it leaves out it says (`truncated`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

import orjson

from controller.policy.json import Json

Path: TypeAlias = tuple[str | int, ...]

SERVER_SET_METADATA = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
"""`metadata` fields that the API server overwrites, whatever a client sends."""

MAX_FIELDS = 256
"""How many changed leaves are listed; a write that changes more is `truncated`."""

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Changes:
    """The leaves that differ, in the order in which the objects list them."""

    fields: tuple[Path, ...] = ()
    truncated: bool = False
    """More leaves differ than are listed."""


def changed_fields(
    old: Mapping[str, Json] | None, new: Mapping[str, Json] | None, *, limit: int = MAX_FIELDS
) -> Changes:
    """Compare two versions of one object; without both of them there is nothing to compare."""
    if old is None or new is None:
        return Changes()
    found: list[Path] = []
    for path in _differences(_without_server_set(old), _without_server_set(new)):
        if len(found) == limit:
            return Changes(tuple(found), truncated=True)
        found.append(path)
    return Changes(tuple(found))


def _without_server_set(obj: Mapping[str, Json]) -> dict[str, Json]:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return dict(obj)
    kept = {key: value for key, value in metadata.items() if key not in SERVER_SET_METADATA}
    return {**obj, "metadata": kept}


def _differences(old: Json, new: Json) -> Iterator[Path]:
    """Depth first with a stack of our own: objects may nest deeper than Python recurses."""
    stack: list[tuple[Path, object, object]] = [((), old, new)]
    while stack:
        path, left, right = stack.pop()
        if _same(left, right):
            continue
        children = _children(left, right)
        if children is None:
            yield path
            continue
        stack.extend(((*path, key), a, b) for key, a, b in reversed(children))


def _same(left: object, right: object) -> bool:
    """Equal as JSON: Python takes `1`, `1.0` and `true` for equal, at any depth; JSON does not."""
    if type(left) is not type(right) or left != right:
        return False
    return not isinstance(left, dict | list) or _canonical(left) == _canonical(right)


def _canonical(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _children(left: object, right: object) -> list[tuple[str | int, object, object]] | None:
    """The pairs below two values, or None where the difference is here.

    An added or removed subtree is opened too, so that a change is always named
    by its leaves; an empty one is a leaf itself.
    """
    left_items, right_items = _items(left), _items(right)
    if left_items is None or right_items is None or not (left_items or right_items):
        return None
    keys = dict.fromkeys([*left_items, *right_items])
    return [(key, left_items.get(key, _ABSENT), right_items.get(key, _ABSENT)) for key in keys]


def _items(value: object) -> dict[str | int, object] | None:
    if value is _ABSENT:
        return {}
    if isinstance(value, dict):
        return cast("dict[str | int, object]", value)
    if isinstance(value, list):
        return dict(enumerate(cast("list[object]", value)))
    return None
