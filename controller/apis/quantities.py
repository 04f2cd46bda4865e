"""Reads Kubernetes' quantities exactly, and limits as people write them.

Accepts what `resource.Quantity` accepts (`k8s.io/apimachinery/pkg/api/resource`), odd forms
included, since the API server stores whatever it accepts: what is finer than a nano is
rounded away from zero, what exceeds 64 bits is the largest number of 64 bits. It knows
resources by their unit only; what objects ask is decided in `controller.asks`.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

from controller.apis.json import Json
from controller.apis.resources import CHANGES, CPU, MEMORY, NANO_USD, PODS, USD

MOST: Final = 2**63 - 1
"""Larger numbers are this one."""

_NANO: Final = 10**9
_PER_UNIT: Final = {CPU: 1000, MEMORY: 1, PODS: 1, CHANGES: 1, USD: NANO_USD}
_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_QUANTITY: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<parts>[0-9]*))?"
    r"(?:(?P<suffix>[numkMGTPE]?|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]+))"
)
_SPACE: Final = "\t\n\v\f\r \x85\xa0"
"""What Go's `TrimSpace` takes off, as far as anybody writes it."""
_SHORT: Final = 40
_DIGITS_OF_MOST: Final = 28
"""In billionths."""
_LONGEST: Final = 4000
"""Digits that Python still reads at once; nobody writes more, but the API server would."""


class QuantityError(ValueError):
    """A value is no quantity, or no limit of its resource; the message says which and why."""


def parse_quantity(value: Json) -> Fraction:
    """The number that a quantity stands for, at most `MOST` in magnitude, a multiple of a nano.

    Args:
        value: as JSON has it: a text, or a number as YAML users write it; null is 0.

    Raises:
        QuantityError: the API server would not accept it either.
    """
    return Fraction(_nanos(value), _NANO)


def milli(value: Json) -> int:
    """A quantity in thousandths, rounded up, at most `MOST`.

    Raises:
        QuantityError: it is none.
    """
    return _within(thousandths(value))


def thousandths(value: Json) -> int:
    """The same without that bound, to be added up first: at most a thousand times `MOST`.

    Raises:
        QuantityError: it is no quantity.
    """
    return -(-_nanos(value) // (_NANO // 1000))


def whole(value: Json) -> int:
    """A quantity in whole units, rounded up, at most `MOST`.

    Raises:
        QuantityError: it is none.
    """
    return -(-_nanos(value) // _NANO)


def amount_of(resource: str, text: Json) -> int:
    """A limit as people write it, in the resource's unit (`controller.apis.resources`).

    Args:
        resource: `cpu`, `memory`, `pods`, `changes` or `usd`.
        text: `"500m"`, `"32Gi"`, `"20"`, `"0.25"`.

    Raises:
        QuantityError: it is no quantity, negative, finer than the unit, or of an unknown
            resource.
    """
    per_unit = _PER_UNIT.get(resource)
    if per_unit is None:
        raise QuantityError(f"{resource!r} is none of {', '.join(_PER_UNIT)}")
    amount = parse_quantity(text) * per_unit
    if amount < 0:
        raise QuantityError(f"{_shown(text)} is less than nothing")
    if amount.denominator != 1:
        raise QuantityError(
            f"{_shown(text)} is finer than what {resource} is counted in: "
            f"write a multiple of {amount_text(resource, 1)}"
        )
    return _within(amount.numerator)


def amount_text(resource: str, amount: int) -> str:
    """An amount as people write it, exactly: `1500m`, `2`, `32Gi`, `0.25`."""
    sign, size = ("-", -amount) if amount < 0 else ("", amount)
    return sign + _TEXTS.get(resource, str)(size)


def _cpu_text(amount: int) -> str:
    return f"{amount}m" if amount % 1000 else str(amount // 1000)


def _memory_text(amount: int) -> str:
    fitting = [name for name, size in _BINARY.items() if amount and amount % size == 0]
    return f"{amount // _BINARY[fitting[-1]]}{fitting[-1]}" if fitting else str(amount)


def _usd_text(amount: int) -> str:
    dollars, nanos = divmod(amount, NANO_USD)
    return f"{dollars}.{nanos:09}".rstrip("0").rstrip(".")


_TEXTS: Final = {CPU: _cpu_text, MEMORY: _memory_text, USD: _usd_text}


def _nanos(value: Json) -> int:
    """A quantity in billionths, which hold every quantity exactly."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise QuantityError(f"{_shown(value)} is neither a text nor a number")
    text = value if isinstance(value, str) else str(value)
    return _known(text) if len(text) <= _SHORT else _nanos_of(text)


@lru_cache(maxsize=4096)
def _known(text: str) -> int:
    """Most objects write the same few quantities."""
    return _nanos_of(text)


def _nanos_of(text: str) -> int:
    found = _QUANTITY.fullmatch(text.strip(_SPACE)) if text else None
    if found is None or not found[0]:
        raise QuantityError(f"{_shown(text)} is no quantity: write e.g. 500m, 2 or 1.5Gi")
    size = _size(found["whole"], found["parts"] or "", found)
    return -size if found["sign"] == "-" else size


def _size(whole_part: str, parts: str, found: re.Match[str]) -> int:
    digits = (whole_part + parts).lstrip("0")
    binary = _BINARY.get(found["suffix"] or "", 0)
    scale = (0 if binary else _exponent(found)) - len(parts) + 9
    if not digits:
        if not whole_part + parts and (binary >= _BINARY["Pi"] or scale < 0):
            raise QuantityError(f"{_shown(found[0])} has no digits")
        return 0
    if len(digits) > _LONGEST or len(digits) + scale > _DIGITS_OF_MOST:
        return MOST * _NANO
    if not binary and len(digits) + scale < 0:
        return 1
    number = int(digits) * (binary or 1)
    power: int = 10 ** abs(scale)
    size = number * power if scale >= 0 else -(-number // power)
    return min(size, MOST * _NANO)


def _exponent(found: re.Match[str]) -> int:
    if found["exponent"] is None:
        return _DECIMAL[found["suffix"] or ""]
    exponent = int(found["exponent"][:30])
    if not -(2**63) <= exponent <= MOST:
        raise QuantityError(f"{_shown(found[0])} has an exponent beyond 64 bits")
    # The API server keeps 32 bits of it.
    return (exponent + 2**31) % 2**32 - 2**31


def _within(amount: int) -> int:
    return max(-MOST, min(amount, MOST))


def _shown(value: Json) -> str:
    text = repr(value) if isinstance(value, str | int | float) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:39]}…"
