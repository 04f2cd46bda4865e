"""Whom the settlement loop talks to, and how often: protocols and plain values.

It decides nothing, and nothing here talks to anybody.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from controller.accounts.entries import EntryKey
from controller.apis.pricebooks import PriceBook
from controller.clients.kube.accounts import Stored
from controller.clients.kube.discovery import Discovery
from controller.clients.kube.informer import ListsAndWatches
from controller.clients.kube.resources import Key
from controller.clients.kube.store import Change
from controller.feeds.registry import StoredMandate
from reconcilers.fences import Reads, Swaps
from reconcilers.needs import Times
from reconcilers.runtime import CallLater


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


class Prices(Protocol):
    """The part of `RegistryFeed` that says what things cost."""

    @property
    def prices(self) -> PriceBook | None:
        """The last valid PriceBook; None: it is not known."""
        ...

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change of that, or of anything else in the registry."""
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
    prices: Prices
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
