"""What the asks of a write depend on: counted from watches, read when asked for, or not at all."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

import orjson
import pytest

from controller.asks.asked import Needs, ObjectReference, Surroundings
from controller.clients.kube.client import Object, Page
from controller.clients.kube.errors import NotFoundError, UnreachableError
from controller.clients.kube.resources import AUTOSCALERS, NODES, Key, Resource
from controller.clients.kube.transport import Query
from controller.feeds.surroundings import SurroundingsFeed
from tests.engines import becomes

WEB = ObjectReference("apps", "v1", "deployments", "team-data", "web", "uid-of-web")


def an_object(name: str, *, namespace: str = "", uid: str = "") -> Object:
    metadata: Object = {"name": name, "uid": uid or f"uid-of-{name}", "resourceVersion": "7"}
    if namespace:
        metadata["namespace"] = namespace
    return {"metadata": metadata}


def some_nodes(number: int) -> tuple[Object, ...]:
    return tuple(an_object(f"node-{each}") for each in range(number))


@dataclass
class ScriptedCluster:
    """Lists nodes and autoscalers, tells events of nodes, and answers reads."""

    nodes: tuple[Object, ...] = ()
    autoscalers: tuple[Object, ...] = ()
    stored: Object | Exception = field(default_factory=lambda: an_object("web"))
    asked: list[tuple[Resource, Key]] = field(default_factory=list[tuple[Resource, Key]])
    events: "asyncio.Queue[bytes]" = field(default_factory=lambda: asyncio.Queue[bytes]())

    async def get(self, resource: Resource, key: Key) -> Object:
        """As scripted."""
        self.asked.append((resource, key))
        if isinstance(self.stored, Exception):
            raise self.stored
        return self.stored

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
        return Page(self.nodes if resource == NODES else self.autoscalers, "100", "")

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
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """Only nodes come and go."""
        yield self._told() if resource == NODES else _silence()

    async def was_told(self) -> None:
        """Wait until every event was taken in."""
        await self.events.join()

    async def _told(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.events.get()
            self.events.task_done()  # asked for the next one


async def _silence() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


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
        gone = {**an_object("node-0")}
        gone["metadata"] = {"name": "node-0", "uid": "uid-of-node-0", "resourceVersion": "101"}
        cluster.events.put_nowait(orjson.dumps({"type": "DELETED", "object": gone}) + b"\n")
        await cluster.was_told()
        assert (await gathered(feed, Needs(nodes=True))).nodes == 2


async def test_only_the_autoscalers_of_the_namespace_are_told() -> None:
    here, there = an_object("a", namespace="team-data"), an_object("b", namespace="other")
    async with following(ScriptedCluster(autoscalers=(here, there))) as feed:
        assert (await gathered(feed, Needs(autoscalers=True))).autoscalers == (here,)


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
