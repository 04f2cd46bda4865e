"""Which leaves differ between two versions of an object: nothing hidden, nothing made up."""

import orjson
import pytest

from controller.apis.json import Json
from controller.changes.fields import MAX_FIELDS, SERVER_SET_METADATA, Changes, Path, changed_fields

pytestmark = pytest.mark.requirement("fail-closed.every-change-seen")


def nested(levels: int, leaf: Json) -> dict[str, Json]:
    """Maps within maps, with the leaf at the bottom."""
    value: Json = leaf
    for _ in range(levels):
        value = {"a": value}
    return {"a": value}


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        pytest.param({}, {}, [], id="nothing and nothing"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, [], id="another order of keys"),
        pytest.param({"a": 1}, {"a": 2}, [("a",)], id="another value"),
        pytest.param({}, {"a": 1}, [("a",)], id="an added value"),
        pytest.param({"a": 1}, {}, [("a",)], id="a removed value"),
        pytest.param({"a": None}, {}, [("a",)], id="null is not absence"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, [("a", "c")], id="deeper"),
        pytest.param({}, {"a": {"b": {"c": 1}}}, [("a", "b", "c")], id="an added subtree"),
        pytest.param({"a": {"b": {"c": 1}}}, {}, [("a", "b", "c")], id="a removed subtree"),
        pytest.param({}, {"a": {}}, [("a",)], id="an added empty map"),
        pytest.param({"a": []}, {}, [("a",)], id="a removed empty list"),
        pytest.param({"a": {}}, {"a": []}, [("a",)], id="an empty map turned into a list"),
        pytest.param({"a": {}}, {"a": None}, [("a",)], id="an empty map turned into null"),
        pytest.param({"a": {"0": 1}}, {"a": [1]}, [("a",)], id="a map turned into a list"),
        pytest.param({"a": {"b": 1}}, {"a": "b"}, [("a",)], id="a map turned into a text"),
        pytest.param({"a": [1, 2]}, {"a": [2, 1]}, [("a", 0), ("a", 1)], id="moved items"),
        pytest.param({"a": [1, 2]}, {"a": [2]}, [("a", 0), ("a", 1)], id="a removed first item"),
        pytest.param({"a": [1]}, {"a": [1, {"b": 2}]}, [("a", 1, "b")], id="an added item"),
        pytest.param({"a": 1}, {"a": True}, [("a",)], id="one is not true"),
        pytest.param({"a": 0}, {"a": False}, [("a",)], id="zero is not false"),
        pytest.param({"a": 1}, {"a": 1.0}, [("a",)], id="an integer is not a float"),
        pytest.param({"a": "1"}, {"a": 1}, [("a",)], id="a text is not a number"),
        pytest.param({"a": [{"b": 1}]}, {"a": [{"b": True}]}, [("a", 0, "b")], id="true deep down"),
        pytest.param({"a": "x"}, {"a": "X"}, [("a",)], id="another case"),
        pytest.param({"a": "\u00e9"}, {"a": "e\u0301"}, [("a",)], id="another normal form"),
        pytest.param({"a.b": 1}, {"a": {"b": 1}}, [("a.b",), ("a", "b")], id="a dot in a key"),
        pytest.param({"": 1}, {"": 2}, [("",)], id="an empty key"),
    ],
)
def test_differences_are_named_by_their_leaves(
    old: dict[str, Json], new: dict[str, Json], fields: list[Path]
) -> None:
    assert changed_fields(old, new) == Changes(tuple(fields))


@pytest.mark.parametrize("key", sorted(SERVER_SET_METADATA))
def test_metadata_that_the_server_sets_is_no_change(key: str) -> None:
    old: dict[str, Json] = {"metadata": {"name": "web", key: "1"}}
    new: dict[str, Json] = {"metadata": {"name": "web", key: "2"}}
    assert changed_fields(old, new) == Changes()
    assert changed_fields(old, {"metadata": {"name": "web"}}) == Changes()


NOBODY: dict[str, Json] = {}
OWNED: list[Json] = [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:data": {}}}]
OWNED_BY_ANOTHER: list[Json] = [{"manager": "agent", "operation": "Update"}]


def with_owners(managed_fields: Json, **data: Json) -> dict[str, Json]:
    """A ConfigMap whose fields these entries say to be owned."""
    return {"metadata": {"name": "web", "managedFields": managed_fields}, "data": data}


@pytest.mark.parametrize(
    "new",
    [
        pytest.param({"metadata": {"name": "web"}, "data": {}}, id="absent, as it is stored"),
        pytest.param(with_owners(None), id="null"),
        pytest.param(with_owners([]), id="an empty list"),
        pytest.param(with_owners([NOBODY]), id="an empty entry, as it is sent"),
        pytest.param(with_owners([NOBODY, NOBODY]), id="empty entries"),
        pytest.param(with_owners("kubectl"), id="no list"),
    ],
)
def test_the_loss_of_all_field_ownership_is_a_change(new: dict[str, Json]) -> None:
    assert changed_fields(with_owners(OWNED), new).fields == (("metadata", "managedFields"),)


def test_the_loss_of_the_whole_metadata_is_the_loss_of_its_owners_too() -> None:
    found = changed_fields(with_owners(OWNED), {"data": {}}).fields
    assert found == (("metadata", "managedFields"), ("metadata", "name"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(OWNED, OWNED_BY_ANOTHER, id="one manager in place of another"),
        pytest.param(OWNED, [NOBODY, *OWNED_BY_ANOTHER], id="an empty entry beside a manager"),
        pytest.param([], OWNED, id="the first manager"),
        pytest.param([], [NOBODY], id="nobody before and after"),
        pytest.param([NOBODY], [], id="an empty entry gone"),
        pytest.param(None, None, id="null before and after"),
    ],
)
def test_managers_that_come_and_go_are_no_change(old: Json, new: Json) -> None:
    assert changed_fields(with_owners(old), with_owners(new)) == Changes()


def test_a_full_list_does_not_hide_the_loss_of_ownership() -> None:
    new = with_owners([], **{f"key-{n}": "x" for n in range(MAX_FIELDS)})
    found = changed_fields(with_owners(OWNED), new)
    assert (found.fields[0], len(found.fields)) == (("metadata", "managedFields"), MAX_FIELDS)
    assert found.truncated


@pytest.mark.parametrize(
    "key", ["annotations", "labels", "finalizers", "ownerReferences", "name", "namespace"]
)
def test_metadata_that_a_client_sets_is_a_change(key: str) -> None:
    assert changed_fields({"metadata": {}}, {"metadata": {key: "x"}}).fields == (("metadata", key),)


@pytest.mark.parametrize(
    ("old", "path"),
    [
        pytest.param({"spec": {"uid": "1"}}, ("spec", "uid"), id="of the spec"),
        pytest.param(
            {"spec": {"template": {"metadata": {"uid": "1"}}}},
            ("spec", "template", "metadata", "uid"),
            id="of a template's metadata",
        ),
        pytest.param({"uid": "1"}, ("uid",), id="of the object itself"),
        pytest.param({"metadata": ["uid"]}, ("metadata", 0), id="where metadata is a list"),
    ],
)
def test_a_field_of_that_name_elsewhere_is_a_change(old: dict[str, Json], path: Path) -> None:
    emptied: dict[str, Json] = {"metadata": []} if "metadata" in old else {}
    assert changed_fields(old, emptied).fields == (path,)


@pytest.mark.parametrize(("old", "new"), [(None, {"a": 1}), ({"a": 1}, None), (None, None)])
def test_without_two_versions_there_is_nothing_to_compare(
    old: dict[str, Json] | None, new: dict[str, Json] | None
) -> None:
    assert changed_fields(old, new) == Changes()


def test_as_many_changes_as_the_limit_are_all_listed() -> None:
    new: dict[str, Json] = {"data": {f"key-{n:04}": "x" for n in range(MAX_FIELDS)}}
    found = changed_fields({"data": {}}, new)
    assert (len(found.fields), found.truncated) == (MAX_FIELDS, False)


def test_one_change_more_than_the_limit_is_said_to_be_left_out() -> None:
    new: dict[str, Json] = {"data": {f"key-{n:04}": "x" for n in range(MAX_FIELDS + 1)}}
    found = changed_fields({"data": {}}, new)
    assert (len(found.fields), found.truncated) == (MAX_FIELDS, True)
    assert found.fields[-1] == ("data", f"key-{MAX_FIELDS - 1:04}")


def test_the_objects_are_left_as_they_were() -> None:
    old: dict[str, Json] = {"metadata": {"uid": "1", "name": "web"}, "a": [1]}
    new: dict[str, Json] = {"metadata": {"uid": "2", "name": "web"}, "a": [2]}
    changed_fields(old, new)
    assert old == {"metadata": {"uid": "1", "name": "web"}, "a": [1]}
    assert new == {"metadata": {"uid": "2", "name": "web"}, "a": [2]}


@pytest.mark.parametrize("levels", [1, 7, 8, 9, 250, 5000])
def test_a_change_is_found_at_any_depth(levels: int) -> None:
    path = ("a",) * (levels + 1)
    assert changed_fields(nested(levels, 1), nested(levels, 2)).fields == (path,)
    assert changed_fields(nested(levels, 1), nested(levels, 1.0)).fields == (path,)


@pytest.mark.parametrize("levels", [1, 7, 8, 9, 250, 5000])
@pytest.mark.parametrize("leaf", [1, {}, [], [{}], None])
def test_no_change_is_made_up_at_any_depth(levels: int, leaf: Json) -> None:
    assert changed_fields(nested(levels, leaf), nested(levels, leaf)) == Changes()


def test_a_million_added_items_cost_no_more_than_the_listed_ones() -> None:
    """Their paths alone, made all at once at this depth, would take gigabytes."""
    items: list[Json] = [1] * 1_000_000
    found = changed_fields(nested(240, []), nested(240, items))
    assert (len(found.fields), found.truncated) == (MAX_FIELDS, True)


def test_a_deep_object_is_not_written_anew_at_each_of_its_levels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[int] = []
    dumps = orjson.dumps

    def counting(value: object) -> bytes:
        written.append(len(dumps(value)))
        return dumps(value)

    monkeypatch.setattr("controller.changes.fields.orjson.dumps", counting)
    assert changed_fields(nested(240, 1), nested(240, 2)).fields
    assert sum(written) <= 2 * 8 * len(dumps(nested(240, 1)))
