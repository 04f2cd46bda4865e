"""Looks up what the asks of a write depend on beside its own objects.

How many nodes there are and which autoscalers exist is watched; the one object that a
scale or an autoscaler acts on is read when it is asked for. Most writes need none of it,
and cost nothing. It decides nothing: what is needed, and what it means, is in
`controller.asks`.
"""

import asyncio
from typing import NoReturn, Protocol

from controller.apis.json import Json
from controller.asks.asked import Needs, ObjectReference, Surroundings
from controller.clients.kube.client import Object
from controller.clients.kube.errors import NotFoundError
from controller.clients.kube.informer import Chance, Informer, ListsAndWatches, Pace
from controller.clients.kube.resources import AUTOSCALERS, NODES, Key, Resource


class Reads(ListsAndWatches, Protocol):
    """The part of `KubeClient` that is needed here."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """One object as it is stored now.

        Raises:
            NotFoundError: there is none.
            KubeError: nobody can say.
        """
        ...


class SurroundingsFeed:
    """What there is beside the objects of a write."""

    def __init__(
        self, client: Reads, *, pace: Pace | None = None, chance: Chance | None = None
    ) -> None:
        self._client = client
        self._nodes = Informer(client, NODES, _nothing, pace=pace, chance=chance)
        self._autoscalers = Informer(client, AUTOSCALERS, _itself, pace=pace, chance=chance)

    async def run(self) -> NoReturn:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nodes.run(), name="informer of nodes")
            tasks.create_task(self._autoscalers.run(), name="informer of autoscalers")
        raise AssertionError("an informer ended")

    def missing(self) -> tuple[str, ...]:
        """What is not known yet, by name and reason; empty when all is."""
        return tuple(
            f"{informer.resource.plural}: {informer.fault or 'not listed yet'}"
            for informer in (self._nodes, self._autoscalers)
            if not informer.synced.is_set()
        )

    async def gather(self, needs: Needs, *, namespace: str) -> Surroundings:
        """What one write needs to be known.

        Args:
            needs: of the write.
            namespace: that it is in.

        Raises:
            KubeError: the object that it acts on could not be read.
        """
        return Surroundings(
            nodes=len(self._nodes.snapshot()) if needs.nodes else 0,
            autoscalers=self._autoscalers_in(namespace) if needs.autoscalers else (),
            scaled=None if needs.scaled is None else await self._read(needs.scaled),
        )

    def _autoscalers_in(self, namespace: str) -> tuple[Object, ...]:
        found = self._autoscalers.snapshot().items()
        return tuple(body for key, body in found if key.namespace == namespace)

    async def _read(self, wanted: ObjectReference) -> Object | None:
        """As it is stored; None where there is none, or another one of that name."""
        resource = Resource(wanted.group, wanted.version, wanted.resource, "", namespaced=True)
        try:
            found = await self._client.get(resource, Key(wanted.namespace, wanted.name))
        except NotFoundError:
            return None
        return found if not wanted.uid or _uid_of(found) == wanted.uid else None


def _nothing(_body: Object) -> None:
    """Only how many there are counts."""


def _itself(body: Object) -> Object:
    return body


def _uid_of(body: Object) -> Json:
    metadata = body.get("metadata")
    return metadata.get("uid") if isinstance(metadata, dict) else None
