"""No write leaves Pods behind that run on and are nobody's."""

import pytest

from controller.apis.json import Json
from controller.apis.requests import Target
from controller.asks.asked import asked_by
from controller.asks.ownership import owner_after
from tests.asking import (
    AUTOSCALERS,
    CONTROLLERS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    a_pod,
    a_workload,
    an_autoscaler,
    around,
    creating,
    deleting,
    made_by,
    sides,
    units,
    updating,
    with_metadata,
)

pytestmark = pytest.mark.requirement("never-oversold.asks")

ALL = (
    DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, CRON_JOBS, JOBS, CONTROLLERS
)  # fmt: skip


def refused(target: Target, *, options: Object | None = None, **metadata: Json) -> str:
    """The field of the problem with deleting an agent's object; empty: there is none."""
    old = with_metadata(a_workload(target, owner="migrator"), **metadata)
    problem = asked_by(deleting(old, target, options=options), around()).problem
    return "" if problem is None else problem.field


@pytest.mark.parametrize("target", ALL, ids=lambda target: target.resource)
def test_what_made_pods_is_not_deleted_without_them(target: Target) -> None:
    assert refused(target, options={"propagationPolicy": "Orphan"}) == "propagationPolicy"
    assert refused(target, options={"orphanDependents": True}) == "propagationPolicy"
    assert refused(target, finalizers=["orphan"]) == "propagationPolicy"
    assert refused(target, options={"propagationPolicy": "Background"}) == ""
    assert refused(target, options={"propagationPolicy": "Foreground"}) == ""
    assert refused(target, options={"orphanDependents": False}, finalizers=["orphan"]) == ""


@pytest.mark.parametrize("target", ALL, ids=lambda target: target.resource)
@pytest.mark.parametrize("options", [None, {}, {"gracePeriodSeconds": 0}], ids=str)
def test_two_kinds_leave_their_pods_behind_where_nothing_is_said(
    target: Target, options: Object | None
) -> None:
    is_orphaned = target in {JOBS, CONTROLLERS}
    assert bool(refused(target, options=options)) == is_orphaned
    assert refused(target, options=options, finalizers=["foregroundDeletion"]) == ""


def test_a_refusal_says_what_to_write_instead() -> None:
    problem = asked_by(deleting(a_workload(JOBS, owner="migrator"), JOBS), around()).problem
    assert problem is not None
    assert problem.message.endswith("delete with Background or Foreground")


def test_what_is_nobodys_may_be_deleted_as_ever() -> None:
    orphaning: Object = {"propagationPolicy": "Orphan"}
    assert asked_by(deleting(a_workload(JOBS), JOBS, options=orphaning), around()).problem is None
    child = with_metadata(a_workload(REPLICA_SETS), ownerReferences=made_by("a-deployment"))
    request = deleting(child, REPLICA_SETS, options=orphaning)
    assert asked_by(request, around()).problem is not None


@pytest.mark.parametrize(
    ("target", "obj"),
    [(PODS, a_pod(owner="migrator")), (AUTOSCALERS, an_autoscaler(owner="migrator"))],
    ids=["a Pod", "an autoscaler"],
)
def test_what_made_no_pods_leaves_none_behind(target: Target, obj: Object) -> None:
    request = deleting(obj, target, options={"propagationPolicy": "Orphan"})
    assert asked_by(request, around()).problem is None


def test_nobody_prepares_to_leave_pods_behind() -> None:
    plain = a_workload(status={})
    prepared = with_metadata(plain, finalizers=["example.com/wait", "orphan"])
    for request in (creating(prepared), updating(plain, prepared)):
        problem = asked_by(request, around()).problem
        assert problem is not None
        assert problem.field == "metadata.finalizers"
    assert asked_by(updating(prepared, prepared), around()).problem is None
    assert asked_by(updating(prepared, plain), around()).problem is None


def test_a_replication_controller_keeps_its_selector() -> None:
    """Of the other kinds the API server keeps it."""
    old = a_workload(CONTROLLERS, spec={"selector": {"app": "web"}})
    new = a_workload(CONTROLLERS, spec={"selector": {"app": "other"}})
    problem = asked_by(updating(old, new, CONTROLLERS), around()).problem
    assert problem is not None
    assert problem.field == "spec.selector"
    assert asked_by(updating(old, old, CONTROLLERS), around()).problem is None


CHILD = with_metadata(a_pod(), ownerReferences=made_by("a-set"), labels={"app": "web"})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"labels": {"app": "other"}}, id="another label"),
        pytest.param({"labels": {}}, id="no label"),
        pytest.param({"labels": {"app": "web", "debug": "yes"}}, id="one label more"),
        pytest.param({"ownerReferences": []}, id="no controller"),
        pytest.param({"ownerReferences": made_by("another-set")}, id="another controller"),
    ],
)
def test_a_pod_that_its_controller_may_let_go_of_is_charged_whole_and_adopted(
    changes: Object,
) -> None:
    request = updating(CHILD, with_metadata(CHILD, **changes), PODS)
    asked = asked_by(request, around())
    assert sides(asked) == ({}, units(1))
    assert owner_after(request, agent="migrator", asked=asked) == "migrator"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"annotations": {"a": "b"}}, id="an annotation"),
        pytest.param({"finalizers": ["example.com/wait"]}, id="a finalizer"),
        pytest.param(
            {"labels": {"app": "web", "governor.dev/agent": "migrator"}}, id="Governor's label"
        ),
    ],
)
def test_what_no_controller_selects_by_changes_nothing(changes: Object) -> None:
    asked = asked_by(updating(CHILD, with_metadata(CHILD, **changes), PODS), around())
    assert sides(asked) == (units(1), units(1))


def test_a_pod_that_nobody_made_may_be_relabelled() -> None:
    request = updating(a_pod(), with_metadata(a_pod(), labels={"app": "other"}), PODS)
    assert sides(asked_by(request, around())) == (units(1), units(1))


def test_a_finished_pod_that_is_let_go_of_holds_nothing() -> None:
    done: Object = {**CHILD, "status": {"phase": "Succeeded"}}
    relabelled = with_metadata(done, labels={})
    assert sides(asked_by(updating(done, relabelled, PODS), around())) == ({}, {})


def test_labels_are_not_changed_beside_a_status_which_no_label_would_tell_of() -> None:
    relabelled = with_metadata(CHILD, labels={})
    problem = asked_by(updating(CHILD, relabelled, PODS, under="status"), around()).problem
    assert problem is not None
    assert problem.field == "metadata.labels"
