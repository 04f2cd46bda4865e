"""Sets up what is measured: a control plane, a real `governor webhook`, and its peers.

Governor is started as a user starts it, with the policies that ship, and gets its
mandate and Account from the API server, whose store and audit log are durable. Nothing
is measured or judged here.
"""

import os
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import orjson

from bench.cpu import Cores, children
from bench.load_process import pinned
from bench.parts import Depth, Tally
from bench.webhook_reviews import AGENT, NAMESPACE, mandate
from native import build
from native.components import Component, Options
from native.controlplane import ControlPlane
from native.processes import GuardedProcess
from tour.governor import POLICIES, Site
from tour.prepared import install_kinds

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05


class SetupError(Exception):
    """There is nothing to measure; says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server under load."""

    site: Site
    pids: tuple[int, ...]
    """Whose CPU counts; first the server, then its engine if it has one."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.site.port

    def begin(self, depth: Depth) -> None:
        """Tell the copy how far reviews are to be taken from now on."""
        self._ask(f"/begin/{depth}")

    def tell_tally(self) -> Tally:
        """What the copy has counted since then; it ends there."""
        return Tally(**orjson.loads(self._ask("/tally")))

    def _ask(self, path: str) -> str:
        status, body = self.site.get(path)
        if status != HTTPStatus.OK:
            raise SetupError(f"the copy does not do {path}: {status} {body}")
        return body


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers, running on the same core, and the cluster that they work for."""

    governor: Server
    peer: Server
    copy: Server
    """The webhook's path of timed parts, with an engine of its own."""
    cluster: tuple[int, ...]
    """The processes of the API server and of etcd."""
    outboxes: tuple[Path, ...]
    """Of the webhook and of the copy."""


@contextmanager
def set_stage(directory: Path, *, cores: Cores) -> Generator[Stage, None, None]:
    """Boot all of it, and take all of it down at the end.

    Raises:
        SetupError: something is not there, or did not come up.
    """
    with ExitStack() as stack:
        with pinned(cores.cluster):
            plane = stack.enter_context(_boot(directory))
        _prepare(plane)
        site = Site.draw(plane.admin_kubeconfig, directory)
        with pinned(cores.server):
            webhook = site.start_webhook()
            stack.callback(webhook.stop, grace_seconds=5)
            _reconcile_once(plane, site)
            _wait_until_answers(site, "/readyz", process=webhook)
            peer = _peer(stack, site)
            aside = directory / "outbox-of-the-copy"
            copy = _peer(
                stack,
                site,
                *("--kubeconfig", str(site.kubeconfig)),
                *("--outbox", str(aside)),
                *("--policies", str(POLICIES)),
            )
        governor = Server(site, (webhook.pid, *children(webhook.pid)))
        cluster = (plane.pids[Component.API_SERVER], plane.pids[Component.ETCD])
        yield Stage(governor, peer, copy, cluster, outboxes=(site.outbox, aside))


def _boot(directory: Path) -> ControlPlane:
    binaries = build.control_plane_binaries(os.environ)
    if binaries is None:
        raise SetupError("governor-kubernetes is not built: run `make setup`")
    policy = directory / "audit-policy.yaml"
    # Ours keeps all bodies, for the tests: with the Account in it twice, at each swap.
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    options = Options(
        components=frozenset(),
        extra_arguments={Component.API_SERVER: [f"--audit-policy-file={policy}"]},
    )
    return ControlPlane.start(directory / "cluster", binaries=binaries, options=options)


def _prepare(plane: ControlPlane) -> None:
    """What an administrator does: the kinds, the agent's namespace, its mandate."""
    install_kinds(plane)
    governance = {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Governance",
        "metadata": {"name": "cluster"},
        "spec": {"dedicatedNamespaces": [NAMESPACE]},
    }
    for resource in (governance, mandate()):
        text = orjson.dumps(resource).decode()
        plane.kubectl("apply", "--validate=strict", "-f", "-", stdin=text).require_ok()


def _reconcile_once(plane: ControlPlane, site: Site) -> None:
    """Let the reconciler make priority level, registration and Account, and end it.

    The writes of the benchmark are never stored, and it would find no evidence of them.
    """
    reconcile = site.start_reconcile()
    try:
        ready = ("--for=condition=Ready", f"mandate/{AGENT}", f"--timeout={_READY_SECONDS:.0f}s")
        plane.kubectl("wait", *ready, timeout_seconds=_READY_SECONDS + 5).require_ok()
        deadline = time.monotonic() + _READY_SECONDS
        while not plane.kubectl("get", "account", AGENT).ok:
            reconcile.require_running()
            if time.monotonic() > deadline:
                raise SetupError(f"no Account after {_READY_SECONDS:.0f} s:{reconcile.tail()}")
            time.sleep(_POLL_SECONDS)
    finally:
        reconcile.stop(grace_seconds=10)


def _peer(stack: ExitStack, site: Site, *arguments: str) -> Server:
    aside = Site.draw(site.kubeconfig, site.directory)
    process = _start_peer(aside, *arguments)
    stack.callback(process.stop, grace_seconds=5)
    _wait_until_answers(aside, "/", process=process)
    return Server(aside, (process.pid, *children(process.pid)))


def _start_peer(site: Site, *more: str) -> GuardedProcess:
    arguments = ("--port", str(site.port), "--certificates", str(site.certificates), *more)
    return GuardedProcess.start(
        "the peer",
        (sys.executable, "-m", "bench.webhook_peer", *arguments),
        log=site.directory / "peer.log",
        environment={key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
    )


def _wait_until_answers(site: Site, path: str, *, process: GuardedProcess) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while (answer := site.get(path))[0] != HTTPStatus.OK:
        process.require_running()
        if time.monotonic() > deadline:
            raise SetupError(f"{process.name} is not ready after {_READY_SECONDS:.0f} s: {answer}")
        time.sleep(_POLL_SECONDS)
