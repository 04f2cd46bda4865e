"""A webhook that stamps like Governor's and keeps every review: for tests on a bare cluster.

It serves TLS on a loopback port, registers itself for one namespace (and for what is
cluster-scoped and named after it), allows everything, and judges nothing.
"""

import base64
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ulid import ULID

from controller.admission.review import read_review
from controller.apis.requests import AdmissionRequest
from controller.asks.asked import Surroundings, asked_by
from controller.asks.ownership import owner_after
from controller.clients.certificates import Authority, Files, Validity
from controller.mutation.stamp import Mutation, plan_mutation, write_mutation_answer
from native.controlplane import ControlPlane

STAMP_KEY = b"s" * 32
CONTENT_KEY = b"c" * 32
OWNER = "recorded"
"""Whose the objects become; the administrator plays this agent."""


@dataclass
class Recorder:
    """What the webhook saw, in order."""

    reviews: list[AdmissionRequest] = field(default_factory=list[AdmissionRequest])
    """Of the validating call: final objects."""
    mutations: list[Mutation] = field(default_factory=list[Mutation])
    """Of the mutating call."""

    def take(self) -> list[AdmissionRequest]:
        """The reviews since the last time."""
        taken, self.reviews = self.reviews, []
        return taken

    def answer(self, path: str, body: bytes) -> bytes:
        """Stamp in `/mutate`, allow in `/validate`."""
        request = read_review(body)
        if path.startswith("/mutate"):
            asked = asked_by(request, Surroundings())
            owner = owner_after(request, agent=OWNER, asked=asked)
            mutation = plan_mutation(request, change=str(ULID()), key=STAMP_KEY, owner=owner)
            self.mutations.append(mutation)
            return write_mutation_answer(request.uid, mutation)
        self.reviews.append(request)
        return write_mutation_answer(request.uid, Mutation())


@contextmanager
def recording(
    plane: ControlPlane, namespace: str, directory: Path
) -> Generator[Recorder, None, None]:
    """Stamp and record every write by the administrator to one namespace."""
    recorder = Recorder()
    authority = Authority.create("recording webhook", validity=_validity())
    files = authority.issue_server("recording", sans=["127.0.0.1"], validity=_validity()).write(
        directory, "recording"
    )
    server = _server(recorder, files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with _registered(plane, namespace, authority, port=server.server_address[1]):
            yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _validity() -> Validity:
    return Validity.lasting(timedelta(days=1), now=datetime.now(UTC))


def _server(recorder: Recorder, files: Files) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = recorder.answer(self.path, body)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Say nothing: warnings and output of a test are its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


@contextmanager
def _registered(
    plane: ControlPlane, namespace: str, authority: Authority, *, port: int
) -> Generator[None, None, None]:
    bundle = base64.b64encode(authority.pair.certificate).decode()
    created: list[str] = []
    try:
        for kind in ("Mutating", "Validating"):
            path = f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}webhookconfigurations"
            call = "mutate" if kind == "Mutating" else "validate"
            webhook = _webhook(namespace, bundle, f"https://127.0.0.1:{port}/{call}")
            if kind == "Mutating":
                webhook["reinvocationPolicy"] = "IfNeeded"
            body = {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": f"{kind}WebhookConfiguration",
                "metadata": {"name": f"recording-{namespace}"},
                "webhooks": [webhook],
            }
            answer = plane.admin.call("POST", path, body)
            assert answer.status == 201, answer.text
            created.append(f"{path}/recording-{namespace}")
        yield
    finally:
        for path in created:
            plane.admin.call("DELETE", path)


def _webhook(namespace: str, bundle: str, url: str) -> dict[str, Any]:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "scope": "*"}
    place = (
        f"request.?namespace.orValue('') == '{namespace}' || "
        f"request.?name.orValue('').startsWith('{namespace}')"
    )
    return {
        "name": f"{url.rpartition('/')[2]}.recording.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 10,
        "failurePolicy": "Fail",
        "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [{**everything, "operations": ["*"]}],
        "matchConditions": [
            {"name": "place", "expression": place},
            {"name": "administrator", "expression": "request.userInfo.username == 'admin'"},
        ],
    }
