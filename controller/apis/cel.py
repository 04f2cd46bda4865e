"""CEL rules that carry their Python twin.

The API server checks the CEL text, Governor's own readers the Python predicate:
a rule cannot be written without both, so that what is refused on the cluster is
refused offline. Nothing here evaluates CEL, and nothing checks that the two
agree; the samples do that, against a real API server.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic_core import PydanticCustomError

CelReason: TypeAlias = Literal[
    "FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"
]
"""How the API server classifies a refusal (a field error's type)."""

ERROR_TYPE = "cel_rule"
"""The type of the pydantic error that a broken rule raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CelRule:
    """One `x-kubernetes-validations` entry of an object, and the same in Python."""

    rule: str
    """CEL; `self` is the object that carries the rule."""
    message: str
    """What must hold, as a sentence for the author of the resource."""
    at: str
    """The field that the refusal names, relative to the object (`.verbs`), or empty."""
    reason: CelReason
    # It takes the model that the rule is written in, whose class does not exist yet.
    holds: Callable[[Any], bool]
    """The twin: takes the validated model."""

    def to_schema(self) -> dict[str, str]:
        """Give the entry as the API server reads it."""
        entry = {"rule": self.rule, "message": self.message, "reason": self.reason}
        return {**entry, "fieldPath": self.at} if self.at else entry

    def broken(self) -> PydanticCustomError:
        """Give the error that says so, with the field in its context."""
        return PydanticCustomError(
            ERROR_TYPE, "{message}", {"message": self.message, "at": self.at}
        )


def cel_rule(
    rule: str, *, message: str, at: str = "", reason: CelReason = "FieldValueInvalid"
) -> Callable[[Callable[[Any], bool]], CelRule]:
    """Turn a model's predicate method into a rule that both sides check."""

    def decorate(holds: Callable[[Any], bool]) -> CelRule:
        return CelRule(rule=rule, message=message, at=at, reason=reason, holds=holds)

    return decorate


def cel_rules_of(model: type) -> tuple[CelRule, ...]:
    """List the rules written in a model's own body, in order."""
    return tuple(value for value in vars(model).values() if isinstance(value, CelRule))
