"""The Governance as administrators write it: settings for the whole cluster.

Its documentation is what `kubectl explain` shows: write it for them. Validates,
and governs nothing; `conversion` turns it into the core type.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from controller.apis.cel import cel_rule
from controller.apis.shapes import (
    ApiGroup,
    FieldPathText,
    ListOf,
    NamespaceName,
    Resource,
    UniqueItems,
)
from controller.apis.v1alpha1.wire import ApiVersion, Conditions, Generation, ObjectMeta, WireModel

GOVERNANCE_NAME: Final = "cluster"
"""The name of the one Governance that counts."""

NamespaceSet: TypeAlias = Annotated[ListOf[NamespaceName], Field(max_length=1024), UniqueItems()]


class RedactedFields(WireModel):
    """Confidential fields of some resources."""

    api_groups: Annotated[ListOf[ApiGroup], Field(min_length=1, max_length=32), UniqueItems()]
    """API groups without version, such as `apps`; `""` is the core group, `*` every group."""
    resources: Annotated[ListOf[Resource], Field(min_length=1, max_length=64), UniqueItems()]
    """Resources by their plural, in lower case: `deployments`, a subresource as `pods/exec`, or
    `*` for all resources and subresources. `pods` includes its subresources, such as
    `pods/status`: most of them carry the whole object. `pods/exec` is that one alone."""
    fields: Annotated[ListOf[FieldPathText], Field(min_length=1, max_length=64), UniqueItems()]
    """The confidential fields; a path includes everything below it. Names joined by dots, `[*]`
    or `[0]` for a list's items, and `["…"]` for a key with other characters:
    `spec.template.spec.containers[*].env[*].value`, `data["password"]`, `command` (of
    `pods/exec`)."""


class GovernanceSpec(WireModel):
    """What administrators fix for the whole cluster."""

    dedicated_namespaces: NamespaceSet | None = None
    """Namespaces that belong to agents, such as `team-data`, at most 1024 and no globs. Every
    ServiceAccount in them is an agent: the writes of one without a mandate are refused. By
    default (absent or empty) there are none."""
    protected_namespaces: NamespaceSet | None = None
    """Namespaces that no agent may write to, whatever its mandate says, such as `payments`, at
    most 1024 and no globs. `kube-*` and Governor's own namespace always are; by default (absent
    or empty) there are no others."""
    redacted_fields: Annotated[ListOf[RedactedFields], Field(max_length=64)] | None = None
    """Fields whose values stay out of policies, records and logs, at most 64 entries: each value
    is replaced by a keyed mark, equal for equal values, and cannot be restored from a record.
    The values of Secrets always are. By default (absent or empty) no others."""

    @cel_rule(
        "!has(self.dedicatedNamespaces) || self.dedicatedNamespaces.all(n, !n.startsWith('kube-'))",
        message="namespaces whose names begin with kube- cannot be dedicated to agents: "
        "Kubernetes' own controllers act from them",
        at=".dedicatedNamespaces",
    )
    def leaves_kubernetes_its_own_namespaces(self) -> bool:
        """Its controllers have no mandates: all refused, they would stop the cluster."""
        return not any(name.startswith("kube-") for name in self.dedicated_namespaces or ())


class GovernanceStatus(WireModel):
    """What Governor observed of the settings. Written by Governor only."""

    observed_generation: Generation | None = None
    """The `metadata.generation` that Governor acted on last; while it is older than the object's
    own, the newest change is not in force yet."""
    conditions: Conditions | None = None
    """`Ready`: these settings are in force."""


class Governance(WireModel):
    """What administrators fix for all agents of the cluster.

    Only the one named `cluster` counts, and no other can be created; without it, its defaults
    hold.
    """

    api_version: ApiVersion
    kind: Literal["Governance"]
    metadata: ObjectMeta
    spec: GovernanceSpec
    """What administrators fix for the whole cluster."""
    status: GovernanceStatus | None = None
    """What Governor observed of the settings. Written by Governor only."""

    @cel_rule(
        f"self.metadata.name == '{GOVERNANCE_NAME}'",
        message=f"metadata.name must be {GOVERNANCE_NAME}: there is one Governance for the cluster",
    )
    def is_the_one_of_the_cluster(self) -> bool:
        """Two would have to be merged, and nobody could say which one counts."""
        return self.metadata.name == GOVERNANCE_NAME
