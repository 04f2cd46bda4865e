"""Settles the benchmark's Account, for nothing that it reviews is ever stored.

The real settler would find no evidence, and give the writes up when the clock allows;
until then their agent would be refused. This one finds every write persisted, and
otherwise keeps the real one's pace (`reconcilers.settlement`, `reconcilers.committer`):
outcomes 30 ms after a look at the Account, once every 250 ms the decided ones count as
committed, their rows in the outboxes are acknowledged, and with the next outcomes they
leave the Account. Where writes come faster than that, decided entries leave a list that
is half full at once: else reviews would be postponed, which is not to be measured.

`python -m bench.webhook_settler`: for each line that comes in it tells, as a line of
JSON, what it did since the last one.
"""

import argparse
import asyncio
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Protocol

import uvloop

from bench.load_process import serve_lines
from bench.webhook_reviews import AGENT
from controller.accounts.account import ASKS_VERSION, COUNTED, MAX_PENDING, Account
from controller.accounts.entries import EntryKey, Outcome
from controller.accounts.windows import Window, WindowKey
from controller.clients.kube.accounts import AccountStore, Stored
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import ConflictError
from controller.clients.outbox.reader import Outboxes
from controller.clients.outbox.rows import Row
from controller.feeds.accounts import AccountFeed
from reconcilers.committer import CommitterPace
from reconcilers.inbox import Inbox
from reconcilers.ports import Pacing
from webhooks.accounts import Accounts

LOOK_SECONDS = Pacing().debounce_seconds
COMMIT_SECONDS = CommitterPace().busy
CROWDED = MAX_PENDING // 2


class KnownAccounts(Protocol):
    """What is known of them without asking."""

    def get(self, agent: str) -> Stored | None:
        """The newest version that is known."""
        ...

    def adopt(self, stored: Stored) -> None:
        """Take over a version that we wrote or read."""
        ...


@dataclass(slots=True)
class Done:
    """What was done since it was last told."""

    looks: int = 0
    """With something to see."""
    pending: int = 0
    """Entries that these looks saw, in all."""
    swaps: int = 0
    conflicts: int = 0
    """Swaps that lost to the webhook's."""


def next_account(account: Account, committed: Collection[EntryKey], *, now: int) -> Account:
    """The Account with every open entry decided, and without those that are committed.

    It counts as counted, with nothing held, and the windows that are waited for are open.

    Args:
        account: as it is.
        committed: the entries that may leave it.
        now: milliseconds since the epoch.
    """
    is_crowded = len(account.pending) > CROWDED
    kept = tuple(
        entry.decided(Outcome.PERSISTED)
        for entry in account.pending
        if entry.is_open or not (is_crowded or entry.key in committed)
    )
    opened = {key: _window(key, now) for key in account.wanted if key not in account.windows}
    return replace(
        account,
        as_of={**dict.fromkeys(COUNTED, 1), **account.as_of},
        asks_version=ASKS_VERSION,
        pending=kept,
        wanted=(),
        windows={**account.windows, **opened},
    )


def _window(key: WindowKey, now: int) -> Window:
    return Window(started_at=now - now % (key.seconds * 1000), accrued_at=now, spent=0)


class Settler:
    """The loop, and what it did."""

    def __init__(self, store: Accounts, known: KnownAccounts, inboxes: Iterable[Inbox]) -> None:
        self._store = store
        self._known = known
        self._inboxes = tuple(inboxes)
        self._committed: frozenset[EntryKey] = frozenset()
        self._done = Done()

    async def tell(self) -> Done:
        """What was done; begins anew."""
        done, self._done = self._done, Done()
        return done

    async def run(self) -> NoReturn:
        """Settle until cancelled."""
        next_commit = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            account = await self.look(self._committed)
            if time.monotonic() < next_commit:
                continue
            next_commit = time.monotonic() + COMMIT_SECONDS
            await asyncio.to_thread(self._acknowledge)
            self._committed = frozenset(e.key for e in account.pending if not e.is_open)

    async def look(self, committed: Collection[EntryKey]) -> Account:
        """Swap the Account if there is something to do; at once again while others are first.

        Args:
            committed: the entries that may leave it.
        """
        stored = self._known.get(AGENT) or await self._store.read(AGENT)
        self._done.looks += bool(stored.account.pending)
        self._done.pending += len(stored.account.pending)
        while (account := next_account(stored.account, committed, now=_now_ms())) != stored.account:
            try:
                stored = await self._store.swap(stored, account)
                self._done.swaps += 1
            except ConflictError:
                self._done.conflicts += 1
                stored = await self._store.read(AGENT)
            self._known.adopt(stored)
        return stored.account

    def _acknowledge(self) -> None:
        now = time.time_ns() // 1_000_000
        for inbox in self._inboxes:
            inbox.pull()
            over = [row.attempt for row in inbox.rows.values() if _is_over(inbox, row, now)]
            inbox.acknowledge(over)


def _is_over(inbox: Inbox, row: Row, now: int) -> bool:
    if row.final or row.ready_at > now:
        return row.final
    found = inbox.find(row.attempt)
    return found is not None and found.final


async def _serve(kubeconfig: Path, outboxes: Iterable[Path]) -> None:
    inboxes = [Inbox(Outboxes(path, clock_ms=_now_ms)) for path in outboxes]
    async with connect(Kubeconfig(kubeconfig)) as client, asyncio.TaskGroup() as tasks:
        feed = AccountFeed(client)
        settler = Settler(AccountStore(client), feed, inboxes)
        following = tasks.create_task(feed.run())
        await feed.wait_synced()
        settling = tasks.create_task(settler.run())
        await serve_lines(lambda _job: settler.tell())
        settling.cancel()
        following.cancel()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(argv: Sequence[str] | None = None) -> None:
    """Settle until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.webhook_settler", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--outbox", type=Path, action="append", default=[], dest="outboxes")
    arguments = parser.parse_args(argv)
    uvloop.run(_serve(arguments.kubeconfig, arguments.outboxes))


if __name__ == "__main__":
    main()
