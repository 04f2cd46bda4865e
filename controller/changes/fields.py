"""Lists the leaves in which two versions of an object differ.

Lists are compared item by item by position: a moved item is reported as many
changes, never as none. Server-set metadata does not count as a change: the
server keeps it, whatever a client sends. The one exception is `managedFields`,
which a client can have emptied; that counts. Never walks deeper or reports more
than it is told to; what it leaves out it says (`truncated`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias, cast

import orjson

from controller.apis.json import Json

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
"""`metadata` fields that the API server keeps itself. Of `managedFields` only their loss is seen
(`_lost_owners`): managers come and go with every ordinary write."""

MAX_FIELDS = 256
"""How many changed leaves are listed; a write that changes more is `truncated`."""

_COMPARED_WHOLE = 8
"""Down to which depth equal subtrees are skipped at a glance."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Changes:
    """The leaves that differ, in the order in which the objects list them.

    Before them, where all field ownership is lost, `metadata.managedFields`.
    """

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
    differences = _differences(_without_server_set(old), _without_server_set(new))
    for path in chain(_lost_owners(old, new), differences):
        if len(found) == limit:
            return Changes(tuple(found), truncated=True)
        found.append(path)
    return Changes(tuple(found))


def _lost_owners(old: Mapping[str, Json], new: Mapping[str, Json]) -> Iterator[Path]:
    """`metadata.managedFields`, if nobody owns a field any more.

    A client that sends `[{}]` or `[]` makes the API server forget every owner,
    and with them the conflicts that server-side apply would report.
    """
    if _has_owners(old) and not _has_owners(new):
        yield ("metadata", "managedFields")


def _has_owners(obj: Mapping[str, Json]) -> bool:
    metadata = obj.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, dict) else None
    return isinstance(entries, list) and any(entries)


def _without_server_set(obj: Mapping[str, Json]) -> dict[str, Json]:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return dict(obj)
    kept = {key: value for key, value in metadata.items() if key not in SERVER_SET_METADATA}
    return {**obj, "metadata": kept}


def _differences(old: Json, new: Json) -> Iterator[Path]:
    """Depth first, with a stack of our own: objects may nest deeper than Python recurses.

    Takes one step at a time, so that a write with a million changes costs no
    more than the leaves that are listed.
    """
    path: list[str | int] = []
    stack = [_pairs(old, new)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            del path[-1:]
            continue
        key, left, right = step
        if _is_same(left, right, depth=len(stack)):
            continue
        if _differ_below(left, right):
            path.append(key)
            stack.append(_pairs(left, right))
        else:
            yield (*path, key)


def _is_same(left: object, right: object, *, depth: int) -> bool:
    """Equal as JSON, for which `1`, `1.0` and `true` are three values; for Python they are one.

    Of two maps or lists False may only mean that a closer look is needed: they
    are compared whole near the root only, lest a deep object is read anew at
    each of its levels.
    """
    if type(left) is not type(right):
        return False
    if type(left) not in {dict, list}:
        return left == right
    are_empty = not left and not right
    return are_empty or (depth <= _COMPARED_WHOLE and _is_written_alike(left, right))


def _is_written_alike(left: object, right: object) -> bool:
    try:
        return orjson.dumps(left) == orjson.dumps(right)
    except TypeError:  # too deep to be written
        return False


def _differ_below(left: object, right: object) -> bool:
    """Whether two different values are told apart by what they contain.

    An added or removed subtree is opened too, so that a change is always named
    by its leaves; an empty map or list is a leaf itself.
    """
    present = [value for value in (left, right) if value is not _ABSENT]
    are_alike = all(isinstance(value, dict) for value in present) or all(
        isinstance(value, list) for value in present
    )
    return are_alike and any(present)


def _pairs(left: object, right: object) -> Iterator[tuple[str | int, object, object]]:
    """What two maps, or two lists, contain under each key or index."""
    before, after = _entries(left), _entries(right)
    keys = dict.fromkeys((*before, *after))
    return ((key, before.get(key, _ABSENT), after.get(key, _ABSENT)) for key in keys)


def _entries(value: object) -> Mapping[str | int, object]:
    if isinstance(value, list):
        return dict(enumerate(cast("list[object]", value)))
    return cast("dict[str | int, object]", value) if isinstance(value, dict) else {}
