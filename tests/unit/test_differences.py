"""What a write changed: gathered so that each change can be shown and undone as one value."""

from typing import Any

import pytest

from controller.apis.json import Json
from controller.asks.ownership import AGENT
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


def anchors(old: dict[str, Json], new: dict[str, Json]) -> Json:
    found = differences(old, new)
    assert found is not None
    return found["anchors"]


@pytest.mark.parametrize(
    ("items", "key"),
    [
        pytest.param("containers", "name", id="containers"),
        pytest.param("volumeMounts", "mountPath", id="mounts"),
        pytest.param("conditions", "type", id="conditions"),
    ],
)
def test_an_item_that_kubernetes_names_is_bound_by_its_name(items: str, key: str) -> None:
    other: Json = {key: "other"}
    old: dict[str, Json] = {items: [other, {key: "this", "x": 1}]}
    new: dict[str, Json] = {items: [other, {key: "this", "x": 2}]}

    assert anchors(old, new) == [{"path": f"{items}[1].{key}", "value": "this"}]


@pytest.mark.parametrize(
    ("items", "before", "after"),
    [
        pytest.param(
            "metrics", [{"type": "R", "x": 1}], [{"type": "R", "x": 2}], id="a type is no name"
        ),
        pytest.param(
            "ports", [{"port": 53, "x": 1}], [{"port": 53, "x": 2}], id="a port is no name"
        ),
        pytest.param(
            "rules", [{"name": "a", "x": 1}], [{"name": "a", "x": 2}], id="names of an unknown list"
        ),
        pytest.param(
            "env",
            [{"name": "a", "value": "1"}, {"name": "a", "value": "0"}],
            [{"name": "a", "value": "2"}, {"name": "a", "value": "0"}],
            id="two items of one name",
        ),
        pytest.param(
            "env",
            [{"name": "a", "value": "1"}, {"name": "b", "value": "0"}],
            [{"name": "a", "value": "2"}, {"name": "a", "value": "0"}],
            id="two items of one name, since the write",
        ),
        pytest.param(
            "env",
            [{"name": "a", "value": "1"}, {"name": "a", "value": "0"}],
            [{"name": "a", "value": "2"}, {"name": "b", "value": "0"}],
            id="two items of one name, until the write",
        ),
        pytest.param(
            "env", [{"name": "a", "value": "1"}], [{"name": "b", "value": "1"}], id="a renamed item"
        ),
        pytest.param("env", [{"name": 7, "x": 1}], [{"name": 7, "x": 2}], id="a name of no text"),
        pytest.param("containers", [{"x": 1}], [{"x": 2}], id="no name"),
        pytest.param("args", ["a", "c"], ["b", "c"], id="items that are texts"),
        pytest.param("names", [[1, 2]], [[1, 3]], id="items that are lists"),
    ],
)
@pytest.mark.requirement("undo.inverse")
def test_an_item_without_a_name_of_its_own_is_bound_by_the_whole_list(
    items: str, before: Json, after: Json
) -> None:
    whole = {"path": f"spec.{items}", "value": after}

    found = anchors({"spec": {items: before}}, {"spec": {items: after}})

    assert isinstance(found, list)
    assert whole in found


def test_a_name_inside_a_list_that_is_bound_whole_binds_nothing_more() -> None:
    def listed(image: str) -> dict[str, Json]:
        return {"templates": [{"containers": [{"name": "web", "image": image}]}]}

    new = listed("b")
    assert anchors(listed("a"), new) == [{"path": "templates", "value": new["templates"]}]


def test_a_list_inside_a_named_item_is_bound_by_both() -> None:
    def listed(argument: str) -> dict[str, Json]:
        return {"containers": [{"name": "web", "args": [argument]}]}

    assert anchors(listed("a"), listed("b")) == [
        {"path": "containers[0].name", "value": "web"},
        {"path": "containers[0].args", "value": ["b"]},
    ]


def test_more_changes_than_are_listed_are_none() -> None:
    many: dict[str, Json] = {f"key{number}": number for number in range(300)}

    assert differences({}, many) is None


@pytest.mark.requirement("undo.inverse")
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(None, {AGENT: "a"}, [], id="an adoption alone"),
        pytest.param({AGENT: "b"}, {AGENT: "a"}, [], id="an adoption from another agent"),
        pytest.param(
            {AGENT: "a"},
            {AGENT: "a", "app": "x"},
            [{"path": "metadata.labels.app", "after": "x"}],
            id="the first label of its own",
        ),
        pytest.param(
            {AGENT: "a", "app": "x"},
            {AGENT: "a"},
            [{"path": "metadata.labels.app", "before": "x"}],
            id="the last label of its own",
        ),
        pytest.param(
            None,
            {AGENT: "a", "app": "x"},
            [{"path": "metadata.labels.app", "after": "x"}],
            id="the first label, with an adoption",
        ),
        pytest.param(
            {"app": "x"},
            {AGENT: "a"},
            [{"path": "metadata.labels.app", "before": "x"}],
            id="the last label, with an adoption",
        ),
        pytest.param(
            None,
            {"app": "x"},
            [{"path": "metadata.labels.app", "after": "x"}],
            id="the first label of what is nobody's, which an agent may adopt",
        ),
        pytest.param(
            {"app": "x"},
            None,
            [{"path": "metadata.labels", "before": {"app": "x"}}],
            id="all labels of what is nobody's",
        ),
    ],
)
def test_labels_come_and_go_one_by_one_where_the_map_stays(
    old: dict[str, Json] | None, new: dict[str, Json] | None, expected: Json
) -> None:
    """A patch could not put a label back into a map that is not there, or take away ours."""
    before, after = (
        an_object() if labels is None else with_metadata(an_object(), labels=labels)
        for labels in (old, new)
    )

    assert changes(before, after) == expected


def test_governors_own_and_field_ownership_are_no_content() -> None:
    owned = with_metadata(an_object(), managedFields=[{"manager": "m"}])
    theirs = with_metadata(an_object(), labels={"app": "x"})

    assert without_bookkeeping(with_metadata(owned, labels={AGENT: "a"})) == an_object()
    assert without_bookkeeping(with_metadata(owned, labels={AGENT: "a", "app": "x"})) == theirs

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
