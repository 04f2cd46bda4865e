"""Leases in memory, at the port `LeaseClient`: versions, conflicts, faults and lost answers.

`tests/integration/test_leader.py` holds it to what the real API server does.
"""

import asyncio
import copy

from controller.clients.kube.client import Object, key_of
from controller.clients.kube.errors import ConflictError, KubeError, NotFoundError
from controller.clients.kube.resources import Key, Resource


class LeaseStore:
    """What the API server holds, shared by all clients."""

    def __init__(self) -> None:
        self.held: dict[Key, Object] = {}
        self._version = 0

    def store(self, body: Object) -> Object:
        """Take over one object under a new version."""
        self._version += 1
        stored = copy.deepcopy(body)
        metadata = stored["metadata"]
        assert isinstance(metadata, dict)
        metadata["resourceVersion"] = self.version
        self.held[key_of(stored)] = stored
        return copy.deepcopy(stored)

    @property
    def version(self) -> str:
        """Of the last write."""
        return str(self._version)


class FakeLeases:
    """One client of the store.

    Attributes:
        fault: what every request meets, if anything.
        hangs: whether requests are never answered.
        loses_answers: whether writes are carried out, but their answers lost.
    """

    def __init__(self, store: LeaseStore) -> None:
        self.fault: KubeError | None = None
        self.hangs = False
        self.loses_answers: KubeError | None = None
        self._store = store

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object."""
        await self._meet_faults()
        if key not in self._store.held:
            raise NotFoundError(f"{resource.plural} {key}", status=404)
        return copy.deepcopy(self._store.held[key])

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create one object."""
        await self._meet_faults()
        if key_of(body) in self._store.held:
            raise ConflictError(f"{resource.plural} {key_of(body)}: exists", status=409)
        return self._answer(self._store.store(body))

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Replace one object of that very version."""
        await self._meet_faults()
        stored = self._store.held.get(key_of(body))
        # The real one creates a Lease that is not there, unless a version or uid binds it.
        if stored is None or _version(stored) != _version(body):
            raise ConflictError(f"{resource.plural} {key_of(body)}: changed", status=409)
        return self._answer(self._store.store(body))

    async def _meet_faults(self) -> None:
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault

    def _answer(self, stored: Object) -> Object:
        if self.loses_answers is not None:
            raise self.loses_answers
        return stored


def _version(body: Object) -> object:
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    return metadata.get("resourceVersion")
