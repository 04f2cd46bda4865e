"""How each component of the local control plane is started: its flags, as values.

Pure: the same site and options give the same arguments. It starts nothing,
writes nothing and knows no ports of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

AuditMode = Literal["batch", "blocking", "blocking-strict"]
"""Whether a write waits until the audit log has it (blocking, the API server's default)."""

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata  # their bodies are credentials
  resources:
  - {group: "", resources: [secrets, serviceaccounts/token]}
  - {group: authentication.k8s.io, resources: [tokenreviews]}
- level: RequestResponse
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
"""


class Component(StrEnum):
    """The processes of a control plane, by the names of their commands."""

    ETCD = "etcd"
    API_SERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where the components' commands are: one binary for all, or a folder of them."""

    path: Path
    is_folder: bool = False

    @classmethod
    def single(cls, path: Path) -> Self:
        """Our own binary, which picks the component by its first argument."""
        return cls(path)

    @classmethod
    def folder(cls, path: Path) -> Self:
        """A folder of upstream binaries, as KUBEBUILDER_ASSETS names one."""
        return cls(path, is_folder=True)

    def command(self, name: str) -> tuple[str, ...]:
        """How a command line for this component, or for ``kubectl``, begins."""
        return (str(self.path / name),) if self.is_folder else (str(self.path), name)

    def components(self) -> frozenset[Component]:
        """Which components can be started; envtest's folder has no controllers, for example."""
        if not self.is_folder:
            return frozenset(Component)
        return frozenset(each for each in Component if (self.path / each).exists())


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may differ between one control plane and another."""

    components: frozenset[Component] = frozenset(Component)
    """Which are started, as `Binaries.components` gives them; etcd and the API server
    always are."""
    feature_gates: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """For every Kubernetes component alike."""
    extra_arguments: Mapping[Component, Sequence[str]] = field(
        default_factory=dict[Component, Sequence[str]]
    )
    """Appended to ours, so they win where a flag is given twice."""
    audit_mode: AuditMode = "blocking"
    unsafe_no_fsync: bool = False
    """Faster, for tests only: etcd no longer waits for the disk, and a power cut (not
    a SIGKILL) may lose or corrupt what it acknowledged."""
    ready_within_seconds: float = 120.0

    def runs(self, component: Component) -> bool:
        """Whether this component is part of the control plane."""
        return component in self.components or component in _ALWAYS


_ALWAYS = frozenset({Component.ETCD, Component.API_SERVER})


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the components listen, on 127.0.0.1."""

    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int
    scheduler: int


@dataclass(frozen=True, slots=True)
class Site:
    """Where one control plane lives: its folder and its ports."""

    directory: Path
    ports: Ports

    @property
    def url(self) -> str:
        """The API server's base URL, without a slash at its end."""
        return f"https://127.0.0.1:{self.ports.api_server}"

    @property
    def pki(self) -> Path:
        """The folder of certificates and keys."""
        return self.directory / "pki"

    @property
    def audit_log(self) -> Path:
        """The audit log: one JSON event a line."""
        return self.directory / "audit.jsonl"

    @property
    def audit_policy(self) -> Path:
        """The file of `AUDIT_POLICY`."""
        return self.directory / "audit-policy.yaml"

    @property
    def admission_configuration(self) -> Path:
        """The file that says what the API server shows to webhooks."""
        return self.directory / "admission.yaml"

    @property
    def webhook_token(self) -> Path:
        """The file of the token that the API server shows to every webhook."""
        return self.pki / "webhook-token"

    def kubeconfig(self, name: str) -> Path:
        """Where the kubeconfig of that name is."""
        return self.directory / "kubeconfigs" / f"{name}.yaml"

    def log(self, component: Component) -> Path:
        """Where that component's output goes."""
        return self.directory / "logs" / f"{component}.log"

    def certificate(self, name: str) -> Path:
        """Where the certificate of that name is."""
        return self.pki / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Where the private key of that name is."""
        return self.pki / f"{name}.key"


def arguments(component: Component, site: Site, options: Options) -> tuple[str, ...]:
    """All flags of one component, ours first."""
    ours = _FLAGS[component](site, options)
    gates = ",".join(f"{gate}={str(on).lower()}" for gate, on in options.feature_gates.items())
    if gates and component is not Component.ETCD:
        ours["feature-gates"] = gates
    return (
        *(f"--{flag}={value}" for flag, value in ours.items()),
        *options.extra_arguments.get(component, ()),
    )


def _etcd(site: Site, options: Options) -> dict[str, object]:
    client = f"https://127.0.0.1:{site.ports.etcd}"
    peer = f"https://127.0.0.1:{site.ports.etcd_peer}"
    return {
        "name": "local",
        "data-dir": site.directory / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"local={peer}",
        # Its own CA: a user's certificate of the cluster must not open the database.
        "cert-file": site.certificate("etcd"),
        "key-file": site.key("etcd"),
        "trusted-ca-file": site.certificate("etcd-ca"),
        "client-cert-auth": "true",
        "peer-cert-file": site.certificate("etcd"),
        "peer-key-file": site.key("etcd"),
        "peer-trusted-ca-file": site.certificate("etcd-ca"),
        "peer-client-cert-auth": "true",
        "log-level": "warn",
        "unsafe-no-fsync": str(options.unsafe_no_fsync).lower(),
    }


def _api_server(site: Site, options: Options) -> dict[str, object]:
    return {
        # Without a default route it finds no address of its own, and does not start.
        "advertise-address": "127.0.0.1",
        # Endpoints may not be loopback addresses, and nothing here looks for the server there.
        "endpoint-reconciler-type": "none",
        "bind-address": "127.0.0.1",
        "secure-port": site.ports.api_server,
        "tls-cert-file": site.certificate("kube-apiserver"),
        "tls-private-key-file": site.key("kube-apiserver"),
        "client-ca-file": site.certificate("ca"),
        "etcd-servers": f"https://127.0.0.1:{site.ports.etcd}",
        "etcd-cafile": site.certificate("etcd-ca"),
        "etcd-certfile": site.certificate("etcd-client"),
        "etcd-keyfile": site.key("etcd-client"),
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "admission-control-config-file": site.admission_configuration,
        "allow-privileged": "true",
        "service-cluster-ip-range": "10.0.0.0/16",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": site.pki / "service-accounts.pub",
        "service-account-signing-key-file": site.key("service-accounts"),
        "audit-policy-file": site.audit_policy,
        "audit-log-path": site.audit_log,
        "audit-log-mode": options.audit_mode,
        "audit-log-maxsize": 0,  # never rotated: its readers want the whole of it
    }


def _controller_manager(site: Site, _: Options) -> dict[str, object]:
    return {
        "kubeconfig": site.kubeconfig("controller-manager"),
        "bind-address": "127.0.0.1",
        "secure-port": site.ports.controller_manager,
        "tls-cert-file": site.certificate("controller-manager-server"),
        "tls-private-key-file": site.key("controller-manager-server"),
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "service-account-private-key-file": site.key("service-accounts"),
        "root-ca-file": site.certificate("ca"),
        "cluster-signing-cert-file": site.certificate("ca"),
        "cluster-signing-key-file": site.key("ca"),
        # Its usual 20 calls a second make it start five seconds later.
        "kube-api-qps": 500,
        "kube-api-burst": 1000,
        # No kubelet renews a heartbeat here: it would declare every Node dead.
        "controllers": "*,-node-lifecycle-controller",
    }


def _scheduler(site: Site, _: Options) -> dict[str, object]:
    return {
        "kubeconfig": site.kubeconfig("scheduler"),
        "bind-address": "127.0.0.1",
        "secure-port": site.ports.scheduler,
        "tls-cert-file": site.certificate("scheduler-server"),
        "tls-private-key-file": site.key("scheduler-server"),
        "leader-elect": "false",
    }


_FLAGS = {
    Component.ETCD: _etcd,
    Component.API_SERVER: _api_server,
    Component.CONTROLLER_MANAGER: _controller_manager,
    Component.SCHEDULER: _scheduler,
}
