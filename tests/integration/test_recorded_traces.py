"""What is on objects and what is nowhere: stamps, reasons, values of Secrets, others' writes."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.governed import Cluster, TestAgent
from tests.writers import (
    STAMP,
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


Meddle = Callable[[Scene, str], str]


def remove(scene: Scene, _: str) -> str:
    """Take the stamp off the agent's object; what is then known of its author: nothing."""
    ok(scene.theirs.merge("ConfigMap", "web", {"metadata": {"annotations": {STAMP: None}}}))
    return ""


def forge(scene: Scene, stamp: str) -> str:
    """Put one there that is none."""
    forged = f"{stamp[:-4]}aaaa"
    ok(scene.theirs.merge("ConfigMap", "web", {"metadata": {"annotations": {STAMP: forged}}}))
    return ""


def keep(scene: Scene, stamp: str) -> str:
    """Write with the stamp left in place: it is authentic, and of another write."""
    ok(scene.theirs.merge("ConfigMap", "web", {"data": {"a": "of a person"}}))
    return stamp.partition(".")[0]


def copy(scene: Scene, stamp: str) -> str:
    """Put it on another object, and write to that."""
    body = a_configmap("copy", a="b")
    body["metadata"]["annotations"] = {STAMP: stamp}
    ok(scene.theirs.create(body))
    ok(scene.theirs.merge("ConfigMap", "copy", {"data": {"a": "c"}}))
    return stamp.partition(".")[0]


@pytest.mark.requirement("record-before-effect.stamped")
@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize("meddle", [remove, forge, keep, copy])
def test_what_a_person_does_with_a_stamp_is_no_write_of_the_agents(
    scene: Scene, meddle: Meddle
) -> None:
    made = ok(scene.ours.create(a_configmap("web", a="b")))
    left = meddle(scene, made["metadata"]["annotations"][STAMP])
    after = ok(scene.ours.merge("ConfigMap", "web", {"data": {"a": "of the agent"}}))
    records = scene.settled_records("web")
    assert [(one["change"], one["outcome"]) for one in records] == [
        (stamp_of(made), "persisted"),
        (stamp_of(after), "persisted"),
    ]
    assert stamp_of(made) != stamp_of(after)
    assert {one["object"]["uid"] for one in scene.all_of_agent()} == {made["metadata"]["uid"]}
    assert records[1]["entry"]["oldChange"] == left


@pytest.mark.requirement("record-before-effect.stamped")
@pytest.mark.parametrize("sent", ["mine", "01JD8Z6V5M3Q2W1X0Y9Z8A7B6C." + "a" * 26, ""])
def test_a_stamp_that_an_agent_sends_is_replaced(scene: Scene, sent: str) -> None:
    body = a_configmap("web", a="b")
    body["metadata"]["annotations"] = {STAMP: sent, "own": "kept"}
    made = ok(scene.ours.create(body))
    assert made["metadata"]["annotations"]["own"] == "kept"
    record = scene.record("web")
    assert (record["change"], record["outcome"]) == (stamp_of(made), "persisted")
    assert made["metadata"]["annotations"][STAMP] != sent


@pytest.mark.requirement("record-before-effect.stamped")
def test_a_stamp_that_an_agent_strips_comes_back_and_nothing_is_written_for_it(
    scene: Scene,
) -> None:
    made = ok(scene.ours.create(a_configmap("web", a="b")))
    strip = {"metadata": {"annotations": {STAMP: None}}}
    stripped = ok(scene.ours.merge("ConfigMap", "web", strip))
    assert (version_of(stripped), stamp_of(stripped)) == (version_of(made), stamp_of(made))
    assert scene.record("web", count=2)["outcome"] == "no-op"
    changed = ok(scene.ours.merge("ConfigMap", "web", {**strip, "data": {"a": "c"}}))
    record = scene.record("web", count=3)
    assert (record["change"], record["outcome"]) == (stamp_of(changed), "persisted")


@pytest.mark.requirement("record-before-effect.stamped")
@pytest.mark.parametrize("query", ["", "?dryRun=All"], ids=["a write", "a dry run"])
def test_an_object_that_has_no_room_for_a_stamp_is_refused_and_the_error_says_why(
    scene: Scene, query: str
) -> None:
    body = a_configmap("web")
    body["metadata"]["annotations"] = {"filler": "x" * (262_144 - len("filler"))}
    refused = scene.ours.create(body, query=query)
    assert refused.status == 403
    assert "leave no room for Governor's stamp" in refused.text
    assert scene.theirs.create(body, query=query).ok, "a person needs no stamp"
    body["metadata"]["annotations"] = {"filler": "x" * (262_072 - len("filler"))}
    body["metadata"]["name"] = "fits"
    assert scene.ours.create(body, query=query).ok


# Secrets, and other people's names.

OLD, NEW = "correct-horse-battery", "staple-of-the-agent"


def a_secret(value: str) -> dict[str, Any]:
    return a_manifest("Secret", "web", stringData={"password": value})


@pytest.mark.requirement("record-before-effect.secrets-unseen")
def test_no_value_of_a_secret_is_anywhere_outside_of_it(scene: Scene) -> None:
    ok(scene.ours.apply(a_secret(OLD)))
    scene.agent.kubectl("apply", "-f", "-", stdin=json.dumps(a_secret(OLD)))
    ok(scene.ours.merge("Secret", "web", {"stringData": {"password": NEW}}))
    ok(scene.ours.delete("Secret", "web"))
    site = scene.cluster.governor.site
    before = b"".join(file.read_bytes() for file in site.outbox.iterdir())
    records = scene.settled_records("web")
    assert records[-1]["outcome"] == "gone"
    assert records[0]["after"]["data"]["password"].startswith("hmac-sha256:")
    seen = {
        "ledger": scene.ledger.everything(),
        "outbox": before + b"".join(file.read_bytes() for file in site.outbox.iterdir()),
        "logs": b"".join(file.read_bytes() for file in site.directory.glob("*.log")),
        "accounts": json.dumps(scene.account()).encode(),
    }
    assert all(scene.agent.name.encode() in text for text in seen.values())
    for value in (OLD, NEW):
        encoded = base64.b64encode(value.encode())
        for shape in (value.encode(), encoded, encoded[:-4]):
            assert [place for place, text in seen.items() if shape in text] == []


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
def test_whom_an_agent_impersonates_is_not_touched(scene: Scene) -> None:
    """Admission sees the other only: who may impersonate is RBAC's business, and audit's."""
    answer = scene.ours.api.call(
        "POST",
        scene.ours.path("ConfigMap"),
        a_configmap("web"),
        headers={"Impersonate-User": "alice", "Impersonate-Group": "system:masters"},
    )
    assert not stamp_of(ok(answer))
    ok(scene.ours.create(a_configmap("marker")))
    scene.settled_records("marker")
    assert [one["request"]["name"] for one in scene.all_of_agent()] == ["marker"]


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
def test_a_persons_writes_are_as_they_sent_them_and_leave_no_record(scene: Scene) -> None:
    body = a_configmap("web", a="b")
    body["metadata"]["annotations"] = {"governor.dev/reason": "mine to keep"}
    made = ok(scene.theirs.create(body))
    assert made["metadata"]["annotations"] == body["metadata"]["annotations"]
    ok(scene.theirs.merge("ConfigMap", "web", {"data": {"a": "c"}}))
    ok(scene.theirs.delete("ConfigMap", "web"))
    ok(scene.ours.create(a_configmap("marker")))
    scene.settled_records("marker")
    theirs = [one for one in scene.ledger.all() if one["request"]["namespace"] == scene.agent.name]
    assert [one["request"]["name"] for one in theirs] == ["marker"]


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_the_reason_is_in_the_record_and_not_on_the_object(scene: Scene) -> None:
    body = a_configmap("web", a="b")
    body["metadata"]["annotations"] = {"governor.dev/reason": "the release of Monday"}
    made = ok(scene.ours.create(body))
    assert "governor.dev/reason" not in made["metadata"]["annotations"]
    assert scene.record("web")["reason"] == "the release of Monday"


@pytest.mark.requirement("record-before-effect.as-it-is")
def test_denials_are_recorded_and_their_repeats_counted(scene: Scene) -> None:
    role = a_manifest("Role", "more", rules=[])
    role["apiVersion"] = "rbac.authorization.k8s.io/v1"
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{scene.agent.name}/roles"
    for _ in range(3):
        assert scene.ours.api.call("POST", path, role).status == 403
    record = scene.record("more")
    assert (record["type"], record["outcome"]) == ("denial", "denied")
    assert [one["code"] for one in record["decision"]["denials"]] == ["protected-kind"]
    counted = [count for kind, _, count in scene.outbox_rows() if kind == "repeats"]
    assert counted == [2], "they become a record once their minute is over"
