"""What the asks of a write depend on: counted from watches, read when asked for, or not at all."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from controller.asks.asked import Needs, ObjectReference, Surroundings
from controller.clients.kube.client import Object
from controller.clients.kube.errors import NotFoundError, UnreachableError
from controller.clients.kube.resources import AUTOSCALERS, NODES, Key, Resource
from controller.feeds.surroundings import SurroundingsFeed
from tests.engines import becomes
from tests.fakes.shelves import Shelves

WEB = ObjectReference("apps", "v1", "deployments", "team-data", "web", "uid-of-web")


def an_object(name: str, *, namespace: str = "", uid: str = "") -> Object:
    metadata: Object = {"name": name, "uid": uid or f"uid-of-{name}", "resourceVersion": "7"}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata}


def some_nodes(number: int) -> tuple[Object, ...]:
    return tuple(an_object(f"node-{each}") for each in range(number))


class ScriptedCluster(Shelves):
    """Nodes and autoscalers that come and go, and one object that is read."""

    def __init__(
        self,
        nodes: tuple[Object, ...] = (),
        *,
        autoscalers: tuple[Object, ...] = (),
        stored: Object | Exception | None = None,
    ) -> None:
        super().__init__(NODES, AUTOSCALERS)
        self.stored = an_object("web") if stored is None else stored
        self.asked: list[tuple[Resource, Key]] = []
        for node in nodes:
            self.put(NODES, node)
        for autoscaler in autoscalers:
            self.put(AUTOSCALERS, autoscaler)

    async def get(self, resource: Resource, key: Key) -> Object:
        """As scripted."""
        self.asked.append((resource, key))
        if isinstance(self.stored, Exception):
            raise self.stored
        return self.stored


@contextlib.asynccontextmanager
async def following(cluster: ScriptedCluster) -> AsyncGenerator[SurroundingsFeed, None]:
    """A feed that has listed everything."""
    feed = SurroundingsFeed(cluster)
    task = asyncio.create_task(feed.run())
    try:
        await becomes(lambda: not feed.missing())
        yield feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def gathered(feed: SurroundingsFeed, needs: Needs) -> Surroundings:
    return await feed.gather(needs, namespace="team-data")


async def test_a_write_that_needs_nothing_costs_no_read() -> None:
    cluster = ScriptedCluster(some_nodes(3))
    async with following(cluster) as feed:
        assert await gathered(feed, Needs()) == Surroundings()
    assert cluster.asked == []


async def test_nodes_are_counted_as_they_come_and_go() -> None:
    cluster = ScriptedCluster(some_nodes(3))
    async with following(cluster) as feed:
        assert (await gathered(feed, Needs(nodes=True))).nodes == 3
        cluster.delete(NODES, "node-0")
        await becomes(lambda: cluster.shelves[NODES].events.empty())
        assert (await gathered(feed, Needs(nodes=True))).nodes == 2


async def test_only_the_autoscalers_of_the_namespace_are_told() -> None:
    here, there = an_object("a", namespace="team-data"), an_object("b", namespace="other")
    cluster = ScriptedCluster(autoscalers=(here, there))
    async with following(cluster) as feed:
        told = (await gathered(feed, Needs(autoscalers=True))).autoscalers
    assert told == (cluster.shelves[AUTOSCALERS].objects["a"],)


async def test_the_object_that_is_scaled_is_read_as_it_is_stored_now() -> None:
    cluster = ScriptedCluster()
    async with following(cluster) as feed:
        assert (await gathered(feed, Needs(scaled=WEB))).scaled == cluster.stored
    [(resource, key)] = cluster.asked
    assert (resource.group, resource.plural) == ("apps", "deployments")
    assert key == Key("team-data", "web")


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(NotFoundError("there is none"), id="there is none"),
        pytest.param(an_object("web", uid="another"), id="another one of that name"),
    ],
)
async def test_an_object_that_is_not_there_is_told_as_none(stored: Object | Exception) -> None:
    async with following(ScriptedCluster(stored=stored)) as feed:
        assert (await gathered(feed, Needs(scaled=WEB))).scaled is None


async def test_an_object_that_cannot_be_read_is_no_object_that_is_not_there() -> None:
    async with following(ScriptedCluster(stored=UnreachableError("down"))) as feed:
        with pytest.raises(UnreachableError):
            await gathered(feed, Needs(scaled=WEB))


def test_what_is_not_listed_yet_is_named() -> None:
    missing = SurroundingsFeed(ScriptedCluster()).missing()
    assert [text.partition(":")[0] for text in missing] == [NODES.plural, AUTOSCALERS.plural]
