"""The reconcile loop: keys fold together, failures back off per key, bugs come out."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.clients.kube.backoff import Backoff
from controller.clients.kube.errors import (
    ConflictError,
    ForbiddenError,
    KubeError,
    UnreachableError,
)
from reconcilers.runtime import PartlyFailedError, Result, WorkQueue, as_one, run_loop

QUICK = Backoff(first=1.0, factor=2.0, longest=8.0)


@dataclass
class Alarm:
    """A timer that rings when the test says so."""

    seconds: float
    call: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Never ring."""
        self.is_cancelled = True


@dataclass
class Alarms:
    """All timers that were set."""

    set: list[Alarm] = field(default_factory=list[Alarm])

    def call_later(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Set one."""
        self.set.append(Alarm(seconds, call))
        return self.set[-1]

    def ring(self) -> list[float]:
        """Ring all that are due sometime; returns their delays."""
        due = [alarm for alarm in self.set if not alarm.is_cancelled]
        self.set.clear()
        for alarm in due:
            alarm.call()
        return [alarm.seconds for alarm in due]


async def settle(queue: WorkQueue[str]) -> None:
    """Let the loop work off what waits."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(queue) == 0


async def test_a_key_that_waits_is_not_queued_twice() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_that_comes_while_it_is_worked_on_comes_once_more_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done(key)
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_later_appointment_takes_the_place_of_the_earlier() -> None:
    alarms = Alarms()
    queue: WorkQueue[str] = WorkQueue(call_later=alarms.call_later)
    queue.add_after("a", 5.0)
    queue.add_after("a", 1.0)
    assert alarms.ring() == [1.0]
    assert await queue.get() == "a"


async def test_a_closed_queue_keeps_no_appointment() -> None:
    alarms = Alarms()
    queue: WorkQueue[str] = WorkQueue(call_later=alarms.call_later)
    queue.add_after("a", 5.0)
    queue.close()
    assert alarms.ring() == []


async def test_failures_of_one_key_back_off_and_a_success_forgets_them() -> None:
    alarms = Alarms()
    queue: WorkQueue[str] = WorkQueue(call_later=alarms.call_later)
    faults = [UnreachableError("x"), ConflictError("x"), UnreachableError("x"), None] * 2
    seen: list[str] = []

    async def reconcile(key: str) -> Result:
        seen.append(key)
        if key == "bad" and (fault := faults.pop(0)) is not None:
            raise fault
        return Result()

    loop = asyncio.create_task(
        run_loop(queue, reconcile, name="test", backoff=QUICK, random=lambda: 1.0)
    )
    queue.add("bad")
    queue.add("good")
    await settle(queue)
    delays: list[float] = []
    while rung := alarms.ring():
        delays += rung
        await settle(queue)
    assert delays == [1.0, 2.0, 4.0]
    queue.add("bad")
    await settle(queue)
    assert alarms.ring() == [1.0]
    assert seen.count("good") == 1
    loop.cancel()


async def test_a_server_that_asks_for_time_is_given_it_up_to_the_longest_delay() -> None:
    alarms = Alarms()
    queue: WorkQueue[str] = WorkQueue(call_later=alarms.call_later)
    waits = [3.0, 3600.0]

    async def reconcile(_key: str) -> Result:
        raise UnreachableError("busy", retry_after=waits.pop(0))

    loop = asyncio.create_task(
        run_loop(queue, reconcile, name="test", backoff=QUICK, random=lambda: 0.0)
    )
    queue.add("a")
    await settle(queue)
    assert alarms.ring() == [3.0]
    await settle(queue)
    assert alarms.ring() == [8.0]
    loop.cancel()


def test_one_fault_stays_itself() -> None:
    fault = ConflictError("x")
    assert as_one([fault]) is fault


def test_several_faults_become_one_that_names_the_first_and_holds_them_all() -> None:
    faults = [
        ForbiddenError("denied", status=403, reason="Forbidden"),
        UnreachableError("busy", status=429, retry_after=2.0),
        UnreachableError("busy", status=429, retry_after=5.0),
    ]
    together = as_one(faults)
    assert type(together) is PartlyFailedError
    assert str(together) == "3 writes failed, the first: denied"
    assert (together.status, together.reason, together.retry_after) == (403, "Forbidden", 5.0)
    cause = cast("ExceptionGroup[KubeError]", together.__cause__)
    assert cause.exceptions == tuple(faults)


def test_no_fault_at_all_is_none_to_raise() -> None:
    with pytest.raises(ValueError, match="no faults"):
        as_one([])


async def test_several_faults_at_once_count_as_one_failure() -> None:
    alarms = Alarms()
    queue: WorkQueue[str] = WorkQueue(call_later=alarms.call_later)

    async def reconcile(_key: str) -> Result:
        raise as_one([UnreachableError("x"), ConflictError("y")])

    loop = asyncio.create_task(
        run_loop(queue, reconcile, name="test", backoff=QUICK, random=lambda: 1.0)
    )
    queue.add("a")
    await settle(queue)
    assert alarms.ring() == [1.0]
    await settle(queue)
    assert alarms.ring() == [2.0]
    loop.cancel()


async def test_a_success_may_ask_to_be_looked_at_again() -> None:
    alarms = Alarms()
    queue: WorkQueue[str] = WorkQueue(call_later=alarms.call_later)

    async def reconcile(_key: str) -> Result:
        return Result(requeue_after=60.0)

    loop = asyncio.create_task(run_loop(queue, reconcile, name="test"))
    queue.add("a")
    await settle(queue)
    assert alarms.ring() == [60.0]
    loop.cancel()


async def test_a_bug_ends_the_loop_and_closes_the_queue() -> None:
    alarms = Alarms()
    queue: WorkQueue[str] = WorkQueue(call_later=alarms.call_later)
    queue.add("a")
    queue.add_after("b", 1.0)

    async def reconcile(_key: str) -> Result:
        raise LookupError("bug")

    with pytest.raises(LookupError):
        await run_loop(queue, reconcile, name="test")
    assert alarms.ring() == []


@given(st.lists(st.sampled_from(["add a", "add b", "get", "done"]), max_size=60))
def test_no_key_is_ever_lost_or_handed_out_twice_at_once(steps: list[str]) -> None:
    async def play() -> None:
        queue: WorkQueue[str] = WorkQueue()
        wanted: set[str] = set()
        active: list[str] = []
        for step in steps:
            if step.startswith("add"):
                queue.add(step[-1])
                wanted.add(step[-1])
            elif step == "get" and len(queue):
                key = await queue.get()
                assert key not in active
                active.append(key)
                wanted.discard(key)
            elif step == "done" and active:
                queue.done(active.pop(0))
        for key in active:
            queue.done(key)
        left: set[str] = set()
        while len(queue):
            left.add(await queue.get())
        assert left == wanted

    asyncio.run(play())
