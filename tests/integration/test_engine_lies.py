"""A process that does not keep its promises: it is not believed, and replaced."""

import asyncio
from pathlib import Path

import pytest

from controller.policy.engine import (
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
)
from tests.engines import (
    QUIET,
    ask,
    becomes,
    policies,
    running,
    scripted,
    settings_for,
)

LIES = {
    "another-digest": "never loaded",
    "no-digest": "never loaded",
    "no-json": "not JSON",
    "no-list": "not a list",
    "no-unit": "not a list of 1 units",
    "another-unit": "missing or malformed",
    "no-value": "missing or malformed",
    "value-no-list": "neither bindings nor an error",
    "bindings-no-objects": "neither bindings nor an error",
    "error-no-object": "neither bindings nor an error",
    "error-no-text": "malformed",
    "value-and-error": "missing or malformed",
    "kind-of-another-question": "kind 0x83",
    "fault-no-json": "fault is malformed",
    "fault-unknown": "fault is malformed",
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_answer_that_is_not_what_was_promised_is_refused(tmp_path: Path, lie: str) -> None:
    async with running(settings_for(scripted(tmp_path, lie)), policies(QUIET)) as engine:
        pid = engine.pid
        with pytest.raises(EngineProtocolError, match=LIES[lie]):
            await ask(engine, {}, seconds=20)
        await becomes(lambda: engine.pid != pid)


BREAKS = [
    "another-request",
    "unknown-kind",
    "reserved-bytes",
    "endless-frame",
    "half-a-frame",
    "exit",
]


@pytest.mark.parametrize("lie", BREAKS)
async def test_a_stream_that_cannot_be_followed_fails_what_is_in_flight(
    tmp_path: Path, lie: str
) -> None:
    async with running(settings_for(scripted(tmp_path, lie)), policies(QUIET)) as engine:
        with pytest.raises(EngineUnavailableError):
            await ask(engine, {}, seconds=20)
        await becomes(lambda: engine.restarts > 0)


async def test_a_second_answer_to_one_question_replaces_the_child(tmp_path: Path) -> None:
    settings = settings_for(scripted(tmp_path, "answered-twice"))
    async with running(settings, policies(QUIET)) as engine:
        await ask(engine, {}, seconds=20)
        await becomes(lambda: engine.restarts > 0)


async def test_silence_past_the_deadline_is_a_timeout_and_others_in_flight_fail(
    tmp_path: Path,
) -> None:
    settings = settings_for(scripted(tmp_path, "silence"))
    async with running(settings, policies(QUIET)) as engine:
        patient = asyncio.create_task(ask(engine, {}, seconds=60))
        with pytest.raises(EngineTimeoutError):
            await ask(engine, {}, seconds=0.1)
        with pytest.raises(EngineUnavailableError, match="ignored a deadline"):
            await patient


async def test_a_process_that_loads_another_set_is_not_believed(tmp_path: Path) -> None:
    async with running(settings_for(scripted(tmp_path, "loads-another"))) as engine:
        with pytest.raises(EngineProtocolError, match="another policy set"):
            await engine.load(policies(QUIET))
        assert not engine.is_ready


@pytest.mark.parametrize("kind", ["scripted", "real"])
async def test_the_scripted_process_and_the_real_one_say_the_same(
    tmp_path: Path, opa_binary: Path, kind: str
) -> None:
    binary = opa_binary if kind == "real" else scripted(tmp_path, "honest")
    loaded = policies(QUIET)
    async with running(settings_for(binary), loaded) as engine:
        evaluation = await engine.evaluate({}, now_ns=1, timeout_seconds=20)
    assert evaluation.digest == loaded.digest.hex()
    assert [(r.unit, r.value) for r in evaluation.results] == [
        ("governor.quiet", {"deny": [], "warn": [], "cap": []})
    ]
