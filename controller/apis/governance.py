"""The core Governance: what administrators fix for the whole cluster.

Converted from its versioned model at the edge. Decides nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Governance:
    """Settings of the one Governance named `cluster`."""

    generation: int = 0
    dedicated_namespaces: frozenset[str] = frozenset()
    """Namespaces whose ServiceAccounts are all agents: one without a mandate is refused."""
    protected_namespaces: frozenset[str] = frozenset()
    """Namespaces that no agent may write to, beside `kube-*` and Governor's own."""
