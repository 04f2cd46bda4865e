"""Quotas, budgets and prices as they are written: what they amount to, and what is refused."""

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.invalid import InvalidResourceError
from controller.apis.mandates import Budget
from controller.apis.pricebooks import PriceBook
from controller.apis.quantities import MOST, amount_of, parse_quantity
from controller.apis.resources import CHANGES, CPU, HELD, MEMORY, NANO_USD, PODS, SPENT, USD
from controller.apis.v1alpha1.amounts import (
    COUNT_FORM,
    CPU_FORM,
    MAX_LENGTH,
    MEMORY_FORM,
    PRICE_FORM,
    USD_FORM,
    AmountForm,
)
from controller.apis.v1alpha1.conversion import mandate_from_object, pricebook_from_object
from tests.resources import Object, mandate, pricebook

GIB = 2**30


def a_budget(**changes: object) -> Object:
    return {"name": "daily", "resource": "usd", "limit": "40", "windowSeconds": 86400, **changes}


def refusal_of(**spec: object) -> str:
    with pytest.raises(InvalidResourceError) as refusal:
        mandate_from_object(mandate(**spec))
    return str(refusal.value)


def test_a_quota_becomes_amounts_in_the_unit_of_each_resource() -> None:
    read = mandate_from_object(mandate(quota={"cpu": "1.5", "memory": "32Gi", "pods": 20}))

    assert read.quota == {CPU: 1500, MEMORY: 32 * GIB, PODS: 20}


@pytest.mark.parametrize(
    ("quota", "amounts"),
    [
        pytest.param({"cpu": 8}, {CPU: 8000}, id="a number of cores"),
        pytest.param({"cpu": "500m"}, {CPU: 500}, id="thousandths of a core"),
        pytest.param({"memory": "1.5Gi"}, {MEMORY: GIB + GIB // 2}, id="one GiB and a half"),
        pytest.param({"memory": 1000}, {MEMORY: 1000}, id="bytes"),
        pytest.param({"memory": "0.5k"}, {MEMORY: 500}, id="half a thousand bytes"),
        pytest.param({"pods": "0"}, {PODS: 0}, id="none at all, which is not unlimited"),
        pytest.param({"pods": None}, {}, id="null, which is as absent"),
        pytest.param({}, {}, id="an empty quota"),
        pytest.param(None, {}, id="no quota"),
    ],
)
def test_what_a_quota_amounts_to(quota: Object | None, amounts: dict[str, int]) -> None:
    assert mandate_from_object(mandate(quota=quota)).quota == amounts


def test_budgets_become_their_core_values_in_order() -> None:
    read = mandate_from_object(
        mandate(
            budgets=[
                a_budget(limit="0.25"),
                a_budget(name="rate", resource="changes", limit=200, windowSeconds=3600),
            ]
        )
    )

    assert read.budgets == (
        Budget("daily", USD, NANO_USD // 4, 86400),
        Budget("rate", CHANGES, 200, 3600),
    )


def test_a_mandate_without_limits_has_none() -> None:
    read = mandate_from_object(mandate())

    assert (read.quota, read.budgets) == ({}, ())


def test_a_price_book_is_in_billionths_and_has_the_identity_of_what_is_stored() -> None:
    read = pricebook_from_object(pricebook(cpu="0.0316", memory="0.000000001", pods=2))

    assert read == PriceBook("b00c:4", {CPU: 31_600_000, MEMORY: 1, PODS: 2 * NANO_USD})


def test_a_price_book_that_was_never_stored_has_no_identity_of_another() -> None:
    written = pricebook(cpu=1)
    written["metadata"] = {"name": "cluster"}

    assert pricebook_from_object(written).identity == ":0"


@pytest.mark.parametrize("resource", ["gpu", "memoryTiers", "storage"])
def test_what_is_not_limited_yet_is_no_field(resource: str) -> None:
    assert f"spec.quota.{resource}: unknown field" in refusal_of(quota={resource: 1})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(0.5, "spec.quota.cpu: 0.5 must be a whole number or a text", id="a fraction"),
        pytest.param(True, "spec.quota.cpu: true must be a whole number", id="a truth"),
        pytest.param([], "spec.quota.cpu: must be a whole number", id="a list"),
        pytest.param("9" * 21, "must be a whole number or a text of at most 20", id="too long"),
        pytest.param(10**9, "cpu is a number of CPU cores", id="a number that is too large"),
        pytest.param("8\n", "cpu is a number of CPU cores", id="a line's end"),
        pytest.param("٣", "cpu is a number of CPU cores", id="digits of another script"),
    ],
)
def test_an_amount_that_is_none_is_refused_by_its_field(value: object, words: str) -> None:
    assert words in refusal_of(quota={"cpu": value})


@pytest.mark.parametrize(
    ("budgets", "words"),
    [
        pytest.param(
            [a_budget(), a_budget(name="other", limit=1)],
            "spec.budgets: no two budgets may have the same resource and windowSeconds",
            id="one of them is dead",
        ),
        pytest.param(
            [a_budget(), a_budget(windowSeconds=60)],
            "spec.budgets: has two items whose name is 'daily': rename or remove one",
            id="one name twice",
        ),
        pytest.param(
            [a_budget(windowSeconds=59)], "spec.budgets[0].windowSeconds: 59 is not", id="short"
        ),
        pytest.param(
            [a_budget(windowSeconds=31_536_001)], "spec.budgets[0].windowSeconds", id="long"
        ),
        pytest.param([a_budget(resource="cpu")], "use 'usd' or 'changes'", id="of what is held"),
        pytest.param([a_budget(name="A")], 'spec.budgets[0].name: "A" is not', id="a name"),
        pytest.param([a_budget(limit=None)], "spec.budgets[0].limit: is required", id="no limit"),
        pytest.param(
            [a_budget(name=f"b{n}", windowSeconds=60 + n) for n in range(17)],
            "spec.budgets: has 17 items: at most 16",
            id="too many",
        ),
    ],
)
def test_budgets_that_cannot_be_held_are_refused(budgets: list[Object], words: str) -> None:
    assert words in refusal_of(budgets=budgets)


def test_two_budgets_of_one_resource_hold_over_different_windows() -> None:
    read = mandate_from_object(
        mandate(budgets=[a_budget(), a_budget(name="hourly", limit=4, windowSeconds=3600)])
    )

    assert [budget.window_seconds for budget in read.budgets] == [86400, 3600]


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        pytest.param(
            {"cpu": 1_000_000}, "spec.prices[0].usdPerHour: usdPerHour is in US dollars", id="most"
        ),
        pytest.param({"cpu": "-1"}, "usdPerHour is in US dollars, from 0", id="a gift"),
        pytest.param({"cpu": "0.0000000001"}, "at most 9 decimals", id="finer than is counted"),
        pytest.param({"gpu": 1}, 'spec.prices[0].resource: "gpu" is not allowed', id="what"),
        pytest.param({}, "spec.prices: is empty", id="no prices"),
    ],
)
def test_prices_that_nobody_can_be_charged_by_are_refused(prices: Object, words: str) -> None:
    with pytest.raises(InvalidResourceError) as refusal:
        pricebook_from_object(pricebook(**prices))

    assert words in str(refusal.value)


FORMS: dict[str, AmountForm] = {
    CPU: CPU_FORM,
    MEMORY: MEMORY_FORM,
    PODS: COUNT_FORM,
    CHANGES: COUNT_FORM,
    USD: USD_FORM,
}
PER_UNIT = {CPU: 1000, MEMORY: 1, PODS: 1, CHANGES: 1, USD: NANO_USD}


def test_every_resource_has_a_form() -> None:
    assert FORMS.keys() == {*HELD, *SPENT}


@pytest.mark.parametrize("resource", FORMS)
@given(data=st.data())
def test_every_text_of_a_form_is_read_exactly(resource: str, data: Any) -> None:  # noqa: ANN401 - DataObject is not exported
    form = FORMS[resource]
    text = data.draw(st.from_regex(form.pattern, fullmatch=True).filter(form.admits))

    exact = parse_quantity(text) * PER_UNIT[resource]

    assert len(text) <= MAX_LENGTH
    assert 0 <= amount_of(resource, text) <= MOST
    assert Fraction(amount_of(resource, text)) == min(exact, Fraction(MOST))


@pytest.mark.parametrize("resource", FORMS)
@given(data=st.data())
def test_every_number_of_a_form_is_read_exactly(resource: str, data: Any) -> None:  # noqa: ANN401 - DataObject is not exported
    number = data.draw(st.integers(0, FORMS[resource].most))

    assert FORMS[resource].admits(number)
    assert amount_of(resource, number) == number * PER_UNIT[resource]


@pytest.mark.parametrize("form", [*FORMS.values(), PRICE_FORM])
def test_a_form_ends_where_it_says(form: AmountForm) -> None:
    assert form.admits(form.most)
    assert not form.admits(form.most + 1)
    assert not form.admits(-1)
    assert not form.admits("")
    assert re.search(str(form.most), form.cel("self.x"))
