"""The reviewer asks the engine once, of one instant, and only where it must."""

from datetime import UTC, datetime
from typing import cast

import pytest

from controller.admission.judge import Denied, Granted, Postponed
from controller.admission.reviewer import Reviewer
from controller.apis.mandates import Enforcement
from controller.policy.engine import (
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
)
from tests.builders import (
    CHANGE,
    a_finding,
    a_mandate,
    a_person,
    a_registry,
    a_request,
    a_unit,
    an_evaluation,
)
from tests.fakes.engine import Answer, ScriptedEngine
from tests.limiting import asking

NOW_NS = 1_795_512_615_123_456_789


def a_reviewer(*answers: Answer) -> tuple[Reviewer, ScriptedEngine]:
    """A reviewer of a stopped clock, and the engine that it asks."""
    engine = ScriptedEngine.answering(*answers)
    reviewer = Reviewer(
        engine=engine, clock_ns=lambda: NOW_NS, mint_change=lambda: CHANGE, timeout_seconds=1.5
    )
    return reviewer, engine


async def test_an_agents_write_is_asked_about_once_with_the_timeout() -> None:
    reviewer, engine = a_reviewer(an_evaluation())
    outcome = await reviewer.review(a_request(), a_registry(a_mandate()))
    assert isinstance(outcome, Granted)
    assert outcome.change == CHANGE
    assert [asked.timeout_seconds for asked in engine.asked] == [1.5]


@pytest.mark.requirement("same-judge.one-input")
async def test_the_document_and_the_policies_clock_show_the_same_instant() -> None:
    reviewer, engine = a_reviewer(an_evaluation())
    await reviewer.review(a_request(), a_registry(a_mandate()))
    (asked,) = engine.asked
    told = datetime.fromisoformat(str(asked.document["now"]))
    micros = (told - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000
    assert round(micros) * 1000 == asked.now_ns
    assert 0 <= NOW_NS - asked.now_ns < 1000


async def test_policies_are_asked_with_what_the_write_asks_and_what_is_held() -> None:
    reviewer, engine = a_reviewer(an_evaluation())
    registry = a_registry(a_mandate())
    await reviewer.review(a_request(), registry, asked=asking(2), usage={"pods": 7})
    (asked,) = engine.asked
    assert asked.document["usage"] == {"pods": "7"}
    assert cast("dict[str, dict[str, str]]", asked.document["asks"])["after"]["pods"] == "2"


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
async def test_nobody_asks_about_a_person() -> None:
    reviewer, engine = a_reviewer(EngineUnavailableError("down"))
    outcome = await reviewer.review(a_request(user=a_person()), a_registry(a_mandate()))
    assert outcome == Granted(CHANGE, mandate=None)
    assert engine.asked == []


@pytest.mark.requirement("fail-closed.guards")
async def test_nobody_asks_about_what_a_guard_refuses() -> None:
    reviewer, engine = a_reviewer(an_evaluation())
    outcome = await reviewer.review(a_request(), a_registry(a_mandate(suspended=True)))
    assert isinstance(outcome, Denied)
    assert engine.asked == []


@pytest.mark.requirement("fail-closed.engine-fault")
@pytest.mark.parametrize("enforcement", list(Enforcement))
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(EngineTimeoutError("late"), Denied, id="too late"),
        pytest.param(EngineProtocolError("nonsense"), Denied, id="nonsense"),
        pytest.param(EngineUnavailableError("down"), Postponed, id="absent"),
    ],
)
async def test_a_fault_of_the_engine_is_an_outcome_that_grants_nothing(
    answer: Answer, kind: type[Denied | Postponed], enforcement: Enforcement
) -> None:
    reviewer, _ = a_reviewer(answer)
    registry = a_registry(a_mandate(enforcement=enforcement))
    assert isinstance(await reviewer.review(a_request(), registry), kind)


async def test_any_other_fault_is_the_shells_to_refuse() -> None:
    reviewer, _ = a_reviewer(MemoryError())
    with pytest.raises(MemoryError):
        await reviewer.review(a_request(), a_registry(a_mandate()))


async def test_a_refusal_by_policy_reaches_the_caller() -> None:
    reviewer, _ = a_reviewer(an_evaluation(a_unit(a_finding("one"))))
    outcome = await reviewer.review(a_request(), a_registry(a_mandate()))
    assert isinstance(outcome, Denied)
    assert [denial.code for denial in outcome.denials] == ["one"]
