"""With every webhook process dead: others do not notice, agents can do nothing.

And the kill switch still works, since it needs no webhook: an agent that is suspended
meanwhile stays refused when the webhooks are back.
"""

import asyncio
import subprocess
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import KubeError
from controller.clients.kube.informer import list_all
from controller.clients.kube.resources import Key, Resource
from native.components import Binaries
from native.controlplane import ControlPlane
from tests.governed import Cluster, TestAgent, governed_cluster, new_agent
from tour.governor import COMMAND

pytestmark = pytest.mark.integration

EACH = 100
HELD = 20
"""ConfigMaps and Pods that are there already, for the agent to try itself on."""
AT_ONCE = 16

CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
EVENTS = Resource("", "v1", "events", "Event", namespaced=True)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)

Write = Callable[[], Awaitable[object]]


@pytest.fixture
def mortal(binaries: Binaries, tmp_path: Path) -> Iterator[Cluster]:
    """A governed cluster of this test's own: its webhooks are going to die."""
    with governed_cluster(tmp_path, binaries) as cluster:
        yield cluster


@dataclass(frozen=True, slots=True)
class Someone:
    """Writes to one namespace as one identity."""

    client: KubeClient
    namespace: str

    def create(self, resource: Resource, name: str, **body: object) -> Awaitable[Object]:
        """Create one object with these fields."""
        return self.client.create(resource, self._object(resource, name, **body))

    def replace(self, resource: Resource, name: str, **body: object) -> Awaitable[Object]:
        """Put another object in its place."""
        return self.client.replace(resource, self._object(resource, name, **body))

    def apply(self, resource: Resource, name: str, **body: object) -> Awaitable[Object]:
        """Apply it server-side."""
        return self.client.apply(resource, self._object(resource, name, **body))

    def delete(self, resource: Resource, name: str) -> Awaitable[None]:
        """Delete one object."""
        return self.client.delete(resource, Key(self.namespace, name))

    def patch_status(self, resource: Resource, name: str, **status: str) -> Awaitable[Object]:
        """Merge into its status."""
        return self.client.patch_status(resource, Key(self.namespace, name), status)

    def _object(self, resource: Resource, name: str, **body: object) -> Object:
        given: dict[str, object] = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name, "namespace": self.namespace},
            **body,
        }
        return cast("Object", given)


CONTAINERS = {"containers": [{"name": "c", "image": "registry.example.com/c:1"}]}
LABELS = {"app": "web"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": CONTAINERS}
DEPLOYMENT = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}


def an_event(by: Someone, name: str) -> Awaitable[Object]:
    about = {"kind": "ConfigMap", "namespace": by.namespace, "name": "x"}
    return by.create(EVENTS, name, involvedObject=about)


def writes_of_others(here: Someone, elsewhere: Someone) -> list[Write]:
    """Five hundred: people's, and of the kinds that controllers and nodes live by."""
    one_of_each: list[Callable[[int], Awaitable[object]]] = [
        lambda n: here.create(CONFIGMAPS, f"theirs-{n}", data={"n": str(n)}),
        lambda n: elsewhere.create(PODS, f"theirs-{n}", spec=CONTAINERS),
        lambda n: here.create(LEASES, f"theirs-{n}", spec={"holderIdentity": "them"}),
        lambda n: an_event(here, f"theirs-{n}"),
        lambda n: here.patch_status(PODS, f"held-{n % HELD}", message=f"seen {n} times"),
    ]
    return [partial(write, n) for n in range(EACH) for write in one_of_each]


def writes_of_the_agent(agent: Someone) -> list[Write]:
    """A hundred, of every operation and of several kinds."""
    creations: list[Callable[[int], Awaitable[object]]] = [
        lambda n: agent.create(CONFIGMAPS, f"ours-{n}"),
        lambda n: agent.create(PODS, f"ours-{n}", spec=CONTAINERS),
        lambda n: agent.create(DEPLOYMENTS, f"ours-{n}", spec=DEPLOYMENT),
        lambda n: agent.create(LEASES, f"ours-{n}"),
        lambda n: an_event(agent, f"ours-{n}"),
    ]
    changes: list[Callable[[int], Awaitable[object]]] = [
        lambda n: creations[n % len(creations)](n),
        lambda n: agent.replace(CONFIGMAPS, f"held-{n}", data={"n": "changed"}),
        lambda n: agent.apply(CONFIGMAPS, f"held-{n}", data={"n": "changed"}),
        lambda n: agent.patch_status(PODS, f"held-{n}", message="changed"),
        lambda n: agent.delete(CONFIGMAPS, f"held-{n}"),
    ]
    return [partial(change, n) for n in range(HELD) for change in changes]


async def faults_of(writes: Sequence[Write]) -> list[KubeError | None]:
    """Do all of them, a few at a time; what the API server said to each."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def fault_of(write: Write) -> KubeError | None:
        async with limit:
            try:
                await write()
            except KubeError as fault:
                return fault
            return None

    return await asyncio.gather(*map(fault_of, writes))


@dataclass(frozen=True, slots=True)
class Scene:
    """Who writes where."""

    person: Someone
    elsewhere: Someone
    """The same person, in a namespace without agents."""
    agent: Someone


@asynccontextmanager
async def scene(plane: ControlPlane, agent: TestAgent) -> AsyncGenerator[Scene]:
    """One connection pool each."""
    person = plane.kubeconfig_for_user("alice", ["system:masters"])
    own = plane.kubeconfig_for_service_account(agent.name, agent.name)
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(connect(Kubeconfig(person)))
        robot = await stack.enter_async_context(connect(Kubeconfig(own)))
        yield Scene(
            Someone(alice, agent.name), Someone(alice, "default"), Someone(robot, agent.name)
        )


async def versions(of: Someone) -> dict[str, str]:
    """Which ConfigMaps there are in the namespace, and in which version."""
    found = await list_all(of.client, CONFIGMAPS)
    parts = [cast("dict[str, str]", body["metadata"]) for body in found]
    return {
        part["name"]: part["resourceVersion"] for part in parts if part["namespace"] == of.namespace
    }


def try_subresources(plane: ControlPlane, agent: TestAgent) -> list[int]:
    """What is no plain write: a command in a Pod, an eviction, a token; the answers' statuses."""
    api = plane.api_for_service_account(agent.name, agent.name)
    core = f"/api/v1/namespaces/{agent.name}"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "held-0"}}
    token: dict[str, object] = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {},
    }
    return [
        api.call("POST", f"{core}/pods/held-0/exec?command=id&container=c&stdout=true").status,
        api.call("POST", f"{core}/pods/held-0/eviction", eviction).status,
        api.call("POST", f"{core}/serviceaccounts/default/token", token).status,
    ]


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
@pytest.mark.requirement("fail-closed.registration")
async def test_with_all_webhooks_dead_others_write_agents_do_not_and_the_kill_switch_works(
    mortal: Cluster,
) -> None:
    plane = mortal.plane
    agent = await asyncio.to_thread(new_agent, mortal)
    async with scene(plane, agent) as who:
        held = [
            *(partial(who.person.create, CONFIGMAPS, f"held-{n}") for n in range(HELD)),
            *(partial(who.person.create, PODS, f"held-{n}", spec=CONTAINERS) for n in range(HELD)),
        ]
        assert await faults_of(held) == [None] * len(held)
        before = await versions(who.person)
        mortal.governor.kill_webhook()
        started = time.monotonic()
        others, agents = await asyncio.gather(
            faults_of(writes_of_others(who.person, who.elsewhere)),
            faults_of(writes_of_the_agent(who.agent)),
        )
        tried = await asyncio.to_thread(try_subresources, plane, agent)
        seconds = time.monotonic() - started
        after = await versions(who.person)

    assert others == [None] * (5 * EACH)
    assert [None if fault is None else fault.status for fault in agents] == [500] * EACH
    assert all("failed calling webhook" in str(fault) for fault in agents)
    assert tried == [500, 500, 500]
    kept = {name: version for name, version in after.items() if not name.startswith("theirs-")}
    assert kept == before, "the agent changed, made and deleted nothing"
    assert seconds < 60

    suspended = await asyncio.to_thread(suspend, plane, agent)
    assert suspended.returncode == 0, suspended.stderr
    assert suspended.stdout.startswith(f"{agent.name} is suspended since")
    mortal.governor.restart_webhook()
    await asyncio.to_thread(mortal.wait_ready)
    refused = await asyncio.to_thread(agent.create_deployment, "web")
    assert refused.code == "suspended"


def suspend(plane: ControlPlane, agent: TestAgent) -> "subprocess.CompletedProcess[str]":
    """Run the command as the administrator."""
    command = [str(COMMAND), "suspend", agent.name, "--kubeconfig", str(plane.admin_kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
