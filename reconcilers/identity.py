"""Asks the API server who Governor is, until it says so.

Any kubeconfig may be used, so no name can be assumed: a Mandate that names the user
Governor runs as would have Governor's own writes judged, and refused.

It decides nothing about the name, and gives up for no fault: without it Governor
could register itself as an agent.
"""

import asyncio
import random as randomness
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from controller.clients.kube.backoff import Backoff
from controller.clients.kube.errors import KubeError

log = structlog.get_logger("governor.reconcilers")


class AsksWhoIAm(Protocol):
    """The part of `KubeClient` that is used."""

    async def who_am_i(self) -> str:
        """The username that the API server knows us by."""
        ...


async def own_username(
    client: AsksWhoIAm,
    *,
    backoff: Backoff | None = None,
    random: Callable[[], float] = randomness.random,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> str:
    """Governor's username, however long it takes to learn it.

    Args:
        client: whom to ask.
        backoff: the delay after failures.
        random: draws the jitter, in [0, 1).
        sleep: waits that many seconds.
    """
    delays = backoff or Backoff()
    failures = 0
    while True:
        try:
            username = await client.who_am_i()
        except KubeError as fault:
            failures += 1
            log.warning(
                "own username unknown, nothing is registered yet",
                failures=failures,
                error=str(fault),
            )
            delay = delays.delay(failures, random=random)
            await sleep(max(delay, min(fault.retry_after or 0.0, delays.longest)))
        else:
            log.info("own username known", username=username)
            return username
