"""The certificates and kubeconfigs of one local control plane.

Every component gets an identity of its own, with the rights Kubernetes gives it
by default; only the administrator's is in ``system:masters``. It issues, and
must not decide who may ask: whoever can read the folder is the administrator.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Literal, assert_never

import yaml

from controller.clients.certificates import (
    Authority,
    Pair,
    Validity,
    generate_signing_key,
    write_private,
)
from native.admission import admission_configuration, webhook_kubeconfig
from native.components import AUDIT_POLICY, Site

_LOOPBACK = ("127.0.0.1", "localhost")
_SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "10.0.0.1",  # the first address of the service range
)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, as what a client shows."""

    value: str

    def __repr__(self) -> str:
        """Never the token itself."""
        return "Token(…)"


Credential = Pair | Token


@dataclass(frozen=True, slots=True)
class Credentials:
    """Issues whatever a client of one control plane needs."""

    site: Site
    authority: Authority
    clock: Callable[[], datetime]
    lifetime: timedelta

    @classmethod
    def create(
        cls, site: Site, *, clock: Callable[[], datetime], lifetime: timedelta
    ) -> "Credentials":
        """Make a new CA, and write everything that the components need."""
        for folder in (site.pki, site.kubeconfig("admin").parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        validity = Validity.lasting(lifetime, now=clock())
        authority = Authority.create("governor local control plane", validity=validity)
        made = cls(site, authority, clock, lifetime)
        write_private(site.certificate("ca"), authority.certificate)
        write_private(site.key("ca"), authority.pair.key)
        write_private(site.audit_policy, AUDIT_POLICY.encode())
        made._write_webhook_credential()
        made._write_servers(validity)
        made._write_service_account_key()
        made._write_component_kubeconfigs()
        return made

    def for_user(self, user: str, groups: Iterable[str] = ()) -> Pair:
        """Issue a client certificate for a user."""
        validity = Validity.lasting(self.lifetime, now=self.clock())
        return self.authority.issue_client(user, groups=groups, validity=validity)

    def write_kubeconfig(self, name: str, credential: Credential) -> Path:
        """Write the kubeconfig of that name for this credential; gives its path."""
        content = kubeconfig(
            self.site.url, authority=self.authority.certificate, credential=credential
        )
        write_private(self.site.kubeconfig(name), content)
        return self.site.kubeconfig(name)

    def _write_webhook_credential(self) -> None:
        token, kubeconfig = self.site.webhook_token, self.site.kubeconfig("webhooks")
        write_private(token, token_urlsafe(32).encode())
        write_private(kubeconfig, webhook_kubeconfig(token))
        write_private(self.site.admission_configuration, admission_configuration(kubeconfig))

    def _write_servers(self, validity: Validity) -> None:
        for name, extra in (
            ("kube-apiserver", _SERVICE_NAMES),
            ("controller-manager-server", ()),
            ("scheduler-server", ()),
        ):
            self.authority.issue_server(name, sans=(*_LOOPBACK, *extra), validity=validity).write(
                self.site.pki, name
            )
        etcd = Authority.create("governor local etcd", validity=validity)
        write_private(self.site.certificate("etcd-ca"), etcd.certificate)
        etcd.issue_peer("etcd", sans=_LOOPBACK, validity=validity).write(self.site.pki, "etcd")
        etcd.issue_client("kube-apiserver", validity=validity).write(self.site.pki, "etcd-client")

    def _write_service_account_key(self) -> None:
        private, public = generate_signing_key()
        write_private(self.site.key("service-accounts"), private)
        write_private(self.site.pki / "service-accounts.pub", public)

    def _write_component_kubeconfigs(self) -> None:
        admin = self.for_user("admin", ["system:masters"])
        admin.write(self.site.pki, "admin")
        self.write_kubeconfig("admin", admin)
        for name in ("controller-manager", "scheduler"):
            self.write_kubeconfig(name, self.for_user(f"system:kube-{name}"))


def kubeconfig(url: str, *, authority: bytes, credential: Credential) -> bytes:
    """Render a kubeconfig that needs no other file.

    Args:
        url: of the API server.
        authority: the CA to trust, PEM.
        credential: a client certificate, or a token.
    """
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "local",
                "cluster": {"server": url, "certificate-authority-data": _base64(authority)},
            }
        ],
        "users": [{"name": "user", "user": _user(credential)}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "user"}}],
        "current-context": "local",
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


def _user(
    credential: Credential,
) -> dict[Literal["token", "client-certificate-data", "client-key-data"], str]:
    match credential:
        case Token(value):
            return {"token": value}
        case Pair(certificate, key):
            return {
                "client-certificate-data": _base64(certificate),
                "client-key-data": _base64(key),
            }
        case _:
            assert_never(credential)


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")
