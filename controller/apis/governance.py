"""The core Governance: what administrators fix for the whole cluster.

Converted from its versioned model at the edge. Decides nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RedactedFields:
    """Fields whose values nobody is to read in a policy, a record or a log."""

    api_groups: tuple[str, ...]
    resources: tuple[str, ...]
    """Like RBAC's (`*`, `*/scale`, `pods/exec`), but `pods` means its subresources, too."""
    fields: tuple[str, ...]
    """Field paths, e.g. `spec.template.spec.containers[*].env[*].value`."""

    def covers(self, group: str, path: str) -> bool:
        """Whether a resource, or a subresource in RBAC's form, is meant.

        Who names a resource means its subresources too: most of them carry the whole object.
        """
        if not {"*", group}.intersection(self.api_groups):
            return False
        resource, _, subresource = path.partition("/")
        meant = {"*", path, resource, f"*/{subresource}"} if subresource else {"*", path}
        return not meant.isdisjoint(self.resources)


@dataclass(frozen=True, slots=True)
class Governance:
    """Settings of the one Governance named `cluster`."""

    generation: int = 0
    dedicated_namespaces: frozenset[str] = frozenset()
    """Namespaces whose ServiceAccounts are all agents: one without a mandate is refused."""
    protected_namespaces: frozenset[str] = frozenset()
    """Namespaces that no agent may write to, beside `kube-*` and Governor's own."""
    redacted_fields: tuple[RedactedFields, ...] = ()
    """What is confidential beside the values of Secrets, which always are."""
