"""Sets the scene: a control plane, Governor's two processes, an agent with a token.

Everything is started as a user would start it: `governor` from the command
line, manifests through kubectl. It judges nothing; the steps do.
"""

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from native.build import control_plane_binaries
from native.components import Options
from native.controlplane import ControlPlane
from native.kubectl import Completed
from tour.governor import start_governor

REPOSITORY = Path(__file__).parents[1]
MANIFESTS = Path(__file__).parent / "manifests"


@dataclass(frozen=True, slots=True)
class Scene:
    """A running stage, and the two kubeconfigs that the actors use."""

    plane: ControlPlane
    administrator: Path
    agent: Path

    def kubectl(self, *arguments: str, kubeconfig: Path) -> Completed:
        """Run our own kubectl as one of the actors."""
        return self.plane.kubectl(*arguments, kubeconfig=kubeconfig)


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
        for folder in (REPOSITORY / "manifests" / "crds", MANIFESTS / "cluster.yaml"):
            plane.kubectl("apply", "-f", str(folder)).require_ok()
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all").require_ok()
        say("starting governor webhook and governor reconcile")
        stack.enter_context(
            start_governor(plane.admin_kubeconfig, directory, token=plane.webhook_token)
        )
        plane.kubectl("apply", "-f", str(MANIFESTS / "mandate.yaml")).require_ok()
        ready = ("wait", "--for=condition=Ready", "mandate/migrator", "--timeout=60s")
        plane.kubectl(*ready).require_ok()
        agent = plane.kubeconfig_for_service_account("team-data", "migrator")
        yield Scene(plane, plane.admin_kubeconfig, agent)
