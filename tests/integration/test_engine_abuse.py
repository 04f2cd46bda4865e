"""Policies, processes and peers that misbehave: the child may die of it, nothing else."""

import asyncio
import os
import resource
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from controller.apis.json import Json
from controller.clients.engine.child import ChildLimits
from controller.clients.engine.supervisor import ChildEngine
from controller.clients.engine.vetting import VettingLimits
from controller.policy.engine import (
    EngineTimeoutError,
    EngineUnavailableError,
    PolicyRejectedError,
)
from tests.engines import (
    ECHO,
    ENDLESS,
    ask,
    becomes,
    echo,
    policies,
    running,
    settings_for,
)

ROOT = Path(__file__).parents[2]
SLACK = 2.0  # seconds that a shared machine may take to do what takes none

HEAVY = """package governor.heavy

deny contains count(texts) if {
	input.heavy
	texts := [t | some i in numbers.range(1, 100000000); t := sprintf("%100d", [i])]
}
"""
STUBBORN_PATTERN = """package governor.stubborn

deny contains 1 if regex.match(concat("", [input.pattern, "x$"]), input.text)
"""
STUBBORN_SHIFT = "package governor.stubborn\n\ndeny contains 1 if bits.lsh(1, input.shift) == 0\n"


async def test_an_endless_policy_stops_at_its_deadline_and_the_engine_stays(
    opa_binary: Path,
) -> None:
    async with running(settings_for(opa_binary), policies(ECHO, ENDLESS)) as engine:
        pid = engine.pid
        started = time.monotonic()
        with pytest.raises(EngineTimeoutError):
            await ask(engine, {"endless": True}, seconds=0.3)
        assert 0.3 <= time.monotonic() - started < 0.3 + SLACK
        await echo(engine, 1)
        assert (engine.pid, engine.restarts) == (pid, 0)


async def test_a_memory_bomb_takes_the_child_and_not_the_host(opa_binary: Path) -> None:
    limited = replace(settings_for(opa_binary), child=ChildLimits(memory_bytes=256 << 20))
    async with running(limited, policies(ECHO, HEAVY)) as engine:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(EngineUnavailableError):
            await ask(engine, {"heavy": True}, seconds=60)
        await echo(engine, 2)
        assert engine.restarts == 1
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 64 * 1024


@pytest.mark.parametrize(
    ("source", "document"),
    [
        pytest.param(
            STUBBORN_PATTERN, {"pattern": "(.*)" * 150, "text": "a" * 1_000_000}, id="a regex"
        ),
        pytest.param(STUBBORN_SHIFT, {"shift": 10_000_000_000}, id="a shift"),
    ],
)
async def test_what_ignores_its_deadline_is_killed_and_the_service_resumes(
    opa_binary: Path, source: str, document: dict[str, Json]
) -> None:
    stubborn = policies(ECHO, source, allow=("bits.lsh",))
    roomy = replace(settings_for(opa_binary), child=ChildLimits(memory_bytes=8 << 30))
    async with running(roomy, stubborn) as engine:
        started = time.monotonic()
        with pytest.raises(EngineTimeoutError):
            await ask(engine, document, seconds=0.2)
        assert time.monotonic() - started < 0.2 + 0.1 + SLACK
        await echo(engine, 3)
        assert engine.restarts == 1


REFUSED = {
    "recursion": (
        "package governor.p\n\na if b\n\nb if a\n",
        ("governor/p/p.rego", 3, "rego_recursion_error"),
    ),
    "a parse error": (
        "package governor.p\n\ndeny contains )\n",
        ("governor/p/p.rego", 3, "rego_parse_error"),
    ),
    "an unsafe variable": (
        "package governor.p\n\n\ndeny contains x if true\n",
        ("governor/p/p.rego", 4, "rego_unsafe_var_error"),
    ),
    "http.send": (
        'package governor.p\n\ndeny contains 1 if http.send({"method": "get", "url": "x"})\n',
        ("governor/p/p.rego", 3, "rego_type_error"),
    ),
    "opa.runtime": (
        "package governor.p\n\ndeny contains 1 if opa.runtime().env.HOME\n",
        ("governor/p/p.rego", 3, "rego_type_error"),
    ),
    "a schema that may read files": (
        'package governor.p\n\ndeny contains 1 if json.match_schema(1, {"$ref": "file:///x"})[0]\n',
        ("governor/p/p.rego", 3, "rego_type_error"),
    ),
}


@pytest.mark.parametrize(("source", "position"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_policy_is_refused_with_its_position_and_the_old_one_answers(
    opa_binary: Path, source: str, position: tuple[str, int, str]
) -> None:
    async with running(settings_for(opa_binary), policies(ECHO)) as engine:
        digest = engine.digest
        with pytest.raises(PolicyRejectedError) as refused:
            await engine.load(policies(ECHO, source))
        problem = refused.value.problems[0]
        assert (problem.file, problem.row, problem.code) == position
        assert (problem.unit, problem.column > 0) == ("governor.p", True)
        await echo(engine, 4)
        assert engine.digest == digest


CHAIN = "package governor.p\n\np0 := 1\n\n" + "\n\n".join(
    f"p{i} := p{i - 1}" for i in range(1, 10_000)
)
SUM = "package governor.p\n\nx := 1" + " + 1" * 12_000 + "\n"


@pytest.mark.parametrize("source", [CHAIN, SUM], ids=["a chain of 10,000 rules", "12,000 terms"])
async def test_a_policy_that_compiles_for_ever_is_refused_in_time(
    opa_binary: Path, source: str
) -> None:
    impatient = replace(settings_for(opa_binary), vetting=VettingLimits(seconds=1.0))
    async with running(impatient, policies(ECHO)) as engine:
        started = time.monotonic()
        with pytest.raises(PolicyRejectedError, match="does not compile within 1 s"):
            await engine.load(policies(source))
        assert time.monotonic() - started < 1.0 + SLACK
        await echo(engine, 5)


async def test_a_policy_that_eats_memory_while_it_compiles_is_refused(opa_binary: Path) -> None:
    small = VettingLimits(seconds=60.0, child=ChildLimits(memory_bytes=96 << 20))
    greedy = replace(settings_for(opa_binary), vetting=small)
    async with running(greedy, policies(ECHO)) as engine:
        with pytest.raises(PolicyRejectedError, match="it may use 96 MiB"):
            await engine.load(policies(CHAIN))
        await echo(engine, 6)


async def test_killed_under_load_everything_in_flight_fails_and_the_service_resumes(
    opa_binary: Path,
) -> None:
    async with running(settings_for(opa_binary), policies(ECHO, ENDLESS)) as engine:
        digest, pid = engine.digest, engine.pid
        assert pid is not None
        asked = [asyncio.create_task(ask(engine, {"endless": True}, seconds=60)) for _ in range(50)]
        await asyncio.sleep(0)  # let them send
        os.kill(pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {EngineUnavailableError}
        await echo(engine, 7)
        assert engine.digest == digest
        assert engine.pid != pid


async def test_killed_again_and_again_it_comes_back(opa_binary: Path) -> None:
    async with running(settings_for(opa_binary), policies(ECHO)) as engine:
        for killing in range(1, 6):
            await echo(engine, killing)
            pid = engine.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await becomes(partial(has_restarted, engine, killing))
        await echo(engine, 8)


def has_restarted(engine: ChildEngine, times: int) -> bool:
    return engine.restarts >= times


async def test_a_frozen_child_is_found_and_replaced(opa_binary: Path) -> None:
    watched = replace(settings_for(opa_binary), health_interval=0.05, health_timeout=0.2)
    async with running(watched, policies(ECHO)) as engine:
        pid = engine.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await becomes(lambda: engine.pid != pid)
        await echo(engine, 9)


@pytest.mark.parametrize("in_flight", [1, 8])
async def test_right_answers_to_the_right_askers(opa_binary: Path, in_flight: int) -> None:
    async def asker(start: int) -> None:
        for number in range(start, start + 50):
            await echo(engine, number)

    async with running(settings_for(opa_binary), policies(ECHO)) as engine:
        await asyncio.gather(*(asker(1000 * i) for i in range(in_flight)))


async def test_an_asker_that_leaves_disturbs_nobody(opa_binary: Path) -> None:
    async with running(settings_for(opa_binary), policies(ECHO, ENDLESS)) as engine:
        leaving = asyncio.create_task(ask(engine, {"endless": True}, seconds=0.3))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        for number in range(20):
            await echo(engine, number)
        assert engine.restarts == 0


async def test_swaps_under_load_are_seen_by_whole_evaluations(opa_binary: Path) -> None:
    sets = {
        one.digest.hex(): mark
        for mark in range(4)
        for one in [policies(f"package governor.p\n\ndeny contains {mark}\n")]
    }
    async with running(settings_for(opa_binary)) as engine:
        await engine.load(policies("package governor.p\n\ndeny contains 0\n"))
        seen: set[str] = set()

        async def ask_on() -> None:
            while len(seen) < len(sets):
                evaluation = await engine.evaluate({}, now_ns=1, timeout_seconds=30)
                seen.add(evaluation.digest)
                (result,) = evaluation.results
                assert result.value == {"deny": [sets[evaluation.digest]], "warn": [], "cap": []}

        asking = [asyncio.create_task(ask_on()) for _ in range(4)]
        for mark in range(4):
            await engine.load(policies(f"package governor.p\n\ndeny contains {mark}\n"))
        async with asyncio.timeout(20):
            await asyncio.gather(*asking)
