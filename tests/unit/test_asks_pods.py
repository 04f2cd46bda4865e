"""What one Pod asks is what Kubernetes says it requests.

`tests/golden/asks/pods.json` holds Kubernetes' own answers; how they were made is written
in `tests/golden/asks/generate.go`. The rest names the rules one by one.
"""

import json
from pathlib import Path

import pytest

from controller.apis.json import Json
from controller.asks.workloads import AskUnreadableError, ask_of, read_ask
from tests.asking import GI, Object, a_container, a_pod, pod_spec

pytestmark = pytest.mark.requirement("never-oversold.asks")


def total(pod: Object) -> tuple[int, int]:
    """Milli-CPU and gibibytes."""
    asked = ask_of("", "pods", pod).total
    assert asked["pods"] == 1
    memory, rest = divmod(asked.get("memory", 0), GI)
    assert rest == 0
    return asked.get("cpu", 0), memory


def test_every_pod_asks_what_kubernetes_says(repository: Path) -> None:
    content = (repository / "tests/golden/asks/pods.json").read_text(encoding="utf-8")
    cases: list[dict[str, Json]] = json.loads(content)
    assert len(cases) == 300
    for case in cases:
        pod = case["pod"]
        assert isinstance(pod, dict)
        asked = ask_of("", "pods", pod).total
        told = (asked.get("cpu", 0), asked.get("memory", 0), asked["pods"])
        assert told == (case["milliCPU"], case["memory"], 1), pod


def limited(cpu: Json, *, requests: Object | None = None) -> Object:
    resources: Object = {"limits": {"cpu": cpu}}
    if requests is not None:
        resources["requests"] = requests
    return {"name": "main", "resources": resources}


SIDECAR = {"restartPolicy": "Always"}
PODS = [
    pytest.param([a_container(), a_container(name="b")], {}, (200, 2), id="containers add up"),
    pytest.param([limited("1")], {}, (1000, 0), id="a limit is the request where there is none"),
    pytest.param(
        [limited("1", requests={"cpu": "100m"})], {}, (100, 0), id="the request where there is one"
    ),
    pytest.param(
        [limited("1", requests={"cpu": "0"})], {}, (0, 0), id="a request of nothing is one"
    ),
    pytest.param(
        [a_container("1")],
        {"initContainers": [a_container("2", "1Gi"), a_container("3", "2Gi")]},
        (3000, 2),
        id="of init containers the largest counts, if it is larger",
    ),
    pytest.param(
        [a_container("1")],
        {"initContainers": [a_container("2", "1Gi", **SIDECAR), a_container("3", "1Gi")]},
        (5000, 2),
        id="a sidecar runs beside what starts after it",
    ),
    pytest.param(
        [a_container("1")],
        {"initContainers": [a_container("3", "1Gi"), a_container("1", "1Gi", **SIDECAR)]},
        (3000, 2),
        id="and not beside what started before it",
    ),
    pytest.param([a_container()], {"overhead": {"cpu": "50m"}}, (150, 1), id="overhead is on top"),
    pytest.param(
        [a_container("1"), a_container("1")],
        {"resources": {"requests": {"cpu": "3"}}},
        (3000, 2),
        id="the Pod's own request replaces those of its containers",
    ),
    pytest.param(
        [limited("1")],
        {"resources": {"limits": {"cpu": "4", "memory": "2Gi"}}},
        (1000, 2),
        id="the Pod's own limit counts where no container asks",
    ),
    pytest.param(
        [a_container()],
        {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]},
        (100, 1),
        id="ephemeral containers ask nothing",
    ),
    pytest.param([{"name": "main"}], {}, (0, 0), id="a Pod that asks nothing is still a Pod"),
]


@pytest.mark.parametrize(("containers", "spec", "asked"), PODS)
def test_a_pod_asks_by_the_rules_of_kubernetes(
    containers: list[Object], spec: Object, asked: tuple[int, int]
) -> None:
    assert total(a_pod(*containers, spec=spec)) == asked


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        pytest.param({"allocatedResources": {"cpu": "2"}}, 2000, id="what was allocated"),
        pytest.param({"resources": {"requests": {"cpu": "3"}}}, 3000, id="what it runs with"),
        pytest.param({"allocatedResources": {"cpu": "50m"}}, 100, id="what it is to have"),
    ],
)
def test_of_a_resize_the_largest_counts(status: Object, asked: int) -> None:
    told: Object = {"containerStatuses": [{"name": "main", **status}]}
    pod = a_pod(a_container("100m", None), status=told)
    assert total(pod) == (asked, 0)


def test_an_infeasible_resize_counts_as_well_since_its_node_may_grow() -> None:
    condition: Json = {"type": "PodResizePending", "status": "True", "reason": "Infeasible"}
    pod = a_pod(a_container("4", None), status={"conditions": [condition]})
    assert total(pod) == (4000, 0)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_holds_nothing(phase: str) -> None:
    assert ask_of("", "pods", a_pod(status={"phase": phase})).total == {}


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown", None, "Done"])
def test_any_other_pod_holds_what_it_asks(phase: Json) -> None:
    assert total(a_pod(status={"phase": phase})) == (100, 1)


def test_a_pod_that_is_being_deleted_holds_what_it_asks() -> None:
    pod = a_pod()
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    metadata["deletionTimestamp"] = "2026-11-25T00:00:00Z"
    assert total(pod) == (100, 1)


UNREADABLE = [
    pytest.param(
        [a_container("much")], {}, "spec.containers[0].resources.requests.cpu", id="a word"
    ),
    pytest.param(
        [a_container(), a_container("-1")],
        {},
        "spec.containers[1].resources.requests.cpu",
        id="less than nothing",
    ),
    pytest.param(
        [a_container()], {"overhead": {"cpu": []}}, "spec.overhead.cpu", id="a list as overhead"
    ),
    pytest.param([a_container()], {"initContainers": {}}, "spec.initContainers", id="no list"),
    pytest.param([a_container()], {"initContainers": [7]}, "spec.initContainers[0]", id="a number"),
    pytest.param([a_container()], {"resources": "all"}, "spec.resources", id="no object"),
]


@pytest.mark.parametrize(("containers", "spec", "field"), UNREADABLE)
def test_what_cannot_be_read_is_told_by_its_field_and_the_rest_still_counts(
    containers: list[Object], spec: Object, field: str
) -> None:
    pod = a_pod(*containers, spec=spec)
    with pytest.raises(AskUnreadableError) as refused:
        ask_of("", "pods", pod)
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")
    read = read_ask("", "pods", pod)
    assert read.ask.total["memory"] == len(containers) * GI
    assert read.ask.total["pods"] == 1


def test_a_template_asks_what_its_pods_will() -> None:
    spec = pod_spec(limited("2"))
    workload: Object = {"spec": {"template": {"spec": spec}}}
    assert ask_of("apps", "replicasets", workload).total == {"cpu": 2000, "pods": 1}
