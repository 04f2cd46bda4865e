"""Who waits until all counted kinds have been seen up to a version, and what is asked meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from controller.accounts.account import COUNTED
from controller.accounts.entries import WatchedKind
from reconcilers.moments import Moments

PODS = WatchedKind("", "v1", "pods")
JOBS = WatchedKind("batch", "v1", "jobs")


class Seen:
    """How far each kind was seen."""

    def __init__(self) -> None:
        self.positions = dict.fromkeys(COUNTED, 100)

    def seen_to(self, kind: WatchedKind) -> int:
        """Up to this resource version."""
        return self.positions.get(kind, 0)


class Asked:
    """What was asked for, and the seconds between."""

    def __init__(self) -> None:
        self.kinds: list[WatchedKind] = []
        self.slept: list[float] = []

    async def ask(self, kind: WatchedKind) -> None:
        """Note it."""
        self.kinds.append(kind)

    async def sleep(self, seconds: float) -> None:
        """Note it, and let others go on."""
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def turns() -> None:
    """Let other tasks go on."""
    for _ in range(20):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(moments: Moments) -> AsyncGenerator[None]:
    """Ask for as long as the block lasts."""
    task = asyncio.create_task(moments.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.requirement("never-oversold.one-moment")
def test_a_moment_is_as_far_as_the_kind_that_lags_most() -> None:
    seen = Seen()
    moments = Moments(seen, Asked().ask)
    assert moments.reached == 100
    seen.positions[JOBS] = 90
    assert moments.reached == 90
    del seen.positions[PODS]
    assert moments.reached == 0


def test_whoever_waits_is_named_once_when_the_last_kind_is_there() -> None:
    seen = Seen()
    moments = Moments(seen, Asked().ask)
    moments.wait(["a"], 120)
    moments.wait(["b"], 110)
    moments.wait(["b"], 105)  # the later version counts
    for kind in COUNTED - {JOBS}:
        seen.positions[kind] = 200
    assert moments.take_over() == ()
    seen.positions[JOBS] = 109
    assert moments.take_over() == ()
    seen.positions[JOBS] = 110
    assert moments.take_over() == ("b",)
    seen.positions[JOBS] = 200
    assert moments.take_over() == ("a",)
    assert moments.take_over() == ()


async def test_only_kinds_that_lag_are_asked_for_and_only_while_somebody_waits() -> None:
    seen, asked = Seen(), Asked()
    moments = Moments(seen, asked.ask, sleep=asked.sleep)
    for kind in COUNTED - {PODS, JOBS}:
        seen.positions[kind] = 200
    async with running(moments):
        await turns()
        assert asked.kinds == []
        moments.wait(["a"], 150)
        await turns()
        assert set(asked.kinds) == {PODS, JOBS}
        assert min(asked.slept) > 0
        seen.positions[PODS] = seen.positions[JOBS] = 150
        assert moments.take_over() == ("a",)
        await asyncio.sleep(0)
        before = len(asked.kinds)
        await turns()
        assert len(asked.kinds) == before
