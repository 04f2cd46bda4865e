"""Writes that a real API server stores in another form than it had validated.

A custom kind is served in two versions, of which only the one that is stored has defaults:
what is written through the other comes back with more than was validated.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from controller.accounts.entries import Action, Entry, Outcome, WatchedKind
from controller.accounts.evidence import judge
from controller.accounts.views import Version
from controller.apis.requests import AdmissionRequest
from controller.records.content import traced_digest
from controller.records.stamps import Traced, trace_of
from controller.records.versions import number_of, version_of
from native.controlplane import ControlPlane
from tests.account_builders import a_view, an_entry
from tests.recording import CONTENT_KEY, STAMP_KEY, Recorder, recording
from tests.waiting import eventually

pytestmark = pytest.mark.integration

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
def recorder(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Recorder]:
    with recording(control_plane, namespace, tmp_path) as found:
        yield found


def a_served(name: str, *, is_stored: bool) -> dict[str, Any]:
    """A version; only the stored one gives `mode` a default."""
    text = {"type": "string"}
    mode = {**text, "default": "calm"} if is_stored else text
    part = {"type": "object", "properties": {"size": text, "mode": mode}}
    schema = {"type": "object", "properties": {"spec": part, "status": part}}
    return {
        "name": name,
        "served": True,
        "storage": is_stored,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }


@pytest.fixture
def gauges(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """The collection of a kind with a version beside the one that is stored; its path."""
    group = f"{namespace}.example.com"
    names = {"plural": "gauges", "singular": "gauge", "kind": "Gauge", "listKind": "GaugeList"}
    versions = [a_served("v1", is_stored=False), a_served("v2", is_stored=True)]
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": versions}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gauges.{group}"},
        "spec": spec,
    }
    assert control_plane.admin.call("POST", CRDS, body).status == 201
    path = f"/apis/{group}/v1/namespaces/{namespace}/gauges"
    eventually(lambda: control_plane.admin.call("GET", path).ok, "gauges served")
    yield path
    control_plane.admin.call("DELETE", f"{CRDS}/gauges.{group}")


def versions_since(plane: ControlPlane, collection: str, version: str) -> list[Version]:
    query = f"?watch=true&resourceVersion={version}&timeoutSeconds=1"
    lines = plane.admin.call("GET", f"{collection}{query}").text.splitlines()
    stored = (orjson.loads(line)["object"] for line in lines)
    return [reduced(obj) for obj in stored]


def reduced(obj: Mapping[str, Any]) -> Version:
    kind = WatchedKind("example.com", "v1", "gauges")
    return version_of(obj, kind=kind, stamp_key=STAMP_KEY, content_key=CONTENT_KEY)


def entry_of(review: AdmissionRequest) -> Entry:
    """As the webhook would have entered it."""
    traced = trace_of(review, key=STAMP_KEY)
    assert isinstance(traced, Traced)
    assert review.old is not None
    held: Any = review.old["metadata"]
    return an_entry(
        traced.change or "without-a-stamp",
        action=traced.action,
        kind=traced.kind,
        uid=held["uid"],
        version=number_of(held["resourceVersion"]),
        digest=traced_digest(review, traced, key=CONTENT_KEY),
        old_change=traced.old_change,
    )


@pytest.mark.requirement("record-before-effect.evidence")
@pytest.mark.parametrize(
    ("part", "action"),
    [
        pytest.param("spec", Action.UPDATE, id="an update, which has a stamp of its own"),
        pytest.param("status", Action.VALUE, id="a status, which has none"),
    ],
)
def test_what_is_stored_with_defaults_of_another_version_is_not_called_lost(
    control_plane: ControlPlane,
    namespace: str,
    recorder: Recorder,
    gauges: str,
    part: str,
    action: Action,
) -> None:
    group_version = gauges.removeprefix("/apis/").partition("/namespaces")[0]
    body = {
        "apiVersion": group_version,
        "kind": "Gauge",
        "metadata": {"name": "one", "namespace": namespace},
        "spec": {"size": "s"},
    }
    created = control_plane.admin.call("POST", gauges, body)
    assert created.status == 201, created.text
    recorder.take()
    path = f"{gauges}/one" + ("/status" if part == "status" else "")
    answer = control_plane.admin.call("PUT", path, {**created.json, part: {"size": "l"}})
    assert answer.ok, answer.text
    entry = entry_of(recorder.take()[-1])
    before = reduced(created.json)
    (successor,) = versions_since(
        control_plane, gauges, created.json["metadata"]["resourceVersion"]
    )

    assert entry.action is action
    assert successor.change == (entry.change if action is Action.UPDATE else entry.old_change)
    assert successor.digest != entry.digest, "it is stored as it was validated"
    assert judge(entry, a_view(before, successor), (entry,)) is Outcome.UNKNOWN
