"""The judgement: what each identity, guard, answer and fault comes to."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.admission.judge import (
    Denied,
    Granted,
    Outcome,
    Postponed,
    Question,
    conclude,
    prepare,
)
from controller.agents.identify import Agent
from controller.agents.registry import Registry
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.mandates import Enforcement, Mandate, Subject
from controller.apis.pricebooks import PriceBook
from controller.apis.requests import AdmissionRequest, Operation, Target, UserInfo
from controller.asks.asked import Asked, AskProblem
from controller.policy.denials import Denial
from controller.policy.engine import (
    EngineError,
    EngineInputError,
    EngineProtocolError,
    EngineTimeoutError,
    EngineUnavailableError,
    Evaluation,
    PolicyRejectedError,
    UnitResult,
)
from controller.policy.guards import PROTECTED_KINDS, check_guards
from tests.builders import (
    AGENT,
    CHANGE,
    DIGEST,
    SECRETS,
    a_finding,
    a_mandate,
    a_person,
    a_registry,
    a_request,
    a_rule,
    a_unit,
    a_user,
    an_evaluation,
    an_invalid_mandate,
    an_object,
)
from tests.limiting import PRICES, a_cap, a_capping_unit, a_found_cap, asking
from tests.strategies import json_values

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
EVERYTHING = (a_rule(verbs=("*",), api_groups=("*",), resources=("*",), namespaces=("*",)),)
RELAXED = [Enforcement.WARN, Enforcement.SHADOW]


def prepared(request: AdmissionRequest, registry: Registry) -> Outcome | Question:
    return prepare(request, registry=registry, change=CHANGE, now=NOW)


def question(
    mandate: Mandate | None = None,
    request: AdmissionRequest | None = None,
    *,
    protected: tuple[str, ...] = (),
) -> Question:
    """What is asked about an agent's ordinary write."""
    registry = a_registry(mandate or a_mandate(), protected=protected)
    step = prepared(request or a_request(), registry)
    assert isinstance(step, Question)
    return step


def concluded(*units: UnitResult, enforcement: Enforcement = Enforcement.ENFORCE) -> Outcome:
    """What an agent's write comes to by these answers."""
    return conclude(question(a_mandate(enforcement=enforcement)), an_evaluation(*units))


BROKEN_REGISTRY = a_registry(
    a_mandate("one"),
    a_mandate("two"),
    invalid=(an_invalid_mandate(usernames=("someone",)),),
    dedicated=("agents",),
    protected=("team-data",),
)


def test_what_governor_keeps_in_the_metadata_is_no_change_of_the_agents() -> None:
    """A rule that grants some fields grants no annotation, and yet its writes carry a stamp."""
    old: dict[str, Json] = {
        "metadata": {
            "name": "web",
            "annotations": {"governor.dev/change": "old"},
            "labels": {"governor.dev/agent": "another"},
        },
        "data": {},
    }
    new: dict[str, Json] = {
        "metadata": {
            "name": "web",
            "annotations": {
                "governor.dev/change": "new",
                "governor.dev/reason": "why",
                "governor.dev/agent": "an annotation of that name",
                "a/b": "c",
            },
            "labels": {"governor.dev/agent": "migrator", "governor.dev/change": "a label"},
        },
        "data": {"a": "b"},
    }
    request = replace(a_request(operation=Operation.UPDATE), obj=new, old=old)
    step = prepare(request, registry=a_registry(a_mandate()), change=CHANGE, now=NOW)
    assert isinstance(step, Question)
    changed = cast("dict[str, list[dict[str, str]]]", step.document["changed"])["fields"]
    assert [field["text"] for field in changed] == [
        'metadata.annotations["governor.dev/agent"]',
        'metadata.annotations["a/b"]',
        'metadata.labels["governor.dev/change"]',
        "data.a",
    ]


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(
    "target",
    [
        pytest.param(Target("governor.dev", "v1alpha1", "Mandate", "mandates"), id="a mandate"),
        pytest.param(Target("", "v1", "Node", "nodes", "status"), id="a node's status"),
        pytest.param(SECRETS, id="a Secret"),
    ],
)
def test_a_person_is_granted_anything_unjudged(operation: Operation, target: Target) -> None:
    request = a_request(operation, target=target, namespace="kube-system", user=a_person())
    assert prepared(request, BROKEN_REGISTRY) == Granted(CHANGE, mandate=None)


def test_an_agents_write_is_a_question_to_the_engine() -> None:
    mandate = a_mandate()
    asked = question(mandate)
    assert (asked.change, asked.mandate) == (CHANGE, mandate)
    assert asked.document["now"] == "2026-11-24T09:30:00.000000Z"


@pytest.mark.requirement("fail-closed.unclear-identity")
@pytest.mark.parametrize("enforcement", list(Enforcement))
@pytest.mark.parametrize(
    ("user", "code"),
    [
        pytest.param(a_user(), "subject-conflict", id="of two mandates"),
        pytest.param(a_user("system:serviceaccount:agents:x"), "unregistered-agent", id="a stray"),
        pytest.param(a_user("pinned"), "identity-mismatch", id="of another uid"),
        pytest.param(a_user("broken"), "mandate-invalid", id="of an invalid mandate"),
    ],
)
def test_a_subject_that_no_mandate_speaks_for_is_refused_without_asking(
    enforcement: Enforcement, user: UserInfo, code: str
) -> None:
    registry = a_registry(
        a_mandate("one", enforcement=enforcement),
        a_mandate("two", enforcement=enforcement),
        a_mandate("three", subjects=(Subject("pinned", "mine"),), enforcement=enforcement),
        invalid=(an_invalid_mandate(usernames=("broken",)),),
        dedicated=("agents",),
    )
    outcome = prepared(a_request(user=user), registry)
    assert isinstance(outcome, Denied)
    assert (outcome.mandate, [d.code for d in outcome.denials]) == (user.username, [code])


GUARDED = [
    pytest.param(a_request(), a_mandate(suspended=True), "suspended", id="suspended"),
    pytest.param(
        a_request(target=Target("governor.dev", "v1alpha1", "Mandate", "mandates")),
        a_mandate(),
        "protected-kind",
        id="its own mandate",
    ),
    pytest.param(
        a_request(
            target=SECRETS,
            obj={**an_object(SECRETS), "type": "kubernetes.io/service-account-token"},
        ),
        a_mandate(),
        "protected-kind",
        id="a credential",
    ),
    pytest.param(
        a_request(namespace="kube-system"), a_mandate(), "protected-namespace", id="kube-system"
    ),
]


@pytest.mark.requirement("fail-closed.guards")
@pytest.mark.parametrize("enforcement", list(Enforcement))
@pytest.mark.parametrize(("request_", "mandate", "code"), GUARDED)
def test_no_mandate_and_no_mode_opens_what_a_guard_closes(
    request_: AdmissionRequest, mandate: Mandate, code: str, enforcement: Enforcement
) -> None:
    relaxed = a_mandate(rules=EVERYTHING, suspended=mandate.suspended, enforcement=enforcement)
    outcome = prepared(request_, a_registry(relaxed))
    assert isinstance(outcome, Denied)
    assert (outcome.mandate, [d.code for d in outcome.denials]) == ("migrator", [code])


@pytest.mark.requirement("never-oversold.asks")
@pytest.mark.parametrize("enforcement", list(Enforcement))
def test_what_cannot_be_counted_is_refused_in_every_mode_without_asking(
    enforcement: Enforcement,
) -> None:
    asked = Asked(problem=AskProblem("spec.replicas", "must be an integer"))
    registry = a_registry(a_mandate(enforcement=enforcement))
    outcome = prepare(a_request(), registry=registry, change=CHANGE, now=NOW, asked=asked)
    assert isinstance(outcome, Denied)
    (denial,) = outcome.denials
    assert (denial.code, denial.field, denial.retry) == ("ask-unreadable", "spec.replicas", False)
    assert denial.message == (
        "what the write leaves the agent to hold cannot be counted: must be an integer"
    )


def test_what_a_person_asks_for_is_not_counted() -> None:
    asked = Asked(problem=AskProblem("spec.replicas", "must be an integer"))
    request, registry = a_request(user=a_person()), a_registry(a_mandate())
    outcome = prepare(request, registry=registry, change=CHANGE, now=NOW, asked=asked)
    assert outcome == Granted(CHANGE, mandate=None)


def test_a_guard_refuses_before_anything_is_counted() -> None:
    asked = Asked(problem=AskProblem("spec.replicas", "must be an integer"))
    registry = a_registry(a_mandate(suspended=True))
    outcome = prepare(a_request(), registry=registry, change=CHANGE, now=NOW, asked=asked)
    assert isinstance(outcome, Denied)
    assert [denial.code for denial in outcome.denials] == ["suspended"]


@pytest.mark.parametrize(
    ("prices", "usd"),
    [(PRICES, "0.12"), (PriceBook("book:1", {"cpu": 1}), None)],
    ids=["by the prices of the moment", "something has no price"],
)
def test_policies_are_told_what_is_asked_what_it_costs_and_what_is_held(
    prices: PriceBook, usd: str | None
) -> None:
    registry = replace(a_registry(a_mandate()), prices=prices)
    asked, usage = asking(2, before=1), {"pods": 7}
    step = prepare(a_request(), registry=registry, change=CHANGE, now=NOW, asked=asked, usage=usage)
    assert isinstance(step, Question)
    assert step.document["asks"] == {
        "before": {"cpu": "0.5", "memory": "1073741824", "pods": "1"},
        "after": {"cpu": "1", "memory": "2147483648", "pods": "2"},
    }
    assert step.document["cost"] == {"usdPerHour": usd}
    assert step.document["usage"] == {"pods": "7"}


@pytest.mark.requirement("never-oversold.caps")
@pytest.mark.parametrize("enforcement", list(Enforcement))
def test_a_granted_write_goes_with_its_caps_to_the_account(enforcement: Enforcement) -> None:
    outcome = concluded(a_capping_unit(a_found_cap()), a_unit(), enforcement=enforcement)
    assert isinstance(outcome, Granted)
    assert outcome.caps == (a_cap(),)


@pytest.mark.requirement("never-oversold.caps")
@pytest.mark.parametrize("enforcement", list(Enforcement))
def test_a_cap_that_cannot_be_held_refuses_in_every_mode(enforcement: Enforcement) -> None:
    outcome = concluded(a_capping_unit(a_found_cap(limit="much")), enforcement=enforcement)
    assert isinstance(outcome, Denied)
    assert [denial.code for denial in outcome.denials] == ["policy-error"]


def test_a_write_that_no_policy_refuses_is_granted() -> None:
    assert concluded(a_unit(warn=({"message": "careful"},))) == Granted(
        CHANGE, "migrator", warnings=("careful",), digest=DIGEST
    )


@pytest.mark.requirement("same-judge.digest")
def test_a_write_that_a_policy_refuses_is_denied_with_all_reasons_and_the_digest() -> None:
    outcome = concluded(a_unit(a_finding("one")), a_unit(a_finding("two"), unit="second"))
    assert isinstance(outcome, Denied)
    assert (outcome.change, outcome.mandate, outcome.digest) == (CHANGE, "migrator", DIGEST)
    assert [denial.code for denial in outcome.denials] == ["one", "two"]


def denials_of(outcome: Outcome) -> tuple[Denial, ...]:
    """All that policies said against a write, whether or not it was relaxed."""
    assert isinstance(outcome, Denied | Granted)
    return outcome.denials if isinstance(outcome, Denied) else outcome.relaxed


@pytest.mark.requirement("explains-itself.passing-value")
@pytest.mark.parametrize("enforcement", list(Enforcement))
@pytest.mark.parametrize(
    ("field", "passes", "told"),
    [
        ("metadata.namespace", "kube-system", None),
        ("metadata.namespace", "governor-system", None),
        ("kind", "roles.rbac.authorization.k8s.io", None),
        ("kind", "configmaps", "configmaps"),
    ],
)
def test_what_the_guards_refuse_is_not_said_to_pass_in_any_mode(
    enforcement: Enforcement, field: str, passes: str, told: str | None
) -> None:
    unit = a_unit(a_finding(field=field, passes=passes))
    assert [d.passes for d in denials_of(concluded(unit, enforcement=enforcement))] == [told]


@pytest.mark.requirement("explains-itself.passing-value")
def test_what_the_guards_refuse_is_not_said_to_pass_beside_a_fault() -> None:
    outcome = concluded(
        a_unit(a_finding(field="kind", passes="nodes")), UnitResult("u", None, "conflict")
    )
    assert [denial.passes for denial in denials_of(outcome)] == [None, None]


RESOURCES = sorted({name for names in PROTECTED_KINDS.values() for name in names} | {"secrets"})
OFFERED: st.SearchStrategy[Json] = st.one_of(
    st.sampled_from(["kube-system", "governor-system", "vault", "team-data", "kube-"]),
    st.tuples(
        st.sampled_from([*RESOURCES, "pods", "deployments"]),
        st.sampled_from(["", "."]),
        st.sampled_from(["", "apps", "example.com", *PROTECTED_KINDS]),
        st.sampled_from(["", "/status", "/token", "/binding"]),
    ).map("".join),
    json_values,
)


@pytest.mark.requirement("explains-itself.passing-value")
@given(
    st.lists(st.tuples(st.sampled_from(["kind", "metadata.namespace"]), OFFERED), max_size=4),
    st.sampled_from(list(Enforcement)),
)
def test_whatever_policies_offer_no_guard_refuses_what_is_said_to_pass(
    offers: list[tuple[str, Json]], enforcement: Enforcement
) -> None:
    mandate = a_mandate(enforcement=enforcement)
    asked = question(mandate, protected=("vault",))
    findings = [a_finding(field=field, passes=passes) for field, passes in offers]
    told = denials_of(conclude(asked, an_evaluation(a_unit(*findings))))
    assert len(told) == len(offers)
    for denial in told:
        if isinstance(denial.passes, str):
            assert refusal_of(str(denial.field), denial.passes, mandate) is None


def refusal_of(field: str, value: str, mandate: Mandate) -> Denial | None:
    """What the guards say to the ordinary write with this kind or namespace."""
    request = a_request(namespace=value)
    if field == "kind":
        name, _, subresource = value.partition("/")
        resource, _, group = name.partition(".")
        request = a_request(target=Target(group, "v1", "Thing", resource, subresource))
    governance = Governance(1, frozenset(), frozenset({"vault"}))
    return check_guards(request, agent=Agent(mandate, a_user()), governance=governance)


@pytest.mark.requirement("explains-itself.relaxed")
@pytest.mark.parametrize("enforcement", RELAXED)
def test_a_relaxed_mandate_grants_what_policies_refuse_and_keeps_the_reason(
    enforcement: Enforcement,
) -> None:
    outcome = concluded(a_unit(a_finding("one")), enforcement=enforcement)
    assert isinstance(outcome, Granted)
    assert [denial.code for denial in outcome.relaxed] == ["one"]
    assert (outcome.mandate, outcome.enforcement, outcome.digest) == (
        "migrator",
        enforcement,
        DIGEST,
    )


@pytest.mark.requirement("fail-closed.policy-answer")
@pytest.mark.parametrize("enforcement", list(Enforcement))
@pytest.mark.parametrize(
    "units",
    [
        pytest.param((UnitResult("u", None, "conflict"),), id="the only unit failed"),
        pytest.param((a_unit(), UnitResult("u", None, "conflict")), id="one unit of two failed"),
        pytest.param((UnitResult("u", {"allow": True}),), id="another shape than promised"),
        pytest.param((a_unit(a_finding("one")), UnitResult("u", [])), id="beside a denial"),
    ],
)
def test_a_broken_unit_refuses_in_every_mode(
    enforcement: Enforcement, units: tuple[UnitResult, ...]
) -> None:
    outcome = concluded(*units, enforcement=enforcement)
    assert isinstance(outcome, Denied)
    assert outcome.denials[0].code == "policy-error"
    assert outcome.digest == DIGEST


@pytest.mark.requirement("fail-closed.policy-answer")
def test_a_broken_unit_hides_no_other_units_denial() -> None:
    outcome = concluded(a_unit(a_finding("one")), UnitResult("u", None, "conflict"))
    assert isinstance(outcome, Denied)
    assert [denial.code for denial in outcome.denials] == ["policy-error", "one"]


@pytest.mark.requirement("fail-closed.policy-answer")
@pytest.mark.parametrize("enforcement", list(Enforcement))
def test_no_units_at_all_refuse_in_every_mode(enforcement: Enforcement) -> None:
    asked = question(a_mandate(enforcement=enforcement))
    assert isinstance(conclude(asked, Evaluation(DIGEST, ())), Denied)


@pytest.mark.requirement("fail-closed.engine-fault")
@pytest.mark.parametrize("enforcement", list(Enforcement))
@pytest.mark.parametrize(
    ("error", "code", "retry"),
    [
        pytest.param(EngineTimeoutError("2 s"), "policy-timeout", False, id="too late"),
        pytest.param(EngineProtocolError("half a frame"), "policy-error", True, id="nonsense"),
        pytest.param(EngineInputError("too deep"), "policy-error", False, id="a bad document"),
        pytest.param(PolicyRejectedError(()), "policy-error", False, id="no policies"),
        pytest.param(EngineError("something new"), "policy-error", True, id="any other fault"),
    ],
)
def test_a_failed_engine_refuses_in_every_mode(
    error: EngineError, code: str, *, retry: bool, enforcement: Enforcement
) -> None:
    outcome = conclude(question(a_mandate(enforcement=enforcement)), error)
    assert isinstance(outcome, Denied)
    assert [(d.code, d.retry) for d in outcome.denials] == [(code, retry)]


@pytest.mark.requirement("fail-closed.engine-fault")
@pytest.mark.parametrize("enforcement", list(Enforcement))
def test_an_absent_engine_postpones_in_every_mode(enforcement: Enforcement) -> None:
    outcome = conclude(
        question(a_mandate(enforcement=enforcement)), EngineUnavailableError("restarting")
    )
    assert outcome == Postponed(CHANGE, "restarting")


def all_engine_errors(kind: type[EngineError] = EngineError) -> set[type[EngineError]]:
    return {kind}.union(*(all_engine_errors(child) for child in kind.__subclasses__()))


@pytest.mark.requirement("fail-closed.engine-fault")
@pytest.mark.parametrize("kind", sorted(all_engine_errors(), key=str))
def test_no_kind_of_engine_error_grants(kind: type[EngineError]) -> None:
    error = PolicyRejectedError(()) if kind is PolicyRejectedError else kind("fault")
    assert isinstance(
        conclude(question(a_mandate(enforcement=Enforcement.SHADOW)), error), Denied | Postponed
    )


@pytest.mark.requirement("dry-run-clean.true-verdict")
@pytest.mark.parametrize(
    ("request_", "mandate", "code"),
    [
        *GUARDED,
        pytest.param(a_request(user=a_user("stranger")), a_mandate(), None, id="ungoverned"),
    ],
)
def test_a_dry_run_is_settled_as_the_write_itself(
    request_: AdmissionRequest, mandate: Mandate, code: str | None
) -> None:
    outcomes = [
        prepared(replace(request_, dry_run=dry_run), a_registry(mandate))
        for dry_run in (False, True)
    ]
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[1], Granted if code is None else Denied)


@pytest.mark.requirement("dry-run-clean.true-verdict")
def test_a_dry_run_differs_in_what_policies_see_by_its_own_flag_only() -> None:
    real, dry = (question(request=a_request(dry_run=dry_run)).document for dry_run in (False, True))
    told = dry["request"]
    assert isinstance(told, dict)
    assert {**dry, "request": {**told, "dryRun": False}} == real


@pytest.mark.requirement("same-judge.one-input")
def test_the_same_question_and_answer_give_the_same_outcome() -> None:
    answer = an_evaluation(a_unit(a_finding()))
    assert conclude(question(), answer) == conclude(question(), answer)


def test_the_agent_is_its_mandate_whichever_subject_it_writes_as() -> None:
    mandate = a_mandate(subjects=(AGENT, "oidc:migrator"))
    for user in (a_user(), a_user("oidc:migrator")):
        assert question(mandate, a_request(user=user)).mandate == mandate
