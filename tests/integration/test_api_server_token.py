"""What the real API server shows to a webhook, and whether we know it by that."""

import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from controller.clients.tokens import TokenFile
from controller.feeds.certificates import CertificateFeed, CertificatePolicy
from native.api import Api
from native.controlplane import ControlPlane
from tests.builders import a_review
from tests.governed import Cluster, TestAgent
from tests.waiting import eventually
from webhooks.credentials import ExpectedCaller

pytestmark = [pytest.mark.integration, pytest.mark.requirement("fail-closed.expected-caller")]

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations"


@dataclass
class Desk:
    """A webhook that allows whatever the expected caller asks, and notes who was refused."""

    server: ThreadingHTTPServer
    certificates: CertificateFeed
    authority: Path
    """The CA to trust."""
    caller: ExpectedCaller
    accepted: list[bool] = field(default_factory=list[bool])

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def tokens(tmp_path: Path, control_plane: ControlPlane) -> Path:
    """A file of our own: an older token, and the one that the API server shows."""
    path = tmp_path / "tokens"
    path.write_bytes(b"an-older-token-0123456789\n" + control_plane.webhook_token.read_bytes())
    return path


@pytest.fixture
def desk(tmp_path: Path, tokens: Path) -> Iterator[Desk]:
    """A running desk."""
    certificates = CertificateFeed(tmp_path / "certificates", CertificatePolicy(("127.0.0.1",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.serve_with(context)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = [
                (name.lower().encode(), value.encode()) for name, value in self.headers.items()
            ]
            running.accepted.append(running.caller.accepts(headers))
            if not running.accepted[-1]:
                self.send_error(401)
                return
            answer = {"uid": orjson.loads(body)["request"]["uid"], "allowed": True}
            review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(orjson.dumps({**review, "response": answer}))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    caller = ExpectedCaller(TokenFile(tokens).current)
    running = Desk(server, certificates, tmp_path / "certificates" / "ca.pem", caller)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield running
    server.shutdown()
    thread.join()
    server.server_close()


def registered(kind: str, desk: Desk, namespace: str) -> dict[str, object]:
    """A configuration that asks the desk about the ConfigMaps of one namespace."""
    bundle = desk.certificates.current.bundle
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind.capitalize()}WebhookConfiguration",
        "metadata": {"name": f"desk-{uuid4().hex[:10]}"},
        "webhooks": [
            {
                "name": "desk.governor.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"url": desk.url, "caBundle": b64encode(bundle).decode()},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["configmaps"],
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize("kind", ["validating", "mutating"])
def test_the_api_server_is_known_by_its_token_and_others_are_refused(
    control_plane: ControlPlane, desk: Desk, namespace: str, kind: str
) -> None:
    path = CONFIGURATIONS.format(kind)
    stored = control_plane.admin.call("POST", path, registered(kind, desk, namespace))
    assert stored.status == 201, stored.text
    try:
        eventually(lambda: _write(control_plane, namespace) and desk.accepted, "it is asked")
        assert set(desk.accepted) == {True}
    finally:
        control_plane.admin.call("DELETE", f"{path}/{stored.json['metadata']['name']}")

    review = {"request": {"uid": "bogus"}}
    for stranger in (
        Api(desk.url, desk.authority),
        Api(desk.url, desk.authority, token="a-token-that-was-guessed"),
    ):
        assert stranger.call("POST", "/", review).status == 401


def test_a_write_is_refused_when_the_api_server_shows_what_we_do_not_expect(
    control_plane: ControlPlane, desk: Desk, namespace: str, tokens: Path
) -> None:
    tokens.write_bytes(b"a-token-that-it-does-not-have")
    path = CONFIGURATIONS.format("validating")
    stored = control_plane.admin.call("POST", path, registered("validating", desk, namespace))
    assert stored.status == 201, stored.text
    try:
        eventually(lambda: not _write(control_plane, namespace), "a write that is refused")
        assert set(desk.accepted) == {False}
        tokens.write_bytes(control_plane.webhook_token.read_bytes())
        assert _write(control_plane, namespace)
    finally:
        control_plane.admin.call("DELETE", f"{path}/{stored.json['metadata']['name']}")


def _write(plane: ControlPlane, namespace: str) -> bool:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "probe-"}}
    return plane.admin.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", body).ok


@pytest.mark.parametrize("path", ["/validate", "/mutate"])
def test_a_review_that_the_api_server_did_not_send_is_not_answered(
    cluster: Cluster, agent: TestAgent, path: str
) -> None:
    """The running product: bogus reviews get no verdict; the agent's own writes are judged."""
    site, review = cluster.governor.site, orjson.loads(a_review())
    authority = site.certificates / "ca.pem"

    for stranger in (
        Api(site.url, authority),
        Api(site.url, authority, token="a-token-that-was-guessed"),
        # The agent's own token: the API server knows it, but it is not the API server's.
        Api(site.url, authority, token=cluster.plane.service_account_token(agent.name, agent.name)),
    ):
        answer = stranger.call("POST", path, review)
        assert answer.status == 401, answer.text
        assert "only the API server may ask" in answer.text
    known = Api(site.url, authority, token=cluster.plane.webhook_token.read_text("ascii"))
    assert known.call("POST", path, review).status == 200
    assert agent.create_deployment("by-the-api-server").passed
    assert site.get("/healthz")[0] == site.get("/readyz")[0] == 200
