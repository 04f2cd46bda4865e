"""The subject registration on a real API server: whom it selects, and that it stays.

A small HTTPS server stands where the webhook will be and counts who is asked about.
"""

import asyncio
import base64
import contextlib
import json
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from controller.accounts.account import Account, Fence
from controller.accounts.encoding import account_to_object
from controller.clients.kube.backoff import Backoff
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.informer import Pace
from controller.feeds.accounts import AccountFeed
from controller.feeds.certificates import CertificateFeed, CertificatePolicy
from controller.feeds.registry import RegistryFeed
from controller.manager import run_reconcile
from controller.registration.subject import (
    SUBJECT_CONFIGURATION,
    SubjectRegistration,
    Target,
    UrlEndpoint,
    render_subject_registration,
)
from controller.settings import ReconcileSettings
from native.api import Answer, Api
from native.controlplane import ControlPlane
from reconcilers.registration import RegistrationLoop, RegistrationSettings
from tests.waiting import eventually

pytestmark = pytest.mark.integration

_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
VALIDATING = f"{_ADMISSION}/validatingwebhookconfigurations/{SUBJECT_CONFIGURATION}"
MUTATING = f"{_ADMISSION}/mutatingwebhookconfigurations/{SUBJECT_CONFIGURATION}"
HALVES = (VALIDATING, MUTATING)
ACCOUNTS = "/apis/governor.dev/v1alpha1/accounts"
MANDATES = "/apis/governor.dev/v1alpha1/mandates"
GOVERNANCES = "/apis/governor.dev/v1alpha1/governances"
PRICEBOOKS = "/apis/governor.dev/v1alpha1/pricebooks"
MERGE = "application/merge-patch+json"
OWN = "governor:webhook"


@dataclass
class Desk:
    """Where the API server asks: it notes each call, and allows it unless told otherwise."""

    server: ThreadingHTTPServer
    context: ssl.SSLContext
    certificates: CertificateFeed
    calls: list[str] = field(default_factory=list[str])
    stamps: list[str] = field(default_factory=list[str])
    """What `/mutate` was asked about; `calls` are those of `/validate`."""
    allows: bool = True

    @property
    def target(self) -> Target:
        """How the API server finds it."""
        port = self.server.server_address[1]
        return Target(UrlEndpoint(f"https://127.0.0.1:{port}"), self.certificates.current.bundle)

    def asked(self, by: Callable[[], object]) -> list[str]:
        """What the desk is asked about while something is done."""
        before = len(self.calls)
        by()
        return self.calls[before:]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A running desk with certificates of its own."""
    # Three hours, of which two and a half are over: so a rotation is due as soon as it is looked.
    started = datetime.now(UTC) - timedelta(hours=2.5)
    times = [started]
    feed = CertificateFeed(
        tmp_path / "certificates",
        CertificatePolicy(
            sans=("127.0.0.1",),
            authority_lifetime=timedelta(hours=3),
            server_lifetime=timedelta(hours=3),
            settling=timedelta(0),
        ),
        clock=lambda: times.pop() if times else datetime.now(UTC),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    feed.serve_with(context)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            request = json.loads(self.rfile.read(length))["request"]
            path = self.path.partition("?")[0]
            {"/validate": running.calls, "/mutate": running.stamps}[path].append(_describe(request))
            body = json.dumps(
                {
                    "apiVersion": "admission.k8s.io/v1",
                    "kind": "AdmissionReview",
                    # Stamping denies nothing.
                    "response": {
                        "uid": request["uid"],
                        "allowed": running.allows or path == "/mutate",
                    },
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    running = Desk(server, context, feed)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield running
    server.shutdown()
    thread.join()
    server.server_close()


def _describe(request: dict[str, Any]) -> str:
    resource = request["resource"]["resource"]
    if request.get("subResource"):
        resource = f"{resource}/{request['subResource']}"
    return f"{request['operation']} {resource}"


@pytest.fixture
def plane(control_plane: ControlPlane, repository: Path) -> Iterator[ControlPlane]:
    """The control plane with our kinds; without registration and what people wrote after."""
    crds = repository / "manifests" / "crds"
    control_plane.kubectl("apply", "--server-side", "-f", str(crds)).require_ok()
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all").require_ok()
    yield control_plane
    # First: were the administrator selected by it, the others could not be deleted.
    for path in HALVES:
        control_plane.admin.call("DELETE", path)
    for path in (MANDATES, GOVERNANCES, PRICEBOOKS, ACCOUNTS):
        assert control_plane.admin.call("DELETE", path).ok


def store(plane: ControlPlane, registration: SubjectRegistration) -> None:
    """Store a registration; the API server must take it without a warning."""
    for configuration in (registration.validating, registration.mutating):
        done = plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(configuration))
        assert done.require_ok().stderr == ""


def an_agent(plane: ControlPlane, namespace: str, name: str = "agent") -> Api:
    """A ServiceAccount that RBAC allows everything."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    assert plane.admin.call("POST", path, account).ok
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{namespace}-{name}"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
    }
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert plane.admin.call("POST", roles, binding).ok
    api = plane.api_for_service_account(namespace, name)
    # RBAC is a cache: wait until it knows the binding.
    eventually(lambda: api.call("GET", "/api/v1/nodes").ok, "the rights of the agent")
    return api


def write_configmap(api: Api, namespace: str, headers: dict[str, str] | None = None) -> Answer:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"cm-{uuid4().hex[:8]}"},
    }
    return api.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", body, headers=headers)


def a_deployment(name: str = "web") -> dict[str, object]:
    labels = {"app": name}
    container = {"name": "c", "image": "registry.example.com/c:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def an_event(namespace: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"e-{uuid4().hex[:8]}", "namespace": namespace},
        "involvedObject": {"kind": "ConfigMap", "namespace": namespace, "name": "x"},
    }


def a_pod() -> dict[str, object]:
    container = {"name": "c", "image": "registry.example.com/c:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [container]},
    }


# --- whom it selects ---------------------------------------------------------------------------


@pytest.mark.requirement("fail-closed.registration")
@pytest.mark.parametrize("by", ["namespace", "username"])
def test_every_write_of_an_agent_is_asked_about(
    plane: ControlPlane, namespace: str, desk: Desk, by: str
) -> None:
    agent = an_agent(plane, namespace)
    username = f"system:serviceaccount:{namespace}:agent"
    store(
        plane,
        render_subject_registration(
            usernames=[username] if by == "username" else [],
            dedicated_namespaces=[namespace] if by == "namespace" else [],
            own_usernames=[OWN],
            target=desk.target,
        ),
    )
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l"},
    }
    scale = {"spec": {"replicas": 3}}

    def work() -> None:
        assert write_configmap(agent, namespace).status == 201
        assert agent.call("POST", f"{apps}/deployments", a_deployment()).status == 201
        scaled = agent.call("PATCH", f"{apps}/deployments/web/scale", scale, content_type=MERGE)
        assert scaled.ok, scaled.text
        assert agent.call("POST", f"{core}/events", an_event(namespace)).status == 201
        assert agent.call("POST", leases, lease).status == 201
        assert agent.call("POST", f"{core}/pods", a_pod()).status == 201
        # There is no kubelet, so it cannot succeed; it must be asked about all the same.
        agent.call("POST", f"{core}/pods/p/exec?command=id&container=c&stdout=true")
        assert agent.call("DELETE", f"{core}/pods/p?gracePeriodSeconds=0").ok
        assert agent.call("DELETE", f"{core}/configmaps").ok
        assert agent.call("GET", f"{core}/configmaps").ok

    asked = desk.asked(work)
    assert list(dict.fromkeys(desk.stamps)) == [
        "CREATE configmaps",
        "CREATE deployments",
        "UPDATE deployments/scale",
        "CREATE events",
        "CREATE leases",
        "CREATE pods",
    ]
    assert list(dict.fromkeys(asked)) == [
        "CREATE configmaps",
        "CREATE deployments",
        "UPDATE deployments/scale",
        "CREATE events",
        "CREATE leases",
        "CREATE pods",
        "CONNECT pods/exec",
        "DELETE pods",
        "DELETE configmaps",
    ]


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
def test_nobody_else_is_asked_about(plane: ControlPlane, namespace: str, desk: Desk) -> None:
    stranger = an_agent(plane, namespace, name="not-an-agent")
    node = plane.api_for_user("system:node:n1", ["system:nodes"])
    own = plane.api_for_user(OWN, ["system:masters"])
    store(
        plane,
        render_subject_registration(
            usernames=[f"system:serviceaccount:{namespace}:agent", OWN],
            dedicated_namespaces=["some-namespace-of-agents"],
            own_usernames=[OWN],
            target=desk.target,
        ),
    )

    def work() -> None:
        for api in (plane.admin, stranger, own):
            assert write_configmap(api, namespace).status == 201
        path = "/api/v1/namespaces/default/events"
        answer = node.call("POST", path, an_event("default"))
        assert answer.status == 201, answer.text

    assert desk.asked(work) == []
    assert desk.stamps == []


@pytest.mark.requirement("fail-closed.authenticated-identity")
def test_impersonation_that_drops_or_borrows_a_group_does_not_escape(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    an_agent(plane, namespace)
    store(
        plane,
        render_subject_registration(
            usernames=[],
            dedicated_namespaces=[namespace],
            own_usernames=[OWN],
            target=desk.target,
        ),
    )
    agent = {"Impersonate-User": f"system:serviceaccount:{namespace}:agent"}
    by_name = {**agent, "Impersonate-Group": "system:masters"}
    by_group = {"Impersonate-User": "x", "Impersonate-Group": f"system:serviceaccounts:{namespace}"}
    admin = plane.admin
    asked = desk.asked(lambda: write_configmap(admin, namespace, agent))
    assert asked == ["CREATE configmaps"]
    asked = desk.asked(lambda: write_configmap(admin, namespace, by_name))
    assert asked == ["CREATE configmaps"]
    # Not allowed by RBAC, so admission is not reached: a group alone must be given the rights.
    _bind_group(plane, f"system:serviceaccounts:{namespace}")
    eventually(lambda: write_configmap(admin, namespace, by_group).status == 201, "its rights")
    asked = desk.asked(lambda: write_configmap(admin, namespace, by_group))
    assert asked == ["CREATE configmaps"]


def _bind_group(plane: ControlPlane, group: str) -> None:
    name = f"group-{uuid4().hex[:8]}"
    plane.kubectl(
        "create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--group={group}"
    ).require_ok()


@pytest.mark.requirement("fail-closed.registration")
def test_with_nobody_listening_agents_are_refused_and_all_others_pass(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    agent = an_agent(plane, namespace)
    target = Target(UrlEndpoint("https://127.0.0.1:9"), desk.target.ca_bundle)
    store(
        plane,
        render_subject_registration(
            usernames=[f"system:serviceaccount:{namespace}:agent"],
            dedicated_namespaces=[],
            own_usernames=[OWN],
            target=target,
        ),
    )
    refused = write_configmap(agent, namespace)
    assert refused.status == 500
    assert "failed calling webhook" in refused.text
    assert agent.call("GET", f"/api/v1/namespaces/{namespace}/configmaps").ok
    assert write_configmap(plane.admin, namespace).status == 201


@pytest.mark.parametrize(
    "username",
    [
        pytest.param("o'brien", id="single quote"),
        pytest.param('say "hi"', id="double quotes"),
        pytest.param("ends with \\", id="backslash at the end"),
        pytest.param('"] || true || "" in ["', id="an attempt to break out"),
        pytest.param("\\u0041gent", id="what looks like an escape"),
        pytest.param("${x} {{y}} %s", id="templates"),
        pytest.param("naïve Ærø 日本", id="other letters"),
        pytest.param("agent \U0001f916", id="beyond the basic plane"),
        pytest.param("a\u202eb\u200bc\ufeff", id="invisible"),
        pytest.param("tab\there", id="tab"),
        pytest.param("line\nbreak", id="newline"),
        pytest.param("\x7f\x85\u2028", id="controls that YAML refuses"),
    ],
)
def test_a_username_means_itself_whatever_is_in_it(
    plane: ControlPlane, namespace: str, desk: Desk, username: str
) -> None:
    named = plane.api_for_user(username, ["system:masters"])
    other = plane.api_for_user(username + ".", ["system:masters"])
    store(
        plane,
        render_subject_registration(
            usernames=[username],
            dedicated_namespaces=[],
            own_usernames=[OWN],
            target=desk.target,
        ),
    )
    asked = desk.asked(lambda: write_configmap(named, namespace))
    assert asked == ["CREATE configmaps"]
    assert desk.asked(lambda: write_configmap(other, namespace)) == []
    assert desk.asked(lambda: write_configmap(plane.admin, namespace)) == []


def test_the_largest_registration_is_stored_selects_and_harms_no_one_with_many_groups(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    namespaces = [f"{'n' * 58}{number:05d}" for number in range(1024)]
    usernames = [f"system:serviceaccount:team-{n:05d}:agent-{n:06d}" for n in range(14_000)]
    last = plane.api_for_user(max(usernames), ["system:masters"])
    in_both = plane.api_for_user(
        max(usernames), ["system:masters", f"system:serviceaccounts:{namespaces[7]}"]
    )
    registration = render_subject_registration(
        usernames=usernames,
        dedicated_namespaces=namespaces,
        own_usernames=[OWN],
        target=desk.target,
    )
    assert len(cast("list[object]", registration.validating["webhooks"])) > 1
    store(plane, registration)
    # The API server reads what was stored by a watch of its own, and this much takes a moment.
    eventually(
        lambda: desk.asked(lambda: write_configmap(last, namespace)) == ["CREATE configmaps"],
        "the largest registration is in force",
    )
    assert desk.asked(lambda: write_configmap(in_both, namespace)) == ["CREATE configmaps"]
    groups = [f"--as-group=oidc:{'g' * 40}-{number}" for number in range(1000)]
    person = ["--as=alice@example.com", "--as-group=system:masters", *groups]
    created = plane.kubectl("create", "configmap", "hers", "-n", namespace, *person)
    assert created.ok, created.stderr


# --- that it stays -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def governing(
    plane: ControlPlane, desk: Desk, target: Callable[[], Target] | None = None
) -> AsyncGenerator[RegistrationLoop]:
    """The feeds and the loop, running."""
    pace = Pace(backoff=Backoff(first=0.05, longest=0.5))
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
        feed, accounts = RegistryFeed(client, pace=pace), AccountFeed(client, pace=pace)
        settings = RegistrationSettings(
            target=target or (lambda: desk.target), own_usernames=frozenset([OWN])
        )
        loop = RegistrationLoop(client, feed, accounts, settings, pace=pace)
        tasks = [asyncio.create_task(part.run()) for part in (feed, accounts, loop)]
        try:
            await asyncio.wait_for(loop.stored.wait(), 20)
            yield loop
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def mandate(
    plane: ControlPlane, namespace: str, name: str = "", *, fenced: bool = True, **spec: object
) -> str:
    """Create a Mandate of the namespace's agent, and its Account; returns its path."""
    name = name or f"m-{namespace[-12:]}"
    body = {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": name},
        "spec": {
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": "agent"}],
            **spec,
        },
    }
    answer = plane.admin.call("POST", MANDATES, body)
    assert answer.status == 201, answer.text
    path = f"{MANDATES}/{name}"
    if fenced:
        fence(plane, path)
    return path


def fence(plane: ControlPlane, path: str) -> None:
    """Copy the Mandate's newest generation into its Account, as the settler does."""
    stored = plane.admin.call("GET", path).json
    name, generation = stored["metadata"]["name"], stored["metadata"]["generation"]
    suspended = bool(stored["spec"].get("suspend"))
    account = Account(name, Fence(stored["metadata"]["uid"], generation, suspended))
    where = f"{ACCOUNTS}/{name}"
    found = plane.admin.call("GET", where)
    if not found.ok:
        created = plane.admin.call(
            "POST", ACCOUNTS, account_to_object(account, metadata={"name": name})
        )
        assert created.status == 201, created.text
        return
    body = account_to_object(account, metadata=found.json["metadata"])
    swapped = plane.admin.call("PUT", where, body)
    assert swapped.ok, swapped.text


def conditions(plane: ControlPlane, path: str) -> dict[str, str]:
    """Each condition as `status reason`; empty while the newest generation is not observed."""
    found = plane.admin.call("GET", path).json
    status = found.get("status", {})
    if status.get("observedGeneration") != found["metadata"]["generation"]:
        return {}
    return {c["type"]: f"{c['status']} {c['reason']}" for c in status["conditions"]}


IN_FORCE = {
    "Ready": "True Registered",
    "Suspended": "False NotSuspended",
    "Conflict": "False NoConflict",
}


async def until(holds: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(eventually, holds, what)


def webhooks(plane: ControlPlane, half: str = VALIDATING) -> list[dict[str, Any]] | None:
    answer = plane.admin.call("GET", half)
    return answer.json.get("webhooks", []) if answer.ok else None


def selects_nobody(plane: ControlPlane, half: str) -> bool:
    return webhooks(plane, half) == []


def say(plane: ControlPlane, path: str, expected: dict[str, str]) -> bool:
    return conditions(plane, path) == expected


@pytest.mark.requirement("fail-closed.registration")
async def test_a_mandate_is_ready_when_its_agent_is_asked_about_and_let_go_with_it(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    agent = await asyncio.to_thread(an_agent, plane, namespace)

    async def asked() -> list[str]:
        return await asyncio.to_thread(desk.asked, lambda: write_configmap(agent, namespace))

    async with governing(plane, desk):
        for half in HALVES:
            await until(partial(selects_nobody, plane, half), "it is stored, and empty")
        assert await asked() == []
        path = mandate(plane, namespace)
        await until(lambda: conditions(plane, path) == IN_FORCE, "the mandate is ready")
        assert await asked() == ["CREATE configmaps"]
        assert desk.stamps == ["CREATE configmaps"]
        assert plane.admin.call("DELETE", path).ok
        for half in HALVES:
            await until(partial(selects_nobody, plane, half), "the agent is let go")
        assert await asked() == []


async def test_a_namespace_that_is_dedicated_selects_all_of_its_accounts(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    agent = await asyncio.to_thread(an_agent, plane, namespace, "unregistered")
    body = {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Governance",
        "metadata": {"name": "cluster"},
        "spec": {"dedicatedNamespaces": [namespace]},
    }
    async with governing(plane, desk):
        assert plane.admin.call("POST", GOVERNANCES, body).status == 201
        path = f"{GOVERNANCES}/cluster"
        await until(lambda: conditions(plane, path) == {"Ready": "True Registered"}, "in force")
        asked = await asyncio.to_thread(desk.asked, lambda: write_configmap(agent, namespace))
    assert asked == ["CREATE configmaps"]


async def test_prices_say_that_they_are_in_force_and_of_which_generation(
    plane: ControlPlane, desk: Desk
) -> None:
    path = f"{PRICEBOOKS}/cluster"
    body = {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "PriceBook",
        "metadata": {"name": "cluster"},
        "spec": {"prices": [{"resource": "cpu", "usdPerHour": "0.0316"}]},
    }
    async with governing(plane, desk):
        assert plane.admin.call("POST", PRICEBOOKS, body).status == 201
        await until(lambda: conditions(plane, path) == {"Ready": "True InForce"}, "in force")
        dearer = {"spec": {"prices": [{"resource": "cpu", "usdPerHour": 1}]}}
        assert plane.admin.call("PATCH", path, dearer, content_type=MERGE).ok
        await until(lambda: observed(plane, path) == 2, "the newer prices are in force")
    assert plane.admin.call("GET", path).json["metadata"]["generation"] == 2


def observed(plane: ControlPlane, path: str) -> int | None:
    generation: int | None = plane.admin.call("GET", path).json["status"].get("observedGeneration")
    return generation


@pytest.mark.requirement("fail-closed.registration")
@pytest.mark.parametrize("half", [pytest.param(VALIDATING, id="V"), pytest.param(MUTATING, id="M")])
async def test_a_registration_that_an_administrator_deletes_or_edits_is_restored(
    plane: ControlPlane, namespace: str, desk: Desk, half: str
) -> None:
    path = mandate(plane, namespace)
    never = [{"name": "never", "expression": "false"}]
    async with governing(plane, desk):
        await until(lambda: conditions(plane, path) == IN_FORCE, "the mandate is ready")
        whole = webhooks(plane, half)
        assert whole
        assert plane.admin.call("DELETE", half).ok
        await until(lambda: webhooks(plane, half) == whole, "it is restored after a deletion")
        for edit in (
            {"matchConditions": [*whole[0]["matchConditions"], *never]},
            {"failurePolicy": "Ignore"},
            {"objectSelector": {"matchLabels": {"governed": "true"}}},
            {"namespaceSelector": {"matchLabels": {"governed": "true"}}},
            {"rules": [{**whole[0]["rules"][0], "operations": ["CONNECT"]}]},
        ):
            body = {"webhooks": [{**whole[0], **edit}]}
            patched = plane.admin.call("PATCH", half, body, content_type=MERGE)
            assert patched.ok, patched.text
            assert patched.json["webhooks"] != whole
            await until(lambda: webhooks(plane, half) == whole, f"restored after {list(edit)}")
        added = {"webhooks": [*whole, {**whole[0], "name": "more.example.com"}]}
        assert plane.admin.call("PATCH", half, added, content_type=MERGE).ok
        await until(lambda: webhooks(plane, half) == whole, "a webhook too many is removed")


async def test_a_subject_in_two_mandates_makes_neither_ready_until_one_lets_go(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    one = mandate(plane, namespace, name=f"one-{namespace[-8:]}")
    contested = {**IN_FORCE, "Ready": "False SubjectConflict", "Conflict": "True SubjectConflict"}
    async with governing(plane, desk):
        await until(lambda: conditions(plane, one) == IN_FORCE, "the first is ready")
        two = mandate(plane, namespace, name=f"two-{namespace[-8:]}")
        await until(lambda: conditions(plane, one) == contested, "a conflict in the first")
        await until(lambda: conditions(plane, two) == contested, "a conflict in the second")
        found = plane.admin.call("GET", one).json["status"]["conditions"]
        assert f"two-{namespace[-8:]}" in next(c for c in found if c["type"] == "Ready")["message"]
        assert plane.admin.call("DELETE", two).ok
        await until(lambda: conditions(plane, one) == IN_FORCE, "the first is ready again")


async def test_a_mandate_is_pending_until_its_account_is_fenced_to_it(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    path = mandate(plane, namespace, fenced=False)
    async with governing(plane, desk):
        pending = {**IN_FORCE, "Ready": "False Pending", "Suspended": "Unknown Pending"}
        await until(lambda: conditions(plane, path) == pending, "it waits for its Account")
        assert webhooks(plane), "selected all the same"
        fence(plane, path)
        await until(lambda: conditions(plane, path) == IN_FORCE, "it is ready")


async def test_suspension_and_resumption_are_reported_when_the_account_says_them(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    path = mandate(plane, namespace)
    async with governing(plane, desk):
        await until(lambda: conditions(plane, path) == IN_FORCE, "it is ready")
        for wish, before, after in (
            (True, "False Pending", "True Suspended"),
            (False, "True Suspended", "False NotSuspended"),
        ):
            body = {"spec": {"suspend": wish}}
            assert plane.admin.call("PATCH", path, body, content_type=MERGE).ok
            wished = {**IN_FORCE, "Ready": "False Pending", "Suspended": before}
            await until(partial(say, plane, path, wished), f"suspend={wish} is heard")
            fence(plane, path)
            taken_over = {**IN_FORCE, "Suspended": after}
            await until(partial(say, plane, path, taken_over), f"suspend={wish} holds")


async def test_governor_itself_as_a_subject_is_not_selected_and_not_ready(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    own = plane.api_for_user(OWN, ["system:masters"])
    path = mandate(plane, namespace, subjects=[{"kind": "User", "name": OWN}])
    async with governing(plane, desk):
        refused = {**IN_FORCE, "Ready": "False Invalid"}
        await until(lambda: conditions(plane, path) == refused, "it is refused")
        asked = await asyncio.to_thread(desk.asked, lambda: write_configmap(own, namespace))
    assert asked == []


@contextlib.asynccontextmanager
async def reconciling(plane: ControlPlane, desk: Desk) -> AsyncGenerator[None]:
    """The reconciling process, running as the administrator."""
    certificates = desk.certificates.current.file.parent
    settings = ReconcileSettings(
        kubeconfig=plane.admin_kubeconfig,
        certificates=certificates,
        outbox=certificates.with_name("outbox"),
        ledger=certificates.with_name("ledger"),
        webhook_url=f"https://127.0.0.1:{desk.server.server_address[1]}",
    )
    task = asyncio.create_task(run_reconcile(settings))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.requirement("fail-closed.registration")
async def test_a_mandate_of_the_user_that_governor_runs_as_locks_nobody_out(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    async with connect(Kubeconfig(plane.admin_kubeconfig)) as client:
        own = await client.who_am_i()
    agent = await asyncio.to_thread(an_agent, plane, namespace)
    desk.allows = False
    # First by name: were its status refused, the later one would not get its own.
    first = mandate(
        plane,
        namespace,
        f"a-{namespace[-8:]}",
        fenced=False,
        subjects=[{"kind": "User", "name": own}],
    )
    async with reconciling(plane, desk):
        refused = {**IN_FORCE, "Ready": "False Invalid"}
        await until(lambda: conditions(plane, first) == refused, "its mandate is refused")
        later = mandate(plane, namespace, f"b-{namespace[-8:]}", fenced=False)
        await until(lambda: conditions(plane, later) == IN_FORCE, "the later one is ready")
        assert write_configmap(plane.admin, namespace).status == 201
        assert desk.calls == desk.stamps == []
        assert write_configmap(agent, namespace).status == 400
    assert desk.calls == ["CREATE configmaps"]


async def test_two_loops_at_once_write_nothing_more_once_all_is_in_force(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    path = mandate(plane, namespace)

    def versions() -> list[str]:
        answers = [plane.admin.call("GET", where) for where in (path, *HALVES)]
        return [answer.json["metadata"]["resourceVersion"] for answer in answers]

    async with governing(plane, desk) as first, governing(plane, desk) as second:
        await until(lambda: conditions(plane, path) == IN_FORCE, "the mandate is ready")
        before = versions()
        first.wake()
        second.wake()
        # Both have planned anew when a later mandate, of a user elsewhere, is in force.
        later = mandate(
            plane,
            namespace,
            name=f"later-{namespace[-8:]}",
            subjects=[{"kind": "User", "name": f"user-{namespace}"}],
        )
        await until(lambda: conditions(plane, later) == IN_FORCE, "the later one is ready")
        after = versions()
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert after[2] != before[2]


async def test_a_rotation_of_the_ca_never_makes_the_webhook_unreachable(
    plane: ControlPlane, namespace: str, desk: Desk
) -> None:
    agent = await asyncio.to_thread(an_agent, plane, namespace)
    path = mandate(plane, namespace)

    async def is_asked() -> bool:
        answer = await asyncio.to_thread(write_configmap, agent, namespace)
        return answer.status == 201

    async with governing(plane, desk) as loop:
        desk.certificates.subscribe(lambda _renewed: loop.wake())
        await until(lambda: conditions(plane, path) == IN_FORCE, "the mandate is ready")
        assert await is_asked()
        bundles = [desk.certificates.current.bundle]
        for _ in range(2):
            await desk.certificates.refresh()
            bundle = desk.certificates.current.bundle
            assert bundle not in bundles
            bundles.append(bundle)
            assert await is_asked()
            await until(lambda: _stored_bundle(plane) == desk.target.ca_bundle, "it is stored")
            assert await is_asked()
    counts = [bundle.count(b"BEGIN CERTIFICATE") for bundle in bundles]
    assert counts == [1, 2, 2]


def _stored_bundle(plane: ControlPlane) -> bytes:
    found = webhooks(plane)
    return base64.b64decode(found[0]["clientConfig"]["caBundle"]) if found else b""
