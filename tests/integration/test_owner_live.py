"""Whose objects are, on a governed cluster: the label that an agent's writes leave, and keep."""

from typing import Any

import pytest

from controller.asks.ownership import AGENT
from tests.governed import Cluster, TestAgent
from tests.waiting import eventually
from tests.writers import (
    Scene,
    a_configmap,
    a_deployment,
    changes_of,
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


def labelled(body: dict[str, Any], **labels: str) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], "labels": labels}}


def labels_of(obj: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = obj["metadata"].get("labels", {})
    return found


@pytest.mark.requirement("identity-carried.owner-label")
def test_what_an_agent_creates_is_its_own_whatever_it_says(scene: Scene) -> None:
    name = scene.agent.name
    made = [
        ok(scene.ours.create(a_configmap("plain"))),
        ok(scene.ours.create(labelled(a_configmap("claimed"), **{AGENT: "another-agent"}))),
        ok(scene.ours.apply(a_configmap("applied"))),
        ok(scene.ours.create(a_deployment("web", replicas=1))),
    ]

    assert [labels_of(one) for one in made] == [{AGENT: name}] * len(made)
    assert AGENT not in str(scene.record("claimed")["after"])


def test_what_a_controller_makes_of_it_and_what_people_make_has_no_label(scene: Scene) -> None:
    """Whose it is, is told by the object at its root."""
    ok(scene.ours.create(a_deployment("web", replicas=1)))
    ok(scene.theirs.create(a_configmap("persons")))
    path = scene.theirs.path("Pod")

    def pods() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ok(scene.theirs.api.call("GET", path))["items"]
        return found

    eventually(lambda: len(pods()) == 1, "the Pod is made")
    assert labels_of(pods()[0]).keys() == {"app", "pod-template-hash"}
    assert labels_of(scene.theirs.get("ConfigMap", "persons")) == {}


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({AGENT: None}, id="by name"),
        pytest.param(None, id="with all others"),
        pytest.param({AGENT: "another-agent"}, id="for another's"),
    ],
)
def test_an_agent_cannot_disown_what_it_made(
    scene: Scene, labels: dict[str, str | None] | None
) -> None:
    made = ok(scene.ours.create(labelled(a_configmap("web"), app="web")))
    kept = {AGENT: scene.agent.name} | ({"app": "web"} if labels else {})
    patch = {"metadata": {"labels": labels}, "data": {"a": "b"}}

    found = ok(scene.ours.merge("ConfigMap", "web", patch))

    assert labels_of(found) == kept
    assert stamp_of(found) != stamp_of(made)
    changed = changes_of(scene.record("web", count=2))
    assert changed.keys() - {"metadata.labels.app"} <= {"data", "data.a"}


@pytest.mark.requirement("identity-carried.owner-label")
def test_to_change_the_label_alone_is_to_change_nothing(scene: Scene) -> None:
    made = ok(scene.ours.create(a_configmap("web", a="b")))

    found = ok(scene.ours.merge("ConfigMap", "web", {"metadata": {"labels": {AGENT: None}}}))

    assert (version_of(found), labels_of(found)) == (version_of(made), labels_of(made))
    record = scene.record("web", count=2)
    assert (record["action"], record["outcome"]) == ("nothing", "no-op")


@pytest.mark.requirement("identity-carried.owner-label")
def test_what_an_agent_raises_becomes_its_own_and_that_is_no_change_of_a_field(
    cluster: Cluster, agent: TestAgent
) -> None:
    """The mandate grants one field, and the label is another."""
    grant = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["update", "patch"]}
    only = {**grant, "namespaces": [agent.name], "fields": ["spec.replicas"]}
    scene = set_scene(cluster, agent)
    ok(scene.theirs.create(a_deployment("web", replicas=2)))
    agent.set_mandate(rules=[only])
    agent.eventually_answers("kind-not-granted", "create", "configmap", "probe")

    lowered = ok(scene.ours.merge("Deployment", "web", {"spec": {"replicas": 1}}))
    dry = ok(scene.ours.merge("Deployment", "web", {"spec": {"replicas": 3}}, query="?dryRun=All"))
    raised = ok(scene.ours.merge("Deployment", "web", {"spec": {"replicas": 3}}))

    assert [labels_of(one) for one in (lowered, dry, raised)] == [{}, {}, {AGENT: agent.name}]
    records = [one for one in scene.records("web", count=2) if stamp_of(raised) == one["change"]]
    assert [changes_of(one) for one in records] == [{"spec.replicas": 3}]


@pytest.mark.requirement("identity-carried.owner-label")
def test_what_is_nobodys_is_not_claimed_by_a_label(scene: Scene) -> None:
    ok(scene.theirs.create(a_deployment("web", replicas=2)))
    patch = {"metadata": {"labels": {AGENT: scene.agent.name}}, "spec": {"replicas": 1}}

    assert labels_of(ok(scene.ours.merge("Deployment", "web", patch))) == {}
