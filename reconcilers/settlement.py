"""Settles the accounts: copies the fence, and gives every entry the outcome that is proven.

Level-based, one account at a time: whatever happened, the account is read, judged
against what was watched, and swapped. Any number of these loops may run at once: each
swap replaces exactly what it was decided from, and one that has seen less than the
account's `as_of` writes nothing.

The fence is copied in a swap of its own, so that a kill switch waits for no view.

A kind that the API server stopped serving leaves `as_of`: its objects are gone. Entries
of it are `unknown` once the clock allows. A kind that cannot be listed although it is
served (rights, an aggregated API server that is down) proves nothing: its entries stay,
and once the list is full the agent is refused.

It must not: commit records, remove an entry whose record is not committed, or conclude
anything that `controller.accounts.settle` does not.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import structlog

from controller.accounts.account import Account
from controller.accounts.entries import Entry, EntryKey, WatchedKind
from controller.accounts.settle import ViewTooOld, is_worth_a_swap, settle
from controller.accounts.views import KindView
from controller.clients.kube.accounts import AccountMissingError, Stored
from controller.clients.kube.discovery import Discovery, Served
from controller.clients.kube.errors import ConflictError, KubeError
from controller.clients.kube.exact import newest_version
from controller.clients.kube.informer import ListsAndWatches
from controller.clients.kube.resources import Key
from controller.clients.kube.store import Change
from controller.feeds.registry import StoredMandate
from reconcilers.attention import Attention, Memory, Overdue
from reconcilers.fences import Fences, Reads, Swaps
from reconcilers.histories import Histories
from reconcilers.needs import (
    Times,
    awaited,
    is_behind,
    named_resources,
    needed_kinds,
    seconds_until,
    start_of,
)
from reconcilers.runtime import CallLater, Result, Timer, WorkQueue, run_loop

_CONFLICTS = 8
"""How often an account is read again at once; then later, for others wait."""
_LATE_SECONDS = 1.0
"""How soon to look again at an entry that waits for the watch to catch up with the clock."""
_HOUSEKEEPING_SECONDS = 30.0

log = structlog.get_logger("governor.reconcilers")


class Accounts(Protocol):
    """The part of `AccountFeed` that the loop uses."""

    async def wait_synced(self) -> None:
        """Wait until the first list is complete."""
        ...

    def get(self, agent: str) -> Stored | None:
        """The newest version that is known."""
        ...

    def all(self) -> Mapping[str, Stored]:
        """Every account that can be read."""
        ...

    def adopt(self, stored: Stored) -> None:
        """Take over what we wrote or read ourselves."""
        ...

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the agent after each change."""
        ...


class Mandates(Protocol):
    """The part of the `mandates` informer of `RegistryFeed` that the loop uses."""

    @property
    def synced(self) -> asyncio.Event:
        """Set once the first list is complete."""
        ...

    def snapshot(self) -> Mapping[Key, StoredMandate]:
        """Every stored Mandate."""
        ...

    def subscribe(self, listener: Callable[[Change[StoredMandate]], None]) -> None:
        """Call `listener` after each change."""
        ...


class Client(Reads, ListsAndWatches, Protocol):
    """The part of `KubeClient` that the loop itself uses."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the committer has to do with the accounts."""

    committed: Callable[[], Collection[EntryKey]]
    """The entries whose records are where the next leader will find them."""
    on_outcomes: Callable[[], None]
    """Called after entries got outcomes; must not block."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Whom the loop talks to."""

    client: Client
    store: Swaps
    accounts: Accounts
    mandates: Mandates
    discovery: Discovery
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Pacing:
    """When, and how much at once."""

    times: Times = field(default_factory=Times)
    debounce_seconds: float = 0.03
    """A burst of events about one account is one swap."""
    workers: int = 4
    """How many accounts are worked on at once."""
    now: Callable[[], float] = time.time
    """Seconds since the epoch."""
    call_later: CallLater | None = None


class Settlement:
    """The loop, with what it watches and remembers."""

    def __init__(self, ports: Ports, histories: Histories, pacing: Pacing | None = None) -> None:
        """Describe the loop; nothing is asked before `run`.

        Args:
            ports: whom it talks to. The feeds are run by someone else.
            histories: what evidence is judged by; run by this loop.
            pacing: when, and how much at once.
        """
        self._ports = ports
        self._histories = histories
        self._pacing = pacing or Pacing()
        self._call_later = self._pacing.call_later or _on_the_running_loop
        self._fences = Fences(ports.client, ports.store, adopt=ports.accounts.adopt)
        self._queue: WorkQueue[str] = WorkQueue(call_later=self._pacing.call_later)
        self._attention = Attention()
        self._soon: set[str] = set()
        histories.subscribe(self._on_news)
        ports.accounts.subscribe(self._on_account)
        ports.mandates.subscribe(lambda change: self.wake(change.key.name))

    def release(self) -> None:
        """Look soon at every account that holds entries whose records are committed by now."""
        committed = self._ports.ledger.committed()
        for agent, stored in self._ports.accounts.all().items():
            if any(entry.key in committed for entry in stored.account.pending):
                self.wake(agent)

    def wake(self, agent: str) -> None:
        """Look at an account soon."""
        if agent in self._soon:
            return
        self._soon.add(agent)
        self._call_later(self._pacing.debounce_seconds, lambda: self._add(agent))

    async def run(self) -> NoReturn:
        """Settle until cancelled; may be run again then."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._histories.run(), name="histories")
            # Before both lists are complete an agent would pass for one that is gone.
            await self._ports.mandates.synced.wait()
            await self._ports.accounts.wait_synced()
            known = {key.name for key in self._ports.mandates.snapshot()}
            for agent in sorted(known | self._ports.accounts.all().keys()):
                self._on_account(agent)
            for number in range(self._pacing.workers):
                name = f"settlement-{number}"
                tasks.create_task(run_loop(self._queue, self._reconcile, name=name), name=name)
            tasks.create_task(self._keep_house(), name="housekeeping")
        raise AssertionError("a settlement loop ended")

    async def _keep_house(self) -> NoReturn:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            for stored in self._ports.accounts.all().values():
                self._histories.keep(needed_kinds(stored.account))
            self._histories.drop_unneeded()

    def _add(self, agent: str) -> None:
        self._soon.discard(agent)
        self._queue.add(agent)

    def _on_news(self, uid: str | None) -> None:
        """Look at whom a new version of an object (None: a list of all) may concern."""
        for agent in self._attention if uid is None else self._attention.followers(uid):
            self.wake(agent)

    def _on_account(self, agent: str) -> None:
        """Note which objects an account waits for, and look at it."""
        stored = self._ports.accounts.get(agent)
        open_entries = () if stored is None else tuple(awaited(stored.account))
        uids = frozenset(entry.uid for entry in open_entries if entry.uid)
        self._attention.follow(agent, uids)
        self.wake(agent)

    async def _reconcile(self, agent: str) -> Result:
        stored = self._ports.accounts.get(agent)
        for _ in range(_CONFLICTS):
            try:
                return await self._look_at(agent, stored)
            except (ConflictError, AccountMissingError):
                stored = await self._read(agent)
        raise ConflictError(f"account {agent}: changed {_CONFLICTS} times while it was settled")

    async def _read(self, agent: str) -> Stored | None:
        try:
            stored = await self._ports.store.read(agent)
        except AccountMissingError:
            return None
        self._ports.accounts.adopt(stored)
        return stored

    async def _look_at(self, agent: str, stored: Stored | None) -> Result:
        """Create, fence, delete or settle one account, whatever it needs.

        Raises:
            ConflictError: it is another one by now; read it and look again.
            AccountMissingError: likewise, it is gone.
            KubeError: any other failure.
        """
        mandate = self._ports.mandates.snapshot().get(Key("", agent))
        if stored is None:
            if mandate is None:
                self._attention.forget(agent)
                return Result()
            stored = await self._fences.create(agent)
            if stored is None:
                return Result()
        stored = await self._fences.copy(stored, mandate)
        if mandate is None and not stored.account.pending:
            await self._fences.delete(stored)
            return Result()
        return await self._settle(stored, mandate)

    async def _settle(self, stored: Stored, mandate: StoredMandate | None) -> Result:
        account = stored.account
        memory = self._attention.of(account.agent)
        kinds = needed_kinds(account) | await self._named_kinds(mandate)
        unwatchable = await self._watch(kinds)
        overdue = await self._ask_the_clock(account, memory, unwatchable=unwatchable)
        # From here to the swap nothing is awaited: one moment is judged.
        views = self._views(kinds)
        settled = settle(
            account,
            views,
            fence=account.fence,
            ledgered=self._ports.ledger.committed(),
            overdue=overdue,
            unwatchable=unwatchable,
        )
        if isinstance(settled, ViewTooOld):
            return Result(requeue_after=_LATE_SECONDS)
        if not (is_behind(account, views) or self._is_due(account, settled, memory)):
            return Result(requeue_after=self._seconds_until_next(account, memory))
        swapped = await self._ports.store.swap(stored, settled)
        self._ports.accounts.adopt(swapped)
        self._announce(account, swapped.account)
        memory.note(swapped.account, now=self._pacing.now())
        return Result(requeue_after=self._seconds_until_next(swapped.account, memory))

    async def _named_kinds(self, mandate: StoredMandate | None) -> frozenset[WatchedKind]:
        found: list[Served | None] = []
        for group, plural in sorted(named_resources(mandate)):
            try:
                found.append(await self._ports.discovery.prefer(group, plural))
            except KubeError as fault:
                log.warning("not discovered", group=group, resource=plural, error=str(fault))
        return frozenset(
            WatchedKind(served.resource.group, served.resource.version, served.resource.plural)
            for served in found
            if served is not None and served.is_watchable
        )

    async def _watch(self, kinds: Collection[WatchedKind]) -> frozenset[WatchedKind]:
        """See to it that these are watched; returns those that nobody can watch."""
        unwatchable: set[WatchedKind] = set()
        for kind in sorted(kinds):
            try:
                if not await self._histories.watch(kind, start=self._start_of(kind)):
                    unwatchable.add(kind)
            except KubeError as fault:
                log.warning("cannot tell whether it is served", kind=str(kind), error=str(fault))
        return frozenset(unwatchable)

    def _start_of(self, kind: WatchedKind) -> int:
        if self._histories.resource(kind) is not None:
            return 0  # begun already
        return start_of(kind, (s.account for s in self._ports.accounts.all().values()))

    def _views(self, kinds: Collection[WatchedKind]) -> Mapping[WatchedKind, KindView]:
        views = {kind: self._histories.view(kind) for kind in kinds}
        return {kind: view for kind, view in views.items() if view is not None}

    async def _ask_the_clock(
        self, account: Account, memory: Memory, *, unwatchable: Collection[WatchedKind]
    ) -> Mapping[EntryKey, int]:
        """For each entry past its deadline, how far its kind must have been seen.

        Whatever the API server stores for it is stored before this is read.
        """
        late = [entry for entry in awaited(account) if self._is_late(entry)]
        memory.retain(late)
        unread = [entry for entry in late if entry.key not in memory.overdue]
        for kind in sorted({entry.kind for entry in unread} - set(unwatchable)):
            read_at = await self._newest_version(kind)
            if read_at is not None:
                memory.overdue |= {
                    e.key: Overdue(e.made_at, read_at) for e in unread if e.kind == kind
                }
        unseen = {entry.key: 0 for entry in late if entry.kind in unwatchable}
        return {key: known.read_at for key, known in memory.overdue.items()} | unseen

    async def _newest_version(self, kind: WatchedKind) -> int | None:
        """How far the kind is by now; None: it cannot be told at present."""
        resource = self._histories.resource(kind)
        if resource is None:
            return None
        try:
            return await newest_version(self._ports.client, resource)
        except KubeError as fault:
            # One kind's API server that is down keeps no other entry from its outcome.
            log.warning("not read past the deadline", kind=str(kind), error=str(fault))
            return None

    def _is_late(self, entry: Entry) -> bool:
        return self._pacing.now() >= self._pacing.times.deadline(entry)

    def _is_due(self, account: Account, settled: Account, memory: Memory) -> bool:
        """Whether to write: every bookmark moves `as_of`, and that alone can wait."""
        now = self._pacing.now()
        memory.note(account, now=now)
        if is_worth_a_swap(account, settled):
            return True
        if now - memory.as_of_since < self._pacing.times.refresh_of(account):
            return False
        if settled == account:  # nothing is watched that could have moved
            memory.as_of_since = now
        return settled != account

    def _seconds_until_next(self, account: Account, memory: Memory) -> float:
        times = self._pacing.times
        deadlines = [times.deadline(entry) for entry in awaited(account)]
        refresh = memory.as_of_since + times.refresh_of(account)
        return seconds_until([refresh, *deadlines], now=self._pacing.now(), at_least=_LATE_SECONDS)

    def _announce(self, before: Account, after: Account) -> None:
        """Tell the committer of new outcomes; each is told once, for the first one stands."""
        open_before = {entry.key for entry in before.pending if entry.is_open}
        decided = [e for e in after.pending if not e.is_open and e.key in open_before]
        for entry in decided:
            log.info(
                "settled",
                agent=after.agent,
                change=entry.change,
                kind=str(entry.kind),
                object=f"{entry.namespace}/{entry.name}",
                outcome=str(entry.outcome),
            )
        if decided:
            self._ports.ledger.on_outcomes()


def _on_the_running_loop(seconds: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, call)
