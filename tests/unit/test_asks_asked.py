"""What a write asks for, before and after it: never less than its object may come to hold."""

from dataclasses import replace

import pytest

from controller.apis.json import Json
from controller.apis.requests import Operation, Target
from controller.apis.resources import Amounts
from controller.asks.asked import (
    NOTHING_ASKED,
    Asked,
    AskProblem,
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
    SCALABLE,
    STATEFUL_SETS,
    Object,
    a_container,
    a_pod,
    a_workload,
    an_autoscaler,
    around,
    creating,
    scaling,
    sides,
    units,
    updating,
)
from tests.builders import a_request

pytestmark = pytest.mark.requirement("never-oversold.asks")

ROLLED: Object = {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4}
ROLLING: Object = {"observedGeneration": 1, "replicas": 5, "updatedReplicas": 1}
SEEN: Object = {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}
BIG = a_container("200m", "1Gi")
WIDE = a_container("50m", "2Gi")
NONE: Amounts = {}


def of(
    *containers: Object,
    replicas: Json = 4,
    target: Target = DEPLOYMENTS,
    generation: int = 1,
    owner: str = "",
    status: Object | None = ROLLED,
    spec: Object | None = None,
) -> Object:
    """Four Pods of which none is being replaced."""
    return a_workload(
        target,
        *containers,
        replicas=replicas,
        generation=generation,
        owner=owner,
        status=status,
        spec=spec,
    )


def test_a_create_asks_for_all_of_it_and_without_a_surge() -> None:
    asked = asked_by(creating(a_workload(replicas=4)), around())
    assert asked == Asked(NONE, units(4), unit=units(1), field="spec.replicas")


def test_a_delete_asks_for_nothing_and_tells_whose_it_was() -> None:
    request = a_request(Operation.DELETE, target=DEPLOYMENTS, old=of(owner="migrator"))
    assert asked_by(request, around()) == Asked(before=units(4), owner="migrator")


@pytest.mark.parametrize("target", SCALABLE, ids=lambda target: target.resource)
def test_an_update_of_the_replicas_asks_for_the_new_number(target: Target) -> None:
    old, new = of(target=target), of(target=target, replicas=6, generation=2)
    asked = asked_by(updating(old, new, target), around())
    assert sides(asked) == (units(4), units(6))
    assert (asked.field, asked.unit) == ("spec.replicas", units(1))


@pytest.mark.parametrize(
    ("new", "after", "field"),
    [
        pytest.param(of(), units(4), "spec.replicas", id="nothing"),
        pytest.param(of(BIG), units(5, cpu=200), "spec.template.spec.containers", id="more CPU"),
        pytest.param(
            of(WIDE),
            {"cpu": 500, "memory": 10 * GI, "pods": 5},
            "spec.template.spec.containers",
            id="of each resource the larger while both run",
        ),
        pytest.param(
            of(a_container("1m", None)),
            units(5),
            "spec.strategy.rollingUpdate.maxSurge",
            id="less: the old ones run on meanwhile",
        ),
        pytest.param(
            of(a_container(image="web:2")),
            units(5),
            "spec.strategy.rollingUpdate.maxSurge",
            id="another image: only the surge",
        ),
        pytest.param(
            of(a_container(image="web:2"), spec={"strategy": {"type": "Recreate"}}),
            units(4),
            "spec.replicas",
            id="no surge where Pods are deleted first",
        ),
        pytest.param(
            of(BIG, replicas=8),
            units(10, cpu=200),
            "spec.template.spec.containers",
            id="more Pods and larger ones",
        ),
        pytest.param(of(BIG, replicas=0), {}, "spec.template.spec.containers", id="none of them"),
    ],
)
def test_a_changed_template_asks_for_the_most_while_pods_are_replaced(
    new: Object, after: Amounts, field: str
) -> None:
    asked = asked_by(updating(of(), new), around())
    assert sides(asked) == (units(4), after)
    assert asked.field == field


def test_an_update_during_a_rollout_asks_for_the_surge_before_and_after() -> None:
    unseen: Object = {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 4}
    old = of(status=unseen, generation=2)
    asked = asked_by(updating(old, of(status=unseen, replicas=8, generation=3)), around())
    assert sides(asked) == (units(5), units(10))


MIXED: Object = {"replicas": 4, "currentRevision": "web-1", "updateRevision": "web-2"}
OF_ONE: Object = {"replicas": 4, "currentRevision": "web-2", "updateRevision": "web-2"}


@pytest.mark.parametrize(
    ("old", "target"),
    [
        pytest.param(of(status=ROLLING), DEPLOYMENTS, id="a rollout is under way"),
        pytest.param(of(spec={"paused": True}), DEPLOYMENTS, id="it is paused"),
        pytest.param(
            of(target=STATEFUL_SETS, status=MIXED), STATEFUL_SETS, id="of two revisions one is old"
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
    old = of(target=STATEFUL_SETS, status=status)
    new = of(target=STATEFUL_SETS, status=status, replicas=8)
    assert sides(asked_by(updating(old, new, STATEFUL_SETS), around())) == (units(4), units(8))


def test_a_new_generation_alone_is_no_rollout() -> None:
    asked = asked_by(updating(of(), of(generation=2, spec={"paused": True})), around())
    assert sides(asked) == (units(4), units(4))


def test_stateful_sets_replace_one_by_one_and_never_surge() -> None:
    old, new = of(target=STATEFUL_SETS), of(WIDE, target=STATEFUL_SETS)
    asked = asked_by(updating(old, new, STATEFUL_SETS), around())
    assert sides(asked) == (units(4), {"cpu": 400, "memory": 8 * GI, "pods": 4})


def test_a_surge_that_cannot_be_read_is_a_problem_also_where_no_status_tells_of_a_rollout() -> None:
    new = of(BIG, spec={"strategy": {"rollingUpdate": {"maxSurge": "many"}}})
    asked = asked_by(updating(of(), new), around())
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
        of(status=ROLLING),
        {**ROLLING, "updatedReplicas": 5},
        "status.updatedReplicas",
        id="a rollout that is over",
    ),
    pytest.param(
        STATEFUL_SETS,
        of(target=STATEFUL_SETS),
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
    assert sides(asked_by(creating(new, PODS), around())) == (NONE, units(1, cpu=200))
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
    assert sides(asked_by(updating(old, new, JOBS), around())) == (NONE, units(3))


# Scales


@pytest.mark.parametrize("target", SCALABLE, ids=lambda target: target.resource)
def test_a_scale_asks_for_the_pods_of_what_it_scales(target: Target) -> None:
    stored = of(BIG, target=target, owner="migrator")
    asked = asked_by(scaling(4, 6, target), around(scaled=stored))
    assert sides(asked) == (units(4, cpu=200), units(6, cpu=200))
    assert (asked.unit, asked.field, asked.owner) == (
        units(1, cpu=200),
        "spec.replicas",
        "migrator",
    )


def test_a_scale_without_replicas_asks_for_none() -> None:
    assert sides(asked_by(scaling(4, None), around(scaled=of()))) == (units(4), {})
    assert sides(asked_by(scaling(None, 4), around(scaled=of()))) == (NONE, units(4))


def test_a_scale_during_a_rollout_asks_for_the_surge() -> None:
    assert sides(asked_by(scaling(8, 4), around(scaled=of(status=ROLLING)))) == (
        units(10),
        units(5),
    )


def test_a_scale_of_what_is_gone_is_not_guessed() -> None:
    problem = asked_by(scaling(4, 6), around()).problem
    assert problem == AskProblem("", "the object to be scaled is not there any more")


def test_a_scale_that_cannot_be_read_is_a_problem() -> None:
    problem = asked_by(scaling(4, "6"), around(scaled=of())).problem
    assert problem is not None
    assert problem.field == "spec.replicas"


def test_a_scale_of_a_kind_that_is_not_counted_asks_for_nothing() -> None:
    custom = Target("example.com", "v1", "Model", "models")
    assert asked_by(scaling(1, 9, custom), around()) == NOTHING_ASKED


# Autoscalers


def raising(most: Json, *, owner: str = "", before: Json = None) -> tuple[Object | None, Object]:
    old = None if before is None else an_autoscaler(before, owner=owner)
    return old, an_autoscaler(most, owner=owner)


@pytest.mark.parametrize(
    ("before", "most", "holder", "owner", "expected"),
    [
        pytest.param(None, 10, "migrator", "migrator", (NONE, units(6)), id="adds to one's own"),
        pytest.param(
            None, 3, "migrator", "migrator", (NONE, NONE), id="adds nothing to what is there"
        ),
        pytest.param(10, 12, "migrator", "migrator", (units(6), units(8)), id="may add more"),
        pytest.param(12, 10, "migrator", "migrator", (units(8), units(6)), id="may add less"),
        pytest.param(None, 10, "migrator", "other", (NONE, units(10)), id="all of another's"),
        pytest.param(None, 10, "migrator", "", (NONE, units(10)), id="all of nobody's"),
        pytest.param(
            None, 3, "migrator", "", (NONE, units(4)), id="all there is, though most is less"
        ),
        pytest.param(10, 12, "", "", (units(10), units(12)), id="nobody's on nobody's"),
    ],
)
def test_an_autoscaler_asks_for_what_it_may_add(
    before: Json, most: Json, holder: str, owner: str, expected: tuple[Amounts, Amounts]
) -> None:
    old, new = raising(most, owner=holder, before=before)
    request = creating(new, AUTOSCALERS) if old is None else updating(old, new, AUTOSCALERS)
    asked = asked_by(request, around(scaled=of(owner=owner)))
    assert sides(asked) == expected
    assert (asked.field, asked.unit) == ("spec.maxReplicas", units(1))


def test_an_autoscaler_that_turns_to_another_target_asks_for_all_of_that() -> None:
    old = an_autoscaler(10, name="old", owner="migrator")
    new = an_autoscaler(10, owner="migrator")
    asked = asked_by(updating(old, new, AUTOSCALERS), around(scaled=of(owner="migrator")))
    assert sides(asked) == (NONE, units(6))


def test_an_update_of_an_autoscaler_is_judged_by_the_stored_label() -> None:
    """So that `/mutate`, which writes the label, and `/validate` see the same raise."""
    old, adopted = an_autoscaler(5), an_autoscaler(10, owner="migrator")
    scaled = of(owner="migrator")
    unlabelled = asked_by(updating(old, an_autoscaler(10), AUTOSCALERS), around(scaled=scaled))
    labelled = asked_by(updating(old, adopted, AUTOSCALERS), around(scaled=scaled))
    assert labelled == unlabelled


def test_an_autoscaler_without_a_target_asks_for_nothing_yet() -> None:
    asked = asked_by(creating(an_autoscaler(), AUTOSCALERS), around())
    assert sides(asked) == (NONE, NONE)


def test_what_an_autoscaler_may_raise_counts_as_raised() -> None:
    known = around(autoscalers=(an_autoscaler(10), an_autoscaler(7)))
    assert sides(asked_by(creating(of(status=None)), known)) == (NONE, units(10))
    assert sides(asked_by(updating(of(), of(BIG)), known)) == (units(10), units(13, cpu=200))
    assert sides(asked_by(updating(of(), of(replicas=12)), known)) == (units(10), units(12))
    scaled = replace(known, scaled=of())
    assert sides(asked_by(scaling(4, 12), scaled)) == (units(10), units(12))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(an_autoscaler(name="other"), id="another name"),
        pytest.param(an_autoscaler(target=STATEFUL_SETS), id="another kind"),
        pytest.param(
            an_autoscaler(target=Target("example.com", "v1", "Deployment", "deployments")),
            id="another group",
        ),
        pytest.param({"spec": 7}, id="one that cannot be read"),
    ],
)
def test_autoscalers_of_others_do_not_count(other: Object) -> None:
    asked = asked_by(creating(of(status=None)), around(autoscalers=(other,)))
    assert sides(asked) == (NONE, units(4))


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
    asked = asked_by(updating(of(), of(a_container("much")), DEPLOYMENTS), around())
    assert asked.problem is not None
    assert asked.problem.field == "spec.template.spec.containers[0].resources.requests.cpu"
    assert (asked.before, asked.after) == (NONE, NONE)


def test_what_was_stored_unreadable_counts_as_what_can_be_read() -> None:
    asked = asked_by(updating(of(a_container("much")), of()), around())
    assert sides(asked) == (units(4, cpu=0), units(5))


def test_more_than_an_account_can_hold_is_a_problem() -> None:
    huge = of(a_container("1", "8Pi"), replicas=2**31 - 1, status=None)
    problem = asked_by(creating(huge), around()).problem
    assert problem is not None
    assert "asks more memory than is counted" in problem.message
