"""How long to wait before an engine is started again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.clients.engine.backoff import Backoff

BACKOFF = Backoff(first=0.1, cap=1.0, stable=30.0)
LIVES = st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=50)


def delays(lives: list[float]) -> list[float]:
    found: list[float] = []
    for lived in lives:
        found.append(BACKOFF.next_delay(found[-1] if found else 0.0, lived=lived))
    return found


@pytest.mark.parametrize(
    ("lives", "waits"),
    [
        pytest.param([0] * 6, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0], id="it doubles up to the cap"),
        pytest.param([0, 0, 30, 0], [0.1, 0.2, 0.1, 0.2], id="a stable life starts it over"),
        pytest.param([99], [0.1], id="the first wait is short"),
    ],
)
def test_the_waits_between_lives(lives: list[float], waits: list[float]) -> None:
    assert delays(lives) == pytest.approx(waits)


@given(LIVES)
def test_no_wait_is_shorter_than_the_first_or_longer_than_the_cap(lives: list[float]) -> None:
    assert all(BACKOFF.first <= delay <= BACKOFF.cap for delay in delays(lives))


@given(LIVES)
def test_a_wait_shrinks_only_after_a_stable_life(lives: list[float]) -> None:
    found = delays(lives)
    for before, after, lived in zip(found, found[1:], lives[1:], strict=False):
        assert after >= before or lived >= BACKOFF.stable
