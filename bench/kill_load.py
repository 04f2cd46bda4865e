"""The agent's writes while processes die: creates, updates, races, scales and deletes.

Its quota of Pods is small enough to refuse some of them.

Writes as a real agent would, with retries of its own, and counts what it tried. What
became of a write is not this module's to say: an answer can be lost, and the witness
knows better.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.errors import ConflictError, KubeError, NotFoundError, UnreachableError
from controller.clients.kube.resources import Key, Resource

if TYPE_CHECKING:
    from controller.apis.json import Json

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", namespaced=True)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
SCALED = "scaled"
_SHARED = 3
_RETRY_SECONDS = 0.1
_GIVE_UP_SECONDS = 90.0
_SAYS_NO_MORE = "settled as"
"""Of a denial that asks for the write to be sent anew."""
_REFUSES = "governor: denied [quota-exceeded]"
_REQUESTS: "Json" = {"cpu": "10m", "memory": "16Mi"}
_WAYS = {"create": 4, "apply": 3, "race": 2, "scale": 1, "delete": 2, "pod": 3, "unpod": 1}
"""How often each kind of write is chosen, relative to the others."""

Operation: TypeAlias = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Tally:
    """What the writers saw."""

    done: int = 0
    """Writes that were answered well, or refused for good by a rival's."""
    refused: int = 0
    """Of them, those that the quota had no room for."""
    repeated: int = 0
    """Times that a write was sent again after a fault."""
    problems: list[str] = field(default_factory=list[str])
    """What an agent should never be told here."""


@dataclass(frozen=True, slots=True)
class _Own:
    """The names of what one writer made and has not deleted."""

    maps: list[str]
    pods: list[str]


class Load:
    """Several writers of one agent."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        *,
        account: str,
        writes: int,
        writers: int,
        seed: int,
    ) -> None:
        self.tally = Tally()
        self._client = client
        self._namespace = namespace
        self._account = account
        self._left = writes
        self._writers = writers
        self._seed = seed

    async def prepare(self) -> None:
        """Create what the writers share."""
        for number in range(_SHARED):
            await self._client.create(CONFIG_MAPS, self._config_map(f"shared-{number}", "0"))
        await self._client.create(DEPLOYMENTS, _deployment(self._namespace))

    async def run(self) -> None:
        """Write until all were tried."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._writers):
                tasks.create_task(self._write_on(number))

    async def _write_on(self, number: int) -> None:
        chance = random.Random(f"{self._seed}-{number}")  # noqa: S311 -- a load, not a secret
        own = _Own([], [])
        while self._left > 0:
            self._left -= 1
            name = f"w{number}-{self._left}"
            try:
                await self._write(chance, own, name)
            except KubeError as fault:
                self.tally.problems.append(f"{name}: {fault}")
            self.tally.done += 1

    async def _write(self, chance: random.Random, own: "_Own", name: str) -> None:
        way = chance.choices([*_WAYS], [*_WAYS.values()])[0]
        match way:
            case "race":
                await self._patiently(
                    lambda: self._race(f"shared-{chance.randrange(_SHARED)}", name)
                )
            case "scale":
                await self._patiently(lambda: self._scale(chance.randrange(5)))
            case "pod":
                await self._create_pod(own, name)
            case "unpod" if own.pods:
                await self._delete(PODS, own.pods.pop(chance.randrange(len(own.pods))))
            case "apply" if own.maps:
                body = self._config_map(chance.choice(own.maps), name)
                await self._patiently(lambda: self._client.apply(CONFIG_MAPS, body))
            case "delete" if own.maps:
                await self._delete(CONFIG_MAPS, own.maps.pop(chance.randrange(len(own.maps))))
            case _:
                body = self._config_map(name, "0")
                await self._patiently(lambda: self._client.create(CONFIG_MAPS, body))
                own.maps.append(name)

    async def _create_pod(self, own: "_Own", name: str) -> None:
        body: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": {**_pod_spec(), "serviceAccountName": self._account},
        }
        if await self._patiently(lambda: self._client.create(PODS, body)):
            own.pods.append(name)

    async def _delete(self, resource: Resource, name: str) -> None:
        key = Key(self._namespace, name)
        await self._patiently(lambda: self._client.delete(resource, key))

    async def _race(self, name: str, value: str) -> None:
        """Read and replace: of rivals one wins."""
        held = await self._client.get(CONFIG_MAPS, Key(self._namespace, name))
        await self._client.replace(CONFIG_MAPS, {**held, "data": {"value": value}})

    async def _scale(self, replicas: int) -> None:
        scale: Object = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": SCALED, "namespace": self._namespace},
            "spec": {"replicas": replicas},
        }
        await self._client.replace(DEPLOYMENTS, scale, subresource="scale")

    async def _patiently(self, write: Operation) -> bool:
        """Send a write again as clients do; what is there or gone already is as it should be.

        Returns whether it was not refused for the quota.
        """
        give_up = asyncio.get_running_loop().time() + _GIVE_UP_SECONDS
        while True:
            try:
                await write()
            except (ConflictError, NotFoundError):
                return True
            except KubeError as fault:
                if _REFUSES in str(fault):
                    self.tally.refused += 1
                    return False
                is_passing = isinstance(fault, UnreachableError) or _SAYS_NO_MORE in str(fault)
                if not is_passing or asyncio.get_running_loop().time() > give_up:
                    raise
                self.tally.repeated += 1
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return True

    def _config_map(self, name: str, value: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self._namespace},
            "data": {"value": value},
        }


def _deployment(namespace: str) -> Object:
    labels: dict[str, Json] = {"app": SCALED}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": SCALED, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec()},
        },
    }


def _pod_spec() -> "dict[str, Json]":
    resources: Json = {"requests": _REQUESTS}
    container: Json = {
        "name": "main",
        "image": "registry.k8s.io/pause:3.10",
        "resources": resources,
    }
    return {"containers": [container]}
