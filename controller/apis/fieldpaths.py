"""Field paths: how a rule names the fields that an update may change.

A path is a text such as `spec.template.spec.containers[*].image` outside, and a
tuple of segments inside: a string is a map's key, a number a list's index, and
`ANY_ITEM` every item of a list. Nothing here looks at objects: what a path
covers is decided where rules are judged.
"""

import json
import re
from typing import Final, TypeAlias

ANY_ITEM: Final = -1
"""The segment that stands for every item of a list, written `[*]`."""

FieldPath: TypeAlias = tuple[str | int, ...]
"""Segments from the object's root; the first is always a key."""

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
# A JSON string whose only escapes are those that JSON writers use, so that
# neither halves of surrogate pairs nor two spellings of one letter occur.
_KEY = r'\["(?:[^"\\\x00-\x1f]|\\(?:["\\bfnrt]|u00[01][0-9a-f]))*"\]'
_ITEM = r"\[(?:\*|0|[1-9][0-9]{0,8})\]"

FIELD_PATH_PATTERN: Final = rf"^(?:{_NAME}|{_KEY})(?:\.{_NAME}|{_KEY}|{_ITEM})*$"
"""The grammar as one pattern, in the syntax that Go, Rust and Python share."""

_MAX_INDEX: Final = 999_999_999
_ROOT = re.compile(rf"(?P<name>{_NAME})|(?P<key>{_KEY})")
_STEP = re.compile(rf"\.(?P<name>{_NAME})|(?P<key>{_KEY})|(?P<item>{_ITEM})")


class FieldPathError(ValueError):
    """A text that is no field path, or a path that no text can express."""

    def __init__(self, message: str, *, position: int = 0) -> None:
        """Keep the position beside the message, which already contains it."""
        super().__init__(message)
        self.position = position
        """Index of the first character that is wrong."""


def parse_field_path(text: str) -> FieldPath:
    """Read a path; raise `FieldPathError` with the position and the fix."""
    if not text:
        raise FieldPathError("is empty: write a path such as spec.replicas")
    segments: list[str | int] = []
    position = 0
    while position < len(text):
        step = (_STEP if segments else _ROOT).match(text, position)
        if step is None:
            raise FieldPathError(
                f"position {position}: {_fix_at(text, position)}", position=position
            )
        segments.append(_segment(step))
        position = step.end()
    return tuple(segments)


def format_field_path(path: FieldPath) -> str:
    """Write a path so that `parse_field_path` reads the same one back."""
    if not path or isinstance(path[0], int):
        raise FieldPathError("a field path starts with a key: objects are maps")
    root, *rest = path
    return _written(root).removeprefix(".") + "".join(_written(segment) for segment in rest)


def _segment(step: re.Match[str]) -> str | int:
    found = step.groupdict()
    if found["name"] is not None:
        return str(found["name"])
    if found["key"] is not None:
        return str(json.loads(found["key"][1:-1]))
    item = found["item"][1:-1]
    return ANY_ITEM if item == "*" else int(item)


def _written(segment: str | int) -> str:
    if isinstance(segment, str):
        is_name = re.fullmatch(_NAME, segment) is not None
        return f".{segment}" if is_name else f"[{json.dumps(segment, ensure_ascii=False)}]"
    if segment == ANY_ITEM:
        return "[*]"
    if not 0 <= segment <= _MAX_INDEX:
        raise FieldPathError(f"list index {segment} is not between 0 and {_MAX_INDEX}")
    return f"[{segment}]"


def _fix_at(text: str, position: int) -> str:
    """Say what is wrong where neither a name, a key nor an item could be read."""
    character = text[position]
    following = text[position + 1 : position + 2]
    if character == "[":
        return _bracket_fix(text, position, is_root=position == 0)
    if character == "." and position == 0:
        return "a path starts with a name, not with a dot: leave the dot out"
    if character == "." and following in ("", "."):
        return "a name must follow the dot: remove the dot or add the name"
    if character == "." and following == "[":
        return 'no dot stands before a bracket: write data["key"], containers[*]'
    if character == "/" and position == 0:
        return "this is a JSON pointer: write dots, such as spec.replicas"
    offender = following if character == "." else character
    return (
        f"{json.dumps(offender)} cannot stand in a bare name; "
        'quote the whole key in brackets, such as metadata.annotations["example.com/x"]'
    )


def _bracket_fix(text: str, position: int, *, is_root: bool) -> str:
    if "]" not in text[position:]:
        return "this bracket is not closed: add ]"
    if is_root and re.match(_ITEM, text):
        return "a path starts with a name: an object is no list"
    if text[position + 1] == '"':
        return (
            'the quoted key is not closed by "] or has a wrong escape: '
            'write " as \\" and \\ as \\\\'
        )
    return (
        'brackets hold [*] for every item, an index such as [0], or a key in double quotes: ["key"]'
    )
