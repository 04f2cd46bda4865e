"""What the settler counts on a real cluster with its controllers, against a plain list of Pods.

No webhook takes part: the label that says whose an object is was set by an administrator.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import cast

import pytest

from controller.accounts.account import Account, is_counted
from controller.accounts.windows import WindowKey
from controller.apis.resources import Amounts
from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.informer import list_all
from controller.clients.kube.resources import PRICEBOOKS, Key, Resource
from native.components import Binaries, Component, Options
from native.controlplane import ControlPlane
from tests.settling import DEPLOYMENTS, Agent, Settler, metadata_of, settling
from tour.prepared import install_kinds

pytestmark = pytest.mark.integration

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
JOBS = Resource("batch", "v1", "jobs", "Job", namespaced=True)
HOUR = 3600
HOLD = "example.com/hold"
"""A finalizer: there is no kubelet that would let a Pod live on for a while."""
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def plane(
    kubernetes_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """These tests' own, with the controllers that make ReplicaSets, Pods and nothing run."""
    options = Options(components=frozenset({Component.CONTROLLER_MANAGER}), unsafe_no_fsync=True)
    with ControlPlane.start(
        tmp_path_factory.mktemp("holdings-plane"),
        binaries=Binaries.single(kubernetes_binary),
        options=options,
    ) as running:
        install_kinds(running)
        yield running


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """An administrator."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as connected:
        yield connected


_numbers = count()


@pytest.fixture
async def agent(plane: ControlPlane, client: KubeClient) -> AsyncIterator[Agent]:
    """An agent with a namespace of its own, in which nothing holds Pods up afterwards."""
    name = f"holder-{next(_numbers)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert plane.admin.call("POST", "/api/v1/namespaces", body).ok
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    await until(lambda: is_there(plane, account), "the default ServiceAccount")
    yield Agent(client, name, name)
    plane.admin.call("DELETE", f"/apis/governor.dev/v1alpha1/mandates/{name}")
    plane.admin.call("DELETE", f"/apis/governor.dev/v1alpha1/accounts/{name}")


async def is_there(plane: ControlPlane, path: str) -> bool:
    return (await asyncio.to_thread(plane.admin.call, "GET", path)).ok


async def until(asked: Callable[[], Awaitable[object]], what: str, *, within: float = 60.0) -> None:
    """Ask until the answer is true; fail after the deadline."""
    deadline = time.monotonic() + within
    while not await asked():
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        await asyncio.sleep(0.05)


def a_workload(agent: Agent, kind: str, name: str, spec: Object, *, owner: str = "") -> Object:
    """Of the agent, with Pods of half a CPU and 64 MiB each."""
    container: Object = {
        "name": "web",
        "image": "registry.example/web:1",
        "resources": {"requests": {"cpu": "500m", "memory": "64Mi"}},
    }
    template: Object = {
        "metadata": {"labels": {"app": name}, "finalizers": [HOLD]},
        "spec": {"containers": [container], "restartPolicy": spec.pop("restartPolicy", "Always")},
    }
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": agent.namespace,
            "labels": {"governor.dev/agent": owner or agent.name},
        },
        "spec": {**spec, "template": template},
    }


def a_deployment(agent: Agent, name: str, replicas: int) -> Object:
    selector: Object = {"matchLabels": {"app": name}}
    return a_workload(agent, "Deployment", name, {"replicas": replicas, "selector": selector})


def a_job(agent: Agent, name: str) -> Object:
    spec: Object = {"parallelism": 2, "completions": 2, "restartPolicy": "Never"}
    return a_workload(agent, "Job", name, spec)


async def listed(client: KubeClient, namespace: str) -> dict[str, int]:
    """What the Pods of a namespace ask, counted from a plain list by other means."""
    amounts: Counter[str] = Counter()
    for pod in await pods(client, namespace):
        status = cast("Object", pod.get("status") or {})
        if status.get("phase") in {"Succeeded", "Failed"}:
            continue
        amounts += Counter(pods=1, cpu=500, memory=64 * 2**20)
    return dict(amounts)


async def pods(client: KubeClient, namespace: str) -> list[Object]:
    return [p for p in await list_all(client, PODS) if metadata_of(p)["namespace"] == namespace]


async def let_go(plane: ControlPlane, client: KubeClient, namespace: str) -> None:
    """Take off what holds the Pods up."""
    for pod in await pods(client, namespace):
        finalizers = cast("list[str]", metadata_of(pod).get("finalizers") or [])
        kept = [finalizer for finalizer in finalizers if finalizer != HOLD]
        path = f"/api/v1/namespaces/{namespace}/pods/{metadata_of(pod)['name']}"
        body = {"metadata": {"finalizers": kept}}
        await asyncio.to_thread(plane.admin.call, "PATCH", path, body, content_type=MERGE)


async def holdings(agent: Agent) -> Amounts | None:
    """As the account says; None: it says nothing yet."""
    account = await agent.account()
    return account.settled if account is not None and is_counted(account) else None


async def until_held(agent: Agent, amounts: Amounts, what: str) -> None:
    async def are_held() -> bool:
        return await holdings(agent) == amounts

    await until(are_held, what)


def of(number: int) -> dict[str, int]:
    """What so many Pods ask."""
    return {"pods": number, "cpu": 500 * number, "memory": 64 * 2**20 * number} if number else {}


class Watched:
    """Every number of Pods that an agent's account ever said."""

    def __init__(self, settler: Settler, agent: Agent) -> None:
        self.numbers: set[int] = set()
        self._settler = settler
        self._agent = agent.name
        settler.feed.subscribe(self._note)

    def _note(self, agent: str) -> None:
        stored = self._settler.feed.get(agent)
        if agent == self._agent and stored is not None and is_counted(stored.account):
            self.numbers.add(stored.account.settled.get("pods", 0))


@pytest.mark.requirement("never-oversold.trees")
async def test_a_deployment_counts_once_at_its_root_until_its_last_pod_is_gone(
    plane: ControlPlane, client: KubeClient, agent: Agent
) -> None:
    async with settling(client) as settler:
        await agent.mandate()
        await until_held(agent, {}, "an account that is counted")
        watched = Watched(settler, agent)
        await client.create(DEPLOYMENTS, a_deployment(agent, "web", 3))
        await until_held(agent, of(3), "three Pods are held")
        await until(lambda: has_pods(client, agent, 3), "three Pods are there")
        assert await holdings(agent) == await listed(client, agent.namespace)

        # A person scales it; nobody asks the agent.
        path = f"/apis/apps/v1/namespaces/{agent.namespace}/deployments/web/scale"
        scale = {"spec": {"replicas": 5}}
        assert plane.admin.call("PATCH", path, scale, content_type=MERGE).ok
        await until_held(agent, of(5), "five Pods are held")
        await until(lambda: has_pods(client, agent, 5), "five Pods are there")
        assert await holdings(agent) == await listed(client, agent.namespace)

        await client.delete(DEPLOYMENTS, Key(agent.namespace, "web"))
        await until(lambda: are_ending(client, agent), "all Pods are being deleted")
        # Whoever counts now has seen that Deployment and ReplicaSet are gone.
        await client.create(DEPLOYMENTS, a_deployment(agent, "other", 1))
        await until_held(agent, of(6), "the Pods that are ending, and one more")
        assert watched.numbers - {0} == {3, 5, 6}
        await let_go(plane, client, agent.namespace)
        await until_held(agent, of(1), "what is gone is free")


async def has_pods(client: KubeClient, agent: Agent, number: int) -> bool:
    return len(await pods(client, agent.namespace)) == number


async def are_ending(client: KubeClient, agent: Agent) -> bool:
    found = await pods(client, agent.namespace)
    sets = Resource("apps", "v1", "replicasets", "ReplicaSet", namespaced=True)
    left = [s for s in await list_all(client, sets) if metadata_of(s)["namespace"] == agent.name]
    return not left and all("deletionTimestamp" in metadata_of(pod) for pod in found)


@pytest.mark.requirement("never-oversold.trees")
async def test_a_job_holds_nothing_once_it_has_finished(
    plane: ControlPlane, client: KubeClient, agent: Agent
) -> None:
    async with settling(client):
        await agent.mandate()
        await client.create(JOBS, a_job(agent, "once"))
        await until_held(agent, of(2), "two Pods are held")
        await until(lambda: has_pods(client, agent, 2), "two Pods are there")
        assert await holdings(agent) == await listed(client, agent.namespace)
        for pod in await pods(client, agent.namespace):
            path = f"/api/v1/namespaces/{agent.namespace}/pods/{metadata_of(pod)['name']}/status"
            body = {"status": {"phase": "Succeeded"}}
            assert plane.admin.call("PATCH", path, body, content_type=MERGE).ok
        await until_held(agent, {}, "a Job that has finished")
        assert await listed(client, agent.namespace) == {}
        await let_go(plane, client, agent.namespace)


@pytest.mark.requirement("never-oversold.trees")
async def test_a_mandate_that_is_made_anew_finds_what_its_agent_held(
    plane: ControlPlane, client: KubeClient, agent: Agent
) -> None:
    async with settling(client):
        await agent.mandate()
        await client.create(DEPLOYMENTS, a_deployment(agent, "web", 2))
        await until_held(agent, of(2), "two Pods are held")
        await agent.delete_mandate()
        await until(lambda: is_gone(agent), "the account is gone with its mandate")
        await agent.mandate()
        await until_held(agent, of(2), "the new account counts what is there")
        await client.delete(DEPLOYMENTS, Key(agent.namespace, "web"))
        await let_go(plane, client, agent.namespace)


async def is_gone(agent: Agent) -> bool:
    return await agent.account() is None


@pytest.mark.requirement("never-oversold.windows")
async def test_windows_are_opened_and_renewed_when_they_end(
    client: KubeClient, agent: Agent
) -> None:
    key = WindowKey("changes", HOUR)
    ahead = HOUR - time.time() % HOUR - 4.0  # a window ends four seconds from now
    async with settling(client, now=lambda: time.time() + ahead):
        budget: Object = {"name": "rate", "resource": "changes", "limit": 5, "windowSeconds": HOUR}
        await agent.mandate(budgets=[budget])
        opened = await window_of(agent, key)
        _, entry = await agent.create("cm")
        await until(lambda: has_spent(agent, key, 1), "a change is spent")
        assert entry.made_at

        async def is_renewed() -> bool:
            account = await agent.account()
            assert account is not None
            return account.windows[key].started_at == opened + HOUR * 1000

        await until(is_renewed, "the next window", within=20)
        assert time.time() + ahead - (opened / 1000 + HOUR) < 2.0
        assert await has_spent(agent, key, 0)
        assert opened % (HOUR * 1000) == 0


async def window_of(agent: Agent, key: WindowKey) -> int:
    """When it began, once it is open."""
    found: list[Account] = []

    async def is_open() -> bool:
        account = await agent.account()
        if account is not None and key in account.windows:
            found.append(account)
        return bool(found)

    await until(is_open, "a window")
    return found[0].windows[key].started_at


async def has_spent(agent: Agent, key: WindowKey, spent: int) -> bool:
    account = await agent.account()
    return account is not None and account.windows[key].spent == spent


@pytest.mark.requirement("never-oversold.windows")
async def test_new_prices_are_in_every_account_soon(client: KubeClient, agent: Agent) -> None:
    price: Object = {"resource": "cpu", "usdPerHour": "0.04"}
    body: Object = {
        "apiVersion": PRICEBOOKS.api_version,
        "kind": PRICEBOOKS.kind,
        "metadata": {"name": "cluster"},
        "spec": {"prices": [price]},
    }
    async with settling(client):
        await agent.mandate()
        await until_held(agent, {}, "an account that is counted")
        stored = await client.apply(PRICEBOOKS, body, field_manager="tests")
        identity = f"{metadata_of(stored)['uid']}:{metadata_of(stored)['generation']}"

        async def is_charged(by: str) -> bool:
            account = await agent.account()
            return account is not None and account.prices == by

        await until(lambda: is_charged(identity), "the new prices", within=10)
        await client.delete(PRICEBOOKS, Key("", "cluster"))
        await until(lambda: is_charged(""), "no prices", within=10)
