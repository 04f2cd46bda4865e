"""What policies answered is validated like any other input: a broken answer refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.apis.json import Json
from controller.policy.denials import Code, Denial
from controller.policy.engine import Evaluation, UnitResult
from controller.policy.results import MAX_FINDINGS, MAX_TEXT, Judgement, read_results
from tests.builders import DIGEST, a_finding, a_unit, an_evaluation
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
    is_proper = isinstance(value, dict) and value.keys() <= {"deny", "warn"}
    assert is_proper or judgement.faults
    assert not (judgement.faults and judgement.denials)


@pytest.mark.requirement("fail-closed.policy-answer")
@given(st.fixed_dictionaries({}, optional={"deny": json_values, "warn": json_values}))
def test_any_findings_are_read_or_are_a_fault(value: dict[str, Json]) -> None:
    judgement = judged(value)
    has_findings = any(found != [] for found in value.values())
    assert bool(judgement.faults or judgement.denials or judgement.warnings) == has_findings
