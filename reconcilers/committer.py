"""Commits what was granted, denied and attempted to the ledger, and then lets go of it.

Runs in the leader. Each round reads what is pending and what waits, commits what is
due in one flush, makes the flush safe (a remote has it, the API keeps its head), and
only then acknowledges the outboxes and tells which entries are recorded. Each step
follows from what the ledger says, so a crash between any two of them is repaired by
the next round, of this leader or another; the repository's compare-and-swap keeps
two leaders apart. A fault ends the round: nothing is acknowledged, and it is tried
again. It must not decide what became of a write, nor change an Account.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

import structlog

from controller.accounts.entries import Entry, EntryKey
from controller.clients.git.errors import (
    LedgerCorruptError,
    LedgerError,
    LedgerMovedError,
    RemoteError,
)
from controller.clients.git.repository import NO_COMMIT
from controller.clients.kube.accounts import Stored
from controller.clients.kube.errors import ConflictError, KubeError
from controller.clients.kube.ledgerhead import KeptHead
from controller.clients.outbox.errors import OutboxError
from controller.clients.outbox.rows import Row
from reconcilers.book import LedgerBook
from reconcilers.drafting import Draft, Drafting
from reconcilers.gathering import (
    Item,
    done,
    entry_identity,
    frontiers,
    gather,
    is_recorded,
    time_of,
)
from reconcilers.inbox import Inbox

log = structlog.get_logger("governor.reconcilers")

_FAULTS: Final = (LedgerError, KubeError, OutboxError)
_READ_AGAIN: Final = (LedgerMovedError, LedgerCorruptError, ConflictError)
"""After these the ledger is another than was read, or is going to be."""


class KnowsAccounts(Protocol):
    """The part of `AccountFeed` that is used."""

    def all(self) -> Mapping[str, Stored]:
        """Every account that can be read."""
        ...

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` after each change."""
        ...


class KeepsHead(Protocol):
    """The part of `HeadStore` that is used."""

    async def read(self) -> KeptHead | None:
        """What is kept."""
        ...

    async def write(self, head: KeptHead, *, over: KeptHead | None) -> KeptHead:
        """Keep a head in place of the one that was read."""
        ...


class Remote(Protocol):
    """The part of `LedgerRemote` that is used; everything blocks."""

    def push(self) -> str:
        """Push; the head that both have now."""
        ...

    def catch_up(self) -> str:
        """Take over what the remote has and we lack."""
        ...


class Tidies(Protocol):
    """The part of `LedgerRepository` that is used between flushes; everything blocks."""

    def make_if_gone(self) -> None:
        """Make it anew where its directory was deleted."""
        ...

    def tidy(self) -> bool:
        """Join packs, drop leftovers."""
        ...


@dataclass(frozen=True, slots=True)
class CommitterPace:
    """How often, in seconds."""

    busy: float = 0.25
    """Between two rounds while something waits."""
    idle: float = 1.0
    after_fault: float = 1.0
    push: float = 10.0
    """Between two pushes."""
    tidy: float = 60.0
    """Between two looks at the packs, at outboxes of dead processes, and at the kept head."""


@dataclass(frozen=True, slots=True)
class CommitterPorts:
    """Whom the committer talks to."""

    accounts: KnowsAccounts
    inbox: Inbox
    book: LedgerBook
    repository: Tidies
    heads: KeepsHead
    pending_now: Callable[[], Awaitable[Collection[str]]]
    """The keys of all entries that are pending, as the API server has them at this moment."""
    ref: str
    """The ledger's."""
    remote: Remote | None = None


class Committer:
    """The loop. Its rounds may be called one by one, too."""

    def __init__(
        self,
        ports: CommitterPorts,
        *,
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float] | None = None,
        pace: CommitterPace | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            ports: whom it talks to.
            clock_ms: milliseconds since the epoch.
            monotonic: seconds, for waiting; the loop's own by default.
            pace: how often.
        """
        self._ports = ports
        self._clock_ms = clock_ms
        self._monotonic = monotonic or (lambda: asyncio.get_running_loop().time())
        self._pace = pace or CommitterPace()
        self._drafting = Drafting(ports.inbox, ports.book)
        self._woken = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._is_read = False
        self._kept: KeptHead | None = None
        self._floor: KeptHead | None = None
        self._safe = NO_COMMIT
        self._ledgered: frozenset[EntryKey] = frozenset()
        self._oldest: int | None = None
        self._fault = "the ledger is not read yet"
        self._remote_fault = ""
        self._next_push = 0.0
        self._next_tidy = 0.0
        ports.accounts.subscribe(lambda _agent: self.wake())

    def wake(self) -> None:
        """Look again soon."""
        self._woken.set()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` when `ledgered` changed; it must not block."""
        self._listeners.append(listener)

    def ledgered(self) -> Collection[EntryKey]:
        """The entries that are still pending, and whose records are committed and safe."""
        return self._ledgered

    def missing(self) -> tuple[str, ...]:
        """What is wrong with the ledger; empty when nothing is."""
        faults = [fault for fault in (self._fault, self._remote_fault) if fault]
        damaged = self._ports.inbox.damaged
        faults += [f"outbox {replica}: {problem}" for replica, problem in damaged.items()]
        faults += [f"{attempt}: {why}" for attempt, why in self._drafting.unreadable.items()]
        return tuple(f"ledger: {fault}" for fault in faults)

    @property
    def lag(self) -> float:
        """Seconds since the oldest thing was made that is due and not committed; 0: nothing is."""
        return 0.0 if self._oldest is None else max(0.0, (self._clock_ms() - self._oldest) / 1000)

    async def run(self) -> NoReturn:
        """Run until cancelled, once per term. The feed of accounts is run by someone else."""
        self._is_read = False  # between two terms of ours another leader may have committed
        while True:
            self._woken.clear()
            try:
                is_busy = await self.round()
                pause = self._pace.busy if is_busy else self._pace.idle
            except _FAULTS as fault:
                self.note(fault)
                pause = self._pace.after_fault
            await self._rest(pause)

    def note(self, fault: Exception) -> None:
        """Remember why a round ended early."""
        self._is_read &= not isinstance(fault, _READ_AGAIN)
        self._fault = f"{type(fault).__name__}: {fault}"
        log.warning("nothing committed", error=str(fault), kind=type(fault).__name__)

    async def round(self) -> bool:
        """Commit what is due, make it safe, let go of it.

        Returns:
            Whether something waits all the same.

        Raises:
            LedgerError, KubeError, OutboxError: it ended early; nothing is lost.
        """
        if not self._is_read:
            await self._read_ledger()
        # First the entries, then the rows: a body is stored before its entry is.
        held = self._pending()
        await asyncio.to_thread(self._ports.inbox.pull)
        is_complete = await self._commit(held)
        await self._make_safe()
        is_let_go = await self._let_go(held)
        self._fault = ""
        await self._tidy()
        return not (is_complete and is_let_go)

    def _pending(self) -> Mapping[EntryKey, tuple[Entry, str]]:
        """Every pending entry with its agent."""
        return {
            entry.key: (entry, agent)
            for agent, stored in self._ports.accounts.all().items()
            for entry in stored.account.pending
        }

    async def _read_ledger(self) -> None:
        ports = self._ports
        if ports.remote is not None:
            # A damaged one is mended by deleting it: the remote has it, and the head is compared.
            await asyncio.to_thread(ports.repository.make_if_gone)
            await asyncio.to_thread(ports.remote.catch_up)
        await asyncio.to_thread(ports.book.read)
        kept = await ports.heads.read()
        # One that was deleted, or set back, must not let a ledger pass that was cut with it.
        for known in (self._floor, kept):
            if known is not None and known.ref == ports.ref:
                await self._require_whole(known)
                self._floor = self._floor or known
        self._kept = kept
        self._safe = NO_COMMIT
        self._is_read = True

    async def _require_whole(self, kept: KeptHead) -> None:
        if await asyncio.to_thread(self._ports.book.leads_from, kept.commit):
            return
        problem = f"record {kept.seq} was kept in the API as of commit {kept.commit}, not in"
        raise LedgerCorruptError(
            f"{problem} {kept.ref} here: the repository lost its end, or is another one; "
            "restore it, or begin another epoch"
        )

    async def _commit(self, held: Mapping[EntryKey, tuple[Entry, str]]) -> bool:
        """Add one flush; whether nothing due is left."""
        book, inbox, now = self._ports.book, self._ports.inbox, self._clock_ms()
        entries = [entry for entry, _ in held.values()]
        due = gather(entries, inbox.rows, is_committed=book.is_committed, now=now)
        items: list[Item] = [*due.items, *await self._unreserved(due.suspects)]
        items.sort(key=time_of)
        self._oldest = items[0].made_at if items else None
        agents = {str(key): agent for key, (_, agent) in held.items()}
        drafts = await asyncio.to_thread(self._drafting.draft, items, agents=agents, now=now)
        if drafts:
            await asyncio.to_thread(self._append, drafts)
        self._oldest = None if len(drafts) == len(items) else self._oldest
        return len(drafts) == len(items)

    async def _unreserved(self, suspects: Collection[Row]) -> list[Row]:
        """Those that no account has, as the API server says now, after they were pulled."""
        if not suspects:
            return []
        reserved = await self._ports.pending_now()
        return [row for row in suspects if row.key not in reserved]

    def _append(self, drafts: Collection[Draft]) -> None:
        book, inbox = self._ports.book, self._ports.inbox
        flushed = {draft.attempt for draft in drafts}
        waiting = {
            attempt
            for attempt, row in inbox.rows.items()
            if attempt not in flushed and not is_recorded(row, book.is_committed)
        }
        replicas = frontiers(book.state.replicas, inbox.pulled_to, waiting=waiting)
        book.append([draft.record for draft in drafts], replicas=replicas)

    async def _make_safe(self) -> None:
        """Have the remote take the head, where there is one, and the API keep it."""
        ports, head = self._ports, self._ports.book.head
        if head in {NO_COMMIT, self._safe}:
            return
        if ports.remote is not None:
            if self._monotonic() < self._next_push:
                return
            self._next_push = self._monotonic() + self._pace.push
            try:
                await asyncio.to_thread(ports.remote.push)
            except RemoteError as fault:  # what is due is committed here all the same
                self._remote_fault = str(fault)
                log.warning("not pushed", error=str(fault))
                return
            self._remote_fault = ""
        await self._keep(head)
        self._safe = head

    async def _keep(self, head: str) -> None:
        state, kept = self._ports.book.state, self._kept
        place = (self._ports.ref, state.seq, state.head, head)
        if kept is not None and (kept.ref, kept.seq, kept.hash, kept.commit) == place:
            self._floor = kept
            return
        new = KeptHead(
            ref=self._ports.ref,
            seq=state.seq,
            hash=state.head,
            commit=head,
            public_key=self._ports.book.public_key,
        )
        self._floor = self._kept = await self._ports.heads.write(new, over=kept)

    async def _let_go(self, held: Mapping[EntryKey, tuple[Entry, str]]) -> bool:
        """Acknowledge, and tell what is recorded; whether all that is committed is safe."""
        ports = self._ports
        if self._safe != ports.book.head:
            return False
        entries = [entry for entry, _ in held.values()]
        is_committed = ports.book.is_committed
        rows = list(
            done(entries, ports.inbox.rows, is_committed=is_committed, now=self._clock_ms())
        )
        if rows:
            await asyncio.to_thread(ports.inbox.acknowledge, rows)
        ledgered = frozenset(key for key in held if is_committed(entry_identity(str(key))))
        if ledgered != self._ledgered:
            self._ledgered = ledgered
            for listener in self._listeners:
                listener()
        return True

    async def _tidy(self) -> None:
        if self._monotonic() < self._next_tidy:
            return
        self._next_tidy = self._monotonic() + self._pace.tidy
        if self._safe == self._ports.book.head:
            replicas = self._ports.book.state.replicas
            await asyncio.to_thread(self._ports.inbox.sweep, replicas)
        await asyncio.to_thread(self._ports.repository.tidy)
        # One that was deleted while nothing is due would be missing to the next leader.
        self._is_read = await self._ports.heads.read() == self._kept

    async def _rest(self, seconds: float) -> None:
        """Wait; woken early, but not more often than while busy."""
        await asyncio.sleep(min(seconds, self._pace.busy))
        remaining = seconds - self._pace.busy
        if remaining <= 0:
            return
        try:
            async with asyncio.timeout(remaining):
                await self._woken.wait()
        except TimeoutError:
            return
