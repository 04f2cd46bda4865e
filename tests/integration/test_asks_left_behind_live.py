"""Where Pods are left behind on a real cluster, and only there, a write is refused or charged."""

from typing import Any, cast

import pytest

from controller.accounts.charges import total
from controller.apis.json import Json
from controller.apis.requests import Target
from controller.asks.asked import Surroundings, asked_by
from native.controlplane import ControlPlane
from tests.asking import (
    CONTROLLERS,
    JOBS,
    PODS,
    REPLICA_SETS,
    Object,
    deleting,
    updating,
    with_metadata,
)
from tests.quotas import Cluster, is_settled, pod_spec, under_a_quota, workload
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.requirement("never-oversold.asks")]


@pytest.fixture
def place(control_plane: ControlPlane, namespace: str) -> Cluster:
    return under_a_quota(control_plane, namespace)


LEAVING = [
    pytest.param(JOBS, None, [], id="a Job, where nothing is said"),
    pytest.param(JOBS, {"propagationPolicy": "Background"}, [], id="a Job, in the background"),
    pytest.param(CONTROLLERS, None, [], id="a ReplicationController, where nothing is said"),
    pytest.param(
        CONTROLLERS, {"orphanDependents": False}, [], id="a ReplicationController, with its Pods"
    ),
    pytest.param(REPLICA_SETS, None, [], id="a ReplicaSet, where nothing is said"),
    pytest.param(REPLICA_SETS, {"propagationPolicy": "Orphan"}, [], id="a ReplicaSet alone"),
    pytest.param(REPLICA_SETS, {"orphanDependents": True}, [], id="likewise, as of old"),
    pytest.param(REPLICA_SETS, None, ["orphan"], id="a ReplicaSet that was prepared for it"),
    pytest.param(
        REPLICA_SETS, {"propagationPolicy": "Foreground"}, ["orphan"], id="prepared, and overruled"
    ),
]


@pytest.mark.parametrize(("target", "options", "finalizers"), LEAVING)
def test_a_delete_is_refused_exactly_where_it_leaves_pods_behind(
    place: Cluster, target: Target, options: Object | None, finalizers: list[Json]
) -> None:
    made = workload(target, pod_spec())
    owned: Json = {"name": "web", "labels": {"governor.dev/agent": "a"}, "finalizers": finalizers}
    place.create(target, {**made, "metadata": owned})
    eventually(lambda: is_settled(place, target), "the controller has made the Pods")
    stored = place.get(target)
    problem = asked_by(deleting(stored, target, options=options), Surroundings()).problem
    place.delete(target, options)
    eventually(lambda: place.get(target).get("code") == 404, "it is deleted")
    eventually(
        lambda: is_left(place.pods()["items"]) == (problem is not None),
        "its Pods are nobody's" if problem else "its Pods are gone",
    )


def is_left(pods: list[dict[str, Any]]) -> bool | None:
    """Whether Pods run on that have no owner; None while that is not decided."""
    if any(pod["metadata"].get("ownerReferences") for pod in pods):
        return None
    return bool(pods)


def test_a_relabelled_pod_is_replaced_and_its_update_asks_for_all_of_it(place: Cluster) -> None:
    place.create(REPLICA_SETS, workload(REPLICA_SETS, pod_spec(), replicas=2))
    eventually(lambda: is_settled(place, REPLICA_SETS), "two Pods are made")
    old = cast("Object", place.pods()["items"][0])
    held = place.used()
    new = with_metadata(old, labels={"app": "other"})
    asked = asked_by(updating(old, new, PODS), Surroundings())
    place.replace(PODS, new)
    eventually(lambda: len(place.pods()["items"]) == 3, "it is replaced")
    assert held is not None
    assert place.used() == total([held, asked.after])
    assert asked.before == {}
