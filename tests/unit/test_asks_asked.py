"""What a write asks for, before and after it: never less than its object may come to hold."""

from dataclasses import replace

import pytest

from controller.apis.json import Json
from controller.apis.requests import Operation, Target
from controller.apis.resources import Amounts
from controller.asks.asked import (
    NOTHING_ASKED,
    Asked,
    Needs,
    ObjectReference,
    asked_by,
    needs_of,
)
from tests.asking import (
    AUTOSCALERS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    GI,
    JOBS,
    PODS,
    ROLLED,
    ROLLING,
    SCALABLE,
    STATEFUL_SETS,
    Object,
    a_container,
    a_pod,
    a_workload,
    an_autoscaler,
    around,
    at_rest,
    creating,
    scaling,
    sides,
    units,
    updating,
)
from tests.builders import a_request

pytestmark = pytest.mark.requirement("never-oversold.asks")

SEEN: Object = {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}
BIG = a_container("200m", "1Gi")
WIDE = a_container("50m", "2Gi")


def test_a_create_asks_for_all_of_it_and_without_a_surge() -> None:
    asked = asked_by(creating(a_workload(replicas=4)), around())
    assert asked == Asked({}, units(4), unit=units(1), field="spec.replicas")


def test_a_delete_asks_for_nothing_and_tells_whose_it_was() -> None:
    request = a_request(Operation.DELETE, target=DEPLOYMENTS, old=at_rest(owner="migrator"))
    assert asked_by(request, around()) == Asked(before=units(4), owner="migrator")


@pytest.mark.parametrize("target", SCALABLE, ids=lambda target: target.resource)
def test_an_update_of_the_replicas_asks_for_the_new_number(target: Target) -> None:
    old, new = at_rest(target=target), at_rest(target=target, replicas=6, generation=2)
    asked = asked_by(updating(old, new, target), around())
    assert sides(asked) == (units(4), units(6))
    assert (asked.field, asked.unit) == ("spec.replicas", units(1))


@pytest.mark.parametrize(
    ("new", "after", "field"),
    [
        pytest.param(at_rest(), units(4), "spec.replicas", id="nothing"),
        pytest.param(
            at_rest(BIG), units(5, cpu=200), "spec.template.spec.containers", id="more CPU"
        ),
        pytest.param(
            at_rest(WIDE),
            {"cpu": 500, "memory": 10 * GI, "pods": 5},
            "spec.template.spec.containers",
            id="of each resource the larger while both run",
        ),
        pytest.param(
            at_rest(a_container("1m", None)),
            units(5),
            "spec.strategy.rollingUpdate.maxSurge",
            id="less: the old ones run on meanwhile",
        ),
        pytest.param(
            at_rest(a_container(image="web:2")),
            units(5),
            "spec.strategy.rollingUpdate.maxSurge",
            id="another image: only the surge",
        ),
        pytest.param(
            at_rest(a_container(image="web:2"), spec={"strategy": {"type": "Recreate"}}),
            units(4),
            "spec.replicas",
            id="no surge where Pods are deleted first",
        ),
        pytest.param(
            at_rest(BIG, replicas=8),
            units(10, cpu=200),
            "spec.template.spec.containers",
            id="more Pods and larger ones",
        ),
        pytest.param(
            at_rest(BIG, replicas=0), {}, "spec.template.spec.containers", id="none of them"
        ),
    ],
)
def test_a_changed_template_asks_for_the_most_while_pods_are_replaced(
    new: Object, after: Amounts, field: str
) -> None:
    asked = asked_by(updating(at_rest(), new), around())
    assert sides(asked) == (units(4), after)
    assert asked.field == field


REPLICAS, SURGE = "spec.replicas", "spec.strategy.rollingUpdate.maxSurge"
ONE_BY_ONE: Object = {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}


@pytest.mark.parametrize(
    ("target", "old", "new", "field"),
    [
        pytest.param(DEPLOYMENTS, at_rest(), at_rest(BIG), SURGE, id="as many, and a surge"),
        pytest.param(
            DEPLOYMENTS, at_rest(), at_rest(BIG, replicas=8), REPLICAS, id="more, and a surge"
        ),
        pytest.param(
            DEPLOYMENTS,
            at_rest(),
            at_rest(BIG, spec={"strategy": {"type": "Recreate"}}),
            REPLICAS,
            id="no surge",
        ),
        pytest.param(DEPLOYMENTS, at_rest(), at_rest(replicas=8), "", id="none grows"),
        pytest.param(
            STATEFUL_SETS,
            at_rest(target=STATEFUL_SETS),
            at_rest(BIG, target=STATEFUL_SETS),
            REPLICAS,
            id="replaced one by one",
        ),
        pytest.param(
            DAEMON_SETS,
            a_workload(DAEMON_SETS, status=SEEN),
            a_workload(DAEMON_SETS, BIG, status=SEEN, spec=ONE_BY_ONE),
            "spec.updateStrategy.rollingUpdate.maxSurge",
            id="a surge on each node",
        ),
        pytest.param(
            DAEMON_SETS,
            a_workload(DAEMON_SETS, status=SEEN),
            a_workload(DAEMON_SETS, BIG, status=SEEN),
            "",
            id="one for each node, which is no field",
        ),
    ],
)
def test_where_pods_grow_their_number_has_a_field_of_its_own(
    target: Target, old: Object, new: Object, field: str
) -> None:
    asked = asked_by(updating(old, new, target), around(nodes=3))
    assert asked.count_field == field


def test_an_update_during_a_rollout_asks_for_the_surge_before_and_after() -> None:
    unseen: Object = {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4}
    old = at_rest(status=unseen, generation=2)
    asked = asked_by(updating(old, at_rest(status=unseen, replicas=8, generation=3)), around())
    assert sides(asked) == (units(5), units(10))


MIXED: Object = {"replicas": 4, "currentRevision": "web-1", "updateRevision": "web-2"}
OF_ONE: Object = {"replicas": 4, "currentRevision": "web-2", "updateRevision": "web-2"}


@pytest.mark.parametrize(
    ("old", "target"),
    [
        pytest.param(at_rest(status=ROLLING), DEPLOYMENTS, id="a rollout is under way"),
        pytest.param(at_rest(spec={"paused": True}), DEPLOYMENTS, id="it is paused"),
        pytest.param(
            at_rest(target=STATEFUL_SETS, status=MIXED),
            STATEFUL_SETS,
            id="of two revisions one is old",
        ),
    ],
)
def test_what_may_scale_pods_of_an_older_template_is_not_raised_meanwhile(
    old: Object, target: Target
) -> None:
    """They may be larger than what the object says now, and more of them are made."""
    spec = old["spec"]
    assert isinstance(spec, dict)
    more: Object = {**old, "spec": {**spec, "replicas": 8}}
    fewer: Object = {**old, "spec": {**spec, "replicas": 1}}
    raised = (
        asked_by(updating(old, more, target), around()),
        asked_by(scaling(4, 8, target), around(scaled=old)),
        asked_by(creating(an_autoscaler(target=target), AUTOSCALERS), around(scaled=old)),
    )
    for asked in raised:
        assert asked.problem is not None
        assert asked.problem.is_passing
        assert asked.problem.field in {"spec.replicas", "spec.maxReplicas"}
    for lowered in (updating(old, fewer, target), updating(old, old, target)):
        assert asked_by(lowered, around()).problem is None
    assert asked_by(scaling(4, 1, target), around(scaled=old)).problem is None


@pytest.mark.parametrize("status", [OF_ONE, {}, {"updateRevision": "web-1"}], ids=str)
def test_a_stateful_set_of_one_revision_is_raised_as_ever(status: Object) -> None:
    old = at_rest(target=STATEFUL_SETS, status=status)
    new = at_rest(target=STATEFUL_SETS, status=status, replicas=8)
    assert sides(asked_by(updating(old, new, STATEFUL_SETS), around())) == (units(4), units(8))


def test_a_new_generation_alone_is_no_rollout() -> None:
    asked = asked_by(updating(at_rest(), at_rest(generation=2, spec={"paused": True})), around())
    assert sides(asked) == (units(4), units(4))


def test_stateful_sets_replace_one_by_one_and_never_surge() -> None:
    old, new = at_rest(target=STATEFUL_SETS), at_rest(WIDE, target=STATEFUL_SETS)
    asked = asked_by(updating(old, new, STATEFUL_SETS), around())
    assert sides(asked) == (units(4), {"cpu": 400, "memory": 8 * GI, "pods": 4})


def test_a_surge_that_cannot_be_read_is_a_problem_also_where_no_status_tells_of_a_rollout() -> None:
    new = at_rest(BIG, spec={"strategy": {"rollingUpdate": {"maxSurge": "many"}}})
    asked = asked_by(updating(at_rest(), new), around())
    assert asked.problem is not None
    assert asked.problem.field == "spec.strategy.rollingUpdate.maxSurge"


# Pods


def test_a_pod_is_asked_for_as_it_is_and_resized_to_what_it_becomes() -> None:
    made = asked_by(creating(a_pod(), PODS), around())
    assert (made.after, made.unit, made.field) == (units(1), units(1), "spec.containers")
    grown = asked_by(updating(a_pod(), a_pod(BIG), PODS, under="resize"), around())
    assert sides(grown) == (units(1), units(1, cpu=200))


def test_ephemeral_containers_ask_for_nothing_more() -> None:
    new = a_pod(spec={"ephemeralContainers": [{"name": "debug"}]})
    asked = asked_by(updating(a_pod(), new, PODS, under="ephemeralcontainers"), around())
    assert sides(asked) == (units(1), units(1))


@pytest.mark.parametrize("subresource", ["exec", "binding", "eviction", "log", "token"])
def test_what_carries_another_object_asks_for_nothing(subresource: str) -> None:
    target = replace(PODS, subresource=subresource)
    assert asked_by(creating(a_pod(), target), around()) == NOTHING_ASKED


FORGED = [
    pytest.param(PODS, a_pod(), {"phase": "Succeeded"}, "status.phase", id="a Pod that ended"),
    pytest.param(
        PODS, a_pod(), {"containerStatuses": []}, "status.containerStatuses", id="an allocation"
    ),
    pytest.param(
        DAEMON_SETS,
        a_workload(DAEMON_SETS, status=SEEN),
        {**SEEN, "desiredNumberScheduled": 0},
        "status.desiredNumberScheduled",
        id="a DaemonSet that wants none",
    ),
    pytest.param(
        DEPLOYMENTS,
        at_rest(status=ROLLING),
        {**ROLLING, "updatedReplicas": 5},
        "status.updatedReplicas",
        id="a rollout that is over",
    ),
    pytest.param(
        STATEFUL_SETS,
        at_rest(target=STATEFUL_SETS),
        {**ROLLED, "updateRevision": "web-1"},
        "status.updateRevision",
        id="a StatefulSet of one revision",
    ),
    pytest.param(
        JOBS,
        a_workload(JOBS),
        {"conditions": [{"type": "Complete", "status": "True"}]},
        "status.conditions",
        id="a Job that is complete",
    ),
    pytest.param(JOBS, a_workload(JOBS), {"succeeded": 1}, "status.succeeded", id="one of a Job"),
]


@pytest.mark.parametrize(("target", "old", "status", "field"), FORGED)
def test_nobody_asks_less_by_writing_a_status(
    target: Target, old: Object, status: Object, field: str
) -> None:
    request = updating(old, {**old, "status": status}, target, under="status")
    problem = asked_by(request, around()).problem
    assert problem is not None
    assert problem.field == field


@pytest.mark.parametrize(
    "status", [{"phase": "Succeeded"}, {"phase": "Failed"}, "no status at all"], ids=str
)
def test_a_status_that_comes_with_another_write_is_not_believed(status: Json) -> None:
    new: Object = {**a_pod(BIG), "status": status}
    assert sides(asked_by(creating(new, PODS), around())) == ({}, units(1, cpu=200))
    changed = asked_by(updating(a_pod(), new, PODS), around())
    assert sides(changed) == (units(1), units(1, cpu=200))


def test_a_status_that_says_nothing_of_what_is_held_is_no_problem() -> None:
    old = a_pod(status={"phase": "Running"})
    condition: Json = {"type": "example.com/ready"}
    new: Object = {**old, "status": {"phase": "Running", "conditions": [condition]}}
    assert sides(asked_by(updating(old, new, PODS, under="status"), around())) == (
        units(1),
        units(1),
    )


# DaemonSets and jobs


@pytest.mark.parametrize(
    ("new", "after"),
    [
        pytest.param(
            a_workload(DAEMON_SETS, status=SEEN),
            units(3),
            id="the same spec: as its controller says",
        ),
        pytest.param(
            a_workload(DAEMON_SETS, BIG, status=SEEN, generation=2),
            units(8, cpu=200),
            id="another spec: one for each node",
        ),
        pytest.param(
            a_workload(DAEMON_SETS, status=SEEN, spec={"minReadySeconds": 5}),
            units(8),
            id="another spec whose generation is not raised yet",
        ),
        pytest.param(
            a_workload(
                DAEMON_SETS,
                BIG,
                status=SEEN,
                spec={"updateStrategy": {"rollingUpdate": {"maxSurge": "10%"}}},
            ),
            units(9, cpu=200),
            id="and its surge",
        ),
    ],
)
def test_a_daemon_set_asks_for_every_node_once_its_spec_changes(
    new: Object, after: Amounts
) -> None:
    old = a_workload(DAEMON_SETS, status=SEEN)
    asked = asked_by(updating(old, new, DAEMON_SETS), around(nodes=8))
    assert sides(asked) == (units(3), after)


def test_a_new_daemon_set_asks_for_every_node() -> None:
    asked = asked_by(creating(a_workload(DAEMON_SETS), DAEMON_SETS), around(nodes=8))
    assert (asked.after, asked.unit) == (units(8), units(1))
    assert asked.field == "spec.template.spec.containers"


def test_jobs_are_told_what_to_lower() -> None:
    job = a_workload(JOBS, spec={"parallelism": 3})
    assert asked_by(creating(job, JOBS), around()).field == "spec.parallelism"
    cron_job = a_workload(CRON_JOBS, spec={"parallelism": 3})
    larger = a_workload(CRON_JOBS, BIG, spec={"parallelism": 3})
    assert asked_by(creating(cron_job, CRON_JOBS), around()).field == (
        "spec.jobTemplate.spec.parallelism"
    )
    assert asked_by(updating(cron_job, larger, CRON_JOBS), around()).field == (
        "spec.jobTemplate.spec.template.spec.containers"
    )


def test_resuming_a_job_asks_for_all_of_it() -> None:
    old, new = (
        a_workload(JOBS, spec={"parallelism": 3, "suspend": True}),
        a_workload(JOBS, spec={"parallelism": 3}),
    )
    assert sides(asked_by(updating(old, new, JOBS), around())) == ({}, units(3))


# Needs


def test_most_writes_need_nothing_to_be_looked_up() -> None:
    assert needs_of(creating(a_pod(), PODS)) == Needs()
    assert needs_of(creating({}, Target("", "v1", "ConfigMap", "configmaps"))) == Needs()
    assert needs_of(creating(a_workload(JOBS), JOBS)) == Needs()
    assert needs_of(a_request(Operation.DELETE, target=DAEMON_SETS)) == Needs()


def test_daemon_sets_need_the_nodes_and_what_can_be_scaled_the_autoscalers() -> None:
    assert needs_of(creating(a_workload(DAEMON_SETS), DAEMON_SETS)) == Needs(nodes=True)
    for target in SCALABLE:
        assert needs_of(creating(a_workload(target), target)) == Needs(autoscalers=True)


def test_a_scale_needs_the_very_object_that_it_scales() -> None:
    wanted = ObjectReference("apps", "v1", "deployments", "team-data", "web", "uid-of-web")
    assert needs_of(scaling(1, 2)) == Needs(autoscalers=True, scaled=wanted)


def test_an_autoscaler_needs_its_target_by_name() -> None:
    wanted = ObjectReference("", "v1", "replicationcontrollers", "team-data", "web")
    controllers = Target("", "v1", "ReplicationController", "replicationcontrollers")
    request = creating(an_autoscaler(target=controllers), AUTOSCALERS)
    assert needs_of(request) == Needs(scaled=wanted)
    custom = Target("example.com", "v1", "Model", "models")
    assert needs_of(creating(an_autoscaler(target=custom), AUTOSCALERS)) == Needs()
    assert needs_of(scaling(1, 2, custom)) == Needs()


# What cannot be counted


def test_what_cannot_be_read_is_a_problem_and_no_ask() -> None:
    asked = asked_by(updating(at_rest(), at_rest(a_container("much")), DEPLOYMENTS), around())
    assert asked.problem is not None
    assert asked.problem.field == "spec.template.spec.containers[0].resources.requests.cpu"
    assert (asked.before, asked.after) == ({}, {})


def test_what_was_stored_unreadable_counts_as_what_can_be_read() -> None:
    asked = asked_by(updating(at_rest(a_container("much")), at_rest()), around())
    assert sides(asked) == (units(4, cpu=0), units(5))


def test_more_than_an_account_can_hold_is_a_problem() -> None:
    huge = at_rest(a_container("1", "8Pi"), replicas=2**31 - 1, status=None)
    problem = asked_by(creating(huge), around()).problem
    assert problem is not None
    assert "asks more memory than is counted" in problem.message
