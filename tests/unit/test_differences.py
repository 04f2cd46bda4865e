"""What a write changed: gathered so that each change can be shown and undone as one value."""

from typing import Any

import pytest

from controller.apis.json import Json
from controller.records.differences import differences, value_at, without_bookkeeping
from tests.builders import an_object
from tests.recorded import annotated, stamped, with_metadata


def changes(old: dict[str, Json], new: dict[str, Json]) -> list[Any]:
    found = differences(old, new)
    assert found is not None
    assert isinstance(found["changes"], list)
    return found["changes"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            {"a": {"b": 1}},
            {"a": {"b": 2}},
            [{"path": "a.b", "before": 1, "after": 2}],
            id="a leaf",
        ),
        pytest.param({}, {"a": 1}, [{"path": "a", "after": 1}], id="one that came"),
        pytest.param({"a": None}, {}, [{"path": "a", "before": None}], id="a null that went"),
        pytest.param(
            {"a": {}},
            {"a": {"b": {"c": 1, "d": 2}}},
            [{"path": "a.b", "after": {"c": 1, "d": 2}}],
            id="a subtree that came is one change",
        ),
        pytest.param(
            {"a": {"b": {"c": 1, "d": 2}}},
            {"a": {}},
            [{"path": "a.b", "before": {"c": 1, "d": 2}}],
            id="a subtree that went is one change",
        ),
        pytest.param(
            {"a": [1, 2, 3]},
            {"a": [1, 3]},
            [{"path": "a", "before": [1, 2, 3], "after": [1, 3]}],
            id="a list that shrank is one change",
        ),
        pytest.param(
            {"a": [{"b": [1]}, 2]},
            {"a": [{"b": [1, 2]}, 2]},
            [{"path": "a[0].b", "before": [1], "after": [1, 2]}],
            id="only the list that grew",
        ),
        pytest.param(
            {"a": {"b": 1}},
            {"a": [1]},
            [{"path": "a", "before": {"b": 1}, "after": [1]}],
            id="a map that became a list",
        ),
        pytest.param(
            {"a": {"b": 1}},
            {"a": 7},
            [{"path": "a", "before": {"b": 1}, "after": 7}],
            id="a scalar",
        ),
        pytest.param({"a": 1}, {"a": True}, [{"path": "a", "before": 1, "after": True}], id="true"),
        pytest.param({"a": {}}, {"a": {}}, [], id="nothing"),
    ],
)
@pytest.mark.requirement("undo.inverse")
def test_a_change_is_the_largest_value_that_was_changed_as_one(
    old: dict[str, Json], new: dict[str, Json], expected: Json
) -> None:
    assert changes(old, new) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param({"name": "web", "port": 1}, ("name", "web"), id="a name comes first"),
        pytest.param({"port": 80}, ("port", 80), id="a port where there is no name"),
        pytest.param({"other": 1}, None, id="nothing tells it apart"),
        pytest.param({"name": {"no": "text"}}, None, id="a name that is no text"),
    ],
)
def test_an_anchor_tells_the_item_through_which_a_change_leads(
    item: dict[str, Json], expected: tuple[str, Json] | None
) -> None:
    old: dict[str, Json] = {"list": [{**item, "image": "a"}]}
    new: dict[str, Json] = {"list": [{**item, "image": "b"}]}

    found = differences(old, new)

    assert found is not None
    wanted = [] if expected is None else [{"path": f"list[0].{expected[0]}", "value": expected[1]}]
    assert found["anchors"] == wanted


def test_a_renamed_item_is_no_anchor() -> None:
    found = differences({"a": [{"name": "x", "b": 1}]}, {"a": [{"name": "y", "b": 2}]})

    assert found is not None
    assert found["anchors"] == []


def test_more_changes_than_are_listed_are_none() -> None:
    many: dict[str, Json] = {f"key{number}": number for number in range(300)}

    assert differences({}, many) is None


def test_governors_own_annotations_and_ownership_are_no_content() -> None:
    owned = with_metadata(an_object(), managedFields=[{"manager": "m"}])

    assert without_bookkeeping(stamped(owned)) == an_object()
    assert without_bookkeeping(stamped(annotated(owned, a="b"))) == annotated(an_object(), a="b")
    assert without_bookkeeping({"metadata": None}) == {"metadata": None}
    assert without_bookkeeping(None) is None


def test_lost_ownership_is_no_change_of_a_value() -> None:
    old = with_metadata(an_object(), managedFields=[{"manager": "m"}])

    assert changes(old, an_object()) == []


@pytest.mark.parametrize(
    "path", [("a", "no"), ("a", 0, "b"), ("list", 2), ("list", -1), ("list", "0"), ("no",)]
)
def test_nothing_lies_where_a_path_does_not_lead(path: tuple[str | int, ...]) -> None:
    assert value_at({"a": {"b": 1}, "list": [1, 2]}, path) == {}
