"""Settlement on a real API server: what became of each write, whoever settles, whatever breaks.

The entries are those that the webhook would have made. Two settlers run at once in most
tests, as they would while a leader loses its lease without noticing.
"""

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from controller.accounts.account import Account
from controller.accounts.entries import Action, Entry, Outcome, WatchedKind
from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import ConflictError
from controller.clients.kube.resources import Key, Resource
from native.components import Component
from native.controlplane import ControlPlane
from tests.outages import compact
from tests.settling import (
    CONFIGMAPS,
    DEPLOYMENTS,
    HASTY,
    Agent,
    Settler,
    a_change,
    a_configmap,
    an_entry_for,
    kind_of,
    lone_api_server,
    metadata_of,
    settling,
    stamped,
    with_value,
)

pytestmark = pytest.mark.integration

WIDGETS = Resource("example.com", "v1", "widgets", "Widget", namespaced=True)
T = TypeVar("T")


@pytest.fixture(scope="module")
def plane(
    kubernetes_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """These tests' own."""
    with lone_api_server(tmp_path_factory.mktemp("settlement-plane"), kubernetes_binary) as running:
        yield running


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """An administrator."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as connected:
        yield connected


_numbers = itertools.count()


@pytest.fixture
async def agent(plane: ControlPlane, client: KubeClient) -> AsyncIterator[Agent]:
    """An agent with a namespace of its own; there is no controller to delete that."""
    name = f"agent-{next(_numbers)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert plane.admin.call("POST", "/api/v1/namespaces", body).ok
    yield Agent(client, name, name)
    plane.admin.call("DELETE", f"/apis/governor.dev/v1alpha1/mandates/{name}")
    plane.admin.call("DELETE", f"/apis/governor.dev/v1alpha1/accounts/{name}")


async def until(asked: Callable[[], Awaitable[T]], what: str, *, within: float = 30.0) -> T:
    """Ask until the answer is true; fail after the deadline."""
    deadline = time.monotonic() + within
    while not (answer := await asked()):
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        await asyncio.sleep(0.02)
    return answer


async def governed(agent: Agent) -> Account:
    """Give the agent its mandate, and wait for an account that counts what the mandate names."""
    await agent.mandate()

    async def counted() -> Account | None:
        account = await agent.account()
        kinds = {kind_of(CONFIGMAPS), kind_of(DEPLOYMENTS)}
        return account if account is not None and kinds <= account.as_of.keys() else None

    account = await until(counted, "an account that counts")
    assert account is not None
    return account


async def settled(agent: Agent, *entries: Entry, within: float = 30.0) -> list[Outcome | None]:
    """Wait until all have an outcome."""

    async def outcomes() -> list[Outcome | None]:
        found = [await agent.outcome(entry) for entry in entries]
        return [] if None in found else found

    return await until(outcomes, "an outcome of each", within=within)


@contextlib.asynccontextmanager
async def two_settlers(client: KubeClient) -> AsyncGenerator[tuple[Settler, Settler]]:
    """Both at once, each with its own watches."""
    async with settling(client) as one, settling(client) as other:
        yield one, other


def a_deployment(namespace: str, name: str) -> Object:
    container: Object = {"name": "web", "image": "registry.example/web:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container]},
            },
        },
    }


def a_scale(deployment: Object, replicas: int) -> Object:
    names = ("name", "namespace", "resourceVersion")
    metadata = {name: metadata_of(deployment)[name] for name in names}
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": metadata,
        "spec": {"replicas": replicas},
    }


def fresh(entry: Entry) -> Entry:
    """The same kind of write to an object that nobody ever stored."""
    return replace(entry, uid=str(uuid4()), change=a_change())


@pytest.mark.requirement("record-before-effect.evidence")
async def test_each_write_gets_the_outcome_that_it_had_while_two_settle(
    client: KubeClient, agent: Agent
) -> None:
    expected: list[tuple[Entry, Outcome]] = []

    async def live(number: int) -> None:
        """Create, race two updates, scale, delete: one object's life."""
        body, created = await agent.create(f"cm-{number}")
        winner, loser = a_change(), a_change()
        won, lost = stamped(with_value(body, "2"), winner), stamped(with_value(body, "3"), loser)
        entered = [
            await agent.enter_update(won, winner, action=Action.UPDATE),
            await agent.enter_update(lost, loser, action=Action.UPDATE),
        ]
        stored = await client.replace(CONFIGMAPS, won)
        with pytest.raises(ConflictError):
            await client.replace(CONFIGMAPS, lost)
        beaten = await agent.enter(an_entry_for(stored, a_change(), action=Action.DELETE))
        by_a_person = await client.replace(CONFIGMAPS, with_value(stored, "4"))
        deleting = await agent.enter(an_entry_for(by_a_person, a_change(), action=Action.DELETE))
        await client.delete(CONFIGMAPS, Key(agent.namespace, f"cm-{number}"))
        outcomes = (
            Outcome.PERSISTED,
            Outcome.PERSISTED,
            Outcome.LOST,
            Outcome.LOST,
            Outcome.GONE,
        )
        expected.extend(zip((created, *entered, beaten, deleting), outcomes, strict=True))

    async with two_settlers(client) as (one, other):
        await governed(agent)
        await asyncio.gather(*(live(number) for number in range(12)))
        entries = [entry for entry, _ in expected]
        outcomes = await settled(agent, *entries)
        assert outcomes == [outcome for _, outcome in expected]
        assert one.told + other.told > 0
        for settler in (one, other):
            settler.committed |= {entry.key for entry in entries}
            settler.settlement.release()
        await until(lambda: has_pending(agent, 0), "the committed entries are gone")


async def has_pending(agent: Agent, count: int) -> bool:
    account = await agent.account()
    return account is not None and len(account.pending) == count


@pytest.mark.requirement("record-before-effect.evidence")
async def test_a_scale_matches_or_is_lost_and_claims_no_author(
    client: KubeClient, agent: Agent
) -> None:
    async with two_settlers(client):
        await governed(agent)
        stored = await client.create(DEPLOYMENTS, a_deployment(agent.namespace, "web"))
        blank = an_entry_for(stored, a_change(), action=Action.VALUE, resource=DEPLOYMENTS)
        to_three = await agent.enter(replace(blank, digest="replicas:3"))
        to_five = await agent.enter(replace(blank, change=a_change(), digest="replicas:5"))
        await client.replace(DEPLOYMENTS, a_scale(stored, 3), subresource="scale")
        assert await settled(agent, to_three, to_five) == [Outcome.MATCHES, Outcome.LOST]


@pytest.mark.requirement("never-oversold.clock-after-watch")
async def test_a_create_that_was_never_stored_is_lost_once_the_clock_and_the_watch_agree(
    client: KubeClient, agent: Agent
) -> None:
    async with settling(client, times=HASTY):
        account = await governed(agent)
        body, created = await agent.create("there")
        never = await agent.enter(fresh(created))
        assert never.version >= account.as_of[kind_of(CONFIGMAPS)]
        assert await settled(agent, created, never) == [Outcome.PERSISTED, Outcome.LOST]
        untouched = an_entry_for(body, a_change(), action=Action.UPDATE)
        update = await agent.enter(replace(untouched, digest="0f" * 16))
        assert await settled(agent, update) == [Outcome.LOST]


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_a_write_in_a_kind_that_was_not_watched_is_proven_by_the_list_if_it_is_there(
    client: KubeClient, agent: Agent
) -> None:
    secrets = Resource("", "v1", "secrets", "Secret", namespaced=True)
    async with settling(client, times=HASTY):
        await governed(agent)
        body = stamped(a_configmap(agent.namespace, "s", "aHVudGVyMg=="), change := a_change())
        secret: Object = {**body, "kind": "Secret"}
        stored = await client.create(secrets, secret)
        entry = an_entry_for(stored, change, action=Action.CREATE, resource=secrets)
        created = await agent.enter(entry)
        never = await agent.enter(fresh(entry))
        assert created.version == 0
        # What was missed before the list cannot be told from what never was.
        assert await settled(agent, created, never) == [Outcome.PERSISTED, Outcome.UNKNOWN]


@pytest.mark.requirement("record-before-effect.evidence")
async def test_what_happens_while_nobody_settles_is_seen_by_the_next_settler_version_by_version(
    client: KubeClient, agent: Agent
) -> None:
    async with settling(client):
        await governed(agent)
        body, created = await agent.create("cm")
        gone, _ = await agent.create("gone")
        await settled(agent, created)
    change = a_change()
    proposed = stamped(with_value(body, "2"), change)
    update = await agent.enter_update(proposed, change, action=Action.UPDATE)
    deletion = await agent.enter(an_entry_for(gone, a_change(), action=Action.DELETE))
    stored = await client.replace(CONFIGMAPS, proposed)
    await client.replace(CONFIGMAPS, with_value(stored, "of a person"))
    await client.delete(CONFIGMAPS, Key(agent.namespace, "cm"))
    await client.delete(CONFIGMAPS, Key(agent.namespace, "gone"))
    async with settling(client):
        assert await settled(agent, update, deletion) == [Outcome.PERSISTED, Outcome.GONE]


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_what_happened_in_a_gap_is_claimed_only_where_it_can_still_be_seen(
    plane: ControlPlane, client: KubeClient, agent: Agent
) -> None:
    async with settling(client):
        await governed(agent)
        seen, created = await agent.create("seen")
        covered, _ = await agent.create("covered")
        gone, _ = await agent.create("gone")
        await settled(agent, created)
    _, still_there = await agent.update(seen, "2")
    overwritten, overwriting = await agent.update(covered, "2")
    # A person's write on top of the agent's, which nobody saw: it may have been lost as well.
    await client.replace(CONFIGMAPS, {**a_configmap(agent.namespace, "covered", "3")})
    deletion = await agent.enter(an_entry_for(gone, a_change(), action=Action.DELETE))
    await client.delete(CONFIGMAPS, Key(agent.namespace, "gone"))
    assert metadata_of(overwritten)["uid"] == overwriting.uid
    # The API server remembers recent versions itself.
    compact(plane.site)
    plane.send(Component.API_SERVER, signal.SIGKILL)
    await asyncio.to_thread(plane.restart, Component.API_SERVER)
    await asyncio.to_thread(plane.wait_ready)
    async with settling(client):
        outcomes = await settled(agent, still_there, overwriting, deletion)
    assert outcomes == [Outcome.PERSISTED, Outcome.UNKNOWN, Outcome.UNKNOWN]


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_suspending_closes_the_account_and_lifting_it_opens_it(
    client: KubeClient, agent: Agent
) -> None:
    async with two_settlers(client):
        first = await governed(agent)
        assert not first.fence.suspended
        await agent.mandate(suspend=True)
        await until(lambda: is_fenced(agent, suspended=True), "suspended")
        await agent.mandate(suspend=False)
        await until(lambda: is_fenced(agent, suspended=False), "open again")
        account = await agent.account()
        assert account is not None
        assert account.fence.generation == first.fence.generation + 2


async def is_fenced(agent: Agent, *, suspended: bool) -> bool:
    account = await agent.account()
    return account is not None and account.fence.suspended is suspended


@pytest.mark.requirement("never-oversold.fence-copied")
async def test_the_account_of_a_deleted_mandate_is_closed_and_goes_once_nothing_is_pending(
    client: KubeClient, agent: Agent
) -> None:
    async with two_settlers(client) as settlers:
        await governed(agent)
        _, created = await agent.create("cm")
        await settled(agent, created)
        await agent.delete_mandate()
        await until(lambda: is_fenced(agent, suspended=True), "closed")
        assert await has_pending(agent, 1)
        for settler in settlers:
            settler.committed.add(created.key)
            settler.settlement.release()
        await until(lambda: is_gone(agent), "the account is gone")
        # And a new mandate of that name gets a new one.
        account = await governed(agent)
        assert not account.fence.suspended
        assert account.fence.generation == 1


async def is_gone(agent: Agent) -> bool:
    return await agent.account() is None


@pytest.mark.requirement("never-oversold.unserved-proven")
async def test_a_kind_whose_crd_is_deleted_leaves_the_account_and_its_entries_are_unknown(
    plane: ControlPlane, client: KubeClient, agent: Agent
) -> None:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert plane.admin.call("POST", crds, a_crd()).ok
    widgets = kind_of(WIDGETS)
    path = f"/apis/example.com/v1/namespaces/{agent.namespace}/widgets"
    await until(lambda: asyncio.to_thread(lambda: plane.admin.call("GET", path).ok), "widgets")
    async with settling(client, times=HASTY):
        await governed(agent)
        body = {**a_configmap(agent.namespace, "w"), "kind": "Widget"}
        stored = await client.create(WIDGETS, {**body, "apiVersion": "example.com/v1"})
        entry = an_entry_for(stored, a_change(), action=Action.CREATE, resource=WIDGETS)
        created = await agent.enter(entry)
        assert await settled(agent, created) == [Outcome.PERSISTED]
        await until(lambda: counts(agent, widgets), "widgets are counted")
        assert plane.admin.call("DELETE", f"{crds}/widgets.example.com").ok
        never = await agent.enter(fresh(entry))
        assert await settled(agent, never) == [Outcome.UNKNOWN]

        async def forgotten() -> bool:
            return not await counts(agent, widgets)

        await until(forgotten, "widgets are no longer counted")
        # And everything else is settled as ever.
        _, other = await agent.create("other")
        assert await settled(agent, other) == [Outcome.PERSISTED]


async def counts(agent: Agent, kind: WatchedKind) -> bool:
    account = await agent.account()
    return account is not None and kind in account.as_of


def a_crd() -> dict[str, object]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
    }
