"""Knows which webhook processes live, and tells the others of this one: a Lease for each.

A process renews its Lease; one whose Lease did not change for its duration, on our own
clock, is dead to us, and so is one that withdrew it. Nobody's wall clock is believed.
Who is known here is a hint: a process may be gone all the same, or live unknown.

The address is in an annotation, and proves nothing: whoever could write it could only have
connections refused, for a peer shows a certificate (`controller.clients.peers.tls`).
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import structlog

from controller.clients.kube.client import Object
from controller.clients.kube.errors import ConflictError, KubeError, NotFoundError
from controller.clients.kube.events import metadata_of
from controller.clients.kube.informer import Chance, Informer, ListsAndWatches, Pace
from controller.clients.kube.resources import LEASES, Key, Resource
from controller.clients.kube.store import Change
from controller.clients.peers.connection import Address
from controller.feeds.registry import ATTENTIVE
from controller.registration.priority import NAMESPACE

LABEL = "governor.dev/process"
ADDRESS = "governor.dev/address"
_WEBHOOK = "webhook"

log = structlog.get_logger("governor.feeds")


class LeaseWriter(ListsAndWatches, Protocol):
    """The part of `KubeClient` that is used."""

    async def apply(self, resource: Resource, body: Object) -> Object:
        """Create one object, or own the fields of it."""
        ...

    async def delete(
        self,
        resource: Resource,
        key: Key,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """Delete one object."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """For how long a process lives without a word; times in seconds."""

    duration: float = 10.0
    renew: float = 3.0
    request: float = 3.0
    """For one request."""
    burial: float = 60.0
    """After so long in silence its Lease is deleted by whoever sees it."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A process as its Lease tells of it."""

    address: Address | None
    uid: str
    resource_version: str
    at: float
    """When it last changed, on our clock."""


class PeerFeed:
    """The webhook processes of one Governor."""

    def __init__(
        self,
        client: LeaseWriter,
        *,
        replica: str,
        address: Address | None,
        terms: Terms | None = None,
        pace: Pace | None = None,
        chance: Chance | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Describe this process; nothing is asked or told before `run`.

        Args:
            client: whom to ask.
            replica: the name of this process: of no other that lives.
            address: where peers reach it; None: they are told of nothing.
            terms: for how long a process lives without a word.
            pace: of the watch.
            chance: time and randomness of the watch.
            now: aware; written for people to read, never compared.
            clock: monotonic seconds.
            sleep: waits.
        """
        self._client = client
        self._replica = replica
        self._address = address
        self._terms = terms or Terms()
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._heard: dict[str, _Heard] = {}
        self._writing = asyncio.Lock()
        self._is_withdrawn = False
        self._informer = Informer(
            client,
            LEASES,
            _address_of,
            namespace=NAMESPACE,
            selectors=[("labelSelector", f"{LABEL}={_WEBHOOK}")],
            pace=pace or ATTENTIVE,
            chance=chance,
        )
        self._informer.subscribe(self._hear)

    def peers(self) -> Mapping[str, Address]:
        """The processes that live now, by name, as far as is known; this one among them."""
        oldest = self._clock() - self._terms.duration
        return {
            name: heard.address
            for name, heard in self._heard.items()
            if heard.address is not None and heard.at > oldest
        }

    @property
    def own(self) -> str:
        """By which name this process is among the peers."""
        return lease_name(self._replica)

    async def run(self, ready: Callable[[], Awaitable[None]]) -> NoReturn:
        """Watch the others; tell of this process once `ready` returns, and renew it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._informer.run(), name="informer of the peers")
            await ready()
            while True:
                await self._renew()
                await self._bury()
                await self._sleep(self._terms.renew)

    async def withdraw(self) -> None:
        """Tell the others that this process writes for nobody any more."""
        self._is_withdrawn = True
        try:
            async with asyncio.timeout(self._terms.request), self._writing:
                await self._client.delete(LEASES, Key(NAMESPACE, self.own))
        except NotFoundError:
            return
        except (KubeError, TimeoutError) as fault:
            log.warning("the peers were not told", error=str(fault) or "no answer in time")

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(self._terms.request), self._writing:
                if self._address is not None and not self._is_withdrawn:
                    await self._client.apply(LEASES, self._lease(self._address))
        except (KubeError, TimeoutError) as fault:
            # Until it is told, the others write themselves.
            log.warning("the peers were not told", error=str(fault) or "no answer in time")

    def _lease(self, address: Address) -> Object:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "namespace": NAMESPACE,
                "name": self.own,
                "labels": {LABEL: _WEBHOOK, "app.kubernetes.io/managed-by": "governor"},
                "annotations": {ADDRESS: f"{address.host}:{address.port}"},
            },
            "spec": {
                "holderIdentity": self._replica,
                "leaseDurationSeconds": math.ceil(self._terms.duration),
                "renewTime": self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }

    def _hear(self, change: Change[Address | None]) -> None:
        if change.new is None:
            self._heard.pop(change.key.name, None)
            return
        known = change.new
        self._heard[change.key.name] = _Heard(
            known.value, known.uid, known.resource_version, self._clock()
        )

    async def _bury(self) -> None:
        """Delete Leases whose process is long dead: nobody else ever would."""
        oldest = self._clock() - self._terms.burial
        for name, heard in [*self._heard.items()]:
            if heard.at > oldest or self._informer.fault is not None:
                continue
            try:
                async with asyncio.timeout(self._terms.request):
                    await self._client.delete(
                        LEASES,
                        Key(NAMESPACE, name),
                        uid=heard.uid,
                        resource_version=heard.resource_version,
                    )
            except (ConflictError, NotFoundError):
                continue  # it lives after all, or another was quicker
            except (KubeError, TimeoutError) as fault:
                log.warning("a dead peer's Lease stays", error=str(fault) or "no answer in time")
                return


def lease_name(replica: str) -> str:
    """The Lease's name: of what Kubernetes takes for one."""
    return f"governor-webhook-{replica.lower()}"


def _address_of(body: Object) -> Address | None:
    """Where the process listens; None where that cannot be read. Total."""
    annotations = metadata_of(body).get("annotations")
    written = annotations.get(ADDRESS) if isinstance(annotations, dict) else None
    host, colon, port = (written if isinstance(written, str) else "").rpartition(":")
    if not host or not colon or not (port.isascii() and port.isdecimal() and len(port) <= 5):
        return None
    return Address(host, int(port))
