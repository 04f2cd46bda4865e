"""Whatever two versions of an object look like, the listed changes are exactly its changes.

Server-set metadata is none of them, but for one case: that nobody owns a field any more.
"""

import copy
from random import Random
from typing import cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.json import Json
from controller.changes.fields import Path, changed_fields
from tests.strategies import json_objects, json_values, two_versions

pytestmark = pytest.mark.requirement("fail-closed.every-change-seen")

EVERYTHING = 1_000_000
Versions = tuple[dict[str, Json], dict[str, Json]]
OWNERS: Path = ("metadata", "managedFields")


@st.composite
def owned_versions(draw: st.DrawFn) -> Versions:
    """Two versions whose metadata lists managers, or empties them, in some odd ways."""
    old, new = draw(two_versions())
    by_hand: dict[str, Json] = {"manager": "a"}
    applied: dict[str, Json] = {"manager": "b", "operation": "Apply"}
    entries = st.sampled_from([{}, by_hand, applied])
    for obj in (old, new):
        name, managers = draw(json_values), draw(st.lists(entries, max_size=2))
        metadata: dict[str, Json] = {"name": name, "managedFields": [*managers]}
        obj["metadata"] = metadata if draw(st.booleans()) else {"name": name}
    return old, new


versions = st.one_of(two_versions(), owned_versions(), st.tuples(json_objects, json_objects))


def spelled(value: Json) -> bytes:
    """The one spelling of a JSON value: equal bytes, equal values."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def without_server_set(obj: dict[str, Json]) -> dict[str, Json]:
    """As documented: `metadata` of the object itself, and nothing else of that name."""
    server_set = {
        "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation",
        "managedFields", "resourceVersion", "selfLink", "uid",
    }  # fmt: skip
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k not in server_set}}


def loses_all_owners(old: dict[str, Json], new: dict[str, Json]) -> bool:
    """Whether somebody owned a field, and nobody does any more."""

    def owners(obj: dict[str, Json]) -> list[Json]:
        metadata = obj.get("metadata")
        entries = metadata.get("managedFields") if isinstance(metadata, dict) else None
        return [entry for entry in entries if entry] if isinstance(entries, list) else []

    return owners(old) != [] and owners(new) == []


def listed(old: dict[str, Json], new: dict[str, Json]) -> list[Path]:
    """All changes apart from the loss of ownership."""
    found = changed_fields(old, new, limit=EVERYTHING).fields
    return [path for path in found if path != OWNERS]


def at(value: Json, path: Path) -> bytes | None:
    """The spelling of what is at the path; None where nothing is."""
    found: object = value
    for key in path:
        found = _child(found, key)
    return None if found is ABSENT else spelled(cast("Json", found))


def with_change(obj: Json, path: Path, new: Json) -> Json:
    """The object with what `new` has at the path; parents are made where they lack."""
    key, rest = path[0], path[1:]
    source = _child(new, key)
    if isinstance(key, int):
        items = [*obj] if isinstance(obj, list) else []
        _set_item(items, key, _changed(_child(items, key), rest, source))
        return items
    entries = {**obj} if isinstance(obj, dict) else {}
    value = _changed(entries.get(key, ABSENT), rest, source)
    if value is ABSENT:
        entries.pop(key, None)
    else:
        entries[key] = cast("Json", value)
    return entries


ABSENT = object()


def _child(value: object, key: str | int) -> object:
    if isinstance(value, dict):
        return cast("dict[str | int, object]", value).get(key, ABSENT)
    if isinstance(value, list) and isinstance(key, int):
        items = cast("list[object]", value)
        return items[key] if key < len(items) else ABSENT
    return ABSENT


def _changed(old: object, rest: Path, source: object) -> object:
    if not rest:
        return source
    return with_change(cast("Json", old), rest, cast("Json", source))


def _set_item(items: list[Json], index: int, value: object) -> None:
    if index < len(items):
        items[index] = cast("Json", value)
    else:
        items.append(cast("Json", value))


def pruned(value: object) -> Json:
    """Without removed items and without maps and lists that hold nothing.

    A container that lost its last entry and one that went with it read the
    same in a list of leaves.
    """
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value).items()
        kept = {key: pruned(child) for key, child in entries if not _is_hollow(child)}
        return cast("Json", kept)
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [pruned(child) for child in items if not _is_hollow(child)]
    return cast("Json", value)


def _is_hollow(value: object) -> bool:
    if value is ABSENT:
        return True
    return isinstance(value, dict | list) and not pruned(cast("object", value))


@given(versions)
def test_no_changes_if_and_only_if_the_versions_are_equal_as_json(pair: Versions) -> None:
    """Apart from server-set metadata, and with the owners not lost."""
    old, new = pair
    are_equal = spelled(without_server_set(old)) == spelled(without_server_set(new))
    is_unchanged = are_equal and not loses_all_owners(old, new)
    assert (changed_fields(old, new).fields == ()) == is_unchanged


@given(versions)
def test_ownership_is_listed_if_and_only_if_all_of_it_is_lost(pair: Versions) -> None:
    old, new = pair
    found = changed_fields(old, new, limit=EVERYTHING).fields
    assert (OWNERS in found) == loses_all_owners(old, new)


@given(versions)
def test_every_listed_path_differs_and_is_listed_once(pair: Versions) -> None:
    old, new = pair
    found = changed_fields(old, new, limit=EVERYTHING).fields
    assert all(at(old, path) != at(new, path) for path in found)
    assert len(set(found)) == len(found)


@given(versions)
def test_the_new_values_at_the_listed_paths_make_the_new_object_of_the_old(pair: Versions) -> None:
    old, new = without_server_set(pair[0]), without_server_set(pair[1])
    rebuilt: Json = copy.deepcopy(old)
    for path in listed(old, new):
        rebuilt = with_change(rebuilt, path, new)
    assert spelled(pruned(rebuilt)) == spelled(pruned(new))


@given(versions)
def test_the_way_back_lists_the_same_paths(pair: Versions) -> None:
    """But for ownership: what was lost on the way there is not lost on the way back."""
    old, new = pair
    assert set(listed(old, new)) == set(listed(new, old))


@given(versions, st.integers(0, 5))
def test_a_limit_cuts_the_list_and_says_so(pair: Versions, limit: int) -> None:
    old, new = pair
    whole, cut = changed_fields(old, new, limit=EVERYTHING), changed_fields(old, new, limit=limit)
    assert cut.fields == whole.fields[:limit]
    assert cut.truncated == (len(whole.fields) > limit)


@given(st.lists(json_values, min_size=2, max_size=5), st.randoms())
def test_a_moved_item_is_never_hidden(items: list[Json], random: Random) -> None:
    moved = [*items]
    random.shuffle(moved)
    found = changed_fields({"items": items}, {"items": moved}).fields
    assert bool(found) == (spelled(items) != spelled(moved))
    assert all(path[0] == "items" for path in found)
