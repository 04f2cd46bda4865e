"""The folding writer: many callers, one swap, and every answer by a current account."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.accounts.account import Account
from controller.accounts.charges import charge
from controller.accounts.encoding import EntryUnwritableError
from controller.accounts.entries import EntryKey, Outcome
from controller.accounts.reserve import (
    Exhausted,
    Proposal,
    Reservation,
    Reserved,
    StaleMandate,
    Suspended,
)
from controller.apis.resources import Amounts
from controller.clients.kube.accounts import AccountMissingError, Stored
from controller.clients.kube.errors import ConflictError, KubeError, UnreachableError
from tests.accounts import a_proposal, an_account, an_entry, counted
from tests.fakes.accounts import FakeAccountFeed, FakeAccounts
from webhooks.reservations import OverloadedError, Patience, Reservations
from webhooks.turns import Manners

AGENT = "migrator"


@dataclass
class Bench:
    """One process in front of one API server that holds one account."""

    store: FakeAccounts = field(default_factory=FakeAccounts)
    feed: FakeAccountFeed = field(default_factory=FakeAccountFeed)
    patience: Patience = field(default_factory=Patience)
    manners: Manners = field(default_factory=Manners)

    def __post_init__(self) -> None:
        self.reservations = Reservations(
            self.store, self.feed, patience=self.patience, manners=self.manners
        )

    @property
    def account(self) -> Account:
        """As it is stored."""
        return self.store.now(AGENT).account

    @property
    def changes(self) -> list[str]:
        """What is entered, in order."""
        return [entry.change for entry in self.account.pending]

    def reserve(self, proposal: Proposal) -> "asyncio.Task[Reservation]":
        """One caller."""
        return asyncio.create_task(self.reservations.reserve(AGENT, proposal))

    def elsewhere(self, change: Callable[[Account], Account]) -> Stored:
        """Another process swaps; nobody here hears of it."""
        now = self.store.now(AGENT)
        return self.store.put(now, change(now.account))


async def a_bench(
    account: Account | None = None,
    *,
    patience: Patience | None = None,
    manners: Manners | None = None,
) -> Bench:
    """With an account that the feed knows, too."""
    bench = Bench(patience=patience or Patience(), manners=manners or Manners())
    bench.feed.show(await bench.store.create(account or an_account()))
    return bench


def once(
    does: Callable[[], object], *, then: Exception | None = None
) -> Callable[[object], Awaitable[None]]:
    """A hook that does something the first time, and raises `then` after it."""
    left = [does]

    async def hook(_: object) -> None:
        if left:
            left.pop()()
            if then is not None:
                raise then

    return hook


def always(fault: Exception) -> Callable[[object], Awaitable[None]]:
    async def hook(_: object) -> None:
        raise fault

    return hook


@dataclass
class Gate:
    """A hook that says when somebody came, and lets nobody pass until it is opened."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: object) -> None:
        """Wait."""
        self.reached.set()
        await self.opened.wait()

    async def stops_somebody(self) -> None:
        """Wait until somebody has come, but not for good."""
        await asyncio.wait_for(self.reached.wait(), 10)


def suspend(account: Account) -> Account:
    return replace(account, fence=replace(account.fence, suspended=True, generation=2))


def hold_one_pod(account: Account) -> Account:
    return replace(account, settled={"pods": 1})


def hold_too_many(account: Account) -> Account:
    return replace(account, settled={"pods": 9})


def fill_up(account: Account) -> Account:
    return replace(account, pending=tuple(map(an_entry, range(1000, 1200))))


def changes_of(*proposals: Proposal) -> list[str]:
    return [proposal.entry.change for proposal in proposals]


async def test_all_that_waits_is_one_swap_in_the_order_of_arrival() -> None:
    bench = await a_bench()
    proposals = [a_proposal(number) for number in range(50)]

    verdicts = await asyncio.gather(*map(bench.reserve, proposals))

    assert [type(verdict) for verdict in verdicts] == [Reserved] * 50
    assert (bench.store.swaps, bench.store.reads) == (1, 0)
    assert bench.changes == changes_of(*proposals)


async def test_who_comes_while_a_swap_is_under_way_is_folded_into_the_next_one() -> None:
    bench = await a_bench()
    bench.store.after_swap = gate = Gate()
    first = bench.reserve(a_proposal(1))
    await gate.stops_somebody()
    later = [bench.reserve(a_proposal(number)) for number in range(2, 40)]
    await asyncio.sleep(0)
    gate.opened.set()

    await asyncio.gather(first, *later)

    assert (bench.store.swaps, bench.store.reads) == (2, 0)
    assert bench.changes == changes_of(*map(a_proposal, range(1, 40)))


async def test_what_we_wrote_ourselves_is_where_the_next_swap_starts() -> None:
    bench = await a_bench()

    for number in range(5):
        await bench.reserve(a_proposal(number))

    assert (bench.store.swaps, bench.store.reads) == (5, 0)


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_nobody_is_answered_before_the_swap_was() -> None:
    bench = await a_bench()
    bench.store.after_swap = gate = Gate()
    caller = bench.reserve(a_proposal())
    await gate.stops_somebody()
    for _ in range(20):
        await asyncio.sleep(0)

    assert not caller.done()
    gate.opened.set()
    assert isinstance(await caller, Reserved)


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_after_a_conflict_every_proposal_is_decided_again_by_what_is_stored_now() -> None:
    bench = await a_bench(counted(an_account()))
    limits = {"pods": 3}
    taken = an_entry(90, after={"pods": 2})
    bench.store.before_swap = once(
        lambda: bench.elsewhere(lambda account: replace(account, pending=(taken,)))
    )

    verdicts = await asyncio.gather(
        *(bench.reserve(a_proposal(number, limits=limits)) for number in range(3))
    )

    assert [type(verdict) for verdict in verdicts] == [Reserved, Exhausted, Exhausted]
    assert bench.changes == [taken.change, *changes_of(a_proposal(0))]
    assert (bench.store.swaps, bench.store.reads) == (2, 1)


async def test_who_comes_during_a_conflict_waits_for_the_swap_after_it() -> None:
    bench = await a_bench()
    bench.store.before_read = gate = Gate()
    bench.store.before_swap = once(lambda: bench.elsewhere(hold_one_pod))
    first = bench.reserve(a_proposal(1))
    await gate.stops_somebody()  # lost, and about to read again
    late = bench.reserve(a_proposal(2))
    gate.opened.set()

    await asyncio.gather(first, late)

    assert bench.changes == changes_of(a_proposal(1), a_proposal(2))
    assert bench.account.settled == {"pods": 1}


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_a_suspension_that_lands_before_the_swap_refuses_it() -> None:
    bench = await a_bench()
    bench.store.before_swap = once(lambda: bench.elsewhere(suspend))

    verdict = await bench.reserve(a_proposal(generation=2))

    assert isinstance(verdict, Suspended)
    assert bench.changes == []


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_a_resend_is_checked_against_the_fence_of_this_moment() -> None:
    bench = await a_bench()
    assert isinstance(await bench.reserve(a_proposal()), Reserved)
    bench.elsewhere(suspend)  # the watch has not brought it

    verdict = await bench.reserve(a_proposal())

    assert isinstance(verdict, StaleMandate)
    assert len(bench.changes) == 1


async def test_a_resend_that_finds_its_entry_costs_one_read_and_no_write() -> None:
    bench = await a_bench()
    await bench.reserve(a_proposal())

    verdict = await bench.reserve(a_proposal())

    assert isinstance(verdict, Reserved)
    assert (bench.store.swaps, bench.store.reads) == (1, 1)
    assert len(bench.changes) == 1


@pytest.mark.requirement("record-before-effect.reserved-first")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(suspend, id="a suspension that was lifted since"),
        pytest.param(hold_too_many, id="a full account that was emptied since"),
        pytest.param(fill_up, id="a backlog that was worked off since"),
    ],
)
async def test_nobody_is_refused_by_an_outdated_copy(change: Callable[[Account], Account]) -> None:
    bench = await a_bench(counted(an_account()))
    before = bench.store.now(AGENT)
    bench.feed.show(bench.elsewhere(change))
    bench.elsewhere(lambda _: before.account)

    verdict = await bench.reserve(a_proposal(limits={"pods": 9}, generation=2))

    assert isinstance(verdict, Reserved)
    assert bench.store.reads == 1


async def test_a_refusal_beside_a_grant_is_proven_by_the_same_swap() -> None:
    bench = await a_bench(counted(an_account()))
    limits = {"pods": 1}

    verdicts = await asyncio.gather(
        *(bench.reserve(a_proposal(number, limits=limits)) for number in range(2))
    )

    assert [type(verdict) for verdict in verdicts] == [Reserved, Exhausted]
    assert (bench.store.swaps, bench.store.reads) == (1, 0)


@pytest.mark.parametrize(
    "is_carried_out",
    [pytest.param(True, id="it was carried out"), pytest.param(False, id="it was not")],
)
async def test_a_swap_of_unknown_result_fails_its_callers_and_enters_nobody_twice(
    is_carried_out: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    bench = await a_bench()
    lost = once(lambda: None, then=UnreachableError("connection reset"))
    if is_carried_out:
        bench.store.after_swap = lost
    else:
        bench.store.before_swap = lost
    proposals = [a_proposal(number) for number in range(3)]

    faults = await asyncio.gather(*map(bench.reserve, proposals), return_exceptions=True)
    again = await asyncio.gather(*map(bench.reserve, proposals))

    assert [type(fault) for fault in faults] == [UnreachableError] * 3
    assert [type(verdict) for verdict in again] == [Reserved] * 3
    assert bench.changes == changes_of(*proposals)
    assert bench.store.reads == 1


async def test_a_conflict_with_our_own_write_is_no_second_entry() -> None:
    """A connection that broke is dialled anew below us, and the swap sent twice."""
    bench = await a_bench()
    bench.store.after_swap = once(lambda: None, then=ConflictError("modified", status=409))

    assert isinstance(await bench.reserve(a_proposal()), Reserved)
    assert len(bench.changes) == 1


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_a_caller_that_leaves_during_the_swap_takes_nothing_and_nobody_with_it() -> None:
    bench = await a_bench()
    bench.store.before_swap = gate = Gate()
    leaving, staying = bench.reserve(a_proposal(1)), bench.reserve(a_proposal(2))
    await gate.stops_somebody()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    gate.opened.set()

    assert isinstance(await staying, Reserved)
    assert leaving.cancelled()
    assert bench.changes == changes_of(a_proposal(1), a_proposal(2))


@pytest.mark.requirement("record-before-effect.reserved-first")
async def test_the_swap_goes_on_although_everybody_has_left() -> None:
    bench = await a_bench()
    bench.store.before_swap = gate = Gate()
    leaving = bench.reserve(a_proposal(1))
    await gate.stops_somebody()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    gate.opened.set()

    assert isinstance(await bench.reserve(a_proposal(2)), Reserved)
    assert bench.changes == changes_of(a_proposal(1), a_proposal(2))


async def test_who_leaves_before_the_swap_is_not_entered() -> None:
    bench = await a_bench()
    bench.store.before_swap = gate = Gate()
    first = bench.reserve(a_proposal(1))
    await gate.stops_somebody()
    leaving, staying = bench.reserve(a_proposal(2)), bench.reserve(a_proposal(3))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.opened.set()

    await asyncio.gather(first, staying)

    assert bench.changes == changes_of(a_proposal(1), a_proposal(3))


async def test_without_an_account_nothing_is_reserved_until_it_is_there() -> None:
    bench = Bench()

    with pytest.raises(AccountMissingError, match="the account of migrator is not there yet") as no:
        await bench.reserve(a_proposal())
    assert no.value.retryable

    await bench.store.create(an_account())
    assert isinstance(await bench.reserve(a_proposal()), Reserved)


async def test_an_account_that_was_deleted_is_missed_although_the_feed_knows_it() -> None:
    bench = await a_bench()
    await bench.store.delete(bench.store.now(AGENT))

    with pytest.raises(AccountMissingError):
        await bench.reserve(a_proposal())


async def test_an_account_that_was_made_anew_is_never_written_by_its_old_version() -> None:
    bench = await a_bench()
    await bench.store.delete(bench.store.now(AGENT))
    anew = await bench.store.create(an_account(suspended=True))
    assert anew.uid != (bench.feed.get(AGENT) or anew).uid

    assert isinstance(await bench.reserve(a_proposal()), Suspended)


@pytest.mark.requirement("fail-closed.overload")
async def test_beyond_the_bound_a_caller_is_sent_away_at_once_and_the_others_stay() -> None:
    bench = await a_bench(patience=Patience(waiting=2))
    bench.store.before_swap = gate = Gate()
    waiting = [bench.reserve(a_proposal(1)), bench.reserve(a_proposal(2))]
    await gate.stops_somebody()

    with pytest.raises(OverloadedError, match="2 writes of migrator wait") as full:
        await bench.reserve(a_proposal(3))
    assert full.value.retryable

    gate.opened.set()
    await asyncio.gather(*waiting)
    assert isinstance(await bench.reserve(a_proposal(3)), Reserved)


async def test_who_left_makes_room_for_the_next() -> None:
    bench = await a_bench(patience=Patience(waiting=1))
    bench.store.before_swap = gate = Gate()
    leaving = bench.reserve(a_proposal(1))
    await gate.stops_somebody()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    next_one = bench.reserve(a_proposal(2))
    gate.opened.set()

    assert isinstance(await next_one, Reserved)


async def test_who_loses_too_often_is_sent_away() -> None:
    bench = await a_bench(patience=Patience(conflicts=4))
    bench.store.before_swap = always(ConflictError("modified", status=409))

    with pytest.raises(ConflictError):
        await bench.reserve(a_proposal())

    assert bench.store.swaps == 4


@pytest.mark.parametrize("hook", ["before_read", "before_swap"])
async def test_a_request_that_hangs_holds_up_nobody_for_good(hook: str) -> None:
    bench = await a_bench(patience=Patience(seconds=0.01))
    if hook == "before_read":
        bench.feed = FakeAccountFeed()
        bench.__post_init__()
    setattr(bench.store, hook, Gate())

    with pytest.raises(UnreachableError, match=r"no answer within 0\.01 s"):
        await bench.reserve(a_proposal())

    setattr(bench.store, hook, once(lambda: None))
    assert isinstance(await bench.reserve(a_proposal()), Reserved)


async def test_an_account_that_hangs_is_no_matter_of_another_agents() -> None:
    bench = await a_bench()
    bench.feed.show(await bench.store.create(an_account(agent="tester")))
    gate = Gate()

    async def hang(account: Account) -> None:
        if account.agent == AGENT:
            await gate(account)

    bench.store.before_swap = hang
    hanging = bench.reserve(a_proposal())
    await gate.stops_somebody()

    assert isinstance(await bench.reservations.reserve("tester", a_proposal()), Reserved)
    assert not hanging.done()
    gate.opened.set()
    await hanging


async def test_an_entry_that_cannot_be_written_refuses_its_own_caller_only() -> None:
    bench = await a_bench()
    other = bench.reserve(a_proposal(1))

    with pytest.raises(EntryUnwritableError):
        await bench.reserve(a_proposal(entry=an_entry(2, name="\ud800")))

    assert isinstance(await other, Reserved)


async def test_a_fault_of_the_decision_reaches_every_caller_and_the_writer_lives_on() -> None:
    store = FakeAccounts()
    feed = FakeAccountFeed(await store.create(an_account()))

    def decide(account: Account, proposal: Proposal) -> Reservation:
        if proposal.entry.attempt.number == 1:
            raise RuntimeError("a bug")
        return Suspended()

    reservations = Reservations(store, feed, decide=decide)
    both = [reservations.reserve(AGENT, a_proposal(number)) for number in (2, 1)]

    faults = await asyncio.gather(*both, return_exceptions=True)

    assert [str(fault) for fault in faults] == ["a bug", "a bug"]
    assert isinstance(await reservations.reserve(AGENT, a_proposal(2)), Suspended)


async def test_nobody_hangs_when_the_writer_is_stopped() -> None:
    bench = await a_bench()
    bench.store.before_swap = gate = Gate()
    caller = bench.reserve(a_proposal(1))
    await gate.stops_somebody()
    (writer,) = [task for task in asyncio.all_tasks() if task.get_name().startswith("account")]
    writer.cancel()

    with pytest.raises(UnreachableError, match="the writer of migrator stopped"):
        await caller

    gate.opened.set()
    assert isinstance(await bench.reserve(a_proposal(1)), Reserved)


async def test_consulting_says_what_is_stored_now_and_writes_nothing() -> None:
    bench = await a_bench()
    granted = await bench.reservations.consult(AGENT, a_proposal())
    version = bench.elsewhere(suspend).resource_version

    refused = await bench.reservations.consult(AGENT, a_proposal(generation=2))

    assert isinstance(granted.verdict, Reserved)
    assert isinstance(refused.verdict, Suspended)
    assert refused.resource_version == version != granted.resource_version
    assert (bench.store.swaps, bench.changes) == (0, [])


async def test_consulting_an_account_that_hangs_ends() -> None:
    bench = await a_bench(patience=Patience(seconds=0.01))
    bench.store.before_read = Gate()

    with pytest.raises(UnreachableError):
        await bench.reservations.consult(AGENT, a_proposal())


LIMITS: Amounts = {"pods": 7}


@dataclass
class Chaos:
    """Two webhooks and a settler at one account, in an order that `random` decides."""

    random: Random
    store: FakeAccounts = field(default_factory=FakeAccounts)
    ever_entered: set[str] = field(default_factory=set[str])
    is_suspended: bool = False

    async def run(self) -> None:
        """24 calls for 12 changes."""
        first = await self.store.create(an_account())
        for name in ("before_read", "before_swap", "after_swap"):
            setattr(self.store, name, self.stumble)
        benches = [Bench(self.store, FakeAccountFeed(first)) for _ in range(2)]
        settler = asyncio.create_task(self.settle(benches))
        callers = [
            asyncio.create_task(self.call(self.random.choice(benches), number % 12))
            for number in range(24)
        ]
        await asyncio.gather(*callers)
        settler.cancel()
        await asyncio.gather(settler, return_exceptions=True)

    async def stumble(self, subject: object) -> None:
        """Take some turns, look at what is stored, and break now and then."""
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        self.look()
        if isinstance(subject, Account) and self.random.random() < 0.1:
            raise UnreachableError("connection reset")

    def look(self) -> None:
        """What must hold of whatever is stored."""
        account = self.store.now(AGENT).account
        keys = [entry.key for entry in account.pending]
        assert len(keys) == len(set(keys))
        assert charge(account).get("pods", 0) <= LIMITS["pods"]
        self.ever_entered.update(entry.change for entry in account.pending)

    async def call(self, bench: Bench, number: int) -> None:
        """Ask for one Pod more, and perhaps leave."""
        for _ in range(self.random.randrange(30)):
            await asyncio.sleep(0)
        was_suspended = self.is_suspended
        caller = bench.reserve(a_proposal(number, limits=LIMITS))
        if self.random.random() < 0.2:
            await asyncio.sleep(0)
            caller.cancel()
        try:
            verdict = await caller
        except (asyncio.CancelledError, KubeError):
            return
        self.look()
        if isinstance(verdict, Reserved):
            assert verdict.entry.change in self.ever_entered
            assert not was_suspended

    async def settle(self, benches: list[Bench]) -> None:
        """Decide open entries one by one, and suspend in the end; the watch brings it late."""
        while True:
            await asyncio.sleep(0)
            stored = self.store.now(AGENT)
            if self.random.random() < 0.5:
                self.random.choice(benches).feed.show(stored)
            opened = [entry for entry in stored.account.pending if entry.is_open]
            if opened and self.random.random() < 0.3:
                self.store.put(stored, self.settled(stored.account, self.random.choice(opened).key))
            elif self.random.random() < 0.02:
                fence = replace(stored.account.fence, suspended=True)
                self.store.put(stored, replace(stored.account, fence=fence))
                self.is_suspended = True

    def settled(self, account: Account, key: EntryKey) -> Account:
        """One swap: the outcome, and what it adds."""
        outcome = self.random.choice([Outcome.PERSISTED, Outcome.LOST])
        held = account.settled.get("pods", 0)
        return replace(
            account,
            settled={"pods": held + (outcome is Outcome.PERSISTED)},
            pending=tuple(
                entry.decided(outcome) if entry.key == key else entry for entry in account.pending
            ),
        )


@pytest.mark.requirement("record-before-effect.reserved-first")
@pytest.mark.requirement("never-oversold.protocol")
@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_two_webhooks_and_a_settler_never_oversell_and_grant_only_what_is_entered(
    seed: int,
) -> None:
    asyncio.run(Chaos(Random(seed)).run())  # noqa: S311 - an order of events, no secret


# Turns

FOR_EVER = Manners(crowded=4, in_a_row=3, seconds=3600)
"""Whoever pauses is not heard of again, unless the settler comes."""


async def a_crowded_bench(manners: Manners = FOR_EVER) -> Bench:
    """With more pending than is little, and as many swaps made as may be made in a row."""
    bench = await a_bench(an_account(*map(an_entry, range(100, 104))), manners=manners)
    for number in range(3):
        await bench.reserve(a_proposal(number))
    return bench


def decide_one(account: Account) -> Account:
    first, *others = account.pending
    return replace(account, pending=(first.decided(Outcome.PERSISTED), *others))


def drop_one(account: Account) -> Account:
    return replace(account, pending=account.pending[1:])


async def come_to_rest() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "settle",
    [
        pytest.param(decide_one, id="it gave an outcome"),
        pytest.param(drop_one, id="it took an entry away"),
        pytest.param(suspend, id="it copied the fence"),
        pytest.param(hold_one_pod, id="it counted"),
    ],
)
async def test_who_swapped_often_enough_in_a_crowded_account_waits_for_the_settler(
    settle: Callable[[Account], Account],
) -> None:
    bench = await a_crowded_bench()
    caller = bench.reserve(a_proposal(3, generation=2))
    await come_to_rest()
    assert not caller.done()
    assert bench.store.swaps == 3

    bench.feed.show(bench.elsewhere(settle))

    await asyncio.wait_for(caller, 10)


async def test_what_another_webhook_entered_is_no_trace_of_the_settler() -> None:
    bench = await a_crowded_bench()
    caller = bench.reserve(a_proposal(3))
    await come_to_rest()

    bench.feed.show(bench.elsewhere(lambda a: replace(a, pending=(*a.pending, an_entry(900)))))
    await come_to_rest()
    assert not caller.done()

    bench.feed.show(bench.elsewhere(decide_one))
    assert isinstance(await asyncio.wait_for(caller, 10), Reserved)
    assert len(bench.changes) == 9


async def test_the_settler_is_not_waited_for_longer_than_a_moment() -> None:
    bench = await a_crowded_bench(replace(FOR_EVER, seconds=0.001))

    for number in range(3, 30):
        assert isinstance(await bench.reserve(a_proposal(number)), Reserved)

    assert bench.store.swaps == 30


async def test_while_the_settler_comes_often_enough_nobody_pauses() -> None:
    bench = await a_crowded_bench()
    for number in range(3, 30):
        if number % 3 == 0:
            bench.feed.show(bench.elsewhere(drop_one))
        waiting = bench.reserve(a_proposal(number))
        await come_to_rest()
        assert waiting.done() or number % 3 == 0
        await asyncio.wait_for(waiting, 10)


async def test_where_little_is_pending_nobody_pauses() -> None:
    bench = await a_bench(manners=replace(FOR_EVER, crowded=40))

    for number in range(40):
        await asyncio.wait_for(bench.reserve(a_proposal(number)), 10)

    assert bench.store.swaps == 40


async def test_all_who_come_during_the_pause_are_in_the_swap_after_it() -> None:
    bench = await a_crowded_bench()
    callers = [bench.reserve(a_proposal(3))]
    await come_to_rest()
    callers += [bench.reserve(a_proposal(number)) for number in range(4, 20)]
    await come_to_rest()
    bench.feed.show(bench.elsewhere(drop_one))

    await asyncio.wait_for(asyncio.gather(*callers), 10)

    assert bench.store.swaps == 4


async def test_who_leaves_during_the_pause_is_not_entered() -> None:
    bench = await a_crowded_bench()
    leaving = bench.reserve(a_proposal(3))
    await come_to_rest()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    staying = bench.reserve(a_proposal(4))
    bench.feed.show(bench.elsewhere(drop_one))

    assert isinstance(await asyncio.wait_for(staying, 10), Reserved)
    assert a_proposal(3).entry.change not in bench.changes
