"""Why a resource is refused, in words that name the field and the fix.

Turns what pydantic found into problems for the author of the resource. Never
shows a traceback, a class of ours or more of a value than its beginning.
"""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.apis import cel, shapes
from controller.apis.fieldpaths import format_field_path

_MAX_PROBLEMS: Final = 10
_MAX_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a resource."""

    path: str
    """The field, such as `spec.rules[0].verbs`; empty for the whole resource."""
    message: str
    """What is wrong and what to write instead."""

    def __str__(self) -> str:
        """Give both in one line."""
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidResourceError(ValueError):
    """A resource that the API does not accept; says every field and fix."""

    def __init__(self, kind: str, name: str | None, problems: Sequence[Problem]) -> None:
        """Compose the message: the resource, then its problems, at most ten of them."""
        self.kind = kind
        self.name = name
        """None where the resource states none."""
        self.problems = tuple(problems)
        shown = [str(problem) for problem in self.problems[:_MAX_PROBLEMS]]
        if len(self.problems) > _MAX_PROBLEMS:
            shown.append(f"and {len(self.problems) - _MAX_PROBLEMS} more")
        subject = kind if name is None else f"{kind} {_shown(name)}"
        super().__init__(f"{subject} is invalid: " + "; ".join(shown))


def problems_of(error: ValidationError, model: type[BaseModel]) -> tuple[Problem, ...]:
    """List what pydantic found wrong with a resource of this model."""
    details = error.errors(include_url=False)
    places = [detail["loc"] for detail in details]
    return tuple(_problem(detail, model) for detail in details if not _is_an_echo(detail, places))


def _is_an_echo(detail: ErrorDetails, places: list[tuple[int | str, ...]]) -> bool:
    """Tell a list that is "too short" only because an item of it was refused."""
    if detail["type"] != "too_short":
        return False
    depth = len(detail["loc"])
    return any(len(place) > depth and place[:depth] == detail["loc"] for place in places)


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    path = _path(detail)
    if detail["type"] == cel.ERROR_TYPE:
        return Problem((path + _context(detail)["at"]).removeprefix("."), detail["msg"])
    if detail["type"] == "extra_forbidden":
        return Problem(path, _unknown_field(detail["loc"], model))
    explain = _EXPLANATIONS.get(detail["type"], _not_allowed)
    return Problem(path, explain(detail))


def _context(detail: ErrorDetails) -> Mapping[str, Any]:
    return detail.get("ctx", {})


def _wrong_shape(detail: ErrorDetails) -> str:
    value = detail["input"]
    is_plain = value is None or isinstance(value, str | int | float)
    return f"{_shown(value)} {detail['msg']}" if is_plain else detail["msg"]


def _not_allowed(detail: ErrorDetails) -> str:
    rule = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{_shown(detail['input'])} is not allowed: {rule}"


_EXPLANATIONS: Final[dict[str, Callable[[ErrorDetails], str]]] = {
    shapes.ERROR_TYPE: _wrong_shape,
    "invalid_key": lambda _: "a key must be a string: quote it",
    "literal_error": lambda detail: (
        f"{_shown(detail['input'])} is not allowed: use {_context(detail)['expected']}"
    ),
    "missing": lambda _: "is required: add it",
    "model_type": lambda detail: f"must be an object, not {_shown(detail['input'])}",
    "too_long": lambda detail: (
        f"has {_context(detail)['actual_length']} items: "
        f"at most {_context(detail)['max_length']} are allowed"
    ),
    "too_short": lambda _: (
        "is empty: list at least one item, or leave the field out where it is optional"
    ),
    "tuple_type": lambda detail: f"must be a list, not {_shown(detail['input'])}",
}
"""By pydantic's error type; every other type says itself what it wants."""


def _path(detail: ErrorDetails) -> str:
    location = detail["loc"]
    if detail["type"] == "invalid_key":  # YAML has keys of other types, which no path can hold
        location = (*location[:-1], str(location[-1]))
    path = format_field_path(location) if location else ""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in path)


def _unknown_field(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    *outer, name = location
    known = sorted(_fields_at(outer, model))
    close = difflib.get_close_matches(str(name), known, n=1)
    if close:
        return f"unknown field: did you mean {close[0]}?"
    return f"unknown field: remove it; known here are {', '.join(known)}"


def _fields_at(location: Sequence[int | str], model: type[BaseModel]) -> Iterator[str]:
    """Yield the wire names of the fields of the object at a location."""
    for segment in location:
        if isinstance(segment, int):
            continue
        field = next(f for f in model.model_fields.values() if f.alias == segment)
        model = next(_models_in(field.annotation))
    yield from (field.alias or "" for field in model.model_fields.values())


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type form
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _shown(value: object) -> str:
    """Show a value's beginning, escaped: it may hold anything, and stands in logs and terminals."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    written = json.dumps(value, default=repr)
    return written if len(written) <= _MAX_SHOWN else f"{written[:_MAX_SHOWN]}…"
