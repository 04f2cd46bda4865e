"""Sets up what is measured: a control plane, a real `governor webhook`, and its peer.

Governor is started as a user starts it, with the policies that ship, and gets
its mandate from the API server. Nothing is measured or judged here.
"""

import os
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.cpu import Cores, children
from bench.load_process import pinned
from bench.parts import Tally
from bench.webhook_reviews import NAMESPACE, mandate
from native import build
from native.components import Options
from native.controlplane import ControlPlane
from native.processes import GuardedProcess
from tour.governor import POLICIES, Site

_REPOSITORY = Path(__file__).parents[1]
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05


class SetupError(Exception):
    """There is nothing to measure; says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server under load."""

    port: int
    authority: Path
    pids: tuple[int, ...]
    """Whose CPU counts; first the server, then its engine if it has one."""
    site: Site

    def tell_tally(self) -> Tally:
        """What the copy has counted since it was last asked."""
        status, body = self.site.get("/tally")
        if status != 200:
            raise SetupError(f"the copy tells no tally: {status} {body}")
        return Tally(**orjson.loads(body))


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers, running on the same core."""

    governor: Server
    peer: Server
    copy: Server
    """The webhook's path of timed parts, with an engine of its own."""


@contextmanager
def set_stage(directory: Path, *, cores: Cores) -> Generator[Stage, None, None]:
    """Boot all of it, and take all of it down at the end.

    Raises:
        SetupError: something is not there, or did not come up.
    """
    binaries = build.control_plane_binaries(os.environ)
    if binaries is None:
        raise SetupError("governor-kubernetes is not built: run `make setup`")
    options = Options(components=frozenset(), unsafe_no_fsync=True)
    with ExitStack() as stack:
        plane = stack.enter_context(
            ControlPlane.start(directory / "cluster", binaries=binaries, options=options)
        )
        _prepare(plane)
        site = Site.draw(plane.admin_kubeconfig, directory)
        with pinned(cores.server):
            webhook = site.start_webhook()
            stack.callback(webhook.stop, grace_seconds=5)
            _wait_until_answers(site, "/readyz", process=webhook)
            peer = _peer(stack, site)
            copy = _peer(stack, site, "--policies", str(POLICIES))
        pids = (webhook.pid, *children(webhook.pid))
        governor = Server(site.port, site.certificates / "ca.pem", pids, site)
        yield Stage(governor, peer, copy)


def _peer(stack: ExitStack, site: Site, *arguments: str) -> Server:
    aside = Site.draw(site.kubeconfig, site.directory)
    process = _start_peer(aside, *arguments)
    stack.callback(process.stop, grace_seconds=5)
    _wait_until_answers(aside, "/", process=process)
    return Server(
        aside.port, site.certificates / "ca.pem", (process.pid, *children(process.pid)), aside
    )


def _prepare(plane: ControlPlane) -> None:
    """What an administrator does: the kinds, the agent's namespace, its mandate."""
    plane.kubectl("apply", "-f", str(_REPOSITORY / "manifests" / "crds")).require_ok()
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all").require_ok()
    governance = {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Governance",
        "metadata": {"name": "cluster"},
        "spec": {"dedicatedNamespaces": [NAMESPACE]},
    }
    for resource in (governance, mandate()):
        text = orjson.dumps(resource).decode()
        plane.kubectl("apply", "--validate=strict", "-f", "-", stdin=text).require_ok()


def _start_peer(site: Site, *more: str) -> GuardedProcess:
    certificate = str(site.certificates / "server.pem")
    arguments = ("--port", str(site.port), "--certificate", certificate, *more)
    return GuardedProcess.start(
        "the peer",
        (sys.executable, "-m", "bench.webhook_peer", *arguments),
        log=site.directory / "peer.log",
        environment={key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
    )


def _wait_until_answers(site: Site, path: str, *, process: GuardedProcess) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while (answer := site.get(path))[0] != 200:
        process.require_running()
        if time.monotonic() > deadline:
            raise SetupError(f"{process.name} is not ready after {_READY_SECONDS:.0f} s: {answer}")
        time.sleep(_POLL_SECONDS)
