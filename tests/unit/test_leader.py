"""Who may work when, against Leases in memory: time, faults and lost answers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from controller.clients.kube.errors import UnreachableError
from reconcilers.leader import LEASE, Leadership, Terms
from tests.fakes.leases import FakeLeases, LeaseStore
from tests.shifts import Shifts, until

pytestmark = pytest.mark.requirement("fail-closed.one-leader")

TERMS = Terms(duration=1.0, renew_deadline=0.6, retry=0.1)
"""A whole second: the API's unit for a Lease's duration."""
SLACK = 1.0
"""For a machine that has other things to do."""
NO_ANSWER = UnreachableError("connection refused")


def a_contender(
    client: FakeLeases, identity: str, *, now: Callable[[], datetime] | None = None
) -> Leadership:
    """One that competes by `TERMS`."""
    return Leadership(
        client,
        identity=identity,
        terms=TERMS,
        now=now or (lambda: datetime.now(UTC)),
        random=lambda: 0.5,
    )


@contextlib.asynccontextmanager
async def competing(
    contender: Leadership, work: Callable[[], Awaitable[None]]
) -> AsyncGenerator["asyncio.Task[None]"]:
    """Runs it; ended in good order at the end of the block."""

    async def run() -> None:
        await contender.run_while_leading(work)

    task = asyncio.create_task(run())
    try:
        yield task
    finally:
        await end(task)


async def end(task: "asyncio.Task[None]") -> None:
    """Cancel it, and wait for its end."""
    task.cancel()
    await asyncio.wait({task})


def spec_of(store: LeaseStore) -> dict[str, Any]:
    """The Lease's spec as it is stored."""
    return cast("dict[str, Any]", store.held[LEASE]["spec"])


async def test_the_first_to_come_works_and_the_second_waits() -> None:
    store, shifts = LeaseStore(), Shifts()
    async with competing(a_contender(FakeLeases(store), "one"), shifts.of("one")):
        await shifts.begun_by("one")
        async with competing(a_contender(FakeLeases(store), "two"), shifts.of("two")):
            await asyncio.sleep(TERMS.duration * 2)  # the time in which nothing must happen
            assert shifts.working == ["one"]
            assert spec_of(store)["holderIdentity"] == "one"
            assert spec_of(store)["leaseDurationSeconds"] == 1


async def test_one_that_ends_in_good_order_lets_the_next_in_at_once() -> None:
    store, shifts = LeaseStore(), Shifts()
    async with competing(a_contender(FakeLeases(store), "one"), shifts.of("one")) as one:
        await shifts.begun_by("one")
        async with competing(a_contender(FakeLeases(store), "two"), shifts.of("two")):
            ended = time.monotonic()
            await end(one)
            begun = await shifts.begun_by("two")
            assert spec_of(store)["leaseTransitions"] == 1
    assert begun - ended < TERMS.retry + SLACK / 2
    assert begun - ended < TERMS.duration, "it waited for the Lease to expire"
    assert shifts.overlaps() == []


@pytest.mark.parametrize("silence", ["refused", "hanging"])
async def test_a_holder_that_is_cut_off_stops_before_the_next_one_begins(silence: str) -> None:
    store, shifts = LeaseStore(), Shifts()
    cut_off = FakeLeases(store)
    async with competing(a_contender(cut_off, "one"), shifts.of("one")):
        await shifts.begun_by("one")
        async with competing(a_contender(FakeLeases(store), "two"), shifts.of("two")):
            lost = time.monotonic()
            cut_off.fault, cut_off.hangs = NO_ANSWER, silence == "hanging"
            begun = await shifts.begun_by("two")
    (first, *_) = shifts.done
    assert first.worker == "one"
    assert first.end - lost < TERMS.renew_deadline + SLACK / 2
    assert TERMS.duration - TERMS.retry < begun - lost < TERMS.duration + TERMS.retry + SLACK
    assert shifts.overlaps() == []


async def test_one_that_is_back_in_time_goes_on_working() -> None:
    store, shifts = LeaseStore(), Shifts()
    client = FakeLeases(store)
    async with competing(a_contender(client, "one"), shifts.of("one")):
        await shifts.begun_by("one")
        client.fault = NO_ANSWER
        await asyncio.sleep(TERMS.renew_deadline / 2)  # less than it may be without an answer
        client.fault = None
        before = store.version
        await asyncio.sleep(TERMS.renew_deadline)
        assert store.version != before
        assert shifts.working == ["one"]
    assert len(shifts.done) == 1


async def test_one_whose_lease_is_somebody_elses_stops_at_its_next_renewal() -> None:
    store, shifts = LeaseStore(), Shifts()
    async with competing(a_contender(FakeLeases(store), "one"), shifts.of("one")):
        await shifts.begun_by("one")
        taken = time.monotonic()
        stored = store.held[LEASE]
        store.store({**stored, "spec": {**spec_of(store), "holderIdentity": "another"}})
        await until(lambda: not shifts.working)
    assert shifts.done[0].end - taken < TERMS.retry + SLACK / 2
    assert spec_of(store)["holderIdentity"] == "another", "it released what was not its own"


async def test_one_whose_lease_is_gone_stops_at_its_next_renewal() -> None:
    store, shifts = LeaseStore(), Shifts()
    async with competing(a_contender(FakeLeases(store), "one"), shifts.of("one")):
        await shifts.begun_by("one")
        del store.held[LEASE]
        gone = time.monotonic()
        await until(lambda: bool(shifts.done))
    assert shifts.done[0].end - gone < TERMS.retry + SLACK / 2


async def test_a_label_that_somebody_writes_takes_the_lease_from_nobody() -> None:
    store, shifts = LeaseStore(), Shifts()
    async with competing(a_contender(FakeLeases(store), "one"), shifts.of("one")):
        await shifts.begun_by("one")
        metadata = cast("dict[str, Any]", store.held[LEASE]["metadata"])
        store.store({**store.held[LEASE], "metadata": {**metadata, "labels": {"seen-by": "me"}}})
        labelled = spec_of(store)["renewTime"]
        await until(lambda: spec_of(store)["renewTime"] != labelled)
        assert shifts.working == ["one"]
        metadata = cast("dict[str, Any]", store.held[LEASE]["metadata"])
        assert metadata["labels"] == {"seen-by": "me"}
    assert len(shifts.done) == 1


async def test_a_renewal_whose_answer_was_lost_is_no_loss() -> None:
    store, shifts = LeaseStore(), Shifts()
    client = FakeLeases(store)
    async with competing(a_contender(client, "one"), shifts.of("one")):
        await shifts.begun_by("one")
        client.loses_answers, before = NO_ANSWER, store.version
        await until(lambda: store.version != before)
        client.loses_answers = None
        await asyncio.sleep(TERMS.duration)
        assert shifts.working == ["one"]
    assert len(shifts.done) == 1


async def test_nobody_begins_while_the_one_before_winds_up() -> None:
    store, shifts = LeaseStore(), Shifts()
    one = a_contender(FakeLeases(store), "one")
    slow = shifts.of("one", winding_up=TERMS.duration * 2)
    async with competing(one, slow) as first:
        await shifts.begun_by("one")
        async with competing(a_contender(FakeLeases(store), "two"), shifts.of("two")):
            await end(first)
            await shifts.begun_by("two")
    assert [shift.worker for shift in shifts.done] == ["one", "two"]
    assert shifts.overlaps() == []


@pytest.mark.parametrize("year", [1971, 2199])
async def test_no_wall_clock_is_believed(year: int) -> None:
    store, shifts, started = LeaseStore(), Shifts(), time.monotonic()

    def wrong() -> datetime:
        return datetime(year, 1, 1, tzinfo=UTC) + timedelta(seconds=time.monotonic() - started)

    async with competing(a_contender(FakeLeases(store), "one", now=wrong), shifts.of("one")):
        await shifts.begun_by("one")
        assert spec_of(store)["renewTime"].startswith(f"{year}-01-01T00:00:0")
        async with competing(a_contender(FakeLeases(store), "two"), shifts.of("two")):
            await asyncio.sleep(TERMS.duration * 2)  # the time in which nothing must happen
            assert shifts.working == ["one"]


async def test_a_lease_with_our_name_that_we_do_not_hold_is_waited_for() -> None:
    store, shifts = LeaseStore(), Shifts()
    async with competing(a_contender(FakeLeases(store), "one"), shifts.of("first")) as first:
        await shifts.begun_by("first")
        began = time.monotonic()
        async with competing(a_contender(FakeLeases(store), "one"), shifts.of("second")):
            await asyncio.sleep(TERMS.duration * 1.5)  # the time in which nothing must happen
            assert shifts.working == ["first"]
            await end(first)
            assert await shifts.begun_by("second") > began


async def test_a_longer_duration_that_the_holder_promised_is_waited_for() -> None:
    store, shifts = LeaseStore(), Shifts()
    store.store(
        {
            "metadata": {"namespace": LEASE.namespace, "name": LEASE.name},
            "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 2},
        }
    )
    began = time.monotonic()
    async with competing(a_contender(FakeLeases(store), "one"), shifts.of("one")):
        assert await shifts.begun_by("one") - began >= 2


async def test_the_works_own_failure_is_raised_once_the_lease_is_released() -> None:
    store = LeaseStore()

    async def failing() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await a_contender(FakeLeases(store), "one").run_while_leading(failing)
    assert spec_of(store)["holderIdentity"] == ""


async def test_work_that_ends_by_itself_is_begun_again() -> None:
    store, runs = LeaseStore(), asyncio.Queue[str]()

    async def short() -> None:
        runs.put_nowait(spec_of(store)["holderIdentity"])

    async with competing(a_contender(FakeLeases(store), "one"), short), asyncio.timeout(10):
        assert [await runs.get(), await runs.get()] == ["one", "one"]
        assert spec_of(store)["leaseTransitions"] >= 1


@pytest.mark.parametrize("silence", ["refused", "hanging"])
async def test_the_end_waits_for_no_api_server(silence: str) -> None:
    store, shifts = LeaseStore(), Shifts()
    client = FakeLeases(store)
    async with competing(a_contender(client, "one"), shifts.of("one")) as one:
        await shifts.begun_by("one")
        client.fault, client.hangs = NO_ANSWER, silence == "hanging"
        asked = time.monotonic()
        await end(one)
    assert time.monotonic() - asked < TERMS.retry + SLACK / 2
    assert shifts.working == []


@pytest.mark.parametrize(
    "terms",
    [
        pytest.param((10.0, 10.0, 2.0), id="stops when another may begin"),
        pytest.param((10.0, 7.0, 7.0), id="renews only once"),
        pytest.param((10.0, 7.0, 0.0), id="renews without a pause"),
    ],
)
def test_terms_that_cannot_keep_two_apart_are_refused(terms: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 < retry < renew_deadline < duration"):
        Terms(*terms)
