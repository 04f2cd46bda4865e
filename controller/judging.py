"""Builds the judge of a process: the engine with its policies, and the reviewer that asks it.

The same for the webhook and for the command line, so that both are one judge.
Wires only; imports neither the Kubernetes client nor the web server, which the
command line does without.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from ulid import ULID

from controller.admission.reviewer import Reviewer
from controller.clients.engine.bundle import read_policy_set
from controller.clients.engine.remote import RemoteEngine, RemoteSettings, client_for
from controller.clients.engine.supervisor import ChildEngine
from controller.clients.engine.supervisor import EngineSettings as ChildSettings
from controller.policy.engine import Engine
from controller.settings import EngineSettings


class RunningEngine(Engine, Protocol):
    """An engine of this process, with its policies."""

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked now."""
        ...


@asynccontextmanager
async def running_engine(settings: EngineSettings) -> AsyncGenerator[RunningEngine, None]:
    """The engine that the settings name, for as long as the block lasts.

    Raises:
        RemoteSettingsError: the address of the remote server is none.
        PolicySourceError, PolicyRejectedError, EngineUnavailableError: see `running_child`.
    """
    if settings.opa_url is None:
        async with running_child(settings) as child:
            yield child
        return
    units = read_policy_set(settings.policies).names
    token = settings.opa_token.get_secret_value() if settings.opa_token else None
    server = RemoteSettings(settings.opa_url, units=units, token=token)
    remote = RemoteEngine(server, client=client_for(server))
    await remote.start()
    try:
        yield remote
    finally:
        await remote.stop()


@asynccontextmanager
async def running_child(settings: EngineSettings) -> AsyncGenerator[ChildEngine, None]:
    """A child process with the policies of the settings loaded, whatever engine they name.

    Raises:
        PolicySourceError: the policies cannot be read.
        PolicyRejectedError: they do not compile; with positions.
        EngineUnavailableError: the engine cannot be run.
    """
    policies = read_policy_set(settings.policies)
    child = ChildEngine(ChildSettings(settings.engine_binary()), monotonic=time.monotonic)
    await child.start()
    try:
        await child.load(policies)
        yield child
    finally:
        await child.stop()


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
