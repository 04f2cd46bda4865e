"""Lays the ground that Governor stands on, and keeps it: its namespace, its priority level.

All of it must be there before any webhook is registered: from then on every governed
write waits for a write of Governor's own, which without a level of its own waits for
them (see `controller.registration.priority`). `laid` says when.

Level-based, like the registration: whatever is changed or deleted is put back from what
is stored. A replacement keeps the metadata that belongs to others, and is bound to the
version that was seen. Runs in any number of processes of the same identity at once;
processes of different identities must be told of each other's, or each would take the
other out of the flow schema.

It registers nothing, and deletes nothing: what it lays is left when Governor goes.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol

import structlog

from controller.apis.json import Json
from controller.clients.kube.client import Object, key_of
from controller.clients.kube.errors import KubeError
from controller.clients.kube.informer import Chance, Informer, ListsAndWatches, Pace
from controller.clients.kube.resources import Resource
from controller.feeds.priority import FLOW_SCHEMAS, PRIORITY_LEVELS, one_object
from controller.registration.priority import (
    render_flow_schema,
    render_namespace,
    render_priority_level,
)
from reconcilers.runtime import Result, WorkQueue, as_one, run_loop

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)

_LOOP = "ground"
_RESYNC_SECONDS = 60.0

log = structlog.get_logger("governor.reconcilers")


class GroundClient(ListsAndWatches, Protocol):
    """The part of `KubeClient` that the loop uses."""

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create one object; returns it as stored."""
        ...

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Put one object in place of the stored one; returns it as stored."""
        ...


@dataclass(frozen=True, slots=True)
class _Stone:
    """One object that must be stored as it is desired."""

    desired: Object
    stored: Informer[Object]


class Ground:
    """The loop with what it watches.

    Attributes:
        laid: set once all of it was stored as it should be, and never cleared.
    """

    def __init__(
        self,
        client: GroundClient,
        usernames: Collection[str],
        *,
        pace: Pace | None = None,
        chance: Chance | None = None,
    ) -> None:
        """Describe the ground; nothing is asked before `run`.

        Args:
            client: whom to ask.
            usernames: as whom Governor's processes come; its ServiceAccount is always added.
            pace: of the watches.
            chance: time and randomness.
        """
        self.laid = asyncio.Event()
        self._client = client
        self._queue: WorkQueue[str] = WorkQueue()
        desired = (
            (NAMESPACES, render_namespace()),
            (PRIORITY_LEVELS, render_priority_level()),
            (FLOW_SCHEMAS, render_flow_schema(usernames)),
        )
        self._stones = tuple(
            _Stone(body, one_object(client, of, key_of(body).name, pace=pace, chance=chance))
            for of, body in desired
        )
        for stone in self._stones:
            stone.stored.subscribe(lambda _change: self._queue.add(_LOOP))

    async def run(self) -> NoReturn:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for stone in self._stones:
                plural = stone.stored.resource.plural
                tasks.create_task(stone.stored.run(), name=f"informer of our {plural}")
            for stone in self._stones:
                await stone.stored.synced.wait()
            self._queue.add(_LOOP)
            await run_loop(self._queue, self._reconcile, name=_LOOP)
        raise AssertionError("the loop ended")

    async def _reconcile(self, _key: str) -> Result:
        faults: list[KubeError] = []
        for stone in self._stones:
            try:
                await self._lay(stone)
            except KubeError as fault:
                faults.append(fault)
        if faults:
            raise as_one(faults)
        self.laid.set()
        return Result(requeue_after=_RESYNC_SECONDS)

    async def _lay(self, stone: _Stone) -> None:
        resource, key = stone.stored.resource, key_of(stone.desired)
        known = stone.stored.get(key)
        if known is None:
            await self._client.create(resource, stone.desired)
            log.info("ground created", kind=resource.kind, name=key.name)
            return
        replacement = mended(known.value, stone.desired)
        if replacement is not None:
            stone.stored.adopt(await self._client.replace(resource, replacement))
            log.info("ground restored", kind=resource.kind, name=key.name)


def mended(stored: Object, desired: Object) -> Object | None:
    """What to store in place of an object; None where it is as desired already.

    A spec counts as a whole: a field more (a lowered limit, another subject) is as wrong
    as one that differs. Where none is desired, the stored one stays. Labels are added,
    and the rest of the metadata belongs to others.
    """
    held = _part(stored, "metadata")
    labels = {**_part(held, "labels"), **_part(_part(desired, "metadata"), "labels")}
    spec: Json = desired.get("spec", stored.get("spec"))
    if spec == stored.get("spec") and labels == held.get("labels"):
        return None
    # The version stays in the metadata: it is the precondition.
    metadata = {key: value for key, value in held.items() if key != "managedFields"}
    # Lists carry no kind and version of their items.
    named: Object = {"apiVersion": desired["apiVersion"], "kind": desired["kind"]}
    return {**stored, **named, "metadata": {**metadata, "labels": labels}, "spec": spec}


def _part(body: Mapping[str, Json], name: str) -> dict[str, Json]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}
