"""Governor's priority level and flow schema: what is rendered, and what is wrong with others."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from controller.registration.priority import (
    GOVERNOR,
    problems_of_flow_schema,
    problems_of_priority_level,
    render_flow_schema,
    render_priority_level,
)

pytestmark = pytest.mark.requirement("fail-closed.own-priority")

ADMIN = "admin"
Edit = Callable[[dict[str, Any]], object]
ACTED_UPON = {"conditions": [{"type": "Dangling", "status": "False"}]}


def a_level(edit: Edit = lambda _spec: None) -> dict[str, Any]:
    """The level as rendered, but for an edit of its spec."""
    level = cast("dict[str, Any]", render_priority_level())
    edit(level["spec"])
    return level


def a_schema(edit: Edit = lambda _spec: None, *, username: str = ADMIN) -> dict[str, Any]:
    """The schema as rendered for this user and acted upon, but for an edit of its spec."""
    schema = cast("dict[str, Any]", render_flow_schema([username]))
    edit(schema["spec"])
    return {**schema, "status": ACTED_UPON}


def test_what_is_rendered_serves() -> None:
    assert problems_of_priority_level(a_level()) == ()
    for username in (ADMIN, GOVERNOR):
        assert problems_of_flow_schema(a_schema(), username=username) == ()


def test_a_service_account_is_named_as_one() -> None:
    schema = a_schema(username="system:serviceaccount:ops:governor-2")
    assert schema["spec"]["rules"][0]["subjects"] == [
        {
            "kind": "ServiceAccount",
            "serviceAccount": {"namespace": "governor-system", "name": "governor"},
        },
        {"kind": "ServiceAccount", "serviceAccount": {"namespace": "ops", "name": "governor-2"}},
    ]


@pytest.mark.parametrize(
    ("edit", "serves"),
    [
        pytest.param({"nominalConcurrencyShares": 200}, True, id="more seats"),
        pytest.param({"nominalConcurrencyShares": 1}, True, id="few seats"),
        pytest.param({"borrowingLimitPercent": 50}, True, id="borrows from others"),
        pytest.param({"nominalConcurrencyShares": 0}, False, id="no seats"),
        pytest.param({"lendablePercent": 1}, False, id="lends a seat"),
    ],
)
def test_more_seats_are_fine_and_fewer_to_lend_are_not(edit: dict[str, Any], serves: bool) -> None:  # noqa: FBT001 -- a column of the table
    level = a_level(lambda spec: spec["limited"].update(edit))
    assert (problems_of_priority_level(level) == ()) is serves


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        pytest.param(None, "there is no PriorityLevelConfiguration governor", id="none"),
        pytest.param({}, "governor is of type None: set spec.type to Limited", id="empty"),
        pytest.param(
            a_level(lambda spec: spec.update({"type": "Exempt"})),
            "governor is of type Exempt: set spec.type to Limited",
            id="exempt",
        ),
        pytest.param(
            a_level(lambda spec: spec["limited"].update({"lendablePercent": 100})),
            "governor lends its seats: set spec.limited.lendablePercent to 0",
            id="lends",
        ),
        pytest.param(
            a_level(lambda spec: spec["limited"].update({"nominalConcurrencyShares": 0})),
            "governor has no seats: set spec.limited.nominalConcurrencyShares to 20",
            id="no seats",
        ),
        pytest.param(
            a_level(lambda spec: spec["limited"].update({"limitResponse": {"type": "Reject"}})),
            "rejects what it cannot seat: set spec.limited.limitResponse.type to Queue",
            id="rejects",
        ),
    ],
)
def test_what_is_wrong_with_a_level_is_named_with_the_fix(
    stored: dict[str, Any] | None, problem: str
) -> None:
    (found,) = problems_of_priority_level(stored)
    assert problem in found


def put(**fields: Any) -> Edit:  # noqa: ANN401 -- any part of a spec
    """Set fields of the spec."""
    return lambda spec: spec.update(fields)


def put_into_rule(**fields: Any) -> Edit:  # noqa: ANN401 -- any part of a rule
    """Set fields of the one rule for resources."""
    return lambda spec: spec["rules"][0]["resourceRules"][0].update(fields)


def put_subjects(*subjects: dict[str, Any]) -> Edit:
    """Let in exactly these."""
    return lambda spec: spec["rules"][0].update({"subjects": [*subjects]})


def add_subject(subject: dict[str, Any]) -> Edit:
    """Let somebody else in."""
    return lambda spec: spec["rules"][0]["subjects"].append(subject)


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        pytest.param(
            put(priorityLevelConfiguration={"name": "workload-low"}),
            "leads to workload-low: set spec.priorityLevelConfiguration.name to governor",
            id="another level",
        ),
        pytest.param(
            put(matchingPrecedence=100),
            "comes after other schemas: set spec.matchingPrecedence to 2",
            id="too late",
        ),
        pytest.param(
            put_subjects(),
            "does not match every request of admin: name it in spec.rules[0].subjects",
            id="without us",
        ),
        pytest.param(
            put_into_rule(verbs=["get"]),
            "does not match every request of admin",
            id="reads only",
        ),
        pytest.param(
            put_into_rule(clusterScope=False),
            "does not match every request of admin",
            id="namespaces only: Accounts have none",
        ),
        pytest.param(
            add_subject({"kind": "Group", "group": {"name": "system:authenticated"}}),
            "lets others in by Group system:authenticated",
            id="everybody",
        ),
        pytest.param(
            add_subject({"kind": "User", "user": {"name": "*"}}),
            "lets others in by User *",
            id="every user",
        ),
        pytest.param(
            add_subject(
                {"kind": "ServiceAccount", "serviceAccount": {"namespace": "agents", "name": "*"}}
            ),
            "lets others in by ServiceAccount *",
            id="every account of a namespace",
        ),
    ],
)
def test_what_is_wrong_with_a_schema_is_named_with_the_fix(edit: Edit, problem: str) -> None:
    (found,) = problems_of_flow_schema(a_schema(edit), username=ADMIN)
    assert problem in found


def test_another_identity_than_the_named_ones_is_not_served() -> None:
    (found,) = problems_of_flow_schema(a_schema(), username="somebody-else")
    assert "does not match every request of somebody-else" in found


def test_one_identity_more_by_its_name_harms_nobody() -> None:
    schema = a_schema(add_subject({"kind": "User", "user": {"name": "the-other-process"}}))
    assert problems_of_flow_schema(schema, username=ADMIN) == ()


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        pytest.param({}, "not acted upon yet: the API server needs API Priority", id="by nobody"),
        pytest.param(
            {"conditions": [{"type": "Dangling", "status": "True"}]},
            "leads to a priority level that the API server does not know yet",
            id="dangling",
        ),
        pytest.param(
            {"conditions": [{"type": "Other", "status": "False"}]},
            "not acted upon yet",
            id="another condition",
        ),
    ],
)
def test_a_schema_that_the_api_server_does_not_heed_is_named(
    status: dict[str, Any], problem: str
) -> None:
    (found,) = problems_of_flow_schema({**a_schema(), "status": status}, username=ADMIN)
    assert problem in found


def test_no_schema_is_named() -> None:
    (found,) = problems_of_flow_schema(None, username=ADMIN)
    assert "there is no FlowSchema governor: run `governor reconcile`" in found
    assert problems_of_flow_schema({}, username=ADMIN)
