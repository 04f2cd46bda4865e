"""Keeps a copy of every Account, as the watch brings it and as we ourselves wrote it.

It is where a swap starts from, never what an answer rests on: a copy may be behind,
and only a swap that succeeds, or a fresh read, proves that it was not. It writes
nothing, and drops nothing that cannot be read: it names it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn, TypeAlias

import structlog

from controller.accounts.encoding import AccountUnreadableError
from controller.clients.kube.accounts import (
    AccountGarbledError,
    Stored,
    read_stored,
)
from controller.clients.kube.client import Object
from controller.clients.kube.informer import Chance, Informer, ListsAndWatches, Pace, list_all
from controller.clients.kube.resources import ACCOUNTS, Key
from controller.clients.kube.store import Change, Known
from controller.feeds.registry import ATTENTIVE

log = structlog.get_logger("governor.feeds")

Content: TypeAlias = Stored | AccountUnreadableError
"""What the copy holds of one object: the account, or why it cannot be read."""


class AccountFeed:
    """The Accounts of the moment, by the names of their agents."""

    def __init__(
        self, client: ListsAndWatches, *, pace: Pace | None = None, chance: Chance | None = None
    ) -> None:
        self._informer = Informer(client, ACCOUNTS, _content, pace=pace or ATTENTIVE, chance=chance)
        self._informer.subscribe(_note)

    async def run(self) -> NoReturn:
        """Follow the API server until cancelled."""
        await self._informer.run()

    async def wait_synced(self) -> None:
        """Wait until the first list is complete."""
        await self._informer.synced.wait()

    def missing(self) -> tuple[str, ...]:
        """Why the accounts are not known yet; empty when they are."""
        if self._informer.synced.is_set():
            return ()
        return (f"accounts: {self._informer.fault or 'not listed yet'}",)

    def get(self, agent: str) -> Stored | None:
        """The newest version that is known; None where there is none that can be read."""
        known = self._informer.get(Key("", agent))
        return known.value if known is not None and isinstance(known.value, Stored) else None

    def all(self) -> Mapping[str, Stored]:
        """Every account that can be read, as of now and for good."""
        contents = self._informer.snapshot().items()
        return MappingProxyType(
            {key.name: content for key, content in contents if isinstance(content, Stored)}
        )

    @property
    def unreadable(self) -> Mapping[str, str]:
        """What cannot be read, by name, and why."""
        contents = self._informer.snapshot().items()
        return MappingProxyType(
            {key.name: str(content) for key, content in contents if not isinstance(content, Stored)}
        )

    def adopt(self, stored: Stored) -> None:
        """Take over what we wrote or read ourselves, ahead of the watch.

        One that is older than what is known is no news, and one of an object that is not
        known is left to the watch: it may have been deleted since.
        """
        known: Known[Content] = Known(stored.uid, stored.resource_version, stored)
        self._informer.take(Key("", stored.account.agent), known)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the agent after each change; it must not block."""
        self._informer.subscribe(lambda change: listener(change.key.name))


async def pending_keys(client: ListsAndWatches) -> frozenset[str]:
    """The keys of all entries that are pending, as the API server holds them at this moment.

    Raises:
        AccountGarbledError: one account cannot be read; what it holds is unknown.
        KubeError: any other failure.
    """
    contents = [_content(body) for body in await list_all(client, ACCOUNTS)]
    unreadable = [content for content in contents if isinstance(content, AccountUnreadableError)]
    if unreadable:
        raise AccountGarbledError(f"an account cannot be read: {unreadable[0]}")
    accounts = [content.account for content in contents if isinstance(content, Stored)]
    return frozenset(str(entry.key) for account in accounts for entry in account.pending)


def _content(body: Object) -> Content:
    try:
        return read_stored(body)
    except AccountUnreadableError as unreadable:
        return unreadable


def _note(change: Change[Content]) -> None:
    content = None if change.new is None else change.new.value
    if isinstance(content, AccountUnreadableError):
        log.error("account unreadable", account=change.key.name, error=str(content))
