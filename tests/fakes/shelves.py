"""A cluster of a few resources, each listed and watched; what is put is told at once."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import orjson

from controller.clients.kube.client import Object, Page, key_of
from controller.clients.kube.resources import Resource
from controller.clients.kube.transport import Query


@dataclass
class Shelf:
    """One resource of the fake cluster."""

    objects: dict[str, Object] = field(default_factory=dict[str, Object])
    events: "asyncio.Queue[bytes]" = field(default_factory=lambda: asyncio.Queue[bytes]())


class Shelves:
    """Lists and watches some resources; the port's fake, for orders that a server decides."""

    def __init__(self, *resources: Resource) -> None:
        self._version = 100
        self.shelves = {resource: Shelf() for resource in resources}

    def put(self, resource: Resource, body: Object) -> None:
        """Store, and tell."""
        self._version += 1
        metadata = {**cast("Object", body["metadata"]), "resourceVersion": str(self._version)}
        stored: Object = {**body, "metadata": metadata}
        self.shelves[resource].objects[key_of(body).name] = stored
        self._tell(resource, "MODIFIED", stored)

    def delete(self, resource: Resource, name: str) -> None:
        """Delete, and tell."""
        self._version += 1
        gone = self.shelves[resource].objects.pop(name)
        metadata = {**cast("Object", gone["metadata"]), "resourceVersion": str(self._version)}
        self._tell(resource, "DELETED", {**gone, "metadata": metadata})

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
        shelf = self.shelves[resource]
        while not shelf.events.empty():
            shelf.events.get_nowait()
        return Page(tuple(shelf.objects.values()), str(self._version), "")

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
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """For good."""
        yield self._follow(self.shelves[resource].events)

    async def _follow(self, events: "asyncio.Queue[bytes]") -> AsyncIterator[bytes]:
        while True:
            yield await events.get()

    def _tell(self, resource: Resource, kind: str, body: Object) -> None:
        event = orjson.dumps({"type": kind, "object": body}) + b"\n"
        self.shelves[resource].events.put_nowait(event)
