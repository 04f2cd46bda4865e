"""What an account counts: settled, and the largest raise of each group of rivals."""

from dataclasses import replace

import pytest

from controller.accounts.charges import charge, increase, total
from controller.accounts.entries import Action, Entry, Outcome
from controller.apis.resources import Amounts
from tests.account_builders import PODS, a_create, an_account, an_entry, pods

CHARGES = [
    pytest.param((), 3, id="nothing is pending"),
    pytest.param((an_entry(before=1, after=3),), 5, id="an update counts by what it raises"),
    pytest.param(
        (an_entry("a", before=1, after=2), an_entry("b", before=1, after=3)),
        5,
        id="rivals of one version count as the largest",
    ),
    pytest.param(
        (an_entry("a", before=1, after=2), an_entry("b", before=2, after=3, version=20)),
        5,
        id="updates of two versions of one object count both",
    ),
    pytest.param(
        (an_entry("a", before=1, after=2), an_entry("b", before=1, after=2, uid="api-1")),
        5,
        id="updates of two objects count both",
    ),
    pytest.param(
        (a_create("a", uid="web-1", after=1), a_create("b", uid="web-2", after=2, version=50)),
        6,
        id="creates of one name add up: the first may be gone, and its Pods still end",
    ),
    pytest.param(
        (a_create("a", after=1), a_create("b", uid="api-1", name="api", after=1)),
        5,
        id="creates of two names count both",
    ),
    pytest.param(
        (a_create("a", after=1), a_create("b", uid="web-2", kind=PODS, after=1)),
        5,
        id="creates of one name in two kinds count both",
    ),
    pytest.param((an_entry(before=3, after=1),), 3, id="a lowering frees nothing"),
    pytest.param(
        (an_entry("a", before=3, after=1), an_entry("b", before=1, after=2, uid="api-1")),
        4,
        id="a lowering makes no room for others",
    ),
    pytest.param(
        (an_entry(before=1, after=3).decided(Outcome.PERSISTED),),
        3,
        id="an outcome ends the charge",
    ),
    pytest.param(
        (an_entry(action=Action.DELETE, before=3, after=0),), 3, id="a delete frees nothing"
    ),
]


@pytest.mark.requirement("never-oversold.protocol")
@pytest.mark.parametrize(("pending", "charged"), CHARGES)
def test_what_an_account_counts(pending: tuple[Entry, ...], charged: int) -> None:
    assert charge(an_account(*pending, settled=3)) == pods(charged)


def test_each_resource_is_counted_by_its_own_largest_rival() -> None:
    wide = replace(an_entry("a"), after={"cpu": 500, "memory": 10})
    tall = replace(an_entry("b"), after={"cpu": 100, "memory": 40})
    assert charge(an_account(wide, tall)) == {"cpu": 500, "memory": 40}


INCREASES = [
    pytest.param({}, {"cpu": 1}, {"cpu": 1}, id="what was not there rises by all of it"),
    pytest.param({"cpu": 1}, {"cpu": 3}, {"cpu": 2}, id="a rise is the difference"),
    pytest.param({"cpu": 3}, {"cpu": 1}, {}, id="a lowering is no rise"),
    pytest.param({"cpu": 1}, {}, {}, id="what goes away is no rise"),
    pytest.param(
        {"cpu": 3, "pods": 1},
        {"cpu": 1, "pods": 2},
        {"pods": 1},
        id="one resource never pays for another",
    ),
]


@pytest.mark.parametrize(("before", "after", "rises"), INCREASES)
def test_by_how_much_each_resource_rises(before: Amounts, after: Amounts, rises: Amounts) -> None:
    assert increase(before, after) == rises


def test_a_total_has_no_zeros_so_that_equal_sums_are_equal() -> None:
    assert total([{"cpu": 2, "pods": 0}, {"cpu": -2}, {"pods": 1}]) == {"pods": 1}
