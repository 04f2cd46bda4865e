"""Reads which entries are pending at this moment, in every account, from the API server.

For what must not rest on a copy that a watch keeps. It decides nothing.
"""

from typing import Protocol

from controller.accounts.encoding import AccountUnreadableError
from controller.clients.kube.accounts import AccountGarbledError, read_stored
from controller.clients.kube.client import Page
from controller.clients.kube.resources import ACCOUNTS, Resource


class ListsPages(Protocol):
    """The part of `KubeClient` that is used."""

    async def list_page(
        self, resource: Resource, *, limit: int = 500, continue_token: str = ""
    ) -> Page:
        """One page of a consistent list."""
        ...


async def read_pending(client: ListsPages) -> frozenset[str]:
    """The keys of all entries, as texts (a quorum read).

    Raises:
        AccountGarbledError: one account cannot be read; it may hold any entry.
        KubeError: any other failure.
    """
    keys: set[str] = set()
    token = ""
    while True:
        page = await client.list_page(ACCOUNTS, continue_token=token)
        try:
            accounts = [read_stored(item).account for item in page.items]
        except AccountUnreadableError as error:
            raise AccountGarbledError(f"an Account cannot be read: {error}") from error
        keys.update(str(entry.key) for account in accounts for entry in account.pending)
        token = page.continue_token
        if not token:
            return frozenset(keys)
