"""Keeps what evidence is judged by: of each watched kind a list, and every version since.

A history never forgets an event silently: where some were missed, or are too old to be
kept, `listed_at` says from when on nothing is missing. It decides nothing about writes,
and tells no two kinds from each other. In memory only: what must outlive the process is
in the Accounts.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NoReturn, Protocol, TypeAlias

import structlog

from controller.accounts.account import COUNTED
from controller.accounts.entries import WatchedKind
from controller.accounts.views import KindView, Version
from controller.clients.kube.client import Object
from controller.clients.kube.discovery import Served
from controller.clients.kube.errors import KubeError, NotFoundError
from controller.clients.kube.exact import ListsExactly, newest_version, pages_at, position
from controller.clients.kube.informer import Chance, Follower, Pace
from controller.clients.kube.resources import Resource
from controller.feeds.registry import ATTENTIVE
from reconcilers.timeline import Timeline

Project = Callable[[WatchedKind, Object], Version]


class Heard(Enum):
    """What a history hears but versions."""

    LIST = "all that there is, perhaps after a gap"
    BOOKMARK = "how far it is"


News: TypeAlias = Version | Heard
OnNews = Callable[[WatchedKind, News], None]
BRISK = replace(ATTENTIVE, lasting=3)
"""Of the counted kinds: the API server says how far each is two seconds before a watch ends, and
whatever is counted waits for the last of them."""

log = structlog.get_logger("governor.reconcilers")

_METHOD_NOT_ALLOWED = 405


def _evenly(chance: Chance) -> Chance:
    """Watches of one length: a longer one would tell later how far it is."""
    return replace(chance, random=lambda: chance.random() / 3)


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept, and for how long; seconds."""

    versions: float = 600.0
    """An entry needs them from the `as_of` that its account had until the clock decides it."""
    most: int = 100_000
    """Versions of one kind that lists did not bring; beyond it the older half goes early."""
    unneeded: float = 120.0
    """A kind that no account needs is watched on for so long."""


class History:
    """One kind, followed for good.

    Attributes:
        resource: what is followed.
    """

    def __init__(
        self,
        client: ListsExactly,
        resource: Resource,
        project: Project,
        *,
        on_news: Callable[[News], None],
        start: int = 0,
        retention: Retention | None = None,
        pace: Pace | None = None,
        chance: Chance | None = None,
    ) -> None:
        """Describe what to follow; nothing is asked before `run`.

        Args:
            client: whom to ask.
            resource: what to follow.
            project: what to keep of each object. Total.
            on_news: told of every version, list and bookmark; must not block.
            start: the resource version to list at, while the API server still remembers
                it; 0 for the newest.
            retention: how much is kept.
            pace: how much at once and how often.
            chance: time and randomness.
        """
        self.resource = resource
        kind = WatchedKind(resource.group, resource.version, resource.plural)
        self._on_news = on_news
        self._retention = retention or Retention()
        self._clock = (chance or Chance()).clock
        self._timeline = Timeline()
        self._is_listed = False
        self._marks: deque[tuple[float, int]] = deque()
        pace = pace or ATTENTIVE
        self._follower = Follower(
            client,
            resource,
            lambda body: project(kind, body),
            on_list=self._replace,
            on_event=self._receive,
            first_list=(
                (lambda: pages_at(client, resource, version=start, limit=pace.page_size))
                if start
                else None
            ),
            pace=pace,
            chance=chance,
        )

    @property
    def fault(self) -> KubeError | None:
        """Why nothing is heard at present; None while all is well."""
        return self._follower.fault

    def view(self) -> KindView | None:
        """What is known by now; None before the first list."""
        return self._timeline.view() if self._is_listed else None

    @property
    def seen_to(self) -> int:
        """Up to which resource version; 0 before the first list."""
        return self._timeline.seen_to if self._is_listed else 0

    async def run(self) -> NoReturn:
        """List and watch until cancelled; faults of the API server are waited out."""
        await self._follower.run()

    def _replace(self, versions: Sequence[Version], at: str) -> None:
        number = position(at, self.resource)
        if self._is_listed:
            log.warning(
                "versions missed",
                kind=self.resource.plural,
                after=self._timeline.seen_to,
                until=number,
            )
        self._timeline.relist(versions, at=number)
        self._marks.clear()
        self._is_listed = True
        self._on_news(Heard.LIST)

    def _receive(self, kind: str, version: Version | None, at: str) -> None:
        self._forget()
        if version is None:
            self._timeline.reach(position(at, self.resource))
            self._on_news(Heard.BOOKMARK)
            return
        seen = replace(version, is_deleted=True) if kind == "DELETED" else version
        self._timeline.add(seen)
        self._on_news(seen)

    def _forget(self) -> None:
        """Cut what is older than is kept, by the time at which it came."""
        now, kept = self._clock(), self._retention.versions
        if not self._marks or now - self._marks[-1][0] >= kept / 20:
            self._marks.append((now, self._timeline.seen_to))
        while now - self._marks[0][0] > kept:
            self._timeline.cut(self._marks.popleft()[1])
        if self._timeline.length > self._retention.most:
            self._timeline.cut_half()
            log.warning("versions forgotten early", kind=self.resource.plural)


class Finds(Protocol):
    """The part of `Discovery` that the histories use."""

    async def find(self, group: str, version: str, plural: str) -> Served | None:
        """One resource in one version; None: the API server does not serve it."""
        ...

    def forget(self, group: str, version: str) -> None:
        """Ask anew at the next look."""
        ...


@dataclass(slots=True)
class _Running:
    history: History
    task: asyncio.Task[NoReturn]
    needed_at: float


class Histories:
    """A history of every kind that somebody needs, each with a task of its own."""

    def __init__(
        self,
        client: ListsExactly,
        discovery: Finds,
        project: Project,
        *,
        retention: Retention | None = None,
        pace: Pace | None = None,
        chance: Chance | None = None,
    ) -> None:
        """Follow nothing yet.

        Args:
            client: whom to ask.
            discovery: says which kinds there are.
            project: what to keep of each object. Total.
            retention: how much is kept.
            pace: how much at once and how often.
            chance: time and randomness.
        """
        self._client = client
        self._discovery = discovery
        self._project = project
        self._listeners: list[OnNews] = []
        self._retention = retention or Retention()
        self._pace = pace
        self._chance = chance or Chance()
        self._running: dict[WatchedKind, _Running] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._is_open = asyncio.Event()

    def subscribe(self, listener: OnNews) -> None:
        """Call `listener` after all news of every kind; it must not block."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Carry the histories until cancelled; a bug in one ends all."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._is_open.set()
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            self._is_open.clear()
            self._running.clear()

    def view(self, kind: WatchedKind) -> KindView | None:
        """What is known of a kind by now; None: it is not watched, or not listed yet."""
        running = self._running.get(kind)
        return None if running is None else running.history.view()

    def seen_to(self, kind: WatchedKind) -> int:
        """Up to which resource version a kind is known; 0: not at all."""
        running = self._running.get(kind)
        return 0 if running is None else running.history.seen_to

    def resource(self, kind: WatchedKind) -> Resource | None:
        """The resource of a kind that is watched."""
        running = self._running.get(kind)
        return None if running is None else running.history.resource

    async def watch(self, kind: WatchedKind, *, start: int) -> bool:
        """See to it that a kind is watched.

        Args:
            kind: what to watch.
            start: the resource version to begin at if it is not watched yet; 0: the newest.

        Returns:
            False where nobody can: the API server serves no such thing (a CRD that was
            deleted, a version that ended), or does not let it be listed and watched.

        Raises:
            KubeError: that could not be told.
        """
        running = self._running.get(kind)
        if running is not None:
            running.needed_at = self._chance.clock()
            if not isinstance(running.history.fault, NotFoundError):
                return True
            self._discovery.forget(kind.group, kind.version)
        served = await self._discovery.find(*kind)
        if served is not None and served.is_watchable:
            await self._start(kind, served.resource, start)
            return True
        if served is None and not await self._is_absent(kind):
            raise NotFoundError(f"{kind}: is served, but not discovered yet")
        self._stop(kind)
        return False

    def keep(self, kinds: Collection[WatchedKind]) -> None:
        """Note that these are needed still."""
        for kind in kinds:
            running = self._running.get(kind)
            if running is not None:
                running.needed_at = self._chance.clock()

    def drop_unneeded(self) -> None:
        """Stop the histories that nobody asked for lately."""
        now = self._chance.clock()
        for kind, running in list(self._running.items()):
            if now - running.needed_at > self._retention.unneeded:
                self._stop(kind)

    async def _start(self, kind: WatchedKind, resource: Resource, start: int) -> None:
        await self._is_open.wait()
        # Somebody else may have started it while discovery was asked.
        if kind in self._running or self._tasks is None:
            return
        history = History(
            self._client,
            resource,
            self._project,
            on_news=lambda news: self._tell(kind, news),
            start=start,
            retention=self._retention,
            pace=self._pace or (BRISK if kind in COUNTED else ATTENTIVE),
            chance=_evenly(self._chance) if kind in COUNTED else self._chance,
        )
        task = self._tasks.create_task(history.run(), name=f"history of {kind}")
        self._running[kind] = _Running(history, task, self._chance.clock())

    def _tell(self, kind: WatchedKind, news: News) -> None:
        for listener in self._listeners:
            listener(kind, news)

    def _stop(self, kind: WatchedKind) -> None:
        running = self._running.pop(kind, None)
        if running is not None:
            running.task.cancel()
            log.info("history ended", kind=str(kind))

    async def _is_absent(self, kind: WatchedKind) -> bool:
        """Whether the collection itself is not served: discovery alone may be behind."""
        resource = Resource(kind.group, kind.version, kind.resource, "", namespaced=False)
        try:
            await newest_version(self._client, resource)
        except NotFoundError:
            return True
        except KubeError as fault:
            if fault.status == _METHOD_NOT_ALLOWED:
                return True
            raise
        return False
