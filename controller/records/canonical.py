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
from collections.abc import Mapping
from typing import Final, cast

import orjson
import rfc8785

from controller.apis.json import Json

_LARGEST: Final = 2**53 - 1
_INTEGER: Final = "$int"
_LITERAL: Final = "$literal"
_DIGITS: Final = re.compile(r"-?[1-9][0-9]{15,38}")
_BOUND: Final = 10**39


class CanonicalError(ValueError):
    """The value, or the text, has no canonical form; the message says what of it."""


def canonical(value: Json) -> bytes:
    """The canonical form of a value.

    Raises:
        CanonicalError: a float that is not finite, an integer of 40 digits or more,
            a string with a lone surrogate, or nesting without end.
    """
    try:
        return rfc8785.dumps(_escaped(value))
    except RecursionError as error:
        raise CanonicalError("it is nested too deeply") from error
    except ValueError as error:  # rfc8785's own, and a key that is no UTF-8
        raise CanonicalError(str(error)) from error


def parsed(content: bytes) -> Json:
    """The value of which `content` is the canonical form.

    Raises:
        CanonicalError: it is not JSON, or not in canonical form.
    """
    try:
        value = restored(orjson.loads(content))
    except orjson.JSONDecodeError as error:
        raise CanonicalError(f"it is not JSON: {error}") from error
    if canonical(value) != content:
        raise CanonicalError("it is JSON, but not in the canonical form (RFC 8785)")
    return value


def restored(value: Json) -> Json:
    """The value as it was before `canonical`, from what a JSON parser made of the bytes.

    Raises:
        CanonicalError: `$int` holds something else than an integer that needs it.
    """
    if isinstance(value, list):
        return [restored(item) for item in value]
    if isinstance(value, dict):
        return _restored_object(value)
    if type(value) is int and abs(value) > _LARGEST:
        return float(value)  # only a double is written as digits beyond the safe integers
    return value


def _restored_object(value: Mapping[str, Json]) -> Json:
    if len(value) == 1:
        inner = value.get(_LITERAL)
        if isinstance(inner, dict):
            return {key: restored(item) for key, item in inner.items()}
        if _INTEGER in value:
            return _restored_integer(value[_INTEGER])
    return {key: restored(item) for key, item in value.items()}


def _restored_integer(digits: Json) -> int:
    if not isinstance(digits, str) or not _DIGITS.fullmatch(digits):
        raise CanonicalError(f"{_INTEGER} holds {str(digits)[:60]!r}, no integer that needs it")
    return int(digits)


def _escaped(value: Json) -> Json:
    if isinstance(value, dict):
        escaped = {key: _escaped(item) for key, item in value.items()}
        is_mistakable = len(escaped) == 1 and not escaped.keys().isdisjoint((_INTEGER, _LITERAL))
        return cast("Json", {_LITERAL: escaped} if is_mistakable else escaped)
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if type(value) is int and abs(value) > _LARGEST:
        return _escaped_integer(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise CanonicalError(f"{value} is no number that JSON can hold")
    return value


def _escaped_integer(value: int) -> Json:
    if abs(value) >= _BOUND:
        raise CanonicalError("an integer has 40 digits or more")
    return {_INTEGER: str(value)}
