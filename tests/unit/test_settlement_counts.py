"""What the settlement loop counts, spends and wakes up for, against scripted ports."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from controller.accounts.account import COUNTED
from controller.accounts.entries import Outcome, WatchedKind
from controller.accounts.windows import Window, WindowKey
from controller.apis.pricebooks import PriceBook
from controller.clients.kube.client import Object
from reconcilers.runtime import CallLater
from tests.accounts import DEPLOYMENTS, NOON
from tests.settlement_bench import WIDGETS, Bench, a_create, a_mandate, until


def hold_pods(bench: Bench, number: int) -> int:
    """Store the agent's Deployment with so many Pods; gives its resource version."""
    container: Object = {"name": "c", "resources": {"requests": {"cpu": "1"}}}
    spec: Object = {"replicas": number, "template": {"spec": {"containers": [container]}}}
    labels: Object = {"governor.dev/agent": "migrator"}
    return bench.cluster.counted[DEPLOYMENTS].put("d-1", labels=labels, spec=spec)


def held(bench: Bench) -> Mapping[str, int]:
    """What the account says that the agent holds."""
    return bench.account.settled


def noting(asked: list[float]) -> CallLater:
    """Every delay that is asked for."""

    def call_later(seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        asked.append(seconds)
        return asyncio.get_running_loop().call_later(seconds, call)

    return call_later


def is_ready(bench: Bench) -> bool:
    return all(bench.histories.view(kind) for kind in (WIDGETS, *COUNTED))


@pytest.mark.requirement("never-oversold.one-moment")
async def test_holdings_are_counted_once_every_counted_kind_has_been_seen_so_far() -> None:
    bench = Bench()
    await bench.hold(as_of=100)
    async with bench.running():
        await until(lambda: is_ready(bench))
        at = hold_pods(bench, 3)
        late = min(COUNTED - {DEPLOYMENTS})
        bench.cluster.tell(*(COUNTED - {DEPLOYMENTS, late}), at=at)
        await bench.idle()
        assert held(bench) == {}
        bench.cluster.tell(late, at=at)
        await until(lambda: held(bench) == {"pods": 3, "cpu": 3000})
        assert bench.account.as_of[DEPLOYMENTS] == at


@pytest.mark.requirement("never-oversold.one-moment")
async def test_a_raise_is_decided_with_the_moment_that_counts_it() -> None:
    bench = Bench()
    raising = a_create(1)
    raising = replace(raising, kind=DEPLOYMENTS, uid="d-1", after={"pods": 3})
    await bench.hold(raising, as_of=100)
    async with bench.running():
        await until(lambda: is_ready(bench))
        at = hold_pods(bench, 3)
        await bench.idle()
        bench.look()
        await bench.idle()
        assert (bench.outcomes(), held(bench)) == ([None], {})
        bench.cluster.tell(*(COUNTED - {DEPLOYMENTS}), at=at)
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])
        assert held(bench)["pods"] == 3


@pytest.mark.requirement("never-oversold.trees")
async def test_what_a_person_takes_away_is_free_without_a_write_of_the_agent() -> None:
    bench = Bench()
    hold_pods(bench, 3)
    bench.cluster.tell(*(COUNTED - {DEPLOYMENTS}), at=101)
    await bench.hold(as_of=100)
    async with bench.running():
        await until(lambda: held(bench).get("pods") == 3)
        at = bench.cluster.counted[DEPLOYMENTS].delete("d-1")
        bench.cluster.tell(*(COUNTED - {DEPLOYMENTS}), at=at)
        await until(lambda: held(bench) == {})


async def test_news_of_nobodys_objects_wake_nobody() -> None:
    bench = Bench()
    wakes: list[float] = []
    bench.use(call_later=noting(wakes))
    await bench.hold(as_of=100)
    async with bench.running():
        await until(lambda: is_ready(bench))
        await bench.idle()
        wakes.clear()
        at = bench.cluster.counted[DEPLOYMENTS].put("other", labels={}, spec={"replicas": 9})
        bench.cluster.tell(*(COUNTED - {DEPLOYMENTS}), at=at)
        await bench.idle()
        assert wakes == []
        hold_pods(bench, 1)
        bench.cluster.tell(*(COUNTED - {DEPLOYMENTS}), at=at + 1)
        await until(lambda: 0.0 in wakes)


HOUR = WindowKey("changes", 3600)
MONEY = WindowKey("usd", 3600)


def listed_at(bench: Bench, kind: WatchedKind) -> int:
    view = bench.histories.view(kind)
    return 0 if view is None else view.listed_at


def with_budgets(bench: Bench, *keys: WindowKey) -> None:
    budgets = [
        {"name": f"b{n}", "resource": key.resource, "limit": "9", "windowSeconds": key.seconds}
        for n, key in enumerate(keys)
    ]
    bench.mandates.store(a_mandate(budgets=budgets))


@pytest.mark.requirement("never-oversold.windows")
async def test_windows_of_budgets_are_opened_at_once_and_renewed_when_they_end() -> None:
    bench = Bench()
    await bench.hold(as_of=100)
    with_budgets(bench, HOUR)
    start = NOON - NOON % 3_600_000
    async with bench.running():
        await until(lambda: HOUR in bench.account.windows)
        assert bench.account.windows[HOUR].started_at == start
        bench.now = (start + 3_600_000) / 1000
        bench.look()
        await until(lambda: bench.account.windows[HOUR].started_at == start + 3_600_000)


@pytest.mark.requirement("never-oversold.windows")
async def test_the_timer_looks_again_when_the_first_window_ends() -> None:
    bench = Bench()
    asked: list[float] = []
    bench.use(call_later=noting(asked))
    await bench.hold(as_of=100)
    with_budgets(bench, HOUR, WindowKey("changes", 60))
    bench.now = (NOON - NOON % 60_000 + 57_500) / 1000
    async with bench.running():
        await until(lambda: HOUR in bench.account.windows)
        await until(lambda: any(2.4 < seconds <= 2.5 for seconds in asked))


@pytest.mark.requirement("never-oversold.windows")
async def test_a_window_that_a_cap_waits_for_is_opened_at_once() -> None:
    bench = Bench()
    stored = await bench.hold(as_of=100)
    async with bench.running():
        await until(lambda: is_ready(bench))
        await bench.idle()
        wanting = replace(stored.account, wanted=(HOUR,))
        bench.feed.bring(bench.store.put(stored, wanting))
        await until(lambda: HOUR in bench.account.windows)
        assert bench.account.wanted == ()


@pytest.mark.requirement("never-oversold.windows")
async def test_the_passing_of_time_alone_is_no_swap_but_money_is_counted_with_every_refresh() -> (
    None
):
    bench = Bench()
    bench.prices.prices = PriceBook("p:1", {"cpu": 10**9})
    bench.cluster.pricebook = a_pricebook()
    hold_pods(bench, 1)
    bench.cluster.tell(*(COUNTED - {DEPLOYMENTS}), at=101)
    await bench.hold(as_of=100)
    with_budgets(bench, MONEY)
    bench.now = (NOON - NOON % 3_600_000) / 1000
    async with bench.running():
        await until(lambda: held(bench).get("pods") == 1 and MONEY in bench.account.windows)
        await bench.idle()
        swaps, spent = bench.store.swaps, bench.account.windows[MONEY].spent
        bench.now += 20
        bench.look()
        await bench.idle()
        assert bench.store.swaps == swaps
        bench.now += 21
        bench.look()
        await until(lambda: bench.account.windows[MONEY].spent > spent)
        assert bench.account.windows[MONEY].accrued_at == int(bench.now * 1000)


def a_pricebook(*, generation: int = 1) -> Object:
    price = "60" if generation > 1 else "1"
    return {
        "metadata": {"name": "cluster", "uid": "p", "generation": generation},
        "spec": {"prices": [{"resource": "cpu", "usdPerHour": price}]},
    }


@pytest.mark.requirement("never-oversold.windows")
async def test_new_prices_are_copied_to_every_account_at_once() -> None:
    bench = Bench()
    await bench.hold(as_of=100)
    async with bench.running():
        await until(lambda: is_ready(bench))
        await bench.idle()
        bench.cluster.pricebook = a_pricebook()
        bench.prices.bring(PriceBook("p:1", {"cpu": 10**9}))
        await until(lambda: bench.account.prices == "p:1")


@pytest.mark.requirement("never-oversold.windows")
async def test_without_any_prices_everything_is_settled_but_money() -> None:
    bench = Bench()
    bench.prices.prices = None
    stored = await bench.hold(a_create(), as_of=100)
    start = NOON - NOON % 3_600_000
    money = Window(start, start, 5)
    before = replace(stored.account, prices="p:1", windows={MONEY: money})
    bench.feed.bring(bench.store.put(stored, before))
    with_budgets(bench, MONEY, HOUR)
    bench.now = (start + 60_000) / 1000
    hold_pods(bench, 1)
    bench.cluster.tell(*(COUNTED - {DEPLOYMENTS}), at=101)
    bench.cluster.write("w-1")
    async with bench.running():
        await until(lambda: bench.outcomes() == [Outcome.PERSISTED])
        await until(lambda: held(bench).get("pods") == 1)
        assert bench.account.windows == {MONEY: money, HOUR: Window(start, start, 1)}
        assert bench.account.prices == "p:1"
        suspended = a_mandate(suspend=True)
        suspended["metadata"] = {"name": "migrator", "uid": "7f3a", "generation": 4}
        bench.mandates.store(suspended)
        await until(lambda: bench.account.fence.suspended)
        bench.cluster.pricebook = a_pricebook(generation=2)
        bench.prices.bring(PriceBook("p:2", {"cpu": 60 * 10**9}))
        await until(lambda: bench.account.prices == "p:2")
        # For the whole minute, although it passed while nobody knew what it cost.
        assert bench.account.windows[MONEY] == Window(start, start + 60_000, 10**9 + 5)


async def test_a_gap_in_a_counted_kind_is_no_swap_after_the_other_until_all_are_as_far() -> None:
    bench = Bench()
    await bench.hold(as_of=100)
    with_budgets(bench, MONEY)
    async with bench.running():
        await until(lambda: is_ready(bench) and MONEY in bench.account.windows)
        await bench.idle()
        before = bench.store.swaps
        bench.cluster.counted[DEPLOYMENTS].expire()
        at = bench.cluster.counted[DEPLOYMENTS].bookmark(further=50)
        await until(lambda: listed_at(bench, DEPLOYMENTS) == at)
        for _ in range(20):
            bench.now += 0.1
            bench.look()
            await bench.idle(50)
        assert bench.store.swaps <= before + 1
        bench.cluster.tell(*(COUNTED - {DEPLOYMENTS}), at=at)
        await until(lambda: bench.account.as_of[DEPLOYMENTS] == at)
