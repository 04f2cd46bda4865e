"""What an administrator prepares in a cluster before Governor and its agents come.

For the tour, the tests and the benchmarks, which all begin alike. Governor's own
processes are `tour.governor`'s business, and mandates the reader's.
"""

from pathlib import Path

from native.controlplane import ControlPlane

REPOSITORY = Path(__file__).parents[1]


def install_kinds(plane: ControlPlane) -> None:
    """Install Governor's kinds; they are served when this returns."""
    plane.kubectl("apply", "-f", str(REPOSITORY / "manifests" / "crds")).require_ok()
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all").require_ok()


def account_with_all_rights(namespace: str, name: str) -> tuple[dict[str, object], ...]:
    """A namespace with a ServiceAccount that RBAC lets do everything: it is not what refuses."""
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
        },
    )
