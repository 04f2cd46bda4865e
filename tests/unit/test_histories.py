"""Histories against a scripted collection: gaps, forgetting, exact starts, and kinds that go.

The timeline itself is in tests/property/test_histories_properties.py, the real API server in
tests/integration/test_histories.py.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import pytest

from controller.accounts.entries import WatchedKind
from controller.accounts.views import KindView, Version
from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import Object, Page
from controller.clients.kube.discovery import Served
from controller.clients.kube.errors import (
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnreachableError,
)
from controller.clients.kube.informer import Chance, Pace
from controller.clients.kube.resources import Resource
from controller.records.versions import version_of
from reconcilers.histories import Heard, Histories, History, News, Retention
from tests.fakes.kube import FakeCollection

WIDGETS = Resource("example.com", "v1", "widgets", "Widget", namespaced=True)
KIND = WatchedKind("example.com", "v1", "widgets")
WATCHABLE = Served(WIDGETS, frozenset({"list", "watch", "create"}), frozenset())
CREATE_ONLY = Served(WIDGETS, frozenset({"create"}), frozenset())
QUICK = Pace(backoff=Backoff(first=0.001, longest=0.001))


@dataclass
class Clock:
    """Seconds, moved by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


@dataclass
class FakeDiscovery:
    """Says what it was told to."""

    served: Served | None = WATCHABLE
    fault: KubeError | None = None
    finds: int = 0
    forgotten: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def find(self, group: str, version: str, plural: str) -> Served | None:
        """Always of that one resource."""
        self.finds += 1
        if self.fault is not None:
            raise self.fault
        return self.served

    def forget(self, group: str, version: str) -> None:
        """Note it."""
        self.forgotten.append((group, version))


def project(kind: WatchedKind, body: Object) -> Version:
    return version_of(body, kind=kind, stamp_key=b"s" * 32, content_key=b"c" * 32)


async def until(holds: Callable[[], object]) -> None:
    """Let other tasks run until it holds."""
    async with asyncio.timeout(5):
        while True:
            if holds():
                return
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def following(
    collection: FakeCollection,
    *,
    start: int = 0,
    retention: Retention | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[tuple[History, list[str | Heard]]]:
    """Run one history for as long as the block lasts, from its first list on."""
    news: list[str | Heard] = []
    history = History(
        collection,
        WIDGETS,
        project,
        on_news=lambda heard: news.append(told(heard)),
        start=start,
        retention=retention,
        pace=QUICK,
        chance=Chance(clock=clock or Clock()),
    )
    task = asyncio.create_task(history.run())
    await until(lambda: history.view() is not None)
    try:
        yield history, news
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def told(news: News) -> str | Heard:
    """The uid of a version; anything else as it is."""
    return news.uid if isinstance(news, Version) else news


def view_of(history: History) -> KindView:
    view = history.view()
    assert view is not None
    return view


def versions(history: History, uid: str) -> list[tuple[int, bool]]:
    """Resource versions of an object, and whether each ended it."""
    return [(v.version, v.is_deleted) for v in view_of(history).objects.get(uid, ())]


async def seen(history: History, version: int) -> None:
    await until(lambda: view_of(history).seen_to >= version)


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_every_version_after_the_list_is_kept_and_a_deletion_is_one() -> None:
    collection = FakeCollection()
    first = collection.write("a")
    collection.delete("never listed")
    async with following(collection) as (history, news):
        assert view_of(history).listed_at == collection.at
        second, third = collection.write("a"), collection.write("a")
        last = collection.delete("a")
        await seen(history, last)
        assert versions(history, "a") == [
            (first, False),
            (second, False),
            (third, False),
            (last, True),
        ]
        assert versions(history, "never listed") == []
        assert news == [Heard.LIST, "a", "a", "a"]


async def test_a_bookmark_moves_the_position_and_nothing_else() -> None:
    collection = FakeCollection()
    async with following(collection) as (history, news):
        await seen(history, collection.bookmark(further=100))
        assert view_of(history).seen_to == 110
        assert view_of(history).listed_at == 10
        assert news == [Heard.LIST, Heard.BOOKMARK]


async def test_a_history_begins_where_it_is_told_to_while_that_is_remembered() -> None:
    collection = FakeCollection()
    start = collection.write("a")
    second = collection.write("a")
    end = collection.delete("a")
    async with following(collection, start=start) as (history, _):
        await seen(history, end)
        assert collection.lists == [str(start)]
        assert view_of(history).listed_at == start
        assert versions(history, "a") == [(start, False), (second, False), (end, True)]


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_a_start_that_is_forgotten_is_a_gap() -> None:
    collection = FakeCollection()
    start = collection.write("a")
    collection.write("a")
    collection.forgotten = collection.at
    now = collection.write("a")
    async with following(collection, start=start) as (history, _):
        assert collection.lists == [str(start), ""]
        assert view_of(history).listed_at == now
        assert versions(history, "a") == [(now, False)]


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_a_relist_is_a_gap_and_what_ended_in_it_is_absent() -> None:
    collection = FakeCollection()
    collection.write("stays")
    collection.write("goes")
    async with following(collection) as (history, news):
        await seen(history, collection.write("goes"))
        collection.expire()
        changed = collection.write("stays")
        collection.write("goes")
        collection.delete("goes")
        await until(lambda: news.count(Heard.LIST) == 2)
        assert view_of(history).listed_at == collection.at
        assert versions(history, "stays") == [(changed, False)]
        assert "goes" not in view_of(history).objects


async def test_an_outage_keeps_what_is_known() -> None:
    collection = FakeCollection()
    version = collection.write("a")
    async with following(collection) as (history, _):
        collection.fail(UnreachableError("refused"))
        await until(lambda: history.fault is not None)
        assert versions(history, "a") == [(version, False)]


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_versions_that_came_too_long_ago_are_forgotten_but_for_the_current_one() -> None:
    collection, clock = FakeCollection(), Clock()
    collection.write("a")
    retention = Retention(versions=100.0)
    async with following(collection, retention=retention, clock=clock) as (history, _):
        collection.delete("b")
        current = collection.write("a")
        await seen(history, current)
        clock.now += 60
        collection.write("c")
        later = collection.write("a")
        await seen(history, later)
        assert view_of(history).listed_at < current
        clock.now += 101
        await seen(history, collection.bookmark())
        assert view_of(history).listed_at == current
        assert versions(history, "a") == [(current, False), (later, False)]
        assert versions(history, "b") == []


@pytest.mark.requirement("record-before-effect.gaps-known")
async def test_a_burst_is_forgotten_by_halves_before_it_eats_the_memory() -> None:
    collection = FakeCollection()
    async with following(collection, retention=Retention(most=50)) as (history, _):
        for _number in range(200):
            collection.write("a")
        await seen(history, collection.at)
        assert len(versions(history, "a")) <= 52
        assert versions(history, "a")[-1] == (collection.at, False)
        assert view_of(history).listed_at == versions(history, "a")[0][0]


async def test_versions_that_are_no_numbers_prove_nothing() -> None:
    class Opaque(FakeCollection):
        async def list_page(self, *args: object, **options: object) -> Page:
            return Page((), "opaque", "")

    history = History(Opaque(), WIDGETS, project, on_news=lambda _: None, pace=QUICK)
    task = asyncio.create_task(history.run())
    await until(lambda: isinstance(history.fault, InvalidError))
    assert history.view() is None
    task.cancel()


@contextlib.asynccontextmanager
async def watching(
    collection: FakeCollection, discovery: FakeDiscovery, *, clock: Clock | None = None
) -> AsyncGenerator[Histories]:
    """Run the histories for as long as the block lasts."""
    histories = Histories(
        collection, discovery, project, pace=QUICK, chance=Chance(clock=clock or Clock())
    )
    task = asyncio.create_task(histories.run())
    try:
        yield histories
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_kind_is_watched_once_however_many_ask_for_it_at_once() -> None:
    collection, discovery = FakeCollection(), FakeDiscovery()
    async with watching(collection, discovery) as histories:
        assert histories.view(KIND) is None
        asked = [histories.watch(KIND, start=0) for _ in range(5)]
        assert await asyncio.gather(*asked) == [True] * 5
        await until(lambda: histories.view(KIND) is not None)
        assert collection.lists == [""]
        assert histories.resource(KIND) == WIDGETS


async def test_news_of_every_kind_reach_every_listener() -> None:
    collection = FakeCollection()
    heard: list[tuple[WatchedKind, str | Heard]] = []
    async with watching(collection, FakeDiscovery()) as histories:
        histories.subscribe(lambda kind, news: heard.append((kind, told(news))))
        await histories.watch(KIND, start=0)
        await until(lambda: heard == [(KIND, Heard.LIST)])
        collection.write("a")
        await until(lambda: heard == [(KIND, Heard.LIST), (KIND, "a")])


async def test_a_kind_that_cannot_be_watched_by_anybody_is_said_to_be_so() -> None:
    async with watching(FakeCollection(), FakeDiscovery(CREATE_ONLY)) as histories:
        assert not await histories.watch(KIND, start=0)


@pytest.mark.requirement("never-oversold.unserved-proven")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(NotFoundError("no such path", status=404), id="the path is not there"),
        pytest.param(InvalidError("not allowed", status=405), id="it cannot be listed"),
    ],
)
async def test_a_kind_is_absent_only_if_discovery_and_the_collection_agree(
    fault: KubeError,
) -> None:
    collection = FakeCollection()
    async with watching(collection, FakeDiscovery(None)) as histories:
        with pytest.raises(NotFoundError, match="not discovered yet"):
            await histories.watch(KIND, start=0)
        collection.fault = fault
        assert not await histories.watch(KIND, start=0)


@pytest.mark.requirement("never-oversold.unserved-proven")
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(ForbiddenError("no", status=403), id="the right to list is missing"),
        pytest.param(UnreachableError("starting", status=503), id="it is starting"),
    ],
)
async def test_what_cannot_be_told_is_a_fault_never_an_absence(fault: KubeError) -> None:
    collection = FakeCollection()
    collection.fault = fault
    async with watching(collection, FakeDiscovery(None)) as histories:
        with pytest.raises(type(fault)):
            await histories.watch(KIND, start=0)
    async with watching(FakeCollection(), FakeDiscovery(fault=fault)) as histories:
        with pytest.raises(type(fault)):
            await histories.watch(KIND, start=0)


@pytest.mark.requirement("never-oversold.unserved-proven")
async def test_a_watched_kind_that_goes_is_looked_up_anew_and_its_history_ends() -> None:
    collection, discovery = FakeCollection(), FakeDiscovery()
    async with watching(collection, discovery) as histories:
        await histories.watch(KIND, start=0)
        await until(lambda: histories.view(KIND) is not None)
        collection.fail(NotFoundError("no such path", status=404))

        # Discovery still knows it: perhaps it only just went, perhaps it is back in a moment.
        async with asyncio.timeout(5):
            while not discovery.forgotten:
                assert await histories.watch(KIND, start=0)
                await asyncio.sleep(0)
        assert histories.view(KIND) is not None
        discovery.served = None
        assert not await histories.watch(KIND, start=0)
        assert histories.view(KIND) is None
        # And when it comes back it is watched again.
        discovery.served, collection.fault = WATCHABLE, None
        assert await histories.watch(KIND, start=0)
        await until(lambda: histories.view(KIND) is not None)


async def test_a_kind_that_nobody_asks_for_is_dropped_after_a_while() -> None:
    clock = Clock()
    async with watching(FakeCollection(), FakeDiscovery(), clock=clock) as histories:
        await histories.watch(KIND, start=0)
        clock.now += 100
        histories.drop_unneeded()
        assert histories.resource(KIND) == WIDGETS
        histories.keep({KIND})
        clock.now += 100
        histories.drop_unneeded()
        assert histories.resource(KIND) == WIDGETS
        clock.now += 100
        histories.drop_unneeded()
        assert histories.resource(KIND) is None


async def test_histories_that_ended_begin_anew_when_they_are_run_again() -> None:
    collection = FakeCollection()
    histories = Histories(collection, FakeDiscovery(), project, pace=QUICK)
    for _ in range(2):
        task = asyncio.create_task(histories.run())
        await histories.watch(KIND, start=0)
        await until(lambda: histories.view(KIND) is not None)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert histories.view(KIND) is None
    assert collection.lists == ["", ""]


async def test_a_projection_that_fails_is_a_bug_and_ends_all() -> None:
    def fail(_kind: WatchedKind, _body: Object) -> Version:
        raise LookupError("bug")

    collection = FakeCollection()
    collection.write("a")
    histories = Histories(collection, FakeDiscovery(), fail, pace=QUICK)
    task = asyncio.create_task(histories.run())
    await histories.watch(KIND, start=0)
    with pytest.raises(ExceptionGroup) as raised:
        await task
    assert raised.group_contains(LookupError)
