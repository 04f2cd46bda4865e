"""Names of Kubernetes resources, and the URL paths they have. No I/O."""

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote


class Key(NamedTuple):
    """One object's name within its resource; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API, in the one version that we speak."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """As in an object's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def collection_path(self, namespace: str = "") -> str:
        """The path of the collection; without a namespace, that of all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if not namespace:
            return f"{root}/{self.plural}"
        return f"{root}/namespaces/{quote(namespace, safe='')}/{self.plural}"

    def path(self, key: Key, subresource: str = "") -> str:
        """The path of one object, or of one of its subresources.

        Raises:
            ValueError: the key has no name, or a namespace exactly where it must not.
        """
        if not key.name or key.name in {".", ".."}:
            raise ValueError(f"{self.plural}: {key.name!r} is no object's name")
        if bool(key.namespace) is not self.namespaced:
            expected = "needs a namespace" if self.namespaced else "is cluster-scoped"
            raise ValueError(f"{self.plural} {expected}, got {key!r}")
        path = f"{self.collection_path(key.namespace)}/{quote(key.name, safe='')}"
        return f"{path}/{subresource}" if subresource else path


MANDATES = Resource("governor.dev", "v1alpha1", "mandates", "Mandate", namespaced=False)
GOVERNANCES = Resource("governor.dev", "v1alpha1", "governances", "Governance", namespaced=False)
PRICEBOOKS = Resource("governor.dev", "v1alpha1", "pricebooks", "PriceBook", namespaced=False)
ACCOUNTS = Resource("governor.dev", "v1alpha1", "accounts", "Account", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
SELF_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False
)
MUTATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
VALIDATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
AUTOSCALERS = Resource(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", namespaced=True
)
