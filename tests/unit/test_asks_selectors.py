"""No agent creates what would let go of the very Pods that it makes."""

import pytest

from controller.apis.json import Json
from controller.apis.requests import Target
from controller.asks.asked import asked_by
from tests.asking import (
    CONTROLLERS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    a_workload,
    around,
    creating,
    updating,
)

pytestmark = pytest.mark.requirement("never-oversold.asks")

SELECTING = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS)


def selecting(target: Target, selector: Json, **spec: Json) -> Object:
    """A workload with this selector."""
    made = a_workload(target, owner="migrator")
    described = made["spec"]
    assert isinstance(described, dict)
    described["selector"] = selector
    described.update(spec)
    return made


def expressing(key: str, operator: str) -> Json:
    return {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": key, "operator": operator}]}


def field_of(made: Object, target: Target) -> str:
    problem = asked_by(creating(made, target), around()).problem
    return "" if problem is None else problem.field


@pytest.mark.parametrize("target", SELECTING, ids=lambda target: target.resource)
@pytest.mark.parametrize(
    "selector",
    [
        pytest.param(expressing("x", "DoesNotExist"), id="the absence of a label"),
        pytest.param(expressing("x", "NotIn"), id="the absence of a value"),
        pytest.param(expressing("topology.kubernetes.io/zone", "In"), id="set by the binding"),
    ],
)
def test_what_may_become_untrue_of_its_own_pods_selects_none(
    target: Target, selector: Json
) -> None:
    assert field_of(selecting(target, selector), target) == "spec.selector.matchExpressions[0]"


@pytest.mark.parametrize(
    "key",
    [
        "controller-revision-hash",
        "apps.kubernetes.io/pod-index",
        "statefulset.kubernetes.io/pod-name",
        "pod-template-hash",
    ],
)
def test_a_value_that_a_controller_writes_over_selects_none(key: str) -> None:
    selector: Json = {"matchLabels": {key: "x"}}
    made = selecting(STATEFUL_SETS, selector)
    assert field_of(made, STATEFUL_SETS) == "spec.selector.matchLabels"


@pytest.mark.parametrize("target", SELECTING, ids=lambda target: target.resource)
@pytest.mark.parametrize(
    "selector",
    [
        pytest.param({"matchLabels": {"app": "web"}}, id="a label"),
        pytest.param({"matchLabels": {"app.kubernetes.io/name": "web"}}, id="a recommended label"),
        pytest.param(expressing("app", "In"), id="one of some values"),
        pytest.param(expressing("app", "Exists"), id="the presence of a label"),
    ],
)
def test_ordinary_selectors_pass(target: Target, selector: Json) -> None:
    assert field_of(selecting(target, selector), target) == ""


def test_the_selector_of_a_job_is_its_own_only_where_it_says_so() -> None:
    generated: Json = {"matchLabels": {"batch.kubernetes.io/controller-uid": "uid"}}
    assert field_of(selecting(JOBS, generated), JOBS) == ""
    assert field_of(selecting(JOBS, generated, manualSelector=True), JOBS) != ""


def test_the_plain_selector_of_a_replication_controller_is_read_too() -> None:
    assert field_of(selecting(CONTROLLERS, {"app": "web"}), CONTROLLERS) == ""
    odd: Json = {"topology.kubernetes.io/zone": "a"}
    assert field_of(selecting(CONTROLLERS, odd), CONTROLLERS) == "spec.selector"


def test_what_is_stored_with_such_a_selector_may_be_updated() -> None:
    """A Deployment's own ReplicaSets have one."""
    made = selecting(REPLICA_SETS, {"matchLabels": {"pod-template-hash": "x"}})
    assert asked_by(updating(made, made, REPLICA_SETS), around()).problem is None
