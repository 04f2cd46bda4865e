"""Applies JSON patches (RFC 6902) as the API server does, for tests without one.

Of `test` the API server's library also passes null for a key that is not there.
`tests/integration/test_inverse_live.py` runs the real one.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, cast


class PatchFailedError(AssertionError):
    """The patch does not apply, and nothing was changed."""


def apply_patch(obj: Mapping[str, Any], patch: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The patched object; the given one stays as it is."""
    patched: dict[str, Any] = copy.deepcopy(dict(obj))
    for operation in patch:
        *outer, last = _parts(operation["path"])
        place: Any = patched
        for part in outer:
            place = place[_key(place, part, operation)]
        _apply_at(place, last, operation)
    return patched


def _parts(pointer: str) -> list[str]:
    assert pointer.startswith("/"), pointer
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _key(place: Any, part: str, operation: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    is_list, size = isinstance(place, list), len(place)
    if is_list and part.isdigit() and int(part) < size:
        return int(part)
    if not is_list and part in place:
        return part
    raise PatchFailedError(f"{operation}: there is no {part}")


def _apply_at(place: Any, last: str, operation: Mapping[str, Any]) -> None:  # noqa: ANN401 - JSON
    if operation["op"] == "test" and operation["value"] is None and isinstance(place, dict):
        if cast("dict[str, Any]", place).get(last) is not None:
            raise PatchFailedError(f"{operation}: is {place[last]!r}")
        return
    if operation["op"] == "add" and isinstance(place, dict):
        place[last] = operation["value"]
        return
    key = _key(place, last, operation)
    if operation["op"] == "test":
        if place[key] != operation["value"]:
            raise PatchFailedError(f"{operation}: is {place[key]!r}")
    elif operation["op"] == "remove":
        del place[key]
    else:
        assert operation["op"] == "replace", operation
        place[key] = operation["value"]
