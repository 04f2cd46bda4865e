"""Whatever is granted, denied, crashed and repeated in whatever order: one record for each.

Two leaders over one real repository, which do not know of each other; a death or a
fault at any step of a round, before or after the step was carried out; a watch that
lags; a settler that takes out what it is told is recorded.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from controller.accounts.entries import Attempt, Entry, EntryKey, Outcome
from controller.clients.git.errors import LedgerError
from controller.clients.git.repository import Commit, LedgerRepository
from controller.clients.kube.errors import KubeError, UnreachableError
from controller.clients.kube.ledgerhead import KeptHead
from controller.clients.outbox.errors import OutboxError, OutboxFullError
from controller.clients.outbox.rows import RowKind
from reconcilers.book import LedgerBook
from reconcilers.committer import Committer, CommitterPorts
from reconcilers.gathering import (
    LATE_MS,
    REASON_MS,
    attempt_identity,
    entry_identity,
)
from reconcilers.inbox import Inbox, ReadsOutboxes
from tests.committing import World, replace_attempt
from tests.ledgers import IDENTITY, SEED, a_body, a_change, an_entry

P = ParamSpec("P")
T = TypeVar("T")

REPLICAS = ("replica-a", "replica-b")
LEADERS = (0, 1)
FAULTS = (LedgerError("no"), UnreachableError("no"), OutboxFullError("no"))


class DeathError(Exception):
    """The process ends here."""


@dataclass
class Trap:
    """Fires at the n-th step from now: before it, or after it was carried out."""

    left: int = -1
    after: bool = False
    fault: Exception = field(default_factory=DeathError)

    def arms(self) -> bool:
        """Whether this is the step."""
        self.left -= 1
        return self.left == -1

    def around(self, step: Callable[P, T]) -> Callable[P, T]:
        """A step that may fail."""

        def trapped(*arguments: P.args, **options: P.kwargs) -> T:
            fires = self.arms()
            if fires and not self.after:
                raise self.fault
            done = step(*arguments, **options)
            if fires:
                raise self.fault
            return done

        return trapped

    def around_async(self, step: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Likewise, of one that is awaited."""

        async def trapped(*arguments: P.args, **options: P.kwargs) -> T:
            fires = self.arms()
            if fires and not self.after:
                raise self.fault
            done = await step(*arguments, **options)
            if fires:
                raise self.fault
            return done

        return trapped


class TrappedRepository(LedgerRepository):
    """The real one, that may end between the import and the move of the ref, or around both."""

    trap: Trap

    def append(self, commits: Sequence[Commit], *, onto: str) -> str:
        """Add commits."""
        return self.trap.around(super().append)(commits, onto=onto)

    def move(self, ref: str, *, new: str, old: str, dropping: str = "") -> None:
        """Move the ref."""
        self.trap.around(super().move)(ref, new=new, old=old, dropping=dropping)


class TrappedOutboxes:
    """The outboxes, any call of which may fail."""

    def __init__(self, world: World, trap: Trap) -> None:
        self._world = world
        self._trap = trap

    def __getattr__(self, name: str) -> Callable[..., object]:
        return self._trap.around(getattr(self._world.outboxes, name))


@dataclass
class TrappedHeads:
    """The kept head, likewise."""

    world: World
    trap: Trap

    async def read(self) -> KeptHead | None:
        """What is kept."""
        return await self.trap.around_async(self.world.heads.read)()

    async def write(self, head: KeptHead, *, over: KeptHead | None) -> KeptHead:
        """Keep another."""
        return await self.trap.around_async(self.world.heads.write)(head, over=over)


class Committing(RuleBasedStateMachine):
    """Two leaders, webhooks, a watch, a settler, time, and death."""

    @initialize()
    def begin(self) -> None:
        """An empty ledger."""
        self.folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self.folder.name) / "ledger.git")
        self.traps = [Trap(), Trap()]
        self.leaders = [self._leader(number) for number in LEADERS]
        self.entries: dict[EntryKey, Entry] = {}
        self.unreserved: dict[Attempt, tuple[int, int]] = {}
        self.denied: set[Attempt] = set()
        self.counting: set[Attempt] = set()
        self.next = 1

    def teardown(self) -> None:
        """Let everything come to its end, and count."""
        if not hasattr(self, "folder"):
            return
        try:
            self._come_to_an_end()
            self._check_end()
        finally:
            self.folder.cleanup()

    @rule(replica=st.sampled_from(REPLICAS), reserve=st.booleans())
    def grant(self, replica: str, reserve: bool) -> None:  # noqa: FBT001 # a strategy's
        """A body, and perhaps its entry."""
        number = self._number()
        if reserve:
            entry = self.world.grant(number, replica=replica)
            self.entries[entry.key] = entry
        else:
            attempt = self.world.body(number, replica=replica)
            self.unreserved[attempt] = (number, self.world.clock.now)

    @rule(data=st.data())
    def reserve_in_time(self, data: st.DataObject) -> None:
        """A reservation that was under way comes to its end."""
        now = self.world.clock.now
        under_way = [a for a, (_, at) in self.unreserved.items() if now - at < LATE_MS]
        if not under_way:
            return
        attempt = data.draw(st.sampled_from(under_way))
        number, _ = self.unreserved.pop(attempt)
        self._reserve(number, attempt)

    @precondition(lambda self: bool(self.entries))
    @rule(data=st.data(), replica=st.sampled_from(REPLICAS))
    def resend(self, data: st.DataObject, replica: str) -> None:
        """The API server asks once more about a write: the same entry, another body."""
        entry = data.draw(st.sampled_from(list(self.entries.values())))
        number = int(entry.change[-8:])
        self.world.body(number, replica=replica)

    @rule(replica=st.sampled_from(REPLICAS))
    def deny(self, replica: str) -> None:
        """A denial."""
        self.denied.add(self.world.denial(self._number(), replica=replica))

    @precondition(lambda self: bool(self.denied))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Repeats of a denial, which count for a while."""
        of = data.draw(st.sampled_from(sorted(self.denied)))
        until = self.world.clock.now + 60_000
        body = a_body(self._number(), verdict="denied")
        self.denied.add(self.world.repeats(of, count=3, until=until, body=body))

    @rule(replica=st.sampled_from(REPLICAS), of=st.integers(1, 20))
    def give_a_reason(self, replica: str, of: int) -> None:
        """The mutating webhook's."""
        now = self.world.clock.now
        self.world.outboxes.append(
            replica, RowKind.REASON, b"because", key=a_change(of), made_at=now
        )

    @precondition(lambda self: any(entry.is_open for entry in self.entries.values()))
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def decide(self, data: st.DataObject, outcome: Outcome) -> None:
        """The settler finds evidence."""
        entry = data.draw(st.sampled_from([e for e in self.entries.values() if e.is_open]))
        self._decide(entry, outcome)

    @rule()
    def watch(self) -> None:
        """The watch catches up."""
        self.world.accounts.watch()

    @rule(leader=st.sampled_from(LEADERS))
    def settle(self, leader: int) -> None:
        """The settler takes out what that leader says is recorded."""
        told = self.leaders[leader].ledgered()
        recorded = self.world.identities()
        assert all(entry_identity(str(key)) in recorded for key in told)
        self.world.accounts.remove(told)

    @rule(seconds=st.sampled_from([0, 1, 10, 31, 61, 130]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.world.clock.now += seconds * 1000

    @rule(leader=st.sampled_from(LEADERS))
    def work(self, leader: int) -> None:
        """A round without a fault of ours; another leader may have been quicker."""
        self.traps[leader].left = -1
        self._round(leader)

    @rule(
        leader=st.sampled_from(LEADERS),
        step=st.integers(0, 25),
        after=st.booleans(),
        fault=st.sampled_from([None, *FAULTS]),
    )
    def work_until_it_fails(
        self,
        leader: int,
        step: int,
        after: bool,  # noqa: FBT001 # a strategy's
        fault: Exception | None,
    ) -> None:
        """A round that dies, or meets a fault, at some step."""
        trap = self.traps[leader]
        trap.left, trap.after, trap.fault = step, after, fault or DeathError()
        try:
            self._round(leader)
        except DeathError:
            self.leaders[leader] = self._leader(leader)

    @invariant()
    def nothing_is_recorded_twice_or_forgotten_unrecorded(self) -> None:
        """At every moment."""
        if not hasattr(self, "world"):
            return
        recorded = self.world.identities()
        assert all(count == 1 for count in recorded.values()), recorded
        forgotten = self.world.outboxes.acknowledged & self.denied
        assert all(attempt_identity(attempt) in recorded for attempt in forgotten)

    def _round(self, leader: int) -> None:
        committer = self.leaders[leader]
        try:
            asyncio.run(committer.round())
        except (LedgerError, KubeError, OutboxError) as fault:
            committer.note(fault)

    def _leader(self, number: int) -> Committer:
        trap = self.traps[number]
        trap.left = -1
        opened = self.world.repository()
        repository = TrappedRepository(opened.git, IDENTITY)
        repository.trap = trap
        ports = CommitterPorts(
            accounts=self.world.accounts,
            inbox=Inbox(cast("ReadsOutboxes", TrappedOutboxes(self.world, trap))),
            book=LedgerBook(repository, seed=SEED, clock_ms=self.world.clock),
            repository=repository,
            heads=TrappedHeads(self.world, trap),
            pending_now=trap.around_async(self.world.accounts.pending_now),
            ref=IDENTITY.ref,
        )
        clock = self.world.clock
        return Committer(ports, clock_ms=clock, monotonic=lambda: clock.now / 1000)

    def _number(self) -> int:
        self.next += 1
        return self.next - 1

    def _reserve(self, number: int, attempt: Attempt) -> None:
        entry = an_entry(number, outcome=None, made_at=self.world.clock.now)
        entry = replace_attempt(entry, attempt)
        self.entries[entry.key] = entry
        self.world.accounts.put(entry)

    def _decide(self, entry: Entry, outcome: Outcome) -> None:
        decided = entry.decided(outcome)
        self.entries[entry.key] = decided
        if entry.key in self.world.accounts.truth:
            self.world.accounts.put(decided)

    def _come_to_an_end(self) -> None:
        for entry in [entry for entry in self.entries.values() if entry.is_open]:
            self._decide(entry, Outcome.UNKNOWN)
        self.world.accounts.watch()
        self.world.clock.now += 2 * REASON_MS
        leader = self._fresh()
        for _ in range(3):
            asyncio.run(leader.round())
            self.world.accounts.remove(leader.ledgered())
            self.world.accounts.watch()

    def _fresh(self) -> Committer:
        self.leaders[0] = self._leader(0)
        return self.leaders[0]

    def _check_end(self) -> None:
        recorded = set(self.world.identities())
        expected = {entry_identity(str(key)) for key in self.entries}
        expected |= {attempt_identity(attempt) for attempt in self.denied}
        expected |= {attempt_identity(attempt) for attempt in self.unreserved}
        assert recorded == expected
        assert self.world.outboxes.rows == {}
        assert self.world.accounts.truth == {}
        assert self.world.findings() == []


@pytest.mark.requirement("record-before-effect.committed-once")
def test_whatever_happens_each_write_denial_and_attempt_has_one_record() -> None:
    run_state_machine_as_test(
        Committing,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
