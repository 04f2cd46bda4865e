"""Policy sets and engine processes for tests: real ones, and a scripted one that lies."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from controller.apis.json import Json
from controller.clients.engine.backoff import Backoff
from controller.clients.engine.bundle import unit_query
from controller.clients.engine.policyset import Module, PolicySet, Unit
from controller.clients.engine.supervisor import ChildEngine, EngineSettings
from controller.policy.engine import Engine

SCRIPT = Path(__file__).parent / "fakes" / "engine_process.py"

ECHO = "package governor.echo\n\ndeny contains input.n\n"
QUIET = "package governor.quiet\n\ndeny contains 1 if input.never\n"
# It never ends by itself, and heeds its deadline.
ENDLESS = """package governor.endless

deny contains count(pairs) if {
	input.endless
	pairs := [1 | some a in numbers.range(1, 100000); some b in numbers.range(1, 100000)]
}
"""


def unit_of(source: str) -> Unit:
    """Make the unit of one module, named by its package."""
    name = source.split("\n", 1)[0].removeprefix("package governor.")
    module = Module(f"governor/{name}/{name}.rego", source)
    return Unit(name=f"governor.{name}", query=unit_query(name), modules=(module,))


def policies(*sources: str, allow: tuple[str, ...] = ()) -> PolicySet:
    """Make a policy set with a unit for each source."""
    return PolicySet(tuple(unit_of(source) for source in sources), allow=allow)


def settings_for(binary: Path) -> EngineSettings:
    """Settings that restart without delay, so that a test need not wait."""
    return EngineSettings(binary=binary, backoff=Backoff(first=0.01), wait_for_ready=10.0)


@asynccontextmanager
async def running(
    settings: EngineSettings, policy_set: PolicySet | None = None
) -> AsyncGenerator[ChildEngine]:
    """Run an engine that serves the set."""
    engine = ChildEngine(settings, monotonic=time.monotonic)
    await engine.start()
    try:
        if policy_set is not None:
            await engine.load(policy_set)
        yield engine
    finally:
        await engine.stop()


async def ask(engine: Engine, document: dict[str, Json], *, seconds: float) -> None:
    """Ask, and leave the answer."""
    await engine.evaluate(document, now_ns=1, timeout_seconds=seconds)


async def echo(engine: Engine, number: int) -> None:
    """Ask the unit `echo` for a number, and get just that."""
    evaluation = await engine.evaluate({"n": number}, now_ns=1, timeout_seconds=30)
    values = {result.unit: result.value for result in evaluation.results}
    assert values["governor.echo"] == {"deny": [number], "warn": [], "cap": []}


async def becomes(holds: Callable[[], bool], *, within_seconds: float = 20.0) -> None:
    """Wait until it holds, and fail when it does not in time."""
    async with asyncio.timeout(within_seconds):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


def scripted(folder: Path, lie: str) -> Path:
    """Make a binary that speaks the protocol, and tells one lie when it is asked to evaluate."""
    binary = folder / f"engine-{lie}"
    binary.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SCRIPT}" "{lie}" "$@"\n')
    binary.chmod(0o755)
    return binary
