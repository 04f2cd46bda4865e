"""Settles the accounts: copies the fence, and gives every entry the outcome that is proven.

Level-based, one account at a time: whatever happened, the account is read, judged
against what was watched, and swapped. Any number of these loops may run at once: each
swap replaces exactly what it was decided from, and one that has seen less than the
account's `as_of` writes nothing, and says so once if that lasts.

The fence is copied in a swap of its own, so that a kill switch waits for no view.

A kind that the API server stopped serving leaves `as_of`: its objects are gone. Entries
of it are `unknown` once the clock allows. A kind that cannot be listed although it is
served (rights, an aggregated API server that is down) proves nothing: its entries stay,
and once the list is full the agent is refused.

It must not: commit records, remove an entry whose record is not committed, or conclude
anything that `controller.accounts.settle` does not.
"""

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from itertools import chain
from typing import NoReturn

import structlog

from controller.accounts.account import COUNTED, Account
from controller.accounts.entries import WatchedKind
from controller.accounts.settle import Spending, ViewTooOld, is_worth_a_swap, settle
from controller.accounts.views import KindView, Version
from controller.apis.pricebooks import PriceBook
from controller.clients.kube.accounts import AccountMissingError, Stored
from controller.clients.kube.errors import ConflictError, KubeError
from controller.clients.kube.resources import Key
from controller.feeds.registry import StoredMandate
from reconcilers.attention import Attention, Memory
from reconcilers.clock import Clock
from reconcilers.fences import Fences
from reconcilers.histories import Heard, Histories, News
from reconcilers.moments import Moments
from reconcilers.needs import (
    awaited,
    ends_of,
    is_behind,
    named_resources,
    needed_kinds,
    needed_windows,
    seconds_until,
    start_of,
)
from reconcilers.ports import Pacing, Ports
from reconcilers.prices import Pricing
from reconcilers.runtime import Result, Timer, WorkQueue, run_loop
from reconcilers.trees import Trees, reduced

_CONFLICTS = 8
"""How often an account is read again at once; then later, for others wait."""
_LATE_SECONDS = 1.0
"""How soon to look again at an entry that waits for the watch to catch up with the clock."""
_SOON_SECONDS = 0.01
"""How soon at a window that has ended: until it is renewed, the new one is charged to it."""
_HOUSEKEEPING_SECONDS = 30.0
_LAG_SECONDS = 10.0
"""How long a view may be older than its account before somebody is told: at a start, and after
another settler's swap, it is so for a moment."""

log = structlog.get_logger("governor.reconcilers")


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
        self._pricing = Pricing(ports.client, lambda: ports.prices.prices)
        self._attention = Attention()
        self._trees = Trees()
        self._clock = Clock(ports.client, histories, self._pacing.times)
        self._moments = Moments(histories, self._clock.newest)
        self._soon: set[str] = set()
        self._lags: dict[str, dict[WatchedKind, float]] = {}
        """Since when a view is too old for an agent's account; infinite: that was told."""
        histories.subscribe(self._on_news)
        ports.accounts.subscribe(self._on_account)
        ports.mandates.subscribe(lambda change: self.wake(change.key.name))
        ports.prices.subscribe(self._on_registry)

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
            tasks.create_task(self._moments.run(), name="moments")
        raise AssertionError("a settlement loop ended")

    async def _keep_house(self) -> NoReturn:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            for stored in self._ports.accounts.all().values():
                self._histories.keep(needed_kinds(stored.account))
            self._histories.drop_unneeded()
            for kind in COUNTED:
                view = self._histories.view(kind)
                self._trees.forget_ended(kind, known={} if view is None else view.objects)

    def _add(self, agent: str) -> None:
        self._soon.discard(agent)
        self._queue.add(agent)

    def _on_news(self, kind: WatchedKind, news: News) -> None:
        """Look at whom it may concern; at holdings, once all kinds are as far as that."""
        if isinstance(news, Version):
            self._on_version(kind, news)
        elif news is Heard.LIST:
            self._on_list(kind)
        for agent in self._moments.take_over():
            self.wake(agent)

    def _on_version(self, kind: WatchedKind, version: Version) -> None:
        followers = self._attention.followers(version.uid)
        for agent in followers:
            self.wake(agent)
        if kind in COUNTED:
            concerned = self._trees.take(kind, version)
            self._moments.wait({*concerned, *followers}, version.version)

    def _on_list(self, kind: WatchedKind) -> None:
        if kind in COUNTED:
            view = self._histories.view(kind)
            listed = () if view is None else chain.from_iterable(view.objects.values())
            self._trees.replace(kind, listed)
        for agent in self._attention:
            self.wake(agent)

    def _on_registry(self) -> None:
        """Charge everybody by new prices."""
        prices = self._ports.prices.prices
        for agent, stored in self._ports.accounts.all().items():
            if prices is not None and stored.account.prices != prices.identity:
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
                self._lags.pop(agent, None)
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
        prices = await self._pricing.of(account)
        kinds = needed_kinds(account) | await self._named_kinds(mandate)
        unwatchable = await self._watch(kinds)
        overdue = await self._clock.ask(
            account, memory, unwatchable=unwatchable, now=self._pacing.now()
        )
        # From here to the swap nothing is awaited: one moment is judged.
        views = self._views(kinds, account)
        self._await_moment(account, views)
        settled = settle(
            account,
            views,
            fence=account.fence,
            ledgered=self._ports.ledger.committed(),
            overdue=overdue,
            unwatchable=unwatchable,
            spending=self._spending(mandate, prices),
        )
        if isinstance(settled, ViewTooOld):
            self._note_lag(account.agent, settled)
            return Result(requeue_after=_LATE_SECONDS)
        self._lags.pop(account.agent, None)
        catches_up = is_behind(account, views) and settled.as_of != account.as_of
        if not (catches_up or self._is_due(account, settled, memory)):
            return Result(requeue_after=self._seconds_until_next(account, memory))
        swapped = await self._ports.store.swap(stored, settled)
        self._ports.accounts.adopt(swapped)
        self._announce(account, swapped.account)
        memory.note(swapped.account, now=self._pacing.now())
        return Result(requeue_after=self._seconds_until_next(swapped.account, memory))

    def _spending(self, mandate: StoredMandate | None, prices: PriceBook) -> Spending:
        return Spending(
            now=int(self._pacing.now() * 1000), windows=needed_windows(mandate), prices=prices
        )

    def _note_lag(self, agent: str, too_old: ViewTooOld) -> None:
        """Tell once of a view that does not catch up: nothing of the agent is settled meanwhile."""
        now, lags = self._pacing.now(), self._lags.setdefault(agent, {})
        if now - lags.setdefault(too_old.kind, now) < _LAG_SECONDS:
            return
        lags[too_old.kind] = math.inf
        log.warning(
            "not settled: the account was counted from later versions than are seen here",
            agent=agent,
            kind=str(too_old.kind),
            seen_to=too_old.seen_to,
            as_of=too_old.as_of,
        )

    def _await_moment(self, account: Account, views: Mapping[WatchedKind, KindView]) -> None:
        """Look again once all counted kinds are as far as what is to be counted or decided."""
        counted = {kind: view for kind, view in views.items() if kind in COUNTED}
        open_entries = [entry for entry in awaited(account) if entry.kind in counted]
        newest = [
            version.version
            for entry in open_entries
            for version in counted[entry.kind].versions_of(entry.uid)[-1:]
        ]
        latest = max([*newest, *(view.listed_at for view in counted.values())], default=0)
        if self._moments.reached < latest:
            self._moments.wait((account.agent,), latest)

    async def _named_kinds(self, mandate: StoredMandate | None) -> frozenset[WatchedKind]:
        found: set[WatchedKind] = set()
        for group, plural in sorted(named_resources(mandate)):
            try:
                served = await self._ports.discovery.prefer(group, plural)
            except KubeError as fault:
                log.warning("not discovered", group=group, resource=plural, error=str(fault))
                continue
            if served is not None and served.is_watchable:
                found.add(WatchedKind(group, served.resource.version, plural))
        return frozenset(found)

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

    def _views(
        self, kinds: Collection[WatchedKind], account: Account
    ) -> Mapping[WatchedKind, KindView]:
        """What is known by now: of the counted kinds, of what the account is about."""
        about = self._trees.about(account.agent)
        pending = {entry.uid for entry in account.pending}
        views = {kind: self._histories.view(kind) for kind in kinds}
        return {
            kind: reduced(view, {*about.get(kind, ()), *pending}) if kind in COUNTED else view
            for kind, view in views.items()
            if view is not None
        }

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
        now, ends = self._pacing.now(), [*ends_of(account)]
        seconds = seconds_until([refresh, *deadlines], now=now, at_least=_LATE_SECONDS)
        return (
            min(seconds, seconds_until(ends, now=now, at_least=_SOON_SECONDS)) if ends else seconds
        )

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
