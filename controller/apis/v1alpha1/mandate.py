"""The Mandate as administrators write it.

Its documentation is what `kubectl explain` shows: write it for them. Validates,
and grants nothing; `conversion` turns it into the core type.
"""

import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from controller.apis.cel import cel_rule
from controller.apis.shapes import (
    DNS_LABEL,
    DNS_SUBDOMAIN,
    ApiGroup,
    FieldPathText,
    Identity,
    ListOf,
    MapListBy,
    NamespaceGlob,
    NamespaceName,
    ObjectNameGlob,
    Pattern,
    Resource,
    UniqueItems,
)
from controller.apis.v1alpha1.amounts import (
    COUNT_FORM,
    CPU_FORM,
    MEMORY_FORM,
    USD_FORM,
    AmountText,
)
from controller.apis.v1alpha1.wire import ApiVersion, Conditions, Generation, ObjectMeta, WireModel

Verb: TypeAlias = Literal[
    "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"
]
EnforcementMode: TypeAlias = Literal["Enforce", "Warn", "Shadow"]

VERBS_WITH_FIELDS: Final = frozenset({"get", "list", "watch", "update", "patch"})
"""The verbs that a rule with `fields` may hold: it never grants a whole object."""


class Subject(WireModel):
    """One Kubernetes identity. A group is none: it would make one agent of many identities."""

    kind: Literal["ServiceAccount", "User"]
    """`ServiceAccount`, or `User` for an identity that the API server authenticates otherwise
    (client certificate, OIDC, webhook)."""
    namespace: NamespaceName | None = None
    """The ServiceAccount's namespace, such as `team-data`. Required for a ServiceAccount, not
    allowed for a User."""
    name: Identity
    """The ServiceAccount's name, such as `migrator`, or the user name exactly as the API server
    authenticates it, such as `oidc:migrator@example.com`. At most 256 characters."""
    uid: Identity | None = None
    """Pins the subject to one incarnation: an identity of this name with another UID, such as a
    ServiceAccount that was deleted and created anew, is then not this agent. By default any UID
    is accepted."""

    @cel_rule(
        "(self.kind == 'ServiceAccount') == has(self.__namespace__)",
        message="a ServiceAccount needs its namespace, and a User has none",
        at=".namespace",
    )
    def has_a_namespace_exactly_when_it_is_a_service_account(self) -> bool:
        """Without its namespace, a ServiceAccount's name means no one identity."""
        return (self.kind == "ServiceAccount") == (self.namespace is not None)

    @cel_rule(
        f"self.kind != 'ServiceAccount' || self.name.matches(r'{DNS_SUBDOMAIN}')",
        message="a ServiceAccount's name has only lower-case letters, digits, - and ., "
        "such as migrator",
        at=".name",
    )
    def names_a_service_account_that_can_exist(self) -> bool:
        """A name that no ServiceAccount can have would never match, silently."""
        is_user = self.kind != "ServiceAccount"
        return is_user or re.fullmatch(DNS_SUBDOMAIN, self.name) is not None

    @cel_rule(
        "self.kind != 'User' || !self.name.startsWith('system:')",
        message="a User whose name begins with system: is Kubernetes' own; write a "
        "ServiceAccount with kind, namespace and name",
        at=".name",
    )
    def is_no_identity_of_kubernetes_itself(self) -> bool:
        """Governing a component would stop the cluster, and one agent would have two spellings."""
        return self.kind != "User" or not self.name.startswith("system:")


class Rule(WireModel):
    """One permission, in the form of RBAC's PolicyRule plus namespaces and fields."""

    verbs: Annotated[ListOf[Verb], Field(min_length=1, max_length=9), UniqueItems()]
    """What may be done: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    `deletecollection`, or `*` for all of them."""
    api_groups: Annotated[ListOf[ApiGroup], Field(min_length=1, max_length=32), UniqueItems()]
    """API groups without version, such as `apps` or `batch`; `""` is the core group (Pods,
    ConfigMaps, Services), `*` every group."""
    resources: Annotated[ListOf[Resource], Field(min_length=1, max_length=64), UniqueItems()]
    """Resources by their plural, in lower case: `deployments`, a subresource as
    `deployments/scale`, that subresource of everything as `*/scale`, or `*` for all resources
    and subresources. `deployments` does not include its subresources."""
    namespaces: Annotated[ListOf[NamespaceGlob], Field(max_length=128), UniqueItems()] | None = None
    """Namespaces in which the rule holds; `*` stands for any characters, as in `scratch-*`.
    By default (absent or empty) the rule covers cluster-scoped objects only, so a rule for
    namespaced objects must name their namespaces."""
    resource_names: (
        Annotated[ListOf[ObjectNameGlob], Field(min_length=1, max_length=128), UniqueItems()] | None
    ) = None
    """Names of the objects that the rule covers; `*` stands for any characters, as in
    `settings-*`. By default (absent) every name."""
    fields: (
        Annotated[ListOf[FieldPathText], Field(min_length=1, max_length=64), UniqueItems()] | None
    ) = None
    """The only fields that an update or patch may change; a path includes everything below it.
    Names joined by dots, `[*]` or `[0]` for a list's items, and `["…"]` for a key with other
    characters: `data`, `spec.template.spec.containers[*].image`,
    `metadata.annotations["example.com/owner"]`. By default (absent) every field. With fields,
    verbs must be among get, list, watch, update and patch; reading is not restricted."""

    @cel_rule(
        "!has(self.fields) || self.verbs.all(v, v in ['get', 'list', 'watch', 'update', 'patch'])",
        message="a rule with fields allows only the verbs get, list, watch, update and patch: "
        "it never grants create or delete; move other verbs to a rule without fields",
        at=".verbs",
    )
    def never_grants_a_whole_object_with_fields(self) -> bool:
        """A create or delete touches every field, so such a verb would promise what cannot be."""
        return self.fields is None or VERBS_WITH_FIELDS.issuperset(self.verbs)


class Quota(WireModel):
    """The most that the agent's live objects may hold at once, all of them together."""

    cpu: AmountText | None = None
    """CPU cores, as a number or a text: `8`, `"0.5"` or `500m`, to the thousandth of a core.
    Counted is what the Pods request (their limit where they state no request), not what they
    use. By default (absent) unlimited."""
    memory: AmountText | None = None
    """Bytes of memory, as a text: `32Gi`, `512Mi`, `1.5Gi` or `4G`. Counted like `cpu`. By default
    (absent) unlimited."""
    pods: AmountText | None = None
    """Number of Pods, such as `20`; a finished Pod is none. By default (absent) unlimited."""

    @cel_rule(
        f"!has(self.cpu) || {CPU_FORM.cel('self.cpu')}",
        message="cpu is a number of CPU cores, from 0 and to the thousandth: write 8, 0.5 or 500m",
        at=".cpu",
    )
    def states_cpu_in_cores(self) -> bool:
        """What is finer than a thousandth would be rounded, in somebody's favour."""
        return self.cpu is None or CPU_FORM.admits(self.cpu)

    @cel_rule(
        f"!has(self.memory) || {MEMORY_FORM.cel('self.memory')}",
        message="memory is a whole number of bytes, from 0: write 32Gi, 512Mi, 1.5Gi or 4G",
        at=".memory",
    )
    def states_memory_in_bytes(self) -> bool:
        """`32m` would be 0.032 bytes, which nobody means."""
        return self.memory is None or MEMORY_FORM.admits(self.memory)

    @cel_rule(
        f"!has(self.pods) || {COUNT_FORM.cel('self.pods')}",
        message="pods is a number of Pods, from 0: write 20",
        at=".pods",
    )
    def states_pods_as_a_number(self) -> bool:
        """A Pod has no parts."""
        return self.pods is None or COUNT_FORM.admits(self.pods)


class Budget(WireModel):
    """The most that the agent may spend of one resource in each window of time."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=63),
        Pattern(DNS_LABEL, "a name of lower-case letters, digits and -, such as daily-cost"),
    ]
    """What the agent is told when this budget refuses a write, such as `daily-cost`."""
    resource: Literal["usd", "changes"]
    """`usd`: what the agent's live objects cost, by the hour and the prices of the PriceBook; a
    write that raises them is refused if what is spent in this window and what all of them would
    cost until its end, or in a whole window, would exceed the limit. `changes`: how many of its
    writes take effect; each counts 1, whatever it changes."""
    limit: AmountText
    """US dollars, as a number or a text, to the billionth: `40` or `"0.25"`; or a number of
    changes: `200`."""
    window_seconds: Annotated[int, Field(ge=60, le=31_536_000)]
    """How long a window lasts, from 60 (a minute) to 31536000 (a year); 86400 is a day. Windows
    follow each other without gap and begin at multiples of their length since 1970 in UTC, so
    those of a day begin at midnight. With each one the budget begins anew."""

    @cel_rule(
        f"self.resource != 'usd' || {USD_FORM.cel('self.limit')}",
        message="the limit of usd is in US dollars, from 0, with at most 9 decimals: write 40 or "
        "0.25",
        at=".limit",
    )
    def states_its_limit_in_dollars(self) -> bool:
        """Nano-dollars are what is counted."""
        return self.resource != "usd" or USD_FORM.admits(self.limit)

    @cel_rule(
        f"self.resource != 'changes' || {COUNT_FORM.cel('self.limit')}",
        message="the limit of changes is a number of writes, from 0: write 200",
        at=".limit",
    )
    def states_its_limit_as_a_number(self) -> bool:
        """A change has no parts."""
        return self.resource != "changes" or COUNT_FORM.admits(self.limit)


class MandateSpec(WireModel):
    """What the agent may do, and who the agent is."""

    subjects: Annotated[ListOf[Subject], Field(min_length=1, max_length=64)]
    """The identities that act as this agent, 1 to 64. An identity may stand in one mandate only:
    while it stands in two, its writes are refused."""
    enforcement: EnforcementMode = "Enforce"
    """What becomes of a write that the rules, the quota or the budgets do not allow. `Enforce`
    (the default) refuses it; `Warn` grants it with the refusal as a warning; `Shadow` grants it
    and only records the refusal. Suspension and protected objects hold in every mode."""
    rules: Annotated[ListOf[Rule], Field(max_length=64)] | None = None
    """The permissions, at most 64. A write is allowed when one rule covers the whole of it. By
    default (absent or empty) the agent may write nothing."""
    quota: Quota | None = None
    """The most that the agent's live objects may hold at once. A write that could make it more is
    refused, and one that needs no more is not. Counted is what is labelled
    `governor.dev/agent: <agent>`, and what such objects create, with what it may still become:
    missing replicas, the surge of a rollout, the `maxReplicas` of an autoscaler. Objects of people
    and of other agents are not counted. By default (absent or empty) unlimited."""
    budgets: Annotated[ListOf[Budget], Field(max_length=16), MapListBy("name")] | None = None
    """The most that the agent may spend in each window of time, at most 16 budgets; all of them
    hold at once. By default (absent or empty) unlimited."""
    suspend: bool | None = None
    """`true` refuses every write of the agent until it is removed or `false`. Absent by default,
    so that a GitOps tool that applies this mandate does not switch a suspended agent on again."""

    @cel_rule(
        "self.subjects.all(a, self.subjects.exists_one(b, a.kind == b.kind && a.name == b.name "
        "&& has(a.__namespace__) == has(b.__namespace__) "
        "&& (!has(a.__namespace__) || a.__namespace__ == b.__namespace__)))",
        message="each subject may be listed once: no two may have the same kind, namespace "
        "and name",
        at=".subjects",
        reason="FieldValueDuplicate",
    )
    def lists_each_subject_once(self) -> bool:
        """Twice, with two UIDs, it would not say which one is pinned."""
        identities = [(one.kind, one.namespace, one.name) for one in self.subjects]
        return len(set(identities)) == len(identities)

    @cel_rule(
        "!has(self.budgets) || self.budgets.all(a, self.budgets.exists_one(b, "
        "a.resource == b.resource && a.windowSeconds == b.windowSeconds))",
        message="no two budgets may have the same resource and windowSeconds: the larger of them "
        "would never refuse anything; keep one",
        at=".budgets",
    )
    def has_one_budget_of_each_resource_and_window(self) -> bool:
        """Whoever reads the larger one would believe it."""
        windows = [(one.resource, one.window_seconds) for one in self.budgets or ()]
        return len(set(windows)) == len(windows)


class MandateStatus(WireModel):
    """What Governor observed of the mandate. Written by Governor only."""

    observed_generation: Generation | None = None
    """The `metadata.generation` that Governor acted on last; while it is older than the object's
    own, the newest change is not in force yet."""
    conditions: Conditions | None = None
    """`Ready`: the mandate is in force. `Suspended`: its agent's writes are refused. `Conflict`:
    one of its subjects stands in another mandate, too."""


class Mandate(WireModel):
    """What one AI agent may change in the cluster.

    The agent is its mandate: its name is the agent's name, every write by one of its subjects is
    judged against its rules, and a write that no rule covers is refused.
    """

    api_version: ApiVersion
    kind: Literal["Mandate"]
    metadata: ObjectMeta
    spec: MandateSpec
    """What the agent may do, and who the agent is. Written by administrators."""
    status: MandateStatus | None = None
    """What Governor observed of the mandate. Written by Governor only."""

    @cel_rule(
        "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
        message="metadata.name must be a DNS label of at most 63 characters, without dots: it is "
        "the agent's name and becomes the value of a label",
    )
    def has_a_name_that_can_be_a_label_value(self) -> bool:
        """The agent's objects carry this name in a label."""
        return (
            len(self.metadata.name) <= 63
            and re.fullmatch(DNS_LABEL, self.metadata.name) is not None
        )
