"""What `/mutate` leaves on objects of a real API server: stamp and owner, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.accounts.entries import Action
from controller.asks.ownership import AGENT
from controller.records.stamps import CHANGE, REASON, Traced, read_stamp, trace_of
from native.controlplane import ControlPlane
from tests.recording import OWNER, STAMP_KEY, Recorder, recording
from tests.written_kinds import APPLY, MERGE

pytestmark = pytest.mark.integration

MANIFEST: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "annotations": {REASON: "the queue is full"}},
    "data": {"a": "1"},
}


@pytest.fixture
def recorder(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Recorder]:
    with recording(control_plane, namespace, tmp_path) as found:
        yield found


@pytest.fixture
def collection(recorder: Recorder, namespace: str) -> str:
    """Where ConfigMaps are created and stamped."""
    assert recorder.reviews == []
    return f"/api/v1/namespaces/{namespace}/configmaps"


def apply(plane: ControlPlane, collection: str, **data: str) -> dict[str, Any]:
    """Apply on the server, as GitOps tools do."""
    body = {**MANIFEST, "data": {"a": "1", **data}}
    path = f"{collection}/settings?fieldManager=gitops&force=true"
    answer = plane.admin.call("PATCH", path, body, content_type=APPLY)
    assert answer.ok, answer.text
    found: dict[str, Any] = answer.json
    return found


@pytest.mark.requirement("record-before-effect.stamped")
def test_a_repeated_apply_with_a_reason_writes_nothing(
    control_plane: ControlPlane, recorder: Recorder, collection: str
) -> None:
    first = apply(control_plane, collection)
    again = [apply(control_plane, collection) for _ in range(3)]

    assert {one["metadata"]["resourceVersion"] for one in (first, *again)} == {
        first["metadata"]["resourceVersion"]
    }
    assert recorder.mutations[0].reason == "the queue is full"
    assert REASON not in first["metadata"]["annotations"]


def test_an_apply_that_changes_something_has_a_stamp_of_its_own(
    control_plane: ControlPlane, recorder: Recorder, collection: str
) -> None:
    first, second = apply(control_plane, collection), apply(control_plane, collection, b="2")

    stamps = [read_stamp(one, key=STAMP_KEY) for one in (first, second)]
    assert stamps == [one.change for one in recorder.mutations]
    assert len(set(stamps)) == 2


@pytest.mark.requirement("record-before-effect.stamped")
def test_a_put_of_the_same_content_without_the_stamp_writes_nothing(
    control_plane: ControlPlane, collection: str
) -> None:
    first = apply(control_plane, collection)
    body = {**MANIFEST, "metadata": {"name": "settings"}}
    body["metadata"]["managedFields"] = first["metadata"]["managedFields"]

    put = control_plane.admin.call("PUT", f"{collection}/settings?fieldManager=gitops", body)

    assert put.ok, put.text
    assert put.json["metadata"]["annotations"] == first["metadata"]["annotations"]


@pytest.mark.requirement("record-before-effect.stamped")
def test_a_planted_stamp_is_replaced_or_taken_off(
    control_plane: ControlPlane, recorder: Recorder, collection: str
) -> None:
    planted = {"metadata": {"annotations": {CHANGE: "01JD8Z6V5M3Q2W1X0Y9Z8A7B6C.forged"}}}
    first = apply(control_plane, collection)

    path = f"{collection}/settings"
    alone = control_plane.admin.call("PATCH", path, planted, content_type=MERGE).json
    left = trace_of(recorder.reviews[-1], key=STAMP_KEY)
    changed = control_plane.admin.call(
        "PATCH", path, {**planted, "data": {"c": "3"}}, content_type=MERGE
    ).json

    # The API server notes who asked for the annotation, so it is a write all the same.
    assert alone["metadata"]["annotations"] == first["metadata"]["annotations"]
    assert isinstance(left, Traced)
    assert left.action is Action.VALUE
    assert read_stamp(changed, key=STAMP_KEY) == recorder.mutations[-1].change


@pytest.mark.requirement("dry-run-clean.no-trace")
def test_a_dry_run_is_answered_without_a_stamp(
    control_plane: ControlPlane, collection: str
) -> None:
    answer = control_plane.admin.call("POST", f"{collection}?dryRun=All", MANIFEST)

    assert answer.status == 201, answer.text
    assert CHANGE not in answer.json["metadata"]["annotations"]


def labels_of(body: dict[str, Any]) -> dict[str, Any]:
    """The labels of an object."""
    found: dict[str, Any] = body["metadata"].get("labels", {})
    return found


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="that does not know the label"),
        pytest.param({AGENT: OWNER}, id="that spells it as it is"),
        pytest.param({AGENT: "another-agent", "app": "web"}, id="that spells another owner"),
    ],
)
def test_a_repeated_apply_leaves_the_owner_and_writes_nothing(
    control_plane: ControlPlane, collection: str, labels: dict[str, str]
) -> None:
    body = {**MANIFEST, "metadata": {"name": "settings", "labels": labels}}
    path = f"{collection}/settings?fieldManager=gitops&force=true"
    answers = [control_plane.admin.call("PATCH", path, body, content_type=APPLY) for _ in range(3)]

    assert all(answer.ok for answer in answers), answers[-1].text
    assert len({answer.json["metadata"]["resourceVersion"] for answer in answers}) == 1
    assert labels_of(answers[-1].json) == {**labels, AGENT: OWNER}


@pytest.mark.requirement("identity-carried.owner-label")
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(None, id="with all labels"),
        pytest.param({AGENT: None}, id="by name"),
        pytest.param({AGENT: "another-agent"}, id="for another"),
        pytest.param({AGENT: ""}, id="for nobody"),
    ],
)
def test_the_owner_cannot_be_taken_off(
    control_plane: ControlPlane, recorder: Recorder, collection: str, labels: dict[str, str] | None
) -> None:
    first = apply(control_plane, collection)
    path = f"{collection}/settings"

    alone = control_plane.admin.call(
        "PATCH", path, {"metadata": {"labels": labels}}, content_type=MERGE
    ).json
    left = trace_of(recorder.reviews[-1], key=STAMP_KEY)
    changed = control_plane.admin.call(
        "PATCH", path, {"metadata": {"labels": labels}, "data": {"c": "3"}}, content_type=MERGE
    ).json

    assert [labels_of(one) for one in (first, alone, changed)] == [{AGENT: OWNER}] * 3
    assert isinstance(left, Traced)
    # Of what was asked for by a name the API server notes who did, so it may be a write.
    assert left.action in {Action.NOTHING, Action.VALUE}
    assert changed["data"]["c"] == "3"


def test_a_put_that_leaves_the_label_out_writes_nothing(
    control_plane: ControlPlane, collection: str
) -> None:
    body = {**MANIFEST, "metadata": {"name": "settings"}}
    made = control_plane.admin.call("POST", f"{collection}?fieldManager=gitops", body).json

    put = control_plane.admin.call("PUT", f"{collection}/settings?fieldManager=gitops", body)

    assert put.ok, put.text
    assert put.json["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert labels_of(put.json) == {AGENT: OWNER}
