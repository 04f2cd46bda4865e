"""Objects that the API server stores and most readers of JSON refuse: one must blind nobody.

Whoever may write a ControllerRevision, or a custom resource, in any namespace can store one.
"""

import asyncio
import contextlib
import http.client
import itertools
import json
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest

from controller.accounts.account import Account
from controller.accounts.entries import Action, Entry, Outcome
from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.informer import Informer, list_all
from controller.clients.kube.resources import Key, Resource
from controller.records.content import content_digest
from native.controlplane import ControlPlane
from reconcilers.histories import History
from tests.governed import TestAgent
from tests.settling import (
    CONTENT_KEY,
    QUICK,
    Agent,
    a_change,
    an_entry_for,
    kind_of,
    lone_api_server,
    metadata_of,
    project,
    settling,
    stamped,
)
from tests.waiting import eventually

pytestmark = pytest.mark.integration

REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision", namespaced=True)
WIDGETS = Resource("example.com", "v1", "oddities", "Oddity", namespaced=True)
T = TypeVar("T")
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "oddities.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "oddities", "singular": "oddity", "kind": "Oddity"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}

ODD = [
    pytest.param(WIDGETS, b'{"a":' * 1_200 + b"1" + b"}" * 1_200, id="1,200 levels"),
    pytest.param(WIDGETS, b"[" * 9_000 + b"]" * 9_000, id="9,000 levels"),
    pytest.param(REVISIONS, b'{"a":"\\ud800"}', id="half of a surrogate pair"),
    pytest.param(REVISIONS, b'{"a":"\xff"}', id="no UTF-8"),
    pytest.param(REVISIONS, b'{"a":' * 9_000 + b"1" + b"}" * 9_000, id="a revision so deep"),
]


@pytest.fixture(scope="module")
def plane(
    kubernetes_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """These tests' own."""
    with lone_api_server(tmp_path_factory.mktemp("odd-plane"), kubernetes_binary) as running:
        running.kubectl("apply", "-f", "-", stdin=json.dumps(CRD)).require_ok()
        running.kubectl("wait", "--for=condition=Established", "crd", "--all").require_ok()
        path = WIDGETS.collection_path("")
        eventually(lambda: running.admin.call("GET", path).ok, "the custom resource is served")
        yield running


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """An administrator."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as connected:
        yield connected


_numbers = itertools.count()


@pytest.fixture
async def writer(plane: ControlPlane, client: KubeClient) -> AsyncIterator[Agent]:
    """An agent with a namespace of its own; there is no controller to delete that."""
    name = f"odd-{next(_numbers)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert plane.admin.call("POST", "/api/v1/namespaces", body).ok
    yield Agent(client, name, name)
    plane.admin.call("DELETE", f"/apis/governor.dev/v1alpha1/mandates/{name}")
    plane.admin.call("DELETE", f"/apis/governor.dev/v1alpha1/accounts/{name}")


def an_object(resource: Resource, namespace: str, name: str) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace},
        "data": {"v": "1"},
        "revision": 1,
    }


def store(plane: ControlPlane, resource: Resource, *, namespace: str, data: bytes) -> None:
    """Have the API server store an object named `odd`, byte for byte as it is given."""
    written = json.dumps(an_object(resource, namespace, "odd")).encode()
    admin, address = plane.admin, urlsplit(plane.url)
    context = ssl.create_default_context(cafile=str(admin.authority))
    assert admin.certificate is not None
    context.load_cert_chain(admin.certificate, admin.key)
    connection = http.client.HTTPSConnection(
        address.hostname or "", address.port, timeout=30, context=context
    )
    with contextlib.closing(connection):
        body = written.replace(b'{"v": "1"}', data)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", resource.collection_path(namespace), body, headers)
        answer = connection.getresponse()
        assert (answer.status, data in answer.read()) == (201, True)


async def until(asked: Callable[[], Awaitable[T]], what: str, *, within: float = 30.0) -> T:
    """Ask until the answer is true; fail after the deadline."""
    deadline = time.monotonic() + within
    while not (answer := await asked()):
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        await asyncio.sleep(0.02)
    return answer


@contextlib.asynccontextmanager
async def following(client: KubeClient, resource: Resource) -> AsyncGenerator["Both"]:
    """A history and an informer of one kind, for as long as the block lasts."""
    both = Both(client, resource)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(part.run()) for part in (both.history, both.informer)]
        await both.know()
        yield both
        for task in running:
            task.cancel()


class Both:
    """A history and an informer, and what they know by name."""

    def __init__(self, client: KubeClient, resource: Resource) -> None:
        self.history = History(client, resource, project, on_news=lambda _: None, pace=QUICK)
        kind = kind_of(resource)
        self.informer = Informer(client, resource, lambda body: project(kind, body), pace=QUICK)

    async def know(self, *keys: Key) -> None:
        """Wait until both do."""

        async def known() -> bool:
            return self._know(keys)

        await until(known, f"{keys} known")

    def digest(self, key: Key) -> str:
        """Of the object, as both see it."""
        known = self.informer.get(key)
        assert known is not None
        return known.value.digest

    def _know(self, keys: tuple[Key, ...]) -> bool:
        view = self.history.view()
        if view is None or not self.informer.synced.is_set():
            return False
        newest = [versions[-1] for versions in view.objects.values()]
        names = {Key(version.namespace, version.name) for version in newest}
        return names.issuperset(keys) and all(self.informer.get(key) for key in keys)


@pytest.mark.requirement("record-before-effect.gaps-known")
@pytest.mark.parametrize(("resource", "data"), ODD)
async def test_a_kind_is_followed_past_an_object_that_only_few_can_read(
    plane: ControlPlane,
    client: KubeClient,
    writer: Agent,
    resource: Resource,
    data: bytes,
) -> None:
    space = writer.namespace
    odd, later = Key(space, "odd"), Key(space, "later")
    async with following(client, resource) as watching:
        store(plane, resource, namespace=space, data=data)
        await client.create(resource, an_object(resource, space, "later"))
        await watching.know(odd, later)
        assert watching.history.fault is watching.informer.fault is None
        assert watching.digest(odd) == ""
        assert watching.digest(later)
        watched = watching.digest(later)
    async with following(client, resource) as listing:
        await listing.know(odd, later)
        assert (listing.digest(odd), listing.digest(later)) == ("", watched)
    names = [metadata_of(body)["name"] for body in await list_all(client, resource)]
    assert {"odd", "later"} <= set(names)
    assert metadata_of(await client.get(resource, odd))["name"] == "odd"
    await client.delete(resource, odd)


async def counted(agent: Agent) -> Account:
    """Give the agent its mandate, and wait for its account."""
    await agent.mandate()

    async def account() -> Account | None:
        found = await agent.account()
        return found if found is not None and found.as_of else None

    found = await until(account, "an account that counts")
    assert found is not None
    return found


async def becomes(agent: Agent, entry: Entry) -> Outcome | None:
    """Wait for what became of a write."""
    return await until(lambda: agent.outcome(entry), "an outcome")


async def create(client: KubeClient, agent: Agent, resource: Resource, name: str) -> Entry:
    """An agent's create, entered and carried out."""
    change = a_change()
    stored = await client.create(
        resource, stamped(an_object(resource, agent.namespace, name), change)
    )
    entry = an_entry_for(stored, change, action=Action.CREATE, resource=resource)
    return await agent.enter(replace(entry, digest=content_digest(stored, key=CONTENT_KEY)))


@pytest.mark.requirement("record-before-effect.gaps-known")
@pytest.mark.parametrize(("resource", "data"), [ODD[1], ODD[2]])
async def test_writes_of_such_a_kind_are_settled_also_by_who_settles_next(
    plane: ControlPlane,
    client: KubeClient,
    writer: Agent,
    resource: Resource,
    data: bytes,
) -> None:
    async with settling(client):
        await counted(writer)
        before = await create(client, writer, resource, "before")
        assert await becomes(writer, before) is Outcome.PERSISTED
        store(plane, resource, namespace=writer.namespace, data=data)
        during = await create(client, writer, resource, "during")
        assert await becomes(writer, during) is Outcome.PERSISTED
    missed = await create(client, writer, resource, "missed")
    async with settling(client):
        assert await becomes(writer, missed) is Outcome.PERSISTED
        after = await create(client, writer, resource, "after")
        assert await becomes(writer, after) is Outcome.PERSISTED
    await client.delete(resource, Key(writer.namespace, "odd"))


@pytest.mark.requirement("fail-closed.malformed-review")
@pytest.mark.parametrize(("resource", "data"), ODD[2:])
def test_an_agent_is_told_why_it_cannot_touch_such_an_object(
    agent: TestAgent, resource: Resource, data: bytes
) -> None:
    plane = agent.cluster.plane
    store(plane, resource, namespace=agent.name, data=data)
    answered = agent.kubectl("delete", "controllerrevision", "odd")
    assert not answered.passed
    assert "request-malformed" in answered.completed.stderr
    assert "half of a surrogate pair" in answered.completed.stderr
    plane.kubectl("-n", agent.name, "delete", "controllerrevision", "odd").require_ok()
