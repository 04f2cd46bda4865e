"""Three webhook processes that forward, fall back and lose answers, in any order of events.

Whatever becomes of a forwarded proposal, the account holds its limit, every entry is there
once, and who was granted has one. Peers here are at the port `Forwards`; the wire and the
connection have tests of their own.
"""

import asyncio
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.accounts.account import Account
from controller.accounts.charges import charge
from controller.accounts.entries import EntryKey, Outcome
from controller.accounts.reserve import AlreadySettled, Proposal, Reservation, Reserved
from controller.clients.kube.errors import KubeError, UnreachableError
from tests.accounts import a_proposal, an_account, counted
from tests.fakes.accounts import FakeAccountFeed, FakeAccounts
from webhooks.forwarding import MINE, Forwarded
from webhooks.reservations import Reservations

AGENT = "migrator"
PODS = 7


@dataclass
class Lossy:
    """Forwards as the real one may come out: in time, late, lost, refused, or to nobody."""

    world: "World"
    peer: int

    async def forward(self, agent: str, proposal: Proposal, account: Account) -> Forwarded:
        """To the peer, with whatever becomes of it."""
        random = self.world.random
        fate = random.choice(("told", "told", "told", "lost", "late", "never", "refused", "mine"))
        if fate in ("mine", "refused"):
            return MINE
        if fate == "never":
            return Forwarded(None, is_certain=False)
        entering = asyncio.create_task(self.world.enter(self.peer, agent, proposal))
        self.world.late.append(entering)
        if fate == "late":
            return Forwarded(None, is_certain=False)
        await asyncio.wait({entering})
        if fate == "lost" or entering.exception() is not None:
            return Forwarded(None, is_certain=False)
        verdict = entering.result()
        told = replace(verdict, account=account) if isinstance(verdict, Reserved) else verdict
        return Forwarded(told)


@dataclass
class World:
    """One account, three processes, a settler, and an order that `random` decides."""

    random: Random
    store: FakeAccounts = field(default_factory=FakeAccounts)
    processes: list[Reservations] = field(default_factory=list[Reservations])
    feeds: list[FakeAccountFeed] = field(default_factory=list[FakeAccountFeed])
    late: "list[asyncio.Future[Reservation]]" = field(
        default_factory=lambda: list[asyncio.Future[Reservation]]()
    )
    ever_entered: set[EntryKey] = field(default_factory=set[EntryKey])

    async def run(self) -> None:
        """24 calls for 12 changes."""
        first = await self.store.create(counted(an_account()))
        for name in ("before_read", "before_swap", "after_swap"):
            setattr(self.store, name, self.stumble)
        writer = self.random.randrange(3)
        for _ in range(3):
            feed = FakeAccountFeed(first)
            self.feeds.append(feed)
            self.processes.append(Reservations(self.store, feed, forwards=Lossy(self, writer)))
        settler = asyncio.create_task(self.settle())
        await asyncio.gather(*(self.call(number % 12) for number in range(24)))
        await asyncio.gather(*self.late, return_exceptions=True)
        settler.cancel()
        await asyncio.gather(settler, return_exceptions=True)
        self.look()

    async def enter(self, peer: int, agent: str, proposal: Proposal) -> Reservation:
        """At the peer, now or when it comes to it."""
        for _ in range(self.random.randrange(60)):
            await asyncio.sleep(0)
        return await self.processes[peer].enter(agent, proposal)

    async def call(self, number: int) -> None:
        """Ask for one Pod more at any of them."""
        for _ in range(self.random.randrange(30)):
            await asyncio.sleep(0)
        proposal = a_proposal(number, limits={"pods": PODS})
        try:
            verdict = await self.random.choice(self.processes).reserve(AGENT, proposal)
        except KubeError:
            return
        self.look()
        if isinstance(verdict, Reserved | AlreadySettled):
            assert verdict.entry.key == proposal.entry.key
            assert proposal.entry.key in self.ever_entered

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
        assert len(keys) == len({*keys})
        assert charge(account).get("pods", 0) <= PODS
        self.ever_entered.update(keys)

    async def settle(self) -> None:
        """Decide open entries one by one; the watches bring it when they like."""
        while True:
            await asyncio.sleep(0)
            stored = self.store.now(AGENT)
            if self.random.random() < 0.5:
                self.random.choice(self.feeds).show(stored)
            opened = [entry for entry in stored.account.pending if entry.is_open]
            if opened and self.random.random() < 0.1:
                entry = self.random.choice(opened)
                self.store.put(stored, self.settled(stored.account, entry.key))

    def settled(self, account: Account, key: EntryKey) -> Account:
        """One swap: the outcome, and what it adds."""
        outcome = self.random.choice([Outcome.PERSISTED, Outcome.LOST])
        held = account.settled.get("pods", 0)
        pending = [e.decided(outcome) if e.key == key else e for e in account.pending]
        added = {"pods": held + (outcome is Outcome.PERSISTED)}
        return replace(account, settled=added, pending=tuple(pending))


@pytest.mark.requirement("never-oversold.protocol")
@pytest.mark.requirement("never-oversold.forwarded")
@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_becomes_of_what_is_forwarded_nothing_is_oversold_or_entered_twice(
    seed: int,
) -> None:
    asyncio.run(World(Random(seed)).run())  # noqa: S311 - an order of events, no secret
