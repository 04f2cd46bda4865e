"""Histories and discovery on a real API server: exact starts, gaps, bookmarks, kinds that go."""

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from controller.accounts.entries import WatchedKind
from controller.accounts.views import KindView, Version
from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.discovery import Discovery
from controller.clients.kube.errors import ExpiredError, NotFoundError
from controller.clients.kube.exact import newest_version, pages_at
from controller.clients.kube.resources import Key, Resource
from controller.records.content import content_digest
from native.components import Binaries, Component, Options
from native.controlplane import ControlPlane
from reconcilers.histories import Histories, History
from tests.outages import Gate, compact
from tests.settling import (
    CONFIGMAPS,
    CONTENT_KEY,
    QUICK,
    a_configmap,
    kind_of,
    metadata_of,
    project,
    with_value,
)

pytestmark = pytest.mark.integration

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)


@pytest.fixture(scope="module")
def plane(
    kubernetes_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """Its own etcd and API server, since these tests make them forget."""
    directory = tmp_path_factory.mktemp("histories-plane")
    options = Options(components=frozenset(), unsafe_no_fsync=True)
    binaries = Binaries.single(kubernetes_binary)
    with ControlPlane.start(directory, binaries=binaries, options=options) as running:
        yield running


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """An administrator."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as connected:
        yield connected


_numbers = itertools.count()


@pytest.fixture
def namespace(plane: ControlPlane) -> str:
    """A namespace of its own; there is no controller to delete it."""
    name = f"histories-{next(_numbers)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert plane.admin.call("POST", "/api/v1/namespaces", body).ok
    return name


@contextlib.asynccontextmanager
async def following(
    client: KubeClient, resource: Resource = CONFIGMAPS, *, start: int = 0
) -> AsyncGenerator[History]:
    """Run one history for as long as the block lasts, from its first list on."""
    history = History(client, resource, project, on_news=lambda _: None, start=start, pace=QUICK)
    task = asyncio.create_task(history.run())
    await until(lambda: history.view() is not None, "the first list")
    try:
        yield history
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], object], what: str, *, within: float = 30.0) -> None:
    """Wait for a condition; fail after the deadline."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        await asyncio.sleep(0.02)


def view_of(history: History) -> KindView:
    view = history.view()
    assert view is not None
    return view


async def seen(history: History, version: int) -> None:
    await until(lambda: view_of(history).seen_to >= version, f"version {version}")


def versions(history: History, body: Object) -> tuple[Version, ...]:
    """What is known of an object."""
    return view_of(history).objects.get(str(metadata_of(body)["uid"]), ())


def number(body: Object) -> int:
    """Its resource version."""
    return int(str(metadata_of(body)["resourceVersion"]))


async def rewrite(client: KubeClient, body: Object, value: str) -> Object:
    return await client.replace(CONFIGMAPS, with_value(body, value))


async def delete(client: KubeClient, body: Object) -> None:
    metadata = metadata_of(body)
    await client.delete(CONFIGMAPS, Key(str(metadata["namespace"]), str(metadata["name"])))


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_a_history_that_begins_in_the_past_has_every_version_since(
    client: KubeClient, namespace: str
) -> None:
    first = await client.create(CONFIGMAPS, a_configmap(namespace, "cm"))
    for count in range(12):
        await client.create(CONFIGMAPS, a_configmap(namespace, f"other-{count}"))
    start = number(first)
    second = await rewrite(client, first, "2")
    third = await rewrite(client, second, "3")
    await delete(client, third)
    async with following(client, start=start) as history:
        await seen(history, number(third) + 1)
        view = view_of(history)
        found = versions(history, first)
    assert view.listed_at == start
    assert [version.version for version in found[:3]] == [number(b) for b in (first, second, third)]
    assert [version.is_deleted for version in found] == [False, False, False, True]
    # A deletion has a version of its own, and the content that ended with it.
    assert found[3].version > found[2].version
    assert found[3].digest == found[2].digest == content_digest(third, key=CONTENT_KEY)


async def test_a_list_at_a_version_is_of_that_version_on_every_page(
    client: KubeClient, namespace: str
) -> None:
    bodies = [
        await client.create(CONFIGMAPS, a_configmap(namespace, f"cm-{count}")) for count in range(7)
    ]
    at = number(bodies[-1])
    for body in bodies:
        await delete(client, body)
    pages = [page async for page in pages_at(client, CONFIGMAPS, version=at, limit=3)]
    assert len(pages) >= 3
    assert {page.resource_version for page in pages} == {str(at)}
    listed = {str(metadata_of(body)["uid"]) for page in pages for body in page.items}
    assert {str(metadata_of(body)["uid"]) for body in bodies} <= listed


async def test_an_object_that_its_finalizers_hold_is_ending_until_it_is_deleted(
    client: KubeClient, namespace: str
) -> None:
    async with following(client) as history:
        body = a_configmap(namespace, "held")
        metadata_of(body)["finalizers"] = ["example.com/held"]
        stored = await client.create(CONFIGMAPS, body)
        await delete(client, stored)
        ending = await client.get(CONFIGMAPS, Key(namespace, "held"))
        metadata_of(ending)["finalizers"] = []
        await client.replace(CONFIGMAPS, ending)
        await until(lambda: len(versions(history, stored)) == 3, "three versions")
        found = versions(history, stored)
    assert [version.is_ending for version in found] == [False, True, True]
    assert [version.is_deleted for version in found] == [False, False, True]


@pytest.mark.requirement("never-oversold.clock-after-watch")
async def test_a_kind_in_which_nothing_happens_is_seen_as_far_as_a_quorum_read_is(
    client: KubeClient, namespace: str
) -> None:
    async with following(client, LEASES) as history:
        before = view_of(history).seen_to
        elsewhere = await client.create(CONFIGMAPS, a_configmap(namespace, "elsewhere"))
        newest = await newest_version(client, LEASES)
        assert newest >= number(elsewhere) > before
        # The API server tells the position before it ends a watch.
        await seen(history, newest)


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_a_broken_connection_is_no_gap_and_versions_forgotten_meanwhile_are_one(
    plane: ControlPlane, namespace: str
) -> None:
    relay = Gate(plane.site.ports.api_server)
    port = await relay.start()
    content = plane.admin_kubeconfig.read_text(encoding="utf-8")
    through = plane.site.directory / "histories-gate.yaml"
    through.write_text(content.replace(plane.url, f"https://127.0.0.1:{port}"), encoding="utf-8")
    async with (
        connect(Kubeconfig(plane.admin_kubeconfig)) as beside,
        connect(Kubeconfig(through)) as client,
        following(client) as history,
    ):
        stays = await beside.create(CONFIGMAPS, a_configmap(namespace, "stays"))
        goes = await beside.create(CONFIGMAPS, a_configmap(namespace, "goes"))
        await seen(history, number(goes))
        listed_at = view_of(history).listed_at
        relay.close()
        await until(lambda: history.fault, "the break is noticed")
        second = await rewrite(beside, stays, "2")
        third = await rewrite(beside, second, "3")
        relay.open()
        await seen(history, number(third))
        assert view_of(history).listed_at == listed_at
        assert [v.version for v in versions(history, stays)] == [
            number(body) for body in (stays, second, third)
        ]
        relay.close()
        await until(lambda: history.fault, "the break is noticed")
        fourth = await rewrite(beside, third, "4")
        fifth = await rewrite(beside, fourth, "5")
        await delete(beside, goes)
        compact(plane.site)
        plane.send(Component.API_SERVER, signal.SIGKILL)
        await asyncio.to_thread(plane.restart, Component.API_SERVER)
        await asyncio.to_thread(plane.wait_ready)
        relay.open()
        await until(lambda: view_of(history).listed_at > number(fifth), "listed anew")
        assert [v.version for v in versions(history, stays)] == [number(fifth)]
        assert versions(history, goes) == ()
    await relay.stop()


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_a_version_that_the_api_server_forgot_is_refused_as_expired(
    plane: ControlPlane, client: KubeClient, namespace: str
) -> None:
    first = await client.create(CONFIGMAPS, a_configmap(namespace, "cm"))
    await rewrite(client, first, "2")
    compact(plane.site)
    plane.send(Component.API_SERVER, signal.SIGKILL)
    await asyncio.to_thread(plane.restart, Component.API_SERVER)
    await asyncio.to_thread(plane.wait_ready)
    with pytest.raises(ExpiredError):
        _ = [page async for page in pages_at(client, CONFIGMAPS, version=number(first))]
    async with following(client, start=number(first)) as history:
        assert view_of(history).listed_at > number(first)


@pytest.mark.parametrize(
    ("kind", "namespaced", "watchable"),
    [
        pytest.param(WatchedKind("", "v1", "pods"), True, True, id="pods"),
        pytest.param(WatchedKind("", "v1", "secrets"), True, True, id="secrets"),
        pytest.param(WatchedKind("", "v1", "nodes"), False, True, id="nodes"),
        pytest.param(WatchedKind("apps", "v1", "deployments"), True, True, id="deployments"),
        pytest.param(WatchedKind("batch", "v1", "cronjobs"), True, True, id="cronjobs"),
        pytest.param(WatchedKind("autoscaling", "v1", "horizontalpodautoscalers"), True, True),
        pytest.param(WatchedKind("autoscaling", "v2", "horizontalpodautoscalers"), True, True),
        pytest.param(
            WatchedKind("apiextensions.k8s.io", "v1", "customresourcedefinitions"), False, True
        ),
        pytest.param(WatchedKind("", "v1", "bindings"), True, False, id="bindings"),
        pytest.param(
            WatchedKind("authorization.k8s.io", "v1", "subjectaccessreviews"), False, False
        ),
    ],
)
async def test_what_is_served_is_discovered(
    client: KubeClient, kind: WatchedKind, *, namespaced: bool, watchable: bool
) -> None:
    found = await Discovery(client).find(*kind)
    assert found is not None
    assert kind_of(found.resource) == kind
    assert found.resource.namespaced is namespaced
    assert found.is_watchable is watchable


async def test_the_api_servers_preference_is_taken(client: KubeClient) -> None:
    discovery = Discovery(client)
    scaler = await discovery.prefer("autoscaling", "horizontalpodautoscalers")
    pods = await discovery.prefer("", "pods")
    assert scaler is not None
    assert scaler.resource.version == "v2"
    assert pods is not None
    assert pods.subresources >= {"exec", "eviction", "status", "binding"}
    assert await discovery.prefer("no.such.group", "pods") is None
    assert await discovery.prefer("apps", "no-such-things") is None


@pytest.mark.requirement("never-oversold.unserved-proven")
@pytest.mark.parametrize(
    ("kind", "is_watched"),
    [
        pytest.param(WatchedKind("", "v1", "configmaps"), True, id="served"),
        pytest.param(WatchedKind("", "v1", "bindings"), False, id="never listed"),
        pytest.param(WatchedKind("", "v1", "widgets"), False, id="no such resource"),
        pytest.param(WatchedKind("apps", "v1beta1", "deployments"), False, id="an old version"),
        pytest.param(WatchedKind("example.com", "v1", "widgets"), False, id="no such group"),
    ],
)
async def test_only_what_is_served_is_watched_and_the_rest_is_known_to_be_unwatchable(
    client: KubeClient, kind: WatchedKind, *, is_watched: bool
) -> None:
    histories = Histories(client, Discovery(client), project, pace=QUICK)
    task = asyncio.create_task(histories.run())
    assert await histories.watch(kind, start=0) is is_watched
    task.cancel()


async def test_a_path_that_is_not_served_is_not_found(client: KubeClient) -> None:
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: client.discover("/apis/example.com/v1"),
        lambda: client.discover("/apis/example.com"),
        lambda: newest_version(
            client, Resource("example.com", "v1", "widgets", "", namespaced=True)
        ),
    ]
    for ask in asked:
        with pytest.raises(NotFoundError):
            await ask()
