"""The registration loop against a fake cluster: what one failed write does to the others."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson
import pytest

from controller.accounts.account import Account, Fence
from controller.clients.kube.client import Object, Page, key_of
from controller.clients.kube.errors import ForbiddenError, KubeError, UnreachableError
from controller.clients.kube.resources import (
    GOVERNANCES,
    MANDATES,
    MUTATING_WEBHOOKS,
    PRICEBOOKS,
    VALIDATING_WEBHOOKS,
    Resource,
)
from controller.clients.kube.transport import Query
from controller.feeds.registry import RegistryFeed
from controller.registration.subject import SUBJECT_CONFIGURATION, Target, UrlEndpoint
from reconcilers.registration import RegistrationLoop, RegistrationSettings

OWN = "admin"
VALIDATING, MUTATING = VALIDATING_WEBHOOKS.plural, MUTATING_WEBHOOKS.plural
TARGET = Target(UrlEndpoint("https://127.0.0.1:8443"), b"CA")
REFUSED = ForbiddenError("denied the request", status=403)
HOOK_FAILED = UnreachableError("failed calling webhook", status=500)
NO_ANSWER = UnreachableError("connection refused")


class FakeCluster:
    """Stores what is written, unless told to fail that name; lists it, and tells who watches."""

    def __init__(self, *mandates: Object) -> None:
        self.stored: dict[tuple[Resource, str], Object] = {
            (MANDATES, key_of(body).name): body for body in mandates
        }
        self._version = 100
        self._watched: set[Resource] = set()
        self._events = {
            resource: asyncio.Queue[bytes]()
            for resource in (
                *(MANDATES, GOVERNANCES, PRICEBOOKS),
                *(VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS),
            )
        }
        self.faults: dict[str, KubeError] = {}
        """By the name of the object whose writes fail."""
        self.written: list[str] = []
        """The names in order, failed ones too; of a configuration its resource."""

    def ready(self, name: str) -> str:
        """The Ready condition as `status reason`; empty if none is written."""
        return self._condition(name, "Ready")

    def suspended(self, name: str) -> str:
        """The Suspended condition likewise."""
        return self._condition(name, "Suspended")

    def is_watched(self, resource: Resource) -> bool:
        """Whether it was listed, and is watched now."""
        return resource in self._watched

    def ready_prices(self) -> str:
        """Of the PriceBook."""
        return self._condition("cluster", "Ready", of=PRICEBOOKS)

    def _condition(self, name: str, type_: str, *, of: Resource = MANDATES) -> str:
        status = cast("dict[str, Any]", self.stored[of, name].get("status") or {})
        found = {c["type"]: f"{c['status']} {c['reason']}" for c in status.get("conditions", [])}
        return found.get(type_, "")

    async def create(self, resource: Resource, body: Object) -> Object:
        """Store, or fail."""
        return self._write(resource, body)

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Store, or fail."""
        return self._write(resource, body)

    async def apply(
        self, resource: Resource, body: Object, *, field_manager: str | None, subresource: str
    ) -> Object:
        """Store the status, or fail."""
        assert subresource == "status"
        held = self.stored[resource, key_of(body).name]
        return self._write(resource, {**held, "status": body["status"]})

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
    ) -> Page:
        """All at once."""
        items = tuple(body for (kind, _), body in self.stored.items() if kind is resource)
        return Page(items, str(self._version), "")

    @contextlib.asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        lasting: int,
        silence: float,
        namespace: str = "",
        selectors: Query = (),
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """For good."""
        self._watched.add(resource)
        yield self._follow(self._events[resource])

    async def _follow(self, events: "asyncio.Queue[bytes]") -> AsyncIterator[bytes]:
        while True:
            yield await events.get()

    def _write(self, resource: Resource, body: Object) -> Object:
        name = key_of(body).name
        told = resource.plural if name == SUBJECT_CONFIGURATION else name
        self.written.append(told)
        if told in self.faults:
            raise self.faults[told]
        self._version += 1
        metadata = cast("Object", body["metadata"])
        stored: Object = {
            **body,
            "metadata": {**metadata, "resourceVersion": str(self._version)},
        }
        self.stored[resource, name] = stored
        event = orjson.dumps({"type": "MODIFIED", "object": stored}) + b"\n"
        self._events[resource].put_nowait(event)
        return stored


def mandate(name: str, *, user: str = "", suspend: bool = False) -> Object:
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "generation": 1,
            "resourceVersion": "1",
        },
        "spec": {
            "subjects": [{"kind": "User", "name": user or f"agent-{name}"}],
            "suspend": suspend,
        },
    }


def pricebook(**price: object) -> Object:
    priced: Any = {"resource": "cpu", "usdPerHour": "0.0316", **price}
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "PriceBook",
        "metadata": {"name": "cluster", "uid": "u", "generation": 1, "resourceVersion": "1"},
        "spec": {"prices": [priced]},
    }


@dataclass(frozen=True)
class Held:
    """An Account as the feed gives it."""

    account: Account


@dataclass
class ScriptedAccounts:
    """Accounts as the feed knows them; by default one that follows every mandate at once."""

    cluster: FakeCluster
    is_synced: asyncio.Event = field(default_factory=asyncio.Event)
    held: dict[str, Held] = field(default_factory=dict[str, Held])
    listeners: list[Callable[[str], None]] = field(default_factory=list[Callable[[str], None]])
    looked_at: int = 0
    """How often all were asked for: once per plan."""

    async def wait_synced(self) -> None:
        """Until the test says so."""
        await self.is_synced.wait()

    def get(self, agent: str) -> Held | None:
        """One of them."""
        return self.held.get(agent)

    def all(self) -> Mapping[str, Held]:
        """All of them."""
        self.looked_at += 1
        return dict(self.held)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Tell of every swap."""
        self.listeners.append(listener)

    def swap(self, account: Account) -> None:
        """Store it and tell."""
        self.held[account.agent] = Held(account)
        for listener in self.listeners:
            listener(account.agent)


def an_account(name: str, *, generation: int = 1, suspended: bool = False) -> Account:
    """As the settler fences it for `mandate(name)`."""
    return Account(name, Fence(f"uid-of-{name}", generation, suspended))


@dataclass(frozen=True)
class Governing:
    """What runs, and what it sees of Accounts."""

    loop: RegistrationLoop
    accounts: ScriptedAccounts


@contextlib.asynccontextmanager
async def governing(
    cluster: FakeCluster, *, before: asyncio.Event | None = None, are_accounts_known: bool = True
) -> AsyncGenerator[Governing]:
    """The feed and the loop, running; every mandate has its Account."""
    feed = RegistryFeed(cluster)
    accounts = ScriptedAccounts(cluster)
    for (resource, name), body in cluster.stored.items():
        if resource is MANDATES:
            spec = cast("dict[str, Any]", body["spec"])
            accounts.swap(an_account(name, suspended=spec["suspend"]))
    if are_accounts_known:
        accounts.is_synced.set()
    settings = RegistrationSettings(target=lambda: TARGET, own_usernames=frozenset({OWN}))
    loop = RegistrationLoop(cluster, feed, accounts, settings)
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(loop.run(before=before))]
    try:
        yield Governing(loop, accounts)
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "not within 10 s"
        await asyncio.sleep(0.005)


async def until_idle() -> None:
    """Until every task of the loop has had its turns: nothing here waits for the world."""
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(REFUSED, id="refused by a webhook"),
        pytest.param(HOOK_FAILED, id="a webhook that cannot be reached"),
    ],
)
async def test_a_status_that_cannot_be_written_keeps_no_other_from_its_own(
    fault: KubeError,
) -> None:
    cluster = FakeCluster(mandate("a"), mandate("b"), mandate("c"))
    cluster.faults = {"a": fault, "b": fault}
    async with governing(cluster) as running:
        await until(lambda: cluster.ready("c") == "True Registered")
        assert cluster.written[:5] == [VALIDATING, MUTATING, "a", "b", "c"]
        assert running.loop.stored.is_set()
        assert (cluster.ready("a"), cluster.ready("b")) == ("", "")
        cluster.faults.clear()
        await until(lambda: cluster.ready("a") == cluster.ready("b") == "True Registered")
    assert cluster.written.count("c") == 1


@pytest.mark.requirement("fail-closed.registration")
@pytest.mark.parametrize(
    ("failing", "tried"),
    [
        # Nobody is stamped who is not judged.
        pytest.param(VALIDATING, {VALIDATING}, id="of judging"),
        pytest.param(MUTATING, {VALIDATING, MUTATING}, id="of stamping"),
    ],
)
async def test_a_registration_that_fails_lets_only_statuses_pass_that_do_not_rely_on_it(
    failing: str, tried: set[str]
) -> None:
    cluster = FakeCluster(
        mandate("fine"),
        mandate("own", user=OWN),
        mandate("suspended", user=OWN, suspend=True),
    )
    cluster.faults = {failing: HOOK_FAILED}
    async with governing(cluster) as running:
        # Twice: what relies on it is left out by every attempt.
        await until(lambda: cluster.written.count(failing) > 1)
        assert set(cluster.written) == {*tried, "own"}
        assert cluster.ready("own") == "False Invalid"
        assert not running.loop.stored.is_set()
        cluster.faults.clear()
        await asyncio.wait_for(running.loop.stored.wait(), 10)
        await until(lambda: cluster.ready("fine") == "True Registered")
        await until(lambda: cluster.ready("suspended") == "False Invalid")


async def test_an_api_server_that_does_not_answer_is_not_asked_for_every_object() -> None:
    cluster = FakeCluster(mandate("a"), mandate("b"))
    cluster.faults = {"a": NO_ANSWER}
    async with governing(cluster):
        await until(lambda: cluster.written.count("a") > 1)
        assert "b" not in cluster.written
        cluster.faults.clear()
        await until(lambda: cluster.ready("a") == cluster.ready("b") == "True Registered")


async def test_nothing_is_registered_before_its_ground_is_laid() -> None:
    cluster, ground = FakeCluster(mandate("a")), asyncio.Event()
    async with governing(cluster, before=ground) as running:
        await until(lambda: cluster.is_watched(MUTATING_WEBHOOKS))
        running.loop.wake()
        running.accounts.swap(an_account("a", generation=2))
        await until_idle()
        assert cluster.written == []
        ground.set()
        await until(lambda: cluster.ready("a") == "True Registered")


async def test_agents_are_selected_though_nothing_is_known_of_accounts() -> None:
    cluster = FakeCluster(mandate("a"))
    async with governing(cluster, are_accounts_known=False) as running:
        await asyncio.wait_for(running.loop.stored.wait(), 10)
        assert cluster.written == [VALIDATING, MUTATING]
        running.accounts.is_synced.set()
        await until(lambda: cluster.ready("a") == "True Registered")


async def test_a_swap_of_an_account_is_planned_for_only_if_its_fence_changed() -> None:
    cluster = FakeCluster(mandate("a"))
    async with governing(cluster) as running:
        await until(lambda: cluster.suspended("a") == "False NotSuspended")
        await until_idle()
        planned, account = running.accounts.looked_at, an_account("a")
        for held in range(100):
            running.accounts.swap(replace(account, settled={"pods": held}))
        await until_idle()
        assert running.accounts.looked_at == planned
        running.accounts.swap(an_account("a", suspended=True))
        await until(lambda: cluster.suspended("a") == "True Suspended")


@pytest.mark.parametrize(
    ("prices", "ready"),
    [
        pytest.param(pricebook(), "True InForce", id="valid"),
        pytest.param(pricebook(usdPerHour="a lot"), "False Invalid", id="invalid"),
    ],
)
async def test_prices_are_observed_and_keep_no_agent_from_being_selected(
    prices: Object, ready: str
) -> None:
    cluster = FakeCluster(mandate("a"))
    cluster.stored[PRICEBOOKS, "cluster"] = prices
    async with governing(cluster) as running:
        await until(lambda: cluster.ready_prices() == ready)
        await asyncio.wait_for(running.loop.stored.wait(), 10)
        await until(lambda: cluster.ready("a") == "True Registered")


async def test_prices_are_told_to_be_in_force_though_nobody_can_be_registered() -> None:
    cluster = FakeCluster(mandate("a"))
    cluster.stored[PRICEBOOKS, "cluster"] = pricebook()
    cluster.faults = {VALIDATING: HOOK_FAILED}
    async with governing(cluster):
        await until(lambda: cluster.ready_prices() == "True InForce")
        assert cluster.ready("a") == ""
