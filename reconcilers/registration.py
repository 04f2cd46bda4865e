"""Keeps the `subject` registration stored, and the status of what people write true.

Level-based: whenever a Mandate, its Account's fence, the Governance, the PriceBook, the
registration itself or the CA changed, the whole is planned anew from what is stored
and the plan carried out in order. So it is restored when someone edits or deletes it,
within one round trip of the watch; until then an edit holds (what prevents that is a
guard in the API server, not this loop). Accounts are looked at for their fence only;
they change with every write of an agent, and a plan for each would be one too many.

Runs in any number of processes at once: all of them plan the same from the same
objects, a write of the same content changes nothing, and a replacement is bound to
the version that was seen. Leader election would only save requests.

One status that cannot be written keeps no other from its own: someone who can make
the API server refuse the status of one Mandate must not silence all of them.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn, Protocol

import structlog

from controller.accounts.account import Account, Fence
from controller.clients.kube.client import Object
from controller.clients.kube.errors import KubeError, NotFoundError
from controller.clients.kube.informer import Chance, Informer, ListsAndWatches, Pace
from controller.clients.kube.resources import (
    MUTATING_WEBHOOKS,
    VALIDATING_WEBHOOKS,
    Key,
    Resource,
)
from controller.feeds.priority import one_object
from controller.feeds.registry import (
    GOVERNANCE,
    PRICES,
    RegistryFeed,
    Stored,
    StoredGovernance,
    StoredMandate,
    StoredPriceBook,
)
from controller.registration.subject import SUBJECT_CONFIGURATION, Target
from reconcilers.plan import (
    CreateConfiguration,
    Effect,
    Plan,
    ReplaceConfiguration,
    View,
    WriteStatus,
    plan_governance,
    plan_prices,
    plan_registration,
)
from reconcilers.runtime import Result, WorkQueue, as_one, run_loop

if TYPE_CHECKING:
    from controller.apis.json import Json

STATUS_MANAGER = "governor-registration"
"""Who owns the conditions: another manager than that of other loops' status fields."""

_CONFIGURATION = Key("", SUBJECT_CONFIGURATION)
_LOOP = "registration"

log = structlog.get_logger("governor.reconcilers")


class RegistrationClient(ListsAndWatches, Protocol):
    """The part of `KubeClient` that the loop uses."""

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create one object; returns it as stored."""
        ...

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Put one object in place of the stored one; returns it as stored."""
        ...

    async def apply(
        self, resource: Resource, body: Object, *, field_manager: str | None, subresource: str
    ) -> Object:
        """Own exactly the fields of `body`; returns the object as stored."""
        ...


class HoldsAccount(Protocol):
    """An Account as it is stored."""

    @property
    def account(self) -> Account:
        """What it says."""
        ...


class Accounts(Protocol):
    """The part of `AccountFeed` that the loop uses."""

    async def wait_synced(self) -> None:
        """Wait until all Accounts are known."""
        ...

    def get(self, agent: str) -> HoldsAccount | None:
        """The Account of that name; None if there is none that can be read."""
        ...

    def all(self) -> Mapping[str, HoldsAccount]:
        """Every Account that can be read, by name."""
        ...

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the name after every change of an Account; it must not block."""
        ...


@dataclass(frozen=True, slots=True)
class RegistrationSettings:
    """What the registration says beside who is selected."""

    target: Callable[[], Target]
    """Whom the API server asks, asked anew for each plan: the CA bundle changes."""
    own_usernames: frozenset[str]
    """Governor's identities, which are never selected."""
    resync_seconds: float = 60.0
    """A plan is made at least so often, though nothing was heard."""


class RegistrationLoop:
    """The loop with what it watches.

    Attributes:
        stored: set once every agent that was known by then is selected.
    """

    def __init__(
        self,
        client: RegistrationClient,
        feed: RegistryFeed,
        accounts: Accounts,
        settings: RegistrationSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        pace: Pace | None = None,
        chance: Chance | None = None,
    ) -> None:
        self.stored = asyncio.Event()
        self._client = client
        self._feed = feed
        self._accounts = accounts
        self._settings = settings
        self._clock = clock
        self._queue: WorkQueue[str] = WorkQueue()
        self._configurations = {
            resource: one_object(client, resource, SUBJECT_CONFIGURATION, pace=pace, chance=chance)
            for resource in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS)
        }
        self._fences: Mapping[str, Fence] = {}
        self._are_fences_known = False
        feed.subscribe(self.wake)
        accounts.subscribe(self._on_account)
        for informer in self._configurations.values():
            informer.subscribe(lambda _change: self.wake())

    def wake(self) -> None:
        """Plan anew soon; for what the loop does not watch itself, such as a renewed CA."""
        self._queue.add(_LOOP)

    async def run(self, *, before: asyncio.Event | None = None) -> NoReturn:
        """Run until cancelled. The feeds are run by someone else.

        Args:
            before: set once agents may be selected; nothing is written until then.
        """
        async with asyncio.TaskGroup() as tasks:
            for resource, informer in self._configurations.items():
                tasks.create_task(informer.run(), name=f"informer of our {resource.plural}")
            # Before all lists are complete a plan would deselect agents that exist.
            await self._feed.wait_agents_known()
            for informer in self._configurations.values():
                await informer.synced.wait()
            if before is not None:
                await before.wait()
            # Agents are selected although nothing is known of their Accounts.
            tasks.create_task(self._learn_fences(), name="first list of accounts")
            self.wake()
            await run_loop(self._queue, self._reconcile, name=_LOOP)
        raise AssertionError("the loop ended")

    async def _learn_fences(self) -> None:
        await self._accounts.wait_synced()
        self._are_fences_known = True
        self.wake()

    def _on_account(self, agent: str) -> None:
        stored = self._accounts.get(agent)
        fence = None if stored is None else stored.account.fence
        if fence != self._fences.get(agent):
            self.wake()

    async def _reconcile(self, _key: str) -> Result:
        plan = self._plan(self._clock())
        faults = await self._carry_out_all(plan)
        if faults:
            raise as_one(faults)
        return Result(requeue_after=self._settings.resync_seconds)

    async def _carry_out_all(self, plan: Plan) -> list[KubeError]:
        """Carry out in order what can be; returns what failed."""
        faults: list[KubeError] = []
        is_registered = True
        for effect in plan.effects:
            if not is_registered and _relies_on_registration(effect):
                continue
            try:
                await self._carry_out(effect)
            except KubeError as fault:
                faults.append(fault)
                is_registered = is_registered and isinstance(effect, WriteStatus)
                log.warning("write failed", of=_subject_of(effect), error=str(fault))
                if fault.status == 0:
                    # Nobody answers: each write more would wait as long, and a plan be as late.
                    break
        if is_registered and plan.selects_all:
            self.stored.set()
        return faults

    def _plan(self, now: datetime) -> Plan:
        plan = self._plan_registration(now)
        prices = plan_prices(self._feed.pricebooks.snapshot().get(PRICES), now=now)
        return replace(plan, effects=(*plan.effects, *prices))

    def _plan_registration(self, now: datetime) -> Plan:
        governance = self._feed.governance
        stored_governance = self._feed.governances.snapshot().get(GOVERNANCE)
        if governance is None:
            # Which namespaces are dedicated is unknown: what is registered stays as it is.
            return Plan(plan_governance(stored_governance, now=now), selects_all=False)
        mandates = self._feed.mandates.snapshot()
        view = View(
            mandates=tuple(mandates[key] for key in sorted(mandates)),
            governance=governance,
            stored_governance=stored_governance,
            validating=self._stored(VALIDATING_WEBHOOKS),
            mutating=self._stored(MUTATING_WEBHOOKS),
            fences=self._known_fences(),
        )
        return plan_registration(
            view,
            own_usernames=self._settings.own_usernames,
            target=self._settings.target(),
            now=now,
        )

    def _stored(self, resource: Resource) -> Object | None:
        known = self._configurations[resource].get(_CONFIGURATION)
        return None if known is None else known.value

    def _known_fences(self) -> Mapping[str, Fence] | None:
        if not self._are_fences_known:
            return None
        accounts = self._accounts.all()
        self._fences = {name: stored.account.fence for name, stored in accounts.items()}
        return self._fences

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case CreateConfiguration(resource, body):
                await self._client.create(resource, body)
                log.info("registration created", of=resource.kind, webhooks=_count(body))
            case ReplaceConfiguration(resource, body):
                stored = await self._client.replace(resource, body)
                self._configurations[resource].adopt(stored)
                log.info("registration replaced", of=resource.kind, webhooks=_count(body))
            case WriteStatus():
                await self._write_status(effect)

    async def _write_status(self, effect: WriteStatus) -> None:
        """Apply the conditions to that very object; one that is gone needs none."""
        informer = self._informer_of(effect.of)
        body = _status_body(effect, informer.resource)
        try:
            stored = await self._client.apply(
                informer.resource, body, field_manager=STATUS_MANAGER, subresource="status"
            )
        except NotFoundError:
            return
        informer.adopt(stored)

    def _informer_of(
        self, stored: Stored
    ) -> Informer[StoredMandate] | Informer[StoredGovernance] | Informer[StoredPriceBook]:
        match stored:
            case StoredMandate():
                return self._feed.mandates
            case StoredGovernance():
                return self._feed.governances
            case StoredPriceBook():
                return self._feed.pricebooks


def _status_body(effect: WriteStatus, resource: Resource) -> Object:
    conditions: list[Json] = [dict(condition.to_json()) for condition in effect.conditions]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        # The uid is a precondition: an object of the same name that came since is another one.
        "metadata": {"name": effect.of.name, "uid": effect.of.uid},
        "status": {"observedGeneration": effect.of.generation, "conditions": conditions},
    }


def _relies_on_registration(effect: Effect) -> bool:
    """Whether it may not be done after a half of the registration failed.

    The other half neither: nobody is to be stamped who is not judged.
    """
    return not isinstance(effect, WriteStatus) or effect.relies_on_registration


def _subject_of(effect: Effect) -> str:
    if isinstance(effect, WriteStatus):
        return effect.of.name
    return f"{effect.resource.plural}/{SUBJECT_CONFIGURATION}"


def _count(configuration: Object) -> int:
    webhooks = configuration.get("webhooks")
    return len(webhooks) if isinstance(webhooks, list) else 0
