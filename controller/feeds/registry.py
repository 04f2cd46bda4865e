"""Keeps the registry of agents current from the stored Mandates, Governance and PriceBook.

What is stored is never dropped because it cannot be read: an invalid Mandate still
claims its subjects, so that their writes are refused; an invalid Governance or PriceBook
leaves the last valid one in force. Without any Governance there is no registry; without any
prices there is one of which they are unknown, for most writes cost nobody a budget in money.
It grants nothing and writes nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeAlias, TypeVar, cast

import structlog

from controller.agents.registry import InvalidMandate, Registry
from controller.apis.conditions import Condition
from controller.apis.governance import Governance
from controller.apis.invalid import InvalidResourceError
from controller.apis.mandates import Mandate
from controller.apis.pricebooks import UNKNOWN_PRICES, PriceBook
from controller.apis.v1alpha1.conversion import (
    conditions_of,
    governance_from_object,
    mandate_from_object,
    pricebook_from_object,
)
from controller.clients.kube.client import Object
from controller.clients.kube.errors import KubeError
from controller.clients.kube.informer import Chance, Informer, ListsAndWatches, Pace, list_all
from controller.clients.kube.resources import GOVERNANCES, MANDATES, PRICEBOOKS, Key
from controller.clients.kube.store import Change

GOVERNANCE = Key("", "cluster")
PRICES = Key("", "cluster")
ATTENTIVE = Pace(lasting=10, silence=25.0)
"""The server is asked to say something every 10 to 20 seconds, and one that is silent for 25 is
dialled anew: a connection that died unnoticed would leave a suspended agent at large."""

log = structlog.get_logger("governor.feeds")

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Status:
    """What the resource says of itself so far."""

    observed_generation: int | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class _Stored(Generic[T]):
    """A resource of Governor's own as the API server holds it."""

    name: str
    uid: str
    generation: int
    content: T
    status: Status


@dataclass(frozen=True, slots=True)
class StoredMandate(_Stored[Mandate | InvalidMandate]):
    """A Mandate as the API server holds it."""


@dataclass(frozen=True, slots=True)
class InvalidGovernance:
    """A stored Governance that no longer converts."""

    message: str
    """What is wrong with it and how to mend it."""


@dataclass(frozen=True, slots=True)
class StoredGovernance(_Stored[Governance | InvalidGovernance]):
    """The Governance as the API server holds it."""


@dataclass(frozen=True, slots=True)
class InvalidPriceBook:
    """A stored PriceBook that no longer converts."""

    message: str
    """What is wrong with it and how to mend it."""


@dataclass(frozen=True, slots=True)
class StoredPriceBook(_Stored[PriceBook | InvalidPriceBook]):
    """The PriceBook as the API server holds it."""


Stored: TypeAlias = StoredMandate | StoredGovernance | StoredPriceBook


class RegistryFeed:
    """The mandates of the moment.

    Attributes:
        mandates: every stored Mandate, valid or not.
        governances: every stored Governance; only the one named `cluster` counts.
        pricebooks: every stored PriceBook, likewise.
    """

    def __init__(
        self, client: ListsAndWatches, *, pace: Pace | None = None, chance: Chance | None = None
    ) -> None:
        self._client = client
        pace = pace or ATTENTIVE
        self.mandates = Informer(client, MANDATES, read_mandate, pace=pace, chance=chance)
        self.governances = Informer(client, GOVERNANCES, read_governance, pace=pace, chance=chance)
        self.pricebooks = Informer(client, PRICEBOOKS, read_pricebook, pace=pace, chance=chance)
        self._governance: Governance | None = Governance()
        self._prices: PriceBook | None = PriceBook()
        self._registry: Registry | None = None
        self.mandates.subscribe(self._on_mandate)
        self.governances.subscribe(self._on_governance)
        self.pricebooks.subscribe(self._on_pricebook)

    async def run(self) -> NoReturn:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.mandates.run(), name="informer of mandates")
            tasks.create_task(self.governances.run(), name="informer of governances")
            tasks.create_task(self.pricebooks.run(), name="informer of pricebooks")
        raise AssertionError("an informer ended")

    async def wait_synced(self) -> None:
        """Wait until all lists are complete; `current` may still be None (see there)."""
        await self.wait_agents_known()
        await self.pricebooks.synced.wait()

    async def wait_agents_known(self) -> None:
        """Wait until it is known who is an agent, whatever things cost."""
        await self.mandates.synced.wait()
        await self.governances.synced.wait()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever something here changed; it must not block."""
        self.mandates.subscribe(lambda _change: listener())
        self.governances.subscribe(lambda _change: listener())
        self.pricebooks.subscribe(lambda _change: listener())

    @property
    def governance(self) -> Governance | None:
        """The last valid Governance; None if there never was one but an invalid one is stored."""
        return self._governance if self.governances.synced.is_set() else None

    @property
    def prices(self) -> PriceBook | None:
        """The last valid PriceBook; None: they are not known.

        That is until the first list is complete (for ever where the kind is not served), and
        while an invalid one is stored and none was valid before.
        """
        return self._prices if self.pricebooks.synced.is_set() else None

    def missing(self) -> tuple[str, ...]:
        """What is still to be known, by name and reason; empty when `current` is there.

        Prices are waited for only until the API server has answered: what cannot be listed
        then concerns the budgets in US dollars alone.
        """
        reasons = [
            f"{informer.resource.plural}: {informer.fault or 'not listed yet'}"
            for informer in (self.mandates, self.governances)
            if not informer.synced.is_set()
        ]
        if not self.pricebooks.synced.is_set() and self.pricebooks.fault is None:
            reasons.append("pricebooks: not listed yet")
        if self._governance is None:
            reasons.append("governances: the one named cluster is invalid, and none was valid yet")
        return tuple(reasons)

    def current(self) -> Registry | None:
        """The registry as of now; None until mandates and Governance are first known.

        Its prices are `UNKNOWN_PRICES` while nobody knows them.

        It is rebuilt here, at the first look after a change, so that a reader never
        sees less than the feed has heard, and a burst of changes costs one rebuild.
        """
        governance, prices = self.governance, self._prices_or_unknown()
        if governance is None or not self.mandates.synced.is_set():
            return None
        # A first list without a PriceBook makes prices known, and is no change that is heard of.
        if self._registry is None or self._registry.prices is not prices:
            self._registry = _build(self.mandates.snapshot().values(), governance, prices)
        return self._registry

    async def fetch(self) -> Registry | None:
        """The registry as the API server holds it at this moment, past the watch.

        For a request that we were asked about by someone whom `current` does not know:
        the registration selects agents only, so a mandate may have been stored that the
        watch has not brought yet, and whom it names must not pass for somebody else.

        Returns:
            None if the Governance is invalid and none was valid before.

        Raises:
            KubeError: the API server could not be asked; nobody knows who it is.
        """
        governances = [read_governance(body) for body in await list_all(self._client, GOVERNANCES)]
        prices = await self._fetch_prices()
        mandates = [read_mandate(body) for body in await list_all(self._client, MANDATES)]
        governance: Governance | None = Governance()
        for found in governances:
            if found.name == GOVERNANCE.name:
                valid = found.content if isinstance(found.content, Governance) else None
                governance = valid or self.governance
        return None if governance is None else _build(mandates, governance, prices)

    async def _fetch_prices(self) -> PriceBook:
        try:
            listed = await list_all(self._client, PRICEBOOKS)
        except KubeError:
            # They say nothing of who is an agent. Older ones than the account's reserve nothing.
            return self._prices_or_unknown()
        for book in map(read_pricebook, listed):
            if book.name == PRICES.name:
                content = book.content
                return content if isinstance(content, PriceBook) else self._prices_or_unknown()
        return PriceBook()

    def _prices_or_unknown(self) -> PriceBook:
        return UNKNOWN_PRICES if self.prices is None else self.prices

    def _on_mandate(self, change: Change[StoredMandate]) -> None:
        self._registry = None
        content = None if change.new is None else change.new.value.content
        if isinstance(content, InvalidMandate):
            log.error("mandate invalid", mandate=content.name, error=content.message)

    def _on_governance(self, change: Change[StoredGovernance]) -> None:
        if change.key != GOVERNANCE:
            return
        content = Governance() if change.new is None else change.new.value.content
        if isinstance(content, InvalidGovernance):
            log.error("governance invalid", error=content.message)
            # What was in force stays so. At the start nothing was, not even the defaults:
            # they would dedicate no namespace, and let its agents go.
            if not self.governances.synced.is_set():
                self._governance = None
            return
        self._governance = content
        self._registry = None

    def _on_pricebook(self, change: Change[StoredPriceBook]) -> None:
        if change.key != PRICES:
            return
        content = PriceBook() if change.new is None else change.new.value.content
        if isinstance(content, InvalidPriceBook):
            log.error("price book invalid", error=content.message)
            # As with the Governance: accounts were charged by prices that nobody knows now.
            if not self.pricebooks.synced.is_set():
                self._prices = None
            return
        self._prices = content
        self._registry = None


def _build(
    mandates: Iterable[StoredMandate], governance: Governance, prices: PriceBook
) -> Registry:
    contents = [stored.content for stored in mandates]
    return Registry.build(
        [content for content in contents if isinstance(content, Mandate)],
        [content for content in contents if isinstance(content, InvalidMandate)],
        governance,
        prices,
    )


def read_mandate(stored: Object) -> StoredMandate:
    """Read a stored Mandate; never fails."""
    identity = _identity(stored)

    def unreadable(message: str) -> InvalidMandate:
        return InvalidMandate(identity[0], usernames_in(stored), message)

    content = _converted(stored, mandate_from_object, unreadable)
    return StoredMandate(*identity, content, _status(stored))


def read_governance(stored: Object) -> StoredGovernance:
    """Read a stored Governance; never fails."""
    content = _converted(stored, governance_from_object, InvalidGovernance)
    return StoredGovernance(*_identity(stored), content, _status(stored))


def read_pricebook(stored: Object) -> StoredPriceBook:
    """Read a stored PriceBook; never fails."""
    content = _converted(stored, pricebook_from_object, InvalidPriceBook)
    return StoredPriceBook(*_identity(stored), content, _status(stored))


def _converted(
    stored: Object, convert: Callable[[object], T], unreadable: Callable[[str], U]
) -> T | U:
    try:
        return convert(stored)
    except InvalidResourceError as invalid:
        return unreadable(str(invalid))


def usernames_in(stored: Object) -> tuple[str, ...]:
    """The subjects that an invalid Mandate still names, as far as they can be read."""
    spec = stored.get("spec")
    subjects = spec.get("subjects") if isinstance(spec, dict) else None
    if not isinstance(subjects, list):
        return ()
    found = [_username(subject) for subject in subjects if isinstance(subject, dict)]
    return tuple(dict.fromkeys(username for username in found if username))


def _username(subject: Object) -> str:
    name, namespace = subject.get("name"), subject.get("namespace")
    if not isinstance(name, str) or not name:
        return ""
    if subject.get("kind") == "User":
        return name
    return f"system:serviceaccount:{namespace}:{name}" if isinstance(namespace, str) else ""


def _identity(stored: Object) -> tuple[str, str, int]:
    metadata = stored.get("metadata")
    held = metadata if isinstance(metadata, dict) else {}
    generation = held.get("generation")
    return (
        str(held.get("name") or ""),
        str(held.get("uid") or ""),
        generation if isinstance(generation, int) else 0,
    )


def _status(stored: Object) -> Status:
    status = stored.get("status")
    observed = status.get("observedGeneration") if isinstance(status, dict) else None
    try:
        conditions = conditions_of(cast("Mapping[str, object]", stored))
    except InvalidResourceError:
        conditions = ()  # written anew by whoever writes the status
    return Status(observed if isinstance(observed, int) else None, conditions)
