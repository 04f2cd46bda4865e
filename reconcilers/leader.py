"""Lets one of several processes work at a time: leader election over a Lease.

The Lease is only an optimisation. What keeps two leaders from harming each other are
the compare-and-swaps of what they write, the ledger's ref and each Account: a process
that was stopped for long, or a Lease that somebody deleted, makes two leaders for a
moment, and that must do nothing but cost requests.

Rules. Nobody's wall clock is believed: a Lease has expired when *we* have seen it
unchanged for its duration on our own monotonic clock. A holder counts its time from
before it sent the request that renewed, so it always gives up before another may take
over. A Lease that carries our own identity without our holding it is somebody else's:
identities are unique per process, and an answer that was lost is waited out.

The official client's `kubernetes.aio.leaderelection` (37.0) is not used: it reads the
wall clock, bounds no request (one that hangs outlives the Lease while the work goes on),
ends on any fault that is not an HTTP answer, neither waits for the cancelled work nor
notices that it failed, and never releases the Lease.
"""

import asyncio
import math
import random as randomness
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import structlog

from controller.apis.json import Json
from controller.clients.kube.client import Object
from controller.clients.kube.errors import ConflictError, KubeError, NotFoundError
from controller.clients.kube.resources import LEASES, Key, Resource
from controller.registration.priority import NAMESPACE

LEASE = Key(NAMESPACE, "governor-reconcile")

log = structlog.get_logger("governor.reconcilers")


class LeaseClient(Protocol):
    """The part of `KubeClient` that is used."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object, up to date."""
        ...

    async def create(self, resource: Resource, body: Object) -> Object:
        """Create one object; returns it as stored."""
        ...

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Put one object in place of that very version; returns it as stored."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """For how long a Lease holds; times in seconds, the same for all who compete."""

    duration: float = 10.0
    """Another takes over a Lease that did not change for so long."""
    renew_deadline: float = 7.0
    """The holder stops working so long after it last renewed; what is left until the duration
    is for the work to end in."""
    retry: float = 2.0
    """Between two renewals, and between two looks at a Lease that is held."""

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.renew_deadline < self.duration:
            raise ValueError(f"{self}: expected 0 < retry < renew_deadline < duration")


@dataclass(frozen=True, slots=True)
class _Seen:
    """A Lease as it was first seen, and when that was on our clock."""

    spec: dict[str, Json]
    since: float


@dataclass(frozen=True, slots=True)
class _Held:
    """The Lease as we last wrote it."""

    body: Object
    asked_at: float
    """Before the request was sent: the time from which it surely counts for us."""


class Leadership:
    """One contender for the Lease `governor-reconcile`."""

    def __init__(
        self,
        client: LeaseClient,
        *,
        identity: str,
        terms: Terms | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        random: Callable[[], float] = randomness.random,
    ) -> None:
        """Describe the contender; nothing is asked before `run_while_leading`.

        Args:
            client: whom to ask.
            identity: who holds the Lease; of this one process, and never used again.
            terms: for how long it holds.
            clock: monotonic seconds; must run as the event loop's does.
            now: aware; written into the Lease for people to read, never compared.
            random: draws the jitter between two looks, in [0, 1).
        """
        self._client = client
        self._identity = identity
        self._terms = terms or Terms()
        self._clock = clock
        self._now = now
        self._random = random
        self._seen: _Seen | None = None

    async def run_while_leading(self, work: Callable[[], Awaitable[None]]) -> NoReturn:
        """Wait for the Lease and run `work` while it is held; again and again until cancelled.

        `work` is cancelled when the Lease was not renewed in time, and waited for. One
        that ends by itself gives the Lease away, and is started anew at the next turn.

        Raises:
            Exception: whatever `work` raised, once the Lease is released.
        """
        while True:
            held = await self._acquire()
            log.info("leading", identity=self._identity)
            await self._lead(held, work)
            log.info("no longer leading", identity=self._identity)
            await asyncio.sleep(self._terms.retry)

    async def _lead(self, held: _Held, work: Callable[[], Awaitable[None]]) -> None:
        working = asyncio.ensure_future(work())
        renewing = asyncio.create_task(self._renew(held), name="renewal of the Lease")
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Renewed until the work has ended: while it winds up nobody else may begin.
            working.cancel()
            await asyncio.wait({working})
            renewing.cancel()
            await asyncio.wait({renewing})
            await self._release()
        for ended in (working, renewing):
            if not ended.cancelled():
                ended.result()

    async def _acquire(self) -> _Held:
        while True:
            try:
                # An answer that comes later than this is of no use: the time is counted from here.
                async with asyncio.timeout(self._terms.renew_deadline):
                    held = await self._try_to_take()
            except TimeoutError:
                log.warning("the Lease cannot be read", error="no answer in time")
            except KubeError as fault:
                log.warning("the Lease cannot be taken", error=str(fault))
            else:
                if held is not None:
                    return held
            await asyncio.sleep(self._terms.retry * (0.75 + 0.25 * self._random()))

    async def _try_to_take(self) -> _Held | None:
        asked_at = self._clock()
        try:
            stored = await self._client.get(LEASES, LEASE)
        except NotFoundError:
            created = await self._client.create(LEASES, self._lease({}, {}))
            return _Held(created, asked_at)
        spec = _part(stored, "spec")
        if spec.get("holderIdentity") and not self._has_expired(spec, asked_at):
            return None
        taken = await self._client.replace(LEASES, self._lease(_part(stored, "metadata"), spec))
        return _Held(taken, asked_at)

    def _has_expired(self, spec: dict[str, Json], asked_at: float) -> bool:
        if self._seen is None or self._seen.spec != spec:
            # Since the answer, not the request: its holder may have renewed in between.
            self._seen = _Seen(spec, self._clock())
            return False
        promised = spec.get("leaseDurationSeconds")
        duration = max(self._terms.duration, promised if isinstance(promised, int) else 0)
        return asked_at - self._seen.since >= duration

    async def _renew(self, held: _Held) -> None:
        """Renew until that fails for too long, or somebody else holds it."""
        while True:
            deadline = held.asked_at + self._terms.renew_deadline
            await asyncio.sleep(min(self._terms.retry, max(0.0, deadline - self._clock())))
            if self._clock() >= deadline:
                log.error("the Lease was not renewed in time", identity=self._identity)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline - self._clock()):
                    renewed = await self._try_to_renew(held)
                if renewed is None:
                    log.error("the Lease is somebody else's", identity=self._identity)
                    return
                held = renewed

    async def _try_to_renew(self, held: _Held) -> _Held | None:
        """The Lease renewed, or as it was when nobody answers; None when it is lost."""
        asked_at = self._clock()
        spec = {**_part(held.body, "spec"), "renewTime": self._timestamp()}
        try:
            renewed = await self._client.replace(LEASES, {**held.body, "spec": spec})
        except NotFoundError:
            return None
        except ConflictError:
            return await self._look_again(held)
        except KubeError as fault:
            log.warning("the Lease was not renewed", error=str(fault))
            return held
        return _Held(renewed, asked_at)

    async def _look_again(self, held: _Held) -> _Held | None:
        """After a conflict: an answer was lost, somebody wrote a label, or it is lost."""
        try:
            stored = await self._client.get(LEASES, LEASE)
        except NotFoundError:
            return None
        except KubeError as fault:
            log.warning("the Lease was not renewed", error=str(fault))
            return held
        return _Held(stored, held.asked_at) if self._is_ours(stored) else None

    async def _release(self) -> None:
        """Let the next one in at once, if it is still ours; where that fails, it expires."""
        try:
            async with asyncio.timeout(self._terms.retry):
                stored = await self._client.get(LEASES, LEASE)
                if self._is_ours(stored):
                    spec = {**_part(stored, "spec"), "holderIdentity": ""}
                    await self._client.replace(LEASES, {**stored, "spec": spec})
        except (KubeError, TimeoutError) as fault:
            log.warning("the Lease was not released", error=str(fault) or "no answer in time")

    def _is_ours(self, stored: Object) -> bool:
        return _part(stored, "spec").get("holderIdentity") == self._identity

    def _lease(self, metadata: dict[str, Json], spec: dict[str, Json]) -> Object:
        transitions = spec.get("leaseTransitions")
        taken_at = self._timestamp()
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            # With the version that was read: whoever took it meanwhile has it.
            "metadata": {**metadata, "namespace": LEASE.namespace, "name": LEASE.name},
            "spec": {
                **spec,
                "holderIdentity": self._identity,
                # Rounded up: others must wait at least as long as we rely on.
                "leaseDurationSeconds": math.ceil(self._terms.duration),
                "acquireTime": taken_at,
                "renewTime": taken_at,
                "leaseTransitions": transitions + 1 if isinstance(transitions, int) else 0,
            },
        }

    def _timestamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _part(body: Object, name: str) -> dict[str, Json]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}
