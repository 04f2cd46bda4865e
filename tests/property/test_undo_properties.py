"""For any two versions of an object: the stated patch restores the first, or touches nothing."""

import copy
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from controller.apis.json import Json
from controller.apis.requests import Operation
from controller.records.differences import differences, without_bookkeeping
from controller.records.inverse import Inverse, NoInverse, inverse_of
from tests.builders import a_request, an_object
from tests.jsonpatches import PatchFailedError, apply_patch
from tests.recorded import a_record
from tests.strategies import json_values, two_versions


def placed(spec: dict[str, Json]) -> dict[str, Json]:
    """An object of which `spec` is what a test is about."""
    return {**an_object(), "spec": spec}


def inverse(old: dict[str, Json], new: dict[str, Json]) -> Inverse | NoInverse:
    return inverse_of(a_record(a_request(Operation.UPDATE, old=old, obj=new)))


@pytest.mark.requirement("undo.inverse")
@given(two_versions())
def test_the_inverse_of_an_update_gives_the_object_as_it_was(
    versions: tuple[dict[str, Json], dict[str, Json]],
) -> None:
    old, new = placed(versions[0]), placed(versions[1])
    assume(differences(old, new) is not None)
    assume(old != new and not has_null_item(new))

    undo = inverse(old, new)

    assert isinstance(undo, Inverse)
    patch = cast("list[dict[str, Any]]", undo.content)
    assert apply_patch(new, patch) == old


def has_null_item(value: Json) -> bool:
    """Of which the API server can test nothing."""
    if isinstance(value, list):
        return any(item is None or has_null_item(item) for item in value)
    return isinstance(value, dict) and any(map(has_null_item, value.values()))


@pytest.mark.requirement("undo.inverse")
@given(two_versions(), st.data())
def test_a_later_change_of_the_same_field_is_never_overwritten(
    versions: tuple[dict[str, Json], dict[str, Json]], data: st.DataObject
) -> None:
    old, new = placed(versions[0]), placed(versions[1])
    undo = inverse(old, new)
    assume(isinstance(undo, Inverse) and old != new)
    assert isinstance(undo, Inverse)
    tests = [one for one in cast("list[dict[str, Any]]", undo.content) if one["op"] == "test"]
    touched = data.draw(st.sampled_from(tests))
    later = with_value_at(new, touched["path"], data.draw(json_values))
    assume(later is not None and differs(later, new))

    with pytest.raises(PatchFailedError):
        apply_patch(later or {}, cast("list[dict[str, Any]]", undo.content))


def differs(left: Json, right: Json) -> bool:
    """As a JSON patch compares: `1` and `true` are told apart by the API server alone."""
    return left != right


def with_value_at(obj: dict[str, Json], pointer: str, value: Json) -> dict[str, Json] | None:
    """The object after somebody else's later change."""
    if value is None:
        return None
    changed = copy.deepcopy(obj)
    *outer, last = [p.replace("~1", "/").replace("~0", "~") for p in pointer[1:].split("/")]
    place: Any = changed
    for part in outer:
        place = place[int(part) if isinstance(place, list) else part]
    place[int(last) if isinstance(place, list) else last] = value
    return changed


@given(two_versions())
def test_what_is_recorded_of_an_update_is_told_by_both_objects(
    versions: tuple[dict[str, Json], dict[str, Json]],
) -> None:
    old, new = (without_bookkeeping(placed(version)) for version in versions)
    assert old is not None
    assert new is not None
    found = differences(old, new)

    assume(found is not None)
    assert found is not None
    changes = cast("list[dict[str, Json]]", found["changes"])
    paths = [change["path"] for change in changes]

    assert len(paths) == len(set(map(str, paths)))
    assert all("before" in change or "after" in change for change in changes)
    assert bool(changes) == (differences(new, old) != {"changes": [], "anchors": []})


@pytest.mark.requirement("undo.inverse")
@given(two_versions(), json_values, st.data())
def test_an_item_put_before_the_changed_one_makes_the_patch_fail(
    versions: tuple[dict[str, Json], dict[str, Json]], item: Json, data: st.DataObject
) -> None:
    old, new = (placed({"items": [version, "last"]}) for version in versions)
    undo = inverse(old, new)
    assume(isinstance(undo, Inverse))
    assert isinstance(undo, Inverse)
    patch = cast("list[dict[str, Any]]", undo.content)
    lists = [*lists_on_the_way(new, [one["path"] for one in patch if one["op"] != "test"])]
    shifted = copy.deepcopy(new)
    found = at_pointer(shifted, data.draw(st.sampled_from(lists)))
    found.insert(0, data.draw(st.sampled_from([item, found[0]])))

    with pytest.raises(PatchFailedError):
        apply_patch(shifted, patch)


def lists_on_the_way(obj: dict[str, Json], pointers: list[str]) -> Iterator[str]:
    """Pointers of the lists through whose items these pointers lead."""
    for pointer in pointers:
        parts = pointer.split("/")
        for depth in range(2, len(parts)):
            outer = "/".join(parts[:depth])
            if isinstance(at_pointer(obj, outer), list):
                yield outer


def at_pointer(obj: dict[str, Json], pointer: str) -> Any:  # noqa: ANN401 - JSON
    place: Any = obj
    for part in pointer[1:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        place = place[int(key) if isinstance(place, list) else key]
    return place
