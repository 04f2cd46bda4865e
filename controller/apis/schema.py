"""Pydantic models as structural OpenAPI v3 schemas, as CustomResourceDefinitions need them.

Pydantic writes JSON Schema; the API server accepts a part of OpenAPI v3.0. Each
difference is one small named transform below, and what no transform covers is
refused with the path and the fix: nothing is dropped silently. Writes no files.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

Node: TypeAlias = dict[str, Any]  # a schema is open JSON: every keyword has its own type
"""One schema node."""

ACCEPTED_KEYWORDS: Final = frozenset(
    {
        "additionalProperties", "default", "description", "enum", "exclusiveMaximum",
        "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties",
        "maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "nullable",
        "pattern", "properties", "required", "type", "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys", "x-kubernetes-list-type",
        "x-kubernetes-map-type", "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    }
)  # fmt: skip
"""What may stand in a node: JSONSchemaProps without what structural schemas forbid."""

_FIXES: Final = {
    "anyOf": "give the value one type; a number or string is int | str, an absent value is None",
    "oneOf": "model a union as optional fields and a CEL rule 'exactly one of'",
    "discriminator": "model a union as optional fields and a CEL rule 'exactly one of'",
    "prefixItems": "use tuple[T, ...] or a model with named fields",
    "patternProperties": "constrain the keys by a CEL rule",
    "propertyNames": "constrain the keys by a CEL rule",
    "uniqueItems": "use shapes.UniqueItems: the API server forbids uniqueItems",
}


class UnstructuralSchemaError(Exception):
    """A model that no structural schema can express, with the path and the fix."""


def structural_schema(model: type[BaseModel]) -> Node:
    """Generate a model's schema as the API server accepts it.

    Raises `UnstructuralSchemaError` for a recursive model and for any keyword
    outside `ACCEPTED_KEYWORDS`.
    """
    raw = model.model_json_schema(by_alias=True, schema_generator=_StructuralJsonSchema)
    schema = _rewritten(with_references_inlined(raw))
    _refuse_what_is_not_structural(schema, path=model.__name__)
    return schema


class _StructuralJsonSchema(GenerateJsonSchema):
    """Pydantic's generator where it can be told to write what we need."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Write `T | None` as T: on the wire, None is an absent field."""
        return self.generate_inner(schema["schema"])

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """Write one value as an enum of one: OpenAPI v3.0 has no `const`."""
        written = super().literal_schema(schema)
        if "const" not in written:
            return written
        return {"enum": [written["const"]], **{k: v for k, v in written.items() if k != "const"}}

    def set_schema(self, schema: core_schema.SetSchema) -> JsonSchemaValue:
        """Write a set as the API server checks it: `uniqueItems` is forbidden."""
        return _as_list_set(super().set_schema(schema))

    def frozenset_schema(self, schema: core_schema.FrozenSetSchema) -> JsonSchemaValue:
        """Write a frozen set like a set."""
        return _as_list_set(super().frozenset_schema(schema))

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401 - pydantic's own union
        """Write no titles: a field's name is its title."""
        return False


def _as_list_set(written: Node) -> Node:
    rest = {key: value for key, value in written.items() if key != "uniqueItems"}
    return {**rest, "x-kubernetes-list-type": "set"}


def with_references_inlined(root: Node) -> Node:
    """Replace every `$ref` by what it names; refuse a model that contains itself."""
    definitions: dict[str, Node] = root.get("$defs", {})

    def inline(node: Node, outer: tuple[str, ...]) -> Node:
        name = str(node.get("$ref", "")).removeprefix("#/$defs/")
        if not name:
            return _with_children(node, lambda child: inline(child, outer))
        if name in outer:
            raise UnstructuralSchemaError(
                f"{name} contains itself: a structural schema has no recursion; bound its depth"
            )
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return {**inline(definitions[name], (*outer, name)), **beside}

    return inline({key: value for key, value in root.items() if key != "$defs"}, ())


def without_title(node: Node) -> Node:
    """Drop `title`: legal, but noise beside the field's name."""
    return {key: value for key, value in node.items() if key != "title"}


def without_closing(node: Node) -> Node:
    """Drop `additionalProperties: false`: it excludes `properties`, and pruning closes objects."""
    if node.get("additionalProperties") is not False:
        return node
    return {key: value for key, value in node.items() if key != "additionalProperties"}


def with_open_values_preserved(node: Node) -> Node:
    """Write "anything" as the API server does, instead of as a node without type."""
    is_anything = not node.keys() - {"description"}
    if not is_anything and node.get("additionalProperties") is not True:
        return node
    rest = {key: value for key, value in node.items() if key != "additionalProperties"}
    return {**rest, "x-kubernetes-preserve-unknown-fields": True}


def with_boolean_exclusive_bounds(node: Node) -> Node:
    """Write `gt` and `lt` as OpenAPI v3.0 does: a bound, and a flag that excludes it."""
    changed = dict(node)
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if flag in node:
            changed |= {bound: node[flag], flag: True}
    return changed


def with_int_or_string(node: Node) -> Node:
    """Write `int | str` as the extension; each side's own bounds cannot be kept."""
    types = [dict(choice) for choice in node.get("anyOf", ())]
    if sorted(str(choice) for choice in types) != ["{'type': 'integer'}", "{'type': 'string'}"]:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**rest, "x-kubernetes-int-or-string": True}


def without_empty_default(node: Node) -> Node:
    """Drop a default that only says "absent": the server would write it into every object."""
    if node.get("default", 0) not in (None, [], {}):
        return node
    return {key: value for key, value in node.items() if key != "default"}


def with_list_type(node: Node) -> Node:
    """Say of each list who owns it in a merge: all of it at once, unless the model says more."""
    if node.get("type") != "array":
        return node
    return {"x-kubernetes-list-type": "atomic", **node}


def with_flowing_description(node: Node) -> Node:
    """Undo the source's line breaks; a blank line still parts paragraphs."""
    if "description" not in node:
        return node
    paragraphs = re.split(r"\n\s*\n", str(node["description"]))
    flowing = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return {**node, "description": flowing}


Transform: TypeAlias = Callable[[Node], Node]
"""Takes one node, changes nothing in it, and gives the node that stands for it."""

TRANSFORMS: Final[tuple[Transform, ...]] = (
    without_title,
    without_empty_default,
    without_closing,
    with_open_values_preserved,
    with_boolean_exclusive_bounds,
    with_int_or_string,
    with_list_type,
    with_flowing_description,
)


def _rewritten(node: Node) -> Node:
    """Apply every transform to every node, children first."""
    changed = _with_children(node, _rewritten)
    for transform in TRANSFORMS:
        changed = transform(changed)
    return changed


def _with_children(node: Node, change: Callable[[Node], Node]) -> Node:
    changed = dict(node)
    if "properties" in node:
        changed["properties"] = {name: change(child) for name, child in node["properties"].items()}
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            changed[keyword] = change(node[keyword])
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in node:
            changed[keyword] = [change(child) for child in node[keyword]]
    return changed


def nodes_of(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Yield a node and all below it, each with its path (`Mandate.spec.rules[]`)."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes_of(child, f"{path}.{name}")
    if isinstance(node.get("items"), dict):
        yield from nodes_of(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from nodes_of(node["additionalProperties"], f"{path}{{}}")


_TYPELESS: Final = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string")


def _refuse_what_is_not_structural(schema: Node, path: str) -> None:
    for where, node in nodes_of(schema, path):
        for keyword in sorted(node.keys() - ACCEPTED_KEYWORDS):
            fix = _FIXES.get(keyword, "remove it, or add a transform for it")
            raise UnstructuralSchemaError(
                f"{where}: the API server does not accept {keyword}: {fix}"
            )
        if "type" not in node and not any(node.get(keyword) for keyword in _TYPELESS):
            raise UnstructuralSchemaError(f"{where}: has no type: give its values one type")
        if "properties" in node and "additionalProperties" in node:
            raise UnstructuralSchemaError(
                f"{where}: has named and free keys at once: move the free ones into their own map"
            )
