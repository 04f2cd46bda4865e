"""Writes that race, and writes that are let through and not stored: which records they leave.

What the API server did is read from its answers and its objects, never from our ledger.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from native.api import Answer
from native.components import Binaries
from tests.governed import Cluster, TestAgent, governed_cluster, new_agent
from tests.waiting import eventually
from tests.writers import (
    Scene,
    a_configmap,
    a_manifest,
    ok,
    set_scene,
    stamp_of,
    version_of,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def scene(cluster: Cluster, agent: TestAgent) -> Scene:
    """An agent that may do everything in its own namespace."""
    return set_scene(cluster, agent)


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.requirement("record-before-effect.evidence")
def test_racing_patches_have_a_persisted_record_for_each_version_and_no_other(
    scene: Scene,
) -> None:
    ok(scene.ours.create(a_configmap("web")))

    def patch(number: int) -> Answer:
        return scene.ours.merge("ConfigMap", "web", {"data": {f"k{number}": "set"}})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(patch, range(8)))
    stored = {stamp_of(ok(answer)): version_of(answer.json) for answer in answers}
    assert len(stored) == 8
    _, *updates = scene.settled_records("web")
    persisted = [one for one in updates if one["outcome"] == "persisted"]
    assert sorted(one["change"] for one in persisted) == sorted(stored)
    beaten = [one for one in updates if one["outcome"] != "persisted"]
    assert {one["outcome"] for one in beaten} <= {"lost"}
    assert beaten, "eight at once, and no two met"
    bases = [one["object"]["version"] for one in persisted]
    assert len(set(bases)) == 8, "each was made against the version before it"


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_create_a_delete_and_a_create_of_one_name_are_three(scene: Scene) -> None:
    first = ok(scene.ours.create(a_configmap("web", a="1")))
    ok(scene.ours.delete("ConfigMap", "web"))
    second = ok(scene.ours.create(a_configmap("web", a="2")))
    records = scene.records("web", count=3)
    assert [(one["action"], one["outcome"]) for one in records] == [
        ("create", "persisted"),
        ("delete", "gone"),
        ("create", "persisted"),
    ]
    uids = [one["object"]["uid"] for one in records]
    assert uids == [first["metadata"]["uid"]] * 2 + [second["metadata"]["uid"]]


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_generated_name_is_in_the_record(scene: Scene) -> None:
    body = a_configmap("")
    body["metadata"] = {"generateName": "batch-"}
    names = [ok(scene.ours.create(body))["metadata"]["name"] for _ in range(2)]
    for name in names:
        record = scene.record(name)
        assert (record["action"], record["outcome"]) == ("create", "persisted")
        assert (record["request"]["name"], record["entry"]["name"]) == (name, name)


# What is let through, and then not stored.


@pytest.fixture(scope="module")
def hasty(binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose API server gives up on a write after five seconds, as Governor knows."""
    directory = tmp_path_factory.mktemp("hasty")
    flags = ("--request-timeout=5s",)
    with governed_cluster(directory, binaries, api_server=flags, request_timeout=5) as cluster:
        yield cluster


@pytest.fixture
def hasty_scene(hasty: Cluster) -> Scene:
    """An agent of that cluster."""
    return set_scene(hasty, new_agent(hasty))


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.requirement("record-before-effect.evidence")
def test_of_racing_creates_of_one_name_one_is_persisted_and_the_others_are_lost(
    hasty_scene: Scene,
) -> None:
    """Each is let through: which of them wins, the API server decides afterwards."""
    with ThreadPoolExecutor(4) as pool:
        bodies = [a_configmap("web", n=str(number)) for number in range(4)]
        answers = list(pool.map(hasty_scene.ours.create, bodies))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
    (made,) = [answer.json for answer in answers if answer.ok]
    records = hasty_scene.settled_records("web")
    outcomes = {one["change"]: one["outcome"] for one in records}
    assert outcomes.pop(stamp_of(made)) == "persisted"
    assert set(outcomes.values()) <= {"lost"}
    assert outcomes, "four at once, and only one came to be let through"


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.requirement("record-before-effect.evidence")
def test_what_a_resource_quota_refuses_is_lost_once_the_clock_says_so(hasty_scene: Scene) -> None:
    scene = hasty_scene
    quota = a_manifest("ResourceQuota", "none", spec={"hard": {"count/configmaps": "0"}})
    path = f"/api/v1/namespaces/{scene.agent.name}/resourcequotas"
    ok(scene.cluster.plane.admin.call("POST", path, quota))

    def is_counted() -> bool:
        answer = scene.cluster.plane.admin.call("GET", f"{path}/none")
        return bool(answer.json.get("status", {}).get("hard"))

    eventually(is_counted, "the quota is counted")
    refused = scene.ours.create(a_configmap("web"))
    assert (refused.status, "exceeded quota" in refused.text) == (403, True)
    (record,) = scene.settled_records("web")
    assert (record["action"], record["outcome"]) == ("create", "lost")
    assert record["object"]["uid"], "the uid that it would have had"
