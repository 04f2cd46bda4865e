"""What `governor check` takes for granted about Kubernetes is so, on a real API server.

Its table of kinds, its reading of YAML, and the AdmissionReviews that it makes are
each compared with what the API server and kubectl themselves do.
"""

import base64
import http.server
import itertools
import json
import ssl
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import uuid4

import orjson
import pytest

from controller.admission.review import read_review
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation
from controller.changes.fields import changed_fields
from controller.cli import kinds_generate
from controller.cli.kinds import Kinds, builtin_kinds
from controller.cli.manifests import Manifest, Place
from controller.cli.offline import Asker, index_olds
from controller.cli.strictyaml import StrictYamlError, read_yaml
from controller.clients.certificates import Authority, Validity
from native.api import Api
from native.controlplane import ControlPlane
from tests.builders import a_user
from tests.waiting import eventually

pytestmark = pytest.mark.integration

PLACE = Place("live", 1)
PROBE = "probe"
KINDS = Kinds.of(builtin_kinds())


def test_the_table_of_kinds_is_what_the_api_server_serves(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generated anew it is the same; if not, run `python -m controller.cli.kinds_generate`."""
    written = tmp_path / "kinds.json"
    kept = kinds_generate.TABLE.read_text(encoding="utf-8")
    monkeypatch.setattr(kinds_generate, "TABLE", written)
    kinds_generate.main(["--kubeconfig", str(control_plane.admin_kubeconfig)])
    assert written.read_text(encoding="utf-8") == kept


# Reading


@pytest.fixture(scope="module")
def readings(control_plane: ControlPlane) -> str:
    """The apiVersion of a kind `Reading` that keeps whatever its `spec` is."""
    group = f"check-{uuid4().hex[:8]}.example.com"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything}}},
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"readings.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "readings", "kind": "Reading"},
            "versions": [version],
        },
    }
    plane = control_plane
    plane.kubectl("create", "-f", "-", stdin=json.dumps(definition)).require_ok()
    plane.kubectl("wait", "--for=condition=Established", f"crd/readings.{group}").require_ok()
    return f"{group}/v1"


def by_kubectl(plane: ControlPlane, namespace: str, readings: str, spec: str) -> Json:
    """The spec as the API server stored it, sent by kubectl."""
    head = f"apiVersion: {readings}\nkind: Reading\nmetadata: {{generateName: r-}}\n"
    command = ("create", "-n", namespace, "--validate=false", "-o", "json", "-f", "-")
    done = plane.kubectl(*command, stdin=f"{head}spec:\n{spec}").require_ok()
    return cast("Json", orjson.loads(done.stdout)["spec"])


def by_us(spec: str) -> Json:
    (document,) = read_yaml(f"spec:\n{spec}")
    return cast("dict[str, Json]", document.value)["spec"]


def as_typed(value: Json) -> str:
    """Tells 1, 1.0, true and "1" apart."""
    return json.dumps(value, sort_keys=True)


SPECS = [
    pytest.param("  a: &x {b: 1, c: [yes, 'no']}\n  d: *x\n", id="anchors"),
    pytest.param("  a: &x {b: 1, c: 1}\n  d: {<<: *x, c: 2}\n", id="a merge before its override"),
    pytest.param("  a: &x {b: 1, c: 1}\n  d: {c: 2, <<: *x}\n", id="a merge behind a key"),
    pytest.param("  d: {<<: [{a: 1, b: 1}, {a: 2, c: 2}]}\n", id="a merge of two"),
    pytest.param("  a: !!str 1\n  b: !!int '3'\n  c: !!float 3\n  d: ! 1\n", id="tags"),
    pytest.param("  a: 2026-01-02\n  b: 2026-01-02T03:04:05Z\n  c: 12:30:45\n", id="times"),
    pytest.param("  a: |\n    x\n\n    y\n  b: >-\n    x\n    y\n", id="blocks"),
    pytest.param("  a: ~\n  b:\n  c: ''\n  d: null\n  e: []\n  f: {}\n", id="nothing"),
    pytest.param("  a: 'é\u2028😀'\n  b: \"\\u00e9\\x41\\t\"\n", id="characters"),
    pytest.param(
        "  a: [9223372036854775807, -9223372036854775808, 1e3, 1.5e-7, 1e400, 1e20]\n"
        "  b: [9223372036854775808, 18446744073709551615, 18446744073709551616, 1e21]\n"
        "  c: [1.2345678901234567e18, -1e19, 9007199254740993.0]\n"
        "  d: [0xFFFFFFFFFFFFFFFF, 0x10000000000000000, -0x8000000000000000, 1e-400]\n",
        id="large and small numbers",
    ),
]


@pytest.mark.parametrize("spec", SPECS)
def test_yaml_is_read_as_kubectl_reads_it(
    spec: str, control_plane: ControlPlane, namespace: str, readings: str
) -> None:
    theirs = by_kubectl(control_plane, namespace, readings, spec)
    assert as_typed(by_us(spec)) == as_typed(theirs)


def scalars() -> Iterator[str]:
    """Every plain scalar of up to three of these characters, and words in every case."""
    for length in (1, 2, 3):
        for characters in itertools.product("01789+-._eExXobBf:", repeat=length):
            yield "".join(characters)
    for word in ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"):
        cases = itertools.product(*({letter.lower(), letter.upper()} for letter in word))
        yield from ("".join(case) for case in cases)


def is_plain_scalar(text: str) -> bool:
    try:
        (document,) = read_yaml(f"- {text}\n")
    except (StrictYamlError, ValueError):
        return False
    return isinstance(document.value, list) and not isinstance(document.value[0], list | dict)


def test_every_short_scalar_is_read_as_kubectl_reads_it(
    control_plane: ControlPlane, namespace: str, readings: str
) -> None:
    texts = [text for text in scalars() if is_plain_scalar(text)]
    assert len(texts) > 5000
    spec = "  a:\n" + "".join(f"  - {text}\n" for text in texts)
    theirs = cast("dict[str, list[Json]]", by_kubectl(control_plane, namespace, readings, spec))
    ours = cast("dict[str, list[Json]]", by_us(spec))
    differing = {
        text: (mine, other)
        for text, mine, other in zip(texts, ours["a"], theirs["a"], strict=True)
        if as_typed(mine) != as_typed(other)
    }
    assert differing == {}


# Asking


@dataclass(slots=True)
class Recorder:
    """A webhook that grants everything and keeps what it was asked."""

    authority: bytes
    url: str = ""
    asked: list[bytes] = field(default_factory=list[bytes])
    is_probed: threading.Event = field(default_factory=threading.Event)

    def take(self, body: bytes) -> bytes:
        """Keep a review, unless it is a probe; gives the answer."""
        review = orjson.loads(body)
        if review["request"]["name"] == PROBE:
            self.is_probed.set()
        else:
            self.asked.append(body)
        review["response"] = {"uid": review["request"]["uid"], "allowed": True}
        return orjson.dumps(review)

    def only(self) -> AdmissionRequest:
        """The one review that was asked for."""
        (body,) = self.asked
        return read_review(body)


@contextmanager
def recording(folder: Path) -> Generator[Recorder, None, None]:
    validity = Validity.lasting(timedelta(hours=1), now=datetime.now(UTC))
    authority = Authority.create("recorder", validity=validity)
    pair = authority.issue_server("recorder", sans=["127.0.0.1"], validity=validity)
    files = pair.write(folder, "recorder")
    recorder = Recorder(authority.certificate)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = recorder.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        recorder.url = f"https://127.0.0.1:{server.server_address[1]}/"
        yield recorder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Live:
    """The API server as one user, whose dry runs a recorder is asked about."""

    user: Api
    recorder: Recorder
    namespace: str

    def send(self, method: str, path: str, body: Json = None) -> AdmissionRequest:
        """One dry run, and what the webhook was asked about it."""
        self.recorder.asked.clear()
        content = cast("Mapping[str, object] | None", body)
        answer = self.user.call(method, f"{path}?dryRun=All", content)
        assert answer.ok, answer.text
        return self.recorder.only()

    def made(
        self, body: Json, operation: Operation = Operation.CREATE, *, old: Json = None
    ) -> AdmissionRequest:
        """What `governor check` takes the API server to ask."""
        stored = [] if old is None else [a_manifest(old)]
        olds = index_olds(stored, kinds=KINDS, namespace=self.namespace)
        asker = Asker(KINDS, a_user(), operation, self.namespace, olds)
        return asker.ask(a_manifest(body)).request


def a_manifest(body: Json) -> Manifest:
    assert isinstance(body, dict)
    return Manifest(PLACE, body)


@pytest.fixture
def live(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Live]:
    """A user of its own for each test, so that no other test's writes are recorded."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    admin = control_plane.admin
    with recording(tmp_path) as recorder:
        body = a_registration(namespace, recorder)
        assert admin.call("POST", path, body).status == 201
        try:
            user = control_plane.api_for_user(namespace, ["system:masters"])
            wait_until_asked(user, namespace, recorder)
            yield Live(user, recorder, namespace)
        finally:
            admin.call("DELETE", f"{path}/{namespace}")


def a_registration(username: str, recorder: Recorder) -> dict[str, object]:
    everything = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "resources": ["*/*"],
        "operations": ["*"],
    }
    authority = base64.b64encode(recorder.authority).decode()
    webhook = {
        "name": "recorder.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "timeoutSeconds": 10,
        "clientConfig": {"url": recorder.url, "caBundle": authority},
        "matchConditions": [
            {"name": "ours", "expression": f"request.userInfo.username == '{username}'"}
        ],
        "rules": [everything],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": username},
        "webhooks": [webhook],
    }


def wait_until_asked(user: Api, namespace: str, recorder: Recorder) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": PROBE}}

    def is_asked() -> bool:
        path = f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All"
        assert user.call("POST", path, body).ok
        return recorder.is_probed.is_set()

    eventually(is_asked, "the recorder is asked")


def a_deployment(**metadata: Json) -> dict[str, Json]:
    container: Json = {"name": "web", "image": "registry.example.com/web:1"}
    labels: Json = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": dict(metadata),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
        "status": {"readyReplicas": 99},
    }


RUNTIME_CLASS: dict[str, Json] = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "check-runtime", "namespace": "elsewhere"},
    "handler": "runsc",
}
NAMESPACE: dict[str, Json] = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "check-namespace"},
}
CONFIGMAP: dict[str, Json] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings"},
    "data": {"mode": "dark"},
}


def envelope(request: AdmissionRequest) -> tuple[object, ...]:
    """All but the user, the objects and the ids."""
    options = request.options or {}
    return (
        request.operation,
        request.target,
        request.namespace,
        request.name,
        request.is_collection,
        request.verbs,
        options.get("apiVersion"),
        options.get("kind"),
        request.obj is None,
        request.old is None,
    )


def metadata(obj: Mapping[str, Json] | None) -> dict[str, Json]:
    """What a client may write of it."""
    found = (obj or {}).get("metadata")
    assert isinstance(found, dict)
    return {key: found[key] for key in ("name", "namespace", "labels") if key in found}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/api/v1/namespaces/{}/configmaps", CONFIGMAP, id="a namespaced object"),
        pytest.param(
            "/apis/apps/v1/namespaces/{}/deployments", a_deployment(name="web"), id="of a group"
        ),
        pytest.param(
            "/apis/node.k8s.io/v1/runtimeclasses",
            {**RUNTIME_CLASS, "metadata": {"name": "check-runtime"}},
            id="a cluster-scoped object",
        ),
        pytest.param("/api/v1/namespaces", NAMESPACE, id="a Namespace"),
    ],
)
def test_a_create_is_asked_as_the_api_server_asks(
    path: str, body: dict[str, Json], live: Live
) -> None:
    theirs = live.send("POST", path.format(live.namespace), body)
    ours = live.made(body)
    assert envelope(ours) == envelope(theirs)
    assert metadata(ours.obj) == {
        key: value for key, value in metadata(theirs.obj).items() if key != "labels"
    }
    assert "readyReplicas" not in json.dumps(dict(theirs.obj or {}).get("status", {}))
    assert "status" not in (ours.obj or {})


def test_a_generated_name_is_as_long_as_the_api_servers(live: Live) -> None:
    body: dict[str, Json] = {**CONFIGMAP, "metadata": {"generateName": "b" * 80}}
    theirs = live.send("POST", f"/api/v1/namespaces/{live.namespace}/configmaps", body)
    ours = live.made(body)
    assert len(theirs.name) == len(ours.name) == 63
    assert theirs.name[:58] == ours.name[:58]
    assert metadata(theirs.obj)["name"] == theirs.name


def test_an_update_is_asked_and_changes_as_the_api_server_says(live: Live) -> None:
    collection = f"/apis/apps/v1/namespaces/{live.namespace}/deployments"
    created = live.user.call("POST", collection, a_deployment(name="web"))
    assert created.status == 201, created.text

    def stored_by_all() -> "dict[str, Json] | None":
        """Its controller annotates it; a version in between would differ from what is sent."""
        found = cast("dict[str, Json]", live.user.call("GET", f"{collection}/web").json)
        return found if "annotations" in cast("dict[str, Json]", found["metadata"]) else None

    stored = eventually(stored_by_all, "the controller has annotated the Deployment")
    assert stored is not None
    spec = cast("dict[str, Json]", stored["spec"])
    new: dict[str, Json] = {
        **stored,
        "metadata": {"name": "web", "labels": {"team": "data"}},
        "spec": {**spec, "replicas": 5},
        "status": {"readyReplicas": 99},
    }
    theirs = live.send("PUT", f"{collection}/web", new)
    ours = live.made(new, Operation.UPDATE, old=stored)
    assert envelope(ours) == envelope(theirs)
    changed = {path[:2] for path in changed_fields(ours.old, ours.obj).fields}
    assert changed == {path[:2] for path in changed_fields(theirs.old, theirs.obj).fields}
    assert ("spec", "replicas") in changed
    assert "status" not in {path[0] for path in changed}


NOBODY: dict[str, Json] = {}


@pytest.mark.requirement("fail-closed.every-change-seen")
@pytest.mark.parametrize(
    ("sent", "is_lost"),
    [
        pytest.param(None, False, id="null"),
        pytest.param([], True, id="an empty list"),
        pytest.param([NOBODY], True, id="an empty entry"),
    ],
)
def test_field_ownership_is_lost_where_the_api_server_forgets_it(
    live: Live, sent: Json, *, is_lost: bool
) -> None:
    collection = f"/api/v1/namespaces/{live.namespace}/configmaps"
    body: dict[str, Json] = {**CONFIGMAP, "metadata": {"name": "owned"}, "data": {"a": "1"}}
    created = live.user.call("POST", collection, body)
    assert created.status == 201, created.text
    stored = cast("dict[str, Json]", created.json)
    assert cast("dict[str, Json]", stored["metadata"])["managedFields"]
    new: dict[str, Json] = {**stored, "metadata": {"name": "owned", "managedFields": sent}}
    theirs = live.send("PUT", f"{collection}/owned", new)
    ours = live.made(new, Operation.UPDATE, old=stored)
    for request in (ours, theirs):
        found = changed_fields(request.old, request.obj).fields
        assert (("metadata", "managedFields") in found) == is_lost


def test_a_delete_is_asked_as_the_api_server_asks(live: Live) -> None:
    collection = f"/api/v1/namespaces/{live.namespace}/configmaps"
    live.send("POST", collection, CONFIGMAP)
    assert live.user.call("POST", collection, CONFIGMAP).status == 201
    theirs = live.send("DELETE", f"{collection}/settings")
    ours = live.made(CONFIGMAP, Operation.DELETE)
    assert envelope(ours) == envelope(theirs)
    assert metadata(ours.old) == metadata(theirs.old)
