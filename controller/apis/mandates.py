"""The core Mandate: what one agent may do, as the decisions read it.

Versioned models convert to these types at the edge (`controller.apis.v1alpha1`).
These types decide nothing and know no wire format.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from controller.apis.resources import NOTHING, Amounts


class Enforcement(StrEnum):
    """What becomes of a write that the rules refuse; guards and suspension always hold."""

    ENFORCE = "Enforce"
    """Refused."""
    WARN = "Warn"
    """Granted, with the refusal as a warning."""
    SHADOW = "Shadow"
    """Granted silently; the refusal is only recorded."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One Kubernetes identity, as admission sees it in `userInfo`."""

    username: str
    """For a ServiceAccount `system:serviceaccount:<namespace>:<name>`."""
    uid: str | None = None
    """Pins the identity to one incarnation; None accepts any."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission: a write is granted when one rule covers it whole.

    `verbs`, `api_groups` and `resources` mean what they mean in RBAC's
    PolicyRule (`*`, `*/scale`, `deployments/scale`). `namespaces` and
    `resource_names` are globs whose only wildcard is `*`.
    """

    verbs: tuple[str, ...]
    api_groups: tuple[str, ...]
    resources: tuple[str, ...]
    namespaces: tuple[str, ...] = ()
    """Namespaced objects in these; empty: cluster-scoped objects only."""
    resource_names: tuple[str, ...] = ()
    """Empty: every name."""
    fields: tuple[str, ...] = ()
    """The only fields an update may change, e.g. `data`, `spec.template.spec.containers[*].image`,
    `metadata.annotations["example.com/x"]`. Empty: every field."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A cap on what the agent spends in each window of a fixed length."""

    name: str
    """Of a budget of the mandate; of a policy's cap the code of its rule."""
    resource: str
    """`usd` or `changes`."""
    limit: int
    """In the resource's unit."""
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Mandate:
    """What one agent may do. The agent is its mandate: both have one name."""

    name: str
    uid: str
    generation: int
    subjects: tuple[Subject, ...]
    rules: tuple[Rule, ...]
    enforcement: Enforcement = Enforcement.ENFORCE
    suspended: bool = False
    quota: Amounts = field(default_factory=lambda: NOTHING)
    """The most that its live objects may hold at once; what is absent is unlimited."""
    budgets: tuple[Budget, ...] = ()
