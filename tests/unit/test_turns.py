"""How long a writer pauses for the settler."""

import pytest

from controller.accounts.account import MAX_PENDING
from tests.accounts import an_account, an_entry
from webhooks.turns import Manners, Turns

pytestmark = pytest.mark.requirement("fail-closed.settler-has-its-turn")

MANNERS = Manners(crowded=50, in_a_row=3, seconds=0.02)


def after_swaps(count: int, *, pending: int) -> Turns:
    """Of which the last left so much pending."""
    turns = Turns(MANNERS)
    for number in range(count):
        left = pending - count + number
        turns.wrote(
            an_account(*map(an_entry, range(left))), an_account(*map(an_entry, range(left + 1)))
        )
    return turns


@pytest.mark.parametrize(
    ("swaps", "pending", "seconds"),
    [
        pytest.param(0, 0, 0.0, id="before the first swap"),
        pytest.param(3, 50, 0.0, id="as much is pending as is little"),
        pytest.param(2, 199, 0.0, id="too few swaps in a row"),
        pytest.param(3, 51, 0.0204, id="just crowded"),
        pytest.param(9, 100, 0.04, id="half full"),
        pytest.param(3, MAX_PENDING, 0.08, id="full"),
    ],
)
def test_the_pause_grows_with_what_is_pending(swaps: int, pending: int, seconds: float) -> None:
    assert after_swaps(swaps, pending=pending).pause() == pytest.approx(seconds)


def test_after_a_pause_as_many_swaps_are_made_as_before() -> None:
    turns = after_swaps(3, pending=100)
    assert turns.pause() > 0
    assert turns.pause() == 0.0

    base = an_account(*map(an_entry, range(100)))
    for number in range(3):
        assert turns.pause() == 0.0, number
        turns.wrote(base, base)
    assert turns.pause() > 0


def test_a_swap_from_what_the_settler_wrote_is_the_first_in_a_row() -> None:
    turns = after_swaps(3, pending=100)
    settled = an_account(*map(an_entry, range(1, 100)))
    turns.wrote(settled, settled)

    assert turns.pause() == 0.0
    assert turns.swaps == 1
