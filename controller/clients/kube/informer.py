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
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Generic, NoReturn, Protocol, TypeVar, cast

import orjson
import structlog

from controller.apis.json import Json
from controller.clients.kube.backoff import Backoff
from controller.clients.kube.client import Object, Page, key_of
from controller.clients.kube.errors import (
    ExpiredError,
    KubeError,
    UnreachableError,
    error_from_status,
)
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
        self._client = client
        self._resource = resource
        self._project = project
        self._namespace = namespace
        self._selectors = selectors
        self._pace = pace or Pace()
        self._chance = chance or Chance()
        self._store: Store[T] = Store()
        self._listeners: list[Callable[[Change[T]], None]] = []
        self._position: str | None = None
        self._heard_at: float | None = None
        self._heard = 0
        self._fault: KubeError | None = None

    @property
    def resource(self) -> Resource:
        """What it keeps."""
        return self._resource

    @property
    def resource_version(self) -> str | None:
        """Up to which version of the collection everything is known; None before the first list."""
        return self._position

    @property
    def heard_at(self) -> float | None:
        """When the API server was last heard, on the injected clock."""
        return self._heard_at

    @property
    def fault(self) -> KubeError | None:
        """Why nothing is heard at present; None while all is well."""
        return self._fault

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
        key, known = key_of(written), self._known(written)
        held = self._store.get(key)
        if held is not None and held.uid == known.uid:
            self._emit(self._store.put(key, known))

    def subscribe(self, listener: Callable[[Change[T]], None]) -> None:
        """Call `listener` after every change, in order, from within the loop: it must not block."""
        self._listeners.append(listener)

    async def run(self) -> NoReturn:
        """List and watch until cancelled; faults of the API server are waited out."""
        failures = 0
        while True:
            heard_before = self._heard
            try:
                if self._position is None:
                    await self._list()
                await self._watch(self._position or "")
            except KubeError as fault:
                # Only a watch that was heard proves that all is well again: a list that
                # works before each watch that fails must not keep the delay short.
                failures = 1 if self._heard != heard_before else failures + 1
                self._note(fault, failures=failures)
                await self._chance.sleep(self._delay(fault, failures))
            else:
                failures = 0

    async def _list(self) -> None:
        listed: dict[Key, Known[T]] = {}
        version = ""
        async for page in pages(
            self._client,
            self._resource,
            namespace=self._namespace,
            limit=self._pace.page_size,
            selectors=self._selectors,
        ):
            listed |= {key_of(body): self._known(body) for body in page.items}
            version = page.resource_version
        self._emit(self._store.replace(listed))
        self._position = version
        self._heard_at = self._chance.clock()
        self.synced.set()

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
            self._fault = None
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
        kind, body = _event(line, self._resource)
        if kind == "ERROR":
            raise _error(body, self._resource)
        version = _metadata(body).get("resourceVersion")
        if not isinstance(version, str) or _went_back(self._position, version):
            # Only a restored backup does that; what we know may then never have been.
            raise ExpiredError(f"watch {self._resource.plural}: went back to version {version}")
        if kind == "DELETED":
            self._emit(self._store.remove(key_of(body)))
        elif kind != "BOOKMARK":
            self._emit(self._store.put(key_of(body), self._known(body)))
        self._position = version
        self._heard_at = self._chance.clock()
        self._heard += 1

    def _known(self, body: Object) -> Known[T]:
        metadata = _metadata(body)
        return Known(
            uid=str(metadata.get("uid") or ""),
            resource_version=str(metadata.get("resourceVersion") or ""),
            value=self._project(body),
        )

    def _emit(self, changes: tuple[Change[T], ...]) -> None:
        for change in changes:
            for listener in self._listeners:
                listener(change)

    def _note(self, fault: KubeError, *, failures: int) -> None:
        self._fault = fault
        if not isinstance(fault, UnreachableError) or failures >= _RESUMES_BEFORE_RELIST:
            self._position = None
        log.warning(
            "informer interrupted",
            resource=self._resource.plural,
            failures=failures,
            relist=self._position is None,
            error=str(fault),
        )

    def _delay(self, fault: KubeError, failures: int) -> float:
        delay = self._pace.backoff.delay(failures, random=self._chance.random)
        return max(delay, min(fault.retry_after or 0.0, self._pace.backoff.longest))


async def pages(
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
    token = ""
    while True:
        page = await client.list_page(
            resource, namespace=namespace, limit=limit, continue_token=token, selectors=selectors
        )
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


def _event(line: bytes, resource: Resource) -> tuple[str, Object]:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as garbled:
        raise UnreachableError(f"watch {resource.plural}: not JSON: {garbled}") from garbled
    if not isinstance(event, dict):
        raise UnreachableError(f"watch {resource.plural}: an event that is no object")
    event = cast("dict[str, Json]", event)
    body = event.get("object")
    return str(event.get("type")), body if isinstance(body, dict) else {}


def _error(status: Object, resource: Resource) -> KubeError:
    code = status.get("code")
    return error_from_status(
        code if isinstance(code, int) else 500,
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or "no message"),
        doing=f"watch {resource.plural}",
    )


def _metadata(body: Object) -> dict[str, Json]:
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _went_back(before: str | None, after: str) -> bool:
    if before is None or not (before.isdecimal() and after.isdecimal()):
        return False
    return int(after) < int(before)
