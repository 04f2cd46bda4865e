"""The registry feed: what it knows when, and that nothing stored is ever forgotten."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from controller.agents.registry import InvalidMandate, Registry
from controller.apis.json import Json
from controller.apis.mandates import Mandate
from controller.apis.pricebooks import UNKNOWN_PRICES, PriceBook
from controller.apis.resources import NANO_USD
from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import Object, Page
from controller.clients.kube.errors import NotFoundError, UnreachableError
from controller.clients.kube.informer import Pace
from controller.clients.kube.resources import GOVERNANCES, MANDATES, PRICEBOOKS, Resource
from controller.feeds.registry import (
    InvalidGovernance,
    InvalidPriceBook,
    RegistryFeed,
    read_governance,
    read_mandate,
    read_pricebook,
    usernames_in,
)
from tests.fakes.shelves import Shelves


class FakeCluster(Shelves):
    """Of what the feed reads."""

    def __init__(self) -> None:
        super().__init__(MANDATES, GOVERNANCES, PRICEBOOKS)


def mandate(name: str = "migrator", *, agent: str = "migrator", **spec: Json) -> Object:
    subject: Json = {"kind": "ServiceAccount", "namespace": "team-data", "name": agent}
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": name, "uid": f"uid-of-{name}", "generation": 3},
        "spec": {"subjects": [subject], **spec},
    }


def governance(*dedicated: str, name: str = "cluster", **spec: Json) -> Object:
    namespaces: list[Json] = [*dedicated]
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Governance",
        "metadata": {"name": name, "uid": "u", "generation": 1},
        "spec": {"dedicatedNamespaces": namespaces, **spec},
    }


def pricebook(
    cpu: Json = "0.0316", *, name: str = "cluster", uid: str = "uid-of-prices", generation: int = 1
) -> Object:
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "PriceBook",
        "metadata": {"name": name, "uid": uid, "generation": generation},
        "spec": {"prices": [{"resource": "cpu", "usdPerHour": cpu}]},
    }


INVALID_PRICES = pricebook("a lot", generation=2)


@contextlib.asynccontextmanager
async def following(cluster: FakeCluster) -> AsyncGenerator[RegistryFeed]:
    """A feed that is synced."""
    feed = RegistryFeed(cluster)
    assert feed.current() is None
    assert feed.missing() == tuple(
        f"{kind}: not listed yet" for kind in ("mandates", "governances", "pricebooks")
    )
    task = asyncio.create_task(feed.run())
    try:
        await asyncio.wait_for(feed.wait_synced(), 10)
        yield feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    """Let the informers run until it holds."""
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.001)


async def heard() -> None:
    """Let the informers take what was told."""
    for _ in range(20):
        await asyncio.sleep(0)


def agents(registry: Registry | None) -> dict[str, list[str]]:
    assert registry is not None
    return {
        username.rpartition(":")[2]: [claim.name for claim in claims]
        for username, claims in registry.claims.items()
    }


async def test_the_registry_follows_every_change() -> None:
    cluster = FakeCluster()
    cluster.put(MANDATES, mandate("one", agent="a"))
    async with following(cluster) as feed:
        assert feed.missing() == ()
        assert agents(feed.current()) == {"a": ["one"]}
        cluster.put(MANDATES, mandate("two", agent="b"))
        cluster.put(GOVERNANCES, governance("team-data"))
        await heard()
        now = feed.current()
        assert agents(now) == {"a": ["one"], "b": ["two"]}
        assert now is not None
        assert now.governance.dedicated_namespaces == {"team-data"}
        assert feed.current() is now
        cluster.delete(MANDATES, "one")
        cluster.delete(GOVERNANCES, "cluster")
        await heard()
        later = feed.current()
        assert agents(later) == {"b": ["two"]}
        assert later is not None
        assert later.governance.dedicated_namespaces == frozenset()
        assert agents(now) == {"a": ["one"], "b": ["two"]}


@pytest.mark.requirement("fail-closed.unclear-identity")
async def test_a_mandate_that_becomes_invalid_keeps_its_subjects() -> None:
    cluster = FakeCluster()
    cluster.put(MANDATES, mandate())
    async with following(cluster) as feed:
        cluster.put(MANDATES, mandate(rules="everything"))
        await heard()
        registry = feed.current()
        assert registry is not None
        (claim,) = registry.claims["system:serviceaccount:team-data:migrator"]
    assert isinstance(claim, InvalidMandate)
    assert "spec.rules" in claim.message


async def test_a_governance_that_becomes_invalid_leaves_the_last_valid_one_in_force() -> None:
    cluster = FakeCluster()
    cluster.put(GOVERNANCES, governance("team-data"))
    async with following(cluster) as feed:
        cluster.put(GOVERNANCES, governance(protectedNamespaces=7))
        await heard()
        registry = feed.current()
    assert registry is not None
    assert registry.governance.dedicated_namespaces == {"team-data"}


@pytest.mark.requirement("fail-closed.not-ready")
async def test_an_invalid_governance_at_the_start_is_no_reason_to_dedicate_nothing() -> None:
    cluster = FakeCluster()
    cluster.put(GOVERNANCES, governance(protectedNamespaces=7))
    async with following(cluster) as feed:
        assert feed.current() is None
        assert feed.governance is None
        (missing,) = feed.missing()
        assert "the one named cluster is invalid" in missing
        cluster.put(GOVERNANCES, governance("team-data"))
        await heard()
        registry = feed.current()
    assert registry is not None
    assert registry.governance.dedicated_namespaces == {"team-data"}


@pytest.mark.requirement("fail-closed.unclear-identity")
async def test_what_was_stored_a_moment_ago_is_fetched_past_the_watch() -> None:
    cluster = FakeCluster()
    async with following(cluster) as feed:
        cluster.put(MANDATES, mandate("new", agent="a"))
        cluster.put(MANDATES, mandate("broken", agent="b", rules="everything"))
        cluster.put(GOVERNANCES, governance("team-data"))
        assert agents(feed.current()) == {}
        fetched = await feed.fetch()
    assert agents(fetched) == {"a": ["new"], "b": ["broken"]}
    assert fetched is not None
    assert fetched.governance.dedicated_namespaces == {"team-data"}


async def test_a_fetched_governance_that_is_invalid_leaves_the_last_valid_one() -> None:
    cluster = FakeCluster()
    cluster.put(GOVERNANCES, governance("team-data"))
    async with following(cluster) as feed:
        cluster.put(GOVERNANCES, governance(protectedNamespaces=7))
        fetched = await feed.fetch()
    assert fetched is not None
    assert fetched.governance.dedicated_namespaces == {"team-data"}


async def test_a_fetch_with_no_valid_governance_ever_is_no_registry() -> None:
    cluster = FakeCluster()
    cluster.put(GOVERNANCES, governance(protectedNamespaces=7))
    async with following(cluster) as feed:
        assert await feed.fetch() is None


async def test_a_fetch_that_fails_says_so() -> None:
    class Deaf(FakeCluster):
        async def list_page(self, *_args: object, **_options: object) -> Page:
            """Nobody there."""
            raise UnreachableError("refused")

    with pytest.raises(UnreachableError):
        await RegistryFeed(Deaf()).fetch()


async def test_only_the_governance_named_cluster_counts() -> None:
    cluster = FakeCluster()
    cluster.put(GOVERNANCES, governance("team-data", name="other"))
    async with following(cluster) as feed:
        registry = feed.current()
    assert registry is not None
    assert registry.governance.dedicated_namespaces == frozenset()


async def test_listeners_hear_of_every_kind() -> None:
    cluster = FakeCluster()
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    async with following(cluster) as feed:
        feed.subscribe(count)
        cluster.put(MANDATES, mandate())
        cluster.put(GOVERNANCES, governance())
        cluster.put(PRICEBOOKS, pricebook())
        await heard()
    assert calls == 3


async def test_the_prices_follow_every_change_and_say_which_state_they_are() -> None:
    cluster = FakeCluster()
    async with following(cluster) as feed:
        assert feed.prices == PriceBook()
        cluster.put(PRICEBOOKS, pricebook())
        await heard()
        first = feed.current()
        cluster.put(PRICEBOOKS, pricebook(2, generation=2))
        await heard()
        second = feed.current()
        cluster.delete(PRICEBOOKS, "cluster")
        cluster.put(PRICEBOOKS, pricebook("3", uid="another"))
        await heard()
        anew = feed.prices
        cluster.delete(PRICEBOOKS, "cluster")
        await heard()
        assert feed.current() is not None
        assert feed.prices == PriceBook()
    assert first is not None
    assert first.prices == PriceBook("uid-of-prices:1", {"cpu": 31_600_000})
    assert second is not None
    assert second.prices == PriceBook("uid-of-prices:2", {"cpu": 2 * NANO_USD})
    assert anew == PriceBook("another:1", {"cpu": 3 * NANO_USD})


async def test_prices_that_become_invalid_leave_the_last_valid_ones_in_force() -> None:
    cluster = FakeCluster()
    cluster.put(PRICEBOOKS, pricebook())
    async with following(cluster) as feed:
        cluster.put(PRICEBOOKS, INVALID_PRICES)
        await heard()
        registry = feed.current()
        fetched = await feed.fetch()
    assert registry is not None
    assert fetched is not None
    assert registry.prices.identity == fetched.prices.identity == "uid-of-prices:1"


@pytest.mark.requirement("never-oversold.limits")
async def test_prices_that_never_were_valid_are_unknown_and_everything_else_is_known() -> None:
    cluster = FakeCluster()
    cluster.put(MANDATES, mandate("one", agent="a"))
    cluster.put(PRICEBOOKS, INVALID_PRICES)
    async with following(cluster) as feed:
        registry, fetched = feed.current(), await feed.fetch()
        assert agents(registry) == agents(fetched) == {"a": ["one"]}
        assert registry is not None
        assert fetched is not None
        assert registry.prices is fetched.prices is UNKNOWN_PRICES
        assert feed.prices is None
        assert feed.missing() == ()
        cluster.put(PRICEBOOKS, pricebook(generation=3))
        await heard()
        registry = feed.current()
        assert registry is not None
        assert registry.prices.identity == "uid-of-prices:3"


async def test_only_the_prices_named_cluster_count() -> None:
    cluster = FakeCluster()
    cluster.put(PRICEBOOKS, pricebook(name="other"))
    async with following(cluster) as feed:
        registry = feed.current()
        fetched = await feed.fetch()
    assert registry is not None
    assert fetched is not None
    assert registry.prices == fetched.prices == PriceBook()


async def test_prices_that_were_stored_a_moment_ago_are_fetched_past_the_watch() -> None:
    cluster = FakeCluster()
    async with following(cluster) as feed:
        cluster.put(PRICEBOOKS, pricebook())
        fetched = await feed.fetch()
        assert feed.prices == PriceBook()
    assert fetched is not None
    assert fetched.prices.identity == "uid-of-prices:1"


class WithoutPriceBooks(FakeCluster):
    """A cluster in which the kind is not installed yet; it answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.is_installed = False

    async def list_page(self, resource: Resource, **options: Any) -> Page:  # noqa: ANN401 - passed on
        """Everything else."""
        if resource is PRICEBOOKS:
            await self.answers.wait()
            if not self.is_installed:
                raise NotFoundError("the server could not find the requested resource", status=404)
        return await super().list_page(resource, **options)


@contextlib.asynccontextmanager
async def starting(cluster: FakeCluster) -> AsyncGenerator[RegistryFeed]:
    """A feed that knows who is an agent."""
    pace = Pace(backoff=Backoff(first=0.01, longest=0.01))
    feed = RegistryFeed(cluster, pace=pace)
    task = asyncio.create_task(feed.run())
    try:
        await asyncio.wait_for(feed.wait_agents_known(), 10)
        yield feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.requirement("never-oversold.limits")
async def test_price_books_that_are_not_listed_yet_do_not_pass_for_none() -> None:
    cluster = WithoutPriceBooks()
    cluster.is_installed = True
    cluster.put(MANDATES, mandate("one", agent="a"))
    async with starting(cluster) as feed:
        early = feed.current()
        assert agents(early) == {"a": ["one"]}
        assert early is not None
        assert early.prices is UNKNOWN_PRICES
        assert feed.missing() == ("pricebooks: not listed yet",)
        cluster.answers.set()
        await asyncio.wait_for(feed.wait_synced(), 10)
        registry = feed.current()
        assert feed.missing() == ()
    assert registry is not None
    assert registry.prices == PriceBook()


@pytest.mark.requirement("never-oversold.limits")
async def test_without_the_kind_agents_are_judged_by_unknown_prices_until_it_is_installed() -> None:
    cluster = WithoutPriceBooks()
    cluster.answers.set()
    cluster.put(MANDATES, mandate("one", agent="a"))
    async with starting(cluster) as feed:
        await until(lambda: feed.pricebooks.fault is not None)
        registry, fetched = feed.current(), await feed.fetch()
        assert feed.missing() == ()
        assert agents(registry) == agents(fetched) == {"a": ["one"]}
        assert registry is not None
        assert fetched is not None
        assert registry.prices is fetched.prices is UNKNOWN_PRICES
        cluster.is_installed = True
        await asyncio.wait_for(feed.wait_synced(), 10)
        registry = feed.current()
    assert registry is not None
    assert registry.prices == PriceBook()


async def test_prices_that_cannot_be_fetched_are_those_that_the_watch_has_shown() -> None:
    class Removed(FakeCluster):
        is_served = True

        async def list_page(self, resource: Resource, **options: Any) -> Page:  # noqa: ANN401 - passed on
            """Everything else."""
            if resource is PRICEBOOKS and not self.is_served:
                raise UnreachableError("no answer in time")
            return await super().list_page(resource, **options)

    cluster = Removed()
    cluster.put(PRICEBOOKS, pricebook())
    async with following(cluster) as feed:
        cluster.is_served = False
        cluster.put(MANDATES, mandate("one", agent="a"))
        fetched = await feed.fetch()
    assert agents(fetched) == {"a": ["one"]}
    assert fetched is not None
    assert fetched.prices.identity == "uid-of-prices:1"


def test_a_stored_price_book_is_read_whatever_it_says() -> None:
    valid, invalid = read_pricebook(pricebook()), read_pricebook(INVALID_PRICES)

    assert (valid.name, valid.uid, valid.generation) == ("cluster", "uid-of-prices", 1)
    assert isinstance(valid.content, PriceBook)
    assert isinstance(invalid.content, InvalidPriceBook)
    assert "spec.prices[0].usdPerHour" in invalid.content.message


def test_a_stored_mandate_is_read_with_its_status() -> None:
    condition: Json = {
        "type": "Ready",
        "status": "True",
        "reason": "Registered",
        "message": "",
        "lastTransitionTime": "2026-11-24T12:00:00Z",
    }
    status: Json = {"observedGeneration": 2, "conditions": [condition]}
    found = read_mandate({**mandate(), "status": status})
    assert (found.name, found.uid, found.generation) == ("migrator", "uid-of-migrator", 3)
    assert isinstance(found.content, Mandate)
    assert found.status.observed_generation == 2
    assert [c.type for c in found.status.conditions] == ["Ready"]


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(None, id="none"),
        pytest.param("?", id="no object"),
        pytest.param({"conditions": [{"type": 7}]}, id="no conditions"),
        pytest.param({"observedGeneration": "2"}, id="no number"),
    ],
)
def test_a_status_that_cannot_be_read_counts_as_not_written(status: Json) -> None:
    found = read_mandate({**mandate(), "status": status})
    assert found.status.observed_generation is None
    assert found.status.conditions == ()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"metadata": [], "spec": 3}, id="other types"),
        pytest.param({"metadata": {"name": 7, "generation": "x"}}, id="other metadata"),
    ],
)
def test_whatever_is_stored_is_read_as_invalid_and_nothing_is_raised(body: Object) -> None:
    assert isinstance(read_mandate(body).content, InvalidMandate)
    assert isinstance(read_governance(body).content, InvalidGovernance)


@pytest.mark.parametrize(
    ("subjects", "usernames"),
    [
        pytest.param(
            [{"kind": "ServiceAccount", "namespace": "n", "name": "a"}],
            ("system:serviceaccount:n:a",),
            id="a ServiceAccount",
        ),
        pytest.param([{"kind": "User", "name": "u"}], ("u",), id="a User"),
        pytest.param(
            [{"kind": "Robot", "namespace": "n", "name": "a"}],
            ("system:serviceaccount:n:a",),
            id="a kind of a later version, in a namespace",
        ),
        pytest.param(
            [{"kind": "User", "name": "u"}, {"kind": "User", "name": "u"}, {}, 3, {"name": 7}],
            ("u",),
            id="what is readable among what is not",
        ),
        pytest.param([{"kind": "ServiceAccount", "name": "a"}], (), id="without its namespace"),
        pytest.param("u", (), id="no list"),
    ],
)
def test_the_subjects_of_an_invalid_mandate_are_read_as_far_as_they_can_be(
    subjects: Json, usernames: tuple[str, ...]
) -> None:
    assert usernames_in({"spec": {"subjects": subjects}}) == usernames
