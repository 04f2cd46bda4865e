"""Each kind of write that an agent can make, and what the ledger then says of it.

Everything is real: the writes go through the API server, the records are read with git.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from native.api import Answer
from tests.governed import Cluster, TestAgent
from tests.ledgerfiles import Record
from tests.writers import (
    CONTAINER,
    STRATEGIC,
    Scene,
    a_configmap,
    a_deployment,
    a_pod,
    a_quiet_pod,
    a_scheduled_pod,
    changes_of,
    ok,
    set_scene,
    stamp_of,
    version_of,
    wait_quiet,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def scene(cluster: Cluster, agent: TestAgent) -> Scene:
    """An agent that may do everything in its own namespace."""
    return set_scene(cluster, agent)


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.requirement("record-before-effect.stamped")
def test_a_create(scene: Scene) -> None:
    made = ok(scene.ours.create(a_configmap("web", a="b")))
    record = scene.record("web")
    assert (record["type"], record["verdict"], record["outcome"]) == (
        "write",
        "granted",
        "persisted",
    )
    assert (record["action"], record["request"]["operation"]) == ("create", "CREATE")
    assert record["change"] == stamp_of(made)
    assert record["object"]["uid"] == made["metadata"]["uid"]
    assert record["after"]["data"] == {"a": "b"}
    assert "governor.dev/change" not in record["after"]["metadata"].get("annotations", {})
    assert record["actor"]["username"] == scene.agent.username
    assert record["mandate"]["name"] == scene.agent.name


Write = Callable[[Scene], Answer]


def merge(scene: Scene) -> Answer:
    return scene.ours.merge("ConfigMap", "web", {"data": {"a": "c"}})


def put_bare(scene: Scene) -> Answer:
    return scene.ours.put(a_configmap("web", a="c"))


def apply(scene: Scene) -> Answer:
    return scene.ours.apply(a_configmap("web", a="c"))


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.parametrize("write", [merge, put_bare, apply])
def test_an_update(scene: Scene, write: Write) -> None:
    made = ok(scene.ours.create(a_configmap("web", a="b")))
    updated = ok(write(scene))
    record = scene.record("web", count=2)
    assert (record["action"], record["outcome"]) == ("update", "persisted")
    assert changes_of(record) == {"data.a": "c"}
    assert record["change"] == stamp_of(updated) != stamp_of(made)
    assert record["object"]["version"] == version_of(made)
    assert record["entry"]["oldChange"] == stamp_of(made)


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_an_update_of_the_status(scene: Scene) -> None:
    a_quiet_pod(scene, "web")
    status = {"status": {"message": "set by the agent"}}
    updated = ok(scene.ours.merge("Pod", "web", status, under="status"))
    record = scene.record("web")
    assert record["request"]["subresource"] == "status"
    assert (record["action"], record["outcome"]) == ("update", "persisted")
    assert changes_of(record)["status.message"] == "set by the agent"
    assert record["change"] == stamp_of(updated)


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_scale_leaves_no_stamp_and_matches(scene: Scene) -> None:
    made = ok(scene.theirs.create(a_deployment("web")))
    ok(scene.ours.merge("Deployment", "web", {"spec": {"replicas": 1}}, under="scale"))
    *beaten, record = scene.settled_records("web")
    assert (record["action"], record["outcome"]) == ("value", "matches")
    assert record["object"]["uid"] == made["metadata"]["uid"]
    assert changes_of(record) == {"spec.replicas": 1}
    assert {one["outcome"] for one in beaten} <= {"lost"}, "the controller was faster"


# Subresources.


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_an_ephemeral_container_leaves_no_stamp_and_matches(scene: Scene) -> None:
    pod = a_quiet_pod(scene, "web")
    debugger = {"name": "debug", "image": "example.com/none:1"}
    patch = {"spec": {"ephemeralContainers": [debugger]}}
    answer = scene.ours.merge("Pod", "web", patch, under="ephemeralcontainers")
    assert not stamp_of(ok(answer))
    record = scene.record("web")
    assert record["request"]["subresource"] == "ephemeralcontainers"
    assert (record["action"], record["outcome"]) == ("value", "matches")
    assert record["object"]["version"] == version_of(pod)


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_resize_leaves_no_stamp_and_matches(scene: Scene) -> None:
    body = a_pod("web")
    container = {**CONTAINER, "resources": {"requests": {"cpu": "100m"}}}
    body["spec"] = {"containers": [container]}
    ok(scene.theirs.create(body))
    wait_quiet(scene, "web")
    larger = [{"name": "main", "resources": {"requests": {"cpu": "200m"}}}]
    answer = scene.ours.api.call(
        "PATCH",
        scene.ours.path("Pod", "web") + "/resize",
        {"spec": {"containers": larger}},
        content_type=STRATEGIC,
    )
    ok(answer)
    record = scene.record("web")
    assert record["request"]["subresource"] == "resize"
    assert (record["action"], record["outcome"]) == ("value", "matches")


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.parametrize(
    ("subresource", "query", "kind"),
    [
        ("exec", "?command=id&container=main&stdout=true", "PodExecOptions"),
        ("attach", "?container=main&stdout=true", "PodAttachOptions"),
        ("portforward", "?ports=80", "PodPortForwardOptions"),
        ("proxy", "", "PodProxyOptions"),
    ],
)
def test_a_connection_is_recorded_as_let_through(
    scene: Scene, subresource: str, query: str, kind: str
) -> None:
    a_quiet_pod(scene, "web")
    scene.ours.api.call("POST", scene.ours.path("Pod", "web") + f"/{subresource}{query}")
    record = scene.record("web")
    assert (record["request"]["operation"], record["request"]["kind"]) == ("CONNECT", kind)
    assert (record["action"], record["outcome"]) == ("untraced", "allowed")
    assert record["options"]["kind"] == kind
    if subresource == "exec":
        assert record["options"]["command"] == ["id"]


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_an_eviction_is_recorded_as_let_through_and_no_delete_is(scene: Scene) -> None:
    a_quiet_pod(scene, "web")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}
    path = scene.ours.path("Pod", "web") + "/eviction"
    ok(scene.ours.api.call("POST", path, eviction))
    record = scene.record("web")
    assert record["request"]["subresource"] == "eviction"
    assert (record["action"], record["outcome"]) == ("untraced", "allowed")


# Deletes.


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_delete_is_recorded_as_gone_for_its_author_is_not_proven(scene: Scene) -> None:
    made = ok(scene.theirs.create(a_configmap("web", a="b")))
    ok(scene.ours.delete("ConfigMap", "web"))
    record = scene.record("web")
    assert (record["action"], record["outcome"]) == ("delete", "gone")
    assert record["object"]["uid"] == made["metadata"]["uid"]
    assert record["before"]["data"] == {"a": "b"}


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_delete_that_waits_for_a_finalizer_and_the_update_that_ends_it(scene: Scene) -> None:
    held = a_configmap("web")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    ok(scene.ours.create(held))
    ok(scene.ours.delete("ConfigMap", "web"))
    deleted = scene.record("web", count=2)
    assert (deleted["action"], deleted["outcome"]) == ("delete", "gone")
    assert scene.theirs.get("ConfigMap", "web")["metadata"]["deletionTimestamp"]
    ok(scene.ours.merge("ConfigMap", "web", {"metadata": {"finalizers": None}}))
    ended = scene.record("web", count=3)
    assert (ended["action"], ended["outcome"]) == ("update", "gone")


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_forced_delete_of_a_pod_that_is_ending_is_two_writes(scene: Scene) -> None:
    """One shortens its grace period, which proves nobody's doing, and one ends it."""
    a_scheduled_pod(scene, "web")
    ok(scene.ours.delete("Pod", "web"))
    first = scene.record("web")
    assert (first["action"], first["outcome"]) == ("delete", "gone")
    ok(scene.ours.delete("Pod", "web", query="?gracePeriodSeconds=0"))
    marked, *shortened, ended = outcomes_by_version(scene.settled_records("web"))
    # A try that another writer of the Pod's status beats is made again, and recorded by itself.
    assert {outcome for tries in shortened for outcome in tries} == {"unknown"}
    assert (marked, ended) == (["gone"], ["gone"])


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_forced_delete_of_a_pod_is_asked_about_three_times_and_is_two_writes(
    scene: Scene,
) -> None:
    """It marks the Pod, then ends it; the API server asks about the second twice."""
    a_scheduled_pod(scene, "web")
    ok(scene.ours.delete("Pod", "web", query="?gracePeriodSeconds=0"))
    marked, ended = outcomes_by_version(scene.settled_records("web"))
    assert (set(marked), ended) == ({"gone"}, ["gone"])


def outcomes_by_version(records: Iterable[Record]) -> list[list[str]]:
    """What became of the deletes of each version, the oldest version first.

    Of one version more than one can be recorded. Before a forced delete ends a Pod, the API
    server asks about the version in its watch cache, which may be the one that the same request
    has just replaced: where that was proven in the meantime, its entry is closed, and this is
    another try, which fails.
    """
    found: dict[int, list[str]] = {}
    for record in sorted(records, key=lambda one: int(one["object"]["version"])):
        assert record["action"] == "delete"
        found.setdefault(int(record["object"]["version"]), []).append(record["outcome"])
    return list(found.values())


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_delete_of_a_collection_is_as_many_records_with_their_names(scene: Scene) -> None:
    made = {name: ok(scene.theirs.create(labelled(a_configmap(name)))) for name in ("a", "b", "c")}
    selector = "?labelSelector=batch%3Done"
    ok(scene.ours.api.call("DELETE", scene.ours.path("ConfigMap") + selector))
    for name, obj in made.items():
        record = scene.record(name)
        assert record["request"]["isCollection"]
        assert (record["action"], record["outcome"]) == ("delete", "gone")
        assert record["object"]["uid"] == obj["metadata"]["uid"]
        assert record["entry"]["name"] == name


def labelled(body: dict[str, Any]) -> dict[str, Any]:
    body["metadata"]["labels"] = {"batch": "one"}
    return body


# What changes nothing, or nearly.


def apply_again(scene: Scene) -> Answer:
    return scene.ours.apply(a_configmap("web", a="b"))


def patch_with_nothing(scene: Scene) -> Answer:
    return scene.ours.merge("ConfigMap", "web", {})


def put_back(scene: Scene) -> Answer:
    return scene.ours.put(scene.ours.get("ConfigMap", "web"))


@pytest.mark.requirement("record-before-effect.as-it-is")
@pytest.mark.requirement("record-before-effect.stamped")
@pytest.mark.parametrize("write", [apply_again, patch_with_nothing, put_back])
def test_what_changes_nothing_stays_nothing(scene: Scene, write: Write) -> None:
    made = ok(scene.ours.apply(a_configmap("web", a="b")))
    for _ in range(3):
        again = ok(write(scene))
        assert (version_of(again), stamp_of(again)) == (version_of(made), stamp_of(made))
    # What is decided at once may be committed before what waits for the watch.
    records = sorted(scene.records("web", count=4), key=lambda one: str(one["receivedAt"]))
    assert [one["outcome"] for one in records] == ["persisted", "no-op", "no-op", "no-op"]
    assert [one["action"] for one in records[1:]] == ["nothing"] * 3
    assert len({one["change"] for one in records}) == 4


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_second_field_manager_changes_who_owns_what_and_nothing_else(scene: Scene) -> None:
    made = ok(scene.ours.apply(a_configmap("web", a="b"), manager="one"))
    again = ok(scene.ours.apply(a_configmap("web", a="b"), manager="two"))
    assert (version_of(again) != version_of(made), stamp_of(again)) == (True, stamp_of(made))
    record = scene.record("web", count=2)
    assert (record["action"], record["outcome"]) == ("value", "matches")
    assert record["changes"] == []
    assert record["request"]["fieldManager"] == "two"


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_a_bare_put_of_the_same_content_is_not_stored(scene: Scene) -> None:
    made = ok(scene.ours.create(a_configmap("web", a="b")))
    again = ok(scene.ours.put(a_configmap("web", a="b")))
    assert (version_of(again), stamp_of(again)) == (version_of(made), stamp_of(made))
    record = scene.record("web", count=2)
    assert (record["action"], record["outcome"], record["changes"]) == ("nothing", "no-op", [])


@pytest.mark.requirement("dry-run-clean.no-trace")
@pytest.mark.requirement("dry-run-clean.true-verdict")
def test_dry_runs_leave_no_trace(scene: Scene) -> None:
    made = ok(scene.ours.create(a_configmap("web", a="b")))
    scene.settled_records("web")
    rows, account = scene.outbox_rows(), scene.account()["status"]
    dry = "?dryRun=All"
    answers = [
        scene.ours.create(a_configmap("other"), query=dry),
        scene.ours.merge("ConfigMap", "web", {"data": {"a": "c"}}, query=dry),
        scene.ours.delete("ConfigMap", "web", query=dry),
    ]
    created, patched, _ = [ok(answer) for answer in answers]
    assert not stamp_of(created)
    assert stamp_of(patched) == stamp_of(made)
    assert scene.theirs.get("ConfigMap", "web") == made
    assert scene.outbox_rows() == rows
    assert scene.account()["status"] == account
    ok(scene.ours.create(a_configmap("marker")))
    scene.record("marker")
    names = [one["request"]["name"] for one in scene.all_of_agent() if one["type"] == "write"]
    assert names == ["web", "marker"]
