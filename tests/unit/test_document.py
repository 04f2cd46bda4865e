"""The input document: the published shape, the same for the same write, and nothing left out."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from controller.agents.identify import Agent
from controller.apis.mandates import Enforcement, Mandate
from controller.apis.requests import AdmissionRequest, Operation, Target, UserInfo
from controller.changes.fields import Changes, changed_fields
from controller.policy.document import NO_FACTS, Facts, build_document
from tests.builders import AGENT, AGENT_UID, a_mandate, a_request, a_rule, a_user, an_object
from tests.limiting import RATE, SPEND, asking

NOW = datetime(2026, 11, 24, 9, 30, 15, 123456, tzinfo=UTC)
SCALE = Target("apps", "v1", "Scale", "deployments", "scale")
BOUND = {
    "authentication.kubernetes.io/credential-id": ("JTI=7",),
    "authentication.kubernetes.io/pod-name": ("agent-0",),
    "authentication.kubernetes.io/pod-uid": ("pod-uid",),
}


def document_of(
    request: AdmissionRequest,
    *,
    mandate: Mandate | None = None,
    user: UserInfo | None = None,
    now: datetime = NOW,
    facts: Facts = NO_FACTS,
) -> dict[str, Any]:
    """Build the document as the judge does."""
    agent = Agent(mandate or a_mandate(), user or request.user)
    changes = changed_fields(request.old, request.obj)
    built = build_document(request, agent=agent, changes=changes, now=now, facts=facts)
    return cast("dict[str, Any]", built)


@pytest.fixture(scope="module")
def published(repository: Path) -> dict[str, Any]:
    """The schema that policy authors compile against."""
    text = (repository / "policies/schemas/input.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


@pytest.mark.requirement("same-judge.one-input")
@pytest.mark.parametrize(
    "request_",
    [
        *[pytest.param(a_request(operation), id=operation.value) for operation in Operation],
        pytest.param(
            a_request(Operation.UPDATE, obj=an_object(spec={"a": [1, {"b c": None}]})),
            id="a change",
        ),
        pytest.param(a_request(Operation.UPDATE, target=SCALE), id="a subresource"),
        pytest.param(a_request(Operation.DELETE, is_collection=True), id="a deletecollection"),
        pytest.param(a_request(namespace="", name=""), id="cluster-scoped, name to be generated"),
        pytest.param(a_request(dry_run=True), id="a dry run"),
        pytest.param(a_request(user=a_user(extra=BOUND)), id="a token bound to a Pod"),
        pytest.param(a_request(user=a_user(uid="", groups=(), extra={})), id="an impersonation"),
    ],
)
def test_every_document_has_the_published_shape(
    published: dict[str, Any], request_: AdmissionRequest
) -> None:
    fields = ("spec.replicas", 'data["a.b"]', "spec.containers[*].image", "spec.args[0]")
    mandate = a_mandate(rules=(a_rule(), a_rule(verbs=("update",), fields=fields)))
    limited = replace(mandate, quota=asking(3).after, budgets=(SPEND, RATE))
    jsonschema.validate(document_of(request_, mandate=mandate), published)
    facts = Facts({}, asking(3).after, 12_345, usage=asking(1).after)
    jsonschema.validate(document_of(request_, mandate=limited, facts=facts), published)
    unpriced = replace(facts, usd_per_hour=None)
    jsonschema.validate(document_of(request_, mandate=limited, facts=unpriced), published)


def test_the_request_is_told_as_it_is() -> None:
    assert document_of(a_request(Operation.UPDATE, target=SCALE, dry_run=True))["request"] == {
        "operation": "UPDATE",
        "verbs": ["update", "patch"],
        "dryRun": True,
        "group": "apps",
        "version": "v1",
        "kind": "Scale",
        "resource": "deployments",
        "subresource": "scale",
        "namespace": "team-data",
        "name": "web",
    }


@pytest.mark.parametrize(
    ("operation", "is_collection", "verbs"),
    [
        (Operation.CREATE, False, ["create"]),
        (Operation.UPDATE, False, ["update", "patch"]),
        (Operation.DELETE, False, ["delete"]),
        (Operation.DELETE, True, ["deletecollection"]),
        (Operation.CONNECT, False, ["create"]),
    ],
)
def test_each_operation_has_the_verbs_that_rbac_knows_it_by(
    operation: Operation, *, is_collection: bool, verbs: list[str]
) -> None:
    request = a_request(operation, is_collection=is_collection)
    assert document_of(request)["request"]["verbs"] == verbs


@pytest.mark.requirement("fail-closed.authenticated-identity")
def test_the_agent_is_told_from_its_credential_only() -> None:
    forged = an_object()
    forged["metadata"] = {"name": "web", "annotations": {"governor.dev/agent": "root"}}
    request = a_request(obj=forged, user=a_user(extra=BOUND))
    assert document_of(request)["agent"] == {
        "name": "migrator",
        "username": AGENT,
        "uid": AGENT_UID,
        "groups": [
            "system:serviceaccounts",
            "system:serviceaccounts:team-data",
            "system:authenticated",
        ],
        "credential": "JTI=7",
        "pod": {"name": "agent-0", "uid": "pod-uid"},
    }


def test_the_mandate_is_told_with_its_field_paths_parsed() -> None:
    rule = a_rule(verbs=("update",), resource_names=("web-*",), fields=('data["a.b"]', "spec.x[*]"))
    mandate = a_mandate(rules=(rule,), enforcement=Enforcement.WARN, generation=7)
    assert document_of(a_request(), mandate=mandate)["mandate"] == {
        "name": "migrator",
        "generation": 7,
        "enforcement": "Warn",
        "rules": [
            {
                "verbs": ["update"],
                "apiGroups": ["apps"],
                "resources": ["deployments"],
                "namespaces": ["team-data"],
                "resourceNames": ["web-*"],
                "fields": ['data["a.b"]', "spec.x[*]"],
                "fieldPaths": [["data", "a.b"], ["spec", "x", -1]],
            }
        ],
        "quota": {},
        "budgets": [],
    }


def test_limits_are_told_as_numbers_that_policies_can_compare() -> None:
    quota = {"pods": 20, "memory": 2**35, "cpu": 1500}
    mandate = replace(a_mandate(), quota=quota, budgets=(replace(SPEND, limit=250_000_000), RATE))
    told = document_of(a_request(), mandate=mandate)["mandate"]
    assert told["quota"] == {"cpu": "1.5", "memory": "34359738368", "pods": "20"}
    assert told["budgets"] == [
        {"name": "spend", "resource": "usd", "limit": "0.25", "windowSeconds": 86_400},
        {"name": "rate", "resource": "changes", "limit": "200", "windowSeconds": 3600},
    ]


@pytest.mark.parametrize(
    ("cpu", "told"),
    [(0, "0"), (1, "0.001"), (500, "0.5"), (1000, "1"), (10_000, "10"), (12_340, "12.34")],
)
def test_cpus_are_decimals(cpu: int, told: str) -> None:
    facts = Facts(after={"cpu": cpu})
    assert document_of(a_request(), facts=facts)["asks"]["after"] == {"cpu": told}


def test_asks_cost_and_usage_are_told_with_what_is_not_known_as_null() -> None:
    facts = Facts({"pods": 2}, {"pods": 5, "memory": 7}, 1_250_000_000, usage={"cpu": 2500})
    document = document_of(a_request(), facts=facts)
    assert document["asks"] == {"before": {"pods": "2"}, "after": {"memory": "7", "pods": "5"}}
    assert document["cost"] == {"usdPerHour": "1.25"}
    assert document["usage"] == {"cpu": "2.5"}
    unpriced = document_of(a_request(), facts=replace(facts, usd_per_hour=None))
    assert unpriced["cost"] == {"usdPerHour": None}


def test_two_mandates_with_other_rules_are_not_mixed_up() -> None:
    narrow, wide = a_mandate(rules=(a_rule(),)), a_mandate(rules=(a_rule(), a_rule(verbs=("*",))))
    told = [document_of(a_request(), mandate=m)["mandate"]["rules"] for m in (narrow, wide, narrow)]
    assert [len(rules) for rules in told] == [1, 2, 1]


def test_changes_are_told_as_paths_and_as_text() -> None:
    new = an_object(spec={"replicas": 3, "a.b": [{"c": 1}]})
    changed = document_of(a_request(Operation.UPDATE, obj=new))["changed"]
    assert changed == {
        "fields": [
            {"path": ["spec", "replicas"], "text": "spec.replicas"},
            {"path": ["spec", "a.b", 0, "c"], "text": 'spec["a.b"][0].c'},
        ],
        "truncated": False,
    }


@pytest.mark.requirement("fail-closed.every-change-seen")
def test_a_cut_list_of_changes_says_so() -> None:
    agent = Agent(a_mandate(), a_user())
    changes = Changes((("data",),), truncated=True)
    built = build_document(a_request(Operation.UPDATE), agent=agent, changes=changes, now=NOW)
    assert cast("dict[str, Any]", built)["changed"]["truncated"] is True


@pytest.mark.requirement("same-judge.one-input")
@pytest.mark.parametrize(
    ("now", "told"),
    [
        (NOW, "2026-11-24T09:30:15.123456Z"),
        (NOW.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-11-24T09:30:15.123456Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_the_time_is_the_one_given_in_utc(now: datetime, told: str) -> None:
    assert document_of(a_request(), now=now)["now"] == told


@pytest.mark.requirement("same-judge.one-input")
def test_the_same_write_gives_the_same_document_and_leaves_its_objects_alone() -> None:
    request = a_request(Operation.UPDATE, obj=an_object(spec={"replicas": 3}))
    before = copy.deepcopy(request.obj)
    first, second = document_of(request), document_of(request)
    assert first == second
    assert request.obj == before
    assert (first["object"], first["oldObject"], first["options"]) == (before, request.old, None)
