"""Why a resource is refused, in words that name the field and the fix.

Turns what pydantic found into problems for the author of the resource. Never
shows a traceback, a class of ours or more of a value than its beginning.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
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
    context = detail.get("ctx", {})
    path = _path(detail)
    match detail["type"]:
        case cel.ERROR_TYPE:
            return Problem((path + context["at"]).removeprefix("."), detail["msg"])
        case shapes.ERROR_TYPE if isinstance(detail["input"], str):
            return Problem(path, f"{_shown(detail['input'])} {detail['msg']}")
        case shapes.ERROR_TYPE:
            return Problem(path, detail["msg"])
        case "invalid_key":
            return Problem(path, "a key must be a string: quote it")
        case "missing":
            return Problem(path, "is required: add it")
        case "extra_forbidden":
            return Problem(path, _unknown_field(detail["loc"], model))
        case "literal_error":
            return Problem(
                path, f"{_shown(detail['input'])} is not allowed: use {context['expected']}"
            )
        case "too_short" | "too_long":
            return Problem(path, _wrong_length(detail["type"], context))
        case "tuple_type":
            return Problem(path, f"must be a list, not {_shown(detail['input'])}")
        case "model_type" | "model_attributes_type":
            return Problem(path, f"must be an object, not {_shown(detail['input'])}")
        case _:
            return Problem(
                path, f"{_shown(detail['input'])} is not allowed: {_lower(detail['msg'])}"
            )


def _path(detail: ErrorDetails) -> str:
    location = detail["loc"]
    if detail["type"] == "invalid_key":  # YAML has keys of other types, which no path can hold
        location = (*location[:-1], str(location[-1]))
    path = format_field_path(location) if location else ""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in path)


def _wrong_length(error_type: str, context: Mapping[str, Any]) -> str:
    if error_type == "too_long":
        return f"has {context['actual_length']} items: at most {context['max_length']} are allowed"
    return "is empty: list at least one item, or leave the field out where it is optional"


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


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
