"""What policies answered is validated like any other input: a broken answer refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.json import Json
from controller.policy.denials import Code, Denial
from controller.policy.engine import Evaluation, UnitResult
from controller.policy.results import ANSWERS, MAX_FINDINGS, MAX_TEXT, Judgement, read_results
from tests.builders import DIGEST, a_finding, a_unit, an_evaluation
from tests.limiting import a_cap, a_capping_unit, a_found_cap
from tests.strategies import json_values

EMPTY: dict[str, Json] = {}


def judged(value: Json) -> Judgement:
    """Read one unit's value."""
    return read_results(an_evaluation(UnitResult("unit", value)))


def test_a_unit_that_finds_nothing_refuses_nothing() -> None:
    assert read_results(an_evaluation()) == Judgement()


def test_a_unit_may_leave_out_what_it_does_not_find() -> None:
    assert judged({}) == Judgement()


def test_a_denial_is_read_whole() -> None:
    finding = a_finding(remaining=3, retry=True)
    assert read_results(an_evaluation(a_unit(finding))).denials == (
        Denial(
            code="kind-not-granted",
            message="no rule grants deployments.apps",
            rule="Kind not granted",
            field="kind",
            asked="deployments.apps",
            limit=["configmaps"],
            remaining=3,
            passes="configmaps",
            retry=True,
        ),
    )


def test_a_denial_needs_no_more_than_code_message_and_rule() -> None:
    finding: dict[str, Json] = {"code": "no", "message": "No.", "rule": "None"}
    assert read_results(an_evaluation(a_unit(finding))).denials == (Denial("no", "No.", "None"),)


@pytest.mark.parametrize("retry", ["true", 1, None, {}])
def test_only_true_makes_a_denial_worth_repeating(retry: Json) -> None:
    (denial,) = read_results(an_evaluation(a_unit(a_finding(retry=retry)))).denials
    assert denial.retry is False


def test_the_findings_of_all_units_are_collected_in_order() -> None:
    judgement = read_results(
        an_evaluation(
            a_unit(a_finding("one"), warn=({"message": "careful"},)),
            a_unit(a_finding("two"), a_finding("three"), unit="second"),
        )
    )
    assert [denial.code for denial in judgement.denials] == ["one", "two", "three"]
    assert judgement.warnings == ("careful",)


@pytest.mark.requirement("fail-closed.policy-answer")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="nothing"),
        pytest.param(True, id="true, as an allow rule would say"),
        pytest.param([], id="a list"),
        pytest.param("deny", id="a text"),
        pytest.param({"allow": True}, id="an answer that was not asked for"),
        pytest.param({"deny": [], "allow": True}, id="one key too many"),
        pytest.param({"deny": None}, id="deny is null"),
        pytest.param({"deny": EMPTY}, id="deny is an object"),
        pytest.param({"deny": True}, id="deny is true"),
        pytest.param({"deny": ["no"]}, id="a denial is a text"),
        pytest.param({"deny": [EMPTY]}, id="a denial is empty"),
        pytest.param({"deny": [a_finding(without=("code",))]}, id="without a code"),
        pytest.param({"deny": [a_finding(without=("message",))]}, id="without a message"),
        pytest.param({"deny": [a_finding(without=("rule",))]}, id="without a rule"),
        pytest.param({"deny": [a_finding(message="")]}, id="an empty message"),
        pytest.param({"deny": [a_finding(message=["no"])]}, id="a message that is a list"),
        pytest.param({"deny": [a_finding(field=7)]}, id="a field that is a number"),
        pytest.param({"deny": [a_finding("Not Kebab")]}, id="a code in words"),
        pytest.param({"deny": [a_finding("kind-")]}, id="a code with a loose hyphen"),
        pytest.param({"deny": [a_finding("code\n")]}, id="a code with a line feed"),
        pytest.param({"deny": [a_finding("a" * 64)]}, id="a code that is too long"),
        pytest.param({"deny": [a_finding(feild="kind")]}, id="a misspelt key"),
        pytest.param({"deny": [a_finding(), a_finding(severity="low")]}, id="a key too many"),
        pytest.param({"deny": [a_finding()] * (MAX_FINDINGS + 1)}, id="too many denials"),
        pytest.param({"warn": [{"message": "careful", "mesage": ""}]}, id="in a warning, too"),
        pytest.param({"warn": ["careful"]}, id="a warning is a text"),
        pytest.param({"warn": [{"msg": "careful"}]}, id="a warning without message"),
        pytest.param({"warn": [{"message": "x"}] * (MAX_FINDINGS + 1)}, id="too many warnings"),
        pytest.param({"cap": True}, id="cap is true"),
        pytest.param({"cap": ["5 usd"]}, id="a cap is a text"),
        pytest.param({"cap": [a_found_cap()] * (MAX_FINDINGS + 1)}, id="too many caps"),
        pytest.param({"cap": [a_found_cap(window=60)]}, id="a cap with a misspelt key"),
        pytest.param({"cap": [a_found_cap(without=("resource",))]}, id="a cap of nothing"),
        pytest.param({"cap": [a_found_cap(resource="gpu")]}, id="a cap of an unknown resource"),
        pytest.param({"cap": [a_found_cap(resource=["usd"])]}, id="a cap of a list"),
        pytest.param({"cap": [a_found_cap(without=("limit",))]}, id="a cap without a limit"),
        pytest.param({"cap": [a_found_cap(limit=None)]}, id="a cap of null"),
        pytest.param({"cap": [a_found_cap(limit=True)]}, id="a cap of true"),
        pytest.param({"cap": [a_found_cap(limit="much")]}, id="a cap that is no number"),
        pytest.param({"cap": [a_found_cap(limit=-1)]}, id="a cap below nothing"),
        pytest.param(
            {"cap": [a_found_cap(resource="changes", limit="0.5")]}, id="a cap finer than counted"
        ),
        pytest.param({"cap": [a_found_cap(limit=["5"])]}, id="a cap of several numbers"),
        pytest.param({"cap": [a_found_cap(without=("windowSeconds",))]}, id="usd without a window"),
        pytest.param({"cap": [a_found_cap(windowSeconds=59)]}, id="a window below a minute"),
        pytest.param({"cap": [a_found_cap(windowSeconds=31_536_001)]}, id="one above a year"),
        pytest.param({"cap": [a_found_cap(windowSeconds=3600.5)]}, id="a window of a fraction"),
        pytest.param({"cap": [a_found_cap(windowSeconds="3600")]}, id="a window as text"),
        pytest.param({"cap": [a_found_cap(windowSeconds=True)]}, id="a window of true"),
        pytest.param({"cap": [a_found_cap(resource="pods")]}, id="a window of what is held"),
        pytest.param({"cap": [a_found_cap(code="Not Kebab")]}, id="a cap's code in words"),
        pytest.param({"cap": [a_found_cap(code="quota-exceeded")]}, id="a cap with a taken code"),
        pytest.param({"cap": [a_found_cap(message="")]}, id="a cap with an empty message"),
        pytest.param({"cap": [a_found_cap(without=("rule",))]}, id="a cap without a rule"),
    ],
)
def test_an_answer_of_another_shape_is_a_fault(value: Json) -> None:
    judgement = judged(value)
    assert [fault.code for fault in judgement.faults] == ["policy-error"]
    assert judgement.faults[0].rule == "unit"
    assert "unit" in judgement.faults[0].message


@pytest.mark.requirement("fail-closed.policy-answer")
def test_a_key_that_is_not_known_is_named_with_those_that_are() -> None:
    (fault,) = judged({"deny": [a_finding(feild="kind")]}).faults
    assert "'feild'" in fault.message
    assert "field" in fault.message.partition("known are")[2]


@pytest.mark.requirement("fail-closed.policy-answer")
@pytest.mark.parametrize("code", sorted({*Code} - {Code.POLICY_ERROR}))
def test_a_policy_may_not_answer_with_a_code_of_governor_itself(code: str) -> None:
    judgement = judged({"deny": [a_finding(code)]})
    assert judgement.denials == ()
    assert [(fault.code, fault.rule) for fault in judgement.faults] == [("policy-error", "unit")]
    assert f"'{code}'" in judgement.faults[0].message


def test_a_rule_without_a_code_of_its_own_is_read_with_the_librarys() -> None:
    judgement = judged({"deny": [a_finding("policy-error")]})
    assert [denial.code for denial in judgement.denials] == ["policy-error"]
    assert judgement.faults == ()


def test_a_warning_may_carry_whatever_a_denial_may() -> None:
    assert judged({"warn": [a_finding(message="careful")]}).warnings == ("careful",)


@pytest.mark.requirement("fail-closed.policy-answer")
def test_a_unit_that_failed_hides_no_other_units_findings() -> None:
    failed = UnitResult("broken", None, "eval_conflict_error: complete rules")
    judgement = read_results(
        an_evaluation(a_unit(a_finding("one")), failed, a_unit(a_finding("two"), unit="third"))
    )
    assert [denial.code for denial in judgement.denials] == ["one", "two"]
    assert [fault.rule for fault in judgement.faults] == ["broken"]
    assert "eval_conflict_error" in judgement.faults[0].message


@pytest.mark.requirement("fail-closed.policy-answer")
def test_an_error_counts_even_beside_a_proper_value() -> None:
    assert read_results(an_evaluation(UnitResult("unit", {"deny": []}, "halted"))).faults


@pytest.mark.requirement("fail-closed.policy-answer")
def test_a_broken_finding_makes_the_whole_unit_a_fault() -> None:
    judgement = judged({"deny": [a_finding()], "warn": [{}]})
    assert judgement.faults
    assert judgement.denials == ()


@pytest.mark.requirement("fail-closed.policy-answer")
def test_a_policy_set_without_units_is_a_fault() -> None:
    assert read_results(Evaluation(DIGEST, ())).faults


@pytest.mark.requirement("explains-itself.safe-text")
def test_texts_and_values_that_a_policy_gives_are_bounded() -> None:
    long = "x" * 100_000
    deep: Json = []
    for _ in range(500):
        deep = [deep]
    finding = a_finding(message=long, rule=long, field=long, asked=long, limit=[long], passes=deep)
    (denial,) = read_results(an_evaluation(a_unit(finding))).denials
    cited = (denial.message, denial.rule, denial.field, denial.asked, denial.limit, denial.passes)
    assert all(isinstance(text, str) and len(text) <= MAX_TEXT for text in cited)


@pytest.mark.requirement("explains-itself.safe-text")
def test_the_engines_own_error_text_is_bounded() -> None:
    (fault,) = read_results(an_evaluation(UnitResult("unit", None, "x" * 100_000))).faults
    assert len(fault.message) <= MAX_TEXT


@pytest.mark.requirement("fail-closed.policy-answer")
@given(json_values)
def test_any_value_is_read_or_is_a_fault(value: Json) -> None:
    judgement = judged(value)
    is_proper = isinstance(value, dict) and value.keys() <= {"deny", "warn", "cap"}
    assert is_proper or judgement.faults
    assert not (judgement.faults and judgement.denials)


@pytest.mark.requirement("fail-closed.policy-answer")
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(ANSWERS, json_values)))
def test_any_findings_are_read_or_are_a_fault(value: dict[str, Json]) -> None:
    judgement = judged(value)
    has_findings = any(found != [] for found in value.values())
    read = judgement.faults or judgement.denials or judgement.warnings or judgement.caps
    assert bool(read) == has_findings


@pytest.mark.parametrize(
    ("resource", "limit", "amount"),
    [
        ("cpu", "1500m", 1500),
        ("cpu", 1.5, 1500),
        ("memory", "32Gi", 32 * 2**30),
        ("pods", 5, 5),
        ("pods", "0", 0),
    ],
)
def test_a_cap_on_what_is_held_has_no_window(resource: str, limit: Json, amount: int) -> None:
    found = a_found_cap(resource=resource, limit=limit, without=("windowSeconds",))
    assert read_results(an_evaluation(a_capping_unit(found))).caps == (
        a_cap(resource, amount, None),
    )


@pytest.mark.parametrize(
    ("resource", "limit", "seconds", "amount"),
    [
        ("usd", "5", 3600, 5_000_000_000),
        ("usd", 0.25, 60, 250_000_000),
        ("changes", "200", 31_536_000, 200),
    ],
)
def test_a_cap_on_what_is_spent_has_a_window(
    resource: str, limit: Json, seconds: int, amount: int
) -> None:
    found = a_found_cap(resource=resource, limit=limit, windowSeconds=seconds)
    assert read_results(an_evaluation(a_capping_unit(found))).caps == (
        a_cap(resource, amount, seconds),
    )


def test_a_window_of_null_is_none() -> None:
    found = a_found_cap(resource="pods", limit=5, windowSeconds=None)
    assert [cap.window_seconds for cap in judged({"cap": [found]}).caps] == [None]


def test_the_caps_of_all_units_are_collected_in_order() -> None:
    first, second = a_capping_unit(a_found_cap()), a_capping_unit(a_found_cap(limit=3))
    caps = read_results(an_evaluation(first, a_unit(), second)).caps
    assert [cap.amount for cap in caps] == [5_000_000_000, 3_000_000_000]


@pytest.mark.requirement("fail-closed.policy-answer")
@pytest.mark.parametrize(
    ("found", "said"),
    [
        (a_found_cap(resource="gpu"), "a cap's resource is none of cpu, memory, pods, usd"),
        (a_found_cap(limit="much"), "the limit of the cap of usd is none: 'much' is no quantity"),
        (a_found_cap(windowSeconds=1), "the windowSeconds of the cap of usd is no integer from 60"),
        (a_found_cap(resource="cpu"), "a cap of cpu has no windowSeconds"),
    ],
    ids=["its resource", "its limit", "its window", "a window too many"],
)
def test_a_cap_that_cannot_be_held_says_what_is_wrong(found: Json, said: str) -> None:
    (fault,) = judged({"cap": [found]}).faults
    assert said in fault.message
