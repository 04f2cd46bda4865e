"""What makes Pods asks for all of them, as many as it may make at once."""

import pytest

from controller.accounts.account import COUNTED
from controller.accounts.views import Fleet, Scaling
from controller.apis.json import Json
from controller.apis.requests import Target
from controller.asks.workloads import Ask, AskUnreadableError, ask_of, read_ask
from tests.asking import (
    AUTOSCALERS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    SCALABLE,
    STATEFUL_SETS,
    Object,
    a_container,
    a_workload,
    an_autoscaler,
    units,
)

pytestmark = pytest.mark.requirement("never-oversold.asks")

COMPLETE: Object = {"conditions": [{"type": "Complete", "status": "True"}]}
FAILED: Object = {"conditions": [{"type": "Failed", "status": "True"}]}
RUNNING: Object = {"conditions": [{"type": "Failed", "status": "False"}, {"type": "Suspended"}]}
ROLLING: Object = {"observedGeneration": 2, "replicas": 5, "updatedReplicas": 1}
ROLLED: Object = {"observedGeneration": 2, "replicas": 4, "updatedReplicas": 4}


def ask(target: Target, obj: Object, *, nodes: int = 0) -> Ask:
    return ask_of(target.group, target.resource, obj, nodes=nodes)


@pytest.mark.parametrize("target", SCALABLE, ids=lambda target: target.resource)
@pytest.mark.parametrize(
    ("replicas", "count"),
    [
        pytest.param(3, 3, id="as many as it says"),
        pytest.param(0, 0, id="none"),
        pytest.param(None, 1, id="one where it does not say"),
    ],
)
def test_what_can_be_scaled_asks_for_its_replicas(
    target: Target, replicas: Json, count: int
) -> None:
    asked = ask(target, a_workload(target, replicas=replicas))
    assert {name: amount for name, amount in asked.total.items() if amount} == units(count)
    assert asked.fleet == Fleet(units(1), count)


def test_containers_of_a_template_add_up_in_each_of_its_pods() -> None:
    workload = a_workload(STATEFUL_SETS, a_container("1"), a_container("500m", None), replicas=3)
    assert ask(STATEFUL_SETS, workload).total == {"cpu": 4500, "memory": 3 * 2**30, "pods": 3}


def rolling(surge: Json = None, strategy: str = "RollingUpdate") -> Json:
    return {"type": strategy, "rollingUpdate": {} if surge is None else {"maxSurge": surge}}


SURGES = [
    pytest.param(rolling("25%"), 4, 5, id="a quarter"),
    pytest.param(rolling("25%"), 5, 7, id="a quarter, rounded up"),
    pytest.param(rolling("100%"), 4, 8, id="all of them"),
    pytest.param(rolling("0%"), 4, 4, id="no percent"),
    pytest.param(rolling(2), 4, 6, id="a number"),
    pytest.param(rolling(0), 4, 4, id="none"),
    pytest.param(rolling(), 4, 5, id="a quarter where it does not say"),
    pytest.param(None, 4, 5, id="a quarter where there is no strategy"),
    pytest.param(rolling("25%", "Recreate"), 4, 4, id="none where Pods are deleted first"),
]


@pytest.mark.parametrize(("strategy", "replicas", "count"), SURGES)
def test_a_rollout_asks_for_its_surge(strategy: Json, replicas: int, count: int) -> None:
    spec: Object = {} if strategy is None else {"strategy": strategy}
    workload = a_workload(replicas=replicas, generation=2, status=ROLLING, spec=spec)
    assert ask(DEPLOYMENTS, workload).total == units(count)


@pytest.mark.parametrize(
    ("generation", "status", "count"),
    [
        pytest.param(1, None, 4, id="a new one has nothing to replace"),
        pytest.param(2, ROLLED, 4, id="all Pods are of the template"),
        pytest.param(2, ROLLING, 5, id="some are not"),
        pytest.param(3, ROLLED, 5, id="its controller has not looked at it yet"),
        pytest.param(2, None, 5, id="it never has"),
    ],
)
def test_the_surge_counts_while_a_rollout_may_be_under_way(
    generation: int, status: Object | None, count: int
) -> None:
    workload = a_workload(replicas=4, generation=generation, status=status)
    assert ask(DEPLOYMENTS, workload).total == units(count)


@pytest.mark.parametrize(
    ("spec", "status", "count"),
    [
        pytest.param({}, None, 1, id="one where it does not say"),
        pytest.param({"parallelism": 3}, None, 3, id="a queue: as many as run at once"),
        pytest.param({"parallelism": 3, "completions": 2}, None, 2, id="as many as are needed"),
        pytest.param({"parallelism": 3, "completions": 9}, None, 3, id="as many as run at once"),
        pytest.param(
            {"parallelism": 3, "completions": 9}, {"succeeded": 8}, 1, id="as many as are left"
        ),
        pytest.param({"completions": 1}, {"succeeded": 2}, 0, id="never less than none"),
        pytest.param({"parallelism": 3, "suspend": True}, None, 0, id="none while suspended"),
        pytest.param({"parallelism": 3, "suspend": False}, None, 3, id="all once resumed"),
        pytest.param({"parallelism": 3}, RUNNING, 3, id="conditions that do not end it"),
    ],
)
def test_a_job_asks_for_the_pods_that_it_may_run_at_once(
    spec: Object, status: Object | None, count: int
) -> None:
    asked = ask(JOBS, a_workload(JOBS, status=status, spec=spec))
    assert {name: amount for name, amount in asked.total.items() if amount} == units(count)


@pytest.mark.parametrize("status", [COMPLETE, FAILED], ids=["complete", "failed"])
def test_a_finished_job_holds_nothing(status: Object) -> None:
    assert ask(JOBS, a_workload(JOBS, status=status, spec={"parallelism": 3})) == Ask()


def test_a_cron_job_asks_for_one_of_its_jobs_and_for_none_while_suspended() -> None:
    cron_job = a_workload(CRON_JOBS, spec={"parallelism": 3})
    assert ask(CRON_JOBS, cron_job).total == units(3)
    spec = cron_job["spec"]
    assert isinstance(spec, dict)
    assert ask(CRON_JOBS, {**cron_job, "spec": {**spec, "suspend": True}}) == Ask()


SEEN: Object = {"observedGeneration": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}


@pytest.mark.parametrize(
    ("generation", "status", "nodes", "count"),
    [
        pytest.param(1, SEEN, 8, 3, id="as many as its controller wants"),
        pytest.param(1, None, 8, 8, id="one for each node until it says"),
        pytest.param(2, SEEN, 8, 8, id="likewise once its spec has changed"),
        pytest.param(2, SEEN, 2, 3, id="no fewer than it wanted before"),
        pytest.param(1, {"observedGeneration": 1}, 8, 8, id="a status that does not say"),
    ],
)
def test_a_daemon_set_asks_for_the_pods_that_it_is_known_to_want(
    generation: int, status: Object | None, nodes: int, count: int
) -> None:
    workload = a_workload(DAEMON_SETS, generation=generation, status=status)
    asked = ask(DAEMON_SETS, workload, nodes=nodes)
    assert asked.total == units(count)
    assert asked.fleet is not None
    assert asked.fleet.is_per_node == (count == nodes or generation == 2)


@pytest.mark.parametrize(
    ("strategy", "status", "count"),
    [
        pytest.param(rolling(), {**SEEN, "updatedNumberScheduled": 1}, 3, id="none by default"),
        pytest.param(rolling("50%"), {**SEEN, "updatedNumberScheduled": 1}, 5, id="half, up"),
        pytest.param(rolling("50%"), SEEN, 3, id="none once all are of the template"),
        pytest.param(
            rolling("50%", "OnDelete"),
            {**SEEN, "updatedNumberScheduled": 1},
            3,
            id="none on delete",
        ),
    ],
)
def test_a_daemon_set_asks_for_its_surge_while_it_rolls(
    strategy: Json, status: Object, count: int
) -> None:
    workload = a_workload(DAEMON_SETS, status=status, spec={"updateStrategy": strategy})
    assert ask(DAEMON_SETS, workload).total == units(count)


@pytest.mark.parametrize("target", SCALABLE, ids=lambda target: target.resource)
def test_an_autoscaler_tells_what_it_may_raise(target: Target) -> None:
    asked = ask(AUTOSCALERS, an_autoscaler(7, target=target))
    assert asked == Ask(scaling=Scaling(target.group, target.resource, "web", 7))


def test_an_autoscaler_of_another_kind_names_no_kind_that_is_counted() -> None:
    rollout = Target("argoproj.io", "v1alpha1", "Rollout", "rollouts")
    asked = ask(AUTOSCALERS, an_autoscaler(7, target=rollout))
    assert asked == Ask(scaling=Scaling("argoproj.io", "", "web", 7))
    imitated = Target("example.com", "v1", "Deployment", "deployments")
    assert ask(AUTOSCALERS, an_autoscaler(target=imitated)).scaling == Scaling(
        "example.com", "", "web", 10
    )


@pytest.mark.parametrize(
    ("group", "resource"),
    [("", "podtemplates"), ("", "configmaps"), ("example.com", "deployments"), ("", "nodes")],
)
def test_other_kinds_hold_nothing_whatever_they_look_like(group: str, resource: str) -> None:
    assert ask_of(group, resource, a_workload(replicas=9)) == Ask()


def test_every_kind_that_is_counted_is_known_here() -> None:
    for kind in COUNTED - {kind for kind in COUNTED if kind.resource == "nodes"}:
        read = read_ask(kind.group, kind.resource, {"spec": 7})
        assert read.problems, kind


@pytest.mark.parametrize(
    ("target", "obj", "field"),
    [
        pytest.param(DEPLOYMENTS, a_workload(replicas="3"), "spec.replicas", id="a text"),
        pytest.param(DEPLOYMENTS, a_workload(replicas=True), "spec.replicas", id="a truth"),
        pytest.param(DEPLOYMENTS, a_workload(replicas=2**31), "spec.replicas", id="33 bits"),
        pytest.param(DEPLOYMENTS, a_workload(replicas=-1), "spec.replicas", id="less than none"),
        pytest.param(
            DEPLOYMENTS,
            a_workload(generation=2, spec={"strategy": rolling("some")}),
            "spec.strategy.rollingUpdate.maxSurge",
            id="no percentage",
        ),
        pytest.param(
            DAEMON_SETS,
            a_workload(DAEMON_SETS, generation=2, spec={"updateStrategy": rolling(-1)}),
            "spec.updateStrategy.rollingUpdate.maxSurge",
            id="a surge of less than none",
        ),
        pytest.param(
            JOBS, a_workload(JOBS, spec={"parallelism": 1.5}), "spec.parallelism", id="a fraction"
        ),
        pytest.param(
            CRON_JOBS,
            a_workload(CRON_JOBS, a_container("x")),
            "spec.jobTemplate.spec.template.spec.containers[0].resources.requests.cpu",
            id="deep within",
        ),
        pytest.param(AUTOSCALERS, an_autoscaler("9"), "spec.maxReplicas", id="a text as most"),
    ],
)
def test_what_is_not_what_it_must_be_is_told_by_its_field(
    target: Target, obj: Object, field: str
) -> None:
    with pytest.raises(AskUnreadableError) as refused:
        ask(target, obj)
    assert refused.value.field == field


def test_an_unreadable_number_of_replicas_hides_no_pod() -> None:
    read = read_ask("apps", "deployments", a_workload(replicas="many"))
    assert read.ask.total == units(1)
