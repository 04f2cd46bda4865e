"""Webhook processes that tell of themselves by Leases of a real API server, and hear of others."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import pytest

from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import ConflictError, NotFoundError
from controller.clients.kube.resources import LEASES, Key, Resource
from controller.clients.peers.connection import Address
from controller.feeds.peers import ADDRESS, LABEL, PeerFeed, Terms, lease_name
from controller.registration.priority import NAMESPACE, render_namespace
from native.controlplane import ControlPlane
from tests.shifts import until

pytestmark = pytest.mark.integration

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
QUICK = Terms(duration=1.0, renew=0.2, request=5.0, burial=3600.0)
SECONDS = 30.0


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """Of a cluster that has Governor's namespace."""
    async with connect(Kubeconfig(control_plane.admin_kubeconfig)) as connected:
        with suppress(ConflictError):  # another test was first
            await connected.create(NAMESPACES, render_namespace())
        yield connected


class Process:
    """One webhook process, as far as Leases are concerned."""

    def __init__(
        self, client: KubeClient, *, terms: Terms = QUICK, address: Address | None = None
    ) -> None:
        self.replica = uuid4().hex.upper()
        self.address = address or Address("127.0.0.1", 4000 + int(self.replica[:2], 16))
        self.feed = PeerFeed(client, replica=self.replica, address=self.address, terms=terms)
        self.is_ready = asyncio.Event()

    @asynccontextmanager
    async def running(self, *, is_ready: bool = True) -> AsyncGenerator["Process"]:
        """For as long as the block lasts; then it is gone without a word."""
        if is_ready:
            self.is_ready.set()
        task = asyncio.create_task(self.feed.run(self._ready))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _ready(self) -> None:
        await self.is_ready.wait()

    def knows(self, other: "Process") -> bool:
        """Whether it has heard where the other is."""
        return self.feed.peers().get(other.feed.own) == other.address


async def test_processes_hear_of_each_other_and_of_themselves(client: KubeClient) -> None:
    async with Process(client).running() as one, Process(client).running() as two:
        both = (one, two)
        await until(lambda: all(a.knows(b) for a in both for b in both))
        stored = await client.get(LEASES, Key(NAMESPACE, lease_name(one.replica)))
    spec = stored["spec"]
    assert isinstance(spec, dict)
    assert spec["holderIdentity"] == one.replica


async def test_who_is_not_ready_is_not_told_of(client: KubeClient) -> None:
    async with Process(client).running() as one, Process(client).running(is_ready=False) as two:
        await until(lambda: two.knows(one))
        assert not one.knows(two)
        two.is_ready.set()
        await until(lambda: one.knows(two))


async def test_who_withdraws_is_forgotten_at_once_and_stays_so(client: KubeClient) -> None:
    async with Process(client).running() as one, Process(client).running() as two:
        await until(lambda: one.knows(two) and two.knows(two))
        await two.feed.withdraw()
        with pytest.raises(NotFoundError):
            await client.get(LEASES, Key(NAMESPACE, two.feed.own))
        await until(lambda: not one.knows(two))
        for _ in range(5):  # rounds in which it would have renewed
            await asyncio.sleep(QUICK.renew)
            assert not one.knows(two)
        await two.feed.withdraw()


async def test_who_dies_is_forgotten_when_its_time_is_over(client: KubeClient) -> None:
    async with Process(client).running() as one:
        async with Process(client).running() as two:
            await until(lambda: one.knows(two))
        await until(lambda: not one.knows(two))
        assert one.knows(one)
        assert await client.get(LEASES, Key(NAMESPACE, two.feed.own))


async def test_the_dead_are_buried_and_the_living_are_not(client: KubeClient) -> None:
    undertaker = Terms(duration=1.0, renew=0.2, request=5.0, burial=2.0)
    async with Process(client, terms=undertaker).running() as one, Process(client).running() as two:
        await until(lambda: one.knows(two))
        await client.create(LEASES, a_lease("long-dead", "127.0.0.1:1"))
        await until(lambda: "long-dead" in one.feed.peers())
        await until_gone(client, "long-dead")
        assert one.knows(two)


async def until_gone(client: KubeClient, name: str) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await client.get(LEASES, Key(NAMESPACE, name))
            except NotFoundError:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("", id="nothing"),
        pytest.param("no port", id="no port"),
        pytest.param(":99", id="no host"),
        pytest.param("host:port", id="a port in words"),
        pytest.param("host:123456", id="a port that is none"),
    ],
)
async def test_an_address_that_nobody_can_read_is_no_peer(client: KubeClient, written: str) -> None:
    name = f"odd-{uuid4().hex[:8]}"
    await client.create(LEASES, a_lease(name, written))
    async with Process(client).running() as one:
        await until(lambda: one.knows(one))
        assert name not in one.feed.peers()
    await client.delete(LEASES, Key(NAMESPACE, name))


async def test_who_has_no_address_hears_of_others_and_is_told_of_to_nobody(
    client: KubeClient,
) -> None:
    async with Process(client).running() as one:
        hidden = PeerFeed(client, replica="HIDDEN", address=None, terms=QUICK)
        task = asyncio.create_task(hidden.run(hidden_ready))
        await until(lambda: one.feed.own in hidden.peers())
        await until(lambda: one.knows(one))
        assert hidden.own not in one.feed.peers()
        task.cancel()
        await asyncio.wait({task})


async def hidden_ready() -> None:
    """At once."""


def a_lease(name: str, address: str) -> Object:
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {
            "namespace": NAMESPACE,
            "name": name,
            "labels": {LABEL: "webhook"},
            "annotations": {ADDRESS: address},
        },
        "spec": {},
    }
