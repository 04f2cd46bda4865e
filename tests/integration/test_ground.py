"""Governor's namespace and priority level at the real API server: laid, kept, and missed."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from http.client import HTTPSConnection
from pathlib import Path
from ssl import create_default_context
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest

from controller.clients.kube.client import KubeClient
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.informer import ListsAndWatches
from controller.feeds.priority import FLOW_SCHEMAS, PRIORITY_LEVELS, PriorityFeed
from controller.registration.priority import GOVERNOR, NAMESPACE, PRIORITY_NAME
from native.components import Binaries, Component, Options
from native.controlplane import ControlPlane
from reconcilers.ground import NAMESPACES, Ground
from tests.shifts import until

pytestmark = [pytest.mark.integration, pytest.mark.requirement("fail-closed.own-priority")]

MERGE = "application/merge-patch+json"
LEVEL = f"{PRIORITY_LEVELS.collection_path()}/{PRIORITY_NAME}"
SCHEMA = f"{FLOW_SCHEMAS.collection_path()}/{PRIORITY_NAME}"
PLACE = f"{NAMESPACES.collection_path()}/{NAMESPACE}"
LENDS = {"spec": {"limited": {"lendablePercent": 100}}}


ACTED_UPON_SECONDS = 90.0
"""The API server says so up to five times a minute for one schema, then waits for 30 to 75 s."""


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane without our priority level, before and after all tests."""
    clear(control_plane)
    yield control_plane
    clear(control_plane)


def clear(plane: ControlPlane) -> None:
    """Take the level away."""
    for path in (SCHEMA, LEVEL):
        plane.admin.call("DELETE", path)


@pytest.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """A client of the administrator's."""
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as connected:
        yield connected


@contextlib.asynccontextmanager
async def running(*parts: Callable[[], Awaitable[NoReturn]]) -> AsyncGenerator[None]:
    """Runs them for the block."""
    tasks = [asyncio.ensure_future(part()) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def a_feed(client: ListsAndWatches, username: str = "admin") -> PriorityFeed:
    """One whose identity is known."""

    async def known() -> str:
        return username

    return PriorityFeed(client, known)


async def served(feed: PriorityFeed) -> None:
    """Wait until nothing is missing."""
    await until(lambda: not feed.missing(), within_seconds=ACTED_UPON_SECONDS)


def stored(plane: ControlPlane, path: str) -> Any:  # noqa: ANN401 -- the test knows what it expects
    """One object, or the Status that there is none."""
    return plane.admin.call("GET", path).json


async def test_the_ground_is_laid_and_acted_upon(plane: ControlPlane, client: KubeClient) -> None:
    clear(plane)
    ground, feed = Ground(client, ["admin"]), a_feed(client)
    async with running(feed.run):
        await until(lambda: any("there is no" in problem for problem in feed.missing()))
        assert [problem.partition(":")[0] for problem in feed.missing()] == [
            "priority level",
            "flow schema",
        ]
        async with running(ground.run):
            await asyncio.wait_for(ground.laid.wait(), 20)
            await served(feed)
    assert stored(plane, PLACE)["status"]["phase"] == "Active"


async def test_who_comes_second_finds_nothing_to_do(
    plane: ControlPlane, client: KubeClient
) -> None:
    first, second = Ground(client, ["admin"]), Ground(client, ["admin"])
    async with running(first.run):
        await asyncio.wait_for(first.laid.wait(), 20)
    before = [stored(plane, path)["metadata"].get("generation") for path in (LEVEL, SCHEMA)]
    level = stored(plane, LEVEL)["metadata"]["resourceVersion"]
    async with running(second.run):
        await asyncio.wait_for(second.laid.wait(), 20)
    assert [stored(plane, path)["metadata"].get("generation") for path in (LEVEL, SCHEMA)] == before
    assert stored(plane, LEVEL)["metadata"]["resourceVersion"] == level


EVERYBODY = {
    "subjects": [{"kind": "Group", "group": {"name": "system:authenticated"}}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


@pytest.mark.parametrize(
    ("path", "patch"),
    [
        pytest.param(LEVEL, LENDS, id="seats are lent"),
        pytest.param(
            LEVEL, {"spec": {"limited": {"borrowingLimitPercent": 0}}}, id="a field is added"
        ),
        pytest.param(SCHEMA, {"spec": {"rules": [EVERYBODY]}}, id="everybody is let in"),
        pytest.param(LEVEL, None, id="the level is deleted"),
        pytest.param(SCHEMA, None, id="the schema is deleted"),
    ],
)
async def test_what_is_changed_or_deleted_is_put_back(
    plane: ControlPlane, client: KubeClient, path: str, patch: dict[str, Any] | None
) -> None:
    ground, feed = Ground(client, ["admin"]), a_feed(client)
    async with running(ground.run, feed.run):
        await asyncio.wait_for(ground.laid.wait(), 20)
        before = stored(plane, path)["spec"]
        if patch is None:
            assert plane.admin.call("DELETE", path).ok
        else:
            changed = plane.admin.call("PATCH", path, patch, content_type=MERGE)
            assert changed.json["spec"] != before
        await until(lambda: stored(plane, path).get("spec") == before)
        await served(feed)


async def test_labels_and_annotations_of_others_stay(
    plane: ControlPlane, client: KubeClient
) -> None:
    ground = Ground(client, ["admin"])
    theirs = {"labels": {"team": "platform"}, "annotations": {"note": "ours too"}}
    async with running(ground.run):
        await asyncio.wait_for(ground.laid.wait(), 20)
        patched = {"metadata": theirs, **LENDS}
        assert plane.admin.call("PATCH", LEVEL, patched, content_type=MERGE).ok
        await until(lambda: stored(plane, LEVEL)["spec"]["limited"]["lendablePercent"] == 0)
    metadata = stored(plane, LEVEL)["metadata"]
    assert metadata["labels"] == {"team": "platform", "app.kubernetes.io/managed-by": "governor"}
    assert metadata["annotations"]["note"] == "ours too"


async def test_a_level_that_lends_its_seats_is_missed(
    plane: ControlPlane, client: KubeClient
) -> None:
    ground, feed = Ground(client, ["admin"]), a_feed(client)
    async with running(ground.run):
        await asyncio.wait_for(ground.laid.wait(), 20)
    async with running(feed.run):
        await served(feed)
        assert plane.admin.call("PATCH", LEVEL, LENDS, content_type=MERGE).ok
        lends = "priority level: governor lends its seats: set spec.limited.lendablePercent to 0"
        await until(lambda: feed.missing() == (lends,))


async def test_before_anything_is_known_all_of_it_is_missing(client: KubeClient) -> None:
    async def never() -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    feed, ground = PriorityFeed(client, never), Ground(client, ["admin"])
    assert feed.missing() == (
        "priority level: not listed yet",
        "flow schema: not listed yet",
    )
    async with running(feed.run, ground.run):
        unknown = "flow schema: the API server has not said yet who we are"
        await until(lambda: feed.missing() == (unknown,))


async def test_our_requests_are_seated_in_our_level_and_an_agents_are_not(
    plane: ControlPlane, client: KubeClient, namespace: str
) -> None:
    ground, feed = Ground(client, ["admin"]), a_feed(client, GOVERNOR)
    async with running(ground.run, feed.run):
        await asyncio.wait_for(ground.laid.wait(), 20)
        account = {"metadata": {"name": "governor", "namespace": NAMESPACE}}
        plane.admin.call("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
        await served(feed)
    ours = plane.service_account_token(NAMESPACE, "governor")
    agents = plane.service_account_token(namespace, "default")
    level = stored(plane, LEVEL)["metadata"]["uid"]
    assert seated_in(plane, ours) == level
    assert seated_in(plane, agents) not in {level, None}


def seated_in(plane: ControlPlane, token: str) -> str | None:
    """The uid of the priority level that a request with this token was seated in."""
    address = urlsplit(plane.url)
    connection = HTTPSConnection(
        str(address.hostname),
        address.port,
        timeout=20,
        context=create_default_context(cafile=str(plane.authority)),
    )
    with contextlib.closing(connection):
        path = "/api/v1/namespaces/default/configmaps"
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().headers.get("X-Kubernetes-PF-PriorityLevel-UID")


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        pytest.param(
            ["--enable-priority-and-fairness=false"],
            "flow schema: governor is not acted upon yet: the API server needs API Priority and "
            "Fairness (--enable-priority-and-fairness)",
            id="switched off",
        ),
        pytest.param(
            [
                "--enable-priority-and-fairness=false",
                "--runtime-config=flowcontrol.apiserver.k8s.io/v1=false",
            ],
            "priority level: the API server does not serve flowcontrol.apiserver.k8s.io/v1: "
            "enable that API, and API Priority and Fairness",
            id="not served",
        ),
    ],
)
async def test_an_api_server_without_priorities_is_named(
    binaries: Binaries, tmp_path: Path, arguments: list[str], missing: str
) -> None:
    options = Options(
        components=frozenset(),
        unsafe_no_fsync=True,
        extra_arguments={Component.API_SERVER: arguments},
    )
    starting = asyncio.to_thread(
        ControlPlane.start, tmp_path / "plane", binaries=binaries, options=options
    )
    with await starting as plane:
        async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
            feed, ground = a_feed(client), Ground(client, ["admin"])
            async with running(ground.run, feed.run):
                await until(lambda: missing in feed.missing())
                assert feed.missing()
