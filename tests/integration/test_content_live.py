"""The content digest on a real API server: of what was validated and of what is stored.

A webhook stamps and records; each write's review is compared with the watch event of
the version that the write made.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from controller.accounts.entries import Action
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest
from controller.records.content import content_digest, traced_digest
from controller.records.differences import differences
from controller.records.stamps import Traced, read_stamp, trace_of
from controller.records.versions import version_of
from native.controlplane import ControlPlane
from tests.recording import CONTENT_KEY, STAMP_KEY, Recorder, recording
from tests.waiting import eventually
from tests.written_kinds import APPLY, CASES, NAMESPACE, WIDGET, WIDGET_EDITS, Case

pytestmark = pytest.mark.integration


PROVEN_BY_UID = {
    "create job",  # its labels default to those of the template, which it gets after decoding
    "create volume claim",  # its status.phase defaults to Pending
}
"""Creates whose stored version has fields that defaults add when it is read back."""


@dataclass(frozen=True, slots=True)
class Written:
    """One write: what was validated, and the version that it made."""

    what: str
    review: AdmissionRequest
    version: str
    expected: Action


@pytest.fixture
def recorder(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Recorder]:
    with recording(control_plane, namespace, tmp_path) as found:
        yield found


@pytest.fixture
def widgets(control_plane: ControlPlane, namespace: str) -> Iterator[Case]:
    """A custom kind with subresources, of any shape."""
    group = f"{namespace}.example.com"
    any_shape = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": any_shape, "status": any_shape},
            }
        },
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
            },
        },
    }
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert control_plane.admin.call("POST", crds, body).status == 201
    case = Case(f"{group}/v1", "widgets", {**WIDGET, "kind": "Widget"}, WIDGET_EDITS)
    eventually(lambda: control_plane.admin.call("GET", case.path(namespace)).ok, "widgets served")
    yield case
    control_plane.admin.call("DELETE", f"{crds}/widgets.{group}")


@pytest.mark.requirement("record-before-effect.stamped")
def test_a_stored_version_has_the_digest_of_what_was_validated(
    control_plane: ControlPlane, namespace: str, recorder: Recorder, widgets: Case
) -> None:
    cases = {**CASES, "custom resource": widgets}
    start = _newest(control_plane, namespace)
    written = [
        one
        for name, case in cases.items()
        for one in _write_all(control_plane, recorder, name, case=case, namespace=namespace)
    ]
    events = _events(control_plane, cases.values(), namespace, since=start)

    wrong = [problem for one in written for problem in _problems(one, events)]

    assert not wrong, "\n".join(wrong)
    assert len(written) > 60


def _problems(written: Written, events: Mapping[tuple[str, str], dict[str, Any]]) -> Iterator[str]:
    """Whatever does not let the settler prove this write."""
    traced = trace_of(written.review, key=STAMP_KEY)
    if not isinstance(traced, Traced) or traced.action is not written.expected:
        yield f"{written.what}: traced as {traced}"
        return
    if traced.action in {Action.NOTHING, Action.UNTRACED}:
        return
    event = events.get((str(traced.kind), written.version))
    if event is None:
        yield f"{written.what}: no event of version {written.version} of {traced.kind}"
        return
    version = version_of(event, kind=traced.kind, stamp_key=STAMP_KEY, content_key=CONTENT_KEY)
    digest = traced_digest(written.review, traced, key=CONTENT_KEY)
    if digest not in {version.digest, version.value} and written.what not in PROVEN_BY_UID:
        yield f"{written.what}: {_difference(written.review.obj, event)}"
    if traced.change and version.change != traced.change:
        yield f"{written.what}: stamped {traced.change}, stored {version.change or 'none'}"


def _difference(validated: Mapping[str, Json] | None, stored: Mapping[str, Json]) -> str:
    typed = {**stored, **{key: (validated or {}).get(key) for key in ("apiVersion", "kind")}}
    return f"validated → stored: {differences(dict(validated or {}), typed)}"


def _write_all(
    plane: ControlPlane, recorder: Recorder, name: str, *, case: Case, namespace: str
) -> Iterator[Written]:
    collection, object_name = case.path(namespace), name.replace(" ", "-").lower()
    body = {
        "apiVersion": case.group_version,
        "metadata": {"name": object_name, "namespace": namespace},
        **_placed(case.body, namespace),
    }
    recorder.take()
    answer = plane.admin.call("POST", f"{collection}?fieldManager=first", body)
    assert answer.status == 201, f"{name}: {answer.text}"
    yield _written(f"create {name}", recorder, answer.json, Action.CREATE)
    for index, edit in enumerate(case.edits):
        what = f"edit {index} of {name}"
        path = f"{collection}/{object_name}"
        path += f"/{edit.subresource}" if edit.subresource else ""
        sent = edit.body
        if edit.content_type == APPLY:
            path += "?fieldManager=applier&force=true"
            identity = {"metadata": {"name": object_name}, "kind": body.get("kind")}
            sent = {"apiVersion": case.group_version, **identity, **sent}
        answer = plane.admin.call(edit.method, path, sent, content_type=edit.content_type)
        assert answer.ok, f"{what}: {answer.text}"
        yield _written(what, recorder, answer.json, edit.action)


def _written(what: str, recorder: Recorder, stored: dict[str, Any], action: Action) -> Written:
    """The last review is that of the attempt that was stored, should there be several."""
    reviews = recorder.take()
    assert reviews, f"{what}: was not reviewed"
    return Written(what, reviews[-1], stored["metadata"]["resourceVersion"], action)


def _placed(body: dict[str, Any], namespace: str) -> dict[str, Any]:
    text = orjson.dumps(body).decode().replace(NAMESPACE, namespace)
    return cast("dict[str, Any]", orjson.loads(text))


def _newest(plane: ControlPlane, namespace: str) -> str:
    """A version from which every kind can be watched."""
    listed = plane.admin.call("GET", f"/api/v1/namespaces/{namespace}/configmaps")
    return str(listed.json["metadata"]["resourceVersion"])


def _events(
    plane: ControlPlane, cases: Iterable[Case], namespace: str, *, since: str
) -> dict[tuple[str, str], dict[str, Any]]:
    """Every stored version by kind and resource version, as watches show them."""
    paths = {(str(case.kind), case.path(namespace)) for case in cases}

    def watch(found: tuple[str, str]) -> list[tuple[tuple[str, str], dict[str, Any]]]:
        kind, path = found
        query = f"?watch=true&resourceVersion={since}&timeoutSeconds=1"
        lines = plane.admin.call("GET", f"{path}{query}").text.splitlines()
        objects = [cast("dict[str, Any]", orjson.loads(line)["object"]) for line in lines]
        return [((kind, obj["metadata"]["resourceVersion"]), obj) for obj in objects]

    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(one for found in pool.map(watch, paths) for one in found)


def test_a_secret_changes_its_digest_with_its_value_and_not_with_its_owners(
    control_plane: ControlPlane, namespace: str, recorder: Recorder
) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    body = {"metadata": {"name": "s"}, "stringData": {"password": "one"}}
    created = control_plane.admin.call("POST", path, body).json
    review = recorder.take()[-1]
    same = control_plane.admin.call(
        "PATCH",
        f"{path}/s?fieldManager=other",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": created["data"]},
        content_type=APPLY,
    ).json

    assert review.obj is not None
    assert "stringData" not in review.obj
    assert same["metadata"]["resourceVersion"] != created["metadata"]["resourceVersion"]
    assert content_digest(same, key=CONTENT_KEY) == content_digest(created, key=CONTENT_KEY)
    assert content_digest(same, key=CONTENT_KEY) == content_digest(review.obj, key=CONTENT_KEY)
    traced = trace_of(recorder.take()[-1], key=STAMP_KEY)
    assert isinstance(traced, Traced)
    assert traced.action is Action.VALUE
    assert traced.old_change == read_stamp(created, key=STAMP_KEY)
