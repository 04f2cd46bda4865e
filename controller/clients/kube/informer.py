"""Keeps a store of one resource current: list once, then watch from there for good.

Theory of operation. A list gives a complete state and the resource version that
it is of; a watch gives every later event in order. As long as the API server
still remembers that version, a broken watch is resumed after the last event or
bookmark seen and nothing is missed. When it does not (410), or when resuming
keeps failing, the resource is listed again, and the difference to what is known
is emitted, deletions during the gap included.

It must not: clear the store because of an outage, call anything but `list_page`
and `watch`, decide what its objects mean, or stop for any fault of the API server.
"""

import asyncio
import random as randomness
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Generic, NoReturn, Protocol, TypeVar

import structlog

from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import Object, Page, key_of
from controller.clients.kube.errors import ExpiredError, KubeError, UnreachableError
from controller.clients.kube.events import event_of, fault_of, metadata_of, text_of, went_back
from controller.clients.kube.lines import lines
from controller.clients.kube.resources import Key, Resource
from controller.clients.kube.store import Change, Known, Store
from controller.clients.kube.transport import Query

T = TypeVar("T")

log = structlog.get_logger(__name__)

_RESUMES_BEFORE_RELIST = 5
_EVENTS_PER_TURN = 100


class ListsAndWatches(Protocol):
    """The part of `KubeClient` that an informer uses."""

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        limit: int = 500,
        continue_token: str = "",
        selectors: Query = (),
    ) -> Page:
        """One page of a consistent list."""
        ...

    def watch(
        self,
        resource: Resource,
        *,
        resource_version: str,
        lasting: int,
        silence: float,
        namespace: str = "",
        selectors: Query = (),
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a watch as a raw stream of JSON lines."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once and how often; times in seconds."""

    page_size: int = 500
    lasting: int = 300
    """A watch is asked to end after this to twice this, so that load spreads over servers."""
    silence: float = 90.0
    """A connection without a byte for so long is dead; the server sends a bookmark each minute."""
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Chance:
    """Time and randomness, for tests to replace."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = randomness.random


class Follower(Generic[T]):
    """Lists one resource and watches it from there, and says what it hears.

    Who is told keeps what it needs: `Informer` the newest of each object, a history
    all that came.
    """

    def __init__(
        self,
        client: ListsAndWatches,
        resource: Resource,
        project: Callable[[Object], T],
        *,
        on_list: Callable[[Sequence[T], str], None],
        on_event: Callable[[str, T | None, str], None],
        first_list: Callable[[], AsyncIterator[Page]] | None = None,
        namespace: str = "",
        selectors: Query = (),
        pace: Pace | None = None,
        chance: Chance | None = None,
    ) -> None:
        """Describe what to follow; nothing is asked before `run`.

        Args:
            client: whom to ask.
            resource: what to follow.
            project: what to keep of each object. Total: what it raises ends `run`.
            on_list: told every object of a complete list, and the list's resource version.
                A second list means that events were missed.
            on_event: told the type of each event, its object (None: a bookmark) and the
                resource version that is reached with it. Neither may block.
            first_list: where to begin, such as `pages_at`; once that is refused, as ever.
            namespace: empty for all of them.
            selectors: `labelSelector` and `fieldSelector`.
            pace: how much at once and how often.
            chance: time and randomness.
        """
        self.position: str | None = None
        self.heard_at: float | None = None
        self.fault: KubeError | None = None
        self._client = client
        self._resource = resource
        self._project = project
        self._on_list = on_list
        self._on_event = on_event
        self._first_list = first_list
        self._namespace = namespace
        self._selectors = selectors
        self._pace = pace or Pace()
        self._chance = chance or Chance()
        self._heard = 0

    async def run(self) -> NoReturn:
        """List and watch until cancelled; faults of the API server are waited out."""
        failures = 0
        while True:
            heard_before = self._heard
            try:
                if self.position is None:
                    await self._list()
                await self._watch(self.position or "")
            except KubeError as fault:
                # Only a watch that was heard proves that all is well again: a list that
                # works before each watch that fails must not keep the delay short.
                failures = 1 if self._heard != heard_before else failures + 1
                self._note(fault, failures=failures)
                await self._chance.sleep(self._delay(fault, failures))
            else:
                failures = 0

    async def _list(self) -> None:
        listed: list[T] = []
        version = ""
        async for page in self._pages():
            listed.extend(self._project(body) for body in page.items)
            version = page.resource_version
        self._first_list = None
        self._on_list(listed, version)
        self.position = version
        self.heard_at = self._chance.clock()

    def _pages(self) -> AsyncIterator[Page]:
        if self._first_list is not None:
            return self._first_list()
        return pages(
            self._client,
            self._resource,
            namespace=self._namespace,
            limit=self._pace.page_size,
            selectors=self._selectors,
        )

    async def _watch(self, position: str) -> None:
        """Follow the events until the server ends the watch in good order."""
        opened, heard_before = self._chance.clock(), self._heard
        lasting = self._pace.lasting
        async with self._client.watch(
            self._resource,
            resource_version=position,
            lasting=lasting + int(lasting * self._chance.random()),
            silence=self._pace.silence,
            namespace=self._namespace,
            selectors=self._selectors,
        ) as pieces:
            self.fault = None
            async for line in lines(pieces):
                self._receive(line)
                if self._heard % _EVENTS_PER_TURN == 0:
                    # A burst is parsed from one buffer without waiting: let requests in between.
                    await asyncio.sleep(0)
        if self._heard == heard_before and self._chance.clock() - opened < 1:
            raise UnreachableError(
                f"watch {self._resource.plural}: ended at once, without an event"
            )

    def _receive(self, line: bytes) -> None:
        kind, body = event_of(line, self._resource)
        if kind == "ERROR":
            raise fault_of(body, self._resource)
        version = metadata_of(body).get("resourceVersion")
        if not isinstance(version, str) or went_back(self.position, version):
            # Only a restored backup does that; what we know may then never have been.
            raise ExpiredError(f"watch {self._resource.plural}: went back to version {version}")
        self._on_event(kind, None if kind == "BOOKMARK" else self._project(body), version)
        self.position = version
        self.heard_at = self._chance.clock()
        self._heard += 1

    def _note(self, fault: KubeError, *, failures: int) -> None:
        self.fault = fault
        if not isinstance(fault, UnreachableError) or failures >= _RESUMES_BEFORE_RELIST:
            self.position = None
            self._first_list = None
        log.warning(
            "informer interrupted",
            resource=self._resource.plural,
            failures=failures,
            relist=self.position is None,
            error=str(fault),
        )

    def _delay(self, fault: KubeError, failures: int) -> float:
        delay = self._pace.backoff.delay(failures, random=self._chance.random)
        return max(delay, min(fault.retry_after or 0.0, self._pace.backoff.longest))


class Informer(Generic[T]):
    """A live copy of one resource, reduced by a projection to what its readers need.

    Attributes:
        synced: set once the first complete list is in the store, and never cleared.
    """

    def __init__(
        self,
        client: ListsAndWatches,
        resource: Resource,
        project: Callable[[Object], T],
        *,
        namespace: str = "",
        selectors: Query = (),
        pace: Pace | None = None,
        chance: Chance | None = None,
    ) -> None:
        """Describe what to keep; nothing is asked before `run`.

        Args:
            client: whom to ask.
            resource: what to keep.
            project: what to keep of each object. Total: what it raises ends `run`.
            namespace: empty for all of them.
            selectors: `labelSelector` and `fieldSelector`.
            pace: how much at once and how often.
            chance: time and randomness.
        """
        self.synced = asyncio.Event()
        self._resource = resource
        self._project = project
        self._store: Store[T] = Store()
        self._listeners: list[Callable[[Change[T]], None]] = []
        self._follower = Follower(
            client,
            resource,
            self._read,
            on_list=self._replace,
            on_event=self._receive,
            namespace=namespace,
            selectors=selectors,
            pace=pace,
            chance=chance,
        )

    @property
    def resource(self) -> Resource:
        """What it keeps."""
        return self._resource

    @property
    def resource_version(self) -> str | None:
        """Up to which version of the collection everything is known; None before the first list."""
        return self._follower.position

    @property
    def heard_at(self) -> float | None:
        """When the API server was last heard, on the injected clock."""
        return self._follower.heard_at

    @property
    def fault(self) -> KubeError | None:
        """Why nothing is heard at present; None while all is well."""
        return self._follower.fault

    def get(self, key: Key) -> Known[T] | None:
        """One object as it was last seen."""
        return self._store.get(key)

    def snapshot(self) -> Mapping[Key, T]:
        """Every value as of now; the mapping itself never changes."""
        return self._store.snapshot()

    def adopt(self, written: Object) -> None:
        """Take over what the API server answered to our own write, ahead of the watch.

        So the next look at the store shows it. An object that is not known is left to
        the watch: it may have been deleted since.
        """
        self.take(key_of(written), self._known(written))

    def take(self, key: Key, known: Known[T]) -> None:
        """As `adopt`, of what the caller has read already."""
        held = self._store.get(key)
        if held is not None and held.uid == known.uid:
            self._emit(self._store.put(key, known))

    def subscribe(self, listener: Callable[[Change[T]], None]) -> None:
        """Call `listener` after every change, in order, from within the loop: it must not block."""
        self._listeners.append(listener)

    async def run(self) -> NoReturn:
        """List and watch until cancelled; faults of the API server are waited out."""
        await self._follower.run()

    def _replace(self, listed: Sequence[tuple[Key, Known[T]]], _version: str) -> None:
        self._emit(self._store.replace(dict(listed)))
        self.synced.set()

    def _receive(self, kind: str, read: tuple[Key, Known[T]] | None, _version: str) -> None:
        if read is None:
            return
        key, known = read
        self._emit(self._store.remove(key) if kind == "DELETED" else self._store.put(key, known))

    def _read(self, body: Object) -> tuple[Key, Known[T]]:
        return key_of(body), self._known(body)

    def _known(self, body: Object) -> Known[T]:
        metadata = metadata_of(body)
        return Known(
            uid=text_of(metadata, "uid"),
            resource_version=text_of(metadata, "resourceVersion"),
            value=self._project(body),
        )

    def _emit(self, changes: tuple[Change[T], ...]) -> None:
        for change in changes:
            for listener in self._listeners:
                listener(change)


def pages(
    client: ListsAndWatches,
    resource: Resource,
    *,
    namespace: str = "",
    limit: int = 500,
    selectors: Query = (),
) -> AsyncIterator[Page]:
    """List a resource page by page, all of one version.

    Raises:
        KubeError: the API server refused, or could not be asked.
    """
    return paged(
        lambda token: client.list_page(
            resource, namespace=namespace, limit=limit, continue_token=token, selectors=selectors
        )
    )


async def paged(ask: Callable[[str], Awaitable[Page]]) -> AsyncIterator[Page]:
    """Every page of one list; each is asked for by the token of the one before."""
    token = ""
    while True:
        page = await ask(token)
        yield page
        token = page.continue_token
        if not token:
            return


async def list_all(client: ListsAndWatches, resource: Resource) -> list[Object]:
    """Every object of a resource, of one version, as of now.

    Raises:
        KubeError: the API server refused, or could not be asked.
    """
    return [body async for page in pages(client, resource) for body in page.items]
