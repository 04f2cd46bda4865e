"""Asks the API server for what a process cannot begin without, until it answers.

It decides nothing about the answer, and gives up for no fault.
"""

import asyncio
import random as randomness
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from controller.clients.kube.backoff import Backoff
from controller.clients.kube.errors import KubeError

T = TypeVar("T")

log = structlog.get_logger("governor.reconcilers")


async def until_answered(
    ask: Callable[[], Awaitable[T]],
    *,
    what: str,
    backoff: Backoff | None = None,
    random: Callable[[], float] = randomness.random,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """The answer, however long it takes to get it.

    Args:
        ask: one question to the API server.
        what: is asked for, for the log.
        backoff: the delay after failures.
        random: draws the jitter, in [0, 1).
        sleep: waits that many seconds.
    """
    delays = backoff or Backoff()
    failures = 0
    while True:
        try:
            answer = await ask()
        except KubeError as fault:
            failures += 1
            log.warning("not answered yet", asked=what, failures=failures, error=str(fault))
            delay = delays.delay(failures, random=random)
            await sleep(max(delay, min(fault.retry_after or 0.0, delays.longest)))
        else:
            log.info("answered", asked=what, answer=str(answer))
            return answer
