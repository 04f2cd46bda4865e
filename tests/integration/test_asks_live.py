"""What is extracted is what Kubernetes charges: its own quota and its own rollouts tell.

Nothing runs here: there is no kubelet. Controllers make the Pods, the quota counts them, and
the test itself says that they are ready. Nodes are objects that stand for nothing.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import yaml

from controller.accounts.charges import total
from controller.apis.json import Json
from controller.apis.requests import Target
from controller.apis.resources import Amounts
from controller.asks.asked import Surroundings, asked_by
from controller.asks.workloads import ask_of, read_ask
from native.controlplane import ControlPlane
from tests.asking import (
    CONTROLLERS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    a_container,
    updating,
)
from tests.quotas import Cluster, bare, is_settled, pod_spec, under_a_quota, workload
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.requirement("never-oversold.asks")]

DEFAULT_MANIFESTS: Final = Path("../shared/corpora/manifests")
NODES = 2
STRATEGY: Json = {
    "type": "RollingUpdate",
    "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0},
}


LIMITED: Object = {"name": "main", "resources": {"limits": {"cpu": "0.3", "memory": "100M"}}}
ANYWHERE: Object = {"tolerations": [{"operator": "Exists"}]}
SIDECAR: Object = a_container("150m", "10Mi", name="sidecar", restartPolicy="Always")
PREPARING: Object = a_container("2", "1Mi", name="prepare")
WORKLOADS = [
    pytest.param(PODS, bare(PODS, pod_spec()), id="a Pod"),
    pytest.param(
        PODS,
        bare(PODS, pod_spec(LIMITED, initContainers=[SIDECAR, PREPARING])),
        id="a Pod with a sidecar, an init container and limits",
    ),
    pytest.param(
        PODS,
        bare(PODS, pod_spec(resources={"requests": {"cpu": "1"}, "limits": {"memory": "4Gi"}})),
        id="a Pod with resources of its own",
    ),
    pytest.param(
        PODS, bare(PODS, pod_spec(a_container("0.0001", "1.5"))), id="a Pod of odd fractions"
    ),
    pytest.param(
        DEPLOYMENTS,
        workload(DEPLOYMENTS, pod_spec(LIMITED, initContainers=[SIDECAR]), replicas=3),
        id="a Deployment whose template has only limits",
    ),
    pytest.param(
        REPLICA_SETS,
        workload(REPLICA_SETS, pod_spec(resources={"limits": {"cpu": "2"}}), replicas=2),
        id="a ReplicaSet of Pods with resources of their own",
    ),
    pytest.param(
        STATEFUL_SETS,
        workload(
            STATEFUL_SETS, pod_spec(), serviceName="web", replicas=3, podManagementPolicy="Parallel"
        ),
        id="a StatefulSet",
    ),
    pytest.param(
        CONTROLLERS, workload(CONTROLLERS, pod_spec()), id="a ReplicationController by default"
    ),
    pytest.param(
        JOBS, workload(JOBS, pod_spec(), parallelism=5, completions=2), id="a Job that needs few"
    ),
    pytest.param(
        JOBS, workload(JOBS, pod_spec(), parallelism=3), id="a Job that works a queue off"
    ),
    pytest.param(
        JOBS, workload(JOBS, pod_spec(), parallelism=3, suspend=True), id="a Job, suspended"
    ),
    pytest.param(
        CRON_JOBS,
        bare(
            CRON_JOBS,
            {"schedule": "* * * * *", "suspend": True, "jobTemplate": workload(JOBS, pod_spec())},
        ),
        id="a CronJob, suspended",
    ),
    pytest.param(DAEMON_SETS, workload(DAEMON_SETS, pod_spec(**ANYWHERE)), id="a DaemonSet"),
]


@pytest.fixture
def place(control_plane: ControlPlane, namespace: str) -> Cluster:
    return under_a_quota(control_plane, namespace)


@pytest.fixture
def nodes(control_plane: ControlPlane) -> Iterator[int]:
    """Nodes that nobody runs; Pods of DaemonSets are made for them all the same."""
    names = [f"asks-{uuid4().hex[:8]}" for _ in range(NODES)]
    for name in names:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        assert control_plane.admin.call("POST", "/api/v1/nodes", node).status == 201
    yield len(control_plane.admin.call("GET", "/api/v1/nodes").json["items"])
    for name in names:
        control_plane.admin.call("DELETE", f"/api/v1/nodes/{name}")


@pytest.mark.parametrize(("target", "obj"), WORKLOADS)
@pytest.mark.usefixtures("nodes")
def test_at_rest_an_object_asks_what_the_quota_charges(
    place: Cluster, target: Target, obj: Object
) -> None:
    place.create(target, obj)
    eventually(lambda: is_settled(place, target), "the controller has made the Pods")
    asked = total([ask_of(target.group, target.resource, place.get(target)).total])
    assert bool(asked) == ('"suspend": true' not in json.dumps(obj))
    eventually(lambda: place.used() == asked, f"the quota charges {dict(asked)}")
    of_pods = total(ask_of("", "pods", pod).total for pod in place.pods()["items"])
    assert of_pods == asked


def test_a_daemon_set_asks_for_no_less_before_its_controller_has_seen_it(
    place: Cluster, nodes: int
) -> None:
    made = place.create(DAEMON_SETS, workload(DAEMON_SETS, pod_spec(**ANYWHERE)))
    asked = ask_of("apps", "daemonsets", made, nodes=nodes).total
    eventually(lambda: is_settled(place, DAEMON_SETS), "the controller has made the Pods")
    assert ask_of("apps", "daemonsets", place.get(DAEMON_SETS)).total == asked


LARGER = a_container("300m", "1Gi")
SMALLER = a_container("10m", "2Gi")


@pytest.mark.parametrize(
    ("container", "replicas"),
    [
        pytest.param(LARGER, 4, id="to larger Pods"),
        pytest.param(SMALLER, 4, id="to Pods with less of one and more of the other"),
        pytest.param(LARGER, 7, id="to more and larger Pods"),
    ],
)
def test_no_moment_of_a_rollout_holds_more_than_its_update_asked_for(
    place: Cluster, container: Object, replicas: int
) -> None:
    deployment = workload(DEPLOYMENTS, pod_spec(), replicas=4, strategy=STRATEGY)
    place.create(DEPLOYMENTS, deployment)
    eventually(lambda: has_rolled(place, 4), "four Pods are ready")
    old, begun = place.get(DEPLOYMENTS), place.pods()
    changed = workload(DEPLOYMENTS, pod_spec(container), replicas=replicas, strategy=STRATEGY)
    new = place.replace(DEPLOYMENTS, {**old, "spec": changed["spec"]})
    asked = asked_by(updating(old, new), Surroundings())
    assert asked.problem is None
    eventually(lambda: has_rolled(place, replicas), "the rollout is over", within_seconds=60)
    moments = list(holdings(begun, place.events_since(begun["metadata"]["resourceVersion"])))
    for resource, most in asked.after.items():
        assert max(held.get(resource, 0) for held in moments) <= most
    assert max(held["pods"] for held in moments) == asked.after["pods"]
    settled = ask_of("apps", "deployments", place.get(DEPLOYMENTS)).total
    assert moments[-1] == total([settled])


def has_rolled(place: Cluster, replicas: int) -> bool:
    """Whether all Pods are of the template; those that are new are said to be ready."""
    for pod in place.pods()["items"]:
        if pod["status"]["phase"] == "Pending":
            place.make_ready(pod["metadata"]["name"])
    deployment: dict[str, Any] = place.get(DEPLOYMENTS)
    status, generation = deployment["status"], deployment["metadata"]["generation"]
    told = [status.get(key) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    is_seen = status.get("observedGeneration") == generation
    return is_seen and told == [replicas] * 3 and len(place.pods()["items"]) == replicas


def holdings(begun: dict[str, Any], events: Iterator[dict[str, Any]]) -> Iterator[Amounts]:
    """What all Pods held after each event."""
    held = {pod["metadata"]["uid"]: ask_of("", "pods", pod).total for pod in begun["items"]}
    yield total(held.values())
    for event in events:
        uid = event["object"]["metadata"]["uid"]
        is_gone = event["type"] == "DELETED"
        held[uid] = {} if is_gone else ask_of("", "pods", event["object"]).total
        yield total(held.values())


PARTITION: Json = {"type": "RollingUpdate", "rollingUpdate": {"partition": 100}}
OLDER = [
    pytest.param(DEPLOYMENTS, {"paused": True}, id="a paused Deployment scales what it has"),
    pytest.param(
        DEPLOYMENTS, {"strategy": STRATEGY}, id="a Deployment scales what it is replacing"
    ),
    pytest.param(
        STATEFUL_SETS,
        {"serviceName": "web", "podManagementPolicy": "Parallel", "updateStrategy": PARTITION},
        id="a StatefulSet makes Pods of its partition by its older template",
    ),
]


@pytest.mark.parametrize(("target", "spec"), OLDER)
def test_a_raise_that_makes_larger_pods_of_an_older_template_is_refused(
    place: Cluster, target: Target, spec: Object
) -> None:
    """Shown by a person who makes it: more is charged than the object asks by itself."""
    first = {**spec, "paused": False} if target == DEPLOYMENTS else spec
    place.create(target, workload(target, pod_spec(a_container("1")), replicas=2, **first))
    eventually(lambda: is_settled(place, target), "two Pods are made")
    small = workload(target, pod_spec(a_container("1m")), replicas=2, **spec)
    replaced(place, target, small)
    eventually(lambda: is_seen(place.get(target)), "its controller has seen the other template")
    old = place.get(target)
    raised: Object = {**small, "spec": {**dict_of(small["spec"]), "replicas": 6}}
    asked = asked_by(updating(old, {**old, "spec": raised["spec"]}, target), Surroundings())
    replaced(place, target, raised)
    eventually(lambda: len(place.pods()["items"]) >= 6, "they are made")
    by_itself = ask_of(target.group, target.resource, place.get(target)).total
    assert (place.used() or {})["cpu"] > 2000 + by_itself["cpu"]
    assert asked.problem is not None
    assert asked.problem.is_passing


def replaced(place: Cluster, target: Target, wanted: Object) -> None:
    """Its spec, whatever its controller writes meanwhile."""

    def is_written() -> bool:
        return place.put(target, {**place.get(target), "spec": wanted["spec"]}).ok

    eventually(is_written, "it is written")


def is_seen(obj: dict[str, Any]) -> bool:
    status, generation = obj.get("status", {}), obj["metadata"]["generation"]
    return bool(status.get("observedGeneration") == generation)


def dict_of(value: Json) -> Object:
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def manifests(repository: Path) -> list[tuple[str, Object]]:
    """What real projects publish, each with its place."""
    folder = Path(os.environ.get("GOVERNOR_MANIFESTS", repository / DEFAULT_MANIFESTS))
    if not folder.exists():
        pytest.skip(f"the corpus {folder} is not there; GOVERNOR_MANIFESTS names another")
    return [
        (f"{path.parent.name}/{path.name}", obj)
        for path in sorted(folder.glob("*/*.yaml"))
        for obj in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if isinstance(obj, dict)
    ]


COUNTED_KINDS = {
    target.kind: target
    for target in (
        PODS, CONTROLLERS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS, CRON_JOBS,
    )
}  # fmt: skip


def test_what_projects_publish_is_read_without_a_problem(
    manifests: list[tuple[str, Object]],
) -> None:
    counted = 0
    for place, obj in manifests:
        for kind in COUNTED_KINDS.values():
            read = read_ask(kind.group, kind.resource, obj, nodes=3)
            if obj.get("kind") == kind.kind:
                counted += 1
                assert not read.problems, place
                assert read.ask.total.get("pods", 0) >= 0, place
    assert counted > 100


def test_a_published_template_asks_what_the_pods_of_it_do(
    control_plane: ControlPlane, namespace: str, manifests: list[tuple[str, Object]]
) -> None:
    cluster, compared = Cluster(control_plane, namespace), 0
    for place, obj in manifests:
        template = template_in(obj)
        if template is None:
            continue
        stored = cluster.dry_run(pod_of(template))
        if stored is None:
            continue  # what the API server of this version does not accept
        compared += 1
        asked = ask_of("apps", "replicasets", {"spec": {"template": template}}).total
        assert asked == ask_of("", "pods", stored).total, place
    assert compared >= 75


def template_in(obj: Object) -> Object | None:
    if obj.get("kind") not in COUNTED_KINDS or obj.get("kind") in {"Pod", "CronJob"}:
        return None
    spec = obj.get("spec")
    template = spec.get("template") if isinstance(spec, dict) else None
    return template if isinstance(template, dict) else None


def pod_of(template: Object) -> Object:
    """A Pod of it, which needs nothing else to be there."""
    spec = template.get("spec")
    assert isinstance(spec, dict)
    needed = {"serviceAccountName", "serviceAccount", "priorityClassName", "runtimeClassName"}
    alone: Object = {key: value for key, value in spec.items() if key not in needed}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": alone,
    }
