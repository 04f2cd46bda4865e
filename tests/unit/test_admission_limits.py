"""What a granted write is held to: the mandate's limits and the policies' caps, all at once."""

from dataclasses import replace

import pytest

from controller.accounts.limits import Limits
from controller.admission.limits import budget_of, limits_of
from controller.apis.mandates import Budget, Enforcement
from controller.policy.results import Cap
from tests.builders import a_mandate
from tests.limiting import PRICES, RATE, SPEND, a_cap

LIMITED = replace(a_mandate(), quota={"pods": 20, "cpu": 8000}, budgets=(SPEND, RATE))


@pytest.mark.requirement("never-oversold.caps")
def test_without_caps_the_mandates_limits_are_held() -> None:
    assert limits_of(LIMITED, (), PRICES) == Limits(
        {"pods": 20, "cpu": 8000}, (SPEND, RATE), PRICES
    )


@pytest.mark.requirement("never-oversold.caps")
@pytest.mark.parametrize(
    ("caps", "pods"),
    [
        pytest.param((a_cap("pods", 5, None),), 5, id="a cap below the quota"),
        pytest.param((a_cap("pods", 50, None),), 20, id="a cap above it"),
        pytest.param((a_cap("pods", 7, None), a_cap("pods", 3, None)), 3, id="the lower of two"),
        pytest.param((a_cap("pods", 3, None), a_cap("pods", 7, None)), 3, id="in any order"),
    ],
)
def test_of_several_limits_on_what_is_held_the_smallest_counts(
    caps: tuple[Cap, ...], pods: int
) -> None:
    assert limits_of(LIMITED, caps, PRICES).quota == {"pods": pods, "cpu": 8000}


@pytest.mark.requirement("never-oversold.caps")
def test_a_cap_on_what_the_mandate_does_not_limit_limits_it() -> None:
    limits = limits_of(a_mandate(), (a_cap("memory", 4, None),), PRICES)
    assert limits.quota == {"memory": 4}


@pytest.mark.requirement("never-oversold.caps")
def test_a_cap_on_what_is_spent_is_one_more_budget_by_the_name_of_its_code() -> None:
    budgets = limits_of(LIMITED, (a_cap("usd", 7, 60),), PRICES).budgets
    assert budgets == (SPEND, RATE, Budget("after-hours", "usd", 7, 60))
    assert budget_of(a_cap("usd", 7, 60)) == budgets[2]
    assert budget_of(a_cap("pods", 7, None)) is None


@pytest.mark.requirement("explains-itself.relaxed")
@pytest.mark.parametrize(
    ("enforcement", "are_relaxed"),
    [(Enforcement.ENFORCE, False), (Enforcement.WARN, True), (Enforcement.SHADOW, True)],
)
def test_a_relaxed_mandate_relaxes_its_limits_and_the_caps(
    enforcement: Enforcement, *, are_relaxed: bool
) -> None:
    mandate = replace(LIMITED, enforcement=enforcement)
    assert limits_of(mandate, (a_cap(),), PRICES).are_relaxed is are_relaxed


def test_a_mandate_is_left_as_it_is() -> None:
    limits_of(LIMITED, (a_cap("pods", 1, None),), PRICES)
    assert LIMITED.quota == {"pods": 20, "cpu": 8000}
