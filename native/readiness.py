"""When a local control plane is ready: what each component must answer.

Lists the questions; asking, and giving up, is the launcher's business.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from native.api import Api, ApiError
from native.components import Component, Options, Site


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be there."""

    component: Component
    """Whose log tells why it is not."""
    what: str
    client: Api
    path: str

    def holds(self) -> bool:
        """Whether it is there now."""
        # Short: on a port that was taken, whoever took it may never answer.
        client = replace(self.client, timeout_seconds=2.0)
        try:
            return client.call("GET", self.path).ok
        except ApiError:
            return False


def administrator(site: Site) -> Api:
    """Give a client of a member of ``system:masters``."""
    return Api(
        site.url,
        site.certificate("ca"),
        certificate=site.certificate("admin"),
        key=site.key("admin"),
    )


def serving(component: Component, site: Site) -> Iterator[Check]:
    """What the next component needs of this one before it can start."""
    if component is Component.ETCD:
        database = Api(
            f"https://127.0.0.1:{site.ports.etcd}",
            site.certificate("etcd-ca"),
            certificate=site.certificate("etcd-client"),
            key=site.key("etcd-client"),
        )
        yield Check(component, "/health", database, "/health")
    if component is Component.API_SERVER:
        yield Check(component, "/livez", administrator(site), "/livez")


def ready(site: Site, options: Options) -> Iterator[Check]:
    """What must hold before tests or people may use the control plane."""
    api_server = administrator(site)
    yield Check(Component.API_SERVER, "/readyz", api_server, "/readyz")
    for component, port in (
        (Component.CONTROLLER_MANAGER, site.ports.controller_manager),
        (Component.SCHEDULER, site.ports.scheduler),
    ):
        if options.runs(component):
            client = Api(f"https://127.0.0.1:{port}", site.certificate("ca"))
            yield Check(component, "/healthz", client, "/healthz")
    default = "/api/v1/namespaces/default"
    yield Check(Component.API_SERVER, "namespace default", api_server, default)
    if options.runs(Component.CONTROLLER_MANAGER):
        yield Check(
            Component.CONTROLLER_MANAGER,
            "ServiceAccount default/default",
            api_server,
            f"{default}/serviceaccounts/default",
        )
