"""The settlement loop against scripted ports: conflicts, lagging watches, the clock, refreshes.

What a real API server makes of it is in tests/integration/test_settlement.py.
"""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from controller.accounts.account import COUNTED, Account, Fence
from controller.accounts.entries import Action, Outcome
from controller.clients.kube.accounts import AccountGarbledError, Stored
from controller.clients.kube.errors import ConflictError, NotFoundError, UnreachableError
from tests.fakes.accounts import FakeAccounts
from tests.settlement_bench import (
    OPEN,
    WIDGETS,
    Bench,
    a_create,
    a_mandate,
    a_widget,
    until,
)


async def test_a_mandate_without_an_account_gets_one() -> None:
    bench = Bench()
    async with bench.running():
        await until(lambda: bench.exists)
        assert bench.account.fence == OPEN


async def test_an_event_about_an_open_entry_settles_it_and_the_committer_is_told_once() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        assert bench.outcomes() == [None]
        bench.cluster.write("w-1")
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])
        bench.look()
        await bench.idle()
        assert bench.told == 1
        bench.settlement.release()
        await bench.idle()
        assert bench.store.swaps == 1
        bench.committed = {a_create().key}
        bench.settlement.release()
        await until(lambda: bench.account.pending == ())
        assert bench.told == 1


async def test_a_conflict_is_read_again_and_decided_anew() -> None:
    bench = Bench()
    stored = await bench.hold(a_create(1), as_of=100)
    other = replace(stored.account, pending=(a_create(1), a_create(2)))
    bench.cluster.write("w-1")
    bench.store.put(stored, other)  # the watch has not brought it
    async with bench.running():
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED, None])
    assert bench.store.reads == 1


async def test_conflicts_without_end_are_left_for_later() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    bench.cluster.write("w-1")

    async def overtake(_account: Account) -> None:
        stored = bench.store.now("migrator")
        fence = replace(stored.account.fence, generation=stored.account.fence.generation)
        grown = (*stored.account.pending, a_create(len(stored.account.pending) + 1))
        bench.store.put(stored, replace(stored.account, fence=fence, pending=grown))

    bench.store.before_swap = overtake
    async with bench.running():
        await until(lambda: bench.store.swaps >= 8)
        await bench.idle()
        assert bench.store.swaps == 8


async def test_an_account_that_goes_while_it_is_settled_is_made_anew() -> None:
    bench = Bench()
    stored = await bench.hold(a_create(), as_of=100)
    bench.cluster.write("w-1")

    async def take_away(_account: Account) -> None:
        bench.store.before_swap = nothing
        await bench.store.delete(stored)

    async def nothing(_account: Account) -> None:
        """Let it be."""

    bench.store.before_swap = take_away
    async with bench.running():
        await until(lambda: bench.store.reads == 1)
        await until(lambda: bench.exists)
        assert bench.account.pending == ()


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_a_view_that_is_older_than_the_account_settles_nothing_but_the_fence_is_copied() -> (
    None
):
    bench = Bench()
    await bench.hold(a_create(), as_of=150)
    bench.cluster.forgotten = 150
    bench.cluster.write("w-1")
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        await bench.idle()
        assert bench.outcomes() == [None]
        assert bench.store.swaps == 0
        suspended = a_mandate(suspend=True)
        suspended["metadata"] = {"name": "migrator", "uid": "7f3a", "generation": 4}
        bench.mandates.store(suspended)
        await until(lambda: bench.account.fence == Fence("7f3a", 4, suspended=True))
        assert bench.outcomes() == [None]
        assert bench.account.as_of[WIDGETS] == 150
        bench.cluster.bookmark(further=100)
        bench.look()
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])


def lags_in(logs: list[EventDict]) -> list[EventDict]:
    """What was said of views that are too old."""
    return [log for log in logs if log["event"].startswith("not settled: ")]


async def told_after(bench: Bench, seconds: float, *, logs: list[EventDict]) -> int:
    """How often it has been said, once the loop has looked again so much later."""
    bench.now += seconds
    bench.look()
    await bench.idle()
    return len(lags_in(logs))


async def test_a_view_that_stays_older_than_the_account_is_told_of_once_until_it_has_passed() -> (
    None
):
    bench = Bench()
    await bench.hold(a_create(), as_of=150)
    bench.cluster.forgotten = 150
    with capture_logs() as logs:
        async with bench.running():
            await until(lambda: bench.histories.view(WIDGETS))
            await bench.idle()
            assert await told_after(bench, 9.0, logs=logs) == 0
            assert await told_after(bench, 1.0, logs=logs) == 1
            assert await told_after(bench, 60.0, logs=logs) == 1
            bench.cluster.write("w-1")
            bench.cluster.bookmark(further=100)
            await until(lambda: bench.account.as_of[WIDGETS] > 150)
            stored = bench.store.now("migrator")
            ahead = replace(stored.account, as_of={**stored.account.as_of, WIDGETS: 900})
            bench.feed.bring(bench.store.put(stored, ahead))
            assert await told_after(bench, 0.0, logs=logs) == 1
            assert await told_after(bench, 9.0, logs=logs) == 1
            assert await told_after(bench, 1.0, logs=logs) == 2
    first, second = lags_in(logs)
    assert {**first, "event": ""} == {
        "event": "",
        "log_level": "warning",
        "agent": "migrator",
        "kind": str(WIDGETS),
        "seen_to": 100,
        "as_of": 150,
    }
    assert second["as_of"] == 900


@pytest.mark.requirement("never-oversold.clock-after-watch")
async def test_the_clock_waits_for_the_watch_to_reach_what_a_quorum_read_saw() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        bench.cluster.at = 500  # written by others; no watch has said so yet
        bench.now += 69.9
        bench.look()
        await bench.idle()
        assert bench.outcomes() == [None]
        bench.now += 0.2
        bench.look()
        await bench.idle()
        assert bench.outcomes() == [None]
        bench.cluster.bookmark(further=0)
        bench.look()
        await until(lambda: bench.outcomes() == [Outcome.LOST])


@pytest.mark.requirement("never-oversold.clock-after-watch")
async def test_a_write_that_the_watch_brings_past_the_deadline_is_persisted_all_the_same() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        bench.cluster.at = 500
        bench.now += 71
        bench.look()
        await bench.idle()
        bench.cluster.write("w-1")
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])


@pytest.mark.requirement("never-oversold.clock-after-watch")
async def test_an_entry_that_is_validated_again_gets_its_time_anew() -> None:
    bench = Bench()
    stored = await bench.hold(a_create(), as_of=100)
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        bench.cluster.at = 500
        bench.now += 71
        bench.look()
        await bench.idle()
        # What was read for the first call says nothing of the second, however late we look.
        later = replace(a_create(), made_at=int(bench.now * 1000))
        bench.now += 69
        bench.cluster.bookmark(further=100)
        bench.feed.bring(bench.store.put(stored, replace(stored.account, pending=(later,))))
        await bench.idle()
        assert bench.outcomes() == [None]
        bench.now += 2
        bench.look()
        await until(lambda: bench.outcomes() == [Outcome.LOST])


@pytest.mark.requirement("never-oversold.clock-after-watch")
async def test_a_position_read_for_an_earlier_call_is_not_used_for_a_later_one() -> None:
    bench = Bench()
    stored = await bench.hold(a_create(), as_of=100)
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        bench.cluster.at = 500
        bench.now += 71
        bench.look()
        await bench.idle()
        later = replace(a_create(), made_at=int(bench.now * 1000))
        bench.now += 71
        bench.cluster.bookmark(further=100)
        bench.cluster.at = 900
        bench.feed.bring(bench.store.put(stored, replace(stored.account, pending=(later,))))
        await bench.idle()
        assert bench.outcomes() == [None]
        bench.cluster.write("w-1")
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_the_kill_switch_waits_for_no_list() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    bench.cluster.fault = UnreachableError("refused", status=503)
    async with bench.running():
        await bench.idle()
        suspended = a_mandate(suspend=True)
        suspended["metadata"] = {"name": "migrator", "uid": "7f3a", "generation": 4}
        bench.mandates.store(suspended)
        await until(lambda: bench.account.fence == Fence("7f3a", 4, suspended=True))
        assert bench.histories.view(WIDGETS) is None


@pytest.mark.requirement("never-oversold.unserved-proven")
async def test_a_kind_that_cannot_be_read_keeps_its_entries_open_and_no_others() -> None:
    bench = Bench()
    other = WIDGETS._replace(group="other.example.com")
    await bench.hold(a_create(1), a_widget(2, kind=other, action=Action.CREATE), as_of=100)
    bench.cluster.write("w-1")
    async with bench.running():
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED, None])
        bench.now += 71
        bench.look()
        await bench.idle()
        # Discovery does not know it, its collection answers: nothing is proven.
        assert bench.outcomes() == [Outcome.PERSISTED, None]


@pytest.mark.requirement("never-oversold.unserved-proven")
async def test_a_kind_that_is_no_longer_served_leaves_as_of_and_its_entries_are_unknown() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    bench.cluster.is_served = False
    bench.cluster.fault = NotFoundError("no such path", status=404)
    async with bench.running():
        await until(lambda: set(bench.account.as_of) == set(COUNTED))
        assert bench.outcomes() == [None]
        bench.now += 71
        bench.look()
        await until(lambda: bench.outcomes() == [Outcome.UNKNOWN])


async def test_a_bookmark_alone_is_no_swap_until_as_of_grows_old() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        bench.cluster.bookmark()
        bench.look()
        await bench.idle()
        bench.now += 39
        bench.look()
        await bench.idle()
        assert bench.store.swaps == 0
        bench.now += 2
        bench.look()
        await until(lambda: bench.account.as_of[WIDGETS] == bench.cluster.at)
        assert bench.store.swaps == 1


async def test_an_idle_account_is_refreshed_less_often() -> None:
    bench = Bench()
    await bench.hold(as_of=100)
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        await bench.idle()
        bench.cluster.bookmark()
        bench.now += 239
        bench.look()
        await bench.idle()
        assert bench.store.swaps == 0
        bench.now += 2
        bench.look()
        await until(lambda: bench.account.as_of[WIDGETS] == bench.cluster.at)


async def test_an_account_that_was_counted_before_a_gap_is_counted_anew_at_once() -> None:
    bench = Bench()
    await bench.hold(as_of=90)
    async with bench.running():
        await until(lambda: bench.account.as_of[WIDGETS] == 100)
        bench.cluster.expire()
        bench.cluster.bookmark(further=50)
        await until(lambda: bench.account.as_of[WIDGETS] == 150)
        assert bench.cluster.lists == ["", ""]


async def test_a_burst_of_news_is_one_look() -> None:
    bench = Bench(debounce=0.05)
    await bench.hold(*(a_create(number) for number in range(1, 51)), as_of=100)
    async with bench.running():
        await until(lambda: bench.histories.view(WIDGETS))
        await asyncio.sleep(0)
        for number in range(1, 51):
            bench.cluster.write(f"w-{number}")
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED] * 50)
        assert bench.store.swaps <= 2


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_an_account_whose_mandate_is_gone_is_closed_settled_and_deleted() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    async with bench.running():
        bench.mandates.store(None)
        await until(lambda: bench.account.fence.suspended)
        bench.cluster.write("w-1")
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])
        bench.committed = {a_create().key}
        bench.look()
        await until(lambda: bench.exists and bench.account.pending == ())
        bench.look()
        await until(lambda: not bench.exists)


async def test_an_api_server_that_does_not_answer_is_tried_again() -> None:
    bench = Bench()
    await bench.hold(a_create(), as_of=100)
    bench.cluster.write("w-1")

    async def fail(_account: Account) -> None:
        bench.store.before_swap = succeed
        raise UnreachableError("refused")

    async def succeed(_account: Account) -> None:
        """Let it be."""

    bench.store.before_swap = fail
    async with bench.running():
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])


async def test_an_account_that_cannot_be_read_stops_nobody() -> None:
    bench = Bench()
    stored = await bench.hold(a_create(), as_of=100)
    bench.store.put(stored, replace(stored.account, settled={"pods": 1}))

    async def garble(_agent: str) -> None:
        bench.store.before_read = read
        raise AccountGarbledError("status.pending[0]: is no entry")

    async def read(_agent: str) -> None:
        """It was mended."""

    bench.store.before_read = garble
    bench.cluster.write("w-1")
    async with bench.running():
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])


async def test_a_loop_that_lost_the_lead_goes_on_where_the_account_is() -> None:
    bench = Bench()
    await bench.hold(a_create(1), a_create(2), as_of=100)
    async with bench.running():
        bench.cluster.write("w-1")
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED, None])
    bench.cluster.write("w-2")
    bench.cluster.delete("w-2")
    await bench.idle()
    assert bench.outcomes() == [Outcome.PERSISTED, None]
    async with bench.running():
        # Deleted by now, and seen all the same: it began at `as_of`.
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED, Outcome.PERSISTED])


class Overtaken(FakeAccounts):
    """Whoever makes an account here comes second."""

    async def create(self, account: Account) -> Stored:
        """Somebody else was first."""
        stored = await super().create(account)
        self.put(stored, replace(account, pending=(a_create(),)))
        raise ConflictError("already exists", status=409)


async def test_whoever_comes_second_to_make_an_account_takes_it_as_it_is() -> None:
    bench = Bench(store=Overtaken())
    async with bench.running():
        await until(lambda: bench.exists and set(bench.account.as_of) == {WIDGETS, *COUNTED})
        assert bench.outcomes() == [None]
