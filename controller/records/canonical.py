"""One byte form for one JSON value: RFC 8785, and what it cannot represent, escaped.

A record's hash is taken of these bytes, so any two tools must agree on them.
RFC 8785 knows doubles only; Kubernetes has 64-bit integers. Such an integer is
written `{"$int": "9223372036854775807"}`, and an object of which that could be
mistaken is wrapped: `{"$literal": {"$int": …}}`. It must not lose or round a value
silently: what has no form is refused. JSON itself does not tell 5.0 from 5, nor
-0.0 from 0; neither does this.
"""

import math
import re
from typing import Final, cast

import orjson
import rfc8785

from controller.apis.json import Json

_LARGEST: Final = 2**53 - 1
_INTEGER: Final = "$int"
_LITERAL: Final = "$literal"
_DIGITS: Final = re.compile(r"-?[1-9][0-9]{15,38}")
_BOUND: Final = 10**39
MAX_LEVELS: Final = 300
"""How deep a value may nest: more than a review may, and well within what Python can call."""
_TOO_DEEP: Final = f"it is nested more than {MAX_LEVELS} levels deep"


class CanonicalError(ValueError):
    """The value, or the text, has no canonical form; the message says what of it."""


def canonical(value: Json) -> bytes:
    """The canonical form of a value.

    Raises:
        CanonicalError: a float that is not finite, an integer of 40 digits or more,
            a string with a lone surrogate, or more than `MAX_LEVELS` levels.
    """
    try:
        return rfc8785.dumps(_escaped(value, levels=MAX_LEVELS))
    except RecursionError as error:
        raise CanonicalError(_TOO_DEEP) from error
    except ValueError as error:  # rfc8785's own, and a key that is no UTF-8
        raise CanonicalError(str(error)) from error


def parsed(content: bytes) -> Json:
    """The value of which `content` is the canonical form.

    Raises:
        CanonicalError: it is not JSON, not in canonical form, or nested too deeply.
    """
    try:
        value = restored(orjson.loads(content))
    except orjson.JSONDecodeError as error:
        raise CanonicalError(f"it is not JSON: {error}") from error
    except RecursionError as error:
        raise CanonicalError(_TOO_DEEP) from error
    if canonical(value) != content:
        raise CanonicalError("it is JSON, but not in the canonical form (RFC 8785)")
    return value


def restored(value: Json, *, levels: int = MAX_LEVELS) -> Json:
    """The value as it was before `canonical`, from what a JSON parser made of the bytes.

    Args:
        value: as parsed.
        levels: how deep it may nest.

    Raises:
        CanonicalError: `$int` holds something else than an integer that needs it, or it
            nests deeper.
    """
    if levels < 0:
        raise CanonicalError(_TOO_DEEP)
    if isinstance(value, list):
        return [restored(item, levels=levels - 1) for item in value]
    if isinstance(value, dict):  # no function of its own: Python allows for so many calls
        if len(value) == 1 and _INTEGER in value:
            return _restored_integer(value[_INTEGER])
        literal = value.get(_LITERAL) if len(value) == 1 else None
        fields = literal if isinstance(literal, dict) else value
        return {key: restored(item, levels=levels - 1) for key, item in fields.items()}
    if type(value) is int and abs(value) > _LARGEST:
        return float(value)  # only a double is written as digits beyond the safe integers
    return value


def _restored_integer(digits: Json) -> int:
    if not isinstance(digits, str) or not _DIGITS.fullmatch(digits):
        raise CanonicalError(f"{_INTEGER} holds {str(digits)[:60]!r}, no integer that needs it")
    return int(digits)


def _escaped(value: Json, *, levels: int) -> Json:
    if levels < 0:
        raise CanonicalError(_TOO_DEEP)
    if isinstance(value, dict):
        escaped = {key: _escaped(item, levels=levels - 1) for key, item in value.items()}
        is_mistakable = len(escaped) == 1 and not escaped.keys().isdisjoint((_INTEGER, _LITERAL))
        return cast("Json", {_LITERAL: escaped} if is_mistakable else escaped)
    if isinstance(value, list):
        return [_escaped(item, levels=levels - 1) for item in value]
    if type(value) is int and abs(value) > _LARGEST:
        return _escaped_integer(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise CanonicalError(f"{value} is no number that JSON can hold")
    return value


def _escaped_integer(value: int) -> Json:
    if abs(value) >= _BOUND:
        raise CanonicalError("an integer has 40 digits or more")
    return {_INTEGER: str(value)}
