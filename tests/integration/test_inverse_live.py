"""Stated inverses, run as kubectl commands against a real API server."""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest

from controller.accounts.entries import Action, Outcome, WatchedKind
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.asks.ownership import owner_of
from controller.changes.fields import SERVER_SET_METADATA
from controller.records.body import write_body
from controller.records.differences import without_bookkeeping
from controller.records.inverse import Inverse, NoInverse, inverse_of
from controller.records.record import entry_record
from controller.records.redaction import redact
from controller.records.stamps import Traced
from native.api import Answer
from native.controlplane import ControlPlane
from native.kubectl import Completed
from tests.recorded import a_judged, an_entry
from tests.recording import CONTENT_KEY, OWNER, Recorder, recording
from tests.waiting import eventually
from tests.written_kinds import (
    CASES,
    JSON_PATCH,
    MERGE,
    POD_SPEC,
    SELECTOR,
    STRATEGIC,
    TEMPLATE,
    Case,
)

pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Scene:
    """A namespace whose writes are recorded."""

    plane: ControlPlane
    namespace: str
    recorder: Recorder

    def call(self, method: str, path: str, body: Any = None, **options: str) -> Answer:  # noqa: ANN401 - JSON
        """One call by the administrator, which must succeed."""
        answer = self.plane.admin.call(method, path, body, **options)  # type: ignore[arg-type]  # only content_type is given
        assert answer.ok, answer.text
        return answer

    def create(self, case: Case, name: str = "web") -> str:
        """Create an object; its path."""
        body = {"metadata": {"name": name}, **case.body}
        self.call("POST", case.path(self.namespace), body)
        return f"{case.path(self.namespace)}/{name}"

    def inverse(self, outcome: Outcome = Outcome.PERSISTED) -> Inverse | NoInverse:
        """Of the last write that was reviewed."""
        request = self.recorder.reviews[-1]
        redacted = redact(request, governance=Governance(), key=CONTENT_KEY)
        kind = WatchedKind(request.target.group, "v1", request.target.resource)
        body = write_body(redacted, a_judged(), traced=Traced(Action.UPDATE, kind))
        return inverse_of(entry_record(body, an_entry(body, outcome=outcome), reason=None))

    def undo(self) -> Completed:
        """Run the command that the inverse of the last write states."""
        return self.paste(self.inverse())

    def paste(self, found: Inverse | NoInverse, *more: str) -> Completed:
        """Run the command that an inverse states, with more arguments."""
        assert isinstance(found, Inverse), found
        line, _, document = found.command.partition(" <<'GOVERNOR'\n")
        stdin = document.removesuffix("\nGOVERNOR")
        return self.plane.kubectl(*shlex.split(line)[1:], *more, stdin=stdin)

    def content(self, path: str) -> dict[str, Json]:
        """What a client wrote of an object, without what servers and controllers add."""
        return content_of(self.call("GET", path).json)


def content_of(obj: dict[str, Any]) -> dict[str, Json]:
    """Without status, server-set metadata and Governor's own."""
    found = without_bookkeeping(cast("dict[str, Json]", obj)) or {}
    metadata = found["metadata"]
    assert isinstance(metadata, dict)
    kept = {key: value for key, value in metadata.items() if key not in SERVER_SET_METADATA}
    # The deployment controller counts rollouts in an annotation, and a rollback is one more.
    annotations = kept.get("annotations")
    if isinstance(annotations, dict):
        own = {k: v for k, v in annotations.items() if not k.startswith("deployment.kubernetes.io")}
        kept["annotations"] = own
        if not own:
            del kept["annotations"]
    return {key: value for key, value in found.items() if key != "status"} | {"metadata": kept}


@pytest.fixture
def scene(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    with recording(control_plane, namespace, tmp_path) as recorder:
        yield Scene(control_plane, namespace, recorder)


DEPLOYMENT = Case(
    "apps/v1",
    "deployments",
    {
        "spec": {
            "replicas": 2,
            "selector": SELECTOR,
            "template": TEMPLATE,
            "strategy": {"type": "Recreate"},
        }
    },
)
TWO: dict[str, Any] = {"containers": [{"name": "side", "image": "s:1"}, *POD_SPEC["containers"]]}
STILL = CASES["replication controller"]
CONFIGMAP = Case("v1", "configmaps", {"data": {"a": "1", "b.c": "2"}})

Edit: TypeAlias = "dict[str, Any] | list[dict[str, Any]]"

EDITS = [
    pytest.param(DEPLOYMENT, {"spec": {"replicas": 5}}, MERGE, "", id="a number"),
    pytest.param(DEPLOYMENT, {"spec": {"replicas": 5}}, MERGE, "scale", id="a scale"),
    pytest.param(DEPLOYMENT, {"spec": {"replicas": 0}}, MERGE, "scale", id="a scale to zero"),
    pytest.param(
        DEPLOYMENT, {"spec": {"template": {"spec": TWO}}}, STRATEGIC, "", id="a container more"
    ),
    pytest.param(
        DEPLOYMENT,
        {
            "spec": {
                "template": {
                    "spec": {
                        "containers": [{"name": "web", "image": "x:2", "env": [{"name": "A"}]}]
                    }
                }
            }
        },
        STRATEGIC,
        "",
        id="an image and a variable",
    ),
    pytest.param(
        DEPLOYMENT,
        {"spec": {"strategy": {"type": "RollingUpdate"}}},
        MERGE,
        "",
        id="a strategy whose defaults come with it",
    ),
    pytest.param(
        DEPLOYMENT,
        {"metadata": {"labels": {"a": "b"}, "annotations": {"example.com/a.b_c": "b"}}},
        MERGE,
        "",
        id="the first labels and annotations",
    ),
    pytest.param(
        CONFIGMAP, {"data": {"a": None, "b.c": "3", "c": ""}}, MERGE, "", id="keys that come and go"
    ),
    pytest.param(CONFIGMAP, {"data": None}, MERGE, "", id="all data"),
    pytest.param(
        CASES["service"],
        [
            {"op": "add", "path": "/spec/ports/-", "value": {"name": "x", "port": 81}},
            {"op": "add", "path": "/spec/ports/0/name", "value": "y"},
        ],
        JSON_PATCH,
        "",
        id="a port more",
    ),
    pytest.param(CASES["cronjob"], {"spec": {"suspend": True}}, MERGE, "", id="a pause"),
]


@pytest.mark.parametrize(("case", "edit", "content_type", "subresource"), EDITS)
@pytest.mark.requirement("undo.inverse")
def test_an_update_is_undone(
    scene: Scene,
    case: Case,
    edit: Edit,
    content_type: str,
    subresource: str,
) -> None:
    path = scene.create(case)
    before = scene.content(path)
    where = f"{path}/{subresource}" if subresource else path
    scene.call("PATCH", where, edit, content_type=content_type)
    assert scene.content(path) != before

    scene.undo().require_ok()

    assert scene.content(path) == before


SCALED = Case(
    "apps/v1",
    "replicasets",
    {"spec": {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}},
)
"""Whose controller changes nothing but its status."""


@pytest.mark.requirement("undo.inverse")
@pytest.mark.parametrize(
    ("labels", "edit", "owner"),
    [
        pytest.param({}, {"metadata": {"labels": {"a": "b"}}}, "", id="the first label"),
        pytest.param({"a": "b"}, {"metadata": {"labels": None}}, "", id="all labels"),
        pytest.param({}, {"spec": {"replicas": 5}}, OWNER, id="a raise, which adopts it"),
        pytest.param(
            {}, {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 5}}, OWNER, id="both"
        ),
        pytest.param(
            {"a": "b"}, {"metadata": {"labels": None}, "spec": {"replicas": 5}}, OWNER, id="each"
        ),
    ],
)
def test_an_update_of_what_somebody_else_made_is_undone_and_keeps_its_owner(
    scene: Scene, labels: dict[str, str], edit: Edit, owner: str
) -> None:
    made = {
        "apiVersion": SCALED.group_version,
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "labels": labels},
        **SCALED.body,
    }
    create = ("create", "-n", scene.namespace, "-f", "-", "--as=alice", "--as-group=system:masters")
    scene.plane.kubectl(*create, stdin=json.dumps(made)).require_ok()
    path = f"{SCALED.path(scene.namespace)}/web"
    before = scene.content(path)
    changed = scene.call("PATCH", path, edit, content_type=MERGE).json
    assert (owner_of(changed), scene.content(path) != before) == (owner, True)

    scene.undo().require_ok()

    assert scene.content(path) == before
    assert owner_of(scene.call("GET", path).json) == owner


@pytest.mark.requirement("undo.inverse")
def test_a_fix_that_somebody_made_since_is_not_overwritten(scene: Scene) -> None:
    path = scene.create(CONFIGMAP)
    scene.call("PATCH", path, {"data": {"a": "agent", "new": "x"}}, content_type=MERGE)
    found = scene.inverse()
    scene.paste(found, "--dry-run=server").require_ok()
    scene.call("PATCH", path, {"data": {"a": "person"}}, content_type=MERGE)
    fixed = scene.content(path)

    failed = scene.paste(found)

    assert not failed.ok
    assert "The request is invalid" in failed.stderr
    assert scene.content(path) == fixed


def test_an_item_that_is_no_longer_in_its_place_is_not_taken_for_another(scene: Scene) -> None:
    path = scene.create(DEPLOYMENT)
    edit = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x:2"}]
    scene.call("PATCH", path, edit, content_type=JSON_PATCH)
    found = scene.inverse()
    insert = {"op": "add", "path": "/spec/template/spec/containers/0"}
    item = {"name": "first", "image": "x:2"}
    scene.call("PATCH", path, [{**insert, "value": item}], content_type=JSON_PATCH)

    assert not scene.paste(found).ok


def ingress_rule(host: str, service: str) -> dict[str, Any]:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return {"host": host, "http": {"paths": paths}}


def metric(resource: str, percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


INGRESS = Case(
    "networking.k8s.io/v1", "ingresses", {"spec": {"rules": [ingress_rule("a.example.com", "old")]}}
)
AUTOSCALER = CASES["autoscaler of version 2"]
PORTS = Case(
    "networking.k8s.io/v1",
    "networkpolicies",
    {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 53, "endPort": 60}]}]}},
)

SHIFTS = [
    pytest.param(
        INGRESS,
        ("/spec/rules/0/http/paths/0/backend/service/name", "new"),
        ("/spec/rules/0", ingress_rule("b.example.com", "new")),
        id="rules of an Ingress",
    ),
    pytest.param(
        AUTOSCALER,
        ("/spec/metrics/0/resource/target/averageUtilization", 80),
        ("/spec/metrics/0", metric("memory", 80)),
        id="metrics of an autoscaler",
    ),
    pytest.param(
        PORTS,
        ("/spec/ingress/0/ports/0/endPort", 70),
        ("/spec/ingress/0/ports/0", {"port": 53, "endPort": 70, "protocol": "UDP"}),
        id="ports of a network policy",
    ),
]


@pytest.mark.parametrize(("case", "edit", "insertion"), SHIFTS)
@pytest.mark.requirement("undo.inverse")
def test_an_item_that_somebody_put_before_is_not_taken_for_the_changed_one(
    scene: Scene, case: Case, edit: tuple[str, Json], insertion: tuple[str, Json]
) -> None:
    path = scene.create(case)
    before = scene.content(path)
    replaced: Json = {"op": "replace", "path": edit[0], "value": edit[1]}
    added: Json = {"op": "add", "path": insertion[0], "value": insertion[1]}
    scene.call("PATCH", path, [replaced], content_type=JSON_PATCH)
    found = scene.inverse()
    scene.call("PATCH", path, [added], content_type=JSON_PATCH)
    shifted = scene.content(path)

    assert not scene.paste(found).ok
    assert scene.content(path) == shifted
    scene.call("PATCH", path, [{"op": "remove", "path": insertion[0]}], content_type=JSON_PATCH)
    scene.paste(found).require_ok()
    assert scene.content(path) == before


@pytest.mark.parametrize(
    ("case", "subresource", "edit"),
    [
        pytest.param(STILL, "", {"spec": {"replicas": 5}}, id="an object"),
        pytest.param(STILL, "scale", {"spec": {"replicas": 5}}, id="a scale"),
        pytest.param(CASES["pod"], "status", {"status": {"message": "x"}}, id="a status"),
    ],
)
@pytest.mark.requirement("undo.inverse")
def test_an_object_that_was_created_anew_is_not_patched(
    scene: Scene, case: Case, subresource: str, edit: Edit
) -> None:
    path = scene.create(case)
    where = f"{path}/{subresource}".removesuffix("/")
    scene.call("PATCH", where, edit, content_type=MERGE)
    found = scene.inverse()
    scene.paste(found, "--dry-run=server").require_ok()
    scene.call("DELETE", f"{path}?gracePeriodSeconds=0")
    eventually(lambda: scene.plane.admin.call("GET", path).status == 404, "deleted")
    scene.create(case)
    scene.call("PATCH", where, edit, content_type=MERGE)
    anew = scene.call("GET", path).json

    assert not scene.paste(found).ok
    now = scene.call("GET", path).json
    assert now["spec"] == anew["spec"]
    assert now["status"].get("message") == anew["status"].get("message")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("é\u2028\x7f\x85<&>'\"\\ud83d\U0001f600\U000e0041\x00\n\ufeff", id="any text"),
        pytest.param("x" * 400_000, id="more than an argument may be long"),
    ],
)
def test_any_text_is_put_back(scene: Scene, text: str) -> None:
    path = scene.create(Case("v1", "configmaps", {"data": {"a": text}}))
    scene.call("PATCH", path, {"data": {"a": "1"}}, content_type=MERGE)
    scene.undo().require_ok()
    assert scene.content(path)["data"] == {"a": text}

    scene.call("PATCH", path, {"data": {"a": "2"}}, content_type=MERGE)
    scene.call("PATCH", path, {"data": {"a": text}}, content_type=MERGE)
    scene.undo().require_ok()
    assert scene.content(path)["data"] == {"a": "2"}

    scene.call("PATCH", path, {"data": {"a": text}}, content_type=MERGE)
    scene.call("DELETE", path)
    scene.undo().require_ok()
    assert scene.content(path)["data"] == {"a": text}


def test_a_create_is_undone(scene: Scene) -> None:
    path = scene.create(DEPLOYMENT)

    scene.undo().require_ok()

    assert scene.plane.admin.call("GET", path).status == 404


@pytest.mark.requirement("undo.inverse")
def test_another_object_of_the_same_name_is_not_deleted(scene: Scene) -> None:
    path = scene.create(CONFIGMAP)
    found = scene.inverse()
    scene.call("DELETE", path)
    scene.create(CONFIGMAP)

    failed = scene.paste(found)

    assert not failed.ok
    assert "the UID in the precondition" in failed.stderr
    assert scene.plane.admin.call("GET", path).ok


def unchanged(content: dict[str, Json]) -> dict[str, Json]:
    return content


def without_job_uid(content: dict[str, Json]) -> dict[str, Json]:
    """A Job's selector and labels are made from its uid, which is another one now."""
    named: Json = {"name": "web"}
    spec = content["spec"]
    assert isinstance(spec, dict)
    kept: dict[str, Json] = {k: v for k, v in spec.items() if k not in {"selector", "template"}}
    template = spec["template"]
    assert isinstance(template, dict)
    return {**content, "metadata": named, "spec": {**kept, "template": template["spec"]}}


@pytest.mark.parametrize(
    ("case", "comparable"),
    [
        pytest.param(DEPLOYMENT, unchanged, id="a Deployment"),
        pytest.param(CONFIGMAP, unchanged, id="a ConfigMap"),
        pytest.param(CASES["service"], unchanged, id="a Service"),
        pytest.param(CASES["job"], without_job_uid, id="a Job"),
        pytest.param(CASES["pod"], unchanged, id="a Pod"),
        pytest.param(CASES["statefulset"], unchanged, id="a StatefulSet"),
        pytest.param(CASES["ingress"], unchanged, id="an Ingress"),
        pytest.param(CASES["role"], unchanged, id="a Role"),
        pytest.param(CASES["autoscaler of version 2"], unchanged, id="an autoscaler"),
    ],
)
@pytest.mark.requirement("undo.inverse")
def test_a_delete_is_undone(
    scene: Scene, case: Case, comparable: Callable[[dict[str, Json]], dict[str, Json]]
) -> None:
    path = scene.create(case)
    before = scene.content(path)
    scene.call("DELETE", f"{path}?propagationPolicy=Background&gracePeriodSeconds=0")
    deletes = [one for one in scene.recorder.reviews if one.operation == "DELETE"]
    scene.recorder.reviews[:] = deletes[:1]
    eventually(lambda: scene.plane.admin.call("GET", path).status == 404, "deleted")

    undone = scene.undo()

    undone.require_ok()
    assert comparable(scene.content(path)) == comparable(before)


def test_a_deleted_secret_cannot_be_created_again(scene: Scene) -> None:
    path = scene.create(CASES["secret with stringData"])
    scene.call("DELETE", path)

    found = scene.inverse()

    assert found == NoInverse("the values were never recorded")


def test_an_eviction_has_no_inverse(scene: Scene) -> None:
    path = scene.create(CASES["pod"])
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}
    scene.call("POST", f"{path}/eviction", body)
    evictions = [one for one in scene.recorder.reviews if one.target.subresource == "eviction"]
    scene.recorder.reviews[:] = evictions

    assert isinstance(scene.inverse(Outcome.ALLOWED), NoInverse)
