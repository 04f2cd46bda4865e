"""Shapes: what a string or list of the API must look like, said in a sentence.

Each shape checks a value when it is read and writes the same constraint into the
schema, so that the API server's check and ours have one source. Shapes know no
kinds and no fields.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, TypeVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from controller.apis.fieldpaths import FIELD_PATH_PATTERN, FieldPathError, parse_field_path

ERROR_TYPE = "shape"
"""The type of the pydantic error that a broken shape raises; it says what to write instead."""

_Item = TypeVar("_Item")

ListOf: TypeAlias = Annotated[tuple[_Item, ...], Field(strict=False)]
"""A JSON list. Strictness is lifted for the list only, since JSON knows no tuples."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A string that matches a pattern in the syntax that Go and Python share."""

    pattern: str
    expected: str
    """What a matching string is, with an example: completes "is not …"."""

    def check(self, value: str) -> str:
        """Return the value, or raise an error that says what was expected."""
        if re.fullmatch(self.pattern, value) is None:
            raise PydanticCustomError(ERROR_TYPE, "is not {expected}", {"expected": self.expected})
        return value

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}


@dataclass(frozen=True, slots=True)
class FieldPathShape(Pattern):
    """A field path; the parser says where it is wrong and how to mend it."""

    def check(self, value: str) -> str:
        """Return the value, or raise the parser's own error."""
        try:
            parse_field_path(value)
        except FieldPathError as error:
            raise PydanticCustomError(
                ERROR_TYPE, "is not a field path: {fault}", {"fault": str(error)}
            ) from error
        return value


@dataclass(frozen=True, slots=True)
class UniqueItems:
    """A list that is a set: no item twice."""

    def check(self, items: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
        """Return the items, or raise an error that names one listed twice."""
        seen: set[Hashable] = set()
        for item in items:
            if item in seen:
                raise PydanticCustomError(
                    ERROR_TYPE, "lists {item} twice: remove one", {"item": repr(item)}
                )
            seen.add(item)
        return items

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "x-kubernetes-list-type": "set"}


@dataclass(frozen=True, slots=True)
class MapListBy:
    """A list that is a map by one key of its items: no value of it twice."""

    key: str
    """The field, whose name on the wire is one word."""

    def check(self, items: tuple[object, ...]) -> tuple[object, ...]:
        """Return the items, or raise an error that says which key stands there twice."""
        seen: set[object] = set()
        for item in items:
            key = getattr(item, self.key)
            if key in seen:
                raise PydanticCustomError(
                    ERROR_TYPE,
                    "has two items whose {key} is {value}: rename or remove one",
                    {"key": self.key, "value": repr(key)},
                )
            seen.add(key)
        return items

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            **handler(schema),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": [self.key],
        }


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_LABEL: Final = f"^{_LABEL}$"
DNS_SUBDOMAIN: Final = rf"^{_LABEL}(\.{_LABEL})*$"
_PLURAL = r"[a-z]([-a-z0-9]*[a-z0-9])?"

NamespaceName: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Pattern(DNS_LABEL, "a namespace's name: lower-case letters, digits and -, such as team-data"),
]
NamespaceGlob: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=63),
    Pattern(
        "^[a-z0-9*]([-a-z0-9*]*[a-z0-9*])?$",
        "a namespace or glob: lower-case letters, digits, - and the wildcard *, such as scratch-*",
    ),
]
ApiGroup: TypeAlias = Annotated[
    str,
    Field(max_length=253),
    Pattern(
        rf"^(\*|{_LABEL}(\.{_LABEL})*)?$",
        'an API group without version: apps, batch, "" for core, or * for all',
    ),
]
Resource: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=127),
    Pattern(
        rf"^(\*|(\*/)?{_PLURAL}|{_PLURAL}/{_PLURAL})$",
        "a resource as in RBAC: the plural in lower case, such as deployments, "
        "deployments/scale, */scale, or * for all",
    ),
]
ObjectNameGlob: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Pattern(
        r"^[^\x00-\x20/%\x7f]+$",
        "an object's name or glob: no spaces, / or %, such as settings-*",
    ),
]
FieldPathText: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=512),
    FieldPathShape(FIELD_PATH_PATTERN, "a field path"),
]
Identity: TypeAlias = Annotated[
    str,
    Field(min_length=1, max_length=256),
    Pattern(
        r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$",
        "a name as the API server authenticates it: no control characters, no space at either end",
    ),
]
