"""What the settler has not brought yet: asked for, waited for a moment, and then told."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from controller.accounts.account import Account
from controller.accounts.entries import Action
from controller.accounts.limits import Limits
from controller.accounts.reserve import (
    Exhausted,
    Proposal,
    Reservation,
    Reserved,
    Uncounted,
    Unopened,
)
from controller.accounts.windows import Window, WindowKey
from controller.apis.mandates import Budget
from controller.apis.resources import CHANGES
from controller.clients.kube.errors import ConflictError
from tests.accounts import NOON, a_proposal, an_account, an_entry, counted
from tests.fakes.accounts import FakeAccountFeed, FakeAccounts
from tests.shifts import until
from webhooks.reservations import Patience, Reservations
from webhooks.turns import Turns

AGENT = "migrator"
HOUR = WindowKey(CHANGES, 3600)
PATIENT = Patience(settler_seconds=60.0)
HASTY = Patience(settler_seconds=0.02)


@dataclass
class Bench:
    """One process in front of one account, and a settler that does what the test says."""

    patience: Patience
    store: FakeAccounts = field(default_factory=FakeAccounts)
    feed: FakeAccountFeed = field(default_factory=FakeAccountFeed)

    @property
    def reservations(self) -> Reservations:
        """The process."""
        return self._reservations

    def __post_init__(self) -> None:
        self._reservations = Reservations(self.store, self.feed, patience=self.patience)

    @property
    def account(self) -> Account:
        """As it is stored."""
        return self.store.now(AGENT).account

    def reserve(self, proposal: Proposal) -> "asyncio.Task[Reservation]":
        """One caller."""
        return asyncio.create_task(self._reservations.reserve(AGENT, proposal))

    def settle(self, change: Callable[[Account], Account]) -> None:
        """The settler swaps, and the watch brings it."""
        now = self.store.now(AGENT)
        self.feed.show(self.store.put(now, change(now.account)))


async def a_bench(account: Account, patience: Patience = PATIENT) -> Bench:
    bench = Bench(patience)
    bench.feed.show(await bench.store.create(account))
    return bench


def by_budget(number: int = 1, *, limit: int = 10) -> Proposal:
    budget = Budget("rate", CHANGES, limit, HOUR.seconds)
    return replace(a_proposal(number), limits=Limits(budgets=(budget,)))


def open_windows(account: Account) -> Account:
    """What the settler does with what is wanted."""
    opened = dict.fromkeys(account.wanted, Window(NOON, NOON, 0))
    return replace(account, windows={**account.windows, **opened}, wanted=())


def with_one_more(number: int) -> Callable[[Account], Account]:
    """What another webhook does."""
    return lambda account: replace(account, pending=(*account.pending, an_entry(number)))


async def test_a_window_that_is_missing_is_asked_for_in_one_swap_and_waited_for() -> None:
    bench = await a_bench(an_account())
    callers = [bench.reserve(by_budget(number)) for number in range(20)]
    await until(lambda: bool(bench.account.wanted))
    assert bench.account.wanted == (HOUR,)
    assert not any(caller.done() for caller in callers)

    bench.settle(open_windows)

    verdicts = await asyncio.wait_for(asyncio.gather(*callers), 10)
    assert [type(verdict) for verdict in verdicts] == [Reserved] * 10 + [Exhausted] * 10
    assert len(bench.account.pending) == 10
    assert bench.store.writes < 6


async def test_other_news_of_the_account_is_no_reason_to_ask_again() -> None:
    bench = await a_bench(an_account())
    caller = bench.reserve(by_budget(limit=100))
    await until(lambda: bool(bench.account.wanted))
    asked = bench.store.swaps + bench.store.reads
    for number in range(900, 910):
        bench.settle(with_one_more(number))
        await asyncio.sleep(0)

    assert bench.store.swaps + bench.store.reads == asked
    bench.settle(open_windows)
    assert isinstance(await asyncio.wait_for(caller, 10), Reserved)


async def test_where_the_settler_does_not_come_the_caller_is_told_what_is_missing() -> None:
    bench = await a_bench(an_account(), HASTY)

    verdict = await asyncio.wait_for(bench.reserve(by_budget()), 10)

    assert isinstance(verdict, Unopened)
    assert verdict.missing == (HOUR,)
    assert bench.account.wanted == (HOUR,), "it is asked for all the same"
    assert bench.account.pending == ()


async def test_what_an_agent_holds_is_waited_for_until_it_is_counted() -> None:
    bench = await a_bench(an_account())
    caller = bench.reserve(a_proposal(limits={"pods": 2}))
    await until(lambda: bench.store.reads > 0)
    assert not caller.done()

    bench.settle(counted)

    assert isinstance(await asyncio.wait_for(caller, 10), Reserved)


async def test_where_nobody_counts_the_caller_is_told() -> None:
    bench = await a_bench(an_account(), HASTY)
    verdict = await asyncio.wait_for(bench.reserve(a_proposal(limits={"pods": 2})), 10)
    assert isinstance(verdict, Uncounted)
    assert bench.store.writes == 0


@pytest.mark.parametrize("tries", [1, 2, 3])
async def test_nobody_asks_for_ever(tries: int) -> None:
    """What came by the watch says that all is there, what is read that it is not: again."""
    bench = await a_bench(an_account(), replace(PATIENT, tries=tries))
    stored = bench.store.now(AGENT)
    bench.feed.show(replace(stored, account=counted(stored.account)))

    async def be_in_doubt(_: Account) -> None:
        raise ConflictError("the object has been modified", status=409)

    bench.store.before_swap = be_in_doubt
    verdict = await asyncio.wait_for(bench.reserve(a_proposal(limits={"pods": 2})), 10)

    assert isinstance(verdict, Uncounted)
    assert bench.store.reads == tries


def test_what_webhooks_write_into_windows_is_no_trace_of_a_settler() -> None:
    first = replace(an_account(), windows={HOUR: Window(NOON, NOON, 0)})
    turns = Turns()
    turns.wrote(first, replace(first, pending=(an_entry(1),)))
    untraced = an_entry(2, action=Action.UNTRACED)

    grown = replace(
        first,
        pending=(an_entry(1), untraced),
        windows={HOUR: Window(NOON, NOON, 1)},
        wanted=(WindowKey(CHANGES, 60),),
    )
    assert not turns.is_settled_in(grown)
    turns.wrote(first, grown)
    for settled in (
        replace(grown, wanted=()),
        replace(grown, windows={HOUR: Window(NOON + 3_600_000, NOON + 3_600_000, 0)}),
        replace(grown, windows={HOUR: Window(NOON, NOON + 1, 1)}),
        replace(grown, settled={"pods": 1}),
    ):
        assert turns.is_settled_in(settled)
