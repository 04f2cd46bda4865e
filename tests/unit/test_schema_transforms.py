"""The generator: one table per transform, and what it refuses, with the fix."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from controller.apis import schema
from controller.apis.schema import UnstructuralSchemaError, structural_schema

Node = dict[str, Any]  # a schema is open JSON


def schema_of_model(**fields: tuple[object, object]) -> Node:
    """Give the schema of a model of fields, each an annotation and a default."""
    untyped: dict[str, Any] = dict(fields)
    return structural_schema(create_model("Model", **untyped))


def schema_of(annotation: object) -> Node:
    """Give the schema of the only field of a model."""
    field: Node = schema_of_model(field=(annotation, ...))["properties"]["field"]
    return field


class Inner(BaseModel):
    """An object inside."""

    name: str


class Outer(BaseModel):
    """References one model three times."""

    first: Inner
    second: Annotated[Inner, Field(description="Described by the field.")]
    third: list[Inner]


class Tree(BaseModel):
    """Contains itself."""

    children: "list[Tree]"


class Open(BaseModel):
    """Takes further fields."""

    model_config = ConfigDict(extra="allow")

    name: str


class Closed(BaseModel):
    """Takes no further fields."""

    model_config = ConfigDict(extra="forbid")

    name: str


TITLES = [
    pytest.param({"title": "Name", "type": "string"}, {"type": "string"}, id="dropped"),
    pytest.param({"type": "string"}, {"type": "string"}, id="absent"),
]
EMPTY_DEFAULTS = [
    pytest.param({"default": None, "type": "string"}, {"type": "string"}, id="None means absent"),
    pytest.param({"default": [], "type": "array"}, {"type": "array"}, id="an empty list"),
    pytest.param({"default": {}, "type": "object"}, {"type": "object"}, id="an empty map"),
    pytest.param({"default": 0}, {"default": 0}, id="zero is a value"),
    pytest.param({"default": False}, {"default": False}, id="false is a value"),
    pytest.param({"default": "Enforce"}, {"default": "Enforce"}, id="a text is a value"),
]
CLOSING = [
    pytest.param({"additionalProperties": False, "type": "object"}, {"type": "object"}, id="false"),
    pytest.param(
        {"additionalProperties": {"type": "string"}},
        {"additionalProperties": {"type": "string"}},
        id="a map's values stay",
    ),
]
OPEN_VALUES = [
    pytest.param({}, {"x-kubernetes-preserve-unknown-fields": True}, id="anything"),
    pytest.param(
        {"description": "Anything."},
        {"description": "Anything.", "x-kubernetes-preserve-unknown-fields": True},
        id="anything, described",
    ),
    pytest.param(
        {"type": "object", "additionalProperties": True},
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        id="an object with further keys",
    ),
    pytest.param({"type": "string"}, {"type": "string"}, id="a typed value stays"),
]
EXCLUSIVE_BOUNDS = [
    pytest.param(
        {"exclusiveMinimum": 0}, {"minimum": 0, "exclusiveMinimum": True}, id="greater than"
    ),
    pytest.param({"exclusiveMaximum": 9}, {"maximum": 9, "exclusiveMaximum": True}, id="less than"),
    pytest.param({"minimum": 1}, {"minimum": 1}, id="an inclusive bound stays"),
]
INT_OR_STRING = [
    pytest.param(
        {"anyOf": [{"type": "integer"}, {"type": "string"}], "description": "Port."},
        {"description": "Port.", "x-kubernetes-int-or-string": True},
        id="integer or string",
    ),
    pytest.param(
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"x-kubernetes-int-or-string": True},
        id="in either order",
    ),
    pytest.param(
        {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
        {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
        id="another union is left to be refused",
    ),
]
LIST_TYPES = [
    pytest.param(
        {"type": "array"},
        {"type": "array", "x-kubernetes-list-type": "atomic"},
        id="atomic by default",
    ),
    pytest.param(
        {"type": "array", "x-kubernetes-list-type": "set"},
        {"type": "array", "x-kubernetes-list-type": "set"},
        id="what the model says stays",
    ),
    pytest.param({"type": "object"}, {"type": "object"}, id="no list"),
]
DESCRIPTIONS = [
    pytest.param({"description": "One\nline."}, {"description": "One line."}, id="flows"),
    pytest.param(
        {"description": "One.\n\n  Two\n  lines."},
        {"description": "One.\n\nTwo lines."},
        id="a blank line parts paragraphs",
    ),
    pytest.param({"type": "string"}, {"type": "string"}, id="absent"),
]


@pytest.mark.parametrize(("node", "written"), TITLES)
def test_titles_are_dropped(node: Node, written: Node) -> None:
    assert schema.without_title(node) == written


@pytest.mark.parametrize(("node", "written"), EMPTY_DEFAULTS)
def test_defaults_that_mean_absent_are_dropped(node: Node, written: Node) -> None:
    assert schema.without_empty_default(node) == written


@pytest.mark.parametrize(("node", "written"), CLOSING)
def test_closed_objects_are_left_to_pruning(node: Node, written: Node) -> None:
    assert schema.without_closing(node) == written


@pytest.mark.parametrize(("node", "written"), OPEN_VALUES)
def test_open_values_are_preserved(node: Node, written: Node) -> None:
    assert schema.with_open_values_preserved(node) == written


@pytest.mark.parametrize(("node", "written"), EXCLUSIVE_BOUNDS)
def test_exclusive_bounds_are_flags(node: Node, written: Node) -> None:
    assert schema.with_boolean_exclusive_bounds(node) == written


@pytest.mark.parametrize(("node", "written"), INT_OR_STRING)
def test_integers_or_strings_use_the_extension(node: Node, written: Node) -> None:
    assert schema.with_int_or_string(node) == written


@pytest.mark.parametrize(("node", "written"), LIST_TYPES)
def test_every_list_says_how_it_merges(node: Node, written: Node) -> None:
    assert schema.with_list_type(node) == written


@pytest.mark.parametrize(("node", "written"), DESCRIPTIONS)
def test_descriptions_lose_the_line_breaks_of_the_source(node: Node, written: Node) -> None:
    assert schema.with_flowing_description(node) == written


@pytest.mark.parametrize("transform", schema.TRANSFORMS, ids=lambda one: one.__name__)
def test_a_transform_changes_nothing_that_it_was_given_and_nothing_twice(
    transform: schema.Transform,
) -> None:
    node: Node = {
        "title": "T",
        "type": "array",
        "default": [],
        "additionalProperties": False,
        "exclusiveMinimum": 0,
        "description": "a\nb",
    }
    given = dict(node)

    once = transform(node)

    assert node == given
    assert transform(once) == once or transform is schema.with_boolean_exclusive_bounds


@pytest.mark.parametrize(
    ("annotation", "written"),
    [
        pytest.param(str | None, {"type": "string"}, id="an optional is its type, not required"),
        pytest.param(
            Literal["a"], {"type": "string", "enum": ["a"]}, id="one literal is an enum of one"
        ),
        pytest.param(
            Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, id="literals are an enum"
        ),
        pytest.param(
            set[str],
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            id="a set is a list of unique items",
        ),
        pytest.param(
            frozenset[str],
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            id="a frozen set likewise",
        ),
        pytest.param(
            dict[str, int],
            {"type": "object", "additionalProperties": {"type": "integer"}},
            id="a map has typed values",
        ),
        pytest.param(int | str, {"x-kubernetes-int-or-string": True}, id="an integer or string"),
        pytest.param(Any, {"x-kubernetes-preserve-unknown-fields": True}, id="anything"),
        pytest.param(
            Annotated[int, Field(gt=0, le=9)],
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9},
            id="bounds",
        ),
    ],
)
def test_an_annotation_becomes_a_structural_node(annotation: object, written: Node) -> None:
    assert schema_of(annotation) == written


def test_a_default_stays_and_its_field_is_not_required() -> None:
    written = schema_of_model(mode=(Literal["a", "b"], "a"), name=(str, ...))

    assert written["properties"]["mode"]["default"] == "a"
    assert written["required"] == ["name"]


def test_references_are_inlined_and_a_fields_description_wins() -> None:
    written = structural_schema(Outer)["properties"]

    assert written["first"]["description"] == "An object inside."
    assert written["second"]["description"] == "Described by the field."
    assert written["third"]["items"]["properties"] == {"name": {"type": "string"}}


def test_an_open_model_keeps_unknown_fields_and_a_closed_one_is_pruned() -> None:
    assert structural_schema(Open)["x-kubernetes-preserve-unknown-fields"] is True
    assert structural_schema(Closed).keys() == {"description", "properties", "required", "type"}


def test_a_model_that_contains_itself_is_refused() -> None:
    with pytest.raises(UnstructuralSchemaError, match="Tree contains itself"):
        structural_schema(Tree)


class Cat(BaseModel):
    """One side of a union."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """The other side."""

    kind: Literal["dog"]


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [
        pytest.param(tuple[int, str], r"prefixItems: use tuple\[T, ...\]", id="a fixed tuple"),
        pytest.param(Decimal, "anyOf: give the value one type", id="a decimal"),
        pytest.param(Cat | Dog, "anyOf: give the value one type", id="a union of models"),
        pytest.param(
            Annotated[Cat | Dog, Field(discriminator="kind")],
            "discriminator: model a union as optional fields",
            id="a discriminated union",
        ),
        pytest.param(
            dict[Annotated[str, Field(pattern="^a")], str],
            "patternProperties: constrain the keys by a CEL rule",
            id="constrained keys",
        ),
        pytest.param(
            Annotated[str, Field(json_schema_extra={"contentEncoding": "base64"})],
            "contentEncoding: remove it, or add a transform for it",
            id="any keyword outside the list",
        ),
        pytest.param(Literal["a", 1], "has no type: give its values one type", id="mixed literals"),
        pytest.param(
            list[tuple[int, str]], r"Model.field\[\]: .* prefixItems", id="with its place in a list"
        ),
        pytest.param(
            dict[str, Decimal], r"Model.field\{\}: .* anyOf", id="with its place in a map"
        ),
    ],
)
def test_what_no_structural_schema_expresses_is_refused_with_the_fix(
    annotation: object, fault: str
) -> None:
    with pytest.raises(UnstructuralSchemaError, match=fault):
        schema_of(annotation)


def test_named_and_free_keys_at_once_are_refused() -> None:
    class Both(BaseModel):
        model_config = ConfigDict(json_schema_extra={"additionalProperties": {"type": "integer"}})

        name: str

    with pytest.raises(UnstructuralSchemaError, match="Both: has named and free keys at once"):
        structural_schema(Both)
