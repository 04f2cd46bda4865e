"""The informer against a real API server: lists, events, gaps, restarts, dead connections.

The connection runs through a gate, a TCP relay that the tests close and open.
"""

import asyncio
import contextlib
import itertools
import json
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import KubeClient, Object, Page
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import ExpiredError, NotFoundError, UnreachableError
from controller.clients.kube.informer import Chance, Informer, ListsAndWatches, Pace
from controller.clients.kube.resources import Key, Resource
from controller.clients.kube.transport import Query
from native.components import Binaries, Component, Options
from native.controlplane import ControlPlane
from tests.outages import Gate, compact
from tests.waiting import eventually

if TYPE_CHECKING:
    from controller.clients.kube.store import Change

pytestmark = pytest.mark.integration

CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
WIDGETS = Resource("example.com", "v1", "widgets", "Widget", namespaced=False)
QUICK = Pace(page_size=10, silence=5.0, backoff=Backoff(first=0.05, longest=0.2))


@pytest.fixture(scope="module")
def plane(
    kubernetes_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """Its own etcd and API server, since these tests kill them."""
    directory = tmp_path_factory.mktemp("informer-plane")
    options = Options(components=frozenset(), unsafe_no_fsync=True)
    binaries = Binaries.single(kubernetes_binary)
    with ControlPlane.start(directory, binaries=binaries, options=options) as running:
        yield running


@pytest.fixture
async def gate(plane: ControlPlane) -> AsyncIterator[tuple[Gate, Path]]:
    """An open gate, and the kubeconfig that goes through it."""
    relay = Gate(plane.site.ports.api_server)
    port = await relay.start()
    content = plane.admin_kubeconfig.read_text(encoding="utf-8")
    through = plane.site.directory / f"gate-{port}.yaml"
    through.write_text(content.replace(plane.url, f"https://127.0.0.1:{port}"), encoding="utf-8")
    yield relay, through
    await relay.stop()


class CountingLists:
    """A client that knows how often it listed."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self.watch = client.watch
        self.lists = 0

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
    ) -> Page:
        """Count, and pass on."""
        self.lists += 1
        return await self._client.list_page(
            resource,
            namespace=namespace,
            limit=limit,
            continue_token=continue_token,
            selectors=selectors,
        )


class Watched:
    """A running informer of the ConfigMaps of one namespace, and what it told."""

    def __init__(
        self,
        client: ListsAndWatches,
        namespace: str,
        pace: Pace = QUICK,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.informer = Informer(
            client,
            CONFIGMAPS,
            _data,
            namespace=namespace,
            pace=pace,
            chance=Chance(sleep=sleep),
        )
        self.told: list[Change[str]] = []
        self.informer.subscribe(self.told.append)

    @property
    def names(self) -> set[str]:
        """The names of the objects in the store."""
        return {key.name for key in self.informer.snapshot()}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run it for as long as the block lasts."""
        task = asyncio.create_task(self.informer.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def synced(self) -> None:
        """Wait for the first list."""
        await asyncio.wait_for(self.informer.synced.wait(), 20)


def _data(body: Object) -> str:
    return json.dumps(body.get("data"), sort_keys=True)


async def until(holds: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(eventually, holds, what)


_numbers = itertools.count()


@pytest.fixture
def namespace(plane: ControlPlane) -> str:
    """A namespace of its own; there is no controller to delete it."""
    name = f"informer-{next(_numbers)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert plane.admin.call("POST", "/api/v1/namespaces", body).ok
    return name


def put(plane: ControlPlane, namespace: str, name: str, value: str = "1") -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"v": value},
    }
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    answer = plane.admin.call("POST", path, body)
    if answer.status == 409:
        answer = plane.admin.call("PUT", f"{path}/{name}", body)
    assert answer.ok, answer.text


def delete(plane: ControlPlane, namespace: str, name: str) -> None:
    answer = plane.admin.call("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    assert answer.ok, answer.text


async def test_the_first_list_spans_pages_and_is_whole_when_synced_is_set(
    plane: ControlPlane, namespace: str
) -> None:
    for number in range(25):
        put(plane, namespace, f"cm-{number}")
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
        watched = Watched(client, namespace)
        async with watched.running():
            await watched.synced()
            assert watched.names == {f"cm-{number}" for number in range(25)}
            assert len(watched.told) == 25


async def test_creation_change_and_deletion_are_told_in_order_with_both_values(
    plane: ControlPlane, namespace: str
) -> None:
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
        watched = Watched(client, namespace)
        async with watched.running():
            await watched.synced()
            put(plane, namespace, "one", "first")
            put(plane, namespace, "one", "second")
            delete(plane, namespace, "one")
            await until(lambda: len(watched.told) == 3, "three changes")
    told = [(c.old.value if c.old else None, c.new.value if c.new else None) for c in watched.told]
    first, second = '{"v": "first"}', '{"v": "second"}'
    assert told == [(None, first), (first, second), (second, None)]
    assert watched.informer.get(Key(namespace, "one")) is None


async def test_a_broken_connection_is_resumed_without_a_list_and_without_a_loss(
    plane: ControlPlane, namespace: str, gate: tuple[Gate, Path]
) -> None:
    relay, kubeconfig = gate
    async with connect(Kubeconfig(kubeconfig)) as client:
        counting = CountingLists(client)
        watched = Watched(counting, namespace)
        async with watched.running():
            await watched.synced()
            put(plane, namespace, "stays")
            put(plane, namespace, "goes")
            await until(lambda: watched.names == {"stays", "goes"}, "both")
            relay.close()
            await until(lambda: watched.informer.fault, "the break is noticed")
            delete(plane, namespace, "goes")
            put(plane, namespace, "comes")
            assert watched.names == {"stays", "goes"}
            relay.open()
            await until(lambda: watched.names == {"stays", "comes"}, "what happened meanwhile")
            assert watched.informer.fault is None
    assert counting.lists == 1


async def test_a_connection_that_falls_silent_is_given_up(
    plane: ControlPlane, namespace: str, gate: tuple[Gate, Path]
) -> None:
    relay, kubeconfig = gate
    async with connect(Kubeconfig(kubeconfig)) as client:
        watched = Watched(client, namespace, Pace(silence=0.5, backoff=QUICK.backoff))
        async with watched.running():
            await watched.synced()
            relay.freeze()
            put(plane, namespace, "unheard")
            await until(lambda: watched.informer.fault, "the silence is noticed")
            relay.open()
            await until(lambda: watched.names == {"unheard"}, "it is heard after all")


async def test_an_idle_watch_is_kept_alive_by_bookmarks_and_moves_its_position(
    plane: ControlPlane, namespace: str
) -> None:
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
        # A watch's last seconds bring a bookmark, whatever the server's own frequency.
        watched = Watched(client, namespace, Pace(lasting=3, backoff=QUICK.backoff))
        async with watched.running():
            await watched.synced()
            before = watched.informer.resource_version
            put(plane, "default", f"elsewhere-{namespace}")
            await until(lambda: watched.informer.resource_version != before, "a bookmark")
    assert watched.told == []


async def test_an_api_server_that_is_killed_and_restarted_leaves_the_store_and_tells_the_gap(
    plane: ControlPlane, namespace: str, gate: tuple[Gate, Path]
) -> None:
    relay, kubeconfig = gate
    faults: list[type[object]] = []
    is_back = asyncio.Event()

    async def wait_until_it_is_back(_seconds: float) -> None:
        faults.append(type(watched.informer.fault))
        await is_back.wait()

    async with connect(Kubeconfig(kubeconfig)) as client:
        counting = CountingLists(client)
        watched = Watched(counting, namespace, sleep=wait_until_it_is_back)
        async with watched.running():
            await watched.synced()
            for name in ("stays", "changes", "goes", "is-made-anew"):
                put(plane, namespace, name)
            await until(lambda: len(watched.names) == 4, "four")
            watched.told.clear()
            relay.close()
            delete(plane, namespace, "goes")
            delete(plane, namespace, "is-made-anew")
            put(plane, namespace, "is-made-anew")
            put(plane, namespace, "changes", "2")
            put(plane, namespace, "comes")
            compact(plane.site)
            plane.send(Component.API_SERVER, signal.SIGKILL)
            await asyncio.to_thread(plane.restart, Component.API_SERVER)
            await asyncio.to_thread(plane.wait_ready)
            assert watched.names == {"stays", "changes", "goes", "is-made-anew"}
            assert watched.told == []
            relay.open()
            is_back.set()
            await until(lambda: len(watched.told) == 5, "the gap")
    assert {(c.key.name, c.old is not None, c.new is not None) for c in watched.told} == {
        ("goes", True, False),
        ("is-made-anew", True, False),
        ("is-made-anew", False, True),
        ("changes", True, True),
        ("comes", False, True),
    }
    # Resumed, told that its version is compacted away (410), listed again.
    assert faults == [UnreachableError, ExpiredError]
    assert counting.lists == 2


async def test_an_informer_that_starts_before_its_crd_syncs_once_it_is_there(
    plane: ControlPlane,
) -> None:
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
        informer = Informer(client, WIDGETS, lambda body: body, pace=QUICK)
        task = asyncio.create_task(informer.run())
        await until(lambda: isinstance(informer.fault, NotFoundError), "the CRD is missed")
        assert not informer.synced.is_set()
        crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        assert plane.admin.call("POST", crd, _widget_crd()).ok
        await asyncio.wait_for(informer.synced.wait(), 20)
        task.cancel()


async def test_an_informer_that_starts_before_the_api_server_answers_syncs_once_it_does(
    plane: ControlPlane, namespace: str, gate: tuple[Gate, Path]
) -> None:
    relay, kubeconfig = gate
    relay.close()
    put(plane, namespace, "there")
    async with connect(Kubeconfig(kubeconfig)) as client:
        watched = Watched(client, namespace)
        async with watched.running():
            await until(
                lambda: isinstance(watched.informer.fault, UnreachableError), "it is unreachable"
            )
            relay.open()
            await watched.synced()
            assert watched.names == {"there"}


async def test_an_event_larger_than_the_transports_own_line_buffer_arrives(
    plane: ControlPlane, namespace: str
) -> None:
    # Control characters take six bytes each in JSON: 900 KB become 5.4 MB, beyond aiohttp's
    # 4 MiB. In two halves, since the API server takes no body above 3 MiB.
    path = f"/api/v1/namespaces/{namespace}/configmaps/large"
    half = {"data": {"w": "\x01" * 450_000}}
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
        watched = Watched(client, namespace)
        async with watched.running():
            await watched.synced()
            put(plane, namespace, "large", "\x01" * 450_000)
            merge = "application/merge-patch+json"
            assert plane.admin.call("PATCH", path, half, content_type=merge).ok
            put(plane, namespace, "after")
            await until(lambda: watched.names == {"large", "after"}, "both")
            assert watched.informer.fault is None
    large = watched.informer.get(Key(namespace, "large"))
    assert large is not None
    assert len(large.value) > 5_000_000


def _widget_crd() -> dict[str, object]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
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
            "scope": "Cluster",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [version],
        },
    }
