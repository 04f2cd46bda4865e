"""Builds the judge of a process: the engine with its policies, and the reviewer that asks it.

The same for the webhook and for the command line, so that both are one judge.
Wires only; imports neither the Kubernetes client nor the web server, which the
command line does without.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from ulid import ULID

from controller.admission.reviewer import Reviewer
from controller.clients.engine.bundle import read_policy_set
from controller.clients.engine.supervisor import ChildEngine
from controller.clients.engine.supervisor import EngineSettings as ChildSettings
from controller.policy.engine import Engine
from controller.settings import EngineSettings


@asynccontextmanager
async def running_engine(settings: EngineSettings) -> AsyncGenerator[ChildEngine, None]:
    """The engine with the policies of the settings loaded, for as long as the block lasts.

    Raises:
        PolicySourceError: the policies cannot be read.
        PolicyRejectedError: they do not compile; with positions.
        EngineUnavailableError: the engine cannot be run.
    """
    policies = read_policy_set(settings.policies)
    engine = ChildEngine(ChildSettings(settings.engine_binary()), monotonic=time.monotonic)
    await engine.start()
    try:
        await engine.load(policies)
        yield engine
    finally:
        await engine.stop()


def build_reviewer(
    engine: Engine,
    settings: EngineSettings,
    *,
    mint_change: Callable[[], str] = lambda: str(ULID()),
) -> Reviewer:
    """The judge, with this machine's clock."""
    return Reviewer(
        engine,
        clock_ns=time.time_ns,
        mint_change=mint_change,
        timeout_seconds=settings.engine_timeout_seconds,
    )
