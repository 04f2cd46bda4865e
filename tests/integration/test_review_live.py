"""Every review that a real API server sends is read: none is taken for malformed.

The webhook here only keeps what it is sent; verdicts are tested elsewhere.
"""

import base64
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from controller.admission.review import MalformedReviewError, read_review
from controller.apis.requests import AdmissionRequest
from controller.clients.certificates import Authority, Validity
from native.controlplane import ControlPlane
from tests.waiting import eventually

pytestmark = pytest.mark.integration

POD: dict[str, Any] = {"containers": [{"name": "main", "image": "registry.example.com/app:1"}]}


@dataclass(slots=True)
class Kept:
    """The bodies that arrived, in their order."""

    bodies: list[bytes] = field(default_factory=list[bytes])

    def of(self, namespace: str) -> dict[tuple[str, str], AdmissionRequest]:
        """By operation and resource; a malformed one is an error of the test."""
        found: dict[tuple[str, str], AdmissionRequest] = {}
        for body in [*self.bodies]:
            request = read_review(body)
            if namespace in (request.namespace, request.name):
                found[(request.operation.value, request.target.path)] = request
        return found


def answering(kept: Kept) -> type[BaseHTTPRequestHandler]:
    """A handler that keeps each body and allows the write."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.bodies.append(body)
            uid = orjson.loads(body)["request"]["uid"]
            review = {
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": {"uid": uid, "allowed": True},
            }
            answer = orjson.dumps(review)
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
            """Say nothing: pytest shows what failed."""

    return Handler


@pytest.fixture(scope="module")
def kept(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Every validating review of every write, while these tests run."""
    validity = Validity.lasting(timedelta(hours=1), now=datetime.now(UTC))
    authority = Authority.create("recorder", validity=validity)
    pair = authority.issue_server("recorder", sans=["127.0.0.1"], validity=validity)
    files = pair.write(Path(tmp_path_factory.mktemp("recorder")), "server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    found = Kept()
    with ThreadingHTTPServer(("127.0.0.1", 0), answering(found)) as server:
        server.daemon_threads = True
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        name = f"recorder-{uuid4().hex[:8]}"
        register(control_plane, name, server.server_port, authority.certificate)
        yield found
        control_plane.admin.call("DELETE", f"{WEBHOOKS}/{name}")
        server.shutdown()
        thread.join(10)


WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def register(plane: ControlPlane, name: str, port: int, authority: bytes) -> None:
    rule = {
        "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"],
        "resources": ["*/*"], "scope": "*",
    }  # fmt: skip
    webhook = {
        "name": f"{name}.governor.dev",
        "rules": [rule],
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/",
            "caBundle": base64.b64encode(authority).decode(),
        },
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "timeoutSeconds": 5,
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }
    created = plane.admin.call("POST", WEBHOOKS, configuration)
    assert created.status == 201, created.text


def write(
    plane: ControlPlane, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Call the API server, which must take it."""
    patch = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = plane.admin.call(method, path, body, content_type=patch)
    assert answer.ok, f"{method} {path}: {answer.text}"
    found: dict[str, Any] = answer.json
    return found


def a_deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": {"note": '<&> \u2028 \\ "'}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": POD},
        },
    }


def a_pod(**metadata: Any) -> dict[str, Any]:  # noqa: ANN401 -- metadata of any kind
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": POD}


EVERY_WRITE = {
    ("CREATE", "deployments"),
    ("UPDATE", "deployments"),
    ("UPDATE", "deployments/scale"),
    ("UPDATE", "deployments/status"),
    ("DELETE", "deployments"),
    ("CREATE", "replicasets"),
    ("CREATE", "pods"),
    ("UPDATE", "pods/ephemeralcontainers"),
    ("CREATE", "pods/binding"),
    ("CREATE", "pods/eviction"),
    ("CONNECT", "pods/exec"),
    ("CONNECT", "pods/proxy"),
    ("CREATE", "configmaps"),
    ("DELETE", "configmaps"),
    ("CREATE", "serviceaccounts/token"),
    ("UPDATE", "namespaces"),
    ("CREATE", "leases"),
    ("CREATE", "bindings"),
}


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
def test_no_real_review_is_taken_for_malformed(
    control_plane: ControlPlane, namespace: str, kept: Kept
) -> None:
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
    plane = control_plane
    write(plane, "PATCH", core, {"metadata": {"labels": {"team": "data"}}})
    write(plane, "POST", f"{apps}/deployments", a_deployment("web"))
    write(plane, "PATCH", f"{apps}/deployments/web", {"metadata": {"annotations": {"note": "2"}}})
    write(plane, "PATCH", f"{apps}/deployments/web/scale", {"spec": {"replicas": 2}})
    write(plane, "PATCH", f"{apps}/deployments/web/status", {"metadata": {"labels": {"a": "b"}}})
    write(plane, "POST", f"{core}/pods", a_pod(name="bare"))
    write(plane, "POST", f"{core}/pods", a_pod(generateName="made-"))
    debug = {"name": "debug", "image": "registry.example.com/debug:1"}
    containers = {"spec": {"ephemeralContainers": [debug]}}
    write(plane, "PATCH", f"{core}/pods/bare/ephemeralcontainers", containers)
    for verb in ("exec?command=true", "proxy/path"):  # no kubelet answers, but admission is asked
        plane.admin.call("POST", f"{core}/pods/bare/{verb}")
    node = {"target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"}}
    for path in ("pods/bare/binding", "bindings"):
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bare"}, **node}
        plane.admin.call("POST", f"{core}/{path}", binding)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "bare"}}
    plane.admin.call("POST", f"{core}/pods/bare/eviction", eviction)
    token = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    write(plane, "POST", f"{core}/serviceaccounts/default/token", token)
    for name in ("one", "two"):
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        write(plane, "POST", f"{core}/configmaps", obj)
    write(plane, "DELETE", f"{core}/configmaps")
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "mine"}}
    write(plane, "POST", f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", lease)
    write(plane, "DELETE", f"{apps}/deployments/web?propagationPolicy=Orphan")

    eventually(lambda: kept.of(namespace).keys() >= EVERY_WRITE, "a review of every write")
    reviews = kept.of(namespace)
    assert reviews["DELETE", "configmaps"].is_collection
    assert reviews["DELETE", "configmaps"].name in {"one", "two"}
    assert reviews["UPDATE", "namespaces"].namespace == ""
    assert reviews["UPDATE", "namespaces"].name == namespace
    assert reviews["UPDATE", "deployments/scale"].target.kind == "Scale"
    assert reviews["CREATE", "pods"].name != ""
    assert all(read_all(kept.bodies))


def read_all(bodies: list[bytes]) -> Iterator[bool]:
    """Read every body, of whichever namespace; say which one cannot be read."""
    for body in [*bodies]:
        try:
            read_review(body)
        except MalformedReviewError as error:
            raise AssertionError(f"{error}: {body[:2000]!r}") from error
        yield True
