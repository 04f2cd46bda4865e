"""Quantities are read as Kubernetes reads them, and limits as people write them.

`tests/golden/asks/quantities.json` holds Kubernetes' own answers; how they were made is
written in `tests/golden/asks/generate.go`.
"""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from controller.apis.json import Json
from controller.apis.quantities import (
    MOST,
    QuantityError,
    amount_of,
    amount_text,
    milli,
    parse_quantity,
    whole,
)

pytestmark = pytest.mark.requirement("never-oversold.asks")


def read(value: Json) -> Fraction | None:
    """None: it is refused."""
    try:
        return parse_quantity(value)
    except QuantityError:
        return None


def test_every_text_is_read_or_refused_as_kubernetes_does(repository: Path) -> None:
    content = (repository / "tests/golden/asks/quantities.json").read_text(encoding="utf-8")
    cases: list[dict[str, str]] = json.loads(content)
    assert len(cases) > 5000
    for case in cases:
        value = Fraction(case["value"]) if "value" in case else None
        expected = None if value is None else max(-MOST, min(value, Fraction(MOST)))
        assert read(case["text"]) == expected, case


@pytest.mark.parametrize(
    ("value", "number"),
    [
        pytest.param(None, 0, id="null is nothing"),
        pytest.param(2, 2, id="a number as YAML has it"),
        pytest.param(0.25, Fraction(1, 4), id="a fraction as YAML has it"),
        pytest.param(1e16, 10**16, id="a float with an exponent"),
        pytest.param(1e-7, Fraction(1, 10**7), id="a small float"),
        pytest.param(" 1Gi\n", 2**30, id="space around it"),
        pytest.param(-3, -3, id="less than nothing"),
    ],
)
def test_what_is_no_plain_text_is_read_as_it_is_written(value: Json, number: Fraction) -> None:
    assert parse_quantity(value) == number


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="an empty text"),
        pytest.param(" ", id="nothing but space"),
        pytest.param(True, id="a truth is no number"),
        pytest.param([], id="a list"),
        pytest.param({"a": 1}, id="an object"),
        pytest.param("1\x1f", id="a separator that Go takes for no space"),
        pytest.param("٣", id="a digit of another script"),
    ],
)
def test_what_is_no_quantity_is_refused(value: Json) -> None:
    with pytest.raises(QuantityError):
        parse_quantity(value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("1e2147483647", MOST, id="an exponent as large as there is"),
        pytest.param("1e-2147483648", Fraction(1, 10**9), id="an exponent as small as there is"),
        pytest.param("9" * 100_000, MOST, id="more digits than Python reads"),
        pytest.param("0." + "0" * 100_000 + "1", Fraction(1, 10**9), id="many that say little"),
        pytest.param("1" + "0" * 3000 + "e-3000", 1, id="a long way to one"),
        pytest.param("1" + "0" * 5000 + "e-5000", MOST, id="too long a way, taken for the most"),
    ],
)
def test_texts_of_any_length_are_read_at_once(text: str, number: Fraction) -> None:
    assert parse_quantity(text) == number


@pytest.mark.parametrize(
    ("text", "thousandths", "units"),
    [
        pytest.param("1", 1000, 1, id="exact"),
        pytest.param("0.0001", 1, 1, id="the least is one"),
        pytest.param("1.0001", 1001, 2, id="rounded up"),
        pytest.param("-1.5", -1500, -1, id="rounded up, below nothing too"),
        pytest.param("9E", MOST, 9 * 10**18, id="as many as 64 bits hold"),
        pytest.param("9999E", MOST, MOST, id="no more"),
    ],
)
def test_units_are_rounded_up_and_bounded(text: str, thousandths: int, units: int) -> None:
    assert (milli(text), whole(text)) == (thousandths, units)


LIMITS = [
    pytest.param("cpu", "8", 8000, "8", id="CPUs"),
    pytest.param("cpu", "500m", 500, "500m", id="thousandths of a CPU"),
    pytest.param("cpu", "1.5", 1500, "1500m", id="a CPU and a half"),
    pytest.param("memory", "32Gi", 32 * 2**30, "32Gi", id="gibibytes"),
    pytest.param("memory", "1.5Gi", 1536 * 2**20, "1536Mi", id="a gibibyte and a half"),
    pytest.param("memory", "1G", 10**9, "1000000000", id="a decimal gigabyte"),
    pytest.param("memory", "0", 0, "0", id="no memory"),
    pytest.param("memory", "1025", 1025, "1025", id="odd bytes"),
    pytest.param("pods", "20", 20, "20", id="pods"),
    pytest.param("changes", 200, 200, "200", id="changes, as a number"),
    pytest.param("usd", "40", 40 * 10**9, "40", id="dollars"),
    pytest.param("usd", "0.25", 250_000_000, "0.25", id="cents"),
    pytest.param("usd", "0.000000001", 1, "0.000000001", id="the least of a dollar"),
    pytest.param("usd", "100", 100 * 10**9, "100", id="dollars that end in zeros"),
]


@pytest.mark.parametrize(("resource", "text", "amount", "shown"), LIMITS)
def test_a_limit_is_read_and_shown_in_its_unit(
    resource: str, text: Json, amount: int, shown: str
) -> None:
    assert amount_of(resource, text) == amount
    assert amount_text(resource, amount) == shown


@pytest.mark.parametrize(
    ("resource", "text", "told"),
    [
        pytest.param("cpu", "0.0001", "write a multiple of 1m", id="finer than a milli-CPU"),
        pytest.param("memory", "100m", "write a multiple of 1", id="finer than a byte"),
        pytest.param("pods", "1.5", "write a multiple of 1", id="half a pod"),
        pytest.param("cpu", "-1", "less than nothing", id="less than nothing"),
        pytest.param("gpu", "1", "none of cpu, memory, pods", id="an unknown resource"),
        pytest.param("cpu", "eight", "is no quantity: write e.g.", id="a word"),
    ],
)
def test_a_limit_that_cannot_be_held_exactly_is_refused_with_what_to_write(
    resource: str, text: str, told: str
) -> None:
    with pytest.raises(QuantityError, match=told):
        amount_of(resource, text)


def test_what_is_overdrawn_is_shown_with_its_sign() -> None:
    assert amount_text("memory", -(2**30)) == "-1Gi"
    assert amount_text("usd", -500_000_000) == "-0.5"


def test_an_error_shows_no_more_than_a_line_of_what_was_written() -> None:
    with pytest.raises(QuantityError) as refused:
        parse_quantity("x" * 10_000)
    assert len(str(refused.value)) < 120
