"""The child's life and what it evaluates: start, stop, parentage, time, numbers, errors."""

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from controller.clients.engine.bundle import read_policy_set
from controller.clients.engine.child import ChildLimits
from controller.clients.engine.supervisor import ChildEngine
from controller.policy.engine import (
    EngineError,
    EngineInputError,
    EngineUnavailableError,
    PolicyRejectedError,
)
from tests.engines import (
    ECHO,
    ENDLESS,
    ask,
    echo,
    policies,
    running,
    settings_for,
    unit_of,
)
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
SLACK = 2.0  # seconds that a shared machine may take to do what takes none


ORPHAN = """
import asyncio, sys
from pathlib import Path
from tests.engines import ENDLESS, policies, running, settings_for

async def main():
    async with running(settings_for(Path(sys.argv[1])), policies(ENDLESS)) as engine:
        asked = asyncio.create_task(
            engine.evaluate({"endless": True}, now_ns=1, timeout_seconds=600)
        )
        await asyncio.sleep(0.1)
        print(engine.pid, flush=True)
        await asked

asyncio.run(main())
"""


def test_the_child_ends_when_its_parent_is_killed_in_the_middle(opa_binary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(opa_binary)], stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    eventually(lambda: not is_alive(pid), "the child's end")


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def test_stopping_lets_what_is_in_flight_finish(opa_binary: Path) -> None:
    async with running(settings_for(opa_binary), policies(ECHO)) as engine:
        asked = [asyncio.create_task(echo(engine, number)) for number in range(20)]
        await asyncio.sleep(0)
        pid = engine.pid
        await engine.stop()
        await asyncio.gather(*asked)
        assert pid is not None
        assert not is_alive(pid)
        with pytest.raises(EngineUnavailableError, match="stopping"):
            await echo(engine, 1)


async def test_stopping_does_not_wait_for_what_does_not_finish(opa_binary: Path) -> None:
    brief = replace(settings_for(opa_binary), drain=0.2)
    async with running(brief, policies(ENDLESS)) as engine:
        asked = asyncio.create_task(ask(engine, {"endless": True}, seconds=60))
        await asyncio.sleep(0)
        started = time.monotonic()
        await engine.stop()
        assert time.monotonic() - started < 0.2 + SLACK
        with pytest.raises(EngineUnavailableError):
            await asked


async def test_nothing_is_answered_before_a_policy_is_loaded(opa_binary: Path) -> None:
    async with running(settings_for(opa_binary)) as engine:
        with pytest.raises(EngineUnavailableError, match="no policy set is loaded"):
            await ask(engine, {}, seconds=1)


@pytest.mark.parametrize(
    ("binary", "message"),
    [
        pytest.param("/nowhere/governor-opa", "cannot run the engine /nowhere", id="a missing one"),
        pytest.param("/etc/hostname", "cannot run the engine", id="one that is no program"),
        pytest.param("/bin/false", "does not serve", id="one that ends at once"),
    ],
)
async def test_a_binary_that_is_no_engine_is_named(binary: str, message: str) -> None:
    engine = ChildEngine(settings_for(Path(binary)), monotonic=time.monotonic)
    with pytest.raises(EngineUnavailableError, match=message):
        await engine.start()


async def test_the_child_sees_nothing_of_our_environment(
    opa_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOVERNOR_TEST_SECRET", "made-up")
    async with running(settings_for(opa_binary)) as engine:
        names = environment_of(engine.pid)
    assert names == [b"GOTRACEBACK", b"TZ"]


def environment_of(pid: int | None) -> list[bytes]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return sorted(entry.split(b"=")[0] for entry in entries if entry)


async def test_a_builtin_error_is_that_units_error_with_its_position(opa_binary: Path) -> None:
    divide = "package governor.divide\n\ndeny contains 1 / input.n\n"
    async with running(settings_for(opa_binary), policies(ECHO, divide)) as engine:
        evaluation = await engine.evaluate({"n": 0}, now_ns=1, timeout_seconds=20)
    echoed, failed = evaluation.results
    assert echoed.value == {"deny": [0], "warn": [], "cap": []}
    assert failed.error == (
        "governor/divide/divide.rego:3: eval_builtin_error: div: divide by zero"
    )


async def test_a_builtin_error_is_undefined_where_a_unit_asks_for_that(opa_binary: Path) -> None:
    divide = unit_of("package governor.divide\n\ndeny contains 1 / input.n\n")
    lenient = replace(policies(), units=(replace(divide, strict_builtin_errors=False),))
    async with running(settings_for(opa_binary), lenient) as engine:
        (result,) = (await engine.evaluate({"n": 0}, now_ns=1, timeout_seconds=20)).results
    assert result.value == {"deny": [], "warn": [], "cap": []}


async def test_the_time_is_the_one_that_was_given(opa_binary: Path) -> None:
    clock = "package governor.clock\n\ndeny contains time.now_ns()\n"
    async with running(settings_for(opa_binary), policies(clock)) as engine:
        (result,) = (await engine.evaluate({}, now_ns=1234567890123, timeout_seconds=20)).results
    assert result.value == {"deny": [1234567890123], "warn": [], "cap": []}


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, -(2**70), 10**30, 0.1, 1e300])
async def test_numbers_come_back_as_they_went(opa_binary: Path, number: float) -> None:
    async with running(settings_for(opa_binary), policies(ECHO)) as engine:
        (result,) = (await engine.evaluate({"n": number}, now_ns=1, timeout_seconds=20)).results
    assert result.value == {"deny": [number], "warn": [], "cap": []}


async def test_a_number_beyond_a_double_is_the_units_error(opa_binary: Path) -> None:
    square = "package governor.square\n\ndeny contains input.n * input.n\n"
    async with running(settings_for(opa_binary), policies(ECHO, square)) as engine:
        echoed, squared = (
            await engine.evaluate({"n": 1e200}, now_ns=1, timeout_seconds=20)
        ).results
    assert echoed.value == {"deny": [1e200], "warn": [], "cap": []}
    assert squared.error is not None
    assert "beyond the range of a double" in squared.error


async def test_documents_that_cannot_be_judged_are_named(opa_binary: Path) -> None:
    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    tiny = replace(settings_for(opa_binary), child=ChildLimits(max_payload_bytes=4096))
    async with running(tiny, policies(ECHO)) as engine:
        for document, message in [
            ({"n": "x" * 5000}, "at most 4032"),
            ({"n": deep}, "not JSON"),
            ({"n": object()}, "not JSON"),
        ]:
            with pytest.raises(EngineInputError, match=message):
                await ask(engine, cast("Any", document), seconds=20)
        await echo(engine, 1)
        assert engine.restarts == 0


def test_every_fault_says_whether_asking_again_helps() -> None:
    retryable = {error.__name__: error.retryable for error in EngineError.__subclasses__()}
    assert retryable == {
        "EngineUnavailableError": True,
        "EngineProtocolError": True,
        "EngineTimeoutError": False,
        "EngineInputError": False,
        "PolicyRejectedError": False,
    }


@pytest.mark.requirement("fail-closed.policy-answer")
@pytest.mark.parametrize(
    ("source", "problem"),
    [
        pytest.param("package governor.denny", "must be governor.limits", id="another package"),
        pytest.param("denny contains 1", "defines none", id="a misspelt rule"),
        pytest.param("deny := true", "must be a set", id="a rule that is no set"),
    ],
)
async def test_a_policy_in_which_nothing_would_be_found_is_refused(
    opa_binary: Path, tmp_path: Path, source: str, problem: str
) -> None:
    """A policy that finds nothing grants: a misspelling must not become a grant."""
    folder = tmp_path / "governor" / "limits"
    folder.mkdir(parents=True)
    package = source if source.startswith("package") else f"package governor.limits\n\n{source}"
    (folder / "limits.rego").write_text(f"{package}\n")
    with pytest.raises(PolicyRejectedError, match=problem):
        async with running(settings_for(opa_binary), read_policy_set(tmp_path)):
            pass


@pytest.mark.requirement("fail-closed.policy-answer")
async def test_a_library_that_speaks_for_a_policy_is_refused(
    opa_binary: Path, tmp_path: Path
) -> None:
    """It is compiled into each policy: with its package it could grant what that one denies."""
    for name, source in {
        "limits": "package governor.limits\n\ndeny contains 1 if not granted\n",
        "lib/granting": "package governor.limits\n\ngranted if true\n",
    }.items():
        (folder := tmp_path / "governor" / name).mkdir(parents=True)
        (folder / "it.rego").write_text(source)
    with pytest.raises(PolicyRejectedError, match=r"must be governor\.lib"):
        async with running(settings_for(opa_binary), read_policy_set(tmp_path)):
            pass
