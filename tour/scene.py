"""Sets the scene: a control plane, Governor's two processes, an agent with a token.

Everything is started as a user would start it: `governor` from the command
line, manifests through kubectl. It judges nothing; the steps do.
"""

import os
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from shutil import which

from native.build import control_plane_binaries
from native.components import Options
from native.controlplane import ControlPlane
from native.kubectl import Completed
from tour.governor import COMMAND, Site, start_governor
from tour.prepared import install_kinds

MANIFESTS = Path(__file__).parent / "manifests"


@dataclass(frozen=True, slots=True)
class Scene:
    """A running stage, and the two kubeconfigs that the actors use."""

    plane: ControlPlane
    site: Site
    administrator: Path
    agent: Path

    @property
    def ledger(self) -> Path:
        """The ledger's repository."""
        return self.site.ledger

    def kubectl(self, *arguments: str, kubeconfig: Path) -> Completed:
        """Run our own kubectl as one of the actors."""
        return self.plane.kubectl(*arguments, kubeconfig=kubeconfig)

    def governor(self, *arguments: str) -> Completed:
        """Run Governor's command line."""
        return _completed(str(COMMAND), *arguments)

    def git(self, *arguments: str) -> Completed:
        """Run Git, without the user's configuration."""
        return _completed(which("git") or "git", *arguments)

    def change_of(self, kind: str, name: str, *, namespace: str) -> str:
        """The change id on the stamp of an object; empty without one."""
        path = r"jsonpath={.metadata.annotations.governor\.dev/change}"
        read = self.kubectl(
            "get", kind, name, "-n", namespace, "-o", path, kubeconfig=self.administrator
        )
        return read.stdout.partition(".")[0]


def _completed(*command: str) -> Completed:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**kept, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return Completed(command, ended.returncode, ended.stdout, ended.stderr)


def _wait_until_ready(site: Site, *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (answer := site.get("/readyz"))[0] != HTTPStatus.OK:
        if time.monotonic() > deadline:
            raise SystemExit(f"governor webhook is not ready after {seconds:g} s: {answer[1]}")
        time.sleep(0.05)


@contextmanager
def set_scene(directory: Path, *, say: Callable[[str], None]) -> Generator[Scene, None, None]:
    """Boot all of it, and take all of it down at the end."""
    binaries = control_plane_binaries(os.environ)
    if binaries is None:
        raise SystemExit("governor-kubernetes is not built: run `make setup`")
    with ExitStack() as stack:
        say("booting etcd, kube-apiserver, kube-controller-manager and kube-scheduler")
        options = Options(components=binaries.components())
        plane = stack.enter_context(
            ControlPlane.start(directory / "cluster", binaries=binaries, options=options)
        )
        say("installing the CRDs and what the administrator prepares")
        install_kinds(plane)
        plane.kubectl("apply", "-f", str(MANIFESTS / "cluster.yaml")).require_ok()
        say("starting governor webhook and governor reconcile")
        governor = stack.enter_context(
            start_governor(plane.admin_kubeconfig, directory, token=plane.webhook_token)
        )
        plane.kubectl("apply", "-f", str(MANIFESTS / "mandate.yaml")).require_ok()
        ready = ("wait", "--for=condition=Ready", "mandate/migrator", "--timeout=60s")
        plane.kubectl(*ready).require_ok()
        # Registered is not answering: a webhook that still starts refuses what it would grant.
        _wait_until_ready(governor.site)
        agent = plane.kubeconfig_for_service_account("team-data", "migrator")
        yield Scene(plane, governor.site, plane.admin_kubeconfig, agent)
