"""Makes the accounts of the mandates, fences them, and deletes those of mandates that are gone.

The fence changes only after what the API server holds at that moment (a quorum read of
the mandate, made after the account was read, and a swap of exactly that account): a
process whose watch lags never opens what another has closed. It reserves and settles
nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog

from controller.accounts.account import Account
from controller.clients.kube.accounts import Stored
from controller.clients.kube.client import Object
from controller.clients.kube.errors import NotFoundError
from controller.clients.kube.resources import MANDATES, Key, Resource
from controller.feeds.registry import StoredMandate, read_mandate
from reconcilers.needs import fence_of

log = structlog.get_logger("governor.reconcilers")


class Swaps(Protocol):
    """The part of `AccountStore` that the loop uses."""

    async def read(self, agent: str) -> Stored:
        """An Account as the API server holds it at this moment."""
        ...

    async def create(self, account: Account) -> Stored:
        """Store an Account for an agent that has none."""
        ...

    async def swap(self, stored: Stored, account: Account) -> Stored:
        """Put an account in place of exactly this stored version."""
        ...

    async def delete(self, stored: Stored) -> None:
        """Delete exactly this version."""
        ...


class Reads(Protocol):
    """The part of `KubeClient` that is used."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object (a quorum read)."""
        ...


class Fences:
    """Writes accounts for what is said of their mandates."""

    def __init__(self, client: Reads, store: Swaps, *, adopt: Callable[[Stored], None]) -> None:
        """Write nothing yet.

        Args:
            client: reads mandates.
            store: where the accounts are.
            adopt: told of each account that was swapped.
        """
        self._client = client
        self._store = store
        self._adopt = adopt

    async def create(self, agent: str) -> Stored | None:
        """Give a mandate its account; None: the mandate is gone by now.

        Raises:
            ConflictError: it has one.
            KubeError: any other failure.
        """
        mandate = await self._fetch(agent)
        if mandate is None:
            return None
        stored = await self._store.create(Account(agent, fence_of(mandate)))
        log.info("account created", agent=agent, suspended=stored.account.fence.suspended)
        return stored

    async def copy(self, stored: Stored, mandate: StoredMandate | None) -> Stored:
        """Copy the mandate's state into the account, if it changed; returns what is stored.

        Args:
            stored: the account as it was read.
            mandate: as the watch shows it; only whether to look closer depends on it.

        Raises:
            ConflictError: the account is another one by now.
            KubeError: any other failure.
        """
        account = stored.account
        if fence_of(mandate, current=account.fence) == account.fence:
            return stored
        fence = fence_of(await self._fetch(account.agent), current=account.fence)
        if fence == account.fence:
            return stored
        swapped = await self._store.swap(stored, replace(account, fence=fence))
        self._adopt(swapped)
        log.info(
            "fence copied",
            agent=account.agent,
            generation=fence.generation,
            suspended=fence.suspended,
        )
        return swapped

    async def delete(self, stored: Stored) -> None:
        """Delete the account, if its mandate is gone.

        Bound to the version that was read: had the mandate come back, and been let write
        since, the fence would have been swapped.

        Raises:
            ConflictError: the account is another one by now.
            KubeError: any other failure.
        """
        if await self._fetch(stored.account.agent) is None:
            await self._store.delete(stored)
            log.info("account deleted", agent=stored.account.agent)

    async def _fetch(self, agent: str) -> StoredMandate | None:
        try:
            return read_mandate(await self._client.get(MANDATES, Key("", agent)))
        except NotFoundError:
            return None
