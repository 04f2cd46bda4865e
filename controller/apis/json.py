"""The type of a plain JSON value, and how to look into one that may be anything."""

from collections.abc import Mapping
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def text_of(value: Json) -> str:
    """A text as it is; empty for anything else."""
    return value if isinstance(value, str) else ""


def map_of(value: Json) -> Mapping[str, Json]:
    """An object as it is; empty for anything else."""
    return value if isinstance(value, dict) else {}


def section_of(obj: Mapping[str, Json] | None, key: str) -> Mapping[str, Json]:
    """The object within an object, such as its `metadata`; empty where there is none."""
    return map_of(obj.get(key)) if obj is not None else {}
