"""Wires what the leader does: settle the accounts, and commit their records.

One term of office: all of it begins when the Lease is won and ends when it is lost. A
ledger that cannot be opened keeps nobody from settling: entries then wait for their
records, and agents are refused once their accounts are full. It decides nothing.
"""

import asyncio
import time
from collections.abc import Collection
from typing import NoReturn

import structlog

from controller.accounts.entries import EntryKey
from controller.clients.git.errors import LedgerError
from controller.clients.git.remote import LedgerRemote
from controller.clients.git.repository import LedgerRepository
from controller.clients.keys import Keys
from controller.clients.kube.accounts import AccountStore
from controller.clients.kube.client import KubeClient
from controller.clients.kube.discovery import Discovery
from controller.clients.kube.ledgerhead import HeadStore
from controller.clients.outbox.reader import Outboxes
from controller.feeds.accounts import AccountFeed, pending_keys
from controller.feeds.registry import RegistryFeed
from controller.records.chain import LedgerIdentity
from controller.records.versions import version_of
from controller.settings import ReconcileSettings
from reconcilers.book import LedgerBook
from reconcilers.committer import Committer, CommitterPorts
from reconcilers.histories import Histories
from reconcilers.inbox import Inbox
from reconcilers.needs import Times
from reconcilers.patience import until_answered
from reconcilers.ports import Ledger, Pacing, Ports
from reconcilers.settlement import Settlement

_OPEN_AGAIN_SECONDS = 5.0
_ALARM_SECONDS = 15.0

_log = structlog.get_logger("governor.manager")


class Leader:
    """What one process does while it holds the Lease, for as many terms as it wins."""

    def __init__(
        self,
        client: KubeClient,
        *,
        registry: RegistryFeed,
        accounts: AccountFeed,
        keys: Keys,
        settings: ReconcileSettings,
    ) -> None:
        """Begin nothing; the feeds are run by someone else."""
        self._client = client
        self._registry = registry
        self._accounts = accounts
        self._keys = keys
        self._settings = settings
        # Until the repository can be opened there is none.
        self._committer: Committer | None = None
        self._settlement = self._build_settlement()

    async def work(self) -> None:
        """Settle and commit until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._settlement.run(), name="settlement")
            if self._committer is None:
                self._committer = await self._build_committer()
                self._committer.subscribe(self._settlement.release)
            await self._accounts.wait_synced()
            tasks.create_task(self._committer.run(), name="committer")
            tasks.create_task(self._alarm(self._committer), name="alarm of the ledger")

    async def _alarm(self, committer: Committer) -> NoReturn:
        """Say that the ledger falls behind, for as long as it does."""
        while True:
            await asyncio.sleep(_ALARM_SECONDS)
            lag, missing = committer.lag, committer.missing()
            if missing or lag > _ALARM_SECONDS:
                _log.error("the ledger is behind", seconds=round(lag), missing=missing)

    def _committed(self) -> Collection[EntryKey]:
        return () if self._committer is None else self._committer.ledgered()

    def _on_outcomes(self) -> None:
        if self._committer is not None:
            self._committer.wake()

    def _build_settlement(self) -> Settlement:
        discovery = Discovery(self._client)
        stamp, content = self._keys.stamp, self._keys.content
        histories = Histories(
            self._client,
            discovery,
            lambda kind, body: version_of(body, kind=kind, stamp_key=stamp, content_key=content),
        )
        ports = Ports(
            client=self._client,
            store=AccountStore(self._client),
            accounts=self._accounts,
            mandates=self._registry.mandates,
            prices=self._registry,
            discovery=discovery,
            ledger=Ledger(self._committed, on_outcomes=self._on_outcomes),
        )
        times = Times(request_timeout=self._settings.request_timeout_seconds)
        return Settlement(ports, histories, Pacing(times=times))

    async def _build_committer(self) -> Committer:
        heads = HeadStore(self._client)
        cluster = await until_answered(heads.cluster, what="uid of the cluster")
        repository = await self._open(LedgerIdentity(cluster, self._settings.ledger_epoch))
        remote = self._settings.ledger_remote
        ports = CommitterPorts(
            accounts=self._accounts,
            inbox=Inbox(Outboxes(self._settings.outbox, clock_ms=_clock_ms)),
            book=LedgerBook(repository, seed=self._keys.seal, clock_ms=_clock_ms),
            repository=repository,
            heads=heads,
            pending_now=lambda: pending_keys(self._client),
            ref=repository.ref,
            remote=LedgerRemote(repository, remote) if remote else None,
        )
        return Committer(ports, clock_ms=_clock_ms)

    async def _open(self, identity: LedgerIdentity) -> LedgerRepository:
        """The repository, as soon as it can be opened."""
        while True:
            try:
                return await asyncio.to_thread(
                    LedgerRepository.open, self._settings.ledger, identity
                )
            except LedgerError as fault:
                _log.error("the ledger cannot be opened, nothing is committed", error=str(fault))
            await asyncio.sleep(_OPEN_AGAIN_SECONDS)


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
