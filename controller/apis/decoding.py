"""Decodes JSON that others wrote, also where the fast reader refuses what the API server stores.

The API server passes raw parts of an object on as they were written (the data of a
ControllerRevision, a custom resource's fields): nested 10,000 levels deep, with half of a
surrogate pair, a number that no double holds, or bytes that are no UTF-8. Whoever may write
one such object must not blind Governor to all others of its kind.

Pure. What it had to change cannot be written again by `orjson`, so that no digest of such an
object equals that of another: half of a pair stays half of one, a byte becomes one
(`surrogateescape`), a number becomes an integer beyond every double, and what is nested
deeper than `KEPT_LEVELS` becomes null under that many levels. It must not be used for what
is to be judged: `controller.admission.review` is strict.
"""

import json
import math
import re
from typing import Final, NoReturn, cast

import orjson

from controller.apis.json import Json

KEPT_LEVELS: Final = 400
"""Of a document that is nested too deeply: more than `orjson` writes (254), few enough for
whoever goes down into it by recursion."""

_BEYOND: Final = 10**309
"""As an integer: as a double it would be infinite, which is written as null."""

_NEXT_BRACKET: Final = re.compile(
    r"""(?: [^][{}"]++ | "[^"\\]*+(?:\\.[^"\\]*+)*+"?+ )*+ ([][{}]|\Z)""", re.DOTALL | re.VERBOSE
)
"""Or the end; what is in strings is none. Possessive and never without a match: linear."""


def decoded(content: bytes) -> Json:
    """The value of a JSON document.

    Raises:
        ValueError: it is no JSON document.
    """
    try:
        return cast("Json", orjson.loads(content))
    except orjson.JSONDecodeError:
        return _tolerantly(content.decode(errors="surrogateescape"))


def _tolerantly(text: str) -> Json:
    try:
        return _read(text)
    except RecursionError:
        pass
    try:
        return _read(_without_depths(text))
    except RecursionError as error:
        raise ValueError(f"nested deeper than {KEPT_LEVELS} levels") from error


def _read(text: str) -> Json:
    found = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_refuse)
    return cast("Json", found)


def _integer(digits: str) -> int | float:
    """As `orjson` has it: a double where 64 bits do not hold it."""
    # Python itself refuses thousands of digits, which are a matter of seconds.
    number = int(digits) if len(digits) <= 20 else None
    return number if number is not None and -(2**63) <= number < 2**64 else _float(digits)


def _float(digits: str) -> int | float:
    number = float(digits)
    if math.isfinite(number):
        return number
    return _BEYOND if number > 0 else -_BEYOND


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_depths(text: str) -> str:
    """The document with null for everything that is nested deeper than is kept."""
    kept: list[str] = []
    level = start = 0
    for found in _NEXT_BRACKET.finditer(text):
        if found[1] in {"[", "{"}:
            level += 1
            if level == KEPT_LEVELS + 1:
                kept += text[start : found.start(1)], "null"
        elif found[1]:
            if level == KEPT_LEVELS + 1:
                start = found.end()
            level -= 1
    return "".join(kept) + (text[start:] if level <= KEPT_LEVELS else "")
