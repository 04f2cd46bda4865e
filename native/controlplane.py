"""A real Kubernetes control plane on this machine, without containers.

``with ControlPlane.start(directory, binaries=…) as plane:`` boots etcd,
kube-apiserver, kube-controller-manager and kube-scheduler on free loopback
ports, with certificates of their own, RBAC and an audit log, and returns when
all are ready; several may run side by side. ``python -m native.controlplane
--directory DIR`` runs one in the foreground.

There is no kubelet: Pods are scheduled onto fake Nodes (`add_node`) and never
run. It must not use a cluster or binaries that happen to be in the environment:
both are named by the caller. Nothing here is asynchronous: it waits on
processes, and may be used from any thread, by one at a time.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from native import build, kubectl, ports
from native.api import Answer, Api
from native.components import Binaries, Component, Options, Ports, Site, arguments
from native.credentials import Credentials, Token
from native.processes import GuardedProcess, ProcessError
from native.readiness import Check, administrator, ready, serving
from native.toolchain import ToolchainError

_DEFAULTS = Options()
_ATTEMPTS = 4
_CERTIFICATE_LIFETIME = timedelta(days=30)
_POLL_SECONDS = 0.02
_STOP_SECONDS = 5.0


class ControlPlaneError(Exception):
    """The control plane does not stand; names the component, with the end of its log."""


class _PortTakenError(Exception):
    """Somebody took one of the ports that were drawn."""


class ControlPlane:
    """One running control plane. Leaving its context stops it."""

    def __init__(
        self, site: Site, *, binaries: Binaries, options: Options, credentials: Credentials
    ) -> None:
        self.site = site
        self.options = options
        self._binaries = binaries
        self._credentials = credentials
        self._processes: dict[Component, GuardedProcess] = {}

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        binaries: Binaries,
        options: Options = _DEFAULTS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        randomness: random.Random | None = None,
    ) -> Self:
        """Boot a control plane and wait until it is ready.

        Args:
            directory: absent or empty; gets data, keys, logs and kubeconfigs. The
                caller removes it.
            binaries: `Binaries.single` (ours) or `Binaries.folder` (upstream's).
            options: see `Options`.
            clock: for the certificates' validity.
            randomness: draws the ports.

        Raises:
            ControlPlaneError: a component ended, or was not ready in time.
        """
        directory = directory.absolute()
        if directory.exists() and any(directory.iterdir()):
            raise ControlPlaneError(f"{directory}: is not empty: name a new folder")
        drawn = randomness or random.Random()  # noqa: S311 - draws ports, not secrets
        for _ in range(_ATTEMPTS):
            site = Site(directory, Ports(*ports.draw(5, randomness=drawn)))
            credentials = Credentials.create(site, clock=clock, lifetime=_CERTIFICATE_LIFETIME)
            plane = cls(site, binaries=binaries, options=options, credentials=credentials)
            try:
                plane._boot()
            except _PortTakenError:
                shutil.rmtree(site.directory)  # what a half-started etcd left is not met again
                continue
            return plane
        raise ControlPlaneError(f"ports: were taken {_ATTEMPTS} times in a row by other servers")

    def __enter__(self) -> Self:
        """Give itself: it runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self.stop()

    @property
    def url(self) -> str:
        """The API server's base URL."""
        return self.site.url

    @property
    def authority(self) -> Path:
        """The CA that signed the API server's certificate, PEM."""
        return self.site.certificate("ca")

    @property
    def admin_kubeconfig(self) -> Path:
        """The kubeconfig of a member of ``system:masters``."""
        return self.site.kubeconfig("admin")

    @property
    def webhook_token(self) -> Path:
        """The file of the token by which webhooks know this API server."""
        return self.site.webhook_token

    @property
    def audit_log(self) -> Path:
        """One JSON event a line; bodies of all writes, except where they are credentials."""
        return self.site.audit_log

    @property
    def pids(self) -> Mapping[Component, int]:
        """The process ids of what runs, also after a `restart`."""
        return {name: process.pid for name, process in self._processes.items()}

    @property
    def admin(self) -> Api:
        """A client of a member of ``system:masters``."""
        return administrator(self.site)

    def api_for_user(self, user: str, groups: Iterable[str] = ()) -> Api:
        """Give a client that shows a new client certificate for this user."""
        pair = self._credentials.for_user(user, groups)
        files = pair.write(self.site.pki, _file_name("user", user, *groups))
        return Api(self.url, self.authority, files.certificate, files.key)

    def api_for_service_account(self, namespace: str, name: str) -> Api:
        """Give a client that shows a new token of this ServiceAccount."""
        token = self.service_account_token(namespace, name)
        return Api(self.url, self.authority, token=token)

    def kubeconfig_for_user(self, user: str, groups: Iterable[str] = ()) -> Path:
        """Write a kubeconfig with a client certificate for this user."""
        groups = tuple(groups)
        file = _file_name("user", user, *groups)
        return self._credentials.write_kubeconfig(file, self._credentials.for_user(user, groups))

    def kubeconfig_for_service_account(
        self, namespace: str, name: str, *, seconds: int = 86_400
    ) -> Path:
        """Write a kubeconfig with a token of this ServiceAccount, which must exist."""
        token = Token(self.service_account_token(namespace, name, seconds=seconds))
        file = _file_name("service-account", namespace, name)
        return self._credentials.write_kubeconfig(file, token)

    def service_account_token(self, namespace: str, name: str, *, seconds: int = 86_400) -> str:
        """Ask for a token of a ServiceAccount (TokenRequest).

        Raises:
            ControlPlaneError: there is no such ServiceAccount, or the time is out of bounds.
        """
        answer = self.admin.call(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": seconds},
            },
        )
        _require(answer, f"token of ServiceAccount {namespace}/{name}")
        return str(answer.json["status"]["token"])

    def kubectl(
        self,
        *arguments: str,
        kubeconfig: Path | None = None,
        stdin: str = "",
        timeout_seconds: float = 60.0,
    ) -> kubectl.Completed:
        """Run kubectl, as the administrator unless another kubeconfig is named.

        Raises:
            KubectlError: it did not end in time.
        """
        return kubectl.run(
            self._binaries.command("kubectl"),
            arguments,
            kubeconfig=kubeconfig or self.admin_kubeconfig,
            environment=self._environment(),
            stdin=stdin,
            timeout_seconds=timeout_seconds,
        )

    def add_node(
        self, name: str, *, cpu: str = "8", memory: str = "32Gi", pods: str = "110"
    ) -> None:
        """Make a fake Node that is Ready, so that Pods can be scheduled."""
        room = {"cpu": cpu, "memory": memory, "pods": pods}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        _require(self.admin.call("POST", "/api/v1/nodes", node), f"node {name}")
        ready = {"type": "Ready", "status": "True", "reason": "Fake"}
        status = {"allocatable": room, "capacity": room, "conditions": [ready]}
        merge = "application/merge-patch+json"
        path = f"/api/v1/nodes/{name}"
        patch = self.admin.call("PATCH", f"{path}/status", {"status": status}, content_type=merge)
        _require(patch, f"status of node {name}")
        # Admission taints every new Node; the controller that would take the taint off is not run.
        untaint = self.admin.call("PATCH", path, {"spec": {"taints": None}}, content_type=merge)
        _require(untaint, f"taints of node {name}")

    def send(self, component: Component, number: signal.Signals) -> None:
        """Send a signal to a component; SIGKILL, SIGSTOP and SIGCONT are of use in tests."""
        self._processes[component].send(number)

    def restart(self, component: Component) -> None:
        """Start a component anew, on its port and data, killing it first if it still runs."""
        self._processes[component].stop(grace_seconds=0)
        try:
            self._start(component)
        except ProcessError as error:
            raise ControlPlaneError(str(error)) from error

    def wait_ready(self) -> None:
        """Wait until every component answers for itself, as after a `restart`.

        Raises:
            ControlPlaneError: one ended, or was not ready within the options' time.
        """
        try:
            deadline = time.monotonic() + self.options.ready_within_seconds
            self._wait(ready(self.site, self.options), deadline)
        except ProcessError as error:
            raise ControlPlaneError(str(error)) from error

    def require_running(self) -> None:
        """Raise a `ControlPlaneError` when a component has ended."""
        try:
            for process in self._processes.values():
                process.require_running()
        except ProcessError as error:
            raise ControlPlaneError(str(error)) from error

    def stop(self) -> None:
        """Stop all components, clients before servers. Harmless when they are gone."""
        running = dict(self._processes)
        for component in (Component.CONTROLLER_MANAGER, Component.SCHEDULER):
            if component in running:
                running[component].send(signal.SIGTERM)
        # Asked to end, the API server waits up to a minute for open watches; etcd has its data.
        for component, grace in (
            (Component.API_SERVER, 0),
            (Component.CONTROLLER_MANAGER, _STOP_SECONDS),
            (Component.SCHEDULER, _STOP_SECONDS),
            (Component.ETCD, _STOP_SECONDS),
        ):
            if component in running:
                running[component].stop(grace_seconds=grace)
        self._processes.clear()

    def _boot(self) -> None:
        deadline = time.monotonic() + self.options.ready_within_seconds
        self.site.log(Component.ETCD).parent.mkdir(exist_ok=True, mode=0o700)
        try:
            for component in Component:
                if self.options.runs(component):
                    self._start(component)
                    self._wait(serving(component, self.site), deadline)
            self._wait(ready(self.site, self.options), deadline)
        except ProcessError as error:
            self.stop()
            if "address already in use" in str(error):
                raise _PortTakenError from error
            raise ControlPlaneError(str(error)) from error
        except BaseException:
            self.stop()
            raise

    def _start(self, component: Component) -> None:
        self._processes[component] = GuardedProcess.start(
            component,
            [
                *self._binaries.command(component),
                *arguments(component, self.site, self.options),
            ],
            log=self.site.log(component),
            environment=self._environment(),
        )

    def _wait(self, checks: Iterable[Check], deadline: float) -> None:
        for check in checks:
            while not check.holds():
                for process in self._processes.values():
                    process.require_running()
                if time.monotonic() > deadline:
                    within = f"{self.options.ready_within_seconds:.0f} s"
                    tail = self._processes[check.component].tail()
                    raise ProcessError(f"{check.component}: no {check.what} in {within}:{tail}")
                time.sleep(_POLL_SECONDS)

    def _environment(self) -> dict[str, str]:
        # A short list: etcd takes ETCD_*, kubectl KUBECTL_* and a HOME's kuberc, for orders.
        kept = ("PATH", "TMPDIR", "LANG", "GOMAXPROCS", "GOGC", "GOMEMLIMIT")
        ours = {name: os.environ[name] for name in kept if name in os.environ}
        return ours | {"HOME": str(self.site.directory)}


def _require(answer: Answer, what: str) -> None:
    if not answer.ok:
        raise ControlPlaneError(f"{what}: the API server said {answer.status}: {answer.text}")


def _file_name(kind: str, *parts: str) -> str:
    readable = quote(parts[-1] if kind == "service-account" else parts[0], safe="")[:80]
    return f"{kind}-{readable}-{sha256(repr(parts).encode()).hexdigest()[:8]}"


def _serve(directory: Path, binaries: Binaries) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    options = Options(components=binaries.components())
    with ControlPlane.start(directory, binaries=binaries, options=options) as plane:
        plane.add_node("node-1")
        sys.stdout.write(
            f"ready at {plane.url}\n"
            f"  export KUBECONFIG={plane.admin_kubeconfig}   # the administrator\n"
            f"  audit log: {plane.audit_log}\n"
            "^C ends it\n"
        )
        sys.stdout.flush()
        while not ended.wait(1.0):
            plane.require_running()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one control plane in the foreground until ^C."""
    parser = argparse.ArgumentParser(prog="python -m native.controlplane", description=main.__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="new folder for its data")
    parser.add_argument("--assets", type=Path, help="folder of upstream binaries, instead of ours")
    options = parser.parse_args(arguments)
    try:
        if options.assets:
            binaries = Binaries.folder(options.assets)
        else:
            binaries = Binaries.single(build.build(build.PROGRAMS["kubernetes"]))
        _serve(options.directory, binaries)
    except (ControlPlaneError, build.BuildError, ToolchainError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
