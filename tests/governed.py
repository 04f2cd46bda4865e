"""A cluster with Governor running, as the end-to-end tests use it.

Everything goes through the product's own entrances: manifests, kubectl with an
agent's token, the two processes' command lines. It asserts nothing by itself.
"""

import json
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from native.components import Binaries, Component, Options
from native.controlplane import ControlPlane
from native.kubectl import Completed
from tests.waiting import eventually
from tour.governor import Running, start_governor
from tour.prepared import account_with_all_rights, install_kinds

_MACHINE_PART = re.compile(r"change=(?P<change>[0-9A-Z]{26}) (?P<json>\{.*\})", re.DOTALL)

DEPLOYMENT_RULE: dict[str, Any] = {
    "apiGroups": ["apps"],
    "resources": ["deployments", "deployments/scale"],
    "verbs": ["get", "create", "update", "patch", "delete"],
}


@dataclass(frozen=True, slots=True)
class Answered:
    """How one command of an actor came out."""

    completed: Completed

    @property
    def passed(self) -> bool:
        """Whether the API server did it."""
        return self.completed.ok

    @property
    def denial(self) -> Mapping[str, Any]:
        """The machine-readable denial; fails where there is none."""
        found = _MACHINE_PART.search(self.completed.stderr)
        assert found is not None, f"no denial in: {self.completed.stderr or self.completed.stdout}"
        denial: Mapping[str, Any] = json.loads(found["json"])
        assert denial["change"] == found["change"]
        return denial

    @property
    def code(self) -> str | None:
        """The code of the denial; None where the command passed."""
        return None if self.passed else str(self.denial["code"])


@dataclass(frozen=True, slots=True)
class Cluster:
    """A control plane and the Governor that watches over it."""

    plane: ControlPlane
    governor: Running

    def wait_ready(self) -> None:
        """Wait until the webhook says that it can judge."""
        site = self.governor.site
        eventually(lambda: site.get("/readyz")[0] == 200, "the webhook is ready")

    def apply(self, *objects: Mapping[str, Any]) -> Completed:
        """Apply as the administrator, with strict validation."""
        text = yaml.safe_dump_all(objects)
        return self.plane.kubectl("apply", "--validate=strict", "-f", "-", stdin=text)

    def as_administrator(self, *arguments: str, stdin: str = "") -> Answered:
        """Run kubectl as somebody whom Governor does not govern."""
        return Answered(self.plane.kubectl(*arguments, stdin=stdin))


@dataclass(frozen=True, slots=True)
class TestAgent:
    """One agent with a namespace, a mandate and a token of its own."""

    __test__ = False

    cluster: Cluster
    name: str
    """Of the mandate, the namespace and the ServiceAccount alike."""

    @property
    def username(self) -> str:
        """As admission sees it."""
        return f"system:serviceaccount:{self.name}:{self.name}"

    def kubectl(self, *arguments: str, stdin: str = "") -> Answered:
        """Run kubectl with this agent's token, in its namespace."""
        plane = self.cluster.plane
        kubeconfig = plane.kubeconfig_for_service_account(self.name, self.name)
        completed = plane.kubectl("-n", self.name, *arguments, kubeconfig=kubeconfig, stdin=stdin)
        return Answered(completed)

    def create_deployment(self, name: str, *more: str) -> Answered:
        """Ask for a Deployment."""
        return self.kubectl("create", "deployment", name, "--image=example.com/none:1", *more)

    def set_mandate(self, **spec: object) -> None:
        """Replace parts of the mandate's spec and wait until the webhook judges by it."""
        body: dict[str, Any] = {
            "subjects": [{"kind": "ServiceAccount", "namespace": self.name, "name": self.name}],
            "rules": [{**DEPLOYMENT_RULE, "namespaces": [self.name]}],
        }
        mandate = {
            "apiVersion": "governor.dev/v1alpha1",
            "kind": "Mandate",
            "metadata": {"name": self.name},
            "spec": {**body, **spec},
        }
        self.cluster.apply(mandate).require_ok()
        self.wait_observed()

    def wait_observed(self) -> None:
        """Wait until the status speaks of the stored generation."""

        def is_observed() -> bool:
            read = self.cluster.plane.kubectl("get", "mandate", self.name, "-o", "json")
            found = json.loads(read.require_ok().stdout)
            observed = found.get("status", {}).get("observedGeneration")
            return bool(observed == found["metadata"]["generation"])

        eventually(is_observed, f"mandate {self.name} observed")

    def eventually_answers(self, code: str | None, *arguments: str) -> Answered:
        """Repeat a dry run until it comes out so: webhooks learn of a mandate by watching."""
        last: list[Answered] = []

        def comes_out() -> bool:
            last[:] = [self.kubectl(*arguments, "--dry-run=server")]
            return last[0].code == code

        eventually(comes_out, f"{arguments} → {code}")
        return last[0]


@contextmanager
def governed_cluster(
    directory: Path,
    binaries: Binaries,
    *,
    api_server: Sequence[str] = (),
    request_timeout: int = 60,
    webhooks: int = 1,
) -> Generator[Cluster]:
    """Boot a control plane and Governor, wait until it is ready, and take all down at the end.

    Args:
        directory: an empty one.
        binaries: of the control plane.
        api_server: further flags of the API server.
        request_timeout: what Governor is told of it, seconds.
        webhooks: how many webhook processes share the port.
    """
    options = Options(
        components=binaries.components(),
        unsafe_no_fsync=True,
        extra_arguments={Component.API_SERVER: api_server},
    )
    with ControlPlane.start(directory / "plane", binaries=binaries, options=options) as plane:
        install_kinds(plane)
        with start_governor(
            plane.admin_kubeconfig,
            directory,
            token=plane.webhook_token,
            request_timeout=request_timeout,
            webhooks=webhooks,
        ) as governor:
            cluster = Cluster(plane, governor)
            cluster.wait_ready()
            yield cluster


def new_agent(cluster: Cluster) -> TestAgent:
    """A fresh namespace with an agent whose RBAC is wide open: Governor is what refuses."""
    agent = TestAgent(cluster, f"agent-{uuid4().hex[:10]}")
    cluster.apply(*account_with_all_rights(agent.name, agent.name)).require_ok()
    agent.set_mandate()
    agent.eventually_answers("kind-not-granted", "create", "configmap", "probe")
    return agent
