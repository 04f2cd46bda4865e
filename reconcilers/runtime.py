"""A minimal level-based reconcile loop: keys in, one `reconcile` at a time per key.

A key says *which* thing to look at, never what happened to it: `reconcile` reads
the truth itself, so keys that arrive while one waits or runs fold into one more
run. Faults of the API server are retried per key, with growing delays; any other
exception is a bug, and ends the loop.
"""

import asyncio
import random as randomness
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, NoReturn, Protocol, TypeVar

import structlog

from controller.clients.kube.backoff import Backoff
from controller.clients.kube.errors import KubeError

K = TypeVar("K", bound=Hashable)

log = structlog.get_logger("governor.reconcilers")


@dataclass(frozen=True, slots=True)
class Result:
    """How a reconciliation ended well."""

    requeue_after: float | None = None
    """Seconds after which to look again, though nothing was heard; None: only when something is."""


class PartlyFailedError(KubeError):
    """Some writes of one reconciliation failed; its cause holds them all."""


def as_one(faults: Sequence[KubeError]) -> KubeError:
    """One fault for the loop to back off from: a single one itself, several as one.

    Raises:
        ValueError: there is none.
    """
    if not faults:
        raise ValueError("no faults: there is nothing to raise")
    if len(faults) == 1:
        return faults[0]
    waits = [fault.retry_after for fault in faults if fault.retry_after is not None]
    together = PartlyFailedError(
        f"{len(faults)} writes failed, the first: {faults[0]}",
        status=faults[0].status,
        reason=faults[0].reason,
        retry_after=max(waits, default=None),
    )
    together.__cause__ = ExceptionGroup("every write that failed", list(faults))
    return together


class Timer(Protocol):
    """What `call_later` gives."""

    def cancel(self) -> None:
        """Take the call back."""
        ...


CallLater = Callable[[float, Callable[[], None]], Timer]


class WorkQueue(Generic[K]):
    """Keys to reconcile, each at most once, in the order in which they came.

    A key that is being worked on does not come out again before `done`, so no two
    workers ever hold the same one.
    """

    def __init__(self, *, call_later: CallLater | None = None) -> None:
        self._call_later = call_later or _on_the_running_loop
        self._waiting: dict[K, None] = {}
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, Timer] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: K) -> None:
        """Look at this key soon."""
        if key in self._active:
            self._again.add(key)
            return
        self._waiting[key] = None
        self._filled.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Look at this key then; a later call takes the place of the earlier."""
        earlier = self._timers.pop(key, None)
        if earlier is not None:
            earlier.cancel()
        self._timers[key] = self._call_later(seconds, lambda: self._due(key))

    async def get(self) -> K:
        """Wait for a key; call `done` with it afterwards."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """End the work on a key; if it was added meanwhile, it comes again."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Cancel what is due later."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)


async def run_loop(
    queue: WorkQueue[K],
    reconcile: Callable[[K], Awaitable[Result]],
    *,
    name: str,
    backoff: Backoff | None = None,
    random: Callable[[], float] = randomness.random,
) -> NoReturn:
    """Reconcile key after key until cancelled.

    Args:
        queue: where keys come from; closed at the end.
        reconcile: makes the cluster right for one key; idempotent.
        name: of the loop, for the log.
        backoff: the delay after failures of one key.
        random: draws the jitter, in [0, 1).
    """
    delays = backoff or Backoff()
    failures: dict[K, int] = {}
    try:
        while True:
            key = await queue.get()
            try:
                result = await reconcile(key)
            except KubeError as fault:
                count = failures[key] = failures.get(key, 0) + 1
                delay = max(
                    delays.delay(count, random=random),
                    min(fault.retry_after or 0.0, delays.longest),
                )
                queue.add_after(key, delay)
                log.warning(
                    "reconcile failed", loop=name, key=str(key), failures=count, error=str(fault)
                )
            else:
                failures.pop(key, None)
                if result.requeue_after is not None:
                    queue.add_after(key, result.requeue_after)
            finally:
                queue.done(key)
    finally:
        queue.close()


def _on_the_running_loop(seconds: float, call: Callable[[], None]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, call)
