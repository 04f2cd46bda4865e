"""How limits and prices are written: a number, or a text that says exactly one amount.

Narrower than Kubernetes' quantities: a form admits only what is a whole number of the
unit that its resource is counted in, so that no limit is rounded. The API server checks
the form by a CEL rule, whose message says what to write. What a text amounts to is read in
`controller.apis.quantities`.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from controller.apis.shapes import ERROR_TYPE

MAX_LENGTH: Final = 20
"""Most characters of an amount's text."""


@dataclass(frozen=True, slots=True)
class IntOrText:
    """A whole number or a short text; `AmountForm` says which ones."""

    def check(self, value: object) -> object:
        """Return the value, or raise an error that says what to write."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str) and len(value) <= MAX_LENGTH:
            return value
        raise PydanticCustomError(
            ERROR_TYPE,
            'must be a whole number or a text of at most {most} characters: quote it, as in "1.5"',
            {"most": MAX_LENGTH},
        )

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"x-kubernetes-int-or-string": True, "maxLength": MAX_LENGTH}


AmountText: TypeAlias = Annotated[int | str, IntOrText()]


@dataclass(frozen=True, slots=True)
class AmountForm:
    """Which numbers and texts are amounts of one resource."""

    pattern: str
    """Of a text, in the syntax that Go and Python share."""
    most: int
    """The largest number."""

    def cel(self, value: str) -> str:
        """The same as `admits`, as a CEL expression over a value that is there."""
        return (
            f"(type({value}) == int ? {value} >= 0 && {value} <= {self.most} : "
            f"{value}.matches(r'{self.pattern}'))"
        )

    def admits(self, value: int | str) -> bool:
        """Whether the value is an amount."""
        if isinstance(value, int):
            return 0 <= value <= self.most
        return re.fullmatch(self.pattern, value) is not None


CPU_FORM: Final = AmountForm(r"^([0-9]{1,9}(\.[0-9]{1,3})?|[0-9]{1,12}m)$", 999_999_999)
MEMORY_FORM: Final = AmountForm(
    r"^[0-9]{1,12}(|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|\.[0-9]{1,3}(k|M|G|T|P)"
    r"|\.(5|25|75|125|375|625|875)(Ki|Mi|Gi|Ti|Pi))$",
    10**15,
)
COUNT_FORM: Final = AmountForm(r"^[0-9]{1,9}$", 999_999_999)
USD_FORM: Final = AmountForm(r"^[0-9]{1,9}(\.[0-9]{1,9})?$", 999_999_999)
PRICE_FORM: Final = AmountForm(r"^[0-9]{1,6}(\.[0-9]{1,9})?$", 999_999)
