"""What every engine promises, whoever evaluates: the child, and a remote OPA server."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller.apis.json import Json
from controller.clients.engine.bundle import read_policy_set
from controller.clients.engine.remote import RemoteEngine, RemoteSettings, client_for
from controller.policy.engine import (
    Engine,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
    UnitResult,
)
from tests.engines import ENDLESS, running, settings_for

JUDGE = """package governor.judge

import data.governor.lib.names

deny contains {"code": "bad-name", "name": input.name} if not names.is_good(input.name)

warn contains {"code": "long-name"} if count(input.name) > 8
"""
LIBRARY = """package governor.lib.names

is_good(name) if startswith(name, "good")
"""
CONFLICT = """package governor.conflict

limit := input.low

limit := input.high

deny contains "over" if limit > 3
"""
DIVIDE = "package governor.divide\n\ndeny contains 1 if 1 / input.zero > 0\n"
SOURCES = {
    "governor/judge/judge.rego": JUDGE,
    "governor/judge/judge_test.rego": "package governor.judge\n\ntest_x if fail_to_compile(\n",
    "governor/lib/names/names.rego": LIBRARY,
    "governor/conflict/conflict.rego": CONFLICT,
    "governor/divide/divide.rego": DIVIDE,
    "governor/endless/endless.rego": ENDLESS,
}
UNITS = ("governor.conflict", "governor.divide", "governor.endless", "governor.judge")
FINE: dict[str, Json] = {"name": "good", "low": 1, "high": 1, "zero": 1}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundle")
    for path, source in SOURCES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(source)
    (root / ".manifest").write_text('{"revision": "r1"}')
    return root


@asynccontextmanager
async def child_engine(binary: Path, bundle: Path) -> AsyncGenerator[Engine]:
    async with running(settings_for(binary), read_policy_set(bundle)) as engine:
        yield engine


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def opa_server(binary: Path, *arguments: str) -> AsyncGenerator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        binary,
        "run",
        "--server",
        f"--addr=127.0.0.1:{port}",
        "--skip-version-check",
        *arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def wait_for_port(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


@asynccontextmanager
async def remote(url: str, units: tuple[str, ...] = UNITS) -> AsyncGenerator[RemoteEngine]:
    settings = RemoteSettings(url, units)
    engine = RemoteEngine(settings, client=client_for(settings))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


@asynccontextmanager
async def remote_engine(binary: Path, bundle: Path) -> AsyncGenerator[Engine]:
    served = ("--ignore=*_test.rego", "--bundle", str(bundle))
    async with opa_server(binary, *served) as url, remote(url) as engine:
        yield engine


ADAPTERS = {"the child": child_engine, "a remote OPA": remote_engine}


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
async def engine(
    request: pytest.FixtureRequest, opa_binary: Path, bundle: Path
) -> AsyncIterator[Engine]:
    async with request.param(opa_binary, bundle) as started:
        yield started


async def by_unit(engine: Engine, **changes: Json) -> dict[str, UnitResult]:
    evaluation = await engine.evaluate(FINE | changes, now_ns=1, timeout_seconds=20)
    return {result.unit: result for result in evaluation.results}


async def test_every_unit_answers_with_all_its_sets(engine: Engine) -> None:
    results = await by_unit(engine, name="malformed")
    assert results["governor.judge"] == UnitResult(
        "governor.judge",
        {
            "deny": [{"code": "bad-name", "name": "malformed"}],
            "warn": [{"code": "long-name"}],
            "cap": [],
        },
    )
    assert results["governor.divide"].value == {"deny": [1], "warn": [], "cap": []}


async def test_the_units_are_those_of_the_bundle(engine: Engine) -> None:
    assert set(await by_unit(engine)) == set(UNITS)


async def test_a_conflict_in_one_unit_leaves_the_others_standing(engine: Engine) -> None:
    results = await by_unit(engine, low=1, high=9)
    assert results["governor.conflict"].error
    assert results["governor.judge"].value == {"deny": [], "warn": [], "cap": []}


async def test_a_builtin_error_is_an_error_and_not_silence(engine: Engine) -> None:
    results = await by_unit(engine, zero=0)
    assert results["governor.divide"].error
    assert results["governor.divide"].value is None


async def test_the_same_policies_answer_under_the_same_digest(engine: Engine) -> None:
    first = await engine.evaluate({"name": "good"}, now_ns=1, timeout_seconds=20)
    second = await engine.evaluate({"name": "bad"}, now_ns=2, timeout_seconds=20)
    assert first.digest == second.digest
    assert len(bytes.fromhex(first.digest)) == 32


async def test_an_evaluation_that_does_not_end_is_a_timeout(engine: Engine) -> None:
    with pytest.raises(EngineTimeoutError):
        await engine.evaluate({"endless": True}, now_ns=1, timeout_seconds=0.3)


async def test_many_in_flight_get_their_own_answers(engine: Engine) -> None:
    names = [f"bad-{i}" for i in range(16)]
    results = await asyncio.gather(*(by_unit(engine, name=name) for name in names))
    for name, result in zip(names, results, strict=True):
        assert result["governor.judge"].value == {
            "deny": [{"code": "bad-name", "name": name}],
            "warn": [],
            "cap": [],
        }


async def test_a_remote_that_lacks_a_policy_is_not_a_remote_that_allows(
    opa_binary: Path, bundle: Path
) -> None:
    async with (
        opa_server(opa_binary, "--ignore=*_test.rego", "--bundle", str(bundle)) as url,
        remote(url, ("governor.missing",)) as engine,
    ):
        evaluation = await engine.evaluate({}, now_ns=1, timeout_seconds=20)
    (result,) = evaluation.results
    assert result.error == "the remote OPA has no policy governor.missing"


async def test_a_remote_without_a_revision_is_refused(opa_binary: Path, bundle: Path) -> None:
    plain = str(bundle / "governor/divide")
    async with opa_server(opa_binary, plain) as url, remote(url, ("governor.divide",)) as engine:
        with pytest.raises(EngineProtocolError, match="names no bundle revision"):
            await engine.evaluate({"zero": 1}, now_ns=1, timeout_seconds=20)


async def test_a_remote_that_is_not_there_is_unavailable() -> None:
    async with remote(f"http://127.0.0.1:{free_port()}") as engine:
        with pytest.raises(EngineUnavailableError, match="cannot reach"):
            await engine.evaluate({}, now_ns=1, timeout_seconds=20)
