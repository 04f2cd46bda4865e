"""Whatever is written as a quantity is refused, or read exactly; amounts survive their texts."""

import string
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
from controller.apis.resources import CHANGES, CPU, MEMORY, PODS, USD
from tests.strategies import json_values

pytestmark = pytest.mark.requirement("never-oversold.asks")

amounts = st.integers(0, MOST)
resources = st.sampled_from([CPU, MEMORY, PODS, CHANGES, USD])
nearly = st.text(alphabet=string.digits + "+-.eEinumkKMGTP ", max_size=12)
"""Texts of the characters that quantities are made of."""
multiples = st.sampled_from(
    [("", 1), ("k", 10**3), ("M", 10**6), ("Ki", 2**10), ("Mi", 2**20), ("e3", 10**3), ("E2", 100)]
)


def read(value: Json) -> Fraction | None:
    try:
        return parse_quantity(value)
    except QuantityError:
        return None


@given(st.one_of(json_values, nearly))
@example(10**400)
def test_any_value_is_a_bounded_multiple_of_a_nano_or_refused(value: Json) -> None:
    found = read(value)
    assert found is None or (abs(found) <= MOST and (found * 10**9).denominator == 1)


@given(st.one_of(json_values, nearly))
def test_units_are_rounded_up_by_less_than_one(value: Json) -> None:
    found = read(value)
    if found is None:
        return
    assert 0 <= whole(value) - found < 1
    if abs(found) * 1000 <= MOST:
        assert 0 <= milli(value) - found * 1000 < 1


@given(st.integers(0, 10**9), st.integers(0, 9), multiples)
def test_what_is_written_is_what_is_read(
    number: int, digits: int, multiple: tuple[str, int]
) -> None:
    suffix, size = multiple
    text = f"{number // 10**digits}.{number % 10**digits:0{digits}}" if digits else str(number)
    assert parse_quantity(text + suffix) == Fraction(number, 10**digits) * size


@given(resources, amounts)
def test_an_amount_is_read_from_its_text(resource: str, amount: int) -> None:
    assert amount_of(resource, amount_text(resource, amount)) == amount


@given(resources, amounts, amounts)
def test_equal_texts_are_equal_amounts(resource: str, one: int, other: int) -> None:
    is_same = amount_text(resource, one) == amount_text(resource, other)
    assert is_same == (one == other)


@given(resources, st.one_of(json_values, nearly))
def test_a_limit_is_an_amount_or_refused(resource: str, value: Json) -> None:
    try:
        amount = amount_of(resource, value)
    except QuantityError:
        return
    assert 0 <= amount <= MOST
