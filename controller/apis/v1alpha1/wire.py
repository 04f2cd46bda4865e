"""What every versioned model shares: the wire's strictness, metadata, conditions.

A model is strict (no coercion), closed (an unknown field is an error), frozen and
camelCase, and its documentation is its schema's. No kind is defined here.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, TypeAlias, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from controller.apis.cel import CelRule, cel_rules_of
from controller.apis.shapes import ListOf, MapListBy

GROUP: Final = "governor.dev"
VERSION: Final = "v1alpha1"
ApiVersion: TypeAlias = Literal["governor.dev/v1alpha1"]

_CONDITION_TYPE = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_CONDITION_REASON = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"

Generation: TypeAlias = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]


class WireModel(BaseModel):
    """Base of all versioned models; its subclasses' CEL rules hold on both sides."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        ignored_types=(CelRule,),
    )

    @model_validator(mode="before")
    @classmethod
    def reads_null_as_absent(cls, value: object) -> object:
        """Drop known fields that are null, as the API server does before it applies defaults."""
        if not isinstance(value, Mapping):
            return value
        fields = cast("Mapping[object, object]", value)
        known = {field.alias for field in cls.model_fields.values()}
        return {k: v for k, v in fields.items() if v is not None or k not in known}

    @model_validator(mode="after")
    def keeps_its_cel_rules(self) -> Self:
        """Refuse what the API server's CEL rules refuse."""
        for rule in cel_rules_of(type(self)):
            if not rule.holds(self):
                raise rule.broken()
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        written = handler(schema)
        rules = cel_rules_of(cls)
        if rules:
            resolved = handler.resolve_ref_schema(written)
            resolved["x-kubernetes-validations"] = [rule.to_schema() for rule in rules]
        return written


class ObjectMeta(WireModel):
    """The metadata that Governor reads; everything else in it is Kubernetes' business."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """The object's name."""
    uid: str | None = None
    """Set by the API server."""
    generation: Generation | None = None
    """Counted up by the API server with every change of spec."""


class Condition(WireModel):
    """One observation about the object, in the standard Kubernetes form."""

    type: Annotated[
        str,
        Field(
            max_length=316,
            json_schema_extra={"pattern": _CONDITION_TYPE},
        ),
    ]
    """What is observed, in CamelCase, such as `Ready`."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            json_schema_extra={"pattern": _CONDITION_REASON},
        ),
    ]
    """Why, as one CamelCase word for programs, such as `SubjectConflict`."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, as a sentence for people."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When `status` last changed, in RFC 3339."""
    observed_generation: Generation | None = None
    """The `metadata.generation` that this was observed of; an older one is out of date."""


Conditions: TypeAlias = Annotated[ListOf[Condition], Field(max_length=16), MapListBy("type")]
